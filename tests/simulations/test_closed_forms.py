"""Random figures against formulas: each within the stated error of its Monte Carlo estimate.

Quantiles are held between the order statistics that contain the true one with a probability of
0.9999, means within five standard errors; deterministic figures are exact to rounding.
"""

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simulations.distributions import Beta, Constant, LogNormal, Normal, Triangular, Uniform
from simulations.dynamics import (
    Flows,
    Rates,
    Shift,
    caseload,
    caseload_by_stratum,
    checked_months,
    whole_households,
)
from simulations.fans import LINES, fan, mean_error, paired, quantile_bounds, quantiles
from simulations.lifetimes import Lives, paid_households
from simulations.paths import jump_changes, normal_changes, rates_along
from simulations.projection.caseload import Groups
from simulations.projection.grants import Fund
from simulations.projection.ledger import Terms, ledger_of
from simulations.projection.prices import Prices
from simulations.randomness import Randomness
from simulations.rates import MILLION
from simulations.sensitivity import sobol_indices, tornado

DRAWS, MONTHS = 20_000, 24
ERRORS = 5  # standard errors


def rates(draws: int, months: int, **given: float | np.ndarray) -> Rates:
    """Rates that are the same in every draw, unless an array says otherwise."""

    def column(name: str, default: float) -> np.ndarray:
        return np.broadcast_to(np.atleast_1d(given.get(name, default))[:, None], (draws, 1)).copy()

    return Rates(
        arrivals=column("arrivals", 0.0),
        exits=column("exits", 0.0),
        take_up=column("take_up", 1.0)[:, 0],
        loss=column("loss", 0.0),
        checked=checked_months(given.get("every"), months),
    )


# --- exchange rates ----------------------------------------------------------------------------


def test_quantiles_of_geometric_brownian_motion() -> None:
    # A window with mean 0.01 and standard deviation 0.04 a month.
    window = 0.01 + 0.04 * np.array([[1.0], [-1.0]] * 30) * np.sqrt(59 / 60)
    assert window.std(ddof=1) == pytest.approx(0.04)
    paths = rates_along({"USD": 10 * MILLION}, normal_changes(window, Randomness(5), DRAWS, MONTHS))
    rate = paths.of("USD")
    for month in (0, 5, 23):
        ordered = np.sort(rate[:, month]) / MILLION
        for line in LINES:
            low, high = quantile_bounds(DRAWS, line / 100)
            steps = stats.norm.ppf(line / 100) * 0.04 * np.sqrt(month + 1)
            assert ordered[low] <= 10 * np.exp(0.01 * (month + 1) + steps) <= ordered[high]
    ends = rate[:, 23] / MILLION
    exact = 10 * np.exp(0.01 * 24 + 0.04**2 * 24 / 2)
    assert abs(ends.mean() - exact) < ERRORS * mean_error(ends)


def test_two_currencies_keep_the_correlation_of_the_window() -> None:
    rng = np.random.default_rng(3)
    one = rng.normal(0.01, 0.05, 60)
    window = np.column_stack([one, 0.8 * one + rng.normal(0, 0.02, 60)])
    changes = normal_changes(window, Randomness(1), DRAWS, 12).reshape(-1, 2)
    expected = np.corrcoef(window.T)[0, 1]
    error = (1 - expected**2) / np.sqrt(len(changes))
    assert abs(np.corrcoef(changes.T)[0, 1] - expected) < ERRORS * error
    spread = window.std(axis=0, ddof=1)
    assert changes.std(axis=0) == pytest.approx(spread, rel=ERRORS / np.sqrt(2 * len(changes)))


def test_jumps_come_as_often_and_as_large_as_assumed() -> None:
    changes = jump_changes(np.full(DRAWS, 0.6), np.full(DRAWS, 0.27), Randomness(2), 60)[:, :, 0]
    assert set(np.unique(changes)) == {0.0, np.log1p(0.27)}
    happened = (changes > 0).ravel()
    chance = 1 - np.exp(-0.6 / 12)
    assert abs(happened.mean() - chance) < ERRORS * mean_error(happened)


# --- caseloads ---------------------------------------------------------------------------------


def test_survival_under_a_constant_hazard() -> None:
    found = caseload(
        Flows.without_ageing(np.array([1000.0]), np.zeros((1, 1))),
        rates(1, 37, exits=0.03),
        np.eye(1),
    )
    assert found[0, :, 0] == pytest.approx(1000 * 0.97 ** np.arange(37), rel=1e-12)


