"""Draws of a scenario: which chance moves what, and the ledger that comes of it.

Every uncertain assumption has a name, and its chance comes from a source of that name: courses of
one scenario meet the same arrivals, exits and exchange rates, so that what differs between them is
the rules (common random numbers). The *base path* has every assumption at its median.

For sensitivity the exchange-rate path is one input like the others: its chance picks a path of the
market, from the strongest lira to the weakest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from simulations.distributions import Constant, Distribution
from simulations.projection.caseload import (
    Groups,
    groups_of,
    moving,
    paid,
    paid_whole,
    rates_of,
)
from simulations.projection.courses import Caseloads
from simulations.projection.ledger import Ledger, Terms, ledger_of
from simulations.projection.prices import Market, Prices, market, stressed
from simulations.randomness import Floats, Randomness
from simulations.rates import foreign_minor
from simulations.scenario.model import NEVER, Indexation, Scenario, Stress

EXCHANGE = "exchange"
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


def outcome_of(draws: Draws, loads: Caseloads, indexation: Indexation | None) -> Outcome:
    """Return what comes of a course; `indexation` is the course's own."""
    terms = replace(draws.terms, indexation=indexation)
    caseload, months = draws.scenario.caseload, draws.scenario.months
    base_rates = rates_of(caseload, draws.base_values, months)
    flows = moving(loads.flows, base_rates)
    strata = groups_of(loads, terms.area_of, each=True)
    whole = paid_whole(loads, flows, strata, base_rates)[None]
    base = ledger_of(terms, strata, whole, draws.base_prices, draws.base_values)
    groups = groups_of(loads, terms.area_of)
    rates = rates_of(caseload, draws.values, months)
    expected = paid(loads, flows, groups, rates)
    households = np.rint(expected).astype(np.int64)
    drawn = ledger_of(terms, groups, households, draws.prices, draws.values)
    return Outcome(loads, strata, base, drawn)


def stress_outcome(
    draws: Draws, loads: Caseloads, indexation: Indexation | None, stress: Stress
) -> tuple[Prices, Ledger]:
    """Return the base path's ledger where exchange rates take a stress path, and its prices."""
    terms = replace(draws.terms, indexation=indexation)
    base = draws.base_values
    prices = stressed(draws.scenario, stress).prices(base["inflation"], base["passed_on"])
    rates = rates_of(draws.scenario.caseload, base, draws.scenario.months)
    strata = groups_of(loads, terms.area_of, each=True)
    whole = paid_whole(loads, moving(loads.flows, rates), strata, rates)[None]
    return prices, ledger_of(terms, strata, whole, prices, base)


def cost_of(
    draws: Draws, loads: Caseloads, indexation: Indexation | None, given: Mapping[str, Floats]
) -> Floats:
    """Return the whole need in millions of USD at the values given, the rest at the median.

    `given` has arrays of equal length by name of assumption; that of `exchange` is the chance that
    picks the path. This is what tornado and Sobol indices are taken of.
    """
    points = len(next(iter(given.values())))
    values = {
        name: given.get(name, np.broadcast_to(draws.base_values[name], points))
        for name in assumptions(draws.scenario)
    }
    order = draws.market.order
    chance = given.get(EXCHANGE, np.full(points, 0.5))
    path = np.minimum((chance * len(order)).astype(np.int64), len(order) - 1)
    prices = draws.market.prices(values["inflation"], values["passed_on"], order[path])
    terms = replace(draws.terms, indexation=indexation)
    groups = groups_of(loads, terms.area_of)
    base_rates = rates_of(draws.scenario.caseload, draws.base_values, draws.scenario.months)
    rates = rates_of(draws.scenario.caseload, values, draws.scenario.months)
    expected = paid(loads, moving(loads.flows, base_rates), groups, rates)
    households = np.rint(expected).astype(np.int64)
    need = ledger_of(terms, groups, households, prices, values).need
    in_cents = foreign_minor(need, prices.of("USD")).sum(axis=1)
    millions: Floats = in_cents / 100_000_000
    return millions
