"""Money moves in the books on the day the provider says, as long as the books take that day."""

from datetime import UTC, date, datetime

import pytest
from psycopg import Connection

from adapters.simulators.bank import SimulatedBank
from adapters.simulators.card_processor import CardProcessor
from cva import bookkeeping, transparency
from cva.bookkeeping import Bookkeeper
from cva.database.connect import transaction
from cva.payments.planning import Plan
from ledgers import balances
from ledgers.periods import PeriodState
from ledgers.transparency import verify_bundle
from tests.cva.payments.agency import GRANT, VAULT, Agency
from tests.cva.payments.test_bank_plans import days_pass, ref_of, sent
from tests.cva.payments.test_funding import by_hand

RELEASED, CHARGED = date(2026, 3, 2), date(2026, 3, 3)
LAST_OF_MARCH = date(2026, 3, 31)
IN_APRIL = datetime(2026, 4, 4, 9, tzinfo=UTC)
SPENT = f"9040.{GRANT}.TRY"


def said(agency: Agency, plan: Plan, line_no: int, outcome: str, on: str | None) -> None:
    """Let the bank's statement say what became of a line on a day."""
    agency.raw(
        "INSERT INTO payments.observation (plan_id, line_no, ref, message_id, outcome, evidence,"
        " currency, reason_code, provider_ref, observed_on, recorded_at) VALUES (%(plan)s,"
        " %(line)s, %(ref)s, '', %(outcome)s, 50, 'TRY', '', '', %(on)s, %(at)s)",
        plan=plan.plan_id, line=line_no, ref=ref_of(agency, line_no), outcome=outcome, on=on,
        at=agency.clock.now(),
    )  # fmt: skip


def close(agency: Agency, ends_on: date, state: PeriodState = PeriodState.CLOSED) -> None:
    with transaction(agency.engine) as conn:
        who = Bookkeeper(agency.id_of("deniz"), agency.clock.now())
        bookkeeping.change_period(conn, who, ends_on, state, "month end")


def entries(agency: Agency, *steps: str) -> list[tuple]:
    """(step, day, reason without the evidence) of the entries of these steps, as recorded."""
    rows = agency.rows(
        "SELECT split_part(key, ':', 1), effective_on,"
        " regexp_replace(reason, '^plan [^ ;]+ ?|; evidence [0-9a-f]{64}', '', 'g')"
        " FROM books.entry WHERE split_part(key, ':', 1) = ANY (%s) ORDER BY entry_id",
        list(steps),
    )
    return [(step, day, reason.strip()) for step, day, reason in rows]


def on(conn: Connection, day: date) -> dict[str, int]:
    return {row.code: row.balance_minor for row in balances.trial_balance(conn, day)}


def test_what_the_bank_booked_in_march_is_of_march_though_it_is_settled_in_april(
    transfers: Agency, bank: SimulatedBank
) -> None:
    plan = sent(transfers)
    days_pass(transfers, bank, 2)
    booked_on = transfers.one("SELECT DISTINCT booked_on FROM payments.statement_line")
    transfers.clock.moment = IN_APRIL
    assert transfers.settle(plan).loaded == 3
    assert entries(transfers, "settle", "liquidate") == [
        ("settle", booked_on, "settled"), ("liquidate", booked_on, "settled"),
    ]  # fmt: skip
    assert transfers.clock.today() > LAST_OF_MARCH > booked_on > RELEASED
    with transaction(transfers.engine) as conn:
        before, then = on(conn, RELEASED), on(conn, LAST_OF_MARCH)
    assert (before["5010.TRY"], then["5010.TRY"], then[SPENT]) == (0, 2_250_000, 2_250_000)
    transfers.check_money()


def test_every_day_has_an_entry_and_nothing_moves_before_its_release_or_after_today(
    transfers: Agency,
) -> None:
    plan = sent(transfers)
    for line_no, (outcome, day) in enumerate(
        [("executed", "2026-03-04"), ("executed", "2026-02-27"), ("rejected", "2026-03-05")], 1
    ):
        said(transfers, plan, line_no, outcome, day)
    said(transfers, plan, 1, "returned", "2026-03-03")  # before it was paid, says the bank
    said(transfers, plan, 2, "returned", "2026-12-01")  # which is still to come
    transfers.clock.moment = datetime(2026, 3, 9, 9, tzinfo=UTC)
    done = transfers.settle(plan)
    assert (done.loaded, done.voided, done.returned, done.returned_minor) == (2, 1, 2, 1_350_000)
    assert [(step, day.isoformat()) for step, day, _ in entries(transfers, "settle", "return")] == [
        ("settle", "2026-03-02"), ("settle", "2026-03-04"), ("settle", "2026-03-05"),
        ("return", "2026-03-04"), ("return", "2026-03-09"),
    ]  # fmt: skip
    transfers.check_money()
    with transaction(transfers.engine) as conn:
        transparency.make_checkpoint(conn, VAULT, "amal.example/books", transfers.clock.now())
        log_key = transparency.vkey_of(conn, "log")
        for line_no in (1, 2, 3):
            text = transparency.bundle_of(conn, ref_of(transfers, line_no))
            assert verify_bundle.verify(text, log_key)[0] == "TRUE"


def test_a_line_of_which_no_day_is_said_is_booked_today(transfers: Agency) -> None:
    plan = sent(transfers)
    said(transfers, plan, 1, "executed", None)
    transfers.clock.moment = datetime(2026, 3, 9, 9, tzinfo=UTC)
    transfers.settle(plan)
    assert entries(transfers, "settle") == [("settle", date(2026, 3, 9), "settled")]


@pytest.mark.parametrize("state", [PeriodState.ADJUSTING, PeriodState.CLOSED])
def test_what_is_learned_after_the_close_is_booked_today_and_names_its_day(
    transfers: Agency, state: PeriodState
) -> None:
    plan = sent(transfers)
    said(transfers, plan, 1, "executed", "2026-03-03")
    said(transfers, plan, 1, "returned", "2026-03-05")
    said(transfers, plan, 2, "executed", "2026-04-01")
    transfers.clock.moment = IN_APRIL
    close(transfers, LAST_OF_MARCH, state)
    assert (transfers.settle(plan).loaded, transfers.settle(plan).returned) == (2, 0)
    today, late = IN_APRIL.date(), "a day the books no longer take"
    assert entries(transfers, "settle", "liquidate") == [
        ("settle", today, f"settled; of 2026-03-03, {late}"),
        ("liquidate", today, f"settled; of 2026-03-03, {late}"),
        ("settle", date(2026, 4, 1), "settled"), ("liquidate", date(2026, 4, 1), "settled"),
    ]  # fmt: skip
    # A return is never before what it returns.
    assert entries(transfers, "return", "unspend") == [
        ("return", today, "came back"), ("unspend", today, "came back"),
    ]  # fmt: skip
    transfers.check_money()


def test_a_fee_of_a_closed_month_does_not_stop_the_others(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = cards.released(cards.prepare())
    cards.send(plan)
    processor.run_once()
    processor.settle(CHARGED)
    cards.clock.moment = IN_APRIL
    cards.collect()
    cards.settle(plan)
    close(cards, LAST_OF_MARCH)
    assert cards.book_fees() == 1
    ((booked_on, reason),) = cards.rows(
        "SELECT effective_on, reason FROM books.entry WHERE starts_with(key, 'fee/')"
    )
    assert (booked_on, reason.endswith(f", charged on {CHARGED}")) == (IN_APRIL.date(), True)
    assert cards.book_fees() == 0
    assert by_hand(cards, "bank_charged").already is False
