"""What people do: match, accept, un-match, write off; and lines that come again."""

from dataclasses import replace
from datetime import date

import pytest

from ledgers.entries import record
from ledgers.matching import exceptions, matches, sources
from ledgers.matching.lines import Taken
from ledgers.matching.matches import Applied, Match
from ledgers.matching.sources import Side
from ledgers.problems import Refusal
from tests.ledgers.conftest import BANK as BANK_ACCOUNT
from tests.ledgers.conftest import CASH, Books, leg
from tests.ledgers.matching.conftest import BANK, BOOKS, TODAY, Table, act
from tests.ledgers.matching.oracle import OURS, THEIRS, Line

A, X, Y = (OURS, "A"), (THEIRS, "X"), (THEIRS, "Y")


@pytest.fixture
def short(table: Table) -> Table:
    """Five hundred in the books, 475 on the statement, and the charge of 25 on its own."""
    table.take([
        Line(OURS, "A", -500, ref="R1"), Line(THEIRS, "X", -475, ref="R1"),
        Line(THEIRS, "Y", -25, kind="fee"),
    ])  # fmt: skip
    table.run()
    return table


def refused(code: str) -> pytest.RaisesExc[Refusal]:
    return pytest.raises(Refusal, match=code)


def only_suggestion(table: Table) -> exceptions.Suggestion:
    (found,) = exceptions.open_suggestions(table.conn, "HALK")
    return found


def test_accepted_suggestion_leaves_the_difference_open(short: Table) -> None:
    suggestion = only_suggestion(short)
    matches.accept(short.conn, suggestion.suggestion_id, act("the charge is taken off"))
    assert short.open() == {A: -25, Y: -25}
    assert exceptions.open_suggestions(short.conn, "HALK") == []
    short.run()
    assert short.names() == {A: "short", Y: "fee"}
    with refused("suggestion_not_open"):
        matches.accept(short.conn, suggestion.suggestion_id, act())


def test_match_by_hand_takes_the_same_from_both_sides(short: Table) -> None:
    a, x, y = (short.number(*line) for line in (A, X, Y))
    with refused("match_unbalanced"), short.conn.transaction():
        matches.match(short.conn, [Applied(a), Applied(x)], act())
    with refused("line_not_open"), short.conn.transaction():
        matches.match(short.conn, [Applied(a, -501), Applied(x), Applied(y)], act())
    matches.match(short.conn, [Applied(a), Applied(x), Applied(y)], act("475 and a charge of 25"))
    assert short.open() == {}
    with refused("line_not_open"):
        matches.match(short.conn, [Applied(a), Applied(x)], act())


def test_unmatching_is_a_new_record_and_done_once(short: Table) -> None:
    a, x, y = (short.number(*line) for line in (A, X, Y))
    whole = [Applied(a), Applied(x), Applied(y)]
    made = matches.match(short.conn, whole, act("475 and a charge"))
    back = matches.unmatch(short.conn, made, act("the charge is of another payment"))
    assert short.open() == {A: -500, X: -475, Y: -25}
    assert short.counts()["clearing"] == 6
    for again in (made, back):
        with refused("match_undone"), short.conn.transaction():
            matches.unmatch(short.conn, again, act())
    matches.match(short.conn, whole, act("it was this one after all"))
    assert short.open() == {}
    with refused("match_unknown"):
        matches.unmatch(short.conn, Match(made.run_id, 2), act())


def test_unknown_lines_and_lines_of_two_comparisons_are_refused(short: Table) -> None:
    other = replace(BANK, code="another bank", comparison="ZIRAAT")
    short.take([Line(THEIRS, "Z", -500)], other)
    with refused("line_unknown"):
        matches.match(short.conn, [Applied(0)], act())
    pair = [Applied(short.number(*A)), Applied(short.number(THEIRS, "Z"))]
    with refused("lines_not_together"):
        matches.match(short.conn, pair, act())


def entry_of_write_off(books: Books, amount_minor: int) -> str:
    legs = [leg(CASH, amount_minor), leg(BANK_ACCOUNT, -amount_minor)]
    return record(books.conn, books.head("difference_written_off"), legs).entry_ref


def test_write_off_needs_a_second_person(short: Table, books: Books) -> None:
    number = short.number(*Y)
    proposed = matches.propose_write_off(short.conn, number, act("the bank does not explain it"))
    assert (proposed.amount_minor, proposed.approved, short.open()[Y]) == (-25, False, -25)
    assert matches.write_offs(short.conn, "HALK") == [proposed]
    ref = entry_of_write_off(books, 25)
    with refused("write_off_by_one_person"), short.conn.transaction():
        matches.approve_write_off(short.conn, proposed.write_off_id, ref, act(by="Deniz"))
    done = matches.approve_write_off(short.conn, proposed.write_off_id, ref, act(by="Omar"))
    assert Y not in short.open()
    assert matches.write_offs(short.conn, "HALK") == []
    with refused("write_off_approved"):
        matches.approve_write_off(short.conn, proposed.write_off_id, ref, act(by="Omar"))
    with refused("match_undone"):
        matches.unmatch(short.conn, done, act())
    with refused("line_not_open"):
        matches.propose_write_off(short.conn, number, act())
    with refused("write_off_unknown"):
        matches.approve_write_off(short.conn, 10**9, ref, act(by="Omar"))


