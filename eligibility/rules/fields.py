"""The small fields that every block of a pack is made of: names, words, labels, amounts, tables.

An amount is written out (`1500.00`) or named (`p.per_capita`): what is named is a parameter of type
money, dated and with its source, so that a new amount is a new date and not a new pack.
"""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)
PEOPLE_MAX = 100
UNITS_MAX = 10_000

PLAIN_AMOUNT = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?", re.ASCII)
NAMED = re.compile(r"p\.(?P<name>[a-z][a-z0-9]*(_[a-z0-9]+)*)", re.ASCII)

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=40)]
Words = Annotated[str, Field(min_length=1, max_length=400)]
People = Annotated[int, Field(ge=1, le=PEOPLE_MAX)]
Units = Annotated[int, Field(ge=1, le=UNITS_MAX)]


class Label(BaseModel):
    """A text in the three languages."""

    model_config = STRICT

    tr: Words
    en: Words
    ar: Words


def _decimal(value: object) -> Decimal:
    known = isinstance(value, int | str | Decimal) and not isinstance(value, bool)
    if not known or not PLAIN_AMOUNT.fullmatch(str(value)):
        message = "an amount is written as 1500.00, with a point and without a sign"
        raise ValueError(message)
    return Decimal(str(value))


def _decimal_or_name(value: object) -> Decimal | str:
    if isinstance(value, str) and value.startswith("p."):
        if not NAMED.fullmatch(value):
            message = "a parameter is named as p.per_capita"
            raise ValueError(message)
        return value
    return _decimal(value)


def _canonical(amount: Decimal | str) -> str:
    return amount if isinstance(amount, str) else format(amount.normalize(), "f")


Amount = Annotated[Decimal, BeforeValidator(_decimal), PlainSerializer(_canonical)]
Sum = Annotated[Decimal | str, BeforeValidator(_decimal_or_name), PlainSerializer(_canonical)]


def parameter_in(amount: Decimal | str) -> str | None:
    """Return the parameter that an amount names, or None where it is written out."""
    found = NAMED.fullmatch(amount) if isinstance(amount, str) else None
    return found["name"] if found else None
