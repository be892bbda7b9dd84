"""Names of people who do not exist, in Arabic script, Turkish and Latin spelling.

The pools are drawn once per seed through faker (`ar_AA`, `tr_TR`, `en_US`, and `fr_DZ` for Arabic
names in Latin letters), because asking it for each person would take hours; common names come
more often than rare ones.
"""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from simulations.population.margins import Ints

DRAWS = 900  # per pool; what comes up again is dropped
SKEW = 1.3
REDRAWS = 4
ARABIC_VARIANTS = (("أ", "ا"), ("إ", "ا"), ("ة", "ه"), ("ى", "ي"), ("ي", "ى"), ("ا", "أ"))
LATIN_VARIANTS = (
    ("ou", "u"), ("ee", "i"), ("aa", "a"), ("ü", "u"), ("ş", "s"), ("ı", "i"), ("ç", "c"),
    ("ğ", "g"), ("ö", "o"), ("y", "i"), ("i", "y"), ("e", "a"), ("a", "e"), ("u", "o"),
)  # fmt: skip
DISTRICT_LETTERS = str.maketrans("çğıöşüÇĞİÖŞÜâ", "cgiosuCGIOSUa")


class Script(IntEnum):
    """How a household's names are written."""

    ARABIC = 0
    LATIN = 1  # Arabic names in Latin letters
    TURKISH = 2
    ENGLISH = 3


LOCALES = {
    Script.ARABIC: "ar_AA",
    Script.LATIN: "fr_DZ",
    Script.TURKISH: "tr_TR",
    Script.ENGLISH: "en_US",
}


@dataclass(frozen=True, slots=True, eq=False)
class Pools:
    """Several lists of different names, one after the other."""

    names: NDArray[np.object_] = field(repr=False)
    starts: Ints
    lengths: Ints

    @classmethod
    def of(cls, lists: list[list[str]]) -> "Pools":
        """Return the pools of `lists`, each name once."""
        unique = [list(dict.fromkeys(names)) for names in lists]
        lengths = np.array([len(names) for names in unique])
        joined = [name for names in unique for name in names]
        return cls(np.array(joined, dtype=object), np.cumsum(lengths) - lengths, lengths)

    def places(self, pool: Ints, chance: NDArray[np.float64]) -> Ints:
        """Return places of names in each `pool`, its first names more often than its last."""
        places: Ints = self.starts[pool] + (chance**SKEW * self.lengths[pool]).astype(np.int64)
        return places

    def at(self, places: Ints) -> list[str]:
        """Return the names at `places`."""
        names: list[str] = self.names[places].tolist()
        return names


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """Given names by script and sex, family names by script."""

    given: Pools
    family: Pools

    @classmethod
    def drawn(cls, seed: int) -> "Names":
        """Return the pools of `seed`."""
        from faker import Faker

        given: list[list[str]] = []
        family: list[list[str]] = []
        for script in Script:
            source = Faker(LOCALES[script])
            source.seed_instance(seed)
            given.append([source.first_name_male() for _ in range(DRAWS)])
            given.append([source.first_name_female() for _ in range(DRAWS)])
            family.append([source.last_name() for _ in range(DRAWS)])
        return cls(Pools.of(given), Pools.of(family))

    def given_for(
        self, rng: np.random.Generator, script: Ints, female: Ints, household: Ints
    ) -> list[str]:
        """Return given names; people of one `household` (its number) have different ones."""
        pool = script * 2 + female
        places = self.given.places(pool, rng.random(len(pool)))
        for _ in range(REDRAWS):
            same = np.ones(len(places), dtype=np.bool_)
            same[np.unique(household * len(self.given.names) + places, return_index=True)[1]] = (
                False
            )
            places[same] = self.given.places(pool[same], rng.random(np.count_nonzero(same)))
        return self.given.at(places)

    def family_for(self, script: Ints, chance: NDArray[np.float64]) -> list[str]:
        """Return family names; `chance` is uniform in 0..1, equal chances give equal names."""
        return self.family.at(self.family.places(script, chance))


def respelled(name: str) -> str:
    """Return `name` as another enumerator might write it: one change, the first that applies.

    >>> respelled("Mahmoud"), respelled("أحمد"), respelled("Şule")
    ('Mahmud', 'احمد', 'Şula')
    """
    for old, new in (*ARABIC_VARIANTS, *LATIN_VARIANTS):
        if old in name:
            return name.replace(old, new, 1)
    return name + name[-1:]


def district_respelled(district: str) -> str:
    """Return `district` in capitals without Turkish letters.

    >>> district_respelled("Eyyübiye")
    'EYYUBIYE'
    """
    return district.translate(DISTRICT_LETTERS).upper()
