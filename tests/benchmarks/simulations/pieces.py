"""What is measured: each piece gets ready, then does its work, in a process of its own."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq

from eligibility.rules.checked import Rules, load_pack, rules_of
from eligibility.rules.pack import RulePack
from simulations.cells import View
from simulations.dynamics import Flows, Rates, caseload, checked_months
from simulations.fans import fan
from simulations.funding import funded
from simulations.gathering import gathered
from simulations.lifetimes import Lives, paid_households
from simulations.paths import indexed_values, price_index, rates_along, resampled_changes, window_of
from simulations.projection.served import Roll
from simulations.randomness import Floats, Randomness
from simulations.rates import ecb_record, foreign_minor
from simulations.snapshots import write_synthetic
from simulations.synthesis import assisted_caseload
from tests.benchmarks.simulations import kernel

PACK = Path(__file__).parent / "pack.yaml"
ON = date(2026, 1, 1)
MONTHS, STRATA = 36, 567
LIVES_MONTHS, LIVES_DRAWS = 24, 100
VALUES = 50
REPEATS = 15
SEED = 1


class Took(NamedTuple):
    """Seconds of the wall and of the processor, and the most memory the process ever had."""

    wall: float
    cpu: float
    peak: int  # bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What a piece took, how large it was, and a number to compare its answer by."""

    took: Took
    size: int
    answer: float


def timed(work: Callable[[], float], size: int) -> Answer:
    """Do the work once and return what it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    answer = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return Answer(Took(wall, cpu, peak), size, answer)


# --- draws -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drawn:
    """Flows of 567 strata, uncertain rates, and what each household of a stratum comes to."""

    flows: Flows
    rates: Rates
    measures: Floats

    @classmethod
    def made(cls, draws: int) -> "Drawn":
        """Make them for so many draws."""
        rng = np.random.default_rng(SEED)
        flows = Flows(
            rng.uniform(100, 2000, STRATA),
            rng.uniform(0, 100, (1, STRATA)),
            rng.uniform(0, 2, (MONTHS, STRATA)),
            rng.uniform(0, 0.002, (MONTHS, STRATA)),
        )
        chances = Randomness(SEED)
        rates = Rates(
            chances.uniforms("arrivals", draws),
            0.03 * chances.uniforms("exits", draws),
            0.8 + 0.2 * chances.uniforms("take_up", draws)[:, 0],
            0.05 * chances.uniforms("loss", draws),
            checked_months(6, MONTHS),
        )
        people = rng.integers(1, 10, STRATA)
        return cls(flows, rates, np.column_stack([np.ones(STRATA), people, people * 500_00.0]))


def draws_of_scenario(draws: int) -> Answer:
    """A scenario's draws from chance to fans: caseload, prices, rates, three currencies."""
    made = Drawn.made(draws)

    def work() -> float:
        chances = Randomness(SEED)
        told = caseload(made.flows, made.rates, made.measures)
        window = window_of(ecb_record(), 60)
        changes = resampled_changes(window, chances, draws, MONTHS)
        rates = rates_along(ecb_record().of("2026-10"), changes)
        index = price_index(np.full(draws, 0.3), np.full(draws, 0.2), changes[:, :, 0])
        value = indexed_values(500_00, index, every_months=6, trigger=50_000, round_to=10_00)
        lira = np.rint(told[:, :, 1]).astype(np.int64) * value
        for amounts in (lira, *(foreign_minor(lira, rates.of(name)) for name in ("USD", "EUR"))):
            fan(amounts)
        return fan(told[:, :, 0]).line(50)[-1]

    return timed(work, draws)


def draws_of_kernel(draws: int) -> Answer:
    """The bare kernel for the same draws."""
    made = Drawn.made(draws)
    kept = made.rates.kept()

    def work() -> float:
        told = kernel.walk(
            made.flows.start, made.flows.arrivals[0], made.flows.ageing_in,
            made.flows.ageing_out, kept, made.rates.arrivals[:, 0], made.rates.take_up,
            made.measures,
        )  # fmt: skip
        return fan(told[:, :, 0]).line(50)[-1]

    return timed(work, draws)


# --- cells -------------------------------------------------------------------------------------


def rules_with(ratio: str) -> Rules:
    """The bench's pack with another dependency ratio."""
    content = load_pack(PACK).model_dump(mode="python", by_alias=True, exclude_none=True)
    content["parameters"]["dependency"]["values"] = {date(2020, 1, 1): ratio}
    return rules_of(RulePack.model_validate(content, strict=False))


