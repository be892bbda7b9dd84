r"""Migrations: plain-SQL revisions, applied in order by the owner of the schemas.

`ledgers/schema.sql`, `ledgers/matching.sql`, `cva/schema.sql`, `cva/packs.sql`,
`cva/selection.sql` and `cva/duplicates.sql` are the truth. A revision is a file of SQL below
`sql/`, executed as it stands; a test compares what the revisions make with what these files make,
both ways. Until the first release there is one revision, `sql/0001_first.sql`, and it is the files
one after the other:

    cat {ledgers/{schema,matching},cva/{schema,packs,selection,duplicates}}.sql \
      > cva/database/migrations/sql/0001_first.sql

Revisions only go forward: nothing recorded is ever taken away, a mistake is mended by the next one.

Source: Alembic documentation, "Operation Reference" and "Sharing a Connection".
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from cva.database.connect import driver_of, understood
from cva.database.roles import ensure_roles
from ledgers.problems import Problem

OUT_OF_DATE = Problem(
    "database_out_of_date",
    "The database is at revision {found}, this program needs {expected}.",
    "Run `cva upgrade` to bring the database up to date, or install the matching release.",
)

# One migration at a time on a database, whoever starts it: "cva" in ASCII.
LOCK = 0x637661
NOTHING = "none"


def upgrade(engine: Engine) -> None:
    """Bring the database of `engine` (the owner's) to the newest revision, all or nothing.

    The roles that the schemas grant to are made first where they are missing. Raises the refusals
    `database_roles_missing`, `database_gone` and `database_not_permitted`.
    """
    with understood(), engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        ensure_roles(driver_of(connection.connection.driver_connection))
        configuration = _configuration()
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
        connection.execute(text("GRANT SELECT ON alembic_version TO cva_app, cva_auditor"))


def newest() -> str:
    """Return the newest revision of this program."""
    return ScriptDirectory.from_config(_configuration()).get_current_head() or NOTHING


def known() -> set[str]:
    """Return every revision that this program knows."""
    scripts = ScriptDirectory.from_config(_configuration())
    return {script.revision for script in scripts.walk_revisions()}


def require_newest(engine: Engine) -> None:
    """Raise the refusal `database_out_of_date` unless the database has the newest revision."""
    with understood(), engine.connect() as connection:
        found = _revision(connection)
    if found != newest():
        raise OUT_OF_DATE.refusal(found=found, expected=newest())


def _revision(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or NOTHING


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent))
    configuration.set_main_option("path_separator", "os")
    return configuration
