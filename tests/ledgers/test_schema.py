"""What the books promise against somebody who types SQL as the application."""

import re
import threading
from collections.abc import Callable
from importlib import resources

import psycopg
import pytest
from psycopg import errors

from cva.database.cluster import Role
from ledgers import verification
from ledgers.balances import balance
from ledgers.entries import EntryHead, Leg, record
from ledgers.problems import PROBLEMS
from ledgers.refusals import refusal_of
from ledgers.transfers import hold, settle
from tests.databases import Database
from tests.ledgers.conftest import BANK, CASH, FLOAT, GRANT, MARCH, Books, values

ENTRY = (
    "INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_by, reason)"
    " VALUES ('je_' || lpad('{0}', 26, '9'), 'raw {0}', sha256(''), 'raw', '2026-03-02', 'Sam',"
    " 'raw') RETURNING entry_id"
)
LEG = (
    "INSERT INTO books.leg (entry_id, leg_no, account_id, amount_minor, currency, grant_code)"
    " VALUES (%s, %s, %s, %s, 'TRY', %s)"
)
TRANSFER = (
    "INSERT INTO books.transfer (entry_id, phase, debit_account_id, credit_account_id,"
    " amount_minor, currency, grant_code, programme_id, cycle_id, provider, location,"
    " instruction_ref, pending_id)"
    " VALUES (%s, %s, %s, %s, %s, 'TRY', %s, 'pgm_1', 'cyc_1', 'HALK', 'TR-63', %s, %s)"
)


COLUMNS = {
    "account": "name", "entry": "reason", "leg": "grant_code", "transfer": "provider",
    "balance": "version",
}  # fmt: skip


def account(books: Books, code: str) -> int:
    number = books.one(f"SELECT account_id FROM books.account WHERE code = '{code}'")
    assert isinstance(number, int)
    return number


def raw_entry(conn: psycopg.Connection, name: str) -> int:
    row = conn.execute(ENTRY.format(name)).fetchone()
    assert row is not None
    return row[0]


def code_of(raised: pytest.ExceptionInfo[psycopg.Error]) -> str:
    """The code of the refusal; its facts fill its sentence."""
    refusal = refusal_of(raised.value)
    assert refusal is not None
    assert "{" not in refusal.sentence
    return refusal.problem.code


def test_every_code_of_the_schema_is_a_problem() -> None:
    schema = resources.files("ledgers").joinpath("schema.sql").read_text(encoding="utf-8")
    codes = set(re.findall(r"(?:refuse\(|THEN |ELSE )'(\w+)'", schema))
    assert {"account_limit", "hold_exceeded"} <= codes
    assert codes - PROBLEMS.keys() == {"pending", "posted"}


