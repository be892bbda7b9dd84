"""An overlap policy: what a response agreed to call duplicate assistance, as a file.

People write it as YAML; it is read strictly, all problems at once, each in its place. Its canonical
form is hashed with SHA-256, and every verdict rests on that hash: comments and layout change
nothing, and every word that means something asks again.

The *need matrix* says of every two needs what they are to each other: `same`, `partial` (one
contains some of the other) or `complementary`. It is written as one triangle and every pair stands
in it once, so nothing is decided by being forgotten. `exclusive` programmes shut each other out
whatever the need; `complements` are agreements that let two programmes go together. One-off
assistance counts for a *window* of days. A *ceiling* is what a household may have of some needs in
a calendar month from everybody together. `precedence` names the agencies that come first although
they committed later. What is in `confidential_needs` is never compared with another agency's list,
and never leaves.

Sources: Ukraine CWG Task Team 3, standard operating procedure on deduplication (October 2024);
Türkiye, ESSN and C-ESSN exclude each other (Kızılaykart, questions and answers).
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from eligibility.duplicates.overlap.records import Relation
from eligibility.entitlements import Amount, exact_problem
from eligibility.rules.checked import read_text, refused
from eligibility.rules.document import Document, YamlPath, found, read_document, read_model
from eligibility.rules.pack import STRICT, Code, Label, Words, canonical
from ledgers.money import parse_amount
from ledgers.problems import Finding, Problem

OVERLAP_POLICY_REFUSED = Problem(
    "overlap_policy_refused",
    "The overlap policy has {problems:problem|problems} and cannot be used.",
    "Correct the places listed and check it again.",
)
OVERLAP_NEED_MISSING = Problem(
    "overlap_need_missing",
    "Nothing says what {left} and {right} are to each other.",
    "Write same, partial or complementary: under {left}, or under {right}, once.",
)
OVERLAP_NEED_TWICE = Problem(
    "overlap_need_twice",
    "What {left} and {right} are to each other is written under both.",
    "Keep one of the two.",
)
OVERLAP_NEED_STRANGE = Problem(
    "overlap_need_strange",
    "There is no need {need} in the matrix of this policy.",
    "Check the spelling, or give it a row in the matrix.",
)
OVERLAP_CEILING_TWICE = Problem(
    "overlap_ceiling_twice",
    "The need {need} is under two ceilings.",
    "Let every need count towards one ceiling only.",
)
OVERLAP_RATE_WRONG = Problem(
    "overlap_rate_wrong",
    "The rate of {currency} to {to} cannot be used: {why}.",
    "Give what one {currency} is worth in {to}, above zero, for another currency only.",
)
OVERLAP_PROGRAMMES_FEW = Problem(
    "overlap_programmes_few",
    "Only one programme is named here.",
    "Name the two or more programmes that this is about.",
)
OVERLAP_DAYS_TURNED = Problem(
    "overlap_days_turned",
    "The agreement ends on {last}, before it begins on {first}.",
    "Correct the two days.",
)

SHIPPED = Path(__file__).parent / "policies"
DEFAULT = SHIPPED / "tr-cash.yaml"
DAYS_MAX = 3660
PEOPLE_MAX = 10
SATURDAY = 5

Days = Annotated[int, Field(ge=1, le=DAYS_MAX)]
Count = Annotated[int, Field(ge=1, le=PEOPLE_MAX)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
NeedRelation = Literal["same", "partial", "complementary"]


class Exclusive(BaseModel):
    """Programmes of which a household has one at a time."""

    model_config = STRICT

    programmes: tuple[Code, ...]
    source: Words


class Complement(BaseModel):
    """Two or more programmes that were agreed to go together, for some needs or for all."""

    model_config = STRICT

    programmes: tuple[Code, ...]
    needs: tuple[Code, ...] = ()
    first_day: date = Field(alias="from")
    last_day: date | None = Field(alias="to", default=None)
    source: Words


class OneOff(BaseModel):
    """How many days one-off assistance counts for."""

    model_config = STRICT

    window_days: Days
    by_need: dict[Code, Days] = Field(default_factory=dict)


class Households(BaseModel):
    """When two households with people in common are one household."""

    model_config = STRICT

    shared_percent_min: Annotated[int, Field(ge=1, le=100)]
    shared_people_min: Annotated[int, Field(ge=2, le=PEOPLE_MAX)]


class Ceiling(BaseModel):
    """What a household may have of these needs in a calendar month, from its day on."""

    model_config = STRICT

    needs: Annotated[tuple[Code, ...], Field(min_length=1)]
    currency: Currency
    per_household: Annotated[dict[date, Amount], Field(min_length=1)]
    per_person: Annotated[dict[date, Amount], Field(min_length=1)]
    people_max: Annotated[int, Field(ge=1, le=100)]
    source: Words


class Referral(BaseModel):
    """A referral by the agency of the other record clears both, for some days."""

    model_config = STRICT

    days: Days


class Hold(BaseModel):
    """How long people have before a possible duplicate lapses into payment."""

    model_config = STRICT

    working_days: Days
    emergency_hours: Annotated[int, Field(ge=1, le=24 * DAYS_MAX)]

    def until(self, since: datetime, *, emergency: bool = False) -> datetime:
        """Return the deadline of what was held at `since`, which is in the local time zone.

        Working days are Monday to Friday; public holidays are in no list of ours, and a deadline
        on one is met on the day before.
        """
        if emergency:
            return since + timedelta(hours=self.emergency_hours)
        day, left = since, self.working_days
        while left:
            day += timedelta(days=1)
            left -= day.weekday() < SATURDAY
        return day


class Override(BaseModel):
    """Who may pay in spite of a verdict: so many people, for one of these reasons."""

    model_config = STRICT

    people: Annotated[int, Field(ge=2, le=PEOPLE_MAX)]
    reasons: Annotated[tuple[Code, ...], Field(min_length=1)]


class Appeal(BaseModel):
    """In how many days a household may object, and how many people answer it."""

    model_config = STRICT

    days: Days
    answer_working_days: Days
    people: Count


class Policy(BaseModel):
    """The overlap policy of a response; see the files under `policies`."""

    model_config = STRICT

    policy: Code
    title: Label
    source: Words
    needs: Annotated[dict[Code, dict[Code, NeedRelation]], Field(min_length=1)]
    confidential_needs: tuple[Code, ...] = ()
    exclusive: tuple[Exclusive, ...] = ()
    complements: tuple[Complement, ...] = ()
    one_off: OneOff
    households: Households
    ceilings: tuple[Ceiling, ...] = ()
    rates: dict[Currency, dict[Currency, dict[date, Amount]]] = Field(default_factory=dict)
    precedence: tuple[Words, ...] = ()
    referral: Referral
    hold: Hold
    override: Override
    appeal: Appeal

    @model_validator(mode="after")
    def _precedence_once(self) -> Self:
        if len(set(self.precedence)) < len(self.precedence):
            message = "an agency is named twice under precedence"
            raise ValueError(message)
        return self

    @cached_property
    def policy_hash(self) -> str:
        """SHA-256 of the canonical form, in hexadecimal."""
        return sha256(canonical(self)).hexdigest()

    def relation(self, left: str, right: str) -> Relation:
        """Return what two needs of the matrix are to each other."""
        row = self.needs.get(left, {})
        return Relation(row[right] if right in row else self.needs[right][left])

    def window_days(self, need: str) -> int:
        """Return for how many days one-off assistance of this need counts."""
        return self.one_off.by_need.get(need, self.one_off.window_days)

    def ceiling_of(self, left: str, right: str) -> int | None:
        """Return the position of the ceiling that both needs count towards, if there is one."""
        both = {left, right}
        return next((at for at, c in enumerate(self.ceilings) if both <= set(c.needs)), None)


def in_force(values: Mapping[date, Amount], on: date) -> Amount | None:
    """Return the value in force on a day, None before the first."""
    started = [day for day in values if day <= on]
    return values[max(started)] if started else None


def load(path: Path) -> Policy:
    """Return the policy in the YAML file at `path`.

    Raises `overlap_policy_refused` with every finding, `pack_unreadable` for a missing file.
    """
    policy, findings = _read(path)
    if policy is None or findings:
        raise refused(OVERLAP_POLICY_REFUSED, findings)
    return policy


def check(path: Path) -> tuple[Finding, ...]:
    """Return every problem of the file at `path`; none where it can be used."""
    return _read(path)[1]


def _read(path: Path) -> tuple[Policy | None, tuple[Finding, ...]]:
    document, findings = read_document(read_text(path), path.name)
    if document is None:
        return None, findings
    policy, wrong = read_model(document, document.values, Policy)
    findings += wrong
    if policy is not None:
        for look in (_matrix, _known_needs, _agreements, _ceilings, _rates):
            findings += tuple(look(policy, document))
    return policy, findings


def _matrix(policy: Policy, document: Document) -> Iterator[Finding]:
    """Yield every pair of needs that the matrix says nothing of, or twice."""
    needs = list(policy.needs)
    for at, left in enumerate(needs):
        for right in needs[: at + 1]:
            stated = {(left, right), (right, left)} & {
                (row, column) for row in (left, right) for column in policy.needs[row]
            }
            place = document.place(("needs", left))
            if not stated:
                yield OVERLAP_NEED_MISSING.finding(place, left=left, right=right)
            elif len(stated) > 1:
                yield OVERLAP_NEED_TWICE.finding(place, left=left, right=right)


def _known_needs(policy: Policy, document: Document) -> Iterator[Finding]:
    used: list[tuple[YamlPath, str]] = [
        (("needs", row, column), column) for row in policy.needs for column in policy.needs[row]
    ]
    used += [(("one_off", "by_need", need), need) for need in policy.one_off.by_need]
    listed: list[tuple[YamlPath, tuple[str, ...]]] = [
        (("confidential_needs",), policy.confidential_needs)
    ]
    listed += [(("complements", at, "needs"), c.needs) for at, c in enumerate(policy.complements)]
    listed += [(("ceilings", at, "needs"), c.needs) for at, c in enumerate(policy.ceilings)]
    used += [((*path, at), need) for path, needs in listed for at, need in enumerate(needs)]
    for path, need in used:
        if need not in policy.needs:
            yield OVERLAP_NEED_STRANGE.finding(document.place(path), need=need)


def _agreements(policy: Policy, document: Document) -> Iterator[Finding]:
    named = [(("exclusive", at), e.programmes) for at, e in enumerate(policy.exclusive)]
    named += [(("complements", at), c.programmes) for at, c in enumerate(policy.complements)]
    for path, programmes in named:
        if len(set(programmes)) < 2:  # noqa: PLR2004 - an agreement is between two at least
            yield OVERLAP_PROGRAMMES_FEW.finding(document.place(path))
    for at, agreed in enumerate(policy.complements):
        if agreed.last_day is not None and agreed.last_day < agreed.first_day:
            yield OVERLAP_DAYS_TURNED.finding(
                document.place(("complements", at)), first=agreed.first_day, last=agreed.last_day
            )


def _ceilings(policy: Policy, document: Document) -> Iterator[Finding]:
    seen: set[str] = set()
    for at, ceiling in enumerate(policy.ceilings):
        for number, need in enumerate(ceiling.needs):
            if need in seen:
                place = document.place(("ceilings", at, "needs", number))
                yield OVERLAP_CEILING_TWICE.finding(place, need=need)
            seen.add(need)
        for way, values in (
            ("per_household", ceiling.per_household), ("per_person", ceiling.per_person),
        ):  # fmt: skip
            for day, amount in values.items():
                problem = exact_problem(amount, ceiling.currency)
                if problem is not None:
                    place = document.place(("ceilings", at, way, day.isoformat()))
                    yield found(problem.problem, place, problem.facts)


def _rates(policy: Policy, document: Document) -> Iterator[Finding]:
    for to, rates in policy.rates.items():
        for currency, values in rates.items():
            place = document.place(("rates", to, currency))
            if currency == to:
                yield OVERLAP_RATE_WRONG.finding(
                    place, currency=currency, to=to, why="it is the same currency"
                )
            elif not all(values.values()):
                yield OVERLAP_RATE_WRONG.finding(place, currency=currency, to=to, why="it is zero")


def minor_of(amount: Amount, currency: str) -> int:
    """Return an amount of the policy in minor units."""
    return parse_amount(str(amount), currency)
