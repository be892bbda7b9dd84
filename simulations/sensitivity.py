"""Which assumption matters: a tornado for people, Sobol indices for the mathematics behind it.

A *tornado* moves one assumption at a time from its 5 % to its 95 % quantile while the others stay
at their medians. It is quick and everybody can read it, and it does not see that two assumptions
can matter together.

*Sobol indices* do. Of the variance of the result, the first-order index of an assumption is the
share that would go if it were known; the total index is the share that would be left if all others
were known. What total indices exceed first-order ones by is interaction.

Method: A and B are two halves of one scrambled Sobol sequence; first order after Saltelli et al.
2010, total order after Jansen 1999, both with standard errors of their Monte Carlo means. The
points follow from the seed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

import numpy as np
from scipy.stats import qmc

from ledgers.problems import Problem
from simulations.randomness import Floats, Randomness

SENSITIVITY_FLAT = Problem(
    "sensitivity_flat",
    "The result is the same whatever the assumptions are; there is no variance to share out.",
    "Give at least one assumption that matters a distribution.",
)

LOW, MEDIAN, HIGH = 0.05, 0.5, 0.95


class Uncertain(Protocol):
    """A distribution: anything with a quantile function."""

    def quantile(self, chances: Floats) -> Floats:
        """Return the values at the chances."""
        ...


Model = Callable[[Mapping[str, Floats]], Floats]
"""Takes arrays of equal length by name of assumption, and returns the result of each place."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a tornado: the result with the assumption low, high, and both values of it."""

    name: str
    low_value: float
    high_value: float
    low_result: float
    high_result: float

    @property
    def swing(self) -> float:
        """How far the ends are apart."""
        return abs(self.high_result - self.low_result)


@dataclass(frozen=True, slots=True)
class Tornado:
    """The result at all medians, and the bars, widest first."""

    middle: float
    bars: tuple[Bar, ...]


def tornado(assumptions: Mapping[str, Uncertain], model: Model) -> Tornado:
    """Return the tornado of `model`; it is called once, with 2 × assumptions + 1 places."""
    names = list(assumptions)
    chances = np.full((2 * len(names) + 1, len(names)), MEDIAN)
    for at in range(len(names)):
        chances[2 * at + 1, at], chances[2 * at + 2, at] = LOW, HIGH
    values = _values(assumptions, chances)
    results = model(values)
    bars = [
        Bar(
            name,
            values[name][2 * at + 1].item(),
            values[name][2 * at + 2].item(),
            results[2 * at + 1].item(),
            results[2 * at + 2].item(),
        )
        for at, name in enumerate(names)
    ]
    bars.sort(key=attrgetter("swing"), reverse=True)
    return Tornado(results[0].item(), tuple(bars))


@dataclass(frozen=True, slots=True)
class SobolIndex:
    """First-order and total index of one assumption, each with its standard error."""

    name: str
    first: float
    first_error: float
    total: float
    total_error: float


def sobol_indices(
    assumptions: Mapping[str, Uncertain],
    model: Model,
    randomness: Randomness,
    points: int = 1024,
) -> tuple[SobolIndex, ...]:
    """Return the indices in the order of the assumptions.

    `points` is a power of two; the model is called once with points × (assumptions + 2) places.
    Raises `sensitivity_flat`.
    """
    names = list(assumptions)
    one, two = _halves(len(names), points, randomness)
    blocks = [one, two]
    for at in range(len(names)):
        mixed = one.copy()
        mixed[:, at] = two[:, at]
        blocks.append(mixed)
    results = model(_values(assumptions, np.concatenate(blocks)))
    split: Floats = np.asarray(results, dtype=np.float64).reshape(len(blocks), points)
    split = split - split[:2].mean()
    variance = split[:2].var()
    if not variance > 0:
        raise SENSITIVITY_FLAT.refusal()
    found = []
    for at, name in enumerate(names):
        first = split[1] * (split[at + 2] - split[0]) / variance
        total = (split[0] - split[at + 2]) ** 2 / (2 * variance)
        found.append(SobolIndex(name, *_mean(first), *_mean(total)))
    return tuple(found)


def _mean(terms: Floats) -> tuple[float, float]:
    return terms.mean().item(), (terms.std(ddof=1) / np.sqrt(len(terms))).item()


def _halves(columns: int, points: int, randomness: Randomness) -> tuple[Floats, Floats]:
    seed = int(randomness.stream("sensitivity").integers(2**63))
    sequence = qmc.Sobol(2 * columns, scramble=True, rng=seed).random(points)
    return sequence[:, :columns], sequence[:, columns:]


def _values(assumptions: Mapping[str, Uncertain], chances: Floats) -> dict[str, Floats]:
    return {
        name: assumption.quantile(chances[:, at])
        for at, (name, assumption) in enumerate(assumptions.items())
    }


def varying(assumptions: Mapping[str, Uncertain]) -> Sequence[str]:
    """Return the names of the assumptions that are not the same at every chance."""
    ends = np.array([0.001, 0.25, 0.5, 0.75, 0.999])
    return [
        name for name, assumption in assumptions.items() if np.ptp(assumption.quantile(ends)) > 0
    ]
