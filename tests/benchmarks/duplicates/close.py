"""Close families, in which nobody is registered twice and everybody looks as if.

Two households each: parents with one of two grown siblings, and the other sibling with children.
They share father, mother, family name and district, often the phone; siblings may be twins with
names that look alike, sons have the name of their grandfather or father, clerks write each
household by another habit, numbers are missing, and a few carry the number of a relative.
"""

from typing import Any

import numpy as np
from numpy.random import Generator

from tests.benchmarks.duplicates.again import spoil_identities
from tests.benchmarks.duplicates.families import (
    days,
    habits,
    numbered,
    origins,
    written_days,
)
from tests.benchmarks.duplicates.numbers import Days, Issued, Whole, phones
from tests.benchmarks.duplicates.records import (
    CHILD,
    FAMILY,
    FEMALE,
    HEAD,
    MALE,
    PLACES,
    SPOUSE,
    TURKISH,
    Records,
    Vocabulary,
)

FATHER, MOTHER, SIBLING, TWIN, WIFE, ELDEST, SECOND = range(7)
ROLES = np.array([HEAD, SPOUSE, CHILD, HEAD, SPOUSE, CHILD, CHILD])
IN_SECOND_HOUSEHOLD = np.array([0, 0, 0, 1, 1, 1, 1])
MEMBERS = len(ROLES)
RELATIVE = {SIBLING: TWIN, ELDEST: SECOND, TWIN: FATHER}


def close_families(
    generator: Generator, stated: dict[str, Any], names: Vocabulary, issued: Issued,
    households: int, next_person: int, next_household: int,
) -> Records:  # fmt: skip
    """Return the people of `households` (an even number) households of close families."""
    close, count = stated["close_families"], households // 2
    origin, culture = origins(generator, stated, count)
    sex = np.tile(np.array([MALE, FEMALE, MALE, MALE, FEMALE, MALE, FEMALE]), (count, 1))
    twins = generator.random(count) < close["twins"]
    sex[:, SIBLING] = np.where(generator.random(count) < 0.7, MALE, FEMALE)
    sex[:, TWIN] = np.where(
        twins | (generator.random(count) < 0.7), sex[:, SIBLING], FEMALE - sex[:, SIBLING]
    )
    sex[:, WIFE] = FEMALE - sex[:, TWIN]
    given, family, father, mother = _names(generator, close, names, culture, sex, twins)
    born = _days(generator, count, twins)
    habit = np.stack([habits(generator, stated, origin), habits(generator, stated, origin)], axis=1)
    number = phones(generator, 2 * count).reshape(count, 2)
    shared = generator.random(count) < close["phone_shared"]
    number[shared, 1] = number[shared, 0]
    its_origin = np.repeat(origin, MEMBERS)
    identity, registration = numbered(generator, stated, issued, its_origin)
    first = (np.arange(count) * 2)[:, None] + IN_SECOND_HOUSEHOLD
    records = Records(
        person=next_person + np.arange(count * MEMBERS), household=next_household + first.ravel(),
        role=np.tile(ROLES, count), sex=sex.ravel(), origin=its_origin,
        culture=np.repeat(culture, MEMBERS), habit=habit[:, IN_SECOND_HOUSEHOLD].ravel(),
        given=given.ravel(), family=family.ravel(), father=father.ravel(), mother=mother.ravel(),
        born=written_days(generator, stated, born.ravel(), its_origin), identity=identity,
        registration=registration, phone=number[:, IN_SECOND_HOUSEHOLD].ravel(),
        district=np.repeat(generator.integers(PLACES, size=count), MEMBERS),
        close=np.ones(count * MEMBERS, dtype=bool),
    )  # fmt: skip
    spoil_identities(generator, stated["again"], records)
    _numbers_of_relatives(generator, close, records, count)
    return records


def _names(
    generator: Generator, close: dict[str, Any], names: Vocabulary, culture: Whole, sex: Whole,
    twins: np.ndarray,
) -> tuple[Whole, Whole, Whole, Whole]:  # fmt: skip
    count = len(culture)
    of = np.repeat(culture, MEMBERS)

    def drawn(kind: Whole | int) -> Whole:
        return names.draw(generator, of, kind).reshape(count, MEMBERS)

    given, father, mother = drawn(sex.ravel()), drawn(MALE), drawn(FEMALE)
    family = drawn(FAMILY)
    same = given[:, SIBLING] == given[:, TWIN]
    alike = same | (twins & (generator.random(count) < close["alike"]))
    alike &= sex[:, SIBLING] == sex[:, TWIN]
    for at in np.flatnonzero(alike):
        pairs = names.alike(int(culture[at]), int(sex[at, SIBLING]))
        given[at, [SIBLING, TWIN]] = pairs[int(generator.integers(len(pairs)))]
    brother = sex[:, TWIN] == MALE
    junior = brother & ~alike & (generator.random(count) < close["named_as_father"])
    given[junior, TWIN] = given[junior, FATHER]
    grandson = generator.random(count) < 0.4
    given[grandson, ELDEST] = given[grandson, FATHER]
    for member in (SIBLING, TWIN):
        father[:, member], mother[:, member] = given[:, FATHER], given[:, MOTHER]
        family[:, member] = family[:, FATHER]
    host = culture == TURKISH
    family[host, MOTHER] = family[host, FATHER]
    family[host, WIFE] = family[host, TWIN]
    for member in (ELDEST, SECOND):
        father[:, member] = np.where(brother, given[:, TWIN], given[:, WIFE])
        mother[:, member] = np.where(brother, given[:, WIFE], given[:, TWIN])
        family[:, member] = np.where(brother, family[:, TWIN], family[:, WIFE])
    return given, family, father, mother


def _days(generator: Generator, count: int, twins: np.ndarray) -> Days:
    father = generator.integers(46, 70, size=count)
    twin = father - generator.integers(20, 27, size=count)
    ages = np.stack(
        [father, father - generator.integers(0, 6, size=count),
         twin + generator.choice([-4, -3, -2, 2, 3, 4], size=count), twin,
         twin - generator.integers(0, 4, size=count), np.maximum(twin - 21, 1),
         np.maximum(twin - 23, 0)], axis=1,
    )  # fmt: skip
    born = days(generator, ages.ravel()).reshape(count, MEMBERS)
    born[twins, SIBLING] = born[twins, TWIN]
    return born


def _numbers_of_relatives(
    generator: Generator, close: dict[str, Any], records: Records, count: int
) -> None:
    """Write a few people down with the number of their relative."""
    identity = records.identity.reshape(count, MEMBERS)
    for member, relative in RELATIVE.items():
        wrong = generator.random(count) < close["id_of_relative"]
        identity[wrong, member] = identity[wrong, relative]
