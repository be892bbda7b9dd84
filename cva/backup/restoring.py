"""Restoring: an empty database gets everything of a backup, verified, or nothing at all.

Before the database is touched the whole file is read once: every chunk opens under this master key,
none is missing, and this program knows the revision. Then one transaction does everything: makes
the roles that are missing, tables as `cva_owner`, rows, indexes, constraints, triggers and rights,
and compares what came out with the manifest. It is kept only when all agree. Whatever ends it
before (a refusal, a kill, a lost connection) leaves the database as empty as it was.

`pg_restore` only turns the archive into statements; we send them on a connection of our own. If it
sent them itself, it would commit before anything was verified, and would go on and commit after we
were killed. Triggers are made after the rows, as in every restore: they hold from then on.

Sources: PostgreSQL 18 manual, `pg_restore`, `COPY` (text format: a line is a row).
"""

import hashlib
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import psycopg
from psycopg import Connection, sql
from psycopg.errors import DiskFull, InsufficientPrivilege

from cva import vault
from cva.backup.content import Manifest, content_of, first_object, manifest_of, rows_of
from cva.backup.making import first_error
from cva.backup.sealing import NEWER, UNRECOGNISED, Kind, SealedReader, opened
from cva.database import migrations
from cva.database.connect import Role, engine_of, transaction
from cva.database.programs import ENVIRONMENT, tool
from cva.database.roles import ensure_roles
from cva.progress import Progress, parts
from cva.settings import Settings
from ledgers.problems import Problem
from ledgers.refusals import refusal_of

NOT_EMPTY = Problem(
    "restore_target_not_empty",
    "The database {database} is not empty (there is {object}); nothing was restored.",
    "Restore into an empty database: another CVA_HOME, or a database that was just made.",
)
NOT_OWNER = Problem(
    "restore_not_as_owner",
    "{login} may not make tables as {role} in the database {database}; nothing was restored.",
    "Ask the server's administrator to run: {statements}",
)
SERVER_REFUSED = Problem(
    "restore_refused_by_server",
    "The database server refuses what the backup holds ({trouble}); nothing was restored.",
    "Make on this server what is missing there, or restore into another, and restore again.",
)
UNREADABLE = Problem(
    "restore_dump_unreadable",
    "The dump in the backup {file} cannot be read ({trouble}); nothing was restored.",
    "Restore with the release that made the backup.",
)
DIFFERS = Problem(
    "restore_differs",
    "What was restored is not what the backup says: {what} differ; nothing was kept.",
    "Send the backup's figures to the people who maintain the program, and take an older backup.",
)

# A script begins and ends with a word for `psql`, random unless it is given; it is left out.
RESTRICT = "cva"
PSQL_ONLY = re.compile(rb"^\\(un)?restrict cva$", re.MULTILINE)
# Unknown to servers before PostgreSQL 17, and of no use to one connection that we watch.
NEW_SETTING = re.compile(rb"^SET transaction_timeout = 0;$", re.MULTILINE)
COPY_BEGINS = re.compile(rb"COPY .+ FROM stdin;\n")
COPY_ENDS = b"\\.\n"
# What the server says in these classes names tables, roles, settings and files, never a value.
NAMING = ("0A", "42", "54", "58")


def restore(
    settings: Settings, key: vault.Vault, file: Path, progress: Progress | None = None
) -> Manifest:
    """Restore the backup `file` into the empty database of `settings`; return its manifest.

    `progress` counts the bytes read of the file, which is read twice: checked, then restored.
    Raises the refusals of `sealing` for the file, those of this module, `master_key_differs`,
    `database_roles_missing`, `database_url_missing`, `database_gone` and `disk_full`.
    """
    with opened(file, key) as sealed:
        checking, restoring = parts(progress, [sealed.size, sealed.size])
        manifest = _checked(sealed, file, checking)
        engine = engine_of(settings, Role.OWNER)
        try:
            with transaction(engine) as conn, _server_answers():
                _make_ready(conn)
                _run(conn, sealed, file, restoring)
                _verify(conn, key, manifest)
        finally:
            engine.dispose()
    return manifest


def _checked(sealed: SealedReader, file: Path, progress: Progress | None) -> Manifest:
    """Open every chunk of the file, and return its manifest if this program can restore it."""
    size, digest, text = 0, hashlib.sha256(), b"{}"
    for kind, content in sealed.chunks():
        if progress is not None:
            progress(sealed.position(), sealed.size)
        if kind is Kind.MANIFEST:
            text = content
        else:
            digest.update(content)
            size += len(content)
    manifest = manifest_of(text)
    if manifest.content.revision not in migrations.known():
        raise NEWER.refusal(
            file=file, found=f"{manifest.program}, revision {manifest.content.revision}",
            known=f"revision {migrations.newest()}",
        )  # fmt: skip
    if (manifest.dump_bytes, manifest.dump_sha256) != (size, digest.hexdigest()):
        raise UNRECOGNISED.refusal(file=file)
    return manifest


@contextmanager
def _server_answers() -> Iterator[None]:
    """Let what the server refuses out as `restore_refused_by_server`, without a row's values.

    Lost connections and full disks are left to `transaction`, which knows what they mean.
    """
    try:
        yield
    except DiskFull:
        raise
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if refusal_of(error) or not state or state.startswith(("08", "28", "57P")):
            raise
        said = error.diag.message_primary if state.startswith(NAMING) else ""
        raise SERVER_REFUSED.refusal(trouble=f"{said or 'SQLSTATE'} {state}") from None


