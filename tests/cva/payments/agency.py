"""A small agency ready to pay: people with keys, a registered caseload, a cycle that was assessed.

Households are registered through the real import with a real vault; programme, run and decisions
are rows, because what they say is not at stake here. The people: Kerem administers, Amal runs the
programme, Deniz, Omar and Selin are finance officers, Ines audits, Sam has no role.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import psycopg
from sqlalchemy import Engine

from adapters.assistance import ListMapping, write_list
from adapters.cards import CardFiles, FolderChannel
from adapters.iso20022 import Iso20022
from adapters.port import Channel, Document, Operation, Record
from adapters.simulators.card_processor import CardProcessor
from cva import vault
from cva.clock import ZONE
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.payments import (
    approving,
    funding,
    observing,
    planning,
    reconciling,
    redemptions,
    releasing,
    sending,
    settling,
)
from cva.payments.funding import Funding
from cva.payments.planning import Plan, Terms
from cva.providers import Provider
from cva.registry import duplicates, linking
from cva.registry.duplicates import Ruling, Verdict
from cva.registry.importing import Origin, find_import, take
from cva.registry.linking import Scope
from cva.registry.lists import ListSummary, import_list
from cva.staff.keys import new_sealed_key
from cva.vault import Vault
from ledgers import balances, verification
from ledgers.entries import EntryHead, Leg, record
from ledgers.problems import Place
from tests.adapters.bank_orders import AGENCY_IBAN
from tests.databases import Database

BEGINS = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
FIRST_DAY, LAST_DAY = date(2026, 3, 1), date(2026, 3, 31)
WORDS = "four words that differ"
REASON = "lines and control totals looked at"
GRANT = "GR-2026"
BUDGET_MINOR = 100_000_000
VAULT = Vault(bytes(range(32)))
ROLES = {
    "kerem": "administrator", "amal": "programme", "deniz": "finance", "omar": "finance",
    "selin": "finance", "ines": "auditor", "sam": None,
}  # fmt: skip
CARDS, BANK = "MARKET-CARDS", "HALK"


@dataclass(frozen=True)
class House:
    """One household to be registered, with what the assessment gives it."""

    name: str
    amount_minor: int = 600_000
    card: str = ""
    iban: str = ""
    id_number: str = ""
    people: int = 4
    province: str = "TR-63"
    consent: str = "yes"
    selected: bool = True

    def record(self, number: int, revision: str) -> Record:
        given, family = self.name.split()
        head = {
            "given_name": given, "family_name": family, "relationship": "head", "sex": "female",
            "birth_date": "1987-04-23", "nationality": "SY",
            "id_type": "tr_foreigner_id" if self.id_number else "none",
            "id_number": self.id_number,
        }  # fmt: skip
        fields = {
            "consent_given": self.consent, "province": self.province, "district": "Haliliye",
            "population_group": "syrian_tp", "declared_size": "1", "iban": self.iban,
            "voucher_card_ref": self.card,
        }  # fmt: skip
        place = Place("march.json", row=number)
        return Record(place, f"r{number}", revision, BEGINS, fields, [head], {})


def many(count: int, iban: Callable[[int], str] | None = None) -> list[House]:
    """As many households as wanted, named by a number written in letters."""
    return [
        House(
            f"Layla {''.join(chr(65 + int(digit)) for digit in str(number))}",
            600_000 + number,
            card="" if iban else f"VC-{number * 1000:08d}",
            iban=iban(number) if iban else "",
        )
        for number in range(1, count + 1)
    ]


@dataclass
class Clock:
    """A clock that moves on a second with every question."""

    moment: datetime = BEGINS

    def now(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment

    def today(self) -> date:
        return self.moment.astimezone(ZONE).date()


@cache
def keys_of(login: str) -> tuple[str, bytes, bytes]:
    """A person's id, public key and sealed key: made once, because sealing is slow on purpose."""
    person_id = f"per_{hashlib.sha256(login.encode()).hexdigest()[:26]}"
    return person_id, *new_sealed_key(person_id, WORDS)


