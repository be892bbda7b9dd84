"""Assistance given twice: another agency's list against our plan, before it is made and leaves."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.assistance import ListMapping
from cva.database.connect import transaction
from cva.payments import planning, stopping
from cva.payments.planning import Plan
from cva.registry import duplicates, exporting, overlaps, policies
from cva.registry.duplicates import Verdict
from cva.registry.linking import Scope
from cva.registry.lists import import_list
from cva.registry.overlaps import Action
from ledgers.problems import Refusal
from tests.cva.payments.agency import VAULT, Agency, agency_with
from tests.cva.payments.conftest import HOUSES
from tests.databases import Database

LAYLA_ID = "99123456740"
LAYLA, YUSUF, MARYAM, HASAN, ZAHRA, _ = HOUSES


def row(name: str, **told: str) -> dict[str, str]:
    """A row of another agency's list: help with the rent of March, paid."""
    given, family = name.split()
    return {
        "record_ref": f"A-{name}", "person_ref": f"P-{name}", "household_ref": f"H-{name}",
        "programme": "rent", "need": "shelter", "first_day": "2026-03-01",
        "last_day": "2026-03-31", "status": "paid", "committed_at": "2026-02-20",
        "given_name": given, "family_name": family, "sex": "female", "birth_date": "1987-04-23",
        "is_head": "yes",
    } | told  # fmt: skip


LIST = [
    row(LAYLA.name, id_type="tr_foreigner_id", id_number=LAYLA_ID),
    row(YUSUF.name),
    row(MARYAM.name, need="education"),
    row(HASAN.name, first_day="2026-01-01", last_day="2026-01-31"),
    row(ZAHRA.name, status="cancelled"),
    row("Nobody Here", birth_date="1955-08-02"),
]


@pytest.fixture
def agency(database: Database, tmp_path: Path) -> Agency:
    houses = [replace(LAYLA, id_number=LAYLA_ID), *HOUSES[1:]]
    return agency_with(database, tmp_path, "card_processor", houses, need="shelter")


@pytest.fixture
def warned(agency: Agency) -> Agency:
    agency.take_list(LIST)
    return agency


def causes(agency: Agency) -> dict[str, str]:
    with transaction(agency.engine) as conn:
        found = stopping.stopped_lines(conn, agency.cycle_id, agency.clock.now())
        return {agency.names[s.household_id]: s.cause for s in found if "dest" not in s.cause}


def findings(agency: Agency) -> dict[str, tuple[str, str, str]]:
    with transaction(agency.engine) as conn:
        return {
            agency.names[f.household_id]: (f.verdict, f.reason, f.strength)
            for f in overlaps.findings(conn, agency.cycle_id)
        }


def number(agency: Agency, name: str) -> int:
    with transaction(agency.engine) as conn:
        found = overlaps.findings(conn, agency.cycle_id)
        return next(f.overlap_id for f in found if agency.names[f.household_id] == name)


def act(agency: Agency, name: str, action: Action, reason: str, by: str) -> None:
    overlap_id = number(agency, name)
    with transaction(agency.engine) as conn:
        overlaps.act(
            conn, overlap_id, action, reason, person_id=agency.id_of(by), at=agency.clock.now()
        )


def test_what_overlaps_in_person_need_and_period_stops_and_nothing_else(warned: Agency) -> None:
    plan = warned.prepare()
    assert causes(warned) == {LAYLA.name: "other_agency", YUSUF.name: "possible_overlap"}
    assert findings(warned) == {
        LAYLA.name: ("stop", "same_need", "confirmed"),
        YUSUF.name: ("hold", "may_be_the_same", "possible"),
    }
    assert (plan.lines, plan.stopped_lines) == (6, 3)  # and Nour, who has no card


def test_without_lists_nothing_is_compared(agency: Agency) -> None:
    agency.prepare()
    assert (causes(agency), findings(agency)) == ({}, {})


