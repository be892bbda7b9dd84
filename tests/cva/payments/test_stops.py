"""Stopped lines: whose work they are, until when, and what the deadline brings."""

from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from adapters.simulators.card_processor import CardProcessor
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.payments import planning, stopping
from cva.payments.planning import Plan
from cva.payments.stopping import Stopped
from cva.registry.duplicates import Verdict
from ledgers.problems import Refusal
from tests.cva.payments.agency import Agency
from tests.cva.payments.conftest import HOUSES

MONDAY = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
NEXT_MONDAY = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)  # five working days later
LAYLA, YUSUF = "Layla Haddad", "Yusuf Saleh"
SHARED = "99123456740"


def link(agency: Agency, left: str, right: str, *, band: str = "review", token: int = 1) -> None:
    """Record a run that found two households to be possibly one."""
    by_name = {name: household_id for household_id, name in agency.names.items()}
    first, second = sorted((by_name[left], by_name[right]))
    values = {
        "run": new_id("lnk", agency.clock.now()), "amal": agency.id_of("amal"),
        "at": agency.clock.now(), "left": first, "right": second, "band": band,
        "token": token.to_bytes(16), "model": bytes(32),
    }  # fmt: skip
    agency.raw(
        "INSERT INTO duplicates.model VALUES (%(model)s, '{}', %(amal)s, %(at)s)"
        " ON CONFLICT DO NOTHING",
        "INSERT INTO duplicates.run VALUES (%(run)s, 'whole', %(model)s, 99, NULL, 6, 1, 1,"
        " %(amal)s, %(at)s)",
        "INSERT INTO duplicates.pair (run_id, unit, left_key, right_key, band, likeness, shared,"
        " pieces, evidence) VALUES (%(run)s, 'household', %(left)s, %(right)s, %(band)s, 'same',"
        " 3, '[]', %(token)s) ON CONFLICT DO NOTHING",
        "INSERT INTO duplicates.seen SELECT %(run)s, pair_id FROM duplicates.pair"
        " WHERE evidence = %(token)s",
        **values,
    )  # fmt: skip


def stops(agency: Agency, at: datetime | None = None) -> dict[str, Stopped]:
    with transaction(agency.engine) as conn:
        found = stopping.stopped_lines(conn, agency.cycle_id, at or agency.clock.now())
        return {agency.names[stop.household_id]: stop for stop in found}


def ends(agency: Agency) -> set[tuple]:
    return set(
        agency.rows(
            "SELECT s.cause, e.kind FROM payments.stop_end e"
            " JOIN payments.stop s USING (plan_id, line_no)"
        )
    )


def decide_different(agency: Agency, left: str, right: str) -> None:
    by_name = {name: household_id for household_id, name in agency.names.items()}
    agency.decide(by_name[left], by_name[right], Verdict.DIFFERENT)


@pytest.fixture
def doubted(cards: Agency) -> Agency:
    """Layla and Yusuf may be one household."""
    link(cards, LAYLA, YUSUF)
    return cards


@pytest.fixture
def plan(doubted: Agency) -> Plan:
    return doubted.prepare()


def test_possible_duplicate_stops_both_with_owner_age_and_deadline(
    doubted: Agency, plan: Plan
) -> None:
    found = stops(doubted)
    assert {name: (s.cause, s.owner, s.person, s.state) for name, s in found.items()} == {
        LAYLA: ("possible_duplicate", "programme", None, "waiting"),
        YUSUF: ("possible_duplicate", "programme", None, "waiting"),
        "Nour Idris": ("no_destination", "finance", None, "waiting"),
    }
    assert {(s.since.date(), s.due_at.date()) for s in found.values()} == {
        (MONDAY.date(), NEXT_MONDAY.date())
    }
    assert plan.stopped_lines == 3


def test_emergency_waits_for_hours(doubted: Agency) -> None:
    with transaction(doubted.engine) as conn:
        planning.prepare(
            conn, doubted.cycle_id, replace(doubted.terms, emergency=True),
            person_id=doubted.id_of("amal"), at=doubted.clock.now(), key="soon",
        )  # fmt: skip
    layla = stops(doubted)[LAYLA]
    assert (layla.due_at - layla.since).total_seconds() == 48 * 3600


def test_deadline_lapses_into_a_follow_up_with_approvals_like_any_other(
    doubted: Agency, plan: Plan
) -> None:
    with pytest.raises(Refusal, match="nothing_to_pay"):
        doubted.follow_up(plan, key="too early")
    assert ends(doubted) == set()
    doubted.clock.moment = datetime(2026, 3, 9, 9, tzinfo=UTC)
    assert stops(doubted)[LAYLA].state == "lapsed"

    late = doubted.follow_up(plan)

    assert ends(doubted) == {("possible_duplicate", "lapsed"), ("no_destination", "escalated")}
    assert {name for name, *_ in doubted.lines(late)} == {LAYLA, YUSUF}
    assert late.stopped_lines == 0
    with pytest.raises(Refusal, match="approvals_missing"):
        doubted.release(late)
    doubted.released(late)
    assert stops(doubted)[LAYLA].state == "answered"


