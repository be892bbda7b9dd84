"""Where the command `cva` begins: quiet from the first moment, also when it is stopped at once.

Loading the commands takes longer than a person who mistyped waits. Nothing is open or begun by
then, so Ctrl-C ends the process where it stands; after that, `cva.cli.main` answers it.
"""

import os
import signal
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130  # Typer's answer to Ctrl-C inside a command
INTERRUPTED_SAYS = "Interrupted. Nothing half-done was kept; the same command goes on."


def main() -> NoReturn:
    """Load the commands, run the one that was typed, and end the process with its exit code."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # a shell's background ignores Ctrl-C, and so do we
        signal.signal(signal.SIGINT, _leave)
    from cva.cli import main as commands

    commands.main(loaded=lambda: signal.signal(signal.SIGINT, usual))


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    os.write(2, f"{INTERRUPTED_SAYS}\n".encode())  # as it stands, without the libraries' help
    os._exit(INTERRUPTED)
