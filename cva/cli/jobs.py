"""`cva jobs`: the long steps that run now, how far they are, and a way to stop one."""

import typer

from cva import jobs
from cva.cli.output import Cell, Shape, say, show
from cva.cli.session import open_session
from cva.progress import rate, time_left

app = typer.Typer(help="Long steps: who runs what, how far it is, cancel.", no_args_is_help=True)

COLUMNS = (
    "job", "step", "of", "by", "since", "state", "counts", "done", "total", "rate", "left", "again",
)  # fmt: skip
# What a later job of the same step has done needs nobody to go on with it.
_JOBS = """
    SELECT j.job_id, j.verb, j.object_id, p.login, j.begun_at, j.state, j.counted, j.done, j.total,
           j.seconds, j.command
    FROM ops.job_state j LEFT JOIN staff.person p USING (person_id)
    WHERE %(all)s OR j.state IN ('running', 'cancelling') OR j.state = 'gone' AND NOT EXISTS (
      SELECT FROM ops.job_state n
      WHERE (n.verb, n.object_id, n.state) = (j.verb, j.object_id, 'done')
        AND n.begun_at >= j.begun_at)
    ORDER BY j.begun_at, j.job_id
"""


@app.command("list")
def list_jobs(
    every: bool = typer.Option(False, "--all", help="Also those that have ended."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """List the long steps that run now, and those whose process is gone with the command to type.

    States: running, cancelling, done, refused, cancelled, interrupted, failed, gone.
    """
    session = open_session()
    with session.reading() as conn:
        found = conn.execute(_JOBS, {"all": every}).fetchall()
    rows: list[tuple[Cell, ...]] = [
        (job, verb, of, by, since, state, counted, done, total,
         rate(done, seconds) if done and seconds else "",
         time_left(done, total, seconds) if state == "running" and done and total else "",
         "" if state in ("running", "cancelling", "done") else command)
        for job, verb, of, by, since, state, counted, done, total, seconds, command in found
    ]  # fmt: skip
    show(COLUMNS, rows, shape)


@app.command()
def cancel(job: str) -> None:
    """Ask a running step to stop: it rolls back what it had not finished, and says so."""
    session = open_session()
    with session.transaction() as conn:
        jobs.cancel(conn, job, person_id=session.person_id, at=session.clock.now())
    say(f"The job {job} stops as soon as it can; see: cva jobs list --all")
