"""Names as clerks write them: Arabic and Persian letters by habit, eight ways; Turkish, two ways.

Made for the generated registry, and made apart from the normaliser it is to test: nothing here is
known there. The names are Faker's; the vowels that Arabic does not write are drawn once for each
name and then spelled by the habit of the clerk. Fifty common names have the spellings that people
really use.

Vocabulary: a *habit* is a way of writing. Two keep the script (with care; without hamza and
dots), six are Latin: English with care, English as heard, French, Egyptian, Turkish, Turkish
without its letters.
"""

import re
import unicodedata
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

HABITS = ("careful", "careless", "english", "heard", "french", "egyptian", "turkish", "ascii")
SCRIPT_HABITS = 2
ENGLISH, HEARD, FRENCH, EGYPTIAN, TURKISH, ASCII = range(6)

# Latin letters by habit: English with care, as heard, French, Egyptian, Turkish.
_LETTERS = {
    "ب": "b b b b b", "ت": "t t t t t", "ث": "th s th s s", "ج": "j j dj g c", "ح": "h h h h h",
    "خ": "kh kh kh kh h", "د": "d d d d d", "ذ": "dh z d z z", "ر": "r r r r r",
    "ز": "z z z z z", "س": "s s s s s", "ش": "sh sh ch sh ş", "ص": "s s s s s",
    "ض": "d d d d z", "ط": "t t t t t", "ظ": "z z d z z", "غ": "gh gh gh gh g",
    "ف": "f f f f f", "ق": "q k k q k", "ك": "k k k k k", "ل": "l l l l l", "م": "m m m m m",
    "ن": "n n n n n", "ه": "h h h h h", "پ": "p p p p p", "چ": "ch ch tch ch ç",
    "ژ": "zh j j j j", "گ": "g g gu g g", "ک": "k k k k k", "ڤ": "v v v v v",
}  # fmt: skip
LETTERS = {letter: row.split() for letter, row in _LETTERS.items()}
# Short vowels a, i, u by habit; the second is used for every other name.
VOWELS = [
    [("a", "a"), ("i", "i"), ("u", "u")],
    [("a", "e"), ("i", "e"), ("o", "u")],
    [("a", "e"), ("i", "e"), ("ou", "o")],
    [("a", "a"), ("e", "i"), ("o", "o")],
    [("a", "e"), ("i", "i"), ("u", "ü")],
]
LONG = {
    "ا": ["a", "a", "a", "a", "a"], "آ": ["a", "aa", "a", "a", "a"],
    "و": ["u", "oo", "ou", "o", "u"], "ي": ["i", "ee", "i", "i", "i"],
    "ی": ["i", "ee", "i", "i", "i"], "ى": ["a", "a", "a", "a", "a"],
}  # fmt: skip
AS_CONSONANT = {
    "و": ["w", "w", "w", "w", "v"], "ي": ["y", "y", "y", "y", "y"], "ی": ["y", "y", "y", "y", "y"],
}  # fmt: skip
ENDING_T = [("a", "ah"), ("a", "eh"), ("a", "e"), ("a", "a"), ("e", "e")]
ARTICLE = ["Al-", "Al ", "El ", "El-", "El "]
SERVANT = ["Abd al-", "Abdul ", "Abdel", "Abd El ", "Abdül"]
RELIGION = [" al-Din", "uddin", "eddine", " el-Din", "ettin"]
SILENT = frozenset("ءعئؤ")
CARELESS = str.maketrans({"أ": "ا", "إ": "ا", "آ": "ا", "ة": "ه", "ى": "ي", "ئ": "ي", "ؤ": "و"})
PLAIN = str.maketrans("çğıöşüÇĞİÖŞÜâîû", "cgiosuCGIOSUaiu")

