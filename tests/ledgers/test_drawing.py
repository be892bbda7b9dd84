"""Drawing by a seed, against closed forms and against the same rules in plain Python."""

import hashlib
import random

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from ledgers.drawing import (
    CHANCE,
    LARGE,
    Draw,
    Drawing,
    Method,
    Share,
    draw,
    quotas_of,
    start_of,
)
from ledgers.problems import Refusal
from tests.ledgers.conftest import values

# One connection serves all examples: they only select literal rows.
FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Row = tuple[int, int, int, str]  # place, part, minor, stratum
AMOUNTS = st.lists(st.integers(1, 5_000), min_size=1, max_size=25)
SEEDS = st.text("abc123 /ğ", min_size=1, max_size=6)


def rows_of(amounts: list[int], strata: str = "") -> list[Row]:
    """Lines at places with gaps; with `strata`, in turn one of its letters."""
    return [
        (number * 3, number % 2, minor, strata[number % len(strata)] if strata else "")
        for number, minor in enumerate(amounts)
    ]


def drawn(conn: psycopg.Connection, rows: list[Row], drawing: Drawing) -> Draw:
    population = values(rows, "bigint int bigint text")
    named = sql.SQL("SELECT * FROM ({}) AS v (place, part, minor, stratum)")
    return draw(conn, named.format(population), drawing)


def hits_of(found: Draw) -> dict[int, int]:
    return {line.place: line.hits for line in found.lines}


def by_hash(rows: list[Row], seed: str) -> list[Row]:
    return sorted(
        rows, key=lambda row: hashlib.sha256(f"{seed}/{row[0]}/{row[1]}".encode()).digest()
    )


# --- random and stratified ---------------------------------------------------------------------


@FEW
@given(AMOUNTS, st.integers(1, 30), SEEDS, st.randoms(use_true_random=False))
def test_random_takes_the_first_by_hash_in_any_order_of_rows(
    app: psycopg.Connection, amounts: list[int], size: int, seed: str, chance: random.Random
) -> None:
    rows = rows_of(amounts)
    expected = sorted(by_hash(rows, seed)[:size])
    chance.shuffle(rows)

    found = drawn(app, rows, Drawing(Method.RANDOM, size, seed))

    assert [(line.place, line.part, line.minor, line.stratum) for line in found.lines] == expected
    assert (found.count, found.sum_minor) == (len(amounts), sum(amounts))
    assert (found.interval_minor, found.start_minor) == (None, None)


@FEW
@given(
    AMOUNTS.filter(lambda amounts: len(amounts) > 3), st.integers(3, 30), SEEDS,
    st.sampled_from(Share),
)  # fmt: skip
def test_stratified_is_random_within_each_stratum_and_grows_with_its_size(
    app: psycopg.Connection, amounts: list[int], size: int, seed: str, share: Share
) -> None:
    rows = rows_of(amounts, "xyz")
    found = drawn(app, rows, Drawing(Method.STRATIFIED, size, seed, share=share))
    larger = drawn(app, rows, Drawing(Method.STRATIFIED, size + 1, seed, share=share))

    for stratum in found.strata:
        mine = [row for row in rows if row[3] == stratum.name]
        taken = sorted(by_hash(mine, seed)[: stratum.drawn])
        assert [line.place for line in found.lines if line.stratum == stratum.name] == [
            row[0] for row in taken
        ]
        assert (stratum.count, stratum.sum_minor) == (len(mine), sum(row[2] for row in mine))
        assert stratum.drawn_minor == sum(row[2] for row in taken)
        assert stratum.drawn >= 1
    assert len(found.lines) == min(size, len(rows))
    assert set(found.lines) <= set(larger.lines)


@given(
    st.dictionaries(
        st.text("abc", min_size=1), st.tuples(st.integers(1, 50), st.integers(1, 10**9)),
        min_size=1, max_size=6,
    ),
    st.integers(0, 200),
    st.sampled_from(Share),
)  # fmt: skip
def test_quotas_are_whole_and_capped(
    strata: dict[str, tuple[int, int]], more: int, share: Share
) -> None:
    lines = sum(count for count, _ in strata.values())
    quotas = quotas_of(strata, len(strata) + more, share)
    assert sum(quotas.values()) == min(len(strata) + more, lines)
    assert all(1 <= quotas[name] <= count for name, (count, _) in strata.items())


