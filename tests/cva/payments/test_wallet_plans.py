"""Plans under a contract by which value stays the agency's on the wallets until it is used."""

import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from adapters.port import Document
from adapters.simulators.card_processor import CardProcessor
from cva import bookkeeping
from cva.bookkeeping import Bookkeeper
from cva.database.connect import transaction
from cva.payments import expiring, redemptions
from cva.payments.accounts import wallet_ref
from cva.payments.expiring import Expired
from cva.payments.planning import Plan
from cva.vault import write_key_file
from ledgers import verification
from ledgers.items import Code
from ledgers.periods import PeriodState
from ledgers.problems import Refusal
from tests.cva.payments.agency import CARDS, GRANT, Agency, House, agency_with
from tests.databases import Database

AGENCY_OWNED = {
    "ownership": "agency", "recognition": "redemption", "expires_after_days": 30,
    "breakage": "agency",
}  # fmt: skip
SPENT_YET_OURS = AGENCY_OWNED | {"recognition": "load"}
FLOAT, WALLETS, EXPENSE = f"1110.{CARDS}.TRY", f"1210.{CARDS}.TRY", "5020.TRY"
CLAIM = f"1320.{CARDS}.TRY"
# Last three digits of the card: 903 half is loaded, 905 never used, 906 one use reported twice.
HOUSES = [
    House("Layla Haddad", 600_000, "VC-00001000"),
    House("Yusuf Saleh", 750_000, "VC-00002901"),
    House("Maryam Aziz", 900_000, "VC-00003905", province="TR-34"),
    House("Hasan Omar", 1_050_000, "VC-00004903"),
    House("Zahra Karim", 1_200_000, "VC-00005906"),
]
LOADED = 600_000 + 900_000 + 525_000 + 1_200_000


@pytest.fixture
def cards(database: Database, tmp_path: Path) -> Agency:
    return agency_with(database, tmp_path, "card_processor", HOUSES, AGENCY_OWNED)


@pytest.fixture
def processor(cards: Agency) -> Iterator[CardProcessor]:
    with cards.processor(fee_minor_per_load=150) as far:
        yield far


def loaded(agency: Agency, processor: CardProcessor) -> Plan:
    """A plan that was released, loaded and settled."""
    plan = agency.released(agency.prepare())
    agency.send(plan)
    processor.run_once()
    agency.collect()
    agency.settle(plan)
    return plan


def report(agency: Agency, processor: CardProcessor, on: date, percent: int = 100) -> Document:
    """Let the households use some of their value, and return what the processor reports."""
    assert processor.redeem(on, percent) == 1
    agency.clock.moment = max(
        agency.clock.moment, datetime(on.year, on.month, on.day, 20, tzinfo=UTC)
    )
    return list(agency.provider.channel.collect())[-1]


def written(*rows: str, about: str = "2026-03-02", file_id: str = "CP7") -> Document:
    """A redemption report by hand: rows of reference|kind|amount|transaction|vendor|day."""
    details = [f"D|{number}|{row}" for number, row in enumerate(rows, start=1)]
    parts = [row.split("|") for row in rows]
    total = sum(int(part[2]) for part in parts)
    hashed = sum(zlib.crc32(f"{part[0]}|{part[2]}".encode()) for part in parts) % 10**10
    head = f"H|CVA-CARD-1|REDEMPTION|{file_id}|MARKET|2026-03-02T19:00:00Z|TRY|2|7|{about}"
    text = "\n".join((head, *details, f"T|{len(rows)}|{total}|{hashed:010d}", ""))
    return Document(f"{file_id}.txt", text.encode())


def ref_of(agency: Agency, name: str) -> str:
    by_name = {name: household_id for household_id, name in agency.names.items()}
    return str(
        agency.one(
            "SELECT instruction_ref FROM payments.line WHERE household_id = %s", by_name[name]
        )
    )


def on_wallet(agency: Agency, name: str) -> tuple[int, int, int]:
    """(loaded, spent, available) of the wallet that the household's line loads."""
    with transaction(agency.engine) as conn:
        (one,) = redemptions.wallet_of(conn, ref_of(agency, name))
    return one.loaded_minor, one.spent_minor, one.available_minor


def budget(agency: Agency) -> tuple[int, int, int]:
    """What of the grant is available, committed, spent."""
    available, committed, spent = (
        agency.balance(f"{code}.{GRANT}.TRY")[0] for code in ("9010", "9020", "9040")
    )
    return available, committed, spent


def verify(agency: Agency) -> None:
    with transaction(agency.engine) as conn:
        found = verification.verify(conn)
    assert [check for check in found.checks if check.wrong] == []


