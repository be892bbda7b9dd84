"""`cva`: the commands, and how each ends.

Exit codes: 0 done, 1 refused, 2 not understood, 3 not permitted, 4 not found, 70 a bug. A refusal
says what was not done, why, and what to do; a bug shows a reference only, and its traceback goes to
a file in the data folder, never to the screen: tracebacks quote data.
"""

import secrets
import sys
import traceback
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from cva.cli import (
    audit,
    cycles,
    duplicates,
    households,
    ledger,
    payments,
    programmes,
    providers,
    reports,
    setup,
    simulate,
    users,
)
from cva.cli.output import warn
from cva.settings import settings_of
from ledgers.problems import EXIT_CODES, Refusal

BUG = 70
INTERRUPTED = 130

app = typer.Typer(
    name="cva",
    help="Cash and voucher assistance: from a KoBo form to reconciled books.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
setup.add_to(app)
app.add_typer(users.app, name="user")
app.add_typer(programmes.app, name="programme")
app.add_typer(households.app, name="household")
app.add_typer(duplicates.app, name="duplicates")
app.add_typer(cycles.app, name="cycle")
app.add_typer(payments.app, name="payments")
app.add_typer(providers.app, name="provider")
app.add_typer(ledger.app, name="ledger")
app.add_typer(audit.app, name="audit")
app.add_typer(reports.app, name="report")
app.add_typer(simulate.app, name="simulate")


def main() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
    except TyperException as error:
        warn(f"{error.format_message()}\n  What to do: add --help to see what can be typed.")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        warn("Interrupted. Nothing half-done was kept; the same command goes on.")
        sys.exit(INTERRUPTED)
    except Refusal as refusal:
        _explain(refusal)
        sys.exit(EXIT_CODES[refusal.problem.answer])
    except Exception:  # noqa: BLE001 - the last resort: nothing may show data on the screen
        _keep_traceback()
        sys.exit(BUG)


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
