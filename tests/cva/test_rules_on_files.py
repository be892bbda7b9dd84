"""Rule packs on plain files, as somebody without a database types it: check and run."""

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cva.rules_on_files import check_paths, refusal_of, run_on_files
from ledgers.problems import Refusal

ROOT = Path(__file__).parent.parent.parent
BROKEN = sorted((ROOT / "tests" / "scenarios" / "broken_packs").glob("*.yaml"))
MARKET_CARD = ROOT / "cva" / "programmes" / "market-card.yaml"
PACK = """\
code: winter
currency: TRY
inputs:
  household: {rcsi: int, monthly_income_minor: money, has_iban: bool}
  member: {in_school: bool}
parameters:
  adult: {type: years, unit: years, source: Circular 1, values: {2020-01-01: 18}}
  line: {type: money, source: Circular 2, values: {2020-01-01: 5000.00, 2026-01-01: 7500.00}}
gates:
  - {id: account, label: {tr: Hesap, en: Account, ar: حساب}, expr: has_iban}
any_of:
  - {id: poor, label: {tr: Yoksul, en: Poor, ar: فقير}, expr: monthly_income_minor <= p.line}
  - id: pupils
    label: {tr: Öğrenci, en: Pupils, ar: تلاميذ}
    expr: members.filter(m, m.age < p.adult && m.in_school).size() >= 2
score: rcsi
selection: {order: highest_score_first, households: 2}
entitlement: {by_size: {1: 1500.00, 2: 2500.00, 3: 3200.50}}
"""
HOUSEHOLDS = """\
household_id,rcsi,monthly_income_minor,has_iban,note
hh_rich,9,990000,true,two pupils
hh_poor,40,750000,true,
hh_no_account,50,0,false,
hh_unknown,30,,true,"income, not said"
hh_age_unknown,20,800000,true,
hh_equal,40,1,true,
"""
MEMBERS = """\
household_id,member_id,birth_date,in_school
hh_rich,1,1990-01-01,false
hh_rich,2,2010-03-01,true
hh_rich,3,2008-03-02,true
hh_poor,1,1990-01-01,
hh_no_account,1,1990-01-01,false
hh_unknown,1,1990-01-01,false
hh_age_unknown,1,2012-01-01,true
hh_age_unknown,2,,true
hh_equal,1,1990-01-01,false
hh_equal,2,1990-01-01,false
"""
COLUMNS = {
    "household_id": pa.string(), "status": pa.string(), "pass_bits": pa.int64(),
    "unknown_bits": pa.int64(), "score": pa.int64(), "rank": pa.int32(), "selected": pa.bool_(),
    "waitlist_position": pa.int32(), "amount_minor": pa.int64(), "currency": pa.string(),
    "reason": pa.string(),
}  # fmt: skip


