"""Where a scenario comes from, and its households: files, shipped ones, manifests, snapshots."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cva.programmes.loading import SHIPPED, load
from eligibility.rules.pack import RulePack
from ledgers.problems import Answer, Problem
from simulations.projection.courses import People
from simulations.report import folder as report_folder
from simulations.report.building import population_sha256
from simulations.scenario.model import Scenario
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
    "The report was made from households in two files with the digest {expected}.",
    "Hand over these two files with --households and --members.",
)
SCENARIO_UNKNOWN = Problem(
    "scenario_unknown",
    "There is no scenario {name}; those that come with the program are: {known}.",
    "Name one of them, or a file.",
    Answer.NOT_FOUND,
)
PROGRAMME_NOT_SHIPPED = Problem(
    "programme_not_shipped",
    "No programme {programme} comes with the program; those that do are: {known}.",
    "Name one of them, or the file of a pack (`pack:`) beside the scenario.",
    Answer.NOT_FOUND,
)
SNAPSHOT_FILE_UNREADABLE = Problem(
    "snapshot_file_unreadable",
    "The file {file} is not a file of a snapshot: it is no Parquet.",
    "Name households.parquet and members.parquet, as `cva simulate snapshot` writes them.",
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
SYNTHETIC = "synthetic"
REGISTRY = "registry"  # a snapshot, each row one household
SURVEY = "survey"  # rows with weights


def shipped_scenarios() -> list[str]:
    """Return the names of the scenarios that come with the program."""
    return sorted(
        path.stem
        for path in SCENARIOS.glob("*.yaml")
        if "\nquestion:" in path.read_text(encoding="utf-8")
    )


def shipped() -> list[tuple[str, Scenario]]:
    """Return the scenarios that come with the program, by name."""
    return [
        (name, load_scenario(SCENARIOS / f"{name}.yaml", programme_pack).scenario)
        for name in shipped_scenarios()
    ]


def loaded_from(source: str) -> tuple[Loaded, dict[str, object] | None]:
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


def programme_pack(code: str) -> RulePack:
    """Return the pack of a programme that comes with us. Raises `programme_not_shipped`."""
    if not (SHIPPED / f"{code}.yaml").is_file():
        known = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.yaml")))
        raise PROGRAMME_NOT_SHIPPED.refusal(programme=code, known=known)
    return load(SHIPPED / f"{code}.yaml").rules


def snapshot_of(households: Path | None, members: Path | None) -> tuple[Path, Path] | None:
    """Return the two files of a snapshot, or None where none was named.

    Raises `snapshot_half`, `snapshot_file_missing`, `snapshot_file_unreadable`.
    """
    if households is None and members is None:
        return None
    if households is None or members is None:
        raise SNAPSHOT_HALF.refusal()
    for path in (households, members):
        if not path.is_file():
            raise SNAPSHOT_FILE_MISSING.refusal(file=path.name)
    for path in (households, members):
        try:
            pq.read_schema(path)
        except pa.ArrowInvalid:
            raise SNAPSHOT_FILE_UNREADABLE.refusal(file=path.name) from None
    return households, members


def population_of(
    scenario: Scenario,
    snapshot: tuple[Path, Path] | None,
    folder: Path,
    before: dict[str, object] | None,
) -> tuple[People, str]:
    """Return the population and where it comes from: `synthetic`, `registry` or `survey`."""
    said = before["population"] if before else None
    wanted = said["source"] if isinstance(said, dict) else None
    if snapshot is not None:
        hashes = before["sha256"] if before else None
        if isinstance(hashes, dict) and population_sha256(*snapshot) != hashes["population"]:
            raise MANIFEST_POPULATION.refusal(expected=str(hashes["population"])[:12])
        people = People.of(*snapshot)
        return people, SURVEY if people.is_weighted else REGISTRY
    if wanted in (REGISTRY, SURVEY) and before is not None:
        hashes = before["sha256"]
        digest = str(hashes["population"])[:12] if isinstance(hashes, dict) else ""
        raise MANIFEST_POPULATION.refusal(expected=digest)
    asked = scenario.population.synthetic
    files = write_synthetic(folder / "population", asked.households, scenario.seed, scenario.start)
    return People.of(*files, asked.represents), SYNTHETIC
