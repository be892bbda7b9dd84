"""YAML files that people write, read without losing anything they meant.

The file keeps its exact decimals (a YAML float would round an amount), means by `no`, `on` and
`010` what a reader would think (text, not false, true and eight), and remembers the line and the
column of every value, so that all problems of a file can be shown at once and in place. Aliases,
tags and repeated keys are refused: a value has one place, and a key has one value.

Vocabulary: a *path* is the way to a value, as `("gates", 0, "expr")`; a *spot* is a line and a
column, both counted from 1.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from eligibility.rules.wording import plain_reason
from ledgers.problems import Finding, Place, Problem

YAML_UNREADABLE = Problem(
    "yaml_unreadable",
    "The file cannot be read as YAML: {why}.",
    "Correct this place; indent with spaces, and quote a text that holds a colon.",
)
YAML_KEY_TWICE = Problem(
    "yaml_key_twice",
    "The key {key} is given twice in one block.",
    "Keep one of the two: only one could count.",
)
YAML_NOT_PLAIN = Problem(
    "yaml_not_plain",
    "The file uses {what}.",
    "Write the value out where it is used, as plain text, number or date.",
)
FIELD_MISSING = Problem(
    "field_missing", "The field {field} is missing.", "Add it to the block that starts here."
)
FIELD_UNKNOWN = Problem(
    "field_unknown",
    "There is no field {field}.",
    "Check the spelling, or remove it: a field that is not known would not be obeyed.",
)
FIELD_WRONG = Problem(
    "field_wrong", "The field {field} cannot be taken: {why}.", "Correct the value at this place."
)

DOCUMENT_CHARACTERS_MAX = 1_000_000
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,9}\Z")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "": None}

YamlPath = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a text: line and column, from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read: its plain values and where each of them stands.

    `values` holds dicts, tuples, text, int, Decimal, bool, date and None; `spots` where each value
    starts; `texts` where the first character of each one-line or block text stands.
    """

    file: str
    values: object
    spots: dict[YamlPath, Spot]
    texts: dict[YamlPath, tuple[Spot, int]]

    def place(self, path: YamlPath, within: Spot | None = None) -> Place:
        """Return the place of the value at `path`, or of the `within` spot of that text.

        A path that is not in the file has the place of the block it is missing from.
        """
        field = ".".join(str(part) for part in path)
        text = self.texts.get(path)
        if within and text:
            first, indent = text
            later = within.line > 1
            spot = Spot(
                first.line + within.line - 1, (indent if later else first.column) + within.column
            )
            return Place(self.file, row=spot.line, field=f"{field}, column {spot.column}")
        while path not in self.spots and path:
            path = path[:-1]
        start = self.spots.get(path, Spot(1, 1))
        column = f"column {start.column}"
        return Place(self.file, row=start.line, field=f"{field}, {column}" if field else column)


class NotPlainError(Exception):
    """The file holds something that these files do not have; carries the finding."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(str(finding))


class PlainLoader(yaml.SafeLoader):
    """Composes nodes and refuses aliases; nothing is ever constructed from tags."""

    file = ""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node; an alias is refused."""
        if self.check_event(yaml.AliasEvent):
            place = Place(self.file, row=self.line + 1)
            raise NotPlainError(YAML_NOT_PLAIN.finding(place, what="an alias (*name)"))
        return super().compose_node(parent, index)


def read_document(text: str, file: str) -> tuple[Document | None, tuple[Finding, ...]]:
    """Read the YAML `text` of `file` (a name to show) and return it with all findings.

    The document is None where the text is not YAML at all.
    """
    if len(text) > DOCUMENT_CHARACTERS_MAX:
        why = f"it is longer than {DOCUMENT_CHARACTERS_MAX} characters"
        return None, (YAML_UNREADABLE.finding(Place(file), why=why),)
    try:
        loader = PlainLoader(text)
        loader.file = file
        node = loader.get_single_node()
    except NotPlainError as error:
        return None, (error.finding,)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = Place(file, row=mark.line + 1 if mark else None)
        why = getattr(error, "problem", None) or "it holds characters that are not text"
        return None, (YAML_UNREADABLE.finding(place, why=why),)
    except RecursionError:
        return None, (YAML_UNREADABLE.finding(Place(file), why="it is nested too deeply"),)
    reading = _Reading(file, text.splitlines())
    values = reading.value(node, ()) if node else {}
    return Document(file, values, reading.spots, reading.texts), tuple(reading.findings)


