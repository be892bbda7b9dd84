"""`cva`: the commands, and how each ends.

Exit codes: 0 done, 1 refused, 2 not understood, 3 not permitted, 4 not found, 70 a bug. A refusal
says what was not done, why, and what to do; a bug shows a reference only, and its traceback goes to
a file in the data folder, never to the screen: tracebacks quote data.
"""

import gc
import logging
import secrets
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from cva import disk
from cva.cli.output import warn
from cva.cli.starting import INTERRUPTED, INTERRUPTED_SAYS
from cva.settings import settings_of
from ledgers.problems import EXIT_CODES, Refusal

BUG = 70

# Groups of commands and their modules, in the order of the help.
GROUPS = {
    "user": "users",
    "programme": "programmes",
    "rules": "rules",
    "household": "households",
    "duplicates": "duplicates",
    "overlap": "overlap",
    "cycle": "cycles",
    "payments": "payments",
    "provider": "providers",
    "ledger": "ledger",
    "jobs": "jobs",
    "audit": "audit",
    "report": "reports",
    "simulate": "simulate",
}


def command_line(word: str = "") -> typer.Typer:
    """Return the commands; where `word` names a group, only that group, which starts faster."""
    app = typer.Typer(
        name="cva",
        help="Cash and voucher assistance: from a KoBo form to reconciled books.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        callback=_nothing,  # without it, a group that is alone would lose its name
    )
    if word not in GROUPS:
        import_module("cva.cli.setup").add_to(app)
    for name in [word] if word in GROUPS else GROUPS:
        app.add_typer(import_module(f"cva.cli.{GROUPS[name]}").app, name=name)
    return app


def main(loaded: Callable[[], object] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code.

    `loaded` is called when the commands are there and the one that was typed is about to begin.
    """
    # Libraries report to whoever keeps a log; here nobody does, and their texts may quote rows.
    logging.getLogger().addHandler(logging.NullHandler())
    gc.disable()  # what is loaded stays: looking through it for rubbish is a fifth of the start
    try:
        app = command_line(next(iter(sys.argv[1:]), ""))
        gc.freeze()
        gc.enable()
        if loaded is not None:
            loaded()
        code = app(standalone_mode=False)
        if code == INTERRUPTED:
            warn(INTERRUPTED_SAYS)
        sys.exit(code if isinstance(code, int) else 0)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except TyperException as error:
        message = error.format_message()
        is_help = "Usage:" in message
        warn(
            message if is_help else f"{message}\n  What to do: add --help to see what can be typed."
        )
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        warn(INTERRUPTED_SAYS)
        sys.exit(INTERRUPTED)
    except Refusal as refusal:
        _explain(refusal)
        sys.exit(EXIT_CODES[refusal.problem.answer])
    except Exception as error:  # noqa: BLE001 - the last resort: nothing may show data on the screen
        full = disk.refusal_of(error)
        if full is None:
            _keep_traceback()
            sys.exit(BUG)
        # A workbook that is half written complains with a traceback when it is cleared away.
        sys.unraisablehook = _leave_unsaid
        _explain(full)
        sys.exit(EXIT_CODES[full.problem.answer])


def _nothing() -> None:
    """Do nothing before a command."""


def _leave_unsaid(_: object) -> None:
    """Say nothing of an error that nobody can handle any more."""


def _explain(refusal: Refusal) -> None:
    for finding in refusal.findings:
        warn(str(finding))
    warn(f"{refusal.sentence}\n  What to do: {refusal.remedy}\n  ({refusal.problem.code})")


def _keep_traceback() -> None:
    reference = secrets.token_hex(4)
    folder = settings_of().home / "bugs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{reference}.txt"
    # Frames only: the text of an exception may quote a row.
    error_type = sys.exc_info()[0]
    frames = "".join(traceback.format_tb(sys.exc_info()[2]))
    path.touch(mode=0o600)
    path.write_text(f"{frames}{error_type.__name__ if error_type else ''}\n", encoding="utf-8")
    warn(
        f"Something is broken in the program (reference {reference}); the database kept nothing of"
        f" this command.\n  What to do: send {path} to the people who maintain it."
    )
