"""Observing: what providers say is kept for ever, and what they do not say is UNKNOWN.

Every document is stored sealed with its checksum before it is believed; the same document again
changes nothing. Its observations, statement lines and balances join the plan's lines by reference,
in sets. Once the provider's answers were fetched, a line that was handed over and that nothing was
said about is UNKNOWN: recorded as such, and asked about; neither paid again nor called failed.
"""

import hashlib
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from psycopg import Connection
from sqlalchemy import Engine

from adapters.port import (
    Document,
    Evidence,
    Observation,
    Order,
    Outcome,
    StatementBalance,
    StatementLine,
)
from cva import acts, staff
from cva.clock import Clock
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.payments.accounts import day_of
from cva.payments.planning import Plan
from cva.progress import Progress
from cva.providers import Provider
from cva.vault import Vault
from ledgers import money
from ledgers.problems import Finding, Place, Problem

STATEMENT_LINE_CHANGED = Problem(
    "statement_line_changed",
    "The statement line {line} was read before with another amount.",
    "Keep both documents and ask the provider which one stands.",
)
UNKNOWN_REFERENCE = Problem(
    "unknown_reference",
    "The provider names {count:reference that is|references that are} on no plan of ours.",
    "They appear as unexpected in the reconciliation; ask the provider what they are.",
)
NO_INQUIRY = Problem(
    "no_inquiry",
    "The provider {provider} takes no questions about single instructions.",
    "Wait for its statement, or record its letter: `cva payments answer`.",
)


@dataclass(frozen=True, slots=True)
class Collected:
    """What one call to collect brought in."""

    documents: int
    known_before: int
    observations: int
    statement_lines: int
    findings: int
    unknown_lines: int


class Kept(NamedTuple):
    """A document as it is kept; `is_new`: nobody had handed these bytes in before."""

    document_id: str
    sha256: bytes
    is_new: bool


# Observations (with an outcome) and statement lines (with a line_id) as the document has them: one
# table for both, because COPY fills one at a time and a document is read once.
_STAGE = """
    CREATE TEMPORARY TABLE reading (
        seq integer, ref text, amount_minor bigint, currency text, reason_code text, on_date date,
        outcome text, evidence smallint, message_id text, provider_ref text,
        line_id text, kind text, account text, statement_id text) ON COMMIT DROP;
"""

_KEEP_OBSERVATIONS = """
    INSERT INTO payments.observation (document_id, plan_id, line_no, ref, message_id, outcome,
      evidence, amount_minor, currency, reason_code, provider_ref, observed_on, recorded_at)
    SELECT %(document)s, l.plan_id, l.line_no, r.ref, r.message_id, r.outcome, r.evidence,
      r.amount_minor, r.currency, r.reason_code, r.provider_ref, r.on_date, %(at)s
    FROM reading r LEFT JOIN payments.line l ON l.instruction_ref = r.ref
    WHERE r.outcome IS NOT NULL
    ORDER BY r.seq
"""

_KEEP_LINES = """
    INSERT INTO payments.statement_line (provider, account, statement_id, line_id, document_id,
      plan_id, line_no, ref, amount_minor, currency, booked_on, kind, reason_code)
    SELECT %(provider)s, r.account, r.statement_id, r.line_id, %(document)s, l.plan_id, l.line_no,
      r.ref, r.amount_minor, r.currency, r.on_date, r.kind, r.reason_code
    FROM reading r LEFT JOIN payments.line l ON l.instruction_ref = r.ref
    WHERE r.line_id IS NOT NULL
    ORDER BY r.seq
    ON CONFLICT DO NOTHING
"""

_CHANGED_LINES = """
    SELECT r.line_id FROM reading r JOIN payments.statement_line s
      ON (s.provider, s.account, s.statement_id, s.line_id)
       = (%s, r.account, r.statement_id, r.line_id)
    WHERE s.amount_minor <> r.amount_minor OR s.ref <> r.ref ORDER BY r.line_id
"""

# Accepted, asked for, and not a word about this line. What was handed over without an accepted
# answer is unknown already, and is sent again rather than asked about.
_SILENT_LINES = """
    INSERT INTO payments.observation (plan_id, line_no, ref, message_id, outcome, evidence,
      currency, reason_code, provider_ref, recorded_at)
    SELECT l.plan_id, l.line_no, l.instruction_ref, f.message_id, 'unknown', %(evidence)s, '',
      'NO_ANSWER', '', %(at)s
    FROM payments.file f
    JOIN payments.plan p USING (plan_id)
    JOIN payments.line l ON l.plan_id = f.plan_id AND l.line_no BETWEEN f.first_line AND f.last_line
    WHERE p.provider = %(provider)s AND l.stopped IS NULL
      AND NOT EXISTS (SELECT FROM programme.cycle_close c WHERE c.cycle_id = p.cycle_id)
      AND EXISTS (SELECT FROM payments.handover_answer a
                  WHERE a.file_id = f.file_id AND a.outcome = 'accepted')
      AND NOT EXISTS (SELECT FROM payments.not_taken n WHERE n.file_id = f.file_id)
      AND NOT EXISTS (SELECT FROM payments.observation o
                      WHERE o.message_id = f.message_id AND o.ref = '' AND o.outcome <> 'unknown')
      AND NOT EXISTS (SELECT FROM payments.observation o
                      WHERE (o.plan_id, o.line_no) = (l.plan_id, l.line_no))
"""

