"""Check the evidence of one payment, offline, with public keys only.

    python verify_bundle.py BUNDLE --log-key VKEY [--witness-key VKEY]…

This file stands alone: it needs Python 3.11 and the package `cryptography`. The keys must come from
people you trust, never with the bundle: the log's from its agency, a witness's from the witness's.

It exits with 0 when every part proves what it should, else with 1 and the first that does not: the
entries stand in the log of the checkpoint; the log and every witness named signed that; the plan's
line, with decision and digest of the registration, is what approvers and releaser signed; their
signatures and the SHA-256 of the provider's documents are named by the entries.

Formats: RFC 6962, C2SP signed-note, tlog-checkpoint, tlog-cosignature; a leaf is PostgreSQL's
binary form of a row: count, then type number, length and bytes of each field.
"""

import argparse
import base64
import hashlib
import json
import re
import struct
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Content = Any  # what a file says, before it is checked
Fields = dict[str, Any]  # a leaf as the bundle shows it

BOOL, BYTES, INT8, INT4, TEXT, DATE, MOMENT = 16, 17, 20, 23, 25, 1082, 1184
KINDS = {"b": BOOL, "y": BYTES, "q": INT8, "i": INT4, "t": TEXT, "d": DATE, "m": MOMENT}
SHAPES = {
    "cva.entry.v1": "entry_ref:t key:t body_hash:y event:t effective_on:d recorded_on:d"
    " recorded_at:m recorded_by:t reason:t adjustment:b reverses:t corrects:t leg_count:i"
    " transfer_count:i legs:y",
    "cva.leg.v1": "leg_no:i layer:t account:t wallet:t amount_minor:q currency:t grant_code:t"
    " programme_id:t cycle_id:t provider:t location:t",
    "cva.transfer.v1": "entry_ref:t line_no:i phase:t debit_account:t credit_account:t wallet:t"
    " amount_minor:q held_minor:q currency:t grant_code:t programme_id:t cycle_id:t provider:t"
    " location:t instruction_ref:t item_key:t hold_entry_ref:t hold_line_no:i expires_on:d",
    "cva.line.v1": "line_no:i household_id:t version_id:q kind:t attempt:i amount_minor:q"
    " people:i stopped:t instruction_ref:t registration_sha256:y decision:y",
    "cva.decision.v1": "run_id:t status:t pass_bits:q unknown_bits:q score:q rank:i selected:b"
    " waitlist_position:i amount_minor:q currency:t people:i people_from:t reason:t"
    " snapshot_sha256:y decisions_sha256:y pack_hash:y reference_date:d",
    "cva.evidence.v1": "instruction_ref:t outcome:t evidence:i amount_minor:q currency:t"
    " reason_code:t observed_on:d document_sha256:y",
}
LOG_KEY, WITNESS_KEY = 1, 4
PAID = {"posted": {"executed", "delivered"}, "voided": {"rejected", "cancelled", "expired"}}


class Untrue(Exception):  # noqa: N818 - what it says is the answer
    """A part of the bundle does not prove what it should."""


def _require(truth: object, says: str) -> None:
    if not truth:
        raise Untrue(says)


def _keys_of(content: Content, names: str, where: str) -> list[Content]:
    _require(isinstance(content, dict), f"{where} is no object")
    _require(set(content) == set(names.split()), f"{where} has other parts than {names}")
    return [content[name] for name in names.split()]


def _same(one: Content, other: Content) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def _once(pairs: list[tuple[str, Content]]) -> Fields:
    _require(len({name for name, _ in pairs}) == len(pairs), "a part of the bundle stands twice")
    return dict(pairs)


def _unbase64(text: Content, where: str) -> bytes:
    _require(isinstance(text, str), f"{where} is no base64")
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raise Untrue(f"{where} is no base64") from None
    _require(base64.b64encode(raw).decode() == text, f"{where} is no base64")
    return raw


def _value_of(kind: int, raw: bytes) -> Content:
    if kind in (TEXT, BYTES):
        return raw.decode() if kind == TEXT else raw.hex()
    if kind == BOOL:
        return {b"\0": False, b"\1": True}[raw]
    (number,) = struct.unpack(">q" if kind in (INT8, MOMENT) else ">i", raw)
    if kind == DATE:
        return (date(2000, 1, 1) + timedelta(days=number)).isoformat()
    if kind == MOMENT:
        moment = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=number)
        return moment.isoformat(timespec="microseconds")
    return number


