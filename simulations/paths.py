"""Where exchange rates and prices may go: draws × months of whole millionths.

Month 0 is the first month of the horizon; the last known rate is that of the month before. A path
is made of *changes*, monthly differences of the logarithm, draws × months × currencies:

* `resampled_changes`: the record's own months, in blocks that start anywhere in the window and wrap
  at its end (Politis and Romano 1992); all currencies take the same months, so that the euro and
  the dollar keep together;
* `normal_changes`: independent from month to month, with the mean, the spread and the correlation
  of the window: a log-normal path (geometric Brownian motion);
* `jump_changes`: sudden falls of TRY that come on top (Merton 1976);
* `replayed_changes`, `shock_changes`: what the record has already shown, for stress paths.

`rates_along` turns changes into rates; `fixed_rates` and `given_rates` are what somebody decided.
What is the same in every draw has a first axis of 1 and broadcasts. Which of the drawn ones to
believe is said by `coverage`, which tries them on the record. Nothing here calls a library of
linear algebra, so that the number of threads decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import numpy as np
from scipy import special

from ledgers.problems import Problem
from simulations.distributions import CHANCE_MIN
from simulations.randomness import Floats, Ints, Randomness
from simulations.rates import MILLION, Record, ecb_record, millionths, rounded_millionths

PATH_TOO_SHORT = Problem(
    "path_too_short",
    "The path of {currency} has {given} months; the horizon has {months}.",
    "Give one value for each month of the horizon.",
)
PATH_CURRENCY_MISSING = Problem(
    "path_currency_missing",
    "There is no exchange rate of {currency}.",
    "Give a rate for every currency that a grant or the report uses.",
)
PATH_WINDOW_TOO_LONG = Problem(
    "path_window_too_long",
    "A window of {window} months does not fit into the {known} monthly changes that are known.",
    "Shorten the window, or start later in the record.",
)

MONTHS_A_YEAR = 12


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Rates of `currencies` in millionths of TRY: draws × months × currencies."""

    currencies: tuple[str, ...]
    rates: Ints

    def of(self, currency: str) -> Ints:
        """Return draws × months of one currency; TRY costs 1. Raises `path_currency_missing`."""
        if currency == "TRY":
            return np.full(self.rates.shape[:2], MILLION)
        if currency not in self.currencies:
            raise PATH_CURRENCY_MISSING.refusal(currency=currency)
        return self.rates[:, :, self.currencies.index(currency)]


class Shock(StrEnum):
    """The stress set: what the record has already shown."""

    DECEMBER_2021 = "december_2021"  # +27 % in one month
    TO_SEPTEMBER_2022 = "to_september_2022"  # +114 % in twelve months
    FREEZE_THEN_JUMP = "freeze_then_jump"  # a year held still, then May to July 2023 in one month


# --- what somebody decided ---------------------------------------------------------------------


def fixed_rates(rates: Mapping[str, Decimal], months: int) -> Paths:
    """Return one budget rate a currency for all months."""
    return given_rates({name: (rate,) * months for name, rate in rates.items()}, months)


def given_rates(rates: Mapping[str, Sequence[Decimal]], months: int) -> Paths:
    """Return a path that was written month by month. Raises `path_too_short`."""
    for currency, path in rates.items():
        if len(path) < months:
            raise PATH_TOO_SHORT.refusal(currency=currency, given=len(path), months=months)
    table = [[millionths(rate) for rate in path[:months]] for path in rates.values()]
    return Paths(tuple(rates), np.array(table, dtype=np.int64).T[None])


# --- what chance decides -----------------------------------------------------------------------


def rates_along(start: Mapping[str, int], changes: Floats) -> Paths:
    """Return the rates that begin at `start` (millionths, month before month 0) and change so.

    `changes` is draws × months × currencies, in the order of `start`.
    """
    before = np.array(list(start.values())) / MILLION
    return Paths(tuple(start), rounded_millionths(before * np.exp(np.cumsum(changes, axis=1))))


