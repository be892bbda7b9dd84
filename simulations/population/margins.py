"""What is published about the population, and the raking that makes rosters agree with it.

The figures stand in `simulations/data/*.csv`, every row with its source: age and sex of Syrians
under temporary protection, household composition, household sizes, registrations by province,
districts, and the mix of the free population (our assumptions, said to be so).

Raking to them: `simulations.raking`, with the equations of `rosters`.
"""

import csv
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DATA = Path(__file__).parents[1] / "data"
SIZE_MAX = 12
OLDEST = 89  # the open age group 75+ is closed here

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@cache
def rows(name: str) -> tuple[dict[str, str], ...]:
    """Return the rows of the data file `name` (without `.csv`), as written there."""
    with (DATA / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@cache
def provinces() -> tuple[str, ...]:
    """Return the codes of all 81 provinces (ISO 3166-2), in the order of the plate numbers."""
    return tuple(row["province"] for row in rows("provinces"))


@cache
def districts() -> dict[str, tuple[str, ...]]:
    """Return the districts by province; a province without a list has its `Merkez`."""
    return {
        code: tuple(row["district"] for row in rows("districts") if row["province"] == code)
        or ("Merkez",)
        for code in provinces()
    }


def province_shares() -> Floats:
    """Return each province's share of the registered Syrians, in the order of `provinces()`."""
    return _shares([row["registered_syrians"] for row in rows("provinces")])


def size_shares() -> Floats:
    """Return the share of households of each size 1..12."""
    return _shares([row["per_ten_thousand"] for row in rows("household_sizes")])


def composition(measure: str) -> float:
    """Return the published share `measure` of household heads (0..1)."""
    return next(int(r["per_mille"]) / 1000 for r in rows("composition") if r["measure"] == measure)


def mix(axis: str) -> dict[str, float]:
    """Return the free population's shares (0..1) of the values on `axis`."""
    return {r["value"]: int(r["per_mille"]) / 1000 for r in rows("free_mix") if r["axis"] == axis}


@cache
def age_bounds() -> tuple[tuple[int, int], ...]:
    """Return the first and last year of age of each published age group."""
    bounds = []
    for row in rows("age_sex"):
        first, _, last = row["age_group"].rstrip("+").partition("-")
        bounds.append((int(first), int(last) if last else OLDEST))
    return tuple(bounds)


def age_sex_shares() -> Floats:
    """Return the share of persons by age group (rows) and sex (male, female)."""
    counts = [[row["male"], row["female"]] for row in rows("age_sex")]
    return _shares(counts)


def age_shares() -> Floats:
    """Return the share of persons by year of age 0..89, level within each age group."""
    shares = np.zeros(OLDEST + 1)
    for (first, last), share in zip(age_bounds(), age_sex_shares().sum(axis=1), strict=True):
        shares[first : last + 1] = share / (last + 1 - first)
    return shares


def _shares(counts: object) -> Floats:
    numbers = np.asarray(counts, dtype=np.float64)
    shares: Floats = numbers / numbers.sum()
    return shares


def tilted(shares: Floats, mean: float) -> Floats:
    """Return `shares` of the sizes 1..12 bent so that their mean is `mean` (as near as it goes).

    Each share is multiplied by exp(t * size); t is found by halving.
    """
    sizes = np.arange(1, len(shares) + 1)
    low, high = -40.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        weights = np.log(shares) + middle * sizes
        bent: Floats = np.exp(weights - weights.max())
        bent /= bent.sum()
        low, high = (middle, high) if bent @ sizes < mean else (low, middle)
    return bent


def exact_sizes(rng: np.random.Generator, households: int, people: int) -> Ints:
    """Return `households` sizes of 1..12 drawn so that they add up to exactly `people`.

    They are drawn from the size shares tilted to the mean asked for; what is then missing or too
    much is added to or taken from households drawn at random, one person each.
    """
    shares = tilted(size_shares(), people / households)
    sizes: Ints = rng.choice(np.arange(1, SIZE_MAX + 1), size=households, p=shares)
    while missing := people - int(sizes.sum()):
        free = np.flatnonzero(sizes < SIZE_MAX if missing > 0 else sizes > 1)
        sizes[rng.permutation(free)[: abs(missing)]] += np.sign(missing)
    return sizes
