"""The log's own keys, its checkpoints, its witnesses, and the bundle of one payment.

The log signs with a key of the installation, sealed under the master key; another one, never the
same, witnesses other agencies' logs. What a witness does is done on files, so that two agencies
need nothing between them but a way to send text: a *request* (the checkpoint, and the proof that it
continues the one seen last) goes there, a *cosignature* comes back and is kept beside the
checkpoint.

The log's name is chosen once; it stands in every checkpoint and in the key that others keep.
"""

from collections.abc import Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import Connection, sql

from cva.payments import approving, planning
from cva.vault import Vault
from ledgers.problems import Answer, Problem, Refusal
from ledgers.transparency import bundle, proofs, sealing
from ledgers.transparency.bundle import Placed
from ledgers.transparency.checkpoint import (
    LOG_KEY,
    WITNESS_KEY,
    Checkpoint,
    Growth,
    PublicKey,
    Signature,
    cosign,
    parse_checkpoint,
    parse_signatures,
    public_key,
    public_key_of,
    require_growth,
    require_signed,
    sign,
)

LOG_NAME_MISSING = Problem(
    "log_name_missing",
    "This installation has no key for its {use} yet.",
    "Give it a name once, without spaces, such as agency.example/books: --name NAME",
    Answer.USAGE,
)
LOG_NAME_UNUSABLE = Problem(
    "log_name_unusable",
    "{name} cannot be the name of a log or a witness.",
    "Choose a name without spaces and plus signs, such as agency.example/books.",
    Answer.USAGE,
)
CHECKPOINT_UNKNOWN = Problem(
    "checkpoint_unknown",
    "There is no checkpoint of {size} leaves.",
    "Make one with `cva audit checkpoint`, or name the size of one that was made.",
    Answer.NOT_FOUND,
)
COSIGNATURE_UNFIT = Problem(
    "cosignature_unfit",
    "The file holds no cosignature by {name} of a checkpoint kept here.",
    "Give the file that the witness sent back, and the witness's own public key.",
)
LINE_UNKNOWN = Problem(
    "payment_unknown",
    "No plan has the instruction {instruction}.",
    "Copy the whole reference as `cva payments lines` shows it.",
    Answer.NOT_FOUND,
)

CHECKPOINTS_TRIED_MAX = 1000

_EVIDENCE = sql.SQL("""
    SELECT l.instruction_ref, v.encoding FROM (
        SELECT array_agg(n.instruction_ref ORDER BY n.line_no) AS instructions,
               array_agg(o.observation_id ORDER BY n.line_no) AS observations
        FROM books.entry e JOIN books.transfer t USING (entry_id)
        JOIN payments.line n USING (instruction_ref)
        JOIN payments.outcome o ON (o.plan_id, o.line_no, o.step) = (n.plan_id, n.line_no,
            CASE t.phase WHEN 'single' THEN 2 ELSE 1 END)
        WHERE e.entry_ref = %s) a
    CROSS JOIN LATERAL payments.evidence_leaves(a.instructions, a.observations) v
    CROSS JOIN LATERAL (SELECT a.instructions[v.place] AS instruction_ref) l
    ORDER BY v.place
""")


def own_key(
    conn: Connection, vault: Vault, use: str, name: str | None, at: datetime
) -> tuple[str, Ed25519PrivateKey]:
    """Return the installation's key for `use` (`log`, `witness`), made under `name` the first time.

    Raises `log_name_missing`, `log_name_unusable`, `sealed_damaged`.
    """
    row = conn.execute(
        "SELECT name, sealed_key FROM ops.signing_key WHERE use = %s ORDER BY key_id DESC LIMIT 1",
        (use,),
    ).fetchone()
    if row is not None:
        raw = vault.open_signing_key(use, row[0], bytes(row[1]))
        return str(row[0]), Ed25519PrivateKey.from_private_bytes(raw)
    if name is None:
        raise LOG_NAME_MISSING.refusal(use=use)
    if not name or "+" in name or len(name.split()) != 1:
        raise LOG_NAME_UNUSABLE.refusal(name=name)
    private = Ed25519PrivateKey.generate()
    conn.execute(
        "INSERT INTO ops.signing_key (use, name, public_key, sealed_key, at)"
        " VALUES (%s, %s, %s, %s, %s)",
        (use, name, private.public_key().public_bytes_raw(),
         vault.seal_signing_key(use, name, private.private_bytes_raw()), at),
    )  # fmt: skip
    return name, private


