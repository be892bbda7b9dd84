"""Statements of an account, a grant or a provider: opening balance, lines, closing balance.

A statement is made from sealed entries only, up to a size of the log, and says that size with the
log's root: whoever makes it again for the same size gets the same bytes, whatever was recorded
since, and can be shown that the log of that size is the one that was signed. An entry that is not
sealed yet is in the next statement.

A statement of a grant or of a provider has a section for each account on which its money moved; a
provider's has no memo accounts, for budget and commitments are no money and not its.
A line is what one entry did to the account; a plan's thousands of transfers are one line. The
*version* of a section is the number of sealed entries that touched it by that size, on any day.
What is on hold is no movement and stands on no statement.

Source: Modern Treasury, account statements (opening, closing, lock version).
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from psycopg import Connection, sql

from ledgers.chart import Side, account_number
from ledgers.money import format_amount
from ledgers.problems import Answer, Problem
from ledgers.transparency.proofs import LOG_SIZE_UNKNOWN

STATEMENT_DAYS_UNFIT = Problem(
    "statement_days_unfit",
    "A statement from {starts_on} to {ends_on} has no day.",
    "Give a last day on or after the first.",
)
STATEMENT_SUBJECT_UNKNOWN = Problem(
    "statement_subject_unknown",
    "Nothing in the books is about the {subject} {code}.",
    "Write the code as the books have it; capitals and small letters differ.",
    Answer.NOT_FOUND,
)


class Subject(StrEnum):
    """What a statement is about."""

    ACCOUNT = "account"
    GRANT = "grant"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """What one entry did to the account; `balance_minor` is after it, on the account's side."""

    effective_on: date
    position: int
    entry_ref: str
    event: str
    lines: int
    debit_minor: int
    credit_minor: int
    balance_minor: int


@dataclass(frozen=True, slots=True)
class Section:
    """One account of a statement, in minor units on its normal side."""

    account: str
    name: str
    currency: str
    version: int
    opening_minor: int
    lines: tuple[StatementLine, ...]

    @property
    def closing_minor(self) -> int:
        """The balance at the end of the last day."""
        return self.lines[-1].balance_minor if self.lines else self.opening_minor


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of the days from `starts_on` to `ends_on`, both in it, at a size of the log."""

    subject: Subject
    code: str
    starts_on: date
    ends_on: date
    log_size: int
    root: bytes
    sections: tuple[Section, ...]


_OF = {
    Subject.ACCOUNT: sql.SQL("a.account_id = (SELECT account_id FROM books.account"
                             " WHERE code = %(code)s)"),
    Subject.GRANT: sql.SQL("p.grant_code = %(code)s"),
    Subject.PROVIDER: sql.SQL("coalesce(a.provider, p.provider) = %(code)s AND p.layer = 'A'"),
}  # fmt: skip

_KNOWN = {
    Subject.GRANT: "SELECT EXISTS (SELECT FROM books.posting WHERE grant_code = %s)",
    Subject.PROVIDER: "SELECT EXISTS (SELECT FROM books.posting p JOIN books.account a"
                      " USING (account_id) WHERE coalesce(a.provider, p.provider) = %s)",
}  # fmt: skip

_SEALED = sql.SQL("""
    FROM books.posting p JOIN books.sealed_entry s USING (entry_id)
    JOIN books.entry e USING (entry_id) JOIN books.account a USING (account_id)
    WHERE p.stage = 'posted' AND s.tree_size <= %(size)s AND {of}
""")
_SECTIONS = sql.SQL("""
    SELECT a.code, a.name, a.normal_side, a.currency, count(DISTINCT p.entry_id),
           coalesce(sum(p.debit_minor - p.credit_minor)
                    FILTER (WHERE e.effective_on < %(starts_on)s), 0)::bigint
    {sealed} GROUP BY a.account_id ORDER BY a.code COLLATE "C"
""")
_LINES = sql.SQL("""
    SELECT a.code, e.effective_on, s.first_position, e.entry_ref, e.event, count(*),
           sum(p.debit_minor)::bigint, sum(p.credit_minor)::bigint
    {sealed} AND e.effective_on BETWEEN %(starts_on)s AND %(ends_on)s
    GROUP BY a.code, e.entry_id, s.first_position
    ORDER BY a.code COLLATE "C", e.effective_on, s.first_position
