"""Redemptions: what recipients did with the value on their wallets, as the processor reports it.

Where a provider's contract recognises the expense at redemption, a load only moves money from the
float to the household's wallet. The processor's redemption report says what was used: item by item,
because what somebody else sends is not ours to throw back as a whole. Each use of value becomes the
expense that the event journal says, from the wallet of the load it names, under the grant,
programme and cycle of that load; what was committed for it is spent on the same day. The
transaction id makes an item safe to repeat, also in another report.

| the report says | event of the journal | debit | credit |
|---|---|---|---|
| purchase | purchase_cleared   | 5020 vouchers | 1210 wallets  |
| cash     | cash_withdrawn     | 5010 cash     | 1210 wallets  |
| refund   | purchase_refunded  | 1210 wallets  | 5020 vouchers |

A redemption names no instruction in the books: a wallet holds the value of all the loads of its
household, and an instruction is paid, not used. Answers to items are those of `ledgers.items`; an
item of a load that is not on a wallet is answered `account_unknown`, with why as its fact.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection, sql
from psycopg.rows import class_row

from adapters.port import Document, Redemption
from cva import acts, staff
from cva.identifiers import new_id
from cva.payments import observing
from cva.payments.accounts import (
    MEMO,
    Terms,
    budget_of,
    day_of,
    number_of,
    terms_of,
    wallet_ref,
)
from cva.providers import Provider
from cva.vault import Vault
from ledgers import periods
from ledgers.entries import EntryHead, Leg, record
from ledgers.events import How
from ledgers.items import ItemResult, record_each, results
from ledgers.problems import Finding, Problem
from ledgers.wallets import WalletBalance, wallet_balances

NO_REDEMPTIONS = Problem(
    "no_redemptions",
    "The file {file} reports no redemption that can be believed ({findings:finding|findings}).",
    "Look at the findings; ask the provider for the redemption report.",
)
REDEMPTIONS_NOT_AWAITED = Problem(
    "redemptions_not_awaited",
    "No programme keeps value on wallets with the provider {provider}: what it loads is spent.",
    "Nothing to record; a programme whose contract recognises redemptions says so in its file.",
)
REDEMPTIONS_BEFORE_SETTLING = Problem(
    "redemptions_before_settling",
    "The report names {count:load|loads} whose outcome is not settled yet.",
    "Collect and settle the plans first, then read the report again.",
)

# kind in the report → the event, in the order in which they are booked: what comes back first.
EVENTS = {
    "refund": "purchase_refunded",
    "purchase": "purchase_cleared",
    "cash": "cash_withdrawn",
}

_STAGE = """
    CREATE TEMPORARY TABLE redemption (item_no integer, ref text, kind text, amount_minor bigint,
        transaction_id text) ON COMMIT DROP
"""

_CYCLES = "SELECT DISTINCT cycle_id FROM payments.plan WHERE provider = %s ORDER BY cycle_id"

_UNSETTLED = """
    SELECT count(DISTINCT r.ref) FROM redemption r
    JOIN books.transfer h ON h.instruction_ref = r.ref AND h.phase = 'pending'
    WHERE NOT EXISTS (SELECT FROM books.transfer s WHERE s.pending_id = h.transfer_id)
"""

_ITEMS = sql.SQL("""
    SELECT r.item_no, %(provider)s::text || '/' || r.transaction_id,
           coalesce(t.debit, CASE WHEN p.plan_id IS NULL THEN 'load unknown'
                             ELSE 'spent at the load' END),
           coalesce(t.credit, ''), %(wallets)s::text || l.household_id, r.amount_minor,
           t.currency, t.grant_code, t.programme_id, t.cycle_id, %(provider)s::text,
           coalesce(l.province, ''), NULL::text
    FROM redemption r
    LEFT JOIN payments.line l ON l.instruction_ref = r.ref
    LEFT JOIN payments.plan p ON p.plan_id = l.plan_id AND p.provider = %(provider)s
    LEFT JOIN unnest(%(cycles)s::text[], %(programmes)s::text[], %(grants)s::text[],
        %(currencies)s::text[], %(debits)s::text[], %(credits)s::text[])
        AS t (cycle_id, programme_id, grant_code, currency, debit, credit)
        ON t.cycle_id = p.cycle_id
    WHERE r.kind = %(kind)s
