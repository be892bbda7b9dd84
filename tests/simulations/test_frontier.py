"""What a transfer value reaches is what the ledger pays, and a best one is clear or is none."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.problems import Refusal
from simulations.frontier import Point, frontier, require_values
from simulations.funding import Queue
from simulations.projection.courses import People
from simulations.projection.running import Projection, project
from simulations.report.building import report_of
from simulations.report.frontiers import frontier_part
from simulations.report.model import Report, Sentence
from simulations.scenario.model import Frontier, Grant
from simulations.scenario.reading import Loaded
from simulations.snapshots import write_synthetic
from tests.simulations.scenario_files import SCENARIO, changed, findings_of, scenario_of
from tests.simulations.test_projection import STILL, grant, village
from tests.simulations.test_served import TARGETING, surveyed

VALUES = (Decimal(500), Decimal(1000), Decimal(2000))


def asked(
    folder: Path,
    text: str = STILL,
    *,
    grants: tuple[Grant, ...],
    values: Sequence[Decimal] = VALUES,
    months: int = 6,
    people: People | None = None,
) -> Projection:
    """The village: 20 households of two in Gaziantep, 10 of three in Mersin."""
    loaded = scenario_of(folder, text)
    changes = {"question": "frontier", "grants": grants,
               "frontier": Frontier(values=tuple(values), months=months)}  # fmt: skip
    scenario = loaded.scenario.model_copy(update=changes)
    loaded = Loaded(scenario, loaded.courses, loaded.packs)
    return project(loaded, people or village(folder), "lots", folder)


def curve(projection: Projection) -> pd.DataFrame:
    return frontier_part(projection).table.frame.set_index("value_minor")


def test_the_packs_own_value_reaches_what_the_projection_pays(tmp_path: Path) -> None:
    text = SCENARIO.replace("  exits: 0.01\n", (
        "  arrivals: 0.02\n  exits: {kind: beta, mean: 0.02, cases: 100}\n  take_up: 0.9\n"
    )).replace("grants:\n", (
        "indexation: {follows: prices, every_months: 3, round_to: 50.00}\n"
        "costs: {fee_share: 0.01, fee_each: 3.50, fixed_month: 900.00, failed: 0.05}\ngrants:\n"
    )).replace("{annual: 0}", "{annual: 0.5}").replace("100000.00", "14000.00")  # fmt: skip
    files = write_synthetic(tmp_path / "population", 400, 7, scenario_of(tmp_path).scenario.start)
    one = grant(currency="USD", amount="14000.00", provinces=["TR-27", "TR-34"])
    two = grant("GR-TWO", currency="EUR", amount="9000.00", ceiling_month="2500.00")
    projection = asked(tmp_path, text, grants=(one, two), people=People.of(*files))
    base = projection.base.base

    own = curve(projection).loc[100_000]

    assert base.unfunded.sum() > 0
    assert own["households"] == round(base.paid[0].sum() / 6)
    assert own["people"] == round(base.people[0].sum() / 6)
    assert own["spent_month_minor"] == round(base.spent[0].sum() / 6)
    assert own["months_full"] == (base.paid + base.failed == base.due)[0].sum() < 6
    assert own["households_low"] <= own["households"] <= own["households_high"]


def test_a_grant_pays_only_where_and_while_it_may(tmp_path: Path) -> None:
    # Enough for everybody six times over, but for Mersin alone, and for its first three months.
    mersin = grant(provinces=["TR-33"], to="2026-03-31")

    found = curve(asked(tmp_path, grants=(mersin,)))

    assert found["households"].tolist() == [5, 5, 5]
    assert found["people"].tolist() == [15, 15, 15]
    assert found["months_full"].tolist() == [0, 0, 0]
    assert found["spent_month_minor"].tolist() == [750_000, 1_500_000, 3_000_000]


def test_a_ceiling_holds_in_every_month(tmp_path: Path) -> None:
    found = curve(asked(tmp_path, grants=(grant(ceiling_month="70000.00"),)))

    # Everybody at 500 and 1,000 a person; at 2,000 half of them, though the grant has more.
    assert found["households"].tolist() == [30, 30, 15]
    assert found["months_full"].tolist() == [6, 6, 0]
    assert found["coverage"].tolist() == [1.0, 1.0, 0.5]


def test_what_does_not_arrive_and_who_does_not_come_are_counted(tmp_path: Path) -> None:
    text = changed(("exits: 0.01", "take_up: 0.8")).replace(
        "grants:\n", "costs: {failed: 0.25, fee_each: 10.00}\ngrants:\n"
    )

    found = curve(asked(tmp_path, text, grants=(grant(),)))

    # 24 households take it up, 18 payments arrive: of 12 with two people and of 6 with three.
    assert found["households"].tolist() == [18, 18, 18]
    assert found.loc[100_000, "spent_month_minor"] == 42 * 100_000 + 24 * 1_000
    assert found["coverage"].tolist() == pytest.approx([0.75] * 3)


def test_more_months_than_the_scenario_has_are_refused(tmp_path: Path) -> None:
    text = changed(("question: cost", "question: frontier"))
    text += "frontier: {months: 60, values: [500.00, 1000.00]}\n"

    [finding] = findings_of(tmp_path, text)

    assert (finding.problem.code, finding.place.row) == ("frontier_months", 21)
    assert "asks for 60 months and the scenario has 6" in str(finding)


# --- which value is best -----------------------------------------------------------------------


def of_need(
    folder: Path, spends: int, values: Sequence[Decimal], grants: tuple[Grant, ...]
) -> Report:
    projection = asked(
        folder, STILL + TARGETING, grants=grants, values=values, people=surveyed(folder, spends)
    )
    return report_of(projection, {})


def test_without_what_households_spend_no_value_is_best(tmp_path: Path) -> None:
    text = STILL.replace("prices:\n", "prices:\n  basket: {per_person: 1500.00, source: Test}\n")

    report = report_of(asked(tmp_path, text, grants=(grant(ceiling_month="50000.00"),)), {})

    table = report.tables["frontier"]
    assert not {"gap_closed_minor", "efficient"} & set(table.frame.columns)
    assert report.answer[0].facts["verdict"] == Sentence("frontier_no_need")


def test_values_that_close_as_much_of_the_gap_have_no_best(tmp_path: Path) -> None:
    # Everybody lacks 1,000: at 500 and at 1,000 each lira closes a lira, until the ceiling ends.
    grants = (grant(ceiling_month="31000.00"),)

    report = of_need(tmp_path, 400_000, (Decimal(500), Decimal(1000)), grants)

    closed = report.tables["frontier"].frame["gap_closed_minor"].tolist()
    assert 0 < abs(closed[0] - closed[1]) <= 300_000
    assert report.answer[0].facts["verdict"] == Sentence("frontier_no_best")


def test_the_value_that_fills_the_gap_and_no_more_is_best(tmp_path: Path) -> None:
    # Everybody lacks 1,000 and 70,000 is there: less fills it by half, more is wasted on half.
    report = of_need(tmp_path, 400_000, VALUES, (grant(ceiling_month="70000.00"),))

    frame = report.tables["frontier"].frame
    assert frame["gap_closed_minor"].tolist() == [3_500_000, 7_000_000, 3_500_000]
    assert frame["efficient"].tolist() == ["no", "yes", "no"]
    [answer] = report.answer
    verdict = answer.facts["verdict"]
    assert (verdict.key, verdict.facts["best"].facts["minor"]) == ("frontier_best", 100_000)


POINTS = st.lists(
    st.builds(Point, st.integers(1, 300), st.integers(0, 40), st.integers(0, 4000)),
    min_size=1, max_size=9,
)  # fmt: skip


@given(POINTS, st.integers(1, 6))
def test_a_best_value_is_ahead_of_every_other_by_more_than_a_household_gets(
    points: list[Point], people_most: int
) -> None:
    found = frontier(points, people_most)

    best = [
        point
        for at, point in enumerate(points)
        if point.gap_closed_minor > 0
        and all(
            point.gap_closed_minor > other.gap_closed_minor + point.value_minor * people_most
            for other in points[:at] + points[at + 1 :]
        )
    ]
    assert ([] if found.best is None else [found.best]) == best
    for point, efficient in zip(points, found.efficient, strict=True):
        beaten = [
            other for other in points
            if (other.people, other.gap_closed_minor) != (point.people, point.gap_closed_minor)
            and other.people >= point.people and other.gap_closed_minor >= point.gap_closed_minor
        ]  # fmt: skip
        assert efficient == (not beaten)


# --- serving in the order of the rules, on cells -----------------------------------------------


@given(st.lists(st.integers(1, 600), min_size=1, max_size=15), st.integers(0, 4000))
def test_serving_household_by_household_gives_the_same(amounts: list[int], budget: int) -> None:
    # Every household has a score of its own, so that the order is known.
    queue = Queue.of(-np.arange(len(amounts)))
    left, served = budget, 0
    for amount in amounts:
        if amount > left:
            break
        left, served = left - amount, served + 1

    paid = queue.afforded(np.ones(len(amounts), dtype=np.int64), np.array(amounts), budget)

    assert paid.tolist() == [1] * served + [0] * (len(amounts) - served)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 50), st.integers(0, 3)),
                min_size=1, max_size=10), st.integers(0, 3000))  # fmt: skip
def test_a_cell_is_as_many_households_in_the_queue(
    rows: list[tuple[int, int, int]], budget: int
) -> None:
    households, amounts, score = (np.array(column) for column in zip(*rows, strict=True))
    paid = Queue.of(score).afforded(households, amounts, budget)
    assert (paid <= households).all()
    assert (paid >= 0).all()
    assert (paid * amounts).sum() <= budget
    # Whoever has a lower score is paid only if everybody above is.
    short = score[(paid < households)]
    assert not len(short) or not paid[score < short.max()].any()


@pytest.mark.parametrize("values", [[], [0], [5, -1]])
def test_values_that_cannot_be_are_refused(values: list[int]) -> None:
    with pytest.raises(Refusal, match="frontier_values_wrong"):
        require_values(values)
