"""What mass posting is held against; nothing of ours is in it, so that it stays honest.

Variant C is the ordinary design of a ledger in PostgreSQL, loaded as fast as it can be: a table of
transactions with a unique key, a table of postings with two built-in foreign keys, an index of the
account's register; both filled by COPY in one transaction. It has no balances, no limits, no check
that a transaction is balanced, no dimensions and no log. Variant A is the same bytes into tables
without any constraint or index: as fast as rows come in at all.

The bytes are ready before the watch starts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

TABLES = """
    CREATE SCHEMA c;
    CREATE TABLE c.account (account_id integer PRIMARY KEY);
    CREATE TABLE c.txn (txn_id bigint PRIMARY KEY, key text NOT NULL UNIQUE);
    CREATE TABLE c.posting (
        txn_id bigint NOT NULL REFERENCES c.txn,
        line integer NOT NULL,
        account_id integer NOT NULL REFERENCES c.account,
        effective_on date NOT NULL,
        amount bigint NOT NULL CHECK (amount <> 0),
        PRIMARY KEY (txn_id, line)
    );
    CREATE INDEX posting_of_account ON c.posting (account_id, effective_on);
    CREATE SCHEMA a;
    CREATE TABLE a.txn (txn_id bigint, key text);
    CREATE TABLE a.posting
        (txn_id bigint, line integer, account_id integer, effective_on date, amount bigint);
"""
CHUNK = 1 << 16
PLAN = "01KC1E0FG3T8RQ2N4M6P7W9XYZ"


@dataclass(frozen=True, slots=True)
class Ready:
    """A connection, and the rows as COPY wants them."""

    conn: psycopg.Connection
    transactions: bytes
    postings: bytes


def make(address: str, wallets: int) -> None:
    """Make the tables of both variants in an empty database, account 0 being the float."""
    with psycopg.connect(address) as conn:
        conn.execute(TABLES)
        conn.execute("INSERT INTO c.account SELECT generate_series(0, %s)", [wallets])


@contextmanager
def ready(address: str, count: int, wallets: int) -> Iterator[Ready]:
    """Open a connection and encode the rows."""
    transactions = "".join(f"{n}\t{reference(n)}\n" for n in range(count))
    postings = "".join(
        f"{n}\t1\t0\t2026-03-02\t-100\n{n}\t2\t{1 + n % wallets}\t2026-03-02\t100\n"
        for n in range(count)
    )
    with psycopg.connect(address) as conn:
        yield Ready(conn, transactions.encode(), postings.encode())


def reference(number: int) -> str:
    """The key of a transaction: as long as that of one of our instructions."""
    return f"{PLAN}{number:07d}"


def copy(loaded: Ready, schema: str) -> None:
    """Load everything in one transaction."""
    cursor = loaded.conn.cursor()
    for table, rows in (("txn", loaded.transactions), ("posting", loaded.postings)):
        with cursor.copy(f"COPY {schema}.{table} FROM STDIN") as into:
            for at in range(0, len(rows), CHUNK):
                into.write(rows[at : at + CHUNK])
    loaded.conn.commit()
