"""Two registrations that share a strong identifier: what people decide of them.

The database lists the pairs (`registry.open_pair`): live households that hold the same valid
identity number or passport and that nobody has decided about. Their payment lines stop until a
person has decided:

* *same*: one registration is kept, the other is withdrawn from everything that follows;
* *different*: both stay (a typing error, a number used by two people).

A decision is permanent; the same decision again changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from psycopg import Connection
from psycopg.rows import class_row

from cva import acts, staff
from ledgers.problems import Answer, Problem

PAIR_UNKNOWN = Problem(
    "pair_unknown",
    "{left} and {right} are no open pair of registrations.",
    "List the open pairs and name one of them.",
    Answer.NOT_FOUND,
)
PAIR_DECIDED = Problem(
    "pair_decided",
    "It was decided before that {left} and {right} are {verdict}.",
    "A decision stands; register the household again if it was wrong.",
)
KEPT_UNCLEAR = Problem(
    "pair_kept_unclear",
    "One of the two registrations is kept if they are the same, and none is named otherwise.",
    "Name the registration to keep, {left} or {right}, or decide that they are different.",
    Answer.USAGE,
)
REASON_MISSING = Problem(
    "pair_reason_missing",
    "The decision has no reason.",
    "Say in a sentence what shows it; without names or numbers.",
    Answer.USAGE,
)


class Verdict(StrEnum):
    """What two registrations are."""

    SAME = "same"  # one household, registered twice
    DIFFERENT = "different"  # two households


@dataclass(frozen=True, slots=True)
class Pair:
    """Two registrations, in the order of their ids."""

    left_id: str
    right_id: str


def open_pairs(conn: Connection) -> Iterator[Pair]:
    """Yield the pairs that wait for a decision, in the order of their ids."""
    with conn.cursor(row_factory=class_row(Pair)) as cursor:
        cursor.execute(
            "SELECT left_id, right_id FROM registry.open_pair ORDER BY left_id, right_id"
        )
        yield from cursor


def decide(
    conn: Connection,
    left_id: str,
    right_id: str,
    verdict: Verdict,
    kept_id: str | None,
    reason: str,
    *,
    person_id: str,
    at: datetime,
) -> None:
    """Record what a person with the role programme decided of an open pair.

    `kept_id` is one of the two where they are the same, None otherwise. Raises `role_missing`,
    `pair_unknown`, `pair_decided`, `pair_kept_unclear`, `pair_reason_missing`.
    """
    staff.require(conn, person_id, staff.Role.PROGRAMME)
    left, right = sorted((left_id, right_id))
    fits = kept_id in (left, right) if verdict is Verdict.SAME else kept_id is None
    if not fits:
        raise KEPT_UNCLEAR.refusal(left=left, right=right)
    if not reason.strip():
        raise REASON_MISSING.refusal()
    # Two decisions at once could each withdraw the registration that the other keeps.
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('registry.duplicates', 0))")
    before = conn.execute(
        "SELECT verdict, kept_id FROM registry.duplicate_decision"
        " WHERE left_id = %s AND right_id = %s",
        (left, right),
    ).fetchone()
    if before == (verdict.value, kept_id):
        return
    if before is not None:
        raise PAIR_DECIDED.refusal(left=left, right=right, verdict=before[0])
    _require_open(conn, left, right)
    conn.execute(
        "INSERT INTO registry.duplicate_decision"
        " (left_id, right_id, verdict, kept_id, reason, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (left, right, verdict.value, kept_id, reason.strip(), person_id, at),
    )
    acts.record(
        conn, key=f"duplicate:{left}:{right}", verb="decide_duplicate", object_id=left,
        body={"right": right, "verdict": verdict.value, "kept": kept_id}, person_id=person_id,
        at=at, answer={"verdict": verdict.value},
    )  # fmt: skip


def _require_open(conn: Connection, left: str, right: str) -> None:
    found = conn.execute(
        "SELECT FROM registry.open_pair WHERE left_id = %s AND right_id = %s", (left, right)
    )
    if found.fetchone() is None:
        raise PAIR_UNKNOWN.refusal(left=left, right=right)
