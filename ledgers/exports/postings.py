"""What every export reads: postings in the order of their day, currencies, prices, balances."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby

from psycopg import Connection
from psycopg.rows import class_row

from ledgers.balances import AccountBalance, trial_balance
from ledgers.chart import AccountClass, chart
from ledgers.money import format_amount

_ROOTS = {
    AccountClass.ASSET: "Assets",
    AccountClass.LIABILITY: "Liabilities",
    AccountClass.FUND: "Equity",
    AccountClass.REVENUE: "Income",
    AccountClass.EXPENSE: "Expenses",
    AccountClass.MEMO: "Equity:Memo",
}

_POSTINGS = """
    SELECT e.effective_on, e.entry_id, p.kind, p.line, e.entry_ref, e.event, e.recorded_at,
           e.recorded_by, e.recorded_on, r.entry_ref AS reverses, p.layer, a.code, a.name,
           a.chart_code, a.class AS account_class, p.debit_minor - p.credit_minor AS amount_minor,
           p.currency, p.grant_code, p.programme_id, p.cycle_id, p.provider, p.location,
           p.instruction_ref, w.wallet_ref
    FROM books.posting p JOIN books.entry e USING (entry_id) JOIN books.account a USING (account_id)
    LEFT JOIN books.wallet w USING (wallet_id) LEFT JOIN books.entry r ON r.entry_id = e.reverses
    WHERE p.stage = 'posted'
    ORDER BY e.effective_on, e.entry_id, p.kind, p.line, p.credit_minor
"""

_PRICES = """
    SELECT DISTINCT ON (valid_on, base, quote, source) valid_on, base, quote, rate, source
    FROM books.rate ORDER BY valid_on, base, quote, source, revision DESC
"""


@dataclass(frozen=True, slots=True)
class Posting:
    """One posting with its entry, its account and its dimensions; debit positive."""

    effective_on: date
    entry_id: int
    kind: str
    line: int
    entry_ref: str
    event: str
    recorded_at: datetime
    recorded_by: str
    recorded_on: date
    reverses: str | None
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
    wallet_ref: str | None

    @property
    def account(self) -> str:
        """The account as a path below assets, liabilities, equity, income or expenses."""
        return account_path(AccountClass(self.account_class), self.code)

    @property
    def amount(self) -> str:
        """The signed amount with its currency."""
        return f"{format_amount(self.amount_minor, self.currency)} {self.currency}"

    @property
    def iom_gl(self) -> str:
        """The general ledger account of IOM, where there is one."""
        return chart()[self.chart_code].iom_gl

    @property
    def dimensions(self) -> dict[str, str]:
        """What the posting says of its grant, programme, cycle, provider, location and wallet."""
        named = {
            "grant": self.grant_code,
            "programme": self.programme_id,
            "cycle": self.cycle_id,
            "provider": self.provider,
            "location": self.location,
            "wallet": self.wallet_ref,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Price:
    """What a source said that one unit of `base` was worth in `quote`."""

    valid_on: date
    base: str
    quote: str
    rate: Decimal
    source: str

    @property
    def amount(self) -> str:
        """The rate without an exponent, with its currency."""
        return f"{self.rate.normalize():f} {self.quote}"


def postings(conn: Connection) -> Iterator[Posting]:
    """Yield every posting that moved money or budget, by day and entry."""
    with conn.cursor(name="books_export") as cursor:
        cursor.itersize = 10_000
        for row in cursor.execute(_POSTINGS):
            yield Posting(*row)


def transactions(conn: Connection) -> Iterator[list[Posting]]:
    """Yield the postings of one entry's legs, or of one transfer, at a time."""
    for _, found in groupby(postings(conn), key=_transaction_of):
        yield list(found)


def prices(conn: Connection) -> list[Price]:
    """Return the recorded rates, each in its last revision, by day."""
    with conn.cursor(row_factory=class_row(Price)) as cursor:
        return cursor.execute(_PRICES).fetchall()


def with_movement(conn: Connection) -> list[AccountBalance]:
    """Return the balances of the accounts on which something moved, by code."""
    return [row for row in trial_balance(conn) if row.posted_debit_minor or row.posted_credit_minor]


def span(conn: Connection) -> tuple[date, date]:
    """Return the first day of the books and the day after the last, for opening and asserting."""
    first, last = conn.execute(
        "SELECT min(effective_on), max(effective_on) FROM books.entry"
    ).fetchone() or (None, None)
    return first or date.min, (last or date.min) + timedelta(days=1)


def account_path(account_class: AccountClass, code: str) -> str:
    """Return the account's code as a path of a plain text journal."""
    return f"{_ROOTS[account_class]}:{code.replace('.', ':')}"


def _transaction_of(posting: Posting) -> tuple[int, str, int]:
    return posting.entry_id, posting.kind, posting.line if posting.kind == "transfer" else 0
