"""Assessing a cycle: who qualifies, who is served now, and how much, from a frozen snapshot.

The facts of every live household are written as a snapshot, hashed, judged in one pass by the
programme's rules at the cycle's reference date, and the decisions are stored as rows with the
hashes of snapshot and rules: the same snapshot and rules give the same decisions again, and where
the cycle's latest run is made from them, the answer is that run. A cycle is assessed by one person
at a time; whoever comes while another is at it is told so.

What people recorded in the cycle (attendance, awards, the discretionary list) is in the snapshot.
Programmes that exclude each other are assessed together, in the order that their rules state, from
one snapshot; each cycle has a run of its own that names the one before it.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import pyarrow.parquet as pq
from psycopg import Connection, sql
from psycopg.rows import class_row
from sqlalchemy import Engine

from cva import acts, staff
from cva.clock import Clock
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.payments import accounts
from cva.programmes.model import Programme
from cva.programmes.publishing import Cycle, load_cycle, programme_of
from cva.progress import Progress, parts
from cva.registry import kept
from cva.registry.snapshot import Snapshot, write_snapshot
from cva.selection import facts
from eligibility.decisions import AssessmentTotals
from eligibility.ordered import Turn, assess_in_order, check_order
from eligibility.selection import GRANT, stratum_of
from ledgers import balances
from ledgers.problems import Problem

ASSESSED_ALONE = Problem(
    "assessed_alone",
    "The programme {programme} is decided after {earlier}, from the same applications.",
    "Assess the cycles of both together, the earlier programme's first.",
)
CYCLES_APART = Problem(
    "cycles_apart",
    "The cycles {first} and {other} do not overlap, or belong to one programme.",
    "Assess together only cycles of one time, each of another programme.",
)
IN_PROGRESS = Problem(
    "assessment_in_progress",
    "Somebody is assessing the cycle {cycle} right now.",
    "Wait until it has ended, then look at the decisions.",
)

DECISION_COLUMNS = (
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
    LEFT JOIN assessment.run_terms USING (run_id)
    WHERE (snapshot_sha256, pack_hash, reference_date) = (%s, %s, %s)
      AND (%s::bigint IS NULL OR budget_minor = %s)
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
    `cycle_not_found`, `cycle_closed`, `role_missing`, `assessment_in_progress`, `assessed_alone`.
    """
    (run,) = assess_cycles(
        engine, [cycle_id], person_id=person_id, clock=clock, work=work, progress=progress
    )
    return run


def assess_cycles(
    engine: Engine,
    cycle_ids: Sequence[str],
    *,
    person_id: str,
    clock: Clock,
    work: Path,
    progress: Progress | None = None,
) -> tuple[Run, ...]:
    """Assess the cycles together, in this order, from one snapshot; one run for each.

    Raises what `assess_cycle` raises, `cycles_apart`, `order_contradicted`, `order_pack_twice`.
    """
    with ExitStack() as held:
        cycles = [held.enter_context(_alone(engine, cycle, person_id)) for cycle in cycle_ids]
        # Only whoever holds the cycle may empty its folder: somebody else may be working in it.
        folder = held.enter_context(_emptied(work / cycle_ids[0]))
        conn = held.enter_context(transaction(engine))
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        round_ = _round(conn, cycles, (person_id, clock))
        snapshot = _frozen(conn, round_, folder)
        frozen, judged, stored = parts(progress, [snapshot.household_rows] * 3)
        _told(frozen, snapshot)
        same = [
            _latest_if_same(conn, cycle, programme, snapshot, round_.grants[at])
            for at, (cycle, programme) in enumerate(round_.turns)
        ]
        known = tuple(run for run in same if run is not None)
        if len(known) == len(same):
            return known
        return _judge(conn, round_, snapshot, folder, (judged, stored))


@dataclass(frozen=True, slots=True)
class _Round:
    """The cycles that are assessed together, and what their grants have left where it matters."""

    turns: tuple[tuple[Cycle, Programme], ...]
    grants: tuple[int | None, ...]
    person_id: str
    clock: Clock


def _round(conn: Connection, cycles: Sequence[Cycle], by: tuple[str, Clock]) -> _Round:
    turns = tuple((cycle, programme_of(conn, cycle.programme_id)) for cycle in cycles)
    first = cycles[0]
    for other in cycles[1:]:
        if other.starts_on > first.ends_on or first.starts_on > other.ends_on:
            raise CYCLES_APART.refusal(first=first.cycle_id, other=other.cycle_id)
    rules = [programme.rules for _, programme in turns]
    if len(rules) == 1 and rules[0].after:
        raise ASSESSED_ALONE.refusal(
            programme=turns[0][1].code, earlier=" and ".join(rules[0].after)
        )
    check_order(rules)
    grants = tuple(_grant(conn, cycle, programme) for cycle, programme in turns)
    return _Round(turns, grants, *by)


