"""A batch judged item by item: every item gets an answer, good ones are not lost for bad ones.

Whole batches of our own (holds, settlements) are all or nothing, see `transfers`. What somebody
else sends (redemptions, clearings, cash-outs) is not ours to throw back as a whole: here each item
is recorded or refused for itself, never half, and its answer is one of the codes below. The first
code that fits, in this order, is the answer:

| code | what it says |
|---|---|
| `item_repeated`       | the same key stands earlier in this batch |
| `exists`              | recorded before with the same content: fine, nothing is written |
| `exists_differently`  | the key stands for other content |
| `already_refused`     | refused before for what may have changed since: use a new key |
| `account_unknown`     | an account is not in the books |
| `account_closed`      | an account is closed |
| `account_unfit`       | an account does not take this currency or grant, or is a memo account |
| `wallet_unknown`      | the books have no such wallet |
| `wallet_missing`      | a control account's item names no wallet |
| `wallet_unfit`        | a wallet without a control account, or from wallet to wallet |
| `dimension_missing`   | programme, cycle, provider or location is missing |
| `amount_unfit`        | the amount is not above zero |
| `account_limit`       | it does not fit what the account or wallet has available |
| `recorded`            | it is in the books |

Limits are judged in the order of the items: what earlier items brought counts, and an item that
does not fit leaves room for a later, smaller one. What concerns the whole batch (its key, its day,
a closed period) refuses the whole batch.

Precedence and burnt keys follow TigerBeetle's `create_transfers`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from psycopg import Connection, sql
from psycopg.rows import class_row

from ledgers.entries import EntryHead, body_prefix, corrected, require_reason
from ledgers.problems import Problem

NO_PARAMS: Mapping[str, object] = {}

BATCH_KEY_USED_DIFFERENTLY = Problem(
    "batch_key_used_differently",
    "The key {key} already stands for another batch.",
    "Use a new key for a new batch, or repeat the first one exactly.",
)
BATCH_EMPTY = Problem(
    "batch_empty",
    "The batch {key} has no item.",
    "Give at least one item.",
)


class Code(StrEnum):
    """What became of an item; the module's docstring says in which order they are judged."""

    ITEM_REPEATED = "item_repeated"
    EXISTS = "exists"
    EXISTS_DIFFERENTLY = "exists_differently"
    ALREADY_REFUSED = "already_refused"
    ACCOUNT_UNKNOWN = "account_unknown"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_UNFIT = "account_unfit"
    WALLET_UNKNOWN = "wallet_unknown"
    WALLET_MISSING = "wallet_missing"
    WALLET_UNFIT = "wallet_unfit"
    DIMENSION_MISSING = "dimension_missing"
    AMOUNT_UNFIT = "amount_unfit"
    ACCOUNT_LIMIT = "account_limit"
    RECORDED = "recorded"


# A key refused for one of these stays refused: the reason may go away, the answer given may not.
BURNING = (Code.ACCOUNT_CLOSED, Code.ACCOUNT_LIMIT)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch came to; `already` says that it stood before this call."""

    items: int
    recorded: int
    amount_minor: int
    already: bool = False


@dataclass(frozen=True, slots=True)
class ItemResult:
    """The answer to one item; `fact` names the account, field or dimension it is about."""

    item_no: int
    item_key: str
    code: Code
    fact: str


_STAGE = sql.SQL("""
    CREATE TEMPORARY TABLE item ON COMMIT DROP AS
    SELECT s.item_no::integer, s.item_key, s.debit_account, s.credit_account, s.wallet_ref,
           s.amount_minor::bigint, s.currency, s.grant_code, s.programme_id, s.cycle_id, s.provider,
           s.location, s.instruction_ref
    FROM ({source}) AS s (item_no, item_key, debit_account, credit_account, wallet_ref,
        amount_minor, currency, grant_code, programme_id, cycle_id, provider, location,
        instruction_ref)
""")

_DIGEST = """
    SELECT count(*), sha256(convert_to(%(body)s, 'UTF8')
        || coalesce(string_agg(sha256(convert_to(i::text, 'UTF8')), ''::bytea ORDER BY item_no),
                    ''))
    FROM item i
