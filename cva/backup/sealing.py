"""The sealed file of a backup: chunks that cannot be read, cut, swapped or exchanged.

    header    `cva backup 1` and a line feed, 32 bytes that name the master key (its fingerprint),
              16 random bytes that name this backup
    chunk     1 byte kind (0 dump, 1 manifest), 4 bytes length of what follows, big-endian;
              12 bytes nonce, then at most 1 MiB sealed with AES-256-GCM, 16 bytes tag

With each chunk the header, the chunk's number and its first five bytes are authenticated. The
manifest is the last chunk, there is exactly one, and nothing follows it. So a chunk opens in its
own backup and at its own place only, and a file that lacks its end is not a backup.

The key is derived from the master key for this use alone. A file is written beside its name, as
`.part`, and renamed when it is safely on the disk; whatever ends the writing before removes it, and
what a power cut leaves of it is overwritten by the next backup.

Sources: NIST SP 800-38D (GCM, 96-bit nonces); Hoang, Reyhanitabar, Rogaway, Vizár: "Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance" (2015), the construction STREAM.
"""

import fcntl
import hmac
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag

from cva import disk
from cva.vault import CHUNK_BYTES, KEY_BYTES, NONCE_BYTES, TAG_BYTES, Vault
from ledgers.problems import Answer, Problem

EXISTS = Problem(
    "backup_exists",
    "There is something at {file} already; a backup never overwrites.",
    "Name another file, or remove the old one yourself if nobody needs it.",
)
UNDERWAY = Problem(
    "backup_underway",
    "Another backup is being written to {file} right now.",
    "Wait for it to end, or name another file.",
)
NOT_WRITTEN = Problem(
    "backup_not_written",
    "The backup {file} could not be written ({trouble}); nothing was kept of it.",
    "Name a file in a folder that is there and that you may write to.",
)
NOT_READ = Problem(
    "backup_not_read",
    "The backup {file} cannot be read ({trouble}).",
    "Check the name of the file, its rights, and the disk it is on.",
    Answer.NOT_FOUND,
)
UNRECOGNISED = Problem(
    "backup_unrecognised",
    "The file {file} is not a backup made by `cva backup`.",
    "Check the name of the file.",
)
NEWER = Problem(
    "backup_newer",
    "The backup {file} was made by a newer release ({found}) than this one ({known}).",
    "Install the release that made it, or a newer one, and restore again.",
)
KEY_DIFFERS = Problem(
    "backup_key_differs",
    "The backup {file} was sealed with another master key than the one in use.",
    "Point CVA_KEY_FILE at the key it was made with, or write that key again from its recovery "
    "sheet: `cva restore-key`.",
)
DAMAGED = Problem(
    "backup_damaged",
    "Chunk {chunk} of the backup {file} {trouble}; nothing was restored.",
    "Copy the file again from where it is kept; if it stays damaged, take another backup.",
)

FORMAT = 1
FAMILY = b"cva backup "
MAGIC = FAMILY + b"%d\n" % FORMAT
ID_BYTES = 16
FRAME = struct.Struct(">BI")
SEALED_BYTES_MAX = CHUNK_BYTES + NONCE_BYTES + TAG_BYTES


