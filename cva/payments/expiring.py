"""Expiry: value that was loaded and not used in its term comes back to the agency.

Only under a contract by which the balance is the agency's and that states a term (events 15 and 15b
of the journal). What is claimed from the provider stands on 1320 until it gives it back (15c) or
keeps it by its contract (15d); the budget is available again.

| expense recognised | event 15 / 15b | debit | credit | budget |
|---|---|---|---|---|
| at redemption | what is left of loads whose term is over | 1320 | 1210 wallets  | 9010 from 9020 |
| at the load   | what the provider says has expired       | 1320 | 5010 or 5020  | 9010 from 9040 |

Under redemption the books know what is left: what each load of a wallet brought, less what was used
of it, never more than the wallet holds; the oldest load first. Under load recognition only the
provider knows, so its list is booked item by item, an instruction once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection, sql

from cva import acts, staff
from cva.identifiers import new_id
from cva.payments.accounts import MEMO, Terms, day_of, number_of, terms_of
from ledgers.contracts import Ownership, Recognition
from ledgers.entries import EntryHead, Leg, record
from ledgers.events import How
from ledgers.items import ItemResult, record_each, results
from ledgers.plans import Template
from ledgers.problems import Problem
from ledgers.transfers import transfer

NOTHING_EXPIRES = Problem(
    "nothing_expires",
    "No programme that is paid through {provider} has value that expires to the agency this way.",
    "Look at the contract in the programme file: ownership, recognition, expires_after_days.",
)
EXPIRED_ABOVE_LOADED = Problem(
    "expired_above_loaded",
    "The provider says of {count} instructions that more has expired than was loaded.",
    "Nothing was recorded; ask the provider for a corrected list.",
)
EVENT = "balance_expired"

_CYCLES = "SELECT DISTINCT cycle_id FROM payments.plan WHERE provider = %s ORDER BY cycle_id"

# What is left of each load (a wallet's money of one cycle), and of it what is due and still there.
_DUE = sql.SQL("""
    WITH term AS (
        SELECT * FROM unnest(%(cycles)s::text[], %(days)s::int[], %(claims)s::int[],
            %(wallets)s::int[]) AS t (cycle_id, days, claim_id, wallets_id)
    ), load AS (
        SELECT t.wallet_id, m.wallets_id, m.claim_id, t.currency, t.grant_code, t.programme_id,
               t.cycle_id, min(t.location) AS location,
               max(e.effective_on) FILTER (WHERE t.phase = 'posted') + m.days AS last_on,
               sum(CASE WHEN t.debit_account_id = m.wallets_id THEN t.amount_minor
                        ELSE -t.amount_minor END)::bigint AS left_minor
        FROM term m
        JOIN books.transfer t ON t.cycle_id = m.cycle_id AND t.phase IN ('single', 'posted')
             AND m.wallets_id IN (t.debit_account_id, t.credit_account_id)
        JOIN books.entry e USING (entry_id)
        GROUP BY t.wallet_id, m.wallets_id, m.claim_id, t.currency, t.grant_code, t.programme_id,
                 t.cycle_id, m.days
    ), due AS (
        SELECT l.*, books.available('debit', b.posted_debit, b.posted_credit, b.pending_debit,
                   b.pending_credit)
                 - (sum(l.left_minor) OVER (PARTITION BY l.wallets_id, l.wallet_id
                        ORDER BY l.last_on, l.cycle_id) - l.left_minor) AS there_minor
        FROM load l JOIN books.wallet_balance b
            ON (b.account_id, b.wallet_id) = (l.wallets_id, l.wallet_id)
        WHERE l.left_minor > 0 AND l.last_on < %(on)s
    )
    SELECT claim_id AS debit_account_id, wallets_id AS credit_account_id,
           least(left_minor, there_minor)::bigint AS amount_minor, currency, grant_code,
           programme_id, cycle_id, %(provider)s::text AS provider, location,
           NULL::text AS instruction_ref, wallet_id, NULL::date AS expires_on
    FROM due WHERE there_minor > 0
""")

_NEWEST = "SELECT coalesce(max(transfer_id), 0) FROM books.transfer"

_STATED = sql.SQL("""
    SELECT row_number() OVER (ORDER BY s.ref), 'expired/' || %(provider)s::text || '/' || s.ref,
           coalesce(t.debit, CASE WHEN p.plan_id IS NULL THEN 'load unknown'
                             ELSE 'does not expire' END),
           coalesce(t.credit, ''), NULL::text, s.amount_minor, t.currency, t.grant_code,
           t.programme_id, t.cycle_id, %(provider)s::text, coalesce(l.province, ''), NULL::text
    FROM unnest(%(refs)s::text[], %(amounts)s::bigint[]) AS s (ref, amount_minor)
    LEFT JOIN payments.line l ON l.instruction_ref = s.ref
    LEFT JOIN payments.plan p ON p.plan_id = l.plan_id AND p.provider = %(provider)s
    LEFT JOIN unnest(%(cycles)s::text[], %(programmes)s::text[], %(grants)s::text[],
        %(currencies)s::text[], %(debits)s::text[], %(credits)s::text[])
        AS t (cycle_id, programme_id, grant_code, currency, debit, credit)
        ON t.cycle_id = p.cycle_id
""")

_ABOVE_LOADED = """
    SELECT count(*) FROM unnest(%(refs)s::text[], %(amounts)s::bigint[]) AS s (ref, amount_minor)
    JOIN payments.line_state l ON l.instruction_ref = s.ref
    WHERE s.amount_minor > l.loaded_minor - l.returned_minor
"""

_BY_CYCLE = """
    SELECT t.cycle_id, sum(t.amount_minor)::bigint
    FROM books.entry e CROSS JOIN LATERAL books.transfers_of(e.entry_id) t
    WHERE e.key = %s GROUP BY t.cycle_id ORDER BY t.cycle_id
