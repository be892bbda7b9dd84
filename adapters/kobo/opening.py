"""A registration file of any kind, told apart by its content, never by its name."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from adapters.kobo.api import read_json
from adapters.kobo.xlsx import read_xlsx
from adapters.mapping import FileFormat, FormMapping
from adapters.port import Record
from adapters.tabular import read_csv
from ledgers.problems import Answer, Finding, Problem

EXPORT_NOT_FOUND = Problem(
    "export_not_found",
    "{file} cannot be read ({reason}).",
    "Check the name and that you may read it.",
    answer=Answer.NOT_FOUND,
)
EXPORT_EMPTY = Problem(
    "export_empty",
    "{file} is empty.",
    "Download the export again.",
)
EXPORT_ENCRYPTED = Problem(
    "export_encrypted",
    "{file} is a workbook with a password.",
    "Save it without a password, or download the export from KoBo again.",
)
EXPORT_OTHER_TYPE = Problem(
    "export_other_type",
    "{file} is {type}, not a registration export.",
    "Give KoBo's XLSX export, the API's JSON, or a CSV file.",
)
EXPORT_OTHER_FORMAT = Problem(
    "export_other_format",
    "{file} is {format}; this mapping is for {formats}.",
    "Choose the mapping made for this file, or export it in that format.",
)

_HEAD_BYTES = 4096
_CHUNK_BYTES = 1 << 20
_OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_FORMAT_NAMES = {
    FileFormat.KOBO_XLSX: "an XLSX workbook",
    FileFormat.KOBO_JSON: "JSON",
    FileFormat.CSV: "a CSV file",
}


@dataclass(frozen=True, slots=True)
class Description:
    """What identifies a file: the SHA-256 (hexadecimal) of its bytes and their number."""

    sha256: str
    size_bytes: int


def describe(path: Path) -> Description:
    """Return digest and size of the file at `path`, read once; Refusal `export_not_found`."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise _not_found(path, error) from None
    return Description(digest.hexdigest(), size)


def open_export(path: Path, mapping: FormMapping) -> Iterator[Record | Finding]:
    """Yield the registrations in the file at `path`, and every problem as a finding.

    Each record has an identity and at least one named person; what has not is a finding of weight
    REFUSED. Where one submission stands several times, the latest is given. Raises Refusal, before
    the first record, where the whole file cannot be read: the codes of this module, of
    `adapters.kobo.xlsx`, `adapters.kobo.api`, `adapters.tabular` and `adapters.forms.questions`.
    """
    found = detect(path)
    if found not in mapping.formats:
        formats = " or ".join(_FORMAT_NAMES[one] for one in mapping.formats)
        raise EXPORT_OTHER_FORMAT.refusal(
            file=path.name, format=_FORMAT_NAMES[found], formats=formats
        )
    return _READERS[found](path, mapping)


def detect(path: Path) -> FileFormat:
    """Return which of the formats the file at `path` has, judged by its content."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
            is_encrypted = head.startswith(_OLE2) and _ENCRYPTED in head + stream.read(_CHUNK_BYTES)
    except OSError as error:
        raise _not_found(path, error) from None
    if not head.strip():
        raise EXPORT_EMPTY.refusal(file=path.name)
    if is_encrypted:
        raise EXPORT_ENCRYPTED.refusal(file=path.name)
    if head.startswith(b"PK\x03\x04") and _is_workbook(path):
        return FileFormat.KOBO_XLSX
    other = _other_type(head)
    if other:
        raise EXPORT_OTHER_TYPE.refusal(file=path.name, type=other)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return FileFormat.KOBO_JSON if text[:1] in {b"{", b"["} else FileFormat.CSV


def _is_workbook(path: Path) -> bool:
    try:
        with ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (BadZipFile, OSError, ValueError):
        return False


def _other_type(head: bytes) -> str:
    """Return what a file is that no reader here can read, empty where it may be text."""
    start = head.lstrip().lower()
    if head.startswith(b"PK"):
        return "an archive or a damaged workbook"
    if head.startswith(_OLE2):
        return "an old Excel file (.xls)"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        return "a web page or XML"
    if start.startswith(b"%pdf"):
        return "a PDF"
    return "a binary file" if b"\x00" in head else ""


def _not_found(path: Path, error: OSError) -> Exception:
    return EXPORT_NOT_FOUND.refusal(file=path.name, reason=error.strerror or "unreadable")


_READERS = {
    FileFormat.KOBO_XLSX: read_xlsx,
    FileFormat.KOBO_JSON: read_json,
    FileFormat.CSV: read_csv,
}
