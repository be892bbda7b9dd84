"""Databases of the tests' own server: copied from a template, dropped after a test."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy import URL, Engine

from cva.database.cluster import Cluster, Role, database_grants
from cva.database.connect import engine_at

ROOT = Path(__file__).parent.parent
NUMBERS = count(1)
# A process of its own outlives Ctrl-C, SIGTERM and SIGKILL of pytest: it waits for the end of its
# standard input, then removes the cluster.
UNDERTAKER = """
import shutil, sys
from pathlib import Path
from cva.database.cluster import Cluster
sys.stdin.read()
home = Path(sys.argv[1])
Cluster(home).destroy()
shutil.rmtree(home, ignore_errors=True)
"""


@contextmanager
def removed_at_the_end(home: Path) -> Iterator[None]:
    """Stop and remove the cluster of `home` at the end, whatever the end is."""
    with subprocess.Popen(
        [sys.executable, "-c", UNDERTAKER, str(home)],
        stdin=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    ) as undertaker:
        yield
        undertaker.communicate()


def plain(url: URL) -> str:
    """The address as psycopg and libpq's programs read it, password included."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@dataclass
class Database:
    """One test's own database."""

    cluster: Cluster
    name: str
    _closing: ExitStack = field(default_factory=ExitStack)

    def url(self, role: Role = Role.APP) -> URL:
        return self.cluster.url(role, self.name)

    def address(self, role: Role = Role.APP) -> str:
        return plain(self.url(role))

    def engine(self, role: Role = Role.APP) -> Engine:
        engine = engine_at(self.url(role))
        self._closing.callback(engine.dispose)
        return engine

    def connect(self, role: Role = Role.APP) -> psycopg.Connection:
        connection = psycopg.connect(self.address(role))
        self._closing.callback(connection.close)
        return connection

    def close(self) -> None:
        self._closing.close()


def create_database(cluster: Cluster, name: str, template: str = "template1") -> None:
    statements = [
        f"CREATE DATABASE {name} TEMPLATE {template} OWNER {Role.OWNER} STRATEGY FILE_COPY",
        *database_grants(name),
    ]
    address = plain(cluster.url(Role.SUPERUSER, "postgres"))
    with psycopg.connect(address, autocommit=True) as superuser:
        for statement in statements:
            superuser.execute(statement)


def drop_database(cluster: Cluster, name: str) -> None:
    address = plain(cluster.url(Role.SUPERUSER, "postgres"))
    with psycopg.connect(address, autocommit=True) as superuser:
        superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")


def fresh_database(cluster: Cluster, template: str) -> Iterator[Database]:
    name = f"test_{next(NUMBERS)}"
    create_database(cluster, name, template)
    fresh = Database(cluster, name)
    yield fresh
    fresh.close()
    drop_database(cluster, name)
