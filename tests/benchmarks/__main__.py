"""`python -m tests.benchmarks`: run the bench, print its page, and keep it with `--record`."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.report import page
from tests.benchmarks.running import run

RESULTS = Path(__file__).parent / "results"
DEFAULT = 10_000


def main(arguments: list[str]) -> None:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--households", type=int, default=DEFAULT)
    parser.add_argument("--record", action="store_true", help="keep the page under results/")
    wanted = parser.parse_args(arguments)
    results = run(wanted.households, say=_tell)
    today = datetime.now(UTC).date()
    text = page(results, today)
    sys.stdout.write(text)
    if wanted.record:
        path = RESULTS / f"{today.isoformat()}-{wanted.households}.md"
        path.write_text(text, encoding="utf-8")
        _tell(f"kept in {path.name}")


def _tell(said: str) -> None:
    sys.stderr.write(f"{said}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
