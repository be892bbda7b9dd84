"""Whether the households of a plan were compared with the others of the registry.

Equal numbers are always looked for; other spellings, scripts and slips of the pen only by a linkage
run (`cva duplicates find`). A programme that links nobody is not refused: small ones know their
people, and the first cycle is paid before anybody has looked. How many households of a plan no run
has seen is said to whoever prepares, shows, approves and releases it.

Refused is a plan of registrations that were merged when the last run looked and are not any more:
that they are one with another was somebody's finding, and nothing compares them until the next run.
"""

from psycopg import Connection

from ledgers.problems import Problem

RESTORED_NOT_LINKED = Problem(
    "restored_not_linked",
    "{households:registration|registrations} came back when a merge was undone, and were not"
    " compared with the others since.",
    "Run `cva duplicates find --new`, then prepare again.",
)

_LAST_RUN = """
    SELECT last_version_id, at FROM duplicates.run WHERE scope <> 'lists'
    ORDER BY at DESC, run_id DESC LIMIT 1
"""
_NOT_LINKED = f"""
    SELECT count(DISTINCT l.household_id) FROM payments.line l
    LEFT JOIN ({_LAST_RUN}) r ON true LEFT JOIN duplicates.restored b USING (household_id)
    WHERE l.plan_id = %s AND l.stopped IS NULL
      AND ((l.version_id <= r.last_version_id) IS NOT TRUE OR b.at >= r.at)
"""
_RESTORED = f"""
    SELECT count(DISTINCT c.household_id)
    FROM candidate c JOIN duplicates.restored b USING (household_id) JOIN ({_LAST_RUN}) r
      ON b.at >= r.at
    WHERE NOT c.withdrawn
"""


def not_linked(conn: Connection, plan_id: str) -> int:
    """Return how many households that the plan pays no linkage run has seen as they are paid."""
    row = conn.execute(_NOT_LINKED, (plan_id,)).fetchone()
    return int(row[0]) if row else 0


def require_restored_linked(conn: Connection) -> None:
    """Look at the table `candidate` of a plan that is being prepared.

    Raises `restored_not_linked`.
    """
    row = conn.execute(_RESTORED).fetchone()
    if row and row[0]:
        raise RESTORED_NOT_LINKED.refusal(households=row[0])
