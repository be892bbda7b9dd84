"""A linkage run: who may be the same, found again and remembered once.

A run reads the people, links them in memory (`eligibility.duplicates`) and records what it found:
each pair with its band, its pieces and the evidence it rests on, under the model that was used.
A pair that was found before on the same evidence is not a new question; a run says that it saw it.

* *whole*: everybody with everybody, and a model learned from them;
* *new*: the registrations that the last run did not see (new, corrected, or back from a merge
  that was undone) against all others, with its model;
* *lists*: the people of other agencies against our own, with its model.

Names are in memory only. The run may take long, so it reads in one transaction and records in
another; nothing is lost if it is interrupted between the two.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection
from psycopg.types.json import Jsonb
from sqlalchemy import Engine

from cva import acts, staff
from cva.clock import Clock
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.progress import Progress, stages
from cva.registry import persons
from cva.vault import Vault, check_bound
from eligibility.duplicates.blocking import block, block_like
from eligibility.duplicates.engine import engine as opened
from eligibility.duplicates.fields import registry_fields
from eligibility.duplicates.households import household_pairs
from eligibility.duplicates.linkage import Links, Register
from eligibility.duplicates.model import Model
from eligibility.duplicates.preparing import prepare
from eligibility.duplicates.shapes import BITS, LEVEL, Group
from eligibility.duplicates.training import train
from ledgers.problems import Finding, Problem

NOT_LINKED_YET = Problem(
    "not_linked_yet",
    "Nobody has been linked in this registry yet, so there is no model to go by.",
    "Run `cva duplicates find` once over the whole registry.",
)

MEMORY_MB = 2500
THREADS = 2
THOUSAND = 1000
_SIDES = ("household_l", "household_r")
_STAGES = 3  # read, linked, recorded
_FOUND = """
    CREATE TEMPORARY TABLE found (
      unit text, left_key text, right_key text, band text, likeness text, shared integer,
      score_millibits integer, pieces jsonb, evidence bytea) ON COMMIT DROP
"""
_PAIRS = """
    INSERT INTO duplicates.pair (run_id, unit, left_key, right_key, band, likeness, shared,
      score_millibits, pieces, evidence)
    SELECT %s, f.* FROM found f ORDER BY left_key, right_key
    ON CONFLICT (left_key, right_key, evidence) DO NOTHING
"""
_SEEN = """
    INSERT INTO duplicates.seen (run_id, pair_id)
    SELECT %s, p.pair_id FROM found f JOIN duplicates.pair p USING (left_key, right_key, evidence)
"""


_LAST = """
    SELECT m.document, r.last_version_id, r.at FROM duplicates.run r
    JOIN duplicates.model m USING (model_sha256) WHERE r.scope <> 'lists'
    ORDER BY r.at DESC, r.run_id DESC LIMIT 1
