"""One row of another agency's list, judged: what it says of the assistance, and of whom.

What must be readable, or the record is not taken: its reference, the need, the first day, the
status. Everything else is taken where it can be read and is unknown otherwise. What does not say
its end would stop people for ever: it counts for the month of its first day, and only `open` is
without an end; an end before the beginning counts for the first day. People are judged
like our own: an identifier that is a filler is dropped, one that fails its check digits is kept and
cannot contradict; a date that cannot be is unknown.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time

from cva.clock import ZONE
from cva.registry import values
from cva.registry.places import province_code
from cva.registry.values import Report
from eligibility.duplicates.identifiers import judge
from eligibility.duplicates.overlap.policy import Policy
from eligibility.duplicates.overlap.records import Modality, Status, Unit, Verdict
from ledgers.money import parse_amount
from ledgers.problems import Problem, Refusal, Weight

LIST_ROW_INCOMPLETE = Problem(
    "list_row_incomplete",
    "The row does not say {missing}, or not readably; its record was not taken.",
    "Ask the agency to complete the row and send the list again.",
    weight=Weight.REFUSED,
)
LIST_NEED_UNKNOWN = Problem(
    "list_need_unknown",
    "The policy in force knows no need {value}; the record was not taken.",
    "Translate the need in the mapping file, or add it to the policy.",
    weight=Weight.REFUSED,
)
LIST_NEED_CONFIDENTIAL = Problem(
    "list_need_confidential",
    "The need of the record is confidential: the record was not taken, and nobody compares it.",
    "Tell the agency not to send assistance of this need.",
    weight=Weight.REFUSED,
)
LIST_TEXT_UNKNOWN = Problem(
    "list_text_unknown",
    "{field} is {value}: no code, so it was not kept.",
    "Translate it in the mapping file to a code of letters, digits and hyphens that is known here;"
    " a column that slipped would leave names in clear.",
    weight=Weight.NOTE,
)
LIST_END_UNKNOWN = Problem(
    "list_end_unknown",
    "The row does not say the last day, or not readably; its record counts until {until}.",
    "Ask the agency for it; where there is no end, `open` says so.",
)
LIST_DAYS_TURNED = Problem(
    "list_days_turned",
    "The record ends before it begins; it counts for its first day.",
    "Ask the agency to correct the two days and send the list again.",
)
LIST_PERSON_UNKNOWN = Problem(
    "list_person_unknown",
    "The row names nobody: no name, and no number that can be relied on.",
    "Ask the agency who receives it; until then nobody is matched with the row.",
)


STATUSES, UNITS, MODALITIES, VERDICTS = (
    frozenset(value.value for value in kind) for kind in (Status, Unit, Modality, Verdict)
)
_CODE = re.compile(r"(?=.{2,80}\Z)[a-z0-9]+(?:[-_.][a-z0-9]+)*")
_DOCUMENTS = frozenset({
    "tr_foreigner_id", "tr_national_id", "tr_legacy_id", "passport", "other_id", "none",
})  # fmt: skip
_NAMES = ("given_name", "family_name", "father_name", "mother_name")
PEOPLE_MAX = 99
OPEN = "open"  # as a last day: there is none


@dataclass(frozen=True, slots=True)
class Record:
    """What a row says of a piece of assistance; None is unknown, amounts are minor units."""

    unit: str
    programme: str
    need: str
    modality: str
    first_day: date
    last_day: date | None
    one_off: bool
    status: str
    committed_at: datetime | None
    currency: str | None
    amount_minor: int | None
    people: int | None
    replaces: str | None
    referred_by: str | None
    referred_on: date | None
    verdict: str


def record_of(
    report: Report, row: Mapping[str, str], policy: Policy, agencies: Container[str]
) -> Record | None:
    """Return what a row says of its assistance, None where it cannot be taken; say why.

    `agencies` are those that may have referred somebody. Nothing else than codes stays in clear.
    """
    need = row.get("need", "").lower()
    first_day = values.day(report, "first_day", row.get("first_day", ""))
    status = values.code(report, "status", row.get("status", ""), STATUSES)
    said = {
        "which record it is": row.get("record_ref"), "the need": need, "the first day": first_day,
        "the status": status,
    }  # fmt: skip
    missing = [name for name, value in said.items() if not value]
    if missing or first_day is None or status is None:
        report.say(LIST_ROW_INCOMPLETE, "", missing=" and ".join(missing))
        return None
    if need in policy.confidential_needs:
        report.say(LIST_NEED_CONFIDENTIAL, "need")
        return None
    if need not in policy.needs:
        report.say(LIST_NEED_UNKNOWN, "need", need)
        return None
    one_off = values.truth(report, "one_off", row.get("one_off", "")) or False
    currency, amount_minor = _amount(report, row)
    return Record(
        unit=values.code(report, "unit", row.get("unit", ""), UNITS) or Unit.HOUSEHOLD,
        programme=_known(report, "programme", row, _CODE.fullmatch) or "",
        need=need,
        modality=values.code(report, "modality", row.get("modality", ""), MODALITIES)
        or Modality.CASH,
        first_day=first_day,
        last_day=_last_day(report, row.get("last_day", ""), first_day, one_off=one_off),
        one_off=one_off,
        status=status,
        committed_at=_moment(report, row.get("committed_at", "")),
        currency=currency,
        amount_minor=amount_minor,
        people=values.whole(report, "people", row.get("people", ""), 1, PEOPLE_MAX),
        replaces=row.get("replaces") or None,
        referred_by=_known(report, "referred_by", row, agencies.__contains__, lower=False),
        referred_on=values.day(report, "referred_on", row.get("referred_on", "")),
        verdict=_known(report, "verdict", row, VERDICTS.__contains__) or "",
    )


def person_of(report: Report, row: Mapping[str, str], at: datetime) -> dict[str, str]:
    """Return what is sealed of the row's person; empty where the row names nobody."""
    person = {
        name: text
        for name in (*_NAMES, "registration_number", "district")
        if (text := values.open_text(report, name, row.get(name, "")))
    }
    for name, kind in (("id_number", _document(report, row)), ("phone", "phone")):
        given = row.get(name, "")
        judged = judge(kind, given) if given else None
        if judged is not None and judged.problem is not None:
            report.say(judged.problem, name, given)
        if judged is not None and judged.normalised:
            person[name] = judged.normalised
            if name == "id_number":
                person["id_type"] = judged.kind.value
    if not {"given_name", "id_number", "registration_number"} & set(person):
        report.say(LIST_PERSON_UNKNOWN, "given_name")
        return {}
    born, precision = values.birth(report, 1, row, at.astimezone(ZONE).date())
    if born is not None and precision is not None:
        person |= {"birth_date": born.isoformat(), "birth_date_precision": precision}
    sex = values.code(report, "sex", row.get("sex", ""), frozenset({"female", "male"}))
    province = province_code(row.get("province", ""))
    return person | {k: v for k, v in (("sex", sex), ("province", province)) if v}


