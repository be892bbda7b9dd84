"""The limits: the least that anybody would have to do for the same rows, written plainly.

* Rows into PostgreSQL: COPY of bytes that are ready (binary format, read from a file) into tables
  of the same columns without a key, check, index, trigger or reference; one transaction, committed.
* The books, once more: the ledger that most programs have (a transaction and two postings for every
  payment, an account for every recipient; primary and unique keys, references held by PostgreSQL
  and one index by account and day), filled by COPY. It holds fewer promises than ours: that an
  entry balances, that no account passes its limit and that nothing changes later are left out.
* Criteria: one hand-written statement of DuckDB over the same Parquet files.
* Files: the same elements or lines, written from tuples that are ready, without any check.
* Comparisons and counts: one hand-written statement over tables without indexes.
* Workbooks: openpyxl reads every cell.

Preparing the bytes, tables and tuples is not measured. `limits` know our tables' names and columns
and nothing else of ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import openpyxl
import psycopg
from lxml import etree

BLOCK_BYTES = 1 << 18
TRANSFERS_PER_BLOCK = 10_000
PAIN = "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.09}"
Fields = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Laid:
    """Rows ready to be copied: the empty table they go into, and the file of their bytes."""

    table: str
    path: Path


@contextmanager
def database(address: str) -> Iterator[psycopg.Connection]:
    """Open a connection of the tables' owner, used once."""
    with psycopg.connect(address) as conn:
        conn.execute("SELECT 1")
        conn.commit()
        yield conn


# --- getting ready, unmeasured -----------------------------------------------------------------


def lay(
    conn: psycopg.Connection, step: str, queries: Mapping[str, str], folder: Path
) -> Sequence[Laid]:
    """Make a bare table and a file of bytes for each of our tables; `queries` by table."""
    laid = []
    conn.execute("CREATE SCHEMA IF NOT EXISTS bare")
    for source, query in queries.items():
        table = f"bare.{step}_{source.replace('.', '_')}"
        conn.execute(f"CREATE TABLE {table} (LIKE {source})")
        laid.append(_laid(conn, table, query, folder))
    return laid


def _laid(conn: psycopg.Connection, table: str, query: str, folder: Path) -> Laid:
    path = folder / table
    with (
        path.open("wb") as out,
        conn.cursor() as cursor,
        cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT binary)") as copy,
    ):
        for block in copy:
            out.write(block)
    return Laid(table, path)


LEDGER = """
    CREATE TABLE bare.account (account_id bigint PRIMARY KEY);
    CREATE TABLE bare.txn (
        txn_id bigint PRIMARY KEY, key text NOT NULL UNIQUE, effective_on date NOT NULL);
    CREATE TABLE bare.posting (
        txn_id bigint NOT NULL REFERENCES bare.txn, line_no smallint NOT NULL,
        account_id bigint NOT NULL REFERENCES bare.account,
        amount_minor bigint NOT NULL CHECK (amount_minor <> 0), currency char(3) NOT NULL,
        effective_on date NOT NULL, PRIMARY KEY (txn_id, line_no));
    CREATE INDEX ON bare.posting (account_id, effective_on);
"""
# Our holds as such a ledger would have them: one account pays, every recipient has an own one.
TRANSACTIONS = """
    SELECT t.transfer_id, t.instruction_ref, e.effective_on FROM ({holds}) t
    JOIN books.entry e USING (entry_id) ORDER BY t.transfer_id
"""
POSTINGS = """
    SELECT t.transfer_id, side.line_no::smallint, side.account_id, side.amount_minor, t.currency,
           e.effective_on
    FROM ({holds}) t JOIN books.entry e USING (entry_id)
    CROSS JOIN LATERAL (VALUES (1, t.debit_account_id::bigint, t.amount_minor),
                               (2, -t.transfer_id, -t.amount_minor))
        AS side (line_no, account_id, amount_minor)
    ORDER BY t.transfer_id, side.line_no
"""


def lay_ledger(conn: psycopg.Connection, holds: str, folder: Path) -> Sequence[Laid]:
    """Make the ordinary ledger with its accounts, and files of what `holds` selects as it."""
    conn.execute(LEDGER)
    postings = POSTINGS.format(holds=holds)
    conn.execute(
        f"INSERT INTO bare.account SELECT DISTINCT account_id FROM ({postings}) p ORDER BY 1"
    )
    return [
        _laid(conn, "bare.txn", TRANSACTIONS.format(holds=holds), folder),
        _laid(conn, "bare.posting", postings, folder),
    ]


