"""A run from files to files: status, reasons, order, amounts, and the same bytes again."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eligibility.assessment import assess
from eligibility.decisions import AssessmentTotals, StratumTotals
from eligibility.rules.explain import explain
from eligibility.rules.pack import RulePack
from eligibility.selection import tie_key
from ledgers.problems import Refusal
from tests.eligibility.packs import criterion, pack_of, text_of
from tests.eligibility.snapshots import ADULT, Facts, household, write_snapshot

ON = date(2026, 3, 1)
CRITERIA = (
    "gates:\n"
    + criterion("account", "has_iban")
    + criterion("area", 'province == "TR-34"', "on_unknown: pass")
    + "any_of:\n"
    + criterion("coping", "rcsi >= 19")
    + criterion("older", "members.exists(m, m.age >= 60)")
    + criterion("dependency", "ratio(dependants, able) >= p.dependency", "zero_denominator: pass")
)
CHILD = {"birth_date": date(2020, 1, 1), "birth_date_precision": "exact"}
SOMEBODY: Facts = {}


@pytest.fixture
def pack(tmp_path: Path) -> RulePack:
    return pack_of(tmp_path, text_of(CRITERIA))


def run(
    folder: Path,
    pack: RulePack,
    households: Sequence[Facts],
    members: Mapping[str, Sequence[Facts]],
    **more: object,
) -> tuple[dict[str, dict], AssessmentTotals]:
    """Assess and return the decisions by household, and the totals."""
    files = write_snapshot(folder, households, members)
    out = folder / "decisions.parquet"
    settings_ = {"seed": "seed", "spill": folder, **more}
    totals = assess(*files, pack, ON, out, **settings_)
    rows = pq.read_table(out).to_pylist()
    assert [row["household_id"] for row in rows] == sorted(
        str(facts["household_id"]) for facts in households
    )
    return {row["household_id"]: row for row in rows}, totals


def test_every_household_is_decided_and_told_why(tmp_path: Path, pack: RulePack) -> None:
    households = [
        household("hh_served", rcsi=40),
        household("hh_waiting", rcsi=20),
        household("hh_second", rcsi=30),
        household("hh_no_account", has_iban=False),
        household("hh_none", rcsi=3),
        household("hh_open", rcsi=3),
        household("hh_no_score", rcsi=None),
        household("hh_no_size", has_roster=False),
    ]
    members = {str(facts["household_id"]): [ADULT] for facts in households}
    members |= {"hh_open": [ADULT, ADULT, SOMEBODY], "hh_no_score": [CHILD]}
    decisions, totals = run(tmp_path, pack, households, members)
    said = {name: (row["status"], row["reason"]) for name, row in decisions.items()}
    assert said == {
        "hh_served": ("eligible", "selected"),
        "hh_second": ("eligible", "selected"),
        "hh_waiting": ("eligible", "waiting"),
        "hh_no_account": ("ineligible", "not_eligible:account"),
        "hh_none": ("ineligible", "not_eligible:coping,older,dependency"),
        "hh_open": ("review", "review:older"),
        "hh_no_score": ("review", "review:score"),
        "hh_no_size": ("review", "review:size"),
    }
    assert totals == AssessmentTotals(
        registered=8,
        people=10,
        eligible=3,
        ineligible=2,
        review=3,
        excluded=0,
        selected=2,
        waiting=1,
        people_selected=2,
        amount_minor=300000,
        currency="TRY",
        strata=(StratumTotals("", 2, 3, 2, 1, 2, 300000),),
        pack_hash=pack.pack_hash,
        decisions_sha256=totals.decisions_sha256,
    )


def test_a_decision_holds_everything_it_was_made_of(tmp_path: Path, pack: RulePack) -> None:
    people = [ADULT, ADULT, CHILD, CHILD, SOMEBODY]
    decisions, _ = run(tmp_path, pack, [household("hh_a", rcsi=40)], {"hh_a": people})
    assert decisions == {
        "hh_a": {
            "household_id": "hh_a",
            "status": "eligible",
            "pass_bits": 0b00111,
            "unknown_bits": 0b11000,
            "fact_able": None,
            "fact_dependants": None,
            "score": 40,
            "tie_key": tie_key("seed", "hh_a"),
            "rank": 1,
            "selected": True,
            "waitlist_position": None,
            "component_base": 320050,
            "amount_minor": 320050,
            "currency": "TRY",
            "people": 5,
            "people_from": "roster",
            "reason": "selected",
        }
    }
    schema = pq.read_schema(tmp_path / "decisions.parquet")
    assert schema.field("score").type == pa.int64()
    assert {name: schema.metadata[name.encode()] for name in ("pack_hash", "reference_date")} == {
        "pack_hash": pack.pack_hash.encode(),
        "reference_date": b"2026-03-01",
    }


def test_people_count_from_the_roster_or_else_from_what_was_declared(
    tmp_path: Path, pack: RulePack
) -> None:
    households = [
        household("hh_roster", declared_size=9),
        household("hh_declared", has_roster=False, declared_size=2),
        household("hh_nobody", declared_size=2),
        household("hh_nothing", declared_size=0),
    ]
    members = {"hh_roster": [ADULT] * 3, "hh_declared": [ADULT]}
    decisions, _ = run(tmp_path, pack, households, members)
    counted = {
        name: (row["people"], row["people_from"], row["status"], row["amount_minor"])
        for name, row in decisions.items()
    }
    assert counted == {
        "hh_roster": (3, "roster", "eligible", 320050),
        "hh_declared": (2, "declared", "eligible", 250000),
        "hh_nobody": (2, "declared", "eligible", 250000),
        "hh_nothing": (0, "roster", "review", None),
    }


def test_what_is_unknown_stops_passes_or_fails_as_the_pack_says(tmp_path: Path) -> None:
    decisions = {}
    for way in ("stop", "pass", "fail"):
        text = text_of("gates:\n" + criterion("account", "has_iban", f"on_unknown: {way}"))
        rows, _ = run(
            tmp_path, pack_of(tmp_path, text), [household("hh_a", has_iban=None)], {"hh_a": [ADULT]}
        )
        decisions[way] = (rows["hh_a"]["reason"], rows["hh_a"]["unknown_bits"])
    assert decisions == {
        "stop": ("review:account", 1),
        "pass": ("selected", 1),
        "fail": ("not_eligible:account", 1),
    }


def test_no_cheaper_household_jumps_the_queue(tmp_path: Path) -> None:
    text = text_of().replace("households: 2", "quota: {by: province, households: {TR-34: 1}}")
    households = [household("hh_large", rcsi=50), household("hh_small", rcsi=10)]
    members = {"hh_large": [ADULT] * 9, "hh_small": [ADULT]}
    decisions, totals = run(tmp_path, pack_of(tmp_path, text), households, members)
    places = {name: (row["selected"], row["waitlist_position"]) for name, row in decisions.items()}
    assert places == {"hh_large": (True, None), "hh_small": (False, 1)}
    assert totals.strata == (StratumTotals("TR-34", 1, 2, 1, 1, 9, 320050),)


def test_without_its_stratum_a_household_waits_for_people_to_look(tmp_path: Path) -> None:
    text = text_of().replace("households: 2", "quota: {by: province, households: {TR-34: 1}}")
    decisions, totals = run(
        tmp_path, pack_of(tmp_path, text), [household("hh_a", province=None)], {"hh_a": [ADULT]}
    )
    assert decisions["hh_a"]["reason"] == "review:stratum"
    assert [stratum.stratum for stratum in totals.strata] == ["", "TR-34"]


def test_excluded_households_keep_their_row_and_give_up_their_place(
    tmp_path: Path, pack: RulePack
) -> None:
    excluded = tmp_path / "excluded.parquet"
    listed = {"household_id": ["hh_a", "hh_a", "hh_c"], "reason": ["merged", "left", None]}
    pq.write_table(pa.table(listed), excluded)
    decisions, totals = run(
        tmp_path,
        pack,
        [household("hh_a", rcsi=50), household("hh_b"), household("hh_c")],
        {"hh_a": [ADULT], "hh_b": [ADULT], "hh_c": [ADULT]},
        excluded=excluded,
    )
    assert {name: (row["reason"], row["rank"]) for name, row in decisions.items()} == {
        "hh_a": ("excluded:left", None),
        "hh_b": ("selected", 1),
        "hh_c": ("excluded:unstated", None),
    }
    assert (totals.ineligible, totals.excluded) == (2, 2)


def refusal_of(folder: Path, pack: RulePack, *snapshot: object, **more: object) -> Refusal:
    with pytest.raises(Refusal) as refused:
        run(folder, pack, *snapshot, **more)
    assert list(folder.glob("*decisions*")) == []
    return refused.value


def test_a_snapshot_that_is_not_whole_is_refused_and_nothing_is_written(
    tmp_path: Path, pack: RulePack
) -> None:
    one, people = household("hh_a"), {"hh_a": [ADULT]}
    nameless = [household(""), {**one, "household_id": None}]
    codes = [
        refusal_of(tmp_path, pack, [one, one], people).problem.code,
        refusal_of(tmp_path, pack, [one, one], {}).problem.code,
        refusal_of(tmp_path, pack, nameless, {}).problem.code,
        refusal_of(tmp_path, pack, [one], {**people, "hh_b": [ADULT]}).problem.code,
    ]
    assert codes == [
        "snapshot_household_twice",
        "snapshot_household_twice",
        "snapshot_household_twice",
        "snapshot_member_alone",
    ]


def test_missing_columns_are_refused_all_at_once(tmp_path: Path, pack: RulePack) -> None:
    households, members = write_snapshot(tmp_path, [household("hh_a")], {"hh_a": [ADULT]})
    table = pq.read_table(households).drop_columns(["rcsi"])
    text = table.set_column(table.schema.get_field_index("has_iban"), "has_iban", pa.array(["yes"]))
    pq.write_table(text, households)
    pq.write_table(pq.read_table(members).drop_columns(["birth_date"]), members)
    with pytest.raises(Refusal, match=r"^snapshot_refused: .*3") as refused:
        assess(households, members, pack, ON, tmp_path / "out.parquet", seed="s", spill=tmp_path)
    assert [
        (found.problem.code, found.place.file, found.place.field)
        for found in refused.value.findings
    ] == [
        ("snapshot_column_type", "households.parquet", "has_iban"),
        ("snapshot_column_missing", "households.parquet", "rcsi"),
        ("snapshot_column_missing", "members.parquet", "birth_date"),
    ]


def test_a_list_of_excluded_households_needs_its_columns(tmp_path: Path, pack: RulePack) -> None:
    excluded = tmp_path / "excluded.parquet"
    pq.write_table(pa.table({"household": ["hh_a"]}), excluded)
    refused = refusal_of(tmp_path, pack, [household("hh_a")], {}, excluded=excluded)
    assert refused.problem.code == "snapshot_excluded_unreadable"


def test_a_list_of_earlier_claims_needs_its_columns(tmp_path: Path, pack: RulePack) -> None:
    earlier = tmp_path / "earlier.parquet"
    pq.write_table(pa.table({"household_id": ["hh_a"], "pack": ["first"]}), earlier)
    refused = refusal_of(tmp_path, pack, [household("hh_a")], {}, earlier=earlier)
    assert refused.problem.code == "snapshot_earlier_unreadable"


def test_a_budget_that_nobody_stated_is_asked_for(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, text_of().replace("households: 2", "budget: grant"))
    one = [household("hh_a")], {"hh_a": [ADULT]}
    refused = refusal_of(tmp_path, pack, *one)
    assert refused.problem.code == "selection_budget_unstated"
    _, totals = run(tmp_path, pack, *one, grant_minor=150_000)
    assert (totals.selected, totals.budget_minor, totals.left_minor) == (1, 150_000, 0)
    _, totals = run(tmp_path, pack, *one, grant_minor=149_999)
    assert (totals.eligible, totals.selected, totals.waiting) == (1, 0, 1)
    stated = pack_of(tmp_path, text_of().replace("households: 2", "budget: p.line"))
    _, totals = run(tmp_path, stated, *one)
    assert (totals.budget_minor, totals.left_minor) == (750_000, 600_000)


def test_a_number_that_no_column_could_hold_stops_the_run(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, text_of().replace("score: rcsi", "score: 1000000000000 * rcsi"))
    refused = refusal_of(tmp_path, pack, [household("hh_a", rcsi=10**12)], {"hh_a": [ADULT]})
    assert refused.problem.code == "rule_overflow"


def test_no_households_make_no_decisions(tmp_path: Path, pack: RulePack) -> None:
    decisions, totals = run(tmp_path, pack, [], {})
    assert (decisions, totals.registered, totals.selected) == ({}, 0, 0)


PROGRAM = """
import sys
from datetime import date
from pathlib import Path
from eligibility.assessment import assess
from eligibility.rules.checked import load_pack

