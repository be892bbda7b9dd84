"""A whole file: once, in one transaction, nothing personal in clear, nothing left by a crash."""

import csv
import gc
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from adapters.mapping import FormMapping, load_mapping
from adapters.port import Record
from cva.clock import FixedClock
from cva.database.cluster import Role
from cva.database.connect import transaction
from cva.database.programs import tool
from cva.registry.importing import BATCH_RECORDS, ImportSummary, Origin, import_file, take
from cva.registry.rows import Ascending, few_collections
from cva.vault import Vault
from ledgers.problems import Place, Problem, Refusal, Weight
from tests.cva.registration import (
    AT,
    FIELDS,
    LAYLA,
    SUBMITTED,
    TYPES,
    VAULT,
    YUSUF,
    Office,
    open_office,
    record,
)
from tests.databases import Database

MAPPINGS = Path(__file__).parent.parent.parent / "adapters" / "forms" / "mappings"
UNREADABLE = Problem(
    "row_of_the_tests", "A row that nobody can read.", "Nothing.", weight=Weight.REFUSED
)
TABLES = ("import", "household", "household_key", "version", "member", "identifier", "finding")


@pytest.fixture
def office(app: psycopg.Connection) -> Office:
    return open_office(app)


def mapping(name: str) -> FormMapping:
    return load_mapping(MAPPINGS / f"{name}.yaml")


def import_sample(database: Database, office: Office, path: Path, form: str) -> ImportSummary:
    clock = FixedClock(AT)
    return import_file(database.engine(), VAULT, clock, office.amal, path, mapping(form))


def row_counts(office: Office) -> dict[str, int]:
    return {
        table: int(str(office.one(f"SELECT count(*) FROM registry.{table}")[0])) for table in TABLES
    }


def test_household_is_stored_and_opens_again(office: Office) -> None:
    summary = office.take(record())
    assert (summary.records, summary.added, summary.members, summary.declared_people) == (
        1,
        1,
        2,
        2,
    )
    assert summary.findings == {}
    assert str(summary) == "1 record: 1 added, 0 revised, 0 unchanged, 0 refused."
    household_id, revision, wrapped, sealed, answers, roster_size = office.one(
        "SELECT household_id, revision, wrapped, sealed, answers, roster_size"
        " FROM registry.live JOIN registry.household_key USING (household_id)"
    )
    personal = VAULT.open_household(
        str(household_id),
        str(revision),
        bytes(wrapped),
        bytes(sealed),  # type: ignore[arg-type]
    )
    assert personal.payee_name() == "Layla Haddad"
    assert personal.destination("voucher_card_ref") == "VC-00001234"
    assert roster_size == 2
    assert answers == {
        "rcsi": 17, "monthly_income_minor": 125050, "shelter": "tent", "owns_land": False,
        "arrived_on": "2015-09-01", "has_iban": True, "has_voucher_card": True,
        "has_debit_card": False,
    }  # fmt: skip
    kinds = office.conn.execute(
        "SELECT member_no, kind, valid FROM registry.identifier ORDER BY member_no, kind"
    ).fetchall()
    assert kinds == [
        (0, "account_holder", True),
        (0, "iban", True),
        (0, "phone", True),
        (0, "voucher_card_ref", True),
        (1, "name", True),
        (1, "tr_foreigner_id", True),
    ]


def test_import_is_an_act_of_the_person(office: Office) -> None:
    summary = office.take(record())
    assert office.one(
        "SELECT verb, object_id, person_id, answer FROM ops.act WHERE verb = 'import'"
    ) == (
        "import",
        summary.import_id,
        office.amal,
        {"import": summary.import_id, "records": 1},
    )


def test_same_revision_in_another_file_changes_nothing(office: Office) -> None:
    office.take(record())
    before = row_counts(office)
    again = office.take(record(), file="april.json")
    assert (again.unchanged, again.added, again.revised, again.members) == (1, 0, 0, 0)
    assert row_counts(office) == {**before, "import": 2}


