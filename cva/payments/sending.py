"""Sending a released plan: the outbox's files are rendered, handed over, and the answer is kept.

A file is rendered once: the same bytes, message id and checksum every time, or the sending stops.
Handing over is recorded before the first byte leaves and its answer afterwards, so that a crash in
between leaves a hand-over without an answer: UNKNOWN. The next run hands the same bytes over under
the same message id, which every provider of ours answers with what it knows, never with a second
execution. A new file for the same lines exists only after the earlier one is known not to have been
taken: by the provider's refusal of the whole file, or by a person on written evidence.

A clock that was set back is refused before anything leaves; what a provider answered is kept
whatever the clock says by then. Rendered files hold names and accounts: they live in a closed
folder, for as long as it takes.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from psycopg import Connection
from psycopg.rows import class_row
from sqlalchemy import Engine

from adapters.port import Control, Instruction, Order, Outcome, Receipt
from cva import acts, staff
from cva.clock import Clock
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.payments import planning
from cva.payments.approving import PLAN_CANCELLED
from cva.payments.planning import Plan
from cva.payments.releasing import message_id
from cva.progress import Progress, counted, parts
from cva.providers import Provider
from cva.vault import Vault
from ledgers import money
from ledgers.problems import Answer, Problem

PLAN_NOT_RELEASED = Problem(
    "plan_not_released", "The plan {plan} has not been released.", "Release the plan first."
)
FILE_NOT_FOUND = Problem(
    "file_not_found", "There is no file {file}.", "Show the plan: it lists its files.",
    Answer.NOT_FOUND,
)  # fmt: skip
FILE_MAY_HAVE_BEEN_TAKEN = Problem(
    "file_may_have_been_taken",
    "An earlier file for lines of the plan {plan} may have been taken.",
    "Ask the provider about the earlier file; record its answer first.",
)
FILE_WAS_TAKEN = Problem(
    "file_was_taken",
    "The provider answered for the file {file}.",
    "Collect the answers and settle the lines.",
)
FILE_NOT_OPEN = Problem(
    "file_not_open",
    "The file {file} is not to be handed over: it was taken, refused, replaced or has ended lines.",
    "Collect the answers and settle the plan.",
)
FILE_DIFFERS_FROM_LINES = Problem(
    "file_differs_from_lines",
    "A file of the plan {plan} says something else than its open lines add up to.",
    "Send the plan again: its files are made from its lines.",
)
RENDERING_DIFFERS = Problem(
    "rendering_differs",
    "The file {message} would not have the bytes it had before ({before}, now {now}).",
    "Nothing was sent. Keep both checksums and tell the people who run the system.",
)
SEND_IN_PROGRESS = Problem(
    "send_in_progress",
    "Somebody is sending the plan {plan} right now.",
    "Wait until it has ended, then look at the plan.",
)
WRONG_PROVIDER = Problem(
    "wrong_provider",
    "The plan is for the provider {expected}, not {given}.",
    "Name the provider of the plan.",
)


@dataclass(frozen=True, slots=True)
class OutboxFile:
    """One file of the outbox; sums in minor units."""

    file_id: str
    plan_id: str
    part: int
    generation: int
    message_id: str
    created_at: datetime
    first_line: int
    last_line: int
    control_count: int
    control_sum_minor: int


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one hand-over."""

    message_id: str
    control_count: int
    control_sum_minor: int
    outcome: Outcome
    detail: str


_OPEN_FILES = """
    SELECT file_id, plan_id, part, generation, message_id, created_at, first_line, last_line,
           control_count, control_sum_minor
    FROM payments.outbox WHERE plan_id = %s ORDER BY part, generation
"""

# Parts whose files were all not taken get a file of the next generation.
_NEXT_GENERATION = """
    SELECT part, max(generation) + 1, min(first_line), max(last_line), max(control_count),
           max(control_sum_minor)
    FROM payments.file f LEFT JOIN payments.not_taken n USING (file_id)
    WHERE f.plan_id = %s GROUP BY part HAVING count(*) = count(n.file_id)
"""

_INSTRUCTIONS = """
    SELECT l.instruction_ref, l.amount_minor, v.household_id, v.revision, k.wrapped, v.sealed
    FROM payments.line l
    JOIN registry.version v USING (version_id)
    JOIN registry.household_key k ON k.household_id = v.household_id
    WHERE l.plan_id = %s AND l.line_no BETWEEN %s AND %s AND l.stopped IS NULL
    ORDER BY l.line_no
"""


