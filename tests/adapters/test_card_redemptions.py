"""What recipients used, as the processor reports it: the file read, and the simulator's own."""

import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cards import CardFiles
from adapters.cards.layout import TRANSACTION_ID, is_card_number
from adapters.port import Document, Outcome, Reading, Redemption
from adapters.simulators.card_processor import CardProcessor
from ledgers.problems import Finding, Place
from tests.adapters.test_card_processor import FILES, World, loads

DAY = date(2026, 8, 3)
A_CARD_NUMBER = "4111111111111111"


def report(*rows: str, about: str = "2026-08-03", programme: str = "CVA-BASIC-TR") -> Document:
    """A report whose trailer agrees; rows are reference|kind|amount|transaction|vendor|day."""
    parts = [row.split("|") for row in rows]
    total = sum(int(part[2]) for part in parts)
    hashed = sum(zlib.crc32(f"{part[0]}|{part[2]}".encode()) for part in parts) % 10**10
    head = f"H|CVA-CARD-1|REDEMPTION|CP000009|{programme}|2026-08-03T19:00:00Z|TRY|2|9|{about}"
    details = (f"D|{number}|{row}" for number, row in enumerate(rows, start=1))
    text = "\n".join((head, *details, f"T|{len(rows)}|{total}|{hashed:010d}", ""))
    return Document("uses.txt", text.encode())


def read(*rows: str, **head: str) -> list[Reading]:
    return list(FILES.read(report(*rows, **head)))


def codes(readings: list[Reading]) -> list[str]:
    return [item.problem.code for item in readings if isinstance(item, Finding)]


def test_every_use_is_read_also_several_of_one_load() -> None:
    assert read(
        "REF1|PURCHASE|12550|T1|V001|2026-08-02",
        "REF1|REFUND|50|T2|V001|2026-08-03",
        "REF2|CASH|2000|T3||2026-08-01",
    ) == [
        Redemption(
            "CP000009", transaction, ref, kind, minor, "TRY", DAY, date(2026, 8, day), vendor,
            Place("uses.txt", row=row),
        )
        for transaction, ref, kind, minor, day, vendor, row in (
            ("T1", "REF1", "purchase", 12_550, 2, "V001", 2),
            ("T2", "REF1", "refund", 50, 3, "V001", 3),
            ("T3", "REF2", "cash", 2_000, 1, "", 4),
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("REF1|STOLEN|100|T1|V001|2026-08-02", "card_line_malformed"),
        ("REF1|PURCHASE|0|T1|V001|2026-08-02", "card_line_malformed"),
        ("REF1|PURCHASE|100||V001|2026-08-02", "card_line_malformed"),
        (f"REF1|PURCHASE|100|{A_CARD_NUMBER}|V001|2026-08-02", "card_line_malformed"),
        (f"REF1|PURCHASE|100|T1|{A_CARD_NUMBER}|2026-08-02", "card_number_found"),
        ("REF1|PURCHASE|100|T1|V 1|2026-08-02", "card_line_malformed"),
        ("REF1|PURCHASE|100|T1|V001|yesterday", "card_line_malformed"),
        ("|PURCHASE|100|T1|V001|2026-08-02", "card_line_malformed"),
        (f"{A_CARD_NUMBER}|PURCHASE|100|T1|V001|2026-08-02", "card_number_found"),
    ],
)
def test_a_use_that_cannot_be_read_is_a_finding_and_its_neighbour_stands(
    row: str, code: str
) -> None:
    readings = read(row, "REF2|PURCHASE|100|T2|V001|2026-08-02")
    assert codes(readings) == [code]
    assert [item.ref for item in readings if isinstance(item, Redemption)] == ["REF2"]
    assert A_CARD_NUMBER not in "".join(map(str, readings))


def test_a_report_that_is_cut_or_of_others_says_nothing() -> None:
    whole = report("REF1|PURCHASE|100|T1|V001|2026-08-02")
    cut = Document(whole.name, whole.content[: whole.content.index(b"T|1|")])
    assert codes(list(FILES.read(cut))) == ["card_trailer_missing"]
    assert codes(read("REF1|PURCHASE|1|T1||2026-08-02", programme="OTHERS")) == [
        "card_programme_differs"
    ]
    assert codes(read("REF1|PURCHASE|1|T1||2026-08-02", about="F1")) == ["card_head_malformed"]


@given(st.text(alphabet="0123456789", min_size=1, max_size=35))
def test_a_transaction_id_is_never_the_number_of_a_card(digits: str) -> None:
    assert TRANSACTION_ID.fullmatch(digits) is None
    assert is_card_number(A_CARD_NUMBER)


# --- the simulator ------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    here = World(tmp_path)
    with here.processor:
        yield here


def used(world: World, files: CardFiles = FILES) -> list[tuple[str, str, int, str]]:
    """(load, transaction, amount, vendor) of the newest report."""
    readings = list(files.read(list(world.channel.collect())[-1]))
    assert codes(readings) == []
    return [
        (item.ref[-3:], item.transaction_id, item.amount_minor, item.vendor)
        for item in readings
        if isinstance(item, Redemption)
    ]


def test_cards_use_a_share_of_what_is_left_and_then_the_rest(world: World) -> None:
    said = world.load(loads("VC-00001001", "VC-00002905", "VC-00003903", "VC-00004906"))
    assert {item.outcome for item in said} == {Outcome.EXECUTED}

    assert world.processor.redeem(DAY, 50) == 1
    first = used(world)

    assert first == [
        ("001", "CPT000000001", 62_500, "V002"),
        ("003", "CPT000000002", 31_200, "V003"),
        ("004", "CPT000000003", 62_500, "V004"),
        ("004", "CPT000000003", 62_500, "V004"),  # one use, reported twice
    ]
    assert world.processor.redeem(DAY, 50) == 0  # a date is reported once
    assert world.processor.redeem(date(2026, 8, 4)) == 1
    rest = used(world)
    assert [(ref, minor) for ref, _, minor, _ in rest] == [
        ("001", 62_550), ("003", 31_300), ("004", 62_550), ("004", 62_550),
    ]  # fmt: skip
    assert world.processor.redeem(date(2026, 8, 5)) == 1
    assert used(world) == []


def test_what_is_not_on_a_card_yet_is_not_used(world: World) -> None:
    world.load(loads("VC-00001001"))
    world.processor.redeem(date(2026, 8, 1))  # the load takes effect on the second
    assert used(world) == []


def test_the_program_reports_uses_when_asked(world: World) -> None:
    world.load(loads("VC-00001001"))
    root = world.root
    command = [sys.executable, "-m", "adapters.simulators.card_processor"]
    folders = ["--inbox", root / "inbox", "--outbox", root / "outbox", "--state", root / "state.db"]
    given_percent = ["--float-minor", "2000000", "--redeem", "2026-08-03", "--percent", "10"]
    run = subprocess.run(
        [*command, *map(str, folders), *given_percent], capture_output=True, text=True, check=True
    )
    assert run.stdout == (
        "files taken: 0, settlement files written: 0, redemption files written: 1\n"
    )
    assert used(world) == [("001", "CPT000000001", 12_500, "V002")]


def test_a_killed_processor_reports_the_same_uses(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.load(loads("VC-00001001"))
    world.processor.redeem(DAY)
    before = used(world)
    world.processor.close()
    with CardProcessor(
        tmp_path / "inbox", tmp_path / "outbox", tmp_path / "state.db", 2_000_000
    ) as again:
        assert again.redeem(DAY) == 0
    assert used(world) == before
