"""Which persons may be one: pairs, their weights, and the links that are decided on.

Decides which pairs are looked at, in which parts, and hands on what is to be decided of them
(`deciding.py`). A pair that shares a valid strong identifier is looked at whether or not a key of
`blocking.py` finds it.

New records are compared with those held and never with each other by `link_new`; nothing that is
held is compared again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

import duckdb
import pyarrow as pa

from eligibility.duplicates import deciding
from eligibility.duplicates.blocking import Blocked, make_pairs
from eligibility.duplicates.clusters import Refused, guarded
from eligibility.duplicates.frequencies import count_shares, frequency_columns
from eligibility.duplicates.model import Model
from eligibility.duplicates.preparing import Prepared
from eligibility.duplicates.shapes import BITS, LEVEL, PAIR
from eligibility.duplicates.splinking import Weights

PEOPLE_AT_ONCE = 500_000  # held on the right; more are compared in parts: memory is bounded


@dataclass(frozen=True, slots=True)
class Span:
    """Records by their numbers, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Links:
    """The pairs of one run: `table` in the engine, made with `model`.

    The table has the columns of `shapes.PAIR`, then level_* and bits_*, and for the next steps
    `n_l`, `n_r`, `roster_l`, `roster_r`. `clusters` (`shapes.CLUSTER`) are made of the automatic
    pairs; `refused` are pairs that a guard of the clusters sent to review.
    """

    table: str
    model: Model
    left: Prepared
    right: Prepared
    clusters: pa.Table
    refused: tuple[Refused, ...]

    def columns(self) -> list[str]:
        """Return the columns that are written out."""
        levels = [f"{LEVEL}{fact}" for fact in self.model.names]
        bits = [f"{BITS}{fact}" for fact in ("prior", *self.model.names, "cap")]
        return [*PAIR.names, *levels, *bits]

    def pairs(self, conn: duckdb.DuckDBPyConnection) -> pa.Table:
        """Return the pairs, the likeliest first."""
        columns = ", ".join(self.columns())
        sql = f"SELECT {columns} FROM {self.table} ORDER BY score DESC, id_l, id_r"
        return pa.table(conn.sql(sql).to_arrow_table())


