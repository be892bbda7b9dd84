"""How a caseload moves: arrivals, exits, ageing, recertification, take-up; expected numbers.

Month 0 is paid to those entitled at the start. In each later month first some leave (a share
`exits` of all; where cards are checked, a share `loss`; those who age out of the rules), then
others come (new registrations, those who age in). Of the entitled, `take_up` are paid. Households
that stay entitled, to another amount or in another province, are *shifted*: they move from one
stratum to another and are nobody who comes or goes.

What is uncertain is the same for all strata of one draw, and what differs between strata is known:
so the caseload of a draw is a sum of cohorts, each of which is one known table times one uncertain
factor. That is exact, and costs draws × months² instead of draws × months × strata. No library of
linear algebra sums anything here, so the number of threads decides nothing.

Households are expected numbers (fractions of a household); `whole_households` makes them whole for
books, and `caseload_by_stratum` tells one draw stratum by stratum. Noise of single households is
`lifetimes`' to say: at 1,000 households and more it is small beside what nobody knows of the rates.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ledgers.problems import Problem
from simulations.randomness import Bools, Floats, Ints

FLOW_IMPOSSIBLE = Problem(
    "flow_impossible",
    "The {what} of a month go down to {low} and up to {high}.",
    "Shares lie between 0 and 1, and numbers of households are not below 0.",
)


class Shift(NamedTuple):
    """Those who stay entitled but in another stratum: the share of each source that each gets."""

    source: Ints
    target: Ints
    share: Floats

    def moved(self, there: Floats) -> Floats:
        """Return the households by stratum after the shift; none is lost."""
        moving = there[self.source] * self.share
        strata = len(there)
        come = np.bincount(self.target, weights=moving, minlength=strata)
        gone = np.bincount(self.source, weights=moving, minlength=strata)
        return there + come - gone


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """What is known of each stratum, in households; every table is months × strata.

    `start` are those entitled in month 0 (strata); `arrivals` those who would come in a month and
    be entitled if the rate of arrival were 1; `ageing_in` those who come to meet the rules in a
    month, `ageing_out` the share of the caseload that ceases to; `shifts` who changes strata, by
    month, after those who go have gone. Tables of one row hold for all months; row 0 of a longer
    one is not used. Raises `flow_impossible`.
    """

    start: Floats
    arrivals: Floats
    ageing_in: Floats
    ageing_out: Floats
    shifts: Mapping[int, Shift] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for what in ("start", "arrivals", "ageing_in"):
            _check(what, getattr(self, what), np.inf)
        _check("ageing_out", self.ageing_out, 1.0)
        for shift in self.shifts.values():
            _check("shift", shift.share, 1.0)

    def aged(self, there: Floats, month: int) -> Floats:
        """Return who of `there` (strata) is still entitled in a month, and in which stratum."""
        left = there * (1 - _row(self.ageing_out, month))
        return self.shifts[month].moved(left) if month in self.shifts else left

    @classmethod
    def without_ageing(cls, start: Floats, arrivals: Floats) -> "Flows":
        """Return flows of people who do not grow older."""
        none = np.zeros((1, len(start)))
        return cls(start, arrivals, none, none)


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """What is uncertain: draws × months, or draws × 1 where it is the same in all months.

    `arrivals` is the share of `Flows.arrivals` that comes, `exits` and `loss` are shares of the
    caseload, `take_up` (draws) the share of the entitled who are paid; `checked` says in which
    months cards are checked. Raises `flow_impossible`.
    """

    arrivals: Floats
    exits: Floats
    take_up: Floats
    loss: Floats
    checked: Bools

    def __post_init__(self) -> None:
        _check("arrivals", self.arrivals, np.inf)
        for what in ("exits", "take_up", "loss"):
            _check(what, getattr(self, what), 1.0)

    @property
    def draws(self) -> int:
        """How many draws there are."""
        return len(self.take_up)

    @property
    def months(self) -> int:
        """How many months there are."""
        return len(self.checked)

    def kept(self) -> Floats:
        """Return draws × months: the share of the caseload that stays; 1 in month 0."""
        lost = np.where(self.checked, np.broadcast_to(self.loss, (self.draws, self.months)), 0.0)
        kept: Floats = (1 - self.exits) * (1 - lost)
        kept[:, 0] = 1.0
        return kept


def _check(what: str, values: Floats, most: float) -> None:
    low, high = values.min(initial=0.0), values.max(initial=0.0)
    if not (low >= 0 and high <= most):
        raise FLOW_IMPOSSIBLE.refusal(what=what, low=low, high=high)


def checked_months(every: int | None, months: int) -> Bools:
    """Return in which months cards are checked: every so many, never in month 0."""
    at = np.arange(months)
    return (at > 0) & (at % every == 0) if every else np.zeros(months, dtype=np.bool_)


def caseload(flows: Flows, rates: Rates, measures: Floats) -> Floats:
    """Return draws × months × measures: what the paid caseload comes to.

    `measures` is strata × measures: 1 for households, the mean number of people, the amount in
    minor units of the first month's prices, 1 within one province and 0 elsewhere, and so on.
    """
    kept = rates.kept()
    arriving = np.broadcast_to(rates.arrivals, kept.shape)
    total = np.cumprod(kept, axis=1)[:, :, None] * _cohort(flows, flows.start, 0, rates, measures)
    for month in range(1, rates.months):
        left = kept[:, month:].copy()
        left[:, 0] = 1.0
        np.cumprod(left, axis=1, out=left)
        come = _cohort(flows, _row(flows.arrivals, month), month, rates, measures)
        aged = _cohort(flows, _row(flows.ageing_in, month), month, rates, measures)
        share = left * arriving[:, month, None]
        for at in range(measures.shape[1]):
            total[:, month:, at] += share * come[:, at]
            if flows.ageing_in.any():
                total[:, month:, at] += left * aged[:, at]
    total *= rates.take_up[:, None, None]
    return total


def _row(table: Floats, month: int) -> Floats:
    row: Floats = table[month if len(table) > 1 else 0]
    return row


def _cohort(flows: Flows, entered: Floats, first: int, rates: Rates, measures: Floats) -> Floats:
    """Return what those who `entered` (strata) in month `first` come to if only age takes them.

    Months from `first` on × measures.
    """
    there = np.empty((rates.months - first, len(entered)))
    there[0] = entered
    for month in range(first + 1, rates.months):
        there[month - first] = flows.aged(there[month - first - 1], month)
    cohort: Floats = np.einsum("ms,sk->mk", there, measures)
    return cohort


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """One draw month by month, in expected households; every table is months × strata.

    `entitled` are those entitled in a month: those of the month before, less `exits`, `loss` (at
    recertification) and `aged_out`, plus `arrivals` and `aged_in`, some of them shifted.
    """

    entitled: Floats
    exits: Floats
    loss: Floats
    aged_out: Floats
    arrivals: Floats
    aged_in: Floats


def moves_of(flows: Flows, rates: Rates, draw: int) -> Moves:
    """Return what moves the caseload of one draw, month by month and stratum by stratum."""
    size = (rates.months, len(flows.start))
    entitled, exits, loss, aged_out, arrivals, aged_in = (np.zeros(size) for _ in range(6))
    leaving, lost, arriving = (
        np.broadcast_to(share, (rates.draws, rates.months))[draw]
        for share in (rates.exits, np.where(rates.checked, rates.loss, 0.0), rates.arrivals)
    )
    entitled[0] = flows.start
    for month in range(1, rates.months):
        before = entitled[month - 1]
        exits[month] = before * leaving[month]
        loss[month] = (before - exits[month]) * lost[month]
        stayed = before - exits[month] - loss[month]
        aged_out[month] = stayed * _row(flows.ageing_out, month)
        arrivals[month] = arriving[month] * _row(flows.arrivals, month)
        aged_in[month] = _row(flows.ageing_in, month)
        entitled[month] = flows.aged(stayed, month) + arrivals[month] + aged_in[month]
    return Moves(entitled, exits, loss, aged_out, arrivals, aged_in)


def caseload_by_stratum(flows: Flows, rates: Rates, draw: int) -> Floats:
    """Return months × strata of one draw, month by month: what `caseload` adds up."""
    there: Floats = moves_of(flows, rates, draw).entitled * rates.take_up[draw]
    return there


def whole_households(expected: Floats) -> Ints:
    """Return whole numbers near `expected` (strata) whose sum is the rounded sum of `expected`.

    Largest remainder; of equal remainders the earlier stratum is rounded up.
    """
    whole = np.floor(expected).astype(np.int64)
    missing = int(np.rint(expected.sum())) - int(whole.sum())
    order = np.argsort(whole - expected, kind="stable")
    whole[order[:missing]] += 1
    return whole
