"""Fields of a CSV file as values: what is a number, a truth, a day, and what is none of them.

Whole columns at a time. An empty field is null, unknown; a field that cannot be read is null too,
and reported by whoever asked. Nothing is guessed: 1,5 is no number and 31 February is no day.
"""

import re
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from eligibility.rules.terms import Kind
from ledgers.problems import masked

Column: TypeAlias = "pa.Array[Any]"

SHOWN_DIGITS_MAX = 8
SHOWN = re.compile(r"[0-9.,:/+-]{1,12}|yes|no|na|n/a|none|null|unknown", re.IGNORECASE)
WHOLE = r"^-?[0-9]{1,18}$"
# A number of people, or of whatever the engine keeps in 32 bits.
SHORT = r"^[0-9]{1,9}$"
SHORT_COLUMNS = frozenset({"declared_size", "member_no", "disability_percent"})
DAY = r"^(1[89]|2[01])[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
TRUTHS = {"true": True, "false": False, "1": True, "0": False}
PRECISION = "birth_date_precision"
PRECISIONS = ("exact", "year")
EXPECTED = {
    Kind.INT: "a whole number",
    Kind.MONEY: "an amount in minor units, a whole number",
    Kind.BOOL: "true or false",
    Kind.DATE: "a day as 2026-01-31",
    Kind.TEXT: " or ".join(PRECISIONS),
}


def value_of(name: str, kind: Kind, text: Column) -> Column:
    """Return the values of the column `name`, null where a field is empty or is no value."""
    if kind is Kind.TEXT:
        if name != PRECISION:
            return text
        return _where(pc.is_in(text, pa.array(PRECISIONS)), text)
    trimmed = pc.utf8_trim_whitespace(text)
    if kind is Kind.BOOL:
        places = pc.index_in(pc.utf8_lower(trimmed), pa.array(list(TRUTHS)))
        return pa.array(list(TRUTHS.values())).take(places)
    if kind is Kind.DATE:
        return _days(trimmed)
    pattern = SHORT if name in SHORT_COLUMNS else WHOLE
    return _where(pc.match_substring_regex(trimmed, pattern), trimmed).cast(pa.int64())


def _where(condition: Column, values: Column) -> Column:
    kept: Column = pc.if_else(condition, values, pa.scalar(None, values.type))
    return kept


def _days(text: Column) -> Column:
    shaped = _where(pc.match_substring_regex(text, DAY), text)
    moments = pc.strptime(shaped, format="%Y-%m-%d", unit="s", error_is_null=True)
    days = moments.cast(pa.date32())
    # 31 February must not become 3 March.
    return _where(pc.equal(days.cast(pa.string()), shaped), days)


def indices_of(condition: Column) -> list[int]:
    """Return where a condition holds."""
    return [int(at) for at in pc.indices_nonzero(condition).to_numpy()]


def shown(value: str) -> str:
    """Return a value as it may stand in a message: a short figure as it is, anything else masked.

    >>> shown("31.02.2020"), shown("Amal Yusuf"), shown("99123456782")
    ('31.02.2020', 'Am…uf (10)', '99…82 (11)')
    """
    short = SHOWN.fullmatch(value) and sum(map(str.isdigit, value)) <= SHOWN_DIGITS_MAX
    return value if short else masked(value)
