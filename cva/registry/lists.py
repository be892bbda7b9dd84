"""Lists of other agencies: imported once, sealed like our own people, never half claimed.

* A list is known by its agency and its bytes: the same file again changes nothing.
* A record that comes again in a later list of the agency is the later one; what a later list does
  not name stays as it was.
* Who receives, what for, when and how far it has come must be readable, or the record is refused
  and said so; the others are taken. A doubtful identifier or date is dropped, not its owner.
* Names and numbers are sealed under a key of the list's own; what identifies people and records
  there is a keyed token. Needs that the policy keeps confidential are not kept at all.

Memory holds a batch, and a token for every record and person of the list.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

from psycopg import Connection
from sqlalchemy import Engine

from adapters.assistance import Given, ListMapping, read_list
from cva import acts, staff
from cva.clock import Clock
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.progress import Progress
from cva.registry import policies, values
from cva.registry.assistance import Record, person_of, record_of, refs_of
from cva.registry.values import Report
from cva.vault import Personal, Vault, check_bound
from eligibility.duplicates.overlap.policy import Policy
from eligibility.duplicates.overlap.records import Unit
from ledgers.problems import Finding, Problem, Weight

LIST_RECORD_DIFFERS = Problem(
    "list_record_differs",
    "The row says something else of its record than a row before it; the first one counts.",
    "Ask the agency which is right, or to give every record a reference of its own.",
)
BATCH_ROWS = 5000
_ASSISTANCE = (
    "list_id, record_key, row_no, recipient_key, unit, programme, need, modality, first_day,"
    " last_day, one_off, status, committed_at, currency, amount_minor, people, replaces,"
    " referred_by, referred_on, verdict"
)
# Whoever can have referred somebody: ours, and those whose lists we know.
_AGENCIES = """
    SELECT document->>'agency' FROM programme.programme WHERE document ? 'agency'
    UNION SELECT agency FROM duplicates.list
