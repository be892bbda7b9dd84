"""Random expressions with a plain reading of their own, and random households to read them on.

`expressions` gives the text of an expression together with a Python function that says what it
means where everything is known: two-valued, without ranges, written from the language's description
and sharing nothing with the back ends.
"""

import operator
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from hypothesis import strategies as st

from eligibility.rules.scope import Scope
from eligibility.rules.terms import Kind, Zero

ON = date(2026, 3, 1)
HOUSEHOLD = {
    "a": Kind.INT,
    "b": Kind.INT,
    "flag": Kind.BOOL,
    "place": Kind.TEXT,
    "since": Kind.DATE,
}
MEMBER = {
    "sex": Kind.TEXT,
    "birth_date": Kind.DATE,
    "birth_date_precision": Kind.TEXT,
    "disability_percent": Kind.INT,
}
PARAMETERS = {
    "k": 2,
    "old": 60,
    "limit": 1500,
    "places": ("TR-01", "TR-34"),
    "grades": (0, 3, 40),
    "day": ON,
}
SCOPE = Scope(
    household={**HOUSEHOLD, "has_roster": Kind.BOOL},
    member=MEMBER,
    parameters={
        "k": Kind.INT,
        "old": Kind.INT,
        "limit": Kind.RATIO,
        "places": Kind.TEXTS,
        "grades": Kind.INTS,
        "day": Kind.DATE,
    },
    zero=Zero.PASS,
)

Row = Mapping[str, object]
Meaning = Callable[[Row, Sequence[Row], Row], object]


class NobodyError(Exception):
    """The least or greatest value of nobody: there is none."""


@dataclass(frozen=True)
class Said:
    """An expression, and what it means where everything is known."""

    text: str
    meaning: Meaning


def age(born: date, at: date) -> int:
    """Whole years, found by trying birthdays one after another."""
    years = 0
    while (at.year - years - 1, at.month, at.day) >= (born.year, born.month, born.day):
        years += 1
    return years


def _joined(left: Said, sign: str, right: Said, join: Callable[[object, object], object]) -> Said:
    return Said(
        f"({left.text} {sign} {right.text})",
        lambda h, ms, m: join(left.meaning(h, ms, m), right.meaning(h, ms, m)),
    )


ARITHMETIC = {"+": operator.add, "-": operator.sub, "**": operator.mul}
COMPARISONS = {
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
    "==": lambda x, y: x == y,
    "!=": lambda x, y: x != y,
}


@st.composite
def numbers(draw: st.DrawFn, depth: int, *, inside: bool) -> Said:  # noqa: PLR0911 - by shape
    """A whole number; `inside` a condition on one member."""
    leaves = [
        Said("3", lambda *_: 3),
        Said("p.k", lambda *_: 2),
        Said("18", lambda *_: 18),
    ]
    if inside:
        leaves += [
            Said("m.age", lambda _h, _ms, m: age(m["birth_date"], ON)),
            Said("m.disability_percent", lambda _h, _ms, m: m["disability_percent"]),
        ]
    else:
        leaves += [
            Said("a", lambda h, _ms, _m: h["a"]),
            Said("b", lambda h, _ms, _m: h["b"]),
            Said("members.size()", lambda _h, ms, _m: len(ms)),
            Said("age_at(since, p.day)", lambda h, _ms, _m: age(h["since"], ON)),
        ]
    if depth == 0:
        return draw(st.sampled_from(leaves))
    less = depth - 1
    shape = draw(
        st.sampled_from(["leaf", "+", "-", "*", "**", "?", *(["count", "tally"] * (not inside))])
    )
    if shape in ARITHMETIC:
        left, right = draw(numbers(less, inside=inside)), draw(numbers(less, inside=inside))
        return _joined(left, shape[:1], right, ARITHMETIC[shape])
    if shape == "*":
        term, factor = draw(numbers(less, inside=inside)), draw(st.sampled_from([-2, 0, 3]))
        return Said(f"({factor} * {term.text})", lambda *row: factor * term.meaning(*row))
    if shape == "?":
        when, then, other = (
            draw(truths(less, inside=inside)),
            draw(numbers(less, inside=inside)),
            draw(numbers(less, inside=inside)),
        )
        return Said(
            f"({when.text} ? {then.text} : {other.text})",
            lambda *row: then.meaning(*row) if when.meaning(*row) else other.meaning(*row),
        )
    if shape == "count":
        return draw(counts(less))
    if shape == "tally":
        return draw(tallies(less))
    return draw(st.sampled_from(leaves))


