"""Which accounts a plan's money moves between: what the event journal says, under the contract.

| delivery | expense recognised | hold and load: debit | credit |
|---|---|---|---|
| prepaid e-voucher card | at the load   | 5020 vouchers | 1110 float at the card processor |
| debit card             | at the load   | 5010 cash     | 1110 float at the card processor |
| either card            | at redemption | 1210 wallets  | 1110 float at the card processor |
| bank transfer          | when booked   | 5010 cash     | 1010 the agency's bank account   |

The accounts are the journal's (`ledgers/journal.yaml`), never named here. Where the expense is
recognised at the load, the journal passes it through the wallets (1110 to 1210, 1210 to 5020) on
one day; a plan books the two as one, from the float to the expense. Where it is recognised at
redemption, value stays on the households' wallets, and the budget stays committed, until it is
used.

The budget moves in the memo layer, per grant: 9010 available → 9020 committed (approval) → 9040
spent (where the expense is recognised), or back to 9010 (failure, return, expiry).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from types import MappingProxyType

from psycopg import Connection

from cva.clock import ZONE
from cva.payments.planning import Plan
from cva.programmes.model import contract_of
from ledgers.chart import chart, open_account
from ledgers.contracts import Contract, Recognition
from ledgers.entries import Leg
from ledgers.events import How
from ledgers.journal import templates
from ledgers.plans import AccountName, Template
from ledgers.problems import Problem

COMMITMENT_KEPT = Problem(
    "commitment_kept",
    "The entry would free {freed} of the grant {grant} that plans have reserved.",
    "Cancel the plan, or settle it: its budget is freed with it.",
)

MEMO = "M"


@dataclass(frozen=True, slots=True)
class Events:
    """What the journal calls the steps of a plan's money."""

    instructed: str
    settled: str
    failed: str
    returned: str


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts and dimensions of one plan's money.

    `loaded` is what a load debits: the wallets where `has_wallets`, else the expense; `source` is
    where the money comes from. `budget` has the debit and the credit of each move of the budget.
    """

    loaded: int
    source: int
    has_wallets: bool
    events: Events
    budget: Mapping[str, tuple[int, int]]
    currency: str
    grant_code: str
    programme_id: str
    cycle_id: str
    provider: str

    def budget_move(self, event: str, amount_minor: int) -> list[Leg]:
        """Return the memo legs of an event of the journal that moves the grant's budget."""
        debit, credit = self.budget[event]
        return [self._memo(debit, amount_minor), self._memo(credit, -amount_minor)]

    @property
    def returned_budget(self) -> str:
        """The event that makes the budget of returned money available again."""
        return "commitment_released" if self.has_wallets else "load_returned"

    def _memo(self, account_id: int, amount_minor: int) -> Leg:
        return Leg(
            account_id, amount_minor, layer=MEMO, grant_code=self.grant_code,
            programme_id=self.programme_id, cycle_id=self.cycle_id, provider=self.provider,
        )  # fmt: skip


_OF_CARDS = Events("load_instructed", "load_settled", "load_failed", "load_returned")
_OF_BANK = Events(
    "bank_transfer_instructed", "bank_transfer_booked", "bank_transfer_rejected",
    "bank_transfer_returned",
)  # fmt: skip
_TERMS_OF_CYCLES = """
    SELECT c.cycle_id, p.programme_id, p.document->'grant'->>'code',
           p.document->'provider'->>'code', p.document->'provider'->>'kind',
           p.document->>'modality', p.document->>'currency', lower(c.period),
           p.document->'provider'->'contract'
    FROM programme.cycle c JOIN programme.programme p USING (programme_id)
    WHERE c.cycle_id = ANY (%s) ORDER BY c.cycle_id
"""
_BUDGET_EVENTS = ("commitment", "commitment_liquidated", "commitment_released")


def day_of(at: datetime) -> date:
    """Return the day an event of that moment is booked on: the day it is in Turkey."""
    return at.astimezone(ZONE).date()


