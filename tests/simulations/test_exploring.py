"""Many values of one parameter, each as a real run of the changed pack would say."""

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from eligibility.assessment import assess
from eligibility.rules.checked import load_pack
from eligibility.rules.pack import RulePack
from ledgers.problems import Refusal
from simulations.exploring import Exploration, changed, explored
from simulations.snapshots import write_synthetic
from tests.benchmarks.simulations.pieces import PACK

ON = date(2026, 1, 1)
HOUSEHOLDS = 1500


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_synthetic(tmp_path_factory.mktemp("snapshot"), HOUSEHOLDS, 1, ON)


@pytest.fixture(scope="module")
def pack() -> RulePack:
    return load_pack(PACK)


def decided(files: tuple[Path, Path], pack: RulePack, folder: Path) -> dict[str, bool]:
    out = folder / "decisions.parquet"
    assess(*files, pack, ON, out, seed="seed", spill=folder)
    rows = pq.read_table(out, columns=["household_id", "status"]).to_pylist()
    return {row["household_id"]: row["status"] == "eligible" for row in rows}


@pytest.mark.parametrize(("parameter", "values"), [("dependency", ["2.0", "3"]), ("adult", ["16"])])
def test_each_value_says_what_a_run_of_the_changed_pack_says(
    tmp_path: Path, files: tuple[Path, Path], pack: RulePack, parameter: str, values: list[str]
) -> None:
    found = explored(files, pack, parameter, values, ON, spill=tmp_path)
    now = decided(files, pack, tmp_path)
    assert found.households == HOUSEHOLDS
    assert found.tried[0].qualify == sum(now.values())
    assert (found.tried[0].enter, found.tried[0].leave) == (0, 0)
    for tried in found.tried[1:]:
        then = decided(files, changed(pack, parameter, str(tried.value)), tmp_path)
        assert tried.enter == sum(then[name] and not now[name] for name in now)
        assert tried.leave == sum(now[name] and not then[name] for name in now)
        assert tried.qualify == sum(then.values())
        assert tried.leave or tried.enter


def test_a_sample_stands_for_as_many_as_it_is_said_to(
    tmp_path: Path, files: tuple[Path, Path], pack: RulePack
) -> None:
    def told(represents: int | None) -> Exploration:
        return explored(
            files, pack, "dependency", ["2.0"], ON, spill=tmp_path, represents=represents
        )

    plain, scaled = told(None), told(10 * HOUSEHOLDS)
    assert scaled.households == 10 * HOUSEHOLDS
    for one, ten in zip(plain.tried, scaled.tried, strict=True):
        assert (ten.qualify, ten.leave) == (10 * one.qualify, 10 * one.leave)
        assert ten.amount_minor == 10 * one.amount_minor


def test_parameters_and_values_that_cannot_be_are_refused(
    tmp_path: Path, files: tuple[Path, Path], pack: RulePack
) -> None:
    for parameter, value, code in (
        ("ratio", "2.0", "explored_parameter_unknown"),
        ("dependency", "many", "explored_value_wrong"),
        ("dependency", "-1", "explored_value_wrong"),
        ("adult", "17.5", "explored_value_wrong"),
    ):
        with pytest.raises(Refusal, match=code):
            explored(files, pack, parameter, [value], ON, spill=tmp_path)
