"""The embedded PostgreSQL: made once, started when needed, closed to everybody else.

Where things are, for a data folder HOME:

* HOME/database (0700, ours): `lock`, and `passwords/`, one 0600 file per role;
* the server's own folder (0700, the server's account): `data`, `socket`, `log`, `programs-*`.
  It is HOME/database/server, except for root: the server's account cannot, and must not, look into
  root's folders, so it is /var/lib/cva/<digest of HOME>. No parent's mode is ever changed.

A socket path longer than 107 bytes cannot be bound, and one with a comma cannot be named by
clients; then the socket stands in a short folder of its own, /tmp/cva-<uid>-<digest>, which must be
the server's account's and closed, or the start is refused.

Everybody, the superuser too, logs in with a random password (scram-sha-256); the server listens
on its socket only. The superuser is used by `initdb` and the set-up right after it, in single-user
mode before the first start, and by nothing later. A crash in the set-up leaves no half-made data:
they are made beside and renamed.

Sources: PostgreSQL 18 manual, chapters 18 "Server Setup" and 20 "Authentication"; unix(7) for the
length of a socket path.
"""

import hashlib
import os
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from sqlalchemy import URL

from cva.database import programs
from cva.database.closed import closed_folder, locked, write_closed
from cva.database.configuration import PORT, Tuning, configuration
from ledgers.problems import Problem

NOT_STARTED = Problem(
    "database_not_started",
    "The database in {folder} did not start.",
    "Read the newest file in {log}; the disk may be full or the folder damaged.",
)
NOT_STOPPED = Problem(
    "database_not_stopped",
    "The database in {folder} did not stop.",
    "Close the commands that still use it and stop it again.",
)
NOT_MADE = Problem(
    "database_not_made",
    "The database could not be made in {folder} ({program} failed).",
    "Check that the disk has 200 MB free and that the folder can be written; then try again.",
)
PASSWORDS_MISSING = Problem(
    "database_passwords_missing",
    "The database in {folder} is there, but the file with the password of {role} is not.",
    "Put the folder {passwords} back from your backup.",
)
DATA_MISSING = Problem(
    "database_data_missing",
    "The passwords of a database are in {passwords}, but its data are not in {folder}.",
    "Put the data back (was a disk not mounted, or CVA_HOME moved?). Only where there is nothing "
    "to lose, remove the passwords to begin with an empty database.",
)
OTHER_VERSION = Problem(
    "database_other_version",
    "The database in {folder} was made by PostgreSQL {found}; this is {expected}.",
    "Restore a backup into a new data folder, or install the release that made it.",
)

DATABASE = "cva"
SOCKET_PATH_BYTES_MAX = 107
SOCKET_NAME = ".s.PGSQL.5432"
ROOT_FOLDER = Path("/var/lib/cva")
SHORT_FOLDER = Path("/tmp")  # noqa: S108 - the folder made in it is checked to be ours and closed
START_TRIES_MAX = 10
READY_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60
POLL_SECONDS = 0.05


class Role(StrEnum):
    """Who logs in to the database."""

    SUPERUSER = "cva_superuser"  # makes the cluster, then never again
    OWNER = "cva_owner"  # owns the schemas, migrates
    APP = "cva_app"  # the application
    AUDITOR = "cva_auditor"  # reads only


@dataclass(frozen=True, slots=True)
class Status:
    """Whether the server runs (`pid`), and where it lives."""

    pid: int | None
    ready: bool
    folder: Path


