"""Why one household is decided so: each criterion with the values it saw."""

from datetime import date
from pathlib import Path

import pytest

from eligibility.rules.checked import rules_of
from eligibility.rules.explain import InForce, Observed, Outcome, Status, explain
from eligibility.rules.pack import Label, RulePack
from eligibility.rules.phrases import PHRASES, Language, phrase
from eligibility.rules.reasons import Counted
from eligibility.rules.telling import tell
from tests.eligibility.packs import criterion, pack_of, text_of

ON = date(2026, 3, 1)
LABEL = Label(tr="Ölçüt", en="Criterion", ar="معيار")
CRITERIA = (
    "gates:\n"
    + criterion("income", "monthly_income_minor <= p.line")
    + "any_of:\n"
    + criterion("children", "members.filter(m, m.age<18).size() >= 2")
    + criterion("dependency", "ratio(dependants, able) >= p.dependency", "zero_denominator: fail")
)
ADULT = {"birth_date": date(1990, 1, 1), "birth_date_precision": "exact"}
CHILD = {"birth_date": date(2020, 1, 1), "birth_date_precision": "exact"}
TEENAGER = {"birth_date": date(2008, 1, 1), "birth_date_precision": "year"}


def test_a_household_is_explained_with_what_was_observed(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, text_of(CRITERIA))
    facts = {"monthly_income_minor": 750000, "has_roster": True, "rcsi": 12}
    why = explain(facts, [ADULT, CHILD, TEENAGER], pack, ON)

    seen = [(one.id, one.gate, one.outcome, one.observed) for one in why.reasons]
    assert seen == [
        ("income", True, Outcome.PASS,
         (Observed("monthly_income_minor", 750000, 750000), Observed("p.line", 750000, 750000))),
        ("children", False, Outcome.UNKNOWN,
         (Observed("members.filter(m, m.age < 18).size()", 1, 2),)),
        ("dependency", False, Outcome.UNKNOWN,
         (Observed("dependants", 1, 2), Observed("able", 1, 2),
          Observed("p.dependency", 1500, 1500))),
    ]  # fmt: skip
    said = [(one.label, one.expr, one.on_unknown) for one in why.reasons]
    assert said[0] == (LABEL, "monthly_income_minor <= p.line", "stop")
    assert (why.status, why.because) == (Status.REVIEW, "review:children,dependency")
    assert why.facts == (Observed("dependants", 1, 2), Observed("able", 1, 2))
    assert why.score == Observed("score", 12, 12)
    assert (why.people, why.people_from, why.amount_minor) == (3, "roster", None)
    assert (why.pass_bits, why.unknown_bits) == (0b001, 0b110)
    assert why.counted["dependants"] == Counted(certain=(2,), possible=(3,))
    assert why.parameters[1] == InForce("line", "money", 750000, date(2026, 1, 1), "Circular 2")


def test_an_eligible_household_is_told_its_amount(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, text_of(CRITERIA))
    facts = {"monthly_income_minor": 1, "has_roster": True, "rcsi": 12}
    why = explain(facts, [ADULT, CHILD, CHILD], pack, ON)
    assert (why.status, why.because, why.amount_minor) == (Status.ELIGIBLE, "", 320050)


def test_observed_values_read_as_what_is_known_of_them() -> None:
    said = [
        str(Observed("n", low, high))
        for low, high in [(3, 3), (3, 4), (3, None), (None, 4), (None, None), (False, True)]
    ]
    assert said == ["3", "3 to 4", "3 or more", "at most 4", "unknown", "unknown"]


# --- told to people ---------------------------------------------------------------------------

FACTS = {"monthly_income_minor": 100, "has_roster": True, "rcsi": 12, "has_iban": True}


def told(pack: RulePack, facts: dict, people: list, language: Language = Language.EN) -> list[str]:
    return [line.text for line in tell(explain(facts, people, pack, ON), rules_of(pack), language)]


