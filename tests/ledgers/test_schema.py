"""What the books promise against somebody who types SQL as the application."""

import importlib
import pkgutil
import re
from datetime import date
from importlib import resources

import psycopg
import pytest
from psycopg import errors

import ledgers
from ledgers import verification
from ledgers.balances import balance
from ledgers.chart import close_account, open_account
from ledgers.entries import record
from ledgers.periods import PeriodState, change
from ledgers.problems import PROBLEMS
from ledgers.refusals import refusal_of
from ledgers.transfers import hold, settle
from ledgers.wallets import open_wallet
from tests.databases import Database
from tests.ledgers.at_once import at_once, head
from tests.ledgers.conftest import BANK, CASH, FLOAT, GRANT, MARCH, Books, leg, values

ENTRY = (
    "INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_on,"
    " recorded_by, reason) VALUES ('je_' || lpad('{0}', 26, '9'), 'raw {0}', sha256(''), 'raw',"
    " '2026-03-02', '2026-03-02', 'Sam', 'raw') RETURNING entry_id"
)
LEG = (
    "INSERT INTO books.leg (entry_id, leg_no, account_id, amount_minor, currency, grant_code,"
    " programme_id, cycle_id, provider, location)"
    " VALUES (%s, %s, %s, %s, 'TRY', %s, 'pgm_1', 'cyc_1', 'HALK', 'TR-63')"
)
TRANSFER = (
    "INSERT INTO books.transfer (entry_id, line_no, phase, debit_account_id, credit_account_id,"
    " amount_minor, currency, grant_code, programme_id, cycle_id, provider, location,"
    " instruction_ref, pending_id, held_minor)"
    " VALUES (%s, 1, %s, %s, %s, %s, 'TRY', %s, 'pgm_1', 'cyc_1', 'HALK', 'TR-63', %s, %s, %s)"
)


COLUMNS = {
    "account": "name", "account_closing": "reason", "wallet": "provider", "entry": "reason",
    "leg": "grant_code", "transfer": "provider", "period_state": "reason", "balance": "version",
    "wallet_balance": "posted_debit", "day_total": "posted_debit",
}  # fmt: skip
KEPT = [name for name in COLUMNS if name not in {"balance", "wallet_balance", "day_total"}]


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
    for module in pkgutil.walk_packages(ledgers.__path__, "ledgers."):
        importlib.import_module(module.name)
    codes = set(re.findall(r"(?:refuse\(|THEN |ELSE )'(\w+)'", schema))
    assert {"account_limit", "hold_exceeded"} <= codes
    assert codes - PROBLEMS.keys() <= {
        "pending", "posted", "programme", "cycle", "provider", "location"
    }  # fmt: skip


@pytest.mark.parametrize("table", COLUMNS)
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
def test_application_cannot_change_what_is_recorded(
    app: psycopg.Connection, table: str, attack: str
) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(attack.format(table=table, column=COLUMNS[table]))


UPSERT = """
    INSERT INTO books.leg SELECT * FROM books.leg
    ON CONFLICT (entry_id, leg_no) DO UPDATE SET amount_minor = 1
"""


@pytest.mark.parametrize(
    "attack",
    [
        UPSERT,
        "SELECT books.deal_out('{1}')",
        "SET session_replication_role = replica",
        "CREATE FUNCTION books.available() RETURNS int LANGUAGE sql RETURN 1",
    ],
)
def test_application_cannot_reach_around(app: psycopg.Connection, attack: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(attack)


def everything(books: Books) -> None:
    """Let a row stand in every table of the log."""
    open_account(books.conn, "1020", "TRY", MARCH)
    close_account(books.conn, "1020.TRY", MARCH, recorded_by="Deniz", reason="never used")
    open_wallet(books.conn, "w_1", provider="HALK", on=MARCH)
    before = date(2026, 1, 31)
    change(
        books.conn, before, PeriodState.CLOSED, recorded_on=MARCH, recorded_by="Omar", reason="over"
    )
    books.hold({"A1": 1})
    books.conn.commit()


@pytest.mark.parametrize("table", KEPT)
@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE books.{table} SET {column} = {column}",
        "DELETE FROM books.{table}",
        "MERGE INTO books.{table} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    ],
)
def test_owner_cannot_change_what_is_recorded(
    books: Books, owner: psycopg.Connection, table: str, attack: str
) -> None:
    everything(books)
    with pytest.raises(psycopg.Error) as raised:
        owner.execute(attack.format(table=table, column=COLUMNS[table]))
    assert code_of(raised) == "books_append_only"


