"""A disk that is full: recognised whoever meets it, and said in one way.

Python and Arrow raise OSError with the system's number, DuckDB an error with the system's words,
the database an error of its own. Whatever a command was writing is gone with its transaction and
its work folder, so that the same command goes on once there is room.

Source: errno(3): ENOSPC no space, EDQUOT quota used up, EFBIG over the limit for one file.
"""

import errno
import os

from ledgers.problems import Problem, Refusal

DISK_FULL = Problem(
    "disk_full",
    "The disk is full: {place} could not be written.",
    "Make room where it lies, then repeat the command; nothing of it was kept.",
)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WORDS = tuple(os.strerror(number) for number in FULL)


def refusal_of(error: BaseException) -> Refusal | None:
    """Return the refusal `disk_full` where the error, or one that it came from, says so."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in FULL:
            return DISK_FULL.refusal(place=_named(seen.filename) or "a file of this command")
        if type(seen).__module__.partition(".")[0] in ("duckdb", "_duckdb") and any(
            word in str(seen) for word in WORDS
        ):
            return DISK_FULL.refusal(place="the work folder")
        seen = seen.__cause__ or seen.__context__
    return None


def _named(path: object) -> str:
    return str(path) if isinstance(path, str | os.PathLike) else ""
