"""Wallets: the sub-ledger of cards, vouchers and mobile wallets under the control accounts.

A wallet is known by an opaque reference that its caller gives; it holds no name and no number of a
card. A line on a control account names the wallet it is about, so that a control account is, by
construction, the sum of its wallets. A wallet has a balance for each account, that is for each
grant's or provider's money on it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from psycopg import Connection, sql
from psycopg.rows import class_row

from ledgers.problems import Answer, Problem

NO_PARAMS: Mapping[str, object] = {}

WALLET_UNKNOWN = Problem(
    "wallet_unknown",
    "The books have no wallet {wallet}.",
    "Look the wallet up by its household, or open it first.",
    Answer.NOT_FOUND,
)
WALLET_MISSING = Problem(
    "wallet_missing",
    "A line on the control account {account} does not name a wallet.",
    "Name the wallet: a control account is the sum of its wallets.",
)
WALLET_UNFIT = Problem(
    "wallet_unfit",
    "A line on the account {account} names a wallet, and the account has none.",
    "Leave the wallet out, or choose the control account.",
)


@dataclass(frozen=True, slots=True)
class WalletBalance:
    """What stands on a wallet under one control account, in minor units of its currency."""

    account: str
    wallet_ref: str
    currency: str
    loaded_minor: int
    spent_minor: int
    available_minor: int


def open_wallets(
    conn: Connection, source: sql.Composable, params: Mapping[str, object] = NO_PARAMS
) -> int:
    """Open the wallets that do not exist yet; returns how many.

    `source` selects wallet_ref, provider and opened_on, in this order.
    """
    statement = sql.SQL("""
        WITH wanted (wallet_ref, provider, opened_on) AS MATERIALIZED ({source})
        INSERT INTO books.wallet (wallet_ref, provider, opened_on)
        SELECT wallet_ref, min(provider), min(opened_on) FROM wanted
        WHERE NOT EXISTS (SELECT FROM books.wallet w WHERE w.wallet_ref = wanted.wallet_ref)
        GROUP BY wallet_ref ORDER BY wallet_ref
        ON CONFLICT (wallet_ref) DO NOTHING
    """).format(source=source)
    return conn.execute(statement, params).rowcount


def open_wallet(conn: Connection, wallet_ref: str, *, provider: str, on: date) -> int:
    """Open one wallet, or find it open; returns its number."""
    values = {"ref": wallet_ref, "provider": provider, "on": on}
    open_wallets(conn, sql.SQL("SELECT %(ref)s::text, %(provider)s::text, %(on)s::date"), values)
    return wallet_number(conn, wallet_ref)


def wallet_number(conn: Connection, wallet_ref: str) -> int:
    """Return the number of the wallet. Raises `wallet_unknown`."""
    row = conn.execute(
        "SELECT wallet_id FROM books.wallet WHERE wallet_ref = %s", [wallet_ref]
    ).fetchone()
    if row is None:
        raise WALLET_UNKNOWN.refusal(wallet=wallet_ref)
    return int(row[0])


def wallet_balances(conn: Connection, wallet_ref: str) -> Iterator[WalletBalance]:
    """Return what stands on the wallet under each account, by code. Raises `wallet_unknown`."""
    number = wallet_number(conn, wallet_ref)
    cursor = conn.cursor(row_factory=class_row(WalletBalance))
    return iter(
        cursor.execute(
            "SELECT a.code AS account, %s AS wallet_ref, a.currency,"
            " b.posted_debit AS loaded_minor, b.posted_credit AS spent_minor,"
            " books.available(a.normal_side, b.posted_debit, b.posted_credit, b.pending_debit,"
            " b.pending_credit) AS available_minor"
            " FROM books.wallet_balance b JOIN books.account a USING (account_id)"
            ' WHERE b.wallet_id = %s ORDER BY a.code COLLATE "C"',
            [wallet_ref, number],
        )
    )
