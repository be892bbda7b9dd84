"""What exchanges and rates gained or lost: whole, per grant, and to the minor unit."""

from datetime import date, timedelta
from decimal import Decimal

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.balances import balance
from ledgers.entries import EntryHead, reverse
from ledgers.exchange import (
    Difference,
    Flow,
    allocate,
    differences,
    flows,
    left_minor,
    realised_minor,
    to_book_minor,
)
from ledgers.problems import Refusal
from ledgers.rates import Rate, Rates, rates_into, record_rate
from ledgers.recording import Occasion
from ledgers.revaluation import Policy, Valued, realise, realise_left, revalue
from tests.ledgers.stories import Stage

JAN = date(2026, 1, 31)
FEB = date(2026, 2, 28)
BANK = ("1010.USD", "1010", "ECHO", "USD")


def rate(on: date, value: str, base: str = "USD") -> Rate:
    return Rate("TCMB", base, "TRY", on, Decimal(value))


def test_item_is_valued_at_the_closing_rate() -> None:
    rates = Rates("TCMB", "TRY", [rate(date(2026, 1, 10), "38"), rate(JAN, "40")])
    moved = [Flow(*BANK, date(2026, 1, 10), 10000), Flow(*BANK, date(2026, 1, 12), -4000)]
    found = differences(moved, rates, JAN)
    assert found == [
        Difference("ECHO", "1010.USD", "USD", 6000, 228000, 240000, rate(JAN, "40"))
    ]  # fmt: skip
    assert found[0].gain_minor == 12000


def test_debt_that_grows_is_a_loss() -> None:
    rates = Rates("TCMB", "TRY", [rate(date(2026, 1, 30), "38"), rate(JAN, "40")])
    owed = [Flow("2040.HALK.USD", "2040", "ECHO", "USD", date(2026, 1, 30), -10000)]
    assert [found.gain_minor for found in differences(owed, rates, JAN)] == [-20000]


def test_advances_and_unearned_grants_keep_their_rate() -> None:
    rates = Rates("TCMB", "TRY", [rate(date(2026, 1, 30), "38"), rate(JAN, "40")])
    moved = [
        Flow(f"{code}.USD", code, "ECHO", "USD", date(2026, 1, 30), 10000)
        for code in ("1350", "2010", "5010")
    ]
    assert differences(moved, rates, JAN) == []


def test_valuing_without_a_rate_is_refused() -> None:
    with pytest.raises(Refusal, match="rate_unknown"):
        differences([Flow(*BANK, JAN, 1)], Rates("TCMB", "TRY", []), JAN)


def test_exchange_below_the_days_rate_is_a_realised_loss() -> None:
    rates = Rates("TCMB", "TRY", [rate(JAN, "38")])
    moved = [
        Flow("6010.USD", "6010", "ECHO", "USD", JAN, 10000),
        Flow("6010.TRY", "6010", "ECHO", "TRY", JAN, -379000),
        Flow("6010.TRY", "6010", "ECHO", "TRY", JAN, 5555, revaluation=True),
    ]
    assert realised_minor(moved, rates) == {"ECHO": -1000}


@given(
    bought=st.integers(1, 10**15),
    sold=st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 10**12), min_size=1),
)
def test_one_exchange_is_divided_among_grants_without_loss(bought: int, sold: dict) -> None:
    parts = allocate(bought, sold)
    assert sum(parts.values()) == bought
    for grant, minor in sold.items():
        assert abs(parts[grant] * sum(sold.values()) - minor * bought) < sum(sold.values())


DAYS = st.integers(0, 27)
FIRST = date(2026, 2, 1)
FLOWS = st.lists(st.tuples(DAYS, st.integers(-(10**9), 10**9)), max_size=20)


def daily_rates(values: list[int]) -> Rates:
    """A rate of the dollar for each day from the first, in thousandths of a lira."""
    days = [FIRST + timedelta(days=day) for day in range(len(values))]
    return Rates(
        "x", "TRY",
        [Rate("x", "USD", "TRY", day, Decimal(value) / 1000)
         for day, value in zip(days, values, strict=True)],
    )  # fmt: skip


@given(moved=FLOWS, values=st.lists(st.integers(1, 10**6), min_size=28, max_size=28))
def test_months_of_valuing_add_up_to_the_whole(
    moved: list[tuple[int, int]], values: list[int]
) -> None:
    rates = daily_rates(values)
    made = [Flow(*BANK, FIRST + timedelta(days=day), minor) for day, minor in moved]
    booked: dict[str, int] = {}
    for ends_on in (FIRST + timedelta(days=day) for day in (6, 13, 20, 27)):
        change = to_book_minor(differences(made, rates, ends_on), booked)
        booked = {grant: booked.get(grant, 0) + minor for grant, minor in change.items()}
    whole = {found.grant: found.gain_minor for found in differences(made, rates, ends_on)}
    assert booked == whole


