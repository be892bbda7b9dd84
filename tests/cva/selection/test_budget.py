"""A budget that is short: who is served, who waits in which order, who takes a place."""

import threading
from pathlib import Path

import psycopg
import pytest

from cva.database.connect import Role, transaction
from cva.selection import places
from eligibility.selection import tie_key
from ledgers.problems import Refusal
from tests.cva.payments.agency import House, many
from tests.cva.selection.office import LABEL, Office, office_with
from tests.databases import Database

WITHIN_THE_GRANT = f"""\
  gates:
    - {{id: card, label: {LABEL}, expr: has_voucher_card}}
  inputs: {{household: {{has_voucher_card: bool}}}}
  selection: {{order: highest_score_first, budget: grant}}
  entitlement:
    flat: 6000.00
    add_ons: [{{id: city, label: {LABEL}, amount: 3000.00, when: 'province == "TR-34"'}}]
"""
CHEAP, DEAR = 600_000, 900_000


def order_of(office: Office, cycle: str) -> list[tuple[str, int]]:
    """(household, amount) in the order of the draw, computed from the published seed."""
    rows = office.agency.rows("SELECT household_id, province FROM registry.live")
    drawn = sorted(rows, key=lambda row: tie_key(cycle, row[0]))
    return [(one, DEAR if province == "TR-34" else CHEAP) for one, province in drawn]


def drawn_with_a_dear_one_at(office: Office, at: int) -> tuple[str, list[tuple[str, int]]]:
    """A cycle whose draw puts a dear household at the limit, before cheaper ones."""
    for number in range(40):
        cycle = office.publish(WITHIN_THE_GRANT, code=f"own-{number}")
        order = order_of(office, cycle)
        if order[at][1] == DEAR:
            return cycle, order
    pytest.fail("forty draws put a cheap household at the limit")


def short_budget(order: list[tuple[str, int]], served: int) -> int:
    """What pays the first `served`, and all but the smallest coin of the next one."""
    return sum(amount for _, amount in order[:served]) + DEAR - 1


def test_a_budget_for_1000_of_1500_serves_the_first_1000_and_nobody_jumps_the_queue(
    database: Database, tmp_path: Path
) -> None:
    houses = [
        House(one.name, card=one.card, province="TR-34" if at % 2 else "TR-63")
        for at, one in enumerate(many(1_500))
    ]
    office = office_with(database, tmp_path, houses)
    served = 1_000
    cycle, order = drawn_with_a_dear_one_at(office, served)
    office.fund(short_budget(order, served))
    (run,) = office.assess(cycle)

    rows = office.agency.rows(
        "SELECT household_id, selected, waitlist_position FROM assessment.decision"
        " WHERE run_id = %s ORDER BY rank",
        run.run_id,
    )
    assert (run.registered, run.eligible, run.selected) == (1_500, 1_500, served)
    assert rows == [
        (one, at < served, None if at < served else at - served + 1)
        for at, (one, _) in enumerate(order)
    ]
    coverage = office.agency.rows(
        "SELECT stratum, places, eligible, selected, waiting, people_selected, amount_minor,"
        " budget_minor - amount_minor FROM assessment.coverage JOIN assessment.run_terms"
        " USING (run_id) WHERE run_id = %s",
        run.run_id,
    )
    funded = sum(amount for _, amount in order[:served])
    assert coverage == [("", None, 1_500, served, 1_500 - served, served, funded, DEAR - 1)]

    # One who leaves makes room for the first who waits, and for nobody cheaper behind it.
    gone, first = order[0][0], order[served][0]
    moved = office.leave(cycle, gone)
    assert moved.promoted[0] == first
    promoted = len(moved.promoted)
    assert moved.promoted == tuple(one for one, _ in order[served : served + promoted])
    assert moved.next_household_id == order[served + promoted][0]
    assert office.waiting(cycle)[0] == (
        office.agency.names[order[served + promoted][0]], promoted + 1,
    )  # fmt: skip

    office.again(run)
    plan = office.approved(cycle)
    names = office.agency.names
    assert office.paid(plan) == {names[one]: amount for one, amount in order[1 : served + promoted]}
    with pytest.raises(Refusal, match=r"^selection_locked: .*locked"):
        office.leave(cycle, order[1][0])


PROVINCES = ["TR-63", "TR-63", "TR-63", "TR-34", "TR-34"]
FIVE = [
    House(one.name, card=one.card, province=province)
    for one, province in zip(many(5), PROVINCES, strict=True)
]


@pytest.fixture
def five(database: Database, tmp_path: Path) -> Office:
    office = office_with(database, tmp_path, FIVE)
    office.fund(10_000_000)
    return office


BY_PROVINCE = f"""\
  gates: [{{id: card, label: {LABEL}, expr: has_voucher_card}}]
  inputs: {{household: {{has_voucher_card: bool}}}}
  selection:
    order: highest_score_first
    quota: {{by: province, households: {{TR-34: 1, TR-63: 1}}}}
  entitlement: {{flat: 6000.00}}
"""
RAW = (
    "INSERT INTO assessment.promotion (run_id, household_id, person_id, at)"
    " SELECT run_id, %(household)s, %(person)s, now() FROM assessment.latest_run"
    " WHERE cycle_id = %(cycle)s"
)