"""


class Scope(StrEnum):
    """Who is linked with whom."""

    WHOLE = "whole"  # everybody
    NEW = "new"  # registrations that the last run did not see, with all others and each other
    LISTS = "lists"  # other agencies' people with ours


@dataclass(frozen=True, slots=True)
class Run:
    """What a run found: `people` compared, `pairs` of people or households, `fresh` ones."""

    run_id: str
    scope: Scope
    people: int
    pairs: int
    fresh: int
    automatic: int
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class _People:
    held: pa.Table
    arriving: pa.Table | None
    model: Model | None
    last_version_id: int
    last_list_id: str | None
    read_at: datetime  # what was recorded from then on, the run does not know

    @property
    def count(self) -> int:
        return self.held.num_rows + (self.arriving.num_rows if self.arriving is not None else 0)


@dataclass(frozen=True, slots=True)
class _Linked:
    """Rows for the table `found`, the model they were made with, and what was left out."""

    rows: list[tuple[object, ...]]
    model: Model
    findings: Sequence[Finding]


def run(
    engine: Engine,
    vault: Vault,
    clock: Clock,
    person_id: str,
    scope: Scope,
    progress: Progress | None = None,
) -> Run:
    """Link the registry's people as `scope` says and record the pairs: the use case.

    `progress` is told how often a person has gone through one of the stages. Raises `role_missing`,
    `not_linked_yet`, `master_key_differs`.
    """
    with transaction(engine) as conn:
        staff.require(conn, person_id, staff.Role.PROGRAMME)
        check_bound(conn, vault)
        run_id = new_id("lnk", clock.now())
        people = _read(conn, vault, scope, clock.now())
        acts.record(
            conn, key=f"read:{run_id}", verb="read_people", object_id=run_id,
            body={"scope": scope.value, "people": people.count}, person_id=person_id,
            at=clock.now(), answer={"people": people.count},
        )  # fmt: skip
    through = stages(progress, _STAGES, people.count)
    next(through)
    with opened(MEMORY_MB, THREADS) as connection:
        linked = _linked(connection, vault, people, scope)
    next(through)
    with transaction(engine) as conn:
        made = _record(conn, linked, people, (run_id, scope), person_id, clock.now())
    next(through)
    return made


def last_model(conn: Connection) -> Model | None:
    """Return the model of the last run over the registry, None before the first one."""
    before = conn.execute(_LAST).fetchone()
    return None if before is None else _model(before[0])


def _read(conn: Connection, vault: Vault, scope: Scope, at: datetime) -> _People:
    row = conn.execute("SELECT coalesce(max(version_id), 0) FROM registry.version").fetchone()
    newest = int(row[0]) if row else 0
    listed = conn.execute('SELECT max(list_id COLLATE "C") FROM duplicates.list').fetchone()
    last_list = listed[0] if listed else None
    if scope is Scope.WHOLE:
        return _People(persons.registered(conn, vault), None, None, newest, last_list, at)
    before = conn.execute(_LAST).fetchone()
    if scope is Scope.LISTS:
        model = _model(before[0]) if before else None
        held, theirs = persons.registered(conn, vault), persons.listed(conn, vault)
        return _People(held, theirs, model, newest, last_list, at)
    if before is None:
        raise NOT_LINKED_YET.refusal()
    document, last_version, last_at = before
    held = persons.seen(conn, vault, last_version, last_at)
    arriving = persons.unseen(conn, vault, last_version, last_at)
    return _People(held, arriving, _model(document), newest, last_list, at)


def _model(document: Mapping[str, object]) -> Model:
    return Model.from_json(json.dumps(document))


def _linked(
    conn: duckdb.DuckDBPyConnection, vault: Vault, people: _People, scope: Scope
) -> _Linked:
    fields = registry_fields()
    held = block(conn, prepare(conn, "held", people.held, fields))
    findings = [*held.prepared.findings, *held.findings]
    model = people.model or train(conn, held)
    register = Register(conn, held, model)
    if people.arriving is None:
        rows = list(_rows(conn, vault, register.within(), [people.held], model))
        return _Linked(rows, model, findings)
    arriving = block_like(conn, prepare(conn, "arriving", people.arriving, fields), held)
    findings += [*arriving.prepared.findings, *arriving.findings]
    both = [people.held, people.arriving]
    # One after the other: the two kinds of links of the arriving are made in one table.
    rows = list(_rows(conn, vault, register.with_new(arriving), both, model))
    if scope is Scope.NEW:
        within = Register(conn, arriving, model).within()
        rows += _rows(conn, vault, within, both, model)
    return _Linked(rows, model, findings)


def _rows(
    conn: duckdb.DuckDBPyConnection,
    vault: Vault,
    links: Links,
    tables: Sequence[pa.Table],
    model: Model,
) -> Iterator[tuple[object, ...]]:
    """Yield the pairs of people and of households, ready to be recorded."""
    pairs = links.pairs(conn)
    houses = household_pairs(conn, links)
    known = _Evidence(vault, tables, pairs, houses)
    groups = {fact.name: fact.group for fact in model.facts}
    for pair in pairs.to_pylist():
        left, right = sorted((pair["id_l"], pair["id_r"]))
        pieces = _pieces(pair, groups)
        score = sum(millibits for *_, millibits in pieces)
        yield (
            "person", left, right, pair["band"], None, 1, score, json.dumps(pieces),
            known.of_people(left, right),
        )  # fmt: skip
    for house in houses.to_pylist():
        left, right = sorted((house["household_l"], house["household_r"]))
        told = ("household", house["likeness"], house["instruments"] or "", 0)
        yield (
            "household", left, right, house["band"], house["likeness"], house["shared"], None,
            json.dumps([told]), known.of_households(left, right),
        )  # fmt: skip


def _pieces(
    pair: Mapping[str, object], groups: Mapping[str, Group]
) -> list[tuple[str, str, str, int]]:
    """Return the addends of a pair's score (fact, group, how it agrees, thousandths of a bit)."""
    named = {"prior": Group.PRIOR, **groups, "cap": Group.CAP}
    return [
        (fact, group.value, str(pair.get(f"{LEVEL}{fact}") or ""), round(bits * THOUSAND))
        for fact, group in named.items()
        if isinstance(bits := pair.get(f"{BITS}{fact}"), int | float)
    ]


