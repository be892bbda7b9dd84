"""Statements, reports and files against the books: by rules, by hand, by two people."""

from datetime import date
from pathlib import Path

import psycopg
import pytest

from adapters.simulators.card_processor import CardProcessor
from cva.database.connect import transaction
from cva.payments import matching
from cva.payments.matching import Against
from cva.payments.planning import Plan
from ledgers.matching import bank, exceptions
from ledgers.matching.lines import Taken
from ledgers.matching.matches import Applied
from ledgers.matching.rules import Name, Rule
from ledgers.matching.running import Act
from ledgers.matching.sources import Side
from ledgers.problems import Refusal
from tests.cva.payments.agency import CARDS, GRANT, Agency
from tests.cva.payments.test_card_plans import paid_and_asked
from tests.cva.payments.test_what_is_said import hear, plan

TODAY = date(2026, 3, 9)
__all__ = ["plan"]  # the fixture


def act(agency: Agency, by: str = "deniz") -> Act:
    return Act(TODAY, agency.id_of(by), "looked at with the processor")


def bring_in(agency: Agency, against: Against = Against.STATEMENTS) -> list[Taken | None]:
    with transaction(agency.engine) as conn:
        brought = matching.bring_in(
            conn, agency.provider.code, against, person_id=agency.id_of("deniz"), on=TODAY
        )
    return [brought.ours, brought.theirs]


def run(agency: Agency, comparison: str = CARDS) -> dict[Rule, int]:
    with transaction(agency.engine) as conn:
        found = matching.match_by_rules(
            conn, comparison, person_id=agency.id_of("deniz"), at=agency.clock.now(), on=TODAY
        )
    return dict(found.matched)


def open_ones(agency: Agency, comparison: str = CARDS) -> list[tuple]:
    with transaction(agency.engine) as conn:
        found = exceptions.open_exceptions(conn, TODAY, comparison)
    return [(e.side.value, e.name.value, e.amount_minor) for e in found]


def number_of(agency: Agency, amount_minor: int) -> int:
    number = agency.one("SELECT line_no FROM recon.line WHERE amount_minor = %s", amount_minor)
    assert isinstance(number, int)
    return number


def test_statement_of_a_card_plan_is_matched_line_by_line(
    cards: Agency, processor: CardProcessor
) -> None:
    paid_and_asked(cards, processor)
    processor.settle(date(2026, 3, 2))
    cards.collect()
    assert bring_in(cards) == [Taken(4, 4, 0), Taken(5, 5, 0)]
    assert run(cards) == {Rule.REFERENCE: 3, Rule.DAY: 1}  # the float is matched by its day
    assert open_ones(cards) == [("theirs", "fee", -450)]
    cards.book_fees()
    assert bring_in(cards) == [Taken(5, 1, 0), Taken(5, 0, 0)]
    assert run(cards) == {Rule.REFERENCE: 1}
    assert open_ones(cards) == []
    with transaction(cards.engine) as conn:
        report = bank.reconciled(conn, CARDS, TODAY)
    assert (report.ours_minor, report.theirs_minor) == (97_974_550, 97_974_550)
    assert not report.open
    assert (bring_in(cards)[1], run(cards)) == (Taken(5, 0, 0), {})


def test_reports_of_the_provider_are_a_comparison_of_their_own(
    cards: Agency, processor: CardProcessor
) -> None:
    paid_and_asked(cards, processor)
    assert bring_in(cards, Against.REPORTS) == [Taken(3, 3, 0), Taken(3, 3, 0)]
    assert run(cards, f"{CARDS}/reports") == {Rule.REFERENCE: 3}
    assert open_ones(cards, f"{CARDS}/reports") == []


def paid_with_a_stray(agency: Agency, made: Plan) -> None:
    """Everybody is paid; the statement bears 500 that nobody here knows of."""
    amounts = agency.rows(
        "SELECT line_no, amount_minor FROM payments.line WHERE stopped IS NULL ORDER BY line_no"
    )
    hear(
        agency,
        *(f"executed STATEMENT %{no} {minor} TRY" for no, minor in amounts),
        *(f"line {no} %{no} -{minor} payment" for no, minor in amounts),
        "line 77 - -500 other",
    )
    agency.settle(made)


