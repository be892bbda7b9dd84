"""A hot account in stripes: many write at once, and its limit stays exact."""

import psycopg
import pytest

from ledgers.balances import balance
from ledgers.chart import STRIPES_OF_HOT, open_account
from ledgers.entries import record
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.transfers import Moved, hold, settle, transfer
from ledgers.verification import verify
from tests.databases import Database
from tests.ledgers.at_once import at_once, head
from tests.ledgers.conftest import CASH, FLOAT, GRANT, MARCH, Books, leg, values

AVAILABLE, COMMITTED, AUTHORITY, SPENT = (
    f"{code}.{GRANT}.TRY" for code in ("9010", "9020", "9030", "9040")
)


def single(conn: psycopg.Connection, number: int, amount: int) -> Moved:
    """One transfer of an entry of its own: it takes the stripe of its connection."""
    lines = Books(conn).lines({f"S{number}": amount})
    with refusals():
        return transfer(conn, head(number, f"single {number}"), lines)


def stripes(books: Books, code: str = FLOAT) -> list[tuple[int, int]]:
    """What each stripe has to itself, and what it was lent."""
    return books.conn.execute(
        "SELECT books.available(normal_side, posted_debit, posted_credit, pending_debit,"
        " pending_credit), lent FROM books.balance JOIN books.account USING (account_id)"
        " WHERE code = %s ORDER BY stripe",
        [code],
    ).fetchall()


