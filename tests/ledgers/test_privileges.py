"""What each login may not do to the books, verb by verb and table by table."""

import psycopg
import pytest
from psycopg import errors

from cva.database.cluster import Role
from tests.databases import Database
from tests.ledgers.test_constraints import ROWS

VERBS = {
    "INSERT": "INSERT INTO books.{table} DEFAULT VALUES",
    "UPDATE": "UPDATE books.{table} SET {column} = {column}",
    "DELETE": "DELETE FROM books.{table}",
    "TRUNCATE": "TRUNCATE books.{table}",
}
# What the application adds rows to; elsewhere functions do.
ADDED_TO = {
    "account", "wallet", "leg", "transfer", "checkpoint", "cosignature", "item_refusal",
}  # fmt: skip
# Columns of tables it adds rows to, which are the database's to say.
SAID_BY_DATABASE = {
    "entry": ["entry_id", "recorded_at", "recorded_in"],
    "account_closing": ["recorded_at"],
    "period_state": ["recorded_at"],
    "item_batch": ["recorded_at"],
    "rate": ["rate_id", "recorded_at"],
}
OPEN_FUNCTIONS = {"seal", "lock_available"}
CLOSED_FUNCTIONS = [
    "admit_entries", "check_closing", "check_legs", "check_period", "check_transfers",
    "move_balances", "move_wallets", "open_balances",
]  # fmt: skip


def forbidden(role: Role, table: str) -> list[str]:
    """The verbs that the role may not use on the table."""
    if role is Role.APP and table in ADDED_TO | SAID_BY_DATABASE.keys():
        return ["UPDATE", "DELETE", "TRUNCATE"]
    return list(VERBS)


def column_of(table: str) -> str:
    generated = {"account_id", "wallet_id", "entry_id", "rate_id"}
    return next((name for name in ROWS[table] if name not in generated), "entry_id")


@pytest.mark.parametrize("table", ROWS)
@pytest.mark.parametrize("role", [Role.APP, Role.AUDITOR])
def test_login_may_not(database: Database, role: Role, table: str) -> None:
    conn = database.connect(role)
    conn.autocommit = True
    for verb in forbidden(role, table):
        with pytest.raises(errors.InsufficientPrivilege):
            conn.execute(VERBS[verb].format(table=table, column=column_of(table)))
    conn.execute(f"SELECT FROM books.{table}")


@pytest.mark.parametrize("table", SAID_BY_DATABASE)
def test_time_and_number_of_a_record_are_the_databases_to_say(
    app: psycopg.Connection, table: str
) -> None:
    app.autocommit = True
    for column in SAID_BY_DATABASE[table]:
        with pytest.raises(errors.InsufficientPrivilege):
            app.execute(f"INSERT INTO books.{table} ({column}) OVERRIDING SYSTEM VALUE"
                        f" SELECT {column} FROM books.{table}")  # fmt: skip


@pytest.mark.parametrize("name", CLOSED_FUNCTIONS)
def test_function_that_acts_as_the_owner_is_not_called_by_others(
    app: psycopg.Connection, owner: psycopg.Connection, name: str
) -> None:
    (arguments,) = owner.execute(
        "SELECT oidvectortypes(proargtypes) FROM pg_proc"
        " WHERE proname = %s AND pronamespace = 'books'::regnamespace",
        [name],
    ).fetchone() or ("",)
    nulls = ", ".join(f"NULL::{kind}" for kind in arguments.split(", ") if kind)
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(f"SELECT books.{name}({nulls})")


@pytest.mark.parametrize("role", [Role.APP, Role.AUDITOR])
def test_login_makes_nothing_of_its_own_among_the_books(database: Database, role: Role) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        database.connect(role).execute("CREATE TABLE books.mine ()")


def test_every_table_and_function_is_tried(owner: psycopg.Connection) -> None:
    tables = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'books'::regnamespace AND relkind = 'r'"
    )
    assert {row[0] for row in tables} == ROWS.keys()
    functions = owner.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'books'::regnamespace AND prosecdef"
    )
    assert {row[0] for row in functions} == OPEN_FUNCTIONS | set(CLOSED_FUNCTIONS)
