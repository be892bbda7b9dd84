"""Statements: opening, lines, closing, over sealed entries, the same bytes for the same log."""

import csv
import io
from datetime import date

import psycopg
import pytest

from ledgers.problems import Refusal
from ledgers.statements import Statement, Subject, as_csv, as_text, statement
from tests.ledgers.stories import Stage, contract_of

FEB, MARCH, APRIL = date(2026, 2, 10), date(2026, 3, 2), date(2026, 4, 1)
SPAN = (date(2026, 3, 1), date(2026, 3, 31))
TERMS = {
    "provider": "HALK", "currency": "TRY", "ownership": "agency", "recognition": "redemption",
}  # fmt: skip
PLACE = {
    "grant": "ECHO", "programme": "pgm_1", "cycle": "cyc_1", "provider": "HALK",
    "location": "TR-63", "currency": "TRY",
}  # fmt: skip


@pytest.fixture
def stage(app: psycopg.Connection) -> Stage:
    """A float opened in February, two loads and a fee in March; everything is sealed."""
    played = Stage(app, FEB)
    played.give(
        [{"account": "1110.HALK.TRY", "debit": "1000.00", "credit": "-", "grant": "ECHO",
          "provider": "HALK"},
         {"account": "2010.ECHO.TRY", "debit": "-", "credit": "1000.00", "grant": "ECHO"}],
        ["W-1", "W-2"],
    )  # fmt: skip
    played.today = MARCH
    contract = contract_of(TERMS)
    lines = [
        {"instruction": f"I-{number}", "wallet": f"W-{number}", "amount": f"{number}00.00"}
        for number in (1, 2)
    ]
    played.play("load_instructed", {**PLACE, "plan": "plan_1", "lines": lines}, contract)
    played.play("load_settled", {**PLACE, "settlement": "s1", "lines": lines}, contract)
    fee = {**PLACE, "provider_reference": "H-1", "amount": "4.00"}
    played.play("fee_charged", fee, contract)
    sealed(app)
    return played


def sealed(conn: psycopg.Connection) -> int:
    """Commit, seal all there is, and return the size of the log."""
    conn.commit()
    conn.execute("SELECT books.seal()")
    conn.commit()
    (size,) = conn.execute("SELECT max(tree_size) FROM books.tree").fetchone()
    return size


def of_float(conn: psycopg.Connection, size: int | None = None) -> Statement:
    return statement(conn, Subject.ACCOUNT, "1110.HALK.TRY", *SPAN, log_size=size)


def test_account_statement_runs_from_opening_to_closing(stage: Stage) -> None:
    made = of_float(stage.conn)
    (section,) = made.sections
    assert (section.opening_minor, section.closing_minor) == (100000, 69600)
    assert [
        (line.effective_on, line.event, line.lines, line.debit_minor, line.credit_minor,
         line.balance_minor)
        for line in section.lines
    ] == [
        (MARCH, "load_settled", 2, 0, 30000, 70000),
        (MARCH, "fee_charged", 1, 0, 400, 69600),
    ]  # fmt: skip
    assert section.version == 3  # February's opening too; a hold moves nothing


def test_statement_is_the_same_for_ever_for_the_same_log(stage: Stage) -> None:
    first = of_float(stage.conn)
    made = [as_text(first), as_csv(first)]
    stage.play("fee_charged", {**PLACE, "provider_reference": "H-2", "amount": "9.00"}, None)
    stage.conn.commit()
    unsealed = of_float(stage.conn)
    assert [as_text(unsealed), as_csv(unsealed)] == made
    size = sealed(stage.conn)
    again = of_float(stage.conn, first.log_size)
    assert [as_text(again), as_csv(again)] == made
    newest = of_float(stage.conn)
    assert (newest.log_size, newest.sections[0].version) == (size, 4)
    assert newest.sections[0].closing_minor == 68700


