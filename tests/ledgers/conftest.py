"""A small set of books: one grant, one bank account, one float, holds named by their reference."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from itertools import count

import psycopg
import pytest
from psycopg import sql

from ledgers.chart import open_account
from ledgers.entries import EntryHead, Leg, record
from ledgers.transfers import Moved, Settled, hold, settle, transfer

GRANT = "IOM-MPCA"
MARCH = date(2026, 3, 2)
FLOAT, CASH, BANK, FUND = "1110.HALK.TRY", "5010.TRY", "1010.TRY", "2010.IOM-MPCA.TRY"
CARDS = "1210.HALK.TRY"
TRANSFER = "int int bigint text text text text text text text bigint date"


def leg(
    account: int | str, amount_minor: int, layer: str = "A", *, grant: str = GRANT,
    wallet: int | None = None,
) -> Leg:  # fmt: skip
    """A leg that names everything an account may ask for."""
    return Leg(
        account, amount_minor, layer, grant_code=grant, programme_id="pgm_1", cycle_id="cyc_1",
        provider="HALK", location="TR-63", wallet_id=wallet,
    )  # fmt: skip


@dataclass
class Books:
    """The books as the application sees them, with `float_minor` of money at the provider."""

    conn: psycopg.Connection
    numbers: count = field(default_factory=lambda: count(1))

    def head(
        self,
        event: str = "load_instructed",
        *,
        key: str = "",
        on: date = MARCH,
        by: str = "Deniz",
        today: date | None = None,
    ) -> EntryHead:
        number = next(self.numbers)
        return EntryHead(
            f"je_{number:026d}", key or f"key {number}", event, on, by, f"{event} in March",
            recorded_on=today or on,
        )  # fmt: skip

    def fund(self, amount_minor: int) -> None:
        legs = [
            Leg(FLOAT, amount_minor, grant_code=GRANT, provider="HALK"),
            Leg(BANK, -amount_minor, grant_code=GRANT),
        ]
        record(self.conn, self.head("float_credited"), legs)

    def lines(
        self,
        amounts: dict[str, int],
        debit: str = CASH,
        credit: str = FLOAT,
        *,
        wallet: int | None = None,
        until: date | None = None,
    ) -> sql.Composable:
        """A source of transfers: an amount for each instruction reference."""
        numbers = dict(self.conn.execute("SELECT code, account_id FROM books.account").fetchall())
        rows = [
            (numbers[debit], numbers[credit], amount, "TRY", GRANT, "pgm_1", "cyc_1", "HALK",
             "TR-63", ref, wallet, until)
            for ref, amount in amounts.items()
        ]  # fmt: skip
        return values(rows, TRANSFER)

    def hold(
        self,
        amounts: dict[str, int],
        *,
        key: str = "",
        credit: str = FLOAT,
        until: date | None = None,
    ) -> Moved:
        source = self.lines(amounts, credit=credit, until=until)
        return hold(self.conn, self.head(key=key), source)

    def settle(self, amounts: dict[str, int], *, key: str = "") -> Settled:
        source = values(list(amounts.items()), "text bigint")
        return settle(self.conn, self.head("load_settled", key=key), source)

    def give_back(self, amounts: dict[str, int]) -> Moved:
        source = self.lines(amounts, debit=FLOAT, credit=CASH)
        return transfer(self.conn, self.head("load_returned"), source)

    def one(self, query: str) -> object:
        row = self.conn.execute(query).fetchone()
        return None if row is None else row[0]


def values(rows: Iterable[tuple], types: str) -> sql.Composable:
    """A select of literal rows; no row at all is a select too."""
    kinds = types.split()
    cells = [
        sql.SQL("({})").format(
            sql.SQL(", ").join(
                sql.SQL("{}::{}").format(sql.Literal(cell), sql.SQL(kind))
                for cell, kind in zip(row, kinds, strict=True)
            )
        )
        for row in rows
    ]
    if not cells:
        nulls = sql.SQL(", ").join(sql.SQL("NULL::{}").format(sql.SQL(kind)) for kind in kinds)
        return sql.SQL("SELECT {} WHERE false").format(nulls)
    return sql.SQL("VALUES {}").format(sql.SQL(", ").join(cells))


@pytest.fixture
def books(app: psycopg.Connection) -> Books:
    open_account(app, "1110", "TRY", MARCH, provider="HALK")
    for code in ("5010", "1010"):
        open_account(app, code, "TRY", MARCH)
    open_account(app, "2010", "TRY", MARCH, grant=GRANT)
    opened = Books(app)
    opened.fund(1_000_000)
    app.commit()
    return opened
