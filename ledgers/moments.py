"""A past moment: nothing that was recorded by then is still on its way.

An entry says when it was recorded, and is seen by others once its transaction ends: a plan of a
million lines much later. What was known at a moment can therefore be said, for good, once everybody
who was recording at that moment has ended. Whoever inserts an entry holds a lock of the table from
before the entry's time until the end, and releases it after others can see the entry.
"""

from datetime import datetime

from psycopg import Connection

from ledgers.problems import Problem

MOMENT_AHEAD = Problem(
    "moment_ahead",
    "What was known at {moment} cannot be said yet: it has not come.",
    "Name a moment that is over.",
)
MOMENT_UNSETTLED = Problem(
    "moment_unsettled",
    "Somebody is still recording entries that may be of {moment} or before.",
    "Repeat it when that has ended; `cva jobs list` shows long steps.",
)

PATIENCE_SECONDS = 300
_PAUSE_SECONDS = 0.1

_WRITERS = """
    SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}') FROM pg_locks
    WHERE locktype = 'relation' AND relation = 'books.entry'::regclass AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND mode = 'RowExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid()
      AND (%(only)s::text[] IS NULL OR virtualtransaction = ANY (%(only)s))
"""


def wait_for_writers(
    conn: Connection, moment: datetime, patience_seconds: float = PATIENCE_SECONDS
) -> None:
    """Return once all that was recorded by the moment (aware) can be seen.

    A transaction that sees one state of the database throughout must begin after this. Raises
    `moment_ahead`, `moment_unsettled`.
    """
    if conn.execute("SELECT %s > clock_timestamp()", [moment]).fetchone() == (True,):
        raise MOMENT_AHEAD.refusal(moment=moment.isoformat())
    writers = _of(conn, None)
    while writers:
        if patience_seconds <= 0:
            raise MOMENT_UNSETTLED.refusal(moment=moment.isoformat())
        conn.execute("SELECT pg_sleep(%s)", [_PAUSE_SECONDS])
        patience_seconds -= _PAUSE_SECONDS
        writers = _of(conn, writers)


def _of(conn: Connection, only: list[str] | None) -> list[str]:
    row = conn.execute(_WRITERS, {"only": only}).fetchone()
    return list(row[0]) if row else []