"""


@dataclass(frozen=True, slots=True)
class ListSummary:
    """What became of a list; `repeated` where it was imported before and nothing was done.

    `records` were taken, of `people`; `refused` rows were not. `findings` counts by code.
    """

    list_id: str
    agency: str
    file_name: str
    records: int
    people: int
    refused: int
    findings: Mapping[str, int]
    repeated: bool = False


def import_list(
    engine: Engine,
    vault: Vault,
    clock: Clock,
    person_id: str,
    path: Path,
    mapping: ListMapping,
    progress: Progress | None = None,
) -> ListSummary:
    """Import the list at `path` in one transaction: the use case.

    Raises `role_missing`, `master_key_differs`, `list_columns_missing`, `encoding_unreadable`.
    """
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").digest()
    with transaction(engine) as conn:
        staff.require(conn, person_id, staff.Role.PROGRAMME)
        check_bound(conn, vault)
        conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('registry.list', 0))")
        earlier = _find(conn, mapping.agency, sha256)
        if earlier is not None:
            return earlier
        policy = policies.ensure(conn, person_id=person_id, at=clock.now())
        taking = _Taking(conn, vault, mapping.agency, policy, clock.now())
        stream = iter(read_list(path, mapping))
        while batch := list(islice(stream, BATCH_ROWS)):
            taking.take(batch)
            if progress is not None:
                progress(taking.rows, None)
        return taking.end(path.name, sha256, person_id)


def _find(conn: Connection, agency: str, sha256: bytes) -> ListSummary | None:
    row = conn.execute(
        "SELECT list_id, file_name, records, people, refused FROM duplicates.list"
        " WHERE (agency, sha256) = (%s, %s)",
        (agency, sha256),
    ).fetchone()
    if row is None:
        return None
    codes = conn.execute(
        "SELECT code, count(*) FROM duplicates.list_finding WHERE list_id = %s GROUP BY code",
        (row[0],),
    ).fetchall()
    list_id, file_name, records, people, refused = row
    found: dict[str, int] = dict(sorted(codes))
    return ListSummary(list_id, agency, file_name, records, people, refused, found, repeated=True)


@dataclass(slots=True)
class _Batch:
    people: list[tuple[object, ...]] = field(default_factory=list)
    records: list[tuple[object, ...]] = field(default_factory=list)
    findings: list[tuple[object, ...]] = field(default_factory=list)


class _Taking:
    """One list while it is imported."""

    def __init__(
        self, conn: Connection, vault: Vault, agency: str, policy: Policy, at: datetime
    ) -> None:
        self.conn = conn
        self.vault = vault
        self.agency = agency
        self.policy = policy
        self.at = at
        self.list_id = new_id("lst", at)
        self.data_key, self.wrapped = vault.new_household_key(self.list_id)
        self.agencies = {name for (name,) in conn.execute(_AGENCIES)}
        self.known: dict[str, bytes] = {}  # records, with a digest of what they say
        self.people: set[str] = set()
        self.codes: Counter[str] = Counter()
        self.rows = self.refused = 0
        self.batch = _Batch()

    def take(self, items: Iterable[Given | Finding]) -> None:
        """Judge one batch of rows and copy what can be taken."""
        self.batch = _Batch()
        for item in items:
            if isinstance(item, Finding):
                self._say([item])
                self.refused += item.problem.weight is Weight.REFUSED
            else:
                self.rows += 1
                self._take_row(item)
        self._copy("other_person (list_id, person_key, is_head, sealed)", self.batch.people)
        self._copy(f"assistance ({_ASSISTANCE})", self.batch.records)
        columns = "list_id, finding_no, code, weight, row_no, field, shown"
        self._copy(f"list_finding ({columns})", self.batch.findings)

    def end(self, file_name: str, sha256: bytes, person_id: str) -> ListSummary:
        """Record the list and return what became of it."""
        summary = ListSummary(
            self.list_id, self.agency, file_name, len(self.known), len(self.people), self.refused,
            dict(sorted(self.codes.items())),
        )  # fmt: skip
        self.conn.execute(
            "INSERT INTO duplicates.list (list_id, agency, file_name, sha256, records, people,"
            " refused, wrapped, person_id, at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (self.list_id, self.agency, file_name, sha256, summary.records, summary.people,
             self.refused, self.wrapped, person_id, self.at),
        )  # fmt: skip
        self.conn.execute("SELECT duplicates.analyse()")
        acts.record(
            self.conn, key=f"list:{self.list_id}", verb="import_list", object_id=self.list_id,
            body={"agency": self.agency, "sha256": sha256.hex()}, person_id=person_id, at=self.at,
            answer={"list": self.list_id, "records": summary.records},
        )  # fmt: skip
        return summary

    def _take_row(self, row: Given) -> None:
        report = Report(row.place)
        record = record_of(report, row.values, self.policy, self.agencies)
        if record is None:
            self.refused += 1
            self._say(report.findings)
            return
        person = person_of(report, row.values, self.at)
        household_ref, person_ref = refs_of(row.values, person)
        household_key = f"oa:{self.agency}:{self._token('h', household_ref)}"
        person_key = f"{household_key}/{self._token('p', person_ref)}"
        if person and person_key not in self.people:
            self.people.add(person_key)
            sealed = self.vault.seal_household(
                self.data_key, self.list_id, person_key, Personal({}, [person])
            )
            is_head = row.values.get("is_head", "").lower() in values.ANSWERED_YES
            self.batch.people.append((self.list_id, person_key, is_head, sealed))
        self._take_record(report, row, record, household_key, person_key)
        self._say(report.findings)

    def _take_record(
        self, report: Report, row: Given, record: Record, household_key: str, person_key: str
    ) -> None:
        record_key = f"oa:{self.agency}:{self._token('r', row.values['record_ref'])}"
        recipient = person_key if record.unit == Unit.PERSON else household_key
        told = hashlib.sha256(repr((recipient, record)).encode()).digest()
        before = self.known.setdefault(record_key, told)
        if before is not told:
            if before != told:
                report.say(LIST_RECORD_DIFFERS, "record_ref")
            return
        replaces = record.replaces and f"oa:{self.agency}:{self._token('r', record.replaces)}"
        self.batch.records.append((
            self.list_id, record_key, row.place.row, recipient, record.unit, record.programme,
            record.need, record.modality, record.first_day, record.last_day, record.one_off,
            record.status, record.committed_at, record.currency, record.amount_minor,
            record.people, replaces, record.referred_by, record.referred_on, record.verdict,
        ))  # fmt: skip

    def _token(self, kind: str, ref: str) -> str:
        return self.vault.record_token(f"assistance:{self.agency}:{kind}", ref)

    def _say(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            self.codes[finding.problem.code] += 1
            self.batch.findings.append((
                self.list_id, self.codes.total(), finding.problem.code,
                finding.problem.weight.value, finding.place.row, finding.place.field, finding.value,
            ))  # fmt: skip

    def _copy(self, target: str, rows: Sequence[tuple[object, ...]]) -> None:
        statement = f"COPY duplicates.{target} FROM STDIN"
        with self.conn.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
