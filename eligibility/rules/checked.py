"""From a rule pack as it was written to rules that can be run.

All problems of a pack are found at once, each in its place; a pack without problems becomes
`Rules`, in which every expression has its meaning and every amount is in minor units.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from eligibility.amounts import PACK_INPUT_MISSING, Amount, amount_of
from eligibility.entitlements import Tariff, amounts_of, exact_problem, tariff_of
from eligibility.rules.check import check
from eligibility.rules.dated import misfits
from eligibility.rules.document import (
    Document,
    Spot,
    YamlPath,
    found,
    read_document,
    read_model,
)
from eligibility.rules.fields import parameter_in
from eligibility.rules.pack import (
    STANDARD_HOUSEHOLD,
    STANDARD_MEMBER,
    InputType,
    Parameter,
    RulePack,
    Table,
    thousandths,
)  # fmt: skip
from eligibility.rules.parser import uses
from eligibility.rules.rows import Parameter as ParameterValue
from eligibility.rules.salvage import expression_findings
from eligibility.rules.scope import (
    ANY,
    NUMBERS,
    RESERVED,
    RULE_NAME_UNKNOWN,
    RULE_TYPE,
    SETS,
    Scope,
)  # fmt: skip
from eligibility.rules.tables import lookup
from eligibility.rules.terms import Kind, Term, Zero
from eligibility.selection import DISCRETIONARY
from ledgers.money import exponent, parse_amount
from ledgers.problems import NOWHERE, Finding, Place, Problem, Refusal

PACK_REFUSED = Problem(
    "pack_refused",
    "The rule pack has {problems:problem|problems} and cannot be used.",
    "Correct the places listed and check it again.",
)
PACK_NAME_TAKEN = Problem(
    "pack_name_taken",
    "The name {name} already means something else in this pack.",
    "Choose another name.",
)
PACK_ID_TWICE = Problem(
    "pack_id_twice", "Two criteria have the id {id}.", "Give each criterion an id of its own."
)
PACK_WORDS_UNKNOWN = Problem(
    "pack_words_unknown",
    "There are words for {name}, which is no input, fact, table or parameter of the pack.",
    "Correct the spelling, or remove the words.",
)
PACK_FACT_CIRCLE = Problem(
    "pack_fact_circle",
    "The facts name each other in a circle: {circle}.",
    "Let one of them be said without the others.",
)
PACK_UNREADABLE = Problem(
    "pack_unreadable", "The file {file} cannot be read: {why}.", "Check the path and the file."
)
PARAMETER_NOT_IN_FORCE = Problem(
    "parameter_not_in_force",
    "The parameter {name} has no value on {on}; its first is from {first}.",
    "Add the value that was in force then, with its source, or choose a later date.",
)

SCORE_REVIEW = "score"
SIZE_REVIEW = "size"
STRATUM_REVIEW = "stratum"
AMOUNT_REVIEW = "amount"
REVIEW_IDS = frozenset({SCORE_REVIEW, SIZE_REVIEW, STRATUM_REVIEW, AMOUNT_REVIEW})


@dataclass(frozen=True, slots=True)
class Rule:
    """A criterion that has been checked; `gate` or one of any_of."""

    id: str
    gate: bool
    term: Term
    on_unknown: str


@dataclass(frozen=True, slots=True)
class Rules:
    """A pack that has been checked: nothing in it can turn out to be unreadable later."""

    pack: RulePack
    facts: tuple[tuple[str, Term], ...]
    criteria: tuple[Rule, ...]
    score: Term
    amount: Amount
    tariff: Tariff  # of the base, where it is written out by number of people; else empty
    household: Mapping[str, Kind]
    member: Mapping[str, Kind]


def rules_of(pack: RulePack) -> Rules:
    """Return the checked rules of `pack`. Raises `pack_refused` with every problem."""
    walk = _Check(pack, None, ())
    rules = walk.rules()
    if rules is None:
        raise refused(PACK_REFUSED, tuple(walk.findings))
    return rules


def findings_of(pack: RulePack, document: Document, path: YamlPath) -> tuple[Finding, ...]:
    """Return every problem of a pack that stands at `path` of `document`."""
    walk = _Check(pack, document, path)
    walk.rules()
    return tuple(walk.findings)


def refused(problem: Problem, findings: tuple[Finding, ...]) -> Refusal:
    """Return the refusal of a file, with all its findings; the first is told in full."""
    return problem.refusal(problems=len(findings)).with_findings(findings)


def load_pack(path: Path) -> RulePack:
    """Return the pack in the YAML file at `path`. Raises `pack_refused`, `pack_unreadable`."""
    document, findings = read_document(read_text(path), path.name)
    pack = None
    if document is not None:
        pack, wrong = read_pack(document, document.values)
        findings += wrong
    if pack is None or findings:
        raise refused(PACK_REFUSED, findings)
    return pack


def read_pack(
    document: Document, values: object, path: YamlPath = ()
) -> tuple[RulePack | None, tuple[Finding, ...]]:
    """Return `values`, which stand at `path` of `document`, as a pack, with every problem."""
    pack, findings = read_model(document, values, RulePack, path)
    if pack is None:
        return None, findings + expression_findings(document, path)
    return pack, findings + findings_of(pack, document, path)


def read_text(path: Path) -> str:
    """Return the text of a file that people wrote. Raises `pack_unreadable`."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        why = error.strerror or "it cannot be opened"
        raise PACK_UNREADABLE.refusal(file=path.name, why=why) from error
    except UnicodeDecodeError as error:
        raise PACK_UNREADABLE.refusal(file=path.name, why="it is not UTF-8 text") from error


