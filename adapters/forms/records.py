"""From the answers of a form to one registration: the part every file format shares.

Decides what becomes of a submission once its cells are text under the mapping's question names:
codes are translated, doubtful cells are named, a submission that stands twice in a file counts
once (the latest `submitted_at`, then the later row, wins). A record that comes out always has an
identity and at least one named person; one without is a finding of weight REFUSED, and the rest
of the file goes on. Files of millions are read in passes, so that memory holds eight bytes for a
submission, not the submission.
"""

import hashlib
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice, pairwise
from typing import NamedTuple

from adapters.forms.cells import cleaned
from adapters.forms.questions import (
    COLUMNS_MISSING,
    LABEL_EXPORT,
    RawMember,
    RawRecord,
)
from adapters.mapping import DIGITS, NAMES, PERSONAL, FormMapping
from adapters.port import HOUSEHOLD_FIELDS, MEMBER_FIELDS, Record
from ledgers.problems import Finding, Place, Problem, Weight, masked

RECORD_WITHOUT_IDENTITY = Problem(
    "record_without_identity",
    "A submission has no {question}.",
    "Export the submission with its identity, or enter it again.",
    weight=Weight.REFUSED,
)
HOUSEHOLD_WITHOUT_MEMBERS = Problem(
    "household_without_members",
    "A household came without members.",
    "Open the submission in KoBo and enter its members.",
    weight=Weight.REFUSED,
)
HOUSEHOLD_UNNAMED = Problem(
    "household_unnamed",
    "No member of a household has a name.",
    "Open the submission and enter the name of at least one member.",
    weight=Weight.REFUSED,
)
MEMBER_UNNAMED = Problem(
    "member_unnamed",
    "A member has no name; the member counts, and cannot be recognised elsewhere.",
    "Open the submission and enter the name.",
)
SUBMISSION_REPEATED = Problem(
    "submission_repeated",
    "The submission stands again in row {kept_row}; it counts once.",
    "Nothing: both are the same revision.",
    weight=Weight.NOTE,
)
SUBMISSION_SUPERSEDED = Problem(
    "submission_superseded",
    "The submission stands in another revision in row {kept_row}; the latest was taken.",
    "Check that row {kept_row} is the right one.",
)
CODE_UNKNOWN = Problem(
    "code_unknown",
    "{value} is no code of {question}; the answer stays unknown.",
    "Add the code to `values` in the mapping file, or correct the submission.",
)
TIME_UNREADABLE = Problem(
    "time_unreadable",
    "The time of submission cannot be read.",
    "Nothing: it is only used to find the latest of two revisions.",
    weight=Weight.NOTE,
)

PEEKED_MAX = 100
ENOUGH = 10  # submissions or people that show what a file is

_SHOWN_CODE = re.compile(r"\d{1,3}\Z")


@dataclass(frozen=True, slots=True)
class Source:
    """A file as raw records.

    `read` starts over each time it is called. `place` names file and main sheet, `roster_sheet`
    where members stand. `has_headers` says that columns were checked already (JSON has none);
    `is_kobo` that coded answers may be labels of an export set up the wrong way. `identities` is
    a quicker way to the submissions' identities, where the format has one.
    """

    read: Callable[[], Iterator[RawRecord | Finding]]
    place: Place
    roster_sheet: str = ""
    has_headers: bool = True
    is_kobo: bool = True
    identities: Callable[[], Iterator[str]] | None = None


def records(source: Source, mapping: FormMapping) -> Iterator[Record | Finding]:
    """Yield the registrations in `source`, and every finding, in the file's order.

    Reads the file once to look at all of it and once more for the records (a third time where
    submissions stand twice). Raises Refusal `columns_missing` or `label_export` where what it
    looks at first shows that nothing of the file can be registered.
    """
    winners = _look(source, mapping)
    maker = _Maker(source, mapping)
    for raw in source.read():
        if isinstance(raw, Finding):
            yield raw
            continue
        kept = winners.get(raw.values.get(mapping.record_id.field, ""))
        if kept and kept.number != raw.number:
            yield maker.repeated(raw, kept)
        else:
            yield from maker.made(raw)


@dataclass(frozen=True, slots=True, order=True)
class _Standing:
    """How one of several submissions with the same identity stands: the greatest is taken."""

    submitted_at: datetime
    number: int
    revision: str


