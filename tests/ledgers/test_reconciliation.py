"""Every difference has a name; what books and statement disagree about is unexplained."""

import random
from collections.abc import Sequence
from datetime import date

import pytest
from psycopg import sql

from ledgers.reconciliation import Comparison, Difference, Name, Total, compare
from tests.ledgers.conftest import Books, values

DAY = date(2026, 3, 9)
PLAN = {"A1": 300, "A2": 700, "A3": 500}
Booked = tuple[str, str, int, str, date]


def paid(ref: str, amount: int, line: str = "", on: date = DAY) -> Booked:
    return (line or f"line of {ref}", ref, -amount, "payment", on)


def came_back(ref: str, amount: int) -> Booked:
    return (f"return of {ref}", ref, amount, "return", DAY)


def reconcile(
    books: Books,
    booked: list[Booked],
    *,
    expected: dict[str, int] = PLAN,
    reported: Sequence[tuple[str, int, str]] = (),
    covered: Sequence[tuple[str, int]] = (),
    late_after: date | None = None,
) -> Comparison:
    return compare(
        books.conn,
        expected=values(list(expected.items()), "text bigint"),
        reported=values(reported, "text bigint text"),
        booked=values(booked, "text text bigint text date"),
        covered=values(covered, "text bigint"),
        late_after=late_after,
    )


def only(comparison: Comparison) -> tuple[str, str, int, bool]:
    (difference,) = comparison.differences
    return (
        difference.name, difference.instruction_ref, difference.amount_minor, difference.explained
    )  # fmt: skip


@pytest.fixture
def loaded(books: Books) -> Books:
    books.hold(PLAN)
    books.settle(PLAN)
    return books


def test_agreement_has_no_difference(loaded: Books) -> None:
    said = [(ref, amount, "executed") for ref, amount in PLAN.items()]
    comparison = reconcile(loaded, [paid(*line) for line in PLAN.items()], reported=said)
    assert comparison == Comparison(1500, 1500, 1500, 1500, 0, {}, [])


ALL = [paid("A1", 300), paid("A2", 700), paid("A3", 500)]


