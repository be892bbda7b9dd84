"""From an expression to its meaning: names and types are checked before a rule is ever used.

Every problem of an expression is reported at once, each with its line and column. Nothing is left
to be found out while households are decided: a name that is not declared, a date compared with a
number, a household's fact inside a member's condition are refused when the file is checked.

Vocabulary: a *scope* is what an expression may name; a member's *letter* is the name a condition
gives to the one member it is about (`m` in `members.exists(m, m.age >= 60)`).
"""

from datetime import date

from eligibility.rules import terms
from eligibility.rules.document import Spot
from eligibility.rules.parser import read
from eligibility.rules.scope import (
    ANY,
    CALLS,
    FLIPPED,
    MEMBERS,
    NUMBERS,
    ORDERED,
    RESERVED,
    RULE_CALL_UNKNOWN,
    RULE_DATE,
    RULE_MEMBERS_INSIDE,
    RULE_NAME_UNKNOWN,
    RULE_RATIO_ALONE,
    RULE_RATIO_ZERO,
    RULE_TYPE,
    SETS,
    VALUES,
    Scope,
    kind_of,
)  # fmt: skip
from eligibility.rules.syntax import (
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
    in_order,
    shown,
)  # fmt: skip
from eligibility.rules.terms import Const, Kind, Param, Tally, Term
from ledgers.problems import Problem


def check(
    text: str, scope: Scope, kinds: frozenset[Kind] = ANY
) -> tuple[Term | None, tuple[Trouble, ...]]:
    """Return the meaning of `text`, which must be of one of `kinds`, and all its troubles.

    Without troubles there is no meaning only where the text uses a doubtful name of the scope.
    """
    tree, misfits = read(text)
    if tree is None:
        return None, misfits
    checker = _Checker(scope)
    term = checker.wanted(tree, kinds, "The expression")
    if not misfits:
        return (None if checker.troubles else term), tuple(checker.troubles)
    # Beside a misfit only names are sure to be as wrong as they look.
    named = [trouble for trouble in checker.troubles if trouble.problem is RULE_NAME_UNKNOWN]
    return None, in_order((*misfits, *named))


