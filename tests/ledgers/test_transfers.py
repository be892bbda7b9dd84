"""Holds reserve, are resolved once, and a repetition changes nothing."""

from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from ledgers.balances import AccountBalance, balance
from ledgers.chart import open_account
from ledgers.expiry import expire
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.transfers import Moved, Settled, hold, settle, transfer
from ledgers.verification import verify
from tests.ledgers.conftest import CASH, FLOAT, GRANT, MARCH, TRANSFER, Books, values


def sums(account: AccountBalance) -> tuple[int, int, int]:
    return account.balance_minor, account.pending_minor, account.available_minor


def test_hold_reserves_and_moves_nothing(books: Books) -> None:
    assert books.hold({"A1": 300, "A2": 700}) == Moved(2, 1000)
    books.conn.commit()
    assert sums(balance(books.conn, FLOAT)) == (1_000_000, -1000, 999_000)
    assert sums(balance(books.conn, CASH)) == (0, 1000, 0)


def test_settlement_posts_voids_and_releases_the_rest(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700, "A3": 500, "A4": 100})
    settled = books.settle({"A1": 300, "A2": 650, "A3": 0})
    books.conn.commit()
    assert settled == Settled(2, 950, 1, 500, 550)
    assert sums(balance(books.conn, FLOAT)) == (999_050, -100, 998_950)
    assert sums(balance(books.conn, CASH)) == (950, 100, 950)
    assert verify(books.conn).sound


def test_leaves_of_a_mass_entry_are_those_of_its_lines(books: Books) -> None:
    """From 20,000 lines on two processes make them; `verify` makes them anew, in its own way."""
    plan = {f"A{number:05}": 10 for number in range(20_000)}
    books.hold(plan)
    books.conn.commit()
    books.settle(plan | {"A00007": 0, "A19999": 4})
    books.conn.commit()
    assert books.one("SELECT min(leaves) FROM books.sealed_entry WHERE leaves > 2") == 20_001
    assert verify(books.conn).sound


def test_return_moves_money_back(books: Books) -> None:
    books.hold({"A1": 300})
    books.settle({"A1": 300})
    assert books.give_back({"A1": 120}) == Moved(1, 120)
    books.conn.commit()
    assert balance(books.conn, FLOAT).balance_minor == 1_000_000 - 180
    assert verify(books.conn).sound


def test_repetition_in_any_order_changes_nothing(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700}, key="plan 1")
    books.settle({"A1": 300, "A2": 0}, key="report 1")
    books.conn.commit()
    before = balance(books.conn, FLOAT)
    assert books.hold({"A2": 700, "A1": 300}, key="plan 1") == Moved(2, 1000, already=True)
    again = books.settle({"A2": 0, "A1": 300}, key="report 1")
    assert again == Settled(1, 300, 1, 700, 700, already=True)
    assert balance(books.conn, FLOAT) == before
    assert books.one("SELECT count(*) FROM books.entry") == 3


def test_same_key_with_another_list_is_refused(books: Books) -> None:
    books.hold({"A1": 300}, key="plan 1")
    books.settle({"A1": 300}, key="report 1")
    for other in ({"A1": 301}, {"A2": 300}, {"A1": 300, "A2": 1}, {"A1": -1}):
        with pytest.raises(Refusal, match="key_used_differently"):
            books.hold(other, key="plan 1")
    with pytest.raises(Refusal, match="key_used_differently"):
        books.settle({"A1": 299}, key="report 1")


def test_hold_and_transfer_of_the_same_list_are_two_things(books: Books) -> None:
    books.hold({"A1": 300}, key="plan 1")
    head = books.head(key="plan 1")
    with pytest.raises(Refusal, match="key_used_differently"):
        transfer(books.conn, head, books.lines({"A1": 300}))


def test_empty_list_records_nothing(books: Books) -> None:
    assert books.hold({}, key="plan 1") == Moved(0, 0)
    assert books.settle({}) == Settled(0, 0, 0, 0, 0)
    assert books.hold({"A1": 300}, key="plan 1") == Moved(1, 300)


