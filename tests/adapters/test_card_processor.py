"""The simulated card processor: each fault, its own books, and what a crash leaves."""

import hashlib
import io
import sqlite3
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from adapters.cards import CardFiles, FolderChannel
from adapters.port import (
    Document,
    Evidence,
    Instruction,
    Observation,
    Operation,
    Order,
    Outcome,
    StatementBalance,
    StatementLine,
)
from adapters.simulators.card_processor import CardProcessor
from ledgers.problems import Finding

GOLDEN = Path(__file__).parents[1] / "golden" / "cards"
LOAD = (GOLDEN / "load.txt").read_bytes()
PLAN = "01J8ZK4Q6T3V5W7X9Y2ABCDEFG"
FILES = CardFiles("CVA-BASIC-TR", "TRY", 2)
SETTLE_ON = date(2026, 8, 2)


def order(lines: list[Instruction], message_id: str = PLAN) -> Order:
    return Order(
        message_id=message_id,
        operation=Operation.LOAD,
        created_at=datetime(2026, 8, 1, 9, 0, tzinfo=UTC),
        execute_on=SETTLE_ON,
        currency="TRY",
        exponent=2,
        control_count=len(lines),
        control_sum_minor=sum(line.amount_minor for line in lines),
        debtor_name="Relief Agency",
        debtor_account="CVA-BASIC-TR",
    )


def loads(*packs: str, plan: str = PLAN, amount_minor: int = 125_050) -> list[Instruction]:
    return [
        Instruction(f"{plan}{number:07d}", amount_minor, pack)
        for number, pack in enumerate(packs, 1)
    ]


