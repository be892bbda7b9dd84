"""The nine reconciliations, each with one thing wrong."""

from datetime import date

import pytest

from ledgers.chart import open_account
from ledgers.closing import close_year
from ledgers.entries import Leg, Recorded, record, reverse
from ledgers.matching import bank, matches, reports
from ledgers.matching.reports import Difference, Part
from ledgers.recording import Occasion
from tests.ledgers.conftest import BANK, CASH, FLOAT, FUND, GRANT, MARCH, Books, leg, values
from tests.ledgers.matching.conftest import Table, act
from tests.ledgers.matching.oracle import OURS, THEIRS, Line
from tests.ledgers.matching.test_by_hand import entry_of_write_off

ON = date(2026, 3, 16)


def keyed(**amounts: int) -> object:
    return values([(key.replace("_", "/"), minor) for key, minor in amounts.items()], "text bigint")


def of(report: reports.Report) -> list[tuple]:
    return [(d.name, d.count, d.difference_minor, d.explained) for d in report.differences]


def test_r1_approved_is_instructed_and_has_an_end(books: Books) -> None:
    books.hold({"A1": 300, "A2": 700, "A3": 500})
    books.settle({"A1": 300, "A2": 600})
    report = reports.issuance(books.conn, keyed(A1=300, A2=700, A3=500, A4=90))
    assert report.parts[:5] == [
        Part("approved", 4, 1590), Part("instructed", 3, 1500), Part("posted", 2, 900),
        Part("failed", 0, 100), Part("pending", 1, 500),
    ]  # fmt: skip
    assert (report.code, report.open, of(report)) == ("R1", True, [("missing", 1, 90, False)])


def test_r2_wallets_roll_forward_to_the_balance_file(books: Books) -> None:
    movements = values(
        [("W1", "opening", 100), ("W1", "load", 500), ("W1", "redemption", -450),
         ("W2", "load", 500), ("W2", "expiry", -500)],
        "text text bigint",
    )  # fmt: skip
    report = reports.wallets(books.conn, movements, keyed(W1=150, W2=20))
    assert (report.ours_minor, report.theirs_minor) == (150, 170)
    assert of(report) == [("over", 1, -20, False)]
    assert Part("load", 2, 1000) in report.parts
    assert not reports.wallets(books.conn, movements, keyed(W1=150, W2=0)).open


@pytest.mark.parametrize(
    ("report_of", "key"),
    [(reports.merchants, "MERCHANT/17/0302"), (reports.settlements, "SETTLEMENT/9")],
)
def test_r3_and_r4_compare_by_group(table: Table, report_of: object, key: str) -> None:
    table.take([
        Line(OURS, "A", -300, keys=(key, "OTHER/1")), Line(OURS, "B", -200, keys=(key,)),
        Line(THEIRS, "X", -450, keys=(key,)),
    ])  # fmt: skip
    report = report_of(table.conn, "HALK")
    assert (report.ours_minor, report.theirs_minor) == (-500, -450)
    assert of(report) == [("short", 1, -50, False)]
    assert report_of(table.conn, "HALK", on=date(2026, 3, 1)).parts == []


def test_r5_float_is_what_the_provider_says_it_holds(books: Books) -> None:
    books.hold({"A1": 300})
    books.settle({"A1": 300})
    stated = values([(FLOAT, 999_700)], "text bigint")
    report = reports.funds(books.conn, "HALK", ON, stated)
    assert (report.ours_minor, report.open) == (999_700, False)
    assert report.parts[:2] == [Part("float_credited", 1, 1_000_000), Part("load_settled", 1, -300)]
    assert reports.funds(books.conn, "HALK", date(2026, 3, 1), stated).open


def send(books: Books, minor: int, on: date) -> None:
    transit = open_account(books.conn, "1030", "TRY", MARCH, provider="HALK")
    legs = [leg(transit, minor), leg(BANK, -minor)]
    record(books.conn, books.head("provider_funded", on=on), legs)


def test_r6_money_in_transit_is_late_after_the_next_working_day(books: Books) -> None:
    friday, monday, tuesday = date(2026, 3, 6), date(2026, 3, 9), date(2026, 3, 10)
    send(books, 700, friday)
    assert of(reports.in_transit(books.conn, monday)) == [("in transit", 1, 700, True)]
    send(books, 50, tuesday)
    report = reports.in_transit(books.conn, tuesday)
    assert report.differences == [
        Difference("late", 1, 700, explained=False, days=4),
        Difference("in transit", 1, 50, explained=True, days=None),
    ]


def test_r7_outstanding_items_explain_the_whole_difference(table: Table, books: Books) -> None:
    table.take([
        Line(OURS, "A", -500, ref="R1"), Line(OURS, "B", -300, ref="R2"), Line(OURS, "C", -90),
        Line(THEIRS, "X", -500, ref="R1"), Line(THEIRS, "Y", -275, ref="R2"),
        Line(THEIRS, "Z", -25, kind="fee"),
    ])  # fmt: skip
    assert bank.reconciled(table.conn, "HALK", ON).unnamed_minor == -90
    table.run()
    report = bank.reconciled(table.conn, "HALK", ON)
    assert (report.ours_minor, report.theirs_minor, report.unnamed_minor) == (-890, -800, 0)
    assert report.differences == [
        Difference("fee", 1, 25, explained=False, days=14),
        Difference("missing", 1, -90, explained=False, days=14),
        Difference("short", 1, -25, explained=False, days=14),
    ]
    proposed = matches.propose_write_off(table.conn, table.number(THEIRS, "Z"), act())
    ref = entry_of_write_off(books, 25)
    matches.approve_write_off(table.conn, proposed.write_off_id, ref, act(by="Omar"))
    report = bank.reconciled(table.conn, "HALK", ON)
    assert report.unnamed_minor == 0
    assert ("written off, theirs", 1, 25, True) in of(report)


