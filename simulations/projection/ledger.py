"""What a caseload costs month by month, and which grant pays: draws × months, in minor units.

In a month every household of the caseload is instructed its value of that month. Some payments
fail: their money stays where it is. What is delivered, the fees and the fixed costs are to be
funded: earmarked grants pay before free ones, and among them the one that ends first (`grants`).

Where money does not suffice, as many whole households are paid as it suffices for, the first in the
order of the rules; nobody is paid in part. An earmark serves the first of its own provinces, and
what is free goes on from there in one order of the whole programme, wherever people live. What is
not funded is the *unfunded need*, and its first month the first *shortfall*: a ceiling, a window or
an earmark may be its cause. Money *runs dry* in the first month that is short because the grants
are used up or have ended. A scenario without grants asks what things cost: all of it is funded.

Vocabulary: an *area* is a set of provinces for which the same grants can pay.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import NamedTuple

import numpy as np

from ledgers.money import parse_amount
from simulations.months import month_after, months_from
from simulations.paths import indexed_values
from simulations.projection.caseload import TINY, Groups, reached_beyond
from simulations.projection.grants import Cause, Fund, Grants
from simulations.projection.prices import Prices
from simulations.randomness import Bools, Floats, Ints
from simulations.rates import MILLION, indexed_minor, rounded_millionths, try_minor
from simulations.scenario.model import Grant, Indexation, Scenario

HOME = "TRY"
PERCENT = 10_000  # millionths
UNLIMITED = np.int64(2**60)


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
    payment did not; the rest was not funded. `spent` is transfers, fees and fixed costs; `paid_by`
    and `returned_to` are what each grant pays of it and what comes back to it, in kuruş. `drawn`,
    `drawn_try` and `remaining` stand in the month that is paid with the money: it was drawn the
    grant's lead before (`drawdowns`). `cause` says why a month is not fully funded (`Cause`).
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
    cause: Ints
    drawn: Ints
    drawn_try: Ints
    remaining: Ints
    paid_by: Ints
    returned_to: Ints
    paid_by_group: Ints
    funded_by_group: Ints  # with those whose payment fails

    @property
    def spent(self) -> Ints:
        """Transfers, fees and fixed costs of each month."""
        return self.transfers + self.fees + self.fixed

    @property
    def shortfall(self) -> Ints:
        """The first month that is not fully funded, by draw; the number of months: all are."""
        return _first(self.unfunded > 0)

    @property
    def dry(self) -> Ints:
        """The month in which the money runs dry, by draw; the number of months: it does not."""
        return _first(self.cause == Cause.SPENT)


def _first(months: Bools) -> Ints:
    never = np.int64(months.shape[1])
    return np.asarray(np.where(months.any(axis=1), months.argmax(axis=1), never), np.int64)


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
            rate = prices.in_month(fund.currency, month - fund.lead)[:1]
            total += fund.open[month] * try_minor(np.array([fund.amount_minor]), rate)[0]
        totals.append(int(total))
    return totals


@dataclass(frozen=True, slots=True, eq=False)
class Drawdowns:
    """Drawdowns in the months in which they are made, which begin before the first payment.

    Draws × months × grants; `drawn_try` in kuruş, the others in the grant's own currency.
    """

    months: tuple[date, ...]
    drawn: Ints
    drawn_try: Ints
    remaining: Ints


def drawdowns(terms: Terms, ledger: Ledger) -> Drawdowns:
    """Return when the money of a ledger is drawn: each grant's its lead before payment."""
    ahead = max((fund.lead for fund in terms.funds), default=0)
    draws, months, funds = ledger.drawn.shape
    drawn, drawn_try = (np.zeros((draws, ahead + months, funds), np.int64) for _ in range(2))
    for at, fund in enumerate(terms.funds):
        own = slice(ahead - fund.lead, ahead - fund.lead + months)
        drawn[:, own, at] = ledger.drawn[:, :, at]
        drawn_try[:, own, at] = ledger.drawn_try[:, :, at]
    amounts = np.array([fund.amount_minor for fund in terms.funds], dtype=np.int64)
    days = months_from(month_after(terms.months[0], -ahead), ahead + months)
    return Drawdowns(tuple(days), drawn, drawn_try, amounts - np.cumsum(drawn, axis=1))


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
    booked: Callable[[], None] | None = None,
) -> Ledger:
    """Return the ledger of a caseload: `households` is draws × months × groups.

    `shares` has one value a draw of `fee_share`, `failed` and `returned`; `booked` is called after
    each month.
    """
    booking = _Booking(terms, groups, households, prices, shares)
    for month in range(len(terms.months)):
        booking.book(month)
        if booked is not None:
            booked()
    return booking.ledger()


