"""Which persons may be one: Splink's match weights, and our own decision on them.

Decides the band of each pair.

* **Household evidence is capped.** Surname, parents, phone and place are one fact that a whole
  household shares; taken as independent they make brothers and sisters one person. What they
  exceed the model's cap by is taken off, and shown as a piece of its own. Where the given name is
  another, a birth date in common is one of these facts: twins share it.
* **Veto** only by two valid identifiers of one kind that differ, where the kind has check digits.
* **Automatic** only with a shared strong identifier, with every personal fact agreeing, and a
  score above the model's line. A shared strong identifier with less is always *reviewed*.
* Where a personal fact speaks against (another given name, another date), the line for review is
  higher by the model's `doubt`: fathers and sons, grandsons named after their grandfathers.
* Two persons of one roster are two people; so a person is linked to at most one member of
  another roster, the likeliest. Exactly equal scores are both kept.

New records are compared with those held and never with each other by `link_new`; nothing that is
held is compared again.

Source: Fellegi & Sunter (1969); the measurements are in decision 0024.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import duckdb
import pyarrow as pa

from eligibility.duplicates.blocking import Blocked, make_pairs
from eligibility.duplicates.clusters import Refused, guarded
from eligibility.duplicates.comparisons import Fact
from eligibility.duplicates.frequencies import count_shares, frequency_columns
from eligibility.duplicates.model import Model
from eligibility.duplicates.preparing import Prepared
from eligibility.duplicates.shapes import BITS, LEVEL, PAIR, Band, Group
from eligibility.duplicates.splinking import Weights

PEOPLE_AT_ONCE = 500_000  # of each side; more are compared in parts: memory is bounded
_DECISIVE = ("given_name", "birth_date")  # must be known and agree for an automatic link


@dataclass(frozen=True, slots=True)
class Span:
    """Records by their numbers, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Part:
    """The pairs of a span of records on the left and one on the right."""

    left: Span
    right: Span


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
        for part in self._parts(right):
            weighed = self.weights.of(
                _pairs_of(pairs, shared, part), self._side(left, shares[0], part.left),
                self._side(right, shares[1], part.right),
            )  # fmt: skip
            self.conn.execute(f"{verb} {_scored(self.model, weighed)}")
            verb = f"INSERT INTO {scored}"
        decided = _decided(self.model, left, right, scored)
        self.conn.execute(f"CREATE OR REPLACE TABLE {table} AS {decided}")
        self.conn.execute(f"DROP TABLE {scored}; DROP TABLE {pairs}; DROP TABLE {shared}")
        clusters, refused = guarded(self.conn, table, left.prepared, right.prepared)
        return Links(table, self.model, left.prepared, right.prepared, clusters, refused)

    def _side(self, blocked: Blocked, shares: str | None, part: Span) -> str:
        """Return the query of one side of the pairs, with the shares of its values."""
        table = blocked.prepared.table
        within = f"t.n BETWEEN {part.first} AND {part.last}"
        if shares:
            return f"SELECT * FROM {table} t JOIN {shares} s USING (n) WHERE {within}"
        unknown = [f"CAST(NULL AS FLOAT) AS tf_{c}" for c in frequency_columns(self.model)]
        return f"SELECT {', '.join(['*', *unknown])} FROM {table} t WHERE {within}"

    def _parts(self, right: Blocked) -> Iterator[Part]:
        """Yield the parts in which the pairs are compared, so that memory holds one."""
        within = right is self.held
        for left_span in _spans(self.held.prepared.people):
            for right_span in _spans(right.prepared.people):
                if not within or left_span.first <= right_span.first:
                    yield Part(left_span, right_span)

    def _shared(self, right: Blocked) -> str:
        """Make the table of pairs that share a valid strong identifier, of any time."""
        numbers, others = self.held.prepared.numbers, right.prepared.numbers
        strong = [kind for kind, (yes, _) in self.held.prepared.fields.kinds().items() if yes]
        kinds = ", ".join(f"'{kind}'" for kind in strong) or "''"
        order = "AND l.n < r.n" if right is self.held else ""
        name = f"{right.prepared.table}_shared"
        self.conn.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT l.n AS n_l, r.n AS n_r,"
            f" min(l.kind) AS kept FROM {numbers} l JOIN {others} r ON l.kind = r.kind"
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


def _spans(people: int) -> Iterator[Span]:
    """Yield the spans of the records' numbers, from 1; all of about one size."""
    parts = max(ceil(people / PEOPLE_AT_ONCE), 1)
    size = max(ceil(people / parts), 1)
    for first in range(1, max(people, 1) + 1, size):
        yield Span(first, first + size - 1)


def _pairs_of(pairs: str, shared: str, part: Part) -> str:
    """Return the query of the pairs of a part, with the kind of a strong identifier they share."""
    within = (
        f"n_l BETWEEN {part.left.first} AND {part.left.last}"
        f" AND n_r BETWEEN {part.right.first} AND {part.right.last}"
    )
    return (
        f"SELECT n_l, n_r, CAST(NULL AS VARCHAR) AS kept FROM {pairs} ANTI JOIN {shared}"
        f" USING (n_l, n_r) WHERE {within}"
        f" UNION ALL SELECT n_l, n_r, kept FROM {shared} WHERE {within}"
    )


