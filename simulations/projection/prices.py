"""Exchange rates and consumer prices of a scenario: draws × months, in millionths.

Month 0 is the scenario's first. The record may end before the month before it: the months between
are drawn like those after, and not shown. The *base path* is, month by month, the median of the
draws; a path that is the same in every draw is its own base path. A currency for which a plan gives
no rate keeps the one known last.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from simulations.distributions import Distribution
from simulations.months import month_after, months_between, named
from simulations.paths import (
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

DOLLAR = "USD"


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """Rates (draws × months × currencies) and the price index (draws × months), in millionths.

    `before` are the rates of the month before month 0; what is the same in every draw has one.
    """

    currencies: tuple[str, ...]
    rates: Ints
    index: Ints
    before: dict[str, int]

    def of(self, currency: str) -> Ints:
        """Return draws × months of one currency's rate; TRY costs 1."""
        if currency == "TRY":
            return np.full((1, self.rates.shape[1]), MILLION)
        rates: Ints = self.rates[:, :, self.currencies.index(currency)]
        return rates

    def median(self) -> "Prices":
        """Return the base path: the median of each month."""
        middle = np.rint(np.median(self.rates, axis=0)).astype(np.int64)[None]
        index = np.rint(np.median(self.index, axis=0)).astype(np.int64)[None]
        return Prices(self.currencies, middle, index, self.before)


def known_record(scenario: Scenario) -> tuple[Record, int]:
    """Return the rates that are known, and how many months lie between them and the start.

    Raises `rate_month_unknown`.
    """
    record = ecb_record()
    before = named(month_after(scenario.start, -1))
    last = scenario.prices.exchange.known_until or min(before, record.months[-1])
    known = record.until(last)
    return known, max(months_between(date.fromisoformat(f"{last}-01"), scenario.start) - 1, 0)


def drawn_prices(scenario: Scenario, randomness: Randomness, draws: int) -> Prices:
    """Return the paths of the scenario's own assumptions.

    Raises `rate_month_unknown`, `path_window_too_long`, `path_too_short`.
    """
    known, gap = known_record(scenario)
    months = gap + scenario.months
    exchange = scenario.prices.exchange
    changes = _changes(exchange, known, randomness, (draws, months))
    return _along(scenario, known, changes, randomness, draws)


def stress_prices(scenario: Scenario, stress: Stress) -> Prices:
    """Return a stress path: the same for all draws, prices following at the median.

    Raises `rate_month_unknown`.
    """
    known, gap = known_record(scenario)
    months = gap + scenario.months
    frozen = gap + stress.frozen_months
    if stress.jump_share is not None:
        changes = jump_path(stress.jump_share, months, len(known.currencies), frozen)
    else:
        changes = replayed_changes(ecb_record(), str(stress.replay_from), months, frozen)
        if stress.replay_months is not None:
            changes[:, frozen + stress.replay_months :] = 0
    return _along(scenario, known, changes, Randomness(scenario.seed), 1, middle=True)


def _changes(
    exchange: Exchange, known: Record, randomness: Randomness, size: tuple[int, int]
) -> Floats:
    """Return the changes of the logarithm: draws × months × currencies of the record."""
    draws, months = size
    start = dict(zip(known.currencies, known.rates[-1].tolist(), strict=True))
    match exchange.kind:
        case "fixed":
            rates = {str(name): rate for name, rate in exchange.rates.items()}
            changes = _planned(fixed_rates(rates, months).rates, exchange, start)
        case "given":
            changes = _planned(_padded(exchange, months), exchange, start)
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


def _padded(exchange: Exchange, months: int) -> Ints:
    """Return a written path, its first rate standing for the months before month 0."""
    written: dict[str, tuple[Decimal, ...]] = {
        name: (path[:1] * (months - len(path)) + path) if path else path
        for name, path in exchange.path.items()
    }
    return given_rates(written, months).rates


def _planned(rates: Ints, exchange: Exchange, start: dict[str, int]) -> Floats:
    """Return planned rates (1 × months × those named) as changes of all currencies."""
    names = list(exchange.path if exchange.kind == "given" else exchange.rates)
    months = rates.shape[1] if names else 0
    changes = np.zeros((1, months, len(start)))
    for at, (currency, before) in enumerate(start.items()):
        if currency in names:
            path = np.concatenate([[before], rates[0, :, names.index(currency)]])
            changes[0, :, at] = np.diff(np.log(path / MILLION))
    return changes


def _along(
    scenario: Scenario,
    known: Record,
    changes: Floats,
    randomness: Randomness,
    draws: int,
    *,
    middle: bool = False,
) -> Prices:
    """Return rates and prices along the changes, cut to the scenario's months."""
    gap = changes.shape[1] - scenario.months
    start = dict(zip(known.currencies, known.rates[-1].tolist(), strict=True))
    rates = rates_along(start, changes).rates
    before = start if gap == 0 else _medians(rates[:, gap - 1], known.currencies)
    index = _index(scenario, changes[:, gap:], randomness, draws, middle=middle)
    return Prices(known.currencies, rates[:, gap:], index, before)


def _medians(rates: Ints, currencies: tuple[str, ...]) -> dict[str, int]:
    middle = np.rint(np.median(rates, axis=0)).astype(np.int64)
    return dict(zip(currencies, middle.tolist(), strict=True))


def _index(
    scenario: Scenario, changes: Floats, randomness: Randomness, draws: int, *, middle: bool
) -> Ints:
    inflation = scenario.prices.inflation
    if inflation.annual is None:
        return given_index(inflation.monthly, scenario.months)
    at = [
        chance.quantile(np.array([0.5]))
        if middle
        else values_of(chance, f"prices.{name}", randomness, draws)
        for name, chance in (("annual", inflation.annual), ("passed_on", inflation.passed_on))
    ]
    return price_index(at[0], at[1], changes[:, :, 0])


def values_of(chance: Distribution, name: str, randomness: Randomness, draws: int) -> Floats:
    """Return the values of an assumption in `draws` draws; its name is its source of chance."""
    return chance.quantile(randomness.uniforms(name, draws)[:, 0])