@pytest.fixture
def stage(app: psycopg.Connection) -> Stage:
    """A hundred dollars of ECHO, and the rates of two months."""
    played = Stage(app, date(2026, 1, 10))
    for day, value in (("2026-01-10", "38"), ("2026-01-31", "40"), ("2026-02-28", "39.50")):
        record_rate(app, rate(date.fromisoformat(day), value), recorded_by="Deniz")
    played.give(
        [{"account": "1010.USD", "debit": "100.00", "credit": "-", "grant": "ECHO"},
         {"account": "2010.ECHO.USD", "debit": "-", "credit": "100.00", "grant": "ECHO"}]
    )  # fmt: skip
    return played


def value_month(stage: Stage, ends_on: date, policy: Policy, today: date | None = None) -> Valued:
    rates = rates_into(stage.conn, "TCMB", "TRY", ends_on)
    occasion = Occasion(ends_on, today or ends_on, "Deniz", "month end")
    return revalue(stage.conn, ["ECHO"], rates, occasion, stage.new_ref, policy)


def unrealised(stage: Stage) -> list[tuple[date, str, int]]:
    """Gains (below zero) and losses in the order they were booked."""
    return stage.conn.execute(
        "SELECT e.effective_on, a.code, l.amount_minor FROM books.leg l"
        " JOIN books.entry e USING (entry_id) JOIN books.account a USING (account_id)"
        " WHERE a.chart_code IN ('4041', '5311') ORDER BY l.entry_id, a.code"
    ).fetchall()


def test_months_accumulate(stage: Stage) -> None:
    for ends_on in (JAN, FEB):
        valued = value_month(stage, ends_on, Policy.CUMULATIVE)
        assert len(valued.recorded) == 1
        assert value_month(stage, ends_on, Policy.CUMULATIVE).recorded == ()
    assert unrealised(stage) == [(JAN, "4041.TRY", -20000), (FEB, "5311.TRY", 5000)]
    reasons = stage.conn.execute(
        "SELECT reason FROM books.entry WHERE event = 'currency_revalued' ORDER BY entry_id"
    ).fetchall()
    assert reasons == [
        ("month end: TCMB USD/TRY 2026-01-31 r1 40",),
        ("month end: TCMB USD/TRY 2026-02-28 r1 39.5",),
    ]  # fmt: skip


def test_month_is_taken_back_on_the_first_day_of_the_next(stage: Stage) -> None:
    first = JAN + timedelta(days=1)
    assert len(value_month(stage, JAN, Policy.REVERSING).recorded) == 1
    assert len(value_month(stage, JAN, Policy.REVERSING, today=first).recorded) == 1
    assert value_month(stage, JAN, Policy.REVERSING, today=first).recorded == ()
    assert len(value_month(stage, FEB, Policy.REVERSING).recorded) == 1
    assert unrealised(stage) == [
        (JAN, "4041.TRY", -20000), (first, "4041.TRY", 20000), (FEB, "4041.TRY", -15000)
    ]  # fmt: skip


@pytest.mark.parametrize("policy", Policy)
def test_both_policies_leave_the_same_position_at_month_end(stage: Stage, policy: Policy) -> None:
    value_month(stage, JAN, policy, today=FEB)
    value_month(stage, FEB, policy)
    on_position = [
        flow.amount_minor for flow in flows(stage.conn, ["ECHO"], FEB) if flow.account == "6010.TRY"
    ]
    assert sum(on_position) == 15000


def test_realised_difference_is_booked_once(stage: Stage) -> None:
    stage.play(
        "currency_exchanged",
        {"grant": "ECHO", "bank_reference": "ZB-1", "sold_currency": "USD",
         "bought_currency": "TRY", "sold": "10.00", "bought": "377.50"},
        None,
    )  # fmt: skip
    day = date(2026, 1, 10)
    rates = rates_into(stage.conn, "TCMB", "TRY", day)
    occasion = Occasion(day, day, "Deniz", "exchange")
    assert len(realise(stage.conn, ["ECHO"], rates, occasion, stage.new_ref)) == 1
    assert realise(stage.conn, ["ECHO"], rates, occasion, stage.new_ref) == ()
    assert balance(stage.conn, "5310.TRY").balance_minor == 250


