"""Opening balances: what stood in the books that were kept before, taken over from a CSV file.

The file has a row for each account, grant and set of dimensions, with a debit or a credit. It is
taken as a whole, as one entry, or not at all, and every problem of it is told with its row, field
and value. For each layer, currency and grant the debits must equal the credits: an opening that
does not balance hides money. Memo accounts (budget) are in the file like any other.

Accounts that the books do not have are opened, as their code says: chart code, provider or bank,
grant, currency. Wallets are opened by their reference, with the provider of the row. A balance that
one opening has taken over no other takes again, unless the first was reversed.

Columns: account, currency, grant, and debit or credit; where the account asks for them programme,
cycle, provider, location, wallet. Amounts are decimal, in the currency of the account.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from psycopg import Connection, sql

from ledgers.chart import (
    ACCOUNT_CODE_UNFIT,
    ACCOUNT_QUALIFIER_MISSING,
    ACCOUNT_UNKNOWN,
    DIMENSION_MISSING,
    chart,
    code_of,
    open_account,
)
from ledgers.entries import (
    ACCOUNT_UNFIT,
    ENTRY_UNBALANCED,
    EntryHead,
    Leg,
    Recorded,
    record,
)
from ledgers.events import qualified
from ledgers.money import parse_amount, with_amounts
from ledgers.origins import STANDING
from ledgers.problems import Finding, Place, Problem, Refusal, Weight
from ledgers.wallets import WALLET_MISSING, WALLET_UNFIT, open_wallets

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
OPENING_TAKEN = Problem(
    "opening_taken",
    "The balance of {account} for {grant} was taken over before, with {entry}.",
    "Leave the row out; or reverse that entry, and take the corrected file over as a whole.",
    weight=Weight.REFUSED,
)
OPENING_EMPTY = Problem(
    "opening_empty",
    "The file holds no balance.",
    "Give a row for each account, grant and set of dimensions.",
)

_MARK = "\ufeff"  # spreadsheets begin a file of UTF-8 with it
_TAKEN = f"""
    SELECT e.entry_ref, a.code, l.grant_code, l.programme_id, l.cycle_id, l.provider, l.location,
           w.wallet_ref
    FROM books.entry e JOIN books.leg l USING (entry_id) JOIN books.account a USING (account_id)
    LEFT JOIN books.wallet w USING (wallet_id)
    WHERE e.event = '{OPENING}' AND e.key <> %(key)s AND a.code = ANY (%(codes)s) AND {STANDING}
