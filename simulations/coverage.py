"""How far to believe a fan of exchange rates: tried on the record, origin by origin.

From every month of the record that has a full window behind it and the horizon ahead of it, the
interval that would have been given then is compared with what came. A nominal 90 % interval that
held 81 % of the time is an 81 % interval, and most of what it missed was TRY falling further. So
every fan says its coverage, and stress paths stand beside it.

Origins overlap, so they are fewer independent trials than their number: a standard error by blocks
of the horizon's length is given with each share.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy import special

from simulations.paths import resampled
from simulations.randomness import Bools, Floats, Randomness
from simulations.rates import Record

NOMINAL = 0.90
HORIZONS = (6, 12, 24)


class Method(StrEnum):
    """How an interval is made."""

    NORMAL = "normal"  # normal changes of the logarithm
    BOOTSTRAP = "bootstrap"  # blocks of the window


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a nominal interval did: shares of the origins, with the error of the first."""

    method: Method
    currency: str
    horizon: int
    nominal: float
    origins: int
    covered: float
    covered_error: float
    above: float  # the rate ended above the interval: TRY fell further
    below: float


@dataclass(frozen=True, slots=True)
class Trial:
    """How intervals are made: the window behind, the months ahead, the nominal share."""

    method: Method
    horizon: int
    window: int = 60
    block: int = 6
    draws: int = 2000
    nominal: float = NOMINAL

    def interval(self, window: Floats, stream: np.random.Generator) -> tuple[float, float]:
        """Return the interval of the change of the logarithm over the horizon."""
        tail = (1 - self.nominal) / 2
        if self.method is Method.NORMAL:
            middle = window.mean() * self.horizon
            spread = window.std(ddof=1) * np.sqrt(self.horizon)
            reach = special.ndtri(1 - tail) * spread
            return (middle - reach).item(), (middle + reach).item()
        chances = stream.random((self.draws, -(-self.horizon // self.block)))
        ahead = resampled(window[:, None], chances, self.block)[:, : self.horizon, 0]
        low, high = np.quantile(ahead.sum(axis=1), [tail, 1 - tail])
        return low.item(), high.item()


def coverage(
    record: Record, trial: Trial, randomness: Randomness, currency: str = "USD"
) -> Coverage:
    """Return how the intervals of a trial did over all origins of `record`."""
    changes = record.log_returns()[:, record.currencies.index(currency)]
    horizon = trial.horizon
    origins = range(trial.window, len(changes) - horizon + 1)
    ends = np.array(
        [
            trial.interval(
                changes[at - trial.window : at],
                randomness.stream("coverage", trial.method.value, horizon, at),
            )
            for at in origins
        ]
    )
    came = np.array([changes[at : at + horizon].sum() for at in origins])
    inside = (came >= ends[:, 0]) & (came <= ends[:, 1])
    return Coverage(
        method=trial.method,
        currency=currency,
        horizon=horizon,
        nominal=trial.nominal,
        origins=len(came),
        covered=inside.mean().item(),
        covered_error=_block_error(inside, horizon),
        above=(came > ends[:, 1]).mean().item(),
        below=(came < ends[:, 0]).mean().item(),
    )


def _block_error(inside: Bools, length: int) -> float:
    """Return the standard error of a share of overlapping trials, by blocks of `length`."""
    blocks = [inside[at : at + length].mean() for at in range(0, len(inside), length)]
    if len(blocks) < 2:  # noqa: PLR2004 - one block says nothing about its spread
        return math.nan
    error: float = (np.std(blocks, ddof=1) / np.sqrt(len(blocks))).item()
    return error
