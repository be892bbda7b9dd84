"""Sample households: who lives together, of which age and sex.

A structural model makes 600 rosters of each size 1..12 (head, spouse, children at least 16 years
younger, parents, siblings, others); raking then weighs them so that the published margins hold:
age and sex of persons, sizes, women at the head, single parents. A population takes its households
from these rosters by weight; birth dates are drawn anew for each.

*Care* says what the bank programme would see in a roster: `elder` has somebody who is 60 on any
date within two years, `calm` has nobody near 60, the rest is `between`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from simulations import raking
from simulations.population import margins
from simulations.population.margins import OLDEST, SIZE_MAX, Floats, Ints
from simulations.raking import Design

PER_SIZE = 600
ADULT = 19  # heads and spouses are adults on any date within a year
CALM_AGE_MAX = 57
ELDER_AGE_MIN = 62

Bools = NDArray[np.bool_]


class Relation(IntEnum):
    """Relationship to the head, in the order of `RELATIONSHIPS`."""

    HEAD = 0
    SPOUSE = 1
    CHILD = 2
    PARENT = 3
    SIBLING = 4
    OTHER = 5


RELATIONSHIPS = tuple(relation.name.lower() for relation in Relation)


class Care(IntEnum):
    """Whether a roster has people of 60 and more."""

    CALM = 0  # nobody is older than 57
    BETWEEN = 1  # somebody is about 60: in or out, depending on the date
    ELDER = 2  # somebody is 62 or older


@dataclass(frozen=True, slots=True, eq=False)
class Rosters:
    """Sample rosters, one row each; members stand in the first `size` of 12 columns."""

    size: Ints
    age: Ints
    female: Bools
    relation: Ints
    weight: Floats

    @property
    def people(self) -> Bools:
        """Which of the 12 columns hold somebody."""
        filled: Bools = np.arange(SIZE_MAX) < self.size[:, None]
        return filled

    def care(self) -> Ints:
        """Return the `Care` of each roster."""
        oldest = np.where(self.people, self.age, 0).max(axis=1)
        cares: Ints = (oldest > CALM_AGE_MAX).astype(np.int64) + (oldest >= ELDER_AGE_MIN)
        return cares

    def drawn(self, rng: np.random.Generator, sizes: Ints, cares: Ints) -> Ints:
        """Return a roster for each size, by weight; care -1 takes any roster of that size."""
        result = np.zeros(len(sizes), dtype=np.int64)
        own_care = self.care()
        for size in range(1, SIZE_MAX + 1):
            for care in (-1, *Care):
                wanted = np.flatnonzero((sizes == size) & (cares == care))
                usable = np.flatnonzero((self.size == size) & ((own_care == care) | (care < 0)))
                if len(wanted):
                    shares = self.weight[usable] / self.weight[usable].sum()
                    result[wanted] = rng.choice(usable, size=len(wanted), p=shares)
        return result


def raked(rng: np.random.Generator) -> Rosters:
    """Return sample rosters whose weighted margins are the published ones."""
    start = modelled(rng)
    weight = raking.raked(start.weight, _design(start))
    return Rosters(start.size, start.age, start.female, start.relation, weight)


def modelled(rng: np.random.Generator) -> Rosters:
    """Return sample rosters as the structural model makes them: 600 of each size.

    Their weights follow the size shares alone.
    """
    parts = [_modelled(rng, size) for size in range(1, SIZE_MAX + 1)]
    size, age, female, relation = (np.concatenate(part) for part in zip(*parts, strict=True))
    first = margins.size_shares()[size - 1] / PER_SIZE
    return Rosters(size, age, female.astype(np.bool_), relation, first)


def _modelled(rng: np.random.Generator, size: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Return size, age, female and relation of `PER_SIZE` rosters of one size."""
    shape = (PER_SIZE, SIZE_MAX)
    shares = margins.age_shares()
    adults = shares[ADULT:] / shares[ADULT:].sum()
    head_age = rng.choice(np.arange(ADULT, OLDEST + 1), size=PER_SIZE, p=adults)
    head_female = rng.random(PER_SIZE) < margins.composition("female_headed")
    relation = rng.choice(
        [Relation.CHILD, Relation.PARENT, Relation.SIBLING, Relation.OTHER],
        size=shape,
        p=[0.78, 0.05, 0.07, 0.10],
    ).astype(np.int64)
    # A household has at most two parents of its head, and an old head has none.
    early = np.arange(SIZE_MAX) < max(size - 2, 1)
    relation[(relation == Relation.PARENT) & (early | (head_age[:, None] > 60))] = Relation.CHILD  # noqa: PLR2004 - as said
    relation[:, 0] = Relation.HEAD
    if size > 1:
        married = rng.random(PER_SIZE) < np.where(head_female, 0.40, 0.94)
        relation[married, 1] = Relation.SPOUSE
    age = _ages(rng, head_age, relation)
    female = rng.random(shape) < 0.48  # noqa: PLR2004 - the raking decides
    female[:, 0] = head_female
    wed = relation == Relation.SPOUSE
    female[wed] = np.broadcast_to(~head_female[:, None], shape)[wed]
    return np.full(PER_SIZE, size), age, female.astype(np.int64), relation


