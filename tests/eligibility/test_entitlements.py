"""Amounts: exact, by size, the last row for all larger households, rounded as named."""

from decimal import Decimal

import duckdb
import ibis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eligibility.entitlements import Entitlement, amount_column, amount_minor, tariff_of
from ledgers.problems import Refusal


def tariff(currency: str = "TRY", **written: object) -> tuple[int, ...]:
    return tariff_of(Entitlement.model_validate(written), currency)


def test_a_table_gives_each_size_its_amount_and_its_last_row_to_all_larger() -> None:
    table = tariff(by_size={1: Decimal("1500.00"), 2: "2500.50", 3: 3000})
    assert [amount_minor(table, people) for people in (1, 2, 3, 4, 40)] == [
        150000,
        250050,
        300000,
        300000,
        300000,
    ]


def test_an_amount_per_person_counts_no_more_people_than_stated() -> None:
    table = tariff(per_person=Decimal("1500.00"), people_max=6)
    assert [amount_minor(table, people) for people in (1, 6, 7)] == [150000, 900000, 900000]


def test_one_amount_is_for_every_household() -> None:
    assert tariff(flat="13000") == (1300000,)


def test_rounding_is_half_away_from_zero_to_the_unit_named() -> None:
    table = tariff(per_person=Decimal("125.00"), people_max=3, round_to=Decimal("50.00"))
    assert table == (15000, 25000, 40000)
    assert tariff(flat="124.99", round_to="50") == (10000,)


def test_a_currency_has_the_decimals_it_has() -> None:
    assert tariff("JPY", flat="1500") == (1500,)
    with pytest.raises(Refusal, match=r"^amount_too_precise"):
        tariff("JPY", flat="1500.50")
    with pytest.raises(Refusal, match=r"^amount_too_precise"):
        tariff(flat=Decimal("1.250"))


def test_an_amount_that_comes_to_nothing_is_refused() -> None:
    with pytest.raises(Refusal, match=r"^entitlement_nothing: .* 1 people"):
        tariff(flat="20.00", round_to="50.00")


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"flat": "1.00", "by_size": {1: "1.00"}},
        {"per_person": "1.00"},
        {"flat": "1.00", "people_max": 3},
        {"by_size": {}},
        {"by_size": {1: "1.00", 3: "1.00"}},
        {"by_size": {0: "1.00", 1: "1.00"}},
        {"flat": 1.5},
        {"flat": True},
        {"flat": "-1.00"},
        {"flat": "1,50"},
        {"flat": "1.00", "bonus": "1.00"},
    ],
)
def test_what_cannot_be_meant_is_no_entitlement(written: dict) -> None:
    with pytest.raises(ValidationError):
        Entitlement.model_validate(written)


@given(
    st.lists(st.integers(1, 10**9), min_size=1, max_size=12),
    st.lists(st.one_of(st.none(), st.integers(1, 20)), min_size=1, max_size=10),
)
def test_columns_give_the_same_amounts(table: list[int], sizes: list[int | None]) -> None:
    values = ", ".join(f"({'NULL' if size is None else size}::BIGINT)" for size in sizes)
    people = ibis.table({"people": "int64"}, name="sizes")
    query = ibis.to_sql(
        people.select(amount=amount_column(tuple(table), people.people)), dialect="duckdb"
    )
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE sizes AS SELECT * FROM (VALUES {values}) AS t (people)")
        found = [row[0] for row in connection.execute(query).fetchall()]
    assert found == [None if size is None else amount_minor(tuple(table), size) for size in sizes]
