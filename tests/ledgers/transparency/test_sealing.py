"""Sealing: every entry gets one place, in turn, and no caller decides which."""

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors

from cva.database.cluster import Role
from ledgers.entries import Leg, record
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.transparency import proofs, tree
from ledgers.transparency.sealing import LogState, seal_own, seal_waiting, state
from ledgers.transparency.verifying import verify_log
from tests.databases import Database
from tests.ledgers.conftest import BANK, FUND, GRANT, Books


def entry(books: Books) -> str:
    legs = [Leg(BANK, 5, grant_code=GRANT), Leg(FUND, -5, grant_code=GRANT)]
    return record(books.conn, books.head("fee"), legs).entry_ref


def sealed(conn: psycopg.Connection) -> list[tuple]:
    return conn.execute(
        "SELECT e.key, s.first_position, s.leaves, s.tree_size FROM books.sealed_entry s"
        " JOIN books.entry e USING (entry_id) ORDER BY s.first_position"
    ).fetchall()


def is_sound(conn: psycopg.Connection) -> bool:
    return not any(tally.wrong for tally in verify_log(conn))


def test_batch_seals_itself_at_commit(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700})
    assert sealed(books.conn) == []
    books.conn.commit()
    assert sealed(books.conn) == [("key 2", 0, 3, 3)]
    assert state(books.conn).waiting == 1


def test_entries_wait_until_somebody_seals(books: Books) -> None:
    books.hold({"A1": 300})
    books.conn.commit()
    assert state(books.conn) == LogState(0, None, None, 2)
    assert seal_waiting(books.conn) == 3
    books.conn.commit()
    now = state(books.conn)
    assert (now.size, now.waiting) == (3, 0)
    assert sealed(books.conn) == [("key 1", 0, 1, 3), ("key 2", 1, 2, 3)]
    assert seal_waiting(books.conn) == 0
    assert is_sound(books.conn)


def test_batch_seals_its_own_entry_before_those_that_wait(books: Books) -> None:
    moved = books.hold({"A1": 300}, key="plan")
    assert moved.count == 1
    (reference,) = books.conn.execute(
        "SELECT entry_ref FROM books.entry WHERE key = 'plan'"
    ).fetchone()
    assert seal_own(books.conn, [reference]) == 2
    assert seal_own(books.conn, [reference]) == 0
    assert seal_own(books.conn, []) == 0
    books.conn.commit()
    assert seal_waiting(books.conn) == 1
    assert sealed(books.conn) == [("plan", 0, 2, 2), ("key 1", 2, 1, 3)]
    assert is_sound(books.conn)


def test_entry_of_another_transaction_is_sealed_in_its_turn_only(books: Books) -> None:
    reference = entry(books)
    books.conn.commit()
    with pytest.raises(Refusal, match="seal_not_own"), refusals():
        seal_own(books.conn, [reference])


def test_sealed_entry_takes_no_further_line(books: Books) -> None:
    books.hold({"A1": 300}, key="plan")
    seal_waiting(books.conn)
    line = (
        "INSERT INTO books.transfer (entry_id, line_no, phase, debit_account_id,"
        " credit_account_id, amount_minor, currency, grant_code, programme_id, cycle_id, provider,"
        " location, instruction_ref) SELECT entry_id, 2, phase, debit_account_id,"
        " credit_account_id, 1, currency, grant_code, programme_id, cycle_id, provider, location,"
        " 'A2' FROM books.transfer"
    )
    with pytest.raises(Refusal, match="entry_closed"), refusals():
        books.conn.execute(line)


