"""Mass transfers from a stream: one entry, once, everything the database checks included."""

import tracemalloc
from collections.abc import Iterator

import pytest

from ledgers.balances import balance
from ledgers.bulk import Kind, Line, record_lines
from ledgers.chart import open_account
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.transfers import Moved
from ledgers.verification import verify
from ledgers.wallets import open_wallet
from tests.ledgers.conftest import CARDS, CASH, FLOAT, GRANT, MARCH, Books

LOADS = Kind(CARDS, FLOAT, GRANT, "pgm_1", "cyc_1", "HALK")
CASH_PAID = Kind(CASH, FLOAT, GRANT, "pgm_1", "cyc_1", "HALK")


@pytest.fixture
def loading(books: Books) -> Iterator[Books]:
    """The books with wallets 1 (Amina's) and 2 (Bilal's)."""
    open_account(books.conn, "1210", "TRY", MARCH, provider="HALK")
    assert [open_wallet(books.conn, w, provider="HALK", on=MARCH) for w in ("W-1", "W-2")] == [1, 2]
    books.conn.commit()
    yield books
    books.conn.rollback()
    assert verify(books.conn).sound


def load(loading: Books, *lines: Line, key: str = "loads", kind: Kind = LOADS) -> Moved:
    with refusals():
        moved = record_lines(loading.conn, loading.head(key=key), kind, lines)
        loading.conn.commit()
    return moved


AMINA, BILAL = Line(300, 1, "TR-63", "L1"), Line(450, 2, "TR-27", "L2")


def test_lines_are_transfers_of_one_entry_in_their_order(loading: Books) -> None:
    assert load(loading, AMINA, BILAL, AMINA._replace(instruction_ref=None)) == Moved(3, 1_050)
    rows = loading.conn.execute(
        "SELECT line_no, phase, d.code, k.code, wallet_id, amount_minor, t.currency, t.grant_code,"
        " programme_id, cycle_id, t.provider, location, instruction_ref"
        " FROM books.transfer t JOIN books.account d ON d.account_id = debit_account_id"
        " JOIN books.account k ON k.account_id = credit_account_id ORDER BY line_no"
    ).fetchall()
    common = ("TRY", GRANT, "pgm_1", "cyc_1", "HALK")
    assert rows == [
        (1, "single", CARDS, FLOAT, 1, 300, *common, "TR-63", "L1"),
        (2, "single", CARDS, FLOAT, 2, 450, *common, "TR-27", "L2"),
        (3, "single", CARDS, FLOAT, 1, 300, *common, "TR-63", None),
    ]
    assert balance(loading.conn, CARDS).balance_minor == 1_050


def test_a_list_takes_its_place_in_the_log_at_commit(loading: Books) -> None:
    load(loading, AMINA, BILAL)
    places = loading.one(
        "SELECT leaves FROM books.sealed_entry ORDER BY first_position DESC LIMIT 1"
    )
    assert places == 3


def test_the_same_list_again_changes_nothing(loading: Books) -> None:
    load(loading, AMINA, BILAL)
    assert load(loading, AMINA, BILAL) == Moved(2, 750, already=True)
    assert balance(loading.conn, CARDS).balance_minor == 750


@pytest.mark.parametrize(
    ("lines", "kind"),
    [
        ((AMINA, BILAL._replace(amount_minor=451)), LOADS),
        ((BILAL, AMINA), LOADS),
        ((AMINA,), LOADS),
        ((AMINA, BILAL), Kind(CARDS, FLOAT, GRANT, "pgm_2", "cyc_1", "HALK")),
    ],
)
def test_another_list_under_the_same_key_is_refused(
    loading: Books, lines: tuple[Line, ...], kind: Kind
) -> None:
    load(loading, AMINA, BILAL)
    with pytest.raises(Refusal, match="key_used_differently"):
        load(loading, *lines, kind=kind)


def test_an_empty_list_records_nothing_and_claims_no_key(loading: Books) -> None:
    assert load(loading) == Moved(0, 0)
    assert load(loading, AMINA) == Moved(1, 300)


def test_names_with_signs_of_the_format_arrive_as_they_are(loading: Books) -> None:
    names = ["a\tb", "c\nd", "e\\N", "f\rg", "\\.", "g\bh", "i\fj", "k\vl", "حلب"]
    lines = [Line(1, 1, name, name) for name in names]
    load(loading, *lines)
    rows = loading.conn.execute(
        "SELECT location, instruction_ref FROM books.transfer ORDER BY line_no"
    ).fetchall()
    assert rows == [(name, name) for name in names]
    assert load(loading, *lines) == Moved(9, 9, already=True)


@pytest.mark.parametrize("minor", [0, -5])
def test_an_amount_that_is_not_above_zero_is_refused(loading: Books, minor: int) -> None:
    with pytest.raises(Refusal, match="amount_unfit") as refused:
        load(loading, AMINA, Line(minor, 2, "TR-27", "L2"))
    assert refused.value.facts == {"instruction": "L2"}


@pytest.mark.parametrize(
    ("line", "kind", "code"),
    [
        (AMINA, Kind("1210.ZIRAAT.TRY", FLOAT, GRANT), "account_unknown"),
        (AMINA._replace(amount_minor=1_000_001), LOADS, "account_limit"),
        (AMINA._replace(wallet_id=None), LOADS, "wallet_missing"),
        (AMINA._replace(wallet_id=3), LOADS, "wallet_unknown"),
        (AMINA, CASH_PAID, "wallet_unfit"),
        (AMINA._replace(location=None, wallet_id=None), CASH_PAID, "dimension_missing"),
    ],
)
def test_what_does_not_fit_refuses_the_whole_list(
    loading: Books, line: Line, kind: Kind, code: str
) -> None:
    with pytest.raises(Refusal, match=code):
        load(loading, *([BILAL] if kind is LOADS else []), line, kind=kind)
    loading.conn.rollback()
    assert loading.one("SELECT count(*) FROM books.transfer") == 0


def test_a_long_stream_is_never_held_in_memory(loading: Books) -> None:
    loading.fund(10_000_000)
    loading.conn.commit()
    lines = (Line(100, 1 + n % 2, "TR-63", f"L{n}") for n in range(60_000))
    tracemalloc.start()
    moved = record_lines(loading.conn, loading.head(), LOADS, lines)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert moved == Moved(60_000, 6_000_000)
    assert peak < 8_000_000
    loading.conn.rollback()
