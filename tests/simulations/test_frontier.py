"""What a budget reaches at every transfer value, against serving household by household."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.problems import Refusal
from simulations.frontier import Candidates, frontier
from simulations.funding import Queue


def candidates(*rows: tuple[int, int, int, int]) -> Candidates:
    """Rows of households, people, gap, score."""
    return Candidates(*(np.array(column) for column in zip(*rows, strict=True)))


ROWS = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 500)), min_size=1, max_size=15)


@given(ROWS, st.lists(st.integers(1, 100), min_size=1, max_size=6), st.integers(0, 4000))
def test_serving_household_by_household_gives_the_same(
    rows: list[tuple[int, int]], values: list[int], budget: int
) -> None:
    # Every household has a score of its own, so that the order is known.
    listed = [(1, people, gap, -at) for at, (people, gap) in enumerate(rows)]
    found = frontier(candidates(*listed), values, budget)
    for point in found.points:
        left, households, people, closed = budget, 0, 0, 0
        for size, gap in rows:
            if size * point.value_minor > left:
                break
            left -= size * point.value_minor
            households, people = households + 1, people + size
            closed += min(gap, size * point.value_minor)
        assert (point.households, point.people) == (households, people)
        assert (point.spent_minor, point.gap_closed_minor) == (budget - left, closed)
        assert point.coverage == people / sum(size for size, _ in rows)
    assert found.best.gap_closed_minor == max(point.gap_closed_minor for point in found.points)


def test_a_larger_value_reaches_fewer_and_the_best_closes_most_of_the_gap() -> None:
    many = candidates((1000, 5, 2500, 0))
    found = frontier(many, [200, 500, 900], 1_000_000)
    assert [point.households for point in found.points] == [1000, 400, 222]
    assert [point.gap_closed_minor for point in found.points] == [1_000_000, 1_000_000, 555_000]
    assert [point.is_efficient for point in found.points] == [True, False, False]
    assert found.best.value_minor == 200


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 50), st.integers(0, 3)),
                min_size=1, max_size=10), st.integers(0, 3000))  # fmt: skip
def test_a_cell_is_as_many_households_in_the_queue(
    rows: list[tuple[int, int, int]], budget: int
) -> None:
    households, amounts, score = (np.array(column) for column in zip(*rows, strict=True))
    paid = Queue.of(score).afforded(households, amounts, budget)
    assert (paid <= households).all()
    assert (paid >= 0).all()
    assert (paid * amounts).sum() <= budget
    # Whoever has a lower score is paid only if everybody above is.
    short = score[(paid < households)]
    assert not len(short) or not paid[score < short.max()].any()


@pytest.mark.parametrize(("values", "budget"), [([], 10), ([0], 10), ([5, -1], 10), ([5], -1)])
def test_values_and_budgets_that_cannot_be_are_refused(values: list[int], budget: int) -> None:
    with pytest.raises(Refusal, match="frontier_values_wrong"):
        frontier(candidates((1, 1, 1, 1)), values, budget)