def test_two_programmes_of_ours_do_not_give_one_household_the_same(agency: Agency) -> None:
    """The rent of March, by two programmes of one agency: the plan that was locked first stands."""
    rent = agency.prepare()
    flats = agency.cycle_beside("flats")
    stopped = {one: state for one, *_, state, _, _, _ in agency.lines(flats)}
    assert set(stopped.values()) == {"stopped"}
    agency.cycle_id, spring = flats.cycle_id, agency.cycle_id
    paid = {name for name, *_, state, _, _, _ in agency.lines(rent) if state != "stopped"}
    assert causes(agency) == dict.fromkeys(paid, "other_agency")
    assert findings(agency) == dict.fromkeys(paid, ("stop", "same_need", "confirmed"))
    with transaction(agency.engine) as conn:
        assert {f.programme for f in overlaps.findings(conn, flats.cycle_id)} == {"spring"}

    agency.cycle_id = spring
    agency.released(rent)
    with pytest.raises(Refusal, match="nothing_to_pay"):
        agency.follow_up(flats)


def test_programme_beside_takes_up_what_the_other_one_does_not_pay(agency: Agency) -> None:
    rent = agency.prepare()
    flats = agency.cycle_beside("flats")
    agency.cancel(rent)
    late = agency.follow_up(flats)
    assert (late.lines, late.stopped_lines) == (5, 0)
    agency.released(late)


def test_of_two_plans_of_ours_the_first_to_leave_stands(agency: Agency, tmp_path: Path) -> None:
    """Prepared while the two needs went together; the policy has changed since."""
    text = policies.DEFAULT.read_text(encoding="utf-8")
    lenient = tmp_path / "lenient.yaml"
    lenient.write_text(
        text.replace("shelter: same}", "shelter: complementary}", 1), encoding="utf-8"
    )
    amal = agency.id_of("amal")
    with transaction(agency.engine) as conn:
        policies.publish(conn, lenient, person_id=amal, at=agency.clock.now())
    rent = agency.prepare()
    flats = agency.cycle_beside("flats")
    assert flats.stopped_lines == 1  # Nour, who has no card
    with transaction(agency.engine) as conn:
        policies.publish(conn, policies.DEFAULT, person_id=amal, at=agency.clock.now())
    agency.released(flats)
    with pytest.raises(Refusal, match="plan_overlaps: 5 lines "):
        agency.released(rent)


def test_line_pays_what_is_left_below_the_ceiling(database: Database, tmp_path: Path) -> None:
    """1,000 lira a household and 1,500 a person: Layla, alone, may have 2,500 in a month."""
    houses = [
        replace(LAYLA, id_number=LAYLA_ID, amount_minor=100_000),
        replace(YUSUF, id_number="99123456818", amount_minor=200_000),
    ]
    agency = agency_with(database, tmp_path, "card_processor", houses, need="food")
    paid = {"need": "food", "currency": "TRY", "id_type": "tr_foreigner_id"}
    agency.take_list([
        row(LAYLA.name, id_number=LAYLA_ID, amount="1800.00", **paid),
        row(YUSUF.name, id_number="99123456818", amount="2500", **paid),
    ])  # fmt: skip
    plan = agency.prepare()
    assert {name: minor for name, _, _, _, minor, *_ in agency.lines(plan)} == {
        LAYLA.name: 70_000, YUSUF.name: 200_000,
    }  # fmt: skip
    assert causes(agency) == {YUSUF.name: "other_agency"}
    assert findings(agency) == {
        LAYLA.name: ("cap", "ceiling_nearly_full", "confirmed"),
        YUSUF.name: ("stop", "ceiling_full", "confirmed"),
    }
    assert plan.total_minor == 70_000
    agency.released(plan)


def test_possible_overlap_lapses_and_a_confirmed_one_escalates(warned: Agency) -> None:
    plan = warned.prepare()
    warned.clock.moment = datetime(2026, 3, 12, 9, tzinfo=UTC)
    late = warned.follow_up(plan)
    assert {name for name, *_ in warned.lines(late)} == {YUSUF.name}
    with transaction(warned.engine) as conn:
        states = {
            s.cause: s.state
            for s in stopping.stopped_lines(conn, warned.cycle_id, warned.clock.now())
        }
    assert states["other_agency"] == "escalated"


