"""KoBo's exports: workbooks and JSON in every shape, read, written, damaged and refused."""

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.forms import registration_form, registration_mapping
from adapters.forms.registration import MAPPING_SOURCE
from adapters.kobo import Description, api, describe, open_export, xlsx
from adapters.kobo.export import Submission, write_json_lines, write_xlsx
from adapters.mapping import FormMapping, load_mapping
from adapters.port import Record
from ledgers.problems import Finding, Place, Refusal, Weight

MAPPINGS = MAPPING_SOURCE.parent / "mappings"
MARCH = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)

AMAL = {
    "given_name": "Amal",
    "family_name": "Halabi",
    "relationship": "head",
    "sex": "female",
    "birth_date": "1990-01-01",
    "birth_date_precision": "year",
    "nationality": "SY",
    "id_type": "none",
}
OMAR = {"given_name": "عمر", "family_name": "Halabi", "relationship": "child", "sex": "male"}
HOUSEHOLD = {
    "consent_given": "yes",
    "consent_language": "ar",
    "consent_on": "2026-03-01",
    "province": "TR-63",
    "district": "Eyyübiye",
    "declared_size": "2",
    "population_group": "syrian_tp",
    "phone": "05321234567",
    "monthly_income_try": "1250.50",
    "rcsi": "12",
    "shelter": "flat",
    "voucher_card_ref": "VC-00001234",
}
FIRST = Submission(1, "a-1", MARCH, "v1", HOUSEHOLD, (AMAL, OMAR))
SECOND = Submission(2, "b-2", MARCH, "v1", {"consent_given": "yes", "province": "TR-34"}, (AMAL,))

Rows = Sequence[Sequence[object]]
MAIN = ("_id", "_uuid", "_submission_time", "household_location", "_index")
ROSTER = ("household_member_name", "_index", "_parent_table_name", "_parent_index")
VISITS = load_mapping(MAPPINGS / "grouped_repeatable.yaml")
NESTED = load_mapping(MAPPINGS / "nested_roster.yaml")


def workbook(folder: Path, sheets: Mapping[str, Rows]) -> Path:
    path = folder / "export.xlsx"
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def visits(
    folder: Path, main: Rows, roster: Rows, others: Mapping[str, Rows] | None = None
) -> Path:
    return workbook(
        folder,
        {
            "Household survey": [MAIN, *main],
            "houshold_member_repeat": [ROSTER, *roster],
            **(others or {}),
        },
    )


def document(
    folder: Path, content: object, name: str = "data.json", indent: int | None = 1
) -> Path:
    path = folder / name
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False), "utf-8")
    return path


def lines(folder: Path, *contents: object) -> Path:
    path = folder / "data.jsonl"
    texts = [one if isinstance(one, str) else json.dumps(one) for one in contents]
    path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
    return path


def read(path: Path, mapping: FormMapping) -> tuple[list[Record], list[Finding]]:
    out = list(open_export(path, mapping))
    return (
        [one for one in out if isinstance(one, Record)],
        [one for one in out if isinstance(one, Finding)],
    )


def said(findings: Sequence[Finding]) -> list[tuple[str, str, int | None, str]]:
    return [(one.problem.code, one.place.sheet, one.place.row, one.value) for one in findings]


def names(record: Record) -> list[str | None]:
    return [member.get("full_name") for member in record.members]


def refusal(path: Path, mapping: FormMapping) -> Refusal:
    with pytest.raises(Refusal) as refused:
        list(open_export(path, mapping))
    return refused.value


# --- the samples ----------------------------------------------------------------------------


@pytest.mark.samples
def test_sample_with_names_gives_six_households_and_thirteen_people(samples: Path) -> None:
    path = samples / "kobo" / "formpack__grouped_repeatable.names.xlsx"
    records, findings = read(path, VISITS)
    assert findings == []
    assert [one.record_id for one in records] == ["1000", "1001", "1002", "1003", "1004", "1005"]
    assert [len(one.members) for one in records] == [1, 2, 1, 2, 2, 5]
    assert records[0] == Record(
        place=Place(path.name, "Household survey with repeat...", 2),
        record_id="1000",
        revision="91ab8237-92b1-4a10-929f-45af2bb141c0",
        submitted_at=datetime(2016, 3, 14, 18, 18, 35, tzinfo=UTC),
        fields={"district": "montreal"},
        members=[{"full_name": "peter"}],
        answers={},
        has_roster=True,
    )


