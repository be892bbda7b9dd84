"""A snapshot as the rules read it: two Parquet files, checked against the pack before any reading.

`households` has household_id and one row for each household; `members` has household_id and one
row for each person. Null means unknown. A column that the rules name and the file lacks, or has in
another type, is refused: a missing column must not turn every household into a no.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from eligibility.rules.checked import Rules
from eligibility.rules.pairs import TYPES
from eligibility.rules.terms import Input, Kind, MemberInput, every
from eligibility.selection import DISCRETIONARY, stratum_of
from ledgers.problems import Finding, Place, Problem

SNAPSHOT_REFUSED = Problem(
    "snapshot_refused",
    "The snapshot lacks {problems} of the columns that the rules read.",
    "Make the snapshot again from a form that asks for them, or change the rules.",
)
SNAPSHOT_COLUMN_MISSING = Problem(
    "snapshot_column_missing",
    "The column {column} is missing.",
    "Add it to the snapshot, with null where it is not known.",
)
SNAPSHOT_COLUMN_TYPE = Problem(
    "snapshot_column_type",
    "The column {column} is of type {found}; the rules read {expected}.",
    "Write the column as {expected}.",
)

ALWAYS_HOUSEHOLD = {"has_roster": Kind.BOOL, "declared_size": Kind.INT}
ENGINE_TYPES = {
    Kind.INT: "BIGINT",
    Kind.MONEY: "BIGINT",
    Kind.TEXT: "VARCHAR",
    Kind.BOOL: "BOOLEAN",
    Kind.DATE: "DATE",
}
FITS: Mapping[Kind, Callable[[pa.DataType], bool]] = {
    Kind.INT: pa.types.is_integer,
    Kind.MONEY: pa.types.is_integer,
    Kind.TEXT: lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    Kind.BOOL: pa.types.is_boolean,
    Kind.DATE: pa.types.is_date32,
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The two tables, with the columns the rules read and no others."""

    households: ibis.Table
    members: ibis.Table
    people: int  # rows of members


@contextmanager
def engine(spill: Path, memory_mb: int, threads: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database in memory that is gone afterwards; what does not fit goes to `spill`."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": str(spill),
            "threads": threads,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    try:
        # A bar drawn on standard output would stand in the middle of an answer.
        connection.execute("SET enable_progress_bar = false")
        yield connection
    except RuntimeError as error:
        # What DuckDB makes of Ctrl-C while it computes.
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from None
        raise
    finally:
        connection.close()


def opened(
    connection: duckdb.DuckDBPyConnection, households: Path, members: Path, rules: Rules
) -> Snapshot:
    """Return the snapshot in the two files, with the columns that `rules` read.

    Raises `snapshot_refused` with every column that is missing or of another type.
    """
    wanted_households, wanted_members = columns_of(rules)
    findings = [*_misfits(households, wanted_households), *_misfits(members, wanted_members)]
    if findings:
        raise SNAPSHOT_REFUSED.refusal(problems=len(findings)).with_findings(findings)
    return Snapshot(
        view(connection, "households", households, wanted_households),
        view(connection, "members", members, wanted_members),
        pq.read_metadata(members).num_rows,
    )


def view(
    connection: duckdb.DuckDBPyConnection, name: str, path: Path, wanted: Mapping[str, Kind]
) -> ibis.Table:
    """Name the `wanted` columns of a Parquet file in the database and return them as a table."""
    columns = ", ".join(
        f'CAST("{column}" AS {ENGINE_TYPES[kind]}) AS "{column}"' for column, kind in wanted.items()
    )
    file = escape(str(path)).replace("'", "''")
    connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM read_parquet('{file}')")
    return ibis.table({column: TYPES[kind] for column, kind in wanted.items()}, name=name)


def columns_of(rules: Rules) -> tuple[dict[str, Kind], dict[str, Kind]]:
    """Return the columns of households and of members that `rules` read, by name."""
    household = {"household_id": Kind.TEXT, **ALWAYS_HOUSEHOLD}
    member = {"household_id": Kind.TEXT}
    stratum = stratum_of(rules.pack.selection)
    if stratum is not None:
        household[stratum] = Kind.TEXT
    if rules.pack.selection.discretionary is not None:
        household[DISCRETIONARY] = Kind.BOOL
    roots = [term for _, term in rules.facts]
    roots += [rule.term for rule in rules.criteria]
    roots += [rules.score, rules.amount.due]
    for root in roots:
        for term in every(root):
            if isinstance(term, Input):
                household[term.name] = term.kind
            elif isinstance(term, MemberInput):
                member[term.name] = term.kind
    if "birth_date" in member:
        member["birth_date_precision"] = Kind.TEXT
    return household, member


def _misfits(path: Path, wanted: Mapping[str, Kind]) -> Iterator[Finding]:
    schema = pq.read_schema(path)
    for column, kind in wanted.items():
        place = Place(path.name, field=column)
        if column not in schema.names:
            yield SNAPSHOT_COLUMN_MISSING.finding(place, column=column)
        elif not FITS[kind](schema.field(column).type):
            found = str(schema.field(column).type)
            expected = TYPES[kind]
            yield SNAPSHOT_COLUMN_TYPE.finding(place, column=column, found=found, expected=expected)
