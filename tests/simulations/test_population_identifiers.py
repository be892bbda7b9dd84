"""Made-up numbers are well formed, stand in the fictional ranges, and are never given twice."""

import numpy as np
import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import carrier
from schwifty import IBAN
from stdnum.tr import tckimlik

from simulations.population.identifiers import (
    CARD_TAILS,
    Cards,
    Numbers,
    Scatter,
    with_check_digits,
)
from simulations.population.names import district_respelled, respelled
from simulations.population.shape import Fault

INDEX = np.arange(5_000)


@pytest.fixture(scope="module")
def numbers() -> Numbers:
    return Numbers.seeded(np.random.default_rng(5))


@given(st.lists(st.integers(100_000_000, 999_999_999), min_size=1, max_size=50))
def test_check_digits_are_those_of_stdnum(stems: list[int]) -> None:
    expected = [f"{stem}{tckimlik.calc_check_digits(str(stem))}" for stem in stems]
    assert [str(number) for number in with_check_digits(np.array(stems))] == expected


def test_foreigner_ids_stand_in_their_range(numbers: Numbers) -> None:
    ids = [str(number) for number in numbers.foreigner_ids(INDEX).tolist()]
    assert all(tckimlik.is_valid(number) for number in ids)
    assert {number[:3] for number in ids} == {"995", "996", "997", "998", "999"}
    assert len(set(ids)) == len(ids)


def test_national_ids_stand_in_their_range(numbers: Numbers) -> None:
    ids = [str(number) for number in numbers.national_ids(INDEX).tolist()]
    assert all(tckimlik.is_valid(number) for number in ids)
    assert {number[:2] for number in ids} == {"89"}
    assert len(set(ids)) == len(ids)


def test_phones_are_valid_and_belong_to_no_carrier(numbers: Numbers) -> None:
    phones = [phonenumbers.parse(numbers.phone(index), "TR") for index in range(2_000)]
    assert all(phonenumbers.is_valid_number(phone) for phone in phones)
    assert {carrier.name_for_number(phone, "en") for phone in phones} == {""}
    assert {str(phone.national_number)[:3] for phone in phones} == {"596"}
    assert len({phone.national_number for phone in phones}) == 2_000


def test_phones_are_written_in_usual_ways(numbers: Numbers) -> None:
    assert {numbers.phone(index)[:2] for index in range(3)} == {"+9", "05"}
    assert any(" " in numbers.phone(index) for index in range(3))


def test_ibans_are_valid_and_of_no_bank(numbers: Numbers) -> None:
    ibans = [IBAN(numbers.iban(index)) for index in range(2_000)]
    assert {iban.bank_code for iban in ibans} == {"09999"}
    assert {iban.bank for iban in ibans} == {None}
    assert len(set(ibans)) == 2_000
    assert not any(iban[-4:-2] == "99" for iban in ibans)


@pytest.mark.parametrize(
    ("fault", "tail"),
    [
        (Fault.BANK_REJECTED, "9901"),
        (Fault.BANK_SILENT, "9902"),
        (Fault.BANK_RETURNED, "9903"),
    ],
)
def test_faulty_accounts_end_in_their_tail(numbers: Numbers, fault: Fault, tail: str) -> None:
    faulty = IBAN(numbers.iban(7, fault))
    assert faulty[-4:] == tail
    assert faulty[4:-4] == numbers.iban(7)[4:-4]


def test_good_cards_leave_out_the_tails_of_faults() -> None:
    cards = Cards("VC")
    refs = [cards.next() for _ in range(4_000)]
    assert refs[0] == "VC-00000001"
    assert refs == sorted(set(refs))
    assert {ref[-3:] for ref in refs} == {f"{n:03d}" for n in range(1000)} - {
        "901",
        "902",
        "903",
        "904",
    }


def test_faulty_cards_end_in_their_tail_and_are_never_good_ones() -> None:
    cards = Cards("DC")
    faulty = [cards.next(fault) for fault in CARD_TAILS for _ in range(3) if "debit" in fault]
    assert faulty[:4] == ["DC-00000901", "DC-00001901", "DC-00002901", "DC-00000902"]
    assert not set(faulty) & {cards.next() for _ in range(4_000)}


def test_cards_ignore_faults_of_accounts() -> None:
    assert Cards("VC").next(Fault.BANK_SILENT) == "VC-00000001"


@given(st.integers(0, 1_000))
def test_scatter_gives_every_number_once(seed: int) -> None:
    scatter = Scatter.seeded(np.random.default_rng(seed), 1_000)
    assert sorted(scatter.all_at(np.arange(1_000)).tolist()) == list(range(1_000))
    assert scatter.at(17) == int(scatter.all_at(np.array([17]))[0])


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Mahmoud", "Mahmud"),
        ("أحمد", "احمد"),
        ("فاطمة", "فاطمه"),
        ("Gülşen", "Gulşen"),
        ("Br", "Brr"),
    ],
)
def test_respelled_changes_a_name_a_little(name: str, other: str) -> None:
    assert respelled(name) == other


def test_district_respelled_has_capitals_without_turkish_letters() -> None:
    assert [district_respelled(d) for d in ("Eyyübiye", "Şahinbey", "İzmit", "Darıca")] == [
        "EYYUBIYE",
        "SAHINBEY",
        "IZMIT",
        "DARICA",
    ]