@pytest.mark.samples
def test_same_sample_with_labels_is_refused_with_the_way_to_export(samples: Path) -> None:
    path = samples / "kobo" / "formpack__grouped_repeatable.labels.xlsx"
    refused = refusal(path, VISITS)
    assert refused.problem.code == "label_export"
    assert "household location" in refused.sentence
    assert "XML values and headers" in refused.remedy


@pytest.mark.samples
def test_sample_with_nested_repeats_gives_three_households_and_seven_people(samples: Path) -> None:
    path = samples / "kobo" / "robotoolbox__nested_roster__data.json"
    records, findings = read(path, NESTED)
    assert [names(one) for one in records] == [
        ["Ahmad", "Myriam"],
        ["Shannon", "Skip"],
        ["Jemelle", "Fatim", "Ali"],
    ]
    assert records[0].members[0] == {"full_name": "Ahmad", "sex": "male"}
    assert [one.facts["repeat"] for one in findings] == [
        "demo/hobbies_list",
        "demo/lang_list",
        "education",
    ]
    assert {one.problem.code for one in findings} == {"repeat_ignored"}


@pytest.mark.samples
def test_sample_in_three_languages_gives_five_people(samples: Path) -> None:
    path = samples / "kobo" / "robotoolbox__multilang_ar__data.json"
    records, findings = read(path, load_mapping(MAPPINGS / "multilang_ar.yaml"))
    assert ([names(one) for one in records], findings) == (
        [["Ahmad"], ["Michelle"], ["إبراهيم"], ["Jean-Pierre"], ["Fatim"]],
        [],
    )


# --- what we write, we read -------------------------------------------------------------------


def written_xlsx(folder: Path, submissions: Sequence[Submission]) -> Path:
    write_xlsx(folder / "export.xlsx", submissions)
    return folder / "export.xlsx"


def written_lines(folder: Path, submissions: Sequence[Submission]) -> Path:
    write_json_lines(folder / "export.jsonl", submissions, page_size=2)
    return folder / "export.jsonl"


WRITERS = (written_xlsx, written_lines)


@pytest.mark.parametrize("write", WRITERS)
def test_written_export_comes_back_as_it_was(
    tmp_path: Path, write: Callable[[Path, Sequence[Submission]], Path]
) -> None:
    records, findings = read(write(tmp_path, [FIRST, SECOND]), registration_mapping())
    answers = {"monthly_income_try", "rcsi", "shelter"}
    assert findings == []
    assert [
        (one.record_id, one.revision, one.submitted_at, one.fields, one.answers, one.members)
        for one in records
    ] == [
        (
            "1",
            "a-1",
            MARCH,
            {name: value for name, value in HOUSEHOLD.items() if name not in answers},
            {"monthly_income_minor": "1250.50", "rcsi": "12", "shelter": "flat"},
            [AMAL, OMAR],
        ),
        ("2", "b-2", MARCH, {"consent_given": "yes", "province": "TR-34"}, {}, [AMAL]),
    ]


TEXT = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
MEMBER = st.fixed_dictionaries(
    {"given_name": TEXT, "family_name": TEXT, "sex": st.sampled_from(["female", "male"])}
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(
            Submission,
            record_id=st.integers(1, 10**9),
            uuid=st.uuids().map(str),
            submitted_at=st.just(MARCH),
            version=st.just("v1"),
            fields=st.fixed_dictionaries({"province": st.just("TR-63"), "district": TEXT}),
            members=st.lists(MEMBER, min_size=1, max_size=4),
        ),
        max_size=6,
        unique_by=lambda one: one.record_id,
    )
)
def test_both_shapes_of_an_export_hold_the_same_registrations(
    tmp_path: Path, submissions: list[Submission]
) -> None:
    expected = [
        (str(one.record_id), one.uuid, one.fields, list(one.members)) for one in submissions
    ]
    for write in WRITERS:
        if not submissions and write is written_lines:
            continue  # no page, no file to speak of
        records, findings = read(write(tmp_path, submissions), registration_mapping())
        assert findings == []
        assert [
            (one.record_id, one.revision, one.fields, one.members) for one in records
        ] == expected


