"""Identifiers: one number however it is written, judged by independent oracles."""

import phonenumbers
import pytest
import schwifty
from hypothesis import given
from hypothesis import strategies as st
from stdnum.tr import tckimlik

from eligibility.duplicates.identifiers import (
    CARD_NUMBER_REFUSED,
    CARD_REF_DOUBTFUL,
    IBAN_DOUBTFUL,
    IBAN_FOREIGN,
    ID_CHECKSUM,
    ID_FORMAT,
    ID_KIND_CORRECTED,
    ID_KIND_UNKNOWN,
    ID_LEGACY,
    ID_PLACEHOLDER,
    PHONE_DOUBTFUL,
    STRONG,
    Identifier,
    Kind,
    Verdict,
    compact,
    judge,
    looks_like_card_number,
)

VALID, DOUBTFUL, ABSENT = Verdict.VALID, Verdict.DOUBTFUL, Verdict.ABSENT


def with_check_digits(nine: str) -> str:
    return nine + tckimlik.calc_check_digits(nine + "00")


AMAL = with_check_digits("991234785")  # a foreigner
DENIZ = with_check_digits("301947562")  # a citizen
ACCOUNT = "TR850001000000000012345678"


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("tr_foreigner_id", AMAL, Identifier(Kind.TR_FOREIGNER_ID, AMAL, VALID)),
        ("tr_national_id", DENIZ, Identifier(Kind.TR_NATIONAL_ID, DENIZ, VALID)),
        (
            "tr_national_id",
            AMAL,
            Identifier(Kind.TR_FOREIGNER_ID, AMAL, VALID, ID_KIND_CORRECTED),
        ),
        (
            "tr_foreigner_id",
            DENIZ,
            Identifier(Kind.TR_NATIONAL_ID, DENIZ, VALID, ID_KIND_CORRECTED),
        ),
        (
            "tr_foreigner_id",
            "98123456789",
            Identifier(Kind.TR_LEGACY_ID, "98123456789", VALID, ID_LEGACY),
        ),
        (
            "tr_foreigner_id",
            "99123478501",
            Identifier(Kind.TR_FOREIGNER_ID, "99123478501", DOUBTFUL, ID_CHECKSUM),
        ),
        (
            "tr_foreigner_id",
            "9912347",
            Identifier(Kind.TR_FOREIGNER_ID, "9912347", DOUBTFUL, ID_FORMAT),
        ),
        ("passport", "n 0012-3456", Identifier(Kind.PASSPORT, "N00123456", VALID)),
        ("passport", "N12", Identifier(Kind.PASSPORT, "N12", DOUBTFUL, ID_FORMAT)),
        ("passport", "ALHALABI", Identifier(Kind.PASSPORT, "ALHALABI", DOUBTFUL, ID_FORMAT)),
        ("none", "37469138", Identifier(Kind.OTHER_ID, "37469138", DOUBTFUL, ID_KIND_UNKNOWN)),
        ("phone", "0532 123 45 67", Identifier(Kind.PHONE, "+905321234567", VALID)),
        ("phone", "(0212) 123-45-67", Identifier(Kind.PHONE, "+902121234567", VALID)),
        ("phone", "+963 944 567 890", Identifier(Kind.PHONE, "+963944567890", VALID)),
        (
            "phone",
            "0592 123 45 67",
            Identifier(Kind.PHONE, "05921234567", DOUBTFUL, PHONE_DOUBTFUL),
        ),
        (
            "phone",
            "05321234567 / 05331234567",
            Identifier(Kind.PHONE, "0532123456705331234567", DOUBTFUL, PHONE_DOUBTFUL),
        ),
        ("phone", "komşu", Identifier(Kind.PHONE, "KOMŞU", DOUBTFUL, PHONE_DOUBTFUL)),
        ("iban", "tr85 0001 0000 0000 0012 3456 78", Identifier(Kind.IBAN, ACCOUNT, VALID)),
        ("iban", ACCOUNT[2:], Identifier(Kind.IBAN, ACCOUNT, VALID)),
        (
            "iban",
            "DE89370400440532013000",
            Identifier(Kind.IBAN, "DE89370400440532013000", DOUBTFUL, IBAN_FOREIGN),
        ),
        (
            "iban",
            "TR860001000000000012345678",
            Identifier(Kind.IBAN, "TR860001000000000012345678", DOUBTFUL, IBAN_DOUBTFUL),
        ),
        ("iban", "TR85000100", Identifier(Kind.IBAN, "", DOUBTFUL, IBAN_DOUBTFUL)),
        ("iban", "Ziraat", Identifier(Kind.IBAN, "ZIRAAT", DOUBTFUL, IBAN_DOUBTFUL)),
        ("voucher_card_ref", "vc 00001234", Identifier(Kind.CARD_REF, "VC-00001234", VALID)),
        ("debit_card_ref", "DC-00001234", Identifier(Kind.CARD_REF, "DC-00001234", VALID)),
        (
            "debit_card_ref",
            "1234",
            Identifier(Kind.CARD_REF, "1234", DOUBTFUL, CARD_REF_DOUBTFUL),
        ),
    ],
)
def test_identifier_is_normalised_and_judged(kind: str, raw: str, expected: Identifier) -> None:
    assert judge(kind, raw) == expected


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("tr_national_id", "11111111111"),
        ("tr_national_id", "11111111110"),
        ("tr_national_id", "00000000000"),
        ("tr_national_id", "12345678950"),
        ("tr_foreigner_id", "99999999990"),
        ("passport", "XXXXXXX"),
        ("passport", "123456"),
        ("none", "0"),
        ("phone", "0000000000"),
        ("phone", "0555 555 55 55"),
        ("iban", "0000 0000"),
        ("voucher_card_ref", "VC-00000000"),
    ],
)
def test_placeholder_is_never_valid_and_never_compared(kind: str, raw: str) -> None:
    judged = judge(kind, raw)
    assert (judged.verdict, judged.normalised, judged.problem) == (DOUBTFUL, "", ID_PLACEHOLDER)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("raw", ["", "  ", "-", "yok", "None", "xxx", "لا يوجد", "\u200b", "N/A"])
