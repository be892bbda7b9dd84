"""A year of two grants and two currencies is played, closed, and checked by others' tools."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TextIO

import psycopg
import pytest
import yaml

from ledgers.balances import trial_balance
from ledgers.chart import AccountClass
from ledgers.closing import close_year, grant_balances
from ledgers.entries import EntryHead, Leg, record, reverse
from ledgers.exchange import differences, flows, realised_minor, to_book_minor
from ledgers.exports import write_beancount, write_hledger, write_ledger_cli
from ledgers.money import format_amount, parse_amount
from ledgers.periods import PeriodState, change
from ledgers.problems import Refusal
from ledgers.rates import Rate, rates_into, record_rate
from ledgers.recording import Occasion
from ledgers.refusals import refusals
from tests.ledgers.stories import FOLDER, Row, Stage, contract_of, table

STORY = FOLDER / "year" / "two-grants-two-currencies.yaml"
TOLD = yaml.load(STORY.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - makes texts, lists and mappings only
ENDS_ON = date.fromisoformat(TOLD["ends_on"])
CLOSED_ON = date.fromisoformat(TOLD["closed_on"])
AFTER = Occasion(ENDS_ON, CLOSED_ON, "Deniz", "year 2025")

# Asked of beancount in a process of its own: it is under another licence.
SUMS = """
import sys
from collections import Counter
from beancount import loader
from beancount.core.data import Transaction
entries, errors, _ = loader.load_file(sys.argv[1])
assert not errors, errors
sums = Counter()
for entry in entries:
    if isinstance(entry, Transaction):
        for posting in entry.postings:
            sums[posting.account] += posting.units.number
for account, number in sorted(sums.items()):
    print(account, number)
