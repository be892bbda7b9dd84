"""A card plan's whole life, from the lock of its lines to the close of its cycle."""

from dataclasses import replace
from datetime import date

import pytest

from adapters.simulators.card_processor import CardProcessor
from cva.payments.planning import Plan
from ledgers.problems import Refusal
from tests.cva.payments.agency import GRANT, Agency
from tests.cva.payments.conftest import HOUSES

FLOAT = "1110.MARKET-CARDS.TRY"
ENDED = {
    "Layla Haddad": "loaded", "Yusuf Saleh": "voided", "Maryam Aziz": "loaded",
    "Hasan Omar": "loaded", "Zahra Karim": "voided", "Nour Idris": "stopped",
}  # fmt: skip
# Everybody has a card that works now.
CORRECTED = [
    replace(house, card=f"VC-{number * 1000 + 9:08d}") for number, house in enumerate(HOUSES, 1)
]


def paid_and_asked(agency: Agency, processor: CardProcessor) -> Plan:
    plan = agency.released(agency.prepare())
    agency.send(plan)
    processor.run_once()
    agency.collect()
    agency.settle(plan)
    agency.inquire(plan)
    processor.run_once()
    agency.collect()
    agency.settle(plan)
    return plan


def test_a_plan_from_lock_to_close(  # noqa: PLR0915 - one life is one story
    cards: Agency, processor: CardProcessor
) -> None:
    plan = cards.prepare()
    assert (plan.lines, plan.stopped_lines, plan.total_minor, plan.people) == (6, 1, 4_500_000, 20)
    assert cards.rows("SELECT line_no, stopped FROM payments.line WHERE stopped <> ''") == [
        (6, "no_destination")
    ]
    cards.check_money()

    assert cards.approve(plan, "deniz").reserved_minor == 0
    assert cards.approve(plan, "omar").reserved_minor == 4_500_000
    assert cards.balance(f"9020.{GRANT}.TRY") == (4_500_000, 0)
    release = cards.release(plan)
    assert (release.lines, release.total_minor, release.files) == (5, 4_500_000, 1)
    assert cards.balance(FLOAT) == (100_000_000, -4_500_000)
    cards.check_money()

    (sent,) = cards.send(plan)
    assert (sent.control_count, sent.control_sum_minor, sent.outcome) == (5, 4_500_000, "accepted")
    processor.run_once()
    collected = cards.collect()
    assert (collected.documents, collected.observations, collected.unknown_lines) == (1, 3, 2)
    first = cards.settle(plan)
    assert (first.loaded, first.loaded_minor, first.short, first.voided) == (2, 1_125_000, 1, 1)
    assert (first.released_minor, first.unknown, first.pending) == (1_275_000, 2, 0)
    unknown = dict.fromkeys(("Maryam Aziz", "Zahra Karim"), "unknown")
    assert cards.states() == ENDED | unknown
    cards.check_money()

    assert cards.inquire(plan) == 2
    processor.run_once()
    cards.collect()
    second = cards.settle(plan)
    assert (second.loaded, second.voided, second.unknown) == (1, 1, 0)
    assert cards.states() == ENDED
    cards.check_money()

    cards.register(CORRECTED, revision="2")
    follow_up = cards.follow_up(plan)
    assert cards.lines(follow_up) == [
        ("Yusuf Saleh", "regular", 2, "planned", 750_000, 0, 0),
        ("Hasan Omar", "shortfall", 1, "planned", 525_000, 0, 0),
        ("Zahra Karim", "regular", 2, "planned", 1_200_000, 0, 0),
        ("Nour Idris", "regular", 2, "planned", 450_000, 0, 0),
    ]
    cards.released(follow_up)
    cards.send(follow_up)
    processor.run_once()
    cards.collect()
    assert cards.settle(follow_up).loaded_minor == 2_925_000
    cards.check_money()
    with pytest.raises(Refusal, match="nothing_to_pay"):
        cards.follow_up(follow_up, key="another")

    processor.settle(date(2026, 3, 3))
    cards.collect()
    before = cards.reconcile()
    assert (before.unexplained_minor, before.pending_lines) == (1_050, 0)  # seven fees of 1.50
    with pytest.raises(Refusal, match="cycle_not_reconciled"):
        cards.close()
    assert (cards.book_fees(), cards.book_fees()) == (1, 0)
    after = cards.reconcile()
    assert (after.unexplained_minor, after.pending_lines) == (0, 0)
    assert after.ledger_minor == after.reported_minor == after.booked_minor == 4_950_000
    assert sorted((d.name.value, d.amount_minor) for d in after.differences) == [
        ("fee", 1_050), ("missing", 750_000), ("missing", 1_200_000), ("short", 525_000),
    ]  # fmt: skip
    assert cards.balance(FLOAT) == (processor.available_minor("MARKET"), 0)
    assert cards.close() == after.reconciliation_id == cards.close()
    cards.check_money()

    for late in (cards.prepare, lambda **_: cards.follow_up(plan, key="late")):
        with pytest.raises(Refusal, match="cycle_closed"):
            late(key="late")


