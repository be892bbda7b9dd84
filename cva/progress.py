"""Progress of long commands: a real count, the rate and the time left, on standard error.

Decides when something is shown and what. Shown is only where somebody looks: where standard error
is a terminal, or where `CVA_PROGRESS` is `always`. Nothing is shown in the first second, then at
most one line a second, and at the end one with the total; a step that ended within a second or had
nothing to count leaves no line at all. A terminal keeps one line, any other stream gets each.
Standard output is never touched, so that answers stay whole in every format.

Work that can be counted takes a `Progress`: what is done so far, and of how many where that is
known. The time left is said only then, and assumes that the rest goes as fast as what is done.
The stopwatch of this module measures spans; what time it is, only `cva.clock` knows.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import TextIO, TypeVar

from cva.settings import Settings

Item = TypeVar("Item")
Progress = Callable[[int, int | None], None]

SECONDS_BETWEEN = 1
WHOLE_RATE_MIN = 10
_AGAIN = "\r\x1b[K"  # back to the start of the terminal's line, and clear it


@contextmanager
def shown(
    what: str,
    settings: Settings,
    out: TextIO | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[Progress | None]:
    """Give the progress of counting `what` (a plural), or None where nobody looks.

    `out` is standard error unless told otherwise; `now` gives seconds that never go back. The last
    line is left out where the work ends by an exception.
    """
    out = out or sys.stderr
    if not (settings.progress_always or out.isatty()):
        yield None
        return
    showing = _Showing(what, out, now)
    try:
        yield showing
    except BaseException:
        showing.leave()
        raise
    showing.end()


@contextmanager
def in_turn(
    whats: Sequence[str],
    settings: Settings,
    out: TextIO | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Iterator[list[Progress | None]]:
    """Give the progress of each of several steps that follow one another, as `shown` does of one.

    The first begins now, every other when it is told of for the first time: the one before it ends
    then. So each has a stopwatch and a last line of its own.
    """
    out = out or sys.stderr
    if not (settings.progress_always or out.isatty()):
        yield [None] * len(whats)
        return
    turns = _Turns(whats[0], out, now)
    try:
        yield [turns.step(what) for what in whats]
    except BaseException:
        turns.showing.leave()
        raise
    turns.showing.end()


def line(what: str, done: int, total: int | None, elapsed: float) -> str:
    """Return the line while it goes on; `elapsed` in seconds, above 0.

    >>> line("records", 12_000, None, 8)
    'records: 12,000, 1,500 a second'
    >>> line("lines", 30_000, 120_000, 20)
    'lines: 30,000 of 120,000 (25 %), 1,500 a second, 1 min 00 s left'
    """
    if not total:
        return f"{what}: {done:,}, {rate(done, elapsed)}"
    left = f", {time_left(done, total, elapsed)} left" if done else ""
    percent = done * 100 // total
    return f"{what}: {done:,} of {total:,} ({percent} %), {rate(done, elapsed)}{left}"


def last_line(what: str, done: int, elapsed: float) -> str:
    """Return the line at the end; `elapsed` in seconds, above 0.

    >>> last_line("records", 12_000, 75)
    'records: 12,000 in 1 min 15 s, 160 a second'
    """
    return f"{what}: {done:,} in {_span(elapsed)}, {rate(done, elapsed)}"


def rate(done: int, elapsed: float) -> str:
    """Return how many a second; `elapsed` in seconds, above 0.

    >>> rate(12_000, 8), rate(7, 2)
    ('1,500 a second', '3.5 a second')
    """
    each = done / elapsed
    return f"{each:,.0f} a second" if each >= WHOLE_RATE_MIN else f"{each:.1f} a second"


def time_left(done: int, total: int, elapsed: float) -> str:
    """Return how long the rest takes if it goes as fast as what is done (above 0).

    >>> time_left(30_000, 120_000, 20)
    '1 min 00 s'
    """
    return _span(max(total - done, 0) * elapsed / done)


def stages(progress: Progress | None, count: int, rows: int) -> Iterator[None]:
    """Return what is to be asked for (`next`) after each of `count` stages of a step in sets.

    A statement over a set cannot be counted while it runs: all `rows` of the step go through one
    stage after the other, and `progress` is told how often a row has gone through one.
    """
    for stage in range(1, count + 1):
        if progress is not None and rows:
            progress(stage * rows, count * rows)
        yield


def counted(items: Iterable[Item], progress: Progress | None, total: int) -> Iterable[Item]:
    """Return the same items, telling `progress` of each that was taken."""
    return items if progress is None else _counted(items, progress, total)


def parts(progress: Progress | None, sizes: Sequence[int]) -> list[Progress | None]:
    """Return a progress for each part of a whole: each tells how far the whole is.

    The parts have `sizes` and are worked on one after the other.
    """
    if progress is None:
        return [None] * len(sizes)
    whole = sum(sizes)
    befores = [end - size for end, size in zip(accumulate(sizes), sizes, strict=True)]
    return [_part(progress, before, whole) for before in befores]


def _counted(items: Iterable[Item], progress: Progress, total: int) -> Iterator[Item]:
    for done, item in enumerate(items, start=1):
        yield item
        progress(done, total)


def _part(progress: Progress, before: int, whole: int) -> Progress:
    def told(done: int, _: int | None) -> None:
        progress(before + done, whole)

    return told


class _Showing:
    """One step that is shown: how far it is, and when that was last said."""

    def __init__(self, what: str, out: TextIO, now: Callable[[], float]) -> None:
        self.what = what
        self.out = out
        self.now = now
        self.in_place = out.isatty()
        self.begun = self.said = now()
        self.done = 0
        self.is_open = False  # the terminal's cursor stands behind a line

    def __call__(self, done: int, total: int | None) -> None:
        self.done = done
        moment = self.now()
        if moment - self.said >= SECONDS_BETWEEN:
            self.said = moment
            self._write(line(self.what, done, total, moment - self.begun), is_last=False)

    def end(self) -> None:
        """Write the last line, unless it all took no time."""
        elapsed = self.now() - self.begun
        if self.done and elapsed >= SECONDS_BETWEEN:
            self._write(last_line(self.what, self.done, elapsed), is_last=True)

    def leave(self) -> None:
        """Let what is said next begin on a line of its own."""
        if self.is_open:
            self.out.write("\n")
            self.out.flush()

    def _write(self, text: str, *, is_last: bool) -> None:
        self.is_open = self.in_place and not is_last
        self.out.write((_AGAIN if self.in_place else "") + text + ("" if self.is_open else "\n"))
        self.out.flush()


class _Turns:
    """Steps of which one is shown at a time."""

    def __init__(self, first: str, out: TextIO, now: Callable[[], float]) -> None:
        self.out = out
        self.now = now
        self.showing = _Showing(first, out, now)

    def step(self, what: str) -> Progress:
        def told(done: int, total: int | None) -> None:
            if self.showing.what != what:
                self.showing.end()
                self.showing = _Showing(what, self.out, self.now)
            self.showing(done, total)

        return told


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
