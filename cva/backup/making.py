"""Making a backup: one moment of the whole database, sealed while it is read.

One transaction holds the moment still: the figures of the manifest are computed in it, and
`pg_dump` reads the same moment (an exported snapshot), whatever others write meanwhile. A migration
does not run at the same time. The dump goes from `pg_dump` through the cipher into the file; no
more than a chunk of it is ever in memory, and none of it anywhere in clear.

The connection is the owner's: an auditor may not read the wrapped keys of the households, and a
backup without them would restore people whom nobody can name. Passwords go to `pg_dump` through its
environment, never on its command line, which every user of a machine can list.

Sources: PostgreSQL 18 manual, `pg_dump` (custom format, `--snapshot`), 9.28.5 "Snapshot
Synchronization Functions".
"""

import hashlib
import importlib.metadata
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import URL, Engine

from cva import vault
from cva.backup.content import Manifest, content_of, revision_of, rows_of
from cva.backup.sealing import SealedWriter, whole_file
from cva.database import migrations
from cva.database.connect import Role, address, engine_at, reading, transaction
from cva.database.programs import ENVIRONMENT, tool
from cva.progress import Progress
from cva.settings import Settings
from ledgers.problems import Problem

DUMP_FAILED = Problem(
    "backup_dump_failed",
    "The database could not be copied ({trouble}); no backup was kept.",
    "Let the owner of the schemas read everything in the database, and back up again.",
)

# gzip is all that the wheel's pg_dump knows; sealed data hardly get smaller by trying harder.
COMPRESSION = "gzip:1"


def make(
    settings: Settings, key: vault.Vault, file: Path, made_at: datetime,
    progress: Progress | None = None,
) -> Manifest:  # fmt: skip
    """Write a backup of the database to `file`, sealed under `key`; return what it says of itself.

    `progress` counts the bytes of the dump. Books that are not sound are backed up as
    they are; the manifest says so. Raises the refusals of `sealing.whole_file`,
    `backup_dump_failed`, `master_key_differs`, `database_without_key`, `database_out_of_date` where
    there is no database yet or a newer one, `database_url_missing` and `database_gone`.
    """
    with whole_file(file) as out:
        url = address(settings, Role.OWNER)
        engine = engine_at(url)
        try:
            with _one_moment(engine) as conn:
                _require_known(conn)
                vault.check_bound(conn, key)
                content = content_of(conn, rows_of(conn))
                snapshot = conn.execute("SELECT pg_export_snapshot()").fetchone() or ("",)
                writer = SealedWriter(out, key)
                size, digest = _seal_dump(conn, url, snapshot[0], writer, progress)
                manifest = Manifest(
                    made_at, importlib.metadata.version("cva"), _server_version(conn), content,
                    size, digest,
                )  # fmt: skip
                writer.finish(manifest.text())
        finally:
            engine.dispose()
    return manifest


@contextmanager
def _one_moment(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees one moment, without a migration going on beside it."""
    with transaction(engine) as guard:
        guard.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        guard.execute("SELECT pg_advisory_xact_lock_shared(%s)", [migrations.LOCK])
        with reading(engine) as conn:
            conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield conn


def _require_known(conn: Connection) -> None:
    found = revision_of(conn)
    if found not in migrations.known():
        raise migrations.OUT_OF_DATE.refusal(
            found=found or migrations.NOTHING, expected=migrations.newest()
        )


def _server_version(conn: Connection) -> str:
    major, minor = divmod(conn.info.server_version, 10_000)
    return f"{major}.{minor}"


def _seal_dump(
    conn: Connection, url: URL, snapshot: str, writer: SealedWriter, progress: Progress | None
) -> tuple[int, str]:
    """Seal what `pg_dump` reads; return the size of the dump and its SHA-256, hexadecimal."""
    where, environment = _client(url)
    command = [
        str(tool("pg_dump")), f"--dbname={where}", "--no-password", f"--snapshot={snapshot}",
        "--format=custom", f"--compress={COMPRESSION}", "--no-sync", "--exclude-extension=*",
    ]  # fmt: skip
    with (
        TemporaryFile() as errors,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=errors,
        ) as dump,
    ):  # fmt: skip
        try:
            size, digest = _sealed(dump.stdout, writer, progress)
        except BaseException:
            dump.kill()
            raise
        if dump.wait():
            conn.execute("SELECT")  # says `database_gone` where that is the reason
            raise DUMP_FAILED.refusal(trouble=first_error(errors))
    return size, digest


def _sealed(
    dump: IO[bytes] | None, writer: SealedWriter, progress: Progress | None
) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    while dump is not None and (piece := dump.read(vault.CHUNK_BYTES)):
        writer.add(piece)
        digest.update(piece)
        size += len(piece)
        if progress is not None:
            progress(size, None)
    return size, digest.hexdigest()


def _client(url: URL) -> tuple[str, dict[str, str]]:
    """Return the address for a client program without its password, and its environment with it."""
    text = url.set(drivername="postgresql").render_as_string(hide_password=False)
    known = conninfo_to_dict(text)
    password = known.pop("password", None)
    known.pop("sslpassword", None)
    environment = {**ENVIRONMENT, "HOME": str(Path.home())}
    if password is not None:
        environment["PGPASSWORD"] = str(password)
    return make_conninfo("", **known), environment


def first_error(errors: IO[bytes]) -> str:
    """Return the first error of a client program, which names objects and never a value."""
    errors.seek(0)
    told = (line.decode("utf-8", "replace").strip() for line in errors)
    return next((line for line in told if "error:" in line), "it was ended from outside")
