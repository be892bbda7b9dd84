"""Preparing a payment plan: which selected households are paid, which lines stop, and why.

A line that cannot be paid is not left out: it stands in the plan as *stopped* with its reason, and
a follow-up takes it up once the reason is gone. The plan is locked as it is made: its lines, sums
and digest never change, and it is the digest that approvers sign.

Why a line stops, whose work that is and what its deadline brings: `stopping`. What another agency
gives the same people: `overlapping`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection, sql
from psycopg.rows import class_row

from cva import acts, staff
from cva.clock import ZONE
from cva.identifiers import new_id
from cva.payments import linkage, stopping
from cva.progress import Progress, stages
from ledgers.problems import Answer, Problem

PLAN_NOT_FOUND = Problem(
    "plan_not_found", "There is no payment plan {plan}.", "List the plans of the cycle.",
    Answer.NOT_FOUND,
)  # fmt: skip
RUN_NOT_FOUND = Problem(
    "run_not_found", "The cycle {cycle} has not been assessed.", "Assess the cycle first.",
    Answer.NOT_FOUND,
)  # fmt: skip
NOTHING_TO_PAY = Problem(
    "nothing_to_pay",
    "No household of the cycle {cycle} is left to pay.",
    "Every selected household has a line already; follow up on failed lines instead.",
    keeps=True,  # deadlines that began or ended, and what was found
)
ALREADY_PAID_OR_PENDING = Problem(
    "already_paid_or_pending",
    "The household {household} has a payment in this cycle that has not failed.",
    "Wait until the line before it has failed for certain, then prepare a follow-up.",
)
SHORTFALL_WITHOUT_SHORT_LOAD = Problem(
    "shortfall_without_short_load",
    "The household {household} was not loaded short by this much.",
    "Only what a short load left open can follow it.",
)
PLAN_IS_LOCKED = Problem(
    "plan_is_locked", "No line can be added to a locked plan.", "Prepare a new plan."
)
PLAN_DIFFERS_FROM_LINES = Problem(
    "plan_differs_from_lines",
    "The plan {plan} says something else than its lines add up to.",
    "Prepare the plan again.",
)
OUTCOME_WITHOUT_LINE = Problem(
    "outcome_without_line",
    "An outcome was given for something that is not such a line of a plan.",
    "Name a line of a plan, and at most its amount.",
)
OUTCOME_DIFFERS_FROM_BOOKS = Problem(
    "outcome_differs_from_books",
    "An outcome was given for a line of which the books say something else.",
    "Settle the plan: outcomes and books are written together.",
)
LINE_WITHOUT_REGISTRATION = Problem(
    "line_without_registration",
    "A line pays the household {household} by a registration that is not its own.",
    "Prepare a new plan; only registered households are paid, each by its own registration.",
)
PLAN_OF_ANOTHER_CYCLE = Problem(
    "plan_of_another_cycle",
    "The plan {plan} rests on a run or a plan of another cycle.",
    "Prepare the plan from a run of its own cycle.",
)
RETURN_WITHOUT_LOAD = Problem(
    "return_without_load",
    "A return was given for a line that was not loaded with as much.",
    "Only what was loaded can come back.",
)
CYCLE_CLOSED = Problem("cycle_closed", "The cycle {cycle} is closed.", "Open the next cycle.")


@dataclass(frozen=True, slots=True)
class Plan:
    """A locked payment plan; money in minor units of `currency`, for the lines not stopped."""

    plan_id: str
    cycle_id: str
    run_id: str
    parent_plan_id: str | None
    provider: str
    currency: str
    execute_on: date
    lines: int
    stopped_lines: int
    total_minor: int
    people: int
    digest: bytes
    approvers_needed: int
    prepared_by: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What the programme says about paying: who pays, to which destination, who must approve.

    `thresholds` are (total in minor units, approvers): a plan above the total needs that many.
    """

    provider: str
    destination: str  # the kind of identifier that money goes to
    currency: str
    approvers_needed: int
    execute_on: date
    thresholds: tuple[tuple[int, int], ...] = ()
    emergency: bool = False  # what is possible waits for hours, not for days

    def approvers_for(self, total_minor: int) -> int:
        """Return how many people must approve a plan of this total."""
        more = (count for above_minor, count in self.thresholds if total_minor > above_minor)
        return max(self.approvers_needed, *more, 0)


