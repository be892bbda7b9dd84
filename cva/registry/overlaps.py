"""Findings of assistance given twice: what is known, and what people do about one.

* *override*: it is paid in spite of the verdict, once as many people as the policy asks for (two at
  least) said so for one of its reasons;
* *told*, *appeal*, *uphold*, *dismiss*: the household was told why, objects, and is answered.

An act holds for the evidence that its person saw; it takes effect when the plan is worked on next.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from psycopg import Connection
from psycopg.rows import class_row

from cva import acts
from cva.registry import policies
from ledgers.problems import Answer, Problem

OVERLAP_NOT_FOUND = Problem(
    "overlap_not_found",
    "There is no finding {overlap} that still stands.",
    "List them: `cva overlap review`.",
    Answer.NOT_FOUND,
)
OVERRIDE_REASON_UNKNOWN = Problem(
    "override_reason_unknown",
    "{reason} is no reason for which the policy lets people pay in spite of it.",
    "Give one of: {known}.",
    Answer.USAGE,
)
ACT_REASON_MISSING = Problem(
    "overlap_reason_missing",
    "Nothing says why.",
    "Say in a sentence what it rests on; without names or numbers.",
    Answer.USAGE,
)
APPEAL_MISSING = Problem(
    "appeal_missing",
    "Nobody has objected to the finding {overlap}.",
    "Record the appeal first, then answer it.",
)


_FINDINGS = """
    SELECT o.overlap_id, o.household_id, coalesce(a.agency, g.document->>'agency') AS agency,
           coalesce(a.programme, g.code) AS programme,
           coalesce(a.need, g.document->>'need') AS need, o.verdict, o.reason, o.strength,
           o.ours_first, o.first_day, o.last_day, o.payable_minor, o.due_at, (
             SELECT count(*) FROM duplicates.overlap_act t
             JOIN duplicates.overlap s USING (overlap_id)
             WHERE (s.cycle_id, s.household_id, s.kind, s.record_key, s.evidence)
               = (o.cycle_id, o.household_id, o.kind, o.record_key, o.evidence)) AS acts
    FROM duplicates.overlap_now o LEFT JOIN duplicates.assisted a USING (record_key)
    LEFT JOIN programme.cycle y ON o.record_key LIKE 'our:%%'
      AND y.cycle_id = split_part(o.record_key, ':', 2)
    LEFT JOIN programme.programme g USING (programme_id)
    WHERE o.cycle_id = %(cycle)s ORDER BY o.due_at, o.overlap_id
"""
# The verdict changes with what people do; what the finding rests on does not.
_STANDING = """
    SELECT n.overlap_id FROM duplicates.overlap o JOIN duplicates.overlap_now n
      ON (n.cycle_id, n.household_id, n.kind, n.record_key, n.evidence)
        = (o.cycle_id, o.household_id, o.kind, o.record_key, o.evidence)
    WHERE o.overlap_id = %s
"""


class Action(StrEnum):
    """What people do about a finding."""

    OVERRIDE = "override"
    TOLD = "told"
    APPEAL = "appeal"
    UPHOLD = "uphold"
    DISMISS = "dismiss"


@dataclass(frozen=True, slots=True)
class Found:
    """A finding as it stands: one of our lines and a record of another agency or programme."""

    overlap_id: int
    household_id: str
    agency: str
    programme: str
    need: str
    verdict: str
    reason: str
    strength: str
    ours_first: bool
    first_day: date
    last_day: date | None
    payable_minor: int | None
    due_at: datetime
    acts: int


def findings(conn: Connection, cycle_id: str) -> Iterator[Found]:
    """Yield the findings of a cycle as they stand, the nearest deadline first."""
    with conn.cursor(row_factory=class_row(Found)) as cursor:
        cursor.execute(_FINDINGS, {"cycle": cycle_id})
        yield from cursor


def act(
    conn: Connection,
    overlap_id: int,
    action: Action,
    reason: str,
    *,
    person_id: str,
    at: datetime,
    key: str = "",
) -> None:
    """Record what a person does about a finding that stands.

    Again, or with the same `key`, it changes nothing. A finding that was written anew since, on the
    same evidence, is the same finding.

    Raises `overlap_not_found`, `override_reason_unknown`, `overlap_reason_missing`,
    `appeal_missing`, `role_missing`.
    """
    if not reason.strip():
        raise ACT_REASON_MISSING.refusal()
    body = {"overlap": overlap_id, "action": action.value}
    if key and acts.already(conn, key, body) is not None:
        return
    known = policies.in_force(conn).override.reasons
    if action is Action.OVERRIDE and reason.strip() not in known:
        raise OVERRIDE_REASON_UNKNOWN.refusal(reason=reason.strip(), known=", ".join(known))
    standing = conn.execute(_STANDING, (overlap_id,)).fetchone()
    if standing is None:
        raise OVERLAP_NOT_FOUND.refusal(overlap=overlap_id)
    (now_id,) = standing
    added = conn.execute(
        "INSERT INTO duplicates.overlap_act (overlap_id, action, reason, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (now_id, action.value, reason.strip(), person_id, at),
    ).rowcount
    if added:
        acts.record(
            conn, key=key or f"overlap:{now_id}:{action.value}:{person_id}",
            verb=action.value, object_id=str(now_id), body=body, person_id=person_id, at=at,
            answer={},
        )  # fmt: skip
