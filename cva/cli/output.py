"""How answers look: one table of rows, as text, JSON or CSV; money with its currency.

A command gives columns and rows once; the person chooses the shape with `--format`. Text tables fit
80 columns where the values allow it, numbers stand to the right.
"""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from ledgers.money import format_amount

PROSE_MIN = 24
WIDTH_MAX = 1000


class Shape(StrEnum):
    """The shape of an answer."""

    TABLE = "table"  # for people
    JSON = "json"  # for programs: the same names as the columns
    CSV = "csv"  # for spreadsheets
    IDS = "ids"  # for scripts: the first column alone


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units that is shown in its currency."""

    minor: int
    currency: str

    def __str__(self) -> str:
        return f"{format_amount(self.minor, self.currency)} {self.currency}"


Cell = str | int | bool | date | datetime | Money | None


def show(
    columns: Sequence[str], rows: Iterable[Sequence[Cell]], shape: Shape, title: str = ""
) -> None:
    """Print rows in the wanted shape."""
    if shape is Shape.JSON:
        content = [dict(zip(columns, map(_plain, row), strict=True)) for row in rows]
        sys.stdout.write(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    elif shape is Shape.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_harmless(_plain(cell)) for cell in row] for row in rows)
    elif shape is Shape.IDS:
        sys.stdout.writelines(f"{_plain(row[0])}\n" for row in rows)
    else:
        _show_table(columns, list(rows), title)


def say(text: str) -> None:
    """Print one sentence for people on stdout."""
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def warn(text: str) -> None:
    """Print one sentence on stderr: progress, remarks, refusals."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def _show_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], title: str) -> None:
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        numeric = all(isinstance(row[number], int | Money) for row in rows) and bool(rows)
        # Only sentences are broken: identifiers are there to be copied, amounts to be read.
        prose = any(len(str(row[number])) > PROSE_MIN and " " in str(row[number]) for row in rows)
        table.add_column(
            column, justify="right" if numeric else "left", overflow="fold", no_wrap=not prose,
            min_width=PROSE_MIN if prose else None,
        )  # fmt: skip
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    console = Console(highlight=False)
    least = Measurement.get(console, console.options.update(max_width=WIDTH_MAX), table).minimum
    console.print(table, markup=False, width=max(console.width, least), crop=False)


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}"
        case _:
            return str(cell)


def _plain(cell: Cell) -> str | int | bool | None:
    match cell:
        case Money():
            return format_amount(cell.minor, cell.currency)
        case date():
            return cell.isoformat()
        case _:
            return cell


def _harmless(value: str | int | bool | None) -> str | int | bool | None:
    # A spreadsheet must never run what a form's text says.
    if isinstance(value, str) and value[:1] in ("=", "+", "@", "\t", "\r"):
        return "'" + value
    return value