def decoded(raw: bytes) -> Fields:
    """Return the fields of a leaf as the bundle shows them."""
    (count,) = struct.unpack_from(">i", raw)
    at = 4
    fields: list[tuple[int, bytes | None]] = []
    for _ in range(count):
        kind, length = struct.unpack_from(">ii", raw, at)
        at += 8
        content = None if length < 0 else raw[at : at + length]
        _require(length >= -1 and at + max(length, 0) <= len(raw), "a leaf is cut short")
        at += max(length, 0)
        fields.append((kind, content))
    _require(at == len(raw) and fields, "a leaf goes on after its end")
    name = (fields[0][1] or b"").decode()
    shape = [part.split(":") for part in SHAPES.get(name, "").split()]
    fits = [KINDS[letter] for _, letter in shape] == [kind for kind, _ in fields[1:]]
    _require(shape and fits, "a leaf has no known shape")
    shown: Fields = {"shape": name}
    for (field, _), (kind, content) in zip(shape, fields[1:], strict=True):
        if field == "legs":
            shown[field] = _legs_of(content or b"")
        elif field == "decision":
            shown[field] = decoded(content or b"")
        else:
            shown[field] = None if content is None else _value_of(kind, content)
    return shown


def _legs_of(raw: bytes) -> list[Fields]:
    legs: list[Fields] = []
    at = 0
    while at < len(raw):
        (length,) = struct.unpack_from(">i", raw, at)
        leg = decoded(raw[at + 4 : at + 4 + length])
        _require(leg.pop("shape") == "cva.leg.v1", "an entry holds something else than legs")
        legs.append(leg)
        at += 4 + length
    return legs


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(position: int, size: int, encoding: bytes, proof: list[bytes], where: str) -> bytes:
    """Return the root that the proof leads to (RFC 9162, 2.1.3.2)."""
    whole = type(position) is int and type(size) is int
    _require(whole and 0 <= position < size, f"{where} has no place in its tree")
    hashed, here, last = hashlib.sha256(b"\x00" + encoding).digest(), position, size - 1
    for sibling in proof:
        _require(last and len(sibling) == 32, f"the proof of {where} is too long")  # noqa: PLR2004 - SHA-256
        if here & 1 or here == last:
            hashed = _node(sibling, hashed)
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            hashed = _node(hashed, sibling)
        here, last = here >> 1, last >> 1
    _require(not last, f"the proof of {where} is too short")
    return hashed


def leaf_of(content: Content, where: str) -> tuple[Fields, bytes, int, int]:
    """Return a leaf's fields, the root it leads to, its size and its place."""
    position, size, fields, encoding, proof = _keys_of(
        content, "position size fields encoding proof", where
    )
    raw = _unbase64(encoding, where)
    _require(isinstance(proof, list), f"the proof of {where} is no list")
    hashes = [_unbase64(part, f"the proof of {where}") for part in proof]
    shown = decoded(raw)
    _require(_same(shown, fields), f"{where} shows other fields than its bytes hold")
    return shown, root_of(position, size, raw, hashes, where), size, position


