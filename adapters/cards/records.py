"""The records of a processor's file as values: its head and its details, not yet believed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import NamedTuple

from adapters.cards.layout import AMOUNT, CARD_NUMBER, FILE_ID, VERSION, is_card_number
from ledgers.problems import Finding, Place, Problem, Weight, masked

LINE_MALFORMED = Problem(
    "card_line_malformed",
    "The line is not laid out as agreed ({fault}).",
    "Ask the processor about the line; its load stays unknown until then.",
    weight=Weight.REFUSED,
)
AMOUNT_MALFORMED = Problem(
    "card_amount_malformed",
    "The amount of the line is not a number of minor units.",
    "Ask the processor about the line; its load stays unknown until then.",
    weight=Weight.REFUSED,
)

_HEAD_FIELDS = 10
_KIND = re.compile(r"[A-Z]{1,20}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_EXPONENT = re.compile(r"[0-9]")
_CODE = re.compile(r"[0-9A-Z_]{2,10}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(_DATE.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class Shape(NamedTuple):
    """How the details of one kind of file are laid out, and which other records it may hold."""

    fields: int
    amount_at: int
    others: Mapping[str, int]  # the tag of a record beside the details → its number of fields
    without_ref: frozenset[str] = frozenset()  # what may stand without a reference
    once: bool = True  # a reference stands in it once


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "RESULT": Shape(7, 4, {}),
        "ANSWER": Shape(9, 5, {}),
        "SETTLEMENT": Shape(6, 4, {"O": 2, "C": 2}, frozenset({"FEE", "FUNDING"})),
        "REDEMPTION": Shape(8, 4, {}, once=False),
        "REJECT": Shape(0, 0, {"E": 3}),
    }
)
_DATED = frozenset({"SETTLEMENT", "REDEMPTION"})


class Head(NamedTuple):
    """The head of a file; `about` is what it answers, or its business date."""

    kind: str
    file_id: str
    programme: str
    created_at: datetime
    currency: str
    exponent: int
    about: str


class Line(NamedTuple):
    """One detail. `amount_minor` is None where it cannot be read, `finding` says what is wrong."""

    place: Place
    number: int
    fields: Sequence[str]
    amount_minor: int | None
    finding: Finding | None

    @property
    def ref(self) -> str:
        """Our reference of the instruction, empty on a fee or a funding."""
        return self.fields[2]


def head_of(record: str) -> Head | None:
    """Return the head that `record` is, or None where it is none.

    >>> head_of("H|CVA-CARD-1|REJECT|CP2|P1|2026-08-01T09:00:00Z|TRY|2|2|F1").about
    'F1'
    """
    fields = record.split("|")
    if len(fields) != _HEAD_FIELDS or fields[:2] != ["H", VERSION]:
        return None
    _, _, kind, file_id, programme, created, currency, exponent, sequence, about = fields
    created_at = time_of(created)
    patterns = ((_KIND, kind), (FILE_ID, file_id), (_CURRENCY, currency), (_EXPONENT, exponent))
    if created_at is None or not AMOUNT.fullmatch(sequence):
        return None
    if not all(pattern.fullmatch(value) for pattern, value in patterns):
        return None
    if kind in SHAPES and not (date_of(about) if kind in _DATED else FILE_ID.fullmatch(about)):
        return None
    return Head(kind, file_id, programme, created_at, currency, int(exponent), about)


def lines_of(kind: str, file: str, records: Sequence[str]) -> Iterator[Line]:
    """Yield every detail of `records` (the head is the first of them), readable or not."""
    number = 0
    for row, record in enumerate(records, 1):
        if record.startswith("D|"):
            number += 1
            yield _line(SHAPES[kind], Place(file, row=row), number, record.split("|"))


def others_of(kind: str, file: str, records: Sequence[str]) -> Iterator[list[str] | Finding]:
    """Yield the fields of the records that are neither head, detail nor trailer."""
    expected = SHAPES[kind].others
    for row, record in enumerate(records[1:], 2):
        if not record.startswith(("D|", "T|")):
            fields = record.split("|")
            if expected.get(fields[0]) == len(fields):
                yield fields
            else:
                yield LINE_MALFORMED.finding(Place(file, row=row), fault="unknown kind of line")


def _line(shape: Shape, place: Place, number: int, fields: list[str]) -> Line:
    if len(fields) != shape.fields:
        fault = f"{len(fields)} fields instead of {shape.fields}"
        return Line(place, number, fields, None, LINE_MALFORMED.finding(place, fault=fault))
    text = fields[shape.amount_at]
    amount = int(text) if AMOUNT.fullmatch(text) else None
    finding = None
    if is_card_number(fields[2]):
        finding = CARD_NUMBER.finding(place, masked(fields[2]))
    elif fault := _fault(shape, number, fields):
        finding = LINE_MALFORMED.finding(place, fault=fault)
    elif amount is None:
        finding = AMOUNT_MALFORMED.finding(place, masked(text))
    return Line(place, number, fields, amount, finding)


def _fault(shape: Shape, number: int, fields: list[str]) -> str:
    if fields[1] != str(number):
        return "line number"
    if not FILE_ID.fullmatch(fields[2]) and (fields[2] or fields[3] not in shape.without_ref):
        return "reference"
    return "" if _CODE.fullmatch(fields[3]) else "code"


def time_of(text: str) -> datetime | None:
    """Return the UTC time that `text` is, or None."""
    try:
        return datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        return None


def date_of(text: str) -> date | None:
    """Return the date that `text` is, or None."""
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None
