"""The bank's channel over real HTTP: an independent bank, and servers that misbehave."""

import hashlib
import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from adapters.bank import NOT_SENT, BankChannel, Patience
from adapters.iso20022 import Iso20022
from adapters.port import (
    Document,
    Instruction,
    Observation,
    Outcome,
    Receipt,
    StatementBalance,
    StatementLine,
)
from adapters.simulators.bank import MAILBOX_PATH, SimulatedBank
from ledgers.problems import Finding, Refusal
from tests.adapters.bank_orders import AGENCY_IBAN, iban, instructions, order

MONDAY_MORNING = datetime(2026, 3, 2, 9, 0)  # noqa: DTZ001 - the bank's local time
FLOAT_MINOR = 10_000_000
FAST = Patience(connect_seconds=1, answer_seconds=1, attempts=2, wait=lambda _seconds: None)
AMAL, DENIZ, OMAR = (line.ref for line in instructions(3))


@pytest.fixture
def bank() -> Iterator[SimulatedBank]:
    with SimulatedBank(MONDAY_MORNING) as running:
        running.open_account("AGENCY", AGENCY_IBAN, name="Umut", balance_minor=FLOAT_MINOR)
        yield running


def file_of(tmp_path: Path, lines: Iterable[Instruction]) -> tuple[str, Path, str]:
    listed = list(lines)
    head = order(listed, execute_on=date(2026, 3, 3))
    path = tmp_path / f"{head.message_id}.xml"
    with path.open("wb") as out:
        control = Iso20022().render(head, listed, out)
    return path.name, path, control.sha256


class Mailbox:
    """Everything a bank said since the last look."""

    def __init__(self, channel: BankChannel) -> None:
        self.channel = channel
        self.seen: set[str] = set()

    def verdicts(self) -> list[tuple[str, Outcome, str]]:
        """Observations and findings of new messages, without what was told twice."""
        said: dict[tuple[str, Outcome, str], None] = {}
        for document in self.channel.collect():
            if document.name in self.seen:
                continue
            self.seen.add(document.name)
            for reading in Iso20022().read(document):
                if isinstance(reading, Observation):
                    said[reading.ref or "file", reading.outcome, reading.reason_code] = None
                elif isinstance(reading, Finding):
                    said["finding", Outcome.UNKNOWN, reading.problem.code] = None
        return list(said)


# --- a whole cycle with a bank that others wrote ---------------------------------------------


def test_a_plan_is_accepted_executed_and_booked(bank: SimulatedBank, tmp_path: Path) -> None:
    mailbox = Mailbox(bank.channel())

    receipt = mailbox.channel.hand_over(*file_of(tmp_path, instructions(3)))

    assert receipt == Receipt(Outcome.ACCEPTED, "HTTP 202 ACCP", "01KJN9Y5V0FILE00000000001")
    assert mailbox.verdicts() == [
        ("file", Outcome.ACCEPTED, "ACCP"),
        (AMAL, Outcome.ACCEPTED, "ACCP"),
        (DENIZ, Outcome.ACCEPTED, "ACCP"),
        (OMAR, Outcome.ACCEPTED, "ACCP"),
    ]
    bank.advance(1)  # the day of execution comes
    executed = [(ref, Outcome.EXECUTED, "") for ref in (AMAL, DENIZ, OMAR)]
    assert mailbox.verdicts() == executed
    bank.advance_to(date(2026, 3, 4))  # and ends with a statement
    assert mailbox.verdicts() == executed
    assert bank.balance_minor("AGENCY") == FLOAT_MINOR - 300_006


def test_the_statement_explains_the_banks_own_balance(bank: SimulatedBank, tmp_path: Path) -> None:
    channel = bank.channel()
    channel.hand_over(*file_of(tmp_path, instructions(3)))
    bank.advance(2)

    readings = [r for document in channel.collect() for r in Iso20022().read(document)]

    lines = [r for r in readings if isinstance(r, StatementLine)]
    closing = [r for r in readings if isinstance(r, StatementBalance) and r.kind == "closing"]
    assert [(line.account, line.amount_minor, line.kind, line.ref) for line in lines] == [
        (AGENCY_IBAN, -100_001, "payment", AMAL),
        (AGENCY_IBAN, -100_002, "payment", DENIZ),
        (AGENCY_IBAN, -100_003, "payment", OMAR),
    ]
    assert closing[-1].amount_minor == bank.balance_minor("AGENCY")
    assert not [r for r in readings if isinstance(r, Finding)]


