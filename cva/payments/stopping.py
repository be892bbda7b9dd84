"""Why a line is stopped, whose work that is, until when, and what the deadline brings.

Reasons for stopping a line, in order of precedence:

* `withdrawn` - the registration was merged into another;
* `paid_as_other` - another registration, merged with this one, is paid in the cycle or may yet be;
* `duplicate` - the same valid strong identifier stands in another live household, undecided;
* `other_agency` - another agency, or another programme of ours, gives the same for certain;
* `no_consent` - consent was refused;
* `no_destination`, `doubtful_destination` - no card or account, or one that fails its check digits;
* `doubtful_payee_name` - the name on the account is not in letters that a bank file carries;
* `possible_duplicate` - linkage says that it may be another household's;
* `possible_overlap` - another agency may be giving the same to the same people.

The two *possible* ones lapse: after the deadline they stop nothing, and a follow-up with approvals
like any other takes the line up. Everything else escalates: from the deadline on an administrator
owns it, and it is not paid before people have decided. The clock of a possible pair begins when it
first stops a line and never again; evidence that changed makes another pair, with another clock.

Deadlines count whenever a plan of the cycle is worked on, whatever runs in the background.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql
from psycopg.rows import class_row

from cva import acts, staff
from ledgers.problems import Answer, Problem

STOP_WITHOUT_STOPPED_LINE = Problem(
    "stop_without_stopped_line",
    "A deadline was given to a line that is not stopped for that cause.",
    "Prepare the plan again.",
)
DEADLINE_NOT_PASSED = Problem(
    "deadline_not_passed",
    "The line {line} is stopped until {due} UTC.",
    "Wait, or decide what it is stopped for.",
)
STOP_NEVER_LAPSES = Problem(
    "stop_never_lapses",
    "What stops a line for {cause} and what its deadline brings do not fit.",
    "Only what is possible lapses; people decide about everything else.",
)
STOP_NOT_FOUND = Problem(
    "stop_not_found",
    "Line {line} of the plan {plan} is not stopped.",
    "List what is stopped: `cva payments stops`.",
    Answer.NOT_FOUND,
)

# What the planner cannot guess stands in tables of its own; see `planning`. A possible pair whose
# clock has run out stops nothing.
STOPS = sql.SQL("""
    CREATE TEMPORARY TABLE stop ON COMMIT DROP AS
    WITH pair AS MATERIALIZED (SELECT left_id, right_id FROM registry.open_pair),
    maybe AS MATERIALIZED (
      SELECT p.left_key, p.right_key, p.band, coalesce(c.began_at, %(at)s) AS since,
             coalesce(c.due_at, %(due)s) AS due_at
      FROM duplicates.possible p LEFT JOIN duplicates.clock c USING (pair_id)),
    waiting AS (
      SELECT household_id, bool_or(band = 'automatic') AS certain, min(since) AS since,
             max(due_at) AS due_at
      FROM (SELECT left_key AS household_id, band, since, due_at FROM maybe
            UNION ALL SELECT right_key, band, since, due_at FROM maybe) sides
      WHERE band = 'automatic' OR due_at > %(at)s GROUP BY household_id),
    reasoned AS (
      SELECT c.household_id, c.kind, o.payable_minor,
        CASE WHEN c.withdrawn THEN 'withdrawn'
             WHEN f.household_id IS NOT NULL THEN 'paid_as_other'
             WHEN p.household_id IS NOT NULL OR m.certain THEN 'duplicate'
             WHEN o.cause = 'other_agency' THEN o.cause
             WHEN v.consent_given IS FALSE THEN 'no_consent'
             WHEN i.valid IS NULL THEN 'no_destination'
             WHEN NOT i.valid THEN 'doubtful_destination'
             WHEN NOT h.valid THEN 'doubtful_payee_name'
             WHEN m.household_id IS NOT NULL THEN 'possible_duplicate'
             ELSE o.cause END AS reason,
        m.since AS possible_since, m.due_at AS possible_due,
        o.since AS overlap_since, o.due_at AS overlap_due
      FROM candidate c
      JOIN registry.version v USING (version_id)
      LEFT JOIN (SELECT left_id AS household_id FROM pair UNION SELECT right_id FROM pair) p
        ON p.household_id = c.household_id
      LEFT JOIN (SELECT DISTINCT household_id FROM payments.paid_as_other
                 WHERE cycle_id = %(cycle)s) f ON f.household_id = c.household_id
      LEFT JOIN waiting m ON m.household_id = c.household_id
      LEFT JOIN overlapping o ON (o.household_id, o.kind) = (c.household_id, c.kind)
      LEFT JOIN registry.identifier i
        ON i.version_id = c.version_id AND i.member_no = 0 AND i.kind = %(destination)s
      LEFT JOIN registry.identifier h
        ON h.version_id = c.version_id AND h.member_no = 0 AND h.kind = 'account_holder'
       AND %(destination)s = 'iban')
    SELECT r.household_id, r.kind, r.reason, r.payable_minor,
           CASE r.reason WHEN 'possible_duplicate' THEN r.possible_since
                WHEN 'possible_overlap' THEN r.overlap_since
                WHEN 'other_agency' THEN r.overlap_since
                ELSE coalesce(b.since, %(at)s) END AS since,
           CASE r.reason WHEN 'possible_duplicate' THEN r.possible_due
                WHEN 'possible_overlap' THEN r.overlap_due WHEN 'other_agency' THEN r.overlap_due
                ELSE coalesce(b.due_at, %(due)s) END AS due_at
    FROM reasoned r
    -- A plan that is prepared again does not begin the wait again.
    LEFT JOIN LATERAL (
      SELECT min(s.since) AS since, min(s.due_at) AS due_at
      FROM payments.line l JOIN payments.stop s USING (plan_id, line_no)
      WHERE (l.cycle_id, l.household_id, l.kind) = (%(cycle)s, r.household_id, r.kind)
        AND s.cause = r.reason) b ON r.reason IS NOT NULL
