"""Raked weights meet their margins, and what cannot be met is said before anybody uses it."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledgers.problems import Refusal
from simulations.population import margins
from simulations.population.margins import SIZE_MAX
from simulations.raking import Design, Margin, Unit, design_of, raked
from simulations.randomness import Randomness
from simulations.synthesis import assisted_caseload, provinces_placed, topup_try
from simulations.whole_numbers import whole_weights

TOPUPS = {1: 600, 4: 600, 5: 300, 8: 300, 9: 100, 12: 100}


def table(*rows: tuple[object, ...], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(columns))


FOUR = table(
    ("north", "tent"), ("north", "flat"), ("south", "tent"), ("south", "flat"),
    columns=("region", "shelter"),
)  # fmt: skip
NOBODY = table(columns=("seed", "sex"))


def by(name: str, unit: Unit = Unit.HOUSEHOLDS, **totals: float) -> Margin:
    return Margin(name, unit, (name,), {(sort,): total for sort, total in totals.items()})


def codes(refused: pytest.ExceptionInfo[Refusal]) -> list[tuple[str, str]]:
    return [(found.problem.code, found.place.field) for found in refused.value.findings]


def test_two_by_two_is_raked_as_by_hand() -> None:
    # First weights 1, 2, 3, 4; rows 60 and 40, columns 30 and 70. Raking keeps the odds ratio
    # 1 * 4 / (2 * 3), so x (30 - (60 - x) ... ) is the root of one quadratic equation.
    design = design_of(
        FOUR, NOBODY, [by("region", north=60, south=40), by("shelter", tent=30, flat=70)]
    )
    weights = raked(np.array([1.0, 2.0, 3.0, 4.0]), design)
    # x (10 + x) * 3 = 2 (60 - x) (30 - x)  =>  x^2 + 210 x - 3600 = 0
    x = (-210 + np.sqrt(210**2 + 4 * 3600)) / 2
    assert weights == pytest.approx([x, 60 - x, 30 - x, 10 + x], rel=1e-12)
    assert np.abs(design.gaps(weights)).max() < 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_margins_of_a_population_that_exists_are_met(seed: int, seeds: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, size=(seeds, 6)).astype(np.float64)
    counts = np.column_stack([np.ones(seeds), counts, counts[:, :2].sum(axis=1)])
    truth = rng.uniform(0.2, 30, size=seeds)
    names = tuple(f"margin {at}" for at in range(8))
    design = Design(names, counts, truth @ counts, np.zeros(8, dtype=bool))
    weights = raked(rng.uniform(0.5, 2, size=seeds), design)
    assert np.abs(design.gaps(weights)).max() < 1e-9
    assert weights.min() > 0


def test_household_and_person_margins_hold_together() -> None:
    households = table(("a",), ("a",), ("b",), ("b",), columns=("region",))
    members = table(
        (0, "f"), (0, "f"), (0, "m"), (1, "m"), (2, "f"), (3, "m"), (3, "m"), (3, "f"),
        columns=("seed", "sex"),
    )  # fmt: skip
    design = design_of(
        households, members, [by("region", a=50, b=50), by("sex", Unit.PEOPLE, f=100, m=105)]
    )
    weights = raked(np.array([10.0, 20.0, 30.0, 40.0]), design)
    assert weights[0] + weights[1] == pytest.approx(50, rel=1e-9)
    assert 2 * weights[0] + weights[2] + weights[3] == pytest.approx(100, rel=1e-9)
    assert weights[0] + weights[1] + 2 * weights[3] == pytest.approx(105, rel=1e-9)


def test_totals_that_differ_are_refused_with_both_names() -> None:
    with pytest.raises(Refusal, match="margins_refused") as refused:
        design_of(FOUR, NOBODY, [by("region", north=60, south=40), by("shelter", tent=30, flat=71)])
    assert codes(refused) == [("margin_totals_differ", "shelter")]
    assert "100" in refused.value.findings[0].sentence
    assert "101" in refused.value.findings[0].sentence


def test_sorts_without_a_sample_household_and_negative_ones_are_refused_together() -> None:
    with pytest.raises(Refusal, match="margins_refused") as refused:
        design_of(FOUR, NOBODY, [by("region", north=60, south=45, west=5, east=-10)])
    assert codes(refused) == [
        ("margin_without_seed", "region west"),
        ("margin_negative", "region east"),
    ]


def test_margins_that_contradict_each_other_are_refused() -> None:
    pairs = Margin("pair", Unit.HOUSEHOLDS, ("region", "shelter"), {("north", "tent"): 70}, False)
    with pytest.raises(Refusal, match="margins_refused") as refused:
        raked(np.ones(4), design_of(FOUR, NOBODY, [by("region", north=60, south=40), pairs]))
    assert {code for code, _ in codes(refused)} == {"margin_contradicted"}


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan])
def test_survey_weights_must_be_above_zero(weight: float) -> None:
    design = design_of(FOUR, NOBODY, [by("region", north=60, south=40)])
    with pytest.raises(Refusal, match="seed_weights_wrong"):
        raked(np.array([1.0, weight, 1.0, 1.0]), design)


def test_survey_weights_decide_where_margins_are_silent() -> None:
    design = design_of(FOUR, NOBODY, [by("region", north=60, south=40)])
    weights = raked(np.array([1.0, 5.0, 3.0, 1.0]), design)
    assert weights == pytest.approx([10, 50, 30, 10], rel=1e-9)


# --- whole numbers -----------------------------------------------------------------------------


def test_whole_numbers_meet_household_margins_exactly() -> None:
    design = design_of(
        FOUR, NOBODY, [by("region", north=61, south=40), by("shelter", tent=33, flat=68)]
    )
    whole = whole_weights(raked(np.array([1.0, 2.0, 3.0, 4.0]), design), design)
    north_tent, north_flat, south_tent, south_flat = whole.tolist()
    assert (north_tent + north_flat, south_tent + south_flat) == (61, 40)
    assert (north_tent + south_tent, north_flat + south_flat) == (33, 68)


def test_household_margins_no_whole_numbers_can_meet_are_refused() -> None:
    design = Design(
        ("a", "twice a"), np.array([[1.0, 2.0]]), np.array([10.0, 21.0]), np.zeros(2, bool)
    )
    with pytest.raises(Refusal, match="whole_numbers_impossible"):
        whole_weights(np.array([10.2]), design)


@pytest.mark.parametrize(("households", "seed"), [(100_000, 1), (100_000, 2), (1_000_000, 3)])
def test_an_assisted_caseload_agrees_with_what_is_published(households: int, seed: int) -> None:
    caseload = assisted_caseload(households, Randomness(seed))
    design, whole = caseload.design, caseload.whole
    raked_gaps, gaps = np.abs(design.gaps(caseload.weights)), np.abs(design.gaps(whole))
    assert raked_gaps.max() < 1e-9
    assert gaps[~design.of_people].max() == 0
    # Nobody is half a person: a sort of people is off by less than one, or by 0.01 %.
    off = np.abs(whole @ design.counts - design.targets)[design.of_people]
    assert (off < np.maximum(1.0, 1e-4 * design.targets[design.of_people])).all()
    assert caseload.households == households
    assert caseload.people / households == pytest.approx(5.685, rel=1e-3)
    topup = (whole * topup_try(caseload.rosters.size)).sum() / households
    assert topup == pytest.approx(346.16, rel=1e-3)


def test_people_margins_of_a_country_are_met_within_a_hundredth_of_a_per_cent() -> None:
    caseload = assisted_caseload(657_000, Randomness(11))
    gaps = np.abs(caseload.design.gaps(caseload.whole))
    assert gaps[caseload.design.of_people].max() < 1e-4
    people = caseload.rosters.people * caseload.whole[:, None]
    assert people.sum() == round(Fraction("5.685") * 657_000)


def test_several_seeds_show_what_the_published_figures_leave_open() -> None:
    shares = []
    for seed in (0, 3, 4):
        sizes = assisted_caseload(20_000, Randomness(seed)).sizes()
        shares.append(sizes[:4].sum() / sizes.sum())
    assert min(shares) > 0.20
    assert max(shares) < 0.34
    assert max(shares) - min(shares) > 0.02


def test_the_same_seed_gives_the_same_households() -> None:
    one, two = (assisted_caseload(5_000, Randomness(4)) for _ in range(2))
    assert one.whole.tolist() == two.whole.tolist()
    assert one.placed(Randomness(4)).tolist() == two.placed(Randomness(4)).tolist()
    assert np.bincount(one.placed(Randomness(9))).tolist() == np.trim_zeros(one.whole, "b").tolist()


def test_provinces_have_their_exact_shares() -> None:
    placed = provinces_placed(50_000, Randomness(1))
    counts = np.bincount(placed, minlength=81)
    assert np.abs(counts - margins.province_shares() * 50_000).max() < 1
    assert len(placed) == 50_000


def test_a_village_has_the_composition_of_a_country_but_for_a_few_people() -> None:
    caseload = assisted_caseload(400, Randomness(5))
    design = caseload.design
    off = np.abs(caseload.whole @ design.counts - design.targets)
    assert off[~design.of_people].max() == 0
    assert off[design.of_people].max() < 8
    assert off[design.of_people].sum() < 0.03 * caseload.people


def test_too_small_a_caseload_is_refused() -> None:
    with pytest.raises(Refusal, match="caseload_too_small"):
        assisted_caseload(99, Randomness(1))


def test_topups_follow_the_size_of_the_household() -> None:
    assert {size: int(topup_try(np.array([size]))[0]) for size in TOPUPS} == TOPUPS
    assert SIZE_MAX == 12


@pytest.mark.parametrize("households", [100, 150, 200, 300])
def test_small_caseloads_are_whole_households_too(households: int) -> None:
    for seed in (1, 2, 3):
        caseload = assisted_caseload(households, Randomness(seed))
        assert caseload.whole.min() >= 0
        assert caseload.households == households
