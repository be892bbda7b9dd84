"""A pack is read strictly, all problems at once and in place; its hash is of its meaning."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from eligibility.rules.checked import load_pack, parameters_on, rules_of
from eligibility.rules.document import plain_value, read_document
from ledgers.problems import Refusal
from tests.eligibility.packs import (
    HEAD,
    LABEL,
    PLAIN,
    TAIL,
    at,
    block,
    criterion,
    findings_of,
    pack_of,
    placed,
    text_of,
)


def test_a_pack_reads_with_exact_amounts_and_rates(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, text_of())
    assert rules_of(pack).tariff == (150000, 250000, 320050)
    assert parameters_on(pack, date(2026, 3, 1)) == {
        "working_age": 18,
        "line": 750000,
        "dependency": 1500,
    }


def test_a_parameter_has_the_value_in_force_on_the_day(tmp_path: Path) -> None:
    pack = pack_of(tmp_path, text_of())
    lines = [
        parameters_on(pack, day)["line"]
        for day in (date(2020, 1, 1), date(2025, 12, 31), date(2026, 1, 1))
    ]
    assert lines == [500000, 500000, 750000]
    with pytest.raises(Refusal, match=r"^parameter_not_in_force: .*working_age.*2020-01-01"):
        parameters_on(pack, date(2019, 12, 31))


def test_all_problems_of_a_pack_are_shown_at_once_in_place(tmp_path: Path) -> None:
    text = text_of(
        head=HEAD.replace("members.size() - dependants", "members.size() / 2"),
        criteria=block(
            f"""\
            gates:
              - id: account
                label: {LABEL}
                expr: |
                  has_iban
                    && has_car
              - {{id: account, label: {LABEL}, expr: rcsi > 'many'}}
            any_of:
              - {{id: size, label: {LABEL}, expr: "ratio(dependants, rcsi) >= p.dependency"}}
            """
        ),
        tail=TAIL.replace("3200.50", "3200.505").replace("score: rcsi", "score: has_iban"),
    )
    assert placed(findings_of(tmp_path, text)) == [
        ("rule_no_division", *at(text, "/ 2", "facts.able")),
        ("rule_name_unknown", *at(text, "has_car", "gates.0.expr")),
        ("pack_id_twice", *at(text, "account, label", "gates.1.id")),
        ("rule_type", *at(text, "'many'", "gates.1.expr")),
        ("pack_id_twice", *at(text, "size, label", "any_of.0.id")),
        ("rule_ratio_zero", *at(text, "ratio(", "any_of.0.expr")),
        ("rule_type", *at(text, "has_iban\nselection", "score")),
        ("amount_too_precise", *at(text, "3200.505", "entitlement.by_size.3")),
    ]


def test_fields_are_missing_unknown_or_wrong_in_place(tmp_path: Path) -> None:
    text = text_of(
        head=HEAD.replace("code:", "cod:").replace("has_iban: bool", "has_iban: yes"),
        criteria=PLAIN.replace("has_iban}", "has_iban, on_unknown: guess}"),
        tail=TAIL.replace("households: 2", "households: 2.0"),
    )
    assert sorted(placed(findings_of(tmp_path, text))) == [
        ("field_missing", 1, "code, column 1"),
        ("field_unknown", *at(text, "winter", "cod")),
        ("field_wrong", *at(text, "yes", "inputs.household.has_iban")),
        ("field_wrong", *at(text, "guess", "gates.0.on_unknown")),
        ("field_wrong", *at(text, "2.0", "selection.households")),
    ]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("ds: 2", "ds: 2, quota: {by: province, households: {TR-34: 1}}"), "either"),
        ((", households: 2", ""), "either"),
        (("by_size: {1: 1500.00", "flat: 5.00, by_size: {1: 1500.00"), "exactly one"),
        (("by_size: {1: 1500.00, ", "by_size: {"), "every size once"),
        (("{by_size: {1: 1500.00, 2: 2500.00, 3: 3200.50}}", "{per_person: 5.00}"), "people_max"),
        (("1500.00", "-1500.00"), "without a sign"),
        (("1500.00", "1.5e3"), "as 1500.00"),
        (("type: ratio, source: Circular 3, values: {2020-01-01: 1.5}",
          "type: ratio, source: Circular 3, values: {2020-01-01: 1.5005}"), "not of type ratio"),
        (("values: {2020-01-01: 18}", "values: {2020-01-01: 18.0}"), "not of type int"),
        (("values: {2020-01-01: 18}", "values: {2020-01-01: true}"), "not of type int"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(tmp_path: Path, change: tuple[str, str], why: str) -> None:
    (found,) = findings_of(tmp_path, text_of().replace(*change))
    assert found.problem.code == "field_wrong"
    assert why in found.sentence


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a: 1\nb: 2\na: 3\n", "yaml_key_twice", 3),
        ("a: &x 1\nb: *x\n", "yaml_not_plain", 2),
        ("a: !!python/object:os.system ls\n", "yaml_not_plain", 1),
        ("a:\n  - 1\n - 2\n", "yaml_unreadable", 3),
        ("a: 'open\n", "yaml_unreadable", 2),
        ("a: \x00\n", "yaml_unreadable", None),
        ("[" * 3_000, "yaml_unreadable", None),
        ("a: 1\n" * 200_001, "yaml_unreadable", None),
    ],
)
def test_yaml_that_is_not_plain_is_refused_in_place(text: str, code: str, line: int | None) -> None:
    found = read_document(text, "pack.yaml")[1][0]
    assert (found.problem.code, found.place.row) == (code, line)


def test_words_mean_what_a_reader_thinks() -> None:
    words = ["no", "on", "010", "1:30", "1e3", "12", "-3", "12.50", "2026-01-31", "2026-02-31"]
    assert [plain_value(word) for word in words] == [
        "no", "on", "010", "1:30", "1e3", 12, -3, Decimal("12.50"), date(2026, 1, 31), "2026-02-31",
    ]  # fmt: skip
    assert [plain_value(word) for word in ("true", "false", "null", "")] == [
        True,
        False,
        None,
        None,
    ]


def test_facts_may_stand_in_any_order_but_not_in_a_circle(tmp_path: Path) -> None:
    turned = HEAD.replace("  able: members.size() - dependants\n", "").replace(
        "facts:\n", "facts:\n  able: members.size() - dependants\n"
    )
    assert pack_of(tmp_path, text_of(head=turned)) == pack_of(tmp_path, text_of())
    circle = HEAD + "  one: two + 1\n  two: one + 1\n"
    (found,) = findings_of(tmp_path, text_of(head=circle))
    assert found.problem.code == "pack_fact_circle"
    assert found.facts["circle"].split(" → ").count("one") in (1, 2)


@pytest.mark.parametrize("name", ["members", "rcsi", "province", "reference_date"])
def test_a_fact_takes_no_name_that_means_something(tmp_path: Path, name: str) -> None:
    found = findings_of(tmp_path, text_of(head=HEAD + f"  {name}: 1 + 1\n"))
    assert [item.problem.code for item in found] == ["pack_name_taken"]


def test_an_input_may_repeat_a_standard_column_only_with_its_type(tmp_path: Path) -> None:
    head = HEAD.replace("rcsi: int", "rcsi: int, has_roster: bool")
    assert pack_of(tmp_path, text_of(head=head)).inputs.household["has_roster"] == "bool"
    wrong = findings_of(
        tmp_path, text_of(head=HEAD.replace("rcsi: int", "rcsi: int, province: int"))
    )
    assert [item.problem.code for item in wrong] == ["pack_name_taken"]


def test_an_unknown_currency_and_an_amount_of_nothing_are_refused(tmp_path: Path) -> None:
    wrong = findings_of(tmp_path, text_of().replace("currency: TRY", "currency: TRL"))
    assert placed(wrong) == [("currency_unknown", 2, "currency, column 11")]
    wrong = findings_of(tmp_path, text_of().replace("3: 3200.50", "3: 0.00"))
    assert placed(wrong) == [("entitlement_nothing", 16, "entitlement, column 14")]


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"^pack_unreadable"):
        load_pack(tmp_path / "nothing.yaml")
    (tmp_path / "latin.yaml").write_bytes("code: Şırnak".encode("iso8859-9"))
    with pytest.raises(Refusal, match=r"^pack_unreadable"):
        load_pack(tmp_path / "latin.yaml")


def test_the_hash_is_of_the_meaning_and_of_nothing_else(tmp_path: Path) -> None:
    first = pack_of(tmp_path, text_of())
    same = [
        "# a comment\n" + text_of(),
        text_of().replace("1500.00", "1500"),
        text_of().replace("1500.00", '"1500.00"'),
        text_of().replace("expr: has_iban", "expr: '( has_iban )'"),
        text_of().replace("|| m.age >= 60", "||   m.age>=60"),
        text_of(criteria="") + PLAIN,
    ]
    assert {pack_of(tmp_path, text).pack_hash for text in same} == {first.pack_hash}
    other = [
        text_of().replace("1500.00", "1500.01"),
        text_of().replace("m.age >= 60", "m.age > 60"),
        text_of().replace("Circular 3", "Circular 4"),
        text_of().replace("households: 2", "households: 3"),
        text_of().replace("expr: has_iban", "expr: has_iban, on_unknown: fail"),
        text_of(criteria=PLAIN.replace("gates", "any_of")),
    ]
    assert len({first.pack_hash, *(pack_of(tmp_path, text).pack_hash for text in other)}) == 7


def test_more_criteria_than_bits_are_refused(tmp_path: Path) -> None:
    many = "".join(criterion(f"c{at}", "has_iban") for at in range(32))
    found = findings_of(tmp_path, text_of("gates:\n" + many))
    assert placed(found) == [("field_wrong", 13, "gates, column 3")]


@pytest.mark.parametrize("name", ["household_id", "age"])
def test_an_input_takes_no_name_that_the_program_gives(tmp_path: Path, name: str) -> None:
    head = HEAD.replace("rcsi: int", f"rcsi: int, {name}: int")
    assert [found.problem.code for found in findings_of(tmp_path, text_of(head=head))] == [
        "pack_name_taken"
    ]


def test_a_name_has_single_underscores(tmp_path: Path) -> None:
    text = text_of(head=HEAD + "  two__words: 1 + 1\n")
    assert [found.problem.code for found in findings_of(tmp_path, text)] == ["field_wrong"]


def test_words_for_something_that_is_not_there_are_shown_in_their_line(tmp_path: Path) -> None:
    text = text_of() + "words:\n  able: {tr: a, en: b, ar: c}\n  abel: {tr: a, en: b, ar: c}\n"
    (found,) = findings_of(tmp_path, text)
    assert (found.problem.code, found.place.row) == ("pack_words_unknown", text.count("\n"))
