"""One household, several registrations: paid once, before and after people know that it is one."""

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.simulators.card_processor import CardProcessor
from cva.database.connect import transaction
from cva.payments import linkage
from cva.payments.planning import Plan
from cva.registry import duplicates
from cva.registry.duplicates import Verdict
from ledgers.problems import Refusal
from tests.cva.payments.agency import Agency, House, agency_with
from tests.cva.payments.conftest import HOUSES
from tests.cva.payments.test_stops import link, stops
from tests.databases import Database

LAYLA, YUSUF, MARYAM, HASAN, ZAHRA, NOUR = (house.name for house in HOUSES)
SHARED = "99123456740"


def hold_one_number(agency: Agency, *names: str) -> list[str]:
    """Register all again, some of them with the same number; Nour now has a card."""
    ids = agency.register(
        [
            replace(
                house,
                id_number=SHARED if house.name in names else "",
                card=house.card or "VC-00006000",
            )
            for house in HOUSES
        ],
        revision="2",
    )
    by_name = dict(zip((house.name for house in HOUSES), ids, strict=True))
    return [by_name[name] for name in names]


def unmerge(agency: Agency, left: str, right: str) -> None:
    for login in ("amal", "deniz"):
        with transaction(agency.engine) as conn:
            duplicates.unmerge(
                conn, left, right, "both came", person_id=agency.id_of(login),
                at=agency.clock.now(),
            )  # fmt: skip


def settled(agency: Agency, processor: CardProcessor) -> Plan:
    """Layla is loaded, Yusuf's card is rejected, Hasan gets half, Nour had no card."""
    plan = agency.released(agency.prepare())
    agency.send(plan)
    processor.run_once()
    agency.collect()
    agency.settle(plan)
    return plan


def paid_names(agency: Agency, plan: Plan) -> set[str]:
    return {name for name, _, _, state, *_ in agency.lines(plan) if state != "stopped"}


# --- paid, then known to be one ---


