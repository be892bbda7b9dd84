"""A bank plan's whole life with a bank that others wrote: its status reports prove no payment."""

from dataclasses import replace

import pytest

from adapters.simulators.bank import SimulatedBank
from cva.payments.planning import Plan
from ledgers.money import grouped
from ledgers.problems import Refusal
from tests.adapters.bank_orders import iban
from tests.cva.payments.agency import Agency
from tests.cva.payments.conftest import ACCOUNTS

BANK_ACCOUNT = "1010.HALK.TRY"


def sent(agency: Agency) -> Plan:
    plan = agency.released(agency.prepare())
    agency.send(plan)
    return plan


def days_pass(agency: Agency, bank: SimulatedBank, days: int) -> None:
    bank.advance(days)
    agency.collect()


def ref_of(agency: Agency, line_no: int) -> str:
    query = "SELECT instruction_ref FROM payments.line WHERE line_no = %s ORDER BY plan_id LIMIT 1"
    return str(agency.one(query, line_no))


def test_a_bank_plan_from_lock_to_close(transfers: Agency, bank: SimulatedBank) -> None:
    bank.open_account("YUSUF", iban(2), closed=True)
    plan = transfers.released(transfers.prepare())
    bank.steer("AGENCY", "return-later", days=2, reason="AC04", end_to_end_id=ref_of(transfers, 3))
    (handed,) = transfers.send(plan)
    assert (handed.outcome, handed.detail) == ("accepted", "HTTP 202 PART")
    transfers.collect()
    first = transfers.settle(plan)
    assert (first.loaded, first.voided, first.pending, first.unknown) == (0, 1, 2, 0)
    transfers.check_money()

    days_pass(transfers, bank, 2)
    second = transfers.settle(plan)
    assert (second.loaded, second.loaded_minor, second.pending) == (2, 1_500_000, 0)
    assert transfers.balance(BANK_ACCOUNT)[0] == bank.balance_minor("AGENCY")
    transfers.check_money()

    days_pass(transfers, bank, 2)
    third = transfers.settle(plan)
    assert (third.returned, third.returned_minor) == (1, 900_000)
    assert transfers.states() == {
        "Layla Haddad": "loaded", "Yusuf Saleh": "voided", "Maryam Aziz": "returned",
    }  # fmt: skip
    assert transfers.balance(BANK_ACCOUNT)[0] == bank.balance_minor("AGENCY")
    transfers.check_money()

    corrected = [replace(house, iban=iban(n)) for n, house in enumerate(ACCOUNTS, start=11)]
    transfers.register(corrected, revision="2")
    bank.steer("AGENCY", "accept")
    follow_up = transfers.follow_up(plan)
    assert transfers.lines(follow_up) == [
        ("Yusuf Saleh", "regular", 2, "planned", 750_000, 0, 0),
        ("Maryam Aziz", "regular", 2, "planned", 900_000, 0, 0),
    ]
    transfers.released(follow_up)
    transfers.send(follow_up)
    days_pass(transfers, bank, 2)
    assert transfers.settle(follow_up).loaded_minor == 1_650_000
    transfers.check_money()

    compared = transfers.reconcile()
    assert (compared.unexplained_minor, compared.pending_lines) == (0, 0)
    assert compared.ledger_minor == compared.booked_minor == 2_250_000
    assert sorted((d.name.value, d.amount_minor, d.explained) for d in compared.differences) == [
        ("missing", 750_000, True), ("returned", 900_000, True),
    ]  # fmt: skip
    transfers.close()


def test_a_silent_bank_leaves_lines_unknown_until_its_statement(
    transfers: Agency, bank: SimulatedBank
) -> None:
    bank.steer("AGENCY", "silent")
    plan = sent(transfers)
    assert transfers.collect().unknown_lines == 3
    assert transfers.settle(plan).unknown == 3
    with pytest.raises(Refusal, match="no_inquiry"):
        transfers.inquire(plan)
    with pytest.raises(Refusal, match="nothing_to_pay"):
        transfers.follow_up(plan)  # what is unknown is not paid again

    days_pass(transfers, bank, 2)

    assert transfers.settle(plan).loaded == 3
    assert transfers.inquire(plan) == 0
    assert transfers.reconcile().unexplained_minor == 0
    transfers.check_money()


def test_a_file_the_bank_refuses_at_the_door_goes_again_as_a_new_one(
    transfers: Agency, bank: SimulatedBank
) -> None:
    bank.steer("AGENCY", "reject-file")
    plan = transfers.released(transfers.prepare())
    (refused,) = transfers.send(plan)
    assert (refused.outcome, refused.detail) == ("rejected", "HTTP 422 RJCT FF01")
    transfers.collect()
    assert set(transfers.states().values()) == {"pending"}
    assert transfers.settle(plan).voided == 0
    bank.steer("AGENCY", "accept")

    (accepted,) = transfers.send(plan)

    assert (refused.message_id[-5:], accepted.message_id[-5:]) == ("00101", "00102")
    assert transfers.send(plan) == []
    days_pass(transfers, bank, 2)
    assert transfers.settle(plan).loaded == 3
    assert transfers.balance(BANK_ACCOUNT)[0] == bank.balance_minor("AGENCY")
    transfers.check_money()


def test_a_bank_that_always_refuses_gives_the_money_free_by_cancelling(
    transfers: Agency, bank: SimulatedBank
) -> None:
    bank.steer("AGENCY", "reject-file")
    plan = sent(transfers)
    assert transfers.cancel(plan, "omar") == 3
    transfers.collect()
    assert transfers.settle(plan).voided == 0
    assert transfers.balance(BANK_ACCOUNT) == (100_000_000, 0)
    assert transfers.reconcile().unexplained_minor == 0
    transfers.check_money()


def test_a_statement_with_a_gap_is_unexplained_until_it_is_whole(
    transfers: Agency, bank: SimulatedBank
) -> None:
    bank.steer("AGENCY", "statement-gap")
    plan = sent(transfers)
    days_pass(transfers, bank, 2)
    settled = transfers.settle(plan)
    compared = transfers.reconcile()
    assert settled.loaded + settled.pending + settled.unknown == 3
    assert compared.pending_lines + compared.unexplained_minor > 0
    codes = {code for (code,) in transfers.rows("SELECT code FROM payments.document_finding")}
    assert "camt_balances_differ" in codes
    with pytest.raises(Refusal, match="cycle_not_reconciled") as refused:
        transfers.close()
    assert refused.value.sentence == (
        f"The cycle is not reconciled: {grouped(compared.unexplained_minor, 'TRY')} TRY"
        f" unexplained, {compared.pending_lines} lines pending."
    )
    assert refused.value.facts["unexplained_minor"] == compared.unexplained_minor
