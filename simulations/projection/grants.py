"""What each grant holds, month by month, and who of them pays what: kuruş, all draws at once.

A grant pays what its window, its ceiling of the month and its earmark let it. What came back of
payments is in hand of the grant that had paid them, and is used first: earmarked money stays
earmarked. Money is drawn at the rate of the month in which it is exchanged (the grant's lead before
payment), once a grant and month.

The grants pay in one order, earmarked before free ones, and each the areas that fewest others pay
in first. Costs that are nobody's province, the *fixed* ones, are for grants that pay in every area:
to a donor of some provinces they are no eligible cost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from simulations.projection.prices import Prices
from simulations.randomness import Bools, Floats, Ints
from simulations.rates import MILLION, foreign_minor, indexed_minor, try_minor


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


class Cause(IntEnum):
    """Why a month is not fully funded."""

    NONE = 0  # it is
    SPENT = 1  # the grants are used up, or have ended
    CLOSED = 2  # a grant that could pay opens later
    CEILING = 3  # a grant that could pay is at its ceiling of the month
    EARMARK = 4  # what is left is for other provinces


class Grants:
    """The grants of one run through the months.

    `areas` are the places of the grants that pay in each area, in order. `drawn`, `drawn_try`,
    `paid` and `returned` are of the current month, one array of draws for each grant.
    """

    def __init__(
        self, funds: Sequence[Fund], areas: Sequence[Sequence[int]], prices: Prices, draws: int
    ) -> None:
        self.funds = funds
        self.areas = areas
        self.prices = prices
        self.draws = draws
        self.everywhere = [at for at in range(len(funds)) if all(at in own for own in areas)]
        self.narrow_first = sorted(range(len(areas)), key=lambda area: len(areas[area]))
        self.left = [np.full(draws, fund.amount_minor, dtype=np.int64) for fund in funds]
        self.in_hand = self._nothing()
        self.back = self._nothing()

    def _nothing(self) -> list[Ints]:
        return [np.zeros(self.draws, dtype=np.int64) for _ in self.funds]

    def begin(self, month: int) -> None:
        """Begin a month: what comes back is in hand, and nothing is paid yet."""
        self.month = month
        self.returned, self.back = self.back, self._nothing()
        self.in_hand = [held + back for held, back in zip(self.in_hand, self.returned, strict=True)]
        self.rates = [self.prices.in_month(one.currency, month - one.lead) for one in self.funds]
        self.drawn, self.drawn_try, self.paid = self._nothing(), self._nothing(), self._nothing()
        self.most = [
            held + try_minor(self.free(at), self.rates[at]) for at, held in enumerate(self.in_hand)
        ]

    def free(self, at: int) -> Ints:
        """Return what may still be drawn of a grant this month, in its currency."""
        fund = self.funds[at]
        if not fund.open[self.month]:
            return np.zeros(self.draws, dtype=np.int64)
        if fund.ceiling_minor is None:
            return self.left[at]
        return np.minimum(self.left[at], fund.ceiling_minor - self.drawn[at])

    def money(self, at: int) -> Ints:
        """Return what a grant can still pay this month, in kuruş."""
        return self.most[at] - self.paid[at]

    def pay_fixed(self, cost: Ints) -> Ints:
        """Pay as much of a cost of the whole programme as there is money for; return it."""
        rest = cost
        for at in self.everywhere:
            part = np.minimum(rest, self.money(at))
            self.paid[at] = self.paid[at] + part
            rest = rest - part
        return cost - rest

    def parts(self, costs: Sequence[Ints]) -> tuple[list[list[Ints]], list[Ints]]:
        """Return what each grant would pay of each area's cost, and what nobody would."""
        owed = list(costs)
        parts = [self._nothing() for _ in self.areas]
        for at in range(len(self.funds)):
            money = self.money(at)
            for area in self.narrow_first:
                if at in self.areas[area]:
                    part = np.minimum(money, owed[area])
                    money, owed[area] = money - part, owed[area] - part
                    parts[area][at] = part
        return parts, owed

    def pay(self, parts: Sequence[Ints], delivered: Ints, returned: Ints) -> None:
        """Pay an area's cost in these parts.

        What comes back of it next month comes back to the grants that pay what is `delivered`, in
        proportion; the rest of the parts is fees.
        """
        sent = np.zeros(self.draws, dtype=np.int64)
        back = np.zeros(self.draws, dtype=np.int64)
        for at, part in enumerate(parts):
            self.paid[at] = self.paid[at] + part
            sent = np.minimum(sent + part, delivered)
            upto = indexed_minor(returned, _millionths(sent / np.maximum(delivered, 1)))
            self.back[at] = self.back[at] + upto - back
            back = upto

    def end(self) -> None:
        """End a month: what was paid is taken from what is in hand, and drawn beyond it."""
        for at, paid in enumerate(self.paid):
            in_hand = np.minimum(paid, self.in_hand[at])
            part, free, rate = paid - in_hand, self.free(at), self.rates[at]
            whole = part == try_minor(free, rate)
            own = np.where(whole, free, np.minimum(foreign_minor(part, rate), free))
            self.in_hand[at] = self.in_hand[at] - in_hand
            self.left[at] = self.left[at] - own
            self.drawn[at], self.drawn_try[at] = own, part

    def cause(self, short: Sequence[Bools], fixed: Bools, least: Ints) -> Ints:
        """Return why a month that has ended is not fully funded: what kept most of the money back.

        Arguments: `short` says of every area where it is short, `fixed` where the fixed costs are;
        where what is kept back comes to less than `least` kuruş the grants are used up.
        """
        kept_back = np.zeros((len(Cause) - Cause.CLOSED, self.draws), dtype=np.int64)
        for at, fund in enumerate(self.funds):
            if not any(fund.open[self.month :]):
                continue
            asked = fixed if at in self.everywhere else np.zeros(self.draws, dtype=np.bool_)
            for places, area_short in zip(self.areas, short, strict=True):
                asked = asked | area_short if at in places else asked
            left = try_minor(self.left[at], self.rates[at])
            is_open = fund.open[self.month]
            kept = left - try_minor(self.free(at), self.rates[at]) if is_open else left
            kind = Cause.CEILING if is_open else Cause.CLOSED
            kept_back[kind - Cause.CLOSED] += np.where(asked, kept, 0)
            kept_back[Cause.EARMARK - Cause.CLOSED] += np.where(asked, 0, left)
        used_up = kept_back.sum(axis=0) < least
        found = np.where(used_up, Cause.SPENT, Cause.CLOSED + kept_back.argmax(axis=0))
        return np.where(np.logical_or.reduce([fixed, *short]), found, Cause.NONE)


def _millionths(shares: Floats) -> Ints:
    return np.rint(shares * MILLION).astype(np.int64)