def test_written_workbook_has_kobos_layout(tmp_path: Path) -> None:
    book = openpyxl.load_workbook(written_xlsx(tmp_path, [FIRST]))
    assert book.sheetnames == ["Household registration for c...", "members"]
    main, roster = (list(sheet.iter_rows(values_only=True)) for sheet in book)
    assert main[0] == (
        "start", "end", "today", *registration_form().household, "_id", "_uuid",
        "_submission_time", "_validation_status", "_notes", "_status", "_submitted_by",
        "__version__", "_tags", "meta/rootUuid", "_index",
    )  # fmt: skip
    assert roster[0][:13] == (*registration_form().members, "_index", "_parent_table_name",
                              "_parent_index")  # fmt: skip
    assert roster[2][10:15] == (2, "Household registration for cash and voucher assistance", 1, 1,
                                "a-1")  # fmt: skip


def test_written_lines_are_pages_of_the_api(tmp_path: Path) -> None:
    third = Submission(3, "c-3", MARCH, "v1", {}, ())
    path = written_lines(tmp_path, [FIRST, SECOND, third])
    pages = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [(page["count"], page["next"], page["previous"]) for page in pages] == [
        (2, "?format=json&start=2", None),
        (3, None, "?format=json&start=0"),
    ]
    assert pages[0]["results"][0]["household/phone"] == "05321234567"
    assert pages[0]["results"][0]["members"][0]["members/given_name"] == "Amal"
    assert "members" not in pages[1]["results"][0]
    assert pages[0]["results"][0]["meta/instanceID"] == "uuid:a-1"


@pytest.mark.parametrize("write", WRITERS)
def test_question_the_form_does_not_ask_is_not_written(
    tmp_path: Path, write: Callable[[Path, Sequence[Submission]], Path]
) -> None:
    odd = Submission(1, "a", MARCH, "v1", {"salary": "1"}, ({"nickname": "x"},))
    with pytest.raises(Refusal, match="question_unknown") as refused:
        write(tmp_path, [odd])
    assert refused.value.facts["questions"] == "nickname, salary"


# --- workbooks --------------------------------------------------------------------------------


def test_rows_of_the_roster_may_come_in_any_order(tmp_path: Path) -> None:
    path = visits(
        tmp_path,
        [(10, "u1", "2026-03-01T09:30:00", "Urfa", 1), (11, "u2", "2026-03-01T09:30:00", "Van", 2)],
        [("Omar", 1, "Household survey", 2), ("Amal", 2, "Household survey", 1),
         ("Deniz", 3, "Household survey", 2)],
    )  # fmt: skip
    records, findings = read(path, VISITS)
    assert ([(one.record_id, names(one)) for one in records], findings) == (
        [("10", ["Amal"]), ("11", ["Omar", "Deniz"])],
        [],
    )


def test_doubtful_rows_of_a_workbook_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = visits(
        tmp_path,
        [
            (10, "u1", "2026-03-01T09:30:00", "Urfa", 1),
            (11, "u2", "soon", "Van", 2),
            (None, "u3", None, "Muş", 3),
            (13, "u4", None, "Kars", 4),
            (14, "u5", None, "#N/A", 5),
        ],
        [
            ("Amal", 1, "Household survey", 1),
            (None, 2, "Household survey", 1),
            ("Omar", 3, "Household survey", 2),
            ("Selin", 4, "Household survey", 99),
            ("Ines", 5, "Household survey", 3),
            (None, 6, "Household survey", 5),
        ],
        {"visits_repeat": [("when", "_index")]},
    )
    records, findings = read(path, VISITS)
    assert [(one.record_id, names(one)) for one in records] == [
        ("10", ["Amal", None]),
        ("11", ["Omar"]),
    ]
    roster, main = "houshold_member_repeat", "Household survey"
    assert said(findings) == [
        ("repeat_ignored", "visits_repeat", None, ""),
        ("cell_error", main, 6, "#N/A"),
        ("roster_row_orphan", roster, 5, "99"),
        ("member_unnamed", roster, 3, ""),
        ("time_unreadable", main, 3, ""),
        ("record_without_identity", main, 4, ""),
        ("household_without_members", main, 5, ""),
        ("household_unnamed", main, 6, ""),
    ]
    refused = {one.problem.code for one in findings if one.problem.weight is Weight.REFUSED}
    assert refused == {
        "record_without_identity", "household_without_members", "household_unnamed",
    }  # fmt: skip


