"""Every verb again: the same request has the same answer, two people at once have one effect."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from threading import Barrier, Event

import pytest

from adapters.port import Receipt
from adapters.simulators.card_processor import CardProcessor
from ledgers.problems import Refusal
from tests.cva.payments.agency import BUDGET_MINOR, Agency


def at_once(*verbs: Callable[[], object]) -> list[object]:
    """What each of the verbs answered, all begun at one moment; a refusal is its code."""
    barrier = Barrier(len(verbs))

    def run(verb: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return verb()
        except Refusal as refusal:
            return refusal.problem.code

    with ThreadPoolExecutor(len(verbs)) as pool:
        return list(pool.map(run, verbs))


def test_the_same_request_has_the_same_answer(cards: Agency, processor: CardProcessor) -> None:
    def count() -> list[int]:
        tables = ("payments.plan", "payments.line", "payments.signature", "payments.file",
                  "payments.handover", "payments.document", "payments.observation",
                  "payments.outcome", "books.entry", "books.transfer", "ops.act")  # fmt: skip
        return [int(str(cards.one(f"SELECT count(*) FROM {name}"))) for name in tables]

    plan = cards.prepare()
    for verb in (
        cards.prepare,
        lambda: cards.approve(plan, "deniz"),
        lambda: cards.approve(plan, "omar"),
        lambda: cards.release(plan),
    ):
        first = verb()
        after = count()
        assert verb() == first
        assert count() == after
    for verb, again in (
        (lambda: cards.send(plan), []),
        (processor.run_once, 0),
        (lambda: cards.collect().known_before, 1),
        (lambda: cards.settle(plan).loaded, 0),
    ):
        verb()
        after = count()
        assert verb() == again
        assert count() == after
    follow_up = cards.follow_up(plan)
    assert cards.follow_up(plan) == follow_up
    assert (cards.cancel(follow_up), cards.cancel(follow_up)) == (2, 2)
    cards.fund("budget_allotted")  # the key of the first funding
    assert cards.balance("9010.GR-2026.TRY")[0] < BUDGET_MINOR
    processor.settle(date(2026, 3, 3))
    cards.collect()
    assert (cards.book_fees(), cards.book_fees()) == (1, 0)


def test_a_key_stands_for_one_request(cards: Agency) -> None:
    plan = cards.prepare(key="march")
    with pytest.raises(Refusal, match="act_key_used_differently"):
        cards.follow_up(plan, key="march")
    cards.grant("deniz", "programme")
    with pytest.raises(Refusal, match="act_key_used_differently"):
        cards.prepare(by="deniz", key="march")
    with pytest.raises(Refusal, match="key_used_differently"):
        cards.fund("budget_allotted", 1, key="budget_allotted")


def test_two_at_once_prepare_one_plan(cards: Agency) -> None:
    cards.grant("omar", "programme")
    first, second = at_once(
        lambda: cards.prepare(key="one"), lambda: cards.prepare(by="omar", key="two")
    )
    assert "nothing_to_pay" in (first, second)
    assert cards.one("SELECT count(*) FROM payments.plan") == 1
    one, other = at_once(lambda: cards.prepare(key="three"), lambda: cards.prepare(key="three"))
    assert one == other == "nothing_to_pay"


def test_two_at_once_release_once(cards: Agency) -> None:
    plan = cards.approved(cards.prepare())
    cards.grant("sam", "finance")
    assert sorted(map(str, at_once(
        lambda: cards.release(plan, "selin").lines, lambda: cards.release(plan, "sam").lines
    ))) == ["5", "plan_already_released"]  # fmt: skip
    cards.check_money()


def test_the_same_person_at_once_releases_once(cards: Agency) -> None:
    plan = cards.approved(cards.prepare())
    first, second = at_once(lambda: cards.release(plan), lambda: cards.release(plan))
    assert first == second
    assert cards.one("SELECT count(*) FROM payments.file") == 1
    cards.check_money()


def test_two_at_once_approve_and_the_money_is_reserved_once(cards: Agency) -> None:
    plan = cards.prepare()
    answers = at_once(
        lambda: cards.approve(plan, "deniz").reserved_minor,
        lambda: cards.approve(plan, "omar").reserved_minor,
    )
    assert sorted(map(int, map(str, answers))) == [0, 4_500_000]
    assert cards.balance("9020.GR-2026.TRY") == (4_500_000, 0)


def test_two_plans_at_once_do_not_share_one_budget(cards: Agency) -> None:
    first = cards.prepare()
    cards.approve(first, "deniz")
    second = cards.cycle_beside("2026-04")
    cards.approve(second, "deniz")
    cards.leave("9010", 5_000_000)
    answers = at_once(
        lambda: cards.approve(first, "omar").given, lambda: cards.approve(second, "omar").given
    )
    assert sorted(map(str, answers)) == ["2", "account_limit"]


def test_release_and_cancellation_at_once_have_one_end(cards: Agency) -> None:
    plan = cards.approved(cards.prepare())
    released, cancelled = at_once(lambda: cards.release(plan), lambda: cards.cancel(plan))
    assert (released == "plan_cancelled") != (cancelled == "role_missing")
    cards.check_money()


class Slow:
    """A channel on which a file is still travelling."""

    def __init__(self, agency: Agency) -> None:
        self.usual = agency.provider.channel
        self.travelling, self.arrived = Event(), Event()

    def hand_over(self, name: str, path: Path, sha256: str) -> Receipt:
        self.travelling.set()
        assert self.arrived.wait(60)
        return self.usual.hand_over(name, path, sha256)


def test_while_a_plan_is_sent_nobody_else_sends_settles_or_replaces_it(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = cards.released(cards.prepare())
    slow = Slow(cards)
    usual = cards.provider
    with ThreadPoolExecutor(1) as pool:
        cards.provider = replace(usual, channel=slow)
        sending = pool.submit(cards.send, plan)
        assert slow.travelling.wait(60)
        cards.provider = usual
        for verb in (
            lambda: cards.send(plan),
            lambda: cards.settle(plan),
            lambda: cards.not_taken(cards.files()[0][0]),
        ):
            with pytest.raises(Refusal, match="send_in_progress"):
                verb()
        with pytest.raises(Refusal, match="plan_already_released"):
            cards.cancel(plan, "omar")
        slow.arrived.set()
        (sent,) = sending.result()
    assert sent.outcome == "accepted"
    processor.run_once()
    assert len(list((cards.folder / "to-cards" / "taken").iterdir())) == 1


def test_two_at_once_collect_and_settle_once(cards: Agency, processor: CardProcessor) -> None:
    plan = cards.released(cards.prepare())
    cards.send(plan)
    processor.run_once()
    at_once(cards.collect, cards.collect)
    assert cards.one("SELECT count(*) FROM payments.document") == 1
    assert cards.one("SELECT count(*) FROM payments.observation") == 5
    at_once(lambda: cards.settle(plan), lambda: cards.settle(plan))
    assert cards.one("SELECT count(*) FROM payments.outcome WHERE kind = 'loaded'") == 2
    cards.check_money()
