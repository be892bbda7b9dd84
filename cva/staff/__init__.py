"""The people who work with the programme: roles, passphrases, keys and signatures."""

from cva.staff.keys import check_passphrase, sign, verify
from cva.staff.people import (
    Person,
    add_first_administrator,
    add_person,
    person,
    person_of,
)
from cva.staff.roles import Role, grant_role, require, revoke_role, roles_of

__all__ = [
    "Person",
    "Role",
    "add_first_administrator",
    "add_person",
    "check_passphrase",
    "grant_role",
    "person",
    "person_of",
    "require",
    "revoke_role",
    "roles_of",
    "sign",
    "verify",
]