@dataclass
class Agency:
    """The agency on one test's own database."""

    database: Database
    folder: Path
    kind: str
    clock: Clock = field(default_factory=Clock)
    names: dict[str, str] = field(default_factory=dict)  # household id → name
    cycle_id: str = ""
    contract: dict[str, object] | None = None  # with the provider; none stated: spent at the load
    thresholds: tuple[tuple[int, int], ...] = ()  # plans above a total need more approvers
    need: str = ""  # what the programme is for; none stated: nobody compares it
    provider: Provider = field(init=False)
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = self.database.engine()
        self.spool = self.folder / "work"
        self.provider = self._cards() if self.kind == "card_processor" else self._bank()

    # --- before any plan ---

    def found(self) -> None:
        """Hire the people, bind the key, publish the programme, open the cycle, fund the grant."""
        with transaction(self.engine) as conn:
            vault.bind(conn, VAULT, self.clock.now())
            for login, role in ROLES.items():
                _hire(conn, login, role, self.clock.now())
            self.cycle_id = self._open_cycle(conn, "2026-03", FIRST_DAY, LAST_DAY)
        events = ["budget_allotted", "grant_received"]
        if self.kind == "card_processor":
            events += ["provider_funded", "float_credited"]
        for event in events:
            self.fund(event)

    def fund(
        self, event: str, minor: int = BUDGET_MINOR, *, key: str = "", by: str = "deniz"
    ) -> None:
        money = Funding(
            event, GRANT, "TRY", minor, FIRST_DAY, f"{event} of the grant", BANK,
            self.provider.code,
        )  # fmt: skip
        with transaction(self.engine) as conn:
            funding.fund(
                conn, money, person_id=self.id_of(by), at=self.clock.now(), key=key or event
            )

    def register(self, houses: Sequence[House], revision: str = "1") -> list[str]:
        """Import the households; returns their ids in the same order."""
        origin = Origin(
            "registration", "march.json", self.clock.now().isoformat().encode()[:32], {}
        )
        origin = replace(origin, sha256=hashlib.sha256(origin.sha256).digest())
        with transaction(self.engine) as conn:
            assert find_import(conn, origin) is None
            records = (house.record(n, revision) for n, house in enumerate(houses, start=1))
            take(conn, VAULT, origin, records, (self.id_of("amal"), self.clock.now()))
            rows = conn.execute(
                "SELECT household_id FROM registry.live ORDER BY version_id"
            ).fetchall()
        ids = [household_id for (household_id,) in rows]
        self.names |= dict(zip(ids, (house.name for house in houses), strict=True))
        return ids

    def assess(self, houses: Sequence[House], cycle_id: str = "") -> str:
        """Store a run whose decisions are those of the households, in their order."""
        by_name = {name: household_id for household_id, name in self.names.items()}
        run_id = new_id("run", self.clock.now())
        with transaction(self.engine) as conn:
            conn.execute(
                "INSERT INTO assessment.run (run_id, cycle_id, snapshot_sha256, decisions_sha256,"
                " pack_hash, reference_date, seed, registered, eligible, review, selected,"
                " person_id, at) VALUES (%s, %s, %s, %s, %s, %s, 'seed', %s, %s, 0, %s, %s, %s)",
                (run_id, cycle_id or self.cycle_id, bytes(32), bytes(32), bytes(32), FIRST_DAY,
                 len(houses), len(houses), len(houses), self.id_of("amal"), self.clock.now()),
            )  # fmt: skip
            versions = dict(
                conn.execute("SELECT household_id, version_id FROM registry.live").fetchall()
            )
            columns = (
                "run_id, household_id, version_id, status, pass_bits, unknown_bits, tie_key, rank,"
                " selected, amount_minor, currency, people, people_from, reason"
            )
            with (
                conn.cursor() as cursor,
                cursor.copy(f"COPY assessment.decision ({columns}) FROM STDIN") as copy,
            ):
                for rank, house in enumerate(houses, start=1):
                    household_id = by_name[house.name]
                    copy.write_row((
                        run_id, household_id, versions.get(household_id, 1), "eligible", 1, 0,
                        f"{rank:09d}", rank, house.selected, house.amount_minor, "TRY",
                        house.people, "roster", "served",
                    ))  # fmt: skip
        return run_id

    def cycle_beside(self, name: str) -> Plan:
        """A plan for the same households in a cycle of another programme on the same grant."""
        with transaction(self.engine) as conn:
            cycle_id = self._open_cycle(conn, name, FIRST_DAY, LAST_DAY, code="winter")
            houses = conn.execute(
                "SELECT household_id, amount_minor FROM payments.line ORDER BY line_no"
            ).fetchall()
        self.assess([House(self.names[one], minor) for one, minor in houses], cycle_id)
        return self.prepare(cycle_id=cycle_id, key=name)

    def leave(self, chart_code: str, minor: int) -> None:
        """Let others take all but `minor` of the budget (9010) or of the float (1110)."""
        layer, other = {"9010": ("M", "9030"), "1110": ("A", "1030")}[chart_code]
        with transaction(self.engine) as conn:
            codes = {
                row.code[:4]: (row.code, row.available_minor)
                for row in balances.trial_balance(conn)
            }
            taken = codes[chart_code][1] - minor
            legs = [
                Leg(codes[other][0], taken, layer, grant_code=GRANT, provider="OTHERS"),
                Leg(codes[chart_code][0], -taken, layer, grant_code=GRANT, provider="OTHERS"),
            ]
            at = self.clock.now()
            head = EntryHead(
                new_id("je", at), f"taken:{chart_code}", "taken_elsewhere", FIRST_DAY, "others",
                "another programme", recorded_on=FIRST_DAY,
            )  # fmt: skip
            record(conn, head, legs)

    # --- the verbs ---

    @property
    def terms(self) -> Terms:
        destination = self.provider.destination
        days = 1 if self.kind == "bank" else 0
        execute_on = self.clock.today() + timedelta(days=days)
        return Terms(self.provider.code, destination, "TRY", 2, execute_on, self.thresholds)

    def prepare(self, *, by: str = "amal", key: str = "prepare", cycle_id: str = "") -> Plan:
        with transaction(self.engine) as conn:
            return planning.prepare(
                conn, cycle_id or self.cycle_id, self.terms, person_id=self.id_of(by),
                at=self.clock.now(), key=key,
            )  # fmt: skip

    def follow_up(self, parent: Plan, *, by: str = "amal", key: str = "follow-up") -> Plan:
        with transaction(self.engine) as conn:
            return planning.prepare_follow_up(
                conn, parent, self.terms, person_id=self.id_of(by), at=self.clock.now(), key=key
            )

    def approve(self, plan: Plan, by: str, *, words: str = WORDS) -> approving.Approval:
        with transaction(self.engine) as conn:
            return approving.approve(
                conn, plan.plan_id, person_id=self.id_of(by), passphrase=words, reason=REASON,
                at=self.clock.now(),
            )  # fmt: skip

    def cancel(self, plan: Plan, by: str = "amal") -> int:
        with transaction(self.engine) as conn:
            return approving.cancel(
                conn, plan.plan_id, person_id=self.id_of(by), reason="wrong day",
                at=self.clock.now(),
            )  # fmt: skip

    def release(self, plan: Plan, by: str = "selin") -> releasing.Release:
        with transaction(self.engine) as conn:
            return releasing.release(
                conn, plan.plan_id, person_id=self.id_of(by), passphrase=WORDS, reason=REASON,
                at=self.clock.now(),
            )  # fmt: skip

    def send(self, plan: Plan, by: str = "deniz") -> list[sending.Sent]:
        return sending.send(
            self.engine, VAULT, self.provider, plan.plan_id, person_id=self.id_of(by),
            clock=self.clock, spool=self.spool,
        )  # fmt: skip

    def not_taken(self, file_id: str, by: str = "deniz") -> None:
        with transaction(self.engine) as conn:
            sending.record_not_taken(
                conn, file_id, evidence="letter of 3 March", person_id=self.id_of(by),
                at=self.clock.now(),
            )  # fmt: skip

    def collect(self, by: str = "deniz") -> observing.Collected:
        return observing.collect(
            self.engine, VAULT, self.provider, person_id=self.id_of(by), clock=self.clock
        )

    def inquire(self, plan: Plan, by: str = "deniz") -> int:
        return observing.inquire(
            self.engine, self.provider, plan, person_id=self.id_of(by), clock=self.clock,
            spool=self.spool,
        )  # fmt: skip

    def settle(self, plan: Plan, by: str = "deniz") -> settling.Settlement:
        with transaction(self.engine) as conn:
            return settling.settle(
                conn, plan.plan_id, person_id=self.id_of(by), at=self.clock.now()
            )

    def book_fees(self, by: str = "deniz") -> int:
        # What a statement charges is booked when that day has come.
        self.clock.moment = max(self.clock.moment, BEGINS + timedelta(days=2))
        with transaction(self.engine) as conn:
            return funding.book_fees(
                conn, self.provider.code, self.kind, GRANT, person_id=self.id_of(by),
                at=self.clock.now(),
            )  # fmt: skip

    def reconcile(self, by: str = "deniz") -> reconciling.Reconciliation:
        with transaction(self.engine) as conn:
            return reconciling.reconcile(
                conn, self.cycle_id, person_id=self.id_of(by), at=self.clock.now()
            )

    def close(self, by: str = "deniz") -> str:
        with transaction(self.engine) as conn:
            return reconciling.close_cycle(
                conn, self.cycle_id, person_id=self.id_of(by), passphrase=WORDS,
                at=self.clock.now(),
            )  # fmt: skip

    def approved(self, plan: Plan) -> Plan:
        for login in ("deniz", "omar"):
            self.approve(plan, login)
        return plan

    def released(self, plan: Plan) -> Plan:
        self.release(self.approved(plan))
        return plan

    def book_redemptions(self, document: Document, by: str = "deniz") -> redemptions.Booked:
        with transaction(self.engine) as conn:
            return redemptions.book(
                conn, VAULT, self.provider, document, person_id=self.id_of(by),
                at=self.clock.now(),
            )  # fmt: skip

    def decide(self, left: str, right: str, verdict: Verdict, kept: str | None = None) -> None:
        """Let Amal decide about two households, or two people."""
        with transaction(self.engine) as conn:
            duplicates.decide(
                conn, left, right, Ruling(verdict, kept, "met them"),
                person_id=self.id_of("amal"), at=self.clock.now(),
            )  # fmt: skip

    def merge(self, left: str, right: str, *, kept: str, by: str = "deniz") -> None:
        """Let Amal decide that two are the same, and somebody of finance merge them."""
        self.decide(left, right, Verdict.SAME, kept)
        with transaction(self.engine) as conn:
            duplicates.merge(conn, left, right, person_id=self.id_of(by), at=self.clock.now())

    def take_list(
        self, rows: Iterable[Mapping[str, str]], agency: str = "KIZILAY", *, matched: bool = True
    ) -> ListSummary:
        """Let Amal import another agency's list, and match its people with ours."""
        path = self.folder / f"{agency}-{self.clock.now():%H%M%S}.csv"
        write_list(path, rows)
        mapping = ListMapping(agency=agency)
        taken = import_list(self.engine, VAULT, self.clock, self.id_of("amal"), path, mapping)
        if matched:
            self.link(Scope.LISTS)
        return taken

    def link(self, scope: Scope = Scope.WHOLE) -> linking.Run:
        return linking.run(self.engine, VAULT, self.clock, self.id_of("amal"), scope)

    # --- what stands ---

    def id_of(self, login: str) -> str:
        return keys_of(login)[0]

    def rows(self, query: str, *values: object) -> list[tuple]:
        with transaction(self.engine) as conn:
            return conn.execute(query, values).fetchall()

    def one(self, query: str, *values: object) -> object:
        ((value,),) = self.rows(query, *values)
        return value

    def lines(self, plan: Plan | None = None) -> list[tuple]:
        """(name, kind, attempt, state, planned, loaded, returned) of the plan, or of all plans."""
        rows = self.rows(
            "SELECT household_id, kind, attempt, state, amount_minor, loaded_minor, returned_minor"
            " FROM payments.line_state WHERE %s::text IS NULL OR plan_id = %s"
            " ORDER BY plan_id, line_no",
            plan and plan.plan_id, plan and plan.plan_id,
        )  # fmt: skip
        return [(self.names[household_id], *rest) for household_id, *rest in rows]

    def states(self, plan: Plan | None = None) -> dict[str, str]:
        return {name: state for name, _, _, state, *_ in self.lines(plan)}

    def balance(self, code: str) -> tuple[int, int]:
        """(posted, pending) of an account on its normal side; nothing where it is not open."""
        with transaction(self.engine) as conn:
            for row in balances.trial_balance(conn):
                if row.code == code:
                    return row.balance_minor, row.pending_minor
        return 0, 0

    def trial_balance(self) -> list[tuple]:
        with transaction(self.engine) as conn:
            return [
                (row.code, row.posted_debit_minor, row.posted_credit_minor,
                 row.pending_debit_minor, row.pending_credit_minor)
                for row in balances.trial_balance(conn)
            ]  # fmt: skip

    def files(self) -> list[tuple]:
        """(file id, message id, generation) of the outbox, in the order they were made."""
        return self.rows(
            "SELECT file_id, message_id, generation FROM payments.file ORDER BY part, generation"
        )

    def check_money(self) -> None:
        """Nothing is lost over a plan's life, the layers agree, and the books verify."""
        entitled, stopped, unreleased, pending, loaded, voided, rest = self.rows(
            "SELECT sum(amount_minor), sum(amount_minor) FILTER (WHERE state = 'stopped'),"
            " sum(amount_minor) FILTER (WHERE state IN ('planned', 'cancelled')),"
            " sum(amount_minor) FILTER (WHERE state IN ('pending', 'unknown')),"
            " sum(loaded_minor), sum(amount_minor) FILTER (WHERE state = 'voided'),"
            " sum(amount_minor - loaded_minor) FILTER (WHERE state IN ('loaded', 'returned'))"
            " FROM payments.line_state"
        )[0]
        returned = self.one("SELECT sum(returned_minor) FROM payments.line_state") or 0
        parts = (stopped, unreleased, pending, loaded, voided, rest)
        assert (entitled or 0) == sum(part or 0 for part in parts)
        expense = "5020.TRY" if self.kind == "card_processor" else "5010.TRY"
        assert self.balance(expense) == ((loaded or 0) - returned, pending or 0)
        assert self.balance(f"9040.{GRANT}.TRY")[0] == (loaded or 0) - returned
        with transaction(self.engine) as conn:
            found = verification.verify(conn)
        assert [check for check in found.checks if check.wrong] == []

    @contextmanager
    def channel(self, channel: Channel) -> Iterator[None]:
        """Let files travel another way for a while."""
        usual = self.provider
        self.provider = replace(usual, channel=channel)
        try:
            yield
        finally:
            self.provider = usual

    def raw(self, *statements: str, **values: object) -> None:
        """Type SQL as the application, in one transaction; refusals come as everywhere else."""
        with transaction(self.engine) as conn:
            for statement in statements:
                conn.execute(statement, values)

    def grant(self, login: str, role: str) -> None:
        """Let Kerem give somebody another role."""
        self.raw(
            "INSERT INTO staff.role_event (person_id, role, granted, by_person, at)"
            " VALUES (%(person)s, %(role)s, true, %(boss)s, now())",
            person=self.id_of(login), role=role, boss=self.id_of("kerem"),
        )  # fmt: skip

    def processor(self, fee_minor_per_load: int = 0) -> CardProcessor:
        """The far side of the card programme; the caller closes it."""
        return CardProcessor(
            self.folder / "to-cards", self.folder / "from-cards", self.folder / "cards.sqlite",
            BUDGET_MINOR, fee_minor_per_load,
        )  # fmt: skip

    def _open_cycle(
        self, conn: psycopg.Connection, name: str, first: date, last: date, code: str = "spring"
    ) -> str:
        voucher = self.kind == "card_processor"
        document = {
            "code": code, "currency": "TRY", "grant": {"code": GRANT},
            "modality": "voucher" if voucher else "cash",
            "provider": {"code": self.provider.code, "kind": self.kind},
        }  # fmt: skip
        if self.contract is not None:
            document["provider"]["contract"] = self.contract
        if self.need:
            document |= {"need": self.need, "agency": "Umut", "cycles": "monthly"}
        amal, at = self.id_of("amal"), self.clock.now()
        programme_id, cycle_id = new_id("pgm", at), new_id("cyc", at)
        number = conn.execute(
            "INSERT INTO programme.code (code) VALUES (%s) RETURNING number", (code,)
        ).fetchone()
        conn.execute(
            "INSERT INTO programme.programme (programme_id, code, version, document, hash,"
            " person_id, at) VALUES (%s, %s, 1, %s, %s, %s, %s)",
            (programme_id, code, json.dumps(document), bytes(32), amal, at),
        )
        conn.execute(
            "INSERT INTO programme.cycle (cycle_id, programme_id, programme_number, name, period,"
            " person_id, at) VALUES (%s, %s, %s, %s, daterange(%s, %s, '[]'), %s, %s)",
            (cycle_id, programme_id, number[0] if number else 1, name, first, last, amal, at),
        )
        return cycle_id

    def _cards(self) -> Provider:
        outgoing, incoming = self.folder / "to-cards", self.folder / "from-cards"
        for place in (outgoing, incoming):
            place.mkdir(exist_ok=True)
        return Provider(
            code=CARDS, operation=Operation.LOAD, destination="voucher_card_ref",
            format=CardFiles("MARKET", "TRY", 2), channel=FolderChannel(outgoing, incoming),
            debtor_name="Umut", debtor_account="MARKET", debtor_agent="", suffix=".txt",
            names_payee=False, remittance="",
        )  # fmt: skip

    def _bank(self) -> Provider:
        return Provider(
            code=BANK, operation=Operation.CREDIT_TRANSFER, destination="iban",
            format=Iso20022(), channel=FolderChannel(self.folder, self.folder),
            debtor_name="Umut", debtor_account=AGENCY_IBAN, debtor_agent="", suffix=".xml",
            names_payee=True, remittance="Nakdi destek",
        )  # fmt: skip


def _hire(conn: psycopg.Connection, login: str, role: str | None, at: datetime) -> None:
    person_id, public_key, sealed_key = keys_of(login)
    boss = keys_of("kerem")[0]
    conn.execute(
        "INSERT INTO staff.person (person_id, login, name, public_key, sealed_key, added_by,"
        " added_at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (person_id, login, login.title(), public_key, sealed_key,
         None if login == "kerem" else boss, at),
    )  # fmt: skip
    if role:
        conn.execute(
            "INSERT INTO staff.role_event (person_id, role, granted, by_person, at)"
            " VALUES (%s, %s, true, %s, %s)",
            (person_id, role, boss, at),
        )


def agency_with(
    database: Database,
    folder: Path,
    kind: str,
    houses: Iterable[House],
    contract: dict[str, object] | None = None,
    need: str = "",
) -> Agency:
    """An agency that registered and assessed these households; nothing is prepared."""
    listed = list(houses)
    made = Agency(database, folder, kind, contract=contract, need=need)
    made.found()
    made.register(listed)
    made.assess(listed)
    return made