# A question cannot overtake a file that may still be on its way: "not found" would prove nothing.
_UNKNOWN_REFS = """
    SELECT s.instruction_ref FROM payments.line_state s
    WHERE s.plan_id = %s AND s.state = 'unknown' AND EXISTS (
      SELECT FROM payments.file f JOIN payments.handover_answer a USING (file_id)
      WHERE f.plan_id = s.plan_id AND s.line_no BETWEEN f.first_line AND f.last_line
        AND a.outcome = 'accepted'
        AND NOT EXISTS (SELECT FROM payments.not_taken n WHERE n.file_id = f.file_id))
    ORDER BY s.line_no
"""


def collect(
    engine: Engine,
    vault: Vault,
    provider: Provider,
    *,
    person_id: str,
    clock: Clock,
    progress: Progress | None = None,
) -> Collected:
    """Fetch and keep everything the provider has for us; one transaction for each document.

    `progress` is told how many documents were kept. Raises `role_missing`.
    """
    documents = known = 0
    counts: Counter[str] = Counter()
    with transaction(engine) as conn:
        staff.require(conn, person_id, "finance")
    for document in provider.channel.collect():
        documents += 1
        with transaction(engine) as conn:
            kept = keep(conn, vault, provider, document, person_id=person_id, at=clock.now())
        known += not kept
        counts.update(kept)
        if progress is not None:
            progress(documents, None)
    with transaction(engine) as conn:
        unknown = mark_silent_lines(conn, provider.code, clock.now())
    return Collected(
        documents, known, counts["observations"], counts["statement_lines"], counts["findings"],
        unknown,
    )  # fmt: skip


def keep(
    conn: Connection,
    vault: Vault,
    provider: Provider,
    document: Document,
    *,
    person_id: str,
    at: datetime,
) -> Counter[str]:
    """Keep one document with all it says; an empty counter means that it was known before."""
    staff.require(conn, person_id, "finance")
    document_id, sha256, is_new = keep_bytes(
        conn, vault, provider.code, document, person_id=person_id, at=at
    )
    if not is_new:
        return Counter()
    conn.execute(_STAGE)
    counts, findings = _stage(conn, provider, document, document_id)
    values = {"document": document_id, "provider": provider.code, "at": at}
    findings += [
        STATEMENT_LINE_CHANGED.finding(_place(document), line=line_id)
        for (line_id,) in conn.execute(_CHANGED_LINES, (provider.code,)).fetchall()
    ]
    conn.execute(_KEEP_OBSERVATIONS, values)
    conn.execute(_KEEP_LINES, values)
    findings += _unknown_references(conn, document)
    _keep_findings(conn, document_id, findings)
    conn.execute("DROP TABLE reading")
    counts["findings"] = len(findings)
    acts.record(
        conn, key=f"keep:{document_id}", verb="collect", object_id=document_id,
        body={"provider": provider.code, "sha256": sha256.hex()}, person_id=person_id, at=at,
        answer={name: counts[name] for name in ("observations", "statement_lines", "findings")},
    )  # fmt: skip
    return counts


def keep_bytes(
    conn: Connection,
    vault: Vault,
    provider_code: str,
    document: Document,
    *,
    person_id: str,
    at: datetime,
) -> Kept:
    """Keep a document sealed, once; the same bytes of the same provider are the same document."""
    sha256 = hashlib.sha256(document.content).digest()
    known = "SELECT document_id FROM payments.document WHERE (provider, sha256) = (%s, %s)"
    found = conn.execute(known, (provider_code, sha256)).fetchone()
    if found is None:  # looked up before sealing it, which costs more than all else
        found = conn.execute(
            "INSERT INTO payments.document (document_id, provider, sha256, name, size_bytes,"
            " sealed, person_id, received_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING RETURNING document_id",
            (new_id("doc", at), provider_code, sha256, document.name, len(document.content),
             vault.seal_document(provider_code, sha256, document.content), person_id, at),
        ).fetchone()  # fmt: skip
        if found is not None:
            return Kept(found[0], sha256, is_new=True)
        found = conn.execute(known, (provider_code, sha256)).fetchone()
    return Kept(str(found[0]) if found else "", sha256, is_new=False)


