"""Entries of the books: two or more legs that sum to zero, recorded once and never changed.

Each entry is recorded under its caller's key: the same key with the same body is the same entry,
whoever asks and however often, and the same key with another body is refused. What was wrong is
undone by a reversal, its exact mirror, at most once. The database holds all of this against raw
SQL too (`schema.sql`); the checks here only come earlier and say everything that is wrong at once.

Layers: A is money, M is memo (budget authority and commitments). Legs balance per layer, currency
and grant, so that no grant's money pays for another's without an entry that says so.

The functions work inside the caller's transaction and never commit.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import date

from psycopg import Connection, errors

from ledgers.chart import ACCOUNT_UNKNOWN
from ledgers.money import with_amounts
from ledgers.problems import Answer, Finding, Place, Problem

APPEND_ONLY = Problem(
    "books_append_only",
    "Nothing recorded changes: {operation} on {table} is refused.",
    "Record a new entry or event that corrects it.",
    Answer.NOT_PERMITTED,
)
ACCOUNT_LIMIT = Problem(
    "account_limit",
    "The account {account} would be {short} below zero.",
    "Fund the account, or record less; money on hold counts as gone.",
)
ACCOUNT_UNFIT = Problem(
    "account_unfit",
    "The account {account} does not take {currency} of the grant {grant} in this layer.",
    "Choose an account of that currency and grant; memo accounts are for layer M only.",
)
ENTRY_UNBALANCED = Problem(
    "entry_unbalanced",
    "The entry {entry} is {difference} off balance in layer {layer}, grant {grant}.",
    "Correct the amounts: debits and credits must be equal for each layer, currency and grant.",
)
ENTRY_WITHOUT_LINES = Problem(
    "entry_without_lines",
    "The entry {entry} has fewer than two legs and no transfer.",
    "Give at least two legs.",
)
ENTRY_CLOSED = Problem(
    "entry_closed",
    "The entry {entry} is complete: nothing can be added to it.",
    "Record a new entry.",
)
ENTRY_IN_FUTURE = Problem(
    "entry_in_future",
    "The entry {entry} is dated {on}, after the day it is recorded.",
    "Date it today or earlier; what is yet to happen is recorded when it happens.",
)
ISOLATION_UNFIT = Problem(
    "isolation_unfit",
    "The books are not written in a transaction of the isolation {isolation}.",
    "Write in a transaction of isolation read committed: it sees what was closed meanwhile.",
)
ENTRY_UNKNOWN = Problem(
    "entry_unknown",
    "The books have no entry {entry}.",
    "Look the entry up in the register of its account.",
    Answer.NOT_FOUND,
)
LEG_ZERO = Problem(
    "leg_zero",
    "Leg {leg} of the entry {entry} has the amount 0.",
    "Leave the leg out, or give its amount.",
)
REASON_MISSING = Problem(
    "reason_missing",
    "The entry {entry} gives no reason.",
    "Say in a few words why it is recorded.",
)
KEY_USED_DIFFERENTLY = Problem(
    "key_used_differently",
    "The key {key} already stands for another entry ({entry}); different: {fields}.",
    "Use a new key for a new entry, or repeat the first one exactly.",
)
ALREADY_REVERSED = Problem(
    "already_reversed",
    "The entry {entry} is already reversed.",
    "Look at its reversal; a reversal may itself be reversed.",
)
REVERSAL_NOT_MIRROR = Problem(
    "reversal_not_mirror",
    "The reversal {entry} does not repeat every leg of its entry with the opposite sign, dated on"
    " or after it.",
    "Reverse with the reverse command, which copies the legs.",
)
REVERSAL_TOO_EARLY = Problem(
    "reversal_too_early",
    "The reversal is dated {on}, before the entry {entry} ({entry_on}).",
    "Date the reversal on or after the day of the entry.",
)
TRANSFERS_NOT_REVERSED = Problem(
    "transfers_not_reversed",
    "The entry {entry} moved money by instruction and cannot be reversed as a whole.",
    "Void the holds that are pending, or record what came back as returns.",
)


@dataclass(frozen=True, slots=True)
class EntryHead:
    """What an entry says of itself.

    `entry_ref` is `je_` and a ULID, made by the caller; `key` makes a repetition safe; `event` is
    the code of what happened; `reason` is for people and must hold no personal data.
    `recorded_on` is the day it is for the caller: nothing is dated after it. An `adjustment` is
    taken by a period that is being adjusted; `corrects` names the entry of a closed period that
    this one sets right.
    """

    entry_ref: str
    key: str
    event: str
    effective_on: date
    recorded_by: str
    reason: str
    _: KW_ONLY
    recorded_on: date
    adjustment: bool = False
    corrects: str | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg: `amount_minor` is positive for a debit, negative for a credit.

    `account` is an account's number or its code; the currency is the account's. `wallet_id` is the
    wallet that a leg on a control account is about.
    """

    account: int | str
    amount_minor: int
    layer: str = "A"
    _: KW_ONLY
    grant_code: str
    programme_id: str | None = None
    cycle_id: str | None = None
    provider: str | None = None
    location: str | None = None
    wallet_id: int | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """The entry that stands under the key; `already` says that it stood before this call."""

    entry_ref: str
    already: bool


