"""Reconciling a cycle: plan line ↔ ledger ↔ provider's report ↔ statement, amount by amount.

Every difference has a name, says whether the books and the outside world agree about it, and has an
owner. The unexplained difference must be 0.00 before the cycle closes. What is compared is stored
with the result, together with how far the books and the documents had come.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from datetime import datetime

from psycopg import Connection, sql

from cva import acts, staff
from cva.identifiers import new_id
from cva.progress import Progress, stages
from ledgers import reconciliation
from ledgers.money import with_amounts
from ledgers.problems import Answer, Problem, Refusal
from ledgers.reconciliation import Comparison, Difference
from ledgers.refusals import refusals

CYCLE_NOT_RECONCILED = Problem(
    "cycle_not_reconciled",
    "The cycle is not reconciled: {unexplained} unexplained, {pending_lines:line|lines} pending.",
    "Explain every difference and settle every line, then reconcile again.",
)
CYCLE_HAS_OPEN_LINES = Problem(
    "cycle_has_open_lines",
    "The cycle {cycle} has lines that are neither paid nor failed.",
    "Settle or cancel every plan of the cycle first.",
)
RECONCILIATION_OUTDATED = Problem(
    "reconciliation_outdated",
    "A provider of the cycle {cycle} has said something since it was reconciled.",
    "Settle what came in, then reconcile again.",
)
NEVER_RECONCILED = Problem(
    "never_reconciled",
    "The cycle {cycle} was never reconciled.",
    "Reconcile it first.",
    Answer.NOT_FOUND,
)

# Who works on a difference of each name.
OWNERS = {
    "missing": "finance", "unexpected": "finance", "short": "programme", "over": "finance",
    "duplicate": "finance", "late": "finance", "fee": "finance", "returned": "programme",
    "pending": "finance",
}  # fmt: skip

_EXPECTED = sql.SQL("""
    SELECT l.instruction_ref, l.amount_minor FROM payments.line l
    JOIN payments.signature s ON s.plan_id = l.plan_id AND s.act = 'released'
    WHERE l.cycle_id = %(cycle)s AND l.stopped IS NULL
      AND NOT EXISTS (SELECT FROM payments.cancellation c WHERE c.plan_id = l.plan_id)
""")

# One row for each line: what the best evidence of the provider says was executed, net of returns.
_REPORTED = sql.SQL("""
    WITH best AS (
        SELECT DISTINCT ON (l.instruction_ref, o.outcome = 'returned')
               l.instruction_ref, o.outcome,
               coalesce(o.amount_minor, l.amount_minor) AS amount_minor
        FROM payments.said o JOIN payments.line l USING (plan_id, line_no)
        WHERE l.cycle_id = %(cycle)s AND o.outcome <> 'unknown' AND o.outcome <> 'accepted'
        ORDER BY l.instruction_ref, o.outcome = 'returned', o.evidence DESC, o.observation_id)
    SELECT instruction_ref,
           sum(CASE WHEN outcome IN ('executed', 'delivered') THEN amount_minor
                    WHEN outcome = 'returned' THEN -amount_minor ELSE 0 END)::bigint
             AS amount_minor,
           CASE WHEN bool_or(outcome = 'returned') THEN 'returned' ELSE min(outcome) END AS outcome
    FROM best GROUP BY instruction_ref
""")

# Statement lines of the cycle, and those of the cycle's providers that are on no plan at all.
_BOOKED = sql.SQL("""
    SELECT s.provider || '/' || s.account || '/' || s.statement_id || '/' || s.line_id AS line_id,
           s.ref AS instruction_ref, s.amount_minor, s.kind, s.booked_on
    FROM payments.statement_line s
    LEFT JOIN payments.line l USING (plan_id, line_no)
    WHERE s.kind <> 'funding'
      AND (l.cycle_id = %(cycle)s
       OR (s.plan_id IS NULL
           AND s.provider IN (SELECT provider FROM payments.plan WHERE cycle_id = %(cycle)s)))
