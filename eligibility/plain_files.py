"""Households and members in two plain CSV files, checked and written as a snapshot.

So that anybody can check a rule pack with nothing but the pack and two lists. UTF-8, a comma
between fields, a first line of column names; whole numbers, amounts in minor units, `true` and
`false`, dates as 2026-01-31; an empty field is not known. The columns are the inputs that the pack
declares, beside `household_id` and, for people, `member_id`; of the standard columns those that the
rules read. Further columns are left out, and named.

All problems of both files are found at once, each with its row, and then nothing is decided: a file
that says something unreadable is corrected, never guessed at. A value that is not known drops
nobody. Whoever is listed is taken for the whole household unless a column `has_roster` says
otherwise.

Files are read in blocks and never held whole. A *row* is a row of the file, the first line being
row 1.
"""

import csv
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from eligibility.decisions import ARROW
from eligibility.plain_values import EXPECTED, Column, indices_of, shown, value_of
from eligibility.rules.checked import Rules
from eligibility.rules.terms import Kind
from eligibility.snapshot import columns_of
from ledgers.problems import Finding, Place, Problem, Refusal, Weight

PLAIN_REFUSED = Problem(
    "plain_files_refused",
    "The two files have {problems:problem|problems}; nothing was decided.",
    "Correct the places listed and run it again.",
)
PLAIN_UNREADABLE = Problem(
    "plain_file_unreadable",
    "The file {file} cannot be read: {why}.",
    "Give a CSV file: UTF-8, a comma between fields, column names in the first line.",
)
PLAIN_COLUMN_MISSING = Problem(
    "plain_column_missing",
    "The column {column} is missing.",
    "Add it to the first line, with its values; leave a field empty where it is not known.",
)
PLAIN_COLUMN_TWICE = Problem(
    "plain_column_twice",
    "The column {column} stands there twice.",
    "Keep one of the two: only one could count.",
)
PLAIN_ROW_LENGTH = Problem(
    "plain_row_length",
    "The row has {found:field|fields}; the first line has {expected}.",
    "Put a text with a comma or a line break between quotes, and leave no field out.",
)
PLAIN_NOT_TEXT = Problem(
    "plain_not_text", "The field is not UTF-8 text.", "Save the file again as UTF-8."
)
PLAIN_VALUE = Problem(
    "plain_value",
    "The value {value} is not {expected}.",
    "Correct it, or leave the field empty where it is not known.",
)
PLAIN_ID_MISSING = Problem(
    "plain_id_missing",
    "The row has no {column}.",
    "Give every row its {column}: without one nobody can say who it is about.",
    weight=Weight.REFUSED,
)
PLAIN_ID_TWICE = Problem(
    "plain_id_twice",
    "The {column} of row {first} stands there again.",
    "Keep one row for each {who}.",
    weight=Weight.REFUSED,
)
PLAIN_MEMBER_ALONE = Problem(
    "plain_member_alone",
    "The member belongs to no household of the other file.",
    "Add the household, or correct the household_id.",
    weight=Weight.REFUSED,
)
PLAIN_MORE = Problem(
    "plain_more",
    "{more:more problem of this file is|more problems of this file are} not listed.",
    "Correct those listed and run it again.",
)

HOUSEHOLD_ID, MEMBER_ID = "household_id", "member_id"
# Columns that say how much is known of a household: a plain file may leave them out.
OPTIONAL = frozenset({"has_roster", "declared_size", "birth_date_precision", "discretionary"})
BLOCK_BYTES = 4 << 20
LISTED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class PlainSnapshot:
    """The two files as Parquet, their rows, and the columns that no rule reads."""

    households: Path
    members: Path
    household_rows: int
    member_rows: int
    left_out: tuple[str, ...]


@dataclass(slots=True)
class _File:
    """One CSV file on its way to Parquet."""

    path: Path
    out: Path
    wanted: Mapping[str, Kind]
    ids: tuple[str, ...]
    header: list[str] = field(default_factory=list)
    rows: int = 0
    skipped: list[int] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    unlisted: int = 0

    def place(self, row: int | None = None, column: str = "") -> Place:
        return Place(self.path.name, row=row, field=column)

    def at(self, index: int, column: str) -> Place:
        """Return the place of a field in the block that is being read."""
        return self.place(self.row_of(self.rows + index), column)

    def report(self, finding: Finding) -> None:
        if len(self.findings) < LISTED_MAX:
            self.findings.append(finding)
        else:
            self.unlisted += 1

    def row_of(self, index: int) -> int:
        """Return the row of the file of the data row that was kept as number `index`, from 0."""
        row = index + 2
        while True:
            moved = index + 2 + bisect_right(self.skipped, row)
            if moved == row:
                return row
            row = moved

    def problems(self) -> Iterator[Finding]:
        yield from self.findings
        if self.unlisted:
            yield PLAIN_MORE.finding(self.place(), more=self.unlisted)


