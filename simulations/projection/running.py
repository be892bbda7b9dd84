"""A scenario from its population to its outcomes: the rules of every course, then the months.

Progress counts households that went through rules once, and can be stopped anywhere: nothing but
files in a folder of the caller's comes to exist.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulations.months import months_from
from simulations.projection.counting import caseloads_of
from simulations.projection.courses import People, RuleRun, Runner, rule_months
from simulations.projection.drawing import Draws, Outcome, draws_of, outcome_of
from simulations.projection.ledger import held_minor, terms_of, values_by_group
from simulations.randomness import Ints
from simulations.scenario.model import Indexation, Scenario
from simulations.scenario.reading import Loaded

Progress = Callable[[int, int | None], None]


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
    loaded: Loaded, people: People, lots: str, folder: Path, progress: Progress | None = None
) -> Projection:
    """Run a scenario on a population; decisions of every rule run stay in `folder`.

    `lots` is the published seed of the draw of lots between households of one score: the cycle's
    id where a cycle is to be foretold. Raises what the rules and the paths raise.
    """
    scenario = loaded.scenario
    packs = [course.pack for course in loaded.courses]
    terms = terms_of(scenario, people.provinces(), packs[0].currency)
    draws = draws_of(scenario, terms)
    runner = Runner(people, lots, held_minor(terms, draws.base_prices), folder)
    runs = _run_all(loaded, runner, progress)
    loads = {
        course.code: caseloads_of(course, runs[course.code], people, scenario.months)
        for course in loaded.courses
    }
    outcomes = {
        code: outcome_of(draws, load, indexation_of(scenario, code)) for code, load in loads.items()
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
    for done, (course, month) in enumerate(work, start=1):
        runs[course.code].append(runner.run(course, month, days))
        if progress is not None:
            progress(done * runner.people.rows, len(work) * runner.people.rows)
    return runs


def indexation_of(scenario: Scenario, course: str) -> Indexation | None:
    """Return the course's own indexation, or the scenario's."""
    own = {variant.code: variant.indexation for variant in scenario.variants}
    return own.get(course) or scenario.indexation


def base_values(projection: Projection) -> Ints:
    """Return the transfer values of the base course on the base path: months × strata."""
    return values_of(projection, "base")


def values_of(projection: Projection, course: str) -> Ints:
    """Return the transfer values of a course on the base path: months × strata."""
    outcome = projection.outcomes[course]
    indexation = indexation_of(projection.scenario, course)
    values = values_by_group(outcome.strata, projection.draws.base_prices, indexation)[0]
    return np.broadcast_to(values, outcome.base.paid_by_group[0].shape)
