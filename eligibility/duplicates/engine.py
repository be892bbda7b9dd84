"""The database in which people are compared: in memory, and gone afterwards.

Decides where names may be while they are compared: in this process' memory. What does not fit is
refused, unless a folder is given; then DuckDB spills into it encrypted (with a key that lives in
memory only), and the folder is closed to everybody else first. DuckDB itself encrypts only with
the OpenSSL of its extension httpfs; its built-in library has no safe source of keys, and is not
used: where the extension is not installed on the machine, a folder is refused.

Source: DuckDB, "Data-at-Rest Encryption" and `force_mbedtls_unsafe`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from ledgers.problems import Problem

SPILL_UNSAFE = Problem(
    "spill_unsafe",
    "What does not fit into memory cannot be encrypted here, so it is not written to a folder.",
    "Give more memory, or link in parts; or install DuckDB's extension httpfs (OpenSSL).",
)

CLOSED = 0o700


@contextmanager
def engine(
    memory_mb: int, threads: int, spill: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a database in memory with at most `memory_mb` megabytes and `threads` threads.

    `spill` is a folder for what does not fit, made and closed (0700) if it is not there; what is
    written there is encrypted. Without it nothing is ever written. Raises `spill_unsafe`.
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
        if spill is not None:
            _secure(connection)
        yield connection
    except RuntimeError as error:
        # What DuckDB makes of Ctrl-C while it computes.
        if str(error) == "Query interrupted":
            raise KeyboardInterrupt from None
        raise
    finally:
        connection.close()


def _secure(connection: duckdb.DuckDBPyConnection) -> None:
    """Load the extension that encrypts; it is never fetched from anywhere."""
    try:
        connection.execute("LOAD httpfs")
    except duckdb.Error:
        raise SPILL_UNSAFE.refusal() from None