"""


@dataclass(frozen=True, slots=True)
class Expired:
    """What expired: wallets or instructions, minor units, and the answers to refused items."""

    count: int
    amount_minor: int
    answers: Sequence[ItemResult] = ()


def expire(
    conn: Connection, provider_code: str, *, on: date, person_id: str, at: datetime
) -> Expired:
    """Claim what is left of every load whose term ended before the day `on` (event 15).

    What was claimed is not claimed again. Raises `role_missing`, `nothing_expires`.
    """
    staff.require(conn, person_id, "finance")
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 9))", (provider_code,))
    terms = _expiring(conn, provider_code, Recognition.REDEMPTION)
    postings = [_claim(one) for one in terms]
    row = conn.execute(_NEWEST).fetchone()
    head = _head(f"{EVENT}/{provider_code}/{on}/{row[0] if row else 0}", on, person_id, at)
    moved = transfer(conn, head, _DUE, {
        "cycles": [one.cycle_id for one in terms], "provider": provider_code, "on": on,
        "days": [one.contract.expires_after_days for one in terms],
        "claims": [number_of(conn, move.debit, on) for move in postings],
        "wallets": [number_of(conn, move.credit, on) for move in postings],
    })  # fmt: skip
    if moved.count:
        _free_budget(conn, head, terms, person_id, at)
    return Expired(moved.count, moved.amount_minor)


def expire_stated(
    conn: Connection,
    provider_code: str,
    report: str,
    stated: Mapping[str, int],
    *,
    on: date,
    person_id: str,
    at: datetime,
) -> Expired:
    """Claim what the provider says has expired of loads that were the expense (event 15b).

    `report` is the provider's id of its list, `stated` has an amount in minor units for each
    instruction. Raises `role_missing`, `nothing_expires`, `expired_above_loaded`, and what
    `items.record_each` raises.
    """
    staff.require(conn, person_id, "finance")
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 9))", (provider_code,))
    terms = _expiring(conn, provider_code, Recognition.LOAD)
    listed = {"refs": list(stated), "amounts": list(stated.values())}
    row = conn.execute(_ABOVE_LOADED, listed).fetchone()
    if row and row[0]:
        raise EXPIRED_ABOVE_LOADED.refusal(count=row[0])
    postings = [_claim(one) for one in terms]
    for move in postings:
        number_of(conn, move.debit, on)
    head = _head(f"{EVENT}/{provider_code}/{report}", on, person_id, at)
    batch = record_each(conn, head, _STATED, {
        **listed, "provider": provider_code,
        "cycles": [one.cycle_id for one in terms],
        "programmes": [one.programme_id for one in terms],
        "grants": [one.grant_code for one in terms],
        "currencies": [one.currency for one in terms],
        "debits": [move.debit.code for move in postings],
        "credits": [move.credit.code for move in postings],
    })  # fmt: skip
    if batch.recorded and not batch.already:
        _free_budget(conn, head, terms, person_id, at)
    answers = [answer for answer in results(conn, head.key) if answer.item_no]
    return Expired(batch.recorded, batch.amount_minor, answers)


def left_currency(conn: Connection, provider_code: str) -> str:
    """Return the currency of what is left on the provider's wallets. Raises `nothing_expires`."""
    return _expiring(conn, provider_code, Recognition.REDEMPTION)[0].currency


def stated_currency(conn: Connection, provider_code: str) -> str:
    """Return the currency of a provider's list of expired loads. Raises `nothing_expires`."""
    return _expiring(conn, provider_code, Recognition.LOAD)[0].currency


def _expiring(conn: Connection, provider_code: str, recognition: Recognition) -> list[Terms]:
    cycles = [cycle for (cycle,) in conn.execute(_CYCLES, (provider_code,)).fetchall()]
    found = [
        terms
        for terms in terms_of(conn, cycles)
        if terms.contract.ownership is Ownership.AGENCY
        and terms.contract.recognition is recognition
        and terms.contract.expires_after_days is not None
    ]
    if not found:
        raise NOTHING_EXPIRES.refusal(provider=provider_code)
    return found


def _claim(terms: Terms) -> Template:
    (move,) = (posting for posting in terms.postings(EVENT) if posting.how is How.TRANSFER)
    return move


def _head(key: str, on: date, person_id: str, at: datetime) -> EntryHead:
    return EntryHead(
        new_id("je", at), key, EVENT, on, person_id, "the term of the loads is over",
        recorded_on=day_of(at),
    )  # fmt: skip


def _free_budget(
    conn: Connection, head: EntryHead, terms: Sequence[Terms], person_id: str, at: datetime
) -> None:
    """Make the budget of what expired available again, and write down who did it."""
    by_cycle = {one.cycle_id: one for one in terms}
    legs: list[Leg] = []
    for cycle_id, minor in conn.execute(_BY_CYCLE, (head.key,)).fetchall():
        one = by_cycle[cycle_id]
        move = one.budget_move(EVENT)
        legs += [
            Leg(
                number_of(conn, account, head.effective_on), signed, MEMO,
                grant_code=one.grant_code, programme_id=one.programme_id, cycle_id=cycle_id,
                provider=one.provider,
            )
            for account, signed in ((move.debit, minor), (move.credit, -minor))
        ]  # fmt: skip
    memo = _head(f"{head.key}/budget", head.effective_on, person_id, at)
    record(conn, memo, legs)
    acts.record(
        conn, key=head.key, verb="expire", object_id=by_cycle[min(by_cycle)].provider,
        body={"key": head.key}, person_id=person_id, at=at, answer={"entry": head.entry_ref},
    )  # fmt: skip