class Kind(IntEnum):
    """What a chunk holds."""

    DUMP = 0  # a piece of the dump
    MANIFEST = 1  # what the backup says about itself; the last chunk


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write to that stands at `path`, closed to others, whole or not at all.

    Raises `backup_exists`, `backup_underway`, `backup_not_written` and `disk_full`.
    """
    try:
        _refuse_existing(path)
        with _part_of(path) as (part, file):
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                _refuse_existing(path)
                part.rename(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in disk.FULL:
            raise disk.DISK_FULL.refusal(place=path) from None
        raise NOT_WRITTEN.refusal(file=path, trouble=error.strerror) from None


@contextmanager
def _part_of(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open the file beside `path`, empty and ours alone; what was left of it is overwritten."""
    part = path.with_name(path.name + ".part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had the lock before may have renamed the file that we have opened.
            ours = os.path.samestat(os.fstat(file.fileno()), part.lstat())
        except (BlockingIOError, FileNotFoundError):
            ours = False
        if not ours:
            raise UNDERWAY.refusal(file=path)
        os.fchmod(file.fileno(), 0o600)
        file.truncate()
        yield part, file


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise EXISTS.refusal(file=path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SealedWriter:
    """Seals a dump and its manifest into `file`, chunk by chunk."""

    def __init__(self, file: BinaryIO, key: Vault) -> None:
        self._file = file
        self._cipher = key.backup_cipher()
        self._header = MAGIC + key.fingerprint + os.urandom(ID_BYTES)
        self._number = 0
        file.write(self._header)

    def add(self, piece: bytes) -> None:
        """Append the next piece of the dump, at most CHUNK_BYTES."""
        self._append(Kind.DUMP, piece)

    def finish(self, manifest: bytes) -> None:
        """Append the manifest, at most CHUNK_BYTES; nothing may follow."""
        self._append(Kind.MANIFEST, manifest)

    def _append(self, kind: Kind, content: bytes) -> None:
        frame = FRAME.pack(kind, len(content) + NONCE_BYTES + TAG_BYTES)
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, content, _place(self._header, self._number, frame))
        self._file.write(frame + nonce + sealed)
        self._number += 1


class SealedReader:
    """Opens the chunks of a sealed file; nothing is given out that was not authenticated.

    Raises `backup_unrecognised`, `backup_newer`, `backup_key_differs` when it is made.
    """

    def __init__(self, path: Path, file: BinaryIO, key: Vault) -> None:
        self._path = path
        self._file = file
        self._cipher = key.backup_cipher()
        self._header = _header_of(path, file, key)
        self.size = os.fstat(file.fileno()).st_size

    def position(self) -> int:
        """Return how many bytes of the file were read since the last start."""
        return self._file.tell()

    def chunks(self) -> Iterator[tuple[Kind, bytes]]:
        """Yield every chunk from the start, with its kind; the last one is the manifest.

        Raises `backup_damaged` with the number of the first chunk that does not open, from 1, and
        `backup_not_read`.
        """
        with readable(self._path):
            self._file.seek(len(self._header))
            number, kind = 0, Kind.DUMP
            while kind is Kind.DUMP:
                kind, content = self._open(number)
                yield kind, content
                number += 1
            if self._file.read(1):
                raise self._damaged(number, "follows the end")

    def dump(self) -> Iterator[bytes]:
        """Yield the pieces of the dump from its start. Raises as `chunks`."""
        return (content for kind, content in self.chunks() if kind is Kind.DUMP)

    def _open(self, number: int) -> tuple[Kind, bytes]:
        frame = self._file.read(FRAME.size)
        if len(frame) < FRAME.size:
            raise self._damaged(number, "is missing: the file is cut off")
        kind, length = FRAME.unpack(frame)
        if length > SEALED_BYTES_MAX:
            raise self._damaged(number, "was changed")
        sealed = self._file.read(length)
        if len(sealed) < length:
            raise self._damaged(number, "is cut off")
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            content = self._cipher.decrypt(nonce, rest, _place(self._header, number, frame))
        except (InvalidTag, ValueError):
            raise self._damaged(number, "was changed, or moved from elsewhere") from None
        return Kind(kind), content

    def _damaged(self, number: int, trouble: str) -> Exception:
        return DAMAGED.refusal(file=self._path, chunk=number + 1, trouble=trouble)


@contextmanager
def opened(path: Path, key: Vault) -> Iterator[SealedReader]:
    """Give the sealed file at `path`; see `SealedReader`. Raises `backup_not_read` too."""
    with readable(path):
        file = path.open("rb")
    with file:
        yield SealedReader(path, file, key)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Let errors of reading the file `path` out as `backup_not_read`."""
    try:
        yield
    except OSError as error:
        raise NOT_READ.refusal(file=path, trouble=error.strerror) from None


def _header_of(path: Path, file: BinaryIO, key: Vault) -> bytes:
    with readable(path):
        header = file.read(len(MAGIC) + KEY_BYTES + ID_BYTES)
    if not header.startswith(FAMILY):
        raise UNRECOGNISED.refusal(file=path)
    if not header.startswith(MAGIC):
        found = header[len(FAMILY) :].partition(b"\n")[0][:4].decode("ascii", "replace")
        raise NEWER.refusal(file=path, found=f"backup format {found}", known=f"format {FORMAT}")
    fingerprint = header[len(MAGIC) : len(MAGIC) + KEY_BYTES]
    if not hmac.compare_digest(fingerprint, key.fingerprint):
        raise KEY_DIFFERS.refusal(file=path)
    return header


def _place(header: bytes, number: int, frame: bytes) -> bytes:
    return header + number.to_bytes(8) + frame
