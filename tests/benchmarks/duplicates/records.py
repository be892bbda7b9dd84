"""What stands on registrations, as arrays; and the names that people have, as numbers.

Vocabulary: a *person* is somebody, a *record* one registration of them; a *habit* is how the clerk
who wrote it spells names; a *culture* decides which names a family gives.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tests.benchmarks.duplicates.numbers import Days, Texts, Truths, Whole
from tests.benchmarks.duplicates.spellings import USUAL, Names, faker_names, names_of

ORIGINS = ("syrian", "host", "other")
SYRIAN, HOST, OTHER = range(3)
ARABIC, PERSIAN, TURKISH = range(3)
HEAD, SPOUSE, CHILD, PARENT = range(4)
MALE, FEMALE, FAMILY = range(3)
PLACES = 120  # districts

USUAL_WOMEN = (
    "فاطمة", "خديجة", "عائشة", "مريم", "زينب", "أمينة", "هاجر", "جميلة",
    "نور", "هدى", "زهرة", "سمية", "أسماء", "حليمة", "رقية",
)  # fmt: skip
USUAL_MEN = tuple(name for name in USUAL if name not in USUAL_WOMEN)
TURKISH_MEN = ("Mehmet", "Mustafa", "Ahmet", "Ali", "Hüseyin", "Hasan", "Muhammed", "Mahmut")
TURKISH_WOMEN = ("Fatma", "Ayşe", "Emine", "Zeynep", "Zehra", "Ümmü", "Ayşegül")
PERSIAN_MEN = ("محمد", "علی", "حسین", "حسن", "محمود")
PERSIAN_WOMEN = ("فاطمه", "زهرا", "زینب")
SONS_OF = 300  # Turkish family names that end in -oğlu, beside the few of the list

ALIKE = {
    (ARABIC, MALE): [("حسن", "حسين"), ("محمد", "محمود"), ("سعيد", "سعد"), ("أحمد", "محمد")],
    (ARABIC, FEMALE): [("أسماء", "سمية"), ("أمينة", "جميلة"), ("هدى", "نور"), ("رقية", "زينب")],
    (PERSIAN, MALE): [("محمد", "محمود"), ("حسن", "حسین"), ("علی", "عرفان")],
    (PERSIAN, FEMALE): [("زهرا", "زینب"), ("سارا", "اسما")],
    (TURKISH, MALE): [("Hasan", "Hüseyin"), ("Muhammed", "Mahmut"), ("Mehmet", "Ahmet")],
    (TURKISH, FEMALE): [("Ayşe", "Ayşegül"), ("Emine", "Ümmü"), ("Zeynep", "Zehra")],
}


@dataclass
class Records:
    """Arrays of one length. Names are numbers of a `Vocabulary`; no text is written yet."""

    person: Whole
    household: Whole
    role: Whole
    sex: Whole
    origin: Whole
    culture: Whole
    habit: Whole
    given: Whole
    family: Whole
    father: Whole
    mother: Whole
    born: Days
    identity: Texts
    registration: Texts
    phone: Texts
    district: Whole
    close: Truths

    def __len__(self) -> int:
        return len(self.person)

    def taken(self, chosen: Whole | Truths) -> "Records":
        """Return some of the records."""
        return Records(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @classmethod
    def joined(cls, parts: list["Records"]) -> "Records":
        """Return the records of all parts, in their order."""
        return cls(
            *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls))
        )


class Vocabulary:
    """All names in one row of numbers, for each of men, women and families."""

    def __init__(self, generator: Generator, exponent: float) -> None:
        turkish = faker_names("tr_TR", "first_names_male")
        lists = {
            (ARABIC, MALE): (USUAL_MEN, faker_names("ar_AA", "first_names_male")),
            (PERSIAN, MALE): (PERSIAN_MEN, faker_names("fa_IR", "first_names_male")),
            (TURKISH, MALE): (TURKISH_MEN, turkish),
            (ARABIC, FEMALE): (
                USUAL_WOMEN, [*faker_names("ar_AA", "first_names_female"),
                              *faker_names("ar_DZ", "first_names_female")],
            ),
            (PERSIAN, FEMALE): (PERSIAN_WOMEN, faker_names("fa_IR", "first_names_female")),
            (TURKISH, FEMALE): (TURKISH_WOMEN, faker_names("tr_TR", "first_names_female")),
            (ARABIC, FAMILY): (
                (), [name for locale in ("ar_AA", "ar_PS", "ar_DZ")
                     for name in faker_names(locale, "last_names")],
            ),
            (PERSIAN, FAMILY): ((), faker_names("fa_IR", "last_names")),
            (TURKISH, FAMILY): (
                (), [*faker_names("tr_TR", "last_names"),
                     *(f"{name}oğlu" for name in turkish[:SONS_OF])],
            ),
        }  # fmt: skip
        self._lists: dict[tuple[int, int], tuple[int, Names]] = {}
        self._spelled: dict[int, NDArray[np.object_]] = {}
        for kind in (MALE, FEMALE, FAMILY):
            start = 0
            for culture in (ARABIC, PERSIAN, TURKISH):
                first, names = lists[culture, kind]
                listed = names_of(generator, names, list(first), exponent)
                self._lists[culture, kind] = (start, listed)
                start += len(listed.frequency)
            self._spelled[kind] = np.concatenate(
                [self._lists[culture, kind][1].spelled for culture in (ARABIC, PERSIAN, TURKISH)]
            )

    def draw(self, generator: Generator, culture: Whole, kind: Whole | int) -> Whole:
        """Return a name for everybody, by culture and kind."""
        kinds = np.broadcast_to(np.asarray(kind), culture.shape)
        drawn = np.zeros(len(culture), dtype=np.int64)
        for (its_culture, its_kind), (start, names) in self._lists.items():
            chosen = (culture == its_culture) & (kinds == its_kind)
            drawn[chosen] = start + names.draw(generator, int(chosen.sum()))
        return drawn

    def alike(self, culture: int, sex: int) -> list[tuple[int, int]]:
        """Return the pairs of names that twins of a culture have."""
        start, names = self._lists[culture, sex]
        return [
            (start + names.position(a), start + names.position(b)) for a, b in ALIKE[culture, sex]
        ]

    def spelled(self, names: Whole, kind: Whole | int, habits: Whole) -> Texts:
        """Return the names as they are written by habits."""
        kinds = np.broadcast_to(np.asarray(kind), names.shape)
        written = np.empty(len(names), dtype=object)
        for its_kind, table in self._spelled.items():
            chosen = kinds == its_kind
            written[chosen] = table[names[chosen], habits[chosen]]
        return written
