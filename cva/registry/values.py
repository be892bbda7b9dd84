"""Single values of a registration: text becomes a number, a date, an amount, a code, or unknown.

Nothing here raises. A value that cannot be taken is a finding with its place, and the field is
left unknown; the household stays. Values are shown masked, whatever they are: a column that slipped
puts a name where a number should be.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from cva.registry.places import country_code, province_code
from eligibility.duplicates.identifiers import CARD_NUMBER_REFUSED, looks_like_card_number
from ledgers.money import parse_amount
from ledgers.problems import Finding, Place, Problem, Refusal, masked

NUMBER_UNREADABLE = Problem(
    "number_unreadable",
    "{field} is {value}, which is not a whole number.",
    "Correct it at the source and import again.",
)
NUMBER_OUT_OF_RANGE = Problem(
    "number_out_of_range",
    "{field} is {value}; it lies between {least} and {most}.",
    "Correct it at the source and import again.",
)
ANSWER_UNKNOWN = Problem(
    "answer_unknown",
    "{field} is {value}, which is not one of the answers this programme knows.",
    "Translate the code in the mapping file, or correct the answer.",
)
PROVINCE_UNKNOWN = Problem(
    "province_unknown",
    "{value} is not a province of Turkey.",
    "Give TR-34, the plate number or the name of the province.",
)
DATE_UNREADABLE = Problem(
    "date_unreadable",
    "{field} is {value}, which is not a date.",
    "Write the date as 1987-04-23; a birth year alone as 1987.",
)
BIRTH_DATE_IMPOSSIBLE = Problem(
    "birth_date_impossible",
    "The birth date {value} of member {member} cannot be: {reason}.",
    "Compare with the document and correct the date.",
)

ANSWERED_YES = frozenset({"yes", "true", "1", "evet"})
ANSWERED_NO = frozenset({"no", "false", "0", "hayir"})
YEAR_OLDEST = 1900
CURRENCY = "TRY"
INTEGER_MAX = 2**31 - 1

_WHOLE = re.compile(r"(-?[0-9]{1,18})(?:\.0+)?\Z", re.ASCII)
_DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[T ].*)?\Z", re.ASCII)
_CARD_DIGITS = re.compile(r"(?:\D*+\d){13}")  # as many as a card number has at least
_YEAR = re.compile(r"([0-9]{4})(?:\.0)?\Z", re.ASCII)


@dataclass(slots=True)
class Report:
    """What is to be said about one record, and where the record stands."""

    place: Place
    findings: list[Finding] = field(default_factory=list)

    def say(self, problem: Problem, name: str, value: str = "", **facts: object) -> None:
        """Add a finding about the field `name`; `value` is masked here."""
        place = Place(self.place.file, self.place.sheet, self.place.row, name)
        self.findings.append(problem.finding(place, masked(value), **facts))


def whole(report: Report, name: str, text: str, least: int, most: int) -> int | None:
    """Return the whole number in `text` if it lies between `least` and `most`."""
    text = text.strip()
    if not text:
        return None
    found = _WHOLE.match(text)
    if found is None:
        report.say(NUMBER_UNREADABLE, name, text, field=name)
        return None
    number = int(found[1])
    if not least <= number <= most:
        report.say(NUMBER_OUT_OF_RANGE, name, text, field=name, least=least, most=most)
        return None
    return number


def amount_minor(report: Report, name: str, text: str) -> int | None:
    """Return the kuruş of a decimal amount of lira; never negative, never rounded."""
    text = text.strip()
    if not text:
        return None
    try:
        return parse_amount(text, CURRENCY)
    except Refusal as refusal:
        facts = {key: fact for key, fact in refusal.facts.items() if key != "value"}
        report.say(refusal.problem, name, text, **facts)
        return None


def code(report: Report, name: str, text: str, known: frozenset[str]) -> str | None:
    """Return the code in `text` if it is one of `known`."""
    given = text.strip().lower()
    if given in known or not given:
        return given or None
    report.say(ANSWER_UNKNOWN, name, text, field=name)
    return None


def truth(report: Report, name: str, text: str) -> bool | None:
    """Return what a yes-or-no question was answered."""
    given = text.strip().lower()
    if given in ANSWERED_YES:
        return True
    if given in ANSWERED_NO:
        return False
    if given:
        report.say(ANSWER_UNKNOWN, name, text, field=name)
    return None


def province(report: Report, text: str) -> str | None:
    """Return the ISO 3166-2 code of the province."""
    found = province_code(text)
    if found is None and text.strip():
        report.say(PROVINCE_UNKNOWN, "province", text)
    return found


def country(report: Report, name: str, text: str) -> str | None:
    """Return the ISO 3166-1 code of the country."""
    found = country_code(text)
    if found is None and text.strip():
        report.say(ANSWER_UNKNOWN, name, text, field=name)
    return found


def day(report: Report, name: str, text: str) -> date | None:
    """Return the date in `text`; a time after it is cut off."""
    text = text.strip()
    if not text:
        return None
    found = _DAY.match(text)
    try:
        if found:
            return date(*map(int, found.groups()))
    except ValueError:
        found = None
    report.say(DATE_UNREADABLE, name, text, field=name)
    return None


def birth(
    report: Report, member_no: int, fields: Mapping[str, str], latest: date
) -> tuple[date | None, str | None]:
    """Return a member's birth date and its precision, `exact` or `year` (1 January then).

    `latest` is the day of the registration: nobody in it is born later.
    """
    text = fields.get("birth_date", "").strip()
    if not text:
        return None, None
    name = f"members[{member_no}].birth_date"
    stated = code(report, f"{name}_precision", fields.get("birth_date_precision", ""), _PRECISIONS)
    year, found = _YEAR.match(text), _DAY.match(text)
    parts = (int(year[1]), 1, 1) if year else tuple(map(int, found.groups())) if found else None
    if parts is None:
        report.say(DATE_UNREADABLE, name, text, field=name)
        return None, None
    reason = _impossible(parts, latest)
    if reason:
        report.say(BIRTH_DATE_IMPOSSIBLE, name, text, member=member_no, reason=reason)
        return None, None
    if year or stated == "year":
        return date(parts[0], 1, 1), "year"
    return date(*parts), "exact"


def open_text(report: Report, name: str, text: str) -> str | None:
    """Return free text, unless it holds a payment card number: those never enter."""
    text = text.strip()
    if _CARD_DIGITS.match(text) and looks_like_card_number(text):
        report.say(CARD_NUMBER_REFUSED, name)
        return None
    return text or None


def _impossible(parts: tuple[int, ...], latest: date) -> str | None:
    try:
        born = date(*parts)
    except ValueError:
        return "the calendar has no such day"
    if born.year < YEAR_OLDEST:
        return f"it is before {YEAR_OLDEST}"
    if born > latest:
        return "it is after the registration"
    return None


_PRECISIONS = frozenset({"exact", "year"})
