"""`cva duplicates`: registrations that share a strong identifier, and what people decide."""

import typer

from cva.cli.output import Shape, say, show
from cva.cli.session import open_session
from cva.registry import duplicates
from cva.registry.duplicates import Verdict

app = typer.Typer(help="Duplicates: review and decide.", no_args_is_help=True)


@app.command()
def review(shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List the pairs of households that nobody has decided about."""
    session = open_session()
    with session.reading() as conn:
        rows = [(pair.left_id, pair.right_id) for pair in duplicates.open_pairs(conn)]
    show(["left", "right"], rows, shape)


@app.command()
def decide(
    left: str,
    right: str,
    same: bool = typer.Option(..., "--same/--different", help="One household, or two."),
    keep: str = typer.Option("", help="For --same: the household that stays."),
    reason: str = typer.Option(..., help="What the decision rests on."),
) -> None:
    """Decide about a pair: the same household (one stays), or two different ones."""
    session = open_session()
    with session.transaction() as conn:
        duplicates.decide(
            conn, left, right, Verdict.SAME if same else Verdict.DIFFERENT, keep or None, reason,
            person_id=session.person_id, at=session.clock.now(),
        )  # fmt: skip
    say("Decided; a follow-up takes up the lines that were stopped for it.")
