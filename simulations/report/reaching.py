"""Whom the rules reach and whom they miss: every course against the same spending.

Errors by design are of those who qualify against need, errors by list of those who are paid against
those who qualify (`simulations.targeting`). Those who are paid are those within the places for whom
there is money in the first month, in the rules' order.
"""

from collections.abc import Iterator

import numpy as np

from ledgers.money import parse_amount
from simulations.projection.running import Projection
from simulations.projection.spending import Standing, spending_of, standing_of
from simulations.randomness import Ints
from simulations.rates import MILLION
from simulations.report.model import Column, Kind, Sentence, amount, share, table
from simulations.report.parts import Part, part, saying
from simulations.targeting import Measures, Targeted, adequacy, measured

HOME = "TRY"
SHARES = (
    "exclusion_design", "inclusion_design", "exclusion_list", "inclusion_list",
    "exclusion_overall", "inclusion_overall", "coverage_people", "differential",
    "leakage", "undercoverage", "gap_closed", "fgt0_before", "fgt0_after", "fgt1_before",
    "fgt1_after", "fgt2_before", "fgt2_after", "gini_before", "gini_after", "adequacy",
)  # fmt: skip


def targeting_parts(projection: Projection) -> Iterator[Part]:
    """Yield the measures of every course."""
    targeting = projection.scenario.targeting
    if targeting is None:
        message = "a scenario without targeting asks for it"
        raise ValueError(message)
    line = parse_amount(str(targeting.line), HOME)
    spending = spending_of(projection, targeting.expenditure)
    lists = {
        code: targeted_of(projection, code, standing_of(projection, code), spending)
        for code in projection.outcomes
    }
    found = {code: measured(one, line) for code, one in lists.items()}
    yield _errors_part(projection, found, line)
    yield _measures_part(projection, found, lists)


def targeted_of(
    projection: Projection, course: str, standing: Standing, spending: Ints
) -> Targeted:
    """Return every household with its need and what the course gives it."""
    ledger = projection.outcomes[course].base
    paid = standing.selected
    if ledger.unfunded[0, 0] > 0:
        share_paid = (ledger.paid[0, 0] + ledger.failed[0, 0]) / max(int(ledger.due[0, 0]), 1)
        last = np.floor(np.count_nonzero(paid) * share_paid)
        order = np.argsort(np.argsort(np.where(paid, standing.rank, standing.rank.max() + 1)))
        paid = paid & (order < last)
    return Targeted(
        standing.households, standing.people, spending, standing.qualifies,
        standing.households * paid, standing.amount_minor,
    )  # fmt: skip


def _errors_part(projection: Projection, found: dict[str, Measures], line: int) -> Part:
    kinds = ("by_design", "by_list", "overall")
    rows = [
        (code, kind, getattr(measures.people, kind))
        for code, measures in found.items()
        for kind in kinds
    ]
    content = {
        "course": [_named(code) for code, _, _ in rows],
        "error_kind": [kind for _, kind, _ in rows],
        "exclusion": [errors.exclusion for _, _, errors in rows],
        "inclusion": [errors.inclusion for _, _, errors in rows],
        "coverage": [errors.coverage for _, _, errors in rows],
    }
    columns = [
        Column("course", Kind.NAME), Column("error_kind", Kind.WORD),
        Column("exclusion", Kind.SHARE), Column("inclusion", Kind.SHARE),
        Column("coverage", Kind.SHARE),
    ]  # fmt: skip
    made = part(
        "errors", table("errors", columns, content), "paired", group="course", name="error_kind",
        values="exclusion inclusion", unit="share",
    )  # fmt: skip
    base = found["base"]
    targeting = projection.scenario.targeting
    surveyed = targeting is not None and targeting.expenditure.column is not None
    facts = {
        "line": amount(line, HOME),
        "source": Sentence("spending_surveyed" if surveyed else "spending_stated"),
        "poor": share(int(np.rint(base.before.fgt0 * MILLION))),
    }  # fmt: skip
    return saying(made, Sentence("errors_says", facts))


def _measures_part(
    projection: Projection, found: dict[str, Measures], lists: dict[str, Targeted]
) -> Part:
    basket = projection.scenario.prices.basket
    each = parse_amount(str(basket.per_person), HOME) if basket else 0
    by_course = {
        code: _measures(measures, adequacy(lists[code], each) if each else None)
        for code, measures in found.items()
    }
    costs = {code: _cost_ratio(projection, code) for code in found}
    content: dict[str, object] = {"measure": [*SHARES, "tctr"]}
    for code in found:
        content[_named(code)] = [*(by_course[code][name] for name in SHARES), costs[code]]
    columns = [Column("measure", Kind.WORD), *(Column(_named(code), Kind.SHARE) for code in found)]
    return part("measures", table("measures", columns, content))


def _named(course: str) -> str:
    """Return the name under which a course is shown."""
    return "base_rules" if course == "base" else course


def _cost_ratio(projection: Projection, course: str) -> float | None:
    ledger = projection.outcomes[course].base
    transfers = int(ledger.transfers.sum())
    return int(ledger.spent.sum()) / transfers if transfers else None


def _measures(measures: Measures, adequate: float | None) -> dict[str, float | None]:
    people = measures.people
    return {
        "exclusion_design": people.by_design.exclusion,
        "inclusion_design": people.by_design.inclusion,
        "exclusion_list": people.by_list.exclusion,
        "inclusion_list": people.by_list.inclusion,
        "exclusion_overall": people.overall.exclusion,
        "inclusion_overall": people.overall.inclusion,
        "coverage_people": people.overall.coverage,
        "differential": people.overall.differential,
        "leakage": measures.value.leakage,
        "undercoverage": measures.value.undercoverage,
        "gap_closed": measures.value.gap_closed,
        "fgt0_before": measures.before.fgt0,
        "fgt0_after": measures.after.fgt0,
        "fgt1_before": measures.before.fgt1,
        "fgt1_after": measures.after.fgt1,
        "fgt2_before": measures.before.fgt2,
        "fgt2_after": measures.after.fgt2,
        "gini_before": measures.before.gini,
        "gini_after": measures.after.gini,
        "adequacy": adequate,
    }
