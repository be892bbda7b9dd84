"""Transactions by role, and what comes out of them when the database refuses."""

import traceback
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL, Engine

from cva.database.cluster import Cluster, Role
from cva.database.connect import address, engine_at, engine_of, reading, transaction
from cva.settings import Settings
from ledgers.problems import Problem, Refusal
from tests.databases import Database, plain

NOT_ENOUGH = Problem("test_not_enough", "{account} has only {sum}.", "Ask for less.")
COUNTED = """
CREATE TABLE counted (n int UNIQUE, phone text UNIQUE);
CREATE FUNCTION refuse_negative() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.n < 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'CV001', MESSAGE = 'test_not_enough',
            DETAIL = json_build_object('account', 'cash', 'sum', NEW.n)::text;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON counted
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_negative();
GRANT SELECT, INSERT ON counted TO cva_app;
GRANT SELECT ON counted TO cva_auditor;
"""


@pytest.fixture
def counted(bare: Database) -> Database:
    with bare.connect(Role.OWNER) as owner:
        owner.execute(COUNTED)
    return bare


def add_and_stumble(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute("INSERT INTO counted VALUES (2)")
        raise KeyError


def add_while_cut(engine: Engine, superuser_address: str) -> None:
    with transaction(engine) as connection, psycopg.connect(superuser_address) as superuser:
        connection.execute("INSERT INTO counted VALUES (1)")
        superuser.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.info.backend_pid])
        connection.execute("INSERT INTO counted VALUES (2)")


def numbers(counted: Database) -> list[int]:
    with reading(counted.engine()) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM counted ORDER BY n")]


def test_a_transaction_commits_at_its_end_and_rolls_back_on_any_exception(
    counted: Database,
) -> None:
    engine = counted.engine()
    with transaction(engine) as connection:
        connection.execute("INSERT INTO counted VALUES (1)")
    with pytest.raises(psycopg.errors.DivisionByZero), transaction(engine) as connection:
        connection.execute("INSERT INTO counted VALUES (2); SELECT 1 / 0")
    with pytest.raises(KeyError):
        add_and_stumble(engine)
    assert numbers(counted) == [1]


def test_reading_sees_one_state_and_writes_nothing(counted: Database) -> None:
    engine = counted.engine()
    with reading(engine) as before:
        assert before.execute("SELECT count(*) FROM counted").fetchone() == (0,)
        with transaction(engine) as connection:
            connection.execute("INSERT INTO counted VALUES (1)")
        assert before.execute("SELECT count(*) FROM counted").fetchone() == (0,)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), reading(engine) as connection:
        connection.execute("INSERT INTO counted VALUES (2)")
    with transaction(engine) as connection:
        connection.execute("INSERT INTO counted VALUES (3)")
    assert numbers(counted) == [1, 3]


def test_a_refusal_at_commit_is_the_designed_one(counted: Database) -> None:
    with pytest.raises(Refusal) as refused, transaction(counted.engine()) as connection:
        connection.execute("INSERT INTO counted VALUES (-5)")
    assert refused.value.problem == NOT_ENOUGH
    assert refused.value.facts == {"account": "cash", "sum": -5}
    assert str(refused.value) == "test_not_enough: cash has only -5. Ask for less."
    assert numbers(counted) == []


def test_what_a_role_may_not_do_is_not_permitted(counted: Database) -> None:
    with pytest.raises(Refusal) as refused, transaction(counted.engine(Role.AUDITOR)) as auditor:
        auditor.execute("INSERT INTO counted VALUES (1)")
    assert refused.value.problem.code == "database_not_permitted"
    assert refused.value.problem.answer == "not_permitted"