_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)


def _look(source: Source, mapping: FormMapping) -> dict[str, _Standing]:
    """Return, for each identity that occurs more than once, the submission to take."""
    question = mapping.record_id.field
    first = list(islice(_raws(source), PEEKED_MAX))
    if first and not source.has_headers:
        _refuse_other_form(first, mapping, source.place)
    if source.is_kobo:
        _refuse_labels(first, mapping, source.place)
    identities = source.identities or partial(_identities, source, question)
    marks = array("q", map(hash, identities()))
    twice = {one for one, following in pairwise(sorted(marks)) if one == following}
    if not twice:
        return {}
    counts: Counter[str] = Counter()
    best: dict[str, _Standing] = {}
    for raw in _raws(source):
        identity = raw.values.get(question, "")
        if identity and hash(identity) in twice:
            standing = _standing(raw, mapping)
            counts[identity] += 1
            best[identity] = max(best.get(identity, standing), standing)
    return {identity: best[identity] for identity, count in counts.items() if count > 1}


def _raws(source: Source) -> Iterator[RawRecord]:
    return (raw for raw in source.read() if isinstance(raw, RawRecord))


def _identities(source: Source, question: str) -> Iterator[str]:
    return (raw.values.get(question, "") for raw in _raws(source))


def _standing(raw: RawRecord, mapping: FormMapping) -> _Standing:
    submitted = _time(raw.values.get(mapping.submitted_at, "")) or _EARLIEST
    return _Standing(submitted, raw.number, _revision(raw, mapping))


def _refuse_other_form(first: Sequence[RawRecord], mapping: FormMapping, place: Place) -> None:
    """Refuse a file without headers whose first submissions show that it is of another form."""
    people = [member.values for raw in first for member in raw.members]
    if not mapping.roster:
        people = [raw.values for raw in first]
    absent = []
    if not any(raw.values.get(mapping.record_id.field) for raw in first):
        absent.append(mapping.record_id.field)
    if len(first) >= ENOUGH and not people:
        absent.append(f"the repeat {mapping.roster}")
    if len(people) >= ENOUGH:
        named = any(one.get(name) for one in people for name in mapping.name_sources)
        absent += () if named else mapping.name_sources
    if absent:
        raise COLUMNS_MISSING.refusal(file=place.file, columns=", ".join(sorted(absent)))


def _refuse_labels(first: Sequence[RawRecord], mapping: FormMapping, place: Place) -> None:
    """Refuse a file in which words stand for (nearly) all codes."""
    codes = mapping.codes
    sent = _sent_codes(first, mapping, codes)
    words = [
        name
        for name, code in sent
        if code not in codes[name] and any(sign.isalpha() for sign in code)
    ]
    if words and len(words) * 10 > len(sent) * 9:
        raise LABEL_EXPORT.refusal(file=place.file, example=f"in the answers to {words[0]}")


def _sent_codes(
    first: Sequence[RawRecord], mapping: FormMapping, coded: Collection[str]
) -> list[tuple[str, str]]:
    own = {**mapping.household, **{s: answer.name for s, answer in mapping.answers.items()}}
    sent = []
    for raw in first:
        rows = [(own, raw.values), *((mapping.members, member.values) for member in raw.members)]
        if not mapping.roster:
            rows.append((mapping.members, raw.values))
        sent += [
            (name, values[source])
            for sources, values in rows
            for source, name in sources.items()
            if name in coded and values.get(source)
        ]
    return sent


