"""The overlap policy in force: the newest that was published here, else the one that is shipped."""

import json
from datetime import datetime
from pathlib import Path

from psycopg import Connection
from psycopg.types.json import Jsonb

from cva import acts, staff
from eligibility.duplicates.overlap.policy import DEFAULT, Policy, load
from eligibility.rules.pack import canonical


def in_force(conn: Connection) -> Policy:
    """Return the policy that verdicts rest on now."""
    row = conn.execute(
        "SELECT document FROM duplicates.policy_event JOIN duplicates.policy USING (policy_sha256)"
        " ORDER BY event_id DESC LIMIT 1"
    ).fetchone()
    return load(DEFAULT) if row is None else Policy.model_validate(row[0], strict=False)


def publish(conn: Connection, path: Path, *, person_id: str, at: datetime, key: str = "") -> Policy:
    """Put the policy in the file at `path` into force; open verdicts are asked again under it.

    Raises `overlap_policy_refused` with every finding, `role_missing`.
    """
    policy = load(path)
    _store(conn, policy, person_id, at, key)
    return policy


def ensure(conn: Connection, *, person_id: str, at: datetime) -> Policy:
    """Return the policy in force, recorded as such where the shipped one is used first."""
    policy = in_force(conn)
    known = conn.execute("SELECT FROM duplicates.policy_event LIMIT 1").fetchone()
    if known is None:
        _store(conn, policy, person_id, at, "")
    return policy


def keep(conn: Connection, policy: Policy) -> None:
    """Keep the policy that verdicts rest on, unless it is kept already."""
    conn.execute(
        "INSERT INTO duplicates.policy (policy_sha256, document) VALUES (%s, %s)"
        " ON CONFLICT DO NOTHING",
        (bytes.fromhex(policy.policy_hash), Jsonb(json.loads(canonical(policy)))),
    )


def _store(conn: Connection, policy: Policy, person_id: str, at: datetime, key: str) -> None:
    staff.require(conn, person_id, staff.Role.PROGRAMME)
    body = {"policy": policy.policy_hash}
    if key and acts.already(conn, key, body) is not None:
        return
    keep(conn, policy)
    sha256 = bytes.fromhex(policy.policy_hash)
    row = conn.execute(
        "INSERT INTO duplicates.policy_event (policy_sha256, person_id, at) SELECT %s, %s, %s"
        " WHERE %s IS DISTINCT FROM (SELECT policy_sha256 FROM duplicates.policy_event"
        "   ORDER BY event_id DESC LIMIT 1) RETURNING event_id",
        (sha256, person_id, at, sha256),
    ).fetchone()
    if row is not None:
        acts.record(
            conn, key=key or f"policy:{row[0]}", verb="publish_policy", object_id=policy.policy,
            body=body, person_id=person_id, at=at, answer={},
        )  # fmt: skip
