"""Ages in columns without computing any: who is 18 or older was born on a certain day or before.

A comparison of an age with a number that is known beforehand is one comparison of dates for each
person, where an age would take a dozen operations; the members are the largest table there is.
Any other use of an age computes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from eligibility.rules.pairs import NO, YES, Pair, known, literal
from eligibility.rules.rows import Parameter
from eligibility.rules.terms import AgeAt, Compare, Const, Kind, Param, ReferenceDate, Term

FEBRUARY_LAST = 28


@dataclass(frozen=True, slots=True)
class AgeTest:
    """An age on the day `on` of somebody born on `born`: at least `least`, and below `below`."""

    born: Term
    on: date
    least: int | None = None
    below: int | None = None


def age_test(term: Compare, parameters: Mapping[str, Parameter], on: date) -> AgeTest | None:
    """Return what `term` asks of an age, or None where it does not hold one against a number."""
    for age, limit, flipped in ((term.left, term.right, False), (term.right, term.left, True)):
        number = _stated(limit, parameters, on)
        if not isinstance(age, AgeAt) or isinstance(number, bool) or not isinstance(number, int):
            continue
        at = _stated(age.at, parameters, on)
        if not isinstance(at, date):
            continue
        test = AgeTest(age.born, at)
        if term.sign == "==":
            return replace(test, least=number, below=number + 1)
        strict = term.sign == "<"
        if flipped:
            return replace(test, least=number + strict)
        return replace(test, below=number + (not strict))
    return None


def _stated(term: Term, parameters: Mapping[str, Parameter], on: date) -> Parameter | None:
    if isinstance(term, Const):
        return term.value
    if isinstance(term, Param):
        return parameters[term.name]
    return on if isinstance(term, ReferenceDate) else None


def grown(born: Pair, on: date, years: int) -> Pair:
    """Return who, born on `born`, is certainly and possibly `years` or older on the day `on`."""
    if years <= 0:
        return Pair(born.high.notnull(), YES)
    if on.year - years < 1:
        return Pair(NO, born.low.isnull())
    last = literal(last_birthday(on, years), Kind.DATE)
    return Pair(known(born.high <= last), ~known(born.low > last))


def last_birthday(on: date, years: int) -> date:
    """Return the last day on which somebody of `years` or older on the day `on` was born.

    >>> last_birthday(date(2026, 3, 1), 18), last_birthday(date(2024, 2, 29), 1)
    (datetime.date(2008, 3, 1), datetime.date(2023, 2, 28))
    """
    try:
        return on.replace(year=on.year - years)
    except ValueError:
        return on.replace(year=on.year - years, day=FEBRUARY_LAST)
