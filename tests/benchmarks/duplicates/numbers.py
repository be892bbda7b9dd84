"""Numbers and days of the generated registry, made as arrays and written as people write them."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Texts = NDArray[np.object_]
Whole = NDArray[np.int64]
Truths = NDArray[np.bool_]
Days = NDArray[np.datetime64]

FREE_DIGITS = 10_000_000
CITIZENS = (100_000_000, 979_999_999)
OFFICES = ("385", "396", "217", "182")


class Issued:
    """Numbers that were not given to anybody before: one office for the whole registry."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._foreign = 990_000_000 + generator.permutation(FREE_DIGITS)
        self._used = 0
        self._citizens = np.empty(0, dtype=np.int64)
        self._registered = 0

    def identities(self, foreign: Truths) -> Texts:
        """Return a valid number of eleven digits for everybody; foreigners' begin with 99."""
        body = np.empty(len(foreign), dtype=np.int64)
        count = int(foreign.sum())
        body[foreign] = self._foreign[self._used : self._used + count]
        self._used += count
        body[~foreign] = self._fresh_citizens(len(foreign) - count)
        digits = (body[:, None] // 10 ** np.arange(8, -1, -1)) % 10
        tenth = (7 * digits[:, ::2].sum(axis=1) - digits[:, 1::2].sum(axis=1)) % 10
        eleventh = (digits.sum(axis=1) + tenth) % 10
        return np.array((body * 100 + tenth * 10 + eleventh).astype("U11"), dtype=object)

    def _fresh_citizens(self, count: int) -> Whole:
        drawn = np.unique(self._generator.integers(*CITIZENS, size=2 * count + 100))
        fresh = self._generator.permutation(np.setdiff1d(drawn, self._citizens))[:count]
        self._citizens = np.concatenate([self._citizens, fresh])
        return fresh

    def registrations(self, count: int) -> Texts:
        """Return `count` numbers of another body, in its form."""
        serials = self._generator.permutation(count) + 10_000 + self._registered
        self._registered += count
        years = self._generator.integers(13, 26, size=count)
        offices = self._generator.integers(len(OFFICES), size=count)
        parts = zip(offices.tolist(), years.tolist(), serials.tolist(), strict=True)
        return np.array([f"{OFFICES[o]}-{y}C{s:07d}" for o, y, s in parts], dtype=object)


def mistyped(generator: Generator, numbers: Texts) -> Texts:
    """Return the numbers with one digit wrong, or two that changed places."""
    return np.array([_one_slip(generator, number) for number in numbers], dtype=object)


def _one_slip(generator: Generator, number: str) -> str:
    at = int(generator.integers(2, len(number) - 1))
    if generator.random() < 0.3 and number[at] != number[at + 1]:
        return number[:at] + number[at + 1] + number[at] + number[at + 2 :]
    wrong = (int(number[at]) + int(generator.integers(1, 10))) % 10
    return f"{number[:at]}{wrong}{number[at + 1 :]}"


def phones(generator: Generator, count: int) -> Texts:
    """Return mobile numbers, written in three ways."""
    areas = generator.integers(530, 540, size=count)
    rest = generator.integers(1_000_000, 10_000_000, size=count)
    ways = generator.integers(3, size=count)
    return np.array(
        [
            _phone(*parts)
            for parts in zip(areas.tolist(), rest.tolist(), ways.tolist(), strict=True)
        ],
        dtype=object,
    )


def _phone(area: int, line: int, way: int) -> str:
    if way == 0:
        return f"0{area}{line}"
    return f"+90 {area} {line // 10_000} {line % 10_000:04d}" if way == 1 else f"{area}{line}"


def new_year(days: Days) -> Days:
    """Return 1 January of each day's year."""
    return days.astype("datetime64[Y]").astype("datetime64[D]")


def wrong_days(generator: Generator, days: Days) -> Days:
    """Return each day wrong: day and month exchanged, a year or some days off, or only the year."""
    way = generator.integers(4, size=len(days))
    year, month = days.astype("datetime64[Y]"), days.astype("datetime64[M]")
    day_no = (days - month.astype("datetime64[D]")).astype(int)
    month_no = (month - year.astype("datetime64[M]")).astype(int)
    turned = (year.astype("datetime64[M]") + np.minimum(day_no, 11)).astype(
        "datetime64[D]"
    ) + month_no
    off = generator.choice([-1, 1], size=len(days))
    shifted = (year + off).astype("datetime64[M]") + month_no
    year_off = shifted.astype("datetime64[D]") + np.minimum(day_no, 27)
    slipped = days + generator.choice([-10, -3, -2, -1, 1, 2, 3, 10], size=len(days))
    return np.select([way == 0, way == 1, way == 2], [turned, year_off, slipped], new_year(days))


def typo(generator: Generator, text: str) -> str:
    """Return the text with one letter left out, doubled, changed, or exchanged with the next."""
    if len(text) < 3:
        return text
    at = int(generator.integers(1, len(text) - 1))
    other = text[int(generator.integers(len(text)))]
    ways = (
        text[:at] + text[at + 1 :],
        text[:at] + text[at] + text[at:],
        text[:at] + other + text[at + 1 :],
        text[:at] + text[at + 1] + text[at] + text[at + 2 :],
    )
    return ways[int(generator.integers(4))]
