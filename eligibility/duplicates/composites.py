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

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import compress

import pyarrow as pa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from eligibility.duplicates.dates import birth_of
from eligibility.duplicates.identifiers import STRONG, Kind, Verdict, judge
from eligibility.duplicates.names import NORMALISER_VERSION
from eligibility.duplicates.spelling import keys_of

TOKEN_BYTES = 16
KEY_BYTES_MIN = 32
NAMES_KEPT = 200_000  # names and phones come again and again; memory stays bounded
SEPARATOR = b"\x1f"  # ends every fact of a composite

Hashes = Callable[[Sequence[bytes]], list[bytes]]  # messages → their keyed hashes, in their order
Keyed = Callable[[bytes], Hashes]  # a domain → the keyed hashes of messages in it
Made = tuple[list[int], list[bytes]]  # rows of a batch, and the text of the composite of each


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


_NAMES = ("given", "family", "father", "mother")
_TOGETHER = {
    Composite.PHONE_GIVEN: ("phone", "given"),
    Composite.PHONE_BIRTH: ("phone", "day"),
    Composite.GIVEN_FAMILY_BIRTH: ("given", "family", "day"),
    Composite.GIVEN_FATHER_BIRTH: ("given", "father", "day"),
    Composite.GIVEN_MOTHER_BIRTH: ("given", "mother", "day"),
    Composite.FOUR_NAMES: ("given", "father", "family", "mother"),
    Composite.THREE_NAMES_YEAR: ("given", "family", "father", "year"),
}
_TOKEN: dict[str, pa.DataType] = {
    "record_id": pa.string(), "kind": pa.string(), "token": pa.binary(TOKEN_BYTES),
}  # fmt: skip
TOKEN: pa.Schema = pa.schema(_TOKEN)


def hmac_sha256(key: bytes) -> Keyed:
    """Return HMAC-SHA-256 under `key`; what key and domain make of its state is made once.

    Raises ValueError for a key shorter than 32 bytes.
    """
    if len(key) < KEY_BYTES_MIN:
        message = "a key of tokens has at least 32 bytes"
        raise ValueError(message)

    def within(domain: bytes) -> Hashes:
        begun = HMAC(key, SHA256())
        begun.update(domain)
        begin = begun.copy

        def keyed(messages: Sequence[bytes]) -> list[bytes]:
            made = []
            for message in messages:
                state = begin()
                state.update(message)
                made.append(state.finalize())
            return made

        return keyed

    return within


def tokens(
    batches: Iterable[pa.RecordBatch], keyed: Keyed, round_id: str
) -> Iterator[pa.RecordBatch]:
    """Yield the tokens of the people in `batches`, with the columns of `TOKEN`, kind after kind.

    The people have the columns of `shapes.PERSON`. `round_id` and the version of the normaliser are
    in every domain: tokens of another round, or of other rules for names, do not meet. Memory holds
    one batch.
    """
    version = ("cva", NORMALISER_VERSION, round_id)
    hashes = {
        kind: keyed(b"".join(text.encode() + SEPARATOR for text in (*version, kind)))
        for kind in Composite
    }
    for batch in batches:
        names = batch.column("record_id")
        for kind, (rows, messages) in composites(batch).items():
            cut = [hashed[:TOKEN_BYTES] for hashed in hashes[kind](messages)]
            columns = [
                names.take(pa.array(rows, pa.int32())),
                pa.repeat(pa.scalar(kind.value, pa.string()), len(cut)),
                pa.array(cut, TOKEN.field("token").type),
            ]
            yield pa.RecordBatch.from_arrays(columns, schema=TOKEN)


