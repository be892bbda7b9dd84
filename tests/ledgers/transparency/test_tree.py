"""The tree is that of RFC 6962: published vectors, and the RFC's own definition as the oracle."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.transparency.tree import (
    EMPTY_ROOT,
    Frontier,
    complete_parts,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    subtree_of,
    verify_consistency,
    verify_inclusion,
)

# The inputs and roots of google/certificate-transparency, merkletree_test.cc.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# (leaf, size): the path.
PATHS = {
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
}
# (earlier, size): the proof.
CONSISTENT = {
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(count)]


def mth(hashes: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 2.1, over leaf hashes."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = largest_power_below(len(hashes))
    return hashlib.sha256(b"\x01" + mth(hashes[:split]) + mth(hashes[split:])).digest()


def path(position: int, hashes: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962 2.1.1."""
    if len(hashes) == 1:
        return []
    split = largest_power_below(len(hashes))
    if position < split:
        return [*path(position, hashes[:split]), mth(hashes[split:])]
    return [*path(position - split, hashes[split:]), mth(hashes[:split])]


def subproof(earlier: int, hashes: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962 2.1.2."""
    if earlier == len(hashes):
        return [] if whole else [mth(hashes)]
    split = largest_power_below(len(hashes))
    if earlier <= split:
        return [*subproof(earlier, hashes[:split], whole=whole), mth(hashes[split:])]
    return [*subproof(earlier - split, hashes[split:], whole=False), mth(hashes[:split])]


def largest_power_below(size: int) -> int:
    power = 1
    while power * 2 < size:
        power *= 2
    return power


def test_published_roots() -> None:
    hashes = [leaf_hash(data) for data in INPUTS]
    assert [root_of(hashes[:size]).hex() for size in range(1, 9)] == ROOTS
    assert root_of([]) == EMPTY_ROOT == hashlib.sha256(b"").digest()


@pytest.mark.parametrize(("position", "size"), PATHS)
def test_published_paths(position: int, size: int) -> None:
    hashes = [leaf_hash(data) for data in INPUTS]
    proof = inclusion_proof(position, size, subtree_of(hashes))
    root = bytes.fromhex(ROOTS[size - 1])
    assert [part.hex() for part in proof] == PATHS[position, size]
    assert verify_inclusion(position, size, hashes[position], proof, root)
    assert not verify_inclusion(position - 1, size, hashes[position], proof, root)


@pytest.mark.parametrize(("earlier", "size"), CONSISTENT)
def test_published_consistency(earlier: int, size: int) -> None:
    hashes = [leaf_hash(data) for data in INPUTS]
    proof = consistency_proof(earlier, size, subtree_of(hashes))
    roots = bytes.fromhex(ROOTS[earlier - 1]), bytes.fromhex(ROOTS[size - 1])
    assert [part.hex() for part in proof] == CONSISTENT[earlier, size]
    assert verify_consistency(earlier, size, proof, *roots)
    assert not verify_consistency(earlier, size, proof, *reversed(roots))


@given(st.integers(1, 130), st.data())
def test_inclusion_is_the_definition(size: int, data: st.DataObject) -> None:
    hashes, position = leaves(size), data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(position, size, subtree_of(hashes)), root_of(hashes)
    assert root == mth(hashes)
    assert proof == path(position, hashes)
    assert verify_inclusion(position, size, hashes[position], proof, root)
    other = data.draw(st.integers(-1, size + 1).filter(lambda place: place != position))
    assert not verify_inclusion(other, size, hashes[position], proof, root)
    assert not verify_inclusion(position, size, leaf_hash(b"another"), proof, root)
    assert not verify_inclusion(position, size, hashes[position], [*proof, root], root)
    if proof:
        cut = data.draw(st.integers(0, len(proof) - 1))
        shorter = proof[:cut] + proof[cut + 1 :]
        assert not verify_inclusion(position, size, hashes[position], shorter, root)
        swapped = [*proof[:cut], leaf_hash(proof[cut]), *proof[cut + 1 :]]
        assert not verify_inclusion(position, size, hashes[position], swapped, root)


@given(st.integers(1, 130), st.data())
def test_consistency_is_the_definition(size: int, data: st.DataObject) -> None:
    hashes, earlier = leaves(size), data.draw(st.integers(1, size))
    proof = consistency_proof(earlier, size, subtree_of(hashes))
    roots = root_of(hashes[:earlier]), root_of(hashes)
    assert proof == subproof(earlier, hashes)
    assert verify_consistency(earlier, size, proof, *roots)
    changed = data.draw(st.integers(0, earlier - 1))
    forked = [*hashes[:changed], leaf_hash(b"another"), *hashes[changed + 1 :]]
    honest = consistency_proof(earlier, size, subtree_of(forked))
    assert not verify_consistency(earlier, size, honest, roots[0], root_of(forked))
    assert not verify_consistency(earlier, size, [*proof, roots[0]], *roots)
    assert not verify_consistency(earlier, size, proof[:-1], *roots) or not proof


def test_cut_tree_is_consistent_with_nothing_larger() -> None:
    hashes = leaves(7)
    assert not verify_consistency(7, 5, [], root_of(hashes), root_of(hashes[:5]))
    assert verify_consistency(0, 5, [], EMPTY_ROOT, root_of(hashes[:5]))
    assert not verify_consistency(0, 5, [], hashes[0], root_of(hashes[:5]))
    assert not verify_consistency(3, 5, [], root_of(hashes[:3]), root_of(hashes[:5]))
    assert not verify_consistency(4, 5, [], root_of(hashes[:4]), root_of(hashes[:5]))


@given(st.integers(0, 200))
def test_frontier_grows_leaf_by_leaf(size: int) -> None:
    hashes, frontier = leaves(size), Frontier()
    made = [frontier.append(hashed) for hashed in hashes]
    assert (frontier.size, frontier.root()) == (size, mth(hashes))
    assert len(frontier.subtrees) == size.bit_count()
    for position, nodes in enumerate(made):
        for level, node in enumerate(nodes):
            assert node == mth(hashes[position + 1 - (1 << level) : position + 1])


@given(st.integers(1, 5000), st.data())
def test_subtree_is_made_of_complete_nodes(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, 9)) << (size - 1).bit_length()
    parts = complete_parts(first, first + size)
    covered = [leaf for level, index in parts
               for leaf in range(index << level, (index + 1) << level)]  # fmt: skip
    assert covered == list(range(first, first + size))
    assert len(parts) == size.bit_count()


@pytest.mark.parametrize(("earlier", "size"), [(0, 3), (4, 3)])
def test_proof_of_what_is_not_there_is_an_error(earlier: int, size: int) -> None:
    hashes = leaves(5)
    with pytest.raises(ValueError, match="consistency"):
        consistency_proof(earlier, size, subtree_of(hashes))
    with pytest.raises(ValueError, match="inclusion"):
        inclusion_proof(size, size, subtree_of(hashes))
    assert node_hash(hashes[0], hashes[1]) == root_of(hashes[:2])