def _make_ready(conn: Connection) -> None:
    """Refuse a database that is not empty; become `cva_owner` for the rest of the transaction."""
    conn.execute("SELECT pg_advisory_xact_lock(%s)", [migrations.LOCK])
    database, login = conn.info.dbname, conn.info.user
    found = first_object(conn)
    if found is not None:
        raise NOT_EMPTY.refusal(database=database, object=found)
    ensure_roles(conn)
    owner = sql.Identifier(Role.OWNER)
    hand_over = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database), owner)
    membership = sql.SQL("GRANT {} TO {}").format(owner, sql.Identifier(login))
    if not _may_make_tables(conn):
        with suppress(InsufficientPrivilege), conn.transaction():
            conn.execute(hand_over)
    if not _may_make_tables(conn):
        statements = f"{hand_over.as_string(conn)}; {membership.as_string(conn)};"
        raise NOT_OWNER.refusal(
            login=login, role=Role.OWNER.value, database=database, statements=statements
        )
    conn.execute(sql.SQL("SET LOCAL ROLE {}").format(owner))


def _may_make_tables(conn: Connection) -> bool:
    row = conn.execute(
        "SELECT pg_has_role(current_user, %(owner)s, 'SET')"
        " AND has_database_privilege(%(owner)s, current_database(), 'CREATE')"
        " AND has_schema_privilege(%(owner)s, 'public', 'CREATE')",
        {"owner": Role.OWNER.value},
    ).fetchone()
    return row == (True,)


def _run(conn: Connection, sealed: SealedReader, file: Path, progress: Progress | None) -> None:
    """Make tables, load rows, make the rest; the rows come in one stream."""
    for section in ("pre-data", "data", "post-data"):
        with _script(section, sealed, file, progress) as script:
            if section == "data":
                _load(conn, script)
            else:
                _execute(conn, script.read())
    conn.execute("RESET ALL")  # the scripts change settings of the session


@contextmanager
def _script(
    section: str, sealed: SealedReader, file: Path, progress: Progress | None
) -> Iterator[IO[bytes]]:
    """Give the statements of a section of the archive, as they come out of `pg_restore`."""
    command = [
        str(tool("pg_restore")), "--format=custom", "--file=-", f"--section={section}",
        "--no-owner", "--no-statistics", f"--restrict-key={RESTRICT}",
    ]  # fmt: skip
    with (
        TemporaryFile() as errors,
        ThreadPoolExecutor(1) as beside,
        subprocess.Popen(
            command, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as program,
    ):
        # The rows decide how long it takes; the other sections need the beginning only.
        feeding = beside.submit(
            _feed, program.stdin, sealed, progress if section == "data" else None
        )
        try:
            if program.stdout is not None:
                yield program.stdout
            feeding.result()
        except BaseException:
            program.kill()
            feeding.exception()  # waits for it to let go
            raise
        if program.wait():
            raise UNREADABLE.refusal(file=file, trouble=first_error(errors))


def _feed(program: IO[bytes] | None, sealed: SealedReader, progress: Progress | None) -> None:
    """Give the dump to `pg_restore`, as much as it wants; its end is told in any case."""
    if program is None:
        return
    with suppress(BrokenPipeError), program:
        for piece in sealed.dump():
            program.write(piece)
            if progress is not None:
                progress(sealed.position(), sealed.size)


def _load(conn: Connection, script: IO[bytes]) -> None:
    """Execute the statements of a script of rows; what stands below a COPY is streamed."""
    statements: list[bytes] = []
    for line in script:
        if not COPY_BEGINS.fullmatch(line):
            statements.append(line)
            continue
        _execute(conn, b"".join(statements))
        statements.clear()
        with conn.cursor() as cursor, cursor.copy(line) as copy:
            for block in _blocks(script):
                copy.write(block)
    _execute(conn, b"".join(statements))


def _blocks(script: IO[bytes]) -> Iterator[bytes]:
    """Yield the rows up to the end of the COPY, many at a time."""
    lines: list[bytes] = []
    size = 0
    for line in script:
        if line == COPY_ENDS:
            yield b"".join(lines)
            return
        lines.append(line)
        size += len(line)
        if size >= vault.CHUNK_BYTES:
            yield b"".join(lines)
            lines, size = [], 0


def _execute(conn: Connection, statements: bytes) -> None:
    conn.execute(NEW_SETTING.sub(b"", PSQL_ONLY.sub(b"", statements)))


def _verify(conn: Connection, key: vault.Vault, manifest: Manifest) -> None:
    """Refuse what is not, to the last row and minor unit, what the manifest says."""
    rows = rows_of(conn)
    # Fresh tables have no statistics, and figures over them would take hours. Empty tables stay
    # without: statistics of nothing make wrong plans until they fill.
    for table, count in rows.items():
        if count:
            conn.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(*table.split(".", 1))))
    what = list(manifest.content.differences(content_of(conn, rows)))
    if what:
        raise DIFFERS.refusal(what=", ".join(what))
    vault.check_bound(conn, key)
