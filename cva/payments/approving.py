"""Approving and cancelling a plan: people sign its digest, and the last approval reserves money.

Preparer, approvers and releaser are pairwise different people with the role *finance*; the database
holds that, this module only asks for the passphrase that opens the signing key. The approval that
completes the required number commits the grant's budget in the same transaction: a plan that does
not fit is refused, also when two plans are approved at the same moment, because the account of the
available budget may not go below zero. From then on it is freed by cancelling the plan or by what
becomes of its lines, which the database holds too (`payments.check_reserved`).
"""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection, sql

from cva import acts, staff
from cva.identifiers import new_id
from cva.payments import planning, stopping
from cva.payments.accounts import Accounts, accounts_of, day_of
from cva.payments.planning import Plan
from ledgers.entries import EntryHead, record, reverse
from ledgers.problems import Answer, Problem
from ledgers.transfers import settle
from ledgers.transparency.bundle import PlanSignature

PREPARER_MAY_NOT_SIGN = Problem(
    "preparer_may_not_sign",
    "Who prepared a plan may not have it {act}.",
    "Another person with the role finance signs it.",
    Answer.NOT_PERMITTED,
)
SIGNED_ALREADY = Problem(
    "signed_already",
    "This person has signed the plan {plan} already.",
    "Approvers and releaser are different people: ask another one.",
    Answer.NOT_PERMITTED,
)
DIGEST_DIFFERS = Problem(
    "digest_differs",
    "The signature is for something else than the plan says.",
    "Look at the plan again, then sign what it says.",
)
PLAN_CANCELLED = Problem("plan_cancelled", "The plan {plan} was cancelled.", "Prepare a new plan.")
PLAN_ALREADY_RELEASED = Problem(
    "plan_already_released",
    "The plan {plan} has been released.",
    "A released plan is settled; what failed goes into a follow-up.",
)
APPROVALS_COMPLETE = Problem(
    "approvals_complete",
    "The plan {plan} has all the approvals it needs.",
    "A person who has not signed it releases it.",
)
APPROVALS_MISSING = Problem(
    "approvals_missing",
    "The plan has {given} of {needed} approvals.",
    "Ask the missing approvers.",
)
COMMITMENT_MISSING = Problem(
    "commitment_missing",
    "Nothing of the grant's budget is reserved for the plan {plan}.",
    "Cancel the plan and prepare it again; its last approval reserves the budget.",
)


_NOTHING_PAID = sql.SQL("""
    SELECT instruction_ref, 0::bigint AS amount_minor FROM payments.line
    WHERE plan_id = %(plan)s AND stopped IS NULL
""")


@dataclass(frozen=True, slots=True)
class Approval:
    """What an approval did: how many stand, how many are needed, whether money is reserved now."""

    given: int
    needed: int
    reserved_minor: int


def commitment_key(plan_id: str) -> str:
    """Return the key of the entry that reserves the plan's money."""
    return f"commit:{plan_id}"


def approve(
    conn: Connection, plan_id: str, *, person_id: str, passphrase: str, reason: str, at: datetime
) -> Approval:
    """Sign the plan's digest as an approver; the last approval needed reserves its money.

    The same person again gets the same answer. Raises `preparer_may_not_sign`, `role_missing`,
    `passphrase_wrong`, `approvals_complete`, `plan_cancelled`, `account_limit` (budget too small).
    """
    plan = planning.load(conn, plan_id)
    key, body = f"approve:{plan_id}:{person_id}", {"digest": plan.digest.hex()}
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return Approval(int(earlier["given"]), plan.approvers_needed, int(earlier["reserved"]))
    stopping.end_overdue(conn, plan.cycle_id, at)
    given = sign(
        conn, plan, "approved", person_id=person_id, passphrase=passphrase, reason=reason, at=at
    )
    reserved = plan.total_minor if given == plan.approvers_needed else 0
    if reserved:
        _commit_budget(conn, plan, person_id, at)
    acts.record(
        conn, key=key, verb="approve", object_id=plan_id, body=body, person_id=person_id, at=at,
        answer={"given": given, "reserved": reserved},
    )  # fmt: skip
    return Approval(given, plan.approvers_needed, reserved)


