"""Matches by hand: match, accept a suggestion, un-match, propose and approve a write-off.

Everything is a new record with a reason: an un-matching is the match backwards, a write-off clears
a line against an entry that the caller recorded. What is open is asked and taken in the caller's
transaction; the database refuses whatever would take more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection

from ledgers.matching.rules import VERSIONS, Rule
from ledgers.matching.running import Act, wait_for_turn
from ledgers.matching.sources import Side
from ledgers.problems import Answer, Problem
from ledgers.refusals import refusals

LINE_UNKNOWN = Problem(
    "line_unknown",
    "There is no line {line}.",
    "Look at the exceptions for the numbers of open lines.",
    Answer.NOT_FOUND,
)
REASON_MISSING = Problem(
    "match_without_reason",
    "What people do to matches bears a reason.",
    "Say what it rests on.",
    Answer.USAGE,
)
LINES_NOT_TOGETHER = Problem(
    "lines_not_together",
    "The lines stand in different comparisons.",
    "Match lines of one comparison.",
)
LINE_NOT_OPEN = Problem(
    "line_not_open",
    "Of the line {line} there are {open_minor} minor units open, not {wanted_minor}.",
    "Match at most what is open, or un-match first.",
)
MATCH_UNBALANCED = Problem(
    "match_unbalanced",
    "The match does not take the same amount, in one currency, from both sides.",
    "Give amounts that agree; what is left stays open until it is matched or written off.",
)
MATCH_UNKNOWN = Problem(
    "match_unknown",
    "There is no match {match}.",
    "Name it as run-number, such as 3-17.",
    Answer.NOT_FOUND,
)
MATCH_UNDONE = Problem(
    "match_undone",
    "The match {match} cannot be taken back: it was already, or takes one back itself.",
    "Match the lines anew.",
)
SUGGESTION_NOT_OPEN = Problem(
    "suggestion_not_open",
    "The suggestion {suggestion} does not exist, or its lines are no longer open.",
    "Look at the suggestions that are open.",
    Answer.NOT_FOUND,
)
WRITE_OFF_UNKNOWN = Problem(
    "write_off_unknown",
    "There is no write-off {write_off}.",
    "Propose it first.",
    Answer.NOT_FOUND,
)
WRITE_OFF_APPROVED = Problem(
    "write_off_approved",
    "The write-off {write_off} is approved already.",
    "Nothing is left to do.",
)
WRITE_OFF_BY_ONE_PERSON = Problem(
    "write_off_by_one_person",
    "The write-off {write_off} was proposed by the person who would approve it.",
    "Let a second person approve it.",
    Answer.NOT_PERMITTED,
)
WRITE_OFF_OF_REPORTS = Problem(
    "write_off_of_reports",
    "The comparison {comparison} holds the books against reports, which move no money.",
    "Write the difference off in the comparison with the provider's statements.",
)
WRITE_OFF_DIFFERS = Problem(
    "write_off_differs",
    "A write-off would clear another line or amount than was approved.",
    "Propose the write-off anew.",
)
CLEARING_UNFIT = Problem(
    "clearing_unfit",
    "A match names a line that is not there, of another comparison, or no match at all.",
    "Match open lines of one comparison.",
)
CLEARING_OUT_OF_STEP = Problem(
    "clearing_out_of_step",
    "A match counts on more or less being open of a line than there is.",
    "Look at what is open now and match that.",
)
UNMATCH_NOT_MIRROR = Problem(
    "unmatch_not_mirror",
    "An un-matching does not give back exactly what its match took.",
    "Un-match the whole match.",
)


@dataclass(frozen=True, slots=True, order=True)
class Match:
    """A match by its number in its run; written `run-number`."""

    run_id: int
    match_no: int

    def __str__(self) -> str:
        return f"{self.run_id}-{self.match_no}"


@dataclass(frozen=True, slots=True)
class Applied:
    """What a match takes of a line, signed as the line; None: all that is open."""

    line_no: int
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class WriteOff:
    """A proposed write-off of what was open of a line; `amount_minor` signed as the line."""

    write_off_id: int
    comparison: str
    side: Side
    line_no: int
    statement_id: str
    line_id: str
    value_on: date
    amount_minor: int
    currency: str
    reason: str
    proposed_by: str
    approved: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One step in the life of a line: the match or un-matching, by what, by whom, why."""

    match: Match
    rule: Rule
    applied_minor: int
    open_minor: int
    on: date
    by: str
    reason: str


_COMPARISONS = """
    SELECT n.line_no, s.comparison FROM unnest(%s::bigint[]) AS n (line_no)
    LEFT JOIN recon.line l USING (line_no) LEFT JOIN recon.source s USING (source_id)
    ORDER BY n.line_no
"""

_STATES = """
    SELECT n.line_no, l.amount_minor - coalesce(sum(c.applied_minor), 0)::bigint,
           coalesce(max(c.step), 0)
    FROM unnest(%s::bigint[]) AS n (line_no) JOIN recon.line l USING (line_no)
    LEFT JOIN recon.clearing c USING (line_no) GROUP BY n.line_no, l.amount_minor
"""

