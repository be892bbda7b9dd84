"""Settling: pending lines become loaded or voided, loaded ones may come back; all in sets.

For every pending line the observation with the highest evidence decides; arrival decides nothing.
Lines whose best observations contradict each other, and lines of which only acceptance or UNKNOWN
is known, stay pending: their money stays reserved and somebody asks. A line loaded with less than
was instructed is loaded with what was loaded; the rest is released and may follow. Where the
contract recognises the expense at redemption, what is loaded stands on the households' wallets and
its budget stays committed until `redemptions` books its use.

A bank's status report never proves a payment: only a booked statement entry does. That ranking is
the adapters' (`adapters.port.Evidence`); a bank adapter yields EXECUTED only from statements.
"""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql

from cva import acts, staff
from cva.identifiers import new_id
from cva.payments import planning
from cva.payments.accounts import Accounts, accounts_of, day_of
from cva.payments.planning import Plan
from cva.payments.sending import require_not_sending
from cva.progress import Progress, stages
from ledgers import transfers
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
           min(observed_on) AS delivered_on, min(observation_id) AS observation_id
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
           coalesce(l.province, '') AS location
    FROM payments.observation o
    CROSS JOIN LATERAL (
        SELECT n.instruction_ref, n.province FROM payments.line n
        WHERE (n.plan_id, n.line_no) = (o.plan_id, o.line_no) LIMIT 1) l
    CROSS JOIN LATERAL (
        SELECT n.amount_minor FROM payments.outcome n
        WHERE (n.plan_id, n.line_no, n.step, n.kind) = (o.plan_id, o.line_no, 1, 'loaded')
        LIMIT 1) e
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

# The entry names what it rests on, so that nobody can put other documents under it later.
_EVIDENCE = """
    SELECT encode(payments.evidence_digest(array_agg(instruction_ref ORDER BY line_no),
        array_agg(observation_id ORDER BY line_no)), 'hex') FROM {table}
"""

_STAGES = 4  # what was said is weighed, booked, what came back is booked, where it stands
_SETTLE_SOURCE = sql.SQL("SELECT instruction_ref, amount_minor FROM decided")

_RETURN_SOURCE = sql.SQL("""
    SELECT %(source)s::integer AS debit_account_id, %(loaded)s::integer AS credit_account_id,
           amount_minor, %(currency)s::char(3) AS currency, %(grant)s::text AS grant_code,
           %(programme)s::text AS programme_id, %(cycle)s::text AS cycle_id,
           %(provider)s::text AS provider, location, instruction_ref,
           (SELECT h.wallet_id FROM books.transfer h WHERE h.phase = 'pending'
              AND h.instruction_ref = returned.instruction_ref) AS wallet_id,
           NULL::date AS expires_on
    FROM returned
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
    values = {"plan": plan_id, "at": at, "today": day_of(at), "currency": plan.currency}
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


def _settle_pending(
    conn: Connection, plan: Plan, accounts: Accounts, person_id: str, at: datetime
) -> transfers.Settled:
    newest = _one(conn, "SELECT max(observation_id) FROM decided")
    if not newest:
        return transfers.Settled(0, 0, 0, 0, 0)
    evidence = _text(conn, _EVIDENCE.format(table="decided"))
    head = EntryHead(
        entry_ref=new_id("je", at), key=f"settle:{plan.plan_id}:{newest}",
        event=accounts.events.settled,
        effective_on=day_of(at), recorded_by=person_id,
        reason=f"plan {plan.plan_id} settled; evidence {evidence}",
        recorded_on=day_of(at),
    )  # fmt: skip
    settled = transfers.settle(conn, head, _SETTLE_SOURCE, {})
    moves = [("commitment_released", settled.released_minor)]
    if not accounts.has_wallets:  # else it is spent, and no longer committed, when it is used
        moves.insert(0, ("commitment_liquidated", settled.posted_minor))
    legs = [leg for event, minor in moves if minor for leg in accounts.budget_move(event, minor)]
    if not legs:
        return settled
    memo = EntryHead(
        entry_ref=new_id("je", at), key=f"liquidate:{plan.plan_id}:{newest}",
        event=moves[0][0], effective_on=day_of(at), recorded_by=person_id,
        reason=f"plan {plan.plan_id} settled",
        recorded_on=day_of(at),
    )  # fmt: skip
    record(conn, memo, legs)
    return settled


def _book_returns(
    conn: Connection, plan: Plan, accounts: Accounts, person_id: str, at: datetime
) -> tuple[int, int]:
    row = conn.execute(
        "SELECT count(*), coalesce(sum(amount_minor), 0)::bigint, max(observation_id) FROM returned"
    ).fetchone()
    if row is None or not row[0]:
        return 0, 0
    count, amount_minor, newest = row
    evidence = _text(conn, _EVIDENCE.format(table="returned"))
    head = EntryHead(
        entry_ref=new_id("je", at), key=f"return:{plan.plan_id}:{newest}",
        event=accounts.events.returned,
        effective_on=day_of(at), recorded_by=person_id,
        reason=f"plan {plan.plan_id}: came back; evidence {evidence}",
        recorded_on=day_of(at),
    )  # fmt: skip
    values = {
        "source": accounts.source, "loaded": accounts.loaded, "currency": plan.currency,
        "grant": accounts.grant_code, "programme": accounts.programme_id, "cycle": plan.cycle_id,
        "provider": plan.provider,
    }  # fmt: skip
    transfers.transfer(conn, head, _RETURN_SOURCE, values)
    memo = EntryHead(
        entry_ref=new_id("je", at), key=f"unspend:{plan.plan_id}:{newest}",
        event=accounts.returned_budget,
        effective_on=day_of(at), recorded_by=person_id, reason=f"plan {plan.plan_id}: came back",
        recorded_on=day_of(at),
    )  # fmt: skip
    record(conn, memo, accounts.budget_move(accounts.returned_budget, amount_minor))
    return count, amount_minor


def _one(conn: Connection, query: str) -> int:
    row = conn.execute(query).fetchone()
    return int(row[0] or 0) if row else 0


def _text(conn: Connection, query: str) -> str:
    row = conn.execute(query).fetchone()
    return str(row[0]) if row else ""