def _time(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _revision(raw: RawRecord, mapping: FormMapping) -> str:
    for question in mapping.revision:
        if raw.values.get(question):
            return raw.values[question].removeprefix("uuid:")
    content = [
        sorted(raw.values.items()),
        [sorted(member.values.items()) for member in raw.members],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


class _Column(NamedTuple):
    """A question, the name its answer gets, whether that is digits, and what its codes mean."""

    question: str
    name: str
    is_digits: bool
    codes: Mapping[str, str] | None


class _Maker:
    """Makes records of raw ones; keeps nothing between two of them."""

    def __init__(self, source: Source, mapping: FormMapping) -> None:
        self.mapping = mapping
        self.place = source.place
        self.roster_sheet = source.roster_sheet or source.place.sheet
        answers = {source: answer.name for source, answer in mapping.answers.items()}
        self.household, self.answers, self.members = (
            [_Column(source, name, name in DIGITS, mapping.values.get(name))
             for source, name in sources.items()]
            for sources in (mapping.household, answers, mapping.members)
        )  # fmt: skip
        constants = mapping.constants
        self.of_members = {k: v for k, v in constants.items() if k in MEMBER_FIELDS}
        self.of_household = {k: v for k, v in constants.items() if k in HOUSEHOLD_FIELDS}
        self.of_answers = {
            k: v for k, v in constants.items() if k not in (*MEMBER_FIELDS, *HOUSEHOLD_FIELDS)
        }

    def repeated(self, raw: RawRecord, kept: _Standing) -> Finding:
        """Return what is said of a submission that is left for another one."""
        identity = raw.values[self.mapping.record_id.field]
        shown = masked(identity) if self.mapping.record_id.personal else identity
        same = _revision(raw, self.mapping) == kept.revision
        problem = SUBMISSION_REPEATED if same else SUBMISSION_SUPERSEDED
        return problem.finding(self._at(raw.number), shown, kept_row=kept.number)

    def made(self, raw: RawRecord) -> Iterator[Record | Finding]:
        """Yield the findings of one submission, then its record unless one of them refuses it."""
        found: list[Finding] = []
        record = self._record(raw, found)
        yield from found
        if record:
            yield record

    def _record(self, raw: RawRecord, found: list[Finding]) -> Record | None:
        mapping, here = self.mapping, self._at(raw.number)
        record_id = raw.values.get(mapping.record_id.field, "").strip()
        if not record_id:
            found.append(RECORD_WITHOUT_IDENTITY.finding(here, question=mapping.record_id.field))
            return None
        members = self._members(raw, found)
        if not any(map(_is_named, members)):
            problem = HOUSEHOLD_UNNAMED if members else HOUSEHOLD_WITHOUT_MEMBERS
            found.append(problem.finding(here))
            return None
        submitted = raw.values.get(mapping.submitted_at, "")
        submitted_at = _time(submitted)
        if submitted and not submitted_at:
            found.append(TIME_UNREADABLE.finding(self._at(raw.number, mapping.submitted_at)))
        fields = self._read(raw.values, self.household, here, found)
        answers = self._read(raw.values, self.answers, here, found)
        return Record(
            place=here,
            record_id=record_id,
            revision=_revision(raw, mapping),
            submitted_at=submitted_at,
            fields=fields | self.of_household,
            members=members,
            answers=answers | self.of_answers,
            has_roster=bool(mapping.roster),
        )

    def _members(self, raw: RawRecord, found: list[Finding]) -> list[dict[str, str]]:
        rows = raw.members if self.mapping.roster else (RawMember(raw.number, raw.values),)
        members = []
        for row in rows:
            here = Place(self.place.file, self.roster_sheet, row.number)
            member = self._read(row.values, self.members, here, found)
            if len(rows) > 1 and not _is_named(member):
                found.append(MEMBER_UNNAMED.finding(here))
            members.append(member | self.of_members if self.of_members else member)
        return members

    def _at(self, number: int, question: str = "") -> Place:
        return Place(self.place.file, self.place.sheet, number, question)

    def _read(
        self,
        values: Mapping[str, str],
        columns: Sequence[_Column],
        here: Place,
        found: list[Finding],
    ) -> dict[str, str]:
        """Return the answers under their canonical names; unknown ones are left out."""
        read = {}
        for question, name, is_digits, codes in columns:
            text = values.get(question, "")
            if not text:
                continue
            if codes and (meant := codes.get(text)):
                read[name] = meant  # nearly every coded answer, and nothing to clean about it
                continue
            text, problem = cleaned(text, is_digits=is_digits)
            shown = text
            if codes is not None and text:
                problem = problem if text in codes else CODE_UNKNOWN
                text = codes.get(text, "")
            if problem:
                at = Place(here.file, here.sheet, here.row, question)
                found.append(problem.finding(at, _shown(name, shown), question=question))
            if text:
                read[name] = text
        return read


def _is_named(member: Mapping[str, str]) -> bool:
    return any(member.get(name) for name in NAMES)


def _shown(name: str, text: str) -> str:
    """Return what a finding may show of an answer: short codes as they are, the rest masked."""
    return text if name not in PERSONAL and _SHOWN_CODE.match(text) else masked(text)
