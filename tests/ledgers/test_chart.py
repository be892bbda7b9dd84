"""Accounts are opened from the chart, once, under a code that says what they are."""

import psycopg
import pytest

from ledgers.chart import AccountClass, Side, chart, code_of, open_account
from ledgers.problems import Refusal
from tests.ledgers.conftest import GRANT, MARCH, Books


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
