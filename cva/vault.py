"""Personal data under lock: who can open what, and what a stolen dump tells (nothing).

* The *master key* (32 bytes) is in a file outside the database, mode 0600. Subkeys for each use
  are derived from it (HKDF-SHA256), so that no key ever serves two ends. Where it is lost with its
  recovery sheet, nothing sealed opens again, here or in any backup, earlier ones included.
* Every household has a *data key* of its own, random, wrapped by the master key. Destroying that
  one row makes everything sealed about the household unreadable, here and in every backup made
  afterwards; a backup made before still holds the row.
* The personal fields of a household version are one *sealed* text: AES-256-GCM with a random
  96-bit nonce. What it belongs to (table, column, household, revision) is authenticated with it,
  so a sealed text that is moved to another household does not open.
* A *token* is an HMAC-SHA256 of a normalised identifier, cut to 16 bytes, under a key of its own
  for each kind: equality can be asked in SQL, and without the master key nothing can be guessed.
* Provider documents are compressed and sealed in chunks of 1 MiB, each chunk bound to its place,
  so that none can be cut off, swapped or repeated unseen.
* Backups of the database are sealed under a key of their own, see `cva.backup`.

A database is bound to its master key by a *fingerprint* (an HMAC of a constant); another key is
refused before anything is written that nobody could read again.

Sources: NIST SP 800-38D (GCM, 96-bit nonces), RFC 5869 (HKDF), NIST SP 800-108 (separate keys).
"""

import hashlib
import hmac
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from psycopg import Connection

from ledgers.problems import Answer, Problem

MASTER_KEY_MISSING = Problem(
    "master_key_missing",
    "The master key is not in {path}.",
    "Point CVA_KEY_FILE at the key file, or restore it from the printed recovery sheet; without"
    " either, nobody can read names and accounts again, here or in any backup.",
)
MASTER_KEY_OPEN = Problem(
    "master_key_open_to_others",
    "The key file {path} can be read by other users of this machine.",
    "Close it: chmod 600 {path}",
)
MASTER_KEY_UNREADABLE = Problem(
    "master_key_unreadable",
    "The file {path} does not hold a master key of 32 bytes.",
    "Restore it from the printed recovery sheet.",
)
MASTER_KEY_EXISTS = Problem(
    "master_key_exists",
    "There is a key file at {path} already; it is not overwritten.",
    "Use the key that is there, or name another place with CVA_KEY_FILE.",
)
MASTER_KEY_DIFFERS = Problem(
    "master_key_differs",
    "This master key is not the one the database was made with.",
    "Point CVA_KEY_FILE at the right key file, or restore it from its recovery sheet.",
)
DATABASE_WITHOUT_KEY = Problem(
    "database_without_key",
    "The database was never bound to a master key.",
    "Run `cva init` first.",
)
SHEET_UNREADABLE = Problem(
    "recovery_sheet_unreadable",
    "Line {line} of the recovery sheet does not fit its check group.",
    "Compare the line with the printed sheet, character by character.",
    Answer.USAGE,
)
SEALED_DAMAGED = Problem(
    "sealed_damaged",
    "The sealed data of {object_id} do not open: they were changed, or moved from elsewhere.",
    "Restore the database from a backup and tell the administrator.",
)

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
TOKEN_BYTES = 16
CHUNK_BYTES = 1 << 20
SHEET_LINES = 4
GROUP = 4


@dataclass(frozen=True, slots=True)
class Personal:
    """What a household keeps under seal; absent fields are unknown.

    `fields`: address, phone, iban, account_holder, voucher_card_ref, debit_card_ref. `members`, in
    their order: given_name, family_name, full_name, id_type, id_number. `recipient` is the number
    of the member who receives (from 1): the head, or the first who is named.
    """

    fields: Mapping[str, str] = field(repr=False)
    members: Sequence[Mapping[str, str]] = field(repr=False)
    recipient: int = 1

    def destination(self, name: str) -> str:
        """Return where money goes: the field `name`, empty where nothing was given."""
        return self.fields.get(name, "")

    def payee_name(self) -> str:
        """Return the account holder's name, or the recipient's as it was registered."""
        if holder := self.fields.get("account_holder"):
            return holder
        member = self.members[self.recipient - 1]
        parts = (member.get("given_name", ""), member.get("family_name", ""))
        return " ".join(filter(None, parts)) or member.get("full_name", "")


