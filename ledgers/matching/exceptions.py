"""Exceptions: every difference has a name, an owner and an age.

The age runs from the day the line is effective, not from the day somebody noticed. It climbs
through the buckets 0-3, 4-7, 8-14, 15-30, 31-60 and over 60 days, and with every bucket one level
up: level 0 is the owner's own business, who is told at which level is the caller's to say.

Source of the buckets: ageing of open items in account reconciliation (Oracle ARCS); USDA FNS
reconciliation guidance, 2007, for "explained or aged".
"""

from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from psycopg.rows import dict_row

from ledgers.matching.matches import REASON_MISSING
from ledgers.matching.rules import Name, Rule
from ledgers.matching.sources import Side
from ledgers.problems import Answer, Problem
from ledgers.refusals import refusals

EXCEPTION_UNKNOWN = Problem(
    "exception_unknown",
    "There is no exception {exception}.",
    "Look at the exceptions that are open.",
    Answer.NOT_FOUND,
)
EXCEPTION_NOT_ANSWERABLE = Problem(
    "exception_not_answerable",
    "The exception {exception} is about an open amount, which words do not close.",
    "Match the line, or write it off.",
)


@dataclass(frozen=True, slots=True)
class OpenException:
    """One open difference; `amount_minor` is the difference, signed as the line.

    `other_line_no` is the counterpart where one is known, `days` the age, `level` 0 to 5.
    """

    exception_id: int
    comparison: str
    side: Side
    source: str
    line_no: int
    other_line_no: int | None
    statement_id: str
    line_id: str
    ref: str
    value_on: date
    currency: str
    name: Name
    amount_minor: int
    owner: str
    days: int
    bucket: str
    level: int


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An open suggestion: by which rule, and what of which lines it would match."""

    suggestion_id: int
    rule: Rule
    line_nos: tuple[int, ...]
    applied_minor: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Aged:
    """How many exceptions of one name and bucket are open, and their sum without signs."""

    name: Name
    bucket: str
    level: int
    count: int
    sum_minor: int


# An item that becomes effective only after `on` is of age 0.
_OPEN = """
    SELECT e.exception_id, e.comparison, e.side, e.source, e.line_no, e.other_line_no,
           e.statement_id, e.line_id, e.ref, e.value_on, e.currency, e.name, e.amount_minor,
           e.owner, greatest(%(on)s::date - e.value_on, 0) AS days, b.name AS bucket, b.level
    FROM recon.open_exception e JOIN recon.age_bucket b
      ON greatest(%(on)s::date - e.value_on, 0) BETWEEN b.first_day AND b.last_day
    WHERE (%(comparison)s::text IS NULL OR e.comparison = %(comparison)s)
"""


def open_exceptions(
    conn: Connection, on: date, comparison: str | None = None, *, limit: int | None = None
) -> list[OpenException]:
    """Return what is open of one comparison, or of all: the oldest first, then by line."""
    cursor = conn.cursor(row_factory=dict_row)
    rows = cursor.execute(
        _OPEN + "ORDER BY days DESC, e.line_no, e.exception_id LIMIT %(limit)s",
        {"on": on, "comparison": comparison, "limit": limit},
    ).fetchall()
    return [
        OpenException(**{**row, "side": Side(row["side"]), "name": Name(row["name"])})
        for row in rows
    ]


def aged(conn: Connection, on: date, comparison: str | None = None) -> list[Aged]:
    """Return counts and sums of what is open, by name and bucket."""
    rows = conn.execute(
        f"SELECT name, bucket, level, count(*), sum(abs(amount_minor))::bigint FROM ({_OPEN}) e"
        " GROUP BY name, bucket, level ORDER BY name, level",
        {"on": on, "comparison": comparison},
    ).fetchall()
    return [Aged(Name(name), *rest) for name, *rest in rows]


def open_suggestions(conn: Connection, comparison: str) -> list[Suggestion]:
    """Return the suggestions of a comparison that could still be accepted, oldest first."""
    rows = conn.execute(
        "SELECT g.suggestion_id, g.rule, array_agg(g.line_no ORDER BY g.line_no),"
        " array_agg(g.applied_minor ORDER BY g.line_no)"
        " FROM recon.open_suggestion g JOIN recon.run r USING (run_id)"
        " WHERE r.comparison = %s GROUP BY g.suggestion_id, g.rule ORDER BY g.suggestion_id",
        (comparison,),
    ).fetchall()
    return [Suggestion(number, Rule(rule), tuple(n), tuple(a)) for number, rule, n, a in rows]


def assign(conn: Connection, exception_id: int, owner: str, *, by: str, reason: str) -> None:
    """Give an exception to another owner. Raises `exception_unknown`, `match_without_reason`."""
    _require(conn, exception_id, reason)
    conn.execute(
        "INSERT INTO recon.assignment (exception_id, owner, reason, recorded_by)"
        " VALUES (%s, %s, %s, %s)",
        (exception_id, owner, reason, by),
    )


def answer(conn: Connection, exception_id: int, *, by: str, reason: str) -> bool:
    """Close a `line_changed` exception with what the source said; False: it was answered before.

    Raises `exception_unknown`, `match_without_reason`, and `exception_not_answerable` for any other
    name.
    """
    _require(conn, exception_id, reason)
    with refusals():
        done = conn.execute(
            "INSERT INTO recon.answer (exception_id, reason, recorded_by) VALUES (%s, %s, %s)"
            " ON CONFLICT (exception_id) DO NOTHING",
            (exception_id, reason, by),
        )
    return done.rowcount > 0


def _require(conn: Connection, exception_id: int, reason: str) -> None:
    if not reason.strip():
        raise REASON_MISSING.refusal()
    row = conn.execute(
        "SELECT FROM recon.exception WHERE exception_id = %s", (exception_id,)
    ).fetchone()
    if row is None:
        raise EXCEPTION_UNKNOWN.refusal(exception=exception_id)
