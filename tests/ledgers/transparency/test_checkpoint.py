"""Checkpoints are C2SP's notes: published examples, and what is not true is refused."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledgers.problems import Refusal
from ledgers.transparency import tree
from ledgers.transparency.checkpoint import (
    LOG_KEY,
    WITNESS_KEY,
    Checkpoint,
    Growth,
    PublicKey,
    cosign,
    parse_checkpoint,
    parse_growth,
    parse_signatures,
    public_key,
    public_key_of,
    require_growth,
    require_signed,
    sign,
)

ORIGIN, WITNESS = "amal.example/books", "witness.other.example/w1"
LOG = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
NOON = 1_774_000_000
# The example of C2SP tlog-cosignature.
PUBLISHED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2"
    "q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2o"
    "yin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
# The verifier key of golang.org/x/mod/sumdb/note, whose note signs another text.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def leaves(count: int) -> list[bytes]:
    return [tree.leaf_hash(bytes([number])) for number in range(count)]


def checkpoint(size: int) -> Checkpoint:
    unsigned = Checkpoint(ORIGIN, size, tree.root_of(leaves(size)))
    return unsigned.signed_by([sign(unsigned, LOG)])


def growth(earlier: int, size: int) -> Growth:
    proof = tree.consistency_proof(earlier, size, tree.subtree_of(leaves(size))) if earlier else []
    return Growth(earlier, tuple(proof), checkpoint(size))


def code_of(refused: pytest.ExceptionInfo[Refusal]) -> str:
    return refused.value.problem.code


def test_published_example_is_read_and_written_alike() -> None:
    found = parse_checkpoint(PUBLISHED)
    assert (found.origin, found.size) == ("example.com/behind-the-sofa", 20_852_163)
    assert found.note == PUBLISHED
    assert found.signatures[1].raw[:8] == (1_679_315_147).to_bytes(8)


def test_published_key_has_its_hash() -> None:
    key = public_key(GO_KEY)
    assert (key.name, key.kind, key.vkey) == ("PeterNeumann", LOG_KEY, GO_KEY)


def test_signature_of_the_published_note_is_true() -> None:
    (line,) = parse_signatures(
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotp"
        "RZb6KE6RyyBwJnAM=\n"
    )
    key = public_key(GO_KEY)
    assert (line.name, line.key_id) == (key.name, key.key_id)
    Ed25519PublicKey.from_public_bytes(key.raw).verify(
        line.raw,
        b"If you think cryptography is the answer to your problem,\n"
        b"then you don't know what your problem is.\n",
    )


def test_log_signs_and_witness_cosigns() -> None:
    first = checkpoint(5)
    cosigned = first.signed_by([cosign(first, WITNESS, OTHER, NOON)])
    again = parse_checkpoint(cosigned.note)
    assert again == cosigned
    assert require_signed(again, public_key_of(ORIGIN, LOG_KEY, LOG)) is None
    assert require_signed(again, public_key_of(WITNESS, WITNESS_KEY, OTHER)) == NOON


@pytest.mark.parametrize(
    "key",
    [
        public_key_of(ORIGIN, LOG_KEY, OTHER),
        public_key_of("another.example/books", LOG_KEY, LOG),
        public_key_of(WITNESS, WITNESS_KEY, OTHER),
        public_key_of(ORIGIN, WITNESS_KEY, LOG),
    ],
)
def test_signature_of_somebody_else_does_not_count(key: PublicKey) -> None:
    with pytest.raises(Refusal) as refused:
        require_signed(checkpoint(5), key)
    assert code_of(refused) == "checkpoint_unsigned"


def test_signature_under_another_text_is_false() -> None:
    signed = checkpoint(5)
    cosigned = cosign(signed, WITNESS, OTHER, NOON)
    forged = Checkpoint(ORIGIN, 6, signed.root, (*signed.signatures, cosigned))
    for key in (
        public_key_of(ORIGIN, LOG_KEY, LOG),
        public_key_of(WITNESS, WITNESS_KEY, OTHER),
    ):
        with pytest.raises(Refusal) as refused:
            require_signed(forged, key)
        assert code_of(refused) == "checkpoint_unsigned"


def test_witness_sees_growth_and_refuses_another_history() -> None:
    seen = checkpoint(5)
    asked = parse_growth(growth(5, 9).body)
    assert asked == growth(5, 9)
    require_growth(asked, seen)
    require_growth(growth(5, 5), seen)
    require_growth(growth(0, 9), None)
    forked = Checkpoint(ORIGIN, 9, tree.root_of([tree.leaf_hash(b"x"), *leaves(9)[1:]]))
    for wrong in (
        Growth(5, asked.proof, forked),
        Growth(4, asked.proof, asked.checkpoint),
        Growth(0, (), asked.checkpoint),
        Growth(5, asked.proof[1:], asked.checkpoint),
        Growth(5, (), checkpoint(4)),
        Growth(5, asked.proof, Checkpoint("another.example/books", 9, asked.checkpoint.root)),
    ):
        with pytest.raises(Refusal) as refused:
            require_growth(wrong, seen)
        assert code_of(refused) == "checkpoint_inconsistent"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\n\n—", "\n—"),
        ("20852163", "020852163"),
        ("20852163", "-1"),
        ("CsUY", "sUY"),
        ("CsUYap", "C UYap"),
        ("— example", "- example"),
        ("Az3g", "A=3g"),
        ("\n2085", "\nmore\n2085"),
        ("sofa\n2", "sofa\n\n2"),
        ("YQ8=", "YQ9="),
    ],
)
def test_what_is_no_checkpoint_is_refused(old: str, new: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_checkpoint(PUBLISHED.replace(old, new, 1))
    assert code_of(refused) == "checkpoint_unreadable"


@pytest.mark.parametrize(
    ("old", "new"), [("old 5", "5"), ("old 5", "old x"), ("=\n", "\n"), ("\n\n", "\n")]
)
def test_what_no_witness_can_read_is_refused(old: str, new: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_growth(growth(5, 9).body.replace(old, new, 1))
    assert code_of(refused) == "checkpoint_unreadable"


@pytest.mark.parametrize(
    "vkey",
    [
        "", "name+c74f20a3", GO_KEY.replace("c74f", "c74e"), GO_KEY[:-4],
        GO_KEY.replace("+A", "+B"),
        "name+" + "0" * 8 + "+" + base64.b64encode(b"\x01short").decode(),
    ],
)  # fmt: skip
def test_key_with_an_error_is_refused(vkey: str) -> None:
    with pytest.raises(Refusal) as refused:
        public_key(vkey)
    assert code_of(refused) == "log_key_unreadable"
