"""Importing a registration file: all of it in one transaction, in batches, once.

* The identity of a household is the form and the record's identity at its source, kept as a keyed
  token because it is often somebody's identity number. A record that comes again with another
  revision becomes a new version of the same household; with the same revision, nothing.
* The same file again answers what the first import answered.
* A revision that was submitted before the one we have does not become the latest: the latest
  version is the one that counts everywhere.
* Imports come one after the other (an advisory lock), so the order of versions is the order of
  imports.
* Phones, accounts, card references and names that several live households share are found after
  the last batch, by their tokens, and noted for each household of this import.

While the database takes one batch, the next is read and validated: each has a processor of its own.
Memory holds two batches; the file may have any size. A killed import leaves nothing behind.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from psycopg import Connection
from psycopg.rows import dict_row
from sqlalchemy import Engine

from adapters.forms import registration_mapping
from adapters.kobo import counting
from adapters.kobo.opening import describe, open_export
from adapters.mapping import AnswerType, FormMapping
from adapters.port import Record
from cva import acts, staff
from cva.clock import ZONE, Clock
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.progress import Progress
from cva.registry import sharing
from cva.registry.rows import Ascending, Rows, few_collections
from cva.registry.validation import Household, validate
from cva.vault import Vault, check_bound
from ledgers.problems import Finding, Place, Problem, Weight, counted

OLDER_REVISION = Problem(
    "older_revision",
    "The record is an older revision of one that is here already; it was left aside.",
    "Nothing, if the newer one is right.",
)
BATCH_RECORDS = 2000


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What became of a file; `repeated` when it was imported before and nothing was done.

    `records` were read: `added` as households, `revised` as new versions, `unchanged` or
    `refused`. `members` have a name and `declared_people` were declared, in what was added and
    revised; `findings` counts by code.
    """

    import_id: str
    form: str
    file_name: str
    added: int
    revised: int
    unchanged: int
    refused: int
    members: int
    declared_people: int
    findings: Mapping[str, int]
    repeated: bool = False

    @property
    def records(self) -> int:
        """How many records the file held."""
        return self.added + self.revised + self.unchanged + self.refused

    def __str__(self) -> str:
        if self.repeated:
            return (
                f"{self.file_name} was imported before ({self.import_id},"
                f" {counted(self.records, 'record', 'records')}): nothing was changed."
            )
        return (
            f"{counted(self.records, 'record', 'records')}: {self.added} added,"
            f" {self.revised} revised, {self.unchanged} unchanged, {self.refused} refused."
        )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an import comes from: the form, the file, and what its answers are."""

    form: str
    file_name: str
    sha256: bytes
    types: Mapping[str, AnswerType]


def import_file(
    engine: Engine,
    vault: Vault,
    clock: Clock,
    person_id: str,
    path: Path,
    mapping: FormMapping | None = None,
    progress: Progress | None = None,
) -> ImportSummary:
    """Import the registration file at `path`: the use case, in a transaction of its own.

    `mapping` is that of its form, by default of our own registration form; `person_id` needs the
    role programme; `progress` is told the records read, of how many the file seems to hold. Raises
    `role_missing`, `master_key_differs` and what `adapters` refuses.
    """
    mapping = mapping or registration_mapping()
    types = {answer.name: answer.type for answer in mapping.answers.values()}
    sha256 = bytes.fromhex(describe(path).sha256)
    origin = Origin(mapping.form, path.name, sha256, types)
    with transaction(engine) as conn:
        staff.require(conn, person_id, staff.Role.PROGRAMME)
        check_bound(conn, vault)
        earlier = find_import(conn, origin)
        if earlier is not None:
            return earlier
        items = open_export(path, mapping)
        total = counting.count(path) if progress is not None else None
        return take(conn, vault, origin, items, (person_id, clock.now()), progress, total)


def find_import(conn: Connection, origin: Origin) -> ImportSummary | None:
    """Return what an earlier import of the same file answered; wait for one that is running."""
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('registry.import', 0))")
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(
            "SELECT import_id, form, file_name, added, revised, unchanged, refused, members,"
            " declared AS declared_people FROM registry.import WHERE form = %s AND sha256 = %s",
            (origin.form, origin.sha256),
        ).fetchone()
    if row is None:
        return None
    codes = conn.execute(
        "SELECT code, count(*) FROM registry.finding WHERE import_id = %s GROUP BY code",
        (row["import_id"],),
    ).fetchall()
    return ImportSummary(**row, findings=dict(sorted(codes)), repeated=True)


@few_collections()
def take(
    conn: Connection,
    vault: Vault,
    origin: Origin,
    items: Iterable[Record | Finding],
    by: tuple[str, datetime],
    progress: Progress | None = None,
    total: int | None = None,
) -> ImportSummary:
    """Take all records into the registry, in the caller's transaction after `find_import`.

    `by` is the person and the moment of the import; `progress` is told the records of each batch,
    of `total`, which is what there seem to be.
    """
    person_id, at = by
    stream = iter(items)
    # Whatever ends this waits for the copying: the connection is the caller's again afterwards.
    with ThreadPoolExecutor(max_workers=1) as beside:
        importing = _Import(conn, vault, origin, new_id("imp", at), at, beside)
        while batch := list(islice(stream, BATCH_RECORDS)):
            importing.take(batch)
            if progress is not None:
                records = importing.summary().records
                progress(records, None if total is None else max(records, total))
        importing.find_shared()
    summary = importing.summary()
    conn.execute(
        "INSERT INTO registry.import (import_id, form, file_name, sha256, added, revised,"
        " unchanged, refused, members, declared, person_id, at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (summary.import_id, origin.form, origin.file_name, origin.sha256, summary.added,
         summary.revised, summary.unchanged, summary.refused, summary.members,
         summary.declared_people, person_id, at),
    )  # fmt: skip
    acts.record(
        conn, key=f"import:{summary.import_id}", verb="import", object_id=summary.import_id,
        body={"form": origin.form, "sha256": origin.sha256.hex()}, person_id=person_id, at=at,
        answer={"import": summary.import_id, "records": summary.records},
    )  # fmt: skip
    return summary


@dataclass(slots=True)
class _Known:
    """A household that is here already: its revisions, and when the latest was submitted."""

    household_id: str
    data_key: bytes = field(repr=False)
    revisions: set[str]
    submitted_at: datetime | None


class _Import:
    """One import while it runs; `beside` is the one thread that copies rows."""

    def __init__(
        self,
        conn: Connection,
        vault: Vault,
        origin: Origin,
        import_id: str,
        at: datetime,
        beside: ThreadPoolExecutor,
    ) -> None:
        self.conn = conn
        self.vault = vault
        self.origin = origin
        self.import_id = import_id
        self.at = at
        self.counts: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.rows = Rows()
        self.ascending = Ascending()
        self.beside = beside
        self.copying: Future[None] | None = None

    def take(self, items: Sequence[Record | Finding]) -> None:
        """Validate one batch, compare it with what is here, and let what is new be copied."""
        self.rows = Rows()
        taken = self._validated(items)
        self._wait_for_copy()
        known = self._known([key for key, *_ in taken])
        version_ids = iter(self._version_ids(len(taken)))
        for key, household, place, findings in taken:
            self._place(known, key, household, (place, findings), next(version_ids))
        self.copying = self.beside.submit(self.rows.copy, self.conn)

    def _wait_for_copy(self) -> None:
        """Come back when the batch before is in the database; raises what its copying raised."""
        if self.copying is not None:
            self.copying.result()
            self.copying = None

    def _validated(
        self, items: Sequence[Record | Finding]
    ) -> list[tuple[str, Household, Place, list[Finding]]]:
        """Return the records of a batch that can be taken, each with the key of its household."""
        taken: list[tuple[str, Household, Place, list[Finding]]] = []
        today = self.at.astimezone(ZONE).date()
        for item in items:
            if isinstance(item, Finding):
                self.counts["refused"] += item.problem.weight is Weight.REFUSED
                self._say([item], None)
                continue
            household, findings = validate(item, self.origin.types, today)
            if household is None:
                self.counts["refused"] += 1
                self._say(findings, None)
            else:
                key = self.vault.record_token(self.origin.form, household.record_id)
                taken.append((key, household, item.place, findings))
        return taken

    def find_shared(self) -> None:
        """Note what households of this import share with other live households."""
        self._wait_for_copy()
        for some in sharing.found(self.conn, self.import_id, BATCH_RECORDS):
            self.rows = Rows()
            for household_id, finding in some:
                self._say([finding], household_id)
            self.rows.copy(self.conn)

    def summary(self) -> ImportSummary:
        """Return what became of everything taken so far."""
        counts = self.counts
        return ImportSummary(
            self.import_id, self.origin.form, self.origin.file_name, counts["added"],
            counts["revised"], counts["unchanged"], counts["refused"], counts["members"],
            counts["declared"], dict(sorted(self.codes.items())),
        )  # fmt: skip

    def _place(
        self,
        known: dict[str, _Known],
        key: str,
        household: Household,
        said: tuple[Place, list[Finding]],
        version_id: int,
    ) -> None:
        """Add a household, a version of one, or nothing."""
        place, findings = said
        revision = self.vault.record_token(self.origin.form, household.revision)
        before = known.get(key)
        if before is None:
            self.counts["added"] += 1
            before = known[key] = self._new_household(key)
        elif revision in before.revisions:
            self.counts["unchanged"] += 1
            return
        elif _is_older(household.submitted_at, before.submitted_at):
            self.counts["unchanged"] += 1
            self._say([OLDER_REVISION.finding(place)], before.household_id)
            return
        else:
            self.counts["revised"] += 1
        before.revisions.add(revision)
        before.submitted_at = household.submitted_at or before.submitted_at
        self.counts["members"] += household.named
        self.counts["declared"] += household.declared_size or 0
        self._say(findings, before.household_id)
        sealed = self.vault.seal_household(
            before.data_key, before.household_id, revision, household.personal
        )
        keys = (before.household_id, revision, self.import_id)
        self.rows.add_version(version_id, keys, household, sealed)
        self.rows.add_identifiers(self.vault, version_id, household)

    def _new_household(self, key: str) -> _Known:
        household_id = new_id("hh", self.at, self.ascending)
        data_key, wrapped = self.vault.new_household_key(household_id)
        self.rows.of["household"].append((household_id, self.origin.form, key, self.import_id))
        self.rows.of["household_key"].append((household_id, wrapped))
        return _Known(household_id, data_key, set(), None)

    def _known(self, keys: list[str]) -> dict[str, _Known]:
        rows = self.conn.execute(_KNOWN, (self.origin.form, keys))
        return {
            key: _Known(
                household_id,
                self.vault.unwrap(household_id, bytes(wrapped)),
                set(revisions),
                submitted_at,
            )
            for key, household_id, wrapped, revisions, submitted_at in rows
        }

    def _version_ids(self, wanted: int) -> list[int]:
        rows = self.conn.execute(
            "SELECT nextval('registry.version_version_id_seq') FROM generate_series(1, %s)",
            (wanted,),
        )
        return [version_id for (version_id,) in rows]

    def _say(self, findings: Iterable[Finding], household_id: str | None) -> None:
        for finding in findings:
            self.codes[finding.problem.code] += 1
            self.rows.add_finding(self.import_id, self.codes.total(), finding, household_id)


def _is_older(submitted_at: datetime | None, latest: datetime | None) -> bool:
    return submitted_at is not None and latest is not None and submitted_at < latest


_KNOWN = """
    SELECT h.record_key, h.household_id, k.wrapped, v.revisions, v.submitted_at
    FROM registry.household h JOIN registry.household_key k USING (household_id)
    CROSS JOIN LATERAL (
        SELECT array_agg(revision) AS revisions, max(submitted_at) AS submitted_at
        FROM registry.version WHERE household_id = h.household_id) v
    WHERE h.form = %s AND h.record_key = ANY(%s)
"""
