"""Imports point down and only down, and the check of it can fail."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cva", "simulations", "eligibility", "adapters", "ledgers")
DOWN = "imports point down and only down"
NO_CONNECTION = "ledgers, eligibility and simulations open no connection and touch no network"
NO_DATABASE = "adapters own the wire, never the database"


def verdicts(folder: Path) -> dict[str, str]:
    """Run the import contracts on the tree in `folder`; returns KEPT or BROKEN by contract."""
    program = Path(sys.executable).with_name("lint-imports")
    answer = subprocess.run(
        [program, "--no-cache", "--config", folder / "pyproject.toml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"},
    )
    found = dict(re.findall(r"^(.+?) (KEPT|BROKEN)\b", answer.stdout, re.MULTILINE))
    assert answer.returncode == ("BROKEN" in found.values()), answer.stdout + answer.stderr
    return found


def test_the_import_contracts_hold() -> None:
    assert verdicts(ROOT) == {DOWN: "KEPT", NO_CONNECTION: "KEPT", NO_DATABASE: "KEPT"}


@pytest.mark.parametrize(
    ("module", "statement", "broken"),
    [
        ("ledgers/problems.py", "import cva.clock", DOWN),
        ("adapters/port.py", "import eligibility", DOWN),
        ("eligibility/__init__.py", "import adapters.port", DOWN),
        ("simulations/__init__.py", "import httpx", NO_CONNECTION),
        ("ledgers/problems.py", "import socket", NO_CONNECTION),
        ("adapters/port.py", "import psycopg", NO_DATABASE),
    ],
)
def test_a_wrong_import_breaks_its_contract(
    tmp_path: Path, module: str, statement: str, broken: str
) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            target = tmp_path / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{statement}\n")
    expected = dict.fromkeys((DOWN, NO_CONNECTION, NO_DATABASE), "KEPT") | {broken: "BROKEN"}
    assert verdicts(tmp_path) == expected
