"""Two registrations, or two people, that may be one: what people decide of them.

Pairs come from two sources: live households that hold the same valid identity number or passport
(`registry.open_pair`), and what linkage found (`duplicates.current`). A person decides:

* *same*: one is kept; from the moment that a second person *merges* them, the other is withdrawn
  from everything that follows;
* *different*: both stay (a typing error, a number used by two people);
* *ask*: nobody can say yet; the pair waits, and so do its lines.

A decision rests on the evidence that there was. It is kept as long as that evidence is all there
is, whatever is linked again; other evidence makes a new question of the pair. A merge is undone by
two people as well, and restores both sides: nothing of either was touched.
"""

from collections.abc import Iterable, Iterator, Sequence
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
    "{left} and {right} were merged before: they are {verdict}.",
    "A merge is undone by two people: `cva duplicates unmerge`.",
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
MERGE_NOT_DECIDED = Problem(
    "merge_not_decided",
    "Nobody has decided that {kept} and {gone} are the same.",
    "One person decides, `cva duplicates decide --same`; another one merges.",
)
SECOND_PERSON_NEEDED = Problem(
    "second_person_needed",
    "Two people {act}: this is the work of another one than the first.",
    "Ask another person with the role programme or finance.",
    Answer.NOT_PERMITTED,
)
MERGED_ALREADY = Problem(
    "merged_already",
    "One of {kept} and {gone} stands for nothing of its own any more.",
    "Look at what became of the two: `cva duplicates history`.",
)
NOT_MERGED = Problem(
    "not_merged",
    "{left} and {right} are not merged.",
    "Look at what became of the two: `cva duplicates history`.",
    Answer.NOT_FOUND,
)

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('registry.duplicates', 0))"
# Everything that is known of a pair now; nothing where one of the two is withdrawn.
_EVIDENCE = """
    SELECT evidence FROM (
      SELECT p.evidence FROM duplicates.current p
      WHERE (p.left_key, p.right_key) = (%(left)s, %(right)s)
      UNION
      SELECT x.evidence FROM registry.exact_pair x
      WHERE (x.left_id, x.right_id) = (%(left)s, %(right)s)) known
    WHERE NOT EXISTS (SELECT FROM duplicates.merged m WHERE m.gone_key IN (
      %(left)s, %(right)s, duplicates.household_of(%(left)s), duplicates.household_of(%(right)s)))
    ORDER BY evidence
"""
_LATEST = """
    SELECT d.decision_id, d.verdict, d.kept_key, d.evidence, d.person_id,
           m.merge_id IS NOT NULL AS is_merged
    FROM duplicates.standing d
    LEFT JOIN duplicates.merge m USING (decision_id)
    WHERE (d.left_key, d.right_key) = (%s, %s)
"""
_MERGED = """
    SELECT m.merge_id, r.person_id AS asked_by FROM duplicates.merged m
    LEFT JOIN duplicates.unmerge_request r USING (merge_id)
    WHERE (m.kept_key, m.gone_key) IN ((%(left)s, %(right)s), (%(right)s, %(left)s))
"""


class Verdict(StrEnum):
    """What a person says of a pair."""

    SAME = "same"  # one household, or one person, registered twice
    DIFFERENT = "different"  # two
    ASK = "ask"  # to be found out


class Undone(StrEnum):
    """How far the reversal of a merge has come."""

    ASKED = "asked"  # a second person is needed
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two registrations, in the order of their ids."""

    left_id: str
    right_id: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a person says of a pair, and what it rests on, in a sentence.

    `kept_id` is the one of the two that stays where they are the same, None otherwise.
    """

    verdict: Verdict
    kept_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Decision:
    decision_id: int
    verdict: str
    kept_key: str | None
    evidence: Sequence[bytes]
    person_id: str
    is_merged: bool

    def says(self, verdict: Verdict, kept_key: str | None, known: Iterable[bytes]) -> bool:
        """Return whether it is this decision, made on at least this evidence."""
        same = (self.verdict, self.kept_key) == (verdict.value, kept_key)
        return same and set(known) <= set(map(bytes, self.evidence))


def open_pairs(conn: Connection) -> Iterator[Pair]:
    """Yield the pairs that share a strong identifier and wait for people, by their ids."""
    with conn.cursor(row_factory=class_row(Pair)) as cursor:
        cursor.execute(
            "SELECT left_id, right_id FROM registry.open_pair ORDER BY left_id, right_id"
        )
        yield from cursor


