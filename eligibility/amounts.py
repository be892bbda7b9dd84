"""From the blocks of an entitlement to terms: what each component gives, and what is due in all.

Both back ends answer the terms, so an amount cannot mean two things, and what is not known of a
household (how many members count, how many days were attended) leaves its amount unknown exactly
where it would make a difference: people look before money is promised.

Vocabulary: the *sum* of an entitlement is what its components come to together; the *whole* is the
sum rounded and held within its bounds; *due* is the part of the whole that the cycle pays, which is
all of it unless it is paid in instalments.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from eligibility.entitlements import (
    BASE,
    AddOn,
    Attendance,
    Entitlement,
    Instalments,
    TopUp,
    exact_problem,
)
from eligibility.rules import amount_rows as _answered  # noqa: F401 - answers these terms
from eligibility.rules import terms
from eligibility.rules.check import check
from eligibility.rules.document import Spot, YamlPath
from eligibility.rules.fields import parameter_in
from eligibility.rules.parser import parse
from eligibility.rules.scope import RULE_NAME_UNKNOWN, RULE_TYPE, Scope
from eligibility.rules.syntax import Trouble, UnreadableError
from eligibility.rules.terms import Const, Kind, Param, Tally, Term, Zero
from ledgers.money import parse_amount
from ledgers.problems import Problem

PACK_INPUT_MISSING = Problem(
    "pack_input_missing",
    "This block reads the {side} input {name}, which the pack does not declare.",
    "Add {name}: {kind} under inputs, {side}.",
)
PACK_COMPONENT_TWICE = Problem(
    "pack_component_twice",
    "Two components of the amount have the id {id}.",
    "Give each top-up and add-on an id of its own; the base is called base.",
)
PACK_BOUNDS_CROSS = Problem(
    "pack_bounds_cross",
    "The amount is at least {least} and at most {most}: no amount is both.",
    "Correct the one that is wrong.",
)

NOTHING = Const(Kind.MONEY, 0)
SMALLEST = Const(Kind.MONEY, 1)
BEGINS = "members.filter(m, "
ENDS = ").size()"
ENROLLED, PLANNED, ATTENDED = "enrolled", "planned_units", "attended_units"
Report = Callable[[Problem, YamlPath, Mapping[str, object], Spot | None], None]


@dataclass(frozen=True, slots=True)
class Amount:
    """What a household is due: each component's id and term, their whole, and what is paid."""

    components: tuple[tuple[str, Term], ...]
    whole: Term
    due: Term


def awarded(item: str) -> str:
    """Return the household input that holds what was awarded of a case-by-case item."""
    return f"awarded_{item}"


def amount_of(
    entitlement: Entitlement, currency: str, scope: Scope, report: Report
) -> Amount | None:
    """Return the meaning of `entitlement`, or None where something was reported."""
    builder = _Builder(currency, scope, report)
    components = tuple(builder.components(entitlement))
    bounds = [
        builder.bound(name, getattr(entitlement, name))
        for name in ("round_to", "at_least", "at_most")
    ]
    if builder.has_trouble or not components:
        return None
    unit, least, most = bounds
    if _crosses(least, most):
        written = {"least": entitlement.at_least, "most": entitlement.at_most}
        report(PACK_BOUNDS_CROSS, ("at_least",), written, None)
        return None
    whole = reduce(lambda one, two: terms.Plus(Kind.MONEY, one, two), (t for _, t in components))
    if unit is not None:
        whole = terms.Rounded(Kind.MONEY, whole, unit)
    if least is not None or most is not None:
        whole = terms.Bounded(Kind.MONEY, whole, least, most)
    due = builder.instalment(entitlement.instalments, whole, unit or SMALLEST)
    return None if due is None else Amount(components, whole, due)