def test_unmatched_line_keeps_the_cycle_open_until_two_people_write_it_off(
    cards: Agency, plan: Plan
) -> None:
    paid_with_a_stray(cards, plan)
    bring_in(cards)
    assert run(cards) == {Rule.REFERENCE: 5}
    assert ("theirs", "unknown", -500) in open_ones(cards)
    assert cards.reconcile().unexplained_minor == 500
    with pytest.raises(Refusal, match="cycle_not_reconciled"):
        cards.close()

    number = number_of(cards, -500)
    with transaction(cards.engine) as conn:
        proposed = matching.propose_write_off(conn, number, act(cards), at=cards.clock.now())
    for login, code in (("deniz", "write_off_by_one_person"), ("sam", "role_missing")):
        with pytest.raises(Refusal, match=code), transaction(cards.engine) as conn:
            matching.approve_write_off(
                conn, proposed.write_off_id, -500, GRANT, act(cards, login), at=cards.clock.now()
            )
    with (
        pytest.raises(Refusal, match=r"write_off_not_seen: .* not of 5\.00 TRY"),
        transaction(cards.engine) as conn,
    ):
        matching.approve_write_off(
            conn, proposed.write_off_id, 500, GRANT, act(cards, "omar"), at=cards.clock.now()
        )
    assert cards.reconcile().unexplained_minor == 500
    with transaction(cards.engine) as conn:
        matching.approve_write_off(
            conn, proposed.write_off_id, -500, GRANT, act(cards, "omar"), at=cards.clock.now()
        )
    assert cards.balance("5210.TRY") == (500, 0)
    assert cards.balance(f"1110.{CARDS}.TRY") == (100_000_000 - 4_500_000 - 500, 0)
    # the entry of the write-off is no line of its own
    assert bring_in(cards)[0] == Taken(6, 0, 0)
    assert open_ones(cards) == [("ours", "missing", 100_000_000)]
    assert cards.reconcile().unexplained_minor == 0
    cards.close()


def written_off(agency: Agency, number: int) -> None:
    """Deniz proposes and Omar approves."""
    with transaction(agency.engine) as conn:
        proposed = matching.propose_write_off(conn, number, act(agency), at=agency.clock.now())
        matching.approve_write_off(
            conn,
            proposed.write_off_id,
            proposed.amount_minor,
            GRANT,
            act(agency, "omar"),
            at=agency.clock.now(),
        )


def paid_although_rejected(agency: Agency, made: Plan) -> None:
    """The processor rejected Yusuf's load; later its report and its statement say it was paid."""
    others = (("%1", 600_000), ("%3", 900_000), ("%4", 1_050_000), ("%5", 1_200_000))
    hear(
        agency, "rejected STATUS_REPORT %2 - -",
        *(f"executed STATEMENT {ref} {minor} TRY" for ref, minor in others),
        *(f"line {ref[1]} {ref} -{minor} payment" for ref, minor in others),
    )  # fmt: skip
    agency.settle(made)
    hear(agency, "executed STATEMENT %2 750000 TRY", "line 2 %2 -750000 payment")


def test_difference_that_reports_and_statements_both_show_is_written_off_once(
    cards: Agency, plan: Plan
) -> None:
    paid_although_rejected(cards, plan)
    reports_of = f"{CARDS}/reports"
    for against, name in ((Against.STATEMENTS, CARDS), (Against.REPORTS, reports_of)):
        bring_in(cards, against)
        run(cards, name)
        assert ("theirs", "unknown", -750_000) in open_ones(cards, name)
    stated, reported = (
        number
        for (number,) in cards.rows(
            "SELECT line_no FROM recon.line WHERE amount_minor = -750000 ORDER BY line_no"
        )
    )
    with (
        pytest.raises(Refusal, match=f"write_off_of_reports: The comparison {reports_of}"),
        transaction(cards.engine) as conn,
    ):
        matching.propose_write_off(conn, reported, act(cards), at=cards.clock.now())
    with pytest.raises(Refusal, match="write_off_of_reports"):
        cards.raw(
            "INSERT INTO recon.write_off (line_no, amount_minor, reason, proposed_by, recorded_on)"
            " VALUES (%(line)s, -750000, 'typed', 'Sam', '2026-03-09')",
            line=reported,
        )
    assert cards.reconcile().unexplained_minor == 750_000

    written_off(cards, stated)
    assert cards.balance("5210.TRY") == (750_000, 0)
    assert cards.reconcile().unexplained_minor == 0
    # against the reports, the entry of the write-off is the payment they tell of
    assert bring_in(cards, Against.REPORTS)[0] == Taken(5, 1, 0)
    assert run(cards, reports_of) == {Rule.REFERENCE: 1}
    assert open_ones(cards, reports_of) == []
    assert ("ours", "missing", -750_000) not in open_ones(cards)


