"""Flat CSV files: delimiters, encodings, doubtful cells, rows that stand twice."""

from collections import Counter
from pathlib import Path

import pytest

from adapters.forms.registration import MAPPING_SOURCE
from adapters.kobo import open_export
from adapters.mapping import (
    AnswerTarget,
    AnswerType,
    CsvLayout,
    FileFormat,
    FormMapping,
    RecordId,
    load_mapping,
)
from adapters.port import Record
from ledgers.problems import Finding, Refusal, Weight

MAPPINGS = MAPPING_SOURCE.parent / "mappings"
HEADER = "id,name,phone,size,sex,score"
MAPPING = FormMapping(
    form="flat",
    formats=(FileFormat.CSV,),
    csv=CsvLayout(encodings=("utf-8-sig", "cp1254")),
    record_id=RecordId(field="id"),
    household={"phone": "phone", "size": "declared_size"},
    members={"name": "full_name", "sex": "sex"},
    answers={"score": AnswerTarget(name="score", type=AnswerType.INT)},
    values={"sex": {"1": "male", "2": "female"}},
    constants={"relationship": "head", "country": "TR"},
)


def csv_file(folder: Path, *lines: str, encoding: str = "utf-8", header: str = HEADER) -> Path:
    path = folder / "households.csv"
    path.write_bytes(("\r\n".join([header, *lines]) + "\r\n").encode(encoding))
    return path


def read(path: Path, mapping: FormMapping = MAPPING) -> tuple[list[Record], list[Finding]]:
    out = list(open_export(path, mapping))
    return (
        [one for one in out if isinstance(one, Record)],
        [one for one in out if isinstance(one, Finding)],
    )


def said(findings: list[Finding]) -> list[tuple[str, int | None, str, str]]:
    return [(one.problem.code, one.place.row, one.place.field, one.value) for one in findings]


def test_row_becomes_a_household_with_one_named_person(tmp_path: Path) -> None:
    records, findings = read(csv_file(tmp_path, "7, Amal Halabi ,05321234567,5,2,3"))
    (record,) = records
    assert findings == []
    assert (record.record_id, record.place.row, record.has_roster) == ("7", 2, False)
    assert record.submitted_at is None
    assert record.fields == {"phone": "05321234567", "declared_size": "5"}
    assert record.members == [{"full_name": "Amal Halabi", "sex": "female", "relationship": "head"}]
    assert record.answers == {"score": "3", "country": "TR"}


