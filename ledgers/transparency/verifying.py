"""Verification of the log: every leaf made anew from the rows, every root from the leaves.

A stream of leaf hashes in the order of the log, one frontier in memory: a million leaves or a
hundred million, the same memory. What it can find by itself is that rows and log contradict each
other. Whoever rewrites rows *and* log, consistently, is found by comparing the roots with
checkpoints that others keep: those stored here are compared too, but only a witness's copy is out
of reach of the database's owner.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from psycopg import Connection

from ledgers.problems import Refusal
from ledgers.transparency import leaves
from ledgers.transparency.checkpoint import Checkpoint, Signature, public_key, require_signed
from ledgers.transparency.tree import Frontier

STORED_LEVEL = 8

_ENTRIES = """
    SELECT count(*), count(*) FILTER (WHERE wrong),
           min(entry_id::text) FILTER (WHERE wrong)
    FROM (SELECT entry_id, (e.entry_id IS NULL)
              OR (s.entry_id IS NULL) = (u.entry_id IS NULL) AS wrong
          FROM books.entry e FULL JOIN books.sealed_entry s USING (entry_id)
          FULL JOIN books.unsealed u USING (entry_id)) each
"""
_PLACES = """
    SELECT count(*), count(*) FILTER (WHERE wrong), min(entry_id::text) FILTER (WHERE wrong)
    FROM (SELECT s.entry_id, s.first_position <> coalesce(
              lag(s.first_position + s.leaves) OVER (ORDER BY s.first_position), 0)
              OR t.tree_size IS NULL OR s.first_position + s.leaves > t.tree_size
              OR s.first_position < coalesce(t.before, 0) AS wrong
          FROM books.sealed_entry s LEFT JOIN
              (SELECT tree_size, lag(tree_size) OVER (ORDER BY tree_size) AS before
               FROM books.tree) t USING (tree_size)) each
"""
_TREES = """
    SELECT tree_size, root, frontier,
           sealed_at <= lag(sealed_at) OVER (ORDER BY tree_size) AS backwards
    FROM books.tree ORDER BY tree_size
"""
_NODES = "SELECT level, index, hash FROM books.tree_node ORDER BY (index + 1) << level, level"
_CHECKPOINTS = """
    SELECT c.tree_size, c.origin, c.root, c.vkey, c.signature, t.root
    FROM books.checkpoint c LEFT JOIN books.tree t USING (tree_size)
    UNION ALL
    SELECT o.tree_size, c.origin, c.root, o.vkey, o.signature, t.root
    FROM books.cosignature o LEFT JOIN books.checkpoint c USING (tree_size)
    LEFT JOIN books.tree t USING (tree_size)
    ORDER BY 1
