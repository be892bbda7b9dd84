"""Settling: pending lines become loaded or voided, loaded ones may come back; all in sets.

For every pending line the observation with the highest evidence decides; arrival decides nothing.
Lines whose best observations contradict each other, and lines of which only acceptance or UNKNOWN
is known, stay pending: their money stays reserved and somebody asks. A line loaded with less than
was instructed is loaded with what was loaded; the rest is released and may follow. Where the
contract recognises the expense at redemption, what is loaded stands on the households' wallets and
its budget stays committed until `redemptions` books its use.

Each entry takes effect on the day the provider says of its lines: one entry for each of these days,
never before the lines were released or the loads booked, never after today. What is learned when
the books no longer take that day is booked today, and its reason names the day.

A bank's status report never proves a payment: only a booked statement entry does. That ranking is
the adapters' (`adapters.port.Evidence`); a bank adapter yields EXECUTED only from statements.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection, sql

from cva import acts, staff
from cva.identifiers import new_id
from cva.payments import planning
from cva.payments.accounts import Accounts, accounts_of, day_of
from cva.payments.planning import Plan
from cva.payments.sending import require_not_sending
from cva.progress import Progress, stages
from ledgers import periods, transfers
from ledgers.entries import EntryHead, record

# Lines and outcomes are looked up by key (LIMIT, OFFSET 0): the statistics never know the newest
# plan, and joined as sets its lines would be compared all with all.
_DECIDE = """
    CREATE TEMPORARY TABLE decided ON COMMIT DROP AS
    WITH said AS (
        SELECT o.*, l.amount_minor AS planned_minor, l.instruction_ref,
               o.outcome IN ('executed', 'delivered') AS paid,
               max(o.evidence) OVER (PARTITION BY o.line_no) AS best
        FROM payments.said o
        CROSS JOIN LATERAL (
            SELECT n.amount_minor, n.instruction_ref FROM payments.line n
            WHERE (n.plan_id, n.line_no) = (o.plan_id, o.line_no) AND n.stopped IS NULL LIMIT 1) l
        WHERE o.plan_id = %(plan)s
          AND o.outcome IN ('executed', 'delivered', 'rejected', 'cancelled', 'expired')
          AND o.currency IN ('', %(currency)s)
          AND NOT EXISTS (SELECT FROM payments.outcome e
                          WHERE (e.plan_id, e.line_no) = (o.plan_id, o.line_no) OFFSET 0))
    SELECT line_no, instruction_ref, bool_and(paid) AS paid,
           CASE WHEN bool_and(paid)
                THEN least(min(coalesce(amount_minor, planned_minor)), min(planned_minor))
                ELSE 0 END AS amount_minor,
           min(planned_minor) AS planned_minor,
           min(observed_on) AS delivered_on, min(observation_id) AS observation_id,
           least(greatest(coalesce(min(observed_on), %(today)s), %(released)s::date),
                 %(today)s) AS day
    FROM said WHERE evidence = best
    GROUP BY line_no, instruction_ref HAVING bool_and(paid) OR NOT bool_or(paid)
"""

_OUTCOMES = """
    INSERT INTO payments.outcome (plan_id, line_no, step, kind, amount_minor, delivered_on,
      observation_id, at)
    SELECT %(plan)s, line_no, 1, CASE WHEN amount_minor > 0 THEN 'loaded' ELSE 'voided' END,
      amount_minor, CASE WHEN amount_minor > 0 THEN coalesce(delivered_on, %(today)s) END,
      observation_id, %(at)s
    FROM decided ORDER BY line_no
"""

_RETURNS = """
    CREATE TEMPORARY TABLE returned ON COMMIT DROP AS
    SELECT DISTINCT ON (o.line_no) o.line_no, l.instruction_ref, o.observation_id,
           least(coalesce(o.amount_minor, e.amount_minor), e.amount_minor) AS amount_minor,
           coalesce(l.province, '') AS location,
           least(greatest(coalesce(o.observed_on, %(today)s), b.effective_on), %(today)s) AS day
    FROM payments.observation o
    CROSS JOIN LATERAL (
        SELECT n.instruction_ref, n.province FROM payments.line n
        WHERE (n.plan_id, n.line_no) = (o.plan_id, o.line_no) LIMIT 1) l
    CROSS JOIN LATERAL (
        SELECT n.amount_minor FROM payments.outcome n
        WHERE (n.plan_id, n.line_no, n.step, n.kind) = (o.plan_id, o.line_no, 1, 'loaded')
        LIMIT 1) e
    CROSS JOIN LATERAL (
        SELECT n.effective_on FROM books.transfer h JOIN books.transfer r
            ON r.pending_id = h.transfer_id JOIN books.entry n ON n.entry_id = r.entry_id
        WHERE h.instruction_ref = l.instruction_ref AND h.phase = 'pending' LIMIT 1) b
    WHERE o.plan_id = %(plan)s AND o.outcome = 'returned' AND o.currency IN ('', %(currency)s)
      AND NOT EXISTS (SELECT FROM payments.outcome r
                      WHERE (r.plan_id, r.line_no, r.step) = (o.plan_id, o.line_no, 2) OFFSET 0)
    ORDER BY o.line_no, o.evidence DESC, o.observation_id
