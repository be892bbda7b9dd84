"""What the rule packs say of the population, on the days on which they are run.

The released rules themselves decide (`eligibility.assess`), at the first day of month 0, of every
so many months after it and of each month in which a parameter has another value: so people grow
older and parameters change as they really will. Between two such days eligibility stays as it was.

Households that qualify are counted by *stratum*: the quota's stratum, the province, and the amount
they are entitled to. What changes from one day to the next comes out of comparing the decisions
household by household: those who cease to qualify in their stratum, and those who come to.

Where the population is a sample, each household has a weight: how many it stands for. Places and
quotas are filled by weight then, in the same order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from glob import escape
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq

from eligibility.assessment import assess
from eligibility.decisions import AssessmentTotals
from eligibility.rules.checked import parameters_on
from eligibility.rules.pack import RulePack
from eligibility.selection import PLACES_MAX, stratum_of
from ledgers.problems import Problem
from simulations.dynamics import Flows
from simulations.months import months_from
from simulations.randomness import Floats, Ints
from simulations.scenario.reading import Course

POPULATION_WEIGHTS = Problem(
    "population_weights",
    "{households:household of the population has|households of the population have} no weight"
    " above zero.",
    "Give every household a weight above zero: how many households it stands for.",
)
POPULATION_NOBODY = Problem(
    "population_nobody",
    "Nobody of the population qualifies under the rules of {course} in any month.",
    "Check that the population and the rules belong together: provinces, inputs, parameters.",
)

WEIGHT = "weight"
MEMORY_MB = 1024
THREADS = 2


@dataclass(frozen=True, slots=True)
class People:
    """The population: the two files of a snapshot, how many households it stands for.

    `scale` is how many households one row stands for; where the file has a column `weight`, each
    row's own weight counts beside it.
    """

    households: Path
    members: Path
    scale: Floats
    is_weighted: bool
    rows: int

    @classmethod
    def of(cls, households: Path, members: Path, represents: int | None = None) -> "People":
        """Return the population of two files. Raises `population_weights`."""
        rows = pq.read_metadata(households).num_rows
        is_weighted = WEIGHT in pq.read_schema(households).names
        total = np.float64(rows)
        if is_weighted:
            weights = pq.read_table(households, columns=[WEIGHT]).column(WEIGHT).to_numpy()
            wrong = int(np.count_nonzero(~(weights > 0)))
            if wrong:
                raise POPULATION_WEIGHTS.refusal(households=wrong)
            total = weights.sum()
        scale = np.array([represents / total if represents else 1.0])
        return cls(households, members, scale, is_weighted, rows)

    @property
    def total(self) -> int:
        """How many households it stands for."""
        if not self.is_weighted:
            return int(np.rint(self.rows * self.scale[0]))
        weights = pq.read_table(self.households, columns=[WEIGHT]).column(WEIGHT).to_numpy()
        return int(np.rint(weights.sum() * self.scale[0]))

    @property
    def is_exact(self) -> bool:
        """Whether every row is one household."""
        return not self.is_weighted and self.scale[0] == 1


@dataclass(frozen=True, slots=True)
class RuleRun:
    """The decisions of one day, in a Parquet file, and what they come to."""

    month: int
    on: date
    decisions: Path
    totals: AssessmentTotals


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """The strata of a course: names, amounts in minor units, mean numbers of people."""

    quota: tuple[str, ...]
    province: tuple[str, ...]
    amounts: Ints
    people: Floats

    def __len__(self) -> int:
        return len(self.amounts)


@dataclass(frozen=True, slots=True, eq=False)
class Caseloads:
    """What one course's rules give the projection.

    `flows` are households by stratum; `selected` (months × strata) those within the places, by the
    latest rules; `places` the places of each quota stratum, None where they do not run out.
    """

    course: Course
    runs: tuple[RuleRun, ...]
    strata: Strata
    flows: Flows
    selected: Floats
    places: dict[str, int] = field(default_factory=dict)


def rule_months(packs: Sequence[RulePack], start: date, months: int, every: int) -> list[int]:
    """Return the months in which rules are run: every so many, and where a parameter changes."""
    days = months_from(start, months)
    at = set(range(0, months, every))
    for pack in packs:
        values = [parameters_on(pack, day) for day in days]
        at |= {month for month in range(1, months) if values[month] != values[month - 1]}
    return sorted(at)


def run_rules(
    course: Course,
    people: People,
    days: Sequence[tuple[int, date]],
    seed: str,
    folder: Path,
) -> Iterator[RuleRun]:
    """Run the course's rules on each of the days (month, first day); yield each run.

    `seed` is the published seed of the draw of lots. Raises what `assess` raises.
    """
    for month, on in days:
        out = folder / f"{course.code}-{month:03d}.parquet"
        totals = assess(
            people.households, people.members, course.pack, on, out, seed=seed, spill=folder,
            memory_mb=MEMORY_MB, threads=THREADS,
        )  # fmt: skip
        if not people.is_exact:
            _select_by_weight(out, people, course.pack)
        yield RuleRun(month, on, out, totals)


def _select_by_weight(decisions: Path, people: People, pack: RulePack) -> None:
    """Fill places by weight, in the order of the rules: whoever still fits wholly is in.

    The decisions are written again with who is selected; all else stays.
    """
    stratum = stratum_of(pack.selection)
    by = "''" if stratum is None else f"coalesce(h.{stratum}, '')"
    rows = ", ".join(f"('{quota}', {count})" for quota, count in sorted(_places(pack).items()))
    fresh = decisions.with_suffix(".fresh")
    with duckdb.connect(":memory:", config={"threads": THREADS}) as connection:
        connection.execute(
            "COPY (WITH placed AS (SELECT d.household_id, v.places, sum("
            f"{_weight(people)}) OVER (PARTITION BY d.status, {by}"
            " ORDER BY d.score DESC, d.tie_key, d.household_id) AS upto"
            f" FROM read_parquet('{_file(decisions)}') d"
            f" JOIN read_parquet('{_file(people.households)}') h USING (household_id)"
            f" LEFT JOIN (VALUES {rows}) v (quota, places) ON v.quota = {by}"
            " WHERE d.status = 'eligible')"
            " SELECT d.* REPLACE (coalesce(p.upto * $scale <= p.places, false) AS selected,"
            " CASE WHEN d.status <> 'eligible' THEN d.reason"
            " WHEN p.upto * $scale <= p.places THEN 'selected' ELSE 'waiting' END AS reason)"
            f" FROM read_parquet('{_file(decisions)}') d LEFT JOIN placed p USING (household_id)"
            f" ORDER BY d.household_id) TO '{_file(fresh)}' (FORMAT parquet, COMPRESSION zstd)",
            {"scale": people.scale.item()},
        )
    fresh.replace(decisions)


def _weight(people: People) -> str:
    """Return a household's weight as SQL; exact, so that the order of adding does not matter."""
    return f"CAST(h.{WEIGHT} AS DECIMAL(18, 6))" if people.is_weighted else "1"