def test_two_people_override_with_one_of_the_reasons(warned: Agency) -> None:
    plan = warned.prepare()
    with pytest.raises(Refusal, match="override_reason_unknown"):
        act(warned, LAYLA.name, Action.OVERRIDE, "because", "amal")
    with pytest.raises(Refusal, match="overlap_reason_missing"):
        act(warned, LAYLA.name, Action.TOLD, " ", "amal")
    with pytest.raises(Refusal, match="role_missing"):
        act(warned, LAYLA.name, Action.OVERRIDE, "wrong-match", "sam")
    for _ in range(2):  # the same person is one person
        act(warned, LAYLA.name, Action.OVERRIDE, "wrong-match", "amal")
    with pytest.raises(Refusal, match="nothing_to_pay"):
        warned.follow_up(plan, key="one")
    act(warned, LAYLA.name, Action.OVERRIDE, "wrong-match", "deniz")
    late = warned.follow_up(plan, key="two")
    assert {name for name, *_ in warned.lines(late)} == {LAYLA.name}
    assert findings(warned)[LAYLA.name] == ("clear", "overridden", "confirmed")
    warned.released(late)


def test_appeal_is_answered(warned: Agency) -> None:
    plan = warned.prepare()
    with pytest.raises(Refusal, match="appeal_missing"):
        act(warned, LAYLA.name, Action.UPHOLD, "her card was stolen", "amal")
    act(warned, LAYLA.name, Action.TOLD, "by phone", "amal")
    act(warned, LAYLA.name, Action.APPEAL, "she was never given it", "amal")
    for login in ("amal", "deniz"):
        act(warned, LAYLA.name, Action.UPHOLD, "the other agency agrees", login)
    late = warned.follow_up(plan)
    assert {name for name, *_ in warned.lines(late)} == {LAYLA.name}
    assert findings(warned)[LAYLA.name] == ("clear", "appeal_upheld", "confirmed")
    with pytest.raises(Refusal, match="overlap_not_found"), transaction(warned.engine) as conn:
        overlaps.act(
            conn, 999_999, Action.TOLD, "by phone", person_id=warned.id_of("amal"),
            at=warned.clock.now(),
        )  # fmt: skip


def test_appeal_is_answered_after_the_plan_was_worked_on(warned: Agency) -> None:
    plan = warned.prepare()
    seen = number(warned, LAYLA.name)
    act(warned, LAYLA.name, Action.APPEAL, "she was never given it", "amal")
    warned.cancel(plan)
    again = warned.prepare(key="again")
    assert findings(warned)[LAYLA.name] == ("hold", "under_appeal", "confirmed")
    assert number(warned, LAYLA.name) != seen  # the verdict is another one, and so is its row

    act(warned, LAYLA.name, Action.UPHOLD, "the other agency agrees", "amal")
    with transaction(warned.engine) as conn:  # Deniz answers what was on his list on Monday
        overlaps.act(
            conn, seen, Action.UPHOLD, "the other agency agrees", person_id=warned.id_of("deniz"),
            at=warned.clock.now(),
        )  # fmt: skip
    late = warned.follow_up(again)
    assert {name for name, *_ in warned.lines(late)} == {LAYLA.name}
    assert findings(warned)[LAYLA.name] == ("clear", "appeal_upheld", "confirmed")


def test_database_takes_an_answer_for_the_evidence_that_was_appealed(warned: Agency) -> None:
    plan = warned.prepare()
    act(warned, LAYLA.name, Action.APPEAL, "she was never given it", "amal")
    yusuf = number(warned, YUSUF.name)
    warned.cancel(plan)
    warned.prepare(key="again")
    answer = (
        "INSERT INTO duplicates.overlap_act VALUES (%(overlap)s, 'uphold', 'y', %(amal)s, now())"
    )
    warned.raw(answer, overlap=number(warned, LAYLA.name), amal=warned.id_of("amal"))
    with pytest.raises(Refusal, match="appeal_missing"):
        warned.raw(answer, overlap=yusuf, amal=warned.id_of("amal"))


