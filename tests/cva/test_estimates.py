"""What the planner expects of a plan that is being written, however old its statistics are."""

import psycopg
import pytest

from cva.database.cluster import Role
from tests.databases import Database

LINES = 10_000
FILLED = {
    "payments.line": """
        INSERT INTO payments.line (plan_id, line_no, cycle_id, household_id, version_id, kind,
          attempt, amount_minor, people, people_from, instruction_ref)
        SELECT 'old', n, 'cycle', 'hh' || n, n, 'regular', 1, 100, 4, 'roster', 'R' || n
        FROM generate_series(1, %(lines)s) AS n
    """,
    "assessment.decision": """
        INSERT INTO assessment.decision (run_id, household_id, version_id, status, pass_bits,
          unknown_bits, tie_key, selected, currency, reason)
        SELECT 'old', 'hh' || n, n, 'eligible', 1, 0, n::text, true, 'TRY', 'selected'
        FROM generate_series(1, %(lines)s) AS n
    """,
}
NEW = {"payments.line": "plan_id = 'new'", "assessment.decision": "run_id = 'new'"}


@pytest.fixture
def owner(database: Database) -> psycopg.Connection:
    with database.connect(Role.SUPERUSER) as conn:
        # Rows by the thousand, without the people and papers that triggers would ask for.
        conn.execute("SET session_replication_role = replica")
        yield conn
        conn.rollback()


@pytest.mark.parametrize("table", FILLED)
def test_new_plan_or_run_is_expected_to_have_many_rows(
    owner: psycopg.Connection, table: str
) -> None:
    owner.execute(FILLED[table], {"lines": LINES})
    owner.execute(f"ANALYZE {table}")
    ((plan,),) = owner.execute(
        f"EXPLAIN (FORMAT JSON) SELECT FROM {table} WHERE {NEW[table]}"
    ).fetchall()
    assert plan[0]["Plan"]["Plan Rows"] >= LINES / 1_000
