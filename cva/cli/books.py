"""`cva ledger reverse|close-period|close-year|statement|wallet|opening|rate|revalue`: by hand."""

import sys
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path

import typer

from cva import bookkeeping
from cva.bookkeeping import Bookkeeper
from cva.cli.cycles import DATE
from cva.cli.output import Money, Part, Shape, say, show, show_parts
from cva.cli.session import Session, open_session
from cva.valuing import Valued, Valuing, value
from ledgers import periods, statements
from ledgers.attribution import loads_of
from ledgers.periods import PeriodState
from ledgers.problems import Answer, Problem, counted
from ledgers.rates import Rate
from ledgers.revaluation import Policy
from ledgers.statements import Subject
from ledgers.wallets import wallet_balances

RATE_UNREADABLE = Problem(
    "rate_unreadable",
    "{value} is not a rate.",
    "Write what one unit is worth as a decimal number, such as 41.2345.",
    Answer.USAGE,
)

SHAPE = typer.Option(Shape.TABLE, "--format")
REASON = typer.Option(..., help="Why; it is kept for ever, and must name no person.")
ON = typer.Option(None, formats=DATE, help="The day; default today.")


def add_to(app: typer.Typer) -> None:
    """Add these commands to `cva ledger`."""
    for name, command in (
        ("reverse", reverse), ("periods", list_periods), ("close-period", close_period),
        ("close-year", close_year), ("statement", statement), ("wallet", wallet),
        ("opening", opening), ("rate", rate), ("revalue", revalue),
    ):  # fmt: skip
        app.command(name)(command)


def reverse(
    entry: str = typer.Argument(help="The entry's reference: je_…"),
    reason: str = REASON,
    on: datetime | None = ON,
    adjustment: bool = typer.Option(
        False, "--adjustment", help="For a period that takes adjustments only."
    ),
) -> None:
    """Undo an entry by its exact mirror, once."""
    session = open_session()
    day = on.date() if on else session.today
    with session.transaction() as conn:
        done = bookkeeping.reverse(
            conn, _who(session), entry, on=day, reason=reason, adjustment=adjustment
        )
    say(f"{entry} {'was reversed before' if done.already else 'is reversed'} by {done.entry_ref}.")


def list_periods(shape: Shape = SHAPE) -> None:
    """List the periods of the books and what they take."""
    session = open_session()
    with session.reading() as conn:
        rows = [(p.starts_on, p.ends_on, str(p.state)) for p in periods.periods(conn)]
    show(["from", "to", "state"], rows, shape)


def close_period(
    ends_on: datetime = typer.Argument(formats=DATE, help="The last day of the period."),
    adjusting: bool = typer.Option(False, "--adjusting", help="Still take adjustments."),
    reason: str = REASON,
) -> None:
    """Close the books to a day, for good."""
    session = open_session()
    state = PeriodState.ADJUSTING if adjusting else PeriodState.CLOSED
    with session.transaction() as conn:
        changed = bookkeeping.change_period(conn, _who(session), ends_on.date(), state, reason)
    say(f"To {ends_on.date()} the books {'are' if changed else 'were already'} {state}.")


def close_year(
    ends_on: datetime = typer.Argument(formats=DATE, help="The last day of the year."),
    reason: str = REASON,
) -> None:
    """Carry each grant's revenue and expenses of the year to its fund balance."""
    session = open_session()
    with session.transaction() as conn:
        done = bookkeeping.close_year(conn, _who(session), ends_on.date(), reason)
    for recorded in done:
        say(f"{recorded.entry_ref} is recorded.")
    say(f"Recorded: {counted(len(done), 'closing entry', 'closing entries')}.")


def statement(
    subject: Subject = typer.Argument(help="What it is about."),
    code: str = typer.Argument(help="The code of the account, grant or provider."),
    first: datetime = typer.Option(..., "--from", formats=DATE, help="The first day."),
    last: datetime = typer.Option(..., "--to", formats=DATE, help="The last day."),
    log_size: int | None = typer.Option(None, help="As it was at this size of the log."),
    as_csv: bool = typer.Option(False, "--csv", help="As CSV instead of text."),
    out: Path | None = typer.Option(None, help="The file to write; default: the screen."),
) -> None:
    """Write a statement; for the same size of the log it is the same, byte for byte."""
    session = open_session()
    with session.reading() as conn:
        made = statements.statement(
            conn, subject, code, first.date(), last.date(), log_size=log_size
        )
    content = statements.as_csv(made) if as_csv else statements.as_text(made)
    if out is None:
        sys.stdout.buffer.write(content)
        return
    out.write_bytes(content)
    say(f"Written to {out}.")


