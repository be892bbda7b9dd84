"""The commands beside a run, as Amal types them."""

import json
from pathlib import Path

import pytest

from cva.cli.main import command_line
from ledgers.problems import Refusal
from tests.cva.payments.agency import WORDS, House, many
from tests.cva.selection.office import LABEL, MARKET, Office, office_with
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
    assert typed.refused("cycle", "leave", cycle, line[0], "--reason", "") == "said_nothing"
    assert typed("cycle", "promote", cycle) == ""

    listing = typed(
        "programme", "enlist", "own", line[1], "--until", "2026-03-20", "--reason", "burnt out"
    ).strip()
    assert [row["reason"] for row in typed.rows("programme", "listed", "own")] == ["burnt out"]
    again = ("programme", "enlist", "own", line[0], "--until", "2026-03-20", "--reason", "flood")
    assert typed.refused(*again) == "discretion_used_up"
    past = [word.replace("2026-03-20", "2026-03-04") for word in again]
    assert typed.refused(*past) == "discretion_over"
    assert typed.refused("programme", "listed", "none") == "programme_not_found"
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
    assert typed.refused(*said, "0") == "award_of_nothing"
    blank = [*said[:6], "--evidence", " ", "--reason", "to the hospital", "--amount"]
    assert typed.refused(*blank, "350.50") == "said_nothing"
    number = typed(*said, "350.50").strip()
    assert typed(*said, "350.50").strip() == number
    assert typed.refused(*said, "500.01", "--corrects", number) == "award_above_limit"
    typed(*said, "100.00", "--corrects", number)
    told = json.loads(typed("cycle", "awards", cases, "--format", "json"))
    assert [row["amount"] for row in told["awards"]] == ["100.00"]
    assert told["items"] == [{"item": "transport", "amount": "100.00"}]


COUNTING = f"""\
code: counting
currency: TRY
inputs: {{household: {{has_voucher_card: bool}}}}
parameters:
  least: {{type: int, source: Circular 9, values: {{2026-01-01: 1}}}}
gates: [{{id: card, label: {LABEL}, expr: has_voucher_card}}]
any_of:
  - id: people
    label: {{tr: Kişi var, en: Has people, ar: فيها أفراد}}
    expr: members.size() >= p.least
selection: {{order: highest_score_first, households: 10}}
entitlement: {{flat: 1000.00}}
"""


def test_a_pack_is_published_told_compared_and_replayed_at_the_keyboard(
    office: Office, typed: Typed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CVA_PASSPHRASE", WORDS)
    file = tmp_path / "counting.yaml"
    file.write_text(COUNTING, encoding="utf-8")
    assert typed("rules", "publish", str(file)).startswith("counting is proposed (")
    assert typed.refused("rules", "publish", str(file)) == "pack_same_person"
    assert typed.refused("rules", "diff", "counting@1", "counting@1") == "pack_not_published"
    monkeypatch.setenv("CVA_USER", "deniz")
    assert typed("rules", "publish", str(file)).startswith("counting@1 is published (")
    monkeypatch.setenv("CVA_USER", "amal")
    listed = {row["pack"]: row for row in typed.rows("rules", "list")}
    assert (listed["counting@1"]["proposed_by"], listed["counting@1"]["published_by"]) == (
        "amal", "deniz",
    )  # fmt: skip
    assert listed["essn-2023"]["state"] == "comes with the program"

    # A programme names the published version, and its cycle is assessed by it.
    programme = tmp_path / "named.yaml"
    head = MARKET[: MARKET.index("\nrules:")].replace("code: market-card", "code: named", 1)
    programme.write_text(f"{head}\nrules: {{pack: counting@1}}\n", encoding="utf-8")
    typed("programme", "publish", str(programme))
    days = ("--from", "2026-03-01", "--to", "2026-03-31")
    cycle = typed("cycle", "open", "named", "--name", "first", *days).strip()
    run = typed("cycle", "assess", cycle, "--format", "ids").strip()
    decided = office.decisions(cycle)
    household = office.id_of(HOUSES[0].name)
    assert {said[0] for said in decided.values()} == {"eligible"}
    for language, said in (("tr", "Kişi var: evet"), ("en", "Has people: yes"),
                           ("ar", "فيها أفراد: نعم")):  # fmt: skip
        told = typed("rules", "explain", household, "--run", run, "--language", language)
        assert said in told
        assert "Circular 9" in told
    (same,) = typed.rows("rules", "replay", run)
    assert same["households"] == len(HOUSES)
    assert typed.refused("rules", "replay", "run_none") == "run_unknown"
    assert typed.refused("rules", "explain", household, "--run", "run_none") == "run_unknown"
    assert [row["run"] for row in typed.rows("cycle", "runs", cycle)] == [run]

    stricter = tmp_path / "stricter.yaml"
    stricter.write_text(COUNTING.replace("2026-01-01: 1}", "2026-01-01: 9}"), encoding="utf-8")
    changes = tmp_path / "changes.csv"
    answer = json.loads(
        typed("rules", "diff", "counting@1", str(stricter), "--on", "2026-03-01", "--out",
              str(changes), "--format", "json")
    )  # fmt: skip
    moves = {row["who"]: (row["households"], row["costs"]) for row in answer["served"]}
    assert moves["leaves"] == (len(HOUSES), "-3000.00")
    assert answer["reasons"][0]["reason"] == "not_eligible:people"
    assert household in changes.read_text(encoding="utf-8")
    # On the snapshot of the run, whatever was registered since.
    then = json.loads(
        typed("rules", "diff", "counting@1", str(stricter), "--run", run, "--format", "json")
    )
    assert then["served"] == answer["served"]
    assert typed.refused("rules", "diff", "counting", "pmt", "--run", run) == "pack_unknown"
    assert typed.refused("rules", "diff", "counting@1", "pmt", "--run", run) == "snapshot_refused"


def test_an_explanation_says_who_was_promoted_listed_or_left(office: Office, typed: Typed) -> None:
    cycle = office.publish(RULES.replace("ENTITLEMENT", FLAT))
    typed("cycle", "assess", cycle)
    first, second = [row["household"] for row in typed.rows("cycle", "waiting", cycle)]
    (served,) = {office.id_of(house.name) for house in HOUSES} - {first, second}

    def standing(household: str, language: str = "en", run: str = "") -> str:
        asked = ("rules", "explain", household, "--language", language, "--run", run)
        return typed(*asked).splitlines()[0].strip()

    assert standing(served) == "Served now (rank 1)."
    assert standing(second) == "On the waiting list, position 2."
    typed("cycle", "leave", cycle, served, "--reason", "moved abroad")
    assert standing(served) == "Left the cycle (2026-03-05): moved abroad."
    assert standing(first) == "Promoted from the waiting list, served now."
    assert standing(first, "tr") == "Bekleme listesinden alındı, şimdi destekleniyor."
    typed("programme", "enlist", "own", second, "--until", "2026-03-20", "--reason", "burnt out")
    run = typed("cycle", "assess", cycle, "--format", "ids").strip()
    assert standing(second, run=run) == "Served from the discretionary list."
