"""What a database holds, in figures that tell whether a copy is the same; and a backup's manifest.

A database and its copy agree when they have the same revision, the same number of rows in every
table, the same trial balance to the last minor unit, and books that verify with the same answer.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from psycopg import Connection, sql

from cva import acts
from ledgers import balances, verification

# Ours is what is not the server's own and not an extension's.
_OURS = """
    n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = '{catalog}'::regclass AND d.objid = {oid}
          AND d.deptype = 'e')
"""
_TABLES = f"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND {_OURS.format(catalog="pg_class", oid="c.oid")}
    ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
"""
_OBJECTS = f"""
    SELECT n.nspname || '.' || c.relname AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE {_OURS.format(catalog="pg_class", oid="c.oid")}
    UNION ALL
    SELECT n.nspname || '.' || p.proname
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {_OURS.format(catalog="pg_proc", oid="p.oid")}
    UNION ALL
    SELECT n.nspname FROM pg_namespace n
    WHERE n.nspname <> 'public' AND {_OURS.format(catalog="pg_namespace", oid="n.oid")}
    ORDER BY name LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Content:
    """What a database holds.

    `revision` is the migration's, None in a database that was never set up; `rows` counts each
    table; `trial_balance` is the SHA-256 of all accounts' sums, hexadecimal; `wrong` names the
    checks of the books that fail, with how many things each finds: empty where the books are sound.
    """

    revision: str | None
    rows: Mapping[str, int]
    trial_balance: str
    wrong: Mapping[str, int]

    def differences(self, other: "Content") -> Iterator[str]:
        """Yield what differs between this content and the other, by name."""
        if self.revision != other.revision:
            yield "the revision"
        for table in sorted({*self.rows, *other.rows}):
            if self.rows.get(table) != other.rows.get(table):
                yield f"the rows of {table}"
        if self.trial_balance != other.trial_balance:
            yield "the trial balance"
        if self.wrong != other.wrong:
            yield "the verification of the books"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says about itself.

    `made_at` is the moment of the copy, `program` this program's version, `postgresql` the
    server's; `dump_bytes` and `dump_sha256` (hexadecimal) are of the dump before it was sealed.
    """

    made_at: datetime
    program: str
    postgresql: str
    content: Content
    dump_bytes: int
    dump_sha256: str

    def text(self) -> bytes:
        """Return the manifest as JSON."""
        told = asdict(self) | {"made_at": self.made_at.isoformat()}
        return json.dumps(told, ensure_ascii=False, sort_keys=True, indent=1).encode()


def manifest_of(text: bytes) -> Manifest:
    """Return the manifest that `Manifest.text` wrote."""
    told = json.loads(text)
    content = Content(**told.pop("content"))
    made_at = datetime.fromisoformat(told.pop("made_at"))
    return Manifest(made_at=made_at, content=content, **told)


def revision_of(conn: Connection) -> str | None:
    """Return the migration revision of the database, None where it was never set up."""
    present = conn.execute("SELECT to_regclass('public.alembic_version') IS NOT NULL").fetchone()
    if present != (True,):
        return None
    row = conn.execute("SELECT version_num FROM public.alembic_version").fetchone()
    return row[0] if row else None


def content_of(conn: Connection, rows: Mapping[str, int]) -> Content:
    """Return what the database holds; `rows` are the counts of `rows_of`. Reads the whole log."""
    accounts = [
        [row.code, row.currency, row.posted_debit_minor, row.posted_credit_minor,
         row.pending_debit_minor, row.pending_credit_minor]
        for row in balances.trial_balance(conn)
    ]  # fmt: skip
    wrong = {check.name: check.wrong for check in verification.verify(conn).checks if check.wrong}
    digest = acts.body_hash({"accounts": accounts}).hex()
    return Content(revision_of(conn), rows, digest, wrong)


def rows_of(conn: Connection) -> dict[str, int]:
    """Return how many rows each table has, by `schema.table`."""
    tables = conn.execute(_TABLES).fetchall()
    counts = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}, count(*) FROM {}").format(
            sql.Literal(f"{schema}.{table}"), sql.Identifier(schema, table)
        )
        for schema, table in tables
    )
    return dict(conn.execute(counts).fetchall()) if tables else {}


def first_object(conn: Connection) -> str | None:
    """Return the name of something that stands in the database, None where it is empty."""
    row = conn.execute(_OBJECTS).fetchone()
    return row[0] if row else None