def test_text_is_for_people_and_80_columns_wide(stage: Stage) -> None:
    made = of_float(stage.conn)
    lines = as_text(made).decode().splitlines()
    assert lines[:4] == [
        "Statement of the account 1110.HALK.TRY",
        "From 2026-03-01 to 2026-03-31",
        f"Log of {made.log_size} leaves, root",
        made.root.hex(),
    ]
    assert lines[5:] == [
        "1110.HALK.TRY  Float with provider HALK TRY",
        "version 3, amounts in TRY",
        f"{'date':<10} {'debit':>22} {'credit':>22} {'balance':>22}",
        f"{'opening':<56} {'1000.00':>22}",
        f"2026-03-02 {'':>22} {'300.00':>22} {'700.00':>22}",
        "           je_00000000000000000000000003 load_settled, 2 lines",
        f"2026-03-02 {'':>22} {'4.00':>22} {'696.00':>22}",
        "           je_00000000000000000000000004 fee_charged",
        f"{'closing':<56} {'696.00':>22}",
    ]
    assert max(map(len, lines)) <= 80


def test_csv_has_a_row_for_opening_each_line_and_closing(stage: Stage) -> None:
    made = of_float(stage.conn)
    rows = list(csv.DictReader(io.StringIO(as_csv(made).decode())))
    assert [(row["kind"], row["debit"], row["credit"], row["balance"]) for row in rows] == [
        ("opening", "", "", "1000.00"),
        ("line", "", "300.00", "700.00"),
        ("line", "", "4.00", "696.00"),
        ("closing", "", "", "696.00"),
    ]
    assert {row["log_size"] for row in rows} == {str(made.log_size)}
    assert {row["root"] for row in rows} == {made.root.hex()}


def test_grant_statement_has_every_account_of_the_grant(stage: Stage) -> None:
    made = statement(stage.conn, Subject.GRANT, "ECHO", *SPAN)
    assert [(part.account, part.opening_minor, part.closing_minor) for part in made.sections] == [
        ("1110.HALK.TRY", 100000, 69600),
        ("1210.HALK.TRY", 0, 30000),
        ("2010.ECHO.TRY", 100000, 100000),
        ("5110.TRY", 0, 400),
    ]


def test_provider_statement_has_what_the_provider_keeps_and_takes(stage: Stage) -> None:
    made = statement(stage.conn, Subject.PROVIDER, "HALK", *SPAN)
    assert [part.account for part in made.sections] == [
        "1110.HALK.TRY", "1210.HALK.TRY", "5110.TRY",
    ]  # fmt: skip


def test_provider_statement_leaves_the_budget_out(stage: Stage) -> None:
    facts = {**PLACE, "allotment": "A-1", "amount": "5.00"}
    stage.play("budget_allotted", facts, None)
    sealed(stage.conn)
    of_provider = statement(stage.conn, Subject.PROVIDER, "HALK", *SPAN)
    of_grant = statement(stage.conn, Subject.GRANT, "ECHO", *SPAN)
    assert [part.account for part in of_provider.sections if part.account[0] == "9"] == []
    assert [part.account for part in of_grant.sections if part.account[0] == "9"] == [
        "9010.ECHO.TRY", "9030.ECHO.TRY",
    ]  # fmt: skip


@pytest.mark.parametrize(("subject", "code"), [(Subject.GRANT, "EHCO"), (Subject.PROVIDER, "halk")])
def test_statement_of_what_the_books_do_not_know_is_refused(
    stage: Stage, subject: Subject, code: str
) -> None:
    with pytest.raises(Refusal, match="statement_subject_unknown"):
        statement(stage.conn, subject, code, *SPAN)


def test_statement_of_a_grant_not_sealed_yet_is_empty(stage: Stage) -> None:
    facts = {"grant": "UNHCR", "currency": "TRY", "bank_reference": "Z-1", "amount": "5.00"}
    stage.play("grant_received", {**facts, "receivable": "false"}, None)
    stage.conn.commit()
    assert statement(stage.conn, Subject.GRANT, "UNHCR", *SPAN).sections == ()


@pytest.mark.parametrize(
    ("code", "span", "size", "problem"),
    [
        ("1110.HALK.TRY", SPAN, 999, "log_size_unknown"),
        ("1110.HALK.TRY", (APRIL, MARCH), None, "statement_days_unfit"),
        ("1110.GARAN.TRY", SPAN, None, "account_unknown"),
    ],
)
def test_statement_that_cannot_be_is_refused(
    stage: Stage, code: str, span: tuple[date, date], size: int | None, problem: str
) -> None:
    with pytest.raises(Refusal, match=problem):
        statement(stage.conn, Subject.ACCOUNT, code, *span, log_size=size)
