"""The answers of a batch of households: births, names, numbers, facts of need.

Columns are drawn with numpy and put together row by row. Age is exact on the reference date.
About one birth date in six is known to the year only and then stands on 1 January. The head always
has an identity number with check digits; others may have a passport or nothing. Shares without a
source are assumptions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from simulations.population.draft import FAULTS, NATIONALITIES, NEEDS, Disability, Draft
from simulations.population.identifiers import Numbers
from simulations.population.margins import Ints, districts, provinces
from simulations.population.names import Names, Script
from simulations.population.rosters import RELATIONSHIPS, Bools, Relation, Rosters
from simulations.population.shape import Nationality, Need

OPENED_BEFORE = timedelta(days=60)  # registration opens this long before the reference date
RCSI = {Need.PRIORITY: (40, 56), Need.ELIGIBLE: (19, 39), Need.NOT: (0, 18)}
MONTHS_OWED = {Need.PRIORITY: (6, 24), Need.ELIGIBLE: (2, 5), Need.NOT: (0, 1)}
SHELTERS = ("flat", "shared", "tent", "unfinished")
SHELTER_SHARES = (0.62, 0.24, 0.07, 0.07)
INCOME_STEP, INCOME_STEPS_MAX = 50, 50_000  # kuruş: up to 25,000 TRY in steps of half a lira
NO_INCOME_SHARE = 0.25
YEAR_ONLY_SHARE = 0.17
DISABLED_SHARE = 0.045
OWN_FAMILY_NAME_SHARE = 0.5  # of members who are neither spouse, child, parent nor sibling
LATIN_SHARE = 0.4  # of households from Syria and Iraq
ID_SHARES = (0.90, 0.95)  # foreigner id up to the first, passport up to the second, then nothing

GROUPS = {Nationality.SY: "syrian_tp", Nationality.TR: "host", Nationality.XX: "migrant"}
LANGUAGES = {Script.ARABIC: "ar", Script.LATIN: "ar", Script.TURKISH: "tr", Script.ENGLISH: "en"}
SCRIPTS = {
    Nationality.SY: Script.ARABIC,
    Nationality.IQ: Script.ARABIC,
    Nationality.TR: Script.TURKISH,
    Nationality.XX: Script.ENGLISH,
}
ID_TYPES = ("tr_foreigner_id", "passport", "none", "tr_national_id")
FOREIGNER, PASSPORT, NO_ID, NATIONAL = range(4)
SEXES = ("male", "female")
PRECISIONS = ("exact", "year")
QUARTERS = ("Cumhuriyet", "Yeni", "Fatih", "Barbaros", "Yıldız", "Bahçelievler", "Gazi")

Answers = dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A slice of the draft with what it needs: its place, its people, its random source."""

    draft: Draft
    rosters: Rosters
    first_household: int
    first_person: int
    rng: np.random.Generator
    scripts: Ints

    @classmethod
    def of(cls, draft: Draft, rosters: Rosters, first: tuple[int, int], seed: int) -> "Batch":
        """Return the batch whose first household and person have the indexes `first`."""
        rng = np.random.default_rng([seed, 3, first[0]])
        usual = [int(SCRIPTS.get(nation, Script.LATIN)) for nation in NATIONALITIES]
        scripts = np.array(usual)[draft.nationality]
        latin = (scripts == Script.ARABIC) & (rng.random(len(draft)) < LATIN_SHARE)
        return cls(draft, rosters, *first, rng, np.where(latin, int(Script.LATIN), scripts))

    @property
    def sizes(self) -> Ints:
        """Members of each household."""
        return self.rosters.size[self.draft.roster]

    @property
    def people(self) -> Bools:
        """Which of the 12 places of each household hold somebody."""
        return self.rosters.people[self.draft.roster]

    def of_people(self, by_roster: Ints) -> Ints:
        """Return a column of the rosters for every person of the batch."""
        column: Ints = by_roster[self.draft.roster][self.people]
        return column

    def of_households(self, by_household: Ints) -> Ints:
        """Repeat a column of the households for every person of the batch."""
        return np.repeat(by_household, self.sizes)