def test_revised_submission_is_a_new_version_of_the_same_household(office: Office) -> None:
    office.take(record())
    summary = office.take(record(revision="r2", fields={**FIELDS, "district": "Defne"}))
    assert (summary.added, summary.revised) == (0, 1)
    assert row_counts(office) == {
        "import": 2, "household": 1, "household_key": 1, "version": 2, "member": 4,
        "identifier": 12, "finding": 0,
    }  # fmt: skip
    assert office.one("SELECT district FROM registry.live") == ("Defne",)


def test_older_revision_arriving_late_does_not_become_the_latest(office: Office) -> None:
    office.take(record(revision="r2", submitted_at=SUBMITTED))
    old = record(revision="r1", submitted_at=SUBMITTED - timedelta(days=1))
    summary = office.take(old)
    assert (summary.unchanged, summary.findings) == (1, {"older_revision": 1})
    assert office.one("SELECT count(*) FROM registry.version") == (1,)


def test_two_revisions_in_one_file_make_two_versions(office: Office) -> None:
    later = SUBMITTED + timedelta(hours=1)
    summary = office.take(record(), record(revision="r2", submitted_at=later), record())
    assert (summary.added, summary.revised, summary.unchanged) == (1, 1, 1)
    assert office.one("SELECT submitted_at FROM registry.live") == (later,)


def test_finding_keeps_place_weight_facts_and_household(office: Office) -> None:
    summary = office.take(
        UNREADABLE.finding(Place("march.json", "main", 3)),
        record(fields={**FIELDS, "declared_size": "3", "phone": "55511122"}),
        record("", members=[]),
    )
    assert (summary.records, summary.refused, summary.added) == (3, 2, 1)
    (household_id,) = office.one("SELECT household_id FROM registry.household")
    rows = office.conn.execute(
        "SELECT code, weight, sheet, row_no, field, shown, facts, household_id"
        " FROM registry.finding ORDER BY finding_no"
    ).fetchall()
    identity = {"question": "identity"}
    size = {"declared": 3, "listed": 2}
    assert rows == [
        ("row_of_the_tests", "refused", "main", 3, "", "", {}, None),
        ("record_without_identity", "refused", "", 7, "", "", identity, None),
        ("household_without_members", "refused", "", 7, "members", "", {}, None),
        ("phone_doubtful", "doubtful", "", 7, "phone", "55…22 (8)", {}, household_id),
        ("household_size_differs", "doubtful", "", 7, "declared_size", "", size, household_id),
    ]
    assert sum(summary.findings.values()) == len(rows) == 5


def test_what_households_share_is_found_across_imports(office: Office) -> None:
    other = {"iban": "", "voucher_card_ref": "VC-00001235"}
    omar = {**LAYLA, "given_name": "Omar", "id_number": ""}
    office.take(record("1", members=[omar]))
    summary = office.take(
        record("2", fields={**FIELDS, **other}, members=[LAYLA]),
        record("3", fields={**FIELDS, **other, "phone": ""}, members=[LAYLA]),
        record("4", fields={**FIELDS, "phone": "", "voucher_card_ref": ""}, members=[omar]),
    )
    assert {code: n for code, n in summary.findings.items() if code.endswith("_shared")} == {
        "account_shared": 1,
        "card_shared": 2,
        "name_shared": 3,
        "phone_shared": 1,
    }
    shared = office.conn.execute(
        "SELECT DISTINCT code, facts FROM registry.finding WHERE code LIKE '%_shared' ORDER BY code"
    ).fetchall()
    assert shared == [
        ("account_shared", {"households": 2}),
        ("card_shared", {"households": 2}),
        ("name_shared", {"households": 2}),
        ("phone_shared", {"households": 2}),
    ]


