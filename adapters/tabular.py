"""Flat CSV files: one row per household, the named person in the same row.

Decides the encoding (the first of the mapping's that reads the whole file), the delimiter (the
one under which the header has most of the mapped columns) and what becomes of ragged rows: they
are read and flagged, since one cell too many is no reason to leave a household out.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from adapters.forms.questions import (
    ANSWERS_DIFFER,
    COLUMNS_MISSING,
    Questions,
    RawRecord,
    optional_absent,
    put,
    required,
)
from adapters.forms.records import Source, records
from adapters.mapping import FormMapping
from adapters.port import Record
from ledgers.problems import Finding, Place, Problem, Weight

ENCODING_UNREADABLE = Problem(
    "encoding_unreadable",
    "{file} is not text in any of {encodings}.",
    "Save it as CSV UTF-8, or add its encoding to the mapping file.",
)
ROW_RAGGED = Problem(
    "row_ragged",
    "A row has {cells:cell|cells} under {columns:column|columns}; its answers may stand in the"
    " wrong column.",
    "Check the row: a delimiter inside an answer needs quotation marks around the answer.",
)
ROW_UNREADABLE = Problem(
    "row_unreadable",
    "A row cannot be read ({reason}).",
    "Correct the row; quotation marks may not be closed.",
    weight=Weight.REFUSED,
)

_CHUNK_BYTES = 1 << 20


def read_csv(path: Path, mapping: FormMapping) -> Iterator[Record | Finding]:
    """Yield the registrations and findings of the CSV file at `path`.

    Raises Refusal `encoding_unreadable`, or `columns_missing` with every required column that is
    not there.
    """
    encoding = _encoding(path, mapping)
    delimiter, columns = _columns(path, mapping, encoding)
    place = Place(path.name)
    yield from optional_absent(mapping, {name for name in columns if name}, place)

    def read() -> Iterator[RawRecord | Finding]:
        return _rows(path, encoding, delimiter, columns)

    yield from records(Source(read, place, is_kobo=False), mapping)


def _encoding(path: Path, mapping: FormMapping) -> str:
    for encoding in mapping.csv.encodings:
        try:
            with path.open(encoding=encoding) as text:
                while text.read(_CHUNK_BYTES):
                    pass
        except UnicodeError:
            continue
        return encoding
    tried = ", ".join(mapping.csv.encodings)
    raise ENCODING_UNREADABLE.refusal(file=path.name, encodings=tried)


def _columns(path: Path, mapping: FormMapping, encoding: str) -> tuple[str, list[str | None]]:
    """Return the delimiter and, for each column, the question it answers."""
    questions = Questions(mapping.household_sources)
    with path.open(encoding=encoding, newline="") as text:
        line = text.readline(_CHUNK_BYTES)
    best: tuple[str, list[str | None]] = ("", [])
    for delimiter in mapping.csv.delimiters:
        header = next(csv.reader([line], delimiter=delimiter), [])
        columns = [questions[name.strip()] for name in header]
        if not best[0] or _known(columns) > _known(best[1]):
            best = (delimiter, columns)
    absent = required(mapping) - set(best[1])
    if absent:
        raise COLUMNS_MISSING.refusal(file=path.name, columns=", ".join(sorted(absent)))
    return best


def _known(columns: list[str | None]) -> int:
    return len({name for name in columns if name})


def _rows(
    path: Path, encoding: str, delimiter: str, columns: list[str | None]
) -> Iterator[RawRecord | Finding]:
    with path.open(encoding=encoding, newline="") as text:
        reader = csv.reader(text, delimiter=delimiter)
        next(reader)
        while True:
            place = Place(path.name, row=reader.line_num + 1)
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield ROW_UNREADABLE.finding(place, reason=str(error))
                continue
            if any(cells):
                yield from _row(cells, columns, place)


def _row(
    cells: list[str], columns: list[str | None], place: Place
) -> Iterator[RawRecord | Finding]:
    if len(cells) != len(columns):
        yield ROW_RAGGED.finding(place, cells=len(cells), columns=len(columns))
    values: dict[str, str] = {}
    for question, cell in zip(columns, cells, strict=False):
        if question and not put(values, question, cell.strip()):
            yield ANSWERS_DIFFER.finding(Place(place.file, row=place.row, field=question))
    yield RawRecord(place.row or 0, values)
