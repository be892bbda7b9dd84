"""Periods close in order, after their last day, alone, and for good."""

import threading
from datetime import date, timedelta

import psycopg
import pytest

from ledgers.balances import trial_balance
from ledgers.entries import EntryHead, record, reverse
from ledgers.periods import Period, PeriodState, change, periods
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.verification import verify
from tests.databases import Database
from tests.ledgers.conftest import BANK, FUND, GRANT, MARCH, Books, leg

FEBRUARY, END_OF_MARCH = date(2026, 2, 28), date(2026, 3, 31)
APRIL = date(2026, 4, 10)
RECEIVED = [leg(BANK, 500), leg(FUND, -500)]


def shut(
    conn: psycopg.Connection,
    ends_on: date,
    state: PeriodState = PeriodState.CLOSED,
    today: date = APRIL,
) -> bool:
    with refusals():
        return change(
            conn, ends_on, state, recorded_on=today, recorded_by="Omar", reason="month end"
        )


def received(books: Books, on: date, *, adjustment: bool = False, corrects: str = "") -> str:
    first = books.head("grant_received", on=on, today=APRIL)
    head = EntryHead(
        first.entry_ref, first.key, first.event, on, first.recorded_by, first.reason,
        recorded_on=APRIL, adjustment=adjustment, corrects=corrects or None,
    )  # fmt: skip
    with refusals():
        return record(books.conn, head, RECEIVED).entry_ref


def refused(act: object, *args: object, **more: object) -> tuple[str, dict[str, object]]:
    assert callable(act)
    with pytest.raises(Refusal) as raised, refusals():
        act(*args, **more)
    return raised.value.problem.code, raised.value.facts


def test_closed_period_takes_nothing_on_or_before_its_last_day(books: Books) -> None:
    assert shut(books.conn, END_OF_MARCH)
    books.conn.commit()
    for day in (END_OF_MARCH, FEBRUARY, date(1999, 1, 1)):
        code, facts = refused(received, books, day)
        assert (code, facts["on"], facts["closed_to"]) == (
            "period_closed", day.isoformat(), END_OF_MARCH.isoformat(),
        )  # fmt: skip
        books.conn.rollback()
        assert refused(received, books, day, adjustment=True)[0] == "period_closed"
        books.conn.rollback()
    received(books, END_OF_MARCH + timedelta(days=1))
    books.conn.commit()
    assert verify(books.conn).sound


def test_closed_period_takes_no_transfer(books: Books) -> None:
    books.hold({"A1": 300})
    shut(books.conn, END_OF_MARCH)
    books.conn.commit()
    assert refused(books.hold, {"A2": 1})[0] == "period_closed"


def test_adjusting_period_takes_adjustments_only(books: Books) -> None:
    shut(books.conn, END_OF_MARCH, PeriodState.ADJUSTING)
    books.conn.commit()
    assert refused(received, books, END_OF_MARCH)[0] == "period_adjusting"
    books.conn.rollback()
    received(books, END_OF_MARCH, adjustment=True)
    received(books, APRIL)
    books.conn.commit()
    assert verify(books.conn).sound


def test_periods_close_in_the_order_of_their_days(books: Books) -> None:
    shut(books.conn, END_OF_MARCH)
    books.conn.commit()
    for state in (PeriodState.CLOSED, PeriodState.ADJUSTING):
        code, facts = refused(shut, books.conn, FEBRUARY, state)
        assert (code, facts["closed_to"]) == ("period_out_of_order", END_OF_MARCH.isoformat())
        books.conn.rollback()
    assert refused(shut, books.conn, END_OF_MARCH, PeriodState.ADJUSTING)[0] == (
        "period_out_of_order"
    )


