"""Lines: taken in once, normalised, never changed.

A line is known by its source, its statement's id and its own id. The same line again changes
nothing; with other content it stays what it was, and the other content becomes the exception
`line_changed`. What is hashed is what the source said, before normalising, so that no change is
overlooked.

Lines come as a select put together by the caller, or by COPY into the table that `staged` gives:
a million of them never pass through Python one by one.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from psycopg import Connection, Copy, sql

from ledgers.matching.sources import Source, open_source
from ledgers.problems import Problem

LINE_CHANGED = Problem(
    "line_changed",
    "{count:line|lines} of {source} came again with other content.",
    "The lines first read stand; ask the source which content is true and answer the exceptions.",
)
LINES_WITHOUT_IMPORT = Problem(
    "lines_without_import",
    "Lines were to be added to an import that is over, or of another source.",
    "Import the lines of a source.",
)

NO_PARAMS: Mapping[str, object] = {}

# The columns of a source's select, in this order.
COLUMNS = (
    "statement_id", "line_id", "amount_minor", "currency", "value_on", "booked_on", "kind", "ref",
    "counterparty", "group_keys", "words",
)  # fmt: skip
STAGE = "recon_staged"

_GIVEN = sql.SQL("""
    CREATE TEMPORARY TABLE recon_given ON COMMIT DROP AS
    SELECT g.statement_id::text, g.line_id::text, g.amount_minor::bigint, g.currency::char(3),
           g.value_on::date, g.booked_on::date, g.kind::text, recon.reference(g.ref) AS ref,
           upper(g.counterparty) AS counterparty, g.group_keys::text[], g.words::text,
           sha256(record_send(ROW('recon.line.v1'::text, g.amount_minor::bigint, g.currency::text,
               g.value_on::date, g.booked_on::date, g.kind::text, g.ref::text,
               g.counterparty::text, g.group_keys::text[], g.words::text))) AS body_hash
    FROM ({source}) AS g ({columns})
""")

_COMPARED = """
    SELECT count(*), count(*) FILTER (WHERE l.line_no IS NULL),
           count(*) FILTER (WHERE l.body_hash <> g.body_hash)
    FROM recon_given g LEFT JOIN recon.line l
      ON (l.source_id, l.statement_id, l.line_id) = (%s, g.statement_id, g.line_id)
"""

# In the order of their ids: which of two contents in one file stands does not depend on its place.
_ADD = """
    INSERT INTO recon.line (import_id, source_id, statement_id, line_id, body_hash, amount_minor,
        currency, value_on, booked_on, kind, ref, counterparty, group_keys, words)
    SELECT %(import)s, %(source)s, statement_id, line_id, body_hash, amount_minor, currency,
        value_on, booked_on, kind, ref, counterparty, group_keys, words
    FROM recon_given
    ORDER BY statement_id COLLATE "C", line_id COLLATE "C", body_hash
    ON CONFLICT (source_id, statement_id, line_id) DO NOTHING
"""

_CHANGED = """
    INSERT INTO recon.exception (line_no, name, amount_minor, owner, other_hash, recorded_on)
    SELECT DISTINCT ON (l.line_no, g.body_hash) l.line_no, 'line_changed',
        g.amount_minor - l.amount_minor, %(owner)s, g.body_hash, %(on)s
    FROM recon_given g JOIN recon.line l
      ON (l.source_id, l.statement_id, l.line_id) = (%(source)s, g.statement_id, g.line_id)
    WHERE l.body_hash <> g.body_hash
    ORDER BY l.line_no, g.body_hash
    ON CONFLICT (line_no, other_hash) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of lines: its name (a file's), the caller's day, who brought it.

    `owner` works on the lines that came again with other content.
    """

    name: str
    on: date
    by: str
    owner: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What a delivery brought: lines given, lines new, lines known with other content."""

    given: int
    added: int
    changed: int


def take(
    conn: Connection,
    source: Source,
    select: sql.Composable,
    delivery: Delivery,
    params: Mapping[str, object] = NO_PARAMS,
) -> Taken:
    """Take the lines of `select` (columns as in `COLUMNS`) into the source, opened if need be.

    Amounts are signed minor units, below 0 leaving the account; `ref`, `counterparty` and `words`
    are empty where there is none, and hold no personal data; `kind` is payment, return, fee,
    funding or other. Works in the caller's transaction. Raises `source_differs`.
    """
    source_id = open_source(conn, source)
    conn.execute("DROP TABLE IF EXISTS pg_temp.recon_given")
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    conn.execute(_GIVEN.format(source=select, columns=columns), params)
    given, fresh, other = conn.execute(_COMPARED, (source_id,)).fetchone() or (0, 0, 0)
    added = 0
    if fresh:
        row = conn.execute(
            "INSERT INTO recon.import (source_id, name, recorded_on, recorded_by)"
            " VALUES (%s, %s, %s, %s) RETURNING import_id",
            (source_id, delivery.name, delivery.on, delivery.by),
        ).fetchone()
        values = {"import": row and row[0], "source": source_id}
        added = conn.execute(_ADD, values).rowcount
    changed = 0
    if other or added < fresh:
        values = {"source": source_id, "owner": delivery.owner, "on": delivery.on}
        changed = conn.execute(_CHANGED, values).rowcount
    conn.execute("DROP TABLE pg_temp.recon_given")
    return Taken(given, added, changed)


@contextmanager
def staged(conn: Connection) -> Iterator[Copy]:
    """Give a COPY into an empty table of this transaction; afterwards `take` it with `STAGED`.

    Rows are written as in `COLUMNS`.
    """
    conn.execute(f"DROP TABLE IF EXISTS pg_temp.{STAGE}")
    conn.execute(
        f"CREATE TEMPORARY TABLE {STAGE} (statement_id text, line_id text, amount_minor bigint,"
        " currency text, value_on date, booked_on date, kind text, ref text, counterparty text,"
        " group_keys text[], words text) ON COMMIT DROP"
    )
    with conn.cursor() as cursor, cursor.copy(f"COPY {STAGE} FROM STDIN") as copy:
        yield copy


STAGED = sql.SQL("SELECT * FROM pg_temp.") + sql.Identifier(STAGE)
