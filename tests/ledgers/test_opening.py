"""Opening balances come from a file, as a whole, or are refused with all that is wrong."""

from dataclasses import replace

import psycopg
import pytest

from ledgers.balances import balance
from ledgers.chart import open_account
from ledgers.entries import EntryHead, Recorded, reverse
from ledgers.opening import import_opening, opening_key
from ledgers.problems import Refusal
from ledgers.wallets import open_wallet, wallet_balances
from tests.ledgers.conftest import MARCH

HEADER = "account,debit,credit,currency,grant,programme,cycle,provider,location,wallet"
GOOD = [
    HEADER,
    "1010.TRY,700.00,,TRY,ECHO,,,,,",
    "1010.TRY,50.5,,TRY,UNHCR,,,,,",
    "1210.HALK.TRY,300,,TRY,ECHO,,,HALK,,W-1",
    "2010.ECHO.TRY,,1000.00,TRY,ECHO,,,,,",
    "3020.TRY,,50.50,TRY,UNHCR,,,,,",
    "9010.ECHO.TRY,900.00,,TRY,ECHO,,,,,",
    "9030.ECHO.TRY,,900.00,TRY,ECHO,,,,,",
]


@pytest.fixture
def opened(app: psycopg.Connection) -> psycopg.Connection:
    """Accounts and a wallet, and nothing on them."""
    for code in ("1010", "3020"):
        open_account(app, code, "TRY", MARCH)
    open_account(app, "1210", "TRY", MARCH, provider="HALK")
    for code in ("2010", "9010", "9030"):
        open_account(app, code, "TRY", MARCH, grant="ECHO")
    open_wallet(app, "W-1", provider="HALK", on=MARCH)
    app.commit()
    return app


def head(number: int = 1) -> EntryHead:
    return EntryHead(
        f"je_{number:026d}", "opening", "opening_balance", MARCH, "Deniz", "taken over",
        recorded_on=MARCH,
    )  # fmt: skip


def test_file_is_taken_over_once(opened: psycopg.Connection) -> None:
    as_spreadsheets_write = ["\ufeff" + GOOD[0], *GOOD[1:]]
    assert not import_opening(opened, as_spreadsheets_write, "opening.csv", head()).already
    assert import_opening(opened, GOOD, "opening.csv", head(2)).already
    assert balance(opened, "1010.TRY").balance_minor == 75050
    assert balance(opened, "9030.ECHO.TRY").balance_minor == 90000
    assert [found.available_minor for found in wallet_balances(opened, "W-1")] == [30000]


def test_new_books_take_over_accounts_and_wallets_they_do_not_have(app: psycopg.Connection) -> None:
    file = [
        HEADER,
        "1010.HOUSE.TRY,700.00,,TRY,Echo-7,,,,,",
        "1210.HALK.TRY,300,,TRY,Echo-7,,,Halk,,W-1",
        "1210.HALK.TRY,20,,TRY,Echo-7,,,Halk,,W-2",
        "3020.TRY,,20.00,TRY,Echo-7,,,,,",
        "2010.ECHO-7.TRY,,1000.00,TRY,Echo-7,,,,,",
    ]
    import_opening(app, file, "opening.csv", head())
    assert [found.available_minor for found in wallet_balances(app, "W-2")] == [2000]
    assert app.execute(
        "SELECT code, chart_code, class, is_control, grant_code, provider, opened_on"
        ' FROM books.account ORDER BY code COLLATE "C"'
    ).fetchall() == [
        ("1010.HOUSE.TRY", "1010", "asset", False, None, "HOUSE", MARCH),
        ("1210.HALK.TRY", "1210", "asset", True, None, "Halk", MARCH),
        ("2010.ECHO-7.TRY", "2010", "liability", False, "Echo-7", None, MARCH),
        ("3020.TRY", "3020", "fund", False, None, None, MARCH),
    ]
    assert app.execute(
        "SELECT wallet_ref, provider, opened_on FROM books.wallet ORDER BY wallet_ref"
    ).fetchall() == [("W-1", "Halk", MARCH), ("W-2", "Halk", MARCH)]


@pytest.mark.parametrize(
    ("account", "code"),
    [
        ("1010", "account_unknown"),
        ("7777.TRY", "account_unknown"),
        ("1010.TRY", "account_qualifier_missing"),  # the journal names the bank
        ("2010.TRY", "account_qualifier_missing"),
        ("9010.OTHER.TRY", "account_unfit"),
        ("1110.HALK.ECHO.NEAR.TRY", "account_code_unfit"),
        ("1110.halk.TRY", "account_code_unfit"),
        ("1110.HALK.XXX", "currency_unknown"),
    ],
)
def test_account_that_cannot_be_is_not_opened(
    app: psycopg.Connection, account: str, code: str
) -> None:
    row = f"{account},5,,{account.rsplit('.', 1)[-1]},ECHO,,,HALK,,"
    with pytest.raises(Refusal, match=code):
        import_opening(app, [HEADER, row], "opening.csv", head())
    assert app.execute("SELECT count(*) FROM books.account").fetchone() == (0,)