class _Reading:
    """The walk over the composed nodes."""

    def __init__(self, file: str, lines: list[str]) -> None:
        self.file = file
        self.lines = lines
        self.spots: dict[YamlPath, Spot] = {}
        self.texts: dict[YamlPath, tuple[Spot, int]] = {}
        self.findings: list[Finding] = []

    def value(self, node: yaml.Node, path: YamlPath) -> object:
        start = node.start_mark
        self.spots[path] = Spot(start.line + 1, start.column + 1)
        plain = not node.tag.startswith(("!", "tag:yaml.org,2002:python", "tag:yaml.org,2002:set"))
        if not plain or node.tag.endswith((":binary", ":omap", ":pairs")):
            self.report(YAML_NOT_PLAIN, path, what=f"the tag {node.tag}")
            return None
        if isinstance(node, yaml.MappingNode):
            return self.block(node, path)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.value(item, (*path, at)) for at, item in enumerate(node.value))
        return self.scalar(node, path)

    def block(self, node: yaml.MappingNode, path: YamlPath) -> dict[object, object]:
        block: dict[object, object] = {}
        for key_node, value_node in node.value:
            key = self.scalar(key_node, (*path, "key"))
            if not isinstance(key, str | int | date):
                self.report(YAML_NOT_PLAIN, path, what="a key that is not text, number or date")
                continue
            step = key if isinstance(key, str | int) else key.isoformat()
            twice = key in block
            block[key] = self.value(value_node, (*path, step))
            if twice:
                self.report(YAML_KEY_TWICE, (*path, step), key=step)
        return block

    def scalar(self, node: yaml.Node, path: YamlPath) -> object:
        if not isinstance(node, yaml.ScalarNode):
            return None
        text: str = node.value
        if node.style is None:
            value = plain_value(text)
            if not isinstance(value, str):
                return value
        self.remember(node, path)
        return text

    def remember(self, node: yaml.ScalarNode, path: YamlPath) -> None:
        start, end = node.start_mark, node.end_mark
        if node.style == "|":
            line = start.line + 1
            first = self.lines[line] if line < len(self.lines) else ""
            indent = len(first) - len(first.lstrip())
            self.texts[path] = (Spot(line + 1, indent), indent)
        elif start.line == end.line:
            column = start.column + (1 if node.style else 0)
            self.texts[path] = (Spot(start.line + 1, column), 0)

    def report(self, problem: Problem, path: YamlPath, **facts: object) -> None:
        spot = self.spots.get(path, Spot(1, 1))
        field = ".".join(str(part) for part in path)
        place = Place(self.file, row=spot.line, field=f"{field}, column {spot.column}")
        self.findings.append(found(problem, place, facts))


def found(problem: Problem, place: Place, facts: Mapping[str, object]) -> Finding:
    """Return the finding of `problem` with its facts; a fact called value is the value shown."""
    rest = {name: fact for name, fact in facts.items() if name != "value"}
    return Finding(problem, place, str(facts.get("value", "")), rest)


def plain_value(text: str) -> object:
    """Return what an unquoted YAML word means: number, date, true, false, null or itself.

    >>> plain_value("12"), plain_value("1500.50"), plain_value("no"), plain_value("010")
    (12, Decimal('1500.50'), 'no', '010')
    """
    if INTEGER.match(text):
        return int(text)
    if DECIMAL.match(text):
        return Decimal(text)
    if DAY.match(text):
        return _day(text)
    return CONSTANTS.get(text, text)


def _day(text: str) -> date | str:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text


def read_model(
    document: Document, values: object, model: type[Model], path: YamlPath = ()
) -> tuple[Model | None, tuple[Finding, ...]]:
    """Return `values` (which stand at `path` of `document`) as `model`, with all findings."""
    try:
        return model.model_validate(values), ()
    except ValidationError as error:
        misfits = error.errors(include_url=False, include_input=False)
    reasons: dict[YamlPath, dict[str, str]] = {}
    for misfit in misfits:
        steps = _steps(values, misfit["loc"])
        reasons.setdefault(path + steps, {})[misfit["type"]] = plain_reason(misfit, model)
    return None, tuple(_finding(document, at, whys) for at, whys in reasons.items())


def _steps(values: object, location: tuple[int | str, ...]) -> YamlPath:
    """Return the way to the value that is wrong, without pydantic's names of alternatives."""
    steps: list[int | str] = []
    for step in location:
        if not isinstance(values, Mapping | tuple):
            break
        if step == "[key]":
            continue
        steps.append(step)
        if isinstance(values, Mapping):
            values = next((at for key, at in values.items() if str(key) == str(step)), None)
        else:
            values = values[step] if isinstance(step, int) else None
    return tuple(steps)


def _finding(document: Document, path: YamlPath, reasons: Mapping[str, str]) -> Finding:
    """Return what is wrong at `path`: `reasons` are by kind, several where several would do."""
    field = ".".join(str(part) for part in path) or "(the file)"
    place = document.place(path)
    if "missing" in reasons:
        return FIELD_MISSING.finding(place, field=field)
    if "extra_forbidden" in reasons:
        return FIELD_UNKNOWN.finding(place, field=field)
    why = ", or ".join(dict.fromkeys(reasons.values()))
    return FIELD_WRONG.finding(place, field=field, why=why)
