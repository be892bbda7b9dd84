"""The embedded server: closed to others, started once, back after every kind of end."""

import os
import pwd
import select
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cva.database import cluster as cluster_module
from cva.database import programs
from cva.database.cluster import Cluster, Role
from cva.database.configuration import Tuning
from ledgers.problems import Refusal
from tests.databases import plain, removed_at_the_end

ROOT = Path(__file__).parents[2]
SMALL = Tuning(shared_buffers="16MB")
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another account")


def without_password(cluster: Cluster, role: Role) -> str:
    return f"host={cluster.socket} port=5432 user={role} dbname=cva"


def mode(path: Path) -> str:
    return stat.filemode(path.lstat().st_mode)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A durable cluster that the tests of this module may kill, as long as they start it again."""
    cluster = Cluster(tmp_path_factory.mktemp("running") / "home", SMALL)
    with removed_at_the_end(cluster.home):
        cluster.ensure_running()
        yield cluster


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    with removed_at_the_end(tmp_path / "home"):
        yield tmp_path / "home"


def test_a_new_cluster_is_closed_and_no_parent_changes(tmp_path: Path) -> None:
    parent = tmp_path / "open to all"
    parent.mkdir(mode=0o755)
    parents = [parent, *parent.parents, *(p for p in Path("/var/lib/x").parents if p.exists())]
    before = [mode(path) for path in parents]
    cluster = Cluster(parent / "home", SMALL)
    cluster.ensure_running()
    inside = [
        path
        for folder in (cluster.home, cluster.folder, cluster.server_folder, cluster.socket)
        for path in (folder, *folder.rglob("*"))
    ]
    open_to_others = [path for path in inside if path.exists() and path.stat().st_mode & 0o077]
    after = [mode(path) for path in parents]
    passwords = {path.name: mode(path) for path in (cluster.folder / "passwords").iterdir()}
    cluster.destroy()
    assert open_to_others == []
    assert after == before
    assert passwords == {role.value: "-rw-------" for role in Role}
    assert not cluster.server_folder.exists()


def test_the_server_listens_on_its_socket_only_and_asks_everybody_for_a_password(
    running: Cluster,
) -> None:
    with psycopg.connect(plain(running.url(Role.OWNER))) as owner:
        listening = owner.execute("SHOW listen_addresses").fetchone()
    assert listening == ("",)
    for role in Role:
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(without_password(running, role))
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(without_password(running, role), password="guessed")


@root_only
def test_another_account_of_the_machine_cannot_log_in(running: Cluster, tmp_path: Path) -> None:
    names = [name for name in ("nobody", "daemon") if name != running.account.name]
    entry = pwd.getpwnam(names[0])
    stranger = programs.Account(names[0], entry.pw_uid, entry.pw_gid, switch=True)
    public = Path("/tmp")  # noqa: S108 - where a stranger may stand; nothing is written
    psql = programs.server_programs(stranger, tmp_path) / "psql"
    assert programs.run(stranger, [psql, "--version"], public).stdout.startswith("psql")
    for role in Role:
        address = without_password(running, role)
        answer = programs.run(stranger, [psql, "-w", "-c", "SELECT 1", address], public)
        assert answer.returncode != 0
        assert "Permission denied" in answer.stderr
        password = running.folder / "passwords" / role
        assert programs.run(stranger, ["cat", password], public).stdout == ""


@root_only
def test_root_never_runs_the_server(running: Cluster) -> None:
    pid = running.status().pid
    assert Path(f"/proc/{pid}").stat().st_uid == running.account.uid != 0
    assert running.account.name in programs.SERVER_ACCOUNTS


def test_the_application_and_auditors_can_neither_create_nor_drop(running: Cluster) -> None:
    forbidden = [
        "CREATE SCHEMA mine",
        "CREATE TABLE public.mine (n int)",
        "CREATE DATABASE mine",
        "CREATE ROLE mine",
        "DROP SCHEMA public",
        "SET ROLE cva_owner",
        "SET ROLE cva_superuser",
        "SET log_min_messages = 'debug5'",
        "SELECT pg_read_file('PG_VERSION')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ]
    for role in (Role.APP, Role.AUDITOR):
        for statement in forbidden:
            with (
                psycopg.connect(plain(running.url(role)), autocommit=True) as connection,
                pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFile)),
            ):
                connection.execute(statement)
        for database in ("postgres", "template1"):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(plain(running.url(role, database)))


def test_the_database_is_unicode_in_code_point_order(running: Cluster) -> None:
    with psycopg.connect(plain(running.url(Role.OWNER))) as owner:
        row = owner.execute(
            "SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale, lower('IĞDIR'),"
            " current_setting('jit'), current_setting('TimeZone'), current_setting('fsync')"
            " FROM pg_database WHERE datname = 'cva'"
        ).fetchone()
    assert row == ("UTF8", "b", "C.UTF-8", "iğdir", "off", "UTC", "on")


def test_a_killed_server_comes_back_with_everything_committed(running: Cluster) -> None:
    with psycopg.connect(plain(running.url(Role.OWNER))) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        owner.execute("INSERT INTO kept VALUES (7)")
    killed = running.status().pid
    assert killed is not None
    end = os.pidfd_open(killed)
    os.kill(killed, signal.SIGKILL)
    select.select([end], [], [])
    os.close(end)
    running.ensure_running()
    assert running.status().pid not in (None, killed)
    with psycopg.connect(plain(running.url(Role.OWNER))) as owner:
        assert owner.execute("SELECT n FROM kept").fetchall() == [(7,)]


def test_a_pid_file_that_names_another_program_is_no_obstacle(running: Cluster) -> None:
    running.stop()
    assert running.status().pid is None
    stale = running.data / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{running.data}\n1\n5432\n\n\n1 1\nready   \n")
    assert running.status().pid is None
    running.ensure_running()
    assert running.status().ready
    assert running.status().pid != os.getpid()


def test_two_starts_at_once_give_one_server(home: Path) -> None:
    start = (
        "import sys; from pathlib import Path; from cva.database.cluster import Cluster;"
        " c = Cluster(Path(sys.argv[1])); c.ensure_running(); print(c.status().pid)"
    )
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", start, str(home)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(2)
    ]
    pids = [process.communicate()[0].strip() for process in starts]
    logged = "".join(path.read_text() for path in Cluster(home).log.iterdir())
    assert [process.returncode for process in starts] == [0, 0]
    assert pids == [str(Cluster(home).status().pid)] * 2
    assert logged.count("starting PostgreSQL") == 1


def test_nothing_of_a_statement_reaches_the_log(running: Cluster) -> None:
    secret = "05321234567"
    with psycopg.connect(plain(running.url(Role.OWNER)), autocommit=True) as owner:
        owner.execute("CREATE TABLE IF NOT EXISTS phones (phone text UNIQUE, day date)")
        for statement, values in [
            ("INSERT INTO phones VALUES (%s), (%s)", [secret, secret]),
            ("INSERT INTO phones (day) VALUES (%s)", [secret]),
            (f"SELECT {secret}::date, '{secret}'::int / 0", None),
            (f"DO $$ BEGIN RAISE WARNING '{secret}'; END $$", None),
            (f"DO $$ BEGIN RAISE EXCEPTION '{secret}'; END $$", None),
        ]:
            try:
                owner.execute(statement, values)
            except psycopg.Error as error:
                assert error.sqlstate  # noqa: PT017 - the warning in the list raises nothing
    logged = b"".join(path.read_bytes() for path in running.log.iterdir())
    assert b"ready to accept connections" in logged
    assert secret.encode() not in logged


def test_a_long_data_folder_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("long" * 20) / "with, comma" / "home"
    deep.parent.mkdir(parents=True)
    own = Cluster(deep, SMALL)
    own.__dict__["account"] = programs.Account("me", os.geteuid(), os.getegid(), switch=False)
    assert own.server_folder == deep / "database" / "server"
    assert len(os.fsencode(own.socket / ".s.PGSQL.5432")) <= 107
    assert own.socket.parent == Path("/tmp")  # noqa: S108 - the place is what is tested
    cluster = Cluster(deep, SMALL)
    cluster.ensure_running()
    with psycopg.connect(plain(cluster.url(Role.APP))) as app:
        assert app.execute("SELECT current_user").fetchone() == ("cva_app",)
    cluster.destroy()
    assert not cluster.socket.exists()


def test_a_folder_open_to_others_is_refused_and_left_as_it_is(home: Path) -> None:
    folder = home / "database"
    folder.mkdir(parents=True, mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(Refusal, match="database_folder_not_ours"):
        Cluster(home).ensure_running()
    assert mode(folder) == "drwxr-xr-x"


def test_a_server_that_cannot_be_made_leaves_no_data(home: Path) -> None:
    with pytest.raises(Refusal, match=r"database_not_made: .*\(postgres failed\)"):
        Cluster(home, Tuning(shared_buffers="much")).ensure_running()
    assert not Cluster(home).data.exists()
    Cluster(home, SMALL).ensure_running()
    assert Cluster(home).status().ready


def test_a_damaged_or_strange_folder_is_said_plainly(home: Path) -> None:
    cluster = Cluster(home, SMALL)
    cluster.ensure_running()
    cluster.stop()
    cluster.data.rename(cluster.server_folder / "elsewhere")
    with pytest.raises(Refusal, match="database_data_missing"):
        cluster.ensure_running()
    (cluster.server_folder / "elsewhere").rename(cluster.data)
    passwords = cluster.folder / "passwords"
    (passwords / "cva_auditor").unlink()
    with pytest.raises(Refusal, match=r"database_passwords_missing: .*cva_auditor"):
        cluster.url(Role.AUDITOR)
    (cluster.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(Refusal, match=r"database_other_version: .*17; this is 18"):
        cluster.ensure_running()
    (cluster.data / "PG_VERSION").write_text("18\n")
    (cluster.data / "global" / "pg_control").unlink()
    with pytest.raises(Refusal, match="database_not_started"):
        cluster.ensure_running()


def test_a_server_that_does_not_stop_is_said_plainly(
    running: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_module, "STOP_SECONDS_MAX", 1)
    pid = running.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Refusal, match="database_not_stopped"):
            running.stop()
    finally:
        os.kill(pid, signal.SIGCONT)
    running.stop()
    assert running.status() == cluster_module.Status(
        None, ready=False, folder=running.server_folder
    )
    running.ensure_running()


def test_missing_programs_and_accounts_are_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WHEEL", "no_such_wheel")
    with pytest.raises(Refusal, match="database_programs_missing"):
        programs.tool("psql")
    monkeypatch.setattr(programs, "WHEEL", "pytest")
    with pytest.raises(Refusal, match="database_programs_missing"):
        programs.tool("psql")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs, "SERVER_ACCOUNTS", ("no-such-account",))
    with pytest.raises(Refusal, match=r"database_account_missing: .*neither no-such-account"):
        programs.server_account()
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(Refusal, match=r"database_account_missing: .*54321 has no name"):
        programs.server_account()


@root_only
def test_an_account_that_cannot_read_the_programs_gets_a_copy(tmp_path: Path) -> None:
    site = tmp_path / "closed" / "site"
    shutil.copytree(programs.wheel_folder(), site / programs.WHEEL, symlinks=True)
    shutil.copytree(
        programs.wheel_folder().with_name(f"{programs.WHEEL}.libs"), site / f"{programs.WHEEL}.libs"
    )
    (tmp_path / "closed").chmod(0o700)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path;"
        " from cva.database.cluster import Cluster; from cva.database import programs;"
        " c = Cluster(Path(sys.argv[2])); c.ensure_running();"
        " print(programs.server_programs(c.account, c.server_folder), c.status().ready);"
        " c.destroy()"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script, str(site), str(tmp_path / "home")],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    folder = Cluster(tmp_path / "home").server_folder
    assert answer.stdout.startswith(f"{folder}/programs-")
    assert answer.stdout.endswith("bin True\n")
    assert not folder.exists()