def test_household_that_was_paid_is_not_paid_by_the_registration_that_is_kept(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = settled(cards, processor)
    layla, nour = hold_one_number(cards, LAYLA, NOUR)
    assert stops(cards)[NOUR].cause == "no_destination"
    cards.merge(layla, nour, kept=nour)

    late = cards.follow_up(plan)

    assert paid_names(cards, late) == {YUSUF, HASAN}
    assert (stops(cards)[NOUR].cause, stops(cards)[NOUR].state) == ("paid_as_other", "answered")
    with pytest.raises(Refusal, match="nothing_to_pay"):
        cards.follow_up(plan, key="again")
    cards.check_money()


def test_shortfall_of_a_household_that_was_paid_otherwise_stops(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = settled(cards, processor)
    layla, hasan = hold_one_number(cards, LAYLA, HASAN)
    cards.merge(layla, hasan, kept=hasan)
    late = cards.follow_up(plan)
    assert paid_names(cards, late) == {YUSUF, NOUR}
    assert stops(cards)[HASAN].cause == "paid_as_other"


def test_payment_that_failed_for_certain_frees_the_registration_that_is_kept(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = settled(cards, processor)
    yusuf, nour = hold_one_number(cards, YUSUF, NOUR)
    cards.merge(yusuf, nour, kept=nour)
    late = cards.follow_up(plan)
    assert paid_names(cards, late) == {HASAN, NOUR}


def test_payment_on_its_way_stops_the_registration_that_is_kept(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = settled(cards, processor)
    maryam, nour = hold_one_number(cards, MARYAM, NOUR)  # nobody has spoken of Maryam's load
    cards.merge(maryam, nour, kept=nour)
    assert NOUR not in paid_names(cards, cards.follow_up(plan))
    assert stops(cards)[NOUR].cause == "paid_as_other"


def test_a_chain_of_registrations_is_one_household(cards: Agency, processor: CardProcessor) -> None:
    plan = settled(cards, processor)
    layla, yusuf, nour = hold_one_number(cards, LAYLA, YUSUF, NOUR)
    cards.merge(layla, yusuf, kept=yusuf)
    cards.merge(yusuf, nour, kept=nour)
    assert NOUR not in paid_names(cards, cards.follow_up(plan))


def test_merge_that_was_undone_frees_both_again(cards: Agency, processor: CardProcessor) -> None:
    plan = settled(cards, processor)
    layla, nour = hold_one_number(cards, LAYLA, NOUR)
    cards.merge(layla, nour, kept=nour)
    unmerge(cards, layla, nour)
    cards.decide(layla, nour, Verdict.DIFFERENT)
    assert paid_names(cards, cards.follow_up(plan)) == {YUSUF, HASAN, NOUR}


def test_database_pays_no_household_as_two(cards: Agency, processor: CardProcessor) -> None:
    plan = settled(cards, processor)
    layla, nour = hold_one_number(cards, LAYLA, NOUR)
    cards.merge(layla, nour, kept=nour)
    with pytest.raises(Refusal, match="already_paid_or_pending"):
        cards.raw(
            "INSERT INTO payments.line SELECT (jsonb_populate_record(l, jsonb_build_object("
            " 'plan_id', 'plan_' || repeat('0', 26), 'attempt', 2, 'stopped', NULL,"
            " 'instruction_ref', 'AGAIN'))).*"
            " FROM payments.line l WHERE (plan_id, household_id) = (%(plan)s, %(nour)s)",
            plan=plan.plan_id, nour=nour,
        )  # fmt: skip


# --- locked, then known to be one ---


def test_plan_does_not_leave_with_a_number_that_two_hold(cards: Agency) -> None:
    plan = cards.approved(cards.prepare())
    layla, yusuf = hold_one_number(cards, LAYLA, YUSUF)
    with pytest.raises(Refusal, match="plan_duplicates: 2 lines "):
        cards.release(plan)
    cards.decide(layla, yusuf, Verdict.DIFFERENT)
    assert cards.release(plan).lines == 5


def test_plan_does_not_leave_with_a_registration_that_was_merged(cards: Agency) -> None:
    plan = cards.approved(cards.prepare())
    layla, yusuf = hold_one_number(cards, LAYLA, YUSUF)
    cards.merge(layla, yusuf, kept=yusuf)
    with pytest.raises(Refusal, match="plan_duplicates: 1 line "):
        cards.release(plan)
    cards.cancel(plan)
    cards.released(cards.prepare(key="again"))
    assert stops(cards)[LAYLA].cause == "withdrawn"


@pytest.mark.parametrize(("band", "lines"), [("automatic", 2), ("review", 0)])
def test_plan_does_not_leave_with_what_linkage_is_certain_of(
    cards: Agency, band: str, lines: int
) -> None:
    plan = cards.approved(cards.prepare())
    link(cards, LAYLA, YUSUF, band=band)
    if not lines:  # what is only possible had no clock when the plan was signed
        assert cards.release(plan).lines == 5
        return
    with pytest.raises(Refusal, match=f"plan_duplicates: {lines} lines "):
        cards.release(plan)


def test_plan_does_not_leave_while_the_household_is_paid_by_another_plan(
    database: Database, tmp_path: Path
) -> None:
    early, late = House(LAYLA, card="VC-00001000"), House(NOUR, card="VC-00006000")
    agency = agency_with(
        database, tmp_path, "card_processor", [early, replace(late, selected=False)]
    )
    first = agency.approved(agency.prepare())
    agency.assess([early, late])
    second = agency.approved(agency.prepare(key="second"))
    assert (agency.states(first), agency.states(second)) == (
        {LAYLA: "planned"}, {NOUR: "planned"},
    )  # fmt: skip
    agency.release(first)
    houses = [replace(house, id_number=SHARED) for house in (early, late)]
    layla, nour = agency.register(houses, revision="2")
    agency.merge(layla, nour, kept=nour)
    with pytest.raises(Refusal, match="plan_duplicates: 1 line "):
        agency.release(second)


# --- compared with whom ---


def test_households_that_nobody_compared_are_counted(cards: Agency) -> None:
    plan = cards.prepare()

    def unseen() -> int:
        with transaction(cards.engine) as conn:
            return linkage.not_linked(conn, plan.plan_id)

    assert unseen() == 5  # Nour is not paid
    link(cards, LAYLA, YUSUF)
    assert unseen() == 0
    cards.cancel(plan)
    cards.raw(
        "INSERT INTO duplicates.run SELECT 'lnk_' || repeat('z', 26), scope, model_sha256, 2,"
        " NULL, people, pairs, fresh, person_id, at + interval '1 minute' FROM duplicates.run"
    )
    assert unseen() == 3  # registered since


def test_registration_that_came_back_is_compared_before_it_is_paid(cards: Agency) -> None:
    layla, yusuf = hold_one_number(cards, LAYLA, YUSUF)
    cards.merge(layla, yusuf, kept=layla)
    link(cards, MARYAM, HASAN, token=1)  # Yusuf's registration stood for nothing then
    unmerge(cards, layla, yusuf)
    with pytest.raises(Refusal, match="restored_not_linked: 1 registration "):
        cards.prepare()
    link(cards, LAYLA, YUSUF, token=2)
    cards.prepare()
    assert {stops(cards)[name].cause for name in (LAYLA, YUSUF)} == {"duplicate"}
