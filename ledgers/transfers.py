"""Mass events: a whole plan's holds, and what becomes of them, as one entry and one statement each.

A *hold* reserves money before it moves: one pending transfer per instruction, which counts against
the limit of the account the money will leave. It is resolved once: *posted* with what was really
paid (the rest is released) or *voided*. A *single* transfer moves money without a hold (a return).

Sources are SQL selects put together by the caller, with named parameters: a million lines never
pass through Python. Each call is one statement: it reads the source once, makes its digest, claims
the key and adds the transfers; a repetition with an equal source changes nothing, in any order of
its rows. Parameters named `entry_…` are taken. An empty source records nothing and claims no key.

Two-phase rules: TigerBeetle, "Two-Phase Transfers" (docs/coding/two-phase-transfers.md).
The functions work inside the caller's transaction and never commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Never

from psycopg import Connection, errors, sql
from psycopg.rows import class_row

from ledgers.entries import (
    KEY_USED_DIFFERENTLY,
    EntryHead,
    body_prefix,
    corrected,
    require_reason,
    require_same,
)
from ledgers.problems import Problem

HOLD_UNKNOWN = Problem(
    "hold_unknown",
    "Nothing is on hold for the instruction {instruction}.",
    "Release the plan first, or record what was paid without a hold as a transfer of its own.",
)
HOLD_ALREADY_RESOLVED = Problem(
    "hold_already_resolved",
    "The hold of the instruction {instruction} is already posted or voided.",
    "Look at how it was resolved; what came later is a return or a transfer of its own.",
)
HOLD_EXCEEDED = Problem(
    "hold_exceeded",
    "The instruction {instruction} would be posted with more than is on hold for it.",
    "Post at most what is on hold; record what was paid above it as a transfer of its own.",
)
HOLD_EXPIRED = Problem(
    "hold_expired",
    "The term of the hold of the instruction {instruction} is over.",
    "Let it expire; what was paid all the same is recorded as a transfer of its own.",
)
HOLD_CHANGED = Problem(
    "hold_changed",
    "The resolution of the instruction {instruction} differs from its hold beyond the amount.",
    "Resolve the hold with its own accounts, currency, grant and dimensions; void all of it.",
)
INSTRUCTION_HELD_TWICE = Problem(
    "instruction_held_twice",
    "An instruction of this list is already on hold, or stands in the list twice.",
    "Give every instruction a reference of its own, and hold it once.",
)
INSTRUCTION_TWICE = Problem(
    "instruction_twice",
    "An instruction stands in the list more than once.",
    "Decide what became of each instruction once.",
)
AMOUNT_UNFIT = Problem(
    "amount_unfit",
    "The amount of the instruction {instruction} is missing or too low.",
    "Give amounts above zero; 0 voids a hold.",
)
CURRENCIES_MIXED = Problem(
    "currencies_mixed",
    "The list holds more than one currency.",
    "Record one list for each currency.",
)

NO_PARAMS: Mapping[str, object] = {}

_COLUMNS = sql.SQL(
    "debit_account_id, credit_account_id, amount_minor, currency, grant_code, programme_id,"
    " cycle_id, provider, location, instruction_ref, wallet_id, expires_on"
)
KEPT = sql.SQL(
    "debit_account_id, credit_account_id, currency, grant_code, programme_id, cycle_id, provider,"
    " location, instruction_ref, wallet_id"
)

CLAIM = sql.SQL("""
    claim AS (
        INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_on,
                                 recorded_by, reason, adjustment, corrects)
        SELECT %(entry_ref)s, %(entry_key)s, d.body_hash, %(entry_event)s, %(entry_on)s,
               %(entry_recorded_on)s, %(entry_by)s, %(entry_reason)s, %(entry_adjustment)s,
               %(entry_corrects)s
        FROM digest d WHERE d.lines > 0 AND d.sound
        ON CONFLICT (key) DO NOTHING
        RETURNING entry_id
    )
