"""One registration, validated: a record becomes a household and what is to be said about it.

Refused are only a record without an identity (it could not be told from the next import of the
same file) and one without a single named person (nobody could be paid). Everything else is kept:
a value that cannot be right is left unknown or flagged, and is a finding with its place. Nobody is
left out for a doubtful value.

* The roster counts: where it and the declared size disagree, the roster stands and it is said.
* A form without a roster names one person, the head, and declares how many people there are.
* A birth year alone stands as 1 January of that year with the precision `year`.
* `has_iban`, `has_voucher_card`, `has_debit_card` are true for a value that passes its checks,
  false where nothing was given, and unknown where the value is doubtful.

Personal (sealed, see `cva.vault`): names, identity numbers, phone, accounts, card references,
address. Clear, because rules read them in sets: everything else. Pure: no clock, no database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from adapters.forms.records import (
    HOUSEHOLD_UNNAMED,
    HOUSEHOLD_WITHOUT_MEMBERS,
    RECORD_WITHOUT_IDENTITY,
)
from adapters.iso20022.pain001 import is_writable
from adapters.mapping import AnswerType
from adapters.port import Record
from cva.registry import values
from cva.registry.places import folded
from cva.registry.values import Report
from cva.vault import Personal
from eligibility.duplicates.identifiers import CARD_NUMBER_REFUSED, Verdict, judge
from ledgers.problems import Finding, Problem

SIZE_DIFFERS = Problem(
    "household_size_differs",
    "{declared:person was|people were} declared and {listed:is|are} listed; the list counts.",
    "Ask the household who is missing or listed twice.",
)
SIZE_UNKNOWN = Problem(
    "household_size_unknown",
    "Nobody said how many people the household has.",
    "Ask for the number; until then one person counts.",
)
CHILD_HEAD = Problem(
    "child_head",
    "The head of the household is younger than 18.",
    "Check the birth date; if it is right, refer the household to child protection.",
)
HEADS_SEVERAL = Problem(
    "heads_several",
    "{heads} members are listed as head.",
    "Ask who the head is and correct the others.",
)
HEAD_MISSING = Problem(
    "head_missing", "No member is listed as head.", "Ask who the head of the household is."
)
CONSENT_MISSING = Problem(
    "consent_missing",
    "Consent was {answer}.",
    "Ask for consent; the lines of a household that refused are stopped in every plan.",
)
ACCOUNT_HOLDER_UNWRITABLE = Problem(
    "account_holder_unwritable",
    "The name on the account cannot be written to a bank: it has letters that are not Latin.",
    "Ask for the account holder's name as the bank writes it; until then the payment is stopped.",
)

POPULATION_GROUPS = frozenset({"syrian_tp", "international_protection", "host", "migrant"})
RELATIONSHIPS = frozenset({"head", "spouse", "child", "parent", "sibling", "other"})
SEXES = frozenset({"female", "male"})
DOCUMENTS = frozenset({
    "tr_foreigner_id", "tr_national_id", "tr_legacy_id", "passport", "other_id", "none",
})  # fmt: skip
# Least and most of the answers whose range is known; others are whole numbers of 32 bits.
RANGES = {"rcsi": (0, 56), "months_rent_owed": (0, 60)}
HOUSEHOLD_IDENTIFIERS = ("phone", "iban", "voucher_card_ref", "debit_card_ref")
MEANS = {
    "iban": "has_iban",
    "voucher_card_ref": "has_voucher_card",
    "debit_card_ref": "has_debit_card",
}
NAME_FIELDS = ("given_name", "family_name", "full_name")
HOUSEHOLD_SIZE_MAX = 99
PERCENT_MAX = 100
AGE_ADULT = 18


class Member(NamedTuple):
    """One member's clear facts; None is unknown."""

    member_no: int
    relationship: str | None
    sex: str | None
    birth_date: date | None
    birth_date_precision: str | None
    nationality: str | None
    disability_percent: int | None


@dataclass(frozen=True, slots=True)
class Mark:
    """An identifier to be stored as a token: of a member, or of the household (`member_no` 0)."""

    member_no: int
    kind: str
    normalised: str = field(repr=False)
    valid: bool


@dataclass(frozen=True, slots=True)
class Household:
    """A validated registration. `named` counts the members who have a name."""

    record_id: str = field(repr=False)
    revision: str = field(repr=False)
    submitted_at: datetime | None
    consent_given: bool | None
    consent_language: str | None
    consent_on: date | None
    province: str | None
    district: str | None
    population_group: str | None
    declared_size: int | None
    has_roster: bool
    named: int
    answers: Mapping[str, int | str | bool]
    members: tuple[Member, ...]
    personal: Personal = field(repr=False)
    marks: tuple[Mark, ...] = field(repr=False)


