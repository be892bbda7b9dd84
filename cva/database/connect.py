"""Connections: engines by role, transactions, and what database errors mean to people.

SQLAlchemy owns the pool and the transaction; statements are SQL, sent with psycopg on the
connection that `transaction` and `reading` hand out. The application works as `cva_app`, migrations
as `cva_owner`, auditors read as `cva_auditor`; the embedded server is the default, and
`DATABASE_URL` or either of its two companions names another one.

What leaves a transaction is a designed refusal wherever there is one. Any other database error
keeps its type and loses its text, because texts of the database quote rows.
"""

import atexit
import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.errors import DiskFull, InsufficientPrivilege, UndefinedTable
from sqlalchemy import URL, Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from cva.database.cluster import Cluster, Role
from cva.disk import DISK_FULL
from cva.settings import Settings
from ledgers.problems import Answer, Problem, Refusal
from ledgers.refusals import refusal_of

__all__ = [
    "Role",
    "address",
    "driver_of",
    "engine_at",
    "engine_of",
    "reading",
    "transaction",
    "understood",
]

GONE = Problem(
    "database_gone",
    "The database does not answer, or does not let this program in.",
    "Check with `cva doctor` that it runs; the work can be repeated, nothing was half done.",
)
NOT_PERMITTED = Problem(
    "database_not_permitted",
    "The database does not permit this to the role in use.",
    "Ask somebody whose role permits it; auditors read only.",
    Answer.NOT_PERMITTED,
)
NOT_SET_UP = Problem(
    "database_not_set_up",
    "The database has no tables of this program, or those of another release.",
    "Set a new one up with `cva init`; bring an older one up to date with `cva upgrade`.",
)
URL_MISSING = Problem(
    "database_url_missing",
    "{named} names a database server, but {variable} is not set.",
    "Set {variable} to the address of the same database for the role {role}.",
    Answer.USAGE,
)
URL_UNREADABLE = Problem(
    "database_url_unreadable",
    "{variable} is not the address of a PostgreSQL database.",
    "Write it as postgresql://login:password@host:5432/database.",
    Answer.USAGE,
)

VARIABLES = {
    Role.APP: "DATABASE_URL",
    Role.OWNER: "CVA_OWNER_DATABASE_URL",
    Role.AUDITOR: "CVA_AUDITOR_DATABASE_URL",
}
DRIVER = "postgresql+psycopg"
# Connection exceptions, logins, and a server that is going down or coming up.
GONE_STATES = ("08", "28", "57P01", "57P02", "57P03")
# Errors in a statement name tables and columns of ours, never a value of a row.
STATEMENT_STATES = ("0A", "42")
OURS = re.compile(r'"\w+\.\w+"')  # every statement of ours names the schema of its tables


def address(settings: Settings, role: Role = Role.APP) -> URL:
    """Return the address of the database for `role`.

    The embedded server is meant, and started if need be, only where the settings name no server
    for any role: somebody with one address is never given an empty database of their own.

    Raises the refusals `database_url_missing`, `database_url_unreadable` and those of `cluster`.
    """
    given = {
        Role.APP: settings.database_url,
        Role.OWNER: settings.owner_database_url,
        Role.AUDITOR: settings.auditor_database_url,
    }
    named = [VARIABLES[other] for other, text in given.items() if text is not None]
    if not named:
        cluster = Cluster(settings.home)
        cluster.ensure_running()
        return cluster.url(role)
    text = given.get(role)
    if text is None:
        raise URL_MISSING.refusal(named=named[0], variable=VARIABLES[role], role=role.value)
    try:
        url = make_url(text)
    except ArgumentError:
        raise URL_UNREADABLE.refusal(variable=VARIABLES[role]) from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise URL_UNREADABLE.refusal(variable=VARIABLES[role])
    return url.set(drivername=DRIVER)


def engine_of(settings: Settings, role: Role = Role.APP) -> Engine:
    """Return an engine for `role`, see `address` and `engine_at`."""
    return engine_at(address(settings, role))


def engine_at(url: URL) -> Engine:
    """Return an engine at `url`: a small pool whose connections are tried before use.

    Its connections are closed by `dispose`, or else when the process ends.
    """
    engine = create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=5)
    atexit.register(engine.dispose)
    return engine


@contextmanager
def transaction(engine: Engine) -> Iterator[psycopg.Connection]:
    """Give a connection in a transaction: committed at the end, rolled back on any exception.

    A refusal whose problem `keeps` is no such exception: what was recorded before it is committed.

    Raises the designed refusal of what the database refused (also at commit), `database_gone`,
    `database_not_permitted`, `database_not_set_up` and `disk_full`; any other database error
    without its text.
    """
    with understood():
        kept: Refusal | None = None
        with engine.begin() as connection, _cut_by_ctrl_c(connection):
            try:
                yield driver_of(connection.connection.driver_connection)
            except (Refusal, psycopg.Error) as error:
                kept = error if isinstance(error, Refusal) else refusal_of(error)
                if kept is None or not kept.problem.keeps:
                    raise
        if kept is not None:
            raise kept


@contextmanager
def reading(engine: Engine) -> Iterator[psycopg.Connection]:
    """Give a connection that only reads, and sees one state of the database throughout.

    Raises as `transaction` does.
    """
    with understood(), engine.connect() as plain:
        connection = plain.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        with _cut_by_ctrl_c(connection):
            yield driver_of(connection.connection.driver_connection)


@contextmanager
def _cut_by_ctrl_c(connection: Connection) -> Iterator[None]:
    # In the middle of a COPY a connection takes no ROLLBACK; cut, the server rolls it back.
    try:
        yield
    except KeyboardInterrupt:
        connection.invalidate()
        raise


def driver_of(connection: object) -> psycopg.Connection:
    """Return the psycopg connection that SQLAlchemy works on; it is gone after an invalidation."""
    if not isinstance(connection, psycopg.Connection):
        raise GONE.refusal()
    return connection


@contextmanager
def understood() -> Iterator[None]:
    """Let database errors out only as `transaction` says."""
    try:
        yield
    except DBAPIError as error:
        raise _meaning(error.orig or error) from None
    except psycopg.Error as error:
        raise _meaning(error) from None


def _meaning(error: BaseException) -> Exception:
    """Return what to raise for a database error: a refusal, or the error without its text."""
    refusal: Refusal | None = refusal_of(error) or _designed(error)
    if refusal is not None:
        return refusal
    if isinstance(error, psycopg.Error):
        state = error.sqlstate or ""
        if not state.startswith(STATEMENT_STATES):
            place = [error.diag.table_name, error.diag.column_name, error.diag.constraint_name]
            error.args = (" ".join(["SQLSTATE", state, *filter(None, place)]),)
        return error
    return RuntimeError(f"a database error of an unknown kind: {type(error).__name__}")


def _designed(error: BaseException) -> Refusal | None:
    """Return what an error of the database itself means to people, or None."""
    if isinstance(error, InsufficientPrivilege):
        return NOT_PERMITTED.refusal()
    if isinstance(error, DiskFull):
        return DISK_FULL.refusal(place="the database")
    if isinstance(error, UndefinedTable) and OURS.search(error.diag.message_primary or ""):
        return NOT_SET_UP.refusal()
    state = error.sqlstate or "" if isinstance(error, psycopg.Error) else "none"
    unconnected = isinstance(error, psycopg.OperationalError) and not state
    return GONE.refusal() if unconnected or state.startswith(GONE_STATES) else None
