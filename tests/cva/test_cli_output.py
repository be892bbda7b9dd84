"""Amounts in answers: thousands apart for people, as they are read back for programs."""

import csv
import io
import json

import pytest

from cva.cli.output import Money, Shape, show

COLUMNS = ["account", "balance"]
ROWS = [("cash", Money(123456750, "TRY")), ("float", Money(-990450000, "TRY"))]


def test_a_table_sets_thousands_apart(capsys: pytest.CaptureFixture[str]) -> None:
    show(COLUMNS, ROWS, Shape.TABLE)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["account", "balance"],
        ["cash", "1,234,567.50", "TRY"],
        ["float", "-9,904,500.00", "TRY"],
    ]


def test_programs_get_plain_decimals(capsys: pytest.CaptureFixture[str]) -> None:
    show(COLUMNS, ROWS, Shape.JSON)
    assert json.loads(capsys.readouterr().out) == [
        {"account": "cash", "balance": "1234567.50"},
        {"account": "float", "balance": "-9904500.00"},
    ]
    show(COLUMNS, ROWS, Shape.CSV)
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        COLUMNS, ["cash", "1234567.50"], ["float", "-9904500.00"],
    ]  # fmt: skip