def _ages(rng: np.random.Generator, head_age: Ints, relation: Ints) -> Ints:
    head = np.broadcast_to(head_age[:, None], relation.shape)
    chance = rng.random(relation.shape)
    anyone = rng.choice(np.arange(OLDEST + 1), size=relation.shape, p=margins.age_shares())
    span = np.minimum(head - 16, 28)
    by_relation = [
        head,
        np.maximum(head - 10 + (chance * 16).astype(np.int64), ADULT),
        (chance * span).astype(np.int64),
        head + 17 + (chance * 18).astype(np.int64),
        np.maximum(head - 12 + (chance * 24).astype(np.int64), 1),
        anyone,
    ]
    ages: Ints = np.minimum(np.choose(relation, by_relation), OLDEST)
    return ages


def _design(rosters: Rosters) -> Design:
    """Return the published margins as equations, in shares of all households."""
    sizes = margins.size_shares()
    mean = float(sizes @ np.arange(1, SIZE_MAX + 1))
    columns: list[Floats] = [
        (rosters.size == size).astype(np.float64) for size in range(1, SIZE_MAX + 1)
    ]
    names = [f"households of {size}" for size in range(1, SIZE_MAX + 1)]
    return designed(rosters, (names, columns, list(sizes)), mean)


def designed(
    rosters: Rosters, own: tuple[list[str], list[Floats], list[float]], mean: float
) -> Design:
    """Return `own` equations (names, counts, shares) and the published ones of composition.

    `mean` is the mean number of people; targets are for one household in all.
    """
    names, columns, targets = list(own[0]), list(own[1]), list(own[2])
    people = rosters.people
    for (first, last), shares in zip(
        margins.age_bounds(), margins.age_sex_shares().tolist(), strict=True
    ):
        aged = people & (rosters.age >= first) & (rosters.age <= last)
        for sex, of_sex, share in zip(
            ("male", "female"), (~rosters.female, rosters.female), shares, strict=True
        ):
            names.append(f"people of {first} to {last}, {sex}")
            columns.append((aged & of_sex).sum(axis=1).astype(np.float64))
            targets.append(share * mean)
    of_people = [name.startswith("people") for name in names] + [False] * 3
    for name, holds, share in _heads(rosters):
        names.append(name)
        columns.append(holds.astype(np.float64))
        targets.append(share)
    return Design(tuple(names), np.column_stack(columns), np.asarray(targets), np.array(of_people))


def _heads(rosters: Rosters) -> Iterator[tuple[str, Bools, float]]:
    """Yield the margins of who heads a household: name, which rosters, share of households."""
    led_by_woman = rosters.female[:, 0]
    spouse = (rosters.people & (rosters.relation == Relation.SPOUSE)).any(axis=1)
    child = (rosters.people & (rosters.relation == Relation.CHILD)).any(axis=1)
    single_parent = child & ~spouse
    women = margins.composition("female_headed")
    by_woman = women * margins.composition("single_parent_if_female_headed")
    by_man = (1 - women) * margins.composition("single_parent_if_male_headed")
    yield "households led by a woman", led_by_woman, women
    yield "single mothers", single_parent & led_by_woman, by_woman
    yield "single fathers", single_parent & ~led_by_woman, by_man
