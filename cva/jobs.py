"""Jobs: a long step that others can watch and cancel while it runs, and that nobody loses sight of.

A step that may take long is a *job*: who runs what since when, how much of it is done, and how it
ended. All of that is written on a connection of its own, so that it is seen at once, whatever the
step's own transaction is doing. A thread of the job tells the counts once a second and looks
whether somebody asked it to stop. Work tells its counts by a call (`cva.progress.Progress`).

A job is cancelled as Ctrl-C would: by a signal that reaches the work wherever it is, in a statement
of the database too, and makes it roll back. Two things are never cut: a commit, because what is
committed is done; and the work of a job that may not be cut (`Work.may_be_cut`), such as handing a
file over, which stops where it next tells its counts.

A job whose process was killed has not ended and does not hold its lock any more: it is *gone*.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from types import FrameType

import psycopg
from psycopg.errors import InvalidSchemaName, UndefinedTable
from sqlalchemy import Engine, event

from cva import acts
from cva.clock import ZONE, Clock
from cva.database.connect import driver_of, understood
from cva.identifiers import new_id
from cva.progress import Progress
from ledgers.problems import Answer, Problem, Refusal

JOB_CANCELLED = Problem(
    "job_cancelled",
    "The job {job} was cancelled by {who} at {at}; {kept}.",
    "Type the same command when it may go on: it does again what was not done.",
)
JOB_NOT_FOUND = Problem(
    "job_not_found", "There is no job {job}.", "List them: `cva jobs list --all`.", Answer.NOT_FOUND
)
JOB_HAS_ENDED = Problem(
    "job_has_ended",
    "The job {job} is not running any more: it is {state}.",
    "Look at it with `cva jobs list --all`; the command that stands there does it again.",
)

SECONDS_BETWEEN = 1
_LOCK = "SELECT pg_advisory_lock(hashtextextended('job:' || %s, 0))"
_BEGIN = """
    INSERT INTO ops.job (job_id, verb, object_id, counted, command, person_id, begun_at)
    VALUES (%s, %s, %s, %s, %s, (SELECT person_id FROM staff.person WHERE login = %s), %s)
"""
_TELL = """
    INSERT INTO ops.job_progress (job_id, done, total, seconds) VALUES (%s, %s, %s, %s)
    ON CONFLICT (job_id) DO UPDATE
    SET (done, total, seconds) = (excluded.done, excluded.total, excluded.seconds)
"""
_END = "INSERT INTO ops.job_end (job_id, outcome, ended_at) VALUES (%s, %s, %s)"
_CANCEL = "INSERT INTO ops.job_cancel (job_id, person_id, at) VALUES (%s, %s, %s)"
_ASKED = """
    SELECT p.login, c.at FROM ops.job_cancel c JOIN staff.person p USING (person_id)
    WHERE c.job_id = %s
