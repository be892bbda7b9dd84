"""What can still be checked of a pack whose form is wrong: its expressions.

A pack with a label missing is no pack yet, but whoever corrects it wants to hear of the misspelt
fact as well, and not one problem an hour. So every expression that can be read is checked with the
names that can be understood; of a name whose own declaration is wrong nothing is said where it is
used, because it could be untrue.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError

from eligibility.rules.check import check
from eligibility.rules.document import Document, YamlPath, found
from eligibility.rules.pack import (
    STANDARD_HOUSEHOLD,
    STANDARD_MEMBER,
    InputType,
    Parameter,
    Table,
)  # fmt: skip
from eligibility.rules.parser import uses
from eligibility.rules.scope import ANY, NUMBERS, SETS, Scope
from eligibility.rules.terms import Kind, Zero
from ledgers.problems import Finding

Values = Mapping[object, object]
Model = TypeVar("Model", bound=BaseModel)
TRUTH = frozenset({Kind.BOOL})
FACT = ANY - {Kind.RATIO, *SETS}


def expression_findings(document: Document, path: YamlPath) -> tuple[Finding, ...]:
    """Return every problem of the expressions of the pack that stands at `path` of `document`."""
    values = document.values
    for step in path:
        values = values.get(step) if isinstance(values, Mapping) else None
    if not isinstance(values, Mapping):
        return ()
    walk = _Salvage(document, path, values)
    return tuple(walk.findings())


@dataclass(slots=True)
class _Salvage:
    document: Document
    path: YamlPath
    values: Values
    scope: Scope = field(default_factory=Scope)
    facts: dict[str, Kind] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)

    def findings(self) -> Iterator[Finding]:
        inputs = _block(self.values, "inputs")
        self.scope = Scope(
            household={**STANDARD_HOUSEHOLD, **self.inputs(_block(inputs, "household"), "")},
            member={**STANDARD_MEMBER, **self.inputs(_block(inputs, "member"), "m.")},
            parameters=self.parameters(),
            facts=self.facts,
            zero=Zero.STOP,
            doubtful=self.doubtful,
        )
        yield from self.tables()
        yield from self.fact_findings()
        for block in ("gates", "any_of"):
            yield from self.criteria(block)
        score = self.values.get("score")
        if isinstance(score, str):
            yield from self.checked(("score",), score, NUMBERS)

    # --- names ---

    def inputs(self, declared: Values, prefix: str) -> dict[str, Kind]:
        kinds: dict[str, Kind] = {}
        for name, kind in declared.items():
            if isinstance(name, str) and kind in get_args(InputType):
                kinds[name] = Kind(str(kind))
            else:
                self.doubtful.add(f"{prefix}{name}")
        return kinds

    def parameters(self) -> dict[str, Kind]:
        kinds: dict[str, Kind] = {}
        for name, content in _block(self.values, "parameters").items():
            parameter = _read(Parameter, content)
            if parameter is None:
                self.doubtful.add(f"p.{name}")
            else:
                kinds[str(name)] = parameter.kind
        return kinds

    def tables(self) -> Iterator[Finding]:
        for name, content in _block(self.values, "tables").items():
            # The name of a table stands for a fact, whatever its rows say.
            self.doubtful.add(str(name))
            if _read(Table, content) is not None and isinstance(content, Mapping):
                yield from self.checked(("tables", str(name), "of"), str(content["of"]), NUMBERS)

    def fact_findings(self) -> Iterator[Finding]:
        texts = {str(name): text for name, text in _block(self.values, "facts").items()}
        self.doubtful |= {name for name, text in texts.items() if not isinstance(text, str)}
        written = {name: text for name, text in texts.items() if isinstance(text, str)}
        graph = {name: sorted(uses(text) & written.keys()) for name, text in written.items()}
        try:
            order: Sequence[str] = tuple(TopologicalSorter(graph).static_order())
        except CycleError:
            order = ()
            self.doubtful |= written.keys()
        for name in order:
            yield from self.checked(("facts", name), written[name], FACT, fact=name)

    # --- expressions ---

    def criteria(self, block: str) -> Iterator[Finding]:
        criteria = self.values.get(block)
        for at, criterion in enumerate(criteria if isinstance(criteria, tuple) else ()):
            text = criterion.get("expr") if isinstance(criterion, Mapping) else None
            if isinstance(text, str):
                yield from self.checked((block, at, "expr"), text, TRUTH)

    def checked(
        self, path: YamlPath, text: str, kinds: frozenset[Kind], fact: str = ""
    ) -> Iterator[Finding]:
        """Yield the problems of one expression; what is no fact without doubt is doubtful."""
        term, troubles = check(text, self.scope, kinds)
        if fact and term is None:
            self.doubtful.add(fact)
        elif fact and term is not None:
            self.facts[fact] = term.kind
        for trouble in troubles:
            place = self.document.place(self.path + path, trouble.spot)
            yield found(trouble.problem, place, trouble.facts)


def _block(values: Values, name: str) -> Values:
    block = values.get(name)
    return block if isinstance(block, Mapping) else {}


def _read(model: type[Model], content: object) -> Model | None:
    try:
        return model.model_validate(content)
    except ValidationError:
        return None
