"""The packs that come with the program: each is right, and decides its scenarios as written."""

from dataclasses import replace
from datetime import date
from itertools import groupby
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from eligibility.assessment import assess
from eligibility.ordered import Turn, assess_in_order
from eligibility.packs import SHIPPED, shipped_packs
from eligibility.rules.checked import load_pack, rules_of
from eligibility.rules.explain import explain
from eligibility.rules.pack import RulePack
from eligibility.rules.phrases import NAMES, Language
from eligibility.rules.telling import tell
from ledgers.money import format_amount, parse_amount
from ledgers.problems import Refusal
from tests.eligibility.scenarios import Case, Scenario, read_scenario, write_rows

FOLDER = Path(__file__).parent.parent / "scenarios" / "packs"
SCENARIOS = [read_scenario(path) for path in sorted(FOLDER.glob("*.yaml"))]
CASES = [
    pytest.param(scenario, case, id=f"{scenario}: {case}")
    for scenario in SCENARIOS
    for case in scenario.cases
]
PACKS = {path.stem: load_pack(path) for path in sorted(SHIPPED.glob("*.yaml"))}
NOTHING_BUT_CRITERIA = {"score", "size", "stratum", "amount"}


def test_every_shipped_pack_has_scenarios() -> None:
    assert {scenario.pack for scenario in SCENARIOS} == set(PACKS)
    assert set(shipped_packs()) == set(PACKS)
    assert {name: pack.code for name, pack in PACKS.items()} == {name: name for name in PACKS}


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_a_pack_has_words_for_everything_it_names(pack: RulePack) -> None:
    named = {*pack.inputs.household, *pack.inputs.member, *pack.parameters, *pack.facts}
    assert named | set(pack.tables or {}) <= set(pack.words or {}) | set(NAMES)


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_a_stored_pack_is_the_same_pack_again(pack: RulePack) -> None:
    again = RulePack.from_document(pack.document())
    assert (again.document(), again.pack_hash) == (pack.document(), pack.pack_hash)


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_every_value_in_a_pack_has_a_source(pack: RulePack) -> None:
    assert all(len(parameter.source) > len("a source") for parameter in pack.parameters.values())


def stated(case: Case, currency: str) -> tuple:
    amount = case.expect.get("amount")
    minor = None if amount is None else parse_amount(str(amount), currency)
    return case.expect["status"], list(case.expect.get("because", ())), minor


def ids_in(reason: str) -> list[str]:
    kind, _, ids = reason.partition(":")
    return ids.split(",") if kind in ("not_eligible", "review") else []


@pytest.mark.parametrize(("scenario", "case"), CASES)
def test_a_case_is_explained_as_written(scenario: Scenario, case: Case) -> None:
    pack = PACKS[scenario.pack]
    why = explain(case.household, case.members, pack, case.on)

    found = (why.status, ids_in(why.because), why.amount_minor)
    assert found == stated(case, pack.currency)
    if "score" in case.expect:
        assert why.score.low == why.score.high == case.expect["score"]
    if "nearest" in case.expect:
        assert [item.id for item in why.nearest] == [case.expect["nearest"]]
    open_criteria = set(ids_in(why.because)) - NOTHING_BUT_CRITERIA
    assert {item.id for item in why.nearest} or why.status == "eligible" or not open_criteria


@pytest.mark.parametrize(("scenario", "case"), CASES)
def test_a_case_is_told_in_three_languages(scenario: Scenario, case: Case) -> None:
    pack = PACKS[scenario.pack]
    rules = rules_of(pack)
    why = explain(case.household, case.members, pack, case.on)
    told = {language: tell(why, rules, language) for language in Language}

    shapes = [[(line.depth, line.outcome) for line in lines] for lines in told.values()]
    assert shapes[0] == shapes[1] == shapes[2]
    for language, lines in told.items():
        text = "\n".join(line.text for line in lines)
        assert "{" not in text
        labels = [getattr(reason.label, language) for reason in why.reasons]
        assert [label for label in labels if label not in text] == []
        sources = [parameter.source for parameter in why.parameters]
        assert [source for source in sources if source not in text] == []
        assert all(parameter.since.isoformat() in text for parameter in why.parameters)