def validate(
    record: Record, types: Mapping[str, AnswerType], today: date
) -> tuple[Household | None, list[Finding]]:
    """Return the household in `record`, None where it is refused, and all findings.

    The readers of files refuse the same records; here other sources are held to it too.

    `types` says what each answer is (default: text); `today` is the day of the import, which
    stands in for a submission without a date.
    """
    report = Report(record.place)
    if not record.record_id.strip():
        report.say(RECORD_WITHOUT_IDENTITY, "", question="identity")
    if not record.members:
        report.say(HOUSEHOLD_WITHOUT_MEMBERS, "members")
    named = [number for number, one in enumerate(record.members, start=1) if _is_named(one)]
    if record.members and not named:
        report.say(HOUSEHOLD_UNNAMED, "members")
    if report.findings:
        return None, report.findings
    registered = record.submitted_at.date() if record.submitted_at else today
    marks: list[Mark] = []
    sealed, means = _household_personal(report, record, marks)
    people = [
        _member_personal(report, number, member, marks)
        for number, member in enumerate(record.members, start=1)
    ]
    members = tuple(
        _member(report, number, fields, registered, has_roster=record.has_roster)
        for number, fields in enumerate(record.members, start=1)
    )
    recipient = _recipient(members, named)
    _mark_name(recipient, record, marks)
    personal = Personal(sealed, people, recipient)
    _mark_account_holder(report, personal, marks)
    _check_heads(report, members, registered)
    consent_given, consent_language, consent_on = _consent(report, record.fields)
    household = Household(
        record_id=record.record_id.strip(),
        revision=record.revision,
        submitted_at=record.submitted_at,
        consent_given=consent_given,
        consent_language=consent_language,
        consent_on=consent_on,
        province=values.province(report, record.fields.get("province", "")),
        district=values.open_text(report, "district", record.fields.get("district", "")),
        population_group=_coded(report, record.fields, "population_group", POPULATION_GROUPS),
        declared_size=_declared_size(report, record),
        has_roster=record.has_roster,
        named=len(named),
        answers={**_answers(report, record.answers, types), **means},
        members=members,
        personal=personal,
        marks=tuple(marks),
    )
    return household, report.findings


def _is_named(fields: Mapping[str, str]) -> bool:
    return any(map(str.strip, filter(None, map(fields.get, NAME_FIELDS))))


def _coded(
    report: Report, fields: Mapping[str, str], name: str, known: frozenset[str], prefix: str = ""
) -> str | None:
    return values.code(report, f"{prefix}{name}", fields.get(name, ""), known)


def _household_personal(
    report: Report, record: Record, marks: list[Mark]
) -> tuple[dict[str, str], dict[str, bool]]:
    """Return what is sealed of the household, and which means of payment it certainly has."""
    personal: dict[str, str] = {}
    means: dict[str, bool] = {}
    address = values.open_text(report, "address", record.fields.get("address", ""))
    if address:
        personal["address"] = address
    holder = values.open_text(report, "account_holder", record.fields.get("account_holder", ""))
    if holder:
        personal["account_holder"] = holder
    for name in HOUSEHOLD_IDENTIFIERS:
        given = record.fields.get(name, "")
        verdict, text = _judged(report, name, name, given, (0, marks))
        if text:
            personal[name] = text
        if name in MEANS and verdict is not Verdict.DOUBTFUL:
            means[MEANS[name]] = verdict is Verdict.VALID
    return personal, means


def _member_personal(
    report: Report, number: int, fields: Mapping[str, str], marks: list[Mark]
) -> dict[str, str]:
    personal: dict[str, str] = {}
    for name in NAME_FIELDS:
        text = values.open_text(report, f"members[{number}].{name}", fields.get(name, ""))
        if text:
            personal[name] = text
    prefix = f"members[{number}]."
    document = _coded(report, fields, "id_type", DOCUMENTS, prefix) or ""
    place, given = f"{prefix}id_number", fields.get("id_number", "")
    _, text = _judged(report, place, document, given, (number, marks))
    if text:
        personal["id_number"] = text
        personal["id_type"] = (
            marks[-1].kind if marks and marks[-1].member_no == number else document
        )
    return personal


def _judged(
    report: Report, place: str, kind: str, given: str, into: tuple[int, list[Mark]]
) -> tuple[Verdict, str]:
    """Judge one identifier; return the verdict and the text to seal ('': nothing)."""
    if not given or given.isspace():
        return Verdict.ABSENT, ""
    identifier = judge(kind, given)
    if identifier.problem is not None:
        report.say(identifier.problem, place, given)
    member_no, marks = into
    if identifier.normalised:
        stored = kind if kind in HOUSEHOLD_IDENTIFIERS else identifier.kind.value
        valid = identifier.verdict is Verdict.VALID
        marks.append(Mark(member_no, stored, identifier.normalised, valid))
        return identifier.verdict, identifier.normalised
    kept = identifier.verdict is not Verdict.ABSENT and identifier.problem != CARD_NUMBER_REFUSED
    return identifier.verdict, given.strip() if kept else ""


