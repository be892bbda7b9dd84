"""Amounts on the wire: a decimal text beside a currency, an integer of minor units in here.

The exponent of a currency is ISO 4217's. A text that has more decimals than its currency knows is
not an amount of that currency: it is refused, never rounded. Trailing zeros carry no value
(`8.850` is 8.85), and real banks send them.
"""

import re

from iso4217 import Currency

_DECIMAL = re.compile(r"\+?(?P<whole>[0-9]{1,18})(?:\.(?P<fraction>[0-9]{0,18}))?")


def exponent_of(currency: str) -> int | None:
    """Return the decimals of an ISO 4217 `currency`, None where it has none or is unknown."""
    try:
        exponent = Currency(currency).exponent
    except ValueError:
        return None
    return None if exponent is None else int(exponent)


def to_text(minor: int, exponent: int) -> str:
    """Write `minor` units (0 or more) as a decimal with `exponent` decimals.

    >>> to_text(105, 2), to_text(7, 0), to_text(7, 3)
    ('1.05', '7', '0.007')
    """
    digits = str(minor).rjust(exponent + 1, "0")
    return f"{digits[:-exponent]}.{digits[-exponent:]}" if exponent else digits


def to_minor(text: str | None, currency: str) -> int | None:
    """Read a decimal `text` as minor units of `currency`; None where it is not such an amount.

    >>> to_minor("8.850", "EUR"), to_minor("8.855", "EUR"), to_minor("1e3", "EUR")
    (885, None, None)
    """
    exponent = exponent_of(currency)
    match = _DECIMAL.fullmatch((text or "").strip())
    if exponent is None or match is None:
        return None
    fraction = (match["fraction"] or "").rstrip("0")
    if len(fraction) > exponent:
        return None
    return int(match["whole"] + fraction.ljust(exponent, "0"))