def caseloads_of(course: Course, runs: Sequence[RuleRun], people: People, months: int) -> Caseloads:
    """Return the strata and flows that the runs of a course come to.

    Raises `population_nobody`.
    """
    with duckdb.connect(":memory:", config={"threads": THREADS}) as connection:
        connection.execute("SET enable_progress_bar = false")
        counting = _Counting(connection, course, people)
        for run in runs:
            counting.read(run)
        keys = counting.keys()
        if not keys:
            raise POPULATION_NOBODY.refusal(course=course.code)
        strata = _strata(keys)
        flows = _flows(counting, runs, len(keys), months)
        selected = np.zeros((months, len(keys)))
        for run in runs:
            selected[run.month :] = counting.selected(run)
    return Caseloads(course, tuple(runs), strata, flows, selected, _places(course.pack))


def _strata(keys: Sequence[tuple[str, str, int, float]]) -> Strata:
    quota, province, amounts, people = zip(*keys, strict=True)
    return Strata(quota, province, np.array(amounts, dtype=np.int64), np.array(people))


def _places(pack: RulePack) -> dict[str, int]:
    selection = pack.selection
    if selection.quota is not None:
        return dict(selection.quota.households)
    # Where a pack states a budget only, the grants of the scenario are what is short.
    return {"": PLACES_MAX if selection.places is None else selection.places}


