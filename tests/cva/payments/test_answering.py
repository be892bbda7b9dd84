"""A provider's letter decides what its files leave unknown: read by two people, never by one."""

from datetime import date

import pytest

from adapters.port import Document
from adapters.simulators.bank import SimulatedBank
from cva.database.connect import transaction
from cva.payments import answering
from cva.payments.answering import Reading, Standing
from cva.payments.planning import Plan
from ledgers.problems import Refusal
from tests.cva.payments.agency import VAULT, Agency

LETTER = Document("letter of 9 March.pdf", b"%PDF-1.7 Madam, your transfer was booked on 4 March.")
OTHER = Document("letter of 10 March.pdf", b"%PDF-1.7 Madam, we never received your transfer.")
THE_FOURTH = date(2026, 3, 4)


@pytest.fixture
def silent(transfers: Agency, bank: SimulatedBank) -> Plan:
    """A plan that the bank took and says nothing more about."""
    bank.steer("AGENCY", "silent")
    plan = transfers.released(transfers.prepare())
    transfers.send(plan)
    transfers.collect()
    transfers.settle(plan)
    return plan


def ref_of(agency: Agency, name: str) -> str:
    household = next(key for key, said in agency.names.items() if said == name)
    return str(
        agency.one("SELECT instruction_ref FROM payments.line WHERE household_id = %s", household)
    )


def read(
    agency: Agency, name: str, paid_minor: int, by: str, letter: Document = LETTER
) -> answering.Read:
    with transaction(agency.engine) as conn:
        return answering.answer(
            conn, VAULT, Reading(ref_of(agency, name), paid_minor, THE_FOURTH), letter,
            person_id=agency.id_of(by), at=agency.clock.now(),
        )  # fmt: skip


@pytest.mark.usefixtures("silent")
def test_a_letter_read_alike_by_two_people_pays_or_frees_a_line(
    transfers: Agency, silent: Plan
) -> None:
    assert read(transfers, "Layla Haddad", 600_000, "deniz").standing is Standing.WAITS
    assert transfers.settle(silent).loaded == 0
    done = read(transfers, "Layla Haddad", 600_000, "omar")
    assert (done.standing, done.others) == (Standing.DECIDES, ("deniz",))
    read(transfers, "Yusuf Saleh", 0, "omar", OTHER)
    read(transfers, "Yusuf Saleh", 0, "deniz", OTHER)

    settled = transfers.settle(silent)

    assert (settled.loaded, settled.loaded_minor, settled.voided) == (1, 600_000, 1)
    assert transfers.states() == {
        "Layla Haddad": "loaded", "Yusuf Saleh": "voided", "Maryam Aziz": "unknown",
    }  # fmt: skip
    delivered = "SELECT delivered_on FROM payments.outcome WHERE kind = 'loaded'"
    assert transfers.one(delivered) == THE_FOURTH
    transfers.check_money()
    assert transfers.follow_up(silent).lines == 1  # Yusuf may be paid again, Maryam may not


@pytest.mark.usefixtures("silent")
def test_two_who_read_differently_decide_nothing_until_they_agree(transfers: Agency) -> None:
    read(transfers, "Layla Haddad", 600_000, "deniz")
    assert read(transfers, "Layla Haddad", 60_000, "omar").standing is Standing.DIFFERS
    assert read(transfers, "Layla Haddad", 600_000, "omar", OTHER).standing is Standing.DIFFERS
    assert transfers.states()["Layla Haddad"] == "unknown"
    assert read(transfers, "Layla Haddad", 600_000, "omar").standing is Standing.DECIDES
    with pytest.raises(Refusal, match="line_has_ended"):
        read(transfers, "Layla Haddad", 0, "selin")


@pytest.mark.usefixtures("silent")
def test_the_same_person_twice_is_one_reading(transfers: Agency) -> None:
    first = read(transfers, "Layla Haddad", 600_000, "deniz")
    assert read(transfers, "Layla Haddad", 600_000, "deniz") == first
    read(transfers, "Layla Haddad", 500_000, "deniz")
    read(transfers, "Layla Haddad", 600_000, "deniz")
    assert transfers.one("SELECT count(*) FROM payments.observation WHERE evidence > 50") == 0


@pytest.mark.usefixtures("silent")
def test_what_a_letter_cannot_say_is_refused(transfers: Agency) -> None:
    with pytest.raises(Refusal, match="written_amount_unfit"):
        read(transfers, "Layla Haddad", 600_001, "deniz")
    with pytest.raises(Refusal, match="role_missing"):
        read(transfers, "Layla Haddad", 600_000, "amal")
    with pytest.raises(Refusal, match="line_not_found"), transaction(transfers.engine) as conn:
        answering.currency_of(conn, "NOSUCHLINE")


def test_a_line_that_may_be_on_its_way_is_not_decided_by_a_letter(
    transfers: Agency, bank: SimulatedBank
) -> None:
    bank.steer("AGENCY", "reject-file")
    transfers.send(transfers.released(transfers.prepare()))
    with pytest.raises(Refusal, match="hand_over_unanswered"):
        read(transfers, "Layla Haddad", 0, "deniz")


@pytest.mark.usefixtures("silent")
def test_nobody_writes_past_the_second_reader(transfers: Agency) -> None:
    read(transfers, "Layla Haddad", 600_000, "deniz")
    written = (
        "INSERT INTO payments.observation (document_id, plan_id, line_no, ref, message_id, outcome,"
        " evidence, amount_minor, currency, reason_code, provider_ref, observed_on, recorded_at)"
        " SELECT document_id, plan_id, line_no, '', '', 'executed', 60, amount_minor, 'TRY', '',"
        " '', observed_on, at FROM payments.written_answer"
    )
    with (
        pytest.raises(Refusal, match="letter_read_by_one"),
        transaction(transfers.engine) as conn,
    ):
        conn.execute(written)
