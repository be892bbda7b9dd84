"""Our books, as the bench works on them: a float at a provider, wallets, a plan, redemptions.

Everything goes through the functions that the commands use. Lines, plans and items are made for
the bench; ten loads a wallet.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import cycle, repeat

import psycopg
from psycopg import sql

from ledgers import balances, items, transfers, wallets
from ledgers.bulk import Kind, Line, record_lines
from ledgers.chart import open_account
from ledgers.entries import EntryHead, Leg, record
from ledgers.verification import verify
from tests.benchmarks.ledgers.variants import reference

DAY = date(2026, 3, 2)
GRANT, PROVIDER = "IOM-MPCA", "HALK"
FLOAT, CARDS, SPENT, CASH = "1110.HALK.TRY", "1210.HALK.TRY", "5020.TRY", "5010.TRY"
LOADS = Kind(CARDS, FLOAT, GRANT, "pgm_1", "cyc_1", PROVIDER)
MINOR = 100
FUNDS = 10**12
DAYS = 400
LOADS_A_WALLET = 10
BAD_EVERY = 200  # items: 5,000 of a million
VOIDED_EVERY = 50

PLAN = """
    CREATE SCHEMA bench;
    GRANT USAGE ON SCHEMA bench TO cva_app;
    CREATE TABLE bench.plan AS
    SELECT '{ref}' || lpad(n::text, 7, '0') AS instruction_ref,
           1 + n % {wallets} AS wallet_id, {minor}::bigint AS amount_minor,
           CASE WHEN n % {voided} = 0 THEN 0 ELSE {minor} END::bigint AS paid_minor
    FROM generate_series(0, {count} - 1) AS n;
    GRANT SELECT ON bench.plan TO cva_app;
    ANALYZE bench.plan;
"""
HOLD = """
    SELECT d.account_id, k.account_id, p.amount_minor, 'TRY', %(grant)s, 'pgm_1', 'cyc_1',
           %(provider)s, 'TR-63', p.instruction_ref, p.wallet_id, NULL::date
    FROM bench.plan p, books.account d, books.account k
    WHERE d.code = %(cards)s AND k.code = %(float)s
"""
PAID = "SELECT instruction_ref, paid_minor FROM bench.plan"

# Every two-hundredth is bad, in five ways.
ITEMS = """
    CREATE SCHEMA IF NOT EXISTS bench;
    GRANT USAGE ON SCHEMA bench TO cva_app;
    CREATE TABLE bench.item AS
    SELECT n::integer AS item_no, 'R' || lpad(n::text, 20, '0') AS item_key,
           CASE WHEN bad = 1 THEN '5999.TRY' ELSE '{spent}' END AS debit_account,
           CASE WHEN bad = 2 THEN 'nobody' ELSE 'W' || 1 + n % {wallets} END AS wallet_ref,
           CASE bad WHEN 3 THEN 0 WHEN 4 THEN 1000000 ELSE {minor} / 2 END::bigint AS amount_minor,
           CASE WHEN bad = 5 THEN 'USD' ELSE 'TRY' END AS currency
    FROM (SELECT n, CASE WHEN n % {every} = 0 THEN 1 + n / {every} % 5 ELSE 0 END AS bad
          FROM generate_series(1, {count}) AS n) numbered;
    GRANT SELECT ON bench.item TO cva_app;
    ANALYZE bench.item;
"""
EACH = """
    SELECT item_no, item_key, debit_account, %(cards)s, wallet_ref, amount_minor, currency,
           %(grant)s, 'pgm_1', 'cyc_1', %(provider)s, 'TR-63', NULL
    FROM bench.item
"""
NAMES = {"grant": GRANT, "provider": PROVIDER, "cards": CARDS, "float": FLOAT}

# A day's transfers, in one entry: as `transfers.transfer` writes them, without its source.
DAY_ENTRY = """
    WITH head AS (
        INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_on,
                                 recorded_by, reason)
        VALUES (%(ref)s, %(ref)s, sha256(convert_to(%(ref)s, 'UTF8')), 'load_found', %(on)s,
                %(last)s, 'bench', 'a day of loads')
        RETURNING entry_id
    )
    INSERT INTO books.transfer (entry_id, line_no, phase, debit_account_id, credit_account_id,
        amount_minor, currency, grant_code, programme_id, cycle_id, provider, location)
    SELECT h.entry_id, n, 'single', d.account_id, k.account_id, 1 + n, 'TRY', %(grant)s, 'pgm_1',
           'cyc_1', %(provider)s, 'TR-63'
    FROM head h, books.account d, books.account k, generate_series(1, %(lines)s) AS n
    WHERE d.code = %(cash)s AND k.code = %(float)s
