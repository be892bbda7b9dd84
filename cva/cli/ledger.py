"""`cva ledger`: balances, registers, funding entries, exports, verification."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path

import typer

from adapters.port import Operation
from cva import staff
from cva.cli import books, entry_lines, reconciliation, reports_of_books
from cva.cli.cycles import DATE
from cva.cli.output import Money, Shape, say, show
from cva.cli.session import Session, open_session
from cva.payments.funding import (
    Funding,
    book_fees,
    facts_of,
    fund,
    known_events,
    parse_facts,
)
from cva.programmes.publishing import versions_of
from ledgers import balances, exports, verification
from ledgers.money import parse_amount
from ledgers.problems import counted

app = typer.Typer(help="The books: balances, entries, exports.", no_args_is_help=True)
books.add_to(app)
entry_lines.add_to(app)
reconciliation.add_to(app)
reports_of_books.add_to(app)
REFUSED = 1
AS_OF = typer.Option(None, formats=["%Y-%m-%dT%H:%M:%S%z"], help="As it was known at this moment.")


class Export(StrEnum):
    """Whose format an export has."""

    BEANCOUNT = "beancount"  # checked with bean-check
    HLEDGER = "hledger"  # checked with hledger check
    LEDGER = "ledger"  # ledger-cli
    CSV = "csv"  # a general ledger, one row for each posting
    AUDIT_DATA = "audit-data"  # the Audit Data Standard's general ledger detail
    PARQUET = "parquet"  # the same in columns


@app.command("trial-balance")
def trial_balance(
    on: datetime | None = typer.Option(None, formats=DATE, help="Effective by this day."),
    as_of: datetime | None = AS_OF,
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Show every account: debits and credits posted, pending, available."""
    session = open_session()
    with session.reading(as_of) as conn:
        rows = balances.trial_balance(conn, on.date() if on else None, as_of)
    show_trial_balance(rows, shape)


