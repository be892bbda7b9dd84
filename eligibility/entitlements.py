"""How much a household is entitled to in one cycle: the transfer value, in whole minor units.

An amount is a sum of *components*, each with an id, so that everybody can be told which one gave
how much. The first is the *base*, said in exactly one way:

* `flat`: one amount for every household;
* `per_person` with `people_max`: an amount for each person, up to a largest number that counts;
* `by_size`: a table by number of people whose last row means "and more";
* `attendance`: an amount for each unit attended (a day of cash-for-work), or for each member who
  attended enough (a course stipend), from attendance that was recorded;
* `case_by_case`: items that a case officer awards one by one, each within its limit.

`payable` says which members count in the base and the top-ups; without it all people do. *Top-ups*
are tables by number of people, *add-ons* are amounts for each member of a kind or once for the
household. The sum is rounded half away from zero to the unit that is named (a banknote, say), then
held between `at_least` and `at_most`; where nothing is due, nothing is paid, whatever `at_least`.
*Instalments* split what comes of it over several cycles, and each cycle pays the part that a dated
parameter names: parts are in the unit named too, and come to the whole, by largest remainder.

`eligibility.amounts` makes of these blocks terms that both back ends answer. Nobody computes an
amount anywhere else.

Sources of the forms: CALP, transfer value; ESSN (per person, top-up by size, severe disability);
one-off cash of IOM (by size, with add-ons); emergency case management (transport, accommodation,
medical items); cash for shelter (instalments).
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, Field, field_serializer, model_validator

from eligibility.rules.document import YamlPath
from eligibility.rules.fields import (
    PEOPLE_MAX,
    PLAIN_AMOUNT,
    STRICT,
    Amount,
    Id,
    Label,
    People,
    Sum,
    Units,
    Words,
)
from eligibility.rules.parser import canonical_text
from ledgers.money import parse_amount, round_to, split
from ledgers.problems import Problem, Refusal

__all__ = [
    "ENTITLEMENT_NOTHING", "PEOPLE_MAX", "PLAIN_AMOUNT", "AddOn", "Amount", "Attendance",
    "CaseByCase", "CaseItem", "Entitlement", "Instalments", "Tariff", "TopUp", "amounts_of",
    "exact_problem", "largest_line", "shared_out", "tariff_of",
]  # fmt: skip

ENTITLEMENT_NOTHING = Problem(
    "entitlement_nothing",
    "The amount for {people:person|people} comes to nothing.",
    "Give an amount above zero, and a rounding unit that does not round it away.",
)

COMPONENTS_MAX = 20
INSTALMENTS_MAX = 12
WEIGHT_MAX = 1_000
BASE = "base"
Weight = Annotated[int, Field(ge=1, le=WEIGHT_MAX)]
Tariff = tuple[int, ...]


class TopUp(BaseModel):
    """A supplement by number of people: from each number of people on, its amount."""

    model_config = STRICT

    id: Id
    label: Label
    by_size: Annotated[dict[People, Sum], Field(min_length=1)]
    when: str | None = None

    @field_serializer("when")
    def _canonical(self, when: str | None) -> str | None:
        return None if when is None else canonical_text(when)


class AddOn(BaseModel):
    """An amount for each member that `per` is true of, or once for the household `when` it is."""

    model_config = STRICT

    id: Id
    label: Label
    amount: Sum
    per: str | None = None
    people_max: People | None = None
    when: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.per is None and self.when is None:
            message = "an add-on says per (which members) or when (which households), or both"
            raise ValueError(message)
        if self.people_max is not None and self.per is None:
            message = "people_max goes with per"
            raise ValueError(message)
        return self

    @field_serializer("per", "when")
    def _canonical(self, text: str | None) -> str | None:
        return None if text is None else canonical_text(text)


class Attendance(BaseModel):
    """What attendance is worth: `per_unit` attended, or `per_member` who attended enough.

    Reads the member inputs enrolled, planned_units and attended_units of the cycle. A member below
    `least_share` of the planned units (a parameter of type ratio) is due nothing.
    """

    model_config = STRICT

    unit: Words
    per_unit: Sum | None = None
    units_max: Units | None = None
    per_member: Sum | None = None
    least_share: Annotated[str, Field(pattern=r"^p\.[a-z][a-z0-9_]*$")] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.per_unit is None) == (self.per_member is None):
            message = "give either per_unit or per_member"
            raise ValueError(message)
        if (self.per_unit is None) != (self.units_max is None):
            message = "per_unit and units_max go together"
            raise ValueError(message)
        if self.per_member is not None and self.least_share is None:
            message = "per_member says with least_share how much must be attended"
            raise ValueError(message)
        return self


class CaseItem(BaseModel):
    """One kind of help that a case officer awards, and its limit for a household in a cycle."""

    model_config = STRICT

    label: Label
    at_most: Sum


class CaseByCase(BaseModel):
    """Amounts that case officers award with evidence, item by item, each within its limit.

    Reads the household inputs awarded_ITEM of the cycle.
    """

    model_config = STRICT

    items: Annotated[dict[Id, CaseItem], Field(min_length=1, max_length=COMPONENTS_MAX)]


class Instalments(BaseModel):
    """The amount in parts, one for each cycle: what each part weighs, and which one is due.

    `shares` are weights by the id of the instalment, such as 60 and 40; `due` is a parameter of
    type text that says from each date on which instalment a cycle pays.
    """

    model_config = STRICT

    shares: Annotated[dict[Id, Weight], Field(min_length=2, max_length=INSTALMENTS_MAX)]
    due: Annotated[str, Field(pattern=r"^p\.[a-z][a-z0-9_]*$")]


class Entitlement(BaseModel):
    """One base, top-ups, add-ons, how the sum is rounded and bounded, and in how many parts."""

    model_config = STRICT

    by_size: dict[People, Sum] | None = None
    flat: Sum | None = None
    per_person: Sum | None = None
    people_max: People | None = None
    attendance: Attendance | None = None
    case_by_case: CaseByCase | None = None
    payable: str | None = None
    top_ups: Annotated[tuple[TopUp, ...], Field(max_length=COMPONENTS_MAX)] | None = None
    add_ons: Annotated[tuple[AddOn, ...], Field(max_length=COMPONENTS_MAX)] | None = None
    at_least: Sum | None = None
    at_most: Sum | None = None
    round_to: Sum | None = None
    instalments: Instalments | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        by_people = (self.by_size, self.flat, self.per_person)
        ways = [way for way in (*by_people, self.attendance, self.case_by_case) if way is not None]
        if len(ways) != 1:
            message = (
                "give exactly one of by_size, flat and per_person, or attendance or case_by_case"
            )
            raise ValueError(message)
        if (self.per_person is None) != (self.people_max is None):
            message = "per_person and people_max go together"
            raise ValueError(message)
        sizes = sorted(self.by_size or {})
        if sizes != list(range(1, len(sizes) + 1)) or self.by_size == {}:
            message = "by_size has every size once, from 1 upwards, and the last is for all larger"
            raise ValueError(message)
        if self.payable is not None and self.flat is not None and not self.top_ups:
            message = "payable says who counts, and nothing here is counted"
            raise ValueError(message)
        if self.instalments is not None and not any(way is not None for way in by_people):
            message = "what is attended or awarded in a cycle is paid in it, without instalments"
            raise ValueError(message)
        return self

    @field_serializer("payable")
    def _canonical(self, payable: str | None) -> str | None:
        return None if payable is None else canonical_text(payable)


def amounts_of(entitlement: Entitlement) -> dict[YamlPath, Decimal | str]:
    """Return every amount of the entitlement, written or named, by its path in the document."""
    found: dict[YamlPath, Decimal | str] = _table(("by_size",), entitlement.by_size or {})
    for name in ("flat", "per_person", "at_least", "at_most", "round_to"):
        _put(found, (name,), getattr(entitlement, name))
    if entitlement.attendance is not None:
        for name in ("per_unit", "per_member"):
            _put(found, ("attendance", name), getattr(entitlement.attendance, name))
    if entitlement.case_by_case is not None:
        for item, limits in entitlement.case_by_case.items.items():
            _put(found, ("case_by_case", "items", item, "at_most"), limits.at_most)
    for at, top_up in enumerate(entitlement.top_ups or ()):
        found |= _table(("top_ups", at, "by_size"), top_up.by_size)
    for at, add_on in enumerate(entitlement.add_ons or ()):
        _put(found, ("add_ons", at, "amount"), add_on.amount)
    return found


def _table(path: YamlPath, rows: Mapping[int, Decimal | str]) -> dict[YamlPath, Decimal | str]:
    return {(*path, size): amount for size, amount in rows.items()}


def _put(
    found: dict[YamlPath, Decimal | str], path: YamlPath, amount: Decimal | str | None
) -> None:
    if amount is not None:
        found[path] = amount


def tariff_of(entitlement: Entitlement, currency: str) -> Tariff:
    """Return what the base comes to for 1, 2, 3 … people, in minor units; the last is for larger.

    The tariff of a base that is not all written out in the pack, not by the number of all people,
    or paid in instalments is empty. Raises `entitlement_nothing`, and what `parse_amount` raises.
    """
    written = _written(entitlement)
    bounds = (entitlement.at_least, entitlement.at_most, entitlement.round_to)
    varies = entitlement.payable or entitlement.instalments
    if not written or varies or any(isinstance(bound, str) for bound in bounds):
        return ()
    least, most, unit = (None if b is None else parse_amount(str(b), currency) for b in bounds)
    exact = [parse_amount(str(amount), currency) * count for amount, count in written]
    rounded = [round_to(amount, max(1, unit or 1)) for amount in exact]
    for people, amount in enumerate(rounded, start=1):
        if amount <= 0 or most == 0:
            raise ENTITLEMENT_NOTHING.refusal(people=people)
    raised = [amount if least is None else max(amount, least) for amount in rounded]
    return tuple(amount if most is None else min(amount, most) for amount in raised)


def _written(entitlement: Entitlement) -> list[tuple[Decimal, int]]:
    """Return amount and multiplier for 1, 2, 3 … people, or nothing where they are not written."""
    each, people_max = entitlement.per_person, entitlement.people_max or 1
    rows: list[tuple[Decimal | str | None, int]] = [
        (amount, 1) for _, amount in sorted((entitlement.by_size or {}).items())
    ]
    rows += [(entitlement.flat, 1)] if entitlement.flat is not None else []
    rows += [(each, people) for people in range(1, people_max + 1)] if each is not None else []
    found = [(amount, count) for amount, count in rows if isinstance(amount, Decimal)]
    return found if len(found) == len(rows) else []


def shared_out(total_minor: int, weights: Mapping[str, int], unit_minor: int = 1) -> dict[str, int]:
    """Divide `total_minor` over lines in proportion to their `weights`; the parts come to it.

    Every part is a multiple of `unit_minor`; what is left after cutting goes one unit each to the
    largest remainders, ties to the smaller line id. What does not make a whole unit goes to the
    largest line. Raises `weights_unusable`.

    >>> shared_out(1000, {"b": 1, "a": 1, "c": 1})
    {'a': 334, 'b': 333, 'c': 333}
    >>> shared_out(1030, {"first": 60, "second": 40}, 50)
    {'first': 630, 'second': 400}
    """
    units, rest = divmod(total_minor, unit_minor)
    lines = sorted(weights)
    parts = split(units, [weights[line] for line in lines])
    shared = {line: part * unit_minor for line, part in zip(lines, parts, strict=True)}
    shared[largest_line(weights)] += rest
    return shared


def largest_line(weights: Mapping[str, int]) -> str:
    """Return the line with the greatest weight, of several the one with the smallest id."""
    return min(weights, key=lambda line: (-weights[line], line))


def exact_problem(amount: object, currency: str) -> Refusal | None:
    """Return why `amount` is no amount of `currency`, or None."""
    try:
        parse_amount(str(amount), currency)
    except Refusal as refusal:
        return refusal
    return None
