"""A scenario from its population to its outcomes: the rules of every course, then the months.

Progress counts households that went through rules once, then months that were booked in a draw, and
can be stopped anywhere: nothing but files in a folder of the caller's comes to exist.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from ledgers.money import parse_amount
from simulations.months import months_from
from simulations.projection.counting import caseloads_of
from simulations.projection.courses import People, RuleRun, Runner, priced_since, rule_months
from simulations.projection.drawing import Draws, Outcome, draws_of, outcome_of
from simulations.projection.ledger import HOME, held_minor, terms_of, values_by_group
from simulations.randomness import Floats, Ints
from simulations.scenario.model import Indexation, Scenario
from simulations.scenario.reading import Loaded

Progress = Callable[[int, int | None], None]
Steps = Sequence[Progress | None]
NOBODY: Steps = (None, None)


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A scenario that was run: its population, its draws, what came of each course by its code."""

    loaded: Loaded
    people: People
    draws: Draws
    outcomes: Mapping[str, Outcome]

    @property
    def scenario(self) -> Scenario:
        """The scenario."""
        return self.loaded.scenario

    @property
    def base(self) -> Outcome:
        """What came of the base course."""
        return self.outcomes["base"]


def project(
    loaded: Loaded, people: People, lots: str, folder: Path, progress: Steps = NOBODY
) -> Projection:
    """Run a scenario on a population; decisions of every rule run stay in `folder`.

    `lots` is the published seed of the draw of lots between households of one score: the cycle's
    id where a cycle is to be foretold. `progress` is told of households under rules and of months
    of draws. Raises `amounts_apart`, what the rules raise and the paths.
    """
    under_rules, of_draws = progress
    scenario = loaded.scenario
    packs = [course.pack for course in loaded.courses]
    terms = terms_of(scenario, people.provinces(), packs[0].currency)
    draws = draws_of(scenario, terms)
    runner = Runner(people, lots, held_minor(terms, draws.base_prices), folder)
    runs = _run_all(loaded, runner, under_rules)
    loads = {
        course.code: caseloads_of(course, runs[course.code], people, scenario.months)
        for course in loaded.courses
    }
    booked = _booked(of_draws, scenario.draws, len(loads) * scenario.months)
    outcomes = {
        code: outcome_of(draws, load, indexation_of(scenario, code), booked)
        for code, load in loads.items()
    }
    return Projection(loaded, people, draws, outcomes)


def _run_all(loaded: Loaded, runner: Runner, progress: Progress | None) -> dict[str, list[RuleRun]]:
    """Run the rules of every course on every day on which they are run."""
    scenario = loaded.scenario
    packs = [course.pack for course in loaded.courses]
    months = rule_months(packs, scenario.start, scenario.months, scenario.rules.every_months)
    days = months_from(scenario.start, scenario.months)
    work = [(course, month) for course in loaded.courses for month in months]
    runs: dict[str, list[RuleRun]] = {course.code: [] for course in loaded.courses}
    since = {
        course.code: priced_since(course, days)
        for course in loaded.courses
        if indexation_of(scenario, course.code) is not None
    }
    for done, (course, month) in enumerate(work, start=1):
        run = runner.run(course, month, days)
        priced = since[course.code][month] if course.code in since else 0
        runs[course.code].append(replace(run, since=priced))
        if progress is not None:
            progress(done * runner.people.rows, len(work) * runner.people.rows)
    return runs


def _booked(progress: Progress | None, draws: int, months: int) -> Callable[[], None] | None:
    """Return what is to be called after each of `months` months that is booked in all draws."""
    if progress is None:
        return None
    done = count()

    def told() -> None:
        progress(next(done) * draws, months * draws)

    told()  # none yet: the pace is that of the months alone
    return told


def indexation_of(scenario: Scenario, course: str) -> Indexation | None:
    """Return the course's own indexation, or the scenario's; None where its value stays."""
    own = {variant.code: variant for variant in scenario.variants}.get(course)
    if own is None:
        return scenario.indexation
    return own.indexation or scenario.indexation if own.is_indexed else None


def adequacy_by_month(projection: Projection) -> Floats | None:
    """Return what a person gets as a share of the basket, by month of the base path.

    The basket is that of the first month, and follows consumer prices from there. A month in which
    nobody is paid has no share (NaN); None where the scenario states no basket.
    """
    basket, base = projection.scenario.prices.basket, projection.base.base
    if basket is None:
        return None
    index = projection.draws.base_prices.index[0]
    costs = base.people[0] * parse_amount(str(basket.per_person), HOME) * (index / index[0])
    shares: Floats = np.divide(
        base.transfers[0], costs, out=np.full(len(costs), np.nan), where=costs > 0
    )
    return shares


def base_values(projection: Projection) -> Ints:
    """Return the transfer values of the base course on the base path: months × strata."""
    return values_of(projection, "base")


def values_of(projection: Projection, course: str) -> Ints:
    """Return the transfer values of a course on the base path: months × strata."""
    outcome = projection.outcomes[course]
    indexation = indexation_of(projection.scenario, course)
    values = values_by_group(outcome.strata, projection.draws.base_prices, indexation)[0]
    return np.broadcast_to(values, outcome.base.paid_by_group[0].shape)
