"""The run: every piece on a server of its own that is set as the embedded one is, fsync on."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import psycopg

from cva.database import migrations
from cva.database.cluster import Cluster, Role
from cva.database.configuration import Tuning
from cva.database.connect import engine_at
from tests.benchmarks.ledgers import books, pacing, reconciliation, tools, variants
from tests.benchmarks.ledgers.pacing import Pace, Pacing
from tests.benchmarks.ledgers.tools import Reading
from tests.benchmarks.measuring import Figures, Measuring, Server
from tests.databases import create_database, drop_database, plain, removed_at_the_end

PRELOADED = tuple(
    f"tests.benchmarks.ledgers.{name}" for name in ("books", "variants", "tools", "reconciliation")
)
ROUNDS = 5
PACED_ROUNDS = 3
PACED_SECONDS = 8
SHARE = 8
WRITERS = 8
EXPORTED_SHARE = 10
DAYS_TIMES = 10  # ten million lines beside a million loads
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of work, and how many lines it was about."""

    name: str
    lines: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class Paces:
    """Writers of single postings: each round ours and the other insert, one after the other."""

    writers: int
    other: str
    rounds: list[tuple[Pace, Pace]]

    @property
    def share(self) -> float:
        """Our rate as a share of the other insert's: the median of the rounds."""
        return median(ours.rate / bare.rate for ours, bare in self.rounds)


@dataclass
class Results:
    """What the run found."""

    loads: int
    rounds: list[tuple[Figures, Figures, Figures]] = field(default_factory=list)  # ours, C, A
    pieces: dict[str, Piece] = field(default_factory=dict)
    paces: list[Paces] = field(default_factory=list)
    balances: dict[int, list[float]] = field(default_factory=dict)  # seconds, by lines in the books
    readings: list[Reading] = field(default_factory=list)
    matched: list[reconciliation.Size] = field(default_factory=list)

    def seconds(self, *names: str) -> float:
        """Wall seconds of pieces together."""
        return sum(self.pieces[name].figures.wall for name in names)


@dataclass
class Bench:
    """A server, and databases made from one where the books are founded."""

    cluster: Cluster
    measuring: Measuring
    results: Results
    say: Say
    made: int = 0

    def fresh(self, template: str = "template1") -> str:
        """Make a database."""
        self.made += 1
        create_database(self.cluster, f"bench_{self.made}", template)
        return f"bench_{self.made}"

    def founded(self, wallets: int) -> str:
        """Make a database with the schemas, accounts, wallets and money on the float."""
        name = self.fresh()
        engine = engine_at(self.cluster.url(Role.OWNER, name))
        migrations.upgrade(engine)
        engine.dispose()
        self.measuring.run(self.app(name), books.found, wallets)
        return name

    def app(self, name: str) -> Callable[[], object]:
        """The application's connection."""
        return partial(books.opened, self.address(name))

    def owner(self, name: str) -> Callable[[], object]:
        """The owner's connection."""
        return partial(books.opened, self.address(name, Role.OWNER))

    def address(self, name: str, role: Role = Role.APP) -> str:
        """Where psycopg and PostgreSQL's programs connect."""
        return plain(self.cluster.url(role, name))

    def loading(self, name: str, count: int) -> Callable[[], object]:
        """The application's connection, with so many loads ready."""
        return partial(books.with_lines, self.address(name), count)

    def piece(self, name: str, lines: int, database: str, work: object, *arguments: object) -> None:
        """Measure and keep a piece of work of the application."""
        self.keep(name, lines, self.app(database), work, *arguments)

    def keep(
        self, name: str, lines: int, opener: Callable[[], object], work: object, *arguments: object
    ) -> None:
        """Measure and keep a piece of work."""
        figures, _ = self.measuring.measure(opener, work, *arguments)
        self.results.pieces[name] = Piece(name, lines, figures)
        self.say(f"{name}, {lines:,} lines: {figures.wall:.2f} s, {figures.cpu:.2f} s CPU")


def run(
    loads: int,
    *,
    rounds: int = ROUNDS,
    seconds: int = PACED_SECONDS,
    durable: bool = True,
    say: Say,
) -> Results:
    """Run everything for so many loads; single postings for some seconds a round."""
    results = Results(loads)
    pace = partial(_pace, rounds=min(rounds, PACED_ROUNDS), seconds=seconds)
    for part in (partial(_post, rounds=rounds), _settle, pace, _fill):
        with _server(results, say, durable=durable) as bench:
            part(bench, loads)
    results.matched = reconciliation.run(loads)
    return results


@contextmanager
def _server(results: Results, say: Say, *, durable: bool = True) -> Iterator[Bench]:
    home = Path(tempfile.mkdtemp(prefix="cva-bench-"))
    with removed_at_the_end(home):
        cluster = Cluster(home, Tuning(durable=durable))
        cluster.ensure_running()
        pid = cluster.status().pid or 0
        measuring = Measuring(pid, partial(_checkpoint, cluster), PRELOADED)
        yield Bench(cluster, measuring, results, say)


def _checkpoint(cluster: Cluster) -> None:
    # What an earlier piece left to be written is not the next one's.
    address = plain(cluster.url(Role.SUPERUSER, "postgres"))
    with psycopg.connect(address, autocommit=True) as superuser:
        superuser.execute("CHECKPOINT")


