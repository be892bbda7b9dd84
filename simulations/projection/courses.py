"""What the rule packs say of the population, on the days on which they are run.

The released rules themselves decide (`eligibility.assess`), at the first day of month 0, of every
so many months after it and of each month in which a parameter has another value: so people grow
older and parameters change as they really will. Between two such days eligibility stays as it was.
Where a parameter that decides who qualifies changes, the rules run on that day a second time as
they were before it: what both say alike is ageing, what they say otherwise is the change.

An amount that a parameter gives from a later day is written in the prices of that day: indexation
moves it from there, not from month 0 (`priced_since`).

The order, the quotas, the budget and the discretionary list are the pack's. Where the population is
a sample, each household has a weight: how many it stands for. Places, quotas and budgets are filled
by weight then, in the same order (`selecting`). A pack that selects within the grant is told what
the scenario's grants hold; what is drawn of them month by month is the ledger's to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from eligibility.assessment import assess
from eligibility.decisions import AssessmentTotals
from eligibility.entitlements import amounts_of
from eligibility.rules.checked import parameters_on, rules_of
from eligibility.rules.pack import RulePack
from eligibility.selection import GRANT
from ledgers.problems import Place, Problem
from simulations.cells import Seeing
from simulations.months import months_from
from simulations.projection.selecting import budget_on, select_by_weight
from simulations.randomness import Floats
from simulations.scenario.reading import Course

POPULATION_WEIGHTS = Problem(
    "population_weights",
    "{households:household of the population has|households of the population have} no weight"
    " from 0.000001 to 100,000,000.",
    "Give every household such a weight: how many households it stands for.",
)

POPULATION_WEIGHT = Problem(
    "population_weight",
    "The weight of this household is {weight}; no row stands for so many households.",
    "Give it a weight from 0.000001 to 100,000,000.",
)

AMOUNTS_APART = Problem(
    "amounts_apart",
    "In month {month} the pack of {course} gives new amounts for {changed}, while {kept} stay as"
    " they were; with indexation nobody can say in whose prices their sum is written.",
    "Give all amounts of the entitlement a value from that day, in prices of that day, or leave the"
    " indexation out.",
)

WEIGHT = "weight"
WEIGHT_LEAST, WEIGHT_MOST = 0.000_001, 100_000_000  # whole millionths count, and sums of them fit
SHOWN_MAX = 20  # of the households without a weight
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
            wrong = np.flatnonzero(~((weights >= WEIGHT_LEAST) & (weights <= WEIGHT_MOST))).tolist()
            if wrong:
                found = tuple(
                    POPULATION_WEIGHT.finding(
                        Place(households.name, row=at + 1, field=WEIGHT), weight=weights[at]
                    )
                    for at in wrong[:SHOWN_MAX]
                )
                raise POPULATION_WEIGHTS.refusal(households=len(wrong)).with_findings(found)
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

    @property
    def weight(self) -> str:
        """A household's weight as SQL of a table `h`; exact, whatever the order of adding."""
        return f"CAST(h.{WEIGHT} AS DECIMAL(18, 6))" if self.is_weighted else "1"

    def provinces(self) -> list[str]:
        """Return the provinces in which anybody lives; an unknown one has no name."""
        if "province" not in pq.read_schema(self.households).names:
            return []  # the rules say what a snapshot lacks
        column = pq.read_table(self.households, columns=["province"]).column("province")
        return sorted({str(province or "") for province in column.unique().to_pylist()})


@dataclass(frozen=True, slots=True)
class RuleRun:
    """The decisions of one day, in a Parquet file, and what they come to.

    `aged` are those of the same day by the rules as they were before, where the rules have changed;
    `since` is the month in whose prices the amounts are written.
    """

    month: int
    on: date
    decisions: Path
    totals: AssessmentTotals
    aged: Path | None = None
    since: int = 0


