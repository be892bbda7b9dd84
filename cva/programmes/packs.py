"""Publishing rule packs: one person proposes, another publishes, and nothing changes afterwards.

Both sign the hash of the pack with their own key. The same verb does both: the first person who
asks for a pack to be published proposes it, and the next one, somebody else with exactly the same
pack, publishes it as the next version of its code. Content that is published already answers with
its version, whoever asks.

A programme names a pack as `code@version`. The packs that come with the program are named by their
code alone: they were checked by scenarios before the release, and the hash that a programme keeps
says which it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from cva import acts, staff
from eligibility.rules.pack import RulePack
from ledgers.problems import Answer, Problem

PACK_SAME_PERSON = Problem(
    "pack_same_person",
    "You proposed the pack {pack} yourself: publishing takes a second person.",
    "Ask a colleague of the programme or of finance to publish exactly this file.",
    Answer.NOT_PERMITTED,
)
PACK_NOT_PROPOSED = Problem(
    "pack_not_proposed",
    "Nobody has proposed this content of the pack {pack}.",
    "Propose it first: whoever publishes a pack is the second person to see it.",
)
PACK_VERSION_TAKEN = Problem(
    "pack_version_taken",
    "The pack {pack} cannot be published as version {version}: the next one is {next}.",
    "Somebody published another version at the same moment; publish again.",
)
PACK_NOT_PUBLISHED = Problem(
    "pack_not_published",
    "No pack {pack} was published here.",
    "List the published packs; publishing one takes two people.",
    Answer.NOT_FOUND,
)


@dataclass(frozen=True, slots=True)
class PublishedPack:
    """A pack that is published, or (version None) proposed and waiting for a second person."""

    code: str
    version: int | None
    sha256: str
    proposed_by: str  # logins
    published_by: str | None


_PACKS = """
    SELECT d.code, p.version, encode(d.hash, 'hex') AS sha256, a.login AS proposed_by,
           b.login AS published_by
    FROM programme.pack_proposal d LEFT JOIN programme.pack p USING (code, hash)
    JOIN staff.person a ON a.person_id = d.person_id
    LEFT JOIN staff.person b ON b.person_id = p.person_id
"""


def publish(
    conn: Connection, pack: RulePack, *, person_id: str, passphrase: str, at: datetime
) -> PublishedPack:
    """Propose the pack, or publish it where somebody else has proposed it.

    Raises `pack_same_person`, `role_missing`, `passphrase_wrong`.
    """
    if staff.Role.FINANCE not in staff.roles_of(conn, person_id):
        staff.require(conn, person_id, "programme")
    digest = bytes.fromhex(pack.pack_hash)
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", (pack.code,))
    known = _find(conn, pack.code, digest)
    if known is not None and known.version is not None:
        return known
    if known is not None and known.proposed_by == staff.person(conn, person_id).login:
        raise PACK_SAME_PERSON.refusal(pack=pack.code)
    signature = staff.sign(conn, person_id, passphrase, digest)
    if known is None:
        conn.execute(
            "INSERT INTO programme.pack_proposal (code, hash, document, signature, person_id, at)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (pack.code, digest, Jsonb(pack.document()), signature, person_id, at),
        )
        _acted(conn, "propose_pack", pack, None, person_id, at)
        return _found(conn, pack.code, digest)
    row = conn.execute(
        "INSERT INTO programme.pack (code, version, hash, signature, person_id, at)"
        " SELECT %s, coalesce(max(version), 0) + 1, %s, %s, %s, %s"
        " FROM programme.pack WHERE code = %s RETURNING version",
        (pack.code, digest, signature, person_id, at, pack.code),
    ).fetchone()
    _acted(conn, "publish_pack", pack, int(row[0]) if row else 1, person_id, at)
    return _found(conn, pack.code, digest)


def listed(conn: Connection) -> Sequence[PublishedPack]:
    """Return every pack proposed or published here, by code, the newest version first."""
    with conn.cursor(row_factory=class_row(PublishedPack)) as cursor:
        return cursor.execute(
            _PACKS + " ORDER BY d.code, p.version DESC NULLS FIRST, d.at DESC, d.hash"
        ).fetchall()


def published_pack(conn: Connection, code: str, version: int) -> RulePack:
    """Return a published version as it was proposed. Raises `pack_not_published`."""
    row = conn.execute(
        "SELECT d.document, d.hash FROM programme.pack p JOIN programme.pack_proposal d"
        " USING (code, hash) WHERE (p.code, p.version) = (%s, %s)",
        (code, version),
    ).fetchone()
    if row is None:
        raise PACK_NOT_PUBLISHED.refusal(pack=f"{code}@{version}")
    pack = RulePack.from_document(row[0])
    if pack.pack_hash != bytes(row[1]).hex():
        message = f"the pack {code}@{version} no longer reads as what was signed"
        raise ValueError(message)
    return pack


def _find(conn: Connection, code: str, digest: bytes) -> PublishedPack | None:
    with conn.cursor(row_factory=class_row(PublishedPack)) as cursor:
        return cursor.execute(
            _PACKS + " WHERE (d.code, d.hash) = (%s, %s)", (code, digest)
        ).fetchone()


def _found(conn: Connection, code: str, digest: bytes) -> PublishedPack:
    found = _find(conn, code, digest)
    if found is None:
        raise PACK_NOT_PROPOSED.refusal(pack=code)
    return found


def _acted(
    conn: Connection, verb: str, pack: RulePack, version: int | None, person_id: str, at: datetime
) -> None:
    acts.record(
        conn, key=f"{verb}:{pack.code}:{pack.pack_hash}", verb=verb, object_id=pack.code,
        body={"sha256": pack.pack_hash}, person_id=person_id, at=at,
        answer={} if version is None else {"version": version},
    )  # fmt: skip