class Vault:
    """Seals and opens under one master key. Nothing of the key is in its `repr`."""

    __slots__ = ("_document_key", "_kinds", "_master", "_record_key", "_wrapping")

    def __init__(self, master: bytes) -> None:
        if len(master) != KEY_BYTES:
            message = f"a master key has {KEY_BYTES} bytes"
            raise ValueError(message)
        self._master = master
        self._wrapping = AESGCM(self._subkey("key wrapping"))
        self._record_key = self._subkey("record keys")
        self._document_key = AESGCM(self._subkey("documents"))
        self._kinds: dict[str, bytes] = {}

    def __repr__(self) -> str:
        return "Vault(…)"

    @property
    def fingerprint(self) -> bytes:
        """32 bytes that name the master key and tell nothing about it."""
        return hmac.digest(self._subkey("fingerprint"), b"cva master key", "sha256")

    def token(self, kind: str, normalised: str) -> bytes:
        """Return the 16 bytes that stand for an identifier of `kind` in the database."""
        key = self._kinds.get(kind)
        if key is None:
            key = self._kinds[kind] = self._subkey(f"identifier {kind}")
        return hmac.digest(key, normalised.encode(), "sha256")[:TOKEN_BYTES]

    def record_token(self, form: str, record_id: str) -> str:
        """Return the hexadecimal token of a record's identity at its source."""
        message = f"{len(form)}:{form}{record_id}".encode()
        return hmac.digest(self._record_key, message, "sha256")[:TOKEN_BYTES].hex()

    def new_household_key(self, household_id: str) -> tuple[bytes, bytes]:
        """Return a random data key and the same key wrapped, which is what is stored."""
        key = os.urandom(KEY_BYTES)
        return key, _seal(self._wrapping, key, _wrapping_place(household_id))

    def unwrap(self, household_id: str, wrapped: bytes) -> bytes:
        """Return the data key of a household. Raises `sealed_damaged`."""
        return _open(self._wrapping, wrapped, _wrapping_place(household_id), household_id)

    def seal_household(
        self, key: bytes, household_id: str, revision: str, personal: Personal
    ) -> bytes:
        """Return the sealed text of one household version; `key` is the household's data key."""
        content = {
            "fields": personal.fields, "members": personal.members,
            "recipient": personal.recipient,
        }  # fmt: skip
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return _seal(AESGCM(key), text, _version_place(household_id, revision))

    def open_household(
        self, household_id: str, revision: str, wrapped: bytes, sealed: bytes
    ) -> Personal:
        """Return the personal fields of a household version. Raises `sealed_damaged`."""
        key = self.unwrap(household_id, wrapped)
        place = _version_place(household_id, revision)
        return Personal(**json.loads(_open(AESGCM(key), sealed, place, household_id)))

    def seal_document(self, provider: str, sha256: bytes, content: bytes) -> bytes:
        """Return `content` compressed and sealed, bound to `provider` and its own `sha256`."""
        squeezed = zlib.compress(content, 6)
        place = _document_place(provider, sha256)
        return b"".join(
            _seal(self._document_key, chunk, place + mark)
            for chunk, mark in _chunks(squeezed, CHUNK_BYTES)
        )

    def open_document(self, provider: str, sha256: bytes, sealed: bytes) -> bytes:
        """Return what `seal_document` was given. Raises `sealed_damaged`."""
        place = _document_place(provider, sha256)
        size = CHUNK_BYTES + NONCE_BYTES + TAG_BYTES
        squeezed = b"".join(
            _open(self._document_key, chunk, place + mark, f"a document of {provider}")
            for chunk, mark in _chunks(sealed, size)
        )
        return zlib.decompress(squeezed)

    def seal_signing_key(self, use: str, name: str, private: bytes) -> bytes:
        """Return the installation's own signing key sealed, bound to its use and its name."""
        cipher = AESGCM(self._subkey("signing keys"))
        return _seal(cipher, private, _signing_place(use, name))

    def open_signing_key(self, use: str, name: str, sealed: bytes) -> bytes:
        """Return what `seal_signing_key` was given. Raises `sealed_damaged`."""
        cipher = AESGCM(self._subkey("signing keys"))
        return _open(cipher, sealed, _signing_place(use, name), f"the signing key of {name}")

    def backup_cipher(self) -> AESGCM:
        """Return the cipher of backup files, under a key that serves nothing else."""
        return AESGCM(self._subkey("backups"))

    def recovery_sheet(self) -> str:
        """Return the master key as a person can print it, keep it in a safe and type it again."""
        return "\n".join(
            " ".join([str(number), *_groups(part.hex()), _check(number, part)])
            for number, part in enumerate(_sheet_parts(self._master), start=1)
        )

    def _subkey(self, use: str) -> bytes:
        derivation = HKDF(SHA256(), KEY_BYTES, salt=None, info=f"cva/v1/{use}".encode())
        return derivation.derive(self._master)


