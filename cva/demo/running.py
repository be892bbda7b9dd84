"""Running the demo: a throw-away database, the story, and what is left to look at."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from sqlalchemy import Engine

from adapters.forms import registration_mapping
from cva import vault
from cva.clock import ZONE
from cva.database import migrations
from cva.database.cluster import Cluster, Role
from cva.database.connect import engine_at, reading, transaction
from cva.demo import playing, telling
from cva.demo.clock import StoryClock
from cva.demo.far_side import FarSide
from cva.demo.people import hire
from cva.demo.playing import Act, Stage
from cva.programmes.loading import load
from cva.programmes.model import Programme
from cva.registry.importing import import_file
from cva.reports.reach import reach
from cva.reports.writing import write_report
from ledgers import balances, exports
from ledgers.money import grouped
from ledgers.problems import Problem, counted
from simulations.population import ExportFormat, generate, read_shape, write_population
from simulations.population.shape import DEMO

FOLDER_NOT_OURS = Problem(
    "demo_folder_not_ours",
    "The folder {folder} holds something that is not the demo's.",
    "Name another folder with --folder.",
)

BEGINS = datetime(2026, 3, 2, 9, 0, tzinfo=ZONE)
PROGRAMMES = Path(__file__).parent.parent / "programmes"
MARK = ".cva-demo"
Say = Callable[[str], None]


def run(
    folder: Path,
    *,
    seed: int,
    shape: Path | None = None,
    programmes: Path | None = None,
    say: Say,
) -> None:
    """Play the demo on a database of its own and leave report, books and export in `folder`."""
    _empty(folder)
    home = Path(tempfile.mkdtemp(prefix="cva-demo-"))
    cluster = Cluster(home)
    try:
        say("Starting a PostgreSQL of our own …")
        cluster.ensure_running()
        owner = engine_at(cluster.url(Role.OWNER))
        migrations.upgrade(owner)
        owner.dispose()
        engine = engine_at(cluster.url(Role.APP))
        play(engine, folder, home, seed=seed, shape=shape, programmes=programmes, say=say)
        engine.dispose()
    finally:
        cluster.destroy()
        shutil.rmtree(home, ignore_errors=True)


def play(
    engine: Engine,
    folder: Path,
    home: Path,
    *,
    seed: int,
    shape: Path | None = None,
    programmes: Path | None = None,
    say: Say,
) -> list[Act]:
    """Play the story on a migrated, empty database; `home` is a closed folder for what is private.

    Returns the acts as they ended. `folder` gets the report, the books and the registrations.
    """
    clock = StoryClock(BEGINS)
    population = read_shape(shape or DEMO)
    found = [load(path) for path in sorted((programmes or PROGRAMMES).glob("*.yaml"))]
    (home / "keys").mkdir(mode=0o700, exist_ok=True)
    opened = vault.create_key_file(home / "keys" / "master.key")
    with transaction(engine) as conn:
        vault.bind(conn, opened, clock.now())
        actors = hire(conn, clock.now())
    say("Making registrations of people who do not exist …")
    truth = write_population(home / "kobo", population, seed, clock.today(), ExportFormat.XLSX)
    with FarSide(home, BEGINS) as far:
        far.open(found, home / "providers.yaml")
        ibans = (s.fields.get("iban", "") for s in generate(population, seed, clock.today()))
        returned = far.know(ibans)
        stage = Stage(engine, opened, clock, actors, far, home / "providers.yaml", home / "work")
        _register(stage, home / "kobo" / "registrations.xlsx", say)
        acts = _first_round(stage, found, returned, say)
        decided = playing.decide_duplicates(stage)
        pairs = counted(decided, "pair", "pairs")
        say(f"\nPeople decided about {pairs} (planted: {len(truth.pairs)}).")
        _register(stage, home / "kobo" / "corrections.xlsx", say)
        _second_round(stage, acts, say)
        say("Reconciling and closing …")
        playing.close(stage, acts)
    _tell(engine, acts, say)
    _leave(engine, folder, clock, say)
    return acts


def _register(stage: Stage, path: Path, say: Say) -> None:
    summary = import_file(
        stage.engine, stage.vault, stage.clock, stage.actors["amal"].person_id, path,
        registration_mapping(),
    )  # fmt: skip
    say(f"{path.name}: {summary}")
    found = ", ".join(f"{count} {code}" for code, count in sorted(summary.findings.items()))
    say(f"  findings: {found or 'none'}")


def _first_round(
    stage: Stage, programmes: Sequence[Programme], returned: Sequence[str], say: Say
) -> list[Act]:
    bank = next((p.provider.code for p in programmes if p.provider.kind == "bank"), "BANK")
    acts = []
    for programme in programmes:
        say(f"Paying {programme.code} …")
        playing.fund_programme(stage, programme, bank)
        act = playing.open_act(stage, programme)
        if programme.provider.kind == "bank":
            _send_back(stage, act, returned)
        playing.pay(stage, act, act.plan)
        playing.ask(stage, act, act.plan)
        acts.append(act)
    _next_days(stage, acts, [act.plan.plan_id for act in acts])
    return acts


def _second_round(stage: Stage, acts: Sequence[Act], say: Say) -> None:
    plans = []
    for act in acts:
        say(f"Following up {act.programme.code} …")
        if act.programme.provider.kind == "bank":
            stage.far.bank.steer("agency", "silent")
        plan = playing.prepare_follow_up(stage, act)
        plans.append(plan.plan_id)
        playing.pay(stage, act, plan)
        playing.ask(stage, act, plan)
    _next_days(stage, acts, plans)


def _next_days(stage: Stage, acts: Sequence[Act], plans: Sequence[str]) -> None:
    """Let three days pass: statements and settlement files come, and are settled."""
    stage.far.bank.advance(3)
    stage.clock.sleep(3)
    for processor in stage.far.processors.values():
        processor.settle(stage.clock.today())
    for act in acts:
        plan = act.plan if act.plan.plan_id in plans else act.follow_up
        if plan is not None:
            playing.ask(stage, act, plan)
            playing.settle(stage, act, act.plan)


def _send_back(stage: Stage, act: Act, ibans: Sequence[str]) -> None:
    # The bank is told which payment will come back; the far side knows it by the account.
    tokens = [stage.vault.token("iban", iban) for iban in ibans]
    with reading(stage.engine) as conn:
        row = conn.execute(
            "SELECT l.instruction_ref FROM payments.line l JOIN registry.identifier i"
            " ON i.version_id = l.version_id AND i.kind = 'iban'"
            " WHERE l.plan_id = %s AND l.stopped IS NULL AND i.token = ANY (%s)"
            " ORDER BY l.line_no LIMIT 1",
            (act.plan.plan_id, tokens),
        ).fetchone()
    if row is not None:
        stage.far.bank.steer("agency", "return-later", days=1, reason="AC04", end_to_end_id=row[0])


def _tell(engine: Engine, acts: Sequence[Act], say: Say) -> None:
    with reading(engine) as conn:
        for act in acts:
            say(f"\n{act.programme.code}: {act.programme.name.en}")
            for stage, text in telling.told(conn, act):
                say(f"  {stage:<11} {text}")
        say("\nTrial balance")
        for row in balances.trial_balance(conn):
            say(
                f"  {row.code:<28} {grouped(row.posted_debit_minor, row.currency):>18}"
                f" {grouped(row.posted_credit_minor, row.currency):>18}"
                f" {grouped(row.balance_minor, row.currency):>18} {row.currency}"
            )
    unexplained = sum(a.reconciliation.unexplained_minor for a in acts if a.reconciliation)
    say(f"\nunexplained difference {grouped(unexplained, 'TRY')} TRY")


def _leave(engine: Engine, folder: Path, clock: StoryClock, say: Say) -> None:
    today = clock.today()
    with reading(engine) as conn:
        found = reach(conn, today.replace(month=1, day=1), today)
        with (folder / "books.beancount").open("w", encoding="utf-8") as out:
            exports.write_beancount(conn, out)
        with (folder / "books.journal").open("w", encoding="utf-8") as out:
            exports.write_hledger(conn, out)
    for suffix in ("csv", "xlsx", "html"):
        write_report(found, folder / f"reach.{suffix}")
    say(f"report: {(folder / 'reach.html').absolute()}")
    say(f"books:  {(folder / 'books.beancount').absolute()}")


def _empty(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise FOLDER_NOT_OURS.refusal(folder=folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    (folder / MARK).touch()
