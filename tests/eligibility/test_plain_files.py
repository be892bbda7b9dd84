"""Two CSV files become a snapshot, or every problem of both is said with its row."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from eligibility import plain_files
from eligibility.plain_files import LISTED_MAX, PlainSnapshot, snapshot_of
from eligibility.rules.checked import rules_of
from ledgers.problems import Refusal
from tests.eligibility.packs import criterion, pack_of, text_of

CRITERIA = "gates:\n" + criterion("account", "has_iban") + "any_of:\n" + criterion(
    "older", "members.exists(m, m.age >= 60) || monthly_income_minor <= p.line"
)  # fmt: skip
HOUSEHOLDS = "household_id,rcsi,monthly_income_minor,has_iban\n"
MEMBERS = "household_id,member_id,birth_date\n"


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


class Files:
    """A folder where two lists are written and read."""

    def __init__(self, folder: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.folder, self.connection = folder, connection
        self.rules = rules_of(pack_of(folder, text_of(CRITERIA)))

    def read(self, households: str | bytes, members: str | bytes = MEMBERS) -> PlainSnapshot:
        paths = self.folder / "H.csv", self.folder / "M.csv"
        for path, text in zip(paths, (households, members), strict=True):
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return snapshot_of(self.connection, *paths, self.rules, self.folder)

    def problems(self, households: str | bytes, members: str | bytes = MEMBERS) -> list[str]:
        with pytest.raises(Refusal) as refused:
            self.read(households, members)
        return [f"{found.problem.code} {found.place}" for found in refused.value.findings]


@pytest.fixture
def files(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> Files:
    return Files(tmp_path, connection)


def test_values_are_read_for_what_they_are_and_nothing_else(files: Files) -> None:
    snapshot = files.read(
        HOUSEHOLDS + 'hh_a,-3, 150050 ,TRUE\nhh_b,,,\n"hh, c","7",0,0\n',
        MEMBERS + "hh_a,1,2008-02-29\nhh_a,2,\nhh_b,1,\n",
    )
    assert pq.read_table(snapshot.households).to_pylist() == [
        {"household_id": "hh_a", "has_roster": True, "declared_size": None, "rcsi": -3,
         "monthly_income_minor": 150050, "has_iban": True},
        {"household_id": "hh_b", "has_roster": True, "declared_size": None, "rcsi": None,
         "monthly_income_minor": None, "has_iban": None},
        {"household_id": "hh, c", "has_roster": True, "declared_size": None, "rcsi": 7,
         "monthly_income_minor": 0, "has_iban": False},
    ]  # fmt: skip
    assert pq.read_table(snapshot.members).to_pylist() == [
        {"household_id": "hh_a", "birth_date": date(2008, 2, 29), "birth_date_precision": None,
         "member_id": "1"},
        {"household_id": "hh_a", "birth_date": None, "birth_date_precision": None,
         "member_id": "2"},
        {"household_id": "hh_b", "birth_date": None, "birth_date_precision": None,
         "member_id": "1"},
    ]  # fmt: skip
    assert (snapshot.household_rows, snapshot.member_rows, snapshot.left_out) == (3, 3, ())


def test_what_says_how_much_is_known_may_be_given(files: Files) -> None:
    snapshot = files.read(
        "has_roster,declared_size," + HOUSEHOLDS + "false,4,hh_a,1,1,true\n",
        "birth_date_precision," + MEMBERS + "year,hh_a,1,1990-01-01\n",
    )
    [household] = pq.read_table(snapshot.households).to_pylist()
    [member] = pq.read_table(snapshot.members).to_pylist()
    assert (household["has_roster"], household["declared_size"]) == (False, 4)
    assert member["birth_date_precision"] == "year"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("hh_a,1.5,1,true", "rcsi"),
        ("hh_a,1e3,1,true", "rcsi"),
        ("hh_a,٣,1,true", "rcsi"),
        ("hh_a,1,1250.50,true", "monthly_income_minor"),
        ("hh_a,1,9999999999999999999,true", "monthly_income_minor"),
        ("hh_a,1,1,yes", "has_iban"),
        ("hh_a,1,1,2", "has_iban"),
    ],
)
def test_a_value_that_is_none_is_never_guessed_at(files: Files, line: str, field: str) -> None:
    assert files.problems(f"{HOUSEHOLDS}{line}\n") == [f"plain_value H.csv, row 2, {field}"]


@pytest.mark.parametrize(
    "day", ["2026-02-29", "31.12.2020", "2020-13-01", "20200101", "0000-01-01"]
)
def test_a_day_that_is_none_is_never_guessed_at(files: Files, day: str) -> None:
    household = HOUSEHOLDS + "hh_a,1,1,true\n"
    assert files.problems(household, f"{MEMBERS}hh_a,1,{day}\n") == [
        "plain_value M.csv, row 2, birth_date"
    ]


def test_all_problems_of_both_files_are_said_with_their_rows(files: Files) -> None:
    households = (
        "\ufeff" + HOUSEHOLDS + 'hh_a,1,1,true\n\nhh_b,"a\nb",1,true\nhh_a,1,1,true\n,1,1,true\n'
        "hh_c,1\nhh_d,x,1,true\n"
    ).encode() + b"hh_\xff,1,1,true\n"
    members = MEMBERS + "hh_a,1,\nhh_a,1,\nhh_b,1,\nhh_b,,\nhh_zz,1,\n"
    assert sorted(files.problems(households, members)) == [
        "plain_id_missing H.csv, row 6, household_id",
        "plain_id_missing M.csv, row 5, member_id",
        "plain_id_twice H.csv, row 5, household_id",
        "plain_id_twice M.csv, row 3, member_id",
        "plain_member_alone M.csv, row 6, household_id",
        "plain_not_text H.csv, row 9, household_id",
        "plain_row_length H.csv, row 7",
        "plain_value H.csv, row 4, rcsi",
        "plain_value H.csv, row 8, rcsi",
    ]


def test_columns_are_missing_or_stand_twice(files: Files) -> None:
    assert files.problems("household_id,rcsi,rcsi\n", "household_id\n") == [
        "plain_column_twice H.csv, row 1, rcsi",
        "plain_column_missing H.csv, row 1, has_iban",
        "plain_column_missing H.csv, row 1, monthly_income_minor",
        "plain_column_missing M.csv, row 1, birth_date",
        "plain_column_missing M.csv, row 1, member_id",
    ]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (HOUSEHOLDS.replace(",", ";").encode(), "divided by semicolons"),
        (HOUSEHOLDS.replace(",", "\t").encode(), "divided by tabs"),
        (HOUSEHOLDS.encode("utf-16"), "perhaps UTF-16"),
        (HOUSEHOLDS.encode("utf-16-be"), "perhaps UTF-16"),
    ],
)
def test_a_file_of_another_shape_is_told_so_once(files: Files, content: bytes, why: str) -> None:
    with pytest.raises(Refusal, match=f"plain_file_unreadable: .*{why}"):
        files.read(content)


@pytest.mark.parametrize("text", ["", "\n", HOUSEHOLDS + 'hh_a,1,1,"true\n'])
def test_what_is_no_list_is_refused_as_a_whole(files: Files, text: str) -> None:
    with pytest.raises(Refusal, match="plain_file_unreadable"):
        files.read(text)


def test_lists_of_nobody_are_lists(files: Files) -> None:
    snapshot = files.read(HOUSEHOLDS)
    assert (snapshot.household_rows, snapshot.member_rows) == (0, 0)


def test_a_file_that_is_wrong_everywhere_is_not_listed_for_ever(files: Files) -> None:
    wrong = "".join(f"hh_{at},x,1,true\n" for at in range(LISTED_MAX + 5))
    problems = files.problems(HOUSEHOLDS + wrong)
    assert len(problems) == LISTED_MAX + 1
    assert problems[-1] == "plain_more H.csv"


def test_rows_are_counted_on_over_the_blocks_of_a_file(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_files, "BLOCK_BYTES", 256)
    lines = [f"hh_{at:03},1,1,true" for at in range(200)]
    lines[150], lines[199] = "", "hh_199,x,1,true"
    text = HOUSEHOLDS + "\n".join(lines) + "\n"
    assert files.problems(text) == ["plain_value H.csv, row 201, rcsi"]
