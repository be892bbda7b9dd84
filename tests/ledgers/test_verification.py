"""Verification trusts no trigger: what an owner does behind them is found."""

import psycopg
import pytest

from ledgers.verification import Check, verify
from tests.ledgers.conftest import Books

SOUND = [
    ("legs balance per entry, layer, currency and grant", 1),
    ("every entry has two legs or a transfer", 3),
    ("every line stands on an entry and on accounts that fit", 12),
    ("every hold is resolved at most once and never above its amount", 2),
    ("every resolution repeats its hold", 2),
    ("no instruction is on hold twice", 2),
    ("every reversal is the mirror of its entry", 0),
    ("debits equal credits over all accounts per currency", 1),
    ("the balances kept are the fold of the log", 4),
    ("no limited account is below zero, holds included", 1),
]


@pytest.fixture
def settled(books: Books) -> Books:
    books.hold({"A1": 300, "A2": 700})
    books.settle({"A1": 250, "A2": 0})
    books.conn.commit()
    return books


def test_sound_books_say_what_was_checked(settled: Books) -> None:
    report = verify(settled.conn)
    assert report.checks == tuple(Check(name, count, 0, "") for name, count in SOUND)
    assert report.sound


DELETE_POSTED = """
    DELETE FROM books.entry e WHERE EXISTS (SELECT FROM books.transfer t
        WHERE t.entry_id = e.entry_id AND t.phase = 'posted')
"""
POST_AGAIN = """
    DROP INDEX books.transfer_one_resolution;
    INSERT INTO books.transfer (entry_id, phase, debit_account_id, credit_account_id, amount_minor,
        currency, grant_code, instruction_ref, pending_id)
    SELECT entry_id, phase, debit_account_id, credit_account_id, 1, currency, grant_code,
        instruction_ref, pending_id FROM books.transfer WHERE phase = 'posted'
"""
HOLD_TWICE = """
    DROP INDEX books.transfer_one_hold;
    UPDATE books.transfer SET instruction_ref = 'A1' WHERE phase = 'pending'
"""
FALSE_REVERSAL = """
    UPDATE books.entry SET reverses = (SELECT min(entry_id) FROM books.entry)
    WHERE entry_id = (SELECT max(entry_id) FROM books.entry)
"""


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE books.leg SET amount_minor = amount_minor + 1 WHERE leg_no = 1", {0, 7, 8}),
        ("DELETE FROM books.leg", {1, 8, 9}),
        ("DELETE FROM books.transfer WHERE phase = 'voided'", {8}),
        (DELETE_POSTED, {2}),
        ("UPDATE books.transfer SET amount_minor = 301 WHERE phase = 'posted'", {3, 8}),
        (POST_AGAIN, {4, 3, 8}),
        ("UPDATE books.transfer SET location = 'TR-34' WHERE phase = 'posted'", {4}),
        (HOLD_TWICE, {4, 5}),
        (FALSE_REVERSAL, {6}),
        ("UPDATE books.balance SET posted_debit = posted_debit + 1", {8}),
        ("UPDATE books.account SET currency = 'USD' WHERE code = '5010.TRY'", {2, 7}),
    ],
)
@pytest.mark.usefixtures("settled")
def test_damage_behind_the_triggers_is_found(
    owner: psycopg.Connection, damage: str, found: set[int]
) -> None:
    for table in ("account", "entry", "leg", "transfer"):
        owner.execute(f"ALTER TABLE books.{table} DISABLE TRIGGER USER")
    owner.execute("ALTER TABLE books.leg DROP CONSTRAINT leg_entry_id_fkey")
    owner.execute(damage)
    report = verify(owner)
    assert {number for number, check in enumerate(report.checks) if check.wrong} == found
    assert not report.sound
    assert all(check.example for check in report.checks if check.wrong)
