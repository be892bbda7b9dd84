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

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from cva.clock import ZONE
from ledgers.money import format_amount, grouped

PROSE_MIN = 24
COLUMN_GAP = 2


class Shape(StrEnum):
    """The shape of an answer."""

    TABLE = "table"  # for people
    JSON = "json"  # for programs: the same names as the columns
    CSV = "csv"  # for spreadsheets
    IDS = "ids"  # for scripts: the first column alone


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units; people see it with thousands apart, programs as it is read back."""

    minor: int
    currency: str

    def __str__(self) -> str:
        return f"{grouped(self.minor, self.currency)} {self.currency}"


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


@dataclass(frozen=True, slots=True)
class Part:
    """One table of an answer that has several, with its name."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def show_parts(parts: Sequence[Part], shape: Shape) -> None:
    """Print several tables: one JSON object by name, otherwise one after the other."""
    if shape is Shape.JSON:
        content = {
            part.name: [dict(zip(part.columns, map(_plain, row), strict=True)) for row in part.rows]
            for part in parts
        }
        sys.stdout.write(json.dumps(content, ensure_ascii=False, indent=1) + "\n")
        return
    for part in parts:
        show(part.columns, part.rows, shape, part.name)


def say(text: str) -> None:
    """Print one sentence for people on stdout."""
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def warn(text: str) -> None:
    """Print one sentence on stderr: progress, remarks, refusals."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def _show_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], title: str) -> None:
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    least = 0
    for number, column in enumerate(columns):
        cells = [row[number] for row in rows]
        numeric = all(isinstance(cell, int | Money) for cell in cells) and bool(cells)
        # Only sentences are broken: identifiers are there to be copied, amounts to be read.
        natural = max(cell_len(text) for text in (column, *map(_text, cells)))
        width = natural if natural <= PROSE_MIN or not _is_prose(cells) else PROSE_MIN
        table.add_column(
            column, justify="right" if numeric else "left", overflow="fold", min_width=width,
            no_wrap=width == natural,
        )  # fmt: skip
        least += width + COLUMN_GAP
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    console = Console(highlight=False)
    console.width = max(console.width, least)
    console.print(table, markup=False)


def _is_prose(cells: Sequence[Cell]) -> bool:
    return any(isinstance(cell, str) and " " in cell for cell in cells)


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}"
        case datetime():
            return f"{cell.astimezone(ZONE):%Y-%m-%d %H:%M}"
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