""")


# Fees that are in the books: `funding.book_fees` names the statement line in the entry's key. And
# what people or rules have matched with other entries, or two people have written off: a matched
# line of a plan is not said twice, its instruction is in the books' net already. What two people
# have written off of the books' own lines is taken off that net: no statement shows it.
_COVERED = sql.SQL("""
    SELECT substr(e.key, 5) AS line_id, l.amount_minor
    FROM books.entry e JOIN books.leg l USING (entry_id) JOIN books.account a USING (account_id)
    WHERE starts_with(e.key, 'fee/') AND a.chart_code IN ('1010', '1110')
    UNION ALL
    SELECT concat_ws('/', b.provider, b.account, b.statement_id, b.line_id), c.applied_minor
    FROM recon.source s
    JOIN recon.line l USING (source_id)
    JOIN recon.clearing c USING (line_no)
    JOIN recon.run r USING (run_id)
    JOIN payments.statement_line b ON b.provider = s.comparison AND b.line_id = l.line_id
      AND b.account || '/' || b.statement_id = l.statement_id
    WHERE s.side = 'theirs' AND s.kind = 'statement'
      AND s.comparison IN (SELECT provider FROM payments.plan WHERE cycle_id = %(cycle)s)
      AND (r.act = 'write_off'
           OR (b.plan_id IS NULL OR b.kind NOT IN ('payment', 'return'))
              AND NOT EXISTS (SELECT FROM books.entry f WHERE f.key = concat_ws(
                    '/', 'fee', b.provider, b.account, b.statement_id, b.line_id)))
    UNION ALL
    SELECT t.instruction_ref, -c.applied_minor
    FROM recon.source s
    JOIN recon.line l USING (source_id)
    JOIN recon.write_off w USING (line_no)
    JOIN recon.run r USING (write_off_id)
    JOIN recon.clearing c ON (c.run_id, c.line_no) = (r.run_id, l.line_no)
    JOIN books.entry e ON e.entry_ref = l.statement_id
    JOIN books.transfer t ON t.transfer_id = (e.entry_id << 24)
      | CASE WHEN l.line_id ~ '^transfer/[0-9]{1,8}$' THEN substr(l.line_id, 10)::bigint END
    WHERE s.side = 'ours' AND s.code = s.comparison || ' books'
      AND s.comparison IN (SELECT provider FROM payments.plan WHERE cycle_id = %(cycle)s)
      AND t.instruction_ref IS NOT NULL
""")


_STAGES = 2  # compared, kept
# How far books and documents had come, how many lines there are, and what the latest reconciliation
# was made of.
_KNOWN = """
    SELECT (SELECT coalesce(max(transfer_id), 0) FROM books.transfer),
           (SELECT count(*) FROM payments.document WHERE provider IN
             (SELECT provider FROM payments.plan WHERE cycle_id = %s)),
           (SELECT coalesce(sum(lines), 0)::bigint FROM payments.plan WHERE cycle_id = %s)