@pytest.mark.parametrize("table", KEPT)
def test_owner_cannot_empty_a_table(owner: psycopg.Connection, table: str) -> None:
    with pytest.raises(psycopg.Error) as raised:
        owner.execute(f"TRUNCATE books.{table} CASCADE")
    refusal = refusal_of(raised.value)
    assert refusal is not None
    assert refusal.facts == {"table": f"books.{table}", "operation": "TRUNCATE"}


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


def test_single_entry_waits_for_its_place_in_the_log(books: Books) -> None:
    assert books.one("SELECT count(*) FROM books.unsealed") == 1
    books.fund(5)
    assert books.one("SELECT max(entry_id) FROM books.unsealed") == books.one(
        "SELECT max(entry_id) FROM books.entry"
    )


PAIR = (
    "INSERT INTO books.leg (entry_id, leg_no, account_id, amount_minor, currency, grant_code,"
    " programme_id, cycle_id, provider, location)"
    " VALUES (%(entry)s, %(no)s, %(a)s, 5, 'TRY', 'G', 'pgm_1', 'cyc_1', 'HALK', 'TR-63'),"
    " (%(entry)s, %(no)s + 1, %(b)s, -5, 'TRY', 'G', 'pgm_1', 'cyc_1', 'HALK', 'TR-63')"
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
    second = TRANSFER.replace("(%s, 1,", "(%s, 2,")
    for number in (entry, 10**9):
        row = [
            number,
            "single",
            account(books, CASH),
            account(books, FLOAT),
            5,
            GRANT,
            None,
            None,
            None,
        ]
        with pytest.raises(psycopg.Error) as raised:
            books.conn.execute(second, row)
        assert code_of(raised) == "entry_closed"
        books.conn.rollback()


def test_reversal_that_is_no_mirror_is_refused(books: Books) -> None:
    first = books.one("SELECT min(entry_id) FROM books.entry")
    row = books.conn.execute(
        "INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_on,"
        " recorded_by, reason, reverses) VALUES ('je_' || repeat('9', 26), 'raw', sha256(''),"
        " 'raw', '2026-03-02', '2026-03-02', 'Sam', 'raw', %s) RETURNING entry_id",
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
    row = [entry, phase, *sides, amount, GRANT, instruction, pending, 300]
    with pytest.raises(psycopg.Error) as raised:
        books.conn.execute(TRANSFER, row)
    assert code_of(raised) == code


def test_hold_is_resolved_once(books: Books) -> None:
    books.hold({"A1": 300})
    books.settle({"A1": 200})
    first = books.one("SELECT transfer_id FROM books.transfer WHERE phase = 'pending'")
    posted = books.one("SELECT transfer_id FROM books.transfer WHERE phase = 'posted'")
    books.conn.commit()
    sides = account(books, CASH), account(books, FLOAT)
    row = [raw_entry(books.conn, "one"), "posted", *sides, 100, GRANT, "A1", first, 300]
    with pytest.raises(errors.UniqueViolation):
        books.conn.execute(TRANSFER, row)
    books.conn.rollback()
    for unknown in (posted, 10**9):
        row = [raw_entry(books.conn, "one"), "posted", *sides, 100, GRANT, "A1", unknown, 300]
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
    row = [raw_entry(books.conn, "one"), "single", *sides, 5, grant, None, None, None]
    with pytest.raises(psycopg.Error) as raised:
        books.conn.execute(TRANSFER, row)
    assert code_of(raised) == "account_unfit"


# --- many at once -------------------------------------------------------------------------------


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
            legs = [leg(sides[0], 5), leg(sides[1], -5)]
            record(conn, head(number * 20 + turn, f"turn {number}/{turn}"), legs)
            conn.commit()

    assert at_once(database, 8, to_and_fro) == ["done"] * 8
    assert balance(books.conn, CASH).posted_debit_minor == 4 * 20 * 5
    assert verification.verify(books.conn).sound
