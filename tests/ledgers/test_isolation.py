"""A transaction that looks at an old picture of the books may not write in them."""

import psycopg
import pytest

from ledgers.chart import close_account, open_account
from ledgers.entries import record
from ledgers.periods import PeriodState, change
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.verification import verify
from tests.databases import Database
from tests.ledgers.conftest import BANK, MARCH, Books, leg
from tests.ledgers.test_periods import APRIL, END_OF_MARCH


@pytest.fixture
def old(books: Books, database: Database) -> Books:
    """Books whose transaction began before what another one is about to do."""
    open_account(books.conn, "1020", "TRY", MARCH)
    books.conn.commit()
    conn = database.connect()
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    conn.execute("SELECT count(*) FROM books.entry")
    return Books(conn, books.numbers)


@pytest.mark.parametrize("what", ["period", "account"])
def test_what_was_closed_meanwhile_stays_closed(books: Books, old: Books, what: str) -> None:
    if what == "period":
        change(
            books.conn, END_OF_MARCH, PeriodState.CLOSED, recorded_on=APRIL, recorded_by="Omar",
            reason="over",
        )  # fmt: skip
    else:
        close_account(books.conn, "1020.TRY", MARCH, recorded_by="Omar", reason="unused")
    books.conn.commit()
    with pytest.raises(Refusal) as refused, refusals():
        record(old.conn, old.head(), [leg("1020.TRY", 5), leg(BANK, -5)])
    assert refused.value.problem.code == "isolation_unfit"
    assert verify(books.conn).sound


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_period_is_closed_by_somebody_who_sees_what_is_closed(books: Books, level: str) -> None:
    books.conn.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
    with pytest.raises(Refusal) as refused, refusals():
        change(
            books.conn, END_OF_MARCH, PeriodState.CLOSED, recorded_on=APRIL, recorded_by="Omar",
            reason="over",
        )  # fmt: skip
    assert refused.value.facts == {"isolation": level.lower()}
