"""The generated registry is what its parameters say, and the same every time."""

from dataclasses import dataclass

import numpy as np
import pytest
from stdnum.tr import tckimlik

from eligibility.duplicates.shapes import PERSON
from tests.benchmarks.duplicates.records import HOST
from tests.benchmarks.duplicates.registry import Registry, generate, parameters
from tests.benchmarks.duplicates.spellings import HABITS, USUAL, names_of

RECORDS = 20_000
STATED = parameters()


@dataclass(frozen=True)
class Pairs:
    """The two records of each person registered twice: the first and the second."""

    first: np.ndarray
    second: np.ndarray


@pytest.fixture(scope="module")
def registry() -> Registry:
    return generate(RECORDS)


@pytest.fixture(scope="module")
def pairs(registry: Registry) -> Pairs:
    left, right = registry.true_pairs()
    return Pairs(
        np.where(registry.second[left], right, left), np.where(registry.second[left], left, right)
    )


def column(registry: Registry, name: str) -> np.ndarray:
    return registry.people[name].to_numpy(zero_copy_only=False)


def test_registry_has_the_columns_of_linkage_and_the_same_bytes_again(registry: Registry) -> None:
    assert registry.people.schema == PERSON
    assert registry.people.equals(generate(RECORDS).people)
    assert abs(len(registry.person) - RECORDS) < RECORDS * 0.03
    assert len(set(column(registry, "record_id"))) == len(registry.person)


def test_eight_in_a_hundred_are_registered_twice_and_nobody_on_one_roster(
    registry: Registry, pairs: Pairs
) -> None:
    alone = len(registry.person) - registry.close.sum() - len(pairs.first)
    assert len(pairs.first) / alone == pytest.approx(STATED["again"]["people"], abs=0.005)
    assert registry.second[pairs.second].all()
    assert not registry.second[pairs.first].any()
    household = column(registry, "household_id")
    assert (household[pairs.first] != household[pairs.second]).all()


def test_nobody_of_the_close_families_is_registered_twice(registry: Registry, pairs: Pairs) -> None:
    assert not registry.close[pairs.first].any()
    assert not registry.close[pairs.second].any()
    households = set(column(registry, "household_id")[registry.close])
    assert len(households) == STATED["close_families"]["households"] * RECORDS // 200_000


def test_second_registrations_are_spoiled_as_often_as_stated(
    registry: Registry, pairs: Pairs
) -> None:
    again = STATED["again"]
    number = column(registry, "id_number")
    had = np.array([n is not None for n in number[pairs.first]])
    numbers = number[pairs.second][had]
    missing = np.mean([n is None for n in numbers])
    wrong = np.mean([n is not None and not tckimlik.is_valid(n) for n in numbers])
    foreign = registry.origin[pairs.first] != HOST
    crossed = (registry.native[pairs.first] != registry.native[pairs.second])[foreign].mean()

    assert missing == pytest.approx(again["identity_missing"], abs=0.05)
    assert wrong == pytest.approx(again["identity_mistyped"], abs=0.03)
    assert crossed == pytest.approx(again["script_changed"], abs=0.06)


def test_first_registrations_have_valid_numbers_and_new_year_birthdays(registry: Registry) -> None:
    first = ~registry.second & ~registry.close
    numbers = [n for n in column(registry, "id_number")[first] if n is not None]
    others = [n for n in column(registry, "registration_number")[~registry.second] if n is not None]
    foreign = first & (registry.origin != HOST)
    days = column(registry, "birth_date")[foreign]

    assert all(tckimlik.is_valid(n) for n in numbers)
    assert len(set(numbers)) == len(numbers)
    close = {n for n in column(registry, "id_number")[registry.close] if n is not None}
    assert len(set(others)) == len(others)
    assert not set(numbers) & close
    assert np.mean([day.endswith("-01-01") for day in days]) == pytest.approx(0.18, abs=0.02)
    assert {n[:2] == "99" for n in column(registry, "id_number")[foreign] if n} == {True}


def test_a_name_is_spelled_by_eight_habits() -> None:
    names = names_of(np.random.default_rng(1), ["عبد العزيز", "Çiğdem"], ["محمد", "شعبان"], 1.0)
    assert len(HABITS) == names.spelled.shape[1]
    assert list(names.spelled[0]) == [
        "محمد", "محمد", *USUAL["محمد"], "Muhammed",
    ]  # fmt: skip
    assert list(names.spelled[1][[0, 1]]) == ["شعبان", "شعبان"]
    assert {word[:2] for word in names.spelled[1][[2, 3]]} == {"Sh"}
    assert names.spelled[1][4].startswith("Ch")
    assert names.spelled[2][1] == "عبدالعزيز"
    assert list(names.spelled[3]) == ["Çiğdem", "CIGDEM", *["Çiğdem"] * 5, "Cigdem"]
