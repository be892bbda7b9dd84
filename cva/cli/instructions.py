"""`cva payments lines` and `line`: from a figure down to one instruction and what proves it.

Nothing here is personal: a household is its id, and what a provider said is told without the text
of its documents.
"""

import typer
from psycopg import Connection

from cva.cli.output import Cell, Money, Shape, show
from cva.cli.session import open_session
from cva.payments.redemptions import wallet_of
from ledgers.problems import Answer, Problem

LINE_NOT_FOUND = Problem(
    "line_not_found",
    "No plan has a line with the reference {ref}.",
    "List the lines of the plan and name one of them.",
    Answer.NOT_FOUND,
)

_LINES = """
    SELECT s.instruction_ref, s.household_id, s.state, coalesce(s.stopped, ''), s.amount_minor,
           s.loaded_minor, s.returned_minor, p.currency, s.people, coalesce(s.province, '?'),
           coalesce(s.population_group, '?'), s.delivered_on
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


def lines(
    plan: str,
    state: str = typer.Option("", help="Only lines of this state, such as unknown."),
    province: str = typer.Option("", help="Only lines of this province, such as TR-63."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """List the lines of a plan with what became of each."""
    session = open_session()
    with session.reading() as conn:
        found = conn.execute(
            _LINES, {"plan": plan, "state": state, "province": province}
        ).fetchall()
    show(
        ["instruction", "household", "state", "stopped", "amount", "loaded", "returned", "people",
         "province", "group", "delivered"],
        [(ref, household, now, stopped, Money(amount, currency), Money(loaded, currency),
          Money(returned, currency), people, where, group, delivered)
         for ref, household, now, stopped, amount, loaded, returned, currency, people, where, group,
             delivered in found],
        shape,
    )  # fmt: skip


def line(instruction: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Show one line: what was planned, said and booked, and the wallet that it loads."""
    session = open_session()
    with session.reading() as conn:
        planned = _planned(conn, instruction)
        said = conn.execute(_SAID, (instruction,)).fetchall()
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


def _planned(conn: Connection, instruction: str) -> tuple[Cell, ...]:
    row = conn.execute(_LINE, (instruction,)).fetchone()
    if row is None:
        raise LINE_NOT_FOUND.refusal(ref=instruction)
    plan, household, kind, attempt, state, amount, currency, version = row
    return plan, household, kind, attempt, state, Money(amount, currency), str(version)
