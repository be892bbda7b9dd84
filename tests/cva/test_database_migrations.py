"""The revisions make what the schema files say, once, for the three roles."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from cva.database import migrations
from cva.database.cluster import Cluster, Role
from cva.database.programs import tool
from cva.database.roles import ensure_roles
from ledgers.problems import Refusal
from tests.databases import Database, plain

ROOT = Path(__file__).parents[2]
SCHEMA_FILES = tuple(
    ROOT / name
    for name in (
        "ledgers/schema.sql",
        "ledgers/matching.sql",
        "cva/schema.sql",
        "cva/packs.sql",
        "cva/selection.sql",
        "cva/duplicates.sql",
    )
)


def dumped(database: Database) -> list[str]:
    """The schema as pg_dump writes it, without comments, random tokens and Alembic's own table."""
    command = [tool("pg_dump"), "--schema-only", "--exclude-table=public.alembic_version"]
    answer = subprocess.run(
        [*command, database.address(Role.OWNER)], capture_output=True, text=True, check=True
    )
    skipped = ("--", "\\restrict", "\\unrestrict")
    return [line for line in answer.stdout.splitlines() if line and not line.startswith(skipped)]


def test_migration_equals_schema_files(database: Database, bare: Database) -> None:
    with bare.connect(Role.OWNER) as owner:
        for file in SCHEMA_FILES:
            owner.execute(file.read_text(encoding="utf-8"))
    migrated, written = dumped(database), dumped(bare)
    assert [line for line in migrated if line not in written] == []
    assert [line for line in written if line not in migrated] == []
    assert migrated == written
    assert len(migrated) > 100


def test_a_migration_is_recorded_and_done_once(database: Database, bare: Database) -> None:
    engine = bare.engine(Role.OWNER)
    with pytest.raises(Refusal, match=r"database_out_of_date: .*none.*0001"):
        migrations.require_newest(engine)
    migrations.upgrade(engine)
    first = dumped(bare)
    migrations.upgrade(engine)
    assert dumped(bare) == first == dumped(database)
    for role in (Role.APP, Role.OWNER, Role.AUDITOR):
        migrations.require_newest(bare.engine(role))
    assert migrations.newest() == "0001"


def test_two_migrations_at_once_make_one_schema(database: Database, bare: Database) -> None:
    migrate = (
        "import sys; from sqlalchemy import create_engine;"
        " from cva.database.migrations import upgrade;"
        " upgrade(create_engine(sys.argv[1]))"
    )
    address = bare.url(Role.OWNER).render_as_string(hide_password=False)
    both = [subprocess.Popen([sys.executable, "-c", migrate, address], cwd=ROOT) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert dumped(bare) == dumped(database)


def test_a_migration_that_fails_leaves_nothing(bare: Database) -> None:
    with bare.connect(Role.OWNER) as owner:
        owner.execute("CREATE SCHEMA staff")
    with pytest.raises(psycopg.errors.DuplicateSchema):
        migrations.upgrade(bare.engine(Role.OWNER))
    with bare.connect(Role.OWNER) as owner:
        rows = owner.execute(
            "SELECT nspname FROM pg_namespace WHERE nspowner = 'cva_owner'::regrole"
        ).fetchall()
    assert rows == [("staff",)]


def test_the_first_revision_is_the_schema_files() -> None:
    first = ROOT / "cva" / "database" / "migrations" / "sql" / "0001_first.sql"
    written = "".join(file.read_text(encoding="utf-8") for file in SCHEMA_FILES)
    assert first.read_text(encoding="utf-8") == written, "run the command in migrations/__init__"


def test_auditors_write_nowhere_and_the_application_changes_no_schema(database: Database) -> None:
    with database.connect(Role.OWNER) as owner:
        rows = owner.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE tableowner = 'cva_owner'"
        ).fetchall()
    tables = [name for (name,) in rows]
    assert len(tables) > 10
    with database.connect(Role.OWNER) as owner:
        may_write = owner.execute(
            "SELECT t FROM unnest(%s::text[]) t"
            " WHERE has_table_privilege('cva_auditor', t, 'INSERT, UPDATE, DELETE, TRUNCATE')"
            " OR has_any_column_privilege('cva_auditor', t, 'INSERT, UPDATE')"
            " OR has_table_privilege('cva_app', t, 'TRUNCATE, TRIGGER, REFERENCES')",
            [tables],
        ).fetchall()
    assert may_write == []
    app = database.connect(Role.APP)
    for table in tables:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(f"DROP TABLE {table} CASCADE")
        app.rollback()


def test_missing_roles_are_made_or_asked_for(cluster: Cluster) -> None:
    with psycopg.connect(plain(cluster.url(Role.SUPERUSER, "postgres"))) as connection:
        # Rolled back at the end: roles belong to the whole server.
        connection.execute("ALTER ROLE cva_auditor RENAME TO somebody")
        connection.execute("SET ROLE cva_owner")
        with pytest.raises(Refusal, match="database_roles_missing") as refused:
            ensure_roles(connection)
        connection.execute("RESET ROLE")
        ensure_roles(connection)
        ensure_roles(connection)
        made = connection.execute(
            "SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = 'cva_auditor'"
        ).fetchall()
        connection.rollback()
    assert made == [(False, False)]
    assert refused.value.remedy == "Ask its administrator to run: CREATE ROLE cva_auditor NOLOGIN;"
