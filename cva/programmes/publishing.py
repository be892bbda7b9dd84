"""Publishing programmes and opening cycles.

A published programme is immutable: the same content again is the same version, other content is the
next version. A cycle belongs to one version and keeps it; cycles of one programme never overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection, errors
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from psycopg.types.range import DateRange

from cva import acts, staff
from cva.identifiers import new_id
from cva.programmes.model import Programme
from ledgers.problems import Answer, Problem

PROGRAMME_NOT_FOUND = Problem(
    "programme_not_found", "There is no programme {programme}.", "List the published programmes.",
    Answer.NOT_FOUND,
)  # fmt: skip
CYCLE_NOT_FOUND = Problem(
    "cycle_not_found", "There is no cycle {cycle}.", "List the programme's cycles.",
    Answer.NOT_FOUND,
)  # fmt: skip
CYCLE_OVERLAPS = Problem(
    "cycle_overlaps",
    "The period {first} to {last} overlaps another cycle of the programme {programme}.",
    "Choose a period after the last cycle.",
)
CYCLE_NAME_TAKEN = Problem(
    "cycle_name_taken",
    "The programme {programme} has a cycle named {name} already.",
    "Give the cycle another name.",
)


@dataclass(frozen=True, slots=True)
class Published:
    """A published version of a programme."""

    programme_id: str
    code: str
    version: int


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle, with the version of the programme it belongs to; `ends_on` is its last day."""

    cycle_id: str
    programme_id: str
    name: str
    starts_on: date
    ends_on: date


def publish(conn: Connection, programme: Programme, *, person_id: str, at: datetime) -> Published:
    """Publish the programme; content that is published already answers with its version."""
    staff.require(conn, person_id, "programme")
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))", (programme.code,))
    conn.execute(
        "INSERT INTO programme.code (code) SELECT %s"
        " WHERE NOT EXISTS (SELECT FROM programme.code WHERE code = %s)",
        (programme.code, programme.code),
    )
    sha256 = bytes.fromhex(programme.sha256())
    known = conn.execute(
        "SELECT programme_id, code, version FROM programme.programme WHERE code = %s AND hash = %s",
        (programme.code, sha256),
    ).fetchone()
    if known is not None:
        return Published(*known)
    programme_id = new_id("pgm", at)
    row = conn.execute(
        "INSERT INTO programme.programme (programme_id, code, version, document, hash, person_id,"
        " at) SELECT %s, %s, coalesce(max(version), 0) + 1, %s, %s, %s, %s"
        " FROM programme.programme WHERE code = %s RETURNING version",
        (programme_id, programme.code, Jsonb(programme.document()), sha256, person_id, at,
         programme.code),
    ).fetchone()  # fmt: skip
    published = Published(programme_id, programme.code, int(row[0]) if row else 1)
    acts.record(
        conn, key=f"publish:{programme_id}", verb="publish", object_id=programme_id,
        body={"sha256": sha256.hex()}, person_id=person_id, at=at,
        answer={"version": published.version},
    )  # fmt: skip
    return published


def open_cycle(
    conn: Connection, code: str, name: str, first: date, last: date, *, person_id: str, at: datetime
) -> Cycle:
    """Open a cycle of the newest version of the programme, from `first` to `last` inclusive.

    The same name and period again is the same cycle. Raises `programme_not_found`,
    `cycle_overlaps`, `cycle_name_taken`, `role_missing`.
    """
    staff.require(conn, person_id, "programme")
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))", (code,))
    newest = conn.execute(
        "SELECT p.programme_id, c.number FROM programme.programme p JOIN programme.code c"
        " USING (code) WHERE p.code = %s ORDER BY p.version DESC LIMIT 1",
        (code,),
    ).fetchone()
    if newest is None:
        raise PROGRAMME_NOT_FOUND.refusal(programme=code)
    for cycle in cycles_of(conn, code):
        if cycle.name == name:
            if (cycle.starts_on, cycle.ends_on) == (first, last):
                return cycle
            raise CYCLE_NAME_TAKEN.refusal(programme=code, name=name)
    cycle_id = new_id("cyc", at)
    try:
        conn.execute(
            "INSERT INTO programme.cycle (cycle_id, programme_id, programme_number, name, period,"
            " person_id, at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (cycle_id, newest[0], newest[1], name, DateRange(first, last, "[]"), person_id, at),
        )
    except errors.ExclusionViolation as error:
        raise CYCLE_OVERLAPS.refusal(programme=code, first=first, last=last) from error
    acts.record(
        conn, key=f"open:{cycle_id}", verb="open_cycle", object_id=cycle_id,
        body={"programme": code, "name": name}, person_id=person_id, at=at, answer={},
    )  # fmt: skip
    return Cycle(cycle_id, newest[0], name, first, last)


_CYCLES = """
    SELECT c.cycle_id, c.programme_id, c.name, lower(c.period) AS starts_on,
           upper(c.period) - 1 AS ends_on
    FROM programme.cycle c JOIN programme.programme p USING (programme_id)
"""


def versions_of(conn: Connection, code: str) -> tuple[str, ...]:
    """Return the ids of the programme's versions, by version. Raises `programme_not_found`."""
    rows = conn.execute(
        "SELECT programme_id FROM programme.programme WHERE code = %s ORDER BY version", (code,)
    ).fetchall()
    if not rows:
        raise PROGRAMME_NOT_FOUND.refusal(programme=code)
    return tuple(row[0] for row in rows)


def cycles_of(conn: Connection, code: str) -> Sequence[Cycle]:
    """Return the programme's cycles, the earliest first."""
    with conn.cursor(row_factory=class_row(Cycle)) as cursor:
        return cursor.execute(
            _CYCLES + "WHERE p.code = %s ORDER BY lower(c.period)", (code,)
        ).fetchall()


def load_cycle(conn: Connection, cycle_id: str) -> Cycle:
    """Return the cycle, or raise `cycle_not_found`."""
    with conn.cursor(row_factory=class_row(Cycle)) as cursor:
        cycle = cursor.execute(_CYCLES + "WHERE c.cycle_id = %s", (cycle_id,)).fetchone()
    if cycle is None:
        raise CYCLE_NOT_FOUND.refusal(cycle=cycle_id)
    return cycle


def programme_of(conn: Connection, programme_id: str) -> Programme:
    """Return the published version as it was checked when it was published."""
    row = conn.execute(
        "SELECT document FROM programme.programme WHERE programme_id = %s", (programme_id,)
    ).fetchone()
    if row is None:
        raise PROGRAMME_NOT_FOUND.refusal(programme=programme_id)
    return Programme.from_document(row[0])
