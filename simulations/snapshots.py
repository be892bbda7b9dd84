"""Synthetic snapshots: households that do not exist, in the files that rules are run on.

The households are those of `simulations.synthesis`: whole numbers of sample households that agree
with the published margins (age and sex of persons, mean size, mean top-up, women at the head,
single parents), in an order that chance decides; provinces have their exact published shares. Facts
of need are drawn beside them with the shares of `free_mix.csv`. The files have the columns of a
registry snapshot, sorted by household, and no names: nobody needs them here. Same seed, same bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from simulations.population import margins
from simulations.population.margins import districts, provinces
from simulations.population.people import (
    DISABLED_SHARE,
    GROUPS,
    INCOME_STEP,
    INCOME_STEPS_MAX,
    MONTHS_OWED,
    NO_INCOME_SHARE,
    RCSI,
    SEXES,
    SHELTER_SHARES,
    SHELTERS,
    YEAR_ONLY_SHARE,
)
from simulations.population.rosters import RELATIONSHIPS, Rosters
from simulations.population.shape import Nationality, Need
from simulations.randomness import Bools, Ints, Randomness
from simulations.synthesis import assisted_caseload, provinces_placed

BATCH = 65_536
Names = NDArray[np.str_]
Columns = list[tuple[str, pa.DataType]]
_HOUSEHOLD: Columns = [
    ("household_id", pa.string()), ("province", pa.string()), ("district", pa.string()),
    ("population_group", pa.string()), ("declared_size", pa.int32()), ("has_roster", pa.bool_()),
    ("rcsi", pa.int64()), ("months_rent_owed", pa.int64()), ("monthly_income_minor", pa.int64()),
    ("shelter", pa.string()), ("has_iban", pa.bool_()), ("has_voucher_card", pa.bool_()),
    ("has_debit_card", pa.bool_()),
]  # fmt: skip
_MEMBER: Columns = [
    ("household_id", pa.string()), ("member_no", pa.int32()), ("relationship", pa.string()),
    ("sex", pa.string()), ("birth_date", pa.date32()), ("birth_date_precision", pa.string()),
    ("nationality", pa.string()), ("disability_percent", pa.int32()),
]  # fmt: skip
HOUSEHOLDS, MEMBERS = pa.schema(_HOUSEHOLD), pa.schema(_MEMBER)


def write_synthetic(folder: Path, households: int, seed: int, on: date) -> tuple[Path, Path]:
    """Write households.parquet and members.parquet of `households`; return their paths.

    Ages are as of the day `on`; the population of another seed is another try at the same margins.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = folder / "households.parquet", folder / "members.parquet"
    randomness = Randomness(seed)
    caseload = assisted_caseload(households, randomness)
    placed = caseload.placed(randomness)
    province = provinces_placed(households, randomness)
    with (
        pq.ParquetWriter(paths[0], HOUSEHOLDS, compression="zstd") as household_file,
        pq.ParquetWriter(paths[1], MEMBERS, compression="zstd") as member_file,
    ):
        for first in range(0, households, BATCH):
            rng = randomness.stream("population.households", first)
            batch = placed[first : first + BATCH], province[first : first + BATCH]
            for file, table in zip(
                (household_file, member_file),
                _batch(rng, caseload.rosters, first, batch, on),
                strict=True,
            ):
                file.write_table(table)
    return paths


def _batch(
    rng: np.random.Generator, rosters: Rosters, first: int, batch: tuple[Ints, Ints], on: date
) -> Iterator[pa.Table]:
    """Yield the households and the members of one batch: their rosters and provinces."""
    roster, province = batch
    count = len(roster)
    ids = np.array([f"hh_s{number:09d}" for number in range(first, first + count)])
    nation = _mixed(rng, count, "nationality", tuple(Nationality))
    yield _households(rng, ids, rosters.size[roster], nation, province)
    yield _members(rng, ids, rosters, roster, nation, on)


def _mixed(
    rng: np.random.Generator, count: int, axis: str, values: tuple[Need, ...] | tuple[str, ...]
) -> Ints:
    shares = margins.mix(axis)
    return rng.choice(len(values), size=count, p=[shares[value] for value in values])


