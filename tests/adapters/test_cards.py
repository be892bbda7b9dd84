"""The card processor's files and folder, seen from the programme's side."""

import hashlib
import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cards import REJECT_CODES, RESULT_CODES, CardFiles, FolderChannel
from adapters.cards.layout import is_card_number
from adapters.port import (
    Control,
    Document,
    Evidence,
    Instruction,
    Observation,
    Operation,
    Order,
    Outcome,
    Reading,
    Receipt,
    StatementBalance,
    StatementLine,
)
from adapters.simulators.card_wire import read_details, read_head, read_lines
from ledgers.problems import Finding, Place, Refusal

GOLDEN = Path(__file__).parents[1] / "golden" / "cards"
PLAN = "01J8ZK4Q6T3V5W7X9Y2ABCDEFG"
QUESTION = "01J8ZK9QUEST10N00000000000"
FILES = CardFiles("CVA-BASIC-TR", "TRY", 2)
NINE = datetime(2026, 8, 1, 9, 0, tzinfo=UTC)
CLOSE = datetime(2026, 8, 2, 18, 0, tzinfo=UTC)
PACKS = ("VC-00001234", "VC-00002901", "VC-00003902", "VC-00004903", "VC-00005904", "VC-00006235")
A_CARD_NUMBER = "4111-1111-1111-1111"


def ref(number: int) -> str:
    return f"{PLAN}{number:07d}"


LINES = tuple(Instruction(ref(i), 125_050, pack) for i, pack in enumerate(PACKS, 1))
ORDER = Order(
    message_id=PLAN,
    operation=Operation.LOAD,
    created_at=NINE,
    execute_on=date(2026, 8, 2),
    currency="TRY",
    exponent=2,
    control_count=6,
    control_sum_minor=750_300,
    debtor_name="Relief Agency",
    debtor_account="CVA-BASIC-TR",
)


def golden(name: str) -> Document:
    return Document(name, (GOLDEN / name).read_bytes())


def said(observation: Observation) -> tuple[str, str, int | None, str]:
    return observation.ref, observation.outcome, observation.amount_minor, observation.reason_code


def codes(readings: list[Reading]) -> list[str]:
    return [item.problem.code for item in readings if isinstance(item, Finding)]


def observations(readings: list[Reading]) -> list[tuple[str, str, int | None, str]]:
    return [said(item) for item in readings if isinstance(item, Observation)]


def processor_file(kind: str, *records: str, about: str = PLAN, head: str = "") -> Document:
    """Build a processor's file whose trailer agrees, by the page of the format and not our code."""
    amount_at = {"RESULT": 4, "ANSWER": 5, "SETTLEMENT": 4, "REJECT": 4}[kind]
    details = [record.split("|") for record in records if record.startswith("D|")]
    readable = [fields for fields in details if fields[amount_at].isdecimal()]
    total = sum(int(fields[amount_at]) for fields in readable)
    hashed = sum(zlib.crc32(f"{fields[2]}|{fields[amount_at]}".encode()) for fields in readable)
    head = head or f"H|CVA-CARD-1|{kind}|CP000009|CVA-BASIC-TR|2026-08-01T09:00:00Z|TRY|2|9|{about}"
    trailer = f"T|{len(details)}|{total}|{hashed % 10**10:010d}"
    return Document("answer.txt", "\n".join((head, *records, trailer, "")).encode())


def result(*records: str) -> list[Reading]:
    return list(FILES.read(processor_file("RESULT", *records)))


# --- writing --------------------------------------------------------------------------------


def test_load_file_is_the_golden_file_and_its_control_describes_it() -> None:
    out = io.BytesIO()
    control = FILES.render(ORDER, iter(LINES), out)
    content = golden("load.txt").content
    assert out.getvalue() == content
    assert control == Control(6, 750_300, len(content), hashlib.sha256(content).hexdigest())


def test_inquiry_file_is_the_golden_file() -> None:
    out = io.BytesIO()
    control = FILES.inquiry(replace(ORDER, message_id=QUESTION), (ref(3), ref(5)), out)
    content = golden("inquiry.txt").content
    assert out.getvalue() == content
    assert control == Control(2, 0, len(content), hashlib.sha256(content).hexdigest())