"""
_LATEST = """
    SELECT r.reconciliation_id, a.body_hash FROM payments.reconciliation r
    JOIN ops.act a ON a.key = 'reconcile:' || r.reconciliation_id
    WHERE r.cycle_id = %s ORDER BY r.at DESC, r.reconciliation_id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A stored comparison; sums in minor units."""

    reconciliation_id: str
    planned_minor: int
    ledger_minor: int
    reported_minor: int
    booked_minor: int
    pending_lines: int
    unexplained_minor: int
    differences: Sequence[Difference]


def reconcile(
    conn: Connection,
    cycle_id: str,
    *,
    person_id: str,
    at: datetime,
    progress: Progress | None = None,
) -> Reconciliation:
    """Compare everything known of the cycle and store the result with its differences.

    Where nothing has changed since the latest reconciliation, the answer is that one. `progress` is
    told how often a line of the cycle has gone through one of the two stages. Raises
    `role_missing`.
    """
    staff.require(conn, person_id, "finance")
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", (cycle_id,))
    *known, lines = conn.execute(_KNOWN, (cycle_id, cycle_id)).fetchone() or (0, 0, 0)
    through = stages(progress, _STAGES, lines)
    comparison: Comparison = reconciliation.compare(
        conn, expected=_EXPECTED, reported=_REPORTED, booked=_BOOKED, covered=_COVERED,
        params={"cycle": cycle_id},
    )  # fmt: skip
    next(through)
    pending = sum(1 for d in comparison.differences if d.name == "pending")
    result = Reconciliation(
        new_id("rec", at), comparison.planned_minor, comparison.ledger_minor,
        comparison.reported_minor, comparison.booked_minor, pending, comparison.unexplained_minor,
        comparison.differences,
    )  # fmt: skip
    _, *sums, differences = astuple(result)
    body = {"cycle": cycle_id, "known": known, "sums": sums, "differences": differences}
    latest = conn.execute(_LATEST, (cycle_id,)).fetchone()
    if latest is not None and bytes(latest[1]) == acts.body_hash(body):
        return replace(result, reconciliation_id=latest[0])
    _store(conn, cycle_id, result, known, (person_id, at))
    next(through)
    acts.record(
        conn, key=f"reconcile:{result.reconciliation_id}", verb="reconcile", object_id=cycle_id,
        body=body, person_id=person_id, at=at, answer={"reconciliation": result.reconciliation_id},
    )  # fmt: skip
    return result


def _store(
    conn: Connection,
    cycle_id: str,
    result: Reconciliation,
    known: Sequence[int],
    by: tuple[str, datetime],
) -> None:
    conn.execute(
        "INSERT INTO payments.reconciliation (reconciliation_id, cycle_id, planned_minor,"
        " ledger_minor, reported_minor, booked_minor, pending_lines, unexplained_minor,"
        " last_transfer_id, documents, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (result.reconciliation_id, cycle_id, result.planned_minor, result.ledger_minor,
         result.reported_minor, result.booked_minor, result.pending_lines,
         result.unexplained_minor, *known, *by),
    )  # fmt: skip
    columns = "reconciliation_id, difference_no, name, instruction_ref, line_id, amount_minor"
    with (
        conn.cursor() as cursor,
        cursor.copy(f"COPY payments.difference ({columns}, explained, owner) FROM STDIN") as copy,
    ):
        for number, d in enumerate(result.differences, start=1):
            copy.write_row((
                result.reconciliation_id, number, d.name, d.instruction_ref, d.line_id,
                d.amount_minor, d.explained, OWNERS[d.name],
            ))  # fmt: skip


def close_cycle(
    conn: Connection, cycle_id: str, *, person_id: str, passphrase: str, at: datetime
) -> str:
    """Close the cycle on its latest reconciliation; returns that reconciliation's id.

    Raises `never_reconciled`, `reconciliation_outdated`, `cycle_not_reconciled`,
    `cycle_has_open_lines`, `role_missing`, `passphrase_wrong`. A second close of the same cycle
    changes nothing.
    """
    key, body = f"close:{cycle_id}", {"cycle": cycle_id}
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return str(earlier["reconciliation"])
    row = conn.execute(
        "SELECT reconciliation_id FROM payments.reconciliation WHERE cycle_id = %s"
        " ORDER BY at DESC, reconciliation_id DESC LIMIT 1",
        (cycle_id,),
    ).fetchone()
    if row is None:
        raise NEVER_RECONCILED.refusal(cycle=cycle_id)
    message = f"cva/cycle-close/v1\n{cycle_id}\n{row[0]}\n".encode()
    signature = staff.sign(conn, person_id, passphrase, message)
    with _in_currency_of(conn, cycle_id):
        conn.execute(
            "INSERT INTO programme.cycle_close"
            " (cycle_id, reconciliation_id, person_id, signature, at) VALUES (%s, %s, %s, %s, %s)",
            (cycle_id, row[0], person_id, signature, at),
        )
    acts.record(
        conn, key=key, verb="close", object_id=cycle_id, body=body, person_id=person_id, at=at,
        answer={"reconciliation": row[0]},
    )  # fmt: skip
    return str(row[0])


@contextmanager
def _in_currency_of(conn: Connection, cycle_id: str) -> Iterator[None]:
    """Let the refusal of the database, which knows no currency, say its amount in the cycle's."""
    row = conn.execute(
        "SELECT min(currency) FROM payments.plan WHERE cycle_id = %s", (cycle_id,)
    ).fetchone()
    try:
        with refusals():
            yield
    except Refusal as refusal:
        if refusal.problem is not CYCLE_NOT_RECONCILED or row is None:
            raise
        facts = {name: refusal.facts[name] for name in ("unexplained_minor", "pending_lines")}
        raise CYCLE_NOT_RECONCILED.refusal(**with_amounts({**facts, "currency": row[0]})) from None
