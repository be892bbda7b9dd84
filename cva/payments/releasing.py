"""Releasing a plan: one transaction that makes it certain the plan will be paid, once.

The releaser signs the digest; every line that is not stopped becomes a pending transfer, which
reserves the provider's float or the bank balance (where value stays on the households' wallets
until it is used, these are opened here); and the outbox gets one row for each file. After
the commit a crash anywhere is resumed by *sending*; before it nothing has happened.
"""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql

from cva import acts
from cva.identifiers import new_id
from cva.payments import planning, stopping
from cva.payments.accounts import Accounts, accounts_of, day_of, wallet_ref
from cva.payments.approving import sign, signatures
from cva.payments.planning import Plan
from cva.progress import Progress, stages
from ledgers.entries import EntryHead
from ledgers.problems import Problem
from ledgers.transfers import hold
from ledgers.transparency.bundle import signatures_digest
from ledgers.wallets import open_wallets

# Banks commonly cap a file near 50,000 instructions; a plan beyond that is sent in parts.
LINES_PER_FILE = 50_000

NOTHING_TO_RELEASE = Problem(
    "nothing_to_release",
    "Every line of the plan {plan} is stopped.",
    "Decide about the stopped lines, then prepare a follow-up.",
)
PLAN_DUPLICATES = Problem(
    "plan_duplicates",
    "{lines:line|lines} of the plan {plan} would pay a registration that was merged into another,"
    " that may for certain be another one's, or whose household is paid as another one.",
    "Cancel the plan and prepare it again: these lines stop until people have decided.",
)

_STAGES = 2  # its money is on hold, it stands in a file
_HOLDS = sql.SQL("""
    SELECT %(loaded)s::integer AS debit_account_id, %(source)s::integer AS credit_account_id,
           amount_minor, %(currency)s::char(3) AS currency, %(grant)s::text AS grant_code,
           %(programme)s::text AS programme_id, cycle_id, %(provider)s::text AS provider,
           coalesce(province, '') AS location, instruction_ref,
           {wallet}::bigint AS wallet_id, NULL::date AS expires_on
    FROM payments.line WHERE plan_id = %(plan)s AND stopped IS NULL
""")
_NO_WALLET = sql.SQL("NULL")
_WALLET = sql.SQL("""(
    SELECT w.wallet_id FROM books.wallet w
    WHERE w.wallet_ref = %(wallets)s::text || household_id)""")
_WALLETS = sql.SQL("""
    SELECT %(wallets)s::text || household_id, %(provider)s::text, %(on)s::date
    FROM payments.line WHERE plan_id = %(plan)s AND stopped IS NULL
""")

_PARTS = """
    SELECT part, min(line_no), max(line_no), count(*), sum(amount_minor)::bigint
    FROM (SELECT line_no, amount_minor,
                 (row_number() OVER (ORDER BY line_no) - 1) / %s + 1 AS part
          FROM payments.line WHERE plan_id = %s AND stopped IS NULL) numbered
    GROUP BY part ORDER BY part
"""


@dataclass(frozen=True, slots=True)
class Release:
    """What a release put on its way."""

    lines: int
    total_minor: int
    files: int


def release(
    conn: Connection,
    plan_id: str,
    *,
    person_id: str,
    passphrase: str,
    reason: str,
    at: datetime,
    progress: Progress | None = None,
) -> Release:
    """Sign the release, hold the money of every line and fill the outbox: all or nothing.

    The same person again gets the same answer. `progress` is told how often a line has gone through
    one of the two stages. Raises `approvals_missing`, `preparer_may_not_sign`,
    `signed_already`, `account_limit` (the float is too small), `plan_cancelled`,
    `plan_duplicates`, `commitment_missing`, and `plan_overlaps`, which keeps what was found.
    """
    from cva.payments import overlapping

    plan = planning.load(conn, plan_id)
    key, body = f"release:{plan_id}:{person_id}", {"digest": plan.digest.hex()}
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return Release(int(earlier["lines"]), plan.total_minor, int(earlier["files"]))
    if plan.lines == plan.stopped_lines:
        raise NOTHING_TO_RELEASE.refusal(plan=plan_id)
    stopping.end_overdue(conn, plan.cycle_id, at)
    overlapping.look_again(conn, plan_id, plan.cycle_id, at)
    with conn.transaction():  # what was just found outlives the refusal it leads to
        sign(
            conn, plan, "released", person_id=person_id, passphrase=passphrase, reason=reason, at=at
        )
    lines = plan.lines - plan.stopped_lines
    through = stages(progress, _STAGES, lines)
    _hold_lines(conn, plan, accounts_of(conn, plan), person_id, at)
    next(through)
    files = _fill_outbox(conn, plan, at)
    next(through)
    acts.record(
        conn, key=key, verb="release", object_id=plan_id, body=body, person_id=person_id, at=at,
        answer={"lines": lines, "files": files},
    )  # fmt: skip
    return Release(lines, plan.total_minor, files)


def _hold_lines(
    conn: Connection, plan: Plan, accounts: Accounts, person_id: str, at: datetime
) -> None:
    # The entry names who signed what, so that nobody can put other approvals under it later.
    signed = signatures_digest(plan.plan_id, plan.digest, signatures(conn, plan.plan_id))
    head = EntryHead(
        entry_ref=new_id("je", at), key=f"hold:{plan.plan_id}", event=accounts.events.instructed,
        effective_on=day_of(at), recorded_by=person_id,
        reason=f"plan {plan.plan_id} released; evidence {signed.hex()}",
        recorded_on=day_of(at),
    )  # fmt: skip
    values = {
        "loaded": accounts.loaded, "source": accounts.source, "currency": plan.currency,
        "grant": accounts.grant_code, "programme": accounts.programme_id,
        "provider": plan.provider, "plan": plan.plan_id, "on": day_of(at),
        "wallets": wallet_ref(plan.provider, ""),
    }  # fmt: skip
    if accounts.has_wallets:
        open_wallets(conn, _WALLETS, values)
    wallet = _WALLET if accounts.has_wallets else _NO_WALLET
    hold(conn, head, _HOLDS.format(wallet=wallet), values)


def _fill_outbox(conn: Connection, plan: Plan, at: datetime) -> int:
    parts = conn.execute(_PARTS, (LINES_PER_FILE, plan.plan_id)).fetchall()
    for part, first_line, last_line, count, sum_minor in parts:
        conn.execute(
            "INSERT INTO payments.file (file_id, plan_id, part, generation, message_id, created_at,"
            " first_line, last_line, control_count, control_sum_minor)"
            " VALUES (%s, %s, %s, 1, %s, %s, %s, %s, %s, %s)",
            (new_id("fil", at), plan.plan_id, part, message_id(plan.plan_id, part, 1), at,
             first_line, last_line, count, sum_minor),
        )  # fmt: skip
    return len(parts)


def message_id(plan_id: str, part: int, generation: int) -> str:
    """Return a file's identity for the provider: it tells plan, part and generation.

    >>> message_id("plan_01arz3ndektsv4rrffq69g5fav", 1, 1)
    '01ARZ3NDEKTSV4RRFFQ69G5FAV00101'
    """
    return f"{plan_id.removeprefix('plan_').upper()}{part:03d}{generation:02d}"
