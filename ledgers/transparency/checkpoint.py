"""Checkpoints and cosignatures: what the whole log was, signed, in three lines.

A checkpoint is a note: the log's name (*origin*), its size, its root, then a blank line and
signature lines. The log signs the text itself; a *witness*, somebody at another agency, checks that
the log only grew since the checkpoint it saw last, and adds a cosignature, which says when. Who
holds checkpoints cosigned by witnesses they trust cannot be shown another history later.

Keys travel as *vkeys*: name, key hash and base64 of the key's kind and its 32 bytes, joined by `+`.

Sources: C2SP signed-note, tlog-checkpoint, tlog-cosignature (cosignature/v1 with Ed25519),
tlog-witness (the body of add-checkpoint: old size, consistency proof, note).
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledgers.problems import Answer, Problem
from ledgers.transparency.tree import HASH_BYTES, verify_consistency

KEY_UNREADABLE = Problem(
    "log_key_unreadable",
    "{key} is not the public key of a log or of a witness.",
    "Copy the whole key: name+8 hexadecimal digits+base64, in one piece.",
    Answer.USAGE,
)
CHECKPOINT_UNREADABLE = Problem(
    "checkpoint_unreadable",
    "This is not a checkpoint: {why}.",
    "Copy the whole file: name, size, root, an empty line and the signatures.",
    Answer.USAGE,
)
CHECKPOINT_UNSIGNED = Problem(
    "checkpoint_unsigned",
    "The checkpoint does not carry a true signature of {name}.",
    "Trust nothing of it; ask whoever sent it for the original, and compare the public key.",
)
CHECKPOINT_INCONSISTENT = Problem(
    "checkpoint_inconsistent",
    "The log of {size} leaves does not begin with the log of {earlier} leaves seen before.",
    "Keep both checkpoints: they prove that the log was rewritten. Tell both agencies.",
)

LOG_KEY = 1  # signs the note's text
WITNESS_KEY = 4  # signs the text together with the moment
ID_BYTES = 4
KEY_BYTES = 32
STAMP_BYTES = 8
SIGNATURE_BYTES = 64
SIGNATURES_MAX = 64
_VKEY = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)")
_LINE = re.compile(r"— (\S+) ([A-Za-z0-9+/=]+)")
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The key that checks a log's or a witness's signatures; `raw` are its 32 bytes."""

    name: str
    kind: int
    raw: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes that name the key in a signature line."""
        content = self.name.encode() + b"\n" + bytes([self.kind]) + self.raw
        return hashlib.sha256(content).digest()[:ID_BYTES]

    @property
    def vkey(self) -> str:
        """The key as it is handed to others."""
        encoded = base64.b64encode(bytes([self.kind]) + self.raw).decode()
        return f"{self.name}+{self.key_id.hex()}+{encoded}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: who, with which key, and the bytes."""

    name: str
    key_id: bytes
    raw: bytes

    def __str__(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.raw).decode()}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the log was: `text` is what is signed."""

    origin: str
    size: int
    root: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @property
    def note(self) -> str:
        """The whole file."""
        return self.text + "\n" + "".join(f"{line}\n" for line in self.signatures)

    def signed_by(self, more: Sequence[Signature]) -> "Checkpoint":
        """Return the same checkpoint with further signatures, each once."""
        merged = dict.fromkeys((*self.signatures, *more))
        return Checkpoint(self.origin, self.size, self.root, tuple(merged))


@dataclass(frozen=True, slots=True)
class Growth:
    """A witness's question: did this log grow out of that of `earlier` leaves, by this proof."""

    earlier: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint

    @property
    def body(self) -> str:
        """The request as a file, in the form of tlog-witness."""
        hashes = "".join(f"{base64.b64encode(part).decode()}\n" for part in self.proof)
        return f"old {self.earlier}\n{hashes}\n{self.checkpoint.note}"


def public_key(vkey: str) -> PublicKey:
    """Return the key that `vkey` spells. Raises `log_key_unreadable`."""
    found = _VKEY.fullmatch(vkey.strip())
    raw = _base64(found[3]) if found else None
    if found is None or raw is None or len(raw) != KEY_BYTES + 1:
        raise KEY_UNREADABLE.refusal(key=vkey[:40])
    key = PublicKey(found[1], raw[0], raw[1:])
    if key.key_id.hex() != found[2] or key.kind not in (LOG_KEY, WITNESS_KEY):
        raise KEY_UNREADABLE.refusal(key=vkey[:40])
    return key


def public_key_of(name: str, kind: int, private: Ed25519PrivateKey) -> PublicKey:
    """Return the public half of a log's (`LOG_KEY`) or a witness's (`WITNESS_KEY`) key."""
    return PublicKey(name, kind, private.public_key().public_bytes_raw())


