"""Attendance: how many days or sessions a member came, with where that is written down.

Course stipends and cash-for-work are paid for attendance. A list has one row for each member and
cycle: household_id, member_no, planned_units, attended_units (empty: enrolled, not reported yet),
evidence_ref (the sheet, the trainer's report). Nothing is overwritten: a row that says something
else than what is on file is recorded as a correction of it, a row that says the same changes
nothing, so a list can be imported again. Rows with problems are listed and left out, all at once;
the rest is kept.
"""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg import Connection
from psycopg.rows import class_row

from cva import acts, staff
from cva.programmes.publishing import load_cycle
from ledgers.problems import Finding, Place, Problem, Weight

ATTENDANCE_FILE = Problem(
    "attendance_file_unreadable",
    "The attendance list {file} cannot be read: {why}.",
    "Save it as UTF-8 CSV with the columns household_id, member_no, planned_units, attended_units,"
    " evidence_ref.",
)
ATTENDANCE_VALUE = Problem(
    "attendance_value",
    "{field} is {value}, where {expected} is needed.",
    "Correct the row and import the list again; what was taken changes nothing.",
    weight=Weight.REFUSED,
)
ATTENDANCE_TWICE = Problem(
    "attendance_row_twice",
    "The member stands in the list before, in row {first}.",
    "Keep one row for each member and cycle.",
    weight=Weight.REFUSED,
)
ATTENDANCE_MEMBER_UNKNOWN = Problem(
    "attendance_member_unknown",
    "The household {household} has no member {member}.",
    "Check both against the registration: `cva household show`.",
    weight=Weight.REFUSED,
)
ATTENDANCE_LOCKED = Problem(
    "attendance_locked",
    "The household {household} is in a locked payment plan of this cycle.",
    "Cancel the plan first, or record the difference in the next cycle.",
    weight=Weight.REFUSED,
)
ATTENDANCE_NOT_ASKED = Problem(
    "attendance_not_asked",
    "The cycle's programme pays nothing by attendance.",
    "Choose a cycle of a programme whose rules have entitlement.attendance.",
)

COLUMNS = ("household_id", "member_no", "planned_units", "attended_units", "evidence_ref")
UNITS_MAX = 10_000
EVIDENCE_MAX = 200
MEMBERS_MAX = 1_000

_STAGE = """
    CREATE TEMPORARY TABLE arrived (row_no integer, household_id text, member_no integer,
      planned_units integer, attended_units integer, evidence_ref text) ON COMMIT DROP
"""
_UNKNOWN = """
    DELETE FROM arrived a WHERE NOT EXISTS (
      SELECT FROM registry.live v JOIN registry.member m USING (version_id)
      WHERE (v.household_id, m.member_no) = (a.household_id, a.member_no))
    RETURNING row_no, household_id, member_no
"""
_LOCKED = """
    DELETE FROM arrived a USING payments.line l
    WHERE (l.cycle_id, l.household_id) = (%s, a.household_id)
      AND NOT EXISTS (SELECT FROM payments.cancellation c WHERE c.plan_id = l.plan_id)
    RETURNING a.row_no, a.household_id
"""
_TAKE = """
    INSERT INTO assessment.attendance (cycle_id, household_id, member_no, planned_units,
      attended_units, evidence_ref, corrects, person_id, at)
    SELECT %(cycle)s, a.household_id, a.member_no, a.planned_units, a.attended_units,
      a.evidence_ref, o.record_id, %(person)s, %(at)s
    FROM arrived a LEFT JOIN assessment.attended o
      ON (o.cycle_id, o.household_id, o.member_no) = (%(cycle)s, a.household_id, a.member_no)
    WHERE o.record_id IS NULL OR (o.planned_units, o.attended_units, o.evidence_ref)
      IS DISTINCT FROM (a.planned_units, a.attended_units, a.evidence_ref)
    ORDER BY a.row_no
    RETURNING corrects
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a list: rows by what they did, and what is wrong with those left out."""

    rows: int
    added: int
    corrected: int
    unchanged: int
    findings: tuple[Finding, ...] = ()

    @property
    def refused(self) -> int:
        """Rows that were left out."""
        return self.rows - self.added - self.corrected - self.unchanged


@dataclass(frozen=True, slots=True)
class Attended:
    """What is on file of one member in one cycle; None: not reported yet."""

    record_id: int
    household_id: str
    member_no: int
    planned_units: int
    attended_units: int | None
    evidence_ref: str
    login: str


@dataclass(frozen=True, slots=True)
class _Row:
    row_no: int
    household_id: str
    member_no: int
    planned_units: int
    attended_units: int | None
    evidence_ref: str


def take_list(
    conn: Connection, cycle_id: str, file: Path, *, person_id: str, at: datetime, key: str = ""
) -> Taken:
    """Record the attendance list in `file` (CSV) for the cycle; findings come with the summary.

    `key` is by default made of the cycle and the file's content: the same list again changes
    nothing and answers with the same figures. Raises `attendance_file_unreadable`,
    `attendance_not_asked`, `cycle_not_found`, `cycle_closed`, `role_missing`.
    """
    staff.require(conn, person_id, "programme")
    load_cycle(conn, cycle_id)
    content = _read(file)
    digest = hashlib.sha256(content).hexdigest()
    body = {"cycle": cycle_id, "sha256": digest}
    key = key or f"attendance:{cycle_id}:{digest}"
    findings: list[Finding] = []
    rows = list(_checked(file.name, content, findings))
    count = len(rows) + len({finding.place.row for finding in findings})
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return Taken(
            int(earlier["rows"]), int(earlier["added"]), int(earlier["corrected"]),
            int(earlier["unchanged"]), tuple(findings),
        )  # fmt: skip
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (cycle_id,))
    taken = _recorded(conn, cycle_id, file.name, rows, (person_id, at))
    whole = Taken(
        count, taken.added, taken.corrected, taken.unchanged,
        tuple(sorted((*findings, *taken.findings), key=lambda one: one.place.row or 0)),
    )  # fmt: skip
    acts.record(
        conn, key=key, verb="attendance", object_id=cycle_id, body=body, person_id=person_id,
        at=at, answer={"rows": whole.rows, "added": whole.added, "corrected": whole.corrected,
                       "unchanged": whole.unchanged},
    )  # fmt: skip
    return whole


