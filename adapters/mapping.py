"""Mapping files: which question of a form is which canonical field.

Decides how somebody else's form is read: its questions are named by *leaf name* (groups get
renamed between versions of a form; a full path is accepted where two questions share a leaf), its
codes are translated (`values`), what it does not ask is stated (`constants`). A mapping file is
YAML; every scalar is read as text, so that a code `1` or `no` stays what was written. All problems
of a mapping file are said at once, each with its line.

    form: market-support-2024            # half of every record's identity
    formats: [csv]                       # kobo_xlsx, kobo_json, csv
    csv: {delimiters: [";"], encodings: [utf-8-sig, cp1254]}
    record_id: {field: nationalId, personal: true}
    revision: []                         # first answered one counts; none: a digest of the row
    submitted_at: _submission_time
    roster: members                      # the repeat that lists the members; absent: one person
    household: {phoneNumber: phone}      # question: canonical field
    members: {fullName: full_name, nationalId: id_number}
    answers: {score: {name: vulnerability_score, type: int}}
    values: {sex: {"1": male, "2": female}}
    choices: {shelter: [flat, tent]}     # codes the form knows: a file with others has labels
    constants: {relationship: head}
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from adapters.port import HOUSEHOLD_FIELDS, MEMBER_FIELDS
from ledgers.problems import Finding, Place, Problem, Weight

MAPPING_UNREADABLE = Problem(
    "mapping_unreadable",
    "{file} is not a mapping file: {reason}.",
    "Give a YAML file; the mappings that come with the program are examples.",
)
MAPPING_INVALID = Problem(
    "mapping_invalid",
    "The mapping file {file} has {count:problem|problems}.",
    "Correct each line named below and check again.",
)
MAPPING_ENTRY = Problem(
    "mapping_entry",
    "{reason}.",
    "Correct this entry of the mapping file.",
    weight=Weight.REFUSED,
)

# Fields whose value may name or reach a person: shown masked, and never translated by a table.
PERSONAL = frozenset({
    "address", "phone", "iban", "voucher_card_ref", "debit_card_ref",
    "given_name", "family_name", "full_name", "id_number", "birth_date",
})  # fmt: skip
# Fields whose digits are a name for something: a spreadsheet that counts with them loses some.
DIGITS = frozenset({"phone", "iban", "voucher_card_ref", "debit_card_ref", "id_number"})
NAMES = ("given_name", "family_name", "full_name")
MAPPING_BYTES_MAX = 1_000_000

_ANSWER_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")

Location = tuple[str, ...]
Mapped = TypeVar("Mapped", bound=BaseModel)


class FileFormat(StrEnum):
    """What a file is, as seen from its content."""

    KOBO_XLSX = "kobo_xlsx"  # the XLSX export: one sheet per repeat
    KOBO_JSON = "kobo_json"  # pages of the API, a list of submissions, or JSON lines of either
    CSV = "csv"  # one row per household


class AnswerType(StrEnum):
    """What an answer is, for whoever turns its text into a fact."""

    INT = "int"
    MONEY_TRY = "money_try"  # decimal lira in the file (1250.50), kuruş as a fact
    TEXT = "text"
    BOOL = "bool"
    DATE = "date"  # ISO 8601
    SELECT = "select"  # one code of a choice list


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecordId(_Part):
    """The question that identifies a submission; `personal` where it is a person's own number."""

    field: str = Field(min_length=1)
    personal: bool = False


class AnswerTarget(_Part):
    """The name an answer gets as a fact, and its type."""

    name: str
    type: AnswerType = AnswerType.TEXT


class CsvLayout(_Part):
    """Delimiters and encodings to try, in order."""

    delimiters: tuple[str, ...] = (",", ";", "\t")
    encodings: tuple[str, ...] = ("utf-8-sig",)


