"""Simulating: a scenario file or a manifest in, a folder with its report out.

Nothing here touches the registry or the books: the population is a snapshot that was written for
it or a synthetic one, and books that are simulated live in a database that is made for the purpose
and removed afterwards (`cva.simulated_books`).
"""

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
from cva.registry.snapshot import Snapshot, write_snapshot
from cva.scenario_sources import (
    SYNTHETIC,
    loaded_from,
    population_of,
    programme_pack,
)
from cva.simulated_books import simulated_books
from ledgers.money import parse_amount
from ledgers.problems import Answer, Problem
from simulations.exploring import Exploration, explored
from simulations.months import month_after
from simulations.projection.courses import People, Runner
from simulations.projection.drawing import first_held_minor
from simulations.projection.ledger import held_minor
from simulations.projection.prices import known_record
from simulations.projection.running import NOBODY, Projection, Steps, project
from simulations.rates import ecb_record
from simulations.report import folder as report_folder
from simulations.report.assumed import tries_part
from simulations.report.building import manifest_of, report_of
from simulations.report.differences import Comparison
from simulations.report.model import Report
from simulations.report.page import write_page
from simulations.report.parts import Part
from simulations.report.wording import Language
from simulations.report.workbook import write_workbook
from simulations.scenario.comparing import require_comparable
from simulations.scenario.model import Frontier, Scenario, Variant
from simulations.scenario.reading import Loaded, fitted
from simulations.snapshots import write_synthetic

REPORT_SHAPE_UNKNOWN = Problem(
    "report_shape_unknown",
    "A scenario's report is not written as {suffix}.",
    "Name a file that ends in .html or .xlsx.",
    Answer.USAGE,
)
REPORT_OLDER = Problem(
    "report_older",
    "The report was made by another version of the program ({version}), with other words.",
    "Run its manifest.json with this version: `cva simulate run` writes the whole report again.",
)
FRONTIER_VALUES_FEW = Problem(
    "frontier_values_few",
    "The values {values} make no frontier.",
    "Give two or more different amounts above zero with commas between them: 500,750,1000.",
    Answer.USAGE,
)
SNAPSHOT_FOLDER_TAKEN = Problem(
    "snapshot_folder_taken",
    "The folder {folder} is not empty.",
    "Name a folder that is empty or not there yet.",
    Answer.USAGE,
)