"""

_JUDGE = """
    CREATE TEMPORARY TABLE judged ON COMMIT DROP AS
    SELECT i.*, d.account_id AS debit_account_id, k.account_id AS credit_account_id, w.wallet_id,
           CASE
             WHEN i.item_key IS NULL OR i.place > 1 THEN 'item_repeated'
             WHEN t.transfer_id IS NOT NULL AND c.field IS NULL THEN 'exists'
             WHEN t.transfer_id IS NOT NULL THEN 'exists_differently'
             WHEN r.item_key IS NOT NULL THEN 'already_refused'
             WHEN d.account_id IS NULL OR k.account_id IS NULL THEN 'account_unknown'
             WHEN x.account_id IS NOT NULL THEN 'account_closed'
             WHEN u.fact IS NOT NULL OR d.account_id = k.account_id THEN 'account_unfit'
             WHEN i.wallet_ref IS NOT NULL AND w.wallet_id IS NULL THEN 'wallet_unknown'
             WHEN (d.is_control OR k.is_control) AND i.wallet_ref IS NULL THEN 'wallet_missing'
             WHEN d.is_control = k.is_control AND i.wallet_ref IS NOT NULL THEN 'wallet_unfit'
             WHEN m.dimension IS NOT NULL THEN 'dimension_missing'
             WHEN (i.amount_minor > 0) IS NOT TRUE THEN 'amount_unfit'
           END AS code,
           coalesce(c.field, CASE WHEN d.account_id IS NULL THEN i.debit_account
                                  WHEN k.account_id IS NULL THEN i.credit_account END,
                    x.code, u.fact, m.dimension, '') AS fact
    FROM (SELECT item.*, row_number() OVER (PARTITION BY item_key ORDER BY item_no) AS place
          FROM item) i
    LEFT JOIN books.account d ON d.code = i.debit_account
    LEFT JOIN books.account k ON k.code = i.credit_account
    LEFT JOIN books.wallet w ON w.wallet_ref = i.wallet_ref
    LEFT JOIN books.transfer t ON t.item_key = i.item_key
    LEFT JOIN LATERAL (
        SELECT field FROM (VALUES
            ('debit account', t.debit_account_id IS NOT DISTINCT FROM d.account_id),
            ('credit account', t.credit_account_id IS NOT DISTINCT FROM k.account_id),
            ('wallet', t.wallet_id IS NOT DISTINCT FROM w.wallet_id),
            ('amount', t.amount_minor IS NOT DISTINCT FROM i.amount_minor),
            ('currency', t.currency = i.currency), ('grant', t.grant_code = i.grant_code),
            ('programme', t.programme_id IS NOT DISTINCT FROM i.programme_id),
            ('cycle', t.cycle_id IS NOT DISTINCT FROM i.cycle_id),
            ('provider', t.provider IS NOT DISTINCT FROM i.provider),
            ('location', t.location IS NOT DISTINCT FROM i.location),
            ('instruction', t.instruction_ref IS NOT DISTINCT FROM i.instruction_ref))
            AS f (field, same)
        WHERE t.transfer_id IS NOT NULL AND same IS NOT TRUE LIMIT 1) c ON true
    LEFT JOIN LATERAL (
        SELECT n.item_key FROM books.item_refusal n
        WHERE n.item_key = i.item_key AND n.code = ANY (%(burning)s) LIMIT 1) r ON true
    LEFT JOIN LATERAL (
        SELECT g.account_id, a.code FROM books.account_closing g JOIN books.account a
            USING (account_id)
        WHERE g.account_id IN (d.account_id, k.account_id) ORDER BY a.code LIMIT 1) x ON true
    LEFT JOIN LATERAL (
        SELECT s.code AS fact FROM (VALUES
            (1, d.code, d.currency::text, d.grant_code, d.class),
            (2, k.code, k.currency::text, k.grant_code, k.class))
            AS s (side, code, currency, grant_code, class)
        WHERE s.currency IS DISTINCT FROM i.currency OR s.grant_code <> i.grant_code
           OR i.grant_code IS NULL OR s.class = 'memo' ORDER BY s.side LIMIT 1) u ON true
    LEFT JOIN LATERAL (
        SELECT dimension FROM (VALUES ('cycle', i.cycle_id), ('location', i.location),
            ('programme', i.programme_id), ('provider', i.provider)) AS v (dimension, value)
        WHERE value IS NULL AND (dimension = ANY (d.needs) OR dimension = ANY (k.needs))
        ORDER BY dimension LIMIT 1) m ON true
