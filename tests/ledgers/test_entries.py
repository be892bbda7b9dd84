"""Entries balance, are recorded once under their key, and are undone only by their mirror."""

from dataclasses import replace
from datetime import timedelta

import pytest
from psycopg import sql

from ledgers.balances import balance
from ledgers.chart import open_account
from ledgers.entries import EntryHead, Leg, Recorded, record, reverse
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.transfers import hold
from ledgers.verification import verify
from tests.ledgers.conftest import BANK, CASH, FLOAT, FUND, GRANT, MARCH, Books, leg

RECEIVED = [Leg(BANK, 500, grant_code=GRANT), Leg(FUND, -500, grant_code=GRANT)]


def test_entry_moves_its_accounts(books: Books) -> None:
    head = books.head("grant_received")
    assert record(books.conn, head, RECEIVED) == Recorded(head.entry_ref, already=False)
    books.conn.commit()
    assert balance(books.conn, BANK).balance_minor == 500 - 1_000_000
    assert balance(books.conn, FUND).balance_minor == 500
    assert verify(books.conn).sound


def test_same_key_and_body_is_the_same_entry(books: Books) -> None:
    head = books.head(key="grant/1")
    first = record(books.conn, head, RECEIVED)
    books.conn.commit()
    again = replace(books.head(key="grant/1", by="Omar"), reason="asked again")
    assert record(books.conn, again, RECEIVED) == Recorded(first.entry_ref, already=True)
    assert books.one("SELECT count(*) FROM books.leg") == 4


def test_same_key_and_another_body_is_refused(books: Books) -> None:
    record(books.conn, books.head(key="grant/1"), RECEIVED)
    books.conn.commit()
    more = [Leg(BANK, 501, grant_code=GRANT), Leg(FUND, -501, grant_code=GRANT)]
    with pytest.raises(Refusal) as refused:
        record(books.conn, books.head(key="grant/1"), more)
    assert refused.value.problem.code == "key_used_differently"
    assert refused.value.facts["fields"] == "lines"
    later = books.head("bank_charge", key="grant/1", on=MARCH + timedelta(days=1))
    with pytest.raises(Refusal, match="different: event, day"):
        record(books.conn, later, RECEIVED)


def test_every_problem_of_an_entry_is_said_at_once(books: Books) -> None:
    open_account(books.conn, "1010", "USD", MARCH)
    legs = [
        Leg(BANK, 500, grant_code=GRANT),
        Leg(FUND, -400, grant_code=GRANT),
        Leg(BANK, 0, grant_code=GRANT),
        Leg("1010.USD", 7, grant_code=GRANT),
    ]
    with pytest.raises(Refusal) as refused:
        record(books.conn, books.head(), legs)
    assert [finding.problem.code for finding in refused.value.findings] == [
        "leg_zero", "entry_unbalanced", "entry_unbalanced",
    ]  # fmt: skip
    assert [f.facts.get("difference_minor") for f in refused.value.findings] == [None, 100, 7]
    assert "is 1.00 TRY off balance in layer A" in refused.value.findings[1].sentence


def test_entry_balances_per_grant(books: Books) -> None:
    legs = [Leg(BANK, 500, grant_code=GRANT), Leg(CASH, -500, grant_code="ECHO")]
    with pytest.raises(Refusal, match="entry_unbalanced"):
        record(books.conn, books.head(), legs)


