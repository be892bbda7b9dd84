"""Other people's tools read the books, agree that they balance, and find our balances."""

import csv
import io
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from ledgers.balances import trial_balance
from ledgers.chart import open_account
from ledgers.entries import Leg, record, reverse
from ledgers.exports import (
    tables,
    write_audit_data,
    write_beancount,
    write_general_ledger,
    write_hledger,
    write_ledger_cli,
    write_parquet,
)
from ledgers.rates import Rate, record_rate
from ledgers.transfers import transfer
from ledgers.wallets import open_wallet
from tests.ledgers.conftest import CARDS, GRANT, MARCH, Books

# Sums of all postings, asked of beancount in a process of its own: it is under another licence.
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

EXPECTED = {
    "Assets:1010:TRY": Decimal("-10000.00"),
    "Assets:1010:JPY": Decimal(-1234),
    "Assets:1110:HALK:TRY": Decimal("9990.50"),
    "Equity:Memo:9010:IOM-MPCA:TRY": Decimal("50.00"),
    "Equity:Memo:9030:IOM-MPCA:TRY": Decimal("-50.00"),
    "Expenses:5010:TRY": Decimal("9.50"),
    "Expenses:5140:JPY": Decimal(1234),
}


@pytest.fixture
def loaded(books: Books) -> Books:
    """Books with a load on a wallet."""
    open_account(books.conn, "1210", "TRY", MARCH, provider="HALK")
    wallet = open_wallet(books.conn, "W-1", provider="HALK", on=MARCH)
    source = books.lines({"L1": 250}, debit=CARDS, wallet=wallet)
    transfer(books.conn, books.head("load_found"), source)
    books.conn.commit()
    return books


@pytest.fixture
def kept(books: Books) -> Books:
    """Books with a settled plan, a hold, a return, budget, and a second currency."""
    books.hold({"A1": 300, "A2": 700, "A3": 500})
    books.settle({"A1": 300, "A2": 700})
    books.give_back({"A1": 50})
    for code in ("9010", "9030"):
        open_account(books.conn, code, "TRY", MARCH, grant=GRANT)
    for code in ("1010", "5140"):
        open_account(books.conn, code, "JPY", MARCH)
    budget, authority = f"9010.{GRANT}.TRY", f"9030.{GRANT}.TRY"
    memo = [
        Leg(budget, 5000, "M", grant_code=GRANT), Leg(authority, -5000, "M", grant_code=GRANT)
    ]  # fmt: skip
    record(books.conn, books.head("budget_allotted"), memo)
    yen = [Leg("5140.JPY", 1234, grant_code=GRANT), Leg("1010.JPY", -1234, grant_code=GRANT)]
    record(books.conn, books.head('odd "event", ;x:y'), yen)
    books.conn.commit()
    return books


def test_expected_sums_are_the_balances_kept(kept: Books) -> None:
    ours = {
        row.code: row.posted_debit_minor - row.posted_credit_minor
        for row in trial_balance(kept.conn)
        if row.posted_debit_minor
    }
    by_hand = {
        account.split(":", 2 if "Memo" in account else 1)[-1].replace(":", "."): int(
            amount * (1 if "JPY" in account else 100)
        )
        for account, amount in EXPECTED.items()
        if account not in {"Assets:1010:TRY", "Assets:1010:JPY", "Equity:Memo:9030:IOM-MPCA:TRY"}
    }
    assert ours == by_hand


@pytest.mark.tool("bean-check")
def test_beancount_agrees(kept: Books, tmp_path: Path) -> None:
    file = tmp_path / "books.beancount"
    with file.open("w", encoding="utf-8") as out:
        assert write_beancount(kept.conn, out) == 6
    checked = subprocess.run(
        [str(Path(sys.executable).parent / "bean-check"), str(file)], check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (checked.stdout, checked.stderr, checked.returncode) == ("", "", 0)
    summed = subprocess.run(
        [sys.executable, "-c", SUMS, str(file)], check=True, capture_output=True, text=True
    )
    theirs = (line.split() for line in summed.stdout.splitlines())
    assert {account: Decimal(number) for account, number in theirs} == EXPECTED


@pytest.mark.tool("bean-check")
def test_beancount_finds_a_missing_transaction(kept: Books, tmp_path: Path) -> None:
    out = io.StringIO()
    write_beancount(kept.conn, out)
    blocks = out.getvalue().split("\n\n")
    shorter = [block for block in blocks if 'instruction: "A2"' not in block]
    assert len(shorter) == len(blocks) - 1
    file = tmp_path / "books.beancount"
    file.write_text("\n\n".join(shorter), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "bean-check"), str(file)]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 1
    assert "Balance failed for 'Assets:1110:HALK:TRY'" in checked.stderr