def _scored(model: Model, weighed: str) -> str:
    """Return the query from Splink's weights to scores; pairs that nobody needs are left out."""
    facts = [fact.name for fact in model.facts]
    household = " + ".join(f"{BITS}{f.name}" for f in model.in_group(Group.HOUSEHOLD)) or "0.0"
    person = " + ".join(f"{BITS}{f.name}" for f in model.in_group(Group.PERSON)) or "0.0"
    return f"""
    WITH pieces AS (
        SELECT n_l, n_r, match_key AS shared_id, {", ".join(f"gamma_{f}" for f in facts)},
            {", ".join(_bits(fact) for fact in model.facts)}
        FROM ({weighed})
    ), capped AS (
        SELECT *, {model.prior_bits!r}::DOUBLE AS bits_prior,
            least(0.0, {model.cap!r}::DOUBLE - ({household} + {_twins(model)})) AS bits_cap
        FROM pieces
    ), scored AS (
        SELECT *, bits_prior + {person} + {household} + bits_cap AS score FROM capped
    )
    SELECT * FROM scored WHERE score >= {model.review!r} OR shared_id IS NOT NULL
    """


def _decided(model: Model, left: Blocked, right: Blocked, scored: str) -> str:
    """Return the query from scores to the pairs that are kept, with their band."""
    bits = ", ".join(f"{BITS}{fact.name}" for fact in model.facts)
    doubted = model.review + model.doubt
    return f"""
    WITH judged AS (
        SELECT p.n_l, p.n_r, l.record_id AS id_l, r.record_id AS id_r, l.roster AS roster_l,
            r.roster AS roster_r, p.score, p.shared_id, {_veto(model)} AS veto,
            {_contradiction(model)} AS contradiction, {_sure(model)} AS sure,
            {_levels(model)}, bits_prior, {bits}, bits_cap
        FROM {scored} p
        JOIN {left.prepared.table} l ON l.n = p.n_l
        JOIN {right.prepared.table} r ON r.n = p.n_r
        WHERE coalesce(l.roster <> r.roster, true)
    ), likeliest AS (
        SELECT * FROM judged WHERE shared_id IS NOT NULL OR (veto IS NULL AND score >=
            CASE WHEN contradiction IS NULL THEN {model.review!r} ELSE {doubted!r} END)
        QUALIFY shared_id IS NOT NULL OR (
            (roster_r IS NULL OR rank() OVER (PARTITION BY n_l, roster_r ORDER BY score DESC) = 1)
            AND
            (roster_l IS NULL OR rank() OVER (PARTITION BY n_r, roster_l ORDER BY score DESC) = 1)
        )
    )
    SELECT *, CASE WHEN sure AND shared_id IS NOT NULL AND veto IS NULL
        AND score >= {model.automatic!r} THEN '{Band.AUTOMATIC}' ELSE '{Band.REVIEW}' END AS band
    FROM likeliest
    """


def _bits(fact: Fact) -> str:
    shared = any(level.frequency for level in fact.levels)
    rarity = f" + mw_tf_adj_{fact.name}" if shared else ""
    return f"mw_{fact.name}{rarity} AS {BITS}{fact.name}"


def _levels(model: Model) -> str:
    """Return the columns that say how each fact agrees."""
    columns = []
    for fact in model.facts:
        whens = " ".join(
            f"WHEN {place} THEN '{level.says}'"
            for place, level in zip(reversed(range(len(fact.levels))), fact.levels, strict=True)
        )
        name = fact.name
        columns.append(f"CASE gamma_{name} {whens} ELSE 'not known' END AS {LEVEL}{name}")
    return ", ".join(columns)


def _at(model: Model, name: str, alone: bool) -> list[int]:  # noqa: FBT001 - which of the two marks
    """Return Splink's numbers of the levels of `name` that suffice alone, or that speak against."""
    fact = next(fact for fact in model.facts if fact.name == name)
    places = reversed(range(len(fact.levels)))
    return [
        place
        for place, level in zip(places, fact.levels, strict=True)
        if (level.alone if alone else level.against)
    ]


def _contradiction(model: Model) -> str:
    """Return the first personal fact that speaks against, as SQL."""
    whens = []
    for fact in model.in_group(Group.PERSON):
        against = ", ".join(str(place) for place in _at(model, fact.name, alone=False))
        whens.append(f"WHEN gamma_{fact.name} IN ({against}) THEN '{fact.name}'")
    return f"CASE {' '.join(whens)} END" if whens else "CAST(NULL AS VARCHAR)"


def _sure(model: Model) -> str:
    """Return whether every personal fact agrees well enough for a link nobody looks at."""
    terms = []
    for fact in model.in_group(Group.PERSON):
        alone = ", ".join(str(place) for place in _at(model, fact.name, alone=True))
        unknown = "" if fact.name in _DECISIVE else f"gamma_{fact.name} = -1 OR "
        terms.append(f"({unknown}gamma_{fact.name} IN ({alone}))")
    known = set(_DECISIVE) <= set(model.names)
    return " AND ".join(terms) if terms and known else "false"


def _twins(model: Model) -> str:
    """Return the part of the birth date's evidence that a household shares, as SQL.

    Where the given name is another, one birth date is what twins have.
    """
    if not set(_DECISIVE) <= set(model.names):
        return "0.0"
    against = ", ".join(str(place) for place in _at(model, "given_name", alone=False))
    return (
        f"CASE WHEN gamma_given_name IN ({against})"
        f" THEN greatest(0.0, {BITS}birth_date) ELSE 0.0 END"
    )


def _veto(model: Model) -> str:
    """Return the kind of which both hold valid numbers that differ, as SQL."""
    whens = [
        f"WHEN l.id_{kind}_valid AND r.id_{kind}_valid AND l.id_{kind} <> r.id_{kind}"
        f" AND coalesce(shared_id <> '{kind}', true) THEN '{kind}'"
        for kind, (_, veto) in model.fields.kinds().items()
        if veto
    ]
    return f"CASE {' '.join(whens)} END" if whens else "CAST(NULL AS VARCHAR)"