PLAN_COLUMNS = sql.SQL(
    "plan_id, cycle_id, run_id, parent_plan_id, provider, currency, execute_on, lines,"
    " stopped_lines, total_minor, people, digest, approvers_needed, prepared_by"
)

# Who is wanted in the plan: the two sources. What the planner cannot guess (how much a new run or a
# new cycle holds) stands in tables of its own, analysed, before it is joined; what is looked up for
# each row is looked up by key (LATERAL). Otherwise a plan's second cycle compares all with all.
_SELECTED = sql.SQL("""
    CREATE TEMPORARY TABLE wanted ON COMMIT DROP AS
    SELECT d.household_id, d.version_id, 'regular' AS kind,
           coalesce(latest.attempt, 0) + 1 AS attempt, d.amount_minor, d.people, d.people_from,
           d.rank, NULL::text AS stopped_for
    FROM assessment.served d
    CROSS JOIN LATERAL (
        SELECT max(l.attempt) AS attempt, bool_and(c.plan_id IS NOT NULL) AS cancelled
        FROM payments.line l LEFT JOIN payments.cancellation c USING (plan_id)
        WHERE (l.cycle_id, l.household_id, l.kind) = (%(cycle)s, d.household_id, 'regular')) latest
    WHERE d.run_id = %(run)s AND latest.cancelled IS NOT FALSE
""")

_FAILED = sql.SQL("""
    CREATE TEMPORARY TABLE wanted ON COMMIT DROP AS
    WITH latest AS (
        SELECT l.*, s.amount_minor AS shortfall_minor,
               CASE WHEN l.state = 'stopped' AND c.plan_id IS NULL
                     AND e.kind IS DISTINCT FROM 'lapsed' THEN l.stopped END AS stopped_for
        FROM (SELECT DISTINCT ON (household_id, kind) * FROM payments.line_state
              WHERE cycle_id = %(cycle)s ORDER BY household_id, kind, attempt DESC) l
        LEFT JOIN payments.cancellation c USING (plan_id)
        LEFT JOIN payments.stop_end e USING (plan_id, line_no)
        LEFT JOIN LATERAL (
            SELECT amount_minor FROM payments.line n
            WHERE (n.cycle_id, n.household_id, n.kind, n.attempt)
                = (l.cycle_id, l.household_id, 'shortfall', 1) LIMIT 1) s ON true)
    -- What came back is open again, and what was never loaded unless a line of its own took it.
    SELECT * FROM (
        SELECT household_id, NULL::bigint AS version_id, kind, attempt + 1 AS attempt,
               amount_minor - loaded_minor + returned_minor
                 - CASE WHEN kind = 'regular' AND loaded_minor BETWEEN 1 AND amount_minor - 1
                        THEN coalesce(shortfall_minor, 0) ELSE 0 END AS amount_minor,
               people, people_from, line_no AS rank, stopped_for
        FROM latest WHERE state IN ('stopped', 'voided', 'returned', 'cancelled')
        UNION ALL
        SELECT household_id, NULL, 'shortfall', 1, amount_minor - loaded_minor, people, people_from,
               line_no, NULL
        FROM latest WHERE kind = 'regular' AND state = 'loaded' AND loaded_minor < amount_minor
          AND shortfall_minor IS NULL) failed
    WHERE amount_minor > 0
""")

# A confirmed duplicate has no live version: it is stopped in a plan, and not wanted in a follow-up.
_CANDIDATES = sql.SQL("""
    CREATE TEMPORARY TABLE candidate ON COMMIT DROP AS
    SELECT household_id, coalesce(v.version_id, w.version_id) AS version_id,
           v.version_id IS NULL AS withdrawn, kind, attempt, amount_minor, people, people_from,
           rank, stopped_for
    FROM wanted w LEFT JOIN registry.live v USING (household_id)
    WHERE coalesce(v.version_id, w.version_id) IS NOT NULL
""")

