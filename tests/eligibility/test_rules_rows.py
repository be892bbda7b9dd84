"""What conditions say of a household, by hand: limits, open facts, people not all named."""

from collections.abc import Mapping, Sequence
from datetime import date

import pytest

from eligibility.rules.check import check
from eligibility.rules.rows import FAIL, PASS, UNKNOWN, Case, Range, answer
from eligibility.rules.scope import Scope
from eligibility.rules.terms import Kind, Zero
from ledgers.problems import Refusal

ON = date(2026, 3, 1)
SCOPE = Scope(
    household={"rcsi": Kind.INT, "has_iban": Kind.BOOL, "province": Kind.TEXT},
    member={"birth_date": Kind.DATE, "sex": Kind.TEXT, "disability_percent": Kind.INT},
    parameters={"limit": Kind.RATIO, "places": Kind.TEXTS},
    zero=Zero.STOP,
)


def born(day: str | None, precision: str = "exact", **more: object) -> dict[str, object]:
    birth_date = date.fromisoformat(day) if day else None
    return {"birth_date": birth_date, "birth_date_precision": precision, **more}


def said(
    text: str,
    people: Sequence[Mapping[str, object]] = (),
    zero: Zero = Zero.STOP,
    **household: object,
) -> Range:
    scope = Scope(SCOPE.household, SCOPE.member, SCOPE.parameters, zero=zero)
    term, troubles = check(text, scope)
    assert term is not None, troubles
    facts = {"has_roster": True, **household}
    return answer(term, Case(facts, people, {"limit": 1500, "places": ("TR-01",)}, ON))


@pytest.mark.parametrize(
    ("day", "age"),
    [
        ("2008-03-01", 18),
        ("2008-03-02", 17),
        ("1966-03-01", 60),
        ("1966-03-02", 59),
        ("2008-02-29", 18),
        ("2026-03-01", 0),
        ("2026-04-01", 0),
    ],
)
def test_an_age_changes_on_the_birthday(day: str, age: int) -> None:
    assert said("members.map(m, m.age).sum()", [born(day)]) == (age, age)


def test_somebody_born_on_a_leap_day_is_a_year_older_on_the_first_of_march() -> None:
    text = 'age_at(date("2008-02-29"), date("{}"))'
    assert said(text.format("2026-02-28")) == (17, 17)
    assert said(text.format("2026-03-01")) == (18, 18)


def test_a_birth_year_is_a_range_that_only_matters_where_it_straddles() -> None:
    child = [born("2008-07-01", "year")]
    assert said("members.map(m, m.age).sum()", child) == (17, 18)
    assert said("members.exists(m, m.age < 18)", child) == UNKNOWN
    assert said("members.exists(m, m.age < 19)", child) == PASS
    assert said("members.exists(m, m.age < 17)", child) == FAIL


def test_an_unknown_age_leaves_a_count_between_two_numbers() -> None:
    people = [born("2020-01-01"), born("2019-01-01"), born(None), born("1980-01-01")]
    assert said("members.filter(m, m.age < 18).size()", people) == (2, 3)
    assert said("members.filter(m, m.age < 18).size() >= 2", people) == PASS
    assert said("members.filter(m, m.age < 18).size() >= 3", people) == UNKNOWN
    assert said("members.filter(m, m.age < 18).size() >= 4", people) == FAIL


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [
        (True, 30, PASS, PASS),
        (True, None, UNKNOWN, PASS),
        (True, 1, FAIL, PASS),
        (None, 30, UNKNOWN, PASS),
        (None, None, UNKNOWN, UNKNOWN),
        (None, 1, FAIL, UNKNOWN),
        (False, 30, FAIL, PASS),
        (False, None, FAIL, UNKNOWN),
        (False, 1, FAIL, FAIL),
    ],
)
def test_conditions_join_as_kleene_says(
    *, left: bool | None, right: int | None, both: Range, either: Range
) -> None:
    assert said("has_iban && rcsi > 3", has_iban=left, rcsi=right) == both
    assert said("has_iban || rcsi > 3", has_iban=left, rcsi=right) == either
    assert said("!(!has_iban && !(rcsi > 3))", has_iban=left, rcsi=right) == either