""")

_MOVE = sql.SQL("""
    WITH source ({columns}) AS MATERIALIZED ({source}),
    digest AS (
        SELECT count(*) AS lines, coalesce(sum(amount_minor), 0)::bigint AS amount_minor,
               coalesce(bool_and(coalesce(amount_minor > 0, false)), true)
                   AND (min(currency) < max(currency)) IS NOT TRUE AS sound,
               CASE WHEN min(currency) < max(currency) THEN 2 ELSE 1 END AS currencies,
               min(instruction_ref) FILTER (WHERE (amount_minor > 0) IS NOT TRUE) AS unfit_ref,
               sha256(convert_to(concat_ws(' ', %(entry_body)s::text, count(*),
                   sum(amount_minor)), 'UTF8')) AS body_hash
        FROM source
    ), {claim}, moved AS (
        INSERT INTO books.transfer (entry_id, line_no, phase, {columns})
        SELECT c.entry_id, row_number() OVER (ORDER BY s.instruction_ref), %(entry_phase)s,
               {columns}
        FROM source s CROSS JOIN claim c
    )
    SELECT d.*, (SELECT entry_id FROM claim) AS entry_id FROM digest d
""")

_SETTLE = sql.SQL("""
    WITH source (instruction_ref, amount_minor) AS ({source}),
    line AS MATERIALIZED (
        SELECT s.instruction_ref, s.amount_minor, p.transfer_id, p.amount_minor AS held_minor,
               r.transfer_id AS resolution_id, p.debit_account_id, p.credit_account_id, p.currency,
               p.grant_code, p.programme_id, p.cycle_id, p.provider, p.location,
               p.wallet_id, p.expires_on, row_number() OVER in_order AS line_no,
               lag(p.transfer_id) OVER in_order = p.transfer_id AS is_repeated
        FROM source s
        LEFT JOIN books.transfer p
            ON p.instruction_ref = s.instruction_ref AND p.phase = 'pending'
        LEFT JOIN books.transfer r ON r.pending_id = p.transfer_id
        WINDOW in_order AS (ORDER BY p.transfer_id)
    ), digest AS (
        SELECT count(*) AS lines, count(*) FILTER (WHERE is_repeated) AS repeats,
               min(instruction_ref) FILTER (WHERE transfer_id IS NULL) AS unknown_ref,
               min(instruction_ref) FILTER (WHERE resolution_id IS NOT NULL) AS resolved_ref,
               min(instruction_ref) FILTER (WHERE amount_minor > held_minor) AS exceeded_ref,
               min(instruction_ref) FILTER (WHERE amount_minor > 0
                   AND expires_on < %(entry_on)s) AS expired_ref,
               min(instruction_ref) FILTER (WHERE amount_minor IS NULL OR amount_minor < 0)
                   AS unfit_ref,
               CASE WHEN min(currency) < max(currency) THEN 2 ELSE 1 END AS currencies,
               coalesce(bool_and(transfer_id IS NOT NULL AND resolution_id IS NULL
                   AND amount_minor BETWEEN 0 AND held_minor
                   AND (amount_minor = 0 OR (expires_on < %(entry_on)s) IS NOT TRUE)
                   AND is_repeated IS NOT TRUE), true)
                   AND (min(currency) < max(currency)) IS NOT TRUE AS sound,
               sha256(convert_to(concat_ws(' ', %(entry_body)s::text, count(*),
                   sum(amount_minor)), 'UTF8')) AS body_hash
        FROM line
    ), {claim}, moved AS (
        INSERT INTO books.transfer (entry_id, line_no, phase, pending_id, held_minor, amount_minor,
                                    {kept})
        SELECT c.entry_id, l.line_no,
               CASE WHEN l.amount_minor = 0 THEN 'voided' ELSE 'posted' END, l.transfer_id,
               l.held_minor, CASE WHEN l.amount_minor = 0 THEN l.held_minor ELSE l.amount_minor END,
               {kept}
        FROM line l CROSS JOIN claim c
    )
    SELECT d.*, (SELECT entry_id FROM claim) AS entry_id FROM digest d
""")

# The lines of a mass entry are not hashed with its body: they stand as they were given, for good,
# so a repetition is held against them row by row. The order of the rows is no content.
_SAME_LINES = sql.SQL("""
    WITH source ({columns}) AS MATERIALIZED ({source}),
    recorded AS (SELECT {recorded} FROM books.transfers_of(%(entry)s))
    SELECT (SELECT count(*) FROM source) = (SELECT count(*) FROM recorded)
        AND NOT EXISTS (TABLE source EXCEPT ALL TABLE recorded)
