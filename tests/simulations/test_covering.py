"""Every fan that exchange rates move says how such fans did on what could be known."""

from pathlib import Path

import pytest

from simulations.coverage import HORIZONS, Method, Trial, coverage
from simulations.randomness import Randomness
from simulations.rates import ecb_record
from simulations.report.building import report_of
from simulations.report.covering import COVERAGE_DRAWS
from simulations.report.model import Report, Sentence
from tests.simulations.scenario_files import changed
from tests.simulations.test_served import ran

FIXED = "{kind: fixed, rates: {USD: 50.00, EUR: 60.00}}"
STRESS = "  stress:\n    - {code: jump, name: {tr: Sıçrama, en: Jump, ar: قفزة}, jump_share: 0.3}\n"
INDEXED = (
    ("prices:\n", "indexation: {follows: prices, every_months: 3}\nprices:\n"),
    ("{annual: 0}", "{annual: 0.2, passed_on: 0.3}"),
)


def drawn(folder: Path, exchange: str, *changes: tuple[str, str]) -> Report:
    return report_of(ran(folder, changed((FIXED, exchange), *changes)), {})


def said(report: Report) -> dict[str, list[str]]:
    """What each section says of coverage, by its key."""
    found = {
        section.key: [one.key for one in section.sentences if one.key.startswith("coverage")]
        for section in report.sections
    }
    return {key: keys for key, keys in found.items() if keys}


def test_every_fan_that_rates_move_says_how_such_fans_did(tmp_path: Path) -> None:
    report = drawn(tmp_path, "{kind: bootstrap}", *INDEXED)

    assert said(report) == {
        "caseload": ["coverage_elsewhere"],
        "cost_try": ["coverage_elsewhere"],
        "cost_usd": ["coverage_elsewhere"],
        "cost_eur": ["coverage_says"],
        "exchange": ["coverage_says"],
    }
    full = {section.key: section.sentences[-1].facts for section in report.sections
            if section.key in ("cost_eur", "exchange")}  # fmt: skip
    assert {key: facts["currency"] for key, facts in full.items()} == {
        "cost_eur": "EUR", "exchange": "USD",
    }  # fmt: skip
    assert full["cost_eur"]["twelve"] != full["exchange"]["twelve"]


def test_lira_that_no_rate_moves_say_nothing_of_rates(tmp_path: Path) -> None:
    assert "cost_try" not in said(drawn(tmp_path, "{kind: bootstrap}"))
    assert said(drawn(tmp_path, FIXED, *INDEXED)) == {}


def test_jumps_that_were_not_tried_are_said(tmp_path: Path) -> None:
    report = drawn(tmp_path, "{kind: lognormal, jumps: {per_year: 0.5, share: 0.2}}")

    assert said(report)["exchange"] == ["coverage_says", "coverage_without_jumps"]


def test_a_backtest_is_told_what_was_known_then(tmp_path: Path) -> None:
    backtest = (
        ("question: cost", "question: backtest"),
        ("start: 2026-01-01", "start: 2022-01-01"),
        ("from: 2025-12-01", "from: 2021-12-01"),
        ("{annual: 0}\n", "{annual: 0}\n" + STRESS),
    )
    report = drawn(tmp_path, "{kind: bootstrap, known_until: 2021-11}", *backtest)

    fans = said(report)
    assert [fans[key] for key in ("backtest_rate", "backtest_usd", "backtest_keep")] == [
        ["coverage_says"], ["coverage_elsewhere"], ["coverage_elsewhere"],
    ]  # fmt: skip
    [section] = [section for section in report.sections if section.key == "backtest_rate"]
    facts = section.sentences[-1].facts
    assert (facts["first"], facts["last"]) == ("2005-01", "2021-11")
    then, now = (
        [
            coverage(record, Trial(Method.BOOTSTRAP, horizon, draws=COVERAGE_DRAWS), Randomness(7))
            for horizon in HORIZONS
        ]
        for record in (ecb_record().until("2021-11"), ecb_record())
    )
    told = [facts[name] for name in ("six", "twelve", "twentyfour")]
    assert told == [
        Sentence("a_share", {"millionths": round(one.covered * 1_000_000)}) for one in then
    ]
    assert [one.covered for one in then] != [one.covered for one in now]


@pytest.mark.parametrize(
    ("known", "tried"), [("2010-06", None), ("2010-12", "6"), ("2011-06", "12")]
)
def test_a_short_record_is_tried_as_far_as_it_goes(
    tmp_path: Path, known: str, tried: str | None
) -> None:
    report = drawn(tmp_path, f"{{kind: bootstrap, known_until: {known}}}")

    [section] = [section for section in report.sections if section.key == "exchange"]
    facts = section.sentences[-1].facts
    if tried is None:
        assert said(report)["exchange"] == ["coverage_untried"]
    else:
        assert (facts["horizon"], facts["twentyfour"]) == (tried, "–")
