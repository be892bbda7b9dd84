"""The reach report as a file: the same figures as table, workbook and page."""

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from cva.reports.reach import Reach, Row, Totals
from cva.reports.writing import write_report
from ledgers.problems import Refusal

ADANA = Row(
    programme="market-card", province="TR-01", quarter="2026-Q1", population_group="syrian_tp",
    sector="Food security", currency="TRY", households=640, people=3130, people_declared=12,
    entitled_minor=704_000_050, loaded_minor=700_000_050, returned_minor=1_200_000,
    outstanding_minor=4_000_000,
)  # fmt: skip
REACH = Reach(date(2026, 1, 1), date(2026, 3, 31), [ADANA], Totals(640, 3130, 600, 2900))


def test_csv_holds_decimals_and_codes(tmp_path: Path) -> None:
    write_report(REACH, tmp_path / "reach.csv")

    with (tmp_path / "reach.csv").open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "programme": "market-card", "province": "TR-01", "quarter": "2026-Q1",
        "population group": "syrian_tp", "sector": "Food security", "currency": "TRY",
        "households": "640", "people": "3130", "of these declared only": "12",
        "entitled": "7040000.50", "loaded": "7000000.50", "returned": "12000.00",
        "outstanding": "40000.00",
    }  # fmt: skip


def test_workbook_holds_numbers_not_texts(tmp_path: Path) -> None:
    write_report(REACH, tmp_path / "reach.xlsx")

    book = openpyxl.load_workbook(tmp_path / "reach.xlsx")
    header, row = book["reach"].iter_rows(values_only=True)
    cells = dict(zip(header, row, strict=True))
    assert (cells["households"], cells["people"]) == (640, 3130)
    assert Decimal(str(cells["loaded"])) == Decimal("7000000.5")
    assert ("people, each once", 2900) in list(book["totals"].iter_rows(values_only=True))


def test_page_names_the_province_and_shows_both_counts(tmp_path: Path) -> None:
    write_report(REACH, tmp_path / "reach.html")

    page = (tmp_path / "reach.html").read_text(encoding="utf-8")
    assert "Adana" in page
    assert "7,000,000.50" in page
    assert ">3,130<" in page
    assert ">2,900<" in page
    assert page.count("<svg") == 3


def test_a_report_of_nothing_is_a_page_without_charts(tmp_path: Path) -> None:
    nothing = Reach(date(2026, 1, 1), date(2026, 3, 31), [], Totals(0, 0, 0, 0))
    write_report(nothing, tmp_path / "reach.html")
    assert "<svg" not in (tmp_path / "reach.html").read_text(encoding="utf-8")


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="report_kind_unknown"):
        write_report(REACH, tmp_path / "reach.pdf")
