"""ISO 20022: payment files to a bank, status reports and statements from it.

`Iso20022` writes pain.001.001.09 and reads pain.002 and camt.052/053/054 of any version, with or
without a namespace. Reading is lenient and never stops at the first fault; whether a file is valid
against its schema is a recorded finding.
"""

from collections.abc import Iterable, Iterator
from datetime import tzinfo
from io import BytesIO
from typing import BinaryIO
from zoneinfo import ZoneInfo

from adapters.iso20022 import camt, pain001, pain002, validate
from adapters.iso20022.stream import Payload, Unreadable, payload_of
from adapters.port import Control, Document, Instruction, Order, Reading
from ledgers.problems import Place, Problem, Weight

RETURN_MESSAGE = Problem(
    "iso20022_return_message",
    "The bank passed on a return message between banks (pacs.004); it is kept and not counted.",
    "Nothing to do: the account's statement carries the same return.",
    weight=Weight.NOTE,
)
UNKNOWN_MESSAGE = Problem(
    "iso20022_unknown_message",
    "The file is not a message this program reads from a bank.",
    "Check whether it belongs to another provider; otherwise ask the bank what it is.",
    weight=Weight.REFUSED,
)

_STATUS_REPORTS = frozenset({"CstmrPmtStsRpt"})
_RETURNS = frozenset({"PmtRtr"})
_KINDS = _STATUS_REPORTS | _RETURNS | frozenset(camt.CONTAINERS)


class Iso20022:
    """The format of a bank that speaks ISO 20022 (see `adapters.port.Format`)."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        """Take the `zone` in which the bank's times without an offset are meant.

        Türkiye's where none is given.
        """
        self._zone = zone or ZoneInfo("Europe/Istanbul")

    def render(self, order: Order, instructions: Iterable[Instruction], out: BinaryIO) -> Control:
        """Write a pain.001.001.09; see `pain001.render` for what is refused."""
        return pain001.render(order, instructions, out)

    def read(self, document: Document) -> Iterator[Reading]:
        """Yield everything a status report or statement says, then what is wrong with the file."""
        try:
            payload = payload_of(document, _KINDS)
            yield from self._readings(document, payload)
        except Unreadable as unreadable:
            yield unreadable.finding
            return
        if payload and payload.at_root:
            yield from validate.findings(
                BytesIO(document.content), payload.namespace, document.name
            )

    def _readings(self, document: Document, payload: Payload | None) -> Iterator[Reading]:
        if payload is None:
            yield UNKNOWN_MESSAGE.finding(Place(file=document.name))
        elif payload.kind in _RETURNS:
            yield RETURN_MESSAGE.finding(Place(file=document.name))
        elif payload.kind in _STATUS_REPORTS:
            yield from pain002.read(document, self._zone)
        else:
            yield from camt.read(document, payload.kind, self._zone)

    def inquiry(self, order: Order, refs: Iterable[str], out: BinaryIO) -> Control | None:  # noqa: ARG002 - the port's signature
        """Return None: ISO 20022 has no question about single payments that banks answer."""
        return None
