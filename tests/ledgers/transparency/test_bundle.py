"""The true bundle is believed on a machine that has nothing of ours; a changed one never is."""

import base64
import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ledgers.problems import Refusal
from ledgers.transparency import verify_bundle
from ledgers.transparency.bundle import PlanSignature, bundle, entry_leaves
from ledgers.transparency.checkpoint import Checkpoint, sign
from ledgers.transparency.encoding import SHAPES
from ledgers.transparency.proofs import root_at
from ledgers.transparency.sealing import seal_waiting, state
from tests.ledgers.conftest import Books
from tests.ledgers.transparency.payment import (
    LOG,
    LOG_VKEY,
    ORIGIN,
    PEOPLE,
    WITNESS_VKEYS,
    Payments,
    key,
    sha,
    signed,
)

Bundle = dict
SCRIPT = Path(verify_bundle.__file__)


@pytest.fixture
def payments(books: Books) -> Payments:
    made = Payments(books)
    made.pay()
    return made


def run(folder: Path, text: str, *words: str) -> tuple[int, str]:
    """The script alone in a folder of its own, isolated from everything installed as ours."""
    shutil.copy(SCRIPT, folder / "verify_bundle.py")
    (folder / "bundle.json").write_text(text, encoding="utf-8")
    given = words or (
        "--log-key",
        LOG_VKEY,
        *(w for k in WITNESS_VKEYS for w in ("--witness-key", k)),
    )
    done = subprocess.run(
        [sys.executable, "-I", "verify_bundle.py", "bundle.json", *given],
        cwd=folder, capture_output=True, text=True, check=False, env={},
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_true_bundle_is_believed(payments: Payments, tmp_path: Path) -> None:
    document = f"provider's document: SHA-256 {sha('result file').hex()}\n"
    assert run(tmp_path, payments.bundle("A1")) == (
        0,
        "TRUE\n"
        "payment A1: posted\n"
        "TRY minor: 300 on hold, 250 paid, 120 returned\n"
        "log: 10 leaves, signed by its key, cosigned by 2 witnesses given\n"
        "plan plan_1: approved and released by 3 people\n" + document + document,
    )


@pytest.mark.parametrize(("ref", "ends"), [("A2", "voided"), ("A3", "pending")])
def test_voided_and_pending_payments_have_bundles(payments: Payments, ref: str, ends: str) -> None:
    lines = verify_bundle.verify(payments.bundle(ref), LOG_VKEY, WITNESS_VKEYS)
    assert lines[1] == f"payment {ref}: {ends}"


def test_script_knows_the_shapes_and_imports_nothing_of_ours() -> None:
    letters = verify_bundle.KINDS
    known = {
        name: [(part.split(":")[0], letters[part.split(":")[1]]) for part in spec.split()]
        for name, spec in verify_bundle.SHAPES.items()
    }
    assert known == {name: list(shape.fields.items()) for name, shape in SHAPES.items()}
    text = SCRIPT.read_text(encoding="utf-8")
    assert not any(f"{verb} {ours}" in text for verb in ("import", "from")
                   for ours in ("ledgers", "cva", "adapters", "eligibility"))  # fmt: skip


# --- mutations: each a function from the true bundle to another that says something else ---------


def flip(text: str, number: int = 0) -> str:
    """Flip one bit of base64 bytes."""
    raw = bytearray(base64.b64decode(text))
    raw[number] ^= 1
    return base64.b64encode(raw).decode()


def flip_hex(text: str) -> str:
    return ("0" if text[0] != "0" else "1") + text[1:]


def at(bundle: Bundle, *path: str | int) -> tuple[dict | list, str | int]:
    place = bundle
    for step in path[:-1]:
        place = place[step]
    return place, path[-1]


def put(change: Callable, *path: str | int) -> Callable[[Bundle], None]:
    def mutate(bundle: Bundle) -> None:
        place, last = at(bundle, *path)
        place[last] = change(place[last])

    return mutate


def swap(*path: str | int) -> Callable[[Bundle], None]:
    def mutate(bundle: Bundle) -> None:
        place, last = at(bundle, *path)
        place[last][0], place[last][1] = place[last][1], place[last][0]

    return mutate


def drop(*path: str | int) -> Callable[[Bundle], None]:
    def mutate(bundle: Bundle) -> None:
        place, last = at(bundle, *path)
        del place[last]

    return mutate


def note(change: Callable[[list[str]], list[str]]) -> Callable[[Bundle], None]:
    def mutate(bundle: Bundle) -> None:
        bundle["checkpoint"] = "\n".join(change(bundle["checkpoint"].split("\n")))

    return mutate


def signature_line(number: int) -> Callable[[list[str]], list[str]]:
    def change(lines: list[str]) -> list[str]:
        words = lines[number].split(" ")
        words[2] = flip(words[2], -1)
        lines[number] = " ".join(words)
        return lines

    return change


def sign_again(bundle: Bundle) -> None:
    """Sam signs in Omar's place: a true signature, of a key that the log does not know."""
    digest = bundle["plan"]["digest"]
    sam = key(99)
    bundle["plan"]["signatures"][1] |= {
        "public_key": base64.b64encode(sam.public_key().public_bytes_raw()).decode(),
        "signature": base64.b64encode(
            sam.sign(f"cva/approved/v1\nplan_1\n{digest}\n".encode())
        ).decode(),
    }


def hide(bundle: Bundle) -> None:
    bundle["decision"]["note"] = "and something that nobody signed"


MUTATIONS: dict[str, Callable[[Bundle], None]] = {
    "another format": put(lambda _: "cva.bundle.v0", "format"),
    "another instruction": put(lambda _: "A2", "payment", "instruction_ref"),
    "another plan": put(lambda _: "plan_2", "payment", "plan_id"),
    "registration: household": put(lambda _: "hh_A2", "registration", "household_id"),
    "registration: version": put(lambda number: number + 1, "registration", "version_id"),
    "registration: version as a truth value": put(lambda _: True, "registration", "version_id"),
    "registration: digest": put(flip_hex, "registration", "sha256"),
    "decision: amount": put(lambda minor: minor + 1, "decision", "amount_minor"),
    "decision: status": put(lambda _: "review", "decision", "status"),
    "decision: snapshot": put(flip_hex, "decision", "snapshot_sha256"),
    "decision: something more": hide,
    "plan: head": put(lambda text: text.replace("|2|", "|1|"), "plan", "head"),
    "plan: digest": put(flip_hex, "plan", "digest"),
    "plan: line's bytes": put(lambda text: flip(text, 60), "plan", "line", "encoding"),
    "plan: line's field": put(lambda minor: minor + 1, "plan", "line", "fields", "amount_minor"),
    "plan: line's proof": put(flip, "plan", "line", "proof", 0),
    "plan: line's proof swapped": swap("plan", "line", "proof"),
    "plan: line's place": put(lambda _: 1, "plan", "line", "position"),
    "plan: size": put(lambda size: size + 1, "plan", "line", "size"),
    "evidence: size": put(lambda size: size + 1, "evidence", 1, "size"),
    "approval: signature": put(flip, "plan", "signatures", 0, "signature"),
    "approval: key": put(flip, "plan", "signatures", 0, "public_key"),
    "approval: person": put(lambda _: "per_sam", "plan", "signatures", 0, "person_id"),
    "approval: act": put(lambda _: "released", "plan", "signatures", 0, "act"),
    "approval: left out": drop("plan", "signatures", 0),
    "approval: given twice": put(lambda given: [given[0], *given], "plan", "signatures"),
    "approval: of somebody else": sign_again,
    "release: left out": drop("plan", "signatures", 2),
    "evidence: document": put(flip_hex, "evidence", 0, "fields", "document_sha256"),
    "evidence: bytes": put(lambda text: flip(text, -1), "evidence", 0, "encoding"),
    "evidence: proof": put(flip, "evidence", 0, "proof", 0),
    "evidence: left out": drop("evidence", 1),
    "evidence: swapped": swap("evidence"),
    "entry: head's bytes": put(lambda text: flip(text, -1), "entries", 0, "encoding"),
    "entry: transfer's bytes": put(lambda text: flip(text, 70), "entries", 1, "encoding"),
    "entry: field": put(lambda minor: minor + 1, "entries", 1, "fields", "amount_minor"),
    "entry: place": put(lambda place: place + 1, "entries", 1, "position"),
    "entry: place as a fraction": put(lambda place: place + 0.0, "entries", 1, "position"),
    "entry: size": put(lambda size: size - 1, "entries", 1, "size"),
    "entry: proof": put(flip, "entries", 1, "proof", 0),
    "entry: proof's end": put(lambda text: flip(text, -1), "entries", 1, "proof", -1),
    "entry: proof swapped": swap("entries", 1, "proof"),
    "entry: proof cut": drop("entries", 1, "proof", -1),
    "entry: proof longer": put(lambda proof: [*proof, proof[0]], "entries", 1, "proof"),
    "entry: head left out": drop("entries", 0),
    "entry: hold left out": drop("entries", 1),
    "entry: settlement left out": put(lambda leaves: leaves[:2] + leaves[4:], "entries"),
    "entry: return left out": put(lambda leaves: leaves[:4], "entries"),
    "entries: swapped": swap("entries"),
    "entries: given twice": put(lambda leaves: [leaves[0], *leaves], "entries"),
    "entries: none": put(lambda _: [], "entries"),
    "checkpoint: origin": note(lambda lines: ["sam.example/books", *lines[1:]]),
    "checkpoint: size": note(lambda lines: [lines[0], "8", *lines[2:]]),
    "checkpoint: root": note(lambda lines: [*lines[:2], flip(lines[2]), *lines[3:]]),
    "checkpoint: log's signature": note(signature_line(4)),
    "checkpoint: witness's signature": note(signature_line(5)),
    "checkpoint: second witness's": note(signature_line(6)),
    "checkpoint: log's left out": note(lambda lines: [*lines[:4], *lines[5:]]),
    "checkpoint: witness left out": note(lambda lines: [*lines[:5], *lines[6:]]),
    "checkpoint: a line more": note(lambda lines: [*lines[:3], "paid", *lines[3:]]),
    "a part more": lambda bundle: bundle.update(note="paid in full"),
    "a part less": drop("registration"),
}  # fmt: skip


def test_every_changed_bundle_is_refused(payments: Payments) -> None:
    true = json.loads(payments.bundle("A1"))
    verify_bundle.verify(json.dumps(true), LOG_VKEY, WITNESS_VKEYS)
    believed = []
    for name, mutate in MUTATIONS.items():
        changed = copy.deepcopy(true)
        mutate(changed)
        try:
            verify_bundle.verify(json.dumps(changed), LOG_VKEY, WITNESS_VKEYS)
            believed.append(name)
        except verify_bundle.Untrue:
            pass
    assert believed == []


@pytest.mark.parametrize("name", list(MUTATIONS)[::3])
def test_script_refuses_twenty_changed_bundles(
    payments: Payments, tmp_path: Path, name: str
) -> None:
    changed = json.loads(payments.bundle("A1"))
    MUTATIONS[name](changed)
    code, says = run(tmp_path, json.dumps(changed))
    assert (code, says.split(":")[0]) == (1, "REFUSED")


def test_every_byte_counts(payments: Payments) -> None:
    """Every character that is not space between parts, changed to another."""
    text = json.dumps(json.loads(payments.bundle("A1")))
    believed = []
    for number in range(0, len(text), 7):
        other = "1" if text[number] == "0" else "0" if text[number].isdigit() else "x"
        changed = text[:number] + other + text[number + 1 :]
        try:
            verify_bundle.verify(changed, LOG_VKEY, WITNESS_VKEYS)
            believed += (
                [] if changed == text or text[number] == " " else [changed[number - 20 :][:40]]
            )
        except verify_bundle.Untrue:
            pass
    assert believed == []


def test_part_that_stands_twice_is_refused(payments: Payments) -> None:
    text = payments.bundle("A1").replace('"payment":', '"payment": "unpaid", "payment":', 1)
    with pytest.raises(verify_bundle.Untrue, match="twice"):
        verify_bundle.verify(text, LOG_VKEY, WITNESS_VKEYS)


def test_parts_of_another_payment_are_refused(payments: Payments) -> None:
    own, other = json.loads(payments.bundle("A1")), json.loads(payments.bundle("A2"))
    for part in ("payment", "registration", "decision", "plan", "evidence", "entries"):
        mixed = {**own, part: other[part]}
        with pytest.raises(verify_bundle.Untrue):
            verify_bundle.verify(json.dumps(mixed), LOG_VKEY, WITNESS_VKEYS)


def test_signatures_of_another_plan_are_refused(payments: Payments) -> None:
    other = Payments(payments.books, "plan_2")
    mixed = json.loads(payments.bundle("A1"))
    checkpoint = payments.checkpoint()
    leaves = entry_leaves(payments.books.conn, "A1", checkpoint.size)
    text = bundle("A1", other.plan("A1"), leaves, payments.evidence("A1"), checkpoint)
    mixed["plan"] = json.loads(text)["plan"]
    with pytest.raises(verify_bundle.Untrue, match="plan"):
        verify_bundle.verify(json.dumps(mixed), LOG_VKEY, WITNESS_VKEYS)


def test_older_checkpoint_does_not_hold_the_payment(payments: Payments) -> None:
    own = json.loads(payments.bundle("A1"))
    root = payments.books.conn.execute(
        "SELECT tree_size, root FROM books.tree ORDER BY tree_size LIMIT 1"
    ).fetchone()
    payments.books.fund(5)
    seal_waiting(payments.books.conn)
    now = state(payments.books.conn)
    for checkpoint in (Checkpoint(ORIGIN, *root), Checkpoint(ORIGIN, now.size, now.root)):
        changed = {**own, "checkpoint": signed(checkpoint).note}
        if changed != own:
            with pytest.raises(verify_bundle.Untrue):
                verify_bundle.verify(json.dumps(changed), LOG_VKEY, WITNESS_VKEYS)
    assert root_at(payments.books.conn, now.size) == now.root


def test_forged_log_is_refused_by_the_keys_you_hold(payments: Payments) -> None:
    true = payments.checkpoint()
    alone = Checkpoint(true.origin, true.size, true.root).signed_by([sign(true, LOG)])
    text = payments.bundle("A1", alone)
    verify_bundle.verify(text, LOG_VKEY)
    for log, witnesses in ((LOG_VKEY, WITNESS_VKEYS), (WITNESS_VKEYS[0], []), ("x+00+AA==", [])):
        with pytest.raises(verify_bundle.Untrue):
            verify_bundle.verify(text, log, witnesses)


def test_one_person_may_not_act_twice(books: Books) -> None:
    """A plan whose approver also released it: everything true, and refused."""
    made = Payments(books)
    first = made.signatures[0]
    message = f"cva/released/v1\n{made.plan_id}\n{made.digest.hex()}\n".encode()
    made.signatures[2] = PlanSignature(
        "released", first.person_id, first.public_key, PEOPLE["per_deniz"].sign(message)
    )
    made.pay()
    with pytest.raises(verify_bundle.Untrue, match="acted twice"):
        verify_bundle.verify(made.bundle("A1"), LOG_VKEY, WITNESS_VKEYS)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "{", '{"format": 1}', "[" * 100_000])
def test_what_is_no_bundle_is_refused(tmp_path: Path, text: str) -> None:
    code, says = run(tmp_path, text)
    assert (code, says.split(":")[0]) == (1, "REFUSED")


def test_payment_not_sealed_has_no_bundle(books: Books) -> None:
    books.hold({"A1": 300})
    books.conn.commit()
    with pytest.raises(Refusal, match="leaf_unknown"):
        entry_leaves(books.conn, "A1", 0)
