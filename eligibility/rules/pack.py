"""A rule pack: everything that decides who qualifies, who is served now, and how much they get.

People write it as YAML inside a programme file. It is read strictly, all problems at once, each
with its line and column; a pack that has been read can be run: every expression is checked, every
amount is exact. Its canonical form (keys sorted, amounts and spaces normalised) is hashed with
SHA-256; decisions cite the hash, so layout and comments change nothing, and meaning everything.

Vocabulary: *gates* must all pass; of *any_of* at least one must (an empty list asks nothing more);
*facts* name expressions, and only they and the criteria read the roster; a *parameter* is a dated
value with its source, in force from its date until the next. `on_unknown` says what a criterion
does where the facts leave it open: `stop` (people look), `pass` or `fail`. `words` are what an
explanation calls an input, a fact or a parameter in the three languages. `after` names the packs
that are decided before this one from the same application: whom they take, this one does not.
"""

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, field_serializer, model_validator

from eligibility.entitlements import Entitlement
from eligibility.rules.document import plain_value
from eligibility.rules.fields import PLAIN_AMOUNT, STRICT, Id, Label, Words
from eligibility.rules.parser import canonical_text
from eligibility.rules.terms import Kind
from eligibility.selection import Selection

__all__ = [
    "CRITERIA_MAX", "FACTS_MAX", "RATIO_PLACES", "STANDARD_HOUSEHOLD", "STANDARD_MEMBER", "STRICT",
    "Code", "Criterion", "Id", "InputType", "Inputs", "Label", "Parameter", "RulePack", "Table",
    "Words", "canonical", "thousandths",
]  # fmt: skip

STANDARD_HOUSEHOLD: Mapping[str, Kind] = {
    "province": Kind.TEXT,
    "district": Kind.TEXT,
    "population_group": Kind.TEXT,
    "declared_size": Kind.INT,
    "has_roster": Kind.BOOL,
}
STANDARD_MEMBER: Mapping[str, Kind] = {
    "member_no": Kind.INT,
    "relationship": Kind.TEXT,
    "sex": Kind.TEXT,
    "birth_date": Kind.DATE,
    "birth_date_precision": Kind.TEXT,
    "nationality": Kind.TEXT,
    "disability_percent": Kind.INT,
}
CRITERIA_MAX = 31
FACTS_MAX = 100
TABLE_ROWS_MAX = 1000
RATIO_PLACES = 3
YEARS_MAX = 150

Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
InputType = Literal["int", "money", "text", "bool", "date"]


class Inputs(BaseModel):
    """The columns that the programme's form adds to the standard ones, with their types."""

    model_config = STRICT

    household: dict[Id, InputType] = Field(default_factory=dict)
    member: dict[Id, InputType] = Field(default_factory=dict)


class Parameter(BaseModel):
    """A dated value: in force from each date until the next one.

    `years` is a whole number of them, a `ratio` has up to three decimals, a `set` holds texts or
    whole numbers and `texts` texts alone, each to stand to the right of `in`.
    """

    model_config = STRICT

    type: Literal["int", "years", "money", "ratio", "date", "text", "bool", "set", "texts"]
    unit: Words | None = None  # years, people, points: what a whole number counts
    source: Words
    values: Annotated[dict[date, object], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, content: object) -> object:
        """Take amounts, rates and days that were written as text for what they are."""
        if not isinstance(content, dict) or not isinstance(content.get("values"), dict):
            return content
        kind = content.get("type")
        values = {start: _typed(kind, value) for start, value in content["values"].items()}
        return {**content, "values": values}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for start, value in self.values.items():
            if not _fits(self.type, value):
                message = f"the value from {start} is not of type {self.type}"
                raise ValueError(message)
        if len({_set_kind(value) for value in self.values.values()}) > 1:
            message = "the set has texts on one date and numbers on another"
            raise ValueError(message)
        return self

    @property
    def kind(self) -> Kind:
        """The type of its values where a rule names it."""
        if self.type == "years":
            return Kind.INT
        return _set_kind(next(iter(self.values.values()))) or Kind(self.type)

    @field_serializer("values")
    def _canonical(self, values: dict[date, object]) -> dict[str, object]:
        return {
            start.isoformat(): _plain(self.type, value) for start, value in sorted(values.items())
        }


def _typed(kind: object, value: object) -> object:
    if kind in ("money", "ratio") and isinstance(value, str) and PLAIN_AMOUNT.fullmatch(value):
        return Decimal(value)
    if kind == "date" and isinstance(value, str):
        return plain_value(value)
    return tuple(value) if isinstance(value, list) else value


