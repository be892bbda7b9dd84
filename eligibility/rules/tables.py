"""A table of a pack as a term: whole numbers that every engine looks up alike.

Amounts are in minor units, ratios in thousandths; what is no amount is reported with all other
amounts of the pack and stands as 0 here.
"""

from eligibility.entitlements import exact_problem
from eligibility.rules.pack import Table, thousandths
from eligibility.rules.terms import Const, Kind, Lookup, Term
from ledgers.money import parse_amount


def lookup(table: Table, of: Term, currency: str) -> Lookup:
    """Return `table` as a term that looks `of` up; `currency` is that of its amounts."""
    kind = Kind.MONEY if table.type == "money" else Kind.INT
    rows = sorted(table.rows.items())
    values = tuple(Const(kind, _cell(table, value, currency)) for _, value in rows)
    return Lookup(kind, of, tuple(start for start, _ in rows), values)


def _cell(table: Table, value: object, currency: str) -> int:
    if table.type == "ratio":
        return thousandths(value)
    if table.type == "money":
        inexact = exact_problem(value, currency) is not None
        return 0 if inexact else parse_amount(str(value), currency)
    return value if isinstance(value, int) else 0
