"""Reading a snapshot into fact cells, with the engine that decides real cycles.

What the views need is asked once, of the same code that assesses a cycle, for each pack and day
among them; then households whose answers are the same are added up. The cells come in the order of
their answers, whatever the number of threads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import duckdb
import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eligibility.rules.amount_columns import HAS_ALL, NAMED_PEOPLE
from eligibility.rules.checked import parameters_on
from eligibility.rules.columns import (
    Question,
    answered,
    fact_name,
    high_name,
    low_name,
)  # fmt: skip
from eligibility.rules.terms import Kind
from eligibility.selection import stratum_of
from eligibility.snapshot import columns_of, engine, opened, view
from ledgers.problems import Problem
from simulations.cell_rules import OPEN, Pair
from simulations.cells import Cells, Group, Seeing, Seen, View, roots_of
from simulations.randomness import Ints

if TYPE_CHECKING:
    Column = pa.ChunkedArray[Any]  # subscripted in the stubs only

CELLS_WEIGHT_WRONG = Problem(
    "cells_weight_wrong",
    "{households:household of the snapshot has|households of the snapshot have} no weight, or"
    " one below 1.",
    "Give every household a whole number of 1 or more in the column weight, or leave it out.",
)
WEIGHT = "weight"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is read from the snapshot, and the column that each answer goes to."""

    groups: tuple[str, ...]
    seen: Mapping[Seen, str]
    weighed: bool
    by_household: bool


def gathered(
    households: Path,
    members: Path,
    views: Sequence[View],
    *,
    spill: Path,
    groups: Sequence[str] = (),
    by_household: bool = False,
    memory_mb: int = 512,
    threads: int = 2,
) -> Cells:
    """Return the cells of a snapshot for `views`.

    Arguments: `households` and `members` are the snapshot (Parquet), the first with a column
    `weight` where a household stands for several; `groups` are text columns that results are told
    by (those of the packs' quotas are always there); `by_household` makes one cell of each
    household, in the order of their ids. Cells are in the order of their facts, whatever the number
    of threads.

    Raises `snapshot_refused`, `cells_weight_wrong`, `parameter_not_in_force`.
    """
    plan = _planned(households, views, groups, by_household=by_household)
    for one in {one.rules.pack.pack_hash: one for one in views}.values():
        with engine(spill, memory_mb, threads) as connection:
            opened(connection, households, members, one.rules)
    with engine(spill, memory_mb, threads) as connection:
        tables = _opened(connection, households, members, views, plan)
        done: set[str] = set()
        for number, one in enumerate(views):
            done |= _answer(connection, tables, one, plan, (number, frozenset(done)))
        return _read(_collapsed(connection, len(views), plan), plan)


def _planned(
    households: Path, views: Sequence[View], groups: Sequence[str], *, by_household: bool
) -> _Plan:
    seen: dict[Seen, str] = {}
    quotas = [stratum_of(one.rules.pack.selection) for one in views]
    for one in views:
        for item in _asked(one):
            seen.setdefault(item, f"seen_{len(seen)}")
    named = dict.fromkeys([*groups, *(quota for quota in quotas if quota)])
    weighed = WEIGHT in pq.read_schema(households).names
    return _Plan(tuple(named), seen, weighed, by_household)


def _asked(one: View) -> Iterator[Seen]:
    seeing = Seeing.of(one.rules, one.on)
    for root in roots_of(one.rules):
        yield from seeing.asked(root, one.free)


def _opened(
    connection: duckdb.DuckDBPyConnection,
    households: Path,
    members: Path,
    views: Sequence[View],
    plan: _Plan,
) -> tuple[ibis.Table, ibis.Table]:
    """Return the two tables of the snapshot, with what any of the views reads."""
    of_household: dict[str, Kind] = {}
    of_member: dict[str, Kind] = {}
    for one in views:
        household, member = columns_of(one.rules)
        of_household |= household
        of_member |= member
    of_household |= dict.fromkeys(plan.groups, Kind.TEXT)
    if plan.weighed:
        of_household[WEIGHT] = Kind.INT
    table = view(connection, "snapshot_households", households, of_household)
    if plan.weighed:
        [(wrong,)] = connection.execute(
            f"SELECT count(*) FROM snapshot_households WHERE coalesce({WEIGHT}, 0) < 1"
        ).fetchall()
        if wrong:
            raise CELLS_WEIGHT_WRONG.refusal(households=wrong)
    return table, view(connection, "snapshot_members", members, of_member)