class _Evidence:
    """The keyed tokens of the people and households that occur in pairs."""

    def __init__(
        self, vault: Vault, tables: Sequence[pa.Table], pairs: pa.Table, houses: pa.Table
    ) -> None:
        self.vault = vault
        ends = [str(key) for end in ("id_l", "id_r") for key in pairs[end].to_pylist()]
        ends += [str(key) for end in _SIDES for key in houses[end].to_pylist()]
        wanted = {key.partition("/")[0] for key in ends}
        self.people: dict[str, dict[str, str | None]] = {}
        self.members: dict[str, list[str]] = defaultdict(list)
        among = pa.array(sorted(wanted), pa.string())
        for table in tables:
            for row in table.filter(pc.is_in(table["household_id"], among)).to_pylist():
                self.people[row["record_id"]] = row
                self.members[row["household_id"]].append(row["record_id"])

    def of_people(self, left: str, right: str) -> bytes:
        """Return the evidence of two people: what is compared of each."""
        return self._both([left], [right])

    def of_households(self, left: str, right: str) -> bytes:
        """Return the evidence of two households: what is compared of everybody in them."""
        return self._both(self.members[left], self.members[right])

    def _both(self, left: Iterable[str], right: Iterable[str]) -> bytes:
        sides = [
            persons.evidence(self.vault, [self.people[key] for key in keys])
            for keys in (left, right)
        ]
        return self.vault.token("evidence", "".join(side.hex() for side in sides))


def _record(
    conn: Connection,
    linked: _Linked,
    people: _People,
    named: tuple[str, Scope],
    person_id: str,
    at: datetime,
) -> Run:
    run_id, scope = named
    digest = bytes.fromhex(linked.model.digest)
    conn.execute(
        "INSERT INTO duplicates.model (model_sha256, document, person_id, at)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (digest, Jsonb(json.loads(linked.model.to_json())), person_id, at),
    )
    conn.execute(_FOUND)
    with conn.cursor() as cursor, cursor.copy("COPY found FROM STDIN") as copy:
        for row in linked.rows:
            copy.write_row(row)
    fresh = conn.execute(_PAIRS, (run_id,)).rowcount
    conn.execute(_SEEN, (run_id,))
    conn.execute("DROP TABLE found")
    pairs = len(linked.rows)
    conn.execute(
        "INSERT INTO duplicates.run (run_id, scope, model_sha256, last_version_id, last_list_id,"
        " people, pairs, fresh, person_id, at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (run_id, scope.value, digest, people.last_version_id, people.last_list_id, people.count,
         pairs, fresh, person_id, people.read_at),
    )  # fmt: skip
    conn.execute("SELECT duplicates.analyse()")
    acts.record(
        conn, key=f"link:{run_id}", verb="link", object_id=run_id, body={"scope": scope.value},
        person_id=person_id, at=at, answer={"pairs": pairs, "fresh": fresh},
    )  # fmt: skip
    automatic = sum(row[3] == "automatic" for row in linked.rows)
    return Run(run_id, scope, people.count, pairs, fresh, automatic, linked.findings)
