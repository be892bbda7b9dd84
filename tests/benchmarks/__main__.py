"""`python -m tests.benchmarks`: run the bench, print its pages, and keep them with `--record`."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.report import page
from tests.benchmarks.running import run

RESULTS = Path(__file__).parent / "results"
DEFAULT = (10_000, 131_072)


def main(arguments: list[str]) -> None:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--households", type=int, nargs="+", default=DEFAULT)
    parser.add_argument("--record", action="store_true", help="keep the pages under results/")
    wanted = parser.parse_args(arguments)
    for households in wanted.households:
        _bench(households, record=wanted.record)


def _bench(households: int, *, record: bool) -> None:
    results = run(households, say=_tell)
    today = datetime.now(UTC).date()
    text = page(results, today, RESULTS)
    sys.stdout.write(f"{text}\n")
    if record:
        path = RESULTS / f"{today.isoformat()}-{households}.md"
        path.write_text(text, encoding="utf-8")
        _tell(f"kept in {path.name}")


def _tell(said: str) -> None:
    sys.stderr.write(f"{said}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
