"""The shape of a population: how many households of which kind, to the person.

A shape file (YAML) lists *strata*. A stratum fixes province, nationality of the head, households,
people, and three axes that the facts of need follow from:

* `market`: rcsi 40..56 for priority, 19..39 for eligible, 0..18 for not; a voucher card unless not
* `debit`: months of rent owed 6..24, 2..5, 0..1; a debit card unless not
* `bank`: yes has somebody of 60+ or with a disability of 40 % or more, and an IBAN; no has neither

Beside that, `twice` households are registered a second time (`other_district_spelling` of them
with another spelling of the district), `faults` lets cards and accounts fail at the far side, and
`planted` spoils rows of the export. A household has at most one of the three.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from eligibility.rules.wording import plain_reason
from ledgers.problems import Finding, Place, Problem
from simulations.population.margins import DATA, SIZE_MAX, provinces

SHAPE_REFUSED = Problem(
    "population_shape_refused",
    "The population shape has {count:problem|problems}; nothing was made.",
    "Correct every place that is listed, then run again.",
)
SHAPE_UNREADABLE = Problem(
    "population_shape_unreadable",
    "The population shape cannot be read: {reason}.",
    "Give a YAML file with a list `strata`, as in the file demo.yaml that comes with the program.",
)
SHAPE_FIELD = Problem(
    "population_shape_field",
    "The value {value} cannot be used here: {reason}.",
    "Give a value of the kind named; the shape file demo.yaml has an example of every field.",
)
STRATUM_NAMED_TWICE = Problem(
    "population_stratum_named_twice",
    "Two strata are called {value}.",
    "Give every stratum a name of its own.",
)
PROVINCE_UNKNOWN = Problem(
    "population_province_unknown",
    "There is no province {value}.",
    "Give a code from TR-01 to TR-81.",
)
PEOPLE_IMPOSSIBLE = Problem(
    "population_people_impossible",
    "{people:person|people} cannot live in {households:household|households} of 1 to 12.",
    "Give between {least} and {most} people, or change the number of households.",
)
TOO_MANY_PLANTED = Problem(
    "population_too_many_planted",
    "{planted} households are to be registered twice, to fail or to be spoilt, of {households}.",
    "Plant less, or give the stratum more households: each has at most one of the three.",
)
SPELLINGS_WITHOUT_TWICE = Problem(
    "population_spellings_without_twice",
    "{spellings} second registrations have another spelling, but only {twice} are registered twice.",  # noqa: E501 - one sentence
    "Give `other_district_spelling` at most the number of `twice`.",
)
FAULT_WITHOUT_DESTINATION = Problem(
    "population_fault_without_destination",
    "The fault {fault} needs a card or an account that no household of this stratum has.",
    "Ask for voucher faults where `market` is not `not`, for debit faults where `debit` is not"
    " `not`, for bank faults where `bank` is yes.",
)
FLAW_CHANGES_COUNTS = Problem(
    "population_flaw_changes_counts",
    "Rows spoilt by {flaw} may lose their need, and the stratum's count would no longer hold.",
    "Plant {flaw} in a stratum that is `not` on market and debit and `no` on bank.",
)


class Need(StrEnum):
    """Where a household stands on the market or the debit axis."""

    PRIORITY = "priority"  # in need, and taken first
    ELIGIBLE = "eligible"  # in need, and taken where money is left
    NOT = "not"  # below the threshold


class Nationality(StrEnum):
    """Nationality of a household as our form offers it."""

    SY = "SY"  # Syrian
    TR = "TR"  # host community
    IQ = "IQ"  # Iraqi
    AF = "AF"  # Afghan
    IR = "IR"  # Iranian
    SO = "SO"  # Somali
    XX = "XX"  # other


class Fault(StrEnum):
    """What the far side does with the card or account of a household; the number decides.

    Card serials end in 901 (rejected), 902 (silent), 903 (short); account numbers end in 9901
    (rejected), 9902 (silent), 9903 (returned).
    """

    VOUCHER_REJECTED = "voucher_rejected"  # the card is not activated
    VOUCHER_SILENT = "voucher_silent"  # no answer until somebody asks
    VOUCHER_SHORT = "voucher_short"  # half of the amount is loaded
    DEBIT_REJECTED = "debit_rejected"  # as for the voucher card
    DEBIT_SILENT = "debit_silent"  # as for the voucher card
    DEBIT_SHORT = "debit_short"  # as for the voucher card
    BANK_REJECTED = "bank_rejected"  # the account is closed
    BANK_SILENT = "bank_silent"  # no answer until somebody asks
    BANK_RETURNED = "bank_returned"  # accepted, and sent back later


class Flaw(StrEnum):
    """How a row of the export is spoilt."""

    UNKNOWN_PROVINCE = "unknown_province"  # TR-99
    CHILD_HEAD = "child_head"  # the head is ten years old
    IMPOSSIBLE_BIRTH_DATE = "impossible_birth_date"  # a month 13
    FEBRUARY_31 = "february_31"  # a day that no year has
    FUTURE_BIRTH_DATE = "future_birth_date"  # born two years after the reference date
    NO_MEMBERS = "no_members"  # the member list is empty
    NEGATIVE_INCOME = "negative_income"  # below zero
    FRACTIONAL_INCOME = "fractional_income"  # finer than a kuruş
    DOUBTFUL_ID = "doubtful_id"  # the head's identity number has a wrong check digit
    DOUBTFUL_PHONE = "doubtful_phone"  # too short
    SHARED_PHONE = "shared_phone"  # another household's number
    DOUBTFUL_IBAN = "doubtful_iban"  # wrong check digits
    NO_NAMES = "no_names"  # no member has a name


# Flaws that change no fact of need, so that they may stand in any stratum.
HARMLESS = frozenset({Flaw.DOUBTFUL_ID, Flaw.DOUBTFUL_PHONE, Flaw.SHARED_PHONE})

Count = Annotated[StrictInt, Field(ge=0, le=1_000_000)]
Positive = Annotated[StrictInt, Field(ge=1, le=1_000_000)]


class Stratum(BaseModel):
    """Households of one kind; counts are of distinct households, second registrations on top."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
    province: str
    nationality: Nationality
    households: Positive
    people: Positive
    market: Need = Need.NOT
    debit: Need = Need.NOT
    bank: StrictBool = False
    twice: Count = 0
    other_district_spelling: Count = 0
    planted: dict[Flaw, Count] = Field(default_factory=dict)
    faults: dict[Fault, Count] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """A checked population shape."""

    strata: tuple[Stratum, ...]

    @property
    def households(self) -> int:
        """The number of distinct households."""
        return sum(stratum.households for stratum in self.strata)


