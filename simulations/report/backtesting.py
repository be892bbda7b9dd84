"""A backtest: what a scenario would have told with what was known then, beside what came.

The scenario's record ends before its start (`known_until`), and the later record says what the
exchange rate did: the fan, the stress paths that were known, and what came stand in one chart. The
lira budget is that of the scenario; its dollars follow the rate, and so do the lira that the same
dollars would have taken.
"""

from collections.abc import Iterator

import numpy as np

from simulations.months import named
from simulations.projection.drawing import stress_outcome
from simulations.projection.running import Projection
from simulations.randomness import Ints
from simulations.rates import ecb_record, foreign_minor, try_minor
from simulations.report.model import Column, Kind, Sentence, amount, count, table
from simulations.report.parts import (
    MONTH,
    Part,
    band_columns,
    bands,
    days_of,
    ends,
    part,
    saying,
)

CENTS = 10_000


def backtest_parts(projection: Projection) -> Iterator[Part]:
    """Yield the rate, the budget in dollars and the lira that keep its value.

    Raises `rate_month_unknown` where the record does not reach the scenario's last month.
    """
    came = actual_rates(projection)
    yield _rate_part(projection, came)
    yield _money_part(projection, came, "backtest_usd", "USD")
    yield _money_part(projection, came, "backtest_keep", "TRY")


def actual_rates(projection: Projection) -> Ints:
    """Return what the dollar cost in each month of the scenario, by the record."""
    record = ecb_record()
    return np.array([record.of(named(day))["USD"] for day in projection.draws.terms.months])


def _rate_part(projection: Projection, came: Ints) -> Part:
    base, drawn = projection.draws.base_prices.of("USD")[0], _drawn(projection)
    rows: dict[str, object] = {"month": days_of(projection), "base": base, "actual": came}
    rows |= bands(drawn)
    columns = [MONTH, Column("base", Kind.RATE), Column("actual", Kind.RATE)]
    columns += band_columns(Kind.RATE)
    for stress in projection.scenario.prices.stress:
        path, _ = stress_outcome(projection.draws, projection.base.loads, None, stress)
        rows[stress.code] = path.of("USD")[0]
        columns.append(Column(stress.code, Kind.RATE))
    made = part(
        "backtest_rate", table("backtest_rate", columns, rows), "fan", line="base", unit="rate",
        beside="actual",
    )  # fmt: skip
    shown = bands(drawn)
    inside = (came >= shown["p5"]) & (came <= shown["p95"])
    known = projection.draws.market.known
    facts = {
        "known": known.months[-1],
        "before": _rate(int(known.rates[-1, known.currencies.index("USD")])),
        "last": _rate(int(came[-1])),
        "inside": count(int(inside.sum())),
        "months": count(len(came)),
    }
    return saying(made, Sentence("backtest_rate_says", facts), _budget_says(projection))


def _budget_says(projection: Projection) -> Sentence:
    base = projection.base.base
    facts = {
        "households": count(base.paid[0, 0]), "people": count(base.people[0, 0]),
        "total": amount(base.need.sum(), "TRY"), "months": count(base.need.shape[1]),
    }  # fmt: skip
    return Sentence("per_thousand_says", facts)


def _money_part(projection: Projection, came: Ints, key: str, currency: str) -> Part:
    """Return the need in dollars, or the lira that its dollars of the start have become."""
    need, drawn_need = projection.base.base.need, projection.base.draws.need
    base, drawn = projection.draws.base_prices.of("USD"), _drawn(projection)
    known = projection.draws.market.known
    before = int(known.rates[-1, known.currencies.index("USD")])
    if currency == "USD":
        told, fan, actual = (
            foreign_minor(need, base),
            foreign_minor(drawn_need, drawn),
            foreign_minor(need, came[None]),
        )
    else:
        told, fan, actual = (
            _kept(need, base, before), _kept(drawn_need, drawn, before),
            _kept(need, came[None], before),
        )  # fmt: skip
    rows = {
        "month": days_of(projection), "base_minor": told[0], "actual_minor": actual[0],
        **bands(fan, "_minor"),
    }  # fmt: skip
    columns = [
        MONTH, Column("base_minor", Kind.AMOUNT, currency),
        Column("actual_minor", Kind.AMOUNT, currency), *band_columns(Kind.AMOUNT, currency),
    ]  # fmt: skip
    made = part(
        key, table(key, columns, rows), "fan", line="base_minor", unit=currency,
        beside="actual_minor",
    )  # fmt: skip
    low, high = ends(fan.sum(axis=1))
    facts = {
        "told": amount(told.sum(), currency), "low": amount(low, currency),
        "high": amount(high, currency), "came": amount(actual.sum(), currency),
    }  # fmt: skip
    return saying(made, Sentence("backtest_total_says", facts))


def _kept(need: Ints, rates: Ints, before: int) -> Ints:
    """Return the lira that buy as many dollars as the need did at the rate known last."""
    dollars = foreign_minor(need, np.array([before]))
    return try_minor(dollars, rates)


def _drawn(projection: Projection) -> Ints:
    rates = projection.draws.prices.of("USD")
    return np.broadcast_to(rates, (projection.scenario.draws, rates.shape[1]))


def _rate(millionths: int) -> str:
    return f"{millionths // CENTS / 100:.2f}"
