"""Payment files for a bank: what they hold, that they are valid, what is refused."""

import hashlib
from collections.abc import Iterable
from datetime import timedelta, timezone
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from adapters.iso20022 import Iso20022, validate
from adapters.iso20022.amounts import to_minor, to_text
from adapters.iso20022.pain001 import NAMESPACE, faults, is_iban
from adapters.port import Control, Instruction, Operation, Order
from ledgers.problems import Refusal
from tests.adapters.bank_orders import instruction, instructions
from tests.adapters.bank_orders import order as order_of

GOLDEN = Path(__file__).parent.parent / "golden" / "pain001_three_households.xml"
NS = {"p": NAMESPACE}


def rendered(order: Order, lines: Iterable[Instruction]) -> tuple[bytes, Control]:
    out = BytesIO()
    control = Iso20022().render(order, lines, out)
    return out.getvalue(), control


def refused(order: Order, lines: Iterable[Instruction]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        rendered(order, lines)
    return caught.value


def test_three_households_give_the_golden_bytes() -> None:
    lines = instructions(3)
    order = order_of(lines, debtor_agent="TGBATRISXXX")

    content, control = rendered(order, lines)

    assert content == GOLDEN.read_bytes()
    assert control == Control(3, 300_006, len(content), hashlib.sha256(content).hexdigest())


def test_the_same_order_in_another_time_zone_gives_the_same_bytes() -> None:
    lines = instructions(3)
    order = order_of(lines)
    in_istanbul = order.created_at.astimezone(timezone(timedelta(hours=3)))

    assert rendered(order, lines) == rendered(order_of(lines, created_at=in_istanbul), iter(lines))


@pytest.mark.parametrize("count", [3, 25_000])
def test_a_file_is_valid_against_the_official_schema(count: int) -> None:
    lines = instructions(count)
    content, control = rendered(order_of(lines), lines)

    assert list(validate.findings(BytesIO(content), NAMESPACE)) == []
    assert control.count == count


def test_a_long_file_has_a_block_for_every_ten_thousand() -> None:
    lines = instructions(25_000)
    content, _ = rendered(order_of(lines), lines)

    blocks = etree.fromstring(content).findall(".//p:PmtInf", NS)

    assert [
        (block.findtext("p:PmtInfId", None, NS), block.findtext("p:NbOfTxs", None, NS))
        for block in blocks
    ] == [(lines[0].ref, "10000"), (lines[10_000].ref, "10000"), (lines[20_000].ref, "5000")]
    assert sum(Decimal(block.findtext("p:CtrlSum", None, NS)) for block in blocks) == Decimal(
        sum(line.amount_minor for line in lines)
    ).scaleb(-2)


def test_a_block_that_is_the_whole_file_has_the_files_name() -> None:
    lines = instructions(2)
    order = order_of(lines)

    root = etree.fromstring(rendered(order, lines)[0])

    assert root.findtext(".//p:PmtInfId", None, NS) == order.message_id


def test_namespaces_are_declared_once() -> None:
    lines = instructions(20)
    content, _ = rendered(order_of(lines), lines)
    assert content.count(b"xmlns") == 1


letters = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=35)
names = st.text(
    "abcçdefgğhıijklmnoöprsştuüvyzABCÇDEFGĞHIİJKLMNOÖPRSŞTUÜVYZâîû '-.", min_size=1, max_size=140
).filter(str.strip)


@given(
    st.lists(st.tuples(letters, st.integers(1, 10**15), names, st.integers(0, 10**16)), min_size=1),
    st.sampled_from([("TRY", 2), ("JPY", 0), ("KWD", 3)]),
)
def test_what_was_ordered_can_be_read_back(
    rows: list[tuple[str, int, str, int]], currency: tuple[str, int]
) -> None:
    code, exponent = currency
    lines = [
        instruction(number, ref=ref, amount_minor=amount, payee_name=name, remittance=name)
        for ref, amount, name, number in rows
    ]
    order = order_of(lines, currency=code, exponent=exponent)

    root = etree.fromstring(rendered(order, lines)[0])

    def texts(path: str) -> list[str]:
        return [element.text for element in root.findall(f".//p:CdtTrfTxInf/{path}", NS)]

    amounts = [Decimal(text).scaleb(exponent) for text in texts("p:Amt/p:InstdAmt")]
    assert texts("p:PmtId/p:EndToEndId") == [line.ref for line in lines]
    assert texts("p:PmtId/p:InstrId") == [line.ref for line in lines]
    assert texts("p:Cdtr/p:Nm") == [line.payee_name for line in lines]
    assert texts("p:CdtrAcct/p:Id/p:IBAN") == [line.destination for line in lines]
    assert amounts == [line.amount_minor for line in lines]
    head = root.find(".//p:GrpHdr", NS)
    assert Decimal(head.findtext("p:CtrlSum", None, NS)).scaleb(exponent) == sum(amounts)
    assert head.findtext("p:NbOfTxs", None, NS) == str(len(lines))


def test_a_bank_is_named_where_it_is_known_and_marked_where_not() -> None:
    lines = instructions(1)

    def agent(bic: str) -> tuple[str, str]:
        root = etree.fromstring(rendered(order_of(lines, debtor_agent=bic), lines)[0])
        (found,) = root.find(".//p:DbtrAgt/p:FinInstnId", NS)
        return etree.QName(found).localname, "".join(found.itertext())

    assert agent("TGBATRIS") == ("BICFI", "TGBATRIS")
    assert agent("") == ("Othr", "NOTPROVIDED")