def _post(bench: Bench, loads: int, *, rounds: int) -> None:
    """Loads against the variants in turn; then verification, redemptions and exports."""
    wallets = max(loads // books.LOADS_A_WALLET, 1)
    template = bench.founded(wallets)
    for number in range(rounds):
        ours = bench.fresh(template)
        posted, _ = bench.measuring.measure(bench.loading(ours, loads), books.load)
        bare = bench.fresh()
        bench.measuring.run(bench.owner(bare), _make_variants, wallets)
        ready = partial(variants.ready, bench.address(bare, Role.OWNER), loads, wallets)
        ordinary, _ = bench.measuring.measure(ready, variants.copy, "c")
        least, _ = bench.measuring.measure(ready, variants.copy, "a")
        bench.results.rounds.append((posted, ordinary, least))
        bench.say(
            f"round {number + 1}: {posted.wall:.2f} s (CPU {posted.client_cpu:.2f} +"
            f" {posted.server_cpu:.2f}), C {ordinary.wall:.2f} s (CPU {ordinary.cpu:.2f}),"
            f" A {least.wall:.2f} s: {ordinary.wall / posted.wall:.2f} x C"
        )
        drop_database(bench.cluster, bare)
        if number < rounds - 1:
            drop_database(bench.cluster, ours)
    bench.piece("verify", loads, ours, books.verified, loads)
    values = {"spent": books.SPENT, "wallets": wallets, "minor": books.MINOR, "count": loads,
              "every": books.BAD_EVERY}  # fmt: skip
    bench.measuring.run(bench.owner(ours), books.make_owned, books.ITEMS, values)
    bench.piece("record each item", loads, ours, books.record_each, loads)
    drop_database(bench.cluster, ours)
    _post_fewer(bench, loads, template)


def _post_fewer(bench: Bench, loads: int, template: str) -> None:
    """An eighth, for what eight times the data costs; a tenth, for other people's programs."""
    fewer = loads // SHARE
    founded = bench.founded(max(fewer // books.LOADS_A_WALLET, 1))
    bench.keep("loads, an eighth", fewer, bench.loading(founded, fewer), books.load)
    bench.piece("verify, an eighth", fewer, founded, books.verified, fewer)
    drop_database(bench.cluster, founded)
    exported = loads // EXPORTED_SHARE
    name = bench.fresh(template)
    bench.measuring.run(bench.loading(name, exported), books.load)
    for tool in tools.WRITERS:
        path = bench.cluster.home / f"books.{tool}"
        bench.piece(f"export for {tool}", exported, name, tools.export, tool, path)
        reading = tools.read_back(tool, path)
        if reading is not None:
            bench.results.readings.append(reading)
            bench.say(f"{tool} agrees: {reading.cpu:.1f} s CPU")
        path.unlink()
    drop_database(bench.cluster, name)


def _make_variants(conn: psycopg.Connection, wallets: int) -> None:
    conn.execute(variants.TABLES)
    conn.execute("INSERT INTO c.account SELECT generate_series(0, %s)", [wallets])
    conn.commit()


def _settle(bench: Bench, loads: int) -> None:
    """A whole plan: on hold, then posted, one in fifty voided."""
    wallets = max(loads // books.LOADS_A_WALLET, 1)
    name = bench.founded(wallets)
    values = {"ref": variants.PLAN, "wallets": wallets, "minor": books.MINOR,
              "voided": books.VOIDED_EVERY, "count": loads}  # fmt: skip
    bench.measuring.run(bench.owner(name), books.make_owned, books.PLAN, values)
    bench.piece("hold a plan", loads, name, books.hold)
    bench.piece("settle a plan", loads, name, books.settle)
    bench.measuring.run(bench.app(name), books.verified, loads)


def _fill(bench: Bench, loads: int) -> None:
    """Balances of days, among an eighth of the lines and among all."""
    for count in (DAYS_TIMES * loads // SHARE, DAYS_TIMES * loads):
        name = bench.founded(1)
        bench.piece(f"fill {books.DAYS} days", count, name, books.fill_days, count)
        taken = bench.measuring.run(bench.app(name), books.balance_on_days, count)
        bench.results.balances[count] = taken
        bench.say(f"balance of a day among {count:,}: {1000 * max(taken):.1f} ms at most")
    bench.piece("balance of a day with its holds", count, name, books.balance_with_holds)


def _pace(bench: Bench, _loads: int, *, rounds: int, seconds: int) -> None:
    """Single postings, one commit each."""
    name, bare = bench.founded(1), bench.founded(1)
    bench.measuring.run(bench.owner(name), pacing.make_plain)
    bench.measuring.run(bench.owner(bare), pacing.drop_balances_and_sequence)
    server = Server(bench.cluster.status().pid or 0)
    ours = Pacing(bench.address(name), server, seconds)
    without = Pacing(bench.address(bare), server, seconds)
    for writers, other, paced, schema in (
        (1, pacing.PLAIN_INSERT, ours, "plain"),
        (WRITERS, pacing.PLAIN_INSERT, ours, "plain"),
        (WRITERS, pacing.WITHOUT, without, "books"),
    ):
        done = []
        for _ in range(rounds):
            _checkpoint(bench.cluster)
            kept = ours.run("books", writers, sealed=True)
            _checkpoint(bench.cluster)
            done.append((kept, paced.run(schema, writers)))
        paces = Paces(writers, other, done)
        bench.results.paces.append(paces)
        bench.say(
            f"{writers} writers: {kept.rate:,.0f}/s ({kept.server_ms:.2f} ms server),"
            f" {other} {done[-1][1].rate:,.0f}/s ({done[-1][1].server_ms:.2f} ms):"
            f" share {paces.share:.2f}"
        )
    bench.measuring.run(bench.app(name), books.verified, 1)
