"""Agencies whose plan is prepared: one with a card processor, one with a bank."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from adapters.simulators.bank import SimulatedBank
from adapters.simulators.card_processor import CardProcessor
from tests.adapters.bank_orders import AGENCY_IBAN, iban
from tests.cva.payments.agency import BUDGET_MINOR, Agency, House, agency_with
from tests.databases import Database

# Last three digits of the card: 901 rejected, 902 loaded in silence, 903 half, 904 never loaded.
HOUSES = [
    House("Layla Haddad", 600_000, "VC-00001000"),
    House("Yusuf Saleh", 750_000, "VC-00002901"),
    House("Maryam Aziz", 900_000, "VC-00003902", province="TR-34"),
    House("Hasan Omar", 1_050_000, "VC-00004903"),
    House("Zahra Karim", 1_200_000, "VC-00005904"),
    House("Nour Idris", 450_000, ""),
]


@pytest.fixture
def cards(database: Database, tmp_path: Path) -> Agency:
    return agency_with(database, tmp_path, "card_processor", HOUSES)


@pytest.fixture
def processor(cards: Agency) -> Iterator[CardProcessor]:
    with cards.processor(fee_minor_per_load=150) as far:
        yield far


ACCOUNTS = [
    House("Layla Haddad", 600_000, iban=iban(1)),
    House("Yusuf Saleh", 750_000, iban=iban(2)),
    House("Maryam Aziz", 900_000, iban=iban(3)),
]
MONDAY_MORNING = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001 - the bank's local time


@pytest.fixture
def bank() -> Iterator[SimulatedBank]:
    with SimulatedBank(MONDAY_MORNING) as running:
        running.open_account("AGENCY", AGENCY_IBAN, name="Umut", balance_minor=BUDGET_MINOR)
        yield running


@pytest.fixture
def transfers(database: Database, tmp_path: Path, bank: SimulatedBank) -> Agency:
    agency = agency_with(database, tmp_path, "bank", ACCOUNTS)
    agency.provider = replace(agency.provider, channel=bank.channel())
    return agency


@pytest.fixture
def paid(cards: Agency, processor: CardProcessor) -> Agency:
    """Three loads, one of them of half the amount; one rejected, one unknown, one stopped."""
    plan = cards.released(cards.prepare())
    cards.send(plan)
    processor.run_once()
    cards.collect()
    cards.settle(plan)
    cards.inquire(plan)
    processor.run_once()
    cards.collect()
    cards.settle(plan)
    return cards