def window_of(known: Record, months: int) -> Floats:
    """Return the last `months` changes of the record: months × currencies.

    Raises `path_window_too_long`.
    """
    changes = known.log_returns()
    if not 0 < months <= len(changes):
        raise PATH_WINDOW_TOO_LONG.refusal(window=months, known=len(changes))
    return changes[-months:]


def resampled_changes(
    window: Floats, randomness: Randomness, draws: int, months: int, block: int = 6
) -> Floats:
    """Return changes taken from the window in blocks of `block` months."""
    chances = randomness.uniforms("exchange.blocks", draws, -(-months // block))
    return resampled(window, chances, block)[:, :months]


def resampled(window: Floats, chances: Floats, block: int) -> Floats:
    """Return blocks of the window that start at `chances` (draws × blocks), wrapping at its end."""
    first = (chances * len(window)).astype(np.int64)
    places = (first[:, :, None] + np.arange(block)) % len(window)
    changes: Floats = window[places.reshape(len(chances), -1)]
    return changes


def normal_changes(window: Floats, randomness: Randomness, draws: int, months: int) -> Floats:
    """Return normal changes with the window's means, spreads and correlation."""
    currencies = window.shape[1]
    factor = _cholesky(window)
    steps = _steps(randomness.uniforms("exchange.changes", draws, months * currencies))
    steps = steps.reshape(draws, months, currencies)
    changes = np.empty_like(steps)
    for at in range(currencies):
        changes[:, :, at] = window[:, at].mean()
        for by in range(at + 1):
            changes[:, :, at] += factor[at, by] * steps[:, :, by]
    return changes


def _cholesky(window: Floats) -> Floats:
    """Return L with L Lᵀ = the covariance of the window; a currency that follows adds nothing."""
    size = window.shape[1]
    apart = window - window.mean(axis=0)
    covariance = (apart[:, :, None] * apart[:, None, :]).sum(axis=0) / (len(window) - 1)
    factor = np.zeros((size, size))
    for row in range(size):
        for column in range(row + 1):
            rest = covariance[row, column] - (factor[row, :column] * factor[column, :column]).sum()
            if row == column:
                factor[row, row] = np.sqrt(max(rest, 0.0))
            elif factor[column, column] > 0:
                factor[row, column] = rest / factor[column, column]
    return factor


def jump_changes(per_year: Floats, share: Floats, randomness: Randomness, months: int) -> Floats:
    """Return the changes of sudden falls of TRY: draws × months × 1, most of them 0.

    Arguments, one value a draw: `per_year` how many are expected (at most one a month happens),
    `share` by how much a unit of foreign currency rises (0.27 is 27 %).
    """
    chances = randomness.uniforms("exchange.jumps", len(per_year), months)
    chance = -np.expm1(-per_year / MONTHS_A_YEAR)
    changes: Floats = np.where(chances < chance[:, None], np.log1p(share)[:, None], 0.0)
    return changes[:, :, None]


def _steps(chances: Floats) -> Floats:
    steps: Floats = special.ndtri(np.maximum(chances, CHANCE_MIN))
    return steps


# --- what has happened before ------------------------------------------------------------------


def replayed_changes(record: Record, first: str, months: int, frozen: int = 0) -> Floats:
    """Return the record's changes from the month `first` on: 1 × months × currencies.

    `frozen` months of no change come before; what the record does not have stays as it is.
    Raises `rate_month_unknown`.
    """
    before = record.place(first) - 1
    played = record.log_returns()[max(before, 0) : max(before, 0) + max(months - frozen, 0)]
    changes = np.zeros((1, months, len(record.currencies)))
    changes[0, frozen : frozen + len(played)] = played
    return changes


def jump_path(share: Decimal, months: int, currencies: int, frozen: int = 0) -> Floats:
    """Return no change but one rise by `share`, after `frozen` months: 1 × months × currencies."""
    changes = np.zeros((1, months, currencies))
    changes[:, frozen : frozen + 1] = np.log1p(np.float64(share))
    return changes


def shock_changes(shock: Shock, months: int) -> Floats:
    """Return a shock of the stress set, from month 0: 1 × months × (USD, EUR)."""
    record = ecb_record()
    if shock is Shock.FREEZE_THEN_JUMP:
        changes = np.zeros((1, months, len(record.currencies)))
        jump = replayed_changes(record, "2023-06", 2)[0].sum(axis=0)
        changes[:, MONTHS_A_YEAR : MONTHS_A_YEAR + 1] = jump
        return changes
    if shock is Shock.DECEMBER_2021:
        changes = replayed_changes(record, "2021-12", months)
        changes[:, 1:] = 0
        return changes
    changes = replayed_changes(record, "2021-10", months)
    changes[:, MONTHS_A_YEAR:] = 0
    return changes


# --- indexes of prices -------------------------------------------------------------------------


def price_index(yearly: Floats, passed_on: Floats, exchange: Floats) -> Ints:
    """Return draws × months of the price index, millionths of the month before month 0.

    Arguments: `yearly` the rise of a year that has other causes (0.2 is 20 %), `passed_on` the
    share of an exchange-rate change that prices follow in the same month (both one value a draw, or
    one for all), `exchange` the changes of the currency that counts, draws × months.
    """
    own = np.log1p(yearly)[:, None] / MONTHS_A_YEAR
    changes = own + passed_on[:, None] * exchange
    return rounded_millionths(np.exp(np.cumsum(changes, axis=1)))


def given_index(changes: Sequence[Decimal], months: int) -> Ints:
    """Return the index of monthly changes that were written (0.02 is 2 %): 1 × months.

    Raises `path_too_short`.
    """
    if len(changes) < months:
        raise PATH_TOO_SHORT.refusal(currency="prices", given=len(changes), months=months)
    steps = np.array([np.float64(change) for change in changes[:months]])
    return rounded_millionths(np.cumprod(1 + steps)[None])


def indexed_values(
    value_minor: int, index: Ints, *, every_months: int, trigger: int, round_to: int, since: int = 0
) -> Ints:
    """Return the transfer value (minor units) of each draw and month under a review rule.

    Every `every_months` months the index is compared with that of the last change; if it has risen
    by more than `trigger` millionths the value follows it, rounded half away from zero to
    `round_to` minor units (a banknote), and never falls. Reviews are every `every_months` months of
    the horizon; the first that counts is after the month `since`, in whose prices the value is
    written: it is compared with the month before that one.
    """
    draws, months = index.shape
    values = np.empty((draws, months), dtype=np.int64)
    current = np.full(draws, value_minor, dtype=np.int64)
    reviewed = np.full(draws, MILLION, dtype=np.int64)
    for month in range(months):
        if month and month == since:
            reviewed = index[:, month - 1]
        if month > since and month % every_months == 0:
            now = index[:, month]
            due = (now - reviewed) * MILLION > trigger * reviewed
            raised = _to_unit(current, now, reviewed, round_to)
            current = np.where(due, np.maximum(raised, current), current)
            reviewed = np.where(due, now, reviewed)
        values[:, month] = current
    return values


def _to_unit(amounts: Ints, now: Ints, then: Ints, unit: int) -> Ints:
    """Return amounts * now / then to the nearest `unit`, within 64 bits."""
    whole, rest = np.divmod(amounts, then)
    raised = whole * now + np.rint(rest * (now / then)).astype(np.int64)
    return (2 * raised + unit) // (2 * unit) * unit


def months_after(month: str, count: int) -> Sequence[str]:
    """Return the names (YYYY-MM) of the `count` months that follow `month`.

    >>> months_after("2021-11", 3)
    ('2021-12', '2022-01', '2022-02')
    """
    year, number = (int(part) for part in month.split("-"))
    first = year * 12 + number
    return tuple(f"{at // 12}-{at % 12 + 1:02d}" for at in range(first, first + count))