def household_answers(batch: Batch, names: Names, numbers: Numbers) -> list[Answers]:
    """Return the answers of each household but for its cards and the day of consent."""
    draft, rng, count = batch.draft, batch.rng, len(batch.draft)
    steps = rng.integers(0, INCOME_STEPS_MAX, size=count)
    income = np.where(rng.random(count) < NO_INCOME_SHARE, 0, steps * INCOME_STEP)
    columns = zip(
        range(count),
        draft.province.tolist(),
        draft.nationality.tolist(),
        batch.scripts.tolist(),
        batch.sizes.tolist(),
        _within(rng, RCSI, draft.market),
        _within(rng, MONTHS_OWED, draft.debit),
        income.tolist(),
        rng.choice(len(SHELTERS), size=count, p=SHELTER_SHARES).tolist(),
        _latin_names(batch, names),
        rng.integers(0, 1 << 30, size=count).tolist(),
        strict=True,
    )
    rows = []
    for (
        place,
        province,
        nation,
        script,
        size,
        rcsi,
        owed,
        kurus,
        shelter,
        latin,
        any_number,
    ) in columns:
        code = provinces()[province]
        towns = districts()[code]
        lira, rest = divmod(kurus, 100)
        rows.append(
            {
                "consent_given": "yes",
                "consent_language": LANGUAGES[script],
                "province": code,
                "district": towns[any_number % len(towns)],
                "address": _address(any_number),
                "declared_size": str(size),
                "population_group": GROUPS.get(NATIONALITIES[nation], "international_protection"),
                "phone": numbers.phone(int(draft.phone_of[place])),
                "monthly_income_try": f"{lira}.{rest:02d}",
                "rcsi": str(rcsi),
                "months_rent_owed": str(owed),
                "shelter": SHELTERS[shelter],
                "iban": (iban := _iban(batch, numbers, place)),
                "account_holder": latin if iban and script == Script.ARABIC else "",
            }
        )
    return rows


def member_answers(
    batch: Batch, names: Names, numbers: Numbers, reference_date: date
) -> list[list[Answers]]:
    """Return the answers of the members of each household, the head first."""
    relation = batch.of_people(batch.rosters.relation)
    female = batch.of_people(batch.rosters.female.astype(np.int64))
    households = batch.of_households(np.arange(len(batch.draft)))
    scripts = batch.of_households(batch.scripts)
    nations = batch.of_households(batch.draft.nationality)
    years_only, births = _births(batch, reference_date)
    id_types, id_numbers = _identities(batch, relation, nations, numbers)
    columns = zip(
        names.given_for(batch.rng, scripts, female, households),
        names.family_for(scripts, _family_chances(batch, relation)),
        relation.tolist(),
        female.tolist(),
        births,
        years_only.tolist(),
        nations.tolist(),
        id_types.tolist(),
        id_numbers,
        _disabilities(batch).tolist(),
        strict=True,
    )
    people = [
        {
            "given_name": given,
            "family_name": family,
            "relationship": RELATIONSHIPS[related],
            "sex": SEXES[sex],
            "birth_date": birth,
            "birth_date_precision": PRECISIONS[year],
            "nationality": NATIONALITIES[nation].value,
            "id_type": ID_TYPES[kind],
            "id_number": number,
            "disability_percent": str(degree),
        }
        for given, family, related, sex, birth, year, nation, kind, number, degree in columns
    ]
    ends = np.cumsum(batch.sizes)
    bounds = zip((ends - batch.sizes).tolist(), ends.tolist(), strict=True)
    return [people[start:end] for start, end in bounds]


def _within(
    rng: np.random.Generator, bounds: Mapping[Need, tuple[int, int]], needs: Ints
) -> list[int]:
    lows, highs = np.array([bounds[need] for need in NEEDS]).T
    drawn: list[int] = rng.integers(lows[needs], highs[needs] + 1).tolist()
    return drawn


def _address(number: int) -> str:
    quarter = QUARTERS[number % len(QUARTERS)]
    return f"{quarter} Mah. {number // 7 % 9000 + 1000}. Sok. No {number // 11 % 90 + 1}"