def rule_months(packs: Sequence[RulePack], start: date, months: int, every: int) -> list[int]:
    """Return the months in which rules are run: every so many, and where a parameter changes."""
    days = months_from(start, months)
    at = set(range(0, months, every))
    for pack in packs:
        values = [parameters_on(pack, day) for day in days]
        at |= {month for month in range(1, months) if values[month] != values[month - 1]}
    return sorted(at)


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs rules on a population; decisions go to files in `folder`.

    `lots` is the published seed of the draw of lots, `grants_minor` what the scenario's grants hold
    in each month, in minor units of the packs' currency, for packs that select within the grant.
    """

    people: People
    lots: str
    grants_minor: Sequence[int]
    folder: Path

    def run(self, course: Course, month: int, days: Sequence[date]) -> RuleRun:
        """Run the course's rules on the first day of a month. Raises what `assess` raises."""
        name, on = f"{course.code}-{month:03d}", days[month]
        aged = None
        if month and decided_otherwise(course.pack, days[month - 1], on):
            aged = self.folder / f"{name}-aged.parquet"
            self._assess(frozen(course.pack, days[month - 1]), on, month, aged)
        out = self.folder / f"{name}.parquet"
        totals = self._assess(course.pack, on, month, out)
        return RuleRun(month, on, out, totals, aged)

    def _assess(self, pack: RulePack, on: date, month: int, out: Path) -> AssessmentTotals:
        people = self.people
        grant_minor = self.grants_minor[month] if pack.selection.budget == GRANT else None
        totals = assess(
            people.households, people.members, pack, on, out, seed=self.lots, spill=self.folder,
            grant_minor=grant_minor, memory_mb=MEMORY_MB, threads=THREADS,
        )  # fmt: skip
        if people.is_exact:
            return totals
        chosen = select_by_weight(
            out, people.households, pack, weight=people.weight, scale=people.scale.item(),
            budget_minor=budget_on(pack, on, grant_minor), threads=THREADS,
        )  # fmt: skip
        return replace(totals, **chosen._asdict())


def decided_otherwise(pack: RulePack, before: date, on: date) -> bool:
    """Whether a parameter that decides who qualifies has another value on `on` than `before`."""
    old, new = parameters_on(pack, before), parameters_on(pack, on)
    changed = {name for name in new if new[name] != old[name]}
    if not changed:
        return False
    rules = rules_of(pack)
    seeing = Seeing.of(rules, on)
    read = {name for rule in rules.criteria for name, _ in seeing.of_term(rule.term).parameters}
    return bool(changed & read)


def priced_since(course: Course, days: Sequence[date]) -> list[int]:
    """Return for each month the month in whose prices the course's amounts are written.

    That is 0 until parameters give new amounts, then the month in which they do. Raises
    `amounts_apart` where only some of the amounts are new.
    """
    pack = course.pack
    written = amounts_of(pack.entitlement)
    amounts = {
        ".".join(map(str, path)): str(amount)
        for path, amount in written.items()
        if path != ("round_to",)
    }
    named = {amount.removeprefix("p.") for amount in amounts.values()} & pack.parameters.keys()
    since = [0]
    for month in range(1, len(days)):
        before, now = (parameters_on(pack, day) for day in days[month - 1 : month + 1])
        if all(now[name] == before[name] for name in named):
            since.append(since[-1])
            continue
        stated = {
            name
            for name in named
            if any(days[month - 1] < day <= days[month] for day in pack.parameters[name].values)
        }
        kept = sorted(path for path, of in amounts.items() if of.removeprefix("p.") not in stated)
        if kept:
            raise AMOUNTS_APART.refusal(
                month=f"{days[month]:%Y-%m}", course=course.code,
                changed=", ".join(sorted(stated)), kept=", ".join(kept),
            )  # fmt: skip
        since.append(month)
    return since


def frozen(pack: RulePack, on: date) -> RulePack:
    """Return the pack as if no value of a parameter came after a day."""
    parameters = {
        name: parameter.model_copy(
            update={"values": {day: v for day, v in parameter.values.items() if day <= on}}
        )
        for name, parameter in pack.parameters.items()
    }
    return pack.model_copy(update={"parameters": parameters})
