"""The path played once undisturbed, and the record of what was killed.

`CVA_FAULT_SEEDS` says how many moments of each step are tried (a handful by default, 50 by
`make proof`); `CVA_FAULT_RECORD` names the folder that gets the record.
"""

import os
import platform
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cva.database.cluster import Cluster
from tests.databases import create_database, drop_database
from tests.faults.path import Played, Site

SEEDS = int(os.environ.get("CVA_FAULT_SEEDS", "2"))


@dataclass
class Record:
    """How many kills there were, and how many hit a step at its work."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    held: Counter[tuple[str, str]] = field(default_factory=Counter)

    def begins(self, what: str, step: str, *, hit: bool) -> None:
        """Something was killed; from here on the test can fail."""
        self.kills[what, step] += 1
        self.hits[what, step] += hit

    def holds(self, what: str, step: str) -> None:
        """The test came to its end."""
        self.held[what, step] += 1

    def page(self, day: str) -> str:
        rows = [
            f"| {what} | {step} | {count} | {self.hits[what, step]} |"
            f" {count - self.held[what, step]} |"
            for (what, step), count in self.kills.items()
        ]
        total, hits, failed = (
            self.kills.total(), self.hits.total(), self.kills.total() - self.held.total()
        )  # fmt: skip
        sums = f"{SEEDS} seeds for each step, {total} kills, {hits} at work, {failed} failures"
        head = [
            f"# Kills of {day}",
            "",
            f"`make proof`: {sums}.",
            f"Python {platform.python_version()}, PostgreSQL 18, {os.cpu_count()} cores.",
            "",
            "| killed | during | kills | at work | failures |",
            "|---|---|---:|---:|---:|",
        ]
        return "\n".join([*head, *rows]) + "\n"


@pytest.fixture(scope="session")
def record() -> Iterator[Record]:
    kept = Record()
    yield kept
    folder = os.environ.get("CVA_FAULT_RECORD")
    if folder:
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        (Path(folder) / f"{day}.md").write_text(kept.page(day), encoding="utf-8")


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Registrations and the master key, the same for every installation here."""
    folder = tmp_path_factory.mktemp("people")
    folder.chmod(0o700)
    return folder


@pytest.fixture(scope="session")
def played(
    cluster: Cluster, template: str, people: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    create_database(cluster, "undisturbed", template)
    root = tmp_path_factory.mktemp("undisturbed")
    path = Played.undisturbed(Site(cluster, "undisturbed", root, people), root / "aside")
    path.site.check_money()
    yield path
    path.dropped()
    drop_database(cluster, "undisturbed")
