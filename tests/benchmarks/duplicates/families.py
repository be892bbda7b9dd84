"""First registrations: households of families, with names, days and numbers as families have them.

A child has the names of its parents; the eldest son often that of his grandfather. Wives of the
host community have their husband's family name, others their father's.
"""

from typing import Any

import numpy as np
from numpy.random import Generator

from tests.benchmarks.duplicates.numbers import (
    Days,
    Issued,
    Texts,
    Truths,
    Whole,
    new_year,
    phones,
)
from tests.benchmarks.duplicates.records import (
    ARABIC,
    CHILD,
    FAMILY,
    FEMALE,
    HEAD,
    HOST,
    MALE,
    OTHER,
    PARENT,
    PERSIAN,
    PLACES,
    SPOUSE,
    TURKISH,
    Records,
    Vocabulary,
)
from tests.benchmarks.duplicates.spellings import HABITS, SCRIPT_HABITS

TODAY = np.datetime64("2026-03-01")
YEAR = 365.25
HOST_HABITS = np.array([0, 1, len(HABITS) - 1])
HOST_HABIT_SHARES = [0.7, 0.15, 0.15]
LEAST_HEAD, MOST_HEAD = 21, 64
REDRAWN = 4  # times that siblings of one name are named again


def origins(generator: Generator, stated: dict[str, Any], count: int) -> tuple[Whole, Whole]:
    """Return the origin and the culture of `count` households."""
    shares = [stated["origins"][name] for name in ("syrian", "host", "other")]
    origin = generator.choice(3, size=count, p=shares)
    culture = np.full(count, ARABIC)
    culture[origin == HOST] = TURKISH
    culture[(origin == OTHER) & (generator.random(count) < 0.6)] = PERSIAN
    return origin, culture


def habits(generator: Generator, stated: dict[str, Any], origin: Whole) -> Whole:
    """Return how the clerk of each household writes names."""
    native = generator.random(len(origin)) < stated["native_script"]
    latin = generator.integers(SCRIPT_HABITS, len(HABITS), size=len(origin))
    found = np.where(native, generator.integers(SCRIPT_HABITS, size=len(origin)), latin)
    own = generator.choice(HOST_HABITS, size=len(origin), p=HOST_HABIT_SHARES)
    return np.where(origin == HOST, own, found)


def days(generator: Generator, ages: np.ndarray) -> Days:
    """Return a birthday for everybody of these ages in years."""
    back = (ages * YEAR + generator.integers(0, 365, size=len(ages))).astype(int)
    return TODAY - back.astype("timedelta64[D]")


def written_days(generator: Generator, stated: dict[str, Any], born: Days, origin: Whole) -> Days:
    """Return the days as they were written: of some only the year was known."""
    only_year = (origin != HOST) & (generator.random(len(born)) < stated["first_january"])
    return np.where(only_year, new_year(born), born)


def numbered(
    generator: Generator, stated: dict[str, Any], issued: Issued, origin: Whole
) -> tuple[Texts, Texts]:
    """Return identity and registration numbers, None where there is none."""
    identity = issued.identities(origin != HOST)
    identity[generator.random(len(origin)) >= stated["identity_number"]] = None
    registration = issued.registrations(len(origin))
    has = (origin != HOST) & (generator.random(len(origin)) < stated["registration_number"])
    registration[~has] = None
    return identity, registration


def first_registrations(
    generator: Generator, stated: dict[str, Any], names: Vocabulary, issued: Issued, people: int
) -> Records:
    """Return about `people` people in their households, each registered once."""
    house = stated["household"]
    mean = (
        1
        + house["spouse"]
        + house["grandparent"]
        + np.dot(np.arange(len(house["children"])), house["children"])
    )
    count = max(round(people / mean), 1)
    origin, culture = origins(generator, stated, count)
    household, role, place = _rosters(generator, house, count)
    sex, age = _sexes_and_ages(generator, household, role, place, count)
    given, family, father, mother = _named(
        generator, house, names, culture, household, role, place, sex
    )
    its_origin = origin[household]
    identity, registration = numbered(generator, stated, issued, its_origin)
    phone = phones(generator, count)
    phone[generator.random(count) >= house["phone"]] = None
    return Records(
        person=np.arange(len(household)), household=household, role=role, sex=sex,
        origin=its_origin, culture=culture[household],
        habit=habits(generator, stated, origin)[household], given=given, family=family,
        father=father, mother=mother,
        born=written_days(generator, stated, days(generator, age), its_origin),
        identity=identity, registration=registration, phone=phone[household],
        district=generator.integers(PLACES, size=count)[household],
        close=np.zeros(len(household), dtype=bool),
    )  # fmt: skip


