"""Why one household is decided so: each criterion with the values it saw."""

from datetime import date
from pathlib import Path

from eligibility.rules.explain import Explanation, Observed, Outcome, Reason, Status, explain
from eligibility.rules.pack import Label
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
    assert explain(facts, [ADULT, CHILD, TEENAGER], pack, ON) == Explanation(
        status=Status.REVIEW,
        because="review:children,dependency",
        reasons=(
            Reason(
                id="income",
                gate=True,
                label=LABEL,
                expr="monthly_income_minor <= p.line",
                on_unknown="stop",
                outcome=Outcome.PASS,
                observed=(
                    Observed("monthly_income_minor", 750000, 750000),
                    Observed("p.line", 750000, 750000),
                ),
            ),
            Reason(
                id="children",
                gate=False,
                label=LABEL,
                expr="members.filter(m, m.age<18).size() >= 2",
                on_unknown="stop",
                outcome=Outcome.UNKNOWN,
                observed=(Observed("members.filter(m, m.age < 18).size()", 1, 2),),
            ),
            Reason(
                id="dependency",
                gate=False,
                label=LABEL,
                expr="ratio(dependants, able) >= p.dependency",
                on_unknown="stop",
                outcome=Outcome.UNKNOWN,
                observed=(
                    Observed("dependants", 1, 2),
                    Observed("able", 1, 2),
                    Observed("p.dependency", 1500, 1500),
                ),
            ),
        ),
        facts=(Observed("dependants", 1, 2), Observed("able", 1, 2)),
        score=Observed("score", 12, 12),
        people=3,
        people_from="roster",
        amount_minor=None,
        currency="TRY",
        pass_bits=0b001,
        unknown_bits=0b110,
    )


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