""")
_SETTLED_LINES = sql.SQL("instruction_ref, CASE phase WHEN 'voided' THEN 0 ELSE amount_minor END")

_RESOLVED = """
    SELECT count(*) FILTER (WHERE phase = 'posted') AS posted_count,
           coalesce(sum(amount_minor) FILTER (WHERE phase = 'posted'), 0)::bigint AS posted_minor,
           count(*) FILTER (WHERE phase = 'voided') AS voided_count,
           coalesce(sum(amount_minor) FILTER (WHERE phase = 'voided'), 0)::bigint AS voided_minor,
           (coalesce(sum(held_minor), 0)
               - coalesce(sum(amount_minor) FILTER (WHERE phase = 'posted'), 0))::bigint
               AS released_minor,
           %(already)s::boolean AS already
    FROM books.transfers_of(%(entry)s)
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a hold or a transfer recorded; `already` says that it stood before this call."""

    count: int
    amount_minor: int
    already: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did with the holds it names.

    `released_minor` is all that was on hold and is not posted: the voided holds and the rests of
    the posted ones. `already` says that the settlement stood before this call.
    """

    posted_count: int
    posted_minor: int
    voided_count: int
    voided_minor: int
    released_minor: int
    already: bool = False


@dataclass(frozen=True, slots=True)
class _Moving:
    lines: int
    amount_minor: int
    sound: bool
    currencies: int
    unfit_ref: str | None
    body_hash: bytes
    entry_id: int | None


@dataclass(frozen=True, slots=True)
class _Settling:
    lines: int
    repeats: int
    unknown_ref: str | None
    resolved_ref: str | None
    exceeded_ref: str | None
    expired_ref: str | None
    unfit_ref: str | None
    currencies: int
    sound: bool
    body_hash: bytes
    entry_id: int | None


def hold(
    conn: Connection,
    head: EntryHead,
    source: sql.Composable,
    params: Mapping[str, object] = NO_PARAMS,
) -> Moved:
    """Put the money of every instruction in `source` on hold.

    `source` selects debit_account_id, credit_account_id, amount_minor (above 0), currency,
    grant_code, programme_id, cycle_id, provider, location, instruction_ref, wallet_id (of
    the side that is a control account) and expires_on (the last day of a
    stated term, else null), in this order. Raises `key_used_differently`, `amount_unfit`,
    `instruction_held_twice`, `currencies_mixed`, `reason_missing`; the database refuses with
    `account_limit` and `account_unfit`.
    """
    try:
        return _move(conn, head, "pending", source, params)
    except errors.UniqueViolation as error:
        if error.diag.constraint_name != "transfer_one_hold":
            raise
        raise INSTRUCTION_HELD_TWICE.refusal() from None


def transfer(
    conn: Connection,
    head: EntryHead,
    source: sql.Composable,
    params: Mapping[str, object] = NO_PARAMS,
) -> Moved:
    """Move money at once, without a hold; `source` and refusals are those of `hold`."""
    return _move(conn, head, "single", source, params)


def settle(
    conn: Connection,
    head: EntryHead,
    source: sql.Composable,
    params: Mapping[str, object] = NO_PARAMS,
) -> Settled:
    """Resolve the hold of every instruction in `source`.

    `source` selects instruction_ref and amount_minor: 0 voids, up to the amount on hold posts and
    releases the rest. Raises `hold_unknown`, `hold_already_resolved`, `hold_exceeded`,
    `instruction_twice`, `amount_unfit`, `currencies_mixed`, `key_used_differently`,
    `reason_missing`.
    """
    require_reason(head)
    statement = _SETTLE.format(source=source, claim=CLAIM, kept=KEPT)
    cursor = conn.cursor(row_factory=class_row(_Settling))
    try:
        (found,) = cursor.execute(statement, {**params, **head_params(conn, head)})
    except errors.UniqueViolation as error:
        raise resolved_by_another(error) from None
    if not found.lines:
        return Settled(0, 0, 0, 0, 0)
    if found.entry_id is not None:
        return _resolved(conn, found.entry_id, already=False)
    if not found.sound and not _is_taken(conn, head):
        _refuse_settlement(found)
    entry_id = require_same(conn, head, found.body_hash)
    same = _SAME_LINES.format(
        columns=sql.SQL("instruction_ref, amount_minor"), source=source, recorded=_SETTLED_LINES
    )
    _require_lines(conn, head, entry_id, same, params)
    return _resolved(conn, entry_id, already=True)


