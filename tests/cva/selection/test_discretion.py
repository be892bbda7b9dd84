"""The discretionary list: capped, for a time, with a reason; served beside the order."""

import threading
from datetime import date, timedelta
from pathlib import Path

import pytest

from cva.database.connect import transaction
from cva.selection import discretion
from ledgers.problems import Refusal
from tests.cva.payments.agency import House, many
from tests.cva.selection.office import LABEL, Office, office_with
from tests.databases import Database

RULES = f"""\
  inputs: {{household: {{has_voucher_card: bool, discretionary: bool}}}}
  gates:
    - {{id: city, label: {LABEL}, expr: 'province == "TR-34"'}}
    - {{id: card, label: {LABEL}, expr: has_voucher_card}}
  selection:
    order: highest_score_first
    households: 1
    budget: grant
    discretionary: {{households_max: 2, days_max: 60}}
  entitlement: {{flat: 6000.00}}
"""
HOUSES = [
    House(one.name, card=one.card, province="TR-34" if at < 2 else "TR-63")
    for at, one in enumerate(many(6))
]
FAR = date(2026, 4, 30)


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return office_with(database, tmp_path, HOUSES)


def test_a_listed_household_is_served_beside_the_order_and_the_rules_stay_told(
    office: Office,
) -> None:
    cycle = office.publish(RULES)
    office.fund(3 * 600_000)
    outside = office.id_of(HOUSES[2].name)
    office.enlist("own", outside)
    office.assess(cycle)
    found = office.decisions(cycle)
    assert found[HOUSES[2].name] == ("ineligible", "discretionary:city", True, None, 600_000)
    assert sorted(found[house.name][1:] for house in HOUSES[:2]) == [
        ("selected", True, None, 600_000), ("waiting", False, 1, 600_000),
    ]  # fmt: skip
    assert {found[house.name] for house in HOUSES[3:]} == {
        ("ineligible", "not_eligible:city", False, None, None)
    }
    paid = office.paid(office.approved(cycle))
    assert (len(paid), paid[HOUSES[2].name]) == (2, 600_000)


def test_its_money_comes_off_the_budget_first(office: Office) -> None:
    cycle = office.publish(RULES)
    office.fund(600_000)
    listing = office.enlist("own", office.id_of(HOUSES[2].name))
    (run,) = office.assess(cycle)
    assert (run.eligible, run.selected) == (2, 1)
    office.enlist("own", office.id_of(HOUSES[3].name))
    with pytest.raises(Refusal, match="selection_budget_short"):
        office.assess(cycle)
    office.end(listing)
    office.assess(cycle)
    assert office.decisions(cycle)[HOUSES[2].name][1] == "not_eligible:city"


def test_the_list_is_full_when_it_is_full_and_a_listing_expires(office: Office) -> None:
    office.publish(RULES)
    ids = [office.id_of(house.name) for house in HOUSES]
    today = office.agency.clock.today()
    first = office.enlist("own", ids[0], today + timedelta(days=60), key="once")
    assert office.enlist("own", ids[0], today + timedelta(days=60), key="once") == first
    with pytest.raises(Refusal, match="discretion_already"):
        office.enlist("own", ids[0])
    with pytest.raises(Refusal, match=r"discretion_too_long: .* 60 days"):
        office.enlist("own", ids[1], today + timedelta(days=61))
    office.enlist("own", ids[1], today)
    with pytest.raises(Refusal, match=r"discretion_used_up: All 2 places"):
        office.enlist("own", ids[2])
    office.agency.clock.moment += timedelta(days=1)
    last = office.enlist("own", ids[2])
    with transaction(office.agency.engine) as conn:
        standing = discretion.listings(conn, "own", today + timedelta(days=1))
    assert [(one.listing_id, one.household_id, one.login) for one in standing] == [
        (first, ids[0], "amal"), (last, ids[2], "amal"),
    ]  # fmt: skip
    office.end(first)
    office.enlist("own", ids[3])
    with pytest.raises(Refusal, match="listing_not_found"):
        office.end(first)
    with pytest.raises(Refusal, match="household_not_live"):
        office.enlist("own", "hh_" + "0" * 26)
    with pytest.raises(Refusal, match="programme_not_found"):
        office.enlist("nothing", ids[4])


def test_a_programme_that_gives_no_discretion_has_no_list(office: Office) -> None:
    lines = [
        line for line in RULES.splitlines() if "discretionary:" not in line or "inputs" in line
    ]
    office.publish("\n".join(lines) + "\n")
    with pytest.raises(Refusal, match="discretion_not_given"):
        office.enlist("own", office.id_of(HOUSES[0].name))


def test_the_cap_holds_when_many_list_at_once(office: Office) -> None:
    office.publish(RULES)
    said: list[str] = []

    def enlist(number: int) -> None:
        try:
            with transaction(office.agency.database.engine()) as conn:
                discretion.list_household(
                    conn, "own", office.id_of(HOUSES[number].name), reason="flood",
                    expires_on=FAR, person_id=office.amal, at=office.agency.clock.moment,
                    key=f"at-once:{number}",
                )  # fmt: skip
            said.append("listed")
        except Refusal as refusal:
            said.append(refusal.problem.code)

    threads = [threading.Thread(target=enlist, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["discretion_used_up"] * 4 + ["listed"] * 2
    assert office.agency.one("SELECT count(*) FROM assessment.discretionary") == 2
