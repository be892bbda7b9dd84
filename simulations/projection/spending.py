"""What each household spends, by a survey or by the stated distribution of the scenario.

Spending per person and month is a column of the population's file, or lognormal: a median that
facts of the household move, and a spread that no rule can see. Every household has it, whether it
qualifies or not, and the same one under every course: it is drawn by the seed, in the order of the
households.
"""

from pathlib import Path

import duckdb
import numpy as np

from eligibility.rules.columns import fact_name
from ledgers.money import parse_amount
from ledgers.problems import Problem
from simulations.distributions import LogNormal
from simulations.projection.running import Projection
from simulations.randomness import Floats, Ints, Randomness
from simulations.scenario.model import Expenditure

SPENDING_COLUMN_MISSING = Problem(
    "spending_column_missing",
    "The population's file has no column {column} of whole minor units.",
    "Add what a person of the household spends in a month, or state a median and sigma instead.",
)
HOME = "TRY"


def spending_of(projection: Projection, expenditure: Expenditure) -> Ints:
    """Return what each person of every household spends in a month, in minor units.

    Raises `spending_column_missing`.
    """
    people = projection.people
    if expenditure.column is not None:
        return _surveyed(people.households, expenditure.column)
    facts = _facts(projection, tuple(expenditure.effects))
    chances = Randomness(projection.scenario.seed).uniforms("spending", people.rows)[:, 0]
    median = parse_amount(str(expenditure.median), HOME)
    moved = np.zeros(people.rows)
    for name, effect in expenditure.effects.items():
        moved += np.float64(effect) * facts[name]
    sigma = expenditure.sigma
    if sigma is None:
        message = "spending that is stated has a sigma"
        raise ValueError(message)
    drawn = LogNormal(kind="log_normal", median=median, sigma=sigma).quantile(chances)
    spending: Ints = np.rint(drawn * np.exp(moved)).astype(np.int64)
    return spending


def _surveyed(households: Path, column: str) -> Ints:
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET enable_progress_bar = false")
        try:
            columns = connection.execute(
                f'SELECT "{column}"::BIGINT AS spending FROM read_parquet(?) ORDER BY household_id',
                [str(households)],
            ).fetchnumpy()
        except (duckdb.BinderException, duckdb.ConversionException):
            raise SPENDING_COLUMN_MISSING.refusal(column=column) from None
    spending = columns["spending"]
    if np.ma.is_masked(spending):
        raise SPENDING_COLUMN_MISSING.refusal(column=column)
    return _ints(spending)


def _facts(projection: Projection, names: tuple[str, ...]) -> dict[str, Floats]:
    """Return facts of the base pack for every household; what is not known counts as 0."""
    run = projection.base.loads.runs[0]
    if not names:
        return {}
    columns = ", ".join(f'coalesce("{fact_name(name)}", 0)::DOUBLE AS "{name}"' for name in names)
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET enable_progress_bar = false")
        found = connection.execute(
            f"SELECT {columns} FROM read_parquet(?) ORDER BY household_id", [str(run.decisions)]
        ).fetchnumpy()
    return {name: np.asarray(found[name], dtype=np.float64) for name in names}


def _ints(column: object) -> Ints:
    return np.asarray(column, dtype=np.int64)
