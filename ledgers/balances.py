"""Balances and registers: what an account holds, now, on a day, as known at a moment.

Two axes of time: *on* is the day an entry takes effect, *as known at* the moment it was recorded.
A report for a day as known at a past moment never changes, once `moments` has waited for those who
were still recording then; a report for a day alone does, as long as its period is open. Without
either, the answer comes from the balances the database keeps; for a day without its holds, from the
days' totals it keeps; otherwise it is folded from the log.

Amounts are minor units of the account's currency. `posted` is money that moved; what is on hold is
pending. *Available* is the balance less what is on hold to leave: the figure the limit looks at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from ledgers.chart import ACCOUNT_UNKNOWN, AccountClass, Side
from ledgers.closing import CLOSED
from ledgers.origins import ORIGIN


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """An account with its sums of debits and credits, posted and pending."""

    code: str
    name: str
    account_class: AccountClass
    normal_side: Side
    currency: str
    posted_debit_minor: int
    posted_credit_minor: int
    pending_debit_minor: int
    pending_credit_minor: int

    @property
    def balance_minor(self) -> int:
        """What stands on the account, on its normal side."""
        net = self.posted_debit_minor - self.posted_credit_minor
        return net if self.normal_side is Side.DEBIT else -net

    @property
    def pending_minor(self) -> int:
        """What is on hold, on the normal side: below zero where money is about to leave."""
        net = self.pending_debit_minor - self.pending_credit_minor
        return net if self.normal_side is Side.DEBIT else -net

    @property
    def available_minor(self) -> int:
        """The balance less everything on hold to leave; what may arrive is not counted."""
        leaving = (
            self.pending_credit_minor
            if self.normal_side is Side.DEBIT
            else self.pending_debit_minor
        )
        return self.balance_minor - leaving


@dataclass(frozen=True, slots=True)
class RegisterLine:
    """One entry as an account sees it; `running_minor` is the balance after it.

    `lines` counts the legs or transfers; the amounts are their sums.
    """

    entry_ref: str
    effective_on: date
    recorded_at: datetime
    event: str
    reason: str
    lines: int
    debit_minor: int
    credit_minor: int
    running_minor: int


_ACCOUNT = "a.code, a.name, a.class, a.normal_side, a.currency"

_KEPT = f"""
    SELECT {_ACCOUNT}, coalesce(b.posted_debit, 0), coalesce(b.posted_credit, 0),
           coalesce(b.pending_debit, 0), coalesce(b.pending_credit, 0)
    FROM books.account a LEFT JOIN books.account_balance b USING (account_id)
    WHERE %(code)s::text IS NULL OR a.code = %(code)s
    ORDER BY a.code COLLATE "C"
"""

_DAYS = f"""
    WITH fold AS (
        SELECT account_id, sum(posted_debit) AS posted_debit, sum(posted_credit) AS posted_credit
        FROM books.day_total
        WHERE effective_on <= %(on)s
          AND (%(code)s::text IS NULL
               OR account_id = (SELECT account_id FROM books.account WHERE code = %(code)s))
        GROUP BY account_id
    )
    SELECT {_ACCOUNT}, coalesce(f.posted_debit, 0)::bigint, coalesce(f.posted_credit, 0)::bigint,
           0, 0
    FROM books.account a LEFT JOIN fold f USING (account_id)
    WHERE %(code)s::text IS NULL OR a.code = %(code)s
    ORDER BY a.code COLLATE "C"
"""

_FOLDED = f"""
    WITH fold AS (
        SELECT p.account_id, sum(p.debit_minor) FILTER (WHERE p.stage = 'posted') AS posted_debit,
               sum(p.credit_minor) FILTER (WHERE p.stage = 'posted') AS posted_credit,
               sum(p.debit_minor) FILTER (WHERE p.stage = 'pending') AS pending_debit,
               sum(p.credit_minor) FILTER (WHERE p.stage = 'pending') AS pending_credit
        FROM books.posting p JOIN books.entry e USING (entry_id)
        WHERE (%(on)s::date IS NULL OR e.effective_on <= %(on)s)
          AND (%(known)s::timestamptz IS NULL OR e.recorded_at <= %(known)s)
          AND (%(code)s::text IS NULL
               OR p.account_id = (SELECT account_id FROM books.account WHERE code = %(code)s))
        GROUP BY p.account_id
    )
    SELECT {_ACCOUNT}, coalesce(f.posted_debit, 0)::bigint, coalesce(f.posted_credit, 0)::bigint,
           coalesce(f.pending_debit, 0)::bigint, coalesce(f.pending_credit, 0)::bigint
    FROM books.account a LEFT JOIN fold f USING (account_id)
    WHERE a.code = %(code)s OR %(code)s::text IS NULL
        AND (f.account_id IS NOT NULL OR %(known)s::timestamptz IS NULL) -- opened since
    ORDER BY a.code COLLATE "C"