references = st.text("ABCDEFGHJKMNPQRSTVWXYZ0123456789", min_size=1, max_size=35)
packs = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True).filter(
    lambda value: not is_card_number(value)
)
instructions = st.lists(
    st.builds(Instruction, references, st.integers(1, 10**15 - 1), packs),
    max_size=30,
    unique_by=lambda line: line.ref,
)


@given(instructions)
def test_load_file_reads_with_the_processors_own_parser_to_the_same_lines(
    lines: list[Instruction],
) -> None:
    total = sum(line.amount_minor for line in lines)
    order = replace(ORDER, control_count=len(lines), control_sum_minor=total)
    out = io.BytesIO()
    control = FILES.render(order, lines, out)
    records = read_lines(out.getvalue().splitlines(keepends=True))
    head = read_head(next(records))
    read = list(read_details(head.kind, records))
    assert (head.kind, head.file_id, head.programme) == ("LOAD", PLAN, "CVA-BASIC-TR")
    assert [(f[2], f[3], int(f[5])) for f in read] == [
        (line.ref, line.destination, line.amount_minor) for line in lines
    ]
    assert (control.count, control.sum_minor) == (len(lines), total)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"operation": Operation.CREDIT_TRANSFER}, "card_order_not_a_load"),
        ({"message_id": "plan|1"}, "card_file_id_malformed"),
        ({"debtor_account": "CVA-OTHER"}, "card_programme_differs"),
        ({"currency": "USD"}, "card_currency_differs"),
        ({"exponent": 0}, "card_currency_differs"),
        ({"control_count": 7}, "card_order_differs"),
        ({"control_sum_minor": 750_299}, "card_order_differs"),
    ],
)
def test_order_that_is_not_what_was_approved_is_refused(
    change: dict[str, object], code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        FILES.render(replace(ORDER, **change), LINES, io.BytesIO())
    assert refused.value.problem.code == code


def test_every_bad_line_is_listed_at_once_and_no_card_number_is_shown() -> None:
    lines = (
        LINES[0],
        replace(LINES[1], ref="amal-1"),
        replace(LINES[2], ref=LINES[0].ref),
        replace(LINES[3], destination=A_CARD_NUMBER),
        replace(LINES[4], destination="VC|1"),
        replace(LINES[5], amount_minor=-1),
    )
    with pytest.raises(Refusal) as refused:
        FILES.render(ORDER, lines, io.BytesIO())
    assert refused.value.problem.code == "card_lines_refused"
    assert [(item.problem.code, item.place) for item in refused.value.findings] == [
        ("card_ref_malformed", Place(row=2, field="ref")),
        ("card_ref_repeated", Place(row=3, field="ref")),
        ("card_number_found", Place(row=4, field="destination")),
        ("card_reference_malformed", Place(row=5, field="destination")),
        ("card_amount_refused", Place(row=6, field="amount")),
    ]
    assert "1111" not in "".join(map(str, refused.value.findings))


@pytest.mark.parametrize(
    ("value", "is_number"),
    [
        ("4111111111111111", True),
        ("4111 1111 1111 1111", True),
        ("30569309025904", True),
        ("4111111111111112", False),  # the check digit is wrong
        ("10000000146", False),  # an identity number of 11 digits
        ("VC-00001234", False),
        ("TR330006100519786457841326", False),
        ("٤١١١١١١١١١١١١١١١", False),
    ],
)
def test_card_number_is_known_by_its_length_and_check_digit(value: str, is_number: bool) -> None:  # noqa: FBT001 - a table
    assert is_card_number(value) is is_number


def test_inquiry_about_a_repeated_or_malformed_reference_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        FILES.inquiry(ORDER, (ref(1), ref(1), "x|y"), io.BytesIO())
    assert [item.problem.code for item in refused.value.findings] == [
        "card_ref_repeated",
        "card_ref_malformed",
    ]


# --- reading --------------------------------------------------------------------------------


def test_result_file_says_what_became_of_each_line_it_names() -> None:
    readings = list(FILES.read(golden("result.txt")))
    assert readings[0] == Observation(
        Outcome.EXECUTED,
        Evidence.STATUS_REPORT,
        ref=ref(1),
        message_id=PLAN,
        amount_minor=125_050,
        currency="TRY",
        provider_ref="CPL000000001",
        observed_at=NINE,
        place=Place("result.txt", row=2),
    )
    assert observations(readings) == [
        (ref(1), "executed", 125_050, ""),
        (ref(2), "rejected", None, "51"),
        (ref(4), "executed", 62_500, "61"),
        (ref(6), "executed", 125_050, ""),
    ]
    assert codes(readings) == []


def test_answer_file_says_what_was_found_and_what_was_never_seen() -> None:
    readings = list(FILES.read(golden("answer.txt")))
    assert observations(readings) == [
        (ref(3), "executed", 125_050, ""),
        (ref(5), "rejected", None, "NOT_FOUND"),
    ]
    assert readings[1] == Observation(
        Outcome.REJECTED,
        Evidence.INQUIRY,
        ref=ref(5),
        message_id=QUESTION,
        currency="TRY",
        reason_code="NOT_FOUND",
        observed_at=NINE,
        place=Place("answer.txt", row=3),
    )


def test_not_found_is_a_rejection_only_when_it_is_authoritative() -> None:
    line = f"D|1|{ref(5)}|NOT_FOUND||0|{{}}||2026-08-01T09:00:00Z"
    for authoritative, outcome in (("Y", "rejected"), ("N", "unknown")):
        document = processor_file("ANSWER", line.format(authoritative))
        assert observations(list(FILES.read(document))) == [(ref(5), outcome, None, "NOT_FOUND")]


def test_settlement_file_moves_the_float_and_settles_the_loads() -> None:
    readings = list(FILES.read(golden("settlement.txt")))
    account = ("CVA-BASIC-TR", "CP000003")
    on = date(2026, 8, 2)
    assert [item for item in readings if isinstance(item, StatementBalance)] == [
        StatementBalance(*account, "opening", 0, "TRY", on),
        StatementBalance(*account, "closing", 1_562_150, "TRY", on),
    ]
    lines = [item for item in readings if isinstance(item, StatementLine)]
    assert lines[1] == StatementLine(
        *account,
        line_id="2",
        amount_minor=-125_050,
        currency="TRY",
        booked_on=on,
        kind="payment",
        ref=ref(1),
        text="CPL000000001",
        place=Place("settlement.txt", row=4),
    )
    assert [(line.kind, line.ref, line.amount_minor) for line in lines] == [
        ("funding", "", 2_000_000),
        ("payment", ref(1), -125_050),
        ("payment", ref(3), -125_050),
        ("payment", ref(4), -62_500),
        ("payment", ref(6), -125_050),
        ("fee", "", -200),
    ]
    settled = [item for item in readings if isinstance(item, Observation)]
    assert settled[1] == Observation(
        Outcome.EXECUTED,
        Evidence.SETTLEMENT,
        ref=ref(3),
        amount_minor=125_050,
        currency="TRY",
        provider_ref="CPL000000003",
        observed_at=CLOSE,
        moved_on=CLOSE.date(),
        place=Place("settlement.txt", row=5),
    )
    assert [said(item)[0] for item in settled] == [ref(1), ref(3), ref(4), ref(6)]


def test_reject_of_a_used_file_id_proves_nothing_failed() -> None:
    assert list(FILES.read(golden("reject.txt"))) == [
        Observation(
            Outcome.UNKNOWN,
            Evidence.STATUS_REPORT,
            message_id=PLAN,
            reason_code="F03",
            observed_at=NINE,
            place=Place("reject.txt", row=2),
        )
    ]


def test_reject_code_has_the_outcome_of_the_agreement() -> None:
    outcomes = {
        code: observations(list(FILES.read(processor_file("REJECT", f"E|{code}|why"))))[0][1]
        for code in REJECT_CODES
    }
    assert outcomes == {
        "F01": "rejected",
        "F02": "rejected",
        "F03": "unknown",
        "F04": "rejected",
        "F05": "rejected",
    }


def test_reject_without_a_known_code_is_unknown() -> None:
    for records, code in ((("E|F99|why",), "F99"), ((), "")):
        readings = list(FILES.read(processor_file("REJECT", *records)))
        assert codes(readings) == ["card_code_unknown"]
        assert observations(readings) == [("", "unknown", None, code)]


@pytest.mark.parametrize(
    ("code", "amount", "outcome", "loaded"),
    [
        ("00", 125_050, "executed", 125_050),
        ("51", 0, "rejected", None),
        ("52", 0, "rejected", None),
        ("61", 62_500, "executed", 62_500),
        ("71", 0, "rejected", None),
        ("91", 0, "unknown", None),
        ("94", 0, "unknown", None),
    ],
)
def test_result_code_has_the_outcome_of_the_agreement(
    code: str, amount: int, outcome: str, loaded: int | None
) -> None:
    readings = result(f"D|1|{ref(1)}|{code}|{amount}|CPL1|2026-08-01T09:00:00Z")
    assert codes(readings) == []
    assert [item[1:3] for item in observations(readings)] == [(outcome, loaded)]


def test_every_result_code_is_tried_above() -> None:
    assert sorted(RESULT_CODES) == ["00", "51", "52", "61", "71", "91", "94"]


@pytest.mark.parametrize(
    ("code", "amount", "problem"),
    [
        ("77", 125_050, "card_code_unknown"),
        ("00", 0, "card_code_contradicts"),
        ("61", 0, "card_code_contradicts"),
        ("51", 125_050, "card_code_contradicts"),
    ],
)
def test_code_that_says_nothing_clear_is_unknown_and_a_finding(
    code: str, amount: int, problem: str
) -> None:
    readings = result(f"D|1|{ref(1)}|{code}|{amount}|CPL1|2026-08-01T09:00:00Z")
    assert codes(readings) == [problem]
    assert observations(readings) == [(ref(1), "unknown", None, code)]


def test_answer_that_contradicts_itself_is_unknown() -> None:
    line = f"D|1|{ref(5)}|NOT_FOUND||500|Y||2026-08-01T09:00:00Z"
    readings = list(FILES.read(processor_file("ANSWER", line)))
    assert codes(readings) == ["card_code_contradicts"]
    assert observations(readings) == [(ref(5), "unknown", None, "NOT_FOUND")]


GOOD = f"D|2|{ref(2)}|00|125050|CPL2|2026-08-01T09:00:00Z"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"D|1|{ref(1)}|00|12,50|CPL1|2026-08-01T09:00:00Z", "card_amount_malformed"),
        (f"D|1|{ref(1)}|00|-5|CPL1|2026-08-01T09:00:00Z", "card_amount_malformed"),
        (f"D|7|{ref(1)}|00|125050|CPL1|2026-08-01T09:00:00Z", "card_line_malformed"),
        ("D|1|amal 1|00|125050|CPL1|2026-08-01T09:00:00Z", "card_line_malformed"),
        (f"D|1|{ref(1)}|ok!|125050|CPL1|2026-08-01T09:00:00Z", "card_line_malformed"),
        (f"D|1|{A_CARD_NUMBER}|00|125050|CPL1|2026-08-01T09:00:00Z", "card_number_found"),
    ],
)
def test_unreadable_line_is_a_finding_and_its_neighbour_is_believed(
    line: str, problem: str
) -> None:
    readings = result(line, GOOD)
    assert codes(readings) == [problem]
    assert observations(readings) == [(ref(2), "executed", 125_050, "")]
    assert "1111" not in "".join(map(repr, readings))


