"""`cva cycle`: open, assess, reconcile, close; places and awards are in `selection`."""

from datetime import date, datetime

import typer

from cva.cli import selection
from cva.cli.output import Money, Shape, say, show, warn
from cva.cli.session import open_session
from cva.payments import reconciling
from cva.programmes import publishing

app = typer.Typer(help="Cycles: open, assess, reconcile, close.", no_args_is_help=True)
selection.add_to_cycles(app)
DATE = ["%Y-%m-%d"]
# A statement over a set cannot be counted while it runs: all rows go through stage after stage.
HOUSEHOLDS = "stages of households"
LINES = "stages of lines"


@app.command("open")
def open_cycle(
    programme: str,
    name: str = typer.Option(..., help="The cycle's name, such as 2026-03."),
    first: datetime = typer.Option(..., "--from", formats=DATE, help="Its first day."),
    last: datetime = typer.Option(..., "--to", formats=DATE, help="Its last day."),
) -> None:
    """Open a cycle of the newest version of a programme."""
    session = open_session()
    with session.transaction() as conn:
        cycle = publishing.open_cycle(
            conn, programme, name, first.date(), last.date(), person_id=session.person_id,
            at=session.clock.now(),
        )  # fmt: skip
    say(cycle.cycle_id)


@app.command("list")
def list_cycles(programme: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List a programme's cycles."""
    session = open_session()
    with session.reading() as conn:
        cycles = publishing.cycles_of(conn, programme)
    rows = [(c.cycle_id, c.name, c.starts_on, c.ends_on) for c in cycles]
    show(["cycle", "name", "from", "to"], rows, shape)


@app.command()
def assess(
    cycles: list[str] = typer.Argument(help="A cycle, or several that are decided in this order."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Decide who qualifies, who is served now and how much, from a frozen snapshot."""
    from cva.assessing import assess_cycles

    session = open_session()
    with session.working("assess", cycles[0], HOUSEHOLDS) as progress:
        runs = assess_cycles(
            session.engine, cycles, person_id=session.person_id, clock=session.clock,
            work=session.work, progress=progress,
        )  # fmt: skip
    show(
        ["run", "registered", "eligible", "review", "selected"],
        [(run.run_id, run.registered, run.eligible, run.review, run.selected) for run in runs],
        shape,
    )


@app.command()
def runs(cycle: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List the runs of a cycle, the latest first: what can be explained, replayed, compared on."""
    session = open_session()
    with session.reading() as conn:
        publishing.load_cycle(conn, cycle)
        rows = conn.execute(
            "SELECT r.run_id, r.at, p.login, r.registered, r.eligible, r.review, r.selected"
            " FROM assessment.run r JOIN staff.person p USING (person_id) WHERE r.cycle_id = %s"
            " ORDER BY r.at DESC, r.run_id DESC",
            (cycle,),
        ).fetchall()
    show(["run", "at", "by", "registered", "eligible", "review", "selected"], rows, shape,
         below=("by", "at"))  # fmt: skip


@app.command()
def decisions(cycle: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Count the latest decisions of a cycle by reason."""
    session = open_session()
    with session.reading() as conn:
        rows = conn.execute(
            "SELECT status, selected, reason, count(*), sum(people) FROM assessment.decision"
            " WHERE run_id = (SELECT run_id FROM assessment.run WHERE cycle_id = %s"
            " ORDER BY at DESC, run_id DESC LIMIT 1)"
            " GROUP BY status, selected, reason ORDER BY count(*) DESC, reason",
            (cycle,),
        ).fetchall()
    show(["status", "selected", "reason", "households", "people"], rows, shape)


@app.command()
def reconcile(cycle: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Compare plan, ledger, provider's reports and statement; name every difference."""
    session = open_session()
    with session.working("reconcile", cycle, LINES) as progress, session.transaction() as conn:
        result = reconciling.reconcile(
            conn, cycle, person_id=session.person_id, at=session.clock.now(), progress=progress
        )
        row = conn.execute(
            "SELECT min(currency) FROM payments.plan WHERE cycle_id = %s", (cycle,)
        ).fetchone()
        currency = str(row[0]) if row and row[0] else "TRY"
    rows = [
        (d.name, d.instruction_ref or d.line_id, Money(d.amount_minor, currency), d.explained,
         reconciling.OWNERS[d.name])
        for d in result.differences
    ]  # fmt: skip
    show(["difference", "of", "amount", "explained", "owner"], rows, shape)
    warn(f"unexplained difference {Money(result.unexplained_minor, currency)}")


@app.command()
def close(cycle: str) -> None:
    """Close a reconciled cycle; asks for your passphrase."""
    session = open_session()
    passphrase = session.passphrase()
    with session.transaction() as conn:
        reconciling.close_cycle(
            conn, cycle, person_id=session.person_id, passphrase=passphrase, at=session.clock.now()
        )
    say(f"The cycle {cycle} is closed.")


def day(moment: datetime | None, default: date) -> date:
    """Return the day an option gave, or the default."""
    return moment.date() if moment else default
