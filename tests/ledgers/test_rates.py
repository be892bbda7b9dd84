"""Rates keep their source and their day, never change, and convert exactly."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.money import exponent
from ledgers.problems import Refusal
from ledgers.rates import Rate, Rates, rates_into, record_rate
from ledgers.refusals import refusals

FRIDAY = date(2026, 2, 27)
DOLLAR = Rate("TCMB", "USD", "TRY", FRIDAY, Decimal("38.1234"))


def test_rate_is_recorded_once_with_its_source(app: psycopg.Connection) -> None:
    assert record_rate(app, DOLLAR, recorded_by="Deniz") == DOLLAR
    assert record_rate(app, DOLLAR, recorded_by="Omar") is None
    assert rates_into(app, "TCMB", "TRY", FRIDAY).on("USD", FRIDAY) == DOLLAR
    assert DOLLAR.reference == "TCMB USD/TRY 2026-02-27 r1 38.1234"


def test_wrong_rate_gets_a_revision(app: psycopg.Connection) -> None:
    record_rate(app, DOLLAR, recorded_by="Deniz")
    better = Rate("TCMB", "USD", "TRY", FRIDAY, Decimal("38.4321"))
    with pytest.raises(Refusal, match="rate_differs"):
        record_rate(app, better, recorded_by="Deniz")
    revised = record_rate(app, better, recorded_by="Omar", revises=True)
    assert revised == Rate("TCMB", "USD", "TRY", FRIDAY, Decimal("38.4321"), 2)
    assert rates_into(app, "TCMB", "TRY", FRIDAY).on("USD", FRIDAY) == revised


@pytest.mark.parametrize(
    "rate",
    [
        Rate("TCMB", "USD", "TRY", FRIDAY, Decimal(0)),
        Rate("TCMB", "USD", "TRY", FRIDAY, Decimal(-1)),
        Rate("TCMB", "TRY", "TRY", FRIDAY, Decimal(1)),
        Rate("TCMB", "USD", "TRY", FRIDAY, Decimal(10) ** 12),
    ],
)
def test_unfit_rate_is_refused(app: psycopg.Connection, rate: Rate) -> None:
    with pytest.raises(Refusal, match="rate_unfit"):
        record_rate(app, rate, recorded_by="Deniz")


GOOD = {"source": "TCMB", "base": "USD", "quote": "TRY", "valid_on": "2026-01-01", "revision": 1,
        "rate": "38.1", "recorded_by": "Sam"}  # fmt: skip


def insert(conn: psycopg.Connection, **wrong: object) -> None:
    """Type a rate in as raw SQL."""
    row = {**GOOD, **wrong}
    values = ", ".join(f"%({name})s" for name in row)
    conn.execute(f"INSERT INTO books.rate ({', '.join(row)}) VALUES ({values})", row)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"rate": rate} for rate in ("0", "-1", "NaN", "Infinity", "1e12")),
        {"source": ""}, {"base": "usd"}, {"quote": "try"}, {"quote": "USD"}, {"revision": 0},
        {"recorded_by": ""},
    ],
)  # fmt: skip
def test_unfit_rate_is_refused_to_raw_sql(
    app: psycopg.Connection, wrong: dict[str, object]
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        insert(app, **wrong)


def test_one_revision_of_a_rate_is_recorded_once_by_raw_sql_too(app: psycopg.Connection) -> None:
    insert(app)
    insert(app, revision=2)
    with pytest.raises(psycopg.errors.UniqueViolation):
        insert(app, rate="39")


def test_time_of_a_rate_is_the_databases_to_say(
    app: psycopg.Connection, auditor: psycopg.Connection
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        insert(app, recorded_at="2020-01-01")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        insert(auditor)


@pytest.mark.parametrize(
    "change", ["UPDATE books.rate SET rate = 1", "DELETE FROM books.rate", "TRUNCATE books.rate"]
)
def test_recorded_rate_never_changes(
    app: psycopg.Connection, owner: psycopg.Connection, change: str
) -> None:
    record_rate(app, DOLLAR, recorded_by="Deniz")
    app.commit()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(change)
    with pytest.raises(Refusal, match="books_append_only"), refusals():
        owner.execute(change)


def test_day_without_a_rate_takes_the_last_one_of_a_week() -> None:
    rates = Rates("TCMB", "TRY", [DOLLAR])
    assert rates.on("USD", date(2026, 3, 6)) == DOLLAR
    with pytest.raises(Refusal, match="rate_unknown"):
        rates.on("USD", date(2026, 3, 7))
    with pytest.raises(Refusal, match="rate_unknown"):
        rates.on("USD", date(2026, 2, 26))


def test_conversion_knows_the_smallest_unit_of_both_currencies() -> None:
    yen = Rate("TCMB", "JPY", "TRY", FRIDAY, Decimal("0.25"))
    assert yen.convert(1001, "JPY") == 25025
    assert yen.convert(25025, "TRY") == 1001
    assert DOLLAR.convert(-10000, "USD") == -381234
    with pytest.raises(Refusal, match="rate_pair_unfit"):
        DOLLAR.convert(1, "EUR")


@given(
    minor=st.integers(-(10**15), 10**15),
    rate=st.decimals("0.0001", "9999", places=4),
    base=st.sampled_from(["USD", "JPY", "KWD"]),
)
def test_conversion_is_off_by_half_a_unit_at_most(minor: int, rate: Decimal, base: str) -> None:
    there = Rate("x", base, "TRY", FRIDAY, rate)
    exact = minor * Fraction(rate) * Fraction(10) ** (2 - exponent(base))
    assert abs(there.convert(minor, base) - exact) <= Fraction(1, 2)
    assert there.convert(-minor, base) == -there.convert(minor, base)
