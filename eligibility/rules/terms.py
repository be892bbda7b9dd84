"""What an expression means once its names and types are known: the typed tree.

Both back ends read these terms and nothing else, so a rule cannot mean two things. The surface is
gone: `members.exists(m, x)` is "the count of members with x is at least 1", `members.all(m, x)`
"the count of members without x is 0", `a > b` is `b < a`, and `m.age` is the age at the reference
date of someone born on `m.birth_date`.

Every term has a *certain* and a *possible* reading. A truth is (certainly, possibly); anything
else is a range (lowest, highest) where an open end is None: a value that is not known is open at
both ends, a birth date known to the year is a range of a year. A condition is unknown exactly
where its two readings disagree. That is Kleene's logic for `&&`, `||` and `!`, and interval
arithmetic for counts, ages and sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum


class Kind(StrEnum):
    """The type of a term."""

    INT = "int"  # a whole number
    MONEY = "money"  # minor units of the pack's currency
    TEXT = "text"
    BOOL = "bool"
    DATE = "date"
    RATIO = "ratio"  # thousandths; only a limit for ratio(a, b)
    TEXTS = "texts"  # a set of texts; only to the right of `in`
    INTS = "ints"  # a set of whole numbers; only to the right of `in`


class Zero(StrEnum):
    """What `ratio(a, b)` answers where b is 0: stated in the pack, never guessed."""

    PASS = "pass"  # noqa: S105 - an answer, not a password
    FAIL = "fail"
    STOP = "stop"  # unknown: people look


class Tally(StrEnum):
    """How values of members are brought together."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Const:
    """A value written in the expression."""

    kind: Kind
    value: int | str | bool | date


@dataclass(frozen=True, slots=True)
class Param:
    """`p.name`: its value on the reference date."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class ReferenceDate:
    """The date at which ages are computed; never today."""

    kind: Kind = Kind.DATE


@dataclass(frozen=True, slots=True)
class Input:
    """A column of the household."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A named expression of the pack."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class MemberInput:
    """A column of one member; only inside a count or a tally."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a truth."""

    term: "Term"
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class Both:
    """`left && right`."""

    left: "Term"
    right: "Term"
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class Either:
    """`left || right`."""

    left: "Term"
    right: "Term"
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class Compare:
    """`left sign right`; sign is `<`, `<=` or `==`."""

    sign: str
    left: "Term"
    right: "Term"
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class OneOf:
    """`term in items`."""

    term: "Term"
    items: tuple[Const, ...] | Param
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class RatioCompare:
    """`ratio(above, below) sign limit`, multiplied across; sign is `<`, `<=`, `>` or `>=`.

    Where `below` is not above 0 the answer is `zero`.
    """

    sign: str
    above: "Term"
    below: "Term"
    limit: Param
    zero: Zero
    kind: Kind = Kind.BOOL


@dataclass(frozen=True, slots=True)
class Plus:
    """`left + right`."""

    kind: Kind
    left: "Term"
    right: "Term"


@dataclass(frozen=True, slots=True)
class Minus:
    """`left - right`."""

    kind: Kind
    left: "Term"
    right: "Term"


@dataclass(frozen=True, slots=True)
class Times:
    """`factor * term` where one side is a number or a parameter."""

    kind: Kind
    factor: Const | Param
    term: "Term"


@dataclass(frozen=True, slots=True)
class Product:
    """`left * right` where both sides vary; open at both ends unless both sides are closed."""

    kind: Kind
    left: "Term"
    right: "Term"


@dataclass(frozen=True, slots=True)
class Choice:
    """`when ? then : other`."""

    kind: Kind
    when: "Term"
    then: "Term"
    other: "Term"


@dataclass(frozen=True, slots=True)
class AgeAt:
    """Whole years from `born` to `at`, 0 for somebody born later."""

    born: "Term"
    at: "Term"
    kind: Kind = Kind.INT


@dataclass(frozen=True, slots=True)
class Count:
    """How many members `where` holds for; all of them where it is None."""

    where: "Term | None"
    text: str = field(default="", compare=False)  # as it was written, for people
    kind: Kind = Kind.INT


@dataclass(frozen=True, slots=True)
class Gather:
    """The sum, least or greatest `value` of the members `where` holds for."""

    kind: Kind
    tally: Tally
    where: "Term | None"
    value: "Term"
    text: str = field(default="", compare=False)  # as it was written, for people


@dataclass(frozen=True, slots=True)
class People:
    """How many people the household has: its roster where that is whole, else what it declared."""

    kind: Kind = Kind.INT


@dataclass(frozen=True, slots=True)
class Lookup:
    """The value of the last row of a table that starts at or before `term`.

    `starts` rise; before the first of them the answer is `below`, or unknown where that is None.
    """

    kind: Kind
    term: "Term"
    starts: tuple[int, ...]
    values: tuple[Const | Param, ...]
    below: Const | None = None


@dataclass(frozen=True, slots=True)
class Bounded:
    """`term`, and at least `least` and at most `most` where they are stated; 0 stays 0."""

    kind: Kind
    term: "Term"
    least: Const | Param | None = None
    most: Const | Param | None = None


@dataclass(frozen=True, slots=True)
class Rounded:
    """`term` to the nearest multiple of `unit` (above 0), half away from zero."""

    kind: Kind
    term: "Term"
    unit: Const | Param


@dataclass(frozen=True, slots=True)
class Instalment:
    """The part of `term` that the line named by `due` gets: `weights` are of all lines, by id.

    Shared out by largest remainder in multiples of `unit` (above 0), ties to the smaller id. Open
    unless `term` is known: of more, a line may get less.
    """

    kind: Kind
    term: "Term"
    weights: tuple[tuple[str, int], ...]
    due: Param
    unit: Const | Param


Term = (
    Const | Param | ReferenceDate | Input | Fact | MemberInput | Not | Both | Either | Compare
    | OneOf | RatioCompare | Plus | Minus | Times | Product | Choice | AgeAt | Count | Gather
    | People | Lookup | Bounded | Rounded | Instalment
)  # fmt: skip


def parts(term: Term) -> tuple[Term, ...]:
    """Return the direct parts of `term`."""
    return tuple(part for part in _parts(term) if part is not None)


def _parts(  # noqa: C901, PLR0911, PLR0912 - one answer per shape of a term
    term: Term,
) -> Sequence[Term | None]:
    match term:
        case Not(term=inner):
            return (inner,)
        case OneOf(term=inner, items=items):
            return (inner, items) if isinstance(items, Param) else (inner, *items)
        case Times(factor=factor, term=inner):
            return (factor, inner)
        case Both() | Either() | Compare() | Plus() | Minus() | Product():
            return (term.left, term.right)
        case RatioCompare(above=above, below=below, limit=limit):
            return (above, below, limit)
        case Choice(when=when, then=then, other=other):
            return (when, then, other)
        case AgeAt(born=born, at=at):
            return (born, at)
        case Count(where=where):
            return (where,)
        case Gather(where=where, value=value):
            return (where, value)
        case Lookup(term=inner, values=values):
            return (inner, *values)
        case Bounded(term=inner, least=least, most=most):
            return (inner, least, most)
        case Rounded(term=inner, unit=unit):
            return (inner, unit)
        case Instalment(term=inner, due=due, unit=unit):
            return (inner, due, unit)
        case _:
            return ()


def every(term: Term) -> tuple[Term, ...]:
    """Return `term` and everything in it, outermost first."""
    return (term, *(inner for part in parts(term) for inner in every(part)))
