"""One entry of an account report (`Ntry`) and its details (`TxDtls`), as far as money goes."""

from dataclasses import dataclass, field
from datetime import date

from lxml import etree

from adapters.iso20022.amounts import to_minor
from adapters.iso20022.stream import reference, text

SIGNS = {"CRDT": 1, "DBIT": -1}
_FEES = frozenset({"CHRG", "COMM", "FEES"})
_RETURN = "RRTN"
_TEXT_MAX = 500


@dataclass(frozen=True, slots=True)
class Detail:
    """What one `TxDtls` says; amount and direction as written, empty where not stated."""

    ref: str
    amount: str
    currency: str
    direction: str
    is_return: bool
    reason_code: str
    provider_ref: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A booked entry that could be read; amounts in minor units, signed.

    `amounts` are those of the `details`, None where one is not stated in the entry's currency.
    """

    amount_minor: int
    currency: str
    booked_on: date
    is_return: bool
    is_reversal: bool
    family: str
    sub_family: str
    provider_ref: str
    details: tuple[Detail, ...]
    amounts: tuple[int | None, ...]
    text: str = field(repr=False)

    @property
    def is_credit(self) -> bool:
        """True where money came in."""
        return self.amount_minor > 0

    @property
    def adds_up(self) -> bool:
        """True where every detail has its amount and the amounts make the entry's."""
        if not self.details or self.amounts == (None,):
            return True
        stated = [amount for amount in self.amounts if amount is not None]
        return len(stated) == len(self.amounts) and sum(stated) == self.amount_minor

    @property
    def kind(self) -> str:
        """What the movement is, in the words of `StatementLine.kind`."""
        if self.is_credit and (self.is_return or self.is_reversal):
            return "return"
        if self.sub_family in _FEES:
            return "fee"
        if self.is_credit:
            return "funding" if self.family == "RCDT" else "other"
        if self.is_return or self.is_reversal:
            return "other"
        named = any(detail.ref for detail in self.details)
        return "payment" if named or self.family == "ICDT" else "other"


def detail_of(element: etree._Element) -> Detail:
    """Read one `TxDtls`."""
    amount = element.find("{*}Amt")
    if amount is None:
        amount = element.find("{*}AmtDtls/{*}TxAmt/{*}Amt")
    return Detail(
        ref=reference(text(element, "Refs", "EndToEndId"), text(element, "Refs", "InstrId")),
        amount="" if amount is None else amount.text or "",
        currency="" if amount is None else str(amount.get("Ccy", "")),
        direction=text(element, "CdtDbtInd"),
        is_return=element.find("{*}RtrInf") is not None or _codes(element)[1] == _RETURN,
        reason_code=_reason(element),
        provider_ref=text(element, "Refs", "AcctSvcrRef"),
        text=text(element, "RmtInf", "Ustrd"),
    )


def _reason(element: etree._Element) -> str:
    return text(element, "RtrInf", "Rsn", "Cd") or text(element, "RtrInf", "Rsn", "Prtry")


def _codes(element: etree._Element) -> tuple[str, str]:
    """Return family and sub-family of the bank transaction code."""
    family = element.find("{*}BkTxCd/{*}Domn/{*}Fmly")
    return ("", "") if family is None else (text(family, "Cd"), text(family, "SubFmlyCd"))


def entry_of(
    element: etree._Element, details: tuple[Detail, ...], signed: int, currency: str, on: date
) -> Entry:
    """Put an `Ntry` together with the details read before; `signed` is its amount."""
    family, sub_family = _codes(element)
    remarks = [text(element, "AddtlNtryInf"), *(detail.text for detail in details[:1])]
    return Entry(
        amount_minor=signed,
        currency=currency,
        booked_on=on,
        is_return=sub_family == _RETURN or any(detail.is_return for detail in details),
        is_reversal=text(element, "RvslInd") in {"true", "1"},
        family=family,
        sub_family=sub_family,
        provider_ref=text(element, "AcctSvcrRef"),
        details=details,
        amounts=tuple(_signed(detail, signed, currency) for detail in details),
        text=" ".join(filter(None, remarks))[:_TEXT_MAX],
    )


def _signed(detail: Detail, entry_minor: int, currency: str) -> int | None:
    """Return the detail's amount with its sign; the entry's direction where it states none."""
    minor = to_minor(detail.amount, currency) if detail.currency == currency else None
    sign = SIGNS.get(detail.direction, 1 if entry_minor > 0 else -1)
    return None if minor is None else sign * minor
