"""Chance with a name: every uncertain quantity draws from a source of its own.

A source follows from the seed and a name and from nothing else: not from what was drawn before, not
from the number of threads. So two scenarios with one seed meet the same arrivals and the same
exchange rates (*common random numbers*), and what differs between them is what was changed, not
luck. Draws are filled row by row: the first 1,000 of 10,000 draws are the 1,000 of a shorter run.

Source: Glasserman and Yao, "Some guidelines and guarantees for common random numbers", Management
Science 1992. Philox: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011.
"""

import json
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from ledgers.problems import Problem

SIMULATION_SEED_WRONG = Problem(
    "simulation_seed_wrong",
    "The seed {seed} cannot be used.",
    "Give a whole number from 0 to 9223372036854775807.",
)

SEED_MAX = 2**63 - 1
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Randomness:
    """All chance of one run. Raises `simulation_seed_wrong`."""

    seed: int

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= SEED_MAX:
            raise SIMULATION_SEED_WRONG.refusal(seed=self.seed)

    def stream(self, *name: str | int) -> np.random.Generator:
        """Return the source of the quantity `name`; each call starts it again."""
        digest = sha256(json.dumps([self.seed, *name]).encode()).digest()
        key = int.from_bytes(digest[:16], "little")
        return np.random.Generator(np.random.Philox(key=key))

    def uniforms(self, name: str, draws: int, columns: int = 1) -> Floats:
        """Return draws × columns numbers in [0, 1), the same for the same seed and name."""
        return self.stream(name).random((draws, columns))