def test_latest_revision_of_a_submission_is_taken_wherever_it_stands(tmp_path: Path) -> None:
    path = visits(
        tmp_path,
        [
            (10, "new", "2026-03-02T09:30:00", "Urfa", 1),
            (10, "old", "2026-03-01T09:30:00", "Van", 2),
            (11, "same", "2026-03-01T09:30:00", "Van", 3),
            (11, "same", "2026-03-01T09:30:00", "Van", 4),
        ],
        [(name, index, "Household survey", index) for index, name in enumerate("ABCD", start=1)],
    )
    records, findings = read(path, VISITS)
    assert [(one.record_id, one.revision, names(one)) for one in records] == [
        ("10", "new", ["A"]),
        ("11", "same", ["D"]),
    ]
    assert said(findings) == [
        ("submission_superseded", "Household survey", 3, "10"),
        ("submission_repeated", "Household survey", 4, "11"),
    ]
    assert [one.facts["kept_row"] for one in findings] == [2, 5]


def registration(folder: Path, cells: Mapping[str, object]) -> Path:
    """Our own export with one household, with some of its main cells put by hand."""
    path = written_xlsx(folder, [FIRST])
    book = openpyxl.load_workbook(path)
    headings = [cell.value for cell in book.worksheets[0][1]]
    for name, value in cells.items():
        book.worksheets[0].cell(2, headings.index(name) + 1).value = value
    book.save(path)
    return path


def test_numbers_in_columns_of_text_are_named_and_rounded_ones_are_unknown(tmp_path: Path) -> None:
    path = registration(
        tmp_path,
        {
            "phone": 5321234567,
            "voucher_card_ref": 1.23456789012346e22,
            "declared_size": 2.0,
            "consent_on": date(2026, 3, 1),
            "monthly_income_try": 1250.5,
        },
    )
    (record,), findings = read(path, registration_mapping())
    assert record.fields["phone"] == "5321234567"
    assert "voucher_card_ref" not in record.fields
    assert record.fields["declared_size"] == "2"
    assert record.fields["consent_on"] == "2026-03-01"
    assert record.answers["monthly_income_minor"] == "1250.5"
    assert [(one.problem.code, one.place.field, one.value) for one in findings] == [
        ("number_in_text", "phone", "53…67 (10)"),
        ("digits_lost", "voucher_card_ref", "1.…22 (20)"),
    ]


def test_formula_in_a_cell_is_named_with_its_place(tmp_path: Path) -> None:
    path = registration(tmp_path, {"district": "=1+1", "address": '="Sokak 12"'})
    (record,), findings = read(path, registration_mapping())
    assert record.record_id == "1"
    assert [(one.problem.code, one.place.row, one.place.field) for one in findings] == [
        ("formula_in_cell", 2, "district"),
        ("formula_in_cell", 2, "address"),
    ]


def test_labels_instead_of_codes_are_refused_although_headers_are_names(tmp_path: Path) -> None:
    spoken = {
        "consent_given": "Yes",
        "consent_language": "Arabic",
        "province": "Şanlıurfa",
        "population_group": "Syrian under temporary protection",
        "shelter": "Flat",
    }
    people = ({"given_name": "Amal", "family_name": "Halabi", "sex": "Female"},)
    path = written_xlsx(tmp_path, [Submission(1, "a", MARCH, "v1", spoken, people)])
    assert refusal(path, registration_mapping()).problem.code == "label_export"


