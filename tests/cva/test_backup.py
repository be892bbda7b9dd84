"""Backups: one moment of everything in one sealed file; back verified, or not at all."""

import hashlib
import json
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from cva import backup, vault
from cva.backup.content import first_object, manifest_of
from cva.backup.making import _client
from cva.backup.sealing import MAGIC, Kind, SealedWriter, opened, whole_file
from cva.database.cluster import Cluster, Role
from cva.database.connect import reading, transaction
from cva.database.programs import tool
from cva.payments.planning import Plan
from cva.reports.reach import Reach, reach
from cva.settings import Settings
from cva.vault import Vault
from ledgers.problems import Refusal
from tests.cva.payments.agency import VAULT, Agency, agency_with
from tests.cva.payments.conftest import HOUSES
from tests.databases import Database, fresh_database, removed_at_the_end

Change = Callable[[backup.Manifest], backup.Manifest]
AT = datetime(2026, 3, 5, 9, tzinfo=UTC)
STRANGER = Vault(bytes(32))
MASTER = bytes(range(32))


def settings_at(database: Database, folder: Path, owner: Role = Role.OWNER) -> Settings:
    return Settings(
        home=folder / "data",
        key_file=folder / "keys" / "master.key",
        database_url=database.address(Role.APP),
        owner_database_url=database.address(owner),
    )


