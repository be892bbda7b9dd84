"""A stipend by attendance, from the list to an approved plan."""

from pathlib import Path

import pytest

from cva.database.connect import transaction
from cva.selection import attendance
from ledgers.problems import Refusal
from tests.cva.payments.agency import House
from tests.cva.selection.office import LABEL, Office, office_with
from tests.databases import Database

DAYS = """\
  inputs:
    household: {has_voucher_card: bool}
    member: {enrolled: bool, planned_units: int, attended_units: int}
  parameters:
    day: {type: money, source: Circular 7, values: {2026-01-01: 150.00}}
    enough: {type: ratio, source: Circular 7, values: {2026-01-01: 0.5}}
  gates:
    - {id: enrolled, label: LABEL, expr: "members.exists(m, m.enrolled)"}
  selection: {order: highest_score_first, households: 10}
  entitlement:
    attendance: {unit: day, per_unit: p.day, units_max: 20, least_share: p.enough}
""".replace("LABEL", LABEL)
HOUSES = [
    House("Layla Haddad", card="VC-00001000"), House("Yusuf Saleh", card="VC-00002000"),
    House("Maryam Aziz", card="VC-00003000"), House("Hasan Omar", card="VC-00004000"),
]  # fmt: skip
HEAD = "household_id,member_no,planned_units,attended_units,evidence_ref\n"


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    made = office_with(database, tmp_path, HOUSES)
    made.fund(10_000_000)
    return made


def rows(office: Office, *said: tuple[str, str]) -> str:
    """An attendance list: (name, rest of the row after member 1)."""
    return HEAD + "".join(f"{office.id_of(name)},1,{rest}\n" for name, rest in said)


def test_a_stipend_cycle_pays_what_was_attended(office: Office) -> None:
    cycle = office.publish(DAYS)
    first = office.take(
        cycle,
        rows(office, ("Layla Haddad", "20,18,sheet 1"), ("Yusuf Saleh", "20,9,sheet 1"),
             ("Maryam Aziz", "20,,sheet 1")),
    )  # fmt: skip
    assert (first.rows, first.added, first.corrected, first.findings) == (3, 3, 0, ())
    (early,) = office.assess(cycle)
    assert office.decisions(cycle) == {
        "Layla Haddad": ("eligible", "selected", True, None, 270_000),
        "Yusuf Saleh": ("eligible", "nothing_due", False, None, 0),
        "Maryam Aziz": ("review", "review:amount", False, None, None),
        "Hasan Omar": ("ineligible", "not_eligible:enrolled", False, None, None),
    }

    # The sheet was read wrongly, and the trainer's report came: corrections, never edits.
    again = office.take(
        cycle,
        rows(office, ("Layla Haddad", "20,18,sheet 1"), ("Yusuf Saleh", "20,10,sheet 1 again"),
             ("Maryam Aziz", "20,20,report 2")),
    )  # fmt: skip
    assert (again.added, again.corrected, again.unchanged) == (0, 2, 1)
    with transaction(office.agency.engine) as conn:
        on_file = attendance.attended(conn, cycle)
    assert {
        office.agency.names[one.household_id]: (one.attended_units, one.evidence_ref, one.login)
        for one in on_file
    } == {
        "Layla Haddad": (18, "sheet 1", "amal"),
        "Yusuf Saleh": (10, "sheet 1 again", "amal"),
        "Maryam Aziz": (20, "report 2", "amal"),
    }
    assert office.agency.one("SELECT count(*) FROM assessment.attendance") == 5
    office.assess(cycle)
    plan = office.approved(cycle)
    assert office.paid(plan) == {
        "Layla Haddad": 270_000, "Yusuf Saleh": 150_000, "Maryam Aziz": 300_000,
    }  # fmt: skip

    # What the first run saw is still what it decided from.
    office.again(early)
    late = office.take(
        cycle, rows(office, ("Layla Haddad", "20,20,sheet 3"), ("Hasan Omar", "20,20,sheet 3"))
    )
    assert [found.problem.code for found in late.findings] == ["attendance_locked"]
    assert (late.added, late.refused) == (1, 1)