def snapshot_of(
    connection: duckdb.DuckDBPyConnection,
    households: Path,
    members: Path,
    rules: Rules,
    folder: Path,
) -> PlainSnapshot:
    """Write the two CSV files as Parquet into `folder` and return the snapshot.

    `connection` is a database in memory that may spill. Raises `plain_files_refused` with every
    finding, `plain_file_unreadable`.
    """
    household, member = _wanted(rules)
    files = (
        _File(households, folder / "households.parquet", household, (HOUSEHOLD_ID,)),
        _File(members, folder / "members.parquet", member, (HOUSEHOLD_ID, MEMBER_ID)),
    )
    named = True
    for file in files:
        _read_header(file)
        _read_rows(file)
        named &= set(file.ids) <= set(file.header)
    if named:
        _compare(connection, *files)
    findings = [finding for file in files for finding in file.problems()]
    if findings:
        count = len(findings) + sum(file.unlisted - (file.unlisted > 0) for file in files)
        raise PLAIN_REFUSED.refusal(problems=count).with_findings(findings)
    left_out = [name for file in files for name in file.header if name not in file.wanted]
    return PlainSnapshot(
        files[0].out, files[1].out, files[0].rows, files[1].rows, tuple(sorted(set(left_out)))
    )


def _wanted(rules: Rules) -> tuple[dict[str, Kind], dict[str, Kind]]:
    """Return the columns of both files: what is declared, what is read, and who it is about."""
    household, member = columns_of(rules)
    inputs = rules.pack.inputs
    household |= {name: Kind(kind) for name, kind in inputs.household.items()}
    member |= {MEMBER_ID: Kind.TEXT} | {name: Kind(kind) for name, kind in inputs.member.items()}
    return household, member


def _declared(file: _File) -> list[str]:
    return [name for name in file.wanted if name not in OPTIONAL]


# --- reading ---------------------------------------------------------------------------------


def _read_header(file: _File) -> None:
    try:
        # What is no UTF-8 further down is reported where it stands.
        with file.path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
            file.header = next(csv.reader(lines, strict=True), [])
    except OSError as error:
        raise _unreadable(file, error.strerror or "it cannot be opened") from error
    except csv.Error as error:
        raise _unreadable(file, "its first line is not text with commas") from error
    if _quotes(file.path) % 2:
        # It would swallow every row to the end of the file.
        raise _unreadable(file, "a quote that is opened in it is not closed")
    if not any(file.header):
        raise _unreadable(file, "its first line is empty")
    _check_shape(file)
    for name in sorted({name for name in file.header if file.header.count(name) > 1}):
        file.report(PLAIN_COLUMN_TWICE.finding(file.place(1, name), column=name))
    for name in _declared(file):
        if name not in file.header:
            file.report(PLAIN_COLUMN_MISSING.finding(file.place(1, name), column=name))


def _check_shape(file: _File) -> None:
    """Refuse a file that is not in commas or not in UTF-8, whatever its columns are called."""
    if HOUSEHOLD_ID in file.header:
        return
    names = "".join(file.header)
    if "\0" in names or names.startswith("\ufffd"):
        raise _unreadable(file, "it is not UTF-8 text, perhaps UTF-16")
    if len(file.header) == 1 and (";" in names or "\t" in names):
        mark = "semicolons" if ";" in names else "tabs"
        raise _unreadable(file, f"its fields are divided by {mark}, not by commas")


def _quotes(path: Path) -> int:
    count = 0
    with path.open("rb") as content:
        while block := content.read(BLOCK_BYTES):
            count += block.count(b'"')
    return count


def _unreadable(file: _File, why: str) -> Refusal:
    return PLAIN_UNREADABLE.refusal(file=file.path.name or file.path, why=why)


def _read_rows(file: _File) -> None:
    """Write the wanted columns of every row, reporting what cannot be read."""
    present = [name for name in file.wanted if name in file.header]
    schema = pa.schema([(name, ARROW[kind]) for name, kind in file.wanted.items()])
    first = {name: at for at, name in reversed(list(enumerate(file.header)))}
    try:
        with pq.ParquetWriter(file.out, schema, compression="zstd") as writer:
            for batch in _batches(file):
                columns = {name: batch.column(first[name]) for name in present}
                writer.write_table(_typed(file, columns, batch.num_rows, schema))
                file.rows += batch.num_rows
    except pa.ArrowInvalid as error:
        why = f"one of its rows is longer than {BLOCK_BYTES >> 20} MB"
        raise _unreadable(file, why) from error


def _batches(file: _File) -> Iterator[pa.RecordBatch]:
    names = [str(at) for at in range(len(file.header))]
    try:
        reader = pa_csv.open_csv(
            file.path,
            read_options=pa_csv.ReadOptions(
                use_threads=False, block_size=BLOCK_BYTES, column_names=names, skip_rows=1
            ),
            parse_options=pa_csv.ParseOptions(
                newlines_in_values=True, ignore_empty_lines=False,
                invalid_row_handler=_skipping(file),
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()), null_values=[""],
                strings_can_be_null=True, quoted_strings_can_be_null=True,
            ),
        )  # fmt: skip
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return  # column names and no rows: nobody to decide about
        raise
    for batch in reader:
        yield _without_blank_lines(file, batch)


