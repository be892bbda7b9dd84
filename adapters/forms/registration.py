"""Our own registration form: its source, the workbook for KoBo, its mapping.

The form is kept as a table in text (`registration.md`, the markdown form of an XLSForm that
pyxform reads), so that a change to a question is a line in a comparison of versions; the workbook
is made from it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import openpyxl

from adapters.mapping import FormMapping, load_mapping

FORM_SOURCE = Path(__file__).with_name("registration.md")
MAPPING_SOURCE = Path(__file__).with_name("registration.yaml")

_PIPE = re.compile(r"(?<!\\)\|")
_NOT_ASKED = frozenset({"start", "end", "today"})

Sheet = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Form:
    """The form as KoBo sees it.

    `title` is the form's; `household` and `members` hold the full path of every question by its
    leaf name, in the order asked; `choices` holds the codes of every select question by its leaf
    name.
    """

    title: str
    household: Mapping[str, str]
    members: Mapping[str, str]
    choices: Mapping[str, tuple[str, ...]]


def form_sheets() -> dict[str, Sheet]:
    """Return the rows of the sheets survey, choices and settings, headings first."""
    sheets: dict[str, list[tuple[str, ...]]] = {}
    name = ""
    for line in FORM_SOURCE.read_text("utf-8").splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip().replace(r"\|", "|") for cell in _PIPE.split(line)[1:-1]]
        if cells[0]:
            name = cells[0]
            sheets[name] = []
        else:
            sheets[name].append(tuple(cells[1:]))
    return {name: tuple(rows) for name, rows in sheets.items()}


def write_xlsform(path: Path) -> None:
    """Write the form to `path` as the XLSForm workbook that KoBo takes."""
    book = openpyxl.Workbook(write_only=True)
    for title, rows in form_sheets().items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append([cell or None for cell in row])
    book.save(path)


@cache
def registration_form() -> Form:
    """Return the questions of the form, with their paths and codes."""
    sheets = form_sheets()
    lists: dict[str, list[str]] = {}
    for choice in _rows(sheets["choices"]):
        lists.setdefault(choice["list_name"], []).append(choice["name"])
    household: dict[str, str] = {}
    members: dict[str, str] = {}
    choices: dict[str, tuple[str, ...]] = {}
    groups: list[tuple[str, dict[str, str]]] = [("", household)]
    for row in _rows(sheets["survey"]):
        kind, name = row["type"], row["name"]
        if kind.startswith("begin"):
            within = members if kind == "begin repeat" else groups[-1][1]
            groups.append((f"{groups[-1][0]}{name}/", within))
        elif kind.startswith("end "):
            groups.pop()
        elif kind not in _NOT_ASKED:
            path, within = groups[-1]
            within[name] = path + name
            if kind.startswith("select_one "):
                choices[name] = tuple(lists[kind.removeprefix("select_one ")])
    title = next(_rows(sheets["settings"]))["form_title"]
    return Form(title, household, members, choices)


@cache
def registration_mapping() -> FormMapping:
    """Return the mapping of our own form, which no `--mapping` needs to name."""
    mapping = load_mapping(MAPPING_SOURCE)
    return mapping.model_copy(update={"choices": dict(registration_form().choices)})


def _rows(sheet: Sheet) -> Iterator[dict[str, str]]:
    headings, *rows = sheet
    return (dict(zip(headings, row, strict=True)) for row in rows)
