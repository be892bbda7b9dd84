"""A condition over one household as a tree of tests: what was seen, what was needed, how far off.

Negations are gone: `!(a < b)` is shown as "a is at least b", because nobody reads a letter with a
double negation in it. A test has the thing that varies to its left and the limit to its right, as
people say it: `p.least <= rcsi` is "rcsi is at least 19". `c ? a : b` is shown as the branch that
was taken, with the condition that led there.

Vocabulary: a *gap* says how far off a test is, in thousandths of the limit, where both sides are
known; None otherwise. A count is off by its missing people, of whom the last one counts as far as
the member who comes nearest is off. The *nearest threshold* of a failed condition is the smallest
set of tests that would have to come out otherwise.

Sources: the negation normal form of propositional logic; R. Binns and others, "It's Reducing a
Human Being to a Percentage" (CHI 2018), for what people ask of an explanation: the values used
and how near they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from eligibility.rules import terms
from eligibility.rules.rows import RATIO_SCALE, Case, Range, answer, numbers, truth
from eligibility.rules.terms import Count, Fact, Input, Kind, Term, every

FULL_STEP = 1000
HALF_STEP = 500  # papers change more often than families do


class Outcome(StrEnum):
    """What one criterion, or one part of it, says of one household."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"  # the facts leave it open


class Shape(StrEnum):
    """How the parts of a reading come together."""

    ALL = "all"  # every part must hold
    ANY = "any"  # one part is enough
    TEST = "test"  # one comparison, no parts
    GIVEN = "given"  # written as true or false in the rules


class Sign(StrEnum):
    """What a test asks of what was seen."""

    AT_LEAST = "at_least"
    MORE_THAN = "more_than"
    AT_MOST = "at_most"
    LESS_THAN = "less_than"
    IS = "is"
    IS_NOT = "is_not"
    AMONG = "among"  # one of a list
    NOT_AMONG = "not_among"


