"""Nothing personal where payments are: not in tables, books, messages, nor left on disk."""

import subprocess
from dataclasses import replace

import pytest

from adapters.simulators.bank import SimulatedBank
from cva.database.cluster import Role
from cva.database.programs import tool
from ledgers.problems import Refusal
from tests.adapters.bank_orders import iban
from tests.cva.payments.agency import VAULT, Agency
from tests.cva.payments.conftest import ACCOUNTS

PERSONAL = [
    text
    for number, house in enumerate(ACCOUNTS, start=1)
    for text in (*house.name.split(), iban(number), iban(number)[-10:])
]


def paid(agency: Agency, bank: SimulatedBank) -> None:
    plan = agency.released(agency.prepare())
    agency.send(plan)
    bank.advance(2)
    agency.collect()
    agency.settle(plan)
    agency.reconcile()
    agency.close()


def test_a_dump_of_a_paid_cycle_names_nobody(transfers: Agency, bank: SimulatedBank) -> None:
    paid(transfers, bank)
    address = transfers.database.address(Role.OWNER)
    dump = subprocess.run(
        [tool("pg_dump"), "--data-only", "--inserts", address],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "INSERT INTO payments.line " in dump
    assert "INSERT INTO payments.document " in dump
    assert [text for text in PERSONAL if text in dump] == []


def test_every_document_is_kept_and_only_the_key_opens_it(
    transfers: Agency, bank: SimulatedBank
) -> None:
    paid(transfers, bank)
    documents = transfers.rows("SELECT provider, sha256, sealed FROM payments.document")
    opened = [VAULT.open_document(*document) for document in documents]
    assert b"Layla Haddad" in b"".join(opened)
    assert b"Layla Haddad" not in b"".join(sealed for *_, sealed in documents)


def test_nothing_rendered_stays_on_disk(transfers: Agency, bank: SimulatedBank) -> None:
    plan = transfers.released(transfers.prepare())
    transfers.send(plan)
    assert list(transfers.spool.iterdir()) == []
    assert transfers.spool.stat().st_mode & 0o077 == 0
    bank.stop()


def test_a_name_the_bank_cannot_write_stops_its_line(transfers: Agency) -> None:
    arabic = [replace(ACCOUNTS[0], name="ليلى حداد"), *ACCOUNTS[1:]]
    transfers.register(arabic, revision="2")
    plan = transfers.prepare()
    assert transfers.rows("SELECT line_no, stopped FROM payments.line WHERE stopped <> ''") == [
        (1, "doubtful_payee_name")
    ]
    assert (plan.lines, plan.stopped_lines, plan.total_minor) == (3, 1, 1_650_000)


def test_refusals_name_nobody(transfers: Agency) -> None:
    plan = transfers.released(transfers.prepare())
    transfers.provider = replace(transfers.provider, remittance="§")
    with pytest.raises(Refusal, match="pain001_lines_invalid") as refused:
        transfers.send(plan)
    assert len(refused.value.findings) == 3
    told = str(refused.value) + repr(refused.value) + "".join(map(str, refused.value.findings))
    assert [text for text in PERSONAL if text in told] == []
    assert list(transfers.spool.iterdir()) == []
    assert transfers.cancel(plan, "omar") == 3  # such a plan is not stuck
    transfers.check_money()
