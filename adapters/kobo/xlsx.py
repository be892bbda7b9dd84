"""KoBo's XLSX export with XML names: one sheet for the form and one for each repeat.

A row of the roster belongs to the main row whose `_index` is its `_parent_index`. Both restart in
every export, so they are used inside this file only; rows of the roster may come in any order. The
title of the main sheet is the form's, cut to 31 characters, the sheets of repeats keep their XML
names (KoBo cuts those to 31 characters too).

A workbook is small on disk and large in memory, so its declared sizes are checked before anything
is parsed, and it may hold no more than `HOUSEHOLDS_MAX` households: larger caseloads come as JSON.
"""

import re
import warnings
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Protocol, cast

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from adapters.forms.cells import DIGITS_LOST, FORMULA_IN_CELL, NUMBER_IN_TEXT
from adapters.forms.questions import (
    ANSWERS_DIFFER,
    REPEAT_IGNORED,
    Questions,
    RawMember,
    RawRecord,
    incomplete,
    optional_absent,
    put,
    required,
)
from adapters.forms.records import Source, records
from adapters.mapping import FormMapping
from adapters.port import Record
from ledgers.problems import Finding, Place, Problem, Refusal, masked

WORKBOOK_UNREADABLE = Problem(
    "workbook_unreadable",
    "{file} is a damaged or incomplete workbook ({reason}).",
    "Download the export again.",
)
WORKBOOK_TOO_LARGE = Problem(
    "workbook_too_large",
    "{file} unpacks to more than can be read safely ({reason}).",
    "If it is a true export, use the API's JSON instead.",
)
HOUSEHOLDS_TOO_MANY = Problem(
    "households_too_many",
    "{file} holds more than {households_max} households.",
    "Export in parts, or use the API's JSON (one page a line), which has no limit.",
)
ROSTER_ROW_ORPHAN = Problem(
    "roster_row_orphan",
    "A member's row belongs to household {value}, which is not in the file.",
    "Export again without deleting or sorting rows in a spreadsheet.",
)
ROSTER_NESTED = Problem(
    "roster_nested",
    "The roster {roster} of {file} stands inside the repeat {parent}, not in the household.",
    "Name the repeat that lists the household's members as `roster` in the mapping file.",
)
INDEX_REPEATED = Problem(
    "index_repeated",
    "{file} numbers {count:household|households} twice, so members cannot be told apart.",
    "Import each export by itself; do not paste exports together.",
)
CELL_ERROR = Problem(
    "cell_error",
    "A cell holds the error {value} instead of an answer; it stays unknown.",
    "Export again without opening the file in a spreadsheet.",
)

HOUSEHOLDS_MAX = 20_000
ROWS_MAX = 1_000_000  # of one sheet: an XLSX sheet ends at 1,048,576
UNPACKED_BYTES_MAX = 512 * 1024 * 1024
SHARED_STRINGS_BYTES_MAX = 96 * 1024 * 1024  # held in memory as objects
PARTS_MAX = 2_000
SHEET_TITLE_MAX = 31

# What openpyxl, zipfile and the XML parser do on damaged files (ParseError is a SyntaxError).
_DAMAGED = (
    InvalidFileException, zipfile.BadZipFile, zlib.error, OSError, EOFError, LookupError,
    ValueError, TypeError, AttributeError, SyntaxError, NotImplementedError, RuntimeError,
)  # fmt: skip
_INDEX, _PARENT_INDEX, _PARENT_TABLE = "_index", "_parent_index", "_parent_table_name"
_EXACT_DIGITS = 15  # what a spreadsheet keeps
_CHUNK_BYTES = 1 << 20
_CELL_BYTES_MAX = 1 << 16
_FORMULA = re.compile(rb"<(?:\w+:)?c\b([^<>]*)>\s*<(?:\w+:)?f\b")
_REFERENCE = re.compile(rb'\br="([A-Z]{1,3})(\d{1,7})"')
_ERRORS = frozenset({"#N/A", "#VALUE!", "#REF!", "#DIV/0!", "#NUM!", "#NAME?", "#NULL!"})


class _Table(Protocol):
    """What is used of a sheet that openpyxl reads in pieces."""

    title: str
    _worksheet_path: str

    def reset_dimensions(self) -> None: ...

    def iter_rows(
        self, *, min_row: int = 1, max_row: int | None = None, values_only: bool
    ) -> Generator[tuple[object, ...], None, None]: ...


