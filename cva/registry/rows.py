"""The rows of a batch of households, and how they enter the database: by COPY, in sets.

A batch is what is in memory at one time, whatever the size of the file. Its rows go straight to
their tables; the numbers of its versions are taken from their sequence beforehand, so that members
and identifiers can name them.
"""

import gc
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

from psycopg import Connection, sql

from cva.registry.validation import Household
from cva.vault import Vault
from ledgers.problems import Finding

COLLECT_AFTER_OBJECTS = 50_000  # Python's own number is 700

Cell = str | int | bool | bytes | date | datetime | Mapping[str, object] | None
Row = Sequence[Cell]

# Columns with their types, in the order in which the tables must be filled.
TABLES = {
    "household": {
        "household_id": "text", "form": "text", "record_key": "text", "import_id": "text",
    },
    "household_key": {"household_id": "text", "wrapped": "bytea"},
    "version": {
        "version_id": "int8", "household_id": "text", "revision": "text", "import_id": "text",
        "submitted_at": "timestamptz", "consent_given": "bool", "consent_language": "text",
        "consent_on": "date", "province": "text", "district": "text", "population_group": "text",
        "declared_size": "int4", "roster_size": "int4", "has_roster": "bool", "answers": "jsonb",
        "sealed": "bytea",
    },
    "member": {
        "version_id": "int8", "member_no": "int4", "relationship": "text", "sex": "text",
        "birth_date": "date", "birth_date_precision": "text", "nationality": "text",
        "disability_percent": "int4",
    },
    "identifier": {
        "version_id": "int8", "member_no": "int4", "kind": "text", "token": "bytea",
        "valid": "bool",
    },
    "finding": {
        "import_id": "text", "finding_no": "int4", "code": "text", "weight": "text",
        "sheet": "text", "row_no": "int4", "field": "text", "shown": "text", "facts": "jsonb",
        "household_id": "text",
    },
}  # fmt: skip


class Ascending:
    """Random bytes for identifiers, each above the ones before: the indexes grow at their end.

    Identifiers of one import bear one moment. Of a million in any order, each would change another
    page of every index that begins with it.
    """

    def __init__(self) -> None:
        self.last = secrets.randbits(79)  # of the 80 there are: the steps never fill the last

    def __call__(self, count: int) -> bytes:
        """Return `count` bytes (10: what a ULID has)."""
        self.last += 1 + secrets.randbits(40)
        return self.last.to_bytes(count)


@contextmanager
def few_collections() -> Iterator[None]:
    """Let Python look for cycles of objects rarely; a batch makes a million objects and no cycle.

    Looking for what is not there took a fifth of an import's time.
    """
    before = gc.get_threshold()
    gc.set_threshold(COLLECT_AFTER_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(slots=True)
class Rows:
    """Rows by table."""

    of: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in TABLES})

    def copy(self, conn: Connection) -> None:
        """Copy the rows into their tables."""
        for table, rows in self.of.items():
            if rows:
                copy_rows(conn, table, rows)

    def add_version(
        self, version_id: int, keys: tuple[str, str, str], household: Household, sealed: bytes
    ) -> None:
        """Add a version; `keys` are household id, revision token and import id."""
        household_id, revision, import_id = keys
        self.of["version"].append((
            version_id, household_id, revision, import_id, household.submitted_at,
            household.consent_given, household.consent_language, household.consent_on,
            household.province, household.district, household.population_group,
            household.declared_size, len(household.members), household.has_roster,
            household.answers, sealed,
        ))  # fmt: skip
        self.of["member"].extend((version_id, *member) for member in household.members)

    def add_identifiers(self, vault: Vault, version_id: int, household: Household) -> None:
        """Add the tokens of a version's identifiers."""
        self.of["identifier"].extend(
            (version_id, mark.member_no, mark.kind, vault.token(mark.kind, mark.normalised),
             mark.valid)
            for mark in household.marks
        )  # fmt: skip

    def add_finding(
        self, import_id: str, finding_no: int, finding: Finding, household_id: str | None
    ) -> None:
        """Add a finding about a household, or about a record that was not taken."""
        place, problem = finding.place, finding.problem
        self.of["finding"].append((
            import_id, finding_no, problem.code, problem.weight.value, place.sheet, place.row,
            place.field, finding.value, _facts(finding), household_id,
        ))  # fmt: skip


def copy_rows(conn: Connection, table: str, rows: Iterable[Row]) -> None:
    """Copy `rows` into a table of the registry, in PostgreSQL's binary format."""
    columns = TABLES[table]
    statement = sql.SQL("COPY registry.{} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(list(columns.values()))
        for row in rows:
            copy.write_row(row)


def _facts(finding: Finding) -> dict[str, object]:
    return {
        name: fact if isinstance(fact, int | str) else str(fact)
        for name, fact in finding.facts.items()
    }
