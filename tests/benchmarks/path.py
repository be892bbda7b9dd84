"""The steps of the path as the commands run them, each a function of an opened agency.

Every function does what one command does, from its arguments to the commit, and returns what the
next one needs. Nothing here is made faster than what people get.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb  # noqa: F401 - imported before the watch starts
import ibis  # noqa: F401 - imported before the watch starts
from sqlalchemy import Engine, make_url

from adapters.cards import CardFiles, FolderChannel
from adapters.forms import registration_mapping
from adapters.iso20022 import Iso20022
from adapters.port import Operation
from cva import vault
from cva.assessing import Run, assess_cycle
from cva.database import migrations
from cva.database.connect import engine_at, reading, transaction
from cva.demo.clock import StoryClock
from cva.demo.people import Actor, hire
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
from cva.payments.observing import Collected
from cva.payments.planning import Plan, Terms
from cva.payments.reconciling import Reconciliation
from cva.payments.releasing import Release
from cva.payments.sending import Sent
from cva.payments.settling import Settlement
from cva.programmes import publishing
from cva.programmes.model import Programme
from cva.programmes.publishing import Cycle
from cva.providers import Provider
from cva.registry.importing import ImportSummary, import_file
from cva.registry.snapshot import Snapshot, write_snapshot
from cva.reports.reach import Reach, reach
from cva.vault import Vault
from tests.benchmarks.far_side import AGENCY_IBAN, Folders

BEGINS = datetime.fromisoformat("2026-03-02T09:00:00+03:00")
REASON = "lines, stops and control totals looked at"


@dataclass(frozen=True, slots=True)
class Site:
    """Where the agency works; `url` and `owner_url` have their passwords."""

    url: str
    owner_url: str
    home: Path

    @property
    def key_file(self) -> Path:
        """The master key."""
        return self.home / "master.key"


@dataclass(frozen=True, slots=True)
class Agency:
    """The agency at work at one moment."""

    engine: Engine
    vault: Vault
    clock: StoryClock
    actors: Mapping[str, Actor]
    work: Path


@contextmanager
def agency(site: Site, at: datetime, actors: Mapping[str, Actor]) -> Iterator[Agency]:
    """Open the agency at `at`, with one connection that is open already."""
    engine = engine_at(make_url(site.url))
    with reading(engine) as conn:
        conn.execute("SELECT 1")
    opened = vault.open_key_file(site.key_file)
    yield Agency(engine, opened, StoryClock(at), actors, site.home / "work")
    engine.dispose()


@contextmanager
def empty(site: Site) -> Iterator[Site]:
    """Open nothing yet: the database has no tables."""
    yield site


def found(site: Site) -> Mapping[str, Actor]:
    """Make tables, people and, for the first database, the master key."""
    owner = engine_at(make_url(site.owner_url))
    migrations.upgrade(owner)
    owner.dispose()
    engine = engine_at(make_url(site.url))
    known = site.key_file.exists()
    key = vault.open_key_file(site.key_file) if known else vault.create_key_file(site.key_file)
    with transaction(engine) as conn:
        vault.bind(conn, key, BEGINS)
        actors = hire(conn, BEGINS)
    engine.dispose()
    return actors


def take_registrations(agency: Agency, path: Path) -> ImportSummary:
    """Import a file of registrations."""
    person_id = agency.actors["amal"].person_id
    mapping = registration_mapping()
    return import_file(agency.engine, agency.vault, agency.clock, person_id, path, mapping)


def open_cycle(agency: Agency, programme: Programme) -> Cycle:
    """Fund and publish a programme, and open a cycle."""
    grant, provider = programme.grant, programme.provider
    events = ["budget_allotted", "grant_received"]
    if provider.kind == "card_processor":
        events += ["provider_funded", "float_credited"]
    bank = provider.code if provider.kind == "bank" else "BANK"
    amal, deniz = (agency.actors[login].person_id for login in ("amal", "deniz"))
    with transaction(agency.engine) as conn:
        for event in events:
            money = Funding(
                event, grant.code, grant.currency, grant.budget_minor, agency.clock.today(),
                f"grant {grant.code}", bank, provider.code,
            )  # fmt: skip
            key = f"{event}:{grant.code}"
            funding.fund(conn, money, person_id=deniz, at=agency.clock.now(), key=key)
        publishing.publish(conn, programme, person_id=amal, at=agency.clock.now())
        return publishing.open_cycle(
            conn, programme.code, "2026-03", date(2026, 3, 1), date(2026, 3, 28),
            person_id=amal, at=agency.clock.now(),
        )  # fmt: skip


def freeze(agency: Agency, programme: Programme, folder: Path) -> Snapshot:
    """Write the snapshot that the programme's rules read, for the limit to read."""
    declared = programme.rules.inputs
    with transaction(agency.engine) as conn:
        return write_snapshot(conn, folder, declared.household, declared.member)


