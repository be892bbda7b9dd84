"""Leaves made anew from the rows, for proofs and for verification.

The text of the queries stands here and not in a view, so that whoever verifies trusts nothing the
database's owner could have put in between: neither views nor functions nor triggers of ours, only
the rows. It says the same as `books.seal`; a test compares both with `encoding`. What points
nowhere shows its number, so that it differs from what points to nothing.

Text goes into a leaf in the encoding of the connection: `prepare` sets it to UTF-8.
"""

from collections.abc import Iterator

from psycopg import Connection

HEADS = """
    SELECT s.first_position AS position, record_send(ROW(
        'cva.entry.v1'::text, e.entry_ref, e.key, e.body_hash, e.event, e.effective_on,
        e.recorded_on, e.recorded_at, e.recorded_by, e.reason, e.adjustment,
        coalesce(r.entry_ref, e.reverses::text), coalesce(o.entry_ref, e.corrects::text),
        l.legs::integer, (s.leaves - 1)::integer, l.encoded)) AS encoding
    FROM books.sealed_entry s JOIN books.entry e USING (entry_id)
    LEFT JOIN books.entry r ON r.entry_id = e.reverses
    LEFT JOIN books.entry o ON o.entry_id = e.corrects
    CROSS JOIN LATERAL (
        SELECT count(*) AS legs,
               coalesce(string_agg(int4send(length(leg)) || leg, ''::bytea ORDER BY leg_no), '')
                   AS encoded
        FROM (SELECT n.leg_no, record_send(ROW(
                  'cva.leg.v1'::text, n.leg_no, n.layer::text, a.code,
                  coalesce(w.wallet_ref, n.wallet_id::text), n.amount_minor, n.currency::text,
                  n.grant_code, n.programme_id, n.cycle_id, n.provider, n.location)) AS leg
              FROM books.leg n LEFT JOIN books.account a USING (account_id)
              LEFT JOIN books.wallet w USING (wallet_id)
              WHERE n.entry_id = s.entry_id) encoding) l
"""
TRANSFERS = """
    SELECT s.first_position + t.line_no AS position, record_send(ROW(
        'cva.transfer.v1'::text, e.entry_ref, t.line_no, t.phase, d.code, k.code,
        coalesce(w.wallet_ref, t.wallet_id::text), t.amount_minor, t.held_minor,
        t.currency::text, t.grant_code, t.programme_id, t.cycle_id, t.provider, t.location,
        t.instruction_ref, t.item_key, coalesce(he.entry_ref, t.pending_id::text), h.line_no,
        t.expires_on)) AS encoding
    FROM books.sealed_entry s JOIN books.entry e USING (entry_id)
    JOIN books.transfer t USING (entry_id)
    LEFT JOIN books.account d ON d.account_id = t.debit_account_id
    LEFT JOIN books.account k ON k.account_id = t.credit_account_id
    LEFT JOIN books.wallet w USING (wallet_id)
    LEFT JOIN books.transfer h ON h.transfer_id = t.pending_id
    LEFT JOIN books.entry he ON he.entry_id = h.entry_id
"""

# A transfer's number is its entry's, shifted by 24 bits, and its line: a range is looked up by key.
_RANGE = f"""
    {HEADS} WHERE s.first_position >= %(first)s AND s.first_position < %(end)s
    UNION ALL
    {TRANSFERS}
    WHERE s.first_position >= (SELECT coalesce(max(first_position), 0) FROM books.sealed_entry
                               WHERE first_position <= %(first)s)
      AND s.first_position < %(end)s
      AND t.transfer_id BETWEEN (s.entry_id << 24) + greatest(%(first)s - s.first_position, 1)
                            AND (s.entry_id << 24) + %(end)s - 1 - s.first_position
    ORDER BY position
"""
_HASHES = f"""
    SELECT position, sha256('\\x00'::bytea || encoding) AS hash
    FROM ({HEADS} UNION ALL {TRANSFERS}) leaf ORDER BY position
"""
_CHUNK = 20_000


def prepare(conn: Connection) -> None:
    """Let the rest of the caller's transaction speak UTF-8 and join in memory."""
    conn.execute("SET LOCAL client_encoding = 'UTF8'")
    conn.execute("SET LOCAL work_mem = '64MB'")


def encodings(conn: Connection, first: int, end: int) -> list[bytes]:
    """Return the bytes of the leaves from `first` up to `end`, as the rows have them now."""
    prepare(conn)
    rows = conn.execute(_RANGE, {"first": first, "end": end})
    return [bytes(encoding) for _, encoding in rows]


def hashes(conn: Connection) -> Iterator[tuple[int, bytes]]:
    """Give position and hash of every leaf in the order of the log; a stream, whatever its length.

    A position may be missing or come twice where rows were taken out or put in.
    """
    prepare(conn)
    with conn.cursor(name="cva_leaves", binary=True) as cursor:
        cursor.itersize = _CHUNK
        yield from cursor.execute(_HASHES)