def test_beancount_names_dimensions_and_no_reason(kept: Books) -> None:
    out = io.StringIO()
    write_beancount(kept.conn, out)
    assert '2026-03-02 * "load_settled"\n' in out.getvalue()
    assert (
        '  instruction: "A2"\n'
        "  Expenses:5010:TRY  7.00 TRY\n"
        '    grant: "IOM-MPCA"\n'
        '    programme: "pgm_1"\n'
        '    cycle: "cyc_1"\n'
        '    provider: "HALK"\n'
        '    location: "TR-63"\n'
        "  Assets:1110:HALK:TRY  -7.00 TRY\n"
    ) in out.getvalue()
    assert "A3" not in out.getvalue()
    assert "in March" not in out.getvalue()


def test_hledger_journal_is_written(kept: Books) -> None:
    out = io.StringIO()
    assert write_hledger(kept.conn, out) == 6
    assert "commodity 1000. JPY\ncommodity 1000.00 TRY\n" in out.getvalue()
    assert (
        "    Expenses:5010:TRY  7.00 TRY  ; grant:IOM-MPCA, programme:pgm_1, cycle:cyc_1,"
        " provider:HALK, location:TR-63\n"
    ) in out.getvalue()
    assert out.getvalue().endswith("    Equity:Memo:9030:IOM-MPCA:TRY  0.00 TRY = -50.00 TRY\n")