def assess(agency: Agency, cycle: Cycle) -> Run:
    """Snapshot, assess, store."""
    person_id = agency.actors["amal"].person_id
    return assess_cycle(
        agency.engine, cycle.cycle_id, person_id=person_id, clock=agency.clock, work=agency.work
    )


def prepare(agency: Agency, programme: Programme, cycle: Cycle) -> Plan:
    """Lock the plan."""
    terms = Terms(
        provider=programme.provider.code, destination=programme.destination,
        currency=programme.currency, approvers_needed=programme.approvals.approvers,
        execute_on=agency.clock.today() + timedelta(days=programme.provider.kind == "bank"),
    )  # fmt: skip
    with transaction(agency.engine) as conn:
        return planning.prepare(
            conn, cycle.cycle_id, terms, person_id=agency.actors["amal"].person_id,
            at=agency.clock.now(), key=f"prepare:{cycle.cycle_id}",
        )  # fmt: skip


def approve_and_release(agency: Agency, plan: Plan) -> Release:
    """Two approvals and the release, each in a transaction of its own."""
    for login in ("deniz", "omar"):
        with transaction(agency.engine) as conn:
            approving.approve(
                conn, plan.plan_id, person_id=agency.actors[login].person_id,
                passphrase=agency.actors[login].passphrase, reason=REASON, at=agency.clock.now(),
            )  # fmt: skip
    with transaction(agency.engine) as conn:
        return releasing.release(
            conn, plan.plan_id, person_id=agency.actors["selin"].person_id,
            passphrase=agency.actors["selin"].passphrase, reason=REASON, at=agency.clock.now(),
        )  # fmt: skip


def hand_over(agency: Agency, plan: Plan, programme: Programme, folders: Folders) -> list[Sent]:
    """Render the plan's files and hand them over."""
    return sending.send(
        agency.engine, agency.vault, _provider(programme, folders), plan.plan_id,
        person_id=agency.actors["deniz"].person_id, clock=agency.clock, spool=agency.work,
    )  # fmt: skip


def collect_and_settle(
    agency: Agency, plan: Plan, programme: Programme, folders: Folders
) -> tuple[Collected, Settlement]:
    """Fetch and keep what the provider says, then settle what is known."""
    person_id = agency.actors["deniz"].person_id
    collected = observing.collect(
        agency.engine, agency.vault, _provider(programme, folders), person_id=person_id,
        clock=agency.clock,
    )  # fmt: skip
    with transaction(agency.engine) as conn:
        settled = settling.settle(conn, plan.plan_id, person_id=person_id, at=agency.clock.now())
    return collected, settled


def reconcile(agency: Agency, cycle: Cycle) -> Reconciliation:
    """Compare plan, books, reports and statements."""
    with transaction(agency.engine) as conn:
        return reconciling.reconcile(
            conn, cycle.cycle_id, person_id=agency.actors["deniz"].person_id,
            at=agency.clock.now(),
        )  # fmt: skip


def count_reach(agency: Agency) -> Reach:
    """Count who was reached in the year."""
    with reading(agency.engine) as conn:
        return reach(conn, date(2026, 1, 1), date(2026, 12, 31))


def _provider(programme: Programme, folders: Folders) -> Provider:
    """Both providers hand over by folder: a network would measure the far side."""
    channel = FolderChannel(folders.outgoing, folders.incoming)
    if programme.provider.kind == "bank":
        return Provider(
            code=programme.provider.code, operation=Operation.CREDIT_TRANSFER,
            destination=programme.destination, format=Iso20022(), channel=channel,
            debtor_name="Example Agency", debtor_account=AGENCY_IBAN, debtor_agent="",
            suffix=".xml", names_payee=True, remittance="Cash assistance",
        )  # fmt: skip
    return Provider(
        code=programme.provider.code, operation=Operation.LOAD,
        destination=programme.destination, format=CardFiles("MARKET", programme.currency, 2),
        channel=channel, debtor_name="Example Agency", debtor_account="MARKET", debtor_agent="",
        suffix=".txt", names_payee=False, remittance="",
    )  # fmt: skip
