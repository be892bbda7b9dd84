"""The bare kernel: the least that anybody would have to do for the same draws, in plain numpy.

Every draw, month and stratum is touched: what leaves, what comes, and what the month comes to in
households, people and money. It knows nothing of prices, exchange rates, grants or fans, and all
its numbers are ready before it starts.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def walk(
    start: Floats,
    arrivals: Floats,
    ageing_in: Floats,
    ageing_out: Floats,
    kept: Floats,
    arriving: Floats,
    take_up: Floats,
    measures: Floats,
) -> Floats:
    """Return draws × months × measures.

    `start` and `arrivals` are by stratum, `ageing_in` and `ageing_out` months × strata, `kept`
    draws × months, `arriving` and `take_up` by draw, `measures` strata × measures.
    """
    draws, months = kept.shape
    there = np.repeat(start[None], draws, axis=0)
    told = np.empty((draws, months, measures.shape[1]))
    told[:, 0] = there @ measures
    for month in range(1, months):
        there *= kept[:, month, None]
        there *= 1 - ageing_out[month]
        there += arriving[:, None] * arrivals
        there += ageing_in[month]
        told[:, month] = there @ measures
    told *= take_up[:, None, None]
    return told
