"""Who is paid, on cells: the pack's order, its places, and a budget.

The order is the pack's, by falling or rising score. Within one score the real order is drawn by
lot, so here every cell of that score gets its share of the places, made whole by the largest
remainder. So how many are paid, and with which scores, is exact; which cells stand at the very edge
is expected.

What depends on single households cannot be told on cells, and is refused: places that move from one
stratum to another, a budget together with a quota, and households that a person listed. The
projection of a scenario does all of these, household by household.

A budget stops at the first household that does not fit: nobody behind it is paid because it is
smaller. Coverage is counted on those who are paid, never on those who qualify.
"""

from dataclasses import dataclass

import numpy as np

from eligibility.selection import Selection, stratum_of
from ledgers.problems import Problem
from simulations.cells import Cells, Verdict
from simulations.randomness import Ints

SELECTION_NOT_ON_CELLS = Problem(
    "selection_not_on_cells",
    "The rules select by {what}, which is decided household by household and cannot be tried here.",
    "Run a scenario with the value instead (`cva simulate run`): it selects every household.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Queue:
    """Cells in the order in which they are served: by score, equal scores together."""

    order: Ints
    starts: Ints  # where each score begins in `order`

    @classmethod
    def of(cls, score: Ints, *, lowest_first: bool = False) -> "Queue":
        """Return the queue of cells with these scores, the highest first or the lowest."""
        order = np.argsort(score if lowest_first else -score, kind="stable")
        ordered = score[order]
        first = np.ones(len(score), dtype=np.bool_)
        first[1:] = ordered[1:] != ordered[:-1]
        return cls(order, np.flatnonzero(first))

    def sums(self, values: Ints) -> Ints:
        """Return the sum of `values` (cells) of each score, in the order of the queue."""
        totals: Ints = np.add.reduceat(values[self.order], self.starts)
        return totals

    def served(self, households: Ints, places: int) -> Ints:
        """Return how many of each cell have one of `places`."""
        if int(households.sum()) <= places:
            return households
        upto = np.cumsum(self.sums(households))
        full = int(np.searchsorted(upto, places, side="right"))
        left = places - (int(upto[full - 1]) if full else 0)
        return self._filled(households, full, left)

    def afforded(self, households: Ints, amount_minor: Ints, budget_minor: int) -> Ints:
        """Return how many of each cell are paid, until a household does not fit the budget.

        `amount_minor` is what one household of each cell gets. Households of one score are taken to
        come in the mix of their cells.
        """
        upto = np.cumsum(self.sums(households * amount_minor))
        full = int(np.searchsorted(upto, budget_minor, side="right"))
        if full == len(self.starts):
            return households
        left = budget_minor - (int(upto[full - 1]) if full else 0)
        edge = self._edge(full)
        low, high = 0, int(households[edge].sum())
        while low < high:
            middle = (low + high + 1) // 2
            cost = int((shared(households[edge], middle) * amount_minor[edge]).sum())
            low, high = (middle, high) if cost <= left else (low, middle - 1)
        return self._filled(households, full, low)

    def _edge(self, at: int) -> Ints:
        end = self.starts[at + 1] if at + 1 < len(self.starts) else len(self.order)
        return self.order[self.starts[at] : end]

    def _filled(self, households: Ints, full: int, left: int) -> Ints:
        """Return all households of the first `full` scores and `left` of the next."""
        paid = np.zeros_like(households)
        first = self.order[: self.starts[full]]
        paid[first] = households[first]
        edge = self._edge(full)
        paid[edge] = shared(households[edge], left)
        return paid


def funded(
    cells: Cells, verdict: Verdict, selection: Selection, budget_minor: int | None = None
) -> Ints:
    """Return how many households of each cell are paid in a cycle.

    Arguments: `budget_minor` is what a cycle may cost, in minor units; None leaves it to the
    places. Whoever is due nothing takes no place. Raises `selection_not_on_cells`.
    """
    _require_on_cells(selection)
    standing = cells.weight * (verdict.eligible & (verdict.amount_minor > 0))
    queue = Queue.of(verdict.score, lowest_first=selection.order == "lowest_score_first")
    stratum = stratum_of(selection)
    if selection.quota is None or stratum is None:
        places_in_all = selection.places
        everybody = int(standing.sum())
        paid = queue.served(standing, everybody if places_in_all is None else places_in_all)
    else:
        names, places = cells.groups[stratum]
        paid = np.zeros_like(standing)
        for at, name in enumerate(names):
            own = np.where(places == at, standing, 0)
            paid += queue.served(own, selection.quota.households.get(name, 0))
    if budget_minor is None:
        return paid
    return queue.afforded(paid, verdict.amount_minor, budget_minor)


def _require_on_cells(selection: Selection) -> None:
    """Refuse a selection whose outcome no share of a cell can be."""
    quota = selection.quota
    if selection.discretionary is not None:
        raise SELECTION_NOT_ON_CELLS.refusal(what="a discretionary list")
    if quota is not None and quota.unused == "move":
        raise SELECTION_NOT_ON_CELLS.refusal(what="places that move between strata")
    if quota is not None and selection.budget is not None:
        raise SELECTION_NOT_ON_CELLS.refusal(what="a quota together with a budget")


def shared(households: Ints, places: int) -> Ints:
    """Return `places` shared in proportion to `households`, by largest remainder.

    >>> shared(np.array([1, 2, 4]), 5)
    array([1, 1, 3])
    """
    total = int(households.sum())
    if total == 0:
        return households
    whole, rest = np.divmod(households * places, total)
    missing = places - int(whole.sum())
    whole[np.argsort(-rest, kind="stable")[:missing]] += 1
    return whole
