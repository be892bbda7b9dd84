"""The tree of an expression, as it was written: form only, no meaning yet.

Every node knows its spot in the text, so that whatever is wrong later is shown where it stands.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from eligibility.rules.document import Spot
from ledgers.problems import Problem


@dataclass(frozen=True, slots=True)
class Trouble:
    """A problem at a spot of one expression."""

    problem: Problem
    spot: Spot
    facts: dict[str, object]


def in_order(troubles: Iterable[Trouble]) -> tuple[Trouble, ...]:
    """Return the troubles in the order of their spots."""
    return tuple(sorted(troubles, key=lambda each: (each.spot.line, each.spot.column)))


class UnreadableError(Exception):
    """The text is not an expression; carries the trouble."""

    def __init__(self, problem: Problem, spot: Spot, **facts: object) -> None:
        self.trouble = Trouble(problem, spot, facts)
        super().__init__(problem.code)


@dataclass(frozen=True, slots=True)
class Literal:
    """A whole number, a text, true or false."""

    spot: Spot
    value: int | str | bool


@dataclass(frozen=True, slots=True)
class Name:
    """A word: a fact, an input, `members`, or the member's own letter."""

    spot: Spot
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`target.name`, as in `p.line` and `m.age`."""

    spot: Spot
    target: "Node"
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """`name(args)` or `target.name(args)`."""

    spot: Spot
    target: "Node | None"
    name: str
    args: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """`!a` or `-a`."""

    spot: Spot
    sign: str
    term: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    """`a sign b`."""

    spot: Spot
    sign: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Ternary:
    """`when ? then : other`."""

    spot: Spot
    when: "Node"
    then: "Node"
    other: "Node"


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b, c]`."""

    spot: Spot
    items: tuple["Node", ...]


Node = Literal | Name | Member | Call | Unary | Binary | Ternary | ListOf


# How strongly an operator holds its sides; a comparison does not chain.
RELATIONS = ("==", "!=", "<", "<=", ">", ">=", "in")
BINDS = {"?": 1, "||": 2, "&&": 3, "+": 5, "-": 5, "*": 6} | dict.fromkeys(RELATIONS, 4)
UNARY_BINDS = 7


def parts(node: Node) -> tuple[Node, ...]:  # noqa: PLR0911 - one answer per shape of a node
    """Return the direct parts of `node`."""
    match node:
        case Member(target=target):
            return (target,)
        case Call(target=target, args=args):
            return args if target is None else (target, *args)
        case Unary(term=term):
            return (term,)
        case Binary(left=left, right=right):
            return (left, right)
        case Ternary(when=when, then=then, other=other):
            return (when, then, other)
        case ListOf(items=items):
            return items
        case _:
            return ()


def depth(node: Node) -> int:
    """Return how many levels `node` has."""
    return 1 + reduce(max, map(depth, parts(node)), 0)


def names_in(node: Node) -> frozenset[str]:
    """Return every name that `node` uses."""
    own = {node.name} if isinstance(node, Name) else set()
    return frozenset(own).union(*map(names_in, parts(node)))


def shown(node: Node) -> str:  # noqa: PLR0911 - one answer per shape of a node
    """Return the text of `node`, with no more brackets than it needs; it reads the same."""
    match node:
        case Literal(value=bool() as value):
            return "true" if value else "false"
        case Literal(value=value):
            return str(value) if isinstance(value, int) else '"' + _escaped(value) + '"'
        case Name(name=name):
            return name
        case Member(target=target, name=name):
            return f"{_within(target, UNARY_BINDS + 1)}.{name}"
        case Call(target=target, name=name, args=args):
            called = name if target is None else f"{_within(target, UNARY_BINDS + 1)}.{name}"
            return f"{called}({', '.join(map(shown, args))})"
        case Unary(sign=sign, term=term):
            return f"{sign}{_within(term, UNARY_BINDS)}"
        case Binary(sign=sign, left=left, right=right):
            binds = BINDS[sign]
            return f"{_within(left, binds)} {sign} {_within(right, binds + 1)}"
        case Ternary(when=when, then=then, other=other):
            return f"{_within(when, BINDS['?'] + 1)} ? {shown(then)} : {shown(other)}"
        case ListOf(items=items):
            return f"[{', '.join(map(shown, items))}]"


def _within(node: Node, strength: int) -> str:
    """Return the text of `node` as a part of something that binds with `strength`."""
    own = UNARY_BINDS + 1
    if isinstance(node, Binary):
        own = BINDS[node.sign]
    elif isinstance(node, Ternary):
        own = BINDS["?"]
    elif isinstance(node, Unary):
        own = UNARY_BINDS
    return shown(node) if own >= strength else f"({shown(node)})"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
