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
    Person,
    composites,
    hmac_sha256,
    people_of,
    tokens,
)
from eligibility.duplicates.history import History, contradicting, shared
from eligibility.duplicates.identifiers import Kind, Verdict, judge
from eligibility.duplicates.shapes import PERSON

KEY = b"0123456789abcdef0123456789abcdef"
AMAL = Person("r1", "أمل", "الحسن", "خالد", "فاطمة", "1990-02-17", "exact", "tr_foreigner_id",
              "99123456740", None, "0532 123 45 67")  # fmt: skip
AMAL_AGAIN = Person("r2", "Amal", "Al-Hasan", "Khaled", "Fatma", "17.02.1990", "exact", "none",
                    None, None, "+905321234567")  # fmt: skip


def of(person: Person) -> dict[Composite, set[bytes]]:
    found: dict[Composite, set[bytes]] = {}
    for _, ours in tokens([person], hmac_sha256(KEY), "round-1"):
        for kind, token in ours:
            found.setdefault(kind, set()).add(token)
    return found


def test_two_spellings_of_one_person_have_the_same_tokens_but_for_the_number() -> None:
    one, other = of(AMAL), of(AMAL_AGAIN)
    assert set(one) - set(other) <= {Composite.IDENTIFIER}
    assert all(one[kind] & other[kind] for kind in other)
    assert len(other) == 7


def test_a_year_is_no_day_and_a_missing_fact_makes_no_token() -> None:
    year_only = AMAL_AGAIN._replace(birth_date="1990-01-01", phone=None)
    assert set(of(year_only)) == {Composite.FOUR_NAMES, Composite.THREE_NAMES_YEAR}
    assert of(Person("r3", family_name="Demir", birth_date="1990-02-17")) == {}


def test_only_a_valid_strong_number_becomes_a_token() -> None:
    wrong = judge(Kind.TR_FOREIGNER_ID, "99123456783")
    assert wrong.verdict is Verdict.DOUBTFUL
    mistyped = Person("r1", id_type="tr_foreigner_id", id_number="99123456783")
    filler = Person("r2", id_type="passport", id_number="00000000")
    assert composites(mistyped) == composites(filler) == []


def test_no_composite_is_one_fact_alone() -> None:
    kinds = {kind: text for kind, text in composites(AMAL) if kind is not Composite.IDENTIFIER}
    assert all(text.count(SEPARATOR.encode()) >= 1 for text in kinds.values())


@given(st.binary(min_size=32, max_size=200), st.binary(max_size=80), st.binary(max_size=200))
def test_the_keyed_hash_is_hmac_with_its_domain_in_front(
    key: bytes, domain: bytes, message: bytes
) -> None:
    assert hmac_sha256(key)(domain)(message) == hmac.digest(key, domain + message, "sha256")


def test_tokens_of_another_round_or_kind_do_not_meet() -> None:
    (one,) = tokens([AMAL], hmac_sha256(KEY), "round-1")
    (other,) = tokens([AMAL], hmac_sha256(KEY), "round-2")
    values = [token for _, token in one[1]]
    assert {token for _, token in other[1]}.isdisjoint(values)
    assert len(set(values)) == len(values)
    assert {len(token) for token in values} == {16}


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        hmac_sha256(b"short")


def test_people_come_from_batches_of_the_registry() -> None:
    row = dict.fromkeys(PERSON.names) | {"record_id": "r9", "given_name": "Omar"}
    table = pa.Table.from_pylist([row], schema=PERSON)
    assert list(people_of(table.to_batches())) == [Person("r9", "Omar")]


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
