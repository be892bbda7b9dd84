"""Amounts: what each component gives, by both back ends and by a plain reading of the blocks."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from fractions import Fraction
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from eligibility.assessment import assess
from eligibility.rules import terms
from eligibility.rules.checked import rules_of
from eligibility.rules.explain import explain
from eligibility.rules.pack import RulePack
from eligibility.rules.phrases import Language
from eligibility.rules.telling import tell
from eligibility.rules.terms import Const, Kind
from ledgers.problems import Refusal
from tests.eligibility.engines import Asked, in_duckdb, in_postgres, in_rows
from tests.eligibility.packs import findings_of, pack_of, placed
from tests.eligibility.snapshots import HOUSEHOLDS, MEMBERS

ON = date(2026, 3, 1)
HEAD = """\
code: amounts
currency: TRY
inputs:
  household: {awarded_transport: money, awarded_medical: money, cold: bool}
  member: {enrolled: bool, planned_units: int, attended_units: int}
parameters:
  each: {type: money, source: Circular 1, values: {2020-01-01: 120.00, 2026-01-01: 155.55}}
  share: {type: ratio, source: Circular 2, values: {2020-01-01: 0.8}}
  unit: {type: money, source: Circular 3, values: {2020-01-01: 25.00}}
  turn:
    type: text
    source: Circular 4
    values: {2020-01-01: first, 2026-01-01: second, 2026-04-01: third}