def served(office: Office, cycle: str, province: str) -> list[str]:
    return [
        one for (one,) in office.agency.rows(
            "SELECT s.household_id FROM assessment.served s"
            " JOIN assessment.latest_run r USING (run_id)"
            " JOIN registry.version v USING (version_id)"
            " WHERE r.cycle_id = %s AND v.province = %s ORDER BY s.rank", cycle, province,
        )
    ]  # fmt: skip


def test_a_place_is_filled_from_its_own_stratum_and_out_of_turn_by_nobody(five: Office) -> None:
    cycle = five.publish(BY_PROVINCE)
    five.assess(cycle)
    ((gone,), (other,)) = served(five, cycle, "TR-63"), served(five, cycle, "TR-34")
    line = [five.id_of(name) for name, _ in five.waiting(cycle)]
    of_63 = [
        one for one in line
        if five.agency.one("SELECT province FROM registry.live WHERE household_id = %s", one)
        == "TR-63"
    ]  # fmt: skip
    for household, code in (
        (of_63[0], "promotion_without_place"), (of_63[1], "promotion_out_of_turn"),
        (gone, "promotion_out_of_turn"),
    ):  # fmt: skip
        with pytest.raises(Refusal, match=code):
            five.agency.raw(RAW, household=household, person=five.amal, cycle=cycle)

    moved = five.leave(cycle, gone, key="gone")
    assert moved.promoted == (of_63[0],)
    assert five.leave(cycle, gone, key="gone") == moved
    assert served(five, cycle, "TR-63") == [of_63[0]]
    assert served(five, cycle, "TR-34") == [other]
    with pytest.raises(Refusal, match="leaving_not_served"):
        five.leave(cycle, gone)
    with pytest.raises(Refusal, match="act_key_used_differently"):
        five.leave(cycle, other, key="gone")
    assert five.leave(cycle, of_63[0]).promoted == (of_63[1],)
    assert five.leave(cycle, of_63[1]).promoted == ()
    assert set(five.paid(five.approved(cycle))) == {five.agency.names[other]}


def test_who_left_stays_out_of_the_next_run_and_promotion_fills_the_place(five: Office) -> None:
    cycle = five.publish(BY_PROVINCE)
    five.assess(cycle)
    (gone,) = served(five, cycle, "TR-63")
    first = five.leave(cycle, gone).promoted
    five.agency.register(FIVE, "2")
    five.assess(cycle)
    assert served(five, cycle, "TR-63") == []
    assert five.promote(cycle).promoted == first
    assert served(five, cycle, "TR-63") == list(first)
    assert five.promote(cycle).promoted == ()


def test_only_whose_work_it_is_moves_places_and_nothing_recorded_changes(five: Office) -> None:
    cycle = five.publish(BY_PROVINCE)
    with pytest.raises(Refusal, match="cycle_not_assessed"):
        five.promote(cycle)
    five.assess(cycle)
    (one,) = served(five, cycle, "TR-34")
    for login in ("deniz", "ines", "sam", "kerem"):
        with pytest.raises(Refusal, match="role_missing"):
            five.leave(cycle, one, by=login)
    waits = five.id_of(five.waiting(cycle)[0][0])
    with pytest.raises(Refusal, match="leaving_not_served"):
        five.leave(cycle, waits)
    five.leave(cycle, one)
    with psycopg.connect(five.agency.database.address(Role.OWNER), autocommit=True) as owner:
        for table in ("leaving", "promotion", "coverage", "run_terms"):
            with pytest.raises(psycopg.Error, match="append_only"):
                owner.execute(f"DELETE FROM assessment.{table}")
    for statement in (
        "UPDATE assessment.leaving SET reason = 'other'", "DELETE FROM assessment.promotion",
        "TRUNCATE assessment.coverage", "UPDATE assessment.run_terms SET budget_minor = 1",
    ):  # fmt: skip
        with pytest.raises(Refusal, match=r"append_only|not_permitted"):
            five.agency.raw(statement)


def test_two_who_leave_at_once_free_two_places(five: Office) -> None:
    rules = BY_PROVINCE.replace("TR-63: 1", "TR-63: 2").replace("TR-34: 1", "TR-34: 0")
    cycle = five.publish(rules)
    five.assess(cycle)
    both = served(five, cycle, "TR-63")
    found: list[object] = []

    def gone(household: str) -> None:
        with transaction(five.agency.database.engine()) as conn:
            found.append(
                places.leave(
                    conn, cycle, household, reason="moved", person_id=five.amal,
                    at=five.agency.clock.moment, key=household,
                ).promoted
            )  # fmt: skip

    threads = [threading.Thread(target=gone, args=(one,)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, found)) == [0, 1]  # three live there, two had a place
    assert len(served(five, cycle, "TR-63")) == 1
