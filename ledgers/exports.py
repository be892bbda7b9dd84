"""The books in formats an outside accountant's tools read: beancount, hledger, CSV.

What is exported is what moved: posted transfers and legs. Holds are not movements and stay out.
Memo accounts (budget) go under a root of their own below equity; they balance among themselves and
touch no money. Every journal ends with the balance of each account, as the database keeps it, so
that the tool that reads the journal checks our balances by itself.

Metadata name the entry, the instruction and the dimensions. The free text of a reason stays out:
whatever a person once typed there does not leave with an export.

Everything streams: one row at a time through a cursor of the server, inside the caller's
transaction. Sources: beancount language syntax, "Balance Assertions" and "Metadata"; hledger
manual, "Balance assertions" and "Tags".
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TextIO

from psycopg import Connection, sql

from ledgers.balances import AccountBalance, trial_balance
from ledgers.chart import AccountClass, chart
from ledgers.money import exponent, format_amount

_ROOTS = {
    AccountClass.ASSET: "Assets",
    AccountClass.LIABILITY: "Liabilities",
    AccountClass.FUND: "Equity",
    AccountClass.REVENUE: "Income",
    AccountClass.EXPENSE: "Expenses",
    AccountClass.MEMO: "Equity:Memo",
}

_POSTINGS = sql.SQL("""
    SELECT e.effective_on, e.entry_id, p.kind, p.line, e.entry_ref, e.event, e.recorded_at,
           p.layer, a.code, a.name, a.chart_code, a.class, p.debit_minor - p.credit_minor,
           p.currency, p.grant_code, p.programme_id, p.cycle_id, p.provider, p.location,
           p.instruction_ref
    FROM books.posting p JOIN books.entry e USING (entry_id) JOIN books.account a USING (account_id)
    WHERE p.stage = 'posted'
    ORDER BY e.effective_on, e.entry_id, p.kind, p.line, p.credit_minor