def test_phone_given_up_in_a_later_version_is_not_shared(office: Office) -> None:
    omar = {**LAYLA, "given_name": "Omar", "id_number": ""}
    moved = {**FIELDS, "phone": "0533 123 45 67", "iban": "", "voucher_card_ref": ""}
    office.take(record("1"))
    office.take(record("1", "r2", fields=moved))
    summary = office.take(record("2", members=[omar, YUSUF]))
    assert summary.findings == {}


def test_batches_do_not_show(office: Office) -> None:
    many = BATCH_RECORDS + 1
    plain = {"consent_given": "yes", "declared_size": "1"}
    summary = office.take(
        *(
            record(str(number), fields=plain, members=[{**YUSUF, "given_name": f"Y{number}"}])
            for number in range(many)
        )
    )
    assert (summary.added, summary.members) == (many, many)
    assert summary.findings == {"head_missing": many}
    numbers = office.one("SELECT count(DISTINCT finding_no), max(finding_no) FROM registry.finding")
    assert numbers == (many, many)


def submission(record_id: int, name: str) -> dict[str, object]:
    return {
        "_id": record_id, "_uuid": f"u{record_id}", "meta/instanceID": f"uuid:i{record_id}",
        "_submission_time": "2026-03-01T08:00:00", "consent/consent_given": "yes",
        "household/declared_size": "1",
        "members": [{"members/given_name": name, "members/relationship": "head"}],
    }  # fmt: skip


@pytest.fixture
def march(tmp_path: Path) -> Path:
    path = tmp_path / "march.json"
    results = [submission(1, "Layla"), submission(2, "Yusuf")]
    path.write_text(json.dumps({"count": 2, "next": None, "previous": None, "results": results}))
    return path


def test_same_file_again_answers_with_the_first_import(
    database: Database, office: Office, march: Path
) -> None:
    clock, engine = FixedClock(AT), database.engine()
    first = import_file(engine, VAULT, clock, office.amal, march)
    before = row_counts(office)
    copied = march.rename(march.with_name("a copy.json"))
    again = import_file(engine, VAULT, clock, office.amal, copied)
    assert (first.added, first.members, first.repeated) == (2, 2, False)
    assert again.repeated
    assert (again.import_id, again.added, again.findings) == (
        first.import_id,
        first.added,
        first.findings,
    )
    assert str(again) == (
        f"march.json was imported before ({first.import_id}, 2 records): nothing was changed."
    )
    office.conn.rollback()
    assert row_counts(office) == before


def test_import_needs_the_role_and_the_right_key(
    database: Database, office: Office, march: Path
) -> None:
    clock, engine = FixedClock(AT), database.engine()
    with pytest.raises(Refusal, match="role_missing"):
        import_file(engine, VAULT, clock, office.rana, march)
    with pytest.raises(Refusal, match="master_key_differs"):
        import_file(engine, Vault(bytes(32)), clock, office.amal, march)
    assert set(row_counts(office).values()) == {0}


def test_import_killed_in_the_middle_leaves_nothing(database: Database, office: Office) -> None:
    watcher = database.connect()

    def records(pid: int) -> Iterator[Record]:
        for number in range(3 * BATCH_RECORDS):
            if number == 2 * BATCH_RECORDS + 5:
                killed = watcher.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
                assert killed.fetchone() == (True,)
            yield record(str(number), members=[LAYLA])

    origin = Origin("cva_registration", "march.json", bytes(32), TYPES)
    with (
        pytest.raises(Refusal, match="database_gone"),
        transaction(database.engine()) as conn,
    ):
        take(conn, VAULT, origin, records(conn.info.backend_pid), (office.amal, AT))
    assert set(row_counts(office).values()) == {0}
    assert office.take(record()).added == 1