class Register:
    """The records held, ready to be asked again and again whether somebody is among them."""

    def __init__(self, conn: duckdb.DuckDBPyConnection, held: Blocked, model: Model) -> None:
        self.conn = conn
        self.held = held
        self.model = model
        self.weights = Weights(model)
        self.counted: dict[int, str] = {}  # tables of shares, by the records compared among them

    def within(self) -> Links:
        """Return the pairs of the records held."""
        shares = self._shares(compared=2)
        return self._linked(self.held, (shares, shares))

    def with_new(self, new: Blocked) -> Links:
        """Return the pairs of a record held (`id_l`) and a new one (`id_r`)."""
        return self._linked(new, (self._shares(compared=1), None))

    def _shares(self, compared: int) -> str:
        """Return the table of the shares of the values held; it is made once."""
        if compared not in self.counted:
            name = f"{self.held.prepared.table}_shares_{compared}"
            count_shares(self.conn, self.held.prepared, self.model, name, compared)
            self.counted[compared] = name
        return self.counted[compared]

    def _linked(self, right: Blocked, shares: tuple[str, str | None]) -> Links:
        """Compare the pairs of the held and `right`, part by part, and decide on them."""
        left, name = self.held, right.prepared.table
        pairs, scored, table = f"{name}_candidates", f"{name}_scored", f"{name}_pair"
        shared = self._shared(right)
        make_pairs(self.conn, left, right, pairs)
        verb = f"CREATE OR REPLACE TABLE {scored} AS"
        with _planned(self.conn, as_written=left is right):
            for span in _spans(right.prepared.people):
                weighed = self.weights.of(
                    _pairs_of(pairs, shared, span), self._side(left, shares[0]),
                    self._side(right, shares[1], span),
                )  # fmt: skip
                self.conn.execute(f"{verb} {deciding.scored(self.model, weighed)}")
                verb = f"INSERT INTO {scored}"
        decided = deciding.decided(self.model, left.prepared, right.prepared, scored)
        self.conn.execute(f"CREATE OR REPLACE TABLE {table} AS {decided}")
        self.conn.execute(f"DROP TABLE {scored}; DROP TABLE {pairs}; DROP TABLE {shared}")
        clusters, refused = guarded(self.conn, table, left.prepared, right.prepared)
        return Links(table, self.model, left.prepared, right.prepared, clusters, refused)

    def _side(self, blocked: Blocked, shares: str | None, span: Span | None = None) -> str:
        """Return the query of one side of the pairs, with the shares of its values."""
        table = blocked.prepared.table
        within = f" WHERE t.n BETWEEN {span.first} AND {span.last}" if span else ""
        if shares:
            return f"SELECT * FROM {table} t JOIN {shares} s USING (n){within}"
        unknown = [f"CAST(NULL AS FLOAT) AS tf_{c}" for c in frequency_columns(self.model)]
        return f"SELECT {', '.join(['*', *unknown])} FROM {table} t{within}"

    def _shared(self, right: Blocked) -> str:
        """Make the table of pairs that share a valid strong identifier, of any time."""
        numbers, others = self.held.prepared.numbers, right.prepared.numbers
        strong = [kind for kind, (yes, _) in self.held.prepared.fields.kinds().items() if yes]
        kinds = ", ".join(f"'{kind}'" for kind in strong) or "''"
        order = "AND l.n < r.n" if right is self.held else ""
        name = f"{right.prepared.table}_shared"
        self.conn.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT l.n AS n_l, r.n AS n_r,"
            f" min(l.kind) AS kind FROM {numbers} l JOIN {others} r ON l.kind = r.kind"
            f" AND l.number = r.number AND l.valid AND r.valid {order}"
            f" WHERE l.kind IN ({kinds}) GROUP BY ALL"
        )
        return name


def link(conn: duckdb.DuckDBPyConnection, blocked: Blocked, model: Model) -> Links:
    """Return the pairs among the `blocked` persons that are linked or to be reviewed."""
    return Register(conn, blocked, model).within()


def link_new(conn: duckdb.DuckDBPyConnection, held: Blocked, new: Blocked, model: Model) -> Links:
    """Return the pairs of a person held and a `new` one; `new` was made by `block_like`."""
    return Register(conn, held, model).with_new(new)


@contextmanager
def _planned(conn: duckdb.DuckDBPyConnection, *, as_written: bool) -> Iterator[None]:
    """Let joins be done `as_written`: who is on the left passes by, wide as they are.

    The planner guesses too few pairs and would hold them with all that is known of both. Of a few
    new people there are few pairs, and it does well.
    """
    if as_written:
        conn.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
    try:
        yield
    finally:
        if as_written:
            conn.execute("RESET disabled_optimizers")


def _spans(people: int) -> Iterator[Span]:
    """Yield the spans of the records' numbers, from 1; all of about one size."""
    parts = max(ceil(people / PEOPLE_AT_ONCE), 1)
    size = max(ceil(people / parts), 1)
    for first in range(1, max(people, 1) + 1, size):
        yield Span(first, first + size - 1)


def _pairs_of(pairs: str, shared: str, span: Span) -> str:
    """Return the query of the pairs with one of a span on the right.

    The key of a pair is the kind of a strong identifier that the two share, null where there is
    none.
    """
    within = f"n_r BETWEEN {span.first} AND {span.last}"
    return (
        f"SELECT DISTINCT n_l, n_r, CAST(NULL AS VARCHAR) AS match_key FROM {pairs}"
        f" ANTI JOIN {shared} USING (n_l, n_r) WHERE {within}"
        f" UNION ALL SELECT n_l, n_r, kind AS match_key FROM {shared} WHERE {within}"
    )
