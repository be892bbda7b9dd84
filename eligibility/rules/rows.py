"""One household at a time: the terms over plain Python values.

For the officer's "why was this household decided so", for appeals and for what-if. It shares no
code with the back end in columns; a property test holds the two together on random rosters.

A truth is `(certain, possible)`; anything else is a range `(low, high)`, None being an open end.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import singledispatch
from typing import TypeAlias

from eligibility.rules import terms
from eligibility.rules.terms import Kind, Tally, Term, Zero
from ledgers.problems import Problem

RULE_OVERFLOW = Problem(
    "rule_overflow",
    "A number of a rule is larger than the books can hold.",
    "Check the parameters and the values for a slipped digit.",
)

Value: TypeAlias = int | str | bool | date
Parameter: TypeAlias = Value | tuple[str, ...] | tuple[int, ...]
Truth: TypeAlias = tuple[bool, bool]
Range: TypeAlias = tuple[Value | None, Value | None]
Numbers: TypeAlias = tuple[int | None, int | None]

PASS: Truth = (True, True)
FAIL: Truth = (False, False)
UNKNOWN: Truth = (False, True)
OPEN: Numbers = (None, None)
ZERO_ANSWERS = {Zero.PASS: PASS, Zero.FAIL: FAIL, Zero.STOP: UNKNOWN}
NUMBER_MAX = 2**63 - 1
RATIO_SCALE = 1000


@dataclass(frozen=True, slots=True)
class Case:
    """One household as the rules see it on a day.

    `household` and each of `members` hold canonical facts by column name, None for unknown; where
    `has_roster` is not true, `members` are only some of its people. `facts` are the answers of the
    pack's facts so far, and `member` is the one member a condition is about.
    """

    household: Mapping[str, Value | None]
    members: Sequence[Mapping[str, Value | None]]
    parameters: Mapping[str, Parameter]
    on: date
    facts: dict[str, Range] = field(default_factory=dict)
    member: Mapping[str, Value | None] | None = None

    @property
    def complete(self) -> bool:
        """Whether `members` are all of the household."""
        return self.household.get("has_roster") is True and bool(self.members)


@singledispatch
def answer(term: Term, case: Case) -> Range:
    """Return what `term` says of the household of `case`. Raises `rule_overflow`."""
    message = f"{type(term).__name__} is no term; nothing is decided for {len(case.members)} people"
    raise TypeError(message)


def truth(term: Term, case: Case) -> Truth:
    """Return the truth of a condition: certainly, possibly."""
    certain, possible = answer(term, case)
    return certain is True, possible is True


def numbers(term: Term, case: Case) -> Numbers:
    """Return the range of a number."""
    low, high = answer(term, case)
    return exact(low), exact(high)


def exact(value: Value | None) -> int | None:
    """Return a number that the books can hold, or None. Raises `rule_overflow`."""
    if value is None:
        return None
    if not isinstance(value, int):
        message = f"a {type(value).__name__} stands where the check lets only numbers through"
        raise TypeError(message)
    if abs(value) > NUMBER_MAX:
        raise RULE_OVERFLOW.refusal()
    return value


# --- values ---------------------------------------------------------------------------------


def _plain(value: Value | None, kind: Kind) -> Range:
    if kind is Kind.BOOL:
        return value is True, value is not False
    return value, value


@answer.register
def _const(term: terms.Const, case: Case) -> Range:
    del case
    return _plain(term.value, term.kind)


@answer.register
def _param(term: terms.Param, case: Case) -> Range:
    value = case.parameters[term.name]
    if isinstance(value, tuple):
        message = f"the list p.{term.name} stands where the check lets only values through"
        raise TypeError(message)
    return _plain(value, term.kind)


@answer.register
def _reference_date(term: terms.ReferenceDate, case: Case) -> Range:
    del term
    return case.on, case.on


@answer.register
def _input(term: terms.Input, case: Case) -> Range:
    return _plain(case.household.get(term.name), term.kind)


@answer.register
def _fact(term: terms.Fact, case: Case) -> Range:
    return case.facts[term.name]


@answer.register
def _member_input(term: terms.MemberInput, case: Case) -> Range:
    member = case.member or {}
    value = member.get(term.name)
    known_to_the_year = member.get("birth_date_precision") == "year"
    if term.name == "birth_date" and isinstance(value, date) and known_to_the_year:
        return date(value.year, 1, 1), date(value.year, 12, 31)
    return _plain(value, term.kind)


@answer.register
def _age_at(term: terms.AgeAt, case: Case) -> Range:
    born_first, born_last = answer(term.born, case)
    at_first, at_last = answer(term.at, case)
    return _age(born_last, at_first), _age(born_first, at_last)


def _age(born: Value | None, at: Value | None) -> int | None:
    if not isinstance(born, date) or not isinstance(at, date):
        return None
    before_birthday = (at.month, at.day) < (born.month, born.day)
    return max(0, at.year - born.year - before_birthday)


# --- conditions -----------------------------------------------------------------------------


@answer.register
def _not(term: terms.Not, case: Case) -> Range:
    certain, possible = truth(term.term, case)
    return not possible, not certain


@answer.register
def _both(term: terms.Both, case: Case) -> Range:
    left, right = truth(term.left, case), truth(term.right, case)
    return left[0] and right[0], left[1] and right[1]


@answer.register
def _either(term: terms.Either, case: Case) -> Range:
    left, right = truth(term.left, case), truth(term.right, case)
    return left[0] or right[0], left[1] or right[1]


@answer.register
def _compare(term: terms.Compare, case: Case) -> Range:
    return _compared(term.sign, answer(term.left, case), answer(term.right, case))


def _compared(sign: str, left: Range, right: Range) -> Truth:
    if sign == "<":
        return _below(left[1], right[0]), not _at_most(right[1], left[0])
    if sign == "<=":
        return _at_most(left[1], right[0]), not _below(right[1], left[0])
    certain = _at_most(left[1], right[0]) and _at_most(right[1], left[0])
    return certain, not (_below(left[1], right[0]) or _below(right[1], left[0]))


def _below(left: Value | None, right: Value | None) -> bool:
    """Whether `left` is known to be below `right`."""
    return left is not None and right is not None and left < right  # type: ignore[operator]


def _at_most(left: Value | None, right: Value | None) -> bool:
    return left is not None and right is not None and left <= right  # type: ignore[operator]


@answer.register
def _one_of(term: terms.OneOf, case: Case) -> Range:
    value = answer(term.term, case)
    if isinstance(term.items, terms.Param):
        given = case.parameters[term.items.name]
        items: tuple[Value, ...] = given if isinstance(given, tuple) else ()
    else:
        items = tuple(item.value for item in term.items)
    found = [_compared("==", value, (item, item)) for item in items]
    return any(certain for certain, _ in found), any(possible for _, possible in found)


@answer.register
def _ratio_compare(term: terms.RatioCompare, case: Case) -> Range:
    above, below = numbers(term.above, case), numbers(term.below, case)
    limit = exact(answer(term.limit, case)[0]) or 0
    left = _scaled(RATIO_SCALE, above)
    right = _scaled(limit, below)
    if term.sign in (">", ">="):
        left, right = right, left
    certain, possible = _compared("<" if term.sign in ("<", ">") else "<=", left, right)
    stated = ZERO_ANSWERS[term.zero]
    zero_certain = _at_most(below[1], 0)
    zero_possible = not _below(0, below[0])
    if zero_certain:
        return stated
    if zero_possible:
        return certain and stated[0], possible or stated[1]
    return certain, possible


# --- numbers --------------------------------------------------------------------------------


def _added(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else exact(left + right)


def _scaled(factor: int, term: Numbers) -> Numbers:
    low, high = (None if end is None else exact(factor * end) for end in term)
    return (low, high) if factor >= 0 else (high, low)


@answer.register
def _plus(term: terms.Plus, case: Case) -> Range:
    left, right = numbers(term.left, case), numbers(term.right, case)
    return _added(left[0], right[0]), _added(left[1], right[1])


@answer.register
def _minus(term: terms.Minus, case: Case) -> Range:
    left, right = numbers(term.left, case), _scaled(-1, numbers(term.right, case))
    return _added(left[0], right[0]), _added(left[1], right[1])


@answer.register
def _times(term: terms.Times, case: Case) -> Range:
    factor = exact(answer(term.factor, case)[0]) or 0
    return _scaled(factor, numbers(term.term, case))


@answer.register
def _product(term: terms.Product, case: Case) -> Range:
    (a, b), (c, d) = numbers(term.left, case), numbers(term.right, case)
    if a is None or b is None or c is None or d is None:
        return OPEN
    corners = [one * other for one in (a, b) for other in (c, d)]
    return exact(min(corners)), exact(max(corners))


@answer.register
def _choice(term: terms.Choice, case: Case) -> Range:
    certain, possible = truth(term.when, case)
    if certain:
        return answer(term.then, case)
    if not possible:
        return answer(term.other, case)
    then, other = answer(term.then, case), answer(term.other, case)
    if term.kind is Kind.BOOL:
        return then[0] is True and other[0] is True, then[1] is True or other[1] is True
    low = then[0] if _at_most(then[0], other[0]) else _unless_open(other[0], then[0])
    high = then[1] if _at_most(other[1], then[1]) else _unless_open(other[1], then[1])
    return low, high


def _unless_open(end: Value | None, other: Value | None) -> Value | None:
    return None if other is None else end


# --- members --------------------------------------------------------------------------------


def _each(where: Term | None, case: Case) -> Iterator[tuple[Case, Truth]]:
    for member in case.members:
        one = replace(case, member=member)
        yield one, PASS if where is None else truth(where, one)


@answer.register
def _count(term: terms.Count, case: Case) -> Range:
    found = [holds for _, holds in _each(term.where, case)]
    low = sum(certain for certain, _ in found)
    return low, sum(possible for _, possible in found) if case.complete else None


@answer.register
def _gather(term: terms.Gather, case: Case) -> Range:
    if not case.complete:
        return OPEN
    found = [
        (holds[0], answer(term.value, one)) for one, holds in _each(term.where, case) if holds[1]
    ]
    if term.tally is Tally.SUM:
        return _sum([(certain, (exact(low), exact(high))) for certain, (low, high) in found])
    return _extreme(found, least=term.tally is Tally.MIN)


def _sum(found: Sequence[tuple[bool, Numbers]]) -> Numbers:
    low: int | None = 0
    high: int | None = 0
    for certain, (least, most) in found:
        low = _added(low, least if certain else _closest(least, below=True))
        high = _added(high, most if certain else _closest(most, below=False))
    return low, high


def _closest(end: int | None, *, below: bool) -> int | None:
    """Return the end for a member who may not count: with it, or nothing."""
    if end is None:
        return None
    return min(0, end) if below else max(0, end)


def _extreme(found: Sequence[tuple[bool, Range]], *, least: bool) -> Range:
    """Return the least or greatest value; where it may be of nobody, there is none to speak of."""
    if not any(certain for certain, _ in found):
        return OPEN
    pick = _first if least else _last
    ends = [(certain, value if least else value[::-1]) for certain, value in found]
    far = [outer for _, (outer, _) in ends]
    near = [inner for certain, (_, inner) in ends if certain]
    outer, inner = None if None in far else pick(far), pick(near)
    return (outer, inner) if least else (inner, outer)


def _first(values: Sequence[Value | None]) -> Value | None:
    return min((value for value in values if value is not None), default=None)


def _last(values: Sequence[Value | None]) -> Value | None:
    return max((value for value in values if value is not None), default=None)