def wallet(
    reference: str = typer.Argument(help="The wallet's reference."), shape: Shape = SHAPE
) -> None:
    """Show what stands on a wallet, and what is left of its loads, the oldest first."""
    session = open_session()
    with session.reading() as conn:
        standing = list(wallet_balances(conn, reference))
        left = [(b, load) for b in standing for load in loads_of(conn, reference, b.account)]
    on_it = [
        (b.account, Money(b.loaded_minor, b.currency), Money(b.spent_minor, b.currency),
         Money(b.available_minor, b.currency))
        for b in standing
    ]  # fmt: skip
    loads = [
        (load.ref, load.grant, b.account, Money(load.left_minor, b.currency)) for b, load in left
    ]
    show_parts(
        [
            Part("wallet", ["account", "loaded", "spent", "available"], on_it, ("loaded", "spent")),
            Part("loads", ["load", "grant", "account", "left"], loads, ("account", "load")),
        ],
        shape,
    )


def opening(
    file: Path = typer.Argument(help="CSV: account, debit, credit, currency, grant, …"),
    reason: str = REASON,
    on: datetime | None = ON,
) -> None:
    """Take over the balances of other books, all of them or none."""
    session = open_session()
    day = on.date() if on else session.today
    with session.transaction() as conn:
        done = bookkeeping.import_opening(conn, _who(session), file, on=day, reason=reason)
    say(f"{done.entry_ref} {'was recorded before' if done.already else 'is recorded'}.")


def rate(
    base: str = typer.Argument(help="The currency one unit of which is priced: USD."),
    value: str = typer.Argument(help="What it is worth: 41.2345."),
    quote: str = typer.Option("TRY", help="In which currency."),
    source: str = typer.Option(..., help="Who published it: TCMB, ECB, UNORE."),
    on: datetime | None = ON,
    revises: bool = typer.Option(False, help="It takes the place of the day's earlier rate."),
) -> None:
    """Record a rate of exchange with its source and day."""
    session = open_session()
    day = on.date() if on else session.today
    try:
        amount = Decimal(value)
    except InvalidOperation:
        raise RATE_UNREADABLE.refusal(value=value) from None
    wanted = Rate(source, base, quote, day, amount, 1)
    with session.transaction() as conn:
        kept = bookkeeping.add_rate(conn, _who(session), wanted, revises=revises)
    done = "was recorded before" if kept is None else f"is recorded, revision {kept.revision}"
    say(f"1 {base} = {amount} {quote} on {day} ({source}) {done}.")


def revalue(
    grant: list[str] = typer.Option(..., help="A grant's code; several by several options."),
    source: str = typer.Option(..., help="Whose rates: TCMB, ECB, UNORE."),
    quote: str = typer.Option("TRY", help="The grants' own currency."),
    policy: Policy = typer.Option(Policy.CUMULATIVE, help="What the next month makes of it."),
    adjustment: bool = typer.Option(False, "--adjustment", help="In a period being adjusted."),
    reason: str = REASON,
    on: datetime | None = ON,
    shape: Shape = SHAPE,
) -> None:
    """Book what exchanges and rates gained or lost until a day and is not booked yet."""
    session = open_session()
    day = on.date() if on else session.today
    asked = Valuing(grant, source, quote, day, reason, policy, adjustment)
    with session.transaction() as conn:
        done = value(conn, _who(session), asked)
    rows = [
        (each.grant, each.account, Money(each.balance_minor, each.currency),
         Money(each.carried_minor, quote), Money(each.valued_minor, quote),
         Money(each.gain_minor, quote), each.rate.reference)
        for each in done.differences
    ]  # fmt: skip
    show(
        ["grant", "account", "balance", "carried", "worth", "gain", "rate"], rows, shape,
        below=("rate", "carried", "grant"),
    )  # fmt: skip
    if shape is Shape.TABLE:
        _say_entries(done)


def _say_entries(done: Valued) -> None:
    for what, entries in (
        ("realised by exchanges", done.realised), ("revalued", done.revalued),
        ("realised since, for the currency has left", done.left),
    ):  # fmt: skip
        for entry in entries:
            say(f"{entry} is recorded: {what}.")
    if not (done.realised or done.revalued or done.left):
        say("Nothing was gained or lost that is not booked.")


def _who(session: Session) -> Bookkeeper:
    return Bookkeeper(session.person_id, session.clock.now())