def send(
    engine: Engine,
    vault: Vault,
    provider: Provider,
    plan_id: str,
    *,
    person_id: str,
    clock: Clock,
    spool: Path,
    progress: Progress | None = None,
) -> list[Sent]:
    """Hand over every file of the plan that has no accepted answer; return what became of each.

    Safe to run again at any time. `spool` is a closed folder for the rendered files; what a killed
    run left there is removed. `progress` is told the lines written, over all files. Raises
    `plan_not_released`, `plan_cancelled`, `wrong_provider`, `send_in_progress`,
    `rendering_differs`, `file_not_open`, `role_missing`.
    """
    with _alone(engine, plan_id):
        with transaction(engine) as conn:
            _clear(conn, plan_id, spool)
            staff.require(conn, person_id, "finance")
            plan = planning.load(conn, plan_id)
            _check(conn, plan, provider)
            _add_generations(conn, plan, clock.now())
            files = _open_files(conn, plan_id)
        each = zip(files, parts(progress, [f.control_count for f in files]), strict=True)
        by = (person_id, clock)
        return [_send_file(engine, vault, provider, plan, f, by, spool, p) for f, p in each]


def record_not_taken(
    conn: Connection, file_id: str, *, evidence: str, person_id: str, at: datetime
) -> None:
    """Record the provider's written word that a file was not taken; `send` then makes a new one.

    Raises `file_was_taken` where anything says otherwise, `file_not_found`, `send_in_progress`,
    `role_missing`.
    """
    staff.require(conn, person_id, "finance")
    row = conn.execute(
        "SELECT plan_id FROM payments.file WHERE file_id = %s", (file_id,)
    ).fetchone()
    if row is None:
        raise FILE_NOT_FOUND.refusal(file=file_id)
    require_not_sending(conn, row[0])
    if _not_taken(conn, file_id, evidence, person_id, at):
        acts.record(
            conn, key=f"not_taken:{file_id}", verb="not_taken", object_id=row[0],
            body={"file": file_id}, person_id=person_id, at=at, answer={"file": file_id},
        )  # fmt: skip


def require_not_sending(conn: Connection, plan_id: str, *, with_others: bool = False) -> None:
    """Keep others from sending the plan until the transaction ends, or raise `send_in_progress`.

    `with_others` lets others who say the same do so at the same moment, as several settlements
    that wait for each other elsewhere do.
    """
    lock = "pg_try_advisory_xact_lock_shared" if with_others else "pg_try_advisory_xact_lock"
    row = conn.execute(f"SELECT {lock}(hashtextextended(%s, 4))", (plan_id,)).fetchone()
    if row is None or not row[0]:
        raise SEND_IN_PROGRESS.refusal(plan=plan_id)


def _not_taken(conn: Connection, file_id: str, evidence: str, person_id: str, at: datetime) -> bool:
    inserted = conn.execute(
        "INSERT INTO payments.not_taken (file_id, evidence, person_id, at)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (file_id, evidence, person_id, at),
    ).rowcount
    return inserted == 1


def render(
    conn: Connection,
    vault: Vault,
    provider: Provider,
    plan: Plan,
    file: OutboxFile,
    path: Path,
    progress: Progress | None = None,
) -> Control:
    """Write the file for the provider to `path`; the same file always has the same bytes."""
    order = Order(
        message_id=file.message_id,
        operation=provider.operation,
        created_at=file.created_at,
        execute_on=plan.execute_on,
        currency=plan.currency,
        exponent=money.exponent(plan.currency),
        control_count=file.control_count,
        control_sum_minor=file.control_sum_minor,
        debtor_name=provider.debtor_name,
        debtor_account=provider.debtor_account,
        debtor_agent=provider.debtor_agent,
    )
    lines = counted(_instructions(conn, vault, provider, file), progress, file.control_count)
    with path.open("xb") as out:
        return provider.format.render(order, lines, out)


def _instructions(
    conn: Connection, vault: Vault, provider: Provider, file: OutboxFile
) -> Iterator[Instruction]:
    with conn.cursor(name="instructions") as cursor:
        cursor.itersize = 2000
        cursor.execute(_INSTRUCTIONS, (file.plan_id, file.first_line, file.last_line))
        for ref, amount_minor, household_id, revision, wrapped, sealed in cursor:
            personal = vault.open_household(household_id, revision, wrapped, sealed)
            yield Instruction(
                ref=ref,
                amount_minor=amount_minor,
                destination=personal.destination(provider.destination),
                payee_name=personal.payee_name() if provider.names_payee else "",
                remittance=provider.remittance,
            )


def _send_file(
    engine: Engine,
    vault: Vault,
    provider: Provider,
    plan: Plan,
    file: OutboxFile,
    by: tuple[str, Clock],
    spool: Path,
    progress: Progress | None,
) -> Sent:
    person_id, clock = by
    with _closed_folder(spool / file.message_id) as folder:
        path = folder / f"{file.message_id}{provider.suffix}"
        with transaction(engine) as conn:
            control = render(conn, vault, provider, plan, file, path, progress)
            _same_bytes(conn, file, control, clock.now())
            attempt = _begin(conn, file, provider, person_id, clock.now())
        receipt = provider.channel.hand_over(path.name, path, control.sha256)
    with transaction(engine) as conn:
        _answer(conn, file, attempt, receipt, person_id, clock.now())
    return Sent(
        file.message_id, file.control_count, file.control_sum_minor, receipt.outcome, receipt.detail
    )


