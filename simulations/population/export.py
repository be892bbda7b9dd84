"""Writing a population into a folder: registrations, corrections, and the truth about both.

`truth.json` says what was planted and where, by record ids, so that what the engine finds can be
compared with it. Nobody's name or number stands in it.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path

from adapters.kobo.export import Submission, write_json_lines, write_xlsx
from ledgers.problems import Problem
from simulations.population.draft import FREE
from simulations.population.making import Made, Making
from simulations.population.shape import Shape

TOO_LARGE_FOR_XLSX = Problem(
    "population_too_large_for_xlsx",
    "{count} households are too many for one XLSX export; it takes {most}.",
    "Ask for the format jsonl, or for fewer households.",
)
XLSX_HOUSEHOLDS_MAX = 20_000


class ExportFormat(StrEnum):
    """How a population is written; the value is the ending of the files."""

    XLSX = "xlsx"  # as KoBo exports for spreadsheets
    JSON_LINES = "jsonl"  # as KoBo's API answers, one page a line


@dataclass(slots=True)
class Count:
    """Distinct households and their people, and how many households came a second time."""

    households: int = 0
    people: int = 0
    twice: int = 0


@dataclass(slots=True)
class Truth:
    """What was made: counts of distinct households, and the record ids of everything planted.

    `members` counts rows of the rosters as written, second registrations included; `pairs` are
    (first, second) registrations of one household; `flaws` and `faults` are by kind.
    """

    seed: int
    reference_date: date
    submissions: int = 0
    members: int = 0
    total: Count = field(default_factory=Count)
    strata: dict[str, Count] = field(default_factory=dict)
    pairs: list[tuple[int, int]] = field(default_factory=list, repr=False)
    flaws: dict[str, list[int]] = field(default_factory=dict, repr=False)
    faults: dict[str, list[int]] = field(default_factory=dict, repr=False)
    corrections: list[int] = field(default_factory=list, repr=False)

    def add(self, made: Made, stratum: str) -> None:
        """Count one submission."""
        record = made.submission.record_id
        self.submissions += 1
        self.members += len(made.submission.members)
        for count in (self.total, self.strata.setdefault(stratum, Count())):
            if made.first_record is None:
                count.households += 1
                count.people += made.people
            else:
                count.twice += 1
        if made.first_record is not None:
            self.pairs.append((made.first_record, record))
        if made.flaw:
            self.flaws.setdefault(made.flaw.value, []).append(record)
        if made.fault:
            self.faults.setdefault(made.fault.value, []).append(record)

    def as_json(self) -> str:
        """Return the content of `truth.json`."""
        content = {**asdict(self), "reference_date": self.reference_date.isoformat()}
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def generate(source: Shape | int, seed: int, reference_date: date) -> Iterator[Submission]:
    """Yield the registrations of a population, in the order in which they are sent in.

    `source` is a shape, or the number of households of a free population; the same arguments give
    the same submissions. Streams: memory does not grow with the population. Refuses a negative
    seed and numbers of households out of range.
    """
    return (made.submission for made in Making.begun(source, seed, reference_date).made())


def write_population(
    out_folder: Path,
    source: Shape | int,
    seed: int,
    reference_date: date,
    file_format: ExportFormat = ExportFormat.JSON_LINES,
    progress: Callable[[int, int], None] | None = None,
) -> Truth:
    """Write `registrations.*`, `corrections.*` and `truth.json` to `out_folder`; return the truth.

    Corrections are later revisions of the registrations whose card or account was rejected or
    whose payment came back, with a new card or account. `progress` is told, submission by
    submission, the distinct households made and how many were asked for. Refuses what
    `generate` refuses, and more than 20,000 households as XLSX, before anything is written.
    """
    count = source.households if isinstance(source, Shape) else source
    if file_format is ExportFormat.XLSX and count > XLSX_HOUSEHOLDS_MAX:
        raise TOO_LARGE_FOR_XLSX.refusal(count=count, most=XLSX_HOUSEHOLDS_MAX)
    making = Making.begun(source, seed, reference_date)
    names = [stratum.name for stratum in source.strata] if isinstance(source, Shape) else [FREE]
    truth = Truth(seed, reference_date, strata={name: Count() for name in names})
    faulty: list[Made] = []
    write = write_xlsx if file_format is ExportFormat.XLSX else write_json_lines
    out_folder.mkdir(parents=True, exist_ok=True)
    registrations = _told(making, truth, names, faulty)
    if progress is not None:
        registrations = _counted(registrations, truth, count, progress)
    write(out_folder / f"registrations.{file_format}", registrations)
    corrections = [revised for made in faulty if (revised := making.corrected(made))]
    truth.corrections = [revised.record_id for revised in corrections]
    write(out_folder / f"corrections.{file_format}", corrections)
    (out_folder / "truth.json").write_text(truth.as_json(), encoding="utf-8")
    return truth


def _told(
    making: Making, truth: Truth, names: list[str], faulty: list[Made]
) -> Iterator[Submission]:
    """Yield the submissions and write down on the way what is known of them."""
    for made in making.made():
        truth.add(made, names[made.stratum])
        if made.fault:
            faulty.append(made)
        yield made.submission


def _counted(
    submissions: Iterator[Submission],
    truth: Truth,
    count: int,
    progress: Callable[[int, int], None],
) -> Iterator[Submission]:
    for submission in submissions:
        progress(truth.total.households, count)
        yield submission