def _is_signed(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def vkey_of(text: str, kind: int) -> tuple[str, bytes, bytes]:
    """Return name, key id and key of a public key as it was handed to you."""
    name, digits, encoded = [*text.strip().split("+", 2), "", ""][:3]
    raw = _unbase64(encoded, "a key given")
    key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    _require(name and raw[:1] == bytes([kind]) and key_id.hex() == digits,
            f"{text[:40]} is not such a public key")  # fmt: skip
    return name, key_id, raw[1:]


def checkpoint_of(note: Content, log_key: str, witness_keys: Sequence[str]) -> tuple[int, bytes]:
    """Return size and root of the checkpoint, signed by the log and by every witness named."""
    _require(isinstance(note, str), "the checkpoint is no text")
    body, blank, lines = note.rpartition("\n\n")
    parts = body.split("\n")
    _require(blank and len(parts) == 3 and lines.endswith("\n"), "the checkpoint is damaged")  # noqa: PLR2004 - origin, size, root
    origin, size, root = parts
    _require(re.fullmatch("0|[1-9][0-9]*", size), "the checkpoint has no size")
    signatures = []
    for line in lines[:-1].split("\n"):
        dash, name, encoded = [*line.split(" "), "", ""][:3]
        _require(dash == "—" and line.count(" ") == 2, "a signature line is damaged")  # noqa: PLR2004 - three words
        signatures.append((name, _unbase64(encoded, "a signature line")))
    text = body + "\n"
    for kind, given in [(LOG_KEY, log_key), *((WITNESS_KEY, key) for key in witness_keys)]:
        name, key_id, key = vkey_of(given, kind)
        _require(kind == WITNESS_KEY or name == origin, f"the checkpoint is not of the log {name}")
        mine = [raw[4:] for who, raw in signatures if who == name and raw[:4] == key_id]
        _require(mine, f"{name} did not sign the checkpoint")
        for raw in mine:
            stamp = int.from_bytes(raw[:-64])
            message = text if kind == LOG_KEY else f"cosignature/v1\ntime {stamp}\n{text}"
            fits = len(raw) == (64 if kind == LOG_KEY else 72)
            true = fits and _is_signed(key, message.encode(), raw[-64:])
            _require(true, f"the signature of {name} under the checkpoint is false")
    return int(size), _unbase64(root, "the checkpoint's root")


def entries_of(
    contents: Content, size: int, root: bytes, instruction: str
) -> tuple[dict[str, Fields], list[Fields]]:
    """Return heads by reference, and the payment's transfers in the order of the log."""
    _require(isinstance(contents, list) and contents, "there are no entries")
    heads: dict[str, tuple[Fields, int]] = {}
    transfers: list[tuple[Fields, int]] = []
    places: list[int] = []
    for number, content in enumerate(contents, 1):
        where = f"entry leaf {number}"
        fields, leads_to, of, position = leaf_of(content, where)
        _require((of, leads_to) == (size, root), f"{where} is not in the log of the checkpoint")
        places.append(position)
        if fields["shape"] == "cva.entry.v1":
            heads[fields["entry_ref"]] = (fields, position)
        else:
            _require(fields["shape"] == "cva.transfer.v1", f"{where} is no entry")
            _require(fields["instruction_ref"] == instruction, f"{where} is of another payment")
            transfers.append((fields, position))
    _require(places == sorted(set(places)), "the entries are not in the order of the log")
    named = {fields["entry_ref"] for fields, _ in transfers}
    _require(named == set(heads), "heads and transfers are not of the same entries")
    for fields, position in transfers:
        first = heads[fields["entry_ref"]][1]
        _require(position == first + fields["line_no"], "a transfer is not in its entry's place")
    return {reference: head for reference, (head, _) in heads.items()}, [t for t, _ in transfers]


def story_of(transfers: list[Fields]) -> tuple[Fields, list[Fields], list[Fields]]:
    """Return hold, resolutions and returns: one hold, resolved at most once."""
    holds = [t for t in transfers if t["phase"] == "pending"]
    _require(len(holds) == 1, "there is not exactly one hold")
    hold = holds[0]
    ends = [t for t in transfers if t["phase"] in ("posted", "voided", "expired")]
    _require(len(ends) <= 1, "the hold is resolved twice")
    for end in ends:
        named = (end["hold_entry_ref"], end["hold_line_no"], end["held_minor"])
        same = named == (hold["entry_ref"], hold["line_no"], hold["amount_minor"])
        _require(same, "the resolution is of another hold")
    return hold, ends, [t for t in transfers if t["phase"] == "single"]


def named_evidence(head: Fields) -> bytes:
    """Return the hash that an entry names as what it rests on."""
    found = re.findall(r"evidence ([0-9a-f]{64})(?![0-9a-f])", head["reason"])
    _require(len(found) == 1, f"the entry {head['entry_ref']} names no evidence")
    return bytes.fromhex(found[0])


def check_plan(content: Content, payment: Fields, hold: Fields, head: Fields) -> Fields:
    """Check line, digest and signatures of the plan; return the line."""
    plan_head, digest, line, signatures = _keys_of(content, "head digest line signatures", "plan")
    fields, lines_root, lines, _ = leaf_of(line, "the plan's line")
    _require(fields["shape"] == "cva.line.v1", "the plan's line is none")
    made = hashlib.sha256(plan_head.encode() + lines.to_bytes(8) + lines_root).digest()
    _require(made.hex() == digest, "the plan's digest is not that of its head and its lines")
    parts = plan_head.split("|")
    is_own = len(parts) == 9 and parts[0] == payment["plan_id"]  # noqa: PLR2004 - of a plan's head
    _require(is_own, "the plan's head is of another plan")
    paid = (fields["instruction_ref"], fields["amount_minor"], fields["stopped"])
    same = paid == (payment["instruction_ref"], hold["amount_minor"], None)
    _require(same, "the plan's line is not what was put on hold")
    check_signatures(signatures, payment["plan_id"], made, parts, head)
    return fields


def check_signatures(
    contents: Content, plan_id: str, digest: bytes, parts: list[str], head: Fields
) -> None:
    """Check who signed the plan's digest, and that the release's entry names just these."""
    _require(isinstance(contents, list), "the signatures are no list")
    signed = []
    for content in contents:
        act, person, key, signature = _keys_of(
            content, "act person_id public_key signature", "a signature of the plan"
        )
        key, signature = _unbase64(key, "a person's key"), _unbase64(signature, "a signature")
        message = f"cva/{act}/v1\n{plan_id}\n{digest.hex()}\n".encode()
        _require(_is_signed(key, message, signature), f"a signature ({act}) of the plan is false")
        signed.append((act, person, key, signature))
    acts = [act for act, *_ in signed]
    approvals = acts.count("approved")
    complete = acts.count("released") == 1 == len(acts) - approvals and approvals >= int(parts[7])
    _require(complete, "approvals or the release are missing")
    people = {parts[8], *(person for _, person, _, _ in signed)}
    keys = {key for _, _, key, _ in signed}
    _require(len(people) - 1 == len(keys) == len(signed), "one person acted twice")
    text = f"cva/signatures/v1\n{plan_id}\n{digest.hex()}\n" + "".join(
        f"{act} {person} {key.hex()} {signature.hex()}\n"
        for act, person, key, signature in sorted(signed)
    )
    same = hashlib.sha256(text.encode()).digest() == named_evidence(head)
    _require(same, "the release's entry names other signatures")


def check_evidence(contents: Content, moves: list[Fields], heads: dict[str, Fields]) -> None:
    """Check what the provider said against the entries that rest on it, one for each."""
    _require(isinstance(contents, list), "the evidence is no list")
    _require(
        len(contents) == len(moves), "there is not one evidence for each resolution and return"
    )
    for content, move in zip(contents, moves, strict=True):
        fields, root, size, _ = leaf_of(content, "evidence")
        _require(fields["shape"] == "cva.evidence.v1", "the evidence is none")
        is_own = fields["instruction_ref"] == move["instruction_ref"]
        _require(is_own, "evidence is of another payment")
        named = named_evidence(heads[move["entry_ref"]])
        made = hashlib.sha256(size.to_bytes(8) + root).digest()
        _require(made == named, "an entry rests on other evidence")
        expected = PAID.get(move["phase"], {"returned"})
        _require(fields["outcome"] in expected, "the evidence says something else than the entry")


def verify(text: str, log_key: str, witness_keys: Sequence[str] = ()) -> list[str]:
    """Return what is proven, as sentences. Raises Untrue at the first part that is not true."""
    try:
        content = json.loads(text, object_pairs_hook=_once)
        return proven(content, log_key, witness_keys)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError,
            struct.error, RecursionError) as error:  # fmt: skip
        raise Untrue(f"the bundle is damaged ({type(error).__name__})") from None