def test_asking_around_lets_nothing_certain_lapse(warned: Agency) -> None:
    ((left, right),) = warned.rows(
        "SELECT left_key, right_key FROM duplicates.current"
        " WHERE unit = 'person' AND band = 'automatic' AND right_key LIKE 'oa:%%'"
    )
    warned.decide(left, right, Verdict.ASK)
    plan = warned.prepare()
    assert causes(warned)[LAYLA.name] == "other_agency"
    warned.clock.moment = datetime(2026, 3, 12, 9, tzinfo=UTC)
    assert {name for name, *_ in warned.lines(warned.follow_up(plan))} == {YUSUF.name}


def test_people_decided_to_be_different_are_not_compared_again(warned: Agency) -> None:
    ((left, right),) = warned.rows(
        "SELECT left_key, right_key FROM duplicates.current"
        " WHERE unit = 'person' AND band = 'review' AND right_key LIKE 'oa:%%'"
        " AND left_key LIKE %s || '%%'", household(warned, YUSUF.name),
    )  # fmt: skip
    warned.decide(left, right, Verdict.DIFFERENT)
    warned.take_list([*LIST, row("Another One", birth_date="1990-01-02")])  # sent once more
    warned.prepare()
    assert causes(warned) == {LAYLA.name: "other_agency"}


def test_list_that_comes_before_the_release_is_looked_at_then(agency: Agency) -> None:
    plan = agency.approved(agency.prepare())
    agency.take_list([row(LAYLA.name, id_type="tr_foreigner_id", id_number=LAYLA_ID)])
    with pytest.raises(Refusal, match="plan_overlaps: 1 line "):
        agency.release(plan)
    assert findings(agency) == {LAYLA.name: ("stop", "same_need", "confirmed")}  # kept, to act on
    agency.cancel(plan)
    agency.released(agency.prepare(key="again"))
    assert causes(agency) == {LAYLA.name: "other_agency"}


def test_what_the_release_found_is_overridden_by_two_and_leaves(agency: Agency) -> None:
    plan = agency.approved(agency.prepare())
    agency.take_list([row(LAYLA.name, id_type="tr_foreigner_id", id_number=LAYLA_ID)])
    with pytest.raises(Refusal, match="plan_overlaps: 1 line "):
        agency.release(plan)
    for login in ("amal", "deniz"):
        act(agency, LAYLA.name, Action.OVERRIDE, "wrong-match", login)
    assert agency.release(plan).lines == 5


def test_plan_does_not_leave_before_a_list_was_matched(agency: Agency) -> None:
    plan = agency.approved(agency.prepare())
    rows = [row(LAYLA.name, id_type="tr_foreigner_id", id_number=LAYLA_ID)]
    agency.take_list(rows, matched=False)
    with pytest.raises(Refusal, match="lists_not_matched: 5 households"):
        agency.release(plan)
    agency.link(Scope.LISTS)
    with pytest.raises(Refusal, match="plan_overlaps: 1 line "):
        agency.release(plan)


def test_registration_that_came_back_is_matched_with_the_lists_again(agency: Agency) -> None:
    layla, yusuf, *_ = agency.register(
        [replace(house, id_number=LAYLA_ID) for house in HOUSES[:2]] + HOUSES[2:], "2"
    )
    agency.merge(layla, yusuf, kept=layla)
    agency.take_list(LIST)
    with transaction(agency.engine) as conn:
        for login in ("amal", "deniz"):
            duplicates.unmerge(
                conn, layla, yusuf, "both came", person_id=agency.id_of(login),
                at=agency.clock.now(),
            )  # fmt: skip
    with pytest.raises(Refusal, match="lists_not_matched: 1 household "):
        agency.prepare()
    agency.link(Scope.LISTS)
    agency.prepare()


def test_plan_waits_for_the_first_list_to_be_matched(agency: Agency) -> None:
    agency.take_list(LIST, matched=False)
    with pytest.raises(Refusal, match="lists_not_matched: 6 households"):
        agency.prepare()


