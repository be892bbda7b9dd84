"""The settings: every environment variable the program reads, in one place, read once.

* `CVA_HOME`: the data folder (database, snapshots, files sent); default XDG data home, `cva`
* `CVA_KEY_FILE`: the master key, outside the data folder; default XDG config home,
  `cva/master.key`
* `DATABASE_URL`: a PostgreSQL server instead of the embedded one, as the application
* `CVA_OWNER_DATABASE_URL`: the same database as the owner of the schemas, for migrations
* `CVA_AUDITOR_DATABASE_URL`: the same database as an auditor, who only reads
* `CVA_USER`: the login of who is speaking
* `CVA_PASSPHRASE_FILE`: a file with that person's passphrase, readable by its owner only
* `CVA_PASSPHRASE`: the passphrase itself, for demonstrations and tests
* `CVA_NEW_PASSPHRASE`: the passphrase of a person who is being added (read by the command line)
* `CVA_NOW`: the moment it is, ISO 8601 with offset, for demonstrations and tests
* `CVA_PROGRESS`: `always` shows progress also where standard error is no terminal

Source: XDG Base Directory Specification 0.8 (relative paths in it are ignored).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ledgers.problems import Answer, Problem

KEY_INSIDE_HOME = Problem(
    "key_file_inside_home",
    "The master key {key_file} lies in the data folder {home}: a copy of one is a copy of both.",
    "Set CVA_KEY_FILE to a file outside the data folder, and move the key there.",
    Answer.USAGE,
)
MOMENT_UNCLEAR = Problem(
    "moment_unclear",
    "CVA_NOW says {moment}, which is not a moment with an offset.",
    "Write it as 2026-03-05T09:00:00+03:00, or unset CVA_NOW to use the system clock.",
    Answer.USAGE,
)
PASSPHRASE_FILE_OPEN = Problem(
    "passphrase_file_open_to_others",
    "The passphrase file {path} can be read by other users of this machine.",
    "Close it: chmod 600 {path}",
    Answer.USAGE,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says; see the table above. Secrets are not shown by `repr`."""

    home: Path
    key_file: Path
    database_url: str | None = field(default=None, repr=False)
    owner_database_url: str | None = field(default=None, repr=False)
    auditor_database_url: str | None = field(default=None, repr=False)
    user: str | None = None
    passphrase_file: Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    now: datetime | None = None
    progress_always: bool = False

    def __post_init__(self) -> None:
        if self.key_file.resolve().is_relative_to(self.home.resolve()):
            raise KEY_INSIDE_HOME.refusal(key_file=self.key_file, home=self.home)


def settings_of(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from `environment`; an empty variable counts as unset.

    Raises the refusals `key_file_inside_home`, `moment_unclear` and
    `passphrase_file_open_to_others`.
    """
    said = {name: value for name, value in environment.items() if value}
    data = _xdg(said, "XDG_DATA_HOME", ".local/share")
    config = _xdg(said, "XDG_CONFIG_HOME", ".config")
    return Settings(
        home=_path(said, "CVA_HOME") or data / "cva",
        key_file=_path(said, "CVA_KEY_FILE") or config / "cva" / "master.key",
        database_url=said.get("DATABASE_URL"),
        owner_database_url=said.get("CVA_OWNER_DATABASE_URL"),
        auditor_database_url=said.get("CVA_AUDITOR_DATABASE_URL"),
        user=said.get("CVA_USER"),
        passphrase_file=_closed(_path(said, "CVA_PASSPHRASE_FILE")),
        passphrase=said.get("CVA_PASSPHRASE"),
        now=_moment(said.get("CVA_NOW")),
        progress_always=said.get("CVA_PROGRESS") == "always",
    )


def _path(said: Mapping[str, str], name: str) -> Path | None:
    return Path(said[name]).expanduser().absolute() if name in said else None


def _closed(path: Path | None) -> Path | None:
    """Return `path` unless others can read the file; one that is not there is its reader's case."""
    try:
        is_open = path is not None and path.stat().st_mode & 0o077
    except OSError:
        return path
    if is_open:
        raise PASSPHRASE_FILE_OPEN.refusal(path=path)
    return path


def _xdg(said: Mapping[str, str], name: str, usual: str) -> Path:
    folder = Path(said.get(name, ""))
    if folder.is_absolute():
        return folder
    home = Path(said["HOME"]) if "HOME" in said else Path.home()
    return home / usual


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MOMENT_UNCLEAR.refusal(moment=text) from None
    if moment.utcoffset() is None:
        raise MOMENT_UNCLEAR.refusal(moment=text)
    return moment.astimezone(UTC)