def by_day(scenario: Scenario) -> list[Case]:
    return sorted(scenario.cases, key=lambda case: case.on)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_the_cases_of_a_file_are_decided_together_as_written(
    scenario: Scenario, tmp_path: Path
) -> None:
    pack = PACKS[scenario.pack]
    rules = rules_of(pack)
    grant = None if scenario.grant is None else parse_amount(str(scenario.grant), pack.currency)
    days = {on: list(cases) for on, cases in groupby(by_day(scenario), lambda case: case.on)}
    # Building the columns takes a second: the day with the most cases, and the last one.
    for on in {max(days, key=lambda day: len(days[day])), max(days)}:
        by_id = {f"hh_{at:02}": case for at, case in enumerate(days[on])}
        rows = {name: (case.household, case.members) for name, case in by_id.items()}
        files = write_rows(tmp_path, rules, rows)
        out = tmp_path / "decisions.parquet"
        assess(*files, pack, on, out, seed="draw", spill=tmp_path, grant_minor=grant)
        for row in pq.read_table(out).to_pylist():
            case = by_id[row["household_id"]]
            found = (row["status"], ids_in(row["reason"]), row["amount_minor"])
            assert found == stated(case, pack.currency), case.name
            assert row["selected"] is case.expect.get("served", row["selected"]), case.name
            assert row["score"] == case.expect.get("score", row["score"]), case.name


@pytest.mark.samples
def test_dated_amounts_are_those_that_were_published(samples: Path) -> None:
    lines = (samples / "essn" / "essn_parameters_dated.csv").read_text(encoding="utf-8")
    rows = [line.split(",") for line in lines.splitlines()[1:]]
    published = {
        (row[0], row[1]): format_amount(int(row[3]) * 100, "TRY")
        for row in rows
        if row[3].isdigit()
    }
    packs = {"per_capita": "essn-2017", "c_essn_per_capita": "c-essn"}
    names = {
        "per_capita": "per_capita", "c_essn_per_capita": "per_capita",
        "severe_disability_allowance": "severe_disability_allowance",
        "covid_topup": "covid_top_up", "one_off_topup": "one_off_top_up",
        "quarterly_topup_1_4": "top_up_small", "quarterly_topup_5_8": "top_up_middle",
        "quarterly_topup_9_plus": "top_up_large",
    }  # fmt: skip
    compared = 0
    for (name, first), amount in published.items():
        if name not in names:
            continue
        code = "essn-2023" if first == "2023-10-01" else packs.get(name, "essn-2017")
        values = PACKS[code].parameters[names[name]].values
        found = {start.isoformat(): f"{value:.2f}" for start, value in values.items()}
        assert found[first] == amount, (name, first)
        compared += 1
    assert compared == 12


def test_a_case_moves_to_another_answer_only_at_its_day() -> None:
    saleh = next(
        case
        for scenario in SCENARIOS
        for case in scenario.cases
        if case.name.startswith("Saleh in May 2017")
    )
    pack = PACKS["essn-2017"]
    days = [replace(saleh, on=saleh.on.replace(month=month, day=1)) for month in (5, 6)]
    amounts = [explain(c.household, c.members, pack, c.on).amount_minor for c in days]
    assert amounts == [50000, 60000]


def test_one_application_is_decided_for_c_essn_first_and_then_for_essn(tmp_path: Path) -> None:
    c_essn, essn = PACKS["c-essn"], PACKS["essn-2023"]
    facts = {
        "has_roster": True, "legal_status": "temporary_protection", "lives_in_camp": False,
        "address_registered": True, "insured_work": False, "owns_property": False,
    }  # fmt: skip
    woman = {"sex": "female", "birth_date": date(1990, 1, 2), "birth_date_precision": "exact"}
    man, child = {**woman, "sex": "male"}, {**woman, "birth_date": date(2015, 1, 2)}
    rest = {"disability_percent": 0, "disability_report": False, "counted_in_payment": True}
    families = {
        "hh_both": [woman, child],  # a lone mother: both packs would take her
        "hh_essn": [man, woman, child, child],  # two dependants for one man: ESSN only
        "hh_neither": [man, man, child],
        "hh_open": [woman, {**child, "birth_date": None}],  # a child, or a second adult
    }
    rows = {name: (facts, [{**one, **rest} for one in people]) for name, people in families.items()}
    both = replace(rules_of(essn), member={**rules_of(c_essn).member, **rules_of(essn).member})
    files = write_rows(tmp_path, both, rows)
    turns = [
        Turn(pack, date(2023, 10, 5), "draw", tmp_path / f"{pack.code}.parquet", 10**9)
        for pack in (c_essn, essn)
    ]
    assess_in_order(*files, turns, spill=tmp_path)
    reasons = [
        {row["household_id"]: row["reason"] for row in pq.read_table(turn.out).to_pylist()}
        for turn in turns
    ]
    no = "not_eligible:single_woman,single_parent,older,disability"
    assert reasons[0].pop("hh_open").startswith("review:single_parent")
    assert reasons[0] == {"hh_both": "selected", "hh_essn": no, "hh_neither": no}
    assert reasons[1] == {
        "hh_both": "taken:c-essn", "hh_essn": "selected",
        "hh_neither": "not_eligible:men_and_dependants,no_man", "hh_open": "open:c-essn",
    }  # fmt: skip
    with pytest.raises(Refusal, match="order_contradicted"):
        assess_in_order(*files, turns[::-1], spill=tmp_path)
