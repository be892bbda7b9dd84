"""The base path posted through the real books' own rules, so that simulated books balance too.

The caller hands in a connection to a database with the schema `books` that holds nothing else: a
simulation never writes where real money is kept. Every month, on its first day: money that is drawn
of a grant, its lead before it is paid with, arrives and is exchanged into lira; transfers are
instructed, a line for each province and grant, held, and booked in full or in part; fees and fixed
costs are charged; what came back of last month's transfers is recorded. All of it through the event
journal (`ledgers.journal`).

What each grant pays and what comes back to it is the ledger's to say. An earmarked grant pays
transfers of its own provinces; the rest of what it pays is its part of their fees. The sums of the
ledger are kept to the kuruş, and after every month the bank holds what the ledger says is in hand.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count

from psycopg import Connection

from ledgers import balances, journal
from ledgers.money import split
from ledgers.problems import Problem
from ledgers.recording import Occasion, record_planned
from ledgers.verification import Check, verify
from simulations.months import months_between
from simulations.projection.ledger import drawdowns
from simulations.projection.running import Projection, base_values
from simulations.randomness import Ints

SIMULATED_BOOKS_DIFFER = Problem(
    "simulated_books_differ",
    "The simulated books hold {books} on {account}; the projection says {projection}.",
    "Report this with the manifest: the posting of the base path is wrong.",
)
SIMULATED_BOOKS_WRONG = Problem(
    "simulated_books_wrong",
    "The simulated books fail the check: {check}.",
    "Report this with the manifest: the posting of the base path is wrong.",
)

HOME = "TRY"
NAMES = {"programme": "SIMULATED", "bank": "SIMULATED"}
TRANSFERS, FEES, BANK = "5010", "5110", "1010"


@dataclass(frozen=True, slots=True)
class SimulatedBooks:
    """The trial balance at the end, how many entries it took, and what was checked."""

    accounts: tuple[balances.AccountBalance, ...]
    entries: int
    checks: tuple[Check, ...]


def post(conn: Connection, projection: Projection, recorded_by: str) -> SimulatedBooks:
    """Post the base path of the base course and verify the books.

    Runs in the caller's transaction. Raises `simulated_books_differ`, `simulated_books_wrong` and
    what `ledgers` refuses.
    """
    posting = _Posting(conn, projection, recorded_by)
    for day in posting.drawdowns.months:
        posting.post(day)
    accounts = tuple(balances.trial_balance(conn))
    _require_same(accounts, projection)
    found = verify(conn)
    wrong = [check for check in found.checks if check.wrong]
    if wrong:
        raise SIMULATED_BOOKS_WRONG.refusal(check=wrong[0].name)
    [(entries,)] = conn.execute("SELECT count(*) FROM books.entry").fetchall()
    return SimulatedBooks(accounts, int(entries), found.checks)


class _Posting:
    """The months of the base path, one after the other."""

    def __init__(self, conn: Connection, projection: Projection, recorded_by: str) -> None:
        self.conn = conn
        self.ledger = projection.base.base
        self.funds = projection.draws.terms.funds
        self.months = projection.draws.terms.months
        self.drawdowns = drawdowns(projection.draws.terms, self.ledger)
        self.provinces = projection.base.loads.strata.province
        self.values = base_values(projection)
        self.recorded_by = recorded_by
        self.numbers = count(1)
        self.sent: list[tuple[str, str, int]] = []  # last month: province, grant, amount

    def post(self, day: date) -> None:
        """Post one month: what is drawn in it, and if it is one of the scenario what is paid."""
        self.day = day
        self.month = months_between(self.months[0], day)
        if self.month >= 0:
            self.returns()
        self.draw()
        if self.month >= 0:
            self.pay()

    def pay(self) -> None:
        """Post the transfers of a month, what they cost, and the fixed costs."""
        delivered, failed = self.by_province()
        paying = self.by_grant(self.ledger.paid_by)
        lines = list(self.assigned(delivered, paying))
        self.transfers(lines, failed)
        for grant, amount in paying.items():
            own = amount - sum(part for _, of, part in lines if of == grant)
            if own:
                self.event(
                    "fee_charged", grant, amount=own, fee_account=FEES, fee_source=BANK,
                    provider=NAMES["bank"], provider_reference=f"{grant}-{self.month}",
                )  # fmt: skip
        self.sent = lines

    def returns(self) -> None:
        """Post what came back of each grant's transfers of last month, in proportion to them."""
        for grant, total in self.by_grant(self.ledger.returned_to).items():
            sent = [line for line in self.sent if line[1] == grant] or self.sent
            parts = split(total, [amount for _, _, amount in sent])
            for (province, _, _), part in zip(sent, parts, strict=True):
                if part:
                    self.event(
                        "bank_transfer_returned", grant, still_owed=False,
                        bank_reference=f"R-{self.month}-{province}-{grant}", location=province,
                        lines=[{"amount": part, "location": province}],
                    )  # fmt: skip

    def draw(self) -> None:
        """Post what is drawn of each grant this month, and its exchange."""
        month = self.drawdowns.months.index(self.day)
        for at, fund in enumerate(self.funds):
            own = int(self.drawdowns.drawn[0, month, at])
            bought = int(self.drawdowns.drawn_try[0, month, at])
            if not own:
                continue
            reference = f"D-{self.day:%Y-%m}-{fund.code}"
            self.event(
                "grant_received", fund.code, currency=fund.currency, amount=own, receivable=False,
                bank_reference=reference,
            )  # fmt: skip
            if fund.currency != HOME:
                self.event(
                    "currency_exchanged", fund.code, sold=own, sold_currency=fund.currency,
                    bought=bought, bought_currency=HOME, bank_reference=f"X{reference}",
                )  # fmt: skip

    def by_province(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return the amounts delivered and those that failed, by province."""
        delivered: dict[str, int] = defaultdict(int)
        failed: dict[str, int] = defaultdict(int)
        paid = self.ledger.paid_by_group[0, self.month]
        funded = self.ledger.funded_by_group[0, self.month]
        values = self.values[self.month]
        for at, province in enumerate(self.provinces):
            delivered[province] += int(paid[at] * values[at])
            failed[province] += int((funded[at] - paid[at]) * values[at])
        return delivered, failed

    def by_grant(self, booked: Ints) -> dict[str, int]:
        """Return what is booked of each grant this month, of those that have some."""
        amounts = zip(self.funds, booked[0, self.month].tolist(), strict=True)
        return {fund.code: amount for fund, amount in amounts if amount}

    def assigned(
        self, delivered: Mapping[str, int], paying: Mapping[str, int]
    ) -> Iterator[tuple[str, str, int]]:
        """Yield province, grant and amount of every transfer line.

        Earmarked grants pay first, and each the provinces first in which fewest others pay.
        """
        left, money = dict(delivered), dict(paying)
        earmarks = {fund.code: fund.provinces for fund in self.funds}
        others = {
            province: sum(not own or province in own for own in earmarks.values())
            for province in left
        }
        for grant in sorted(money, key=lambda code: not earmarks[code]):
            own = earmarks[grant]
            for province in sorted(left, key=lambda one: (others[one], one)):
                amount = min(left[province], money[grant])
                if amount and (not own or province in own):
                    left[province] -= amount
                    money[grant] -= amount
                    yield province, grant, amount

    def transfers(self, lines: Sequence[tuple[str, str, int]], failed: Mapping[str, int]) -> None:
        """Post the holds of a month's transfers, and what became of them."""
        by_grant: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for province, grant, amount in lines:
            by_grant[grant].append((province, amount))
        missing = dict(failed)
        for grant, parts in by_grant.items():
            held, booked = [], []
            for province, amount in parts:
                reference = f"SIM{self.month:03d}{next(self.numbers):027d}"
                held.append({
                    "amount": amount + missing.pop(province, 0), "location": province,
                    "instruction": reference,
                })  # fmt: skip
                booked.append({"amount": amount, "location": province, "instruction": reference})
            key = f"{grant}-{self.month}"
            self.event("bank_transfer_instructed", grant, plan=key, lines=held)
            self.event("bank_transfer_booked", grant, settlement=key, lines=booked)

    def event(self, event: str, grant: str, **facts: object) -> None:
        """Record one event of the journal."""
        provider = {"provider": NAMES["bank"]} if "provider" not in facts else {}
        planned = journal.plan(
            event,
            {
                "currency": HOME, "grant": grant, **NAMES, **provider,
                "cycle": f"{self.day:%Y-%m}", **facts,
            },
        )  # fmt: skip
        occasion = Occasion(self.day, self.day, self.recorded_by, "simulated base path")
        record_planned(self.conn, planned, occasion, self.reference)

    def reference(self) -> str:
        """Return the next entry's reference: a ULID that follows from its number."""
        return f"je_{next(self.numbers):026d}"


def _require_same(accounts: Sequence[balances.AccountBalance], projection: Projection) -> None:
    """Compare the books with the projection, to the minor unit."""
    ledger = projection.base.base
    returned = int(ledger.returned.sum())
    spent = int(ledger.spent.sum())
    drawn = int(ledger.drawn_try.sum())
    said = {
        TRANSFERS: int(ledger.transfers.sum()) - returned,
        FEES: int(ledger.fees.sum()) + int(ledger.fixed.sum()),
        BANK: drawn + returned - spent,
    }
    for chart_code, expected in said.items():
        held = sum(
            account.balance_minor
            for account in accounts
            if account.code.startswith(chart_code) and account.currency == HOME
        )
        if held != expected:
            raise SIMULATED_BOOKS_DIFFER.refusal(
                books=held, account=chart_code, projection=expected
            )
