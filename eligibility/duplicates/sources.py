"""A file or a table of people, as it came: its columns as text, its rows numbered.

Decides what is refused: a source without the column that tells its records apart, with two records
of one id, or with nothing to compare. A column that is missing is a finding; the rest goes on.
"""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from eligibility.duplicates.fields import Fields, Role
from ledgers.problems import Answer, Finding, Place, Problem, Weight

RECORD_COLUMN_MISSING = Problem(
    "link_record_missing",
    "There is no column {column}, which tells the records apart.",
    "Name the column of the record's id as `record` in the fields file.",
    Answer.USAGE,
)
RECORD_TWICE = Problem(
    "link_record_twice",
    "{count} record ids stand in more than one row.",
    "Give each record an id of its own: a decision about a pair must name two rows.",
)
RECORD_EMPTY = Problem(
    "link_record_empty",
    "{count:row without a record id was|rows without a record id were} not compared.",
    "Give each record an id of its own.",
    weight=Weight.REFUSED,
)
COLUMN_MISSING = Problem(
    "link_column_missing",
    "There is no column {column}; the comparison goes without it.",
    "Check the spelling in the fields file, or remove the column there.",
)
NOTHING_TO_COMPARE = Problem(
    "link_nothing_to_compare",
    "The file has neither names nor identifiers among the columns that are named.",
    "Name at least the given name, or an identifier.",
    Answer.USAGE,
)

NAMES = {
    "given": Role.GIVEN_NAME,
    "family": Role.FAMILY_NAME,
    "father": Role.FATHER_NAME,
    "mother": Role.MOTHER_NAME,
}

Source = pa.Table | pa.RecordBatchReader | Path


def quoted(column: str) -> str:
    """Return a column's name as SQL."""
    return '"' + column.replace('"', '""') + '"'


def one(conn: duckdb.DuckDBPyConnection, sql: str) -> int:
    """Return the one number that the query `sql` gives."""
    return int(conn.execute(sql).fetchall()[0][0])


def load(
    conn: duckdb.DuckDBPyConnection, name: str, source: Source, fields: Fields, file: str
) -> Iterator[Finding]:
    """Make `name_raw`: the columns that are read, as text, null where empty; numbered."""
    there = _opened(conn, name, source)
    if fields.record not in there:
        raise RECORD_COLUMN_MISSING.refusal(column=fields.record)
    missing = [column for column in fields.read if column not in there]
    present = [column for column in fields.read if column in there]
    useful = (*NAMES.values(), Role.IDENTIFIER)
    if not any(c in there and use.role in useful for c, use in fields.columns.items()):
        raise NOTHING_TO_COMPARE.refusal()
    texts = [f"nullif(trim(CAST({quoted(c)} AS VARCHAR)), '') AS {quoted(c)}" for c in present]
    texts += [f"CAST(NULL AS VARCHAR) AS {quoted(column)}" for column in missing]
    record = quoted(fields.record)
    conn.execute(
        f"CREATE TABLE {name}_raw AS SELECT CAST(row_number() OVER (ORDER BY {record}) AS INTEGER)"
        f" AS n, * FROM (SELECT {', '.join(texts)} FROM {name}_trimmed) WHERE {record} IS NOT NULL"
    )
    rows = one(conn, f"SELECT count(*) FROM {name}_source")
    for kind, rest in (("VIEW", "trimmed"), ("VIEW", "source"), ("TABLE", "source_rows")):
        conn.execute(f"DROP {kind} IF EXISTS {name}_{rest}")
    kept = one(conn, f"SELECT count(*) FROM {name}_raw")
    twice = kept - one(conn, f"SELECT count(DISTINCT {record}) FROM {name}_raw")
    if twice:
        raise RECORD_TWICE.refusal(count=twice)
    if rows > kept:
        yield RECORD_EMPTY.finding(Place(file), count=rows - kept)
    for column in missing:
        yield COLUMN_MISSING.finding(Place(file, field=column), column=column)


def _opened(conn: duckdb.DuckDBPyConnection, name: str, source: Source) -> list[str]:
    """Make the view `name_source` of `source` and return its columns."""
    if isinstance(source, Path):
        path = str(source).replace("'", "''")
        csv = source.suffix.lower() in {".csv", ".tsv", ".txt"}
        read = (
            f"read_csv('{path}', all_varchar=true, header=true, skip=0)"
            if csv
            else (f"read_parquet('{path}')")
        )
        conn.execute(f"CREATE VIEW {name}_source AS SELECT * FROM {read}")
    else:
        conn.register("arriving", source)
        conn.execute(f"CREATE TABLE {name}_source_rows AS SELECT * FROM arriving")
        conn.unregister("arriving")
        conn.execute(f"CREATE VIEW {name}_source AS SELECT * FROM {name}_source_rows")
    columns = [str(row[0]) for row in conn.execute(f"DESCRIBE {name}_source").fetchall()]
    trimmed = ", ".join(f"{quoted(column)} AS {quoted(column.strip())}" for column in columns)
    conn.execute(f"CREATE VIEW {name}_trimmed AS SELECT {trimmed} FROM {name}_source")
    return [column.strip() for column in columns]