OPPOSITE = {
    Sign.AT_LEAST: Sign.LESS_THAN, Sign.LESS_THAN: Sign.AT_LEAST, Sign.AT_MOST: Sign.MORE_THAN,
    Sign.MORE_THAN: Sign.AT_MOST, Sign.IS: Sign.IS_NOT, Sign.IS_NOT: Sign.IS,
    Sign.AMONG: Sign.NOT_AMONG, Sign.NOT_AMONG: Sign.AMONG,
}  # fmt: skip
TURNED = {
    Sign.AT_LEAST: Sign.AT_MOST, Sign.AT_MOST: Sign.AT_LEAST, Sign.LESS_THAN: Sign.MORE_THAN,
    Sign.MORE_THAN: Sign.LESS_THAN, Sign.IS: Sign.IS, Sign.IS_NOT: Sign.IS_NOT,
}  # fmt: skip
SIGNS = {
    "<": Sign.LESS_THAN, "<=": Sign.AT_MOST, ">": Sign.MORE_THAN, ">=": Sign.AT_LEAST,
    "==": Sign.IS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counted:
    """Which members a count is made of, by their number in the household, from 1."""

    certain: tuple[int, ...]
    possible: tuple[int, ...]  # they may count: something about them is not known


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison: `seen` of `what` against `needs` of `limit`; None is an open end.

    A ratio has `what` with both numbers in it, and `seen` is the number above, `below` the one
    under it; `needs` is in thousandths. `needed` are the items of a list.
    """

    what: Term
    sign: Sign
    limit: Term | None
    seen: Range
    needs: Range
    below: Range | None = None
    needed: tuple[str | int, ...] = ()
    gap: int | None = None
    counted: Counted | None = None
    closest: "Closest | None" = None


@dataclass(frozen=True, slots=True)
class Closest:
    """The member who `joins` a count, or leaves it, by the smallest change; `tests` say which."""

    member_no: int
    tests: tuple[Test, ...]
    joins: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """A condition read on one household; `named` is the fact it is the meaning of."""

    shape: Shape
    outcome: Outcome
    parts: tuple["Reading", ...] = ()
    test: Test | None = None
    named: str = ""


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads conditions of one case; `facts` are the terms of the pack's facts."""

    case: Case
    facts: Mapping[str, Term]
    inside: bool = field(default=False)  # a condition on one member

    def read(  # noqa: PLR0911 - one answer per shape of a condition
        self, term: Term, *, wanted: bool = True
    ) -> Reading:
        """Return the reading of `term`, or of its opposite where it is not `wanted`."""
        match term:
            case terms.Not(term=inner):
                return self.read(inner, wanted=not wanted)
            case terms.Both(left=left, right=right):
                return self.joined(Shape.ALL, (left, right), wanted=wanted)
            case terms.Either(left=left, right=right):
                return self.joined(Shape.ANY, (left, right), wanted=wanted)
            case terms.Choice():
                return self.choice(term, wanted=wanted)
            case Fact(name=name) if name in self.facts:
                return replace(self.read(self.facts[name], wanted=wanted), named=name)
            case terms.Const():
                return Reading(Shape.GIVEN, self.outcome(term, wanted=wanted))
            case _:
                made = self.test(term, wanted=wanted)
                return Reading(Shape.TEST, self.outcome(term, wanted=wanted), test=made)

    def outcome(self, term: Term, *, wanted: bool) -> Outcome:
        certain, possible = truth(term, self.case)
        if certain != possible:
            return Outcome.UNKNOWN
        return Outcome.PASS if certain is wanted else Outcome.FAIL

    def joined(self, shape: Shape, sides: tuple[Term, ...], *, wanted: bool) -> Reading:
        if not wanted:
            shape = Shape.ANY if shape is Shape.ALL else Shape.ALL
        parts: list[Reading] = []
        for side in sides:
            part = self.read(side, wanted=wanted)
            parts += part.parts if part.shape is shape and not part.named else (part,)
        return together(shape, tuple(parts))

    def choice(self, term: terms.Choice, *, wanted: bool) -> Reading:
        certain, possible = truth(term.when, self.case)
        branches = []
        if possible:
            branches.append((self.read(term.when), self.read(term.then, wanted=wanted)))
        if not certain:
            no = self.read(term.when, wanted=False)
            branches.append((no, self.read(term.other, wanted=wanted)))
        read = tuple(together(Shape.ALL, branch) for branch in branches)
        return read[0] if len(read) == 1 else together(Shape.ANY, read)

    # --- tests ---

    def test(self, term: Term, *, wanted: bool) -> Test:
        match term:
            case terms.Compare(sign=sign, left=left, right=right):
                found = self.compared(left, SIGNS[sign], right)
            case terms.RatioCompare():
                found = self.ratio(term)
            case terms.OneOf():
                found = self.among(term)
            case _:
                return Test(
                    term, Sign.IS, None, answer(term, self.case), (wanted, wanted),
                    gap=HALF_STEP if self.outcome(term, wanted=wanted) is Outcome.FAIL else None,
                )  # fmt: skip
        if not wanted:
            found = replace(found, sign=OPPOSITE[found.sign])
        return self.with_members(found, self.outcome(term, wanted=wanted))

    def compared(self, left: Term, sign: Sign, right: Term) -> Test:
        if _fixed(left) and not _fixed(right):
            left, sign, right = right, TURNED[sign], left
        seen, needs = answer(left, self.case), answer(right, self.case)
        return Test(left, sign, right, seen, needs, gap=gap_of(seen, needs))

    def ratio(self, term: terms.RatioCompare) -> Test:
        above, below = numbers(term.above, self.case), numbers(term.below, self.case)
        needs = answer(term.limit, self.case)
        gap = None
        if above[0] is not None and above[0] == above[1] and below[0] == below[1] and below[0]:
            scaled = above[0] * RATIO_SCALE // below[0]
            gap = gap_of((scaled, scaled), needs)
        return Test(term, SIGNS[term.sign], term.limit, above, needs, below=below, gap=gap)

    def among(self, term: terms.OneOf) -> Test:
        if isinstance(term.items, terms.Param):
            given = self.case.parameters[term.items.name]
            items = given if isinstance(given, tuple) else ()
            limit: Term | None = term.items
        else:
            items, limit = tuple(str(item.value) for item in term.items), None
        seen = answer(term.term, self.case)
        return Test(
            term.term, Sign.AMONG, limit, seen, (None, None), needed=items, gap=FULL_STEP
        )  # fmt: skip

    # --- members ---

    def with_members(self, test: Test, outcome: Outcome) -> Test:
        """Add who is counted, and, where it fails, who comes nearest to changing the count."""
        count = count_of(test.what, self.facts)
        if count is None or self.inside:
            return test
        counted = counted_in(count, self.case)
        short = people_short(test)
        if outcome is not Outcome.FAIL or short == 0:
            return replace(test, counted=counted)
        closest = self.closest(count, counted, joins=short > 0)
        last = total_gap(closest.tests) if closest else FULL_STEP
        gap = (abs(short) - 1) * FULL_STEP + last
        return replace(test, counted=counted, closest=closest, gap=gap)

    def closest(self, count: Count, counted: Counted, *, joins: bool) -> Closest | None:
        """Return the member who would join the count, or leave it, by the smallest change."""
        if count.where is None:
            return None
        found = []
        for number, member in enumerate(self.case.members, start=1):
            if (number in counted.certain) is joins:
                continue
            one = _Reader(replace(self.case, member=member), self.facts, inside=True)
            tests = failing(one.read(count.where, wanted=joins))
            if tests and all(test.gap is not None for test in tests):
                found.append((len(tests), total_gap(tests), number, tests))
        if not found:
            return None
        _, _, number, tests = min(found, key=lambda item: item[:3])
        return Closest(number, tests, joins=joins)


def people_short(test: Test) -> int:
    """Return how many people a failed count is short of; below zero where it has too many."""
    seen, needs = test.seen[0], test.needs[0]
    exact = test.seen[0] == test.seen[1] and test.needs[0] == test.needs[1]
    if not exact or not isinstance(seen, int) or not isinstance(needs, int):
        return 0
    strict = {Sign.MORE_THAN: 1, Sign.LESS_THAN: -1}.get(test.sign, 0)
    return 0 if test.sign is Sign.IS_NOT else needs + strict - seen


def read(term: Term, case: Case, facts: Mapping[str, Term]) -> Reading:
    """Return the tree of the condition `term`; `facts` are the terms of the pack's facts."""
    return _Reader(case, facts).read(term)


def counted_in(count: Count, case: Case) -> Counted:
    """Return who of the members of `case` is counted, and who may be."""
    certain, possible = [], []
    for number, member in enumerate(case.members, start=1):
        holds = (True, True)
        if count.where is not None:
            holds = truth(count.where, replace(case, member=member))
        if holds[0]:
            certain.append(number)
        elif holds[1]:
            possible.append(number)
    return Counted(tuple(certain), tuple(possible))


def count_of(term: Term, facts: Mapping[str, Term]) -> Count | None:
    """Return the count that `term` is, itself or as a fact."""
    while isinstance(term, Fact) and term.name in facts:
        term = facts[term.name]
    return term if isinstance(term, Count) else None


def together(shape: Shape, parts: tuple[Reading, ...]) -> Reading:
    """Return `parts` as one reading, by Kleene's logic."""
    outcomes = {part.outcome for part in parts}
    settled = Outcome.FAIL if shape is Shape.ALL else Outcome.PASS
    otherwise = Outcome.PASS if shape is Shape.ALL else Outcome.FAIL
    if settled in outcomes:
        return Reading(shape, settled, parts)
    outcome = Outcome.UNKNOWN if Outcome.UNKNOWN in outcomes else otherwise
    return Reading(shape, outcome, parts)


def failing(reading: Reading) -> tuple[Test, ...]:
    """Return the fewest and nearest tests that would have to come out otherwise for a pass."""
    return _decisive(reading, Outcome.FAIL, Shape.ALL)


def holding(reading: Reading) -> tuple[Test, ...]:
    """Return the fewest and nearest tests whose change would end a pass."""
    return _decisive(reading, Outcome.PASS, Shape.ANY)


def unknown(reading: Reading) -> tuple[Test, ...]:
    """Return the tests that the facts leave open, where the whole is left open by them."""
    if reading.outcome is not Outcome.UNKNOWN:
        return ()
    if reading.test is not None:
        return (reading.test,)
    return tuple(test for part in reading.parts for test in unknown(part))


def _decisive(reading: Reading, outcome: Outcome, every_part: Shape) -> tuple[Test, ...]:
    """Return the tests that decide `outcome`: all parts of one shape, the nearest of the other."""
    if reading.outcome is not outcome:
        return ()
    if reading.test is not None:
        return (reading.test,)
    found = [tests for part in reading.parts if (tests := _decisive(part, outcome, every_part))]
    if reading.shape is every_part:
        return tuple(test for tests in found for test in tests)
    return min(found, key=lambda tests: (len(tests), total_gap(tests)), default=())


def total_gap(tests: tuple[Test, ...]) -> int:
    """Return how far off `tests` are together; a gap that is not known is a full step."""
    return sum(FULL_STEP if test.gap is None else test.gap for test in tests)


def gap_of(seen: Range, needs: Range) -> int | None:
    """Return the distance of two known values in thousandths of the second, else None.

    >>> gap_of((1333, 1333), (1500, 1500)), gap_of((1, 2), (3, 3))
    (111, None)
    """
    one, other = seen[0], needs[0]
    if one is None or other is None or one != seen[1] or other != needs[1]:
        return None
    if isinstance(one, date) and isinstance(other, date):
        return abs((one - other).days) * FULL_STEP // 365
    if isinstance(one, str | date) or isinstance(other, str | date):
        return 0 if one == other else FULL_STEP
    return abs(one - other) * FULL_STEP // max(1, abs(other))


def _fixed(term: Term) -> bool:
    """Whether `term` is the same for every household on a day."""
    varies = (Input, Fact, terms.MemberInput, Count, terms.Gather)
    return not any(isinstance(part, varies) for part in every(term))


def kind_of_ratio(test: Test) -> Kind:
    """Return the type of what a test compares; a ratio is one whatever its two numbers are."""
    return Kind.RATIO if test.below is not None else test.what.kind
