"""Who may do what: four roles, given and taken by administrators, held by the database.

* A role is the latest of its events; nothing is overwritten.
* Nobody changes their own roles: a second administrator does it.
* An auditor reads everything and writes nothing, so holds no other role.

The trigger on `staff.role_event` holds these rules against raw SQL too; the questions asked here
before only bring the answer earlier.
"""

from datetime import datetime
from enum import StrEnum

from psycopg import Connection

from cva import acts
from cva.identifiers import new_id
from cva.staff import keys
from ledgers.problems import Answer, Problem

ROLE_MISSING = Problem(
    "role_missing",
    "This needs the role {role}.",
    "Ask an administrator for the role.",
    Answer.NOT_PERMITTED,
)
OWN_ROLE = Problem(
    "own_role",
    "Nobody changes their own role ({role}).",
    "Another administrator changes your roles.",
    Answer.NOT_PERMITTED,
)
AUDITOR_WRITES_NOTHING = Problem(
    "auditor_writes_nothing",
    "An auditor holds no other role.",
    "Revoke the other role first, or add a second person.",
)


class Role(StrEnum):
    """What a person may do."""

    ADMINISTRATOR = "administrator"  # adds people, gives and takes roles
    PROGRAMME = "programme"  # registers households, assesses, prepares plans
    FINANCE = "finance"  # approves, releases, reconciles, closes
    AUDITOR = "auditor"  # reads


def grant_role(
    conn: Connection, by: str, passphrase: str, person_id: str, role: Role, at: datetime
) -> None:
    """Give `role` to a person; `by` is the administrator, `passphrase` theirs.

    A role that is held already stays as it is. Raises `passphrase_wrong`, `role_missing`,
    `own_role`, `auditor_writes_nothing`, `person_unknown`.
    """
    _change(conn, by, passphrase, person_id, role, granted=True, at=at)


def revoke_role(
    conn: Connection, by: str, passphrase: str, person_id: str, role: Role, at: datetime
) -> None:
    """Take `role` from a person, as `grant_role` gives it; a role not held stays so."""
    _change(conn, by, passphrase, person_id, role, granted=False, at=at)


def roles_of(conn: Connection, person_id: str) -> frozenset[Role]:
    """Return the roles a person holds now."""
    held = conn.execute("SELECT role FROM staff.holds_role WHERE person_id = %s", (person_id,))
    return frozenset(Role(role) for (role,) in held)


def require(conn: Connection, person_id: str, role: str) -> None:
    """Refuse a person who does not hold `role`. Raises `role_missing`."""
    held = conn.execute(
        "SELECT FROM staff.holds_role WHERE person_id = %s AND role = %s", (person_id, role)
    )
    if held.fetchone() is None:
        raise ROLE_MISSING.refusal(role=str(role))


def record_event(
    conn: Connection, role: Role, person_id: str, *, by: str, granted: bool, at: datetime
) -> None:
    """Write one change of a role; the trigger decides whether it may be."""
    conn.execute(
        "INSERT INTO staff.role_event (person_id, role, granted, by_person, at)"
        " VALUES (%s, %s, %s, %s, %s)",
        (person_id, role.value, granted, by, at),
    )


def _change(
    conn: Connection,
    by: str,
    passphrase: str,
    person_id: str,
    role: Role,
    *,
    granted: bool,
    at: datetime,
) -> None:
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('staff.role_event', 0))")
    keys.check_passphrase(conn, by, passphrase)
    if by == person_id:
        raise OWN_ROLE.refusal(role=role.value)
    require(conn, by, Role.ADMINISTRATOR)
    if conn.execute("SELECT FROM staff.person WHERE person_id = %s", (person_id,)).rowcount == 0:
        raise keys.PERSON_UNKNOWN.refusal(who=person_id)
    held = roles_of(conn, person_id)
    if granted and any((other is Role.AUDITOR) != (role is Role.AUDITOR) for other in held):
        raise AUDITOR_WRITES_NOTHING.refusal()
    if (role in held) != granted:
        record_event(conn, role, person_id, by=by, granted=granted, at=at)
        acts.record(
            conn, key=f"role:{new_id('act', at)}", verb="grant_role" if granted else "revoke_role",
            object_id=person_id, body={"role": role.value}, person_id=by, at=at, answer={},
        )  # fmt: skip
