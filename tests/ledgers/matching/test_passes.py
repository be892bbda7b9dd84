"""Each rule at work, and all of them against a matcher in plain Python."""

import random
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledgers.matching.rules import DEFAULT_BOUNDS, Bounds, Name, Rule
from tests.ledgers.matching.conftest import Table
from tests.ledgers.matching.oracle import OURS, THEIRS, Line, reconcile

MONDAY = date(2026, 3, 2)
A, B, C = (OURS, "A"), (OURS, "B"), (OURS, "C")
X, Y, Z = (THEIRS, "X"), (THEIRS, "Y"), (THEIRS, "Z")


def ours(line_id: str, amount: int, **rest: object) -> Line:
    return Line(OURS, line_id, amount, **rest)


def theirs(line_id: str, amount: int, **rest: object) -> Line:
    return Line(THEIRS, line_id, amount, **rest)


def taking(amount: int, *ids: tuple[str, str]) -> frozenset:
    return frozenset((line_id, amount) for line_id in ids)


def result_of(table: Table, *lines: Line, bounds: Bounds = DEFAULT_BOUNDS) -> tuple:
    table.take(lines)
    table.run(bounds)
    found = table.result()
    assert found == reconcile(lines, bounds)
    return found.matches, found.suggestions, found.names


def test_reference_is_compared_without_case_separators_and_zeros(table: Table) -> None:
    table.take([ours("A", -500, ref="pi-0001/22"), theirs("X", -500, ref="EREF+PI 000122")])
    table.run()
    assert table.matches() == {("reference", taking(-500, A, X))}
    table.take([ours("B", -7, ref="00-41"), theirs("Y", -7, ref="NOTPROVIDED")])
    table.run()
    assert table.names() == {B: "missing", Y: "unknown"}


def test_second_line_of_a_reference_is_a_duplicate(table: Table) -> None:
    matches, _, names = result_of(
        table, ours("A", -500, ref="R1"), theirs("Y", -500, ref="R1"), theirs("X", -500, ref="R1")
    )
    assert matches == {("repeated_reference", taking(-500, A, X))}
    assert names == {Y: "duplicate"}


def test_other_amount_is_suggested_with_the_lesser_and_stays_one_difference(table: Table) -> None:
    matches, suggestions, names = result_of(
        table, ours("A", -500, ref="R1"), theirs("X", -475, ref="R1"),
        ours("B", -500, ref="R2"), theirs("Y", -540, ref="R2"),
    )  # fmt: skip
    assert matches == set()
    assert suggestions == {
        ("reference_other_amount", taking(-475, A, X)),
        ("reference_other_amount", taking(-500, B, Y)),
    }
    assert names == {X: "short", Y: "over"}


def test_token_and_date_match_what_nothing_else_fits(table: Table) -> None:
    friday, tuesday = MONDAY + timedelta(days=4), MONDAY + timedelta(days=8)
    matches, suggestions, _ = result_of(
        table, ours("A", -500, token="W1", ref="R1", on=friday),
        theirs("X", -500, token="W1", on=tuesday),
    )  # fmt: skip
    assert (matches, suggestions) == ({("token_and_date", taking(-500, A, X))}, set())


def test_ambiguous_candidates_are_suggested_and_never_confirmed(table: Table) -> None:
    matches, suggestions, names = result_of(
        table, ours("A", -500, token="W1"), ours("B", -500, token="W1"),
        theirs("X", -500, token="W1"),
    )  # fmt: skip
    assert matches == set()
    assert suggestions == {("token_and_date", taking(-500, A, X))}
    assert names == {A: "missing", B: "missing", X: "unknown"}


def test_line_outside_the_window_is_not_matched(table: Table) -> None:
    matches, suggestions, _ = result_of(
        table, ours("A", -500, token="W1"), theirs("X", -500, token="W1", on=date(2026, 3, 6))
    )
    assert (matches, suggestions) == (set(), set())


def test_batch_of_many_is_matched_by_its_sum(table: Table) -> None:
    matches, _, names = result_of(
        table, ours("A", -300, keys=("B7", "day")), ours("B", -200, keys=("B7", "day")),
        theirs("X", -500, keys=("B7",)),
    )  # fmt: skip
    assert matches == {("group", frozenset({(A, -300), (B, -200), (X, -500)}))}
    assert names == {}


def test_groups_that_share_a_line_are_suggested(table: Table) -> None:
    matches, suggestions, _ = result_of(
        table, ours("A", -300, keys=("B7", "B8")), theirs("X", -300, keys=("B7",)),
        theirs("Y", -300, keys=("B8",)),
    )  # fmt: skip
    assert matches == set()
    assert suggestions == {("group", taking(-300, A, X)), ("group", taking(-300, A, Y))}


def test_split_is_suggested_where_one_sum_fits_only(table: Table) -> None:
    parts = [ours("A", -300, token="W1"), ours("B", -200, token="W1"), ours("C", -70, token="W1")]
    _, suggestions, _ = result_of(table, *parts, theirs("X", -500, token="W1"))
    assert suggestions == {("split", frozenset({(A, -300), (B, -200), (X, -500)}))}
    table.conn.rollback()
    _, suggestions, _ = result_of(
        table, *parts, ours("D", -130, token="W1"), theirs("X", -500, token="W1")
    )
    assert suggestions == set()


def test_load_and_its_return_cancel_on_one_side(table: Table) -> None:
    matches, _, _ = result_of(
        table, theirs("X", -500, ref="R1"), theirs("Y", 500, ref="R1", on=date(2026, 4, 30))
    )
    assert matches == {("cancelling", frozenset({(X, -500), (Y, 500)}))}