""")

_COLUMNS = (
    "entry", "effective_on", "recorded_at", "event", "layer", "account", "account_name", "debit",
    "credit", "currency", "grant", "programme", "cycle", "provider", "location", "instruction",
    "iom_gl",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Posting:
    effective_on: date
    entry_id: int
    kind: str
    line: int
    entry_ref: str
    event: str
    recorded_at: datetime
    layer: str
    code: str
    name: str
    chart_code: str
    account_class: str
    amount_minor: int
    currency: str
    grant_code: str
    programme_id: str | None
    cycle_id: str | None
    provider: str | None
    location: str | None
    instruction_ref: str | None

    @property
    def account(self) -> str:
        return _account(AccountClass(self.account_class), self.code)

    @property
    def amount(self) -> str:
        return f"{format_amount(self.amount_minor, self.currency)} {self.currency}"

    @property
    def dimensions(self) -> dict[str, str]:
        named = {
            "grant": self.grant_code,
            "programme": self.programme_id,
            "cycle": self.cycle_id,
            "provider": self.provider,
            "location": self.location,
        }
        return {name: value for name, value in named.items() if value}


def write_beancount(conn: Connection, out: TextIO) -> int:
    """Write the books as a beancount ledger to `out`; returns the number of transactions."""
    balances = _with_movement(conn)
    first, after = _span(conn)
    out.write('option "title" "Books"\n')
    out.writelines(
        f'option "operating_currency" "{currency}"\n'
        for currency in sorted({row.currency for row in balances})
    )
    for row in balances:
        account = _account(row.account_class, row.code)
        out.write(f"{first} open {account} {row.currency}\n")
    count = 0
    for postings in _transactions(conn):
        head = postings[0]
        out.write(f'\n{head.effective_on} * "{_quoted(head.event)}"\n  entry: "{head.entry_ref}"\n')
        if head.instruction_ref:
            out.write(f'  instruction: "{_quoted(head.instruction_ref)}"\n')
        for posting in postings:
            out.write(f"  {posting.account}  {posting.amount}\n")
            out.writelines(
                f'    {name}: "{_quoted(value)}"\n' for name, value in posting.dimensions.items()
            )
        count += 1
    out.write("\n")
    for row in balances:
        minor = row.posted_debit_minor - row.posted_credit_minor
        amount, none = format_amount(minor, row.currency), format_amount(0, row.currency)
        account = _account(row.account_class, row.code)
        out.write(f"{after} balance {account}  {amount} ~ {none} {row.currency}\n")
    return count


def write_hledger(conn: Connection, out: TextIO) -> int:
    """Write the books as an hledger journal to `out`; returns the number of transactions."""
    balances = _with_movement(conn)
    _, after = _span(conn)
    for currency in sorted({row.currency for row in balances}):
        places = exponent(currency)
        sample = f"1000.{'0' * places}"
        out.write(f"commodity {sample} {currency}\n")
    out.writelines(f"account {_account(row.account_class, row.code)}\n" for row in balances)
    count = 0
    for postings in _transactions(conn):
        head = postings[0]
        tags = {"entry": head.entry_ref, "instruction": head.instruction_ref or ""}
        out.write(f"\n{head.effective_on} * {_tagged(head.event)}{_tags(tags)}\n")
        out.writelines(
            f"    {posting.account}  {posting.amount}{_tags(posting.dimensions)}\n"
            for posting in postings
        )
        count += 1
    if balances:
        out.write(f"\n{after} * balances kept\n")
    for row in balances:
        minor = row.posted_debit_minor - row.posted_credit_minor
        amount, none = format_amount(minor, row.currency), format_amount(0, row.currency)
        account = _account(row.account_class, row.code)
        out.write(f"    {account}  {none} {row.currency} = {amount} {row.currency}\n")
    return count


def write_general_ledger(conn: Connection, out: TextIO) -> int:
    """Write the books as a CSV general ledger, a row per posting; returns the number of rows.

    Open `out` with `newline=""`. Amounts are decimal, `iom_gl` is IOM's account where it has one.
    """
    table = csv.writer(out, lineterminator="\n")
    table.writerow(_COLUMNS)
    count = 0
    for posting in _postings(conn):
        amount = format_amount(abs(posting.amount_minor), posting.currency)
        debit, credit = (amount, "") if posting.amount_minor > 0 else ("", amount)
        table.writerow((
            posting.entry_ref, posting.effective_on, posting.recorded_at.isoformat(), posting.event,
            posting.layer, posting.code, posting.name, debit, credit, posting.currency,
            posting.grant_code, posting.programme_id, posting.cycle_id, posting.provider,
            posting.location, posting.instruction_ref, chart()[posting.chart_code].iom_gl,
        ))  # fmt: skip
        count += 1
    return count


def _postings(conn: Connection) -> Iterator[_Posting]:
    with conn.cursor(name="books_export") as cursor:
        cursor.itersize = 10_000
        for row in cursor.execute(_POSTINGS):
            yield _Posting(*row)


def _transactions(conn: Connection) -> Iterator[list[_Posting]]:
    """Yield the postings of one entry's legs, or of one transfer, at a time."""
    for _, postings in groupby(_postings(conn), key=_transaction_of):
        yield list(postings)


def _transaction_of(posting: _Posting) -> tuple[int, str, int]:
    return posting.entry_id, posting.kind, posting.line if posting.kind == "transfer" else 0


def _with_movement(conn: Connection) -> list[AccountBalance]:
    return [row for row in trial_balance(conn) if row.posted_debit_minor or row.posted_credit_minor]


def _span(conn: Connection) -> tuple[date, date]:
    """Return the first day of the books and the day after the last, for opening and asserting."""
    first, last = conn.execute(
        "SELECT min(effective_on), max(effective_on) FROM books.entry"
    ).fetchone() or (None, None)
    return first or date.min, (last or date.min) + timedelta(days=1)


def _account(account_class: AccountClass, code: str) -> str:
    return f"{_ROOTS[account_class]}:{code.replace('.', ':')}"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _tagged(text: str) -> str:
    """Return `text` without what would begin or end a tag of hledger."""
    return "".join(" " if character in ",;:\n" else character for character in text)


def _tags(values: dict[str, str]) -> str:
    tags = ", ".join(f"{name}:{_tagged(value)}" for name, value in values.items() if value)
    return f"  ; {tags}" if tags else ""