def test_what_they_committed_after_us_is_theirs_to_stop(agency: Agency) -> None:
    plan = agency.approved(agency.prepare())
    later = row(
        LAYLA.name, id_type="tr_foreigner_id", id_number=LAYLA_ID, status="committed",
        committed_at="2026-03-30",
    )  # fmt: skip
    agency.take_list([later])
    agency.release(plan)
    with transaction(agency.engine) as conn:
        (found,) = overlaps.findings(conn, agency.cycle_id)
    assert (found.verdict, found.ours_first) == ("stop", True)


def test_plan_waits_for_lists_that_were_not_matched(agency: Agency) -> None:
    agency.take_list(LIST)
    agency.register([*HOUSES, replace(LAYLA, name="Amina Nasser", card="VC-00009000")], "2")
    with pytest.raises(Refusal, match="lists_not_matched: 6 households"):
        agency.prepare()


def test_later_list_replaces_what_an_earlier_one_said(warned: Agency) -> None:
    cancelled = row(LAYLA.name, id_type="tr_foreigner_id", id_number=LAYLA_ID, status="cancelled")
    warned.take_list([cancelled])
    warned.prepare()
    assert causes(warned) == {YUSUF.name: "possible_overlap"}


def test_matching_again_asks_nothing_anew(warned: Agency) -> None:
    before = warned.rows("SELECT * FROM duplicates.pair ORDER BY pair_id")
    warned.prepare()
    asked = warned.rows("SELECT * FROM duplicates.overlap ORDER BY overlap_id")
    assert [warned.link(Scope.LISTS).fresh for _ in range(2)] == [0, 0]
    warned.cancel(plan_of(warned))
    warned.prepare(key="again")
    assert warned.rows("SELECT * FROM duplicates.pair ORDER BY pair_id") == before
    assert warned.rows("SELECT * FROM duplicates.overlap ORDER BY overlap_id") == asked


def test_policy_in_force_may_change_and_come_back(warned: Agency, tmp_path: Path) -> None:
    text = policies.DEFAULT.read_text(encoding="utf-8")
    lenient = tmp_path / "lenient.yaml"
    lenient.write_text(
        text.replace("shelter: same}", "shelter: complementary}", 1), encoding="utf-8"
    )

    def publish(path: Path) -> None:
        with transaction(warned.engine) as conn:
            policies.publish(conn, path, person_id=warned.id_of("amal"), at=warned.clock.now())

    for _ in range(2):
        publish(lenient)
    plan = warned.prepare()
    assert causes(warned) == {}
    warned.cancel(plan)
    publish(policies.DEFAULT)
    warned.prepare(key="again")
    assert set(causes(warned)) == {LAYLA.name, YUSUF.name}
    assert warned.rows("SELECT count(*) FROM duplicates.policy_event") == [(3,)]


def test_our_list_is_read_by_another_agency_as_it_was_written(
    agency: Agency, tmp_path: Path
) -> None:
    agency.released(agency.prepare())
    path = tmp_path / "ours.csv"
    with transaction(agency.engine) as conn:
        rows = exporting.export_list(
            conn, VAULT, path, datetime(2026, 3, 1, tzinfo=UTC).date(),
            person_id=agency.id_of("amal"), at=agency.clock.now(),
        )  # fmt: skip
    assert (rows, path.stat().st_mode & 0o777) == (5, 0o600)
    taken = import_list(
        agency.engine, VAULT, agency.clock, agency.id_of("amal"), path, ListMapping(agency="UMUT")
    )
    assert (taken.records, taken.people, taken.refused) == (5, 5, 0)
    said = agency.rows(
        "SELECT programme, need, modality, unit, status, amount_minor, currency, people,"
        " first_day::text, last_day::text FROM duplicates.assistance ORDER BY row_no LIMIT 1"
    )
    assert len(said) == 1
    assert said[0][:5] == ("spring", "shelter", "voucher", "household", "committed")
    assert said[0][6:] == ("TRY", 4, "2026-03-01", "2026-03-31")


def household(agency: Agency, name: str) -> str:
    return next(one for one, known in agency.names.items() if known == name)


def plan_of(agency: Agency) -> Plan:
    with transaction(agency.engine) as conn:
        return planning.plans_of(conn, agency.cycle_id)[-1]