def _same_bytes(conn: Connection, file: OutboxFile, control: Control, at: datetime) -> None:
    row = conn.execute(
        "SELECT encode(sha256, 'hex') FROM payments.rendering WHERE file_id = %s", (file.file_id,)
    ).fetchone()
    if row is None:
        conn.execute(
            "INSERT INTO payments.rendering (file_id, sha256, size_bytes, rendered_at)"
            " VALUES (%s, %s, %s, %s)",
            (file.file_id, bytes.fromhex(control.sha256), control.size_bytes, at),
        )
    elif row[0] != control.sha256:
        raise RENDERING_DIFFERS.refusal(
            message=file.message_id, before=row[0][:12], now=control.sha256[:12]
        )


def _begin(
    conn: Connection, file: OutboxFile, provider: Provider, person_id: str, at: datetime
) -> int:
    row = conn.execute(
        "INSERT INTO payments.handover (file_id, attempt, recipient, control_count,"
        " control_sum_minor, person_id, begun_at)"
        " SELECT %s, coalesce(max(attempt), 0) + 1, %s, %s, %s, %s, %s"
        " FROM payments.handover WHERE file_id = %s RETURNING attempt",
        (file.file_id, provider.code, file.control_count, file.control_sum_minor, person_id, at,
         file.file_id),
    ).fetchone()  # fmt: skip
    return int(row[0]) if row else 1


def _answer(
    conn: Connection,
    file: OutboxFile,
    attempt: int,
    receipt: Receipt,
    person_id: str,
    at: datetime,
) -> None:
    conn.execute(
        "INSERT INTO payments.handover_answer (file_id, attempt, outcome, detail, provider_ref,"
        " answered_at) VALUES (%s, %s, %s, %s, %s, %s)",
        (file.file_id, attempt, receipt.outcome, receipt.detail, receipt.provider_ref, at),
    )
    # A refusal speaks of this hand-over; an earlier one that nobody answered may have arrived.
    others = conn.execute(
        "SELECT FROM payments.handover h LEFT JOIN payments.handover_answer a"
        " USING (file_id, attempt) WHERE h.file_id = %s AND a.outcome IS DISTINCT FROM 'rejected'",
        (file.file_id,),
    ).fetchone()
    if others is None:
        evidence = f"hand-over {attempt}: {receipt.detail}"
        _not_taken(conn, file.file_id, evidence, person_id, at)
    acts.record(
        conn, key=f"send:{file.file_id}:{attempt}", verb="send", object_id=file.plan_id,
        body={"file": file.file_id}, person_id=person_id, at=at,
        answer={"outcome": receipt.outcome.value},
    )  # fmt: skip


def _check(conn: Connection, plan: Plan, provider: Provider) -> None:
    if plan.provider != provider.code:
        raise WRONG_PROVIDER.refusal(expected=plan.provider, given=provider.code)
    released = conn.execute(
        "SELECT FROM payments.signature WHERE plan_id = %s AND act = 'released'", (plan.plan_id,)
    ).fetchone()
    if released is None:
        raise PLAN_NOT_RELEASED.refusal(plan=plan.plan_id)
    cancelled = conn.execute(
        "SELECT FROM payments.cancellation WHERE plan_id = %s", (plan.plan_id,)
    ).fetchone()
    if cancelled is not None:
        raise PLAN_CANCELLED.refusal(plan=plan.plan_id)


def _add_generations(conn: Connection, plan: Plan, at: datetime) -> None:
    rows = conn.execute(_NEXT_GENERATION, (plan.plan_id,)).fetchall()
    for part, generation, first_line, last_line, count, sum_minor in rows:
        conn.execute(
            "INSERT INTO payments.file (file_id, plan_id, part, generation, message_id, created_at,"
            " first_line, last_line, control_count, control_sum_minor)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (new_id("fil", at), plan.plan_id, part, generation,
             message_id(plan.plan_id, part, generation), at, first_line, last_line, count,
             sum_minor),
        )  # fmt: skip


def _open_files(conn: Connection, plan_id: str) -> list[OutboxFile]:
    with conn.cursor(row_factory=class_row(OutboxFile)) as cursor:
        return cursor.execute(_OPEN_FILES, (plan_id,)).fetchall()


@contextmanager
def _alone(engine: Engine, plan_id: str) -> Iterator[None]:
    # Held on a connection of its own: it goes when this process goes, however that happens.
    with transaction(engine) as conn:
        require_not_sending(conn, plan_id)
        yield


def _clear(conn: Connection, plan_id: str, spool: Path) -> None:
    """Remove what a killed run left of the plan's files; nobody else is sending it now."""
    query = "SELECT message_id FROM payments.file WHERE plan_id = %s"
    for (name,) in conn.execute(query, (plan_id,)):
        shutil.rmtree(spool / name, ignore_errors=True)


@contextmanager
def _closed_folder(folder: Path) -> Iterator[Path]:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
