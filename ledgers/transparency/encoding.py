"""What exactly a leaf says: every business field, in a fixed order, each with its length.

Version 1 is PostgreSQL's binary form of a row, `record_send(ROW('cva.…v1'::text, …))`: the number
of fields as four bytes, then for each field the number of its type (four bytes), its length (four
bytes, -1 for null) and its bytes, all big-endian. One call in the database makes it, and a reader
without one needs `struct` only. The first field names the shape; a changed shape gets a new name,
and the old one is kept here for what was sealed with it.

Text is UTF-8; a date is days, a moment microseconds, since 2000-01-01 (UTC).

Source: PostgreSQL, src/backend/utils/adt/rowtypes.c (record_send) and the types' send functions.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum

Value = str | int | bool | bytes | date | datetime | None

EPOCH_DAY = date(2000, 1, 1)
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NULL_LENGTH = -1


class Kind(IntEnum):
    """The types a leaf may hold; the numbers are PostgreSQL's."""

    BOOL = 16
    BYTES = 17
    INT8 = 20
    INT4 = 23
    TEXT = 25
    DATE = 1082
    MOMENT = 1184


@dataclass(frozen=True, slots=True)
class Shape:
    """One version of a leaf's content: its name, and its further fields in their order."""

    name: str
    fields: Mapping[str, Kind]


def _shape(name: str, **fields: Kind) -> Shape:
    return Shape(name, fields)


ENTRY = _shape(
    "cva.entry.v1", entry_ref=Kind.TEXT, key=Kind.TEXT, body_hash=Kind.BYTES, event=Kind.TEXT,
    effective_on=Kind.DATE, recorded_on=Kind.DATE, recorded_at=Kind.MOMENT, recorded_by=Kind.TEXT,
    reason=Kind.TEXT, adjustment=Kind.BOOL, reverses=Kind.TEXT, corrects=Kind.TEXT,
    leg_count=Kind.INT4, transfer_count=Kind.INT4, legs=Kind.BYTES,
)  # fmt: skip
LEG = _shape(
    "cva.leg.v1", leg_no=Kind.INT4, layer=Kind.TEXT, account=Kind.TEXT, wallet=Kind.TEXT,
    amount_minor=Kind.INT8, currency=Kind.TEXT, grant_code=Kind.TEXT, programme_id=Kind.TEXT,
    cycle_id=Kind.TEXT, provider=Kind.TEXT, location=Kind.TEXT,
)  # fmt: skip
TRANSFER = _shape(
    "cva.transfer.v1", entry_ref=Kind.TEXT, line_no=Kind.INT4, phase=Kind.TEXT,
    debit_account=Kind.TEXT, credit_account=Kind.TEXT, wallet=Kind.TEXT,
    amount_minor=Kind.INT8, held_minor=Kind.INT8, currency=Kind.TEXT,
    grant_code=Kind.TEXT, programme_id=Kind.TEXT, cycle_id=Kind.TEXT, provider=Kind.TEXT,
    location=Kind.TEXT, instruction_ref=Kind.TEXT, item_key=Kind.TEXT, hold_entry_ref=Kind.TEXT,
    hold_line_no=Kind.INT4, expires_on=Kind.DATE,
)  # fmt: skip
# What a plan's approvers sign, line by line, and what a settlement rests on: trees of their own.
DECISION = _shape(
    "cva.decision.v1", run_id=Kind.TEXT, status=Kind.TEXT, pass_bits=Kind.INT8,
    unknown_bits=Kind.INT8, score=Kind.INT8, rank=Kind.INT4, selected=Kind.BOOL,
    waitlist_position=Kind.INT4, amount_minor=Kind.INT8, currency=Kind.TEXT, people=Kind.INT4,
    people_from=Kind.TEXT, reason=Kind.TEXT, snapshot_sha256=Kind.BYTES,
    decisions_sha256=Kind.BYTES, pack_hash=Kind.BYTES, reference_date=Kind.DATE,
)  # fmt: skip
LINE = _shape(
    "cva.line.v1", line_no=Kind.INT4, household_id=Kind.TEXT, version_id=Kind.INT8, kind=Kind.TEXT,
    attempt=Kind.INT4, amount_minor=Kind.INT8, people=Kind.INT4, stopped=Kind.TEXT,
    instruction_ref=Kind.TEXT, registration_sha256=Kind.BYTES, decision=Kind.BYTES,
)  # fmt: skip
EVIDENCE = _shape(
    "cva.evidence.v1", instruction_ref=Kind.TEXT, outcome=Kind.TEXT, evidence=Kind.INT4,
    amount_minor=Kind.INT8, currency=Kind.TEXT, reason_code=Kind.TEXT, observed_on=Kind.DATE,
    document_sha256=Kind.BYTES,
)  # fmt: skip
SHAPES = {shape.name: shape for shape in (ENTRY, LEG, TRANSFER, DECISION, LINE, EVIDENCE)}

