"""A free population follows its margins, repeats itself exactly, and what it planted is known."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path

import openpyxl
import phonenumbers
import pytest
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException
from stdnum.tr import tckimlik

from adapters.kobo.export import Submission
from ledgers.problems import Refusal
from simulations.population import (
    DEMO,
    ExportFormat,
    Flaw,
    Truth,
    checked,
    generate,
    margins,
    read_shape,
    write_population,
)
from simulations.population.making import BATCH, Made, Making
from simulations.population.people import Batch, member_answers

ON = date(2026, 3, 1)
COUNT = 6_000
SMALL = {
    "name": "small", "province": "TR-01", "nationality": "SY", "households": 30, "people": 140,
    "market": "priority", "twice": 2, "faults": {"voucher_rejected": 3},
}  # fmt: skip


@pytest.fixture(scope="module")
def made() -> list[Made]:
    return list(Making.begun(COUNT, 11, ON).made())


@pytest.fixture(scope="module")
def truth(made: list[Made]) -> Truth:
    told = Truth(11, ON)
    for one in made:
        told.add(one, "free")
    return told


@pytest.fixture(scope="module")
def sound(made: list[Made]) -> list[Submission]:
    """First registrations that nothing was planted in."""
    return [one.submission for one in made if one.flaw is None and one.first_record is None]


def age(born: str, on: date = ON) -> int:
    day = date.fromisoformat(born)
    return on.year - day.year - ((on.month, on.day) < (day.month, day.day))


def test_ages_and_sexes_are_near_the_margins(sound: list[Submission]) -> None:
    people = [(age(m["birth_date"]), m["sex"]) for s in sound for m in s.members]
    for (first, last), shares in zip(margins.age_bounds(), margins.age_sex_shares(), strict=True):
        for sex, share in zip(("male", "female"), shares, strict=True):
            met = sum(first <= years <= last and sex == of for years, of in people) / len(people)
            assert met == pytest.approx(share, abs=0.008), (first, sex)


def test_sizes_and_provinces_are_near_the_margins(sound: list[Submission]) -> None:
    sizes = Counter(len(s.members) for s in sound)
    for size, share in enumerate(margins.size_shares(), 1):
        assert sizes[size] / len(sound) == pytest.approx(share, abs=0.015)
    provinces = Counter(s.fields["province"] for s in sound)
    for code, share in zip(margins.provinces(), margins.province_shares(), strict=True):
        assert provinces[code] / len(sound) == pytest.approx(share, abs=0.015)


def test_answers_are_those_of_the_form(sound: list[Submission]) -> None:
    for submission in sound:
        fields = submission.fields
        assert int(fields["declared_size"]) == len(submission.members)
        assert fields["province"] in margins.provinces()
        assert fields["district"] in margins.districts()[fields["province"]]
        assert fields["monthly_income_try"][-3] == "."
        assert fields["population_group"] in {
            "syrian_tp", "international_protection", "host", "migrant",
        }  # fmt: skip
        assert [m["relationship"] for m in submission.members].count("head") == 1
        assert all(m["given_name"] and m["family_name"] for m in submission.members)
        assert fields["consent_on"] == submission.submitted_at.date().isoformat()


def test_ages_are_exact_and_half_known_births_stand_on_new_year(sound: list[Submission]) -> None:
    members = [m for s in sound for m in s.members]
    halves = [m for m in members if m["birth_date_precision"] == "year"]
    assert {m["birth_date"][5:] for m in halves} == {"01-01"}
    assert len(halves) / len(members) == pytest.approx(0.17, abs=0.01)
    assert min(age(s.members[0]["birth_date"]) for s in sound) >= 19
    assert max(m["birth_date"] for m in members) <= ON.isoformat()


def test_names_come_in_three_scripts(sound: list[Submission]) -> None:
    names = "".join(m["given_name"] for s in sound for m in s.members)
    languages = {s.fields["consent_language"] for s in sound}
    assert any("\u0621" <= letter <= "\u064a" for letter in names)
    assert "ş" in names
    assert "w" in names
    assert languages == {"ar", "tr", "en"}


def test_members_of_a_household_have_different_given_names(sound: list[Submission]) -> None:
    alike = [s for s in sound if len({m["given_name"] for m in s.members}) < len(s.members)]
    assert len(alike) <= len(sound) // 1_000


def test_numbers_are_valid_and_each_given_once(sound: list[Submission]) -> None:
    strong = [m for s in sound for m in s.members if m["id_type"].startswith("tr_")]
    assert all(tckimlik.is_valid(m["id_number"]) for m in strong)
    foreign = [m["id_number"] for m in strong if m["id_type"] == "tr_foreigner_id"]
    assert all(number.startswith("99") for number in foreign)
    ids = [m["id_number"] for s in sound for m in s.members if m["id_number"]]
    assert len(set(ids)) == len(ids)
    assert all(s.members[0]["id_type"].startswith("tr_") for s in sound)
    for field in ("voucher_card_ref", "debit_card_ref", "iban"):
        given = [s.fields[field] for s in sound if s.fields[field]]
        assert len(given) > 1_000
        assert len(set(given)) == len(given)
    assert all(IBAN(s.fields["iban"]) for s in sound if s.fields["iban"])
    assert all(
        phonenumbers.is_valid_number(phonenumbers.parse(s.fields["phone"], "TR")) for s in sound
    )


def test_planted_counts_are_the_stated_shares(truth: Truth) -> None:
    assert {kind: len(records) for kind, records in truth.flaws.items()} == {
        kind: round(COUNT * share) for kind, share in margins.mix("flaw").items()
    }
    assert set(truth.flaws) == {flaw.value for flaw in Flaw}
    assert len(truth.pairs) == round(COUNT * 0.02)
    assert truth.submissions == COUNT + len(truth.pairs)
    assert truth.total.households == COUNT


def test_planted_rows_are_found_again_by_their_values(made: list[Made], truth: Truth) -> None:
    """An independent look at the rows finds exactly the records that the truth names."""
    found: dict[str, list[int]] = {}
    for one in made:
        for kind in spoilt_in(one.submission):
            found.setdefault(kind, []).append(one.submission.record_id)
    expected = {k: v for k, v in truth.flaws.items() if k != "shared_phone"}
    assert found == expected


def spoilt_in(submission: Submission) -> list[str]:
    """What a reader would find wrong with a submission alone."""
    fields, members = submission.fields, submission.members
    births = [m["birth_date"] for m in members]
    checks = {
        "unknown_province": fields["province"] not in margins.provinces(),
        "no_members": not members,
        "no_names": bool(members) and not any(m["given_name"] for m in members),
        "negative_income": fields["monthly_income_try"].startswith("-"),
        "fractional_income": fields["monthly_income_try"][-3] != ".",
        "impossible_birth_date": any(born[5:7] == "13" for born in births),
        "february_31": any(born[5:] == "02-31" for born in births),
        "future_birth_date": any(born > ON.isoformat() for born in births),
        "child_head": bool(births) and "2008" <= births[0] < "2027",
        "doubtful_id": any(
            not tckimlik.is_valid(m["id_number"]) for m in members if m["id_type"].startswith("tr_")
        ),
        "doubtful_phone": not phonenumbers.is_valid_number(
            phonenumbers.parse(fields["phone"], "TR")
        ),
        "doubtful_iban": bool(fields["iban"]) and not valid_iban(fields["iban"]),
    }
    return [kind for kind, is_so in checks.items() if is_so]


def valid_iban(text: str) -> bool:
    try:
        return bool(IBAN(text))
    except SchwiftyException:
        return False


def test_shared_phones_are_another_households(made: list[Made], truth: Truth) -> None:
    firsts = [one.submission for one in made if one.first_record is None]
    holders: dict[str, list[int]] = {}
    for submission in firsts:
        digits = submission.fields["phone"].replace(" ", "")[-10:]
        holders.setdefault(digits, []).append(submission.record_id)
    sharing = set(truth.flaws["shared_phone"])
    short = set(truth.flaws["doubtful_phone"])
    for records in holders.values():
        others = set(records) - short
        assert len(others - sharing) <= 1
        assert not others & sharing or others - sharing


def test_second_registrations_keep_the_heads_id_and_change_a_name(
    made: list[Made], truth: Truth
) -> None:
    by_record = {one.submission.record_id: one.submission for one in made}
    lost = 0
    for first, second in ((by_record[a], by_record[b]) for a, b in truth.pairs):
        assert second.submitted_at > first.submitted_at
        assert second.uuid != first.uuid
        assert second.members[0]["id_number"] == first.members[0]["id_number"]
        assert second.members[0]["given_name"] != first.members[0]["given_name"]
        assert [m["birth_date"] for m in second.members] == [m["birth_date"] for m in first.members]
        lost += sum(bool(m["id_number"]) for m in first.members)
        lost -= sum(bool(m["id_number"]) for m in second.members)
    assert lost > 0


def test_submissions_are_numbered_and_dated_in_order(made: list[Made]) -> None:
    submissions = [one.submission for one in made]
    records = [s.record_id for s in submissions]
    times = [s.submitted_at for s in submissions]
    assert records == list(range(records[0], records[0] + len(records)))
    assert times == sorted(set(times))
    assert times[0] == datetime(2025, 12, 31, 6, tzinfo=UTC)
    assert times[-1] < datetime(2026, 3, 1, tzinfo=UTC)
    assert len({s.uuid for s in submissions}) == len(submissions)


def test_the_same_seed_gives_the_same_submissions(made: list[Made]) -> None:
    again = list(generate(COUNT, 11, ON))
    assert again == [one.submission for one in made]
    assert list(generate(60, 12, ON)) != list(generate(60, 13, ON))


def test_populations_of_different_seeds_share_no_record(made: list[Made]) -> None:
    """They can be registered beside each other; a spreadsheet holds 15 digits of a number."""
    records, instances = set(), set()
    seeds = (0, 10, 12, 2026, 999_999_999)
    for seed in seeds:
        for submission in generate(300, seed, ON):
            records.add(submission.record_id)
            instances.add(submission.uuid)
    assert len(records) == len(instances) == sum(len(list(generate(300, s, ON))) for s in seeds)
    assert not records & {one.submission.record_id for one in made}
    assert max(records) < 10**15


def test_a_population_of_one_is_made() -> None:
    (only,) = generate(1, 0, ON)
    assert len(only.members) == int(only.fields["declared_size"])


@pytest.mark.parametrize(
    "on", [date(2028, 2, 29), date(2026, 1, 31), date(2025, 12, 31), date(2027, 1, 1), ON]
)
def test_ages_are_those_of_the_rosters_on_any_reference_date(on: date) -> None:
    making = Making.begun(500, 4, on)
    batch = Batch.of(making.draft, making.rosters, (0, 0), 4)
    households = member_answers(batch, making.names, making.numbers, on)
    ages = [age(member["birth_date"], on) for members in households for member in members]
    assert ages == batch.of_people(making.rosters.age).tolist()


@pytest.mark.parametrize("count", [0, -5, 400_001])
def test_numbers_of_households_out_of_range_are_refused(count: int) -> None:
    with pytest.raises(Refusal, match="population_count_out_of_range"):
        generate(count, 1, ON)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(Refusal, match="population_seed_negative"):
        generate(10, -1, ON)


def test_too_many_households_for_xlsx_are_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="population_too_large_for_xlsx: 20001 households"):
        write_population(tmp_path / "out", 20_001, 1, ON, ExportFormat.XLSX)
    assert not (tmp_path / "out").exists()


def test_nothing_personal_shows(made: list[Made], truth: Truth) -> None:
    making = Making.begun(40, 11, ON)
    submission = next(s for s in (one.submission for one in making.made()) if s.fields["iban"])
    head = submission.members[0]
    personal = [head["given_name"], head["id_number"], submission.fields["phone"]]
    personal += [submission.fields["iban"], submission.fields["voucher_card_ref"]]
    shown = repr(making) + repr(made[0]) + repr(truth) + repr(submission) + truth.as_json()
    assert not [text for text in personal if text and text in shown]


def results_of(path: Path) -> list[dict[str, object]]:
    pages = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [result for page in pages for result in page["results"]]


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for folder in ("one", "other"):
        write_population(tmp_path / folder, checked({"strata": [SMALL]}), 5, ON)
        digests.append(
            [
                hashlib.sha256((tmp_path / folder / name).read_bytes()).hexdigest()
                for name in ("registrations.jsonl", "corrections.jsonl", "truth.json")
            ]
        )
    assert digests[0] == digests[1]


def test_written_json_lines_hold_the_population_and_its_truth(tmp_path: Path) -> None:
    shape = read_shape(DEMO)
    told = write_population(tmp_path / "one", shape, 5, ON)
    registrations = results_of(tmp_path / "one" / "registrations.jsonl")
    corrections = results_of(tmp_path / "one" / "corrections.jsonl")
    assert [r["_id"] for r in registrations] == [s.record_id for s in generate(shape, 5, ON)]
    assert sum(len(r.get("members", ())) for r in registrations) == told.members
    assert [r["_id"] for r in corrections] == told.corrections
    assert set(told.corrections) == {
        record
        for fault in ("voucher_rejected", "debit_rejected", "bank_rejected", "bank_returned")
        for record in told.faults[fault]
    }
    content = json.loads((tmp_path / "one" / "truth.json").read_text(encoding="utf-8"))
    assert content == json.loads(json.dumps({**asdict(told), "reference_date": "2026-03-01"}))
    assert {name: count["households"] for name, count in content["strata"].items()} == {
        stratum.name: stratum.households for stratum in shape.strata
    }


def test_written_xlsx_holds_the_population(tmp_path: Path) -> None:
    told = write_population(tmp_path, checked({"strata": [SMALL]}), 5, ON, ExportFormat.XLSX)
    counts = {}
    for name in ("registrations", "corrections"):
        book = openpyxl.load_workbook(tmp_path / f"{name}.xlsx", read_only=True)
        counts[name] = [sum(1 for _ in sheet.iter_rows(min_row=2)) for sheet in book.worksheets]
        book.close()
    assert counts["registrations"] == [32, told.members]
    assert counts["corrections"][0] == 3


def test_memory_and_order_go_by_batches(made: list[Made]) -> None:
    """Second registrations follow at the end of their batch, so the stream never looks back."""
    places = {one.submission.record_id: place for place, one in enumerate(made)}
    distances = [
        places[m.submission.record_id] - places[m.first_record] for m in made if m.first_record
    ]
    assert 0 < min(distances) <= max(distances) < BATCH + 200
