"""The transfer of any month from the dated table alone; what is not published is said so."""

import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.problems import Refusal
from simulations.essn import DATA, FIRST, LAST, Net, PartName, dated_rows, transfer

MONTHS = [date(2016 + (10 + at) // 12, (10 + at) % 12 + 1, 1) for at in range(85)]
TOPUP_SIZES = {1: 600, 4: 600, 5: 300, 8: 300, 9: 100, 14: 100}


def try_of(month: date, people: int, disabled: int = 0) -> int | None:
    """TRY of a month by the published story, written down by hand; None where it is open."""
    per_person = next(
        amount
        for until, amount in (
            (date(2017, 5, 1), 100),
            (date(2021, 3, 1), 120),
            (date(2022, 5, 1), 155),
            (date(2023, 9, 1), 230),
            (date(2023, 11, 1), 500),
        )
        if month <= until
    )
    total = per_person * people
    if disabled:
        if not date(2018, 11, 1) <= month <= date(2021, 6, 1):
            return None
        total += 600 * disabled
    if month <= date(2019, 7, 1):
        return None  # no word of top-ups, then "50-250" a quarter, then two months without a word
    if month.month in (2, 5, 8, 11):
        total += 600 if people <= 4 else 300 if people <= 8 else 100
    if month in (date(2020, 6, 1), date(2020, 7, 1)):
        total += 500
    if month == date(2022, 6, 1):
        total += 1400
    return total


def test_the_months_are_those_of_the_programme() -> None:
    assert (MONTHS[0], MONTHS[-1]) == (FIRST, LAST) == (date(2016, 11, 1), date(2023, 11, 1))


@pytest.mark.parametrize("people", [1, 4, 5, 8, 9, 14])
@pytest.mark.parametrize("disabled", [0, 1])
def test_every_month_is_as_written_down_by_hand(people: int, disabled: int) -> None:
    for month in MONTHS:
        expected = try_of(month, people, disabled)
        found = transfer(month, people, disabled).amount_minor
        assert found == (None if expected is None else expected * 100), month


@pytest.mark.parametrize(
    ("month", "people", "disabled", "amount"),
    [
        ((2019, 8), 6, 0, 720 + 300),  # a quarter with a top-up
        ((2019, 9), 6, 0, 720),  # and one month later
        ((2020, 6), 5, 1, 600 + 600 + 500),  # disability, and the first COVID month
        ((2021, 4), 5, 0, 775),  # the first month of 155
        ((2021, 5), 3, 2, 465 + 1200 + 600),
        ((2022, 6), 7, 0, 1610 + 1400),  # 230, and once 1,400
        ((2023, 9), 2, 0, 460),
        ((2023, 10), 2, 0, 1000),  # the later row wins
        ((2023, 11), 9, 0, 4500 + 100),
    ],
)
def test_amounts_of_well_known_months(
    month: tuple[int, int], people: int, disabled: int, amount: int
) -> None:
    said = transfer(date(*month, 15), people, disabled)
    assert said.amount_minor == amount * 100
    assert str(said) == f"TRY {amount}.00"


@pytest.mark.parametrize(
    ("month", "people", "stated", "nearest"),
    [
        ((2016, 11), 1, 100, "range only"),  # the first month
        ((2017, 12), 6, 720, "range only"),
        ((2018, 7), 6, 720, "range only"),
        ((2019, 6), 6, 720, "tier from Oct 2023 FAQ"),
        ((2019, 7), 3, 360, "first seen Aug 2019"),
    ],
)
def test_months_of_whose_top_ups_nothing_is_said_are_not_published(
    month: tuple[int, int], people: int, stated: int, nearest: str
) -> None:
    said = transfer(date(*month, 1), people)
    assert (said.amount_minor, said.stated_minor) == (None, stated * 100)
    [missing] = said.missing
    assert missing.name is PartName.QUARTERLY
    assert missing.why.startswith(f"no row covers {month[0]}-{month[1]:02d}: {nearest}")
    assert missing.source.startswith("https://")


def test_a_range_is_not_published_and_names_its_source() -> None:
    said = transfer(date(2018, 11, 1), 5)
    assert said.amount_minor is None
    [missing] = said.missing
    assert missing.name is PartName.QUARTERLY
    assert "50-250" in missing.why
    assert missing.source.endswith("wfp-turkey-country-brief-august-2018")
    assert str(said).startswith("not published: quarterly_topup")
    # What is published of that month can still be read.
    assert said.parts[0].amount_minor == 600_00


@pytest.mark.parametrize("month", [date(2018, 10, 1), date(2021, 7, 1), date(2023, 11, 1)])
def test_the_allowance_is_not_published_outside_the_months_it_was_seen_in(month: date) -> None:
    said = transfer(month, 4, 1)
    allowance = next(part for part in said.parts if part.name is PartName.DISABILITY)
    assert said.amount_minor is None
    assert not allowance.is_published
    assert "last month seen Jun 2021" in allowance.why
    assert allowance.source.startswith("https://reliefweb.int/")


@pytest.mark.parametrize("month", [date(2016, 10, 1), date(2023, 12, 1), date(2026, 1, 1)])
def test_months_outside_the_table_are_not_published(month: date) -> None:
    said = transfer(month, 4)
    assert said.amount_minor is None
    assert "2016-11 to 2023-11" in said.missing[0].why


def test_the_second_programme_has_one_published_amount() -> None:
    assert transfer(date(2023, 7, 1), 4, net=Net.C_ESSN).amount_minor == 1800_00
    assert transfer(date(2022, 7, 1), 4, net=Net.C_ESSN).amount_minor is None


@given(st.sampled_from(MONTHS), st.integers(1, 20), st.integers(0, 3))
def test_nothing_is_said_between_two_rows(month: date, people: int, disabled: int) -> None:
    """Every stated amount is a whole number of times a value that stands in the table."""
    values = {row.amount_minor for row in dated_rows()} - {None}
    said = transfer(month, people, min(disabled, people))
    for part in said.parts:
        times = {PartName.PER_CAPITA: people, PartName.DISABILITY: min(disabled, people)}
        if part.amount_minor is not None:
            assert part.amount_minor // times.get(part.name, 1) in values
        assert part.source
        assert part.why


@pytest.mark.parametrize(("people", "disabled"), [(0, 0), (-1, 0), (3, 4), (3, -1)])
def test_households_that_cannot_be_are_refused(people: int, disabled: int) -> None:
    with pytest.raises(Refusal, match="essn_household_impossible"):
        transfer(date(2020, 1, 1), people, disabled)


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


@pytest.mark.samples
@pytest.mark.parametrize(
    ("carried", "published"),
    [
        ("essn_parameters", "essn_parameters_dated"),
        ("exchange_rates", "fx_try_monthly_ecb"),
        ("minimum_expenditure_basket", "meb_try"),
    ],
)
def test_the_figures_carried_are_the_published_ones(
    samples: Path, carried: str, published: str
) -> None:
    found = list(rows_of(DATA / f"{carried}.csv"))
    assert found == list(rows_of(samples / "essn" / f"{published}.csv"))
    assert len(found) > 4
