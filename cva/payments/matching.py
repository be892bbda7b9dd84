"""Matching the books with what providers state: lines in by SQL or from a file, rules, people.

A provider's comparison bears the provider's code: the books' accounts with it on our side, its
statements on theirs. A second one, `CODE/reports`, holds the books against its reports line by
line. A list that no provider sent through its channel can come as a CSV file.

A write-off moves the books to the world: what a statement shows and the books do not is booked to
losses or other income, and what the books show and no statement does is taken back. Money is
written off against statements only: the reports say the same payments again. The entry of a
write-off is not itself a line to match with statements: it has cleared what it stands for.

Whoever matches is a finance officer; two of them write off.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

from psycopg import Connection, sql

from cva import acts, staff
from cva.identifiers import new_id
from ledgers import money
from ledgers.chart import open_account
from ledgers.entries import EntryHead, Leg, record
from ledgers.matching import exceptions, lines, matches, running
from ledgers.matching.lines import Delivery, Taken
from ledgers.matching.matches import Applied, Match, WriteOff
from ledgers.matching.rules import Name
from ledgers.matching.running import Act, Found
from ledgers.matching.sources import Kind, Side, Source
from ledgers.problems import Finding, Place, Problem, Refusal, Weight, masked

LINE_UNREADABLE = Problem(
    "recon_line_unreadable",
    "The line {line} cannot be taken: {why}.",
    "Correct the line in the file and import it again; the other lines are taken.",
    weight=Weight.REFUSED,
)
COLUMNS_MISSING = Problem(
    "line_columns_missing",
    "The file has no columns {columns}.",
    "Name the columns statement_id, line_id, amount, currency and value_on in the first row.",
)
ACCOUNT_OF_COMPARISON_UNKNOWN = Problem(
    "comparison_without_account",
    "The books have no bank or float account in {currency} behind the comparison {comparison}.",
    "Book the difference by an entry of your own, and match the line with it.",
)

WRITE_OFF_NOT_SEEN = Problem(
    "write_off_not_seen",
    "The write-off {write_off} is not of {given}.",
    "Look at it with `cva ledger write-offs`, and approve the amount that stands there.",
)

# Who works on a difference of each name.
OWNERS: Mapping[Name, str] = {
    **dict.fromkeys(Name, "finance"), Name.SHORT: "programme", Name.RETURNED: "programme",
}  # fmt: skip
# Who is told when an exception has aged to a level.
TOLD = ("owner", "owner", "finance", "programme", "administrator", "auditor")

_NEEDED = ("statement_id", "line_id", "amount", "currency", "value_on")
_OPTIONAL = ("booked_on", "kind", "ref", "counterparty", "group_keys")
_KINDS = ("payment", "return", "fee", "funding", "other")


class Against(StrEnum):
    """What of a provider the books are held against."""

    STATEMENTS = "statements"  # booked movements of its account
    REPORTS = "reports"  # what it says of each instruction


@dataclass(frozen=True, slots=True)
class Brought:
    """What came in from both sides, and the lines of a file that could not be taken."""

    ours: Taken | None
    theirs: Taken | None
    findings: tuple[Finding, ...] = ()


# The file an instruction went out with is its group: some banks book a whole file as one movement.
# Against reports, the entry of a write-off is the payment or return that it stands for.
_BOOKS = sql.SQL("""
    SELECT e.entry_ref, p.kind || '/' || p.line, p.debit_minor - p.credit_minor, p.currency,
           e.effective_on, e.effective_on,
           CASE WHEN starts_with(e.key, 'fee/') THEN 'fee' WHEN r.ref IS NULL
                THEN 'funding' WHEN p.debit_minor > 0 THEN 'return' ELSE 'payment' END,
           CASE WHEN starts_with(e.key, 'fee/') THEN e.key ELSE coalesce(r.ref, '') END,
           CASE WHEN r.ref IS NULL THEN 'FUNDING' ELSE '' END,
           ARRAY(SELECT f.message_id FROM payments.line l JOIN payments.file f
                   ON f.plan_id = l.plan_id AND l.line_no BETWEEN f.first_line AND f.last_line
                 WHERE l.instruction_ref = p.instruction_ref
                   AND NOT EXISTS (SELECT FROM payments.not_taken n WHERE n.file_id = f.file_id)
                 ORDER BY f.message_id),
           ''
    FROM books.posting p JOIN books.entry e USING (entry_id) JOIN books.account a USING (account_id)
    LEFT JOIN (SELECT y.entry_id, CASE WHEN s.side = 'theirs' AND n.kind IN ('payment', 'return')
                                       THEN nullif(n.ref, '') END AS ref
               FROM recon.write_off_approval y JOIN recon.write_off x USING (write_off_id)
               JOIN recon.line n USING (line_no) JOIN recon.source s USING (source_id)) w
      ON w.entry_id = e.entry_id
    CROSS JOIN LATERAL (SELECT coalesce(p.instruction_ref, w.ref) AS ref) r
    WHERE a.provider = %(provider)s AND a.chart_code IN ('1010', '1110')
      AND p.stage = 'posted' AND p.layer = 'A'
      AND CASE WHEN %(all)s THEN w.entry_id IS NULL ELSE r.ref IS NOT NULL END
