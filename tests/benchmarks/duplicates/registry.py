"""A registry of Türkiye that was never registered: people, households, and who is who.

Everything follows from `registry.yaml` and a number of records; the same again is the same
registry. It is made in arrays: a million records in under a minute. Names are spelled by
`spellings`, which knows nothing of how names are compared.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from numpy.random import Generator

from tests.benchmarks.duplicates.again import second_registrations
from tests.benchmarks.duplicates.close import close_families
from tests.benchmarks.duplicates.families import first_registrations
from tests.benchmarks.duplicates.numbers import Days, Issued, Texts, Truths, Whole, new_year, typo
from tests.benchmarks.duplicates.records import (
    FAMILY,
    FEMALE,
    HOST,
    MALE,
    Records,
    Vocabulary,
)
from tests.benchmarks.duplicates.spellings import SCRIPT_HABITS

PARAMETERS = Path(__file__).with_name("registry.yaml")
FULL = 200_000  # records for which the parameters state the number of close families
ROLES = np.array(["head", "spouse", "child", "parent"], dtype=object)
SEXES = np.array(["male", "female"], dtype=object)
PROVINCES = ("TR-34", "TR-27", "TR-31", "TR-63", "TR-01", "TR-33", "TR-16", "TR-35")
KINDS = np.array(["tr_national_id", "tr_foreigner_id", "none"], dtype=object)


def parameters() -> dict[str, Any]:
    """Return what `registry.yaml` says."""
    stated: dict[str, Any] = yaml.safe_load(PARAMETERS.read_text(encoding="utf-8"))
    return stated


@dataclass(frozen=True)
class Registry:
    """What is handed to linkage, and what it is not told.

    `people` has the columns of linkage, a row for each record. `person` says who each row is,
    `origin` of which group (`ORIGINS`), `native` whether it is written in Arabic letters, `second`
    whether it is a second registration, `close` whether it is of the close families.
    """

    people: pa.Table
    person: Whole
    origin: Whole
    native: Truths
    second: Truths
    close: Truths

    def true_pairs(self) -> tuple[Whole, Whole]:
        """Return the rows of every two records of one person, the smaller row first."""
        order = np.argsort(self.person, kind="stable")
        ordered = self.person[order]
        pairs = [np.empty((2, 0), dtype=np.int64)]
        for step in range(1, len(order)):
            at = np.flatnonzero(ordered[:-step] == ordered[step:])
            if not len(at):
                break
            pairs.append(np.stack([order[at], order[at + step]]))
        left, right = np.concatenate(pairs, axis=1)
        return np.minimum(left, right), np.maximum(left, right)


def generate(records: int = FULL) -> Registry:
    """Return a registry of about as many `records`."""
    stated = parameters()
    generator = np.random.default_rng(stated["seed"])
    names, issued = Vocabulary(generator, stated["zipf"]), Issued(generator)
    close_households = max(round(stated["close_families"]["households"] * records / FULL), 2)
    close_people = close_households // 2 * 7
    people = round((records - close_people) / (1 + stated["again"]["people"]))
    first = first_registrations(generator, stated, names, issued, people)
    close = close_families(
        generator,
        stated,
        names,
        issued,
        close_households,
        len(first),
        int(first.household.max()) + 1,
    )
    second = second_registrations(generator, stated["again"], first, int(close.household.max()) + 1)
    return _written(generator, stated, names, [first, close, second])


def _written(
    generator: Generator, stated: dict[str, Any], names: Vocabulary, parts: list[Records]
) -> Registry:
    """Write the names and the days, and shuffle everything."""
    every = Records.joined(parts)
    second = np.arange(len(every)) >= len(every) - len(parts[-1])
    written = _names(generator, stated["again"], names, every, second)
    order = generator.permutation(len(every))
    every, second = every.taken(order), second[order]
    return Registry(
        people=_table(
            generator, stated, every, {name: texts[order] for name, texts in written.items()}
        ),
        person=every.person, origin=every.origin,
        native=(every.habit < SCRIPT_HABITS) & (every.origin != HOST), second=second,
        close=every.close,
    )  # fmt: skip


def _names(
    generator: Generator, again: dict[str, Any], names: Vocabulary, every: Records, second: Truths
) -> dict[str, Texts]:
    written = {
        "given_name": names.spelled(every.given, every.sex, every.habit),
        "family_name": names.spelled(every.family, FAMILY, every.habit),
        "father_name": names.spelled(every.father, MALE, every.habit),
        "mother_name": names.spelled(every.mother, FEMALE, every.habit),
    }
    for texts in written.values():
        for row in np.flatnonzero(second & (generator.random(len(every)) < again["typo"])):
            texts[row] = typo(generator, texts[row])
    swapped = second & (generator.random(len(every)) < again["swapped"])
    given, family = written["given_name"], written["family_name"]
    given[swapped], family[swapped] = family[swapped], given[swapped]
    return written


def _table(
    generator: Generator, stated: dict[str, Any], every: Records, written: dict[str, Texts]
) -> pa.Table:
    count = len(every)
    rows = np.char.add("r", np.char.zfill(np.arange(count).astype("U8"), 8))
    households = np.unique(every.household, return_inverse=True)[1]
    kind = np.where(every.identity == None, 2, (every.origin != HOST).astype(int))  # noqa: E711 - of each
    nothing = np.full(count, None, dtype=object)
    columns: dict[str, object] = {
        "record_id": rows,
        "household_id": np.char.add("h", households.astype("U8")),
        **written,
        "sex": SEXES[every.sex],
        "birth_date": np.datetime_as_string(every.born, unit="D"),
        "birth_date_precision": _precision(generator, stated, every.born),
        "id_type": KINDS[kind],
        "id_number": every.identity,
        "registration_number": every.registration,
        "phone": every.phone,
        "iban": nothing,
        "card_ref": nothing,
        "province": np.array(PROVINCES, dtype=object)[every.district % len(PROVINCES)],
        "district": np.char.add("District ", every.district.astype("U4")),
        "address": nothing,
        "relationship": ROLES[every.role],
    }
    return pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()})


def _precision(generator: Generator, stated: dict[str, Any], born: Days) -> Texts:
    """Return how exact each day is said to be: clerks mark only some of the years as years."""
    said = (born == new_year(born)) & (generator.random(len(born)) < stated["precision_said"])
    return np.where(said, "year", "exact").astype(object)