class World:
    """A processor and our channel to it, in one temporary folder."""

    def __init__(self, root: Path, float_minor: int = 2_000_000) -> None:
        self.root = root
        self.float_minor = float_minor
        self.channel = FolderChannel(root / "inbox", root / "outbox")
        self.processor = self.start()

    def start(self) -> CardProcessor:
        return CardProcessor(
            self.root / "inbox", self.root / "outbox", self.root / "state.db", self.float_minor, 50
        )

    def send(self, name: str, content: bytes) -> Outcome:
        path = self.root / "rendered"
        path.write_bytes(content)
        return self.channel.hand_over(name, path, hashlib.sha256(content).hexdigest()).outcome

    def load(self, lines: list[Instruction], message_id: str = PLAN) -> list[Observation]:
        """Send a load file, let the processor run, return what its newest file says."""
        out = io.BytesIO()
        FILES.render(order(lines, message_id), lines, out)
        self.send(f"{message_id}-{len(self.names())}.txt", out.getvalue())
        self.processor.run_once()
        return self.newest()

    def ask(self, *refs: str) -> list[Observation]:
        out = io.BytesIO()
        FILES.inquiry(order([], "QUESTION"), refs, out)
        self.send(f"ask-{len(self.names())}.txt", out.getvalue())
        self.processor.run_once()
        return self.newest()

    def names(self) -> list[str]:
        return [document.name for document in self.channel.collect()]

    def newest(self) -> list[Observation]:
        readings = list(FILES.read(list(self.channel.collect())[-1]))
        assert not [item for item in readings if isinstance(item, Finding)]
        return [item for item in readings if isinstance(item, Observation)]

    def settle(self, on_date: date = SETTLE_ON) -> tuple[list[int], list[StatementLine]]:
        """Return the opening and closing float, and the movements, of the newest settlement."""
        assert self.processor.settle(on_date) == 1
        readings = list(FILES.read(list(self.channel.collect())[-1]))
        balances = [item.amount_minor for item in readings if isinstance(item, StatementBalance)]
        return balances, [item for item in readings if isinstance(item, StatementLine)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    here = World(tmp_path)
    with here.processor:
        yield here


def said(observations: list[Observation]) -> list[tuple[str, str, int | None, str]]:
    return [(o.ref[-3:], o.outcome, o.amount_minor, o.reason_code) for o in observations]


def test_a_day_at_the_processor_gives_the_golden_files(world: World) -> None:
    world.send("load.txt", LOAD)
    world.processor.run_once()
    world.send("inquiry.txt", (GOLDEN / "inquiry.txt").read_bytes())
    world.processor.run_once()
    world.processor.settle(SETTLE_ON)
    world.send("load-again.txt", LOAD)
    world.processor.run_once()
    given = ("result.txt", "answer.txt", "settlement.txt", "reject.txt")
    assert list(world.channel.collect()) == [
        Document(f"{number:06d}-{name}", (GOLDEN / name).read_bytes())
        for number, name in enumerate(given, 1)
    ]


def test_each_pack_chooses_its_own_fault(world: World) -> None:
    lines = loads("VC-00001234", "VC-00001901", "VC-00001902", "VC-00001903", "VC-00001904")
    assert said(world.load(lines)) == [
        ("001", "executed", 125_050, ""),
        ("002", "rejected", None, "51"),
        ("004", "executed", 62_500, "61"),
    ]
    assert said(world.ask(*(line.ref for line in lines))) == [
        ("001", "executed", 125_050, ""),
        ("002", "rejected", None, "51"),
        ("003", "executed", 125_050, ""),
        ("004", "executed", 62_500, "61"),
        ("005", "rejected", None, "NOT_FOUND"),
    ]


def test_not_found_is_not_authoritative_for_a_programme_the_processor_never_met(
    world: World,
) -> None:
    assert said(world.ask(f"{PLAN}0000001")) == [("001", "unknown", None, "NOT_FOUND")]


def test_question_never_misses_a_load_that_lies_beside_it(world: World) -> None:
    lines = loads("VC-00001234")
    for name, write in (
        ("a-question.txt", lambda out: FILES.inquiry(order([], "Q"), [lines[0].ref], out)),
        ("b-load.txt", lambda out: FILES.render(order(lines), lines, out)),
    ):
        out = io.BytesIO()
        write(out)
        world.send(name, out.getvalue())
    assert world.processor.run_once() == 2
    assert world.names() == ["000001-result.txt", "000002-answer.txt"]
    assert said(world.newest()) == [("001", "executed", 125_050, "")]


def test_half_load_too_small_for_a_whole_unit_is_rejected(world: World) -> None:
    assert said(world.load(loads("VC-00001903", amount_minor=199))) == [
        ("001", "rejected", None, "51")
    ]


def test_file_handed_over_twice_loads_once(world: World) -> None:
    lines = loads("VC-00001234")
    out = io.BytesIO()
    FILES.render(order(lines), lines, out)
    for _ in range(2):
        assert world.send("load.txt", out.getvalue()) is Outcome.ACCEPTED
        world.processor.run_once()
    assert world.names() == ["000001-result.txt"]
    assert world.processor.available_minor("CVA-BASIC-TR") == 2_000_000 - 125_050 - 50


def test_file_id_used_again_is_rejected_and_loads_nothing(world: World) -> None:
    world.load(loads("VC-00001234"))
    (observation,) = world.load(loads("VC-00001235", "VC-00001236"))
    assert (observation.ref, observation.message_id) == ("", PLAN)
    assert (observation.outcome, observation.reason_code) == (Outcome.UNKNOWN, "F03")
    assert world.processor.available_minor("CVA-BASIC-TR") == 2_000_000 - 125_050 - 50


def test_reference_sent_again_in_another_file_is_answered_and_not_loaded(world: World) -> None:
    lines = loads("VC-00001234", "VC-00001235")
    first = world.load(lines)
    changed = [lines[0], replace(lines[1], amount_minor=1)]
    again = world.load(changed, message_id="ANOTHERFILE")
    assert again[0] == replace(first[0], message_id="ANOTHERFILE", place=again[0].place)
    assert said(again)[1] == ("002", "unknown", None, "94")
    assert world.processor.available_minor("CVA-BASIC-TR") == 2_000_000 - 2 * 125_100


def test_float_is_never_overdrawn(tmp_path: Path) -> None:
    here = World(tmp_path, float_minor=250_199)
    with here.processor:
        observations = here.load(loads("VC-00001234", "VC-00001235", "VC-00001236"))
        assert said(observations) == [
            ("001", "executed", 125_050, ""),
            ("002", "rejected", None, "71"),
            ("003", "rejected", None, "71"),
        ]
        assert here.settle()[0] == [0, 250_199 - 125_100]


def with_a_reference_twice() -> bytes:
    """Return a load file whose totals agree, so that only the repeated reference is wrong."""
    head, first, second, *_ = LOAD.decode().split("\n")
    ref = first.split("|")[2]
    fields = second.split("|")
    fields[2] = ref
    hashed = 2 * zlib.crc32(f"{ref}|125050".encode())
    records = (head, first, "|".join(fields), f"T|2|250100|{hashed % 10**10:010d}", "")
    return "\n".join(records).encode()


@pytest.mark.parametrize(
    ("code", "content"),
    [
        ("F02", LOAD.replace(b"|125050|", b"|125051|", 1)),
        ("F04", LOAD.replace(b"|TRY|2|", b"|USD|2|")),
        ("F05", with_a_reference_twice()),
    ],
)
def test_spoilt_file_is_rejected_whole_and_a_right_one_follows(
    world: World, code: str, content: bytes
) -> None:
    world.load(loads("VC-00001234", plan="FIRST"), message_id="FIRST")
    world.send("spoilt.txt", content)
    world.processor.run_once()
    reject = list(world.channel.collect())[-1]
    assert reject.name == "000002-reject.txt"
    assert reject.content.split(b"\n")[0].endswith(f"|{PLAN}".encode())
    assert reject.content.split(b"\n")[1].startswith(f"E|{code}|".encode())
    assert sorted(path.name for path in (world.root / "outbox").iterdir()) == world.names()
    assert said(world.load(loads("VC-00001234", "VC-00001235"))) == [
        ("001", "executed", 125_050, ""),
        ("002", "executed", 125_050, ""),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\n",
        b"hello\n",
        LOAD.replace(b"CVA-CARD-1", b"CVA-CARD-2"),
        LOAD.replace(b"|TRY|2|", b"|TRY|x|"),
        LOAD.replace(b"|125050|", b"|-125050|", 1),
        LOAD.replace(b"|2026-08-02", b"|2026-02-30", 1),
        LOAD + b"D|7\n",
        LOAD[:300],
    ],
)
def test_unreadable_file_is_rejected_and_nothing_is_loaded(world: World, content: bytes) -> None:
    world.send("load.txt", content)
    assert world.processor.run_once() == 1
    (document,) = world.channel.collect()
    assert document.name == "000001-reject.txt"
    assert b"\nE|F01|" in document.content
    assert world.processor.available_minor("CVA-BASIC-TR") == 2_000_000


