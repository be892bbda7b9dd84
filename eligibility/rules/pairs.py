"""The arithmetic of two readings, as columns: null is an open end, and a truth is never null.

Every column is a *deferred* expression of Ibis: it names columns of the table it is later used
on, so that it stays right while columns are added to that table. Literals are deferred as well,
because a literal to the left of an operator would otherwise be asked for its type too early.
"""

from typing import NamedTuple

import ibis
from ibis import _ as row
from ibis.common.deferred import Deferred, const

from eligibility.rules.rows import Parameter
from eligibility.rules.terms import Kind, Zero

TYPES = {
    Kind.INT: "int64",
    Kind.MONEY: "int64",
    Kind.TEXT: "string",
    Kind.BOOL: "boolean",
    Kind.DATE: "date",
    Kind.RATIO: "int64",
}
YES = const(ibis.literal(value=True))
NO = const(ibis.literal(value=False))


class Pair(NamedTuple):
    """Two columns: certainly and possibly, or lowest and highest.

    Where both are one object, what is known is known exactly.
    """

    low: Deferred
    high: Deferred


ZERO_ANSWERS = {Zero.PASS: Pair(YES, YES), Zero.FAIL: Pair(NO, NO), Zero.STOP: Pair(NO, YES)}


def whole(value: int) -> Deferred:
    """Return a number that the engine holds in 64 bits, however small it is."""
    if abs(value) < 2**31:
        return const(ibis.literal(value, "int32").cast("int64"))
    return const(ibis.literal(value, "int64"))


def literal(value: Parameter, kind: Kind) -> Deferred:
    """Return a written value or a parameter as a column of its type."""
    if isinstance(value, int) and kind is not Kind.BOOL:
        return whole(value)
    return const(ibis.literal(value, TYPES[kind]))


def null(kind: Kind) -> Deferred:
    """Return an open end."""
    return const(ibis.null(TYPES[kind]))


def known(condition: Deferred) -> Deferred:
    """Return whether a comparison is known to hold: an open end makes it not known."""
    return ibis.coalesce(condition, NO)


def compared(sign: str, left: Pair, right: Pair) -> Pair:
    """Return whether `left sign right` certainly and possibly holds; sign is <, <= or ==."""
    if sign == "<":
        return Pair(known(left.high < right.low), ~known(right.high <= left.low))
    if sign == "<=":
        return Pair(known(left.high <= right.low), ~known(right.high < left.low))
    if left.low is left.high and right.low is right.high:
        return Pair(known(left.low == right.low), ~known(left.low != right.low))
    certain = known((left.low >= right.high) & (left.high <= right.low))
    apart = known(left.high < right.low) | known(right.high < left.low)
    return Pair(certain, ~apart)


def age(born: Deferred, at: Deferred) -> Deferred:
    """Return whole years from `born` to `at`, 0 for somebody born later."""
    before = at.month() * 100 + at.day() < born.month() * 100 + born.day()
    years = at.year() - born.year() - ibis.ifelse(before, whole(1), whole(0))
    return ibis.ifelse(years < 0, whole(0), years).cast("int64")


def divided(number: Deferred, by: int) -> Deferred:
    """Return how often `by` (above 0) goes into a whole number of 0 or more, exactly.

    Engines divide whole numbers as fractions of 53 bits: what that is off by is divided again.
    """
    wholes = number - number % whole(by)
    guess = (wholes / whole(by)).floor().cast("int64")
    return guess + ((wholes - guess * whole(by)) / whole(by)).floor().cast("int64")


def share(where: Pair, end: Deferred, *, below: bool) -> Deferred:
    """Return what one member adds to an end of a sum."""
    zero = whole(0)
    kept = end <= 0 if below else end >= 0
    maybe = ibis.ifelse(end.isnull(), null(Kind.INT), ibis.ifelse(kept, end, zero))
    return ibis.cases((where.low, end), (where.high, maybe), else_=zero)


def with_birth_range(members: ibis.Table) -> ibis.Table:
    """Add the first and the last day each member can have been born on."""
    if "birth_date" not in members.columns:
        return members
    to_the_year = known(row.birth_date_precision == "year")
    born, year = row.birth_date, row.birth_date.year()
    return members.mutate(
        birth_date__low=ibis.ifelse(to_the_year, ibis.date(year, 1, 1), born),
        birth_date__high=ibis.ifelse(to_the_year, ibis.date(year, 12, 31), born),
    )