def mark_silent_lines(conn: Connection, provider_code: str, at: datetime) -> int:
    """Record UNKNOWN for every line that was handed over and that nothing was said about."""
    values = {"provider": provider_code, "at": at, "evidence": int(Evidence.ANSWER)}
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 5))", (provider_code,))
    return conn.execute(_SILENT_LINES, values).rowcount


def inquire(
    engine: Engine, provider: Provider, plan: Plan, *, person_id: str, clock: Clock, spool: Path
) -> int:
    """Ask the provider about every line of the plan whose outcome is unknown; returns how many.

    Lines of a file whose hand-over nobody accepted are not asked about: send the plan again.
    Raises `no_inquiry` where the provider takes no such questions.
    """
    with transaction(engine) as conn:
        staff.require(conn, person_id, "finance")
        refs = [ref for (ref,) in conn.execute(_UNKNOWN_REFS, (plan.plan_id,)).fetchall()]
        if not refs:
            return 0
        now = clock.now()
        inquiry_id = new_id("inq", now)
        acts.record(
            conn, key=inquiry_id, verb="inquire", object_id=plan.plan_id,
            body={"plan": plan.plan_id}, person_id=person_id, at=now, answer={"lines": len(refs)},
        )  # fmt: skip
    order = Order(
        message_id=inquiry_id.removeprefix("inq_").upper(),
        operation=provider.operation, created_at=now, execute_on=plan.execute_on,
        currency=plan.currency, exponent=money.exponent(plan.currency), control_count=len(refs),
        control_sum_minor=0, debtor_name=provider.debtor_name,
        debtor_account=provider.debtor_account, debtor_agent=provider.debtor_agent,
    )  # fmt: skip
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=spool) as folder:
        path = Path(folder) / f"{order.message_id}{provider.suffix}"
        with path.open("xb") as out:
            control = provider.format.inquiry(order, refs, out)
        if control is None:
            raise NO_INQUIRY.refusal(provider=provider.code)
        receipt = provider.channel.hand_over(path.name, path, control.sha256)
    return len(refs) if receipt.outcome is Outcome.ACCEPTED else 0


def _stage(
    conn: Connection, provider: Provider, document: Document, document_id: str
) -> tuple[Counter[str], list[Finding]]:
    # Nothing is gathered in memory but findings and balances, which are few.
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    balances: list[StatementBalance] = []
    with conn.cursor() as cursor, cursor.copy("COPY reading FROM STDIN") as copy:
        for seq, reading in enumerate(provider.format.read(document), start=1):
            match reading:
                case Observation():
                    counts["observations"] += 1
                    copy.write_row((seq, *_observed(reading), None, None, None, None))
                case StatementLine():
                    counts["statement_lines"] += 1
                    copy.write_row((seq, *_stated(reading)))
                case StatementBalance():
                    balances.append(reading)
                case Finding():
                    findings.append(reading)
    _keep_balances(conn, provider.code, document_id, balances)
    return counts, findings


def _observed(said: Observation) -> tuple[str | int | date | None, ...]:
    said_on = day_of(said.observed_at) if said.observed_at else None
    return (
        said.ref, said.amount_minor, said.currency, said.reason_code, said.moved_on or said_on,
        said.outcome.value, int(said.evidence), said.message_id, said.provider_ref,
    )  # fmt: skip


def _stated(line: StatementLine) -> tuple[str | int | date | None, ...]:
    return (
        line.ref, line.amount_minor, line.currency, line.reason_code, line.booked_on,
        None, None, None, None,
        line.line_id, line.kind, line.account, line.statement_id,
    )  # fmt: skip


def _keep_balances(
    conn: Connection, provider_code: str, document_id: str, balances: list[StatementBalance]
) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO payments.statement_balance (provider, account, statement_id, kind,"
            " document_id, amount_minor, currency, on_date) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [(provider_code, b.account, b.statement_id, b.kind, document_id, b.amount_minor,
              b.currency, b.on) for b in balances],
        )  # fmt: skip


def _unknown_references(conn: Connection, document: Document) -> list[Finding]:
    row = conn.execute(
        "SELECT count(DISTINCT ref) FROM reading r WHERE ref <> '' AND outcome IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM payments.line l WHERE l.instruction_ref = r.ref)"
    ).fetchone()
    count = int(row[0]) if row else 0
    return [UNKNOWN_REFERENCE.finding(_place(document), count=count)] if count else []


def _keep_findings(conn: Connection, document_id: str, findings: list[Finding]) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO payments.document_finding (document_id, finding_no, code, place, sentence)"
            " VALUES (%s, %s, %s, %s, %s)",
            [(document_id, number, f.problem.code, str(f.place), f.sentence)
             for number, f in enumerate(findings, start=1)],
        )  # fmt: skip


def _place(document: Document) -> Place:
    return Place(file=document.name)