def test_settlement_books_what_was_loaded_and_the_float_goes_on(world: World) -> None:
    lines = loads("VC-00001234", "VC-00001901", "VC-00001902", "VC-00001903", "VC-00001904")
    world.load(lines)
    balances, movements = world.settle()
    assert balances == [0, 2_000_000 - 125_050 * 2 - 62_500 - 150]
    assert [(line.kind, line.ref[-3:], line.amount_minor) for line in movements] == [
        ("funding", "", 2_000_000),
        ("payment", "001", -125_050),
        ("payment", "003", -125_050),
        ("payment", "004", -62_500),
        ("fee", "", -150),
    ]
    world.load(loads("VC-00001235", plan="NEXT"), message_id="NEXT")
    following, movements = world.settle(date(2026, 8, 3))
    assert following == [balances[1], balances[1] - 125_100]
    assert [line.kind for line in movements] == ["payment", "fee"]
    assert following[1] == world.processor.available_minor("CVA-BASIC-TR")


def test_date_settled_already_is_settled_again_only_for_new_loads(world: World) -> None:
    world.load(loads("VC-00001234"))
    world.settle()
    assert world.processor.settle(SETTLE_ON) == 0
    world.load(loads("VC-00001235", plan="NEXT"), message_id="NEXT")
    assert [line.ref for line in world.settle()[1]] == ["NEXT0000001", ""]


