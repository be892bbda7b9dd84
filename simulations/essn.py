"""What an assisted household got in Türkiye, month by month, as far as it was published.

The Emergency Social Safety Net (ESSN, *SUY*) paid refugees an amount per person from November 2016;
from July 2021 a second programme (C-ESSN, *T-SUY*) paid part of them. Nobody publishes one table of
the amounts. `simulations/data/essn_parameters.csv` dates those that were found, each with its
source and how sure its dates are; this module reads the transfer of a month from that table alone.

It never interpolates. A *part* of a transfer is stated, or it is *not published*, with the reason
and the source that comes nearest:

* what a household is owed by its shape (an amount a person; an allowance for each severely disabled
  member) is not published in months that no row covers;
* the quarterly top-up is not published in months for which the table says nothing of it, or gives a
  range;
* what was paid on top once (June 2022, the two months of 2020) is part of the months that its rows
  name, and of no other;
* where rows overlap the later `valid_from` wins; a row without `valid_to` holds until it is
  replaced, but no longer than the table was read (November 2023).

A quarterly amount falls due every third month from its `valid_from` (August, November, February and
May in this table); the table does not name the months, but its first row begins with one of these
and ends with another. A total is published only if every part of the month is.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from functools import cache
from pathlib import Path

from ledgers.money import parse_amount
from ledgers.problems import Problem

ESSN_HOUSEHOLD_IMPOSSIBLE = Problem(
    "essn_household_impossible",
    "A household of {people:person|people}, {disabled} of them severely disabled, is not possible.",
    "Give at least one person, and no more disabled members than people.",
)

DATA = Path(__file__).parent / "data"
FIRST, LAST = date(2016, 11, 1), date(2023, 11, 1)
CURRENCY = "TRY"
QUARTER = 3
AMOUNT = re.compile(r"[0-9]+(\.[0-9]+)?", re.ASCII)
TABLE = "simulations/data/essn_parameters.csv"


class Net(StrEnum):
    """The two programmes."""

    ESSN = "essn"  # from November 2016
    C_ESSN = "c_essn"  # from July 2021


class PartName(StrEnum):
    """What a month's transfer is made of."""

    PER_CAPITA = "per_capita"  # for each person
    DISABILITY = "severe_disability_allowance"  # for each severely disabled person
    QUARTERLY = "quarterly_topup"  # for the household, once a quarter, by size
    COVID = "covid_topup"  # for the household, June and July 2020
    ONE_OFF = "one_off_topup"  # for the household, June 2022


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    parameter: str
    valid_from: date
    valid_to: date | None
    value: str
    unit: str
    confidence: str
    source: str

    def covers(self, day: date) -> bool:
        """Whether the row holds on a day."""
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)

    @property
    def amount_minor(self) -> int | None:
        """The amount in kuruş; None where the row gives a range."""
        return parse_amount(self.value, CURRENCY) if AMOUNT.fullmatch(self.value) else None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a month's transfer: an amount, or why there is none.

    `amount_minor` is in kuruş for the whole household, None where it is not published; `why` says
    what the table says (the confidence of its row, or what it lacks), `source` where.
    """

    name: PartName
    amount_minor: int | None
    why: str
    source: str

    @property
    def is_published(self) -> bool:
        """Whether the table states the amount."""
        return self.amount_minor is not None


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one household got in one month."""

    month: date
    parts: tuple[Part, ...]

    @property
    def amount_minor(self) -> int | None:
        """The transfer in kuruş; None where a part of it is not published."""
        return None if self.missing else self.stated_minor

    @property
    def stated_minor(self) -> int:
        """What its published parts come to in kuruş."""
        amounts = [part.amount_minor for part in self.parts]
        return sum(amount for amount in amounts if amount is not None)

    @property
    def missing(self) -> tuple[Part, ...]:
        """The parts that are not published, with reason and source."""
        return tuple(part for part in self.parts if not part.is_published)

    def __str__(self) -> str:
        if self.amount_minor is not None:
            return f"TRY {Decimal(self.amount_minor).scaleb(-2)}"
        return "not published: " + "; ".join(
            f"{part.name.value} ({part.why}, {part.source})" for part in self.missing
        )


