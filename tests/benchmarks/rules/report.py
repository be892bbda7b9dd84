"""The page: the floors and what was measured, then every round.

CPU ratios to the hand-written SQL of the same round are floors, and so is the memory. Milliseconds
depend on the machine: a miss below one and a half times is a note.
"""

from collections.abc import Iterator
from datetime import date
from statistics import median

from tests.benchmarks.ledgers.report import Floor
from tests.benchmarks.report import machine
from tests.benchmarks.rules.running import Results

MEGABYTE = 1 << 20
FULL = 1_000_000
TIMES_MAX = 1.5
MEMORY_MB_MAX = 700
LARGE = 10_000_000
LARGE_MEMORY_MB_MAX = 4096
EXPLAINED_MS_MAX = 50
WHAT = {
    "decided": "status, pass and unknown bits, score, amount",
    "whole": "the run: also why, tie key, rank, who is served, sorted",
}

NOTES = """\
Twelve criteria (`twelve.yaml`) beside SQL written by hand for them (`hand_written.sql`), from two
Parquet files to one, both with two threads and the same memory for the engine. Each ran in a
process of its own, in turn, imports done; ours begins with the text of the pack. After every round
the two answers were compared: not one household differs. One household is explained from the stored
run and the snapshot, and must come out as it was decided.
"""
HEAD = """\
| answer | round | ours CPU s | hand CPU s | CPU ratio | ours s | hand s | ours MB | hand MB |
|---|---:|---:|---:|---:|---:|---:|---:|---:|"""


def page(results: Results, on: date) -> str:
    """Return the whole page."""
    return "\n".join(
        [
            f"# The rules: {results.households:,} households, {on.isoformat()}\n",
            *(f"- {line}" for line in machine()),
            f"- {results.members:,} members; {results.memory_mb:,} MB for the engine\n",
            NOTES,
            "| figure | measured | floor | |\n|---|---:|---:|---|",
            *map(str, floors(results)),
            "",
            HEAD,
            *_rounds(results),
            "",
        ]
    )


def floors(results: Results) -> Iterator[Floor]:
    """Yield every figure with its bound."""
    memory = LARGE_MEMORY_MB_MAX if results.households >= LARGE else MEMORY_MB_MAX
    for name, what in WHAT.items():
        yield Floor(f"{what}: CPU beside SQL by hand", results.ratio(name), TIMES_MAX)
        yield Floor(f"{what}: resident", results.peak(name) / MEGABYTE, memory, "MB")
    for at, clock in enumerate(("CPU", "by the clock")):
        middle = 1000 * median(taken[at] for taken in results.explained)
        what = f"one household explained, {clock}"
        yield Floor(what, middle, EXPLAINED_MS_MAX, "ms", is_ratio=False)


def _rounds(results: Results) -> Iterator[str]:
    for name, rounds in results.rounds.items():
        for number, one in enumerate(rounds, start=1):
            ours, hand = one.ours, one.hand
            yield (
                f"| {name} | {number} | {ours.cpu:.2f} | {hand.cpu:.2f} | {one.ratio:.2f} |"
                f" {ours.seconds:.2f} | {hand.seconds:.2f} | {ours.peak // MEGABYTE} |"
                f" {hand.peak // MEGABYTE} |"
            )
