"""Submissions as KoBo's API gives them: a page, a list, or JSON lines of pages or submissions.

Every value is a string, keys are full paths of groups, a repeat is a list whose keys repeat the
full path, and an empty repeat is absent. A question that was not asked is absent too, so a key
that is missing proves nothing by itself.

JSON lines are read a line at a time: the memory needed is one page, however many pages there are.
Anything else has to be read whole and is limited to `DOCUMENT_BYTES_MAX`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from adapters.forms.questions import (
    ANSWERS_DIFFER,
    REPEAT_IGNORED,
    Questions,
    RawMember,
    RawRecord,
    put,
)
from adapters.forms.records import Source, records
from adapters.mapping import FormMapping
from adapters.port import Record
from ledgers.problems import Finding, Place, Problem, Weight

JSON_UNREADABLE = Problem(
    "json_unreadable",
    "{file} is not what KoBo's API gives ({reason}).",
    "Download it again: `/api/v2/assets/<form>/data/?format=json`, page by page.",
)
JSON_TOO_LARGE = Problem(
    "json_too_large",
    "{file} is one JSON document of more than {size_max_mb} MB.",
    "Write one page of the API on each line; such a file may have any size.",
)
LINE_UNREADABLE = Problem(
    "line_unreadable",
    "Line {line} holds no submissions ({reason}).",
    "Fetch that page again.",
    weight=Weight.REFUSED,
)
PAGES_MISSING = Problem(
    "pages_missing",
    "The last page of the file says that more follow; the file holds {held} of {count}.",
    "Follow `next` until there is none, and import all pages.",
)

DOCUMENT_BYTES_MAX = 256 * 1024 * 1024

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
_BOM = b"\xef\xbb\xbf"


def read_json(path: Path, mapping: FormMapping) -> Iterator[Record | Finding]:
    """Yield the registrations and findings of the JSON file at `path`.

    Raises Refusal `json_unreadable`, `json_too_large`, and those of `records`.
    """
    place = Place(path.name)

    def read() -> Iterator[RawRecord | Finding]:
        return _Reading(path, mapping).raw()

    def identities() -> Iterator[str]:
        return _Reading(path, mapping).identities()

    source = Source(
        read, place, roster_sheet=mapping.roster, has_headers=False, identities=identities
    )
    yield from records(source, mapping)


@dataclass(frozen=True, slots=True)
class _Damage:
    """Why a text is no document, without any of its content."""

    reason: str


class _Reading:
    """One pass over a file: counts submissions, says once what is ignored."""

    def __init__(self, path: Path, mapping: FormMapping) -> None:
        self.path = path
        self.mapping = mapping
        self.own = Questions(mapping.household_sources)
        self.of_members = Questions(mapping.member_sources)
        self.roster = Questions({mapping.roster} if mapping.roster else ())
        self.ignored: set[str] = set()
        self.held = 0
        self.unfinished: int | None = None

    def raw(self) -> Iterator[RawRecord | Finding]:
        """Yield every submission of the file as a raw record."""
        for part in self._documents():
            if isinstance(part, Finding):
                yield part
                continue
            for submission in self._submissions(part):
                self.held += 1
                yield from self._submission(submission)
        if self.unfinished is not None:
            place = Place(self.path.name)
            yield PAGES_MISSING.finding(place, held=self.held, count=self.unfinished)

    def identities(self) -> Iterator[str]:
        """Yield the identity of every submission, and nothing else."""
        wanted = Questions({self.mapping.record_id.field})
        for part in self._documents():
            if not isinstance(part, Finding):
                for submission in self._submissions(part):
                    yield next((_text(v) for k, v in submission.items() if wanted[k]), "")

    def _documents(self) -> Iterator[Json | Finding]:
        """Yield each line's document, or the file's only one where a line is none by itself."""
        with self.path.open("rb") as stream:
            head = [self._line(stream), self._line(stream)]
            stream.seek(0)
            if all(isinstance(_loads(line.removeprefix(_BOM)), _Damage) for line in head):
                yield self._whole(stream)
                return
            number = 0
            while line := self._line(stream):
                number += 1
                if line.strip():
                    yield self._parsed(line.removeprefix(_BOM), number)

    def _line(self, stream: BinaryIO) -> bytes:
        line = stream.readline(DOCUMENT_BYTES_MAX + 1)
        if len(line) > DOCUMENT_BYTES_MAX:
            raise self._too_large()
        return line

    def _whole(self, stream: BinaryIO) -> Json:
        content = stream.read(DOCUMENT_BYTES_MAX + 1)
        if len(content) > DOCUMENT_BYTES_MAX:
            raise self._too_large()
        document = _loads(content.removeprefix(_BOM))
        if isinstance(document, _Damage):
            raise JSON_UNREADABLE.refusal(file=self.path.name, reason=document.reason)
        return document

    def _too_large(self) -> Exception:
        return JSON_TOO_LARGE.refusal(
            file=self.path.name, size_max_mb=DOCUMENT_BYTES_MAX // 1024 // 1024
        )

    def _parsed(self, line: bytes, number: int) -> Json | Finding:
        document = _loads(line)
        if isinstance(document, _Damage):
            place = Place(self.path.name, row=number)
            return LINE_UNREADABLE.finding(place, line=number, reason=document.reason)
        return document

    def _submissions(self, document: Json) -> Iterator[dict[str, Json]]:
        held: Json = document
        if isinstance(document, dict) and "results" in document:
            held = document["results"]
            count = document.get("count")
            more = document.get("next") and isinstance(count, int)
            self.unfinished = int(str(count)) if more else None
        if isinstance(held, dict):
            held = [held]
        if isinstance(held, list):
            yield from (one for one in held if isinstance(one, dict))

    def _submission(self, submission: dict[str, Json]) -> Iterator[RawRecord | Finding]:
        values: dict[str, str] = {}
        members: list[RawMember] = []
        own = self.own
        for key, value in submission.items():
            if isinstance(value, list):
                if self.roster[key]:
                    for row in value:
                        yield from self._member(row, members)
                else:
                    yield from self._ignore(key, value)
            elif (question := own[key]) and not put(values, question, _text(value)):
                place = Place(self.path.name, row=self.held, field=question)
                yield ANSWERS_DIFFER.finding(place)
        yield RawRecord(self.held, values, members)

    def _member(self, row: Json, members: list[RawMember]) -> Iterator[Finding]:
        if not isinstance(row, dict):
            return
        values: dict[str, str] = {}
        of_members = self.of_members
        for key, value in row.items():
            if isinstance(value, list):
                yield from self._ignore(key, value)
            elif (question := of_members[key]) and not put(values, question, _text(value)):
                place = Place(self.path.name, self.mapping.roster, self.held, question)
                yield ANSWERS_DIFFER.finding(place)
        members.append(RawMember(self.held, values))

    def _ignore(self, key: str, value: list[Json]) -> Iterator[Finding]:
        """Yield, once a file, that a repeat is not read; KoBo's own lists are no repeats."""
        is_repeat = not key.startswith("_") and any(isinstance(row, dict) for row in value)
        if is_repeat and key not in self.ignored:
            self.ignored.add(key)
            yield REPEAT_IGNORED.finding(Place(self.path.name), repeat=key)


def _loads(content: bytes) -> Json | _Damage:
    """Return the page, list or submission in `content`, or why there is none."""
    try:
        document: Json = json.loads(content)
    except RecursionError:
        return _Damage("it is nested too deeply")
    except UnicodeDecodeError:
        return _Damage("it is not UTF-8 text")
    except json.JSONDecodeError as error:
        return _Damage(f"no JSON from character {error.pos}")
    except ValueError:  # a number of thousands of digits
        return _Damage("it holds a number without end")
    held = document.get("results", []) if isinstance(document, dict) else document
    return document if isinstance(held, list) else _Damage("it holds no submissions")


def _text(value: Json) -> str:
    """Return an answer as text; KoBo gives strings, other tools give numbers."""
    if isinstance(value, str):
        return value.strip()
    if value is None or isinstance(value, dict):
        return ""
    return str(value).lower()