def test_line_of_an_unknown_kind_is_a_finding() -> None:
    readings = result(GOOD.replace("D|2", "D|1"), "X|whatever")
    assert codes(readings) == ["card_line_malformed"]
    assert observations(readings) == [(ref(2), "executed", 125_050, "")]


def test_answer_that_is_neither_found_nor_not_found_is_a_finding() -> None:
    line = f"D|1|{ref(5)}|PERHAPS||0|Y||2026-08-01T09:00:00Z"
    readings = list(FILES.read(processor_file("ANSWER", line)))
    assert codes(readings) == ["card_line_malformed"]
    assert observations(readings) == []


@pytest.mark.parametrize(
    ("provider_ref", "moment", "problem"),
    [
        (A_CARD_NUMBER, "2026-08-01T09:00:00Z", "card_number_found"),
        ("a b", "2026-08-01T09:00:00Z", "card_provider_ref_malformed"),
        ("", "yesterday", "card_time_malformed"),
    ],
)
def test_bad_side_information_is_left_out_and_the_load_stays(
    provider_ref: str, moment: str, problem: str
) -> None:
    readings = result(f"D|1|{ref(1)}|00|125050|{provider_ref}|{moment}")
    assert codes(readings) == [problem]
    assert observations(readings) == [(ref(1), "executed", 125_050, "")]
    assert [item.provider_ref for item in readings if isinstance(item, Observation)] == [""]
    assert "1111" not in "".join(map(repr, readings))