class FormMapping(_Part):
    """A checked mapping; see the module's text for the file.

    `record_id.personal` tells the caller to replace `Record.record_id` by a keyed token before
    anything is stored; where `revision` is empty, `Record.revision` is a digest of the row's
    content and needs the same treatment.
    """

    form: str = Field(min_length=1)
    formats: tuple[FileFormat, ...] = Field(min_length=1)
    csv: CsvLayout = CsvLayout()
    record_id: RecordId
    revision: tuple[str, ...] = ()
    submitted_at: str = ""
    roster: str = ""
    household: dict[str, str] = {}
    members: dict[str, str] = Field(min_length=1)
    answers: dict[str, AnswerTarget] = {}
    values: dict[str, dict[str, str]] = {}
    choices: dict[str, tuple[str, ...]] = {}
    constants: dict[str, str] = {}

    @property
    def household_sources(self) -> frozenset[str]:
        """Questions read from a submission itself (with the member's, where no roster is)."""
        sources = {self.record_id.field, *self.revision, *self.household, *self.answers}
        if self.submitted_at:
            sources.add(self.submitted_at)
        return frozenset(sources if self.roster else sources | set(self.members))

    @property
    def member_sources(self) -> frozenset[str]:
        """Questions read from a row of the roster; empty for a form without one."""
        return frozenset(self.members) if self.roster else frozenset()

    @property
    def name_sources(self) -> tuple[str, ...]:
        """Questions that hold a member's name."""
        return tuple(source for source, field in self.members.items() if field in NAMES)

    @property
    def text_sources(self) -> frozenset[str]:
        """Questions whose digits are a name for something, not a quantity."""
        both = {**self.household, **self.members}
        identity = {self.record_id.field} if self.record_id.personal else set()
        return frozenset(identity | {source for source, field in both.items() if field in DIGITS})

    @property
    def codes(self) -> dict[str, frozenset[str]]:
        """For each coded field or answer, the codes the form may send."""
        named = {name: frozenset(table) for name, table in self.values.items()}
        return {**{name: frozenset(codes) for name, codes in self.choices.items()}, **named}


def load_mapping(path: Path) -> FormMapping:
    """Return the checked mapping of a form in the YAML file at `path`; see `read_mapping`."""
    return read_mapping(path, FormMapping, _contradictions)


def read_mapping(
    path: Path,
    model: type[Mapped],
    contradictions: Callable[[Mapped], Iterator[tuple[Location, str]]],
) -> Mapped:
    """Return the checked mapping in the YAML file at `path`, as `model` describes it.

    `contradictions` yields what each entry alone does not show. Raises Refusal
    `mapping_unreadable` where it is no YAML mapping, and `mapping_invalid` with one finding
    (`mapping_entry`: line and entry) for every problem it has.
    """
    node = _document(path)
    lines, repeated = _lines(node)
    findings = [
        _entry(path, lines, location, f"`{location[-1]}` is given twice") for location in repeated
    ]
    raw = yaml.BaseLoader("").construct_document(node)
    try:
        mapping = model.model_validate(raw)
    except ValidationError as errors:
        findings += [
            _entry(path, lines, tuple(str(part) for part in error["loc"]), _said(error["msg"]))
            for error in errors.errors(include_url=False, include_input=False)
        ]
        raise _invalid(path, findings) from None
    findings += [_entry(path, lines, *problem) for problem in contradictions(mapping)]
    if findings:
        raise _invalid(path, findings)
    return mapping


