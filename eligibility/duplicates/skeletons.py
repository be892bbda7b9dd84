"""Consonants and vowels of a name, so that its spellings in two scripts can be held together.

Decides which spellings may be the same name. The *skeleton* is the row of consonants, each in a
class of those that scripts and habits exchange (kh, ḥ and h; sh, th and s; b and p). It finds
candidates and never decides: Muhammad and Mahmoud, Hasan and Husayn share one. What tells them
apart are the *vowels* in the slots between the consonants: Arabic writes the long ones only,
Latin all of them but not their length. So each spelling *says* some vowels and *allows* others,
and two spellings agree when neither says what the other does not allow.

Some letters have two readings (c in Cemal and Celine; th in Othman and Fathi; v; ض, ج and ث by
dialect; an article grown to the name), so a part may have a second skeleton.

Vocabulary: a *slot* is the place before, between and after the consonants, four bits wide: some
vowel (1), a-like (2), i-like (4), u-like (8).

>>> skeleton_of("muhammad", Script.LATIN), skeleton_of("محمود", Script.ARABIC)
('mhmd', 'mhmd')
>>> latin, arabic = vowels_of("husayn", Script.LATIN), vowels_of("حسن", Script.ARABIC)
>>> latin.agree(arabic), latin.agree(vowels_of("حسين", Script.ARABIC))
(False, True)

Sources: ALA-LC romanization of Arabic and Persian; Holes, Modern Arabic (on the consonants of
dialects); figures in decision 0024.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from eligibility.duplicates.names import Script

NO_CONSONANT = "-"  # the skeleton of a name of vowels only (Aya)

SOME, A, I, U = 1, 2, 4, 8  # noqa: E741 - the names of the vowels
ANY = SOME | A | I | U
SLOT_BITS = 4
SLOTS_MAX = 15  # fit a signed integer of 64 bits; what is longer is compared by consonants only

_FIRST = {
    **dict.fromkeys("حهخ", "h"), **dict.fromkeys("ثسشص", "s"), **dict.fromkeys("تط", "t"),
    **dict.fromkeys("دض", "d"), **dict.fromkeys("ذزظ", "z"), **dict.fromkeys("جچژ", "c"),
    **dict.fromkeys("غگڭ", "g"), **dict.fromkeys("قك", "k"), **dict.fromkeys("بپ", "b"),
    "ف": "f", "ل": "l", "م": "m", "ن": "n", "ر": "r",
}  # fmt: skip
_SECOND = {**_FIRST, "ض": "z", "ذ": "d", "ث": "t", "ج": "g", "ق": "g", "ظ": "d"}
_ARABIC_VOWELS = {"ا": A, "ي": I, "و": U, "ع": 0, "ة": A}

# The longest first. Classes of consonants; vowels stay.
_LATIN_GROUPS = {
    "tsch": "c", "tch": "c", "dzh": "c", "sch": "s", "dj": "c", "sh": "s", "ch": "s", "kh": "h",
    "gh": "g", "th": "s", "dh": "z", "ph": "f", "zh": "c", "ck": "k", "ş": "s", "ç": "c", "ğ": "g",
    "q": "k", "j": "c", "x": "h", "p": "b", "ñ": "n", "y": "y", "w": "w", "v": "w",
}  # fmt: skip
_OTHER_GROUPS = {
    **_LATIN_GROUPS, "th": "th", "kh": "kh", "dh": "d", "sh": "sh", "ch": "c", "zh": "zh",
    "v": "f", "x": "ks", "ğ": "",
}  # fmt: skip
_MARKED = str.maketrans("âàáäîíïûúóéèêë", "aaaaiiiuuoeeee")
_GROUP = re.compile("|".join(sorted(_LATIN_GROUPS, key=len, reverse=True)))
_SOFT_C = re.compile("c(?=[eiöü])")
_ARTICLE = re.compile(r"(?:al|el)(?=[^aeiouıöü]+[aeiouıöü][a-zçğışöü]{1,})")
_VOWEL_RUN = re.compile("[aeiouıöüyw]+")
_LONG_I = re.compile("ee|ii|ei|ey|ai|ay|y")
_LONG_U = re.compile("oo|uu|au|aw|w")


@dataclass(frozen=True, slots=True)
class Vowels:
    """What a spelling says of the vowels in its slots, and what it allows.

    `has` and `keeps` are for spellings of the same script, `says` and `allows` for two scripts;
    each is four bits a slot.
    """

    has: int
    keeps: int
    says: int
    allows: int
    script: Script

    def agree(self, other: "Vowels") -> bool:
        """Return whether neither spelling says what the other does not allow."""
        if self.script is other.script:
            return not (self.has & ~other.keeps or other.has & ~self.keeps)
        return not (self.says & ~other.allows or other.says & ~self.allows)


def skeleton_of(letters: str, script: Script) -> str:
    """Return the first skeleton of a part."""
    return _closed("".join(c for c, _ in _pairs(letters, script)))


def second_skeleton_of(letters: str, script: Script) -> str | None:
    """Return the skeleton of the other reading, None where there is none.

    >>> second_skeleton_of("fathi", Script.LATIN), second_skeleton_of("kamal", Script.LATIN)
    ('fth', None)
    """
    if script is Script.ARABIC:
        second = "".join(_SECOND.get(c, "") for c in letters)
    else:
        second = re.sub(_VOWEL_RUN, "", _second_latin(letters))
    closed = _closed(second)
    return None if closed == skeleton_of(letters, script) else closed


def vowels_of(letters: str, script: Script) -> Vowels:
    """Return the vowels of a part in the slots of its first skeleton."""
    slots = _slots(_pairs(letters, script))
    read = _arabic_slot if script is Script.ARABIC else _latin_slot
    has = keeps = says = allows = 0
    if len(slots) <= SLOTS_MAX:
        for number, text in enumerate(slots):
            shift = number * SLOT_BITS
            place = "first" if number == 0 else "last" if number == len(slots) - 1 else "mid"
            values = read(text, place)
            has, keeps, says, allows = (
                total | value << shift
                for total, value in zip((has, keeps, says, allows), values, strict=True)
            )
    else:
        keeps = allows = (1 << SLOT_BITS * SLOTS_MAX) - 1
    return Vowels(has, keeps, says, allows, script)


def _closed(consonants: str) -> str:
    """Return the row with doubles as one and a last t as d (final devoicing, tā marbūṭa)."""
    if not consonants:
        return NO_CONSONANT
    row = consonants[0] + "".join(b for a, b in pairwise(consonants) if a != b)
    return row[:-1] + "d" if row[-1] == "t" and len(row) > 1 else row


def _pairs(letters: str, script: Script) -> list[tuple[str, str]]:
    """Return (consonant, "") and ("", vowels) in their order."""
    if script is Script.ARABIC:
        return [
            (_FIRST[c], "") if c in _FIRST else ("", c) for c in _arabic_body(letters, ending="ة")
        ]
    body = _latin_body(letters)
    return [("", c) if c in "aeiouıöüyw" else (c, "") for c in body]


def _arabic_body(letters: str, ending: str = "") -> str:
    return letters[:-1] + (ending or "ا") if letters[-1:] in {"ه", "ة"} and letters[1:] else letters


def _latin_body(letters: str) -> str:
    text = _GROUP.sub(lambda found: _LATIN_GROUPS[found[0]], letters.translate(_MARKED))
    return _without_last_h("".join(c for c in text if c.isalpha()))


def _without_last_h(text: str) -> str:
    """Return `text` without an h that only says that the name ends in a vowel."""
    return text[:-1] if text[-1:] == "h" and text[-2:-1] in set("aeiou") and text[2:] else text


def _second_latin(letters: str) -> str:
    """Return the other reading of a part in Latin letters, vowels left in."""
    text = _ARTICLE.sub("", letters.translate(_MARKED), count=1)
    soft = _SOFT_C.sub("s", text)
    hard = re.sub("c(?![hk])", "k", soft)
    other = _GROUP.sub(lambda found: _OTHER_GROUPS[found[0]], hard)
    return "".join(c for c in other if c.isalpha())


def _slots(pairs: list[tuple[str, str]]) -> list[str]:
    """Return the vowels before, between and after the consonants of the closed skeleton."""
    slots = [""]
    last = ""
    for consonant, vowel in pairs:
        if not consonant:
            slots[-1] += vowel
        elif consonant == last:
            slots[-1] = ""  # within a double: the skeleton does not show it
        else:
            slots.append("")
            last = consonant
    return slots


def _arabic_slot(text: str, place: str) -> tuple[int, int, int, int]:
    """Return (has, keeps, says, allows) of a slot in Arabic script; `place` first, last or mid."""
    if not text:
        return 0, 0, 0, SOME if place == "mid" else 0  # a short vowel between is not written
    bits = 0
    for letter in text:
        bits |= _ARABIC_VOWELS.get(letter, 0)
    if place == "first":
        return SOME, ANY, SOME, ANY  # alef and ayn carry any vowel; y and w have one behind them
    if place == "last":
        open_to = SOME | bits | (A if bits & I else 0)  # ى is written for ي
        return SOME | (bits & U), open_to, SOME, ANY
    return bits, bits, bits, bits | SOME | (A if "ع" in text else 0)


def _latin_slot(text: str, place: str) -> tuple[int, int, int, int]:
    """Return (has, keeps, says, allows) of a slot in Latin letters; `place` first, last or mid."""
    if not text:
        return 0, 0, 0, 0
    bits = 0
    for letters, bit in (("a", A), ("iy", I), ("ouöüw", U)):
        if any(letter in text for letter in letters):
            bits |= bit
    open_to = ANY if "e" in text or "ı" in text else bits | SOME
    if place == "first":
        return SOME | (0 if text[0] in "yw" else bits), open_to, SOME, ANY
    if place == "last":
        silent = text == "e"
        return (0, ANY, 0, ANY) if silent else (SOME | bits & (I | U), open_to, SOME, ANY)
    said = (I if _LONG_I.search(text) else 0) | (U if _LONG_U.search(text) else 0)
    said |= A if "aa" in text else 0
    open_to |= I if "ei" in text or "ai" in text else 0
    return bits, open_to, said, open_to | (A if said else 0)
