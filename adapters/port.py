"""The only shapes that cross between the programme and other people's formats and protocols.

Inwards: `Record` and `Finding` from registration forms; `Observation`, `StatementLine` and
`Finding` from providers. Outwards: `Order` and `Instruction` to providers.

Everything a provider says becomes an `Observation`: it is kept for ever, and ranked by evidence,
never by arrival. What was not said is UNKNOWN and is asked about; it is never called failed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol

from ledgers.problems import NOWHERE, Finding, Place

# --- registration ---------------------------------------------------------------------------

# Canonical names of a household's fields, as the mapping files and our own XLSForm give them.
# Anything else a mapping names becomes an answer: a fact without personal content.
HOUSEHOLD_FIELDS = (
    "consent_given", "consent_language", "consent_on", "province", "district", "address",
    "population_group", "declared_size", "phone", "iban", "account_holder",
    "voucher_card_ref", "debit_card_ref",
)  # fmt: skip
MEMBER_FIELDS = (
    "given_name", "family_name", "full_name", "relationship", "sex", "birth_date",
    "birth_date_precision", "nationality", "id_type", "id_number", "disability_percent",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """One registration as it was submitted: strings, not yet validated.

    `record_id` is the source's own identity of the submission and `revision` changes when the
    submission is edited; `fields`, `members` and `answers` use the canonical names above; an
    absent key and an empty string both mean unknown. `has_roster` is False for a form without
    a member list: then `members` holds the one named person and `declared_size` counts people.
    """

    place: Place
    record_id: str
    revision: str
    submitted_at: datetime | None
    fields: Mapping[str, str]
    members: Sequence[Mapping[str, str]]
    answers: Mapping[str, str]
    has_roster: bool = True


# --- payments -------------------------------------------------------------------------------


class Outcome(StrEnum):
    """What we know of one instruction."""

    ACCEPTED = "accepted"  # the provider has it and has not executed it
    EXECUTED = "executed"  # money left us: the debit is booked, the card is loaded
    DELIVERED = "delivered"  # the person has it, where a rail can tell
    REJECTED = "rejected"  # definitely not executed
    RETURNED = "returned"  # was executed and came back
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"  # no answer, or an answer that says nothing: ask


class Evidence(IntEnum):
    """How much an observation proves; the higher rank stands, whatever arrived last."""

    ANSWER = 10  # the synchronous answer to a hand-over
    INQUIRY = 20  # the answer to a question about one instruction
    STATUS_REPORT = 30  # a status or result file
    SETTLEMENT = 40  # a settlement file of the provider
    STATEMENT = 50  # a booked statement entry
    WRITTEN = 60  # a letter about one instruction, read alike by two people


class Operation(StrEnum):
    """What an order asks for."""

    CREDIT_TRANSFER = "credit_transfer"
    LOAD = "load"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of an order: pay `amount_minor` of the order's currency to `destination`.

    `ref` is ours, unique for ever, 1 to 35 characters of [A-Z0-9]. `destination` is an IBAN or a
    card reference. `payee_name` is empty where the provider does not need it.
    """

    ref: str
    amount_minor: int
    destination: str
    payee_name: str = field(default="", repr=False)
    remittance: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """The head of a file for a provider; its bytes depend on nothing else than its content.

    `message_id` is the file's identity for the provider (at most 35 characters [A-Z0-9]),
    `created_at` (UTC) is fixed when the order is made, so that rendering again gives the same
    bytes. `control_count` and `control_sum_minor` are what the instructions must add up to.
    """

    message_id: str
    operation: Operation
    created_at: datetime
    execute_on: date
    currency: str
    exponent: int
    control_count: int
    control_sum_minor: int
    debtor_name: str
    debtor_account: str  # IBAN of the agency, or the programme code at the card processor
    debtor_agent: str = ""  # BIC of the agency's bank


@dataclass(frozen=True, slots=True)
class Control:
    """What a rendered file holds: count and sum (minor units), size and SHA-256 of its bytes."""

    count: int
    sum_minor: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a provider said when a file was handed over, or when asked whether it has the file.

    `outcome` is ACCEPTED, REJECTED (nothing of the file was taken, so a new file is safe) or
    UNKNOWN. `detail` is the provider's own text, without personal data.
    """

    outcome: Outcome
    detail: str
    provider_ref: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """Bytes a provider sent, with the name it gave them."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Observation:
    """What a provider said of one instruction (`ref`) or of a whole file (`message_id`, no ref).

    `amount_minor` is what was executed or returned, `moved_on` the day the provider booked it; None
    where the document does not say. `observed_at` is when the provider said it.
    """

    outcome: Outcome
    evidence: Evidence
    ref: str = ""
    message_id: str = ""
    amount_minor: int | None = None
    currency: str = ""
    reason_code: str = ""
    provider_ref: str = ""
    observed_at: datetime | None = None
    moved_on: date | None = None
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One booked movement of an account statement or a settlement file.

    `amount_minor` is signed: negative leaves the account. `line_id` is stable in its statement,
    so that reading it twice is seen. `ref` is our instruction reference where one is named.
    `kind` is `payment`, `return`, `fee`, `funding` or `other`.
    """

    account: str
    statement_id: str
    line_id: str
    amount_minor: int
    currency: str
    booked_on: date
    kind: str
    ref: str = ""
    reason_code: str = ""
    text: str = field(default="", repr=False)
    place: Place = NOWHERE


@dataclass(frozen=True, slots=True)
class StatementBalance:
    """A stated balance of an account: `kind` is `opening` or `closing`, amount signed."""

    account: str
    statement_id: str
    kind: str
    amount_minor: int
    currency: str
    on: date


@dataclass(frozen=True, slots=True)
class Redemption:
    """One use of loaded value at a vendor or a cash machine, as the provider reports it.

    `ref` is our instruction whose load the value was drawn from; `transaction_id` is the provider's
    own and never repeated. `kind` is `purchase`, `cash` or `refund` (of an earlier use);
    `amount_minor` is above 0. `booked_on` is the day the provider cleared it, `used_on` the day it
    happened.
    """

    report_id: str
    transaction_id: str
    ref: str
    kind: str
    amount_minor: int
    currency: str
    booked_on: date
    used_on: date
    vendor: str = field(default="", repr=False)
    place: Place = NOWHERE


Reading = Observation | StatementLine | StatementBalance | Redemption | Finding


class Format(Protocol):
    """How a provider's files are written and read: pure, replayable, no network."""

    def render(self, order: Order, instructions: Iterable[Instruction], out: BinaryIO) -> Control:
        """Write the file for `order` to `out`, streaming; equal input gives equal bytes.

        Refuses (before anything is handed over) where count or sum differ from the order's.
        """
        ...

    def read(self, document: Document) -> Iterator[Reading]:
        """Yield everything the document says, leniently; what cannot be read is a finding."""
        ...

    def inquiry(self, order: Order, refs: Iterable[str], out: BinaryIO) -> Control | None:
        """Write a question about `refs`; None where the format knows no inquiry file."""
        ...


class Channel(Protocol):
    """How files travel to a provider and back: HTTP or folders, with time-outs."""

    def hand_over(self, name: str, path: Path, sha256: str) -> Receipt:
        """Hand the file over once; a time-out or an unclear answer is UNKNOWN, never REJECTED.

        Handing over the same name and bytes again is safe: the provider knows the message id.
        """
        ...

    def collect(self) -> Iterator[Document]:
        """Yield what the provider has for us; a document may come again on the next call."""
        ...
