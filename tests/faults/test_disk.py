"""A full disk: the command is refused and says so, nothing of it is kept, and it goes on later."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb
import pytest

from cva import disk
from cva.database import migrations
from cva.database.cluster import Cluster, Role
from cva.database.configuration import Tuning
from cva.database.connect import engine_at
from tests.faults.canonical import differences
from tests.faults.commands import begun
from tests.faults.path import Played, Site, Step, found, moment_of

# Files no longer than this many bytes: the snapshot, the decisions, and what is spilt meet it.
LIMITS = (1_000, 3_000, 8_000, 12_000)


@pytest.mark.parametrize("limit", LIMITS)
def test_a_full_disk_below_the_work_folder_stops_an_assessment(played: Played, limit: int) -> None:
    before = played.ends[Step.IMPORT]
    with played.before(Step.ASSESS) as site:
        with site.begun(Step.ASSESS, file_bytes_max=limit) as command:
            ended = command.ended()

        assert (ended.code, ended.refused_with) == (1, "disk_full")
        assert "Make room" in ended.err
        assert differences(site.state(), before) == {}
        assert site.left_over() == []
        assert site.again(Step.ASSESS).code == 0
        assert differences(site.state(), played.ends[Step.ASSESS]) == {}


def test_a_full_disk_below_the_work_folder_sends_nothing(played: Played) -> None:
    before = played.ends[Step.RELEASE]
    with played.before(Step.SEND) as site:
        with site.begun(Step.SEND, file_bytes_max=1_000) as command:
            ended = command.ended()

        assert (ended.code, ended.refused_with) == (1, "disk_full")
        assert differences(site.state(), before) == {}
        assert site.left_over() == []
        assert list((site.root / "to-cards").iterdir()) == []
        assert site.again(Step.SEND).code == 0
        assert differences(site.state(), played.ends[Step.SEND]) == {}
        assert site.loads() == played.loads


@contextmanager
def small_disk(folder: Path, size: str, owner: tuple[int, int] | None = None) -> Iterator[None]:
    """A disk of that size at `folder`; only root may have one."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk")
    uid, gid = owner or (0, 0)
    options = f"size={size},mode=0700,uid={uid},gid={gid}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path, leave_bytes: int) -> Path:
    """Fill the disk at `folder` but for so many bytes; return the file that fills it."""
    filler = folder / ".filler"
    free = os.statvfs(folder)
    with filler.open("wb") as file:
        file.truncate(0)
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - leave_bytes)
    return filler


def test_a_full_card_folder_takes_nothing_and_the_next_send_goes_on(played: Played) -> None:
    with played.before(Step.SEND) as site:
        folder = site.root / "to-cards"
        with small_disk(folder, "256k"):
            filler = fill(folder, 8192)
            with site.begun(Step.SEND) as command:
                ended = command.ended()
            assert (ended.code, ended.refused_with) == (1, "files_not_accepted")
            assert "rejected" in ended.out
            assert "rejected (nothing was handed over: No space left on device)" in ended.err
            assert [path.name for path in folder.iterdir()] == [filler.name]
            assert site.loads() == []

            filler.unlink()
            assert site.again(Step.SEND).code == 0
            assert site.loads() == played.loads
            site.check_money()


@pytest.fixture
def own_disk(people: Path, tmp_path: Path) -> Iterator[Site]:
    """An installation whose database has a small disk of its own, ready for registrations."""
    cluster = Cluster(tmp_path / "data", Tuning(shared_buffers="16MB"))
    (tmp_path / "data").mkdir(mode=0o700)
    if not cluster.account.switch:
        pytest.skip("only root mounts a small disk")
    cluster.server_folder.mkdir(mode=0o700, parents=True)
    owner = (cluster.account.uid, cluster.account.gid)
    with ExitStack() as closing:
        closing.callback(cluster.destroy)
        closing.enter_context(small_disk(cluster.server_folder, "400m", owner))
        closing.callback(cluster.stop)
        cluster.ensure_running()
        engine = engine_at(cluster.url(Role.OWNER))
        migrations.upgrade(engine)
        engine.dispose()
        site = Site(cluster, "cva", tmp_path, people, embedded=True)
        found(site)
        yield site


def test_a_full_disk_below_the_database_keeps_nothing_of_an_import(
    own_disk: Site, played: Played
) -> None:
    site = own_disk
    before = site.state()
    filler = fill(site.cluster.server_folder, 64 << 10)
    with site.begun(Step.IMPORT) as command:
        ended = command.ended()

    # The database refuses to grow a table, or stops altogether where it cannot write its log.
    assert (ended.code, ended.refused_with) in [(1, "disk_full"), (1, "database_gone")]
    filler.unlink()
    site.cluster.ensure_running()
    assert differences(site.state(), before) == {}
    again = site.again(Step.IMPORT)
    assert again.code == 0, again.err
    rows = {table: content.total() for table, content in site.state().items()}
    expected = {table: content.total() for table, content in played.ends[Step.IMPORT].items()}
    assert rows == expected


def test_a_full_disk_is_recognised_whoever_meets_it() -> None:
    with pytest.raises(duckdb.IOException) as raised:
        duckdb.execute("COPY (SELECT range FROM range(1000000)) TO '/dev/full' (FORMAT csv)")
    found = disk.refusal_of(raised.value)
    assert found is not None
    assert found.problem.code == "disk_full"
    assert disk.refusal_of(OSError(2, "No such file or directory")) is None
    assert disk.refusal_of(ValueError("No space left on device")) is None


def test_a_full_disk_ends_any_command_with_the_sentence(played: Played) -> None:
    environment = played.site.environment("amal", moment_of(Step.IMPORT))
    with begun(environment, ["household", "form", "/dev/full"]) as command:
        ended = command.ended()
    assert (ended.code, ended.refused_with) == (1, "disk_full")
    assert "Traceback" not in ended.err
