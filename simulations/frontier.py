"""Transfer value against coverage under one budget: what more for each costs in how many.

What each value reaches is counted elsewhere; here the values are held against each other. A value
is *efficient* if no other reaches more people or closes more of the poverty gap without losing in
the other. The *best* is the one that closes most of the gap, and there is one only if it is clear:
whole households are paid, so two values whose gaps differ by no more than one household can get
differ by what happened to be left over, which is nothing to choose a value by.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ledgers.problems import Problem
from simulations.randomness import Bools

FRONTIER_VALUES_WRONG = Problem(
    "frontier_values_wrong",
    "Transfer values must be above zero; given were {values}.",
    "Give at least one value above zero, in minor units.",
)
FRONTIER_MONTHS = Problem(
    "frontier_months",
    "The frontier asks for {months} months and the scenario has {most}.",
    "Give no more months than the scenario has, or lengthen the scenario.",
)


@dataclass(frozen=True, slots=True)
class Point:
    """What a value comes to in a mean month; amounts in minor units."""

    value_minor: int  # for each person
    people: int  # paid
    gap_closed_minor: int


@dataclass(frozen=True, slots=True)
class Frontier:
    """The points in the order given, which of them are efficient, and the best if one is clear."""

    points: tuple[Point, ...]
    efficient: tuple[bool, ...]
    best: Point | None


def require_values(values: Sequence[int]) -> None:
    """Refuse values (minor units a person and month) that nobody can be paid.

    Raises `frontier_values_wrong`.
    """
    if not values or min(values) <= 0:
        said = ", ".join(map(str, values)) or "none"
        raise FRONTIER_VALUES_WRONG.refusal(values=said)


def frontier(points: Sequence[Point], people_most: int) -> Frontier:
    """Return the points held against each other.

    `people_most` is how many people at most one household is paid for; where a row of the
    population stands for several households, all of them together.
    """
    first, *others = sorted(points, key=lambda point: -point.gap_closed_minor)
    clear = first.value_minor * people_most
    ahead = all(first.gap_closed_minor - other.gap_closed_minor > clear for other in others)
    best = first if ahead and first.gap_closed_minor else None
    return Frontier(tuple(points), tuple(_efficient(points).tolist()), best)


def _efficient(points: Sequence[Point]) -> Bools:
    """Return which points no other one is better than in one way and as good in the other."""
    people = np.array([point.people for point in points])
    closed = np.array([point.gap_closed_minor for point in points])
    as_good: Bools = (people[None] >= people[:, None]) & (closed[None] >= closed[:, None])
    better: Bools = (people[None] > people[:, None]) | (closed[None] > closed[:, None])
    beaten = np.asarray((as_good & better).any(axis=1))
    return np.logical_not(beaten)
