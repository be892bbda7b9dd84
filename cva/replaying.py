"""Runs made again: from the kept snapshot, the published rules and the stored seed, bit for bit.

A replay decides nothing anew: it restores the snapshot of a run, runs the rules of its programme
version as of its reference date with its seed and budget, after the runs that were decided before
it from the same snapshot, and compares the hash of the file, and every stored row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow.parquet as pq
from psycopg import Connection
from psycopg.rows import class_row

from cva.assessing import DECISION_COLUMNS
from cva.programmes.publishing import programme_of
from cva.registry.kept import restore
from eligibility.ordered import Turn, assess_in_order
from eligibility.rules.pack import RulePack
from eligibility.selection import GRANT
from ledgers.problems import Answer, Problem

RUN_UNKNOWN = Problem(
    "run_unknown",
    "There is no run {run}.",
    "List the runs: `cva cycle runs CYCLE`.",
    Answer.NOT_FOUND,
)
REPLAY_OTHER_RULES = Problem(
    "replay_other_rules",
    "The rules of the programme read as {now}; the run {run} was decided by {then}.",
    "Replay it with the release of the program that made it.",
)
REPLAY_DIFFERS = Problem(
    "replay_differs",
    "The run {run} does not come out the same again: {rows} stored rows differ, and the file of"
    " decisions is {file}.",
    "Compare the database with a backup, and the release of the program with the one that ran.",
)

BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What a run was made from, and what came out."""

    run_id: str
    cycle_id: str
    programme_id: str
    snapshot_sha256: bytes
    decisions_sha256: bytes
    pack_hash: bytes
    reference_date: date
    seed: str
    registered: int
    at: datetime
    budget_minor: int | None
    after_run_id: str | None


@dataclass(frozen=True, slots=True)
class Replay:
    """A run that came out the same again; hashes in hexadecimal."""

    run_id: str
    households: int
    snapshot_sha256: str
    pack_hash: str
    decisions_sha256: str


_RUN = """
    SELECT r.run_id, r.cycle_id, c.programme_id, r.snapshot_sha256, r.decisions_sha256,
           r.pack_hash, r.reference_date, r.seed, r.registered, r.at, t.budget_minor, t.after_run_id
    FROM assessment.run r JOIN programme.cycle c USING (cycle_id)
    LEFT JOIN assessment.run_terms t USING (run_id) WHERE r.run_id = %s
"""
_DIFFERENT = """
    SELECT count(*) FROM (
      (SELECT {columns} FROM assessment.decision WHERE run_id = %s
       EXCEPT SELECT {columns} FROM made_again)
      UNION
      (SELECT {columns} FROM made_again
       EXCEPT SELECT {columns} FROM assessment.decision WHERE run_id = %s)) d
"""


def stored_run(conn: Connection, run_id: str) -> StoredRun:
    """Return a stored run. Raises `run_unknown`."""
    with conn.cursor(row_factory=class_row(StoredRun)) as cursor:
        run = cursor.execute(_RUN, (run_id,)).fetchone()
    if run is None:
        raise RUN_UNKNOWN.refusal(run=run_id)
    return run


def pack_of_run(conn: Connection, run: StoredRun) -> RulePack:
    """Return the rules that a run was decided by. Raises `replay_other_rules`."""
    pack = programme_of(conn, run.programme_id).rules
    if pack.pack_hash != bytes(run.pack_hash).hex():
        then = bytes(run.pack_hash).hex()[:16]
        raise REPLAY_OTHER_RULES.refusal(run=run.run_id, now=pack.pack_hash[:16], then=then)
    return pack


def replay(conn: Connection, run_id: str, folder: Path) -> Replay:
    """Make a stored run again in `folder`, a closed one, and compare it with what is stored.

    Raises `run_unknown`, `snapshot_not_kept`, `snapshot_changed`, `replay_other_rules`,
    `replay_differs`.
    """
    chain = _chain(conn, stored_run(conn, run_id))
    run = chain[-1]
    households, members = restore(conn, bytes(run.snapshot_sha256), folder)
    turns = [_turn(conn, one, folder) for one in chain]
    totals = assess_in_order(households, members, turns, spill=folder)
    again, stored = totals[-1].decisions_sha256, bytes(run.decisions_sha256).hex()
    rows = _different(conn, run.run_id, turns[-1].out)
    if rows or again != stored:
        file = "the same" if again == stored else "another"
        raise REPLAY_DIFFERS.refusal(run=run.run_id, rows=rows, file=file)
    return Replay(
        run.run_id, run.registered, bytes(run.snapshot_sha256).hex(), bytes(run.pack_hash).hex(),
        again,
    )  # fmt: skip


def _chain(conn: Connection, run: StoredRun) -> Sequence[StoredRun]:
    """Return the runs that were decided one after another from one snapshot, up to `run`."""
    chain = [run]
    while chain[0].after_run_id is not None:
        chain.insert(0, stored_run(conn, chain[0].after_run_id))
    return chain


def _turn(conn: Connection, run: StoredRun, folder: Path) -> Turn:
    pack = pack_of_run(conn, run)
    grant = run.budget_minor if pack.selection.budget == GRANT else None
    out = folder / f"{run.run_id}.parquet"
    return Turn(pack, run.reference_date, run.seed, out, grant)


def _different(conn: Connection, run_id: str, decisions: Path) -> int:
    """Return how many rows of the run are not those of the file, or are not there."""
    columns = ", ".join(DECISION_COLUMNS)
    conn.execute("DROP TABLE IF EXISTS pg_temp.made_again")
    conn.execute(
        f"CREATE TEMPORARY TABLE made_again AS SELECT {columns} FROM assessment.decision LIMIT 0"
    )
    with (
        conn.cursor() as cursor,
        cursor.copy(f"COPY made_again ({columns}) FROM STDIN") as copy,
    ):
        file = pq.ParquetFile(decisions)
        for batch in file.iter_batches(BATCH_ROWS, columns=list(DECISION_COLUMNS)):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)
    found = conn.execute(_DIFFERENT.format(columns=columns), (run_id, run_id)).fetchone()
    return int(found[0]) if found else 0