def proven(content: Content, log_key: str, witness_keys: Sequence[str]) -> list[str]:
    """Check part after part; return what is proven."""
    form, payment, registration, decision, plan, evidence, entries, note = _keys_of(
        content, "format payment registration decision plan evidence entries checkpoint", "bundle"
    )
    _require(form == "cva.bundle.v1", "the bundle has another format")
    _keys_of(payment, "instruction_ref plan_id", "payment")
    size, root = checkpoint_of(note, log_key, witness_keys)
    heads, transfers = entries_of(entries, size, root, payment["instruction_ref"])
    hold, ends, returns = story_of(transfers)
    line = check_plan(plan, payment, hold, heads[hold["entry_ref"]])
    # A term that is over, and a plan cancelled before it was sent, end a hold without a provider.
    unsaid = [end for end in ends if end["phase"] != "posted"
              and " evidence " not in heads[end["entry_ref"]]["reason"]]  # fmt: skip
    check_evidence(evidence, [m for m in [*ends, *returns] if m not in unsaid], heads)
    approved = {name: line[name] for name in ("household_id", "version_id")}
    approved["sha256"] = line["registration_sha256"]
    _require(_same(registration, approved), "the registration is not the one that was approved")
    _require(_same(decision, line["decision"]), "the decision is not the one that was approved")
    end = ends[0]["phase"] if ends else "pending"
    minor = sum(move["amount_minor"] for move in ends if move["phase"] == "posted")
    back = sum(move["amount_minor"] for move in returns)
    return [
        "TRUE",
        f"payment {payment['instruction_ref']}: {end}",
        f"{hold['currency']} minor: {hold['amount_minor']} on hold, {minor} paid, {back} returned",
        f"log: {size} leaves, signed by its key, cosigned by {len(witness_keys)} witnesses given",
        f"plan {payment['plan_id']}: approved and released by {len(plan['signatures'])} people",
        *(f"provider's document: SHA-256 {leaf['fields']['document_sha256']}" for leaf in evidence),
    ]


def main() -> int:
    """Print what is proven, or the first thing that is not."""
    parser = argparse.ArgumentParser(description="Check the evidence of one payment, offline.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--log-key", required=True, help="the log's public key")
    parser.add_argument("--witness-key", action="append", default=[], help="a witness's public key")
    given = parser.parse_args()
    try:
        lines = verify(given.bundle.read_text(encoding="utf-8"), given.log_key, given.witness_key)
    except Untrue as untrue:
        lines = [f"REFUSED: {untrue}"]
    except (OSError, UnicodeDecodeError) as error:
        lines = [f"REFUSED: the file cannot be read ({type(error).__name__})"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0 if lines[0] == "TRUE" else 1


if __name__ == "__main__":
    sys.exit(main())