"""
_CHUNK = 10_000


@dataclass(slots=True)
class Tally:
    """One promise of the log: how many things were looked at, how many break it, one that does."""

    name: str
    checked: int = 0
    wrong: int = 0
    example: str = ""

    def add(self, *, sound: bool, example: str) -> None:
        """Count one thing; the first that is wrong is the example."""
        self.checked += 1
        if not sound:
            self.wrong += 1
            self.example = self.example or example


@dataclass(slots=True)
class _Replay:
    """The tree as the rows make it, compared with what was stored while it grows."""

    trees: Iterator[tuple[int, bytes, list[bytes], bool | None]]
    nodes: Iterator[tuple[int, int, bytes]]
    frontier: Frontier = field(default_factory=Frontier)
    found: Tally = field(default_factory=lambda: Tally("every leaf stands where it was sealed"))
    roots: Tally = field(default_factory=lambda: Tally("every stored root is that of its leaves"))
    tiles: Tally = field(default_factory=lambda: Tally("every stored node is that of its leaves"))

    def run(self, stream: Iterator[tuple[int, bytes]]) -> int:
        """Replay the leaves up to the first that is out of place; return the size reached."""
        tree, node = next(self.trees, None), next(self.nodes, None)
        for position, hashed in stream:
            in_place = position == self.frontier.size
            self.found.add(sound=in_place, example=f"position {self.frontier.size}")
            if not in_place:
                break
            made = self.frontier.append(hashed)
            for level in range(STORED_LEVEL, len(made)):
                node = self._node(node, level, made[level])
            if tree is not None and tree[0] == self.frontier.size:
                self._tree(tree)
                tree = next(self.trees, None)
        for size, *_ in [] if tree is None else [tree, *self.trees]:
            self.roots.add(sound=False, example=f"size {size}")
        for level, index, _ in [] if node is None else [node, *self.nodes]:
            self.tiles.add(sound=False, example=_span(level, index))
        return self.frontier.size

    def _tree(self, stored: tuple[int, bytes, list[bytes], bool | None]) -> None:
        size, root, subtrees, backwards = stored
        same = root == self.frontier.root() and subtrees == self.frontier.subtrees
        self.roots.add(sound=same and not backwards, example=f"size {size}")

    def _node(
        self, stored: tuple[int, int, bytes] | None, level: int, made: bytes
    ) -> tuple[int, int, bytes] | None:
        index = (self.frontier.size >> level) - 1
        here = stored is not None and stored[:2] == (level, index)
        same = here and stored is not None and stored[2] == made
        self.tiles.add(sound=same, example=_span(level, index))
        return next(self.nodes, None) if here else stored


def verify_log(conn: Connection) -> list[Tally]:
    """Recompute leaves and roots from the rows; reads only, so an auditor can run it."""
    entries = Tally("every entry is sealed once, or waits", *_counted(conn, _ENTRIES))
    places = Tally("places follow each other without a gap", *_counted(conn, _PLACES))
    replay = _Replay(_trees(conn), _nodes(conn))
    size = replay.run(leaves.hashes(conn))
    sealed = _one(conn, "SELECT coalesce(max(first_position + leaves), 0) FROM books.sealed_entry")
    stored = _one(conn, "SELECT coalesce(max(tree_size), 0) FROM books.tree")
    if not size == sealed == stored and not replay.found.wrong:
        replay.found.add(sound=False, example=f"position {size}")
    return [entries, places, replay.found, replay.roots, replay.tiles, _checkpoints(conn)]


def _checkpoints(conn: Connection) -> Tally:
    """Check what is kept here against the keys that stand beside it; others keep the real ones."""
    tally = Tally("every checkpoint kept is signed and of this log")
    for size, origin, root, vkey, signature, made in conn.execute(_CHECKPOINTS):
        here = root is not None and root == made
        sound = here and _is_signed(Checkpoint(origin, size, root), vkey, signature)
        tally.add(sound=sound, example=f"size {size}")
    return tally


def _is_signed(checkpoint: Checkpoint, vkey: str, signature: bytes) -> bool:
    try:
        key = public_key(vkey)
        require_signed(checkpoint.signed_by([Signature(key.name, key.key_id, signature)]), key)
    except Refusal:
        return False
    return True


def _trees(conn: Connection) -> Iterator[tuple[int, bytes, list[bytes], bool | None]]:
    with conn.cursor(name="cva_trees") as cursor:
        cursor.itersize = _CHUNK
        for size, root, frontier, backwards in cursor.execute(_TREES):
            yield size, bytes(root), [bytes(part) for part in frontier], backwards


def _nodes(conn: Connection) -> Iterator[tuple[int, int, bytes]]:
    with conn.cursor(name="cva_nodes") as cursor:
        cursor.itersize = _CHUNK
        for level, index, hashed in cursor.execute(_NODES):
            yield level, index, bytes(hashed)


def _counted(conn: Connection, query: str) -> tuple[int, int, str]:
    checked, wrong, example = conn.execute(query).fetchone() or (0, 0, None)
    return checked, wrong, example or ""


def _one(conn: Connection, query: str) -> int:
    row = conn.execute(query).fetchone()
    return int(row[0]) if row else 0


def _span(level: int, index: int) -> str:
    return f"positions {index << level} to {((index + 1) << level) - 1}"
