"""The run: ours and the hand-written in turn, each in an own process, compared every round."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pyarrow.parquet as pq

from eligibility.assessment import memory_for
from eligibility.rules.checked import load_pack
from eligibility.rules.explain import Explanation, explain
from tests.benchmarks.rules.caseload import write_caseload
from tests.benchmarks.rules.work import HERE, ON, differences

EXPLAINED = 40
ROOT = HERE.parent.parent.parent
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one piece of work took."""

    seconds: float
    cpu: float
    peak: int


@dataclass(frozen=True, slots=True)
class Compared:
    """One round: our work and the hand-written, which gave the same answer."""

    ours: Figures
    hand: Figures

    @property
    def ratio(self) -> float:
        """Our CPU time in times of the other."""
        return self.ours.cpu / self.hand.cpu


@dataclass
class Results:
    """What the run found."""

    households: int
    members: int = 0
    memory_mb: int = 0
    rounds: dict[str, list[Compared]] = field(default_factory=dict)
    explained: list[tuple[float, float]] = field(default_factory=list)  # CPU, wall seconds

    def ratio(self, name: str) -> float:
        """The median of the rounds."""
        return median(one.ratio for one in self.rounds[name])

    def peak(self, name: str) -> int:
        """The most that our work held in any round, in bytes."""
        return max(one.ours.peak for one in self.rounds[name])


class DifferentAnswerError(Exception):
    """Ours and the hand-written disagree: nothing was measured."""


def run(households: int, folder: Path, *, rounds: int, say: Say) -> Results:
    """Run everything for so many households; what it needs on disk goes to `folder`."""
    files = write_caseload(folder, households)
    results = Results(households, pq.read_metadata(files[1]).num_rows, memory_for(files[0]))
    for name in ("decided", "whole"):
        results.rounds[name] = []
        for number in range(rounds):
            compared = _round(name, files, folder, results.memory_mb)
            results.rounds[name].append(compared)
            say(
                f"{name}, round {number + 1}: {compared.ours.cpu:.2f} s CPU beside"
                f" {compared.hand.cpu:.2f}: {compared.ratio:.2f} x,"
                f" {compared.ours.peak >> 20} MB"
            )
    results.explained = explained(files, folder / "ours_whole.parquet")
    cpu, wall = max(results.explained)
    say(f"one household explained: {1000 * cpu:.1f} ms CPU at most, {1000 * wall:.1f} ms")
    return results


def _round(name: str, files: tuple[Path, Path], folder: Path, memory_mb: int) -> Compared:
    answers = folder / f"ours_{name}.parquet", folder / f"hand_{name}.parquet"
    took = [_measured(answer.stem, files, answer, memory_mb) for answer in answers]
    found = differences(*answers)
    if found:
        message = f"{found} households are decided otherwise by hand"
        raise DifferentAnswerError(message)
    return Compared(*took)


def _measured(name: str, files: tuple[Path, Path], out: Path, memory_mb: int) -> Figures:
    words = [name, *map(str, files), str(out), str(memory_mb)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.rules.work", *words],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


def explained(files: tuple[Path, Path], decisions: Path) -> list[tuple[float, float]]:
    """What it takes to explain households of a stored run, one after the other."""
    pack = load_pack(HERE / "twelve.yaml")
    rows = pq.read_metadata(decisions).num_rows
    made = random.Random(1)  # noqa: S311 - chance that can be repeated
    taken = []
    with duckdb.connect(config={"threads": 1}) as connection:
        for at in [0, *(made.randrange(rows) for _ in range(EXPLAINED))]:
            cpu, wall = time.process_time(), time.perf_counter()
            found = [_rows_of(connection, path, f"hh_{at:08d}") for path in (decisions, *files)]
            [decision], [household], members = found
            why = explain(household, members, pack, ON)
            taken.append((time.process_time() - cpu, time.perf_counter() - wall))
            _must_agree(why, decision)
    return taken[1:]  # the first one opens the files


def _rows_of(
    connection: duckdb.DuckDBPyConnection, path: Path, household_id: str
) -> list[dict[str, Any]]:
    # Files are in the order of household_id: the statistics of their groups leave all but one out.
    query = "SELECT * FROM read_parquet($path) WHERE household_id = $id"
    cursor = connection.execute(query, {"path": str(path), "id": household_id})
    names = [name for name, *_ in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _must_agree(why: Explanation, decision: Mapping[str, Any]) -> None:
    said = (why.status, why.pass_bits, why.unknown_bits)
    stored = tuple(decision[name] for name in ("status", "pass_bits", "unknown_bits"))
    if said != stored:
        message = f"a household is explained as {said} and was decided as {stored}"
        raise DifferentAnswerError(message)
