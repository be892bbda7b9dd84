"""Mass transfers that come from outside the database: one stream, one COPY, one entry.

What stands in a table already is moved by `transfers`; what a program reads from a file or a
message comes here, line by line. The lines of a list have their accounts, currency, grant,
programme, cycle and provider in common; each has its own amount, wallet, location and instruction.

The lines are read once and written, encoded, to a temporary file: memory stays the same however
many there are, and the key is claimed with the digest of all lines before the first is added. What
is common goes between the lines on their way into the database. A repetition with the same lines in
the same order changes nothing; an empty list records nothing and claims no key.

Everything else is the database's: that lines fit their accounts, limits, balances, and the place in
the log, which the entry takes at commit.

Source: PostgreSQL 18 manual, COPY, "Text Format".
The function works inside the caller's transaction and never commits.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from itertools import islice
from typing import IO, NamedTuple

from psycopg import Connection

from ledgers.chart import ACCOUNT_UNKNOWN
from ledgers.entries import EntryHead, body_prefix, corrected, require_reason, require_same
from ledgers.transfers import AMOUNT_UNFIT, Moved

_LINES_AT_ONCE = 10_000
_BYTES_AT_ONCE = 1 << 19
_SPECIAL = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_ESCAPES = str.maketrans(_SPECIAL)
_TABS = 4  # in a line of five fields

# Fields that are empty are null: no reference and no location is the empty text.
_COPY = (
    "COPY books.transfer (line_no, amount_minor, wallet_id, location, instruction_ref, entry_id,"
    " phase, debit_account_id, credit_account_id, currency, grant_code, programme_id, cycle_id,"
    " provider) FROM STDIN WITH (NULL '')"
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
    with tempfile.TemporaryFile() as spool:
        digest = hashlib.sha256(f"{body_prefix(head)}{json.dumps(astuple(kind))}".encode())
        count = amount_minor = 0
        for number, minor, encoded in _encoded(lines):
            count, amount_minor = count + number, amount_minor + minor
            digest.update(encoded)
            spool.write(encoded)
        if not count:
            return Moved(0, 0)
        entry_id = _claim(conn, head, digest.digest())
        if entry_id is None:
            require_same(conn, head, digest.digest())
            return Moved(count, amount_minor, already=True)
        spool.seek(0)
        _copy(conn, spool, f"{entry_id}\tsingle\t{common}")
    return Moved(count, amount_minor)


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
        and "\\" not in text
        and "\r" not in text
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


def _copy(conn: Connection, spool: IO[bytes], common: str) -> None:
    """Send the lines, each with what is common to all behind it: a line feed only ends a line."""
    end = f"\t{common}\n".encode()
    with conn.cursor() as cursor, cursor.copy(_COPY) as copy:
        while some := spool.read(_BYTES_AT_ONCE):
            copy.write(some.replace(b"\n", end))
