"""Rates of exchange: what a source said one currency was worth in another, on a day.

A rate is kept with its source and its day and never changes: a rate that was recorded wrongly gets
a next revision, and what was valued with the first one can still be explained. The rate of a day
without one is that of the last day before, up to a week (weekends, holidays).

Amounts are converted in exact fractions and rounded once, half away from zero, to the minor unit of
the target currency.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from psycopg import Connection

from ledgers.money import exponent, round_to
from ledgers.problems import Answer, Problem

RATE_UNKNOWN = Problem(
    "rate_unknown",
    "{source} has no rate of {base} in {quote} for {on} or the week before it.",
    "Record the rate with its source and its day.",
    Answer.NOT_FOUND,
)
RATE_UNFIT = Problem(
    "rate_unfit",
    "{rate} cannot be the rate of {base} in {quote}.",
    "Give a number above zero and two different currencies.",
)
RATE_DIFFERS = Problem(
    "rate_differs",
    "{source} already has the rate {rate} of {base} in {quote} for {on}.",
    "Keep it, or record the new one as a revision.",
)
RATE_PAIR_UNFIT = Problem(
    "rate_pair_unfit",
    "The rate of {base} in {quote} does not convert {currency}.",
    "Choose a rate of that currency.",
)

DAYS_WITHOUT_RATE_MAX = 7
_RATE_MAX = Decimal(10) ** 12


@dataclass(frozen=True, slots=True)
class Rate:
    """One unit of `base` in units of `quote`, as `source` published it for the day."""

    source: str
    base: str
    quote: str
    valid_on: date
    rate: Decimal
    revision: int = 1

    @property
    def reference(self) -> str:
        """How an entry names the rate it was valued with: source, pair, day, revision, value."""
        pair = f"{self.base}/{self.quote}"
        return f"{self.source} {pair} {self.valid_on} r{self.revision} {self.rate.normalize():f}"

    def convert(self, minor: int, currency: str) -> int:
        """Return `minor` units of `currency`, one of the pair, in the other of the pair.

        Raises `rate_pair_unfit`.
        """
        factor = Fraction(self.rate)
        if currency == self.base:
            target = self.quote
        elif currency == self.quote:
            target, factor = self.base, 1 / factor
        else:
            raise RATE_PAIR_UNFIT.refusal(base=self.base, quote=self.quote, currency=currency)
        scale = Fraction(10) ** (exponent(target) - exponent(currency))
        return round_to(minor * factor * scale)


class Rates:
    """The rates of one source into one currency, by day, without asking the books again."""

    def __init__(self, source: str, quote: str, rates: Iterable[Rate]) -> None:
        self.source = source
        self.quote = quote
        self._by_day: Mapping[tuple[str, date], Rate] = {
            (rate.base, rate.valid_on): rate
            for rate in sorted(rates, key=lambda rate: rate.revision)
        }

    def on(self, base: str, day: date) -> Rate:
        """Return the rate of `base` for the day or the last day before. Raises `rate_unknown`."""
        for back in range(DAYS_WITHOUT_RATE_MAX + 1):
            found = self._by_day.get((base, day - timedelta(days=back)))
            if found is not None:
                return found
        raise RATE_UNKNOWN.refusal(source=self.source, base=base, quote=self.quote, on=day)


def record_rate(
    conn: Connection, rate: Rate, *, recorded_by: str, revises: bool = False
) -> Rate | None:
    """Record a rate; returns it with its revision, or None where the books have it already.

    Raises `rate_unfit`, `currency_unknown`; `rate_differs` where the day has another rate, unless
    `revises` says that this one takes its place.
    """
    if rate.base == rate.quote or not 0 < rate.rate < _RATE_MAX:
        raise RATE_UNFIT.refusal(rate=rate.rate, base=rate.base, quote=rate.quote)
    exponent(rate.base)
    exponent(rate.quote)
    day = [rate.source, rate.base, rate.quote, rate.valid_on]
    last = conn.execute(
        "SELECT revision, rate FROM books.rate"
        " WHERE (source, base, quote, valid_on) = (%s, %s, %s, %s)"
        " ORDER BY revision DESC LIMIT 1",
        day,
    ).fetchone()
    if last is not None and last[1] == rate.rate:
        return None
    if last is not None and not revises:
        raise RATE_DIFFERS.refusal(
            source=rate.source, rate=last[1], base=rate.base, quote=rate.quote, on=rate.valid_on
        )
    revision = last[0] + 1 if last else 1
    conn.execute(
        "INSERT INTO books.rate (source, base, quote, valid_on, rate, revision, recorded_by)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [*day, rate.rate, revision, recorded_by],
    )
    return Rate(rate.source, rate.base, rate.quote, rate.valid_on, rate.rate, revision)


def rates_into(conn: Connection, source: str, quote: str, until: date) -> Rates:
    """Return the source's rates into `quote` for the days until `until`."""
    rows = conn.execute(
        "SELECT base, valid_on, rate, revision FROM books.rate"
        " WHERE (source, quote) = (%s, %s) AND valid_on <= %s",
        [source, quote, until],
    )
    return Rates(
        source, quote, [Rate(source, base, quote, on, rate, rev) for base, on, rate, rev in rows]
    )
