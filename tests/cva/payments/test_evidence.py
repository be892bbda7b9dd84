"""From a plan to a bundle that another agency's auditor believes, over the real commands."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cva import transparency
from cva.database.connect import transaction
from cva.vault import Vault
from ledgers.problems import Refusal
from ledgers.transparency import proofs, verify_bundle
from ledgers.transparency.checkpoint import parse_growth, public_key, require_signed
from tests.cva.payments.agency import VAULT, Agency
from tests.databases import ROOT

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
LOG, WITNESS = "amal.example/books", "other.example/w1"
OTHER_VAULT = Vault(bytes(range(1, 33)))


def line(agency: Agency, number: int) -> str:
    return str(
        agency.rows(f"SELECT instruction_ref FROM payments.line WHERE line_no = {number}")[0][0]
    )


def checkpoint(agency: Agency) -> str:
    with transaction(agency.engine) as conn:
        transparency.make_checkpoint(conn, VAULT, LOG, NOON)
        return transparency.vkey_of(conn, "log")


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (1, "600000 on hold, 600000 paid"),  # told by the result file
        (2, "750000 on hold, 0 paid"),  # rejected there
        (3, "900000 on hold, 900000 paid"),  # told by an inquiry, settled by another entry
        (4, "1050000 on hold, 525000 paid"),  # half of it
    ],
)
def test_every_outcome_has_a_bundle_that_verifies(paid: Agency, number: int, says: str) -> None:
    log_key = checkpoint(paid)
    with transaction(paid.engine) as conn:
        text = transparency.bundle_of(conn, line(paid, number))
    assert says in "\n".join(verify_bundle.verify(text, log_key))
    for name in paid.names.values():
        assert name not in text
        assert name.split()[0] not in text


def test_bundle_holds_the_decision_and_document_of_the_rows(paid: Agency) -> None:
    log_key = checkpoint(paid)
    with transaction(paid.engine) as conn:
        text = transparency.bundle_of(conn, line(paid, 1))
        documents = {row[0].hex() for row in conn.execute("SELECT sha256 FROM payments.document")}
    lines = verify_bundle.verify(text, log_key)
    (shown,) = [said.rsplit(" ", 1)[1] for said in lines if said.startswith("provider's")]
    assert shown in documents
    assert '"run_id": "run_' in text


def test_payment_after_the_checkpoint_and_unknown_ones_have_none(paid: Agency) -> None:
    with transaction(paid.engine) as conn, pytest.raises(Refusal, match="checkpoint_unknown"):
        transparency.bundle_of(conn, line(paid, 1))
    with transaction(paid.engine) as conn:
        for refused, code in ((line(paid, 6), "leaf_unknown"), ("X1", "payment_unknown")):
            transparency.make_checkpoint(conn, VAULT, LOG, NOON)
            with pytest.raises(Refusal, match=code):
                transparency.bundle_of(conn, refused)


def test_witness_of_another_agency_sees_the_log_grow(paid: Agency) -> None:
    """Both agencies in one database here; what one knows of the other is text only."""
    log_key = checkpoint(paid)
    with transaction(paid.engine) as conn:
        asked = parse_growth(transparency.request(conn, 0).body)
        said = transparency.witness(conn, OTHER_VAULT, asked, log_key, name=WITNESS, at=NOON)
        witness_key = transparency.vkey_of(conn, "witness")
        first = transparency.add_cosignature(conn, said, witness_key, NOON)
        assert require_signed(first, public_key(witness_key)) == int(NOON.timestamp())
        size = first.size
    paid.fund("provider_funded", 500, key="more")
    with transaction(paid.engine) as conn:
        later = transparency.make_checkpoint(conn, VAULT, None, NOON)
        assert (later.size, len(later.signatures)) == (size + 1, 1)
        # What the witness sent late still finds its own checkpoint.
        assert transparency.add_cosignature(conn, said, witness_key, NOON).size == size
        with pytest.raises(Refusal, match="checkpoint_inconsistent"):
            transparency.witness(
                conn, OTHER_VAULT, transparency.request(conn, 0), log_key, name=None, at=NOON
            )
        grown = transparency.request(conn, size)
        said = transparency.witness(conn, OTHER_VAULT, grown, log_key, name=None, at=NOON)
        both = transparency.add_cosignature(conn, said, witness_key, NOON)
        text = transparency.bundle_of(conn, line(paid, 1))
    assert len(both.signatures) == 2
    assert verify_bundle.verify(text, log_key, [witness_key])[0] == "TRUE"


def test_what_does_not_fit_is_refused(paid: Agency) -> None:
    with transaction(paid.engine) as conn:
        with pytest.raises(Refusal, match="log_name_missing"):
            transparency.make_checkpoint(conn, VAULT, None, NOON)
        with pytest.raises(Refusal, match="log_name_missing"):
            transparency.vkey_of(conn, "log")
        for name in ("", "two words", "a+b"):
            with pytest.raises(Refusal, match="log_name_unusable"):
                transparency.make_checkpoint(conn, VAULT, name, NOON)
        made = transparency.make_checkpoint(conn, VAULT, LOG, NOON)
        assert transparency.make_checkpoint(conn, VAULT, "ignored", NOON) == made
        with pytest.raises(Refusal, match="sealed_damaged"):
            transparency.make_checkpoint(conn, OTHER_VAULT, None, NOON)
        log_key = transparency.vkey_of(conn, "log")
        with pytest.raises(Refusal, match="cosignature_unfit"):
            transparency.add_cosignature(conn, f"{made.signatures[0]}\n", log_key, NOON)
        with pytest.raises(Refusal, match=proofs.LOG_SIZE_UNKNOWN.code):
            transparency.request(conn, made.size + 1)


class Typed:
    """Runs `cva` as a person would, in the environment of this test's database."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment, self.folder = environment | {"COLUMNS": "80"}, folder

    def __call__(self, *words: str, ends: int = 0) -> str:
        given = [
            str(self.folder / word) if word.endswith((".txt", ".json")) else word for word in words
        ]
        done = subprocess.run(
            [sys.executable, "-c", "from cva.cli.main import main; main()", "audit", *given],
            env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout or done.stderr


@pytest.fixture
def typed(paid: Agency, environment: dict[str, str], tmp_path: Path) -> Typed:
    assert paid.cycle_id
    key_file = Path(environment["CVA_KEY_FILE"])
    key_file.parent.mkdir(mode=0o700)
    key_file.touch(mode=0o600)
    key_file.write_bytes(bytes(range(32)))
    return Typed(environment, tmp_path)


def test_commands_go_from_checkpoint_to_bundle(paid: Agency, typed: Typed) -> None:
    assert "log_name_missing" in typed("checkpoint", ends=2)
    assert typed("checkpoint", "--name", LOG).startswith(LOG + "\n")
    typed("checkpoint", "--since", "0", "--out", "request.txt")
    log_key = typed("key").strip()
    typed("witness", "request.txt", "--log-key", log_key, "--name", WITNESS, "--out", "word.txt")
    witness_key = typed("key", "--witness").strip()
    typed("checkpoint", "--cosignature", "word.txt", "--witness-key", witness_key)
    assert "0 entries wait" in typed("state")

    reference = line(paid, 1)
    shown = typed("proof", reference)
    assert "pending" in shown
    assert "posted" in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert "proof_of_what" in typed("proof", "something", ends=2)
    assert "leaf_unknown" in typed("proof", "je_00000000000000000000000000", ends=4)

    typed("bundle", reference, "--out", "bundle.json")
    given = ("--log-key", log_key, "--witness-key", witness_key)
    believed = typed("verify", "bundle.json", *given)
    assert believed.startswith("TRUE\n")
    bundle = typed.folder / "bundle.json"
    bundle.write_text(bundle.read_text(encoding="utf-8").replace('"eligible"', '"review"'), "utf-8")
    assert "bundle_untrue" in typed("verify", "bundle.json", *given, ends=1)
    alone = subprocess.run(
        [sys.executable, "-I", verify_bundle.__file__, str(bundle), *given],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (alone.returncode, alone.stdout.split(":")[0]) == (1, "REFUSED")
