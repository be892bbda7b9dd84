"""`python -m tests.benchmarks.duplicates`: accuracy, then speed; print the page, keep it."""

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq

from tests.benchmarks.__main__ import RESULTS
from tests.benchmarks.duplicates import speed
from tests.benchmarks.duplicates.accuracy import linked, measured
from tests.benchmarks.duplicates.registry import FULL, generate
from tests.benchmarks.duplicates.report import LINK_MAX, NEW_MAX, TOKENS_MAX, Race, page
from tests.benchmarks.duplicates.speed import Piece

MILLION = 1_000_000


def races(records: int) -> list[Race]:
    """Run every piece beside its limit."""
    with tempfile.TemporaryDirectory() as folder:
        people, kept = Path(folder) / "people.parquet", Path(folder) / "model.json"
        pq.write_table(generate(records).people, people)
        link = Race(
            f"link {records:,} people", speed.apart(speed.link_ours, people, kept),
            speed.apart(speed.link_plain, people, kept), LINK_MAX, ("link",),
        )  # fmt: skip
        _say(_told("linked", link.ours, link.plain))
        some = min(speed.NEW, records // 10)
        new = speed.apart(speed.compare_new, people, kept, some)
        _say(_told(f"{some:,} new", *new))
        one = speed.apart(speed.compare_new, people, kept, 1)
        _say(_told("one", *one))
        tokens = speed.apart(speed.make_tokens, people)
        _say(_told("tokens", *tokens))
    against = f"against {records:,}"
    return [
        link,
        Race(f"{some:,} new {against}", *new, NEW_MAX),
        Race(f"one {against}", *one, NEW_MAX),
        Race(f"tokens of {records:,} people", *tokens, TOKENS_MAX),
    ]


def _told(what: str, ours: Piece, plain: Piece) -> str:
    told = [
        f"{who} " + ", ".join(f"{k} {t.seconds:.2f} ({t.cpu:.2f})" for k, t in piece.stages.items())
        + f", {piece.peak_mb} MB, {piece.found:,}"
        for who, piece in (("ours", ours), ("plain", plain))
    ]  # fmt: skip
    return f"{what}: {'; '.join(told)}"


def _say(said: str) -> None:
    sys.stderr.write(f"{said}\n")


def main(arguments: list[str]) -> None:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.duplicates", description=__doc__
    )
    parser.add_argument("--records", type=int, default=FULL, help="for accuracy")
    parser.add_argument("--people", type=int, default=MILLION, help="for speed; 0 leaves it out")
    parser.add_argument("--record", action="store_true", help="keep the page under results/")
    wanted = parser.parse_args(arguments)
    registry = generate(wanted.records)
    found = measured(registry, linked(registry.people))
    _say(f"F1 {found.found.f1:.4f}, automatic precision {found.automatic.precision:.4f}")
    del registry
    today = datetime.now(UTC).date()
    text = page(found, races(wanted.people) if wanted.people else [], today)
    sys.stdout.write(text)
    if wanted.record:
        path = RESULTS / f"{today.isoformat()}-duplicates-{wanted.records}.md"
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