""")

# The pairs that now hold somebody up begin to count.
_CLOCKS = sql.SQL("""
    INSERT INTO duplicates.clock (pair_id, began_at, due_at)
    SELECT p.pair_id, %(at)s, %(due)s FROM duplicates.possible p
    WHERE p.band = 'review' AND EXISTS (
      SELECT FROM stop s WHERE s.household_id IN (p.left_key, p.right_key)
        AND s.reason = 'possible_duplicate')
    ON CONFLICT DO NOTHING
""")
_RECORDED = sql.SQL("""
    INSERT INTO payments.stop (plan_id, line_no, cause, owner, since, due_at, lapses)
    SELECT l.plan_id, l.line_no, l.stopped,
           CASE WHEN l.stopped IN ('no_destination', 'doubtful_destination', 'doubtful_payee_name')
                THEN 'finance' ELSE 'programme' END,
           s.since, s.due_at, l.stopped IN ('possible_duplicate', 'possible_overlap')
    FROM payments.line l JOIN stop s USING (household_id, kind)
    WHERE l.plan_id = %(plan)s AND l.stopped IS NOT NULL
""")

# A line that a later one took up waits no more, and neither does one that people decided about.
_WAITING = """
    s.plan_id = l.plan_id AND s.line_no = l.line_no
    AND NOT EXISTS (SELECT FROM payments.line n
      WHERE (n.cycle_id, n.household_id, n.kind) = (l.cycle_id, l.household_id, l.kind)
        AND n.attempt > l.attempt)
    AND NOT EXISTS (SELECT FROM payments.cancellation c WHERE c.plan_id = l.plan_id)
    AND CASE s.cause
      WHEN 'possible_duplicate' THEN EXISTS (
        SELECT FROM maybe p WHERE l.household_id IN (p.left_key, p.right_key))
      WHEN 'duplicate' THEN EXISTS (
          SELECT FROM exact x WHERE l.household_id IN (x.left_id, x.right_id))
        OR EXISTS (SELECT FROM maybe p
                   WHERE p.band = 'automatic' AND l.household_id IN (p.left_key, p.right_key))
      WHEN 'withdrawn' THEN false
      WHEN 'paid_as_other' THEN false
      WHEN 'possible_overlap' THEN EXISTS (
        SELECT FROM duplicates.overlap_now o
        WHERE (o.cycle_id, o.household_id, o.kind) = (l.cycle_id, l.household_id, l.kind)
          AND NOT o.ours_first AND o.verdict = 'hold')
      WHEN 'other_agency' THEN EXISTS (
        SELECT FROM duplicates.overlap_now o
        WHERE (o.cycle_id, o.household_id, o.kind) = (l.cycle_id, l.household_id, l.kind)
          AND NOT o.ours_first AND o.verdict IN ('stop', 'hold'))
      ELSE true END
