"""Our registration form: accepted by KoBo's tool, in three languages, mapped completely."""

from pathlib import Path

import openpyxl
import pytest
from pyxform.xls2xform import convert

from adapters.forms import registration_form, registration_mapping, write_xlsform
from adapters.forms.registration import FORM_SOURCE, form_sheets
from adapters.mapping import AnswerType
from adapters.port import HOUSEHOLD_FIELDS, MEMBER_FIELDS

LANGUAGES = ("Türkçe (tr)", "العربية (ar)", "English (en)")


def table(sheet: str) -> list[dict[str, str]]:
    headings, *rows = form_sheets()[sheet]
    return [dict(zip(headings, row, strict=True)) for row in rows]


def test_workbook_is_accepted_by_kobos_own_tool_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "form.xlsx"
    write_xlsform(path)
    warnings: list[str] = []
    from_workbook = convert(xlsform=path, warnings=warnings, form_name="data")
    from_text = convert(
        xlsform=FORM_SOURCE.read_text("utf-8"),
        warnings=warnings,
        form_name="data",
        file_type=".md",
    )
    assert warnings == []
    assert from_workbook.xform == from_text.xform
    assert 'nodeset="/data/household/rcsi" type="int"' in from_workbook.xform


def test_workbook_has_the_three_sheets_of_an_xlsform(tmp_path: Path) -> None:
    path = tmp_path / "form.xlsx"
    write_xlsform(path)
    assert openpyxl.load_workbook(path).sheetnames == ["survey", "choices", "settings"]


def test_form_asks_every_canonical_field() -> None:
    form = registration_form()
    answers = {"monthly_income_try", "rcsi", "months_rent_owed", "shelter"}
    assert set(form.household) == {*HOUSEHOLD_FIELDS, *answers}
    # a form that asks for given and family name needs no full name
    assert set(form.members) == set(MEMBER_FIELDS) - {"full_name"}
    assert form.household["phone"] == "household/phone"
    assert form.members["given_name"] == "members/given_name"


def test_built_in_mapping_covers_exactly_the_questions() -> None:
    form, mapping = registration_form(), registration_mapping()
    assert {*mapping.household, *mapping.answers} == set(form.household)
    assert set(mapping.members) == set(form.members)
    assert {answer.name: answer.type for answer in mapping.answers.values()} == {
        "monthly_income_minor": AnswerType.MONEY_TRY,
        "rcsi": AnswerType.INT,
        "months_rent_owed": AnswerType.INT,
        "shelter": AnswerType.SELECT,
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_a_person_reads_is_in_every_language(language: str) -> None:
    asked = [row for row in table("survey") if row["name"] not in {"", "start", "end", "today"}]
    assert [row["name"] for row in asked if not row[f"label::{language}"]] == []
    assert [row["name"] for row in table("choices") if not row[f"label::{language}"]] == []
    limited = [row for row in asked if row["constraint"]]
    assert [row["name"] for row in limited if not row[f"constraint_message::{language}"]] == []


def test_limits_are_the_programmes() -> None:
    limits = {row["name"]: row["constraint"] for row in table("survey") if row["constraint"]}
    assert limits["rcsi"] == ". >= 0 and . <= 56"
    assert limits["months_rent_owed"] == ". >= 0 and . <= 60"
    assert limits["disability_percent"] == ". >= 0 and . <= 100"
    assert limits["voucher_card_ref"] == "regex(., '^VC-[0-9]{8}$')"


def test_provinces_are_all_81_by_their_codes() -> None:
    assert registration_form().choices["province"] == tuple(f"TR-{n:02d}" for n in range(1, 82))
    names = [
        row["label::Türkçe (tr)"] for row in table("choices") if row["list_name"] == "province"
    ]
    assert len(set(names)) == 81
    assert (names[0], names[33], names[62], names[80]) == (
        "Adana", "İstanbul", "Şanlıurfa", "Düzce",
    )  # fmt: skip


def test_consent_stands_before_everything_else() -> None:
    assert list(registration_form().household)[:3] == [
        "consent_given", "consent_language", "consent_on",
    ]  # fmt: skip
    groups = {row["name"]: row["relevant"] for row in table("survey") if "begin" in row["type"]}
    after = "${consent_given} = 'yes'"
    assert groups == {
        "consent": "", "location": after, "household": after, "payment": after, "members": after,
    }  # fmt: skip
