"""The run: each piece in a fresh process, ours and the bare kernel in turn."""

import multiprocessing
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from tests.benchmarks.simulations import pieces
from tests.benchmarks.simulations.pieces import Answer

ROUNDS = 3
Say = Callable[[str], None]


@dataclass
class Results:
    """What the run found."""

    households: int
    draws: int
    rounds: list[tuple[Answer, Answer]] = field(default_factory=list)  # ours, the kernel
    pieces: dict[str, Answer] = field(default_factory=dict)

    @property
    def times_kernel(self) -> float:
        """Our processor seconds in times of the bare kernel's: the median of the rounds."""
        return median(ours.took.cpu / bare.took.cpu for ours, bare in self.rounds)


def run(households: int, draws: int, *, rounds: int = ROUNDS, say: Say) -> Results:
    """Run everything. Raises AssertionError where ours and the kernel differ."""
    results = Results(households, draws)
    for number in range(rounds):
        ours = apart(pieces.draws_of_scenario, draws)
        bare = apart(pieces.draws_of_kernel, draws)
        if abs(ours.answer / bare.answer - 1) > 1e-9:
            message = f"the kernel says {bare.answer}, we say {ours.answer}"
            raise AssertionError(message)
        results.rounds.append((ours, bare))
        say(f"round {number + 1}: {ours.took.cpu:.2f} s CPU, kernel {bare.took.cpu:.2f} s")
    with tempfile.TemporaryDirectory(prefix="cva-bench-") as name:
        folder = Path(name)
        work: dict[str, tuple[Callable[..., Answer], tuple[object, ...]]] = {
            "write a synthetic snapshot": (pieces.snapshot, (folder, households)),
            "gather cells": (pieces.cells_gathered, (folder, ())),
            "a scenario on cells": (pieces.scenario_on_cells, (folder, ())),
            "gather cells by province": (pieces.cells_gathered, (folder, ("province",))),
            "a scenario on cells by province": (pieces.scenario_on_cells, (folder, ("province",))),
            "a snapshot to its report": (pieces.report_of, (folder,)),
            "household by household": (pieces.lives, (households,)),
            "frontier of 50 values": (pieces.frontier_of, (households,)),
            "rake and make whole": (pieces.raked_caseload, (households,)),
        }
        for piece, (function, arguments) in work.items():
            results.pieces[piece] = found = apart(function, *arguments)
            say(f"{piece}: {found.took.wall:.3f} s, {found.took.cpu:.3f} s CPU")
    return results


def apart(function: Callable[..., Answer], *arguments: object) -> Answer:
    """Do a piece in a process of its own, so that its memory is its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.benchmarks.simulations.pieces"])
    ours, theirs = context.Pipe()
    process = context.Process(target=_worker, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        answer: Answer = ours.recv()
    finally:
        process.join()
    return answer


def _worker(
    pipe: Connection, function: Callable[..., Answer], arguments: tuple[object, ...]
) -> None:
    pipe.send(function(*arguments))
    pipe.close()
