"""Other people's programs read our export: hledger and beancount, with what they take."""

import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ledgers.exports import write_beancount, write_hledger

WRITERS = {"hledger": write_hledger, "beancount": write_beancount}


@dataclass(frozen=True, slots=True)
class Reading:
    """A program that read the export and agreed: its CPU seconds and its memory."""

    program: str
    megabytes: int  # of the export
    cpu: float
    peak: int


def export(conn: psycopg.Connection, name: str, path: Path) -> None:
    """Write the books for the tool `name`."""
    with path.open("w", encoding="utf-8") as out:
        WRITERS[name](conn, out)
    conn.rollback()


def read_back(name: str, path: Path) -> Reading | None:
    """Let the tool check the export; None where it is not installed."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which({"hledger": "hledger", "beancount": "bean-check"}[name], path=beside)
    if program is None:
        return None
    commands = {"hledger": [program, "-f", path, "check"], "beancount": [program, "-C", path]}
    with subprocess.Popen(commands[name], env={"PATH": beside, "LC_ALL": "C.UTF-8"}) as running:
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        message = f"{name} does not agree with the export"
        raise AssertionError(message)
    return Reading(name, path.stat().st_size >> 20, _cpu(used), used.ru_maxrss << 10)


def _cpu(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime
