"""The chart of accounts, and opening accounts from it.

`chart.yaml` lists what kinds of account there are; `open_account` makes one for a currency, a
grant, a provider. An account's code is its chart code, then the qualifiers, then the currency:
`1110.HALK.TRY` is the float with HALK, `9010.IOM-MPCA.TRY` the budget available of that grant.
Memo accounts (9xxx) hold budget authority and commitments and never meet money.

Sources: the account kinds follow the cash-and-voucher journal of our research on ledgers; IOM's
general ledger numbers (307410 cash grants, 307420 vouchers, 307430 fees) are those of its cash
manual.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType

import yaml
from psycopg import Connection

from ledgers.money import exponent
from ledgers.problems import Answer, Problem

CHART_CODE_UNKNOWN = Problem(
    "chart_code_unknown",
    "The chart of accounts has no {chart_code}.",
    "Choose a code of the chart.",
)
ACCOUNT_QUALIFIER_MISSING = Problem(
    "account_qualifier_missing",
    "An account of {chart_code} must name its {qualifier}.",
    "Name the {qualifier}.",
)
ACCOUNT_CODE_UNFIT = Problem(
    "account_code_unfit",
    "{code} cannot be the code of an account.",
    "Use letters A to Z, digits and hyphens in the codes of grants and providers.",
)
ACCOUNT_UNKNOWN = Problem(
    "account_unknown",
    "The books have no account {account}.",
    "Look at the trial balance for the accounts there are.",
    Answer.NOT_FOUND,
)

DIMENSION_MISSING = Problem(
    "dimension_missing",
    "A line on the account {account} does not name its {dimension}.",
    "Name programme, cycle, provider and location where the chart of accounts asks for them.",
)
ACCOUNT_CLOSED = Problem(
    "account_closed",
    "The account {account} is closed.",
    "Choose an account that is open.",
)
ACCOUNT_NOT_EMPTY = Problem(
    "account_not_empty",
    "The account {account} cannot be closed: money stands on it or is on hold.",
    "Move what stands on it, settle what is on hold, then close it.",
)

STRIPES_OF_HOT = 16  # eight writers seldom meet; a batch on such an account locks them all
_CODE = re.compile(r"[0-9]{4}(\.[A-Z0-9][A-Z0-9-]*)+", re.ASCII)


class AccountClass(StrEnum):
    """What an account is in the reports."""

    ASSET = "asset"  # what we have or are owed
    LIABILITY = "liability"  # what we owe, grants not yet earned among it
    FUND = "fund"  # what is left to the agency, restricted or not
    REVENUE = "revenue"
    EXPENSE = "expense"
    MEMO = "memo"  # authority and commitments: layer M, no money


class Side(StrEnum):
    """The side on which an account grows."""

    DEBIT = "debit"
    CREDIT = "credit"


@dataclass(frozen=True, slots=True)
class ChartAccount:
    """One kind of account.

    `needs` are the qualifiers its code must name, `lines` the dimensions each of its lines must.
    A control account's lines name wallets; a hot one keeps its balance in stripes.
    """

    code: str
    name: str
    account_class: AccountClass
    side: Side
    never_below_zero: bool
    needs: tuple[str, ...]
    lines: tuple[str, ...]
    is_control: bool
    is_hot: bool
    iom_gl: str


@cache
def chart() -> Mapping[str, ChartAccount]:
    """Return the chart of accounts by chart code."""
    text = resources.files("ledgers").joinpath("chart.yaml").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            code: ChartAccount(
                code=code,
                name=row["name"],
                account_class=AccountClass(row["class"]),
                side=Side(row["side"]),
                never_below_zero=row.get("floor", False),
                needs=tuple(row.get("needs", ())),
                lines=tuple(row.get("lines", ())),
                is_control=row.get("control", False),
                is_hot=row.get("hot", False),
                iom_gl=row.get("iom_gl", ""),
            )
            for code, row in yaml.safe_load(text).items()
        }
    )


def code_of(
    chart_code: str, currency: str, *, grant: str | None = None, provider: str | None = None
) -> str:
    """Return the code of the account of these qualifiers, without looking whether it is open.

    Raises `chart_code_unknown`, `account_qualifier_missing`, `account_code_unfit`,
    `currency_unknown`.
    """
    kind = chart().get(chart_code)
    if kind is None:
        raise CHART_CODE_UNKNOWN.refusal(chart_code=chart_code)
    qualifiers = {"provider": provider, "grant": grant}
    for name in kind.needs:
        if not qualifiers[name]:
            raise ACCOUNT_QUALIFIER_MISSING.refusal(chart_code=chart_code, qualifier=name)
    exponent(currency)
    named = [value.upper() for value in qualifiers.values() if value]
    code = ".".join([chart_code, *named, currency])
    if not _CODE.fullmatch(code):
        raise ACCOUNT_CODE_UNFIT.refusal(code=code)
    return code


def open_account(
    conn: Connection,
    chart_code: str,
    currency: str,
    on: date,
    *,
    grant: str | None = None,
    provider: str | None = None,
    name: str | None = None,
) -> int:
    """Open the account of these qualifiers on the day `on`, or find it open; return its number.

    Raises what `code_of` raises. Runs in the caller's transaction.
    """
    code = code_of(chart_code, currency, grant=grant, provider=provider)
    kind = chart()[chart_code]
    row = {
        "code": code,
        "chart_code": chart_code,
        "name": name or " ".join(filter(None, [kind.name, provider, grant, currency])),
        "class": kind.account_class,
        "normal_side": kind.side,
        "currency": currency,
        "never_below_zero": kind.never_below_zero,
        "is_control": kind.is_control,
        "stripes": STRIPES_OF_HOT if kind.is_hot else 1,
        "needs": list(kind.lines),
        "grant_code": grant,
        "provider": provider,
        "opened_on": on,
    }
    found = conn.execute("SELECT account_id FROM books.account WHERE code = %s", [code]).fetchone()
    if found is None:
        # An identity column counts up on every conflict, so look first; still allow for a race.
        found = conn.execute(
            "INSERT INTO books.account (code, chart_code, name, class, normal_side, currency,"
            " never_below_zero, is_control, stripes, needs, grant_code, provider, opened_on) VALUES"
            " (%(code)s, %(chart_code)s, %(name)s, %(class)s, %(normal_side)s, %(currency)s,"
            " %(never_below_zero)s, %(is_control)s, %(stripes)s, %(needs)s, %(grant_code)s,"
            " %(provider)s, %(opened_on)s)"
            " ON CONFLICT (code) DO NOTHING RETURNING account_id",
            row,
        ).fetchone()
    return int(found[0]) if found else account_number(conn, code)


def account_number(conn: Connection, code: str) -> int:
    """Return the number of the account `code`. Raises `account_unknown`."""
    found = conn.execute("SELECT account_id FROM books.account WHERE code = %s", [code]).fetchone()
    if found is None:
        raise ACCOUNT_UNKNOWN.refusal(account=code)
    return int(found[0])


def close_account(conn: Connection, code: str, on: date, *, recorded_by: str, reason: str) -> None:
    """Close an account for good; the database refuses with `account_not_empty`.

    Raises `account_unknown`.
    """
    conn.execute(
        "INSERT INTO books.account_closing (account_id, closed_on, recorded_by, reason)"
        " VALUES (%s, %s, %s, %s) ON CONFLICT (account_id) DO NOTHING",
        [account_number(conn, code), on, recorded_by, reason],
    )
