"""The frontier: what each transfer value reaches under the grants there are.

The grants' money over the months asked for is exchanged at the mean rate of these months, on the
base path and in the draws, less fixed costs and fees; what is left of a month pays households in
the rules' own order until the first that does not fit (`simulations.frontier`).
"""

from collections.abc import Sequence

import numpy as np

from eligibility.entitlements import PEOPLE_MAX
from ledgers.money import parse_amount
from simulations.frontier import Candidates, Frontier, frontier
from simulations.projection.ledger import UNLIMITED, Terms
from simulations.projection.prices import Prices
from simulations.projection.running import Projection
from simulations.projection.spending import spending_of, standing_of
from simulations.randomness import Floats, Ints
from simulations.rates import try_minor
from simulations.report.model import Column, Kind, Sentence, amount, count, table
from simulations.report.parts import Part, ends, part, saying

HOME = "TRY"


def frontier_part(projection: Projection) -> Part:
    """Return the curve of transfer values and the households they reach."""
    asked = projection.scenario.frontier
    if asked is None:
        message = "a scenario without a frontier asks for one"
        raise ValueError(message)
    values = sorted({parse_amount(str(value), HOME) for value in asked.values})
    terms = projection.draws.terms
    most = _stated_most(projection)
    base = min(int(month_budget(terms, projection.draws.base_prices, asked.months)[0]), most)
    spread = ends(month_budget(terms, projection.draws.prices, asked.months))
    low, high = (min(end, most) for end in spread)
    candidates = candidates_of(projection)
    scale, kept = projection.people.scale[0], _after_fees(projection)
    found, fewest, largest = (
        frontier(candidates, values, int(budget * kept / scale)) for budget in (base, low, high)
    )
    rows = {**_rows(projection, found, scale),
            "households_low": _households(fewest, scale),
            "households_high": _households(largest, scale)}  # fmt: skip
    columns = [
        Column("value_minor", Kind.AMOUNT, HOME), Column("households", Kind.COUNT),
        Column("households_low", Kind.COUNT), Column("households_high", Kind.COUNT),
        Column("people", Kind.COUNT), Column("spent_month_minor", Kind.AMOUNT, HOME),
        Column("coverage", Kind.SHARE), Column("adequacy", Kind.SHARE),
        Column("gap_closed_minor", Kind.AMOUNT, HOME), Column("efficient", Kind.WORD),
    ]  # fmt: skip
    made = part(
        "frontier", table("frontier", columns, rows), "curve", x="value_minor", y="households",
        low="households_low", high="households_high", unit="count", x_unit=HOME,
    )  # fmt: skip
    facts = {
        "budget": amount(base, HOME), "low": amount(low, HOME), "high": amount(high, HOME),
        "eligible": count(int(np.rint(candidates.households.sum() * scale))),
        "months": count(asked.months), "best": amount(found.best.value_minor, HOME),
        "reached": count(int(np.rint(found.best.households * scale))),
    }  # fmt: skip
    return saying(made, Sentence("frontier_says", facts))


def _rows(projection: Projection, found: Frontier, scale: np.float64) -> dict[str, object]:
    basket = projection.scenario.prices.basket
    each = parse_amount(str(basket.per_person), HOME) if basket else 0
    points = found.points
    return {
        "value_minor": [point.value_minor for point in points],
        "households": _households(found, scale),
        "people": _scaled([point.people for point in points], scale),
        "spent_month_minor": _scaled([point.spent_minor for point in points], scale),
        "coverage": [point.coverage for point in points],
        "adequacy": [point.value_minor / each if each else None for point in points],
        "gap_closed_minor": _scaled([point.gap_closed_minor for point in points], scale),
        "efficient": ["yes" if point.is_efficient else "no" for point in points],
    }


def candidates_of(projection: Projection) -> Candidates:
    """Return those who stand in the rules' order now and are within the places, in that order.

    What a household lacks is what its people spend below the scenario's line; where nothing is
    stated of that, the whole basket.
    """
    standing = standing_of(projection, "base")
    entitlement = projection.base.loads.course.pack.entitlement
    most = entitlement.people_max or PEOPLE_MAX
    targeting, basket = projection.scenario.targeting, projection.scenario.prices.basket
    if targeting is not None:
        line = parse_amount(str(targeting.line), HOME)
        lacking = np.maximum(line - spending_of(projection, targeting.expenditure), 0)
    else:
        each = parse_amount(str(basket.per_person), HOME) if basket else 0
        lacking = np.full(len(standing.people), each, dtype=np.int64)
    own = standing.within
    return Candidates(
        standing.households[own],
        np.minimum(standing.people, most)[own],
        (lacking * standing.people)[own],
        -standing.rank[own],
    )


def month_budget(terms: Terms, prices: Prices, months: int) -> Ints:
    """Return what a month may cost in kuruş, one for each draw: all grants over all months.

    Each grant is exchanged at the mean rate of the months asked for.
    """
    total = np.zeros(len(prices.rates), dtype=np.int64)
    for fund in terms.funds:
        mean = np.rint(prices.of(fund.currency)[:, :months].mean(axis=1)).astype(np.int64)
        total = total + try_minor(np.full_like(mean, fund.amount_minor), mean)
    return np.maximum(total // months - terms.fixed_minor, 0)


def _stated_most(projection: Projection) -> int:
    """Return the budget that the pack itself states for a cycle, or more than there can be."""
    budgets = projection.base.loads.places.budgets
    return int(UNLIMITED) if budgets is None else int(budgets[0])


def _after_fees(projection: Projection) -> np.float64:
    """Return which share of a month's money reaches households."""
    return np.float64(1 / (1 + projection.draws.base_values["fee_share"][0]))


def _households(found: Frontier, scale: np.float64) -> Ints:
    return _scaled([point.households for point in found.points], scale)


def _scaled(numbers: Sequence[int], scale: np.float64) -> Ints:
    exact: Floats = np.array(numbers) * scale
    scaled: Ints = np.rint(exact).astype(np.int64)
    return scaled
