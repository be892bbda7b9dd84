"""Fact cells: a population collapsed to what its rules can tell apart.

The roster is read once, by the engine that decides real cycles; households about which it says the
same become one *cell* with a weight. A million households are some tens of thousands of cells, on
which a scenario takes milliseconds. The totals are the ones the households would give.

A *view* is a pack on a day, with the parameters that a scenario may change (*free* ones). Whatever
does not depend on a free parameter is answered once: a criterion becomes a bit, a score a number.
What does depend on one is kept as the facts it needs, and worked out again in each scenario. Cells
can be gathered for several views at once, for instance one each six months: then a cell also says
who comes to meet the rules and who ceases to as people grow older, exactly.

What is counted among members is always answered beforehand; so an age limit cannot be free, it must
be seen by a view of its own. `Cells.serves` says whether rules can be worked out on the cells.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import numpy as np

from eligibility.rules.checked import Rule, Rules, parameters_on
from eligibility.rules.rows import Parameter
from eligibility.rules.terms import (
    Const,
    Count,
    Fact,
    Gather,
    Input,
    Param,
    People,
    ReferenceDate,
    Term,
    every,
    parts,
)  # fmt: skip
from eligibility.selection import stratum_of
from ledgers.problems import Problem
from simulations.cell_rules import Answers, Pair
from simulations.randomness import Bools, Ints

CELLS_VIEW_MISSING = Problem(
    "cells_view_missing",
    "The cells were not gathered for the rules {code} on {on} as they stand.",
    "Gather the population again with this pack, day and free parameters among the views.",
)


READ = Input | Count | Gather | People  # what is read of a household, not worked out


class View(NamedTuple):
    """A pack on a day, and the parameters that may be changed afterwards."""

    rules: Rules
    on: date
    free: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What rules say of each cell. Bits as in decisions: gates first, then any_of."""

    eligible: Bools
    review: Bools
    pass_bits: Ints
    unknown_bits: Ints
    score: Ints  # 0 where it is not known
    amount_minor: Ints  # of one household; 0 where it is not eligible


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Columns of equal length, one row a cell.

    `weight` is how many households a cell stands for, `people` how many people each of them has (0
    where that is not known), if that is certain. `groups` are the columns that results are told by.
    `columns` are the answers that were gathered. `ids` are the households where each is a cell of
    its own.
    """

    weight: Ints
    people: Ints
    size_known: Bools
    groups: Mapping[str, "Group"]
    codes: Mapping[str, int]
    columns: Mapping["Seen", Pair]
    ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.weight)

    @property
    def households(self) -> int:
        """How many households the cells stand for."""
        return int(self.weight.sum())

    def serves(self, rules: Rules, on: date) -> bool:
        """Whether `rules` can be worked out for that day with what has been gathered."""
        seeing = Seeing.of(rules, on)

        def covered(term: Term) -> bool:
            if (
                isinstance(term, Const | Param | ReferenceDate)
                or seeing.of_term(term) in self.columns
            ):
                return True
            if isinstance(term, Fact):
                return covered(seeing.definitions[term.name])
            if isinstance(term, READ):
                return False
            return all(covered(part) for part in parts(term))

        return all(covered(root) for root in roots_of(rules))

    def verdict(self, rules: Rules, on: date) -> Verdict:
        """Return what `rules` say of every cell on a day.

        Raises `cells_view_missing`, `parameter_not_in_force`, `rule_overflow`.
        """
        if not self.serves(rules, on):
            raise CELLS_VIEW_MISSING.refusal(code=rules.pack.code, on=on)
        seeing = Seeing.of(rules, on)
        answers = Answers(
            lambda term: self.columns.get(seeing.of_term(term)),
            self.codes,
            seeing.parameters,
            on,
            seeing.definitions,
        )
        readings = [self._wide(answers.pair(rule.term)) for rule in rules.criteria]
        score, due = (self._wide(answers.pair(term)) for term in (rules.score, rules.amount.due))
        return self._decided(rules, readings, score, due)

    def _wide(self, pair: Pair) -> Pair:
        return Pair(*(np.broadcast_to(end, len(self)) for end in pair))

    def _decided(self, rules: Rules, readings: list[Pair], score: Pair, due: Pair) -> Verdict:
        met = self._met(rules.criteria, readings)
        placed = (score.low == score.high) & self.size_known & (due.low == due.high)
        stratum = stratum_of(rules.pack.selection)
        if stratum is not None:
            placed &= self.groups[stratum].places >= 0
        certain, possible = met.truth()
        eligible = certain & placed
        return Verdict(
            eligible=eligible,
            review=possible & ~eligible,
            pass_bits=_bits([reading.low for reading in readings], len(self)),
            unknown_bits=_bits([reading.high - reading.low for reading in readings], len(self)),
            score=np.where(score.low == score.high, score.low, 0),
            amount_minor=np.where(eligible, due.low, 0),
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
    """A term with everything its answer depends on besides the household."""

    term: Term
    parameters: tuple[tuple[str, Parameter], ...]
    definitions: tuple[tuple[str, Term], ...]
    on: date | None  # None where the day does not matter


@dataclass(frozen=True, slots=True)
class Seeing:
    """Rules on a day: what parameters and facts mean, and what a term depends on."""

    parameters: Mapping[str, Parameter]
    definitions: Mapping[str, Term]
    on: date
    ready: dict[Term, Seen] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Rules, on: date) -> "Seeing":
        """Return what the rules mean on a day. Raises `parameter_not_in_force`."""
        return cls(parameters_on(rules.pack, on), dict(rules.facts), on)

    def of_term(self, term: Term) -> Seen:
        """Return a term with all it depends on."""
        if term not in self.ready:
            inner = self._every(term)
            names = {part.name for part in inner if isinstance(part, Param)}
            facts = {part.name for part in inner if isinstance(part, Fact)}
            dated = any(isinstance(part, ReferenceDate) for part in inner)
            self.ready[term] = Seen(
                term,
                tuple((name, self.parameters[name]) for name in sorted(names)),
                tuple((name, self.definitions[name]) for name in sorted(facts)),
                self.on if dated else None,
            )
        return self.ready[term]

    def _every(self, term: Term) -> list[Term]:
        found = list(every(term))
        for part in tuple(found):
            if isinstance(part, Fact):
                found += self._every(self.definitions[part.name])
        return found

    def asked(self, root: Term, free: frozenset[str]) -> Iterator[Seen]:
        """Yield what must be answered beforehand so that `root` follows from it.

        That is every outermost part that no free parameter decides, and what reads the roster.
        """
        if isinstance(root, Const | Param | ReferenceDate):
            return
        seen = self.of_term(root)
        if isinstance(root, READ) or not free & dict(seen.parameters).keys():
            yield seen
        elif isinstance(root, Fact):
            yield from self.asked(self.definitions[root.name], free)
        else:
            for part in parts(root):
                yield from self.asked(part, free)


def _bits(readings: Sequence[Ints], size: int) -> Ints:
    bits = np.zeros(size, dtype=np.int64)
    for at, reading in enumerate(readings):
        bits |= reading << at
    return bits


def roots_of(rules: Rules) -> list[Term]:
    """Return every expression that decides something: the criteria, the score and the amount."""
    return [*(rule.term for rule in rules.criteria), rules.score, rules.amount.due]
