"""Which column of a file answers which question of a mapping, and what a file must have.

Vocabulary: a *question* is a name a mapping file uses (leaf name or full path); a *raw record* is
a submission as text under those names, whatever file it came from.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from adapters.mapping import FormMapping
from ledgers.problems import Finding, Place, Problem, Refusal, Weight

COLUMNS_MISSING = Problem(
    "columns_missing",
    "{file} lacks what every registration needs: {columns}.",
    "Choose the mapping of this form, or export all questions of it.",
)
LABEL_EXPORT = Problem(
    "label_export",
    "{file} was exported with labels ({example}), which change and repeat.",
    "In KoBo choose Data > Downloads, and under value and header format `XML values and headers`.",
)
COLUMN_ABSENT = Problem(
    "column_absent",
    "The mapping names {columns}, which this file does not have.",
    "Nothing, if the form no longer asks it; the facts stay unknown.",
)
ANSWERS_DIFFER = Problem(
    "answers_differ",
    "Two columns answer the same question differently; the first was taken.",
    "Name the question with its full path in the mapping file.",
)
REPEAT_IGNORED = Problem(
    "repeat_ignored",
    "The repeat {repeat} is not part of the registration and was not read.",
    "Nothing.",
    weight=Weight.NOTE,
)

_XML_NAME = re.compile(r"[\w.\-]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class RawMember:
    """A row of the roster: its row number and its answers by question of the mapping."""

    number: int
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A submission as text: its row number, its answers by question, its roster."""

    number: int
    values: Mapping[str, str]
    members: Sequence[RawMember] = ()


class Questions(dict[str, str | None]):
    """Which column or key is which question of a mapping: by full path, else by leaf name.

    `questions[header]` is the question that a header answers, None where the mapping does not ask
    it. A file asks this of the same few headers for every answer, so what was resolved is kept.
    """

    def __init__(self, wanted: Iterable[str]) -> None:
        super().__init__()
        self.wanted = frozenset(wanted)
        leaves = [leaf(name) for name in self.wanted]
        self._by_leaf = {leaf(name): name for name in self.wanted if leaves.count(leaf(name)) == 1}

    def __missing__(self, header: str) -> str | None:
        question = self[header] = self._resolved(header)
        return question

    def _resolved(self, header: str) -> str | None:
        if header in self.wanted:
            return header
        if leaf(header) in self.wanted:
            return leaf(header)
        return self._by_leaf.get(header)


def leaf(path: str) -> str:
    """Return the last part of a path of groups.

    >>> leaf("household/phone")
    'phone'
    """
    return path.rpartition("/")[2]


def put(values: dict[str, str], question: str, text: str) -> bool:
    """Add an answer to `values`; return False where another column already answered otherwise."""
    if not text:
        return True
    return values.setdefault(question, text) == text


def required(mapping: FormMapping) -> frozenset[str]:
    """Return the questions without which nothing of a file can be registered."""
    return frozenset({mapping.record_id.field, *mapping.name_sources})


def incomplete(file: str, headers: Iterable[str], absent: Iterable[str]) -> Refusal:
    """Return the refusal of a KoBo export without the columns `absent`; labels may be the cause."""
    for header in headers:
        if not header.startswith("_") and not _XML_NAME.match(leaf(header)):
            return LABEL_EXPORT.refusal(file=file, example=leaf(header)[:60])
    return COLUMNS_MISSING.refusal(file=file, columns=", ".join(sorted(absent)))


def optional_absent(mapping: FormMapping, found: Iterable[str], place: Place) -> Iterator[Finding]:
    """Yield one finding that names every mapped question which no column answers.

    Of the questions for the revision one is enough.
    """
    found = set(found)
    wanted = set(mapping.household_sources | mapping.member_sources)
    if found & set(mapping.revision):
        wanted -= set(mapping.revision)
    absent = wanted - found - required(mapping)
    if absent:
        yield COLUMN_ABSENT.finding(place, columns=", ".join(sorted(absent)))
