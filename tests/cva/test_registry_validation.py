"""One registration: doubtful values are said and flagged, and nobody is left out for them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cva.registry.places import PROVINCES, country_code, folded, province_code
from cva.registry.validation import Mark, Member, validate
from cva.vault import Personal
from tests.cva.registration import ANSWERS, FIELDS, LAYLA, SUBMITTED, TYPES, YUSUF, record

TODAY = date(2026, 3, 5)


def codes(
    *,
    fields: Mapping[str, str] = FIELDS,
    members: Sequence[Mapping[str, str]] = (LAYLA, YUSUF),
    answers: Mapping[str, str] = ANSWERS,
    submitted_at: datetime | None = SUBMITTED,
    has_roster: bool = True,
) -> Counter[str]:
    """The codes found in a household that must be kept."""
    given_record = record(
        fields=fields, members=members, answers=answers, submitted_at=submitted_at,
        has_roster=has_roster,
    )  # fmt: skip
    household, findings = validate(given_record, TYPES, TODAY)
    assert household is not None
    return Counter(finding.problem.code for finding in findings)


def test_household_is_typed_sealed_and_marked() -> None:
    household, findings = validate(record(), TYPES, TODAY)
    assert findings == []
    assert household is not None
    assert (
        household.consent_given, household.consent_language, household.consent_on,
        household.province, household.district, household.population_group,
        household.declared_size, household.has_roster, household.named, household.submitted_at,
    ) == (
        True, "ar", date(2026, 2, 1), "TR-31", "Antakya", "syrian_tp", 2, True, 2, SUBMITTED,
    )  # fmt: skip
    assert household.answers == {
        "rcsi": 17, "monthly_income_minor": 125050, "shelter": "tent", "owns_land": False,
        "arrived_on": "2015-09-01", "has_iban": True, "has_voucher_card": True,
        "has_debit_card": False,
    }  # fmt: skip
    assert household.members == (
        Member(1, "head", "female", date(1987, 4, 23), "exact", "SY", 0),
        Member(2, "child", "male", date(2019, 1, 1), "year", "SY", None),
    )
    assert household.personal == Personal(
        {
            "address": "Sokak 12, kat 3", "phone": "+905321234567",
            "iban": "TR330006100519786457841326", "voucher_card_ref": "VC-00001234",
        },
        [
            {"given_name": "Layla", "family_name": "Haddad", "id_number": "99123456740",
             "id_type": "tr_foreigner_id"},
            {"given_name": "Yusuf", "family_name": "Haddad"},
        ],
    )  # fmt: skip
    assert household.marks == (
        Mark(0, "phone", "+905321234567", valid=True),
        Mark(0, "iban", "TR330006100519786457841326", valid=True),
        Mark(0, "voucher_card_ref", "VC-00001234", valid=True),
        Mark(1, "tr_foreigner_id", "99123456740", valid=True),
        Mark(1, "name", "layla haddad", valid=True),
        Mark(0, "account_holder", "layla haddad", valid=True),
    )


def test_household_shows_nothing_personal() -> None:
    household, _ = validate(record("99123456740"), TYPES, TODAY)
    shown = repr(household)
    assert "TR-31" in shown
    for secret in ("Layla", "Haddad", "9912345", "532", "VC-", "TR33", "Sokak"):
        assert secret not in shown


def test_record_without_identity_or_named_person_is_refused() -> None:
    nameless = {**LAYLA, "given_name": " ", "family_name": ""}
    for refused, expected in (
        (record(" "), ["record_without_identity"]),
        (record(members=[nameless]), ["household_unnamed"]),
        (record("", members=[]), ["record_without_identity", "household_without_members"]),
    ):
        household, findings = validate(refused, TYPES, TODAY)
        assert household is None
        assert [finding.problem.code for finding in findings] == expected


def test_nameless_member_counts_and_is_not_the_recipient() -> None:
    nameless = {"relationship": "head", "sex": "male"}
    household, _ = validate(record(members=[nameless, LAYLA]), TYPES, TODAY)
    assert household is not None
    assert (len(household.members), household.named) == (2, 1)
    assert household.personal.payee_name() == "Layla Haddad"


def test_everything_but_identity_and_a_name_may_be_unknown() -> None:
    household, findings = validate(
        record(fields={}, members=[{"full_name": "Layla Haddad"}], answers={}, submitted_at=None),
        TYPES,
        TODAY,
    )
    assert household is not None
    assert household.members == (Member(1, None, None, None, None, None, None),)
    assert household.personal.payee_name() == "Layla Haddad"
    assert [finding.problem.code for finding in findings] == ["head_missing", "consent_missing"]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("province", "Atlantis", "province_unknown"),
        ("province", "82", "province_unknown"),
        ("population_group", "martian", "answer_unknown"),
        ("declared_size", "two", "number_unreadable"),
        ("declared_size", "0", "number_out_of_range"),
        ("declared_size", "3", "household_size_differs"),
        ("consent_given", "", "consent_missing"),
        ("consent_given", "no", "consent_missing"),
        ("consent_on", "yesterday", "date_unreadable"),
        ("consent_on", "2026-02-31", "date_unreadable"),
        ("phone", "12", "phone_doubtful"),
        ("iban", "TR330006100519786457841327", "iban_doubtful"),
        ("voucher_card_ref", "card 7", "card_ref_doubtful"),
        ("voucher_card_ref", "4111 1111 1111 1111", "card_number_refused"),
        ("address", "my card is 4111 1111 1111 1111", "card_number_refused"),
    ],
)
def test_doubtful_field_of_a_household_is_a_finding(field: str, value: str, code: str) -> None:
    assert codes(fields={**FIELDS, field: value}) == {code: 1}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("sex", "woman", "answer_unknown"),
        ("nationality", "Syria", "answer_unknown"),
        ("relationship", "boss", "answer_unknown"),
        ("id_type", "library card", "answer_unknown"),
        ("disability_percent", "101", "number_out_of_range"),
        ("birth_date", "1899-12-31", "birth_date_impossible"),
        ("birth_date", "2026-03-02", "birth_date_impossible"),
        ("birth_date", "1987-02-31", "birth_date_impossible"),
        ("birth_date", "1850", "birth_date_impossible"),
        ("birth_date", "in spring", "date_unreadable"),
        ("id_number", "99123456741", "id_checksum"),
        ("given_name", "4111111111111111", "card_number_refused"),
    ],
)
def test_doubtful_field_of_a_member_is_a_finding(field: str, value: str, code: str) -> None:
    found = codes(members=[LAYLA, {**YUSUF, "id_type": "tr_foreigner_id", field: value}])
    # A number whose document is not known is said to be so as well.
    expected = {code: 1}
    assert found == expected


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("monthly_income_minor", "-1", "amount_negative"),
        ("monthly_income_minor", "10.005", "amount_too_precise"),
        ("monthly_income_minor", "1.250,50", "amount_unreadable"),
        ("rcsi", "57", "number_out_of_range"),
        ("rcsi", "-1", "number_out_of_range"),
        ("months_rent_owed", "61", "number_out_of_range"),
        ("rcsi", "a lot", "number_unreadable"),
        ("owns_land", "perhaps", "answer_unknown"),
        ("arrived_on", "long ago", "date_unreadable"),
        ("shelter", "4111-1111-1111-1111", "card_number_refused"),
    ],
)
def test_doubtful_answer_is_a_finding_and_left_unknown(name: str, value: str, code: str) -> None:
    household, findings = validate(record(answers={name: value}), TYPES, TODAY)
    assert household is not None
    assert name not in household.answers
    assert [finding.problem.code for finding in findings] == [code]
    assert findings[0].place.field == name
    assert findings[0].place.row == 7
    assert value not in str(findings[0])


def test_no_finding_shows_what_somebody_typed() -> None:
    typed = "Layla Haddad 99123456740"
    fields = dict.fromkeys(FIELDS, typed)
    member = {**dict.fromkeys(LAYLA, typed), "given_name": "Layla"}
    _, findings = validate(
        record(fields=fields, members=[member], answers=dict.fromkeys(ANSWERS, typed)),
        TYPES,
        TODAY,
    )
    assert len(findings) > 12
    for finding in findings:
        assert "Haddad" not in f"{finding} {finding.value} {finding.facts}"
        assert "99123456740" not in f"{finding} {finding.value} {finding.facts}"


def test_doubtful_account_is_neither_there_nor_absent() -> None:
    wrong = {**FIELDS, "iban": "TR330006100519786457841327"}
    household, _ = validate(record(fields=wrong), TYPES, TODAY)
    assert household is not None
    assert "has_iban" not in household.answers
    assert Mark(0, "iban", "TR330006100519786457841327", valid=False) in household.marks
    assert household.personal.destination("iban") == "TR330006100519786457841327"


def test_account_needs_a_name_that_a_bank_can_write() -> None:
    arabic = {**LAYLA, "given_name": "ليلى", "family_name": "حداد"}
    assert codes(members=[arabic, YUSUF]) == {"account_holder_unwritable": 1}
    assert codes(members=[arabic, YUSUF], fields={**FIELDS, "iban": ""}) == {}
    latin = {**FIELDS, "account_holder": "Layla Haddad"}
    household, findings = validate(record(fields=latin, members=[arabic]), TYPES, TODAY)
    assert household is not None
    assert household.personal.payee_name() == "Layla Haddad"
    assert [finding.problem.code for finding in findings] == ["household_size_differs"]


def test_card_number_is_kept_nowhere() -> None:
    household, _ = validate(
        record(fields={**FIELDS, "debit_card_ref": "4111111111111111"}), TYPES, TODAY
    )
    assert household is not None
    assert household.personal.destination("debit_card_ref") == ""
    assert "debit_card_ref" not in {mark.kind for mark in household.marks}


def test_filler_for_an_identity_number_is_sealed_and_never_compared() -> None:
    filler = {**LAYLA, "id_number": "11111111111"}
    household, findings = validate(record(members=[filler, YUSUF]), TYPES, TODAY)
    assert household is not None
    assert [finding.problem.code for finding in findings] == ["id_placeholder"]
    assert {mark.kind for mark in household.marks if mark.member_no == 1} == {"name"}


@pytest.mark.parametrize(
    ("born", "registered", "child"),
    [
        ("2008-03-01", datetime.fromisoformat("2026-03-01T08:00+00:00"), False),
        ("2008-03-02", datetime.fromisoformat("2026-03-01T08:00+00:00"), True),
        ("2008", datetime.fromisoformat("2026-03-01T08:00+00:00"), False),
        ("2009", datetime.fromisoformat("2026-03-01T08:00+00:00"), True),
        ("2008-03-05", None, False),
        ("2008-03-06", None, True),
    ],
)
def test_head_under_18_on_the_day_of_registration_is_kept_and_said(
    born: str, registered: datetime | None, *, child: bool
) -> None:
    head = {**LAYLA, "birth_date": born, "birth_date_precision": ""}
    found = codes(members=[head, YUSUF], submitted_at=registered)
    assert found == ({"child_head": 1} if child else {})


def test_several_heads_or_none_are_said() -> None:
    assert codes(members=[LAYLA, {**YUSUF, "relationship": "head"}]) == {
        "heads_several": 1,
        "child_head": 1,
    }
    assert codes(members=[{**LAYLA, "relationship": "other"}, YUSUF]) == {"head_missing": 1}


def test_form_without_roster_names_the_head_and_declares_the_size() -> None:
    alone = {"full_name": "Layla Haddad"}
    household, findings = validate(
        record(fields={**FIELDS, "declared_size": "6"}, members=[alone], has_roster=False),
        TYPES,
        TODAY,
    )
    assert household is not None
    assert findings == []
    assert household.members[0].relationship == "head"
    assert household.declared_size == 6
    assert codes(fields={**FIELDS, "declared_size": ""}, members=[alone], has_roster=False) == {
        "household_size_unknown": 1
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("İstanbul", "TR-34"), ("ISTANBUL", "TR-34"), ("istanbul", "TR-34"), ("ıstanbul", "TR-34"),
        ("Sanliurfa", "TR-63"), ("ŞANLIURFA", "TR-63"), ("Iğdır", "TR-76"), ("IGDIR", "TR-76"),
        ("TR-01", "TR-01"), ("tr_1", "TR-01"), ("01", "TR-01"), ("81", "TR-81"), ("tr-81", "TR-81"),
        ("K. Maraş", "TR-46"), ("Hatay ", "TR-31"), ("Afyon", "TR-03"), ("Elazıg", "TR-23"),
        ("", None), ("0", None), ("82", None), ("TR-00", None), ("Kisumu", None), ("TR", None),
    ],
)  # fmt: skip
def test_province_is_known_however_it_was_written(text: str, code: str | None) -> None:
    assert province_code(text) == code


def test_there_are_81_provinces_and_each_is_found_by_name_and_number() -> None:
    numbers = [f"TR-{number:02}" for number in range(1, 82)]
    assert [province_code(name) for name in PROVINCES] == numbers
    assert [province_code(folded(name).upper()) for name in PROVINCES] == numbers
    assert [province_code(str(number)) for number in range(1, 82)] == numbers


def test_country_is_an_iso_code_or_another() -> None:
    asked = ("SY", "tr", "XX", "YE", "QQ", "Syria", "")
    assert [country_code(text) for text in asked] == ["SY", "TR", "XX", "YE", None, None, None]


TEXT = st.text(max_size=24) | st.sampled_from(
    ["99123456740", "4111111111111111", "1987-04-23", "yes", "12", "-3.5", "TR-01", "head"]
)


@given(
    fields=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, TEXT)),
    member=st.fixed_dictionaries({}, optional=dict.fromkeys(LAYLA, TEXT)),
    answers=st.fixed_dictionaries({}, optional=dict.fromkeys(TYPES, TEXT)),
)
def test_whatever_is_typed_a_named_household_is_kept(
    fields: dict[str, str], member: dict[str, str], answers: dict[str, str]
) -> None:
    household, _ = validate(
        record(fields=fields, members=[LAYLA, member], answers=answers), TYPES, TODAY
    )
    assert household is not None
    assert len(household.members) == 2
    assert "4111111111111111" not in repr((household.personal.fields, household.personal.members))
