"""Two packs on the same households, before one of them is published.

The households are those of two plain CSV files, of the kept snapshot of a stored run, or all that
are registered here, frozen as for an assessment. Both packs get the same day, seed and budget, so
that the only difference is the rules.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from psycopg import Connection

from cva.registry.kept import restore
from cva.registry.snapshot import write_snapshot
from cva.replaying import StoredRun
from cva.rules_on_files import MEMORY_MB, THREADS, check_out
from eligibility.assessment import assess
from eligibility.comparison import Comparison, compare
from eligibility.plain_files import snapshot_of
from eligibility.rules.checked import rules_of
from eligibility.rules.pack import RulePack
from eligibility.snapshot import engine
from ledgers.problems import Answer, Problem

DIFF_ON_WHAT = Problem(
    "diff_on_what",
    "The households to compare on are not clear: {named}.",
    "Give --households and --members, or --run, or neither for all that are registered here.",
    Answer.USAGE,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The day, the seed and the budget of both runs; `out` is where the changes go."""

    on: date
    seed: str
    budget_minor: int | None
    out: Path | None

    def check(self) -> None:
        """Refuse an `out` that could not be written. Raises `rules_out`."""
        if self.out is not None:
            check_out(self.out)


def compare_on_files(
    before: RulePack, after: RulePack, households: Path, members: Path, asked: Asked
) -> Comparison:
    """Compare two packs on two CSV files. Raises what `cva rules run` raises."""
    asked.check()
    with tempfile.TemporaryDirectory(prefix="cva-rules-") as made:
        folder, files = Path(made), []
        for name, pack in (("before", before), ("after", after)):
            own = folder / name
            own.mkdir()
            with engine(folder, MEMORY_MB, THREADS) as connection:
                plain = snapshot_of(connection, households, members, rules_of(pack), own)
            files.append(_decided(own, pack, (plain.households, plain.members), asked))
        return compare(files[0], files[1], folder, asked.out)


def compare_run(
    conn: Connection, before: RulePack, after: RulePack, asked: Asked, run: StoredRun, work: Path
) -> Comparison:
    """Compare two packs on the kept snapshot of a stored run.

    Raises `snapshot_not_kept`, `snapshot_changed`, `snapshot_refused` where a pack reads what the
    snapshot does not hold, `rules_out` and what `assess` raises.
    """
    asked.check()
    with emptied(work / "diff") as folder:
        files = restore(conn, bytes(run.snapshot_sha256), folder)
        return _compared(folder, (before, after), files, asked)


def compare_live(
    conn: Connection, before: RulePack, after: RulePack, asked: Asked, work: Path
) -> Comparison:
    """Compare two packs on all live households. What is recorded in a cycle counts as unknown.

    Raises `rules_out` and what `assess` raises.
    """
    asked.check()
    conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with emptied(work / "diff") as folder:
        snapshot = write_snapshot(
            conn, folder, {**before.inputs.household, **after.inputs.household},
            {**before.inputs.member, **after.inputs.member},
        )  # fmt: skip
        return _compared(folder, (before, after), (snapshot.households, snapshot.members), asked)


def _compared(
    folder: Path, packs: tuple[RulePack, RulePack], files: tuple[Path, Path], asked: Asked
) -> Comparison:
    """Decide one snapshot by both packs and lay the decisions side by side."""
    decided = []
    for name, pack in zip(("before", "after"), packs, strict=True):
        own = folder / name
        own.mkdir()
        decided.append(_decided(own, pack, files, asked))
    return compare(decided[0], decided[1], folder, asked.out)


def _decided(folder: Path, pack: RulePack, files: tuple[Path, Path], asked: Asked) -> Path:
    out = folder / "decisions.parquet"
    assess(
        *files, pack, asked.on, out, seed=asked.seed, spill=folder,
        grant_minor=asked.budget_minor, memory_mb=MEMORY_MB, threads=THREADS,
    )  # fmt: skip
    return out


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """Give a closed folder that is empty, and gone afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
