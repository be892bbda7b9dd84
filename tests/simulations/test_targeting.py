"""Errors of targeting, poverty and inequality: by hand, and against plain counting."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.problems import Refusal
from simulations.targeting import Confusion, CostRatios, Targeted, adequacy, fgt, gini, measured

LINE = 1000


def targeted(*rows: tuple[int, int, int, bool, int, int]) -> Targeted:
    """Rows of households, people, spending a person, qualifies, paid, transfer."""
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Targeted(*columns[:3], columns[3].astype(bool), *columns[4:])


# Ten households: poor and paid, poor and waiting, poor and not qualifying, not poor and paid, rest.
TEN = targeted(
    (2, 4, 400, True, 2, 1200),
    (2, 5, 800, True, 0, 1500),
    (1, 2, 500, False, 0, 600),
    (1, 6, 1000, True, 1, 1800),
    (4, 1, 2000, False, 0, 300),
)


def test_fgt_by_hand() -> None:
    # Foster, Greer and Thorbecke on four people at 25, 50, 100 and 200 % of the line.
    of_line, people = np.array([0.25, 0.5, 1.0, 2.0]), np.ones(4, dtype=np.int64)
    assert [fgt(of_line, people, power) for power in (0, 1, 2)] == [
        2 / 4,
        (0.75 + 0.5) / 4,
        (0.75**2 + 0.5**2) / 4,
    ]


def test_gini_by_hand() -> None:
    people = np.ones(4, dtype=np.int64)
    assert gini(np.array([5.0, 5.0, 5.0, 5.0]), people) == 0
    assert gini(np.array([0.0, 0.0, 0.0, 8.0]), people) == pytest.approx(0.75)
    # 1, 2, 3, 4: mean absolute difference 1.25, twice the mean 5.
    assert gini(np.array([4.0, 1.0, 3.0, 2.0]), people) == pytest.approx(0.25)
    assert gini(np.array([1.0, 4.0]), np.array([3, 1])) == pytest.approx(
        gini(np.array([1.0, 1.0, 1.0, 4.0]), people)
    )


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5)), min_size=1, max_size=12))
def test_gini_is_half_the_relative_mean_difference(rows: list[tuple[int, int]]) -> None:
    everybody = [value for value, people in rows for _ in range(people)]
    total = sum(everybody)
    apart = sum(abs(one - two) for one in everybody for two in everybody)
    expected = Fraction(apart, 2 * len(everybody) * total) if total else Fraction(0)
    values, people = zip(*rows, strict=True)
    found = gini(np.array(values, dtype=np.float64), np.array(people))
    assert found == pytest.approx(float(expected), abs=1e-12)


def test_errors_by_design_by_list_and_overall() -> None:
    found = measured(TEN, LINE)
    assert found.households.by_design == Confusion(4, 1, 1, 4)
    assert found.households.by_list == Confusion(3, 2, 0, 5)
    assert found.households.overall == Confusion(2, 3, 1, 4)
    assert found.people.overall == Confusion(8, 12, 6, 4)
    assert found.households.by_design.exclusion == 1 / 5
    assert found.households.by_design.inclusion == 1 / 5
    assert found.households.by_list.exclusion == 2 / 5
    assert found.households.by_list.inclusion == 0
    assert found.people.overall.differential == pytest.approx(8 / 20 - 6 / 10)
    # Coverage is of those who are paid, not of those who qualify.
    assert found.households.overall.coverage == 3 / 10


def test_where_the_money_goes() -> None:
    value = measured(TEN, LINE).value
    assert value.transfers_minor == 2 * 1200 + 1800
    assert value.to_poor_minor == 2400
    assert value.leakage == 1800 / 4200
    # Gaps: 4 people lack 600 each, 5 lack 200 each, 2 lack 500 each.
    assert value.gap_minor == 2 * 2400 + 2 * 1000 + 1000
    assert value.closed_minor == 2 * 1200
    assert value.gap_closed == 2400 / 7800
    assert value.undercoverage == 3000 / 7800
    assert value.ratio == pytest.approx((2400 / 4200) / (20 / 30))


def test_poverty_before_and_after() -> None:
    found = measured(TEN, LINE)
    assert found.before.fgt0 == 20 / 30
    assert found.before.fgt1 == pytest.approx((8 * 0.6 + 10 * 0.2 + 2 * 0.5) / 30)
    # The four of each paid poor household have 400 + 300: still poor, by 0.3.
    assert found.after.fgt0 == 20 / 30
    assert found.after.fgt1 == pytest.approx((8 * 0.3 + 10 * 0.2 + 2 * 0.5) / 30)
    assert found.after.fgt2 == pytest.approx((8 * 0.09 + 10 * 0.04 + 2 * 0.25) / 30)
    assert found.after.fgt2 < found.before.fgt2


def test_a_transfer_larger_than_the_gap_closes_the_gap_only() -> None:
    value = measured(targeted((1, 1, 900, True, 1, 500)), LINE).value
    assert (value.closed_minor, value.gap_minor, value.gap_closed) == (100, 100, 1.0)


def test_a_share_of_nobody_is_none() -> None:
    found = measured(targeted((3, 2, 5000, False, 0, 100)), LINE)
    assert found.households.overall.exclusion is None
    assert found.households.overall.inclusion is None
    assert found.value.leakage is None
    assert found.value.gap_closed is None
    assert found.value.ratio is None


def test_strata_add_up() -> None:
    north = np.array([True, True, False, False, False])
    parts = [measured(TEN.only(mask), LINE) for mask in (north, ~north)]
    whole = measured(TEN, LINE)
    assert sum(p.value.transfers_minor for p in parts) == whole.value.transfers_minor
    assert sum(p.people.overall.right_in for p in parts) == whole.people.overall.right_in


def test_adequacy_and_costs() -> None:
    assert adequacy(TEN, 1500) == pytest.approx(4200 / (14 * 1500))
    costs = CostRatios(transfers_minor=4200, total_minor=4536, households=3)
    assert costs.total_cost_transfer_ratio == pytest.approx(1.08)
    assert costs.alpha == pytest.approx(4200 / 4536)
    assert costs.per_household_minor == 1512
    assert CostRatios(0, 100, 0).total_cost_transfer_ratio is None
    assert CostRatios(0, 100, 0).per_household_minor is None


ROW = st.tuples(
    st.integers(1, 5), st.integers(1, 6), st.integers(0, 2000), st.booleans(), st.integers(0, 5),
    st.integers(0, 3000),
).map(lambda row: (*row[:4], min(row[4], row[0]), row[5]))  # fmt: skip


@given(st.lists(ROW, min_size=1, max_size=8))
def test_counting_person_by_person_gives_the_same(rows: list[tuple]) -> None:
    found = measured(targeted(*rows), LINE)
    people = []
    for households, size, spending, qualifies, paid, transfer in rows:
        for number in range(households):
            more = Fraction(transfer, size) if number < paid else 0
            people += [(spending, spending + more, qualifies, number < paid)] * size
    poor = [p for p in people if p[0] < LINE]
    assert found.people.overall.right_in == sum(p[3] for p in poor)
    assert found.people.by_design.wrong_out == sum(not p[2] for p in poor)
    for measure, at in ((found.before, 0), (found.after, 1)):
        gaps = [max(Fraction(0), 1 - Fraction(p[at]) / LINE) for p in people]
        assert measure.fgt0 == pytest.approx(sum(g > 0 for g in gaps) / len(people))
        assert measure.fgt1 == pytest.approx(float(sum(gaps) / len(people)))
        assert measure.fgt2 == pytest.approx(float(sum(g * g for g in gaps) / len(people)))


@pytest.mark.parametrize(
    "row",
    [
        (1, 0, 1, True, 0, 0),
        (1, 1, -1, True, 0, 0),
        (1, 1, 1, True, 2, 0),
        (1, 1, 1, True, -1, 0),
        (1, 1, 1, True, 0, -1),
        (-1, 1, 1, True, -1, 1),
    ],
)
def test_rows_that_cannot_be_are_refused(row: tuple[int, int, int, bool, int, int]) -> None:
    with pytest.raises(Refusal, match="targeting_columns_wrong"):
        targeted(row)


def test_a_line_of_nothing_is_refused() -> None:
    with pytest.raises(Refusal, match="poverty_line_wrong"):
        measured(TEN, 0)