def _without_blank_lines(file: _File, batch: pa.RecordBatch) -> pa.RecordBatch:
    blank = reduce(pc.and_, (pc.is_null(column) for column in batch.columns))
    lines = indices_of(blank) if batch.num_columns > 1 else []
    for before, index in enumerate(lines):
        insort(file.skipped, file.row_of(file.rows + index - before))
    return batch.filter(pc.invert(blank)) if lines else batch


def _skipping(file: _File) -> Callable[[pa_csv.InvalidRow], Literal["skip"]]:
    def skip(row: pa_csv.InvalidRow) -> Literal["skip"]:
        number = row.number or 0
        file.skipped.append(number)
        if row.text.strip():
            found, expected = row.actual_columns, row.expected_columns
            place = file.place(number)
            file.report(PLAIN_ROW_LENGTH.finding(place, found=found, expected=expected))
        return "skip"

    return skip


def _typed(file: _File, columns: Mapping[str, Column], rows: int, schema: pa.Schema) -> pa.Table:
    arrays: list[Column] = []
    for name, kind in file.wanted.items():
        if name not in columns:
            arrays.append(_absent(name, rows, schema.field(name).type))
            continue
        raw = columns[name]
        text = _text(file, name, raw)
        value = value_of(name, kind, text)
        for at in indices_of(pc.and_(pc.is_null(value), pc.is_valid(text))):
            told = shown(str(text[at]))
            file.report(PLAIN_VALUE.finding(file.at(at, name), told, expected=EXPECTED[kind]))
        if name in file.ids:
            for at in indices_of(pc.is_null(raw)):
                file.report(PLAIN_ID_MISSING.finding(file.at(at, name), column=name))
        arrays.append(value)
    return pa.Table.from_arrays(arrays, schema=schema)


def _absent(name: str, rows: int, kind: pa.DataType) -> Column:
    """Return a column that the file does not have: everybody is listed, the rest is not known."""
    value = True if name == "has_roster" else None
    absent: Column = pa.array([value], kind).take(pa.array([0] * rows, pa.int32()))
    return absent


def _text(file: _File, name: str, raw: Column) -> Column:
    try:
        return raw.cast(pa.string())
    except pa.ArrowInvalid:
        values: list[str | None] = []
        for at, content in enumerate(raw.to_pylist()):
            try:
                values.append(None if content is None else content.decode())
            except UnicodeDecodeError:
                values.append(None)
                file.report(PLAIN_NOT_TEXT.finding(file.at(at, name)))
        return pa.array(values, pa.string())


# --- the two files together ------------------------------------------------------------------


def _compare(connection: duckdb.DuckDBPyConnection, households: _File, members: _File) -> None:
    """Report ids that stand twice, and people without a household."""
    _report_twice(connection, households, "household")
    _report_twice(connection, members, "member of a household")
    alone = _numbers(
        connection,
        "SELECT file_row_number FROM read_parquet(?, file_row_number = true) m"
        " WHERE household_id IS NOT NULL AND household_id NOT IN"
        " (SELECT household_id FROM read_parquet(?) WHERE household_id IS NOT NULL) ORDER BY 1",
        [str(members.out), str(households.out)],
    )
    for (number,) in alone:
        place = members.place(members.row_of(number), HOUSEHOLD_ID)
        members.report(PLAIN_MEMBER_ALONE.finding(place))


def _report_twice(connection: duckdb.DuckDBPyConnection, file: _File, who: str) -> None:
    ids = ", ".join(file.ids)
    known = " AND ".join(f"{name} IS NOT NULL" for name in file.ids)
    twice = _numbers(
        connection,
        f"SELECT first, file_row_number FROM read_parquet($path, file_row_number = true)"
        f" JOIN (SELECT {ids}, min(file_row_number) AS first"
        f" FROM read_parquet($path, file_row_number = true) WHERE {known}"
        f" GROUP BY {ids} HAVING count(*) > 1) USING ({ids})"
        " WHERE first <> file_row_number ORDER BY 2",
        {"path": str(file.out)},
    )
    column = file.ids[-1]
    for first, number in twice:
        place = file.place(file.row_of(number), column)
        file.report(PLAIN_ID_TWICE.finding(place, column=column, first=file.row_of(first), who=who))


def _numbers(
    connection: duckdb.DuckDBPyConnection, sql: str, values: Sequence[str] | Mapping[str, str]
) -> Iterator[tuple[int, ...]]:
    cursor = connection.execute(sql, values)
    while rows := cursor.fetchmany(LISTED_MAX):
        yield from rows