@pytest.mark.parametrize(
    "text", ["rcsi > 3", "rcsi == 3", "rcsi != 3", "rcsi in [3]", "!(rcsi < 3)"]
)
def test_a_missing_value_is_neither_yes_nor_no(text: str) -> None:
    assert said(text, rcsi=None) == UNKNOWN


def test_a_missing_text_may_be_any_of_the_list() -> None:
    assert said("province in p.places", province=None) == UNKNOWN
    assert said("province in []", province=None) == FAIL
    assert [said("province in p.places", province=name) for name in ("TR-01", "TR-34")] == [
        PASS,
        FAIL,
    ]


RATIO = (
    "ratio(members.filter(m, m.age < 18).size(), members.filter(m, m.age >= 18).size()) >= p.limit"
)


def people(children: int, adults: int, unknown: int = 0) -> list[dict[str, object]]:
    return [born("2020-01-01")] * children + [born("1990-01-01")] * adults + [born(None)] * unknown


@pytest.mark.parametrize(
    ("children", "adults", "found"),
    [(3, 2, PASS), (2, 2, FAIL), (6, 4, PASS), (7, 5, FAIL), (8, 5, PASS), (1, 1, FAIL)],
)
def test_a_ratio_is_met_exactly_at_its_limit(children: int, adults: int, found: Range) -> None:
    assert said(RATIO, people(children, adults)) == found


def test_a_ratio_over_nobody_answers_as_stated() -> None:
    answers = [said(RATIO, people(2, 0), zero) for zero in (Zero.PASS, Zero.FAIL, Zero.STOP)]
    assert answers == [PASS, FAIL, UNKNOWN]


def test_a_ratio_that_may_be_over_nobody_holds_only_if_both_answers_do() -> None:
    # Three children and one person of unknown age: 3 to 1, or 4 to none.
    answers = [said(RATIO, people(3, 0, 1), zero) for zero in (Zero.PASS, Zero.FAIL, Zero.STOP)]
    assert answers == [PASS, UNKNOWN, UNKNOWN]


def test_people_who_were_not_named_leave_conditions_open_upwards() -> None:
    head = [born("1960-01-01", disability_percent=0)]
    assert said("members.size()", head, has_roster=False) == (1, None)
    assert said("members.exists(m, m.age >= 60)", head, has_roster=False) == PASS
    assert said("members.exists(m, m.age < 18)", head, has_roster=False) == UNKNOWN
    assert said("members.all(m, m.age >= 60)", head, has_roster=False) == UNKNOWN
    assert said("members.all(m, m.age < 60)", head, has_roster=False) == FAIL
    assert said("members.map(m, m.age).max()", head, has_roster=False) == (None, None)
    assert said("members.exists(m, m.age < 18)", []) == UNKNOWN


def test_sums_and_extremes_run_over_those_who_certainly_and_possibly_count() -> None:
    family = [
        born("1990-01-01", disability_percent=50),
        born(None, disability_percent=40),
        born("2020-01-01", disability_percent=None),
    ]
    adults = "members.filter(m, m.age >= 18).map(m, m.disability_percent)"
    assert [said(f"{adults}.{name}()", family) for name in ("sum", "min", "max")] == [
        (50, 90),
        (40, 50),
        (50, 50),
    ]
    everyone = "members.map(m, m.disability_percent)"
    assert [said(f"{everyone}.{name}()", family) for name in ("sum", "min", "max")] == [
        (None, None),
        (None, 40),
        (50, None),
    ]
    nobody = "members.filter(m, m.age > 99 && m.disability_percent == 1).map(m, m.age)"
    assert [said(f"{nobody}.{name}()", family[:1]) for name in ("sum", "min", "max")] == [
        (0, 0),
        (None, None),
        (None, None),
    ]


def test_a_choice_between_two_values_has_the_range_of_both() -> None:
    text = "(rcsi > 3 ? members.size() : 10)"
    one = [born("1990-01-01")]
    assert [said(text, one, rcsi=rcsi) for rcsi in (4, 3, None)] == [(1, 1), (10, 10), (1, 10)]
    assert said("rcsi > 3 ? has_iban : has_iban", one, rcsi=None, has_iban=True) == PASS


def test_a_number_that_no_column_could_hold_stops_the_run() -> None:
    with pytest.raises(Refusal, match=r"^rule_overflow"):
        said("1000000000000 * rcsi > 3", rcsi=10**12)
