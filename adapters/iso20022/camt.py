"""Reading camt.052, camt.053 and camt.054 (any version): what was booked on our account.

One *entry* is one movement; its *details* say which instructions it was for. Only entries with
status BOOK count. The three messages report the same entries, so each has its part:

* camt.053, the statement of a day, yields the `StatementLine`s and `StatementBalance`s, and
  observations;
* camt.052 (within the day) and camt.054 (notification) yield observations only. They never post.

A booked debit with a reference of ours is EXECUTED; a credit that is a return (`RtrInf`, family
`RRTN`) or the reversal of a debit is RETURNED. Details must add up to their entry, or nothing is
said of the instructions in it and a person looks; a single detail names its instruction without
doubt, and what moved is the entry's amount. Balances that do not tie with the entries, and a
wrong count of entries, are findings: real banks send both.

A line's id is the number of the page and of the entry in it, with the bank's reference: stable
however often a statement is read, and different for two entries that share a reference.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, tzinfo

from lxml import etree

from adapters.iso20022.amounts import to_minor
from adapters.iso20022.entries import SIGNS, Detail, Entry, detail_of, entry_of
from adapters.iso20022.stream import drop, elements, local, moment, text
from adapters.port import (
    Document,
    Evidence,
    Observation,
    Outcome,
    Reading,
    StatementBalance,
    StatementLine,
)
from ledgers.problems import Place, Problem, Weight

ENTRY_UNREADABLE = Problem(
    "camt_entry_unreadable",
    "The entry has no usable {field}; it was not taken.",
    "Ask the bank for a corrected statement; the balances will not tie until then.",
    weight=Weight.REFUSED,
)
BALANCE_UNREADABLE = Problem(
    "camt_balance_unreadable",
    "The stated balance has no usable {field}; it was not taken.",
    "Ask the bank for a corrected statement.",
)
DETAILS_DIFFER = Problem(
    "camt_details_differ",
    "The {count} details of the entry do not add up to its {value} minor units.",
    "Look at the entry and match it by hand.",
)
CREDIT_UNDONE = Problem(
    "camt_credit_undone",
    "The entry takes back a credit and names an instruction of ours.",
    "Look at the entry and match it by hand.",
)
BALANCES_DIFFER = Problem(
    "camt_balances_differ",
    "In {currency}, opening balance and booked entries do not make the closing balance.",
    "Do not reconcile from this statement; ask the bank for a complete one.",
)
COUNT_DIFFERS = Problem(
    "camt_count_differs",
    "The statement announces {announced:entry|entries} and holds {count}.",
    "Ask the bank whether a part is missing.",
)
NOT_BOOKED = Problem(
    "camt_not_booked",
    "{count:entry|entries} with status {value}: announced and not booked.",
    "Nothing to do: they come again once booked.",
    weight=Weight.NOTE,
)
NO_AMOUNT = Problem(
    "camt_entry_of_zero",
    "The entry moves nothing.",
    "Nothing to do.",
    weight=Weight.NOTE,
)

_CONTAINERS = {
    "BkToCstmrStmt": "Stmt",
    "BkToCstmrAcctRpt": "Rpt",
    "BkToCstmrDbtCdtNtfctn": "Ntfctn",
}
# The first version named its message element with a suffix.
CONTAINERS = {
    f"{kind}{suffix}": name for kind, name in _CONTAINERS.items() for suffix in ("", "V01")
}
_BALANCES = {"OPBD": "opening", "PRCD": "previous", "CLBD": "closing"}


@dataclass(slots=True)
class _Statement:
    """The statement being read; reset at its end."""

    document: Document
    zone: tzinfo
    posts: bool
    message_id: str = ""
    message_page: tuple[int, bool] = (1, True)
    known: bool = False
    account: str = ""
    account_currency: str = ""
    statement_id: str = ""
    page: int = 1
    is_whole: bool = True
    at: datetime | None = None
    announced: str = ""
    entries: int = 0
    details: list[Detail] = field(default_factory=list)
    moved: Counter[str] = field(default_factory=Counter)
    unbooked: Counter[str] = field(default_factory=Counter)
    balances: dict[tuple[str, str], tuple[int, date]] = field(default_factory=dict)

    def place(self, name: str = "") -> Place:
        return Place(self.document.name, self.statement_id, self.entries or None, name)


def read(document: Document, kind: str, zone: tzinfo) -> Iterator[Reading]:
    """Yield what a message of `kind` (a key of `CONTAINERS`) says.

    Dates with a time are taken as the bank wrote them; moments without an offset are in `zone`.
    Raises `Unreadable` where the file breaks off; what stood before has been yielded.
    """
    container = CONTAINERS[kind]
    state = _Statement(document, zone, posts=container == "Stmt")
    for element in elements(document, ("GrpHdr", "Bal", "TxDtls", "Ntry", container)):
        match local(element):
            case "GrpHdr":
                state.message_id = text(element, "MsgId")
                state.message_page = _page(element, "MsgPgntn")
            case "Bal":
                yield from _balance(element, state)
            case "TxDtls":
                state.details.append(detail_of(element))
                drop(element)
            case "Ntry":
                _know(element.getparent(), state)
                yield from _entry(element, state)
                state.details.clear()
                drop(element)
            case _:
                _know(element, state)
                yield from _end(state)
                drop(element)
                state = _Statement(
                    document, zone, state.posts, state.message_id, state.message_page
                )


def _page(element: etree._Element, name: str) -> tuple[int, bool]:
    """Return the number of the page and whether it is the last."""
    number = text(element, name, "PgNb")
    return (int(number) if number.isdecimal() else 1), text(element, name, "LastPgInd") != "false"


def _know(element: etree._Element | None, state: _Statement) -> None:
    """Read the head of a statement once, before its entries are dropped."""
    if state.known or element is None:
        return
    state.known = True
    account = text(element, "Acct", "Id", "IBAN") or text(element, "Acct", "Id", "Othr", "Id")
    state.account = account.replace(" ", "")
    state.account_currency = text(element, "Acct", "Ccy")
    state.statement_id = text(element, "Id") or state.message_id or state.document.name
    state.at = moment(text(element, "CreDtTm"), state.zone)
    state.announced = text(element, "TxsSummry", "TtlNtries", "NbOfNtries")
    own = _page(element, "StmtPgntn")
    state.page, is_last = own if own != (1, True) else state.message_page
    state.is_whole = state.page == 1 and is_last


def _balance(element: etree._Element, state: _Statement) -> Iterator[Reading]:
    kind = _BALANCES.get(text(element, "Tp", "CdOrPrtry", "Cd"))
    if kind is None or not state.posts:
        return
    amount = element.find("{*}Amt")
    currency = "" if amount is None else str(amount.get("Ccy", ""))
    minor = None if amount is None else to_minor(amount.text, currency)
    sign = SIGNS.get(text(element, "CdtDbtInd"))
    on = _day(element, "Dt")
    if minor is None or sign is None or on is None:
        wrong = "amount" if minor is None else "direction" if sign is None else "date"
        yield BALANCE_UNREADABLE.finding(state.place("Bal"), field=wrong)
    else:
        state.balances[kind, currency] = (sign * minor, on)


def _day(element: etree._Element, name: str) -> date | None:
    """Read a date, or the date of a moment, as the bank wrote it."""
    stated = text(element, name, "Dt") or text(element, name, "DtTm")
    try:
        return date.fromisoformat(stated[:10])
    except ValueError:
        return None


def _entry(element: etree._Element, state: _Statement) -> Iterator[Reading]:
    state.entries += 1
    status = text(element, "Sts", "Cd") or text(element, "Sts")
    if status != "BOOK":
        state.unbooked[status or "none"] += 1
        return
    amount = element.find("{*}Amt")
    currency = state.account_currency
    if amount is not None:
        currency = str(amount.get("Ccy", currency))
    minor = None if amount is None else to_minor(amount.text, currency)
    sign = SIGNS.get(text(element, "CdtDbtInd"))
    on = _day(element, "BookgDt") or _day(element, "ValDt")
    if minor is None or sign is None or on is None:
        wrong = "amount" if minor is None else "direction" if sign is None else "date"
        yield ENTRY_UNREADABLE.finding(state.place("Ntry"), field=wrong)
    elif minor == 0:
        yield NO_AMOUNT.finding(state.place("Ntry"))
    else:
        state.moved[currency] += sign * minor
        entry = entry_of(element, tuple(state.details), sign * minor, currency, on)
        if state.posts:
            yield _line(entry, state)
        yield from _observations(entry, state)


def _line(entry: Entry, state: _Statement) -> StatementLine:
    sole = entry.details[0] if len(entry.details) == 1 else None
    numbers = f"{state.page:03d}-{state.entries:06d}"
    return StatementLine(
        account=state.account,
        statement_id=state.statement_id,
        line_id=f"{numbers}-{entry.provider_ref}" if entry.provider_ref else numbers,
        amount_minor=entry.amount_minor,
        currency=entry.currency,
        booked_on=entry.booked_on,
        kind=entry.kind,
        ref=sole.ref if sole else "",
        reason_code=sole.reason_code if sole else "",
        text=entry.text,
        place=state.place("Ntry"),
    )


def _observations(entry: Entry, state: _Statement) -> Iterator[Reading]:
    if not entry.adds_up:
        yield DETAILS_DIFFER.finding(
            state.place("TxDtls"), str(entry.amount_minor), count=len(entry.details)
        )
    undone = entry.is_return or entry.is_reversal
    if not entry.is_credit and undone and any(detail.ref for detail in entry.details):
        yield CREDIT_UNDONE.finding(state.place("Ntry"))
    if entry.is_credit != undone:
        return
    sole = len(entry.details) == 1
    if not (sole or entry.adds_up):
        return
    for detail, amount in zip(entry.details, entry.amounts, strict=True):
        moved = entry.amount_minor if sole or amount is None else amount
        if detail.ref:
            yield Observation(
                outcome=Outcome.RETURNED if entry.is_credit else Outcome.EXECUTED,
                evidence=Evidence.STATEMENT,
                ref=detail.ref,
                amount_minor=abs(moved),
                currency=entry.currency,
                reason_code=detail.reason_code,
                provider_ref=detail.provider_ref or entry.provider_ref,
                observed_at=state.at,
                moved_on=entry.booked_on,
                place=state.place("TxDtls"),
            )


def _end(state: _Statement) -> Iterator[Reading]:
    for status, count in sorted(state.unbooked.items()):
        yield NOT_BOOKED.finding(state.place(), status, count=count)
    if state.announced.isdecimal() and int(state.announced) != state.entries:
        yield COUNT_DIFFERS.finding(
            state.place("TxsSummry"), announced=state.announced, count=state.entries
        )
    for currency in sorted({currency for _, currency in state.balances}):
        yield from _tie(state, currency)


def _tie(state: _Statement, currency: str) -> Iterator[Reading]:
    opening = state.balances.get(("opening", currency)) or state.balances.get(
        ("previous", currency)
    )
    closing = state.balances.get(("closing", currency))
    for kind, balance in (("opening", opening), ("closing", closing)):
        if balance:
            minor, on = balance
            yield StatementBalance(state.account, state.statement_id, kind, minor, currency, on)
    ties = opening and closing and opening[0] + state.moved[currency] == closing[0]
    if state.is_whole and not ties:
        yield BALANCES_DIFFER.finding(state.place("Bal"), currency=currency)
