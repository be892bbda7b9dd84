"""`CardFiles`: the card processor's batch files as an `adapters.port.Format`.

Writing is strict: every line that could be misread refuses the whole file, all of them listed, and
nothing is handed over. Reading is lenient about what is said and strict about whether it can be
believed (`adapters.cards.reading`). The layout is in `adapters.cards.layout`.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from adapters.cards import reading
from adapters.cards.layout import (
    AMOUNT,
    CARD_NUMBER,
    CARD_REFERENCE,
    CURRENCY_DIFFERS,
    FILE_ID,
    PROGRAMME_DIFFERS,
    REF_REPEATED,
    VERSION,
    is_card_number,
    line_hash,
    timestamp,
    trailer,
)
from adapters.port import Control, Document, Instruction, Operation, Order, Reading
from ledgers.problems import Finding, Place, Problem, Weight, masked

NOT_A_LOAD = Problem(
    "card_order_not_a_load",
    "The order asks for {operation}, and a card file can only load cards.",
    "Send this order to a provider of its own kind.",
)
FILE_ID_MALFORMED = Problem(
    "card_file_id_malformed",
    "The file id {value} is not 1 to 35 capital letters and digits.",
    "Make the order again with an identifier of the programme's own kind.",
)
ORDER_DIFFERS = Problem(
    "card_order_differs",
    "The order is for {count_expected} loads of {sum_expected} minor units, and its lines are "
    "{count} of {sum}.",
    "Prepare the plan again: its lines are no longer those that were approved.",
)
LINES_REFUSED = Problem(
    "card_lines_refused",
    "{count:problem|problems} in the lines of the order: no file was made.",
    "Correct the lines named, or take them out of the plan.",
)
REF_MALFORMED = Problem(
    "card_ref_malformed",
    "The instruction reference {value} is not 1 to 35 capital letters and digits.",
    "Make the instruction again: references are made by the programme, never typed.",
    weight=Weight.REFUSED,
)
REFERENCE_MALFORMED = Problem(
    "card_reference_malformed",
    "The card reference {value} is not 1 to 64 letters, digits, dots, hyphens or underscores.",
    "Correct the card reference of the household; it is printed on the sealed pack.",
    weight=Weight.REFUSED,
)
AMOUNT_REFUSED = Problem(
    "card_amount_refused",
    "The amount {value} (minor units) cannot be loaded: it must be above 0, of at most 15 digits.",
    "Correct the transfer value or take the line out of the plan.",
    weight=Weight.REFUSED,
)


@dataclass(frozen=True, slots=True)
class CardFiles:
    """The files of one account at the card processor.

    Arguments: `programme` is the programme's code at the processor (it is also the account that
    settlement lines are booked on), `currency` its ISO 4217 code, `exponent` the decimals of its
    minor unit. Orders and files of another programme or currency are refused.
    """

    programme: str
    currency: str
    exponent: int

    def render(self, order: Order, instructions: Iterable[Instruction], out: BinaryIO) -> Control:
        """Write the load file of `order` to `out`, one line for each instruction, streaming.

        Raises a `Refusal`: `card_order_not_a_load`, `card_file_id_malformed`,
        `card_programme_differs`, `card_currency_differs` before anything is written;
        `card_lines_refused` with every finding (`card_ref_malformed`, `card_ref_repeated`,
        `card_reference_malformed`, `card_number_found`, `card_amount_refused`) or
        `card_order_differs` at the end: what `out` then holds must not be handed over.
        """
        if order.operation is not Operation.LOAD:
            raise NOT_A_LOAD.refusal(operation=order.operation)
        head = self._head("LOAD", order)
        effective = order.execute_on.isoformat()
        writer, check = _Writer(out), _Check()
        writer.line(head)
        for number, line in enumerate(instructions, 1):
            if check.instruction(number, line):
                detail = f"{line.ref}|{line.destination}|LOAD|{line.amount_minor}|{effective}"
                writer.detail(detail, line.ref, line.amount_minor)
        if check.findings:
            raise LINES_REFUSED.refusal(count=len(check.findings)).with_findings(check.findings)
        if (writer.count, writer.sum_minor) != (order.control_count, order.control_sum_minor):
            raise ORDER_DIFFERS.refusal(
                count_expected=order.control_count,
                sum_expected=order.control_sum_minor,
                count=writer.count,
                sum=writer.sum_minor,
            )
        return writer.close()

    def read(self, document: Document) -> Iterator[Reading]:
        """Yield all that a result, answer, settlement, redemption or reject file says.

        Never raises. A file whose head or trailer cannot be trusted, or that is another
        programme's, yields findings only.
        """
        return reading.read(document, self.programme, self.currency, self.exponent)

    def inquiry(self, order: Order, refs: Iterable[str], out: BinaryIO) -> Control:
        """Write the question what became of `refs`, which may be of several load files.

        `order.message_id` is the question's own identity: asked again, it is a new question.
        Raises as `render` does for the head, and `card_lines_refused` for a malformed or
        repeated reference.
        """
        writer, check = _Writer(out), _Check()
        writer.line(self._head("INQUIRY", order))
        for number, ref in enumerate(refs, 1):
            if check.ref(number, ref):
                writer.detail(ref, ref, 0)
        if check.findings:
            raise LINES_REFUSED.refusal(count=len(check.findings)).with_findings(check.findings)
        return writer.close()

    def _head(self, kind: str, order: Order) -> str:
        if not FILE_ID.fullmatch(order.message_id):
            raise FILE_ID_MALFORMED.refusal(value=masked(order.message_id))
        if order.debtor_account != self.programme:
            raise PROGRAMME_DIFFERS.refusal(stated=order.debtor_account, expected=self.programme)
        if (order.currency, order.exponent) != (self.currency, self.exponent):
            raise CURRENCY_DIFFERS.refusal(
                stated=f"{order.currency} {order.exponent}",
                expected=f"{self.currency} {self.exponent}",
            )
        created = timestamp(order.created_at)
        return (
            f"H|{VERSION}|{kind}|{order.message_id}|{self.programme}|{created}"
            f"|{self.currency}|{self.exponent}|1|"
        )


class _Writer:
    """Writes records and keeps their totals, size and digest."""

    def __init__(self, out: BinaryIO) -> None:
        self.count = 0
        self.sum_minor = 0
        self._hash = 0
        self._size = 0
        self._digest = hashlib.sha256()
        self._out = out

    def line(self, record: str) -> None:
        content = f"{record}\n".encode()
        self._size += len(content)
        self._digest.update(content)
        self._out.write(content)

    def detail(self, rest: str, ref: str, amount_minor: int) -> None:
        self.count += 1
        self.sum_minor += amount_minor
        self._hash += line_hash(ref, amount_minor)
        self.line(f"D|{self.count}|{rest}")

    def close(self) -> Control:
        self.line(trailer(self.count, self.sum_minor, self._hash))
        return Control(self.count, self.sum_minor, self._size, self._digest.hexdigest())


class _Check:
    """Collects what is wrong with the lines of an order, so that all of it is said at once."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self._seen: set[str] = set()

    def ref(self, number: int, ref: str) -> bool:
        malformed, repeated = not FILE_ID.fullmatch(ref), ref in self._seen
        self._seen.add(ref)
        if malformed or repeated:
            problem = REF_MALFORMED if malformed else REF_REPEATED
            self.findings.append(problem.finding(Place(row=number, field="ref"), masked(ref)))
        return not (malformed or repeated)

    def instruction(self, number: int, line: Instruction) -> bool:
        before = len(self.findings)
        self.ref(number, line.ref)
        place = Place(row=number, field="destination")
        if is_card_number(line.destination):
            self.findings.append(CARD_NUMBER.finding(place, masked(line.destination)))
        elif not CARD_REFERENCE.fullmatch(line.destination):
            self.findings.append(REFERENCE_MALFORMED.finding(place, masked(line.destination)))
        amount = str(line.amount_minor)
        if amount == "0" or not AMOUNT.fullmatch(amount):
            self.findings.append(AMOUNT_REFUSED.finding(Place(row=number, field="amount"), amount))
        return len(self.findings) == before
