"""The README is true: its commands are played as they stand, and what it names is there."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks_of, clone, played, shown_commands

README = ROOT / "README.md"
LINES_MAX = 200
CONTENT = README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def targets() -> set[str]:
    listing = subprocess.run(
        ["make", "help"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    return {line.partition("\t")[0] for line in listing.splitlines()}


def test_first_cycle_runs_as_it_is_written(environment: dict[str, str], tmp_path: Path) -> None:
    clone(tmp_path)

    session = played(list(blocks_of(README, "sh")), tmp_path, environment)

    assert session.returncode == 0, session.stdout
    said = " ".join(session.stdout.split())
    assert "kerem is the first administrator" in said
    assert "Approval 2 of 2 stands" in said
    assert "unexplained difference 0.00 TRY" in said
    assert re.search(r"The cycle cyc_\w+ is closed", said)
    assert re.search(r"(\d+) households and \d+ people counted by programme; \1 and", said)
    assert (tmp_path / "trial" / "reach.html").stat().st_size > 0
    assert (tmp_path / "trial" / "books.beancount").stat().st_size > 0


def test_commands_of_make_are_there(targets: set[str]) -> None:
    named = {command.split()[1] for command in shown_commands(README)}
    named |= set(re.findall(r"`make (\w+)`", CONTENT))

    assert {"demo", "test"} <= named <= targets


def test_every_promise_names_tests_that_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", CONTENT)

    missing = [
        f"{path}::{name}"
        for path, name in named
        if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8")
    ]

    assert missing == []
    assert len(named) >= 12


def test_readme_can_be_read_at_once() -> None:
    assert len(CONTENT.splitlines()) <= LINES_MAX
