"""Reading pain.002 (any version): what a bank says of a file and of its instructions.

No status in a pain.002 proves that a household was paid: "settled" and "credited" (ACSC, ACCC) are
read as ACCEPTED with the code kept; only a booked statement entry says EXECUTED.

Verdicts come on three levels. A *group* verdict is about the whole file (`message_id`), a verdict
on a *transaction* about one instruction (`ref`), and the latter stands over the former. A *batch*
verdict without transactions is about the file where the batch is named like the file (see
`pain001`); otherwise the reader cannot tell whose it is, and says so in a finding.

A file refused because the bank has it already (DUPL and its kin) was received: that is ACCEPTED on
the file, never REJECTED. It answers a second hand-over and says nothing of what became of the first
copy, so it ranks as an answer, below any report on that copy. The same on one transaction says
nothing sure: UNKNOWN, ask.

Source: ISO external code sets 2Q2026 (group, transaction status; status reason).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo

from lxml import etree

from adapters.iso20022.stream import drop, elements, local, moment, reference, text
from adapters.port import Document, Evidence, Observation, Outcome, Reading
from ledgers.problems import Place, Problem

NO_REFERENCE = Problem(
    "pain002_without_reference",
    "The bank reports {status} without a reference of ours.",
    "Ask the bank which file or payment is meant.",
)
BATCH_ONLY = Problem(
    "pain002_batch_only",
    "The bank reports {status} ({reason}) for the part {value} of a file, naming no payment.",
    "Ask the bank for the status of each payment; until then they stay unknown.",
)

OUTCOMES = {
    "ACCP": Outcome.ACCEPTED,
    "ACSC": Outcome.ACCEPTED,
    "ACSP": Outcome.ACCEPTED,
    "ACTC": Outcome.ACCEPTED,
    "ACWC": Outcome.ACCEPTED,
    "ACCC": Outcome.ACCEPTED,
    "PDNG": Outcome.ACCEPTED,
    "RCVD": Outcome.ACCEPTED,
    "RJCT": Outcome.REJECTED,
    "CANC": Outcome.CANCELLED,
}
# A file taken in part was taken: its rejected payments are named one by one.
_FILE_OUTCOMES = {**OUTCOMES, "PART": Outcome.ACCEPTED}
# Reasons that say "this came before": the message, its identity, or a part of it.
DUPLICATE = frozenset({"DUPL", "AM05", "DU01", "DU02", "DU03", "DU04", "DU05"})

_NAMES = ("GrpHdr", "OrgnlGrpInfAndSts", "TxInfAndSts", "OrgnlPmtInfAndSts")


@dataclass(slots=True)
class _Report:
    """What has been read so far and later elements need."""

    document: Document
    zone: tzinfo
    at: datetime | None = None
    message_id: str = ""
    received_before: bool = False
    transactions: int = 0
    batch_transactions: int = 0

    def place(self, name: str) -> Place:
        return Place(self.document.name, row=self.transactions or None, field=name)


def read(document: Document, zone: tzinfo) -> Iterator[Reading]:
    """Yield an observation per verdict; times without an offset are in `zone`.

    Where no reason is given, `reason_code` is the status itself. Raises `Unreadable` where the
    file breaks off; what stood before has been yielded.
    """
    report = _Report(document, zone)
    for element in elements(document, _NAMES):
        match local(element):
            case "GrpHdr":
                report.at = moment(text(element, "CreDtTm"), zone)
            case "OrgnlGrpInfAndSts":
                yield from _group(element, report)
            case "TxInfAndSts":
                yield from _transaction(element, report)
                drop(element)
            case _:
                yield from _batch(element, report)
                drop(element)


def _group(element: etree._Element, report: _Report) -> Iterator[Reading]:
    report.message_id = reference(text(element, "OrgnlMsgId"))
    status, reason = text(element, "GrpSts"), _reason(element)
    report.received_before = status == "RJCT" and reason in DUPLICATE
    if status:
        yield from _file_verdict(status, reason, report)


def _batch(element: etree._Element, report: _Report) -> Iterator[Reading]:
    status, reason = text(element, "PmtInfSts"), _reason(element)
    named, report.batch_transactions = report.batch_transactions, 0
    if not status or named or report.received_before:
        return
    batch_id = reference(text(element, "OrgnlPmtInfId"))
    if batch_id and batch_id == report.message_id:
        yield from _file_verdict(status, reason, report)
    else:
        yield BATCH_ONLY.finding(
            report.place("OrgnlPmtInfId"), batch_id, status=status, reason=reason or "no reason"
        )


def _file_verdict(status: str, reason: str, report: _Report) -> Iterator[Reading]:
    if not report.message_id:
        yield NO_REFERENCE.finding(report.place("OrgnlMsgId"), status=status)
        return
    outcome, evidence = _FILE_OUTCOMES.get(status, Outcome.UNKNOWN), Evidence.STATUS_REPORT
    if outcome is Outcome.REJECTED and reason in DUPLICATE:
        outcome, evidence = Outcome.ACCEPTED, Evidence.ANSWER
    yield Observation(
        outcome=outcome,
        evidence=evidence,
        message_id=report.message_id,
        reason_code=reason or status,
        observed_at=report.at,
        place=report.place("OrgnlGrpInfAndSts"),
    )


def _transaction(element: etree._Element, report: _Report) -> Iterator[Reading]:
    report.transactions += 1
    report.batch_transactions += 1
    if report.received_before:
        # Verdicts on a second copy say nothing of the payments of the first.
        return
    status, reason = text(element, "TxSts"), _reason(element)
    ref = reference(text(element, "OrgnlEndToEndId"), text(element, "OrgnlInstrId"))
    if not ref:
        yield NO_REFERENCE.finding(report.place("OrgnlEndToEndId"), status=status)
        return
    outcome = OUTCOMES.get(status, Outcome.UNKNOWN)
    if outcome is Outcome.REJECTED and reason in DUPLICATE:
        outcome = Outcome.UNKNOWN
    yield Observation(
        outcome=outcome,
        evidence=Evidence.STATUS_REPORT,
        ref=ref,
        message_id=report.message_id,
        reason_code=reason or status,
        provider_ref=text(element, "AcctSvcrRef"),
        observed_at=report.at,
        place=report.place("TxInfAndSts"),
    )


def _reason(element: etree._Element) -> str:
    return text(element, "StsRsnInf", "Rsn", "Cd") or text(element, "StsRsnInf", "Rsn", "Prtry")