def test_reference_answered_twice_is_unknown() -> None:
    line = "D|{}|" + f"{ref(1)}|00|125050|CPL1|2026-08-01T09:00:00Z"
    readings = result(line.format(1), line.format(2))
    assert codes(readings) == ["card_ref_repeated"]
    assert observations(readings) == [(ref(1), "unknown", None, "REPEATED")]


def test_load_booked_twice_is_two_movements_and_one_observation() -> None:
    line = "D|{}|" + f"{ref(1)}|LOAD|100|CPL1"
    records = ("O|1000", line.format(1), line.format(2), "C|800")
    readings = list(FILES.read(processor_file("SETTLEMENT", *records, about="2026-08-02")))
    assert codes(readings) == ["card_ref_repeated"]
    assert observations(readings) == [(ref(1), "executed", 100, "")]
    assert [
        (item.line_id, item.amount_minor) for item in readings if isinstance(item, StatementLine)
    ] == [("1", -100), ("2", -100)]


@pytest.mark.parametrize(
    "records",
    [
        ("O|1000", f"D|1|{ref(1)}|LOAD|100|", "C|899"),
        ("O|1000", f"D|1|{ref(1)}|LOAD|100|"),
        ("O|1000", "O|1000", f"D|1|{ref(1)}|LOAD|100|", "C|900"),
        ("O|1000", f"D|1|{ref(1)}|GIFT|100|", "C|900"),
    ],
)
def test_settlement_that_does_not_add_up_is_not_believed(records: tuple[str, ...]) -> None:
    readings = list(FILES.read(processor_file("SETTLEMENT", *records, about="2026-08-02")))
    assert codes(readings) == ["card_settlement_differs"]
    assert len(readings) == 1


