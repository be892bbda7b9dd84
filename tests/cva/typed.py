"""Commands as people type them: each in a process of its own, with a login and its answer."""

import json
import subprocess
import sys
from collections.abc import Mapping

from tests.databases import ROOT

PASSPHRASE = "four words that differ"


class Typed:
    """Types commands of `cva`; whose login it is stands in `by`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = {
            **environment, "CVA_NEW_PASSPHRASE": PASSPHRASE, "CVA_PASSPHRASE": PASSPHRASE,
            "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def __call__(self, *words: str, ends: int = 0, by: str = "deniz") -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from cva.cli.main import main; main()", *words],
            env={**self.environment, "CVA_USER": by}, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout + done.stderr

    def rows(self, *words: str) -> list[dict]:
        return json.loads(self(*words, "--format", "json"))