_RUN = """
    INSERT INTO recon.run (comparison, act, matches, write_off_id, recorded_on, recorded_by, reason)
    VALUES (%(comparison)s, %(act)s, 1, %(write_off)s, %(on)s, %(by)s, %(reason)s)
    RETURNING run_id
"""

_CLEARING = """
    INSERT INTO recon.clearing (line_no, step, run_id, match_no, before_minor, applied_minor)
    SELECT line_no, step, %s, 1, before_minor, applied_minor
    FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[], %s::bigint[])
        AS n (line_no, step, before_minor, applied_minor)
"""

_WRITE_OFF = """
    SELECT w.write_off_id, s.comparison, s.side, w.line_no, l.statement_id, l.line_id, l.value_on,
           w.amount_minor, l.currency, w.reason, w.proposed_by, a.write_off_id IS NOT NULL
    FROM recon.write_off w JOIN recon.line l USING (line_no) JOIN recon.source s USING (source_id)
    LEFT JOIN recon.write_off_approval a USING (write_off_id)
"""


def match(conn: Connection, items: Sequence[Applied], act: Act) -> Match:
    """Match lines by hand: the same amount from both sides, or lines of one side that cancel.

    Raises `line_unknown`, `lines_not_together`, `line_not_open`, `match_unbalanced`.
    """
    comparison = _comparison_of(conn, [item.line_no for item in items])
    return _record(conn, comparison, items, act, Rule.MANUAL)


def accept(conn: Connection, suggestion_id: int, act: Act) -> Match:
    """Make a match of an open suggestion. Raises `suggestion_not_open`."""
    rows = conn.execute(
        "SELECT line_no, applied_minor FROM recon.open_suggestion WHERE suggestion_id = %s"
        " ORDER BY line_no",
        (suggestion_id,),
    ).fetchall()
    if not rows:
        raise SUGGESTION_NOT_OPEN.refusal(suggestion=suggestion_id)
    return match(conn, [Applied(*row) for row in rows], act)


def unmatch(conn: Connection, undone: Match, act: Act) -> Match:
    """Take a match back by a new record; its lines are open again as they were.

    Raises `match_unknown`, `match_undone`.
    """
    rows = conn.execute(
        "SELECT c.line_no, -c.applied_minor, r.comparison, r.act IN ('rules', 'manual')"
        " FROM recon.clearing c JOIN recon.run r USING (run_id)"
        " WHERE (c.run_id, c.match_no) = (%s, %s)",
        (undone.run_id, undone.match_no),
    ).fetchall()
    if not rows:
        raise MATCH_UNKNOWN.refusal(match=str(undone))
    comparison = rows[0][2]
    wait_for_turn(conn, comparison)
    before = conn.execute(
        "SELECT FROM recon.unmatch WHERE (undoes_run, undoes_match) = (%s, %s)",
        (undone.run_id, undone.match_no),
    ).fetchone()
    if before is not None or not rows[0][3]:
        raise MATCH_UNDONE.refusal(match=str(undone))
    items = [Applied(line_no, back) for line_no, back, *_ in rows]
    return _record(conn, comparison, items, act, Rule.UNMATCH, undoes=undone)


def propose_write_off(conn: Connection, line_no: int, act: Act) -> WriteOff:
    """Propose to write off all that is open of a line; nothing is cleared yet.

    Raises `line_unknown`, `line_not_open`, `write_off_of_reports`.
    """
    _require_reason(act)
    wait_for_turn(conn, _comparison_of(conn, [line_no]))
    with refusals():
        row = conn.execute(
            "INSERT INTO recon.write_off (line_no, amount_minor, reason, proposed_by, recorded_on)"
            " SELECT line_no, open_minor, %s, %s, %s FROM recon.open_line WHERE line_no = %s"
            " RETURNING write_off_id",
            (act.reason, act.by, act.on, line_no),
        ).fetchone()
    if row is None:
        raise LINE_NOT_OPEN.refusal(line=line_no, open_minor=0, wanted_minor="any")
    return write_off(conn, int(row[0]))


def approve_write_off(conn: Connection, write_off_id: int, entry_ref: str, act: Act) -> Match:
    """Approve a write-off that somebody else proposed, and clear the line.

    `entry_ref` names the entry that the caller recorded for it, in this transaction or before.
    Raises `write_off_unknown`, `write_off_approved`, `write_off_by_one_person`, `line_not_open`.
    """
    proposed = write_off(conn, write_off_id)
    wait_for_turn(conn, proposed.comparison)
    if write_off(conn, write_off_id).approved:
        raise WRITE_OFF_APPROVED.refusal(write_off=write_off_id)
    with refusals():
        conn.execute(
            "INSERT INTO recon.write_off_approval (write_off_id, entry_id, approved_by)"
            " SELECT %s, entry_id, %s FROM books.entry WHERE entry_ref = %s",
            (write_off_id, act.by, entry_ref),
        )
    items = [Applied(proposed.line_no, proposed.amount_minor)]
    return _record(conn, proposed.comparison, items, act, Rule.WRITE_OFF, write_off_id=write_off_id)


