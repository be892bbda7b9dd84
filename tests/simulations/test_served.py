"""Poverty is told of those whom the ledger pays, in the month that is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simulations.projection.courses import People
from simulations.projection.running import Projection, project
from simulations.projection.served import Served, real_values
from simulations.report.building import report_of
from simulations.report.model import Report, Sentence
from simulations.report.reaching import PARTS, targeted_of
from simulations.scenario.reading import Loaded
from simulations.snapshots import write_synthetic
from simulations.targeting import measured
from tests.simulations.scenario_files import PACK, SCENARIO, changed, scenario_of
from tests.simulations.test_projection import MONTH, STILL, grant, village

LINE = 500_000
TARGETING = (
    "targeting:\n  line: 5000.00\n  line_source: Test\n  expenditure:"
    " {column: spends_minor, source: Test}\n"
)
OTHER = (
    "variants:\n  - code: stricter\n    name: {tr: Sıkı, en: Stricter, ar: أشد}\n    overlay:\n"
    "      - {parameter: rcsi_least, from: 2026-01-01, value: 20, source: Test}\n"
)


def surveyed(folder: Path, spends: int = 400_000) -> People:
    """The village, in which every person spends as much."""
    people = village(folder)
    table = pq.read_table(people.households)
    column = pa.array([spends] * len(table), pa.int64())
    pq.write_table(table.append_column("spends_minor", column), people.households)
    return people


def ran(folder: Path, text: str, **changes: object) -> Projection:
    loaded = scenario_of(folder, text)
    scenario = loaded.scenario.model_copy(update=changes)
    return project(Loaded(scenario, loaded.courses, loaded.packs), surveyed(folder), "lots", folder)


def of_poverty(folder: Path, **changes: object) -> Projection:
    text = STILL.replace("question: cost", "question: targeting").replace(
        "prices:\n", OTHER + "prices:\n"
    )
    return ran(folder, text + TARGETING, **changes)


def told(projection: Projection) -> Report:
    return report_of(projection, {})


def test_poverty_of_a_month_without_money_is_that_of_nobody_paid(tmp_path: Path) -> None:
    # 1,400 USD a month at 50: 5,000 USD last three months and 16 households of the fourth.
    report = told(of_poverty(tmp_path, grants=(grant(currency="USD", amount="5000.00"),)))

    frame = report.tables["measures"].frame
    after = frame[frame["measure"] == "fgt1_after"]
    # Everybody lacks 1,000 of 5,000 TRY, and everybody who is paid gets just that.
    assert after["month"].tolist() == ["2026-01-01", "2026-06-01"]
    assert after["base_rules"].tolist() == pytest.approx([0.0, 0.2])
    closed = frame[frame["measure"] == "gap_closed"]["base_rules"].tolist()
    assert closed == pytest.approx([1.0, 0.0])
    [base, _] = report.answer
    assert base.facts["first"] == Sentence("a_month", {"month": "2026-01"})
    assert base.facts["last"] == Sentence("a_month", {"month": "2026-06"})
    assert base.facts["gap_last"] == Sentence("a_share", {"millionths": 0})


def test_a_first_month_without_money_has_no_share_of_those_paid(tmp_path: Path) -> None:
    report = told(of_poverty(tmp_path, grants=(grant(**{"from": "2026-02-01"}),)))

    [base, _] = report.answer
    assert base.facts["inclusion"] == "–"
    assert base.facts["gap"] == Sentence("a_share", {"millionths": 0})
    assert base.facts["gap_last"] == Sentence("a_share", {"millionths": 1_000_000})


def test_where_money_ends_the_first_of_the_order_are_paid(tmp_path: Path) -> None:
    projection = of_poverty(tmp_path, grants=(grant(currency="USD", amount="5000.00"),))
    spending = np.full(30, 400_000)

    fourth = targeted_of(projection, "base", 3, spending)

    # 11 of 20 households of two, 5 of 10 of three: whole ones, in the order of their lots.
    assert sorted(fourth.paid.tolist()) == [0] * 14 + [PARTS] * 16
    assert [fourth.paid[fourth.people == people].sum() // PARTS for people in (2, 3)] == [11, 5]
    rank = pq.read_table(projection.base.loads.runs[0].decisions).column("rank").to_numpy()
    for people in (2, 3):
        own = fourth.people == people
        assert rank[own & (fourth.paid > 0)].max() < rank[own & (fourth.paid == 0)].min()


def test_who_does_not_take_it_up_and_whose_payment_fails_stays_poor(tmp_path: Path) -> None:
    text = changed(("exits: 0.01", "take_up: 0.8")).replace(
        "grants:\n", "costs: {failed: 0.25}\ngrants:\n"
    )
    projection = ran(tmp_path, text, grants=(grant(),))
    ledger = projection.base.base

    first = targeted_of(projection, "base", 0, np.full(30, 400_000))

    # 16 of 20 and 8 of 10 take it up; 4 and 2 of these payments fail.
    assert (ledger.due[0, 0], ledger.paid[0, 0]) == (24, 18)
    assert set(first.paid.tolist()) == {600}
    assert measured(first, LINE).after.fgt0 == pytest.approx(0.4)
    assert measured(first, LINE).people.by_list.exclusion == pytest.approx(0.4)


def test_a_transfer_that_prices_leave_behind_closes_less(tmp_path: Path) -> None:
    text = STILL.replace("{annual: 0}", "{monthly: [0, 0, 0, 0, 0, 0.25]}")
    projection = ran(tmp_path, text, grants=(grant(),))

    values = real_values(projection, "base")

    assert values[0].tolist() == values[4].tolist() == [200_000, 300_000]
    assert values[5].tolist() == [160_000, 240_000]
    last = targeted_of(projection, "base", 5, np.full(30, 400_000))
    assert measured(last, LINE).value.gap_closed == pytest.approx(0.8)


def test_every_month_the_households_add_up_to_the_ledger(tmp_path: Path) -> None:
    # A quota, arrivals and exits, recertification, cards that fail, and money that ends.
    text = SCENARIO.replace("  exits: 0.01\n", (
        "  arrivals: 0.03\n  exits: 0.02\n  take_up: 0.9\n  recertification_months: 2\n"
        "  recertification_loss: 0.1\n"
    )).replace("every_months: 6\n", (
        "every_months: 2\n  selection:\n    order: highest_score_first\n"
        "    quota: {by: province, households: {TR-27: 30, TR-34: 9, TR-63: 25, TR-31: 40}}\n"
    )).replace("grants:\n", "costs: {failed: 0.1}\ngrants:\n")  # fmt: skip
    loaded = scenario_of(tmp_path, text.replace("100000.00", "12000.00"), PACK)
    files = write_synthetic(tmp_path / "population", 400, 7, loaded.scenario.start)
    projection = project(loaded, People.of(*files), "lots", tmp_path)
    ledger, served = projection.base.base, Served(projection, "base")

    assert ledger.unfunded.sum() > 0
    assert ledger.paid[0].sum() > 0
    for month in range(6):
        roll = served.roll(month)
        paid = roll.households * served.shares(ledger, month) * served.registered[month]
        counted = np.bincount(
            roll.stratum[roll.stratum >= 0], weights=paid[roll.stratum >= 0],
            minlength=len(projection.base.strata.quota),
        )  # fmt: skip
        # Whole households round up what is expected: never by one in a stratum.
        apart = np.abs(counted - ledger.paid_by_group[0, month])
        assert apart.max() < 1


def test_where_everybody_has_left_nobody_is_paid(tmp_path: Path) -> None:
    projection = ran(tmp_path, changed(("exits: 0.01", "exits: 1")), grants=(grant(),))
    served = Served(projection, "base")

    paid = [served.shares(projection.base.base, month).sum() for month in (0, 1)]

    assert paid == [30, 0]


def test_weights_say_how_many_households_are_paid(tmp_path: Path) -> None:
    people = surveyed(tmp_path)
    table = pq.read_table(people.households)
    weights = pa.array([0.4] * 20 + [3.2] * 10)  # 8 households of two, 32 of three
    pq.write_table(table.append_column("weight", weights), people.households)
    weighed = People.of(people.households, people.members)
    loaded = scenario_of(tmp_path, STILL)
    scenario = loaded.scenario.model_copy(update={"grants": (grant(),)})
    loaded = replace(loaded, scenario=scenario)

    projection = project(loaded, weighed, "lots", tmp_path)
    first = targeted_of(projection, "base", 0, np.full(30, 400_000))

    assert projection.base.base.need[0, 0] == 8 * 200_000 + 32 * 300_000 > MONTH
    assert (first.paid.sum(), (first.paid * first.people).sum()) == (40_000, 112_000)