@contextmanager
def ledger(address: str) -> Iterator[psycopg.Connection]:
    """Open a connection to the ordinary ledger, emptied of all but its accounts."""
    with database(address) as conn:
        conn.execute("TRUNCATE bare.txn, bare.posting")
        conn.commit()
        yield conn


@contextmanager
def transfers(folder: Path) -> Iterator[list[Fields]]:
    """Read the bank's files into tuples: reference, amount, name, account, remittance."""
    names = ("PmtId/EndToEndId", "Amt/InstdAmt", "Cdtr/Nm", "CdtrAcct/Id/IBAN", "RmtInf/Ustrd")
    places = ["/".join(PAIN + part for part in name.split("/")) for name in names]
    found: list[Fields] = []
    for path in sorted(folder.rglob("*.xml")):
        for _, payment in etree.iterparse(path, tag=f"{PAIN}CdtTrfTxInf"):
            found.append(tuple(payment.findtext(place, "") for place in places))
            payment.clear()
            while payment.getprevious() is not None:
                del payment.getparent()[0]
    yield found


@contextmanager
def loads(folder: Path) -> Iterator[list[Fields]]:
    """Read the card processor's files into tuples: reference, card, amount, day."""
    found: list[Fields] = []
    for path in sorted(folder.rglob("*.txt")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("D|"):
                    _, _, ref, card, _, amount, day = line.rstrip("\n").split("|")
                    found.append((ref, card, amount, day))
    yield found


# --- the limits --------------------------------------------------------------------------------


def copy_rows(conn: psycopg.Connection, laid: Sequence[Laid]) -> int:
    """Copy rows that are ready; return how many."""
    rows = 0
    for table in laid:
        with (
            table.path.open("rb") as bytes_,
            conn.cursor() as cursor,
        ):
            with cursor.copy(f"COPY {table.table} FROM STDIN (FORMAT binary)") as copy:
                while block := bytes_.read(BLOCK_BYTES):
                    copy.write(block)
            rows += cursor.rowcount
    conn.commit()
    return rows


JUDGE = """
    COPY (
        WITH roster AS (
            SELECT household_id, count(*) AS people FROM read_parquet($members) GROUP BY 1),
        judged AS (
            SELECT h.household_id, h.province, h.rcsi,
                   CASE WHEN h.has_roster THEN r.people ELSE h.declared_size END AS people,
                   h.province IN ('TR-01', 'TR-34', 'TR-63') AS in_area,
                   h.has_voucher_card AS has_card, h.rcsi >= 19 AS copes_badly,
                   sha256(h.household_id) AS tie_key
            FROM read_parquet($households) h LEFT JOIN roster r USING (household_id)),
        ranked AS (
            SELECT *, in_area AND has_card AND copes_badly AS eligible,
                   row_number() OVER (PARTITION BY in_area AND has_card AND copes_badly, province
                                      ORDER BY rcsi DESC, tie_key, household_id) AS rank
            FROM judged)
        SELECT household_id, province, people, rcsi AS score, tie_key, eligible, rank,
               in_area::int + 2 * has_card::int + 4 * copes_badly::int AS bits,
               coalesce(eligible AND rank <= CASE province WHEN 'TR-01' THEN $adana
                        WHEN 'TR-34' THEN $istanbul WHEN 'TR-63' THEN $urfa ELSE 0 END, false)
                 AS selected,
               CASE people WHEN 1 THEN 600000 WHEN 2 THEN 750000 WHEN 3 THEN 900000
                    WHEN 4 THEN 1050000 WHEN 5 THEN 1200000 WHEN 6 THEN 1350000
                    ELSE 1500000 END AS amount_minor
        FROM ranked ORDER BY household_id
    ) TO '{out}' (FORMAT parquet, COMPRESSION zstd)
"""


def judge(
    conn: psycopg.Connection, snapshot: tuple[Path, Path], places: Mapping[str, int],
    out: Path, laid: Sequence[Laid],
) -> int:  # fmt: skip
    """Decide by the market card's criteria, then copy as many decisions; return the selected."""
    households, members = snapshot
    engine = duckdb.connect(config={"memory_limit": "1GB", "threads": 2})
    engine.execute(
        JUDGE.format(out=out),
        {
            "households": str(households), "members": str(members), "adana": places["TR-01"],
            "istanbul": places["TR-34"], "urfa": places["TR-63"],
        },
    )  # fmt: skip
    [(selected,)] = engine.execute(
        f"SELECT count(*) FROM read_parquet('{out}') WHERE selected"
    ).fetchall()
    engine.close()
    copy_rows(conn, laid)
    return int(selected)


def write_bank_file(ready: Sequence[Fields], out: Path, head: Mapping[str, str]) -> int:
    """Write a pain.001 of ready transfers with lxml; return its bytes."""
    with (
        out.open("wb") as file,
        etree.xmlfile(file, encoding="UTF-8") as xml,
        xml.element(f"{PAIN}Document", nsmap={None: PAIN[1:-1]}),
        xml.element("CstmrCdtTrfInitn"),
    ):
        xml.write(_element("GrpHdr", head))
        for start in range(0, len(ready), TRANSFERS_PER_BLOCK):
            with xml.element("PmtInf"):
                xml.write(_element("Dbtr", head))
                for ref, amount, name, account, remittance in ready[
                    start : start + TRANSFERS_PER_BLOCK
                ]:
                    xml.write(_transfer(ref, amount, name, account, remittance))
    return out.stat().st_size


def _element(name: str, texts: Mapping[str, str]) -> etree._Element:
    element = etree.Element(name)
    for inner, text in texts.items():
        etree.SubElement(element, inner).text = text
    return element


def _transfer(ref: str, amount: str, name: str, account: str, remittance: str) -> etree._Element:
    transfer = etree.Element("CdtTrfTxInf")
    identity = etree.SubElement(transfer, "PmtId")
    etree.SubElement(identity, "InstrId").text = ref
    etree.SubElement(identity, "EndToEndId").text = ref
    instructed = etree.SubElement(etree.SubElement(transfer, "Amt"), "InstdAmt", Ccy="TRY")
    instructed.text = amount
    etree.SubElement(etree.SubElement(transfer, "Cdtr"), "Nm").text = name
    inner = etree.SubElement(etree.SubElement(transfer, "CdtrAcct"), "Id")
    etree.SubElement(inner, "IBAN").text = account
    etree.SubElement(etree.SubElement(transfer, "RmtInf"), "Ustrd").text = remittance
    return transfer


def write_card_file(ready: Sequence[Fields], out: Path) -> int:
    """Write a card load file of ready lines; return its bytes."""
    with out.open("w", encoding="utf-8") as file:
        for number, (ref, card, amount, day) in enumerate(ready, 1):
            file.write(f"D|{number}|{ref}|{card}|LOAD|{amount}|{day}\n")
    return out.stat().st_size


COMPARE = """
    SELECT count(*), sum(planned) - sum(booked)
    FROM (SELECT instruction_ref AS ref, amount_minor AS planned FROM bare.compare_payments_line
          WHERE stopped IS NULL) line
    FULL JOIN (SELECT instruction_ref AS ref, amount_minor AS posted
               FROM bare.compare_books_transfer WHERE phase = 'posted') posted USING (ref)
    FULL JOIN (SELECT ref, max(amount_minor) AS reported FROM bare.compare_payments_observation
               WHERE ref <> '' AND outcome <> 'unknown' GROUP BY ref) reported USING (ref)
    FULL JOIN (SELECT ref, -sum(amount_minor) AS booked FROM bare.compare_payments_statement_line
               WHERE kind = 'payment' GROUP BY ref) booked USING (ref)
"""


def compare(conn: psycopg.Connection) -> int:
    """Join plan, books, reports and statement in full; return the rows."""
    row = conn.execute(COMPARE).fetchone()
    conn.commit()
    return int(row[0]) if row else 0


COUNT = """
    SELECT l.province, l.population_group, date_trunc('quarter', o.delivered_on),
           count(DISTINCT l.household_id), sum(l.people), sum(l.amount_minor), sum(o.amount_minor)
    FROM bare.reach_payments_line l LEFT JOIN bare.reach_payments_outcome o USING (plan_id, line_no)
    WHERE o.kind = 'loaded' AND o.delivered_on BETWEEN %s AND %s
    GROUP BY l.cycle_id, l.province, l.population_group, date_trunc('quarter', o.delivered_on)
"""


def count_reach(conn: psycopg.Connection) -> int:
    """Group lines and outcomes; return the groups."""
    rows = conn.execute(COUNT, (date(2026, 1, 1), date(2026, 12, 31))).fetchall()
    conn.commit()
    return len(rows)


def read_workbook(_: None, path: Path) -> int:
    """Read every cell of a workbook; return the rows."""
    workbook = openpyxl.load_workbook(path, read_only=True)
    rows = sum(1 for sheet in workbook for _ in sheet.iter_rows(values_only=True))
    workbook.close()
    return rows
