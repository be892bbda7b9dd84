"""All overlaps of many records in one pass of columns: DuckDB, no row by row.

The steps are named tables in `judging.sql`, each small enough to read: recipients that have people
in common, pairs of live records that overlap in need and in time, the people they have in common
*on those days*, what a household already has in each month, the verdict of the policy, and what
people did about it.

What yields: a record that is not paid yields to one that is; then to an agency of the policy's
precedence; then what is only planned to what is not, dated or undated; then to the earlier
commitment. Where none of these tells, it is a tie.

A ceiling sums, in every calendar month, what the records before the second one give of its needs;
an amount over several months is spread evenly over them. Only pairs of certain people lower what is
paid; what would not fit together with a possible match is held for people to look at.

Vocabulary: a *recipient* is a unit with its id; a *share* is the part of an amount in one month;
*sure* counts certain links, *may be* those and the possible ones; the verdict is *clear* before the
acts of people and *standing* after them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from importlib.resources import files
from itertools import permutations, product

import duckdb
import pyarrow as pa

from eligibility.duplicates.overlap.policy import Complement, Policy, minor_of
from eligibility.duplicates.overlap.records import (
    COUNT,
    DAY,
    MINOR,
    OVERLAPS,
    TEXT,
    TRUTH,
    Lists,
    Reason,
    Verdict,
)
from eligibility.entitlements import Amount
from ledgers.money import exponent
from ledgers.problems import Problem

OVERLAP_NEED_UNKNOWN = Problem(
    "overlap_need_unknown",
    "The policy {policy} says nothing of these needs of the records: {needs}.",
    "Map them to needs of the policy when the list is imported, or add them to its matrix.",
)
OVERLAP_RECORD_TWICE = Problem(
    "overlap_record_twice",
    "{records} ids are each used for more than one record.",
    "Give every record an id of its own; put the agency in front where two lists count alike.",
)

NEVER = date(9999, 12, 31)
RATE_PLACES = 9
VERDICT_OF: Mapping[Reason, Verdict] = {
    Reason.SAME_NEED: Verdict.STOP,
    Reason.PROGRAMMES_EXCLUSIVE: Verdict.STOP,
    Reason.CEILING_FULL: Verdict.STOP,
    Reason.NEED_CONTAINED: Verdict.HOLD,
    Reason.MAY_BE_THE_SAME: Verdict.HOLD,
    Reason.MEMBER_SHARED: Verdict.HOLD,
    Reason.AMOUNT_UNKNOWN: Verdict.HOLD,
    Reason.SIZE_UNKNOWN: Verdict.HOLD,
    Reason.FAILED_MAY_BE_REPAID: Verdict.HOLD,
    Reason.UNDER_APPEAL: Verdict.HOLD,
    Reason.CEILING_NEARLY_FULL: Verdict.CAP,
    Reason.BOTH_PAID: Verdict.REPORT,
    Reason.TIE: Verdict.REPORT,
    Reason.INSTRUMENT_SHARED: Verdict.FLAG,
    Reason.BELOW_CEILING: Verdict.CLEAR,
    Reason.REISSUED: Verdict.CLEAR,
    Reason.REFERRED: Verdict.CLEAR,
    Reason.COMPLEMENT_AGREED: Verdict.CLEAR,
    Reason.OVERRIDDEN: Verdict.CLEAR,
    Reason.APPEAL_UPHELD: Verdict.CLEAR,
}

Rows = Iterable[tuple[object, ...]]
Columns = dict[str, pa.DataType]

_SETTING: Columns = {
    "policy_hash": TEXT, "shared_percent_min": COUNT, "shared_people_min": COUNT,
    "referral_days": COUNT, "override_people": COUNT, "appeal_days": COUNT,
    "appeal_people": COUNT,
}  # fmt: skip
_NEED_PAIR: Columns = {
    "left_need": TEXT, "right_need": TEXT, "relation": TEXT, "ceiling": COUNT,
}  # fmt: skip
_NEED_WINDOW: Columns = {"need": TEXT, "window_days": COUNT, "confidential": TRUTH}
_EXCLUSIVE: Columns = {"left_programme": TEXT, "right_programme": TEXT}
_COMPLEMENT: Columns = {
    **_EXCLUSIVE, "left_need": TEXT, "right_need": TEXT, "first_day": DAY, "last_day": DAY,
}  # fmt: skip
_CEILING_VALUE: Columns = {
    "ceiling": COUNT, "currency": TEXT, "people_max": COUNT, "way": TEXT, "first_day": DAY,
    "next_day": DAY, "minor": MINOR,
}  # fmt: skip
_RATE: Columns = {
    "ceiling": COUNT, "currency": TEXT, "first_day": DAY, "next_day": DAY,
    "rate": pa.decimal128(18, RATE_PLACES),
}  # fmt: skip


def judged(connection: duckdb.DuckDBPyConnection, lists: Lists, policy: Policy) -> pa.Table:
    """Return every overlap of the records, with its verdict: a table of `OVERLAPS`.

    `connection` is a DuckDB of the caller's; nothing is left in it. The rows are sorted by
    `first_id` and `second_id`; two records have one at most. Records that are cancelled, or whose
    needs or days do not overlap, have none. A record whose last day is before its first counts
    for its first day.

    Raises `overlap_need_unknown`, `overlap_record_twice`.
    """
    with connection.cursor() as cursor:
        for name, table in _inputs(lists, policy):
            cursor.register(name, table)
        _check(cursor, policy)
        for statement in _statements():
            cursor.execute(statement)
        found: pa.Table = cursor.sql(_ANSWER).to_arrow_table()
    return found.cast(OVERLAPS)


_ANSWER = """
SELECT
    s.first_id, s.second_id, s.basis, s.strength,
    CASE WHEN one_recipient THEN greatest(fewer, 1)
         WHEN strength = 'confirmed' THEN greatest(sure, 1) ELSE may_be END AS shared,
    CASE WHEN first_unit = 'person' OR second_unit = 'person' THEN 1
         ELSE greatest(fewer, 1) END AS size,
    relation, overlap_day AS first_day,
    CASE WHEN overlap_end < DATE '9999-12-31' THEN overlap_end - 1 END AS last_day,
    verdict, reason, payable_minor,
    verdict = 'hold' AND strength = 'possible' AS lapses, evidence
