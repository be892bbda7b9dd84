"""The nine reconciliations R1 to R9 of this installation: what the books are held against.

What each compares is in `ledgers.matching.reports`; here is where the other side comes from: plans,
wallets and comparisons that are in the database, or a file of somebody else's figures.

| report         | ours                          | theirs                  | asks for       |
|----------------|-------------------------------|-------------------------|----------------|
| R1 issuance    | lines of released plans       | what was instructed     | –              |
| R2 wallets     | movements of wallets          | balance file            | file           |
| R3 merchants   | lines by merchant             | merchants' statements   | comparison     |
| R4 settlements | lines by settlement           | settlements paid        | comparison     |
| R5 funds       | float and wallets             | what the provider holds | provider, file |
| R6 in transit  | sent to providers             | arrived                 | –              |
| R7 bank        | lines of the books            | lines of the statements | comparison     |
| R8 control     | control accounts, commitments | wallets, plans, holds   | –              |
| R9 grants      | books of each grant           | a donor's report        | file           |

A file is CSV with the columns `key` and `amount` and maybe `currency`. Keys are a wallet's
reference (R2), an account's code (R5), a grant and a figure such as GR-1/spent (R9).
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path

from psycopg import Connection, sql

from cva.clock import ZONE
from ledgers.matching import bank, reports
from ledgers.matching.reports import Report
from ledgers.money import parse_amount
from ledgers.problems import Answer, Finding, Place, Problem, Refusal, masked

RECONCILIATION_NEEDS = Problem(
    "reconciliation_needs",
    "The reconciliation {code} needs {needs}.",
    "Name it; `cva ledger reconciliations` lists what each of the nine needs.",
    Answer.USAGE,
)
RECONCILIATION_OF_TODAY = Problem(
    "reconciliation_of_today",
    "The reconciliation {code} cannot be made for {on}: what wallets, plans and holds come to is"
    " known for today only.",
    "Leave --on out; for a past day look at the trial balance, R2 and R5.",
    Answer.USAGE,
)
FIGURES_UNREADABLE = Problem(
    "figures_unreadable",
    "The file {file} cannot be held against the books.",
    "Write the columns key and amount, and repeat.",
)
FIGURE_UNREADABLE = Problem(
    "figure_unreadable",
    "The figure of {key} cannot be read: {why}.",
    "Write a key and an amount such as 1250.50 in the report's currency.",
)
COMPARISON_CURRENCIES = Problem(
    "comparison_currencies",
    "The comparison {comparison} has lines in {currencies}, which have no common sum.",
    "Take the lines of each currency into a comparison of their own.",
)
COMPARISON_WITHOUT_LINES = Problem(
    "comparison_without_lines",
    "The comparison {comparison} has no lines.",
    "Take lines in with `cva ledger import`, or name another comparison.",
    Answer.NOT_FOUND,
)


class Code(StrEnum):
    """The reconciliations by their number."""

    R1 = "R1"  # issuance
    R2 = "R2"  # wallets
    R3 = "R3"  # merchants
    R4 = "R4"  # settlements
    R5 = "R5"  # funds with a provider
    R6 = "R6"  # in transit
    R7 = "R7"  # bank
    R8 = "R8"  # control accounts
    R9 = "R9"  # grants


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is made from: empty and None are what it does not ask for.

    `on` is the last day that counts, `today` the day it is (None: the same); `plan` restricts R1 to
    one plan; `currency` is the one of all sums, for R3, R4 and R7 that of the comparison's lines
    instead.
    """

    on: date
    currency: str
    comparison: str = ""
    provider: str = ""
    plan: str = ""
    file: Path | None = None
    today: date | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A report with the currency of its sums, and of what it is (a comparison, a provider)."""

    report: Report
    currency: str
    of: str = ""


NEEDS: Mapping[Code, tuple[str, ...]] = {
    Code.R1: (), Code.R2: ("file",), Code.R3: ("comparison",), Code.R4: ("comparison",),
    Code.R5: ("provider", "file"), Code.R6: (), Code.R7: ("comparison",), Code.R8: (),
    Code.R9: ("file",),
}  # fmt: skip
TITLES: Mapping[Code, str] = {
    Code.R1: "issuance", Code.R2: "wallets", Code.R3: "merchants", Code.R4: "settlements",
    Code.R5: "funds", Code.R6: "in transit", Code.R7: "bank", Code.R8: "control accounts",
    Code.R9: "grants",
}  # fmt: skip

# One side of these is what stands at the moment, kept beside the log and not by day.
OF_TODAY = frozenset({Code.R8})

_RELEASED = sql.SQL("""
    SELECT l.instruction_ref, l.amount_minor
    FROM payments.line l JOIN payments.plan p USING (plan_id)
    WHERE l.stopped IS NULL AND p.currency = %(currency)s
      AND (%(plan)s = '' OR p.plan_id = %(plan)s)
      AND EXISTS (SELECT FROM payments.signature s WHERE s.plan_id = p.plan_id
                  AND s.act = 'released'
                  AND (s.at AT TIME ZONE %(zone)s)::date <= %(on)s::date)
