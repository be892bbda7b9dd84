"""Transfer value against coverage under one budget: what more for each costs in how many.

For every value tried, households are served in the pack's order until one does not fit. Then it is
asked how many that reaches and how much of the poverty gap it closes. A point is *efficient* if no
other reaches more people or closes more of the gap without losing in the other. The *best* is the
one that closes most of the gap; of equal ones, the one that reaches more people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ledgers.problems import Problem
from simulations.funding import Queue
from simulations.randomness import Bools, Ints

FRONTIER_VALUES_WRONG = Problem(
    "frontier_values_wrong",
    "Transfer values must be above zero and a budget not below; given were {values} and {budget}.",
    "Give at least one value above zero, in minor units, and a budget of zero or more.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Columns of equal length: those who qualify, one row a household or a cell.

    `households` is how many a row stands for, `people` how many count in the payment of each,
    `gap_minor` what a household lacks in a month, `score` the order of serving.
    """

    households: Ints
    people: Ints
    gap_minor: Ints
    score: Ints


@dataclass(frozen=True, slots=True)
class Point:
    """What a value comes to in a month; amounts in minor units."""

    value_minor: int  # for each person
    households: int  # paid
    people: int
    spent_minor: int
    gap_closed_minor: int
    coverage: float  # people paid / people who qualify
    is_efficient: bool = False


@dataclass(frozen=True, slots=True)
class Frontier:
    """The points in the order of their values, and the best of them."""

    points: tuple[Point, ...]
    best: Point


def frontier(candidates: Candidates, values: Sequence[int], budget_minor: int) -> Frontier:
    """Return what each value (minor units a person and month) reaches under a monthly budget.

    Raises `frontier_values_wrong`.
    """
    if not values or min(values) <= 0 or budget_minor < 0:
        said = ", ".join(map(str, values)) or "none"
        raise FRONTIER_VALUES_WRONG.refusal(values=said, budget=budget_minor)
    queue = Queue.of(candidates.score)
    everybody = int((candidates.households * candidates.people).sum())
    found = [
        _point(candidates, queue, value, budget_minor, everybody) for value in sorted(set(values))
    ]
    efficient = _efficient(found)
    points = tuple(
        Point(
            point.value_minor,
            point.households,
            point.people,
            point.spent_minor,
            point.gap_closed_minor,
            point.coverage,
            bool(is_efficient),
        )
        for point, is_efficient in zip(found, efficient.tolist(), strict=True)
    )
    return Frontier(points, max(points, key=lambda point: (point.gap_closed_minor, point.people)))


def _point(
    candidates: Candidates, queue: Queue, value: int, budget_minor: int, everybody: int
) -> Point:
    amounts = candidates.people * value
    paid = queue.afforded(candidates.households, amounts, budget_minor)
    people = int((paid * candidates.people).sum())
    return Point(
        value_minor=value,
        households=int(paid.sum()),
        people=people,
        spent_minor=people * value,
        gap_closed_minor=int((paid * np.minimum(amounts, candidates.gap_minor)).sum()),
        coverage=people / everybody if everybody else 0.0,
    )


def _efficient(points: Sequence[Point]) -> Bools:
    """Return which points no other one is better than in one way and as good in the other."""
    people = np.array([point.people for point in points])
    closed = np.array([point.gap_closed_minor for point in points])
    as_good: Bools = (people[None] >= people[:, None]) & (closed[None] >= closed[:, None])
    better: Bools = (people[None] > people[:, None]) | (closed[None] > closed[:, None])
    beaten = np.asarray((as_good & better).any(axis=1))
    return np.logical_not(beaten)
