"""A batch judged item by item: every item is answered, good ones are not lost for bad ones."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from ledgers.balances import balance
from ledgers.chart import close_account, open_account
from ledgers.entries import Leg, record
from ledgers.items import BURNING, Batch, Code, ItemResult, record_each, results
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.verification import verify
from ledgers.wallets import open_wallet
from tests.ledgers.conftest import BANK, FLOAT, GRANT, MARCH, Books, values

WALLETS, VOUCHERS = "1210.HALK.TRY", "5020.TRY"
TYPES = "int text text text text bigint text text text text text text text"


@dataclass(frozen=True)
class Item:
    """A redemption as a provider reports it: what a family spent from its wallet."""

    no: int
    key: str
    amount: int | None
    wallet: str | None = "amina"
    debit: str = VOUCHERS
    credit: str = WALLETS
    currency: str = "TRY"
    grant: str = GRANT
    programme: str | None = "pgm_1"
    cycle: str | None = "cyc_1"
    provider: str | None = "HALK"
    location: str | None = "TR-63"

    @property
    def row(self) -> tuple:
        return (
            self.no, self.key, self.debit, self.credit, self.wallet, self.amount, self.currency,
            self.grant, self.programme, self.cycle, self.provider, self.location, None,
        )  # fmt: skip


@pytest.fixture
def shop(books: Books) -> Iterator[Books]:
    """The books with a wallet of 1,000 kuruş for Amina and one of 500 for Bilal."""
    open_account(books.conn, "5020", "TRY", MARCH)
    open_account(books.conn, "1210", "TRY", MARCH, provider="HALK")
    for name, minor in (("amina", 1_000), ("bilal", 500)):
        number = open_wallet(books.conn, name, provider="HALK", on=MARCH)
        legs = [
            Leg(WALLETS, minor, grant_code=GRANT, provider="HALK", wallet_id=number),
            Leg(FLOAT, -minor, grant_code=GRANT, provider="HALK"),
        ]
        record(books.conn, books.head("load_confirmed"), legs)
    books.conn.commit()
    yield books
    books.conn.rollback()
    assert verify(books.conn).sound


def spend(shop: Books, *items: Item, key: str = "file 1") -> dict[str, tuple[str, str]]:
    source = values([item.row for item in items], TYPES)
    record_each(shop.conn, shop.head("redemption", key=key), source)
    shop.conn.commit()
    return {r.item_key: (str(r.code), r.fact) for r in results(shop.conn, key)}


def left(shop: Books) -> int:
    return balance(shop.conn, WALLETS).balance_minor


def test_good_items_are_recorded_and_bad_ones_answered(shop: Books) -> None:
    good = Item(1, "R1", 300)
    answers = spend(
        shop,
        good,
        replace(good, no=2, key="R2", debit="5999.TRY"),
        replace(good, no=3, key="R3", currency="USD"),
        replace(good, no=4, key="R4", wallet="nobody"),
        replace(good, no=5, key="R5", wallet=None),
        replace(good, no=6, key="R6", location=None),
        replace(good, no=7, key="R7", amount=0),
        replace(good, no=8, key="R8", amount=701),
        replace(good, no=9, key="R9", amount=700),
        replace(good, no=10, key="R10", credit=FLOAT),
        replace(good, no=11, key="R11", debit="9010.X.TRY"),
    )
    entry = answers.pop("R1")[1].split("/")[0]
    assert answers == {
        "R2": ("account_unknown", "5999.TRY"),
        "R3": ("account_unfit", VOUCHERS),
        "R4": ("wallet_unknown", ""),
        "R5": ("wallet_missing", ""),
        "R6": ("dimension_missing", "location"),
        "R7": ("amount_unfit", ""),
        "R8": ("account_limit", WALLETS),
        "R9": ("recorded", f"{entry}/2"),
        "R10": ("wallet_unfit", ""),
        "R11": ("account_unknown", "9010.X.TRY"),
    }
    assert left(shop) == 500


def test_the_same_batch_again_changes_nothing(shop: Books) -> None:
    first = spend(shop, Item(1, "R1", 300), Item(2, "R2", 900))
    source = values([Item(1, "R1", 300).row, Item(2, "R2", 900).row], TYPES)
    again = record_each(shop.conn, shop.head("redemption", key="file 1"), source)
    assert again == Batch(2, 1, 300, already=True)
    assert {r.item_key: (str(r.code), r.fact) for r in results(shop.conn, "file 1")} == first
    with pytest.raises(Refusal, match="batch_key_used_differently"):
        spend(shop, Item(1, "R1", 301))


def test_an_item_known_before_is_said_to_exist(shop: Books) -> None:
    spend(shop, Item(1, "R1", 300))
    answers = spend(
        shop, Item(1, "R1", 300), Item(2, "R2", 1), Item(3, "R2", 1), key="file 2"
    )  # fmt: skip
    assert answers["R1"] == ("exists", "")
    other = [ItemResult(3, "R2", Code.ITEM_REPEATED, "")]
    assert [r for r in results(shop.conn, "file 2") if r.item_no == 3] == other
    answers = spend(shop, Item(1, "R1", 301), Item(2, "R3", 1), key="file 3")
    assert answers["R1"] == ("exists_differently", "amount")
    assert left(shop) == 1_500 - 302


def test_what_was_refused_for_a_limit_stays_refused(shop: Books) -> None:
    assert spend(shop, Item(1, "R1", 1_001)) == {"R1": ("account_limit", WALLETS)}
    assert shop.one("SELECT count(*) FROM books.entry WHERE event = 'redemption'") == 0
    answers = spend(shop, Item(1, "R1", 5), Item(2, "R2", 5), key="file 2")
    assert answers["R1"] == ("already_refused", "")
    assert answers["R2"][0] == "recorded"


def test_what_was_refused_for_its_content_may_come_corrected(shop: Books) -> None:
    spend(shop, Item(1, "R1", 300, location=None))
    assert spend(shop, Item(1, "R1", 300), key="file 2")["R1"][0] == "recorded"
    assert set(BURNING) == {Code.ACCOUNT_CLOSED, Code.ACCOUNT_LIMIT}


def test_a_closed_account_takes_nothing(shop: Books) -> None:
    open_account(shop.conn, "5130", "TRY", MARCH)
    close_account(shop.conn, "5130.TRY", MARCH, recorded_by="Deniz", reason="no cash-out any more")
    shop.conn.commit()
    answers = spend(shop, Item(1, "R1", 10, debit="5130.TRY"))
    assert answers == {"R1": ("account_closed", "5130.TRY")}


def test_a_batch_needs_an_item_and_an_open_day(shop: Books) -> None:
    with pytest.raises(Refusal, match="batch_empty"):
        spend(shop)
    late = replace(shop.head("redemption"), recorded_on=MARCH.replace(day=1))
    with pytest.raises(Refusal, match="entry_in_future"), refusals():
        record_each(shop.conn, late, values([Item(1, "R1", 1).row], TYPES))
    shop.conn.rollback()
    assert shop.one("SELECT count(*) FROM books.item_batch") == 0


def test_items_fit_in_their_order(shop: Books) -> None:
    """A refund earlier in the file pays for what comes after it, and not the other way round."""
    refund = Item(2, "R2", 400, debit=WALLETS, credit=VOUCHERS)
    answers = spend(shop, Item(1, "R1", 1_300), refund, Item(3, "R3", 1_300), Item(4, "R4", 101))
    assert {key: code for key, (code, _) in answers.items()} == {
        "R1": "account_limit", "R2": "recorded", "R3": "recorded", "R4": "account_limit",
    }  # fmt: skip
    assert left(shop) == 600


AMOUNTS = st.lists(
    st.tuples(st.sampled_from(["amina", "bilal"]), st.integers(-400, 700).filter(bool)),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(spent=AMOUNTS)
def test_items_are_judged_as_one_after_the_other(shop: Books, spent: list[tuple[str, int]]) -> None:
    """The oracle: a purse for each family and one for all, asked item by item."""
    purses, expected = {"amina": 1_000, "bilal": 500}, []
    for wallet, amount in spent:
        fits = purses[wallet] - amount >= 0 and sum(purses.values()) - amount >= 0
        purses[wallet] -= amount if fits else 0
        expected.append("recorded" if fits else "account_limit")
    items = [
        Item(number, f"R{number}", amount, wallet)
        if amount > 0
        else Item(number, f"R{number}", -amount, wallet, debit=WALLETS, credit=VOUCHERS)
        for number, (wallet, amount) in enumerate(spent, 1)
    ]
    source = values([item.row for item in items], TYPES)
    with shop.conn.transaction(force_rollback=True):
        record_each(shop.conn, shop.head("redemption", key="file"), source)
        answers = {r.item_key: str(r.code) for r in results(shop.conn, "file")}
        stands = balance(shop.conn, WALLETS).balance_minor
        assert [answers[item.key] for item in items] == expected
        assert stands == sum(purses.values())


@pytest.mark.parametrize("table", ["item_batch", "item_refusal"])
def test_answers_are_permanent(shop: Books, owner: psycopg.Connection, table: str) -> None:
    spend(shop, Item(1, "R1", 1_001))
    shop.conn.commit()  # a reader would make TRUNCATE wait
    for attack in (f"DELETE FROM books.{table}", f"TRUNCATE books.{table} CASCADE"):
        with pytest.raises(psycopg.Error, match="append_only"):
            owner.execute(sql.SQL(attack))
        owner.rollback()
    assert BANK in {code for (code,) in shop.conn.execute("SELECT code FROM books.account")}


def test_key_of_another_entry_is_no_key_for_a_batch(shop: Books) -> None:
    head = shop.head("load_confirmed", key="one entry")
    legs = [Leg(BANK, 5, grant_code=GRANT), Leg(BANK, -5, grant_code=GRANT)]
    record(shop.conn, head, legs)
    with pytest.raises(Refusal, match="batch_key_used_differently"):
        spend(shop, Item(1, "t1", 100), key="one entry")
    shop.conn.rollback()
