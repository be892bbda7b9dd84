"""Scenario files: what cannot be is refused at once, each problem with its place and a remedy."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from eligibility.rules.checked import parameters_on
from ledgers.problems import Refusal
from simulations.scenario.model import Scenario
from tests.simulations.scenario_files import (
    PACK,
    SCENARIO,
    changed,
    findings_of,
    scenario_of,
)

OVERLAY = "  every_months: 6\n"
NOT_INDEXED = """\
variants:
  - {code: still, name: {tr: Aynı, en: Still, ar: ثابت}, is_indexed: false,
     indexation: {follows: prices, every_months: 6}}
"""


def with_overlay(line: str) -> str:
    return changed((OVERLAY, f"{OVERLAY}  overlay:\n    - {line}\n"))


@pytest.mark.parametrize(
    ("text", "code", "row", "said"),
    [
        (
            with_overlay("{parameter: rcsi_lest, from: 2026-02-01, value: 30, source: Me}"),
            "scenario_parameter_unknown",
            15,
            "rcsi_lest",
        ),
        (
            with_overlay("{parameter: rcsi_least, from: 2019-02-01, value: 30, source: Me}"),
            "scenario_overlay_outside",
            15,
            "2020-01-01 to 2026-07-01",
        ),
        (
            with_overlay("{parameter: rcsi_least, from: 2026-07-01, value: 30, source: Me}"),
            "scenario_overlay_outside",
            15,
            "2026-07-01",
        ),
        (
            with_overlay("{parameter: rcsi_least, from: 2026-02-01, value: many, source: Me}"),
            "scenario_parameter_value",
            15,
            "many",
        ),
        (changed(("exits: 0.01", "exits: -0.01")), "scenario_rate_unfit", 15, "-0.01"),
        (
            changed(("exits: 0.01", "exits: {kind: normal, mean: 0.01, sd: 0.01}")),
            "scenario_rate_unfit",
            15,
            "least",
        ),
        (
            changed(("exits: 0.01", "exits: {kind: triangular, low: 0.3, mode: 0.1, high: 0.2}")),
            "field_wrong",
            15,
            "mode is not between low and high",
        ),
        (
            changed(("exits: 0.01", "exits: {kind: beta, mean: 1.5, cases: 10}")),
            "field_wrong",
            15,
            "less than 1",
        ),
        (changed(("to: 2026-12-31", "to: 2025-11-30")), "scenario_grant_window", 20, "GR-ONE"),
        (
            changed(("from: 2025-12-01, to: 2026-12-31", "from: 2027-01-01, to: 2027-12-31")),
            "scenario_grant_outside",
            20,
            "GR-ONE",
        ),
        (changed(("months: 6\nseed", "months: 600\nseed")), "scenario_horizon", 6, "600"),
        (changed(("start: 2026-01-01", "start: 2026-01-15")), "scenario_start", 5, "2026-01-01"),
        (changed(("question: cost", "question: frontier")), "scenario_lacks", 2, "frontier"),
        (changed(("amount: 100000.00", "amount: 100000.001")), "amount_too_precise", 20, "USD"),
        (
            changed(("{kind: fixed, rates: {USD: 50.00, EUR: 60.00}}",
                     "{kind: given, path: {USD: [50.00, 51.00]}}")),
            "path_too_short",
            17,
            "2 months",
        ),
        (
            changed(("{kind: fixed, rates: {USD: 50.00, EUR: 60.00}}",
                     "{kind: bootstrap, known_until: 1999-01}")),
            "rate_month_unknown",
            17,
            "1999-01",
        ),
        (changed(("seed: 7", "seed: 7\nsead: 8")), "field_unknown", 8, "sead"),
        (
            changed(("{annual: 0}", "{monthly: [0.02, -2, 0.02, 0.02, 0.02, 0.02]}")),
            "field_wrong",
            18,
            "more than -1",
        ),
        (
            changed(("caseload:\n", f"{NOT_INDEXED}caseload:\n")),
            "field_wrong",
            15,
            "not indexed",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_its_place(
    tmp_path: Path, text: str, code: str, row: int, said: str
) -> None:
    findings = findings_of(tmp_path, text)

    assert [(finding.problem.code, finding.place.row) for finding in findings] == [(code, row)]
    assert said in str(findings[0])
    assert findings[0].place.file == "scenario.yaml"
    assert findings[0].remedy


def test_all_problems_of_a_file_are_said_at_once(tmp_path: Path) -> None:
    text = changed(
        ("months: 6\nseed", "months: 600\nseed"),
        ("exits: 0.01", "exits: 1.01"),
        ("to: 2026-12-31", "to: 2025-11-30"),
    )

    codes = [finding.problem.code for finding in findings_of(tmp_path, text)]

    assert codes == ["scenario_horizon", "scenario_rate_unfit", "scenario_grant_window"]


def test_a_code_that_two_grants_have_is_refused(tmp_path: Path) -> None:
    days = "from: 2026-01-01, to: 2026-12-31"
    grant = f"  - {{code: GR-ONE, donor: D, currency: TRY, amount: 1.00, {days}}}\n"

    findings = findings_of(tmp_path, changed(("to: 2026-12-31}\n", "to: 2026-12-31}\n" + grant)))

    assert [finding.problem.code for finding in findings] == ["scenario_twice"]


def test_an_overlay_holds_from_its_day_until_the_parameters_next(tmp_path: Path) -> None:
    text = with_overlay("{parameter: rcsi_least, from: 2026-03-01, value: 40, source: Me}")

    (course,) = scenario_of(tmp_path, text).courses

    on = {day: parameters_on(course.pack, day)["rcsi_least"]
          for day in (date(2026, 2, 28), date(2026, 3, 1))}  # fmt: skip
    assert on == {date(2026, 2, 28): 19, date(2026, 3, 1): 40}


def test_a_scenario_is_hashed_by_what_it_means_not_by_its_layout(tmp_path: Path) -> None:
    plain = scenario_of(tmp_path).scenario
    spaced = scenario_of(tmp_path, changed(("exits: 0.01", "exits:   0.010  # a comment"))).scenario
    other = scenario_of(tmp_path, changed(("exits: 0.01", "exits: 0.011"))).scenario

    assert spaced.caseload == plain.caseload
    assert spaced.sha256() == plain.sha256()
    assert plain.sha256() != other.sha256()
    assert Scenario.from_document(plain.document()) == plain
    assert Scenario.from_document(plain.document()).sha256() == plain.sha256()
    assert plain.grants[0].amount == Decimal("100000.00")


def test_a_pack_in_another_currency_and_a_fact_it_has_not_are_refused(tmp_path: Path) -> None:
    targeting = (
        "targeting:\n  line: 9500.00\n  line_source: Test\n  expenditure: {median: 9000.00,"
        " sigma: 0.5, effects: {chidren: 0.1}, source: Test}\n"
    )

    with pytest.raises(Refusal, match=r"^scenario_refused") as refused:
        scenario_of(tmp_path, SCENARIO + targeting, PACK.replace("currency: TRY", "currency: USD"))

    found = {finding.problem.code: finding.place.row for finding in refused.value.findings}
    assert found == {"scenario_currency": 12, "scenario_fact_unknown": 24}
