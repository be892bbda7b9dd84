"""The file of decisions: its columns, how it is written, and what it comes to.

The file is sorted by household_id and cut into groups by count alone, so the same decisions are
the same bytes, whatever machine, number of threads, time zone or language made them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from glob import escape
from hashlib import file_digest
from operator import itemgetter
from pathlib import Path
from typing import cast

import duckdb
import ibis
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eligibility.rules.checked import Rules
from eligibility.rules.columns import fact_name
from eligibility.rules.terms import Kind
from eligibility.selection import ALL, stratum_of
from ledgers.problems import Problem

SNAPSHOT_HOUSEHOLD_TWICE = Problem(
    "snapshot_household_twice",
    "The snapshot has a household more than once, or one without an id.",
    "Make the snapshot again: one row for each household.",
)
ROW_GROUP = 65_536
REPEATED = ["status", "currency", "people_from", "reason"]
ARROW: Mapping[Kind, pa.DataType] = {
    Kind.INT: pa.int64(),
    Kind.MONEY: pa.int64(),
    Kind.TEXT: pa.string(),
    Kind.BOOL: pa.bool_(),
    Kind.DATE: pa.date32(),
}


@dataclass(frozen=True, slots=True)
class StratumTotals:
    """What a run decided in one stratum of the quota; amounts in minor units."""

    stratum: str  # empty where places are counted in all, or where a household has none
    places: int | None  # None where only money is short
    eligible: int
    selected: int
    waiting: int
    people_selected: int
    amount_minor: int  # of the selected


@dataclass(frozen=True, slots=True)
class AssessmentTotals:
    """What a run decided in all; amounts in minor units of `currency`.

    Coverage is of the selected: what was decided before the money ran out helps nobody.
    """

    registered: int  # households of the snapshot
    people: int
    eligible: int
    ineligible: int
    review: int
    excluded: int  # of the ineligible
    selected: int
    waiting: int
    people_selected: int
    amount_minor: int  # of the selected
    currency: str
    strata: tuple[StratumTotals, ...]
    pack_hash: str
    decisions_sha256: str
    discretionary: int = 0  # of the selected
    nothing_due: int = 0  # of the eligible, who wait for nothing
    budget_minor: int | None = None  # what could be spent; None where only places are short

    @property
    def left_minor(self) -> int | None:
        """What is left of the budget after everybody who was selected."""
        return None if self.budget_minor is None else self.budget_minor - self.amount_minor


def component_name(name: str) -> str:
    """Return the column of what a component of the amount gives."""
    return f"component_{name}"


def decisions_schema(rules: Rules, on: date, seed: str) -> pa.Schema:
    """Return the columns of the decisions of a run, with what the run was made from."""
    facts = [
        (fact_name(name), ARROW[term.kind]) for name, term in sorted(rules.facts, key=itemgetter(0))
    ]
    components = [(component_name(name), pa.int64()) for name, _ in rules.amount.components]
    fields: list[tuple[str, pa.DataType]] = [
        ("household_id", pa.string()), ("status", pa.string()), ("pass_bits", pa.int64()),
        ("unknown_bits", pa.int64()), *facts, ("score", pa.int64()), ("tie_key", pa.string()),
        ("rank", pa.int32()), ("selected", pa.bool_()), ("waitlist_position", pa.int32()),
        *components,
        ("amount_minor", pa.int64()), ("currency", pa.string()), ("people", pa.int32()),
        ("people_from", pa.string()), ("reason", pa.string()),
    ]  # fmt: skip
    said: dict[bytes | str, bytes | str] = {
        "pack_hash": rules.pack.pack_hash,
        "reference_date": on.isoformat(),
        "seed": seed,
    }
    return pa.schema(fields, metadata=said)


def write_decisions(
    connection: duckdb.DuckDBPyConnection, final: ibis.Table, schema: pa.Schema, path: Path
) -> None:
    """Write the sorted decisions; pages and groups are cut by count, never by what came when."""
    sql = ibis.to_sql(final, dialect="duckdb")
    last: str | None = None
    repeated = cast("bool", REPEATED)  # the stubs do not know that names are taken too
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=repeated) as writer:
        for group in _groups(connection.sql(sql).to_arrow_reader(ROW_GROUP), schema):
            last = _checked_ids(group, last)
            writer.write_table(group, row_group_size=ROW_GROUP)


def _groups(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in reader:
        held.append(batch)
        rows += batch.num_rows
        while rows >= ROW_GROUP:
            table = pa.Table.from_batches(held)
            yield table.slice(0, ROW_GROUP).combine_chunks().cast(schema)
            held = table.slice(ROW_GROUP).to_batches()
            rows -= ROW_GROUP
    if rows:
        yield pa.Table.from_batches(held).combine_chunks().cast(schema)


def _checked_ids(group: pa.Table, last: str | None) -> str:
    """Return the last household_id of a sorted group in which each stands once."""
    ids = group.column("household_id").combine_chunks()
    twice = len(ids) > 1 and pc.any(pc.equal(ids[1:], ids[:-1])).as_py()
    if ids.null_count or twice or ids[0].as_py() == last:
        raise SNAPSHOT_HOUSEHOLD_TWICE.refusal()
    return str(ids[-1].as_py())


def totals_of(
    connection: duckdb.DuckDBPyConnection,
    rules: Rules,
    decisions: Path,
    households: Path,
    budget_minor: int | None = None,
) -> AssessmentTotals:
    """Return what the decisions come to, in all and in each stratum."""
    stratum = stratum_of(rules.pack.selection)
    key, with_strata, files = "''", "", {"decisions": escape(str(decisions))}
    if stratum is not None:
        key = f"coalesce({stratum}, '')"
        with_strata = "JOIN read_parquet($households) USING (household_id)"
        files["households"] = escape(str(households))
    cursor = connection.execute(
        f"""
        SELECT {key} AS stratum, count(*) AS registered, coalesce(sum(people), 0) AS people,
          count(*) FILTER (status = 'eligible') AS eligible,
          count(*) FILTER (status = 'ineligible') AS ineligible,
          count(*) FILTER (status = 'review') AS review,
          count(*) FILTER (reason LIKE 'excluded:%') AS excluded,
          count(*) FILTER (selected) AS selected, count(waitlist_position) AS waiting,
          count(*) FILTER (reason LIKE 'discretionary%') AS discretionary,
          count(*) FILTER (reason = 'nothing_due') AS nothing_due,
          coalesce(sum(people) FILTER (selected), 0) AS people_selected,
          coalesce(sum(amount_minor) FILTER (selected), 0) AS amount_minor
        FROM read_parquet($decisions) {with_strata} GROUP BY ALL
        """,
        files,
    )
    names = [column[0] for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    total = {name: sum(int(row[name]) for row in rows) for name in names[1:]}
    return AssessmentTotals(
        **total,
        currency=rules.pack.currency,
        strata=tuple(_strata(rules, {str(row["stratum"]): row for row in rows})),
        pack_hash=rules.pack.pack_hash,
        decisions_sha256=_digest(decisions),
        budget_minor=budget_minor,
    )


def _strata(rules: Rules, rows: dict[str, dict[str, int]]) -> Iterator[StratumTotals]:
    selection = rules.pack.selection
    places: Mapping[str, int | None] = (
        selection.quota.households if selection.quota else {ALL: selection.places}
    )
    for stratum in sorted({*rows, *places}):
        row = rows.get(stratum, {})
        yield StratumTotals(
            stratum=stratum,
            places=places.get(stratum, 0),
            eligible=int(row.get("eligible", 0)),
            selected=int(row.get("selected", 0)),
            waiting=int(row.get("waiting", 0)),
            people_selected=int(row.get("people_selected", 0)),
            amount_minor=int(row.get("amount_minor", 0)),
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
