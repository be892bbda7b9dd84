"""Fact cells: a population collapsed to what its rules can tell apart.

The roster is read once, by the engine that decides real cycles; households whose facts are the same
become one *cell* with a weight. A million households are some tens of thousands of cells, on which
a scenario takes milliseconds. The totals are the ones the households would give.

A *view* is a pack on a day: its parameters, and everybody's age. Cells can be gathered for several
views at once, for instance one each six months: then a cell also says who comes to meet the rules
and who ceases to as people grow older, exactly. Whatever a scenario changes must be seen by a view
if it changes what is counted among members (an age limit, say); other changes (a ratio, an income
limit, a score, an amount) are worked out on the same cells. `Cells.serves` tells the two apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np

from eligibility.entitlements import Tariff
from eligibility.rules.checked import Rule, Rules, parameters_on
from eligibility.rules.rows import Parameter
from eligibility.rules.terms import Count, Gather, Param, ReferenceDate, Term, every
from eligibility.selection import stratum_of
from ledgers.problems import Problem
from simulations.cell_rules import Answers, Pair
from simulations.randomness import Bools, Ints

CELLS_VIEW_MISSING = Problem(
    "cells_view_missing",
    "The cells were not gathered for the rules {code} on {on} with these age limits.",
    "Gather the population again with this pack and day among the views.",
)


class View(NamedTuple):
    """A pack on a day."""

    rules: Rules
    on: date


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What rules say of each cell. Bits as in decisions: gates first, then any_of."""

    eligible: Bools
    review: Bools
    pass_bits: Ints
    unknown_bits: Ints
    score: Ints  # 0 where it is not known
    amount_minor: Ints  # of one household; 0 where it is not eligible
    facts: Mapping[str, Pair]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Columns of equal length, one row a cell.

    `weight` is how many households a cell stands for, `people` how many people each of them has (0
    where that is not known), if that is certain. `groups` are the columns that results are told by.
    `inputs` and `columns` are what the rules read: facts of the form, and what was counted among
    members. `ids` are the households where each is a cell of its own.
    """

    weight: Ints
    people: Ints
    size_known: Bools
    groups: Mapping[str, "Group"]
    codes: Mapping[str, int]
    inputs: Mapping[Term, Pair]
    columns: Mapping["Seen", Pair]
    ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def households(self) -> int:
        """How many households the cells stand for."""
        return int(self.weight.sum())

    def serves(self, rules: Rules, on: date) -> bool:
        """Whether everything `rules` count among members on that day has been gathered."""
        parameters = parameters_on(rules.pack, on)
        return all(seen in self.columns for seen in seen_by(rules, parameters, on).values())

    def verdict(self, rules: Rules, on: date) -> Verdict:
        """Return what `rules` say of every cell on a day.

        Raises `cells_view_missing`, `parameter_not_in_force`, `rule_overflow`.
        """
        parameters = parameters_on(rules.pack, on)
        wanted = seen_by(rules, parameters, on)
        if any(seen not in self.columns for seen in wanted.values()):
            raise CELLS_VIEW_MISSING.refusal(code=rules.pack.code, on=on)
        columns = dict(self.inputs)
        columns.update({term: self.columns[seen] for term, seen in wanted.items()})
        answers = Answers(len(self), columns, self.codes, parameters, on)
        for name, term in rules.facts:
            answers.facts[name] = answers.pair(term)
        readings = [answers.pair(rule.term) for rule in rules.criteria]
        score = self._wide(answers.pair(rules.score))
        return self._decided(rules, readings, score, answers.facts)

    def _wide(self, pair: Pair) -> Pair:
        return Pair(*(np.broadcast_to(end, len(self)) for end in pair))

    def _decided(
        self, rules: Rules, readings: list[Pair], score: Pair, facts: Mapping[str, Pair]
    ) -> Verdict:
        wide = [self._wide(reading) for reading in readings]
        met = self._met(rules.criteria, wide)
        placed = (score.low == score.high) & self.size_known
        stratum = stratum_of(rules.pack.selection)
        if stratum is not None:
            placed &= self.groups[stratum].places >= 0
        certain, possible = met.truth()
        eligible = certain & placed
        amounts = np.where(eligible, amounts_of_people(rules.tariff, self.people), 0)
        return Verdict(
            eligible=eligible,
            review=possible & ~eligible,
            pass_bits=_bits([reading.low for reading in wide], len(self)),
            unknown_bits=_bits([reading.high - reading.low for reading in wide], len(self)),
            score=np.where(score.low == score.high, score.low, 0),
            amount_minor=amounts,
            facts={name: self._wide(pair) for name, pair in facts.items()},
        )

    def _met(self, criteria: Sequence[Rule], readings: list[Pair]) -> Pair:
        """Return whether all gates and one of any_of are met, certainly and possibly."""
        everyone = np.ones(len(self), dtype=np.int64)
        low, high = everyone.copy(), everyone.copy()
        some = Pair(everyone * 0, everyone * 0)
        for rule, reading in zip(criteria, readings, strict=True):
            one = reading
            if rule.on_unknown != "stop":
                end = reading.high if rule.on_unknown == "pass" else reading.low
                one = Pair(end, end)
            if rule.gate:
                low, high = low & one.low, high & one.high
            else:
                some = Pair(some.low | one.low, some.high | one.high)
        if all(rule.gate for rule in criteria):
            some = Pair(everyone, everyone)
        return Pair(low & some.low, high & some.high)


class Group(NamedTuple):
    """The names in a text column, and each cell's place among them (-1: not known)."""

    names: tuple[str, ...]
    places: Ints


class Seen(NamedTuple):
    """A count or tally of members with everything its answer depends on."""

    term: Term
    parameters: tuple[tuple[str, Parameter], ...]
    on: date | None  # None where no age is read


def amounts_of_people(tariff: Tariff, people: Ints) -> Ints:
    """Return what households of so many people are entitled to; 0 for nobody."""
    table = np.array((0, *tariff), dtype=np.int64)
    return table[np.minimum(people, len(tariff))]


def _bits(readings: Sequence[Ints], size: int) -> Ints:
    bits = np.zeros(size, dtype=np.int64)
    for at, reading in enumerate(readings):
        bits |= reading << at
    return bits


def roots_of(rules: Rules) -> list[Term]:
    """Return every expression of the rules."""
    return [
        *(term for _, term in rules.facts),
        *(rule.term for rule in rules.criteria),
        rules.score,
    ]


def seen_by(rules: Rules, parameters: Mapping[str, Parameter], on: date) -> dict[Term, Seen]:
    """Return every count and tally of the rules with what its answer depends on."""
    found: dict[Term, Seen] = {}
    for root in roots_of(rules):
        for term in every(root):
            if isinstance(term, Count | Gather) and term not in found:
                names = {inner.name for inner in every(term) if isinstance(inner, Param)}
                used = tuple((name, parameters[name]) for name in sorted(names))
                dated = any(isinstance(inner, ReferenceDate) for inner in every(term))
                found[term] = Seen(term, used, on if dated else None)
    return found