def sign(
    conn: Connection,
    plan: Plan,
    act: str,
    *,
    person_id: str,
    passphrase: str,
    reason: str,
    at: datetime,
) -> int:
    """Record the person's signature under the plan's digest; return how many approvals stand.

    `act` is `approved` or `released`. The order of the checks is the trigger's.
    """
    row = conn.execute(
        "SELECT act FROM payments.signature WHERE plan_id = %s AND person_id = %s",
        (plan.plan_id, person_id),
    ).fetchone()
    if row is not None:
        raise SIGNED_ALREADY.refusal(plan=plan.plan_id)
    signature = staff.sign(conn, person_id, passphrase, signed_message(plan, act))
    conn.execute(
        "INSERT INTO payments.signature (plan_id, person_id, act, digest, signature, reason, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (plan.plan_id, person_id, act, plan.digest, signature, reason, at),
    )
    row = conn.execute(
        "SELECT count(*) FROM payments.signature WHERE plan_id = %s AND act = 'approved'",
        (plan.plan_id,),
    ).fetchone()
    return int(row[0]) if row else 0


def signed_message(plan: Plan, act: str) -> bytes:
    """Return the bytes that are signed: what is done, to which plan, with which digest."""
    return f"cva/{act}/v1\n{plan.plan_id}\n{plan.digest.hex()}\n".encode()


def signatures(conn: Connection, plan_id: str) -> list[PlanSignature]:
    """Return who signed a plan, with the keys that check it."""
    rows = conn.execute(
        "SELECT act, person_id, public_key, signature FROM payments.signature"
        " JOIN staff.person USING (person_id) WHERE plan_id = %s ORDER BY act, person_id",
        (plan_id,),
    )
    return [PlanSignature(act, who, bytes(key), bytes(signed)) for act, who, key, signed in rows]


def cancel(conn: Connection, plan_id: str, *, person_id: str, reason: str, at: datetime) -> int:
    """Cancel a plan of which nothing can have been taken; its money is free again.

    Returns its lines. After the release that is a plan whose files were not handed over, or are
    known not to have been taken. The same cancellation again changes nothing. Raises
    `plan_already_released`, `role_missing`.
    """
    plan = planning.load(conn, plan_id)
    key, body = f"cancel:{plan_id}", {"plan": plan_id}
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return int(earlier["lines"])
    conn.execute(
        "INSERT INTO payments.cancellation (plan_id, reason, person_id, at)"
        " VALUES (%s, %s, %s, %s)",
        (plan_id, reason, person_id, at),
    )
    _void_holds(conn, plan, person_id, at)
    lines = conn.execute(
        "INSERT INTO payments.outcome (plan_id, line_no, step, kind, amount_minor, at)"
        " SELECT plan_id, line_no, 1, 'cancelled', 0, %s FROM payments.line"
        " WHERE plan_id = %s AND stopped IS NULL",
        (at, plan_id),
    ).rowcount
    committed = conn.execute(
        "SELECT entry_ref FROM books.entry WHERE key = %s", (commitment_key(plan_id),)
    ).fetchone()
    if committed is not None:
        head = EntryHead(
            entry_ref=new_id("je", at), key=f"uncommit:{plan_id}", event="commitment_released",
            effective_on=day_of(at), recorded_by=person_id, reason=f"plan {plan_id} cancelled",
            recorded_on=day_of(at),
        )  # fmt: skip
        reverse(conn, committed[0], head)
    acts.record(
        conn, key=key, verb="cancel", object_id=plan_id, body=body, person_id=person_id, at=at,
        answer={"lines": lines},
    )  # fmt: skip
    return lines


def _void_holds(conn: Connection, plan: Plan, person_id: str, at: datetime) -> None:
    released = conn.execute(
        "SELECT FROM payments.signature WHERE plan_id = %s AND act = 'released'", (plan.plan_id,)
    ).fetchone()
    if released is None:
        return
    head = EntryHead(
        entry_ref=new_id("je", at), key=f"unhold:{plan.plan_id}",
        event=accounts_of(conn, plan).events.failed,
        effective_on=day_of(at), recorded_by=person_id,
        reason=f"plan {plan.plan_id} cancelled",
        recorded_on=day_of(at),
    )  # fmt: skip
    settle(conn, head, _NOTHING_PAID, {"plan": plan.plan_id})


def _commit_budget(conn: Connection, plan: Plan, person_id: str, at: datetime) -> None:
    accounts: Accounts = accounts_of(conn, plan)
    head = EntryHead(
        entry_ref=new_id("je", at), key=commitment_key(plan.plan_id), event="commitment",
        effective_on=day_of(at), recorded_by=person_id, reason=f"plan {plan.plan_id} approved",
        recorded_on=day_of(at),
    )  # fmt: skip
    record(conn, head, accounts.budget_move("commitment", plan.total_minor))
