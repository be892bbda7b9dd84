"""The report as a workbook: a sheet for each table, amounts as decimals, in one language.

The same report gives the same bytes: the time of writing, which a workbook keeps in two places, is
replaced by a fixed one.
"""

import io
import re
import zipfile
from decimal import Decimal
from pathlib import Path

import pandas as pd
from openpyxl import Workbook
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from ledgers.money import exponent
from simulations.rates import MILLION
from simulations.report.model import Column, Kind, Report, Table
from simulations.report.wording import Language, Wording

SHEET_NAME_MAX = 31
LINE_HEIGHT, LINE_LETTERS = 15, 110
FORMATS = {
    Kind.COUNT: "#,##0", Kind.SHARE: "0.0%", Kind.RATE: "#,##0.0000", Kind.NUMBER: "#,##0.00",
    Kind.AMOUNT: "#,##0.00",
}  # fmt: skip
FIXED = (1980, 1, 1, 0, 0, 0)
MODIFIED = re.compile(rb"(<dcterms:(?:modified|created)[^>]*>)[^<]*(</dcterms)")
FIXED_MOMENT = rb"\g<1>1980-01-01T00:00:00Z\g<2>"


def write_workbook(report: Report, path: Path, language: Language) -> None:
    """Write every table of the report to one workbook."""
    wording = Wording(language, report.names)
    book = Workbook()
    first = book.active or book.create_sheet()
    _summary(first, report, wording)
    for section in report.sections:
        if section.table:
            sheet = book.create_sheet(_title(wording.word(section.key), book))
            _sheet(sheet, report.tables[section.table], wording)
    for sheet in book.worksheets:
        sheet.sheet_view.rightToLeft = language is Language.AR
    content = io.BytesIO()
    book.save(content)
    path.write_bytes(_fixed(content))


def _title(name: str, book: Workbook) -> str:
    """Return a name of a sheet that no other sheet has."""
    plain = re.sub(r"[\[\]:*?/\\]", " ", name)[:SHEET_NAME_MAX].strip()
    count = sum(sheet.title.startswith(plain[: SHEET_NAME_MAX - 4]) for sheet in book.worksheets)
    return plain if plain not in book.sheetnames else f"{plain[: SHEET_NAME_MAX - 4]} {count + 1}"


def _summary(sheet: Worksheet, report: Report, wording: Wording) -> None:
    sheet.title = _title(wording.word("key_figures"), Workbook())
    sheet.append([wording.label(report.title)])
    sheet["A1"].font = Font(bold=True, size=14)
    for text in (wording.label(report.about), *map(wording.says, report.answer)):
        _prose(sheet, text)
    sheet.append([])
    sheet.append(["", *(wording.word(key) for key in ("key_line", "p5", "p95"))])
    for figure in report.figures:
        spread = [wording.says(figure.low), wording.says(figure.high)]
        sheet.append([wording.word(figure.key), wording.says(figure.value), *spread])
    sheet.append([])
    sheet.append([wording.word("simulated_note")])
    sheet.column_dimensions["A"].width = 52
    for letter in "BCD":
        sheet.column_dimensions[letter].width = 24


def _prose(sheet: Worksheet, text: str) -> None:
    """Add a row of text that is wrapped over the width of the sheet."""
    sheet.append([text])
    at = sheet.max_row
    sheet.merge_cells(f"A{at}:D{at}")
    sheet[f"A{at}"].alignment = Alignment(wrap_text=True, vertical="top")
    sheet.row_dimensions[at].height = LINE_HEIGHT * (1 + len(text) // LINE_LETTERS)


def _sheet(sheet: Worksheet, table: Table, wording: Wording) -> None:
    sheet.append([wording.header(column) for column in table.columns])
    for row in table.frame.itertuples(index=False):
        currency = str(getattr(row, "currency", "TRY"))
        sheet.append([
            _cell(value, column, currency, wording)
            for value, column in zip(row, table.columns, strict=True)
        ])  # fmt: skip
    for at, column in enumerate(table.columns, start=1):
        head = sheet.cell(1, at)
        head.font = Font(bold=True)
        head.fill = PatternFill("solid", fgColor="E8EEF3")
        head.alignment = Alignment(wrap_text=True, vertical="bottom")
        sheet.column_dimensions[get_column_letter(at)].width = 18
        if column.kind in FORMATS:
            for line in range(2, len(table.frame) + 2):
                sheet.cell(line, at).number_format = FORMATS[column.kind]
    sheet.freeze_panes = "B2"


def _cell(
    value: object, column: Column, currency: str, wording: Wording
) -> int | str | Decimal | None:
    if pd.isna(value):  # type: ignore[call-overload]
        return None
    match column.kind:
        case Kind.AMOUNT:
            return int(str(value)) * Decimal(1).scaleb(-exponent(column.currency or currency))
        case Kind.COUNT:
            return int(str(value))
        case Kind.RATE:
            return int(str(value)) / Decimal(MILLION)
        case Kind.SHARE | Kind.NUMBER:
            return Decimal(str(value))
        case _:
            return wording.cell(value, column)


def _fixed(content: io.BytesIO) -> bytes:
    """Return the workbook without the time at which it was written."""
    fixed = io.BytesIO()
    with zipfile.ZipFile(content) as read, zipfile.ZipFile(fixed, "w") as written:
        for name in read.namelist():
            inside = read.read(name)
            if name == "docProps/core.xml":
                inside = MODIFIED.sub(FIXED_MOMENT, inside)
            entry = zipfile.ZipInfo(name, FIXED)
            entry.compress_type = zipfile.ZIP_DEFLATED
            written.writestr(entry, inside)
    return fixed.getvalue()