def _move(
    conn: Connection,
    head: EntryHead,
    phase: str,
    source: sql.Composable,
    params: Mapping[str, object],
) -> Moved:
    require_reason(head)
    statement = _MOVE.format(source=source, claim=CLAIM, columns=_COLUMNS)
    cursor = conn.cursor(row_factory=class_row(_Moving))
    values = {**params, **head_params(conn, head), "entry_phase": phase}
    values["entry_body"] = body_prefix(head) + phase
    (found,) = cursor.execute(statement, values)
    if not found.lines:
        return Moved(0, 0)
    if found.entry_id is not None:
        return Moved(found.lines, found.amount_minor)
    if not found.sound and not _is_taken(conn, head):
        if found.currencies > 1:
            raise CURRENCIES_MIXED.refusal()
        raise AMOUNT_UNFIT.refusal(instruction=found.unfit_ref or "")
    entry_id = require_same(conn, head, found.body_hash)
    same = _SAME_LINES.format(columns=_COLUMNS, source=source, recorded=_COLUMNS)
    _require_lines(conn, head, entry_id, same, params)
    return Moved(found.lines, found.amount_minor, already=True)


def _require_lines(
    conn: Connection,
    head: EntryHead,
    entry_id: int,
    same: sql.Composed,
    params: Mapping[str, object],
) -> None:
    (is_same,) = conn.execute(same, {**params, "entry": entry_id}).fetchone() or (False,)
    if not is_same:
        refuse_other_lines(conn, head, entry_id)


def refuse_other_lines(conn: Connection, head: EntryHead, entry_id: int) -> Never:
    """Refuse a repetition whose lines are not the recorded ones, with `key_used_differently`."""
    query = "SELECT entry_ref FROM books.entry WHERE entry_id = %s"
    entry = conn.execute(query, [entry_id]).fetchone()
    raise KEY_USED_DIFFERENTLY.refusal(key=head.key, entry=entry and entry[0], fields="lines")


def _refuse_settlement(found: _Settling) -> None:
    if found.unknown_ref:
        raise HOLD_UNKNOWN.refusal(instruction=found.unknown_ref)
    if found.resolved_ref:
        raise HOLD_ALREADY_RESOLVED.refusal(instruction=found.resolved_ref)
    if found.repeats:
        raise INSTRUCTION_TWICE.refusal()
    if found.unfit_ref:
        raise AMOUNT_UNFIT.refusal(instruction=found.unfit_ref)
    if found.exceeded_ref:
        raise HOLD_EXCEEDED.refusal(instruction=found.exceeded_ref)
    if found.expired_ref:
        raise HOLD_EXPIRED.refusal(instruction=found.expired_ref)
    raise CURRENCIES_MIXED.refusal()


def _resolved(conn: Connection, entry_id: int, *, already: bool) -> Settled:
    cursor = conn.cursor(row_factory=class_row(Settled))
    (settled,) = cursor.execute(_RESOLVED, {"entry": entry_id, "already": already})
    return settled


def resolved_by_another(error: errors.UniqueViolation) -> Exception:
    """Return what to raise where another transaction resolved a hold first."""
    if error.diag.constraint_name != "transfer_one_resolution":
        return error
    return HOLD_ALREADY_RESOLVED.refusal(instruction="of another settlement")


def _is_taken(conn: Connection, head: EntryHead) -> bool:
    found = conn.execute("SELECT 1 FROM books.entry WHERE key = %s", [head.key]).fetchone()
    return found is not None


def head_params(conn: Connection, head: EntryHead) -> dict[str, object]:
    """Return the head as the named parameters of `CLAIM`. Raises `entry_unknown`."""
    return {
        "entry_recorded_on": head.recorded_on,
        "entry_adjustment": head.adjustment,
        "entry_corrects": corrected(conn, head),
        "entry_ref": head.entry_ref,
        "entry_key": head.key,
        "entry_event": head.event,
        "entry_on": head.effective_on,
        "entry_by": head.recorded_by,
        "entry_reason": head.reason,
        "entry_body": body_prefix(head),
    }