# Spellings people use, in the order of the five habits.
_USUAL = """
محمد: Muhammad|Mohamad|Mohamed|Mohammed|Muhammed
أحمد: Ahmad|Ahmed|Ahmed|Ahmed|Ahmet
محمود: Mahmoud|Mahmood|Mahmoud|Mahmoud|Mahmut
حسن: Hasan|Hassan|Hassane|Hassan|Hasan
حسين: Husayn|Hussein|Houssein|Hussein|Hüseyin
علي: Ali|Aly|Ali|Aly|Ali
عمر: Umar|Omar|Omar|Omar|Ömer
عثمان: Uthman|Othman|Othmane|Osman|Osman
خالد: Khalid|Khaled|Khaled|Khaled|Halit
إبراهيم: Ibrahim|Ebrahim|Brahim|Ibrahim|İbrahim
يوسف: Yusuf|Yousef|Youssef|Youssef|Yusuf
مصطفى: Mustafa|Moustafa|Mostapha|Mostafa|Mustafa
خليل: Khalil|Khaleel|Khalil|Khalil|Halil
جمال: Jamal|Jamal|Djamel|Gamal|Cemal
كمال: Kamal|Kamal|Kamel|Kamal|Kemal
رمضان: Ramadan|Ramadan|Ramdane|Ramadan|Ramazan
فاطمة: Fatimah|Fatima|Fatma|Fatma|Fatma
خديجة: Khadijah|Khadija|Khadidja|Khadiga|Hatice
عائشة: Aishah|Aisha|Aïcha|Aisha|Ayşe
مريم: Maryam|Mariam|Meriem|Mariam|Meryem
زينب: Zaynab|Zeinab|Zineb|Zeinab|Zeynep
أمينة: Aminah|Amina|Amina|Amina|Emine
سعيد: Said|Saeed|Saïd|Saeed|Sait
عبد الله: Abdullah|Abdallah|Abdellah|Abdalla|Abdullah
عبد الرحمن: Abd al-Rahman|Abdulrahman|Abderrahmane|Abdelrahman|Abdurrahman
عبد القادر: Abd al-Qadir|Abdulkader|Abdelkader|Abdelkader|Abdulkadir
وليد: Walid|Waleed|Oualid|Walid|Velid
داود: Dawud|Dawood|Daoud|Dawoud|Davut
سليمان: Sulayman|Suleiman|Slimane|Soliman|Süleyman
إسماعيل: Ismail|Ismaeel|Smaïl|Ismail|İsmail
عيسى: Isa|Eissa|Aïssa|Eissa|İsa
موسى: Musa|Mousa|Moussa|Mousa|Musa
هاجر: Hajar|Hajar|Hadjer|Hagar|Hacer
جميلة: Jamilah|Jamila|Djamila|Gamila|Cemile
ياسين: Yasin|Yaseen|Yacine|Yassin|Yasin
طارق: Tariq|Tarek|Tarek|Tarek|Tarık
رشيد: Rashid|Rasheed|Rachid|Rashid|Reşit
شريف: Sharif|Shareef|Chérif|Sherif|Şerif
حمزة: Hamzah|Hamza|Hamza|Hamza|Hamza
قاسم: Qasim|Kassem|Kacem|Qasem|Kasım
لطفي: Lutfi|Lotfi|Lotfi|Lotfy|Lütfi
نور: Nur|Noor|Nour|Nour|Nur
هدى: Huda|Hoda|Houda|Hoda|Hüda
زهرة: Zahrah|Zahra|Zohra|Zahra|Zehra
سمية: Sumayyah|Somaya|Soumia|Somaya|Sümeyye
أسماء: Asma|Asmaa|Asma|Asmaa|Esma
حليمة: Halimah|Halima|Halima|Halima|Halime
رقية: Ruqayyah|Rukaya|Rokia|Roqaya|Rukiye
صالح: Salih|Saleh|Salah|Saleh|Salih
جعفر: Jafar|Jaafar|Djaafar|Gaafar|Cafer
"""
USUAL = {
    name: tuple(spelled.split("|"))
    for name, _, spelled in (line.partition(": ") for line in _USUAL.strip().splitlines())
}
SPACES = re.compile(r"\s+")


def faker_names(locale: str, *lists: str) -> list[str]:
    """Return the names of Faker's `lists` for a locale, each once, without vowel signs."""
    provider = import_module(f"faker.providers.person.{locale}").Provider
    found = dict.fromkeys(_bare(name) for names in lists for name in getattr(provider, names))
    return [name for name in found if name]


def _bare(name: str) -> str:
    letters = unicodedata.normalize("NFC", name).replace("\u0640", "")
    return SPACES.sub(" ", re.sub("[\u064b-\u0655\u0670\u200c]", "", letters)).strip()