def vkey_of(conn: Connection, use: str) -> str:
    """Return the public key to hand to others. Raises `log_name_missing`."""
    row = conn.execute(
        "SELECT name, public_key FROM ops.signing_key WHERE use = %s ORDER BY key_id DESC LIMIT 1",
        (use,),
    ).fetchone()
    if row is None:
        raise LOG_NAME_MISSING.refusal(use=use)
    return PublicKey(row[0], LOG_KEY if use == "log" else WITNESS_KEY, bytes(row[1])).vkey


def make_checkpoint(conn: Connection, vault: Vault, name: str | None, at: datetime) -> Checkpoint:
    """Seal what waits, sign the log as it is then, and keep that; the same log is signed once.

    Raises `log_name_missing`, `log_name_unusable`, `checkpoint_unknown` (nothing is recorded yet).
    """
    origin, private = own_key(conn, vault, "log", name, at)
    while sealing.seal_waiting(conn):
        pass
    now = sealing.state(conn)
    if now.root is None:
        raise CHECKPOINT_UNKNOWN.refusal(size=0)
    unsigned = Checkpoint(origin, now.size, now.root)
    conn.execute(
        "INSERT INTO books.checkpoint (tree_size, origin, root, vkey, signature, signed_at)"
        " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (now.size, origin, now.root, public_key_of(origin, LOG_KEY, private).vkey,
         sign(unsigned, private).raw, at),
    )  # fmt: skip
    return kept_checkpoint(conn, now.size)


def kept_checkpoint(conn: Connection, size: int | None = None) -> Checkpoint:
    """Return a checkpoint with its cosignatures, the newest by default.

    Raises `checkpoint_unknown`.
    """
    row = conn.execute(
        "SELECT tree_size, origin, root, vkey, signature FROM books.checkpoint"
        " WHERE tree_size = coalesce(%s, tree_size) ORDER BY tree_size DESC LIMIT 1",
        (size,),
    ).fetchone()
    if row is None:
        raise CHECKPOINT_UNKNOWN.refusal(size=size or 0)
    lines = conn.execute(
        "SELECT vkey, signature FROM books.cosignature WHERE tree_size = %s ORDER BY vkey",
        (row[0],),
    ).fetchall()
    signatures = [_line(vkey, bytes(raw)) for vkey, raw in [(row[3], row[4]), *lines]]
    return Checkpoint(row[1], row[0], bytes(row[2]), tuple(signatures))


def request(conn: Connection, earlier: int) -> Growth:
    """Return what a witness is to be asked who saw the log of `earlier` leaves last (0: nothing).

    Raises `checkpoint_unknown`, `log_size_unknown`, `log_damaged`.
    """
    newest = kept_checkpoint(conn)
    shown = proofs.consistency(conn, earlier, newest.size)
    return Growth(earlier, tuple(shown.proof), newest)


