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

from eligibility.selection import Quota, Selection, served, tie_key, tie_key_sql

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
