"""Reconciliation at full size: a million lines of ours and of theirs, differences planted.

    python -m tests.benchmarks.ledgers.reconciliation [--lines N]

Every size gets a server of its own that is set as the embedded one is, so that memory and time are
of this piece alone. Measured: taking both lists in, and the run of all rules with everything it
records; the run again where nothing is new. Limits: seconds and megabytes for the full size, and
eight times the lines in at most ten times the time. What is found is checked at every size.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg

from cva.database import migrations
from cva.database.cluster import Cluster, Role
from cva.database.connect import engine_at
from ledgers.matching import lines as taking
from ledgers.matching import running
from ledgers.matching.lines import Delivery
from ledgers.matching.rules import Name
from ledgers.matching.running import Act
from ledgers.matching.sources import Kind, Side, Source
from tests.benchmarks.measuring import Figures, Measuring
from tests.databases import plain
from tests.ledgers.matching import planted

FULL = 1_000_000
SHARE = 8
SECONDS_MAX = 60
BYTES_MAX = 2 * 1024**3
RATIO_MAX = 10
DAY = date(2026, 3, 16)
DELIVERY = Delivery("planted", DAY, "bench", "finance")
BOOKS = Source("books", "PLANTED", Side.OURS, Kind.LEDGER)
BANK = Source("statements", "PLANTED", Side.THEIRS, Kind.STATEMENT)
OWNERS = dict.fromkeys(Name, "finance")


@dataclass(frozen=True, slots=True)
class Size:
    """What one size took: taking both lists in, matching them, matching again."""

    lines: int
    taken: Figures
    matched: Figures
    again: Figures

    @property
    def seconds(self) -> float:
        """Taking in and matching together."""
        return self.taken.wall + self.matched.wall

    @property
    def cpu(self) -> float:
        """CPU seconds of the same, which other programs on the machine do not lengthen."""
        return self.taken.cpu + self.matched.cpu

    @property
    def peak(self) -> int:
        """Bytes at the highest moment."""
        return max(self.taken.peak, self.matched.peak, self.again.peak)


def run(lines: int = FULL) -> list[Size]:
    """Measure an eighth of the lines, then all of them."""
    return [_measured(lines // SHARE), _measured(lines)]


def judged(sizes: list[Size]) -> list[tuple[str, float, float]]:
    """(what, figure, limit) of every limit; seconds and bytes are for the full size."""
    small, full = sizes
    return [
        ("seconds", full.seconds, SECONDS_MAX),
        ("bytes", full.peak, BYTES_MAX),
        ("times the CPU for eight times the lines", full.cpu / small.cpu, RATIO_MAX),
        ("times the seconds for eight times the lines", full.seconds / small.seconds, RATIO_MAX),
    ]


def _measured(lines: int) -> Size:
    home = Path(tempfile.mkdtemp(prefix="cva-bench-"))
    cluster = Cluster(home)
    try:
        cluster.ensure_running()
        engine = engine_at(cluster.url(Role.OWNER))
        migrations.upgrade(engine)
        engine.dispose()
        address = plain(cluster.url(Role.APP))
        pid = cluster.status().pid
        measuring = Measuring(pid or 0, lambda: None)

        taken, _ = measuring.measure(Opener(address), _take, lines)
        matched, found = measuring.measure(Opener(address), _match)
        again, nothing = measuring.measure(Opener(address), _match)
        measuring.run(Opener(address), _check, lines, found, nothing)
        return Size(lines, taken, matched, again)
    finally:
        cluster.destroy()
        shutil.rmtree(home, ignore_errors=True)


@dataclass(frozen=True)
class Opener:
    """Opens a connection; goes to another process, so it is no closure."""

    address: str

    def __call__(self) -> object:
        return _connected(self.address)


@contextmanager
def _connected(address: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(address) as conn:
        conn.execute("SELECT 1")
        conn.commit()
        yield conn


def _take(conn: psycopg.Connection, lines: int) -> None:
    for source, select in ((BOOKS, planted.OUR_LINES), (BANK, planted.THEIR_LINES)):
        taking.take(conn, source, select, DELIVERY, {"lines": lines})
    conn.commit()


def _match(conn: psycopg.Connection) -> running.Found:
    found = running.run_rules(conn, "PLANTED", Act(DAY, "bench", "planted"), OWNERS)
    conn.commit()
    return found


def _check(
    conn: psycopg.Connection, lines: int, found: running.Found, nothing: running.Found
) -> None:
    rows = conn.execute("SELECT name, side, line_id FROM recon.open_exception").fetchall()
    names = {(Name(name), side, line_id) for name, side, line_id in rows}
    if names != planted.expected_names(lines) or found.late != planted.expected_late(lines):
        message = "the differences found are not those that were planted"
        raise AssertionError(message)
    if found.matched != planted.expected_matches(lines) or nothing.run_id is not None:
        message = "the matches are not those that there are"
        raise AssertionError(message)


def main(arguments: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=FULL)
    sizes = run(parser.parse_args(arguments).lines)
    out = sys.stdout.write
    out("| lines a side | take in s | match s | again s | CPU s | peak MB | elsewhere CPU s |\n")
    out("|---|---|---|---|---|---|---|\n")
    for size in sizes:
        elsewhere = size.taken.elsewhere_cpu + size.matched.elsewhere_cpu
        out(
            f"| {size.lines:,} | {size.taken.wall:.1f} | {size.matched.wall:.1f} |"
            f" {size.again.wall:.1f} | {size.cpu:.1f} | {size.peak / 1024**2:.0f} |"
            f" {elsewhere:.1f} |\n"
        )
    for what, figure, limit in judged(sizes):
        verdict = "within" if figure <= limit else "ABOVE"
        out(f"{what}: {figure:,.1f}, {verdict} the limit of {limit:,}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
