"""Every mechanism of the schema is needed: without it, the test named for it goes red.

`invariants.yaml` is the table. Each trigger, check, key, foreign key and withheld privilege is
taken away in turn, from a database of its own, and only the named test runs on that database; it
has to fail while it runs, not while it is set up. The tests run in a session of pytest inside this
one.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from random import Random

import psycopg
import pytest
import yaml
from _pytest.runner import runtestprotocol

from cva.database.cluster import Cluster, Role
from tests.databases import Database
from tests.ledgers.test_privileges import (
    CLOSED_FUNCTIONS,
    SAID_BY_DATABASE,
    forbidden,
)

HERE = Path(__file__).parent
TABLE = yaml.safe_load((HERE / "invariants.yaml").read_text(encoding="utf-8"))
PAGE = HERE.parent.parent / "ledgers" / "INVARIANTS.md"
SHARE = int(os.environ.get("CVA_LEDGER_MECHANISMS", "1"))  # every n-th, in a seeded order

TRIGGERS = """
    SELECT format('trigger %s %s', relname, tgname),
           format('DROP TRIGGER %I ON books.%I', tgname, relname)
    FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
    WHERE relnamespace = 'books'::regnamespace AND NOT tgisinternal
"""
CONSTRAINTS = """
    SELECT format('%s %s %s', CASE contype WHEN 'c' THEN 'check' WHEN 'f' THEN 'foreign'
               ELSE 'key' END, relname, conname),
           format('ALTER TABLE books.%I DROP CONSTRAINT %I CASCADE', relname, conname)
    FROM pg_constraint JOIN pg_class c ON c.oid = conrelid
    WHERE connamespace = 'books'::regnamespace AND contype IN ('c', 'f', 'p', 'u')
"""
INDEXES = """
    SELECT format('key %s %s', t.relname, i.relname), format('DROP INDEX books.%I', i.relname)
    FROM pg_index x JOIN pg_class i ON i.oid = indexrelid JOIN pg_class t ON t.oid = indrelid
    WHERE t.relnamespace = 'books'::regnamespace AND indisunique
      AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""
TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = 'books'::regnamespace AND relkind = 'r'
    ORDER BY relname
"""


@dataclass(frozen=True)
class Mechanism:
    """Something that keeps a promise, and the statement that takes it away."""

    name: str
    removal: str


def mechanisms(conn: psycopg.Connection) -> list[Mechanism]:
    """Everything of the schema that can be taken away, in the order of its name."""
    found = [
        Mechanism(*row)
        for query in (TRIGGERS, CONSTRAINTS, INDEXES)
        for row in conn.execute(query).fetchall()
    ]
    for (table,) in conn.execute(TABLES).fetchall():
        found += [
            Mechanism(
                f"privilege {role} {verb} {table}", f"GRANT {verb} ON books.{table} TO {role}"
            )
            for role in (Role.APP, Role.AUDITOR)
            for verb in forbidden(role, table)
        ]
    found += [
        Mechanism(
            f"privilege {Role.APP} COLUMN {table} {column}",
            f"GRANT INSERT ({column}) ON books.{table} TO {Role.APP}",
        )
        for table, columns in SAID_BY_DATABASE.items()
        for column in columns
    ]
    found += [
        Mechanism(f"execute {name}", f"GRANT EXECUTE ON FUNCTION books.{name} TO {Role.APP}")
        for name in CLOSED_FUNCTIONS
    ]
    found += [
        Mechanism(f"create {role}", f"GRANT CREATE ON SCHEMA books TO {role}")
        for role in (Role.APP, Role.AUDITOR)
    ]
    return sorted(found, key=lambda mechanism: mechanism.name)


def named_test(mechanism: str) -> str | None:
    """The test that the table names for a mechanism: the most exact line that fits it."""
    lines = [
        (line["by"], line["test"])
        for invariant in TABLE
        for line in invariant.get("kept", ())
        if fnmatchcase(mechanism, line["by"])
    ]
    if not lines:
        return None
    _, test = min(lines, key=lambda line: (line[0].count("*"), -len(line[0])))
    words = mechanism.split()
    facts = {"name": words[-1], "table": words[1], "role": words[1]}
    if words[0] == "privilege":
        facts["table"] = words[3]
    return test.format(**facts)


@dataclass(eq=False)
class Session:
    """A plugin: runs tests on databases that lack a mechanism."""

    given: dict[str, object]
    work: list[tuple[Mechanism, str]]
    failed_while: dict[str, str] = field(default_factory=dict)
    _removal: str = ""
    _name: str = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef, request: object) -> object:
        """Give the outer session's server and template."""
        if fixturedef.argname not in self.given:
            return None
        value = self.given[fixturedef.argname]
        fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
        return value

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Iterator[None]:
        """Take the mechanism away once everything is set up."""
        database = pyfuncitem.funcargs.get("database") or pyfuncitem._request.getfixturevalue(
            "database"
        )
        assert isinstance(database, Database)
        with psycopg.connect(database.address(Role.SUPERUSER), autocommit=True) as conn:
            conn.execute("SET lock_timeout = '5s'")
            conn.execute(self._removal)
        return (yield)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run each mechanism's test."""
        items = {item.nodeid.rpartition("/")[2]: item for item in session.items}
        for mechanism, test in self.work:
            self._removal, self._name = mechanism.removal, mechanism.name
            item = items[test]
            item._initrequest()
            for report in runtestprotocol(item, log=False, nextitem=None):
                if report.failed:
                    self.failed_while.setdefault(self._name, report.when)
        return True


