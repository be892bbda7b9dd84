"""Writing pain.001.001.09: a file of credit transfers for a bank, streamed.

Profile: domestic and not SEPA (service level NURG), one payment information block per 10,000
instructions, every payment its own statement entry (`BtchBookg` false). The instruction's
reference is both `InstrId` and `EndToEndId`: it comes back in every later message of the bank.

A file that fits in one block names it by the message id, and a bank's verdict on that block is a
verdict on the file. Blocks of longer files are named by their first instruction's reference.

Nothing is cut or replaced silently: a name that is too long or has letters the bank cannot carry
is a finding at its line, all lines are looked at, and then the file is refused.

Source: ISO 20022 pain.001.001.09 (2019); character set of the SWIFT X set with Latin letters.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC
from itertools import islice
from typing import BinaryIO

from lxml import etree

from adapters.iso20022.amounts import exponent_of, to_text
from adapters.port import Control, Instruction, Operation, Order
from ledgers.problems import NOWHERE, Finding, Place, Problem, Weight, masked

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
BATCH_MAX = 10_000
TEXT_MAX = 140
_FINDINGS_MAX = 100
_DIGITS_MAX = 18

NOT_A_TRANSFER = Problem(
    "pain001_not_a_transfer",
    "The order asks for {operation}; a bank file carries credit transfers only.",
    "Send this order to the provider that can carry it out.",
)
EXPONENT_WRONG = Problem(
    "pain001_exponent_wrong",
    "The order counts {currency} with {exponent} decimals; ISO 4217 says {expected}.",
    "Correct the currency of the programme; every amount would be wrong by a power of ten.",
)
HEAD_INVALID = Problem(
    "pain001_head_invalid",
    "The head of the bank file cannot be written: {field} is not usable.",
    "Correct the agency's name, account and bank in the provider's settings.",
)
CONTROL_DIFFERS = Problem(
    "pain001_control_differs",
    "The order announces {announced_count} instructions of {announced_sum} minor units;"
    " {count} of {sum} came.",
    "Nothing was sent. Prepare the payment plan's file again.",
)
LINES_INVALID = Problem(
    "pain001_lines_invalid",
    "{count} of the instructions cannot be written into a bank file.",
    "Correct the lines listed, or take them out of the plan with a reason.",
)

REF_INVALID = Problem(
    "pain001_ref_invalid",
    "The reference is not 1 to 35 capital letters and digits.",
    "Prepare the payment plan again; references are made by the program.",
    weight=Weight.REFUSED,
)
AMOUNT_INVALID = Problem(
    "pain001_amount_invalid",
    "The amount of {value} minor units is not above 0 and at most 18 digits.",
    "Correct the entitlement of this line.",
    weight=Weight.REFUSED,
)
IBAN_INVALID = Problem(
    "pain001_iban_invalid",
    "The account {value} is not an IBAN with correct check digits.",
    "Ask the household for the account again.",
    weight=Weight.REFUSED,
)
NAME_MISSING = Problem(
    "pain001_name_missing",
    "The payee has no name.",
    "Give the name of the account's holder.",
    weight=Weight.REFUSED,
)
TEXT_TOO_LONG = Problem(
    "pain001_text_too_long",
    "The {field} has {length} characters; a bank file carries 140.",
    "Shorten it the way the account's bank knows it.",
    weight=Weight.REFUSED,
)
TEXT_NOT_ALLOWED = Problem(
    "pain001_text_not_allowed",
    "The {field} has characters that a bank file cannot carry.",
    "Write it in Latin letters the way the account's bank knows it.",
    weight=Weight.REFUSED,
)

_REF = re.compile(r"[A-Z0-9]{1,35}")
_BIC = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}([A-Z0-9]{3})?")
_IBAN = re.compile(r"(?!TR)[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}|TR[0-9]{24}")
# Latin letters up to Extended-A (all Turkish ones), digits and the marks of the SWIFT X set.
_TEXT = re.compile(r"[A-Za-zÀ-ÖØ-öø-ſ0-9 /\-?:().,'+]*")
_TO_DIGITS = {ord(letter): str(int(letter, 36)) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}


def is_iban(text: str) -> bool:
    """Say whether `text` is an IBAN: shape, Türkiye's length, and check digits (ISO 13616)."""
    if not _IBAN.fullmatch(text):
        return False
    return int((text[4:] + text[:4]).translate(_TO_DIGITS)) % 97 == 1