@pytest.mark.parametrize(
    ("closed", "behaviour", "reason"),
    [(True, "accept", "AC04"), (False, "closed-account", "AC04"), (False, "bad-bank-id", "RC01")],
)
def test_a_closed_account_is_rejected_and_the_others_are_paid(
    bank: SimulatedBank, tmp_path: Path, *, closed: bool, behaviour: str, reason: str
) -> None:
    bank.open_account("DENIZ", iban(2), closed=closed, behaviour=behaviour)
    mailbox = Mailbox(bank.channel())

    receipt = mailbox.channel.hand_over(*file_of(tmp_path, instructions(3)))

    assert (receipt.outcome, receipt.detail) == (Outcome.ACCEPTED, "HTTP 202 PART")
    assert mailbox.verdicts() == [
        ("file", Outcome.ACCEPTED, "PART"),
        (AMAL, Outcome.ACCEPTED, "ACCP"),
        (DENIZ, Outcome.REJECTED, reason),
        (OMAR, Outcome.ACCEPTED, "ACCP"),
    ]
    bank.advance(2)
    assert mailbox.verdicts() == [(AMAL, Outcome.EXECUTED, ""), (OMAR, Outcome.EXECUTED, "")]


def test_a_silent_bank_says_nothing_until_its_statement(
    bank: SimulatedBank, tmp_path: Path
) -> None:
    bank.steer("AGENCY", "silent")
    mailbox = Mailbox(bank.channel())

    receipt = mailbox.channel.hand_over(*file_of(tmp_path, instructions(1)))

    assert receipt.outcome is Outcome.ACCEPTED
    assert mailbox.verdicts() == []
    bank.advance(1)
    assert mailbox.verdicts() == [(AMAL, Outcome.EXECUTED, "")]


def test_a_payment_comes_back_later_with_its_reason(bank: SimulatedBank, tmp_path: Path) -> None:
    bank.steer("AGENCY", "return-later", days=2, reason="AC04", end_to_end_id=DENIZ)
    mailbox = Mailbox(bank.channel())
    mailbox.channel.hand_over(*file_of(tmp_path, instructions(2)))
    bank.advance(2)
    assert mailbox.verdicts()[-2:] == [(AMAL, Outcome.EXECUTED, ""), (DENIZ, Outcome.EXECUTED, "")]

    bank.advance(2)

    assert mailbox.verdicts() == [
        ("finding", Outcome.UNKNOWN, "iso20022_return_message"),
        (DENIZ, Outcome.RETURNED, "AC04"),
    ]
    assert bank.balance_minor("AGENCY") == FLOAT_MINOR - 100_001


def test_an_entry_missing_from_the_statement_is_seen(bank: SimulatedBank, tmp_path: Path) -> None:
    bank.steer("AGENCY", "statement-gap")
    mailbox = Mailbox(bank.channel())
    mailbox.channel.hand_over(*file_of(tmp_path, instructions(2)))
    bank.advance(2)
    assert mailbox.verdicts()[-1] == ("finding", Outcome.UNKNOWN, "camt_balances_differ")


def test_the_same_file_twice_is_executed_once(bank: SimulatedBank, tmp_path: Path) -> None:
    mailbox = Mailbox(bank.channel())
    file = file_of(tmp_path, instructions(1))
    mailbox.channel.hand_over(*file)

    again = mailbox.channel.hand_over(*file)

    assert (again.outcome, again.detail) == (
        Outcome.ACCEPTED,
        "already has it: HTTP 422 RJCT DUPL",
    )
    assert mailbox.verdicts() == [
        ("file", Outcome.ACCEPTED, "ACCP"),
        (AMAL, Outcome.ACCEPTED, "ACCP"),
        ("file", Outcome.ACCEPTED, "DUPL"),
    ]
    bank.advance(2)
    assert bank.balance_minor("AGENCY") == FLOAT_MINOR - 100_001