def test_words_are_only_ever_suggested(table: Table) -> None:
    matches, suggestions, _ = result_of(
        table, ours("A", -500, words="nakdi destek mart 1471"),
        theirs("X", -500, words="NAKDI DESTEK 1471 HALK"), theirs("Y", -500, words="kira"),
    )  # fmt: skip
    assert (matches, suggestions) == (set(), {("words", taking(-500, A, X))})


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (theirs("X", -25, kind="fee"), "fee"),
        (theirs("X", 500, ref="R1", kind="return"), "returned"),
        (theirs("X", 500, ref="R1"), "returned"),
        (theirs("X", -40, ref="R1"), "over"),
        (theirs("X", -40, ref="R9"), "unknown"),
        (ours("B", -40, ref="R9"), "missing"),
        (ours("B", -500, ref="R1"), "duplicate"),
    ],
)
def test_what_is_left_has_a_name(table: Table, line: Line, name: str) -> None:
    pair = [ours("A", -500, ref="R1"), theirs("W", -500, ref="R1")]
    _, _, names = result_of(table, *pair, line)
    left = (line.side, line.line_id)
    if name == "duplicate":  # the later of the two, by its id
        left = B
    assert names == {left: name}


def test_late_is_named_on_the_match(table: Table) -> None:
    table.take([ours("A", -500, ref="R1"), theirs("X", -500, ref="R1", on=date(2026, 3, 9))])
    found = table.run()
    assert (found.matched, found.late, table.names()) == ({Rule.REFERENCE: 1}, 1, {})
    assert table.result().late == {("reference", taking(-500, A, X))}


def test_blocks_above_the_bound_are_left_alone(table: Table) -> None:
    lines = [
        ours("A", -500, token="W1"),
        ours("B", -500, token="W1"),
        theirs("X", -500, token="W1"),
    ]
    table.take(lines)
    table.run(replace(DEFAULT_BOUNDS, pairs_max=1))
    assert table.result().suggestions == set()


def test_run_takes_only_what_is_open_and_repeats_to_nothing(table: Table) -> None:
    table.take([ours("A", -500, ref="R1"), ours("B", -300, ref="R2")])
    first = table.run()
    assert (first.run_id, first.raised) == (None, {Name.MISSING: 2})
    table.take([theirs("X", -500, ref="R1"), theirs("Y", -280, ref="R2")])
    second = table.run()
    assert (second.matched, second.suggested) == ({Rule.REFERENCE: 1}, {Rule.OTHER_AMOUNT: 1})
    assert (second.raised, table.names()) == ({Name.SHORT: 1}, {Y: "short"})
    before = table.counts()
    third = table.run()
    assert (third.run_id, third.matched, third.suggested, third.raised) == (None, {}, {}, {})
    assert table.counts() == before


MIXED = [
    line
    for n in range(12)
    for line in (
        ours(f"a{n}", -100 - n, ref=f"R{n}"), theirs(f"x{n}", -100 - n % 3 * n, ref=f"R{n}"),
        ours(f"b{n}", -50, token=f"W{n % 5}", keys=(f"G{n % 4}",)),
        theirs(f"y{n}", -50 * (1 + n % 3), token=f"W{n % 5}", keys=(f"G{n % 4}",)),
        theirs(f"z{n}", 100 + n, ref=f"R{n}"),
        ours(f"c{n}", -60, ref="R77", on=MONDAY + timedelta(days=n)),
        theirs(f"w{n}", -60, ref="R77", on=MONDAY + timedelta(days=n // 2)),
    )
]  # fmt: skip


def test_shuffled_inputs_give_the_same_matches(table: Table) -> None:
    seen = []
    for seed in range(10):
        lines = list(MIXED)
        random.Random(seed).shuffle(lines)  # noqa: S311 - the same each time, nothing secret
        table.take(lines)
        table.run()
        seen.append(table.result())
        table.conn.rollback()
    assert seen[0].matches
    assert seen[0].suggestions
    assert seen == [reconcile(MIXED, DEFAULT_BOUNDS)] * 10


def lines_of(side: str) -> st.SearchStrategy[list[Line]]:
    line = st.builds(
        Line,
        side=st.just(side),
        line_id=st.integers(0, 99).map(lambda n: f"{n:02}"),
        amount=st.sampled_from([-100, -100, -50, -150, -200, 100, 50]),
        on=st.integers(0, 9).map(lambda n: MONDAY + timedelta(days=n)),
        ref=st.sampled_from(["", "", "R1", "R2", "R3"]),
        token=st.sampled_from(["", "W1", "W2"]),
        keys=st.sets(st.sampled_from(["G1", "G2"]), max_size=2).map(lambda k: tuple(sorted(k))),
        kind=st.sampled_from(["payment", "payment", "return", "fee"]),
        words=st.sampled_from(["", "", "nakdi destek", "destek kira mart", "kira"]),
    )
    return st.lists(line, max_size=7, unique_by=lambda x: x.line_id)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lines=st.tuples(lines_of(OURS), lines_of(THEIRS)).map(lambda both: both[0] + both[1]))
def test_engine_does_what_the_plain_matcher_does(table: Table, lines: list[Line]) -> None:
    try:
        table.take([*lines, Line(OURS, "last", -1, ref="LAST")])
        table.run()
        found = table.result()
        clearing = table.conn.execute(
            "SELECT count(*) - count(DISTINCT line_no) FROM recon.clearing"
        ).fetchone()
    finally:
        table.conn.rollback()
    assert found == reconcile([*lines, Line(OURS, "last", -1, ref="LAST")], DEFAULT_BOUNDS)
    assert clearing == (0,)  # no line was used twice
