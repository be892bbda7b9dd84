"""What each household spends, by a survey or by the stated distribution of the scenario.

Spending per person and month is a column of the population's file, or lognormal: a median that
facts of the household move, and a spread that no rule can see. Every household has it, whether it
qualifies or not, and the same one under every course: it is drawn by the seed, in the order of the
households.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np

from eligibility.rules.columns import fact_name
from eligibility.selection import ALL, stratum_of
from ledgers.money import parse_amount
from ledgers.problems import Problem
from simulations.distributions import LogNormal
from simulations.projection.running import Projection
from simulations.projection.selecting import LISTED, MILLION, falling, places_of, quoted
from simulations.randomness import Bools, Floats, Ints, Randomness
from simulations.scenario.model import Expenditure

SPENDING_COLUMN_MISSING = Problem(
    "spending_column_missing",
    "The population's file has no column {column} of whole minor units.",
    "Add what a person of the household spends in a month, or state a median and sigma instead.",
)
HOME = "TRY"


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Every household under one course now, in the order of their ids.

    `rank` is the place in the rules' order among those who stand in it (0 for the others);
    `within` are those for whom there are places, whatever the budget; `amount_minor` is 0 for those
    who are not entitled.
    """

    people: Ints
    qualifies: Bools
    selected: Bools
    within: Bools
    rank: Ints
    amount_minor: Ints
    households: Ints  # how many it stands for, in whole ones


def standing_of(projection: Projection, course: str) -> Standing:
    """Return how every household stands under a course in the first month."""
    loads = projection.outcomes[course].loads
    run, selection = loads.runs[0], loads.course.pack.selection
    stratum = stratum_of(selection)
    quota = f"'{ALL}'" if stratum is None else f"coalesce(h.{stratum}, '')"
    places = ", ".join(f"('{name}', {count})" for name, count in places_of(selection).items())
    within = (
        "d.selected"
        if selection.budget is None
        else f"d.selected OR sum({projection.people.weight}) OVER (PARTITION BY {quota}, d.rank IS"
        f" NULL ORDER BY d.rank) * {projection.people.scale[0].item()} <= v.places"
    )
    weight = f"({projection.people.weight} * {MILLION})::BIGINT"
    stands = "(d.rank IS NOT NULL OR d.selected)"
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET enable_progress_bar = false")
        columns = connection.execute(
            "SELECT greatest(d.people, 1) AS people, d.status = 'eligible' AS qualifies,"
            f" d.selected, coalesce(({within}) AND {stands}, false) AS within,"
            f" CASE WHEN {stands} THEN row_number() OVER (PARTITION BY {stands}"
            f" ORDER BY d.reason LIKE '{LISTED}' DESC, d.score {falling(selection)}, d.tie_key,"
            " d.household_id) ELSE 0 END AS rank,"
            f" coalesce(d.amount_minor, 0) AS amount_minor, {weight} AS weight"
            f" FROM read_parquet('{quoted(run.decisions)}') d"
            f" JOIN read_parquet('{quoted(projection.people.households)}') h USING (household_id)"
            f" LEFT JOIN (VALUES {places}) v (quota, places) ON v.quota = {quota}"
            " ORDER BY d.household_id"
        ).fetchnumpy()
    return Standing(
        _ints(columns["people"]),
        np.asarray(columns["qualifies"], dtype=np.bool_),
        np.asarray(columns["selected"], dtype=np.bool_),
        np.asarray(columns["within"], dtype=np.bool_),
        _ints(columns["rank"]),
        _ints(columns["amount_minor"]),
        whole_of(_ints(columns["weight"])),
    )


def whole_of(weights: Ints) -> Ints:
    """Return whole households of weights in millionths, so that no prefix is off by more than half.

    Weights below a half are not lost: of ten rows of 0.4, four stand for one household each.
    """
    upto = (np.cumsum(weights) + MILLION // 2) // MILLION
    return _ints(np.diff(upto, prepend=0))


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
