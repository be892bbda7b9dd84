"""Writing the reach report: CSV, XLSX, or one HTML page that opens offline.

The file's ending decides. Amounts leave as decimals of their currency, numbers as numbers, and the
page holds everything in itself: styles, charts (SVG), tables; no script, no outside address.
"""

import csv
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import jinja2
from openpyxl import Workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from cva.registry.places import province_name
from cva.reports.reach import Reach, Row
from ledgers.money import exponent, grouped
from ledgers.problems import Answer, Problem

REPORT_KIND_UNKNOWN = Problem(
    "report_kind_unknown",
    "A report cannot be written as {suffix}.",
    "Name a file that ends in .html, .xlsx or .csv.",
    Answer.USAGE,
)

COLUMNS = (
    "programme", "province", "quarter", "population group", "sector", "currency", "households",
    "people", "of these declared only", "entitled", "loaded", "returned", "outstanding",
)  # fmt: skip
FIRST_AMOUNT = 9


def write_report(reach: Reach, path: Path) -> None:
    """Write the report to `path`. Raises `report_kind_unknown`."""
    writers = {".csv": _write_csv, ".xlsx": _write_xlsx, ".html": _write_html}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise REPORT_KIND_UNKNOWN.refusal(suffix=path.suffix or path.name)
    writer(reach, path)


def _write_csv(reach: Reach, path: Path) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as out:
        table = csv.writer(out)
        table.writerow(COLUMNS)
        table.writerows(_cells(row) for row in reach.rows)


def _write_xlsx(reach: Reach, path: Path) -> None:
    book = Workbook()
    sheet = book.active or book.create_sheet()
    sheet.title = "reach"
    sheet.append(list(COLUMNS))
    for row in reach.rows:
        sheet.append(_cells(row))
    for column in range(1, len(COLUMNS) + 1):
        sheet.cell(1, column).font = Font(bold=True)
        sheet.column_dimensions[get_column_letter(column)].width = 16
        if column > FIRST_AMOUNT:
            for line in range(2, len(reach.rows) + 2):
                sheet.cell(line, column).number_format = "#,##0.00"
    sheet.freeze_panes = "A2"
    totals = book.create_sheet("totals")
    for name, value in _totals(reach):
        totals.append([name, value])
    book.save(path)


def _write_html(reach: Reach, path: Path) -> None:
    from cva.reports import charts

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cva.reports", "templates"), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("reach.html").render(
        reach=reach,
        columns=COLUMNS,
        rows=[_shown(row) for row in reach.rows],
        programmes=_by_programme(reach.rows),
        totals=_totals(reach),
        people_by_province=charts.people_by_province(reach) if reach.rows else "",
        money_by_programme=charts.money_by_programme(reach) if reach.rows else "",
        unique_people=charts.unique_people(reach) if reach.rows else "",
    )
    path.write_text(page, encoding="utf-8")


def _cells(row: Row) -> list[str | int | Decimal]:
    scale = Decimal(1).scaleb(-exponent(row.currency))
    amounts = (row.entitled_minor, row.loaded_minor, row.returned_minor, row.outstanding_minor)
    return [
        row.programme, row.province, row.quarter, row.population_group, row.sector, row.currency,
        row.households, row.people, row.people_declared, *(minor * scale for minor in amounts),
    ]  # fmt: skip


def _shown(row: Row) -> list[str]:
    amounts = (row.entitled_minor, row.loaded_minor, row.returned_minor, row.outstanding_minor)
    counts = (row.households, row.people, row.people_declared)
    return [
        row.programme, province_name(row.province), row.quarter, row.population_group, row.sector,
        row.currency,
        *(f"{count:,}" for count in counts),
        *(grouped(minor, row.currency) for minor in amounts),
    ]  # fmt: skip


def _by_programme(rows: Sequence[Row]) -> list[tuple[str, str, str, str, str, str]]:
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in rows:
        found = sums[row.programme, row.currency]
        values = (row.households, row.people, row.loaded_minor - row.returned_minor,
                  row.outstanding_minor)  # fmt: skip
        for position, value in enumerate(values):
            found[position] += value
    return [
        (programme, f"{households:,}", f"{people:,}", grouped(loaded, currency),
         grouped(outstanding, currency), currency)
        for (programme, currency), (households, people, loaded, outstanding) in sums.items()
    ]  # fmt: skip


def _totals(reach: Reach) -> list[tuple[str, int]]:
    totals = reach.totals
    return [
        ("households, counted by programme", totals.households),
        ("people, counted by programme", totals.people),
        ("households, each once", totals.unique_households),
        ("people, each once", totals.unique_people),
    ]
