"""`python -m tests.benchmarks.rules`: run the bench of the rules, print its page, keep it."""

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.__main__ import RESULTS
from tests.benchmarks.rules.report import FULL, page
from tests.benchmarks.rules.running import run


def main(arguments: list[str]) -> None:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.rules", description=__doc__)
    parser.add_argument("--households", type=int, default=FULL)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where the caseload is kept between runs")
    parser.add_argument("--record", action="store_true", help="keep the page under results/")
    wanted = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cva-bench-") as made:
        folder = wanted.folder or Path(made)
        results = run(
            wanted.households, folder, rounds=wanted.rounds,
            say=lambda said: sys.stderr.write(f"{said}\n"),
        )  # fmt: skip
    today = datetime.now(UTC).date()
    text = page(results, today)
    sys.stdout.write(text)
    if wanted.record:
        path = RESULTS / f"{today.isoformat()}-rules-{wanted.households}.md"
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