def test_balance_is_taken_over_once_and_again_after_a_reversal(opened: psycopg.Connection) -> None:
    def take(number: int, lines: list[str]) -> Recorded:
        asked = replace(head(number), key=opening_key(opened, lines))
        return import_opening(opened, lines, "opening.csv", asked)

    first = take(1, GOOD)
    assert take(2, ["\ufeff" + line + "\r\n" for line in GOOD]).already
    corrected = [line.replace("50.5", "60.5") for line in GOOD]
    with pytest.raises(Refusal) as caught:
        take(3, corrected)
    assert {finding.problem.code for finding in caught.value.findings} == {"opening_taken"}
    assert len(caught.value.findings) == len(GOOD) - 1
    beside = [HEADER, "1010.TRY,9,,TRY,WFP,,,,,", "3020.TRY,,9,TRY,WFP,,,,,"]
    assert not take(4, beside).already
    undo = replace(head(5), key="undo", event="reversal")
    undone = reverse(opened, first.entry_ref, undo)
    assert not take(6, GOOD).already
    with pytest.raises(Refusal, match="opening_taken"):
        take(7, corrected)
    assert balance(opened, "1010.TRY").balance_minor == 75050 + 900
    with pytest.raises(Refusal, match="already_reversed"):
        reverse(opened, first.entry_ref, replace(undo, key="undo again"))
    assert undone.entry_ref != first.entry_ref


def test_every_problem_is_told_with_its_place(opened: psycopg.Connection) -> None:
    wrong = [
        HEADER,
        "1010.TRY,700.00,5,TRY,ECHO,,,,,",
        "1010.TRY,1.234,,TRY,,,,,,",
        "1010.TRY,1,,USD,ECHO,,,,,",
        "2010.ECHO.TRY,,1,TRY,UNHCR,,,,,",
        "7777.TRY,1,,TRY,ECHO,,,,,",
        "1210.HALK.TRY,1,,TRY,ECHO,,,,,",
        "1210.HALK.TRY,1,,TRY,ECHO,,,HALK,,W-9",
        "3020.TRY,0,,TRY,ECHO,,,,,W-1",
        "3020.TRY,,5,TRY,ECHO,,,,,",
        "3020.TRY,,6,TRY,ECHO,,,,,",
    ]
    with pytest.raises(Refusal) as caught:
        import_opening(opened, wrong, "opening.csv", head())
    found = [
        (finding.problem.code, finding.place.row, finding.place.field, finding.value)
        for finding in caught.value.findings
    ]
    assert found == [
        ("opening_side_unfit", 2, "debit", ""),
        ("opening_value_missing", 3, "grant", ""),
        ("amount_too_precise", 3, "debit", "1.234"),
        ("account_unfit", 4, "currency", "USD"),
        ("account_unfit", 5, "grant", "UNHCR"),
        ("account_unknown", 6, "account", "7777.TRY"),
        ("dimension_missing", 7, "provider", ""),
        ("wallet_missing", 7, "wallet", ""),
        ("wallet_unfit", 9, "wallet", "W-1"),
        ("opening_side_unfit", 9, "debit", "0"),
        ("opening_row_twice", 11, "", "3020.TRY"),
    ]
    assert {finding.place.file for finding in caught.value.findings} == {"opening.csv"}
    assert opened.execute("SELECT count(*) FROM books.entry").fetchone() == (0,)


def test_file_out_of_balance_is_refused_for_each_currency_and_grant(
    opened: psycopg.Connection,
) -> None:
    wrong = [*GOOD[:2], "3020.TRY,,50.50,TRY,UNHCR,,,,,", *GOOD[6:7]]
    with pytest.raises(Refusal) as caught:
        import_opening(opened, wrong, "opening.csv", head())
    assert [
        (finding.problem.code, finding.facts["layer"], finding.facts["grant"],
         finding.facts["difference_minor"])
        for finding in caught.value.findings
    ] == [
        ("entry_unbalanced", "A", "ECHO", 70000),
        ("entry_unbalanced", "A", "UNHCR", -5050),
        ("entry_unbalanced", "M", "ECHO", 90000),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([], "opening_empty"),
        ([HEADER], "opening_empty"),
        (["account,debit", "1010.TRY,5"], "opening_column_missing"),
        ([HEADER, "1010.TRY"], "opening_value_missing"),
    ],
)
def test_file_of_another_shape_is_refused(
    opened: psycopg.Connection, lines: list[str], code: str
) -> None:
    with pytest.raises(Refusal, match=code):
        import_opening(opened, lines, "opening.csv", head())
