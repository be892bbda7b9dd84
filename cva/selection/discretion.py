"""The discretionary list: households that a person lets in beside the rules, within a cap.

The rules of a programme say how many households may stand on the list at any time and for how long
(`selection.discretionary`); without that there is no list. Each listing has its author, a reason
and the day it expires; it can be ended earlier, never changed. A listing that stands on the first
day of a cycle or later is in that cycle's next run: the household is served beside the order, and
its decision still says what the rules said.

Source: the discretionary allowance of ESSN (under 2 % of the caseload, decided by social assistance
foundations).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection
from psycopg.rows import class_row

from cva import acts, staff
from cva.clock import ZONE
from cva.programmes.publishing import PROGRAMME_NOT_FOUND
from cva.selection.reasons import require_said
from ledgers.problems import Answer, Problem

DISCRETION_NOT_GIVEN = Problem(
    "discretion_not_given",
    "The programme {programme} has no discretionary list.",
    "Give its rules selection.discretionary and publish them, or leave the decision to the rules.",
)
DISCRETION_USED_UP = Problem(
    "discretion_used_up",
    "All {households} places of the discretionary list of {programme} are taken.",
    "End a listing that is no longer needed, or wait until one expires.",
)
DISCRETION_TOO_LONG = Problem(
    "discretion_too_long",
    "A listing begins on the day it is made and lasts {days:day|days} at most.",
    "Choose an earlier day, and list the household again when it comes.",
)
DISCRETION_OVER = Problem(
    "discretion_over",
    "The listing would end on {until}, before it begins.",
    "Choose today or a later day.",
)
DISCRETION_ALREADY = Problem(
    "discretion_already",
    "The household {household} stands on the discretionary list already.",
    "End that listing first, or leave it as it is.",
)
LISTING_NOT_FOUND = Problem(
    "listing_not_found", "There is no listing {listing} that still stands.",
    "Show the programme's discretionary list.", Answer.NOT_FOUND,
)  # fmt: skip
HOUSEHOLD_NOT_LIVE = Problem(
    "household_not_live",
    "There is no live registration of the household {household}.",
    "Copy the whole id from `cva household show`; a confirmed duplicate is not live.",
    Answer.NOT_FOUND,
)


@dataclass(frozen=True, slots=True)
class Listing:
    """A household on the list, with who listed it and why."""

    listing_id: int
    household_id: str
    reason: str
    listed_on: date
    expires_on: date
    login: str


def list_household(
    conn: Connection,
    code: str,
    household_id: str,
    *,
    reason: str,
    expires_on: date,
    person_id: str,
    at: datetime,
    key: str,
) -> int:
    """List the household under the newest version of the programme; returns the listing's number.

    The same key again returns the same listing. Raises `programme_not_found`, `household_not_live`,
    `discretion_not_given`, `discretion_used_up`, `discretion_too_long`, `discretion_over`,
    `discretion_already`, `role_missing`, `said_nothing`.
    """
    staff.require(conn, person_id, "programme")
    require_said(reason=reason)
    body = {
        "programme": code, "household": household_id, "reason": reason,
        "expires_on": expires_on.isoformat(),
    }  # fmt: skip
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return int(earlier["listing"])
    newest = conn.execute(
        "SELECT programme_id FROM programme.programme WHERE code = %s"
        " ORDER BY version DESC LIMIT 1",
        (code,),
    ).fetchone()
    if newest is None:
        raise PROGRAMME_NOT_FOUND.refusal(programme=code)
    require_live(conn, household_id)
    listed_on = at.astimezone(ZONE).date()
    if expires_on < listed_on:
        raise DISCRETION_OVER.refusal(until=expires_on)
    row = conn.execute(
        "INSERT INTO assessment.discretionary (programme_id, household_id, reason, listed_on,"
        " expires_on, person_id, at) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING listing_id",
        (newest[0], household_id, reason, listed_on, expires_on, person_id, at),
    ).fetchone()
    listing = int(row[0]) if row else 0
    acts.record(
        conn, key=key, verb="list", object_id=household_id, body=body, person_id=person_id, at=at,
        answer={"listing": listing},
    )  # fmt: skip
    return listing


def end_listing(
    conn: Connection, listing_id: int, *, reason: str, person_id: str, at: datetime, key: str
) -> None:
    """End a listing early. Raises `listing_not_found`, `role_missing`, `said_nothing`."""
    staff.require(conn, person_id, "programme")
    require_said(reason=reason)
    body = {"listing": listing_id, "reason": reason}
    if acts.already(conn, key, body) is not None:
        return
    stands = "SELECT FROM assessment.listed WHERE listing_id = %s"
    if conn.execute(stands, (listing_id,)).fetchone() is None:
        raise LISTING_NOT_FOUND.refusal(listing=listing_id)
    conn.execute(
        "INSERT INTO assessment.discretionary_end (listing_id, reason, person_id, at)"
        " VALUES (%s, %s, %s, %s)",
        (listing_id, reason, person_id, at),
    )
    acts.record(
        conn, key=key, verb="unlist", object_id=str(listing_id), body=body, person_id=person_id,
        at=at, answer={},
    )  # fmt: skip


def listings(conn: Connection, code: str, on: date) -> Sequence[Listing]:
    """Return the listings of the programme that stand on that day, the oldest first.

    Raises `programme_not_found`.
    """
    known = "SELECT FROM programme.programme WHERE code = %s"
    if conn.execute(known, (code,)).fetchone() is None:
        raise PROGRAMME_NOT_FOUND.refusal(programme=code)
    with conn.cursor(row_factory=class_row(Listing)) as cursor:
        return cursor.execute(
            "SELECT l.listing_id, l.household_id, l.reason, l.listed_on, l.expires_on, s.login"
            " FROM assessment.listed l JOIN staff.person s USING (person_id)"
            " WHERE l.code = %s AND %s BETWEEN l.listed_on AND l.expires_on"
            " ORDER BY l.listing_id",
            (code, on),
        ).fetchall()


def require_live(conn: Connection, household_id: str) -> None:
    """Refuse a household that has no live registration. Raises `household_not_live`."""
    live = "SELECT FROM registry.live WHERE household_id = %s"
    if conn.execute(live, (household_id,)).fetchone() is None:
        raise HOUSEHOLD_NOT_LIVE.refusal(household=household_id)