FROM standing AS s
ORDER BY first_id, second_id
"""


def _inputs(lists: Lists, policy: Policy) -> Iterator[tuple[str, pa.Table]]:
    for name in ("assistance", "roster", "person_links", "household_links", "acts"):
        yield name, getattr(lists, name)
    yield "need_pair", _table(_NEED_PAIR, _need_pairs(policy))
    yield "need_window", _table(_NEED_WINDOW, _windows(policy))
    yield "exclusive", _table(_EXCLUSIVE, _exclusive(policy))
    yield "complement", _table(_COMPLEMENT, _complements(policy))
    places = ((agency, place) for place, agency in enumerate(policy.precedence))
    yield "precedence", _table({"agency": TEXT, "place": COUNT}, places)
    yield "ceiling_value", _table(_CEILING_VALUE, _ceilings(policy))
    yield "rate", _table(_RATE, _rates(policy))
    yield "override_reason", _table({"reason": TEXT}, ((r,) for r in policy.override.reasons))
    yield "reason_verdict", _table({"reason": TEXT, "verdict": TEXT}, VERDICT_OF.items())
    yield "setting", _table(_SETTING, [(
        policy.policy_hash, policy.households.shared_percent_min,
        policy.households.shared_people_min, policy.referral.days, policy.override.people,
        policy.appeal.days, policy.appeal.people,
    )])  # fmt: skip


def _table(columns: Columns, rows: Rows) -> pa.Table:
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pa.array(column, kind) for column, kind in zip(values, columns.values(), strict=True)]
    return pa.Table.from_arrays(arrays, names=list(columns))


def _need_pairs(policy: Policy) -> Rows:
    for left, right in product(policy.needs, repeat=2):
        ceiling = policy.ceiling_of(left, right)
        yield left, right, policy.relation(left, right).value, ceiling


def _windows(policy: Policy) -> Rows:
    for need in policy.needs:
        yield need, policy.window_days(need), need in policy.confidential_needs


def _exclusive(policy: Policy) -> Rows:
    pairs = (permutations(sorted(set(e.programmes)), 2) for e in policy.exclusive)
    return sorted({pair for some in pairs for pair in some})


def _complements(policy: Policy) -> Rows:
    for agreed in policy.complements:
        for left, right in permutations(sorted(set(agreed.programmes)), 2):
            for left_need, right_need in _needs_of(agreed):
                yield (
                    left, right, left_need, right_need, agreed.first_day, agreed.last_day or NEVER,
                )  # fmt: skip


def _needs_of(agreed: Complement) -> Iterable[tuple[str | None, str | None]]:
    if not agreed.needs:
        return [(None, None)]
    return [(left, right) for left, right in product(agreed.needs, repeat=2)]


def _ceilings(policy: Policy) -> Rows:
    for at, ceiling in enumerate(policy.ceilings):
        for way, values in (
            ("per_household", ceiling.per_household), ("per_person", ceiling.per_person),
        ):  # fmt: skip
            for first, until, amount in _spans(values):
                yield (
                    at, ceiling.currency, ceiling.people_max, way, first, until,
                    minor_of(amount, ceiling.currency),
                )  # fmt: skip


def _rates(policy: Policy) -> Rows:
    """Yield what one minor unit of another currency is worth in minor units of each ceiling."""
    for at, ceiling in enumerate(policy.ceilings):
        for currency, values in policy.rates.get(ceiling.currency, {}).items():
            shift = exponent(ceiling.currency) - exponent(currency)
            for first, until, amount in _spans(values):
                rate = amount.scaleb(shift).quantize(Decimal(1).scaleb(-RATE_PLACES))
                yield at, currency, first, until, rate


def _spans(values: Mapping[date, Amount]) -> Iterator[tuple[date, date, Amount]]:
    days = sorted(values)
    for first, until in zip(days, [*days[1:], NEVER], strict=True):
        yield first, until, values[first]


def _check(cursor: duckdb.DuckDBPyConnection, policy: Policy) -> None:
    strange = cursor.execute(
        "SELECT DISTINCT need FROM assistance WHERE need NOT IN (SELECT need FROM need_window)"
        " ORDER BY need"
    ).fetchall()
    if strange:
        needs = ", ".join(need for (need,) in strange)
        raise OVERLAP_NEED_UNKNOWN.refusal(policy=policy.policy, needs=needs)
    twice = cursor.execute(
        "SELECT count(*) FROM (SELECT 1 FROM assistance GROUP BY record_id HAVING count(*) > 1)"
    ).fetchall()[0][0]
    if twice:
        raise OVERLAP_RECORD_TWICE.refusal(records=twice)


def _statements() -> Iterator[str]:
    text = files("eligibility.duplicates.overlap").joinpath("judging.sql").read_text("utf-8")
    plain = re.sub(r"--[^\n]*", "", text)
    return (part for part in plain.split(";") if part.strip())
