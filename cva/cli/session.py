"""One command's surroundings: settings, database, vault, clock, and who is speaking.

Who speaks is named by `CVA_USER`; verbs that sign ask for the passphrase, or read it from the file
that `CVA_PASSPHRASE_FILE` names. Nothing is opened before it is needed.

What exists only while a command runs (snapshots, rendered files) lies in the work folder, and a
command that uses it holds a lock on it that goes with its process. Where nobody holds that lock,
whatever lies there was left by a killed command, and the next command of any kind removes it.
"""

import fcntl
import getpass
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

import psycopg
from sqlalchemy import Engine

from cva import staff, vault
from cva.clock import Clock, clock_of
from cva.database.connect import Role, engine_of, reading, transaction
from cva.jobs import Work, running
from cva.progress import Progress, shown
from cva.providers import Provider, connect
from cva.settings import Settings, settings_of
from ledgers.moments import wait_for_writers
from ledgers.problems import Answer, Problem, Refusal
from ledgers.transparency.sealing import seal_waiting

SPEAKER_UNKNOWN = Problem(
    "speaker_unknown",
    "Nobody said who is speaking.",
    "Set CVA_USER to your login.",
    Answer.USAGE,
)


@dataclass
class Session:
    """What a command works with."""

    settings: Settings
    engine: Engine
    clock: Clock
    login: str | None = None

    @cached_property
    def vault(self) -> vault.Vault:
        """The master key of this installation, checked against the database's fingerprint."""
        opened = vault.open_key_file(self.settings.key_file)
        with reading(self.engine) as conn:
            vault.check_bound(conn, opened)
        return opened

    @cached_property
    def person_id(self) -> str:
        """Who is speaking. Raises `speaker_unknown`, `person_unknown`."""
        login = self.login or self.settings.user
        if not login:
            raise SPEAKER_UNKNOWN.refusal()
        with reading(self.engine) as conn:
            return staff.person_of(conn, login).person_id

    @property
    def today(self) -> date:
        """The day it is where the programme runs."""
        return self.clock.today()

    @cached_property
    def work(self) -> Path:
        """A closed folder for what exists only while a command runs; held until this one ends."""
        folder = self.settings.home / "work"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fcntl.flock(_swept(folder), fcntl.LOCK_SH)
        return folder

    @property
    def providers_file(self) -> Path:
        """Where the banks and card processors are described."""
        return self.settings.home / "providers.yaml"

    def provider(self, code: str, destination: str = "") -> Provider:
        """Return a provider, ready to be used."""
        return connect(self.providers_file, code, destination)

    def passphrase(self, prompt: str = "Passphrase: ") -> str:
        """Return the speaker's passphrase from where the settings say, or ask for it."""
        if self.settings.passphrase:
            return self.settings.passphrase
        if self.settings.passphrase_file:
            return self.settings.passphrase_file.read_text(encoding="utf-8").rstrip("\n")
        return getpass.getpass(prompt)

    @contextmanager
    def working(
        self, verb: str, object_id: str, counted: str, *, may_be_cut: bool = True
    ) -> Iterator[Progress]:
        """Do a long step as a job that others can watch and cancel; gives its progress.

        `counted` is what the progress counts, a plural; see `cva.jobs` for the rest.
        """
        _ = self.person_id  # somebody, before anything begins
        work = Work(verb, object_id, counted, typed(), self.login or self.settings.user, may_be_cut)
        with (
            shown(counted, self.settings) as show,
            running(self.engine, work, self.clock, show) as progress,
        ):
            yield progress

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """Give a connection whose work is kept at the end, or not at all.

        What it recorded in the books then gets its place in the log.
        """
        with transaction(self.engine) as conn:
            yield conn
        # The work is kept already: what cannot be sealed now waits in the queue, visible as such.
        with suppress(Refusal), transaction(self.engine) as conn:
            seal_waiting(conn)

    @contextmanager
    def reading(self, as_of: datetime | None = None) -> Iterator[psycopg.Connection]:
        """Give a connection that sees one moment of the database and writes nothing.

        With `as_of`, all that was recorded by that moment is seen: what is still on its way is
        waited for. Raises `moment_ahead`, `moment_unsettled`.
        """
        if as_of is not None:
            with reading(self.engine) as conn:
                wait_for_writers(conn, as_of)
        with reading(self.engine) as conn:
            yield conn


def open_session(role: Role = Role.APP) -> Session:
    """Return the session that the environment asks for."""
    settings = settings_of()
    folder = settings.home / "work"
    if folder.is_dir():
        os.close(_swept(folder))
    return Session(settings, engine_of(settings, role), clock_of(settings))


def typed() -> str:
    """Return the command that was typed."""
    return shlex.join(["cva", *sys.argv[1:]])


def _swept(folder: Path) -> int:
    """Empty `folder` unless a command is using it; return it open, for a lock."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return descriptor
    for left in folder.iterdir():
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    return descriptor