"""

# What each item that is good so far takes from an account or a wallet that has a limit, and brings.
_EFFECTS = """
    CREATE TEMPORARY TABLE effect ON COMMIT DROP AS
    SELECT j.item_no, a.account_id, p.wallet_id,
           CASE WHEN (s.side = a.normal_side) THEN j.amount_minor ELSE -j.amount_minor END AS moved
    FROM judged j
    CROSS JOIN LATERAL (VALUES (j.debit_account_id, 'debit'), (j.credit_account_id, 'credit'))
        AS s (account_id, side)
    JOIN books.account a ON a.account_id = s.account_id AND a.never_below_zero
    CROSS JOIN LATERAL (
        SELECT NULL::bigint AS wallet_id
        UNION ALL SELECT j.wallet_id WHERE a.is_control) p
    WHERE j.code IS NULL
"""

# Items on accounts or wallets where all that leaves would not fit: these are judged one by one. No
# wallet has the number 0; joins by IS NOT DISTINCT FROM would compare every pair of an account.
_TIGHT = """
    WITH available AS (
        SELECT * FROM books.lock_available(
            (SELECT array_agg(DISTINCT account_id) FROM effect),
            (SELECT array_agg(DISTINCT wallet_id) FROM effect WHERE wallet_id IS NOT NULL))
    ), leaving AS (
        SELECT account_id, wallet_id, coalesce(-sum(moved) FILTER (WHERE moved < 0), 0) AS minor
        FROM effect GROUP BY account_id, wallet_id
    ), tight AS (
        SELECT l.account_id, l.wallet_id, coalesce(v.available, 0) AS available
        FROM leaving l LEFT JOIN available v
            ON v.account_id = l.account_id AND coalesce(v.wallet_id, 0) = coalesce(l.wallet_id, 0)
        WHERE l.minor > coalesce(v.available, 0)
    ), concerned AS (
        SELECT DISTINCT e.item_no FROM effect e JOIN tight t
            ON t.account_id = e.account_id AND coalesce(t.wallet_id, 0) = coalesce(e.wallet_id, 0)
    )
    SELECT e.item_no, e.account_id, e.wallet_id, e.moved, t.available, a.code
    FROM effect e JOIN concerned USING (item_no) JOIN books.account a USING (account_id)
    LEFT JOIN tight t
        ON t.account_id = e.account_id AND coalesce(t.wallet_id, 0) = coalesce(e.wallet_id, 0)
    ORDER BY e.item_no, e.account_id, e.wallet_id NULLS FIRST
"""

_RECORD = """
    WITH head AS (
        INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_on,
            recorded_by, reason, adjustment, corrects)
        SELECT %(ref)s, %(key)s, %(hash)s, %(event)s, %(on)s, %(recorded_on)s, %(by)s, %(reason)s,
               %(adjustment)s, %(corrects)s
        WHERE EXISTS (SELECT FROM judged WHERE code IS NULL)
        RETURNING entry_id
    ), moved AS (
        INSERT INTO books.transfer (entry_id, line_no, phase, debit_account_id, credit_account_id,
            wallet_id, amount_minor, currency, grant_code, programme_id, cycle_id, provider,
            location, instruction_ref, item_key)
        SELECT h.entry_id, row_number() OVER (ORDER BY j.item_no), 'single', j.debit_account_id,
               j.credit_account_id, j.wallet_id, j.amount_minor, j.currency, j.grant_code,
               j.programme_id, j.cycle_id, j.provider, j.location, j.instruction_ref, j.item_key
        FROM judged j CROSS JOIN head h WHERE j.code IS NULL
    )
    INSERT INTO books.item_batch (batch_key, body_hash, entry_id, items, recorded, amount_minor,
        recorded_by)
    SELECT %(key)s, %(hash)s, (SELECT entry_id FROM head), count(*),
           count(*) FILTER (WHERE code IS NULL),
           coalesce(sum(amount_minor) FILTER (WHERE code IS NULL), 0), %(by)s
    FROM judged
    RETURNING items, recorded, amount_minor
"""

_REFUSE = """
    INSERT INTO books.item_refusal (batch_key, item_no, item_key, code, fact)
    SELECT %(key)s, item_no, coalesce(item_key, ''), code, fact FROM judged
    WHERE code IS NOT NULL ORDER BY item_no
"""

_RESULTS = """
    SELECT t.item_no, t.item_key, t.code, t.fact FROM (
        SELECT r.item_no, r.item_key, r.code, r.fact FROM books.item_refusal r
        WHERE r.batch_key = %(key)s
        UNION ALL
        SELECT NULL, l.item_key, 'recorded', e.entry_ref || '/' || l.line_no
        FROM books.item_batch b JOIN books.entry e USING (entry_id)
        CROSS JOIN LATERAL books.transfers_of(b.entry_id) l
        WHERE b.batch_key = %(key)s) t
    ORDER BY t.item_no NULLS LAST, t.item_key