def test_all_missing_columns_of_a_workbook_are_named_at_once(tmp_path: Path) -> None:
    path = workbook(
        tmp_path,
        {"Survey": [("_uuid", "town")], "houshold_member_repeat": [("age", "_index")]},
    )
    refused = refusal(path, VISITS)
    assert refused.problem.code == "columns_missing"
    assert str(refused.facts["columns"]).split(", ") == [
        "_id",
        "_index",
        "houshold_member_repeat/_parent_index",
        "houshold_member_repeat/household_member_name",
    ]


def test_workbook_without_the_roster_is_refused(tmp_path: Path) -> None:
    path = workbook(tmp_path, {"Survey": [MAIN]})
    refused = refusal(path, VISITS)
    assert refused.facts["columns"] == "sheet houshold_member_repeat"


def test_optional_column_absent_from_a_workbook_is_one_finding(tmp_path: Path) -> None:
    path = workbook(
        tmp_path,
        {"S": [("_id", "_uuid", "_index"), (1, "u", 1)],
         "houshold_member_repeat": [ROSTER, ("Amal", 1, "S", 1)]},
    )  # fmt: skip
    (record,), (finding,) = read(path, VISITS)
    assert record.submitted_at is None
    assert finding.problem.code == "column_absent"
    assert finding.facts["columns"] == "_submission_time, household_location"


def test_exports_pasted_together_are_refused(tmp_path: Path) -> None:
    path = visits(
        tmp_path,
        [(10, "u1", None, "Urfa", 1), (11, "u2", None, "Van", 1)],
        [("Amal", 1, "Household survey", 1)],
    )
    assert refusal(path, VISITS).problem.code == "index_repeated"


def test_roster_inside_another_repeat_is_refused(tmp_path: Path) -> None:
    path = visits(
        tmp_path,
        [(10, "u1", None, "Urfa", 1)],
        [("Amal", 1, "families", 1)],
        {"families": [("_index", "_parent_index"), (1, 1)]},
    )
    assert refusal(path, VISITS).problem.code == "roster_nested"


def test_long_name_of_a_repeat_is_found_under_its_cut_title(tmp_path: Path) -> None:
    name = "members_of_the_household_at_the_visit"
    path = workbook(
        tmp_path,
        {"S": [MAIN, (1, "u", None, "Urfa", 1)],
         f"{name[:28]}...": [ROSTER, ("Amal", 1, "S", 1)]},
    )  # fmt: skip
    (record,), _ = read(path, VISITS.model_copy(update={"roster": name}))
    assert names(record) == ["Amal"]


def test_more_households_than_a_workbook_may_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx, "HOUSEHOLDS_MAX", 2)
    rows = [(number, "u", None, "Urfa", number) for number in (1, 2, 3)]
    people = [("Amal", number, "Household survey", number) for number in (1, 2, 3)]
    assert refusal(visits(tmp_path, rows, people), VISITS).problem.code == "households_too_many"
    assert len(read(visits(tmp_path, rows[:2], people[:2]), VISITS)[0]) == 2


@pytest.mark.parametrize("limit", ["UNPACKED_BYTES_MAX", "SHARED_STRINGS_BYTES_MAX", "PARTS_MAX"])
def test_workbook_beyond_a_limit_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    path = visits(tmp_path, [(10, "u1", None, "Urfa", 1)], [("Amal", 1, "Household survey", 1)])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("xl/sharedStrings.xml", "<sst/>")
    monkeypatch.setattr(xlsx, limit, 1)
    assert refusal(path, VISITS).problem.code == "workbook_too_large"