def test_root_is_that_of_the_leaves_however_they_were_sealed(books: Books) -> None:
    """Ragged sizes across the stored level: batches of 1, 255, 300 and 7 transfers, and singles."""
    sizes = []
    for number, count in enumerate((1, 255, 300, 7), 1):
        books.hold({f"B{number}{line:04d}": 1 for line in range(count)})
        entry(books)
        sizes.append(seal_waiting(books.conn))
        books.conn.commit()
    assert sizes == [4, 257, 302, 9]
    assert [(t.checked, t.wrong) for t in verify_log(books.conn)] == [
        (9, 0), (9, 0), (572, 0), (4, 0), (3, 0), (0, 0),
    ]  # fmt: skip
    levels = books.conn.execute(
        "SELECT level, count(*) FROM books.tree_node GROUP BY level ORDER BY level"
    ).fetchall()
    assert levels == [(8, 2), (9, 1)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_tree_grows_in_the_database_as_in_python(
    owner: psycopg.Connection, parts: list[int]
) -> None:
    frontier, stored, python, count = [], b"", tree.Frontier(), 0
    expected: dict[int, bytes] = {}
    for part in parts:
        hashes = [tree.leaf_hash(f"{count + number}".encode()) for number in range(part)]
        for hashed in hashes:
            for level, node in enumerate(python.append(hashed)):
                if level >= 8:
                    expected[level] = expected.get(level, b"") + node
        frontier, levels, root = owner.execute(
            "SELECT grown, levels, books.tree_root(grown) FROM books.grow(%s, %s, %s)",
            [count, frontier, b"".join(hashes)],
        ).fetchone()
        stored += levels[0] if levels else b""
        count += part
        assert (frontier, root) == (python.subtrees, python.root())
    assert stored == expected.get(8, b"")
    only = owner.execute("SELECT books.merkle_root(%s)", [b"".join(hashes)]).fetchone()
    assert only == (tree.root_of(hashes),)


@pytest.mark.parametrize("role", [Role.APP, Role.AUDITOR])
@pytest.mark.parametrize(
    "attack",
    [
        "INSERT INTO books.unsealed VALUES (1)",
        "DELETE FROM books.unsealed",
        "INSERT INTO books.tree VALUES (9, sha256(''), '{}', now())",
        "INSERT INTO books.sealed_entry VALUES (1, 5, 1, 9)",
        "INSERT INTO books.tree_node VALUES (8, 0, sha256(''))",
        "UPDATE books.tree SET root = sha256('')",
        "DELETE FROM books.sealed_entry",
        "TRUNCATE books.tree_node",
        "TRUNCATE books.unsealed",
        "MERGE INTO books.tree USING (VALUES (1)) v ON true WHEN MATCHED THEN DELETE",
        "UPDATE books.checkpoint SET origin = 'x'",
        "DELETE FROM books.cosignature",
        "ALTER TABLE books.tree DISABLE TRIGGER USER",
        "SET session_replication_role = replica",
    ],
)
def test_nobody_seals_by_hand(books: Books, database: Database, role: Role, attack: str) -> None:
    seal_waiting(books.conn)
    entry(books)
    books.conn.commit()
    with (
        psycopg.connect(database.address(role)) as conn,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        conn.execute(attack)


def test_auditor_seals_nothing(books: Books, auditor: psycopg.Connection) -> None:
    books.conn.commit()
    with pytest.raises(errors.InsufficientPrivilege):
        auditor.execute("SELECT books.seal()")


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE books.tree SET root = sha256('')",
        "DELETE FROM books.tree_node",
        "UPDATE books.sealed_entry SET first_position = 7",
        "DELETE FROM books.unsealed",
        "UPDATE books.unsealed SET entry_id = 1",
        "UPDATE books.checkpoint SET origin = 'x'",
        "DELETE FROM books.cosignature",
        "TRUNCATE books.tree_node",
        "TRUNCATE books.unsealed",
        "TRUNCATE books.cosignature",
    ],
)
def test_triggers_refuse_the_owner_too(
    books: Books, owner: psycopg.Connection, attack: str
) -> None:
    books.hold({f"B{line:04d}": 1 for line in range(300)})
    seal_waiting(books.conn)
    entry(books)
    books.conn.commit()
    owner.execute(
        "INSERT INTO books.checkpoint SELECT tree_size, 'o', root, 'k', decode(repeat('00', 64),"
        " 'hex'), now() FROM books.tree"
    )
    owner.execute(
        "INSERT INTO books.cosignature SELECT tree_size, 'k', decode(repeat('00', 72), 'hex'),"
        " now() FROM books.tree"
    )
    with pytest.raises(Refusal, match="books_append_only"), refusals():
        owner.execute(attack)


def test_checkpoint_of_another_tree_is_refused(books: Books) -> None:
    seal_waiting(books.conn)
    with pytest.raises(Refusal, match=proofs.LOG_SIZE_UNKNOWN.code), refusals():
        books.conn.execute(
            "INSERT INTO books.checkpoint VALUES (1, 'o', sha256(''), 'k',"
            " decode(repeat('00', 64), 'hex'), now())"
        )


def test_sealers_take_turns(books: Books, database: Database) -> None:
    """A second sealer waits for the first, and then sees what the first did."""
    entry(books)
    books.conn.commit()
    other = database.connect(Role.APP)
    assert seal_waiting(books.conn) == 2
    other.execute("SET lock_timeout = '50ms'")
    with pytest.raises(errors.LockNotAvailable):
        seal_waiting(other)
    other.rollback()
    books.conn.commit()
    assert seal_waiting(other) == 0
    entry(Books(other, books.numbers))
    other.commit()
    assert seal_waiting(other) == 1
    other.commit()
    assert [row[1] for row in sealed(books.conn)] == [0, 1, 2]
    times = [row[0] for row in books.conn.execute("SELECT sealed_at FROM books.tree ORDER BY 1")]
    assert len(set(times)) == 2
    assert is_sound(books.conn)