def witness(
    conn: Connection, vault: Vault, growth: Growth, log_key: str, *, name: str | None, at: datetime
) -> str:
    """Cosign another agency's checkpoint, if its log only grew since the one seen last.

    Returns the cosignature line to send back. Raises `checkpoint_unsigned`,
    `checkpoint_inconsistent`, `log_key_unreadable`, `log_name_missing`.
    """
    require_signed(growth.checkpoint, public_key(log_key))
    origin = growth.checkpoint.origin
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('witness:' || %s, 0))", (origin,))
    row = conn.execute(
        "SELECT note FROM ops.witnessed WHERE origin = %s ORDER BY tree_size DESC LIMIT 1",
        (origin,),
    ).fetchone()
    require_growth(growth, parse_checkpoint(row[0]) if row else None)
    own_name, private = own_key(conn, vault, "witness", name, at)
    conn.execute(
        "INSERT INTO ops.witnessed (origin, tree_size, note, at) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        (origin, growth.checkpoint.size, growth.checkpoint.note, at),
    )
    return f"{cosign(growth.checkpoint, own_name, private, int(at.timestamp()))}\n"


def add_cosignature(conn: Connection, text: str, witness_key: str, at: datetime) -> Checkpoint:
    """Keep what a witness sent back beside the checkpoint that it is for; return that.

    Raises `cosignature_unfit`, also where it is for no checkpoint of this log.
    """
    key = public_key(witness_key)
    given = [s for s in parse_signatures(text) if (s.name, s.key_id) == (key.name, key.key_id)]
    if key.kind != WITNESS_KEY or not given:
        raise COSIGNATURE_UNFIT.refusal(name=key.name)
    kept = conn.execute(
        "SELECT tree_size, origin, root FROM books.checkpoint ORDER BY tree_size DESC LIMIT %s",
        (CHECKPOINTS_TRIED_MAX,),
    ).fetchall()
    for size, origin, root in kept:
        try:
            require_signed(Checkpoint(origin, size, bytes(root), tuple(given)), key)
        except Refusal:
            continue
        conn.execute(
            "INSERT INTO books.cosignature (tree_size, vkey, signature, received_at)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (size, key.vkey, given[-1].raw, at),
        )
        return kept_checkpoint(conn, size)
    raise COSIGNATURE_UNFIT.refusal(name=key.name)


def bundle_of(conn: Connection, instruction_ref: str, size: int | None = None) -> str:
    """Return the file that proves a payment, under a checkpoint that is kept (the newest).

    Raises `payment_unknown`, `checkpoint_unknown`, `leaf_unknown`, `log_damaged`.
    """
    row = conn.execute(
        "SELECT plan_id, line_no, run_id, payments.head(p) FROM payments.line"
        " JOIN payments.plan p USING (plan_id) WHERE instruction_ref = %s",
        (instruction_ref,),
    ).fetchone()
    if row is None:
        raise LINE_UNKNOWN.refusal(instruction=instruction_ref)
    plan_id, line_no, run_id, head = row
    checkpoint = kept_checkpoint(conn, size)
    leaves = bundle.entry_leaves(conn, instruction_ref, checkpoint.size)
    lines = _encodings(
        conn, "SELECT encoding FROM payments.line_leaves(%s, %s) ORDER BY line_no", plan_id, run_id
    )
    plan = bundle.Plan(
        planning.load(conn, plan_id).plan_id, head, bundle.placed(line_no - 1, lines),
        approving.signatures(conn, plan_id),
    )  # fmt: skip
    return bundle.bundle(
        instruction_ref, plan, leaves, _evidence(conn, instruction_ref, leaves), checkpoint
    )


def _evidence(conn: Connection, instruction_ref: str, leaves: Sequence[Placed]) -> list[Placed]:
    """Return the evidence of each resolution and return among the leaves that names one."""
    found = []
    for reference in bundle.entries_with_evidence(leaves):
        rows = conn.execute(_EVIDENCE, (reference,)).fetchall()
        place = [instruction for instruction, _ in rows].index(instruction_ref)
        found.append(bundle.placed(place, [bytes(encoding) for _, encoding in rows]))
    return found


def _encodings(conn: Connection, query: str, *values: str) -> list[bytes]:
    return [bytes(row[0]) for row in conn.execute(query, values)]


def _line(vkey: str, raw: bytes) -> Signature:
    key = public_key(vkey)
    return Signature(key.name, key.key_id, raw)
