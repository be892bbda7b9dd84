"""A control account is the sum of its wallets, and no wallet goes below zero."""

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from ledgers.balances import balance
from ledgers.chart import open_account
from ledgers.entries import record, reverse
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.transfers import Moved, hold, settle, transfer
from ledgers.verification import verify
from ledgers.wallets import (
    WalletBalance,
    open_wallet,
    open_wallets,
    wallet_balances,
    wallet_number,
)
from tests.databases import Database
from tests.ledgers.at_once import at_once, head
from tests.ledgers.conftest import BANK, CARDS, CASH, FLOAT, MARCH, Books, leg, values


@pytest.fixture
def cards(books: Books) -> Books:
    """Two wallets under the cards of HALK, the first loaded with 500."""
    open_account(books.conn, "1210", "TRY", MARCH, provider="HALK")
    for ref in ("w_1", "w_2"):
        open_wallet(books.conn, ref, provider="HALK", on=MARCH)
    move(books, {"L1": 500}, "w_1")
    books.conn.commit()
    return books


def move(
    books: Books, amounts: dict[str, int], wallet: str | None, debit: str = CARDS,
    credit: str = FLOAT,
) -> Moved:  # fmt: skip
    number = None if wallet is None else wallet_number(books.conn, wallet)
    lines = books.lines(amounts, debit, credit, wallet=number)
    with refusals():
        return transfer(books.conn, books.head("card_moved"), lines)


def spend(books: Books, amount: int, wallet: str | None, ref: str = "S1") -> Moved:
    return move(books, {ref: amount}, wallet, CASH, CARDS)


def stands_on(books: Books, wallet: str) -> list[tuple[int, int, int]]:
    return [
        (row.loaded_minor, row.spent_minor, row.available_minor)
        for row in wallet_balances(books.conn, wallet)
    ]


def refused(act: Callable[[], object]) -> tuple[str, dict[str, object]]:
    with pytest.raises(Refusal) as raised, refusals():
        act()
    return raised.value.problem.code, raised.value.facts


def test_wallet_is_opened_once(cards: Books) -> None:
    first = wallet_number(cards.conn, "w_1")
    assert open_wallet(cards.conn, "w_1", provider="HALK", on=MARCH) == first
    wanted = values([("w_1", "HALK", MARCH), ("w_3", "HALK", MARCH)], "text text date")
    assert open_wallets(cards.conn, wanted) == 1
    assert open_wallets(cards.conn, wanted) == 0
    with pytest.raises(Refusal, match="wallet_unknown"):
        wallet_number(cards.conn, "w_9")


def test_lines_of_a_wallet_are_its_own_and_what_became_of_its_holds(cards: Books) -> None:
    """Resolutions stand in no index of wallets: they are found through their holds."""
    for wallet, held in (("w_1", {"A1": 30, "A2": 40, "A3": 50}), ("w_2", {"B1": 60})):
        source = cards.lines(held, CARDS, FLOAT, wallet=wallet_number(cards.conn, wallet))
        hold(cards.conn, cards.head(), source)
    cards.settle({"A1": 30, "A2": 0, "B1": 60})
    spend(cards, 120, "w_1")
    cards.conn.commit()
    found = cards.conn.execute(
        "SELECT w.wallet_ref, t.instruction_ref, t.phase, t.amount_minor FROM books.wallet w"
        " CROSS JOIN LATERAL books.transfers_of_wallet(w.wallet_id) t ORDER BY t.transfer_id"
    ).fetchall()
    assert found == [
        ("w_1", "L1", "single", 500),
        ("w_1", "A1", "pending", 30),
        ("w_1", "A2", "pending", 40),
        ("w_1", "A3", "pending", 50),
        ("w_2", "B1", "pending", 60),
        ("w_1", "A1", "posted", 30),
        ("w_1", "A2", "voided", 40),
        ("w_2", "B1", "posted", 60),
        ("w_1", "S1", "single", 120),
    ]


def test_wallet_holds_what_was_loaded_less_what_was_spent(cards: Books) -> None:
    spend(cards, 120, "w_1")
    move(cards, {"L2": 70}, "w_2")
    cards.conn.commit()
    assert list(wallet_balances(cards.conn, "w_1")) == [
        WalletBalance(CARDS, "w_1", "TRY", 500, 120, 380)
    ]
    assert stands_on(cards, "w_2") == [(70, 0, 70)]
    assert balance(cards.conn, CARDS).balance_minor == 450
    assert verify(cards.conn).sound


def test_wallet_never_goes_below_zero_though_its_account_would_not(cards: Books) -> None:
    move(cards, {"L2": 9_000}, "w_2")
    cards.conn.commit()
    code, facts = refused(lambda: spend(cards, 501, "w_1"))
    assert (code, facts["account"], facts["short_minor"]) == ("account_limit", f"{CARDS} / w_1", 1)
    cards.conn.rollback()
    assert spend(cards, 500, "w_1") == Moved(1, 500)


