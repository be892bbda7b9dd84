"""Foreign currency: what exchanges and changing rates have gained or lost, per grant.

Every account has one currency and every entry balances in each of its currencies, so an exchange
runs over an exchange position (6010), one account for each currency: sold money goes to the
position of its currency, bought money comes from the other's. What was gained or lost is then found
by valuing, in the grant's own currency, every movement at the rate of its day:

* *realised*: the exchange was done at another rate than the day's. It is what the positions, so
  valued, do not cancel to;
* *unrealised*: what is still held or owed in another currency is worth another amount today. It is
  the closing value of each monetary item less its movements, each at the rate of its day.

Monetary are money, claims on money and debts in money; advances (1350) and grants still to be
earned (2010) are settled by doing, not by paying, and keep the rate of their day. Differences are
booked in the grant's own currency against its exchange position, so no balance in another currency
changes.

A currency that has left the grant cannot gain any more: what valuing it had gained or lost is then
realised, at average cost over all that the grant holds (or, apart, owes) in that currency. Money
that only goes from one account to another has not left.

Revaluation either *accumulates* (each month books the change since the last) or is *reversed* on
the first day of the next month (each month books the whole); both give the same balances at month
end.

Sources: IPSAS 4 (IAS 21), monetary items and exchange differences; position accounts as in banks'
multi-currency books.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from psycopg import Connection

from ledgers.money import round_to, split
from ledgers.origins import ORIGIN
from ledgers.rates import Rate, Rates

POSITION = "6010"
REVALUED = "currency_revalued"
REVALUATION_REVERSED = "currency_revaluation_reversed"
MONETARY = (
    "1010", "1020", "1030", "1110", "1210", "1310", "1320", "1330", "1340", "1390",
    "2020", "2030", "2040", "2060", "2090",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Flow:
    """What moved on an account for a grant on a day: minor units, debit positive.

    `revaluation` says that it came from valuing, not from money.
    """

    account: str
    chart_code: str
    grant: str
    currency: str
    on: date
    amount_minor: int
    revaluation: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """A monetary item in another currency: its balance, what it was carried at, what it is worth.

    `carried_minor` and `valued_minor` are in the grant's own currency, debit positive.
    """

    grant: str
    account: str
    currency: str
    balance_minor: int
    carried_minor: int
    valued_minor: int
    rate: Rate

    @property
    def gain_minor(self) -> int:
        """What was gained on it so far, below zero where lost; for a debt as for a claim."""
        return self.valued_minor - self.carried_minor


_FLOWS = f"""
    SELECT a.code, a.chart_code, p.grant_code, a.currency, e.effective_on,
           sum(p.debit_minor - p.credit_minor)::bigint,
           ({ORIGIN}) = ANY (%(revaluations)s)
    FROM books.posting p JOIN books.entry e USING (entry_id) JOIN books.account a USING (account_id)
    WHERE p.stage = 'posted' AND e.effective_on <= %(on)s AND p.grant_code = ANY (%(grants)s)
      AND a.chart_code = ANY (%(chart)s)
    GROUP BY a.code, a.chart_code, p.grant_code, a.currency, e.effective_on, 7
    ORDER BY p.grant_code, a.code COLLATE "C", e.effective_on, 7
"""


def allocate(bought_minor: int, sold_minor: Mapping[str, int]) -> dict[str, int]:
    """Divide what one exchange bought among the grants that sold; the parts sum to the whole.

    Raises `weights_unusable`.
    """
    parts = split(bought_minor, list(sold_minor.values()))
    return dict(zip(sold_minor, parts, strict=True))


def differences(flows: Iterable[Flow], rates: Rates, on: date) -> list[Difference]:
    """Return the monetary items in other currencies than the rates', valued on the day.

    Items without a movement are left out. Raises `rate_unknown`.
    """
    items: dict[tuple[str, str, str], list[Flow]] = {}
    for flow in flows:
        if flow.chart_code in MONETARY and flow.currency != rates.quote and flow.on <= on:
            items.setdefault((flow.grant, flow.account, flow.currency), []).append(flow)
    found = []
    for (grant, account, currency), moved in items.items():
        balance = sum(flow.amount_minor for flow in moved)
        closing = rates.on(currency, on)
        carried = sum(
            rates.on(currency, flow.on).convert(flow.amount_minor, currency) for flow in moved
        )
        valued = closing.convert(balance, currency)
        found.append(Difference(grant, account, currency, balance, carried, valued, closing))
    return found


def left_minor(flows: Iterable[Flow], rates: Rates) -> dict[str, int]:
    """Return what each grant has gained on currency that has left it; below zero: lost.

    It is a part of what `differences` says was gained by valuing, since the first flow. Raises
    `rate_unknown`.
    """
    pools: dict[tuple[str, str, bool], dict[date, list[int]]] = {}
    for flow in flows:
        if flow.chart_code in MONETARY and flow.currency != rates.quote:
            owed = flow.chart_code.startswith("2")
            days = pools.setdefault((flow.grant, flow.currency, owed), {})
            days.setdefault(flow.on, []).append(flow.amount_minor)
    gained: dict[str, int] = {}
    for (grant, currency, _), days in pools.items():
        held = cost = carried = 0
        for on, moved in sorted(days.items()):
            rate, change = rates.on(currency, on), sum(moved)
            value = sum(rate.convert(minor, currency) for minor in moved)
            carried += value
            cost = _cost(held, cost, change, value)
            held += change
        gained[grant] = gained.get(grant, 0) + cost - carried
    return gained


def _cost(held: int, cost: int, change: int, value: int) -> int:
    """Return what is held has cost after the change, at average cost."""
    left = held + change
    if not left:
        return 0
    if held * change >= 0:
        return cost + value
    if held * left > 0:
        return round_to(Fraction(cost * left, held))
    return round_to(Fraction(value * left, change))


def realised_minor(flows: Iterable[Flow], rates: Rates) -> dict[str, int]:
    """Return what each grant's exchanges have gained and is not booked yet; below zero: lost.

    Raises `rate_unknown`.
    """
    gained: dict[str, int] = {}
    for flow in flows:
        if flow.chart_code != POSITION or flow.revaluation:
            continue
        minor = flow.amount_minor
        if flow.currency != rates.quote:
            minor = rates.on(flow.currency, flow.on).convert(minor, flow.currency)
        gained[flow.grant] = gained.get(flow.grant, 0) - minor
    return gained


def booked_minor(flows: Iterable[Flow], quote: str) -> dict[str, int]:
    """Return what was booked for each grant as gained by valuing, reversals taken off."""
    booked: dict[str, int] = {}
    for flow in flows:
        if flow.chart_code == POSITION and flow.revaluation and flow.currency == quote:
            booked[flow.grant] = booked.get(flow.grant, 0) + flow.amount_minor
    return booked


def to_book_minor(found: Iterable[Difference], booked: Mapping[str, int]) -> dict[str, int]:
    """Return what is to be booked for each grant: gained by valuing and not booked yet."""
    gained = {grant: -minor for grant, minor in booked.items()}
    for difference in found:
        gained[difference.grant] = gained.get(difference.grant, 0) + difference.gain_minor
    return gained


def flows(conn: Connection, grants: Sequence[str], on: date) -> list[Flow]:
    """Return the movements of the grants' monetary items and exchange positions until the day."""
    rows = conn.execute(
        _FLOWS,
        {
            "on": on, "grants": list(grants), "chart": [*MONETARY, POSITION],
            "revaluations": [REVALUED, REVALUATION_REVERSED],
        },
    )  # fmt: skip
    return [Flow(*row) for row in rows]
