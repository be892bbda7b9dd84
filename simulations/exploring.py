"""One parameter, many values, at once: who would qualify, who would be paid, what a cycle costs.

The population is read into fact cells with the parameter free; then each value takes milliseconds,
so people can try as many as they like before they write a scenario. A limit that decides who is
counted among members (an age) cannot be free: every value of it is a view of its own, and the
reading takes as much longer. Nothing moves here: it is one cycle, on one day.

Asked of several synthetic populations that fit the same published margins, the answers are a range:
what those margins leave open (`simulations.synthesis`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from eligibility.rules.checked import parameters_on, rules_of
from eligibility.rules.document import plain_value
from eligibility.rules.pack import Parameter, RulePack
from eligibility.serving import budget_of
from ledgers.problems import Problem
from simulations.cells import Cells, Verdict, View
from simulations.funding import funded
from simulations.gathering import gathered
from simulations.randomness import Bools, Ints
from simulations.whole_numbers import shared_out

EXPLORED_PARAMETER_UNKNOWN = Problem(
    "explored_parameter_unknown",
    "The pack {pack} has no parameter {parameter}; it has {known}.",
    "Name one of these.",
)
EXPLORED_VALUE_WRONG = Problem(
    "explored_value_wrong",
    "{value} is no value of the parameter {parameter}, which is of type {kind}.",
    "Give values of this type with commas between them, such as 1.5,2.0.",
)


@dataclass(frozen=True, slots=True)
class Tried:
    """What one value comes to in a cycle; `value` is None for the pack as it stands.

    `enter` and `leave` are households that qualify and did not, or do not and did. Coverage is
    `paid` of all households there are.
    """

    value: str | None
    qualify: int
    enter: int
    leave: int
    review: int
    paid: int
    people_paid: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Exploration:
    """The pack as it stands, then each value; `cells` is what the households collapsed to."""

    households: int
    cells: int
    currency: str
    tried: tuple[Tried, ...]


def explored(
    files: tuple[Path, Path],
    pack: RulePack,
    parameter: str,
    values: Sequence[str],
    on: date,
    *,
    spill: Path,
    represents: int | None = None,
    grant_minor: int | None = None,
) -> Exploration:
    """Return what the pack says on a day as it stands, and with each value of one parameter.

    Arguments: `files` are a snapshot's households and members; `represents` is how many households
    it stands for, where it is a sample; `grant_minor` what the grant has left, for a pack that
    selects within that. Raises `selection_not_on_cells`, `selection_budget_unstated`,
    `explored_parameter_unknown`, `explored_value_wrong`, and what reading the snapshot raises.
    """
    packs = [pack, *(changed(pack, parameter, value) for value in values)]
    rules = [rules_of(one) for one in packs]
    free = frozenset({parameter})
    cells = gathered(*files, [View(rules[0], on, free)], spill=spill)
    if not all(cells.serves(one, on) for one in rules):
        cells = gathered(*files, [View(one, on, free) for one in rules], spill=spill)
    if represents is not None:
        weight = shared_out(cells.weight.astype(np.float64), represents)
        cells = replace(cells, weight=weight)
    before = cells.verdict(rules[0], on).eligible
    tried = []
    for one, value in zip(rules, [None, *values], strict=True):
        budget = budget_of(one, parameters_on(one.pack, on), grant_minor)
        verdict = cells.verdict(one, on)
        paid = funded(cells, verdict, one.pack.selection, budget)
        tried.append(_tried(cells, verdict, paid, before, value))
    return Exploration(cells.households, len(cells), pack.currency, tuple(tried))


def changed(pack: RulePack, parameter: str, value: str) -> RulePack:
    """Return the pack with one value of a parameter for all days.

    Raises `explored_parameter_unknown`, `explored_value_wrong`.
    """
    found = pack.parameters.get(parameter)
    if found is None:
        known = ", ".join(sorted(pack.parameters)) or "none"
        raise EXPLORED_PARAMETER_UNKNOWN.refusal(pack=pack.code, parameter=parameter, known=known)
    first = min(found.values)
    content = {"type": found.type, "source": found.source, "values": {first: plain_value(value)}}
    try:
        other = Parameter.model_validate(content)
    except ValidationError:
        raise EXPLORED_VALUE_WRONG.refusal(
            value=value, parameter=parameter, kind=found.type
        ) from None
    return pack.model_copy(update={"parameters": {**pack.parameters, parameter: other}})


def _tried(cells: Cells, verdict: Verdict, paid: Ints, before: Bools, value: str | None) -> Tried:
    def count(mask: Bools) -> int:
        counted: Ints = cells.weight[mask]
        return int(counted.sum())

    return Tried(
        value=value,
        qualify=count(verdict.eligible),
        enter=count(verdict.eligible & ~before),
        leave=count(before & ~verdict.eligible),
        review=count(verdict.review),
        paid=int(paid.sum()),
        people_paid=int((paid * cells.people).sum()),
        amount_minor=int((paid * verdict.amount_minor).sum()),
    )