def test_survival_household_by_household() -> None:
    households, months, draws = 20_000, 24, 10
    lives = Lives(
        np.zeros(households, np.int16), np.full(households, 99, np.int16),
        np.zeros(households, np.int32), 1,
    )  # fmt: skip
    found = paid_households(lives, rates(draws, months, exits=0.03, take_up=0.8), Randomness(4))
    share = found[:, :, 0].sum(axis=0) / (households * draws)
    exact = 0.8 * 0.97 ** np.arange(months)
    error = np.sqrt(exact * (1 - exact) / (households * draws))
    assert (np.abs(share - exact) < ERRORS * error).all()
    assert (np.diff(found[:, :, 0], axis=1) <= 0).all()


def test_a_steady_caseload_is_arrivals_by_exits() -> None:
    flows = Flows.without_ageing(np.array([0.0]), np.array([[50.0]]))
    found = caseload(flows, rates(1, 600, arrivals=1.0, exits=0.05), np.eye(1))
    assert found[0, -1, 0] == pytest.approx(50 / 0.05, rel=1e-9)
    assert found[0, 20, 0] == pytest.approx(1000 * (1 - 0.95**20), rel=1e-12)


@pytest.mark.parametrize(("exits", "budget_try"), [(0.0, 100), (0.01, 90), (0.03, 120), (0.05, 21)])
def test_the_break_even_date_of_a_shrinking_caseload(exits: float, budget_try: int) -> None:
    # 100,000 households of 500.00 TRY and a fee of 2 %: months of 51 million TRY at first.
    month_minor = 100_000 * 500_00 * 102 // 100
    budget = budget_try * month_minor // 10 + 1_000_00
    months = 60
    flows = Flows.without_ageing(np.array([100_000.0]), np.zeros((1, 1)))
    expected = caseload(flows, rates(1, months, exits=exits), np.eye(1))
    fund = Fund("GR", "TRY", budget, None, 0, (True,) * months, frozenset())
    days = tuple(date(2027 + at // 12, at % 12 + 1, 1) for at in range(months))
    in_order = np.tile([[[0.0], [1.0]]], (months, 1, 1))
    groups = Groups(
        ("",), np.zeros(1, np.int64), np.array([500_00]), np.array([5.0]), np.eye(1), in_order,
        np.zeros(1, np.int64),
    )  # fmt: skip
    ledger = ledger_of(
        Terms((fund,), ((0,),), {"": 0}, days, None, 0, 0),
        groups,
        np.rint(expected).astype(np.int64),
        Prices((), np.ones((1, months, 0), np.int64), np.full((1, months), MILLION), {}),
        {name: np.full(1, share) for name, share in (
            ("fee_share", 0.02), ("failed", 0.0), ("returned", 0.0),
        )},
    )  # fmt: skip
    # It runs dry in the first month m with more spent than there is:
    # sum of (1 - e)^k for k = 0..m  >  budget / month, a geometric series.
    ratio = budget / month_minor
    if exits:
        left = 1 - ratio * exits
        exact = np.inf if left <= 0 else np.log(left) / np.log1p(-exits)
    else:
        exact = ratio
    assert ledger.dry.tolist() == [months if exact > months else int(np.floor(exact))]
    assert int(ledger.spent.sum()) <= budget


def test_cards_are_checked_every_so_many_months() -> None:
    flows = Flows.without_ageing(np.array([100.0]), np.zeros((1, 1)))
    found = caseload(flows, rates(1, 14, loss=0.1, every=6), np.eye(1))[0, :, 0]
    assert found == pytest.approx([100.0] * 6 + [90.0] * 6 + [81.0] * 2, rel=1e-12)


def test_people_age_in_and_out() -> None:
    ageing_in, ageing_out = np.zeros((12, 1)), np.zeros((12, 1))
    ageing_in[6], ageing_out[6] = 30.0, 0.2
    flows = Flows(np.array([100.0]), np.zeros((1, 1)), ageing_in, ageing_out)
    found = caseload(flows, rates(1, 12, take_up=0.5), np.eye(1))[0, :, 0]
    assert found == pytest.approx([50.0] * 6 + [55.0] * 6, rel=1e-12)


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 5))
def test_cohorts_add_up_to_the_walk_month_by_month(seed: int, months: int, strata: int) -> None:
    rng = np.random.default_rng(seed)
    flows = Flows(
        rng.uniform(0, 100, strata),
        rng.uniform(0, 9, (months if seed % 2 else 1, strata)),
        rng.uniform(0, 5, (months, strata)),
        rng.uniform(0, 1, (months, strata)),
        {1: Shift(np.arange(strata), rng.permutation(strata), rng.uniform(0, 1, strata))},
    )
    uncertain = Rates(
        rng.uniform(0, 2, (4, months)),
        rng.uniform(0, 1, (4, 1)),
        rng.uniform(0, 1, 4),
        rng.uniform(0, 1, (4, months)),
        checked_months(2, months),
    )
    measures = rng.uniform(0, 3, (strata, 2))
    found = caseload(flows, uncertain, measures)
    walked = [caseload_by_stratum(flows, uncertain, draw) @ measures for draw in range(4)]
    assert found == pytest.approx(np.stack(walked), rel=1e-9, abs=1e-9)


