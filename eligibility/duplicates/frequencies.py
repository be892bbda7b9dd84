"""How rare a value is: what agreeing in it is worth among these people.

Decides what a name, a phone or a place says that others hold too. Its *share* is that of the others
who hold it: of all records but the two compared. What a whole household holds alike (surname,
parents, phone, place) is counted once for each household, or a large family would make its own
phone common.

Few people say little about how common a name is, and the shipped share is then the better guess: it
counts like `GUESS` people beside those who were counted. So one estimate serves every size of
registry: among forty strangers of one camp the camp says nothing and a name keeps its usual worth;
among a million a rare name is worth more than a common one.

Splink reads the share as `tf_<column>` and takes it instead of the level's u (term frequency).
"""

import duckdb

from eligibility.duplicates.comparisons import Fact
from eligibility.duplicates.model import Model
from eligibility.duplicates.preparing import Prepared
from eligibility.duplicates.shapes import Group

GUESS = 50  # people
SHARE_LEAST = 1e-5  # a value nobody else has is not worth more than this


def frequency_columns(model: Model) -> dict[str, tuple[Fact, float]]:
    """Return the columns whose values are counted, with their fact and the share to begin with."""
    found: dict[str, tuple[Fact, float]] = {}
    for fact in model.facts:
        for level, (_, u) in zip(fact.levels, model.shares[fact.name], strict=True):
            if level.frequency:
                found.setdefault(level.frequency, (fact, u))
    return found


def count_shares(
    conn: duckdb.DuckDBPyConnection, prepared: Prepared, model: Model, table: str, compared: int
) -> None:
    """Make `table` (n, tf_...) with the share of each value of `prepared` among the others.

    `compared` is how many of the two records of a pair are among the counted: 2 within one file,
    1 where the other one is new.
    """
    columns = ["t.n"]
    joins = []
    conn.execute(
        f"CREATE OR REPLACE TEMP TABLE each_household AS SELECT min(n) AS n FROM {prepared.table}"
        " GROUP BY coalesce(roster, record_id)"
    )
    for column, (fact, guessed) in frequency_columns(model).items():
        of = prepared.table
        if fact.group is Group.HOUSEHOLD:
            of = f"(SELECT h.* FROM {of} h SEMI JOIN each_household e ON e.n = h.n)"
        counted = f"SELECT {column}, count(*) AS holders FROM {of} WHERE {column} IS NOT NULL"
        known = conn.execute(f"SELECT count({column}) FROM {of}").fetchall()[0][0]
        others = max(known - compared, 0) + GUESS
        columns.append(
            f"greatest((greatest(coalesce(c_{column}.holders, 0) - {compared}, 0)"
            f" + {GUESS * guessed!r}) / {others}, {SHARE_LEAST!r})::FLOAT AS tf_{column}"
        )
        joins.append(
            f"LEFT JOIN ({counted} GROUP BY {column}) c_{column}"
            f" ON c_{column}.{column} = t.{column}"
        )
    conn.execute(
        f"CREATE OR REPLACE TABLE {table} AS SELECT {', '.join(columns)}"
        f" FROM {prepared.table} t {' '.join(joins)}"
    )
    conn.execute("DROP TABLE each_household")