def _flows(counting: "_Counting", runs: Sequence[RuleRun], strata: int, months: int) -> Flows:
    start = counting.eligible(runs[0])
    ageing_in, ageing_out = np.zeros((months, strata)), np.zeros((months, strata))
    for before, after in pairwise(runs):
        came, went, there = counting.moved(before, after)
        ageing_in[after.month] = came
        ageing_out[after.month] = np.divide(went, there, out=np.zeros(strata), where=there > 0)
    return Flows(start, start[None], ageing_in, np.minimum(ageing_out, 1.0))


class _Counting:
    """Decisions of one course counted by stratum, in a database in memory."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, course: Course, people: People
    ) -> None:
        self.connection = connection
        self.people = people
        stratum = stratum_of(course.pack.selection)
        by = "''" if stratum is None else f"coalesce(h.{stratum}, '')"
        file = _file(people.households)
        connection.execute(
            f"CREATE TABLE person AS SELECT household_id, {by} AS quota,"
            f" coalesce(h.province, '') AS province, {_weight(people)} AS weight"
            f" FROM read_parquet('{file}') h"
        )
        self.runs: list[RuleRun] = []
        self.strata = 0

    def read(self, run: RuleRun) -> None:
        """Keep the households that qualify on the run's day."""
        self.connection.execute(
            f"CREATE TABLE run_{run.month} AS SELECT d.household_id, p.quota, p.province, p.weight,"
            " d.amount_minor AS amount, d.people, d.selected, d.score, d.tie_key"
            f" FROM read_parquet('{_file(run.decisions)}') d JOIN person p USING (household_id)"
            " WHERE d.status = 'eligible'"
        )
        self.runs.append(run)

    def keys(self) -> list[tuple[str, str, int, float]]:
        """Return the strata in their order, with the mean number of people; number them."""
        union = " UNION ALL ".join(
            f"SELECT quota, province, amount, people, weight FROM run_{run.month}"
            for run in self.runs
        )
        self.connection.execute(
            "CREATE TABLE stratum AS SELECT row_number() OVER (ORDER BY quota, province, amount)"
            " - 1 AS place, * FROM (SELECT quota, province, amount,"
            " sum(people * weight)::DOUBLE / sum(weight)::DOUBLE AS people"
            f" FROM ({union}) GROUP BY quota, province, amount)"
        )
        keys = self.connection.execute(
            "SELECT quota, province, amount, people FROM stratum ORDER BY place"
        ).fetchall()
        self.strata = len(keys)
        return keys

    def eligible(self, run: RuleRun) -> Floats:
        """Return how many qualify, by stratum."""
        return self._counted(f"run_{run.month}")

    def selected(self, run: RuleRun) -> Floats:
        """Return how many are within the places, by stratum."""
        return self._counted(f"(SELECT * FROM run_{run.month} WHERE selected)")

    def moved(self, before: RuleRun, after: RuleRun) -> tuple[Floats, Floats, Floats]:
        """Return, by stratum, those who came to qualify, who ceased to, and who did before."""
        same = "b.household_id = a.household_id AND b.amount = a.amount"
        old, new = f"run_{before.month}", f"run_{after.month}"
        came = self._counted(f"(SELECT a.* FROM {new} a ANTI JOIN {old} b ON {same})")
        went = self._counted(f"(SELECT b.* FROM {old} b ANTI JOIN {new} a ON {same})")
        return came, went, self._counted(old)

    def _counted(self, table: str) -> Floats:
        rows = self.connection.execute(
            f"SELECT s.place, sum(t.weight) FROM {table} t"
            " JOIN stratum s USING (quota, province, amount) GROUP BY s.place"
        ).fetchall()
        counted = np.zeros(self.strata)
        for at, weight in rows:
            counted[at] = weight
        return counted * self.people.scale


def _file(path: Path) -> str:
    return escape(str(path)).replace("'", "''")
