"""`cva ledger show`: one entry of the books, with every line it has."""

import typer

from cva.cli.output import Money, Part, Shape, say, show_parts
from cva.cli.session import open_session
from cva.programmes.publishing import versions_of
from ledgers.problems import Answer, Problem

ENTRY_NOT_FOUND = Problem(
    "entry_not_found",
    "The books have no entry {entry}.",
    "Copy the whole reference, je_…, as a register or `cva payments line` shows it.",
    Answer.NOT_FOUND,
)
LINES_SHOWN = 50

_HEAD = """
    SELECT e.entry_id, e.entry_ref, e.event, e.effective_on, e.recorded_at,
           coalesce(p.login, e.recorded_by), e.reason, o.entry_ref, c.entry_ref, s.first_position,
           (SELECT count(*) FROM books.leg l WHERE l.entry_id = e.entry_id)
             + (SELECT count(*) FROM books.transfers_of(e.entry_id))
    FROM books.entry e LEFT JOIN staff.person p ON p.person_id = e.recorded_by
    LEFT JOIN books.entry o ON o.entry_id = e.reverses
    LEFT JOIN books.entry c ON c.entry_id = e.corrects
    LEFT JOIN books.sealed_entry s ON s.entry_id = e.entry_id WHERE e.entry_ref = %s
"""

_LINES = """
    SELECT 'leg', leg_no, CASE WHEN amount_minor > 0 THEN a.code END,
           CASE WHEN amount_minor < 0 THEN a.code END, abs(amount_minor), l.currency, l.grant_code,
           l.location, NULL
    FROM books.leg l JOIN books.account a USING (account_id)
    WHERE entry_id = %(entry)s AND (%(province)s = '' OR l.location = %(province)s)
      AND (%(programmes)s::text[] IS NULL OR l.programme_id = ANY (%(programmes)s))
    UNION ALL
    SELECT t.phase, t.line_no, d.code, c.code, t.amount_minor, t.currency, t.grant_code,
           t.location, t.instruction_ref
    FROM books.transfers_of(%(entry)s) t
    JOIN books.account d ON d.account_id = t.debit_account_id
    JOIN books.account c ON c.account_id = t.credit_account_id
    WHERE (%(province)s = '' OR t.location = %(province)s)
      AND (%(programmes)s::text[] IS NULL OR t.programme_id = ANY (%(programmes)s))
    ORDER BY 2 LIMIT %(limit)s
"""


def add_to(app: typer.Typer) -> None:
    """Add the command to `cva ledger`."""
    app.command("show")(show_entry)


def show_entry(
    entry: str = typer.Argument(help="The entry's reference: je_…"),
    province: str = typer.Option("", help="Only lines of this province, such as TR-63."),
    programme: str = typer.Option("", help="Only lines of this programme, by its code."),
    limit: int = typer.Option(LINES_SHOWN, min=1, help="At most so many lines."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Show an entry: what, when, by whom, why, where in the log, and its lines."""
    session = open_session()
    with session.reading() as conn:
        row = conn.execute(_HEAD, (entry,)).fetchone()
        if row is None:
            raise ENTRY_NOT_FOUND.refusal(entry=entry[:40])
        number, *head, count = row
        values = {
            "entry": number, "province": province, "limit": limit,
            "programmes": list(versions_of(conn, programme)) if programme else None,
        }  # fmt: skip
        lines = [
            (place, phase, debit, credit, Money(minor, currency), grant, where, instruction)
            for phase, place, debit, credit, minor, currency, grant, where, instruction in
            conn.execute(_LINES, values)
        ]  # fmt: skip
    parts = [
        Part("entry", ("entry", "event", "on", "recorded", "by", "reason", "reverses", "corrects",
                       "position"), [tuple(head)],
             ("corrects", "reverses", "reason", "position", "by", "recorded")),
        Part("lines", ("line", "what", "debit", "credit", "amount", "grant", "province",
                       "instruction"), lines, ("grant", "province", "instruction")),
    ]  # fmt: skip
    show_parts(parts, shape)
    if shape is Shape.TABLE and not (province or programme) and count > len(lines):
        say(f"The first {len(lines):,} of {count:,} lines; --limit shows more.")
