"""Expiry: what ends by the clock, which is a hold with a stated term and nothing else.

A merchant's authorisation and a voucher with a term say until when money is reserved; after that
day it is free again, and a posting that comes later is refused. A hold without a term never ends by
the clock, however old it is: its instruction may have been carried out, so it stays reserved until
the provider has spoken or a person decides on written evidence.

Rules of expiry: TigerBeetle, "Two-Phase Transfers".
"""

from psycopg import Connection, errors, sql

from ledgers.entries import EntryHead, require_reason, require_same
from ledgers.problems import Problem
from ledgers.transfers import CLAIM, KEPT, Moved, head_params, resolved_by_another

HOLD_NOT_EXPIRED = Problem(
    "hold_not_expired",
    "The hold of the instruction {instruction} has no term that is over.",
    "Only a stated term ends a hold by the clock: post it or void it when the provider has spoken.",
)

# Holds with a stated term that is over. A hold without one never ends by the clock.
_EXPIRE = sql.SQL("""
    WITH line AS MATERIALIZED (
        SELECT p.transfer_id, p.amount_minor, {kept},
               sha256(convert_to(p.instruction_ref, 'UTF8')) AS line_hash
        FROM books.transfer p
        WHERE p.phase = 'pending' AND p.expires_on < %(entry_on)s
          AND NOT EXISTS (SELECT FROM books.transfer r WHERE r.pending_id = p.transfer_id)
    ), digest AS (
        SELECT count(*) AS lines, coalesce(sum(amount_minor), 0)::bigint AS amount_minor,
               true AS sound,
               sha256(convert_to(%(entry_body)s, 'UTF8')
                      || coalesce(string_agg(line_hash, ''::bytea ORDER BY line_hash), ''))
                   AS body_hash
        FROM line
    ), {claim}, moved AS (
        INSERT INTO books.transfer (entry_id, line_no, phase, pending_id, held_minor, amount_minor,
                                    {kept})
        SELECT c.entry_id, row_number() OVER (ORDER BY l.transfer_id), 'expired', l.transfer_id,
               l.amount_minor, l.amount_minor, {kept}
        FROM line l CROSS JOIN claim c
    )
    SELECT lines, amount_minor, body_hash, (SELECT entry_id FROM claim) FROM digest
""")


def expire(conn: Connection, head: EntryHead) -> Moved:
    """Give free every hold whose stated term ended before the head's day.

    Holds without a term stay, however old: the provider's word or a person's ends them. Raises
    `hold_already_resolved`, `key_used_differently`, `reason_missing`.
    """
    require_reason(head)
    statement = _EXPIRE.format(claim=CLAIM, kept=KEPT)
    try:
        (found,) = conn.execute(statement, head_params(conn, head))
    except errors.UniqueViolation as error:
        raise resolved_by_another(error) from None
    lines, amount_minor, body_hash, entry_id = found
    already = lines > 0 and entry_id is None
    if already:
        require_same(conn, head, bytes(body_hash))
    return Moved(lines, amount_minor, already)
