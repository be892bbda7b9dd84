"""The bench at the size of a village: every step and every limit is reported, nothing is timed."""

from datetime import date

import pytest

from tests.benchmarks.report import page
from tests.benchmarks.running import Results, run

STEPS = {
    "import (JSON lines)": "bare COPY",
    "snapshot, assess, store": "bare DuckDB, COPY",
    "prepare (lock the plan)": "bare COPY",
    "approve twice, release": "bare COPY",
    "card file: render, hand over": "bare text",
    "card results: collect, settle": "bare COPY",
    "card settlement: collect, settle": "bare COPY",
    "bank file: render, hand over": "bare lxml",
    "bank statements: collect, settle": "bare COPY",
    "reconcile": "bare full join",
    "reach report": "bare GROUP BY",
    "import (XLSX)": "bare openpyxl",
}


@pytest.fixture(scope="module")
def results() -> Results:
    return run(200, durable=False, tries=1, say=lambda _: None)


def test_bench_reports_every_step_beside_its_limit(results: Results) -> None:
    assert {row.step: row.limit_name for row in results.rows} == STEPS


def test_bench_figures_are_positive(results: Results) -> None:
    figures = [figures for row in results.rows for figures in (row.ours, row.limit)]
    assert all(f.wall > 0 and f.client_cpu > 0 and f.server_cpu >= 0 for f in figures)
    assert all(f.peak > f.client_peak > 0 for f in figures)
    assert all(row.rows > 90 for row in results.rows)


def test_bench_page_has_a_line_for_every_step(results: Results) -> None:
    text = page(results, date(2026, 3, 2))
    assert text.startswith("# 200 households, 2026-03-02\n")
    table = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert [line.split(" | ")[0].removeprefix("| ") for line in table] == list(STEPS)
    assert {line.count(" | ") for line in table} == {13}