@cache
def dated_rows() -> tuple[Row, ...]:
    """Return the table as it comes with the program."""
    with (DATA / "essn_parameters.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Row(
                parameter=row["parameter"],
                valid_from=date.fromisoformat(row["valid_from"]),
                valid_to=date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
                value=row["value"],
                unit=row["unit"],
                confidence=row["confidence"],
                source=row["source"],
            )
            for row in csv.DictReader(file)
        )


def transfer(month: date, people: int, severely_disabled: int = 0, net: Net = Net.ESSN) -> Transfer:
    """Return what a household got in the month of the day `month`.

    Arguments: `people` who count in the payment, `severely_disabled` how many of them draw the
    allowance. Raises `essn_household_impossible`.
    """
    if people < 1 or not 0 <= severely_disabled <= people:
        raise ESSN_HOUSEHOLD_IMPOSSIBLE.refusal(people=people, disabled=severely_disabled)
    first = month.replace(day=1)
    if net is Net.C_ESSN:
        parts = [_owed(PartName.PER_CAPITA, "c_essn_per_capita", first, people)]
    else:
        parts = [_owed(PartName.PER_CAPITA, "per_capita", first, people)]
        if severely_disabled:
            name = PartName.DISABILITY
            parts.append(_owed(name, name.value, first, severely_disabled))
        parts += _on_top(first, people)
    return Transfer(first, tuple(parts))


def _in_force(parameter: str, month: date) -> Row | None:
    """Return the row that holds in a month; of several the one that began last."""
    if not FIRST <= month <= LAST:
        return None
    rows = [row for row in dated_rows() if row.parameter == parameter and row.covers(month)]
    return max(rows, key=lambda row: row.valid_from, default=None)


def _owed(name: PartName, parameter: str, month: date, times: int) -> Part:
    row = _in_force(parameter, month)
    if row is None:
        return Part(name, None, *_silence((parameter,), month))
    return _stated(name, row, times)


def _silence(parameters: Sequence[str], month: date) -> tuple[str, str]:
    """Return why nothing is stated, and the source that comes nearest."""
    if not FIRST <= month <= LAST:
        return f"the table covers {FIRST:%Y-%m} to {LAST:%Y-%m}", TABLE
    rows = [row for row in dated_rows() if row.parameter in parameters]
    nearest = min(rows, key=lambda row: abs((row.valid_from - month).days))
    return f"no row covers {month:%Y-%m}: {nearest.confidence}", nearest.source


def _stated(name: PartName, row: Row, times: int) -> Part:
    each = row.amount_minor
    if each is None:
        return Part(name, None, f"a range is published: {row.value} {row.unit}", row.source)
    return Part(name, each * times, row.confidence, row.source)


def _on_top(month: date, people: int) -> Iterator[Part]:
    for name in (PartName.COVID, PartName.ONE_OFF):
        row = _in_force(name.value, month)
        if row is not None:
            yield _stated(name, row, 1)
    names = (_tier(people), PartName.QUARTERLY.value)
    quarterly = _in_force(names[0], month) or _in_force(names[1], month)
    # Of silence and of a range nobody knows the amount, nor what any of their months came to.
    if quarterly is None:
        yield Part(PartName.QUARTERLY, None, *_silence(names, month))
    elif quarterly.amount_minor is None or _is_due(quarterly, month):
        yield _stated(PartName.QUARTERLY, quarterly, 1)


def _tier(people: int) -> str:
    """Return the name of the quarterly top-up of a household of so many people."""
    if people <= 4:  # noqa: PLR2004 - sizes as the table names them
        return "quarterly_topup_1_4"
    return "quarterly_topup_5_8" if people <= 8 else "quarterly_topup_9_plus"  # noqa: PLR2004 - as above


def _is_due(row: Row, month: date) -> bool:
    since = (month.year - row.valid_from.year) * 12 + month.month - row.valid_from.month
    return since % QUARTER == 0