def test_money_on_hold_in_a_wallet_is_gone_from_it(cards: Books) -> None:
    number = wallet_number(cards.conn, "w_1")
    lines = cards.lines({"H1": 450}, CASH, CARDS, wallet=number)
    hold(cards.conn, cards.head("merchant"), lines)
    assert stands_on(cards, "w_1") == [(500, 0, 50)]
    cards.conn.commit()
    assert refused(lambda: spend(cards, 51, "w_1"))[0] == "account_limit"
    cards.conn.rollback()
    settle(cards.conn, cards.head("posted"), values([("H1", 400)], "text bigint"))
    cards.conn.commit()
    assert stands_on(cards, "w_1") == [(500, 400, 100)]
    assert verify(cards.conn).sound


def test_line_on_a_control_account_names_its_wallet(cards: Books) -> None:
    assert refused(lambda: spend(cards, 5, None))[0] == "wallet_missing"
    cards.conn.rollback()
    legs = [leg(CASH, 5), leg(CARDS, -5)]
    assert refused(lambda: record(cards.conn, cards.head(), legs))[0] == "wallet_missing"


def test_line_on_another_account_names_no_wallet(cards: Books) -> None:
    assert refused(lambda: move(cards, {"L2": 5}, "w_1", CASH, FLOAT))[0] == "wallet_unfit"
    cards.conn.rollback()
    number = wallet_number(cards.conn, "w_1")
    legs = [leg(CASH, 5), leg(BANK, -5, wallet=number)]
    assert refused(lambda: record(cards.conn, cards.head(), legs))[0] == "wallet_unfit"


def test_wallet_has_to_be_there(cards: Books) -> None:
    lines = cards.lines({"L2": 5}, CARDS, FLOAT, wallet=10**9)
    code, facts = refused(lambda: transfer(cards.conn, cards.head(), lines))
    assert (code, facts["wallet"]) == ("wallet_unknown", "1000000000")
    cards.conn.rollback()
    legs = [leg(CARDS, 5, wallet=10**9), leg(FLOAT, -5)]
    assert refused(lambda: record(cards.conn, cards.head(), legs))[0] == "wallet_unknown"


def test_from_wallet_to_wallet_goes_an_entry_of_two_legs(cards: Books) -> None:
    open_account(cards.conn, "1210", "TRY", MARCH, provider="HALK", grant="IOM-MPCA")
    cards.conn.commit()
    other = "1210.HALK.IOM-MPCA.TRY"
    assert refused(lambda: move(cards, {"X": 5}, "w_1", other, CARDS))[0] == "wallet_unfit"
    cards.conn.rollback()
    one, two = (wallet_number(cards.conn, ref) for ref in ("w_1", "w_2"))
    legs = [leg(CARDS, 30, wallet=two), leg(CARDS, -30, wallet=one)]
    done = record(cards.conn, cards.head("card_replaced"), legs)
    cards.conn.commit()
    assert (stands_on(cards, "w_1"), stands_on(cards, "w_2")) == ([(500, 30, 470)], [(30, 0, 30)])
    reverse(cards.conn, done.entry_ref, cards.head("undone", on=MARCH + timedelta(days=1)))
    cards.conn.commit()
    assert stands_on(cards, "w_2") == [(30, 30, 0)]
    assert verify(cards.conn).sound


def test_wallets_of_a_whole_plan_are_loaded_in_one_statement(cards: Books) -> None:
    cards.conn.execute(
        "INSERT INTO books.wallet (wallet_ref, provider, opened_on)"
        " SELECT 'm_' || n, 'HALK', '2026-03-02' FROM generate_series(1, 500) n"
    )
    source = sql.SQL(
        "SELECT d.account_id, c.account_id, 10, 'TRY', 'IOM-MPCA', 'pgm_1', 'cyc_1', 'HALK',"
        " 'TR-63', 'M' || wallet_id, wallet_id, NULL::date FROM books.wallet, books.account d,"
        " books.account c WHERE wallet_ref LIKE 'm%%' AND (d.code, c.code) = (%(to)s, %(from)s)"
    )
    params = {"to": CARDS, "from": FLOAT}
    assert transfer(cards.conn, cards.head(), source, params) == Moved(500, 5_000)
    cards.conn.commit()
    assert stands_on(cards, "m_7") == [(10, 0, 10)]
    assert balance(cards.conn, CARDS).balance_minor == 5_500
    assert verify(cards.conn).sound


def test_wallet_limit_holds_when_eight_spend_at_once(cards: Books, database: Database) -> None:
    move(cards, {"L2": 100_000}, "w_2")
    cards.conn.commit()
    number = wallet_number(cards.conn, "w_1")

    def pay(conn: psycopg.Connection, turn: int) -> None:
        lines = Books(conn).lines({f"P{turn}": 200}, CASH, CARDS, wallet=number)
        transfer(conn, head(turn, f"pay {turn}"), lines)

    assert sorted(at_once(database, 8, pay)) == ["account_limit"] * 6 + ["done"] * 2
    assert stands_on(cards, "w_1") == [(500, 400, 100)]
    assert verify(cards.conn).sound
