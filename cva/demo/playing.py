"""The steps of the demo: what people of an agency type in the days of a cycle."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from cva.assessing import Run, assess_cycle
from cva.database.connect import transaction
from cva.demo.clock import StoryClock
from cva.demo.far_side import FarSide
from cva.demo.people import Actor
from cva.payments import (
    approving,
    funding,
    observing,
    planning,
    reconciling,
    releasing,
    sending,
    settling,
)
from cva.payments.funding import Funding
from cva.payments.planning import Plan, Terms
from cva.payments.reconciling import Reconciliation
from cva.programmes import publishing
from cva.programmes.model import Programme
from cva.programmes.publishing import Cycle
from cva.providers import Provider, connect
from cva.registry import duplicates
from cva.registry.duplicates import Ruling, Verdict
from cva.vault import Vault

REASON = "lines, stops and control totals looked at"


@dataclass
class Stage:
    """What the story is played on."""

    engine: Engine
    vault: Vault
    clock: StoryClock
    actors: dict[str, Actor]
    far: FarSide
    providers_file: Path
    work: Path


@dataclass
class Act:
    """One programme's way through the cycle; counts of lines unless named otherwise."""

    programme: Programme
    provider: Provider
    cycle: Cycle
    run: Run
    plan: Plan
    settlements: list[settling.Settlement] = field(default_factory=list)
    unknown: int = 0
    resolved: int = 0
    follow_up: Plan | None = None
    reconciliation: Reconciliation | None = None


def fund_programme(stage: Stage, programme: Programme, bank: str) -> None:
    """Record the grant's budget and cash, and the float of a card processor."""
    grant, provider = programme.grant, programme.provider
    own_bank = provider.code if provider.kind == "bank" else bank
    events = ["budget_allotted", "grant_received"]
    if provider.kind != "bank":
        events += ["provider_funded", "float_credited"]
    with transaction(stage.engine) as conn:
        for event in events:
            money = Funding(
                event, grant.code, grant.currency, grant.budget_minor, stage.clock.today(),
                f"grant {grant.code}", own_bank, provider.code,
            )  # fmt: skip
            funding.fund(
                conn, money, person_id=stage.actors["deniz"].person_id, at=stage.clock.now(),
                key=f"{event}:{grant.code}",
            )  # fmt: skip


def open_act(stage: Stage, programme: Programme) -> Act:
    """Publish the programme, open and assess its cycle, and lock the plan."""
    amal = stage.actors["amal"].person_id
    first = stage.clock.today().replace(day=1)
    last = first.replace(day=28)
    with transaction(stage.engine) as conn:
        publishing.publish(conn, programme, person_id=amal, at=stage.clock.now())
        cycle = publishing.open_cycle(
            conn, programme.code, f"{first:%Y-%m}", first, last, person_id=amal,
            at=stage.clock.now(),
        )  # fmt: skip
    run = assess_cycle(
        stage.engine, cycle.cycle_id, person_id=amal, clock=stage.clock, work=stage.work
    )
    with transaction(stage.engine) as conn:
        plan = planning.prepare(
            conn, cycle.cycle_id, terms_of(stage, programme), person_id=amal,
            at=stage.clock.now(), key=f"prepare:{cycle.cycle_id}",
        )  # fmt: skip
    provider = connect(stage.providers_file, programme.provider.code, programme.destination)
    return Act(programme, provider, cycle, run, plan)


def terms_of(stage: Stage, programme: Programme) -> Terms:
    """Return what the programme says about paying; a bank gets its orders a day ahead."""
    ahead = timedelta(days=programme.provider.kind == "bank")
    return Terms(
        provider=programme.provider.code,
        destination=programme.destination,
        currency=programme.currency,
        approvers_needed=programme.approvals.approvers,
        thresholds=programme.thresholds,
        execute_on=stage.clock.today() + ahead,
        emergency=bool(programme.emergency),
    )