@st.composite
def counts(draw: st.DrawFn, depth: int) -> Said:
    """How many members a condition holds for."""
    inner = draw(truths(depth, inside=True))
    return Said(
        f"members.filter(m, {inner.text}).size()",
        lambda h, ms, _m: sum(bool(inner.meaning(h, ms, m)) for m in ms),
    )


@st.composite
def tallies(draw: st.DrawFn, depth: int) -> Said:
    """The sum, least or greatest of a value of some members."""
    inner, value = draw(truths(depth, inside=True)), draw(numbers(depth, inside=True))
    name = draw(st.sampled_from(["sum", "min", "max"]))

    def meaning(h: Row, ms: Sequence[Row], _m: Row) -> object:
        values = [value.meaning(h, ms, m) for m in ms if inner.meaning(h, ms, m)]
        if name == "sum":
            return sum(values)
        if not values:
            raise NobodyError
        return min(values) if name == "min" else max(values)

    return Said(f"members.filter(m, {inner.text}).map(m, {value.text}).{name}()", meaning)


@st.composite
def truths(draw: st.DrawFn, depth: int, *, inside: bool) -> Said:  # noqa: PLR0911 - by shape
    """A condition."""
    shapes = ["compare", "text", "grade"]
    if not inside:
        shapes += ["flag", "date"]
    if depth:
        shapes += ["!", "&&", "||", "compare"]
        shapes += [] if inside else ["exists", "all", "ratio", "born"]
    shape = draw(st.sampled_from(shapes))
    less = max(0, depth - 1)
    if shape == "compare":
        sign = draw(st.sampled_from(sorted(COMPARISONS)))
        return _joined(
            draw(numbers(less, inside=inside)),
            sign,
            draw(numbers(less, inside=inside)),
            COMPARISONS[sign],
        )
    if shape == "!":
        inner = draw(truths(less, inside=inside))
        return Said(f"!({inner.text})", lambda *row: not inner.meaning(*row))
    if shape in ("&&", "||"):
        join = {"&&": lambda x, y: x and y, "||": lambda x, y: x or y}[shape]
        return _joined(
            draw(truths(less, inside=inside)), shape, draw(truths(less, inside=inside)), join
        )
    if shape in ("exists", "all"):
        inner, fold = draw(truths(less, inside=True)), any if shape == "exists" else all
        return Said(
            f"members.{shape}(m, {inner.text})",
            lambda h, ms, _m: fold(inner.meaning(h, ms, m) for m in ms),
        )
    if shape == "ratio":
        return draw(ratios(less))
    if shape == "born":
        return draw(born(less))
    if shape == "grade":
        value = draw(numbers(less, inside=inside))
        return Said(f"({value.text} in p.grades)", lambda *row: value.meaning(*row) in (0, 3, 40))
    return draw(simple_truths(shape, inside=inside))


@st.composite
def born(draw: st.DrawFn, depth: int) -> Said:
    """Whether the first or last birth date of some members is before a day."""
    inner, name = draw(truths(depth, inside=True)), draw(st.sampled_from(["min", "max"]))

    def meaning(h: Row, ms: Sequence[Row], _m: Row) -> object:
        days = [m["birth_date"] for m in ms if inner.meaning(h, ms, m)]
        if not days:
            raise NobodyError
        return (min(days) if name == "min" else max(days)) < date(2010, 3, 1)

    filtered = f"members.filter(m, {inner.text}).map(m, m.birth_date).{name}()"
    return Said(f'({filtered} < date("2010-03-01"))', meaning)


@st.composite
def ratios(draw: st.DrawFn, depth: int) -> Said:
    """Whether one number is one and a half times another; with nothing below, yes."""
    above, below = draw(numbers(depth, inside=False)), draw(counts(depth))
    sign = draw(st.sampled_from(["<", "<=", ">", ">="]))

    def meaning(*row: object) -> object:
        one, two = above.meaning(*row), below.meaning(*row)
        return True if two <= 0 else COMPARISONS[sign](2 * one, 3 * two)

    return Said(f"(ratio({above.text}, {below.text}) {sign} p.limit)", meaning)