def test_line_that_was_matched_meanwhile_is_not_written_off(short: Table, books: Books) -> None:
    proposed = matches.propose_write_off(short.conn, short.number(*Y), act())
    whole = [Applied(short.number(*line)) for line in (A, X, Y)]
    matches.match(short.conn, whole, act())
    with refused("line_not_open"):
        matches.approve_write_off(
            short.conn, proposed.write_off_id, entry_of_write_off(books, 25), act(by="Omar")
        )


def test_lines_taken_again_change_nothing(short: Table) -> None:
    before = short.counts()
    again = [
        Line(THEIRS, "Y", -25, kind="fee"), Line(OURS, "A", -500, ref="R1"),
        Line(THEIRS, "X", -475, ref="R1"),
    ]  # fmt: skip
    assert short.take(again) == [Taken(1, 0, 0), Taken(2, 0, 0)]
    short.run()
    assert short.counts() == before


def test_changed_line_is_an_exception_until_somebody_answers(short: Table) -> None:
    changed = Line(THEIRS, "X", -470, ref="R1")
    for _ in range(2):
        assert short.take([changed]) == [Taken(1, 0, 1 - _)]
    (found,) = [
        e for e in exceptions.open_exceptions(short.conn, TODAY) if e.name == "line_changed"
    ]
    assert (found.line_id, found.amount_minor, found.owner) == ("X", 5, "finance")
    assert short.open()[X] == -475
    exceptions.answer(short.conn, found.exception_id, by="Deniz", reason="475, says the bank")
    exceptions.answer(short.conn, found.exception_id, by="Deniz", reason="475, says the bank")
    assert short.names() == {X: "short", Y: "fee"}
    (rest, *_) = exceptions.open_exceptions(short.conn, TODAY)
    with refused("exception_not_answerable"):
        exceptions.answer(short.conn, rest.exception_id, by="Deniz", reason="enough of it")
    short.conn.rollback()


def test_two_contents_in_one_file_do_not_depend_on_their_order(table: Table) -> None:
    first, second = Line(THEIRS, "X", -475), Line(THEIRS, "X", -470)
    stands = []
    for lines in ([first, second], [second, first]):
        assert table.take(lines) == [Taken(2, 1, 1)]
        stands.append(table.open())
        table.conn.rollback()
    assert stands[0] == stands[1]


def test_exceptions_age_through_the_buckets_and_change_owners(short: Table) -> None:
    day = date(2026, 3, 2)
    seen = {}
    for age in (0, 3, 4, 7, 8, 14, 15, 30, 31, 60, 61, 400):
        on = date.fromordinal(day.toordinal() + age)
        (first, _) = exceptions.open_exceptions(short.conn, on, "HALK")
        seen[first.days] = (first.bucket, first.level)
    assert seen == {
        0: ("0-3", 0), 3: ("0-3", 0), 4: ("4-7", 1), 7: ("4-7", 1), 8: ("8-14", 2),
        14: ("8-14", 2), 15: ("15-30", 3), 30: ("15-30", 3), 31: ("31-60", 4),
        60: ("31-60", 4), 61: ("60+", 5), 400: ("60+", 5),
    }  # fmt: skip
    names = {e.name: (e.owner, e.amount_minor) for e in exceptions.open_exceptions(short.conn, day)}
    assert names == {"short": ("programme", 25), "fee": ("finance", -25)}
    (first, _) = exceptions.open_exceptions(short.conn, day)
    exceptions.assign(short.conn, first.exception_id, "Selin", by="Deniz", reason="on leave")
    (first, _) = exceptions.open_exceptions(short.conn, day)
    assert (first.owner, first.side) == ("Selin", Side.THEIRS)
    aged = exceptions.aged(short.conn, TODAY)
    assert [(a.name, a.bucket, a.count, a.sum_minor) for a in aged] == [
        ("fee", "8-14", 1, 25), ("short", "8-14", 1, 25),
    ]  # fmt: skip
    with refused("exception_unknown"):
        exceptions.assign(short.conn, 10**9, "Selin", by="Deniz", reason="-")


def test_source_keeps_its_place(table: Table) -> None:
    sources.open_source(table.conn, BOOKS)
    assert sources.sources(table.conn, "HALK") == [BOOKS]
    with refused("source_differs"):
        sources.open_source(table.conn, replace(BOOKS, side=Side.THEIRS))
    with refused("comparison_unknown"):
        sources.require_comparison(table.conn, "ZIRAAT")
