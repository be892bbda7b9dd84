"""Exchange rates as whole millionths, and the record they are drawn from.

A rate is what one unit of a foreign currency costs in TRY, in millionths: 18.5 TRY per USD is
18,500,000. Chance works in binary fractions until a rate exists; from there on it is a whole number
and every conversion of money is exact and rounded once, half away from zero. Price indexes are
millionths too: 1,000,000 is the month before the first.

The record: averages of the European Central Bank's daily euro reference rates by month, TRY per EUR
and (crossed) per USD, from January 2005 (`simulations/data/exchange_rates.csv`). Rates used by UN
agencies differ slightly: TRY 120 of August 2018 were USD 20.0 as published and 20.2 at this record.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np

from ledgers.problems import Problem
from simulations.randomness import Floats, Ints

RATE_MONTH_UNKNOWN = Problem(
    "rate_month_unknown",
    "The record of exchange rates has nothing of {month}; it runs from {first} to {last}.",
    "Choose a month of the record, or give the rates in the scenario.",
)

DATA = Path(__file__).parent / "data"
MILLION = 1_000_000
RATE_MAX = 10**12  # a million TRY a unit: more is a slipped digit
CURRENCIES = ("USD", "EUR")


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """Rates month by month: `months` as YYYY-MM, `rates` months × currencies in millionths."""

    months: tuple[str, ...]
    currencies: tuple[str, ...]
    rates: Ints

    def until(self, month: str) -> "Record":
        """Return what was known at the end of `month`. Raises `rate_month_unknown`."""
        last = self.place(month) + 1
        return Record(self.months[:last], self.currencies, self.rates[:last])

    def after(self, month: str, count: int) -> Ints:
        """Return up to `count` months of rates that follow `month`: months × currencies."""
        first = self.place(month) + 1
        return self.rates[first : first + count]

    def of(self, month: str) -> dict[str, int]:
        """Return the rates of one month by currency. Raises `rate_month_unknown`."""
        return dict(zip(self.currencies, self.rates[self.place(month)].tolist(), strict=True))

    def log_returns(self) -> Floats:
        """Return the monthly changes of the logarithm: months - 1 × currencies."""
        changes: Floats = np.diff(np.log(self.rates / MILLION), axis=0)
        return changes

    def place(self, month: str) -> int:
        """Return where `month` stands in `months`. Raises `rate_month_unknown`."""
        if month not in self.months:
            raise RATE_MONTH_UNKNOWN.refusal(
                month=month, first=self.months[0], last=self.months[-1]
            )
        return self.months.index(month)


@cache
def ecb_record() -> Record:
    """Return the record that comes with the program."""
    with (DATA / "exchange_rates.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [f"{currency.lower()}_try_avg" for currency in CURRENCIES]
    rates = np.array([[millionths(row[name]) for name in names] for row in rows], dtype=np.int64)
    rates.setflags(write=False)
    return Record(tuple(row["month"] for row in rows), CURRENCIES, rates)


def millionths(number: str | Decimal | int) -> int:
    """Return a decimal number in millionths, rounded to the nearest.

    >>> millionths("18.5"), millionths(Decimal("1.0"))
    (18500000, 1000000)
    """
    return int(Decimal(number).scaleb(6).to_integral_value())


def rounded_millionths(values: Floats) -> Ints:
    """Return drawn values as millionths, from 1 to `RATE_MAX`."""
    return np.rint(np.clip(values * MILLION, 1, RATE_MAX)).astype(np.int64)


def foreign_minor(try_minor: Ints, rates: Ints) -> Ints:
    """Return what amounts in kuruş are in cents of a currency at `rates`; the shapes broadcast.

    Both currencies have two decimals. Rounded half away from zero; exact to 92 quadrillion kuruş.
    """
    return _scaled(try_minor, np.int64(MILLION), rates)


def try_minor(foreign: Ints, rates: Ints) -> Ints:
    """Return what amounts in cents of a currency are in kuruş at `rates`; the shapes broadcast."""
    return _scaled(foreign, rates, np.int64(MILLION))


def indexed_minor(amounts: Ints, index: Ints) -> Ints:
    """Return amounts of the month before the first at the prices of `index` (millionths)."""
    return _scaled(amounts, index, np.int64(MILLION))


def _scaled(amounts: Ints, times: Ints | np.int64, by: Ints | np.int64) -> Ints:
    """Return round(amounts * times / by) without leaving 64 bits."""
    sign = np.sign(amounts)
    whole, rest = np.divmod(np.abs(amounts), by)
    part, tail = np.divmod(rest * times, by)
    result: Ints = sign * (whole * times + part + (2 * tail >= by))
    return result


def crossed(rates: Mapping[str, int], into: str, amount: int, of: str) -> int:
    """Return an amount of currency `of` in minor units of `into`, both by their rate to TRY."""
    if of == into:
        return amount
    kurus = np.array([amount])
    if of != "TRY":
        kurus = try_minor(kurus, np.array([rates[of]]))
    if into != "TRY":
        kurus = foreign_minor(kurus, np.array([rates[into]]))
    return int(kurus[0])