def composites(batch: pa.RecordBatch) -> dict[Composite, Made]:
    """Return the composites of the people in `batch`, by kind, with the row of each.

    Those with a fact that is not known are left out, and so are kinds that nobody has.
    """
    texts = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    readings = {name: list(map(_readings, texts[f"{name}_name"])) for name in _NAMES}
    born = list(map(_born, texts["birth_date"], texts["birth_date_precision"]))
    facts = {name: [first for first, _ in of] for name, of in readings.items()}
    facts |= {
        "phone": list(map(_phone, texts["phone"])),
        "day": [day for day, _ in born],
        "year": [year for _, year in born],
    }
    made = {
        Composite.IDENTIFIER: _known(_strong(texts["id_type"], texts["id_number"])),
        Composite.REGISTRATION: _known(map(_registered, texts["registration_number"])),
        **{
            kind: _known(_together([facts[name] for name in names]))
            for kind, names in _TOGETHER.items()
        },
    }
    for kind, (rows, again) in _read_again(facts, readings).items():
        made[kind][0].extend(rows)
        made[kind][1].extend(again)
    return {kind: found for kind, found in made.items() if found[0]}


def _known(texts: Iterable[bytes]) -> Made:
    """Return the rows that have a text, and their texts: lists of plain values, of very many."""
    listed = list(texts)
    return list(compress(range(len(listed)), listed)), list(filter(None, listed))


def _together(columns: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Return the facts of each row in one, empty where one of them is not known."""
    return [b"" if b"" in row else b"".join(row) for row in zip(*columns, strict=True)]


def _read_again(
    facts: dict[str, list[bytes]], readings: dict[str, list[tuple[bytes, bytes]]]
) -> dict[Composite, Made]:
    """Return the composites with the second readings of names, where one has any."""
    rows = sorted(
        {
            row
            for of in readings.values()
            for row, (first, second) in enumerate(of)
            if first is not second
        }
    )
    first = {name: [known[row] for row in rows] for name, known in facts.items()}
    second = first | {name: [of[row][1] for row in rows] for name, of in readings.items()}
    found: dict[Composite, Made] = {}
    for kind, names in _TOGETHER.items():
        one, other = (_together([of[name] for name in names]) for of in (first, second))
        differs = [again != once for once, again in zip(one, other, strict=True)]
        found[kind] = list(compress(rows, differs)), list(compress(other, differs))
    return found


def _strong(kinds: Sequence[str | None], numbers: Sequence[str | None]) -> Iterator[bytes]:
    """Yield the valid strong identifier of each row with its kind, empty where there is none."""
    for kind, number in zip(kinds, numbers, strict=True):
        judged = judge(kind or "", number) if number else None
        if judged and judged.verdict is Verdict.VALID and judged.kind in STRONG:
            yield f"{judged.kind}\x1f{judged.normalised}\x1f".encode()
        else:
            yield b""


def _registered(number: str | None) -> bytes:
    """Return a number of another body, empty where there is none."""
    text = judge(Kind.OTHER_ID, number).normalised if number else ""
    return text.encode() + SEPARATOR if text else b""


@lru_cache(maxsize=NAMES_KEPT)
def _readings(name: str | None) -> tuple[bytes, bytes]:
    """Return both readings of a name's skeleton, one object twice where there is one."""
    keys = keys_of(name) if name else None
    if keys is None or not keys.skeleton:
        return b"", b""
    first = keys.skeleton.encode() + SEPARATOR
    return first, keys.second.encode() + SEPARATOR if keys.second else first


@lru_cache(maxsize=NAMES_KEPT)
def _phone(text: str | None) -> bytes:
    found = judge(Kind.PHONE, text or "")
    return found.normalised.encode() + SEPARATOR if found.verdict is Verdict.VALID else b""


@lru_cache(maxsize=NAMES_KEPT)
def _born(text: str | None, precision: str | None) -> tuple[bytes, bytes]:
    """Return the day and the year of birth, each empty where it is not known."""
    birth = birth_of(text, precision or "") if text else None
    if birth is None:
        return b"", b""
    day = b"" if birth.coarse else birth.digits.encode() + SEPARATOR
    return day, str(birth.year).encode() + SEPARATOR
