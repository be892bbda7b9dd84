"""Differences planted in twenty thousand lines: every one found and named, none invented."""

import pytest

from ledgers.matching import lines as taking
from ledgers.matching.lines import Delivery, Taken
from ledgers.matching.rules import Name, Rule
from tests.ledgers.matching import planted
from tests.ledgers.matching.conftest import BANK, BOOKS, TODAY, Table

LINES = 20_000
DELIVERY = Delivery("march.csv", TODAY, "Deniz", "finance")


def take_all(table: Table) -> list[Taken]:
    return [
        taking.take(table.conn, source, select, DELIVERY, {"lines": LINES})
        for source, select in ((BOOKS, planted.OUR_LINES), (BANK, planted.THEIR_LINES))
    ]


@pytest.fixture
def compared(table: Table) -> Table:
    take_all(table)
    return table


def test_every_planted_difference_is_found_and_none_invented(compared: Table) -> None:
    found = compared.run()
    rows = compared.conn.execute("SELECT name, side, line_id FROM recon.open_exception").fetchall()
    assert {(Name(name), side, line) for name, side, line in rows} == planted.expected_names(LINES)
    assert found.matched == planted.expected_matches(LINES)
    assert found.late == planted.expected_late(LINES) == LINES // 100
    assert found.suggested[Rule.OTHER_AMOUNT] == 2 * LINES // 100


def test_nothing_is_used_twice_and_no_amount_is_lost(compared: Table) -> None:
    compared.run()
    assert compared.conn.execute(
        "SELECT count(*) - count(DISTINCT line_no) FROM recon.clearing"
    ).fetchone() == (0,)
    # what ours and theirs differ by is what the exceptions say, to the kurush
    assert compared.conn.execute(
        "SELECT sum(CASE side WHEN 'ours' THEN open_minor ELSE -open_minor END)"
        " + (SELECT sum(CASE side WHEN 'ours' THEN -amount_minor ELSE amount_minor END)"
        "    FROM recon.open_exception) FROM recon.open_line"
    ).fetchone() == (0,)


def test_file_taken_again_changes_nothing(compared: Table) -> None:
    compared.run()
    before = compared.counts()
    assert [(t.added, t.changed) for t in take_all(compared)] == [(0, 0), (0, 0)]
    compared.run()
    assert compared.counts() == before