def test_what_comes_in_late_is_valued_too(stage: Stage) -> None:
    value_month(stage, JAN, Policy.CUMULATIVE)
    facts = {"grant": "ECHO", "currency": "USD", "bank_reference": "ZB-2", "amount": "50.00",
             "receivable": "false"}  # fmt: skip
    stage.play("grant_received", facts, None)
    assert len(value_month(stage, JAN, Policy.CUMULATIVE).recorded) == 1
    assert unrealised(stage) == [(JAN, "4041.TRY", -20000), (JAN, "4041.TRY", -10000)]


def test_currency_that_left_is_realised_at_average_cost() -> None:
    rates = Rates(
        "TCMB", "TRY", [rate(date(2026, 1, 26), "38"), rate(JAN, "40"), rate(FEB, "39.5")]
    )
    first, transit = date(2026, 1, 26), ("1030.USD", "1030", "ECHO", "USD")
    moved = [
        Flow(*BANK, first, 10000), Flow(*BANK, first, -3000), Flow(*transit, first, 3000),
        Flow(*BANK, JAN, -4000),
    ]  # fmt: skip
    assert left_minor(moved, rates) == {"ECHO": 4000 * 2}
    gone = [*moved, Flow(*BANK, FEB, -3000), Flow(*transit, FEB, -3000)]
    assert left_minor(gone, rates) == {"ECHO": 4000 * 2 + 6000 * 3 // 2}
    overdrawn = [*moved, Flow(*BANK, FEB, -9000)]
    assert left_minor(overdrawn, rates) == {"ECHO": 4000 * 2 + 6000 * 3 // 2}


@given(moved=FLOWS, values=st.lists(st.integers(1, 10**6), min_size=28, max_size=28))
def test_all_is_realised_once_all_has_left_and_nothing_before(
    moved: list[tuple[int, int]], values: list[int]
) -> None:
    rates = daily_rates(values)
    made = [Flow(*BANK, FIRST + timedelta(days=day), minor) for day, minor in moved]
    came = [Flow(*BANK, flow.on, abs(flow.amount_minor)) for flow in made]
    assert set(left_minor(came, rates).values()) <= {0}
    last = FIRST + timedelta(days=27)
    gone = [*made, Flow(*BANK, last, -sum(flow.amount_minor for flow in made))]
    whole = {found.grant: found.gain_minor for found in differences(gone, rates, last)}
    assert left_minor(gone, rates) == whole


def differences_by_account(stage: Stage) -> dict[str, int]:
    return dict(
        stage.conn.execute(
            "SELECT a.code, sum(l.amount_minor)::bigint FROM books.leg l"
            " JOIN books.account a USING (account_id)"
            " WHERE a.chart_code IN ('4040', '4041', '5310', '5311') GROUP BY 1 ORDER BY 1"
        ).fetchall()
    )


def test_gain_moves_to_the_realised_once_the_dollars_are_spent(stage: Stage) -> None:
    value_month(stage, JAN, Policy.CUMULATIVE)
    stage.today = FEB
    facts = {"grant": "ECHO", "currency": "USD", "bank_reference": "ZB-3", "amount": "100.00"}
    stage.play("bank_charged", facts, None)
    value_month(stage, FEB, Policy.CUMULATIVE)
    rates = rates_into(stage.conn, "TCMB", "TRY", FEB)
    occasion = Occasion(FEB, FEB, "Deniz", "month end")
    assert len(realise_left(stage.conn, ["ECHO"], rates, occasion, stage.new_ref)) == 1
    assert realise_left(stage.conn, ["ECHO"], rates, occasion, stage.new_ref) == ()
    assert differences_by_account(stage) == {
        "4040.TRY": -15000,
        "4041.TRY": -5000,
        "5311.TRY": 5000,
    }


@pytest.mark.parametrize("policy", Policy)
def test_valuing_reversed_by_hand_is_no_exchange_and_is_made_again(
    stage: Stage, policy: Policy
) -> None:
    (entry,) = value_month(stage, JAN, policy).recorded
    head = EntryHead(
        stage.new_ref(), "undo", "reversal", JAN, "Deniz", "wrong source", recorded_on=JAN
    )
    reverse(stage.conn, entry, head)
    rates = rates_into(stage.conn, "TCMB", "TRY", JAN)
    occasion = Occasion(JAN, JAN, "Deniz", "month end")
    assert realise(stage.conn, ["ECHO"], rates, occasion, stage.new_ref) == ()
    assert len(value_month(stage, JAN, policy).recorded) == 1
    assert differences_by_account(stage) == {"4041.TRY": -20000}
    later = value_month(stage, JAN, policy, today=JAN + timedelta(days=1)).recorded
    assert len(later) == (1 if policy is Policy.REVERSING else 0)