""")

_STATEMENTS = sql.SQL("""
    SELECT s.account || '/' || s.statement_id, s.line_id, s.amount_minor, s.currency, s.booked_on,
           s.booked_on, s.kind,
           CASE WHEN s.kind = 'fee' AND s.ref = ''
                THEN concat_ws('/', 'fee', s.provider, s.account, s.statement_id, s.line_id)
                ELSE s.ref END,
           CASE s.kind WHEN 'funding' THEN 'FUNDING' ELSE '' END,
           CASE WHEN s.plan_id IS NULL AND s.ref <> '' THEN ARRAY[s.ref] ELSE '{}'::text[] END, ''
    FROM payments.statement_line s WHERE s.provider = %(provider)s
""")

# One line for each instruction that was paid or came back, by the best evidence; better evidence of
# another amount makes it a changed line.
_REPORTS = sql.SQL("""
    SELECT 'reports', l.instruction_ref || CASE WHEN o.outcome = 'returned' THEN '/returned'
                                               ELSE '/paid' END,
           coalesce(o.amount_minor, l.amount_minor)
             * CASE WHEN o.outcome = 'returned' THEN 1 ELSE -1 END,
           p.currency, coalesce(o.observed_on, p.execute_on), coalesce(o.observed_on, p.execute_on),
           CASE WHEN o.outcome = 'returned' THEN 'return' ELSE 'payment' END, l.instruction_ref, '',
           '{}'::text[], ''
    FROM (SELECT DISTINCT ON (plan_id, line_no, outcome = 'returned') *
          FROM payments.said WHERE outcome IN ('executed', 'delivered', 'returned')
          ORDER BY plan_id, line_no, outcome = 'returned', evidence DESC, observation_id) o
    JOIN payments.line l USING (plan_id, line_no) JOIN payments.plan p USING (plan_id)
    WHERE p.provider = %(provider)s
""")

_ACCOUNT = """
    SELECT code FROM books.account
    WHERE provider = %s AND currency = %s AND chart_code IN ('1010', '1110')
    ORDER BY chart_code DESC, code LIMIT 1
"""


def comparison_of(provider: str, against: Against = Against.STATEMENTS) -> str:
    """Return the name of a provider's comparison."""
    return provider if against is Against.STATEMENTS else f"{provider}/{against}"


def bring_in(
    conn: Connection,
    provider: str,
    against: Against = Against.STATEMENTS,
    *,
    person_id: str,
    on: date,
) -> Brought:
    """Take the books and what the provider stated into its comparison; known lines stay.

    Raises `role_missing`.
    """
    staff.require(conn, person_id, "finance")
    name = comparison_of(provider, against)
    delivery = Delivery("collected", on, person_id, OWNERS[Name.LINE_CHANGED])
    statements = against is Against.STATEMENTS
    values = {"provider": provider, "all": statements}
    kind = Kind.STATEMENT if statements else Kind.PROCESSOR
    theirs = Source(f"{provider} {against}", name, Side.THEIRS, kind)
    stated = _STATEMENTS if statements else _REPORTS
    return Brought(
        lines.take(conn, _books_of(name), _BOOKS, delivery, values),
        lines.take(conn, theirs, stated, delivery, values),
    )


