"""Money that comes before any plan: budgets, grants' cash, floats at providers, and their fees.

| event | debit | credit | layer |
|---|---|---|---|
| budget_allotted    | 9010 available      | 9030 authority        | memo |
| grant_received     | 1010 bank           | 2010 grant funds      | actual |
| provider_funded    | 1030 in transit     | 1010 bank             | actual |
| float_credited     | 1110 float          | 1030 in transit       | actual |
| fee_charged        | 5110 or 5140 fees   | 1110 float or 1010    | actual |

Source: events 1b, 2, 4, 4b, 12 and 12c of the event journal.
"""

from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection

from cva import acts, staff
from cva.identifiers import new_id
from ledgers.chart import open_account
from ledgers.entries import EntryHead, Leg, Recorded, record
from ledgers.money import with_amounts
from ledgers.problems import Problem

EVENT_UNKNOWN = Problem(
    "event_unknown",
    "There is no event {event}; there are: {known}.",
    "Name one of these events.",
)
AMOUNT_NOT_ABOVE_ZERO = Problem(
    "funding_not_above_zero",
    "The event {event} moves {amount}, which is not above 0.",
    "Give the amount that moved; what was recorded wrongly is reversed.",
)
PROVIDER_NEEDED = Problem(
    "provider_needed",
    "The event {event} needs the provider whose account it moves.",
    "Name the provider.",
)

# event -> layer, debit chart code, credit chart code
EVENTS = {
    "budget_allotted": ("M", "9010", "9030"),
    "grant_received": ("A", "1010", "2010"),
    "provider_funded": ("A", "1030", "1010"),
    "float_credited": ("A", "1110", "1030"),
}

# Accounts that exist per grant, and per provider (a bank of ours counts as one).
_PER_GRANT = {"9010", "9020", "9030", "9040", "2010"}
_PER_PROVIDER = {"1010", "1030", "1110"}

_UNBOOKED_FEES = """
    SELECT s.provider, s.account, s.statement_id, s.line_id, -s.amount_minor, s.currency,
           s.booked_on
    FROM payments.statement_line s
    WHERE s.provider = %s AND s.kind = 'fee' AND s.amount_minor < 0
      AND NOT EXISTS (SELECT FROM books.entry e
                      WHERE e.key = concat_ws('/', 'fee', s.provider, s.account, s.statement_id,
                                              s.line_id))
    ORDER BY s.booked_on, s.account, s.statement_id, s.line_id
"""


@dataclass(frozen=True, slots=True)
class Funding:
    """One event before any plan: `bank` and `provider` are codes of the providers file."""

    event: str
    grant_code: str
    currency: str
    amount_minor: int
    on: date
    reason: str
    bank: str = ""
    provider: str = ""


def fund(conn: Connection, funding: Funding, *, person_id: str, at: datetime, key: str) -> Recorded:
    """Record the event; the same key again records nothing.

    Raises `event_unknown`, `funding_not_above_zero`, `provider_needed`, `account_limit`,
    `key_used_differently`, `role_missing`.
    """
    staff.require(conn, person_id, "finance")
    if funding.event not in EVENTS:
        raise EVENT_UNKNOWN.refusal(event=funding.event, known=", ".join(EVENTS))
    if funding.amount_minor <= 0:
        amount = {"amount_minor": funding.amount_minor, "currency": funding.currency}
        raise AMOUNT_NOT_ABOVE_ZERO.refusal(event=funding.event, **with_amounts(amount))
    layer, debit, credit = EVENTS[funding.event]
    legs = [
        _leg(conn, funding, debit, funding.amount_minor, layer),
        _leg(conn, funding, credit, -funding.amount_minor, layer),
    ]
    head = EntryHead(
        entry_ref=new_id("je", at), key=key, event=funding.event, effective_on=funding.on,
        recorded_by=person_id, reason=funding.reason,
    )  # fmt: skip
    recorded = record(conn, head, legs)
    if not recorded.already:
        acts.record(
            conn, key=f"fund:{key}", verb="fund", object_id=recorded.entry_ref,
            body={"event": funding.event, "amount_minor": funding.amount_minor},
            person_id=person_id, at=at, answer={"entry": recorded.entry_ref},
        )  # fmt: skip
    return recorded


def book_fees(
    conn: Connection, provider_code: str, provider_kind: str, grant_code: str, *, person_id: str,
    at: datetime,
) -> int:  # fmt: skip
    """Book every fee of the provider's statements that the books do not have; returns how many.

    Raises `role_missing`, `account_limit`.
    """
    staff.require(conn, person_id, "finance")
    chart = ("5110", "1110") if provider_kind == "card_processor" else ("5140", "1010")
    rows = conn.execute(_UNBOOKED_FEES, (provider_code,)).fetchall()
    for provider, account, statement_id, line_id, amount_minor, currency, booked_on in rows:
        fee = Funding(
            "fee_charged", grant_code, currency, amount_minor, booked_on,
            f"fee on statement {statement_id}", bank=provider, provider=provider,
        )  # fmt: skip
        head = EntryHead(
            entry_ref=new_id("je", at), effective_on=booked_on, event="fee_charged",
            key=f"fee/{provider}/{account}/{statement_id}/{line_id}",
            recorded_by=person_id, reason=fee.reason,
        )  # fmt: skip
        record(
            conn, head,
            [_leg(conn, fee, chart[0], amount_minor, "A"),
             _leg(conn, fee, chart[1], -amount_minor, "A")],
        )  # fmt: skip
    if rows:
        acts.record(
            conn, key=f"fees:{new_id('act', at)}", verb="book_fees", object_id=provider_code,
            body={"grant": grant_code}, person_id=person_id, at=at, answer={"fees": len(rows)},
        )  # fmt: skip
    return len(rows)


def _leg(conn: Connection, funding: Funding, chart_code: str, amount_minor: int, layer: str) -> Leg:
    grant = funding.grant_code if chart_code in _PER_GRANT else None
    provider = None
    if chart_code in _PER_PROVIDER:
        provider = funding.bank if chart_code == "1010" else funding.provider
        if not provider:
            raise PROVIDER_NEEDED.refusal(event=funding.event)
    account_id = open_account(
        conn, chart_code, funding.currency, funding.on, grant=grant, provider=provider
    )
    return Leg(
        account_id, amount_minor, layer=layer, grant_code=funding.grant_code,
        provider=funding.provider or funding.bank or None,
    )  # fmt: skip
