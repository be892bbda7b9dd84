"""The order, the places and the waiting list, against a reading of the list by hand."""

import hashlib
import hmac

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from eligibility.ranking import served
from eligibility.selection import Filled, Quota, Selection, fill, tie_key, tie_key_sql

PROVINCE = {"TR-01": 2, "TR-34": 1}
BY_PROVINCE = Selection(
    order="highest_score_first", quota=Quota(by="province", households=PROVINCE)
)
IN_ALL = Selection(order="highest_score_first", households=3)
SCHEMA = {
    "household_id": "string",
    "province": "string",
    "status": "string",
    "score": "int64",
    "tie_key": "string",
}


def by_engine(rows: list[dict], selection: Selection) -> dict[str, tuple]:
    fields = [
        (name, pa.int64() if kind == "int64" else pa.string()) for name, kind in SCHEMA.items()
    ]
    with duckdb.connect() as connection:
        connection.register("decided", pa.Table.from_pylist(rows, pa.schema(fields)))
        table = served(ibis.table(SCHEMA, name="decided"), selection)
        found = connection.sql(ibis.to_sql(table, dialect="duckdb")).to_arrow_table().to_pylist()
    return {
        row["household_id"]: (row["rank"], row["selected"], row["waitlist_position"])
        for row in found
    }


def by_hand(rows: list[dict], selection: Selection) -> dict[str, tuple]:
    """Walk down the list and hand out the places of each stratum one after another."""
    left = dict(selection.quota.households) if selection.quota else {"": selection.households}
    counts: dict[str, int] = {}
    waiting: dict[str, int] = {}
    places = {row["household_id"]: (None, False, None) for row in rows}
    listed = [row for row in rows if row["status"] == "eligible"]
    for row in sorted(listed, key=lambda row: (-row["score"], row["tie_key"])):
        stratum = row["province"] if selection.quota else ""
        counts[stratum] = counts.get(stratum, 0) + 1
        if left.get(stratum, 0) > 0:
            left[stratum] -= 1
            places[row["household_id"]] = (counts[stratum], True, None)
        else:
            waiting[stratum] = waiting.get(stratum, 0) + 1
            places[row["household_id"]] = (counts[stratum], False, waiting[stratum])
    return places


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "province": st.sampled_from(["TR-01", "TR-34", "TR-63"]),
            "status": st.sampled_from(["eligible", "eligible", "ineligible", "review"]),
            "score": st.integers(0, 2),
        }
    ),
    max_size=12,
).map(
    lambda rows: [
        {**row, "household_id": f"hh_{at}", "tie_key": tie_key("seed", f"hh_{at}")}
        for at, row in enumerate(rows)
    ]
)


@settings(max_examples=25, deadline=None)
@given(ROWS, st.sampled_from([BY_PROVINCE, IN_ALL]))
def test_places_are_handed_out_from_the_top_in_each_stratum(
    rows: list[dict], selection: Selection
) -> None:
    assert by_engine(rows, selection) == by_hand(rows, selection)


def test_unused_places_never_move_and_a_stratum_without_places_waits() -> None:
    rows = [
        {"household_id": f"hh_{at}", "province": province, "status": "eligible", "score": 9 - at,
         "tie_key": "0"}
        for at, province in enumerate(["TR-34", "TR-34", "TR-63", "TR-01"])
    ]  # fmt: skip
    assert by_engine(rows, BY_PROVINCE) == {
        "hh_0": (1, True, None),
        "hh_1": (2, False, 1),
        "hh_2": (1, False, 1),
        "hh_3": (1, True, None),
    }


@given(st.text(min_size=1, max_size=200), st.text(st.characters(codec="ascii"), max_size=30))
def test_the_tie_key_is_hmac_sha256_of_the_household_under_the_seed(seed: str, name: str) -> None:
    key = hmac.new(seed.encode(), name.encode(), hashlib.sha256).hexdigest()
    assert tie_key(seed, name) == key
    with duckdb.connect() as connection:
        row = connection.execute(f"SELECT {tie_key_sql(seed, '$name')}", {"name": name}).fetchall()
    assert row == [(key,)]


def test_another_seed_draws_another_order() -> None:
    households = [f"hh_{at}" for at in range(20)]
    orders = {tuple(sorted(households, key=lambda h: tie_key(seed, h))) for seed in ("a", "b", "c")}
    assert len(orders) == 3


