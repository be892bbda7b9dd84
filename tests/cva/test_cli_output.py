"""Amounts in answers: thousands apart for people, as they are read back for programs."""

import csv
import io
import json
import re

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


WIDE = ["account", "name", "debit", "credit", "pending"]
LONG = "1110.MARKET-CARDS-AND-VOUCHERS.TRY"
AMOUNT = Money(123456789012345, "TRY")


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("narrow")
def test_what_is_too_wide_goes_to_a_second_line_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [
        (LONG, "Float with provider", AMOUNT, None, AMOUNT),
        ("1010.TRY", "Bank", Money(0, "TRY"), Money(5, "TRY"), None),
    ]
    show(WIDE, rows, Shape.TABLE, below=("name", "pending", "credit"))
    assert [line.split("  ") for line in lines_of(capsys)] == [
        ["account", "debit TRY", "credit TRY"],
        [LONG, "1,234,567,890,123.45"],
        ["", "Float with provider, pending 1,234,567,890,123.45 TRY"],
        ["1010.TRY", "0.00", "0.05"],
        ["", "Bank"],
    ]


@pytest.mark.usefixtures("narrow")
def test_amounts_of_two_currencies_keep_theirs(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(LONG, "Float with provider", AMOUNT, Money(7, "USD"), AMOUNT)]
    show(WIDE, rows, Shape.TABLE, below=("name", "pending"))
    assert [line.split("  ") for line in lines_of(capsys)] == [
        ["account", "debit", "credit"],
        [LONG, "1,234,567,890,123.45 TRY", "0.07 USD"],
        ["", "Float with provider, pending 1,234,567,890,123.45 TRY"],
    ]


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines that were shown, all within 80 columns, each gap as two spaces."""
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line for line in lines if len(line) > 80] == []
    return [re.sub(" {2,}", "  ", line) for line in lines]


@pytest.mark.usefixtures("narrow")
def test_what_fits_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(COLUMNS, ROWS, Shape.TABLE, below=("balance",))
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.usefixtures("narrow")
def test_second_line_is_broken_between_words_and_never_in_a_figure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    reason = "agreed with the donor in the letter of 2 March after the visit"
    row = ("2026-03-02", LONG, reason, Money(990450000, "TRY"), "je_01khqr04bcx67dvnds2xykp68j")
    show(
        ["on", "account", "reason", "balance", "entry"], [row], Shape.TABLE,
        below=("balance", "reason", "entry"),
    )  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [f"    {reason},", "    balance 9,904,500.00 TRY"]