def is_writable(text: str) -> bool:
    """Say whether a bank file can carry `text` as a name: Latin letters, 1 to 140 characters."""
    return len(text.strip()) > 0 and len(text) <= TEXT_MAX and bool(_TEXT.fullmatch(text))


def faults(instruction: Instruction, place: Place = NOWHERE) -> Iterator[Finding]:
    """Yield what keeps `instruction` out of a bank file, so that a plan can be checked early."""
    if not _REF.fullmatch(instruction.ref):
        yield REF_INVALID.finding(_at(place, "ref"))
    if not 0 < instruction.amount_minor < 10**_DIGITS_MAX:
        yield AMOUNT_INVALID.finding(_at(place, "amount_minor"), str(instruction.amount_minor))
    if not is_iban(instruction.destination):
        yield IBAN_INVALID.finding(_at(place, "destination"), masked(instruction.destination))
    if not instruction.payee_name.strip():
        yield NAME_MISSING.finding(_at(place, "payee_name"))
    for field in ("payee_name", "remittance"):
        text: str = getattr(instruction, field)
        if len(text) > TEXT_MAX:
            yield TEXT_TOO_LONG.finding(_at(place, field), field=field, length=len(text))
        if not _TEXT.fullmatch(text):
            yield TEXT_NOT_ALLOWED.finding(_at(place, field), field=field)


def _at(place: Place, field: str) -> Place:
    return Place(place.file, place.sheet, place.row, field)


def render(order: Order, instructions: Iterable[Instruction], out: BinaryIO) -> Control:
    """Write `order` and its `instructions` to `out`; equal input gives equal bytes.

    Memory is bounded by one block of 10,000 instructions. Returns count, sum (minor units), size
    and SHA-256 of the bytes written. Refuses with `pain001_*`; what was written to `out` by then
    must not be handed over.
    """
    _check_head(order)
    sink = _Sink(out)
    tally = _Tally()
    with etree.xmlfile(sink, encoding="UTF-8") as xml:
        xml.write_declaration()
        with (
            xml.element(f"{{{NAMESPACE}}}Document", nsmap={None: NAMESPACE}),
            xml.element("CstmrCdtTrfInitn"),
        ):
            xml.write(_group_header(order))
            for batch in _batches(instructions):
                if tally.accept(batch, order.message_id):
                    _write_batch(xml, order, batch)
    tally.settle(order)
    return Control(tally.count, tally.sum_minor, sink.size, sink.digest.hexdigest())