def red_without(cluster: Cluster, template: str, work: list[tuple[Mechanism, str]]) -> Session:
    session = Session({"cluster": cluster, "template": template}, work)
    files = sorted({str(HERE / test.partition("::")[0]) for _, test in work})
    quiet = ["-o", "addopts=--import-mode=importlib --capture=no"]
    without = [word for name in ("terminal", "cacheprovider", "faulthandler")
               for word in ("-p", f"no:{name}")]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_ADDOPTS", raising=False)  # meant for the session around this one
        code = pytest.main([*quiet, *without, *files], plugins=[session])
    assert code in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
    return session


def test_every_mechanism_is_needed(
    cluster: Cluster, template: str, owner: psycopg.Connection
) -> None:
    everything = mechanisms(owner)
    owner.rollback()
    unnamed = [mechanism.name for mechanism in everything if named_test(mechanism.name) is None]
    assert unnamed == []
    chosen = Random(7).sample(everything, len(everything) // SHARE)  # noqa: S311 - a sample, no secret
    work = [(mechanism, named_test(mechanism.name) or "") for mechanism in chosen]
    session = red_without(cluster, template, work)
    green = {
        mechanism.name: test
        for mechanism, test in work
        if session.failed_while.get(mechanism.name) != "call"
    }
    assert green == {}


def page() -> str:
    """The table as people read it."""
    lines = [
        "# What the books promise",
        "",
        "Each promise, what keeps it in the schema and the tests that go red without it; a test",
        "takes every mechanism away in turn and requires that. Made from",
        "`tests/ledgers/invariants.yaml` by `python -m tests.ledgers.test_invariants`.",
        "",
        "| # | promise | kept by | tests |",
        "|---:|---|---|---|",
    ]
    for invariant in TABLE:
        kept = invariant.get("kept", ())
        tests = dict.fromkeys(
            test.partition("[")[0]
            for test in (*(line["test"] for line in kept), *invariant.get("tests", ()))
        )
        by = "<br>".join(f"`{line['by']}`" for line in kept) or "code"
        shown = "<br>".join(f"`{test}`" for test in tests)
        lines.append(f"| {invariant['number']} | {invariant['says']} | {by} | {shown} |")
    return "\n".join(lines) + "\n"


def test_page_is_made_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.ledgers.test_invariants"


def test_table_names_mechanisms_and_tests_there_are(owner: psycopg.Connection) -> None:
    names = [mechanism.name for mechanism in mechanisms(owner)]
    for invariant in TABLE:
        for line in invariant.get("kept", ()):
            assert any(fnmatchcase(name, line["by"]) for name in names), line
        for test in invariant.get("tests", ()):
            file, _, function = test.partition("::")
            assert (HERE / file).exists(), test
            if function:
                assert re.search(rf"^def {function}\(", (HERE / file).read_text(), re.MULTILINE)


def test_table_has_every_promise_but_those_about_another_database() -> None:
    assert [invariant["number"] for invariant in TABLE] == [*range(1, 39), 40]
    assert all(invariant.get("kept") or invariant.get("tests") for invariant in TABLE)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
