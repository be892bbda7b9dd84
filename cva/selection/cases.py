"""Cases: amounts that a case officer awards item by item, with evidence, within limits.

Emergency case management gives what one household needs now: transport, accommodation, a medical
item. The programme names the items and the most that a household can be awarded of each in a cycle
(`entitlement.case_by_case`), and perhaps of all of them together (`at_most`). An award is never
changed: a correction is a new one that names it, and an amount of 0 takes it back. The cycle's next
run reads the sum of each item; what is on file decides the amount, not what somebody remembers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, errors
from psycopg.rows import class_row

from cva import acts, staff
from cva.programmes.publishing import load_cycle
from cva.selection.discretion import require_live
from cva.selection.reasons import require_said
from ledgers.problems import Answer, Problem

AWARD_ITEM_UNKNOWN = Problem(
    "award_item_unknown",
    "The cycle's programme awards nothing called {item}.",
    "Award one of the items that its rules name under entitlement.case_by_case.",
)
AWARD_ABOVE_LIMIT = Problem(
    "award_above_limit",
    "The limit of {item} for a household in this cycle is {limit}; {awarded} was awarded before.",
    "Award less, or ask for the limit to be raised in the programme's rules.",
)
AWARD_OF_NOTHING = Problem(
    "award_of_nothing",
    "An award of 0 takes back the one that it corrects, and none was named.",
    "Name that award with --corrects, or award an amount above 0.",
    Answer.USAGE,
)
CORRECTION_OF_ANOTHER = Problem(
    "correction_of_another",
    "The record to be corrected is no {what} of the household {household} for the same member or"
    " item.",
    "Name the latest record of the same household and member or item.",
)
CORRECTED_ALREADY = Problem(
    "corrected_already",
    "The record {record} was corrected before, or there is no such record.",
    "Correct the newest record instead: list them first.",
)


@dataclass(frozen=True, slots=True)
class Award:
    """What a case officer asks for; the amount in minor units of the programme's currency."""

    household_id: str
    item: str
    amount_minor: int
    evidence_ref: str
    reason: str
    corrects: int | None = None


@dataclass(frozen=True, slots=True)
class Awarded:
    """An award that stands."""

    award_id: int
    household_id: str
    item: str
    amount_minor: int
    evidence_ref: str
    reason: str
    login: str


def award(
    conn: Connection, cycle_id: str, award_: Award, *, person_id: str, at: datetime, key: str
) -> int:
    """Record the award and return its number; the same key again returns the same.

    Raises `award_item_unknown`, `award_above_limit`, `correction_of_another`, `corrected_already`,
    `household_not_live`, `selection_locked`, `cycle_not_found`, `cycle_closed`, `role_missing`,
    `award_of_nothing`, `said_nothing`.
    """
    staff.require(conn, person_id, "programme")
    require_said(evidence=award_.evidence_ref, reason=award_.reason)
    if award_.amount_minor == 0 and award_.corrects is None:
        raise AWARD_OF_NOTHING.refusal()
    body = {
        "cycle": cycle_id, "household": award_.household_id, "item": award_.item,
        "amount": award_.amount_minor, "evidence": award_.evidence_ref, "reason": award_.reason,
        "corrects": award_.corrects,
    }  # fmt: skip
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return int(earlier["award"])
    load_cycle(conn, cycle_id)
    require_live(conn, award_.household_id)
    try:
        row = conn.execute(
            "INSERT INTO assessment.award (cycle_id, household_id, item, amount_minor,"
            " evidence_ref, reason, corrects, person_id, at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING award_id",
            (cycle_id, award_.household_id, award_.item, award_.amount_minor, award_.evidence_ref,
             award_.reason, award_.corrects, person_id, at),
        ).fetchone()  # fmt: skip
    except (errors.UniqueViolation, errors.ForeignKeyViolation):
        raise CORRECTED_ALREADY.refusal(record=award_.corrects) from None
    number = int(row[0]) if row else 0
    acts.record(
        conn, key=key, verb="award", object_id=award_.household_id, body=body,
        person_id=person_id, at=at, answer={"award": number},
    )  # fmt: skip
    return number


def awards_of(conn: Connection, cycle_id: str) -> Sequence[Awarded]:
    """Return the awards of the cycle that stand, the oldest first."""
    with conn.cursor(row_factory=class_row(Awarded)) as cursor:
        return cursor.execute(
            "SELECT a.award_id, a.household_id, a.item, a.amount_minor, a.evidence_ref, a.reason,"
            " s.login FROM assessment.awarded a JOIN staff.person s USING (person_id)"
            " WHERE a.cycle_id = %s AND a.amount_minor > 0 ORDER BY a.award_id",
            (cycle_id,),
        ).fetchall()
