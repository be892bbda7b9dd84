"""Reading the processor's files: what is said, and whether it can be believed.

Decided here:

* A file is read twice: once to check it, once to say what it holds. Where the head, the totals of
  the trailer or (in a settlement) the float do not hold together, the file may be cut or changed:
  it yields findings and no observation at all. What it would have said stays UNKNOWN, and is asked.
* A detail that cannot be read is a finding; its neighbours are still believed where the trailer
  counts it and agrees on the sum of the others.
* A reference named twice in one result or answer is UNKNOWN: it may be loaded twice. In a
  settlement both movements were booked, so both are yielded, with one observation.
* A reference that looks like a card number is a finding, masked, and goes no further.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from adapters.cards import outcomes
from adapters.cards.layout import (
    AMOUNT,
    CURRENCY_DIFFERS,
    PROGRAMME_DIFFERS,
    REF_REPEATED,
    VERSION,
    line_hash,
    trailer,
)
from adapters.cards.records import SHAPES, Head, Line, head_of, lines_of, others_of
from adapters.port import Document, Observation, Reading
from ledgers.problems import Finding, Place, Problem, Weight, masked

UNREADABLE = Problem(
    "card_file_unreadable",
    "The file is not text in UTF-8: nothing of it was read.",
    "Ask the processor for the file again.",
    weight=Weight.REFUSED,
)
HEAD_MALFORMED = Problem(
    "card_head_malformed",
    "The first line is not the head of a card file ({version}): nothing of it was read.",
    "Check that the file is one of the card processor's; ask for it again.",
    weight=Weight.REFUSED,
)
KIND_UNKNOWN = Problem(
    "card_file_kind_unknown",
    "A card file of the kind {value} is not one we read.",
    "Results, answers, settlements, redemptions and rejects are read; ask the processor what this "
    "file is.",
    weight=Weight.REFUSED,
)
TRAILER_MISSING = Problem(
    "card_trailer_missing",
    "The file does not end with its one trailer: it may be cut, and nothing it says is believed.",
    "Ask the processor for the file again; until then its loads are unknown.",
    weight=Weight.REFUSED,
)
TRAILER_DIFFERS = Problem(
    "card_trailer_differs",
    "The trailer says {stated} and the lines add up to {found} (lines, sum, hash total): nothing "
    "the file says is believed.",
    "Ask the processor for the file again; until then its loads are unknown.",
    weight=Weight.REFUSED,
)
SETTLEMENT_DIFFERS = Problem(
    "card_settlement_differs",
    "Opening float {opening}, movements of {net} and closing float {closing} (minor units) do not "
    "add up: nothing the file says is believed.",
    "Ask the processor for a corrected settlement file.",
    weight=Weight.REFUSED,
)

_TRAILER = re.compile(r"T\|[0-9]{1,10}\|[0-9]{1,20}\|[0-9]{10}")

_SAY: Mapping[str, Callable[[Head, Line], Iterator[Reading]]] = MappingProxyType(
    {
        "RESULT": outcomes.result,
        "ANSWER": outcomes.answer,
        "SETTLEMENT": outcomes.settlement,
        "REDEMPTION": outcomes.redemption,
    }
)


@dataclass(slots=True)
class _Totals:
    """What the details of a file add up to, the references they repeat, and if it holds."""

    count: int = 0
    sum_minor: int = 0
    net_minor: int = 0  # of the movements of a settlement
    hash_sum: int = 0
    believed: bool = True
    repeated: set[str] = field(default_factory=set)


def read(document: Document, programme: str, currency: str, exponent: int) -> Iterator[Reading]:
    """Yield what `document` says about loads and the float, or findings; never raise.

    `programme`, `currency` and `exponent` are those of our account at the processor.
    """
    place = Place(document.name, row=1)
    try:
        text = document.content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        yield UNREADABLE.finding(Place(document.name))
        return
    records = text.rstrip("\n").split("\n")
    head = head_of(records[0])
    if head is None:
        yield HEAD_MALFORMED.finding(place, version=VERSION)
    elif head.kind not in SHAPES:
        yield KIND_UNKNOWN.finding(place, head.kind)
    elif head.programme != programme:
        yield PROGRAMME_DIFFERS.finding(place, stated=masked(head.programme), expected=programme)
    elif (head.currency, head.exponent) != (currency, exponent):
        stated = f"{head.currency} {head.exponent}"
        yield CURRENCY_DIFFERS.finding(place, stated=stated, expected=f"{currency} {exponent}")
    else:
        totals = _Totals()
        yield from _check(head, document.name, records, totals)
        if totals.believed:
            yield from _say(head, document.name, records, totals.repeated)


def _check(head: Head, file: str, records: Sequence[str], totals: _Totals) -> Iterator[Finding]:
    """Fill `totals` from all details; yield what is wrong with lines, totals and the float."""
    seen: set[str] = set()
    for line in lines_of(head.kind, file, records):
        totals.count += 1
        if line.amount_minor is not None:
            totals.sum_minor += line.amount_minor
            totals.hash_sum += line_hash(line.ref, line.amount_minor)
            movement = outcomes.MOVEMENTS.get(line.fields[3], ("", 0))
            totals.net_minor += movement[1] * line.amount_minor
        if line.finding:
            yield line.finding
        elif line.ref:
            if line.ref in seen and SHAPES[head.kind].once:
                totals.repeated.add(line.ref)
                yield REF_REPEATED.finding(line.place, masked(line.ref))
            seen.add(line.ref)
    yield from (item for item in others_of(head.kind, file, records) if isinstance(item, Finding))
    for finding in _distrust(head, file, records, totals):
        totals.believed = False
        yield finding


def _distrust(head: Head, file: str, records: Sequence[str], totals: _Totals) -> Iterator[Finding]:
    """Yield why the file as a whole cannot be believed."""
    place = Place(file, row=len(records))
    found = trailer(totals.count, totals.sum_minor, totals.hash_sum)
    trailers = sum(record.startswith("T|") for record in records)
    if trailers != 1 or not _TRAILER.fullmatch(records[-1]):
        yield TRAILER_MISSING.finding(place)
    elif records[-1] != found:
        yield TRAILER_DIFFERS.finding(place, stated=records[-1][2:], found=found[2:])
    if head.kind == "SETTLEMENT":
        opening, closing = _float(file, records, "O"), _float(file, records, "C")
        if opening is None or closing is None or opening + totals.net_minor != closing:
            yield SETTLEMENT_DIFFERS.finding(
                place,
                opening="missing" if opening is None else opening,
                net=totals.net_minor,
                closing="missing" if closing is None else closing,
            )


def _say(head: Head, file: str, records: Sequence[str], repeated: set[str]) -> Iterator[Reading]:
    if head.kind == "REJECT":
        codes = [item[1] for item in others_of(head.kind, file, records) if isinstance(item, list)]
        for code in codes or [""]:
            yield from outcomes.reject(head, code, Place(file, row=2))
        return
    if head.kind == "SETTLEMENT":
        yield from outcomes.balance(head, "opening", _float(file, records, "O") or 0)
    said: set[str] = set()
    for line in lines_of(head.kind, file, records):
        if line.finding:
            continue
        if line.ref in repeated:
            yield from _once(head, line, said)
        else:
            yield from _SAY[head.kind](head, line)
    if head.kind == "SETTLEMENT":
        yield from outcomes.balance(head, "closing", _float(file, records, "C") or 0)


def _once(head: Head, line: Line, said: set[str]) -> Iterator[Reading]:
    """Yield one observation for a repeated reference, and all its movements of the float."""
    first = line.ref not in said
    said.add(line.ref)
    if head.kind == "SETTLEMENT":
        for reading in outcomes.settlement(head, line):
            if first or not isinstance(reading, Observation):
                yield reading
    elif first:
        yield outcomes.repeated(head, line)


def _float(file: str, records: Sequence[str], tag: str) -> int | None:
    """Return the one stated opening (`O`) or closing (`C`) float, None where there is not one."""
    stated = [
        item[1]
        for item in others_of("SETTLEMENT", file, records)
        if isinstance(item, list) and item[0] == tag
    ]
    return int(stated[0]) if len(stated) == 1 and AMOUNT.fullmatch(stated[0]) else None
