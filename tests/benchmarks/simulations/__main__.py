"""`python -m tests.benchmarks.simulations`: run the simulation's bench, print its page, keep it."""

import argparse
import sys
from datetime import UTC, datetime

from tests.benchmarks.__main__ import RESULTS
from tests.benchmarks.simulations.report import DRAWS, FULL, page
from tests.benchmarks.simulations.running import run


def main(arguments: list[str]) -> None:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.simulations")
    parser.add_argument("--households", type=int, default=FULL)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--record", action="store_true", help="keep the page under results/")
    wanted = parser.parse_args(arguments)
    results = run(wanted.households, wanted.draws, say=lambda said: sys.stderr.write(f"{said}\n"))
    today = datetime.now(UTC).date()
    text = page(results, today)
    sys.stdout.write(text)
    if wanted.record:
        path = RESULTS / f"{today.isoformat()}-simulations-{wanted.households}.md"
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
