"""Tariffs: exact, by size, the last row for all larger households, rounded as named; and shares."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from eligibility.entitlements import Entitlement, shared_out, tariff_of
from ledgers.problems import Refusal

LABEL = {"tr": "Ek", "en": "Supplement", "ar": "علاوة"}


def tariff(currency: str = "TRY", **written: object) -> tuple[int, ...]:
    return tariff_of(Entitlement.model_validate(written), currency)


def test_a_table_gives_each_size_its_amount() -> None:
    table = tariff(by_size={1: Decimal("1500.00"), 2: "2500.50", 3: 3000})
    assert table == (150000, 250050, 300000)


def test_an_amount_per_person_counts_no_more_people_than_stated() -> None:
    table = tariff(per_person=Decimal("1500.00"), people_max=3)
    assert table == (150000, 300000, 450000)


def test_one_amount_is_for_every_household() -> None:
    assert tariff(flat="13000") == (1300000,)


def test_rounding_is_half_away_from_zero_to_the_unit_named() -> None:
    table = tariff(per_person=Decimal("125.00"), people_max=3, round_to=Decimal("50.00"))
    assert table == (15000, 25000, 40000)
    assert tariff(flat="124.99", round_to="50") == (10000,)


def test_bounds_hold_what_was_rounded() -> None:
    table = tariff(per_person="125.00", people_max=4, round_to="50", at_least="200", at_most="390")
    assert table == (20000, 25000, 39000, 39000)


def test_what_is_named_or_depends_on_who_counts_has_no_tariff() -> None:
    assert tariff(flat="p.amount") == ()
    assert tariff(by_size={1: "p.small", 2: "10.00"}) == ()
    assert tariff(per_person="10.00", people_max=2, payable="m.age < 18") == ()
    assert tariff(flat="10.00", at_most="p.cap") == ()
    in_parts = {"shares": {"one": 1, "two": 1}, "due": "p.turn"}
    assert tariff(flat="10.00", instalments=in_parts) == ()


def test_a_currency_has_the_decimals_it_has() -> None:
    assert tariff("JPY", flat="1500") == (1500,)
    with pytest.raises(Refusal, match=r"^amount_too_precise"):
        tariff("JPY", flat="1500.50")
    with pytest.raises(Refusal, match=r"^amount_too_precise"):
        tariff(flat=Decimal("1.250"))


def test_an_amount_that_comes_to_nothing_is_refused() -> None:
    with pytest.raises(Refusal, match=r"^entitlement_nothing: .* 1 person"):
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
        {"flat": "p.Amount"},
        {"flat": "1.00", "bonus": "1.00"},
        {"flat": "1.00", "payable": "m.age < 18"},
        {"attendance": {"unit": "day"}},
        {"attendance": {"unit": "day", "per_unit": "1.00"}},
        {"attendance": {"unit": "day", "per_member": "1.00"}},
        {"attendance": {"unit": "day", "per_unit": "1.00", "units_max": 3, "per_member": "1.00"}},
        {"case_by_case": {"items": {}}},
        {"flat": "1.00", "instalments": {"shares": {"only": 1}, "due": "p.turn"}},
        {"flat": "1.00", "instalments": {"shares": {"one": 1, "two": 0}, "due": "p.turn"}},
        {"flat": "1.00", "instalments": {"shares": {"one": 1, "two": 1}, "due": "turn"}},
        {"attendance": {"unit": "day", "per_unit": "1.00", "units_max": 3},
         "instalments": {"shares": {"one": 1, "two": 1}, "due": "p.turn"}},
        {"flat": "1.00", "add_ons": ({"id": "x", "label": LABEL, "amount": "1.00"},)},
        {"flat": "1.00",
         "add_ons": ({"id": "x", "label": LABEL, "amount": "1.00", "when": "a", "people_max": 2},)},
        {"flat": "1.00", "top_ups": ({"id": "x", "label": LABEL, "by_size": {}},)},
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_no_entitlement(written: dict) -> None:
    with pytest.raises(ValidationError):
        Entitlement.model_validate(written)


# --- shares ---------------------------------------------------------------------------------


def test_ties_of_a_split_go_to_the_smaller_line_whatever_order_they_come_in() -> None:
    assert shared_out(1000, {"line_3": 1, "line_1": 1, "line_2": 1}) == {
        "line_1": 334, "line_2": 333, "line_3": 333,
    }  # fmt: skip
    assert shared_out(100_00, {"a": 1, "b": 2}, unit_minor=50_00) == {"a": 5000, "b": 5000}
    assert shared_out(100_07, {"a": 1, "b": 2}, unit_minor=50_00) == {"a": 5000, "b": 5007}
    with pytest.raises(Refusal, match="weights_unusable"):
        shared_out(100, {"a": 0, "b": 0})


@given(
    st.integers(0, 10**12),
    st.dictionaries(st.text(min_size=1, max_size=4), st.integers(0, 10**6), min_size=1),
    st.sampled_from([1, 50, 100]),
)
def test_a_split_keeps_the_total_and_nobody_is_a_unit_off(
    total: int, weights: dict[str, int], unit: int
) -> None:
    whole = sum(weights.values())
    if whole == 0:
        return
    parts = shared_out(total, weights, unit)
    assert sum(parts.values()) == total
    for line, part in parts.items():
        exact_times_whole = total // unit * weights[line]
        assert abs(part // unit * whole - exact_times_whole) < whole
    largest = min(line for line in weights if weights[line] == max(weights.values()))
    assert {line: part % unit for line, part in parts.items()} == {
        line: total % unit if line == largest else 0 for line in weights
    }
