"""Mapping files: what is read, and that all problems are said at once with their lines."""

from pathlib import Path

import pytest

from adapters.forms import registration_mapping
from adapters.forms.registration import MAPPING_SOURCE
from adapters.mapping import (
    MAPPING_BYTES_MAX,
    AnswerTarget,
    AnswerType,
    CsvLayout,
    FileFormat,
    FormMapping,
    RecordId,
    load_mapping,
)
from ledgers.problems import Refusal

SHIPPED = sorted((MAPPING_SOURCE.parent / "mappings").glob("*.yaml"))

WHOLE = """\
form: market-support
formats: [csv]
csv: {delimiters: [";"], encodings: [utf-8-sig, cp1254]}
record_id: {field: nationalId, personal: true}
household: {phoneNumber: phone}
members: {fullName: full_name, gender: sex}
answers:
  score: {name: vulnerability_score, type: int}
values: {sex: {1: male, 2: female, no: female}}
choices: {vulnerability_score: [yes, no]}
constants: {relationship: head, country: KE}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mapping.yaml"
    path.write_text(text, "utf-8")
    return path


def problems(path: Path) -> list[tuple[int | None, str, str]]:
    with pytest.raises(Refusal) as refused:
        load_mapping(path)
    assert refused.value.problem.code == "mapping_invalid"
    assert {finding.problem.code for finding in refused.value.findings} == {"mapping_entry"}
    return [(one.place.row, one.place.field, one.sentence) for one in refused.value.findings]


def test_mapping_file_is_read_with_every_scalar_as_text(tmp_path: Path) -> None:
    assert load_mapping(written(tmp_path, WHOLE)) == FormMapping(
        form="market-support",
        formats=(FileFormat.CSV,),
        csv=CsvLayout(delimiters=(";",), encodings=("utf-8-sig", "cp1254")),
        record_id=RecordId(field="nationalId", personal=True),
        household={"phoneNumber": "phone"},
        members={"fullName": "full_name", "gender": "sex"},
        answers={"score": AnswerTarget(name="vulnerability_score", type=AnswerType.INT)},
        values={"sex": {"1": "male", "2": "female", "no": "female"}},
        choices={"vulnerability_score": ("yes", "no")},
        constants={"relationship": "head", "country": "KE"},
    )


def test_all_problems_of_a_mapping_are_said_at_once_with_their_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "form: market-support\n"
        "formats: [csv, pdf]\n"
        "colour: red\n"
        "record_id: {personal: maybe}\n"
        "members:\n"
        "  fullName: full_name\n"
        "answers:\n"
        "  score: {name: score, type: float}\n",
    )
    assert problems(path) == [
        (2, "formats.1", "Input should be 'kobo_xlsx', 'kobo_json' or 'csv'."),
        (3, "colour", "Extra inputs are not permitted."),
        (4, "record_id.field", "Field required."),
        (4, "record_id.personal", "Input should be a valid boolean, unable to interpret input."),
        (8, "answers.score.type",
         "Input should be 'int', 'money_try', 'text', 'bool', 'date' or 'select'."),
    ]  # fmt: skip


def test_contradictions_between_entries_are_said_with_their_lines(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "form: market-support\n"
        "formats: [csv]\n"
        "csv: {delimiters: [';;'], encodings: [klingon]}\n"
        "record_id: {field: id}\n"
        "roster: people\n"
        "household:\n"
        "  a: phone\n"
        "  b: phone\n"
        "  c: salary\n"
        "members: {d: sex, e: shoe_size}\n"
        "answers:\n"
        "  f: {name: Big Score}\n"
        "  g: {name: iban}\n"
        "values: {phone: {'1': x}, rooms: {'1': x}}\n"
        "constants: {given_name: Sam, Country: KE, sex: male}\n",
    )
    assert problems(path) == [
        (3, "csv.delimiters.0", "A delimiter is one character."),
        (3, "csv.encodings.0", "`klingon` is no known encoding."),
        (5, "roster", "A CSV file has no roster: leave `roster` out or drop `csv`."),
        (8, "household.b", "`phone` has a source already."),
        (9, "household.c", "`salary` is no field of a household."),
        (10, "members.e", "`shoe_size` is no field of a member."),
        (10, "members", "No question gives a name: map one to given_name, family_name, full_name."),
        (12, "answers.f.name", "`Big Score` is no name: use small letters, digits and _."),
        (13, "answers.g.name", "`iban` is a canonical field: map it there."),
        (14, "values.phone", "`phone` is personal and has no codes."),
        (14, "values.rooms", "`rooms` is not mapped from any question."),
        (15, "constants.sex", "`sex` has a source already."),
        (15, "constants.given_name",
         "`given_name` is personal: it cannot be the same for everybody."),
        (15, "constants.Country", "`Country` is no name: use small letters, digits and _."),
    ]  # fmt: skip


def test_entry_given_twice_is_a_problem(tmp_path: Path) -> None:
    path = written(tmp_path, f"{WHOLE}form: another\n")
    assert problems(path) == [(12, "form", "`form` is given twice.")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"form: [1, 2\nnext: 3", "line 2 is not YAML"),
        (b"- a\n- b\n", "it holds no `name: value` lines"),
        (b"", "it holds no `name: value` lines"),
        (b"form: \xff\xfe", "it is not UTF-8 text"),
        (b"#" * (MAPPING_BYTES_MAX + 1), "it is larger than 1 MB"),
    ],
)
def test_file_that_is_no_mapping_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_bytes(content)
    with pytest.raises(Refusal, match="mapping_unreadable") as refused:
        load_mapping(path)
    assert reason in refused.value.sentence


def test_mapping_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="mapping_unreadable"):
        load_mapping(tmp_path / "none.yaml")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_mapping_is_right(path: Path) -> None:
    assert load_mapping(path).name_sources


def test_built_in_mapping_knows_the_codes_of_its_form() -> None:
    codes = registration_mapping().codes
    assert codes["shelter"] == {"flat", "shared", "tent", "unfinished"}
    assert len(codes["province"]) == 81