def typed(
    folder: Path, *words: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command typed by somebody with no database, no settings and no home."""
    return subprocess.run(
        [Path(sys.executable).parent / "cva", "rules", *words],
        cwd=folder, env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **(environment or {})},
        check=False, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("pack.yaml", PACK), ("H.csv", HOUSEHOLDS), ("M.csv", MEMBERS)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def rows_of(
    folder: Path, on: date = date(2026, 3, 1), seed: str | None = None
) -> list[dict[str, Any]]:
    """The decisions of a run that nobody typed."""
    files = [folder / name for name in ("pack.yaml", "H.csv", "M.csv")]
    out = folder / "decisions.parquet"
    run_on_files(*files, on, out, seed=seed)
    return pq.read_table(out).to_pylist()


RUN = ("run", "pack.yaml", "--households", "H.csv", "--members", "M.csv", "--on", "2026-03-01",
       "--out", "decisions.parquet")  # fmt: skip


def test_a_pack_runs_on_two_lists_without_any_database(folder: Path) -> None:
    done = typed(folder, *RUN, "--format", "csv")

    assert (done.returncode, done.stderr) == (0, "Not read by any rule: note.\n")
    assert done.stdout.splitlines()[1].startswith("6,10,3,1,2,2,1,4000.00,")
    table = pq.read_table(folder / "decisions.parquet")
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == COLUMNS
    decided = {
        row["household_id"]: (*list(row.values())[1:9], row["reason"]) for row in table.to_pylist()
    }
    assert decided == {
        "hh_age_unknown": ("review", 1, 4, 20, None, False, None, None, "review:pupils"),
        "hh_equal": ("eligible", 3, 0, 40, 2, True, None, 250000, "selected"),
        "hh_no_account": ("ineligible", 2, 0, 50, None, False, None, None, "not_eligible:account"),
        "hh_poor": ("eligible", 3, 0, 40, 1, True, None, 150000, "selected"),
        "hh_rich": ("eligible", 5, 0, 9, 3, False, 1, 320050, "waiting"),
        "hh_unknown": ("review", 1, 2, 30, None, False, None, None, "review:poor"),
    }
    assert list(table.column("household_id").to_pylist()) == sorted(decided)
    assert set(table.column("currency").to_pylist()) == {"TRY"}
    assert sorted(path.name for path in folder.iterdir()) == [
        "H.csv", "M.csv", "decisions.parquet", "pack.yaml",
    ]  # fmt: skip


def test_the_day_of_a_run_is_the_day_it_is_given(folder: Path) -> None:
    # One pupil turns 18 on 2 March 2026.
    for day, bits in ((date(2026, 3, 1), 5), (date(2026, 3, 2), 1)):
        [rich] = [row for row in rows_of(folder, day) if row["household_id"] == "hh_rich"]
        assert rich["pass_bits"] == bits


def test_the_same_run_gives_the_same_bytes_whatever_the_settings(folder: Path) -> None:
    answers = set()
    for settings in (
        {"TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.UTF-8"},
        {"TZ": "UTC", "LC_ALL": "ar_SY.UTF-8", "PYTHONHASHSEED": "8"},
    ):
        done = typed(folder, *RUN, environment=settings)
        assert done.returncode == 0, done.stderr
        answers.add((folder / "decisions.parquet").read_bytes())
    rows_of(folder)
    assert answers == {(folder / "decisions.parquet").read_bytes()}


def test_equals_are_drawn_by_the_seed(folder: Path) -> None:
    drawn = {
        next(row["household_id"] for row in rows_of(folder, seed=seed) if row["rank"] == 1)
        for seed in "abcdef"
    }
    assert drawn == {"hh_equal", "hh_poor"}


def test_a_programme_file_runs_as_a_pack_does(tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_bytes(MARKET_CARD.read_bytes())
    (tmp_path / "H.csv").write_text(
        "household_id,province,rcsi,has_roster,has_voucher_card\n"
        "hh_a,TR-34,19,true,true\nhh_b,TR-34,18,true,true\nhh_c,TR-35,40,true,true\n"
    )
    (tmp_path / "M.csv").write_text("household_id,member_id\nhh_a,1\nhh_b,1\nhh_c,1\n")
    assert [(row["reason"], row["amount_minor"]) for row in rows_of(tmp_path)] == [
        ("selected", 600000), ("not_eligible:coping", None), ("not_eligible:area", None),
    ]  # fmt: skip


def test_a_pack_that_comes_with_the_program_runs_by_its_name(tmp_path: Path) -> None:
    facts = "legal_status,lives_in_camp,address_registered,insured_work,owns_property"
    (tmp_path / "H.csv").write_text(
        f"household_id,{facts}\nhh_a,temporary_protection,false,true,false,false\n"
    )
    (tmp_path / "M.csv").write_text(
        "household_id,member_id,sex,birth_date,counted_in_payment,disability_report,"
        "disability_percent\n" + "".join(
            f"hh_a,{at},female,{born},true,false,0\n"
            for at, born in enumerate(("1990-01-01", "2015-01-01"))
        )
    )  # fmt: skip
    ran = run_on_files(
        Path("essn-2023"), tmp_path / "H.csv", tmp_path / "M.csv", date(2023, 11, 1),
        tmp_path / "out.parquet", grant_minor=10**9,
    )  # fmt: skip
    assert (ran.totals.selected, ran.totals.amount_minor) == (1, 2 * 50_000 + 60_000)
    # Whoever reads this must know that the pack before it took nobody away.
    assert ran.after == ("c-essn",)
    with pytest.raises(Refusal, match="pack_unknown"):
        run_on_files(Path("essn"), *[tmp_path / "none"] * 2, date(2023, 11, 1), tmp_path / "o")


def test_lists_with_problems_are_refused_with_all_of_them(folder: Path) -> None:
    (folder / "H.csv").write_text("household_id,rcsi,has_iban\nhh_a,Amal Yusuf,true\n,3,\n")
    done = typed(folder, *RUN)
    assert done.returncode == 1
    said = done.stderr.splitlines()
    assert said[0] == (
        "H.csv, row 1, monthly_income_minor: plain_column_missing: The column monthly_income_minor"
        " is missing. Add it to the first line, with its values; leave a field empty where it is"
        " not known."
    )
    assert [line.split(": ")[:2] for line in said[1:4]] == [
        ["H.csv, row 3, household_id", "plain_id_missing"],
        ["H.csv, row 2, rcsi", "plain_value"],
        ["M.csv, row 2, household_id", "plain_member_alone"],
    ]
    assert "Amal" not in done.stderr
    assert not (folder / "decisions.parquet").exists()


def test_a_run_that_is_refused_leaves_the_last_answer_alone(folder: Path) -> None:
    rows_of(folder)
    before = (folder / "decisions.parquet").read_bytes()
    (folder / "M.csv").write_text("household_id,member_id\n")
    with pytest.raises(Refusal, match="plain_files_refused"):
        rows_of(folder)
    assert (folder / "decisions.parquet").read_bytes() == before


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_read(folder: Path) -> None:
    files = [folder / name for name in ("pack.yaml", "nothing.csv", "M.csv")]
    for out, why in ((folder / "none" / "out.parquet", "there is no folder"), (folder, "a folder")):
        with pytest.raises(Refusal, match=f"rules_out: .*{why}"):
            run_on_files(*files, date(2026, 3, 1), out)


# --- check -----------------------------------------------------------------------------------


def expected_of(file: Path) -> list[str]:
    first = file.read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("# expects: ").split(", ")


def test_there_are_thirty_broken_packs() -> None:
    assert len(BROKEN) >= 30


@pytest.mark.parametrize("file", BROKEN, ids=lambda file: file.stem)
def test_a_broken_pack_is_refused_with_place_and_remedy(file: Path) -> None:
    [checked] = check_paths([file])
    assert [f"{found.problem.code}@{found.place.row}" for found in checked.findings] == expected_of(
        file
    )
    for found in checked.findings:
        assert found.place.file == file.name
        assert found.sentence
        assert found.remedy


def test_a_folder_is_checked_whole(tmp_path: Path) -> None:
    done = typed(tmp_path, "check", str(ROOT / "tests" / "scenarios" / "broken_packs"))
    problems = sum(len(expected_of(file)) for file in BROKEN)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if ".yaml, row " in line]
    assert len(said) == problems
    assert (
        f"{len(BROKEN)} of {len(BROKEN)} files cannot be used: {problems} problems in all."
        in done.stderr
    )
    assert "(rules_refused)" in done.stderr


def test_what_comes_with_the_program_has_nothing_to_correct(tmp_path: Path) -> None:
    folders = [str(ROOT / "eligibility" / "packs"), str(ROOT / "cva" / "programmes")]
    done = typed(tmp_path, "check", *folders)
    assert (done.returncode, done.stderr) == (0, "")
    assert "market-card.yaml: nothing to correct." in done.stdout


def test_a_name_that_the_registration_form_does_not_ask_is_found(tmp_path: Path) -> None:
    text = (MARKET_CARD.parent / "bank-transfer.yaml").read_text(encoding="utf-8")
    text = text.replace("{rcsi: int, ", "{rcsi: text, shoe_size: int, ")
    file = tmp_path / "card.yaml"
    file.write_text(text, encoding="utf-8")
    line = text[: text.index("rcsi: text")].count("\n") + 1
    [checked] = check_paths([file])
    form = [found for found in checked.findings if found.problem.code.startswith("pack_input")]
    assert [(found.problem.code, found.place.row, found.place.field) for found in form] == [
        ("pack_input_other_type", line, "rules.inputs.household.rcsi, column 23"),
        ("pack_input_not_asked", line, "rules.inputs.household.shoe_size, column 40"),
    ]


def test_a_pack_is_held_against_the_form_that_is_named(folder: Path) -> None:
    form = str(ROOT / "adapters/forms/registration.yaml")
    done = typed(folder, "check", "pack.yaml", "--form", form)
    assert done.returncode == 1
    assert "pack_input_not_asked" in done.stderr
    assert "does not ask for in_school" in done.stderr
    assert refusal_of(check_paths([folder / "pack.yaml"])) is None


def test_a_folder_without_packs_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="rules_no_files"):
        check_paths([tmp_path])
    [checked] = check_paths([tmp_path / "nothing.yaml"])
    assert [found.problem.code for found in checked.findings] == ["pack_unreadable"]


def test_a_grant_that_the_pack_counts_on_must_be_named(folder: Path) -> None:
    text = PACK.replace("households: 2", "budget: grant")
    (folder / "pack.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(Refusal, match="selection_budget_unstated"):
        rows_of(folder)
    done = typed(folder, *RUN, "--budget-minor", "400000")
    assert done.returncode == 0
    rows = pq.read_table(folder / "decisions.parquet").to_pylist()
    assert sum(row["amount_minor"] for row in rows if row["selected"]) == 400000