""")
_MOVEMENTS = sql.SQL("""
    SELECT w.wallet_ref, e.event, p.debit_minor - p.credit_minor
    FROM books.posting p JOIN books.entry e USING (entry_id) JOIN books.account a USING (account_id)
    JOIN books.wallet w USING (wallet_id)
    WHERE p.stage = 'posted' AND a.currency = %(currency)s AND e.effective_on <= %(on)s
      AND (%(provider)s = '' OR w.provider = %(provider)s)
""")
_STATED = sql.SQL("SELECT * FROM unnest(%(keys)s::text[], %(minors)s::bigint[])")
# A commitment stands for plans approved and not released, for holds, and for what lies on wallets.
_PARTS = sql.SQL("""
    SELECT code, minor FROM (
        SELECT a.code, b.posted_debit - b.posted_credit AS minor
        FROM books.wallet_balance b JOIN books.account a USING (account_id)
        UNION ALL
        SELECT '9020.' || (g.document->'grant'->>'code') || '.' || p.currency, p.total_minor
        FROM payments.plan p JOIN programme.cycle c USING (cycle_id)
        JOIN programme.programme g USING (programme_id)
        WHERE p.approvers_needed <= (SELECT count(*) FROM payments.signature s
                                     WHERE s.plan_id = p.plan_id AND s.act = 'approved')
          AND NOT EXISTS (SELECT FROM payments.signature s
                          WHERE s.plan_id = p.plan_id AND s.act = 'released')
          AND NOT EXISTS (SELECT FROM payments.cancellation x WHERE x.plan_id = p.plan_id)
        UNION ALL
        SELECT '9020.' || h.grant_code || '.' || h.currency, h.amount_minor
        FROM books.transfer h LEFT JOIN books.transfer r ON r.pending_id = h.transfer_id
        WHERE h.phase = 'pending' AND r.transfer_id IS NULL
        UNION ALL
        SELECT '9020.' || p.grant_code || '.' || p.currency, sum(p.debit_minor - p.credit_minor)
        FROM books.posting p JOIN books.account a USING (account_id)
        WHERE p.stage = 'posted' AND a.is_control GROUP BY p.grant_code, p.currency
        UNION ALL
        SELECT code, 0 FROM books.account WHERE is_control OR chart_code = '9020'
    ) x
    WHERE code IN (SELECT a.code FROM books.account a WHERE a.currency = %(currency)s)
""")
_CURRENCIES = """
    SELECT DISTINCT l.currency FROM recon.line l JOIN recon.source s USING (source_id)
    WHERE s.comparison = %s ORDER BY 1
