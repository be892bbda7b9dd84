"""A synthetic caseload: whole households that agree with what is published about assisted ones.

The seeds are rosters of a structural model (`simulations.population.rosters`); their weights are
raked to age and sex of persons, women at the head, single parents, the mean size of assisted
households (5.685) and the mean quarterly top-up (TRY 346.16), and made whole.

These figures do not say how many households are of which size: sizes 1 to 4 can be anything between
22 % and 33 %. So each seed of chance starts from other shares of the sizes, and the spread of a
result over several seeds is the *structural uncertainty*: what nobody could know from what was
published. Draws of exchange rates say nothing about it.

Sources: Emergency Social Safety Net monthly reports (mean size July 2020, mean top-up); DGMM (age
and sex, December 2021); CVME5 2020 (heads). See `simulations/data`.
"""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from ledgers.problems import Problem
from simulations.population import margins
from simulations.population.margins import SIZE_MAX
from simulations.population.rosters import PER_SIZE, Rosters, designed, modelled
from simulations.raking import Design, raked
from simulations.randomness import Floats, Ints, Randomness
from simulations.whole_numbers import shared_out, whole_weights

CASELOAD_TOO_SMALL = Problem(
    "caseload_too_small",
    "{households:household is|households are} too few to have the composition of a population.",
    "Make at least {least}.",
)

MEAN_SIZE = Decimal("5.685")
MEAN_TOPUP_TRY = Decimal("346.16")
TOPUP_TRY = ((4, 600), (8, 300), (SIZE_MAX, 100))  # households of up to so many people
TOPUP_STEP = 100
SIZES_APART = 0.5  # spread of the logarithm of the first shares of the sizes
HOUSEHOLDS_MIN = 100


@dataclass(frozen=True, slots=True, eq=False)
class Caseload:
    """Seeds, and how many households each of them stands for."""

    rosters: Rosters
    design: Design
    weights: Floats  # raked
    whole: Ints

    @property
    def households(self) -> int:
        """How many households there are."""
        return int(self.whole.sum())

    @property
    def people(self) -> int:
        """How many people there are."""
        return int((self.whole * self.rosters.size).sum())

    def sizes(self) -> Ints:
        """Return the number of households of each size 1..12."""
        counts = np.bincount(self.rosters.size, weights=self.whole, minlength=SIZE_MAX + 1)
        return np.rint(counts[1:]).astype(np.int64)

    def placed(self, randomness: Randomness) -> Ints:
        """Return the seed of every household, in an order that chance decides."""
        seeds = np.repeat(np.arange(len(self.whole)), self.whole)
        return randomness.stream("population.order").permutation(seeds)


def topup_try(sizes: Ints) -> Ints:
    """Return the quarterly top-up (TRY) of households of so many people."""
    limits = [most for most, _ in TOPUP_TRY[:-1]]
    amounts = np.array([amount for _, amount in TOPUP_TRY])
    tops: Ints = amounts[np.searchsorted(limits, sizes, side="left")]
    return tops


def assisted_caseload(households: int, randomness: Randomness) -> Caseload:
    """Return a caseload of so many households; another seed is another one that fits as well.

    Raises `caseload_too_small`, `margins_refused`.
    """
    if households < HOUSEHOLDS_MIN:
        raise CASELOAD_TOO_SMALL.refusal(households=households, least=HOUSEHOLDS_MIN)
    rosters = modelled(randomness.stream("population.rosters"))
    shares = margins.size_shares() * np.exp(
        SIZES_APART * randomness.stream("population.sizes").standard_normal(SIZE_MAX)
    )
    first = (shares / shares.sum())[rosters.size - 1] * (households / PER_SIZE)
    design = _design(rosters, households)
    weights = raked(first, design)
    return Caseload(rosters, design, weights, whole_weights(weights, design))


def _design(rosters: Rosters, households: int) -> Design:
    """Return the margins of so many households, each a number that whole households can meet."""
    people = round(MEAN_SIZE * households)
    topups = round(MEAN_TOPUP_TRY * households / TOPUP_STEP) * TOPUP_STEP
    mean = people / households
    own = (
        ["households", "size", "quarterly top-up"],
        [
            np.ones(len(rosters.size)),
            rosters.size.astype(np.float64),
            topup_try(rosters.size).astype(np.float64),
        ],
        [1.0, mean, topups / households],
    )
    shares = designed(rosters, own, mean)
    targets = shares.targets * households
    targets[~shares.of_people] = np.rint(targets[~shares.of_people])
    return Design(shares.names, shares.counts, targets, shares.of_people)


def provinces_placed(households: int, randomness: Randomness) -> Ints:
    """Return the province of each household (place in `margins.provinces()`), in exact shares."""
    numbers = shared_out(margins.province_shares(), households)
    places = np.repeat(np.arange(len(numbers)), numbers)
    return randomness.stream("population.provinces").permutation(places)