def test_nothing_given_is_absent_and_no_problem(kind: Kind, raw: str) -> None:
    assert judge(kind, raw) == Identifier(kind, "", ABSENT)


@pytest.mark.parametrize("kind", [*Kind, "voucher_card_ref", "none"])
@pytest.mark.parametrize("raw", ["4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005"])
def test_card_number_is_dropped_wherever_it_was_written(kind: str, raw: str) -> None:
    judged = judge(kind, raw)
    assert (judged.verdict, judged.normalised, judged.problem) == (
        DOUBTFUL,
        "",
        CARD_NUMBER_REFUSED,
    )


def test_card_number_is_seen_in_free_text() -> None:
    assert looks_like_card_number("kart: 4111.1111.1111.1111 son")
    assert not looks_like_card_number("VC-00001234, sokak 12, 05321234567")


def test_identifier_never_shows_itself() -> None:
    assert AMAL not in repr(judge("tr_foreigner_id", AMAL))


def test_strong_kinds_name_one_person() -> None:
    assert {kind.value for kind in STRONG} == {
        "tr_national_id",
        "tr_foreigner_id",
        "tr_legacy_id",
        "passport",
    }


def test_problem_codes_are_the_documented_ones() -> None:
    assert {
        "id_checksum", "id_placeholder", "id_format", "id_kind_corrected", "id_legacy",
        "id_kind_unknown", "phone_doubtful", "iban_doubtful", "iban_foreign",
        "card_ref_doubtful", "card_number_refused",
    } == {
        problem.code
        for problem in (
            ID_CHECKSUM, ID_PLACEHOLDER, ID_FORMAT, ID_KIND_CORRECTED, ID_LEGACY,
            ID_KIND_UNKNOWN, PHONE_DOUBTFUL, IBAN_DOUBTFUL, IBAN_FOREIGN,
            CARD_REF_DOUBTFUL, CARD_NUMBER_REFUSED,
        )
    }  # fmt: skip


ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
PERSIAN = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")


@given(
    st.text("0123456789", min_size=5, max_size=26),
    st.sampled_from([ARABIC, PERSIAN, {}]),
    st.sampled_from(["", " ", "-", "\u200b", "\u00a0", "\u200f", "."]),
)
def test_digits_of_any_script_and_spacing_are_the_same_identifier(
    digits: str, script: dict[int, int], between: str
) -> None:
    assert compact(between.join(digits.translate(script))) == digits


@given(st.integers(0, 9_999_999))
def test_every_foreigner_number_with_its_check_digits_is_valid(middle: int) -> None:
    number = with_check_digits(f"99{middle:07d}")
    judged = judge("tr_foreigner_id", number)
    expected = (Kind.TR_FOREIGNER_ID, number, VALID)
    assert (judged.kind, judged.normalised, judged.verdict) == expected or (
        judged.problem == ID_PLACEHOLDER
    )


@given(st.integers(0, 9_999_999), st.integers(2, 10), st.integers(1, 9))
def test_one_wrong_digit_is_never_valid(middle: int, position: int, step: int) -> None:
    number = with_check_digits(f"99{middle:07d}")
    wrong = str((int(number[position]) + step) % 10)
    mistyped = number[:position] + wrong + number[position + 1 :]
    assert judge("tr_foreigner_id", mistyped).verdict is DOUBTFUL


@given(st.text("0123456789", min_size=24, max_size=24))
def test_turkish_iban_agrees_with_schwifty_on_what_is_not_an_iban(digits: str) -> None:
    bank = schwifty.IBAN(f"TR{digits}", allow_invalid=True)
    if judge("iban", f"TR{digits}").verdict is VALID:
        assert bank.is_valid


@given(st.integers(1, 99_999), st.integers(1, 10**16 - 1), st.integers(0, 9))
def test_turkish_iban_needs_its_reserve_digit_beyond_schwifty(
    bank: int, account: int, reserve: int
) -> None:
    body = f"{bank:05d}{reserve}{account:016d}"
    check = 98 - int(f"{body}292700") % 97
    iban = f"TR{check:02d}{body}"
    assert schwifty.IBAN(iban, allow_invalid=True).is_valid
    assert (judge("iban", iban).verdict is VALID) == (reserve == 0)


@pytest.mark.parametrize("prefix", [f"5{number:02d}" for number in range(100)])
def test_mobile_prefixes_agree_with_the_numbering_plan(prefix: str) -> None:
    for rest in ("0000001", "1234567", "6112345", "9999998"):
        number = phonenumbers.parse(f"+90{prefix}{rest}")
        judged = judge("phone", f"0{prefix}{rest}")
        assert (judged.verdict is VALID) == phonenumbers.is_valid_number(number)


@pytest.mark.parametrize("start", ["0", "", "90", "+90", "0090"])
def test_every_way_to_write_a_mobile_is_one_number(start: str) -> None:
    assert judge("phone", f"{start}5321234567") == Identifier(Kind.PHONE, "+905321234567", VALID)


@given(st.sampled_from([*Kind, "", "none"]), st.text(max_size=40))
def test_no_text_breaks_a_judgement(kind: str, raw: str) -> None:
    judged = judge(kind, raw)
    assert (judged.verdict is VALID) <= bool(judged.normalised)
    assert (judged.verdict is ABSENT) <= (judged.normalised == "")
    assert judged.problem is not None or judged.verdict is not DOUBTFUL
