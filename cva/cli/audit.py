"""`cva audit`: what was done, by whom, when."""

import typer

from cva.cli.output import Shape, show
from cva.cli.session import open_session
from cva.database.connect import Role

app = typer.Typer(help="What was done, by whom, when.", no_args_is_help=True)


@app.callback()
def audit() -> None:
    """Read as the database's read-only role."""


@app.command()
def log(
    last: int = typer.Option(50, min=1, max=100_000, help="How many acts, the newest last."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """List the acts recorded."""
    session = open_session(Role.AUDITOR)
    with session.reading() as conn:
        rows = conn.execute(
            "SELECT act_id, at, login, verb, object_id FROM (SELECT a.act_id, a.at, p.login,"
            " a.verb, a.object_id FROM ops.act a LEFT JOIN staff.person p USING (person_id)"
            " ORDER BY a.act_id DESC LIMIT %s) newest ORDER BY act_id",
            (last,),
        ).fetchall()
    show(["act", "at", "who", "verb", "object"], rows, shape)