@dataclass(slots=True)
class _Sheet:
    """One sheet in memory: only the mapped columns, as text."""

    title: str
    headers: list[str] = field(default_factory=list)
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read_xlsx(path: Path, mapping: FormMapping) -> Iterator[Record | Finding]:
    """Yield the registrations and findings of the XLSX export at `path`.

    Raises Refusal `workbook_unreadable`, `workbook_too_large`, `households_too_many`,
    `label_export`, `columns_missing` (all of them at once) or `roster_nested`.
    """
    check_sizes(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles, which nobody reads here
        main, roster, others = _load(path, mapping)
    _refuse_repeated(path.name, main)
    place = Place(path.name, main.title)
    found = {question for row in (main, roster) for question in row.headers}
    yield from optional_absent(mapping, found, place)
    for title in others:
        yield REPEAT_IGNORED.finding(Place(path.name, title), repeat=title)
    raws = list(_joined(main, roster, path.name))
    source = Source(lambda: iter(raws), place, roster.title)
    yield from records(source, mapping)


def check_sizes(path: Path) -> None:
    """Refuse a workbook whose declared sizes are out of proportion, before reading any of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            _refuse_doctype(archive, parts, path.name)
    except _DAMAGED as error:
        raise WORKBOOK_UNREADABLE.refusal(file=path.name, reason=type(error).__name__) from None
    unpacked = sum(part.file_size for part in parts)
    strings = sum(p.file_size for p in parts if p.filename.lower().endswith("sharedstrings.xml"))
    if len(parts) > PARTS_MAX:
        raise WORKBOOK_TOO_LARGE.refusal(file=path.name, reason=f"{len(parts)} parts")
    if unpacked > UNPACKED_BYTES_MAX or strings > SHARED_STRINGS_BYTES_MAX:
        raise WORKBOOK_TOO_LARGE.refusal(file=path.name, reason=f"{unpacked // 2**20} MB")


def _refuse_doctype(archive: zipfile.ZipFile, parts: Sequence[zipfile.ZipInfo], file: str) -> None:
    """Refuse XML with a document type: an export has none, and entities in it can explode."""
    for part in parts[:PARTS_MAX]:
        if part.filename.endswith((".xml", ".rels")):
            with archive.open(part) as stream:
                if b"<!DOCTYPE" in stream.read(4096):
                    raise WORKBOOK_UNREADABLE.refusal(file=file, reason="document type in XML")


def _load(path: Path, mapping: FormMapping) -> tuple[_Sheet, _Sheet, list[str]]:
    """Return main sheet, roster (empty where the form has none) and the titles of the others."""
    try:
        with (
            path.open("rb") as stream,  # of a path, openpyxl would judge the ending
            zipfile.ZipFile(stream) as archive,
            closing(openpyxl.load_workbook(stream, read_only=True, data_only=True)) as book,
        ):
            return _sheets(path.name, archive, book, mapping)
    except (Refusal, MemoryError):
        raise
    except _DAMAGED as error:
        reason = type(error).__name__
    raise WORKBOOK_UNREADABLE.refusal(file=path.name, reason=reason)


def _sheets(
    file: str, archive: zipfile.ZipFile, book: openpyxl.Workbook, mapping: FormMapping
) -> tuple[_Sheet, _Sheet, list[str]]:
    tables = [cast("_Table", sheet) for sheet in book if hasattr(sheet, "_worksheet_path")]
    if not tables:
        raise WORKBOOK_UNREADABLE.refusal(file=file, reason="no sheet")
    main, children = tables[0], tables[1:]
    roster = next((one for one in children if _is_titled(one.title, mapping.roster)), None)
    own = {_INDEX} if mapping.roster else set()
    reader = _Reader(file, archive, mapping)
    wanted_main, wanted_roster = mapping.household_sources | own, mapping.member_sources
    headers = reader.header(main)
    absent = _absent(wanted_main & (required(mapping) | own), headers)
    if mapping.roster and roster is None:
        absent.append(f"sheet {mapping.roster}")
    if roster is not None:
        linked = {*wanted_roster & required(mapping), _PARENT_INDEX}
        roster_headers = reader.header(roster)
        absent += [f"{mapping.roster}/{name}" for name in _absent(linked, roster_headers)]
        headers += roster_headers
    if absent:
        raise incomplete(file, headers, absent)
    read_main = reader.sheet(main, wanted_main, HOUSEHOLDS_MAX)
    read_roster = _Sheet("")
    if roster is not None:
        read_roster = reader.sheet(roster, wanted_roster | {_PARENT_INDEX, _PARENT_TABLE}, ROWS_MAX)
        _refuse_nested(file, read_roster, {one.title for one in children})
    others = [one.title for one in children if one is not roster]
    return read_main, read_roster, others


def _refuse_repeated(file: str, main: _Sheet) -> None:
    indexes = [row[_INDEX] for _, row in main.rows if _INDEX in row]
    count = len(indexes) - len(set(indexes))
    if count:
        raise INDEX_REPEATED.refusal(file=file, count=count)


def _is_titled(title: str, name: str) -> bool:
    if len(name) > SHEET_TITLE_MAX:
        return title.endswith("...") and name.startswith(title.removesuffix("..."))
    return bool(name) and title == name


def _absent(wanted: Iterable[str], headers: Iterable[str]) -> list[str]:
    questions = Questions(wanted)
    return sorted(questions.wanted - {questions[header] for header in headers})


def _refuse_nested(file: str, roster: _Sheet, repeats: set[str]) -> None:
    parent = next((row.get(_PARENT_TABLE, "") for _, row in roster.rows), "")
    if parent in repeats:
        raise ROSTER_NESTED.refusal(file=file, roster=roster.title, parent=parent)


class _Reader:
    """Reads sheets of one workbook into memory, keeping the wanted columns."""

    def __init__(self, file: str, archive: zipfile.ZipFile, mapping: FormMapping) -> None:
        self.file = file
        self.archive = archive
        self.digits = mapping.text_sources

    def header(self, sheet: _Table) -> list[str]:
        """Return the texts of the first row."""
        sheet.reset_dimensions()
        with closing(sheet.iter_rows(max_row=1, values_only=True)) as rows:
            first = next(rows, ())
        return [str(cell).strip() if cell is not None else "" for cell in first]

    def sheet(self, sheet: _Table, wanted: Iterable[str], rows_max: int) -> _Sheet:
        """Return the wanted columns of `sheet`; refuse it beyond `rows_max` rows."""
        questions = Questions(wanted)
        columns = [
            (number, question)
            for number, header in enumerate(self.header(sheet))
            if header and (question := questions[header])
        ]
        read = _Sheet(sheet.title, headers=[question for _, question in columns])
        blank = 0
        for number, cells in enumerate(sheet.iter_rows(min_row=2, values_only=True), start=2):
            values = self._values(cells, columns, Place(self.file, sheet.title, number), read)
            blank += not values
            if values:
                read.rows.append((number, values))
            if len(read.rows) > rows_max or blank > ROWS_MAX:
                raise HOUSEHOLDS_TOO_MANY.refusal(file=self.file, households_max=HOUSEHOLDS_MAX)
        by_column = dict(columns)
        for row, column in self._formulas(sheet):
            if column in by_column and row != 1:
                at = Place(self.file, sheet.title, row, by_column[column])
                read.findings.append(FORMULA_IN_CELL.finding(at))
        return read

    def _values(
        self,
        cells: Sequence[object],
        columns: Sequence[tuple[int, str]],
        place: Place,
        read: _Sheet,
    ) -> dict[str, str]:
        values: dict[str, str] = {}
        for number, question in columns:
            cell = cells[number] if number < len(cells) else None
            if cell is None or cell == "":
                continue
            text, problem = _text(cell, is_digits=question in self.digits)
            at = Place(place.file, place.sheet, place.row, question)
            if problem:
                shown = str(cell) if problem is CELL_ERROR else masked(str(cell))
                read.findings.append(problem.finding(at, shown))
            if not put(values, question, text):
                read.findings.append(ANSWERS_DIFFER.finding(at))
        return values

    def _formulas(self, sheet: _Table) -> Iterator[tuple[int, int]]:
        """Yield row (from 1) and column (from 0) of every cell with a formula.

        openpyxl gives either formulas or their values; the values are needed, so the formulas are
        looked for in the XML.
        """
        part = sheet._worksheet_path.removeprefix("/")  # noqa: SLF001 - it has no public name
        held = b""
        with self.archive.open(part) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                held += chunk
                end = 0
                for cell in _FORMULA.finditer(held):
                    end = cell.end()
                    reference = _REFERENCE.search(cell.group(1))
                    if reference:
                        letters, row = reference.groups()
                        yield int(row), _column(letters)
                held = held[max(end, len(held) - _CELL_BYTES_MAX) :]


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number - 1


def _text(cell: object, *, is_digits: bool) -> tuple[str, Problem | None]:
    """Return a cell's value as text, and what is doubtful about it."""
    if isinstance(cell, str):
        text = cell.strip()
        return ("", CELL_ERROR) if text in _ERRORS else (text, None)
    if isinstance(cell, bool):
        return str(cell).lower(), None
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat(), None
    if isinstance(cell, date | time):
        return cell.isoformat(), None
    return _number(cell, is_digits=is_digits)


def _number(cell: object, *, is_digits: bool) -> tuple[str, Problem | None]:
    """Return a number as it is shown; as an identifier only while no digit can be lost."""
    shown = str(cell)
    whole = shown.removesuffix(".0")
    if not is_digits:
        return whole, None
    is_exact = whole.isdigit() and len(whole) <= _EXACT_DIGITS
    return (whole, NUMBER_IN_TEXT) if is_exact else ("", DIGITS_LOST)


def _joined(main: _Sheet, roster: _Sheet, file: str) -> Iterator[RawRecord | Finding]:
    """Yield each main row with its members, and what is doubtful about either sheet."""
    yield from main.findings
    yield from roster.findings
    indexes = {values.get(_INDEX, "") for _, values in main.rows}
    members: dict[str, list[RawMember]] = {}
    for number, values in roster.rows:
        parent = values.pop(_PARENT_INDEX, "")
        values.pop(_PARENT_TABLE, None)
        if not parent or parent not in indexes:
            place = Place(file, roster.title, number, _PARENT_INDEX)
            yield ROSTER_ROW_ORPHAN.finding(place, parent)
            continue
        members.setdefault(parent, []).append(RawMember(number, values))
    for number, values in main.rows:
        index = values.pop(_INDEX, "")
        yield RawRecord(number, values, members.get(index, ()))