def test_load_is_not_settled_before_it_is_effective(world: World) -> None:
    world.load(loads("VC-00001234"))
    assert [line.kind for line in world.settle(date(2026, 8, 1))[1]] == ["funding"]
    assert [line.kind for line in world.settle()[1]] == ["payment", "fee"]


def test_processor_without_a_programme_settles_nothing(world: World) -> None:
    assert world.processor.settle(SETTLE_ON) == 0


def test_processor_killed_after_its_commit_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = loads("VC-00001234")
    out = io.BytesIO()
    FILES.render(order(lines), lines, out)
    world.send("load.txt", out.getvalue())

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            world.processor.run_once()
    assert world.names() == []
    world.processor.close()
    with world.start() as processor:
        assert processor.run_once() == 0
        assert said(world.newest()) == [("001", "executed", 125_050, "")]
        assert processor.available_minor("CVA-BASIC-TR") == 2_000_000 - 125_100
    assert [path.name for path in (world.root / "inbox" / "taken").iterdir()] == ["load.txt"]


def test_another_file_under_a_taken_name_is_kept_beside_it(world: World) -> None:
    for message_id in ("FIRST", "SECOND"):
        lines = loads("VC-00001234", plan=message_id)
        out = io.BytesIO()
        FILES.render(order(lines, message_id), lines, out)
        (world.root / "inbox" / "load.txt").write_bytes(out.getvalue())
        world.processor.run_once()
    taken = sorted(path.name for path in (world.root / "inbox" / "taken").iterdir())
    assert taken == ["load.txt", "load.txt.2"]


def test_processor_runs_as_a_program(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "load.txt").write_bytes(LOAD)
    command = [
        *(sys.executable, "-m", "adapters.simulators.card_processor", "--once"),
        *("--inbox", str(inbox), "--outbox", str(tmp_path / "outbox")),
        *("--state", str(tmp_path / "state.db"), "--float-minor", "2000000"),
        *("--fee-minor-per-load", "50", "--settle", "2026-08-02"),
    ]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert run.stdout == "files taken: 1, settlement files written: 1\n"
    first, second = sorted((tmp_path / "outbox").iterdir())
    assert first.read_bytes() == (GOLDEN / "result.txt").read_bytes()
    assert second.name == "000002-settlement.txt"


def test_full_file_is_loaded_and_agrees_with_the_settlement(tmp_path: Path) -> None:
    count = 131_072
    here = World(tmp_path, float_minor=10**13)
    lines = [
        Instruction(f"{PLAN}{number:07d}", 125_050, f"VC-{number:08d}") for number in range(count)
    ]
    faults = Counter(line.destination[-3:] for line in lines)
    with here.processor:
        answered = here.load(lines)
        assert len(answered) == count - faults["902"] - faults["904"]
        _, movements = here.settle()
        settled = sum(line.kind == "payment" for line in movements)
        assert settled == count - faults["901"] - faults["904"]
        loaded = (settled - faults["903"]) * 125_050 + faults["903"] * 62_500
        assert sum(line.amount_minor for line in movements if line.kind == "payment") == -loaded
        assert {item.evidence for item in answered} == {Evidence.STATUS_REPORT}
    with sqlite3.connect(tmp_path / "state.db") as state:
        assert state.execute("SELECT count(DISTINCT ref) FROM loads").fetchone() == (
            count - faults["904"],
        )
    state.close()