LOTS = "simulation"
VALUES_LEAST = 2
TRY_APART = 1_000_003  # between the seeds of two tries at a population


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run is asked for.

    `source` is a scenario file, the name of a shipped one, or a manifest; `snapshot` the two files
    of a population that is not synthetic; `lots` the seed of the draw of lots; `books` whether the
    base path is posted. A manifest has its own lots and says itself whether there are books.
    """

    source: str
    out: Path
    snapshot: tuple[Path, Path] | None = None
    lots: str = LOTS
    books: bool = True
    language: Language = Language.EN


def simulate(asked: Asked, work: Path, progress: Steps = NOBODY) -> Report:
    """Run what is asked for, write the report's folder and return the report.

    `work` is a closed folder for what exists only meanwhile. Raises `scenario_refused`,
    `scenario_unknown`, `manifest_unreadable`, `manifest_population`, `report_folder_taken`,
    `report_differs` (a manifest run again), and what the rules raise.
    """
    report_folder.check(asked.out)
    loaded, before = loaded_from(asked.source)
    report = _run(asked, loaded, before, work, progress)
    if before is not None:
        report_folder.require_same(before, asked.out)
    return report


def simulate_both(asked: Asked, second: str, work: Path, progress: Steps = NOBODY) -> Report:
    """Compare the scenario asked for with the rules and values of a second one.

    Raises `scenarios_apart` and what `simulate` raises.
    """
    report_folder.check(asked.out)
    (first, _), (other, _) = loaded_from(asked.source), loaded_from(second)
    people_given = asked.snapshot is not None
    require_comparable(first.scenario, other.scenario, people_given=people_given)
    variant = Variant(
        code=other.scenario.code, name=other.scenario.title, pack=Path(second).name,
        indexation=other.scenario.indexation, is_indexed=other.scenario.indexation is not None,
    )  # fmt: skip
    changes = {"question": "comparison", "variants": (variant,)}
    scenario = first.scenario.model_copy(update=changes)
    loaded = fitted(scenario, [first.packs[0], other.courses[0].pack])
    return _run(asked, loaded, None, work, progress)


def simulate_frontier(asked: Asked, values: str, work: Path, progress: Steps = NOBODY) -> Report:
    """Say what transfer values reach: those named (`500,750`), or those of the scenario.

    Raises `amount_unreadable`, `frontier_values_few` and what `simulate` raises.
    """
    report_folder.check(asked.out)
    found, _ = loaded_from(asked.source)
    changes: dict[str, object] = {"question": "frontier"}
    if values:
        tried = tuple(parse_amount(value, "TRY") for value in values.split(","))
        if len(set(tried)) < VALUES_LEAST or min(tried) <= 0:
            raise FRONTIER_VALUES_FEW.refusal(values=values)
        amounts = tuple(Decimal(value).scaleb(-2) for value in tried)
        months = (
            found.scenario.frontier.months if found.scenario.frontier else found.scenario.months
        )
        changes["frontier"] = Frontier(values=amounts, months=months)
    loaded = fitted(found.scenario.model_copy(update=changes), found.packs)
    return _run(asked, loaded, None, work, progress)


def simulate_backtest(asked: Asked, known: str, work: Path, progress: Steps = NOBODY) -> Report:
    """Tell a budget with what was known at the end of the month `known`, beside what came.

    The scenario is moved as a whole: as many months after `known` as it is written. Raises
    `rate_month_unknown` and what `simulate` raises.
    """
    report_folder.check(asked.out)
    found, _ = loaded_from(asked.source)
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
    loaded, before = loaded_from(asked.source)
    scenario, pack = loaded.scenario, loaded.courses[0].pack
    synthetic = scenario.population.synthetic
    granted = first_held_minor(scenario) if scenario.grants else None
    found = []
    for number in range(1 if asked.snapshot else synthetic.tries):
        seeded = scenario.model_copy(update={"seed": scenario.seed + number * TRY_APART})
        with tempfile.TemporaryDirectory(prefix="explore-", dir=work) as own:
            folder = Path(own)
            people, source = population_of(seeded, asked.snapshot, folder, before)
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

    Raises `report_missing`, `report_older`, `report_shape_unknown`.
    """
    found = report_folder.read(folder)
    writers = {".html": write_page, ".xlsx": write_workbook}
    writer = writers.get(out.suffix.lower())
    if writer is None:
        raise REPORT_SHAPE_UNKNOWN.refusal(suffix=out.suffix or out.name)
    try:
        writer(found, out, language)
    except KeyError as error:
        raise REPORT_OLDER.refusal(version=found.manifest.get("program", "")) from error


def _run(
    asked: Asked,
    loaded: Loaded,
    before: dict[str, object] | None,
    work: Path,
    progress: Steps,
) -> Report:
    lots = str(before["lots"]) if before else asked.lots
    wanted = before.get("books", asked.books) if before else asked.books
    books = bool(wanted and loaded.scenario.grants)
    with tempfile.TemporaryDirectory(prefix="scenario-", dir=work) as own:
        folder = Path(own)
        people, source = population_of(loaded.scenario, asked.snapshot, folder, before)
        projection = project(loaded, people, lots, folder, progress)
        manifest = manifest_of(loaded, people, source, lots, version("cva"), books=books)
        extra = [_tries(projection, folder, lots)] if source == SYNTHETIC else []
        extra += [simulated_books(projection, folder)] if books else []
        report = report_of(projection, manifest, list(filter(None, extra)))
        with report_folder.placed(asked.out) as out:
            report_folder.write(report, out, asked.language)
            _write_differing(projection, out)
    return report


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
    folder = out / report_folder.HOUSEHOLDS
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
