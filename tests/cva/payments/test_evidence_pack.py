"""A sample drawn by an auditor, and its pack checked by somebody without this program."""

import csv
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from psycopg import sql

from cva import transparency
from cva.database.connect import transaction
from ledgers.entries import EntryHead
from ledgers.transfers import transfer
from tests.cva.payments.agency import VAULT, Agency
from tests.databases import ROOT

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


@pytest.fixture
def log_key(paid: Agency) -> str:
    with transaction(paid.engine) as conn:
        transparency.make_checkpoint(conn, VAULT, "amal.example/books", NOON)
        return transparency.vkey_of(conn, "log")


class Typed:
    """Runs `cva audit sample` as Ines would, with the auditor's address only."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        wanted = {"PATH", "HOME", "CVA_HOME", "CVA_AUDITOR_DATABASE_URL", "CVA_NOW"}
        given = {name: value for name, value in environment.items() if name in wanted}
        self.environment = given | {
            "DATABASE_URL": environment["CVA_AUDITOR_DATABASE_URL"], "COLUMNS": "80",
            "CVA_USER": "ines", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.folder = folder

    def __call__(self, *words: str, out: str = "pack", ends: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from cva.cli.main import main; main()", "audit", "sample",
             "--seed", "picked on 5 March", "--out", out, *words],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout or done.stderr

    def lines(self, out: str = "pack") -> list[dict[str, str]]:
        with (self.folder / out / "sample.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def typed(environment: dict[str, str], tmp_path: Path) -> Typed:
    return Typed(environment, tmp_path)


@pytest.mark.usefixtures("paid")
def test_pack_is_checked_offline_by_its_own_script(typed: Typed, log_key: str) -> None:
    said = typed("--method", "random", "--size", "100", "--programme", "spring")
    assert max(map(len, said.splitlines())) <= 80

    lines = typed.lines()
    pack = typed.folder / "pack"
    bundles = sorted(path.name for path in (pack / "bundles").iterdir())
    assert [line["evidence"] for line in lines] == [
        f"bundles/{line['instruction']}.json" for line in lines
    ]
    assert len(bundles) == len(lines) == 3
    for line in lines:
        checked = subprocess.run(
            [sys.executable, "-I", "verify_bundle.py", line["evidence"], "--log-key", log_key],
            cwd=pack, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (checked.returncode, checked.stdout.splitlines()[0]) == (0, "TRUE"), checked.stdout
        minor = line["amount"].replace(".", "")
        assert f"{minor} paid" in checked.stdout
    readme = (pack / "README.md").read_text(encoding="utf-8")
    assert "3 of the lines are payments with a bundle" in readme
    assert "cva audit sample --seed 'picked on 5 March'" in readme
    checkpoint = (pack / "checkpoint.txt").read_text(encoding="utf-8").splitlines()
    assert f"its second line is {checkpoint[1]}," in readme


@pytest.mark.usefixtures("log_key")
def test_money_unit_pack_explains_its_interval_and_repeats(typed: Typed, paid: Agency) -> None:
    words = ("--method", "money-unit", "--size", "4", "--account", "1110.MARKET-CARDS.TRY")
    typed(*words, "--from", "2026-03-01", "--to", "2026-03-31")
    typed(*words, out="again")

    assert typed.lines() == typed.lines("again")
    lines = typed.lines()
    interval = (100_000_000 + 2_025_000) // 4  # the funding and three loads
    funding = next(line for line in lines if line["phase"] == "leg")
    assert (funding["stratum"], funding["evidence"]) == (
        "interval and above",
        "none: not a payment",
    )
    assert sum(int(line["hits"]) for line in lines) >= 4
    readme = (typed.folder / "pack" / "README.md").read_text(encoding="utf-8")
    assert f"interval: {interval // 100:,}.{interval % 100:02d} TRY" in readme
    everything = "".join(
        path.read_text(encoding="utf-8")
        for path in (typed.folder / "pack").rglob("*")
        if path.is_file()
    )
    for name in paid.names.values():
        assert name not in everything


@pytest.mark.usefixtures("log_key")
def test_strata_are_listed_with_what_was_drawn(typed: Typed) -> None:
    said = typed(
        "--method", "stratified", "--size", "3", "--by", "province", "--by", "band", "--band",
        "6000.00", "--currency", "TRY", "--account", "5020.TRY", "--format", "json",
    )  # fmt: skip
    assert [(row["stratum"], row["lines"], row["drawn"]) for row in json.loads(said)] == [
        ("TR-34 / 6000.00 and above", 1, 1),
        ("TR-63 / 6000.00 and above", 1, 1),
        ("TR-63 / below 6000.00", 1, 1),
    ]
    with (typed.folder / "pack" / "strata.csv").open(encoding="utf-8", newline="") as file:
        assert [row["amount"] for row in csv.DictReader(file)] == ["9000.00", "6000.00", "5250.00"]


def test_payment_that_went_on_after_the_checkpoint_says_so(
    typed: Typed, paid: Agency, log_key: str
) -> None:
    assert log_key
    instruction = str(paid.one("SELECT instruction_ref FROM payments.line WHERE line_no = 1"))
    with transaction(paid.engine) as conn:
        conn.execute("SELECT books.seal()")
    typed("--size", "100", "--account", "5020.TRY", out="before")
    assert {line["evidence"][:7] for line in typed.lines("before")} == {"bundles"}
    _give_back(paid, instruction)
    typed("--size", "100", "--account", "5020.TRY", out="after")
    told = {line["instruction"]: line["evidence"] for line in typed.lines("after")}
    assert told[instruction] == "none: it went on after the checkpoint"
    assert len(told) == 3


def _give_back(agency: Agency, instruction: str) -> None:
    """What a provider returned, recorded in the books by hand and sealed."""
    source = sql.SQL(
        "SELECT credit_account_id, debit_account_id, amount_minor, currency, grant_code,"
        " programme_id, cycle_id, provider, location, instruction_ref, NULL::bigint, NULL::date"
        " FROM books.transfer WHERE phase = 'posted' AND instruction_ref = {}"
    ).format(sql.Literal(instruction))
    day = datetime(2026, 3, 5, tzinfo=UTC).date()
    head = EntryHead(
        "je_00000000000000000000000077", "returned", "load_returned", day, "Deniz", "advice 9",
        recorded_on=day,
    )  # fmt: skip
    with transaction(agency.engine) as conn:
        transfer(conn, head, source)
    with transaction(agency.engine) as conn:
        conn.execute("SELECT books.seal()")


@pytest.mark.usefixtures("log_key")
def test_sample_that_cannot_be_drawn_is_refused_and_nothing_is_written(typed: Typed) -> None:
    for words, ends, code in (
        (("--size", "3", "--programme", "nothing"), 4, "programme_not_found"),
        (("--size", "3", "--log-size", "999"), 4, "checkpoint_unknown"),
        (("--size", "3", "--band", "10.00"), 2, "--currency"),
        (("--size", "3", "--province", "TR-99"), 1, "sample_of_nothing"),
    ):
        assert code in typed(*words, ends=ends)
        assert not (typed.folder / "pack").exists()
    (typed.folder / "pack").mkdir()
    (typed.folder / "pack" / "notes.txt").write_text("mine", encoding="utf-8")
    assert "pack_folder_taken" in typed("--size", "3", ends=1)
    assert [path.name for path in (typed.folder / "pack").iterdir()] == ["notes.txt"]
