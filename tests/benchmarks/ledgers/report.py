"""The page: the floors and what was measured, then every piece with its seconds and its memory.

Ratios of runs that follow each other are floors. Seconds depend on the machine: a miss below one
and a half times is a note.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from statistics import median

from tests.benchmarks.ledgers import reconciliation
from tests.benchmarks.ledgers.pacing import PLAIN_INSERT
from tests.benchmarks.ledgers.running import SHARE, WRITERS, Results
from tests.benchmarks.measuring import Figures
from tests.benchmarks.report import machine

MEGABYTE = 1 << 20
FULL = 1_000_000
NOTE_TIMES = 1.5
RATE_MIN = 2.0
PLAN_TIMES_MAX = 3.0
SINGLE_SHARE_MIN = 0.25
HOT_SHARE_MIN = 0.5
VERIFY_SECONDS_MAX = 30
BALANCE_MS_MAX = 50
TIMES_MAX = 10  # for eight times the data

NOTES = """\
Each piece ran in a process of its own, imports done and connection open, after a CHECKPOINT.
*Peak* is client and server together (shared pages of PostgreSQL once), *client* the client alone.
*C* is COPY into the ordinary design with two postings and built-in foreign keys, *A* the same bytes
into tables without any constraint. Both send bytes that are ready; ours is handed rows of Python,
encodes them, and claims its key with their digest before it sends: all of that is in its seconds.
"""


@dataclass(frozen=True, slots=True)
class Floor:
    """A figure with what it must reach; `least`: at least that, else at most."""

    what: str
    figure: float
    bound: float
    unit: str = "x"
    least: bool = False
    is_ratio: bool = True

    @property
    def verdict(self) -> str:
        """within, note or MISSED."""
        times = self.bound / self.figure if self.least else self.figure / self.bound
        if times <= 1:
            return "within"
        return "note" if not self.is_ratio and times < NOTE_TIMES else "MISSED"

    def __str__(self) -> str:
        bound = f"{'≥' if self.least else '≤'} {self.bound:g} {self.unit}"
        return f"| {self.what} | {self.figure:.2f} {self.unit} | {bound} | {self.verdict} |"


def page(results: Results, on: date) -> str:
    """Return the whole page."""
    return "\n".join(
        [
            f"# The ledger: {results.loads:,} loads, {on.isoformat()}\n",
            *(f"- {line}" for line in machine()),
            f"- other programs meanwhile: {_elsewhere(results):.0f} % of the machine\n",
            NOTES,
            "| figure | measured | floor | |\n|---|---:|---:|---|",
            *map(str, floors(results)),
            "",
            _rounds(results),
            _pieces(results),
            _paces(results),
            _readings(results),
        ]
    )


def floors(results: Results) -> Iterator[Floor]:
    """Everything that has a bound."""
    ours = median(posted.wall for posted, _, _ in results.rounds)
    ratio = median(ordinary.wall / posted.wall for posted, ordinary, _ in results.rounds)
    yield Floor("loads: rate beside C, median of the rounds", ratio, RATE_MIN, least=True)
    planned = results.seconds("hold a plan", "settle a plan")
    yield Floor("hold and settle a plan, in times of the loads", planned / ours, PLAN_TIMES_MAX)
    for paces in results.paces:
        hot = paces.writers == WRITERS
        if hot and paces.other == PLAIN_INSERT:
            continue  # recorded below; what a hot account costs is told by the other comparison
        yield Floor(
            f"{paces.writers} writer{'s' * hot}, one commit each: rate beside {paces.other}",
            paces.share, HOT_SHARE_MIN if hot else SINGLE_SHARE_MIN, least=True,
        )  # fmt: skip
    pieces = results.pieces
    yield Floor("verify", pieces["verify"].figures.wall, VERIFY_SECONDS_MAX * results.loads / FULL,
                "s", is_ratio=False)  # fmt: skip
    eighths = {
        "loads": ours / pieces["loads, an eighth"].figures.wall,
        "verify": pieces["verify"].figures.wall / pieces["verify, an eighth"].figures.wall,
    }
    for what, times in eighths.items():
        yield Floor(f"{what}: times the seconds for {SHARE} x the data", times, TIMES_MAX)
    most = [max(taken) * 1000 for taken in results.balances.values()]
    among = f"{max(results.balances):,}"
    yield Floor(f"a balance as of a day among {among} lines, the slowest", most[-1],
                BALANCE_MS_MAX, "ms", is_ratio=False)  # fmt: skip
    typical = [median(taken) for taken in results.balances.values()]
    yield Floor(f"the same: times the seconds for {SHARE} x the data", typical[-1] / typical[0],
                TIMES_MAX)  # fmt: skip
    for what, figure, bound in reconciliation.judged(results.matched):
        unit = {"seconds": "s", "bytes": "MB"}.get(what, "x")
        scale = MEGABYTE if what == "bytes" else 1
        yield Floor(f"reconciliation: {what.removeprefix('bytes') or 'memory'}", figure / scale,
                    bound / scale, unit, is_ratio=unit == "x")  # fmt: skip


def _rounds(results: Results) -> str:
    head = (
        "| round | ours s | client CPU s | server CPU s | peak MB | client MB | C s | C CPU s |"
        " A s | A CPU s | rate beside C | CPU beside C | server CPU beside C | rate beside A |\n"
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    return head + "".join(
        f"| {number} | {ours.wall:.2f} | {ours.client_cpu:.2f} | {ours.server_cpu:.2f}"
        f" | {ours.peak // MEGABYTE:,} | {ours.client_peak // MEGABYTE:,} | {c.wall:.2f}"
        f" | {c.cpu:.2f} | {a.wall:.2f} | {a.cpu:.2f} | {c.wall / ours.wall:.2f}"
        f" | {c.cpu / ours.cpu:.2f} | {c.server_cpu / ours.server_cpu:.2f}"
        f" | {a.wall / ours.wall:.2f} |\n"
        for number, (ours, c, a) in enumerate(results.rounds, start=1)
    )


def _pieces(results: Results) -> str:
    rows = [(piece.name, piece.lines, piece.figures) for piece in results.pieces.values()]
    for size in results.matched:
        rows += [
            ("reconciliation: take both lists in", size.lines, size.taken),
            ("reconciliation: match", size.lines, size.matched),
            ("reconciliation: match again, nothing new", size.lines, size.again),
        ]
    return (
        "| piece | lines | wall s | client CPU s | server CPU s | peak MB | client MB | lines/s |\n"
        "|---|---:|---:|---:|---:|---:|---:|---:|\n"
        + "".join(
            f"| {name} | {lines:,} | {f.wall:.2f} | {f.client_cpu:.2f} | {f.server_cpu:.2f}"
            f" | {f.peak // MEGABYTE:,} | {f.client_peak // MEGABYTE:,} | {lines / f.wall:,.0f} |\n"
            for name, lines, f in rows
        )
    )


def _paces(results: Results) -> str:
    return (
        "| writers | beside | ours/s | client CPU ms | server CPU ms | other/s | client CPU ms |"
        " server CPU ms | share |\n|---:|---|---:|---:|---:|---:|---:|---:|---:|\n"
        + "".join(
            f"| {paces.writers} | {paces.other} | {ours.rate:,.0f} | {ours.client_ms:.3f}"
            f" | {ours.server_ms:.3f} | {bare.rate:,.0f} | {bare.client_ms:.3f}"
            f" | {bare.server_ms:.3f} | {ours.rate / bare.rate:.2f} |\n"
            for paces in results.paces
            for ours, bare in paces.rounds
        )
    )


def _readings(results: Results) -> str:
    return "| program, agrees with our export | export MB | CPU s | peak MB |\n" + (
        "|---|---:|---:|---:|\n"
        + "".join(
            f"| {r.program} | {r.megabytes:,} | {r.cpu:.1f} | {r.peak // MEGABYTE:,} |\n"
            for r in results.readings
        )
    )


def _elsewhere(results: Results) -> float:
    figures: list[Figures] = [f for figures in results.rounds for f in figures]
    figures += [piece.figures for piece in results.pieces.values()]
    wall = sum(f.wall for f in figures) * (os.cpu_count() or 1)
    return 100 * sum(f.elsewhere_cpu for f in figures) / wall
