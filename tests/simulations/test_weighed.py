"""A survey with weights: whatever is told counts the households that its rows stand for."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simulations.projection.courses import People
from simulations.projection.running import Projection, project
from simulations.projection.served import Served
from simulations.report.building import manifest_of, report_of
from simulations.report.differences import Comparison
from simulations.report.page import page_of
from simulations.report.wording import Language
from tests.eligibility.snapshots import ADULT, write_snapshot
from tests.simulations.scenario_files import changed, scenario_of

# Province, coping strategies, people, weight. The base takes 19 and more, the variant 25.
ROWS = [("TR-27", 20, 2, 2.6), ("TR-33", 20, 3, 10.0), ("TR-33", 30, 1, 100.2),
        ("TR-27", 10, 4, 1000.4)]  # fmt: skip
VARIANT = """\
variants:
  - code: stricter
    name: {tr: Sıkı, en: Stricter, ar: أشد}
    overlay: [{parameter: rcsi_least, from: 2026-01-01, value: 25, source: Test}]
"""
STRICTER = changed(
    ("question: cost", "question: comparison"),
    ("caseload:\n", VARIANT + "caseload:\n"),
)


@pytest.fixture
def projection(tmp_path: Path) -> Projection:
    ids = [f"hh_{at}" for at in range(len(ROWS))]
    households = [
        {"household_id": name, "province": province, "has_roster": True, "rcsi": rcsi}
        for name, (province, rcsi, _, _) in zip(ids, ROWS, strict=True)
    ]
    members = {name: [ADULT] * row[2] for name, row in zip(ids, ROWS, strict=True)}
    files = write_snapshot(tmp_path, households, members)
    weights = pa.array([row[3] for row in ROWS])
    pq.write_table(pq.read_table(files[0]).append_column("weight", weights), files[0])
    return project(scenario_of(tmp_path, STRICTER), People.of(*files), "lots", tmp_path)


def test_who_is_lost_is_counted_by_weight(projection: Projection, tmp_path: Path) -> None:
    comparison = Comparison(projection, "stricter")
    told = ["lost", "same", "people_lost", "month_difference_minor"]

    [everybody] = comparison.by("everybody")[told].to_numpy().tolist()
    provinces = comparison.by("province")[["province", *told]].to_numpy().tolist()
    [criterion] = comparison.by_criterion().to_numpy().tolist()

    # 2.6 households of two people and 10 of three: 35.2 people, 35,200 TRY a month.
    assert everybody == [13, 100, 35, -3_520_000]
    assert provinces == [["TR-27", 3, 0, 5, -520_000], ["TR-33", 10, 100, 30, -3_000_000]]
    assert criterion == ["criterion:need", 13, 13]
    assert comparison.write(tmp_path) == 2
    file = pq.read_table(tmp_path / "stricter-households_that_differ.parquet")
    assert file.column("weight").cast(pa.float64()).to_pylist() == [2.6, 10.0]


def test_the_page_says_what_the_survey_stands_for(projection: Projection) -> None:
    people = projection.people
    manifest = manifest_of(projection.loaded, people, "survey", "lots", "test", books=False)

    page = page_of(report_of(projection, manifest), Language.EN)

    assert manifest["population"] == {"source": "survey", "rows": 4, "represents": 1113}
    assert "those of a weighed survey: 4, standing for 1,113." in page
    assert "registry snapshot" not in page


def test_weights_are_counted_to_the_thousandth(projection: Projection) -> None:
    households = Served(projection, "base").roll(0).households
    assert households.tolist() == pytest.approx([2.6, 10, 100.2, 1000.4])
