"""An agency with a programme of its own rules, from published rules to an approved plan."""

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from cva.assessing import Run, assess_cycle, assess_cycles
from cva.comparing import emptied
from cva.database.connect import transaction
from cva.payments import funding
from cva.payments.funding import Funding
from cva.payments.planning import Plan
from cva.programmes import publishing
from cva.programmes.loading import SHIPPED, load
from cva.replaying import replay
from cva.selection import attendance, cases, discretion, places
from cva.selection.cases import Award
from tests.cva.payments.agency import BANK, FIRST_DAY, LAST_DAY, Agency, House
from tests.databases import Database

GRANT = "GR-2026-MARKET"
MARKET = (SHIPPED / "market-card.yaml").read_text(encoding="utf-8")
LABEL = "{tr: Ek, en: Supplement, ar: علاوة}"


@dataclass
class Office:
    """The agency, and the programmes it publishes; Amal runs them."""

    agency: Agency
    folder: Path
    keys: int = 0
    cycles: dict[str, str] = field(default_factory=dict)  # programme code → cycle

    def publish(self, rules: str, code: str = "own", first: date = FIRST_DAY) -> str:
        """Publish a programme with these rules and return its cycle, which lasts to the 30th."""
        head = MARKET[: MARKET.index("\nrules:")].replace("code: market-card", f"code: {code}", 1)
        path = self.folder / f"{code}.yaml"
        path.write_text(f"{head}\nrules:\n{rules}", encoding="utf-8")
        with transaction(self.agency.engine) as conn:
            publishing.publish(conn, load(path), person_id=self.amal, at=self.now)
            cycle = publishing.open_cycle(
                conn,
                code,
                "first",
                first,
                first.replace(day=30),
                person_id=self.amal,
                at=self.now,
            )
        self.cycles[code] = cycle.cycle_id
        return cycle.cycle_id

    def fund(self, minor: int) -> None:
        """Give the grant this budget, and the processor as much of a float."""
        for event in ("budget_allotted", "grant_received", "provider_funded", "float_credited"):
            money = Funding(
                event, GRANT, "TRY", minor, FIRST_DAY, f"{event} of the grant", BANK,
                self.agency.provider.code,
            )  # fmt: skip
            with transaction(self.agency.engine) as conn:
                funding.fund(
                    conn, money, person_id=self.agency.id_of("deniz"), at=self.now,
                    key=self.key("fund"),
                )  # fmt: skip

    # --- the verbs ---

    def assess(self, *cycles: str, by: str = "amal") -> tuple[Run, ...]:
        said = {
            "person_id": self.agency.id_of(by), "clock": self.agency.clock,
            "work": self.folder / "judging",
        }  # fmt: skip
        if len(cycles) == 1:
            return (assess_cycle(self.agency.engine, cycles[0], **said),)
        return assess_cycles(self.agency.engine, cycles, **said)

    def leave(self, cycle: str, household: str, *, by: str = "amal", key: str = "") -> places.Moved:
        with transaction(self.agency.engine) as conn:
            return places.leave(
                conn, cycle, household, reason="moved abroad", person_id=self.agency.id_of(by),
                at=self.now, key=key or self.key("leave"),
            )  # fmt: skip

    def promote(self, cycle: str) -> places.Moved:
        with transaction(self.agency.engine) as conn:
            return places.promote(
                conn, cycle, person_id=self.amal, at=self.now, key=self.key("promote")
            )

    def take(self, cycle: str, text: str, key: str = "") -> attendance.Taken:
        path = self.folder / "attendance.csv"
        path.write_text(text, encoding="utf-8")
        with transaction(self.agency.engine) as conn:
            return attendance.take_list(
                conn, cycle, path, person_id=self.amal, at=self.now, key=key
            )

    def award(self, cycle: str, award: Award, key: str = "", by: str = "amal") -> int:
        with transaction(self.agency.engine) as conn:
            return cases.award(
                conn, cycle, award, person_id=self.agency.id_of(by), at=self.now,
                key=key or self.key("award"),
            )  # fmt: skip

    def enlist(
        self, code: str, household: str, expires_on: date = LAST_DAY, *, key: str = ""
    ) -> int:
        with transaction(self.agency.engine) as conn:
            return discretion.list_household(
                conn, code, household, reason="burnt out of the flat", expires_on=expires_on,
                person_id=self.amal, at=self.now, key=key or self.key("list"),
            )  # fmt: skip

    def end(self, listing: int) -> None:
        with transaction(self.agency.engine) as conn:
            discretion.end_listing(
                conn, listing, reason="helped elsewhere", person_id=self.amal, at=self.now,
                key=self.key("end"),
            )  # fmt: skip

    def approved(self, cycle: str) -> Plan:
        plan = self.agency.prepare(cycle_id=cycle, key=self.key("prepare"))
        return self.agency.approved(plan)

    # --- what stands ---

    def again(self, run: Run) -> None:
        """Make the run again from its snapshot and its rules; refused where a byte differs."""
        with (
            transaction(self.agency.engine) as conn,
            emptied(self.folder / "again") as folder,
        ):
            assert replay(conn, run.run_id, folder).run_id == run.run_id

    @property
    def amal(self) -> str:
        return self.agency.id_of("amal")

    @property
    def now(self) -> datetime:
        return self.agency.clock.now()

    def key(self, verb: str) -> str:
        self.keys += 1
        return f"{verb}:{self.keys}"

    def id_of(self, name: str) -> str:
        (found,) = [one for one, said in self.agency.names.items() if said == name]
        return found

    def decisions(self, cycle: str) -> dict[str, tuple]:
        """Name → (status, reason, selected, position, amount) in the cycle's latest run."""
        rows = self.agency.rows(
            "SELECT d.household_id, d.status, d.reason, d.selected, d.waitlist_position,"
            " d.amount_minor FROM assessment.decision d JOIN assessment.latest_run r"
            " USING (run_id) WHERE r.cycle_id = %s",
            cycle,
        )
        return {self.agency.names[one]: tuple(rest) for one, *rest in rows}

    def waiting(self, cycle: str) -> list[tuple[str, int]]:
        with transaction(self.agency.engine) as conn:
            return [
                (self.agency.names[one.household_id], one.waitlist_position)
                for one in places.waiting(conn, cycle)
            ]

    def paid(self, plan: Plan) -> dict[str, int]:
        """Name → planned amount of every line that is not stopped."""
        rows = self.agency.rows(
            "SELECT household_id, amount_minor FROM payments.line"
            " WHERE plan_id = %s AND stopped IS NULL",
            plan.plan_id,
        )
        return {self.agency.names[one]: minor for one, minor in rows}


def office_with(database: Database, folder: Path, houses: list[House]) -> Office:
    """An office with these households registered, and nothing published of its own."""
    agency = Agency(database, folder, "card_processor")
    agency.found()
    agency.register(houses)
    return Office(agency, folder)
