"""Recording what the journal plans: accounts found or opened, wallets found, entries written.

`journal.plan` says what an event is booked with; here it is written through `entries` and
`transfers`, in the caller's transaction: all of an event's entries, or none. A list of lines goes
to the database as arrays, in one statement, however long it is. (A whole plan of a country does not
come as a list: its caller gives `transfers` a select with the accounts of the plan.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from psycopg import Connection, sql

from ledgers.chart import open_account
from ledgers.entries import EntryHead, Leg, Recorded, record
from ledgers.events import How
from ledgers.plans import AccountName, PlannedEntry, PlannedLine
from ledgers.transfers import Moved, Settled, hold, settle, transfer
from ledgers.wallets import WALLET_UNKNOWN

Written = Recorded | Moved | Settled

_LINES = sql.SQL("""
    SELECT * FROM unnest(
        %(debits)s::int[], %(credits)s::int[], %(amounts)s::bigint[], %(currencies)s::text[],
        %(grants)s::text[], %(programmes)s::text[], %(cycles)s::text[], %(providers)s::text[],
        %(locations)s::text[], %(instructions)s::text[], %(wallets)s::bigint[], %(terms)s::date[])
""")
_RESOLVED = sql.SQL("SELECT * FROM unnest(%(instructions)s::text[], %(amounts)s::bigint[])")


@dataclass(frozen=True, slots=True)
class Occasion:
    """When, by whom and why an event is recorded; `recorded_on` is the day of the caller's clock.

    An `adjustment` is taken by a period that is being adjusted; `corrects` names the entry of a
    closed period that is set right.
    """

    effective_on: date
    recorded_on: date
    recorded_by: str
    reason: str
    adjustment: bool = False
    corrects: str | None = None


def record_planned(
    conn: Connection,
    planned: Sequence[PlannedEntry],
    occasion: Occasion,
    new_ref: Callable[[], str],
) -> list[Written]:
    """Record the entries of one event, in order; `new_ref` gives each the reference of an entry.

    Accounts that do not exist are opened. Raises `wallet_unknown` and what `entries.record`,
    `transfers.hold`, `transfers.transfer` and `transfers.settle` raise.
    """
    lines = [line for entry in planned for line in entry.lines]
    numbers = _accounts(conn, lines, occasion.effective_on)
    wallets = _wallets(conn, lines)
    written: list[Written] = []
    for entry in planned:
        head = EntryHead(
            new_ref(), entry.key, entry.event, occasion.effective_on, occasion.recorded_by,
            occasion.reason, recorded_on=occasion.recorded_on, adjustment=occasion.adjustment,
            corrects=occasion.corrects,
        )  # fmt: skip
        if entry.how is How.ENTRY:
            legs = [leg for line in entry.lines for leg in _legs(line, numbers, wallets)]
            written.append(record(conn, head, legs))
        elif entry.how in {How.POST, How.VOID}:
            written.append(settle(conn, head, _RESOLVED, _resolutions(entry)))
        else:
            move = hold if entry.how is How.HOLD else transfer
            written.append(move(conn, head, _LINES, _columns(entry.lines, numbers, wallets)))
    return written


def _accounts(conn: Connection, lines: Sequence[PlannedLine], on: date) -> dict[AccountName, int]:
    names = sorted({name for line in lines for name in (line.debit, line.credit)}, key=_code)
    return {
        name: open_account(
            conn, name.chart_code, name.currency, on, grant=name.grant, provider=name.provider
        )
        for name in names
    }


def _code(name: AccountName) -> str:
    return name.code


def _wallets(conn: Connection, lines: Sequence[PlannedLine]) -> dict[str | None, int | None]:
    refs = {ref for line in lines for ref in (line.debit_wallet, line.credit_wallet) if ref}
    rows = conn.execute(
        "SELECT wallet_ref, wallet_id FROM books.wallet WHERE wallet_ref = ANY (%s)", [list(refs)]
    )
    found: dict[str | None, int | None] = {None: None, **dict(rows.fetchall())}
    missing = sorted(refs - found.keys())
    if missing:
        raise WALLET_UNKNOWN.refusal(wallet=missing[0])
    return found


def _legs(
    line: PlannedLine,
    numbers: dict[AccountName, int],
    wallets: dict[str | None, int | None],
) -> list[Leg]:
    return [
        Leg(
            numbers[name], amount, line.layer, grant_code=line.grant, programme_id=line.programme,
            cycle_id=line.cycle, provider=line.provider, location=line.location,
            wallet_id=wallets[wallet],
        )
        for name, amount, wallet in (
            (line.debit, line.amount_minor, line.debit_wallet),
            (line.credit, -line.amount_minor, line.credit_wallet),
        )
    ]  # fmt: skip


def _resolutions(entry: PlannedEntry) -> dict[str, object]:
    void = entry.how is How.VOID
    return {
        "instructions": [line.instruction for line in entry.lines],
        "amounts": [0 if void else line.amount_minor for line in entry.lines],
    }


def _columns(
    lines: Sequence[PlannedLine],
    numbers: dict[AccountName, int],
    wallets: dict[str | None, int | None],
) -> dict[str, object]:
    return {
        "debits": [numbers[line.debit] for line in lines],
        "credits": [numbers[line.credit] for line in lines],
        "amounts": [line.amount_minor for line in lines],
        "currencies": [line.debit.currency for line in lines],
        "grants": [line.grant for line in lines],
        "programmes": [line.programme for line in lines],
        "cycles": [line.cycle for line in lines],
        "providers": [line.provider for line in lines],
        "locations": [line.location for line in lines],
        "instructions": [line.instruction for line in lines],
        "wallets": [wallets[line.debit_wallet or line.credit_wallet] for line in lines],
        "terms": [line.expires_on for line in lines],
    }