"""


def make(conn: Connection, code: Code, asked: Asked) -> Told:
    """Return one report.

    Raises `reconciliation_needs`, `reconciliation_of_today`, `figures_unreadable`,
    `comparison_without_lines`, `comparison_currencies`.
    """
    for need in NEEDS[code]:
        if not getattr(asked, need):
            raise RECONCILIATION_NEEDS.refusal(code=code, needs=f"--{need}")
    if _is_past(code, asked):
        raise RECONCILIATION_OF_TODAY.refusal(code=code, on=asked.on)
    return _MAKERS[code](conn, asked)


def overview(conn: Connection, asked: Asked) -> Iterator[tuple[Code, Told | None]]:
    """Yield what can be made without a file, R7 for each comparison; the others with None."""
    names = [
        row[0] for row in conn.execute("SELECT DISTINCT comparison FROM recon.source ORDER BY 1")
    ]
    for code in Code:
        if not NEEDS[code] and not _is_past(code, asked):
            yield code, make(conn, code, asked)
        elif code is Code.R7 and names:
            for name in names:
                yield code, _bank(conn, Asked(asked.on, asked.currency, comparison=name))
        else:
            yield code, None


def _is_past(code: Code, asked: Asked) -> bool:
    return code in OF_TODAY and asked.today is not None and asked.on < asked.today


def _issuance(conn: Connection, asked: Asked) -> Told:
    params = {"currency": asked.currency, "plan": asked.plan, "zone": ZONE.key}
    report = reports.issuance(conn, _RELEASED, params, asked.on)
    return Told(report, asked.currency, asked.plan)


def _wallets(conn: Connection, asked: Asked) -> Told:
    params = {"on": asked.on, "provider": asked.provider, **_figures(asked)}
    return Told(reports.wallets(conn, _MOVEMENTS, _STATED, params), asked.currency, asked.provider)


def _merchants(conn: Connection, asked: Asked) -> Told:
    currency = _currency(conn, asked.comparison)
    return Told(reports.merchants(conn, asked.comparison, on=asked.on), currency, asked.comparison)


def _settlements(conn: Connection, asked: Asked) -> Told:
    currency = _currency(conn, asked.comparison)
    return Told(
        reports.settlements(conn, asked.comparison, on=asked.on), currency, asked.comparison
    )


def _funds(conn: Connection, asked: Asked) -> Told:
    report = reports.funds(
        conn, asked.provider, asked.on, _STATED, _figures(asked), currency=asked.currency
    )
    return Told(report, asked.currency, asked.provider)


def _in_transit(conn: Connection, asked: Asked) -> Told:
    return Told(reports.in_transit(conn, asked.on, currency=asked.currency), asked.currency)


def _bank(conn: Connection, asked: Asked) -> Told:
    currency = _currency(conn, asked.comparison)
    return Told(bank.reconciled(conn, asked.comparison, asked.on), currency, asked.comparison)


def _control(conn: Connection, asked: Asked) -> Told:
    params = {"currency": asked.currency}
    return Told(reports.control(conn, asked.on, _PARTS, params), asked.currency)


def _grants(conn: Connection, asked: Asked) -> Told:
    report = reports.grants(conn, asked.on, _STATED, _figures(asked), currency=asked.currency)
    return Told(report, asked.currency)


_MAKERS: Mapping[Code, Callable[[Connection, Asked], Told]] = {
    Code.R1: _issuance, Code.R2: _wallets, Code.R3: _merchants, Code.R4: _settlements,
    Code.R5: _funds, Code.R6: _in_transit, Code.R7: _bank, Code.R8: _control, Code.R9: _grants,
}  # fmt: skip


def _currency(conn: Connection, comparison: str) -> str:
    found = [row[0] for row in conn.execute(_CURRENCIES, (comparison,))]
    if not found:
        raise COMPARISON_WITHOUT_LINES.refusal(comparison=comparison)
    if len(found) > 1:
        raise COMPARISON_CURRENCIES.refusal(comparison=comparison, currencies=", ".join(found))
    return str(found[0])


def _figures(asked: Asked) -> dict[str, object]:
    """Return the figures of the file as parameters of `_STATED`."""
    file = asked.file or Path()
    findings: list[Finding] = []
    keys: list[str] = []
    minors: list[int] = []
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = csv.DictReader(text)
        if not {"key", "amount"} <= set(rows.fieldnames or ()):
            raise FIGURES_UNREADABLE.refusal(file=file.name)
        for number, row in enumerate(rows, start=2):
            key = (row["key"] or "").strip()
            try:
                minors.append(_minor(key, row, asked.currency))
                keys.append(key)
            except (Refusal, ValueError) as error:
                why = error.sentence.rstrip(".") if isinstance(error, Refusal) else str(error)
                place = Place(file.name, row=number)
                findings.append(FIGURE_UNREADABLE.finding(place, key=masked(key), why=why))
    if findings:
        raise FIGURES_UNREADABLE.refusal(file=file.name).with_findings(findings)
    return {"keys": keys, "minors": minors, "currency": asked.currency}


def _minor(key: str, row: Mapping[str, str], currency: str) -> int:
    if not key:
        message = "it has no key"
        raise ValueError(message)
    if (row.get("currency") or currency).strip() != currency:
        message = f"it is not in {currency}"
        raise ValueError(message)
    return parse_amount(row["amount"] or "", currency, negative=True)
