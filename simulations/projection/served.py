"""Which households the ledger pays in a month: its counts by stratum, brought to every household.

The ledger counts; need is a household's own. So within each stratum households are served in the
order of the rules until those for whom there is money are all served, and take-up and failed
payments take all of a stratum alike: a household has the *share* that is paid of those like it.

The rules know the households of the first day. By a later month some have left and others like
them have come, so every row stands for as many as are registered then (`registered`), and those who
were lost at recertification are still there, unpaid.
"""

from dataclasses import dataclass

import duckdb
import numpy as np

from eligibility.selection import ALL, DISCRETIONARY, stratum_of
from simulations.dynamics import moves_of
from simulations.projection import courses
from simulations.projection.caseload import registered
from simulations.projection.counting import Caseloads
from simulations.projection.courses import People, RuleRun
from simulations.projection.drawing import base_flows
from simulations.projection.ledger import Ledger
from simulations.projection.running import Projection, values_of
from simulations.projection.selecting import LISTED, falling, quoted
from simulations.randomness import Bools, Floats, Ints
from simulations.rates import indexed_minor, rounded_millionths

NONE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Roll:
    """Every household on the day of a rule run, in the order of ids.

    `households` is how many a row stands for, `stratum` the place of its stratum (`NONE`: it does
    not stand in the order), `ahead` how many households of the stratum are served before it.
    """

    people: Ints
    qualifies: Bools
    households: Floats
    stratum: Ints
    ahead: Floats

    def amounts(self, values: Ints) -> Ints:
        """Return what each household gets if it is paid; `values` are minor units by stratum."""
        return np.where(self.stratum == NONE, 0, values[self.stratum])

    def shares(self, taking_up: Floats, served: Floats, arriving: Floats) -> Floats:
        """Return which share of each household is paid.

        Arguments, by stratum: the share of those in the order that takes it up, how many of these
        there is money for, the share of the payments that arrives.
        """
        own = self.stratum != NONE
        at, there = self.stratum[own], self.households[own]
        likely = taking_up[at]
        left = served[at] - self.ahead[own] * likely
        shares = np.zeros(len(own))
        shares[own] = np.clip(left / there, 0.0, likely) * arriving[at]
        return shares


class Served:
    """The households of one course on the base path, month by month."""

    def __init__(self, projection: Projection, course: str) -> None:
        self.people = projection.people
        self.loads = projection.outcomes[course].loads
        flows, rates = base_flows(projection.draws, self.loads)
        self.taking_up = moves_of(flows, rates, 0).entitled * rates.take_up[0]
        self.registered = registered(rates, projection.scenario.months)
        self.run: RuleRun | None = None

    def roll(self, month: int) -> Roll:
        """Return the households by the rules that are in force in a month."""
        latest = [run for run in self.loads.runs if run.month <= month][-1]
        if latest is not self.run:
            self.run, self.latest = latest, roll_of(self.loads, latest, self.people)
        return self.latest

    def shares(self, ledger: Ledger, month: int) -> Floats:
        """Return which share of each household is paid in a month; `ledger` is a base path's."""
        roll = self.roll(month)
        there = self.registered[month].item() or 1.0  # nobody left: nobody is paid either
        funded, paid = ledger.funded_by_group[0, month], ledger.paid_by_group[0, month]
        own = roll.stratum != NONE
        standing = np.bincount(
            roll.stratum[own], weights=there * roll.households[own], minlength=len(funded)
        )
        taking_up = _part(np.maximum(self.taking_up[month], funded), standing)
        return roll.shares(np.minimum(taking_up, 1.0), funded / there, _part(paid, funded))


def real_values(projection: Projection, course: str) -> Ints:
    """Return what the base path pays by stratum, in prices of the first month: months × strata."""
    index = projection.draws.base_prices.index[0]
    worth = rounded_millionths(index[0] / index)
    return indexed_minor(values_of(projection, course), worth[:, None])


def roll_of(loads: Caseloads, run: RuleRun, people: People) -> Roll:
    """Return every household with its place among those of its stratum on the day of a run."""
    selection, strata = loads.course.pack.selection, loads.strata
    by = stratum_of(selection)
    quota = f"'{ALL}'" if by is None else f"coalesce(h.{by}, '')"
    known = zip(strata.quota, strata.province, strata.amounts.tolist(), strict=True)
    with duckdb.connect(":memory:", config={"threads": courses.THREADS}) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(
            "CREATE TABLE stratum (place INTEGER, quota VARCHAR, province VARCHAR, amount BIGINT)"
        )
        connection.executemany(
            "INSERT INTO stratum VALUES (?, ?, ?, ?)", [(at, *key) for at, key in enumerate(known)]
        )
        columns = connection.execute(
            "WITH everybody AS (SELECT d.*, h.province AS lives_in, CASE WHEN d.reason LIKE"
            f" '{LISTED}' THEN '{DISCRETIONARY}' ELSE {quota} END AS quota, {people.weight} AS"
            " weight, d.rank IS NOT NULL OR d.selected AS stands"
            f" FROM read_parquet('{quoted(run.decisions)}') d"
            f" JOIN read_parquet('{quoted(people.households)}') h USING (household_id))"
            " SELECT greatest(r.people, 1) AS people, r.status = 'eligible' AS qualifies,"
            f" r.weight::DOUBLE AS households, coalesce(s.place, {NONE}) AS stratum,"
            " (sum(r.weight) OVER (PARTITION BY s.place"
            f" ORDER BY r.score {falling(selection)}, r.tie_key, r.household_id)"
            " - r.weight)::DOUBLE AS ahead"
            " FROM everybody r LEFT JOIN stratum s ON r.stands AND s.quota = r.quota"
            " AND s.province = coalesce(r.lives_in, '') AND s.amount = r.amount_minor"
            " ORDER BY r.household_id"
        ).fetchnumpy()
    return Roll(
        np.asarray(columns["people"], dtype=np.int64),
        np.asarray(columns["qualifies"], dtype=np.bool_),
        np.asarray(columns["households"], dtype=np.float64) * people.scale,
        np.asarray(columns["stratum"], dtype=np.int64),
        np.asarray(columns["ahead"], dtype=np.float64) * people.scale,
    )


def _part(part: Floats | Ints, whole: Floats | Ints) -> Floats:
    """Return part / whole by stratum, 0 of nothing."""
    shares: Floats = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return shares
