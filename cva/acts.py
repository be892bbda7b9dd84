"""What was done: one row for every writing verb, and the same answer for the same request.

A *key* names a request. The first time, the verb does its work and records its answer under the
key, in the same transaction. The same key with the same body then gets the recorded answer and
nothing is done; with another body it is refused. Two callers with one key at the same moment: the
second waits for the first (an advisory lock on the key, held until the end of the transaction).

    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return Plan(earlier["plan"])
    ...
    acts.record(conn, key=key, verb="prepare", object_id=plan_id, body=body, ...)

The transaction must be READ COMMITTED (PostgreSQL's default): whoever waited must see the row.

Source: IETF draft-ietf-httpapi-idempotency-key-header-07, sections 2.4 to 2.6.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime

from psycopg import Connection
from psycopg.types.json import Jsonb

from ledgers.problems import Problem

KEY_USED_DIFFERENTLY = Problem(
    "act_key_used_differently",
    "The key {key} was used before for another request.",
    "Use a new key for a new request; repeat a request with exactly the same content.",
)
CLOCK_SET_BACK = Problem(
    "clock_set_back",
    "The clock says {now} UTC, and something was done at {newest} UTC already.",
    "Set the clock of this machine right (or unset CVA_NOW) and repeat the command.",
)
APPEND_ONLY = Problem(
    "append_only",
    "Rows of {table} are permanent: {operation} is refused.",
    "Record a new event instead.",
)


def already(
    conn: Connection, key: str, body: Mapping[str, object]
) -> Mapping[str, str | int] | None:
    """Return the answer recorded under `key`, or None where the verb is still to be done.

    `body` is everything the request asks for, as JSON values. Raises `act_key_used_differently`.
    """
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('act:' || %s, 0))", (key,))
    row = conn.execute("SELECT body_hash, answer FROM ops.act WHERE key = %s", (key,)).fetchone()
    if row is None:
        return None
    recorded, answer = row
    if bytes(recorded) != body_hash(body):
        raise KEY_USED_DIFFERENTLY.refusal(key=key)
    found: Mapping[str, str | int] = answer
    return found


def record(
    conn: Connection,
    *,
    key: str,
    verb: str,
    object_id: str,
    body: Mapping[str, object],
    person_id: str,
    at: datetime,
    answer: Mapping[str, str | int],
) -> None:
    """Write the act into the caller's transaction; `already` was asked in the same one.

    `verb` says what was done to `object_id`; `answer` is what the same request gets again. Neither
    it nor `body` (of which only a hash is kept) needs personal data, and `answer` must hold none.
    The database refuses an act before the newest one with `clock_set_back`.
    """
    conn.execute(
        "INSERT INTO ops.act (key, verb, object_id, body_hash, answer, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (key, verb, object_id, body_hash(body), Jsonb(dict(answer)), person_id, at),
    )


def body_hash(body: Mapping[str, object]) -> bytes:
    """Return the SHA-256 of the canonical JSON of `body`: sorted keys, no spaces, UTF-8.

    Raises TypeError for values that JSON does not know and for floats, which have no one spelling.
    """
    _refuse_floats(body)
    canonical = json.dumps(dict(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).digest()


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        message = "a request's body holds no floats"
        raise TypeError(message)
    if isinstance(value, Mapping):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