"""


def record_each(
    conn: Connection,
    head: EntryHead,
    source: sql.Composable,
    params: Mapping[str, object] = NO_PARAMS,
) -> Batch:
    """Judge and record the items of `source`, each for itself, in the caller's transaction.

    `source` selects item_no, item_key (the sender's own id), debit_account and credit_account
    (codes), wallet_ref, amount_minor, currency, grant_code, programme_id, cycle_id, provider,
    location, instruction_ref, in this order. The head's key is the batch's: the same batch again
    changes nothing. Raises `batch_empty`, `batch_key_used_differently`, `reason_missing`, and what
    the database says of the whole batch's day.
    """
    require_reason(head)
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('batch:' || %s, 0))", [head.key])
    conn.execute("DROP TABLE IF EXISTS item, judged, effect")
    conn.execute(_STAGE.format(source=source), params)
    items, body_hash = conn.execute(_DIGEST, {"body": body_prefix(head)}).fetchone() or (0, b"")
    if not items:
        raise BATCH_EMPTY.refusal(key=head.key)
    earlier = _earlier(conn, head.key, bytes(body_hash))
    if earlier is not None:
        return earlier
    conn.execute("ANALYZE item")
    conn.execute(_JUDGE, {"burning": [str(code) for code in BURNING]})
    conn.execute(_EFFECTS)
    _judge_limits(conn)
    values = {
        "ref": head.entry_ref, "key": head.key, "hash": body_hash, "event": head.event,
        "on": head.effective_on, "recorded_on": head.recorded_on, "by": head.recorded_by,
        "reason": head.reason, "adjustment": head.adjustment, "corrects": corrected(conn, head),
    }  # fmt: skip
    row = conn.execute(_RECORD, values).fetchone()
    conn.execute(_REFUSE, values)
    return Batch(*row) if row else Batch(0, 0, 0)


def results(conn: Connection, key: str) -> Iterator[ItemResult]:
    """Return the answer to every item of the batch: the refused by number, then the recorded."""
    cursor = conn.cursor(row_factory=class_row(_Row))
    for row in cursor.execute(_RESULTS, {"key": key}):
        yield ItemResult(row.item_no or 0, row.item_key, Code(row.code), row.fact)


@dataclass(frozen=True, slots=True)
class _Row:
    item_no: int | None
    item_key: str
    code: str
    fact: str


def _earlier(conn: Connection, key: str, body_hash: bytes) -> Batch | None:
    row = conn.execute(
        "SELECT b.body_hash, b.items, b.recorded, b.amount_minor FROM books.item_batch b"
        " WHERE b.batch_key = %(key)s"
        " UNION ALL SELECT NULL, 0, 0, 0 FROM books.entry e WHERE e.key = %(key)s"
        " AND NOT EXISTS (SELECT FROM books.item_batch b WHERE b.batch_key = %(key)s)",
        {"key": key},
    ).fetchone()
    if row is None:
        return None
    stored, items, recorded, amount_minor = row
    if stored is None or bytes(stored) != body_hash:
        raise BATCH_KEY_USED_DIFFERENTLY.refusal(key=key)
    return Batch(items, recorded, amount_minor, already=True)


def _judge_limits(conn: Connection) -> None:
    """Refuse, in the order of the items, what does not fit; nothing to do where all of it fits."""
    available: dict[tuple[int, int | None], int] = {}
    refused: dict[int, str] = {}
    current: list[tuple[tuple[int, int | None], int, str]] = []
    item_no = 0

    def decide() -> None:
        short = next((code for key, moved, code in current if available[key] + moved < 0), None)
        if short is not None:
            refused[item_no] = short
            return
        for key, moved, _ in current:
            available[key] += moved

    for number, account, wallet, moved, minor, code in conn.execute(_TIGHT):
        if number != item_no:
            decide()
            item_no, current = number, []
        if minor is not None:
            available.setdefault((account, wallet), minor)
            current.append(((account, wallet), moved, code))
    decide()
    if refused:
        conn.execute(
            "UPDATE judged j SET code = 'account_limit', fact = r.fact"
            " FROM unnest(%s::int[], %s::text[]) AS r (item_no, fact)"
            " WHERE r.item_no = j.item_no AND j.code IS NULL",
            [list(refused), list(refused.values())],
        )
