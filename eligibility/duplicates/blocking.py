"""Which pairs are looked at: keys that two records of one person probably share.

Decides the candidates, within a counted budget. Each *key* is made of a few facts; records with
the same key are compared. A family of keys goes from coarse to fine, and the coarsest is taken
that makes no more pairs than its share of the budget; blocks that stay too large (boys called
Muhammad born on 1 January) are left to the other keys, and said. No key is made of household
facts alone: those find siblings.

Pairs are counted before they are made, so a registry of five millions cannot surprise anybody.
"""

from dataclasses import dataclass

import duckdb

from eligibility.duplicates.preparing import Prepared
from ledgers.problems import Finding, Place, Problem, Weight

BLOCKS_LEFT = Problem(
    "link_blocks_left",
    "{count} blocks of the key {key} hold more than {limit} records each and were not compared"
    " by this key.",
    "Nothing: their records are compared by the other keys. Fillers in names or dates make such"
    " blocks; correcting them finds more.",
    weight=Weight.NOTE,
)

PAIRS_PER_PERSON = 1.5  # of one key
PAIRS_FREE = 800_000  # a small file may be compared more thoroughly
BLOCK_MAX = 250  # records in one block of the finest key

_LEAST = "least(given_first, family_last)"
_MOST = "greatest(given_first, family_last)"
_DAY = "CASE WHEN NOT birth_coarse THEN birth END"


@dataclass(frozen=True, slots=True)
class Key:
    """A blocking key: its name, and the SQL expressions it is made of."""

    name: str
    parts: tuple[str, ...]

    @property
    def column(self) -> str:
        """The column of the key."""
        return f"key_{self.name}"

    @property
    def sql(self) -> str:
        """The key of a record as a number, null where a part is not known."""
        known = " AND ".join(f"({part}) IS NOT NULL" for part in self.parts)
        return f"CASE WHEN {known} THEN hash({', '.join(self.parts)}) END"


@dataclass(frozen=True, slots=True)
class Blocked:
    """Prepared persons and their keys: the table `keyed` (n, household, key_<name> ...).

    `pairs` are those counted for all keys together; one that several keys make counts for each.
    """

    prepared: Prepared
    keys: tuple[Key, ...]
    pairs: int
    findings: tuple[Finding, ...]

    @property
    def keyed(self) -> str:
        """The table of the keys of each record."""
        return _keyed(self.prepared.table)

    @property
    def rules(self) -> list[str]:
        """The blocking rules, as SQL for a Splink linker over persons with their keys."""
        return [f"l.{key.column} = r.{key.column}" for key in self.keys]


def block(conn: duckdb.DuckDBPyConnection, prepared: Prepared) -> Blocked:
    """Choose the keys for `prepared`, write them beside its table, and say what was left out."""
    budget = max(PAIRS_FREE, int(PAIRS_PER_PERSON * prepared.people))
    chosen = {}
    for family in _families(prepared):
        found = _chosen(conn, prepared.table, family, budget)
        if found:
            chosen[found[0]] = found[1]
    _write(conn, prepared.table, tuple(chosen))
    findings = []
    for key, pairs in chosen.items():
        if pairs > budget:
            left = _without_large(conn, _keyed(prepared.table), key)
            place = Place(prepared.table)
            findings.append(BLOCKS_LEFT.finding(place, count=left, key=key.name, limit=BLOCK_MAX))
    return Blocked(prepared, tuple(chosen), sum(chosen.values()), tuple(findings))


def block_like(conn: duckdb.DuckDBPyConnection, prepared: Prepared, held: Blocked) -> Blocked:
    """Write the keys of `held` for `prepared`: new records beside those held."""
    _write(conn, prepared.table, held.keys)
    return Blocked(prepared, held.keys, 0, ())


def make_pairs(conn: duckdb.DuckDBPyConnection, left: Blocked, right: Blocked, table: str) -> None:
    """Make `table` (n_l, n_r) of the records with a key in common, as often as they have one.

    `right` is `left` itself, or was made like it. Two of one roster are two people, and no pair.
    One key after the other: memory holds one.
    """
    conn.execute(f"CREATE OR REPLACE TABLE {table} (n_l INTEGER, n_r INTEGER)")
    once = " AND l.n < r.n" if left is right else ""
    for key in left.keys:
        conn.execute(
            f"INSERT INTO {table} SELECT l.n, r.n FROM {left.keyed} l JOIN {right.keyed} r"
            f" ON l.{key.column} = r.{key.column}"
            f" WHERE (l.household = r.household) IS NOT TRUE{once}"
        )


