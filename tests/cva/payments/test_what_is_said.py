"""Words of providers that do not fit: contradictions, other amounts and currencies, returns.

The documents are of a small format of this test's own, so that a provider can say anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date

import pytest

from adapters.port import (
    Document,
    Evidence,
    Observation,
    Outcome,
    Reading,
    StatementLine,
)
from adapters.simulators.card_processor import CardProcessor
from cva.database.connect import transaction
from cva.payments import observing
from cva.payments.planning import Plan
from ledgers.problems import Refusal
from tests.cva.payments.agency import VAULT, Agency
from tests.cva.payments.test_card_plans import CORRECTED, paid_and_asked


@dataclass
class Telegrams:
    """Lines of `outcome evidence ref amount currency`, or `line id ref amount kind`."""

    usual: object

    def render(self, *arguments: object) -> object:
        return self.usual.render(*arguments)

    def read(self, document: Document) -> Iterator[Reading]:
        for text in document.content.decode().splitlines():
            first, second, ref, amount, last = text.split()
            minor = None if amount == "-" else int(amount)
            if first == "line":
                yield StatementLine(
                    "MARKET", "S1", second, minor or 0, "TRY", date(2026, 3, 3), last,
                    "" if ref == "-" else ref,
                )  # fmt: skip
            else:
                yield Observation(
                    Outcome(first), Evidence[second], "" if ref == "-" else ref,
                    amount_minor=minor, currency="" if last == "-" else last,
                )  # fmt: skip


@pytest.fixture
def plan(cards: Agency) -> Plan:
    made = cards.released(cards.prepare())
    cards.send(made)
    cards.provider = replace(cards.provider, format=Telegrams(cards.provider.format))
    return made


def hear(agency: Agency, *lines: str) -> None:
    """The provider says these lines; `%1` is the reference of line 1."""
    text = "\n".join(lines)
    for ref, line_no in agency.rows("SELECT instruction_ref, line_no FROM payments.line"):
        text = text.replace(f"%{line_no}", str(ref))
    with transaction(agency.engine) as conn:
        observing.keep(
            conn, VAULT, agency.provider, Document("telegram", text.encode()),
            person_id=agency.id_of("deniz"), at=agency.clock.now(),
        )  # fmt: skip


def codes(agency: Agency) -> list[str]:
    return [code for (code,) in agency.rows("SELECT code FROM payments.document_finding")]


def test_the_higher_evidence_stands_whatever_came_last(cards: Agency, plan: Plan) -> None:
    hear(cards, "executed SETTLEMENT %1 600000 TRY", "rejected STATUS_REPORT %2 - -")
    hear(cards, "rejected STATUS_REPORT %1 - -", "unknown ANSWER %2 - -", "accepted ANSWER %3 - -")
    hear(cards, "unknown STATUS_REPORT %4 - -", "rejected ANSWER %4 - -")
    assert [state for *_, state, _, _, _ in cards.lines()][:5] == [
        "pending", "pending", "pending", "unknown", "pending",
    ]  # fmt: skip
    cards.settle(plan)
    assert [state for *_, state, _, _, _ in cards.lines()][:3] == ["loaded", "voided", "pending"]
    cards.check_money()


def test_a_contradiction_is_unknown_and_stays_reserved(cards: Agency, plan: Plan) -> None:
    hear(cards, "executed STATUS_REPORT %1 600000 TRY", "rejected STATUS_REPORT %1 - TRY")
    settled = cards.settle(plan)
    assert (settled.loaded, settled.voided, settled.unknown) == (0, 0, 1)
    assert cards.states()["Layla Haddad"] == "unknown"
    hear(cards, "executed SETTLEMENT %1 600000 TRY")
    assert cards.settle(plan).loaded == 1


def test_what_is_said_in_another_currency_settles_nothing(cards: Agency, plan: Plan) -> None:
    hear(cards, "executed STATEMENT %1 600000 USD")
    assert cards.settle(plan).loaded == 0
    cards.check_money()


def test_no_more_is_booked_than_was_on_hold(cards: Agency, plan: Plan) -> None:
    hear(cards, "executed STATEMENT %1 700000 TRY", "line 1 %1 -700000 payment")
    assert cards.settle(plan).loaded_minor == 600_000
    found = [d for d in cards.reconcile().differences if not d.explained]
    assert [(d.name.value, d.amount_minor) for d in found] == [("over", 100_000)]


def test_what_came_back_in_part_is_open_again_in_part(cards: Agency, plan: Plan) -> None:
    hear(cards, "executed STATEMENT %1 600000 TRY", "executed STATEMENT %3 900000 TRY")
    hear(cards, "returned STATEMENT %1 250000 TRY")
    settled = cards.settle(plan)
    assert (settled.loaded, settled.returned, settled.returned_minor) == (2, 1, 250_000)
    assert cards.settle(plan).returned == 0
    follow_up = cards.follow_up(plan)
    assert cards.lines(follow_up) == [("Layla Haddad", "regular", 2, "planned", 250_000, 0, 0)]
    cards.check_money()


def test_a_short_load_that_came_back_is_open_in_full_but_never_twice(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = paid_and_asked(cards, processor)
    cards.register(CORRECTED, revision="2")
    first = cards.follow_up(plan)  # among others, what the short load left open
    cards.released(first)
    cards.provider = replace(cards.provider, format=Telegrams(cards.provider.format))
    hear(cards, "returned STATEMENT %4 525000 TRY")
    cards.settle(plan)
    second = cards.follow_up(plan, key="second")
    assert cards.lines(second) == [("Hasan Omar", "regular", 2, "planned", 525_000, 0, 0)]
    cards.check_money()


def test_a_reference_of_nobody_is_a_finding_and_unexpected(cards: Agency, plan: Plan) -> None:
    hear(cards, "executed STATEMENT NOBODY 500 TRY", "line 7 NOBODY -500 payment")
    assert codes(cards) == ["unknown_reference"]
    found = [d for d in cards.reconcile().differences if d.name == "unexpected"]
    assert [(d.instruction_ref, d.amount_minor, d.explained) for d in found] == [
        ("NOBODY", 500, False)
    ]
    assert plan.total_minor == cards.reconcile().planned_minor


def test_a_statement_line_that_changed_is_a_finding_and_the_first_stands(
    cards: Agency, plan: Plan
) -> None:
    hear(cards, "line 1 %1 -600000 payment")
    hear(cards, "line 1 %1 -600001 payment")
    assert codes(cards) == ["statement_line_changed"]
    assert cards.one("SELECT amount_minor FROM payments.statement_line") == -600_000
    with pytest.raises(Refusal, match="nothing_to_pay"):
        cards.follow_up(plan)


def test_what_is_said_of_a_whole_file_is_said_of_its_lines(cards: Agency, plan: Plan) -> None:
    cards.collect()
    assert set(cards.states().values()) == {"unknown", "stopped"}  # asked, and nothing was said
    message = cards.files()[0][1]
    with transaction(cards.engine) as conn:
        conn.execute(
            "INSERT INTO payments.observation (ref, message_id, outcome, evidence, currency,"
            " reason_code, provider_ref, recorded_at)"
            " VALUES ('', %s, 'accepted', 30, '', 'ACTC', '', now())",
            (message,),
        )
    assert set(cards.states().values()) == {"pending", "stopped"}
    assert cards.settle(plan).pending == 5


@pytest.mark.usefixtures("plan")
def test_a_kept_document_is_one_act_and_the_same_one_again_is_none(cards: Agency) -> None:
    said = ("executed ANSWER %1 600000 TRY", "line 7 %1 -600000 payment", "executed ANSWER X - -")
    hear(cards, *said)
    hear(cards, *said)
    found = cards.rows(
        "SELECT a.person_id, a.answer FROM ops.act a"
        " JOIN payments.document d ON a.key = 'keep:' || d.document_id"
        " WHERE a.verb = 'collect' AND a.object_id = d.document_id"
    )
    answer = {"observations": 2, "statement_lines": 1, "findings": 1}
    assert found == [(cards.id_of("deniz"), answer)]
    assert cards.one("SELECT count(*) FROM ops.act WHERE verb = 'collect'") == 1
