"""A payment of the small set of books with everything that proves it, and who vouches for it."""

import hashlib
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledgers.transfers import hold, settle, transfer
from ledgers.transparency import tree
from ledgers.transparency.bundle import (
    Placed,
    Plan,
    PlanSignature,
    bundle,
    entry_leaves,
    evidence_digest,
    placed,
    plan_digest,
    signatures_digest,
)
from ledgers.transparency.checkpoint import (
    LOG_KEY,
    WITNESS_KEY,
    Checkpoint,
    cosign,
    public_key_of,
    sign,
)
from ledgers.transparency.encoding import DECISION, EVIDENCE, LINE, encode
from ledgers.transparency.sealing import seal_waiting, state
from tests.ledgers.conftest import CASH, FLOAT, Books, values

ORIGIN, WITNESSES = "amal.example/books", ("other.example/w1", "third.example/w1")
AMOUNTS = {"A1": 300, "A2": 700, "A3": 500}


def key(number: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


LOG, WITNESS_KEYS = key(1), (key(2), key(3))
PEOPLE = {"per_deniz": key(11), "per_omar": key(12), "per_selin": key(13)}
LOG_VKEY = public_key_of(ORIGIN, LOG_KEY, LOG).vkey
WITNESS_VKEYS = [
    public_key_of(name, WITNESS_KEY, private).vkey
    for name, private in zip(WITNESSES, WITNESS_KEYS, strict=True)
]


@dataclass
class Payments:
    """A plan of three lines: A1 paid in part and half of that returned, A2 voided, A3 pending."""

    books: Books
    plan_id: str = "plan_1"

    @cached_property
    def lines(self) -> list[bytes]:
        found = []
        for number, (ref, amount) in enumerate(AMOUNTS.items(), 1):
            decision = {
                "run_id": "run_1", "status": "eligible", "pass_bits": 7, "unknown_bits": 0,
                "score": 12, "rank": number, "selected": True, "waitlist_position": None,
                "amount_minor": amount, "currency": "TRY", "people": 4, "people_from": "roster",
                "reason": "selected", "snapshot_sha256": sha("snapshot"),
                "decisions_sha256": sha("decisions"), "pack_hash": sha("pack"),
                "reference_date": date(2026, 3, 1),
            }  # fmt: skip
            line = {
                "line_no": number, "household_id": f"hh_{ref}", "version_id": number,
                "kind": "regular", "attempt": 1, "amount_minor": amount, "people": 4,
                "stopped": None, "instruction_ref": ref, "registration_sha256": sha(f"reg {ref}"),
                "decision": encode(DECISION, decision),
            }  # fmt: skip
            found.append(encode(LINE, line))
        return found

    @property
    def head(self) -> str:
        return f"{self.plan_id}|cyc_1|run_1|-|HALK|TRY|2026-03-02|2|per_amal"

    @cached_property
    def digest(self) -> bytes:
        return plan_digest(self.head, len(self.lines), root(self.lines))

    @cached_property
    def signatures(self) -> list[PlanSignature]:
        acts = zip(("approved", "approved", "released"), PEOPLE.items(), strict=True)
        return [
            PlanSignature(
                act, person, private.public_key().public_bytes_raw(),
                private.sign(f"cva/{act}/v1\n{self.plan_id}\n{self.digest.hex()}\n".encode()),
            )
            for act, (person, private) in acts
        ]  # fmt: skip

    def plan(self, ref: str) -> Plan:
        position = list(AMOUNTS).index(ref)
        return Plan(self.plan_id, self.head, placed(position, self.lines), self.signatures)

    def pay(self) -> None:
        conn = self.books.conn
        self._move(hold, "load_instructed", self.books.lines(AMOUNTS),
                   signatures_digest(self.plan_id, self.digest, self.signatures))  # fmt: skip
        ended = values([("A1", 250), ("A2", 0)], "text bigint")
        self._move(settle, "load_settled", ended, evidence_digest(2, root(self.settled)))
        back = self.books.lines({"A1": 120}, debit=FLOAT, credit=CASH)
        self._move(transfer, "load_returned", back, evidence_digest(1, root(self.returned)))
        while seal_waiting(conn):
            conn.commit()

    def _move(self, act, event: str, source, evidence: bytes) -> None:  # noqa: ANN001 - one of three
        head = self.books.head(event)
        act(self.books.conn, replace(head, reason=f"{event}; evidence {evidence.hex()}"), source)

    @property
    def settled(self) -> list[bytes]:
        return [said("A1", "executed", 250), said("A2", "rejected", None)]

    @property
    def returned(self) -> list[bytes]:
        return [said("A1", "returned", 120)]

    def evidence(self, ref: str) -> list[Placed]:
        return {
            "A1": [placed(0, self.settled), placed(0, self.returned)],
            "A2": [placed(1, self.settled)],
            "A3": [],
        }[ref]

    def checkpoint(self) -> Checkpoint:
        now = state(self.books.conn)
        return signed(Checkpoint(ORIGIN, now.size, now.root or b""))

    def bundle(self, ref: str = "A1", checkpoint: Checkpoint | None = None) -> str:
        signed_one = checkpoint or self.checkpoint()
        leaves = entry_leaves(self.books.conn, ref, signed_one.size)
        return bundle(ref, self.plan(ref), leaves, self.evidence(ref), signed_one)


def signed(checkpoint: Checkpoint) -> Checkpoint:
    cosigned = [
        cosign(checkpoint, name, private, 1_774_000_000)
        for name, private in zip(WITNESSES, WITNESS_KEYS, strict=True)
    ]
    return checkpoint.signed_by([sign(checkpoint, LOG), *cosigned])


def said(ref: str, outcome: str, amount: int | None) -> bytes:
    observed = {
        "instruction_ref": ref, "outcome": outcome, "evidence": 40, "amount_minor": amount,
        "currency": "TRY", "reason_code": "", "observed_on": date(2026, 3, 3),
        "document_sha256": sha("result file"),
    }  # fmt: skip
    return encode(EVIDENCE, observed)


def root(encodings: list[bytes]) -> bytes:
    return tree.root_of(tree.leaf_hash(raw) for raw in encodings)


def sha(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