def create_key_file(path: Path) -> Vault:
    """Write a new random master key to `path` (0600). Raises `master_key_exists`."""
    return write_key_file(path, os.urandom(KEY_BYTES))


def write_key_file(path: Path, master: bytes) -> Vault:
    """Write `master` to `path` (0600), for good or not at all. Raises `master_key_exists`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise MASTER_KEY_EXISTS.refusal(path=path) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(master)
        file.flush()
        os.fsync(descriptor)
    return Vault(master)


def open_key_file(path: Path) -> Vault:
    """Return the vault of the key in `path`.

    Raises `master_key_missing`, `master_key_open_to_others`, `master_key_unreadable`.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, PermissionError):
        raise MASTER_KEY_MISSING.refusal(path=path) from None
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise MASTER_KEY_OPEN.refusal(path=path)
        master = file.read(KEY_BYTES + 1)
    if len(master) != KEY_BYTES:
        raise MASTER_KEY_UNREADABLE.refusal(path=path)
    return Vault(master)


def bind(conn: Connection, vault: Vault, at: datetime) -> None:
    """Bind the database to the vault's master key; again with the same key changes nothing.

    Raises `master_key_differs`.
    """
    conn.execute(
        "INSERT INTO ops.vault_fingerprint (fingerprint, at) VALUES (%s, %s)"
        " ON CONFLICT DO NOTHING",
        (vault.fingerprint, at),
    )
    check_bound(conn, vault)


def check_bound(conn: Connection, vault: Vault) -> None:
    """Refuse a master key that is not the database's.

    Raises `database_without_key`, `master_key_differs`.
    """
    row = conn.execute("SELECT fingerprint FROM ops.vault_fingerprint").fetchone()
    if row is None:
        raise DATABASE_WITHOUT_KEY.refusal()
    if not hmac.compare_digest(bytes(row[0]), vault.fingerprint):
        raise MASTER_KEY_DIFFERS.refusal()


def key_of_sheet(text: str) -> bytes:
    """Return the master key that a recovery sheet holds; case and spaces do not matter.

    Raises `recovery_sheet_unreadable` with the number of the first line that does not fit.
    """
    typed = ["".join(line.split()).lower() for line in text.splitlines() if line.strip()]
    parts = []
    for number in range(1, SHEET_LINES + 1):
        line = typed[number - 1] if number <= len(typed) else ""
        digits, check = line[1:-GROUP], line[-GROUP:]
        try:
            part = bytes.fromhex(digits)
        except ValueError:
            part = b""
        size = KEY_BYTES // SHEET_LINES
        if line[:1] != str(number) or len(part) != size or _check(number, part) != check:
            raise SHEET_UNREADABLE.refusal(line=number)
        parts.append(part)
    return b"".join(parts)


def _sheet_parts(master: bytes) -> list[bytes]:
    size = KEY_BYTES // SHEET_LINES
    return [master[start : start + size] for start in range(0, KEY_BYTES, size)]


def _groups(digits: str) -> list[str]:
    return [digits[start : start + GROUP] for start in range(0, len(digits), GROUP)]


def _check(number: int, part: bytes) -> str:
    return hashlib.sha256(bytes([number]) + part).hexdigest()[:GROUP]


def _seal(cipher: AESGCM, content: bytes, place: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, content, place)


def _open(cipher: AESGCM, sealed: bytes, place: bytes, object_id: str) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except (InvalidTag, ValueError):
        raise SEALED_DAMAGED.refusal(object_id=object_id) from None


def _wrapping_place(household_id: str) -> bytes:
    return f"registry.household_key\0wrapped\0{household_id}".encode()


def _version_place(household_id: str, revision: str) -> bytes:
    return f"registry.version\0sealed\0{household_id}\0{revision}".encode()


def _signing_place(use: str, name: str) -> bytes:
    return f"ops.signing_key\0sealed\0{use}\0{name}".encode()


def _document_place(provider: str, sha256: bytes) -> bytes:
    return f"payments.document\0sealed\0{provider}\0".encode() + sha256


def _chunks(content: bytes, size: int) -> list[tuple[bytes, bytes]]:
    """Cut `content` into pieces of `size`, each with a mark of its place and of being the last."""
    starts = range(0, max(len(content), 1), size)
    last = len(starts) - 1
    return [
        (content[start : start + size], number.to_bytes(8) + bytes([number == last]))
        for number, start in enumerate(starts)
    ]