def test_hold_counts_against_the_limit(books: Books) -> None:
    books.hold({"A1": 600_000})
    books.conn.commit()
    with pytest.raises(Refusal) as refused, refusals():
        books.hold({"A2": 400_000, "A3": 1})
    assert refused.value.facts == {
        "account": FLOAT, "short_minor": 1, "short": "0.01 TRY", "currency": "TRY"
    }  # fmt: skip
    books.conn.rollback()
    books.settle({"A1": 0})
    assert books.hold({"A2": 1_000_000}) == Moved(1, 1_000_000)


@pytest.mark.parametrize(
    ("amounts", "code"),
    [
        ({"A1": 300, "B9": 5}, "hold_unknown"),
        ({"A1": 301}, "hold_exceeded"),
        ({"A1": -1}, "amount_unfit"),
        ({"A2": 0}, "hold_already_resolved"),
        ({"A2": 700}, "hold_already_resolved"),
    ],
)
def test_settlement_that_does_not_fit_is_refused(
    books: Books, amounts: dict[str, int], code: str
) -> None:
    books.hold({"A1": 300, "A2": 700})
    books.settle({"A2": 700})
    with pytest.raises(Refusal) as refused:
        books.settle(amounts)
    assert refused.value.problem.code == code
    assert books.one("SELECT count(*) FROM books.transfer") == 3


def test_instruction_is_named_once(books: Books) -> None:
    books.hold({"A1": 300})
    twice = values([("A1", 100), ("A1", 200)], "text bigint")
    with pytest.raises(Refusal, match="instruction_twice"):
        settle(books.conn, books.head(), twice)
    with pytest.raises(Refusal, match="instruction_held_twice"):
        books.hold({"A1": 300})


def test_list_of_two_currencies_is_refused(books: Books) -> None:
    dollars = open_account(books.conn, "1010", "USD", MARCH)
    spent = open_account(books.conn, "5010", "USD", MARCH)
    rest = (GRANT, "pgm_1", "cyc_1", "HALK", "TR-63")
    rows = [
        (spent, dollars, 5, "USD", *rest, "D1", None, None),
        (spent, dollars, 5, "TRY", *rest, "D2", None, None),
    ]
    source = values(rows, TRANSFER)
    with pytest.raises(Refusal, match="currencies_mixed"):
        hold(books.conn, books.head(), source)
    with pytest.raises(Refusal) as refused, refusals():
        hold(books.conn, books.head(), values(rows[1:], TRANSFER))
    assert refused.value.problem.code == "account_unfit"


def test_amount_of_zero_is_no_transfer(books: Books) -> None:
    with pytest.raises(Refusal, match="amount_unfit"):
        books.hold({"A1": 300, "A2": 0})
    with pytest.raises(Refusal, match="amount_unfit"):
        transfer(books.conn, books.head(), books.lines({"A1": -5}))
    with pytest.raises(Refusal, match="instruction A2 is missing or too low"):
        books.hold({"A1": 300, "A2": None})


def test_sources_take_the_parameters_of_their_caller(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700})
    source = sql.SQL("SELECT * FROM ({}) AS s (ref, amount) WHERE ref = %(ref)s").format(
        values([("A1", 300), ("A2", 700)], "text bigint")
    )
    assert settle(books.conn, books.head(), source, {"ref": "A2"}) == Settled(1, 700, 0, 0, 0)


# --- holds with a stated term ---------------------------------------------------------------------


LAST = MARCH + timedelta(days=5)
DAY = timedelta(days=1)


def settle_on(books: Books, day: int, amounts: dict[str, int]) -> Settled:
    head = books.head("load_settled", on=LAST + day * DAY)
    return settle(books.conn, head, values(list(amounts.items()), "text bigint"))


def expire_on(books: Books, day: int, key: str = "") -> Moved:
    return expire(books.conn, books.head("load_expired", on=LAST + day * DAY, key=key))


def test_hold_is_given_free_after_its_term(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700}, until=LAST)
    books.hold({"A3": 40}, until=LAST + DAY)
    assert expire_on(books, 0) == Moved(0, 0)
    assert sums(balance(books.conn, FLOAT)) == (1_000_000, -1040, 998_960)
    assert expire_on(books, 1) == Moved(2, 1000)
    books.conn.commit()
    assert sums(balance(books.conn, FLOAT)) == (1_000_000, -40, 999_960)
    assert verify(books.conn).sound
    assert expire_on(books, 1) == Moved(0, 0)