_LINES = sql.SQL("""
    INSERT INTO payments.line (plan_id, line_no, cycle_id, household_id, version_id, kind, attempt,
      amount_minor, people, people_from, province, population_group, stopped, instruction_ref)
    SELECT %(plan)s, line_no, %(cycle)s, household_id, version_id, kind, attempt,
      least(amount_minor, payable_minor), people, people_from, province, population_group, reason,
      upper(substr(%(plan)s, 6)) || lpad(line_no::text, 7, '0')
    FROM (
      SELECT row_number() OVER (ORDER BY c.rank, c.household_id, c.kind) AS line_no,
             c.*, v.province, v.population_group, s.reason,
             CASE WHEN s.reason IS NULL THEN s.payable_minor END AS payable_minor
      FROM candidate c JOIN stop s USING (household_id, kind)
      JOIN registry.version v USING (version_id)
      WHERE s.reason IS NULL OR s.reason IS DISTINCT FROM c.stopped_for) numbered
    ORDER BY line_no
""")

_STAGES = 5  # wanted, with its registration, looked at, a line, under the digest
_PAYABLE = """
    SELECT coalesce(sum(amount_minor), 0)::bigint FROM payments.line
    WHERE plan_id = %(plan)s AND stopped IS NULL
"""

_PLAN = sql.SQL("""
    INSERT INTO payments.plan (plan_id, cycle_id, run_id, parent_plan_id, provider, currency,
      execute_on, lines, stopped_lines, total_minor, people, digest, approvers_needed, prepared_by,
      locked_at)
    SELECT %(plan)s, %(cycle)s, %(run)s, %(parent)s, %(provider)s, %(currency)s, %(execute_on)s,
      count(*), count(stopped), coalesce(sum(amount_minor) FILTER (WHERE stopped IS NULL), 0),
      coalesce(sum(people) FILTER (WHERE stopped IS NULL), 0),
      payments.digest(%(plan)s, concat_ws('|', %(plan)s::text, %(cycle)s::text, %(run)s::text,
        coalesce(%(parent)s::text, '-'), %(provider)s::text, %(currency)s::char(3),
        to_char(%(execute_on)s::date, 'YYYY-MM-DD'), %(approvers)s::integer, %(person)s::text)),
      %(approvers)s, %(person)s, %(at)s
    FROM payments.line WHERE plan_id = %(plan)s
""")

_STOPPED = sql.SQL("""
    INSERT INTO payments.outcome (plan_id, line_no, step, kind, amount_minor, at)
    SELECT plan_id, line_no, 1, 'stopped', 0, %(at)s FROM payments.line
    WHERE plan_id = %(plan)s AND stopped IS NOT NULL
""")


def prepare(
    conn: Connection,
    cycle_id: str,
    terms: Terms,
    *,
    person_id: str,
    at: datetime,
    key: str,
    progress: Progress | None = None,
) -> Plan:
    """Lock a plan of every selected household that has no line in the cycle yet.

    Returns the plan; the same key again returns the same plan. `progress` is told how often a
    wanted line has gone through one of the stages. Raises `run_not_found`,
    `nothing_to_pay`, which keeps what was found, `restored_not_linked`, `role_missing`,
    `cycle_closed`.
    """
    staff.require(conn, person_id, "programme")
    run = conn.execute(
        "SELECT run_id FROM assessment.run WHERE cycle_id = %s"
        " ORDER BY at DESC, run_id DESC LIMIT 1",
        (cycle_id,),
    ).fetchone()
    if run is None:
        raise RUN_NOT_FOUND.refusal(cycle=cycle_id)
    draft = _Draft(cycle_id, run[0], None, terms, person_id, at)
    return _lock(conn, draft, _SELECTED, key, progress)


def prepare_follow_up(
    conn: Connection,
    parent: Plan,
    terms: Terms,
    *,
    person_id: str,
    at: datetime,
    key: str,
    progress: Progress | None = None,
) -> Plan:
    """Lock a follow-up of the failed lines of the parent's cycle whose reason to stop is gone.

    Takes voided, returned and cancelled lines, stopped lines whose reason no longer stands, and
    what a short load left open. What cannot be paid now either stands in it as stopped, unless it
    waits already for the same cause. Raises `nothing_to_pay`, which keeps what was found,
    `restored_not_linked`, `role_missing`, `cycle_closed`.
    """
    staff.require(conn, person_id, "programme")
    draft = _Draft(parent.cycle_id, parent.run_id, parent.plan_id, terms, person_id, at)
    return _lock(conn, draft, _FAILED, key, progress)