def parameters_on(pack: RulePack, on: date) -> dict[str, ParameterValue]:
    """Return the value of each parameter on the day `on`: amounts in minor units, ratios in
    thousandths. Raises `parameter_not_in_force`.
    """  # noqa: D205 - one sentence
    values: dict[str, ParameterValue] = {}
    for name, parameter in pack.parameters.items():
        starts = [start for start in parameter.values if start <= on]
        if not starts:
            first = min(parameter.values)
            raise PARAMETER_NOT_IN_FORCE.refusal(name=name, on=on, first=first)
        values[name] = _value(parameter, parameter.values[max(starts)], pack.currency)
    return values


def _value(parameter: Parameter, value: object, currency: str) -> ParameterValue:
    if parameter.type == "money":
        return parse_amount(str(value), currency)
    if parameter.type == "ratio":
        return thousandths(value)
    if isinstance(value, tuple):
        return value
    if isinstance(value, int | str | date):
        return value
    message = f"a parameter of type {parameter.type} passed its check with another type"
    raise TypeError(message)


class _Check:
    """One walk over one pack that collects findings."""

    def __init__(self, pack: RulePack, document: Document | None, path: YamlPath) -> None:
        self.pack = pack
        self.document = document
        self.path = path
        self.findings: list[Finding] = []

    def rules(self) -> Rules | None:
        household = self.inputs("household", STANDARD_HOUSEHOLD, self.pack.inputs.household)
        member = self.inputs("member", STANDARD_MEMBER, self.pack.inputs.member)
        parameters = {name: param.kind for name, param in self.pack.parameters.items()}
        facts: dict[str, Kind] = {}
        scope = Scope(household, member, parameters, facts)
        terms = tuple(self.fact_terms(scope, facts))
        criteria = tuple(self.criteria(scope))
        score = self.term(("score",), self.pack.score, scope, NUMBERS)
        tariff = self.tariff()
        amount = self.amount(scope)
        self.selection(scope)
        for problem, path, facts_ in misfits(self.pack):
            self.report(problem, path, **facts_)
        self.words(
            {*household, *member, *parameters, *self.pack.facts, *self.tables, *self.pack.shares}
        )
        if self.findings or score is None or amount is None or tariff is None:
            return None
        return Rules(self.pack, terms, criteria, score, amount, tariff, household, member)

    def words(self, known: set[str]) -> None:
        for name in self.pack.words or {}:
            if name not in known:
                self.report(PACK_WORDS_UNKNOWN, ("words", name), name=name)

    def report(self, problem: Problem, path: YamlPath, **facts: object) -> None:
        self.findings.append(found(problem, self.place(path), facts))

    def place(self, path: YamlPath) -> Place:
        if self.document is None:
            return Place(field=".".join(map(str, path))) if path else NOWHERE
        return self.document.place(self.path + path)

    def inputs(
        self, side: str, standard: Mapping[str, Kind], declared: Mapping[str, InputType]
    ) -> dict[str, Kind]:
        kinds = dict(standard)
        for name, kind in declared.items():
            if name in RESERVED | {"household_id", "age"} or standard.get(name, kind) != kind:
                self.report(PACK_NAME_TAKEN, ("inputs", side, name), name=name)
            else:
                kinds[name] = Kind(kind)
        return kinds

    def fact_terms(self, scope: Scope, facts: dict[str, Kind]) -> Iterator[tuple[str, Term]]:
        """Yield the facts so that each comes after those it names; `facts` learns their types."""
        for name in self.fact_order(scope):
            table = self.tables.get(name)
            block = "facts" if table is None else "tables"
            taken = table is not None and name in self.pack.facts
            if taken or name in RESERVED or name in scope.household:
                self.report(PACK_NAME_TAKEN, (block, name), name=name)
                scope.doubtful.add(name)
                continue
            if table is None:
                kinds = ANY - {Kind.RATIO, *SETS}
                term = self.term(("facts", name), self.pack.facts[name], scope, kinds)
            else:
                of = self.term(("tables", name, "of"), table.of, scope, frozenset({Kind.INT}))
                term = None if of is None else lookup(table, of, self.pack.currency)
            if term is None:
                scope.doubtful.add(name)
            else:
                facts[name] = term.kind
                yield name, term

    def fact_order(self, scope: Scope) -> tuple[str, ...]:
        """Return the names of the facts in an order that their spelling alone decides."""
        texts = {**self.pack.facts, **{name: table.of for name, table in self.tables.items()}}
        named = {name: uses(text) for name, text in sorted(texts.items())}
        graph = {name: sorted(used & named.keys()) for name, used in named.items()}
        try:
            return tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            circle = error.args[1]
            block = "tables" if circle[0] in self.tables else "facts"
            self.report(PACK_FACT_CIRCLE, (block, circle[0]), circle=" → ".join(circle))
            scope.doubtful.update(graph)
            return ()

    def criteria(self, scope: Scope) -> Iterator[Rule]:
        seen: set[str] = set()
        for block, criteria in (("gates", self.pack.gates), ("any_of", self.pack.any_of)):
            for at, criterion in enumerate(criteria):
                if criterion.id in seen or criterion.id in REVIEW_IDS:
                    self.report(PACK_ID_TWICE, (block, at, "id"), id=criterion.id)
                seen.add(criterion.id)
                zero = criterion.zero_denominator
                own = replace(scope, zero=Zero(zero) if zero else None)
                path: YamlPath = (block, at, "expr")
                term = self.term(path, criterion.expr, own, frozenset({Kind.BOOL}))
                if term is not None:
                    yield Rule(criterion.id, block == "gates", term, criterion.on_unknown)

    def term(self, path: YamlPath, text: str, scope: Scope, kinds: frozenset[Kind]) -> Term | None:
        term, troubles = check(text, scope, kinds)
        for trouble in troubles:
            place = self.spot(path, trouble.spot)
            self.findings.append(found(trouble.problem, place, trouble.facts))
        return term

    @property
    def tables(self) -> Mapping[str, Table]:
        return self.pack.tables or {}

    def amount(self, scope: Scope) -> Amount | None:
        def report(
            problem: Problem, path: YamlPath, facts: Mapping[str, object], spot: Spot | None
        ) -> None:
            place = self.place(("entitlement", *path))
            if spot is not None:
                place = self.spot(("entitlement", *path), spot)
            self.findings.append(found(problem, place, facts))

        return amount_of(self.pack.entitlement, self.pack.currency, scope, report)

    def selection(self, scope: Scope) -> None:
        """Report a budget that names no amount, and a list that no input holds."""
        path: YamlPath = ("selection", "budget")
        parameters, listed = scope.parameters, self.pack.selection.discretionary is not None
        if listed and scope.household.get(DISCRETIONARY) is not Kind.BOOL:
            said = {"side": "household", "name": DISCRETIONARY, "kind": Kind.BOOL}
            self.report(PACK_INPUT_MISSING, ("selection", DISCRETIONARY), **said)
        name = parameter_in(self.pack.selection.stated_budget or "")
        if name is not None and name not in parameters:
            known = ", ".join(f"p.{known}" for known in parameters) or "none"
            self.report(RULE_NAME_UNKNOWN, path, name=f"p.{name}", known=known)
        elif name is not None and parameters[name] is not Kind.MONEY:
            what, given = f"p.{name}", f"of type {parameters[name]}"
            self.report(RULE_TYPE, path, what=what, found=given, expected=Kind.MONEY)

    def spot(self, path: YamlPath, spot: Spot) -> Place:
        if self.document is None:
            field = f"{'.'.join(map(str, path))}, column {spot.column}"
            return Place(row=spot.line, field=field)
        return self.document.place(self.path + path, spot)

    def tariff(self) -> Tariff | None:
        currency = self.pack.currency
        try:
            exponent(currency)
        except Refusal as refusal:
            self.report(refusal.problem, ("currency",), **refusal.facts)
            return None
        inexact = [
            (path, problem)
            for path, amount in self.amounts()
            if (problem := exact_problem(amount, currency)) is not None
        ]
        for path, problem in inexact:
            self.report(problem.problem, path, **problem.facts)
        try:
            return None if inexact else tariff_of(self.pack.entitlement, currency)
        except Refusal as refusal:
            self.report(refusal.problem, ("entitlement",), **refusal.facts)
            return None

    def amounts(self) -> Iterator[tuple[YamlPath, object]]:
        """Yield every amount that the pack states, with its path."""
        for path, amount in amounts_of(self.pack.entitlement).items():
            if not isinstance(amount, str):
                yield ("entitlement", *path), amount
        budget = self.pack.selection.stated_budget
        if budget is not None and not isinstance(budget, str):
            yield ("selection", "budget"), budget
        for name, table in self.tables.items():
            if table.type == "money":
                for at, cell in table.rows.items():
                    yield ("tables", name, "rows", at), cell
        for name, parameter in self.pack.parameters.items():
            if parameter.type == "money":
                for start, value in parameter.values.items():
                    yield ("parameters", name, "values", start.isoformat()), value
