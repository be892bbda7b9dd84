"""The database in which people are compared: in memory, and gone afterwards.

Decides where names may be while they are compared: in this process' memory. What does not fit is
refused, unless a folder is given; then DuckDB spills into it encrypted (AES, with a key that
lives in memory only), and the folder is closed to everybody else first.

Source: DuckDB, "Data-at-Rest Encryption" (temporary files are encrypted with
`temp_file_encryption`, a key per database instance that is never written).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

CLOSED = 0o700


@contextmanager
def engine(
    memory_mb: int, threads: int, spill: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database in memory with at most `memory_mb` megabytes and `threads` threads.

    `spill` is a folder for what does not fit, made and closed (0700) if it is not there; what is
    written there is encrypted. Without it nothing is ever written.
    """
    if spill is not None:
        spill.mkdir(mode=CLOSED, parents=True, exist_ok=True)
        spill.chmod(CLOSED)
    connection = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": "" if spill is None else str(spill),
            "temp_file_encryption": True,
            "threads": threads,
            "preserve_insertion_order": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    try:
        yield connection
    except RuntimeError as error:
        # What DuckDB makes of Ctrl-C while it computes.
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from None
        raise
    finally:
        connection.close()