@pytest.mark.parametrize("table", ["account", "entry", "leg", "transfer", "balance"])
@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE books.{table} SET {column} = {column}",
        "DELETE FROM books.{table}",
        "TRUNCATE books.{table} CASCADE",
        "MERGE INTO books.{table} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
        "ALTER TABLE books.{table} DISABLE TRIGGER ALL",
        "DROP TABLE books.{table} CASCADE",
    ],
)
def test_application_cannot_change_what_is_recorded(books: Books, table: str, attack: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        books.conn.execute(attack.format(table=table, column=COLUMNS[table]))


UPSERT = """
    INSERT INTO books.leg SELECT * FROM books.leg
    ON CONFLICT (entry_id, leg_no) DO UPDATE SET amount_minor = 1
"""
FORGED = """
    INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_by, reason,
        {}) VALUES ('je_' || repeat('8', 26), 'k', sha256(''), 'e', '2026-03-02', 'Sam', 'r', '{}')
"""


@pytest.mark.parametrize(
    "attack",
    [
        UPSERT,
        FORGED.format("recorded_at", "2020-01-01"),
        FORGED.format("recorded_in", "99999"),
        "INSERT INTO books.balance (account_id) VALUES (1)",
        "SELECT books.move_balances('{1}', '{5}', '{0}', '{0}', '{0}')",
        "SET session_replication_role = replica",
    ],
)
def test_application_cannot_reach_around(books: Books, attack: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        books.conn.execute(attack)


@pytest.mark.parametrize("table", ["account", "entry", "leg", "transfer"])
@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE books.{table} SET {column} = {column}",
        "DELETE FROM books.{table}",
        "TRUNCATE books.{table} CASCADE",
        "MERGE INTO books.{table} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    ],
)
def test_owner_is_refused_by_trigger(
    books: Books, owner: psycopg.Connection, table: str, attack: str
) -> None:
    books.hold({"A1": 1})
    books.conn.commit()
    with pytest.raises(psycopg.Error) as raised:
        owner.execute(attack.format(table=table, column=COLUMNS[table]))
    assert code_of(raised) == "books_append_only"


def test_auditor_reads_and_writes_nothing(books: Books, auditor: psycopg.Connection) -> None:
    assert balance(auditor, FLOAT) == balance(books.conn, FLOAT)
    assert verification.verify(auditor).sound
    with pytest.raises(errors.InsufficientPrivilege):
        auditor.execute(ENTRY.format("auditor"))


def test_unbalanced_entry_is_refused(books: Books) -> None:
    entry = raw_entry(books.conn, "one")
    with pytest.raises(psycopg.Error) as raised:
        books.conn.execute(LEG, [entry, 1, account(books, BANK), 5, GRANT])
    assert code_of(raised) == "entry_unbalanced"


def test_entry_without_lines_is_refused_at_commit(books: Books) -> None:
    raw_entry(books.conn, "one")
    with pytest.raises(psycopg.Error) as raised:
        books.conn.commit()
    assert code_of(raised) == "entry_without_lines"


PAIR = (
    "INSERT INTO books.leg (entry_id, leg_no, account_id, amount_minor, currency, grant_code)"
    " VALUES (%(entry)s, %(no)s, %(a)s, 5, 'TRY', 'G'),"
    " (%(entry)s, %(no)s + 1, %(b)s, -5, 'TRY', 'G')"
)


def test_legs_come_once_and_with_their_entry(books: Books) -> None:
    params = {"no": 1, "a": account(books, BANK), "b": account(books, CASH)}
    params["entry"] = raw_entry(books.conn, "one")
    books.conn.execute(PAIR, params)
    books.conn.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(psycopg.Error) as raised, books.conn.transaction():
        books.conn.execute(PAIR, {**params, "no": 3})
    assert code_of(raised) == "entry_closed"
    books.conn.commit()
    with pytest.raises(psycopg.Error) as raised:
        books.conn.execute(PAIR, {**params, "no": 3})
    assert code_of(raised) == "entry_closed"


def test_legs_in_a_savepoint_belong_to_their_entry(books: Books) -> None:
    books.conn.execute("SELECT 1")
    with books.conn.transaction():
        entry = raw_entry(books.conn, "one")
    params = {"entry": entry, "no": 1, "a": account(books, BANK), "b": account(books, CASH)}
    with books.conn.transaction():
        books.conn.execute(PAIR, params)
    books.conn.commit()
    assert books.one("SELECT count(*) FROM books.leg WHERE grant_code = 'G'") == 2


def test_transfers_come_with_their_entry(books: Books) -> None:
    books.hold({"A1": 5})
    books.conn.commit()
    entry = books.one("SELECT max(entry_id) FROM books.entry")
    for number in (entry, 10**9):
        row = [number, "single", account(books, CASH), account(books, FLOAT), 5, GRANT, None, None]
        with pytest.raises(psycopg.Error) as raised:
            books.conn.execute(TRANSFER, row)
        assert code_of(raised) == "entry_closed"
        books.conn.rollback()


def test_reversal_that_is_no_mirror_is_refused(books: Books) -> None:
    first = books.one("SELECT min(entry_id) FROM books.entry")
    row = books.conn.execute(
        "INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_by,"
        " reason, reverses) VALUES ('je_' || repeat('9', 26), 'raw', sha256(''), 'raw',"
        " '2026-03-02', 'Sam', 'raw', %s) RETURNING entry_id",
        [first],
    ).fetchone()
    assert row is not None
    half = {"entry": row[0], "no": 1, "a": account(books, BANK), "b": account(books, FLOAT)}
    books.conn.execute(PAIR, half)
    with pytest.raises(psycopg.Error) as raised:
        books.conn.commit()
    assert code_of(raised) == "reversal_not_mirror"


@pytest.mark.parametrize(
    ("phase", "amount", "instruction", "credit", "code"),
    [
        ("posted", 301, "A1", FLOAT, "hold_exceeded"),
        ("voided", 299, "A1", FLOAT, "hold_changed"),
        ("posted", 300, "A2", FLOAT, "hold_changed"),
        ("posted", 300, "A1", BANK, "hold_changed"),
    ],
)
def test_resolution_that_differs_from_its_hold_is_refused(
    books: Books, phase: str, amount: int, instruction: str, credit: str, code: str
) -> None:
    books.hold({"A1": 300, "A2": 300})
    pending = books.one("SELECT transfer_id FROM books.transfer WHERE instruction_ref = 'A1'")
    entry = raw_entry(books.conn, "one")
    sides = account(books, CASH), account(books, credit)
    with pytest.raises(psycopg.Error) as raised:
        books.conn.execute(TRANSFER, [entry, phase, *sides, amount, GRANT, instruction, pending])
    assert code_of(raised) == code


def test_hold_is_resolved_once(books: Books) -> None:
    books.hold({"A1": 300})
    books.settle({"A1": 200})
    first = books.one("SELECT transfer_id FROM books.transfer WHERE phase = 'pending'")
    posted = books.one("SELECT transfer_id FROM books.transfer WHERE phase = 'posted'")
    books.conn.commit()
    sides = account(books, CASH), account(books, FLOAT)
    row = [raw_entry(books.conn, "one"), "posted", *sides, 100, GRANT, "A1", first]
    with pytest.raises(errors.UniqueViolation):
        books.conn.execute(TRANSFER, row)
    books.conn.rollback()
    for unknown in (posted, 10**9):
        row = [raw_entry(books.conn, "one"), "posted", *sides, 100, GRANT, "A1", unknown]
        with pytest.raises(psycopg.Error) as raised:
            books.conn.execute(TRANSFER, row)
        assert code_of(raised) == "hold_unknown"
        books.conn.rollback()


@pytest.mark.parametrize(
    ("debit", "grant"), [("9010.IOM-MPCA.TRY", GRANT), ("2010.IOM-MPCA.TRY", "ECHO")]
)
def test_transfer_needs_accounts_that_fit(books: Books, debit: str, grant: str) -> None:
    books.conn.execute(
        "INSERT INTO books.account (code, chart_code, name, class, normal_side, currency,"
        " opened_on) VALUES ('9010.IOM-MPCA.TRY', '9010', 'Budget', 'memo', 'debit', 'TRY',"
        " '2026-03-02')"
    )
    sides = account(books, debit), account(books, FLOAT)
    row = [raw_entry(books.conn, "one"), "single", *sides, 5, grant, None, None]
    with pytest.raises(psycopg.Error) as raised:
        books.conn.execute(TRANSFER, row)
    assert code_of(raised) == "account_unfit"


# --- many at once -------------------------------------------------------------------------------


def at_once(
    database: Database, count: int, act: Callable[[psycopg.Connection, int], None]
) -> list[str]:
    """Run `act` in `count` connections from one starting shot; returns how each ended."""
    barrier = threading.Barrier(count, timeout=30)
    ends = [""] * count

    def run(number: int) -> None:
        with psycopg.connect(database.address(Role.APP)) as conn:
            barrier.wait()
            try:
                act(conn, number)
                conn.commit()
                ends[number] = "done"
            except psycopg.Error as error:
                conn.rollback()
                ends[number] = error.diag.message_primary or ""
            except Exception as refused:  # noqa: BLE001 - the end is what is tested
                conn.rollback()
                ends[number] = str(refused).split(":")[0]

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def head(number: int, key: str) -> EntryHead:
    return EntryHead(f"je_{number + 50:026d}", key, "parallel", MARCH, "Deniz", "parallel")


def test_limit_holds_when_eight_write_at_once(books: Books, database: Database) -> None:
    def reserve(conn: psycopg.Connection, number: int) -> None:
        mine = Books(conn)
        hold(conn, head(number, f"plan {number}"), mine.lines({f"T{number}": 300_000}))

    ends = at_once(database, 8, reserve)
    assert sorted(ends) == ["account_limit"] * 5 + ["done"] * 3
    assert balance(books.conn, FLOAT).available_minor == 100_000
    assert verification.verify(books.conn).sound


def test_hold_is_resolved_once_when_eight_settle_at_once(books: Books, database: Database) -> None:
    books.hold({"A1": 300, "A2": 700})
    books.conn.commit()

    def resolve(conn: psycopg.Connection, number: int) -> None:
        settle(
            conn,
            head(number, f"report {number}"),
            values([("A1", 300), ("A2", number)], "text bigint"),
        )

    ends = at_once(database, 8, resolve)
    assert sorted(ends) == ["done"] + ["hold_already_resolved"] * 7
    assert balance(books.conn, FLOAT).pending_minor == 0
    assert verification.verify(books.conn).sound


def test_same_key_is_one_entry_when_eight_ask_at_once(books: Books, database: Database) -> None:
    def reserve(conn: psycopg.Connection, number: int) -> None:
        mine = Books(conn)
        hold(conn, head(number, "plan 1"), mine.lines({"T1": 300_000}))

    assert at_once(database, 8, reserve) == ["done"] * 8
    assert balance(books.conn, FLOAT).available_minor == 700_000


def test_writers_in_opposite_directions_never_lock_each_other_out(
    books: Books, database: Database
) -> None:
    def to_and_fro(conn: psycopg.Connection, number: int) -> None:
        sides = [BANK, CASH] if number % 2 else [CASH, BANK]
        for turn in range(20):
            legs = [Leg(sides[0], 5, grant_code=GRANT), Leg(sides[1], -5, grant_code=GRANT)]
            record(conn, head(number * 20 + turn, f"turn {number}/{turn}"), legs)
            conn.commit()

    assert at_once(database, 8, to_and_fro) == ["done"] * 8
    assert balance(books.conn, CASH).posted_debit_minor == 4 * 20 * 5
    assert verification.verify(books.conn).sound
