"""Verification trusts no trigger: what an owner does behind them is found."""

import psycopg
import pytest

from ledgers.chart import open_account
from ledgers.entries import record
from ledgers.transfers import transfer
from ledgers.verification import Check, verify
from ledgers.wallets import open_wallet
from tests.ledgers.conftest import CARDS, GRANT, MARCH, Books, leg

SOUND = [
    ("legs balance per entry, layer, currency and grant", 2),
    ("every entry has two legs or a transfer", 5),
    ("every line stands on an entry and on accounts that fit", 16),
    ("every hold is resolved at most once and never above its amount", 2),
    ("every resolution repeats its hold", 2),
    ("no instruction is on hold twice", 2),
    ("every reversal is the mirror of its entry", 0),
    ("debits equal credits over all accounts per currency", 1),
    ("the balances kept are the fold of the log", 7),
    ("no limited account is below zero, holds included", 4),
    ("the days' totals are the fold of the log", 6),
    ("the wallets' balances are the fold of the log", 1),
    ("every control account is the sum of its wallets, none of them below zero", 1),
    ("what the stripes of an account lend each other sums to nothing", 7),
    ("the transfers of every entry are numbered without a gap", 3),
    ("no entry is dated after its recording or in a period closed by then", 5),
    ("every grant's authority is available, committed or spent", 1),
]


@pytest.fixture
def settled(books: Books) -> Books:
    books.hold({"A1": 300, "A2": 700})
    books.settle({"A1": 250, "A2": 0})
    open_account(books.conn, "1210", "TRY", MARCH, provider="HALK")
    wallet = open_wallet(books.conn, "w_1", provider="HALK", on=MARCH)
    load = books.lines({"A3": 40}, debit=CARDS, wallet=wallet)
    transfer(books.conn, books.head("load"), load)
    for code in ("9010", "9030"):
        open_account(books.conn, code, "TRY", MARCH, grant=GRANT)
    budget = [leg(f"9010.{GRANT}.TRY", 9, "M"), leg(f"9030.{GRANT}.TRY", -9, "M")]
    record(books.conn, books.head("budget_allotted"), budget)
    books.conn.commit()
    return books


def test_sound_books_say_what_was_checked(settled: Books) -> None:
    report = verify(settled.conn)
    rows, log = report.checks[: len(SOUND)], report.checks[len(SOUND) :]
    assert rows == tuple(Check(name, count, 0, "") for name, count in SOUND)
    assert [check.wrong for check in log] == [0] * 6  # the log's own tests look at these
    assert report.sound


DELETE_POSTED = """
    DELETE FROM books.entry e WHERE EXISTS (SELECT FROM books.transfer t
        WHERE t.entry_id = e.entry_id AND t.phase = 'posted')
"""
POST_AGAIN = """
    DROP INDEX books.transfer_one_resolution;
    INSERT INTO books.transfer (entry_id, line_no, phase, debit_account_id, credit_account_id,
        amount_minor, held_minor, currency, grant_code, instruction_ref, pending_id)
    SELECT entry_id, 3, phase, debit_account_id, credit_account_id, 1, held_minor, currency,
        grant_code, instruction_ref, pending_id FROM books.transfer WHERE phase = 'posted'
"""
HOLD_TWICE = """
    DROP INDEX books.transfer_one_hold;
    UPDATE books.transfer SET instruction_ref = 'A1' WHERE phase = 'pending'
"""
FALSE_REVERSAL = """
    UPDATE books.entry SET reverses = (SELECT min(entry_id) FROM books.entry)
    WHERE entry_id = (SELECT max(entry_id) FROM books.entry)
"""
CLOSED_BEFORE = """
    INSERT INTO books.period_state (ends_on, state, recorded_on, recorded_by, reason)
        VALUES ('2026-03-02', '{}', '2026-03-03', 'Sam', 'sly');
    ALTER TABLE books.period_state DISABLE TRIGGER USER;
    UPDATE books.period_state SET recorded_at = '2026-01-01'
"""
BALANCED, ENTRY, FIT, ONCE, REPEATS, TWICE, MIRROR, DEBITS, KEPT, LIMIT = range(10)
DAYS, WALLETS, CONTROL, LENT, NUMBERED, DATED, AUTHORITY = range(10, 17)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (
            "UPDATE books.leg SET amount_minor = amount_minor + 1 WHERE leg_no = 1 AND layer = 'A'",
            {BALANCED, DEBITS, KEPT, DAYS},
        ),
        ("DELETE FROM books.leg", {ENTRY, KEPT, LIMIT, DAYS}),
        ("DELETE FROM books.transfer WHERE phase = 'voided'", {KEPT}),
        (DELETE_POSTED, {FIT, DAYS}),
        (
            "UPDATE books.transfer SET amount_minor = 301 WHERE phase = 'posted'",
            {ONCE, KEPT, DAYS},
        ),
        (POST_AGAIN, {REPEATS, ONCE, KEPT, DAYS}),
        ("UPDATE books.transfer SET location = 'TR-34' WHERE phase = 'posted'", {REPEATS}),
        (HOLD_TWICE, {REPEATS, TWICE}),
        (FALSE_REVERSAL, {MIRROR}),
        ("UPDATE books.balance SET posted_debit = posted_debit + 1", {KEPT, CONTROL}),
        ("UPDATE books.account SET currency = 'USD' WHERE code = '5010.TRY'", {FIT, DEBITS}),
        ("UPDATE books.day_total SET effective_on = effective_on + 1", {DAYS}),
        ("UPDATE books.wallet_balance SET posted_debit = 41", {WALLETS, CONTROL}),
        ("UPDATE books.balance SET lent = lent + 1 WHERE stripe = 3", {LENT}),
        ("UPDATE books.transfer SET line_no = 7 WHERE phase = 'single'", {NUMBERED}),
        ("UPDATE books.entry SET recorded_on = effective_on - 1", {DATED}),
        (CLOSED_BEFORE.format("closed"), {DATED}),
        (CLOSED_BEFORE.format("adjusting"), {DATED}),
        (
            "UPDATE books.leg SET layer = 'M' WHERE layer = 'A'",
            {FIT, AUTHORITY},
        ),
    ],
)
@pytest.mark.usefixtures("settled")
def test_damage_behind_the_triggers_is_found(
    owner: psycopg.Connection, damage: str, found: set[int]
) -> None:
    for table in ("account", "entry", "leg", "transfer"):
        owner.execute(f"ALTER TABLE books.{table} DISABLE TRIGGER USER")
    owner.execute("ALTER TABLE books.leg DROP CONSTRAINT leg_entry_id_fkey")
    owner.execute("ALTER TABLE books.unsealed DROP CONSTRAINT unsealed_entry_id_fkey")
    owner.execute("ALTER TABLE books.sealed_entry DROP CONSTRAINT sealed_entry_entry_id_fkey")
    owner.execute(damage)
    report = verify(owner)
    rows = report.checks[: len(SOUND)]
    assert {number for number, check in enumerate(rows) if check.wrong} == found
    assert not report.sound
    assert all(check.example for check in report.checks if check.wrong)
