"""Whose money was spent: a wallet's spending attributed to the grants that loaded it.

Money on a wallet is one sum, and donors ask which of it was theirs. Spending is attributed to
loads, by default the oldest first (*fifo*), else in proportion to what is left of each; which of
the two is fixed for a programme. The answer is recorded with each posting (its grant) and never
computed anew. Attribution conserves: the shares of a spending sum to it, and no load gives more
than it has left.

Source: lineage of funds in Blnk (first in first out, proportional).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from psycopg import Connection

from ledgers.money import split
from ledgers.problems import Problem
from ledgers.wallets import wallet_number

SPENDING_ABOVE_LOADS = Problem(
    "spending_above_loads",
    "A spending is {short_minor} minor units above what is left of the wallet's loads.",
    "Look at the wallet's balance; what was loaded late is recorded first.",
)
SPENDING_NOT_ABOVE_ZERO = Problem(
    "spending_not_above_zero",
    "A spending of {amount_minor} minor units cannot be attributed.",
    "Give an amount above zero.",
)


class Attribution(StrEnum):
    """Which loads a spending is taken from."""

    FIFO = "fifo"  # the oldest first
    PROPORTIONAL = "proportional"  # from all, in proportion to what is left


@dataclass(frozen=True, slots=True)
class Load:
    """What is left of one load of a wallet; `ref` names the load."""

    ref: str
    grant: str
    left_minor: int


@dataclass(frozen=True, slots=True)
class Share:
    """What a spending takes from one load."""

    ref: str
    grant: str
    amount_minor: int


def attribute(
    loads: Sequence[Load], amount_minor: int, by: Attribution = Attribution.FIFO
) -> list[Share]:
    """Return the shares of a spending of `amount_minor`, in the order of the loads.

    Raises `spending_above_loads`, `spending_not_above_zero`.
    """
    if amount_minor <= 0:
        raise SPENDING_NOT_ABOVE_ZERO.refusal(amount_minor=amount_minor)
    left = sum(load.left_minor for load in loads)
    if amount_minor > left:
        raise SPENDING_ABOVE_LOADS.refusal(short_minor=amount_minor - left)
    if by is Attribution.PROPORTIONAL:
        # A part is its exact share cut down, plus one where there was a rest: never above the load.
        parts = split(amount_minor, [load.left_minor for load in loads])
    else:
        parts = list(_oldest_first(loads, amount_minor))
    return [
        Share(load.ref, load.grant, part) for load, part in zip(loads, parts, strict=True) if part
    ]


def attribute_all(
    loads: Iterable[Load], amounts_minor: Iterable[int], by: Attribution = Attribution.FIFO
) -> Iterator[list[Share]]:
    """Yield the shares of one spending after the other; each leaves less for the next.

    Raises what `attribute` raises.
    """
    left = list(loads)
    for amount_minor in amounts_minor:
        shares = attribute(left, amount_minor, by)
        taken = {share.ref: share.amount_minor for share in shares}
        left = [replace(load, left_minor=load.left_minor - taken.get(load.ref, 0)) for load in left]
        yield shares


def by_grant(shares: Iterable[Share]) -> dict[str, int]:
    """Return the sum of the shares of each grant: the postings of the spending."""
    sums: dict[str, int] = {}
    for share in shares:
        sums[share.grant] = sums.get(share.grant, 0) + share.amount_minor
    return sums


def loads_of(conn: Connection, wallet_ref: str, account: str) -> list[Load]:
    """Return what is left of the wallet's loads under the control account, oldest first.

    What was spent of a grant is taken from that grant's loads in their order; money on hold counts
    as spent. Raises `wallet_unknown`.
    """
    rows = conn.execute(_LOADS, {"wallet": wallet_number(conn, wallet_ref), "account": account})
    return [Load(*row) for row in rows]


def _oldest_first(loads: Sequence[Load], amount_minor: int) -> Iterator[int]:
    for load in loads:
        part = min(load.left_minor, amount_minor)
        amount_minor -= part
        yield part


_LOADS = """
    WITH line AS (
        SELECT l.entry_id, 'leg' AS kind, l.leg_no AS line, l.grant_code,
               greatest(l.amount_minor, 0) AS loaded, greatest(-l.amount_minor, 0) AS spent
        FROM books.leg l JOIN books.account a USING (account_id)
        WHERE l.wallet_id = %(wallet)s AND a.code = %(account)s
        UNION ALL
        SELECT t.entry_id, 'transfer', t.line_no, t.grant_code,
               CASE WHEN a.account_id = t.debit_account_id AND t.phase IN ('single', 'posted')
                    THEN t.amount_minor ELSE 0 END,
               CASE WHEN a.account_id = t.debit_account_id THEN 0
                    ELSE CASE WHEN t.phase IN ('single', 'pending', 'posted')
                              THEN t.amount_minor ELSE 0 END - coalesce(t.held_minor, 0) END
        FROM books.transfers_of_wallet(%(wallet)s) t
        JOIN books.account a ON a.account_id IN (t.debit_account_id, t.credit_account_id)
        WHERE a.code = %(account)s AND a.is_control
    ), spent AS (
        SELECT grant_code, sum(spent) AS minor FROM line GROUP BY grant_code
    ), loaded AS (
        SELECT *, sum(loaded) OVER (PARTITION BY grant_code
                                    ORDER BY effective_on, entry_id, kind, line) AS until_here
        FROM line JOIN books.entry USING (entry_id) WHERE loaded > 0
    )
    SELECT entry_ref || '/' || line, grant_code,
           least(loaded, until_here - minor)::bigint
    FROM loaded JOIN spent USING (grant_code)
    WHERE until_here > minor
    ORDER BY effective_on, entry_id, kind, line
"""
