"""Leaving, and being promoted: the first who waits takes the place that is free.

A household that leaves a cycle before its payments are locked frees its place and its money. The
first of the waiting list is promoted into it, if its amount fits into what is left of the budget;
if it does not, nobody is: a household that comes later is never taken because it is cheaper. Where
only money is short, one who leaves may make room for several, one after another in their order.

A place is filled from its own stratum; where the pack lets unused places move and nobody waits
there, from the first of all who wait. A run made after somebody left keeps them out: `promote`
fills what is free then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row

from cva import acts, staff
from cva.programmes.publishing import load_cycle
from cva.selection.reasons import require_said
from ledgers.problems import Answer, Problem

SELECTION_LOCKED = Problem(
    "selection_locked",
    "A payment plan of the cycle {cycle} is locked (household {household}).",
    "Cancel the plan first, or let it count from the next cycle on.",
)
LEAVING_NOT_SERVED = Problem(
    "leaving_not_served",
    "The household {household} is not served in this cycle.",
    "Only a household that was selected or promoted, and has not left before, can leave.",
)
PROMOTION_OUT_OF_TURN = Problem(
    "promotion_out_of_turn",
    "The household {household} is not the first who waits.",
    "Promote in the order of the waiting list, on the cycle's latest run.",
)
PROMOTION_WITHOUT_PLACE = Problem(
    "promotion_without_place",
    "No place, or not enough money, is free for the household {household}.",
    "Wait until a household leaves, or assess again with a larger budget.",
)
NOT_ASSESSED = Problem(
    "cycle_not_assessed", "The cycle {cycle} has not been assessed.", "Assess the cycle first.",
    Answer.NOT_FOUND,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of it: the households promoted, in their order, and who is first now if any."""

    promoted: tuple[str, ...]
    next_household_id: str | None  # the first who still waits, whom the place or money is short for


@dataclass(frozen=True, slots=True)
class Waiting:
    """A household on the waiting list of the cycle's latest run; the amount in minor units."""

    stratum: str
    waitlist_position: int
    household_id: str
    score: int
    amount_minor: int


# The first who waits in a stratum that has room; a stratum's own place goes first.
_NEXT = """
    SELECT w.household_id, w.amount_minor,
           f.left_minor IS NULL OR w.amount_minor <= f.left_minor AS fits,
           f.places IS NULL OR f.places > 0 OR f.spare_places > 0 AS has_place
    FROM (SELECT DISTINCT ON (stratum) * FROM assessment.waiting WHERE run_id = %(run)s
          ORDER BY stratum, waitlist_position) w
    JOIN assessment.free(%(run)s) f USING (stratum)
    ORDER BY has_place DESC, coalesce(f.places, 1) <= 0, {order}, w.tie_key, w.household_id
"""
_ORDERS = {"highest_score_first": "w.score DESC", "lowest_score_first": "w.score ASC"}
_SELECTION = """
    SELECT p.document #>> '{rules,selection,order}', r.run_id
    FROM programme.cycle c JOIN programme.programme p USING (programme_id)
    LEFT JOIN assessment.latest_run r USING (cycle_id) WHERE c.cycle_id = %s
"""


def leave(
    conn: Connection,
    cycle_id: str,
    household_id: str,
    *,
    reason: str,
    person_id: str,
    at: datetime,
    key: str,
) -> Moved:
    """Record that the household leaves the cycle, and promote whom its place is for.

    The same key again returns the same answer. Raises `leaving_not_served`, `selection_locked`,
    `cycle_not_assessed`, `cycle_closed`, `role_missing`, `said_nothing`.
    """
    require_said(reason=reason)
    body = {"cycle": cycle_id, "household": household_id, "reason": reason}
    begun = _begun(conn, cycle_id, person_id, key, body)
    if isinstance(begun, Moved):
        return begun
    conn.execute(
        "INSERT INTO assessment.leaving (cycle_id, household_id, reason, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s)",
        (cycle_id, household_id, reason, person_id, at),
    )
    moved = _promoted(conn, begun, person_id, at)
    _recorded(conn, ("leave", household_id), key, body, moved, (person_id, at))
    return moved


def promote(conn: Connection, cycle_id: str, *, person_id: str, at: datetime, key: str) -> Moved:
    """Fill every free place from the waiting list, as far as the money goes.

    The same key again returns the same answer. Raises `selection_locked`, `cycle_not_assessed`,
    `cycle_closed`, `role_missing`.
    """
    body = {"cycle": cycle_id}
    begun = _begun(conn, cycle_id, person_id, key, body)
    if isinstance(begun, Moved):
        return begun
    conn.execute("SELECT assessment.refuse_locked(%s, NULL)", (cycle_id,))
    moved = _promoted(conn, begun, person_id, at)
    _recorded(conn, ("promote", cycle_id), key, body, moved, (person_id, at))
    return moved


def waiting(conn: Connection, cycle_id: str) -> Sequence[Waiting]:
    """Return the waiting list of the cycle's latest run, stratum by stratum, in order."""
    with conn.cursor(row_factory=class_row(Waiting)) as cursor:
        return cursor.execute(
            "SELECT stratum, waitlist_position, household_id, score, amount_minor"
            " FROM assessment.waiting JOIN assessment.latest_run USING (run_id, cycle_id)"
            " WHERE cycle_id = %s ORDER BY stratum, waitlist_position",
            (cycle_id,),
        ).fetchall()


@dataclass(frozen=True, slots=True)
class _Standing:
    run_id: str
    query: str


def _begun(
    conn: Connection, cycle_id: str, person_id: str, key: str, body: Mapping[str, object]
) -> Moved | _Standing:
    """Return the earlier answer to the same request, or the run that it is about."""
    staff.require(conn, person_id, "programme")
    load_cycle(conn, cycle_id)
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        promoted = tuple(filter(None, str(earlier["promoted"]).split(",")))
        return Moved(promoted, str(earlier["next"]) or None)
    row = conn.execute(_SELECTION, (cycle_id,)).fetchone()
    if row is None or row[1] is None:
        raise NOT_ASSESSED.refusal(cycle=cycle_id)
    return _Standing(row[1], _NEXT.format(order=_ORDERS[row[0]]))


def _promoted(conn: Connection, standing: _Standing, person_id: str, at: datetime) -> Moved:
    """Promote the first who waits, again and again, until the next has no place or does not fit."""
    promoted: list[str] = []
    while True:
        waits = conn.execute(standing.query, {"run": standing.run_id}).fetchall()
        # In its stratum the first who does not fit is waited for; other strata go on.
        fitting = [one for one, _, fits, has_place in waits if fits and has_place]
        if not fitting:
            return Moved(tuple(promoted), waits[0][0] if waits else None)
        conn.execute(
            "INSERT INTO assessment.promotion (run_id, household_id, person_id, at)"
            " VALUES (%s, %s, %s, %s)",
            (standing.run_id, fitting[0], person_id, at),
        )
        promoted.append(fitting[0])


def _recorded(
    conn: Connection, did: tuple[str, str], key: str, body: Mapping[str, object], moved: Moved,
    by: tuple[str, datetime],
) -> None:  # fmt: skip
    acts.record(
        conn, key=key, verb=did[0], object_id=did[1], body=body, person_id=by[0], at=by[1],
        answer={"promoted": ",".join(moved.promoted), "next": moved.next_household_id or ""},
    )  # fmt: skip
