"""Mass transfers that come from outside the database: one stream, one COPY, one entry.

What stands in a table already is moved by `transfers`; what a program reads from a file or a
message comes here, line by line. The lines of a list have their accounts, currency, grant,
programme, cycle and provider in common; each has its own amount, wallet, location and instruction.

The lines are read once, and are on their way into the database while the next are read: memory
stays the same however many there are. The key is claimed before the first line is sent, with the
digest of what is common. The lines are not hashed with it: they stand as they were given, for good,
so a repetition is held against them, line by line and in their order, and changes nothing. An empty
list records nothing and claims no key.

Everything else is the database's: that lines fit their accounts, limits, balances, and the place in
the log, which the entry takes at commit.

Source: PostgreSQL 18 manual, COPY, "Text Format".
The function works inside the caller's transaction and never commits.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import chain, islice
from typing import NamedTuple

from psycopg import Connection

from ledgers.chart import ACCOUNT_UNKNOWN
from ledgers.entries import EntryHead, body_prefix, corrected, require_reason, require_same
from ledgers.transfers import AMOUNT_UNFIT, Moved, refuse_other_lines

_LINES_AT_ONCE = 10_000
# What COPY escapes when it writes, so that lines read back are byte for byte the lines given.
_RARE = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\r": "\\r", "\v": "\\v"}
_ESCAPES = str.maketrans({**_RARE, "\n": "\\n", "\t": "\\t"})
_TABS = 4  # in a line of five fields

# Fields that are empty are null: no reference and no location is the empty text.
_COPY = (
    "COPY books.transfer (line_no, amount_minor, wallet_id, location, instruction_ref, entry_id,"
    " phase, debit_account_id, credit_account_id, currency, grant_code, programme_id, cycle_id,"
    " provider) FROM STDIN WITH (NULL '')"
)
_COPY_BACK = (
    "COPY (SELECT line_no, amount_minor, wallet_id, location, instruction_ref"
    " FROM books.transfers_of(%s) ORDER BY line_no) TO STDOUT WITH (NULL '')"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What all lines of a list have in common; accounts by their code, the currency is theirs."""

    debit_account: str
    credit_account: str
    grant_code: str
    programme_id: str | None = None
    cycle_id: str | None = None
    provider: str | None = None


class Line(NamedTuple):
    """One transfer: `wallet_id` is of the side that is a control account."""

    amount_minor: int
    wallet_id: int | None = None
    location: str | None = None
    instruction_ref: str | None = None


def record_lines(conn: Connection, head: EntryHead, kind: Kind, lines: Iterable[Line]) -> Moved:
    """Move money at once, a transfer for each line, in the order of the lines.

    Raises `account_unknown`, `amount_unfit`, `key_used_differently`, `reason_missing`; the database
    refuses with `account_limit`, `account_unfit`, `dimension_missing`, `wallet_missing`,
    `wallet_unfit`, `wallet_unknown` and what it says of the head's day.
    """
    require_reason(head)
    common = _common(conn, kind)
    encoded = _encoded(lines)
    first = next(encoded, None)
    if first is None:
        return Moved(0, 0)
    given = chain([first], encoded)
    body_hash = hashlib.sha256(f"{body_prefix(head)}{json.dumps(astuple(kind))}".encode()).digest()
    entry_id = _claim(conn, head, body_hash)
    if entry_id is None:
        return _repeated(conn, head, require_same(conn, head, body_hash), given)
    return _copy(conn, given, f"\t{entry_id}\tsingle\t{common}\n".encode())


def _common(conn: Connection, kind: Kind) -> str:
    """Return the fields that follow the entry and the phase in every line."""
    codes = (kind.debit_account, kind.credit_account)
    found = {
        code: (number, currency)
        for number, code, currency in conn.execute(
            "SELECT account_id, code, currency FROM books.account WHERE code = ANY (%s)",
            [list(codes)],
        )
    }
    for code in codes:
        if code not in found:
            raise ACCOUNT_UNKNOWN.refusal(account=code)
    (debit, currency), (credit, _) = (found[code] for code in codes)
    names = (currency, kind.grant_code, kind.programme_id, kind.cycle_id, kind.provider)
    return "\t".join([str(debit), str(credit), *(_escaped(name or "") for name in names)])


def _encoded(lines: Iterable[Line]) -> Iterator[tuple[int, int, bytes]]:
    """Give (how many, their sum, their bytes) of some lines at a time, numbered from 1.

    Raises `amount_unfit`.
    """
    first, rest = 1, iter(lines)
    while some := list(islice(rest, _LINES_AT_ONCE)):
        amounts = [line[0] for line in some]
        if min(amounts) <= 0:
            unfit = next(line for line in some if line[0] <= 0)
            raise AMOUNT_UNFIT.refusal(instruction=unfit[3] or "")
        yield len(some), sum(amounts), _text(first, some).encode()
        first += len(some)


def _text(first: int, some: list[Line]) -> str:
    """Return lines in COPY's text format; names that would break it are rare: looked for once."""
    text = "".join(
        [
            f"{number}\t{amount}\t{wallet or ''}\t{location or ''}\t{reference or ''}\n"
            for number, (amount, wallet, location, reference) in enumerate(some, first)
        ]
    )
    is_plain = (
        text.count("\t") == _TABS * len(some)
        and text.count("\n") == len(some)
        and not any(sign in text for sign in _RARE)
    )
    if is_plain:
        return text
    return "".join(
        f"{number}\t{amount}\t{wallet or ''}\t{_escaped(location or '')}"
        f"\t{_escaped(reference or '')}\n"
        for number, (amount, wallet, location, reference) in enumerate(some, first)
    )


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _claim(conn: Connection, head: EntryHead, body_hash: bytes) -> int | None:
    row = conn.execute(
        "INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_on,"
        " recorded_by, reason, adjustment, corrects)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (key) DO NOTHING RETURNING entry_id",
        [head.entry_ref, head.key, body_hash, head.event, head.effective_on, head.recorded_on,
         head.recorded_by, head.reason, head.adjustment, corrected(conn, head)],
    ).fetchone()  # fmt: skip
    return int(row[0]) if row else None


def _copy(conn: Connection, given: Iterator[tuple[int, int, bytes]], end: bytes) -> Moved:
    """Send the lines, each with what is common to all behind it: a line feed only ends a line."""
    count = amount_minor = 0
    with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
        for number, minor, encoded in given:
            count, amount_minor = count + number, amount_minor + minor
            copy.write(encoded.replace(b"\n", end))
    return Moved(count, amount_minor)


def _repeated(
    conn: Connection, head: EntryHead, entry_id: int, given: Iterator[tuple[int, int, bytes]]
) -> Moved:
    """Hold the lines against the recorded ones. Raises `key_used_differently`."""
    count = amount_minor = 0
    wanted, found = hashlib.sha256(), hashlib.sha256()
    for number, minor, encoded in given:
        count, amount_minor = count + number, amount_minor + minor
        wanted.update(encoded)
    with conn.cursor() as cursor, cursor.copy(_COPY_BACK, [entry_id]) as copy:
        for some in copy:
            found.update(some)
    if wanted.digest() != found.digest():
        refuse_other_lines(conn, head, entry_id)
    return Moved(count, amount_minor, already=True)
