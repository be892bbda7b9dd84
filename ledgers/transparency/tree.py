"""The Merkle tree of RFC 6962: roots, proofs, and checking them, in pure Python.

A leaf's hash is SHA-256 of 0x00 and its bytes, a node's that of 0x01 and its two children. The
*frontier* of a tree of n leaves are the roots of its complete subtrees, one for each bit of n,
here with the smallest subtree first; it is all one must keep to go on and to say the root.

Positions count from 0. Nodes are named by level (0: leaves) and index within the level; a node
(level, index) stands over the leaves index * 2**level up to the next node's.

Sources: RFC 6962 section 2.1, RFC 9162 section 2.1.3 to 2.1.4 (algorithms of the proofs).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Subtree = Callable[[int, int], bytes]  # (first leaf, leaf after the last) → root of that subtree


def leaf_hash(encoding: bytes) -> bytes:
    """Return the hash of a leaf of these bytes."""
    return hashlib.sha256(b"\x00" + encoding).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two nodes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that grows by leaf hashes and keeps only its frontier."""

    __slots__ = ("_subtrees", "size")

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []  # the largest first, so that growing works on the end

    @property
    def subtrees(self) -> list[bytes]:
        """The roots of the complete subtrees, the smallest first."""
        return self._subtrees[::-1]

    def append(self, hashed: bytes) -> list[bytes]:
        """Add a leaf's hash; return the nodes that are complete now, level 0 first."""
        made = [hashed]
        rest = self.size
        while rest & 1:
            hashed = hashlib.sha256(b"\x01" + self._subtrees.pop() + hashed).digest()
            made.append(hashed)
            rest >>= 1
        self._subtrees.append(hashed)
        self.size += 1
        return made

    def root(self) -> bytes:
        """Return the root of all leaves so far."""
        return root_of_frontier(self.subtrees)


def root_of_frontier(subtrees: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees, the smallest first."""
    if not subtrees:
        return EMPTY_ROOT
    root = subtrees[0]
    for left in subtrees[1:]:
        root = node_hash(left, root)
    return root


def root_of(hashes: Iterable[bytes]) -> bytes:
    """Return the root of a tree of these leaf hashes."""
    frontier = Frontier()
    for hashed in hashes:
        frontier.append(hashed)
    return frontier.root()


def subtree_of(hashes: Sequence[bytes]) -> Subtree:
    """Return how to ask for a subtree's root where all leaf hashes are at hand."""
    return lambda first, end: root_of(hashes[first:end])


def inclusion_proof(position: int, size: int, subtree: Subtree) -> list[bytes]:
    """Return the hashes that lead from the leaf at `position` to the root of `size` leaves.

    Raises ValueError where the tree has no such leaf.
    """
    if not 0 <= position < size:
        raise ValueError("a proof of inclusion needs a leaf of the tree")
    return [subtree(first, end) for first, end in _siblings(position, size)]


def consistency_proof(earlier: int, size: int, subtree: Subtree) -> list[bytes]:
    """Return the hashes that show that the tree of `earlier` leaves is the beginning of this one.

    Raises ValueError unless 0 < earlier <= size.
    """
    if not 0 < earlier <= size:
        raise ValueError("a proof of consistency needs an earlier tree that is not empty")
    first, end, whole = 0, size, True
    found: list[tuple[int, int]] = []
    while end != earlier:
        middle = first + _split(end - first)
        if earlier <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((first, middle))
            first, whole = middle, False
    if not whole:
        found.append((first, end))
    return [subtree(*part) for part in reversed(found)]


def root_of_proof(position: int, size: int, hashed: bytes, proof: Sequence[bytes]) -> bytes | None:
    """Return the root to which `proof` leads from the leaf at `position`, or None: it cannot."""
    if not 0 <= position < size:
        return None
    here, last = position, size - 1
    for sibling in proof:
        if not last:
            return None
        if here & 1 or here == last:
            hashed = node_hash(sibling, hashed)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            hashed = node_hash(hashed, sibling)
        here, last = here >> 1, last >> 1
    return None if last else hashed


def verify_inclusion(
    position: int, size: int, hashed: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Say whether `proof` shows that `hashed` is the leaf at `position` of the tree of `root`."""
    return root_of_proof(position, size, hashed, proof) == root


def verify_consistency(
    earlier: int, size: int, proof: Sequence[bytes], earlier_root: bytes, root: bytes
) -> bool:
    """Say whether `proof` shows that the tree of `root` only added to that of `earlier_root`.

    Every tree is consistent with the empty one.
    """
    if earlier == 0:
        return not proof and earlier_root == EMPTY_ROOT
    if not 0 < earlier <= size:
        return False
    if earlier == size:
        return not proof and earlier_root == root
    is_complete = earlier & (earlier - 1) == 0
    path = [earlier_root, *proof] if is_complete else list(proof)
    return bool(path) and _both_roots(earlier, size, path) == (earlier_root, root)


def _both_roots(earlier: int, size: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Return the roots to which a proof of consistency leads (RFC 9162, section 2.1.4.2)."""
    here, last = earlier - 1, size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if not last:
            return None
        if here & 1 or here == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        here, last = here >> 1, last >> 1
    return None if last else (old, new)


def complete_parts(first: int, end: int) -> list[tuple[int, int]]:
    """Return the nodes (level, index), from left to right, that make up a subtree's leaves.

    `first` must be where a subtree of that many leaves can begin.
    """
    parts = []
    while first < end:
        level = (end - first).bit_length() - 1
        parts.append((level, first >> level))
        first += 1 << level
    return parts


def _siblings(position: int, size: int) -> list[tuple[int, int]]:
    first, end = 0, size
    found: list[tuple[int, int]] = []
    while end - first > 1:
        middle = first + _split(end - first)
        if position < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((first, middle))
            first = middle
    return found[::-1]


def _split(size: int) -> int:
    """Return the largest power of two below `size`, which is at least 2."""
    return 1 << (size - 1).bit_length() - 1
