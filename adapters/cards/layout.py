"""The batch-file format agreed with the card processor: every field, total and code.

No public Turkish card file specification exists, so this page is the agreement. A file is UTF-8
text, one record a line ended by a line feed, fields separated by `|` and never quoted: no field
may hold `|`. Every file is one head, its details numbered from 1, and one trailer, nothing after.

Head (all kinds)
    H | CVA-CARD-1 | kind | file id | programme | created | currency | exponent | sequence | about
    created     YYYY-MM-DDTHH:MM:SSZ
    exponent    decimals of the currency's minor unit; every amount is in minor units, digits only
    sequence    1 from the agency (an order is never split); the processor numbers its own files
    about       empty in LOAD and INQUIRY, the answered file id in RESULT, ANSWER and REJECT,
                the business date in SETTLEMENT and REDEMPTION
Trailer (all kinds)
    T | number of details | sum of their amounts | hash total, ten digits
    The hash total is the sum over the details of CRC-32 (ISO-HDLC, as in zlib and PKZIP) of the
    ASCII text `reference|amount`, modulo 10^10; a detail without an amount counts 0. The order of
    the lines does not change it.

From the agency
    LOAD        D | line | our reference | card reference | LOAD | amount | effective date
    INQUIRY     D | line | our reference          (of any load file; the file id is its own)
From the processor
    RESULT      D | line | our reference | result code | loaded amount | provider ref | timestamp
    ANSWER      D | line | our reference | FOUND or NOT_FOUND | result code | amount
                  | authoritative Y or N | provider ref | timestamp
    SETTLEMENT  O | opening float, then D | line | our reference | LOAD, FEE or FUNDING | amount
                  | provider ref, then C | closing float
                opening + funding - loads - fees = closing; a fee or funding may have no reference
    REDEMPTION  D | line | our reference | PURCHASE, CASH or REFUND | amount | transaction id
                  | vendor | day of use
    REJECT      E | reject code | text           (the whole file named in `about`; no details)

A REDEMPTION names the load that the value was drawn from, the oldest of the card first; what is
drawn from two loads is two lines. Its transaction id holds a letter and is never given twice; the
vendor is the processor's code of it, and may be empty for CASH.

A load is known for ever by our reference: sent again under another file id it is answered again
and not executed again. A question is answered after every load file that reached the processor
before it. NOT_FOUND is authoritative when the processor knows the programme: then no load file it
has holds the load. A file still on its way can, so no file may be sent after such an answer.
"""

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType

from adapters.port import Outcome
from ledgers.problems import Problem, Weight

VERSION = "CVA-CARD-1"
HASH_MODULUS = 10**10

FILE_ID = re.compile(r"[A-Z0-9]{1,35}")  # ours and the processor's; also our references
PROGRAMME = re.compile(r"[A-Za-z0-9_-]{1,35}")
CARD_REFERENCE = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Never digits alone, so never the number of a card.
TRANSACTION_ID = re.compile(r"(?=[0-9]*[A-Z])[A-Z0-9]{1,35}")
AMOUNT = re.compile(r"0|[1-9][0-9]{0,14}")

_SEPARATORS = re.compile(r"[ ._-]")
_CARD_NUMBER_LENGTHS = range(13, 20)

PROGRAMME_DIFFERS = Problem(
    "card_programme_differs",
    "The file is for the programme {stated}, and this processor account is that of {expected}.",
    "Send or read it through the account of its own programme.",
    weight=Weight.REFUSED,
)
CURRENCY_DIFFERS = Problem(
    "card_currency_differs",
    "The file counts in {stated}, and this processor account in {expected} (currency, decimals).",
    "Correct the currency of the account or ask the processor for the file again.",
    weight=Weight.REFUSED,
)
REF_REPEATED = Problem(
    "card_ref_repeated",
    "The instruction {value} is in the file more than once.",
    "Before sending: remove one of the two. In a provider's file: ask the provider which stands.",
    weight=Weight.REFUSED,
)
CARD_NUMBER = Problem(
    "card_number_found",
    "The value {value} looks like a card number, and card numbers never enter here.",
    "Use the reference of the card pack or the processor's token, and delete the number's source.",
    weight=Weight.REFUSED,
)


@dataclass(frozen=True, slots=True)
class Code:
    """One code of the processor: what it means, and what we then know."""

    meaning: str
    outcome: Outcome


# Per load, in RESULT and ANSWER. Any other code is UNKNOWN, with a finding.
RESULT_CODES: Mapping[str, Code] = MappingProxyType(
    {
        "00": Code("loaded", Outcome.EXECUTED),
        "51": Code("card not activated", Outcome.REJECTED),
        "52": Code("unknown card", Outcome.REJECTED),
        "61": Code("partial load: the loaded amount is smaller", Outcome.EXECUTED),
        "71": Code("float exhausted", Outcome.REJECTED),
        "91": Code("processor time-out: may or may not be loaded", Outcome.UNKNOWN),
        "94": Code("reference used before with another card or amount", Outcome.UNKNOWN),
    }
)

# Per file, in REJECT. F03 proves that an earlier file arrived, so nothing is known to have failed.
REJECT_CODES: Mapping[str, Code] = MappingProxyType(
    {
        "F01": Code("file cannot be read", Outcome.REJECTED),
        "F02": Code("control totals disagree", Outcome.REJECTED),
        "F03": Code("file id used before", Outcome.UNKNOWN),
        "F04": Code("currency differs from the programme's", Outcome.REJECTED),
        "F05": Code("a reference is twice in the file", Outcome.REJECTED),
    }
)


def line_hash(ref: str, amount_minor: int) -> int:
    """Return what one detail adds to the hash total (before the modulus).

    >>> line_hash("A", 5) == zlib.crc32(b"A|5")
    True
    """
    return zlib.crc32(f"{ref}|{amount_minor}".encode())


def trailer(count: int, sum_minor: int, hash_sum: int) -> str:
    """Return the trailer record for the totals of a file's details.

    >>> trailer(2, 150, 12_345_678_901)
    'T|2|150|2345678901'
    """
    return f"T|{count}|{sum_minor}|{hash_sum % HASH_MODULUS:010d}"


def timestamp(moment: datetime) -> str:
    """Return an aware `moment` as the format writes it, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_card_number(value: str) -> bool:
    """Whether `value` is 13 to 19 digits with a valid check digit (ISO/IEC 7812, Luhn).

    Spaces, dots, hyphens and underscores between the digits hide nothing.

    >>> is_card_number("4111 1111 1111 1111"), is_card_number("VC-00001234")
    (True, False)
    """
    digits = _SEPARATORS.sub("", value)
    if len(digits) not in _CARD_NUMBER_LENGTHS or not (digits.isascii() and digits.isdigit()):
        return False
    total = 0
    for position, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + position % 2)
        total += number - 9 if number > 9 else number  # noqa: PLR2004 - the digit sum of 10 to 18
    return total % 10 == 0
