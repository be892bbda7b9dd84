"""What a caseload costs month by month, and which grant pays: draws × months, in minor units.

In a month every household of the caseload is instructed its value of that month. Some payments
fail: their money stays where it is. What is delivered, the fees and the fixed costs are to be
funded; what came back of last month's payments is used first, then grants: earmarked before free
ones, and among them the one that ends first. A grant pays what it is open for, up to its ceiling
of the month, at the rate of the month in which its money was exchanged (its lead before payment).

Where the money of an area does not suffice, as many whole households are paid as it suffices for,
the first in the order of the rules; nobody is paid in part. What is not funded is the *unfunded
need*; the first month that has some is the month in which the money *runs dry*. A scenario without
grants asks what things cost, not who pays: all of it counts as funded.

Vocabulary: an *area* is a set of provinces for which the same grants can pay.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date

import numpy as np

from ledgers.money import parse_amount
from simulations.months import months_from
from simulations.paths import indexed_values
from simulations.projection.caseload import Groups, reached
from simulations.projection.prices import Prices
from simulations.randomness import Floats, Ints
from simulations.rates import MILLION, foreign_minor, indexed_minor, rounded_millionths, try_minor
from simulations.scenario.model import Grant, Indexation, Scenario

HOME = "TRY"
PERCENT = 10_000  # millionths
UNLIMITED = np.int64(2**60)


@dataclass(frozen=True, slots=True, eq=False)
class Fund:
    """A grant as it is drawn: minor units of its currency; `open` says in which months it pays."""

    code: str
    currency: str
    amount_minor: int
    ceiling_minor: int | None
    lead: int
    open: tuple[bool, ...]
    provinces: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """What the ledger goes by: grants in the order in which they pay, areas, costs."""

    funds: tuple[Fund, ...]
    areas: tuple[tuple[int, ...], ...]  # places of the grants that pay there, in order
    area_of: Mapping[str, int]
    months: tuple[date, ...]
    indexation: Indexation | None
    fee_each_minor: int
    fixed_minor: int


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """Draws × months; amounts in kuruş, what is drawn of a grant (× grants) in its own currency.

    `due` are households of the caseload, `paid` those whose money arrived, `failed` those whose
    payment did not; the rest was not funded. `spent` is transfers, fees and fixed costs.
    """

    due: Ints
    paid: Ints
    failed: Ints
    people: Ints
    need: Ints
    transfers: Ints
    fees: Ints
    fixed: Ints
    returned: Ints
    unfunded: Ints
    drawn: Ints
    drawn_try: Ints
    remaining: Ints
    paid_by_group: Ints
    funded_by_group: Ints  # with those whose payment fails

    @property
    def spent(self) -> Ints:
        """Transfers, fees and fixed costs of each month."""
        return self.transfers + self.fees + self.fixed

    @property
    def dry(self) -> Ints:
        """The month in which the money runs dry, by draw; the number of months: it does not."""
        short = self.unfunded > 0
        months = np.int64(short.shape[1])
        return np.asarray(np.where(short.any(axis=1), short.argmax(axis=1), months), np.int64)


def terms_of(scenario: Scenario, provinces: Sequence[str], currency: str) -> Terms:
    """Return the terms of a scenario for the provinces of its population."""
    months = tuple(months_from(scenario.start, scenario.months))
    order = sorted(
        range(len(scenario.grants)),
        key=lambda at: (not scenario.grants[at].provinces, scenario.grants[at].last_day, at),
    )
    funds = tuple(_fund(scenario.grants[at], months) for at in order)
    paying = {
        province: tuple(
            at for at, fund in enumerate(funds) if not fund.provinces or province in fund.provinces
        )
        for province in provinces
    }
    areas = tuple(sorted(set(paying.values())))
    costs = scenario.costs
    return Terms(
        funds,
        areas,
        {province: areas.index(places) for province, places in paying.items()},
        months,
        scenario.indexation,
        parse_amount(str(costs.fee_each), currency),
        parse_amount(str(costs.fixed_month), currency),
    )


def _fund(grant: Grant, months: Sequence[date]) -> Fund:
    ceiling = grant.ceiling_month
    return Fund(
        grant.code,
        grant.currency,
        parse_amount(str(grant.amount), grant.currency),
        None if ceiling is None else parse_amount(str(ceiling), grant.currency),
        grant.lead_months,
        tuple(map(grant.pays_in, months)),
        frozenset(grant.provinces),
    )


def held_minor(terms: Terms, prices: Prices) -> list[int]:
    """Return what the grants that pay in each month hold in all, in kuruş on the path of `prices`.

    Each is exchanged at the rate of its lead. This is what a pack that selects within the grant is
    told; nothing of it has been drawn.
    """
    totals = []
    for month in range(len(terms.months)):
        total = 0
        for fund in terms.funds:
            drawn_in = month - fund.lead
            rate = prices.before.get(fund.currency, MILLION)
            rate = int(prices.of(fund.currency)[0, drawn_in]) if drawn_in >= 0 else rate
            total += (
                fund.open[month] * try_minor(np.array([fund.amount_minor]), np.array([rate]))[0]
            )
        totals.append(int(total))
    return totals


def values_by_group(groups: Groups, prices: Prices, indexation: Indexation | None) -> Ints:
    """Return the transfer value in minor units: draws × months × groups (1 × 1 if it stays).

    Each follows the index from the month in whose prices it is written.
    """
    if indexation is None:
        return groups.amounts[None, None, :]
    if indexation.follows == "prices":
        index = prices.index
    else:
        before = prices.before[indexation.follows]
        index = rounded_millionths(prices.of(indexation.follows) / before)
    trigger = int((indexation.trigger_percent * PERCENT).to_integral_value())
    unit = parse_amount(str(indexation.round_to), HOME)
    written = list(zip(groups.amounts.tolist(), groups.since.tolist(), strict=True))
    known = {key: at for at, key in enumerate(sorted(set(written)))}
    values = [
        indexed_values(
            amount, index, every_months=indexation.every_months, trigger=trigger, round_to=unit,
            since=since,
        )
        for amount, since in known
    ]  # fmt: skip
    return np.stack(values, axis=2)[:, :, [known[key] for key in written]]


def ledger_of(
    terms: Terms,
    groups: Groups,
    households: Ints,
    prices: Prices,
    shares: Mapping[str, Floats],
) -> Ledger:
    """Return the ledger of a caseload: `households` is draws × months × groups.

    `shares` has one value a draw of `fee_share`, `failed` and `returned`.
    """
    booking = _Booking(terms, groups, households, prices, shares)
    for month in range(len(terms.months)):
        booking.book(month)
    return booking.ledger()


class _Booking:
    """One pass over the months, all draws at once."""

    def __init__(
        self,
        terms: Terms,
        groups: Groups,
        households: Ints,
        prices: Prices,
        shares: Mapping[str, Floats],
    ) -> None:
        self.terms = terms
        self.groups = groups
        self.households = households
        self.values = values_by_group(groups, prices, terms.indexation)
        self.rates = [prices.of(fund.currency) for fund in terms.funds]
        self.before = [prices.before.get(fund.currency, MILLION) for fund in terms.funds]
        self.failed_share = shares["failed"][:, None]
        self.fee_share = _millionths(shares["fee_share"])
        self.returned_share = _millionths(shares["returned"])
        self.draws, self.months, _ = households.shape
        self.left = [np.full(self.draws, fund.amount_minor, dtype=np.int64) for fund in terms.funds]
        self.cash = np.zeros(self.draws, dtype=np.int64)
        self.back = np.zeros(self.draws, dtype=np.int64)
        size = (self.draws, self.months)
        named = {field.name for field in fields(Ledger)}
        by_fund = {"drawn", "drawn_try", "remaining"}
        self.book_of = {name: np.zeros(size, np.int64) for name in named - by_fund}
        self.book_of |= {name: np.zeros((*size, len(terms.funds)), np.int64) for name in by_fund}
        self.book_of["paid_by_group"] = np.zeros_like(households)
        self.book_of["funded_by_group"] = np.zeros_like(households)

    def ledger(self) -> Ledger:
        return Ledger(**self.book_of)

    def book(self, month: int) -> None:
        """Book one month: what comes back, fixed costs, then each area."""
        self.month = month
        self.cash = self.cash + self.back
        self._at("returned", self.back)
        self.back = np.zeros(self.draws, dtype=np.int64)
        self.drawn = [np.zeros(self.draws, dtype=np.int64) for _ in self.terms.funds]
        everywhere = tuple(range(len(self.terms.funds)))
        fixed = np.full(self.draws, self.terms.fixed_minor, dtype=np.int64)
        covered = np.minimum(fixed, self.cash + self._available(everywhere))
        self._draw(covered, everywhere)
        self._at("fixed", covered)
        self._at("need", fixed)
        self._at("unfunded", fixed - covered)
        for area, places in enumerate(self.terms.areas):
            own = np.flatnonzero(self.groups.area == area)
            if len(own):
                self._book_area(own, places)
        for at, left in enumerate(self.left):
            self.book_of["drawn"][:, month, at] = self.drawn[at]
            self.book_of["remaining"][:, month, at] = left

    def _book_area(self, own: Ints, places: tuple[int, ...]) -> None:
        counts = self.households[:, self.month, own]
        month = self.month if self.values.shape[1] > 1 else 0
        values = self.values[:, month, own]
        _, _, need = self._cost(counts, values)
        there = self.cash + self._available(places)
        funded = self._funded(own, counts, values, need, there)
        delivered, fees, cost = self._cost(funded, values)
        while (short := cost > there).any():  # those who fail are counted in whole households
            funded = np.where(short[:, None], np.maximum(funded - 1, 0), funded)
            delivered, fees, cost = self._cost(funded, values)
        self._draw(cost, places)
        arrived = funded - self._failing(funded)
        self.back = self.back + indexed_minor(delivered, self.returned_share)
        self._at("due", counts.sum(axis=1))
        self._at("paid", arrived.sum(axis=1))
        self._at("failed", (funded - arrived).sum(axis=1))
        people = np.rint((arrived * self.groups.people[own]).sum(axis=1)).astype(np.int64)
        self._at("people", people)
        self._at("need", need)
        self._at("transfers", delivered)
        self._at("fees", fees)
        self._at("unfunded", need - cost)
        self.book_of["paid_by_group"][:, self.month, own] = arrived
        self.book_of["funded_by_group"][:, self.month, own] = funded

    def _funded(self, own: Ints, counts: Ints, values: Ints, need: Ints, there: Ints) -> Ints:
        """Return how many households of each group there is money for, in the order of the rules.

        Whole households only; fees and those who fail are taken to cost everybody alike.
        """
        short = need > there
        if not short.any():
            return counts
        paying = values if len(values) == 1 else values[short]
        money = (counts[short] * paying).sum(axis=1) * (there[short] / need[short])
        upto = self.groups.upto[self.month][:, own]
        funded = counts.copy()
        funded[short] = np.floor(reached(upto, counts[short], paying, money)).astype(np.int64)
        return funded

    def _cost(self, counts: Ints, values: Ints) -> tuple[Ints, Ints, Ints]:
        """Return what is delivered of these households, the fees, and both together."""
        arrived = counts - self._failing(counts)
        delivered = (arrived * values).sum(axis=1)
        fees = indexed_minor(delivered, self.fee_share)
        fees = fees + self.terms.fee_each_minor * counts.sum(axis=1)
        return delivered, fees, delivered + fees

    def _failing(self, counts: Ints) -> Ints:
        failing: Ints = np.rint(counts * self.failed_share).astype(np.int64)
        return failing

    def _rate(self, at: int) -> Ints:
        """Return the rate at which a grant's money of this month was exchanged."""
        drawn_in = self.month - self.terms.funds[at].lead
        if drawn_in < 0:
            return np.array([self.before[at]])
        return self.rates[at][:, drawn_in]

    def _free(self, at: int) -> Ints:
        """Return what may still be drawn of a grant this month, in its currency."""
        fund = self.terms.funds[at]
        if not fund.open[self.month]:
            return np.zeros(self.draws, dtype=np.int64)
        if fund.ceiling_minor is None:
            return self.left[at]
        return np.minimum(self.left[at], fund.ceiling_minor - self.drawn[at])

    def _available(self, places: tuple[int, ...]) -> Ints:
        if not self.terms.funds:
            return np.full(self.draws, UNLIMITED)
        total = np.zeros(self.draws, dtype=np.int64)
        for at in places:
            total = total + try_minor(self._free(at), self._rate(at))
        return total

    def _draw(self, amount: Ints, places: tuple[int, ...]) -> None:
        """Take an amount in kuruş from what is in hand, then from the grants in their order."""
        in_hand = np.minimum(amount, self.cash)
        self.cash = self.cash - in_hand
        rest = amount - in_hand
        for at in places:
            free, rate = self._free(at), self._rate(at)
            most = try_minor(free, rate)
            part = np.minimum(rest, most)
            own = np.where(part == most, free, np.minimum(foreign_minor(part, rate), free))
            self.left[at] = self.left[at] - own
            self.drawn[at] = self.drawn[at] + own
            self.book_of["drawn_try"][:, self.month, at] += part
            rest = rest - part

    def _at(self, name: str, amount: Ints) -> None:
        self.book_of[name][:, self.month] += amount


def _millionths(shares: Floats) -> Ints:
    """Return shares of one or less as millionths; unlike a rate, a share may be 0."""
    return np.rint(shares * MILLION).astype(np.int64)
