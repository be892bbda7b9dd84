"""Ctrl-C while the commands are still being loaded ends `cva` without a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

# Runs before the command: whoever looks for the module named below is interrupted at that moment.
INTERRUPTS = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, {usual})
sys.meta_path.insert(0, Interrupting())
"""


def typed(folder: Path, module: str, usual: str) -> tuple[int, str]:
    text = INTERRUPTS.format(module=module, usual=usual)
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [Path(sys.executable).parent / "cva", "payments", "--help"],
        env={"PYTHONPATH": str(folder), "HOME": str(folder)},
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize("module", ["typer", "cva.cli.main", "cva.cli.payments", "psycopg"])
def test_an_interrupted_start_is_quiet(tmp_path: Path, module: str) -> None:
    assert typed(tmp_path, module, "signal.default_int_handler") == (
        130, "Interrupted. Nothing half-done was kept; the same command goes on.\n",
    )  # fmt: skip


def test_a_start_in_the_background_is_not_interrupted(tmp_path: Path) -> None:
    assert typed(tmp_path, "typer", "signal.SIG_IGN") == (0, "")
