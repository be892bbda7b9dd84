"""Fans: what the middle half and nine tenths of the draws do, month by month.

The lines of a fan are the quantiles 5, 25, 50, 75 and 95 %. Each is a value that a draw had (an
order statistic), so that a fan of whole amounts is whole amounts. How well such fans covered what
happened is `coverage`'s to say, and belongs under every chart of one.

A quantile of finitely many draws is itself uncertain. `quantile_bounds` gives the order statistics
between which the true quantile lies with a stated probability, whatever the distribution
(Clopper and Pearson; David and Nagaraja, "Order Statistics", 2003).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from simulations.randomness import Floats, Ints

LINES = (5, 25, 50, 75, 95)
Values = TypeVar("Values", Ints, Floats)


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """Quantiles in per cent, and their values: lines × months."""

    lines: tuple[int, ...]
    values: NDArray[np.int64] | NDArray[np.float64]

    def line(self, percent: int) -> list[int] | list[float]:
        """Return one line, month by month."""
        found: list[int] | list[float] = self.values[self.lines.index(percent)].tolist()
        return found


def fan(draws: Values, lines: Sequence[int] = LINES) -> Fan:
    """Return the fan of draws × months. A quantile p is the draw number ceil(p * draws)."""
    return Fan(tuple(lines), quantiles(draws, lines))


def quantiles(draws: Values, lines: Sequence[int]) -> Values:
    """Return the values at each line (per cent): lines × the other axes of `draws`."""
    places = [max(0, -(-line * len(draws) // 100) - 1) for line in lines]
    ordered = np.partition(draws, sorted(set(places)), axis=0)
    return ordered[places]


def quantile_bounds(draws: int, share: float, sure: float = 0.9999) -> tuple[int, int]:
    """Return places (from 0) in the ordered draws that hold the true quantile between them.

    `share` is the quantile (0.05), `sure` the probability with which the two hold it.
    """
    tail = (1 - sure) / 2
    counts = np.arange(draws + 1)
    below = special.bdtr(counts, draws, share)
    low = int(np.searchsorted(below, tail, side="right")) - 1
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    return max(low, 0), min(high, draws - 1)


def mean_error(draws: Floats) -> Floats:
    """Return the standard error of the mean of draws (along the first axis)."""
    error: Floats = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    return error


def paired(first: Values, second: Values) -> Fan:
    """Return the fan of second - first, draw by draw: two scenarios under the same luck."""
    return fan(second - first)
