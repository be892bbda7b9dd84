"""Who is to be made: one row of small numbers per household, drawn before the first name.

Both modes end here: a *shape* fixes the rows to the household, a *free* population draws them from
published margins and the shares in `free_mix.csv`. What is planted is counted, not tossed: so many
households of so many, at random places, and no household has two things planted.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import cast

import numpy as np

from ledgers.problems import Problem
from simulations.population import margins
from simulations.population.margins import Ints, provinces
from simulations.population.rosters import Care, Rosters
from simulations.population.shape import Fault, Flaw, Nationality, Need, Shape, Stratum

COUNT_OUT_OF_RANGE = Problem(
    "population_count_out_of_range",
    "A population of {count:household|households} cannot be made.",
    "Ask for 1 to {most} households: identity numbers beyond would leave the fictional range.",
)
SEED_NEGATIVE = Problem(
    "population_seed_negative",
    "The seed {seed} is below zero.",
    "Give a whole number from 0.",
)

HOUSEHOLDS_MAX = 400_000  # of 12 people at most: 4.8 of the 5 million foreigner ids
FREE = "free"

NEEDS = tuple(Need)
NATIONALITIES = tuple(Nationality)
FLAWS = tuple(Flaw)
FAULTS = tuple(Fault)


class Disability(IntEnum):
    """Which degrees of disability a household may have."""

    ANY = 0  # as it comes
    BELOW_40 = 1  # nobody has 40 % or more
    SOMEBODY_40 = 2  # somebody has 40 % or more


class Again(IntEnum):
    """Whether a household is registered a second time."""

    NO = 0  # once
    ALIKE = 1  # with the same words
    OTHER_DISTRICT = 2  # with another spelling of the district
    OTHER_NAMES = 3  # with other spellings of names, and some identity numbers missing


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """Columns of equal length; numbers are places in the tuples above, -1 is none."""

    stratum: Ints
    province: Ints
    nationality: Ints
    roster: Ints
    market: Ints
    debit: Ints
    disability: Ints
    voucher_card: Ints
    debit_card: Ints
    iban: Ints
    again: Ints
    flaw: Ints
    fault: Ints
    phone_of: Ints  # the household whose phone is given

    def __len__(self) -> int:
        return len(self.stratum)

    def rows(self, start: int, stop: int) -> "Draft":
        """Return the households from `start` to before `stop`."""
        return Draft(*(column[start:stop] for column in self._columns()))

    def _columns(self) -> list[Ints]:
        return [cast("Ints", getattr(self, column.name)) for column in fields(self)]


def drafted(source: Shape | int, seed: int, rosters: Rosters) -> Draft:
    """Return the draft of a shape or of a free population of `source` households.

    Refuses a number of households that the ranges of fictional numbers do not hold.
    """
    count = source.households if isinstance(source, Shape) else source
    if not 1 <= count <= HOUSEHOLDS_MAX:
        raise COUNT_OUT_OF_RANGE.refusal(count=count, most=HOUSEHOLDS_MAX)
    rng = np.random.default_rng([seed, 2])
    draft = (
        _shaped(source, rng, rosters) if isinstance(source, Shape) else _free(count, rng, rosters)
    )
    return _ready_to_be_spoilt(draft, rng)


def _shaped(shape: Shape, rng: np.random.Generator, rosters: Rosters) -> Draft:
    parts = [
        _stratum_columns(number, stratum, rng, rosters)
        for number, stratum in enumerate(shape.strata)
    ]
    order = rng.permutation(shape.households)
    columns = [np.concatenate(part)[order] for part in zip(*parts, strict=True)]
    columns.append(np.arange(shape.households))
    return Draft(*columns)


def _stratum_columns(
    number: int, stratum: Stratum, rng: np.random.Generator, rosters: Rosters
) -> list[Ints]:
    """Return the columns of one stratum, in the order of `Draft`, but for `phone_of`."""
    households = stratum.households
    sizes = margins.exact_sizes(rng, households, stratum.people)
    if stratum.bank:
        elder = rng.random(households) < 0.5  # noqa: PLR2004 - half by age, half by disability
        cares = np.where(elder, int(Care.ELDER), -1)
        disability = np.where(elder, int(Disability.ANY), int(Disability.SOMEBODY_40))
    else:
        cares = np.full(households, int(Care.CALM))
        disability = np.full(households, int(Disability.BELOW_40))
    again, flaw, fault = _planted(stratum)
    same = (
        number,
        provinces().index(stratum.province),
        NATIONALITIES.index(stratum.nationality),
    )
    market, debit = NEEDS.index(stratum.market), NEEDS.index(stratum.debit)
    held = (stratum.market is not Need.NOT, stratum.debit is not Need.NOT, stratum.bank)
    return [
        *(np.full(households, value) for value in same),
        rosters.drawn(rng, sizes, cares),
        *(np.full(households, value) for value in (market, debit)),
        disability,
        *(np.full(households, int(value)) for value in held),
        again,
        flaw,
        fault,
    ]


def _planted(stratum: Stratum) -> tuple[Ints, Ints, Ints]:
    """Return again, flaw and fault: each on households of its own, from the first one on."""
    again = np.zeros(stratum.households, dtype=np.int64)
    again[: stratum.twice] = Again.ALIKE
    again[: stratum.other_district_spelling] = Again.OTHER_DISTRICT
    flaw, fault = (np.full(stratum.households, -1) for _ in range(2))
    place = stratum.twice
    for kind, count in sorted(stratum.planted.items()):
        flaw[place : place + count] = FLAWS.index(kind)
        place += count
    for what, count in sorted(stratum.faults.items()):
        fault[place : place + count] = FAULTS.index(what)
        place += count
    return again, flaw, fault


def _free(count: int, rng: np.random.Generator, rosters: Rosters) -> Draft:
    sizes = rng.choice(np.arange(1, margins.SIZE_MAX + 1), size=count, p=margins.size_shares())
    holds = margins.mix("holds")
    order = rng.permutation(count)
    again = np.zeros(count, dtype=np.int64)
    flaw = np.full(count, -1)
    place = round(count * margins.mix("registered")["twice"])
    again[order[:place]] = Again.OTHER_NAMES
    for kind, share in margins.mix("flaw").items():
        upto = place + round(count * share)
        flaw[order[place:upto]] = FLAWS.index(Flaw(kind))
        place = upto
    iban = rng.random(count) < holds["iban"]
    return Draft(
        stratum=np.zeros(count, dtype=np.int64),
        province=rng.choice(len(provinces()), size=count, p=margins.province_shares()),
        nationality=_mixed(rng, count, "nationality", NATIONALITIES),
        roster=rosters.drawn(rng, sizes, np.full(count, -1)),
        market=_mixed(rng, count, "market", NEEDS),
        debit=_mixed(rng, count, "debit", NEEDS),
        disability=np.full(count, int(Disability.ANY)),
        voucher_card=(rng.random(count) < holds["voucher_card"]).astype(np.int64),
        debit_card=(rng.random(count) < holds["debit_card"]).astype(np.int64),
        iban=iban.astype(np.int64),
        again=again,
        flaw=flaw,
        fault=np.full(count, -1),
        phone_of=np.arange(count),
    )


def _mixed(
    rng: np.random.Generator,
    count: int,
    axis: str,
    values: tuple[Need, ...] | tuple[Nationality, ...],
) -> Ints:
    shares = margins.mix(axis)
    return rng.choice(len(values), size=count, p=[shares[value] for value in values])


def _ready_to_be_spoilt(draft: Draft, rng: np.random.Generator) -> Draft:
    """Let shared phones be those of unspoilt households; give an IBAN to those who spoil it."""
    draft.iban[draft.flaw == FLAWS.index(Flaw.DOUBTFUL_IBAN)] = 1
    sharing = np.flatnonzero(draft.flaw == FLAWS.index(Flaw.SHARED_PHONE))
    owners = np.flatnonzero((draft.flaw < 0) & (draft.again == Again.NO))
    if len(owners):
        draft.phone_of[sharing] = rng.choice(owners, size=len(sharing))
    return draft
