"""The frontier: what each transfer value reaches under the grants there are.

Every value is taken through the ledger as the projection is, in place of the pack's own: grants pay
where and when they may, up to their ceilings, fees and failed payments are counted, take-up and
indexation hold, and where money ends the first of the rules' order are paid. Told is the mean month
of the months asked for, on the base path and between the ends of ninety of a hundred draws; and in
how many of these months there is money for everybody.

Which value is best can only be said of a gap: where the scenario states what households spend.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from eligibility.entitlements import PEOPLE_MAX
from ledgers.money import parse_amount
from simulations.frontier import Frontier, Point, frontier, require_values
from simulations.projection.caseload import due_whole, groups_of
from simulations.projection.drawing import base_flows, outcome_of
from simulations.projection.running import Projection, indexation_of
from simulations.projection.served import Served, real_values
from simulations.projection.spending import spending_of
from simulations.randomness import Floats, Ints
from simulations.rates import MILLION
from simulations.report.model import Column, Kind, Sentence, amount, count, share, table
from simulations.report.parts import Part, ends, part, saying
from simulations.scenario.model import Targeting

HOME = "TRY"


class Reach(NamedTuple):
    """What one value comes to in a mean month; amounts in minor units."""

    value_minor: int  # for each person
    households: int  # paid, on the base path
    households_low: int  # in five of a hundred draws there are fewer
    households_high: int  # in five of a hundred draws there are more
    people: int
    spent_month_minor: int
    coverage: float  # people paid / people who take it up and have a place
    adequacy: float | None  # of the basket
    months_full: int  # in which there is money for everybody


def frontier_part(projection: Projection) -> Part:
    """Return the curve of transfer values and the households they reach.

    Raises `frontier_values_wrong`.
    """
    asked = projection.scenario.frontier
    if asked is None:
        message = "a scenario without a frontier asks for one"
        raise ValueError(message)
    values = sorted({parse_amount(str(value), HOME) for value in asked.values})
    require_values(values)
    tried = [paying(projection, value) for value in values]
    due = wanted(projection)[: asked.months]
    people_due = int(np.rint((due * projection.base.loads.strata.people).sum()))
    reaches = [
        _reach(value, one, asked.months, people_due)
        for value, one in zip(values, tried, strict=True)
    ]
    rows: dict[str, object] = {
        name: [getattr(reach, name) for reach in reaches] for name in Reach._fields
    }
    columns = [
        Column("value_minor", Kind.AMOUNT, HOME), Column("households", Kind.COUNT),
        Column("households_low", Kind.COUNT), Column("households_high", Kind.COUNT),
        Column("people", Kind.COUNT), Column("spent_month_minor", Kind.AMOUNT, HOME),
        Column("coverage", Kind.SHARE), Column("adequacy", Kind.SHARE),
        Column("months_full", Kind.COUNT),
    ]  # fmt: skip
    verdict = Sentence("frontier_no_need")
    targeting = projection.scenario.targeting
    if targeting is not None:
        closed = _closed_minor(projection, targeting, tried, asked.months)
        found = _compared(projection, reaches, closed)
        rows["gap_closed_minor"] = closed
        rows["efficient"] = ["yes" if one else "no" for one in found.efficient]
        columns.append(Column("gap_closed_minor", Kind.AMOUNT, HOME))
        columns.append(Column("efficient", Kind.WORD))
        verdict = _verdict(found, reaches)
    made = part(
        "frontier", table("frontier", columns, rows), "curve", x="value_minor", y="households",
        low="households_low", high="households_high", unit="count", x_unit=HOME,
    )  # fmt: skip
    facts = {
        "months": count(asked.months), "verdict": verdict,
        "due": count(mean_of(due.sum(), asked.months)),
        "small": amount(values[0], HOME), "many": count(reaches[0].households),
        "large": amount(values[-1], HOME), "few": count(reaches[-1].households),
    }  # fmt: skip
    return saying(made, Sentence("frontier_says", facts))


def paying(projection: Projection, value_minor: int) -> Projection:
    """Return the base course as if its pack paid each person so much in a month.

    As many people of a household count as in the pack; where its amounts do not go by people, the
    mean number of those who are due the same amount.
    """
    loads = projection.base.loads
    amounts = np.rint(_counted(projection) * value_minor).astype(np.int64)
    loads = replace(loads, strata=replace(loads.strata, amounts=amounts))
    indexation = indexation_of(projection.scenario, "base")
    return replace(projection, outcomes={"base": outcome_of(projection.draws, loads, indexation)})


def wanted(projection: Projection) -> Ints:
    """Return who takes it up and has a place, whatever the money: months × strata, base path."""
    loads, draws = projection.base.loads, projection.draws
    loads = replace(loads, places=replace(loads.places, budgets=None))
    strata = groups_of(loads, draws.terms.area_of, each=True)
    flows, rates = base_flows(draws, loads)
    return due_whole(loads, flows, strata, rates, strata.amounts[None, None])


def mean_of(total: int, months: int) -> int:
    """Return what a sum over months is in a mean month, rounded half up."""
    return int((2 * total + months) // (2 * months))


def _counted(projection: Projection) -> Floats:
    """Return how many people of a household of each stratum count in its payment."""
    loads = projection.base.loads
    most = loads.course.pack.entitlement.people_max or PEOPLE_MAX
    counted: Floats = np.minimum(loads.strata.people, most)
    return counted


def _people_most(projection: Projection) -> int:
    """Return how many people one row of the population is paid for at most."""
    people = projection.people
    return int(np.ceil(_counted(projection).max() * max(people.total / people.rows, 1.0)))


def _reach(value: int, tried: Projection, months: int, people_due: int) -> Reach:
    """Return what a value comes to over so many months, of so many people due in all of them."""
    basket = tried.scenario.prices.basket
    each = parse_amount(str(basket.per_person), HOME) if basket else 0
    ledger, drawn = tried.base.base, tried.base.draws.paid[:, :months].sum(axis=1)
    low, high = ends((2 * drawn + months) // (2 * months))
    people = int(ledger.people[0, :months].sum())
    return Reach(
        value_minor=value,
        households=mean_of(ledger.paid[0, :months].sum(), months),
        households_low=low,
        households_high=high,
        people=mean_of(people, months),
        spent_month_minor=mean_of(ledger.spent[0, :months].sum(), months),
        coverage=min(people / max(people_due, 1), 1.0),
        adequacy=value / each if each else None,
        months_full=int((ledger.paid + ledger.failed == ledger.due)[0, :months].sum()),
    )


def _closed_minor(
    projection: Projection, targeting: Targeting, tried: Sequence[Projection], months: int
) -> list[int]:
    """Return what each value closes of the gap in a mean month, in prices of the first."""
    line = parse_amount(str(targeting.line), HOME)
    lacking = np.maximum(line - spending_of(projection, targeting.expenditure), 0)
    served = Served(projection, "base")
    values = [real_values(one, "base") for one in tried]
    closed = [0] * len(tried)
    for month in range(months):
        roll = served.roll(month)
        households = roll.households * served.registered[month]
        gap = lacking * roll.people
        for at, one in enumerate(tried):
            given = np.minimum(roll.amounts(values[at][month]), gap)
            paid = households * served.shares(one.base.base, month)
            closed[at] += int(np.rint((paid * given).sum()))
    return [mean_of(total, months) for total in closed]


def _compared(
    projection: Projection, reaches: Sequence[Reach], closed_minor: Sequence[int]
) -> Frontier:
    """Return the values held against each other by the people they reach and the gap they close."""
    points = [
        Point(reach.value_minor, reach.people, closed)
        for reach, closed in zip(reaches, closed_minor, strict=True)
    ]
    return frontier(points, _people_most(projection))


def _verdict(found: Frontier, reaches: Sequence[Reach]) -> Sentence:
    """Return which value is best, or that none is."""
    if found.best is None:
        return Sentence("frontier_no_best")
    best = reaches[found.points.index(found.best)]
    facts = {
        "best": amount(best.value_minor, HOME), "reached": count(best.households),
        "share": share(int(np.rint(best.coverage * MILLION))),
    }  # fmt: skip
    return Sentence("frontier_best", facts)
