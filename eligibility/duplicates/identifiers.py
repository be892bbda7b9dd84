"""Identifiers: the same number written in any way becomes the same text, and is judged.

Decides how far an identifier may be relied on, and never excludes anybody: a mistyped number is a
finding, and it must not separate its owner from themselves (only VALID identifiers of a kind in
`STRONG` may contradict). A placeholder ("yok", 11111111111) joins people who are strangers, so it
is never passed on for matching. Card numbers never enter the system: what looks like one is
dropped here, wherever it was written.

Turkish identity numbers have eleven digits and two check digits (python-stdnum, `tr.tckimlik`);
those of foreigners begin with 99 and follow the same algorithm. Numbers that begin with 98 were
given at the first registration of people under temporary protection and later exchanged for a 99
number (Directorate General of Migration Management, notice of 26 February 2016); no source says
they have check digits. Turkish IBANs: TR, 2 check digits, 5 of the bank, a reserve digit that is
0, 16 of the account (ECBS register; schwifty does not check the reserve digit).
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from ledgers.problems import Problem, Weight

ID_CHECKSUM = Problem(
    "id_checksum",
    "The check digits of the identity number {value} are wrong.",
    "Compare with the document and correct the number.",
)
ID_PLACEHOLDER = Problem(
    "id_placeholder",
    "{value} is a filler, not an identifier.",
    "Ask for the real one, or leave the field empty.",
)
ID_FORMAT = Problem(
    "id_format",
    "{value} does not have the form of this identifier.",
    "Compare with the document, its type included, and correct it.",
)
ID_KIND_CORRECTED = Problem(
    "id_kind_corrected",
    "The identity number {value} is of another type than was ticked.",
    "Nothing: a valid number that begins with 99 is a foreigner's, any other is a citizen's.",
    weight=Weight.NOTE,
)
ID_LEGACY = Problem(
    "id_legacy",
    "{value} is a first-registration number (98...).",
    "Ask for the foreigner identity number (99...) that replaced it.",
    weight=Weight.NOTE,
)
ID_KIND_UNKNOWN = Problem(
    "id_kind_unknown",
    "The number {value} came without a type this programme knows.",
    "Ask which document it stands on and set the type.",
)
PHONE_DOUBTFUL = Problem(
    "phone_doubtful",
    "{value} is no phone number of any numbering plan.",
    "Ask for the number again; one number per field.",
)
IBAN_DOUBTFUL = Problem(
    "iban_doubtful",
    "The IBAN {value} cannot be right.",
    "Compare with the bank's paper: TR and 24 digits, the eighth digit 0.",
)
IBAN_FOREIGN = Problem(
    "iban_foreign",
    "The IBAN {value} is of an account outside Türkiye.",
    "Ask for a Turkish account, or pay by card or voucher.",
)
CARD_REF_DOUBTFUL = Problem(
    "card_ref_doubtful",
    "{value} does not look like the serial on a card pack.",
    "Copy the serial from the sealed pack: two letters and eight digits, as in VC-00001234.",
)
CARD_NUMBER_REFUSED = Problem(
    "card_number_refused",
    "A value looks like a payment card number and was not taken.",
    "Write the serial on the card pack, never the number on the card.",
)


class Kind(StrEnum):
    """What an identifier is."""

    TR_NATIONAL_ID = "tr_national_id"  # T.C. kimlik no of a citizen
    TR_FOREIGNER_ID = "tr_foreigner_id"  # yabancı kimlik no, begins with 99
    TR_LEGACY_ID = "tr_legacy_id"  # first-registration number, begins with 98
    PASSPORT = "passport"
    OTHER_ID = "other_id"  # a number of a document nobody described
    PHONE = "phone"
    IBAN = "iban"
    CARD_REF = "card_ref"  # serial on the pack of a voucher or debit card


class Verdict(StrEnum):
    """How far an identifier may be relied on."""

    VALID = "valid"  # has its form, and its check digits where its kind has any
    DOUBTFUL = "doubtful"  # kept and flagged; never contradicts, never stops a payment line alone
    ABSENT = "absent"  # nothing was given


# Kinds that name one person: two valid ones of the same kind that differ are two people, and one
# that occurs in two households stops a payment line. Phones, accounts and cards are shared.
STRONG = frozenset({
    Kind.TR_NATIONAL_ID, Kind.TR_FOREIGNER_ID, Kind.TR_LEGACY_ID, Kind.PASSPORT,
})  # fmt: skip

CARD_REF_PATTERN = re.compile(r"([A-Z]{2})(\d{6,10})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identifier:
    """A judged identifier.

    `normalised` is what equal identifiers have in common; it is empty where the value must not be
    compared or kept (absent, placeholder, card number). `problem` is what to say about it, None
    where there is nothing to say.
    """

    kind: Kind
    normalised: str = field(repr=False)
    verdict: Verdict
    problem: Problem | None = None


_LOOSE = (
    "\u00ad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2066\u2067\u2068\u2069\ufeff"  # invisible
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f"
    "\u3000 \t\r\n\v\f"  # spaces
    "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u0640\ufe63\uff0d_./\\'\"()[]:*#\u060c\u066b,"
)
_DIGITS = {
    zero + digit: str(digit)
    for zero in (0x0660, 0x06F0, 0xFF10, 0x0966)  # Arabic, Persian, full-width, Devanagari
    for digit in range(10)
}
_TABLE = {**dict.fromkeys(map(ord, _LOOSE)), **_DIGITS}

_NOTHING = frozenset({
    "", "YOK", "YOKTUR", "NONE", "NO", "NA", "NAN", "NULL", "NIL", "HAYIR", "X", "XX", "XXX",
    "XXXX", "XXXXX", "BILINMIYOR", "BILMIYOR", "BİLİNMİYOR", "UNKNOWN", "NOTAVAILABLE",
    "NOTKNOWN", "TEST", "لايوجد", "لا", "غيرمعروف", "بدون",
})  # fmt: skip
# Passes the check digits, and is printed as the example in half the manuals.
_EXAMPLES = frozenset({"10000000146", "12345678901", "12345678910", "12345678950"})
_RUNS = ("01234567890123456789", "98765432109876543210")
_BODY_DIGITS = 9  # of an identity number; its check digits follow from them
_RUN_MIN = 5
_ZERO = ord("0")

_CARD_NUMBER = re.compile(r"(?<!\d)\d{13,19}(?!\d)", re.ASCII)
_DIALLED = re.compile(r"\+?\d+\Z", re.ASCII)
_TR_ID = re.compile(r"\d{11}\Z", re.ASCII)
_PASSPORT = re.compile(r"(?=[A-Z]*\d)[A-Z0-9]{5,15}\Z", re.ASCII)
_TR_IBAN = re.compile(r"TR\d{7}0\d{16}\Z", re.ASCII)
_TR_WITHOUT_COUNTRY = re.compile(r"\d{24}\Z", re.ASCII)
_TR_ACCOUNT_FROM = 10
_TR_AS_DIGITS = "2927"  # T is 29 and R is 27 in the check of ISO 13616
# The mobile prefixes whose ten-digit numbers are all valid in the numbering plan of Türkiye.
_TR_MOBILE = re.compile(
    r"(?:\+?90|0090|0)?(5(?:[03-5]\d|1[06]|24|6[24]|7[245]|9[46])\d{7})\Z", re.ASCII
)


def compact(raw: str) -> str:
    """Return `raw` in capitals with plain digits, without spaces, dashes and invisible signs.

    >>> compact(" ٩٩١-234 "), compact("vc\u200b 00001234")
    ('991234', 'VC00001234')
    """
    if raw.isascii() and raw.isalnum():
        return raw.upper()
    return raw.translate(_TABLE).upper()


def looks_like_card_number(text: str) -> bool:
    """Return whether `text` holds 13 to 19 digits in a row that pass the Luhn check.

    >>> looks_like_card_number("4111 1111 1111 1111"), looks_like_card_number("00001234")
    (True, False)
    """
    return any(_luhn(run) for run in _CARD_NUMBER.findall(compact(text)))


def judge(kind: str, raw: str) -> Identifier:
    """Return the identifier in `raw`, normalised and judged; never raises.

    `kind` is a value of `Kind`, or `voucher_card_ref`/`debit_card_ref` for a card reference;
    anything else (`none`, empty) is a number of an unknown document. The kind of the answer says
    what the number turned out to be: a 98 number is a legacy one whatever was ticked.
    """
    known = _KINDS.get(kind, Kind.OTHER_ID)
    text = compact(raw)
    if text in _NOTHING:
        return Identifier(known, "", Verdict.ABSENT)
    return _JUDGES[known](known, text)


def _doubtful(kind: Kind, text: str, problem: Problem) -> Identifier:
    return Identifier(kind, text, Verdict.DOUBTFUL, problem)


def _luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def _is_filler(text: str) -> bool:
    """Return whether `text` is one sign repeated, a run (12345...) or a printed example."""
    return (
        text.startswith(text[0] * min(len(text), _BODY_DIGITS))
        or text in _EXAMPLES
        or (len(text) >= _RUN_MIN and (text in _RUNS[0] or text in _RUNS[1]))
    )


def _odd(kind: Kind, text: str, problem: Problem) -> Identifier:
    """Return the judgement of a text without the form of its kind: at worst a card number."""
    if looks_like_card_number(text):
        return _doubtful(kind, "", CARD_NUMBER_REFUSED)
    if _is_filler(text):
        return _doubtful(kind, "", ID_PLACEHOLDER)
    return _doubtful(kind, text, problem)


def _judge_tr_id(kind: Kind, text: str) -> Identifier:
    if not _TR_ID.match(text):
        return _odd(kind, text, ID_FORMAT)
    if _is_filler(text):
        return _doubtful(kind, "", ID_PLACEHOLDER)
    if text.startswith("98"):
        return Identifier(Kind.TR_LEGACY_ID, text, Verdict.VALID, ID_LEGACY)
    if kind is Kind.TR_LEGACY_ID:
        kind = Kind.TR_FOREIGNER_ID
    if text[0] == "0" or not _check_digits_fit(text.encode()):
        return _doubtful(kind, text, ID_CHECKSUM)
    real = Kind.TR_FOREIGNER_ID if text.startswith("99") else Kind.TR_NATIONAL_ID
    return Identifier(real, text, Verdict.VALID, None if real is kind else ID_KIND_CORRECTED)


def _check_digits_fit(signs: bytes) -> bool:
    """Return whether the last two of eleven digits follow from the others.

    Written out because a registry asks it a million times; a test holds it against python-stdnum.
    """
    odd = signs[0] + signs[2] + signs[4] + signs[6] + signs[8] - 5 * _ZERO
    even = signs[1] + signs[3] + signs[5] + signs[7] - 4 * _ZERO
    tenth = (7 * odd - even) % 10
    return signs[9] == _ZERO + tenth and signs[10] == _ZERO + (odd + even + tenth) % 10


def _judge_passport(kind: Kind, text: str) -> Identifier:
    judged = _odd(kind, text, ID_FORMAT)
    if judged.problem is ID_FORMAT and _PASSPORT.match(text):
        return Identifier(kind, text, Verdict.VALID)
    return judged


def _judge_other(kind: Kind, text: str) -> Identifier:
    return _odd(kind, text, ID_KIND_UNKNOWN)


def _judge_phone(kind: Kind, text: str) -> Identifier:
    mobile = _TR_MOBILE.match(text)
    if mobile:
        national = mobile.group(1)
        if len(set(national[1:])) > 1:
            return Identifier(kind, f"+90{national}", Verdict.VALID)
        return _doubtful(kind, "", ID_PLACEHOLDER)
    if len(set(text)) == 1:
        return _doubtful(kind, "", ID_PLACEHOLDER)
    return _judge_any_phone(kind, text)


def _judge_any_phone(kind: Kind, text: str) -> Identifier:
    if not _DIALLED.match(text):
        return _odd(kind, text, PHONE_DOUBTFUL)
    import phonenumbers

    try:
        number = phonenumbers.parse(text, "TR")
    except phonenumbers.NumberParseException:
        return _odd(kind, text, PHONE_DOUBTFUL)
    if phonenumbers.is_valid_number(number):
        e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        return Identifier(kind, e164, Verdict.VALID)
    return _odd(kind, text, PHONE_DOUBTFUL)


def _judge_iban(kind: Kind, text: str) -> Identifier:
    if _TR_WITHOUT_COUNTRY.match(text):
        text = f"TR{text}"
    if text.startswith("TR"):
        return _judge_tr_iban(kind, text)
    return _odd(kind, text, IBAN_FOREIGN if _is_foreign_iban(text) else IBAN_DOUBTFUL)


def _judge_tr_iban(kind: Kind, text: str) -> Identifier:
    if not text[_TR_ACCOUNT_FROM:].strip("0"):
        return _doubtful(kind, "", IBAN_DOUBTFUL)
    if not _TR_IBAN.match(text) or int(text[4:] + _TR_AS_DIGITS + text[2:4]) % 97 != 1:
        return _doubtful(kind, text, IBAN_DOUBTFUL)
    return Identifier(kind, text, Verdict.VALID)


def _is_foreign_iban(text: str) -> bool:
    import schwifty

    return bool(schwifty.IBAN(text, allow_invalid=True).is_valid)


def _judge_card_ref(kind: Kind, text: str) -> Identifier:
    if looks_like_card_number(text):
        return _doubtful(kind, "", CARD_NUMBER_REFUSED)
    serial = CARD_REF_PATTERN.match(text)
    if not serial:
        return _doubtful(kind, text, CARD_REF_DOUBTFUL)
    letters, digits = serial.groups()
    if not digits.strip("0"):
        return _doubtful(kind, "", ID_PLACEHOLDER)
    return Identifier(kind, f"{letters}-{digits}", Verdict.VALID)


_KINDS = {
    **{kind.value: kind for kind in Kind},
    "voucher_card_ref": Kind.CARD_REF,
    "debit_card_ref": Kind.CARD_REF,
}
_JUDGES = {
    Kind.TR_NATIONAL_ID: _judge_tr_id,
    Kind.TR_FOREIGNER_ID: _judge_tr_id,
    Kind.TR_LEGACY_ID: _judge_tr_id,
    Kind.PASSPORT: _judge_passport,
    Kind.OTHER_ID: _judge_other,
    Kind.PHONE: _judge_phone,
    Kind.IBAN: _judge_iban,
    Kind.CARD_REF: _judge_card_ref,
}