"""


def amounts(row: Row) -> int:
    """The balance of a row of a table, debit positive."""
    currency = row["account"].rsplit(".", 1)[1]
    sides = [parse_amount(row[side].replace("-", "0"), currency) for side in ("debit", "credit")]
    return sides[0] - sides[1]


@pytest.fixture
def year(app: psycopg.Connection) -> Stage:
    """The year of the story, not closed yet."""
    stage = Stage(app, date(2025, 1, 1))
    stage.give([], TOLD["wallets"])
    for row in table(TOLD["rates"]):
        on = date.fromisoformat(row["on"])
        record_rate(app, Rate("TCMB", "USD", "TRY", on, Decimal(row["rate"])), recorded_by="Deniz")
    for told in TOLD["events"]:
        stage.today = date.fromisoformat(told["on"])
        facts = {**TOLD["always"], **told["facts"]}
        stage.play(told["event"], facts, contract_of(TOLD["contract"]))
    app.commit()
    stage.today = CLOSED_ON
    return stage


@pytest.fixture
def closed(year: Stage) -> Stage:
    """The same year, closed."""
    told = {"recorded_on": CLOSED_ON, "recorded_by": "Deniz", "reason": "year 2025"}
    change(year.conn, ENDS_ON, PeriodState.ADJUSTING, **told)
    close_year(year.conn, ENDS_ON, AFTER, year.new_ref)
    change(year.conn, ENDS_ON, PeriodState.CLOSED, **told)
    year.conn.commit()
    return year


def test_differences_of_exchange_are_what_the_story_books(year: Stage) -> None:
    rates = rates_into(year.conn, "TCMB", "TRY", ENDS_ON)
    moved = flows(year.conn, ["ECHO"], ENDS_ON)
    gained = to_book_minor(differences(moved, rates, ENDS_ON), {})
    assert gained == {"ECHO": parse_amount(TOLD["expect"]["gain"], "TRY")}
    assert realised_minor(moved, rates) == {"ECHO": 0}  # booked on the day of the exchange


def test_trial_balance_after_the_close_is_the_accountants(closed: Stage) -> None:
    ours = {
        row.code: row.posted_debit_minor - row.posted_credit_minor
        for row in trial_balance(closed.conn)
    }
    assert ours == {row["account"]: amounts(row) for row in table(TOLD["expect"]["trial_balance"])}


def test_closing_keeps_the_dimensions(closed: Stage) -> None:
    found = [
        (row.account, row.grant_code, row.programme_id, row.cycle_id, row.provider, row.location,
         row.amount_minor)
        for row in grant_balances(closed.conn, ENDS_ON, [AccountClass.FUND])
        if row.chart_code == "3010"
    ]  # fmt: skip
    expected = [
        (*(row[name] for name in ("account", "grant", "programme", "cycle", "provider",
                                  "location")), amounts(row))
        for row in table(TOLD["expect"]["fund_balances"])
    ]  # fmt: skip
    assert sorted(found) == sorted(expected)


def test_closing_moves_results_and_nothing_else(year: Stage) -> None:
    results = (AccountClass.REVENUE, AccountClass.EXPENSE)
    kept = (AccountClass.ASSET, AccountClass.LIABILITY, AccountClass.MEMO)
    before = grant_balances(year.conn, ENDS_ON)
    sums = {
        (row.grant_code, row.dimensions): sum(
            other.amount_minor for other in before
            if (other.grant_code, other.dimensions) == (row.grant_code, row.dimensions)
            and other.account_class in results
        )
        for row in before
    }  # fmt: skip
    close_year(year.conn, ENDS_ON, AFTER, year.new_ref)
    after = grant_balances(year.conn, ENDS_ON)
    assert [row for row in after if row.account_class in results] == []
    assert [row for row in after if row.account_class in kept] == [
        row for row in before if row.account_class in kept
    ]
    assert {
        (row.grant_code, row.dimensions): row.amount_minor
        for row in after if row.chart_code == "3010"
    } == {key: minor for key, minor in sums.items() if minor}  # fmt: skip


def test_opening_balances_of_the_next_year_are_the_closing_ones(closed: Stage) -> None:
    closing = grant_balances(closed.conn, ENDS_ON)
    legs = [
        Leg("1020.TRY", 700, grant_code="UNHCR"), Leg("2010.UNHCR.TRY", -700, grant_code="UNHCR")
    ]  # fmt: skip
    day = date(2026, 1, 5)
    head = EntryHead(
        closed.new_ref(), "january", "grant_received", day, "Deniz", "more", recorded_on=CLOSED_ON
    )
    record(closed.conn, head, legs)
    assert grant_balances(closed.conn, ENDS_ON) == closing


def test_year_is_closed_once_and_late_adjustments_follow(year: Stage) -> None:
    assert len(close_year(year.conn, ENDS_ON, AFTER, year.new_ref)) == 2
    assert close_year(year.conn, ENDS_ON, AFTER, year.new_ref) == []
    legs = [Leg("5140.TRY", 500, grant_code="UNHCR"), Leg("1020.TRY", -500, grant_code="UNHCR")]
    head = EntryHead(
        year.new_ref(), "late", "bank_charged", ENDS_ON, "Deniz", "late", recorded_on=CLOSED_ON,
        adjustment=True,
    )  # fmt: skip
    record(year.conn, head, legs)
    assert len(close_year(year.conn, ENDS_ON, AFTER, year.new_ref)) == 1
    found = [row.amount_minor for row in grant_balances(year.conn, ENDS_ON)
             if (row.account, row.location) == ("3010.UNHCR.TRY", None)]  # fmt: skip
    assert found == [500]


def test_unrestricted_money_goes_to_its_own_fund_balance(year: Stage) -> None:
    close_year(year.conn, ENDS_ON, AFTER, year.new_ref, unrestricted={"ECHO"})
    funds = {row.account for row in grant_balances(year.conn, ENDS_ON, [AccountClass.FUND])}
    assert {"3020.ECHO.TRY", "3020.ECHO.USD", "3010.UNHCR.TRY"} <= funds
    assert not {"3010.ECHO.TRY", "3010.ECHO.USD"} & funds


def test_closing_entries_stand_on_the_last_day(year: Stage) -> None:
    wrong = Occasion(CLOSED_ON, CLOSED_ON, "Deniz", "year 2025")
    with pytest.raises(Refusal, match="closing_day_unfit"):
        close_year(year.conn, ENDS_ON, wrong, year.new_ref)


def test_error_of_a_closed_year_is_set_right_in_the_open_one(closed: Stage) -> None:
    (fee,) = closed.conn.execute(
        "SELECT entry_ref FROM books.entry WHERE key = 'fee_charged/HALK/H-3'"
    ).fetchone()
    told = ("fee corrected", "fee_charged")
    legs = [
        Leg("1110.HALK.TRY", 1000, grant_code="UNHCR", provider="HALK"),
        Leg("4030.TRY", -1000, grant_code="UNHCR"),
    ]  # fmt: skip
    closed.conn.execute("SAVEPOINT before")
    late = EntryHead(
        closed.new_ref(), *told, ENDS_ON, "Deniz", "10.00 too much", recorded_on=CLOSED_ON,
        adjustment=True, corrects=fee,
    )  # fmt: skip
    closed.give(
        [{"account": "4030.TRY", "debit": "-", "credit": "1.00", "grant": "UNHCR"},
         {"account": "1020.TRY", "debit": "1.00", "credit": "-", "grant": "UNHCR"}]
    )  # fmt: skip
    with pytest.raises(Refusal, match="period_closed"), refusals(), closed.conn.transaction():
        record(closed.conn, late, legs)
    head = EntryHead(
        closed.new_ref(), *told, CLOSED_ON, "Deniz", "10.00 too much", recorded_on=CLOSED_ON,
        corrects=fee,
    )  # fmt: skip
    recorded = record(closed.conn, head, legs)
    row = closed.conn.execute(
        "SELECT o.entry_ref, e.effective_on FROM books.entry e"
        " JOIN books.entry o ON o.entry_id = e.corrects WHERE e.entry_ref = %s",
        [recorded.entry_ref],
    ).fetchone()
    assert row == (fee, CLOSED_ON)


def test_entry_of_a_closed_year_is_reversed_in_the_open_one(closed: Stage) -> None:
    (fee,) = closed.conn.execute(
        "SELECT entry_ref FROM books.entry WHERE key = 'fee_charged/HALK/H-3'"
    ).fetchone()
    head = EntryHead(
        closed.new_ref(), "undo", "reversal", CLOSED_ON, "Deniz", "not ours", recorded_on=CLOSED_ON
    )
    recorded = reverse(closed.conn, fee, head)
    row = closed.conn.execute(
        "SELECT o.entry_ref FROM books.entry e JOIN books.entry o ON o.entry_id = e.reverses"
        " WHERE e.entry_ref = %s",
        [recorded.entry_ref],
    ).fetchone()
    assert row == (fee,)


def expected_of_tools() -> dict[str, Decimal]:
    roots = {"1": "Assets", "2": "Liabilities", "3": "Equity", "4": "Income", "5": "Expenses",
             "6": "Equity", "9": "Equity:Memo"}  # fmt: skip
    found = {}
    for row in table(TOLD["expect"]["trial_balance"]):
        path = f"{roots[row['account'][0]]}:{row['account'].replace('.', ':')}"
        currency = row["account"].rsplit(".", 1)[1]
        found[path] = Decimal(format_amount(amounts(row), currency))
    return found


@pytest.mark.tool("bean-check")
def test_beancount_reproduces_the_trial_balance(closed: Stage, tmp_path: Path) -> None:
    file = tmp_path / "books.beancount"
    with file.open("w", encoding="utf-8") as out:
        write_beancount(closed.conn, out)
    command = [str(Path(sys.executable).parent / "bean-check"), str(file)]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)
    summed = subprocess.run(
        [sys.executable, "-c", SUMS, str(file)], check=True, capture_output=True, text=True
    )
    theirs = (line.split() for line in summed.stdout.splitlines())
    assert {account: Decimal(number) for account, number in theirs} == expected_of_tools()


@pytest.mark.tool("hledger")
@pytest.mark.parametrize("write", [write_hledger, write_ledger_cli])
def test_hledger_reproduces_the_trial_balance(
    closed: Stage, tmp_path: Path, write: Callable[[psycopg.Connection, TextIO], int]
) -> None:
    file = tmp_path / "books.journal"
    with file.open("w", encoding="utf-8") as out:
        write(closed.conn, out)
    subprocess.run(["hledger", "-f", str(file), "check", "--strict"], check=True)
    command = ["hledger", "-f", str(file), "balance", "--flat", "--no-total", "--empty",
               "-O", "csv"]  # fmt: skip
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = list(csv.DictReader(io.StringIO(told.stdout)))
    theirs = {row["account"]: Decimal(row["balance"].split()[0]) for row in rows}
    assert theirs == expected_of_tools()


@pytest.mark.tool("hledger")
def test_hledger_values_the_books_at_our_prices(closed: Stage, tmp_path: Path) -> None:
    file = tmp_path / "books.journal"
    with file.open("w", encoding="utf-8") as out:
        write_hledger(closed.conn, out)
    command = ["hledger", "-f", str(file), "balance", "Assets:1020:USD", "--value=end,TRY",
               "--end", "2026-01-01", "--flat", "--no-total", "-O", "csv"]  # fmt: skip
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    (row,) = csv.DictReader(io.StringIO(told.stdout))
    assert row["balance"] == "84575.00 TRY"