def pay(stage: Stage, act: Act, plan: Plan) -> None:
    """Approve by two, release by a third, send, and settle what is answered at once."""
    for login in ("deniz", "omar"):
        with transaction(stage.engine) as conn:
            approving.approve(
                conn, plan.plan_id, person_id=stage.actors[login].person_id,
                passphrase=stage.actors[login].passphrase, reason=REASON, at=stage.clock.now(),
            )  # fmt: skip
    with transaction(stage.engine) as conn:
        releasing.release(
            conn, plan.plan_id, person_id=stage.actors["selin"].person_id,
            passphrase=stage.actors["selin"].passphrase, reason=REASON, at=stage.clock.now(),
        )  # fmt: skip
    sending.send(
        stage.engine, stage.vault, act.provider, plan.plan_id,
        person_id=stage.actors["deniz"].person_id, clock=stage.clock, spool=stage.work,
    )  # fmt: skip
    stage.far.work()
    collect(stage, act)
    settle(stage, act, plan)
    act.unknown += act.settlements[-1].unknown


def ask(stage: Stage, act: Act, plan: Plan) -> None:
    """Find out what became of UNKNOWN lines: by inquiry, or by the bank's statement."""
    before = act.settlements[-1].unknown
    if act.programme.provider.kind != "bank":
        observing.inquire(
            stage.engine, act.provider, plan, person_id=stage.actors["deniz"].person_id,
            clock=stage.clock, spool=stage.work,
        )  # fmt: skip
        stage.far.work()
    collect(stage, act)
    settle(stage, act, plan)
    act.resolved += before - act.settlements[-1].unknown


def collect(stage: Stage, act: Act) -> None:
    """Fetch and keep what the act's provider has for us."""
    observing.collect(
        stage.engine, stage.vault, act.provider, person_id=stage.actors["deniz"].person_id,
        clock=stage.clock,
    )  # fmt: skip


def settle(stage: Stage, act: Act, plan: Plan) -> None:
    """Settle what is known of a plan."""
    with transaction(stage.engine) as conn:
        act.settlements.append(
            settling.settle(
                conn, plan.plan_id, person_id=stage.actors["deniz"].person_id, at=stage.clock.now()
            )
        )


def decide_duplicates(stage: Stage) -> int:
    """Decide every open pair: the registration that came first stays; another person merges.

    Returns how many.
    """
    with transaction(stage.engine) as conn:
        pairs = list(duplicates.open_pairs(conn))
        first = dict(
            conn.execute(
                "SELECT household_id, min(submitted_at) FROM registry.version GROUP BY household_id"
            ).fetchall()
        )
        for pair in pairs:
            kept = min((pair.left_id, pair.right_id), key=first.__getitem__)
            duplicates.decide(
                conn, pair.left_id, pair.right_id,
                Ruling(Verdict.SAME, kept, "same identity number, same members"),
                at=stage.clock.now(), person_id=stage.actors["amal"].person_id,
            )  # fmt: skip
            duplicates.merge(
                conn, pair.left_id, pair.right_id, at=stage.clock.now(),
                person_id=stage.actors["deniz"].person_id,
            )  # fmt: skip
    return len(pairs)


def prepare_follow_up(stage: Stage, act: Act) -> Plan:
    """Lock the follow-up of what failed, was stopped, or was loaded short."""
    with transaction(stage.engine) as conn:
        act.follow_up = planning.prepare_follow_up(
            conn, act.plan, terms_of(stage, act.programme),
            person_id=stage.actors["amal"].person_id, at=stage.clock.now(),
            key=f"follow-up:{act.plan.plan_id}",
        )  # fmt: skip
    return act.follow_up


def close(stage: Stage, acts: Sequence[Act]) -> None:
    """Reconcile every cycle and close it."""
    deniz = stage.actors["deniz"]
    for act in acts:
        with transaction(stage.engine) as conn:
            funding.book_fees(
                conn, act.provider.code, act.programme.provider.kind, act.programme.grant.code,
                person_id=deniz.person_id, at=stage.clock.now(),
            )  # fmt: skip
            act.reconciliation = reconciling.reconcile(
                conn, act.cycle.cycle_id, person_id=deniz.person_id, at=stage.clock.now()
            )
        with transaction(stage.engine) as conn:
            reconciling.close_cycle(
                conn, act.cycle.cycle_id, person_id=deniz.person_id,
                passphrase=deniz.passphrase, at=stage.clock.now(),
            )  # fmt: skip