def test_hold_without_a_term_never_ends_by_the_clock(books: Books) -> None:
    books.hold({"A1": 300})
    assert expire_on(books, 300_000) == Moved(0, 0)
    assert sums(balance(books.conn, FLOAT)) == (1_000_000, -300, 999_700)
    assert settle_on(books, 300_000, {"A1": 300}) == Settled(1, 300, 0, 0, 0)


def test_hold_is_posted_until_the_last_day_of_its_term_and_voided_any_day(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700, "A3": 40}, until=LAST)
    with pytest.raises(Refusal) as refused:
        settle_on(books, 1, {"A1": 300, "A2": 0})
    assert (refused.value.problem.code, refused.value.facts) == (
        "hold_expired", {"instruction": "A1"},
    )  # fmt: skip
    assert settle_on(books, 0, {"A1": 300}) == Settled(1, 300, 0, 0, 0)
    assert settle_on(books, 1, {"A2": 0}) == Settled(0, 0, 1, 700, 700)
    assert expire_on(books, 1) == Moved(1, 40)
    with pytest.raises(Refusal, match="hold_already_resolved"):
        settle_on(books, 1, {"A3": 40})


def test_money_that_expired_is_free_again(books: Books) -> None:
    books.hold({"A1": 1_000_000}, until=LAST)
    expire_on(books, 1)
    assert books.hold({"A2": 1_000_000}) == Moved(1, 1_000_000)


def test_key_of_another_entry_expires_nothing(books: Books) -> None:
    books.hold({"A1": 300}, key="plan 1", until=LAST)
    with pytest.raises(Refusal, match="key_used_differently"):
        expire_on(books, 1, key="plan 1")
    assert expire_on(books, 1, key="term 1") == Moved(1, 300)
    books.hold({"A2": 40}, until=LAST)
    with pytest.raises(Refusal, match="key_used_differently"):
        expire_on(books, 1, key="term 1")


@pytest.mark.parametrize(
    ("phase", "held", "until", "day", "code"),
    [
        ("expired", "A1", None, 400, "hold_not_expired"),
        ("expired", "A1", LAST, 0, "hold_not_expired"),
        ("posted", "A1", LAST, 1, "hold_expired"),
    ],
)
def test_raw_sql_cannot_end_or_outlive_a_term(
    books: Books, phase: str, held: str, until: object, day: int, code: str
) -> None:
    books.hold({held: 300}, until=until)
    head = books.head(on=LAST + day * DAY)
    with pytest.raises(Refusal) as refused, refusals():
        resolve_raw(books.conn, head, phase)
    assert refused.value.problem.code == code


def test_raw_sql_expires_all_of_a_hold(books: Books) -> None:
    books.hold({"A1": 300}, until=LAST)
    books.conn.commit()
    for amount, held, code in ((299, 300, "hold_changed"), (300, 299, "hold_changed")):
        with pytest.raises(Refusal) as refused, refusals():
            resolve_raw(books.conn, books.head(on=LAST + DAY), "expired", amount, held)
        assert refused.value.problem.code == code
        books.conn.rollback()
    resolve_raw(books.conn, books.head(on=LAST + DAY), "expired")
    books.conn.commit()
    assert verify(books.conn).sound


def resolve_raw(
    conn: psycopg.Connection, head: object, phase: str, amount: int = 300, held: int = 300
) -> None:
    """Resolve the hold A1 as somebody would who types SQL."""
    conn.execute(
        "WITH e AS (INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on,"
        " recorded_on, recorded_by, reason) VALUES (%(ref)s, %(ref)s, sha256(''), 'raw', %(on)s,"
        " %(on)s, 'Sam', 'raw') RETURNING entry_id)"
        " INSERT INTO books.transfer (entry_id, line_no, phase, debit_account_id,"
        " credit_account_id, amount_minor, held_minor, currency, grant_code, programme_id,"
        " cycle_id, provider, location, instruction_ref, pending_id)"
        " SELECT e.entry_id, 1, %(phase)s, p.debit_account_id, p.credit_account_id, %(amount)s,"
        " %(held)s, currency, grant_code, programme_id, cycle_id, provider, location,"
        " instruction_ref, p.transfer_id FROM e, books.transfer p WHERE p.phase = 'pending'",
        {"ref": head.entry_ref, "on": head.effective_on, "phase": phase, "amount": amount,
         "held": held},
    )  # fmt: skip
