"""The rules of matching, in the order they are tried, and their bounds.

Each rule takes only what is open after the rules before it. A rule's version changes whenever it
would match anything else than before, so that an old match says by what it was made.

| rule | confirms | suggests |
|---|---|---|
| reference | reference, amount and currency equal, one line on each side | |
| repeated reference | the same with several lines: the earliest with the earliest | |
| reference, other amount | | the nearest amounts both ways, with the lesser amount |
| token and date | no reference on one side; nothing else fits | the nearest both ways |
| group | all lines of a group key add up to the one line across | where groups share lines |
| split | | the only few lines of the same token that add up to one line |
| cancelling | two lines of one side that undo each other | |
| words | | amount and date equal, and most words |

There is no tolerance: a match takes the same amount from both sides, and what a line has beyond
that stays open until somebody books it. Ties go to the earlier value date, then to the lesser
statement and line id; never to the order of arrival.

Source: the auto-match rules of account reconciliation products (Oracle ARCS: "no ambiguous");
USDA FNS reconciliation guidance, 2007.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Rule(StrEnum):
    """By what lines were matched, in the order of the passes; by hand at the end."""

    REFERENCE = "reference"  # P1
    REPEATED = "repeated_reference"  # P2
    OTHER_AMOUNT = "reference_other_amount"  # P3
    DAY = "token_and_date"  # P4
    GROUP = "group"  # P5
    SPLIT = "split"  # P6
    CANCELLING = "cancelling"  # P7
    WORDS = "words"  # P8
    MANUAL = "manual"  # a person's choice, with a reason
    UNMATCH = "unmatch"  # takes a match back
    WRITE_OFF = "write_off"  # an approved write-off


VERSIONS = dict.fromkeys(Rule, 1)


class Name(StrEnum):
    """What a difference is called."""

    MISSING = "missing"  # ours, and not theirs
    UNKNOWN = "unknown"  # theirs, and not ours
    SHORT = "short"  # theirs is less than ours
    OVER = "over"  # theirs is more than ours
    DUPLICATE = "duplicate"  # once more than across
    FEE = "fee"  # charged, and not across
    RETURNED = "returned"  # came back, and not across
    LATE = "late"  # matched, and later than agreed
    LINE_CHANGED = "line_changed"  # came again with other content


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a rule looks: working days of theirs before and after ours, and sizes of blocks.

    `pairs_max` bounds the pairs compared in one block of equal token and amount; a larger block is
    ambiguous anyway. `split_candidates_max` and `split_lines_max` bound the sums tried for a line.
    """

    days_before: int = 1
    days_after: int = 3
    pairs_max: int = 1000
    split_candidates_max: int = 16
    split_lines_max: int = 4
    words_percent: int = 50


DEFAULT_BOUNDS = Bounds()

_MONDAY = date(1900, 1, 1)


def workday(day: date) -> int:
    """Return the number of a working day, as `recon.workday` does; a weekend is the next Monday.

    >>> [workday(date(2026, 3, day)) - workday(date(2026, 3, 2)) for day in (2, 6, 7, 8, 9)]
    [0, 4, 5, 5, 5]
    """
    weeks, rest = divmod((day - _MONDAY).days, 7)
    return weeks * 5 + min(rest, 5)
