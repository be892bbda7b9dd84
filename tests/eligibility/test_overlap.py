"""Duplicate assistance: the policy's cases as people wrote them, and a second opinion on any."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eligibility.duplicates.overlap import (
    Act,
    Action,
    Assistance,
    HouseholdLink,
    HouseholdPair,
    Lists,
    Modality,
    Overlap,
    PersonLink,
    RosterLine,
    Status,
    Strength,
    Unit,
    overlaps_of,
    sets,
    table_of,
)
from eligibility.duplicates.overlap import policy as policies
from eligibility.rules.document import read_document
from ledgers.problems import Refusal
from tests.eligibility import overlap_oracle
from tests.eligibility.overlap_oracle import World

CASES = sorted((Path(__file__).parent.parent / "scenarios" / "overlap").glob("*.yaml"))
POLICY = policies.load(policies.DEFAULT)
SHOWN = {"first": "first_id", "second": "second_id", "from": "first_day", "until": "last_day"}


def judged(world: World, acts: tuple[Act, ...] = ()) -> list[Overlap]:
    lists = Lists(
        table_of(Assistance, world.records), table_of(RosterLine, world.roster),
        table_of(PersonLink, world.people), table_of(HouseholdPair, world.households),
        table_of(Act, acts),
    )  # fmt: skip
    with duckdb.connect() as connection:
        return overlaps_of(sets.judged(connection, lists, POLICY))


# --- the cases ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A scenario file."""

    stated: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Case":
        document, findings = read_document(path.read_text(encoding="utf-8"), path.name)
        assert not findings
        return cls(document.values)

    def world(self, changed: Mapping[str, Any]) -> World:
        """The families and what each got; `changed` are fields as they were before."""
        stated = self.stated
        return World(
            tuple(
                self._record(name, {**said, **changed.get(name, {})})
                for name, said in stated["assistance"].items()
            ),
            tuple(
                self._line(home, person, at)
                for home, people in stated["households"].items()
                for at, person in enumerate(people)
            ),
            tuple(
                PersonLink(left, right, strength)
                for key, strength in (("same", Strength.CONFIRMED), ("maybe", Strength.POSSIBLE))
                for left, rights in stated.get(key, {}).items()
                for right in ([rights] if isinstance(rights, str) else rights)
            ),
            tuple(
                HouseholdPair(left, right, link)
                for key, link in (
                    ("one_household", HouseholdLink.CONFIRMED),
                    ("one_phone", HouseholdLink.INSTRUMENT),
                )
                for left, right in stated.get(key, {}).items()
            ),
        )

    def _record(self, name: str, said: Mapping[str, Any]) -> Assistance:
        committed, amount = said.get("committed"), said.get("amount")
        return Assistance(
            record_id=name, agency=said["agency"], programme=said.get("programme", "any"),
            recipient_id=said["to"], unit=Unit(said.get("unit", "household")), need=said["need"],
            modality=Modality(said.get("modality", "cash")), first_day=said["from"],
            last_day=said.get("until"), one_off=said.get("one_off", False),
            status=Status(said.get("status", "committed")),
            committed_at=committed and datetime.combine(committed, time(9), tzinfo=UTC),
            currency=said.get("currency", "TRY") if amount else None,
            amount_minor=amount and int(amount * 100), people=said.get("people"),
            replaces=said.get("replaces"), referred_by=said.get("referred_by"),
            referred_on=said.get("referred_on"),
        )  # fmt: skip

    def _line(self, home: str, person: str | Mapping[str, Any], at: int) -> RosterLine:
        said = {"who": person} if isinstance(person, str) else person
        return RosterLine(home, said["who"], at == 0, said.get("from"), said.get("until"))

    def acts(self, prefix: str, evidence: Mapping[tuple[str, str], str]) -> tuple[Act, ...]:
        """What people did, under the evidence that was there when they did it."""
        return tuple(
            Act(
                *about, evidence[about], Action(act["action"]), act["by"], act.get("reason", ""),
                act["on"],
            )
            for act in self.stated.get("acts", ())
            for about in [(prefix + act["about"][0], prefix + act["about"][1])]
        )  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Mapping[str, list[Overlap]]:
    """The overlaps of every case, by its file; all cases are judged at once."""
    cases = {path.stem: Case.read(path) for path in CASES}
    before = World.beside(
        case.world(case.stated.get("before", {})).apart(f"{name}:") for name, case in cases.items()
    )
    evidence = {(o.first_id, o.second_id): o.evidence for o in judged(before)}
    acts = [act for name, case in cases.items() for act in case.acts(f"{name}:", evidence)]
    world = World.beside(case.world({}).apart(f"{name}:") for name, case in cases.items())
    by_case: dict[str, list[Overlap]] = {name: [] for name in cases}
    for overlap in judged(world, tuple(acts)):
        name, _, first = overlap.first_id.partition(":")
        other, _, second = overlap.second_id.partition(":")
        assert name == other
        by_case[name].append(replace(overlap, first_id=first, second_id=second))
    return by_case


