"""`cva payments lines`, `line` and `answer`: one instruction, what proves it, what a letter says.

Nothing here is personal: a household is its id, and what a provider said is told without the text
of its documents.
"""

from datetime import datetime
from pathlib import Path

import typer
from psycopg import Connection

from adapters.port import Document
from cva.cli.cycles import DATE
from cva.cli.output import Cell, Money, Shape, say, show
from cva.cli.session import open_session
from cva.payments import answering
from cva.payments.answering import LINE_NOT_FOUND, Reading, Standing
from cva.payments.redemptions import wallet_of
from ledgers.money import parse_amount

_LINES = """
    SELECT s.instruction_ref, s.household_id, s.state, coalesce(s.stopped, ''), s.amount_minor,
           s.loaded_minor, s.returned_minor, p.currency, s.people, coalesce(s.province, '?'),
           coalesce(s.population_group, '?'), s.delivered_on,
           CASE WHEN s.state IN ('pending', 'unknown') THEN (
             SELECT min(h.begun_at) FROM payments.file f JOIN payments.handover h USING (file_id)
             WHERE f.plan_id = s.plan_id AND s.line_no BETWEEN f.first_line AND f.last_line) END
    FROM payments.line_state s JOIN payments.plan p USING (plan_id)
    WHERE plan_id = %(plan)s AND (%(state)s = '' OR state = %(state)s)
      AND (%(province)s = '' OR province = %(province)s)
    ORDER BY line_no
"""

_LINE = """
    SELECT plan_id, household_id, kind, attempt, state, amount_minor, currency, version_id
    FROM payments.line_state JOIN payments.plan USING (plan_id, cycle_id)
    WHERE instruction_ref = %s
"""

_SAID = """
    SELECT coalesce(d.name, 'silence'), coalesce(left(encode(d.sha256, 'hex'), 16), ''), o.outcome,
           o.evidence, o.amount_minor, l.currency, o.reason_code, o.observed_on
    FROM payments.observation o
    JOIN (SELECT plan_id, line_no, currency FROM payments.line JOIN payments.plan USING (plan_id)
          WHERE instruction_ref = %s) l USING (plan_id, line_no)
    LEFT JOIN payments.document d USING (document_id) ORDER BY o.observation_id
"""

_READ = """
    SELECT w.login, d.name, left(encode(d.sha256, 'hex'), 16), a.amount_minor, p.currency,
           a.observed_on
    FROM payments.written_answer a JOIN payments.line l USING (plan_id, line_no)
    JOIN payments.plan p USING (plan_id)
    JOIN payments.document d USING (document_id)
    JOIN staff.person w ON w.person_id = a.person_id
    WHERE l.instruction_ref = %s ORDER BY a.answer_id
"""

_BOOKED = """
    SELECT e.entry_ref, e.event, e.effective_on, t.phase, d.code, c.code, t.amount_minor, t.currency
    FROM books.transfer t JOIN books.entry e USING (entry_id)
    JOIN books.account d ON d.account_id = t.debit_account_id
    JOIN books.account c ON c.account_id = t.credit_account_id
    WHERE t.instruction_ref = %s ORDER BY t.transfer_id
"""


def add_to(app: typer.Typer) -> None:
    """Add the commands to `cva payments`."""
    app.command("lines")(lines)
    app.command("line")(line)
    app.command("answer")(answer)


def lines(
    plan: str,
    state: str = typer.Option("", help="Only lines of this state, such as unknown."),
    province: str = typer.Option("", help="Only lines of this province, such as TR-63."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """List the lines of a plan with what became of each, and how many days an open one waits."""
    session = open_session()
    now = session.clock.now()
    with session.reading() as conn:
        found = conn.execute(
            _LINES, {"plan": plan, "state": state, "province": province}
        ).fetchall()
    show(
        ["instruction", "household", "state", "stopped", "amount", "loaded", "returned", "people",
         "province", "group", "delivered", "days"],
        [(ref, household, state, stopped, Money(amount, currency), Money(loaded, currency),
          Money(returned, currency), people, where, group, delivered,
          (now - handed).days if handed else None)
         for ref, household, state, stopped, amount, loaded, returned, currency, people, where,
             group, delivered, handed in found],
        shape,
    )  # fmt: skip


def line(instruction: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Show one line: what was planned, said and booked, and the wallet that it loads."""
    session = open_session()
    with session.reading() as conn:
        planned = _planned(conn, instruction)
        said = conn.execute(_SAID, (instruction,)).fetchall()
        read = conn.execute(_READ, (instruction,)).fetchall()
        booked = conn.execute(_BOOKED, (instruction,)).fetchall()
        wallet = wallet_of(conn, instruction)
    show(
        ["plan", "household", "kind", "attempt", "state", "amount", "registration"],
        [planned],
        shape, below=("registration", "attempt", "kind", "household"),
    )  # fmt: skip
    show(
        ["document", "sha256", "outcome", "evidence", "amount", "reason", "on"],
        [(name, sha, outcome, evidence, None if minor is None else Money(minor, currency), reason,
          on) for name, sha, outcome, evidence, minor, currency, reason, on in said],
        shape, "Said", below=("sha256", "reason", "document"),
    )  # fmt: skip
    if read:
        show(
            ["read by", "letter", "sha256", "paid", "on"],
            [(login, name, sha, Money(minor, currency), on)
             for login, name, sha, minor, currency, on in read],
            shape, "Letters",
        )  # fmt: skip
    show(
        ["entry", "event", "on", "phase", "debit", "credit", "amount"],
        [(entry, event, on, phase, debit, credit, Money(minor, currency))
         for entry, event, on, phase, debit, credit, minor, currency in booked],
        shape, "Booked", below=("event", "entry", "on"),
    )  # fmt: skip
    if wallet:
        show(
            ["wallet", "account", "loaded", "spent", "available"],
            [(one.wallet_ref, one.account, Money(one.loaded_minor, one.currency),
              Money(one.spent_minor, one.currency), Money(one.available_minor, one.currency))
             for one in wallet],
            shape, "Wallet",
        )  # fmt: skip


def answer(
    instruction: str,
    letter: Path,
    paid: str = typer.Option(
        ..., help="What it says was paid, such as 600.00; 0: nothing was, and nothing will be."
    ),
    on: datetime = typer.Option(..., formats=DATE, help="The day it names."),
    key: str = typer.Option("", help="Idempotency key: the same request again does nothing."),
) -> None:
    """Record what you read in the provider's letter about a line; two who read the same decide."""
    session = open_session()
    with session.transaction() as conn:
        currency = answering.currency_of(conn, instruction)
        reading = Reading(instruction, parse_amount(paid, currency), on.date())
        done = answering.answer(
            conn, session.vault, reading, Document(letter.name, letter.read_bytes()),
            person_id=session.person_id, at=session.clock.now(), key=key,
        )  # fmt: skip
    others = " and ".join(done.others)
    say(
        {
            Standing.WAITS: "Recorded. It decides once a second person reads the same letter.",
            Standing.DIFFERS: f"Recorded, but {others} read something else: nothing is decided."
            f" See both: cva payments line {instruction}",
            Standing.DECIDES: f"Recorded, as {others} read it: the next settlement books it.",
        }[done.standing]
    )


def _planned(conn: Connection, instruction: str) -> tuple[Cell, ...]:
    row = conn.execute(_LINE, (instruction,)).fetchone()
    if row is None:
        raise LINE_NOT_FOUND.refusal(ref=instruction)
    plan, household, kind, attempt, state, amount, currency, version = row
    return plan, household, kind, attempt, state, Money(amount, currency), str(version)
