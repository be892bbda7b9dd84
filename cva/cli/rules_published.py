"""`cva rules`: publish packs, compare them, explain decisions and make them again."""

from datetime import date, datetime
from pathlib import Path

import typer

from cva import comparing, explaining, replaying, rules_on_files
from cva.cli.cycles import DATE
from cva.cli.output import Money, Part, Shape, say, show, show_parts, warn
from cva.cli.session import Session, open_session
from cva.database.connect import transaction
from cva.programmes import packs
from cva.programmes.naming import pack_named
from eligibility.comparison import Comparison
from eligibility.packs import shipped_packs
from eligibility.rules.pack import RulePack
from eligibility.rules.phrases import Language
from eligibility.rules.reasons import Outcome

MARKS = {Outcome.PASS: "+", Outcome.FAIL: "-", Outcome.UNKNOWN: "?", None: " "}


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `rules`."""
    for command in (publish, explain, diff, replay):
        app.command()(command)
    app.command("list")(list_packs)


def publish(file: str) -> None:
    """Propose a pack, or publish what somebody else proposed; asks for your passphrase."""
    session = open_session()
    pack = pack_named(file, read=rules_on_files.pack_of)
    passphrase = session.passphrase()
    with session.transaction() as conn:
        done = packs.publish(
            conn, pack, person_id=session.person_id, passphrase=passphrase, at=session.clock.now()
        )
    if done.version is None:
        say(f"{done.code} is proposed ({done.sha256[:16]}); a second person publishes it.")
    else:
        say(f"{done.code}@{done.version} is published ({done.sha256[:16]}).")


def list_packs(shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List the packs that come with the program and those proposed or published here."""
    session = open_session()
    with session.reading() as conn:
        listed = packs.listed(conn)
    rows: list[tuple[str, str, str, str, str]] = [
        (code, "comes with the program", "", "", pack_named(code).pack_hash)
        for code in shipped_packs()
    ]
    rows += [
        (item.code if item.version is None else f"{item.code}@{item.version}",
         "proposed" if item.version is None else "published", item.proposed_by,
         item.published_by or "", item.sha256)
        for item in listed
    ]  # fmt: skip
    show(
        ["pack", "state", "proposed_by", "published_by", "sha256"], rows, shape, below=("sha256",)
    )  # fmt: skip


def explain(
    household: str,
    run: str = typer.Option("", help="The run; by default the latest that decided the household."),
    file: str = typer.Option("", help="Pack or programme file, for two plain files instead."),
    households: Path | None = typer.Option(None, help="CSV as for `cva rules run`."),
    members: Path | None = typer.Option(None, help="CSV as for `cva rules run`."),
    on: datetime | None = typer.Option(None, formats=DATE, help="The day, for plain files."),
    language: Language = typer.Option(Language.EN, help="tr, en or ar."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Say why one household was decided so: reasons, values seen, sources, nearest threshold."""
    if file:
        plain = explaining.Plain.of(file, households, members, on.date() if on else None)
        told = explaining.explain_on_files(household, plain, language)
    else:
        session = open_session()
        with session.transaction() as conn:
            told = explaining.explain_stored(conn, household, run, session.work, language)
    if shape is Shape.TABLE:
        for line in told:
            say(f"{'  ' * line.depth}{MARKS[line.outcome]} {line.text}")
        return
    rows = [(line.depth, line.outcome.value if line.outcome else None, line.text) for line in told]
    show(["depth", "outcome", "text"], rows, shape)


def diff(
    before: str,
    after: str,
    households: Path | None = typer.Option(
        None, help="CSV as for `cva rules run`; by default all households registered here."
    ),
    members: Path | None = typer.Option(None, help="CSV as for `cva rules run`."),
    run: str = typer.Option("", help="A stored run instead: its snapshot, day, seed and budget."),
    on: datetime | None = typer.Option(
        None, formats=DATE, help="Ages and parameters are as of this day; by default today."
    ),
    seed: str = typer.Option("", help="Seed of the draw among equals, the same for both."),
    budget_minor: int | None = typer.Option(None, min=0, help="What can be spent."),
    out: Path | None = typer.Option(None, help="CSV of every household that enters or leaves."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Compare two packs on the same households: who enters, who leaves, what it costs."""
    files = [file for file in (households, members) if file is not None]
    if len(files) == 1 or (files and run):
        named = "a run and files" if run else "one list of two"
        raise comparing.DIFF_ON_WHAT.refusal(named=named)
    session = None if files and on else open_session()
    pair = (_named(before, session), _named(after, session))
    day = on.date() if on is not None else _today(session)
    asked = comparing.Asked(day, seed or "diff", budget_minor, out)
    if households is not None and members is not None:
        found = comparing.compare_on_files(*pair, households, members, asked)
    else:
        live = session or open_session()
        with transaction(live.engine) as conn:
            if run:
                stored = replaying.stored_run(conn, run)
                asked = _as_then(asked, stored, given=(on is not None, bool(seed)))
                found = comparing.compare_run(conn, *pair, asked, stored, live.work)
            else:
                found = comparing.compare_live(conn, *pair, asked, live.work)
    _show_comparison(found, shape)


def _as_then(
    asked: comparing.Asked, run: replaying.StoredRun, given: tuple[bool, bool]
) -> comparing.Asked:
    """Return what is asked with the day, seed and budget of a run where none was `given`."""
    budget = run.budget_minor if asked.budget_minor is None else asked.budget_minor
    day = asked.on if given[0] else run.reference_date
    seed = asked.seed if given[1] else run.seed
    return comparing.Asked(day, seed, budget, asked.out)


def _show_comparison(found: Comparison, shape: Shape) -> None:
    currency = found.currency
    show_parts(
        [
            Part("served", ["who", "households", "people", "before", "after", "costs"],
                 [(m.move, m.households, m.people, Money(m.before_minor, currency),
                   Money(m.after_minor, currency), Money(m.costs_minor, currency))
                  for m in found.moves]),
            Part("qualify", ["before", "after", "households", "people"],
                 [(t.before, t.after, t.households, t.people) for t in found.turns]),
            Part("reasons", ["who", "reason", "households", "people"],
                 [(w.move, w.reason, w.households, w.people) for w in found.whys]),
        ],
        shape,
    )  # fmt: skip
    than = "more" if found.costs_minor >= 0 else "less"
    warn(f"The second costs {Money(abs(found.costs_minor), currency)} {than} than the first.")


def replay(run: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Make a stored run again from its snapshot and rules; every byte and row must be the same."""
    session = open_session()
    with comparing.emptied(session.work / run) as folder, transaction(session.engine) as conn:
        done = replaying.replay(conn, run, folder)
    show(
        ["run", "households", "snapshot", "pack", "decisions"],
        [(done.run_id, done.households, done.snapshot_sha256, done.pack_hash,
          done.decisions_sha256)],
        shape, below=("decisions", "pack", "snapshot"),
    )  # fmt: skip
    warn("The same bytes and the same rows.")


def _today(session: Session | None) -> date:
    return (session or open_session()).today


def _named(name: str, session: Session | None) -> RulePack:
    def published(code: str, version: int) -> RulePack:
        with (session or open_session()).reading() as conn:
            return packs.published_pack(conn, code, version)

    return pack_named(name, published, rules_on_files.pack_of)
