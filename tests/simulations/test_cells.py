"""Cells say of every household what the engine of real cycles says, and count as many."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eligibility.assessment import assess
from eligibility.entitlements import Entitlement
from eligibility.rules.check import check
from eligibility.rules.checked import rules_of
from eligibility.rules.pack import RulePack
from eligibility.rules.rows import Case, Range, answer
from eligibility.rules.terms import Count, Gather, Input, Kind, Term, every
from eligibility.selection import Selection
from ledgers.problems import Refusal
from simulations.cell_rules import OPEN, Answers, Pair
from simulations.cells import View
from simulations.funding import funded
from simulations.gathering import gathered
from tests.eligibility.packs import criterion, pack_of, text_of
from tests.eligibility.rosters import (
    HOUSEHOLD,
    ON,
    PARAMETERS,
    SCOPE,
    Said,
    members,
    numbers,
    truths,
)
from tests.eligibility.rosters import households as random_households
from tests.eligibility.snapshots import Facts, household, write_snapshot

CRITERIA = (
    "gates:\n"
    + criterion("account", "has_iban")
    + criterion("area", 'province in ["TR-34", "TR-27"]', "on_unknown: pass")
    + "any_of:\n"
    + criterion("coping", "rcsi >= 19")
    + criterion("older", "members.exists(m, m.age >= 60)", "on_unknown: fail")
    + criterion("dependency", "ratio(dependants, able) >= p.dependency", "zero_denominator: pass")
)
WORDS = ("TR-01", "TR-27", "TR-34", "TR-63")
SAID = st.one_of(truths(2, inside=False), numbers(2, inside=False))


# --- one term --------------------------------------------------------------------------------


def ends(found: Range, kind: Kind) -> tuple[int, int]:
    """A range of the row back end as the two numbers that cells hold."""
    low, high = found
    if kind is Kind.BOOL:
        return int(low is True), int(high is True)
    as_number = {None: None}
    for end in found:
        if isinstance(end, str):
            as_number[end] = WORDS.index(end)
        elif isinstance(end, date):
            as_number[end] = (end - date(1970, 1, 1)).days
        elif end is not None:
            as_number[end] = int(end)
    lowest, highest = as_number[low], as_number[high]
    return -int(OPEN) if lowest is None else lowest, int(OPEN) if highest is None else highest


def on_cells(term: Term, cases: Sequence[tuple[dict, list[dict]]]) -> list[tuple[int, int]]:
    columns = {}
    for inner in every(term):
        if isinstance(inner, Input | Count | Gather):
            found = [
                ends(answer(inner, Case(facts, people, PARAMETERS, ON)), inner.kind)
                for facts, people in cases
            ]
            columns[inner] = Pair(*np.array(found, dtype=np.int64).T)
    codes = {word: code for code, word in enumerate(WORDS)}
    pair = Answers(columns.get, codes, PARAMETERS, ON, {}).pair(term)
    low, high = (np.broadcast_to(end, len(cases)).tolist() for end in pair)
    return list(zip(low, high, strict=True))


@settings(max_examples=150, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.too_slow])  # fmt: skip
@given(SAID, st.lists(st.tuples(random_households(), members()), min_size=1, max_size=5))
def test_cells_and_rows_agree_on_any_rule_and_any_roster(
    said: Said, cases: list[tuple[dict, list[dict]]]
) -> None:
    term, troubles = check(said.text, SCOPE)
    assert term is not None, troubles
    expected = [
        ends(answer(term, Case(facts, people, PARAMETERS, ON)), term.kind)
        for facts, people in cases
    ]
    assert on_cells(term, cases) == expected


def test_a_number_too_large_for_the_books_is_refused() -> None:
    term, _ = check("999999999 * a + 999999999 * b", SCOPE)
    assert term is not None
    with pytest.raises(Refusal, match="rule_overflow"):
        on_cells(term, [({"a": 2**62 - 1, "b": 1}, [])])
    assert HOUSEHOLD["a"] is Kind.INT


# --- a whole population ------------------------------------------------------------------------


@pytest.fixture
def pack(tmp_path: Path) -> RulePack:
    return pack_of(tmp_path, text_of(CRITERIA))


def caseload(seed: int, count: int = 400) -> tuple[list[Facts], dict[str, list[Facts]]]:
    """Households of every sort: some without a roster, a size, a score, a province, birth dates."""
    rng = np.random.default_rng(seed)

    def some(value: object, unknown: float = 0.06) -> object:
        return None if rng.random() < unknown else value

    listed, rosters = [], {}
    for number in range(count):
        name = f"hh_{number:05d}"
        listed.append(
            household(
                name,
                province=some(str(rng.choice(WORDS))),
                has_iban=some(bool(rng.random() < 0.8)),
                rcsi=some(int(rng.integers(0, 30))),
                declared_size=some(int(rng.integers(0, 8))),
                has_roster=bool(rng.random() < 0.9),
            )
        )
        rosters[name] = [
            {
                "birth_date": some(
                    date(int(rng.integers(1940, 2026)), int(rng.integers(1, 13)), 7)
                ),
                "birth_date_precision": some("exact", 0.2),
            }
            for _ in range(int(rng.integers(0, 7)))
        ]
    return listed, rosters


def decided(folder: Path, pack: RulePack, files: tuple[Path, Path], on: date) -> list[dict]:
    out = folder / "decisions.parquet"
    assess(*files, pack, on, out, seed="seed", spill=folder)
    return pq.read_table(out).to_pylist()


def changed(pack: RulePack, **parameters: Mapping[date, object]) -> RulePack:
    """The pack with other values of parameters."""
    content = pack.model_dump(mode="python", by_alias=True, exclude_none=True)
    for name, values in parameters.items():
        content["parameters"][name]["values"] = values
    return RulePack.model_validate(content, strict=False)


VARIANTS = {
    "as published": {},
    "a ratio of 2": {"dependency": {date(2020, 1, 1): 2}},
    "a ratio of 0.4": {"dependency": {date(2020, 1, 1): "0.4"}},
}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("variant", VARIANTS)
def test_cells_decide_every_household_as_a_cycle_does(
    tmp_path: Path, pack: RulePack, variant: str, seed: int
) -> None:
    files = write_snapshot(tmp_path, *caseload(seed))
    other = changed(pack, **VARIANTS[variant])
    rows = decided(tmp_path, other, files, ON)
    view = View(rules_of(pack), ON, frozenset({"dependency"}))
    cells = gathered(*files, [view], spill=tmp_path, by_household=True)
    said = cells.verdict(rules_of(other), ON)
    assert list(cells.ids) == [row["household_id"] for row in rows]
    for name, column in (
        ("pass_bits", said.pass_bits),
        ("unknown_bits", said.unknown_bits),
        ("people", cells.people),
    ):
        assert column.tolist() == [row[name] for row in rows]
    assert said.eligible.tolist() == [row["status"] == "eligible" for row in rows]
    assert said.review.tolist() == [row["status"] == "review" for row in rows]
    assert said.amount_minor.tolist() == [row["amount_minor"] or 0 for row in rows]
    assert said.score.tolist() == [row["score"] or 0 for row in rows]


def test_fewer_cells_than_households_come_to_the_same_totals(
    tmp_path: Path, pack: RulePack
) -> None:
    files = write_snapshot(tmp_path, *caseload(7, 3000))
    rows = decided(tmp_path, pack, files, ON)
    view = View(rules_of(pack), ON)
    cells = gathered(*files, [view], groups=["province"], spill=tmp_path)
    said = cells.verdict(*view[:2])
    assert len(cells) < 2600
    assert cells.households == 3000
    assert (cells.weight * said.eligible).sum() == sum(r["status"] == "eligible" for r in rows)
    assert (cells.weight * said.amount_minor).sum() == sum(r["amount_minor"] or 0 for r in rows)
    assert (cells.weight * cells.people).sum() == sum(r["people"] for r in rows)
    table = {
        name: int(cells.weight[cells.groups["province"].places == place].sum())
        for place, name in enumerate(cells.groups["province"].names)
    }
    provinces = pq.read_table(files[0]).column("province").to_pylist()
    assert table == {name: provinces.count(name) for name in sorted(set(provinces) - {None})}


def test_cells_follow_people_as_they_grow_older(tmp_path: Path, pack: RulePack) -> None:
    files = write_snapshot(tmp_path, *caseload(3))
    days = [date(2026, 3, 1), date(2027, 3, 1), date(2030, 3, 1)]
    views = [View(rules_of(pack), day) for day in days]
    cells = gathered(*files, views, spill=tmp_path)
    counts = [int((cells.weight * cells.verdict(*view[:2]).eligible).sum()) for view in views]
    assert counts == [
        sum(row["status"] == "eligible" for row in decided(tmp_path, pack, files, day))
        for day in days
    ]
    assert len(set(counts)) > 1


def test_what_was_not_gathered_is_refused(tmp_path: Path, pack: RulePack) -> None:
    files = write_snapshot(tmp_path, *caseload(1, 20))
    view = View(rules_of(pack), ON, frozenset({"dependency"}))
    cells = gathered(*files, [view], spill=tmp_path)
    fixed = gathered(*files, [View(rules_of(pack), ON)], spill=tmp_path)
    older = rules_of(changed(pack, working_age={date(2020, 1, 1): 21}))
    wider = rules_of(changed(pack, dependency={date(2020, 1, 1): 2}))
    assert [cells.serves(rules, ON) for rules in (rules_of(pack), wider, older)] == [
        True, True, False,
    ]  # fmt: skip
    assert [fixed.serves(rules, ON) for rules in (rules_of(pack), wider)] == [True, False]
    for rules, day in ((older, ON), (rules_of(pack), date(2026, 4, 1))):
        with pytest.raises(Refusal, match="cells_view_missing"):
            cells.verdict(rules, day)


def test_the_age_limits_of_two_packs_can_be_seen_at_once(tmp_path: Path, pack: RulePack) -> None:
    files = write_snapshot(tmp_path, *caseload(6))
    older = changed(pack, working_age={date(2020, 1, 1): 30})
    views = [View(rules_of(pack), ON), View(rules_of(older), ON)]
    cells = gathered(*files, views, spill=tmp_path)
    for view, one in zip(views, (pack, older), strict=True):
        expected = sum(row["status"] == "eligible" for row in decided(tmp_path, one, files, ON))
        assert (cells.weight * cells.verdict(*view[:2]).eligible).sum() == expected


def test_a_household_counts_as_often_as_its_weight_says(tmp_path: Path, pack: RulePack) -> None:
    files = write_snapshot(tmp_path, *caseload(2, 50))
    table = pq.read_table(files[0])
    weights = [1 + number % 5 for number in range(50)]
    pq.write_table(table.append_column("weight", pa.array(weights, pa.int64())), files[0])
    view = View(rules_of(pack), ON)
    each = gathered(*files, [view], spill=tmp_path, by_household=True)
    assert each.weight.tolist() == weights
    cells = gathered(*files, [view], spill=tmp_path)
    one, all_ = (
        int((found.weight * found.verdict(*view[:2]).amount_minor).sum()) for found in (each, cells)
    )
    assert one == all_ > 0
    pq.write_table(table.append_column("weight", pa.array([0, *weights[1:]], pa.int64())), files[0])
    with pytest.raises(Refusal, match="cells_weight_wrong"):
        gathered(*files, [view], spill=tmp_path)


def test_threads_do_not_change_the_cells(tmp_path: Path, pack: RulePack) -> None:
    files = write_snapshot(tmp_path, *caseload(5))
    view = View(rules_of(pack), ON)
    one, two = (gathered(*files, [view], spill=tmp_path, threads=n) for n in (1, 2))
    assert one.weight.tolist() == two.weight.tolist()
    for seen, pair in one.columns.items():
        assert pair.low.tolist() == two.columns[seen].low.tolist()


# --- who is paid -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_places_are_given_to_as_many_as_in_a_cycle(
    tmp_path: Path, pack: RulePack, seed: int
) -> None:
    files = write_snapshot(tmp_path, *caseload(seed))
    quota = {"by": "province", "households": {"TR-27": 20, "TR-34": 35, "TR-01": 500}}
    for selection in ({"households": 60}, {"quota": quota}):
        other = pack.model_copy(
            update={
                "selection": Selection.model_validate({"order": "highest_score_first", **selection})
            }
        )
        rows = decided(tmp_path, other, files, ON)
        view = View(rules_of(other), ON)
        cells = gathered(*files, [view], spill=tmp_path, groups=["province"])
        said = cells.verdict(*view[:2])
        paid = funded(cells, said, other.selection)
        assert int(paid.sum()) == sum(row["selected"] for row in rows)
        assert (paid <= cells.weight * said.eligible).all()
        scores = sorted(row["score"] for row in rows if row["selected"])
        assert sorted(np.repeat(said.score, paid).tolist()) == scores


def test_a_budget_stops_at_the_first_household_that_does_not_fit(
    tmp_path: Path, pack: RulePack
) -> None:
    flat = Entitlement.model_validate({"by_size": {1: "100.00", 2: "250.00"}}, strict=False)
    selection = Selection.model_validate({"order": "highest_score_first", "households": 1000})
    other = pack.model_copy(update={"entitlement": flat, "selection": selection})
    listed = [household(f"hh_{n}", rcsi=50 - n, declared_size=1 + (n == 2)) for n in range(6)]
    listed = [{**facts, "has_roster": False} for facts in listed]
    files = write_snapshot(tmp_path, listed, {})
    view = View(rules_of(other), ON)
    cells = gathered(*files, [view], spill=tmp_path, by_household=True)
    said = cells.verdict(*view[:2])
    assert said.eligible.all()
    # 100 + 100, then 250 does not fit into what is left of 400: nobody behind jumps the queue.
    assert funded(cells, said, selection, budget_minor=400_00).tolist() == [1, 1, 0, 0, 0, 0]
    assert funded(cells, said, selection, budget_minor=450_00).tolist() == [1, 1, 1, 0, 0, 0]
    assert funded(cells, said, selection, budget_minor=0).sum() == 0