def test_an_error_of_the_database_keeps_its_type_and_loses_its_rows(counted: Database) -> None:
    phone = "0532 123 45 67"
    row = "INSERT INTO counted VALUES (%s, %s)"
    with transaction(counted.engine()) as connection:
        connection.execute(row, [1, phone])
    with (
        pytest.raises(psycopg.errors.UniqueViolation) as raised,
        transaction(counted.engine()) as connection,
    ):
        connection.execute(row, [2, phone])
    assert str(raised.value) == "SQLSTATE 23505 counted counted_phone_key"
    assert phone not in "".join(traceback.format_exception(raised.value))
    with (
        pytest.raises(psycopg.errors.InvalidTextRepresentation) as raised,
        transaction(counted.engine()) as connection,
    ):
        connection.execute("SELECT %s::text::int", [phone])
    assert str(raised.value) == "SQLSTATE 22P02"


def test_a_mistake_in_a_statement_keeps_its_text(counted: Database) -> None:
    with (
        pytest.raises(psycopg.errors.UndefinedTable, match="no_such_table"),
        transaction(counted.engine()) as connection,
    ):
        connection.execute("SELECT 1 FROM no_such_table")


def test_a_database_without_our_tables_says_how_to_set_it_up(counted: Database) -> None:
    with (
        pytest.raises(Refusal, match=r"database_not_set_up: .*`cva init`"),
        reading(counted.engine()) as connection,
    ):
        connection.execute("SELECT 1 FROM nowhere.programme")


def test_a_database_that_is_not_there_is_gone(tmp_path: Path) -> None:
    nowhere = URL.create(
        "postgresql+psycopg", username="cva_app", database="cva", query={"host": str(tmp_path)}
    )
    with pytest.raises(Refusal, match="database_gone"), transaction(engine_at(nowhere)):
        pytest.fail("there is nothing to connect to")


def test_a_connection_cut_in_the_middle_is_gone_and_the_next_one_works(
    cluster: Cluster, counted: Database
) -> None:
    engine = counted.engine()
    with pytest.raises(Refusal, match="database_gone"):
        add_while_cut(engine, plain(cluster.url(Role.SUPERUSER, "postgres")))
    with transaction(engine) as connection:
        connection.execute("INSERT INTO counted VALUES (3)")
    assert numbers(counted) == [3]


def test_the_settings_name_the_database_by_role(settings: Settings, database: Database) -> None:
    for role in (Role.APP, Role.OWNER, Role.AUDITOR):
        engine = engine_of(settings, role)
        with reading(engine) as connection:
            row = connection.execute("SELECT current_user, current_database()").fetchone()
        engine.dispose()
        assert row == (role.value, database.name)


def test_an_address_that_is_missing_or_unreadable_is_said_plainly(tmp_path: Path) -> None:
    key = tmp_path / "master.key"
    home = tmp_path / "home"
    only_app = Settings(home, key, database_url="postgres://app:s3cret@db/cva")
    assert address(only_app).drivername == "postgresql+psycopg"
    assert "s3cret" not in f"{only_app} {address(only_app)} {address(only_app)!r}"
    with pytest.raises(Refusal, match=r"database_url_missing: .*CVA_OWNER_DATABASE_URL"):
        address(only_app, Role.OWNER)
    for text in ("sqlite:///cva.db", "not an address s3cret"):
        with pytest.raises(Refusal, match="database_url_unreadable: DATABASE_URL") as refused:
            address(Settings(home, key, database_url=text))
        assert "s3cret" not in str(refused.value)


def test_an_auditor_with_one_address_gets_no_database_of_their_own(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ines = Settings(
        home, tmp_path / "master.key", auditor_database_url="postgresql://ines@db/cva"
    )  # fmt: skip
    assert address(ines, Role.AUDITOR).host == "db"
    with pytest.raises(Refusal, match=r"CVA_AUDITOR_DATABASE_URL names .* but DATABASE_URL is not"):
        address(ines, Role.APP)
    assert not home.exists()


def test_without_an_address_the_embedded_server_is_started(
    cluster: Cluster, tmp_path: Path
) -> None:
    embedded = Settings(home=cluster.home, key_file=tmp_path / "master.key")
    assert address(embedded) == cluster.url(Role.APP)
