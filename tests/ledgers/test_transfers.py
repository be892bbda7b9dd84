"""Holds reserve, are resolved once, and a repetition changes nothing."""

import pytest
from psycopg import sql

from ledgers.balances import AccountBalance, balance
from ledgers.chart import open_account
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.transfers import Moved, Settled, hold, settle, transfer
from ledgers.verification import verify
from tests.ledgers.conftest import CASH, FLOAT, GRANT, MARCH, Books, values


def sums(account: AccountBalance) -> tuple[int, int, int]:
    return account.balance_minor, account.pending_minor, account.available_minor


def test_hold_reserves_and_moves_nothing(books: Books) -> None:
    assert books.hold({"A1": 300, "A2": 700}) == Moved(2, 1000)
    books.conn.commit()
    assert sums(balance(books.conn, FLOAT)) == (1_000_000, -1000, 999_000)
    assert sums(balance(books.conn, CASH)) == (0, 1000, 0)


def test_settlement_posts_voids_and_releases_the_rest(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700, "A3": 500, "A4": 100})
    settled = books.settle({"A1": 300, "A2": 650, "A3": 0})
    books.conn.commit()
    assert settled == Settled(2, 950, 1, 500, 550)
    assert sums(balance(books.conn, FLOAT)) == (999_050, -100, 998_950)
    assert sums(balance(books.conn, CASH)) == (950, 100, 950)
    assert verify(books.conn).sound


def test_return_moves_money_back(books: Books) -> None:
    books.hold({"A1": 300})
    books.settle({"A1": 300})
    assert books.give_back({"A1": 120}) == Moved(1, 120)
    books.conn.commit()
    assert balance(books.conn, FLOAT).balance_minor == 1_000_000 - 180
    assert verify(books.conn).sound


def test_repetition_in_any_order_changes_nothing(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700}, key="plan 1")
    books.settle({"A1": 300, "A2": 0}, key="report 1")
    books.conn.commit()
    before = balance(books.conn, FLOAT)
    assert books.hold({"A2": 700, "A1": 300}, key="plan 1") == Moved(2, 1000, already=True)
    again = books.settle({"A2": 0, "A1": 300}, key="report 1")
    assert again == Settled(1, 300, 1, 700, 700, already=True)
    assert balance(books.conn, FLOAT) == before
    assert books.one("SELECT count(*) FROM books.entry") == 3


def test_same_key_with_another_list_is_refused(books: Books) -> None:
    books.hold({"A1": 300}, key="plan 1")
    books.settle({"A1": 300}, key="report 1")
    for other in ({"A1": 301}, {"A2": 300}, {"A1": 300, "A2": 1}, {"A1": -1}):
        with pytest.raises(Refusal, match="key_used_differently"):
            books.hold(other, key="plan 1")
    with pytest.raises(Refusal, match="key_used_differently"):
        books.settle({"A1": 299}, key="report 1")


def test_empty_list_records_nothing(books: Books) -> None:
    assert books.hold({}, key="plan 1") == Moved(0, 0)
    assert books.settle({}) == Settled(0, 0, 0, 0, 0)
    assert books.hold({"A1": 300}, key="plan 1") == Moved(1, 300)


def test_hold_counts_against_the_limit(books: Books) -> None:
    books.hold({"A1": 600_000})
    books.conn.commit()
    with pytest.raises(Refusal) as refused, refusals():
        books.hold({"A2": 400_000, "A3": 1})
    assert refused.value.facts == {
        "account": FLOAT, "short_minor": 1, "short": "0.01 TRY", "currency": "TRY"
    }  # fmt: skip
    books.conn.rollback()
    books.settle({"A1": 0})
    assert books.hold({"A2": 1_000_000}) == Moved(1, 1_000_000)


@pytest.mark.parametrize(
    ("amounts", "code"),
    [
        ({"A1": 300, "B9": 5}, "hold_unknown"),
        ({"A1": 301}, "hold_exceeded"),
        ({"A1": -1}, "amount_unfit"),
        ({"A2": 0}, "hold_already_resolved"),
        ({"A2": 700}, "hold_already_resolved"),
    ],
)
def test_settlement_that_does_not_fit_is_refused(
    books: Books, amounts: dict[str, int], code: str
) -> None:
    books.hold({"A1": 300, "A2": 700})
    books.settle({"A2": 700})
    with pytest.raises(Refusal) as refused:
        books.settle(amounts)
    assert refused.value.problem.code == code
    assert books.one("SELECT count(*) FROM books.transfer") == 3


def test_instruction_is_named_once(books: Books) -> None:
    books.hold({"A1": 300})
    twice = values([("A1", 100), ("A1", 200)], "text bigint")
    with pytest.raises(Refusal, match="instruction_twice"):
        settle(books.conn, books.head(), twice)
    with pytest.raises(Refusal, match="instruction_held_twice"):
        books.hold({"A1": 300})


def test_list_of_two_currencies_is_refused(books: Books) -> None:
    dollars = open_account(books.conn, "1010", "USD", MARCH)
    spent = open_account(books.conn, "5010", "USD", MARCH)
    rest = (GRANT, None, None, None, None)
    rows = [(spent, dollars, 5, "USD", *rest, "D1"), (spent, dollars, 5, "TRY", *rest, "D2")]
    source = values(rows, "int int bigint text text text text text text text")
    with pytest.raises(Refusal, match="currencies_mixed"):
        hold(books.conn, books.head(), source)
    with pytest.raises(Refusal) as refused, refusals():
        hold(books.conn, books.head(), values(rows[1:], "int int bigint" + " text" * 7))
    assert refused.value.problem.code == "account_unfit"


def test_amount_of_zero_is_no_transfer(books: Books) -> None:
    with pytest.raises(Refusal, match="amount_unfit"):
        books.hold({"A1": 300, "A2": 0})
    with pytest.raises(Refusal, match="amount_unfit"):
        transfer(books.conn, books.head(), books.lines({"A1": -5}))


def test_sources_take_the_parameters_of_their_caller(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700})
    source = sql.SQL("SELECT * FROM ({}) AS s (ref, amount) WHERE ref = %(ref)s").format(
        values([("A1", 300), ("A2", 700)], "text bigint")
    )
    assert settle(books.conn, books.head(), source, {"ref": "A2"}) == Settled(1, 700, 0, 0, 0)
