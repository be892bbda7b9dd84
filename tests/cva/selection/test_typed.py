"""The commands beside a run, as Amal types them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cva.payments.agency import House, many
from tests.cva.selection.office import LABEL, Office, office_with
from tests.databases import Database

ROOT = Path(__file__).parents[3]
RULES = f"""\
  inputs:
    household: {{has_voucher_card: bool, discretionary: bool, awarded_transport: money}}
    member: {{enrolled: bool, planned_units: int, attended_units: int}}
  gates: [{{id: card, label: {LABEL}, expr: has_voucher_card}}]
  selection:
    order: highest_score_first
    households: 1
    discretionary: {{households_max: 1, days_max: 31}}
  entitlement:
    ENTITLEMENT
"""
DAYS = "attendance: {unit: day, per_unit: 150.00, units_max: 20}"
CASES = f"case_by_case: {{items: {{transport: {{label: {LABEL}, at_most: 500.00}}}}}}"
FLAT = "flat: 6000.00"
HOUSES = [House(one.name, card=one.card) for one in many(3)]


class Typed:
    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = {**environment, "CVA_USER": "amal", "PYTHONPATH": str(ROOT)}

    def __call__(self, *words: str, ends: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from cva.cli.main import main; main()", *words],
            env=self.environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout if ends == 0 else done.stderr

    def rows(self, *words: str) -> list[dict]:
        return json.loads(self(*words, "--format", "json"))


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return office_with(database, tmp_path, HOUSES)


@pytest.fixture
def typed(environment: dict[str, str]) -> Typed:
    return Typed(environment)


def test_a_place_is_freed_and_filled(office: Office, typed: Typed) -> None:
    cycle = office.publish(RULES.replace("ENTITLEMENT", FLAT))
    typed("cycle", "assess", cycle)
    assert typed.rows("cycle", "coverage", cycle) == [{
        "stratum": "all", "places": 1, "eligible": 3, "selected": 1, "waiting": 2, "people": 1,
        "amount": "6000.00", "budget": "-",
    }]  # fmt: skip
    line = [row["household"] for row in typed.rows("cycle", "waiting", cycle)]
    (served,) = {office.id_of(house.name) for house in HOUSES} - set(line)
    said = ("cycle", "leave", cycle, served, "--reason", "moved abroad")
    assert typed(*said).split() == [line[0]]
    assert typed(*said).split() == [line[0]]
    assert "leaving_not_served" in typed(*said, "--key", "again", ends=1)
    assert typed("cycle", "promote", cycle) == ""

    listing = typed(
        "programme", "enlist", "own", line[1], "--until", "2026-03-20", "--reason", "burnt out"
    ).strip()
    assert [row["reason"] for row in typed.rows("programme", "listed", "own")] == ["burnt out"]
    assert "discretion_used_up" in typed(
        "programme", "enlist", "own", line[0], "--until", "2026-03-20", "--reason", "x", ends=1
    )
    typed("programme", "unlist", listing, "--reason", "helped elsewhere")
    assert typed.rows("programme", "listed", "own") == []


def test_attendance_and_awards_are_recorded(office: Office, typed: Typed) -> None:
    household = office.id_of(HOUSES[0].name)
    days = office.publish(RULES.replace("ENTITLEMENT", DAYS), "days")
    cases = office.publish(RULES.replace("ENTITLEMENT", CASES), "cases")
    sheet = office.folder / "sheet.csv"
    sheet.write_text(
        "household_id,member_no,planned_units,attended_units,evidence_ref\n"
        f"{household},1,20,18,sheet 1\n{household},2,20,18,sheet 1\n", encoding="utf-8"
    )  # fmt: skip
    assert typed.rows("cycle", "attend", days, str(sheet)) == [
        {"rows": 2, "added": 1, "corrected": 0, "unchanged": 0, "refused": 1}
    ]
    (row,) = typed.rows("cycle", "attendance", days)
    assert (row["planned"], row["attended"], row["evidence"], row["by"]) == (
        20, 18, "sheet 1", "amal",
    )  # fmt: skip

    said = ("cycle", "award", cases, household, "--item", "transport", "--evidence", "case 12",
            "--reason", "to the hospital", "--amount")  # fmt: skip
    number = typed(*said, "350.50").strip()
    assert typed(*said, "350.50").strip() == number
    assert "award_above_limit" in typed(*said, "500.01", "--corrects", number, ends=1)
    typed(*said, "100.00", "--corrects", number)
    told = json.loads(typed("cycle", "awards", cases, "--format", "json"))
    assert [row["amount"] for row in told["awards"]] == ["100.00"]
    assert told["items"] == [{"item": "transport", "amount": "100.00"}]
