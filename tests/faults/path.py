"""The path from registrations to closed books, step by step, each step a command that is typed.

It is played once, undisturbed. Before each step the installation is put aside (a template database
and the folders of the card processor), so that a test can begin a step as often as it likes from
the same rows; after each step it is written down what an undisturbed run leaves.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Self

import psycopg
import yaml

from adapters.simulators.card_processor import CardProcessor
from cva.database.cluster import Cluster, Role
from cva.programmes.loading import SHIPPED, load
from ledgers import verification
from simulations.population import read_shape, write_population
from tests.cva.payments.agency import BUDGET_MINOR, Agency
from tests.databases import Database, create_database, drop_database
from tests.faults.canonical import Canonical, canonical
from tests.faults.commands import CONTEXT, ENDS_WITHIN_SECONDS, Command, Ended, begun, timed

BEGINS = datetime.fromisoformat("2026-03-05T09:00:00+03:00")
MINUTES_PER_STEP = 10
WORDS = "four words that differ"
GRANT = "GR-2026"
BUDGET = "1000000.00"
SEED = 2026
SHAPE = Path(__file__).parent / "caseload.yaml"
NUMBERS = count(1)
SETTLED_ON = date(2026, 3, 5)


class Step(StrEnum):
    """The steps that are disturbed, in their order."""

    IMPORT = "import"
    ASSESS = "assess"
    PREPARE = "prepare"
    APPROVE = "approve"  # the second approval: it reserves the money
    RELEASE = "release"
    SEND = "send"
    COLLECT = "collect"  # two documents: the result and the settlement
    SETTLE = "settle"
    RECONCILE = "reconcile"
    CLOSE = "close"


SPEAKERS = {
    Step.IMPORT: "amal", Step.ASSESS: "amal", Step.PREPARE: "amal", Step.APPROVE: "omar",
    Step.RELEASE: "selin", Step.SEND: "deniz", Step.COLLECT: "deniz", Step.SETTLE: "deniz",
    Step.RECONCILE: "deniz", Step.CLOSE: "deniz",
}  # fmt: skip
PEOPLE = {"amal": "programme", "deniz": "finance", "omar": "finance", "selin": "finance"}


@dataclass(frozen=True)
class Site:
    """An installation: a database, the data folder, the folders shared with the processor.

    `embedded`: the database is that of the data folder's own server, as on a laptop.
    """

    cluster: Cluster
    name: str
    root: Path
    people: Path
    embedded: bool = False

    @property
    def home(self) -> Path:
        return self.cluster.home if self.embedded else self.root / "data"

    @property
    def work(self) -> Path:
        return self.home / "work"

    @property
    def database(self) -> Database:
        return Database(self.cluster, self.name)

    def environment(self, login: str, at: datetime) -> dict[str, str]:
        common = {
            "PATH": "/usr/bin:/bin", "HOME": str(self.root), "CVA_HOME": str(self.home),
            "CVA_KEY_FILE": str(self.people / "master.key"), "CVA_USER": login,
            "CVA_PASSPHRASE": WORDS, "CVA_NEW_PASSPHRASE": WORDS, "CVA_NOW": at.isoformat(),
        }  # fmt: skip
        if self.embedded:
            return common
        return common | {
            "DATABASE_URL": self.database.address(Role.APP),
            "CVA_OWNER_DATABASE_URL": self.database.address(Role.OWNER),
        }

    def typed(self, login: str, *words: str, at: datetime = BEGINS) -> str:
        """Type a command that has to succeed."""
        ended, _ = timed(self.environment(login, at), words)
        assert ended.code == 0, ended.err
        return ended.out.strip()

    def words(self, step: Step) -> list[str]:
        if step is Step.IMPORT:
            return ["household", "import", str(self.people / "registrations.jsonl")]
        if step is Step.COLLECT:
            return ["provider", "collect", "MARKET-CARDS"]
        if step is Step.PREPARE:
            return ["payments", "prepare", self.cycle_id, "--format", "ids"]
        if step in (Step.ASSESS, Step.RECONCILE, Step.CLOSE):
            return ["cycle", step, self.cycle_id]
        return ["payments", step, self.plan_id]

    @contextmanager
    def begun(
        self, step: Step, *, later: int = 0, file_bytes_max: int | None = None
    ) -> Iterator[Command]:
        """Begin a step, so many minutes later than when it was first begun."""
        environment = self.environment(SPEAKERS[step], moment_of(step, later))
        with begun(environment, self.words(step), file_bytes_max=file_bytes_max) as command:
            yield command

    def again(self, step: Step) -> Ended:
        """Type the step's command again, some minutes later, and wait for its end."""
        with self.begun(step, later=2) as command:
            return command.ended()

    def at_once(self, login: str, words: Sequence[str], starts: int, at: datetime) -> list[Ended]:
        """Type one command so many times at the same moment."""
        environment = self.environment(login, at)
        barrier = CONTEXT.Barrier(starts)
        with ExitStack() as running:
            commands = [
                running.enter_context(begun(environment, words, barrier=barrier))
                for _ in range(starts)
            ]
            return [command.ended() for command in commands]

    @property
    def cycle_id(self) -> str:
        return str(self.rows("SELECT cycle_id FROM programme.cycle")[0][0])

    @property
    def plan_id(self) -> str:
        return str(self.rows("SELECT plan_id FROM payments.plan")[0][0])

    def rows(self, query: str) -> list[tuple[object, ...]]:
        with self.connected() as conn:
            return conn.execute(query).fetchall()

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection]:
        address = self.database.address(Role.SUPERUSER)
        with psycopg.connect(address, autocommit=True) as conn:
            yield conn

    def let_go(self) -> None:
        """Wait until the server has noticed that a killed command is gone."""
        others = (
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        until = time.monotonic() + ENDS_WITHIN_SECONDS
        with self.connected() as conn:
            while conn.execute(others).rowcount:
                assert time.monotonic() < until, "the server holds on to a command that is gone"

    def state(self) -> Canonical:
        with self.connected() as conn:
            return canonical(conn)

    @contextmanager
    def processor(self) -> Iterator[CardProcessor]:
        with CardProcessor(
            self.root / "to-cards", self.root / "from-cards", self.root / "cards.sqlite",
            BUDGET_MINOR,
        ) as far:  # fmt: skip
            yield far

    def loads(self) -> list[tuple[object, ...]]:
        """What the processor itself has loaded, after it took whatever lies there."""
        with self.processor() as far:
            far.run_once()
            return sorted(
                far._db.execute(
                    "SELECT ref, card_ref, asked_minor, loaded_minor, code FROM loads"
                ).fetchall()
            )

    def check_money(self) -> None:
        """Nothing is lost over the plan's life, and the books verify."""
        database = self.database
        Agency(database, self.root, "card_processor").check_money()
        database.close()
        with self.connected() as conn, conn.transaction():
            assert verification.verify(conn).sound

    def left_over(self) -> list[str]:
        """What lies in the work folder."""
        return sorted(str(path.relative_to(self.work)) for path in self.work.rglob("*"))

    def describe_providers(self) -> None:
        self.home.mkdir(mode=0o700, exist_ok=True)
        self.work.mkdir(mode=0o700, exist_ok=True)
        entry = {
            "kind": "card_processor", "code": "MARKET-CARDS", "debtor_name": "Umut",
            "programme": "MARKET", "currency": "TRY", "outgoing": str(self.root / "to-cards"),
            "incoming": str(self.root / "from-cards"),
        }  # fmt: skip
        text = yaml.safe_dump({"providers": [entry]})
        (self.home / "providers.yaml").write_text(text, encoding="utf-8")
        for folder in ("to-cards", "from-cards"):
            (self.root / folder).mkdir(exist_ok=True)


@dataclass
class Played:
    """The path as it was played undisturbed."""

    site: Site
    aside: Path
    seconds: dict[Step, float] = field(default_factory=dict)
    ends: dict[Step, Canonical] = field(default_factory=dict)
    answers: dict[Step, str] = field(default_factory=dict)
    loads: list[tuple[object, ...]] = field(default_factory=list)

    @classmethod
    def undisturbed(cls, site: Site, aside: Path, steps: Sequence[Step] = tuple(Step)) -> Self:
        """Play the steps on a migrated, empty database; put aside what was before each."""
        path = cls(site, aside)
        found(site)
        for step in steps:
            create_database(site.cluster, path.template(step), site.name)
            _copied(site.root, aside / step)
            environment = site.environment(SPEAKERS[step], moment_of(step))
            ended, path.seconds[step] = timed(environment, site.words(step))
            assert ended.code == 0, ended.err
            path.answers[step] = ended.out
            path.ends[step] = site.state()
            path._go_on(step)
        return path

    def template(self, step: Step) -> str:
        return f"before_{step}_{self.site.name}"

    @contextmanager
    def before(self, step: Step) -> Iterator[Site]:
        """Give an installation that stands right before the step."""
        if self.site.embedded:
            drop_database(self.site.cluster, self.site.name)
            site = self.site
        else:
            root = Path(tempfile.mkdtemp(prefix="cva-fault-"))
            site = Site(
                self.site.cluster, f"{self.template(step)}_{next(NUMBERS)}", root, self.site.people
            )
        create_database(site.cluster, site.name, self.template(step))
        _copied(self.aside / step, site.root)
        site.describe_providers()
        try:
            yield site
        finally:
            if not site.embedded:
                drop_database(site.cluster, site.name)
                shutil.rmtree(site.root)

    def dropped(self) -> None:
        for step in self.seconds:
            drop_database(self.site.cluster, self.template(step))

    def _go_on(self, step: Step) -> None:
        """Do what lies between this step and the next one and is not disturbed."""
        site, at = self.site, moment_of(step, MINUTES_PER_STEP // 2)
        if step is Step.PREPARE:
            site.typed("deniz", "payments", "approve", site.plan_id, at=at)
        elif step is Step.SEND:
            self.loads = site.loads()
            with site.processor() as far:
                far.settle(SETTLED_ON)
        elif step is Step.SETTLE:
            site.typed("deniz", "payments", "inquire", site.plan_id, at=at)
            with site.processor() as far:
                far.run_once()
            site.typed("deniz", "provider", "collect", "MARKET-CARDS", at=at)
            site.typed("deniz", "payments", "settle", site.plan_id, at=at)


def moment_of(step: Step, later: int = 0) -> datetime:
    """The moment of a step, `later` minutes after it was first begun."""
    return BEGINS + timedelta(minutes=MINUTES_PER_STEP * (1 + list(Step).index(step)) + later)


def found(site: Site) -> None:
    """Hire people, publish the programme, open its cycle, fund its grant, make registrations."""
    site.describe_providers()
    site.typed("", "init", "--login", "kerem", "--name", "Kerem")
    for login, role in PEOPLE.items():
        site.typed("kerem", "user", "add", login, "--name", login.title(), "--role", role)
    site.typed("amal", "programme", "publish", str(_programme(site.root)))
    period = ["--from", "2026-03-01", "--to", "2026-03-31"]
    site.typed("amal", "cycle", "open", "market-card", "--name", "2026-03", *period)
    for event in ("budget_allotted", "grant_received", "provider_funded", "float_credited"):
        site.typed(
            "deniz", "ledger", "entry", event, "--grant", GRANT, "--amount", BUDGET, "--bank",
            "OUR-BANK", "--provider", "MARKET-CARDS", "--reason", "agreement", "--key", event,
        )  # fmt: skip
    if not (site.people / "registrations.jsonl").exists():
        write_population(site.people, read_shape(SHAPE), SEED, BEGINS.date())


def _programme(folder: Path) -> Path:
    """The market card with a tenth of its amounts, so that the grant covers them."""
    text = (SHIPPED / "market-card.yaml").read_text(encoding="utf-8")
    pack = load(SHIPPED / "market-card.yaml").rules
    rows = (pack.entitlement.by_size or {}).items()
    tenth = ", ".join(f"{people}: {amount / 10}" for people, amount in rows)
    small = text.replace("GR-2026-MARKET", GRANT) + f"  entitlement:\n    by_size: {{{tenth}}}\n"
    path = folder / "market-card.yaml"
    path.write_text(small, encoding="utf-8")
    return path


def _copied(source: Path, target: Path) -> None:
    """Copy what is shared with the processor."""
    for name in ("to-cards", "from-cards"):
        shutil.rmtree(target / name, ignore_errors=True)
        shutil.copytree(source / name, target / name)
    (target / "cards.sqlite").unlink(missing_ok=True)
    if (source / "cards.sqlite").exists():
        shutil.copy2(source / "cards.sqlite", target / "cards.sqlite")