def whole_dump(address: str) -> list[str]:
    """Every definition, right, row and counter of a database, in an order of its own."""
    command = [tool("pg_dump"), f"--dbname={address}", "--restrict-key=tests"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return sorted(done.stdout.splitlines())


def typed(environment: dict[str, str], *words: str, ends: int = 0) -> str:
    """What a command says: its answer, or why it refuses."""
    command = [Path(sys.executable).parent / "cva", *words]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == ends, done.stdout + done.stderr
    return done.stderr if ends else done.stdout


def is_empty(database: Database) -> bool:
    with psycopg.connect(database.address(Role.SUPERUSER)) as conn:
        return first_object(conn) is None


def reached(database: Database) -> Reach:
    with reading(database.engine()) as conn:
        return reach(conn, date(2026, 1, 1), date(2026, 12, 31))


@dataclass
class Made:
    """A played caseload and the backup of it."""

    agency: Agency
    plan: Plan
    settings: Settings
    file: Path
    manifest: backup.Manifest

    @property
    def database(self) -> Database:
        return self.agency.database


@pytest.fixture(scope="module")
def made(
    cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("made")
    for database in fresh_database(cluster, template):
        agency = agency_with(database, folder, "card_processor", HOUSES)
        plan = agency.released(agency.prepare())
        agency.send(plan)
        with agency.processor() as far:
            far.run_once()
        agency.collect()
        agency.settle(plan)
        settings = settings_at(database, folder)
        file = folder / "march.backup"
        yield Made(agency, plan, settings, file, backup.make(settings, VAULT, file, AT))


@pytest.fixture
def small(database: Database, tmp_path: Path) -> Settings:
    """A database that was set up, and holds nothing yet."""
    with transaction(database.engine()) as conn:
        vault.bind(conn, VAULT, AT)
    return settings_at(database, tmp_path)


@contextmanager
def target(cluster: Cluster, folder: Path) -> Iterator[tuple[Database, Settings]]:
    """Another empty database on the tests' server."""
    for database in fresh_database(cluster, "template1"):
        yield database, settings_at(database, folder)


def resealed(
    source: Path,
    copy: Path,
    change: Change,
    dump: bytes = b"",
) -> Path:
    """A backup as another program could have made it: with another manifest, or another dump."""
    with opened(source, VAULT) as sealed, copy.open("wb") as out:
        writer = SealedWriter(out, VAULT)
        for kind, content in sealed.chunks():
            if kind is Kind.MANIFEST:
                writer.finish(change(manifest_of(content)).text())
            else:
                writer.add(dump or content)
    return copy


# --- a copy is the same ---


def test_a_backup_says_what_it_holds(made: Made) -> None:
    content = made.manifest.content
    counted = {table: made.agency.one(f"SELECT count(*) FROM {table}") for table in content.rows}
    tables = made.agency.one(
        "SELECT count(*) FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)'"
    )
    accounts = [[code, "TRY", *sums] for code, *sums in made.agency.trial_balance()]
    canonical = json.dumps({"accounts": accounts}, separators=(",", ":")).encode()

    assert content == backup.Content("0001", counted, hashlib.sha256(canonical).hexdigest(), {})
    assert len(counted) == tables
    assert (counted["registry.household"], counted["payments.line"]) == (6, 6)
    assert (made.manifest.made_at, made.manifest.postgresql) == (AT, "18.4")
    with opened(made.file, VAULT) as sealed:
        dump = b"".join(sealed.dump())
    digest = hashlib.sha256(dump).hexdigest()
    assert (made.manifest.dump_bytes, made.manifest.dump_sha256) == (len(dump), digest)


def test_restored_database_is_the_same_to_the_last_right_and_row(
    made: Made, bare: Database, tmp_path: Path
) -> None:
    restored = backup.restore(settings_at(bare, tmp_path), VAULT, made.file)

    assert restored == made.manifest
    assert whole_dump(bare.address(Role.OWNER)) == whole_dump(made.database.address(Role.OWNER))
    copy = replace(made.agency, database=bare)
    decisions = "SELECT * FROM assessment.decision ORDER BY household_id"
    assert copy.rows(decisions) == made.agency.rows(decisions) != []
    assert copy.trial_balance() == made.agency.trial_balance() != []
    assert reached(bare) == reached(made.database)
    assert reached(bare).totals.households > 0


def test_work_goes_on_in_a_restored_database(made: Made, bare: Database, tmp_path: Path) -> None:
    backup.restore(settings_at(bare, tmp_path), VAULT, made.file)
    copy = replace(made.agency, database=bare)

    for table in ("books.transfer", "payments.line", "registry.version"):
        with (
            pytest.raises(Refusal, match="append_only"),
            transaction(bare.engine(Role.OWNER)) as owner,
        ):
            owner.execute(f"DELETE FROM {table}")
    # Cards that were refused are paid again, from the preparation to the last answer.
    plan = copy.released(copy.follow_up(made.plan))
    assert set(copy.states(plan).values()) == {"pending"}
    copy.check_money()
    with (
        pytest.raises(Refusal, match="database_not_permitted"),
        reading(bare.engine(Role.AUDITOR)) as auditor,
    ):
        auditor.execute("SELECT * FROM registry.household_key")


def without_jobs(dump: list[str]) -> list[str]:
    return [line for line in dump if not line.startswith("job_")]


def test_backup_typed_on_a_server_is_restored_into_a_new_data_folder(
    made: Made, environment: dict[str, str], tmp_path: Path
) -> None:
    file, key_file = tmp_path / "typed.backup", tmp_path / "keys" / "master.key"
    vault.write_key_file(key_file, MASTER)
    there = environment | {
        "DATABASE_URL": made.database.address(Role.APP),
        "CVA_OWNER_DATABASE_URL": made.database.address(Role.OWNER),
    }
    here = {name: text for name, text in environment.items() if "DATABASE_URL" not in name}
    (tmp_path / "data").mkdir(mode=0o700)

    with removed_at_the_end(tmp_path / "data"):
        said = json.loads(typed(there, "backup", str(file), "--format", "json"))
        again = json.loads(typed(here, "restore", str(file), "--format", "json"))
        typed(here, "doctor")
        address = Cluster(tmp_path / "data").url(Role.OWNER)
        plain = address.set(drivername="postgresql").render_as_string(hide_password=False)
        restored = whole_dump(plain)
        refused = typed(here, "restore", str(file), ends=1)

    assert said == again
    told = {row["what"]: row["value"] for row in said}
    assert told["trial balance"] == made.manifest.content.trial_balance
    # Within its own copy the backup has begun and not ended.
    original = whole_dump(made.database.address(Role.OWNER))
    assert without_jobs(restored) == without_jobs(original)
    assert "restore_target_not_empty" in refused
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_backup_is_one_moment_while_others_write(
    made: Made, cluster: Cluster, bare: Database, tmp_path: Path
) -> None:
    backup.restore(settings_at(bare, tmp_path), VAULT, made.file)
    copy, ended = replace(made.agency, database=bare), threading.Event()

    def keep_funding() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            copy.fund("budget_allotted", key=f"budget {number}")

    writer = threading.Thread(target=keep_funding)
    writer.start()
    try:
        said = backup.make(settings_at(bare, tmp_path), VAULT, tmp_path / "busy", AT)
    finally:
        ended.set()
        writer.join()
    with target(cluster, tmp_path) as (_, settings):
        assert backup.restore(settings, VAULT, tmp_path / "busy") == said
    assert copy.one("SELECT count(*) FROM books.entry") > said.content.rows["books.entry"]


def test_unsound_books_are_kept_as_they_are_and_said_to_be_unsound(
    made: Made, cluster: Cluster, bare: Database, tmp_path: Path
) -> None:
    backup.restore(settings_at(bare, tmp_path), VAULT, made.file)
    with bare.connect(Role.OWNER) as owner:
        owner.execute("UPDATE books.balance SET posted_debit = posted_debit + 1")

    said = backup.make(settings_at(bare, tmp_path), VAULT, tmp_path / "unsound", AT)

    with target(cluster, tmp_path) as (_, settings):
        assert backup.restore(settings, VAULT, tmp_path / "unsound") == said
    assert list(said.content.wrong) == ["the balances kept are the fold of the log"]


def test_superuser_restores_into_a_database_that_becomes_the_owners(
    made: Made, bare: Database, tmp_path: Path
) -> None:
    with psycopg.connect(bare.address(Role.SUPERUSER)) as superuser:
        superuser.execute(f"ALTER DATABASE {bare.name} OWNER TO cva_superuser")

    backup.restore(settings_at(bare, tmp_path, Role.SUPERUSER), VAULT, made.file)

    owners = bare.connect().execute(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'books'"
    )
    assert owners.fetchall() == [("cva_owner",)]
    assert replace(made.agency, database=bare).trial_balance() == made.agency.trial_balance()


# --- nobody reads it ---


def test_nothing_can_be_read_in_the_file(made: Made) -> None:
    content = made.file.read_bytes()
    names = {part for house in HOUSES for part in house.name.split()}
    cards = {house.card for house in HOUSES if house.card}
    clear = {"Haliliye", "TR-63", "household", "cva_owner", "PGDMP", "trial_balance", "kerem"}

    assert [word for word in names | cards | clear if word.encode() in content] == []
    assert MASTER not in content
    assert content.startswith(MAGIC)


def test_pg_dump_gets_the_password_where_nobody_sees_it() -> None:
    url = make_url("postgresql+psycopg://cva_owner:s3cret@db.example:5433/cva?sslmode=verify-full")

    where, environment = _client(url)

    assert "s3cret" not in where
    assert sorted(where.split()) == [
        "dbname=cva", "host=db.example", "port=5433", "sslmode=verify-full", "user=cva_owner",
    ]  # fmt: skip
    assert environment["PGPASSWORD"] == "s3cret"


# --- damage ---

PIECES = (b"one " * 9, b"two " * 9, b"three")


def sealed_pieces(key: Vault = VAULT) -> bytes:
    out = BytesIO()
    writer = SealedWriter(out, key)
    for piece in PIECES:
        writer.add(piece)
    writer.finish(b"{}")
    return out.getvalue()


def chunks_of(content: bytes) -> list[bytes]:
    """The header, then the chunks as they stand in the file."""
    start = len(MAGIC) + 48
    parts = [content[:start]]
    while start < len(content):
        end = start + 5 + int.from_bytes(content[start + 1 : start + 5])
        parts.append(content[start:end])
        start = end
    return parts


def unsealed(content: bytes, folder: Path) -> list[tuple[Kind, bytes]]:
    path = folder / "pieces"
    path.write_bytes(content)
    with opened(path, VAULT) as sealed:
        return list(sealed.chunks())


def damaged_chunk(content: bytes, folder: Path) -> int:
    with pytest.raises(Refusal) as refused:
        unsealed(content, folder)
    assert refused.value.problem.code == "backup_damaged"
    return int(str(refused.value.facts["chunk"]))


def test_pieces_come_out_as_they_went_in(tmp_path: Path) -> None:
    expected = [*((Kind.DUMP, piece) for piece in PIECES), (Kind.MANIFEST, b"{}")]
    assert unsealed(sealed_pieces(), tmp_path) == expected


def test_every_changed_bit_is_found(tmp_path: Path) -> None:
    whole = sealed_pieces()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        with pytest.raises(Refusal, match="backup_"):
            unsealed(bytes(changed), tmp_path)


def test_every_cut_is_found(tmp_path: Path) -> None:
    whole = sealed_pieces()
    for length in range(len(whole)):
        with pytest.raises(Refusal, match="backup_"):
            unsealed(whole[:length], tmp_path)


def test_damage_is_named_by_its_chunk(tmp_path: Path) -> None:
    header, one, two, three, end = chunks_of(sealed_pieces())
    _, _, stranger, _, other_end = chunks_of(sealed_pieces())
    damages = {
        "swapped": (header + two + one + three + end, 1),
        "repeated": (header + one + one + two + three + end, 2),
        "left out": (header + one + three + end, 2),
        "of another backup": (header + one + stranger + three + end, 2),
        "ended early": (header + one + end, 2),
        "the end of another backup": (header + one + two + three + other_end, 4),
        "without its end": (header + one + two + three, 4),
        "cut within": (header + one + two[:-1], 2),
        "of impossible length": (header + one + b"\0\xff\xff\xff\xff" + two[5:], 2),
        "followed by something": (header + one + two + three + end + b"\0", 5),
    }
    found = {name: damaged_chunk(content, tmp_path) for name, (content, _) in damages.items()}
    assert found == {name: chunk for name, (_, chunk) in damages.items()}


def test_damaged_backup_is_refused_before_the_database_is_touched(
    made: Made, bare: Database, tmp_path: Path
) -> None:
    flipped = bytearray(made.file.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    copy = tmp_path / "flipped"
    copy.write_bytes(flipped)

    with pytest.raises(Refusal, match=r"backup_damaged: Chunk 1 of"):
        backup.restore(settings_at(bare, tmp_path), VAULT, copy)

    assert is_empty(bare)


# --- refused before anything is written ---


def test_another_key_opens_nothing_and_starts_nothing(made: Made, tmp_path: Path) -> None:
    nowhere = Settings(home=tmp_path / "data", key_file=tmp_path / "keys" / "master.key")

    with pytest.raises(Refusal, match="backup_key_differs"):
        backup.restore(nowhere, STRANGER, made.file)
    with pytest.raises(Refusal, match="master_key_differs"):
        backup.make(made.settings, STRANGER, tmp_path / "strange", AT)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PGDMP", "backup_unrecognised"),
        (b"", "backup_unrecognised"),
        (b"cva backup 2\n" + bytes(99), "backup_newer"),
        (None, "backup_not_read"),
    ],
)
def test_a_file_that_is_no_backup_of_ours_is_refused(
    tmp_path: Path, content: bytes | None, code: str
) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    nowhere = Settings(home=tmp_path / "data", key_file=tmp_path / "keys" / "master.key")

    with pytest.raises(Refusal, match=code):
        backup.restore(nowhere, VAULT, tmp_path / "file")

    assert not (tmp_path / "data").exists()


def with_revision(revision: str) -> Change:
    return lambda said: replace(said, content=replace(said.content, revision=revision))


def with_a_line_more(said: backup.Manifest) -> backup.Manifest:
    rows = {**said.content.rows, "payments.line": said.content.rows["payments.line"] + 1}
    return replace(said, content=replace(said.content, rows=rows, trial_balance="0" * 64))


def of_dump(dump: bytes) -> Change:
    digest = hashlib.sha256(dump).hexdigest()
    return lambda said: replace(said, dump_bytes=len(dump), dump_sha256=digest)


GARBAGE = b"PGDMP, and then nothing that pg_restore knows"


@pytest.mark.parametrize(
    ("change", "dump", "refusal"),
    [
        (with_revision("9999"), b"", r"backup_newer: .*0.1.0, revision 9999"),
        (with_a_line_more, b"", "restore_differs: .* the rows of payments.line, the trial balance"),
        (of_dump(b"another"), b"", "backup_unrecognised"),
        (of_dump(GARBAGE), GARBAGE, "restore_dump_unreadable"),
    ],
    ids=["newer", "differs", "another dump", "no dump"],
)
def test_what_does_not_agree_leaves_the_database_empty(
    made: Made, bare: Database, tmp_path: Path, change: Change, dump: bytes, refusal: str
) -> None:  # fmt: skip
    copy = resealed(made.file, tmp_path / "copy", change, dump)

    with pytest.raises(Refusal, match=refusal):
        backup.restore(settings_at(bare, tmp_path), VAULT, copy)

    assert is_empty(bare)
    backup.restore(settings_at(bare, tmp_path), VAULT, made.file)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE TABLE public.theirs ()", "public.theirs"),
        ("CREATE SCHEMA theirs", "theirs"),
        ("CREATE FUNCTION public.theirs() RETURNS integer RETURN 1", "public.theirs"),
    ],
    ids=["table", "schema", "function"],
)
def test_a_database_with_something_in_it_is_refused(
    made: Made, bare: Database, tmp_path: Path, statement: str, named: str
) -> None:
    with bare.connect(Role.OWNER) as owner:
        owner.execute(statement)

    with pytest.raises(Refusal, match=rf"restore_target_not_empty: .*\(there is {named}\)"):
        backup.restore(settings_at(bare, tmp_path), VAULT, made.file)


