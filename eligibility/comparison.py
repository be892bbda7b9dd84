"""Two sets of decisions about the same households: who enters, who leaves, and what it costs.

Before a pack is released, it is run on the snapshot of the pack it would replace, with the same
day, seed and budget, and the two decisions of every household are laid side by side. Being served
and qualifying are compared each by itself: a household may go on qualifying and lose its place.

Amounts are minor units; people are those that the second pack counts, or the first where only it
knows the household.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from eligibility.snapshot import engine
from ledgers.problems import Problem

PACKS_IN_TWO_CURRENCIES = Problem(
    "packs_in_two_currencies",
    "The first pack pays in {first} and the second in {second}: their costs do not compare.",
    "Compare packs of one currency.",
)

ENTERS, LEAVES, STAYS, OUTSIDE = "enters", "leaves", "stays", "outside"
MOVES = (ENTERS, LEAVES, STAYS, OUTSIDE)
MEMORY_MB = 512
THREADS = 2


@dataclass(frozen=True, slots=True)
class Move:
    """Households whose place changes in one way; `outside` are served by neither pack."""

    move: str
    households: int
    people: int
    before_minor: int
    after_minor: int

    @property
    def costs_minor(self) -> int:
        """What the second pack costs more (or, below zero, less) for these households."""
        return self.after_minor - self.before_minor


@dataclass(frozen=True, slots=True)
class Turn:
    """How many households go from one standing to another."""

    before: str  # eligible, ineligible, review
    after: str
    households: int
    people: int


@dataclass(frozen=True, slots=True)
class Why:
    """Why households enter or leave: their reason by the pack that does not serve them."""

    move: str
    reason: str
    households: int
    people: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changes from one set of decisions to another."""

    currency: str
    moves: tuple[Move, ...]
    turns: tuple[Turn, ...]
    whys: tuple[Why, ...]

    @property
    def costs_minor(self) -> int:
        """What the second pack costs more in all; below zero, less."""
        return sum(move.costs_minor for move in self.moves)


_SIDE_BY_SIDE = """
    CREATE VIEW side_by_side AS
    SELECT household_id,
      a.status AS before, b.status AS after, coalesce(a.selected, false) AS served_before,
      coalesce(b.selected, false) AS served_after, a.reason AS reason_before,
      b.reason AS reason_after, coalesce(b.people, a.people, 0) AS people,
      CASE WHEN a.selected THEN a.amount_minor ELSE 0 END AS before_minor,
      CASE WHEN b.selected THEN b.amount_minor ELSE 0 END AS after_minor,
      CASE WHEN served_before AND served_after THEN 'stays' WHEN served_after THEN 'enters'
           WHEN served_before THEN 'leaves' ELSE 'outside' END AS move
    FROM read_parquet('{before}') a FULL JOIN read_parquet('{after}') b USING (household_id)
"""


def compare(before: Path, after: Path, spill: Path, changes: Path | None = None) -> Comparison:
    """Return what changes between two files of decisions.

    Arguments: `spill` is a folder for what does not fit in memory; `changes`, where it is given,
    becomes a CSV file of every household that enters, leaves, or goes on with another amount.
    Raises `packs_in_two_currencies`.
    """
    currency = _currency(before, after)
    with engine(spill, MEMORY_MB, THREADS) as connection:
        files = {"before": _quoted(before), "after": _quoted(after)}
        connection.execute(_SIDE_BY_SIDE.format(**files))
        if changes is not None:
            _write_changes(connection, changes)
        return Comparison(currency, _moves(connection), _turns(connection), _whys(connection))


def _currency(before: Path, after: Path) -> str:
    first, second = (_first_currency(path) for path in (before, after))
    if first and second and first != second:
        raise PACKS_IN_TWO_CURRENCIES.refusal(first=first, second=second)
    return second or first


def _first_currency(path: Path) -> str:
    for batch in pq.ParquetFile(path).iter_batches(1, columns=["currency"]):
        return str(batch.column(0)[0])
    return ""


def _moves(connection: duckdb.DuckDBPyConnection) -> tuple[Move, ...]:
    rows = connection.execute(
        "SELECT move, count(*), sum(people)::BIGINT, sum(before_minor)::BIGINT,"
        " sum(after_minor)::BIGINT FROM side_by_side GROUP BY move"
    ).fetchall()
    found = {str(row[0]): Move(*row) for row in rows}
    return tuple(found.get(move, Move(move, 0, 0, 0, 0)) for move in MOVES)


def _turns(connection: duckdb.DuckDBPyConnection) -> tuple[Turn, ...]:
    rows = connection.execute(
        "SELECT coalesce(before, ''), coalesce(after, ''), count(*), sum(people)::BIGINT"
        " FROM side_by_side WHERE before IS DISTINCT FROM after GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
    ).fetchall()
    return tuple(Turn(*row) for row in rows)


def _whys(connection: duckdb.DuckDBPyConnection) -> tuple[Why, ...]:
    rows = connection.execute(
        "SELECT move, coalesce(CASE move WHEN 'leaves' THEN reason_after ELSE reason_before END,"
        " ''), count(*), sum(people)::BIGINT FROM side_by_side WHERE move IN ('enters', 'leaves')"
        " GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2"
    ).fetchall()
    return tuple(Why(*row) for row in rows)


def _write_changes(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    connection.execute(
        "COPY (SELECT household_id, move, before AS status_before, after AS status_after,"
        " reason_before, reason_after, people, before_minor, after_minor FROM side_by_side"
        " WHERE move IN ('enters', 'leaves') OR before_minor <> after_minor"
        f" ORDER BY household_id) TO '{_quoted(path)}' (FORMAT csv, HEADER)"
    )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
