"""The page: the floors and what was measured, then every piece with its seconds and its memory."""

from collections.abc import Iterator
from datetime import date
from importlib.metadata import version

from tests.benchmarks.ledgers.report import Floor
from tests.benchmarks.report import machine
from tests.benchmarks.simulations.pieces import LIVES_DRAWS, LIVES_MONTHS, MONTHS, STRATA
from tests.benchmarks.simulations.running import Results

MEGABYTE = 1 << 20
FULL, DRAWS = 1_000_000, 10_000
KERNEL_TIMES_MAX = 2.0
SCENARIO_MS_MAX = 20
LIVES_CPU_MAX = 20
LIVES_MB_MAX = 1024
REPORT_SECONDS_MAX = 90

NOTES = """\
Each piece ran in a process of its own; *peak* is the most it ever held, everything imported
included. The kernel (`tests/benchmarks/simulations/kernel.py`) walks the same draws through all
months and strata in plain numpy and stops at the caseload; ours goes on to prices, exchange rates,
money in three currencies and their fans. A scenario on cells is the quickest of many, each with
a ratio that was not asked before: who qualifies, who is paid, what it costs. The report is the one
of the shipped scenario of costs, on the snapshot, with its books and its pages in three languages.
"""


def page(results: Results, on: date) -> str:
    """Return the whole page."""
    return "\n".join(
        [
            f"# Simulations: {results.households:,} households, {on.isoformat()}\n",
            *(f"- {line}" for line in machine()),
            f"- numpy {version('numpy')}, scipy {version('scipy')}\n",
            NOTES,
            "| figure | measured | floor | |\n|---|---:|---:|---|",
            *map(str, floors(results)),
            "",
            _rounds(results),
            _pieces(results),
        ]
    )


def floors(results: Results) -> Iterator[Floor]:
    """Everything that has a bound."""
    size = f"{results.draws:,} draws x {MONTHS} months x {STRATA} strata"
    yield Floor(f"{size}: CPU in times of the bare kernel", results.times_kernel, KERNEL_TIMES_MAX)
    for name in ("a scenario on cells", "a scenario on cells by province"):
        took = results.pieces[name].took
        yield Floor(name, 1000 * took.wall, SCENARIO_MS_MAX, "ms", is_ratio=False)
    took = results.pieces["household by household"].took
    lives = f"{results.households:,} households x {LIVES_MONTHS} months x {LIVES_DRAWS} draws"
    yield Floor(f"{lives}: CPU", took.cpu, LIVES_CPU_MAX, "s", is_ratio=False)
    yield Floor(f"{lives}: memory", took.peak / MEGABYTE, LIVES_MB_MAX, "MB", is_ratio=False)
    took = results.pieces["a snapshot to its report"].took
    size = f"a snapshot of {results.households:,} households to its report"
    yield Floor(size, took.wall, REPORT_SECONDS_MAX, "s", is_ratio=False)


def _rounds(results: Results) -> str:
    head = (
        "| round | ours s | CPU s | peak MB | kernel s | CPU s | peak MB | CPU beside kernel |\n"
        "|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    return head + "".join(
        f"| {number} | {ours.took.wall:.2f} | {ours.took.cpu:.2f} | {ours.took.peak // MEGABYTE:,}"
        f" | {bare.took.wall:.2f} | {bare.took.cpu:.2f} | {bare.took.peak // MEGABYTE:,}"
        f" | {ours.took.cpu / bare.took.cpu:.2f} |\n"
        for number, (ours, bare) in enumerate(results.rounds, start=1)
    )


def _pieces(results: Results) -> str:
    return "| piece | rows | wall s | CPU s | peak MB |\n|---|---:|---:|---:|---:|\n" + "".join(
        f"| {name} | {found.size:,} | {found.took.wall:.4f} | {found.took.cpu:.4f}"
        f" | {found.took.peak // MEGABYTE:,} |\n"
        for name, found in results.pieces.items()
    )