def _grant(conn: Connection, cycle: Cycle, programme: Programme) -> int | None:
    """Return what the programme's grant has left, where its rules select within that."""
    if programme.rules.selection.budget != GRANT:
        return None
    (terms,) = accounts.terms_of(conn, [cycle.cycle_id])
    available = terms.budget_move("commitment").credit.code
    found = [row for row in balances.trial_balance(conn) if row.code == available]
    return max(0, found[0].available_minor) if found else 0


def _frozen(conn: Connection, round_: _Round, folder: Path) -> Snapshot:
    """Write the snapshot that all cycles of the round are decided from."""
    household: dict[str, str] = {}
    member: dict[str, str] = {}
    of_households: dict[str, sql.Composable] = {}
    of_members: dict[str, sql.Composable] = {}
    for cycle, programme in round_.turns:
        declared = programme.rules.inputs
        household |= declared.household
        member |= declared.member
        recorded = facts.recorded(cycle.cycle_id, declared.household, declared.member)
        of_households |= recorded[0]
        of_members |= recorded[1]
    return write_snapshot(conn, folder, household, member, (of_households, of_members))


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
        # Nobody records attendance, awards or a household's leaving meanwhile: what a run saw is
        # what was recorded before it.
        conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", (cycle_id,))
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
    conn: Connection,
    cycle: Cycle,
    programme: Programme,
    snapshot: Snapshot,
    grant_minor: int | None,
) -> Run | None:
    known = (
        cycle.cycle_id, bytes.fromhex(snapshot.sha256), bytes.fromhex(programme.rules.pack_hash),
        programme.reference_date_of(cycle.starts_on), grant_minor, grant_minor,
    )  # fmt: skip
    with conn.cursor(row_factory=class_row(Run)) as cursor:
        return cursor.execute(_SAME, known).fetchone()


def _judge(
    conn: Connection,
    round_: _Round,
    snapshot: Snapshot,
    folder: Path,
    progresses: tuple[Progress | None, Progress | None],
) -> tuple[Run, ...]:
    judged, stored = progresses
    turns = [
        Turn(
            programme.rules, programme.reference_date_of(cycle.starts_on), cycle.cycle_id,
            folder / f"decisions-{at}.parquet", round_.grants[at],
        )
        for at, (cycle, programme) in enumerate(round_.turns)
    ]  # fmt: skip
    totals = assess_in_order(snapshot.households, snapshot.members, turns, spill=folder)
    _told(judged, snapshot)
    kept.keep(conn, snapshot)
    runs: list[Run] = []
    for turn, total in zip(turns, totals, strict=True):
        before = runs[-1].run_id if runs else None
        run = _keep_run(conn, turn, total, snapshot, (round_, before))
        _store(conn, run.run_id, turn.out, stored if not runs else None)
        runs.append(run)
    return tuple(runs)


def _keep_run(
    conn: Connection,
    turn: Turn,
    totals: AssessmentTotals,
    snapshot: Snapshot,
    of: tuple[_Round, str | None],
) -> Run:
    """Store one run: what it was made from, what it was short of, and whom it reached."""
    round_, before = of
    at, person_id = round_.clock.now(), round_.person_id
    selection = turn.pack.selection
    run = Run(
        new_id("run", at), totals.registered, totals.eligible, totals.review, totals.selected,
    )  # fmt: skip
    conn.execute(
        "INSERT INTO assessment.run (run_id, cycle_id, snapshot_sha256, decisions_sha256,"
        " pack_hash, reference_date, seed, registered, eligible, review, selected, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (run.run_id, turn.seed, bytes.fromhex(snapshot.sha256),
         bytes.fromhex(totals.decisions_sha256), bytes.fromhex(turn.pack.pack_hash), turn.on,
         turn.seed, run.registered, run.eligible, run.review, run.selected, person_id, at),
    )  # fmt: skip
    unused_move = selection.quota is not None and selection.quota.unused == "move"
    conn.execute(
        "INSERT INTO assessment.run_terms (run_id, stratum_by, unused_move, budget_minor,"
        " after_run_id) VALUES (%s, %s, %s, %s, %s)",
        (run.run_id, stratum_of(selection), unused_move, totals.budget_minor, before),
    )
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO assessment.coverage (run_id, stratum, places, eligible, selected,"
            " waiting, people_selected, amount_minor) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(run.run_id, *astuple(stratum)) for stratum in totals.strata],
        )
    acts.record(
        conn, key=f"assess:{run.run_id}", verb="assess", object_id=run.run_id,
        body={"cycle": turn.seed, "snapshot": snapshot.sha256}, person_id=person_id,
        at=at, answer={"run": run.run_id, "selected": run.selected},
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
        cursor.copy(f"COPY decided ({', '.join(DECISION_COLUMNS)}) FROM STDIN") as copy,
    ):
        for batch in pq.ParquetFile(decisions).iter_batches(20_000, columns=list(DECISION_COLUMNS)):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                copy.write_row(row)
            rows += batch.num_rows
            if progress is not None:
                progress(rows, None)
    conn.execute("ANALYZE decided")
    conn.execute(_STORE, (run_id,))
    conn.execute("DROP TABLE decided")
