"""The rule language as text: a closed subset of CEL, read into a tree.

Names, literals (whole numbers, text, `true`, `false`), lists, `&& || !`, comparisons, `in`,
`+ - *`, `c ? a : b`, and calls. What a name or a call means is decided in `check`; here is only
form. There is no `/`: whole-number division cuts off, and a household exactly at a limit would be
left out (`ratio(a, b) >= p.limit` multiplies across instead). There are no decimals either: an
amount or a rate is a parameter, with a date and a source.

Everything has a limit, because a rule is read from a file that anyone may have written: the
length of the text, the depth of the tree, the number of its nodes, the size of a number.

Sources: the Common Expression Language definition (github.com/google/cel-spec, langdef.md) for
the surface; V. R. Pratt, "Top down operator precedence" (1973), for the parser.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from eligibility.rules.document import Spot
from eligibility.rules.syntax import (
    BINDS,
    UNARY_BINDS,
    Binary,
    Call,
    ListOf,
    Literal,
    Member,
    Name,
    Node,
    Ternary,
    Trouble,
    Unary,
    UnreadableError,
    depth,
    names_in,
    shown,
)
from ledgers.problems import Problem

TEXT_CHARACTERS_MAX = 2_000
DEPTH_MAX = 48
NODES_MAX = 400
WHOLE_NUMBER_MAX = 10**12

RULE_TOO_LONG = Problem(
    "rule_too_long",
    "The expression has {characters} characters; at most {limit} are read.",
    "Give its parts names under facts and use the names.",
)
RULE_TOO_DEEP = Problem(
    "rule_too_deep",
    "The expression is nested more than {limit} levels deep.",
    "Give its inner parts names under facts and use the names.",
)
RULE_TOO_LARGE = Problem(
    "rule_too_large",
    "The expression has more than {limit} parts.",
    "Give its parts names under facts and use the names.",
)
RULE_CHARACTER = Problem(
    "rule_character",
    "The character {found} has no meaning here.",
    "Remove it; text stands between quotes, on one line.",
)
RULE_TEXT_OPEN = Problem(
    "rule_text_open",
    "A text is opened and not closed.",
    "Close it with the same quote; a text stays on one line.",
)
RULE_NO_DIVISION = Problem(
    "rule_no_division",
    "The language has no {found}: whole-number division cuts off what is left over.",
    "Compare with ratio(a, b) >= p.limit, or multiply across.",
)
RULE_NO_DECIMAL = Problem(
    "rule_no_decimal",
    "The decimal {found} stands in an expression.",
    "Make it a parameter, with its date and source, and write p.name.",
)
RULE_NUMBER_TOO_LARGE = Problem(
    "rule_number_too_large",
    "The number {found} is larger than {limit}.",
    "Use a smaller number; amounts are parameters of type money.",
)
RULE_UNEXPECTED = Problem(
    "rule_unexpected",
    "Expected {expected}, found {found}.",
    "Correct the expression at this column.",
)


# --- tokens ---------------------------------------------------------------------------------

TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<decimal>[0-9]+\.[0-9]+)
      | (?P<number>[0-9]+)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<text>"(?:[^"\\\n]|\\["'\\])*"|'(?:[^'\\\n]|\\["'\\])*')
      | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*!<>?:.,()\[\]])
      | (?P<division>[/%])
      | (?P<open>["'])
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
END = "the end"
# What a misfit is read as, so that the rest can be read.
INSTEAD = {
    "division": ("sign", "*"),
    "decimal": ("number", "0"),
    "number": ("number", "0"),
    "open": ("text", '""'),
}


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an expression."""

    kind: str
    text: str
    spot: Spot


def tokens(text: str, troubles: list[Trouble]) -> Iterator[Token]:
    """Yield the tokens of `text` and an end token; misfits go to `troubles`, reading goes on."""
    line, line_start = 1, 0
    for match in TOKEN.finditer(text):
        kind, found = str(match.lastgroup), match.group()
        spot = Spot(line, match.start() - line_start + 1)
        if kind == "space":
            if "\n" in found:
                line += found.count("\n")
                line_start = match.start() + found.rindex("\n") + 1
            continue
        misfit = _misfit(kind, found, spot)
        if misfit is None:
            yield Token(kind, found, spot)
            continue
        troubles.append(misfit)
        if kind in INSTEAD:
            yield Token(*INSTEAD[kind], spot)
        if kind == "open":
            break
    yield Token("end", END, Spot(line, len(text) - line_start + 1))


def _misfit(kind: str, found: str, spot: Spot) -> Trouble | None:
    if kind == "division":
        return Trouble(RULE_NO_DIVISION, spot, {"found": found})
    if kind == "decimal":
        return Trouble(RULE_NO_DECIMAL, spot, {"found": found})
    if kind == "open":
        return Trouble(RULE_TEXT_OPEN, spot, {})
    if kind == "other":
        return Trouble(RULE_CHARACTER, spot, {"found": found})
    if kind == "number" and _too_large(found):
        facts = {"found": found[:20], "limit": WHOLE_NUMBER_MAX}
        return Trouble(RULE_NUMBER_TOO_LARGE, spot, facts)
    return None


def _too_large(found: str) -> bool:
    return len(found) > len(str(WHOLE_NUMBER_MAX)) or int(found) > WHOLE_NUMBER_MAX


# --- the parser -----------------------------------------------------------------------------

POINT_BINDS = UNARY_BINDS + 1