"""

_RETURN_OUTCOMES = """
    INSERT INTO payments.outcome (plan_id, line_no, step, kind, amount_minor, observation_id, at)
    SELECT %(plan)s, line_no, 2, 'returned', amount_minor, observation_id, %(at)s
    FROM returned ORDER BY line_no
"""

# A day's entry names what it rests on, so that nobody can put other documents under it later.
_DAYS = sql.SQL("""
    SELECT day, max(observation_id),
           encode(payments.evidence_digest(array_agg(instruction_ref ORDER BY line_no),
               array_agg(observation_id ORDER BY line_no)), 'hex'),
           count(*), sum(amount_minor)::bigint
    FROM {table} GROUP BY day ORDER BY day
""")
_RELEASED_ON = "SELECT min(effective_on) FROM books.entry WHERE key = %s"

_STAGES = 4  # what was said is weighed, booked, what came back is booked, where it stands
_SETTLE_SOURCE = sql.SQL("SELECT instruction_ref, amount_minor FROM decided WHERE day = %(day)s")

_RETURN_SOURCE = sql.SQL("""
    SELECT %(source)s::integer AS debit_account_id, %(loaded)s::integer AS credit_account_id,
           amount_minor, %(currency)s::char(3) AS currency, %(grant)s::text AS grant_code,
           %(programme)s::text AS programme_id, %(cycle)s::text AS cycle_id,
           %(provider)s::text AS provider, location, instruction_ref,
           (SELECT h.wallet_id FROM books.transfer h WHERE h.phase = 'pending'
              AND h.instruction_ref = returned.instruction_ref) AS wallet_id,
           NULL::date AS expires_on
    FROM returned WHERE day = %(day)s
""")


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a settlement moved; money in minor units, `pending` and `unknown` are lines left."""

    loaded: int
    loaded_minor: int
    short: int
    voided: int
    released_minor: int
    returned: int
    returned_minor: int
    pending: int
    unknown: int


def settle(
    conn: Connection,
    plan_id: str,
    *,
    person_id: str,
    at: datetime,
    progress: Progress | None = None,
) -> Settlement:
    """Turn what is known of the plan's pending lines into posted, voided and returned money.

    Safe to run again: it settles only what has been learned since. `progress` is told how often a
    line has gone through one of the stages. Raises `role_missing`,
    `plan_not_found`, `send_in_progress` (what is on its way cannot be ended).
    """
    staff.require(conn, person_id, "finance")
    plan = planning.load(conn, plan_id)
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (plan_id,))
    require_not_sending(conn, plan_id, with_others=True)
    accounts = accounts_of(conn, plan)
    (released_on,) = conn.execute(_RELEASED_ON, (f"hold:{plan_id}",)).fetchone() or (None,)
    values = {
        "plan": plan_id, "at": at, "today": day_of(at), "currency": plan.currency,
        "released": released_on,
    }  # fmt: skip
    through = stages(progress, _STAGES, plan.lines - plan.stopped_lines)
    conn.execute(_DECIDE, values)
    conn.execute("ANALYZE decided")
    next(through)
    first = _settle_pending(conn, plan, accounts, person_id, at)
    conn.execute(_OUTCOMES, values)
    next(through)
    conn.execute(_RETURNS, values)
    returned, returned_minor = _book_returns(conn, plan, accounts, person_id, at)
    conn.execute(_RETURN_OUTCOMES, values)
    next(through)
    short = _one(
        conn, "SELECT count(*) FROM decided WHERE amount_minor BETWEEN 1 AND planned_minor - 1"
    )
    conn.execute("DROP TABLE decided, returned")
    states: dict[str, int] = dict(
        conn.execute(
            "SELECT state, count(*) FROM payments.line_state WHERE plan_id = %s GROUP BY state",
            (plan_id,),
        ).fetchall()
    )
    next(through)
    settlement = Settlement(
        first.posted_count, first.posted_minor, short, first.voided_count, first.released_minor,
        returned, returned_minor, states.get("pending", 0), states.get("unknown", 0),
    )  # fmt: skip
    if first.posted_count + first.voided_count + returned:
        key = f"settle:{plan_id}:{new_id('act', at)}"
        acts.record(
            conn, key=key, verb="settle", object_id=plan_id, body={"plan": plan_id},
            person_id=person_id, at=at,
            answer={"loaded": settlement.loaded, "voided": settlement.voided, "returned": returned},
        )  # fmt: skip
    return settlement