def test_zip_bomb_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    path = visits(tmp_path, [], [])
    block = b" " * (1 << 20)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("xl/bomb.bin", "w") as part,
    ):
        for _ in range(xlsx.UNPACKED_BYTES_MAX // len(block) + 1):
            part.write(block)
    assert path.stat().st_size < xlsx.UNPACKED_BYTES_MAX // 100
    assert refusal(path, VISITS).problem.code == "workbook_too_large"


def repacked(path: Path, part: str, change: Callable[[bytes], bytes]) -> Path:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[part] = change(parts[part])
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b'<!DOCTYPE x [<!ENTITY a "b">]>' + content,
        lambda content: content.replace(b'r="2"', b'r="two"'),
        lambda _: b"",
    ],
    ids=["cut", "document_type", "bad_row", "empty"],
)
def test_damaged_workbook_is_refused(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = visits(tmp_path, [(10, "u1", None, "Urfa", 1)], [("Amal", 1, "Household survey", 1)])
    damaged = repacked(path, "xl/worksheets/sheet1.xml", change)
    assert refusal(damaged, VISITS).problem.code == "workbook_unreadable"


def test_workbook_cut_short_is_refused(tmp_path: Path) -> None:
    path = visits(tmp_path, [], [])
    path.write_bytes(path.read_bytes()[:-200])
    assert refusal(path, VISITS).problem.code == "export_other_type"


# --- JSON -------------------------------------------------------------------------------------


def submission(number: int, *people: str, **more: object) -> dict[str, object]:
    roster = {"demo": [{"demo/name": name} for name in people]} if people else {}
    return {"_id": number, "_uuid": f"u{number}", **roster, **more}


def test_json_is_read_as_page_list_line_of_pages_or_line_of_submissions(tmp_path: Path) -> None:
    both = [submission(1, "Amal"), submission(2, "Omar", "Selin")]
    page = {"count": 2, "next": None, "previous": None, "results": both}
    one_page = {"count": 2, "next": "?start=1", "previous": None, "results": both[:1]}
    last_page = {"count": 2, "next": None, "previous": "?start=0", "results": both[1:]}
    files = [
        document(tmp_path, page, "page.json"),
        document(tmp_path, page, "page_on_a_line.json", indent=None),
        document(tmp_path, both, "list.json"),
        lines(tmp_path, both[0], "", both[1]),
        tmp_path / "pages.jsonl",
    ]
    files[-1].write_bytes(
        b"\xef\xbb\xbf" + "\n".join(json.dumps(one) for one in (one_page, last_page)).encode()
    )
    for path in files:
        records, findings = read(path, NESTED)
        assert ([(one.record_id, names(one)) for one in records], findings) == (
            [("1", ["Amal"]), ("2", ["Omar", "Selin"])],
            [],
        )


def test_submission_without_its_repeat_is_a_household_without_members(tmp_path: Path) -> None:
    path = lines(tmp_path, submission(1), submission(2, "Omar"))
    records, findings = read(path, NESTED)
    assert [one.record_id for one in records] == ["2"]
    assert said(findings) == [("household_without_members", "", 1, "")]


def test_bad_line_is_a_finding_and_the_other_lines_go_on(tmp_path: Path) -> None:
    path = lines(
        tmp_path, submission(1, "Amal"), '{"_id": 2, "demo": [', '"text"', submission(4, "Omar")
    )
    records, findings = read(path, NESTED)
    assert [one.record_id for one in records] == ["1", "4"]
    assert [(one.problem.code, one.facts["line"], one.facts["reason"]) for one in findings] == [
        ("line_unreadable", 2, "no JSON from character 21"),
        ("line_unreadable", 3, "it holds no submissions"),
    ]


def test_bad_first_line_does_not_hide_the_others(tmp_path: Path) -> None:
    path = lines(tmp_path, '{"_id": 1,', submission(2, "Omar"))
    records, findings = read(path, NESTED)
    assert [one.record_id for one in records] == ["2"]
    assert [one.problem.code for one in findings] == ["line_unreadable"]


def test_repeated_submissions_over_pages_are_settled(tmp_path: Path) -> None:
    path = lines(
        tmp_path,
        {"results": [submission(1, "Amal"), submission(2, "Omar")]},
        {"results": [submission(2, "Omar"), submission(1, "Amal", "Selin", _uuid="u1b")]},
    )
    records, findings = read(path, NESTED)
    assert [(one.record_id, names(one)) for one in records] == [
        ("2", ["Omar"]),
        ("1", ["Amal", "Selin"]),
    ]
    assert said(findings) == [
        ("submission_superseded", "", 1, "1"),
        ("submission_repeated", "", 2, "2"),
    ]


def test_file_that_ends_before_the_last_page_says_so(tmp_path: Path) -> None:
    page = {"count": 3, "next": "?start=1", "previous": None, "results": [submission(1, "Amal")]}
    records, (finding,) = read(document(tmp_path, page), NESTED)
    assert len(records) == 1
    assert finding.problem.code == "pages_missing"
    assert finding.facts == {"held": 1, "count": 3}


def test_answers_of_renamed_groups_meet_and_different_ones_are_named(tmp_path: Path) -> None:
    moved = {"v0/family_count": "", "v1/family_count": "4", "v2/family_count": "5"}
    path = lines(tmp_path, submission(1, "Amal", **moved))
    (record,), findings = read(path, NESTED)
    assert record.fields == {"declared_size": "4"}
    assert [(one.problem.code, one.place.field) for one in findings] == [
        ("answers_differ", "family_count")
    ]


def test_full_path_in_a_mapping_tells_two_questions_of_one_name_apart(tmp_path: Path) -> None:
    mapping = NESTED.model_copy(
        update={"household": {"home/place": "district", "work/place": "address"}}
    )
    path = lines(tmp_path, submission(1, "Amal", **{"work/place": "B", "home/place": "A"}))
    (record,), findings = read(path, mapping)
    assert (record.fields, findings) == ({"district": "A", "address": "B"}, [])


def test_signs_no_database_can_hold_are_removed(tmp_path: Path) -> None:
    path = lines(tmp_path, '{"_id": 1, "demo": [{"demo/name": "Am\\u0000al\\ud800"}]}')
    (record,), findings = read(path, NESTED)
    assert names(record) == ["Amal"]
    assert [one.problem.code for one in findings] == ["signs_removed"]


def test_json_of_another_form_is_refused_once_and_not_row_by_row(tmp_path: Path) -> None:
    people = [{"visitors": [{"visitors/nickname": "x"}], "number": n} for n in range(30)]
    refused = refusal(document(tmp_path, people), NESTED)
    assert (refused.problem.code, refused.facts["columns"]) == (
        "columns_missing",
        "_id, the repeat demo",
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{\n"results": [', "no JSON from character"),
        ('{\n"results": "none"}', "it holds no submissions"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_json_that_is_no_answer_of_the_api_is_refused(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "data.json"
    path.write_text(content, "utf-8")
    refused = refusal(path, NESTED)
    assert refused.problem.code == "json_unreadable"
    assert reason in refused.sentence


def test_one_document_beyond_the_limit_is_refused_and_lines_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = [submission(number, "Amal") for number in range(20)]
    monkeypatch.setattr(api, "DOCUMENT_BYTES_MAX", 500)
    assert refusal(document(tmp_path, everything), NESTED).problem.code == "json_too_large"
    assert len(read(lines(tmp_path, *everything), NESTED)[0]) == 20


# --- which file it is -------------------------------------------------------------------------

OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "export_empty", "is empty"),
        (b" \r\n ", "export_empty", "is empty"),
        (OLE2 + "EncryptedPackage".encode("utf-16-le"), "export_encrypted", "with a password"),
        (OLE2, "export_other_type", "an old Excel file"),
        (b"%PDF-1.7", "export_other_type", "a PDF"),
        (b"<!DOCTYPE html><title>Log in</title>", "export_other_type", "a web page"),
        (b"PK\x03\x04 and then nothing", "export_other_type", "an archive"),
        (b"GIF89a\x00\x01", "export_other_type", "a binary file"),
        (b"id;name\n1;Amal\n", "export_other_format", "a CSV file"),
    ],
)
def test_file_of_another_kind_is_refused_whatever_it_is_called(
    tmp_path: Path, content: bytes, code: str, words: str
) -> None:
    path = tmp_path / "export.xlsx"
    path.write_bytes(content)
    refused = refusal(path, registration_mapping())
    assert refused.problem.code == code
    assert words in refused.sentence


def test_format_is_seen_from_the_content_and_not_from_the_name(tmp_path: Path) -> None:
    path = written_xlsx(tmp_path, [FIRST]).rename(tmp_path / "export.csv")
    assert len(read(path, registration_mapping())[0]) == 1


def test_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    missing = tmp_path / "none.xlsx"
    assert refusal(missing, NESTED).problem.code == "export_not_found"
    with pytest.raises(Refusal, match="export_not_found"):
        describe(missing)


def test_description_is_digest_and_size(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert describe(path) == Description(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3
    )