def test_a_file_the_bank_refuses_is_rejected_as_a_whole(
    bank: SimulatedBank, tmp_path: Path
) -> None:
    bank.steer("AGENCY", "reject-file")
    mailbox = Mailbox(bank.channel())

    receipt = mailbox.channel.hand_over(*file_of(tmp_path, instructions(2)))

    assert (receipt.outcome, receipt.detail) == (Outcome.REJECTED, "HTTP 422 RJCT FF01")
    assert mailbox.verdicts() == [("file", Outcome.REJECTED, "FF01")]
    bank.advance(2)
    assert mailbox.verdicts() == []
    assert bank.balance_minor("AGENCY") == FLOAT_MINOR


def test_a_message_stays_in_the_mailbox_until_it_was_kept(
    bank: SimulatedBank, tmp_path: Path
) -> None:
    channel = bank.channel()
    channel.hand_over(*file_of(tmp_path, instructions(1)))
    first: list[Document] = list(channel.collect())
    assert [document.name for document in first] == ["pain.002.001.10-1.xml"]
    assert list(channel.collect()) == first


def test_a_wrong_password_brings_nothing_and_is_no_verdict_on_the_file(
    bank: SimulatedBank, tmp_path: Path
) -> None:
    locked = BankChannel(bank.url, bank.user, "guessed", mailbox_path=MAILBOX_PATH, patience=FAST)

    receipt = locked.hand_over(*file_of(tmp_path, instructions(1)))

    assert receipt == Receipt(Outcome.UNKNOWN, f"{NOT_SENT}: no access (HTTP 401)")
    with pytest.raises(Refusal, match=r"bank_mailbox_closed: .*HTTP 401"):
        list(locked.collect())
    assert list(bank.channel().collect()) == []