DEMO = DATA / "demo.yaml"


def read_shape(path: Path) -> Shape:
    """Return the shape in the YAML file `path`; refuses with every problem of the file at once."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SHAPE_UNREADABLE.refusal(reason=type(error).__name__) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = f"line {mark.line + 1} is not YAML" if mark else "it is not YAML"
        raise SHAPE_UNREADABLE.refusal(reason=reason) from error
    return checked(content, path.name)


def checked(content: object, file: str = "") -> Shape:
    """Return the shape that `content` (parsed YAML) describes; refuses with all its problems."""
    items = content.get("strata") if isinstance(content, dict) and len(content) == 1 else None
    if not isinstance(items, list) or not items:
        raise SHAPE_UNREADABLE.refusal(reason="it must hold one list, `strata`, and nothing else")
    strata: list[Stratum] = []
    findings: list[Finding] = []
    for number, item in enumerate(items, 1):
        place = _place(file, item, number)
        findings.extend(_province_findings(place, item))
        try:
            stratum = Stratum.model_validate(item)
        except ValidationError as error:
            findings.extend(_field_findings(place, error))
            continue
        findings.extend(_stratum_findings(place, stratum))
        if stratum.name in {other.name for other in strata}:
            findings.append(STRATUM_NAMED_TWICE.finding(_at(place, "name"), stratum.name))
        strata.append(stratum)
    if findings:
        raise SHAPE_REFUSED.refusal(count=len(findings)).with_findings(findings)
    return Shape(tuple(strata))


def _place(file: str, item: object, number: int) -> Place:
    name = item.get("name") if isinstance(item, dict) else None
    return Place(file, field=f"strata, {name if isinstance(name, str) else f'number {number}'}")


def _at(place: Place, field: str) -> Place:
    return Place(place.file, field=f"{place.field}, {field}" if field else place.field)


def _province_findings(place: Place, item: object) -> Iterator[Finding]:
    """Yield an unknown province, also where other fields of the stratum cannot be used."""
    code = item.get("province") if isinstance(item, dict) else None
    if isinstance(code, str) and code not in provinces():
        yield PROVINCE_UNKNOWN.finding(_at(place, "province"), code[:60])


def _field_findings(place: Place, error: ValidationError) -> Iterator[Finding]:
    for detail in error.errors(include_url=False):
        where = ", ".join(str(part) for part in detail["loc"] if part != "[key]")
        value = "" if detail["type"] == "missing" else str(detail["input"])[:60]
        yield SHAPE_FIELD.finding(
            _at(place, where), value or "(none)", reason=plain_reason(detail, Stratum)
        )


def _stratum_findings(place: Place, stratum: Stratum) -> Iterator[Finding]:
    """Yield what is wrong with fields that are each right alone."""
    least, most = stratum.households, stratum.households * SIZE_MAX
    if not least <= stratum.people <= most:
        yield PEOPLE_IMPOSSIBLE.finding(
            _at(place, "people"),
            people=stratum.people,
            households=stratum.households,
            least=least,
            most=most,
        )
    planted = stratum.twice + sum(stratum.planted.values()) + sum(stratum.faults.values())
    if planted > stratum.households:
        yield TOO_MANY_PLANTED.finding(place, planted=planted, households=stratum.households)
    if stratum.other_district_spelling > stratum.twice:
        yield SPELLINGS_WITHOUT_TWICE.finding(
            _at(place, "other_district_spelling"),
            spellings=stratum.other_district_spelling,
            twice=stratum.twice,
        )
    for fault in stratum.faults:
        if not _has_destination(stratum, fault):
            yield FAULT_WITHOUT_DESTINATION.finding(_at(place, "faults"), fault=fault.value)
    if stratum.bank or {stratum.market, stratum.debit} != {Need.NOT}:
        for flaw in stratum.planted:
            if flaw not in HARMLESS:
                yield FLAW_CHANGES_COUNTS.finding(_at(place, "planted"), flaw=flaw.value)


def _has_destination(stratum: Stratum, fault: Fault) -> bool:
    match fault.value.partition("_")[0]:
        case "voucher":
            return stratum.market is not Need.NOT
        case "debit":
            return stratum.debit is not Need.NOT
        case _:
            return stratum.bank
