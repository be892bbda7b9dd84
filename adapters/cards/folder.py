"""`FolderChannel`: files travel by a shared folder, as on a processor's SFTP server.

A file is written under a hidden temporary name, forced to disk and then renamed, so the processor
never sees half of one. The processor takes files by moving them to `taken/`; a name is used once
for ever, so the same name and bytes there mean "already handed over". What the processor leaves in
the incoming folder is read and never deleted: documents are known by their hash, not their name.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from adapters.port import Document, Outcome, Receipt
from ledgers.problems import Problem

NAME_REFUSED = Problem(
    "folder_name_refused",
    "{name!r} cannot be the name of a file to hand over.",
    "Use a plain file name: no folder in it, not starting with a dot, not ending with .part.",
)
NAME_TAKEN = Problem(
    "folder_name_taken",
    "A file named {name} with other bytes was handed over before.",
    "Do not send: find out which of the two files was approved, and make a new order if needed.",
)
BYTES_DIFFER = Problem(
    "folder_bytes_differ",
    "The file {name} is not the one that was rendered: its SHA-256 differs.",
    "Do not send: render the order again and compare, the file was changed on disk.",
)
INCOMING_MISSING = Problem(
    "folder_incoming_missing",
    "The folder {folder} in which the provider leaves its files cannot be read ({reason}).",
    "Mount or create the folder, or correct its name in the provider's settings.",
)

_PART = ".part"  # a file that is still being written, on either side
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FolderChannel:
    """A folder to drop files in and a folder to find files in, as an `adapters.port.Channel`."""

    outgoing: Path
    incoming: Path

    def hand_over(self, name: str, path: Path, sha256: str) -> Receipt:
        """Put the file at `path` into the outgoing folder as `name`, once.

        `sha256` is the digest of the rendered file, in lower-case hexadecimal. Answers ACCEPTED
        when the file is in the folder or was taken from it, REJECTED when this attempt put
        nothing there (folder missing or closed, disk full), UNKNOWN when that cannot be told.
        REJECTED speaks of this attempt alone: after an earlier UNKNOWN, it proves nothing.

        Raises `folder_name_refused`, `folder_name_taken`, `folder_bytes_differ`.
        """
        if not name or name != Path(name).name or name.startswith(".") or name.endswith(_PART):
            raise NAME_REFUSED.refusal(name=name)
        try:
            already = self._already(name, sha256)
        except OSError as error:
            return Receipt(Outcome.UNKNOWN, f"the folder cannot be searched: {_reason(error)}")
        if already:
            return Receipt(Outcome.ACCEPTED, "already handed over", name)
        part = self.outgoing / f".{name}.{os.getpid()}{_PART}"
        try:
            copied = _copy(path, part)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            return Receipt(Outcome.REJECTED, f"nothing was handed over: {_reason(error)}")
        if copied != sha256:
            part.unlink(missing_ok=True)
            raise BYTES_DIFFER.refusal(name=name)
        return self._publish(part, name)

    def collect(self) -> Iterator[Document]:
        """Yield every finished file of the incoming folder in name order; none is removed.

        Raises `folder_incoming_missing`.
        """
        try:
            paths = sorted(self.incoming.iterdir(), key=lambda path: path.name)
        except OSError as error:
            raise INCOMING_MISSING.refusal(
                folder=self.incoming.name, reason=_reason(error)
            ) from error
        for path in paths:
            hidden = path.name.startswith(".") or path.name.endswith(_PART)
            if not hidden and path.is_file() and not path.is_symlink():
                yield Document(path.name, path.read_bytes())

    def _already(self, name: str, sha256: str) -> bool:
        found = False
        for folder in (self.outgoing, self.outgoing / "taken"):
            try:
                with (folder / name).open("rb") as file:
                    present = hashlib.file_digest(file, "sha256").hexdigest()
            except FileNotFoundError:
                continue
            if present != sha256:
                raise NAME_TAKEN.refusal(name=name)
            found = True
        return found

    def _publish(self, part: Path, name: str) -> Receipt:
        target = self.outgoing / name
        try:
            part.replace(target)
            _force_to_disk(self.outgoing)
        except OSError as error:
            # On a network folder a rename may fail here and still have happened there.
            return Receipt(Outcome.UNKNOWN, f"the file may be in the folder: {_reason(error)}")
        return Receipt(Outcome.ACCEPTED, "handed over", name)


def _copy(source: Path, target: Path) -> str:
    """Copy to a new file, forced to disk; return the SHA-256 of the bytes that were copied."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def _force_to_disk(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    """Return the operating system's words alone: a path may name people's folders."""
    return error.strerror or type(error).__name__