def test_households_that_come_later_stay_as_long() -> None:
    households, months = 50_000, 20
    lives = Lives(
        np.where(np.arange(households) % 2, 0, 8).astype(np.int16),
        np.where(np.arange(households) % 5, 99, 15).astype(np.int16),
        (np.arange(households) % 2).astype(np.int32),
        2,
    )
    found = paid_households(lives, rates(4, months, exits=0.02, loss=0.1, every=6), Randomness(8))
    later, first = found.sum(axis=0).T / (4 * households / 2)
    stay = np.ones(months)
    for month in range(1, months):
        stay[month] = stay[month - 1] * 0.98 * (0.9 if month % 6 == 0 else 1)
    ended = np.where(np.arange(months) < 15, 1, 0.8)
    for share, exact in (
        (first, stay * ended),
        (later, np.where(np.arange(months) < 8, 0, stay / stay[8] * ended)),
    ):
        error = np.sqrt(exact * (1 - exact) / (2 * households)) + 1e-12
        assert (np.abs(share - exact) < ERRORS * error + 1e-9).all()


def test_whole_households_keep_the_sum_and_are_near() -> None:
    expected = np.array([0.5, 10.2, 3.9, 7.4])
    assert whole_households(expected).tolist() == [1, 10, 4, 7]
    assert whole_households(np.array([1.0, 2.0])).tolist() == [1, 2]


# --- distributions and fans --------------------------------------------------------------------

DISTRIBUTIONS = [
    (Constant(value=3), stats.norm(3, 1e-12)),
    (Uniform(kind="uniform", low=-1, high=4), stats.uniform(-1, 5)),
    (Triangular(kind="triangular", low=0, mode=1, high=4), stats.triang(0.25, 0, 4)),
    (Normal(kind="normal", mean=2, sd=3), stats.norm(2, 3)),
    (Normal(kind="normal", mean=2, sd=3, least=0, most=6), stats.truncnorm(-2 / 3, 4 / 3, 2, 3)),
    (LogNormal(kind="log_normal", median=900, sigma=Decimal("0.5")), stats.lognorm(0.5, 0, 900)),
    (Beta(kind="beta", mean=Decimal("0.3"), cases=20), stats.beta(6, 14)),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), DISTRIBUTIONS)
def test_quantiles_of_distributions(ours: Uniform, theirs: stats.rv_continuous) -> None:
    chances = np.array([0.001, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999])
    assert ours.quantile(chances) == pytest.approx(theirs.ppf(chances), rel=1e-9)
    drawn = ours.quantile(Randomness(1).uniforms("anything", DRAWS)[:, 0])
    assert np.isfinite(drawn).all()
    assert np.isfinite(ours.quantile(np.array([0.0, 1.0]))).all()
    if drawn.std() > 0:
        assert abs(drawn.mean() - theirs.mean()) < ERRORS * mean_error(drawn)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Uniform, {"kind": "uniform", "low": 2, "high": 1}),
        (Triangular, {"kind": "triangular", "low": 0, "mode": 3, "high": 2}),
        (Normal, {"kind": "normal", "mean": 0, "sd": -1}),
        (Normal, {"kind": "normal", "mean": 0, "sd": 1, "least": 2, "most": 1}),
        (Normal, {"kind": "normal", "mean": 0, "sd": 1, "least": 60, "most": 61}),
        (LogNormal, {"kind": "log_normal", "median": 0, "sigma": 1}),
        (LogNormal, {"kind": "log_normal", "median": 1, "sigma": -1}),
        (Beta, {"kind": "beta", "mean": 1, "cases": 5}),
        (Beta, {"kind": "beta", "mean": Decimal("0.5"), "cases": 0}),
    ],
)
def test_impossible_parameters_are_not_taken(kind: type[Uniform], wrong: dict) -> None:
    with pytest.raises(ValueError, match="validation error"):
        kind.model_validate(wrong)


