"""A pack's own selection in a projection: order, quota, budget, places that move, the list."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eligibility.assessment import assess
from eligibility.rules.checked import rules_of
from eligibility.selection import ALL, Quota, Selection, fill
from ledgers.problems import Refusal
from simulations.cells import View
from simulations.dynamics import Shift
from simulations.funding import funded
from simulations.gathering import gathered
from simulations.projection.caseload import reached, within_places
from simulations.projection.counting import Places
from simulations.projection.courses import People
from simulations.projection.running import Projection, project
from simulations.projection.selecting import MILLION, WeightedWalk
from simulations.report.answers import common_parts
from simulations.report.waterfall import COME, GO, NOT_PAID, moves, whole_moves
from tests.eligibility.snapshots import ADULT, write_snapshot
from tests.simulations.scenario_files import PACK, changed, findings_of, scenario_of

PROVINCES = ("TR-27", "TR-33", "TR-34")
STILL = changed(("caseload:\n  exits: 0.01\n", ""), ("amount: 100000.00", "amount: 3000.00"))
LOWEST = "{order: lowest_score_first, households: 17}"
QUOTA = "{order: highest_score_first, quota: {by: province, households: {TR-27: 4, TR-33: 6}}}"
MOVE = QUOTA.replace("TR-33: 6}", "TR-33: 30}, unused: move")
BUDGET = "{order: lowest_score_first, budget: 41500.00}"
BOTH = QUOTA.replace("}}}", "}}, budget: 13000.00}")
WITHIN_GRANT = "{order: highest_score_first, budget: grant}"
SELECTIONS = [LOWEST, QUOTA, MOVE, BUDGET, BOTH, WITHIN_GRANT]


def town(folder: Path, **columns: pa.Array) -> People:
    """Sixty households of one to four people in three provinces, each with a score of its own."""
    households = [
        {"household_id": f"hh_{at:02d}", "province": PROVINCES[at % 3], "has_roster": True,
         "rcsi": 20 + at * 7 % 31}
        for at in range(60)
    ]  # fmt: skip
    members = {f"hh_{at:02d}": [ADULT] * (1 + at % 4) for at in range(60)}
    files = write_snapshot(folder, households, members)
    table = pq.read_table(files[0])
    for name, values in columns.items():
        table = table.append_column(name, values)
    pq.write_table(table, files[0])
    return People.of(*files)


def pack_with(selection: str) -> str:
    return PACK.replace("{order: highest_score_first, households: 100000}", selection)


def ran(folder: Path, selection: str, text: str = STILL, **columns: pa.Array) -> Projection:
    loaded = scenario_of(folder, text, pack_with(selection))
    return project(loaded, town(folder, **columns), "lots", folder)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_the_first_month_pays_whom_the_rules_select(tmp_path: Path, selection: str) -> None:
    projection = ran(tmp_path, selection)
    out = tmp_path / "real.parquet"
    course, base = projection.base.loads.course, projection.base.base
    grant = 15_000_000 if selection == WITHIN_GRANT else None  # 3,000 USD at 50
    files = projection.people.households, projection.people.members

    assess(*files, course.pack, projection.scenario.start, out, seed="lots", spill=tmp_path,
           grant_minor=grant)  # fmt: skip

    real = pq.read_table(out).to_pylist()
    assert pq.read_table(projection.base.loads.runs[0].decisions).to_pylist() == real
    served = [row for row in real if row["selected"]]
    assert 0 < len(served) < 60 or selection == WITHIN_GRANT
    # Without a budget of its own everybody is due, and the grant's money says who is paid.
    assert base.paid[0, 0] == len(served)
    assert base.transfers[0, 0] == sum(row["amount_minor"] for row in served)
    by_province = {
        province: sum(
            base.paid_by_group[0, 0, at]
            for at, name in enumerate(projection.base.loads.strata.province) if name == province
        )
        for province in PROVINCES
    }  # fmt: skip
    place = {f"hh_{at:02d}": PROVINCES[at % 3] for at in range(60)}
    assert by_province == {
        province: sum(place[row["household_id"]] == province for row in served)
        for province in PROVINCES
    }


def test_a_budget_holds_in_every_month_and_draw(tmp_path: Path) -> None:
    text = STILL.replace("{annual: 0}", "{monthly: [0.1, 0.1, 0.1, 0.1, 0.1, 0.1]}").replace(
        "prices:\n", "indexation: {follows: prices, every_months: 1, round_to: 10.00}\nprices:\n"
    )
    base = ran(tmp_path, BUDGET, text.replace("amount: 3000.00", "amount: 90000.00")).base.base

    assert (base.transfers[0] <= 4_150_000).all()
    assert base.due[0, 0] > base.due[0, -1] > 0  # the value rises, the budget does not


def test_who_is_paid_when_grants_run_short_is_first_in_the_order(tmp_path: Path) -> None:
    text = STILL.replace("amount: 3000.00", "amount: 800.00")  # 40,000 TRY of 150,000
    projection = ran(tmp_path, "{order: lowest_score_first, households: 100}", text)
    base, strata = projection.base.base, projection.base.loads.strata

    # By the lot of the order, not in proportion: as many as the walk down the list reaches.
    decisions = pq.read_table(projection.base.loads.runs[0].decisions).to_pylist()
    decisions.sort(key=lambda row: (row["score"], row["tie_key"]))
    left, reach = 4_000_000, 0
    for row in decisions:
        left -= row["amount_minor"]
        if left < 0:
            break
        reach += 1
    assert abs(base.paid[0, 0] - reach) <= 2  # equal scores share a step of the order
    assert base.paid_by_group[0, 0].sum() == base.paid[0, 0]
    assert len(strata) > 6


def test_who_was_listed_is_served_beside_the_order(tmp_path: Path) -> None:
    selection = (
        "{order: highest_score_first, households: 5, discretionary: {households_max: 9,"
        " days_max: 90}}"
    )
    pack = PACK.replace("{rcsi: int}", "{rcsi: int, discretionary: bool}").replace(
        "{order: highest_score_first, households: 100000}", selection
    )
    loaded = scenario_of(tmp_path, STILL.replace("amount: 3000.00", "amount: 90000.00"), pack)
    listed = town(tmp_path, discretionary=pa.array([at in (3, 8) for at in range(60)]))

    projection = project(loaded, listed, "lots", tmp_path)

    assert projection.base.base.paid[0].tolist() == [7] * 6
    assert set(projection.base.loads.strata.quota) == {ALL, "discretionary"}


# --- where a row stands for several households -------------------------------------------------


@st.composite
def lists(draw: st.DrawFn) -> tuple[list[tuple[str, int]], Selection, int | None]:
    """An ordered list of stratum and amount, a selection, and a budget."""
    rows = draw(
        st.lists(st.tuples(st.sampled_from(PROVINCES), st.integers(1, 9)), min_size=1, max_size=40)
    )
    places = draw(st.dictionaries(st.sampled_from(PROVINCES[:2]), st.integers(0, 12), min_size=1))
    unused = draw(st.sampled_from([None, "stay", "move"]))
    budget = draw(st.one_of(st.none(), st.integers(0, 150)))
    if draw(st.booleans()):
        quota = Quota(by="province", households=places, unused=unused)
        return rows, Selection(order="highest_score_first", quota=quota), budget
    selection = Selection(order="highest_score_first", households=draw(st.integers(0, 30)))
    return [(ALL, amount) for _, amount in rows], selection, budget


@given(lists())
def test_weights_of_one_serve_whom_a_cycle_serves(
    listed: tuple[list[tuple[str, int]], Selection, int | None],
) -> None:
    rows, selection, budget = listed
    said = fill(lambda: iter(rows), selection, budget)

    walked = WeightedWalk(selection, budget).go(
        (stratum, amount, MILLION) for stratum, amount in rows
    )

    assert dict(walked) == dict(said.served)


@given(lists(), st.integers(2, 5))
def test_a_row_for_many_serves_what_as_many_rows_would(
    listed: tuple[list[tuple[str, int]], Selection, int | None], many: int
) -> None:
    rows, selection, _ = listed
    if selection.quota is not None and selection.quota.unused == "move":
        return  # what is left over of a stratum of whole rows does not move
    alone = fill(lambda: (row for row in rows for _ in range(many)), selection, None).served

    walked = WeightedWalk(selection, None).go(
        (name, amount, many * MILLION) for name, amount in rows
    )

    for stratum, count in walked.items():
        assert 0 <= alone[stratum] - count * many < many


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_sample_selects_like_the_households_it_stands_for(tmp_path: Path, selection: str) -> None:
    loaded = scenario_of(tmp_path, STILL, pack_with(selection))
    plain = town(tmp_path)
    three = People.of(plain.households, plain.members, represents=180)

    projection = project(loaded, three, "lots", tmp_path)

    decisions = pq.read_table(projection.base.loads.runs[0].decisions).to_pylist()
    served = [row for row in decisions if row["selected"]]
    waiting = [row for row in decisions if row["reason"] == "waiting"]
    assert served
    assert {row["waitlist_position"] for row in served} == {None}
    assert all(row["waitlist_position"] > 0 for row in waiting)
    places = loaded.courses[0].pack.selection.places
    assert places is None or len(served) * 3 <= places
    if selection in (BUDGET, BOTH):
        budget = 4_150_000 if selection == BUDGET else 1_300_000
        assert sum(row["amount_minor"] for row in served) * 3 <= budget
    totals = projection.base.loads.runs[0].totals
    assert (totals.selected, totals.waiting) == (len(served), len(waiting))


def test_a_sample_too_coarse_for_the_places_is_refused(tmp_path: Path) -> None:
    loaded = scenario_of(tmp_path, STILL, pack_with(QUOTA))
    plain = town(tmp_path)
    five = People.of(plain.households, plain.members, represents=300)

    # Five households a row: one fits into the six places of Mersin, none into the four of Antep.
    with pytest.raises(Refusal, match=r"^population_coarse: A row .* 5 households .* of TR-27"):
        project(loaded, five, "lots", tmp_path)


# --- the pieces --------------------------------------------------------------------------------


def test_unused_places_move_to_those_who_wait() -> None:
    entitled = np.array([[[2.0, 9.0, 9.0]]])  # of 5 and 3 places; the third stratum has none
    selected = np.array([[2.0, 6.0, 0.0]])
    places = {"a": 5, "b": 3}

    stay = within_places(entitled, ("a", "b", "c"), Places(places, False, None), selected)
    move = within_places(entitled, ("a", "b", "c"), Places(places, True, None), selected)

    assert stay[0, 0].tolist() == [2.0, 3.0, 0.0]
    assert move[0, 0].tolist() == [2.0, 6.0, 0.0]


def test_money_reaches_the_first_of_the_order() -> None:
    # Two parts: all of the first group, then all of the second; ten households of 100 each.
    upto = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    counts, values = np.array([[10.0, 10.0]] * 3), np.array([[100, 100]])

    found = reached(upto, counts, values, np.array([500.0, 1500.0, 2500.0]))

    assert found.tolist() == [[5.0, 0.0], [10.0, 5.0], [10.0, 10.0]]


def test_a_shift_loses_nobody() -> None:
    shift = Shift(np.array([0, 0]), np.array([1, 2]), np.array([0.25, 0.5]))

    assert shift.moved(np.array([8.0, 1.0, 0.0])).tolist() == [2.0, 3.0, 4.0]


# --- what is refused rather than left out ------------------------------------------------------


def test_what_a_scenario_cannot_do_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "pack.yaml").write_text(PACK, encoding="utf-8")
    after = STILL.replace("pack: pack.yaml", "pack: essn-2023")
    codes = [one.problem.code for one in findings_of(tmp_path, after)]
    assert "scenario_pack_after" in codes

    begin = STILL.index("grants:")
    text = STILL[:begin].replace("question: cost", "question: comparison")
    text = text.replace("prices:\n", (
        "variants:\n  - code: in-grant\n    name: {tr: a, en: a, ar: a}\n"
        f"    selection: {WITHIN_GRANT}\nprices:\n"
    ))  # fmt: skip
    [finding] = findings_of(tmp_path, text)
    assert finding.problem.code == "scenario_grant_needed"
    assert finding.place.row


@pytest.mark.parametrize("selection", [MOVE, BOTH])
def test_cells_refuse_what_they_cannot_tell(tmp_path: Path, selection: str) -> None:
    projection = ran(tmp_path, selection)
    pack, start = projection.base.loads.course.pack, projection.scenario.start
    files = projection.people.households, projection.people.members
    view = View(rules_of(pack), start)
    cells = gathered(*files, [view], spill=tmp_path)

    with pytest.raises(Refusal, match=r"^selection_not_on_cells"):
        funded(cells, cells.verdict(view.rules, start), pack.selection)


def test_cells_pay_the_lowest_score_first_where_the_pack_says_so(tmp_path: Path) -> None:
    projection = ran(tmp_path, LOWEST)
    pack, start = projection.base.loads.course.pack, projection.scenario.start
    view = View(rules_of(pack), start)
    cells = gathered(
        projection.people.households, projection.people.members, [view], spill=tmp_path
    )
    verdict = cells.verdict(view.rules, start)

    paid = funded(cells, verdict, pack.selection)

    decisions = pq.read_table(projection.base.loads.runs[0].decisions).to_pylist()
    scores = sorted(row["score"] for row in decisions if row["selected"])
    assert sorted(np.repeat(verdict.score, paid).tolist()) == scores


# --- from this month's caseload to the next ----------------------------------------------------


GROWING = PACK.replace(
    "rcsi >= p.rcsi_least}", "rcsi >= p.rcsi_least && children >= 1}"
).replace("per_person: 1000.00", "per_person: p.each").replace("parameters:\n", (
    "parameters:\n  each: {type: money, source: Circular 3, values: {2020-01-01: 1000.00}}\n"
))  # fmt: skip
MOVING = changed(
    ("exits: 0.01", ("exits: 0.02\n  arrivals: 0.01\n  take_up: 0.9\n"
     "  recertification_months: 2\n  recertification_loss: 0.25")),
    ("every_months: 6", ("every_months: 2\n  overlay:\n"
     "    - {parameter: rcsi_least, from: 2026-04-01, value: 30, source: Test}")),
)  # fmt: skip


def children(folder: Path) -> People:
    """Thirty households with a child that grows up on 1 March, thirty with a small one."""
    households = [
        {"household_id": f"hh_{at:02d}", "province": "TR-27", "has_roster": True,
         "rcsi": 25 + at % 10}
        for at in range(60)
    ]  # fmt: skip
    born = [date(2008, 3, 1) if at < 30 else date(2020, 1, 1) for at in range(60)]
    members = {f"hh_{at:02d}": [ADULT, {**ADULT, "birth_date": born[at]}] for at in range(60)}
    return People.of(*write_snapshot(folder, households, members))


def test_every_month_leads_to_the_next_in_whole_households(tmp_path: Path) -> None:
    projection = project(scenario_of(tmp_path, MOVING, GROWING), children(tmp_path), "l", tmp_path)

    moved = moves(projection)

    come, go = (sum(moved[name] for name in names) for names in (COME, GO))
    assert (moved["qualify_before"] + come - go).tolist() == moved["qualify"].tolist()
    assert moved["qualify"][:-1].tolist() == moved["qualify_before"][1:].tolist()
    not_paid = sum(moved[name] for name in NOT_PAID)
    assert (moved["qualify"] - not_paid).tolist() == moved["paid"].tolist()
    # Children of half the households turn 18 on 1 March, the limit rises on 1 April.
    assert np.flatnonzero(moved["aged_out"]).tolist() == [2]
    assert np.flatnonzero(moved["rules_out"]).tolist() == [3]
    assert np.flatnonzero(moved["loss_gone"]).tolist() == [2, 4]
    assert moved["aged_out"][2] == pytest.approx(30 * 0.98**2 * 0.75, abs=2)
    keys = [one.section.key for one in common_parts(projection)]
    assert keys[:3] == ["caseload", "waterfall", "moves"]


def test_a_new_amount_brings_nobody_back(tmp_path: Path) -> None:
    still = MOVING.replace("parameter: rcsi_least", "parameter: each").replace("value: 30", "{}")
    people = children(tmp_path)
    raised = scenario_of(tmp_path, still.replace("{}", "value: 1200.00"), GROWING)
    as_it_was = scenario_of(tmp_path, still.replace("{}", "value: 1000.00"), GROWING)

    one, other = (project(which, people, "l", tmp_path) for which in (raised, as_it_was))

    assert one.base.base.due.tolist() == other.base.base.due.tolist()
    assert moves(one)["qualify"].tolist() == moves(other)["qualify"].tolist()
    assert one.base.base.need[0, 3] > other.base.base.need[0, 3]


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=7), st.integers(-2, 2))
def test_whole_moves_add_up(parts: list[float], off: int) -> None:
    exact = np.array(parts)
    total = int(np.floor(exact.sum())) + off

    whole = whole_moves(exact, total)

    assert not exact.any() or whole.sum() == total
    assert (whole[exact == 0] == 0).all()