"""

_REGISTER = f"""
    WITH seen AS (
        SELECT e.entry_id, e.entry_ref, e.effective_on, e.recorded_at, e.event, e.reason,
               count(*) AS lines, sum(p.debit_minor)::bigint AS debit_minor,
               sum(p.credit_minor)::bigint AS credit_minor
        FROM books.posting p JOIN books.entry e USING (entry_id)
        WHERE p.stage = 'posted' AND p.account_id = %(account)s
          AND (%(programmes)s::text[] IS NULL OR p.programme_id = ANY (%(programmes)s))
          AND (%(last)s::date IS NULL OR e.effective_on <= %(last)s)
          AND (%(known)s::timestamptz IS NULL OR e.recorded_at <= %(known)s)
          AND (%(closing)s OR ({ORIGIN}) <> '{CLOSED}')
        GROUP BY e.entry_id
    ), run AS (
        SELECT *, %(sign)s * sum(debit_minor - credit_minor)
                      OVER (ORDER BY effective_on, entry_id)::bigint AS running_minor
        FROM seen
    )
    SELECT entry_ref, effective_on, recorded_at, event, reason, lines, debit_minor, credit_minor,
           running_minor
    FROM run WHERE %(first)s::date IS NULL OR effective_on >= %(first)s
    ORDER BY effective_on, entry_id
"""


def trial_balance(
    conn: Connection,
    on: date | None = None,
    as_known_at: datetime | None = None,
    *,
    holds: bool = True,
) -> list[AccountBalance]:
    """Return every account's balance, by code; with `on`, of entries effective by that day.

    `as_known_at` (aware): of entries recorded by that moment, and only accounts they moved.
    `holds=False` leaves out what was on hold then (the pending sums are 0): much faster for a day.
    """
    params = {"code": None, "on": on, "known": as_known_at}
    return [_balance(row) for row in conn.execute(_query(on, as_known_at, holds=holds), params)]


def balance(
    conn: Connection,
    code: str,
    on: date | None = None,
    as_known_at: datetime | None = None,
    *,
    holds: bool = True,
) -> AccountBalance:
    """Return the balance of the account `code`.

    `on`: of entries effective by that day; `as_known_at` (aware): of entries recorded by that
    moment; `holds` as in `trial_balance`. Raises `account_unknown`.
    """
    params = {"code": code, "on": on, "known": as_known_at}
    row = conn.execute(_query(on, as_known_at, holds=holds), params).fetchone()
    if row is None:
        raise ACCOUNT_UNKNOWN.refusal(account=code)
    return _balance(row)


def register(
    conn: Connection,
    code: str,
    first: date | None = None,
    last: date | None = None,
    as_known_at: datetime | None = None,
    *,
    programmes: Sequence[str] | None = None,
    closing: bool = True,
) -> Iterator[RegisterLine]:
    """Return the posted entries of the account in order of their day, with the running balance.

    A plan's thousands of transfers are one line. `first` and `last` are days, both in it; what came
    before the first is in the running balance. `as_known_at` is as in `balance`. `programmes` (ids)
    leaves out other programmes' lines, `closing=False` the entries that close a year. Raises
    `account_unknown`.
    """
    account = conn.execute(
        "SELECT account_id, normal_side FROM books.account WHERE code = %s", [code]
    ).fetchone()
    if account is None:
        raise ACCOUNT_UNKNOWN.refusal(account=code)
    values = {
        "account": account[0], "sign": 1 if account[1] == Side.DEBIT else -1, "first": first,
        "last": last, "programmes": None if programmes is None else list(programmes),
        "closing": closing, "known": as_known_at,
    }  # fmt: skip
    cursor = conn.cursor(row_factory=class_row(RegisterLine))
    return iter(cursor.execute(_REGISTER, values))


def _query(on: date | None, as_known_at: datetime | None, *, holds: bool) -> str:
    if as_known_at is not None:
        return _FOLDED
    if on is None:
        return _KEPT
    return _FOLDED if holds else _DAYS


def _balance(row: tuple[Any, ...]) -> AccountBalance:
    code, name, account_class, side, currency, *sums = row
    return AccountBalance(code, name, AccountClass(account_class), Side(side), currency, *sums)
