"""The run: one agency, one market-card programme, one bank-transfer programme, every step timed."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from cva.database.cluster import Cluster, Role
from cva.database.configuration import Tuning
from cva.demo.people import Actor
from cva.payments.planning import Plan
from cva.programmes.model import Programme
from cva.programmes.publishing import Cycle
from tests.benchmarks import caseload, far_side, limits, path
from tests.benchmarks.caseload import Caseload
from tests.benchmarks.far_side import Folders
from tests.benchmarks.limits import Laid
from tests.benchmarks.measuring import Figures, Measuring, Opener, Work
from tests.benchmarks.path import BEGINS, Site
from tests.databases import create_database, plain, removed_at_the_end

SECOND = "cva_xlsx"
SETTLED_AFTER = timedelta(days=3)
STEP = timedelta(minutes=10)
TRIES = 3
SHORT_SECONDS = 3
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """A step, its limit, and how many rows of what they are about."""

    step: str
    rows: int
    what: str
    ours: Figures
    limit: Figures
    limit_name: str


@dataclass(frozen=True, slots=True)
class Results:
    """All rows of a run, and what a process holds that has done nothing yet."""

    households: int
    rows: list[Row]
    idle: Figures


@dataclass
class Bench:
    """What the run works with."""

    measuring: Measuring
    site: Site
    folder: Path
    caseload: Caseload
    tries: int
    say: Say
    actors: Mapping[str, Actor] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    steps: int = 0

    def work(self, work: Work, *arguments: object) -> Any:
        """Let the agency work, unmeasured."""
        return self.measuring.run(self.agency(), work, *arguments)

    def measure(self, work: Work, *arguments: object) -> tuple[Figures, Any]:
        """Let the agency work."""
        return self.measuring.measure(self.agency(), work, *arguments)

    def agency(self) -> Opener:
        """The agency a little later than the last time."""
        self.steps += 1
        return partial(path.agency, self.site, BEGINS + self.steps * STEP, self.actors)

    def limit(self, opener: Opener, work: Work, *arguments: object) -> tuple[Figures, Any]:
        """Measure a limit: the quickest of a few tries, where they are short."""
        tries = [self.measuring.measure(opener, work, *arguments)]
        while len(tries) < self.tries and sum(f.wall for f, _ in tries) < SHORT_SECONDS:
            tries.append(self.measuring.measure(opener, work, *arguments))
        return min(tries, key=lambda tried: tried[0].wall)

    def bare(self, work: Work, *arguments: object) -> tuple[Figures, Any]:
        """Measure a limit in the database."""
        return self.limit(self.tables(), work, *arguments)

    def lay(self, step: str, queries: Mapping[str, str], *, filled: bool = False) -> Sequence[Laid]:
        """Get the rows ready that a step has added, unmeasured; `filled`: in the tables as well."""
        laid: Sequence[Laid] = self.measuring.run(
            self.tables(), limits.lay, step, queries, self.folder
        )
        if filled:
            self.measuring.run(self.tables(), limits.copy_rows, laid)
        return laid

    def tables(self) -> Opener:
        """The tables' owner."""
        return partial(limits.database, self.owner_address)

    @property
    def owner_address(self) -> str:
        """Where the tables' owner connects."""
        return self.site.owner_url.replace("+psycopg", "")

    def add(
        self, step: str, rows: int, what: str, ours: Figures, limit: Figures, limit_name: str
    ) -> None:
        """Keep and tell a row."""
        self.rows.append(Row(step, rows, what, ours, limit, limit_name))
        self.say(f"{step}: {ours.wall:.2f} s, limit {limit.wall:.2f} s")


def run(households: int, *, durable: bool = True, tries: int = TRIES, say: Say) -> Results:
    """Run every step and every limit for so many households, on a database made for it."""
    home = Path(tempfile.mkdtemp(prefix="cva-bench-"))
    with removed_at_the_end(home):
        cluster = Cluster(home, Tuning(durable=durable))
        cluster.ensure_running()
        measuring = Measuring(cluster.status().pid or 0, partial(_checkpoint, cluster))
        say("Making registrations …")
        made = measuring.run(far_side.nothing, _write, home / "caseload", households)
        bench = Bench(measuring, _site(cluster, home), home / "bare", made, tries, say)
        bench.folder.mkdir()
        idle = measuring.measure(far_side.nothing, _rest)[0]
        bench.actors = measuring.run(partial(path.empty, bench.site), path.found)
        _run_path(bench)
        _run_xlsx(bench, cluster)
        shutil.rmtree(home / "caseload")
    return Results(households, bench.rows, idle)


