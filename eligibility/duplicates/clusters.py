"""Which records are one person, as far as links go that nobody needs to look at.

Decides how far automatic links may be strung together. Two links that are each right may join two
people by a third record that is wrong, so links are taken from the strongest to the weakest, and
one that would break a guard is not taken: its pair goes to review.

* no cluster of more than `SIZE_MAX` records: nobody registers seven times by mistake;
* no two valid identifiers that differ, of a kind with check digits;
* no two members of one roster.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import duckdb
import pyarrow as pa

from eligibility.duplicates.preparing import Prepared
from eligibility.duplicates.shapes import CLUSTER, Band

SIZE_MAX = 6


class Guard(StrEnum):
    """Why a link was not taken."""

    SIZE = "size"  # too many records
    VETO = "veto"  # two valid identifiers that differ
    ROSTER = "roster"  # two members of one roster


@dataclass(frozen=True, slots=True)
class Refused:
    """An automatic pair that a guard sent to review."""

    id_l: str
    id_r: str
    guard: Guard


@dataclass(slots=True)
class _Cluster:
    records: set[str]
    rosters: list[str]
    numbers: dict[str, set[str]] = field(default_factory=dict)

    def breaks(self, other: "_Cluster") -> Guard | None:
        """Return the guard that one cluster of the two would break."""
        if len(self.records) + len(other.records) > SIZE_MAX:
            return Guard.SIZE
        if set(self.rosters) & set(other.rosters):
            return Guard.ROSTER
        for kind, numbers in self.numbers.items():
            theirs = other.numbers.get(kind)
            if theirs and theirs.isdisjoint(numbers):
                return Guard.VETO
        return None

    def take(self, other: "_Cluster") -> None:
        """Become one with `other`."""
        self.records |= other.records
        self.rosters += other.rosters
        for kind, numbers in other.numbers.items():
            self.numbers.setdefault(kind, set()).update(numbers)


@dataclass(frozen=True, slots=True)
class Record:
    """What the guards ask of a record: its roster, its valid numbers by vetoing kind."""

    record_id: str
    roster: str | None
    numbers: Mapping[str, frozenset[str]]


def clustered(
    links: Iterable[tuple[str, str]], records: Iterable[Record]
) -> tuple[pa.Table, tuple[Refused, ...]]:
    """Return the clusters of `links` (the strongest first) and the links that were refused.

    Clusters of one record are left out; a cluster is named by its least record id.
    """
    home = {
        record.record_id: _Cluster(
            {record.record_id},
            [record.roster] if record.roster else [],
            {kind: set(numbers) for kind, numbers in record.numbers.items()},
        )
        for record in records
    }
    refused = []
    for left, right in links:
        one, other = home[left], home[right]
        if one is other:
            continue
        guard = one.breaks(other)
        if guard:
            refused.append(Refused(left, right, guard))
            continue
        one.take(other)
        for record_id in other.records:
            home[record_id] = one
    rows = sorted(
        (min(cluster.records), record_id)
        for record_id, cluster in home.items()
        if len(cluster.records) > 1
    )
    columns = [pa.array([row[i] for row in rows], pa.string()) for i in range(2)]
    return pa.Table.from_arrays(columns, schema=CLUSTER), tuple(refused)


def guarded(
    conn: duckdb.DuckDBPyConnection, table: str, left: Prepared, right: Prepared
) -> tuple[pa.Table, tuple[Refused, ...]]:
    """Cluster the automatic pairs of `table`; the refused ones become pairs to review."""
    links = conn.execute(
        f"SELECT id_l, id_r FROM {table} WHERE band = '{Band.AUTOMATIC}'"
        " ORDER BY score DESC, id_l, id_r"
    ).fetchall()
    records = [*_records(conn, table, left, "l"), *_records(conn, table, right, "r")]
    found, refused = clustered(links, records)
    for pair in refused:  # as rare as a cluster of seven
        conn.execute(
            f"UPDATE {table} SET band = '{Band.REVIEW}' WHERE id_l = ? AND id_r = ?",
            (pair.id_l, pair.id_r),
        )
    return found, refused


def _records(
    conn: duckdb.DuckDBPyConnection, table: str, prepared: Prepared, side: str
) -> list[Record]:
    """Return the records of one side of the automatic pairs."""
    veto = [kind for kind, (_, yes) in prepared.fields.kinds().items() if yes]
    wanted = f"SELECT DISTINCT n_{side} FROM {table} WHERE band = '{Band.AUTOMATIC}'"
    numbers: dict[int, dict[str, set[str]]] = {}
    for n, kind, number in conn.execute(
        f"SELECT n, kind, number FROM {prepared.numbers} WHERE valid AND n IN ({wanted})"
    ).fetchall():
        if kind in veto:
            numbers.setdefault(n, {}).setdefault(kind, set()).add(number)
    rows = conn.execute(
        f"SELECT n, record_id, roster FROM {prepared.table} WHERE n IN ({wanted})"
    ).fetchall()
    return [
        Record(record_id, roster, {k: frozenset(v) for k, v in numbers.get(n, {}).items()})
        for n, record_id, roster in rows
    ]
