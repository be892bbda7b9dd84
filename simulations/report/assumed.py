"""What a report rests on: every assumption as it is taken, and what margins leave open."""

from collections.abc import Sequence

import numpy as np

from eligibility.decisions import AssessmentTotals
from simulations.distributions import Constant, Distribution
from simulations.projection.courses import People
from simulations.projection.drawing import assumptions
from simulations.projection.running import Projection
from simulations.report.model import Column, Kind, Sentence, count, table
from simulations.report.parts import Part, part, saying
from simulations.scenario.model import Grant


def tries_part(totals: Sequence[AssessmentTotals], people: People) -> Part:
    """Return the first month of several populations that meet the same margins.

    What differs between them is what margins leave open, and no draw of anything else shows.
    """
    scale = people.scale[0]
    scaled = {
        name: [int(np.rint(getattr(total, name) * scale)) for total in totals]
        for name in ("eligible", "people_selected", "amount_minor")
    }
    columns = [
        Column("try_number", Kind.COUNT), Column("eligible", Kind.COUNT),
        Column("people_selected", Kind.COUNT), Column("amount_minor", Kind.AMOUNT, "TRY"),
    ]  # fmt: skip
    rows = {"try_number": list(range(1, len(totals) + 1)), **scaled}
    made = part("tries", table("tries", columns, rows))
    low, high = min(scaled["eligible"]), max(scaled["eligible"])
    facts = {"tries": count(len(totals)), "low": count(low), "high": count(high)}
    return saying(made, Sentence("tries_says", facts))


def assumptions_part(projection: Projection) -> Part:
    """Return every assumption with what it is taken to be."""
    scenario = projection.scenario
    rows = [(name, _written(chance)) for name, chance in assumptions(scenario).items()]
    exchange = scenario.prices.exchange
    rows.append(("exchange_path", f"{exchange.kind}, {projection.draws.market.known.months[-1]}"))
    rows += [(f"grant {grant.code}", _grant(grant)) for grant in scenario.grants]
    columns = [Column("assumption", Kind.WORD), Column("taken", Kind.TEXT)]
    by_name = {"assumption": [row[0] for row in rows], "taken": [row[1] for row in rows]}
    return part("assumptions", table("assumptions", columns, by_name))


def _written(chance: Distribution) -> str:
    if isinstance(chance, Constant):
        return f"{chance.value.normalize():f}"
    facts = chance.model_dump(mode="json", exclude_none=True, exclude={"kind"})
    return f"{chance.kind}: " + ", ".join(f"{name} {value}" for name, value in facts.items())


def _grant(grant: Grant) -> str:
    document = grant.model_dump(mode="json", by_alias=True, exclude={"code"})
    return ", ".join(f"{name} {value}" for name, value in document.items() if value)