def refs_of(row: Mapping[str, str], person: Mapping[str, str]) -> tuple[str, str]:
    """Return what identifies the row's household and person at their agency.

    Who has no reference is known by what is said of them; a person without a household is one of
    their own.
    """
    told = "\x1f".join(f"{name}={text}" for name, text in sorted(person.items()))
    person_ref = row.get("person_ref") or told
    return row.get("household_ref") or f"of:{person_ref}", person_ref


def _last_day(report: Report, text: str, first_day: date, *, one_off: bool) -> date | None:
    """Return the last day of a record, None where it has none: one-off, or said to be open."""
    if text.strip().lower() == OPEN:
        return None
    last_day = values.day(report, "last_day", text)
    if last_day is None:
        if one_off:
            return None  # it counts for its window
        last_day = first_day.replace(day=monthrange(first_day.year, first_day.month)[1])
        report.say(LIST_END_UNKNOWN, "last_day", until=last_day.isoformat())
    elif last_day < first_day:
        report.say(LIST_DAYS_TURNED, "last_day")
        return first_day
    return last_day


def _known(
    report: Report,
    name: str,
    row: Mapping[str, str],
    is_code: Callable[[str], object],
    *,
    lower: bool = True,
) -> str | None:
    """Return a text that is kept in clear, if it is a code: a column that slipped holds names."""
    given = row.get(name, "").strip()
    text = given.lower() if lower else given
    if not text or is_code(text):
        return text or None
    report.say(LIST_TEXT_UNKNOWN, name, given, field=name)
    return None


def _document(report: Report, row: Mapping[str, str]) -> str:
    return values.code(report, "id_type", row.get("id_type", ""), _DOCUMENTS) or "other_id"


def _amount(report: Report, row: Mapping[str, str]) -> tuple[str | None, int | None]:
    text, currency = row.get("amount", "").strip(), row.get("currency", "").strip().upper()
    if not text:
        return None, None
    currency = currency or values.CURRENCY
    try:
        minor = parse_amount(text, currency)
    except Refusal as refusal:
        facts = {key: fact for key, fact in refusal.facts.items() if key != "value"}
        report.say(refusal.problem, "amount", text, **facts)
        return None, None
    return (currency, minor) if minor > 0 else (None, None)


def _moment(report: Report, text: str) -> datetime | None:
    """Return a moment; of a day alone its beginning in Turkey."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        day = values.day(report, "committed_at", text)
        return None if day is None else datetime.combine(day, time(), ZONE)
    return moment if moment.tzinfo else moment.replace(tzinfo=ZONE)
