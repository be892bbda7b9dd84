"""No state of a plan is without a way out: each is reached, and each way is walked to an end.

The table of the page for finance officers says the same in words.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.cards import CardFiles
from adapters.port import Outcome, Receipt
from adapters.simulators.card_processor import CardProcessor
from cva.payments import releasing
from cva.payments.planning import Plan
from ledgers.problems import Refusal
from tests.cva.payments.agency import Agency

ENDS = {"loaded", "voided", "returned", "stopped", "cancelled"}


class Broken:
    """A channel that answers nothing, a first file excepted where one is let through."""

    def __init__(self, agency: Agency, *, let_through: int = 0, outcome: Outcome) -> None:
        self.usual = agency.provider.channel
        self.left = let_through
        self.receipt = Receipt(outcome, "no word")

    def hand_over(self, name: str, path: Path, sha256: str) -> Receipt:
        if not self.left:
            return self.receipt
        self.left -= 1
        return self.usual.hand_over(name, path, sha256)


# --- states: how a plan comes into each -------------------------------------------------------


def prepared(cards: Agency, _: CardProcessor) -> Plan:
    return cards.prepare()


def approved_once(cards: Agency, _: CardProcessor) -> Plan:
    plan = cards.prepare()
    cards.approve(plan, "deniz")
    return plan


def approved(cards: Agency, _: CardProcessor) -> Plan:
    return cards.approved(cards.prepare())


def released(cards: Agency, _: CardProcessor) -> Plan:
    return cards.released(cards.prepare())


def unanswered(cards: Agency, _: CardProcessor) -> Plan:
    plan = cards.released(cards.prepare())
    with cards.channel(Broken(cards, outcome=Outcome.UNKNOWN)):
        cards.send(plan)
    return plan


def refused_at_the_door(cards: Agency, _: CardProcessor) -> Plan:
    plan = cards.released(cards.prepare())
    with cards.channel(Broken(cards, outcome=Outcome.REJECTED)):
        cards.send(plan)
    return plan


def half_handed_over(cards: Agency, _: CardProcessor) -> Plan:
    plan = cards.released(cards.prepare())
    with cards.channel(Broken(cards, let_through=1, outcome=Outcome.UNKNOWN)):
        assert [sent.outcome for sent in cards.send(plan)][:2] == ["accepted", "unknown"]
    return plan


def unanswered_with_other_bytes_now(cards: Agency, processor: CardProcessor) -> Plan:
    plan = unanswered(cards, processor)
    usual = cards.provider
    cards.provider = replace(usual, format=CardFiles("OTHER", "TRY", 2), debtor_account="OTHER")
    with pytest.raises(Refusal, match="rendering_differs"):
        cards.send(plan)
    return plan


def handed_over(cards: Agency, _: CardProcessor) -> Plan:
    plan = cards.released(cards.prepare())
    cards.send(plan)
    return plan


def partly_settled(cards: Agency, processor: CardProcessor) -> Plan:
    plan = handed_over(cards, processor)
    processor.run_once()
    cards.collect()
    settled = cards.settle(plan)
    assert (settled.loaded, settled.voided, settled.unknown) == (2, 1, 2)
    return plan


# --- ways: what is typed, to an end -----------------------------------------------------------


def cancel(cards: Agency, _: CardProcessor, plan: Plan) -> None:
    cards.cancel(plan, "omar")


def go_on(cards: Agency, processor: CardProcessor, plan: Plan) -> None:
    """Type whatever is still to be typed on the way to the end, in its order."""
    given = cards.one("SELECT count(*) FROM payments.signature WHERE plan_id = %s", plan.plan_id)
    if given < 3:
        for login in ("deniz", "omar"):
            cards.approve(plan, login)  # the same person again gets the same answer
        cards.release(plan)
    cards.send(plan)
    processor.run_once()
    cards.collect()
    cards.settle(plan)
    cards.inquire(plan)
    processor.run_once()
    cards.collect()
    cards.settle(plan)


def nothing_taken(cards: Agency) -> None:
    open_files = cards.rows(
        "SELECT file_id FROM payments.outbox JOIN payments.handover USING (file_id)"
    )
    for (file_id,) in open_files:
        cards.not_taken(file_id)


def record_not_taken_and_cancel(cards: Agency, processor: CardProcessor, plan: Plan) -> None:
    nothing_taken(cards)
    cancel(cards, processor, plan)


def record_not_taken_and_go_on(cards: Agency, processor: CardProcessor, plan: Plan) -> None:
    nothing_taken(cards)
    if cards.provider.debtor_account == "OTHER":
        cards.provider = Agency(cards.database, cards.folder, cards.kind).provider
    go_on(cards, processor, plan)


def settle_what_the_day_says(cards: Agency, processor: CardProcessor, plan: Plan) -> None:
    """Also where a question stays unanswered at first: the settlement file speaks of loads."""
    processor.run_once()
    processor.settle(datetime(2026, 3, 2, tzinfo=UTC).date())
    cards.collect()
    cards.settle(plan)
    go_on(cards, processor, plan)


WAYS: dict[Callable[..., Plan], list[Callable[..., None]]] = {
    prepared: [cancel, go_on],
    approved_once: [cancel, go_on],
    approved: [cancel, go_on],
    released: [cancel, go_on],
    unanswered: [go_on, record_not_taken_and_cancel, record_not_taken_and_go_on],
    refused_at_the_door: [go_on, cancel],
    half_handed_over: [go_on, record_not_taken_and_go_on],
    unanswered_with_other_bytes_now: [record_not_taken_and_go_on, record_not_taken_and_cancel],
    handed_over: [go_on],
    partly_settled: [go_on, settle_what_the_day_says],
}


@pytest.mark.parametrize(
    ("state", "way"),
    [(state, way) for state, ways in WAYS.items() for way in ways],
    ids=lambda function: function.__name__,
)
def test_every_state_of_a_plan_has_a_way_out(
    cards: Agency,
    processor: CardProcessor,
    state: Callable[..., Plan],
    way: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if state is half_handed_over:
        monkeypatch.setattr(releasing, "LINES_PER_FILE", 2)
    plan = state(cards, processor)
    assert way is cancel or set(cards.states(plan).values()) - ENDS

    way(cards, processor, plan)

    assert set(cards.states(plan).values()) <= ENDS
    cards.check_money()


def test_what_ended_without_money_goes_on_in_another_plan(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = partly_settled(cards, processor)
    go_on(cards, processor, plan)
    follow_up = cards.follow_up(plan)
    cards.cancel(follow_up)
    again = cards.follow_up(plan, key="again")
    go_on(cards, processor, again)
    assert set(cards.states(again).values()) <= ENDS


@pytest.mark.parametrize("state", [unanswered, handed_over, partly_settled, half_handed_over])
def test_what_may_have_been_taken_is_not_cancelled(
    cards: Agency,
    processor: CardProcessor,
    state: Callable[..., Plan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(releasing, "LINES_PER_FILE", 2 if state is half_handed_over else 50_000)
    plan = state(cards, processor)
    with pytest.raises(Refusal, match="plan_already_released"):
        cards.cancel(plan, "omar")


# --- the clock --------------------------------------------------------------------------------


class Turned:
    """A channel during whose hand-over the machine's clock is set back by a month."""

    def __init__(self, agency: Agency) -> None:
        self.agency, self.usual = agency, agency.provider.channel

    def hand_over(self, name: str, path: Path, sha256: str) -> Receipt:
        self.agency.clock.moment = self.agency.clock.now().replace(month=2)
        return self.usual.hand_over(name, path, sha256)


