"""Weights that make a sample of households agree with published margins.

A *margin* says how many households, or how many people, are of each sort: households by province,
people by age and sex, the people of all households together. A *seed* is a sample household with
the weight it had in its survey (or 1). *Generalised raking* moves the weights as little as the
margins allow, in ratio, so that none becomes negative, and household and person margins hold
together; fitting them in turn cannot do that, because a household brings all its people.

What cannot hold is refused before anybody reads a result: totals that differ, a sort of household
that no seed is, margins that contradict each other (shown by a linear programme), weights of zero.

Source: Deville, Särndal and Sautory, "Generalized Raking Procedures in Survey Sampling", JASA 1993.
The equations are solved here in a fixed order, so that the number of threads decides nothing.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.optimize import linprog

from ledgers.problems import Finding, Place, Problem
from simulations.randomness import Bools, Floats

MARGINS_REFUSED = Problem(
    "margins_refused",
    "The margins cannot all hold: {problems:problem|problems}.",
    "Correct the places listed; margins must come from one population at one time.",
)
MARGIN_TOTALS_DIFFER = Problem(
    "margin_totals_differ",
    "{one} adds up to {first}, and {other} to {second}; both count all {unit}.",
    "Scale one of them to the other, or take both from one source.",
)
MARGIN_WITHOUT_SEED = Problem(
    "margin_without_seed",
    "No sample household has {sort}, of which there should be {target}.",
    "Add sample households of this sort, or merge it with another one.",
)
MARGIN_CONTRADICTED = Problem(
    "margin_contradicted",
    "{sort} cannot reach {target} while the other margins hold.",
    "Look for a slipped digit here and in the margins that overlap with it.",
)
MARGIN_NEGATIVE = Problem(
    "margin_negative", "{sort} is below zero.", "Give numbers of zero or more."
)
SEED_WEIGHTS_WRONG = Problem(
    "seed_weights_wrong",
    "{households} sample households have a weight of zero, below zero or none.",
    "Give every sample household a weight above zero, or leave it out of the sample.",
)

TOLERANCE = 1e-12  # of each target
ROUNDS_MAX = 200
EXPONENT_MAX = 60.0
TOTALS_APART = 1e-6


class Unit(StrEnum):
    """What a margin counts."""

    HOUSEHOLDS = "households"  # each household once
    PEOPLE = "people"  # each of its members
    SUM = "sum"  # a number that households have, added up


@dataclass(frozen=True, slots=True)
class Margin:
    """How many there are of each sort.

    `columns` of the households' or the members' table say the sort; `totals` gives the number of
    each, by the values of the columns in order. A margin of unit SUM has one column of numbers and
    one total, at (). `is_whole` margins count everybody, so their totals must agree.
    """

    name: str
    unit: Unit
    columns: tuple[str, ...]
    totals: Mapping[tuple[Hashable, ...], float]
    is_whole: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Margins as equations: `counts` (seeds × equations) times weights are `targets`.

    `names` says what each equation counts; `of_people` which of them count people.
    """

    names: tuple[str, ...]
    counts: Floats
    targets: Floats
    of_people: Bools

    def gaps(self, weights: Floats) -> Floats:
        """Return how far each equation is from its target, as a share of it."""
        reached = np.einsum("se,s->e", self.counts, weights)
        gaps: Floats = (reached - self.targets) / np.maximum(np.abs(self.targets), 1.0)
        return gaps


def design_of(households: pd.DataFrame, members: pd.DataFrame, margins: Sequence[Margin]) -> Design:
    """Return the equations of margins over sample households.

    Arguments: `households` has one row a seed, `members` a column `seed` with the row of the
    household. Raises `margins_refused` with every `margin_totals_differ`, `margin_without_seed`
    and `margin_negative`.
    """
    names: list[str] = []
    columns: list[Floats] = []
    targets: list[float] = []
    of_people: list[bool] = []
    for margin in margins:
        for sort, target in margin.totals.items():
            names.append(_named(margin, sort))
            columns.append(_counted(households, members, margin, sort))
            targets.append(target)
            of_people.append(margin.unit is Unit.PEOPLE)
    design = Design(
        tuple(names),
        np.column_stack(columns),
        np.array(targets, dtype=np.float64),
        np.array(of_people),
    )
    findings = [*_differing(margins), *_impossible(design)]
    if findings:
        raise MARGINS_REFUSED.refusal(problems=len(findings)).with_findings(findings)
    return design


def _named(margin: Margin, sort: tuple[Hashable, ...]) -> str:
    return f"{margin.name} {', '.join(map(str, sort))}".rstrip()


def _counted(
    households: pd.DataFrame, members: pd.DataFrame, margin: Margin, sort: tuple[Hashable, ...]
) -> Floats:
    if margin.unit is Unit.SUM:
        return households[margin.columns[0]].to_numpy(dtype=np.float64)
    table = members if margin.unit is Unit.PEOPLE else households
    holds = np.ones(len(table), dtype=np.bool_)
    for column, value in zip(margin.columns, sort, strict=True):
        holds &= (table[column] == value).to_numpy(dtype=np.bool_)
    if margin.unit is Unit.HOUSEHOLDS:
        return holds.astype(np.float64)
    seeds = members["seed"].to_numpy()[holds]
    return np.bincount(seeds, minlength=len(households)).astype(np.float64)