def bring_in_file(
    conn: Connection, comparison: str, side: Side, file: Path, *, person_id: str, on: date
) -> Brought:
    """Take the lines of a CSV file into one side of a comparison; unreadable lines are findings.

    Columns: statement_id, line_id, amount (signed, below 0 leaves the account), currency, value_on;
    and where there are: booked_on, kind, ref, counterparty (a token), group_keys (with spaces).
    Raises `line_columns_missing`, `role_missing`.
    """
    staff.require(conn, person_id, "finance")
    findings: list[Finding] = []
    with file.open(encoding="utf-8-sig", newline="") as text, lines.staged(conn) as copy:
        for row in _read(csv.DictReader(text), file.name, findings):
            copy.write_row(row)
    delivery = Delivery(file.name, on, person_id, OWNERS[Name.LINE_CHANGED])
    kind = Kind.LEDGER if side is Side.OURS else Kind.STATEMENT
    source = Source(f"{comparison} files {side}", comparison, side, kind)
    taken = lines.take(conn, source, lines.STAGED, delivery)
    ours, theirs = (taken, None) if side is Side.OURS else (None, taken)
    return Brought(ours, theirs, tuple(findings))


def match_by_rules(
    conn: Connection, comparison: str, *, person_id: str, at: datetime, on: date
) -> Found:
    """Match what is open by the rules. Raises `comparison_unknown`, `role_missing`."""
    staff.require(conn, person_id, "finance")
    found = running.run_rules(conn, comparison, Act(on, person_id, "matching by rules"), OWNERS)
    if found.run_id is not None:
        counts = {str(rule): count for rule, count in found.matched.items()}
        _acted(conn, "match", found.run_id, counts, person_id, at)
    return found


def match_by_hand(conn: Connection, items: list[Applied], act: Act, *, at: datetime) -> Match:
    """Match lines by hand, see `ledgers.matching.matches.match`; `act.by` is a person."""
    staff.require(conn, act.by, "finance")
    made = matches.match(conn, items, act)
    _acted(conn, "match", made.run_id, {"lines": len(items)}, act.by, at)
    return made


def accept(conn: Connection, suggestion_id: int, act: Act, *, at: datetime) -> Match:
    """Accept a suggestion, see `ledgers.matching.matches.accept`."""
    staff.require(conn, act.by, "finance")
    made = matches.accept(conn, suggestion_id, act)
    _acted(conn, "match", made.run_id, {"suggestion": suggestion_id}, act.by, at)
    return made


def unmatch(conn: Connection, undone: Match, act: Act, *, at: datetime) -> Match:
    """Take a match back, see `ledgers.matching.matches.unmatch`."""
    staff.require(conn, act.by, "finance")
    made = matches.unmatch(conn, undone, act)
    _acted(conn, "unmatch", made.run_id, {"undoes": str(undone)}, act.by, at)
    return made


def propose_write_off(conn: Connection, line_no: int, act: Act, *, at: datetime) -> WriteOff:
    """Propose to write off what is open of a line. Raises as `matches.propose_write_off` does."""
    staff.require(conn, act.by, "finance")
    proposed = matches.propose_write_off(conn, line_no, act)
    _acted(conn, "propose_write_off", proposed.write_off_id, {"line": line_no}, act.by, at)
    return proposed


def waiting_write_offs(conn: Connection, comparison: str | None = None) -> list[WriteOff]:
    """Return what waits for a second person, oldest first; who proposed it by their login."""
    logins: dict[str, str] = dict(
        conn.execute("SELECT person_id, login FROM staff.person").fetchall()
    )
    return [
        replace(one, proposed_by=logins.get(one.proposed_by, one.proposed_by))
        for one in matches.write_offs(conn, comparison)
    ]


def approve_write_off(
    conn: Connection, write_off_id: int, seen_minor: int, grant: str, act: Act, *, at: datetime
) -> Match:
    """Approve somebody else's write-off and book it on the grant.

    `seen_minor` is the amount that the second person has looked at, signed as the line's. Raises
    `write_off_not_seen`, `comparison_without_account` and as `matches.approve_write_off` does.
    """
    staff.require(conn, act.by, "finance")
    proposed = matches.write_off(conn, write_off_id)
    if proposed.amount_minor != seen_minor:
        facts = {"given_minor": seen_minor, "currency": proposed.currency}
        raise WRITE_OFF_NOT_SEEN.refusal(write_off=write_off_id, **money.with_amounts(facts))
    entry_ref = _book(conn, proposed, grant, act, at)
    made = matches.approve_write_off(conn, write_off_id, entry_ref, act)
    _acted(conn, "approve_write_off", write_off_id, {"entry": entry_ref}, act.by, at)
    return made