def test_whoever_may_not_make_tables_is_told_what_to_ask_for(
    made: Made, bare: Database, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match="restore_not_as_owner") as refused:
        backup.restore(settings_at(bare, tmp_path, Role.APP), VAULT, made.file)

    assert refused.value.remedy == (
        f'Ask the server\'s administrator to run: ALTER DATABASE "{bare.name}" OWNER TO'
        ' "cva_owner"; GRANT "cva_owner" TO "cva_app";'
    )
    assert is_empty(bare)


def test_a_right_of_somebody_who_is_not_there_is_refused_and_nothing_stays(
    small: Settings, database: Database, bare: Database, tmp_path: Path
) -> None:
    with psycopg.connect(database.address(Role.SUPERUSER), autocommit=True) as superuser:
        superuser.execute("CREATE ROLE reporting_tool")
        superuser.execute("GRANT SELECT ON payments.line TO reporting_tool")
        backup.make(small, VAULT, tmp_path / "file", AT)
        superuser.execute("DROP OWNED BY reporting_tool")
        superuser.execute("DROP ROLE reporting_tool")

    with pytest.raises(
        Refusal, match=r'restore_refused_by_server: .*role "reporting_tool" does not exist 42704'
    ):
        backup.restore(settings_at(bare, tmp_path), VAULT, tmp_path / "file")

    assert is_empty(bare)


