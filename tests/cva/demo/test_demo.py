"""The demo's path at a small size: what it tells is computed, and nothing personal stays behind."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest

from cva.database import programs
from cva.database.cluster import Cluster, Role
from cva.database.connect import reading
from cva.demo import running, telling
from cva.demo.playing import Act
from cva.reports.reach import Totals, reach
from ledgers import balances, verification
from ledgers.problems import Refusal
from tests.databases import ROOT, Database, create_database, drop_database

SHIPPED = Path(running.__file__).parent.parent / "programmes"
SMALL = Path(__file__).parent / "small.yaml"
# Quotas of the two plays, by programme: the second takes fewer households everywhere.
QUOTAS = {
    "first": {
        "market-card": {"TR-01": 31, "TR-34": 41, "TR-63": 20},
        "debit-card": {"TR-34": 41},
        "bank-transfer": None,
    },
    "second": {
        "market-card": {"TR-01": 20, "TR-34": 17, "TR-63": 11},
        "debit-card": {"TR-34": 25},
        "bank-transfer": 12,
    },
}


@dataclass(frozen=True)
class Play:
    """One play of the demo: its acts, what it told, and where it left things."""

    database: Database
    acts: list[Act]
    told: dict[str, dict[str, str]]
    said: str
    folder: Path
    home: Path


def programmes(folder: Path, quotas: dict[str, dict[str, int] | int | None]) -> Path:
    """Write the shipped programmes with other quotas."""
    folder.mkdir()
    for code, quota in quotas.items():
        text = (SHIPPED / f"{code}.yaml").read_text(encoding="utf-8")
        if isinstance(quota, dict):
            inner = ", ".join(f"{province}: {count}" for province, count in quota.items())
            text, count = re.subn(r"households: \{TR-.*\}", f"households: {{{inner}}}", text)
        elif isinstance(quota, int):
            text, count = re.subn(r"(?m)^(    households:) \d+$", rf"\1 {quota}", text)
        else:
            count = 1
        assert count == 1, f"the quota of {code} was not found"
        (folder / f"{code}.yaml").write_text(text, encoding="utf-8")
    return folder


def played(cluster: Cluster, template: str, name: str, seed: int, folder: Path) -> Iterator[Play]:
    create_database(cluster, name, template)
    database = Database(cluster, name)
    home, out = folder / "home", folder / "out"
    home.mkdir(mode=0o700)
    out.mkdir()
    said: list[str] = []
    engine = database.engine()
    files = programmes(folder / "programmes", QUOTAS[name.removeprefix("demo_")])
    acts = running.play(
        engine, out, home, seed=seed, shape=SMALL, programmes=files, say=said.append
    )
    with reading(engine) as conn:
        told = {act.programme.code: dict(telling.told(conn, act)) for act in acts}
    yield Play(database, acts, told, "\n".join(said), out, home)
    database.close()
    drop_database(cluster, name)


@pytest.fixture(scope="module")
def first(
    cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Play]:
    yield from played(cluster, template, "demo_first", 2026, tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def second(
    cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Play]:
    yield from played(cluster, template, "demo_second", 7, tmp_path_factory.mktemp("second"))


def test_demo_pays_everybody_who_was_selected_once(first: Play) -> None:
    told = first.told

    assert told["market-card"]["selected"] == "92 households"
    assert told["market-card"]["stopped"] == "4 lines: 4 duplicate"
    assert told["market-card"]["UNKNOWN"] == "1 line, 1 resolved later"
    assert told["market-card"]["delivered"] == (
        "90 households, 450 people in 3 provinces, after follow-up"
    )
    assert told["debit-card"]["delivered"] == (
        "40 households, 190 people in 1 province, after follow-up"
    )
    assert told["bank-transfer"]["delivered"] == (
        "20 households, 110 people in 1 province, after follow-up"
    )
    assert "unexplained difference 0.00 TRY" in first.said


def test_another_seed_and_other_quotas_change_every_figure(first: Play, second: Play) -> None:
    computed = ("selected", "planned", "loaded", "delivered")

    same = [
        (code, stage)
        for code, stages in first.told.items()
        for stage in computed
        if stages[stage] == second.told[code][stage]
    ]

    assert same == []
    assert second.told["market-card"]["selected"] == "48 households"
    assert "unexplained difference 0.00 TRY" in second.said


def test_money_is_conserved_over_each_programme(first: Play) -> None:
    for act in first.acts:
        assert act.reconciliation is not None
        assert act.reconciliation.unexplained_minor == 0
        assert act.reconciliation.ledger_minor == act.reconciliation.booked_minor
    with reading(first.database.engine()) as conn:
        verified = verification.verify(conn)
        rows = balances.trial_balance(conn)
    assert verified.sound
    assert sum(r.posted_debit_minor - r.posted_credit_minor for r in rows) == 0
    assert all(r.pending_debit_minor == r.pending_credit_minor == 0 for r in rows)


def test_bean_check_agrees_with_the_books(first: Play) -> None:
    books = first.folder / "books.beancount"
    checked = subprocess.run(
        [Path(sys.executable).parent / "bean-check", books],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert books.read_text(encoding="utf-8").count("\n2026-") > 100


@pytest.mark.tool("hledger")
def test_hledger_agrees_with_the_books(first: Play) -> None:
    checked = subprocess.run(
        ["hledger", "-f", str(first.folder / "books.journal"), "check"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert (checked.returncode, checked.stderr) == (0, "")


def personal_values(play: Play) -> set[str]:
    """Full names, ids, phones and IBANs of the registrations that were made for the play."""
    values: set[str] = set()
    for name in ("registrations", "corrections"):
        book = openpyxl.load_workbook(play.home / "kobo" / f"{name}.xlsx", read_only=True)
        for sheet in book:
            rows = sheet.iter_rows(values_only=True)
            header = [str(cell) for cell in next(rows)]
            wanted = {"phone", "iban", "id_number", "address", "account_holder"}
            for row in rows:
                record = {k: str(v) for k, v in zip(header, row, strict=True) if v}
                values |= {v for k, v in record.items() if k in wanted}
                if "given_name" in record and "family_name" in record:
                    values.add(f"{record['given_name']} {record['family_name']}")
                    values.add(record["given_name"] + '","' + record["family_name"])
        book.close()
    return {value for value in values if len(value) > 5}  # shorter ones occur by chance


def test_nothing_personal_is_left_behind(first: Play, cluster: Cluster) -> None:
    values = personal_values(first)
    assert len(values) > 500
    dump = subprocess.run(
        [programs.tool("pg_dump"), first.database.address(Role.SUPERUSER)],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "registry.identifier" in dump

    places = {"dump": dump, "said": first.said}
    for path in [*first.folder.rglob("*"), *(first.home / "work").rglob("*"), *logs(cluster)]:
        if path.is_file():
            places[path.name] = path.read_bytes().decode("utf-8", errors="replace")

    found = {(place, value) for place, text in places.items() for value in values if value in text}
    assert found == set()


def logs(cluster: Cluster) -> list[Path]:
    found = [path for path in cluster.log.rglob("*") if path.is_file()]
    assert found
    return found


def test_report_opens_offline_and_holds_its_figures(first: Play) -> None:
    page = (first.folder / "reach.html").read_text(encoding="utf-8")

    assert page.count("<svg") == 3
    assert "<script" not in page
    outside = set(re.findall(r"""(?:src|href)\s*=\s*["'](?!#)([^"']+)""", page))
    assert outside == set()
    assert "450" in page
    assert "Şanlıurfa" in page


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work", encoding="utf-8")
    with pytest.raises(Refusal, match="demo_folder_not_ours"):
        running.run(tmp_path, seed=1, say=print)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "three years of work"


def test_reach_counts_what_arrived_and_each_person_once(first: Play) -> None:
    with reading(first.database.engine()) as conn:
        found = reach(conn, date(2026, 1, 1), date(2026, 12, 31))
        lines = conn.execute(
            "SELECT c.programme_id, l.household_id, l.people FROM payments.line_state l"
            " JOIN programme.cycle c USING (cycle_id) WHERE loaded_minor > returned_minor"
        ).fetchall()
    by_programme = {(programme, household): people for programme, household, people in lines}
    once = {household: people for (_, household), people in by_programme.items()}

    counted = {
        code: (
            sum(row.households for row in found.rows if row.programme == code),
            sum(row.people for row in found.rows if row.programme == code),
        )
        for code in first.told
    }
    assert counted == {
        "market-card": (90, 450), "debit-card": (40, 190), "bank-transfer": (20, 110),
    }  # fmt: skip
    assert found.totals == Totals(
        len(by_programme), sum(by_programme.values()), len(once), sum(once.values())
    )
    assert found.totals.unique_people < found.totals.people
    assert sum(row.outstanding_minor for row in found.rows) == 0
    loaded = sum(row.loaded_minor - row.returned_minor for row in found.rows)
    assert loaded == sum(row.entitled_minor for row in found.rows)


# Runs commands one after the other in one process, as quickly as a person could not.
TYPE_ALL = """
import contextlib, io, json, sys
from cva.cli.main import command_line
said = []
for words in json.load(sys.stdin):
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with contextlib.redirect_stdout(out):
        command_line(words[0])(words, standalone_mode=False)
    out.flush()
    said.append(out.buffer.getvalue().decode())
json.dump(said, sys.stdout)
"""
AT_ONCE = 40
KEPT_WHOLE = re.compile(r"[a-z]{2,4}_[0-9a-z]{26}|[0-9A-Z]{33}|\d{4}(\.[A-Z][A-Z0-9-]*)+")


def typed_all(play: Play, commands: list[list[str]]) -> list[str]:
    """What the commands say on a screen of 80 columns; each keeps a connection to the end."""
    if len(commands) > AT_ONCE:
        return typed_all(play, commands[:AT_ONCE]) + typed_all(play, commands[AT_ONCE:])
    done = subprocess.run(
        [sys.executable, "-c", TYPE_ALL], input=json.dumps(commands), text=True, check=False,
        capture_output=True,
        env={
            "PATH": os.environ["PATH"], "COLUMNS": "80", "CVA_HOME": str(play.home),
            "DATABASE_URL": play.database.address(Role.APP), "PYTHONPATH": str(ROOT),
            "CVA_OWNER_DATABASE_URL": play.database.address(Role.OWNER),
            "CVA_AUDITOR_DATABASE_URL": play.database.address(Role.AUDITOR),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def values_of(answer: object) -> Iterator[str]:
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, list):
        for part in answer:
            yield from values_of(part)
    elif isinstance(answer, str):
        yield answer


def test_books_read_well_at_80_columns(first: Play) -> None:
    with reading(first.database.engine()) as conn:
        accounts = [row.code for row in balances.trial_balance(conn)]
        entries = [
            row[0] for row in conn.execute("SELECT DISTINCT ON (event) entry_ref FROM books.entry")
        ]
        comparisons = [
            row[0] for row in conn.execute("SELECT DISTINCT comparison FROM recon.source")
        ]
        instructions = [
            row[0]
            for row in conn.execute(
                "SELECT DISTINCT ON (plan_id) instruction_ref FROM payments.line_state"
                " WHERE state = 'loaded'"
            )
        ]
    span = ["--from", "2026-01-01", "--to", "2026-12-31"]
    shown = [
        ["ledger", "trial-balance"], ["ledger", "trial-balance", "--on", "2026-12-31"],
        ["ledger", "verify"], ["ledger", "exceptions"], ["ledger", "periods"],
        ["ledger", "reconciliations"], ["ledger", "reconciliations", "R1"],
        ["ledger", "reconciliations", "R6"], ["ledger", "reconciliations", "R8"],
        ["audit", "log"], ["audit", "state"],
        *(["ledger", "balance", code] for code in accounts[:2]),
        *(["ledger", "register", code] for code in accounts),
        *(["ledger", "show", entry, "--limit", "3"] for entry in entries),
        *(["ledger", "exceptions", name] for name in comparisons),
        *(["ledger", "reconciliations", "R7", "--comparison", name] for name in comparisons),
    ]  # fmt: skip
    texts = [["ledger", "statement", "account", code, *span] for code in accounts]
    texts += [["payments", "line", instruction] for instruction in instructions]

    tables = typed_all(first, shown + texts)
    answers = typed_all(first, [[*words, "--format", "json"] for words in shown])

    wide = [
        (" ".join(words), line)
        for words, table in zip(shown + texts, tables, strict=True)
        for line in table.splitlines()
        if len(line.rstrip()) > 80
    ]
    assert wide == []
    for words, table, answer in zip(shown, tables, answers, strict=False):
        told = list(values_of(json.loads(answer)))
        amounts = [f"{Decimal(value):,}" for value in told if re.fullmatch(r"-?\d+\.\d\d", value)]
        whole = [value for value in told if KEPT_WHOLE.fullmatch(value)]
        assert [value for value in amounts + whole if value not in table] == [], words
    assert sum("…" in table for table in tables) == 0
