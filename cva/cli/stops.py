"""`cva payments stops` and `assign`: what waits, whose work it is, and until when."""

import typer

from cva import staff
from cva.cli.output import Money, Shape, say, show
from cva.cli.session import open_session
from cva.payments import stopping


def add_to(app: typer.Typer) -> None:
    """Add the commands to `cva payments`."""
    app.command()(stops)
    app.command()(assign)


def stops(
    cycle: str,
    state: str = typer.Option("", help="Only waiting, answered, lapsed or escalated ones."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """List the stopped lines of a cycle with owner, age and deadline, the next deadline first."""
    session = open_session()
    now = session.clock.now()
    with session.reading() as conn:
        rows = [
            (s.plan_id, s.line_no, s.household_id, s.cause, Money(s.amount_minor, s.currency),
             s.person or s.owner, (now - s.since).days, s.due_at, s.state)
            for s in stopping.stopped_lines(conn, cycle, now)
            if state in ("", s.state)
        ]  # fmt: skip
    show(
        ["plan", "line", "household", "cause", "amount", "owner", "days", "deadline", "state"],
        rows, shape, below=("plan", "deadline", "amount", "household", "days", "owner"),
    )  # fmt: skip


def assign(
    plan: str,
    line: int,
    owner: str = typer.Argument(help="The login of who sees to it."),
    key: str = typer.Option("", help="Idempotency key: the same request again does nothing."),
) -> None:
    """Name the person who sees to a stopped line."""
    session = open_session()
    with session.transaction() as conn:
        stopping.assign(
            conn, plan, line, staff.person_of(conn, owner).person_id,
            person_id=session.person_id, at=session.clock.now(), key=key,
        )  # fmt: skip
    say(f"{owner} sees to line {line}.")