def test_line_matched_by_hand_is_explained_until_it_is_unmatched(cards: Agency, plan: Plan) -> None:
    paid_with_a_stray(cards, plan)
    cards.fund("float_credited", 500, key="a rebate")
    hear(cards, "line 78 - 500 other")
    bring_in(cards)
    run(cards)
    assert cards.reconcile().unexplained_minor == 1_000
    items = [
        Applied(number)
        for (number,) in cards.rows("SELECT line_no FROM recon.line WHERE amount_minor = 500")
    ]
    with transaction(cards.engine) as conn:
        made = matching.match_by_hand(conn, items, act(cards), at=cards.clock.now())
    assert cards.reconcile().unexplained_minor == 500
    with transaction(cards.engine) as conn:
        matching.unmatch(conn, made, act(cards), at=cards.clock.now())
    assert cards.reconcile().unexplained_minor == 1_000


def test_payment_that_no_statement_shows_is_taken_off_its_cycle_when_two_write_it_off(
    cards: Agency, plan: Plan
) -> None:
    amounts = cards.rows(
        "SELECT line_no, amount_minor FROM payments.line WHERE stopped IS NULL ORDER BY line_no"
    )
    hear(
        cards,
        *(f"executed STATEMENT %{no} {minor} TRY" for no, minor in amounts),
        *(f"line {no} %{no} -{minor} payment" for no, minor in amounts[2:]),
        f"line 2 %2 -{amounts[1][1] - 50_000} payment",
    )  # fmt: skip
    cards.settle(plan)
    bring_in(cards)
    run(cards)
    layla, yusuf = (minor for _, minor in amounts[:2])
    assert cards.reconcile().unexplained_minor == layla + 50_000

    written_off(cards, number_of(cards, -layla))
    assert cards.balance("4030.TRY") == (layla, 0)
    assert cards.reconcile().unexplained_minor == 50_000
    items = [Applied(number_of(cards, minor), 50_000 - yusuf) for minor in (-yusuf, 50_000 - yusuf)]
    with transaction(cards.engine) as conn:
        matching.match_by_hand(conn, items, act(cards), at=cards.clock.now())
    written_off(cards, number_of(cards, -yusuf))
    assert cards.balance("4030.TRY") == (layla + 50_000, 0)
    reconciled = cards.reconcile()
    assert reconciled.unexplained_minor == 0
    assert [(d.name.value, d.amount_minor, d.explained) for d in reconciled.differences] == [
        ("missing", layla, True), ("short", 50_000, True),
    ]  # fmt: skip
    assert open_ones(cards) == [("ours", "missing", 100_000_000)]
    cards.close()

    # what was written off and is shown after all is a payment too many, until it is explained
    hear(cards, f"line 1 %1 -{layla} payment")
    assert cards.reconcile().unexplained_minor == layla


HEAD = "statement_id,line_id,amount,currency,value_on,kind,ref,counterparty,group_keys\n"


def bring_in_file(agency: Agency, path: Path, side: Side, text: str) -> matching.Brought:
    path.write_text(text, encoding="utf-8")
    with transaction(agency.engine) as conn:
        return matching.bring_in_file(
            conn, "ZIRAAT", side, path, person_id=agency.id_of("deniz"), on=TODAY
        )