class _Sink:
    """Passes bytes on, counting and hashing them."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.size += len(data)
        self.digest.update(data)
        self._out.write(data)
        return len(data)


class _Tally:
    """Counts what came and keeps the first findings, so that all problems are said at once."""

    def __init__(self) -> None:
        self.count = 0
        self.sum_minor = 0
        self.faulty = 0
        self.findings: list[Finding] = []

    def accept(self, batch: list[Instruction], file: str) -> bool:
        """Add a batch; True while nothing is wrong."""
        for instruction in batch:
            self.count += 1
            self.sum_minor += instruction.amount_minor
            found = list(faults(instruction, Place(file=file, row=self.count)))
            if found:
                self.faulty += 1
                self.findings += found[: _FINDINGS_MAX - len(self.findings)]
        return not self.faulty

    def settle(self, order: Order) -> None:
        """Refuse where a line was faulty or the order announced something else."""
        if self.faulty:
            raise LINES_INVALID.refusal(count=self.faulty).with_findings(self.findings)
        if (self.count, self.sum_minor) != (order.control_count, order.control_sum_minor):
            raise CONTROL_DIFFERS.refusal(
                announced_count=order.control_count,
                announced_sum=order.control_sum_minor,
                count=self.count,
                sum=self.sum_minor,
            )


def _check_head(order: Order) -> None:
    if order.operation is not Operation.CREDIT_TRANSFER:
        raise NOT_A_TRANSFER.refusal(operation=order.operation.value)
    expected = exponent_of(order.currency)
    if expected is None or expected != order.exponent:
        raise EXPONENT_WRONG.refusal(
            currency=order.currency, exponent=order.exponent, expected=expected
        )
    usable = {
        "message_id": _REF.fullmatch(order.message_id),
        "created_at": order.created_at.tzinfo is not None,
        "control_count": order.control_count > 0,
        "debtor_name": bool(order.debtor_name.strip()) and len(order.debtor_name) <= TEXT_MAX,
        "debtor_account": is_iban(order.debtor_account),
        "debtor_agent": not order.debtor_agent or _BIC.fullmatch(order.debtor_agent),
    }
    wrong = [field for field, fine in usable.items() if not fine]
    if not _TEXT.fullmatch(order.debtor_name):
        wrong.append("debtor_name")
    if wrong:
        raise HEAD_INVALID.refusal(field=", ".join(wrong))


def _batches(instructions: Iterable[Instruction]) -> Iterator[list[Instruction]]:
    stream = iter(instructions)
    while batch := list(islice(stream, BATCH_MAX)):
        yield batch


def _write_batch(
    xml: "etree._IncrementalFileWriter", order: Order, batch: list[Instruction]
) -> None:
    with xml.element("PmtInf"):
        for element in _batch_head(order, batch):
            xml.write(element)
        for instruction in batch:
            xml.write(_transfer(order, instruction))


# Elements are made with local names and written inside a root that carries the namespace: the
# serialiser then repeats no xmlns on every payment. A test validates what comes out.


def _group_header(order: Order) -> etree._Element:
    head = etree.Element("GrpHdr")
    _put(head, "MsgId", order.message_id)
    _put(head, "CreDtTm", order.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    _put(head, "NbOfTxs", str(order.control_count))
    _put(head, "CtrlSum", to_text(order.control_sum_minor, order.exponent))
    _put(_put(head, "InitgPty"), "Nm", order.debtor_name)
    return head


def _batch_head(order: Order, batch: list[Instruction]) -> Iterator[etree._Element]:
    whole = order.control_count <= BATCH_MAX
    total = sum(instruction.amount_minor for instruction in batch)
    for name, value in (
        ("PmtInfId", order.message_id if whole else batch[0].ref),
        ("PmtMtd", "TRF"),
        ("BtchBookg", "false"),
        ("NbOfTxs", str(len(batch))),
        ("CtrlSum", to_text(total, order.exponent)),
    ):
        yield _element(name, value)
    yield _nested("PmtTpInf", "SvcLvl", "Cd", value="NURG")
    yield _nested("ReqdExctnDt", "Dt", value=order.execute_on.isoformat())
    yield _nested("Dbtr", "Nm", value=order.debtor_name)
    account = _nested("DbtrAcct", "Id", "IBAN", value=order.debtor_account)
    _put(account, "Ccy", order.currency)
    yield account
    if order.debtor_agent:
        yield _nested("DbtrAgt", "FinInstnId", "BICFI", value=order.debtor_agent)
    else:
        yield _nested("DbtrAgt", "FinInstnId", "Othr", "Id", value="NOTPROVIDED")


def _transfer(order: Order, instruction: Instruction) -> etree._Element:
    transfer = etree.Element("CdtTrfTxInf")
    identity = _put(transfer, "PmtId")
    _put(identity, "InstrId", instruction.ref)
    _put(identity, "EndToEndId", instruction.ref)
    text = to_text(instruction.amount_minor, order.exponent)
    _put(_put(transfer, "Amt"), "InstdAmt", text).set("Ccy", order.currency)
    _put(_put(transfer, "Cdtr"), "Nm", instruction.payee_name)
    _put(_put(_put(transfer, "CdtrAcct"), "Id"), "IBAN", instruction.destination)
    if instruction.remittance:
        _put(_put(transfer, "RmtInf"), "Ustrd", instruction.remittance)
    return transfer


def _element(name: str, value: str) -> etree._Element:
    element = etree.Element(name)
    element.text = value
    return element


def _nested(*names: str, value: str) -> etree._Element:
    first = inner = etree.Element(names[0])
    for name in names[1:]:
        inner = etree.SubElement(inner, name)
    inner.text = value
    return first


def _put(parent: etree._Element, name: str, value: str | None = None) -> etree._Element:
    element = etree.SubElement(parent, name)
    element.text = value
    return element
