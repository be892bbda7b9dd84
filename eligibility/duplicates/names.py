"""Names in any script become comparable parts; what was written is kept by who wrote it.

Decides which letters and parts of a name are its own and which are a habit of spelling: vowel
signs, invisible signs, the article, particles (bin, abu), a name written in two scripts in one
field. Letters are lowered by a table of our own, because `str.lower` makes two characters of a
Turkish capital dotted I and cannot know that a capital I is often a dotless one.

A *part* is one name among those of a field (`Mehmet`, `Emin`). Compounds of service and religion
are one part however they are written (`Abd al-Rahman`, `Abdurrahman`, `عبد الرحمن`).

>>> [part.letters for part in parts("Abd el-Rahman AL-HASAN")]
['abdrahman', 'hasan']
>>> [part.letters for part in parts("عبد الرّحمن بن حسن")]
['عبدرحمن', 'حسن']

Sources: Unicode Standard Annex 15 (normalisation) and 9 (direction signs); ALA-LC romanization
tables for Arabic and Persian; Türk Dil Kurumu's spelling of names.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from anyascii import anyascii

from eligibility.duplicates.identifiers import compact

NORMALISER_VERSION = "1"  # of names, skeletons and variants together: they are compared together
NAME_CHARACTERS_MAX = 200  # what is longer is no name; the rest is not read

# Written in other letters by Persian, Urdu, Kurdish and careless keyboards.
_ARABIC_LETTERS = str.maketrans({
    "أ": "ا", "إ": "ا", "ٱ": "ا", "آ": "ا", "ى": "ي", "ی": "ي", "ې": "ي", "ێ": "ي", "ئ": "ي",
    "ك": "ك", "ک": "ك", "ڪ": "ك", "ؤ": "و", "ۆ": "و", "ۇ": "و", "ۋ": "و", "ە": "ه", "ہ": "ه",
    "ھ": "ه", "ۀ": "ه", "ۃ": "ة", "ڵ": "ل", "ڕ": "ر", "ڤ": "ف", "ء": "", "ٔ": "", "ـ": "",
})  # fmt: skip
_LOWERED = str.maketrans({"İ": "i", "I": "i", "’": "'", "‘": "'", "ʼ": "'", "ʻ": "'", "`": "'"})
_ARABIZI = str.maketrans({"7": "h", "5": "kh", "3": "'", "2": "'", "6": "t", "9": "s", "8": "gh"})

_INVISIBLE = re.compile(  # marks above and below letters, signs of direction and width
    "[\u00ad\u0300-\u036f\u061c\u064b-\u065f\u0670\u06d6-\u06ed\u115f\u180e\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_READ_AS_THEY_ARE = re.compile("[a-z\u0620-\u064a\u0671-\u06d3çğıöşüâîûəéèêëïäàáíóúñ]+\\Z")
_BREAKS = re.compile(r"[^\w']+|_")
_ARABIC = re.compile("[\u0600-\u06ff\u0750-\u077f]")
_LATIN = re.compile(r"[^\W\d_]")

_ARABIC_PARTICLES = frozenset({"بن", "ابن", "بنت", "ابنة", "ابو", "ابي", "ابا", "ام", "ال", "زاده"})
_LATIN_PARTICLES = frozenset({
    "al", "el", "ul", "il", "ad", "ed", "as", "es", "ash", "esh", "ech", "ar", "er", "at", "et",
    "an", "en", "az", "ez", "bin", "ben", "ibn", "bint", "bou", "abu", "abou", "ebu", "abo", "aboo",
    "umm", "zade", "zadeh",
})  # fmt: skip
_ARABIC_ARTICLE = re.compile(r"ال(?!ياس\Z|هام\Z|ماس\Z|ين\Z|يسا\Z|اء\Z|فت\Z|نا\Z|ما\Z|ا\Z)(?=..)")
_ARABIC_FATHER = re.compile(r"ابو(?=..)")
_ARABIC_SERVANT = re.compile(r"عبد(?:ال)?(?=..)")
_ARABIC_FAITH = re.compile(r"(?:ال)?دين\Z")
_ARABIC_GOD = re.compile(r"ا?لله\Z")
_SERVANT = re.compile(
    r"abd(?:[aeuoiü]?(?:l|r(?=r)|s(?=s)|n(?=n)|t(?=t)|z(?=z)|d(?=d)|sh(?=sh))|[aeuoü](?=[^aeiou]))?"
    r"(?=.{3})"
)
_FAITH = re.compile(r"(?:[aeiou]|al|el|ul)?(?:dd|tt|d)(?:in|een|ine|ene)\Z")
_GOD = re.compile(r"[aeou]l+ah?\Z")
_FATHER = re.compile(r"(?:abu|abou|ebu)(?=[^aeiou][a-zçğıöşü]{2})")
_SERVANTS = frozenset(
    {"abd", "abdu", "abdul", "abdel", "abdal", "abdur", "abder", "abdus", "abdun"}
)
_FAITHS = frozenset({"din", "deen", "dine", "eddin", "eddine", "uddin", "addin", "aldin", "eldin"})
_GODS = frozenset({"allah", "ullah", "alla", "ulla"})
_COMPOUND_MIN = 2


class Script(StrEnum):
    """In which letters a part is written."""

    ARABIC = "a"  # Arabic, Persian, Kurdish and Urdu in Arabic letters
    LATIN = "l"  # Latin letters, and every other script by way of them


@dataclass(frozen=True, slots=True)
class Part:
    """One name: `letters` without habits of spelling, in `script`."""

    letters: str
    script: Script


def cleaned(text: str, *, digits: bool = False) -> str:
    """Return `text` in small letters without marks, invisible signs and signs of breath.

    Words of digits are left out, or kept where `digits` count (an address).

    >>> cleaned("  İBRAHİM\u200b ILGAZ "), cleaned("Mo7ammed Sa'id")
    ('ibrahim ilgaz', 'mohammed said')
    """
    if text.isascii() and text.isalpha():
        return text.lower()[:NAME_CHARACTERS_MAX]
    text = text[:NAME_CHARACTERS_MAX]
    if text.isascii():
        text = text.lower()
    else:
        text = unicodedata.normalize("NFKC", text).translate(_LOWERED).lower()
        text = _INVISIBLE.sub("", text.translate(_ARABIC_LETTERS))
    words = _BREAKS.split(text)
    if digits:
        return " ".join(_plain(word) or compact(word) for word in words if word)
    return " ".join(filter(None, map(_plain, words)))


def parts(text: str) -> tuple[Part, ...]:
    """Return the parts of the name in `text`, in their order; nothing for what is no name."""
    words = [word for word in cleaned(text).split(" ") if _LATIN.search(word)]
    arabic = [word for word in words if _ARABIC.search(word)]
    if not arabic:
        return tuple(Part(word, Script.LATIN) for word in _joined_latin(words))
    latin = [word for word in words if not _ARABIC.search(word)]
    return (
        *(Part(word, Script.ARABIC) for word in _joined_arabic(arabic)),
        *(Part(word, Script.LATIN) for word in _joined_latin(latin)),
    )


def _plain(word: str) -> str:
    """Return `word` in letters of the two scripts, "" where it has no letter."""
    if _READ_AS_THEY_ARE.match(word):
        return word
    if not any(c.isalpha() for c in word):
        return ""
    word = word.replace("'", "")
    if word.isascii():
        return word.translate(_ARABIZI).replace("'", "")
    if _READ_AS_THEY_ARE.match(word):
        return word
    return "".join(c for c in anyascii(word).lower() if c.isalpha())


def _joined_arabic(words: list[str]) -> list[str]:
    found: list[str] = []
    servant = False
    for word in words:
        if word == "عبد" and len(words) > 1:
            servant = True
        elif servant:
            found.append("عبد" + _ARABIC_ARTICLE.sub("", word, count=1))
            servant = False
        elif found and word in {"الله", "لله", "الدين", "دين"}:
            found[-1] += "له" if word.endswith("لله") else "دين"
        elif word not in _ARABIC_PARTICLES:
            found.append(_arabic_word(word))
    return found or ["عبد" if servant else word for word in words[:1]]


def _arabic_word(word: str) -> str:
    """Return `word` without its article, its compound in the one form."""
    if _ARABIC_SERVANT.match(word):
        return _ARABIC_SERVANT.sub("عبد", word, count=1)
    if len(word) > len("الدين") and _ARABIC_FAITH.search(word):
        return _ARABIC_FAITH.sub("دين", word)
    if len(word) > len("الله") and _ARABIC_GOD.search(word):
        return _ARABIC_GOD.sub("له", word)
    return _ARABIC_FATHER.sub("", _ARABIC_ARTICLE.sub("", word, count=1), count=1)


def _joined_latin(words: list[str]) -> list[str]:
    found: list[str] = []
    servant = False
    for place, word in enumerate(words):
        if word in _SERVANTS and place + 1 < len(words):
            servant = True
        elif word in _LATIN_PARTICLES and len(words) > 1:
            continue
        elif servant:
            found.append("abd" + (_GOD.sub("lah", word) if word in _GODS else word))
            servant = False
        elif found and word in _FAITHS:
            found[-1] += "din"
        elif found and word in _GODS:
            found[-1] += "lah"
        else:
            found.append(_latin_word(word))
    return found or words[:1]


def _latin_word(word: str) -> str:
    """Return `word` with its compound in the one form (`abdrahman`, `nurdin`, `nasrlah`).

    >>> [_latin_word(w) for w in ("abdurrahman", "abdullah", "selahattin", "nasrullah", "aldin")]
    ['abdrahman', 'abdlah', 'selahdin', 'nasrlah', 'aldin']
    """
    servant = _SERVANT.match(word)
    if servant:
        rest = word[servant.end() :]
        return "abd" + (_GOD.sub("lah", rest) if rest in {"lah", "la"} else rest)
    for ending, form in ((_FAITH, "din"), (_GOD, "lah")):
        found = ending.search(word)
        if found and found.start() > _COMPOUND_MIN:
            return word[: found.start()] + form
    return _FATHER.sub("", word, count=1)
