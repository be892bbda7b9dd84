"""Simulating: a scenario file or a manifest in, a folder with its report out.

Nothing here touches the registry or the books: the population is a snapshot that was written for
it or a synthetic one, and books that are simulated live in a database that is made for the purpose
and removed afterwards (`cva.simulated_books`).
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Engine

from cva import staff
from cva.database.connect import transaction
from cva.programmes.loading import SHIPPED, load
from cva.progress import Progress
from cva.registry.snapshot import Snapshot, write_snapshot
from cva.simulated_books import simulated_books
from eligibility.rules.pack import RulePack
from ledgers.money import parse_amount
from ledgers.problems import Answer, Problem
from simulations.exploring import Exploration, explored
from simulations.months import month_after
from simulations.projection.courses import People, Runner
from simulations.projection.drawing import first_held_minor
from simulations.projection.ledger import held_minor
from simulations.projection.prices import known_record
from simulations.projection.running import Projection, project
from simulations.rates import ecb_record
from simulations.report import folder as report_folder
from simulations.report.assumed import tries_part
from simulations.report.building import manifest_of, population_sha256, report_of
from simulations.report.differences import Comparison
from simulations.report.model import Report
from simulations.report.page import write_page
from simulations.report.parts import Part
from simulations.report.wording import Language
from simulations.report.workbook import write_workbook
from simulations.scenario.model import Frontier, Scenario, Variant
from simulations.scenario.reading import Loaded, fitted, load_scenario
from simulations.snapshots import write_synthetic

MANIFEST_UNREADABLE = Problem(
    "manifest_unreadable",
    "The file {file} is not a manifest of a scenario's report.",
    "Name a scenario file (.yaml), or the manifest.json beside a report.",
    Answer.USAGE,
)
MANIFEST_POPULATION = Problem(
    "manifest_population",
    "The report was made from a registry snapshot with the digest {expected}.",
    "Hand over that snapshot with --households and --members.",
)
SCENARIO_UNKNOWN = Problem(
    "scenario_unknown",
    "There is no scenario {name}; those that come with the program are: {known}.",
    "Name one of them, or a file.",
    Answer.NOT_FOUND,
)

REPORT_SHAPE_UNKNOWN = Problem(
    "report_shape_unknown",
    "A scenario's report is not written as {suffix}.",
    "Name a file that ends in .html or .xlsx.",
    Answer.USAGE,
)
SNAPSHOT_FOLDER_TAKEN = Problem(
    "snapshot_folder_taken",
    "The folder {folder} is not empty.",
    "Name a folder that is empty or not there yet.",
    Answer.USAGE,
)
SNAPSHOT_HALF = Problem(
    "snapshot_half",
    "A snapshot is two files, and one of them is named.",
    "Give both --households and --members.",
    Answer.USAGE,
)
SNAPSHOT_FILE_MISSING = Problem(
    "snapshot_file_missing",
    "The file {file} of the snapshot is not there.",
    "Check the path.",
    Answer.NOT_FOUND,
)

SCENARIOS = Path(report_folder.__file__).parent.parent / "scenarios"
LOTS = "simulation"
SYNTHETIC = "synthetic"
TRY_APART = 1_000_003  # between the seeds of two tries at a population
DIFFERING = "households"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is asked for.

    `source` is a scenario file, the name of a shipped one, or a manifest; `snapshot` the two files
    of a population that is not synthetic; `lots` the seed of the draw of lots; `books` whether the
    base path is posted.
    """

    source: str
    out: Path
    snapshot: tuple[Path, Path] | None = None
    lots: str = LOTS
    books: bool = True
    language: Language = Language.EN


def shipped_scenarios() -> list[str]:
    """Return the names of the scenarios that come with the program."""
    return sorted(
        path.stem
        for path in SCENARIOS.glob("*.yaml")
        if "\nquestion:" in path.read_text(encoding="utf-8")
    )


def simulate(asked: Asked, work: Path, progress: Progress | None = None) -> Report:
    """Run what is asked for, write the report's folder and return the report.

    `work` is a closed folder for what exists only meanwhile. Raises `scenario_refused`,
    `scenario_unknown`, `manifest_unreadable`, `manifest_population`, `report_folder_taken`,
    `report_differs` (a manifest run again), and what the rules raise.
    """
    report_folder.prepare(asked.out)
    loaded, before = _loaded(asked.source)
    report = _run(asked, loaded, before, work, progress)
    if before is not None:
        report_folder.require_same(before, asked.out)
    return report


def simulate_both(
    asked: Asked, second: str, work: Path, progress: Progress | None = None
) -> Report:
    """Compare the scenario asked for with the rules and values of a second one.

    Raises what `simulate` raises.
    """
    report_folder.prepare(asked.out)
    (first, _), (other, _) = _loaded(asked.source), _loaded(second)
    variant = Variant(
        code=other.scenario.code, name=other.scenario.title, pack=Path(second).name,
        indexation=other.scenario.indexation,
    )  # fmt: skip
    changes = {"question": "comparison", "variants": (variant,)}
    scenario = first.scenario.model_copy(update=changes)
    loaded = fitted(scenario, [first.packs[0], other.courses[0].pack])
    return _run(asked, loaded, None, work, progress)


