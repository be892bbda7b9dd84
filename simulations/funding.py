"""Who is paid, on cells: the pack's order, its places, and a budget.

The order is the real one: highest score first. Within one score the real order is drawn by lot, so
here every cell of that score gets its share of the places, made whole by the largest remainder. So
how many are paid, and with which scores, is exact; which cells stand at the very edge is expected.

A budget stops at the first household that does not fit: nobody behind it is paid because it is
smaller. Coverage is counted on those who are paid, never on those who qualify.
"""

import numpy as np

from eligibility.selection import Selection, stratum_of
from simulations.cells import Cells, Verdict
from simulations.randomness import Ints


def funded(
    cells: Cells, verdict: Verdict, selection: Selection, budget_minor: int | None = None
) -> Ints:
    """Return how many households of each cell are paid in a cycle.

    Arguments: `budget_minor` is what a cycle may cost, in minor units; None leaves it to the
    places. With a quota the budget is shared by the order of scores over all strata.
    """
    eligible = cells.weight * verdict.eligible
    stratum = stratum_of(selection)
    if selection.quota is None or stratum is None:
        paid = _places(eligible, verdict.score, selection.places)
    else:
        names, places = cells.groups[stratum]
        paid = np.zeros_like(eligible)
        for at, name in enumerate(names):
            own = np.where(places == at, eligible, 0)
            paid += _places(own, verdict.score, selection.quota.households.get(name, 0))
    if budget_minor is None:
        return paid
    return within_budget(paid, verdict.score, verdict.amount_minor, budget_minor)


def _places(households: Ints, score: Ints, places: int) -> Ints:
    if int(households.sum()) <= places:
        return households
    order, starts = _by_score(score)
    counts = np.add.reduceat(households[order], starts)
    full = int(np.searchsorted(np.cumsum(counts), places, side="right"))
    left = places - int(counts[:full].sum())
    return _filled(households, (order, starts), full, left)


def within_budget(households: Ints, score: Ints, amount_minor: Ints, budget_minor: int) -> Ints:
    """Return how many of `households` are paid, best score first, until one does not fit.

    `amount_minor` is what one household of each cell gets. Households of one score are taken to
    come in the mix of their cells.
    """
    order, starts = _by_score(score)
    costs = np.add.reduceat((households * amount_minor)[order], starts)
    full = int(np.searchsorted(np.cumsum(costs), budget_minor, side="right"))
    if full == len(starts):
        return households
    left = budget_minor - int(costs[:full].sum())
    edge = _edge((order, starts), full)
    low, high = 0, int(households[edge].sum())
    while low < high:
        middle = (low + high + 1) // 2
        cost = int((_shared(households[edge], middle) * amount_minor[edge]).sum())
        low, high = (middle, high) if cost <= left else (low, middle - 1)
    return _filled(households, (order, starts), full, low)


def _by_score(score: Ints) -> tuple[Ints, Ints]:
    """Return the cells by falling score, and where each score begins."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    return order, starts


def _edge(sorted_: tuple[Ints, Ints], at: int) -> Ints:
    order, starts = sorted_
    return order[starts[at] : starts[at + 1] if at + 1 < len(starts) else len(order)]


def _filled(households: Ints, sorted_: tuple[Ints, Ints], full: int, left: int) -> Ints:
    """Return all households of the first `full` scores and `left` of the next."""
    order, starts = sorted_
    paid = np.zeros_like(households)
    if full == len(starts):
        return households
    paid[order[: starts[full]]] = households[order[: starts[full]]]
    edge = _edge(sorted_, full)
    paid[edge] = _shared(households[edge], left)
    return paid


def _shared(households: Ints, places: int) -> Ints:
    """Return `places` shared in proportion to `households`, by largest remainder."""
    total = int(households.sum())
    if total == 0:
        return households
    whole, rest = np.divmod(households * places, total)
    missing = places - int(whole.sum())
    whole[np.argsort(-rest, kind="stable")[:missing]] += 1
    return whole
