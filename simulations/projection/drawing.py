"""Draws of a scenario: which chance moves what, and the ledger that comes of it.

Every uncertain assumption has a name, and its chance comes from a source of that name: courses of
one scenario meet the same arrivals, exits and exchange rates, so that what differs between them is
the rules (common random numbers). The *base path* has every assumption at its median.

For sensitivity the exchange-rate path is one input like the others: its chance picks a path of the
market, from the strongest lira to the weakest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from simulations.distributions import Constant, Distribution
from simulations.dynamics import Flows, Rates
from simulations.projection.caseload import (
    Groups,
    due,
    due_whole,
    groups_of,
    moving,
    rates_of,
)
from simulations.projection.counting import Caseloads
from simulations.projection.ledger import (
    HOME,
    Ledger,
    Terms,
    held_minor,
    ledger_of,
    terms_of,
    values_by_group,
)
from simulations.projection.prices import Market, Prices, market, stressed
from simulations.randomness import Floats, Randomness
from simulations.rates import foreign_minor
from simulations.scenario.model import NEVER, Indexation, Scenario, Stress

EXCHANGE = "exchange"
POINTS_AT_ONCE = 2048  # of the sensitivity, so that memory is bounded
MIDDLE = np.array([0.5])


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """The draws of a scenario, ready for every course of it."""

    scenario: Scenario
    terms: Terms
    market: Market
    values: Mapping[str, Floats]  # one value a draw
    prices: Prices
    base_values: Mapping[str, Floats]  # one value
    base_prices: Prices


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What comes of one course: the base path by stratum, the draws by group."""

    loads: Caseloads
    strata: Groups
    base: Ledger
    draws: Ledger


def assumptions(scenario: Scenario) -> dict[str, Distribution]:
    """Return every assumption of the scenario that is a number, by its name."""
    caseload, costs, prices = scenario.caseload, scenario.costs, scenario.prices
    return {
        "arrivals": caseload.arrivals,
        "exits": caseload.exits,
        "take_up": caseload.take_up,
        "recertification_loss": caseload.recertification_loss,
        "fee_share": costs.fee_share,
        "failed": costs.failed,
        "returned": costs.returned,
        "inflation": prices.inflation.annual or NEVER,
        "passed_on": prices.inflation.passed_on,
    }


def uncertain(draws: Draws) -> list[str]:
    """Return the names of what is not known, in the order in which it is told."""
    names = [
        name
        for name, chance in assumptions(draws.scenario).items()
        if not isinstance(chance, Constant)
    ]
    return [*names, EXCHANGE] if len(draws.market.changes) > 1 else names


def draws_of(scenario: Scenario, terms: Terms) -> Draws:
    """Return the draws of a scenario. Raises what `market` raises."""
    randomness = Randomness(scenario.seed)
    known = assumptions(scenario)
    values = {
        name: chance.quantile(randomness.uniforms(f"assumption.{name}", scenario.draws)[:, 0])
        for name, chance in known.items()
    }
    base = {name: chance.quantile(MIDDLE) for name, chance in known.items()}
    paths = market(scenario, randomness, scenario.draws)
    prices = paths.prices(values["inflation"], values["passed_on"])
    return Draws(scenario, terms, paths, values, prices, base, prices.median())


def first_held_minor(scenario: Scenario) -> int:
    """Return what the scenario's grants hold in its first month, in kuruş on the base path."""
    terms = terms_of(scenario, [], HOME)
    return held_minor(terms, draws_of(scenario, terms).base_prices)[0]


def outcome_of(
    draws: Draws,
    loads: Caseloads,
    indexation: Indexation | None,
    booked: Callable[[], None] | None = None,
) -> Outcome:
    """Return what comes of a course; `indexation` is the course's own.

    `booked` is called after each month that is booked in all draws.
    """
    strata = groups_of(loads, draws.terms.area_of, each=True)
    base = _base_ledger(draws, loads, strata, indexation, draws.base_prices)
    drawn = _drawn_ledger(draws, loads, indexation, draws.prices, draws.values, booked)
    return Outcome(loads, strata, base, drawn)


