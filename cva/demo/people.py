"""The demo's people: nobody does two of preparing, approving and releasing."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection

from cva import staff
from cva.staff import Role

CAST = {
    "amal": ("Amal", Role.PROGRAMME),
    "deniz": ("Deniz", Role.FINANCE),
    "omar": ("Omar", Role.FINANCE),
    "selin": ("Selin", Role.FINANCE),
    "ines": ("Ines", Role.AUDITOR),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """A person of the demo and the passphrase that opens their signing key."""

    person_id: str
    passphrase: str


def hire(conn: Connection, at: datetime) -> dict[str, Actor]:
    """Add the first administrator and the cast; return the actors by login."""
    secret = "demo passphrase of {}".format
    boss = staff.add_first_administrator(conn, "kerem", "Kerem", secret("kerem"), at)
    actors = {"kerem": Actor(boss.person_id, secret("kerem"))}
    for login, (name, role) in CAST.items():
        person = staff.add_person(conn, boss.person_id, login, name, secret(login), at)
        staff.grant_role(conn, boss.person_id, secret("kerem"), person.person_id, role, at)
        actors[login] = Actor(person.person_id, secret(login))
    return actors