def test_the_nearest_threshold_says_what_was_seen_and_what_is_needed(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, text_of(CRITERIA.replace(">= 2", ">= 9")))
    people = [ADULT, ADULT, ADULT, CHILD, CHILD, CHILD, CHILD]
    lines = told(pack, FACTS, people)
    at = lines.index("Nearest threshold:")
    assert lines[at + 1] == (
        "Criterion: ratio of dependants to able: 4 / 3 = 1.33, needs 1.50 or more"
    )
    turkish = told(pack, FACTS, people, Language.TR)
    assert any("4 / 3 = 1,33, en az 1,50 olmalı" in line for line in turkish)
    arabic = told(pack, FACTS, people, Language.AR)
    assert any("4 / 3 = 1.33، المطلوب 1.50 أو أكثر" in line for line in arabic)


def test_a_ratio_is_never_rounded_to_a_limit_that_it_does_not_reach(tmp_path: Path) -> None:
    head = text_of("", tail="").replace("1.5}", "1.667}")
    pack = pack_of(tmp_path, head + CRITERIA + text_of("", head=""))
    lines = told(pack, FACTS, [ADULT] * 3 + [CHILD] * 5)
    assert any("5 / 3 = 1.666, needs 1.667 or more" in line for line in lines)


@pytest.mark.parametrize(
    ("expr", "people", "said"),
    [
        ("!(rcsi < 19)", [ADULT], "rcsi: 12, needs 19 or more"),
        ("19 <= rcsi", [ADULT], "rcsi: 12, needs 19 or more"),
        ("rcsi > 12", [ADULT], "rcsi: 12, needs more than 12"),
        ("!(rcsi >= 12)", [ADULT], "rcsi: 12, needs less than 12"),
        ("rcsi != 12", [ADULT], "rcsi: 12, needs anything but 12"),
        ("rcsi in [1, 2]", [ADULT], "rcsi: 12, needs one of: 1, 2"),
        ("!has_iban", [ADULT], "has iban: yes, needs no"),
        ("has_iban ? rcsi > 20 : rcsi > 5", [ADULT], "rcsi: 12, needs more than 20"),
        ("monthly_income_minor >= p.line", [ADULT],
         "monthly income minor: 1.00 TRY, needs 7,500.00 TRY or more"),
        ("able > dependants", [CHILD, CHILD, ADULT], "dependants: 2, needs less than able (1)"),
        ("members.all(m, m.age >= 18)", [ADULT, CHILD],
         "number of people with not (age ≥ 18): 1, needs 0"),
        ("members.exists(m, m.age >= 40)", [ADULT],
         "number of people with age ≥ 40: 0, needs 1 or more"),
    ],
)  # fmt: skip
def test_a_test_is_told_as_people_say_it(
    tmp_path: Path, expr: str, people: list, said: str
) -> None:
    pack = pack_of(tmp_path, text_of("gates:\n" + criterion("c", expr)))
    lines = told(pack, FACTS, people)
    at = lines.index("Nearest threshold:")
    assert lines[at + 1] == f"Criterion: {said}"


def test_the_member_who_comes_nearest_is_named_by_number(tmp_path: Path) -> None:
    pack = pack_of(
        tmp_path,
        text_of(
            "gates:\n" + criterion("c", "members.exists(m, m.age >= 60)")
            + criterion("d", "members.filter(m, m.age < 18).size() == 0")
        ),
    )  # fmt: skip
    teenager = {"birth_date": date(2008, 6, 1), "birth_date_precision": "exact"}
    lines = told(pack, FACTS, [CHILD, ADULT, teenager])
    assert "closest is member 2: age: 36, needs 60 or more" in lines
    assert "closest to not being counted is member 3: age: 17, needs 18 or more" in lines


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, text_of(CRITERIA))
    lines = told(pack, {**FACTS, "rcsi": None}, [ADULT, CHILD, TEENAGER])
    at = lines.index("What has to be known:")
    assert lines[at + 1] == ("Criterion: number of people with age < 18: 1 to 2, needs 2 or more")
    assert "the score for the order" in lines
    assert "members who may count: 3" in lines


def test_every_phrase_has_the_same_holes_in_three_languages() -> None:
    for code, said in PHRASES.items():
        holes = [sorted(part.split("}")[0] for part in text.split("{")[1:]) for text in said]
        assert holes[0] == holes[1] == holes[2], code
        assert len(set(said)) == len(said) or all("{" in text for text in said), code
    assert phrase("at_least", Language.TR, needs=3) == "en az 3 olmalı"
