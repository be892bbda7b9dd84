"""Exchange rates, prices and indexed values: exact where they are decided, bounded where drawn."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.problems import Refusal
from simulations.coverage import Method, Trial, coverage
from simulations.distributions import Constant, Uniform
from simulations.dynamics import Flows, Rates, checked_months
from simulations.lifetimes import Lives, paid_households
from simulations.paths import (
    Shock,
    fixed_rates,
    given_index,
    given_rates,
    indexed_values,
    jump_path,
    price_index,
    rates_along,
    replayed_changes,
    resampled_changes,
    shock_changes,
    window_of,
)
from simulations.randomness import Randomness
from simulations.rates import (
    MILLION,
    crossed,
    ecb_record,
    foreign_minor,
    indexed_minor,
    millionths,
    try_minor,
)
from simulations.sensitivity import sobol_indices, varying

AMOUNTS = st.integers(-(10**13), 10**13)
RATES = st.integers(10_000, 10**9)


def half_away(value: Fraction) -> int:
    whole = int(abs(value) + Fraction(1, 2))
    return whole if value >= 0 else -whole


# --- money at a rate ---------------------------------------------------------------------------


@given(AMOUNTS, RATES)
def test_money_is_exchanged_exactly_and_rounded_once(amount: int, rate: int) -> None:
    one, at = np.array([amount]), np.array([rate])
    assert foreign_minor(one, at)[0] == half_away(Fraction(amount * MILLION, rate))
    assert try_minor(one, at)[0] == half_away(Fraction(amount * rate, MILLION))
    assert indexed_minor(one, at)[0] == half_away(Fraction(amount * rate, MILLION))


def test_amounts_cross_from_one_currency_to_another() -> None:
    rates = {"USD": millionths("18.5"), "EUR": millionths("20")}
    assert crossed(rates, "USD", 100_00, "USD") == 100_00
    assert crossed(rates, "TRY", 100_00, "USD") == 1850_00
    assert crossed(rates, "USD", 1850_00, "TRY") == 100_00
    assert crossed(rates, "EUR", 100_00, "USD") == 92_50


# --- the record --------------------------------------------------------------------------------


def test_the_record_knows_what_was_known_then() -> None:
    known = ecb_record().until("2021-11")
    assert known.months[-1] == "2021-11"
    assert known.of("2021-11") == {"USD": 10_731_660, "EUR": 12_236_110}
    assert len(ecb_record().after("2021-11", 12)) == 12
    with pytest.raises(Refusal, match="rate_month_unknown"):
        known.of("2021-12")


def test_the_record_has_risen_as_reported() -> None:
    rates = dict(zip(ecb_record().months, ecb_record().rates[:, 0].tolist(), strict=True))
    assert rates["2021-12"] / rates["2021-11"] == pytest.approx(1.27, abs=0.005)
    assert rates["2022-09"] / rates["2021-09"] == pytest.approx(2.14, abs=0.005)


# --- what is decided ---------------------------------------------------------------------------


def test_a_budget_rate_stays() -> None:
    paths = fixed_rates({"USD": Decimal("18.5"), "EUR": Decimal(20)}, 3)
    assert paths.of("USD").tolist() == [[18_500_000] * 3]
    assert paths.of("TRY").tolist() == [[MILLION] * 3]
    with pytest.raises(Refusal, match="path_currency_missing"):
        paths.of("GBP")


def test_a_written_path_must_be_as_long_as_the_horizon() -> None:
    paths = given_rates({"USD": [Decimal(10), Decimal(11), Decimal(12)]}, 2)
    assert paths.of("USD").tolist() == [[10_000_000, 11_000_000]]
    with pytest.raises(Refusal, match="path_too_short"):
        given_rates({"USD": [Decimal(10)]}, 2)
    with pytest.raises(Refusal, match="path_too_short"):
        given_index([Decimal("0.1")], 2)
    assert given_index([Decimal("0.1"), Decimal("0.1")], 2).tolist() == [[1_100_000, 1_210_000]]


def test_the_stress_set_is_what_has_happened() -> None:
    start = {"USD": 10 * MILLION, "EUR": 11 * MILLION}
    december = rates_along(start, shock_changes(Shock.DECEMBER_2021, 6)).of("USD")[0]
    assert december[0] == pytest.approx(12_700_000, rel=0.005)
    assert len(set(december.tolist())) == 1
    year = rates_along(start, shock_changes(Shock.TO_SEPTEMBER_2022, 24)).of("USD")[0]
    assert year[11] == pytest.approx(21_400_000, rel=0.005)
    assert len(set(year[11:].tolist())) == 1
    frozen = rates_along(start, shock_changes(Shock.FREEZE_THEN_JUMP, 18)).of("USD")[0]
    assert set(frozen[:12].tolist()) == {10 * MILLION}
    rates = dict(zip(ecb_record().months, ecb_record().rates[:, 0].tolist(), strict=True))
    assert frozen[12] == pytest.approx(10 * MILLION * rates["2023-07"] / rates["2023-05"], rel=1e-6)


def test_months_of_the_record_are_played_again() -> None:
    known = ecb_record().until("2021-11")
    start = known.of("2021-11")
    played = rates_along(start, replayed_changes(ecb_record(), "2021-12", 14, frozen=2))
    truth = ecb_record().after("2021-11", 12)
    assert np.abs(played.rates[0, 2:] - truth).max() <= 2
    assert played.of("USD")[0, :2].tolist() == [start["USD"]] * 2
    risen = rates_along(start, jump_path(Decimal("0.27"), 3, 2, frozen=1)).of("USD")[0]
    assert risen[0] == start["USD"]
    assert risen[2] == pytest.approx(start["USD"] * 1.27, rel=1e-6)


# --- what chance decides -----------------------------------------------------------------------


def test_a_bootstrap_is_made_of_months_that_happened_in_their_order() -> None:
    window = window_of(ecb_record().until("2021-11"), 60)
    changes = resampled_changes(window, Randomness(1), 500, 12, block=6)
    place = {tuple(row): at for at, row in enumerate(window.tolist())}
    places = np.array([[place[tuple(month)] for month in draw] for draw in changes.tolist()])
    steps = np.diff(places.reshape(500, 2, 6), axis=2)
    assert set(np.unique(steps)) <= {1, 1 - 60}
    assert len(np.unique(places)) == 60
    with pytest.raises(Refusal, match="path_window_too_long"):
        window_of(ecb_record().until("2005-12"), 60)


def test_more_draws_begin_with_the_same_draws() -> None:
    window = window_of(ecb_record(), 60)
    few, many = (resampled_changes(window, Randomness(9), count, 12) for count in (10, 1000))
    assert (many[:10] == few).all()


def test_each_quantity_has_a_luck_of_its_own() -> None:
    one = Randomness(1)
    assert one.uniforms("exits", 3).tolist() == one.uniforms("exits", 3).tolist()
    assert one.uniforms("exits", 3).tolist() != one.uniforms("arrivals", 3).tolist()
    assert one.uniforms("exits", 3).tolist() != Randomness(2).uniforms("exits", 3).tolist()
    for seed in (-1, 2**63):
        with pytest.raises(Refusal, match="simulation_seed_wrong"):
            Randomness(seed)


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_do_not_change_what_happens_to_households(threads: int) -> None:
    lives = Lives(
        np.zeros(3000, np.int16),
        np.full(3000, 99, np.int16),
        np.arange(3000, dtype=np.int32) % 7,
        7,
    )
    rates = Rates(
        np.zeros((8, 1)), np.full((8, 1), 0.03), np.full(8, 0.9), np.full((8, 1), 0.1),
        checked_months(6, 24),
    )  # fmt: skip
    told: list[int] = []
    one = paid_households(lives, rates, Randomness(2))
    other = paid_households(
        lives, rates, Randomness(2), threads=threads, progress=lambda done, _: told.append(done)
    )
    assert (one == other).all()
    assert told == list(range(1, 9))


def test_a_run_can_be_stopped_between_draws() -> None:
    lives = Lives(np.zeros(5, np.int16), np.zeros(5, np.int16) + 9, np.zeros(5, np.int32), 1)
    rates = Rates(
        np.zeros((50, 1)),
        np.zeros((50, 1)),
        np.ones(50),
        np.zeros((50, 1)),
        checked_months(None, 3),
    )

    def stop(done: int, _all: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paid_households(lives, rates, Randomness(1), progress=stop)


# --- prices ------------------------------------------------------------------------------------


def test_prices_follow_the_dollar_as_far_as_it_is_passed_on() -> None:
    exchange = np.log(np.array([[1.0, 1.2, 1.0], [1.1, 1.0, 1.0]]))
    index = price_index(np.zeros(2), np.array([0.5, 1.0]), exchange)
    assert index[0] == pytest.approx([MILLION, MILLION * 1.2**0.5, MILLION * 1.2**0.5], rel=1e-6)
    assert index[1] == pytest.approx([MILLION * 1.1] * 3, rel=1e-6)
    yearly = price_index(np.array([0.6]), np.array([0.0]), np.zeros((1, 12)))
    assert yearly[0, 11] == pytest.approx(1.6 * MILLION, rel=1e-6)


def test_a_transfer_value_follows_prices_when_it_is_reviewed() -> None:
    index = np.array(
        [[1_050_000, 1_100_000, 1_150_000, 1_200_000, 1_250_000, 1_300_000, 1_310_000]]
    )
    values = indexed_values(230_00, index, every_months=2, trigger=100_000, round_to=10_00)
    # Reviewed in months 2, 4, 6: +15 % is above the trigger; +8.7 % and then +13.9 % since.
    assert values.tolist() == [[23000, 23000, 26000, 26000, 26000, 26000, 30000]]


@given(st.integers(1, 10**7), st.lists(st.integers(1, 10**8), min_size=1, max_size=20),
       st.integers(1, 6), st.integers(1, 5000))  # fmt: skip
def test_a_transfer_value_never_falls_and_is_a_banknote_once_changed(
    value: int, index: list[int], every: int, unit: int
) -> None:
    found = indexed_values(value, np.array([index]), every_months=every, trigger=0, round_to=unit)[
        0
    ]
    assert found[0] == value
    assert (np.diff(found) >= 0).all()
    assert all(later % unit == 0 for later in found.tolist() if later != value)


# --- how far to believe it ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("horizon", "covered", "above"), [(6, 0.85, 0.11), (12, 0.81, 0.17), (24, 0.76, 0.24)]
)
def test_normal_intervals_cover_what_they_are_known_to(
    horizon: int, covered: float, above: float
) -> None:
    found = coverage(ecb_record(), Trial(Method.NORMAL, horizon), Randomness(1))
    assert found.origins == 262 - 60 - horizon
    assert (round(found.covered, 2), round(found.above, 2)) == (covered, above)
    assert found.covered + found.above + found.below == pytest.approx(1)
    assert found.covered_error > 0.02


@pytest.mark.parametrize(
    ("horizon", "covered", "above"), [(6, 0.85, 0.11), (12, 0.83, 0.16), (24, 0.77, 0.21)]
)
def test_bootstrap_intervals_cover_what_they_are_known_to(
    horizon: int, covered: float, above: float
) -> None:
    found = coverage(ecb_record(), Trial(Method.BOOTSTRAP, horizon, draws=1000), Randomness(1))
    # Ends of 1,000 draws move by chance; one origin more or less is half a per cent.
    assert found.covered == pytest.approx(covered, abs=0.02)
    assert found.above == pytest.approx(above, abs=0.02)


def test_intervals_cover_a_world_that_is_as_they_assume() -> None:
    rng = np.random.default_rng(5)
    world = ecb_record()
    steps = rng.normal(0.01, 0.03, (2000, 2))
    rates = np.rint(MILLION * np.exp(np.cumsum(steps, axis=0))).astype(np.int64)
    made = type(world)(tuple(map(str, range(2000))), world.currencies, rates)
    found = coverage(made, Trial(Method.NORMAL, 1, window=240), Randomness(1))
    assert abs(found.covered - 0.9) < 5 * np.sqrt(0.09 / found.origins)


# --- assumptions -------------------------------------------------------------------------------


def test_rates_and_flows_that_cannot_be_are_refused() -> None:
    with pytest.raises(Refusal, match="flow_impossible"):
        Flows.without_ageing(np.array([-1.0]), np.zeros((1, 1)))
    with pytest.raises(Refusal, match="flow_impossible"):
        Rates(
            np.zeros((1, 1)),
            np.full((1, 1), 1.2),
            np.ones(1),
            np.zeros((1, 1)),
            checked_months(1, 2),
        )
    with pytest.raises(Refusal, match="flow_impossible"):
        Rates(
            np.zeros((1, 1)),
            np.full((1, 1), np.nan),
            np.ones(1),
            np.zeros((1, 1)),
            checked_months(1, 2),
        )


def test_a_result_that_never_changes_has_no_indices() -> None:
    wide = {"x": Uniform(kind="uniform", low=0, high=1), "y": Constant(value=2)}
    with pytest.raises(Refusal, match="sensitivity_flat"):
        sobol_indices(wide, lambda values: np.zeros_like(values["x"]), Randomness(1), 64)
    assert varying(wide) == ["x"]