def test_revision_of_a_file_without_one_follows_the_content(tmp_path: Path) -> None:
    (before,), _ = read(csv_file(tmp_path, "7,Amal,05321234567,5,2,3"))
    (again,), _ = read(csv_file(tmp_path, "7,Amal,05321234567,5,2,3"))
    (after,), _ = read(csv_file(tmp_path, "7,Amal,05321234567,6,2,3"))
    assert before.revision == again.revision != after.revision


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiter_is_the_one_that_fits_the_mapping(tmp_path: Path, delimiter: str) -> None:
    row = "7,Amal,05321234567,5,2,3".replace(",", delimiter)
    path = csv_file(tmp_path, row, header=HEADER.replace(",", delimiter))
    records, findings = read(path)
    assert ([one.record_id for one in records], findings) == (["7"], [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1254"])
def test_encoding_is_the_first_that_reads_the_file(tmp_path: Path, encoding: str) -> None:
    (record,), _ = read(csv_file(tmp_path, "7,Şükrü Işık,,5,1,3", encoding=encoding))
    assert record.members[0]["full_name"] == "Şükrü Işık"


def test_text_in_no_known_encoding_is_refused(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "7,Şükrü,,5,1,3", encoding="cp1254")
    mapping = MAPPING.model_copy(update={"csv": CsvLayout()})
    with pytest.raises(Refusal, match="encoding_unreadable"):
        read(path, mapping)


def test_all_missing_columns_are_named_at_once(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "1,2", header="phone,size")
    with pytest.raises(Refusal, match="columns_missing") as refused:
        read(path)
    assert refused.value.facts["columns"] == "id, name"


def test_optional_column_that_is_absent_is_one_finding_for_the_file(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "7,Amal", "8,Deniz", header="id,name")
    records, findings = read(path)
    assert [one.record_id for one in records] == ["7", "8"]
    assert said(findings) == [("column_absent", None, "", "")]
    assert findings[0].facts["columns"] == "phone, score, sex, size"


def test_doubtful_rows_are_kept_and_named(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path,
        "1,Amal,5.32123E+09,5,2,3",
        "2,Deniz,5321234567.0,5,2,3",
        "3,=1+1,05321234567,5,2,3",
        '4,"=""Omar""",05321234567,5,2,3',
        "5,Selin,05321234567,5,9,3",
        "6,Ines,Sokak,12,05321234567,5,2,3",
        "7,Sa\x07m,,5,1,3",
        ",Nobody,,5,1,3",
        "9,,05321234567,5,2,3",
        ",,,,,",
    )
    records, findings = read(path)
    assert [one.record_id for one in records] == ["1", "2", "3", "4", "5", "6", "7"]
    assert [one.fields.get("phone") for one in records[:2]] == [None, "5321234567"]
    assert records[3].members[0]["full_name"] == "Omar"
    assert "sex" not in records[4].members[0]
    assert records[6].members[0]["full_name"] == "Sam"
    assert [row[:3] for row in said(findings)] == [
        ("digits_lost", 2, "phone"),
        ("number_in_text", 3, "phone"),
        ("formula_in_cell", 4, "name"),
        ("code_unknown", 6, "sex"),
        ("row_ragged", 7, ""),
        ("code_unknown", 7, "sex"),
        ("signs_removed", 8, "name"),
        ("record_without_identity", 9, ""),
        ("household_unnamed", 10, ""),
    ]
    refused = {one.problem.code for one in findings if one.problem.weight is Weight.REFUSED}
    assert refused == {"record_without_identity", "household_unnamed"}


def test_findings_hold_nothing_that_names_a_person(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "1,Amal,5.32123E+09,5,Amal Halabi,3", "2,=Deniz,5321234567.0,5,2,3")
    _, findings = read(path)
    text = " ".join(str(one) for one in findings)
    assert len(findings) == 4
    assert [name for name in ("Amal", "Deniz", "5.32123E+09", "5321234567") if name in text] == []


def test_repeated_row_counts_once_and_a_changed_one_supersedes(tmp_path: Path) -> None:
    path = csv_file(
        tmp_path,
        "1,Amal,05321234567,5,2,3",
        "2,Deniz,05331234567,4,2,3",
        "1,Amal,05321234567,5,2,3",
        "2,Deniz,05331234567,6,2,3",
    )
    records, findings = read(path)
    assert [(one.record_id, one.fields["declared_size"]) for one in records] == [
        ("1", "5"),
        ("2", "6"),
    ]
    assert said(findings) == [
        ("submission_repeated", 2, "", "1"),
        ("submission_superseded", 3, "", "2"),
    ]
    assert [one.facts for one in findings] == [{"kept_row": 4}, {"kept_row": 5}]


def test_personal_identity_of_a_repeated_row_is_masked(tmp_path: Path) -> None:
    row = "99123456782,Amal,05321234567,5,2,3"
    mapping = MAPPING.model_copy(update={"record_id": RecordId(field="id", personal=True)})
    _, (finding,) = read(csv_file(tmp_path, row, row), mapping)
    assert finding.value == "99…82 (11)"


def test_two_columns_that_answer_differently_are_named(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "7,Amal,Deniz", header="id,a/name,b/name")
    (record,), findings = read(path)
    assert record.members[0]["full_name"] == "Amal"
    assert said(findings)[1:] == [("answers_differ", 2, "name", "")]


def test_cell_too_long_for_the_reader_is_a_refused_row(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"1,{'x' * 200_000},,5,2,3", "2,Deniz,,5,2,3")
    records, findings = read(path)
    assert [one.record_id for one in records] == ["2"]
    assert [(one.problem.code, one.problem.weight) for one in findings] == [
        ("row_unreadable", Weight.REFUSED)
    ]


@pytest.mark.samples
def test_sample_of_999_registrations_comes_out_whole(samples: Path) -> None:
    mapping = load_mapping(MAPPINGS / "mobile_money_999.yaml")
    records, findings = read(samples / "registrations" / "mobile-money-999.csv", mapping)
    assert findings == []
    assert len({one.record_id for one in records}) == 999
    assert all(len(one.members) == 1 and one.members[0]["full_name"] for one in records)
    assert sum(int(one.fields["declared_size"]) for one in records) == 3955
    scores = Counter(one.answers["vulnerability_score"] for one in records)
    assert scores == {"0": 92, "1": 277, "2": 331, "3": 200, "4": 84, "5": 11, "6": 4}


@pytest.mark.samples
def test_sample_with_a_duplicate_row_says_so(samples: Path) -> None:
    mapping = load_mapping(MAPPINGS / "bank_transfer_250.yaml")
    records, findings = read(samples / "registrations" / "bank-transfer-250.csv", mapping)
    assert len(records) == 250
    assert [one.problem.code for one in findings] == ["submission_repeated"]