def shown(overlap: Overlap, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The overlap in the words of the file, as far as the file says anything."""
    found = {key: getattr(overlap, SHOWN.get(key, key)) for key in expected if key != "payable"}
    if "payable" in expected or overlap.payable_minor is not None:
        found["payable"] = Decimal(overlap.payable_minor or 0) / 100
    return found


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case_has_the_verdict_people_expect(path: Path, found: Mapping[str, list[Overlap]]) -> None:
    overlaps, expected = found[path.stem], Case.read(path).stated["expect"]
    assert [shown(o, e) for o, e in zip(overlaps, expected, strict=False)] == list(expected)
    assert len(overlaps) == len(expected), overlaps


def test_there_are_fifty_cases_and_each_is_told() -> None:
    assert len(CASES) >= 50
    stated = [Case.read(path).stated for path in CASES]
    assert all(one["why"].endswith(".") for one in stated)
    assert len({one["case"] for one in stated}) == len(CASES)
    told = {(e["verdict"], e["reason"]) for one in stated for e in one["expect"]}
    verdicts = sets.VERDICT_OF
    assert told == {(verdict.value, reason.value) for reason, verdict in verdicts.items()}


# --- the second opinion -------------------------------------------------------------------------

DAYS = st.dates(date(2025, 12, 20), date(2026, 5, 10))
PEOPLE = [f"p{number}" for number in range(7)]
HOMES = [f"h{number}" for number in range(4)]
EARLY = datetime(2026, 1, 1)  # noqa: DTZ001 - Hypothesis puts the time zone to it
AGENCIES = ["Mercy Hands", "Aid Bridge", "Türk Kızılay"]


@st.composite
def record(draw: st.DrawFn, at: int) -> Assistance:
    unit = draw(st.sampled_from([Unit.HOUSEHOLD, Unit.HOUSEHOLD, Unit.PERSON]))
    first, last = draw(DAYS), draw(st.none() | DAYS)
    amount = draw(st.none() | st.integers(1, 900_000))
    return Assistance(
        record_id=f"r{at}", agency=draw(st.sampled_from(AGENCIES)),
        programme=draw(st.sampled_from(["cash", "essn", "c-essn", "essn-top-up"])),
        recipient_id=draw(st.sampled_from(HOMES if unit is Unit.HOUSEHOLD else PEOPLE)), unit=unit,
        need=draw(st.sampled_from(["basic-needs", "food", "shelter", "winter", "protection"])),
        modality=Modality.CASH, first_day=first, last_day=last, one_off=draw(st.booleans()),
        status=draw(st.sampled_from(Status)),
        committed_at=draw(st.none() | st.datetimes(
            EARLY, EARLY + timedelta(days=2), timezones=st.just(UTC))),
        currency=draw(st.sampled_from(["TRY", "TRY", "USD", "EUR"])) if amount else None,
        amount_minor=amount, people=draw(st.none() | st.integers(1, 12)),
        replaces=draw(st.none() | st.sampled_from(["r0", "r1", "r2"])),
        referred_by=draw(st.none() | st.sampled_from(AGENCIES)), referred_on=draw(st.none() | DAYS),
    )  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> World:
    records = tuple(draw(record(at)) for at in range(draw(st.integers(2, 6))))
    some_days = st.none() | DAYS
    line = st.builds(
        RosterLine, st.sampled_from(HOMES), st.sampled_from(PEOPLE), st.booleans(), some_days,
        some_days,
    )  # fmt: skip
    link = st.builds(
        PersonLink, st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.sampled_from(Strength)
    )
    pair = st.builds(
        HouseholdPair,
        st.sampled_from(HOMES),
        st.sampled_from(HOMES),
        st.sampled_from(HouseholdLink),
    )
    return World(
        records, tuple(draw(st.lists(line, max_size=10))), tuple(draw(st.lists(link, max_size=4))),
        tuple(p for p in draw(st.lists(pair, max_size=2)) if p.left_id != p.right_id),
    )  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(worlds(), min_size=1, max_size=12))
def test_sets_say_what_is_said_record_by_record(some: list[World]) -> None:
    apart = [world.apart(f"{at}:") for at, world in enumerate(some)]
    expected = [overlap for world in apart for overlap in overlap_oracle.judged(world, POLICY)]
    overlaps = overlap_oracle.without_evidence(judged(World.beside(apart)))
    assert overlaps == sorted(expected, key=lambda overlap: (overlap.first_id, overlap.second_id))


# --- what is refused ----------------------------------------------------------------------------


def test_a_need_the_policy_does_not_know_is_refused() -> None:
    case = Case.read(CASES[0])
    world = case.world({name: {"need": "leisure"} for name in case.stated["assistance"]})
    with pytest.raises(Refusal, match=r"overlap_need_unknown: .* these needs .*: leisure"):
        judged(world)


def test_two_records_of_one_id_are_refused() -> None:
    world = Case.read(CASES[0]).world({})
    with pytest.raises(Refusal, match="overlap_record_twice"):
        judged(World(world.records * 2, world.roster))


def test_nothing_overlaps_where_nothing_is_given() -> None:
    assert judged(World(())) == []