def _checkpoint(cluster: Cluster) -> None:
    # What an earlier piece left to be written is not the next one's.
    address = plain(cluster.url(Role.SUPERUSER, "postgres"))
    with psycopg.connect(address, autocommit=True) as superuser:
        superuser.execute("CHECKPOINT")


def _site(cluster: Cluster, home: Path, name: str = "cva") -> Site:
    app, owner = (
        cluster.url(role, name).render_as_string(hide_password=False)
        for role in (Role.APP, Role.OWNER)
    )
    return Site(app, owner, home)


def _write(_: None, folder: Path, households: int) -> Caseload:
    return caseload.write(folder, households, BEGINS.date())


def _rest(_: None) -> None:
    """Do nothing."""


def _run_path(bench: Bench) -> None:
    _import(bench)
    cycle, plan = _pay_by_card(bench)
    _pay_by_bank(bench)
    _reconcile(bench, cycle, plan)
    _reach(bench)


def _import(bench: Bench) -> None:
    ours, summary = bench.measure(path.take_registrations, bench.caseload.registrations)
    tables = ("household", "household_key", "version", "member", "identifier", "finding")
    laid = bench.lay("import", {f"registry.{t}": f"SELECT * FROM registry.{t}" for t in tables})
    limit, _ = bench.bare(limits.copy_rows, laid)
    bench.add("import (JSON lines)", summary.records, "registrations", ours, limit, "bare COPY")


def _pay_by_card(bench: Bench) -> tuple[Cycle, Plan]:
    programme = bench.caseload.market
    cycle = bench.work(path.open_cycle, programme)
    _assess(bench, programme, cycle)
    plan = _prepare(bench, programme, cycle)
    _approve_and_release(bench, plan)
    folders = Folders.made(bench.site.home / "cards")
    lines = plan.lines - plan.stopped_lines
    ours, _ = bench.measure(path.hand_over, plan, programme, folders)
    ready = partial(limits.loads, folders.outgoing)
    limit, _ = bench.limit(ready, limits.write_card_file, bench.folder / "loads.txt")
    bench.add("card file: render, hand over", lines, "loads", ours, limit, "bare text")
    budget = programme.grant.budget_minor
    bench.measuring.run(far_side.nothing, far_side.answer_loads, folders, budget)
    _answers(bench, plan, programme, folders, ("card results: collect, settle", "result"))
    on = (BEGINS + SETTLED_AFTER).date()
    bench.measuring.run(far_side.nothing, far_side.settle_loads, folders, budget, on)
    bench.steps += SETTLED_AFTER // STEP
    _answers(bench, plan, programme, folders, ("card settlement: collect, settle", "settlement"))
    return cycle, plan


def _pay_by_bank(bench: Bench) -> None:
    programme = bench.caseload.bank
    cycle = bench.work(path.open_cycle, programme)
    bench.work(path.assess, cycle)
    plan = bench.work(path.prepare, programme, cycle)
    bench.work(path.approve_and_release, plan)
    folders = Folders.made(bench.site.home / "bank")
    lines = plan.lines - plan.stopped_lines
    ours, _ = bench.measure(path.hand_over, plan, programme, folders)
    ready = partial(limits.transfers, folders.outgoing)
    head = {"MsgId": plan.plan_id, "NbOfTxs": str(lines), "Nm": "Example Agency"}
    limit, _ = bench.limit(ready, limits.write_bank_file, bench.folder / "transfers.xml", head)
    bench.add("bank file: render, hand over", lines, "transfers", ours, limit, "bare lxml")
    budget, on = programme.grant.budget_minor, plan.execute_on
    bench.measuring.run(far_side.nothing, far_side.book_transfers, folders, budget, on)
    _answers(bench, plan, programme, folders, ("bank statements: collect, settle", "camt053"))


def _assess(bench: Bench, programme: Programme, cycle: Cycle) -> None:
    ours, run = bench.measure(path.assess, cycle)
    snapshot = bench.work(path.freeze, programme, bench.folder)
    query = f"SELECT * FROM assessment.decision WHERE run_id = '{run.run_id}'"
    laid = bench.lay("assess", {"assessment.decision": query})
    quota = programme.rules.selection.quota
    places = quota.households if quota else {}
    limit, selected = bench.bare(
        limits.judge, (snapshot.households, snapshot.members), places,
        bench.folder / "judged.parquet", laid,
    )  # fmt: skip
    _require_equal("households selected", run.selected, selected)
    bench.add(
        "snapshot, assess, store", run.registered, "households", ours, limit, "bare DuckDB, COPY"
    )