score: "0"
selection: {order: highest_score_first, households: 1000}
entitlement: """
LABELS = {"tr": "Ek", "en": "Supplement", "ar": "علاوة"}
COLUMNS = {
    "awarded_transport": pa.int64(), "awarded_medical": pa.int64(), "cold": pa.bool_(),
}  # fmt: skip
PEOPLE = {"enrolled": pa.bool_(), "planned_units": pa.int64(), "attended_units": pa.int64()}
MINOR = {"p.each": 15555, "p.unit": 2500}
Row = Mapping[str, object]


def written(entitlement: object) -> str:
    """A pack with this entitlement; numbers that are keys stand as people write them."""
    return HEAD + re.sub(r'"([0-9]+)":', r"\1:", json.dumps(entitlement)) + "\n"


def pack(folder: Path, entitlement: object) -> RulePack:
    return pack_of(folder, written(entitlement))


def assessed(
    folder: Path, rules: RulePack, cases: Sequence[tuple[Row, Sequence[Row]]]
) -> list[Row]:
    """The decisions of the households, in their order."""
    households = [{"household_id": f"hh_{at:03}", **facts} for at, (facts, _) in enumerate(cases)]
    members = [
        {"household_id": f"hh_{at:03}", "member_no": number, **person}
        for at, (_, people) in enumerate(cases)
        for number, person in enumerate(people, start=1)
    ]
    files = folder / "h.parquet", folder / "m.parquet"
    for path, rows, schema, more in (
        (files[0], households, HOUSEHOLDS, COLUMNS), (files[1], members, MEMBERS, PEOPLE),
    ):  # fmt: skip
        whole = pa.schema([*schema, *more.items()])
        pq.write_table(pa.Table.from_pylist(rows, whole), path)
    out = folder / "out.parquet"
    assess(*files, rules, ON, out, seed="seed", spill=folder, memory_mb=128)
    return pq.read_table(out).to_pylist()


# --- a plain reading -------------------------------------------------------------------------


def minor(amount: str) -> int:
    """`1500.50` in kuruş."""
    return MINOR[amount] if amount in MINOR else int(Fraction(amount) * 100)


def age(born: date) -> int:
    return ON.year - born.year - ((ON.month, ON.day) < (born.month, born.day))


PAYABLE = {
    None: lambda _: True,
    "m.age < 18": lambda m: age(m["birth_date"]) < 18,
    'm.sex == "female" || m.disability_percent >= 40': (
        lambda m: m["sex"] == "female" or m["disability_percent"] >= 40
    ),
}


def attended(block: Row, people: Sequence[Row]) -> int:
    come = [m for m in people if m["enrolled"]]
    if "least_share" in block:
        come = [
            m for m in come
            if m["planned_units"] > 0 and 10 * m["attended_units"] >= 8 * m["planned_units"]
        ]  # fmt: skip
    if "per_member" in block:
        return minor(block["per_member"]) * len(come)
    units = sum(min(m["attended_units"], block["units_max"]) for m in come)
    return minor(block["per_unit"]) * units


def base(said: Row, people: Sequence[Row], counted: int) -> int:
    if "flat" in said:
        return minor(said["flat"])
    if "per_person" in said:
        return minor(said["per_person"]) * min(counted, said["people_max"])
    if "attendance" in said:
        return attended(said["attendance"], people)
    sizes = said["by_size"]
    return minor(sizes[min(counted, max(sizes))]) if counted else 0


def read_plainly(said: Row, household: Row, people: Sequence[Row]) -> tuple[dict[str, int], int]:
    """Each component and what is due, where everything is known."""
    counts = PAYABLE[said.get("payable")]
    counted = sum(counts(m) for m in people)
    parts: dict[str, int] = {}
    if "case_by_case" in said:
        for item, block in said["case_by_case"]["items"].items():
            parts[item] = min(household[f"awarded_{item}"], minor(block["at_most"]))
    else:
        parts["base"] = base(said, people, counted)
    for block in said.get("top_ups", ()):
        rows = [amount for start, amount in sorted(block["by_size"].items()) if start <= counted]
        parts[block["id"]] = minor(rows[-1]) if rows else 0
    for block in said.get("add_ons", ()):
        number = sum(PAYABLE[block["per"]](m) for m in people) if "per" in block else 1
        number = min(number, block.get("people_max", number))
        holds = household["cold"] if "when" in block else True
        parts[block["id"]] = minor(block["amount"]) * number if holds else 0
    due = Fraction(sum(parts.values()))
    if "round_to" in said:
        unit = minor(said["round_to"])
        due = (due + Fraction(unit, 2)) // unit * unit
    if due and "at_least" in said:
        due = max(due, minor(said["at_least"]))
    if due and "at_most" in said:
        due = min(due, minor(said["at_most"]))
    if "instalments" in said:
        due = shared(int(due), said["instalments"]["shares"], minor(said.get("round_to", "0.01")))
    return parts, int(due)


def shared(whole: int, shares: Mapping[str, int], unit: int, turn: str = "second") -> int:
    """What one instalment gets: cut to units, then one unit each to the largest remainders."""
    exact = {one: Fraction(whole // unit * share, sum(shares.values())) for one, share in
             shares.items()}  # fmt: skip
    cut = {one: int(part) for one, part in exact.items()}
    order = sorted(shares, key=lambda one: (cut[one] - exact[one], one))
    raised = order[: whole // unit - sum(cut.values())]
    largest = min(shares, key=lambda one: (-shares[one], one))
    return (cut[turn] + (turn in raised)) * unit + (whole % unit if turn == largest else 0)


# --- any entitlement, any household ----------------------------------------------------------

MONEY = st.sampled_from(["0.01", "12.34", "100.00", "155.55", "p.each", "2500.00"])
BASES = st.one_of(
    st.fixed_dictionaries({"flat": MONEY}),
    st.fixed_dictionaries({"per_person": MONEY, "people_max": st.integers(1, 4)}),
    st.integers(1, 3).flatmap(
        lambda size: st.fixed_dictionaries(
            {"by_size": st.fixed_dictionaries(dict.fromkeys(range(1, size + 1), MONEY))}
        )
    ),
    st.fixed_dictionaries(
        {"attendance": st.one_of(
            st.fixed_dictionaries(
                {"unit": st.just("day"), "per_unit": MONEY, "units_max": st.sampled_from([3, 22])},
                optional={"least_share": st.just("p.share")},
            ),
            st.fixed_dictionaries(
                {"unit": st.just("day"), "per_member": MONEY, "least_share": st.just("p.share")}
            ),
        )}
    ),
    st.just({"case_by_case": {"items": {
        "transport": {"label": LABELS, "at_most": "300.00"},
        "medical": {"label": LABELS, "at_most": "p.each"},
    }}}),
)  # fmt: skip
TURNS = ("first", "second", "third")
REST = st.fixed_dictionaries(
    {},
    optional={
        "payable": st.sampled_from([key for key in PAYABLE if key]),
        "top_ups": st.just([
            {"id": "season", "label": LABELS, "by_size": {1: "600.00", 3: "300.00", 5: "p.each"}},
        ]),
        "add_ons": st.just([
            {"id": "child", "label": LABELS, "amount": "33.33", "per": "m.age < 18",
             "people_max": 2},
            {"id": "winter", "label": LABELS, "amount": "p.each", "when": "cold"},
        ]),
        "at_least": st.just("100.00"),
        "at_most": st.just("2750.00"),
        "round_to": st.sampled_from(["p.unit", "50.00", "0.05"]),
        "instalments": st.fixed_dictionaries({
            "shares": st.fixed_dictionaries(dict.fromkeys(TURNS, st.integers(1, 7))),
            "due": st.just("p.turn"),
        }),
    },
)  # fmt: skip


def fitting(said: tuple[Row, Row]) -> Row:
    whole = {**said[1], **said[0]}
    if "top_ups" not in whole and {"flat", "case_by_case"} & whole.keys():
        whole.pop("payable", None)
    if {"attendance", "case_by_case"} & whole.keys():
        whole.pop("instalments", None)
    return whole


def facts(*, known: bool) -> st.SearchStrategy[tuple[Row, list[Row]]]:
    def maybe(values: Sequence[object]) -> st.SearchStrategy[object]:
        return st.sampled_from(values if known else [*values, None])

    household = st.fixed_dictionaries({
        "has_roster": st.just(value=True) if known else st.sampled_from([True, True, False]),
        "declared_size": st.sampled_from([None, 1, 7]),
        "cold": maybe([True, False]),
        "awarded_transport": maybe([0, 12_345, 30_000, 40_000]),
        "awarded_medical": maybe([0, 15_556]),
    })  # fmt: skip
    person = st.fixed_dictionaries({
        "birth_date": maybe([date(2008, 3, 1), date(2008, 3, 2), date(1980, 1, 2)]),
        "birth_date_precision": st.just("exact"),
        "sex": maybe(["female", "male"]),
        "disability_percent": maybe([0, 39, 40]),
        "enrolled": maybe([True, False]),
        "planned_units": maybe([0, 10, 20]),
        "attended_units": maybe([0, 7, 8, 16, 25]),
    })  # fmt: skip
    return st.tuples(household, st.lists(person, min_size=1, max_size=6))


@settings(
    max_examples=12, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    st.tuples(BASES, REST).map(fitting),
    st.lists(facts(known=True), min_size=1, max_size=12),
    st.lists(facts(known=False), max_size=12),
)
def test_both_back_ends_give_each_component_as_the_blocks_read(
    tmp_path: Path, said: Row, known: list, unknown: list
) -> None:
    try:
        rules = pack(tmp_path, said)
    except Refusal as refused:
        # An amount that its rounding makes nothing is no entitlement; see the tariffs.
        assume(any(item.problem.code != "entitlement_nothing" for item in refused.findings))
        raise
    rows = assessed(tmp_path, rules, known + unknown)
    for (household, people), row in zip(known + unknown, rows, strict=True):
        why = explain(household, people, rules, ON)
        told = {part.name: part.low if part.known else None for part in why.components}
        stored = {name: row[f"component_{name}"] for name in told}
        assert (stored, row["amount_minor"], row["status"]) == (
            told, why.amount_minor, why.status,
        )  # fmt: skip
    for (household, people), row in zip(known, rows, strict=False):
        parts, due = read_plainly(said, household, people)
        assert {name: row[f"component_{name}"] for name in parts} == parts
        assert (row["amount_minor"], row["selected"]) == (due, due > 0)
        assert row["reason"] == ("selected" if due else "nothing_due")


ADULT = {
    "birth_date": date(1980, 1, 2), "birth_date_precision": "exact", "sex": "male",
    "disability_percent": 0,
}  # fmt: skip
CHILD = {**ADULT, "birth_date": date(2016, 1, 2)}


def due(folder: Path, entitlement: object, people: Sequence[Row], **household: object) -> tuple:
    (row,) = assessed(
        folder, pack(folder, entitlement), [({"has_roster": True, **household}, people)]
    )
    return row["status"], row["reason"], row["amount_minor"]


def test_what_is_not_known_makes_people_look_only_where_it_matters(tmp_path: Path) -> None:
    capped = {"per_person": "100.00", "people_max": 2, "payable": "m.age < 18"}
    nobody = {**ADULT, "birth_date": None}
    assert due(tmp_path, capped, [CHILD, nobody]) == ("review", "review:amount", None)
    assert due(tmp_path, capped, [CHILD, CHILD, nobody]) == ("eligible", "selected", 20_000)
    last = {"by_size": {1: "1.00", 2: "2.00"}, "payable": "m.age >= 18"}
    assert due(tmp_path, last, [ADULT, nobody, ADULT]) == ("eligible", "selected", 200)


def test_a_member_whose_days_nobody_reported_is_not_paid_and_not_forgotten(tmp_path: Path) -> None:
    days = {"attendance": {"unit": "day", "per_unit": "10.00", "units_max": 22}}
    come = {**ADULT, "enrolled": True, "planned_units": 20, "attended_units": 5}
    absent = {**come, "attended_units": 0}
    awaited = {**come, "attended_units": None}
    other = {**ADULT, "enrolled": False}
    assert due(tmp_path, days, [come, absent, other]) == ("eligible", "selected", 5_000)
    assert due(tmp_path, days, [absent, other]) == ("eligible", "nothing_due", 0)
    assert due(tmp_path, days, [come, awaited]) == ("review", "review:amount", None)


def test_parameters_give_an_amount_its_date(tmp_path: Path) -> None:
    rules = pack(tmp_path, {"per_person": "p.each", "people_max": 6})
    household = {"has_roster": True}
    amounts = [
        explain(household, [ADULT, CHILD], rules, day).amount_minor
        for day in (date(2025, 12, 31), date(2026, 1, 1))
    ]
    assert amounts == [24_000, 31_110]


IN_PARTS = {
    "by_size": {1: "1000.00", 2: "1750.00"}, "round_to": "50.00",
    "instalments": {"shares": {"first": 2, "second": 2, "third": 1}, "due": "p.turn"},
}  # fmt: skip


def test_each_cycle_pays_its_instalment_and_together_they_pay_the_whole(tmp_path: Path) -> None:
    rules = pack(tmp_path, IN_PARTS)
    days = (date(2025, 12, 31), date(2026, 1, 1), date(2026, 4, 1))
    for people, whole, parts in (
        ([ADULT], 100_000, [40_000, 40_000, 20_000]),
        ([ADULT, CHILD], 175_000, [70_000, 70_000, 35_000]),
    ):
        told = [explain({"has_roster": True}, people, rules, day) for day in days]
        assert [why.amount_minor for why in told] == parts
        assert sum(parts) == whole
        assert [(why.part.instalment, why.part.share, why.part.of, why.part.whole.low)
                for why in told] == [("first", 2, 5, whole), ("second", 2, 5, whole),
                                     ("third", 1, 5, whole)]  # fmt: skip
    ((_, _, minor_due),) = [due(tmp_path, IN_PARTS, [ADULT])]
    assert minor_due == 40_000


def test_an_instalment_is_told_with_the_whole_that_it_is_of(tmp_path: Path) -> None:
    rules = pack(tmp_path, IN_PARTS)
    why = explain({"has_roster": True}, [ADULT], rules, ON)
    said = {language: [line.text for line in tell(why, rules_of(rules), language)]
            for language in Language}  # fmt: skip
    assert "Instalment second: 2/5 of 1,000.00 TRY in all" in said[Language.EN]
    assert "Taksit second: toplam 1.000,00 TRY tutarının 2/5 payı" in said[Language.TR]
    assert "الدفعة second: 2/5 من المبلغ الكلي 1,000.00 TRY" in said[Language.AR]
    words = HEAD.replace(
        "score:", "words: {second: {tr: ikinci taksit, en: in March, ar: الثانية}}\nscore:"
    )
    named = pack_of(tmp_path, words + written(IN_PARTS).removeprefix(HEAD))
    told = tell(explain({"has_roster": True}, [ADULT], named, ON), rules_of(named), Language.EN)
    assert "Instalment in March: 2/5 of 1,000.00 TRY in all" in [line.text for line in told]


def test_what_rounding_and_bounds_changed_is_told(tmp_path: Path) -> None:
    block = {"per_person": "155.55", "people_max": 9, "round_to": "p.unit", "at_most": "300.00"}
    rules = pack(tmp_path, block)
    changed = {"rounded to a multiple of 25.00 TRY", "at most 300.00 TRY"}
    for count, amount, said in ((1, 15_000, changed), (4, 30_000, changed)):
        why = explain({"has_roster": True}, [ADULT] * count, rules, ON)
        told = {line.text for line in tell(why, rules_of(rules), Language.EN)}
        assert (why.amount_minor, told & changed) == (amount, said)
    as_it_was = pack(tmp_path, {**block, "per_person": "50.00"})
    why = explain({"has_roster": True}, [ADULT] * 2, as_it_was, ON)
    assert not {line.text for line in tell(why, rules_of(as_it_was), Language.EN)} & changed


def test_of_an_amount_that_is_not_known_no_instalment_is(tmp_path: Path) -> None:
    block = {**IN_PARTS, "payable": "m.age < 18"}
    nobody = {**ADULT, "birth_date": None}
    assert due(tmp_path, block, [CHILD, nobody]) == ("review", "review:amount", None)
    assert due(tmp_path, block, [CHILD, CHILD, nobody]) == ("eligible", "selected", 70_000)


AMOUNTS = [0, 1, 49, 100, 101, 12_345, 99_999, 2**31, 10**12 + 7, 2**53 - 1, 9 * 10**15 + 1, None]
LINES = {"a": 997, "b": 1_000, "c": 1_000, "d": 1}


@pytest.mark.parametrize("unit", [1, 50, 10_000])
def test_ties_go_to_the_smaller_line_and_parts_come_to_the_whole_on_every_engine(
    unit: int, app: psycopg.Connection
) -> None:
    whole = terms.Input(Kind.MONEY, "whole")
    parts = [
        terms.Instalment(
            Kind.MONEY, whole, tuple(LINES.items()), terms.Param(Kind.TEXT, line),
            Const(Kind.MONEY, unit),
        )
        for line in LINES
    ]  # fmt: skip
    cases = [({"whole": amount, "has_roster": True}, []) for amount in AMOUNTS]
    asked = Asked(
        parts, cases, {"whole": Kind.MONEY, "has_roster": Kind.BOOL}, {},
        {line: line for line in LINES}, ON,
    )  # fmt: skip
    rows = in_rows(asked)
    for amount, answers in zip(AMOUNTS, rows, strict=True):
        if amount is None:
            assert answers == [(None, None)] * len(LINES)
            continue
        expected = [shared(amount, LINES, unit, line) for line in LINES]
        assert answers == [(part, part) for part in expected]
        assert sum(expected) == amount
    assert in_duckdb(asked) == rows
    assert in_postgres(asked, app) == rows


def test_a_part_that_the_books_cannot_weigh_stops_the_run() -> None:
    part = terms.Instalment(
        Kind.MONEY, terms.Input(Kind.MONEY, "whole"), (("a", 1), ("b", 1_000)),
        terms.Param(Kind.TEXT, "due"), Const(Kind.MONEY, 1),
    )  # fmt: skip
    kinds = {"whole": Kind.MONEY, "has_roster": Kind.BOOL}
    asked = Asked([part], [({"whole": 10**16, "has_roster": True}, [])], kinds, {},
                  {"due": "a"}, ON)  # fmt: skip
    with pytest.raises(Refusal, match="rule_overflow"):
        in_rows(asked)
    with pytest.raises(duckdb.OutOfRangeException):
        in_duckdb(asked)


def test_an_amount_that_the_books_cannot_hold_stops_the_run(tmp_path: Path) -> None:
    rules = pack(tmp_path, {"per_person": "999999999999999.00", "people_max": 100})
    crowd = [({"has_roster": False, "declared_size": 100}, [])]
    with pytest.raises(Refusal, match="rule_overflow"):
        assessed(tmp_path, rules, crowd)
    with pytest.raises(Refusal, match="rule_overflow"):
        explain(*crowd[0], rules, ON)


# --- what is wrong with the blocks -----------------------------------------------------------


def codes(folder: Path, entitlement: object) -> list[tuple[str, str]]:
    """Code and field of everything that is wrong."""
    found = placed(findings_of(folder, written(entitlement)))
    return [(code, field.split(",")[0]) for code, _, field in found]


def test_all_problems_of_an_entitlement_are_shown_in_their_places(tmp_path: Path) -> None:
    block = {
        "by_size": {1: "p.nothing", 2: "1.005"},
        "payable": "m.aged < 18",
        "top_ups": [{"id": "base", "label": LABELS, "by_size": {1: "p.share"}, "when": "cold > 1"}],
        "add_ons": [{"id": "x", "label": LABELS, "amount": "1.00", "per": "m.age <"}],
        "at_least": "20.00", "at_most": "10.00",
    }  # fmt: skip
    assert sorted(codes(tmp_path, block)) == [
        ("amount_too_precise", "entitlement.by_size.2"),
        ("pack_component_twice", "entitlement.top_ups.0.id"),
        ("rule_name_unknown", "entitlement.by_size.1"),
        ("rule_name_unknown", "entitlement.payable"),
        ("rule_type", "entitlement.top_ups.0.by_size.1"),
        ("rule_type", "entitlement.top_ups.0.when"),
        ("rule_unexpected", "entitlement.add_ons.0.per"),
    ]
    bounds = {"flat": "5.00", "at_least": "20.00", "at_most": "10.00"}
    assert codes(tmp_path, bounds) == [("pack_bounds_cross", "entitlement.at_least")]


def test_an_instalment_that_has_no_share_or_no_name_is_found(tmp_path: Path) -> None:
    block = {**IN_PARTS, "instalments": {"shares": {"first": 2, "last": 1}, "due": "p.turn"}}
    assert codes(tmp_path, block) == [
        ("pack_instalment_unknown", "parameters.turn.values.2026-01-01"),
        ("pack_instalment_unknown", "parameters.turn.values.2026-04-01"),
    ]
    for name, code in (("p.each", "rule_type"), ("p.nothing", "rule_name_unknown")):
        block = {**IN_PARTS, "instalments": {"shares": {"first": 2, "last": 1}, "due": name}}
        assert codes(tmp_path, block) == [(code, "entitlement.instalments.due")]


def test_nothing_is_rounded_to_a_unit_of_zero_on_any_day(tmp_path: Path) -> None:
    for unit in ("0.00", "0"):
        assert codes(tmp_path, {"flat": "5.00", "round_to": unit}) == [
            ("pack_rounded_to_nothing", "entitlement.round_to")
        ]
    text = written({"flat": "5.00", "round_to": "p.unit"})
    later = text.replace("{2020-01-01: 25.00}", "{2020-01-01: 25.00, 2027-01-01: 0.00}")
    found = placed(findings_of(tmp_path, later))
    assert [(code, field.split(",")[0]) for code, _, field in found] == [
        ("pack_rounded_to_nothing", "parameters.unit.values.2027-01-01")
    ]


def test_a_block_reads_only_inputs_that_the_pack_declares(tmp_path: Path) -> None:
    item = {"case_by_case": {"items": {"lodging": {"label": LABELS, "at_most": "9.00"}}}}
    assert codes(tmp_path, item) == [
        ("pack_input_missing", "entitlement.case_by_case.items.lodging")
    ]
    text = HEAD.replace(", attended_units: int", "")
    block = {"attendance": {"unit": "day", "per_unit": "1.00", "units_max": 3}}
    found = placed(findings_of(tmp_path, text + json.dumps(block) + "\n"))
    assert [(code, field.split(",")[0]) for code, _, field in found] == [
        ("pack_input_missing", "entitlement.attendance")
    ]


# --- tables in scores ------------------------------------------------------------------------


def test_a_logarithm_is_a_table_that_every_engine_reads_alike(tmp_path: Path) -> None:
    head = HEAD.replace('score: "0"', "score: 5000 - 300 * log_size + points").replace(
        "score:",
        """tables:
  log_size: {of: members.size(), type: ratio, source: ln, rows: {1: 0, 2: 0.693, 3: 1.099}}
  points: {of: age_band, type: int, source: Scorecard, rows: {0: 7, 18: 3, 60: 9}}
