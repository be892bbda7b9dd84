"""R1 to R9 as finance asks for them: from the database, and against files of somebody else."""

import json
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from adapters.simulators.card_processor import CardProcessor
from cva.database.connect import transaction
from cva.payments import matching
from cva.reports.reconciliations import NEEDS, TITLES, Asked, Code, make
from ledgers.matching.reports import Part, Report
from ledgers.matching.sources import Side
from ledgers.problems import Refusal
from tests.cva.payments.agency import BUDGET_MINOR, GRANT, Agency
from tests.databases import ROOT

FLOAT = "1110.MARKET-CARDS.TRY"


class Typed:
    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment | {
            "COLUMNS": "80", "CVA_USER": "deniz", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        self.folder = folder

    def __call__(self, *words: str, ends: int = 0) -> str:
        return self.ledger("reconciliations", *words, ends=ends)

    def ledger(self, *words: str, ends: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from cva.cli.main import main; main()", "ledger", *words],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout + done.stderr

    def file(self, **figures: str) -> Path:
        rows = "".join(f"{key},{amount}\n" for key, amount in figures.items())
        path = self.folder / "theirs.csv"
        path.write_text(f"key,amount\n{rows}", encoding="utf-8")
        return path


def made(agency: Agency, code: str, **asked: object) -> Report:
    with transaction(agency.engine) as conn:
        return make(conn, Code(code), Asked(agency.clock.today(), "TRY", **asked)).report


def of(report: Report) -> list[tuple]:
    return [(d.name, d.count, d.difference_minor) for d in report.differences]


@pytest.fixture
def typed(environment: dict[str, str], tmp_path: Path) -> Typed:
    return Typed(environment, tmp_path)


@pytest.fixture
def settled(cards: Agency, processor: CardProcessor) -> Agency:
    """Loads of 6,000.00 and half of 10,500.00; the one in silence is still on hold."""
    plan = cards.released(cards.prepare())
    cards.send(plan)
    processor.run_once()
    cards.collect()
    cards.settle(plan)
    return cards


def test_every_report_has_a_title_and_says_what_it_needs() -> None:
    assert set(NEEDS) == set(TITLES) == set(Code)


@pytest.mark.usefixtures("settled")
def test_all_nine_at_a_glance_and_one_in_full(typed: Typed) -> None:
    rows = json.loads(typed("--format", "json"))
    assert [(row["report"], row["state"]) for row in rows] == [
        ("R1 issuance", "agrees"), ("R2 wallets", "needs --file"),
        ("R3 merchants", "needs --comparison"), ("R4 settlements", "needs --comparison"),
        ("R5 funds", "needs --provider --file"), ("R6 in transit", "agrees"),
        ("R7 bank", "needs --comparison"), ("R8 control accounts", "agrees"),
        ("R9 grants", "needs --file"),
    ]  # fmt: skip
    theirs = typed.file(**{FLOAT: "988743.00"})
    shown = typed("R5", "--provider", "MARKET-CARDS", "--file", theirs.name)
    assert max(map(len, shown.splitlines())) <= 80
    assert re.search(r"R5 funds +MARKET-CARDS +988,750\.00 +988,743\.00 +7\.00 +0\.00 +open", shown)
    assert re.search(r"short +1 +7\.00 TRY +open", shown)


def test_issuance_tells_what_became_of_the_approved_lines(settled: Agency) -> None:
    report = made(settled, "R1")
    held = settled.one("SELECT sum(amount_minor) FROM books.transfer WHERE phase = 'pending'")
    assert report.parts[:5] == [
        Part("approved", 5, held), Part("instructed", 5, held),
        Part("posted", 2, 600_000 + 525_000), Part("failed", 1, 750_000 + 525_000),
        Part("pending", 2, 900_000 + 1_200_000),
    ]  # fmt: skip
    assert report.differences == []
    assert made(settled, "R1", plan="plan_0").parts[0].count == 0


def test_a_past_day_counts_what_was_there_and_is_refused_where_nobody_knows(
    settled: Agency, typed: Typed
) -> None:
    today = settled.clock.today()
    yesterday = today - timedelta(days=1)
    with transaction(settled.engine) as conn:
        then = make(conn, Code.R1, Asked(yesterday, "TRY", today=today)).report
        assert (then.parts[:3], then.differences) == (
            [Part("approved", 0, 0), Part("instructed", 0, 0), Part("posted", 0, 0)], [],
        )  # fmt: skip
        assert make(conn, Code.R8, Asked(today, "TRY", today=today)).report.open is False
        with pytest.raises(Refusal, match="reconciliation_of_today: The reconciliation R8 cannot"):
            make(conn, Code.R8, Asked(yesterday, "TRY", today=today))
    rows = json.loads(typed("--on", "2026-03-01", "--format", "json"))
    assert [row["state"] for row in rows if row["report"].startswith("R8")] == ["of today only"]
    assert "reconciliation_of_today" in typed("R8", "--on", "2026-03-01", ends=2)


def test_commitments_stand_for_plans_and_holds(settled: Agency) -> None:
    report = made(settled, "R8")
    on_hold = 900_000 + 1_200_000
    assert (report.ours_minor, report.theirs_minor, report.open) == (on_hold, on_hold, False)


def test_approved_plan_is_a_commitment_before_its_release(cards: Agency) -> None:
    plan = cards.approved(cards.prepare())
    report = made(cards, "R8")
    assert (report.ours_minor, report.theirs_minor) == (plan.total_minor, plan.total_minor)


def test_funds_and_grants_are_held_against_files(settled: Agency, typed: Typed) -> None:
    left = typed.file(**{FLOAT: f"{(BUDGET_MINOR - 600_000 - 525_000) / 100:.2f}"})
    assert of(made(settled, "R5", provider="MARKET-CARDS", file=left)) == []
    figures = typed.file(**{f"{GRANT}/spent": "11250.00", f"{GRANT}/received": "999999.00"})
    assert of(made(settled, "R9", file=figures)) == [("short", 1, 100)]
    wallets = typed.file(**{"MARKET-CARDS/hh": "5.00"})
    assert of(made(settled, "R2", file=wallets)) == [("unknown", 1, -500)]


def test_statements_are_held_against_the_books(settled: Agency, typed: Typed) -> None:
    mixed = typed.folder / "mixed.csv"
    mixed.write_text(
        "statement_id,line_id,amount,currency,value_on\n"
        "S1,1,-5.00,TRY,2026-03-02\nS1,2,-5.00,USD,2026-03-02\n",
        encoding="utf-8",
    )
    who = {"person_id": settled.id_of("deniz"), "on": settled.clock.today()}
    with transaction(settled.engine) as conn:
        matching.bring_in(conn, "MARKET-CARDS", **who)
        matching.bring_in_file(conn, "MIXED", Side.THEIRS, mixed, **who)
        matching.match_by_rules(conn, "MARKET-CARDS", at=settled.clock.now(), **who)
    report = made(settled, "R7", comparison="MARKET-CARDS")
    assert [part.name for part in report.parts][:2] == ["ours", "theirs"]
    assert report.unnamed_minor == 0
    with pytest.raises(Refusal, match="comparison_without_lines"):
        made(settled, "R3", comparison="NOBODY")
    with pytest.raises(Refusal, match="comparison_currencies"):
        made(settled, "R7", comparison="MIXED")


def test_what_is_missing_or_unreadable_is_said(cards: Agency, typed: Typed) -> None:
    with pytest.raises(Refusal, match="reconciliation_needs"):
        made(cards, "R5", provider="MARKET-CARDS")
    (typed.folder / "bad.csv").write_text(
        "key,amount,currency\n1110.X.TRY,ten,TRY\n,5.00,TRY\n1110.Y.TRY,5.00,USD\n",
        encoding="utf-8",
    )
    said = typed("R9", "--file", "bad.csv", ends=1)
    assert said.count("figure_unreadable") == 3
    assert "figures_unreadable" in said
    other = typed.folder / "other.csv"
    other.write_text("name,value\n", encoding="utf-8")
    with pytest.raises(Refusal, match="figures_unreadable"):
        made(cards, "R9", file=other)


def test_an_entry_is_shown_with_its_lines(settled: Agency, typed: Typed) -> None:
    ((entry,),) = settled.rows("SELECT entry_ref FROM books.entry WHERE event = 'load_settled'")
    told = json.loads(typed.ledger("show", entry, "--format", "json"))
    assert (told["entry"][0]["event"], told["entry"][0]["by"]) == ("load_settled", "deniz")
    assert [(line["what"], line["debit"], line["credit"], line["amount"], line["province"])
            for line in told["lines"]] == [
        ("posted", "5020.TRY", FLOAT, "6000.00", "TR-63"),
        ("voided", "5020.TRY", FLOAT, "7500.00", "TR-63"),
        ("posted", "5020.TRY", FLOAT, "5250.00", "TR-63"),
    ]  # fmt: skip
    assert "The first 2 of 3 lines" in typed.ledger("show", entry, "--limit", "2")
    nowhere = json.loads(typed.ledger("show", entry, "--province", "TR-99", "--format", "json"))
    assert nowhere["lines"] == []
    ((code,),) = settled.rows("SELECT code FROM programme.programme")
    of_programme = json.loads(typed.ledger("show", entry, "--programme", code, "--format", "json"))
    assert of_programme == told
    assert "programme_not_found" in typed.ledger("show", entry, "--programme", "x", ends=4)
    kept = json.loads(typed.ledger("register", "5020.TRY", "--programme", code, "--format", "json"))
    assert [(row["entry"], row["balance"]) for row in kept] == [(entry, "11250.00")]
    assert "entry_not_found" in typed.ledger("show", "je_" + "0" * 26, ends=4)