"""
_REQUIRED = ("account", "debit", "credit", "currency", "grant")
_DIMENSIONS = ("programme", "cycle", "provider", "location", "wallet")


@dataclass(frozen=True, slots=True)
class _Account:
    currency: str
    chart_code: str
    grant: str | None
    provider: str | None
    needs: tuple[str, ...]
    is_new: bool = False

    @property
    def layer(self) -> str:
        return "M" if self.chart_code.startswith("9") else "A"


@dataclass(frozen=True, slots=True)
class _Books:
    accounts: Mapping[str, _Account]
    taken: Mapping[tuple[str, ...], str]


def opening_key(conn: Connection, lines: Iterable[str]) -> str:
    """Return the key of the opening from these lines: the same until that opening is reversed."""
    text = "\n".join(line.removeprefix(_MARK).rstrip("\r\n") for line in lines)
    stem = f"opening:{hashlib.sha256(text.encode()).hexdigest()}"
    earlier = conn.execute(
        f"SELECT e.key, {STANDING} FROM books.entry e WHERE starts_with(e.key, %s)", [stem]
    ).fetchall()
    standing = [key for key, stands in earlier if stands]
    return standing[0] if standing else f"{stem}#{len(earlier) + 1}"


def import_opening(conn: Connection, lines: Iterable[str], file: str, head: EntryHead) -> Recorded:
    """Record the balances of a CSV file as one entry; again the same file records nothing.

    Arguments: `lines` of the file, `file` its name for the findings, `head` with the event
    `opening_balance`. Raises the first of all problems with every one as a finding:
    `opening_column_missing`, `opening_value_missing`, `opening_side_unfit`, `opening_row_twice`,
    `opening_taken`, `opening_empty`, `account_unknown`, `account_unfit`, `dimension_missing`,
    `wallet_missing`, `wallet_unfit`, `entry_unbalanced`, those of `chart.code_of` and of
    `parse_amount`; and what `entries.record` raises.
    """
    rows = list(csv.DictReader(line.removeprefix(_MARK) for line in lines))
    findings = list(_missing_columns(rows, file))
    legs: list[Leg] = []
    wallets: list[str] = []
    if not findings:
        conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('books.opening', 0))")
        books = _books(conn, rows, head)
        seen: dict[tuple[str, ...], int] = {}
        for number, row in enumerate(rows, start=2):
            problems, leg = _read(row, books, file, number)
            findings += problems or _repeated(row, books, seen, file, number)
            if leg is not None and not problems:
                legs.append(leg)
                wallets.append(row.get("wallet") or "")
        if not findings:
            findings += _unbalanced(legs, books, file, head)
    if findings:
        raise findings[0].problem.refusal(**_facts(findings[0])).with_findings(findings)
    _open_accounts(conn, books, head.effective_on)
    numbers = _open_wallets(conn, legs, wallets, head.effective_on)
    named = zip(legs, wallets, strict=True)
    return record(
        conn, head, [replace(leg, wallet_id=numbers[ref]) if ref else leg for leg, ref in named]
    )


def _missing_columns(rows: list[dict[str, str]], file: str) -> Iterator[Finding]:
    if not rows:
        yield OPENING_EMPTY.finding(Place(file=file))
        return
    for column in _REQUIRED:
        if column not in rows[0]:
            yield OPENING_COLUMN_MISSING.finding(Place(file=file, row=1), column=column)


def _books(conn: Connection, rows: list[dict[str, str]], head: EntryHead) -> _Books:
    codes = [row["account"] for row in rows]
    accounts = {
        code: _Account(currency, chart_code, grant, provider, tuple(needs))
        for code, currency, chart_code, grant, provider, needs in conn.execute(
            "SELECT code, currency, chart_code, grant_code, provider, needs FROM books.account"
            " WHERE code = ANY (%s)",
            [codes],
        )
    }
    for row in rows:
        if row["account"] and row["account"] not in accounts:
            made = _new_account(row)
            if isinstance(made, _Account):
                accounts[row["account"]] = made
    taken = {
        tuple(value or "" for value in said): entry_ref
        for entry_ref, *said in conn.execute(_TAKEN, {"key": head.key, "codes": codes})
    }
    return _Books(accounts, taken)


def _new_account(row: dict[str, str]) -> _Account | Refusal:
    """Return the account that the row's code stands for, or why there can be none.

    What the journal would name an account by must be in the code, or nothing would ever move there.
    """
    code = row["account"]
    chart_code, *named, currency = code.split(".") if "." in code else (code, "")
    kind = chart().get(chart_code)
    if kind is None or not currency:
        return ACCOUNT_UNKNOWN.refusal(account=code)
    by = {name for name, codes in qualified().items() if chart_code in codes}
    needed = {"provider" if name == "bank" else name for name in by} | set(kind.needs)
    grant, provider = _qualifiers(row, named, needed)
    for name, value in (("provider", provider), ("grant", grant)):
        if name in needed and not value:
            says = "bank" if name == "provider" and "bank" in by else name
            return ACCOUNT_QUALIFIER_MISSING.refusal(chart_code=chart_code, qualifier=says)
    try:
        fits = code_of(chart_code, currency, grant=grant, provider=provider) == code
    except Refusal as refusal:
        return refusal
    if not fits:
        return ACCOUNT_CODE_UNFIT.refusal(code=code)
    return _Account(currency, chart_code, grant, provider, kind.lines, is_new=True)


def _qualifiers(
    row: dict[str, str], named: list[str], needed: set[str]
) -> tuple[str | None, str | None]:
    """Return the grant and the provider or bank of a code, as the row writes them."""
    only_grant = named == [(row["grant"] or "").upper()] or "grant" in needed
    if len(named) == 1 and only_grant and "provider" not in needed:
        named = ["", *named]
    provider, grant = (*named, "", "")[:2]
    spelt = {(row.get(name) or "").upper(): row.get(name) for name in ("provider", "grant")}
    return spelt.get(grant, grant) or None, spelt.get(provider, provider) or None


def _not_opened(row: dict[str, str], place: Place) -> Finding:
    found = _new_account(row)
    why = found if isinstance(found, Refusal) else ACCOUNT_UNKNOWN.refusal(account=row["account"])
    return Finding(why.problem, place, row["account"], why.facts)


def _open_accounts(conn: Connection, books: _Books, on: date) -> None:
    for account in books.accounts.values():
        if account.is_new:
            open_account(
                conn, account.chart_code, account.currency, on, grant=account.grant,
                provider=account.provider,
            )  # fmt: skip


def _open_wallets(
    conn: Connection, legs: list[Leg], wallets: list[str], on: date
) -> Mapping[str, int]:
    """Open the wallets that do not exist yet, with the providers of their rows; return numbers."""
    wanted = {ref: leg.provider for leg, ref in zip(legs, wallets, strict=True) if ref}
    refs = list(wanted)
    open_wallets(
        conn,
        sql.SQL("SELECT *, %(on)s::date FROM unnest(%(refs)s::text[], %(providers)s::text[])"),
        {"refs": refs, "providers": list(wanted.values()), "on": on},
    )
    found = conn.execute(
        "SELECT wallet_ref, wallet_id FROM books.wallet WHERE wallet_ref = ANY (%s)", [refs]
    )
    return dict(found.fetchall())


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
            findings.append(_not_opened(row, place))
    else:
        findings += _misfits(row, account, place)
    amount, problems = _amount(row, file, number)
    findings += problems
    if findings or account is None or not amount:
        return findings, None
    dimensions = {name: row.get(name) or None for name in _DIMENSIONS}
    return [], Leg(
        row["account"], amount, account.layer, grant_code=row["grant"],
        programme_id=dimensions["programme"], cycle_id=dimensions["cycle"],
        provider=dimensions["provider"], location=dimensions["location"],
    )  # fmt: skip


def _misfits(row: dict[str, str], account: _Account, place: Place) -> Iterator[Finding]:
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
    row: dict[str, str], books: _Books, seen: dict[tuple[str, ...], int], file: str, number: int
) -> list[Finding]:
    said = tuple(row.get(name) or "" for name in ("account", "grant", *_DIMENSIONS))
    place, account = Place(file=file, row=number), row["account"]
    first = seen.setdefault(said, number)
    if first != number:
        return [OPENING_ROW_TWICE.finding(place, account, first=first)]
    entry = books.taken.get(said)
    if entry is None:
        return []
    return [OPENING_TAKEN.finding(place, account, account=account, grant=row["grant"], entry=entry)]


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