def test_value_stays_on_the_wallets_and_committed_until_it_is_used(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = cards.released(cards.prepare())
    assert cards.balance(WALLETS) == (0, 4_500_000)
    cards.send(plan)
    processor.run_once()
    cards.collect()
    settled = cards.settle(plan)

    assert (settled.loaded_minor, settled.voided, settled.short) == (LOADED, 1, 1)
    assert (cards.balance(WALLETS), cards.balance(EXPENSE)) == ((LOADED, 0), (0, 0))
    assert budget(cards) == (100_000_000 - LOADED, LOADED, 0)
    assert on_wallet(cards, "Layla Haddad") == (600_000, 0, 600_000)

    # Maryam uses nothing; Zahra's use is reported twice in one file.
    first = cards.book_redemptions(report(cards, processor, date(2026, 3, 3), percent=50))

    assert (first.items, first.recorded, first.used_minor) == (4, 3, 1_162_500)
    (twice,) = first.answers
    assert (twice.item_no, twice.code) == (4, Code.ITEM_REPEATED)
    used = first.used_minor
    assert (cards.balance(WALLETS), cards.balance(EXPENSE)) == ((LOADED - used, 0), (used, 0))
    assert budget(cards) == (100_000_000 - LOADED, LOADED - used, used)
    assert on_wallet(cards, "Layla Haddad") == (600_000, 300_000, 300_000)
    verify(cards)


def test_a_programme_of_wallets_reconciles_and_closes(
    cards: Agency, processor: CardProcessor
) -> None:
    loaded(cards, processor)
    cards.book_redemptions(report(cards, processor, date(2026, 3, 3)))
    processor.settle(date(2026, 3, 4))
    cards.collect()
    cards.clock.moment = datetime(2026, 3, 4, 20, tzinfo=UTC)
    cards.book_fees()

    done = cards.reconcile()

    assert (done.unexplained_minor, done.pending_lines) == (0, 0)
    assert done.ledger_minor == done.reported_minor == done.booked_minor == LOADED
    assert cards.balance(FLOAT) == (processor.available_minor("MARKET"), 0)
    # What is with the provider: the float, and what Maryam has not used.
    assert cards.balance(WALLETS) == (900_000, 0)
    assert budget(cards)[1:] == (900_000, LOADED - 900_000)
    cards.close()
    assert expire(cards, date(2026, 4, 10)) == Expired(1, 900_000)  # life goes on after the close
    assert budget(cards)[1:] == (0, LOADED - 900_000)
    assert cards.reconcile().unexplained_minor == 0


def test_the_same_report_again_changes_nothing(cards: Agency, processor: CardProcessor) -> None:
    loaded(cards, processor)
    document = report(cards, processor, date(2026, 3, 3))
    first = cards.book_redemptions(document)
    before = cards.trial_balance()

    again = cards.book_redemptions(document)

    assert again == replace(first, already=True)
    assert cards.trial_balance() == before


def test_a_report_of_a_closed_month_is_booked_today_and_names_its_day(
    cards: Agency, processor: CardProcessor
) -> None:
    loaded(cards, processor)
    document = report(cards, processor, date(2026, 3, 3))
    cards.clock.moment = datetime(2026, 4, 4, 9, tzinfo=UTC)
    with transaction(cards.engine) as conn:
        who = Bookkeeper(cards.id_of("deniz"), cards.clock.now())
        bookkeeping.change_period(conn, who, date(2026, 3, 31), PeriodState.CLOSED, "month end")
    first = cards.book_redemptions(document)
    cards.clock.moment = datetime(2026, 4, 6, 9, tzinfo=UTC)
    again = cards.book_redemptions(document)
    assert (first.already, first.recorded > 0) == (False, True)
    assert again == replace(first, already=True)
    rows = cards.rows(
        "SELECT DISTINCT effective_on, right(reason, 14) FROM books.entry"
        " WHERE starts_with(key, 'redemptions/')"
    )
    assert rows == [(date(2026, 4, 4), " of 2026-03-03")]
    verify(cards)


def test_a_use_that_stands_in_two_reports_is_booked_once(
    cards: Agency, processor: CardProcessor
) -> None:
    loaded(cards, processor)
    layla = ref_of(cards, "Layla Haddad")
    use = f"{layla}|PURCHASE|100000|T1|V001|2026-03-01"
    cards.book_redemptions(written(use))

    other = cards.book_redemptions(
        written(use, f"{layla}|PURCHASE|5000|T2|V001|2026-03-02", file_id="CP8")
    )

    assert (other.recorded, [answer.code for answer in other.answers]) == (1, [Code.EXISTS])
    assert on_wallet(cards, "Layla Haddad") == (600_000, 105_000, 495_000)
    assert budget(cards)[2] == 105_000
    with pytest.raises(Refusal, match="batch_key_used_differently"):
        cards.book_redemptions(written(use.replace("T1", "T3"), file_id="CP8"))


def test_every_use_gets_its_account_and_its_answer(cards: Agency, processor: CardProcessor) -> None:
    loaded(cards, processor)
    layla, maryam = ref_of(cards, "Layla Haddad"), ref_of(cards, "Maryam Aziz")

    done = cards.book_redemptions(
        written(
            f"{layla}|PURCHASE|600000|T1|V001|2026-03-01",
            f"{layla}|PURCHASE|600001|T2|V001|2026-03-01",  # more than she ever had
            f"{maryam}|CASH|40000|T3||2026-03-01",
            f"{layla}|REFUND|1000|T4|V001|2026-03-02",
            "NOTOURS|PURCHASE|700|T5|V002|2026-03-02",
        )
    )

    assert (done.items, done.recorded) == (5, 3)
    assert (done.used_minor, done.refunded_minor) == (640_000, 1_000)
    assert [(answer.item_no, answer.code, answer.fact) for answer in done.answers] == [
        (2, Code.ACCOUNT_LIMIT, WALLETS),
        (5, Code.ACCOUNT_UNKNOWN, "load unknown"),
    ]
    assert on_wallet(cards, "Layla Haddad") == (601_000, 600_000, 1_000)
    assert (cards.balance(EXPENSE), cards.balance("5010.TRY")) == ((599_000, 0), (40_000, 0))
    assert budget(cards)[2] == 639_000
    with transaction(cards.engine) as conn:
        moves = list(
            redemptions.wallet_moves(conn, wallet_ref(CARDS, household(cards, "Layla Haddad")))
        )
    assert [(m.event, m.phase, m.amount_minor, m.ref) for m in moves] == [
        ("load_instructed", "pending", 600_000, layla),
        ("load_settled", "posted", 600_000, layla),
        ("purchase_refunded", "single", 1_000, f"{CARDS}/T4"),
        ("purchase_cleared", "single", 600_000, f"{CARDS}/T1"),
    ]
    verify(cards)


def test_a_report_waits_until_its_loads_are_settled(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = cards.released(cards.prepare())
    cards.send(plan)
    processor.run_once()
    document = report(cards, processor, date(2026, 3, 3))
    with pytest.raises(Refusal, match="redemptions_before_settling: The report names 3 loads"):
        cards.book_redemptions(document)
    cards.collect()
    cards.settle(plan)
    assert cards.book_redemptions(document).recorded == 3  # Hasan's, Layla's and one of Zahra's


def test_a_report_is_booked_and_a_wallet_is_shown_on_the_command_line(
    cards: Agency, processor: CardProcessor, environment: dict[str, str], tmp_path: Path
) -> None:
    loaded(cards, processor)
    layla, zahra = ref_of(cards, "Layla Haddad"), ref_of(cards, "Zahra Karim")
    report_file = tmp_path / "uses.txt"
    report_file.write_bytes(
        written(
            f"{layla}|PURCHASE|125050|T1|V001|2026-03-01",
            f"{zahra}|PURCHASE|1200001|T2|V001|2026-03-01",
        ).content
    )
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "providers.yaml").write_text(
        "providers: [{kind: card_processor, code: MARKET-CARDS, debtor_name: Umut,"
        f" programme: MARKET, currency: TRY, outgoing: {tmp_path}, incoming: {tmp_path}}}]",
        encoding="utf-8",
    )
    Path(environment["CVA_KEY_FILE"]).parent.mkdir(mode=0o700)
    write_key_file(Path(environment["CVA_KEY_FILE"]), bytes(range(32)))
    tree = str(Path(__file__).parents[3])

    def typed(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from cva.cli.main import main; main()", *words],
            env={**environment, "CVA_USER": "deniz", "PYTHONPATH": tree}, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    answer = json.loads(
        typed("provider", "redemptions", CARDS, str(report_file), "--format", "json")
    )

    assert answer == {
        "report": [
            {"items": 2, "recorded": 1, "used": "1250.50", "refunded": "0.00", "refused": 1,
             "before": "no"},
        ],
        "refused": [
            {"line": 2, "transaction": f"{CARDS}/T2", "answer": "account_limit", "about": WALLETS},
        ],
    }  # fmt: skip
    shown = typed("payments", "line", layla)
    assert "Wallet" in shown
    assert "4,749.50" in shown  # 6,000.00 less 1,250.50
    wallet = wallet_ref(CARDS, household(cards, "Layla Haddad"))
    shown = json.loads(typed("ledger", "wallet", wallet, "--format", "json"))
    assert shown["wallet"] == [
        {"account": WALLETS, "loaded": "6000.00", "spent": "1250.50", "available": "4749.50"},
    ]
    [load] = shown["loads"]
    assert (load["grant"], load["account"], load["left"]) == (GRANT, WALLETS, "4749.50")
    assert '"recognition": "redemption"' in typed("programme", "show", "spring")


def test_what_cannot_be_booked_is_said(cards: Agency, processor: CardProcessor) -> None:
    plan = loaded(cards, processor)
    with pytest.raises(Refusal, match="no_redemptions"):
        cards.book_redemptions(written())
    with pytest.raises(Refusal, match="role_missing"):
        cards.book_redemptions(written(), by="sam")
    assert plan.total_minor == 4_500_000


def test_without_wallets_nobody_awaits_redemptions(database: Database, tmp_path: Path) -> None:
    spent = agency_with(database, tmp_path, "card_processor", HOUSES[:1])
    spent.released(spent.prepare())
    with pytest.raises(Refusal, match="redemptions_not_awaited"):
        spent.book_redemptions(written())
    with pytest.raises(Refusal, match="nothing_expires"):
        expire(spent, date(2026, 5, 1))


def test_unused_value_expires_once_and_the_provider_owes_it(
    cards: Agency, processor: CardProcessor
) -> None:
    loaded(cards, processor)
    cards.book_redemptions(report(cards, processor, date(2026, 3, 3), percent=50))
    used = cards.balance(EXPENSE)[0]

    assert expire(cards, date(2026, 4, 1)) == Expired(0, 0)  # the term's last day
    done = expire(cards, date(2026, 4, 2))

    assert done == Expired(4, LOADED - used)
    assert (cards.balance(WALLETS), cards.balance(CLAIM)) == ((0, 0), (LOADED - used, 0))
    assert budget(cards) == (100_000_000 - used, 0, used)
    assert expire(cards, date(2026, 4, 2)) == Expired(0, 0)
    assert on_wallet(cards, "Maryam Aziz") == (900_000, 900_000, 0)
    verify(cards)
    processor.settle(date(2026, 3, 4))
    cards.collect()
    cards.book_fees()
    assert cards.reconcile().unexplained_minor == 0


def test_what_was_spent_at_the_load_expires_as_the_provider_says(
    database: Database, tmp_path: Path
) -> None:
    cards = agency_with(database, tmp_path, "card_processor", HOUSES, SPENT_YET_OURS)
    with cards.processor() as processor:
        loaded(cards, processor)
    assert (cards.balance(EXPENSE), cards.balance(WALLETS)) == ((LOADED, 0), (0, 0))
    layla, maryam = ref_of(cards, "Layla Haddad"), ref_of(cards, "Maryam Aziz")
    stated = {layla: 1_000, maryam: 900_000, "NOTOURS": 5}

    with pytest.raises(Refusal, match="expired_above_loaded"):
        expire_stated(cards, {maryam: 900_001})
    done = expire_stated(cards, stated)

    assert (done.count, done.amount_minor) == (2, 901_000)
    assert [(answer.code, answer.fact) for answer in done.answers] == [
        (Code.ACCOUNT_UNKNOWN, "load unknown")
    ]
    assert expire_stated(cards, stated) == done
    assert (cards.balance(EXPENSE), cards.balance(CLAIM)) == ((LOADED - 901_000, 0), (901_000, 0))
    assert budget(cards) == (100_000_000 - LOADED + 901_000, 0, LOADED - 901_000)
    verify(cards)


def test_a_cancelled_plan_leaves_empty_wallets(cards: Agency) -> None:
    plan = cards.released(cards.prepare())
    cards.cancel(plan, "omar")
    assert (cards.balance(FLOAT), cards.balance(WALLETS)) == ((100_000_000, 0), (0, 0))
    assert budget(cards) == (100_000_000, 0, 0)
    assert on_wallet(cards, "Layla Haddad") == (0, 0, 0)
    verify(cards)


def household(agency: Agency, name: str) -> str:
    return next(one for one, called in agency.names.items() if called == name)


def expire(agency: Agency, on: date) -> Expired:
    at = datetime(on.year, on.month, on.day, 9, tzinfo=UTC)
    agency.clock.moment = max(agency.clock.moment, at)
    with transaction(agency.engine) as conn:
        return expiring.expire(
            conn, CARDS, on=on, person_id=agency.id_of("deniz"), at=agency.clock.now()
        )


def expire_stated(agency: Agency, stated: dict[str, int]) -> Expired:
    agency.clock.moment = max(agency.clock.moment, datetime(2026, 4, 2, 9, tzinfo=UTC))
    with transaction(agency.engine) as conn:
        return expiring.expire_stated(
            conn, CARDS, "EXP1", stated, on=date(2026, 4, 2), person_id=agency.id_of("deniz"),
            at=agency.clock.now(),
        )  # fmt: skip
