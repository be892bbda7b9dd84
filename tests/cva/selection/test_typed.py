"""The commands beside a run, as Amal types them."""

import json
from pathlib import Path

import pytest

from cva.cli.main import command_line
from ledgers.problems import Refusal
from tests.cva.payments.agency import House, many
from tests.cva.selection.office import LABEL, Office, office_with
from tests.databases import Database

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
    """The command line in this process: starting one for every word would take the time."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> str:
        self.capsys.readouterr()
        command_line(words[0])(list(words), standalone_mode=False)
        return self.capsys.readouterr().out

    def rows(self, *words: str) -> list[dict]:
        return json.loads(self(*words, "--format", "json"))

    def refused(self, *words: str) -> str:
        with pytest.raises(Refusal) as refused:
            self(*words)
        return refused.value.problem.code


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return office_with(database, tmp_path, HOUSES)


@pytest.fixture
def typed(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Typed:
    for name, value in {**environment, "CVA_USER": "amal"}.items():
        monkeypatch.setenv(name, value)
    return Typed(capsys)


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
    assert typed.refused(*said, "--key", "again") == "leaving_not_served"
    assert typed("cycle", "promote", cycle) == ""

    listing = typed(
        "programme", "enlist", "own", line[1], "--until", "2026-03-20", "--reason", "burnt out"
    ).strip()
    assert [row["reason"] for row in typed.rows("programme", "listed", "own")] == ["burnt out"]
    again = ("programme", "enlist", "own", line[0], "--until", "2026-03-20", "--reason", "flood")
    assert typed.refused(*again) == "discretion_used_up"
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
    assert typed.refused(*said, "500.01", "--corrects", number) == "award_above_limit"
    typed(*said, "100.00", "--corrects", number)
    told = json.loads(typed("cycle", "awards", cases, "--format", "json"))
    assert [row["amount"] for row in told["awards"]] == ["100.00"]
    assert told["items"] == [{"item": "transport", "amount": "100.00"}]
