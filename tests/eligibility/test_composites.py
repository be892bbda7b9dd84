"""Tokens of composites, and identifiers over time."""

import hmac
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.tr import tckimlik

from eligibility.duplicates.composites import (
    SEPARATOR,
    Composite,
    composites,
    hmac_sha256,
    tokens,
)
from eligibility.duplicates.history import History, contradicting, shared
from eligibility.duplicates.identifiers import Kind, Verdict, judge
from eligibility.duplicates.names import NORMALISER_VERSION
from eligibility.duplicates.shapes import PERSON

KEY = b"0123456789abcdef0123456789abcdef"
Row = dict[str, str | None]
AMAL: Row = {
    "given_name": "أمل", "family_name": "الحسن", "father_name": "خالد", "mother_name": "فاطمة",
    "birth_date": "1990-02-17", "birth_date_precision": "exact", "id_type": "tr_foreigner_id",
    "id_number": "99123456740", "phone": "0532 123 45 67",
}  # fmt: skip
AMAL_AGAIN: Row = {
    "given_name": "Amal", "family_name": "Al-Hasan", "father_name": "Khaled",
    "mother_name": "Fatma", "birth_date": "17.02.1990", "birth_date_precision": "exact",
    "phone": "+905321234567",
}  # fmt: skip


def people(*rows: Row) -> pa.RecordBatch:
    full = [dict.fromkeys(PERSON.names) | {"record_id": f"r{i}"} | r for i, r in enumerate(rows)]
    return pa.RecordBatch.from_pylist(full, schema=PERSON)


def of(*rows: Row, round_id: str = "round-1") -> list[dict[str, set[bytes]]]:
    """The tokens of each person, by kind."""
    found: list[dict[str, set[bytes]]] = [{} for _ in rows]
    for batch in tokens([people(*rows)], hmac_sha256(KEY), round_id):
        for made in batch.to_pylist():
            found[int(made["record_id"][1:])].setdefault(made["kind"], set()).add(made["token"])
    return found


def test_two_spellings_of_one_person_have_the_same_tokens_but_for_the_number() -> None:
    one, other = of(AMAL, AMAL_AGAIN)
    assert set(one) - set(other) <= {Composite.IDENTIFIER}
    assert all(one[kind] & other[kind] for kind in other)
    assert len(other) == 7


def test_a_year_is_no_day_and_a_missing_fact_makes_no_token() -> None:
    year_only = AMAL_AGAIN | {"birth_date": "1990-01-01", "phone": None}
    nameless: Row = {"family_name": "Demir", "birth_date": "1990-02-17"}
    assert [set(found) for found in of(year_only, nameless)] == [
        {Composite.FOUR_NAMES, Composite.THREE_NAMES_YEAR}, set(),
    ]  # fmt: skip


def test_only_a_valid_strong_number_becomes_a_token() -> None:
    wrong = judge(Kind.TR_FOREIGNER_ID, "99123456783")
    assert wrong.verdict is Verdict.DOUBTFUL
    mistyped: Row = {"id_type": "tr_foreigner_id", "id_number": "99123456783"}
    filler: Row = {"id_type": "passport", "id_number": "00000000"}
    assert composites(people(mistyped, filler)) == {}


def test_no_composite_is_one_fact_alone() -> None:
    made = composites(people(AMAL | {"registration_number": "UNHCR-12345"}))
    assert set(made) == set(Composite)
    whole = {Composite.IDENTIFIER, Composite.REGISTRATION}  # one number is one person's
    parts = {kind: text.count(SEPARATOR) for kind, (_, (text,)) in made.items()}
    assert all(parts[kind] > 1 for kind in set(Composite) - whole)


def test_a_letter_with_two_readings_makes_a_token_of_each() -> None:
    (velid,) = of({"given_name": "Velid", "phone": "0532 123 45 67", "birth_date": "1990-02-17"})
    (walid,) = of({"given_name": "وليد", "phone": "0532 123 45 67"})
    assert {kind: len(made) for kind, made in velid.items()} == {"phone+given": 2, "phone+birth": 1}
    assert velid["phone+given"] & walid["phone+given"]