def test_lines_of_a_file_are_taken_and_unreadable_ones_are_listed(
    cards: Agency, tmp_path: Path
) -> None:
    ours = HEAD + "J1,1,-250.50,TRY,2026-03-02,payment,R-1,,\nJ1,2,-90,TRY,2026-03-02,,,W7,B1 B2\n"
    theirs = HEAD + (
        "S1,1,-250.50,TRY,2026-03-03,payment,r1,,\n"
        "S1,2,-250.505,TRY,2026-03-03,payment,,,\n"
        "S1,3,-90,TRY,3 March,payment,,,\n"
        ",4,-90,TRY,2026-03-03,payment,,,\n"
        "S1,5,-90,TRY,2026-03-03,gift,,,\n"
        "S1,6,-90,TRY,2026-03-03,payment,,W7,,,too,many\n"
        "S1,7\n"
    )
    path = tmp_path / "lines.csv"
    assert bring_in_file(cards, path, Side.OURS, ours) == matching.Brought(Taken(2, 2, 0), None)
    brought = bring_in_file(cards, path, Side.THEIRS, theirs)
    assert brought.theirs == Taken(2, 2, 0)
    assert [(f.problem.code, f.place.row) for f in brought.findings] == [
        ("recon_line_unreadable", 3), ("recon_line_unreadable", 4), ("recon_line_unreadable", 5),
        ("recon_line_unreadable", 6), ("recon_line_unreadable", 8),
    ]  # fmt: skip
    assert run(cards, "ZIRAAT") == {Rule.REFERENCE: 1, Rule.DAY: 1}
    assert open_ones(cards, "ZIRAAT") == []
    with pytest.raises(Refusal, match="line_columns_missing"):
        bring_in_file(cards, path, Side.OURS, "line,amount\n")


def test_write_off_without_an_account_behind_it_is_refused(cards: Agency, tmp_path: Path) -> None:
    bring_in_file(
        cards, tmp_path / "lines.csv", Side.THEIRS, HEAD + "S1,1,-9,TRY,2026-03-03,other,,,\n"
    )
    with transaction(cards.engine) as conn:
        proposed = matching.propose_write_off(
            conn, number_of(cards, -900), act(cards), at=cards.clock.now()
        )
    with (
        pytest.raises(Refusal, match="comparison_without_account"),
        transaction(cards.engine) as conn,
    ):
        matching.approve_write_off(
            conn, proposed.write_off_id, -900, GRANT, act(cards, "omar"), at=cards.clock.now()
        )


def test_sam_matches_nothing_and_owners_change(cards: Agency, tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    bring_in_file(cards, path, Side.THEIRS, HEAD + "S1,1,-9,TRY,2026-03-03,other,,,\n")
    run(cards, "ZIRAAT")
    with pytest.raises(Refusal, match="role_missing"), transaction(cards.engine) as conn:
        matching.match_by_rules(
            conn, "ZIRAAT", person_id=cards.id_of("sam"), at=cards.clock.now(), on=TODAY
        )
    with transaction(cards.engine) as conn:
        (found,) = exceptions.open_exceptions(conn, TODAY, "ZIRAAT")
        assert (found.name, found.owner, found.bucket) == (Name.UNKNOWN, "finance", "4-7")
        for owner in ("selin", "programme", "selin"):
            matching.assign(conn, found.exception_id, owner, act(cards), at=cards.clock.now())
        (found,) = exceptions.open_exceptions(conn, TODAY, "ZIRAAT")
    assert found.owner == "selin"
    with pytest.raises(Refusal, match="person_unknown"), transaction(cards.engine) as conn:
        matching.assign(conn, found.exception_id, "nobody", act(cards), at=cards.clock.now())


def test_line_that_came_again_with_another_amount_is_answered_once(
    cards: Agency, tmp_path: Path
) -> None:
    path = tmp_path / "lines.csv"
    for amount in ("-9", "-8"):
        text = HEAD + f"S1,1,{amount},TRY,2026-03-03,other,,,\n"
        bring_in_file(cards, path, Side.THEIRS, text)
    with transaction(cards.engine) as conn:
        (found,) = exceptions.open_exceptions(conn, TODAY, "ZIRAAT")
    assert (found.name, found.amount_minor) == (Name.LINE_CHANGED, 100)
    for first in (True, False):
        with transaction(cards.engine) as conn:
            assert first is matching.answer(
                conn, found.exception_id, act(cards), at=cards.clock.now()
            )
    assert open_ones(cards, "ZIRAAT") == []
    with pytest.raises(Refusal, match="role_missing"), transaction(cards.engine) as conn:
        matching.answer(conn, found.exception_id, act(cards, "sam"), at=cards.clock.now())
    silent = Act(TODAY, cards.id_of("deniz"), " ")
    with pytest.raises(Refusal, match="match_without_reason"), transaction(cards.engine) as conn:
        matching.answer(conn, found.exception_id, silent, at=cards.clock.now())


def test_auditor_reads_what_is_open(cards: Agency, auditor: psycopg.Connection) -> None:
    assert exceptions.open_exceptions(auditor, TODAY) == []
    assert cards.rows("SELECT count(*) FROM recon.line") == [(0,)]