def test_an_answer_is_kept_whatever_the_clock_says_by_then(cards: Agency) -> None:
    plan = cards.released(cards.prepare())
    with cards.channel(Turned(cards)):
        (sent,) = cards.send(plan)
    assert sent.outcome == "accepted"
    assert cards.rows(
        "SELECT key, verb, object_id, answer, at = max(at) OVER () FROM ops.act"
        " ORDER BY act_id DESC LIMIT 1"
    ) == [(f"send:{cards.files()[0][0]}:1", "send", plan.plan_id, {"outcome": "accepted"}, True)]


def test_nothing_leaves_under_a_clock_that_was_set_back(cards: Agency) -> None:
    plan = cards.released(cards.prepare())
    cards.clock.moment = cards.clock.now().replace(month=2)
    with pytest.raises(Refusal, match="clock_set_back"):
        cards.send(plan)
    assert list((cards.folder / "to-cards").iterdir()) == []
    assert cards.one("SELECT count(*) FROM payments.handover") == 0


def test_the_word_that_a_file_was_not_taken_is_an_act_once(cards: Agency) -> None:
    plan = unanswered(cards, None)
    file_id = cards.files()[0][0]
    for _ in range(2):
        cards.not_taken(file_id)
    assert cards.rows("SELECT key, object_id FROM ops.act WHERE verb = 'not_taken'") == [
        (f"not_taken:{file_id}", plan.plan_id)
    ]