def load(conn: Connection, plan_id: str) -> Plan:
    """Return the plan, or raise `plan_not_found`."""
    query = sql.SQL("SELECT {} FROM payments.plan WHERE plan_id = %s").format(PLAN_COLUMNS)
    with conn.cursor(row_factory=class_row(Plan)) as cursor:
        plan = cursor.execute(query, (plan_id,)).fetchone()
    if plan is None:
        raise PLAN_NOT_FOUND.refusal(plan=plan_id)
    return plan


def plans_of(conn: Connection, cycle_id: str) -> Sequence[Plan]:
    """Return the cycle's plans, in the order they were locked."""
    query = sql.SQL(
        "SELECT {} FROM payments.plan WHERE cycle_id = %s ORDER BY locked_at, plan_id"
    ).format(PLAN_COLUMNS)
    with conn.cursor(row_factory=class_row(Plan)) as cursor:
        return cursor.execute(query, (cycle_id,)).fetchall()


@dataclass(frozen=True, slots=True)
class _Draft:
    cycle_id: str
    run_id: str
    parent_plan_id: str | None
    terms: Terms
    person_id: str
    at: datetime


def _lock(
    conn: Connection, draft: _Draft, source: sql.SQL, key: str, progress: Progress | None
) -> Plan:
    from cva.payments import overlapping
    from cva.registry import policies

    body = {"cycle": draft.cycle_id, "parent": draft.parent_plan_id, "by": draft.person_id}
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return load(conn, str(earlier["plan"]))
    # Two people preparing one cycle at once: the second sees the first one's lines.
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (draft.cycle_id,))
    closed = "SELECT FROM programme.cycle_close WHERE cycle_id = %s"
    if conn.execute(closed, (draft.cycle_id,)).fetchone() is not None:
        raise CYCLE_CLOSED.refusal(cycle=draft.cycle_id)
    stopping.end_overdue(conn, draft.cycle_id, draft.at)
    due = policies.in_force(conn).hold.until(
        draft.at.astimezone(ZONE), emergency=draft.terms.emergency
    )
    plan_id = new_id("plan", draft.at)
    values: dict[str, object] = {
        "plan": plan_id, "cycle": draft.cycle_id, "run": draft.run_id,
        "parent": draft.parent_plan_id, "provider": draft.terms.provider,
        "currency": draft.terms.currency, "destination": draft.terms.destination,
        "execute_on": draft.terms.execute_on, "person": draft.person_id, "at": draft.at, "due": due,
    }  # fmt: skip
    through = stages(progress, _STAGES, conn.execute(source, values).rowcount)
    next(through)
    conn.execute("ANALYZE wanted")
    conn.execute(_CANDIDATES)
    conn.execute("ANALYZE candidate")
    linkage.require_restored_linked(conn)
    next(through)
    overlapping.judge(conn, draft.cycle_id, draft.at, due=due)
    conn.execute(stopping.STOPS, values)
    conn.execute("ANALYZE stop")
    stopping.begin_clocks(conn, values)
    next(through)
    if conn.execute(_LINES, values).rowcount == 0:
        raise NOTHING_TO_PAY.refusal(cycle=draft.cycle_id)
    next(through)
    payable = conn.execute(_PAYABLE, values).fetchone()
    values |= {"approvers": draft.terms.approvers_for(int(payable[0]) if payable else 0)}
    conn.execute(_PLAN, values)
    conn.execute(_STOPPED, values)
    stopping.record_stops(conn, values)
    next(through)
    conn.execute("DROP TABLE wanted, candidate, overlapping, stop")
    acts.record(
        conn, key=key, verb="prepare", object_id=plan_id, body=body,
        person_id=draft.person_id, at=draft.at, answer={"plan": plan_id},
    )  # fmt: skip
    return load(conn, plan_id)