def test_deadline_counts_when_the_plan_is_worked_on(doubted: Agency, plan: Plan) -> None:
    doubted.clock.moment = datetime(2026, 3, 10, 9, tzinfo=UTC)
    doubted.approve(plan, "deniz")
    assert ends(doubted) == {("possible_duplicate", "lapsed"), ("no_destination", "escalated")}


def test_exact_duplicate_never_lapses_and_escalates(cards: Agency) -> None:
    cards.register([replace(h, id_number=SHARED) for h in HOUSES[:2]] + HOUSES[2:], revision="2")
    plan = cards.prepare()
    cards.clock.moment = datetime(2026, 6, 1, 9, tzinfo=UTC)
    with pytest.raises(Refusal, match="nothing_to_pay"):
        cards.follow_up(plan)
    layla = stops(cards)[LAYLA]
    assert (layla.cause, layla.state, layla.owner) == ("duplicate", "escalated", "administrator")
    cards.approve(plan, "deniz")
    assert ("duplicate", "escalated") in ends(cards)


def test_automatic_link_never_lapses(cards: Agency) -> None:
    link(cards, LAYLA, YUSUF, band="automatic")
    plan = cards.prepare()
    cards.clock.moment = datetime(2026, 6, 1, 9, tzinfo=UTC)
    with pytest.raises(Refusal, match="nothing_to_pay"):
        cards.follow_up(plan)
    assert stops(cards)[LAYLA].state == "escalated"


def test_decision_frees_the_line_before_the_deadline(doubted: Agency, plan: Plan) -> None:
    decide_different(doubted, LAYLA, YUSUF)
    assert stops(doubted)[LAYLA].state == "answered"
    assert {name for name, *_ in doubted.lines(doubted.follow_up(plan))} == {LAYLA, YUSUF}
    doubted.clock.moment = datetime(2026, 3, 10, 9, tzinfo=UTC)
    doubted.approve(plan, "deniz")
    assert ends(doubted) == {("no_destination", "escalated")}  # nothing lapsed: people decided


def test_preparing_again_does_not_begin_the_wait_again(doubted: Agency, plan: Plan) -> None:
    before = stops(doubted)[LAYLA].due_at
    doubted.cancel(plan)
    doubted.clock.moment = datetime(2026, 3, 5, 9, tzinfo=UTC)
    doubted.prepare(key="again")
    dues = {
        (str(plan_id), due)
        for plan_id, due in doubted.rows(
            "SELECT plan_id, due_at FROM payments.stop WHERE cause <> 'no_destination'"
        )
    }
    assert {due for _, due in dues} == {before}
    assert len({plan_id for plan_id, _ in dues}) == 2
    nour = doubted.rows("SELECT DISTINCT due_at FROM payments.stop WHERE cause = 'no_destination'")
    assert len(nour) == 1


def test_lapsed_pair_does_not_stop_the_next_plan_and_new_evidence_does(
    doubted: Agency, plan: Plan
) -> None:
    doubted.clock.moment = datetime(2026, 3, 20, 9, tzinfo=UTC)
    doubted.cancel(plan)
    again = doubted.prepare(key="again")
    assert again.stopped_lines == 1  # Nour has no card
    doubted.cancel(again)
    link(doubted, LAYLA, YUSUF, token=1)  # linked again: the same evidence
    same = doubted.prepare(key="same")
    assert same.stopped_lines == 1
    doubted.cancel(same)
    link(doubted, LAYLA, YUSUF, token=2)
    other = doubted.prepare(key="other")
    assert other.stopped_lines == 3
    assert stops(doubted)[LAYLA].since > datetime(2026, 3, 20, tzinfo=UTC)


def test_decision_outlives_another_run_and_not_other_evidence(doubted: Agency) -> None:
    decide_different(doubted, LAYLA, YUSUF)
    link(doubted, LAYLA, YUSUF, token=1)
    assert doubted.rows("SELECT count(*) FROM duplicates.possible") == [(0,)]
    link(doubted, LAYLA, YUSUF, token=2)
    assert doubted.rows("SELECT count(*) FROM duplicates.possible") == [(1,)]
    assert doubted.rows("SELECT verdict FROM duplicates.decision") == [("different",)]