@st.composite
def simple_truths(draw: st.DrawFn, shape: str, *, inside: bool) -> Said:
    """A condition that reads one column."""
    if shape == "flag":
        return Said("flag", lambda h, _ms, _m: h["flag"])
    if shape == "date":
        return Said(
            '(since < date("2010-03-01"))', lambda h, _ms, _m: h["since"] < date(2010, 3, 1)
        )
    if inside:
        return Said('(m.sex == "female")', lambda _h, _ms, m: m["sex"] == "female")
    return draw(
        st.sampled_from(
            [
                Said("(place in p.places)", lambda h, _ms, _m: h["place"] in ("TR-01", "TR-34")),
                Said('(place != "TR-63")', lambda h, _ms, _m: h["place"] != "TR-63"),
            ]
        )
    )


UNKNOWN_SHARE = 1 / 6
EDGES = [date(2008, 3, 1), date(2008, 3, 2), date(1966, 2, 28), date(1966, 3, 1), date(2026, 5, 5)]
BIRTHDAYS = st.sampled_from(EDGES) | st.dates(date(1940, 1, 1), date(2026, 2, 1))


def _maybe(values: st.SearchStrategy[object], *, known: bool) -> st.SearchStrategy[object]:
    return values if known else st.one_of(st.none(), values, values)


def members(*, known: bool = False) -> st.SearchStrategy[list[dict[str, object]]]:
    """People of a household; `known` leaves nothing open."""
    precision = st.just("exact") if known else st.sampled_from(["exact", "exact", "year", None])
    person = st.fixed_dictionaries(
        {
            "sex": _maybe(st.sampled_from(["female", "male"]), known=known),
            "birth_date": _maybe(BIRTHDAYS, known=known),
            "birth_date_precision": precision,
            "disability_percent": _maybe(st.sampled_from([0, 39, 40, 100]), known=known),
        }
    )
    return st.lists(person, min_size=1 if known else 0, max_size=4)


def households(*, known: bool = False) -> st.SearchStrategy[dict[str, object]]:
    """A household without its people."""
    return st.fixed_dictionaries(
        {
            "a": _maybe(st.integers(0, 4), known=known),
            "b": _maybe(st.integers(-3, 70), known=known),
            "flag": _maybe(st.booleans(), known=known),
            "place": _maybe(st.sampled_from(["TR-01", "TR-34", "TR-63"]), known=known),
            "since": _maybe(BIRTHDAYS, known=known),
            "has_roster": st.just(True) if known else st.sampled_from([True, True, False, None]),
        }
    )


@st.composite
def completed(
    draw: st.DrawFn, household: Row, people: Sequence[Row]
) -> tuple[dict[str, object], list[dict[str, object]]]:
    """One of the worlds that a household's open facts leave possible."""
    world = draw(households(known=True))
    world |= {name: value for name, value in household.items() if value is not None}
    complete = household["has_roster"] is True and bool(people)
    world["has_roster"] = True
    persons = []
    for person in people:
        full = draw(members(known=True))[0]
        full |= {name: value for name, value in person.items() if value is not None}
        born = person["birth_date"]
        if isinstance(born, date) and person["birth_date_precision"] == "year":
            full["birth_date"] = draw(st.dates(date(born.year, 1, 1), date(born.year, 12, 31)))
        persons.append(full | {"birth_date_precision": "exact"})
    return world, persons if complete else persons + draw(members(known=True))


def random_case(
    made: random.Random, *, known: bool
) -> tuple[dict[str, object], list[dict[str, object]]]:
    """One household with its people, by plain chance: many of them in little time."""

    def maybe(value: object) -> object:
        return value if known or made.random() > UNKNOWN_SHARE else None

    def day() -> date:
        if made.random() < 1 / 2:
            return made.choice(EDGES)
        return date.fromordinal(made.randint(date(1940, 1, 1).toordinal(), ON.toordinal()))

    household: dict[str, object] = {
        "a": maybe(made.randint(0, 4)),
        "b": maybe(made.randint(-3, 70)),
        "flag": maybe(made.random() < 1 / 2),
        "place": maybe(made.choice(["TR-01", "TR-34", "TR-63"])),
        "since": maybe(day()),
        "has_roster": known or made.choice([True, True, True, False, None]),
    }
    people: list[dict[str, object]] = [
        {
            "sex": maybe(made.choice(["female", "male"])),
            "birth_date": maybe(day()),
            "birth_date_precision": "exact" if known else made.choice(["exact", "year", None]),
            "disability_percent": maybe(made.choice([0, 3, 39, 40, 100])),
        }
        for _ in range(made.randint(1 if known else 0, 5))
    ]
    return household, people
