"""Why a household was decided so, from the stored run or from two plain files.

A stored decision is explained from the facts that the run read: the version of the household that
it names, and what was recorded in the cycle by then. The explanation must come to the stored
decision; where it does not, the kept snapshot is read instead, and where that does not either it is
refused: nobody is ever told a reason that was not the reason.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as ds
from psycopg import Connection
from psycopg.rows import dict_row

from cva.clock import ZONE
from cva.comparing import emptied
from cva.programmes.naming import pack_named
from cva.registry.kept import restore
from cva.registry.snapshot import decided_at, read_by, write_snapshot
from cva.replaying import StoredRun, pack_of_run, stored_run
from cva.rules_on_files import MEMORY_MB, THREADS, pack_of
from cva.selection import facts
from eligibility.plain_files import snapshot_of
from eligibility.rules.checked import rules_of
from eligibility.rules.explain import Explanation, Status, explain
from eligibility.rules.pack import RulePack
from eligibility.rules.phrases import Language, phrase
from eligibility.rules.rows import Value
from eligibility.rules.telling import Line, tell
from eligibility.snapshot import engine
from ledgers.problems import Answer, Problem, Refusal

HOUSEHOLD_NOT_DECIDED = Problem(
    "household_not_decided",
    "No run has decided the household {household}.",
    "Check the id, or assess a cycle first.",
    Answer.NOT_FOUND,
)
HOUSEHOLD_NOT_LISTED = Problem(
    "household_not_listed",
    "The file {file} has no household {household}.",
    "Check the household_id, as it stands in that file.",
    Answer.NOT_FOUND,
)
EXPLAIN_WITHOUT_FILES = Problem(
    "explain_without_files",
    "A pack alone explains nobody; missing: {missing}.",
    "Give --households, --members and --on with --file, as for `cva rules run`.",
    Answer.USAGE,
)
EXPLAIN_DIFFERS = Problem(
    "explain_differs",
    "The reasons found for {household} do not come to the stored decision of the run {run}.",
    "Replay the run: the database or the release of the program has changed.",
)

# Reasons of a run that are not in the household's own facts.
SET_ASIDE = frozenset({"taken", "open", "excluded", "nothing_due"})
Facts = tuple[Mapping[str, Value | None], Sequence[Mapping[str, Value | None]]]


@dataclass(frozen=True, slots=True)
class Plain:
    """A pack and two plain files, as of a day."""

    pack: RulePack
    households: Path
    members: Path
    on: date

    @classmethod
    def of(
        cls, name: str, households: Path | None, members: Path | None, on: date | None
    ) -> "Plain":
        """Return what was given, or refuse what is missing with `explain_without_files`."""
        if households is None or members is None or on is None:
            given = {"--households": households, "--members": members, "--on": on}
            missing = ", ".join(option for option, value in given.items() if value is None)
            raise EXPLAIN_WITHOUT_FILES.refusal(missing=missing)
        return cls(pack_named(name, read=pack_of), households, members, on)


def explain_on_files(household_id: str, plain: Plain, language: Language) -> tuple[Line, ...]:
    """Return why a household of two CSV files is decided so.

    Raises `household_not_listed` and what `cva rules run` raises.
    """
    rules = rules_of(plain.pack)
    with tempfile.TemporaryDirectory(prefix="cva-rules-") as made:
        folder = Path(made)
        with engine(folder, MEMORY_MB, THREADS) as connection:
            snapshot = snapshot_of(connection, plain.households, plain.members, rules, folder)
        unlisted = HOUSEHOLD_NOT_LISTED.refusal(file=plain.households.name, household=household_id)
        found = _facts_in((snapshot.households, snapshot.members), household_id, unlisted)
    return tell(explain(*found, plain.pack, plain.on), rules, language)


def explain_stored(
    conn: Connection, household_id: str, run_id: str, work: Path, language: Language
) -> tuple[Line, ...]:
    """Return why a household was decided so in a run; by default in the latest that decided it.

    Raises `run_unknown`, `household_not_decided`, `explain_differs`.
    """
    decision = _decision(conn, household_id, run_id)
    run = stored_run(conn, str(decision["run_id"]))
    pack = pack_of_run(conn, run)
    with emptied(work / f"explain-{household_id}") as folder:
        why = explain(*_facts_now(conn, run, pack, household_id, folder), pack, run.reference_date)
        if not _same(why, decision):
            kept = _facts_in(restore(conn, bytes(run.snapshot_sha256), folder), household_id)
            why = explain(*kept, pack, run.reference_date)
    if not _same(why, decision):
        raise EXPLAIN_DIFFERS.refusal(household=household_id, run=run.run_id)
    return (*_standing(conn, decision, run, language), *tell(why, rules_of(pack), language))


def _decision(conn: Connection, household_id: str, run_id: str) -> Mapping[str, object]:
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "SELECT d.* FROM assessment.decision d JOIN assessment.run r USING (run_id)"
            " WHERE d.household_id = %s AND %s IN ('', d.run_id)"
            " ORDER BY r.at DESC, r.run_id DESC LIMIT 1",
            (household_id, run_id),
        ).fetchone()
    if row is None:
        if run_id:
            stored_run(conn, run_id)  # there is no such run, rather than no such household in it
        raise HOUSEHOLD_NOT_DECIDED.refusal(household=household_id)
    return row


def _facts_now(
    conn: Connection, run: StoredRun, pack: RulePack, household_id: str, folder: Path
) -> Facts:
    """Return the facts of the version that the run read, with what is recorded in its cycle."""
    inputs = pack.inputs
    recorded = facts.recorded(run.cycle_id, inputs.household, inputs.member, run.at)
    snapshot = write_snapshot(
        conn, folder, pack.inputs.household, pack.inputs.member, recorded,
        read_by(run.run_id, household_id), decided_at(run.run_id),
    )  # fmt: skip
    return _facts_in((snapshot.households, snapshot.members), household_id)


def _facts_in(
    files: tuple[Path, Path], household_id: str, otherwise: Refusal | None = None
) -> Facts:
    """Return one household of a snapshot and its members, in their order.

    Raises `otherwise`, by default `household_not_decided`, where it is not there.
    """
    wanted = pc.field("household_id") == household_id
    households, members = (
        ds.dataset(file).to_table(filter=wanted).to_pylist() for file in files
    )  # fmt: skip
    if not households:
        raise otherwise or HOUSEHOLD_NOT_DECIDED.refusal(household=household_id)
    return households[0], members


def _same(why: Explanation, decision: Mapping[str, object]) -> bool:
    """Whether an explanation comes to the stored decision, as far as the household decides it."""
    bits = (why.pass_bits, why.unknown_bits) == (decision["pass_bits"], decision["unknown_bits"])
    set_aside = str(decision["reason"]).startswith(("excluded:", "taken:", "open:", "discretion"))
    if set_aside or why.status is not Status.ELIGIBLE:
        return bits and (set_aside or why.status == decision["status"])
    amount = decision["amount_minor"]
    return bits and decision["status"] == why.status and amount in (None, why.amount_minor)


def _standing(
    conn: Connection, decision: Mapping[str, object], run: StoredRun, language: Language
) -> tuple[Line, ...]:
    """Return whether the household is served now, which depends on all the others."""
    left, promoted = _moved(conn, run, str(decision["household_id"]))
    reason, _, what = str(decision["reason"]).partition(":")
    holes: dict[str, object] = {"what": what}
    if left is not None:
        code, holes = "served_left", {"on": left[0], "reason": left[1]}
    elif promoted:
        code = "served_promoted"
    elif decision["selected"]:
        code, holes = "served_now", {"rank": decision["rank"]}
        code = "served_listed" if decision["rank"] is None else code
    elif decision["waitlist_position"] is not None:
        code, holes = "served_waits", {"position": decision["waitlist_position"]}
    else:
        code = f"served_{reason}" if reason in SET_ASIDE else "served_no"
    return (
        Line(0, phrase(code, language, **holes)),
        Line(
            1, phrase("of_run", language, run=run.run_id, snapshot=run.snapshot_sha256.hex()[:16])
        ),
    )


def _moved(
    conn: Connection, run: StoredRun, household_id: str
) -> tuple[tuple[date, str] | None, bool]:
    """Return when and why the household left the cycle, if it did, and if the run promoted it."""
    left = conn.execute(
        "SELECT at, reason FROM assessment.leaving WHERE (cycle_id, household_id) = (%s, %s)",
        (run.cycle_id, household_id),
    ).fetchone()
    promoted = conn.execute(
        "SELECT FROM assessment.promotion WHERE (run_id, household_id) = (%s, %s)",
        (run.run_id, household_id),
    ).fetchone()
    when = None if left is None else (left[0].astimezone(ZONE).date(), left[1])
    return when, promoted is not None
