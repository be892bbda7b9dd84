"""Folders and files that are closed to everybody else, and a lock between processes.

A folder has mode 0700 and a file 0600, and belongs to the account named. A folder that is there
already is checked, never changed: opening or closing somebody's folder is not ours to do.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cva.database.programs import Account
from ledgers.problems import Problem

FOLDER_NOT_OURS = Problem(
    "database_folder_not_ours",
    "The folder {folder} belongs to somebody else or is open to others.",
    "Look whose it is; remove it, or set CVA_HOME to another folder.",
)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path`; the operating system lets go of it when a process dies."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def closed_folder(folder: Path, account: Account | None) -> None:
    """Make `folder` with mode 0700 for `account` (None: ourselves), or refuse one that is not."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        pass
    else:
        if account is not None and account.switch:
            os.chown(folder, account.uid, account.gid)
    found = folder.lstat()
    owner = os.geteuid() if account is None else account.uid
    if folder.is_symlink() or found.st_uid != owner or found.st_mode & 0o077:
        raise FOLDER_NOT_OURS.refusal(folder=folder)


def write_closed(path: Path, text: str, account: Account | None) -> None:
    """Write `text` to `path` with mode 0600 for `account`, whole or not at all."""
    fresh = path.with_name(path.name + ".part")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        if account is not None and account.switch:
            os.fchown(descriptor, account.uid, account.gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)
