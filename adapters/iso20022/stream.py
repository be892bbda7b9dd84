"""Reading other people's XML: one pass, bounded memory, nothing fetched, nothing expanded.

Files come from outside, so a document type is refused before anything else is read (ISO 20022
messages have none; entity bombs and external entities need one). Tags are compared without their
namespace: real banks send none, a private one, or a wrong version.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from io import BytesIO
from itertools import islice

from lxml import etree

from adapters.port import Document
from ledgers.problems import Finding, Place, Problem, Weight

NOT_XML = Problem(
    "iso20022_not_xml",
    "The file stops being readable XML in line {line}.",
    "Fetch the file again; if it stays so, ask the bank for it. What stood before is kept.",
    weight=Weight.REFUSED,
)
DOCUMENT_TYPE = Problem(
    "iso20022_document_type",
    "The file brings a document type, which no bank message has; nothing of it was read.",
    "Do not open the file elsewhere; ask the bank whether it sent it.",
    weight=Weight.REFUSED,
)

# A payload element stands at most a business header away from the root.
_HEAD = 200
_OURS = re.compile(r"[A-Z0-9]{1,35}")
# What banks write into a reference that was not given.
_NO_REFERENCE = frozenset({"NOTPROVIDED", "NONREF", "NOTAVAILABLE"})


class Unreadable(Exception):  # noqa: N818 - carries a finding to the rim, never leaves the package
    """The rest of a file cannot be read; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(finding.problem.code)


@dataclass(frozen=True, slots=True)
class Payload:
    """What a file holds: the `kind` is the local name of the message's own element."""

    kind: str
    namespace: str
    at_root: bool


def payload_of(document: Document, kinds: frozenset[str]) -> Payload | None:
    """Find which of `kinds` a document holds, from its head; None where it is none of them.

    Raises `Unreadable` where the head is not XML or brings a document type.
    """
    for depth, element in enumerate(_guarded(document, ("start",), None, _HEAD)):
        name = local(element)
        if name in kinds:
            return Payload(name, etree.QName(element).namespace or "", at_root=depth == 1)
    return None


def elements(document: Document, names: tuple[str, ...]) -> Iterator[etree._Element]:
    """Yield every element called one of `names` when it is complete; the reader clears it.

    Raises `Unreadable` where the file breaks off; everything before has been yielded.
    """
    return _guarded(document, ("end",), tuple(f"{{*}}{name}" for name in names), None)


def _guarded(
    document: Document, events: tuple[str, ...], tags: tuple[str, ...] | None, limit: int | None
) -> Iterator[etree._Element]:
    try:
        parser = etree.iterparse(
            BytesIO(document.content),
            events=events,
            tag=tags,
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
        )
        for number, (_, element) in enumerate(islice(parser, limit)):
            if number == 0 and element.getroottree().docinfo.doctype:
                raise Unreadable(DOCUMENT_TYPE.finding(Place(file=document.name)))
            yield element
    except etree.XMLSyntaxError as error:
        line = error.lineno or 0
        raise Unreadable(NOT_XML.finding(Place(document.name, row=line), line=line)) from error


def local(element: etree._Element) -> str:
    """Return the name of `element` without its namespace."""
    return str(element.tag).rpartition("}")[2]


def text(element: etree._Element, *path: str) -> str:
    """Return the stripped text at `path` (local names), empty where there is none."""
    return (element.findtext("/".join(f"{{*}}{name}" for name in path)) or "").strip()


def drop(element: etree._Element) -> None:
    """Free `element` and everything before it under the same parent."""
    element.clear()
    parent = element.getparent()
    while parent is not None and parent[0] is not element:
        del parent[0]


def reference(*candidates: str) -> str:
    """Return the first candidate that can be a reference of ours, empty where none can.

    Ours are 1 to 35 characters of [A-Z0-9]; a foreign one must not look like an instruction.
    """
    for candidate in candidates:
        if _OURS.fullmatch(candidate) and candidate not in _NO_REFERENCE:
            return candidate
    return ""


def moment(stated: str, zone: tzinfo) -> datetime | None:
    """Read a date with time; one without an offset is the bank's local time, in `zone`."""
    try:
        read = datetime.fromisoformat(stated)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=zone)