def changed_trailers() -> Iterator[tuple[bytes, str]]:
    content = golden("result.txt").content
    head, *details, trailer, _ = content.split(b"\n")
    _, count, total, hashed = trailer.split(b"|")
    for changed in (
        (b"3", total, hashed),
        (count, b"312601", hashed),
        (count, total, b"0000000000"),
    ):
        yield b"\n".join((head, *details, b"|".join((b"T", *changed)))), "card_trailer_differs"
    yield b"\n".join((head, *details[1:], trailer)), "card_trailer_differs"
    yield b"\n".join((head, *details)), "card_trailer_missing"
    yield b"\n".join((head, *details, trailer, trailer)), "card_trailer_missing"
    yield b"\n".join((head, trailer, *details)), "card_trailer_missing"


@pytest.mark.parametrize(("content", "problem"), list(changed_trailers()))
def test_file_whose_trailer_disagrees_is_not_believed_at_all(content: bytes, problem: str) -> None:
    readings = list(FILES.read(Document("result.txt", content)))
    assert problem in codes(readings)
    assert len(codes(readings)) == len(readings)


def test_result_file_cut_anywhere_says_nothing() -> None:
    content = golden("result.txt").content
    for size in range(len(content) - 1):  # without the last line feed it is whole
        readings = list(FILES.read(Document("result.txt", content[:size])))
        assert codes(readings), size
        assert len(codes(readings)) == len(readings), size


