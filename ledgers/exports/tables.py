"""Tables: a CSV general ledger, the Audit Data Standard's general ledger detail, Parquet.

The Audit Data Standard asks for a row per line of a journal, with the day it is for, the day and
the time it was entered and by whom, an amount above zero and whether it is a debit (D) or a credit
(C). Its descriptions are the journal's own sentences, never a person's free text. Its segments are
our dimensions: 01 grant, 02 programme, 03 cycle, 04 provider, 05 location, 06 wallet, 07 IOM's
account; its business unit is the layer (A actual, M memo).

Source: AICPA Audit Data Standards, General Ledger Standard, July 2015, GL_Detail.
"""

import csv
from collections.abc import Iterator
from datetime import UTC
from itertools import islice
from typing import BinaryIO, TextIO

from psycopg import Connection

from ledgers.events import events
from ledgers.exports.postings import Posting, postings
from ledgers.money import exponent, format_amount

ROWS_PER_GROUP = 50_000

_COLUMNS = (
    "entry", "effective_on", "recorded_at", "event", "layer", "account", "account_name", "debit",
    "credit", "currency", "grant", "programme", "cycle", "provider", "location", "instruction",
    "iom_gl", "wallet",
)  # fmt: skip
_AUDIT_COLUMNS = (
    "Journal_ID", "Journal_ID_Line_Number", "JE_Header_Description", "JE_Line_Description",
    "Source", "Business_Unit_Code", "Effective_Date", "Fiscal_Year", "Period",
    "GL_Account_Number", "Amount", "Amount_Credit_Debit_Indicator", "Amount_Currency",
    "Entered_By", "Entered_Date", "Entered_Time", "Reversal_Indicator", "Reversal_Journal_ID",
    "Segment01", "Segment02", "Segment03", "Segment04", "Segment05", "Segment06", "Segment07",
)  # fmt: skip
_PARQUET_COLUMNS = (
    "entry", "line", "effective_on", "recorded_at", "event", "layer", "account", "account_name",
    "debit_minor", "credit_minor", "currency", "decimals", "grant", "programme", "cycle",
    "provider", "location", "wallet", "instruction", "iom_gl",
)  # fmt: skip


def write_general_ledger(conn: Connection, out: TextIO) -> int:
    """Write the books as a CSV general ledger, a row per posting; returns the number of rows.

    Open `out` with `newline=""`. Amounts are decimal, `iom_gl` is IOM's account where it has one.
    """
    table = csv.writer(out, lineterminator="\n")
    table.writerow(_COLUMNS)
    count = 0
    for posting in postings(conn):
        amount = format_amount(abs(posting.amount_minor), posting.currency)
        debit, credit = (amount, "") if posting.amount_minor > 0 else ("", amount)
        table.writerow((
            posting.entry_ref, posting.effective_on, posting.recorded_at.isoformat(), posting.event,
            posting.layer, posting.code, posting.name, debit, credit, posting.currency,
            posting.grant_code, posting.programme_id, posting.cycle_id, posting.provider,
            posting.location, posting.instruction_ref, posting.iom_gl, posting.wallet_ref,
        ))  # fmt: skip
        count += 1
    return count


def write_audit_data(conn: Connection, out: TextIO) -> int:
    """Write the books in the shape of the Audit Data Standard's GL_Detail; returns the rows.

    Open `out` with `newline=""`. The fiscal year is the calendar's, the period its month; times
    are in UTC.
    """
    table = csv.writer(out, lineterminator="\n")
    table.writerow(_AUDIT_COLUMNS)
    count = 0
    for number, posting in _numbered(conn):
        told = events().get(posting.event)
        entered = posting.recorded_at.astimezone(UTC)
        table.writerow((
            posting.entry_ref, number, told.says if told else posting.event, posting.name, "cva",
            posting.layer, posting.effective_on, posting.effective_on.year,
            posting.effective_on.month, posting.code,
            format_amount(abs(posting.amount_minor), posting.currency),
            "D" if posting.amount_minor > 0 else "C", posting.currency, posting.recorded_by,
            entered.date(), entered.time().isoformat("seconds"),
            "Y" if posting.reverses else "N", posting.reverses, posting.grant_code,
            posting.programme_id, posting.cycle_id, posting.provider, posting.location,
            posting.wallet_ref, posting.iom_gl,
        ))  # fmt: skip
        count += 1
    return count


def write_parquet(conn: Connection, out: BinaryIO) -> int:
    """Write the books as Parquet, a row per posting, in row groups; returns the number of rows.

    Amounts are whole minor units; `decimals` says how many of their digits stand after the point.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[str, pa.DataType] = {
        "line": pa.int64(),
        "effective_on": pa.date32(),
        "recorded_at": pa.timestamp("us", tz="UTC"),
        "debit_minor": pa.int64(),
        "credit_minor": pa.int64(),
        "decimals": pa.int8(),
    }
    schema = pa.schema([pa.field(name, types.get(name, pa.string())) for name in _PARQUET_COLUMNS])
    rows = map(_row, _numbered(conn))
    count = 0
    with pq.ParquetWriter(out, schema) as writer:
        while group := list(islice(rows, ROWS_PER_GROUP)):
            columns = [
                pa.array(column, field.type)
                for column, field in zip(zip(*group, strict=True), schema, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
            count += len(group)
    return count


def _row(numbered: tuple[int, Posting]) -> tuple[object, ...]:
    number, posting = numbered
    return (
        posting.entry_ref, number, posting.effective_on, posting.recorded_at, posting.event,
        posting.layer, posting.code, posting.name, max(posting.amount_minor, 0),
        max(-posting.amount_minor, 0), posting.currency, exponent(posting.currency),
        posting.grant_code, posting.programme_id, posting.cycle_id, posting.provider,
        posting.location, posting.wallet_ref, posting.instruction_ref, posting.iom_gl or None,
    )  # fmt: skip


def _numbered(conn: Connection) -> Iterator[tuple[int, Posting]]:
    """Yield the postings numbered from 1 within their entry."""
    entry, number = 0, 0
    for posting in postings(conn):
        number = number + 1 if posting.entry_id == entry else 1
        entry = posting.entry_id
        yield number, posting