def _document(path: Path) -> yaml.Node:
    try:
        if path.stat().st_size > MAPPING_BYTES_MAX:
            raise MAPPING_UNREADABLE.refusal(file=path.name, reason="it is larger than 1 MB")
        node = yaml.compose(path.read_text("utf-8-sig"), Loader=yaml.BaseLoader)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise MAPPING_UNREADABLE.refusal(file=path.name, reason=reason) from None
    except UnicodeDecodeError:
        raise MAPPING_UNREADABLE.refusal(file=path.name, reason="it is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "somewhere"
        reason = f"{where} is not YAML ({getattr(error, 'problem', None) or 'unreadable'})"
        raise MAPPING_UNREADABLE.refusal(file=path.name, reason=reason) from None
    if not isinstance(node, yaml.MappingNode):
        raise MAPPING_UNREADABLE.refusal(file=path.name, reason="it holds no `name: value` lines")
    return node


def _lines(node: yaml.Node, at: Location = ()) -> tuple[dict[Location, int], list[Location]]:
    """Return the line of every entry, and the entries that stand twice."""
    lines: dict[Location, int] = {at: node.start_mark.line + 1}
    repeated: list[Location] = []
    inside: list[tuple[Location, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        names = Counter(str(key.value) for key, _ in node.value)
        repeated += [(*at, name) for name, count in names.items() if count > 1]
        inside = [((*at, str(key.value)), value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inside = [((*at, str(index)), value) for index, value in enumerate(node.value)]
    for location, value in inside:
        deeper, also = _lines(value, location)
        lines |= deeper
        repeated += also
    return lines, repeated


def _entry(path: Path, lines: dict[Location, int], location: Location, reason: str) -> Finding:
    known = location
    while known not in lines:
        known = known[:-1]
    place = Place(path.name, row=lines[known], field=".".join(location))
    return MAPPING_ENTRY.finding(place, reason=reason)


def _invalid(path: Path, findings: Sequence[Finding]) -> Exception:
    ordered = sorted(findings, key=lambda finding: finding.place.row or 0)
    refusal = MAPPING_INVALID.refusal(file=path.name, count=len(ordered))
    return refusal.with_findings(ordered)


def _said(message: str) -> str:
    return message[:1].upper() + message[1:].rstrip(".")


def _contradictions(mapping: FormMapping) -> Iterator[tuple[Location, str]]:
    """Yield what each entry alone does not show: unknown fields, fields given twice."""
    yield from _unknown_targets(mapping)
    yield from _repeated_targets(mapping)
    yield from _unusable_tables(mapping)
    if not mapping.name_sources:
        names = ", ".join(NAMES)
        yield ("members",), f"No question gives a name: map one to {names}"
    if FileFormat.CSV in mapping.formats:
        if mapping.roster:
            yield ("roster",), "A CSV file has no roster: leave `roster` out or drop `csv`"
        for index, delimiter in enumerate(mapping.csv.delimiters):
            if len(delimiter) != 1:
                yield ("csv", "delimiters", str(index)), "A delimiter is one character"
        for index, encoding in enumerate(mapping.csv.encodings):
            if not _is_encoding(encoding):
                yield ("csv", "encodings", str(index)), f"`{encoding}` is no known encoding"


def _is_encoding(name: str) -> bool:
    try:
        return bool("x".encode(name))
    except (LookupError, ValueError):
        return False


def _unknown_targets(mapping: FormMapping) -> Iterator[tuple[Location, str]]:
    for source, field in mapping.household.items():
        if field not in HOUSEHOLD_FIELDS:
            yield ("household", source), f"`{field}` is no field of a household"
    for source, field in mapping.members.items():
        if field not in MEMBER_FIELDS:
            yield ("members", source), f"`{field}` is no field of a member"
    for source, answer in mapping.answers.items():
        if not _ANSWER_NAME.match(answer.name):
            yield (
                ("answers", source, "name"),
                f"`{answer.name}` is no name: use small letters, digits and _",
            )
        elif answer.name in HOUSEHOLD_FIELDS or answer.name in MEMBER_FIELDS:
            yield ("answers", source, "name"), f"`{answer.name}` is a canonical field: map it there"


def _repeated_targets(mapping: FormMapping) -> Iterator[tuple[Location, str]]:
    targets = [
        *((("household", source), field) for source, field in mapping.household.items()),
        *((("members", source), field) for source, field in mapping.members.items()),
        *((("answers", source), answer.name) for source, answer in mapping.answers.items()),
        *((("constants", name), name) for name in mapping.constants),
    ]
    seen: set[str] = set()
    for location, name in targets:
        if name in seen:
            yield location, f"`{name}` has a source already"
        seen.add(name)


def _unusable_tables(mapping: FormMapping) -> Iterator[tuple[Location, str]]:
    answers = {answer.name for answer in mapping.answers.values()}
    known = {*mapping.household.values(), *mapping.members.values(), *answers}
    for part, tables in (("values", mapping.values), ("choices", mapping.choices)):
        for name in tables:
            if name not in known:
                yield (part, name), f"`{name}` is not mapped from any question"
            elif name in PERSONAL:
                yield (part, name), f"`{name}` is personal and has no codes"
    for name in mapping.constants:
        if name in PERSONAL:
            yield ("constants", name), f"`{name}` is personal: it cannot be the same for everybody"
        elif not _ANSWER_NAME.match(name):
            yield ("constants", name), f"`{name}` is no name: use small letters, digits and _"
