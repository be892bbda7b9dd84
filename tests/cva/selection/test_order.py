"""Programmes that exclude each other, decided in their order from one snapshot."""

from datetime import date
from pathlib import Path

import pytest

from cva import explaining
from cva.database.connect import transaction
from eligibility.rules.phrases import Language
from ledgers.problems import Refusal
from tests.cva.payments.agency import House
from tests.cva.selection.office import LABEL, Office, office_with
from tests.databases import Database

FIRST = f"""\
  code: first
  inputs: {{household: {{has_voucher_card: bool}}}}
  any_of:
    - {{id: city, label: {LABEL}, expr: 'province == "TR-34"'}}
  gates:
    - {{id: carded, label: {LABEL}, expr: 'has_voucher_card || province == "TR-34"'}}
  selection: {{order: highest_score_first, households: 1}}
  entitlement: {{flat: 4500.00}}
"""
SECOND = f"""\
  code: second
  after: [first]
  inputs: {{household: {{has_voucher_card: bool}}}}
  gates:
    - {{id: card, label: {LABEL}, expr: has_voucher_card}}
  selection: {{order: highest_score_first, households: 10}}
  entitlement: {{flat: 1500.00}}
"""
HOUSES = [
    House("Layla Haddad", card="VC-00001000", province="TR-34"),
    House("Yusuf Saleh", card="VC-00002000", province="TR-34"),
    House("Maryam Aziz", card="VC-00003000", province=""),
    House("Hasan Omar", card="VC-00004000", province="TR-63"),
]


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return office_with(database, tmp_path, HOUSES)


def test_both_are_decided_in_one_go_and_each_says_why(office: Office) -> None:
    first, second = office.publish(FIRST, "first"), office.publish(SECOND, "second")
    runs = office.assess(first, second)
    served = office.decisions(first)
    assert sorted(served[name][1] for name in ("Layla Haddad", "Yusuf Saleh")) == [
        "selected", "waiting",
    ]  # fmt: skip
    assert {name: served[name][:2] for name in ("Maryam Aziz", "Hasan Omar")} == {
        "Maryam Aziz": ("review", "review:city"),
        "Hasan Omar": ("ineligible", "not_eligible:city"),
    }
    assert {name: said[:3] for name, said in office.decisions(second).items()} == {
        "Layla Haddad": ("ineligible", "taken:first", False),
        "Yusuf Saleh": ("ineligible", "taken:first", False),
        "Maryam Aziz": ("review", "open:first", False),
        "Hasan Omar": ("eligible", "selected", True),
    }
    kept = office.agency.rows(
        "SELECT t.run_id, t.after_run_id, r.snapshot_sha256 FROM assessment.run_terms t"
        " JOIN assessment.run r USING (run_id) ORDER BY t.after_run_id NULLS FIRST"
    )
    assert [row[:2] for row in kept] == [
        (runs[0].run_id, None), (runs[1].run_id, runs[0].run_id),
    ]  # fmt: skip
    assert kept[0][2] == kept[1][2]
    assert office.assess(first, second) == runs
    for run in runs:
        office.again(run)
    assert {name: standing(office, name, runs[1].run_id) for name in served} == {
        "Layla Haddad": "Taken by the rules first, which come first.",
        "Yusuf Saleh": "Taken by the rules first, which come first.",
        "Maryam Aziz": "To be looked at for the rules first, which come first.",
        "Hasan Omar": "Served now (rank 1).",
    }


def standing(office: Office, name: str, run_id: str) -> str:
    """The first line of an explanation: whether the household is served now."""
    work = office.folder / "explaining"
    with transaction(office.agency.engine) as conn:
        told = explaining.explain_stored(conn, office.id_of(name), run_id, work, Language.EN)
    return told[0].text


def test_a_later_programme_is_not_assessed_alone_nor_first(office: Office) -> None:
    first, second = office.publish(FIRST, "first"), office.publish(SECOND, "second")
    with pytest.raises(Refusal, match=r"assessed_alone: .* second .* first"):
        office.assess(second)
    with pytest.raises(Refusal, match=r"order_contradicted: .* second .* first"):
        office.assess(second, first)
    with pytest.raises(Refusal, match="order_pack_twice"):
        office.assess(first, office.publish(FIRST, "again"))
    april = office.publish(SECOND, "april", date(2026, 4, 1))
    with pytest.raises(Refusal, match="cycles_apart"):
        office.assess(first, april)
    assert office.agency.one("SELECT count(*) FROM assessment.run") == 0
    (alone,) = office.assess(first)
    assert alone.selected == 1
