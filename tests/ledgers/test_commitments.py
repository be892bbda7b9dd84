"""What plans have reserved of a grant's budget is freed by what becomes of them, and by nothing."""

from datetime import datetime
from pathlib import Path

import pytest

from adapters.simulators.card_processor import CardProcessor
from cva import bookkeeping
from cva.bookkeeping import Bookkeeper
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.payments.planning import Plan
from ledgers.entries import EntryHead, Leg, record
from ledgers.problems import Refusal
from tests.cva.payments.agency import CARDS, FIRST_DAY, GRANT, Agency, House, agency_with
from tests.databases import Database

FREE, RESERVED, SPENT = (f"{code}.{GRANT}.TRY" for code in ("9010", "9020", "9040"))
HOUSES = [
    House("Layla Haddad", 600_000, "VC-00001000"),
    House("Nour Idris", 900_000, "VC-00002000"),
]
TOTAL = 1_500_000


@pytest.fixture
def cards(database: Database, tmp_path: Path) -> Agency:
    return agency_with(database, tmp_path, "card_processor", HOUSES)


@pytest.fixture
def plan(cards: Agency) -> Plan:
    """A plan that was approved: its sum is reserved."""
    return cards.approved(cards.prepare())


def free(agency: Agency, minor: int, *, key: str, to: str = FREE) -> None:
    """Type an entry that takes from what is reserved, as nobody's plan says."""
    at = agency.clock.now()
    head = EntryHead(
        new_id("je", at), key, "commitment_released", FIRST_DAY, agency.id_of("deniz"),
        "needed elsewhere", recorded_on=FIRST_DAY,
    )  # fmt: skip
    legs = [Leg(to, minor, "M", grant_code=GRANT), Leg(RESERVED, -minor, "M", grant_code=GRANT)]
    with transaction(agency.engine) as conn:
        record(conn, head, legs)


def undo(agency: Agency, entry_ref: object, at: datetime) -> None:
    with transaction(agency.engine) as conn:
        bookkeeping.reverse(
            conn, Bookkeeper(agency.id_of("deniz"), at), str(entry_ref),
            on=agency.clock.today(), reason="needed elsewhere",
        )  # fmt: skip


def test_what_a_plan_reserved_is_not_freed_by_an_entry_of_its_own(
    cards: Agency, plan: Plan
) -> None:
    for key in ("mine", f"uncommit:{plan.plan_id}", f"liquidate:{plan.plan_id}:1"):
        with pytest.raises(
            Refusal, match=r"commitment_kept: .* 6,000\.00 TRY of the grant GR-2026"
        ):
            free(cards, 600_000, key=key)
    with pytest.raises(Refusal, match="commitment_kept"):
        free(cards, 600_000, key="spent", to=SPENT)
    assert cards.balance(RESERVED) == (TOTAL, 0)


def test_the_entry_that_reserves_a_plans_money_is_not_reversed_by_hand(
    cards: Agency, plan: Plan
) -> None:
    entry = cards.one("SELECT entry_ref FROM books.entry WHERE key LIKE 'commit:%%'")
    with pytest.raises(Refusal, match=f"commitment_not_reversed: The entry {entry}"):
        undo(cards, entry, cards.clock.now())
    cards.cancel(plan)
    assert (cards.balance(RESERVED), cards.balance(FREE)) == ((0, 0), (100_000_000, 0))
    freed = cards.one("SELECT entry_ref FROM books.entry WHERE key LIKE 'uncommit:%%'")
    with pytest.raises(Refusal, match="commitment_not_reversed"):
        undo(cards, freed, cards.clock.now())


def test_no_second_plan_is_approved_on_what_the_first_has_reserved(
    cards: Agency, plan: Plan
) -> None:
    cards.leave("9010", 0)
    with pytest.raises(Refusal, match="commitment_kept"):
        free(cards, TOTAL, key="for the winter")
    winter = cards.cycle_beside("winter")
    cards.approve(winter, "deniz")
    with pytest.raises(Refusal, match=f"account_limit: .*{FREE}"):
        cards.approve(winter, "omar")
    assert cards.release(plan).total_minor == TOTAL


def test_a_settlement_frees_what_it_resolves_and_no_more(cards: Agency, plan: Plan) -> None:
    with cards.processor() as processor:
        settled_and_freed(cards, processor, plan)


def settled_and_freed(cards: Agency, processor: CardProcessor, plan: Plan) -> None:
    cards.release(plan)
    with pytest.raises(Refusal, match="commitment_kept"):
        free(cards, 1, key="on hold")
    cards.send(plan)
    processor.run_once()
    cards.collect()
    cards.settle(plan)
    assert (cards.balance(RESERVED), cards.balance(SPENT)) == ((0, 0), (TOTAL, 0))
    liquidated = cards.one("SELECT entry_ref FROM books.entry WHERE key LIKE 'liquidate:%%'")
    with pytest.raises(Refusal, match="commitment_not_reversed"):
        undo(cards, liquidated, cards.clock.now())
    assert cards.balance(f"1110.{CARDS}.TRY") == (100_000_000 - TOTAL, 0)


def test_a_plan_for_which_nothing_is_reserved_is_not_released(cards: Agency) -> None:
    plan = cards.prepare()
    for login in ("deniz", "omar"):  # as SQL signs, which reserves nothing
        cards.raw(
            "INSERT INTO payments.signature (plan_id, person_id, act, digest, signature, reason,"
            " at) SELECT plan_id, %(person)s, 'approved', digest, decode(repeat('00', 64), 'hex'),"
            " 'seen', now() FROM payments.plan WHERE plan_id = %(plan)s",
            plan=plan.plan_id, person=cards.id_of(login),
        )  # fmt: skip
    with pytest.raises(Refusal, match=f"commitment_missing: .* the plan {plan.plan_id}"):
        cards.release(plan)
    assert cards.cancel(plan) == len(HOUSES)