def _answer(
    connection: duckdb.DuckDBPyConnection,
    tables: tuple[ibis.Table, ibis.Table],
    one: View,
    plan: _Plan,
    at: tuple[int, frozenset[str]],
) -> set[str]:
    """Write the answers of view number `at[0]` that no earlier view gave; return their names."""
    number, done = at
    parameters = parameters_on(one.rules.pack, one.on)
    fresh = {name: item for item in _asked(one) if (name := plan.seen[item]) not in done}
    questions = [Question(fact_name(name), term) for name, term in one.rules.facts]
    questions += [Question(name, item.term) for name, item in fresh.items()]
    table = answered(*tables, questions, parameters, one.on)
    columns = ["household_id"]
    columns += [end(name) for name in fresh for end in (low_name, high_name)]
    if number == 0:
        declared = ibis.coalesce(table.declared_size > 0, ibis.literal(value=False))
        from_form = ~table[HAS_ALL] & declared
        people = ibis.ifelse(from_form, table.declared_size, table[NAMED_PEOPLE])
        table = table.mutate(
            people=people.cast("int64"),
            size_known=table[HAS_ALL] | declared,
            **{WEIGHT: table[WEIGHT] if plan.weighed else ibis.literal(1, "int64")},
        )
        columns += [*plan.groups, "people", "size_known", WEIGHT]
    sql = ibis.to_sql(table.select(*columns), dialect="duckdb")
    connection.execute(f"CREATE TABLE view_{number} AS {sql}")
    return set(fresh)


def _collapsed(connection: duckdb.DuckDBPyConnection, views: int, plan: _Plan) -> pa.Table:
    joins = "".join(f" JOIN view_{at} USING (household_id)" for at in range(1, views))
    but = WEIGHT if plan.by_household else f"household_id, {WEIGHT}"
    sql = (
        f"SELECT * EXCLUDE ({but}), sum({WEIGHT})::BIGINT AS {WEIGHT}"
        f" FROM view_0{joins} GROUP BY ALL ORDER BY ALL"
    )
    table: pa.Table = connection.sql(sql).to_arrow_table()
    return table


def _read(table: pa.Table, plan: _Plan) -> Cells:
    ends = [end(name) for name in plan.seen.values() for end in (low_name, high_name)]
    texts = [
        name for name in (*plan.groups, *ends) if pa.types.is_string(table.schema.field(name).type)
    ]
    words = _words([table.column(name) for name in texts])
    return Cells(
        weight=_ints(table.column(WEIGHT), 0),
        people=_ints(table.column("people"), 0),
        size_known=_ints(table.column("size_known"), 0).astype(np.bool_),
        groups={name: _grouped(_coded(table.column(name), words), words) for name in plan.groups},
        codes={word: code for code, word in enumerate(words)},
        columns={
            item: Pair(
                _numbers(table.column(low_name(name)), words, -OPEN),
                _numbers(table.column(high_name(name)), words, OPEN),
            )
            for item, name in plan.seen.items()
        },
        ids=tuple(map(str, table.column("household_id").to_pylist())) if plan.by_household else (),
    )


def _words(columns: Sequence["Column"]) -> list[str]:
    found = {
        str(word) for column in columns for word in column.unique().to_pylist() if word is not None
    }
    return sorted(found)


def _ints(column: "Column", null: int | np.int64) -> Ints:
    whole = column.cast(pa.int64())
    filled = cast("Column", pc.coalesce(whole, pa.scalar(int(null), pa.int64())))
    values: Ints = filled.to_numpy()
    return values


def _numbers(column: "Column", words: Sequence[str], null: np.int64) -> Ints:
    """Return one reading as numbers: texts as codes, dates as days, `null` for an open end."""
    if pa.types.is_string(column.type):
        codes = _coded(column, words)
        return np.where(codes < 0, null, codes)
    return _ints(column.cast(pa.int32()) if pa.types.is_date(column.type) else column, null)


def _coded(column: "Column", words: Sequence[str]) -> Ints:
    """Return the place of each text in `words`; -1 where it is not known."""
    places = pc.index_in(column, value_set=pa.array(words, pa.string()))
    return _ints(cast("Column", places), -1)


def _grouped(codes: Ints, words: Sequence[str]) -> Group:
    """Return the names that occur in a group column, and each cell's place in them."""
    used = np.unique(codes[codes >= 0])
    places = np.full(len(words) + 1, -1)
    places[used] = np.arange(len(used))
    return Group(tuple(words[code] for code in used), places[codes])
