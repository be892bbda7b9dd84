"""kill -9 of the database server in the middle of a command: nothing that was answered is lost."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import pytest

from cva.database import migrations
from cva.database.cluster import Cluster, Role
from cva.database.configuration import Tuning
from cva.database.connect import engine_at
from tests.databases import removed_at_the_end
from tests.faults.canonical import differences
from tests.faults.commands import begun
from tests.faults.conftest import SEEDS, Record
from tests.faults.path import Played, Site, Step, moment_of

STEPS = (Step.RELEASE, Step.SETTLE)
LAST = list(Step).index(Step.SETTLE) + 1


@pytest.fixture(scope="module")
def durable(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The path on a server of its own that keeps what it answered, as people have it."""
    home = Path(tempfile.mkdtemp(prefix="cva-durable-"))
    with removed_at_the_end(home):
        cluster = Cluster(home, Tuning(shared_buffers="64MB"))
        cluster.ensure_running()
        owner = engine_at(cluster.url(Role.OWNER))
        migrations.upgrade(owner)
        owner.dispose()
        root = tmp_path_factory.mktemp("durable")
        site = Site(cluster, "cva", root, people, embedded=True)
        yield Played.undisturbed(site, root / "aside", list(Step)[:LAST])


def kill_server(cluster: Cluster) -> None:
    """Kill the server and everything it started, and see them gone."""
    pid = cluster.status().pid
    assert pid is not None
    server = psutil.Process(pid)
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        process.kill()
    _, alive = psutil.wait_procs(processes, timeout=60)
    assert alive == []


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("step", STEPS)
def test_a_killed_server_loses_nothing_that_was_answered(
    durable: Played, record: Record, step: Step, seed: int
) -> None:
    moment = Random(f"server {step} {seed}").random() * durable.seconds[step]  # noqa: S311 - a moment, no secret
    with durable.before(step) as site:
        with site.begun(step) as command:
            command.process.join(moment)
            at_work = command.process.exitcode is None
            kill_server(site.cluster)
            ended = command.ended()
        record.begins("the server", step, hit=at_work)

        assert (ended.code, ended.refused_with) in [(0, ""), (1, "database_gone")]
        site.cluster.ensure_running()
        if ended.code == 0:
            assert differences(site.state(), durable.ends[step]) == {}
        again = site.again(step)

        assert again.code == 0, again.err
        assert differences(site.state(), durable.ends[step]) == {}
        site.check_money()
        if step is Step.SETTLE:
            assert site.loads() == durable.loads
        record.holds("the server", step)


def test_a_server_that_is_not_there_is_said_plainly(played: Played, tmp_path: Path) -> None:
    with played.before(Step.SETTLE) as site:
        nowhere = site.environment("deniz", moment_of(Step.SETTLE)) | {
            "DATABASE_URL": f"postgresql://cva_app@/cva?host={tmp_path}"
        }
        with begun(nowhere, site.words(Step.SETTLE)) as command:
            ended = command.ended()

        assert (ended.code, ended.refused_with) == (1, "database_gone")
        assert site.again(Step.SETTLE).code == 0
        assert differences(site.state(), played.ends[Step.SETTLE]) == {}