def parse(text: str) -> Node:
    """Return the tree of the expression `text`; raise `UnreadableError` where it is none."""
    tree, troubles = read(text)
    if tree is None or troubles:
        first = troubles[0]
        raise UnreadableError(first.problem, first.spot, **first.facts)
    return tree


def read(text: str) -> tuple[Node | None, tuple[Trouble, ...]]:
    """Return the tree of `text` as far as there is one, and what is wrong with its form.

    A tree beside troubles is what `text` would say with something in the places of the misfits.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        facts: dict[str, object] = {"characters": len(text), "limit": TEXT_CHARACTERS_MAX}
        return None, (Trouble(RULE_TOO_LONG, Spot(1, 1), facts),)
    troubles: list[Trouble] = []
    parser = _Parser(list(tokens(text, troubles)))
    try:
        tree = parser.whole()
    except UnreadableError as error:
        return None, tuple(troubles) or (error.trouble,)
    return tree, tuple(troubles)


def uses(text: str) -> frozenset[str]:
    """Return the names that the expression `text` uses; none where it cannot be read."""
    tree, _ = read(text)
    return frozenset() if tree is None else names_in(tree)


def canonical_text(text: str) -> str:
    """Return `text` in its one canonical spelling, so that layout changes no hash.

    >>> canonical_text("(rcsi>=19)  &&  ( has_iban )")
    'rcsi >= 19 && has_iban'
    """
    return shown(parse(text))


class _Parser:
    """Pratt's parser: each operator binds with a strength, the rest follows."""

    def __init__(self, words: list[Token]) -> None:
        self.words = words
        self.at = 0
        self.level = 0
        self.nodes = 0

    def whole(self) -> Node:
        """Return the tree of all words."""
        tree = self.expression(0)
        self.expect_end()
        if depth(tree) > DEPTH_MAX:
            raise UnreadableError(RULE_TOO_DEEP, tree.spot, limit=DEPTH_MAX)
        return tree

    @property
    def next(self) -> Token:
        return self.words[self.at]

    def take(self) -> Token:
        word = self.next
        self.at += 1
        return word

    def expect(self, text: str) -> Token:
        if self.next.kind == "text" or self.next.text != text:
            raise self.unexpected(f"'{text}'")
        return self.take()

    def expect_end(self) -> None:
        if self.next.kind != "end":
            raise self.unexpected("an operator or the end")

    def unexpected(self, expected: str) -> UnreadableError:
        word = self.next
        found = END if word.kind == "end" else f"'{word.text[:40]}'"
        return UnreadableError(RULE_UNEXPECTED, word.spot, expected=expected, found=found)

    def expression(self, strength: int) -> Node:
        self.level += 1
        if self.level > DEPTH_MAX:
            raise UnreadableError(RULE_TOO_DEEP, self.next.spot, limit=DEPTH_MAX)
        left = self.prefix()
        while self.strength_of_next() > strength:
            left = self.infix(left)
            self.count(left)
        self.level -= 1
        return left

    def count(self, node: Node) -> None:
        self.nodes += 1
        if self.nodes > NODES_MAX:
            raise UnreadableError(RULE_TOO_LARGE, node.spot, limit=NODES_MAX)

    def strength_of_next(self) -> int:
        word = self.next
        if word.kind == "sign" and word.text == ".":
            return POINT_BINDS
        return BINDS.get(word.text, 0) if word.kind in ("sign", "name") else 0

    def prefix(self) -> Node:
        word = self.next
        if word.kind == "sign":
            return self.prefix_sign(word)
        if word.kind == "end":
            raise self.unexpected("a value")
        self.take()
        node = self.word(word)
        self.count(node)
        return node

    def word(self, word: Token) -> Node:
        if word.kind == "number":
            return Literal(word.spot, int(word.text))
        if word.kind == "text":
            return Literal(word.spot, re.sub(r"\\(.)", r"\1", word.text[1:-1]))
        if word.text in ("true", "false"):
            return Literal(word.spot, word.text == "true")
        if self.next.kind == "sign" and self.next.text == "(":
            return Call(word.spot, None, word.text, self.arguments("(", ")"))
        return Name(word.spot, word.text)

    def prefix_sign(self, word: Token) -> Node:
        if word.text in ("!", "-"):
            self.take()
            return Unary(word.spot, word.text, self.expression(UNARY_BINDS))
        if word.text == "(":
            self.take()
            inner = self.expression(0)
            self.expect(")")
            return inner
        if word.text == "[":
            return ListOf(word.spot, self.arguments("[", "]"))
        raise self.unexpected("a value")

    def infix(self, left: Node) -> Node:
        word = self.take()
        if word.text == ".":
            return self.member(left)
        if word.text == "?":
            then = self.expression(0)
            self.expect(":")
            return Ternary(word.spot, left, then, self.expression(0))
        return Binary(word.spot, word.text, left, self.expression(BINDS[word.text]))

    def member(self, target: Node) -> Node:
        word = self.next
        if word.kind != "name":
            raise self.unexpected("a name after the point")
        self.take()
        if self.next.kind == "sign" and self.next.text == "(":
            return Call(word.spot, target, word.text, self.arguments("(", ")"))
        return Member(target.spot, target, word.text)

    def arguments(self, opening: str, closing: str) -> tuple[Node, ...]:
        self.expect(opening)
        items: list[Node] = []
        while self.next.text != closing or self.next.kind != "sign":
            if items:
                self.expect(",")
            items.append(self.expression(0))
        self.expect(closing)
        return tuple(items)
