"""The rules over fact cells: the same terms once more, on arrays of numbers.

A scenario changes a parameter and wants the answer at once. So the terms of a released pack are
worked out on the few thousand distinct fact tuples of a population instead of on its households.
What a scenario cannot change has been answered before, by the engine that decides real cycles; here
only the arithmetic and the conditions around it are left. A test holds every answer to the real
engine's.

A truth is two arrays (certainly, possibly), anything else two arrays of int64 (lowest, highest).
`OPEN` stands for an end that is not known: below everything as a lowest end, above everything as a
highest one. Texts are codes of one dictionary, dates are days since 1970.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce, singledispatchmethod
from typing import NamedTuple

import numpy as np

from eligibility.rules import terms
from eligibility.rules.rows import RATIO_SCALE, RULE_OVERFLOW, Parameter
from eligibility.rules.terms import Kind, Term, Zero
from simulations.randomness import Bools, Ints

OPEN = np.int64(2**62)
NO_CODE = -2  # a text that no household has


class Pair(NamedTuple):
    """Certainly and possibly, or lowest and highest."""

    low: Ints
    high: Ints

    def truth(self) -> tuple[Bools, Bools]:
        """Return the two readings of a condition."""
        return self.low.astype(np.bool_), self.high.astype(np.bool_)


def truths(low: Bools, high: Bools) -> Pair:
    """Return a condition as numbers, 1 for true."""
    return Pair(low.astype(np.int64), high.astype(np.int64))


def compared(sign: str, left: Pair, right: Pair) -> Pair:
    """Return whether `left sign right` certainly and possibly holds; sign is <, <= or ==."""
    if sign == "<":
        return truths(left.high < right.low, ~(right.high <= left.low))
    if sign == "<=":
        return truths(left.high <= right.low, ~(right.high < left.low))
    certain = (left.high <= right.low) & (right.high <= left.low)
    apart = (left.high < right.low) | (right.high < left.low)
    return truths(certain, ~apart)


def known_days(days: Ints) -> Ints:
    """Return calendar days as year * 10000 + month * 100 + day; `OPEN` ends are 1 January 1970."""
    safe = np.where(np.abs(days) >= OPEN, 0, days).astype("datetime64[D]")
    months = safe.astype("datetime64[M]")
    years = months.astype("datetime64[Y]").astype(np.int64) + 1970
    month = months.astype(np.int64) % 12 + 1
    day = (safe - months).astype(np.int64) + 1
    number: Ints = years * 10_000 + month * 100 + day
    return number


def _age(born: Ints, at: Ints, open_end: np.int64) -> Ints:
    whole_years = np.maximum((known_days(at) - known_days(born)) // 10_000, 0)
    return np.where((np.abs(born) >= OPEN) | (np.abs(at) >= OPEN), open_end, whole_years)


@dataclass(slots=True)
class Answers:
    """Works out terms over cells.

    `known` gives the two readings of a term that has been answered before, or None; `codes` is the
    dictionary of texts, `definitions` what each fact of the pack means.
    """

    known: Callable[[Term], Pair | None]
    codes: Mapping[str, int]
    parameters: Mapping[str, Parameter]
    on: date
    definitions: Mapping[str, Term]
    ready: dict[Term, Pair] = field(default_factory=dict)

    def pair(self, term: Term) -> Pair:
        """Return the two readings of `term` for every cell. Raises `rule_overflow`."""
        found = self.ready.get(term)
        if found is None:
            found = self.known(term)
            found = self.build(term) if found is None else found
            self.ready[term] = found
        return found

    @singledispatchmethod
    def build(self, term: Term) -> Pair:
        """Return the two readings of a term that is no column."""
        message = f"{type(term).__name__} is not answered on cells"
        raise TypeError(message)

    def plain(self, value: Parameter) -> Pair:
        """Return one value for all cells."""
        if isinstance(value, str):
            number = self.codes.get(value, NO_CODE)
        elif isinstance(value, date):
            number = (value - date(1970, 1, 1)).days
        elif isinstance(value, tuple):
            message = "a list of texts stands where the check lets only values through"
            raise TypeError(message)
        else:
            number = int(value)
        # One element that broadcasts: constants cost nothing.
        column = np.array([number], dtype=np.int64)
        return Pair(column, column)

    # --- values ---

    @build.register
    def _const(self, term: terms.Const) -> Pair:
        return self.plain(term.value)

    @build.register
    def _param(self, term: terms.Param) -> Pair:
        return self.plain(self.parameters[term.name])

    @build.register
    def _reference_date(self, term: terms.ReferenceDate) -> Pair:
        del term
        return self.plain(self.on)

    @build.register
    def _fact(self, term: terms.Fact) -> Pair:
        return self.pair(self.definitions[term.name])

    @build.register
    def _age_at(self, term: terms.AgeAt) -> Pair:
        born, at = self.pair(term.born), self.pair(term.at)
        return Pair(_age(born.high, at.low, -OPEN), _age(born.low, at.high, OPEN))

    # --- conditions ---

    @build.register
    def _not(self, term: terms.Not) -> Pair:
        inner = self.pair(term.term)
        return Pair(1 - inner.high, 1 - inner.low)

    @build.register
    def _both(self, term: terms.Both) -> Pair:
        left, right = self.pair(term.left), self.pair(term.right)
        return Pair(left.low & right.low, left.high & right.high)

    @build.register
    def _either(self, term: terms.Either) -> Pair:
        left, right = self.pair(term.left), self.pair(term.right)
        return Pair(left.low | right.low, left.high | right.high)

    @build.register
    def _compare(self, term: terms.Compare) -> Pair:
        return compared(term.sign, self.pair(term.left), self.pair(term.right))

    @build.register
    def _one_of(self, term: terms.OneOf) -> Pair:
        value = self.pair(term.term)
        found = [compared("==", value, item) for item in self._items(term.items)]
        nothing = self.plain(value=False)
        return reduce(lambda one, two: Pair(one.low | two.low, one.high | two.high), found, nothing)

    def _items(self, items: Sequence[terms.Const] | terms.Param) -> list[Pair]:
        if not isinstance(items, terms.Param):
            return [self.plain(item.value) for item in items]
        given = self.parameters[items.name]
        return [self.plain(item) for item in given] if isinstance(given, tuple) else []

    @build.register
    def _ratio_compare(self, term: terms.RatioCompare) -> Pair:
        above, below = self.pair(term.above), self.pair(term.below)
        limit = self.parameters[term.limit.name]
        left = _times(above, RATIO_SCALE)
        right = _times(below, limit if isinstance(limit, int) else 0)
        if term.sign in (">", ">="):
            left, right = right, left
        plain = compared("<" if term.sign in ("<", ">") else "<=", left, right)
        stated = {Zero.PASS: (1, 1), Zero.FAIL: (0, 0), Zero.STOP: (0, 1)}[term.zero]
        certain, possible = below.high <= 0, below.low <= 0
        low = np.where(possible, plain.low & stated[0], plain.low)
        high = np.where(possible, plain.high | stated[1], plain.high)
        return Pair(np.where(certain, stated[0], low), np.where(certain, stated[1], high))

    # --- numbers ---

    @build.register
    def _plus(self, term: terms.Plus) -> Pair:
        left, right = self.pair(term.left), self.pair(term.right)
        return Pair(_added(left.low, right.low, -OPEN), _added(left.high, right.high, OPEN))

    @build.register
    def _minus(self, term: terms.Minus) -> Pair:
        left, right = self.pair(term.left), _times(self.pair(term.right), -1)
        return Pair(_added(left.low, right.low, -OPEN), _added(left.high, right.high, OPEN))

    @build.register
    def _times(self, term: terms.Times) -> Pair:
        factor = term.factor
        value = factor.value if isinstance(factor, terms.Const) else self.parameters[factor.name]
        return _times(self.pair(term.term), value if isinstance(value, int) else 0)

    @build.register
    def _product(self, term: terms.Product) -> Pair:
        left, right = self.pair(term.left), self.pair(term.right)
        ends = [*left, *right]
        is_open = reduce(np.logical_or, [np.abs(end) >= OPEN for end in ends])
        one, other = [[np.where(is_open, 0, end) for end in pair] for pair in (left, right)]
        if max(_largest(a, b) for a in one for b in other) >= OPEN:
            raise RULE_OVERFLOW.refusal()
        corners = [a * b for a in one for b in other]
        low, high = reduce(np.minimum, corners), reduce(np.maximum, corners)
        return Pair(np.where(is_open, -OPEN, low), np.where(is_open, OPEN, high))

    @build.register
    def _lookup(self, term: terms.Lookup) -> Pair:
        of = self.pair(term.term)
        before = of.low < term.starts[0]
        low, high = np.full_like(of.low, OPEN), np.full_like(of.high, -OPEN)
        if term.below is not None:
            low, high = _reached(low, high, before, self.pair(term.below))
        ends = (*term.starts[1:], int(OPEN) + 1)
        for start, end, value in zip(term.starts, ends, term.values, strict=True):
            low, high = _reached(low, high, (of.high >= start) & (of.low < end), self.pair(value))
        if term.below is not None:
            return Pair(low, high)
        return Pair(np.where(before, -OPEN, low), np.where(before, OPEN, high))

    @build.register
    def _bounded(self, term: terms.Bounded) -> Pair:
        least, most = (None if end is None else self.stated(end) for end in (term.least, term.most))
        return Pair(*(_held(end, least, most) for end in self.pair(term.term)))

    @build.register
    def _rounded(self, term: terms.Rounded) -> Pair:
        unit = self.stated(term.unit)
        return Pair(*(_to_unit(end, unit) for end in self.pair(term.term)))

    def stated(self, term: terms.Const | terms.Param) -> int:
        """Return a number that is written out, or the value of the parameter that is named."""
        value = term.value if isinstance(term, terms.Const) else self.parameters[term.name]
        return int(value) if isinstance(value, int) else 0

    @build.register
    def _choice(self, term: terms.Choice) -> Pair:
        when, then, other = self.pair(term.when), self.pair(term.then), self.pair(term.other)
        if term.kind is Kind.BOOL:
            low, high = then.low & other.low, then.high | other.high
        else:
            low, high = np.minimum(then.low, other.low), np.maximum(then.high, other.high)
        yes, maybe = when.low > 0, when.high > 0
        return Pair(
            np.where(yes, then.low, np.where(maybe, low, other.low)),
            np.where(yes, then.high, np.where(maybe, high, other.high)),
        )


def _held(end: Ints, least: int | None, most: int | None) -> Ints:
    """Return an end within its bounds; 0 and an open end stay what they are."""
    held = end if least is None else np.maximum(end, least)
    held = held if most is None else np.minimum(held, most)
    return np.where((end == 0) | (np.abs(end) >= OPEN), end, held)


def _to_unit(end: Ints, unit: int) -> Ints:
    """Return an end to the nearest multiple of `unit`, half away from zero."""
    is_open = np.abs(end) >= OPEN
    size = np.abs(np.where(is_open, 0, end))
    whole, rest = np.divmod(size, unit)
    nearest = (whole + (rest >= unit - rest)) * unit
    return np.where(is_open, end, np.where(end < 0, -nearest, nearest))


def _largest(one: Ints, other: Ints) -> int:
    """Return the largest product of two columns, nearly: 53 bits of it tell whether it fits."""
    return int(np.abs(one.astype(np.float64) * other).max(initial=0))


def _reached(low: Ints, high: Ints, where: Bools, value: Pair) -> tuple[Ints, Ints]:
    """Return the least and greatest value of the rows that a cell can stand in."""
    return (
        np.where(where, np.minimum(low, value.low), low),
        np.where(where, np.maximum(high, value.high), high),
    )


def _added(left: Ints, right: Ints, open_end: np.int64) -> Ints:
    is_open = (np.abs(left) >= OPEN) | (np.abs(right) >= OPEN)
    total = np.where(is_open, 0, left) + np.where(is_open, 0, right)
    if np.abs(total).max(initial=0) >= OPEN:
        raise RULE_OVERFLOW.refusal()
    return np.where(is_open, open_end, total)


def _times(pair: Pair, factor: int) -> Pair:
    low, high = _scaled(pair.low, factor), _scaled(pair.high, factor)
    if factor < 0:
        low, high = high, low
    return Pair(
        np.where(np.abs(low) >= OPEN, -OPEN, low), np.where(np.abs(high) >= OPEN, OPEN, high)
    )


def _scaled(values: Ints, factor: int) -> Ints:
    is_open = np.abs(values) >= OPEN
    known = np.where(is_open, 0, values)
    if int(np.abs(known).max(initial=0)) * abs(factor) >= OPEN:
        raise RULE_OVERFLOW.refusal()
    return np.where(is_open, OPEN, known * factor)