""")

# What the batches used of each grant and cycle, less what came back.
_USED = """
    SELECT t.cycle_id, sum(CASE WHEN d.is_control THEN -t.amount_minor ELSE t.amount_minor END)
    FROM books.item_batch b CROSS JOIN LATERAL books.transfers_of(b.entry_id) t
    JOIN books.account d ON d.account_id = t.debit_account_id
    WHERE b.batch_key = ANY (%s) GROUP BY t.cycle_id ORDER BY t.cycle_id
"""

_MOVES = """
    SELECT e.effective_on, e.event, d.code AS debit, k.code AS credit, t.phase, t.amount_minor,
           t.currency, coalesce(t.cycle_id, '') AS cycle_id,
           coalesce(t.instruction_ref, t.item_key, '') AS ref
    FROM books.wallet w CROSS JOIN LATERAL books.transfers_of_wallet(w.wallet_id) t
    JOIN books.entry e USING (entry_id)
    JOIN books.account d ON d.account_id = t.debit_account_id
    JOIN books.account k ON k.account_id = t.credit_account_id
    WHERE w.wallet_ref = %s ORDER BY t.transfer_id
"""

_WALLET_OF = """
    SELECT w.wallet_ref FROM books.transfer t JOIN books.wallet w USING (wallet_id)
    WHERE t.instruction_ref = %s AND t.phase = 'pending'
"""


@dataclass(frozen=True, slots=True)
class Booked:
    """What a report came to, money in minor units; `answers` are those of the refused items."""

    items: int
    recorded: int
    used_minor: int
    refunded_minor: int
    already: bool
    answers: Sequence[ItemResult]
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class WalletMove:
    """One line of a wallet: a load (pending, posted), a use, a return, an expiry."""

    effective_on: date
    event: str
    debit: str
    credit: str
    phase: str
    amount_minor: int
    currency: str
    cycle_id: str
    ref: str


def book(
    conn: Connection,
    vault: Vault,
    provider: Provider,
    document: Document,
    *,
    person_id: str,
    at: datetime,
) -> Booked:
    """Keep a redemption report and book its items, each for itself; the same report again does not.

    The report takes effect on its business date; where the books no longer take that day it is
    booked today, and its reason names the day. Raises `role_missing`, `redemptions_not_awaited`,
    `no_redemptions`, `redemptions_before_settling`, `batch_key_used_differently` (the report's id
    stands for other items), and what the database says of the day.
    """
    staff.require(conn, person_id, "finance")
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 9))", (provider.code,))
    terms = kept_on_wallets(conn, provider.code)
    if not terms:
        raise REDEMPTIONS_NOT_AWAITED.refusal(provider=provider.code)
    observing.keep(conn, vault, provider, document, person_id=person_id, at=at)
    report, findings = _stage(conn, provider, document)
    if _count(conn, _UNSETTLED):
        raise REDEMPTIONS_BEFORE_SETTLING.refusal(count=_count(conn, _UNSETTLED))
    key = f"redemptions/{provider.code}/{report.report_id}"
    on, reason = _day_and_reason(conn, key, report, day_of(at))
    totals = {kind: [0, 0, 0] for kind in EVENTS}
    already = True
    for kind in _kinds(conn):
        head = EntryHead(
            new_id("je", at), f"{key}/{kind}", EVENTS[kind], on, person_id, reason,
            recorded_on=day_of(at),
        )  # fmt: skip
        batch = record_each(conn, head, _ITEMS, _values(conn, provider.code, kind, terms))
        totals[kind] = [batch.items, batch.recorded, batch.amount_minor]
        already = already and batch.already
    keys = [f"{key}/{kind}" for kind in EVENTS]
    _liquidate(conn, keys, terms, EntryHead(
        new_id("je", at), f"{key}/budget", "commitment_liquidated", on, person_id, reason,
        recorded_on=day_of(at),
    ))  # fmt: skip
    conn.execute("DROP TABLE redemption")
    booked = Booked(
        sum(items for items, _, _ in totals.values()),
        sum(recorded for _, recorded, _ in totals.values()),
        totals["purchase"][2] + totals["cash"][2],
        totals["refund"][2],
        already,
        [answer for key in keys for answer in results(conn, key) if answer.item_no],
        findings,
    )
    if not already:
        acts.record(
            conn, key=key, verb="book_redemptions", object_id=provider.code,
            body={"report": report.report_id}, person_id=person_id, at=at,
            answer={
                "items": booked.items, "recorded": booked.recorded, "on": on.isoformat(),
            },
        )  # fmt: skip
    return booked


def kept_on_wallets(conn: Connection, provider_code: str) -> list[Terms]:
    """Return the terms of the provider's cycles whose value stays on wallets until it is used."""
    cycles = [cycle for (cycle,) in conn.execute(_CYCLES, (provider_code,)).fetchall()]
    return [terms for terms in terms_of(conn, cycles) if terms.has_wallets]