@dataclass(frozen=True, slots=True)
class _Account:
    number: int
    code: str
    currency: str


def record(conn: Connection, head: EntryHead, legs: Sequence[Leg]) -> Recorded:
    """Record an entry of `legs` once.

    Raises `entry_without_lines`, `account_unknown`, `leg_zero`, `entry_unbalanced` (all problems of
    the entry as findings), `reason_missing`, `key_used_differently`; the database refuses with
    `account_unfit` and `account_limit`.
    """
    require_reason(head)
    accounts = _accounts(conn, legs)
    _require_sound(head, legs, accounts)
    return _write(conn, head, [(leg, accounts[leg.account]) for leg in legs], None)


def reverse(conn: Connection, entry_ref: str, head: EntryHead) -> Recorded:
    """Record the exact mirror of the entry `entry_ref` under the head given, at most once.

    Raises `entry_unknown`, `already_reversed`, `reversal_too_early`, `transfers_not_reversed`,
    `reason_missing`, `key_used_differently`.
    """
    require_reason(head)
    target = conn.execute(
        "SELECT entry_id, effective_on,"
        " EXISTS (SELECT 1 FROM books.transfers_of(e.entry_id))"
        " FROM books.entry e WHERE entry_ref = %s",
        [entry_ref],
    ).fetchone()
    if target is None:
        raise ENTRY_UNKNOWN.refusal(entry=entry_ref)
    entry_id, effective_on, has_transfers = target
    if has_transfers:
        raise TRANSFERS_NOT_REVERSED.refusal(entry=entry_ref)
    if head.effective_on < effective_on:
        raise REVERSAL_TOO_EARLY.refusal(
            entry=entry_ref, on=head.effective_on, entry_on=effective_on
        )
    mirror = _mirror(conn, entry_id)
    earlier = conn.execute("SELECT key FROM books.entry WHERE reverses = %s", [entry_id]).fetchone()
    if earlier is not None and earlier[0] != head.key:
        raise ALREADY_REVERSED.refusal(entry=entry_ref)
    try:
        return _write(conn, head, mirror, entry_id)
    except errors.UniqueViolation as error:
        if error.diag.constraint_name != "entry_reverses_key":
            raise
        raise ALREADY_REVERSED.refusal(entry=entry_ref) from None


def require_reason(head: EntryHead) -> None:
    """Raise `reason_missing` unless the head says why."""
    if not head.reason.strip():
        raise REASON_MISSING.refusal(entry=head.entry_ref)


def require_same(
    conn: Connection, head: EntryHead, body_hash: bytes, reverses: int | None = None
) -> int:
    """Return the number of the entry under the head's key, or raise `key_used_differently`.

    The body is the event, the day, the entry reversed and the lines; who asks, why, and under which
    new reference may differ from one attempt to the next.
    """
    found = conn.execute(
        "SELECT entry_id, entry_ref, body_hash, event, effective_on, reverses"
        " FROM books.entry WHERE key = %s",
        [head.key],
    ).fetchone()
    if found is None:
        message = f"the key {head.key} was taken and is gone"
        raise LookupError(message)
    entry_id, entry_ref, stored_hash, event, effective_on, stored_reverses = found
    if bytes(stored_hash) == body_hash:
        return int(entry_id)
    pairs = {
        "event": event == head.event,
        "day": effective_on == head.effective_on,
        "entry reversed": stored_reverses == reverses,
    }
    fields = [name for name, same in pairs.items() if not same] or ["lines"]
    raise KEY_USED_DIFFERENTLY.refusal(key=head.key, entry=entry_ref, fields=", ".join(fields))


def corrected(conn: Connection, head: EntryHead) -> int | None:
    """Return the number of the entry that the head corrects. Raises `entry_unknown`."""
    if head.corrects is None:
        return None
    row = conn.execute(
        "SELECT entry_id FROM books.entry WHERE entry_ref = %s", [head.corrects]
    ).fetchone()
    if row is None:
        raise ENTRY_UNKNOWN.refusal(entry=head.corrects)
    return int(row[0])


def body_prefix(head: EntryHead, reverses: int | None = None) -> str:
    """Return the head's part of the body, unambiguous and the same for equal heads."""
    return json.dumps(
        ["cva.entry.v2", head.event, head.effective_on.isoformat(), head.adjustment,
         head.corrects, reverses]
    )  # fmt: skip


def _accounts(conn: Connection, legs: Sequence[Leg]) -> dict[int | str, _Account]:
    numbers = [leg.account for leg in legs if isinstance(leg.account, int)]
    codes = [leg.account for leg in legs if isinstance(leg.account, str)]
    found: dict[int | str, _Account] = {}
    for number, code, currency in conn.execute(
        "SELECT account_id, code, currency FROM books.account"
        " WHERE account_id = ANY (%s) OR code = ANY (%s)",
        [numbers, codes],
    ):
        found[number] = found[code] = _Account(number, code, currency)
    return found


