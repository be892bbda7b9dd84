"""The simulation's bench at the size of a village: every figure is reported, nothing is timed."""

from datetime import date

import pytest

from tests.benchmarks.simulations import pieces
from tests.benchmarks.simulations.report import floors, page
from tests.benchmarks.simulations.running import Results, run

PIECES = [
    "write a synthetic snapshot", "gather cells", "a scenario on cells",
    "gather cells by province", "a scenario on cells by province", "a snapshot to its report",
    "household by household", "frontier of 50 values", "rake and make whole",
]  # fmt: skip


@pytest.fixture(scope="module")
def results() -> Results:
    return run(2_000, 50, rounds=1, say=lambda _: None)


def test_bench_measures_every_piece(results: Results) -> None:
    assert list(results.pieces) == PIECES
    [(ours, bare)] = results.rounds
    assert ours.answer == pytest.approx(bare.answer, rel=1e-9)
    assert results.pieces["gather cells"].answer == 2_000
    assert results.pieces["gather cells"].size < results.pieces["gather cells by province"].size


def test_cells_of_both_kinds_pay_as_much(results: Results) -> None:
    one, other = (results.pieces[f"a scenario on cells{name}"] for name in ("", " by province"))
    assert one.answer == other.answer > 0


def test_bench_page_has_every_floor(results: Results) -> None:
    text = page(results, date(2026, 3, 2))
    assert text.startswith("# Simulations: 2,000 households, 2026-03-02\n")
    assert all(str(floor) in text for floor in floors(results))
    assert all(f"| {name} |" in text for name in PIECES)


def test_the_bench_pack_asks_five_gates_and_seven_criteria() -> None:
    pack = pieces.rules_with("1.5").pack
    assert (len(pack.gates), len(pack.any_of)) == (5, 7)
