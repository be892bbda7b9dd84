"""Assessing a cycle: who qualifies, who is served now, and how much, from a frozen snapshot.

The facts of every live household are written as a snapshot, hashed, judged in one pass by the
programme's rules at the cycle's reference date, and the decisions are stored as rows with the
hashes of snapshot and rules: the same snapshot and rules give the same decisions again, and where
the cycle's latest run is made from them, the answer is that run. A cycle is assessed by one person
at a time; whoever comes while another is at it is told so.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import Engine

from cva import acts, staff
from cva.clock import Clock
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.programmes.model import Programme
from cva.programmes.publishing import Cycle, load_cycle, programme_of
from cva.progress import Progress, parts
from cva.registry.snapshot import Snapshot, write_snapshot
from eligibility.assessment import assess
from ledgers.problems import Problem

IN_PROGRESS = Problem(
    "assessment_in_progress",
    "Somebody is assessing the cycle {cycle} right now.",
    "Wait until it has ended, then look at the decisions.",
)

_COLUMNS = (
    "household_id", "status", "pass_bits", "unknown_bits", "score", "tie_key", "rank", "selected",
    "waitlist_position", "amount_minor", "currency", "people", "people_from", "reason",
)  # fmt: skip

_STORE = """
    INSERT INTO assessment.decision (run_id, household_id, version_id, status, pass_bits,
      unknown_bits, score, tie_key, rank, selected, waitlist_position, amount_minor, currency,
      people, people_from, reason)
    SELECT %s, d.household_id, v.version_id, d.status, d.pass_bits, d.unknown_bits, d.score,
      d.tie_key, d.rank, d.selected, d.waitlist_position, d.amount_minor, d.currency, d.people,
      d.people_from, d.reason
    FROM decided d JOIN registry.live v USING (household_id) ORDER BY d.household_id
"""

_SAME = """
    SELECT run_id, registered, eligible, review, selected
    FROM (SELECT * FROM assessment.run WHERE cycle_id = %s ORDER BY at DESC, run_id DESC LIMIT 1) l
    WHERE (snapshot_sha256, pack_hash, reference_date) = (%s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """A stored assessment: counts of households."""

    run_id: str
    registered: int
    eligible: int
    review: int
    selected: int


def assess_cycle(
    engine: Engine,
    cycle_id: str,
    *,
    person_id: str,
    clock: Clock,
    work: Path,
    progress: Progress | None = None,
) -> Run:
    """Assess every live household for the cycle and store the decisions as one run.

    `work` is a closed folder for the snapshot while it is judged; what a killed run left there is
    removed. `progress` is told how often a household was frozen, judged or stored, of three times
    as many as there are. Returns the cycle's latest run where nothing has changed since. Raises
    `cycle_not_found`, `cycle_closed`, `role_missing`, `assessment_in_progress`.
    """
    with (
        _alone(engine, cycle_id, person_id) as cycle,
        _emptied(work / cycle.cycle_id) as folder,
        transaction(engine) as conn,
    ):
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        programme = programme_of(conn, cycle.programme_id)
        declared = programme.rules.inputs
        snapshot = write_snapshot(conn, folder, declared.household, declared.member)
        frozen, judged, stored = parts(progress, [snapshot.household_rows] * 3)
        _told(frozen, snapshot)
        same = _latest_if_same(conn, cycle, programme, snapshot)
        if same is not None:
            return same
        return _judge(
            conn, cycle, programme, snapshot, folder, (person_id, clock), (judged, stored)
        )


def _told(progress: Progress | None, snapshot: Snapshot) -> None:
    if progress is not None:
        progress(snapshot.household_rows, None)


@contextmanager
def _alone(engine: Engine, cycle_id: str, person_id: str) -> Iterator[Cycle]:
    # On a connection of its own: the snapshot must be taken after the lock, and see what the run
    # before it has stored.
    with transaction(engine) as conn:
        staff.require(conn, person_id, "programme")
        cycle = load_cycle(conn, cycle_id)
        row = conn.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 6))", (cycle_id,)
        ).fetchone()
        if row is None or not row[0]:
            raise IN_PROGRESS.refusal(cycle=cycle_id)
        yield cycle


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _latest_if_same(
    conn: Connection, cycle: Cycle, programme: Programme, snapshot: Snapshot
) -> Run | None:
    facts = (
        cycle.cycle_id, bytes.fromhex(snapshot.sha256), bytes.fromhex(programme.rules.pack_hash),
        programme.reference_date_of(cycle.starts_on),
    )  # fmt: skip
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(_SAME, facts).fetchone()


def _judge(
    conn: Connection,
    cycle: Cycle,
    programme: Programme,
    snapshot: Snapshot,
    folder: Path,
    by: tuple[str, Clock],
    progresses: tuple[Progress | None, Progress | None],
) -> Run:
    (person_id, clock), (judged, stored) = by, progresses
    reference_date: date = programme.reference_date_of(cycle.starts_on)
    decisions = folder / "decisions.parquet"
    totals = assess(
        snapshot.households, snapshot.members, programme.rules, reference_date, decisions,
        seed=cycle.cycle_id, spill=folder,
    )  # fmt: skip
    _told(judged, snapshot)
    run = Run(
        new_id("run", clock.now()), totals.registered, totals.eligible, totals.review,
        totals.selected,
    )  # fmt: skip
    conn.execute(
        "INSERT INTO assessment.run (run_id, cycle_id, snapshot_sha256, decisions_sha256,"
        " pack_hash, reference_date, seed, registered, eligible, review, selected, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (run.run_id, cycle.cycle_id, bytes.fromhex(snapshot.sha256),
         bytes.fromhex(totals.decisions_sha256), bytes.fromhex(programme.rules.pack_hash),
         reference_date, cycle.cycle_id, run.registered, run.eligible, run.review, run.selected,
         person_id, clock.now()),
    )  # fmt: skip
    _store(conn, run.run_id, decisions, stored)
    acts.record(
        conn, key=f"assess:{run.run_id}", verb="assess", object_id=run.run_id,
        body={"cycle": cycle.cycle_id, "snapshot": snapshot.sha256}, person_id=person_id,
        at=clock.now(), answer={"run": run.run_id, "selected": run.selected},
    )  # fmt: skip
    return run


def _store(conn: Connection, run_id: str, decisions: Path, progress: Progress | None) -> None:
    conn.execute(
        "CREATE TEMPORARY TABLE decided (household_id text, status text, pass_bits bigint,"
        " unknown_bits bigint, score bigint, tie_key text, rank integer, selected boolean,"
        " waitlist_position integer, amount_minor bigint, currency char(3), people integer,"
        " people_from text, reason text) ON COMMIT DROP"
    )
    rows = 0
    with (
        conn.cursor() as cursor,
        cursor.copy(f"COPY decided ({', '.join(_COLUMNS)}) FROM STDIN") as copy,
    ):
        for batch in pq.ParquetFile(decisions).iter_batches(20_000, columns=list(_COLUMNS)):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)
            rows += batch.num_rows
            if progress is not None:
                progress(rows, None)
    conn.execute("ANALYZE decided")
    conn.execute(_STORE, (run_id,))
