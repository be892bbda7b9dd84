"""Names in several scripts: what is one name, what only looks like it."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import eligibility.duplicates
from eligibility.duplicates.names import Script, cleaned, parts
from eligibility.duplicates.skeletons import second_skeleton_of, skeleton_of, vowels_of
from eligibility.duplicates.spelling import deviations, keys_of, variants

SPELLED = {
    "محمد": "Muhammad Mohamed Muhammed Mouhamad Muhammet",
    "محمود": "Mahmoud Mahmud Mahmut Mahmood",
    "حسين": "Husayn Hussein Hüseyin Hossein",
    "أحمد": "Ahmad Ahmed Ahmet",
    "خالد": "Khaled Khalid Halit",
    "فاطمة": "Fatima Fatma Fatmah Fatemeh",
    "عبد الرحمن": "Abdulrahman Abdurrahman Abderrahmane Abdel-Rahman",
    "نور الدين": "Nureddin Nurettin Noureddine",
    "جمال": "Jamal Cemal Gamal Djamel",
    "رمضان": "Ramadan Ramazan Ramadhan",
    "عثمان": "Osman Othman Uthman",
    "خديجة": "Khadija Hatice Khadidja",
    "شریف": "Sharif Şerif Cherif",
    "گلناز": "Gülnaz Golnaz",
}
LOOKALIKES = [
    ("محمد", "محمود"), ("Muhammad", "Mahmoud"), ("محمد", "Mahmud"), ("حسن", "حسين"),
    ("حسن", "Hüseyin"), ("Hasan", "Husayn"), ("Ahmad", "Hamid"), ("أحمد", "Hamid"),
    ("سعد", "Said"), ("سمير", "Samira"), ("سمير", "سميرة"), ("كريم", "Akram"),
    ("Jamal", "Jamil"), ("جمال", "Jamil"), ("نور", "Nora"), ("Muhammed", "Mehmet"),
]  # fmt: skip


def is_one(left: str, right: str) -> bool:
    """Two spellings are taken for one name, as linkage's second level does."""
    one, other = keys_of(left), keys_of(right)
    assert one is not None
    assert other is not None
    if one.known and other.known:
        return one.known == other.known
    return one.skeleton == other.skeleton and one.vowels.agree(other.vowels)


@pytest.mark.parametrize("arabic", SPELLED)
def test_a_name_in_another_script_is_the_same_name(arabic: str) -> None:
    assert [n for n in SPELLED[arabic].split() if not is_one(arabic, n)] == []


@pytest.mark.parametrize(("left", "right"), LOOKALIKES)
def test_lookalikes_share_a_skeleton_and_are_two_names(left: str, right: str) -> None:
    one, other = keys_of(left), keys_of(right)
    assert one is not None
    assert other is not None
    assert one.skeleton == other.skeleton
    assert not is_one(left, right)


def test_capital_i_is_read_the_turkish_way_without_an_extra_sign() -> None:
    assert cleaned("İBRAHİM") == cleaned("IBRAHIM") == "ibrahim"
    assert cleaned("ILGIN") == "ilgin"


@pytest.mark.parametrize(
    ("written", "letters"),
    [
        ("\u200bعليّ\u200f", ["علي"]),
        ("محـــمد", ["محمد"]),
        ("Al-Hasan bin Ali", ["hasan", "ali"]),
        ("Mo7ammed 'Ali", ["mohammed", "ali"]),
        ("عبد الله", ["عبدله"]),
        ("-", []),
        ("12345", []),
        ("", []),
    ],
)
def test_habits_of_spelling_are_no_part_of_a_name(written: str, letters: list[str]) -> None:
    assert [part.letters for part in parts(written)] == letters


def test_one_name_in_two_scripts_in_one_field_is_one_name() -> None:
    both, one = keys_of("محمد Muhammad"), keys_of("محمد")
    assert both == one


def test_letters_with_two_readings_have_two_skeletons() -> None:
    assert skeleton_of("velid", Script.LATIN) == skeleton_of("وليد", Script.ARABIC)
    assert second_skeleton_of("kavanagh", Script.LATIN) == skeleton_of("كافاناغ", Script.ARABIC)
    assert second_skeleton_of("celine", Script.LATIN) == skeleton_of("سيلين", Script.ARABIC)
    assert second_skeleton_of("fethi", Script.LATIN) == skeleton_of("فتحي", Script.ARABIC)


def test_mehmet_finds_muhammed_and_is_another_name() -> None:
    mehmet, muhammed = keys_of("Mehmet"), keys_of("Muhammed")
    assert mehmet is not None
    assert muhammed is not None
    assert mehmet.skeleton == muhammed.skeleton
    assert mehmet.known != muhammed.known


def test_a_spelling_stands_in_the_variant_table_once() -> None:
    path = Path(eligibility.duplicates.__file__).with_name("variants.csv")
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    spellings = [spelling for row in rows for spelling in row["spellings"].split()]
    assert sorted(spellings) == sorted(set(spellings))
    assert len({row["name"] for row in rows}) == len(rows) > 100
    assert all(keys_of(spelling) for spelling in spellings)
    assert variants()["cemal"].name == "jamal"


def test_the_conformance_vectors_come_out_as_they_are_written() -> None:
    assert deviations() == []


@given(st.text(max_size=40))
def test_no_text_breaks_a_name(text: str) -> None:
    keys = keys_of(text)
    assert keys is None or (keys.skeleton and keys.first in keys.skeleton)
    assert keys == keys_of(text + "\u200b")


ARABIC = st.text("ابتثجحخدذرزسشصضطظعغفقكلمنهويةىأإ", min_size=1, max_size=18)
LATIN = st.text("abcçdefgğhıijklmnoöpqrsştuüvwxyz", min_size=1, max_size=18)


@given(st.one_of(ARABIC.map(lambda t: (t, Script.ARABIC)), LATIN.map(lambda t: (t, Script.LATIN))))
def test_every_spelling_agrees_with_itself(part: tuple[str, Script]) -> None:
    vowels = vowels_of(*part)
    assert vowels.agree(vowels)
    assert all(0 <= bits < 1 << 63 for bits in (vowels.has, vowels.keeps, vowels.says))
