"""Snapshots: the facts of live households, typed, in the same bytes, with nothing personal."""

from datetime import date
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from cva.registry import snapshot as snapshots
from cva.registry.duplicates import Ruling, Verdict, decide, merge, open_pairs
from cva.registry.snapshot import write_snapshot
from tests.cva.registration import AT, FIELDS, LAYLA, YUSUF, Office, open_office, record

INPUTS = {
    "rcsi": "int", "monthly_income_minor": "money", "shelter": "text", "owns_land": "bool",
    "arrived_on": "date", "has_iban": "bool", "has_debit_card": "bool", "consent_given": "bool",
    "never_asked": "int",
}  # fmt: skip


@pytest.fixture
def office(app: psycopg.Connection) -> Office:
    return open_office(app)


def test_snapshot_holds_the_facts_of_live_households(office: Office, tmp_path: Path) -> None:
    office.take(record("1"))
    unknown = {"iban": "TR330006100519786457841327"}
    office.take(record("2", fields=unknown, members=[{"full_name": "Omar"}], answers={}))
    snapshot = write_snapshot(office.conn, tmp_path / "new", INPUTS, {"school": "text"})
    ids = dict(
        office.conn.execute("SELECT household_id, version_id FROM registry.version").fetchall()
    )
    layla, omar = ids
    households = {
        layla: {
            "household_id": layla, "version_id": ids[layla], "province": "TR-31",
            "district": "Antakya", "population_group": "syrian_tp", "declared_size": 2,
            "has_roster": True, "rcsi": 17, "monthly_income_minor": 125050, "shelter": "tent",
            "owns_land": False, "arrived_on": date(2015, 9, 1), "has_iban": True,
            "has_debit_card": False, "consent_given": True, "never_asked": None,
        },
        omar: {
            **dict.fromkeys(("province", "district", "population_group", "declared_size", *INPUTS)),
            "household_id": omar, "version_id": ids[omar], "has_roster": True,
            "has_debit_card": False,
        },
    }  # fmt: skip
    assert pq.read_table(snapshot.households).to_pylist() == [
        households[household_id] for household_id in sorted(ids)
    ]
    members = pq.read_table(snapshot.members).to_pylist()
    assert [(row["household_id"], row["member_no"]) for row in members] == sorted(
        [(layla, 1), (layla, 2), (omar, 1)]
    )
    yusuf = next(row for row in members if row["member_no"] == 2)
    assert yusuf == {
        "household_id": layla, "member_no": 2, "relationship": "child", "sex": "male",
        "birth_date": date(2019, 1, 1), "birth_date_precision": "year", "nationality": "SY",
        "disability_percent": None, "school": None,
    }  # fmt: skip
    assert (snapshot.household_rows, snapshot.member_rows) == (2, 3)


def test_snapshot_has_the_promised_types(office: Office, tmp_path: Path) -> None:
    snapshot = write_snapshot(office.conn, tmp_path, {"rcsi": "int", "shelter": "text"})
    assert snapshot.household_rows == snapshot.member_rows == 0
    assert [f"{f.name} {f.type}" for f in pq.read_schema(snapshot.households)] == [
        "household_id string", "version_id int64", "province string", "district string",
        "population_group string", "declared_size int32", "has_roster bool", "rcsi int64",
        "shelter string",
    ]  # fmt: skip
    assert [f"{f.name} {f.type}" for f in pq.read_schema(snapshot.members)] == [
        "household_id string", "member_no int32", "relationship string", "sex string",
        "birth_date date32[day]", "birth_date_precision string", "nationality string",
        "disability_percent int32",
    ]  # fmt: skip


def test_snapshot_takes_the_latest_version_and_no_withdrawn_household(
    office: Office, tmp_path: Path
) -> None:
    office.take(record("1"), record("2", members=[LAYLA, YUSUF]), record("3", members=[YUSUF]))
    office.take(record("3", "r2", members=[YUSUF], answers={"rcsi": "3"}))
    (pair,) = open_pairs(office.conn)
    decide(
        office.conn, pair.left_id, pair.right_id,
        Ruling(Verdict.SAME, pair.right_id, "seen together"), person_id=office.amal, at=AT,
    )  # fmt: skip
    merge(office.conn, pair.left_id, pair.right_id, person_id=office.second(), at=AT)
    snapshot = write_snapshot(office.conn, tmp_path, {"rcsi": "int"})
    rows = pq.read_table(snapshot.households).to_pylist()
    assert sorted((row["rcsi"], row["household_id"] == pair.right_id) for row in rows) == [
        (3, False),
        (17, True),
    ]


def test_answer_of_another_kind_is_unknown(office: Office, tmp_path: Path) -> None:
    office.take(record())
    asked = {"shelter": "int", "rcsi": "bool", "owns_land": "text", "monthly_income_minor": "date"}
    (row,) = pq.read_table(write_snapshot(office.conn, tmp_path, asked).households).to_pylist()
    assert {name: row[name] for name in asked} == dict.fromkeys(asked)


def test_text_with_commas_quotes_and_lines_stays_one_value(office: Office, tmp_path: Path) -> None:
    odd = 'Antakya, "Eski"\nŞehir\\ NULL \\N'
    office.take(record(fields={**FIELDS, "district": odd}))
    (row,) = pq.read_table(write_snapshot(office.conn, tmp_path, {}).households).to_pylist()
    assert row["district"] == odd


def test_same_registry_gives_the_same_bytes_in_fixed_row_groups(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.take(*(record(str(number), members=[YUSUF]) for number in range(50)))
    first = write_snapshot(office.conn, tmp_path / "a", INPUTS)
    again = write_snapshot(office.conn, tmp_path / "b", INPUTS)
    assert first.sha256 == again.sha256
    assert first.households.read_bytes() == again.households.read_bytes()
    assert first.members.read_bytes() == again.members.read_bytes()
    monkeypatch.setattr(snapshots, "ROW_GROUP_ROWS", 20)
    monkeypatch.setattr(snapshots, "BLOCK_BYTES", 512)
    grouped = write_snapshot(office.conn, tmp_path / "c", INPUTS)
    file = pq.ParquetFile(grouped.households)
    sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [20, 20, 10]
    assert file.read().equals(pq.read_table(first.households))
    office.take(record("51"))
    assert write_snapshot(office.conn, tmp_path / "d", INPUTS).sha256 != first.sha256


def test_snapshot_holds_nothing_personal(office: Office, tmp_path: Path) -> None:
    office.take(record(), record("2", members=[{**LAYLA, "given_name": "Omar"}]))
    snapshot = write_snapshot(office.conn, tmp_path, INPUTS)
    secrets = ("Layla", "Haddad", "Omar", "99123456740", "532", "TR33", "VC-", "Sokak")
    for path in (snapshot.households, snapshot.members):
        table = pq.read_table(path)
        shown = str(table.to_pylist()) + str(pq.read_metadata(path).metadata)
        clear = "Antakya" if path is snapshot.households else "1987, 4, 23"
        assert clear in shown
        for secret in secrets:
            assert secret not in shown
