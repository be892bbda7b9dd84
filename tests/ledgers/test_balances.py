"""Balances equal those of a small model, now, on a day and as known at a moment."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledgers.balances import _DAYS, RegisterLine, balance, register, trial_balance
from ledgers.chart import open_account
from ledgers.closing import close_year
from ledgers.entries import record, reverse
from ledgers.moments import wait_for_writers
from ledgers.problems import Refusal
from ledgers.recording import Occasion
from ledgers.refusals import refusals
from ledgers.verification import verify
from tests.databases import Database
from tests.ledgers.conftest import BANK, CASH, FLOAT, FUND, MARCH, Books, leg


def day(number: int) -> date:
    return MARCH + timedelta(days=number)


def test_trial_balance_on_a_day_sees_entries_effective_by_then(books: Books) -> None:
    legs = [leg(CASH, 50), leg(BANK, -50)]
    record(books.conn, books.head("bank_charge", on=day(5)), legs)
    books.conn.commit()
    early = {row.code: row.balance_minor for row in trial_balance(books.conn, on=day(4))}
    now = {row.code: row.balance_minor for row in trial_balance(books.conn)}
    assert early == {BANK: -1_000_000, FLOAT: 1_000_000, "2010.IOM-MPCA.TRY": 0, CASH: 0}
    assert now == {**early, BANK: -1_000_050, CASH: 50}
    assert trial_balance(books.conn, on=day(5)) == trial_balance(books.conn)


def test_what_was_known_then_does_not_change(books: Books) -> None:
    known = books.one("SELECT clock_timestamp()")
    books.conn.commit()
    legs = [leg(CASH, 50), leg(FLOAT, -50)]
    record(books.conn, books.head("late_load", on=day(-1)), legs)
    books.conn.commit()
    assert balance(books.conn, FLOAT, on=day(0), as_known_at=known).balance_minor == 1_000_000
    assert balance(books.conn, FLOAT, on=day(0)).balance_minor == 999_950
    assert balance(books.conn, FLOAT, on=day(-1)).balance_minor == -50


def test_what_was_on_its_way_at_the_moment_is_waited_for(books: Books, database: Database) -> None:
    def told() -> list[tuple[str, int]]:
        with database.connect() as reader:
            wait_for_writers(reader, known, patience_seconds=0)
            reader.commit()
            assert [line.entry_ref for line in register(reader, FLOAT, as_known_at=known)] == seen
            return [(row.code, row.balance_minor) for row in trial_balance(reader, None, known)]

    late = record(books.conn, books.head("load_settled"), [leg(CASH, 50), leg(FLOAT, -50)])
    (known,) = database.connect().execute("SELECT clock_timestamp()").fetchone()
    seen = ["je_" + "1".zfill(26), late.entry_ref]
    with pytest.raises(Refusal, match="moment_unsettled"):
        told()
    books.conn.commit()
    first = told()
    assert (FLOAT, 999_950) in first

    open_account(books.conn, "5140", "TRY", MARCH)
    record(books.conn, books.head("bank_charged"), [leg("5140.TRY", 7), leg(FLOAT, -7)])
    books.conn.commit()
    assert told() == first


def test_waiting_ends_with_the_writers_of_the_moment_and_not_with_later_ones(
    books: Books, database: Database
) -> None:
    record(books.conn, books.head("load_settled"), [leg(CASH, 50), leg(FLOAT, -50)])
    reader, other, watcher = database.connect(), database.connect(), database.connect()
    watcher.autocommit = True
    (known,) = reader.execute("SELECT clock_timestamp()").fetchone()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait_for_writers, reader, known)
        while not watcher.execute(
            "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'",
            [reader.info.backend_pid],
        ).rowcount:
            assert not waiting.done()
        later = replace(Books(other).head("load_settled", key="later"), entry_ref="je_" + "9" * 26)
        record(other, later, [leg(BANK, 5), leg(FUND, -5)])
        books.conn.commit()
        waiting.result(timeout=60)
    other.rollback()


def test_moment_to_come_is_refused(books: Books) -> None:
    (soon,) = books.conn.execute("SELECT clock_timestamp() + interval '1 hour'").fetchone()
    with pytest.raises(Refusal, match="moment_ahead"):
        wait_for_writers(books.conn, soon)


def test_days_totals_say_what_the_log_says(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700})
    books.settle({"A1": 300, "A2": 600})
    for number in (-3, 5, 5, 9):
        legs = [leg(CASH, 50 + number), leg(FLOAT, -50 - number)]
        record(books.conn, books.head("late_load", on=day(number)), legs)
    books.conn.commit()
    for number in range(-4, 11):
        posted = [(row.code, row.balance_minor) for row in trial_balance(books.conn, day(number))]
        fast = trial_balance(books.conn, day(number), holds=False)
        assert [(row.code, row.balance_minor) for row in fast] == posted
        assert {row.pending_minor for row in fast} == {0}
        one = balance(books.conn, FLOAT, day(number), holds=False)
        assert one in fast
    assert verify(books.conn).sound


def test_balance_on_a_day_reads_days_and_no_lines(books: Books) -> None:
    rows = books.conn.execute("EXPLAIN " + _DAYS, {"code": FLOAT, "on": day(1)}).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert "day_total" in plan
    assert "transfer" not in plan
    assert "leg" not in plan


def test_register_runs_in_order_of_days(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700})
    books.settle({"A1": 300, "A2": 700})
    late = [leg(FLOAT, 5), leg(BANK, -5)]
    record(books.conn, books.head("float_credited", on=day(-1)), late)
    books.conn.commit()
    lines = list(register(books.conn, FLOAT))
    assert [(line.event, line.lines, line.running_minor) for line in lines] == [
        ("float_credited", 1, 5),
        ("float_credited", 1, 1_000_005),
        ("load_settled", 2, 999_005),
    ]
    assert isinstance(lines[0], RegisterLine)
    assert [line.running_minor for line in register(books.conn, CASH)] == [1000]


def test_register_of_some_days_of_a_programme_without_the_close(books: Books) -> None:
    for number, programme, minor in ((1, "pgm_1", 30), (2, "pgm_2", 500), (9, "pgm_1", 70)):
        spent = replace(leg(CASH, minor), programme_id=programme)
        head = books.head("load_settled", on=day(number))
        record(books.conn, head, [spent, replace(leg(FLOAT, -minor), programme_id=programme)])
    year = Occasion(day(20), day(20), "Deniz", "the year")
    (closed,) = close_year(books.conn, day(20), year, lambda: books.head().entry_ref)

    def seen(**asked: object) -> list[tuple[str, int]]:
        return [(line.event, line.running_minor) for line in register(books.conn, CASH, **asked)]

    assert seen() == [
        ("load_settled", 30), ("load_settled", 530), ("load_settled", 600), ("period_closed", 0)
    ]  # fmt: skip
    assert seen(programmes=["pgm_1"]) == [
        ("load_settled", 30), ("load_settled", 100), ("period_closed", 0)
    ]  # fmt: skip
    of_one = {"programmes": ["pgm_1"], "closing": False}
    assert seen(**of_one) == [("load_settled", 30), ("load_settled", 100)]
    reverse(books.conn, closed.entry_ref, books.head("reversal", on=day(21)))
    assert seen(**of_one) == [("load_settled", 30), ("load_settled", 100)]
    assert seen(first=day(2), last=day(9)) == [("load_settled", 530), ("load_settled", 600)]


@pytest.mark.parametrize("ask", [balance, register])
def test_unknown_account_is_said(books: Books, ask: object) -> None:
    assert callable(ask)
    with pytest.raises(Refusal, match="account_unknown"):
        ask(books.conn, "1110.NOBODY.TRY")


class Model:
    """The books in a page of Python: what is posted, what is on hold, what has been resolved."""

    def __init__(self) -> None:
        self.posted: Counter[str] = Counter({FLOAT: 1000})
        self.holds: dict[str, int] = {}
        self.known: set[str] = set()

    @property
    def available(self) -> int:
        return self.posted[FLOAT] - sum(self.holds.values())

    def hold(self, amounts: dict[str, int]) -> str:
        if self.known & amounts.keys():
            return "instruction_held_twice"
        if sum(amounts.values()) > self.available:
            return "account_limit"
        self.holds |= amounts
        self.known |= amounts.keys()
        return ""

    def settle(self, amounts: dict[str, int]) -> str:
        if amounts.keys() - self.known:
            return "hold_unknown"
        if amounts.keys() - self.holds.keys():
            return "hold_already_resolved"
        if any(amount > self.holds[ref] for ref, amount in amounts.items()):
            return "hold_exceeded"
        for ref, amount in amounts.items():
            del self.holds[ref]
            self.posted[FLOAT] -= amount
            self.posted[CASH] += amount
        return ""

    def give_back(self, amounts: dict[str, int]) -> str:
        self.posted[FLOAT] += sum(amounts.values())
        self.posted[CASH] -= sum(amounts.values())
        return ""


REFS = st.sampled_from([f"R{number}" for number in range(6)])
ABOVE_ZERO = st.dictionaries(REFS, st.integers(1, 400), min_size=1, max_size=4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), ABOVE_ZERO),
        st.tuples(st.just("settle"), st.dictionaries(REFS, st.integers(0, 400), min_size=1)),
        st.tuples(st.just("give_back"), ABOVE_ZERO),
    ),
    max_size=12,
)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_books_agree_with_the_model(app: psycopg.Connection, steps: list) -> None:
    with app.transaction(force_rollback=True):
        open_account(app, "1110", "TRY", MARCH, provider="HALK")
        for code in ("5010", "1010"):
            open_account(app, code, "TRY", MARCH)
        books, model = Books(app), Model()
        books.fund(1000)
        for verb, amounts in steps:
            said = ""
            try:
                with refusals(), app.transaction():
                    getattr(books, verb)(amounts)
            except Refusal as refusal:
                said = refusal.problem.code
            assert said == getattr(model, verb)(amounts)
            reached = balance(app, FLOAT)
            assert reached.balance_minor == model.posted[FLOAT]
            assert reached.available_minor == model.available
            assert balance(app, CASH).balance_minor == model.posted[CASH]
        assert verify(app).sound