@dataclass(frozen=True)
class Cluster:
    """One embedded server for the data folder `home`."""

    home: Path
    tuning: Tuning = field(default_factory=Tuning)

    @cached_property
    def account(self) -> programs.Account:
        """The operating-system account the server runs under."""
        return programs.server_account()

    @property
    def folder(self) -> Path:
        """Our side: the lock and the passwords."""
        return self.home.absolute() / "database"

    @property
    def server_folder(self) -> Path:
        """The server's side: data, socket, log."""
        return ROOT_FOLDER / self._digest if self.account.switch else self.folder / "server"

    @property
    def data(self) -> Path:
        """PostgreSQL's data folder."""
        return self.server_folder / "data"

    @property
    def log(self) -> Path:
        """The folder of the server's log, a file for each day of the week."""
        return self.server_folder / "log"

    @property
    def socket(self) -> Path:
        """The folder of the server's socket."""
        usual = self.server_folder / "socket"
        length = len(os.fsencode(usual / SOCKET_NAME))
        if length <= SOCKET_PATH_BYTES_MAX and "," not in str(usual):
            return usual
        return SHORT_FOLDER / f"cva-{self.account.uid}-{self._digest}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(os.fsencode(self.home.absolute())).hexdigest()[:16]

    def url(self, role: Role, database: str = DATABASE) -> URL:
        """Return the address of `database` for `role`, with its password (hidden when printed).

        Raises the refusal `database_passwords_missing`.
        """
        return URL.create(
            "postgresql+psycopg",
            username=role.value,
            password=self._password(role),
            database=database,
            query={"host": str(self.socket), "port": PORT},
        )

    def status(self) -> Status:
        """Say whether the server runs and answers, without starting it."""
        pid, state = _postmaster(self.data)
        running = pid is not None and _is_server(pid, self.data)
        return Status(pid if running else None, running and state == "ready", self.server_folder)

    def ensure_running(self) -> None:
        """Make the cluster if there is none, start the server if it does not run; else nothing.

        Two processes that do this at once get one server. Raises the refusals of this module.
        """
        if self.status().ready:
            return
        if not self.home.exists():
            closed_folder(self.home, None)
        closed_folder(self.folder, None)
        with locked(self.folder / "lock"):
            self._make_folders()
            if not self.data.exists():
                self._make()
            self._check_version()
            if self.status().pid is None:
                self._start()
            self._await_ready()

    def stop(self) -> None:
        """Stop the server; open transactions are rolled back. Nothing happens if it is not running.

        Raises the refusal `database_not_stopped`.
        """
        if not self.folder.exists():
            return
        with locked(self.folder / "lock"):
            if self.status().pid is None:
                return
            patience = ("-w", "-t", str(STOP_SECONDS_MAX))
            stopped = self._program("pg_ctl", "stop", *patience, "-m", "fast", "-D", self.data)
            # A server that was told before may go by itself while it is told again.
            if stopped.returncode and self.status().pid is not None:
                raise NOT_STOPPED.refusal(folder=self.data)

    def destroy(self) -> None:
        """Stop the server and remove it with all its data and passwords."""
        self.stop()
        for folder in (self.server_folder, self.socket, self.folder):
            shutil.rmtree(folder, ignore_errors=True)

    def _password(self, role: Role) -> str:
        try:
            return (self.folder / "passwords" / role).read_text(encoding="ascii")
        except FileNotFoundError:
            raise PASSWORDS_MISSING.refusal(
                folder=self.data, role=role.value, passwords=self.folder / "passwords"
            ) from None

    def _make_folders(self) -> None:
        closed_folder(self.folder / "passwords", None)
        if self.account.switch:
            ROOT_FOLDER.mkdir(mode=0o755, parents=True, exist_ok=True)
        for folder in (self.server_folder, self.socket, self.log):
            closed_folder(folder, self.account)

    def _program(
        self, name: str, *arguments: str | Path, text: str = ""
    ) -> subprocess.CompletedProcess[str]:
        folder = programs.server_programs(self.account, self.server_folder)
        return programs.run(self.account, [folder / name, *arguments], self.server_folder, text)

    def _make(self) -> None:
        """Make the data folder beside its place, with roles and database, and rename it.

        Passwords without data, and no half-made data beside, mean lost data: nothing is made.
        """
        fresh = self.server_folder / "data.new"
        passwords = self.folder / "passwords"
        if any(passwords.iterdir()) and not fresh.exists():
            raise DATA_MISSING.refusal(passwords=passwords, folder=self.data)
        shutil.rmtree(fresh, ignore_errors=True)
        closed_folder(fresh, self.account)
        for role in Role:
            write_closed(passwords / role, secrets.token_urlsafe(32), None)
        superuser_password = self.server_folder / "superuser.new"
        write_closed(superuser_password, self._password(Role.SUPERUSER), self.account)
        made = self._program(
            "initdb",
            *("-D", fresh, "-U", Role.SUPERUSER.value, f"--pwfile={superuser_password}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            *(() if self.tuning.durable else ("--no-sync",)),
        )
        superuser_password.unlink()
        if made.returncode:
            raise NOT_MADE.refusal(folder=self.server_folder, program="initdb")
        with (fresh / "postgresql.conf").open("a", encoding="ascii") as file:
            file.write("include = 'cva.conf'\n")
        write_closed(
            fresh / "cva.conf", configuration(self.tuning, self.socket, self.log), self.account
        )
        # Single-user mode reads one statement per line; its answers could show a password.
        single = ("--single", "-c", "exit_on_error=true", "-D", fresh, "postgres")
        if self._program("postgres", *single, text=self._first_statements()).returncode:
            raise NOT_MADE.refusal(folder=self.server_folder, program="postgres")
        fresh.rename(self.data)

    def _first_statements(self) -> str:
        logins = [
            f"CREATE ROLE {role} LOGIN PASSWORD '{self._password(role)}'"
            for role in Role
            if role is not Role.SUPERUSER
        ]
        closed = [
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC" for name in ("postgres", "template1")
        ]
        created = [f"CREATE DATABASE {DATABASE} OWNER {Role.OWNER}", *database_grants(DATABASE)]
        return "".join(f"{line};\n" for line in (*logins, *closed, *created))

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != programs.MAJOR:
            raise OTHER_VERSION.refusal(folder=self.data, found=found, expected=programs.MAJOR)

    def _start(self) -> None:
        """Start the server; after a crash its last processes may need a moment to go."""
        write_closed(
            self.data / "cva.conf", configuration(self.tuning, self.socket, self.log), self.account
        )
        crashed = (self.data / "postmaster.pid").exists()
        for _ in range(START_TRIES_MAX if crashed else 1):
            self._forget_stranger()
            started = self._program(
                "pg_ctl", "start", "-w", "-D", self.data, "-l", self.log / "start.log"
            )
            if started.returncode == 0:
                return
            time.sleep(POLL_SECONDS * 4)
        raise NOT_STARTED.refusal(folder=self.data, log=self.log)

    def _forget_stranger(self) -> None:
        """Remove a `postmaster.pid` whose number now belongs to another program.

        PostgreSQL clears the file of a dead server itself, but takes any living process with that
        number for a server. Its lock on shared memory still keeps two servers off the same data.
        """
        pid, _ = _postmaster(self.data)
        if pid is not None and not _is_server(pid, self.data):
            (self.data / "postmaster.pid").unlink(missing_ok=True)

    def _await_ready(self) -> None:
        """Wait for a server that somebody else started, or that is still recovering."""
        for _ in range(int(READY_SECONDS_MAX / POLL_SECONDS)):
            status = self.status()
            if status.ready:
                return
            if status.pid is None:
                break
            time.sleep(POLL_SECONDS)
        raise NOT_STARTED.refusal(folder=self.data, log=self.log)


def database_grants(name: str) -> list[str]:
    """Return the statements that close database `name` to all but the three roles."""
    return [
        f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {Role.APP}",
        f"GRANT CONNECT ON DATABASE {name} TO {Role.AUDITOR}",
    ]


def _postmaster(data: Path) -> tuple[int | None, str]:
    """Return the number and the state that `postmaster.pid` tells, or None where there is none."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None, ""
    number = lines[0].strip() if lines else ""
    state_line = 8  # LOCK_FILE_LINE_PM_STATUS of PostgreSQL's pidfile.h
    state = lines[state_line - 1].strip() if len(lines) >= state_line else ""
    return (int(number) if number.isdecimal() else None), state


def _is_server(pid: int, data: Path) -> bool:
    """Say whether process `pid` is a PostgreSQL server on `data`; a dead one has no command."""
    own = Path("/proc") / str(pid) / "cmdline"
    if own.parent.parent.joinpath("self").exists():
        try:
            command = os.fsdecode(own.read_bytes())
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            return False
    else:
        listed = ["ps", "-o", "command=", "-p", str(pid)]
        command = subprocess.run(listed, capture_output=True, text=True, check=False).stdout
    return "postgres" in command and str(data) in command
