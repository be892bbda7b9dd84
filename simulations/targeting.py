"""Whom a programme reaches, whom it misses, and what that does to poverty.

Need is spending per person below a line. Three things are compared: need, the *rule* (who
qualifies) and the *list* (who is paid). Errors *by design* are of the rule against need, errors *by
list* of the list against the rule, and *overall* ones of the list against need (WFP, Targeting
Error Measurement). Nothing is counted on those who qualify that is true only of those who are paid.

| measure | is |
|---|---|
| exclusion | of those who should be in, the share that is out |
| inclusion | of those who are in, the share that should be out |
| leakage | of the money, the share that goes to those not in need |
| undercoverage | of the poverty gap, the share of those in need who are not paid |
| differential | coverage of those in need less coverage of the others (people) |
| Coady-Grosh-Hoddinott ratio | share of the money that goes to those in need / their share |
| FGT 0, 1, 2 | people below the line; their mean gap; mean squared gap (Foster, Greer, Thorbecke) |
| gap closed | of the poverty gap in money, the share that transfers fill (no more than each gap) |
| adequacy | transfer of those paid / what a basket for them costs |
| TCTR, alpha | total cost / transfers, and its inverse |

Money is whole minor units a month; measures are shares. A share of nobody is None, not zero.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ledgers.problems import Problem
from simulations.randomness import Bools, Floats, Ints

TARGETING_COLUMNS_WRONG = Problem(
    "targeting_columns_wrong",
    "The {what} of {rows:row|rows} cannot be: {why}.",
    "Give numbers of zero or more, at least one person each, and no more paid than there are.",
)
POVERTY_LINE_WRONG = Problem(
    "poverty_line_wrong", "A line of {line} cannot be used.", "Give an amount above zero."
)


@dataclass(frozen=True, slots=True, eq=False)
class Targeted:
    """Columns of equal length: one row a household, or a cell of them.

    `households` is how many a row stands for, `paid` how many of these are paid, `people` how many
    each has; `spending_minor` what each person spends in a month without the transfer,
    `transfer_minor` what a household that is paid gets. `qualifies` is the rule's answer.
    Raises `targeting_columns_wrong`.
    """

    households: Ints
    people: Ints
    spending_minor: Ints
    qualifies: Bools
    paid: Ints
    transfer_minor: Ints

    def __post_init__(self) -> None:
        for what, wrong, why in (
            ("people", self.people < 1, "nobody lives there"),
            ("spending", self.spending_minor < 0, "it is below zero"),
            ("transfer", self.transfer_minor < 0, "it is below zero"),
            ("households", self.households < 0, "they are below zero"),
            (
                "payments",
                (self.paid < 0) | (self.paid > self.households),
                "more are paid than there are",
            ),
        ):
            rows = int(np.count_nonzero(wrong))
            if rows:
                raise TARGETING_COLUMNS_WRONG.refusal(what=what, rows=rows, why=why)

    def only(self, mask: Bools) -> "Targeted":
        """Return the rows where `mask` is true: one province, say."""
        return Targeted(
            self.households[mask],
            self.people[mask],
            self.spending_minor[mask],
            self.qualifies[mask],
            self.paid[mask],
            self.transfer_minor[mask],
        )


@dataclass(frozen=True, slots=True)
class Confusion:
    """Who should be in and is, and so on: whole numbers of households or people."""

    right_in: int
    wrong_out: int
    wrong_in: int
    right_out: int

    @property
    def exclusion(self) -> float | None:
        """Of those who should be in, the share that is out."""
        return share(self.wrong_out, self.right_in + self.wrong_out)

    @property
    def inclusion(self) -> float | None:
        """Of those who are in, the share that should be out."""
        return share(self.wrong_in, self.right_in + self.wrong_in)

    @property
    def coverage(self) -> float | None:
        """Of everybody, the share that is in."""
        inside = self.right_in + self.wrong_in
        return share(inside, inside + self.wrong_out + self.right_out)

    @property
    def differential(self) -> float | None:
        """Share of those who should be in that is in, less the share of the others."""
        reached = share(self.right_in, self.right_in + self.wrong_out)
        leaked = share(self.wrong_in, self.wrong_in + self.right_out)
        return None if reached is None or leaked is None else reached - leaked


class Errors(NamedTuple):
    """Design, list and overall, of households or of people."""

    by_design: Confusion
    by_list: Confusion
    overall: Confusion


@dataclass(frozen=True, slots=True)
class Poverty:
    """Foster-Greer-Thorbecke measures and the Gini of spending, over people."""

    fgt0: float
    fgt1: float
    fgt2: float
    gini: float


@dataclass(frozen=True, slots=True)
class Value:
    """Where the money goes; amounts in minor units a month."""

    transfers_minor: int
    to_poor_minor: int
    gap_minor: int  # what all those in need lack
    closed_minor: int  # of it, what transfers fill
    unreached_minor: int  # of it, what those who are not paid lack
    ratio: float | None  # Coady-Grosh-Hoddinott

    @property
    def leakage(self) -> float | None:
        """Of the money, the share that goes to those not in need."""
        return share(self.transfers_minor - self.to_poor_minor, self.transfers_minor)

    @property
    def undercoverage(self) -> float | None:
        """Of the gap, the share of those who are not paid."""
        return share(self.unreached_minor, self.gap_minor)

    @property
    def gap_closed(self) -> float | None:
        """Of the gap, the share that transfers fill."""
        return share(self.closed_minor, self.gap_minor)


@dataclass(frozen=True, slots=True)
class Measures:
    """All measures of one list against one line."""

    households: Errors
    people: Errors
    before: Poverty
    after: Poverty
    value: Value


def share(part: int, whole: int) -> float | None:
    """Return part / whole, None of nothing."""
    return part / whole if whole else None


def measured(targeted: Targeted, line_minor: int) -> Measures:
    """Return every measure at a line of so much a person and month.

    Raises `poverty_line_wrong`.
    """
    if line_minor <= 0:
        raise POVERTY_LINE_WRONG.refusal(line=line_minor)
    before = _have(targeted, 0)
    after = _have(targeted, 1)
    people = targeted.households * targeted.people
    paid_people = targeted.paid * targeted.people
    needs = targeted.people * line_minor
    unpaid = people - paid_people
    return Measures(
        households=_errors(targeted, line_minor, np.ones_like(targeted.people)),
        people=_errors(targeted, line_minor, targeted.people),
        before=_poverty(before / needs, people),
        after=_poverty(
            np.concatenate([before / needs, after / needs]), np.concatenate([unpaid, paid_people])
        ),
        value=_value(targeted, line_minor),
    )


def _have(targeted: Targeted, transfers: int) -> Ints:
    """Return what the people of a household of each row have together, in minor units."""
    return targeted.spending_minor * targeted.people + transfers * targeted.transfer_minor


def _errors(targeted: Targeted, line_minor: int, each: Ints) -> Errors:
    poor = targeted.spending_minor < line_minor
    everybody = targeted.households
    eligible = targeted.households * targeted.qualifies
    return Errors(
        by_design=_confusion(poor, eligible, everybody, each),
        by_list=_confusion(targeted.qualifies, targeted.paid, everybody, each),
        overall=_confusion(poor, targeted.paid, everybody, each),
    )


def _confusion(should: Bools, inside: Ints, everybody: Ints, each: Ints) -> Confusion:
    outside = everybody - inside
    return Confusion(
        right_in=int((inside * each)[should].sum()),
        wrong_out=int((outside * each)[should].sum()),
        wrong_in=int((inside * each)[~should].sum()),
        right_out=int((outside * each)[~should].sum()),
    )


def _value(targeted: Targeted, line_minor: int) -> Value:
    poor = targeted.spending_minor < line_minor
    gap = np.maximum(line_minor - targeted.spending_minor, 0) * targeted.people
    given = targeted.paid * targeted.transfer_minor
    people = targeted.households * targeted.people
    transfers, to_poor = int(given.sum()), int(given[poor].sum())
    of_money, of_people = (
        share(to_poor, transfers),
        share(int(people[poor].sum()), int(people.sum())),
    )
    return Value(
        transfers_minor=transfers,
        to_poor_minor=to_poor,
        gap_minor=int((targeted.households * gap).sum()),
        closed_minor=int((targeted.paid * np.minimum(gap, targeted.transfer_minor)).sum()),
        unreached_minor=int(((targeted.households - targeted.paid) * gap).sum()),
        ratio=of_money / of_people if of_money is not None and of_people else None,
    )


def _poverty(of_line: Floats, people: Ints) -> Poverty:
    """Return the measures of people whose spending is `of_line` times the line."""
    return Poverty(
        fgt0=fgt(of_line, people, 0),
        fgt1=fgt(of_line, people, 1),
        fgt2=fgt(of_line, people, 2),
        gini=gini(of_line, people),
    )


def fgt(of_line: Floats, people: Ints, power: int) -> float:
    """Return the Foster-Greer-Thorbecke measure; below the line means strictly below.

    Arguments: spending of each row as a share of the line, and how many people it stands for.
    """
    total = int(people.sum())
    if total == 0:
        return 0.0
    poor = of_line < 1
    gaps = np.where(poor, 1 - of_line, 0.0)
    terms = np.where(poor, gaps**power, 0.0)
    measure: float = ((people * terms).sum() / total).item()
    return measure


def gini(values: Floats, people: Ints) -> float:
    """Return the Gini coefficient of values (0 or more) over people: 0 where all are equal."""
    order = np.argsort(values, kind="stable")
    counts = people[order]
    held = np.cumsum(values[order] * counts)
    if not len(held) or held[-1] <= 0:
        return 0.0
    before = np.concatenate([[0.0], held[:-1]])
    area = (counts * (held + before)).sum() / (int(people.sum()) * held[-1])
    coefficient: float = (1 - area).item()
    return max(0.0, coefficient)


@dataclass(frozen=True, slots=True)
class CostRatios:
    """What it takes to deliver: amounts in minor units of one currency."""

    transfers_minor: int
    total_minor: int
    households: int  # paid

    @property
    def total_cost_transfer_ratio(self) -> float | None:
        """Total cost / transfers (1.08: eight in a hundred on top)."""
        return share(self.total_minor, self.transfers_minor)

    @property
    def alpha(self) -> float | None:
        """Transfers / total cost."""
        return share(self.transfers_minor, self.total_minor)

    @property
    def per_household_minor(self) -> int | None:
        """Total cost of one household paid, rounded half away from zero."""
        if not self.households:
            return None
        return (2 * self.total_minor + self.households) // (2 * self.households)


def adequacy(targeted: Targeted, basket_minor: int) -> float | None:
    """Return what those paid get as a share of a basket of so much a person and month."""
    given = int((targeted.paid * targeted.transfer_minor).sum())
    return share(given, int((targeted.paid * targeted.people).sum()) * basket_minor)
