"""The behaviours that other platforms test, in our words, and every threshold exactly at its limit.

Sources: UNICEF HOPE, targeting rules and individual blocks (rules are ORed, the filters within one
are ANDed, a block is about one person; ages at a day); OpenSPP and 121, whose programmes count a
missing answer as nothing or let everybody in, which is what must not happen here.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from eligibility.assessment import assess
from eligibility.packs import shipped_packs
from eligibility.rules.checked import load_pack, rules_of
from eligibility.rules.explain import Status, explain
from eligibility.rules.pack import RulePack
from tests.eligibility.scenarios import write_rows

ON = date(2020, 10, 10)
LABEL = "{tr: Ölçüt, en: Criterion, ar: معيار}"
HEAD = """\
code: peers
currency: TRY
inputs:
  household: {shelter: text, region: text, size_class: int}
  member: {marital_status: text}
parameters:
  ratio: {type: ratio, source: Circular 1, values: {2016-01-01: 1.5}}
"""
TAIL = """\
selection: {order: highest_score_first, households: 1000000}
entitlement: {flat: 1.00}
"""
Facts = Mapping[str, object]


@dataclass(frozen=True)
class Both:
    """Both back ends, which must agree before anything is said."""

    folder: Path

    def pack(self, *any_of: str, gates: Sequence[str] = ()) -> RulePack:
        blocks = [("gates", gates), ("any_of", any_of)]
        lines = [
            f"{block}:\n"
            + "".join(
                f"  - {{id: c{at}, label: {LABEL}, expr: '{expr}', zero_denominator: pass}}\n"
                if "ratio(" in expr
                else f"  - {{id: {block[0]}{at}, label: {LABEL}, expr: '{expr}'}}\n"
                for at, expr in enumerate(exprs)
            )
            for block, exprs in blocks
            if exprs
        ]
        path = self.folder / "pack.yaml"
        path.write_text(HEAD + "".join(lines) + TAIL, encoding="utf-8")
        return load_pack(path)

    def statuses(
        self, pack: RulePack, households: Mapping[str, tuple[Facts, Sequence[Facts]]], on: date
    ) -> dict[str, str]:
        files = write_rows(self.folder, rules_of(pack), households)
        out = self.folder / "decisions.parquet"
        assess(*files, pack, on, out, seed="draw", spill=self.folder)
        columns = {row["household_id"]: row["status"] for row in pq.read_table(out).to_pylist()}
        rows = {
            name: str(explain(household, members, pack, on).status)
            for name, (household, members) in households.items()
        }
        assert columns == rows
        return rows

    def eligible(
        self,
        pack: RulePack,
        households: Mapping[str, tuple[Facts, Sequence[Facts]]],
        on: date = ON,
    ) -> set[str]:
        statuses = self.statuses(pack, households, on)
        return {name for name, status in statuses.items() if status == Status.ELIGIBLE}


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def household(*members: Facts, **facts: object) -> tuple[Facts, Sequence[Facts]]:
    exact = [{"birth_date_precision": "exact", **member} for member in members]
    return {"has_roster": True, **facts}, exact


def person(sex: str = "female", born: date = date(1990, 1, 1), **facts: object) -> Facts:
    return {"sex": sex, "birth_date": born, **facts}


def aged(years: int, on: date = ON) -> Facts:
    """Somebody who is exactly that old on the day, since that day."""
    return person(born=on.replace(year=on.year - years))


# --- what others test ------------------------------------------------------------------------


def test_rules_are_ored_and_filters_within_a_rule_anded(both: Both) -> None:
    pack = both.pack(
        'shelter == "tent" && size_class == 2', 'region == "north" && shelter == "flat"'
    )
    found = both.eligible(
        pack,
        {
            "first": household(person(), shelter="tent", size_class=2, region="south"),
            "half_of_first": household(person(), shelter="tent", size_class=1, region="north"),
            "second": household(person(), shelter="flat", size_class=1, region="north"),
            "half_of_second": household(person(), shelter="flat", size_class=2, region="south"),
            "halves": household(person(), shelter="house", size_class=2, region="north"),
        },
    )
    assert found == {"first", "second"}


A = household(person("male", marital_status="married"))
B = household(
    person("male", marital_status="single"), person("female", marital_status="married")
)  # fmt: skip


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ('members.exists(m, m.sex == "male" && m.marital_status == "married")', {"a"}),
        (
            ('members.exists(m, m.sex == "female" && m.marital_status == "married")'
            ' && members.exists(m, m.sex == "male" && m.marital_status == "single")'),
            {"b"},
        ),
    ],
)  # fmt: skip
def test_a_block_is_about_one_and_the_same_person(
    both: Both, expr: str, expected: set[str]
) -> None:
    assert both.eligible(both.pack(expr), {"a": A, "b": B}) == expected


PEOPLE = {
    "one": household(person(born=date(1970, 9, 29))),
    **{f"four_{at}": household(person(born=date(1991, 11, 18))) for at in range(4)},
}


@pytest.mark.parametrize(
    ("condition", "on", "count"),
    [
        ("m.age == 50", date(2020, 10, 10), 1),
        ("m.age >= 1 && m.age <= 49", date(2020, 10, 10), 4),
        ("m.age >= 40", date(2020, 10, 10), 1),
        ("m.age <= 49", date(2020, 9, 28), 5),
        ("m.age <= 49", date(2020, 9, 29), 4),
    ],
)
def test_ages_are_those_of_the_day(both: Both, condition: str, on: date, count: int) -> None:
    pack = both.pack(f"members.exists(m, {condition})")
    assert len(both.eligible(pack, PEOPLE, on)) == count


def test_a_value_does_not_match_a_longer_one(both: Both) -> None:
    households = {value: household(person(), region=value) for value in ("A", "AB", "BA", "a")}
    assert both.eligible(both.pack('region == "A"'), households) == {"A"}
    assert both.eligible(both.pack('region in ["A", "C"]'), households) == {"A"}


# --- exactly at the limit ---------------------------------------------------------------------

MAN, WOMAN, CHILD = person("male"), person("female"), person(born=date(2015, 1, 1))
DEPENDANTS = "members.filter(m, m.age < 18 || m.age >= 60).size()"
ABLE = "members.filter(m, m.age >= 18 && m.age < 60).size()"


def test_a_ratio_is_met_exactly_at_1_5_and_not_below(both: Both) -> None:
    pack = both.pack(f"ratio({DEPENDANTS}, {ABLE}) >= p.ratio")
    cases = {
        f"{children} to {adults}": household(*[CHILD] * children, *[WOMAN] * adults)
        for children, adults in [(3, 2), (6, 4), (4, 3), (5, 4), (2, 1), (1, 1), (7, 5), (0, 1)]
    }
    found = both.eligible(pack, cases)
    assert found == {"3 to 2", "6 to 4", "2 to 1"}
    assert both.eligible(pack, {"nobody below": household(CHILD)}) == {"nobody below"}


@pytest.mark.parametrize(("limit", "years"), [(18, (17, 18)), (60, (59, 60))])
def test_an_age_counts_from_the_birthday_on(both: Both, limit: int, years: tuple[int, int]) -> None:
    below, at = years
    cases = {
        "last day before": household(person(born=date(ON.year - limit, ON.month, ON.day + 1))),
        "birthday": household(aged(at)),
        "a year before": household(aged(below)),
    }
    pack = both.pack(f"members.exists(m, m.age >= {limit})")
    assert both.eligible(pack, cases) == {"birthday"}
    younger = both.pack(f"members.all(m, m.age < {limit})")
    assert both.eligible(younger, cases) == {"last day before", "a year before"}


def test_somebody_born_on_29_february_is_18_on_1_march_in_other_years(both: Both) -> None:
    leap = {"leap": household(person(born=date(2000, 2, 29)))}
    pack = both.pack("members.exists(m, m.age >= 18)")
    assert both.eligible(pack, leap, date(2018, 2, 28)) == set()
    assert both.eligible(pack, leap, date(2018, 3, 1)) == {"leap"}


@pytest.mark.parametrize("limit", [4, 8])
def test_a_size_counts_to_its_last_member(both: Both, limit: int) -> None:
    cases = {str(size): household(*[CHILD] * size) for size in (limit, limit + 1)}
    assert both.eligible(both.pack(f"members.size() <= {limit}"), cases) == {str(limit)}
    assert both.eligible(both.pack(f"members.size() > {limit}"), cases) == {str(limit + 1)}


@pytest.mark.parametrize(("size", "top_up"), [(4, 60000), (5, 30000), (8, 30000), (9, 10000)])
def test_a_top_up_changes_between_4_and_5_and_between_8_and_9(size: int, top_up: int) -> None:
    pack = load_pack(shipped_packs()["essn-2023"])
    facts = {
        "has_roster": True, "legal_status": "temporary_protection", "lives_in_camp": False,
        "address_registered": True, "insured_work": False, "owns_property": False,
    }  # fmt: skip
    people = [person("male"), *[person(born=date(2015, 1, 1))] * (size - 1)]
    members = [{"birth_date_precision": "exact", "counted_in_payment": True, **p} for p in people]
    why = explain(facts, members, pack, date(2023, 11, 5))
    assert (why.status, why.amount_minor) == (Status.ELIGIBLE, size * 50000 + top_up)


# --- what is not known ------------------------------------------------------------------------

SEED = 20201010
HOUSEHOLDS = 2_000


def roster(draw: random.Random) -> list[dict[str, object]]:
    return [
        {
            "sex": draw.choice(["male", "female"]),
            "birth_date": date(draw.randint(1940, 2020), draw.randint(1, 9), draw.randint(1, 28)),
            "birth_date_precision": "exact", "disability_percent": draw.choice([0, 0, 0, 40, 60]),
            "disability_report": draw.choice([True, False]),
        }
        for _ in range(draw.randint(1, 9))
    ]  # fmt: skip


def test_with_one_age_in_a_hundred_gone_nobody_is_silently_in_or_out(tmp_path: Path) -> None:
    draw = random.Random(SEED)  # noqa: S311 - data for a test
    facts = {
        "has_roster": True, "legal_status": "temporary_protection", "lives_in_camp": False,
        "address_registered": True, "insured_work": False, "owns_property": False,
        "discretionary": False,
    }  # fmt: skip
    whole = {f"hh_{at:05}": (facts, roster(draw)) for at in range(HOUSEHOLDS)}
    holed = {
        name: (
            household,
            [
                {**person, "birth_date": None} if draw.random() < 0.01 else person
                for person in people
            ],
        )
        for name, (household, people) in whole.items()
    }
    touched = {name for name in whole if whole[name] != holed[name]}
    pack = load_pack(shipped_packs()["essn-2017"])
    both = Both(tmp_path)
    before, after = (
        {row["household_id"]: row for row in decided(both, pack, rows)} for rows in (whole, holed)
    )
    changed = {name for name in whole if before[name]["status"] != after[name]["status"]}

    assert len(touched) > HOUSEHOLDS // 50
    assert {row["status"] for row in before.values()} == {"eligible", "ineligible"}
    # A decision only ever changes to "people look", and only where an age is gone.
    assert {after[name]["status"] for name in changed} == {"review"}
    assert changed <= touched
    # Whoever is still decided is decided as with every age known.
    settled = touched - changed
    assert settled
    same = [(before[name]["status"], after[name]["status"]) for name in settled]
    assert all(one == other for one, other in same)
    # And whoever is looked at is listed, each with what is not known.
    listed = {name for name in after if after[name]["reason"].startswith("review:")}
    assert listed == changed
    for name in sorted(listed)[:50]:
        why = explain(*holed[name], pack, ON)
        assert (why.status, why.because) == (Status.REVIEW, after[name]["reason"])
        assert any(counted.possible for counted in why.counted.values())


def decided(
    both: Both, pack: RulePack, rows: Mapping[str, tuple[Facts, Sequence[Facts]]]
) -> list[dict[str, object]]:
    files = write_rows(both.folder, rules_of(pack), rows)
    out = both.folder / "decisions.parquet"
    assess(*files, pack, ON, out, seed="draw", spill=both.folder, grant_minor=10**15)
    found: list[dict[str, object]] = pq.read_table(out).to_pylist()
    assert len(found) == len(rows)
    return found
