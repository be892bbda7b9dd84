"""One household's amount: tables, bounds, rounding and the number of people, over plain values.

The part of `rows` that amounts need; a score's tables are answered here as well.
"""

from eligibility.entitlements import shared_out
from eligibility.rules import terms
from eligibility.rules.rows import OPEN, Case, Range, answer, exact, numbers
from ledgers.money import round_to


@answer.register
def _people(term: terms.People, case: Case) -> Range:
    del term
    people, _, is_known = people_of(case)
    return (people, people) if is_known else OPEN


def people_of(case: Case) -> tuple[int, str, bool]:
    """Return how many people count, whether `roster` or `declared` says so, and if it is known."""
    declared = case.household.get("declared_size")
    if not case.complete and isinstance(declared, int) and declared > 0:
        return declared, "declared", True
    return len(case.members), "roster", case.complete


@answer.register
def _lookup(term: terms.Lookup, case: Case) -> Range:
    low, high = numbers(term.term, case)
    may_be_before = low is None or low < term.starts[0]
    found = [numbers(term.below, case)[0]] if may_be_before and term.below else []
    if may_be_before and not term.below:
        return OPEN
    for start, end, value in zip(term.starts, (*term.starts[1:], None), term.values, strict=True):
        reaches = high is None or high >= start
        if reaches and (end is None or low is None or low < end):
            found.append(numbers(value, case)[0])
    rows = [value for value in found if value is not None]
    return min(rows), max(rows)


@answer.register
def _bounded(term: terms.Bounded, case: Case) -> Range:
    least, most = (None if end is None else _stated(end, case) for end in (term.least, term.most))
    low, high = (_between(end, least, most) for end in numbers(term.term, case))
    return low, high


def _stated(term: terms.Const | terms.Param, case: Case) -> int:
    return exact(answer(term, case)[0]) or 0


def _between(value: int | None, least: int | None, most: int | None) -> int | None:
    if value is None or value == 0:
        return value
    value = value if least is None else max(value, least)
    return value if most is None else min(value, most)


@answer.register
def _rounded(term: terms.Rounded, case: Case) -> Range:
    unit = _stated(term.unit, case)
    low, high = (
        None if end is None else exact(round_to(end, unit)) for end in numbers(term.term, case)
    )
    return low, high


@answer.register
def _instalment(term: terms.Instalment, case: Case) -> Range:
    low, high = numbers(term.term, case)
    if low is None or low != high:
        return OPEN
    unit, weights = _stated(term.unit, case), dict(term.weights)
    exact(low // unit * max(weights.values()))
    part = shared_out(low, weights, unit)[str(case.parameters[term.due.name])]
    return part, part