def _fits(kind: str, value: object) -> bool:
    if kind in ("money", "ratio"):
        number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        return number and Decimal(str(value)) >= 0 and (kind == "money" or thousandths(value) >= 0)
    if kind in ("set", "texts"):
        texts = isinstance(value, tuple) and all(isinstance(item, str) for item in value)
        return texts or (kind == "set" and _set_kind(value) is Kind.INTS)
    if kind == "years":
        return type(value) is int and 0 <= value <= YEARS_MAX
    expected = {"int": int, "text": str, "bool": bool, "date": date}[kind]
    return type(value) is expected


def _set_kind(value: object) -> Kind | None:
    """Return the type of a set, or None where `value` is none; an empty one is a set of texts."""
    if not isinstance(value, tuple):
        return None
    whole = bool(value) and all(type(item) is int for item in value)
    return Kind.INTS if whole else Kind.TEXTS


def thousandths(value: object) -> int:
    """Return a ratio in thousandths, or -1 where it has more than three decimals."""
    scaled = Decimal(str(value)).scaleb(RATIO_PLACES)
    return int(scaled) if scaled == scaled.to_integral_value() else -1


def _plain(kind: str, value: object) -> object:
    if kind in ("money", "ratio"):
        return format(Decimal(str(value)).normalize(), "f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return sorted(set(value)) if kind == "set" else list(value)
    return value


class Table(BaseModel):
    """A number looked up by another: the last row that starts at or before `of`.

    So a logarithm or a likelihood enters a score as whole numbers that every engine adds up alike.
    A ratio is in thousandths. Before the first row nothing is known. The name of a table is used
    as that of a fact.
    """

    model_config = STRICT

    of: str
    type: Literal["int", "money", "ratio"]
    source: Words
    rows: Annotated[dict[int, object], Field(min_length=1, max_length=TABLE_ROWS_MAX)]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, content: object) -> object:
        if not isinstance(content, dict) or not isinstance(content.get("rows"), dict):
            return content
        kind = content.get("type")
        return {**content, "rows": {at: _typed(kind, v) for at, v in content["rows"].items()}}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for start, value in self.rows.items():
            if not _fits(self.type, value):
                message = f"the value from {start} is not of type {self.type}"
                raise ValueError(message)
        return self

    @field_serializer("of")
    def _canonical_of(self, of: str) -> str:
        return canonical_text(of)

    @field_serializer("rows")
    def _canonical(self, rows: dict[int, object]) -> dict[str, object]:
        return {str(start): _plain(self.type, value) for start, value in sorted(rows.items())}


class Criterion(BaseModel):
    """One condition with its name in three languages, and what it does where facts are missing."""

    model_config = STRICT

    id: Id
    label: Label
    expr: str
    on_unknown: Literal["stop", "pass", "fail"] = "stop"
    zero_denominator: Literal["pass", "fail", "stop"] | None = None

    @field_serializer("expr")
    def _canonical(self, expr: str) -> str:
        return canonical_text(expr)


class RulePack(BaseModel):
    """The rules of one programme."""

    model_config = STRICT

    code: Code
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    inputs: Inputs = Field(default_factory=Inputs)
    parameters: dict[Id, Parameter] = Field(default_factory=dict)
    facts: Annotated[dict[Id, str], Field(max_length=FACTS_MAX)] = Field(default_factory=dict)
    tables: Annotated[dict[Id, Table], Field(max_length=FACTS_MAX)] | None = None
    gates: Annotated[tuple[Criterion, ...], Field(max_length=CRITERIA_MAX)] = ()
    any_of: Annotated[tuple[Criterion, ...], Field(max_length=CRITERIA_MAX)] = ()
    score: str = "0"
    after: Annotated[tuple[Code, ...], Field(min_length=1)] | None = None
    selection: Selection
    entitlement: Entitlement
    words: dict[Id, Label] | None = None

    @field_serializer("facts")
    def _canonical_facts(self, facts: dict[str, str]) -> dict[str, str]:
        return {name: canonical_text(text) for name, text in facts.items()}

    @field_serializer("score")
    def _canonical_score(self, score: str) -> str:
        return canonical_text(score)

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """All criteria in the order of their bits: gates, then any_of."""
        return self.gates + self.any_of

    @property
    def shares(self) -> Mapping[str, int]:
        """What each instalment of the amount weighs, by its id; empty where there are none."""
        block = self.entitlement.instalments
        return {} if block is None else block.shares

    @property
    def pack_hash(self) -> str:
        """SHA-256 of the canonical form, in hexadecimal."""
        return sha256(canonical(self)).hexdigest()

    def document(self) -> dict[str, object]:
        """Return the canonical form as JSON values; `from_document` reads it back."""
        content: dict[str, object] = json.loads(canonical(self))
        return content

    @classmethod
    def from_document(cls, document: object) -> "RulePack":
        """Return the pack of a canonical form that was stored when it was published."""
        return cls.model_validate(document, strict=False)


def canonical(model: BaseModel) -> bytes:
    """Return the canonical JSON of a pack or a programme: what is hashed and what is compared."""
    content = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
