"""What a believed line of the processor means for an instruction, for the float or for a wallet.

A code outside the agreement, or one that contradicts its amount, is UNKNOWN and a finding: nobody
guesses whether a card was loaded.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime

from adapters.cards.layout import (
    CARD_NUMBER,
    CARD_REFERENCE,
    REJECT_CODES,
    RESULT_CODES,
    TRANSACTION_ID,
    Code,
    is_card_number,
)
from adapters.cards.records import LINE_MALFORMED, Head, Line, date_of, time_of
from adapters.port import (
    Evidence,
    Observation,
    Outcome,
    Reading,
    Redemption,
    StatementBalance,
    StatementLine,
)
from ledgers.problems import Place, Problem, masked

CODE_UNKNOWN = Problem(
    "card_code_unknown",
    "The processor's code {value} is not in the agreement, so the outcome is unknown.",
    "Ask the processor what it means; the load is asked about meanwhile.",
)
CODE_CONTRADICTS = Problem(
    "card_code_contradicts",
    "The code {value} does not go with a loaded amount of {amount} minor units, so the outcome is "
    "unknown.",
    "Ask the processor what was loaded; the load is asked about meanwhile.",
)
PROVIDER_REF_MALFORMED = Problem(
    "card_provider_ref_malformed",
    "The processor's own reference of the line is malformed; it is left out.",
    "Nothing to do for the load; tell the processor that its references are malformed.",
)
TIME_MALFORMED = Problem(
    "card_time_malformed",
    "The time of the line cannot be read; it is left unknown.",
    "Nothing to do for the load; tell the processor that its times are malformed.",
)

# The movements of a settlement: what a statement line calls them, and their sign on the float.
MOVEMENTS: Mapping[str, tuple[str, int]] = {
    "LOAD": ("payment", -1),
    "FEE": ("fee", -1),
    "FUNDING": ("funding", 1),
}
# The uses of value in a REDEMPTION, and what they are called everywhere else.
USES: Mapping[str, str] = {"PURCHASE": "purchase", "CASH": "cash", "REFUND": "refund"}
_CODE = re.compile(r"[0-9A-Z]{1,4}")

NOT_FOUND = "NOT_FOUND"  # the reason of a load that the processor never saw
REPEATED = "REPEATED"  # the reason of a reference that one file answers twice


def result(head: Head, line: Line) -> Iterator[Reading]:
    """Yield the observation of a line of a RESULT."""
    _, _, _, code, _, provider_ref, moment = line.fields
    yield from _coded(head, line, Evidence.STATUS_REPORT, code, provider_ref, moment)


def answer(head: Head, line: Line) -> Iterator[Reading]:
    """Yield the observation of a line of an ANSWER."""
    _, _, _, found, code, _, authoritative, provider_ref, moment = line.fields
    if found not in {"FOUND", NOT_FOUND} or authoritative not in {"Y", "N"}:
        yield LINE_MALFORMED.finding(line.place, fault="found or authoritative")
        return
    if found == "FOUND":
        yield from _coded(head, line, Evidence.INQUIRY, code, provider_ref, moment)
        return
    contradicts = bool(code or line.amount_minor)
    if contradicts:
        yield CODE_CONTRADICTS.finding(line.place, NOT_FOUND, amount=line.amount_minor)
    yield Observation(
        Outcome.REJECTED if authoritative == "Y" and not contradicts else Outcome.UNKNOWN,
        Evidence.INQUIRY,
        ref=line.ref,
        message_id=head.about,
        currency=head.currency,
        reason_code=NOT_FOUND,
        observed_at=head.created_at,
        place=line.place,
    )


def settlement(head: Head, line: Line) -> Iterator[Reading]:
    """Yield the movement of the float of a line of a SETTLEMENT, and for a load that it stands."""
    _, _, _, movement, _, provider_ref = line.fields
    business_date = date_of(head.about)
    if movement not in MOVEMENTS or line.amount_minor is None or business_date is None:
        yield LINE_MALFORMED.finding(line.place, fault="kind of movement")
        return
    if problem := _provider_ref_problem(provider_ref):
        yield problem.finding(line.place, masked(provider_ref))
        provider_ref = ""
    kind, sign = MOVEMENTS[movement]
    yield StatementLine(
        account=head.programme,
        statement_id=head.file_id,
        line_id=str(line.number),
        amount_minor=sign * line.amount_minor,
        currency=head.currency,
        booked_on=business_date,
        kind=kind,
        ref=line.ref,
        text=provider_ref,
        place=line.place,
    )
    if kind == "payment":
        yield Observation(
            Outcome.EXECUTED,
            Evidence.SETTLEMENT,
            ref=line.ref,
            amount_minor=line.amount_minor,
            currency=head.currency,
            provider_ref=provider_ref,
            observed_at=head.created_at,
            moved_on=business_date,
            place=line.place,
        )


def redemption(head: Head, line: Line) -> Iterator[Reading]:
    """Yield the use of value of a line of a REDEMPTION."""
    _, _, _, code, _, transaction_id, vendor, day = line.fields
    booked_on, used_on = date_of(head.about), date_of(day)
    if is_card_number(vendor):
        yield CARD_NUMBER.finding(line.place, masked(vendor))
    elif fault := _redemption_fault(line, used_on):
        yield LINE_MALFORMED.finding(line.place, fault=fault)
    elif line.amount_minor and booked_on and used_on:
        yield Redemption(
            report_id=head.file_id,
            transaction_id=transaction_id,
            ref=line.ref,
            kind=USES[code],
            amount_minor=line.amount_minor,
            currency=head.currency,
            booked_on=booked_on,
            used_on=used_on,
            vendor=vendor,
            place=line.place,
        )


def _redemption_fault(line: Line, used_on: date | None) -> str:
    _, _, _, code, _, transaction_id, vendor, _ = line.fields
    if code not in USES:
        return "kind of use"
    if not line.amount_minor:
        return "amount"
    if not TRANSACTION_ID.fullmatch(transaction_id):
        return "transaction id"
    if vendor and not CARD_REFERENCE.fullmatch(vendor):
        return "vendor"
    return "" if used_on else "day of use"


def balance(head: Head, kind: str, amount_minor: int) -> Iterator[StatementBalance]:
    """Yield the stated float; `kind` is `opening` or `closing`."""
    if business_date := date_of(head.about):
        yield StatementBalance(
            head.programme, head.file_id, kind, amount_minor, head.currency, business_date
        )


def reject(head: Head, code: str, place: Place) -> Iterator[Reading]:
    """Yield the observation of the whole file that `head` is about."""
    known = REJECT_CODES.get(code)
    if known is None:
        yield CODE_UNKNOWN.finding(place, _shown(code))
    yield Observation(
        known.outcome if known else Outcome.UNKNOWN,
        Evidence.STATUS_REPORT,
        message_id=head.about,
        reason_code=_shown(code),
        observed_at=head.created_at,
        place=place,
    )


def repeated(head: Head, line: Line) -> Observation:
    """Return that nothing is known of a reference which one file answers twice."""
    return Observation(
        Outcome.UNKNOWN,
        Evidence.INQUIRY if head.kind == "ANSWER" else Evidence.STATUS_REPORT,
        ref=line.ref,
        message_id=head.about,
        currency=head.currency,
        reason_code=REPEATED,
        observed_at=head.created_at,
        place=line.place,
    )


def _coded(
    head: Head, line: Line, evidence: Evidence, code: str, provider_ref: str, moment: str
) -> Iterator[Reading]:
    amount = line.amount_minor or 0
    known = RESULT_CODES.get(code)
    if known is None:
        yield CODE_UNKNOWN.finding(line.place, _shown(code))
    elif _contradicts(known, amount):
        yield CODE_CONTRADICTS.finding(line.place, code, amount=amount)
        known = None
    if problem := _provider_ref_problem(provider_ref):
        yield problem.finding(line.place, masked(provider_ref))
        provider_ref = ""
    observed_at: datetime | None = time_of(moment)
    if observed_at is None:
        yield TIME_MALFORMED.finding(line.place, masked(moment))
    outcome = known.outcome if known else Outcome.UNKNOWN
    yield Observation(
        outcome,
        evidence,
        ref=line.ref,
        message_id=head.about,
        amount_minor=amount if outcome is Outcome.EXECUTED else None,
        currency=head.currency,
        reason_code="" if code == "00" and known else _shown(code),
        provider_ref=provider_ref,
        observed_at=observed_at,
        place=line.place,
    )


def _contradicts(code: Code, amount_minor: int) -> bool:
    """Whether a load of nothing is called executed, or a rejected one loaded something."""
    if code.outcome is Outcome.EXECUTED:
        return amount_minor == 0
    return code.outcome is Outcome.REJECTED and amount_minor > 0


def _provider_ref_problem(provider_ref: str) -> Problem | None:
    if is_card_number(provider_ref):
        return CARD_NUMBER
    well_formed = not provider_ref or CARD_REFERENCE.fullmatch(provider_ref)
    return None if well_formed else PROVIDER_REF_MALFORMED


def _shown(code: str) -> str:
    """Return a code as it may be shown: what is not like a code may be anything, so masked."""
    return code if _CODE.fullmatch(code) else masked(code)
