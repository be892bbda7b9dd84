"""Identifiers: a prefix that says what it is, and a ULID that sorts by time.

`hh_01j…` is a household, `pgm_` a programme, `cyc_` a cycle, `ent_` an entitlement, `plan_` a
payment plan, `pi_` an instruction, `je_` an entry, `acc_` an account. All lower case, so that they
can be read out, copied and compared as text.

Source: ULID specification (48 bits of milliseconds, 80 bits of randomness, Crockford's base 32).
"""

import re
import secrets
from collections.abc import Callable
from datetime import datetime

from ulid import ULID

from ledgers.problems import Answer, Problem

IDENTIFIER_UNREADABLE = Problem(
    "identifier_unreadable",
    "{identifier} is not the identifier of a {prefix}_….",
    "Copy the whole identifier: {prefix}_ and 26 letters and digits.",
    Answer.USAGE,
)

SHAPE = re.compile(r"([a-z]{2,8})_([0-7][0-9a-hjkmnp-tv-z]{25})")
RANDOM_BYTES = 10
SHOWN_CHARACTERS_MAX = 40


def new_id(
    prefix: str, now: datetime, randomness: Callable[[int], bytes] = secrets.token_bytes
) -> str:
    """Return a new identifier, such as `plan_01k…`.

    `now` is an aware datetime, kept to the millisecond; `randomness(n)` gives n bytes. The same
    moment and the same randomness give the same identifier.

    >>> from datetime import UTC
    >>> new_id("plan", datetime(2026, 3, 5, 9, tzinfo=UTC), bytes)
    'plan_01kjykkbm00000000000000000'
    """
    millisecond = int(now.timestamp() * 1000)
    raw = millisecond.to_bytes(6) + randomness(RANDOM_BYTES)
    return f"{prefix}_{str(ULID.from_bytes(raw)).lower()}"


def parsed_id(text: str, prefix: str) -> str:
    """Return `text` as an identifier of `prefix`: spaces around and capitals are forgiven.

    Raises the refusal `identifier_unreadable`.
    """
    found = SHAPE.fullmatch(text.strip().lower())
    if found is None or found[1] != prefix:
        raise IDENTIFIER_UNREADABLE.refusal(identifier=text[:SHOWN_CHARACTERS_MAX], prefix=prefix)
    return found[0]
