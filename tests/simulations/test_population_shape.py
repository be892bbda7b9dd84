"""A shape file says to the person who is made; all its problems are told at once."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from adapters.kobo.export import Submission
from ledgers.problems import Refusal
from simulations.population import DEMO, Fault, Flaw, Shape, checked, generate, read_shape
from simulations.population.making import Made, Making
from simulations.population.names import district_respelled
from simulations.population.shape import Need, Stratum

ON = date(2026, 3, 1)

BAD = """
strata:
  - {name: few, province: TR-01, nationality: SY, households: 10, people: 9}
  - {name: many, province: TR-01, nationality: SY, households: 10, people: 121}
  - {name: nowhere, province: TR-82, nationality: SY, households: -1, people: 10}
  - {name: lost, province: TR-82, nationality: SY, households: 3, people: 10}
  - {name: classes, province: TR-01, nationality: DE, households: 3, people: 9,
     market: first, bank: maybe}
  - {name: twice, province: TR-01, nationality: SY, households: 3, people: 9, twice: 4}
  - {name: spelt, province: TR-01, nationality: SY, households: 3, people: 9,
     twice: 1, other_district_spelling: 2}
  - {name: faults, province: TR-01, nationality: SY, households: 3, people: 9, market: eligible,
     faults: {voucher_short: 4}}
  - {name: cardless, province: TR-01, nationality: SY, households: 3, people: 9,
     faults: {voucher_short: 1, debit_short: 1, bank_silent: 1}}
  - {name: spoilt, province: TR-01, nationality: SY, households: 3, people: 9, bank: yes,
     planted: {no_members: 1, doubtful_phone: 1}}
  - {name: spoilt, province: TR-01, nationality: SY, households: 3, people: 9}
  - {name: odd, province: TR-01, nationality: SY, households: 3, people: 9,
     planted: {flood: 1}, colour: red}
  - 7
