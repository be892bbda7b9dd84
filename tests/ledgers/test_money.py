"""Amounts are read and written exactly, rounded only by name, and divided without loss."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.money import (
    exponent,
    format_amount,
    grouped,
    parse_amount,
    round_to,
    split,
    with_amounts,
)
from ledgers.problems import Refusal

MINOR = st.integers(-(2**63) + 1, 2**63 - 1)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("1250.50", "TRY", 125050),
        ("1250.5", "TRY", 125050),
        (" 0 ", "TRY", 0),
        ("007", "TRY", 700),
        ("1250", "JPY", 1250),
        ("1.234", "KWD", 1234),
        ("92233720368547758.07", "TRY", 2**63 - 1),
    ],
)
def test_amount_is_read_exactly(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "code"),
    [
        ("1.250", "TRY", "amount_too_precise"),
        ("1.5", "JPY", "amount_too_precise"),
        ("1,250.00", "TRY", "amount_unreadable"),
        ("1.250,00", "TRY", "amount_unreadable"),
        ("1e3", "TRY", "amount_unreadable"),
        ("", "TRY", "amount_unreadable"),
        ("NaN", "TRY", "amount_unreadable"),
        ("١٢٥٠", "TRY", "amount_unreadable"),
        (".5", "TRY", "amount_unreadable"),
        ("-1.00", "TRY", "amount_negative"),
        ("92233720368547758.08", "TRY", "amount_too_large"),
        ("1.00", "ZZZ", "currency_unknown"),
        ("1.00", "XAU", "currency_unknown"),
    ],
)
def test_amount_that_is_not_certain_is_refused(text: str, currency: str, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_amount(text, currency)
    assert refused.value.problem.code == code


@given(MINOR, st.sampled_from(["TRY", "JPY", "KWD", "USD"]))
def test_format_is_read_back(minor: int, currency: str) -> None:
    text = format_amount(minor, currency)
    assert parse_amount(text, currency, negative=True) == minor
    assert Decimal(text).scaleb(exponent(currency)) == minor


@given(
    st.decimals(-(10**12), 10**12, allow_nan=False, places=4), st.sampled_from([1, 5, 100, 1000])
)
def test_rounding_is_half_away_from_zero(minor: Decimal, unit: int) -> None:
    expected = (minor / unit).quantize(Decimal(1), rounding=ROUND_HALF_UP) * unit
    assert round_to(minor, unit) == expected
    assert round_to(-minor, unit) == -expected


@given(st.integers(-(10**15), 10**15), st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
def test_split_keeps_the_total_and_every_share(total: int, weights: list[int]) -> None:
    if not any(weights):
        weights[0] = 1
    parts = split(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1


def test_split_gives_ties_to_the_earlier_position() -> None:
    assert split(100, [1, 1, 1]) == [34, 33, 33]
    assert split(-100, [1, 1, 1]) == [-34, -33, -33]
    assert split(5, [0, Decimal("0.5"), Decimal("0.5")]) == [0, 3, 2]


@pytest.mark.parametrize("weights", [[], [0, 0], [2, -1]])
def test_split_by_nothing_is_refused(weights: list[int]) -> None:
    with pytest.raises(Refusal, match="weights_unusable"):
        split(100, weights)


@given(MINOR, st.sampled_from(["TRY", "JPY", "KWD"]))
def test_thousands_apart_are_the_same_amount(minor: int, currency: str) -> None:
    text = grouped(minor, currency)
    assert text.replace(",", "") == format_amount(minor, currency)
    whole = text.removeprefix("-").partition(".")[0].split(",")
    assert [len(part) for part in whole[1:]] == [3] * (len(whole) - 1)
    assert 1 <= len(whole[0]) <= 3


def test_an_amount_of_a_problem_is_said_in_its_currency() -> None:
    assert with_amounts({"short_minor": 123456750, "currency": "TRY", "account": "cash"}) == {
        "short": "1,234,567.50 TRY", "short_minor": 123456750, "currency": "TRY", "account": "cash",
    }  # fmt: skip
    assert with_amounts({"short_minor": -1500, "currency": "JPY"})["short"] == "-1,500 JPY"
    for unknown in ({}, {"currency": "ZZZ"}, {"currency": None}):
        assert with_amounts({"short_minor": 1500, **unknown})["short"] == "1,500 minor units"
    assert with_amounts({"short_minor": 1, "short": "it is there"})["short"] == "it is there"
