"""Household by household: who is paid in which month, draw by draw.

Every household of a draw gets one exponential number, its staying power. It leaves in the first
month in which the risk it has lived through (exits, and losses where cards are checked) exceeds
that number. So a month by month walk is not needed: a household is one interval, from the month it
enters to the month it leaves or the rules let it go, and a draw is a table of differences. It is
the same law as tossing a coin for each household and month.

The numbers of a draw come from a source with the draw's name: neither the number of threads nor
what other draws did changes them, and two scenarios meet the same households with the same luck.

Kinds: households of one `kind` (a cell, a province, a size) are counted together, exactly, and what
a kind costs is multiplied in afterwards, in whole numbers.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.dynamics import Rates
from simulations.randomness import Floats, Ints, Randomness

Months = NDArray[np.int16]
RISK_MAX = 60.0  # nobody's staying power is above it: exp(-60) is 1 in 10^26


@dataclass(frozen=True, slots=True, eq=False)
class Lives:
    """Each household's entry month, the month from which the rules no longer hold, and its kind.

    `enters` is 0 for those there at the start and `months` or more for those who never come;
    `ends` is `months` or more for those the rules hold for throughout. `kinds` is how many kinds.
    """

    enters: Months
    ends: Months
    kind: NDArray[np.int32]
    kinds: int


def paid_households(
    lives: Lives,
    rates: Rates,
    randomness: Randomness,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Ints:
    """Return draws × months × kinds: how many households are paid.

    `rates.arrivals` is not used: entry months say who comes. `progress` is told draws done and
    draws in all, and may raise to stop. The same for any number of `threads`.
    """
    exits = np.broadcast_to(rates.exits, (rates.draws, rates.months))
    loss = np.where(rates.checked, np.broadcast_to(rates.loss, exits.shape), 0.0)
    with np.errstate(divide="ignore"):
        risk = np.minimum(-np.log1p(-exits) - np.log1p(-loss), RISK_MAX)
    risk[:, 0] = 0.0
    lived = np.cumsum(risk, axis=1)
    counts = np.empty((rates.draws, rates.months, lives.kinds), dtype=np.int64)

    def one(draw: int) -> None:
        stream = randomness.stream("lifetimes", draw)
        counts[draw] = _one_draw(lives, lived[draw], rates.take_up[draw], stream)

    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(one, range(rates.draws)), start=1):
            if progress is not None:
                progress(done, rates.draws)
    return counts


def _one_draw(
    lives: Lives, lived: Floats, take_up: np.float64, stream: np.random.Generator
) -> Ints:
    """Return months × kinds of one draw; `lived` is the risk up to each month."""
    months = len(lived)
    households = len(lives.kind)
    power = stream.standard_exponential(households, dtype=np.float32)
    taken = stream.random(households, dtype=np.float32) < take_up
    risk = lived.astype(np.float32)
    enters = np.minimum(lives.enters, months)
    if enters.any():
        power += np.append(risk, np.float32(0))[enters]
    leaves = np.searchsorted(risk, power, side="left").astype(np.int16)
    np.minimum(leaves, lives.ends, out=leaves)
    np.maximum(leaves, enters, out=leaves)
    leaves[~taken] = enters[~taken]
    come = _counted(enters, lives, months)
    gone = _counted(leaves, lives, months)
    active: Ints = np.cumsum(come - gone, axis=0)
    return active


def _counted(month: Months, lives: Lives, months: int) -> Ints:
    """Return months × kinds: how many households have this month; later ones are not counted."""
    key = np.minimum(month, months).astype(np.int32)
    key *= np.int32(lives.kinds)
    key += lives.kind
    counts = np.bincount(key, minlength=(months + 1) * lives.kinds)
    return counts.reshape(months + 1, lives.kinds)[:months]