def test_a_fan_is_made_of_values_that_were_drawn() -> None:
    draws = np.arange(1, 101, dtype=np.int64)[:, None] * np.array([[1, 10]])
    found = fan(Randomness(1).stream("order").permutation(draws))
    assert [found.line(line) for line in LINES] == [
        [5, 50], [25, 250], [50, 500], [75, 750], [95, 950],
    ]  # fmt: skip
    assert quantiles(draws, [0, 100]).tolist() == [[1, 10], [100, 1000]]


def test_bounds_of_a_quantile_hold_it_as_often_as_they_say() -> None:
    low, high = quantile_bounds(400, 0.05, sure=0.9)
    ordered = np.sort(Randomness(3).stream("bounds").random((4000, 400)), axis=1)
    held = (ordered[:, low] <= 0.05) & (ordered[:, high] >= 0.05)
    assert held.mean() > 0.9 - ERRORS * mean_error(held)
    assert held.mean() < 0.97


def test_pairs_under_the_same_luck_differ_by_what_was_changed() -> None:
    flows = Flows.without_ageing(np.array([1000.0]), np.zeros((1, 1)))
    exits = 0.01 + 0.05 * Randomness(7).uniforms("exits", 2000)[:, 0]
    one, two = (
        caseload(flows, rates(2000, 13, exits=exits, take_up=share), np.eye(1))[:, :, 0]
        for share in (0.8, 0.9)
    )
    difference = paired(one, two)
    unpaired = fan(two[::-1] - one)
    width = [f.line(95)[12] - f.line(5)[12] for f in (difference, unpaired)]
    assert width[0] < width[1] / 5
    assert difference.line(50)[12] == pytest.approx(one[:, 12].mean() / 8, rel=0.02)


# --- what matters ------------------------------------------------------------------------------


def ishigami(values: dict[str, np.ndarray]) -> np.ndarray:
    x, y, z = values["x"], values["y"], values["z"]
    return np.sin(x) + 7 * np.sin(y) ** 2 + 0.1 * z**4 * np.sin(x)


def test_sobol_indices_of_ishigami() -> None:
    wide = Uniform(kind="uniform", low=Decimal(repr(-np.pi)), high=Decimal(repr(np.pi)))
    found = sobol_indices(dict.fromkeys("xyz", wide), ishigami, Randomness(6), 4096)
    a, b = 7, 0.1
    alone = (0.5 * (1 + b * np.pi**4 / 5) ** 2, a**2 / 8, 0.0)
    both = b**2 * np.pi**8 * (1 / 18 - 1 / 50)
    variance = sum(alone) + both
    first = [part / variance for part in alone]
    total = [(alone[0] + both) / variance, first[1], both / variance]
    assert first == pytest.approx([0.3139, 0.4424, 0.0], abs=1e-4)
    for index, exact_first, exact_total in zip(found, first, total, strict=True):
        assert abs(index.first - exact_first) < ERRORS * index.first_error
        assert abs(index.total - exact_total) < ERRORS * index.total_error
        assert index.first_error < 0.05
        assert index.total_error < 0.05


def test_a_tornado_has_its_widest_bar_on_top() -> None:
    assumptions = {
        "small": Uniform(kind="uniform", low=0, high=1),
        "large": Uniform(kind="uniform", low=0, high=10),
        "known": Constant(value=5),
    }
    found = tornado(assumptions, lambda v: v["small"] - v["large"] + v["known"])
    assert [bar.name for bar in found.bars] == ["large", "small", "known"]
    assert found.middle == pytest.approx(0.5 - 5 + 5)
    widest = found.bars[0]
    assert (widest.low_value, widest.high_value) == pytest.approx((0.5, 9.5))
    assert (widest.low_result, widest.high_result) == pytest.approx((5.0, -4.0))
    assert [bar.swing for bar in found.bars] == pytest.approx([9.0, 0.9, 0.0])
