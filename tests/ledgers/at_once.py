"""Many connections that act at once."""

import threading
from collections.abc import Callable

import psycopg

from cva.database.cluster import Role
from ledgers.entries import EntryHead
from tests.databases import Database
from tests.ledgers.conftest import MARCH

CONNECTIONS_MAX = 50  # the server takes 60


def at_once(
    database: Database, count: int, act: Callable[[psycopg.Connection, int], None]
) -> list[str]:
    """Run `act` in `count` connections, 50 of them at a time; returns how each ended.

    Two entries that find their stripes empty at the same moment may meet a deadlock, which the
    server ends: it is repeated, as a caller has to.
    """
    together = min(count, CONNECTIONS_MAX)
    barrier = threading.Barrier(together, timeout=60)
    ends = [""] * count

    def run(first: int) -> None:
        for number in range(first, count, together):
            with psycopg.connect(database.address(Role.APP)) as conn:
                if number == first:
                    barrier.wait()
                ends[number] = _end(conn, number, act)

    threads = [threading.Thread(target=run, args=[number]) for number in range(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def _end(
    conn: psycopg.Connection, number: int, act: Callable[[psycopg.Connection, int], None]
) -> str:
    try:
        act(conn, number)
        conn.commit()
    except psycopg.errors.DeadlockDetected:
        conn.rollback()
        return _end(conn, number, act)
    except psycopg.Error as error:
        conn.rollback()
        return error.diag.message_primary or ""
    except Exception as refused:  # noqa: BLE001 - the end is what is tested
        conn.rollback()
        return str(refused).split(":")[0]
    return "done"


def head(number: int, key: str) -> EntryHead:
    """The head of the entry of one of many connections."""
    return EntryHead(
        f"je_{number + 50:026d}", key, "parallel", MARCH, "Deniz", "parallel", recorded_on=MARCH
    )
