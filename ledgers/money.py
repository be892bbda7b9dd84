"""Amounts of money: integers of a currency's smallest unit, read and written exactly.

An amount is an `int` of minor units (kuruş of TRY: 1250.50 TRY is 125050). How many decimals a
currency has is ISO 4217's to say. Reading refuses rather than rounds: `1.250` is one thousand two
hundred and fifty in Turkey and one and a quarter elsewhere, so three decimals of TRY are refused
even where the last one is zero. Rounding happens only where a rule asks for it by name, half away
from zero to a unit; dividing keeps the total by the largest remainder.

>>> parse_amount("1250.5", "TRY"), format_amount(125050, "TRY")
(125050, '1250.50')
>>> grouped(123456750, "TRY"), with_amounts({"short_minor": 150, "currency": "TRY"})["short"]
('1,234,567.50', '1.50 TRY')
>>> round_to(Decimal("12350"), 100), split(100, [1, 1, 1])
(12400, [34, 33, 33])
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from iso4217 import Currency

from ledgers.problems import Problem, Refusal

CURRENCY_UNKNOWN = Problem(
    "currency_unknown",
    "{currency} is not a currency with a smallest unit in ISO 4217.",
    "Use the three-letter code, such as TRY.",
)
AMOUNT_UNREADABLE = Problem(
    "amount_unreadable",
    "{value} is not an amount of {currency}.",
    "Write digits with a point before the decimals and nothing between thousands: 1250.50.",
)
AMOUNT_TOO_PRECISE = Problem(
    "amount_too_precise",
    "{value} has more decimals than {currency} has ({decimals}).",
    "Write no more decimals than the currency has; the amount is not rounded for you.",
)
AMOUNT_NEGATIVE = Problem(
    "amount_negative",
    "{value} is below zero.",
    "Write an amount of zero or more.",
)
AMOUNT_TOO_LARGE = Problem(
    "amount_too_large",
    "{value} is more than the books can hold.",
    "Check the amount for a slipped digit.",
)
WEIGHTS_UNUSABLE = Problem(
    "weights_unusable",
    "A total cannot be divided: no weight is above zero, or one is below.",
    "Give weights of zero or more with at least one above zero.",
)

AMOUNT_MAX = 2**63 - 1
MINOR = "_minor"  # how the names of amounts in minor units end
_AMOUNT = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]{1,19})(?:\.(?P<decimals>[0-9]+))?", re.ASCII)


def exponent(currency: str) -> int:
    """Return how many decimals `currency` (ISO 4217 code) has. Raises `currency_unknown`."""
    try:
        decimals = Currency(currency).exponent
    except ValueError:
        decimals = None
    if decimals is None:
        raise CURRENCY_UNKNOWN.refusal(currency=currency)
    return int(decimals)


def parse_amount(text: str, currency: str, *, negative: bool = False) -> int:
    """Return the minor units that `text` says, exactly.

    Arguments: `text` such as `1250.50`; `negative` says whether amounts below zero are taken.
    Raises `amount_unreadable`, `amount_too_precise`, `amount_negative`, `amount_too_large`,
    `currency_unknown`.
    """
    places = exponent(currency)
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise AMOUNT_UNREADABLE.refusal(value=text, currency=currency)
    decimals = match["decimals"] or ""
    if len(decimals) > places:
        raise AMOUNT_TOO_PRECISE.refusal(value=text, currency=currency, decimals=places)
    minor = int(match["whole"] + decimals.ljust(places, "0"))
    if minor > AMOUNT_MAX:
        raise AMOUNT_TOO_LARGE.refusal(value=text)
    if match["sign"] and minor and not negative:
        raise AMOUNT_NEGATIVE.refusal(value=text)
    return -minor if match["sign"] else minor


def format_amount(minor: int, currency: str) -> str:
    """Return `minor` units as a decimal number; `parse_amount` reads it back."""
    places = exponent(currency)
    digits = str(abs(minor)).rjust(places + 1, "0")
    sign = "-" if minor < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def grouped(minor: int, currency: str) -> str:
    """Return an amount for people to read, with thousands apart: 1,234,567.50."""
    whole, point, decimals = format_amount(abs(minor), currency).partition(".")
    return f"{'-' if minor < 0 else ''}{int(whole):,}{point}{decimals}"


def with_amounts(facts: Mapping[str, object]) -> dict[str, object]:
    """Return the facts of a problem, and beside each amount in minor units one for people to read.

    `short_minor` of 150 gives `short`: 1.50 TRY, where the fact `currency` says TRY; where no
    currency is known, it says that it counts minor units. A fact that is there is never replaced.
    """
    currency = facts.get("currency")
    told = {
        name.removesuffix(MINOR): _told(minor, currency if isinstance(currency, str) else "")
        for name, minor in facts.items()
        if name.endswith(MINOR) and isinstance(minor, int)
    }
    return {**told, **facts}


def _told(minor: int, currency: str) -> str:
    try:
        return f"{grouped(minor, currency)} {currency}"
    except Refusal:
        return f"{minor:,} minor units"


def round_to(minor: int | Decimal | Fraction, unit_minor: int = 1) -> int:
    """Return `minor` units rounded half away from zero to a multiple of `unit_minor` (above 0)."""
    units = abs(Fraction(minor)) / unit_minor
    rounded = int(units + Fraction(1, 2)) * unit_minor
    return -rounded if minor < 0 else rounded


def split(total_minor: int, weights: Sequence[int | Decimal | Fraction]) -> list[int]:
    """Divide `total_minor` in proportion to `weights`; the parts sum to the total.

    Each part is its exact share cut to whole minor units; what is left goes one unit each to the
    largest remainders, ties to the earlier position. Raises `weights_unusable`.
    """
    shares = [Fraction(weight) for weight in weights]
    whole = sum(shares, Fraction())
    if whole <= 0 or min(shares) < 0:
        raise WEIGHTS_UNUSABLE.refusal()
    exact = [share / whole * abs(total_minor) for share in shares]
    parts = [int(part) for part in exact]
    left = abs(total_minor) - sum(parts)
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for position in by_remainder[:left]:
        parts[position] += 1
    return [-part for part in parts] if total_minor < 0 else parts
