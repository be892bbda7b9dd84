"""`cva simulate explore`: one parameter, many values, from the command line of a fresh folder."""

import json
import os
import subprocess
import sys
from pathlib import Path


def explore(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "cva", "simulate", "explore", *words],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "CVA_HOME": str(home / "data")},
        check=False, capture_output=True, text=True,
    )  # fmt: skip


def test_values_are_told_beside_the_rules_as_they_stand(tmp_path: Path) -> None:
    done = explore(tmp_path, "dependency_ratio", "1.5,2.0", "--format", "json")
    assert done.returncode == 0, done.stderr
    now, same, stricter = json.loads(done.stdout)
    assert now["dependency_ratio"] == "as it stands"
    assert {**same, "dependency_ratio": ""} == {**now, "dependency_ratio": ""}
    assert (stricter["enter"], stricter["leave"]) == (0, now["qualify"] - stricter["qualify"])
    assert stricter["leave"] > 0


def test_a_name_that_is_no_parameter_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    done = explore(tmp_path, "ratio", "2.0")
    assert done.returncode == 1
    assert "explored_parameter_unknown" in done.stderr
    assert "dependency_ratio" in done.stderr