@pytest.mark.parametrize(
    ("booked", "difference"),
    [
        (ALL[:2], ("missing", "A3", 500, False)),
        ([*ALL[:2], paid("A3", 450)], ("short", "A3", 50, False)),
        ([*ALL[:2], paid("A3", 550)], ("over", "A3", 50, False)),
        ([*ALL, paid("A3", 500, "again")], ("duplicate", "A3", 500, False)),
        ([*ALL, came_back("A3", 500)], ("returned", "A3", 500, False)),
        ([*ALL, paid("B9", 40)], ("unexpected", "B9", 40, False)),
        ([*ALL, paid("", 40)], ("unexpected", "", 40, False)),
        ([*ALL, ("charge", "", -25, "fee", DAY)], ("fee", "", 25, False)),
        ([*ALL, ("topped up", "", 900, "funding", DAY)], ("unexpected", "", 900, False)),
    ],
)
def test_disagreement_is_unexplained_by_its_amount(
    loaded: Books, booked: list[Booked], difference: tuple[str, str, int, bool]
) -> None:
    comparison = reconcile(loaded, booked)
    assert only(comparison) == difference
    assert comparison.unexplained_minor == difference[2]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (("charge", "", -25, "fee", DAY), Name.FEE),
        (("stray", "", -25, "payment", DAY), None),
        (("topped up", "", 25, "funding", DAY), None),
    ],
)
def test_line_that_an_entry_covers_is_explained(
    loaded: Books, line: Booked, name: Name | None
) -> None:
    comparison = reconcile(loaded, [*ALL, line], covered=[(line[0], line[2])])
    expected = [] if name is None else [Difference("", line[0], name, 25, explained=True)]
    assert comparison.differences == expected
    assert comparison.unexplained_minor == 0
    part = reconcile(loaded, [*ALL, line], covered=[(line[0], line[2] // 5 * 2)])
    assert part.unexplained_minor == 15


def test_departures_from_the_plan_that_all_agree_on_are_explained(books: Books) -> None:
    books.hold({**PLAN, "A4": 100, "A5": 60})
    books.settle({"A1": 300, "A2": 650, "A3": 0, "A4": 100})
    books.give_back({"A1": 120})
    booked = [
        paid("A1", 300), came_back("A1", 120), paid("A2", 650), paid("A4", 100, on=date(2026, 4, 2))
    ]  # fmt: skip
    comparison = reconcile(
        books, booked, expected={**PLAN, "A4": 100, "A5": 60}, late_after=date(2026, 3, 31)
    )
    assert comparison.differences == [
        Difference("A1", "", Name.RETURNED, 120, explained=True),
        Difference("A2", "", Name.SHORT, 50, explained=True),
        Difference("A3", "", Name.MISSING, 500, explained=True),
        Difference("A4", "", Name.LATE, 100, explained=True),
        Difference("A5", "", Name.PENDING, 60, explained=True),
    ]
    assert comparison.unexplained_minor == 0
    assert (comparison.planned_minor, comparison.ledger_minor, comparison.booked_minor) == (
        1660, 930, 930,
    )  # fmt: skip
    assert comparison.totals[Name.SHORT] == Total(1, 50, 0)


def test_payment_while_on_hold_is_unexplained(books: Books) -> None:
    books.hold({"A1": 300})
    comparison = reconcile(books, [paid("A1", 300)], expected={"A1": 300})
    assert only(comparison) == ("pending", "A1", 300, False)


def test_line_never_held_is_unexplained(books: Books) -> None:
    comparison = reconcile(books, [], expected={"A1": 300})
    assert only(comparison) == ("missing", "A1", 300, False)


def test_duplicate_that_came_back_is_explained(loaded: Books) -> None:
    booked = [*ALL, paid("A3", 500, "again"), came_back("A3", 500)]
    comparison = reconcile(loaded, booked)
    assert [(d.name, d.amount_minor, d.explained) for d in comparison.differences] == [
        ("duplicate", 500, True), ("returned", 500, True),
    ]  # fmt: skip


def test_return_that_the_statement_does_not_show_is_unexplained(loaded: Books) -> None:
    loaded.give_back({"A3": 500})
    assert only(reconcile(loaded, ALL)) == ("returned", "A3", 500, False)


def test_report_of_payment_against_a_void_is_unexplained(books: Books) -> None:
    books.hold({"A1": 300})
    books.settle({"A1": 0})
    said = reconcile(books, [], expected={"A1": 300}, reported=[("A1", 300, "executed")])
    assert only(said) == ("missing", "A1", 300, False)
    failed = reconcile(books, [], expected={"A1": 300}, reported=[("A1", 0, "rejected")])
    assert only(failed) == ("missing", "A1", 300, True)


def test_report_of_an_unknown_instruction_is_unexpected(loaded: Books) -> None:
    comparison = reconcile(loaded, ALL, reported=[("B9", 40, "executed")])
    assert only(comparison) == ("unexpected", "B9", 40, False)


def test_order_of_the_inputs_decides_nothing(books: Books) -> None:
    plan = {f"R{number:03d}": 100 + number for number in range(60)}
    books.hold(plan)
    books.settle({ref: amount if number % 7 else 0 for number, (ref, amount) in
                  enumerate(plan.items()) if number % 11})  # fmt: skip
    dice = random.Random(20260302)  # noqa: S311 - a fixed seed: the same lines each time
    booked = [
        paid(ref, amount + dice.choice([0, 0, 0, -5, 5]), f"{ref}/{copy}")
        for ref, amount in plan.items()
        for copy in range(dice.choice([0, 1, 1, 1, 2]))
    ]
    first = reconcile(books, booked, expected=plan)
    for _ in range(5):
        dice.shuffle(booked)
        lines = list(plan.items())
        dice.shuffle(lines)
        assert reconcile(books, booked, expected=dict(lines)) == first
    gaps = {ref: -sum(line[2] for line in booked if line[1] == ref) for ref in plan}
    posted = dict(
        books.conn.execute(
            "SELECT instruction_ref, amount_minor FROM books.transfer WHERE phase = 'posted'"
        ).fetchall()
    )
    by_hand = sum(abs(gap - posted.get(ref, 0)) for ref, gap in gaps.items())
    assert first.unexplained_minor == by_hand


def test_sources_share_the_parameters(loaded: Books) -> None:
    nothing = sql.SQL("SELECT NULL::text, NULL::bigint, NULL::text WHERE false")
    comparison = compare(
        loaded.conn,
        expected=sql.SQL("SELECT 'A1', %(amount)s::bigint"),
        reported=nothing,
        booked=sql.SQL("SELECT 'line', 'A1', -%(amount)s::bigint, 'payment', %(day)s::date"),
        params={"amount": 300, "day": DAY},
    )
    assert comparison.differences == []
