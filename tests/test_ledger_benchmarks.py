"""The ledger's bench at the size of a village: every figure is reported, nothing is timed."""

from datetime import date

import pytest

from tests.benchmarks.ledgers.report import Floor, floors, page
from tests.benchmarks.ledgers.running import Results, run

LOADS = 8_000
PIECES = [
    "verify", "record each item", "loads, an eighth", "verify, an eighth", "export for hledger",
    "export for beancount", "hold a plan", "settle a plan", "fill 400 days",
    "balance of a day with its holds",
]  # fmt: skip


@pytest.fixture(scope="module")
def results() -> Results:
    return run(LOADS, rounds=1, seconds=1, durable=False, say=lambda _: None)


def test_bench_measures_every_piece(results: Results) -> None:
    assert list(results.pieces) == PIECES
    assert len(results.rounds) == 1
    assert [paces.writers for paces in results.paces] == [1, 8, 8]
    assert list(results.balances) == [10 * LOADS // 8, 10 * LOADS]
    assert [size.lines for size in results.matched] == [LOADS // 8, LOADS]


def test_bench_page_has_every_floor(results: Results) -> None:
    text = page(results, date(2026, 3, 2))
    assert text.startswith("# The ledger: 8,000 loads, 2026-03-02\n")
    assert all(str(floor) in text for floor in floors(results))
    assert all(f"| {name} |" in text for name in PIECES)


@pytest.mark.parametrize(
    ("floor", "verdict"),
    [
        (Floor("rate", 2.0, 2.0, least=True), "within"),
        (Floor("rate", 1.9, 2.0, least=True), "MISSED"),
        (Floor("times", 3.1, 3.0), "MISSED"),
        (Floor("seconds", 44, 30, "s", is_ratio=False), "note"),
        (Floor("seconds", 46, 30, "s", is_ratio=False), "MISSED"),
    ],
)
def test_a_missed_ratio_is_missed_and_slow_seconds_are_a_note(floor: Floor, verdict: str) -> None:
    assert floor.verdict == verdict
