"""Single postings, one commit each, under pgbench: ours beside the same insert into plain tables.

The plain tables are copies of `entry` and `transfer` with their keys, indexes and CHECKs and
without any trigger: no period, no balance, no limit, no queue for the log. Both sides are one
statement of the same columns, so that the client's part is equal. Ours has its sealer beside it, as
in service: once a second it gives what waits its place in the log.

What a hot account costs is told by a second comparison: the same insert into the same books, every
check of day, account and line still there, whose balances are not kept and whose entries wait for
no place in the log.

Source: PostgreSQL 18 manual, pgbench.
"""

import re
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psycopg

from cva.database.programs import tool
from tests.benchmarks.ledgers.books import CASH, DAY, FLOAT, GRANT, PROVIDER
from tests.benchmarks.measuring import Server

PLAIN = """
    CREATE SCHEMA plain;
    GRANT USAGE ON SCHEMA plain TO cva_app;
    CREATE TABLE plain.entry (LIKE books.entry INCLUDING ALL);
    CREATE TABLE plain.transfer (LIKE books.transfer INCLUDING ALL);
    GRANT SELECT, INSERT ON plain.entry, plain.transfer TO cva_app;
"""
# What keeps balances and what gives places in the log, each taken out of its function.
BALANCES = re.compile(r"BEGIN\n    FOR turn IN .*\nEND", re.DOTALL)
QUEUE = "    INSERT INTO books.unsealed (entry_id) SELECT entry_id FROM added;\n"
# `run` is another for each run, so that no key comes twice.
SCRIPT = """\
\\set n :n + 1
WITH head AS (
    INSERT INTO {schema}.entry (entry_ref, key, body_hash, event, effective_on, recorded_on,
        recorded_by, reason)
    VALUES ('je_' || lpad((:run * 100 + :client_id)::text, 13, '0') || lpad(:n::text, 13, '0'),
        'redemption ' || :run || ' ' || :client_id || ' ' || :n,
        '\\x{digest}', 'redemption', '{on}', '{on}', 'bench', 'a redemption')
    RETURNING entry_id
)
INSERT INTO {schema}.transfer (entry_id, line_no, phase, debit_account_id, credit_account_id,
    amount_minor, currency, grant_code, programme_id, cycle_id, provider, location, instruction_ref)
SELECT entry_id, 1, 'single', {debit}, {credit}, 100, 'TRY', '{grant}', 'pgm_1', 'cyc_1',
    '{provider}', 'TR-63', 'R ' || :run || ' ' || :client_id || ' ' || :n
FROM head;
"""
RATE = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)
FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
SEAL_SECONDS = 1
PLAIN_INSERT = "the plain insert"
WITHOUT = "no balance, no sequence"


@dataclass(frozen=True, slots=True)
class Pace:
    """Postings a second, and CPU milliseconds of client and server for one."""

    rate: float
    client_ms: float
    server_ms: float


@dataclass
class Pacing:
    """Runs pgbench against a database; `address` is the application's."""

    address: str
    server: Server
    seconds: int
    runs: int = 0

    def run(self, schema: str, clients: int, *, sealed: bool = False) -> Pace:
        """Post for some seconds; `sealed`: with a sealer beside the writers."""
        self.runs += 1
        with tempfile.TemporaryDirectory() as folder, self._sealer(sealed=sealed):
            script = Path(folder) / "script.sql"
            script.write_text(self._script(schema), encoding="utf-8")
            server, client = self.server.cpu(), _children_cpu()
            said = subprocess.run(
                [tool("pgbench"), "--no-vacuum", "--protocol", "prepared", "--file", script,
                 "--client", str(clients), "--jobs", "1", "--time", str(self.seconds),
                 "--define", f"run={self.runs}", "--define", "n=0", self.address],
                check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            server, client = self.server.cpu() - server, _children_cpu() - client
        rate = float(_found(RATE, said))
        if int(_found(FAILED, said)):
            raise AssertionError(said)
        done = rate * self.seconds
        return Pace(rate, 1_000 * client / done, 1_000 * server / done)

    def _script(self, schema: str) -> str:
        with psycopg.connect(self.address) as conn:
            numbers = dict(conn.execute("SELECT code, account_id FROM books.account").fetchall())
        return SCRIPT.format(
            schema=schema, digest="ab" * 32, on=DAY, grant=GRANT, provider=PROVIDER,
            debit=numbers[CASH], credit=numbers[FLOAT],
        )  # fmt: skip

    @contextmanager
    def _sealer(self, *, sealed: bool) -> Iterator[None]:
        ended = Event()
        sealer = Thread(target=self._seal, args=(ended,))
        if sealed:
            sealer.start()
        yield
        ended.set()
        if sealer.ident is not None:
            sealer.join()

    def _seal(self, ended: Event) -> None:
        with psycopg.connect(self.address, autocommit=True) as conn:
            while not ended.wait(SEAL_SECONDS):
                conn.execute("SELECT books.seal()")


def make_plain(conn: psycopg.Connection) -> None:
    """Make the plain tables, as the owner."""
    conn.execute(PLAIN)
    conn.commit()


def drop_balances_and_sequence(conn: psycopg.Connection) -> None:
    """Let the books of this database keep no balance and give no place in the log, as the owner."""
    for function, kept in (("move_one", BALANCES), ("admit_entries", re.compile(re.escape(QUEUE)))):
        row = conn.execute(
            "SELECT pg_get_functiondef(%s::regproc)", [f"books.{function}"]
        ).fetchone()
        instead = "BEGIN\n    RETURN true;\nEND" if function == "move_one" else ""
        changed, times = kept.subn(instead, row[0] if row else "")
        if times != 1:
            raise AssertionError(function)
        conn.execute(changed)
    conn.commit()


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _found(pattern: re.Pattern[str], said: str) -> str:
    found = pattern.search(said)
    if found is None:
        raise AssertionError(said)
    return found[1]
