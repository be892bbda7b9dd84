"""A survey weighed to margins from a file, and every way in which they may not fit."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from eligibility.rules.checked import load_pack, rules_of
from ledgers.problems import Refusal
from simulations.cells import View
from simulations.gathering import gathered
from simulations.snapshots import write_synthetic
from simulations.survey import weigh
from tests.benchmarks.simulations.pieces import PACK

ON = date(2026, 1, 1)
MARGINS = """\
margins:
  - name: households by group
    counts: households
    rows:
      - {population_group: syrian_tp, number: 30000}
      - {population_group: international_protection, number: 6000}
      - {population_group: host, number: 3000}
      - {population_group: migrant, number: 1000}
  - name: people by sex and age
    counts: people
    rows:
      - {sex: female, age: 0-17, number: 51000}
      - {sex: male, age: 0-17, number: 57000}
      - {sex: female, age: 18+, number: 54000}
      - {sex: male, age: 18+, number: 66000}
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_synthetic(tmp_path_factory.mktemp("survey"), 1200, 5, ON)


def margins(folder: Path, text: str = MARGINS) -> Path:
    path = folder / "margins.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def counted(folder: Path, column: str) -> dict[str, int]:
    """Weighted households by a column of the households, or people by sex and age."""
    households = pq.read_table(folder / "households.parquet").to_pandas()
    if column in households:
        return households.groupby(column)["weight"].sum().to_dict()
    members = pq.read_table(folder / "members.parquet").to_pandas()
    members["weight"] = members["household_id"].map(households.set_index("household_id")["weight"])
    adult = [day <= date(2008, 1, 1) for day in members["birth_date"]]
    members["sort"] = [
        f"{sex} {'18+' if old else '0-17'}" for sex, old in zip(members["sex"], adult, strict=True)
    ]
    return members.groupby("sort")["weight"].sum().to_dict()


def test_a_survey_stands_for_the_population(tmp_path: Path, sample: tuple[Path, Path]) -> None:
    found = weigh(*sample, margins(tmp_path), ON, tmp_path / "out")
    groups = counted(tmp_path / "out", "population_group")
    assert groups == {
        "syrian_tp": 30000, "international_protection": 6000, "host": 3000, "migrant": 1000,
    }  # fmt: skip
    assert (found.sample, found.represents) == (1200, sum(groups.values()))
    people = counted(tmp_path / "out", "people")
    expected = {"female 0-17": 51000, "male 0-17": 57000, "female 18+": 54000, "male 18+": 66000}
    off = [abs(people[sort] - number) for sort, number in expected.items()]
    assert max(off) <= found.people_off
    assert found.people_off <= 6
    assert sum(people.values()) == found.people


def test_rules_run_on_what_was_weighed(tmp_path: Path, sample: tuple[Path, Path]) -> None:
    found = weigh(*sample, margins(tmp_path), ON, tmp_path / "out")
    view = View(rules_of(load_pack(PACK)), ON)
    cells = gathered(found.households, found.members, [view], spill=tmp_path)
    assert cells.households == found.represents
    assert int((cells.weight * cells.people).sum()) == found.people


def test_weights_of_the_survey_are_the_start(tmp_path: Path, sample: tuple[Path, Path]) -> None:
    table = pq.read_table(sample[0])
    heavy = [9.5 if row % 2 else 0.5 for row in range(table.num_rows)]
    weighted = tmp_path / "weighted.csv"
    pyarrow.csv.write_csv(table.append_column("weight", pa.array(heavy)), weighted)
    weigh(weighted, sample[1], margins(tmp_path), ON, tmp_path / "out")
    out = pq.read_table(tmp_path / "out" / "households.parquet").to_pandas()
    order = {name: row for row, name in enumerate(table.column("household_id").to_pylist())}
    odd = out["weight"][[order[name] % 2 == 1 for name in out["household_id"]]].sum()
    assert odd / out["weight"].sum() == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("weight", [0.0, -2.0, None])
def test_weights_that_are_not_above_zero_are_refused(
    tmp_path: Path, sample: tuple[Path, Path], weight: float | None
) -> None:
    table = pq.read_table(sample[0])
    weights = pa.array([weight, *[1.0] * (table.num_rows - 1)], pa.float64())
    path = tmp_path / "households.parquet"
    pq.write_table(table.append_column("weight", weights), path)
    with pytest.raises(Refusal, match="seed_weights_wrong"):
        weigh(path, sample[1], margins(tmp_path), ON, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("before", "after", "codes"),
    [
        ("number: 1000}", "number: -1}", ["margin_negative"]),
        ("population_group: host", "population_group: guest", ["margin_without_seed"]),
        (
            "sex: male, age: 18+, number: 66000",
            "sex: male, age: 18+, number: 6000000",
            ["margin_contradicted"],
        ),
        (
            "{population_group: syrian_tp,",
            "{camp: yes, population_group: syrian_tp,",
            ["field_wrong"],
        ),
        ("age: 0-17, number: 51000", "age: young, number: 51000", ["field_wrong"]),
        ("counts: people", "counts: persons", ["field_wrong"]),
    ],
)
def test_margins_that_cannot_hold_are_refused_at_their_place(
    tmp_path: Path, sample: tuple[Path, Path], before: str, after: str, codes: list[str]
) -> None:
    path = margins(tmp_path, MARGINS.replace(before, after, 1))
    with pytest.raises(Refusal, match="margins_refused") as refused:
        weigh(*sample, path, ON, tmp_path / "out")
    found = refused.value.findings
    assert {finding.problem.code for finding in found} >= set(codes)
    assert all(finding.place.file == "margins.yaml" and finding.place.row for finding in found)


def test_margins_of_different_totals_and_unknown_columns_are_refused(
    tmp_path: Path, sample: tuple[Path, Path]
) -> None:
    more = MARGINS + (
        "  - name: households by province\n    counts: households\n"
        "    rows: [{province: TR-34, number: 99}, {province: TR-27, number: 1}]\n"
    )
    with pytest.raises(Refusal) as refused:
        weigh(*sample, margins(tmp_path, more), ON, tmp_path / "out")
    assert "margin_totals_differ" in {f.problem.code for f in refused.value.findings}
    wrong = MARGINS.replace("population_group", "camp")
    with pytest.raises(Refusal) as refused:
        weigh(*sample, margins(tmp_path, wrong), ON, tmp_path / "out")
    assert [f.problem.code for f in refused.value.findings] == ["margin_column_unknown"]


def test_files_that_are_no_survey_are_refused(tmp_path: Path, sample: tuple[Path, Path]) -> None:
    table = pq.read_table(sample[0])
    alone, nobody, nameless = (tmp_path / f"{n}.parquet" for n in ("alone", "nobody", "nameless"))
    pq.write_table(table.slice(5), alone)
    pq.write_table(table.slice(0, 0), nobody)
    pq.write_table(table.drop_columns(["household_id"]), nameless)
    for path in (alone, nobody, nameless, tmp_path / "nowhere.parquet"):
        with pytest.raises(Refusal, match="survey_unreadable"):
            weigh(path, sample[1], margins(tmp_path), ON, tmp_path / "out")