@pytest.mark.samples
def test_mobile_money_sample(database: Database, office: Office, samples: Path) -> None:
    path = samples / "registrations" / "mobile-money-999.csv"
    summary = import_sample(database, office, path, "mobile_money_999")
    assert (summary.added, summary.refused, summary.members, summary.declared_people) == (
        999, 0, 999, 3955,
    )  # fmt: skip
    shared = office.conn.execute(
        "SELECT i.token, count(DISTINCT f.household_id) FROM registry.finding f"
        " JOIN registry.live USING (household_id) JOIN registry.identifier i USING (version_id)"
        " WHERE f.code = 'phone_shared' AND i.kind = 'phone' GROUP BY 1"
    ).fetchall()
    assert [count for _, count in shared] == [2, 2]
    assert summary.findings["name_shared"] == 23
    assert office.one("SELECT count(*) FROM registry.open_pair") == (0,)
    score = "SELECT count(*) FROM registry.live WHERE (answers ->> 'vulnerability_score')::int >= 2"
    assert office.one(score) == (630,)


@pytest.mark.samples
@pytest.mark.parametrize(
    ("file", "form", "households", "members"),
    [
        ("robotoolbox__nested_roster__data.json", "nested_roster", 3, 7),
        ("formpack__grouped_repeatable.names.xlsx", "grouped_repeatable", 6, 13),
    ],
)
def test_kobo_samples(
    database: Database,
    office: Office,
    samples: Path,
    file: str,
    form: str,
    households: int,
    members: int,
) -> None:
    summary = import_sample(database, office, samples / "kobo" / file, form)
    assert (summary.added, summary.refused, summary.members) == (households, 0, members)
    again = import_sample(database, office, samples / "kobo" / file, form)
    assert again.repeated
    assert office.one("SELECT count(*) FROM registry.member") == (members,)


@pytest.mark.samples
def test_export_with_labels_is_refused_whole(
    database: Database, office: Office, samples: Path
) -> None:
    path = samples / "kobo" / "formpack__grouped_repeatable.labels.xlsx"
    with pytest.raises(Refusal, match="label_export"):
        import_sample(database, office, path, "grouped_repeatable")
    assert set(row_counts(office).values()) == {0}


@pytest.mark.samples
def test_dump_of_the_database_holds_nothing_personal(
    database: Database, office: Office, samples: Path
) -> None:
    path = samples / "registrations" / "mobile-money-999.csv"
    import_sample(database, office, path, "mobile_money_999")
    omar = {**LAYLA, "given_name": "Omar", "id_number": "99123456742"}  # doubtful: shown masked
    office.take(record(), record("2", members=[omar]))
    office.conn.commit()
    dump = subprocess.run(
        [tool("pg_dump"), "--dbname", database.address(Role.OWNER)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert dump.count("kisumu") >= 999  # what is clear by design is there
    words = set(re.findall(r"[\w+-]+", dump))
    secret = {"99123456740", "99123456742", "+905321234567", "TR330006100519786457841326",
              "VC-00001234", "Layla", "Haddad", "Omar", "Sokak"}  # fmt: skip
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert len(rows) == 999
    for row in rows:
        secret |= {row["phoneNumber"], row["nationalId"]}
        for hidden in (row["fullName"], row["fullName"].encode().hex()):
            assert hidden not in dump
    assert words & secret == set()


def test_identifiers_of_one_import_stand_in_its_order(office: Office) -> None:
    office.take(*(record(f"r{number}") for number in range(20)))
    found = [
        household_id
        for (household_id,) in office.conn.execute(
            "SELECT household_id FROM registry.version ORDER BY version_id"
        )
    ]
    assert len(set(found)) == 20
    assert found == sorted(found)


def test_ascending_bytes_of_two_imports_are_different() -> None:
    one, other = Ascending(), Ascending()
    assert [len(one(10)), len(other(10))] == [10, 10]
    assert one(10) < one(10)
    assert one(10) != other(10)


def test_python_collects_as_before_after_an_import_however_it_ends(office: Office) -> None:
    before = gc.get_threshold()
    office.take(record())
    assert gc.get_threshold() == before
    with few_collections():
        assert gc.get_threshold() > before
    with pytest.raises(psycopg.Error), few_collections():
        office.conn.execute("SELECT torn")
    assert gc.get_threshold() == before
