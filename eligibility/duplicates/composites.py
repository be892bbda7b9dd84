"""Tokens that two who share a key can compare, and that say nothing to anybody else.

Decides what of a person goes into a token: never one fact alone (a name or a date is found again
by its frequency), always several together, by skeleton so that spellings do not matter, or a
strong identifier that is valid. A *composite* is the text, a *token* the keyed hash of it with the
kind of the composite as its domain, cut to 16 bytes. The hash is a function that is handed in:
HMAC-SHA-256 with a shared key here; agencies that trust nobody with the key can hand in another
keyed function of the same shape, and everything else stays as it is.

Where letters have a second reading, the composites of names are made with it too: two spellings
meet if one of their readings does.

A keyed hash protects against those without the key only: ten million foreigner numbers are tried
in a minute with it (decision 0024).

Source: RFC 2104 (HMAC), FIPS 180-4 (SHA-256).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa

from eligibility.duplicates.dates import birth_of
from eligibility.duplicates.identifiers import STRONG, Kind, Verdict, judge
from eligibility.duplicates.names import NORMALISER_VERSION
from eligibility.duplicates.spelling import keys_of

TOKEN_BYTES = 16
KEY_BYTES_MIN = 32
NAMES_KEPT = 200_000  # names and phones come again and again; memory stays bounded
SEPARATOR = "\x1f"
_BLOCK = 64  # bytes of a block of SHA-256
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))

Hash = Callable[[bytes], bytes]
Keyed = Callable[[bytes], Hash]  # a domain → the keyed hash of messages in it


class Composite(StrEnum):
    """Which facts stand together; the value is part of the domain of its tokens."""

    IDENTIFIER = "id"  # kind and number of a valid strong identifier
    REGISTRATION = "registration"  # a number of another body
    PHONE_GIVEN = "phone+given"
    PHONE_BIRTH = "phone+birth"
    GIVEN_FAMILY_BIRTH = "given+family+birth"
    GIVEN_FATHER_BIRTH = "given+father+birth"
    GIVEN_MOTHER_BIRTH = "given+mother+birth"
    FOUR_NAMES = "given+father+family+mother"
    THREE_NAMES_YEAR = "given+family+father+year"


# Looked up a million times: names of the module are found faster than attributes of a class.
_PHONE_GIVEN = Composite.PHONE_GIVEN
_GIVEN_FAMILY = Composite.GIVEN_FAMILY_BIRTH
_GIVEN_FATHER = Composite.GIVEN_FATHER_BIRTH
_GIVEN_MOTHER = Composite.GIVEN_MOTHER_BIRTH
_FOUR_NAMES = Composite.FOUR_NAMES
_NAMES_YEAR = Composite.THREE_NAMES_YEAR
_PHONE_BIRTH = Composite.PHONE_BIRTH
_join = SEPARATOR.encode().join


class Person(NamedTuple):
    """What composites are made of: the texts as they were written, None where not known."""

    record_id: str
    given_name: str | None = None
    family_name: str | None = None
    father_name: str | None = None
    mother_name: str | None = None
    birth_date: str | None = None
    birth_date_precision: str | None = None
    id_type: str | None = None
    id_number: str | None = None
    registration_number: str | None = None
    phone: str | None = None


def people_of(batches: Iterable[pa.RecordBatch]) -> Iterator[Person]:
    """Yield the people in `batches` that have the columns of `shapes.PERSON`."""
    for batch in batches:
        columns = [batch.column(name).to_pylist() for name in Person._fields]
        yield from map(Person._make, zip(*columns, strict=True))


def hmac_sha256(key: bytes) -> Keyed:
    """Return HMAC-SHA-256 under `key`; what does not change of its states is made once.

    Raises ValueError for a key shorter than 32 bytes.
    """
    if len(key) < KEY_BYTES_MIN:
        message = "a key of tokens has at least 32 bytes"
        raise ValueError(message)
    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")

    def within(domain: bytes) -> Hash:
        inner_copy = hashlib.sha256(block.translate(_INNER) + domain).copy
        outer_copy = hashlib.sha256(block.translate(_OUTER)).copy

        def keyed(message: bytes) -> bytes:
            inner = inner_copy()
            inner.update(message)
            outer = outer_copy()
            outer.update(inner.digest())
            return outer.digest()

        return keyed

    return within


def composites(person: Person) -> list[tuple[Composite, bytes]]:
    """Return the composites of `person`; those with a fact that is not known are left out."""
    (_, given, family, father, mother, birth, precision, id_type, number, registration, dialled) = (
        person
    )
    found = _of_numbers(id_type, number, registration) if number or registration else []
    phone = _phone(dialled) if dialled else b""
    day, year = _born(birth or "", precision or "")
    if phone and day:
        found.append((_PHONE_BIRTH, _join((phone, day))))
    if given:
        found += _of_names((given, family, father, mother), phone, day, year)
    return found


def _of_numbers(
    id_type: str | None, number: str | None, registration: str | None
) -> list[tuple[Composite, bytes]]:
    found = []
    if number:
        judged = judge(id_type or "", number)
        if judged.verdict is Verdict.VALID and judged.kind in STRONG:
            text = judged.kind + SEPARATOR + judged.normalised
            found.append((Composite.IDENTIFIER, text.encode()))
    if registration:
        text = judge(Kind.OTHER_ID, registration).normalised
        if text:
            found.append((Composite.REGISTRATION, text.encode()))
    return found


def _of_names(
    names: tuple[str | None, ...], phone: bytes, day: bytes, year: bytes
) -> list[tuple[Composite, bytes]]:
    """Return the composites with a given name; a second reading of letters adds its own."""
    (given, given_2), (family, family_2), (father, father_2), (mother, mother_2) = map(
        _readings, names
    )
    if not given:
        return []
    found = _together(given, family, father, mother, phone, day, year)
    if given_2 is given and family_2 is family and father_2 is father and mother_2 is mother:
        return found
    again = _together(given_2, family_2, father_2, mother_2, phone, day, year)
    return found + [one for one, first in zip(again, found, strict=True) if one[1] != first[1]]


def _together(
    given: bytes, family: bytes, father: bytes, mother: bytes, phone: bytes, day: bytes, year: bytes
) -> list[tuple[Composite, bytes]]:
    found = []
    if phone:
        found.append((_PHONE_GIVEN, _join((phone, given))))
    if day:
        if family:
            found.append((_GIVEN_FAMILY, _join((given, family, day))))
        if father:
            found.append((_GIVEN_FATHER, _join((given, father, day))))
        if mother:
            found.append((_GIVEN_MOTHER, _join((given, mother, day))))
    if family and father:
        if mother:
            found.append((_FOUR_NAMES, _join((given, father, family, mother))))
        if year:
            found.append((_NAMES_YEAR, _join((given, family, father, year))))
    return found


@lru_cache(maxsize=NAMES_KEPT)
def _readings(name: str | None) -> tuple[bytes, bytes]:
    """Return both readings of a name's skeleton, one object twice where there is one."""
    keys = keys_of(name) if name else None
    if keys is None:
        return b"", b""
    first = keys.skeleton.encode()
    return first, keys.second.encode() if keys.second else first