def test_the_same_list_again_changes_nothing(office: Office) -> None:
    cycle = office.publish(DAYS)
    text = rows(office, ("Layla Haddad", "20,18,sheet 1"))
    first = office.take(cycle, text)
    assert office.take(cycle, text) == first
    assert office.agency.one("SELECT count(*) FROM assessment.attendance") == 1
    with pytest.raises(Refusal, match="act_key_used_differently"):
        office.take(cycle, rows(office, ("Layla Haddad", "20,19,s")), key=f"attendance:{cycle}:"
                    + office.agency.one("SELECT split_part(key, ':', 3) FROM ops.act"
                                        " WHERE verb = 'attendance'"))  # fmt: skip


def test_all_that_is_wrong_with_a_list_is_told_and_the_rest_is_kept(office: Office) -> None:
    cycle = office.publish(DAYS)
    layla = office.id_of("Layla Haddad")
    text = HEAD + "\n".join([
        f"{layla},1,20,18,sheet 1",
        f"{layla},1,20,17,sheet 1",
        f"{layla},9,20,17,sheet 1",
        "Layla,x,many,21,",
        f"{layla},1,10,11,sheet 1",
        f"{'hh_' + '0' * 26},1,20,1,sheet 1",
    ]) + "\n"  # fmt: skip
    taken = office.take(cycle, text)
    places = [(found.problem.code, found.place.row, found.place.field) for found in taken.findings]
    assert places == [
        ("attendance_row_twice", 3, ""),
        ("attendance_member_unknown", 4, ""),
        ("attendance_value", 5, "household_id"),
        ("attendance_value", 5, "member_no"),
        ("attendance_value", 5, "planned_units"),
        ("attendance_value", 5, "evidence_ref"),
        ("attendance_value", 6, "attended_units"),
        ("attendance_member_unknown", 7, ""),
    ]  # fmt: skip
    assert (taken.rows, taken.added, taken.refused) == (6, 1, 5)
    assert all(found.remedy for found in taken.findings)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"household_id\n", HEAD.encode() + b'"open'])
def test_what_is_no_list_is_refused(office: Office, content: bytes) -> None:
    cycle = office.publish(DAYS)
    path = office.folder / "list.csv"
    path.write_bytes(content)
    for file in (path, office.folder / "nothing.csv"):
        with (
            pytest.raises(Refusal, match="attendance_file_unreadable"),
            transaction(office.agency.engine) as conn,
        ):
            attendance.take_list(conn, cycle, file, person_id=office.amal, at=office.now)


RAW = (
    "INSERT INTO assessment.attendance (cycle_id, household_id, member_no, planned_units,"
    " attended_units, evidence_ref, corrects, person_id, at)"
    " VALUES (%(cycle)s, %(household)s, %(member)s, 20, 5, 'raw', %(corrects)s, %(person)s, now())"
)


def test_the_database_keeps_attendance_to_its_chain(office: Office) -> None:
    cycle = office.publish(DAYS)
    text = rows(office, ("Layla Haddad", "20,18,sheet 1"), ("Yusuf Saleh", "20,18,sheet 1"))
    office.take(cycle, text)
    record = office.agency.one("SELECT min(record_id) FROM assessment.attendance")
    said = {
        "cycle": cycle, "household": office.id_of("Maryam Aziz"), "member": 1,
        "corrects": None, "person": office.amal,
    }  # fmt: skip
    for change, code in (
        ({"corrects": record}, "correction_of_another"),
        ({"member": 7}, "attendance_member_unknown"),
        ({"cycle": office.agency.cycle_id}, "attendance_not_asked"),
        ({"person": office.agency.id_of("deniz")}, "role_missing"),
    ):
        with pytest.raises(Refusal, match=code):
            office.agency.raw(RAW, **{**said, **change})
    with pytest.raises(Exception, match="attendance_begins_once") as twice:
        office.agency.raw(RAW, **{**said, "household": office.id_of("Layla Haddad")})
    assert not isinstance(twice.value, Refusal)
    for statement in ("UPDATE assessment.attendance SET attended_units = 20",
                      "DELETE FROM assessment.attendance"):  # fmt: skip
        with pytest.raises(Refusal, match=r"append_only|not_permitted"):
            office.agency.raw(statement)
