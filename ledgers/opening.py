"""Opening balances: what stood in the books that were kept before, taken over from a CSV file.

The file has a row for each account, grant and set of dimensions, with a debit or a credit. It is
taken as a whole, as one entry, or not at all, and every problem of it is told with its row, field
and value. For each layer, currency and grant the debits must equal the credits: an opening that
does not balance hides money. Memo accounts (budget) are in the file like any other.

Columns: account, currency, grant, and debit or credit; where the account asks for them programme,
cycle, provider, location, wallet. Amounts are decimal, in the currency of the account.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from psycopg import Connection

from ledgers.chart import ACCOUNT_UNKNOWN, DIMENSION_MISSING, chart
from ledgers.entries import (
    ACCOUNT_UNFIT,
    ENTRY_UNBALANCED,
    EntryHead,
    Leg,
    Recorded,
    record,
)
from ledgers.money import parse_amount, with_amounts
from ledgers.problems import Finding, Place, Problem, Refusal, Weight
from ledgers.wallets import WALLET_MISSING, WALLET_UNFIT, WALLET_UNKNOWN

OPENING = "opening_balance"

OPENING_COLUMN_MISSING = Problem(
    "opening_column_missing",
    "The file has no column {column}.",
    "Name the columns in the first row: account, debit, credit, currency, grant.",
    weight=Weight.REFUSED,
)
OPENING_VALUE_MISSING = Problem(
    "opening_value_missing",
    "The row does not say its {column}.",
    "Fill in the {column}.",
    weight=Weight.REFUSED,
)
OPENING_SIDE_UNFIT = Problem(
    "opening_side_unfit",
    "The row has a debit and a credit, or neither.",
    "Give one of the two, above zero.",
    weight=Weight.REFUSED,
)
OPENING_ROW_TWICE = Problem(
    "opening_row_twice",
    "The row says again what row {first} says: the same account, grant and dimensions.",
    "Give each balance once.",
    weight=Weight.REFUSED,
)
OPENING_EMPTY = Problem(
    "opening_empty",
    "The file holds no balance.",
    "Give a row for each account, grant and set of dimensions.",
)

_MARK = "\ufeff"  # spreadsheets begin a file of UTF-8 with it
_REQUIRED = ("account", "debit", "credit", "currency", "grant")
_DIMENSIONS = ("programme", "cycle", "provider", "location", "wallet")


@dataclass(frozen=True, slots=True)
class _Account:
    currency: str
    chart_code: str
    grant: str | None
    needs: tuple[str, ...]

    @property
    def layer(self) -> str:
        return "M" if self.chart_code.startswith("9") else "A"


@dataclass(frozen=True, slots=True)
class _Books:
    accounts: Mapping[str, _Account]
    wallets: Mapping[str, int]


def import_opening(conn: Connection, lines: Iterable[str], file: str, head: EntryHead) -> Recorded:
    """Record the balances of a CSV file as one entry; again the same file records nothing.

    Arguments: `lines` of the file, `file` its name for the findings, `head` with the event
    `opening_balance`. Raises the first of all problems with every one as a finding:
    `opening_column_missing`, `opening_value_missing`, `opening_side_unfit`, `opening_row_twice`,
    `opening_empty`, `account_unknown`, `account_unfit`, `dimension_missing`, `wallet_missing`,
    `wallet_unfit`, `wallet_unknown`, `entry_unbalanced` and those of `parse_amount`; and what
    `entries.record` raises.
    """
    rows = list(csv.DictReader(line.removeprefix(_MARK) for line in lines))
    findings = list(_missing_columns(rows, file))
    legs: list[Leg] = []
    if not findings:
        books = _books(conn, rows)
        seen: dict[tuple[str, ...], int] = {}
        for number, row in enumerate(rows, start=2):
            problems, leg = _read(row, books, file, number)
            findings += problems or _repeated(row, seen, file, number)
            if leg is not None and not problems:
                legs.append(leg)
        if not findings:
            findings += _unbalanced(legs, books, file, head)
    if findings:
        raise findings[0].problem.refusal(**_facts(findings[0])).with_findings(findings)
    return record(conn, head, legs)


def _missing_columns(rows: list[dict[str, str]], file: str) -> Iterator[Finding]:
    if not rows:
        yield OPENING_EMPTY.finding(Place(file=file))
        return
    for column in _REQUIRED:
        if column not in rows[0]:
            yield OPENING_COLUMN_MISSING.finding(Place(file=file, row=1), column=column)


def _books(conn: Connection, rows: list[dict[str, str]]) -> _Books:
    codes = [row["account"] for row in rows]
    accounts = {
        code: _Account(currency, chart_code, grant, tuple(needs))
        for code, currency, chart_code, grant, needs in conn.execute(
            "SELECT code, currency, chart_code, grant_code, needs FROM books.account"
            " WHERE code = ANY (%s)",
            [codes],
        )
    }
    refs = [row["wallet"] for row in rows if row.get("wallet")]
    found = conn.execute(
        "SELECT wallet_ref, wallet_id FROM books.wallet WHERE wallet_ref = ANY (%s)", [refs]
    )
    return _Books(accounts, dict(found.fetchall()))


def _read(
    row: dict[str, str], books: _Books, file: str, number: int
) -> tuple[list[Finding], Leg | None]:
    findings = [
        OPENING_VALUE_MISSING.finding(Place(file=file, row=number, field=column), column=column)
        for column in ("account", "currency", "grant")
        if not row[column]
    ]
    account = books.accounts.get(row["account"])
    place = Place(file=file, row=number, field="account")
    if account is None:
        if row["account"]:
            code = row["account"]
            findings.append(ACCOUNT_UNKNOWN.finding(place, code, account=code))
    else:
        findings += _misfits(row, account, books, place)
    amount, problems = _amount(row, file, number)
    findings += problems
    if findings or account is None or not amount:
        return findings, None
    dimensions = {name: row.get(name) or None for name in _DIMENSIONS}
    wallet = dimensions["wallet"]
    return [], Leg(
        row["account"], amount, account.layer, grant_code=row["grant"],
        programme_id=dimensions["programme"], cycle_id=dimensions["cycle"],
        provider=dimensions["provider"], location=dimensions["location"],
        wallet_id=books.wallets[wallet] if wallet else None,
    )  # fmt: skip


def _misfits(
    row: dict[str, str], account: _Account, books: _Books, place: Place
) -> Iterator[Finding]:
    code, wallet = row["account"], row.get("wallet")
    grant_fits = account.grant in {None, row["grant"]}
    if row["currency"] and (row["currency"] != account.currency or not grant_fits):
        field = "grant" if row["currency"] == account.currency else "currency"
        yield ACCOUNT_UNFIT.finding(
            Place(file=place.file, row=place.row, field=field), row[field], account=code,
            currency=row["currency"], grant=row["grant"],
        )  # fmt: skip
    for name in account.needs:
        if not row.get(name):
            at = Place(file=place.file, row=place.row, field=name)
            yield DIMENSION_MISSING.finding(at, account=code, dimension=name)
    at = Place(file=place.file, row=place.row, field="wallet")
    is_control = chart()[account.chart_code].is_control
    if is_control and not wallet:
        yield WALLET_MISSING.finding(at, account=code)
    elif wallet and not is_control:
        yield WALLET_UNFIT.finding(at, wallet, account=code)
    elif wallet and wallet not in books.wallets:
        yield WALLET_UNKNOWN.finding(at, wallet, wallet=wallet)


def _amount(row: dict[str, str], file: str, number: int) -> tuple[int, list[Finding]]:
    """Return the amount of the row, debit positive, or 0 and what is wrong with it."""
    given = [(column, row[column]) for column in ("debit", "credit") if row[column]]
    place = Place(file=file, row=number, field="debit")
    if len(given) != 1:
        return 0, [OPENING_SIDE_UNFIT.finding(place)]
    ((column, text),) = given
    place = Place(file=file, row=number, field=column)
    try:
        minor = parse_amount(text, row["currency"])
    except Refusal as refusal:
        return 0, [Finding(refusal.problem, place, text, refusal.facts)]
    if not minor:
        return 0, [OPENING_SIDE_UNFIT.finding(place, text)]
    return (minor if column == "debit" else -minor), []


def _repeated(
    row: dict[str, str], seen: dict[tuple[str, ...], int], file: str, number: int
) -> list[Finding]:
    said = tuple(row.get(name) or "" for name in ("account", "grant", *_DIMENSIONS))
    first = seen.setdefault(said, number)
    if first == number:
        return []
    return [OPENING_ROW_TWICE.finding(Place(file=file, row=number), row["account"], first=first)]


def _unbalanced(legs: list[Leg], books: _Books, file: str, head: EntryHead) -> Iterator[Finding]:
    sums: Counter[tuple[str, str, str]] = Counter()
    for leg in legs:
        currency = books.accounts[str(leg.account)].currency
        sums[leg.layer, currency, leg.grant_code] += leg.amount_minor
    for (layer, currency, grant), difference in sorted(sums.items()):
        if difference:
            facts = with_amounts({"difference_minor": difference, "currency": currency})
            yield ENTRY_UNBALANCED.finding(
                Place(file=file), "", entry=head.entry_ref, layer=layer, grant=grant, **facts
            )


def _facts(finding: Finding) -> dict[str, object]:
    return {"value": finding.value, **finding.facts}