"""


@contextmanager
def opened(address: str) -> Iterator[psycopg.Connection]:
    """Open a connection."""
    with psycopg.connect(address) as conn:
        conn.execute("SELECT 1")
        conn.commit()
        yield conn


@contextmanager
def with_lines(address: str, count: int) -> Iterator[tuple[psycopg.Connection, list[Line]]]:
    """Open a connection and have so many loads ready."""
    with opened(address) as conn:
        ready = list(lines(conn, count))
        conn.rollback()
        yield conn, ready


def head(number: int, event: str, on: date = DAY, *, recorded_on: date | None = None) -> EntryHead:
    """The head of the entry `number`, its key included."""
    return EntryHead(
        f"je_{number:026d}", f"bench {number}", event, on, "bench", f"{event} for the bench",
        recorded_on=recorded_on or on,
    )  # fmt: skip


def found(conn: psycopg.Connection, count: int) -> None:
    """Open accounts and so many wallets, and put money on the float."""
    for code, provider in (("1110", PROVIDER), ("1210", PROVIDER), ("1010", ""), ("5010", ""),
                           ("5020", "")):  # fmt: skip
        open_account(conn, code, "TRY", DAY, provider=provider or None)
    source = sql.SQL(
        "SELECT 'W' || n, %(provider)s::text, %(on)s::date"
        " FROM generate_series(1, %(count)s::integer) AS n ORDER BY n"
    )
    wallets.open_wallets(conn, source, {"provider": PROVIDER, "on": DAY, "count": count})
    legs = [
        Leg(FLOAT, FUNDS, grant_code=GRANT, provider=PROVIDER),
        Leg("1010.TRY", -FUNDS, grant_code=GRANT),
    ]
    record(conn, head(0, "float_credited"), legs)
    conn.commit()
    conn.execute("SELECT books.seal()")
    conn.commit()


def lines(conn: psycopg.Connection, count: int) -> Iterator[Line]:
    """Loads, ten for each wallet."""
    numbers = [n for (n,) in conn.execute("SELECT wallet_id FROM books.wallet ORDER BY 1")]
    references = map(reference, range(count))
    return map(Line, repeat(MINOR), cycle(numbers), repeat("TR-63"), references)


def load(ready: tuple[psycopg.Connection, list[Line]]) -> None:
    """Post the loads as transfers: one list, one entry, one commit."""
    conn, loads = ready
    moved = record_lines(conn, head(1, "load_found"), LOADS, loads)
    conn.commit()
    _expect(moved.count, len(loads))


def hold(conn: psycopg.Connection) -> None:
    """Put a whole plan on hold."""
    transfers.hold(conn, head(1, "load_instructed"), sql.SQL(HOLD), NAMES)
    conn.commit()


def settle(conn: psycopg.Connection) -> None:
    """Post what was paid, void the rest."""
    settled = transfers.settle(conn, head(2, "load_confirmed"), sql.SQL(PAID))
    conn.commit()
    _expect(settled.voided_count * VOIDED_EVERY - settled.posted_count - settled.voided_count, 0)


def record_each(conn: psycopg.Connection, count: int) -> None:
    """Judge and record every item for itself."""
    batch = items.record_each(conn, head(3, "redemption"), sql.SQL(EACH), NAMES)
    conn.commit()
    _expect(batch.recorded, count - count // BAD_EVERY)


def verified(conn: psycopg.Connection, least: int) -> None:
    """Recompute everything from the log."""
    done = verify(conn)
    _expect([check for check in done.checks if check.wrong], [])
    _expect(max(check.checked for check in done.checks) >= least, wanted=True)


def make_owned(conn: psycopg.Connection, statement: str, values: dict[str, object]) -> None:
    """Make a table of the bench's own, as the owner."""
    conn.execute(statement.format(**values))
    conn.commit()


def fill_days(conn: psycopg.Connection, count: int) -> None:
    """Post so many transfers, spread evenly over the days."""
    last = DAY + timedelta(DAYS)
    for day in range(DAYS):
        values = {
            **NAMES, "cash": CASH, "ref": f"je_{1_000 + day:026d}", "lines": count // DAYS,
            "on": DAY + timedelta(day), "last": last,
        }  # fmt: skip
        conn.execute(DAY_ENTRY, values)
        conn.commit()


def balance_on_days(conn: psycopg.Connection, count: int) -> list[float]:
    """Ask for the float's balance on many days; return the seconds of each answer."""
    taken = []
    each = count // DAYS
    for day in range(0, DAYS, 8):
        before = time.perf_counter()
        found = balances.balance(conn, FLOAT, DAY + timedelta(day), holds=False)
        taken.append(time.perf_counter() - before)
        conn.rollback()
        _expect(found.balance_minor, FUNDS - (day + 1) * (each * (each + 1) // 2 + each))
    return taken


def balance_with_holds(conn: psycopg.Connection) -> None:
    """Ask once for the balance of a day with what was on hold then: folded from the log."""
    balances.balance(conn, FLOAT, DAY + timedelta(DAYS // 2))
    conn.rollback()


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        message = f"the bench found {found}, not {wanted}"
        raise AssertionError(message)
