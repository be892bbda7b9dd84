"""Writing what KoBo writes: the export of our own registration form, for synthetic households.

A population that was made up must enter by the same door as a real one, so it is written in the
shapes KoBo produces (layouts as of KoBo's exporter and API v2, 2026) and read back by the ordinary
reader. Everything but the two counters is text, as KoBo writes it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import openpyxl
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from adapters.forms.registration import registration_form
from ledgers.problems import Problem

QUESTION_UNKNOWN = Problem(
    "question_unknown",
    "The registration form does not ask {questions}.",
    "Use the leaf names of the form.",
)

SHEET_TITLE_MAX = 31
_MEMBERS = "members"
_SYSTEM = (
    "_id", "_uuid", "_submission_time", "_validation_status", "_notes", "_status",
    "_submitted_by", "__version__", "_tags", "meta/rootUuid",
)  # fmt: skip
_LINKS = (
    "_index", "_parent_table_name", "_parent_index", "_submission__id", "_submission__uuid",
    "_submission__submission_time", "_submission__validation_status", "_submission__notes",
    "_submission__status", "_submission__submitted_by", "_submission___version__",
    "_submission__tags", "_submission__meta/rootUuid",
)  # fmt: skip
_STATUS = "submitted_via_web"


@dataclass(frozen=True, slots=True)
class Submission:
    """One submission of our registration form; keys are leaf names of the form, values strings.

    `submitted_at` is an instant (with its zone); `version` is the form version the device had; an
    absent key and an empty string both mean that the question was not answered.
    """

    record_id: int
    uuid: str
    submitted_at: datetime
    version: str
    fields: Mapping[str, str] = field(repr=False)
    members: Sequence[Mapping[str, str]] = field(repr=False)


def write_xlsx(path: Path, submissions: Iterable[Submission]) -> None:
    """Write `submissions` to `path` as KoBo's XLSX export with XML names.

    Reading back is limited to `adapters.kobo.xlsx.HOUSEHOLDS_MAX` submissions. Raises Refusal
    `question_unknown` for a key that is no question of the form.
    """
    form = registration_form()
    book = openpyxl.Workbook(write_only=True)
    main = book.create_sheet(_sheet_title(form.title))
    roster = book.create_sheet(_MEMBERS)
    try:
        _fill(main, roster, submissions)
        book.save(path)
    finally:
        for sheet in (main, roster):
            if not sheet.closed:  # an error came between
                sheet.close()


def _fill(
    main: WriteOnlyWorksheet, roster: WriteOnlyWorksheet, submissions: Iterable[Submission]
) -> None:
    form = registration_form()
    main.append(["start", "end", "today", *form.household, *_SYSTEM, "_index"])
    roster.append([*form.members, *_LINKS])
    member_index = 0
    for index, submission in enumerate(submissions, start=1):
        _check(submission)
        system = _system(submission)
        fields = _answers(submission.fields, form.household)
        main.append([*_times(submission), *fields, *system, index])
        for member in submission.members:
            member_index += 1
            answers = _answers(member, form.members)
            roster.append([*answers, member_index, form.title, index, *system])


def write_json_lines(path: Path, submissions: Iterable[Submission], page_size: int = 1000) -> None:
    """Write `submissions` to `path`, one API page (`count, next, previous, results`) a line.

    `count` is the number of submissions so far, since a stream does not know its end; the last
    page's is the total. Memory holds one page. Raises Refusal `question_unknown` for a key that is
    no question of the form.
    """
    remaining = iter(submissions)
    count = 0
    page = list(islice(remaining, page_size))
    with path.open("w", encoding="utf-8") as out:
        while page:
            following = list(islice(remaining, page_size))
            start = count
            count += len(page)
            document = {
                "count": count,
                "next": f"?format=json&start={count}" if following else None,
                "previous": f"?format=json&start={max(start - page_size, 0)}" if start else None,
                "results": list(_results(page)),
            }
            json.dump(document, out, ensure_ascii=False, separators=(",", ":"))
            out.write("\n")
            page = following


def _results(page: Sequence[Submission]) -> Iterator[dict[str, object]]:
    form = registration_form()
    for submission in page:
        _check(submission)
        started, ended, today = _times(submission)
        result: dict[str, object] = {"_id": submission.record_id}
        result |= {"start": started, "end": ended, "today": today}
        result |= _paths(submission.fields, form.household)
        if submission.members:
            result[_MEMBERS] = [_paths(member, form.members) for member in submission.members]
        yield result | {
            "__version__": submission.version,
            "meta/instanceID": f"uuid:{submission.uuid}",
            "meta/rootUuid": f"uuid:{submission.uuid}",
            "_xform_id_string": "cva_registration",
            "_uuid": submission.uuid,
            "_attachments": [],
            "_status": _STATUS,
            "_geolocation": [None, None],
            "_submission_time": _kobo_time(submission.submitted_at),
            "_tags": [],
            "_notes": [],
            "_validation_status": {},
            "_submitted_by": None,
        }


def _check(submission: Submission) -> None:
    form = registration_form()
    unknown = set(submission.fields) - set(form.household)
    for member in submission.members:
        unknown |= set(member) - set(form.members)
    if unknown:
        raise QUESTION_UNKNOWN.refusal(questions=", ".join(sorted(unknown)))


def _answers(values: Mapping[str, str], questions: Iterable[str]) -> list[str | None]:
    return [values.get(question) or None for question in questions]


def _paths(values: Mapping[str, str], questions: Mapping[str, str]) -> dict[str, str]:
    return {path: values[leaf] for leaf, path in questions.items() if values.get(leaf)}


def _system(submission: Submission) -> tuple[int | str | None, ...]:
    """Return the values under `_SYSTEM`."""
    submitted = _kobo_time(submission.submitted_at)
    head = (submission.record_id, submission.uuid, submitted, None, None, _STATUS, None)
    return (*head, submission.version, None, submission.uuid)


def _times(submission: Submission) -> tuple[str, str, str]:
    moment = submission.submitted_at
    stamp = moment.isoformat(timespec="milliseconds")
    return stamp, stamp, moment.date().isoformat()


def _kobo_time(moment: datetime) -> str:
    """Return an instant as KoBo writes it: in UTC, to the second, without saying so."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _sheet_title(title: str) -> str:
    return title if len(title) <= SHEET_TITLE_MAX else title[: SHEET_TITLE_MAX - 3] + "..."