@app.command()
def balance(
    account: str,
    on: datetime | None = typer.Option(None, formats=DATE, help="Effective by this day."),
    as_of: datetime | None = AS_OF,
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Show one account: now, on a day, as it was known at a moment."""
    session = open_session()
    with session.reading(as_of) as conn:
        found = balances.balance(conn, account, on.date() if on else None, as_of)
    show_trial_balance([found], shape)


@app.command()
def register(
    account: str,
    programme: str = typer.Option("", help="Only what is of this programme, by its code."),
    first: datetime | None = typer.Option(None, "--from", formats=DATE, help="The first day."),
    last: datetime | None = typer.Option(None, "--to", formats=DATE, help="The last day."),
    closing: bool = typer.Option(True, help="With the entries that close a year."),
    as_of: datetime | None = AS_OF,
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """List an account's entries with the running balance."""
    session = open_session()
    with session.reading(as_of) as conn:
        currency = balances.balance(conn, account).currency
        rows = [
            (line.effective_on, line.event, line.lines, Money(line.debit_minor, currency),
             Money(line.credit_minor, currency), Money(line.running_minor, currency), line.reason,
             line.entry_ref)
            for line in balances.register(
                conn, account, first.date() if first else None, last.date() if last else None,
                as_of, closing=closing,
                programmes=versions_of(conn, programme) if programme else None,
            )
        ]  # fmt: skip
    show(
        ["on", "event", "lines", "debit", "credit", "balance", "reason", "entry"], rows, shape,
        below=("entry", "reason", "lines", "event", "debit", "credit"),
    )  # fmt: skip


@app.command()
def entry(
    event: str = typer.Argument(help="budget_allotted, grant_received, provider_funded, …"),
    grant: str = typer.Option(..., help="The grant's code."),
    amount: str = typer.Option("", help="An amount such as 1250.50, where the event has one."),
    fact: list[str] = typer.Option([], help="A further fact, such as fee=12.50 or wallet=REF."),
    currency: str = typer.Option("TRY"),
    bank: str = typer.Option("", help="Our bank's code, where its account moves."),
    provider: str = typer.Option("", help="The provider's code, where its float moves."),
    reason: str = typer.Option(..., help="What it rests on: agreement, advice, file."),
    on: datetime | None = typer.Option(None, formats=DATE, help="The day; default today."),
    adjustment: bool = typer.Option(
        False, "--adjustment", help="For a period that takes adjustments only."
    ),
    corrects: str = typer.Option("", help="The entry that this one sets right: je_…"),
    key: str = typer.Option(..., help="Idempotency key: the same key records once."),
) -> None:
    """Record an event of the journal by hand: budget, grant, float, fee, claim, refund."""
    session = open_session()
    funding = Funding(
        event, grant, currency, parse_amount(amount, currency) if amount else None,
        on.date() if on else session.today, reason, bank, provider, parse_facts(fact),
        adjustment, corrects,
    )  # fmt: skip
    with session.transaction() as conn:
        done = fund(conn, funding, person_id=session.person_id, at=session.clock.now(), key=key)
    say(f"{done.entry_ref} {'was recorded before' if done.already else 'is recorded'}.")


@app.command("events")
def list_events(shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List the events that are recorded by hand, with the facts each takes."""
    rows = [
        (event.number, code, ", ".join(facts_of(event)), event.says)
        for code, event in known_events().items()
    ]
    show(["no", "event", "facts", "says"], rows, shape)


@app.command()
def fees(
    provider: str = typer.Argument(help="The provider's code."),
    grant: str = typer.Option(..., help="The code of the grant that bears them."),
) -> None:
    """Book the provider's charges that stand on its statements and not yet in the books."""
    session = open_session()
    operation = session.provider(provider).operation
    kind = "card_processor" if operation is Operation.LOAD else "bank"
    with session.transaction() as conn:
        staff.require(conn, session.person_id, staff.Role.FINANCE)
        booked = book_fees(
            conn, provider, kind, grant, person_id=session.person_id, at=session.clock.now()
        )
    say(f"Booked of {provider}: {counted(booked, 'charge', 'charges')}.")


@app.command()
def export(kind: Export, file: Path) -> None:
    """Write the books for an outside accountant's tool."""
    write_export(open_session(), kind, file)
    say(f"Written to {file}.")


@app.command()
def verify(shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Recompute everything from the log alone and say what was checked."""
    session = open_session()
    with session.reading() as conn:
        report = verification.verify(conn)
    show(
        ["check", "checked", "wrong", "example"],
        [(c.name, c.checked, c.wrong, c.example) for c in report.checks],
        shape, below=("example",),
    )  # fmt: skip
    if any(check.wrong for check in report.checks):
        raise typer.Exit(REFUSED)


def write_export(session: Session, kind: Export, file: Path) -> None:
    """Write the books to `file` in the format of `kind`."""
    if kind is Export.PARQUET:
        with session.reading() as conn, file.open("wb") as columns:
            exports.write_parquet(conn, columns)
        return
    writers = {
        Export.BEANCOUNT: exports.write_beancount,
        Export.HLEDGER: exports.write_hledger,
        Export.LEDGER: exports.write_ledger_cli,
        Export.CSV: exports.write_general_ledger,
        Export.AUDIT_DATA: exports.write_audit_data,
    }
    with session.reading() as conn, file.open("w", encoding="utf-8", newline="") as out:
        writers[kind](conn, out)


def show_trial_balance(rows: list[balances.AccountBalance], shape: Shape = Shape.TABLE) -> None:
    """Print accounts with their balances."""
    show(
        ["account", "name", "debit", "credit", "balance", "pending", "available"],
        [(row.code, row.name, Money(row.posted_debit_minor, row.currency),
          Money(row.posted_credit_minor, row.currency), Money(row.balance_minor, row.currency),
          Money(row.pending_minor, row.currency), Money(row.available_minor, row.currency))
         for row in rows],
        shape, below=("name", "pending", "available", "debit", "credit"),
    )  # fmt: skip