facts: {age_band: "members.map(m, m.age).max()"}
score:""",
    )  # fmt: skip
    rules = pack_of(tmp_path, head + '{flat: "1.00"}\n')
    cases = [
        ({"has_roster": True}, [ADULT]),
        ({"has_roster": True}, [ADULT, CHILD]),
        ({"has_roster": True}, [CHILD] * 5),
        ({"has_roster": True}, [CHILD, {**CHILD, "birth_date": None}]),
        ({"has_roster": False, "declared_size": 3}, [CHILD]),
    ]
    rows = assessed(tmp_path, rules, cases)
    assert [row["score"] for row in rows] == [5003, 5003 - 300 * 693, 5007 - 300 * 1099, None, None]
    for (household, people), row in zip(cases, rows, strict=True):
        why = explain(household, people, rules, ON)
        assert (why.score.low if why.score.known else None) == row["score"]
        assert {f"fact_{fact.name}": fact.low if fact.known else None for fact in why.facts} == {
            name: value for name, value in row.items() if name.startswith("fact_")
        }


def test_before_its_first_row_a_table_knows_nothing(tmp_path: Path) -> None:
    head = HEAD.replace(
        'score: "0"',
        "tables: {t: {of: members.size(), type: int, source: S, rows: {2: 5, 3: 1, 4: 8}}}\n"
        "score: t",
    )
    rules = pack_of(tmp_path, head + '{flat: "1.00"}\n')
    cases = [({"has_roster": True}, [ADULT] * count) for count in (1, 2, 3, 4, 9)]
    assert [row["score"] for row in assessed(tmp_path, rules, cases)] == [None, 5, 1, 8, 8]


def test_a_table_takes_no_name_and_no_circle(tmp_path: Path) -> None:
    row = "{of: x, type: int, source: S, rows: {1: 1}}"
    for block, code in (
        (f"tables: {{cold: {row}}}\nfacts: {{x: 1 + 1}}\n", "pack_name_taken"),
        (f"tables: {{t: {row}}}\nfacts: {{x: t + 1}}\n", "pack_fact_circle"),
        (f"tables: {{t: {row.replace('1: 1', '1: yes')}}}\nfacts: {{x: 1 + 1}}\n", "field_wrong"),
    ):
        text = HEAD.replace('score: "0"\n', block)
        found = findings_of(tmp_path, text + '{flat: "1.00"}\n')
        assert [item.problem.code for item in found] == [code]