folder, threads = Path(sys.argv[1]), int(sys.argv[2])
print(assess(folder / "households.parquet", folder / "members.parquet",
             load_pack(folder / "pack.yaml"), date(2026, 3, 1), folder / "out.parquet",
             seed="seed", spill=folder, threads=threads, memory_mb=256).decisions_sha256)
"""


def test_the_same_run_gives_the_same_bytes_on_another_machine(
    tmp_path: Path, pack: RulePack
) -> None:
    households = [
        household(f"hh_{at * 7919 % 70_001:05}", rcsi=at % 57, has_iban=at % 9 > 0)
        for at in range(70_001)
    ]
    members = {str(facts["household_id"]): [ADULT, CHILD] for facts in households}
    out = tmp_path / "decisions.parquet"
    files = write_snapshot(tmp_path, households, members)
    first = assess(*files, pack, ON, out, seed="seed", spill=tmp_path, threads=1).decisions_sha256
    environment = {"TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.UTF-8", "PATH": ""}
    for threads in ("2", "4"):
        again = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path), threads],
            capture_output=True,
            check=True,
            env=environment,
            text=True,
        )
        assert again.stdout.strip() == first
    other = assess(*files, pack, ON, out, seed="other", spill=tmp_path).decisions_sha256
    assert other != first


FACTS = st.fixed_dictionaries(
    {
        "province": st.sampled_from(["TR-34", "TR-01", None]),
        "has_roster": st.sampled_from([True, True, False, None]),
        "declared_size": st.sampled_from([None, 0, 3]),
        "has_iban": st.sampled_from([True, True, False, None]),
        "rcsi": st.sampled_from([None, 18, 19, 40]),
    }
)
PEOPLE = st.lists(
    st.fixed_dictionaries(
        {
            "birth_date": st.sampled_from(
                [None, date(1966, 3, 1), date(1966, 3, 2), date(2008, 3, 1), date(2008, 3, 2)]
            ),
            "birth_date_precision": st.sampled_from(["exact", "year", None]),
        }
    ),
    max_size=4,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(FACTS, PEOPLE), min_size=1, max_size=20))
def test_a_run_decides_each_household_as_its_explanation_says(
    tmp_path: Path, pack: RulePack, cases: list[tuple[dict, list[dict]]]
) -> None:
    households = [{"household_id": f"hh_{at:02}", **facts} for at, (facts, _) in enumerate(cases)]
    members = {f"hh_{at:02}": people for at, (_, people) in enumerate(cases)}
    decisions, _ = run(tmp_path, pack, households, members)
    for at, (facts, people) in enumerate(cases):
        row, why = decisions[f"hh_{at:02}"], explain(facts, people, pack, ON)
        reason = "" if row["status"] == "eligible" else row["reason"]
        assert (
            why.status, why.because, why.pass_bits, why.unknown_bits, why.people, why.people_from,
            why.amount_minor, why.score.low if why.score.known else None,
            {f"fact_{fact.name}": fact.low if fact.known else None for fact in why.facts},
        ) == (
            row["status"], reason, row["pass_bits"], row["unknown_bits"], row["people"],
            row["people_from"], row["amount_minor"], row["score"],
            {name: value for name, value in row.items() if name.startswith("fact_")},
        )  # fmt: skip