def wallet_ref(provider: str, household_id: str) -> str:
    """Return the reference of a household's wallet with a provider: opaque, no number of a card."""
    return f"{provider}/{household_id}"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a cycle's programme says about its money; `starts_on` is the cycle's first day."""

    cycle_id: str
    programme_id: str
    grant_code: str
    provider: str
    provider_kind: str
    modality: str
    currency: str
    starts_on: date
    contract: Contract

    @property
    def has_wallets(self) -> bool:
        """Whether value stays on the households' wallets until it is used."""
        return self.contract.recognition is Recognition.REDEMPTION

    @property
    def facts(self) -> dict[str, object]:
        """What the journal asks of a plan's money, for events without amounts and lines."""
        keys = dict.fromkeys(("plan", "settlement", "release", "report", "batch"), "-")
        return {
            **keys, "grant": self.grant_code, "currency": self.currency,
            "provider": self.provider, "bank": self.provider,
            "transfers": "5020" if self.modality == "voucher" else "5010",
            "still_owed": False, "same_year": True,
        }  # fmt: skip

    def postings(self, event: str) -> tuple[Template, ...]:
        """Return the postings of the event of the journal, under the contract."""
        return templates(event, self.facts, self.contract)

    def budget_move(self, event: str) -> Template:
        """Return the posting of the event that moves the grant's budget."""
        (move,) = (
            posting
            for posting in self.postings(event)
            if posting.layer == MEMO and "grant" in chart()[posting.debit.chart_code].needs
        )
        return move

    def load(self) -> tuple[AccountName, AccountName]:
        """Return debit and credit of a load: from the float or the bank to wallets or expense."""
        if self.provider_kind == "bank":
            (transfer,) = self.postings("bank_transfer_instructed")
            return transfer.debit, transfer.credit
        (loaded,) = self.postings("load_instructed")
        spent = [one.debit for one in self.postings("load_settled") if one.how is How.TRANSFER]
        return (spent or [loaded.debit])[0], loaded.credit


def terms_of(conn: Connection, cycles: Sequence[str]) -> list[Terms]:
    """Return what the programmes of these cycles say about their money, in the order of cycles."""
    rows = conn.execute(_TERMS_OF_CYCLES, (list(cycles),)).fetchall()
    found = []
    for cycle, programme, grant, provider, kind, modality, currency, starts_on, stated in rows:
        contract = contract_of(provider, currency, stated)
        found.append(
            Terms(cycle, programme, grant, provider, kind, modality, currency, starts_on, contract)
        )
    return found


def accounts_of(conn: Connection, plan: Plan) -> Accounts:
    """Return the accounts of the plan, opening those that do not exist yet."""
    found = terms_of(conn, [plan.cycle_id])
    if not found:
        message = f"the plan {plan.plan_id} has no cycle"
        raise LookupError(message)
    terms = replace(found[0], provider=plan.provider, currency=plan.currency)
    loaded, source = terms.load()
    return Accounts(
        loaded=number_of(conn, loaded, terms.starts_on),
        source=number_of(conn, source, terms.starts_on),
        has_wallets=terms.has_wallets,
        events=_OF_BANK if terms.provider_kind == "bank" else _OF_CARDS,
        budget=budget_of(conn, terms),
        currency=plan.currency,
        grant_code=terms.grant_code,
        programme_id=terms.programme_id,
        cycle_id=plan.cycle_id,
        provider=plan.provider,
    )


def budget_of(conn: Connection, terms: Terms) -> Mapping[str, tuple[int, int]]:
    """Return the accounts, debit and credit, of each event that moves the grant's budget."""
    events = _BUDGET_EVENTS if terms.has_wallets else (*_BUDGET_EVENTS, "load_returned")
    moves = {event: terms.budget_move(event) for event in events}
    return MappingProxyType(
        {
            event: (
                number_of(conn, move.debit, terms.starts_on),
                number_of(conn, move.credit, terms.starts_on),
            )
            for event, move in moves.items()
        }
    )


def number_of(conn: Connection, account: AccountName, on: date) -> int:
    """Return the number of the account, opening it on the day `on` where it does not exist."""
    return open_account(
        conn, account.chart_code, account.currency, on, grant=account.grant,
        provider=account.provider,
    )  # fmt: skip