def _prepare(bench: Bench, programme: Programme, cycle: Cycle) -> Plan:
    plan: Plan
    ours, plan = bench.measure(path.prepare, programme, cycle)
    query = f"SELECT * FROM payments.line WHERE plan_id = '{plan.plan_id}'"
    limit, rows = bench.bare(limits.copy_rows, bench.lay("prepare", {"payments.line": query}))
    _require_equal("lines", plan.lines, rows)
    bench.add("prepare (lock the plan)", plan.lines, "lines", ours, limit, "bare COPY")
    return plan


def _approve_and_release(bench: Bench, plan: Plan) -> None:
    ours, release = bench.measure(path.approve_and_release, plan)
    laid = bench.lay("release", {"books.transfer": _transfers(f"hold:{plan.plan_id}")})
    limit, rows = bench.bare(limits.copy_rows, laid)
    _require_equal("holds", release.lines, rows)
    bench.add("approve twice, release", rows, "holds", ours, limit, "bare COPY")
    holds = _transfers(f"hold:{plan.plan_id}")
    laid = bench.measuring.run(bench.tables(), limits.lay_ledger, holds, bench.folder)
    opener = partial(limits.ledger, bench.owner_address)
    limit, copied = bench.limit(opener, limits.copy_rows, laid)
    _require_equal("transactions and postings", 3 * rows, copied)
    bench.add("approve twice, release", rows, "holds", ours, limit, "ordinary ledger, COPY")


def _answers(
    bench: Bench, plan: Plan, programme: Programme, folders: Folders, names: tuple[str, str]
) -> None:
    step, document = names
    ours, (collected, _) = bench.measure(path.collect_and_settle, plan, programme, folders)
    of_document = f"WHERE d.provider = '{plan.provider}' AND d.name LIKE '%{document}%'"
    joined = "JOIN payments.document d USING (document_id)"
    queries = {
        f"payments.{table}": f"SELECT r.* FROM payments.{table} r {joined} {of_document}"
        for table in ("observation", "statement_line")
    }
    if document != "settlement":  # which settles only what the results left open
        queries["books.transfer"] = _transfers(f"settle:{plan.plan_id}:")
    limit, _ = bench.bare(limits.copy_rows, bench.lay(document, queries))
    bench.add(step, collected.observations, "observations", ours, limit, "bare COPY")


def _reconcile(bench: Bench, cycle: Cycle, plan: Plan) -> None:
    ours, result = bench.measure(path.reconcile, cycle)
    _require_equal("unexplained difference", 0, result.unexplained_minor)
    queries = {
        f"payments.{table}": f"SELECT * FROM payments.{table} WHERE plan_id = '{plan.plan_id}'"
        for table in ("line", "observation", "statement_line")
    }
    queries["books.transfer"] = _transfers(f"settle:{plan.plan_id}:")
    bench.lay("compare", queries, filled=True)
    limit, rows = bench.bare(limits.compare)
    bench.add("reconcile", rows, "lines", ours, limit, "bare full join")


def _reach(bench: Bench) -> None:
    ours, found = bench.measure(path.count_reach)
    tables = ("payments.line", "payments.outcome")
    bench.lay("reach", {table: f"SELECT * FROM {table}" for table in tables}, filled=True)
    limit, _ = bench.bare(limits.count_reach)
    bench.add("reach report", found.totals.households, "households", ours, limit, "bare GROUP BY")


def _run_xlsx(bench: Bench, cluster: Cluster) -> None:
    create_database(cluster, SECOND)
    site = _site(cluster, bench.site.home, SECOND)
    actors = bench.measuring.run(partial(path.empty, site), path.found)
    agency = partial(path.agency, site, BEGINS, actors)
    ours, summary = bench.measuring.measure(agency, path.take_registrations, bench.caseload.xlsx)
    limit, _ = bench.limit(far_side.nothing, limits.read_workbook, bench.caseload.xlsx)
    bench.add("import (XLSX)", summary.records, "registrations", ours, limit, "bare openpyxl")


def _transfers(key: str) -> str:
    return (
        "SELECT t.* FROM books.transfer t JOIN books.entry e USING (entry_id)"
        f" WHERE starts_with(e.key, '{key}')"
    )


def _require_equal(what: str, expected: int, given: int) -> None:
    """A limit that does other work than the step is no limit."""
    if expected != given:
        message = f"{what}: {expected} expected, {given} found"
        raise ValueError(message)
