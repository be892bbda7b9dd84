"""How much a household is entitled to in one cycle: the transfer value, in whole minor units.

There are three ways of saying it: a table by household size whose last row means "and more", one
amount for every household, or an amount per person up to a largest number of people that count.
The amount is rounded half away from zero to a unit that is named (a banknote, say). Whatever way
is used, it comes to one *tariff*: the amounts for 1, 2, 3 … people, the last one for all larger
households. Nobody computes an amount anywhere else.

Sources of the forms: CALP, transfer value; ESSN (per person), one-off cash of IOM (by size).
"""

import re
from decimal import Decimal
from typing import Annotated, Self

import ibis
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from eligibility.rules.document import YamlPath
from ledgers.money import parse_amount, round_to
from ledgers.problems import Problem, Refusal

PEOPLE_MAX = 100

ENTITLEMENT_NOTHING = Problem(
    "entitlement_nothing",
    "The amount for {people} people comes to nothing.",
    "Give an amount above zero, and a rounding unit that does not round it away.",
)

PLAIN_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)
Tariff = tuple[int, ...]


def _decimal(value: object) -> Decimal:
    known = isinstance(value, int | str | Decimal) and not isinstance(value, bool)
    if not known or not PLAIN_AMOUNT.fullmatch(str(value)):
        message = "an amount is written as 1500.00, with a point and without a sign"
        raise ValueError(message)
    return Decimal(str(value))


def _canonical(amount: Decimal) -> str:
    return format(amount.normalize(), "f")


Amount = Annotated[Decimal, BeforeValidator(_decimal), PlainSerializer(_canonical)]


class Entitlement(BaseModel):
    """One of `by_size`, `flat`, `per_person` (with `people_max`), and the rounding unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    by_size: dict[Annotated[int, Field(ge=1, le=PEOPLE_MAX)], Amount] | None = None
    flat: Amount | None = None
    per_person: Amount | None = None
    people_max: Annotated[int, Field(ge=1, le=PEOPLE_MAX)] | None = None
    round_to: Amount | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [way for way in (self.by_size, self.flat, self.per_person) if way is not None]
        if len(ways) != 1:
            message = "give exactly one of by_size, flat and per_person"
            raise ValueError(message)
        if (self.per_person is None) != (self.people_max is None):
            message = "per_person and people_max go together"
            raise ValueError(message)
        sizes = sorted(self.by_size or {})
        if sizes != list(range(1, len(sizes) + 1)) or self.by_size == {}:
            message = "by_size has every size once, from 1 upwards, and the last is for all larger"
            raise ValueError(message)
        return self


def amounts_of(entitlement: Entitlement) -> dict[YamlPath, Decimal]:
    """Return every amount written in the entitlement by its path in the document."""
    written: dict[YamlPath, Decimal] = {
        ("by_size", size): amount for size, amount in (entitlement.by_size or {}).items()
    }
    for name in ("flat", "per_person", "round_to"):
        amount = getattr(entitlement, name)
        if amount is not None:
            written[(name,)] = amount
    return written


def tariff_of(entitlement: Entitlement, currency: str) -> Tariff:
    """Return the amounts for 1, 2, 3 … people in minor units; the last is for all larger.

    Raises `entitlement_nothing`, and what `parse_amount` raises.
    """
    unit = 1
    if entitlement.round_to is not None:
        unit = max(1, parse_amount(str(entitlement.round_to), currency))
    if entitlement.by_size is not None:
        exact = [
            parse_amount(str(amount), currency) for _, amount in sorted(entitlement.by_size.items())
        ]
    elif entitlement.flat is not None:
        exact = [parse_amount(str(entitlement.flat), currency)]
    else:
        each = parse_amount(str(entitlement.per_person), currency)
        exact = [each * people for people in range(1, (entitlement.people_max or 1) + 1)]
    tariff = tuple(round_to(amount, unit) for amount in exact)
    for people, amount in enumerate(tariff, start=1):
        if amount <= 0:
            raise ENTITLEMENT_NOTHING.refusal(people=people)
    return tariff


def amount_minor(tariff: Tariff, people: int) -> int:
    """Return what a household of `people` (1 or more) is entitled to.

    >>> amount_minor((300000, 450000, 600000), 2), amount_minor((300000, 450000, 600000), 9)
    (450000, 600000)
    """
    return tariff[min(people, len(tariff)) - 1]


def amount_column(tariff: Tariff, people: ibis.Value) -> ibis.Value:
    """Return `amount_minor` of a column of people, as int64; null where people is null."""
    last = ibis.literal(tariff[-1], "int64")
    branches = [
        (people <= size, ibis.literal(amount, "int64"))
        for size, amount in enumerate(tariff[:-1], start=1)
    ]
    amount = ibis.cases(*branches, else_=last) if branches else last
    return ibis.ifelse(people.isnull(), ibis.null("int64"), amount)


def exact_problem(amount: object, currency: str) -> Refusal | None:
    """Return why `amount` is no amount of `currency`, or None."""
    try:
        parse_amount(str(amount), currency)
    except Refusal as refusal:
        return refusal
    return None
