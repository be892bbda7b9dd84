"""The packs that come with the program say the same on every engine, and on Spark where it is.

`make proof-spark` installs Spark and sets `CVA_SPARK=required`: then its absence is a failure.
"""

import os
import random
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from eligibility.rules.checked import Rules, load_pack, rules_of
from eligibility.rules.terms import Const, Kind, OneOf, Term, every
from eligibility.snapshot import columns_of
from tests.eligibility.engines import Asked, Household, in_duckdb, in_postgres, in_rows, in_spark

PACKS = sorted((Path(__file__).parent.parent.parent / "eligibility" / "packs").glob("*.yaml"))
HOUSEHOLDS = 60
UNKNOWN_SHARE = 1 / 8


def roots(rules: Rules) -> Iterator[Term]:
    yield from (term for _, term in rules.facts)
    yield from (rule.term for rule in rules.criteria)
    yield from (rules.score, rules.amount.due)


def texts_of(rules: Rules) -> list[str]:
    """Texts that a rule of the pack asks for, and one that none does."""
    found = {"neither"}
    for root in roots(rules):
        for term in every(root):
            items = term.items if isinstance(term, OneOf) and isinstance(term.items, tuple) else ()
            consts = [term] if isinstance(term, Const) else [*items]
            found |= {const.value for const in consts if isinstance(const.value, str)}
    for parameter in rules.pack.parameters.values():
        for value in parameter.values.values():
            found |= (
                {item for item in value if isinstance(item, str)}
                if isinstance(value, tuple)
                else set()
            )
    return sorted(found)


def random_cases(rules: Rules, on: date, made: random.Random) -> list[Household]:
    """Households whose every column has values that matter, and some that are not known."""
    household, member = columns_of(rules)
    texts = texts_of(rules)

    def value(name: str, kind: Kind) -> Any:  # noqa: PLR0911 - by kind
        if name == "has_roster":
            return made.choice([True, True, True, False, None])
        if name == "birth_date_precision":
            return made.choice(["exact", "exact", "year", None])
        if made.random() < UNKNOWN_SHARE:
            return None
        if kind is Kind.BOOL:
            return made.random() < 2 / 3
        if kind is Kind.DATE:
            day = made.choice([on.day, made.randint(1, 28)])
            return date(on.year - made.randint(0, 80), made.choice([on.month, 1, 12]), min(day, 28))
        if kind is Kind.TEXT:
            return made.choice(["female", "male", "head", "SY", *texts])
        return made.choice([0, 1, 2, 3, 5, 19, 40, 60, 100, 150000])

    def row(columns: Mapping[str, Kind]) -> dict[str, Any]:
        return {name: value(name, kind) for name, kind in columns.items() if name != "household_id"}

    return [
        (row(household), [row(member) for _ in range(made.randint(0, 9))])
        for _ in range(HOUSEHOLDS)
    ]


def asked_of(path: Path) -> Asked:
    rules = rules_of(load_pack(path))
    starts = [max(parameter.values) for parameter in rules.pack.parameters.values()]
    on = max([date(2023, 11, 1), *starts])
    made = random.Random(path.stem)  # noqa: S311 - chance that can be repeated
    return Asked.of_rules(rules, random_cases(rules, on, made), on)


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_a_pack_says_the_same_in_rows_duckdb_and_postgresql(
    path: Path, app: psycopg.Connection
) -> None:
    asked = asked_of(path)
    rows = in_rows(asked)
    assert in_duckdb(asked) == rows
    assert in_postgres(asked, app) == rows


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if os.environ.get("CVA_SPARK") != "required":
        pytest.importorskip("pyspark", reason="Spark is not installed: make proof-spark")
    from pyspark.sql import SparkSession

    folder = tmp_path_factory.mktemp("spark")
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.warehouse.dir", str(folder))
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore:::pyspark")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_pack_says_the_same_in_spark(path: Path, spark: Any, tmp_path: Path) -> None:
    asked = asked_of(path)
    assert in_spark(asked, spark, tmp_path) == in_rows(asked)