def _rosters(generator: Generator, house: dict[str, Any], count: int) -> tuple[Whole, Whole, Whole]:
    """Return household, role and place among the children (0 for others), in order."""
    children = generator.choice(len(house["children"]), size=count, p=house["children"])
    spouse = generator.random(count) < house["spouse"]
    parent = generator.random(count) < house["grandparent"]
    of = np.arange(count)
    households = [of, of[spouse], of[parent], np.repeat(of, children)]
    roles = [HEAD, SPOUSE, PARENT, CHILD]
    role = np.concatenate([np.full(len(h), r) for h, r in zip(households, roles, strict=True)])
    starts = np.cumsum(children) - children
    place_of_child = np.arange(children.sum()) - np.repeat(starts, children)
    place = np.concatenate([np.zeros(len(role) - len(place_of_child), int), place_of_child])
    household = np.concatenate(households)
    order = np.lexsort((place, role, household))
    return household[order], role[order], place[order]


def _sexes_and_ages(
    generator: Generator, household: Whole, role: Whole, place: Whole, count: int
) -> tuple[Whole, np.ndarray]:
    head_sex = (generator.random(count) < 0.25).astype(int)  # a quarter of the heads are women
    sex = generator.integers(2, size=len(household))
    sex[role == HEAD] = head_sex[household[role == HEAD]]
    sex[role == SPOUSE] = 1 - head_sex[household[role == SPOUSE]]
    head_age = generator.integers(LEAST_HEAD, MOST_HEAD + 1, size=count)
    mother_age = head_age - generator.integers(0, 8, size=count) * (head_sex == MALE)
    eldest = np.maximum(mother_age - generator.integers(18, 30, size=count), 0)
    gap = generator.uniform(1.1, 3.5, size=count)
    age = np.select(
        [role == HEAD, role == SPOUSE, role == PARENT],
        [head_age[household], mother_age[household],
         head_age[household] + generator.integers(18, 35, size=len(household))],
        np.maximum(eldest[household] - place * gap[household], 0.0),
    )  # fmt: skip
    return sex, age


def _named(
    generator: Generator, house: dict[str, Any], names: Vocabulary, culture: Whole,
    household: Whole, role: Whole, place: Whole, sex: Whole,
) -> tuple[Whole, Whole, Whole, Whole]:  # fmt: skip
    """Return given name, family name, and the given names of father and mother."""
    count, of = len(culture), culture[household]
    given = names.draw(generator, of, sex)
    father = names.draw(generator, of, MALE)
    mother = names.draw(generator, of, FEMALE)
    family = names.draw(generator, of, FAMILY)
    at_head = np.flatnonzero(role == HEAD)
    child, parent = role == CHILD, role == PARENT
    man, woman, man_family = _parents(
        generator, names, culture, household, role, sex, given, family
    )
    takes = (role == SPOUSE) & (of == TURKISH)
    family[takes] = family[at_head][household[takes]]
    family[child] = man_family[household[child]]
    father[child], mother[child] = man[household[child]], woman[household[child]]
    given[parent] = np.where(sex == MALE, father[at_head][household], mother[at_head][household])[
        parent
    ]
    with_head = parent & ((sex == MALE) | (of == TURKISH))
    family[with_head] = family[at_head][household[with_head]]
    eldest = child & (place == 0) & (sex == MALE)
    eldest &= generator.random(len(sex)) < house["grandson_named"]
    eldest &= (sex[at_head] == MALE)[household]
    given[eldest] = father[at_head][household[eldest]]
    for _ in range(REDRAWN):
        again = _named_twice(household, sex, given, child, count)
        given[again] = names.draw(generator, of[again], sex[again])
    return given, family, father, mother


def _parents(
    generator: Generator, names: Vocabulary, culture: Whole, household: Whole, role: Whole,
    sex: Whole, given: Whole, family: Whole,
) -> tuple[Whole, Whole, Whole]:  # fmt: skip
    """Return for each household the children's father, mother, and family name."""
    man, woman = names.draw(generator, culture, MALE), names.draw(generator, culture, FEMALE)
    man_family = names.draw(generator, culture, FAMILY)
    for its_role in (SPOUSE, HEAD):
        men = (role == its_role) & (sex == MALE)
        women = (role == its_role) & (sex == FEMALE)
        man[household[men]], man_family[household[men]] = given[men], family[men]
        woman[household[women]] = given[women]
    return man, woman, man_family


def _named_twice(household: Whole, sex: Whole, given: Whole, child: Truths, count: int) -> Truths:
    """Return the children who have the name of an elder sibling."""
    key = (given * 2 + sex) * count + household
    key[~child] = -1 - np.arange(int((~child).sum()))
    _, first = np.unique(key, return_index=True)
    again = np.ones(len(key), dtype=bool)
    again[first] = False
    return again & child
