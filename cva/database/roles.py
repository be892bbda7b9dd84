"""The three roles on a PostgreSQL server that somebody else runs (`DATABASE_URL`).

The schemas grant to `cva_app` and `cva_auditor`. The embedded cluster makes these roles itself; on
another server they are made here through the owner's connection if it may, otherwise the refusal
says what the server's administrator has to type. Logins stay the administrator's: they are members
of one of these roles.
"""

from psycopg import Connection, sql
from psycopg.errors import InsufficientPrivilege

from cva.database.cluster import Role
from ledgers.problems import Problem

ROLES_MISSING = Problem(
    "database_roles_missing",
    "The roles {roles} are missing on the database server, and {login} may not create them.",
    "Ask its administrator to run: {statements}",
)

GROUPS = (Role.OWNER, Role.APP, Role.AUDITOR)


def ensure_roles(owner: Connection) -> None:
    """Create the roles that are missing, without the right to log in.

    Raises the refusal `database_roles_missing`, with the statements to run.
    """
    rows = owner.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [list(GROUPS)])
    present = {name for (name,) in rows}
    missing = [role.value for role in GROUPS if role not in present]
    try:
        with owner.transaction():
            for role in missing:
                owner.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    except InsufficientPrivilege:
        raise ROLES_MISSING.refusal(
            roles=", ".join(missing),
            login=owner.info.user,
            statements=" ".join(f"CREATE ROLE {role} NOLOGIN;" for role in missing),
        ) from None
