"""Which accounts a plan's money moves between.

| delivery | hold and load: debit | credit |
|---|---|---|
| prepaid e-voucher card | 5020 vouchers | 1110 float at the card processor |
| debit card             | 5010 cash     | 1110 float at the card processor |
| bank transfer          | 5010 cash     | 1010 the agency's bank account   |

Here a confirmed load is the expense. The budget moves in the memo layer, per grant:
9010 available → 9020 committed (approval) → 9040 spent (load), or back to 9010 (failure).
Source: the chart of accounts and event journal in `ledgers/chart.yaml`.
"""

from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection

from cva.clock import ZONE
from cva.payments.planning import Plan
from ledgers.chart import open_account
from ledgers.entries import Leg

_TERMS_OF_CYCLE = """
    SELECT p.document->'grant'->>'code', p.programme_id, p.document->>'modality',
           p.document->'provider'->>'kind', lower(c.period)
    FROM programme.cycle c JOIN programme.programme p USING (programme_id)
    WHERE c.cycle_id = %s
"""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts and dimensions of one plan's money."""

    expense: int
    source: int
    available: int
    committed: int
    spent: int
    currency: str
    grant_code: str
    programme_id: str
    cycle_id: str
    provider: str

    def budget_move(self, source: str, target: str, amount_minor: int) -> list[Leg]:
        """Return the memo legs that move budget between chart codes 9010, 9020 and 9040."""
        by_code = {"9010": self.available, "9020": self.committed, "9040": self.spent}
        return [
            self._memo(by_code[target], amount_minor),
            self._memo(by_code[source], -amount_minor),
        ]

    def _memo(self, account_id: int, amount_minor: int) -> Leg:
        return Leg(
            account_id, amount_minor, layer="M", grant_code=self.grant_code,
            programme_id=self.programme_id, cycle_id=self.cycle_id, provider=self.provider,
        )  # fmt: skip


def day_of(at: datetime) -> date:
    """Return the day an event of that moment is booked on: the day it is in Turkey."""
    return at.astimezone(ZONE).date()


def accounts_of(conn: Connection, plan: Plan) -> Accounts:
    """Return the accounts of the plan, opening those that do not exist yet."""
    row = conn.execute(_TERMS_OF_CYCLE, (plan.cycle_id,)).fetchone()
    if row is None:
        message = f"the plan {plan.plan_id} has no cycle"
        raise LookupError(message)
    grant, programme_id, modality, provider_kind, starts_on = row
    return Accounts(
        expense=open_account(
            conn, "5020" if modality == "voucher" else "5010", plan.currency, starts_on
        ),
        source=money_source(conn, provider_kind, plan.provider, plan.currency, starts_on),
        available=open_account(conn, "9010", plan.currency, starts_on, grant=grant),
        committed=open_account(conn, "9020", plan.currency, starts_on, grant=grant),
        spent=open_account(conn, "9040", plan.currency, starts_on, grant=grant),
        currency=plan.currency,
        grant_code=grant,
        programme_id=programme_id,
        cycle_id=plan.cycle_id,
        provider=plan.provider,
    )


def money_source(
    conn: Connection, provider_kind: str, provider: str, currency: str, on: date
) -> int:
    """Return the account that money leaves: the float at a processor, or the bank account."""
    chart_code = "1110" if provider_kind == "card_processor" else "1010"
    return open_account(conn, chart_code, currency, on, provider=provider)