def test_a_bank_that_is_down_got_nothing_and_gets_the_same_file_later(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    waits: list[int] = []
    patience = Patience(connect_seconds=1, answer_seconds=1, attempts=3, wait=waits.append)
    channel = BankChannel(f"http://127.0.0.1:{port}", "agency", "secret", patience=patience)

    receipt = channel.hand_over(*file_of(tmp_path, instructions(1)))

    assert receipt == Receipt(Outcome.UNKNOWN, f"{NOT_SENT}: no connection (ConnectError)")
    assert waits == [1, 1]
    with pytest.raises(Refusal, match="bank_mailbox_closed"):
        list(channel.collect())


def test_a_stopped_bank_starts_empty_again() -> None:
    bank = SimulatedBank(MONDAY_MORNING)
    for _ in range(2):
        bank.start()
        bank.open_account("AGENCY", AGENCY_IBAN)
        bank.stop()
        bank.stop()


def test_orders_the_simulated_bank_cannot_follow_are_refused(bank: SimulatedBank) -> None:
    with pytest.raises(Refusal, match="simulated_bank_not_steered"):
        bank.steer("AGENCY", "generous")


def test_a_simulated_bank_that_cannot_start_says_so() -> None:
    with pytest.raises(Refusal, match=r"simulated_bank_not_started: .*Atlantis"):
        SimulatedBank(MONDAY_MORNING, timezone="Atlantis/Capital").start()


# --- servers that misbehave --------------------------------------------------------------------


@contextmanager
def answering(*answers: tuple[int, bytes, dict[str, str]]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives `answers` in turn and keeps what it was sent."""
    left, bodies = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.do_GET()

        def do_GET(self) -> None:
            status, content, headers = left.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()


def answered(tmp_path: Path, status: int, content: bytes = b"") -> tuple[Outcome, str]:
    with answering((status, content, {})) as (url, _):
        channel = BankChannel(url, "agency", "secret", patience=FAST)
        receipt = channel.hand_over(*file_of(tmp_path, instructions(1)))
    return receipt.outcome, receipt.detail


@pytest.mark.parametrize(
    ("status", "content", "outcome"),
    [
        (202, b"", Outcome.ACCEPTED),
        (202, b"{broken", Outcome.UNKNOWN),
        (202, b"[]", Outcome.UNKNOWN),
        (200, b"<html>Log in</html>", Outcome.UNKNOWN),
        (302, b"", Outcome.UNKNOWN),
        (400, b'{"status": "RJCT", "reason": "FF01"}', Outcome.REJECTED),
        (400, b"Bad Request", Outcome.UNKNOWN),
        (404, b"", Outcome.UNKNOWN),
        (409, b"{}", Outcome.UNKNOWN),
        (413, b"", Outcome.UNKNOWN),
        (422, b"", Outcome.UNKNOWN),
        (422, b'{"status": "RJCT", "reason": "DU01"}', Outcome.ACCEPTED),
        (500, b'{"status": "RJCT", "reason": "FF01"}', Outcome.UNKNOWN),
        (503, b"", Outcome.UNKNOWN),
    ],
)
def test_only_a_clear_answer_is_more_than_unknown(
    tmp_path: Path, status: int, content: bytes, outcome: Outcome
) -> None:
    assert answered(tmp_path, status, content)[0] is outcome


def test_prose_of_the_bank_is_not_repeated(tmp_path: Path) -> None:
    said = json.dumps({"status": "RJCT", "reason": "AC01", "reason_text": f"{iban(1)} is closed"})
    assert answered(tmp_path, 422, said.encode()) == (Outcome.REJECTED, "HTTP 422 RJCT AC01")


def test_a_busy_bank_is_asked_again_when_it_says(tmp_path: Path) -> None:
    waits: list[int] = []
    patience = Patience(attempts=3, wait=waits.append)
    busy = (429, b"", {"Retry-After": "7"})
    late = (429, b"", {"Retry-After": "86400"})
    name, path, sha256 = file_of(tmp_path, instructions(1))

    with answering(busy, late, (202, b"{}", {})) as (url, bodies):
        channel = BankChannel(url, "agency", "secret", patience=patience)
        receipt = channel.hand_over(name, path, sha256)

    assert receipt.outcome is Outcome.ACCEPTED
    assert waits == [7, 60]
    assert bodies == [path.read_bytes()] * 3


def test_a_bank_that_stays_busy_got_nothing(tmp_path: Path) -> None:
    with answering((429, b"", {}), (429, b"", {})) as (url, _):
        channel = BankChannel(url, "agency", "secret", patience=FAST)
        receipt = channel.hand_over(*file_of(tmp_path, instructions(1)))
    assert receipt == Receipt(Outcome.UNKNOWN, f"{NOT_SENT}: the bank is busy (HTTP 429)")


@contextmanager
def mute(*, hangs_up: bool) -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes a request and never answers, or hangs up."""
    received: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            data = b""
            while b"</Document>" not in data:
                data += connection.recv(65536)
            received.append(data)
            if not hangs_up:
                connection.recv(1)  # until the other side gives up

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
        thread.join()


@pytest.mark.parametrize(
    ("hangs_up", "error"), [(True, "RemoteProtocolError"), (False, "ReadTimeout")]
)
def test_no_answer_after_sending_is_unknown_and_not_tried_again(
    tmp_path: Path, *, hangs_up: bool, error: str
) -> None:
    with mute(hangs_up=hangs_up) as (url, received):
        channel = BankChannel(url, "agency", "secret", patience=FAST)
        receipt = channel.hand_over(*file_of(tmp_path, instructions(1)))

    assert receipt == Receipt(Outcome.UNKNOWN, f"no answer ({error})")
    assert len(received) == 1
    assert b"Idempotency-Key: 01KJN9Y5V0FILE00000000001.xml" in received[0]


def test_a_file_that_is_not_the_released_one_never_leaves(tmp_path: Path) -> None:
    name, path, sha256 = file_of(tmp_path, instructions(1))
    path.write_bytes(path.read_bytes().replace(b"1000.01", b"9000.01"))

    with answering() as (url, bodies), pytest.raises(Refusal, match="bank_file_changed"):
        BankChannel(url, "agency", "secret").hand_over(name, path, sha256)

    assert bodies == []
    assert hashlib.sha256(path.read_bytes()).hexdigest() != sha256


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (500, b"[]"),
        (200, b"<html/>"),
        (200, b'{"messages": []}'),
        (200, b'[{"id": 1, "type": "pain.002"}]'),
    ],
)
def test_a_mailbox_that_cannot_be_read_is_a_refusal(status: int, content: bytes) -> None:
    with answering((status, content, {})) as (url, _):
        channel = BankChannel(url, "agency", "secret", patience=FAST)
        with pytest.raises(Refusal, match="bank_mailbox_closed"):
            list(channel.collect())
