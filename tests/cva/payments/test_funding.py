"""Events of the journal that people record by hand: each with its facts, once, and said plainly."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from adapters.simulators.card_processor import CardProcessor
from cva.database.connect import transaction
from cva.payments import funding
from cva.payments.funding import Funding, facts_of, known_events, parse_facts
from ledgers import verification
from ledgers.entries import Recorded
from ledgers.problems import Refusal
from tests.cva.payments.agency import BANK, CARDS, GRANT, Agency, agency_with
from tests.cva.payments.test_wallet_plans import AGENCY_OWNED, HOUSES, household, loaded, report
from tests.databases import Database

# What each event needs beyond grant, currency, amount, bank and provider. PLACE is where an expense
# is: its programme, cycle and province. Amounts are 10.00 where nothing else is said.
PLACE, WALLET = "PLACE", "WALLET"
FACTS: dict[str, tuple[str, ...]] = {
    "grant_signed": ("obligations=yes",),
    "budget_allotted": (),
    "grant_received": ("receivable=yes", "fee=2.50"),
    "provider_funded": ("fee=1.00",),
    "float_credited": ("shortage=0.50",),
    "provider_funded_converted": (
        "sold_currency=USD", "bought_currency=TRY", "sold=100.00", "bought=4120.00",
    ),
    "float_debited_for_failed_load": (),
    "float_restored": (),
    "load_found": ("wallet_known=yes", WALLET),
    "found_load_accepted": (PLACE, WALLET),
    "found_load_recovered": ("unspent=4.00", "spent=6.00", WALLET),
    "load_returned": ("still_owed=no", "same_year=yes", PLACE, WALLET),
    "cash_withdrawn": (PLACE, WALLET),
    "vouchers_issued": (),
    "voucher_redeemed": ("vendor=SHOP1", PLACE),
    "vendor_paid": (),
    "purchase_refunded": ("refund_source=1330", PLACE, WALLET),
    "fee_charged": ("fee_account=5140", "fee_source=2040"),
    "fee_paid": (),
    "fee_taken_from_wallet": (WALLET,),
    "wallet_reinstated": (WALLET,),
    "bank_charged": (),
    "interest_received": ("interest_on=1110",),
    "payable_settled": ("book=10.00", "actual=9.00"),
    "receivable_settled": ("claim=1340", "book=10.00", "actual=9.00"),
    "currency_exchanged": (
        "sold_currency=USD", "bought_currency=TRY", "sold=100.00", "bought=4120.00",
    ),
    "exchange_realised": ("gain=3.00",),
    "currency_revalued": ("loss=3.00",),
    "difference_realised": ("loss=3.00",),
    "card_replaced": ("new_wallet=OTHER", "fee=1.00", WALLET),
    "expired_money_returned": (),
    "value_clawed_back": ("requested=999999.00", PLACE, WALLET),
    "revenue_recognised": (),
    "unspent_owed_to_donor": (),
    "donor_refunded": ("book=10.00", "actual=10.00"),
    "cost_reallocated": ("to_grant=GR-OTHER", "expense=5140"),
    "bank_transfer_returned": ("still_owed=no", "fee=1.00", PLACE),
    "unknown_credit_received": (),
    "unknown_debit_taken": (),
    "loss_confirmed": ("lost=1310",),
    "period_closed": ("earned=5.00", "spent_of_year=4.00", "expense=5140"),
}  # fmt: skip


@pytest.fixture
def cards(database: Database, tmp_path: Path) -> Agency:
    return agency_with(database, tmp_path, "card_processor", HOUSES, AGENCY_OWNED)


@pytest.fixture
def processor(cards: Agency) -> Iterator[CardProcessor]:
    with cards.processor() as far:
        yield far


def by_hand(
    agency: Agency,
    event: str,
    *facts: str,
    minor: int | None = 1_000,
    key: str = "",
    grant: str = GRANT,
) -> Recorded:
    agency.clock.moment = max(agency.clock.moment, datetime(2026, 3, 5, 9, tzinfo=UTC))
    money = Funding(
        event, grant, "TRY", minor, agency.clock.today(), "a letter", BANK, CARDS,
        parse_facts(facts),
    )  # fmt: skip
    with transaction(agency.engine) as conn:
        return funding.fund(
            conn, money, person_id=agency.id_of("deniz"), at=agency.clock.now(),
            key=key or f"by hand/{event}",
        )  # fmt: skip


def wallet(agency: Agency, name: str) -> str:
    return f"{CARDS}/{household(agency, name)}"


def test_every_event_that_is_no_plans_own_can_be_recorded_by_hand(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = loaded(cards, processor)
    cards.book_redemptions(report(cards, processor, date(2026, 3, 5), percent=50))
    programme = cards.one("SELECT programme_id FROM programme.programme")
    place = [f"programme={programme}", f"cycle={plan.cycle_id}", "location=TR-63"]
    cards.raw("INSERT INTO books.wallet (wallet_ref, provider, opened_on)"
              " VALUES ('OTHER', 'MARKET-CARDS', '2026-03-01')")  # fmt: skip
    by_hand(cards, "budget_allotted", grant="GR-OTHER", key="the grant that takes a cost over")
    assert set(FACTS) | {"expired_money_kept"} == set(known_events())
    for event, facts in FACTS.items():
        given = [
            text
            for fact in facts
            for text in {PLACE: place, WALLET: [f"wallet={wallet(cards, 'Layla Haddad')}"]}.get(
                fact, [fact]
            )
        ]
        done = by_hand(cards, event, *given)
        assert not done.already
        assert by_hand(cards, event, *given) == Recorded(done.entry_ref, already=True)
    with pytest.raises(Refusal, match="journal_not_possible"):
        by_hand(cards, "expired_money_kept")
    with transaction(cards.engine) as conn:
        assert [check for check in verification.verify(conn).checks if check.wrong] == []


def test_what_plans_and_reports_record_is_not_recorded_by_hand(cards: Agency) -> None:
    for event in (
        "load_instructed", "load_settled", "load_failed", "purchase_cleared", "commitment",
        "commitment_released", "commitment_liquidated", "balance_expired",
    ):  # fmt: skip
        with pytest.raises(Refusal, match=f"event_unknown: There is no event {event}; there are"):
            by_hand(cards, event)


def test_the_facts_of_an_event_are_listed() -> None:
    events = known_events()
    assert facts_of(events["grant_received"]) == (
        "bank_reference", "receivable", "bank_account", "amount", "fee",
    )  # fmt: skip
    assert facts_of(events["value_clawed_back"]) == (
        "provider", "decision", "transfers", "requested", "available", "amount", "wallet",
        "programme", "cycle", "location",
    )  # fmt: skip


def test_a_claim_takes_at_most_what_the_wallet_still_has(
    cards: Agency, processor: CardProcessor
) -> None:
    loaded(cards, processor)
    layla = wallet(cards, "Layla Haddad")
    by_hand(cards, "value_clawed_back", "requested=9000.00", f"wallet={layla}", minor=None)
    assert cards.balance(f"1320.{CARDS}.TRY") == (600_000, 0)
    with pytest.raises(Refusal, match="wallet_unknown"):
        by_hand(cards, "value_clawed_back", "requested=1.00", "wallet=NOBODY", key="another")


def test_facts_that_cannot_be_read_are_said(cards: Agency) -> None:
    for given in (["fee"], ["fee="], ["=2"], ["fee=1.00", "fee=2.00"]):
        with pytest.raises(Refusal, match="fact_unreadable"):
            parse_facts(given)
    with pytest.raises(Refusal, match=r"journal_fact_missing: .* does not say its obligations"):
        by_hand(cards, "grant_signed")
    with pytest.raises(Refusal, match=r"journal_fact_unfit: .* maybe as its obligations.*yes, no"):
        by_hand(cards, "grant_signed", "obligations=maybe")
    with pytest.raises(Refusal, match="amount_unreadable"):
        by_hand(cards, "provider_funded", "fee=a little")
    with pytest.raises(Refusal, match="funding_not_above_zero"):
        by_hand(cards, "budget_allotted", minor=0)
