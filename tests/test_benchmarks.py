"""The bench at the size of a village: every step and every limit is reported, nothing is timed."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from tests.benchmarks.report import Whole, page
from tests.benchmarks.running import Results, run

STEPS = [
    ("import (JSON lines)", "bare COPY"),
    ("snapshot, assess, store", "bare DuckDB, COPY"),
    ("prepare (lock the plan)", "bare COPY"),
    ("approve twice, release", "bare COPY"),
    ("approve twice, release", "ordinary ledger, COPY"),
    ("card file: render, hand over", "bare text"),
    ("card results: collect, settle", "bare COPY"),
    ("card settlement: collect, settle", "bare COPY"),
    ("bank file: render, hand over", "bare lxml"),
    ("bank statements: collect, settle", "bare COPY"),
    ("reconcile", "bare full join"),
    ("reach report", "bare GROUP BY"),
    ("import (XLSX)", "bare openpyxl"),
]


@pytest.fixture(scope="module")
def results() -> Results:
    return run(200, durable=False, tries=1, say=lambda _: None)


def test_bench_reports_every_step_beside_its_limit(results: Results) -> None:
    assert [(row.step, row.limit_name) for row in results.rows] == STEPS


def test_bench_figures_are_positive(results: Results) -> None:
    figures = [figures for row in results.rows for figures in (row.ours, row.limit)]
    assert all(f.wall > 0 and f.client_cpu > 0 and f.server_cpu >= 0 for f in figures)
    assert all(f.peak > f.client_peak > 0 for f in figures)
    assert all(row.rows > 90 for row in results.rows)


def test_bench_page_has_a_line_for_every_step(results: Results) -> None:
    text = page(results, date(2026, 3, 2))
    assert text.startswith("# 200 households, 2026-03-02\n")
    table = [line for line in text.splitlines() if line.startswith("| ")][1:]
    cells = [line.removeprefix("| ").split(" | ") for line in table]
    assert [(line[0], line[8]) for line in cells] == STEPS
    assert {len(line) for line in cells} == {14}


def test_the_whole_path_is_the_sum_of_its_steps_without_the_workbook(results: Results) -> None:
    steps = {row.step: row.ours for row in results.rows[:-1]}
    whole = Whole.of(results)
    assert whole.wall == pytest.approx(sum(ours.wall for ours in steps.values()))
    assert whole.peak_mb == max(ours.peak >> 20 for ours in steps.values())
    assert Whole.recorded(f"- {Whole(1234.5, 67.8, 1500)}\n") == Whole(1234.5, 67.8, 1500)


def test_a_larger_run_is_held_against_the_newest_record(results: Results, tmp_path: Path) -> None:
    whole = Whole.of(results)
    (tmp_path / "2026-03-01-131072.md").write_text(f"- {Whole(1, 1, 1)}\n")
    (tmp_path / "2026-03-02-131072.md").write_text(f"- {Whole(1, 1, whole.peak_mb)}\n")
    (tmp_path / "2026-03-03-131072.md").write_text("older pages have no sum\n")
    million = replace(results, households=1_048_576)
    text = page(million, date(2026, 3, 4), tmp_path)
    took = f"took {whole.wall:.2f} x the wall seconds and {whole.cpu:.2f} x the CPU seconds"
    assert f"- 8 x the households of 2026-03-02-131072.md {took}" in text
    assert "1.00 x the memory (at most 2)" in text
    assert "households of" not in page(results, date(2026, 3, 4), tmp_path)
    nothing = page(million, date(2026, 3, 4), tmp_path / "empty")
    assert "no page of 131,072 households is recorded to compare with" in nothing
