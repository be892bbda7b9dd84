"""Snapshots that runs were decided from, kept as they were.

The registry goes on: people are registered again, attendance is recorded. What a run saw must stay
to be seen, or nobody could make its decisions again. The two files are kept in parts, so that a
country's snapshot is never held in memory; the same snapshot is kept once.
"""

import hashlib
from pathlib import Path

from psycopg import Connection

from cva.registry.snapshot import Snapshot
from ledgers.problems import Answer, Problem

SNAPSHOT_NOT_KEPT = Problem(
    "snapshot_not_kept",
    "The snapshot {snapshot} is not kept here.",
    "Name a run of this database; runs before this release kept no snapshot.",
    Answer.NOT_FOUND,
)
SNAPSHOT_CHANGED = Problem(
    "snapshot_changed",
    "The snapshot {snapshot} is not what the run was decided from.",
    "Compare the database with a backup: somebody has changed what is permanent.",
)

PART_BYTES = 4 << 20
HOUSEHOLDS, MEMBERS = "households", "members"


def keep(conn: Connection, snapshot: Snapshot) -> None:
    """Keep the files of `snapshot`, unless they are kept already."""
    digest = bytes.fromhex(snapshot.sha256)
    known = conn.execute(
        "SELECT FROM assessment.snapshot_part WHERE snapshot_sha256 = %s LIMIT 1", (digest,)
    ).fetchone()
    if known is not None:
        return
    for name, path in ((HOUSEHOLDS, snapshot.households), (MEMBERS, snapshot.members)):
        with path.open("rb") as file:
            part = 0
            while content := file.read(PART_BYTES):
                conn.execute(
                    "INSERT INTO assessment.snapshot_part (snapshot_sha256, file, part, content)"
                    " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                    (digest, name, part, content),
                )
                part += 1


def restore(conn: Connection, digest: bytes, folder: Path) -> tuple[Path, Path]:
    """Write the files of a kept snapshot into `folder` and return households and members.

    Raises `snapshot_not_kept`, `snapshot_changed`.
    """
    paths = folder / "households.parquet", folder / "members.parquet"
    digests = b""
    for name, path in zip((HOUSEHOLDS, MEMBERS), paths, strict=True):
        whole = hashlib.sha256()
        with path.open("wb") as file, conn.cursor(name=f"snapshot_{name}", binary=True) as cursor:
            cursor.itersize = 2
            cursor.execute(
                "SELECT content FROM assessment.snapshot_part"
                " WHERE (snapshot_sha256, file) = (%s, %s) ORDER BY part",
                (digest, name),
            )
            for (content,) in cursor:
                whole.update(content)
                file.write(content)
        if not path.stat().st_size:
            raise SNAPSHOT_NOT_KEPT.refusal(snapshot=digest.hex()[:16])
        digests += whole.digest()
    if hashlib.sha256(digests).digest() != digest:
        raise SNAPSHOT_CHANGED.refusal(snapshot=digest.hex()[:16])
    return paths