@lru_cache(maxsize=NAMES_KEPT)
def _phone(text: str) -> bytes:
    found = judge(Kind.PHONE, text)
    return found.normalised.encode() if found.verdict is Verdict.VALID else b""


@lru_cache(maxsize=NAMES_KEPT)
def _born(text: str, precision: str) -> tuple[bytes, bytes]:
    """Return the day and the year of birth, each empty where it is not known."""
    birth = birth_of(text, precision) if text else None
    if birth is None:
        return b"", b""
    return b"" if birth.coarse else birth.digits.encode(), str(birth.year).encode()


def tokens(
    people: Iterable[Person], keyed: Keyed, round_id: str
) -> Iterator[tuple[str, list[tuple[Composite, bytes]]]]:
    """Yield (record id, its tokens with their kinds) of `people`, one person after the other.

    `round_id` and the version of the normaliser are in every domain: tokens of another round, or
    of other rules for names, do not meet. Memory does not grow with the people.
    """
    version = ("cva", NORMALISER_VERSION, round_id)
    hashes = {kind: keyed(SEPARATOR.join((*version, kind, "")).encode()) for kind in Composite}
    for person in people:
        yield (
            person[0],
            [(kind, hashes[kind](message)[:TOKEN_BYTES]) for kind, message in composites(person)],
        )