def _families(prepared: Prepared) -> list[tuple[Key, ...]]:
    """Return the families of keys that the facts allow, the surest first."""
    facts = set(prepared.facts)
    names = {
        "given": "given_first", "family": "family_last", "father": "father_first",
        "mother": "mother_first",
    }  # fmt: skip
    parts = {stem: part for stem, part in names.items() if f"{stem}_name" in facts}
    parts |= {name: name for name in facts if name.rpartition("_")[0] in {"place", "detail"}}
    if "phone" in facts:
        parts["phone"] = "phone"
    if "birth_date" in facts:
        parts |= {"day": _DAY, "year": "birth_year"}
    if {"given", "family"} <= set(parts):
        parts |= {"one": _LEAST, "other": _MOST}
    places = sorted(name for name in parts if name.startswith(("place", "detail")))
    wanted = [*_WANTED, *[line.replace("@", name) for name in places for line in _AT_A_PLACE]]
    families: list[tuple[Key, ...]] = [
        (Key(f"id_{kind}", (f"id_{kind}",)),) for kind in prepared.fields.kinds()
    ]
    for line in wanted:
        options = [option.split() for option in line.split("|")]
        keys = tuple(
            Key("_".join(option), tuple(parts[word] for word in option))
            for option in options
            if set(option) <= set(parts)
        )
        if keys:
            families.append(keys)
    return families


# A family a line, its keys from coarse to fine.
_WANTED = (
    "one other | one other year | one other father year",  # either order: swapped names too
    "given phone",
    "day phone",
    "given father mother | given father mother year",
    "given father | given father year | given family father year",
    "given mother | given mother year | given family mother year",
    "family father year | family father mother year",
    "family mother year | family father mother year",
    "given day",
    "day | family day",
    "father day",
    "mother day",
)
_AT_A_PLACE = (
    "given @ | given @ year | given family @ year",
    "family @ | family @ year | given family @ year",
    "day @",
)


def _chosen(
    conn: duckdb.DuckDBPyConnection, table: str, family: tuple[Key, ...], budget: int
) -> tuple[Key, int] | None:
    """Return the coarsest key of `family` within `budget` with its pairs, else the finest."""
    for key in family:
        records, pairs = _counted(conn, table, key)
        if pairs <= budget or key is family[-1]:
            return (key, pairs) if records else None
    return None


def _counted(conn: duckdb.DuckDBPyConnection, table: str, key: Key) -> tuple[int, int]:
    """Return how many records have the key, and how many pairs it makes."""
    sql = (
        "SELECT coalesce(sum(c), 0), coalesce(sum(c * (c - 1) // 2), 0) FROM"
        f" (SELECT count(*) AS c FROM (SELECT {key.sql} AS k FROM {table})"
        " WHERE k IS NOT NULL GROUP BY k)"
    )
    records, pairs = conn.execute(sql).fetchall()[0]
    return int(records), int(pairs)


def _keyed(table: str) -> str:
    return f"{table}_keyed"


def _write(conn: duckdb.DuckDBPyConnection, table: str, keys: tuple[Key, ...]) -> None:
    """Write the keys of every record into a table of their own: one pass, whatever their number."""
    columns = ["n", "CASE WHEN roster IS NOT NULL THEN hash(roster) END AS household"]
    columns += [f"{key.sql} AS {key.column}" for key in keys]
    conn.execute(
        f"CREATE OR REPLACE TABLE {_keyed(table)} AS SELECT {', '.join(columns)} FROM {table}"
    )


def _without_large(conn: duckdb.DuckDBPyConnection, table: str, key: Key) -> int:
    column = key.column
    large = (
        f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL"
        f" GROUP BY {column} HAVING count(*) > {BLOCK_MAX}"
    )
    count = int(conn.execute(f"SELECT count(*) FROM ({large})").fetchall()[0][0])
    conn.execute(f"UPDATE {table} SET {column} = NULL WHERE {column} IN ({large})")
    return count