@dataclass(frozen=True, slots=True)
class _Day:
    """Lines that take effect on one day, and the entries they make; `said` is for their reasons."""

    on: date
    said: str
    key: str
    evidence: str
    count: int
    amount_minor: int

    def head(self, step: str, event: str, reason: str, person_id: str, at: datetime) -> EntryHead:
        """Return the head of the day's entry of this step."""
        return EntryHead(
            entry_ref=new_id("je", at), key=f"{step}:{self.key}", event=event,
            effective_on=self.on, recorded_by=person_id, reason=reason + self.said,
            recorded_on=day_of(at),
        )  # fmt: skip


def _days(conn: Connection, table: str, plan_id: str, at: datetime) -> Iterator[tuple[date, _Day]]:
    """Yield each day the provider named, with what is booked for it and on which day."""
    query = _DAYS.format(table=sql.Identifier(table))
    for day, newest, evidence, count, amount_minor in conn.execute(query).fetchall():
        on = periods.day_taken(conn, day, day_of(at))
        said = "" if on == day else f"; of {day}, a day the books no longer take"
        yield day, _Day(on, said, f"{plan_id}:{newest}:{day}", evidence, count, amount_minor)


def _settle_pending(
    conn: Connection, plan: Plan, accounts: Accounts, person_id: str, at: datetime
) -> transfers.Settled:
    done = transfers.Settled(0, 0, 0, 0, 0)
    for day, booked in _days(conn, "decided", plan.plan_id, at):
        reason = f"plan {plan.plan_id} settled"
        head = booked.head(
            "settle", accounts.events.settled, f"{reason}; evidence {booked.evidence}", person_id,
            at,
        )  # fmt: skip
        settled = transfers.settle(conn, head, _SETTLE_SOURCE, {"day": day})
        done = transfers.Settled(
            done.posted_count + settled.posted_count, done.posted_minor + settled.posted_minor,
            done.voided_count + settled.voided_count, done.voided_minor + settled.voided_minor,
            done.released_minor + settled.released_minor,
        )  # fmt: skip
        moves = [("commitment_released", settled.released_minor)]
        if not accounts.has_wallets:  # else it is spent, and no longer committed, when it is used
            moves.insert(0, ("commitment_liquidated", settled.posted_minor))
        legs = [
            leg for event, minor in moves if minor for leg in accounts.budget_move(event, minor)
        ]
        if legs:
            record(conn, booked.head("liquidate", moves[0][0], reason, person_id, at), legs)
    return done


def _book_returns(
    conn: Connection, plan: Plan, accounts: Accounts, person_id: str, at: datetime
) -> tuple[int, int]:
    values = {
        "source": accounts.source, "loaded": accounts.loaded, "currency": plan.currency,
        "grant": accounts.grant_code, "programme": accounts.programme_id, "cycle": plan.cycle_id,
        "provider": plan.provider,
    }  # fmt: skip
    count = total_minor = 0
    for day, booked in _days(conn, "returned", plan.plan_id, at):
        reason = f"plan {plan.plan_id}: came back"
        head = booked.head(
            "return", accounts.events.returned, f"{reason}; evidence {booked.evidence}", person_id,
            at,
        )  # fmt: skip
        transfers.transfer(conn, head, _RETURN_SOURCE, {**values, "day": day})
        event = accounts.returned_budget
        record(
            conn, booked.head("unspend", event, reason, person_id, at),
            accounts.budget_move(event, booked.amount_minor),
        )  # fmt: skip
        count += booked.count
        total_minor += booked.amount_minor
    return count, total_minor


def _one(conn: Connection, query: str) -> int:
    row = conn.execute(query).fetchone()
    return int(row[0] or 0) if row else 0
