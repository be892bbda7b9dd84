"""How answers look: one table of rows, as text, JSON or CSV; money with its currency.

A command gives columns and rows once; the person chooses the shape with `--format`. In text tables
numbers stand to the right. What is wider than the screen loses nothing: the columns that a command
names as `below` go, one after the other, to a second line under each row.
"""

import csv
import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table

from cva.clock import ZONE
from ledgers.money import format_amount, grouped

PROSE_MIN = 24
COLUMN_GAP = 2
SECOND_LINE = "    "


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
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    shape: Shape,
    title: str = "",
    *,
    below: Sequence[str] = (),
) -> None:
    """Print rows in the wanted shape; `below` names columns of a table, the least needed first."""
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
        _show_table(columns, list(rows), title, below)


@dataclass(frozen=True, slots=True)
class Part:
    """One table of an answer that has several, with its name."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    below: Sequence[str] = ()


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
        show(part.columns, part.rows, shape, part.name, below=part.below)


def say(text: str) -> None:
    """Print one sentence for people on stdout."""
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def warn(text: str) -> None:
    """Print one sentence on stderr: progress, remarks, refusals."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def _show_table(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], title: str, below: Sequence[str]
) -> None:
    console = Console(highlight=False)
    screen = console.width
    made = [_column(name, [row[place] for row in rows]) for place, name in enumerate(columns)]
    beside = list(range(len(columns)))
    told: Sequence[Sequence[Cell]] = rows
    if below and _least(made, beside) > screen:
        made, told = _without_currency(columns, rows, made)
    for name in below:
        if _least(made, beside) > screen:
            beside.remove(columns.index(name))
    console.width = max(screen, _least(made, beside))
    kept = [made[place] for place in beside]
    under = [place for place in range(len(columns)) if place not in beside]
    if not under:
        _print_table(console, kept, told, title=title)
        return
    # A table for each row has the same widths only where none of them can grow.
    fixed = [replace(column, max_width=column.min_width) for column in kept]
    _print_table(console, fixed, [], title=title)
    for row, short in zip(rows, told, strict=True):
        _print_table(console, fixed, [[short[place] for place in beside]], show_header=False)
        second = _second_line([(columns[place], row[place]) for place in under], screen)
        if second:
            console.print(second, markup=False, soft_wrap=True)


def _without_currency(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], made: list[Column]
) -> tuple[list[Column], Sequence[Sequence[Cell]]]:
    """Return columns that name the currency and rows that do not, where there is one only."""
    currencies = {cell.currency for row in rows for cell in row if isinstance(cell, Money)}
    if len(currencies) != 1:
        return made, rows
    (currency,) = currencies
    short = [
        [grouped(cell.minor, currency) if isinstance(cell, Money) else cell for cell in row]
        for row in rows
    ]
    return [
        replace(
            _column(f"{name} {currency}", [row[place] for row in short]), justify=column.justify,
        )
        if any(isinstance(row[place], Money) for row in rows)
        else column
        for place, (name, column) in enumerate(zip(columns, made, strict=True))
    ], short  # fmt: skip


def _print_table(
    console: Console,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    *,
    title: str = "",
    show_header: bool = True,
) -> None:
    table = Table(
        *(column.copy() for column in columns), title=title or None, title_justify="left",
        box=None, pad_edge=False, show_header=show_header,
    )  # fmt: skip
    for row in rows:
        table.add_row(*map(_text, row))
    console.print(table, markup=False)


def _column(name: str, cells: Sequence[Cell]) -> Column:
    told = [cell for cell in cells if cell is not None]
    numeric = all(isinstance(cell, int | Money) for cell in told) and bool(told)
    # Only sentences are broken: identifiers are there to be copied, amounts to be read.
    natural = max(cell_len(text) for text in (name, *map(_text, cells)))
    width = natural if natural <= PROSE_MIN or not _is_prose(cells) else PROSE_MIN
    return Column(
        name, justify="right" if numeric else "left", overflow="fold", min_width=width,
        no_wrap=width == natural,
    )  # fmt: skip


def _least(columns: Sequence[Column], beside: Sequence[int]) -> int:
    return sum((columns[place].min_width or 0) + COLUMN_GAP for place in beside) - COLUMN_GAP


def _second_line(cells: Sequence[tuple[str, Cell]], width: int) -> str:
    told = [
        # A figure is not torn from its name.
        f"{name} {_text(cell)}".replace(" ", "\xa0")
        if isinstance(cell, int | Money)
        else _text(cell)
        for name, cell in cells
    ]
    lines = textwrap.wrap(
        ", ".join(filter(None, told)), width, initial_indent=SECOND_LINE,
        subsequent_indent=SECOND_LINE, break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join(lines).replace("\xa0", " ")


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
