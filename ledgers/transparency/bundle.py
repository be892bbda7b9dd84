"""The evidence of one payment in one file, for somebody who has neither our program nor our data.

What hangs together how, from the outside in:

* the *checkpoint*, signed by the log and cosigned by witnesses, names the root of the log;
* the payment's *entries* (the heads and the transfers: hold, resolution, returns) are leaves of it;
* the head of the hold's entry names, as `evidence …`, the hash of the plan's *signatures*: who
  approved and released, with which keys;
* these sign the *plan's digest*, the hash of its head and of a tree over its lines; the payment's
  line, in that tree, holds the *decision* and the digest of the *registration*;
* the head of every resolution and return names the hash of a tree over the *evidence*: what the
  provider said of each line, with the SHA-256 of the document that says it.

The root of a tree does not say how many leaves it has, so both hashes hold the number too.

So nothing in the file can be changed that `verify_bundle.py` would not notice, given the public
keys. No personal data: references, amounts, dates and digests only.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection

from ledgers.transparency import proofs, tree
from ledgers.transparency.checkpoint import Checkpoint
from ledgers.transparency.encoding import ENTRY, Value, decode, decode_legs
from ledgers.transparency.proofs import LEAF_UNKNOWN

FORMAT = "cva.bundle.v1"

Json = str | int | bool | None | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class Placed:
    """A leaf of a tree of `size` leaves, with the hashes that lead to its root."""

    position: int
    size: int
    encoding: bytes
    proof: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class PlanSignature:
    """What a person signed of a plan: `act` is `approved` or `released`."""

    act: str
    person_id: str
    public_key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a payment: what its digest is made of, and who signed that."""

    plan_id: str
    head: str
    line: Placed
    signatures: Sequence[PlanSignature]


def plan_digest(head: str, lines: int, root: bytes) -> bytes:
    """Return what approvers sign: the hash of the plan's head, how many lines, and their root."""
    return hashlib.sha256(head.encode() + lines.to_bytes(8) + root).digest()


def evidence_digest(size: int, root: bytes) -> bytes:
    """Return what a settlement's entry names: how many things were said, and their root."""
    return hashlib.sha256(size.to_bytes(8) + root).digest()


def signatures_digest(plan_id: str, digest: bytes, signatures: Sequence[PlanSignature]) -> bytes:
    """Return the hash that the release's entry names: the plan's digest and all that sign it."""
    lines = [
        f"{s.act} {s.person_id} {s.public_key.hex()} {s.signature.hex()}\n"
        for s in sorted(signatures, key=lambda s: (s.act, s.person_id))
    ]
    text = f"cva/signatures/v1\n{plan_id}\n{digest.hex()}\n" + "".join(lines)
    return hashlib.sha256(text.encode()).digest()


def placed(position: int, encodings: Sequence[bytes]) -> Placed:
    """Return one leaf of a tree whose leaves are all at hand."""
    hashes = [tree.leaf_hash(raw) for raw in encodings]
    proof = tree.inclusion_proof(position, len(hashes), tree.subtree_of(hashes))
    return Placed(position, len(hashes), encodings[position], proof)


def entry_leaves(conn: Connection, instruction_ref: str, size: int) -> list[Placed]:
    """Return the leaves of the log that an instruction made: heads and transfers, in order.

    `size` is that of the checkpoint. Raises `leaf_unknown` (also where the payment was sealed after
    that checkpoint), `log_size_unknown`, `log_damaged`.
    """
    positions = proofs.positions_of_instruction(conn, instruction_ref)
    rows = conn.execute(
        "SELECT max(first_position) FROM unnest(%s::bigint[]) AS p JOIN books.sealed_entry s"
        " ON s.first_position <= p GROUP BY p",
        [positions],
    )
    wanted = sorted({*positions, *(row[0] for row in rows)})
    if wanted[-1] >= size:
        raise LEAF_UNKNOWN.refusal(what=f"{instruction_ref} in the checkpoint of {size} leaves")
    found = [proofs.inclusion(conn, position, size) for position in wanted]
    return [Placed(f.leaf.position, size, f.leaf.encoding, f.proof) for f in found]


def entries_with_evidence(leaves: Sequence[Placed]) -> list[str]:
    """Return the entries among the leaves that resolve or return and name evidence, in order."""
    found, named = [], False
    for leaf in leaves:
        shape, values = decode(leaf.encoding)
        if shape is ENTRY:
            named = " evidence " in str(values["reason"])
        elif named and values["phase"] != "pending":
            found.append(str(values["entry_ref"]))
    return found


def bundle(
    instruction_ref: str,
    plan: Plan,
    entries: Sequence[Placed],
    evidence: Sequence[Placed],
    checkpoint: Checkpoint,
) -> str:
    """Return the file that proves a payment; `evidence` in the order of the entries it is for."""
    _, line = decode(plan.line.encoding)
    lines = tree.root_of_proof(
        plan.line.position, plan.line.size, tree.leaf_hash(plan.line.encoding), plan.line.proof
    )
    registration: dict[str, Json] = {
        "household_id": _json(line["household_id"]),
        "version_id": _json(line["version_id"]),
        "sha256": _json(line["registration_sha256"]),
    }
    content: dict[str, Json] = {
        "format": FORMAT,
        "payment": {"instruction_ref": instruction_ref, "plan_id": plan.plan_id},
        "registration": registration,
        "decision": fields_of(_bytes(line["decision"])),
        "plan": {
            "head": plan.head,
            "digest": plan_digest(plan.head, plan.line.size, lines or b"").hex(),
            "line": _leaf(plan.line),
            "signatures": [
                {"act": s.act, "person_id": s.person_id, "public_key": _base64(s.public_key),
                 "signature": _base64(s.signature)}
                for s in plan.signatures
            ],
        },
        "evidence": [_leaf(each) for each in evidence],
        "entries": [_leaf(each) for each in entries],
        "checkpoint": checkpoint.note,
    }  # fmt: skip
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def fields_of(encoding: bytes) -> dict[str, Json]:
    """Return a leaf's fields for people; bytes become hexadecimal, an entry's legs are a list."""
    shape, values = decode(encoding)
    fields: dict[str, Json] = {"shape": shape.name}
    for name, value in values.items():
        if name == "legs":
            fields[name] = [_plain(leg) for leg in decode_legs(_bytes(value))]
        elif name == "decision":
            fields[name] = fields_of(_bytes(value))
        else:
            fields[name] = _json(value)
    return fields


def _plain(values: Mapping[str, Value]) -> dict[str, Json]:
    return {name: _json(value) for name, value in values.items()}


def _leaf(leaf: Placed) -> dict[str, Json]:
    return {
        "position": leaf.position,
        "size": leaf.size,
        "fields": fields_of(leaf.encoding),
        "encoding": _base64(leaf.encoding),
        "proof": [_base64(part) for part in leaf.proof],
    }


def _json(value: Value) -> Json:
    match value:
        case bytes():
            return value.hex()
        case datetime():
            return value.isoformat(timespec="microseconds")
        case date():
            return value.isoformat()
        case _:
            return value


def _bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