def simulate_frontier(
    asked: Asked, values: str, work: Path, progress: Progress | None = None
) -> Report:
    """Say what transfer values reach: those named (`500,750`), or those of the scenario.

    Raises `amount_unreadable` and what `simulate` raises.
    """
    report_folder.prepare(asked.out)
    found, _ = _loaded(asked.source)
    changes: dict[str, object] = {"question": "frontier"}
    if values:
        tried = tuple(parse_amount(value, "TRY") for value in values.split(","))
        amounts = tuple(Decimal(value).scaleb(-2) for value in tried)
        months = (
            found.scenario.frontier.months if found.scenario.frontier else found.scenario.months
        )
        changes["frontier"] = Frontier(values=amounts, months=months)
    loaded = fitted(found.scenario.model_copy(update=changes), found.packs)
    return _run(asked, loaded, None, work, progress)


def simulate_backtest(
    asked: Asked, known: str, work: Path, progress: Progress | None = None
) -> Report:
    """Tell a budget with what was known at the end of the month `known`, beside what came.

    The scenario is moved as a whole: as many months after `known` as it is written. Raises
    `rate_month_unknown` and what `simulate` raises.
    """
    report_folder.prepare(asked.out)
    found, _ = _loaded(asked.source)
    if known:
        found = fitted(moved(found.scenario, known), found.packs)
    return _run(asked, found, None, work, progress)


def explore(
    asked: Asked, parameter: str, values: Sequence[str], work: Path
) -> tuple[Exploration, ...]:
    """Return what a scenario's rules say on its first day with each value of one parameter.

    A synthetic population is made as many times as the scenario says, each time with a seed of its
    own; the first is the one that the scenario runs on. Nothing is written. Raises
    `scenario_refused`, `scenario_unknown`, and what `explored` raises.
    """
    loaded, before = _loaded(asked.source)
    scenario, pack = loaded.scenario, loaded.courses[0].pack
    synthetic = scenario.population.synthetic
    granted = first_held_minor(scenario) if scenario.grants else None
    found = []
    for number in range(1 if asked.snapshot else synthetic.tries):
        seeded = scenario.model_copy(update={"seed": scenario.seed + number * TRY_APART})
        with tempfile.TemporaryDirectory(prefix="explore-", dir=work) as own:
            folder = Path(own)
            people, source = _population(seeded, asked.snapshot, folder, before)
            files = people.households, people.members
            represents = synthetic.represents if source == SYNTHETIC else None
            one = explored(
                files, pack, parameter, values, scenario.start, spill=folder,
                represents=represents, grant_minor=granted,
            )  # fmt: skip
        found.append(one)
    return tuple(found)


def moved(scenario: Scenario, known: str) -> Scenario:
    """Return the scenario as if `known` (YYYY-MM) were the last month of the record.

    Raises `rate_month_unknown`.
    """
    ecb_record().until(known)
    _, gap = known_record(scenario)
    start = month_after(date.fromisoformat(f"{known}-01"), gap + 1)
    exchange = scenario.prices.exchange.model_copy(update={"known_until": known})
    prices = scenario.prices.model_copy(update={"exchange": exchange})
    return scenario.model_copy(update={"start": start, "prices": prices})


def write_again(folder: Path, out: Path, language: Language) -> None:
    """Write the report in `folder` as a page or a workbook, computing nothing.

    Raises `report_missing`, `report_shape_unknown`.
    """
    found = report_folder.read(folder)
    writers = {".html": write_page, ".xlsx": write_workbook}
    writer = writers.get(out.suffix.lower())
    if writer is None:
        raise REPORT_SHAPE_UNKNOWN.refusal(suffix=out.suffix or out.name)
    writer(found, out, language)


def _run(
    asked: Asked,
    loaded: Loaded,
    before: dict[str, object] | None,
    work: Path,
    progress: Progress | None,
) -> Report:
    lots = str(before["lots"]) if before else asked.lots
    with tempfile.TemporaryDirectory(prefix="scenario-", dir=work) as own:
        folder = Path(own)
        people, source = _population(loaded.scenario, asked.snapshot, folder, before)
        projection = project(loaded, people, lots, folder, progress)
        manifest = manifest_of(loaded, people, source, lots, version("cva"))
        extra = [_tries(projection, folder, lots)] if source == SYNTHETIC else []
        books = asked.books and loaded.scenario.grants
        extra += [simulated_books(projection, folder)] if books else []
        report = report_of(projection, manifest, list(filter(None, extra)))
        report_folder.write(report, asked.out, asked.language)
        _write_differing(projection, asked.out)
    return report