def test_every_faulty_line_is_named_at_its_place() -> None:
    lines = [
        instruction(1, payee_name="Â" * 141),
        instruction(2),
        instruction(3, payee_name="أمل حسن"),
        instruction(4, payee_name=" ", remittance="r" * 141),
        instruction(5, destination="TR330006100519786457841327", amount_minor=0),
        instruction(6, ref="plan-7", amount_minor=10**18),
    ]

    refusal = refused(order_of(lines), lines)

    assert refusal.problem.code == "pain001_lines_invalid"
    assert refusal.facts == {"count": 5}
    assert [(f.place.row, f.place.field, f.problem.code) for f in refusal.findings] == [
        (1, "payee_name", "pain001_text_too_long"),
        (3, "payee_name", "pain001_text_not_allowed"),
        (4, "payee_name", "pain001_name_missing"),
        (4, "remittance", "pain001_text_too_long"),
        (5, "amount_minor", "pain001_amount_invalid"),
        (5, "destination", "pain001_iban_invalid"),
        (6, "ref", "pain001_ref_invalid"),
        (6, "amount_minor", "pain001_amount_invalid"),
    ]


def test_no_name_and_no_account_stands_in_a_refusal() -> None:
    lines = [instruction(1, payee_name="Ümit Şen €", destination="TR12345678")]

    refusal = refused(order_of(lines), lines)

    said = str(refusal) + "".join(map(str, refusal.findings)) + repr(lines)
    assert "Ümit" not in said
    assert "TR12345678" not in "".join(map(str, refusal.findings))


def test_a_thousand_faulty_lines_are_counted_and_a_hundred_shown() -> None:
    lines = [instruction(number, payee_name="") for number in range(1000)]

    refusal = refused(order_of(lines), lines)

    assert refusal.facts == {"count": 1000}
    assert len(refusal.findings) == 100


def test_a_plan_can_be_checked_line_by_line_before_its_file_is_made() -> None:
    assert list(faults(instruction(1))) == []
    assert [f.problem.code for f in faults(instruction(1, payee_name=""))] == [
        "pain001_name_missing"
    ]


@pytest.mark.parametrize(
    "changes", [{"control_count": 4}, {"control_sum_minor": 300_007}, {"control_count": 2}]
)
def test_a_stream_that_is_not_what_the_order_announces_is_refused(changes: dict[str, int]) -> None:
    lines = instructions(3)
    refusal = refused(order_of(lines, **changes), lines)
    assert refusal.problem.code == "pain001_control_differs"


@pytest.mark.parametrize(
    ("currency", "exponent"), [("TRY", 3), ("TRY", 0), ("JPY", 2), ("QQQ", 2), ("XAU", 2)]
)
def test_a_wrong_exponent_is_refused(currency: str, exponent: int) -> None:
    lines = instructions(1)
    order = order_of(lines, currency=currency, exponent=exponent)
    assert refused(order, lines).problem.code == "pain001_exponent_wrong"


def test_a_load_of_cards_is_not_for_a_bank() -> None:
    lines = instructions(1)
    order = order_of(lines, operation=Operation.LOAD)
    assert refused(order, lines).problem.code == "pain001_not_a_transfer"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("message_id", "file-1"),
        ("message_id", "M" * 36),
        ("debtor_name", ""),
        ("debtor_name", "D" * 141),
        ("debtor_name", "منظمة"),
        ("debtor_account", "TR000000000000000000000000"),
        ("debtor_agent", "TGBA"),
        ("control_count", 0),
    ],
)
def test_an_unusable_head_is_refused_by_field(field: str, value: str | int) -> None:
    lines = instructions(1)
    refusal = refused(order_of(lines, **{field: value}), lines)
    assert (refusal.problem.code, refusal.facts["field"]) == ("pain001_head_invalid", field)


def test_a_moment_without_a_zone_is_refused() -> None:
    lines = instructions(1)
    order = order_of(lines)
    order = order_of(lines, created_at=order.created_at.replace(tzinfo=None))
    assert refused(order, lines).facts["field"] == "created_at"


@pytest.mark.parametrize(
    ("text", "usable"),
    [
        ("TR330006100519786457841326", True),
        ("GB82WEST12345698765432", True),
        ("TR330006100519786457841325", False),  # check digits
        ("TR33000610051978645784132", False),  # Türkiye's have 26 characters
        ("TR33 0006 1005 1978 6457 8413 26", False),
        ("TR٣٣0006100519786457841326", False),
        ("", False),
    ],
)
def test_ibans_are_checked_by_length_and_digits(text: str, *, usable: bool) -> None:
    assert is_iban(text) is usable


@given(st.integers(0, 10**17), st.sampled_from([("TRY", 2), ("JPY", 0), ("KWD", 3)]))
def test_amounts_survive_being_written(minor: int, currency: tuple[str, int]) -> None:
    code, exponent = currency
    written = to_text(minor, exponent)
    assert Decimal(written) == Decimal(minor).scaleb(-exponent)
    assert to_minor(written, code) == minor


@pytest.mark.parametrize("text", ["1.005", "1,50", "-1.00", "1e3", "NaN", "", "١٢", "."])
def test_what_is_not_an_amount_is_not_read_as_one(text: str) -> None:
    assert to_minor(text, "TRY") is None


def test_there_is_no_question_to_a_bank() -> None:
    out = BytesIO()
    order = order_of(instructions(1))
    assert Iso20022().inquiry(order, ["A"], out) is None
    assert out.getvalue() == b""