def test_hot_account_has_stripes_that_start_even(books: Books) -> None:
    found = stripes(books)
    assert len(found) == STRIPES_OF_HOT
    assert {own + lent for own, lent in found} == {1_000_000 // STRIPES_OF_HOT}
    assert sum(lent for _, lent in found) == 0


def test_single_entry_takes_one_stripe_while_that_has_enough(books: Books) -> None:
    before = stripes(books)
    single(books.conn, 1, 1_000)
    after = stripes(books)
    assert sorted(a[0] - b[0] for a, b in zip(after, before, strict=True)) == [-1_000] + [0] * 15
    assert [lent for _, lent in after] == [lent for _, lent in before]


def test_exhausted_stripe_deals_out_and_the_last_coin_is_spent(books: Books) -> None:
    single(books.conn, 1, 999_999)
    shares = sorted(own + lent for own, lent in stripes(books))
    assert shares == [0] * 15 + [1]
    single(books.conn, 2, 1)
    assert {own + lent for own, lent in stripes(books)} == {0}
    books.conn.commit()
    with pytest.raises(Refusal) as refused:
        single(books.conn, 3, 1)
    assert (refused.value.problem.code, refused.value.facts) == (
        "account_limit",
            {"account": FLOAT, "short": "0.01 TRY", "short_minor": 1, "currency": "TRY"},
    )  # fmt: skip
    books.conn.rollback()
    assert verify(books.conn).sound


def test_batch_finds_what_singles_left_and_singles_what_a_batch_left(books: Books) -> None:
    single(books.conn, 1, 60_000)
    assert books.hold({"B1": 400_000, "B2": 540_000}) == Moved(2, 940_000)
    books.conn.commit()
    with pytest.raises(Refusal, match="account_limit"):
        single(books.conn, 2, 1)
    books.conn.rollback()
    books.settle({"B1": 399_999})
    single(books.conn, 3, 1)
    books.conn.commit()
    assert balance(books.conn, FLOAT).available_minor == 0
    assert verify(books.conn).sound


def test_money_put_on_one_stripe_is_there_for_all(books: Books, database: Database) -> None:
    books.hold({"B1": 500_000, "B2": 500_000})
    books.conn.commit()
    transfer(books.conn, books.head(), books.lines({"R1": 16}, debit=FLOAT, credit=CASH))
    books.conn.commit()
    ends = at_once(database, 16, lambda conn, number: single(conn, number, 1))
    assert ends == ["done"] * 16
    assert balance(books.conn, FLOAT).available_minor == 0


@pytest.mark.parametrize(("writers", "each"), [(8, 300_000), (8, 125_000), (200, 7_000)])
def test_limit_is_exact_under_parallel_singles(
    books: Books, database: Database, writers: int, each: int
) -> None:
    ends = at_once(database, writers, lambda conn, number: single(conn, number, each))
    fit = min(writers, 1_000_000 // each)
    assert sorted(ends) == ["account_limit"] * (writers - fit) + ["done"] * fit
    assert balance(books.conn, FLOAT).available_minor == 1_000_000 - fit * each
    assert verify(books.conn).sound


def test_batches_against_singles_never_pass_the_limit(books: Books, database: Database) -> None:
    def act(conn: psycopg.Connection, number: int) -> None:
        if number % 3:
            single(conn, number, 50_000)
        else:
            lines = Books(conn).lines({f"B{number}": 60_000, f"C{number}": 40_000})
            hold(conn, head(number, f"batch {number}"), lines)

    ends = at_once(database, 24, act)
    gone = sum((100_000, 50_000, 50_000)[n % 3] for n, end in enumerate(ends) if end == "done")
    assert set(ends) == {"account_limit", "done"}
    assert balance(books.conn, FLOAT).available_minor == 1_000_000 - gone
    assert gone > 1_000_000 - 50_000
    assert verify(books.conn).sound


def test_200_approvals_and_releases_never_pass_grant_or_float(
    books: Books, database: Database
) -> None:
    """Each commits budget and puts the money on hold; the grant covers 80, the float 100."""
    for code in ("9010", "9020", "9030", "9040"):
        open_account(books.conn, code, "TRY", MARCH, grant=GRANT)
    budget = [leg(AVAILABLE, 800_000, "M"), leg(AUTHORITY, -800_000, "M")]
    record(books.conn, books.head("budget_allotted"), budget)
    books.conn.commit()

    def approve_and_release(conn: psycopg.Connection, number: int) -> None:
        legs = [leg(COMMITTED, 10_000, "M"), leg(AVAILABLE, -10_000, "M")]
        record(conn, head(2 * number, f"approve {number}"), legs)
        lines = Books(conn).lines({f"R{number}": 10_000})
        hold(conn, head(2 * number + 1, f"release {number}"), lines)
        if number % 4 == 0:
            conn.commit()
            source = values([(f"R{number}", 10_000)], "text bigint")
            settle(conn, head(1000 + number, f"settle {number}"), source)

    ends = at_once(database, 200, approve_and_release)
    assert sorted(ends) == ["account_limit"] * 120 + ["done"] * 80
    sums = {code: balance(books.conn, code).balance_minor for code in (AVAILABLE, COMMITTED)}
    assert sums == {AVAILABLE: 0, COMMITTED: 800_000}
    assert balance(books.conn, AUTHORITY).balance_minor == 800_000
    assert balance(books.conn, FLOAT).available_minor == 200_000
    assert verify(books.conn).sound


def test_200_releases_never_pass_a_float_smaller_than_the_grant(
    books: Books, database: Database
) -> None:
    for code in ("9010", "9020", "9030"):
        open_account(books.conn, code, "TRY", MARCH, grant=GRANT)
    budget = [leg(AVAILABLE, 9_000_000, "M"), leg(AUTHORITY, -9_000_000, "M")]
    record(books.conn, books.head("budget_allotted"), budget)
    books.conn.commit()

    def approve_and_release(conn: psycopg.Connection, number: int) -> None:
        legs = [leg(COMMITTED, 30_000, "M"), leg(AVAILABLE, -30_000, "M")]
        record(conn, head(2 * number, f"approve {number}"), legs)
        hold(conn, head(2 * number + 1, f"release {number}"),
             Books(conn).lines({f"R{number}": 30_000}))  # fmt: skip

    ends = at_once(database, 200, approve_and_release)
    assert sorted(ends) == ["account_limit"] * 167 + ["done"] * 33
    assert balance(books.conn, COMMITTED).balance_minor == 33 * 30_000
    assert balance(books.conn, FLOAT).available_minor == 10_000
    assert verify(books.conn).sound
