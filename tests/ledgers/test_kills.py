"""kill -9 of a writer and of its server, at any moment.

Nothing is lost that was answered, nothing is there that was refused, no entry is there in part; and
the same entries sent again end as if nothing had happened.

`CVA_FAULT_SEEDS` says how many moments are tried.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

import psutil
import psycopg
import pytest

from cva.database import migrations
from cva.database.cluster import Cluster, Role
from cva.database.configuration import Tuning
from cva.database.connect import engine_at
from ledgers.balances import trial_balance
from ledgers.chart import open_account
from ledgers.transparency.verifying import verify_log
from ledgers.verification import verify
from tests.databases import Database, create_database, drop_database, removed_at_the_end
from tests.ledgers.conftest import GRANT, MARCH, Books
from tests.ledgers.posting import GONE, post_all

SEEDS = int(os.environ.get("CVA_FAULT_SEEDS", "3"))
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.ledgers.posting"])
ENDS_WITHIN_SECONDS = 60
VICTIMS = ["quick", "durable"]  # the writer is killed; the server is killed
NUMBERS = count(1)
TRIES = count(1000, 1000)  # the references of the entries of each try


@dataclass
class Played:
    """A server with a database to copy; how long the entries take, and what they leave."""

    cluster: Cluster
    before: str
    seconds: float
    after: object


def prepare(database: Database) -> None:
    conn = database.connect()
    open_account(conn, "1110", "TRY", MARCH, provider="HALK")
    for code in ("5010", "1010"):
        open_account(conn, code, "TRY", MARCH)
    open_account(conn, "2010", "TRY", MARCH, grant=GRANT)
    Books(conn, count(500)).fund(1_000_000)
    conn.commit()
    database.close()


def play(cluster: Cluster, template: str, folder: Path) -> Played:
    """Post everything once, undisturbed."""
    before = f"kills_{next(NUMBERS)}"
    create_database(cluster, before, template)
    prepare(Database(cluster, before))
    undisturbed = f"kills_{next(NUMBERS)}"
    create_database(cluster, undisturbed, before)
    database = Database(cluster, undisturbed)
    began = time.monotonic()
    post_all(database.address(), folder / "undisturbed", next(TRIES))
    seconds = time.monotonic() - began
    after = left(database)
    drop_database(cluster, undisturbed)
    return Played(cluster, before, seconds, after)


def left(database: Database) -> object:
    """What stands in the books: every balance, and what became of every instruction."""
    conn = database.connect()
    rows = conn.execute(
        "SELECT e.key, t.phase, t.instruction_ref, t.amount_minor"
        " FROM books.transfer t JOIN books.entry e USING (entry_id) ORDER BY 1, 2, 3"
    ).fetchall()
    found = (rows, trial_balance(conn))
    database.close()
    return found


@pytest.fixture(scope="module")
def quick(
    cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    played = play(cluster, template, tmp_path_factory.mktemp("quick"))
    yield played
    drop_database(cluster, played.before)


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """A server of its own that keeps what it answered."""
    home = Path(tempfile.mkdtemp(prefix="cva-durable-"))
    with removed_at_the_end(home):
        cluster = Cluster(home, Tuning(shared_buffers="64MB"))
        cluster.ensure_running()
        engine = engine_at(cluster.url(Role.OWNER))
        migrations.upgrade(engine)
        engine.dispose()
        yield play(cluster, "cva", tmp_path_factory.mktemp("durable"))


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    played: Played = request.getfixturevalue(request.param)
    name = f"kills_{next(NUMBERS)}"
    create_database(played.cluster, name, played.before)
    fresh = Database(played.cluster, name)
    yield fresh
    fresh.close()
    drop_database(played.cluster, name)


def killed(database: Database, answers: Path, seconds: float, *, server: bool) -> None:
    """Begin to post, and kill the writer or the server after so long."""
    writer = CONTEXT.Process(target=post_all, args=(database.address(), answers, next(TRIES)))
    writer.start()
    writer.join(seconds)
    if server:
        kill_server(database.cluster)
        writer.join(ENDS_WITHIN_SECONDS)
        assert writer.exitcode == 0
        database.cluster.ensure_running()
    else:
        writer.kill()
        writer.join()
    writer.close()


def kill_server(cluster: Cluster) -> None:
    pid = cluster.status().pid
    assert pid is not None
    server = psutil.Process(pid)
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        process.kill()
    _, alive = psutil.wait_procs(processes, timeout=ENDS_WITHIN_SECONDS)
    assert alive == []


def let_go(conn: psycopg.Connection) -> None:
    """Wait until the server has noticed that a killed writer is gone."""
    others = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    until = time.monotonic() + ENDS_WITHIN_SECONDS
    while conn.execute(others).rowcount:
        conn.rollback()
        assert time.monotonic() < until, "the server holds on to a writer that is gone"
    conn.rollback()


def told(answers: Path) -> dict[str, str]:
    lines = answers.read_text(encoding="utf-8").splitlines() if answers.exists() else []
    return dict(line.split(": ") for line in lines)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("database", VICTIMS, indirect=True)
def test_a_kill_loses_nothing_answered_and_leaves_nothing_refused(
    request: pytest.FixtureRequest, database: Database, seed: int, tmp_path: Path
) -> None:
    played: Played = request.getfixturevalue(request.node.callspec.params["database"])
    server = played is not request.getfixturevalue("quick")
    moment = Random(f"{server} {seed}").random() * played.seconds  # noqa: S311 - a moment, no secret
    answers = tmp_path / "answers"
    killed(database, answers, moment, server=server)

    conn = database.connect()
    let_go(conn)
    said = told(answers)
    there = {key for (key,) in conn.execute("SELECT key FROM books.entry")}
    done = {key for key, answer in said.items() if answer == "done"}
    refused = {key for key, answer in said.items() if answer not in {"done", GONE}}
    assert done <= there
    assert not refused & there
    assert {said[key] for key in refused} <= {"account_limit"}
    assert len(there - done) <= 2  # the first funding, and one that was about to be answered
    assert verify(conn).sound
    assert not any(tally.wrong for tally in verify_log(conn))
    conn.rollback()

    again = tmp_path / "again"
    post_all(database.address(), again, next(TRIES))
    repeated = told(again)
    assert set(repeated.values()) == {"done", "account_limit"}
    assert left(database) == played.after
    assert verify(database.connect()).sound
