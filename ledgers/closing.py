"""The end of a year: each grant's revenue and expense go to its fund balance, and nothing is lost.

The closing entry of a grant takes back what stands on every revenue and expense account, and puts
the same on its fund balance (3010, or 3020 where the money is unrestricted), line for line with its
programme, cycle, provider and location: the fund balance can be asked what it is made of, and the
closing balances per grant are the opening balances of the next year. It is dated on the last day,
as an adjustment, so it is taken while the period is being adjusted; then the period is closed.

An error found later is set right in the open period, by an entry that names the original.

Source: event 22 of the journal; closing that keeps dimensions as in doubleentry (`core_closing`).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from psycopg import Connection
from psycopg.rows import class_row

from ledgers.chart import AccountClass, open_account
from ledgers.entries import EntryHead, Leg, Recorded, record
from ledgers.problems import Problem
from ledgers.recording import Occasion

CLOSED = "period_closed"
RESTRICTED, UNRESTRICTED = "3010", "3020"

CLOSING_DAY_UNFIT = Problem(
    "closing_day_unfit",
    "The closing entries of the year to {ends_on} are dated {on}.",
    "Date them on the last day of the year.",
)


@dataclass(frozen=True, slots=True)
class GrantBalance:
    """What stands on an account for one grant and one set of dimensions; debit positive."""

    grant_code: str
    account: str
    chart_code: str
    account_class: AccountClass
    currency: str
    programme_id: str | None
    cycle_id: str | None
    provider: str | None
    location: str | None
    amount_minor: int

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What the fund balance keeps of it."""
        kept = (self.programme_id, self.cycle_id, self.provider, self.location)
        return (self.currency, *(value or "" for value in kept))


_BALANCES = """
    SELECT p.grant_code, a.code AS account, a.chart_code, a.class AS account_class, a.currency,
           p.programme_id, p.cycle_id, p.provider, p.location,
           sum(p.debit_minor - p.credit_minor)::bigint AS amount_minor
    FROM books.posting p JOIN books.entry e USING (entry_id) JOIN books.account a USING (account_id)
    WHERE p.stage = 'posted' AND e.effective_on <= %(on)s
      AND (%(classes)s::text[] IS NULL OR a.class = ANY (%(classes)s))
    GROUP BY p.grant_code, a.account_id, p.programme_id, p.cycle_id, p.provider, p.location
    HAVING sum(p.debit_minor - p.credit_minor) <> 0
    ORDER BY p.grant_code COLLATE "C", a.currency, p.programme_id, p.cycle_id, p.provider,
             p.location, a.code COLLATE "C"
"""


def grant_balances(
    conn: Connection, on: date, classes: Collection[AccountClass] = ()
) -> list[GrantBalance]:
    """Return what stood at the end of the day, by grant, account and dimensions.

    `classes` picks classes of accounts; none means all. The opening balances of a year are these of
    the day before it.
    """
    cursor = conn.cursor(row_factory=class_row(GrantBalance))
    cursor.execute(_BALANCES, {"on": on, "classes": list(classes) or None})
    return cursor.fetchall()


def close_year(
    conn: Connection,
    ends_on: date,
    occasion: Occasion,
    new_ref: Callable[[], str],
    *,
    unrestricted: Collection[str] = (),
) -> list[Recorded]:
    """Record the closing entries of the year to `ends_on`, one for each grant that moved.

    `unrestricted` names the grants whose result goes to 3020. A second call records what has come
    in since, under the next key. Raises `closing_day_unfit`, `reason_missing`; the database refuses
    with `period_closed`.
    """
    if occasion.effective_on != ends_on:
        raise CLOSING_DAY_UNFIT.refusal(ends_on=ends_on, on=occasion.effective_on)
    results = grant_balances(conn, ends_on, (AccountClass.REVENUE, AccountClass.EXPENSE))
    recorded = []
    for grant, found in groupby(results, key=_grant):
        rows = list(found)
        fund = UNRESTRICTED if grant in unrestricted else RESTRICTED
        numbers = {
            currency: open_account(conn, fund, currency, ends_on, grant=grant)
            for currency in sorted({row.currency for row in rows})
        }
        head = EntryHead(
            new_ref(), _key(conn, grant, ends_on), CLOSED, ends_on, occasion.recorded_by,
            occasion.reason, recorded_on=occasion.recorded_on, adjustment=True,
        )  # fmt: skip
        recorded.append(record(conn, head, closing_legs(rows, numbers)))
    return recorded


def closing_legs(rows: Sequence[GrantBalance], funds: dict[str, int]) -> list[Leg]:
    """Return the legs that empty `rows` of one grant into its fund balance of each currency.

    Each row is taken back; what they sum to stands on the fund balance with the same dimensions.
    """
    legs = [_leg(row, row.account, -row.amount_minor) for row in rows]
    for _, found in groupby(sorted(rows, key=_dimensions), key=_dimensions):
        kept = list(found)
        amount = sum(row.amount_minor for row in kept)
        if amount:
            legs.append(_leg(kept[0], funds[kept[0].currency], amount))
    return legs


def _leg(row: GrantBalance, account: int | str, amount_minor: int) -> Leg:
    return Leg(
        account, amount_minor, grant_code=row.grant_code, programme_id=row.programme_id,
        cycle_id=row.cycle_id, provider=row.provider, location=row.location,
    )  # fmt: skip


def _key(conn: Connection, grant: str, ends_on: date) -> str:
    """Name the closing of the grant's year; one that came too early is followed by another."""
    stem = f"{CLOSED}/{grant}/{ends_on}"
    row = conn.execute(
        "SELECT count(*) FROM books.entry WHERE event = %s AND starts_with(key, %s)",
        [CLOSED, f"{stem}#"],
    ).fetchone()
    return f"{stem}#{(row[0] if row else 0) + 1}"


def _grant(row: GrantBalance) -> str:
    return row.grant_code


def _dimensions(row: GrantBalance) -> tuple[str, ...]:
    return row.dimensions
