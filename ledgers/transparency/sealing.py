"""Sealing: giving entries their place in the log, for good.

The database does it (`books.seal`): it makes the leaves from the rows, adds them to the tree and
keeps the new root. Nobody hands it a hash, a position or an order. A batch seals its own entry as
the last thing in its own transaction, because from then until its end no other transaction can
seal; single entries are sealed after their commit by whoever comes next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row

from ledgers.problems import Answer, Problem

SEAL_NOT_OWN = Problem(
    "seal_not_own",
    "Only the transaction that recorded an entry may seal it out of turn.",
    "Seal without naming entries: the queue is sealed in its order.",
    Answer.NOT_PERMITTED,
)


@dataclass(frozen=True, slots=True)
class LogState:
    """How far the log goes: `size` leaves with `root`, and how many entries wait to be sealed."""

    size: int
    root: bytes | None
    sealed_at: datetime | None
    waiting: int


def seal_own(conn: Connection, entry_refs: Sequence[str]) -> int:
    """Seal entries that this transaction recorded, as its last act; return the leaves added.

    Raises `seal_not_own`.
    """
    found = conn.execute(
        "SELECT books.seal(array_agg(entry_id)) FROM books.entry WHERE entry_ref = ANY (%s)"
        " HAVING count(*) > 0",
        [list(entry_refs)],
    ).fetchone()
    return int(found[0]) if found else 0


def seal_waiting(conn: Connection) -> int:
    """Seal what waits, the oldest first, and return the leaves added; 0: nothing waits.

    At most 100,000 entries at once: go on, each time in a transaction of its own, until it is 0.
    """
    found = conn.execute("SELECT books.seal()").fetchone()
    return int(found[0]) if found else 0


def state(conn: Connection) -> LogState:
    """Return how far the log goes."""
    cursor = conn.cursor(row_factory=class_row(LogState))
    (found,) = cursor.execute(
        "SELECT coalesce(tree_size, 0) AS size, root, sealed_at,"
        " (SELECT count(*) FROM books.unsealed) AS waiting"
        " FROM (VALUES (true)) always LEFT JOIN"
        " (SELECT * FROM books.tree ORDER BY tree_size DESC LIMIT 1) newest ON true"
    )
    return found