def _differing(margins: Sequence[Margin]) -> Iterator[Finding]:
    for unit in (Unit.HOUSEHOLDS, Unit.PEOPLE):
        whole = [margin for margin in margins if margin.unit is unit and margin.is_whole]
        for one, other in pairwise(whole):
            first, second = sum(one.totals.values()), sum(other.totals.values())
            if abs(first - second) > TOTALS_APART * max(first, second):
                yield MARGIN_TOTALS_DIFFER.finding(
                    Place(field=other.name), one=one.name, first=_said(first), other=other.name,
                    second=_said(second), unit=unit.value,
                )  # fmt: skip


def _impossible(design: Design) -> Iterator[Finding]:
    none = (design.counts == 0).all(axis=0).tolist()
    for name, target, nobody in zip(design.names, design.targets.tolist(), none, strict=True):
        if target < 0:
            yield MARGIN_NEGATIVE.finding(Place(field=name), sort=name)
        elif nobody and target > 0:
            yield MARGIN_WITHOUT_SEED.finding(Place(field=name), sort=name, target=_said(target))


def _said(number: float) -> str:
    return f"{number:,.10g}"


def raked(first: Floats, design: Design) -> Floats:
    """Return weights near `first` (one a seed) with which every equation of `design` holds.

    Raises `seed_weights_wrong`, and `margins_refused` with every `margin_contradicted`.
    """
    wrong = len(first) - int(np.count_nonzero(np.isfinite(first) & (first > 0)))
    if wrong:
        raise SEED_WEIGHTS_WRONG.refusal(households=wrong)
    weights, exponents = first.copy(), np.zeros(len(design.targets))
    gap = design.targets - np.einsum("se,s->e", design.counts, weights)
    for _ in range(ROUNDS_MAX):
        if _small(gap, design):
            return weights
        slope = np.einsum("se,sf->ef", design.counts * weights[:, None], design.counts)
        step = _solved(slope, gap)
        size = 1.0
        while True:
            power = np.einsum("se,e->s", design.counts, exponents + size * step)
            tried = first * np.exp(np.clip(power, -EXPONENT_MAX, EXPONENT_MAX))
            tried_gap = design.targets - np.einsum("se,s->e", design.counts, tried)
            if np.abs(tried_gap).sum() < np.abs(gap).sum():
                break
            size /= 2
            if size < TOLERANCE:
                return _accepted(weights, gap, design)
        exponents, weights, gap = exponents + size * step, tried, tried_gap
    return _accepted(weights, gap, design)


def _small(gap: Floats, design: Design, tolerance: float = TOLERANCE) -> bool:
    scale = np.maximum(np.abs(design.targets), 1e-3 * np.abs(design.targets).max(initial=0.0))
    return bool((np.abs(gap) <= tolerance * scale).all())


def _accepted(weights: Floats, gap: Floats, design: Design) -> Floats:
    """Return weights that are as near as numbers go; refuse those that are not near."""
    if _small(gap, design, 1e-9):
        return weights
    findings = list(_contradicted(design)) or [
        MARGIN_CONTRADICTED.finding(Place(field=name), sort=name, target=_said(target))
        for name, target, missed in zip(design.names, design.targets.tolist(), gap, strict=True)
        if abs(missed) > 1e-9 * max(abs(target), 1)
    ]
    raise MARGINS_REFUSED.refusal(problems=len(findings)).with_findings(findings)


def _contradicted(design: Design) -> Iterator[Finding]:
    """Yield the equations that no weights at all can meet, with the least sum of what is missed."""
    seeds, equations = design.counts.shape
    scale = np.maximum(np.abs(design.targets), 1.0)
    slack = np.eye(equations)
    matrix = np.hstack([design.counts.T / scale[:, None], slack, -slack])
    cost = np.concatenate([np.zeros(seeds), np.ones(2 * equations)])
    found = linprog(cost, A_eq=matrix, b_eq=design.targets / scale, bounds=(0, None))
    missed = found.x[seeds : seeds + equations] + found.x[seeds + equations :]
    for at in np.flatnonzero(missed > 1e-7).tolist():  # noqa: PLR2004 - the programme's own accuracy
        name, target = design.names[at], design.targets[at].item()
        yield MARGIN_CONTRADICTED.finding(Place(field=name), sort=name, target=_said(target))


def _solved(matrix: Floats, right: Floats) -> Floats:
    """Return x with matrix @ x = right; equations that follow from others are left out.

    Gauss-Jordan with the largest diagonal first: the matrix is symmetric and not negative.
    """
    left, right = matrix.copy(), right.copy()
    size = len(right)
    solution, open_rows = np.zeros(size), np.ones(size, dtype=np.bool_)
    smallest = np.abs(np.diagonal(matrix)).max(initial=0.0) * 1e-12
    scale = np.maximum(np.diagonal(matrix), smallest or 1.0)
    used: list[int] = []
    for _ in range(size):
        pivots = np.where(open_rows, np.diagonal(left) / scale, -1.0)
        row = int(np.argmax(pivots))
        if pivots[row] <= 1e-11:  # noqa: PLR2004 - what is left follows from what was used
            break
        right[row] /= left[row, row]
        left[row] /= left[row, row]
        others = np.arange(size) != row
        factor = left[others, row].copy()
        left[others] -= factor[:, None] * left[row]
        right[others] -= factor * right[row]
        open_rows[row] = False
        used.append(row)
    solution[used] = right[used]
    return solution
