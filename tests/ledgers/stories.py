"""Scenario files of the event journal: an accountant's tables, played on a real database.

A file gives balances (`given`), events that came before, one event with its facts, and what must
come of it: every posting (layer A actual, P pending, M memo) and the balance of every account that
the event touched. What a resolution takes off hold stands in layer P on the other side. Tables are
columns parted by spaces; `-` is nothing. Amounts are decimal.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path

import psycopg
import yaml

from ledgers.balances import balance
from ledgers.chart import open_account
from ledgers.contracts import Breakage, Contract, Ownership, Recognition
from ledgers.entries import EntryHead
from ledgers.journal import plan
from ledgers.money import format_amount, parse_amount
from ledgers.opening import import_opening
from ledgers.recording import Occasion, Written, record_planned
from ledgers.wallets import open_wallet

FOLDER = Path(__file__).parent.parent / "scenarios" / "ledger"
DAY = date(2026, 3, 2)
AMOUNTS = {
    "amount", "fee", "shortage", "sold", "bought", "book", "actual", "gain", "loss", "held",
    "requested", "available", "unspent", "spent", "earned", "spent_of_year",
}  # fmt: skip
COLUMNS = (
    "account", "debit", "credit", "layer", "grant", "programme", "cycle", "provider", "location",
    "wallet",
)  # fmt: skip

Row = dict[str, str]


@dataclass
class Story:
    """One scenario file."""

    event: str
    number: str
    title: str
    contract: Contract | None
    given: list[Row]
    wallets: list[str]
    before: list[dict[str, object]]
    facts: dict[str, object]
    postings: list[Row]
    balances: list[Row]


def read(path: Path) -> Story:
    """Read a file; every scalar is text, so that no amount becomes a binary fraction."""
    raw = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - makes texts, lists and mappings only
    expect = raw["expect"]
    return Story(
        raw["event"], raw["number"], raw["title"], contract_of(raw.get("contract")),
        table(raw.get("given", "")), raw.get("wallets", []), raw.get("before", []), raw["facts"],
        table(expect["postings"]), table(expect["balances"]),
    )  # fmt: skip


def table(text: str) -> list[Row]:
    lines = [line.split() for line in text.splitlines() if line.strip()]
    return [dict(zip(lines[0], cells, strict=True)) for cells in lines[1:]]


def contract_of(terms: Mapping[str, str] | None) -> Contract | None:
    if terms is None:
        return None
    days, breakage = terms.get("expires_after_days"), terms.get("breakage")
    return Contract(
        terms["provider"], terms["currency"], Ownership(terms["ownership"]),
        Recognition(terms["recognition"]), int(days) if days else None,
        Breakage(breakage) if breakage else None,
    )  # fmt: skip


def facts_of(told: Mapping[str, object]) -> dict[str, object]:
    """Facts as the journal takes them: minor units, yes and no, days."""
    return {name: _fact(name, value, told) for name, value in told.items()}


def _fact(name: str, value: object, told: Mapping[str, object]) -> object:
    if isinstance(value, list):
        return [facts_of({"currency": told["currency"], **line}) for line in value]
    if name in AMOUNTS:
        sold = told.get("sold_currency", told.get("currency"))
        currency = told.get("bought_currency") if name == "bought" else sold
        return parse_amount(str(value), str(currency))
    if name == "expires_on":
        return date.fromisoformat(str(value))
    return {"true": True, "false": False}.get(str(value), value)


class Stage:
    """The books on which one scenario is played."""

    def __init__(self, conn: psycopg.Connection, today: date = DAY) -> None:
        self.conn = conn
        self.today = today
        self.numbers: Iterator[int] = count(1)

    def new_ref(self) -> str:
        return f"je_{next(self.numbers):026d}"

    def give(self, rows: list[Row], wallets: Iterable[str] = ()) -> None:
        """Open the accounts and wallets of the table, and record it as opening balances."""
        for wallet in wallets:
            open_wallet(self.conn, wallet, provider="HALK", on=self.today)
        if not rows:
            return
        for row in rows:
            self._open(row)
        lines = ["account,debit,credit,currency,grant,programme,cycle,provider,location,wallet"]
        for row in rows:
            cells = {name: row.get(name, "-").replace("-", "", row.get(name, "-") == "-")
                     for name in COLUMNS}  # fmt: skip
            cells["currency"] = row["account"].rsplit(".", 1)[1]
            lines.append(",".join(cells[name] for name in lines[0].split(",")))
        head = EntryHead(
            self.new_ref(), "opening", "opening_balance", self.today, "Deniz", "given",
            recorded_on=self.today,
        )  # fmt: skip
        import_opening(self.conn, lines, "given.csv", head)

    def _open(self, row: Row) -> None:
        chart_code, *named, currency = row["account"].split(".")
        grant = row["grant"] if row["grant"] in named else None
        provider = next((name for name in named if name != grant), None)
        open_account(self.conn, chart_code, currency, self.today, grant=grant, provider=provider)
        if row.get("wallet", "-") != "-":
            open_wallet(self.conn, row["wallet"], provider=row["provider"], on=self.today)

    def play(
        self, event: str, facts: Mapping[str, object], contract: Contract | None
    ) -> list[Written]:
        occasion = Occasion(self.today, self.today, "Deniz", "as told")
        return record_planned(
            self.conn, plan(event, facts_of(facts), contract), occasion, self.new_ref
        )

    def newest(self) -> int:
        (number,) = self.conn.execute(
            "SELECT coalesce(max(entry_id), 0) FROM books.entry"
        ).fetchone()
        return number

    def postings_since(self, entry_id: int) -> list[Row]:
        rows = self.conn.execute(
            "SELECT a.code, p.debit_minor - p.credit_minor, p.currency,"
            " CASE p.stage WHEN 'pending' THEN 'P' ELSE p.layer::text END, p.grant_code,"
            " p.programme_id, p.cycle_id, p.provider, p.location, w.wallet_ref"
            " FROM books.posting p JOIN books.account a USING (account_id)"
            " LEFT JOIN books.wallet w USING (wallet_id) WHERE p.entry_id > %s"
            " ORDER BY p.entry_id, p.kind, p.line, p.credit_minor, p.debit_minor DESC",
            [entry_id],
        )
        found = []
        for code, minor, currency, *dimensions in rows:
            amount = format_amount(abs(minor), currency)
            sides = (amount, "-") if minor > 0 else ("-", amount)
            cells = (code, *sides, *(value or "-" for value in dimensions))
            found.append(dict(zip(COLUMNS, cells, strict=True)))
        return found

    def balances_of(self, codes: list[str]) -> list[Row]:
        found = []
        for code in codes:
            row = balance(self.conn, code)
            told = (row.balance_minor, row.pending_minor, row.available_minor)
            cells = (code, *(format_amount(minor, row.currency) for minor in told))
            columns = ("account", "balance", "pending", "available")
            found.append(dict(zip(columns, cells, strict=True)))
        return found