def _member(
    report: Report, number: int, fields: Mapping[str, str], registered: date, *, has_roster: bool
) -> Member:
    prefix = f"members[{number}]."
    relationship = _coded(report, fields, "relationship", RELATIONSHIPS, prefix)
    born, precision = values.birth(report, number, fields, registered)
    percent = fields.get("disability_percent", "")
    return Member(
        member_no=number,
        relationship=relationship if has_roster else relationship or "head",
        sex=_coded(report, fields, "sex", SEXES, prefix),
        birth_date=born,
        birth_date_precision=precision,
        nationality=values.country(report, f"{prefix}nationality", fields.get("nationality", "")),
        disability_percent=values.whole(
            report, f"{prefix}disability_percent", percent, 0, PERCENT_MAX
        ),
    )


def _recipient(members: tuple[Member, ...], named: Sequence[int]) -> int:
    """Return the number of the head who has a name, else of the first member who has one."""
    heads = (number for number in named if members[number - 1].relationship == "head")
    return next(heads, named[0])


def _mark_name(recipient: int, record: Record, marks: list[Mark]) -> None:
    """Add the recipient's name, so that equal names are seen."""
    fields = record.members[recipient - 1]
    parts = [fields.get("given_name", ""), fields.get("family_name", "")]
    name = folded(" ".join(parts)) or folded(fields.get("full_name", ""))
    if name:
        marks.append(Mark(recipient, "name", name, valid=True))


def _mark_account_holder(report: Report, personal: Personal, marks: list[Mark]) -> None:
    """Add whose account it is, valid where a bank file can carry the name."""
    if not personal.destination("iban"):
        return
    name = personal.payee_name()
    writable = is_writable(name)
    if not writable:
        report.say(ACCOUNT_HOLDER_UNWRITABLE, "account_holder")
    marks.append(Mark(0, "account_holder", folded(name), writable))


def _check_heads(report: Report, members: tuple[Member, ...], registered: date) -> None:
    heads = [member for member in members if member.relationship == "head"]
    if not heads:
        report.say(HEAD_MISSING, "members")
    elif len(heads) > 1:
        report.say(HEADS_SEVERAL, "members", heads=len(heads))
    if any(_is_child(head, registered) for head in heads):
        report.say(CHILD_HEAD, "members")


def _is_child(member: Member, on: date) -> bool:
    """Say whether a member is certainly younger than 18 on that day."""
    born = member.birth_date
    if born is None:
        return False
    not_yet = (on.month, on.day) < (born.month, born.day)
    return on.year - born.year - not_yet < AGE_ADULT


def _consent(
    report: Report, fields: Mapping[str, str]
) -> tuple[bool | None, str | None, date | None]:
    given = values.truth(report, "consent_given", fields.get("consent_given", ""))
    if given is not True:
        answer = "refused" if given is False else "not recorded"
        report.say(CONSENT_MISSING, "consent_given", answer=answer)
    language = values.open_text(report, "consent_language", fields.get("consent_language", ""))
    return given, language, values.day(report, "consent_on", fields.get("consent_on", ""))


def _declared_size(report: Report, record: Record) -> int | None:
    text = record.fields.get("declared_size", "")
    declared = values.whole(report, "declared_size", text, 1, HOUSEHOLD_SIZE_MAX)
    listed = len(record.members)
    if not record.has_roster and declared is None:
        report.say(SIZE_UNKNOWN, "declared_size")
    elif record.has_roster and declared is not None and declared != listed:
        report.say(SIZE_DIFFERS, "declared_size", declared=declared, listed=listed)
    return declared


def _answers(
    report: Report, given: Mapping[str, str], types: Mapping[str, AnswerType]
) -> dict[str, int | str | bool]:
    """Return the answers as facts; unknown ones are left out. Amounts end in `_minor` (kuruş)."""
    answers: dict[str, int | str | bool] = {}
    for name, text in given.items():
        kind = types.get(name, AnswerType.TEXT)
        stored = f"{name.removesuffix('_try').removesuffix('_minor')}_minor"
        fact = _answer(report, name, text, kind)
        if fact is not None:
            answers[stored if kind is AnswerType.MONEY_TRY else name] = fact
    return answers


def _answer(report: Report, name: str, text: str, kind: AnswerType) -> int | str | bool | None:
    match kind:
        case AnswerType.INT:
            least, most = RANGES.get(name, (-values.INTEGER_MAX, values.INTEGER_MAX))
            return values.whole(report, name, text, least, most)
        case AnswerType.MONEY_TRY:
            return values.amount_minor(report, name, text)
        case AnswerType.BOOL:
            return values.truth(report, name, text)
        case AnswerType.DATE:
            found = values.day(report, name, text)
            return found.isoformat() if found else None
        case _:
            return values.open_text(report, name, text)