"""
_ENDED = f"""
    WITH maybe AS MATERIALIZED (SELECT left_key, right_key, band FROM duplicates.possible),
    exact AS MATERIALIZED (SELECT left_id, right_id FROM registry.open_pair)
    INSERT INTO payments.stop_end (plan_id, line_no, kind, at)
    SELECT s.plan_id, s.line_no, CASE WHEN s.lapses THEN 'lapsed' ELSE 'escalated' END, %(at)s
    FROM payments.stop s JOIN payments.line l ON {_WAITING}
    WHERE l.cycle_id = %(cycle)s AND s.due_at <= %(at)s
    ON CONFLICT DO NOTHING
    RETURNING kind
"""
_LISTED = f"""
    WITH maybe AS MATERIALIZED (SELECT left_key, right_key, band FROM duplicates.possible),
    exact AS MATERIALIZED (SELECT left_id, right_id FROM registry.open_pair)
    SELECT s.plan_id, s.line_no, l.household_id, s.cause, l.amount_minor, p.currency::text,
           CASE WHEN NOT s.lapses AND s.due_at <= %(at)s THEN 'administrator' ELSE s.owner END
             AS owner,
           (SELECT w.login FROM payments.stop_owner o
            JOIN staff.person w ON w.person_id = o.owner_id
            WHERE (o.plan_id, o.line_no) = (s.plan_id, s.line_no) ORDER BY o.at DESC LIMIT 1)
             AS person,
           s.since, s.due_at,
           CASE WHEN NOT EXISTS (SELECT WHERE {_WAITING}) THEN 'answered'
                WHEN s.due_at > %(at)s THEN 'waiting'
                WHEN s.lapses THEN 'lapsed' ELSE 'escalated' END AS state
    FROM payments.stop s JOIN payments.line l USING (plan_id, line_no)
    JOIN payments.plan p ON p.plan_id = l.plan_id
    WHERE l.cycle_id = %(cycle)s
    ORDER BY s.due_at, s.plan_id, s.line_no
"""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A stopped line: `owner` is a role, `person` a login where somebody was named.

    `state` is waiting, answered (people decided, a follow-up takes it up or nobody is paid), lapsed
    (a follow-up takes it up) or escalated.
    """

    plan_id: str
    line_no: int
    household_id: str
    cause: str
    amount_minor: int
    currency: str
    owner: str
    person: str | None
    since: datetime
    due_at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How many stops a look at the clock ended."""

    lapsed: int
    escalated: int


def record_stops(conn: Connection, values: dict[str, object]) -> None:
    """Give the stopped lines of a plan that is being locked their owners and deadlines."""
    conn.execute(_RECORDED, values)


def begin_clocks(conn: Connection, values: dict[str, object]) -> None:
    """Let the deadlines of possible pairs begin that stop a candidate for the first time."""
    conn.execute(_CLOCKS, values)


def end_overdue(conn: Connection, cycle_id: str, at: datetime) -> Ended:
    """Record which stops of a cycle have passed their deadline: lapsed, or escalated."""
    kinds = [row[0] for row in conn.execute(_ENDED, {"cycle": cycle_id, "at": at})]
    return Ended(kinds.count("lapsed"), kinds.count("escalated"))


def stopped_lines(conn: Connection, cycle_id: str, at: datetime) -> Iterator[Stopped]:
    """Yield the stopped lines of a cycle, as they stand at a moment, the next deadline first."""
    with conn.cursor(row_factory=class_row(Stopped)) as cursor:
        cursor.execute(_LISTED, {"cycle": cycle_id, "at": at})
        yield from cursor


def assign(
    conn: Connection,
    plan_id: str,
    line_no: int,
    owner_id: str,
    *,
    person_id: str,
    at: datetime,
    key: str = "",
) -> None:
    """Name the person who sees to a stopped line. Raises `stop_not_found`, `role_missing`."""
    staff.require(conn, person_id, staff.Role.PROGRAMME)
    body = {"plan": plan_id, "line": line_no, "owner": owner_id}
    if key and acts.already(conn, key, body) is not None:
        return
    found = conn.execute(
        "SELECT count(o.at) FROM payments.stop s"
        " LEFT JOIN payments.stop_owner o USING (plan_id, line_no)"
        " WHERE (plan_id, line_no) = (%s, %s) GROUP BY plan_id",
        (plan_id, line_no),
    ).fetchone()
    if found is None:
        raise STOP_NOT_FOUND.refusal(plan=plan_id, line=line_no)
    conn.execute(
        "INSERT INTO payments.stop_owner (plan_id, line_no, owner_id, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s)",
        (plan_id, line_no, owner_id, person_id, at),
    )
    acts.record(
        conn, key=key or f"assign:{plan_id}:{line_no}:{found[0] + 1}", verb="assign",
        object_id=plan_id, body=body, person_id=person_id, at=at, answer={"line": line_no},
    )  # fmt: skip
