"""Second registrations: people who are registered again, and what goes wrong when they are."""

from typing import Any

import numpy as np
from numpy.random import Generator

from tests.benchmarks.duplicates.families import HOST_HABITS
from tests.benchmarks.duplicates.numbers import Truths, Whole, mistyped, phones, wrong_days
from tests.benchmarks.duplicates.records import CHILD, HEAD, HOST, PLACES, Records
from tests.benchmarks.duplicates.spellings import HABITS, SCRIPT_HABITS


def second_registrations(
    generator: Generator, stated: dict[str, Any], first: Records, next_household: int
) -> Records:
    """Return the second records of those of `first` who are registered again."""
    wanted = stated["people"] * len(first)
    own = _with_their_household(generator, stated, first, wanted * (1 - stated["new_household"]))
    taken = np.zeros(first.household.max() + 1, dtype=bool)
    taken[first.household[own]] = True
    others = np.flatnonzero(~taken[first.household])
    count = min(round(wanted * stated["new_household"]), len(others))
    moved = generator.choice(others, size=count, replace=False)
    same = _copied(generator, stated, first.taken(own), next_household)
    elsewhere = _moved(generator, stated, first, moved, next_household + len(taken))
    second = Records.joined([same, elsewhere])
    _new_habits(generator, stated, second)
    _new_numbers(generator, stated, second)
    return second


def _with_their_household(
    generator: Generator, stated: dict[str, Any], first: Records, wanted: float
) -> Whole:
    """Return the rows of households that come again, without the members not listed this time."""
    households = generator.permutation(first.household.max() + 1)
    sizes = np.bincount(first.household)[households] * stated["household_part"]
    chosen = np.zeros(len(households), dtype=bool)
    chosen[households[: int(np.searchsorted(np.cumsum(sizes), wanted))]] = True
    listed = generator.random(len(first)) < stated["household_part"]
    return np.flatnonzero(chosen[first.household] & listed)


def _copied(
    generator: Generator, stated: dict[str, Any], again: Records, next_household: int
) -> Records:
    size = int(again.household.max(initial=0)) + 1
    moved = generator.random(size) < stated["district_changed"]
    changed = generator.random(size) < stated["phone_changed"]
    again.phone = np.where(
        changed[again.household], phones(generator, size)[again.household], again.phone
    )
    places = generator.integers(PLACES, size=size)
    again.district = np.where(moved[again.household], places[again.household], again.district)
    again.household = again.household + next_household
    return again


def _moved(
    generator: Generator, stated: dict[str, Any], first: Records, rows: Whole, next_household: int
) -> Records:
    """Return people alone in a household of their own, or on the roster of another."""
    again = first.taken(rows)
    alone = generator.random(len(rows)) < stated["alone"]
    host = generator.integers(len(first), size=len(rows))
    same_culture = first.culture[host] == again.culture
    alone |= ~same_culture | (first.household[host] == again.household)
    changed = generator.random(len(rows)) < stated["phone_changed"]
    moved = generator.random(len(rows)) < stated["district_changed"]
    own_phone = np.where(changed, phones(generator, len(rows)), again.phone)
    own_place = np.where(moved, generator.integers(PLACES, size=len(rows)), again.district)
    again.phone = np.where(alone, own_phone, first.phone[host])
    again.district = np.where(alone, own_place, first.district[host])
    again.household = np.where(alone, next_household + np.arange(len(rows)), first.household[host])
    again.role = np.where(alone, HEAD, CHILD)
    return again


def _new_habits(generator: Generator, stated: dict[str, Any], again: Records) -> None:
    """Let other clerks write the names: in the other script, by another habit, or as before."""
    _, event = np.unique(again.household, return_inverse=True)
    count = int(event.max(initial=0)) + 1
    other_script = (generator.random(count) < stated["script_changed"])[event]
    other_style = (generator.random(count) < stated["style_changed"])[event]
    step = generator.integers(1, 100, size=count)[event]
    native = again.habit < SCRIPT_HABITS
    latin = len(HABITS) - SCRIPT_HABITS
    crossed = np.where(native, SCRIPT_HABITS + step % latin, step % SCRIPT_HABITS)
    within_native = (again.habit + 1) % SCRIPT_HABITS
    within_latin = SCRIPT_HABITS + (again.habit - SCRIPT_HABITS + 1 + step % (latin - 1)) % latin
    within = np.where(native, within_native, within_latin)
    at = np.searchsorted(HOST_HABITS, again.habit)
    own = HOST_HABITS[(at + 1 + step % 2) % len(HOST_HABITS)]
    host = again.origin == HOST
    again.habit = np.select(
        [host & other_style, ~host & other_script, ~host & other_style],
        [own, crossed, within], again.habit,
    )  # fmt: skip


def _new_numbers(generator: Generator, stated: dict[str, Any], again: Records) -> None:
    spoil_identities(generator, stated, again)
    count = len(again)
    again.registration[generator.random(count) < stated["registration_missing"]] = None
    wrong = generator.random(count) < stated["birth_date_wrong"]
    again.born[wrong] = wrong_days(generator, again.born[wrong])


def spoil_identities(generator: Generator, stated: dict[str, Any], records: Records) -> None:
    """Let identity numbers be missing, or mistyped."""
    luck = generator.random(len(records))
    missing, slip = stated["identity_missing"], stated["identity_mistyped"]
    records.identity[luck < missing] = None
    has: Truths = np.array([number is not None for number in records.identity], dtype=bool)
    wrong = (luck >= missing) & (luck < missing + slip) & has
    records.identity[wrong] = mistyped(generator, records.identity[wrong])