@pytest.mark.parametrize(
    ("legs", "code"),
    [
        ([], "entry_without_lines"),
        (RECEIVED[:1], "entry_without_lines"),
        ([RECEIVED[0], Leg("1010.EUR", -500, grant_code=GRANT)], "account_unknown"),
        ([RECEIVED[0], Leg(99_999, -500, grant_code=GRANT)], "account_unknown"),
    ],
)
def test_incomplete_entry_is_refused(books: Books, legs: list[Leg], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        record(books.conn, books.head(), legs)
    assert refused.value.problem.code == code


def test_entry_without_reason_is_refused(books: Books) -> None:
    with pytest.raises(Refusal, match="reason_missing"):
        record(books.conn, replace(books.head(), reason=" "), RECEIVED)


@pytest.mark.parametrize(
    "legs",
    [
        [Leg(BANK, 500, grant_code="ECHO"), Leg(FUND, -500, grant_code="ECHO")],
        [Leg(BANK, 500, "M", grant_code=GRANT), Leg(CASH, -500, "M", grant_code=GRANT)],
    ],
)
def test_account_takes_only_its_grant_and_layer(books: Books, legs: list[Leg]) -> None:
    with pytest.raises(Refusal) as refused, refusals():
        record(books.conn, books.head(), legs)
    assert refused.value.problem.code == "account_unfit"


def test_budget_is_committed_no_further_than_allotted(books: Books) -> None:
    for code in ("9010", "9020", "9030"):
        open_account(books.conn, code, "TRY", MARCH, grant=GRANT)
    available, committed, authority = (f"{code}.{GRANT}.TRY" for code in ("9010", "9020", "9030"))

    def move(debit: str, credit: str, amount: int) -> None:
        legs = [
            Leg(debit, amount, "M", grant_code=GRANT), Leg(credit, -amount, "M", grant_code=GRANT)
        ]  # fmt: skip
        record(books.conn, books.head("commitment"), legs)

    move(available, authority, 1000)
    move(committed, available, 1000)
    with pytest.raises(Refusal) as refused, refusals():
        move(committed, available, 1)
    assert refused.value.problem.code == "account_limit"
    assert refused.value.facts == {
        "account": available, "short_minor": 1, "short": "0.01 TRY", "currency": "TRY"
    }  # fmt: skip


def test_reversal_mirrors_its_entry_once(books: Books) -> None:
    first = record(books.conn, books.head(), RECEIVED)
    undo = books.head("correction", key="undo", by="Omar")
    done = reverse(books.conn, first.entry_ref, undo)
    books.conn.commit()
    assert balance(books.conn, FUND).balance_minor == 0
    assert reverse(books.conn, first.entry_ref, undo) == Recorded(done.entry_ref, already=True)
    with pytest.raises(Refusal, match="already_reversed"):
        reverse(books.conn, first.entry_ref, books.head())
    redone = reverse(books.conn, done.entry_ref, books.head("correction"))
    books.conn.commit()
    assert not redone.already
    assert balance(books.conn, FUND).balance_minor == 500
    assert verify(books.conn).sound


def test_reversal_follows_its_entry(books: Books) -> None:
    first = record(books.conn, books.head(), RECEIVED)
    with pytest.raises(Refusal, match="reversal_too_early"):
        reverse(books.conn, first.entry_ref, books.head(on=MARCH - timedelta(days=1)))
    with pytest.raises(Refusal, match="entry_unknown"):
        reverse(books.conn, "je_none", books.head())


def test_reversal_leaves_instructions_alone(books: Books) -> None:
    head = books.head()
    books.hold({"A1": 100})
    books.conn.commit()
    held = books.one("SELECT entry_ref FROM books.entry ORDER BY entry_id DESC LIMIT 1")
    assert isinstance(held, str)
    with pytest.raises(Refusal, match="transfers_not_reversed"):
        reverse(books.conn, held, head)


def test_reversal_cannot_breach_a_limit(books: Books) -> None:
    funded = books.one("SELECT min(entry_ref) FROM books.entry")
    assert isinstance(funded, str)
    books.hold({"A1": 1})
    with pytest.raises(Refusal) as refused, refusals():
        reverse(books.conn, funded, books.head("correction"))
    assert refused.value.problem.code == "account_limit"
    assert refused.value.facts["account"] == FLOAT


def test_entry_is_dated_no_later_than_it_is_recorded(books: Books) -> None:
    tomorrow = MARCH + timedelta(days=1)
    with pytest.raises(Refusal) as refused, refusals():
        record(books.conn, books.head(on=tomorrow, today=MARCH), RECEIVED)
    assert refused.value.problem.code == "entry_in_future"
    assert refused.value.facts["on"] == tomorrow.isoformat()
    books.conn.rollback()
    head, lines = replace(books.head(on=tomorrow), recorded_on=MARCH), books.lines({"A1": 5})
    with pytest.raises(Refusal, match="entry_in_future"), refusals():
        hold(books.conn, head, lines)


@pytest.mark.parametrize("dimension", ["programme", "cycle", "provider", "location"])
def test_expense_names_what_it_is_for(books: Books, dimension: str) -> None:
    name = {"programme": "programme_id", "cycle": "cycle_id"}.get(dimension, dimension)
    legs = [replace(leg(CASH, 5), **{name: None}), leg(BANK, -5)]
    with pytest.raises(Refusal) as refused, refusals():
        record(books.conn, books.head(), legs)
    assert refused.value.problem.code == "dimension_missing"
    assert (refused.value.facts["account"], refused.value.facts["dimension"]) == (CASH, dimension)


def test_transfer_names_what_its_accounts_ask_for(books: Books) -> None:
    source = sql.SQL(
        "SELECT d, c, a, m, g, p, NULL, v, l, r, w, e FROM ({}) s (d, c, a, m, g, p, y, v, l, r,"
        " w, e)"
    ).format(books.lines({"A1": 5}))
    with pytest.raises(Refusal) as refused, refusals():
        hold(books.conn, books.head(), source)
    assert refused.value.problem.code == "dimension_missing"
    assert (refused.value.facts["account"], refused.value.facts["dimension"]) == (CASH, "cycle")


def test_correction_names_its_original(books: Books) -> None:
    first = record(books.conn, books.head(), RECEIVED)
    head = replace(books.head("correction", key="set right"), corrects=first.entry_ref)
    assert isinstance(head, EntryHead)
    record(books.conn, head, RECEIVED)
    books.conn.commit()
    assert (
        books.one(
            "SELECT o.entry_ref FROM books.entry e JOIN books.entry o ON o.entry_id = e.corrects"
        )
        == first.entry_ref
    )
    with pytest.raises(Refusal, match="key_used_differently"):
        record(books.conn, replace(head, corrects=None), RECEIVED)
    with pytest.raises(Refusal, match="entry_unknown"):
        record(books.conn, replace(books.head(), corrects="je_none"), RECEIVED)
