"""Scenario files for tests: a small one that works, and ways to change it."""

from pathlib import Path

import pytest

from eligibility.rules.pack import RulePack
from ledgers.problems import Finding, Refusal
from simulations.scenario.reading import Loaded, load_scenario

PACK = """\
code: small
currency: TRY
inputs: {household: {rcsi: int}}
parameters:
  child_age: {type: int, source: Circular 1, values: {2020-01-01: 18}}
  rcsi_least: {type: int, source: Circular 2, values: {2020-01-01: 19}}
facts: {children: "members.filter(m, m.age < p.child_age).size()"}
gates:
  - {id: need, label: {tr: İhtiyaç, en: Need, ar: حاجة}, expr: rcsi >= p.rcsi_least}
score: rcsi
selection: {order: highest_score_first, households: 100000}
entitlement: {per_person: 1000.00, people_max: 10}
"""
SCENARIO = """\
code: small
question: cost
title: {tr: Küçük, en: Small, ar: صغير}
about: {tr: Deneme, en: A trial, ar: تجربة}
start: 2026-01-01
months: 6
seed: 7
draws: 100
population:
  synthetic: {households: 400}
rules:
  pack: pack.yaml
  every_months: 6
caseload:
  exits: 0.01
prices:
  exchange: {kind: fixed, rates: {USD: 50.00, EUR: 60.00}}
  inflation: {annual: 0}
grants:
  - {code: GR-ONE, donor: Donor, currency: USD, amount: 100000.00, from: 2025-12-01, to: 2026-12-31}
"""


def no_programme(code: str) -> RulePack:
    raise AssertionError(code)


def scenario_of(folder: Path, text: str = SCENARIO, pack: str = PACK) -> Loaded:
    """The scenario that `text` is, beside its pack."""
    (folder / "pack.yaml").write_text(pack, encoding="utf-8")
    path = folder / "scenario.yaml"
    path.write_text(text, encoding="utf-8")
    return load_scenario(path, no_programme)


def changed(*changes: tuple[str, str]) -> str:
    """The small scenario with other words in some places; each place must be there."""
    text = SCENARIO
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def findings_of(folder: Path, text: str) -> list[Finding]:
    """Everything that is wrong with the scenario that `text` should be."""
    with pytest.raises(Refusal, match=r"^scenario_refused") as refused:
        scenario_of(folder, text)
    return list(refused.value.findings)
