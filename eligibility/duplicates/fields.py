"""What the columns of a file mean to linkage: a column, and the role it plays.

Decides which comparisons, which blocks and which cap a file gets: they follow from the roles, so
that a registry of refugees and a research set of Australians go through one engine. A column that
is not named is not read.

    fields: 1
    record: rec_id
    columns:
      given_name: given_name
      surname: family_name
      date_of_birth: birth_date
      suburb: place
      number: {role: identifier, type_from: id_type}
      unhcr: {role: identifier, type: registration, strong: true}

An identifier is *strong* if one number is one person's (a pair that shares it is at least
reviewed) and has a *veto* if two valid ones that differ are two people. For the kinds of
`identifiers.Kind` that is known: strong as `STRONG`, and only the kinds with check digits have a
veto, because a number without them that was mistyped cannot be told from another's.
"""

from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from eligibility.duplicates.identifiers import STRONG, Kind
from eligibility.rules.document import read_document, read_model
from ledgers.problems import Finding

CHECKED = frozenset({Kind.TR_NATIONAL_ID.value, Kind.TR_FOREIGNER_ID.value})  # have check digits
FORM_VERSION = 1


class Role(StrEnum):
    """What a column tells about a person."""

    GIVEN_NAME = "given_name"
    FAMILY_NAME = "family_name"
    FATHER_NAME = "father_name"
    MOTHER_NAME = "mother_name"
    BIRTH_DATE = "birth_date"
    BIRTH_DATE_PRECISION = "birth_date_precision"  # exact or year
    SEX = "sex"
    IDENTIFIER = "identifier"
    PHONE = "phone"  # household evidence
    ACCOUNT = "account"  # household evidence: an IBAN or a card
    PLACE = "place"  # household evidence in words: district, suburb, street
    DETAIL = "detail"  # household evidence in signs: house number, postcode
    ROSTER = "roster"  # the household; two of one roster are two people
    RELATIONSHIP = "relationship"


SINGLE = frozenset(Role) - {Role.IDENTIFIER, Role.ACCOUNT, Role.PLACE, Role.DETAIL}
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)
_Word = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z_][A-Za-z0-9_ .-]*$")]
_KIND = r"^[a-z][a-z0-9_]{0,30}$"  # becomes part of a column's name


class Use(BaseModel):
    """The role of one column; identifiers also have a type, or a column that says it."""

    model_config = _STRICT

    role: Role
    type: Annotated[str, Field(pattern=_KIND)] | None = None
    type_from: _Word | None = None
    strong: bool | None = None
    veto: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, content: object) -> object:
        if isinstance(content, str):
            content = {"role": content}
        if isinstance(content, dict) and content.get("role") in set(Role):
            return {**content, "role": Role(str(content["role"]))}
        return content

    @model_validator(mode="after")
    def _check(self) -> Self:
        typed = (self.type is not None) + (self.type_from is not None)
        if self.role is Role.IDENTIFIER and typed != 1:
            message = "an identifier has a type, or a column type_from that says it"
            raise ValueError(message)
        if self.role is not Role.IDENTIFIER and (typed or self.strong or self.veto):
            message = "only an identifier has a type, is strong or has a veto"
            raise ValueError(message)
        return self


class Fields(BaseModel):
    """A fields file: the column of the record's id, and the roles of the others."""

    model_config = _STRICT

    fields: Literal[1]
    record: _Word
    columns: Annotated[dict[_Word, Use], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for role in SINGLE:
            if len(self.of(role)) > 1:
                message = f"two columns have the role {role}: {', '.join(self.of(role))}"
                raise ValueError(message)
        if not (self.of(Role.GIVEN_NAME) or self.of(Role.IDENTIFIER)):
            message = "without a given name or an identifier nobody can be told from anybody"
            raise ValueError(message)
        return self

    def of(self, role: Role) -> list[str]:
        """Return the columns with `role`, in the order of the file."""
        return [name for name, use in self.columns.items() if use.role is role]

    def one(self, role: Role) -> str | None:
        """Return the column with `role`, None where there is none."""
        return next(iter(self.of(role)), None)

    @property
    def read(self) -> list[str]:
        """The columns of the source that are read, the record's id first."""
        types = [use.type_from for use in self.columns.values() if use.type_from]
        return list(dict.fromkeys([self.record, *self.columns, *types]))

    def kinds(self) -> dict[str, tuple[bool, bool]]:
        """Return each kind of identifier with whether it is strong and whether it has a veto."""
        found: dict[str, tuple[bool, bool]] = {}
        for use in self.columns.values():
            if use.role is not Role.IDENTIFIER:
                continue
            own = {kind.value for kind in STRONG}
            # What was ticked is not always what the number turns out to be (`identifiers.judge`).
            several = use.type is None or use.type in own
            names = [*sorted(own), Kind.OTHER_ID.value] if several else [use.type]
            for name in names:
                known = name in own
                strong = known if use.strong is None else use.strong
                veto = name in CHECKED if use.veto is None else use.veto
                found.setdefault(str(name), (strong, veto))
        return found


def read_fields(text: str, file: str) -> tuple[Fields | None, tuple[Finding, ...]]:
    """Return the fields file in `text` (called `file` in findings), None with all its problems."""
    document, findings = read_document(text, file)
    if document is None:
        return None, findings
    fields, misfits = read_model(document, document.values, Fields)
    return (None if findings else fields), (*findings, *misfits)


@cache
def registry_fields() -> Fields:
    """Return the fields of our own registry (`shapes.PERSON`)."""
    text = resources.files(__package__).joinpath("fields/registry.yaml").read_text("utf-8")
    fields, findings = read_fields(text, "fields/registry.yaml")
    if fields is None:
        raise ValueError(str(findings))
    return fields