def snapshot(folder: Path, households: int) -> Answer:
    """A synthetic snapshot, written."""

    def work() -> float:
        write_synthetic(folder, households, SEED, ON)
        return float(households)

    return timed(work, households)


def cells_gathered(folder: Path, groups: tuple[str, ...]) -> Answer:
    """A snapshot read into cells."""
    sizes = []

    def work() -> float:
        cells = gathered(*_files(folder), [_view()], spill=folder, groups=groups)
        sizes.append(len(cells))
        return float(cells.households)

    answer = timed(work, 0)
    return Answer(answer.took, sizes[0], answer.answer)


def scenario_on_cells(folder: Path, groups: tuple[str, ...]) -> Answer:
    """One scenario on the cells: another ratio, who qualifies, who is paid, what it costs.

    The seconds are the least of many, each with a ratio that was not asked before: what other
    programs of the machine take away is not the scenario's.
    """
    cells = gathered(*_files(folder), [_view()], spill=folder, groups=groups)
    spent = []
    for number in range(REPEATS):
        rules = rules_with(f"2.0{number:02d}")
        cpu, wall = time.process_time(), time.perf_counter()
        verdict = cells.verdict(rules, ON)
        paid = funded(cells, verdict, rules.pack.selection)
        answer = int((paid * verdict.amount_minor).sum())
        _ = int((paid * cells.people).sum())
        spent.append((time.perf_counter() - wall, time.process_time() - cpu))
    walls, cpus = zip(*spent, strict=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return Answer(Took(min(walls), min(cpus), peak), len(cells), float(answer))


def _files(folder: Path) -> tuple[Path, Path]:
    return folder / "households.parquet", folder / "members.parquet"


def _view() -> View:
    return View(rules_of(load_pack(PACK)), ON, frozenset({"dependency"}))


def report_of(folder: Path) -> Answer:
    """A snapshot to the finished report of the scenario of costs: pages, charts, workbook, books.

    Two years of months, four days on which the rules run, two thousand draws.
    """
    from cva.simulating import Asked, simulate  # what the other pieces need not hold in memory

    work = folder / "work"
    work.mkdir()
    files = _files(folder)

    def done() -> float:
        report = simulate(Asked("cost", folder / "report", files), work)
        return float(report.tables["waterfall"].frame["then"].iloc[-1])

    return timed(done, pq.read_metadata(files[0]).num_rows)


# --- household by household --------------------------------------------------------------------


def lives(households: int) -> Answer:
    """Every household of every draw: when it comes, when it leaves, what its kind is."""
    rng = np.random.default_rng(SEED)
    made = Lives(
        np.where(rng.random(households) < 0.9, 0, rng.integers(1, LIVES_MONTHS, households)).astype(
            np.int16
        ),
        np.where(
            rng.random(households) < 0.05, rng.integers(1, LIVES_MONTHS, households), 99
        ).astype(np.int16),
        rng.integers(0, STRATA, households).astype(np.int32),
        STRATA,
    )
    rates = Rates(
        np.zeros((LIVES_DRAWS, 1)),
        np.full((LIVES_DRAWS, 1), 0.03),
        np.full(LIVES_DRAWS, 0.9),
        np.full((LIVES_DRAWS, 1), 0.1),
        checked_months(6, LIVES_MONTHS),
    )
    return timed(
        lambda: float(paid_households(made, rates, Randomness(SEED), threads=2).sum()), households
    )


def frontier_of(households: int) -> Answer:
    """Fifty transfer values over households in the rules' order: what each closes of a gap."""
    rng = np.random.default_rng(SEED)
    people = rng.integers(1, 12, households)
    gap = people * rng.integers(0, 2000_00, households)
    ahead = np.arange(households) // STRATA
    each, everybody = np.ones(households), np.ones(households, dtype=np.bool_)
    roll = Roll(people, everybody, each, np.arange(households) % STRATA, ahead.astype(np.float64))
    whole, money = np.ones(STRATA), households * 1000_00 * people.mean()

    def work() -> float:
        closed = []
        for value in np.linspace(200_00, 2000_00, VALUES):
            reached = np.full(STRATA, money / (value * people.mean() * STRATA))
            shares = roll.shares(whole, reached, whole)
            closed.append((shares * np.minimum(people * value, gap)).sum())
        return float(max(closed))

    return timed(work, households)


def raked_caseload(households: int) -> Answer:
    """A caseload raked to its margins and made whole."""
    return timed(lambda: float(assisted_caseload(households, Randomness(SEED)).people), households)