class _Checker:
    """One walk over one tree; a part with a trouble means None and is not reported again."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.troubles: list[Trouble] = []
        self.letter: str | None = None

    def trouble(self, problem: Problem, spot: Spot, **facts: object) -> None:
        self.troubles.append(Trouble(problem, spot, facts))

    def mismatch(self, spot: Spot, what: str, found: str, expected: str) -> None:
        self.trouble(RULE_TYPE, spot, what=what, found=found, expected=expected)

    def wanted(self, node: Node, kinds: frozenset[Kind], what: str) -> Term | None:
        term = self.term(node)
        if term is not None and term.kind not in kinds:
            expected = " or ".join(sorted(kinds & {*VALUES, *SETS}))
            self.mismatch(node.spot, what, f"of type {term.kind}", expected)
            return None
        return term

    def truth(self, node: Node) -> Term | None:
        return self.wanted(node, frozenset({Kind.BOOL}), "This part")

    def term(self, node: Node) -> Term | None:  # noqa: PLR0911 - one answer per shape of a node
        match node:
            case Literal(value=value):
                return Const(kind_of(value), value)
            case Name():
                return self.name(node)
            case Member():
                return self.member(node)
            case Call():
                return self.call(node)
            case Unary():
                return self.unary(node)
            case Binary():
                return self.binary(node)
            case Ternary():
                return self.ternary(node)
            case ListOf():
                self.mismatch(node.spot, "This part", "a list", "a single value")
                return None

    def name(self, node: Name) -> Term | None:
        scope, name = self.scope, node.name
        if name == "reference_date":
            return terms.ReferenceDate()
        known = name in scope.household or name in scope.facts
        if self.letter is not None and (known or name == MEMBERS):
            self.trouble(RULE_MEMBERS_INSIDE, node.spot, name=name)
        elif name in scope.facts:
            return terms.Fact(scope.facts[name], name)
        elif name in scope.household:
            return terms.Input(scope.household[name], name)
        elif name == MEMBERS:
            self.mismatch(node.spot, MEMBERS, "a list", "a count, as members.size(),")
        elif name not in scope.doubtful:
            self.unknown(node.spot, name, (*scope.household, *scope.facts, MEMBERS, "p"))
        return None

    def unknown(self, spot: Spot, name: str, known: tuple[str, ...]) -> None:
        self.trouble(RULE_NAME_UNKNOWN, spot, name=name, known=", ".join(sorted(known)) or "none")

    def member(self, node: Member) -> Term | None:
        target = node.target.name if isinstance(node.target, Name) else None
        if target == "p":
            kind = self.scope.parameters.get(node.name)
            if kind is None:
                known = tuple(f"p.{name}" for name in self.scope.parameters)
                if f"p.{node.name}" not in self.scope.doubtful:
                    self.unknown(node.spot, f"p.{node.name}", known)
                return None
            return Param(kind, node.name)
        if target is not None and target == self.letter:
            return self.member_input(node)
        if target is not None:
            self.unknown(node.target.spot, target, ("p", *([self.letter] if self.letter else [])))
        elif self.term(node.target) is not None:
            self.unknown(node.spot, node.name, ("p", "m"))
        return None

    def member_input(self, node: Member) -> Term | None:
        if node.name == "age":
            born = terms.MemberInput(Kind.DATE, "birth_date")
            return terms.AgeAt(born, terms.ReferenceDate())
        kind = self.scope.member.get(node.name)
        if kind is None:
            known = tuple(f"{self.letter}.{name}" for name in (*self.scope.member, "age"))
            if f"m.{node.name}" not in self.scope.doubtful:
                self.unknown(node.spot, f"{self.letter}.{node.name}", known)
            return None
        return terms.MemberInput(kind, node.name)

    def unary(self, node: Unary) -> Term | None:
        if node.sign == "!":
            term = self.truth(node.term)
            return None if term is None else terms.Not(term)
        term = self.wanted(node.term, NUMBERS, "This part")
        if isinstance(term, Const) and isinstance(term.value, int):
            return Const(term.kind, -term.value)
        return None if term is None else terms.Times(term.kind, Const(Kind.INT, -1), term)

    def binary(self, node: Binary) -> Term | None:
        if node.sign in ("&&", "||"):
            left, right = self.truth(node.left), self.truth(node.right)
            if left is None or right is None:
                return None
            return terms.Both(left, right) if node.sign == "&&" else terms.Either(left, right)
        if node.sign == "in":
            return self.one_of(node)
        if node.sign == "*":
            return self.product(node)
        if node.sign in ("+", "-"):
            return self.sum(node)
        return self.comparison(node)

    def same(self, node: Binary, kinds: frozenset[Kind]) -> tuple[Term, Term] | None:
        left = self.wanted(node.left, kinds, "The left side")
        right = self.wanted(node.right, kinds, "The right side")
        if left is None or right is None:
            return None
        if left.kind != right.kind:
            self.mismatch(node.spot, "The right side", f"of type {right.kind}", left.kind)
            return None
        return left, right

    def sum(self, node: Binary) -> Term | None:
        sides = self.same(node, NUMBERS)
        if sides is None:
            return None
        left, right = sides
        shape = terms.Plus if node.sign == "+" else terms.Minus
        return shape(left.kind, left, right)

    def product(self, node: Binary) -> Term | None:
        left = self.wanted(node.left, NUMBERS, "The left side")
        right = self.wanted(node.right, NUMBERS, "The right side")
        if left is None or right is None:
            return None
        if left.kind is Kind.MONEY and right.kind is Kind.MONEY:
            self.mismatch(node.spot, "The right side", "an amount", "a whole number")
            return None
        kind = Kind.MONEY if Kind.MONEY in (left.kind, right.kind) else Kind.INT
        factor, term = (left, right) if isinstance(left, Const | Param) else (right, left)
        if isinstance(factor, Const | Param):
            return terms.Times(kind, factor, term)
        return terms.Product(kind, left, right)

    def comparison(self, node: Binary) -> Term | None:
        for side, other, sign in (
            (node.left, node.right, node.sign),
            (node.right, node.left, FLIPPED.get(node.sign, node.sign)),
        ):
            if isinstance(side, Call) and side.target is None and side.name == "ratio":
                return self.ratio(side, other, sign)
        equality = node.sign in ("==", "!=")
        sides = self.same(node, VALUES if equality else ORDERED)
        if sides is None:
            return None
        left, right = sides
        if equality:
            equal = self.equality(node, left, right)
            return terms.Not(equal) if equal is not None and node.sign == "!=" else equal
        if node.sign in (">", ">="):
            left, right = right, left
        return terms.Compare("<" if node.sign in ("<", ">") else "<=", left, right)

    def equality(self, node: Binary, left: Term, right: Term) -> Term | None:
        if left.kind is not Kind.BOOL:
            return terms.Compare("==", left, right)
        if isinstance(left, Const):
            left, right = right, left
        if not isinstance(right, Const):
            self.mismatch(node.spot, "The right side", "a condition", "true or false")
            return None
        return left if right.value else terms.Not(left)

    def ratio(self, call: Call, other: Node, sign: str) -> Term | None:
        if len(call.args) != 2:  # noqa: PLR2004 - a ratio has two numbers
            self.call_unknown(call)
            return None
        above = self.wanted(call.args[0], NUMBERS, "The first number")
        below = self.wanted(call.args[1], NUMBERS, "The second number")
        limit = self.term(other)
        if self.scope.zero is None:
            self.trouble(RULE_RATIO_ZERO, call.spot)
        if above is None or below is None or limit is None or self.scope.zero is None:
            return None
        if not isinstance(limit, Param) or limit.kind is not Kind.RATIO or sign not in FLIPPED:
            self.trouble(RULE_RATIO_ALONE, call.spot)
            return None
        if above.kind != below.kind:
            self.mismatch(call.spot, "The second number", f"of type {below.kind}", above.kind)
            return None
        return terms.RatioCompare(sign, above, below, limit, self.scope.zero)

    def one_of(self, node: Binary) -> Term | None:
        term = self.wanted(node.left, ORDERED | {Kind.TEXT}, "The left side")
        if isinstance(node.right, ListOf):
            return self.one_of_list(node.right, term)
        items = self.wanted(node.right, frozenset(SETS), "The right side")
        if term is None or not isinstance(items, Param):
            return None
        if term.kind is not SETS[items.kind]:
            self.mismatch(node.spot, "The left side", f"of type {term.kind}", SETS[items.kind])
            return None
        return terms.OneOf(term, items)

    def one_of_list(self, node: ListOf, term: Term | None) -> Term | None:
        items: list[Const] = []
        for item in node.items:
            kinds = frozenset({term.kind}) if term is not None else ANY
            const = self.wanted(item, kinds, "This item")
            if isinstance(const, Const):
                items.append(const)
            elif const is not None:
                self.mismatch(item.spot, "This item", "an expression", "a written value")
        return None if term is None else terms.OneOf(term, tuple(items))

    def ternary(self, node: Ternary) -> Term | None:
        when = self.truth(node.when)
        then = self.wanted(node.then, VALUES, "This part")
        other = self.wanted(node.other, VALUES, "This part")
        if when is None or then is None or other is None:
            return None
        if then.kind != other.kind:
            self.mismatch(node.other.spot, "This part", f"of type {other.kind}", then.kind)
            return None
        return terms.Choice(then.kind, when, then, other)

    def call(self, node: Call) -> Term | None:
        if node.target is None:
            return self.free_call(node)
        if node.name in ("sum", "min", "max") and not node.args:
            return self.gather(node, Tally(node.name))
        if node.name == "size" and not node.args:
            known, where = self.members(node.target)
            return terms.Count(where, shown(node)) if known else None
        if node.name in ("exists", "all"):
            return self.some_or_all(node)
        self.call_unknown(node)
        return None

    def call_unknown(self, node: Call) -> None:
        self.trouble(RULE_CALL_UNKNOWN, node.spot, name=node.name, known=", ".join(CALLS))

    def free_call(self, node: Call) -> Term | None:
        if node.name == "ratio":
            self.trouble(RULE_RATIO_ALONE, node.spot)
            return None
        if node.name == "date" and len(node.args) == 1:
            return self.date(node.args[0])
        if node.name == "age_at" and len(node.args) == 2:  # noqa: PLR2004 - born, on
            born = self.wanted(node.args[0], frozenset({Kind.DATE}), "The first date")
            at = self.wanted(node.args[1], frozenset({Kind.DATE}), "The second date")
            return None if born is None or at is None else terms.AgeAt(born, at)
        self.call_unknown(node)
        return None

    def date(self, node: Node) -> Term | None:
        text = str(node.value) if isinstance(node, Literal) else "in this expression"
        try:
            return Const(Kind.DATE, date.fromisoformat(text))
        except ValueError:
            self.trouble(RULE_DATE, node.spot, found=text[:40])
            return None

    def members(self, node: Node) -> tuple[bool, Term | None]:
        """Return whether `node` is the members or a filter of them, and the filter's condition."""
        if isinstance(node, Name) and node.name == MEMBERS:
            if self.letter is None:
                return True, None
            self.trouble(RULE_MEMBERS_INSIDE, node.spot, name=MEMBERS)
        elif isinstance(node, Call) and node.target is not None and node.name == "filter":
            known, outer = self.members(node.target)
            inner = self.condition(node)
            if known and inner is not None:
                return True, inner if outer is None else terms.Both(outer, inner)
        elif isinstance(node, Call):
            self.call_unknown(node)
        else:
            self.mismatch(node.spot, "This part", "not a list", "members")
        return False, None

    def condition(self, node: Call) -> Term | None:
        return self.of_member(node, frozenset({Kind.BOOL}))

    def of_member(self, node: Call, kinds: frozenset[Kind]) -> Term | None:
        """Return the second argument of `node`, read with its first as the member's letter."""
        letter = node.args[0] if node.args else None
        if len(node.args) != 2 or not isinstance(letter, Name) or letter.name in RESERVED:  # noqa: PLR2004 - m, value
            self.call_unknown(node)
            return None
        if self.letter is not None:
            self.trouble(RULE_MEMBERS_INSIDE, node.spot, name=MEMBERS)
            return None
        self.letter = letter.name
        term = self.wanted(node.args[1], kinds, "The condition or value")
        self.letter = None
        return term

    def some_or_all(self, node: Call) -> Term | None:
        known, outer = self.members(node.target) if node.target is not None else (False, None)
        inner = self.condition(node)
        if not known or inner is None:
            return None
        where: Term = inner if node.name == "exists" else terms.Not(inner)
        text = f"members counted by {shown(node)}"
        count = terms.Count(where if outer is None else terms.Both(outer, where), text)
        if node.name == "exists":
            return terms.Compare("<=", Const(Kind.INT, 1), count)
        return terms.Compare("==", count, Const(Kind.INT, 0))

    def gather(self, node: Call, tally: Tally) -> Term | None:
        mapped = node.target
        if not isinstance(mapped, Call) or mapped.name != "map" or mapped.target is None:
            self.call_unknown(node)
            return None
        known, where = self.members(mapped.target)
        value = self.of_member(mapped, NUMBERS if tally is Tally.SUM else ORDERED)
        if not known or value is None:
            return None
        return terms.Gather(value.kind, tally, where, value, shown(node))