class _Builder:
    """One walk over one entitlement; what is wrong is reported, and stands as nothing."""

    def __init__(self, currency: str, scope: Scope, report: Report) -> None:
        self.currency = currency
        self.scope = scope
        self.tell = report
        self.has_trouble = False

    def report(
        self, problem: Problem, path: YamlPath, spot: Spot | None = None, **facts: object
    ) -> None:
        self.has_trouble = True
        self.tell(problem, path, facts, spot)

    def components(self, entitlement: Entitlement) -> Iterator[tuple[str, Term]]:
        """Yield the base, the top-ups and the add-ons, each with its id."""
        counted = self.counted(entitlement.payable)
        seen = set()
        for name, path, build in self.blocks(entitlement, counted):
            if name in seen:
                self.report(PACK_COMPONENT_TWICE, path, id=name)
            seen.add(name)
            term = build()
            if term is not None:
                yield name, term

    def blocks(
        self, entitlement: Entitlement, counted: Term
    ) -> Iterator[tuple[str, YamlPath, Callable[[], Term | None]]]:
        if entitlement.case_by_case is not None:
            for item, limits in entitlement.case_by_case.items.items():
                path: YamlPath = ("case_by_case", "items", item)
                yield item, path, lambda i=item, m=limits.at_most: self.item(i, m)  # type: ignore[misc]
        else:
            yield BASE, (), lambda: self.base(entitlement, counted)
        for at, top_up in enumerate(entitlement.top_ups or ()):
            path = ("top_ups", at)
            yield top_up.id, (*path, "id"), lambda p=path, t=top_up: self.top_up(p, t, counted)  # type: ignore[misc]
        for at, add_on in enumerate(entitlement.add_ons or ()):
            path = ("add_ons", at)
            yield add_on.id, (*path, "id"), lambda p=path, a=add_on: self.add_on(p, a)  # type: ignore[misc]

    def counted(self, payable: str | None) -> Term:
        """Return how many people count in the base and the top-ups."""
        if payable is None:
            return terms.People()
        return self.some_members(("payable",), payable) or terms.People()

    def base(self, entitlement: Entitlement, counted: Term) -> Term | None:
        if entitlement.flat is not None:
            return self.sum(("flat",), entitlement.flat)
        if entitlement.per_person is not None:
            each = self.sum(("per_person",), entitlement.per_person)
            capped = _capped(counted, entitlement.people_max)
            return None if each is None else terms.Times(Kind.MONEY, each, capped)
        if entitlement.attendance is not None:
            return self.attendance(entitlement.attendance)
        return self.tiers(("by_size",), entitlement.by_size or {}, counted)

    def top_up(self, path: YamlPath, top_up: TopUp, counted: Term) -> Term | None:
        return self.only(path, top_up.when, self.tiers((*path, "by_size"), top_up.by_size, counted))

    def add_on(self, path: YamlPath, add_on: AddOn) -> Term | None:
        each: Term | None = self.sum((*path, "amount"), add_on.amount)
        if add_on.per is not None:
            count = self.some_members((*path, "per"), add_on.per)
            if each is None or count is None:
                return None
            capped = _capped(count, add_on.people_max)
            each = terms.Times(Kind.MONEY, each, capped)  # type: ignore[arg-type]
        return self.only(path, add_on.when, each)

    def only(self, path: YamlPath, when: str | None, term: Term | None) -> Term | None:
        """Return `term` where the condition on the household holds, and nothing elsewhere."""
        if when is None:
            return term
        condition = self.checked((*path, "when"), when)
        if condition is None or term is None:
            return None
        return terms.Choice(Kind.MONEY, condition, term, NOTHING)

    def item(self, item: str, at_most: object) -> Term | None:
        path: YamlPath = ("case_by_case", "items", item)
        declared = self.declared(path, "household", awarded(item), Kind.MONEY)
        limit = self.sum((*path, "at_most"), at_most)
        if not declared or limit is None:
            return None
        return terms.Bounded(Kind.MONEY, terms.Input(Kind.MONEY, awarded(item)), most=limit)

    def attendance(self, block: Attendance) -> Term | None:
        path: YamlPath = ("attendance",)
        read = ((ENROLLED, Kind.BOOL), (PLANNED, Kind.INT), (ATTENDED, Kind.INT))
        declared = [self.declared(path, "member", name, kind) for name, kind in read]
        where = self.attended_enough(block)
        name = "per_unit" if block.per_unit is not None else "per_member"
        each = self.sum((*path, name), block.per_unit if name == "per_unit" else block.per_member)
        if not all(declared) or where is None or each is None:
            return None
        if name == "per_member":
            who = terms.Count(where, f"members who attended enough ({block.unit})")
            return terms.Times(Kind.MONEY, each, who)
        units = _capped(terms.MemberInput(Kind.INT, ATTENDED), block.units_max)
        text = f"units attended ({block.unit})"
        total = terms.Gather(Kind.INT, Tally.SUM, where, units, text)
        return terms.Times(Kind.MONEY, each, total)

    def attended_enough(self, block: Attendance) -> Term | None:
        enrolled = terms.MemberInput(Kind.BOOL, ENROLLED)
        attended = terms.MemberInput(Kind.INT, ATTENDED)
        where: Term = terms.Both(enrolled, terms.Compare("<=", Const(Kind.INT, 0), attended))
        if block.least_share is None:
            return where
        path: YamlPath = ("attendance", "least_share")
        share = self.parameter(path, block.least_share.removeprefix("p."), Kind.RATIO)
        planned = terms.MemberInput(Kind.INT, PLANNED)
        if share is None:
            return None
        return terms.Both(where, terms.RatioCompare(">=", attended, planned, share, Zero.FAIL))

    def instalment(
        self, block: Instalments | None, whole: Term, unit: Const | Param
    ) -> Term | None:
        """Return the part of `whole` that a cycle pays, all of it where there are no parts."""
        if block is None:
            return whole
        due = self.parameter(("instalments", "due"), block.due.removeprefix("p."), Kind.TEXT)
        if due is None:
            return None
        return terms.Instalment(Kind.MONEY, whole, tuple(sorted(block.shares.items())), due, unit)

    # --- the parts of a block ---

    def tiers(self, path: YamlPath, rows: Mapping[int, object], counted: Term) -> Term | None:
        found = [
            (start, self.sum((*path, start), amount)) for start, amount in sorted(rows.items())
        ]
        values = tuple(value for _, value in found if value is not None)
        starts = tuple(start for start, _ in found)
        if len(values) < len(found):
            return None
        return terms.Lookup(Kind.MONEY, counted, starts, values, below=NOTHING)

    def bound(self, name: str, amount: object) -> Const | Param | None:
        return None if amount is None else self.sum((name,), amount)

    def sum(self, path: YamlPath, amount: object) -> Const | Param | None:
        """Return an amount, written or named."""
        name = parameter_in(amount) if isinstance(amount, str) else None
        if name is not None:
            return self.parameter(path, name, Kind.MONEY)
        # What is no amount of the currency is reported with all other amounts of the pack.
        inexact = exact_problem(amount, self.currency) is not None
        minor = 0 if inexact else parse_amount(str(amount), self.currency)
        return Const(Kind.MONEY, minor)

    def parameter(self, path: YamlPath, name: str, wanted: Kind) -> Param | None:
        kind = self.scope.parameters.get(name)
        if kind is None:
            known = ", ".join(f"p.{known}" for known in self.scope.parameters) or "none"
            self.report(RULE_NAME_UNKNOWN, path, name=f"p.{name}", known=known)
        elif kind is not wanted:
            self.report(RULE_TYPE, path, what=f"p.{name}", found=f"of type {kind}", expected=wanted)
        else:
            return Param(kind, name)
        return None

    def declared(self, path: YamlPath, side: str, name: str, kind: Kind) -> bool:
        inputs = self.scope.household if side == "household" else self.scope.member
        if inputs.get(name) is kind:
            return True
        self.report(PACK_INPUT_MISSING, path, side=side, name=name, kind=kind)
        return False

    def checked(self, path: YamlPath, text: str) -> Term | None:
        term, troubles = check(text, self.scope, frozenset({Kind.BOOL}))
        self.report_all(path, troubles)
        return term

    def some_members(self, path: YamlPath, text: str) -> Term | None:
        """Return how many members the condition `text` on `m` holds for."""
        try:
            parse(text)
        except UnreadableError as error:
            self.report_all(path, [error.trouble])
            return None
        term, troubles = check(f"{BEGINS}{text}{ENDS}", self.scope, frozenset({Kind.INT}))
        shift = len(BEGINS)
        back = [
            replace(trouble, spot=replace(trouble.spot, column=trouble.spot.column - shift))
            if trouble.spot.line == 1
            else trouble
            for trouble in troubles
        ]
        self.report_all(path, back)
        return term

    def report_all(self, path: YamlPath, troubles: Sequence[Trouble]) -> None:
        for trouble in troubles:
            self.report(trouble.problem, path, trouble.spot, **trouble.facts)


def _crosses(least: Term | None, most: Term | None) -> bool:
    values = [end.value for end in (least, most) if isinstance(end, Const)]
    numbers = [value for value in values if isinstance(value, int)]
    return len(numbers) == len((least, most)) and numbers[0] > numbers[1]


def _capped(term: Term, most: int | None) -> Term:
    if most is None:
        return term
    return terms.Bounded(Kind.INT, term, most=Const(Kind.INT, most))
