"""`cva simulate explore`, `weigh` and `essn`, from the command line of a fresh folder."""

import json
import os
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

from simulations.snapshots import write_synthetic


def explore(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return cva(home, "explore", *words)


def cva(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "cva", "simulate", *words],
        env={"PATH": os.environ["PATH"], "HOME": str(home), "CVA_HOME": str(home / "data")},
        check=False, capture_output=True, text=True,
    )  # fmt: skip


def test_values_are_told_beside_the_rules_as_they_stand(tmp_path: Path) -> None:
    done = explore(tmp_path, "dependency_ratio", "1.5,2.0", "--format", "json")
    assert done.returncode == 0, done.stderr
    now, same, stricter = rows = json.loads(done.stdout)
    assert now["dependency_ratio"] == "as it stands"
    assert {**same, "dependency_ratio": ""} == {**now, "dependency_ratio": ""}
    assert (stricter["enter"], stricter["leave"]) == (0, now["qualify"] - stricter["qualify"])
    assert stricter["leave"] > 0
    # Several populations fit the published figures: what those leave open is a range.
    for row in rows:
        low, own, high = (
            Decimal(str(row[name]).split()[0]) for name in ("lowest", "a cycle", "highest")
        )
        assert low <= own <= high
        assert low < high


def test_a_name_that_is_no_parameter_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    done = explore(tmp_path, "ratio", "2.0")
    assert done.returncode == 1
    assert "explored_parameter_unknown" in done.stderr
    assert "dependency_ratio" in done.stderr


def test_a_survey_is_weighed_to_margins(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "survey", 300, 1, date(2026, 1, 1))
    (tmp_path / "margins.yaml").write_text(
        "margins:\n  - name: sexes\n    counts: people\n    rows:\n"
        "      - {sex: female, number: 850}\n      - {sex: male, number: 850}\n",
        encoding="utf-8",
    )
    words = ["--households", "households.parquet", "--members", "members.parquet"]
    files = [str(tmp_path / "survey" / word) if "." in word else word for word in words]
    margins = str(tmp_path / "margins.yaml")
    out = ["--out", str(tmp_path / "out"), "--on", "2026-01-01", "--format", "json"]
    done = cva(tmp_path, "weigh", *files, "--margins", margins, *out)
    assert done.returncode == 0, done.stderr
    [told] = json.loads(done.stdout)
    assert (told["sample"], told["represents"]) == (300, 300)
    assert abs(told["people"] - 1700) <= 2 * told["people_off"] + 2


def test_published_transfers_are_told_month_by_month(tmp_path: Path) -> None:
    months = ["--from", "2019-05", "--to", "2019-09", "--people", "6", "--format", "json"]
    done = cva(tmp_path, "essn", *months)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["month"], row["transfer"], row["published of it"]) for row in rows] == [
        ("2019-05", "not published", "720.00"), ("2019-06", "not published", "720.00"),
        ("2019-07", "not published", "720.00"), ("2019-08", "1020.00", "1020.00"),
        ("2019-09", "720.00", "720.00"),
    ]  # fmt: skip
    assert "50-250" in rows[0]["why"]
    assert all(row["source"].startswith("https://") for row in rows)
