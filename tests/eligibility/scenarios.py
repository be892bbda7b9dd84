"""Scenario files: named households, a day, and what must come out, as a programme officer reads it.

`pack` names a shipped pack, `on` the day, `grant` what its grant has left. `defaults` hold for
every household and member unless a case says otherwise; `people` and `families` name members that
cases use. A case expects a status and, where it is stated: `because` (the criteria it rests on),
`amount`, `score`, `served`, `nearest` (the criterion with the nearest threshold).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from eligibility.decisions import ARROW
from eligibility.rules.checked import Rules
from eligibility.rules.document import read_document
from eligibility.rules.terms import Kind

Facts = Mapping[str, object]


@dataclass(frozen=True)
class Case:
    """One household of a scenario file, with everything that is known of it."""

    name: str
    on: date
    household: Facts
    members: Sequence[Facts]
    expect: Mapping[str, object]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Scenario:
    """A scenario file."""

    file: str
    pack: str
    grant: object
    cases: tuple[Case, ...]

    def __str__(self) -> str:
        return self.file


def read_scenario(path: Path) -> Scenario:
    """Read a scenario file; what is not YAML as we write it fails."""
    document, findings = read_document(path.read_text(encoding="utf-8"), path.name)
    assert document is not None
    assert findings == ()
    content = document.values
    cases = tuple(_case(content, case) for case in content["cases"])
    assert len({case.name for case in cases}) == len(cases), "two cases have one name"
    return Scenario(path.stem, content["pack"], content.get("grant"), cases)


def _case(content: Facts, case: Facts) -> Case:
    defaults = content.get("defaults", {})
    known = {"name", "on", "household", "members", "family", "expect"}
    assert case.keys() <= known, case.keys() - known
    household = {**defaults.get("household", {}), **case.get("household", {})}
    members = [{**defaults.get("member", {}), **one} for one in _members(content, case)]
    return Case(case["name"], case.get("on", content["on"]), household, members, case["expect"])


def _members(content: Facts, case: Facts) -> Iterator[Facts]:
    family = case.get("family", ())
    if isinstance(family, str):
        yield from content["families"][family]
    else:
        yield from (content["people"][name] for name in family)
    yield from case.get("members", ())


def write_rows(
    folder: Path, rules: Rules, rows: Mapping[str, tuple[Facts, Sequence[Facts]]]
) -> tuple[Path, Path]:
    """Write households by id, each with its members, as a snapshot with the pack's columns."""
    households = [{"household_id": name, **facts} for name, (facts, _) in rows.items()]
    members = [
        {"household_id": name, "member_no": number, **person}
        for name, (_, people) in rows.items()
        for number, person in enumerate(people, start=1)
    ]
    paths = folder / "households.parquet", folder / "members.parquet"
    for path, content, kinds in zip(
        paths, (households, members), (rules.household, rules.member), strict=True
    ):
        pq.write_table(pa.Table.from_pylist(content, _schema(kinds)), path)
    return paths


def _schema(kinds: Mapping[str, Kind]) -> pa.Schema:
    return pa.schema(
        [("household_id", pa.string()), *((name, ARROW[kind]) for name, kind in kinds.items())]
    )
