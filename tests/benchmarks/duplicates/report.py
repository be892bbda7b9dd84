"""The page: floors, precision and recall by band and script, wrong stops, speed, parameters.

Accuracy figures follow from the seed and are the same everywhere; seconds depend on the machine,
which others share: the ratios are the floors, and those of processor seconds are what a busy
neighbour changes least.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version

from tests.benchmarks.duplicates.accuracy import F1_MIN, PER, PRECISION_MIN, RECALL_MIN, Accuracy
from tests.benchmarks.duplicates.registry import PARAMETERS
from tests.benchmarks.duplicates.speed import Piece
from tests.benchmarks.report import machine

LINK_MAX = 1.2
NEW_MAX = 1.3
TOKENS_MAX = 2.0
MEMORY_MB_MAX = 3 * 1024
NOTE_TIMES = 1.5  # a miss below this, of seconds on a shared machine, is a note
PACKAGES = ("duckdb", "splink", "faker", "numpy", "pyarrow")

COMPARED = """\
Linking is compared by its stage `link`: candidates, weights, bands and clusters beside Splink's own
`predict` and connected components, with the same comparable columns, the same keys to block by and
the same model, learned once by ours. New people are compared with everybody held, who are ready in
both; theirs is `predict_between`. Plain Splink may take as much memory as it wants; ours may not.
"""
OPTIMISTIC = """\
What remains optimistic: names are drawn from lists and spelled by eight habits that one hand wrote
down; a family's clerk is consistent on one day; errors are independent of each other and of the
name; parents' names are always known; nobody hides who they are. Measure on your own registry:
`cva duplicates find` writes the pairs, and a sample of them, decided by people, says more.
"""


@dataclass(frozen=True, slots=True)
class Floor:
    """What was measured, and what it must be."""

    name: str
    measured: float
    limit: float
    least: bool = False
    timed: bool = False

    @property
    def verdict(self) -> str:
        """within, note or MISSED; a ratio of seconds that is missed narrowly is a note."""
        if self.measured >= self.limit if self.least else self.measured <= self.limit:
            return "within"
        near = self.timed and self.measured <= self.limit * NOTE_TIMES
        return "note" if near else "MISSED"

    def __str__(self) -> str:
        sign = "≥" if self.least else "≤"
        return f"| {self.name} | {self.measured:.4g} | {sign} {self.limit:.4g} | {self.verdict} |"


@dataclass(frozen=True, slots=True)
class Race:
    """A piece of ours beside the plain one."""

    name: str
    ours: Piece
    plain: Piece
    most: float
    counted: tuple[str, ...] = ()  # stages; all where none is named

    @property
    def wall(self) -> float:
        """Ours in times of the plain one, by the clock."""
        return self.ours.took(*self.counted).seconds / self.plain.took(*self.counted).seconds

    @property
    def cpu(self) -> float:
        """Ours in times of the plain one, by processor seconds."""
        return self.ours.took(*self.counted).cpu / self.plain.took(*self.counted).cpu


def accuracy_floors(found: Accuracy) -> list[Floor]:
    """Return the floors of accuracy."""
    return [
        Floor(
            "precision of the automatic band", found.automatic.precision, PRECISION_MIN, least=True
        ),
        Floor("recall of automatic and review", found.found.recall, RECALL_MIN, least=True),
        Floor("F1 of automatic and review", found.found.f1, F1_MIN, least=True),
        Floor("automatic links in close families", found.close_automatic, 0),
    ]


def speed_floors(races: list[Race]) -> list[Floor]:
    """Return the floors of speed and memory."""
    floors = []
    for race in races:
        floors.append(Floor(f"{race.name}: times plain, CPU", race.cpu, race.most, timed=True))
        floors.append(Floor(f"{race.name}: times plain, clock", race.wall, race.most, timed=True))
    floors += [Floor(f"{race.name}: MB", race.ours.peak_mb, MEMORY_MB_MAX) for race in races[:1]]
    return floors


def page(found: Accuracy, races: list[Race], on: date) -> str:
    """Return the whole page."""
    floors = [*accuracy_floors(found), *speed_floors(races)]
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return "\n".join(
        [
            f"# Duplicates: {found.records:,} records, {on.isoformat()}\n",
            f"- {next(machine())}",
            f"- {versions}\n",
            "| figure | measured | floor | |\n|---|---:|---:|---|",
            *map(str, floors),
            "",
            *_rates(found),
            *_stops(found),
            *_races(races),
            OPTIMISTIC,
            "Everything the registry is made from:\n",
            f"```yaml\n{PARAMETERS.read_text(encoding='utf-8')}```\n",
        ]
    )


def _rates(found: Accuracy) -> Iterator[str]:
    yield "| links | made | true | true pairs there were | precision | recall | F1 |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, rates in {**found.bands, **found.scripts}.items():
        yield (
            f"| {name} | {rates.links:,} | {rates.true:,} | {rates.pairs:,}"
            f" | {rates.precision:.4f} | {rates.recall:.4f} | {rates.f1:.4f} |"
        )
    close = f"{found.close_automatic} automatic, {found.close_review:,} to review"
    yield f"\nIn close families: {close}.\n"


def _stops(found: Accuracy) -> Iterator[str]:
    yield "Wrong stops: people registered once whose payment waits, by nationality and script.\n"
    yield f"| group | records | to review | of {PER:,} | automatic | times everybody |"
    yield "|---|---:|---:|---:|---:|---:|"
    everybody = found.stops[-1]
    mean = (everybody.review + everybody.automatic) / everybody.records
    for stops in found.stops:
        share = (stops.review + stops.automatic) / stops.records
        times = f"{share / mean:.2f}" if mean else "–"
        yield (
            f"| {stops.group} | {stops.records:,} | {stops.review:,} | {PER * share:.1f}"
            f" | {stops.automatic:,} | {times} |"
        )
    yield ""


def _races(races: list[Race]) -> Iterator[str]:
    if not races:
        return
    yield "| piece | s | CPU s | peak MB | found | stages |"
    yield "|---|---:|---:|---:|---:|---|"
    for race in races:
        for who, piece in (("ours", race.ours), ("plain", race.plain)):
            stages = ", ".join(f"{name} {t.seconds:.2f}" for name, t in piece.stages.items())
            took = piece.took()
            yield (
                f"| {race.name}: {who} | {took.seconds:.2f} | {took.cpu:.2f}"
                f" | {piece.peak_mb:,} | {piece.found:,} | {stages} |"
            )
    yield f"\n{COMPARED}"