"""


def found(made: Sequence[Made], shape: Shape, names: set[str]) -> list[Submission]:
    numbers = {number for number, stratum in enumerate(shape.strata) if stratum.name in names}
    return [one.submission for one in made if one.stratum in numbers]


def strata_of(shape: Shape, **wanted: object) -> list[Stratum]:
    return [s for s in shape.strata if all(getattr(s, key) == v for key, v in wanted.items())]


def age(born: str, on: date = ON) -> int:
    day = date.fromisoformat(born)
    return on.year - day.year - ((on.month, on.day) < (day.month, day.day))


def in_bank_need(submission: Submission) -> bool:
    return any(
        age(m["birth_date"]) >= 60 or int(m["disability_percent"]) >= 40 for m in submission.members
    )


@pytest.fixture(scope="module")
def demo() -> Shape:
    return read_shape(DEMO)


@pytest.fixture(scope="module")
def made(demo: Shape) -> list[Made]:
    return list(Making.begun(demo, 7, ON).made())


@pytest.fixture(scope="module")
def distinct(made: list[Made]) -> list[Submission]:
    return [one.submission for one in made if one.first_record is None]


def test_demo_says_what_was_asked_for(demo: Shape) -> None:
    market = strata_of(demo, market=Need.PRIORITY)
    debit = strata_of(demo, debit=Need.PRIORITY)
    both = strata_of(demo, market=Need.PRIORITY, debit=Need.PRIORITY)
    bank = strata_of(demo, bank=True)
    assert (sum(s.households for s in market), sum(s.people for s in market)) == (2_037, 9_780)
    assert sum(s.twice for s in market) == 12
    assert sum(s.households for s in debit) == 3_373
    assert {(s.province, s.nationality) for s in debit} == {("TR-34", "SY")}
    assert sum(s.twice for s in debit) == 10
    assert sum(s.households for s in both) == 420
    assert sum(s.households for s in bank) == 1_100
    assert demo.households == 9_500


def test_market_priority_is_met_to_the_person(distinct: list[Submission]) -> None:
    provinces = {"TR-01", "TR-34", "TR-63"}
    priority = [
        s for s in distinct if int(s.fields["rcsi"]) >= 40 and s.fields["province"] in provinces
    ]
    assert (len(priority), sum(len(s.members) for s in priority)) == (2_037, 9_780)
    assert all(s.fields["voucher_card_ref"] for s in priority)


def test_debit_priority_is_met_to_the_household(distinct: list[Submission]) -> None:
    priority = [
        s
        for s in distinct
        if int(s.fields["months_rent_owed"]) >= 6
        and s.fields["province"] == "TR-34"
        and s.members[0]["nationality"] == "SY"
    ]
    assert len(priority) == 3_373
    assert all(s.fields["debit_card_ref"] for s in priority)


def test_bank_strata_alone_have_somebody_old_or_disabled(demo: Shape, made: list[Made]) -> None:
    bank = found(made, demo, {s.name for s in strata_of(demo, bank=True)})
    assert all(in_bank_need(submission) and submission.fields["iban"] for submission in bank)
    others = [one for one in made if not demo.strata[one.stratum].bank and one.flaw is None]
    assert not any(in_bank_need(one.submission) for one in others)
    assert {one.submission.fields["iban"] for one in others} == {""}


def test_facts_of_need_follow_the_classes(demo: Shape, made: list[Made]) -> None:
    seen: dict[tuple[str, Need], list[int]] = {}
    for one in made:
        stratum = demo.strata[one.stratum]
        fields = one.submission.fields
        seen.setdefault(("rcsi", stratum.market), []).append(int(fields["rcsi"]))
        seen.setdefault(("owed", stratum.debit), []).append(int(fields["months_rent_owed"]))
    assert {key: (min(values), max(values)) for key, values in seen.items()} == {
        ("rcsi", Need.PRIORITY): (40, 56),
        ("rcsi", Need.ELIGIBLE): (19, 39),
        ("rcsi", Need.NOT): (0, 18),
        ("owed", Need.PRIORITY): (6, 24),
        ("owed", Need.ELIGIBLE): (2, 5),
        ("owed", Need.NOT): (0, 1),
    }


def test_every_stratum_is_met_exactly(demo: Shape, made: list[Made]) -> None:
    households, people, twice = Counter[str](), Counter[str](), Counter[str]()
    for one in made:
        name = demo.strata[one.stratum].name
        if one.first_record is None:
            households[name] += 1
            people[name] += one.people
        else:
            twice[name] += 1
    assert households == {s.name: s.households for s in demo.strata}
    assert people == {s.name: s.people for s in demo.strata}
    assert twice == {s.name: s.twice for s in demo.strata if s.twice}


def test_second_registrations_are_the_same_household_later(made: list[Made], demo: Shape) -> None:
    by_record = {one.submission.record_id: one.submission for one in made}
    seconds = [one for one in made if one.first_record is not None]
    respelt = 0
    for one in seconds:
        first, second = by_record[one.first_record or 0], one.submission
        assert second.members == first.members
        assert second.uuid != first.uuid
        assert second.submitted_at > first.submitted_at
        changed = {key for key in first.fields if first.fields[key] != second.fields[key]}
        assert changed <= {"district", "voucher_card_ref", "debit_card_ref", "consent_on"}
        if "district" in changed:
            respelt += 1
            assert second.fields["district"] == district_respelled(first.fields["district"])
    assert len(seconds) == sum(s.twice for s in demo.strata)
    assert respelt == sum(s.other_district_spelling for s in demo.strata)


def test_faults_stand_in_the_last_digits(made: list[Made], demo: Shape) -> None:
    expected = Counter[Fault]()
    for stratum in demo.strata:
        expected.update(stratum.faults)
    tails = {
        "voucher_card_ref": (3, "901 rejected, 902 silent, 903 short", "voucher"),
        "debit_card_ref": (3, "901 rejected, 902 silent, 903 short", "debit"),
        "iban": (4, "9901 rejected, 9902 silent, 9903 returned", "bank"),
    }
    seen = Counter[str]()
    for one in made:
        for field, (length, words, rail) in tails.items():
            fault_by_tail = dict(word.split() for word in words.split(", "))
            if fault := fault_by_tail.get(one.submission.fields[field][-length:]):
                seen[f"{rail}_{fault}"] += 1
                assert one.fault == f"{rail}_{fault}"
    assert seen == {fault.value: count for fault, count in expected.items()}


def test_corrections_bring_only_a_new_card_or_account(demo: Shape) -> None:
    making = Making.begun(demo, 7, ON)
    made = list(making.made())
    taken = {one.submission.fields[f] for one in made for f in ("voucher_card_ref", "iban")}
    last = max(one.submission.submitted_at for one in made)
    pairs = [(one, revised) for one in made if (revised := making.corrected(one))]
    changed = Counter[str]()
    for one, revised in pairs:
        first = one.submission
        assert (revised.record_id, revised.version) == (first.record_id, first.version)
        assert (revised.members, revised.uuid != first.uuid) == (first.members, True)
        assert revised.submitted_at > last
        (field,) = {key for key in first.fields if first.fields[key] != revised.fields[key]}
        assert revised.fields[field] not in taken
        assert revised.fields[field][-3:] not in {"901", "902", "903"}
        changed[field] += 1
    assert changed == {"voucher_card_ref": 6, "debit_card_ref": 6, "iban": 7}


def test_ranking_by_rcsi_takes_priority_first(distinct: list[Submission]) -> None:
    ranked = sorted((int(s.fields["rcsi"]) for s in distinct), reverse=True)
    assert ranked[2_036] >= 40 > ranked[2_037]


def test_another_seed_gives_other_people_in_the_same_shape(demo: Shape) -> None:
    one, other = (list(generate(demo, seed, ON)) for seed in (7, 8))
    ids = [
        {m["id_number"] for s in run for m in s.members if m["id_number"]} for run in (one, other)
    ]
    assert len(one) == len(other)
    assert len(ids[0] & ids[1]) < len(ids[0]) / 50
    assert [s.members for s in one] != [s.members for s in other]


def test_problems_of_a_shape_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD, encoding="utf-8")
    with pytest.raises(Refusal) as refused:
        read_shape(path)
    told = [
        (f.place.field.removeprefix("strata, "), f.problem.code) for f in refused.value.findings
    ]
    assert told == [
        ("few, people", "population_people_impossible"),
        ("many, people", "population_people_impossible"),
        ("nowhere, province", "population_province_unknown"),
        ("nowhere, households", "population_shape_field"),
        ("lost, province", "population_province_unknown"),
        ("classes, nationality", "population_shape_field"),
        ("classes, market", "population_shape_field"),
        ("classes, bank", "population_shape_field"),
        ("twice", "population_too_many_planted"),
        ("spelt, other_district_spelling", "population_spellings_without_twice"),
        ("faults", "population_too_many_planted"),
        ("cardless, faults", "population_fault_without_destination"),
        ("cardless, faults", "population_fault_without_destination"),
        ("cardless, faults", "population_fault_without_destination"),
        ("spoilt, planted", "population_flaw_changes_counts"),
        ("spoilt, name", "population_stratum_named_twice"),
        ("odd, planted, flood", "population_shape_field"),
        ("odd, colour", "population_shape_field"),
        ("number 13", "population_shape_field"),
    ]
    assert refused.value.problem.code == "population_shape_refused"
    assert all(finding.place.file == "bad.yaml" for finding in refused.value.findings)
    assert str(refused.value.findings[0]).endswith(
        "population_people_impossible: 9 people cannot live in 10 households of 1 to 12. "
        "Give between 10 and 120 people, or change the number of households."
    )


@pytest.mark.parametrize(
    "text", ["", "strata: []", "strata: {", "[1]", "strata: [1]\nmore: 2", "\x00"]
)
def test_a_file_without_strata_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Refusal, match="population_shape_unreadable"):
        read_shape(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"population_shape_unreadable: .*FileNotFoundError"):
        read_shape(tmp_path / "none.yaml")


@pytest.fixture(params=list(Flaw))
def spoilt(request: pytest.FixtureRequest) -> tuple[Flaw, Submission, Submission]:
    """A flaw, a submission with it, and the same submission as it would have been."""
    stratum = {"name": "a", "province": "TR-01", "nationality": "SY", "households": 9, "people": 40}
    whole = {**stratum, "planted": {request.param.value: 1}}
    made = list(Making.begun(checked({"strata": [whole]}), 3, ON).made())
    unspoilt = list(Making.begun(checked({"strata": [stratum]}), 3, ON).made())
    (place,) = [place for place, one in enumerate(made) if one.flaw is request.param]
    return request.param, made[place].submission, unspoilt[place].submission


def test_a_flaw_changes_what_it_says(spoilt: tuple[Flaw, Submission, Submission]) -> None:
    flaw, bad, good = spoilt
    changed = {key for key in good.fields if bad.fields[key] != good.fields[key]}
    born = [member["birth_date"] for member in bad.members]
    expected = {
        Flaw.UNKNOWN_PROVINCE: ({"province"}, bad.fields["province"] == "TR-99"),
        Flaw.NEGATIVE_INCOME: ({"monthly_income_try"}, bad.fields["monthly_income_try"] < "0"),
        Flaw.FRACTIONAL_INCOME: (
            {"monthly_income_try"},
            len(bad.fields["monthly_income_try"].partition(".")[2]) == 3,
        ),
        Flaw.DOUBTFUL_PHONE: ({"phone"}, len(bad.fields["phone"]) < 10),
        Flaw.SHARED_PHONE: ({"phone"}, len(bad.fields["phone"]) >= 10),
        Flaw.DOUBTFUL_IBAN: ({"iban", "account_holder"}, len(bad.fields["iban"]) == 26),
        Flaw.NO_MEMBERS: (set(), not bad.members and int(bad.fields["declared_size"]) > 0),
        Flaw.NO_NAMES: (set(), not any(m["given_name"] + m["family_name"] for m in bad.members)),
        Flaw.CHILD_HEAD: (set(), born[:1] == ["2016-01-01"]),
        Flaw.IMPOSSIBLE_BIRTH_DATE: (set(), born[0][5:] == "13-05" if born else False),
        Flaw.FEBRUARY_31: (set(), born[0][5:] == "02-31" if born else False),
        Flaw.FUTURE_BIRTH_DATE: (set(), born[-1:] == ["2028-03-01"]),
        Flaw.DOUBTFUL_ID: (
            set(),
            bool(born) and bad.members[0]["id_number"][:-1] == good.members[0]["id_number"][:-1],
        ),
    }
    assert (changed, True) == expected[flaw]
    if not expected[flaw][0]:
        assert bad.members != good.members
