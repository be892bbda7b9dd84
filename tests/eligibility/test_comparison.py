"""Two packs on one snapshot: who enters, who leaves, what it costs, and why."""

import csv
from datetime import date
from pathlib import Path

import pytest

from eligibility.assessment import assess
from eligibility.comparison import Comparison, Move, Turn, Why, compare
from eligibility.rules.pack import RulePack
from ledgers.problems import Refusal
from tests.eligibility.packs import criterion, pack_of, text_of
from tests.eligibility.snapshots import ADULT, household, write_snapshot

ON = date(2026, 3, 1)


def pack(folder: Path, least: int, places: int = 10, amount: str = "100.00") -> RulePack:
    gates = "gates:\n" + criterion("coping", f"rcsi >= {least}")
    tail = (
        f"score: rcsi\nselection: {{order: highest_score_first, households: {places}}}\n"
        f"entitlement: {{flat: {amount}}}\n"
    )
    return pack_of(folder, text_of(gates, tail=tail))


def decisions(folder: Path, name: str, rules: RulePack) -> Path:
    rows = [household(f"hh_{rcsi}", rcsi=rcsi) for rcsi in (10, 20, 30, 40)]
    rows.append(household("hh_unknown", rcsi=None))
    files = write_snapshot(folder, rows, {str(row["household_id"]): [ADULT] for row in rows})
    out = folder / f"{name}.parquet"
    assess(*files, rules, ON, out, seed="draw", spill=folder)
    return out


def test_who_enters_who_leaves_and_what_it_costs(tmp_path: Path) -> None:
    before = decisions(tmp_path, "before", pack(tmp_path, least=15, places=2))
    after = decisions(tmp_path, "after", pack(tmp_path, least=35, amount="150.00"))
    changes = tmp_path / "changes.csv"

    found = compare(before, after, tmp_path, changes)

    assert found == Comparison(
        currency="TRY",
        moves=(
            Move("enters", 0, 0, 0, 0),
            Move("leaves", 1, 1, 10000, 0),
            Move("stays", 1, 1, 10000, 15000),
            Move("outside", 3, 3, 0, 0),
        ),
        turns=(Turn("eligible", "ineligible", 2, 2),),
        whys=(Why("leaves", "not_eligible:coping", 1, 1),),
    )
    assert found.costs_minor == -5000
    with changes.open(encoding="utf-8", newline="") as file:
        listed = [(row["household_id"], row["move"]) for row in csv.DictReader(file)]
    assert listed == [("hh_30", "leaves"), ("hh_40", "stays")]


def test_the_other_way_round_is_the_opposite(tmp_path: Path) -> None:
    before = decisions(tmp_path, "before", pack(tmp_path, least=35, amount="150.00"))
    after = decisions(tmp_path, "after", pack(tmp_path, least=15, places=2))
    found = compare(before, after, tmp_path)
    assert found.moves[0] == Move("enters", 1, 1, 0, 10000)
    assert found.whys == (Why("enters", "not_eligible:coping", 1, 1),)
    assert found.costs_minor == 5000


def test_a_pack_against_itself_changes_nothing(tmp_path: Path) -> None:
    one = decisions(tmp_path, "one", pack(tmp_path, least=15))
    found = compare(one, one, tmp_path)
    assert (found.turns, found.whys, found.costs_minor) == ((), (), 0)
    assert [move.households for move in found.moves] == [0, 0, 3, 2]


def test_costs_of_two_currencies_do_not_compare(tmp_path: Path) -> None:
    one = decisions(tmp_path, "one", pack(tmp_path, least=15))
    head = "code: xx\ncurrency: USD\ninputs: {household: {rcsi: int}}\n"
    other = pack_of(tmp_path, head + text_of("gates:\n" + criterion("c", "rcsi >= 1"), head="",
                    tail="selection: {order: highest_score_first, households: 1}\n"
                    "entitlement: {flat: 1.00}\n"))  # fmt: skip
    two = decisions(tmp_path, "two", other)
    with pytest.raises(Refusal, match="packs_in_two_currencies"):
        compare(one, two, tmp_path)
