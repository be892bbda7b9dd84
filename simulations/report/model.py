"""A report as data: what is said, shown and counted, in no language yet.

A *table* is a frame for analysts: amounts are whole minor units in columns that end in `_minor`,
months their first days, names codes. How a column is shown to people follows from its kind. A
*chart* shows a table of the same section. A *section* has sentences: keys of the words, with facts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

import pandas as pd
from pydantic import TypeAdapter

from eligibility.rules.pack import Label

REPORT = "report.json"
TABLES = "tables"


class Kind(StrEnum):
    """What a column holds, and so how it is shown."""

    MONTH = "month"  # a first day
    COUNT = "count"  # a whole number
    SHARE = "share"  # 0.25 is 25 %
    NUMBER = "number"  # a plain number with decimals
    RATE = "rate"  # millionths of TRY for one unit
    AMOUNT = "amount"  # minor units of the column's currency
    WORD = "word"  # a key of the words
    NAME = "name"  # a code with a name in the report
    TEXT = "text"  # as it is


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name in the frame (which is a key of the words), kind, currency of amounts."""

    name: str
    kind: Kind
    currency: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows under a key that is their file's name."""

    key: str
    columns: tuple[Column, ...]
    frame: pd.DataFrame = field(repr=False)


@dataclass(frozen=True, slots=True)
class Chart:
    """How a table is drawn: `form` names a function of `charts`, `options` what it is told."""

    form: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A key of the words with its facts; facts are already plain: text, counts, amounts."""

    key: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading (a key of the words), sentences, a chart and the table that it shows."""

    key: str
    sentences: tuple[Sentence, ...] = ()
    chart: Chart | None = None
    table: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A key figure: what, how much, and the range of 5 to 95 % of the draws where there is one."""

    key: str
    value: Sentence
    low: Sentence | None = None
    high: Sentence | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything that a page, a workbook and the files for analysts are made from."""

    title: Label
    about: Label
    question: str
    figures: tuple[Figure, ...]
    sections: tuple[Section, ...]
    tables: Mapping[str, Table]
    names: Mapping[str, Label]
    manifest: Mapping[str, object]
    answer: tuple[Sentence, ...] = ()  # in short


def amount(minor: int, currency: str) -> Sentence:
    """Return an amount to be shown whole: `minor` units of a currency."""
    return Sentence("an_amount", {"minor": int(minor), "currency": currency})


def count(number: int) -> Sentence:
    """Return a whole number to be shown."""
    return Sentence("a_count", {"number": int(number)})


def share(millionths: int) -> Sentence:
    """Return a share to be shown: 250,000 millionths are 25 %."""
    return Sentence("a_share", {"millionths": int(millionths)})


def month(name: str) -> Sentence:
    """Return a month (YYYY-MM) to be shown."""
    return Sentence("a_month", {"month": name})


def table(key: str, columns: Sequence[Column], rows: Mapping[str, object]) -> Table:
    """Return a table of columns by name."""
    frame = pd.DataFrame({column.name: rows[column.name] for column in columns})
    return Table(key, tuple(columns), frame)


def save(report: Report, folder: Path) -> None:
    """Write the report as data into `folder`: one JSON file, one Parquet file for each table."""
    (folder / TABLES).mkdir(mode=0o700, parents=True, exist_ok=True)
    for one in report.tables.values():
        path = folder / TABLES / f"{one.key}.parquet"
        one.frame.to_parquet(path, index=False, compression="zstd")
    content = {
        "title": report.title.model_dump(),
        "about": report.about.model_dump(),
        "question": report.question,
        "answer": [asdict(sentence) for sentence in report.answer],
        "figures": [asdict(figure) for figure in report.figures],
        "sections": [asdict(section) for section in report.sections],
        "tables": {
            one.key: [asdict(column) for column in one.columns] for one in report.tables.values()
        },
        "names": {code: label.model_dump() for code, label in report.names.items()},
        "manifest": report.manifest,
    }
    text = json.dumps(content, ensure_ascii=False, indent=1)
    (folder / REPORT).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> Report:
    """Return the report that was saved in `folder`."""
    content = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    tables = {
        key: Table(
            key,
            tuple(Column(one["name"], Kind(one["kind"]), one["currency"]) for one in columns),
            pd.read_parquet(folder / TABLES / f"{key}.parquet"),
        )
        for key, columns in content["tables"].items()
    }
    names = {code: Label(**label) for code, label in content["names"].items()}
    return Report(
        Label(**content["title"]),
        Label(**content["about"]),
        content["question"],
        TypeAdapter(tuple[Figure, ...]).validate_python(content["figures"]),
        TypeAdapter(tuple[Section, ...]).validate_python(content["sections"]),
        tables,
        names,
        content["manifest"],
        TypeAdapter(tuple[Sentence, ...]).validate_python(content["answer"]),
    )
