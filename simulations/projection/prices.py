"""Exchange rates and consumer prices of a scenario: draws × months, in millionths.

Month 0 is the scenario's first. The record may end before the month before it: the months between
are drawn like those after, and not shown. A `Market` holds the monthly changes of every draw;
`prices` turns some of them into rates and an index. The *base path* is, month by month, the median
of the draws; a path that is the same in every draw is its own base path. A currency for which a
plan gives no rate keeps the one known last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from simulations.distributions import Distribution
from simulations.months import month_after, months_between, named
from simulations.paths import (
    Paths,
    fixed_rates,
    given_index,
    given_rates,
    jump_changes,
    jump_path,
    normal_changes,
    price_index,
    rates_along,
    replayed_changes,
    resampled_changes,
    window_of,
)
from simulations.randomness import Floats, Ints, Randomness
from simulations.rates import MILLION, Record, ecb_record
from simulations.scenario.model import Exchange, Scenario, Stress


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Rates (draws × months × currencies) and the price index (draws × months), in millionths.

    `earlier` are the rates of the months before month 0 by currency, the latest last. What is the
    same in every draw has one.
    """

    currencies: tuple[str, ...]
    rates: Ints
    index: Ints
    earlier: Mapping[str, Sequence[int]]

    @property
    def before(self) -> dict[str, int]:
        """The rates of the month before month 0."""
        return {currency: rates[-1] for currency, rates in self.earlier.items()}

    def of(self, currency: str) -> Ints:
        """Return draws × months of one currency's rate; TRY costs 1."""
        if currency == "TRY":
            return np.full((1, self.rates.shape[1]), MILLION)
        rates: Ints = self.rates[:, :, self.currencies.index(currency)]
        return rates

    def in_month(self, currency: str, month: int) -> Ints:
        """Return one month's rate, one a draw or one for all; a month below 0 is before month 0.

        Before all that is known stands the first rate that is.
        """
        if month >= 0 or currency not in self.earlier:
            return self.of(currency)[:, max(month, 0)]
        known = self.earlier[currency]
        return np.array([known[max(month, -len(known))]])

    def median(self) -> "Prices":
        """Return the base path: the median of each month."""
        return Prices(self.currencies, _middle(self.rates), _middle(self.index), self.earlier)


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """Changes of the logarithm of rates, paths × (gap + months) × currencies, from the last known.

    `gap` months lie between the record and the scenario's first month.
    """

    scenario: Scenario
    known: Record
    gap: int
    changes: Floats

    @property
    def order(self) -> Ints:
        """The paths from the strongest to the weakest lira, by their mean rate of the dollar."""
        return np.argsort(np.cumsum(self.changes[:, :, 0], axis=1).mean(axis=1), kind="stable")

    def prices(self, annual: Floats, passed_on: Floats, paths: Ints | None = None) -> Prices:
        """Return the prices along `paths` (all without it), one value of inflation for each."""
        changes = self.changes if paths is None else self.changes[paths]
        start = dict(zip(self.known.currencies, self.known.rates[-1].tolist(), strict=True))
        rates = rates_along(start, changes).rates
        gone = np.concatenate([self.known.rates, _middle(rates[:, : self.gap])[0]])
        earlier = dict(zip(self.known.currencies, gone.T.tolist(), strict=True))
        inflation = self.scenario.prices.inflation
        if inflation.annual is None:
            index = given_index(inflation.monthly, self.scenario.months)
        else:
            index = price_index(annual, passed_on, changes[:, self.gap :, 0])
        return Prices(self.known.currencies, rates[:, self.gap :], index, earlier)


def known_record(scenario: Scenario) -> tuple[Record, int]:
    """Return the rates that are known, and how many months lie between them and the start.

    Raises `rate_month_unknown`.
    """
    record = ecb_record()
    before = named(month_after(scenario.start, -1))
    last = scenario.prices.exchange.known_until or min(before, record.months[-1])
    known = record.until(last)
    return known, max(months_between(date.fromisoformat(f"{last}-01"), scenario.start) - 1, 0)


def market(scenario: Scenario, randomness: Randomness, draws: int) -> Market:
    """Return the paths that the scenario assumes.

    Raises `rate_month_unknown`, `path_window_too_long`, `path_too_short`.
    """
    known, gap = known_record(scenario)
    changes = _changes(scenario, known, randomness, (draws, gap))
    return Market(scenario, known, gap, changes)


def stressed(scenario: Scenario, stress: Stress) -> Market:
    """Return the one path of a stress. Raises `rate_month_unknown`."""
    known, gap = known_record(scenario)
    months, frozen = gap + scenario.months, gap + stress.frozen_months
    if stress.jump_share is not None:
        changes = jump_path(stress.jump_share, months, len(known.currencies), frozen)
    else:
        changes = replayed_changes(ecb_record(), str(stress.replay_from), months, frozen)
        if stress.replay_months is not None:
            changes[:, frozen + stress.replay_months :] = 0
    return Market(scenario, known, gap, changes)


def values_of(chance: Distribution, name: str, randomness: Randomness, draws: int) -> Floats:
    """Return the values of an assumption in `draws` draws; its name is its source of chance."""
    return chance.quantile(randomness.uniforms(name, draws)[:, 0])


def _changes(
    scenario: Scenario, known: Record, randomness: Randomness, size: tuple[int, int]
) -> Floats:
    """Return the changes of the logarithm: draws × (gap + months) × currencies of the record."""
    draws, gap = size
    exchange, months = scenario.prices.exchange, gap + scenario.months
    start = dict(zip(known.currencies, known.rates[-1].tolist(), strict=True))
    match exchange.kind:
        case "fixed":
            rates = {str(name): rate for name, rate in exchange.rates.items()}
            changes = _planned(fixed_rates(rates, months), start)
        case "given":
            changes = _planned(given_rates(_padded(exchange, gap), months), start)
        case "bootstrap":
            window = window_of(known, exchange.window_months)
            changes = resampled_changes(window, randomness, draws, months, exchange.block_months)
        case "lognormal":
            window = window_of(known, exchange.window_months)
            changes = normal_changes(window, randomness, draws, months)
    if exchange.jumps is not None:
        per_year = values_of(exchange.jumps.per_year, "exchange.jumps_a_year", randomness, draws)
        share = values_of(exchange.jumps.share, "exchange.jump_share", randomness, draws)
        changes = changes + jump_changes(per_year, share, randomness, months)
    return changes


def _padded(exchange: Exchange, gap: int) -> dict[str, tuple[Decimal, ...]]:
    """Return a written path, its first rate standing for the months before month 0."""
    return {str(name): (*path[:1] * gap, *path) for name, path in exchange.path.items()}


def _planned(paths: Paths, start: dict[str, int]) -> Floats:
    """Return planned rates as changes of all currencies: 1 × months × currencies."""
    changes = np.zeros((1, paths.rates.shape[1], len(start)))
    for at, (currency, before) in enumerate(start.items()):
        if currency in paths.currencies:
            path = np.concatenate([[before], paths.of(currency)[0]])
            changes[0, :, at] = np.diff(np.log(path / MILLION))
    return changes


def _middle(values: Ints) -> Ints:
    middle: Ints = np.rint(np.median(values, axis=0)).astype(np.int64)
    return middle[None]