def test_amount_changed_on_the_way_is_seen() -> None:
    content = golden("result.txt").content.replace(b"|00|125050|", b"|00|125060|", 1)
    assert codes(list(FILES.read(Document("result.txt", content)))) == ["card_trailer_differs"]


def test_one_changed_byte_never_changes_what_was_loaded() -> None:
    document = golden("result.txt")
    truth = {item[:3] for item in observations(list(FILES.read(document)))}
    believed = 0
    for position in range(len(document.content)):
        for byte in b"0159A|\n":
            content = bytearray(document.content)
            content[position] = byte
            changed = list(FILES.read(replace(document, content=bytes(content))))
            clear = {item[:3] for item in observations(changed) if item[1] != "unknown"}
            assert clear <= truth, position
            believed += bool(clear)
    assert believed  # times, provider references and unused head fields may change


HEAD = "H|CVA-CARD-1|{}|CP000009|{}|{}|{}|2|9|" + PLAN


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (HEAD.format("RESULT", "CVA-OTHER", "2026-08-01T09:00:00Z", "TRY"),
         "card_programme_differs"),
        (HEAD.format("RESULT", "CVA-BASIC-TR", "2026-08-01T09:00:00Z", "USD"),
         "card_currency_differs"),
        (HEAD.format("BALANCE", "CVA-BASIC-TR", "2026-08-01T09:00:00Z", "TRY"),
         "card_file_kind_unknown"),
        (HEAD.format("LOAD", "CVA-BASIC-TR", "2026-08-01T09:00:00Z", "TRY"),
         "card_file_kind_unknown"),
        (HEAD.format("RESULT", "CVA-BASIC-TR", "2026-13-01T09:00:00Z", "TRY"),
         "card_head_malformed"),
        (HEAD.format("SETTLEMENT", "CVA-BASIC-TR", "2026-08-01T09:00:00Z", "TRY"),
         "card_head_malformed"),
        (HEAD.format("RESULT", "CVA-BASIC-TR", "2026-08-01T09:00:00Z", "TL"),
         "card_head_malformed"),
        ("ref;amount", "card_head_malformed"),
    ],
)  # fmt: skip
def test_file_that_is_not_ours_yields_one_finding(head: str, problem: str) -> None:
    readings = list(FILES.read(processor_file("RESULT", GOOD, head=head)))
    assert codes(readings) == [problem]
    assert len(readings) == 1


def test_file_that_is_not_text_yields_one_finding() -> None:
    assert codes(list(FILES.read(Document("r", b"\xff\xfeH|")))) == ["card_file_unreadable"]


def test_windows_line_ends_and_byte_order_mark_are_read() -> None:
    content = b"\xef\xbb\xbf" + golden("result.txt").content.replace(b"\n", b"\r\n")
    assert list(FILES.read(Document("result.txt", content))) == list(
        FILES.read(golden("result.txt"))
    )


# --- the folder -----------------------------------------------------------------------------


@pytest.fixture
def channel(tmp_path: Path) -> FolderChannel:
    folders = tmp_path / "out", tmp_path / "in"
    for folder in folders:
        folder.mkdir()
    return FolderChannel(*folders)


@pytest.fixture
def load(tmp_path: Path) -> tuple[Path, str]:
    content = golden("load.txt").content
    path = tmp_path / "rendered"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def test_file_is_handed_over_whole_and_once(channel: FolderChannel, load: tuple[Path, str]) -> None:
    assert channel.hand_over("load.txt", *load) == Receipt(
        Outcome.ACCEPTED, "handed over", "load.txt"
    )
    again = Receipt(Outcome.ACCEPTED, "already handed over", "load.txt")
    assert channel.hand_over("load.txt", *load) == again
    assert [path.name for path in channel.outgoing.iterdir()] == ["load.txt"]
    assert (channel.outgoing / "load.txt").read_bytes() == golden("load.txt").content
    (channel.outgoing / "taken").mkdir()
    (channel.outgoing / "load.txt").rename(channel.outgoing / "taken" / "load.txt")
    assert channel.hand_over("load.txt", *load) == again
    assert [path.name for path in channel.outgoing.iterdir()] == ["taken"]