def _require_sound(
    head: EntryHead, legs: Sequence[Leg], accounts: dict[int | str, _Account]
) -> None:
    findings = list(_findings(head, legs, accounts))
    if findings:
        first = findings[0]
        raise first.problem.refusal(**first.facts).with_findings(findings)


def _findings(
    head: EntryHead, legs: Sequence[Leg], accounts: dict[int | str, _Account]
) -> list[Finding]:
    entry = head.entry_ref
    if len(legs) < 2:  # noqa: PLR2004 - double entry
        return [ENTRY_WITHOUT_LINES.finding(Place(), entry=entry)]
    findings = []
    sums: Counter[tuple[str, str, str]] = Counter()
    for number, leg in enumerate(legs, start=1):
        place = Place(field=f"leg {number}")
        if not leg.amount_minor:
            findings.append(LEG_ZERO.finding(place, leg=number, entry=entry))
        if leg.account not in accounts:
            findings.append(ACCOUNT_UNKNOWN.finding(place, account=leg.account))
            continue
        currency = accounts[leg.account].currency
        sums[leg.layer, currency, leg.grant_code] += leg.amount_minor
    if any(finding.problem is ACCOUNT_UNKNOWN for finding in findings):
        return findings  # a sum without all its legs would say nothing
    for (layer, currency, grant), difference in sorted(sums.items()):
        if difference:
            facts = with_amounts({"difference_minor": difference, "currency": currency})
            findings.append(
                ENTRY_UNBALANCED.finding(
                    Place(), "", entry=entry, layer=layer, grant=grant, **facts
                )
            )
    return findings


def _mirror(conn: Connection, entry_id: int) -> list[tuple[Leg, _Account]]:
    rows = conn.execute(
        "SELECT account_id, code, l.currency, -amount_minor, layer, l.grant_code, programme_id,"
        " cycle_id, l.provider, location, wallet_id"
        " FROM books.leg l JOIN books.account USING (account_id)"
        " WHERE entry_id = %s ORDER BY leg_no",
        [entry_id],
    )
    return [
        (
            Leg(
                number, amount, layer, grant_code=grant, programme_id=programme, cycle_id=cycle,
                provider=provider, location=location, wallet_id=wallet,
            ),
            _Account(number, code, currency),
        )
        for number, code, currency, amount, layer, grant, programme, cycle, provider, location,
        wallet in rows
    ]  # fmt: skip


def _write(
    conn: Connection, head: EntryHead, legs: Sequence[tuple[Leg, _Account]], reverses: int | None
) -> Recorded:
    body_hash = _body_hash(head, legs, reverses)
    claimed = conn.execute(
        "INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_on,"
        " recorded_by, reason, adjustment, corrects, reverses)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (key) DO NOTHING RETURNING entry_id",
        [head.entry_ref, head.key, body_hash, head.event, head.effective_on, head.recorded_on,
         head.recorded_by, head.reason, head.adjustment, corrected(conn, head), reverses],
    ).fetchone()  # fmt: skip
    if claimed is None:
        entry_id = require_same(conn, head, body_hash, reverses)
        return Recorded(_reference(conn, entry_id), already=True)
    columns = zip(
        *(
            (account.number, leg.amount_minor, leg.layer, account.currency, leg.grant_code,
             leg.programme_id, leg.cycle_id, leg.provider, leg.location, leg.wallet_id)
            for leg, account in legs
        ),
        strict=True,
    )  # fmt: skip
    conn.execute(
        "INSERT INTO books.leg (entry_id, leg_no, account_id, amount_minor, layer, currency,"
        " grant_code, programme_id, cycle_id, provider, location, wallet_id)"
        " SELECT %s, leg_no, account_id, amount_minor, layer, currency, grant_code, programme_id,"
        " cycle_id, provider, location, wallet_id"
        " FROM unnest(%s::int[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],"
        " %s::text[], %s::text[], %s::text[], %s::bigint[]) WITH ORDINALITY AS n (account_id,"
        " amount_minor, layer, currency, grant_code, programme_id, cycle_id, provider, location,"
        " wallet_id, leg_no)",
        [claimed[0], *map(list, columns)],
    )
    return Recorded(head.entry_ref, already=False)


def _body_hash(
    head: EntryHead, legs: Sequence[tuple[Leg, _Account]], reverses: int | None
) -> bytes:
    lines = [
        [account.code, leg.amount_minor, leg.layer, leg.grant_code, leg.programme_id, leg.cycle_id,
         leg.provider, leg.location, leg.wallet_id]
        for leg, account in legs
    ]  # fmt: skip
    text = body_prefix(head, reverses) + json.dumps(lines)
    return hashlib.sha256(text.encode()).digest()


def _reference(conn: Connection, entry_id: int) -> str:
    row = conn.execute("SELECT entry_ref FROM books.entry WHERE entry_id = %s", [entry_id])
    (reference,) = row.fetchone() or ("",)
    return str(reference)
