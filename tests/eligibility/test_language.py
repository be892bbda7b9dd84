"""The language as text and as meaning: what is read, what is refused, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eligibility.rules.check import check
from eligibility.rules.document import Spot
from eligibility.rules.parser import (
    DEPTH_MAX,
    NODES_MAX,
    TEXT_CHARACTERS_MAX,
    WHOLE_NUMBER_MAX,
    canonical_text,
    parse,
)
from eligibility.rules.scope import NUMBERS, Scope
from eligibility.rules.syntax import UnreadableError
from eligibility.rules.terms import Kind, Zero

SCOPE = Scope(
    household={
        "rcsi": Kind.INT,
        "income": Kind.MONEY,
        "province": Kind.TEXT,
        "has_iban": Kind.BOOL,
        "arrived": Kind.DATE,
    },
    member={"sex": Kind.TEXT, "birth_date": Kind.DATE, "disability_percent": Kind.INT},
    parameters={
        "line": Kind.MONEY,
        "limit": Kind.RATIO,
        "least": Kind.INT,
        "provinces": Kind.TEXTS,
        "since": Kind.DATE,
        "grades": Kind.INTS,
    },
    facts={"children": Kind.INT},
    zero=Zero.PASS,
)


def trouble(text: str, scope: Scope = SCOPE) -> list[tuple[str, int, int]]:
    return [
        (found.problem.code, found.spot.line, found.spot.column) for found in check(text, scope)[1]
    ]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a||b&&c", "a || b && c"),
        ("(a || b) && c", "(a || b) && c"),
        ("!a && b", "!a && b"),
        ("!(a && b)", "!(a && b)"),
        ("a + b * 2 - c", "a + b * 2 - c"),
        ("a - (b - c)", "a - (b - c)"),
        ("(a + b) * 2", "(a + b) * 2"),
        ("a ? b : c ? d : e", "a ? b : c ? d : e"),
        ("(a ? b : c) ? d : e", "(a ? b : c) ? d : e"),
        ("members . filter( m , m.age<18 ) .size( )", "members.filter(m, m.age < 18).size()"),
        ("x in ['a',\"b\"]", 'x in ["a", "b"]'),
        (r"x == 'it\'s'", 'x == "it\'s"'),
        (r'x == "a\"b\\c"', r'x == "a\"b\\c"'),
        ("-1 + -a", "-1 + -a"),
    ],
)
def test_text_is_read_by_strength_and_written_in_one_way(text: str, canonical: str) -> None:
    assert canonical_text(text) == canonical
    assert canonical_text(canonical) == canonical


WORDS = st.recursive(
    st.sampled_from(["a", "p.b", "12", "true", '"x"', "[1, 2]"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||", "==", "<", "in", "+", "-", "*"]), inner).map(
            lambda three: f"({three[0]}) {three[1]} ({three[2]})"
        ),
        inner.map(lambda one: f"!({one})"),
        inner.map(lambda one: f"-({one})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]}) ? ({t[1]}) : ({t[2]})"),
        inner.map(lambda one: f"members.filter(m, {one}).size()"),
        inner.map(lambda one: f"({one}).size()"),
    ),
    max_leaves=8,
)


@given(WORDS)
def test_canonical_text_reads_as_the_same_tree(text: str) -> None:
    canonical = canonical_text(text)
    assert canonical_text(canonical) == canonical
    assert without_brackets(parse(canonical)) == without_brackets(parse(text))


def without_brackets(tree: object) -> object:
    """A tree without its spots, for comparing what was read."""
    if isinstance(tree, tuple):
        return tuple(map(without_brackets, tree))
    if not hasattr(tree, "__slots__"):
        return tree
    fields = [name for name in tree.__slots__ if name != "spot"]
    return (type(tree).__name__, *(without_brackets(getattr(tree, name)) for name in fields))


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_by_design(text: str) -> None:
    term, troubles = check(text, SCOPE)
    assert (term is None) == bool(troubles)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rcsi / 2 > 3", [("rule_no_division", 1, 6)]),
        ("rcsi % 2 == 0", [("rule_no_division", 1, 6)]),
        ("rcsi > 1.5", [("rule_no_decimal", 1, 8)]),
        ("province == 'TR-34", [("rule_text_open", 1, 13)]),
        ("rcsi > 3 # many", [("rule_character", 1, 10)]),
        ("rcsi >\n  && has_iban", [("rule_unexpected", 2, 3)]),
        ("rcsi > 3 has_iban", [("rule_unexpected", 1, 10)]),
        ("(rcsi > 3", [("rule_unexpected", 1, 10)]),
        ("", [("rule_unexpected", 1, 1)]),
        ("rcsi.", [("rule_unexpected", 1, 6)]),
        ("income_try > p.line", [("rule_name_unknown", 1, 1)]),
        ("rcsi > p.most", [("rule_name_unknown", 1, 8)]),
        ("members.exists(m, m.shoe_size > 40)", [("rule_name_unknown", 1, 19)]),
        ("m.age > 3", [("rule_name_unknown", 1, 1)]),
        ("rcsi == '19'", [("rule_type", 1, 6)]),
        ("income > 0", [("rule_type", 1, 8)]),
        ("arrived > '2026-01-01'", [("rule_type", 1, 11)]),
        ("province > 'TR-01'", [("rule_type", 1, 1), ("rule_type", 1, 12)]),
        ("rcsi && has_iban", [("rule_type", 1, 1)]),
        ("members > 3", [("rule_type", 1, 1)]),
        ("rcsi in p.least", [("rule_type", 1, 9)]),
        ("rcsi in p.provinces", [("rule_type", 1, 6)]),
        ("rcsi in [1, 'a', rcsi]", [("rule_type", 1, 13), ("rule_type", 1, 18)]),
        ("has_iban == (rcsi > 3)", [("rule_type", 1, 10)]),
        ("has_iban ? rcsi : province", [("rule_type", 1, 19)]),
        ("rcsi.size() > 3", [("rule_type", 1, 1)]),
        ("income * p.line > p.line", [("rule_type", 1, 8)]),
        ("rcsi in p.grades && province in p.grades", [("rule_type", 1, 30)]),
        ("members.map(m, m.birth_date).sum() > 3", [("rule_type", 1, 16)]),
        ("members.first() > 3", [("rule_call_unknown", 1, 9)]),
        ("members.exists(m) && has_iban", [("rule_call_unknown", 1, 9)]),
        ("members.map(m, m.age) > 3", [("rule_call_unknown", 1, 9)]),
        ("today() > arrived", [("rule_call_unknown", 1, 1)]),
        ("arrived > date('2026-02-31')", [("rule_date", 1, 16)]),
        ("arrived > date(province)", [("rule_date", 1, 16)]),
        ("members.exists(m, rcsi > 3)", [("rule_members_inside", 1, 19)]),
        ("members.exists(m, m.age > children)", [("rule_members_inside", 1, 27)]),
        (
            "members.exists(m, members.exists(n, n.age > 3))",
            [("rule_members_inside", 1, 19), ("rule_members_inside", 1, 27)],
        ),
        ("ratio(children, members.size())", [("rule_ratio_alone", 1, 1)]),
        ("ratio(children, members.size()) > 3", [("rule_ratio_alone", 1, 1)]),
        ("ratio(children, members.size()) == p.limit", [("rule_ratio_alone", 1, 1)]),
        ("rcsi > p.limit", [("rule_type", 1, 8)]),
    ],
)
def test_what_is_wrong_is_said_with_its_column(
    text: str, found: list[tuple[str, int, int]]
) -> None:
    assert trouble(text) == found


def test_all_problems_of_an_expression_are_said_at_once() -> None:
    assert trouble("rcsi == 'a' && nobody > 3\n|| members.exists(m, m.shoe > 1)") == [
        ("rule_type", 1, 6),
        ("rule_name_unknown", 1, 16),
        ("rule_name_unknown", 2, 22),
    ]


def test_ratio_without_a_stated_answer_for_zero_is_refused() -> None:
    scope = Scope(SCOPE.household, SCOPE.member, SCOPE.parameters, SCOPE.facts)
    assert trouble("ratio(children, rcsi) >= p.limit", scope) == [("rule_ratio_zero", 1, 1)]
    assert trouble("p.limit <= ratio(children, rcsi)") == []


@pytest.mark.parametrize(
    "text",
    [
        "rcsi >= 19 && has_iban == true && arrived >= date('2026-01-01')",
        "income <= p.line && income * 2 <= 2 * p.line",
        "province in p.provinces || province in ['TR-01', 'TR-34']",
        "members.filter(m, m.age < 18).filter(k, k.sex == 'female').size() >= 2",
        "members.all(m, m.disability_percent != 100)",
        "members.map(m, m.disability_percent).max() > members.map(x, x.age).sum() - 3",
        "rcsi * children > 3 && income * children > p.line && rcsi in p.grades",
        "members.map(m, m.birth_date).min() < p.since",
        "age_at(arrived, p.since) > 1 && reference_date > arrived",
        "ratio(children, members.size() - children) >= p.limit",
        "(has_iban ? 1 : 0) + (rcsi > 3 ? 2 : children) > 2",
    ],
)
def test_what_the_language_has_is_taken(text: str) -> None:
    term, troubles = check(text, SCOPE, frozenset({Kind.BOOL}))
    assert (troubles, term is not None) == ((), True)


def test_the_whole_must_be_of_the_kind_asked_for() -> None:
    assert check("rcsi", SCOPE, NUMBERS)[1] == ()
    (found,) = check("rcsi > 3", SCOPE, NUMBERS)[1]
    assert (found.problem.code, found.facts["expected"]) == ("rule_type", "int or money")


def refused_by(text: str) -> str:
    with pytest.raises(UnreadableError) as error:
        parse(text)
    return error.value.trouble.problem.code


def test_limits_hold_at_the_limit_and_not_one_more() -> None:
    padding = " " * (TEXT_CHARACTERS_MAX - 1)
    parse("a" + padding)
    assert refused_by("aa" + padding) == "rule_too_long"
    parse("(" * (DEPTH_MAX - 1) + "a" + ")" * (DEPTH_MAX - 1))
    assert refused_by("(" * DEPTH_MAX + "a" + ")" * DEPTH_MAX) == "rule_too_deep"
    parse("+".join("a" * DEPTH_MAX))
    assert refused_by("+".join("a" * (DEPTH_MAX + 1))) == "rule_too_deep"
    parse(f"a in [{','.join('1' * (NODES_MAX - 3))}]")
    assert refused_by(f"a in [{','.join('1' * NODES_MAX)}]") == "rule_too_large"
    parse(str(WHOLE_NUMBER_MAX))
    assert refused_by(str(WHOLE_NUMBER_MAX + 1)) == "rule_number_too_large"
    assert refused_by("9" * 1_500) == "rule_number_too_large"


def test_spots_count_lines_and_columns_from_one() -> None:
    (found,) = check("rcsi > 3\n  &&\n    nobody", SCOPE)[1]
    assert found.spot == Spot(3, 5)