def _latin_names(batch: Batch, names: Names) -> list[str]:
    """Return a name in Latin letters for each household, as a bank would write it."""
    count = len(batch.draft)
    script = np.full(count, int(Script.LATIN))
    given = names.given_for(batch.rng, script, np.zeros(count, dtype=np.int64), np.arange(count))
    family = names.family_for(script, batch.rng.random(count))
    return [f"{first} {last}" for first, last in zip(given, family, strict=True)]


def _iban(batch: Batch, numbers: Numbers, place: int) -> str:
    if not batch.draft.iban[place]:
        return ""
    kind = int(batch.draft.fault[place])
    return numbers.iban(batch.first_household + place, FAULTS[kind] if kind >= 0 else None)


def _births(batch: Batch, reference_date: date) -> tuple[Ints, list[str]]:
    """Return whether only the year is known, and the birth dates."""
    ages = batch.of_people(batch.rosters.age)
    years = (reference_date.year - 1970) - ages
    january = years.astype("datetime64[Y]").astype("datetime64[D]")
    month = years.astype("datetime64[Y]").astype("datetime64[M]") + (reference_date.month - 1)
    leap_day = (reference_date.month, reference_date.day) == (2, 29)
    birthday = month.astype("datetime64[D]") + (reference_date.day - 1 - leap_day)
    exact = birthday - batch.rng.integers(0, 365, size=len(ages)).astype("timedelta64[D]")
    # Nobody is registered before they are born.
    latest = np.datetime64(reference_date - OPENED_BEFORE - timedelta(days=1), "D")
    exact = np.minimum(exact, latest)
    year_only = (batch.rng.random(len(ages)) < YEAR_ONLY_SHARE) & (january <= latest)
    births: list[str] = np.datetime_as_string(np.where(year_only, january, exact)).tolist()
    return year_only.astype(np.int64), births


def _identities(
    batch: Batch, relation: Ints, nations: Ints, numbers: Numbers
) -> tuple[Ints, list[str]]:
    chance = batch.rng.random(len(relation))
    chance[relation == Relation.HEAD] = 0
    types = np.searchsorted(ID_SHARES, chance, side="right")
    types[nations == NATIONALITIES.index(Nationality.TR)] = NATIONAL
    index = batch.first_person + np.arange(len(relation))
    values = np.choose(
        types,
        [
            numbers.foreigner_ids(index),
            index,
            np.zeros_like(index),
            numbers.national_ids(index),
        ],
    )
    texts = [
        f"X{value:09d}" if kind == PASSPORT else str(value or "")
        for kind, value in zip(types.tolist(), values.tolist(), strict=True)
    ]
    return types, texts


def _family_chances(batch: Batch, relation: Ints) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return where each family name stands in its pool: the head's, or one of their own.

    Wives from Türkiye share the head's family name, others keep theirs.
    """
    own = batch.rng.random(len(relation))
    shared = np.repeat(batch.rng.random(len(batch.draft)), batch.sizes)
    host = batch.of_households(batch.draft.nationality) == NATIONALITIES.index(Nationality.TR)
    keeps = (relation == Relation.SPOUSE) & ~host
    keeps |= (relation == Relation.OTHER) & (own < OWN_FAMILY_NAME_SHARE)
    return np.where(keeps, own, shared)


def _disabilities(batch: Batch) -> Ints:
    """Return each person's degree of disability in percent: 0, or 20 to 90."""
    rng = batch.rng
    how = batch.of_households(batch.draft.disability)
    percent = np.where(
        rng.random(len(how)) < DISABLED_SHARE, rng.integers(2, 10, size=len(how)) * 10, 0
    )
    percent = np.where(how == Disability.BELOW_40, np.minimum(percent, 30), percent)
    starts = np.cumsum(batch.sizes) - batch.sizes
    chosen = starts + rng.integers(0, batch.sizes)
    chosen = chosen[batch.draft.disability == Disability.SOMEBODY_40]
    percent[chosen] = rng.integers(4, 10, size=len(chosen)) * 10
    return percent
