"""One command of ours in a process of its own, which can be killed at any moment.

The processes are forked from a server that has everything imported, so that the time between the
start of a process and its end is the command's, and a kill after a part of it hits the command's
work. What runs is the command line as people type it: arguments in, exit code and texts out.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

import duckdb  # noqa: F401 - imported once, in the server the processes are forked from
import ibis  # noqa: F401 - as duckdb

import cva.assessing  # noqa: F401 - as duckdb
from cva.cli.main import GROUPS, command_line, main

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pytest", "tests.faults.commands"])
ENDS_WITHIN_SECONDS = 120
# Imported in the server too: the commands of every group.
COMMANDS = [command_line(word) for word in GROUPS]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int | None
    out: str
    err: str

    @property
    def refused_with(self) -> str:
        """The code of the refusal that stands at the end, or nothing."""
        last = self.err.rstrip().rpartition("\n")[2].strip()
        return last[1:-1] if last.startswith("(") and last.endswith(")") else ""


@dataclass(frozen=True)
class Command:
    """A command that may be running."""

    process: ForkServerProcess
    texts: Path

    def ended(self, within_seconds: float = ENDS_WITHIN_SECONDS) -> Ended:
        """Wait for its end."""
        self.process.join(within_seconds)
        assert self.process.exitcode is not None, "the command does not end"
        out, err = ((self.texts / name).read_text(encoding="utf-8") for name in ("out", "err"))
        return Ended(self.process.exitcode, out, err)

    def killed_after(self, seconds: float) -> bool:
        """Kill it after so long, and say whether it was still at work."""
        self.process.join(seconds)
        self.process.kill()
        self.process.join()
        return self.process.exitcode != 0


@contextmanager
def begun(
    environment: Mapping[str, str],
    words: Sequence[str],
    *,
    barrier: Barrier | None = None,
    file_bytes_max: int | None = None,
) -> Iterator[Command]:
    """Begin a command; with a barrier it waits there, with a limit it writes no longer file."""
    with tempfile.TemporaryDirectory(prefix="cva-command-") as folder:
        texts = Path(folder)
        arguments = (dict(environment), list(words), texts, barrier, file_bytes_max)
        process = CONTEXT.Process(target=_run, args=arguments)
        process.start()
        try:
            yield Command(process, texts)
        finally:
            process.kill()
            process.join()
            process.close()


def timed(environment: Mapping[str, str], words: Sequence[str]) -> tuple[Ended, float]:
    """Run a command undisturbed; return how it ended and how many seconds it took."""
    before = time.monotonic()
    with begun(environment, words) as command:
        ended = command.ended()
        return ended, time.monotonic() - before


def _run(
    environment: Mapping[str, str],
    words: Sequence[str],
    texts: Path,
    barrier: Barrier | None,
    file_bytes_max: int | None,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["cva", *words]
    for name, descriptor in (("out", 1), ("err", 2)):
        file = os.open(texts / name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, descriptor)
    if file_bytes_max is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes_max, file_bytes_max))
    if barrier is not None:
        barrier.wait()
    main()
