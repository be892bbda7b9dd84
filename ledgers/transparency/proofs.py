"""Proofs out of the database: that a leaf is in the log, and that the log only ever grew.

Nodes of level 8 and above are stored; what lies below is made anew from the rows, at most a few
hundred leaves. So a proof says what the rows say now: a changed row yields a proof that fails.
Everything here reads only, so that an auditor can do it.

Source: C2SP tlog-tiles, whose tiles of 256 leaves the stored level follows.
"""

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import Connection

from ledgers.problems import Answer, Problem
from ledgers.transparency import leaves, tree

LEAF_UNKNOWN = Problem(
    "leaf_unknown",
    "The log has no sealed leaf for {what}.",
    "Look the reference up in a register; an entry just recorded is sealed by the next checkpoint.",
    Answer.NOT_FOUND,
)
LOG_SIZE_UNKNOWN = Problem(
    "log_size_unknown",
    "The log never had exactly {size} leaves.",
    "Give the size that a checkpoint names, not above that of the newest.",
    Answer.USAGE,
)
LOG_DAMAGED = Problem(
    "log_damaged",
    "The rows and the log say different things about the first {size} leaves.",
    "Run `cva ledger verify` and compare with a checkpoint that a witness keeps.",
)

STORED_LEVEL = 8
TILE_LEAVES = 1 << STORED_LEVEL


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf: its place, and the bytes the rows make of it now."""

    position: int
    encoding: bytes


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That `leaf` stands in the tree of `size` leaves with `root`."""

    leaf: Leaf
    size: int
    root: bytes
    proof: list[bytes]


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the tree of `size` leaves begins with the tree of `earlier` leaves."""

    earlier: int
    earlier_root: bytes
    size: int
    root: bytes
    proof: list[bytes]


def root_at(conn: Connection, size: int) -> bytes:
    """Return the root that was stored when the log had `size` leaves. Raises `log_size_unknown`."""
    if size == 0:
        return tree.EMPTY_ROOT
    row = conn.execute("SELECT root FROM books.tree WHERE tree_size = %s", [size]).fetchone()
    if row is None:
        raise LOG_SIZE_UNKNOWN.refusal(size=size)
    return bytes(row[0])


def positions_of_entry(conn: Connection, entry_ref: str) -> range:
    """Return the places of an entry's leaves. Raises `leaf_unknown`."""
    row = conn.execute(
        "SELECT first_position, leaves FROM books.sealed_entry JOIN books.entry USING (entry_id)"
        " WHERE entry_ref = %s",
        [entry_ref],
    ).fetchone()
    if row is None:
        raise LEAF_UNKNOWN.refusal(what=entry_ref)
    return range(row[0], row[0] + row[1])


def positions_of_instruction(conn: Connection, instruction_ref: str) -> list[int]:
    """Return the places of the transfers of an instruction, in order. Raises `leaf_unknown`."""
    rows = conn.execute(
        "SELECT s.first_position + t.line_no FROM books.transfer t"
        " JOIN books.sealed_entry s USING (entry_id) WHERE t.transfer_id IN ("
        "  SELECT transfer_id FROM books.transfer WHERE instruction_ref = %(ref)s"
        "    AND phase = 'pending'"
        "  UNION SELECT r.transfer_id FROM books.transfer h JOIN books.transfer r"
        "    ON r.pending_id = h.transfer_id"
        "    WHERE h.instruction_ref = %(ref)s AND h.phase = 'pending'"
        "  UNION SELECT transfer_id FROM books.transfer WHERE instruction_ref = %(ref)s"
        "    AND phase = 'single') ORDER BY 1",
        {"ref": instruction_ref},
    ).fetchall()
    if not rows:
        raise LEAF_UNKNOWN.refusal(what=instruction_ref)
    return [row[0] for row in rows]


def inclusion(conn: Connection, position: int, size: int) -> Inclusion:
    """Return the proof that the leaf at `position` is in the log of `size` leaves.

    Raises `log_size_unknown`, `leaf_unknown`, and `log_damaged` where the rows no longer lead to
    the root that was stored.
    """
    root = root_at(conn, size)
    if not 0 <= position < size:
        raise LEAF_UNKNOWN.refusal(what=f"position {position}")
    encoded = leaves.encodings(conn, position, position + 1)
    if len(encoded) != 1:
        raise LOG_DAMAGED.refusal(size=size)
    proof = tree.inclusion_proof(position, size, _subtree(conn, size))
    hashed = tree.leaf_hash(encoded[0])
    if not tree.verify_inclusion(position, size, hashed, proof, root):
        raise LOG_DAMAGED.refusal(size=size)
    return Inclusion(Leaf(position, encoded[0]), size, root, proof)


def consistency(conn: Connection, earlier: int, size: int) -> Consistency:
    """Return the proof that the log of `earlier` leaves is the beginning of that of `size`.

    Both must be sizes the log had. Raises `log_size_unknown`, `log_damaged`.
    """
    if earlier > size:
        raise LOG_SIZE_UNKNOWN.refusal(size=earlier)
    earlier_root, root = root_at(conn, earlier), root_at(conn, size)
    proof = tree.consistency_proof(earlier, size, _subtree(conn, size)) if earlier else []
    if not tree.verify_consistency(earlier, size, proof, earlier_root, root):
        raise LOG_DAMAGED.refusal(size=size)
    return Consistency(earlier, earlier_root, size, root, proof)


def _subtree(conn: Connection, size: int) -> Callable[[int, int], bytes]:
    """Return how to ask for a subtree's root: stored nodes, and leaves made anew."""

    def leaf_hashes(first: int, end: int) -> list[bytes]:
        made = [tree.leaf_hash(raw) for raw in leaves.encodings(conn, first, end)]
        if len(made) != end - first:
            raise LOG_DAMAGED.refusal(size=size)
        return made

    def subtree(first: int, end: int) -> bytes:
        whole = [part for part in tree.complete_parts(first, end) if part[0] >= STORED_LEVEL]
        below = sum(1 << level for level, _ in whole) + first
        roots = [_node(conn, level, index, size) for level, index in whole]
        if below < end:
            roots.append(tree.root_of(leaf_hashes(below, end)))
        return tree.root_of_frontier(roots[::-1])

    return subtree


def _node(conn: Connection, level: int, index: int, size: int) -> bytes:
    row = conn.execute(
        "SELECT hash FROM books.tree_node WHERE (level, index) = (%s, %s)", [level, index]
    ).fetchone()
    if row is None:
        raise LOG_DAMAGED.refusal(size=size)
    return bytes(row[0])