def test_r7_of_a_past_day_is_the_bank_reconciliation_of_that_day(
    table: Table, books: Books
) -> None:
    first, day, after = date(2026, 3, 2), date(2026, 3, 4), date(2026, 3, 5)
    table.take([
        Line(OURS, "A", -500, ref="R1", on=first), Line(THEIRS, "X", -500, ref="R1", on=after),
        Line(OURS, "B", -300, ref="R2", on=first), Line(THEIRS, "Y", -300, ref="R2", on=first),
        Line(OURS, "C", -90, on=first), Line(OURS, "D", -40, on=after),
        Line(THEIRS, "Z", -25, kind="fee", on=first),
    ])  # fmt: skip
    table.run()
    proposed = matches.propose_write_off(table.conn, table.number(THEIRS, "Z"), act())
    ref = entry_of_write_off(books, 25)
    matches.approve_write_off(table.conn, proposed.write_off_id, ref, act(by="Omar"))

    then = bank.reconciled(table.conn, "HALK", day)
    assert (then.ours_minor, then.theirs_minor, then.unnamed_minor) == (-890, -325, 0)
    assert then.differences == [
        Difference("missing", 1, -90, explained=False, days=2),
        Difference("matched later, ours", 1, -500, explained=True, days=None),
        Difference("written off later, theirs", 1, 25, explained=True, days=None),
    ]
    now = bank.reconciled(table.conn, "HALK", ON)
    assert (now.ours_minor, now.theirs_minor, now.unnamed_minor) == (-930, -825, 0)
    assert of(now) == [("missing", 2, -130, False), ("written off, theirs", 1, 25, True)]
    before = bank.reconciled(table.conn, "HALK", date(2026, 3, 1))
    assert (before.ours_minor, before.theirs_minor, before.differences) == (0, 0, [])


def test_r8_control_account_is_the_sum_of_its_parts(books: Books) -> None:
    parts = values([(FLOAT, 600_000), (FLOAT, 399_000)], "text bigint")
    assert of(reports.control(books.conn, ON, parts)) == [("short", 1, 1_000, False)]


def test_r9_donor_report_says_what_the_books_say(books: Books) -> None:
    legs = [leg(CASH, 400), leg(FLOAT, -400)]
    record(books.conn, books.head("load_settled"), legs)
    stated = values([(f"{GRANT}/spent", 400), (f"{GRANT}/committed", 5)], "text bigint")
    report = reports.grants(books.conn, ON, stated)
    assert of(report) == [("unknown", 1, -5, False)]
    assert (report.ours_minor, report.theirs_minor) == (400, 405)


def paid(books: Books, **figures: int) -> reports.Report:
    stated = values([(f"{GRANT}/{key}", minor) for key, minor in figures.items()], "text bigint")
    return reports.grants(books.conn, ON, stated)


def undo(books: Books, entry: Recorded) -> Recorded:
    return reverse(books.conn, entry.entry_ref, books.head("reversal", on=ON))


def test_r9_received_is_what_the_donor_paid(books: Books) -> None:
    pledge = open_account(books.conn, "1340", "TRY", MARCH, grant=GRANT)
    fees, revenue, gain = (
        open_account(books.conn, code, "TRY", MARCH) for code in ("5140", "4010", "4040")
    )

    def book(event: str, *legs: Leg) -> Recorded:
        return record(books.conn, books.head(event), legs)

    book("grant_signed", leg(pledge, 1_000), leg(FUND, -1_000))
    assert of(paid(books, received=0)) == [("unknown", 1, 0, False)]
    book("grant_received", leg(BANK, 590), leg(pledge, -600), leg(fees, 10))
    twice = book("grant_received", leg(BANK, 70), leg(FUND, -70))
    undone = undo(books, twice)
    undo(books, book("revenue_recognised", leg(FUND, 40), leg(revenue, -40)))
    assert of(paid(books, received=600, spent=10)) == []
    undo(books, undone)
    book("receivable_settled", leg(BANK, 305), leg(pledge, -300), leg(gain, -5))
    assert of(paid(books, received=600 + 70 + 305, spent=10)) == []


def test_r9_spent_is_still_said_after_the_year_is_closed(books: Books) -> None:
    record(books.conn, books.head("load_settled"), [leg(CASH, 400), leg(FLOAT, -400)])
    year = Occasion(ON, ON, "Deniz", "the year")
    closed = close_year(books.conn, ON, year, lambda: books.head().entry_ref)
    assert len(closed) == 1
    assert of(paid(books, spent=400)) == []
    undo(books, closed[0])
    assert of(paid(books, spent=400)) == []