def test_places_are_counted_in_one_way_only() -> None:
    assert (BY_PROVINCE.places, IN_ALL.places) == (3, 3)
    for wrong in ({}, {"households": 3, "quota": {"by": "province", "households": {"TR-34": 1}}}):
        with pytest.raises(ValidationError, match="either households"):
            Selection.model_validate({"order": "highest_score_first", **wrong})


# --- budgets ---------------------------------------------------------------------------------


def walk(
    people: list[tuple[str, int]], selection: Selection, budget: int | None
) -> tuple[list[bool], int | None]:
    """Who is served, by hand: one list, people taken off it one after another."""
    quota = selection.quota
    places = dict(quota.households) if quota else {"": selection.households}
    taken, ended, left = [False] * len(people), set(), budget

    def take(at: int) -> bool:
        nonlocal left
        stratum, amount = people[at]
        if stratum in ended:
            return False
        if left is not None and amount > left:
            ended.add(stratum)
            return False
        taken[at] = True
        left = None if left is None else left - amount
        return True

    for at, (stratum, _) in enumerate(people):
        if stratum in places and places[stratum] != 0 and take(at) and places[stratum] is not None:
            places[stratum] -= 1
    if quota and quota.unused == "move":
        spare = sum(count for stratum, count in places.items() if stratum not in ended)
        for at, (stratum, _) in enumerate(people):
            if spare and not taken[at] and stratum in places and take(at):
                spare -= 1
    return taken, left


LISTS = st.lists(
    st.tuples(st.sampled_from(["TR-01", "TR-34", "TR-63"]), st.integers(1, 9)), max_size=14
)
QUOTAS = st.builds(
    Quota,
    by=st.just("province"),
    households=st.fixed_dictionaries({"TR-01": st.integers(0, 4), "TR-34": st.integers(0, 3)}),
    unused=st.sampled_from([None, "stay", "move"]),
)


@given(LISTS, QUOTAS, st.one_of(st.none(), st.integers(0, 60)))
def test_money_and_places_are_handed_out_as_by_hand(
    people: list[tuple[str, int]], quota: Quota, budget: int | None
) -> None:
    selection = Selection(order="highest_score_first", quota=quota)
    taken, left = walk(people, selection, budget)
    found = fill(lambda: people, selection, budget)
    counts = {
        stratum: sum(t for t, (name, _) in zip(taken, people, strict=True) if name == stratum)
        for stratum in quota.households
    }
    assert found == Filled(counts, left)
    # In each stratum the first are served and then nobody: no cheaper household jumps the queue.
    for stratum in ("TR-01", "TR-34", "TR-63"):
        own = [t for t, (name, _) in zip(taken, people, strict=True) if name == stratum]
        assert own == sorted(own, reverse=True)


@given(
    st.lists(st.integers(1, 9), max_size=14), st.integers(0, 60),
    st.one_of(st.none(), st.integers(0, 9)),
)  # fmt: skip
def test_a_budget_without_strata_ends_at_the_first_that_does_not_fit(
    amounts: list[int], budget: int, places: int | None
) -> None:
    selection = Selection(order="lowest_score_first", households=places, budget="grant")
    found = fill(lambda: [("", amount) for amount in amounts], selection, budget)
    fitting = 0
    while fitting < len(amounts) and sum(amounts[: fitting + 1]) <= budget:
        fitting += 1
    count = fitting if places is None else min(fitting, places)
    assert found == Filled({"": count}, budget - sum(amounts[:count]))


def test_unused_places_move_only_where_the_pack_says_so() -> None:
    people = [("TR-34", 1), ("TR-34", 1), ("TR-34", 1), ("TR-01", 1)]
    for unused, counts in ((None, {"TR-01": 1, "TR-34": 1}), ("move", {"TR-01": 1, "TR-34": 2})):
        quota = Quota(by="province", households=PROVINCE, unused=unused)
        selection = Selection(order="highest_score_first", quota=quota)
        assert fill(lambda: people, selection, None).served == counts


def test_the_lowest_score_is_first_where_the_pack_says_so() -> None:
    rows = [
        {"household_id": f"hh_{at}", "province": "TR-34", "status": "eligible", "score": at,
         "tie_key": "0"}
        for at in range(3)
    ]  # fmt: skip
    lowest = Selection(order="lowest_score_first", households=1)
    assert by_engine(rows, lowest) == {
        "hh_0": (1, True, None), "hh_1": (2, False, 1), "hh_2": (3, False, 2),
    }  # fmt: skip
