"""Measuring one piece of work: in a process of its own, watched from this one.

Every piece runs in a fresh process with everything imported and its connection open before the
watch starts, so that neither start-up nor what an earlier piece left in memory counts. The watch
samples memory every 20 ms from outside and costs the work nothing but a share of the machine.

Memory of PostgreSQL is what its processes hold for themselves plus its shared pages once: plain
sums would count the shared buffers once for every process that looked at them.
"""

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from threading import Event, Thread
from typing import Any, Self, TypeVar

import psutil

SAMPLE_SECONDS = 0.02
SAMPLES_PER_LOOK = 5  # new server processes are looked for every 100 ms
PRELOADED = ("tests.benchmarks.path", "tests.benchmarks.limits", "tests.benchmarks.far_side")

Opener = Callable[[], AbstractContextManager[object]]
Work = Callable[..., Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Figures:
    """What a piece of work took: seconds, and bytes at the highest moment."""

    wall: float
    client_cpu: float
    server_cpu: float
    peak: int  # client and server together
    client_peak: int
    elsewhere_cpu: float  # of other programs on this machine, meanwhile

    @property
    def cpu(self) -> float:
        """Client and server."""
        return self.client_cpu + self.server_cpu


class Server:
    """The processes of one PostgreSQL server, by the number of its first one."""

    def __init__(self, pid: int) -> None:
        self.first = psutil.Process(pid)
        self.others: list[psutil.Process] = []

    def look(self) -> None:
        """Find the processes that it has now."""
        self.others = self.first.children()

    def cpu(self) -> float:
        """Seconds of all its processes, those that have ended included."""
        self.look()
        own = self.first.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for process in self.others:
            times = _asked(process.cpu_times)
            total += times.user + times.system if times else 0
        return total

    def memory(self) -> int:
        """Bytes: private ones of every process, shared ones once."""
        private = shared = 0
        for process in (self.first, *self.others):
            found = _asked(process.memory_info)
            if found:
                its_shared = getattr(found, "shared", 0)
                private += found.rss - its_shared
                shared = max(shared, its_shared)
        return private + shared


@dataclass
class Watch:
    """Samples memory in a thread until it is closed."""

    server: Server
    client: psutil.Process
    peak: int = 0
    client_peak: int = 0
    _ended: Event = field(default_factory=Event)

    def __enter__(self) -> Self:
        self.server.look()
        self._sample()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        number = 0
        while not self._ended.wait(SAMPLE_SECONDS):
            number += 1
            if number % SAMPLES_PER_LOOK == 0:
                self.server.look()
            self._sample()

    def _sample(self) -> None:
        found = _asked(self.client.memory_info)
        client = found.rss if found else 0
        self.client_peak = max(self.client_peak, client)
        self.peak = max(self.peak, client + self.server.memory())


class Measuring:
    """Runs pieces of work one after the other against one server."""

    def __init__(
        self,
        server_pid: int,
        before_each: Callable[[], None],
        preloaded: Sequence[str] = PRELOADED,
    ) -> None:
        self._server = Server(server_pid)
        self._before_each = before_each
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preloaded))

    def run(self, opener: Opener, work: Work, *arguments: object) -> Any:
        """Do `work(what opener opens, *arguments)` in a process of its own, unmeasured."""
        return self.measure(opener, work, *arguments)[1]

    def measure(self, opener: Opener, work: Work, *arguments: object) -> tuple[Figures, Any]:
        """Do the work as `run` does; return what it took and what it returned."""
        self._before_each()
        with self._started(opener, work, arguments) as (pipe, process):
            before, machine = self._server.cpu(), machine_cpu()
            with Watch(self._server, psutil.Process(process.pid)) as watch:
                pipe.send("go")
                wall, client_cpu, result = _answer(pipe)
            server_cpu = self._server.cpu() - before
            elsewhere = machine_cpu() - machine - client_cpu - server_cpu
            pipe.send("end")
        figures = Figures(
            wall, client_cpu, server_cpu, watch.peak, watch.client_peak, max(elsewhere, 0)
        )
        return figures, result

    @contextmanager
    def _started(
        self, opener: Opener, work: Work, arguments: tuple[object, ...]
    ) -> Iterator[tuple[Pipe, BaseProcess]]:
        pipe, theirs = self._context.Pipe()
        process = self._context.Process(target=_worker, args=(theirs, opener, work, arguments))
        process.start()
        theirs.close()
        try:
            _answer(pipe)
            yield pipe, process
        finally:
            pipe.close()
            process.join()


def _worker(pipe: Pipe, opener: Opener, work: Work, arguments: tuple[object, ...]) -> None:
    try:
        with opener() as opened:
            pipe.send(("ready",))
            pipe.recv()
            cpu, wall = time.process_time(), time.perf_counter()
            result = work(opened, *arguments)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            pipe.send(("done", wall, cpu, result))
            pipe.recv()
    except EOFError:
        pass
    except Exception:  # noqa: BLE001 - told to the process that watches, which raises it
        pipe.send(("failed", traceback.format_exc()))


def _answer(pipe: Pipe) -> tuple[float, float, Any]:
    match pipe.recv():
        case ("ready",):
            return 0.0, 0.0, None
        case ("done", wall, cpu, result):
            return wall, cpu, result
        case (_, trace):
            raise RuntimeError(trace)
        case other:
            raise RuntimeError(str(other))


def machine_cpu() -> float:
    """Seconds that all programs of the machine have worked since it was started."""
    times = psutil.cpu_times()
    return times.user + times.system + times.nice


def _asked(question: Callable[[], T]) -> T | None:
    """Ask a process that may have ended meanwhile."""
    try:
        return question()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
