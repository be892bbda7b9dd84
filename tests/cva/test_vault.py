"""The vault: what is sealed opens only where it belongs, and only under its own master key."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from cva import vault
from cva.vault import Personal, Vault
from ledgers.problems import Refusal

AT = datetime(2026, 3, 5, 9, tzinfo=UTC)
MASTER = bytes(range(32))
HOUSEHOLD = "hh_01kjykkbm00000000000000000"
NEIGHBOUR = "hh_01kjykkbm00000000000000001"
HADDAD = Personal(
    {"phone": "+905321234567", "voucher_card_ref": "VC-00001234"},
    [{"given_name": "Layla", "family_name": "Haddad", "id_number": "99000000000"}],
)


@pytest.fixture
def own() -> Vault:
    return Vault(MASTER)


def sealed(own: Vault, household_id: str = HOUSEHOLD, revision: str = "r1") -> tuple[bytes, bytes]:
    key, wrapped = own.new_household_key(household_id)
    return wrapped, own.seal_household(key, household_id, revision, HADDAD)


def test_household_opens_again(own: Vault) -> None:
    assert own.open_household(HOUSEHOLD, "r1", *sealed(own)) == HADDAD


def test_personal_names_payee_and_destination() -> None:
    assert (HADDAD.payee_name(), HADDAD.destination("voucher_card_ref")) == (
        "Layla Haddad",
        "VC-00001234",
    )
    assert HADDAD.destination("iban") == ""


@pytest.mark.parametrize(
    ("household_id", "revision"), [(NEIGHBOUR, "r1"), (HOUSEHOLD, "r2")], ids=["other", "revision"]
)
def test_sealed_text_moved_elsewhere_does_not_open(
    own: Vault, household_id: str, revision: str
) -> None:
    key, wrapped = own.new_household_key(household_id)
    moved = own.seal_household(key, HOUSEHOLD, "r1", HADDAD)
    with pytest.raises(Refusal, match="sealed_damaged"):
        own.open_household(household_id, revision, wrapped, moved)


def test_sealed_text_with_one_bit_changed_does_not_open(own: Vault) -> None:
    wrapped, text = sealed(own)
    for position in (0, 12, len(text) - 1):
        changed = bytearray(text)
        changed[position] ^= 1
        with pytest.raises(Refusal, match="sealed_damaged"):
            own.open_household(HOUSEHOLD, "r1", wrapped, bytes(changed))


def test_wrapped_key_of_another_household_does_not_open(own: Vault) -> None:
    _, text = sealed(own)
    _, wrapped = own.new_household_key(NEIGHBOUR)
    with pytest.raises(Refusal, match="sealed_damaged"):
        own.open_household(HOUSEHOLD, "r1", wrapped, text)


def test_equal_households_are_sealed_differently(own: Vault) -> None:
    key, _ = own.new_household_key(HOUSEHOLD)
    texts = {own.seal_household(key, HOUSEHOLD, "r1", HADDAD) for _ in range(50)}
    assert len(texts) == 50


def test_nothing_personal_in_a_repr(own: Vault) -> None:
    shown = f"{own!r} {HADDAD!r}"
    assert "Vault(…)" in shown
    for secret in ("Layla", "Haddad", "532", "VC-", repr(MASTER), MASTER.hex()):
        assert secret not in shown


def test_token_depends_on_kind_value_and_master_key(own: Vault) -> None:
    tokens = [
        own.token("phone", "+905321234567"),
        own.token("iban", "+905321234567"),
        own.token("phone", "+905321234568"),
        Vault(bytes(32)).token("phone", "+905321234567"),
    ]
    assert {len(token) for token in tokens} == {16}
    assert len(set(tokens)) == 4
    assert own.token("phone", "+905321234567") == Vault(MASTER).token("phone", "+905321234567")


def test_record_token_keeps_form_and_identity_apart(own: Vault) -> None:
    assert own.record_token("a", "b1") != own.record_token("ab", "1")


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 5_000_001])
def test_document_opens_again(own: Vault, size: int) -> None:
    # Digests do not compress, so the larger ones take several chunks.
    content = b"".join(hashlib.sha256(bytes([n % 251, n // 251 % 251, n // 63001])).digest()
                       for n in range(size // 32 + 1))[:size]  # fmt: skip
    digest = hashlib.sha256(content).digest()
    assert own.open_document("bank", digest, own.seal_document("bank", digest, content)) == content


def test_document_cut_or_reordered_or_of_another_provider_does_not_open(own: Vault) -> None:
    content = b"".join(hashlib.sha256(n.to_bytes(4)).digest() for n in range(100_000))
    digest = hashlib.sha256(content).digest()
    text = own.seal_document("bank", digest, content)
    chunk = vault.CHUNK_BYTES + vault.NONCE_BYTES + vault.TAG_BYTES
    assert len(text) > 3 * chunk
    swapped = text[chunk : 2 * chunk] + text[:chunk] + text[2 * chunk :]
    for changed in (text[: 2 * chunk], swapped, text[chunk:], b""):
        with pytest.raises(Refusal, match="sealed_damaged"):
            own.open_document("bank", digest, changed)
    with pytest.raises(Refusal, match="sealed_damaged"):
        own.open_document("cards", digest, text)


def test_recovery_sheet_gives_the_key_back_however_it_is_typed(own: Vault) -> None:
    sheet = own.recovery_sheet()
    assert sheet.splitlines()[0] == "1 0001 0203 0405 0607 a850"
    assert vault.key_of_sheet(sheet) == MASTER
    assert vault.key_of_sheet(sheet.upper().replace(" ", "  ") + "\n\n") == MASTER


def test_recovery_sheet_with_a_typing_error_names_the_line(own: Vault) -> None:
    lines = own.recovery_sheet().splitlines()
    wrong = [*lines[:2], lines[2].replace("1011", "1010"), lines[3]]
    for text in ("\n".join(wrong), "\n".join([*lines[:2], "3 what"]), "\n".join(lines[:2])):
        with pytest.raises(Refusal, match="recovery_sheet_unreadable") as refused:
            vault.key_of_sheet(text)
        assert refused.value.facts == {"line": 3}


def test_key_file_is_closed_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "master.key"
    made = vault.create_key_file(path)
    assert (path.stat().st_mode & 0o777, path.stat().st_size) == (0o600, 32)
    assert vault.open_key_file(path).fingerprint == made.fingerprint
    with pytest.raises(Refusal, match="master_key_exists"):
        vault.write_key_file(path, MASTER)
    assert vault.open_key_file(path).fingerprint == made.fingerprint


def test_key_file_missing_open_or_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    with pytest.raises(Refusal, match=r"master_key_missing: .* read .* here or in any backup"):
        vault.open_key_file(path)
    path.write_bytes(MASTER)
    path.chmod(0o640)
    with pytest.raises(Refusal, match="master_key_open_to_others"):
        vault.open_key_file(path)
    path.chmod(0o600)
    path.write_bytes(MASTER[:31])
    with pytest.raises(Refusal, match="master_key_unreadable"):
        vault.open_key_file(path)


def test_database_is_bound_to_one_master_key(app: psycopg.Connection, own: Vault) -> None:
    with pytest.raises(Refusal, match="database_without_key"):
        vault.check_bound(app, own)
    vault.bind(app, own, AT)
    vault.bind(app, own, AT)
    vault.check_bound(app, own)
    for refused in (vault.check_bound, lambda conn, other: vault.bind(conn, other, AT)):
        with pytest.raises(Refusal, match="master_key_differs"):
            refused(app, Vault(bytes(32)))