def decide(
    conn: Connection,
    left_id: str,
    right_id: str,
    ruling: Ruling,
    *,
    person_id: str,
    at: datetime,
    key: str = "",
) -> None:
    """Record what a person with the role programme decided of a pair of households or people.

    Where they are the same a second person then merges them. The same decision again changes
    nothing, and neither does a request that was made before, known by its `key`; another decision
    replaces it as long as nothing is merged. Raises `role_missing`, `pair_unknown`,
    `pair_decided`, `pair_kept_unclear`, `pair_reason_missing`.
    """
    staff.require(conn, person_id, staff.Role.PROGRAMME)
    left, right = sorted((left_id, right_id))
    verdict, kept_id = ruling.verdict, ruling.kept_id
    fits = kept_id in (left, right) if verdict is Verdict.SAME else kept_id is None
    if not fits or (kept_id or "").startswith("oa:"):
        raise KEPT_UNCLEAR.refusal(left=left, right=right)
    if not ruling.reason.strip():
        raise REASON_MISSING.refusal()
    body = {"left": left, "right": right, "verdict": verdict.value, "kept": kept_id}
    if key and acts.already(conn, key, body) is not None:
        return
    # Two decisions at once could each withdraw the registration that the other keeps.
    conn.execute(_LOCK)
    before = _latest(conn, left, right)
    if before is not None and before.is_merged:
        if (before.verdict, before.kept_key) == (verdict.value, kept_id):
            return
        raise PAIR_DECIDED.refusal(left=left, right=right, verdict=before.verdict)
    values = {"left": left, "right": right}
    known = [bytes(row[0]) for row in conn.execute(_EVIDENCE, values)]
    if not known:
        raise PAIR_UNKNOWN.refusal(left=left, right=right)
    if before is not None and before.says(verdict, kept_id, known):
        return
    row = conn.execute(
        "INSERT INTO duplicates.decision"
        " (left_key, right_key, verdict, kept_key, evidence, reason, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING decision_id",
        (left, right, verdict.value, kept_id, known, ruling.reason.strip(), person_id, at),
    ).fetchone()
    acts.record(
        conn, key=key or f"duplicate:{row[0] if row else 0}", verb="decide_duplicate",
        object_id=left, body=body, person_id=person_id, at=at, answer={"verdict": verdict.value},
    )  # fmt: skip


def merge(
    conn: Connection, left_id: str, right_id: str, *, person_id: str, at: datetime, key: str = ""
) -> str:
    """Merge two that another person decided to be the same; return which one is kept.

    Again, or with the same `key`, it changes nothing. Raises `merge_not_decided`,
    `second_person_needed`, `merged_already`, `role_missing`.
    """
    left, right = sorted((left_id, right_id))
    body = {"left": left, "right": right}
    earlier = acts.already(conn, key, body) if key else None
    if earlier is not None:
        return str(earlier["kept"])
    conn.execute(_LOCK)
    decided = _latest(conn, left, right)
    if decided is None or decided.verdict != Verdict.SAME or decided.kept_key is None:
        raise MERGE_NOT_DECIDED.refusal(kept=left, gone=right)
    kept = decided.kept_key
    if decided.is_merged:
        return kept
    conn.execute(
        "INSERT INTO duplicates.merge (decision_id, kept_key, gone_key, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s)",
        (decided.decision_id, kept, right if kept == left else left, person_id, at),
    )
    acts.record(
        conn, key=key or f"merge:{decided.decision_id}", verb="merge", object_id=kept,
        body=body, person_id=person_id, at=at, answer={"kept": kept},
    )  # fmt: skip
    return kept


def unmerge(
    conn: Connection,
    left_id: str,
    right_id: str,
    reason: str,
    *,
    person_id: str,
    at: datetime,
    key: str = "",
) -> Undone:
    """Undo a merge: the first person asks for it, the second person's same request does it.

    Both registrations stand again as they were, and the pair is asked about anew; the first person
    again, or the same `key`, changes nothing. Raises `not_merged`, `pair_reason_missing`,
    `role_missing`.
    """
    if not reason.strip():
        raise REASON_MISSING.refusal()
    left, right = sorted((left_id, right_id))
    body = {"left": left, "right": right}
    earlier = acts.already(conn, key, body) if key else None
    if earlier is not None:
        return Undone(str(earlier["unmerge"]))
    conn.execute(_LOCK)
    found = conn.execute(_MERGED, {"left": left, "right": right}).fetchone()
    if found is None:
        raise NOT_MERGED.refusal(left=left, right=right)
    merge_id, asked_by = found
    if asked_by == person_id:
        return Undone.ASKED
    if asked_by is None:
        done = Undone.ASKED
        conn.execute(
            "INSERT INTO duplicates.unmerge_request (merge_id, reason, person_id, at)"
            " VALUES (%s, %s, %s, %s)",
            (merge_id, reason.strip(), person_id, at),
        )
    else:
        done = Undone.UNDONE
        conn.execute(
            "INSERT INTO duplicates.unmerge (merge_id, person_id, at) VALUES (%s, %s, %s)",
            (merge_id, person_id, at),
        )
    acts.record(
        conn, key=key or f"unmerge:{merge_id}:{done.value}", verb="unmerge", object_id=left,
        body=body, person_id=person_id, at=at, answer={"unmerge": done.value},
    )  # fmt: skip
    return done


def _latest(conn: Connection, left: str, right: str) -> _Decision | None:
    with conn.cursor(row_factory=class_row(_Decision)) as cursor:
        return cursor.execute(_LATEST, (left, right)).fetchone()
