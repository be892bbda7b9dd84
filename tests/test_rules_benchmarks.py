"""The bench of the rules at the size of a village: same answer as by hand, every figure told."""

from datetime import date
from pathlib import Path

import pytest

from tests.benchmarks.rules.report import floors, page
from tests.benchmarks.rules.running import EXPLAINED, Results, run

HOUSEHOLDS = 3_000


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder: Path = tmp_path_factory.mktemp("rules")
    return run(HOUSEHOLDS, folder, rounds=1, say=lambda _: None)


def test_the_pack_decides_every_household_as_the_sql_by_hand_does(results: Results) -> None:
    # The run raises where one of them differs.
    assert {name: len(rounds) for name, rounds in results.rounds.items()} == {
        "decided": 1,
        "whole": 1,
    }
    assert len(results.explained) == EXPLAINED


def test_the_page_has_every_floor(results: Results) -> None:
    text = page(results, date(2026, 3, 2))
    assert text.startswith("# The rules: 3,000 households, 2026-03-02\n")
    assert len(list(floors(results))) == 6
    assert all(str(floor) in text for floor in floors(results))