@pytest.mark.parametrize("folder", [".", "taken"])
def test_name_used_for_other_bytes_is_refused(
    channel: FolderChannel, load: tuple[Path, str], folder: str
) -> None:
    (channel.outgoing / folder).mkdir(exist_ok=True)
    (channel.outgoing / folder / "load.txt").write_bytes(b"another file")
    with pytest.raises(Refusal) as refused:
        channel.hand_over("load.txt", *load)
    assert refused.value.problem.code == "folder_name_taken"


def test_file_changed_since_it_was_rendered_is_refused(
    channel: FolderChannel, load: tuple[Path, str]
) -> None:
    load[0].write_bytes(b"changed")
    with pytest.raises(Refusal) as refused:
        channel.hand_over("load.txt", *load)
    assert refused.value.problem.code == "folder_bytes_differ"
    assert list(channel.outgoing.iterdir()) == []


@pytest.mark.parametrize("name", ["", "../load.txt", "/etc/load", ".load", "load.part", ".."])
def test_name_that_could_leave_the_folder_is_refused(
    channel: FolderChannel, load: tuple[Path, str], name: str
) -> None:
    with pytest.raises(Refusal) as refused:
        channel.hand_over(name, *load)
    assert refused.value.problem.code == "folder_name_refused"


def test_missing_folder_takes_nothing(tmp_path: Path, load: tuple[Path, str]) -> None:
    channel = FolderChannel(tmp_path / "nowhere", tmp_path)
    receipt = channel.hand_over("load.txt", *load)
    assert (receipt.outcome, receipt.provider_ref) == (Outcome.REJECTED, "")
    assert str(tmp_path) not in receipt.detail


def test_full_disk_takes_nothing(channel: FolderChannel, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no full device here")
    content = golden("load.txt").content
    path = tmp_path / "rendered"
    path.write_bytes(content)
    (channel.outgoing / f".load.txt.{os.getpid()}.part").symlink_to(full)
    receipt = channel.hand_over("load.txt", path, hashlib.sha256(content).hexdigest())
    assert receipt == Receipt(Outcome.REJECTED, "nothing was handed over: No space left on device")
    assert list(channel.outgoing.iterdir()) == []


def test_folder_that_cannot_be_searched_is_unknown(tmp_path: Path, load: tuple[Path, str]) -> None:
    (tmp_path / "out").write_bytes(b"a file where the folder should be")
    receipt = FolderChannel(tmp_path / "out", tmp_path).hand_over("load.txt", *load)
    assert receipt.outcome is Outcome.UNKNOWN


def test_rename_that_fails_is_unknown(
    channel: FolderChannel, load: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(Path, "replace", lost)
    assert channel.hand_over("load.txt", *load) == Receipt(
        Outcome.UNKNOWN, "the file may be in the folder: Input/output error"
    )


def test_collect_yields_finished_files_in_name_order_and_keeps_them(
    channel: FolderChannel,
) -> None:
    for name in ("2.txt", "1.txt", ".hidden", "3.txt.part"):
        (channel.incoming / name).write_bytes(name.encode())
    (channel.incoming / "folder").mkdir()
    (channel.incoming / "link.txt").symlink_to(channel.incoming / "1.txt")
    expected = [Document("1.txt", b"1.txt"), Document("2.txt", b"2.txt")]
    assert list(channel.collect()) == expected
    assert list(channel.collect()) == expected


def test_collect_from_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        list(FolderChannel(tmp_path, tmp_path / "nowhere").collect())
    assert refused.value.problem.code == "folder_incoming_missing"
