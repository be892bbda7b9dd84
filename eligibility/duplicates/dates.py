"""Birth dates as they are written, and how much of one is known.

Decides what of a birth date may be compared: eight digits (year, month, day), and whether only the
year is known. In registrations of displaced people a birthday on 1 January means that nobody knew
the day: two such dates agree in the year and in nothing else. A date that no calendar has (30
February) is kept as digits: it was typed, and the same typing again is evidence.

>>> birth_of("1990-02-17"), birth_of("01.01.1990").coarse, birth_of("١٩٩٠").digits
(Birth(digits='19900217', year=1990, coarse=False), True, '19900101')
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from eligibility.duplicates.identifiers import compact

_ISO = re.compile(r"(\d{4})\D(\d{1,2})\D(\d{1,2})(?!\d)")
_DAY_FIRST = re.compile(r"(\d{1,2})\D(\d{1,2})\D(\d{4})(?!\d)")
_EIGHT = re.compile(r"\d{8}\Z")
_YEAR = re.compile(r"\d{4}\Z")
_YEARS = range(1880, 2101)  # people alive, with room for errors


@dataclass(frozen=True, slots=True)
class Birth:
    """`digits` YYYYMMDD, the `year`, and whether it is all that is known (`coarse`)."""

    digits: str
    year: int
    coarse: bool


@lru_cache(maxsize=65_536)
def birth_of(text: str, precision: str = "") -> Birth | None:
    """Return the birth date in `text`, None where it holds none.

    `precision` is `year` where the source says that only the year is known.
    """
    plain = "".join(str(int(c)) if c.isdecimal() else c for c in text.strip())
    digits = _digits(plain)
    if digits is None:
        return None
    year = int(digits[:4])
    if year not in _YEARS:
        return None
    return Birth(digits, year, precision == "year" or digits.endswith("0101"))


def _digits(plain: str) -> str | None:
    iso, day_first = _ISO.match(plain), _DAY_FIRST.match(plain)
    if iso:
        year, month, day = iso.groups()
    elif day_first:
        day, month, year = day_first.groups()
    else:
        signs = compact(plain)
        if _YEAR.match(signs):
            return f"{signs}0101"
        return signs if _EIGHT.match(signs) else None
    return f"{year}{int(month):02}{int(day):02}"