_WRITERS: dict[Kind, Callable[..., bytes]] = {
    Kind.BOOL: lambda value: b"\x01" if value else b"\x00",
    Kind.BYTES: bytes,
    Kind.INT8: struct.Struct(">q").pack,
    Kind.INT4: struct.Struct(">i").pack,
    Kind.TEXT: str.encode,
    Kind.DATE: lambda value: struct.pack(">i", (value - EPOCH_DAY).days),
    Kind.MOMENT: lambda value: struct.pack(">q", (value - EPOCH) // MICROSECOND),
}
_READERS: dict[Kind, Callable[[bytes], Value]] = {
    Kind.BOOL: lambda raw: raw == b"\x01",
    Kind.BYTES: bytes,
    Kind.INT8: lambda raw: int(struct.unpack(">q", raw)[0]),
    Kind.INT4: lambda raw: int(struct.unpack(">i", raw)[0]),
    Kind.TEXT: bytes.decode,
    Kind.DATE: lambda raw: EPOCH_DAY + timedelta(days=struct.unpack(">i", raw)[0]),
    Kind.MOMENT: lambda raw: EPOCH + timedelta(microseconds=struct.unpack(">q", raw)[0]),
}


def encode(shape: Shape, values: Mapping[str, Value]) -> bytes:
    """Return the bytes of a leaf. Raises KeyError where `values` lacks a field of the shape."""
    fields = [
        (Kind.TEXT, shape.name),
        *((kind, values[name]) for name, kind in shape.fields.items()),
    ]
    parts = [struct.pack(">i", len(fields))]
    for kind, value in fields:
        if value is None:
            parts.append(struct.pack(">ii", kind, NULL_LENGTH))
        else:
            raw = _WRITERS[kind](value)
            parts.append(struct.pack(">ii", kind, len(raw)) + raw)
    return b"".join(parts)


def encode_legs(legs: Sequence[Mapping[str, Value]]) -> bytes:
    """Return the bytes of an entry's legs: each leg's own, after their length."""
    encoded = [encode(LEG, leg) for leg in legs]
    return b"".join(struct.pack(">i", len(raw)) + raw for raw in encoded)


def decode(raw: bytes) -> tuple[Shape, dict[str, Value]]:
    """Return a leaf's shape and its fields by name. Raises ValueError where it is no leaf."""
    (count,) = _unpack(">i", raw, 0)
    at, values = 4, list[tuple[int, Value]]()
    for _ in range(count):
        kind, length = _unpack(">ii", raw, at)
        at += 8
        if length == NULL_LENGTH:
            values.append((kind, None))
            continue
        if not 0 <= length <= len(raw) - at:
            raise ValueError("a field of the leaf is longer than the leaf")
        values.append((kind, _value(kind, raw[at : at + length])))
        at += length
    if at != len(raw) or not values:
        raise ValueError("the leaf does not end where its fields end")
    shape = SHAPES.get(str(values[0][1]))
    if shape is None or [kind for kind, _ in values[1:]] != list(shape.fields.values()):
        raise ValueError("the leaf has no known shape")
    names = zip(shape.fields, (value for _, value in values[1:]), strict=True)
    return shape, dict(names)


def decode_legs(raw: bytes) -> list[dict[str, Value]]:
    """Return the fields of an entry's legs. Raises ValueError where they are none."""
    legs, at = [], 0
    while at < len(raw):
        (length,) = _unpack(">i", raw, at)
        shape, leg = decode(raw[at + 4 : at + 4 + length])
        if shape is not LEG:
            raise ValueError("the entry holds something else than legs")
        legs.append(leg)
        at += 4 + length
    return legs


def _value(kind: int, raw: bytes) -> Value:
    try:
        return _READERS[Kind(kind)](raw)
    except (struct.error, OverflowError):
        raise ValueError("a field of the leaf does not fit its type") from None


def _unpack(form: str, raw: bytes, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(form, raw, at)
    except struct.error:
        raise ValueError("the leaf is cut short") from None
