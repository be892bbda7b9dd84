"""The figures the program carries are the published ones, and rosters are raked to them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.population import margins
from simulations.population.rosters import ADULT, Care, Relation, Rosters, raked

SAMPLE_NAMES = {"Istanbul": "İstanbul", "Izmir": "İzmir"}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rosters() -> Rosters:
    return raked(np.random.default_rng(1))


@pytest.mark.samples
def test_age_and_sex_are_as_published(samples: Path) -> None:
    published = rows_of(samples / "essn" / "syrians_tp_age_sex_2021_12.csv")
    carried = margins.rows("age_sex")
    assert [(r["age_group"], r["male"], r["female"]) for r in carried] == [
        (r["age_group"], r["male"], r["female"]) for r in published if r["age_group"] != "TOTAL"
    ]


@pytest.mark.samples
def test_provinces_are_as_published_and_add_up_to_the_published_total(samples: Path) -> None:
    published = {
        SAMPLE_NAMES.get(r["province"], r["province"]): int(r["registered_syrians"])
        for r in rows_of(samples / "essn" / "syrians_tp_by_province.csv")
        if r["date"] == "2023-05-25"
    }
    carried = {r["name"]: int(r["registered_syrians"]) for r in margins.rows("provinces")}
    total = published.pop("ALL (81 provinces)")
    assert {name: carried[name] for name in published} == published
    assert (len(carried), sum(carried.values())) == (81, total)


@pytest.mark.samples
def test_composition_is_as_published(samples: Path) -> None:
    published = {r["measure"]: r["value"] for r in rows_of(samples / "essn" / "cvme5_2020.csv")}
    assert [margins.composition(name) for name in (
        "female_headed", "single_parent_if_female_headed", "single_parent_if_male_headed",
    )] == [float(published[name]) for name in (
        "female_headed_households", "single_parent_share_of_female_headed",
        "single_parent_share_of_male_headed",
    )]  # fmt: skip


def test_every_figure_has_its_source() -> None:
    names = [path.stem for path in margins.DATA.glob("*.csv")]
    for name in ("age_sex", "composition", "districts", "free_mix", "household_sizes", "provinces"):
        assert name in names
        assert all(row["source"].strip() for row in margins.rows(name))


def test_shares_add_up_to_one() -> None:
    assert sum(int(r["per_ten_thousand"]) for r in margins.rows("household_sizes")) == 10_000
    for axis in ("market", "debit", "nationality"):
        assert sum(margins.mix(axis).values()) == pytest.approx(1)


def test_sizes_have_the_mean_of_assisted_households() -> None:
    mean = float(margins.size_shares() @ np.arange(1, 13))
    assert mean == pytest.approx(5.685, abs=0.005)
    assert 0.22 < margins.size_shares()[:4].sum() < 0.33


@pytest.mark.parametrize("seed", range(4))
def test_raked_rosters_meet_every_margin(seed: int) -> None:
    rosters = raked(np.random.default_rng(seed))
    weight, people = rosters.weight, rosters.people
    weighed = (weight[:, None] * people).sum()
    assert weight.min() >= 0
    for (first, last), shares in zip(margins.age_bounds(), margins.age_sex_shares(), strict=True):
        aged = people & (rosters.age >= first) & (rosters.age <= last)
        for sex, share in zip((~rosters.female, rosters.female), shares, strict=True):
            assert (weight[:, None] * (aged & sex)).sum() / weighed == pytest.approx(
                share, abs=1e-8
            )
    sizes = [weight[rosters.size == size].sum() for size in range(1, 13)]
    assert sizes == pytest.approx(list(margins.size_shares()), abs=1e-8)
    assert weight[rosters.female[:, 0]].sum() == pytest.approx(0.2, abs=1e-8)


def test_rosters_are_households_that_could_be(rosters: Rosters) -> None:
    people, age, relation = rosters.people, rosters.age, rosters.relation
    head_age = np.broadcast_to(age[:, :1], age.shape)
    head_female = np.broadcast_to(rosters.female[:, :1], age.shape)
    assert ((relation == Relation.HEAD).sum(axis=1) == 1).all()
    assert (relation[:, 0] == Relation.HEAD).all()
    assert age[:, 0].min() >= ADULT
    spouse = people & (relation == Relation.SPOUSE)
    assert spouse.sum(axis=1).max() == 1
    assert (rosters.female[spouse] != head_female[spouse]).all()
    child = people & (relation == Relation.CHILD)
    assert (head_age - age)[child].min() >= 16
    parent = people & (relation == Relation.PARENT)
    assert parent.sum(axis=1).max() <= 2
    assert (age - head_age)[parent].min() >= 17


def test_drawn_rosters_have_the_size_and_care_asked_for(rosters: Rosters) -> None:
    sizes = np.tile(np.arange(1, 13), 50)
    for care in Care:
        drawn = rosters.drawn(np.random.default_rng(2), sizes, np.full(len(sizes), int(care)))
        assert (rosters.size[drawn] == sizes).all()
        assert (rosters.care()[drawn] == care).all()


@given(st.data(), st.integers(1, 300), st.integers(0, 99))
def test_sizes_add_up_to_the_people_asked_for(
    data: st.DataObject, households: int, seed: int
) -> None:
    people = data.draw(st.integers(households, households * 12))
    sizes = margins.exact_sizes(np.random.default_rng(seed), households, people)
    assert (len(sizes), int(sizes.sum())) == (households, people)
    assert 1 <= sizes.min() <= sizes.max() <= 12