def test_every_household_was_loaded_once_at_the_processor(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = paid_and_asked(cards, processor)
    for _ in range(2):
        cards.send(plan)
        processor.run_once()
        cards.collect()
        cards.settle(plan)
    fees = 150 * 3
    assert processor.available_minor("MARKET") == 100_000_000 - 600_000 - 900_000 - 525_000 - fees


def test_a_refused_file_voids_its_lines_and_they_follow(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = cards.released(cards.prepare())
    cards.send(plan)
    damage_what_lies_in_the_folder(cards)
    processor.run_once()
    cards.collect()

    assert cards.states()["Layla Haddad"] == "pending"
    assert cards.send(plan) == []  # what was refused is not sent again by itself
    assert cards.settle(plan).voided == 5
    cards.check_money()
    with pytest.raises(Refusal, match="file_was_taken"):
        cards.not_taken(cards.files()[0][0])

    cards.register(CORRECTED, revision="2")
    follow_up = cards.released(cards.follow_up(plan))
    cards.send(follow_up)
    processor.run_once()
    cards.collect()
    assert cards.settle(follow_up).loaded == 6
    cards.check_money()


def test_a_refused_file_may_instead_be_replaced(cards: Agency, processor: CardProcessor) -> None:
    plan = cards.released(cards.prepare())
    cards.send(plan)
    damage_what_lies_in_the_folder(cards)
    processor.run_once()
    cards.collect()

    cards.not_taken(cards.files()[0][0])

    assert cards.settle(plan).voided == 0  # the refusal was of the file that is replaced
    (again,) = cards.send(plan)
    assert again.message_id.endswith("00102")
    processor.run_once()
    cards.collect()
    assert cards.settle(plan).loaded == 2
    cards.check_money()


def test_a_plan_too_large_for_the_budget_or_the_float_is_refused(cards: Agency) -> None:
    plan = cards.prepare()
    cards.leave("9010", 4_499_999)
    cards.approve(plan, "deniz")
    with pytest.raises(Refusal, match=r"account_limit: The account 9010.* 0\.01 TRY below zero"):
        cards.approve(plan, "omar")
    cards.fund("budget_allotted", 1, key="more")
    cards.approve(plan, "omar")
    cards.leave("1110", 4_499_999)
    with pytest.raises(Refusal, match=r"account_limit: The account 1110"):
        cards.release(plan)
    assert cards.one("SELECT count(*) FROM payments.signature WHERE act = 'released'") == 0
    cards.fund("float_credited", 1, key="more float")
    cards.release(plan)
    cards.check_money()


@pytest.mark.parametrize(("above_minor", "approvers"), [(4_499_999, 3), (4_500_000, 2)])
def test_a_plan_above_a_threshold_needs_more_approvers(
    cards: Agency, above_minor: int, approvers: int
) -> None:
    cards.thresholds = ((above_minor, 3),)
    plan = cards.prepare()
    assert plan.approvers_needed == approvers
    assert [cards.approve(plan, login).reserved_minor for login in ("deniz", "omar")] == [
        0, 4_500_000 if approvers == 2 else 0,
    ]  # fmt: skip


def test_a_cancelled_plan_frees_its_money_and_its_households(cards: Agency) -> None:
    plan = cards.approved(cards.prepare())
    assert cards.balance(f"9020.{GRANT}.TRY")[0] == 4_500_000

    assert (cards.cancel(plan), cards.cancel(plan, "omar")) == (5, 5)

    assert cards.balance(f"9020.{GRANT}.TRY")[0] == 0
    with pytest.raises(Refusal, match="plan_cancelled"):
        cards.release(plan)
    again = cards.prepare(key="again")
    assert (again.lines, again.stopped_lines, again.total_minor) == (6, 1, 4_500_000)
    assert {attempt for _, _, attempt, *_ in cards.lines(again)} == {2}
    cards.check_money()


def test_a_released_plan_is_cancelled_only_while_nobody_can_have_taken_it(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = cards.released(cards.prepare())
    with pytest.raises(Refusal, match="role_missing"):
        cards.cancel(plan, "amal")  # now it is money

    assert cards.cancel(plan, "omar") == 5

    assert cards.balance(FLOAT) == (100_000_000, 0)
    assert cards.balance(f"9010.{GRANT}.TRY")[0] == 100_000_000
    cards.check_money()
    with pytest.raises(Refusal, match="plan_cancelled"):
        cards.send(plan)
    again = cards.released(cards.prepare(key="again"))
    cards.send(again)
    with pytest.raises(Refusal, match="plan_already_released"):
        cards.cancel(again, "omar")
    processor.run_once()
    cards.collect()
    assert cards.settle(again).loaded == 2


def test_duplicates_and_refused_consent_stop_a_line_visibly(cards: Agency) -> None:
    shared = "99123456740"
    changed = [
        replace(HOUSES[0], id_number=shared), replace(HOUSES[1], id_number=shared),
        replace(HOUSES[2], consent="no"), replace(HOUSES[3], card="?? 4"), HOUSES[4], HOUSES[5],
    ]  # fmt: skip
    first, second, *_ = cards.register(changed, revision="2")
    plan = cards.prepare()
    assert stops(cards, plan) == {
        "Layla Haddad": "duplicate", "Yusuf Saleh": "duplicate", "Maryam Aziz": "no_consent",
        "Hasan Omar": "doubtful_destination", "Nour Idris": "no_destination",
    }  # fmt: skip
    cards.cancel(plan)
    left, right = sorted((first, second))
    cards.merge(left, right, kept=first)
    again = cards.prepare(key="again")
    assert stops(cards, again) == {
        "Yusuf Saleh": "withdrawn", "Maryam Aziz": "no_consent",
        "Hasan Omar": "doubtful_destination", "Nour Idris": "no_destination",
    }  # fmt: skip


def test_a_plan_of_stopped_lines_has_nothing_to_release(cards: Agency) -> None:
    cards.register([replace(house, card="") for house in HOUSES], revision="2")
    plan = cards.approved(cards.prepare())
    with pytest.raises(Refusal, match="nothing_to_release"):
        cards.release(plan)


def test_what_is_not_there_is_said_plainly(cards: Agency) -> None:
    plan = cards.prepare()
    with pytest.raises(Refusal, match="run_not_found"):
        cards.prepare(cycle_id="cyc_" + "0" * 26, key="other")
    with pytest.raises(Refusal, match="plan_not_found"):
        cards.approve(replace(plan, plan_id="plan_" + "0" * 26), "deniz")
    with pytest.raises(Refusal, match="file_not_found"):
        cards.not_taken("fil_" + "0" * 26)
    with pytest.raises(Refusal, match="plan_not_released"):
        cards.send(plan)
    with pytest.raises(Refusal, match="never_reconciled"):
        cards.close()
    with pytest.raises(Refusal, match="nothing_to_pay"):
        cards.prepare(key="other")
    with pytest.raises(Refusal, match="event_unknown"):
        cards.fund("money_printed")
    with pytest.raises(Refusal, match=r"funding_not_above_zero: .* moves -1,250\.50 TRY, which"):
        cards.fund("budget_allotted", -125050, key="less")
    cards.provider = replace(cards.provider, code="")
    with pytest.raises(Refusal, match="provider_needed"):
        cards.fund("float_credited", key="where to")


def test_a_document_after_the_reconciliation_keeps_the_cycle_open(
    cards: Agency, processor: CardProcessor
) -> None:
    paid_and_asked(cards, processor)
    processor.settle(date(2026, 3, 3))
    cards.collect()
    cards.book_fees()
    assert cards.reconcile().unexplained_minor == 0
    processor.settle(date(2026, 3, 4))
    cards.collect()
    with pytest.raises(Refusal, match="reconciliation_outdated"):
        cards.close()
    cards.reconcile()
    cards.close()


def test_a_cycle_with_lines_on_their_way_stays_open(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = paid_and_asked(cards, processor)
    processor.settle(date(2026, 3, 3))
    cards.collect()
    cards.book_fees()
    cards.register(CORRECTED, revision="2")
    follow_up = cards.follow_up(plan)
    assert cards.reconcile().unexplained_minor == 0  # nothing of the follow-up is released
    with pytest.raises(Refusal, match="cycle_has_open_lines"):
        cards.close()
    cards.released(follow_up)
    assert cards.reconcile().pending_lines == 4
    with pytest.raises(Refusal, match="cycle_not_reconciled"):
        cards.close()


def stops(agency: Agency, plan: Plan) -> dict[str, str]:
    rows = agency.rows(
        "SELECT household_id, stopped FROM payments.line WHERE plan_id = %s AND stopped <> ''",
        plan.plan_id,
    )
    return {agency.names[household_id]: reason for household_id, reason in rows}


def damage_what_lies_in_the_folder(agency: Agency) -> None:
    (path,) = (agency.folder / "to-cards").glob("*.txt")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("|600000|", "|900000|"), encoding="utf-8")
