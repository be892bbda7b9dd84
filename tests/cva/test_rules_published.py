"""`cva rules` beyond check and run: the 999 sample registrations, explained and compared."""

import csv
import json
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cva.cli.rules import app
from cva.rules_on_files import run_on_files
from eligibility.packs import shipped_packs
from eligibility.rules.checked import load_pack, rules_of
from eligibility.rules.explain import Status, explain
from eligibility.rules.phrases import PHRASES, Language
from eligibility.rules.telling import tell

ON = "2024-06-01"
COUNTS = {
    "howManyOver65": "over_65", "howManyChronic": "chronic", "howManyDisabilities": "disabilities",
    "howManyPregnantLactating": "pregnant_or_nursing", "howManyUnder5": "under_5",
    "howManyWidows": "widows",
}  # fmt: skip
PACK = shipped_packs()["vulnerability-count"]


@pytest.fixture
def registrations(samples: Path, tmp_path: Path) -> Path:
    """The sample as two plain files: households.csv and members.csv; nobody is listed by name."""
    source = samples / "registrations" / "mobile-money-999.csv"
    with source.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    names = ["household_id", "declared_size", "has_roster", *COUNTS.values(), "stated_sum"]
    with (tmp_path / "households.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        for at, row in enumerate(rows):
            counts = {name: row[column] for column, name in COUNTS.items()}
            writer.writerow(
                {"household_id": f"r{at:04}", "declared_size": row["totalHHSize"],
                 "has_roster": "false", "stated_sum": row["sum"], **counts}
            )  # fmt: skip
    (tmp_path / "members.csv").write_text("household_id,member_id\n", encoding="utf-8")
    return tmp_path


def with_least(folder: Path, least: int) -> Path:
    text = PACK.read_text(encoding="utf-8")
    assert "values: {2024-01-01: 2}" in text
    file = folder / f"least-{least}.yaml"
    changed = text.replace("values: {2024-01-01: 2}", f"values: {{2024-01-01: {least}}}")
    file.write_text(changed, encoding="utf-8")
    return file


@pytest.mark.samples
@pytest.mark.parametrize(("least", "selected"), [(2, 630), (3, 299)])
def test_a_count_of_vulnerabilities_selects_as_the_programme_would(
    registrations: Path, least: int, selected: int
) -> None:
    file, out = with_least(registrations, least), registrations / "decisions.parquet"
    ran = run_on_files(
        file, registrations / "households.csv", registrations / "members.csv",
        date.fromisoformat(ON), out,
    )  # fmt: skip
    assert (ran.totals.registered, ran.totals.people) == (999, 3955)
    assert (ran.totals.eligible, ran.totals.selected, ran.totals.review) == (selected, selected, 0)
    assert ran.left_out == ("stated_sum",)

    # Each of the others can be explained, and the sum that the form computed is the one we see.
    pack = load_pack(file)
    rules = rules_of(pack)
    decisions = {row["household_id"]: row for row in pq.read_table(out).to_pylist()}
    with (registrations / "households.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    others = 0
    for row in rows:
        facts = {name: int(row[name]) for name in (*COUNTS.values(), "declared_size")}
        why = explain({**facts, "has_roster": False}, [], pack, date.fromisoformat(ON))
        assert why.facts[0].low == int(row["stated_sum"])
        assert why.status == decisions[row["household_id"]]["status"]
        if why.status is Status.INELIGIBLE:
            others += 1
            text = [line.text for line in tell(why, rules, Language.EN)]
            stated = f"vulnerabilities: {row['stated_sum']}, needs {least} or more"
            assert f"Counts two vulnerabilities or more: {stated}" in text
    assert others == 999 - selected


def typed(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.mark.samples
def test_the_commands_compare_and_explain_without_a_database(registrations: Path) -> None:
    files = ["--households", registrations / "households.csv",
             "--members", registrations / "members.csv", "--on", ON]  # fmt: skip
    changes = registrations / "changes.csv"
    answer = json.loads(
        typed("diff", with_least(registrations, 2), with_least(registrations, 3), *files,
              "--out", changes, "--format", "json")
    )  # fmt: skip
    moves = {row["who"]: row["households"] for row in answer["served"]}
    assert moves == {"enters": 0, "leaves": 630 - 299, "stays": 299, "outside": 369}
    assert answer["reasons"][0]["reason"] == "not_eligible:vulnerable"
    assert len(changes.read_text(encoding="utf-8").splitlines()) == 1 + 331

    left = changes.read_text(encoding="utf-8").splitlines()[1].split(",")[0]
    told = typed("explain", left, "--file", registrations / "least-3.yaml", *files)
    assert "vulnerabilities: 2, needs 3 or more" in told
    arabic = typed("explain", left, "--file", PACK, *files, "--language", "ar")
    assert PHRASES["eligible"][2] in arabic


def test_a_pack_alone_explains_nobody() -> None:
    result = CliRunner().invoke(app, ["explain", "r0001", "--file", str(PACK)])
    assert str(result.exception).startswith("explain_without_files: ")


def test_one_list_of_two_is_no_caseload() -> None:
    words = ["diff", "pmt", "pmt", "--on", ON, "--households", "h.csv"]
    for more in ([], ["--members", "m.csv", "--run", "run_1"]):
        said = str(CliRunner().invoke(app, [*words, *more]).exception)
        assert said.startswith("diff_on_what: ")


def test_a_household_that_is_not_listed_is_not_found(tmp_path: Path) -> None:
    counts = ",".join(COUNTS.values())
    (tmp_path / "h.csv").write_text(f"household_id,{counts}\n", encoding="utf-8")
    (tmp_path / "m.csv").write_text("household_id,member_id\n", encoding="utf-8")
    files = ["--households", tmp_path / "h.csv", "--members", tmp_path / "m.csv", "--on", ON]
    words = ["explain", "achieng", "--file", PACK, *files]
    said = str(CliRunner().invoke(app, [str(word) for word in words]).exception)
    assert said.startswith("household_not_listed: The file h.csv has no household achieng.")


def test_the_commands_stand_in_the_group() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert {"check", "run", "publish", "list", "explain", "diff", "replay"} <= names
