"""Accounts are opened from the chart, once, under a code that says what they are."""

import psycopg
import pytest

from ledgers.chart import AccountClass, Side, chart, close_account, code_of, open_account
from ledgers.entries import record
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from tests.databases import Database
from tests.ledgers.at_once import at_once, head
from tests.ledgers.conftest import BANK, CASH, FLOAT, GRANT, MARCH, Books, leg


def test_chart_maps_expenses_to_the_general_ledger_of_iom() -> None:
    mapped = {code: kind.iom_gl for code, kind in chart().items() if kind.iom_gl}
    assert mapped == {
        "5010": "307410", "5020": "307420",
        "5110": "307430", "5120": "307430", "5130": "307430", "5140": "307430",
    }  # fmt: skip


def test_chart_sides_follow_the_classes() -> None:
    debit = {AccountClass.ASSET, AccountClass.EXPENSE}
    for kind in chart().values():
        if kind.account_class is not AccountClass.MEMO:
            assert (kind.side is Side.DEBIT) == (kind.account_class in debit), kind
        assert (kind.code[0] == "9") == (kind.account_class is AccountClass.MEMO), kind


def test_account_is_opened_once(books: Books) -> None:
    first = open_account(books.conn, "9010", "TRY", MARCH, grant=GRANT)
    again = open_account(books.conn, "9010", "TRY", MARCH, grant=GRANT, name="Another name")
    row = books.conn.execute(
        "SELECT code, name, class, normal_side, currency, never_below_zero, grant_code, provider,"
        " opened_on FROM books.account WHERE account_id = %s",
        [first],
    ).fetchone()
    assert again == first
    assert row == (
        "9010.IOM-MPCA.TRY", "Budget available IOM-MPCA TRY", "memo", "debit", "TRY", True, GRANT,
        None, MARCH,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("chart_code", "currency", "provider", "code"),
    [
        ("1111", "TRY", "HALK", "chart_code_unknown"),
        ("1110", "TRY", None, "account_qualifier_missing"),
        ("1110", "TRY", "Halk Bankası", "account_code_unfit"),
        ("1110", "TRL", "HALK", "currency_unknown"),
    ],
)
def test_account_outside_the_chart_is_refused(
    app: psycopg.Connection, chart_code: str, currency: str, provider: str | None, code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        open_account(app, chart_code, currency, MARCH, provider=provider)
    assert refused.value.problem.code == code


def test_code_names_provider_then_grant_then_currency() -> None:
    assert code_of("1010", "USD") == "1010.USD"
    assert code_of("1110", "TRY", provider="halk", grant=GRANT) == "1110.HALK.IOM-MPCA.TRY"


def close(conn: psycopg.Connection, code: str) -> None:
    with refusals():
        close_account(conn, code, MARCH, recorded_by="Omar", reason="no longer used")


def test_closed_account_takes_nothing(books: Books) -> None:
    open_account(books.conn, "1020", "TRY", MARCH)
    close(books.conn, "1020.TRY")
    close(books.conn, "1020.TRY")
    books.conn.commit()
    with pytest.raises(Refusal) as refused, refusals():
        record(books.conn, books.head(), [leg("1020.TRY", 5), leg(BANK, -5)])
    assert (refused.value.problem.code, refused.value.facts) == (
        "account_closed", {"account": "1020.TRY"},
    )  # fmt: skip
    books.conn.rollback()
    assert books.one("SELECT count(*) FROM books.account_closing") == 1


def test_account_with_money_on_it_stays_open(books: Books) -> None:
    with pytest.raises(Refusal) as refused:
        close(books.conn, BANK)
    assert (refused.value.problem.code, refused.value.facts) == (
        "account_not_empty", {"account": BANK},
    )  # fmt: skip
    books.conn.rollback()
    with pytest.raises(Refusal, match="account_unknown"):
        close(books.conn, "1020.EUR")


def test_account_with_money_on_hold_stays_open(books: Books) -> None:
    books.hold({"A1": 300})
    books.conn.commit()
    with pytest.raises(Refusal, match="account_not_empty"):
        close(books.conn, CASH)
    books.conn.rollback()
    books.settle({"A1": 0})
    close(books.conn, CASH)


def test_account_is_empty_and_closed_or_open_when_two_act_at_once(
    books: Books, database: Database
) -> None:
    for _ in range(5):
        code = f"1110.P{_}.TRY"
        open_account(books.conn, "1110", "TRY", MARCH, provider=f"P{_}")
        books.conn.commit()

        def act(conn: psycopg.Connection, number: int, code: str = code) -> None:
            if number % 2:
                close(conn, code)
            else:
                record(
                    conn, head(hash(code) % 10**6 + number, f"{code} {number}"),
                    [leg(code, 5), leg(BANK, -5)],
                )  # fmt: skip

        ends = at_once(database, 4, act)
        assert sorted(ends) in (
            ["account_closed", "account_closed", "done", "done"],
            ["account_not_empty", "account_not_empty", "done", "done"],
        )
    assert FLOAT != BANK