def test_quotas_follow_lines_or_money() -> None:
    strata = {"Adana": (600, 1_000), "İstanbul": (300, 8_000), "Şanlıurfa": (100, 1_000)}
    assert quotas_of(strata, 10, Share.LINES) == {"Adana": 6, "İstanbul": 3, "Şanlıurfa": 1}
    assert quotas_of(strata, 10, Share.MONEY) == {"Adana": 1, "İstanbul": 8, "Şanlıurfa": 1}
    assert quotas_of({"a": (2, 1), "b": (2, 1)}, 3, Share.LINES) == {"a": 2, "b": 1}


# --- money-unit --------------------------------------------------------------------------------


def hits_by_counting(rows: list[Row], interval: int, start: int) -> dict[int, int]:
    """Every unit numbered from 1; those at start, start + interval, … are hits."""
    units = [row[0] for row in sorted(rows) for _ in range(row[2])]
    hit = units[start - 1 :: interval]
    return {place: hit.count(place) for place in hit}


@FEW
@given(AMOUNTS, st.integers(1, 40), SEEDS, st.randoms(use_true_random=False))
def test_money_unit_hits_what_counting_units_hits(
    app: psycopg.Connection, amounts: list[int], size: int, seed: str, chance: random.Random
) -> None:
    rows = rows_of(amounts)
    chance.shuffle(rows)

    found = drawn(app, rows, Drawing(Method.MONEY_UNIT, size, seed))

    interval, start = found.interval_minor, found.start_minor
    assert interval == max(sum(amounts) // size, 1)
    assert start == start_of(seed, interval)
    assert hits_of(found) == hits_by_counting(rows, interval, start)
    total = sum(hits_of(found).values())
    assert total == (sum(amounts) - start) // interval + 1
    assert total >= min(size, sum(amounts))
    # Every line has its amount over the interval, rounded one way or the other.
    for place, _, minor, _ in rows:
        assert minor // interval <= hits_of(found).get(place, 0) <= -(-minor // interval)


@FEW
@given(AMOUNTS, st.integers(1, 10), SEEDS)
def test_lines_not_smaller_than_the_interval_are_always_taken(
    app: psycopg.Connection, amounts: list[int], size: int, seed: str
) -> None:
    rows = rows_of(amounts)
    found = drawn(app, rows, Drawing(Method.MONEY_UNIT, size, seed))
    large = {row[0] for row in rows if row[2] >= found.interval_minor}
    assert large == {line.place for line in found.lines if line.stratum == LARGE}
    told = {stratum.name: (stratum.count, stratum.drawn) for stratum in found.strata}
    assert told.get(LARGE, (0, 0)) == (len(large), len(large))
    assert told.get(CHANCE, (0, 0))[0] == len(rows) - len(large)


def test_every_line_is_hit_as_often_as_it_has_units_over_all_starts(
    app: psycopg.Connection,
) -> None:
    """Over all starts each unit is hit once: expected hits are the amount over the interval."""
    amounts = [7, 1, 30, 12]
    starts: dict[int, dict[int, int]] = {}
    number = 0
    while len(starts) < 10:  # 50 units, a size of 5: ten starts
        found = drawn(app, rows_of(amounts), Drawing(Method.MONEY_UNIT, 5, f"s{number}"))
        starts[found.start_minor] = hits_of(found)
        number += 1
    sums = [sum(hits.get(place, 0) for hits in starts.values()) for place, *_ in rows_of(amounts)]
    assert sums == amounts


# --- the same again, and what cannot be ----------------------------------------------------------


@pytest.mark.parametrize("method", Method)
def test_another_seed_draws_another_sample(app: psycopg.Connection, method: Method) -> None:
    rows = rows_of([100 + number for number in range(200)])
    first, again, other = (
        drawn(app, rows, Drawing(method, 20, seed)) for seed in ("one", "one", "two")
    )
    assert first == again
    assert first.lines != other.lines


def test_drawing_is_refused_without_lines_or_for_too_few(app: psycopg.Connection) -> None:
    with pytest.raises(Refusal, match="sample_of_nothing"):
        drawn(app, [], Drawing(Method.RANDOM, 1, "seed"))
    with pytest.raises(Refusal, match="sample_size_unfit"):
        drawn(app, rows_of([5, 5, 5], "xy"), Drawing(Method.STRATIFIED, 1, "seed"))
    for method in (Method.RANDOM, Method.MONEY_UNIT):
        with pytest.raises(Refusal, match="sample_size_unfit"):
            drawn(app, rows_of([5]), Drawing(method, 0, "seed"))
