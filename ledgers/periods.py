"""Periods: which days still take entries.

A period ends on a day and begins the day after the one before it ended, so that no day lies between
two periods. While it is *adjusting* it takes only entries marked as adjustments; *closed*, nothing:
what was wrong in it is set right by an entry in the open period that names the original. Periods
close in the order of their days, after their last day, and never open again. The database refuses
all of this against raw SQL too, and a close waits for entries being written at that moment.

Source: states OPEN, ADJUSTING, CLOSED as in python-accounting; the watermark as in doubleentry.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from psycopg import Connection

from ledgers.entries import REASON_MISSING
from ledgers.problems import Problem

PERIOD_CLOSED = Problem(
    "period_closed",
    "The entry {entry} is dated {on}; the books are closed to {closed_to}.",
    "Date it in the open period, and name the entry that it corrects with --corrects.",
)
PERIOD_ADJUSTING = Problem(
    "period_adjusting",
    "The entry {entry} is dated {on}; to {adjusting_to} the books take adjustments only.",
    "Date it in the open period, or record it as an adjustment with --adjustment.",
)
PERIOD_OUT_OF_ORDER = Problem(
    "period_out_of_order",
    "The period to {ends_on} cannot change: the books are closed to {closed_to}.",
    "Close periods in the order of their days; a closed period stays closed.",
)
PERIOD_NOT_OVER = Problem(
    "period_not_over",
    "The period to {ends_on} is not over.",
    "Close a period after its last day.",
)


class PeriodState(StrEnum):
    """What a period takes."""

    OPEN = "open"  # every entry
    ADJUSTING = "adjusting"  # adjustments only
    CLOSED = "closed"  # nothing


@dataclass(frozen=True, slots=True)
class Period:
    """Days of the books that share a state; `starts_on` is None for the first, `ends_on` open."""

    starts_on: date | None
    ends_on: date | None
    state: PeriodState


def change(
    conn: Connection,
    ends_on: date,
    state: PeriodState,
    *,
    recorded_on: date,
    recorded_by: str,
    reason: str,
) -> bool:
    """Put the period that ends on `ends_on` into `state`; False where it was in it already.

    Raises `reason_missing`; the database refuses with `period_out_of_order`, `period_not_over`.
    """
    if not reason.strip():
        raise REASON_MISSING.refusal(entry=f"period to {ends_on}")
    already = conn.execute(
        "SELECT 1 FROM books.period_state WHERE (ends_on, state) = (%s, %s)", [ends_on, state]
    ).fetchone()
    if already is not None:
        return False
    conn.execute(
        "INSERT INTO books.period_state (ends_on, state, recorded_on, recorded_by, reason)"
        " VALUES (%s, %s, %s, %s, %s)",
        [ends_on, state, recorded_on, recorded_by, reason],
    )
    return True


def periods(conn: Connection) -> list[Period]:
    """Return the periods in the order of their days; the last one is open."""
    rows = conn.execute(
        "SELECT ends_on, bool_or(state = 'closed') FROM books.period_state"
        " GROUP BY ends_on ORDER BY ends_on"
    ).fetchall()
    closed_to = max((ends_on for ends_on, is_closed in rows if is_closed), default=None)
    found = []
    starts_on: date | None = None
    for ends_on, _ in rows:
        is_closed = closed_to is not None and ends_on <= closed_to
        state = PeriodState.CLOSED if is_closed else PeriodState.ADJUSTING
        found.append(Period(starts_on, ends_on, state))
        starts_on = date.fromordinal(ends_on.toordinal() + 1)
    return [*found, Period(starts_on, None, PeriodState.OPEN)]


def day_taken(conn: Connection, on: date, today: date) -> date:
    """Return `on` where its period takes every entry, else `today`.

    What is learned too late for its period is booked when it is learned; the caller's reason names
    the day it is of.
    """
    row = conn.execute("SELECT max(ends_on) FROM books.period_state").fetchone()
    ended_on = row[0] if row else None
    return on if ended_on is None or on > ended_on else today
