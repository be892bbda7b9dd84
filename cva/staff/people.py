"""Who works with the programme: people, each with a login and a key of their own.

The first administrator is added once, when the programme is set up; everybody else is added by an
administrator and starts without a role. People are never removed: what they did stays theirs, and
their roles are revoked instead.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row

from cva import acts
from cva.identifiers import new_id
from cva.staff import keys, roles
from cva.staff.keys import PERSON_UNKNOWN
from ledgers.problems import Answer, Problem

LOGIN_UNUSABLE = Problem(
    "login_unusable",
    "A login has 2 to 32 of a-z, 0-9, dot, hyphen, underscore, and begins with a letter.",
    "Choose another login, for instance a first name.",
    Answer.USAGE,
)
LOGIN_TAKEN = Problem(
    "login_taken", "The login {login} is taken.", "Choose another login for this person."
)
ADMINISTRATOR_EXISTS = Problem(
    "first_administrator_exists",
    "The programme has its first administrator already.",
    "Ask an administrator to add people.",
)

LOGIN = re.compile(r"[a-z][a-z0-9._-]{1,31}")
COLUMNS = "person_id, login, name, public_key"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who works here; `public_key` (32 bytes) checks their signatures."""

    person_id: str
    login: str
    name: str = field(repr=False)
    public_key: bytes = field(repr=False)


def add_first_administrator(
    conn: Connection, login: str, name: str, passphrase: str, at: datetime
) -> Person:
    """Add the person who adds everybody else, with the role administrator.

    Raises `first_administrator_exists`, `login_unusable`, `passphrase_short`.
    """
    if conn.execute("SELECT FROM staff.person LIMIT 1").fetchone() is not None:
        raise ADMINISTRATOR_EXISTS.refusal()
    added = _add(conn, None, login, name, passphrase, at)
    roles.record_event(
        conn, roles.Role.ADMINISTRATOR, added.person_id, by=added.person_id, granted=True, at=at
    )
    return added


def add_person(
    conn: Connection, by: str, login: str, name: str, passphrase: str, at: datetime
) -> Person:
    """Add a person without a role; `by` is the administrator's person id.

    Raises `role_missing`, `login_taken`, `login_unusable`, `passphrase_short`.
    """
    roles.require(conn, by, roles.Role.ADMINISTRATOR)
    return _add(conn, by, login, name, passphrase, at)


def person_of(conn: Connection, login: str) -> Person:
    """Return the person who logs in as `login`. Raises `person_unknown`."""
    with conn.cursor(row_factory=class_row(Person)) as cursor:
        found = cursor.execute(
            f"SELECT {COLUMNS} FROM staff.person WHERE login = %s", (login,)
        ).fetchone()
    if found is None:
        raise PERSON_UNKNOWN.refusal(who=login)
    return found


def person(conn: Connection, person_id: str) -> Person:
    """Return the person with `person_id`. Raises `person_unknown`."""
    with conn.cursor(row_factory=class_row(Person)) as cursor:
        found = cursor.execute(
            f"SELECT {COLUMNS} FROM staff.person WHERE person_id = %s", (person_id,)
        ).fetchone()
    if found is None:
        raise PERSON_UNKNOWN.refusal(who=person_id)
    return found


def _add(
    conn: Connection, by: str | None, login: str, name: str, passphrase: str, at: datetime
) -> Person:
    if LOGIN.fullmatch(login) is None:
        raise LOGIN_UNUSABLE.refusal()
    person_id = new_id("per", at)
    public_key, sealed_key = keys.new_sealed_key(person_id, passphrase)
    added = conn.execute(
        "INSERT INTO staff.person"
        " (person_id, login, name, public_key, sealed_key, added_by, added_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (person_id, login, name, public_key, sealed_key, by, at),
    )
    if added.rowcount == 0:
        raise (ADMINISTRATOR_EXISTS.refusal() if by is None else LOGIN_TAKEN.refusal(login=login))
    acts.record(
        conn, key=f"person:{person_id}", verb="add_person", object_id=person_id, body={},
        person_id=by or person_id, at=at, answer={},
    )  # fmt: skip
    return Person(person_id, login, name, public_key)