def _loaded(source: str) -> tuple[Loaded, dict[str, object] | None]:
    """Return the scenario, and the manifest where it comes from one."""
    path = Path(source)
    if path.suffix == ".json":
        return _from_manifest(path)
    if not path.is_file() and path.name == source:
        path = SCENARIOS / f"{source}.yaml"
        if not path.is_file():
            known = ", ".join(shipped_scenarios())
            raise SCENARIO_UNKNOWN.refusal(name=source, known=known)
    return load_scenario(path, programme_pack), None


def programme_pack(code: str) -> RulePack:
    """Return the pack of a programme that comes with the program."""
    return load(SHIPPED / f"{code}.yaml").rules


def _from_manifest(path: Path) -> tuple[Loaded, dict[str, object]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        scenario = Scenario.from_document(content["scenario"])
        packs = [
            RulePack.model_validate(json.loads(pack), strict=False) for pack in content["packs"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MANIFEST_UNREADABLE.refusal(file=path.name) from error
    return fitted(scenario, packs), content


def _population(
    scenario: Scenario,
    snapshot: tuple[Path, Path] | None,
    folder: Path,
    before: dict[str, object] | None,
) -> tuple[People, str]:
    """Return the population and where it comes from."""
    said = before["population"] if before else None
    wanted = said["source"] if isinstance(said, dict) else None
    if snapshot is not None:
        hashes = before["sha256"] if before else None
        if isinstance(hashes, dict) and population_sha256(*snapshot) != hashes["population"]:
            raise MANIFEST_POPULATION.refusal(expected=str(hashes["population"])[:12])
        return People.of(*snapshot), "registry"
    if wanted == "registry" and before is not None:
        hashes = before["sha256"]
        digest = str(hashes["population"])[:12] if isinstance(hashes, dict) else ""
        raise MANIFEST_POPULATION.refusal(expected=digest)
    asked = scenario.population.synthetic
    files = write_synthetic(folder / "population", asked.households, scenario.seed, scenario.start)
    return People.of(*files, asked.represents), SYNTHETIC


def _tries(projection: Projection, folder: Path, lots: str) -> Part | None:
    """Return the first month under the base rules for every try at the population."""
    scenario = projection.scenario
    asked = scenario.population.synthetic
    if asked.tries == 1:
        return None
    course, prices = projection.base.loads.course, projection.draws.base_prices
    totals = [projection.base.loads.runs[0].totals]
    for number in range(1, asked.tries):
        own = folder / f"try-{number}"
        files = write_synthetic(
            own, asked.households, scenario.seed + number * TRY_APART, scenario.start
        )
        people = People.of(*files, asked.represents)
        runner = Runner(people, lots, held_minor(projection.draws.terms, prices), own)
        totals.append(runner.run(course, 0, [scenario.start]).totals)
    return tries_part(totals, projection.people)


def _write_differing(projection: Projection, out: Path) -> None:
    """Write the households that each variant treats otherwise."""
    variants = [variant.code for variant in projection.scenario.variants]
    if not variants:
        return
    folder = out / DIFFERING
    folder.mkdir(mode=0o700, exist_ok=True)
    for code in variants:
        Comparison(projection, code).write(folder)


def export_snapshot(engine: Engine, person_id: str, programme: str, out: Path) -> Snapshot:
    """Write the facts that the rules of a programme read, of all live households, into `out`.

    They hold no personal field. `programme` is one that comes with the program. Raises
    `role_missing`, `snapshot_folder_taken`.
    """
    if out.exists() and any(out.iterdir()):
        raise SNAPSHOT_FOLDER_TAKEN.refusal(folder=out)
    inputs = programme_pack(programme).inputs
    with transaction(engine) as conn:
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        staff.require(conn, person_id, staff.Role.PROGRAMME)
        return write_snapshot(conn, out, inputs.household, inputs.member)


@contextmanager
def work_folder(home: Path) -> Iterator[Path]:
    """Give a closed folder that is gone afterwards."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="simulate-", dir=home) as folder:
        yield Path(folder)


def shipped() -> list[tuple[str, Scenario]]:
    """Return the scenarios that come with the program, by name."""
    return [
        (name, load_scenario(SCENARIOS / f"{name}.yaml", programme_pack).scenario)
        for name in shipped_scenarios()
    ]


def snapshot_of(households: Path | None, members: Path | None) -> tuple[Path, Path] | None:
    """Return the two files of a snapshot, or None where none was named.

    Raises `snapshot_half`, `snapshot_file_missing`.
    """
    if households is None and members is None:
        return None
    if households is None or members is None:
        raise SNAPSHOT_HALF.refusal()
    for path in (households, members):
        if not path.is_file():
            raise SNAPSHOT_FILE_MISSING.refusal(file=path.name)
    return households, members
