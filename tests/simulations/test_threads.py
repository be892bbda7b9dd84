"""The same scenario and seed give the same bytes whatever the number of threads of any library."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASKED = """
import hashlib, sys, tempfile
from pathlib import Path
import numpy as np
from simulations.dynamics import Flows, Rates, caseload, checked_months
from simulations.gathering import gathered
from simulations.paths import normal_changes, rates_along, window_of
from simulations.randomness import Randomness
from simulations.rates import ecb_record
from simulations.snapshots import write_synthetic
from simulations.synthesis import assisted_caseload
from tests.benchmarks.simulations.pieces import Drawn, ON, _view

digest = hashlib.sha256()
chances = Randomness(3)
digest.update(assisted_caseload(20_000, chances).whole.tobytes())
window = window_of(ecb_record(), 60)
start = ecb_record().of("2026-10")
digest.update(rates_along(start, normal_changes(window, chances, 300, 24)).rates.tobytes())
made = Drawn.made(300)
digest.update(caseload(made.flows, made.rates, made.measures).tobytes())
with tempfile.TemporaryDirectory() as name:
    files = write_synthetic(Path(name), 3_000, 1, ON)
    for file in files:
        digest.update(file.read_bytes())
    cells = gathered(*files, [_view()], spill=Path(name), threads=int(sys.argv[1]))
    digest.update(cells.weight.tobytes())
    for pair in cells.columns.values():
        digest.update(pair.low.tobytes() + pair.high.tobytes())
print(digest.hexdigest())
"""


def told(threads: int, zone: str) -> str:
    libraries = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", ASKED, str(threads)],
        env={"PATH": os.environ["PATH"], "TZ": zone, "PYTHONHASHSEED": str(threads)}
        | dict.fromkeys(libraries, str(threads)),
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def test_threads_zones_and_hashes_change_nothing() -> None:
    assert told(1, "UTC") == told(4, "Asia/Riyadh")