def stress_outcome(
    draws: Draws, loads: Caseloads, indexation: Indexation | None, stress: Stress
) -> tuple[Prices, Ledger]:
    """Return the base path's ledger where exchange rates take a stress path, and its prices."""
    base = draws.base_values
    prices = stressed(draws.scenario, stress).prices(base["inflation"], base["passed_on"])
    strata = groups_of(loads, draws.terms.area_of, each=True)
    return prices, _base_ledger(draws, loads, strata, indexation, prices)


def base_flows(draws: Draws, loads: Caseloads) -> tuple[Flows, Rates]:
    """Return the flows of a course with people still registered, and the base path's rates."""
    rates = rates_of(draws.scenario.caseload, draws.base_values, draws.scenario.months)
    return moving(loads.flows, rates), rates


def _base_ledger(
    draws: Draws,
    loads: Caseloads,
    strata: Groups,
    indexation: Indexation | None,
    prices: Prices,
) -> Ledger:
    """Return the ledger of whole households, every assumption at its median, along one path."""
    flows, rates = base_flows(draws, loads)
    values = values_by_group(strata, prices, indexation)
    whole = due_whole(loads, flows, strata, rates, values)[None]
    terms = replace(draws.terms, indexation=indexation)
    return ledger_of(terms, strata, whole, prices, draws.base_values)


def _drawn_ledger(
    draws: Draws,
    loads: Caseloads,
    indexation: Indexation | None,
    prices: Prices,
    values: Mapping[str, Floats],
    booked: Callable[[], None] | None = None,
) -> Ledger:
    """Return the ledger of the groups in every draw of `values` along `prices`."""
    groups = groups_of(loads, draws.terms.area_of)
    flows, _ = base_flows(draws, loads)
    rates = rates_of(draws.scenario.caseload, values, draws.scenario.months)
    amounts = values_by_group(groups, prices, indexation)
    households = np.rint(due(loads, flows, groups, rates, amounts)).astype(np.int64)
    terms = replace(draws.terms, indexation=indexation)
    return ledger_of(terms, groups, households, prices, values, booked)


def cost_of(
    draws: Draws, loads: Caseloads, indexation: Indexation | None, given: Mapping[str, Floats]
) -> Floats:
    """Return the whole need in millions of USD at the values given, the rest at the median.

    `given` has arrays of equal length by name of assumption; that of `exchange` is the chance that
    picks the path. This is what tornado and Sobol indices are taken of.
    """
    points = len(next(iter(given.values())))
    terms = draws.terms
    anywhere = replace(terms, funds=(), areas=((),), area_of=dict.fromkeys(terms.area_of, 0))
    needing = replace(draws, terms=anywhere)  # who pays does not matter to the need
    blocks = [
        {name: chances[at : at + POINTS_AT_ONCE] for name, chances in given.items()}
        for at in range(0, points, POINTS_AT_ONCE)
    ]
    return np.concatenate([_need_of(needing, loads, indexation, block) for block in blocks])


def _need_of(
    draws: Draws, loads: Caseloads, indexation: Indexation | None, given: Mapping[str, Floats]
) -> Floats:
    points = len(next(iter(given.values())))
    values = {
        name: given.get(name, np.broadcast_to(draws.base_values[name], points))
        for name in assumptions(draws.scenario)
    }
    order = draws.market.order
    chance = given.get(EXCHANGE, np.full(points, 0.5))
    path = np.minimum((chance * len(order)).astype(np.int64), len(order) - 1)
    prices = draws.market.prices(values["inflation"], values["passed_on"], order[path])
    ledger = _drawn_ledger(draws, loads, indexation, prices, values)
    in_cents = foreign_minor(ledger.need, prices.of("USD")).sum(axis=1)
    millions: Floats = in_cents / 100_000_000
    return millions
