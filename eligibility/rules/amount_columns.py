"""Amounts of a whole snapshot: tables, bounds, rounding and the number of people, as columns.

The part of `columns` that amounts need; a score's tables are built here as well.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add
from typing import Protocol

import ibis
from ibis import _ as row
from ibis.common.deferred import Deferred

from eligibility.entitlements import largest_line
from eligibility.rules import terms
from eligibility.rules.pairs import YES, Pair, divided, known, null, whole
from eligibility.rules.rows import Parameter
from eligibility.rules.terms import Kind, Term

NAMED_PEOPLE = "_named_people"
HAS_ALL = "_has_all"


class Builder(Protocol):
    """What builds columns on a table; see `columns`."""

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The values of the parameters on the day."""

    def pair(self, term: Term) -> Pair:
        """Return the two columns of a term."""

    def kept(self, term: Term, pair: Pair) -> Pair:
        """Keep the two columns of a term, so that its uses do not repeat their text."""


def people(builder: Builder, term: terms.People) -> Pair:
    """Build the number of people; whether the roster is whole is a column of the table."""
    declared = ~row[HAS_ALL] & known(row.declared_size > 0)
    named = ibis.ifelse(row[HAS_ALL], row[NAMED_PEOPLE], null(Kind.INT))
    counted = ibis.ifelse(declared, row.declared_size.cast("int64"), named)
    return builder.kept(term, Pair(counted, counted))


def lookup(builder: Builder, term: terms.Lookup) -> Pair:
    """Build the value of a table's row."""
    inner = builder.kept(term.term, builder.pair(term.term))
    values = [_stated(builder, value) for value in term.values]
    below = None if term.below is None else _stated(builder, term.below)
    return builder.kept(term, _looked_up(inner, term.starts, values, below))


def bounded(builder: Builder, term: terms.Bounded) -> Pair:
    """Build a number within its bounds."""
    inner = builder.kept(term.term, builder.pair(term.term))
    least = None if term.least is None else _stated(builder, term.least)
    most = None if term.most is None else _stated(builder, term.most)
    return builder.kept(term, Pair(_held(inner.low, least, most), _held(inner.high, least, most)))


def rounded(builder: Builder, term: terms.Rounded) -> Pair:
    """Build a number to its unit."""
    inner, unit = builder.kept(term.term, builder.pair(term.term)), _stated(builder, term.unit)
    return builder.kept(term, Pair(_to_unit(inner.low, unit), _to_unit(inner.high, unit)))


def instalment(builder: Builder, term: terms.Instalment) -> Pair:
    """Build the part of an amount that one line gets, by largest remainder."""
    inner = builder.kept(term.term, builder.pair(term.term))
    amount = ibis.ifelse(inner.low == inner.high, inner.low, null(Kind.MONEY))
    unit, line = _stated(builder, term.unit), str(builder.parameters[term.due.name])
    weights = dict(sorted(term.weights))
    total = sum(weights.values())
    units = divided(amount, unit)
    rests = {one: (units * whole(weight)) % whole(total) for one, weight in weights.items()}
    # One unit more goes to each of the first lines in the order of their remainders.
    ahead = [
        ibis.ifelse(rest >= rests[line] if one < line else rest > rests[line], whole(1), whole(0))
        for one, rest in rests.items()
        if one != line
    ]
    is_raised = reduce(add, ahead) * whole(total) < reduce(add, rests.values())
    part = divided(units * whole(weights[line]), total) + ibis.ifelse(is_raised, whole(1), whole(0))
    given = part * whole(unit)
    if line == largest_line(weights):
        given += amount % whole(unit)
    return builder.kept(term, Pair(given, given))


def _stated(builder: Builder, term: terms.Const | terms.Param) -> int:
    value = term.value if isinstance(term, terms.Const) else builder.parameters[term.name]
    if not isinstance(value, int):
        message = f"a {type(value).__name__} stands where the check lets only numbers through"
        raise TypeError(message)
    return value


def _looked_up(
    inner: Pair, starts: Sequence[int], values: Sequence[int], below: int | None
) -> Pair:
    """Return the ends of a table's value: of its last row that starts at or before `inner`.

    Before the first row stands `below`; where that is None, nothing is known there.
    """
    rows = list(values) if below is None else [below, *values]
    if rows == sorted(rows) or rows == sorted(rows, reverse=True):
        # An open lowest end is before every row, an open highest one in the last.
        first, last = (
            _row_at(inner.low, starts, values, below),
            _row_at(inner.high, starts, values, below),
        )
        first = ibis.ifelse(inner.low.isnull(), whole(rows[0]), first)
        low, high = (first, last) if rows[0] <= rows[-1] else (last, first)
    else:
        found = _rows_met(inner, starts, values, below)
        low, high = reduce(_lesser, found), reduce(_greater, found)
    if below is not None:
        return Pair(low, high)
    before = ~known(inner.low >= whole(starts[0]))
    unknown = null(Kind.INT)
    return Pair(ibis.ifelse(before, unknown, low), ibis.ifelse(before, unknown, high))


def _row_at(
    at: Deferred, starts: Sequence[int], values: Sequence[int], below: int | None
) -> Deferred:
    before = null(Kind.INT) if below is None else whole(below)
    rows = [before, *(whole(value) for value in values)]
    branches = [(at < whole(start), row) for start, row in zip(starts, rows[:-1], strict=True)]
    return ibis.cases(*branches, else_=rows[-1])


def _rows_met(
    inner: Pair, starts: Sequence[int], values: Sequence[int], below: int | None
) -> list[Deferred]:
    """Return the value of every row that `inner` may be in, null for the others."""
    found = []
    if below is not None:
        found.append((~known(inner.low >= whole(starts[0])), below))
    for start, end, value in zip(starts, (*starts[1:], None), values, strict=True):
        reached = ~known(inner.high < whole(start))
        within = YES if end is None else ~known(inner.low >= whole(end))
        found.append((reached & within, value))
    return [ibis.ifelse(met, whole(value), null(Kind.INT)) for met, value in found]


def _lesser(one: Deferred, two: Deferred) -> Deferred:
    return ibis.ifelse(known(two < one) | one.isnull(), two, one)


def _greater(one: Deferred, two: Deferred) -> Deferred:
    return ibis.ifelse(known(two > one) | one.isnull(), two, one)


def _held(end: Deferred, least: int | None, most: int | None) -> Deferred:
    """Return an end within its bounds; 0 and an open end stay what they are."""
    found = end
    if least is not None:
        found = ibis.ifelse(found < whole(least), whole(least), found)
    if most is not None:
        found = ibis.ifelse(found > whole(most), whole(most), found)
    return ibis.ifelse(end == 0, end, found)


def _to_unit(end: Deferred, unit: int) -> Deferred:
    """Return an end to the nearest multiple of `unit`, half away from zero.

    By the remainder, because engines divide whole numbers as fractions.
    """
    size = ibis.ifelse(end < 0, -end, end)
    rest = size % whole(unit)
    nearest = size - rest + ibis.ifelse(rest >= whole(unit) - rest, whole(unit), whole(0))
    return ibis.ifelse(end < 0, -nearest, nearest)