def test_a_period_closes_once_and_the_second_wish_changes_nothing(books: Books) -> None:
    assert shut(books.conn, FEBRUARY, PeriodState.ADJUSTING)
    assert shut(books.conn, FEBRUARY)
    assert not shut(books.conn, FEBRUARY)
    assert shut(books.conn, END_OF_MARCH, PeriodState.ADJUSTING)
    assert periods(books.conn) == [
        Period(None, FEBRUARY, PeriodState.CLOSED),
        Period(date(2026, 3, 1), END_OF_MARCH, PeriodState.ADJUSTING),
        Period(date(2026, 4, 1), None, PeriodState.OPEN),
    ]


def test_period_that_is_not_over_stays_open(books: Books) -> None:
    for today in (END_OF_MARCH, FEBRUARY):
        assert refused(shut, books.conn, END_OF_MARCH, today=today) == (
            "period_not_over", {"ends_on": END_OF_MARCH.isoformat()},
        )  # fmt: skip
        books.conn.rollback()
    assert periods(books.conn) == [Period(None, None, PeriodState.OPEN)]


def test_closing_gives_a_reason(books: Books) -> None:
    with pytest.raises(Refusal, match="reason_missing"):
        change(
            books.conn, FEBRUARY, PeriodState.CLOSED, recorded_on=APRIL, recorded_by="Omar",
            reason=" ",
        )  # fmt: skip


def test_entry_of_a_closed_period_is_reversed_and_corrected_in_the_open_one(books: Books) -> None:
    original = received(books, MARCH)
    shut(books.conn, END_OF_MARCH)
    books.conn.commit()
    reverse(books.conn, original, books.head("correction", on=APRIL))
    corrected = received(books, APRIL, corrects=original)
    books.conn.commit()
    named = books.conn.execute(
        "SELECT o.entry_ref, o.effective_on FROM books.entry e"
        " JOIN books.entry o ON o.entry_id = e.corrects WHERE e.entry_ref = %s",
        [corrected],
    ).fetchone()
    assert named == (original, MARCH)
    assert verify(books.conn).sound


def test_correction_names_an_entry_there_is(books: Books) -> None:
    assert refused(received, books, MARCH, corrects="je_none") == (
        "entry_unknown", {"entry": "je_none"},
    )  # fmt: skip


def test_closing_keeps_every_balance_and_dimension(books: Books) -> None:
    received(books, MARCH)
    books.conn.commit()
    before = trial_balance(books.conn, on=END_OF_MARCH)
    shut(books.conn, END_OF_MARCH)
    books.conn.commit()
    assert trial_balance(books.conn, on=END_OF_MARCH + timedelta(days=1)) == before
    assert books.one(
        f"SELECT DISTINCT grant_code FROM books.leg WHERE grant_code <> '{GRANT}'"
    ) is (None)


def in_the_background(act: object) -> threading.Thread:
    assert callable(act)
    thread = threading.Thread(target=act)
    thread.start()
    return thread


WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


def wait_for_a_waiter(conn: psycopg.Connection) -> None:
    for _ in range(10_000):
        if conn.execute(WAITING).fetchone() == (1,):
            return
        conn.rollback()
    pytest.fail("nobody waits")


def test_a_close_waits_for_a_writer(
    books: Books, database: Database, auditor: psycopg.Connection
) -> None:
    received(books, MARCH)
    closer = database.connect()
    done: list[bool] = []
    closing = in_the_background(lambda: done.append(shut(closer, END_OF_MARCH)))
    wait_for_a_waiter(auditor)
    assert done == []
    received(books, MARCH)
    books.conn.commit()
    closing.join()
    closer.commit()
    assert done == [True]
    assert verify(books.conn).sound


def test_a_writer_waits_for_a_close_and_is_refused(
    books: Books, database: Database, auditor: psycopg.Connection
) -> None:
    books.one("SELECT 1")
    closer = database.connect()
    shut(closer, END_OF_MARCH)
    said: list[str] = []

    def write() -> None:
        try:
            received(books, MARCH)
        except Refusal as refusal:
            said.append(refusal.problem.code)

    writing = in_the_background(write)
    wait_for_a_waiter(auditor)
    assert said == []
    closer.commit()
    writing.join()
    books.conn.rollback()
    assert said == ["period_closed"]