"""


@dataclass(frozen=True, slots=True)
class Work:
    """What is about to be done."""

    verb: str
    object_id: str
    counted: str  # a plural
    command: str  # as it was typed
    login: str | None  # of who runs it, where somebody said so
    may_be_cut: bool = True  # otherwise it stops only where it tells its counts


class _Stop(KeyboardInterrupt):
    """Ctrl-C by somebody else: what clears up after the one clears up after the other."""


@contextmanager
def running(
    engine: Engine, work: Work, clock: Clock, show: Progress | None = None
) -> Iterator[Progress]:
    """Run the work as a job; give the progress to be told, which `show` is told too.

    A database that knows no jobs yet lets it run unseen: the work says what is wrong with it.
    Raises `job_cancelled` and what `cva.database.connect.transaction` raises.
    """
    job = _Job(work, new_id("job", clock.now()), show)
    try:
        with (
            _own_connection(engine) as connection,
            _watched(job, engine, connection, clock),
            _open_to_stops(job),
        ):
            yield job
    except BaseException:
        if not job.is_stopped or job.asked is None:
            raise
        who, at = job.asked
        raise JOB_CANCELLED.refusal(
            job=job.job_id, who=who, at=f"{at.astimezone(ZONE):%Y-%m-%d %H:%M}",
            kept="what it had finished is kept" if job.commits else "nothing was changed",
        ) from None  # fmt: skip


def cancel(conn: psycopg.Connection, job_id: str, *, person_id: str, at: datetime) -> None:
    """Ask a job to stop; the same request again changes nothing.

    Who runs it may, and an administrator. Raises `job_not_found`, `job_has_ended`, `role_missing`.
    """
    key, body = f"cancel-job:{job_id}", {"job": job_id}
    if acts.already(conn, key, body) is not None:
        return
    row = conn.execute("SELECT state FROM ops.job_state WHERE job_id = %s", (job_id,)).fetchone()
    if row is None:
        raise JOB_NOT_FOUND.refusal(job=job_id)
    if row[0] != "running":
        raise JOB_HAS_ENDED.refusal(job=job_id, state=row[0])
    conn.execute(_CANCEL, (job_id, person_id, at))
    acts.record(
        conn, key=key, verb="cancel_job", object_id=job_id, body=body, person_id=person_id, at=at,
        answer={"job": job_id},
    )  # fmt: skip


class _Job:
    """A job while it runs: its counts, whether somebody wants it to stop, whether it may now."""

    def __init__(self, work: Work, job_id: str, show: Progress | None) -> None:
        self.work = work
        self.job_id = job_id
        self.show = show
        self.done = 0
        self.total: int | None = None
        self.asked: tuple[str, datetime] | None = None
        self.is_open = False  # it may be stopped
        self.is_stopped = False  # which happens once
        self.is_committing = False
        self.commits = 0
        self.begun = time.monotonic()
        self.ended = threading.Event()

    def __call__(self, done: int, total: int | None) -> None:
        self.done, self.total = done, total
        if self.show is not None:
            self.show(done, total)
        if self.asked is not None:
            self._stop()

    def on_signal(self, _: int, __: FrameType | None) -> None:
        """Stop the work where it is; if not now, the signal comes again."""
        if self.work.may_be_cut and not self.is_committing:
            self._stop()

    def on_commit(self, _: object) -> None:
        self.is_committing = True  # what is committed is done; what follows it only clears up
        self.commits += 1

    def on_begin(self, _: object) -> None:
        self.is_committing = False

    def watch(self, connection: psycopg.Connection, worker: int | None) -> None:
        """Tell the counts and look for a request, once a second; `worker` hears signals."""
        with suppress(psycopg.Error):  # watching never stops the work
            while not self.ended.wait(SECONDS_BETWEEN):
                self.tell(connection)
                self.asked = connection.execute(_ASKED, (self.job_id,)).fetchone()
                if self.asked is not None and worker is not None:
                    signal.pthread_kill(worker, signal.SIGUSR1)

    def tell(self, connection: psycopg.Connection) -> None:
        seconds = round(time.monotonic() - self.begun)
        connection.execute(_TELL, (self.job_id, self.done, self.total, seconds))

    def outcome_of(self, error: BaseException) -> str:
        if self.is_stopped:
            return "cancelled"
        if isinstance(error, KeyboardInterrupt):
            return "interrupted"
        return "refused" if isinstance(error, Refusal) else "failed"

    def _stop(self) -> None:
        if self.is_open and not self.is_stopped:
            self.is_stopped = True
            raise _Stop


@contextmanager
def _open_to_stops(job: _Job) -> Iterator[None]:
    job.is_open = True
    try:
        yield
    finally:
        job.is_open = False


@contextmanager
def _own_connection(engine: Engine) -> Iterator[psycopg.Connection]:
    with understood(), engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        try:
            yield driver_of(connection.connection.driver_connection)
        finally:
            connection.invalidate()  # with the lock that it holds


@contextmanager
def _watched(
    job: _Job, engine: Engine, connection: psycopg.Connection, clock: Clock
) -> Iterator[None]:
    work, outcome = job.work, "done"
    try:
        connection.execute(_LOCK, (job.job_id,))
        connection.execute(
            _BEGIN,
            (job.job_id, work.verb, work.object_id, work.counted, work.command, work.login,
             clock.now()),
        )  # fmt: skip
    except (UndefinedTable, InvalidSchemaName):
        yield
        return
    in_main = threading.current_thread() is threading.main_thread()
    worker = threading.get_ident() if in_main else None  # Python hears signals there only
    before = signal.signal(signal.SIGUSR1, job.on_signal) if in_main else None
    watcher = threading.Thread(target=job.watch, args=(connection, worker))
    watched = {"commit": job.on_commit, "begin": job.on_begin}
    for name, listener in watched.items():
        event.listen(engine, name, listener)
    watcher.start()
    try:
        yield
    except BaseException as error:
        outcome = job.outcome_of(error)
        raise
    finally:
        job.ended.set()
        watcher.join()
        for name, listener in watched.items():
            event.remove(engine, name, listener)
        if in_main:
            signal.signal(signal.SIGUSR1, before)
        with suppress(psycopg.Error):
            job.tell(connection)
            connection.execute(_END, (job.job_id, outcome, clock.now()))