def test_somebody_is_named_for_a_stop(doubted: Agency, plan: Plan) -> None:
    line_no = stops(doubted)[LAYLA].line_no
    for login in ("omar", "deniz"):
        with transaction(doubted.engine) as conn:
            stopping.assign(
                conn, plan.plan_id, line_no, doubted.id_of(login),
                person_id=doubted.id_of("amal"), at=doubted.clock.now(),
            )  # fmt: skip
    assert stops(doubted)[LAYLA].person == "deniz"
    with transaction(doubted.engine) as conn, pytest.raises(Refusal, match="stop_not_found"):
        stopping.assign(
            conn, plan.plan_id, 1 + plan.lines, doubted.id_of("omar"),
            person_id=doubted.id_of("amal"), at=doubted.clock.now(),
        )  # fmt: skip


@pytest.mark.usefixtures("plan")
@pytest.mark.parametrize(
    ("cause", "kind", "at", "code"),
    [
        ("possible_duplicate", "lapsed", "2026-03-05", "deadline_not_passed"),
        ("possible_duplicate", "escalated", "2026-03-10", "stop_never_lapses"),
        ("no_destination", "lapsed", "2026-03-10", "stop_never_lapses"),
    ],
)
def test_database_lets_nothing_lapse_by_hand(
    doubted: Agency, cause: str, kind: str, at: str, code: str
) -> None:
    with pytest.raises(Refusal, match=code):
        doubted.raw(
            "INSERT INTO payments.stop_end SELECT plan_id, line_no, %(kind)s, %(at)s::timestamptz"
            " FROM payments.stop WHERE cause = %(cause)s LIMIT 1",
            cause=cause, kind=kind, at=f"{at} 00:00+00",
        )  # fmt: skip


def test_database_makes_nothing_lapse_that_is_not_possible(doubted: Agency) -> None:
    plan = doubted.prepare()
    stop = (
        "INSERT INTO payments.stop SELECT plan_id, line_no, {}, 'finance', now(),"
        " now() + interval '1 day', {} FROM payments.line WHERE plan_id = %(plan)s"
        " AND stopped IS {} NULL LIMIT 1"
    )
    with pytest.raises(psycopg.errors.CheckViolation):
        doubted.raw(stop.format("'no_consent'", "true", ""), plan=plan.plan_id)
    with pytest.raises(Refusal, match="stop_without_stopped_line"):
        doubted.raw(stop.format("'no_consent'", "false", ""), plan=plan.plan_id)


def test_failed_payment_that_cannot_be_made_again_is_stopped_visibly(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = cards.released(cards.prepare())
    cards.send(plan)
    processor.run_once()
    cards.collect()
    cards.settle(plan)
    assert cards.states(plan)[YUSUF] == "voided"
    link(cards, YUSUF, "Maryam Aziz")

    late = cards.follow_up(plan)

    assert cards.states(late)[YUSUF] == "stopped"
    yusuf = stops(cards)[YUSUF]
    assert (yusuf.cause, yusuf.owner, yusuf.state) == ("possible_duplicate", "programme", "waiting")
    with pytest.raises(Refusal, match="nothing_to_pay"):
        cards.follow_up(plan, key="again")  # it waits already, for the same cause
    cards.clock.moment = yusuf.due_at
    assert set(cards.states(cards.follow_up(plan, key="due"))) == {YUSUF}


def test_clock_begins_and_ends_also_where_nothing_is_left_to_pay(
    doubted: Agency, plan: Plan
) -> None:
    decide_different(doubted, LAYLA, YUSUF)
    late = doubted.follow_up(plan, key="late")
    doubted.cancel(late)
    link(doubted, LAYLA, YUSUF, token=2)
    doubted.clock.moment = datetime(2026, 3, 10, 9, tzinfo=UTC)
    again = doubted.follow_up(plan, key="again")
    assert (again.lines, again.stopped_lines) == (2, 2)
    due = stops(doubted)[LAYLA].due_at
    doubted.clock.moment = datetime(2026, 3, 11, 9, tzinfo=UTC)
    with pytest.raises(Refusal, match="nothing_to_pay"):
        doubted.follow_up(plan, key="soon")
    doubted.clock.moment = datetime(2026, 3, 30, 9, tzinfo=UTC)
    assert stops(doubted)[LAYLA].due_at == due
    assert set(doubted.states(doubted.follow_up(plan, key="due"))) == {LAYLA, YUSUF}


def test_deadlines_that_passed_are_kept_where_nothing_is_left_to_pay(cards: Agency) -> None:
    plan = cards.prepare()
    cards.clock.moment = datetime(2026, 3, 10, 9, tzinfo=UTC)
    with pytest.raises(Refusal, match="nothing_to_pay"):
        cards.follow_up(plan)
    assert ends(cards) == {("no_destination", "escalated")}
