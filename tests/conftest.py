"""What all tests stand on: a throw-away PostgreSQL, a fresh database each, the samples folder.

* `app`, `owner`, `auditor`: open psycopg connections to this test's own database, by role;
* `database`: the same as URLs, engines and connections, as many as a test wants;
* `settings`, `environment`: what a command needs to work on that database, as an object and as
  environment variables;
* `bare`: an empty database without any schema;
* `cluster`: the server itself (one for the whole run, `fsync` off);
* `samples`: the folder of sample files.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings as hypothesis_settings

from cva.database import migrations
from cva.database.cluster import Cluster, Role
from cva.database.configuration import Tuning
from cva.database.connect import engine_at
from cva.settings import Settings
from tests.databases import Database, create_database, fresh_database, removed_at_the_end

ROOT = Path(__file__).parent.parent
TEMPLATE = "cva_template"

# A slow machine is no wrong answer.
hypothesis_settings.register_profile("cva", deadline=None)
hypothesis_settings.load_profile("cva")


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="cva-tests-"))
    with removed_at_the_end(home):
        running = Cluster(home, Tuning(shared_buffers="64MB", durable=False))
        running.ensure_running()
        yield running


@pytest.fixture(scope="session")
def template(cluster: Cluster) -> str:
    create_database(cluster, TEMPLATE)
    engine = engine_at(cluster.url(Role.OWNER, TEMPLATE))
    migrations.upgrade(engine)
    engine.dispose()
    return TEMPLATE


@pytest.fixture
def database(cluster: Cluster, template: str) -> Iterator[Database]:
    yield from fresh_database(cluster, template)


@pytest.fixture
def bare(cluster: Cluster) -> Iterator[Database]:
    yield from fresh_database(cluster, "template1")


@pytest.fixture
def app(database: Database) -> psycopg.Connection:
    return database.connect(Role.APP)


@pytest.fixture
def owner(database: Database) -> psycopg.Connection:
    return database.connect(Role.OWNER)


@pytest.fixture
def auditor(database: Database) -> psycopg.Connection:
    return database.connect(Role.AUDITOR)


@pytest.fixture
def environment(database: Database, tmp_path: Path) -> dict[str, str]:
    """What a command run for this test finds in its environment, and nothing else of ours."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CVA_HOME": str(tmp_path / "data"),
        "CVA_KEY_FILE": str(tmp_path / "keys" / "master.key"),
        "DATABASE_URL": database.address(Role.APP),
        "CVA_OWNER_DATABASE_URL": database.address(Role.OWNER),
        "CVA_AUDITOR_DATABASE_URL": database.address(Role.AUDITOR),
        "CVA_NOW": "2026-03-05T09:00:00+00:00",
    }


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path / "data",
        key_file=tmp_path / "keys" / "master.key",
        database_url=database.address(Role.APP),
        owner_database_url=database.address(Role.OWNER),
        auditor_database_url=database.address(Role.AUDITOR),
        now=datetime(2026, 3, 5, 9, tzinfo=UTC),
    )


@pytest.fixture(scope="session")
def samples() -> Path:
    named = os.environ.get("CVA_SAMPLES")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            pytest.fail(f"CVA_SAMPLES names {folder}, which is not a folder")
        return folder
    beside = ROOT.parent / "shared" / "samples"
    if not beside.is_dir():
        pytest.skip("no sample files: set CVA_SAMPLES to their folder")
    return beside


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("tool"):
        (name,) = marker.args
        if shutil.which(name, path=search_path()) is None:
            reason = f"the program {name} is not installed"
            if os.environ.get("CVA_TOOLS") == "required":
                pytest.fail(reason)
            pytest.skip(reason)


def search_path() -> str:
    """Programs installed beside Python count, also when its folder is not on PATH."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