class _Cost(NamedTuple):
    """What is delivered to households of an area, the fees, and both together."""

    delivered: Ints
    fees: Ints
    total: Ints


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
        self.failed_share = shares["failed"][:, None]
        self.fee_share = _millionths(shares["fee_share"])
        self.returned_share = _millionths(shares["returned"])
        self.draws, self.months, _ = households.shape
        self.grants = Grants(terms.funds, terms.areas, prices, self.draws)
        self.own = [np.flatnonzero(groups.area == area) for area in range(len(terms.areas))]
        self.back = np.zeros(self.draws, dtype=np.int64)
        size = (self.draws, self.months)
        named = {field.name for field in fields(Ledger)}
        by_fund = {"drawn", "drawn_try", "remaining", "paid_by", "returned_to"}
        self.book_of = {name: np.zeros(size, np.int64) for name in named - by_fund}
        self.book_of |= {name: np.zeros((*size, len(terms.funds)), np.int64) for name in by_fund}
        self.book_of["paid_by_group"] = np.zeros_like(households)
        self.book_of["funded_by_group"] = np.zeros_like(households)

    def ledger(self) -> Ledger:
        return Ledger(**self.book_of)

    def book(self, month: int) -> None:
        """Book one month: what comes back, fixed costs, then what households are due."""
        self.month = month
        self.grants.begin(month)
        self._at("returned", self.back)
        self.back = np.zeros(self.draws, dtype=np.int64)
        fixed = np.full(self.draws, self.terms.fixed_minor, dtype=np.int64)
        covered = self.grants.pay_fixed(fixed) if self.terms.funds else fixed
        self._at("fixed", covered)
        self._at("need", fixed)
        self._at("unfunded", fixed - covered)
        counts = self.households[:, month]
        values = self.values[:, month if self.values.shape[1] > 1 else 0]
        needs = self._costs(counts, values)
        funded, costs, parts = self._funded(counts, values, needs)
        for area, own in enumerate(self.own):
            self._book_area(own, counts[:, own], funded[:, own])
            self._at("need", needs[area].total)
            self._at("transfers", costs[area].delivered)
            self._at("fees", costs[area].fees)
            self._at("unfunded", needs[area].total - costs[area].total)
            returned = indexed_minor(costs[area].delivered, self.returned_share)
            self.grants.pay(parts[area], costs[area].delivered, returned)
            self.back = self.back + returned
        self.grants.end()
        short = [need.total > cost.total for need, cost in zip(needs, costs, strict=True)]
        self._at("cause", self.grants.cause(short, fixed > covered, values.max(axis=1)))
        self._book_grants()

    def _book_area(self, own: Ints, counts: Ints, funded: Ints) -> None:
        """Book the households of an area: those who are due, and those there is money for."""
        arrived = funded - self._failing(funded)
        self._at("due", counts.sum(axis=1))
        self._at("paid", arrived.sum(axis=1))
        self._at("failed", (funded - arrived).sum(axis=1))
        people = np.rint((arrived * self.groups.people[own]).sum(axis=1)).astype(np.int64)
        self._at("people", people)
        self.book_of["paid_by_group"][:, self.month, own] = arrived
        self.book_of["funded_by_group"][:, self.month, own] = funded

    def _book_grants(self) -> None:
        grants = self.grants
        for at in range(len(grants.funds)):
            self.book_of["drawn"][:, self.month, at] = grants.drawn[at]
            self.book_of["drawn_try"][:, self.month, at] = grants.drawn_try[at]
            self.book_of["remaining"][:, self.month, at] = grants.left[at]
            self.book_of["paid_by"][:, self.month, at] = grants.paid[at]
            self.book_of["returned_to"][:, self.month, at] = grants.returned[at]

    def _funded(
        self, counts: Ints, values: Ints, needs: Sequence[_Cost]
    ) -> tuple[Ints, Sequence[_Cost], Sequence[Sequence[Ints]]]:
        """Return the households there is money for, their costs by area, and who pays them.

        Whole households only. What fees and failures cost is taken to be alike for everybody of an
        area; where whole households come to more than that, one of each group is left out.
        """
        parts, owed = self.grants.parts([need.total for need in needs])
        short = np.logical_or.reduce([rest > 0 for rest in owed])
        if not self.terms.funds or not short.any():
            return counts, needs, parts
        funded = counts.copy()
        funded[short] = self._in_order(counts, values, needs, short)
        while True:
            costs = self._costs(funded, values)
            parts, owed = self.grants.parts([cost.total for cost in costs])
            if not any(rest.any() for rest in owed):
                return funded, costs, parts
            for own, rest in zip(self.own, owed, strict=True):
                fewer = np.maximum(funded[:, own] - 1, 0)
                funded[:, own] = np.where(rest[:, None] > 0, fewer, funded[:, own])

    def _in_order(self, counts: Ints, values: Ints, needs: Sequence[_Cost], short: Bools) -> Ints:
        """Return whom each grant reaches in the order of the rules, beyond those before it."""
        there = counts[short]
        price = np.array(np.broadcast_to(values, counts.shape)[short], dtype=np.float64)
        for own, need in zip(self.own, needs, strict=True):
            plain = (there[:, own] * price[:, own]).sum(axis=1)
            price[:, own] *= (need.total[short] / np.maximum(plain, 1))[:, None]
        reached = np.zeros(there.shape)
        upto = self.groups.upto[self.month]
        for at in range(len(self.terms.funds)):
            paying = [
                own
                for own, places in zip(self.own, self.terms.areas, strict=True)
                if at in places and len(own)
            ]
            if paying:
                own = np.concatenate(paying)
                money = self.grants.money(at)[short]
                reached[:, own] += reached_beyond(
                    upto[:, own], there[:, own], reached[:, own], price[:, own], money
                )
        return np.minimum(np.floor(reached + TINY).astype(np.int64), there)

    def _costs(self, counts: Ints, values: Ints) -> list[_Cost]:
        return [self._cost(counts[:, own], values[:, own]) for own in self.own]

    def _cost(self, counts: Ints, values: Ints) -> _Cost:
        arrived = counts - self._failing(counts)
        delivered = (arrived * values).sum(axis=1)
        fees = indexed_minor(delivered, self.fee_share)
        fees = fees + self.terms.fee_each_minor * counts.sum(axis=1)
        return _Cost(delivered, fees, delivered + fees)

    def _failing(self, counts: Ints) -> Ints:
        failing: Ints = np.rint(counts * self.failed_share).astype(np.int64)
        return failing

    def _at(self, name: str, amount: Ints) -> None:
        self.book_of[name][:, self.month] += amount


def _millionths(shares: Floats) -> Ints:
    """Return shares of one or less as millionths; unlike a rate, a share may be 0."""
    return np.rint(shares * MILLION).astype(np.int64)