""")

_COLUMNS = (
    "account", "currency", "kind", "date", "position", "entry", "event", "lines", "debit",
    "credit", "balance", "version", "log_size", "root",
)  # fmt: skip


def statement(
    conn: Connection,
    subject: Subject,
    code: str,
    starts_on: date,
    ends_on: date,
    *,
    log_size: int | None = None,
) -> Statement:
    """Return the statement of an account (by code), a grant or a provider.

    `log_size` is a size at which the log was sealed, by default the newest. Raises
    `log_size_unknown`, `statement_days_unfit`, `account_unknown`, `statement_subject_unknown`.
    """
    if ends_on < starts_on:
        raise STATEMENT_DAYS_UNFIT.refusal(starts_on=starts_on, ends_on=ends_on)
    if subject is Subject.ACCOUNT:
        account_number(conn, code)
    size, root = _tree(conn, log_size)
    params = {"code": code, "size": size, "starts_on": starts_on, "ends_on": ends_on}
    sealed = _SEALED.format(of=_OF[subject])
    moved: dict[str, list[tuple[date, int, str, str, int, int, int]]] = {}
    for account, *line in conn.execute(_LINES.format(sealed=sealed), params):
        moved.setdefault(account, []).append(tuple(line))
    sections = tuple(
        _section(row, moved.get(row[0], []))
        for row in conn.execute(_SECTIONS.format(sealed=sealed), params).fetchall()
    )
    if not sections:
        _require_known(conn, subject, code)
    return Statement(subject, code, starts_on, ends_on, size, root, sections)


def _require_known(conn: Connection, subject: Subject, code: str) -> None:
    """Raise `statement_subject_unknown` where no line of the books, sealed or not, is about it."""
    known = subject not in _KNOWN or conn.execute(_KNOWN[subject], [code]).fetchone() == (True,)
    if not known:
        raise STATEMENT_SUBJECT_UNKNOWN.refusal(subject=subject, code=code)


def _tree(conn: Connection, log_size: int | None) -> tuple[int, bytes]:
    row = conn.execute(
        "SELECT tree_size, root FROM books.tree WHERE %(size)s::bigint IS NULL"
        " OR tree_size = %(size)s ORDER BY tree_size DESC LIMIT 1",
        {"size": log_size},
    ).fetchone()
    if row is None:
        raise LOG_SIZE_UNKNOWN.refusal(size=log_size or 0)
    return row[0], bytes(row[1])


def _section(
    row: tuple[str, str, str, str, int, int],
    moved: list[tuple[date, int, str, str, int, int, int]],
) -> Section:
    code, name, side, currency, version, opening = row
    sign = 1 if side == Side.DEBIT else -1
    balance = sign * opening
    lines = []
    for on, position, entry_ref, event, count, debit, credit in moved:
        balance += sign * (debit - credit)
        lines.append(StatementLine(on, position, entry_ref, event, count, debit, credit, balance))
    return Section(code, name, currency, version, sign * opening, tuple(lines))


# --- as bytes ----------------------------------------------------------------------------------


def as_text(made: Statement) -> bytes:
    """Return the statement for people, 80 columns wide, in UTF-8."""
    out = io.StringIO()
    out.write(f"Statement of the {made.subject} {made.code}\n")
    out.write(f"From {made.starts_on} to {made.ends_on}\n")
    out.write(f"Log of {made.log_size} leaves, root\n{made.root.hex()}\n")
    for section in made.sections:
        out.writelines(f"{line}\n" for line in _text_of(section))
    return out.getvalue().encode()


def as_csv(made: Statement) -> bytes:
    """Return the statement as CSV in UTF-8: for each account opening, lines, closing."""
    out = io.StringIO(newline="")
    table = csv.writer(out, lineterminator="\n")
    table.writerow(_COLUMNS)
    for section in made.sections:
        told = (section.version, made.log_size, made.root.hex())
        for kind, on, cells, balance in _rows_of(made, section):
            amount = format_amount(balance, section.currency)
            table.writerow((section.account, section.currency, kind, on, *cells, amount, *told))
    return out.getvalue().encode()


def _rows_of(
    made: Statement, section: Section
) -> Iterator[tuple[str, date, tuple[object, ...], int]]:
    none = ("",) * 6
    yield "opening", made.starts_on, none, section.opening_minor
    for line in section.lines:
        debit, credit = _sides(section, line)
        cells = (line.position, line.entry_ref, line.event, line.lines, debit, credit)
        yield "line", line.effective_on, cells, line.balance_minor
    yield "closing", made.ends_on, none, section.closing_minor


def _text_of(section: Section) -> Iterator[str]:
    yield ""
    yield f"{section.account}  {section.name}"
    yield f"version {section.version}, amounts in {section.currency}"
    yield f"{'date':<10} {'debit':>22} {'credit':>22} {'balance':>22}"
    yield f"{'opening':<56} {format_amount(section.opening_minor, section.currency):>22}"
    for line in section.lines:
        debit, credit = _sides(section, line)
        balance = format_amount(line.balance_minor, section.currency)
        yield f"{line.effective_on} {debit:>22} {credit:>22} {balance:>22}"
        many = f", {line.lines} lines" if line.lines > 1 else ""
        yield f"           {line.entry_ref} {line.event}{many}"
    yield f"{'closing':<56} {format_amount(section.closing_minor, section.currency):>22}"


def _sides(section: Section, line: StatementLine) -> tuple[str, str]:
    amounts = (line.debit_minor, line.credit_minor)
    debit, credit = (format_amount(minor, section.currency) if minor else "" for minor in amounts)
    return debit, credit
