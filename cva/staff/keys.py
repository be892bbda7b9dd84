"""A person's signing key: Ed25519, sealed under their passphrase.

The private key never stands in the database in clear: it is sealed with AES-256-GCM under a key
that Argon2id derives from the passphrase, so that whoever reads the table must try passphrases at
64 MiB and three passes each. A signature is therefore a person's own act; the application cannot
sign for anybody who did not just type their passphrase.

Sealed form: 16 bytes salt, 12 bytes nonce, 48 bytes sealed key; the person's id is authenticated.

Sources: RFC 8032 (Ed25519); OWASP Password Storage Cheat Sheet (Argon2id, at least 46 MiB
with one lane and one pass; here 64 MiB and three passes); NIST SP 800-63B-4 section 3.1.1 (length
is what counts in a passphrase).
"""

import os
import unicodedata

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from psycopg import Connection

from ledgers.problems import Answer, Problem

PERSON_UNKNOWN = Problem(
    "person_unknown",
    "Nobody works here under {who}.",
    "List the people, or ask an administrator to add them.",
    Answer.NOT_FOUND,
)
PASSPHRASE_WRONG = Problem(
    "passphrase_wrong",
    "The passphrase of {person} does not fit.",
    "Type it again; nobody can tell it to you, an administrator can only add you anew.",
    Answer.NOT_PERMITTED,
)
PASSPHRASE_SHORT = Problem(
    "passphrase_short",
    "The passphrase has fewer than {least} characters.",
    "Choose a longer one, for instance four words that do not belong together.",
    Answer.USAGE,
)

PASSPHRASE_CHARACTERS_MIN = 12
SALT_BYTES = 16
NONCE_BYTES = 12
KEY_BYTES = 32
PASSES = 3
LANES = 1  # more lanes share one pool of threads in OpenSSL, where two people at once wait for ever
MEMORY_KIB = 64 * 1024


def new_sealed_key(person_id: str, passphrase: str) -> tuple[bytes, bytes]:
    """Return a new key pair: the public key (32 bytes) and the private key sealed.

    Raises `passphrase_short`.
    """
    if len(passphrase.strip()) < PASSPHRASE_CHARACTERS_MIN:
        raise PASSPHRASE_SHORT.refusal(least=PASSPHRASE_CHARACTERS_MIN)
    private = Ed25519PrivateKey.generate()
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    cipher = AESGCM(_derived(passphrase, salt))
    sealed = cipher.encrypt(nonce, private.private_bytes_raw(), person_id.encode())
    return private.public_key().public_bytes_raw(), salt + nonce + sealed


def opened_key(person_id: str, sealed_key: bytes, passphrase: str) -> Ed25519PrivateKey:
    """Return the private key. Raises `passphrase_wrong`."""
    salt, nonce = sealed_key[:SALT_BYTES], sealed_key[SALT_BYTES : SALT_BYTES + NONCE_BYTES]
    cipher = AESGCM(_derived(passphrase, salt))
    try:
        raw = cipher.decrypt(nonce, sealed_key[SALT_BYTES + NONCE_BYTES :], person_id.encode())
    except InvalidTag:
        raise PASSPHRASE_WRONG.refusal(person=person_id) from None
    return Ed25519PrivateKey.from_private_bytes(raw)


def sign(conn: Connection, person_id: str, passphrase: str, message: bytes) -> bytes:
    """Return the person's signature (64 bytes) of `message`.

    Raises `person_unknown`, `passphrase_wrong`.
    """
    return opened_key(person_id, _sealed_key_of(conn, person_id), passphrase).sign(message)


def check_passphrase(conn: Connection, person_id: str, passphrase: str) -> None:
    """Refuse whoever does not know the person's passphrase.

    Raises `person_unknown`, `passphrase_wrong`.
    """
    opened_key(person_id, _sealed_key_of(conn, person_id), passphrase)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether `signature` of `message` was made with the private key of `public_key`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _sealed_key_of(conn: Connection, person_id: str) -> bytes:
    row = conn.execute(
        "SELECT sealed_key FROM staff.person WHERE person_id = %s", (person_id,)
    ).fetchone()
    if row is None:
        raise PERSON_UNKNOWN.refusal(who=person_id)
    return bytes(row[0])


def _derived(passphrase: str, salt: bytes) -> bytes:
    # The same passphrase typed on another keyboard may come in another Unicode form.
    text = unicodedata.normalize("NFKC", passphrase).encode()
    derivation = Argon2id(
        salt=salt, length=KEY_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return derivation.derive(text)