def sign(checkpoint: Checkpoint, private: Ed25519PrivateKey) -> Signature:
    """Return the log's signature of its checkpoint; the key bears the log's name."""
    key = public_key_of(checkpoint.origin, LOG_KEY, private)
    return Signature(key.name, key.key_id, private.sign(checkpoint.text.encode()))


def cosign(checkpoint: Checkpoint, name: str, private: Ed25519PrivateKey, at: int) -> Signature:
    """Return a witness's cosignature; `at` is the moment in seconds since 1970 (UTC)."""
    key = public_key_of(name, WITNESS_KEY, private)
    signature = private.sign(_cosigned(checkpoint, at))
    return Signature(name, key.key_id, at.to_bytes(STAMP_BYTES) + signature)


def require_signed(checkpoint: Checkpoint, key: PublicKey) -> int | None:
    """Refuse a checkpoint without a true signature of `key`; a false one beside it counts as none.

    Returns when a witness signed, in seconds since 1970, or None for a log's own signature. Raises
    `checkpoint_unsigned`.
    """
    lines = [s for s in checkpoint.signatures if (s.name, s.key_id) == (key.name, key.key_id)]
    stamps = [_checked(checkpoint, key, line.raw) for line in lines]
    is_other_log = key.kind == LOG_KEY and key.name != checkpoint.origin
    if not stamps or is_other_log or any(not true for true, _ in stamps):
        raise CHECKPOINT_UNSIGNED.refusal(name=key.name)
    return stamps[-1][1]


def require_growth(growth: Growth, earlier: Checkpoint | None) -> None:
    """Refuse a log that does not continue the checkpoint a witness saw last (None: the first).

    Raises `checkpoint_inconsistent`.
    """
    new = growth.checkpoint
    if earlier is None:
        return
    sound = (
        new.origin == earlier.origin
        and growth.earlier == earlier.size
        and verify_consistency(earlier.size, new.size, growth.proof, earlier.root, new.root)
    )
    if not sound:
        raise CHECKPOINT_INCONSISTENT.refusal(size=new.size, earlier=earlier.size)


def parse_checkpoint(note: str) -> Checkpoint:
    """Return the checkpoint of a note; nothing is verified. Raises `checkpoint_unreadable`."""
    text, blank, lines = note.rpartition("\n\n")
    body = text.split("\n")
    if not blank or len(body) != 3 or not all(body):  # noqa: PLR2004 - origin, size, root
        raise CHECKPOINT_UNREADABLE.refusal(why="it has not three lines, then an empty one")
    origin, size, root = body[0], body[1], _base64(body[2])
    if not _SIZE.fullmatch(size) or root is None or len(root) != HASH_BYTES:
        raise CHECKPOINT_UNREADABLE.refusal(why="its size or its root is none")
    return Checkpoint(origin, int(size), root, tuple(parse_signatures(lines)))


def parse_signatures(text: str) -> list[Signature]:
    """Return the signature lines of `text`. Raises `checkpoint_unreadable`."""
    lines = text.removesuffix("\n").split("\n")
    found = []
    for line in lines[:SIGNATURES_MAX]:
        matched = _LINE.fullmatch(line)
        raw = _base64(matched[2]) if matched else None
        if matched is None or raw is None or len(raw) <= ID_BYTES:
            raise CHECKPOINT_UNREADABLE.refusal(why="a signature line is damaged")
        found.append(Signature(matched[1], raw[:ID_BYTES], raw[ID_BYTES:]))
    return found


def parse_growth(body: str) -> Growth:
    """Return what a witness is asked. Raises `checkpoint_unreadable`."""
    head, blank, note = body.partition("\n\n")
    first, *hashes = head.split("\n")
    proof = [_base64(line) for line in hashes]
    earlier = first.removeprefix("old ")
    if not blank or not first.startswith("old ") or not _SIZE.fullmatch(earlier):
        raise CHECKPOINT_UNREADABLE.refusal(why="it does not begin with the size seen before")
    sound = [part for part in proof if part is not None and len(part) == HASH_BYTES]
    if len(sound) != len(proof):
        raise CHECKPOINT_UNREADABLE.refusal(why="a hash of the proof is damaged")
    return Growth(int(earlier), tuple(sound), parse_checkpoint(note))


def _checked(checkpoint: Checkpoint, key: PublicKey, raw: bytes) -> tuple[bool, int | None]:
    at = int.from_bytes(raw[:STAMP_BYTES]) if key.kind == WITNESS_KEY else None
    message = checkpoint.text.encode() if at is None else _cosigned(checkpoint, at)
    signature = raw[-SIGNATURE_BYTES:]
    if len(raw) != SIGNATURE_BYTES + (0 if at is None else STAMP_BYTES):
        return False, at
    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, message)
    except InvalidSignature:
        return False, at
    return True, at


def _cosigned(checkpoint: Checkpoint, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{checkpoint.text}".encode()


def _base64(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