KILLED = """
import os, signal, sys
from pathlib import Path
from cva import backup
from cva.settings import settings_of
from cva.vault import Vault
calls = []
def told(done, of):
    calls.append(done)
    if len(calls) == 3:  # the file was checked, the tables are made, the first rows are on the way
        os.kill(os.getpid(), signal.SIGKILL)
backup.restore(settings_of(), Vault(bytes(range(32))), Path(sys.argv[1]), told)
"""


def test_a_killed_restore_leaves_nothing_and_can_be_repeated(
    made: Made, bare: Database, environment: dict[str, str], tmp_path: Path
) -> None:
    there = environment | {
        "DATABASE_URL": bare.address(Role.APP),
        "CVA_OWNER_DATABASE_URL": bare.address(Role.OWNER),
    }
    command = [sys.executable, "-c", KILLED, str(made.file)]
    done = subprocess.run(command, env=there, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL

    # The next restore waits until the server has noticed, and finds nothing.
    assert backup.restore(settings_at(bare, tmp_path), VAULT, made.file) == made.manifest


# --- nothing half-written stays ---


def test_a_full_disk_keeps_nothing(made: Made, tmp_path: Path) -> None:
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, usual[1]))
    try:
        with pytest.raises(Refusal, match=r"disk_full: .*/file "):
            backup.make(made.settings, VAULT, tmp_path / "file", AT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)

    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_not_written_where_nobody_can(made: Made, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"backup_not_written: .*No such file or directory"):
        backup.make(made.settings, VAULT, tmp_path / "nowhere" / "file", AT)