@dataclass(frozen=True)
class Names:
    """Every name of one list in every habit: `spelled[name, habit]`, and how frequent it is."""

    spelled: NDArray[np.object_]
    frequency: NDArray[np.float64]

    def draw(self, generator: Generator, count: int) -> NDArray[np.int64]:
        """Return `count` names, by number, as frequent as they are."""
        return generator.choice(len(self.frequency), size=count, p=self.frequency)

    def position(self, name: str) -> int:
        """Return the number of a name by its careful spelling."""
        return int(np.flatnonzero(self.spelled[:, 0] == name)[0])


def names_of(generator: Generator, names: list[str], first: list[str], exponent: float) -> Names:
    """Return `first` and then `names`, the frequent ones in front, spelled in every habit."""
    ordered = list(dict.fromkeys([*first, *names]))
    weights = np.arange(1, len(ordered) + 1, dtype=float) ** -exponent
    spelled = np.array([_every_habit(generator, name) for name in ordered], dtype=object)
    return Names(spelled, weights / weights.sum())


def _every_habit(generator: Generator, name: str) -> list[str]:
    if name.isascii() or unicodedata.name(name[0]).startswith("LATIN"):
        return [name, name.translate(PLAIN).upper(), *[name] * 5, name.translate(PLAIN)]
    loose = name.translate(CARELESS).replace("عبد ال", "عبدال")
    vowels = generator.choice(3, size=24, p=[0.6, 0.25, 0.15])
    latin = [_romanised(name, habit, vowels, generator.random()) for habit in range(5)]
    return [name, loose, *latin, latin[TURKISH].translate(PLAIN)]


def _romanised(name: str, habit: int, vowels: NDArray[np.int64], luck: float) -> str:
    if name in USUAL:
        return USUAL[name][habit]
    if name.startswith("عبد ال"):
        rest = _romanised(name[6:], habit, vowels, luck)
        return SERVANT[habit] + (rest if SERVANT[habit][-1] in " -" else rest.lower())
    if name.endswith(" الدين"):
        rest = _romanised(name.removesuffix(" الدين"), habit, vowels, luck)
        return rest + RELIGION[habit]
    return " ".join(_word(word, habit, vowels, luck) for word in name.split(" "))


def _word(word: str, habit: int, vowels: NDArray[np.int64], luck: float) -> str:
    if word in USUAL:
        return USUAL[word][habit]
    article = word.startswith("ال") and len(word) > 4
    word = word.removeprefix("ال") if article else word
    spelled = _letters(word, habit, vowels, second=luck < 0.5)
    spelled = (
        spelled[:1].replace("i", "İ").upper() + spelled[1:]
        if habit == TURKISH
        else (spelled[:1].upper() + spelled[1:])
    )
    return (ARTICLE[habit] if article else "") + spelled


def _letters(word: str, habit: int, vowels: NDArray[np.int64], *, second: bool) -> str:
    """Spell the letters one by one, with a short vowel wherever two consonants would begin or end
    a syllable together.
    """
    parts: list[str] = []
    closed = 0  # consonants since the last vowel
    last = len(word) - 1
    for at, letter in enumerate(word):
        short = VOWELS[habit][vowels[at % len(vowels)]][second]
        if letter in ("أ", "إ", "ا") and at == 0:
            parts.append("i" if letter == "إ" else short)
            closed = 0
        elif letter == "ة" or (letter == "ه" and at == last):
            parts.append(ENDING_T[habit][second])
            closed = 0
        elif letter in "عء" and at == 0:
            parts.append("")
            closed = 1
        elif letter in SILENT or letter in "أإع":
            if closed:
                parts.append(short)
            closed = 0
        elif letter in AS_CONSONANT and (at == 0 or closed == 0):
            parts.append(AS_CONSONANT[letter][habit])
            closed = 1
        elif letter in LONG:
            parts.append(LONG[letter][habit])
            closed = 0
        else:
            if closed >= 2 or (closed == 1 and at in {1, last}):
                parts.append(short)
                closed = 0
            parts.append(LETTERS.get(letter, [""] * 5)[habit])
            closed += 1
    return "".join(parts)
