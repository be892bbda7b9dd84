"""A rule pack as text, and ways to read it; what a test is about stands in the test."""

from pathlib import Path
from textwrap import dedent, indent

import pytest

from eligibility.rules.checked import load_pack
from eligibility.rules.pack import RulePack
from ledgers.problems import Finding, Refusal

LABEL = "{tr: Ölçüt, en: Criterion, ar: معيار}"
HEAD = """\
code: winter
currency: TRY
inputs:
  household: {rcsi: int, monthly_income_minor: money, has_iban: bool}
parameters:
  working_age: {type: int, source: Circular 1, values: {2020-01-01: 18}}
  line: {type: money, source: Circular 2, values: {2020-01-01: 5000.00, 2026-01-01: "7500.00"}}
  dependency: {type: ratio, source: Circular 3, values: {2020-01-01: 1.5}}
facts:
  dependants: members.filter(m, m.age < p.working_age || m.age >= 60).size()
  able: members.size() - dependants
"""
TAIL = """\
score: rcsi
selection: {order: highest_score_first, households: 2}
entitlement: {by_size: {1: 1500.00, 2: 2500.00, 3: 3200.50}}
"""
PLAIN = f"gates:\n  - {{id: account, label: {LABEL}, expr: has_iban}}\n"


def text_of(criteria: str = PLAIN, head: str = HEAD, tail: str = TAIL) -> str:
    """The text of a pack with these gates and any_of."""
    return head + criteria + tail


def criterion(name: str, expr: str, *rest: str) -> str:
    """One line of gates or any_of."""
    more = "".join(f", {item}" for item in rest)
    return f"  - {{id: {name}, label: {LABEL}, expr: '{expr}'{more}}}\n"


def pack_of(folder: Path, text: str) -> RulePack:
    """The pack that `text` is."""
    path = folder / "pack.yaml"
    path.write_text(text, encoding="utf-8")
    return load_pack(path)


def findings_of(folder: Path, text: str) -> list[Finding]:
    """Everything that is wrong with the pack that `text` should be."""
    with pytest.raises(Refusal, match=r"^pack_refused") as refused:
        pack_of(folder, text)
    return list(refused.value.findings)


def placed(findings: list[Finding]) -> list[tuple[str, int | None, str]]:
    """Code, line and field of each finding."""
    return [(found.problem.code, found.place.row, found.place.field) for found in findings]


def block(text: str, spaces: int = 0) -> str:
    """Text of a test without the indentation it has there."""
    return indent(dedent(text), " " * spaces)


def at(text: str, needle: str, field: str) -> tuple[int, str]:
    """Line and field of the one place in `text` where `needle` stands."""
    assert text.count(needle) == 1, needle
    before = text[: text.index(needle)]
    column = len(before) - before.rfind("\n")
    return before.count("\n") + 1, f"{field}, column {column}"
