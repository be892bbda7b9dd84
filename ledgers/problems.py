"""What can be refused, and how it is said.

Every refusal and every finding in the five packages is a `Problem`: a stable code, one plain
sentence and a remedy, defined once at the top of the module that raises it. This module stands in
`ledgers` because it is the lowest package and everything above must speak the same way.

* A *refusal* ends a command: nothing was written. Where its problem `keeps`, what was found on the
  way is kept, so that people can act on it.
* A *finding* is a problem in an input, with its place; the rest of the input goes on.

Sentences and remedies are `str.format` templates over the facts given when the problem is raised;
`{rows:row|rows}` is a number with what it counts, for one and for more. Facts must never hold
personal data: mask it first (`masked`).

>>> EXAMPLE = Problem("example_only", "The file has {rows:row|rows}.", "Give one with {least}.")
>>> str(EXAMPLE.refusal(rows=1, least=2))
'example_only: The file has 1 row. Give one with 2.'
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from string import Formatter

PROBLEMS: dict[str, "Problem"] = {}


def counted(number: object, one: str, many: str) -> str:
    """Return a number with what it counts, `one` of it or `many`, thousands apart.

    >>> counted(1, "row is", "rows are"), counted(1200, "row is", "rows are")
    ('1 row is', '1,200 rows are')
    """
    shown = f"{number:,}" if isinstance(number, int) else str(number)
    return f"{shown} {one if shown == '1' else many}"


class _Sentence(Formatter):
    """`str.format`, and numbers with what they count."""

    def format_field(self, value: object, format_spec: str) -> str:
        one, bar, many = format_spec.partition("|")
        return counted(value, one, many) if bar else format(value, format_spec)


def _said(template: str, facts: Mapping[str, object]) -> str:
    # Where nothing is counted the language's own `format` does, and is ten times as fast.
    return SAID.vformat(template, (), facts) if "|" in template else template.format(**facts)


COUNTED = re.compile(r"\{(\w+):[^|{}]*\|([^{}]*)\}")
SAID = _Sentence()


class Answer(StrEnum):
    """How a command answers; the exit code and the HTTP status follow from it."""

    REFUSED = "refused"  # exit 1: understood, and not done
    USAGE = "usage"  # exit 2: not understood
    NOT_PERMITTED = "not_permitted"  # exit 3: not by this person
    NOT_FOUND = "not_found"  # exit 4: no such thing


EXIT_CODES = {Answer.REFUSED: 1, Answer.USAGE: 2, Answer.NOT_PERMITTED: 3, Answer.NOT_FOUND: 4}


class Weight(StrEnum):
    """What a finding does to the record it was found in."""

    REFUSED = "refused"  # the record is not taken; it is listed
    DOUBTFUL = "doubtful"  # the record is taken, the value is flagged or left unknown
    NOTE = "note"  # the record is taken as it is


@dataclass(frozen=True, slots=True)
class Problem:
    """One entry of the designed list: a code, a sentence, a remedy.

    Arguments: `code` is snake_case and never changes its meaning; `sentence` and `remedy` are
    `str.format` templates; `answer` says how a command that raises it ends; `weight` says what a
    finding of it does to its record; `keeps` that a refusal leaves what was recorded before it.
    """

    code: str
    sentence: str
    remedy: str
    answer: Answer = Answer.REFUSED
    weight: Weight = Weight.DOUBTFUL
    keeps: bool = False

    @property
    def general(self) -> tuple[str, str]:
        """Sentence and remedy without facts, what is counted in the plural."""
        return COUNTED.sub(r"{\1} \2", self.sentence), COUNTED.sub(r"{\1} \2", self.remedy)

    def __post_init__(self) -> None:
        if PROBLEMS.setdefault(self.code, self) != self:
            message = f"the problem code {self.code} is defined twice"
            raise ValueError(message)

    def refusal(self, **facts: object) -> "Refusal":
        """Return the exception to raise, with the facts filled in."""
        return Refusal(self, facts)

    def finding(self, place: "Place", value: str = "", **facts: object) -> "Finding":
        """Return the finding at `place`; `value` is shown to people and must not be personal."""
        return Finding(self, place, value, facts)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in an input a problem is: a file, and within it a sheet, a row, a field."""

    file: str = ""
    sheet: str = ""
    row: int | None = None
    field: str = ""

    def __str__(self) -> str:
        parts = [self.file, self.sheet, f"row {self.row}" if self.row else "", self.field]
        return ", ".join(part for part in parts if part)


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem in an input, with its place, the value shown and what to do."""

    problem: Problem
    place: Place
    value: str = ""
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The sentence with its facts."""
        return _said(self.problem.sentence, {"value": self.value, **self.facts})

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return _said(self.problem.remedy, {"value": self.value, **self.facts})

    def __str__(self) -> str:
        return f"{self.place}: {self.problem.code}: {self.sentence} {self.remedy}"


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """A command understood and not carried out; nothing was written unless the problem keeps it.

    Holds the `problem`, its `facts` and, where an input had many problems, all `findings`.
    """

    def __init__(
        self, problem: Problem, facts: dict[str, object], findings: Iterable[Finding] = ()
    ) -> None:
        self.problem = problem
        self.facts = facts
        self.findings = tuple(findings)
        super().__init__(f"{problem.code}: {self.sentence} {self.remedy}".rstrip())

    @property
    def sentence(self) -> str:
        """The sentence with its facts."""
        return _said(self.problem.sentence, self.facts)

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return _said(self.problem.remedy, self.facts)

    def with_findings(self, findings: Iterable[Finding]) -> "Refusal":
        """Return the same refusal with every problem of the input listed."""
        return Refusal(self.problem, self.facts, findings)


def masked(value: str) -> str:
    """Return `value` so that a person can find it in their own file and nobody else learns it.

    >>> masked("99123456782"), masked("Ali"), masked("")
    ('99…82 (11)', '… (3)', '')
    """
    if not value:
        return ""
    short = 8
    shown = f"{value[:2]}…{value[-2:]}" if len(value) >= short else "…"
    return f"{shown} ({len(value)})"