def wallet_moves(conn: Connection, ref: str) -> Iterator[WalletMove]:
    """Return what moved on the wallet, in the order it was recorded; none on an unknown one."""
    cursor = conn.cursor(row_factory=class_row(WalletMove))
    return iter(cursor.execute(_MOVES, (ref,)))


def wallet_of(conn: Connection, instruction_ref: str) -> list[WalletBalance]:
    """Return what stands on the wallet that the instruction loads; nothing where it loads none."""
    row = conn.execute(_WALLET_OF, (instruction_ref,)).fetchone()
    return list(wallet_balances(conn, row[0])) if row else []


def _stage(
    conn: Connection, provider: Provider, document: Document
) -> tuple[Redemption, list[Finding]]:
    """Fill the table `redemption`; return one of its items, for the report's id and day."""
    findings: list[Finding] = []
    found: Redemption | None = None
    conn.execute(_STAGE)
    with conn.cursor() as cursor, cursor.copy("COPY redemption FROM STDIN") as copy:
        for number, said in enumerate(provider.format.read(document), start=1):
            match said:
                case Redemption():
                    found = said
                    copy.write_row(
                        (number, said.ref, said.kind, said.amount_minor, said.transaction_id)
                    )
                case Finding():
                    findings.append(said)
    if found is None:
        raise NO_REDEMPTIONS.refusal(file=document.name, findings=len(findings)).with_findings(
            findings
        )
    conn.execute("ANALYZE redemption")
    return found, findings


def _day_and_reason(
    conn: Connection, key: str, report: Redemption, today: date
) -> tuple[date, str]:
    """Return the day the report is booked on, for a repetition the first one, and why."""
    earlier = acts.already(conn, key, {"report": report.report_id})
    if earlier is None:
        on = periods.day_taken(conn, report.booked_on, today)
    else:
        on = date.fromisoformat(str(earlier.get("on", report.booked_on)))
    late = "" if on == report.booked_on else f" of {report.booked_on}"
    return on, f"redemption report {report.report_id}{late}"


def _kinds(conn: Connection) -> list[str]:
    present = {kind for (kind,) in conn.execute("SELECT DISTINCT kind FROM redemption").fetchall()}
    return [kind for kind in EVENTS if kind in present]


def _values(
    conn: Connection, provider_code: str, kind: str, terms: Sequence[Terms]
) -> dict[str, object]:
    """Return what the select of the items needs: the accounts of each cycle, which are opened."""
    moves = [_move(conn, one, EVENTS[kind]) for one in terms]
    return {
        "provider": provider_code, "kind": kind, "wallets": wallet_ref(provider_code, ""),
        "cycles": [one.cycle_id for one in terms],
        "programmes": [one.programme_id for one in terms],
        "grants": [one.grant_code for one in terms],
        "currencies": [one.currency for one in terms],
        "debits": [debit for debit, _ in moves],
        "credits": [credit for _, credit in moves],
    }  # fmt: skip


def _move(conn: Connection, terms: Terms, event: str) -> tuple[str, str]:
    """Return the codes of the accounts that a use of value debits and credits."""
    (move,) = (posting for posting in terms.postings(event) if posting.how is How.TRANSFER)
    for account in (move.debit, move.credit):
        number_of(conn, account, terms.starts_on)
    return move.debit.code, move.credit.code


def _liquidate(
    conn: Connection, keys: Sequence[str], terms: Sequence[Terms], head: EntryHead
) -> None:
    """Spend what was committed for what was used, and commit again what came back."""
    by_cycle = {one.cycle_id: one for one in terms}
    legs: list[Leg] = []
    for cycle_id, minor in conn.execute(_USED, (list(keys),)).fetchall():
        one = by_cycle[cycle_id]
        debit, credit = budget_of(conn, one)["commitment_liquidated"]
        legs += [
            Leg(
                account, signed, MEMO, grant_code=one.grant_code, programme_id=one.programme_id,
                cycle_id=cycle_id, provider=one.provider,
            )
            for account, signed in ((debit, int(minor)), (credit, -int(minor)))
            if minor
        ]  # fmt: skip
    if legs:
        record(conn, head, legs)


def _count(conn: Connection, query: str) -> int:
    row = conn.execute(query).fetchone()
    return int(row[0]) if row else 0