@given(st.binary(min_size=32, max_size=200), st.binary(max_size=80), st.lists(st.binary()))
def test_the_keyed_hash_is_hmac_with_its_domain_in_front(
    key: bytes, domain: bytes, messages: list[bytes]
) -> None:
    wanted = [hmac.digest(key, domain + message, "sha256") for message in messages]
    assert hmac_sha256(key)(domain)(messages) == wanted


def test_a_token_is_the_keyed_hash_of_its_kind_round_and_facts() -> None:
    (made,) = of({"registration_number": "UNHCR-12345"})
    domain = f"cva\x1f{NORMALISER_VERSION}\x1fround-1\x1fregistration\x1f"
    wanted = hmac.digest(KEY, f"{domain}UNHCR12345\x1f".encode(), "sha256")[:16]
    assert made == {"registration": {wanted}}


def test_tokens_of_another_round_or_kind_do_not_meet() -> None:
    (one,), (other,) = of(AMAL), of(AMAL, round_id="round-2")
    values = [token for made in one.values() for token in made]
    assert {token for made in other.values() for token in made}.isdisjoint(values)
    assert len(set(values)) == len(values)
    assert {len(token) for token in values} == {16}


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        hmac_sha256(b"short")


@given(st.integers(0, 10**11 - 1))
def test_check_digits_are_those_of_stdnum(number: int) -> None:
    text = f"{number:011}"
    judged = judge(Kind.TR_NATIONAL_ID, text)
    if judged.kind is not Kind.TR_LEGACY_ID and judged.normalised:
        assert (judged.verdict is Verdict.VALID) == tckimlik.is_valid(text)


@given(st.integers(100_000_000, 999_999_999))
def test_a_number_with_its_check_digits_is_valid(stem: int) -> None:
    text = f"{stem}{tckimlik.calc_check_digits(str(stem))}"
    judged = judge(Kind.TR_NATIONAL_ID, text)
    assert judged.verdict is Verdict.VALID or not judged.normalised


NATURALISED = (
    History()
    .with_number("tr_foreigner_id", "98123456789", issuer="province", valid_from=date(2014, 5, 1))
    .with_number("tr_foreigner_id", "٩٩١٢٣٤٥٦٧٤٠", issuer="migration", valid_from=date(2016, 2, 1))
    .with_number("tr_national_id", "10000000078", issuer="civil registry")
)


def test_a_person_lawfully_has_several_numbers() -> None:
    kinds = [held.kind for held in NATURALISED.held]
    assert kinds[:2] == [Kind.TR_LEGACY_ID, Kind.TR_FOREIGNER_ID]
    before = History().with_number("tr_foreigner_id", "98123456789")
    assert contradicting(NATURALISED, before) is None
    assert shared(NATURALISED, before) is Kind.TR_LEGACY_ID


def test_two_valid_numbers_of_a_checked_kind_are_two_people() -> None:
    other_text = f"991234568{tckimlik.calc_check_digits('991234568')}"
    other = History().with_number("tr_foreigner_id", other_text)
    assert contradicting(NATURALISED, other) is Kind.TR_FOREIGNER_ID
    mistyped = History().with_number("tr_foreigner_id", "99123456783")
    assert contradicting(NATURALISED, mistyped) is None


def test_a_renewed_passport_is_no_contradiction() -> None:
    old = History().with_number("passport", "N1234567", valid_until=date(2020, 1, 1))
    new = History().with_number("passport", "N7654321", valid_from=date(2020, 1, 1))
    both = old.with_number("passport", "N7654321", valid_from=date(2020, 1, 1))
    assert contradicting(old, new) is None
    assert shared(both, new) is Kind.PASSPORT
    current = both.current(Kind.PASSPORT, date(2020, 1, 1))
    assert current is not None
    assert current.number == "N7654321"
    assert both.current(Kind.PASSPORT, date(2019, 12, 31)) == old.held[0]


def test_fillers_and_repetitions_add_nothing() -> None:
    assert NATURALISED.with_number("passport", "yok") == NATURALISED
    assert NATURALISED.with_number("tr_national_id", "11111111111") == NATURALISED
    again = NATURALISED.with_number("tr_foreigner_id", "98123456789", issuer="province",
                                    valid_from=date(2014, 5, 1))  # fmt: skip
    assert again == NATURALISED
