"""The pieces of work, each for a process of its own: ours and by hand, the short and the whole.

*Decided* is what the criteria come to: status, bits, score and amount of every household, written
as they come. The *whole list* has besides why, the tie key, the rank and who is served, and stands
in the order of household_id. Both are measured from the pack's text on, imports done.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import ibis
import psutil

from eligibility.assessment import assess, judged
from eligibility.rules.checked import load_pack, parameters_on, rules_of
from eligibility.selection import tie_key_sql
from eligibility.snapshot import engine, opened

HERE = Path(__file__).parent
ON = date(2024, 6, 1)
SEED = "bench"
THREADS = 2
WRITTEN = "(FORMAT parquet, COMPRESSION zstd)"
DECIDED = ("household_id", "status", "pass_bits", "unknown_bits", "score", "amount_minor")
LAST_SELECT = "SELECT household_id, status, pass_bits"
Work = Callable[[Path, Path, Path, int], None]


def ours_decided(households: Path, members: Path, out: Path, memory_mb: int) -> None:
    """The pack, judged in columns."""
    rules = rules_of(load_pack(HERE / "twelve.yaml"))
    with engine(out.parent, memory_mb, THREADS) as connection:
        snapshot = opened(connection, households, members, rules)
        table = judged(snapshot, rules, parameters_on(rules.pack, ON), ON)
        due = ibis.ifelse(table.status == "eligible", table.due, ibis.null("int64"))
        query = ibis.to_sql(table.mutate(amount_minor=due).select(*DECIDED), dialect="duckdb")
        connection.execute(f"COPY ({query}) TO '{out}' {WRITTEN}")


def ours_whole(households: Path, members: Path, out: Path, memory_mb: int) -> None:
    """A run, as the product makes it."""
    pack = load_pack(HERE / "twelve.yaml")
    assess(
        households, members, pack, ON, out, seed=SEED, spill=out.parent, memory_mb=memory_mb,
        threads=THREADS,
    )  # fmt: skip


def hand_decided(households: Path, members: Path, out: Path, memory_mb: int) -> None:
    """The statement somebody wrote for these twelve criteria."""
    _by_hand((HERE / "hand_written.sql").read_text(), households, members, out, memory_mb)


def hand_whole(households: Path, members: Path, out: Path, memory_mb: int) -> None:
    """The same, with the list that follows."""
    first = (HERE / "hand_written.sql").read_text().split(LAST_SELECT)[0]
    rest = (HERE / "hand_written_list.sql").read_text()
    key = tie_key_sql(SEED, "household_id")
    comment, _, statement = rest.partition("\n,")
    del comment
    _by_hand(f"{first},{statement.replace('TIE_KEY', key)}", households, members, out, memory_mb)


def _by_hand(statement: str, households: Path, members: Path, out: Path, memory_mb: int) -> None:
    statement = statement.replace("$households", f"'{households}'")
    statement = statement.replace("$members", f"'{members}'")
    with engine(out.parent, memory_mb, THREADS) as connection:
        connection.execute(f"COPY ({statement}) TO '{out}' {WRITTEN}")


WORKS: dict[str, Work] = {
    "ours_decided": ours_decided,
    "hand_decided": hand_decided,
    "ours_whole": ours_whole,
    "hand_whole": hand_whole,
}


def differences(one: Path, two: Path) -> int:
    """How many households two answers say something different of, in the columns of the second."""
    with duckdb.connect() as connection:
        names = connection.execute(f"DESCRIBE SELECT * FROM '{two}'").fetchall()
        columns = ", ".join(str(name) for name, *_ in names)
        [(count,)] = connection.execute(
            f"SELECT count(*) FROM (SELECT {columns} FROM '{one}' EXCEPT SELECT {columns} FROM"
            f" '{two}' UNION ALL (SELECT {columns} FROM '{two}' EXCEPT SELECT {columns} FROM"
            f" '{one}'))"
        ).fetchall()
    return int(count)


def _peak() -> int:
    """Return the most bytes this process held; `getrusage` would say what its parent held."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^VmHWM:\s+([0-9]+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def main(name: str, households: str, members: str, out: str, memory_mb: str) -> None:
    """Do one piece of work and say what it took: seconds, CPU seconds, peak bytes."""
    process = psutil.Process()
    before, start = process.cpu_times(), time.perf_counter()
    WORKS[name](Path(households), Path(members), Path(out), int(memory_mb))
    after, seconds = process.cpu_times(), time.perf_counter() - start
    cpu = after.user + after.system - before.user - before.system
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu": cpu, "peak": _peak()}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