def test_a_backup_never_overwrites(made: Made, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("february", encoding="utf-8")

    with pytest.raises(Refusal, match="backup_exists"):
        backup.make(made.settings, VAULT, file, AT)
    late = tmp_path / "late"  # Somebody puts a file there while we write.
    with pytest.raises(Refusal, match="backup_exists"), whole_file(late):
        late.write_text("april", encoding="utf-8")

    texts = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert texts == {"file": "february", "late": "april"}


def test_two_backups_do_not_write_one_file(tmp_path: Path) -> None:
    with whole_file(tmp_path / "file") as first:
        first.write(b"first")
        with pytest.raises(Refusal, match="backup_underway"), whole_file(tmp_path / "file"):
            pass

    assert (tmp_path / "file").read_bytes() == b"first"


def test_what_a_power_cut_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file.part").write_text("the half of a longer backup", encoding="utf-8")

    with whole_file(tmp_path / "file") as out:
        out.write(b"whole")

    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"file": b"whole"}


def test_a_database_that_goes_away_leaves_no_backup(made: Made, tmp_path: Path) -> None:
    def terminate(_done: int, _of: int | None) -> None:
        with psycopg.connect(made.database.address(Role.SUPERUSER)) as superuser:
            superuser.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = 'cva_owner'"
            )

    unreachable = replace(made.settings, owner_database_url="postgresql://x@127.0.0.1:1/cva")

    with pytest.raises(Refusal, match="database_gone"):
        backup.make(made.settings, VAULT, tmp_path / "file", AT, terminate)
    with pytest.raises(Refusal, match="database_gone"):
        backup.make(unreachable, VAULT, tmp_path / "file", AT)

    assert list(tmp_path.iterdir()) == []


def test_what_the_owner_may_not_read_is_no_backup(
    small: Settings, database: Database, tmp_path: Path
) -> None:
    with psycopg.connect(database.address(Role.SUPERUSER)) as superuser:
        superuser.execute("CREATE SEQUENCE books.theirs")

    with pytest.raises(Refusal, match=r"backup_dump_failed: .*theirs"):
        backup.make(small, VAULT, tmp_path / "file", AT)

    assert list(tmp_path.iterdir()) == []


def test_a_database_that_was_never_set_up_is_not_backed_up(bare: Database, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"database_out_of_date: .* revision none"):
        backup.make(settings_at(bare, tmp_path), VAULT, tmp_path / "file", AT)

    assert list(tmp_path.iterdir()) == []