def assign(conn: Connection, exception_id: int, owner: str, act: Act, *, at: datetime) -> None:
    """Give an exception to another owner: a role, or a person by their login.

    Raises `exception_unknown`, `person_unknown`, `match_without_reason`, `role_missing`.
    """
    staff.require(conn, act.by, "finance")
    if owner not in set(staff.Role):
        staff.person_of(conn, owner)
    exceptions.assign(conn, exception_id, owner, by=act.by, reason=act.reason)
    _acted(conn, "assign", exception_id, {"owner": owner}, act.by, at, again=True)


def answer(conn: Connection, exception_id: int, act: Act, *, at: datetime) -> bool:
    """Answer a line that came again with other content; False where it was answered before.

    Raises `exception_unknown`, `exception_not_answerable`, `match_without_reason`, `role_missing`.
    """
    staff.require(conn, act.by, "finance")
    answered = exceptions.answer(conn, exception_id, by=act.by, reason=act.reason)
    if answered:
        _acted(conn, "answer", exception_id, {"reason": act.reason}, act.by, at)
    return answered


def _books_of(comparison: str) -> Source:
    return Source(f"{comparison} books", comparison, Side.OURS, Kind.LEDGER)


def _book(conn: Connection, proposed: WriteOff, grant: str, act: Act, at: datetime) -> str:
    provider = proposed.comparison  # of its statements: a list beside them has no account
    row = conn.execute(_ACCOUNT, (provider, proposed.currency)).fetchone()
    if row is None:
        raise ACCOUNT_OF_COMPARISON_UNKNOWN.refusal(
            comparison=proposed.comparison, currency=proposed.currency
        )
    moves = proposed.amount_minor * (1 if proposed.side is Side.THEIRS else -1)
    other = open_account(conn, "5210" if moves < 0 else "4030", proposed.currency, act.on)
    head = EntryHead(
        entry_ref=new_id("je", at), key=f"write_off/{proposed.write_off_id}",
        event="difference_written_off", effective_on=act.on, recorded_by=act.by,
        reason=act.reason, recorded_on=act.on,
    )  # fmt: skip
    legs = [
        Leg(row[0], moves, grant_code=grant, provider=provider),
        Leg(other, -moves, grant_code=grant, provider=provider),
    ]
    return record(conn, head, legs).entry_ref


def _acted(
    conn: Connection, verb: str, number: int, body: Mapping[str, object], by: str, at: datetime,
    *, again: bool = False,
) -> None:  # fmt: skip
    key = f"{verb}:{number}:{new_id('act', at)}" if again else f"{verb}:{number}"
    acts.record(
        conn, key=key, verb=verb, object_id=str(number), body=body, person_id=by, at=at,
        answer={"number": number},
    )  # fmt: skip


def _read(
    rows: "csv.DictReader[str]", file: str, findings: list[Finding]
) -> Iterator[tuple[object, ...]]:
    absent = [name for name in _NEEDED if name not in (rows.fieldnames or ())]
    if absent:
        raise COLUMNS_MISSING.refusal(columns=", ".join(absent))
    for number, row in enumerate(rows, start=2):
        try:
            yield _line(row)
        except (Refusal, ValueError) as error:
            why = error.sentence.rstrip(".") if isinstance(error, Refusal) else str(error)
            shown = masked(row["line_id"] or "")
            findings.append(LINE_UNREADABLE.finding(Place(file, row=number), line=shown, why=why))


def _line(row: Mapping[str, str]) -> tuple[object, ...]:
    given = {name: (row.get(name) or "").strip() for name in (*_NEEDED, *_OPTIONAL)}
    if not given["statement_id"] or not given["line_id"]:
        message = "it has no statement_id or no line_id"
        raise ValueError(message)
    kind = given["kind"] or "other"
    if kind not in _KINDS:
        message = f"its kind is none of {', '.join(_KINDS)}"
        raise ValueError(message)
    value_on = _day(given["value_on"])
    booked_on = _day(given["booked_on"]) if given["booked_on"] else value_on
    return (
        given["statement_id"], given["line_id"],
        money.parse_amount(given["amount"], given["currency"], negative=True), given["currency"],
        value_on, booked_on, kind, given["ref"], given["counterparty"],
        given["group_keys"].split(), "",
    )  # fmt: skip


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        message = "a date is not written as 2026-03-31"
        raise ValueError(message) from None
