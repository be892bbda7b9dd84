"""Amounts that a case officer awards: items, limits, corrections, to an approved plan."""

from pathlib import Path

import pytest
from iso4217 import Currency

from cva.database.connect import transaction
from cva.selection import cases
from cva.selection.cases import Award
from ledgers.problems import Refusal
from tests.cva.payments.agency import House
from tests.cva.selection.office import LABEL, Office, office_with
from tests.databases import Database

CASES = f"""\
  inputs:
    household: {{awarded_transport: money, awarded_lodging: money, awarded_medical: money}}
  parameters:
    medical:
      type: money
      source: Circular 9
      values: {{2026-01-01: 4000.00, 2026-04-01: 9000.00}}
  gates:
    - id: case
      label: {LABEL}
      expr: has_roster
  selection: {{order: highest_score_first, households: 10}}
  entitlement:
    case_by_case:
      items:
        transport: {{label: {LABEL}, at_most: 1000.00}}
        lodging: {{label: {LABEL}, at_most: 6000.00}}
        medical: {{label: {LABEL}, at_most: p.medical}}
    at_most: 8000.00
"""
HOUSES = [House("Layla Haddad", card="VC-00001000"), House("Yusuf Saleh", card="VC-00002000")]


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    made = office_with(database, tmp_path, HOUSES)
    made.fund(10_000_000)
    return made


def asked(office: Office, item: str, minor: int, **more: object) -> Award:
    household = office.id_of(str(more.pop("of", "Layla Haddad")))
    return Award(household, item, minor, "case file 12", "evicted in the night", **more)


def test_a_case_by_case_cycle_pays_what_was_awarded(office: Office) -> None:
    cycle = office.publish(CASES)
    office.award(cycle, asked(office, "transport", 35_050))
    wrong = office.award(cycle, asked(office, "lodging", 600_000), key="lodging")
    assert office.award(cycle, asked(office, "lodging", 600_000), key="lodging") == wrong
    right = office.award(cycle, asked(office, "lodging", 450_000, corrects=wrong))
    office.award(cycle, asked(office, "transport", 64_950))
    with pytest.raises(Refusal, match="corrected_already"):
        office.award(cycle, asked(office, "lodging", 1, corrects=wrong))
    with transaction(office.agency.engine) as conn:
        on_file = cases.awards_of(conn, cycle)
    assert [(one.item, one.amount_minor, one.login) for one in on_file] == [
        ("transport", 35_050, "amal"), ("lodging", 450_000, "amal"), ("transport", 64_950, "amal"),
    ]  # fmt: skip
    office.assess(cycle)
    assert office.decisions(cycle) == {
        "Layla Haddad": ("eligible", "selected", True, None, 550_000),
        "Yusuf Saleh": ("eligible", "nothing_due", False, None, 0),
    }
    plan = office.approved(cycle)
    assert office.paid(plan) == {"Layla Haddad": 550_000}

    with pytest.raises(Refusal, match="selection_locked"):
        office.award(cycle, asked(office, "lodging", 0, corrects=right))
    # Who came later is in the cycle's next plan.
    office.award(cycle, asked(office, "medical", 400_000, of="Yusuf Saleh"))
    office.assess(cycle)
    assert office.paid(office.approved(cycle)) == {"Yusuf Saleh": 400_000}


def test_awards_stay_within_their_limits(office: Office) -> None:
    cycle = office.publish(CASES)
    office.award(cycle, asked(office, "transport", 100_000))
    with pytest.raises(Refusal, match=r"award_above_limit: .* transport .* 1,000\.00 TRY"):
        office.award(cycle, asked(office, "transport", 1))
    with pytest.raises(Refusal, match=r"award_above_limit: .* medical .* 4,000\.00 TRY"):
        office.award(cycle, asked(office, "medical", 400_001))
    office.award(cycle, asked(office, "medical", 400_000))
    with pytest.raises(Refusal, match=r"award_above_limit: .* all items .* 8,000\.00 TRY"):
        office.award(cycle, asked(office, "lodging", 300_001))
    office.award(cycle, asked(office, "lodging", 300_000))
    with pytest.raises(Refusal, match="award_item_unknown"):
        office.award(cycle, asked(office, "car", 1))
    with pytest.raises(Refusal, match="correction_of_another"):
        office.award(cycle, asked(office, "lodging", 1, corrects=1))
    with pytest.raises(Refusal, match="role_missing"):
        office.award(cycle, asked(office, "medical", 1), by="deniz")
    stranger = Award("hh_" + "0" * 26, "medical", 1, "x", "y")
    with pytest.raises(Refusal, match="household_not_live"):
        office.award(cycle, stranger)


def test_the_database_knows_how_many_decimals_a_currency_has(office: Office) -> None:
    wrong = [
        currency.code
        for currency in Currency
        if currency.exponent is not None
        and office.agency.one("SELECT assessment.decimals(%s)", currency.code) != currency.exponent
    ]
    assert wrong == []