@pytest.mark.tool("hledger")
def test_hledger_agrees(kept: Books, tmp_path: Path) -> None:
    file = tmp_path / "books.journal"
    with file.open("w", encoding="utf-8") as out:
        write_hledger(kept.conn, out)
    subprocess.run(["hledger", "-f", str(file), "check", "--strict"], check=True)
    command = ["hledger", "-f", str(file), "balance", "--flat", "--no-total", "-O", "csv"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = list(csv.DictReader(io.StringIO(told.stdout)))
    assert {row["account"]: Decimal(row["balance"].split()[0]) for row in rows} == EXPECTED


def test_general_ledger_has_a_row_per_posting(kept: Books) -> None:
    out = io.StringIO()
    assert write_general_ledger(kept.conn, out) == 12
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert sum(Decimal(row["debit"] or 0) - Decimal(row["credit"] or 0) for row in rows) == 0
    (cash,) = [row for row in rows if (row["instruction"], row["account"]) == ("A2", "5010.TRY")]
    assert {name: cash[name] for name in ("debit", "credit", "grant", "iom_gl", "location")} == {
        "debit": "7.00", "credit": "", "grant": GRANT, "iom_gl": "307410", "location": "TR-63",
    }  # fmt: skip


def test_general_ledger_names_wallets(loaded: Books) -> None:
    out = io.StringIO()
    write_general_ledger(loaded.conn, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    wallets = {(row["account"], row["wallet"]) for row in rows if row["instruction"] == "L1"}
    assert wallets == {(CARDS, "W-1"), ("1110.HALK.TRY", "")}


def test_audit_data_has_a_row_per_line_of_a_journal(kept: Books) -> None:
    out = io.StringIO()
    assert write_audit_data(kept.conn, out) == 12
    assert "in March" not in out.getvalue()
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    keys = [(row["Journal_ID"], row["Journal_ID_Line_Number"]) for row in rows]
    assert len(set(keys)) == len(keys)
    signed = {"D": 1, "C": -1}
    assert sum(Decimal(row["Amount"]) * signed[row["Amount_Credit_Debit_Indicator"]]
               for row in rows) == 0  # fmt: skip
    (cash,) = [
        row for row in rows
        if (row["GL_Account_Number"], row["Amount_Credit_Debit_Indicator"], row["Amount"])
        == ("5010.TRY", "D", "7.00")
    ]  # fmt: skip
    entered = {cash.pop("Entered_Date"), cash.pop("Entered_Time")}
    assert "" not in entered
    assert cash == {
        "Journal_ID": cash["Journal_ID"], "Journal_ID_Line_Number": "3",
        "JE_Header_Description":
            "Loads are confirmed, in full or in part; the rest of the reserve is released.",
        "JE_Line_Description": "Transfers to households, cash TRY", "Source": "cva",
        "Business_Unit_Code": "A", "Effective_Date": "2026-03-02", "Fiscal_Year": "2026",
        "Period": "3", "GL_Account_Number": "5010.TRY", "Amount": "7.00",
        "Amount_Credit_Debit_Indicator": "D", "Amount_Currency": "TRY", "Entered_By": "Deniz",
        "Reversal_Indicator": "N", "Reversal_Journal_ID": "", "Segment01": GRANT,
        "Segment02": "pgm_1", "Segment03": "cyc_1", "Segment04": "HALK", "Segment05": "TR-63",
        "Segment06": "", "Segment07": "307410",
    }  # fmt: skip


def test_audit_data_names_the_journal_that_is_reversed(kept: Books) -> None:
    (fee,) = kept.conn.execute("SELECT max(entry_ref) FROM books.entry").fetchone()
    reverse(kept.conn, fee, kept.head("reversal"))
    out = io.StringIO()
    write_audit_data(kept.conn, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    reversals = [row for row in rows if row["Reversal_Indicator"] == "Y"]
    assert [row["Reversal_Journal_ID"] for row in reversals] == [fee, fee]


def test_parquet_holds_the_books_in_row_groups(
    loaded: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "ROWS_PER_GROUP", 5)
    file = tmp_path / "books.parquet"
    with file.open("wb") as out:
        count = write_parquet(loaded.conn, out)
    read = pq.ParquetFile(file)
    assert (read.metadata.num_rows, read.num_row_groups) == (count, -(-count // 5))
    rows = read.read().to_pylist()
    sums: dict[str, int] = {}
    for row in rows:
        minor = row["debit_minor"] - row["credit_minor"]
        sums[row["account"]] = sums.get(row["account"], 0) + minor
    kept_sums = {
        row.code: row.posted_debit_minor - row.posted_credit_minor
        for row in trial_balance(loaded.conn)
        if row.posted_debit_minor or row.posted_credit_minor
    }
    assert sums == kept_sums
    (card,) = [row for row in rows if row["account"] == CARDS]
    assert {name: card[name] for name in ("wallet", "decimals", "effective_on", "layer")} == {
        "wallet": "W-1", "decimals": 2, "effective_on": MARCH, "layer": "A",
    }  # fmt: skip


def test_journals_give_the_last_revision_of_every_rate(kept: Books) -> None:
    for value in ("38.10", "38.20"):
        rate = Rate("TCMB", "USD", "TRY", MARCH, Decimal(value))
        record_rate(kept.conn, rate, recorded_by="Deniz", revises=True)
    told = []
    for write in (write_beancount, write_hledger, write_ledger_cli):
        out = io.StringIO()
        write(kept.conn, out)
        told.append([line for line in out.getvalue().splitlines() if " 38." in line])
    assert told == [
        ["2026-03-02 price USD 38.2 TRY"],
        ["P 2026-03-02 USD 38.2 TRY  ; source:TCMB"],
        ["P 2026-03-02 USD 38.2 TRY"],
    ]


def test_ledger_cli_journal_is_written(kept: Books) -> None:
    out = io.StringIO()
    assert write_ledger_cli(kept.conn, out) == 6
    assert "commodity JPY\n    format 1000. JPY\ncommodity TRY\n    format 1000.00 TRY\n" in (
        out.getvalue()
    )
    assert (
        "    ; instruction: A2\n"
        "    Expenses:5010:TRY  7.00 TRY\n"
        "    ; grant: IOM-MPCA\n"
        "    ; programme: pgm_1\n"
    ) in out.getvalue()
    assert "in March" not in out.getvalue()


@pytest.mark.tool("hledger")
def test_ledger_cli_journal_agrees(loaded: Books, tmp_path: Path) -> None:
    file = tmp_path / "books.ledger"
    with file.open("w", encoding="utf-8") as out:
        write_ledger_cli(loaded.conn, out)
    command = ["hledger", "-f", f"journal:{file}", "balance", "--flat", "--no-total", "-O", "csv"]
    told = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = list(csv.DictReader(io.StringIO(told.stdout)))
    theirs = {row["account"]: Decimal(row["balance"].split()[0]) for row in rows}
    assert theirs["Assets:1210:HALK:TRY"] == Decimal("2.50")


def test_empty_books_are_exported(app: psycopg.Connection, tmp_path: Path) -> None:
    for write in (
        write_beancount,
        write_hledger,
        write_ledger_cli,
        write_general_ledger,
        write_audit_data,
    ):
        assert write(app, io.StringIO()) == 0
    with (tmp_path / "books.parquet").open("wb") as out:
        assert write_parquet(app, out) == 0