def _households(
    rng: np.random.Generator, ids: Names, sizes: Ints, nation: Ints, province: Ints
) -> pa.Table:
    count = len(ids)
    holds = margins.mix("holds")
    towns = [districts()[code] for code in provinces()]
    chosen = rng.integers(0, 1 << 30, size=count)
    groups = [GROUPS.get(nationality, "international_protection") for nationality in Nationality]
    steps = rng.integers(0, INCOME_STEPS_MAX, size=count)
    income = np.where(rng.random(count) < NO_INCOME_SHARE, 0, steps * INCOME_STEP)
    columns = {
        "household_id": ids,
        "province": _named(list(provinces()), province),
        "district": [
            towns[at][number % len(towns[at])]
            for at, number in zip(province.tolist(), chosen.tolist(), strict=True)
        ],
        "population_group": _named(groups, nation),
        "declared_size": sizes.astype(np.int32),
        "has_roster": np.ones(count, dtype=bool),
        "rcsi": _within(rng, RCSI, _mixed(rng, count, "market", tuple(Need))),
        "months_rent_owed": _within(rng, MONTHS_OWED, _mixed(rng, count, "debit", tuple(Need))),
        "monthly_income_minor": income,
        "shelter": _named(list(SHELTERS), rng.choice(len(SHELTERS), count, p=SHELTER_SHARES)),
        "has_iban": rng.random(count) < holds["iban"],
        "has_voucher_card": rng.random(count) < holds["voucher_card"],
        "has_debit_card": rng.random(count) < holds["debit_card"],
    }
    return _table(columns, HOUSEHOLDS)


def _members(
    rng: np.random.Generator,
    ids: Names,
    rosters: Rosters,
    roster: Ints,
    nation: Ints,
    on: date,
) -> pa.Table:
    there = rosters.people[roster]
    sizes = rosters.size[roster]
    people = int(sizes.sum())
    starts = np.cumsum(sizes) - sizes
    household = np.repeat(np.arange(len(ids)), sizes)
    births, year_only = _births(rng, rosters.age[roster][there], on)
    disabled = rng.random(people) < DISABLED_SHARE
    degrees = np.where(disabled, rng.integers(2, 10, size=people) * 10, 0)
    columns = {
        "household_id": ids[household],
        "member_no": (np.arange(people) - starts[household] + 1).astype(np.int32),
        "relationship": _named(list(RELATIONSHIPS), rosters.relation[roster][there]),
        "sex": _named(list(SEXES), rosters.female[roster][there].astype(np.int64)),
        "birth_date": births,
        "birth_date_precision": _named(["exact", "year"], year_only.astype(np.int64)),
        "nationality": _named(
            [nationality.value for nationality in Nationality], nation[household]
        ),
        "disability_percent": degrees.astype(np.int32),
    }
    return _table(columns, MEMBERS)


def _table(columns: Mapping[str, object], schema: pa.Schema) -> pa.Table:
    frame = pd.DataFrame(columns)
    return pa.Table.from_pandas(
        frame, schema=schema, preserve_index=False
    ).replace_schema_metadata()


def _births(rng: np.random.Generator, ages: Ints, on: date) -> tuple[NDArray[np.datetime64], Bools]:
    """Return birth dates that give these ages on the day, and which are known to the year only."""
    years = (on.year - 1970) - ages
    january = years.astype("datetime64[Y]").astype("datetime64[D]")
    months = years.astype("datetime64[Y]").astype("datetime64[M]") + (on.month - 1)
    leap_day = (on.month, on.day) == (2, 29)
    birthday = months.astype("datetime64[D]") + (on.day - 1 - leap_day)
    exact = birthday - rng.integers(0, 365, size=len(ages)).astype("timedelta64[D]")
    year_only = rng.random(len(ages)) < YEAR_ONLY_SHARE
    return np.where(year_only, january, exact), year_only


def _within(rng: np.random.Generator, bounds: Mapping[Need, tuple[int, int]], needs: Ints) -> Ints:
    lows, highs = np.array([bounds[need] for need in Need]).T
    drawn: Ints = rng.integers(lows[needs], highs[needs] + 1)
    return drawn


def _named(names: Sequence[str], at: Ints) -> Names:
    """Return the name at each place."""
    return np.array(names)[at]
