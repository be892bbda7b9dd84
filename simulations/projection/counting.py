"""Decisions counted: who stands in which stratum, who moves between two days, who is served first.

Households that the rules would serve are counted by *stratum*: the quota's stratum, the province,
the amount they are due, and the month in whose prices it is written. What changes from one day to
the next comes out of comparing the decisions household by household: those who come to stand in the
order, those who cease to, and those who stay but *shift* to another amount or stratum.

The *order* says, for money that ends before the list does, who is reached by it: the list is cut
into parts of about equal cost, equal scores together, and each part counted by stratum. Within a
score the lot decides; there every stratum has its share.

Those whom a person listed stand beside the order, in a stratum of their own that has no limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import duckdb
import numpy as np

from eligibility.selection import (
    ALL,
    DISCRETIONARY,
    PLACES_MAX,
    Selection,
    stratum_of,
)
from ledgers.problems import Problem
from simulations.dynamics import Flows, Shift
from simulations.months import months_from
from simulations.projection import courses
from simulations.projection.courses import People, RuleRun
from simulations.projection.selecting import (
    LISTED,
    budget_on,
    falling,
    places_of,
    quoted,
)
from simulations.randomness import Floats, Ints
from simulations.scenario.reading import Course

POPULATION_NOBODY = Problem(
    "population_nobody",
    "Nobody of the population qualifies under the rules of {course} in any month.",
    "Check that the population and the rules belong together: provinces, inputs, parameters.",
)

POPULATION_COARSE = Problem(
    "population_coarse",
    "A row of the population stands for {scale} households or more, and the places or the money of"
    " {stratum} are for fewer: nobody would be served.",
    "Make more synthetic households, or hand over a snapshot in which each row is one household.",
)

PARTS = 32  # of the order


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """The strata of a course: names, amounts in minor units, mean numbers of people.

    `since` is the month in whose prices the amount is written.
    """

    quota: tuple[str, ...]
    province: tuple[str, ...]
    amounts: Ints
    people: Floats
    since: Ints

    def __len__(self) -> int:
        return len(self.amounts)


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """What a course's selection limits: places by stratum of the quota, a budget of each month.

    `budgets` are minor units, None where the pack states none (a grant's is the ledger's to keep).
    """

    by_stratum: dict[str, int]
    moves: bool
    budgets: Ints | None

    @classmethod
    def of(cls, course: Course, runs: Sequence[RuleRun], months: int) -> "Places":
        """Return what the pack of a course limits over so many months."""
        selection = course.pack.selection
        moves = selection.quota is not None and selection.quota.unused == "move"
        by_stratum = {**places_of(selection), DISCRETIONARY: PLACES_MAX}
        if selection.stated_budget is None:
            return cls(by_stratum, moves, None)
        days = months_from(runs[0].on, months)
        stated = [budget_on(course.pack, day, None) or 0 for day in days]
        return cls(by_stratum, moves, np.array(stated, dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Caseloads:
    """What one course's rules give the projection.

    `flows` are households by stratum; `by_rules` (months × strata) those of `flows.ageing_in` who
    come because the rules changed, and `out_by_rules` the share of `flows.ageing_out` who go for
    it; `selected` (months × strata) those within the places, by the latest rules; `order` (months ×
    parts × strata) those of them in each part of the order.
    """

    course: Course
    runs: tuple[RuleRun, ...]
    strata: Strata
    flows: Flows
    by_rules: Floats
    out_by_rules: Floats
    selected: Floats
    order: Floats
    places: Places


def caseloads_of(course: Course, runs: Sequence[RuleRun], people: People, months: int) -> Caseloads:
    """Return the strata and flows that the runs of a course come to.

    Raises `population_nobody`, `population_coarse`.
    """
    with duckdb.connect(":memory:", config={"threads": courses.THREADS}) as connection:
        connection.execute("SET enable_progress_bar = false")
        counting = _Counting(connection, course.pack.selection, people)
        for run in runs:
            counting.read(run)
        strata = counting.strata()
        if strata is None:
            raise POPULATION_NOBODY.refusal(course=course.code)
        flows, by_rules, out_by_rules = _flows(counting, runs, months)
        selected = [counting.selected(run) for run in runs]
        if not people.is_exact:
            _check_grain(course, strata, (flows.start, selected[0]), people)
        return Caseloads(
            course,
            tuple(runs),
            strata,
            flows,
            by_rules,
            out_by_rules,
            _held(selected, runs, months),
            _held([counting.order(run) for run in runs], runs, months),
            Places.of(course, runs, months),
        )


def _check_grain(
    course: Course, strata: Strata, counted: tuple[Floats, Floats], people: People
) -> None:
    """Refuse a sample of which no row fits into the places of a stratum, or into the budget.

    `counted` are those who stand in the order and those selected, by stratum.
    """
    standing, selected = counted
    selection = course.pack.selection
    places = places_of(selection) if selection.budget is None else {ALL: PLACES_MAX}
    for name in sorted(places):
        own = np.array([name in (quota, ALL) for quota in strata.quota])
        if places[name] and standing[own].any() and not selected[own].any():
            scale = int(np.rint(people.scale[0]))
            raise POPULATION_COARSE.refusal(scale=scale, stratum=name or course.pack.code)


def _held(found: Sequence[Floats], runs: Sequence[RuleRun], months: int) -> Floats:
    """Return what was found on the day of each run for every month until the next."""
    held = np.zeros((months, *found[0].shape))
    for run, counted in zip(runs, found, strict=True):
        held[run.month :] = counted
    return held


def _flows(
    counting: "_Counting", runs: Sequence[RuleRun], months: int
) -> tuple[Flows, Floats, Floats]:
    """Return the flows, and what of those who come and go is because the rules changed.

    Newly registered households are like those who stand in the order by the latest rules.
    """
    standing = [counting.standing(run) for run in runs]
    size = (months, len(standing[0]))
    ageing_in, ageing_out = np.zeros(size), np.zeros(size)
    by_rules, out_by_rules = np.zeros(size), np.zeros(size)
    shifts: dict[int, Shift] = {}
    for (before, after), there in zip(pairwise(runs), standing, strict=False):
        came, came_by_rules = counting.only(after, before, after)
        went, went_by_rules = counting.only(before, after, after)
        month = after.month
        ageing_in[month], by_rules[month] = came, came_by_rules
        ageing_out[month] = np.minimum(_share(went, there), 1.0)
        out_by_rules[month] = _share(went_by_rules, went)
        shift = counting.shift(before, after, there - went)
        if len(shift.source):
            shifts[month] = shift
    arrivals = _held(standing, runs, months)
    flows = Flows(standing[0], arrivals, ageing_in, ageing_out, shifts)
    return flows, by_rules, out_by_rules


def _share(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


class _Counting:
    """Decisions of one course counted by stratum, in a database in memory."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, selection: Selection, people: People
    ) -> None:
        self.connection = connection
        self.selection = selection
        self.people = people
        stratum = stratum_of(selection)
        by = f"'{ALL}'" if stratum is None else f"coalesce(h.{stratum}, '')"
        connection.execute(
            "CREATE TABLE person AS SELECT household_id, row_number() OVER () AS person,"
            f" {by} AS quota, coalesce(h.province, '') AS province, {people.weight} AS weight"
            f" FROM read_parquet('{quoted(people.households)}') h"
        )
        connection.execute(
            "CREATE TABLE stood (month INTEGER, person BIGINT, quota VARCHAR, province VARCHAR,"
            " weight DECIMAL(18, 6), amount BIGINT, since INTEGER, people INTEGER,"
            " selected BOOLEAN, listed BOOLEAN, score BIGINT)"
        )
        self.count = 0

    def read(self, run: RuleRun) -> None:
        """Keep the households that stand in the order on the run's day, or beside it."""
        self.connection.execute(
            f"INSERT INTO stood SELECT {run.month}, p.person, CASE WHEN d.reason LIKE '{LISTED}'"
            f" THEN '{DISCRETIONARY}' ELSE p.quota END, p.province, p.weight, d.amount_minor,"
            f" {run.since}, d.people, d.selected, d.reason LIKE '{LISTED}', d.score"
            f" FROM {self._stands(run.decisions)}"
        )
        if run.aged is not None:
            self.connection.execute(
                f"CREATE TABLE aged_{run.month} AS SELECT p.person FROM {self._stands(run.aged)}"
            )

    @staticmethod
    def _stands(decisions: Path) -> str:
        return (
            f"read_parquet('{quoted(decisions)}') d JOIN person p USING (household_id)"
            " WHERE d.rank IS NOT NULL OR d.selected"
        )

    def strata(self) -> Strata | None:
        """Return the strata in their order and number them; None where nobody stands in any."""
        self.connection.execute(
            "CREATE TABLE stratum AS SELECT row_number() OVER (ORDER BY quota, province, amount,"
            " since) - 1 AS place, * FROM (SELECT quota, province, amount, since,"
            " sum(coalesce(people, 0) * weight)::DOUBLE / sum(weight)::DOUBLE AS people"
            " FROM stood GROUP BY quota, province, amount, since)"
        )
        self.connection.execute(
            "CREATE TABLE placed AS SELECT t.month, t.person, s.place, t.weight, t.amount,"
            " t.selected, t.listed, t.score"
            " FROM stood t JOIN stratum s USING (quota, province, amount, since)"
        )
        self.connection.execute("DROP TABLE stood")
        keys = self.connection.execute(
            "SELECT quota, province, amount, people, since FROM stratum ORDER BY place"
        ).fetchall()
        self.count = len(keys)
        if not keys:
            return None
        quota, province, amounts, people, since = zip(*keys, strict=True)
        return Strata(
            quota, province, np.array(amounts, dtype=np.int64), np.array(people), np.array(since)
        )  # fmt: skip

    def standing(self, run: RuleRun) -> Floats:
        """Return how many stand in the order or beside it, by stratum."""
        return self._counted(f"SELECT * FROM placed WHERE month = {run.month}")

    def selected(self, run: RuleRun) -> Floats:
        """Return how many are within the places, by stratum."""
        return self._counted(f"SELECT * FROM placed WHERE month = {run.month} AND selected")

    def only(self, here: RuleRun, other: RuleRun, changed: RuleRun) -> tuple[Floats, Floats]:
        """Return, by stratum, who stands on the day of `here` and not on that of `other`.

        And how many of them only because the rules changed on the day of `changed`: by the rules as
        they were before, they would stand there on both days, or on neither.
        """
        alone = (
            f"SELECT t.* FROM placed t ANTI JOIN (SELECT person FROM placed"
            f" WHERE month = {other.month}) o USING (person) WHERE t.month = {here.month}"
        )
        if changed.aged is None:
            return self._counted(alone), np.zeros(self.count)
        join = "ANTI" if here is changed else "SEMI"
        by_rules = f"SELECT a.* FROM ({alone}) a {join} JOIN aged_{changed.month} USING (person)"
        return self._counted(alone), self._counted(by_rules)

    def shift(self, before: RuleRun, after: RuleRun, staying: Floats) -> Shift:
        """Return who stands on both days in different strata, as shares of those who stay."""
        columns = self.connection.execute(
            "SELECT b.place AS source, a.place AS target, sum(b.weight)::DOUBLE AS weight"
            " FROM placed b JOIN placed a USING (person)"
            f" WHERE b.month = {before.month} AND a.month = {after.month} AND a.place <> b.place"
            " GROUP BY ALL ORDER BY ALL"
        ).fetchnumpy()
        source = np.asarray(columns["source"], dtype=np.int64)
        moved = np.asarray(columns["weight"], dtype=np.float64) * self.people.scale
        share = np.minimum(_share(moved, staying[source]), 1.0)
        return Shift(source, np.asarray(columns["target"], dtype=np.int64), share)

    def order(self, run: RuleRun) -> Floats:
        """Return parts × strata: those within the places, in parts of the order of equal cost.

        Whoever was listed by a person comes first. Where money is what is short, everybody is in:
        how far it goes is not known yet.
        """
        within = "selected" if self.selection.budget is None else "TRUE"
        rows = self.connection.execute(
            "WITH held AS (SELECT place, weight, amount, listed, score FROM placed"
            f" WHERE month = {run.month} AND ({within})),"
            " scored AS (SELECT listed, score, sum(weight * amount) AS cost FROM held"
            " GROUP BY ALL),"
            " upto AS (SELECT listed, score, sum(cost) OVER (ORDER BY listed DESC,"
            f" score {falling(self.selection)}) / sum(cost) OVER () AS share FROM scored)"
            f" SELECT least(ceil(share * {PARTS} - 1e-9), {PARTS})::INTEGER - 1 AS part, place,"
            " sum(weight)::DOUBLE AS weight FROM held JOIN upto"
            " ON held.listed = upto.listed AND held.score IS NOT DISTINCT FROM upto.score"
            " GROUP BY ALL"
        ).fetchall()
        parts = np.zeros((PARTS, self.count))
        for part, place, weight in rows:
            parts[max(part, 0), place] = weight
        return parts * self.people.scale

    def _counted(self, rows: str) -> Floats:
        found = self.connection.execute(
            f"SELECT place, sum(weight) FROM ({rows}) GROUP BY place"
        ).fetchall()
        counted = np.zeros(self.count)
        for at, weight in found:
            counted[at] = weight
        return counted * self.people.scale