def write_off(conn: Connection, write_off_id: int) -> WriteOff:
    """Return a write-off. Raises `write_off_unknown`."""
    row = conn.execute(_WRITE_OFF + "WHERE w.write_off_id = %s", (write_off_id,)).fetchone()
    if row is None:
        raise WRITE_OFF_UNKNOWN.refusal(write_off=write_off_id)
    return _read(row)


def write_offs(conn: Connection, comparison: str | None = None) -> list[WriteOff]:
    """Return what waits for a second person, of one comparison or of all, oldest first."""
    rows = conn.execute(
        _WRITE_OFF + "WHERE a.write_off_id IS NULL AND (%(comparison)s::text IS NULL"
        " OR s.comparison = %(comparison)s) ORDER BY w.write_off_id",
        {"comparison": comparison},
    ).fetchall()
    return [_read(row) for row in rows]


def _read(row: tuple[Any, ...]) -> WriteOff:
    number, comparison, side, *rest = row
    return WriteOff(number, comparison, Side(side), *rest)


def history(conn: Connection, line_no: int) -> list[Step]:
    """Return what happened to a line, in order. Raises `line_unknown`."""
    _comparison_of(conn, [line_no])
    rows = conn.execute(
        "SELECT c.run_id, c.match_no, m.rule, c.applied_minor, c.after_minor, r.recorded_on,"
        " r.recorded_by, r.reason FROM recon.clearing c JOIN recon.match m USING (run_id, match_no)"
        " JOIN recon.run r USING (run_id) WHERE c.line_no = %s ORDER BY c.step",
        (line_no,),
    ).fetchall()
    return [Step(Match(run_id, no), Rule(rule), *rest) for run_id, no, rule, *rest in rows]


def currency_of(conn: Connection, line_no: int) -> str:
    """Return the currency of a line. Raises `line_unknown`."""
    row = conn.execute("SELECT currency FROM recon.line WHERE line_no = %s", (line_no,)).fetchone()
    if row is None:
        raise LINE_UNKNOWN.refusal(line=line_no)
    return str(row[0])


def _comparison_of(conn: Connection, line_nos: Sequence[int]) -> str:
    rows = conn.execute(_COMPARISONS, (list(line_nos),)).fetchall()
    found: dict[int, str | None] = dict(rows)
    unknown = [line_no for line_no, comparison in found.items() if comparison is None]
    if unknown or not found:
        raise LINE_UNKNOWN.refusal(line=unknown[0] if unknown else "")
    if len(set(found.values())) > 1:
        raise LINES_NOT_TOGETHER.refusal()
    return str(next(iter(found.values())))


def _record(
    conn: Connection,
    comparison: str,
    items: Sequence[Applied],
    act: Act,
    rule: Rule,
    *,
    undoes: Match | None = None,
    write_off_id: int | None = None,
) -> Match:
    _require_reason(act)
    wait_for_turn(conn, comparison)
    rows = conn.execute(_STATES, ([item.line_no for item in items],)).fetchall()
    states = {line_no: (open_minor, step) for line_no, open_minor, step in rows}
    steps = [_step(item, *states[item.line_no], back=rule is Rule.UNMATCH) for item in items]
    values = {
        "comparison": comparison, "act": rule, "write_off": write_off_id, "on": act.on,
        "by": act.by, "reason": act.reason,
    }  # fmt: skip
    row = conn.execute(_RUN, values).fetchone()
    run_id = int(row[0]) if row else 0
    conn.execute(
        "INSERT INTO recon.match (run_id, match_no, rule, rule_version) VALUES (%s, 1, %s, %s)",
        (run_id, rule, VERSIONS[rule]),
    )
    if undoes is not None:
        conn.execute(
            "INSERT INTO recon.unmatch (run_id, undoes_run, undoes_match) VALUES (%s, %s, %s)",
            (run_id, undoes.run_id, undoes.match_no),
        )
    with refusals():
        conn.execute(_CLEARING, (run_id, *map(list, zip(*steps, strict=True))))
    return Match(run_id, 1)


def _require_reason(act: Act) -> None:
    if not act.reason.strip():
        raise REASON_MISSING.refusal()


def _step(item: Applied, open_minor: int, step: int, *, back: bool) -> tuple[int, int, int, int]:
    wanted = open_minor if item.amount_minor is None else item.amount_minor
    within = 0 < wanted <= open_minor or open_minor <= wanted < 0
    if not (within or back):
        raise LINE_NOT_OPEN.refusal(line=item.line_no, open_minor=open_minor, wanted_minor=wanted)
    return item.line_no, step + 1, open_minor, wanted