def attended(conn: Connection, cycle_id: str) -> Sequence[Attended]:
    """Return what is on file for the cycle, by household and member."""
    with conn.cursor(row_factory=class_row(Attended)) as cursor:
        return cursor.execute(
            "SELECT a.record_id, a.household_id, a.member_no, a.planned_units, a.attended_units,"
            " a.evidence_ref, s.login FROM assessment.attended a"
            " JOIN staff.person s USING (person_id) WHERE a.cycle_id = %s"
            ' ORDER BY a.household_id COLLATE "C", a.member_no',
            (cycle_id,),
        ).fetchall()


def _recorded(
    conn: Connection, cycle_id: str, file: str, rows: Sequence[_Row], by: tuple[str, datetime]
) -> Taken:
    conn.execute(_STAGE)
    with conn.cursor() as cursor, cursor.copy("COPY arrived FROM STDIN") as copy:
        for row in rows:
            copy.write_row((
                row.row_no, row.household_id, row.member_no, row.planned_units,
                row.attended_units, row.evidence_ref,
            ))  # fmt: skip
    conn.execute("ANALYZE arrived")
    findings = [
        ATTENDANCE_MEMBER_UNKNOWN.finding(Place(file, row=row), household=who, member=number)
        for row, who, number in conn.execute(_UNKNOWN).fetchall()
    ]
    locked = conn.execute(_LOCKED, (cycle_id,)).fetchall()
    findings += [
        ATTENDANCE_LOCKED.finding(Place(file, row=row), household=who) for row, who in locked
    ]
    left = len(rows) - len({finding.place.row for finding in findings})
    done = conn.execute(_TAKE, {"cycle": cycle_id, "person": by[0], "at": by[1]}).fetchall()
    added = sum(corrects is None for (corrects,) in done)
    conn.execute("DROP TABLE arrived")
    return Taken(len(rows), added, len(done) - added, left - len(done), tuple(findings))


# --- reading the list ------------------------------------------------------------------------


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        why = error.strerror or "it cannot be opened"
        raise ATTENDANCE_FILE.refusal(file=file.name, why=why) from None


def _checked(file: str, content: bytes, findings: list[Finding]) -> Iterator[_Row]:
    """Yield the rows that can be taken; what is wrong with the others goes to `findings`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ATTENDANCE_FILE.refusal(file=file, why="it is not UTF-8 text") from None
    lines = csv.DictReader(text.splitlines(), strict=True)
    missing = [name for name in COLUMNS if name not in (lines.fieldnames or ())]
    if missing:
        why = f"it has no column {', '.join(missing)}"
        raise ATTENDANCE_FILE.refusal(file=file, why=why)
    seen: dict[tuple[str, int], int] = {}
    try:
        for number, line in enumerate(lines, start=2):
            wrong, row = _row(Place(file, row=number), number, line)
            findings += wrong
            if row is None:
                continue
            first = seen.setdefault((row.household_id, row.member_no), number)
            if first == number:
                yield row
            else:
                findings.append(ATTENDANCE_TWICE.finding(Place(file, row=number), first=first))
    except csv.Error:
        raise ATTENDANCE_FILE.refusal(file=file, why="a quote is not closed") from None


def _row(place: Place, number: int, line: dict[str, str]) -> tuple[list[Finding], _Row | None]:
    values = {name: (line.get(name) or "").strip() for name in COLUMNS}
    planned = _whole(values["planned_units"], 0, UNITS_MAX)
    member = _whole(values["member_no"], 1, MEMBERS_MAX)
    units = values["attended_units"]
    most = UNITS_MAX if planned is None else planned
    came = _whole(units, 0, most) if units else None
    wrong = {
        "household_id": None if values["household_id"].startswith("hh_") else "a household's id",
        "member_no": None if member is not None else f"a whole number from 1 to {MEMBERS_MAX}",
        "planned_units": None if planned is not None else f"a whole number up to {UNITS_MAX}",
        "attended_units": (
            f"a whole number up to {most}, or nothing" if units and came is None else None
        ),
        "evidence_ref": (
            None if 1 <= len(values["evidence_ref"]) <= EVIDENCE_MAX else "where it is written down"
        ),
    }
    found = [
        ATTENDANCE_VALUE.finding(
            Place(place.file, row=number, field=name), values[name][:40] or "empty", field=name,
            expected=expected,
        )
        for name, expected in wrong.items() if expected is not None
    ]  # fmt: skip
    if found or planned is None or member is None:
        return found, None
    return [], _Row(number, values["household_id"], member, planned, came, values["evidence_ref"])


def _whole(text: str, least: int, most: int) -> int | None:
    """Return a plain whole number within its limits, or None."""
    if not text.isascii() or not text.isdigit() or len(text) > len(str(most)):
        return None
    value = int(text)
    return value if least <= value <= most else None
