"""What every provider's format must do, whatever its files look like: one suite, one case each.

A new format joins by adding its case to `CASES`.
"""

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.cards import CardFiles
from adapters.iso20022 import Iso20022
from adapters.port import (
    Control,
    Document,
    Evidence,
    Format,
    Instruction,
    Observation,
    Operation,
    Order,
    Outcome,
    Reading,
    StatementLine,
)
from ledgers.problems import Finding, Refusal

GOLDEN = Path(__file__).parents[1] / "golden"
PLAN = "01J8ZK4Q6T3V5W7X9Y2ABCDEFG"


@dataclass(frozen=True)
class Case:
    """A format, an order it takes, and documents of its provider about that order's lines.

    `destination` gives the destination of a line; `documents` are whole, without any fault, and
    say of at least one line that it went well and of at least one that it did not.
    """

    format: Format
    order: Order
    destination: Callable[[int], str]
    documents: tuple[Document, ...]

    def lines(self, count: int = 6) -> list[Instruction]:
        return [
            Instruction(
                ref=f"{PLAN}{number:07d}",
                amount_minor=100_000 + number,
                destination=self.destination(number),
                payee_name="Amal Haddad",
                remittance="CASH 2026 08",
            )
            for number in range(1, count + 1)
        ]

    def order_of(self, lines: list[Instruction]) -> Order:
        total = sum(line.amount_minor for line in lines)
        return replace(self.order, control_count=len(lines), control_sum_minor=total)


ORDER = Order(
    message_id=PLAN,
    operation=Operation.LOAD,
    created_at=datetime(2026, 8, 1, 9, 0, tzinfo=UTC),
    execute_on=date(2026, 8, 2),
    currency="TRY",
    exponent=2,
    control_count=0,
    control_sum_minor=0,
    debtor_name="Relief Agency",
    debtor_account="CVA-BASIC-TR",
)
PAIN002 = f"""<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.002.001.03"><CstmrPmtStsRpt>
<GrpHdr><MsgId>REPORT1</MsgId><CreDtTm>2026-08-02T10:00:00</CreDtTm></GrpHdr>
<OrgnlGrpInfAndSts><OrgnlMsgId>{PLAN}</OrgnlMsgId><OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>
</OrgnlGrpInfAndSts>
<OrgnlPmtInfAndSts><OrgnlPmtInfId>{PLAN}</OrgnlPmtInfId>
<TxInfAndSts><OrgnlEndToEndId>{PLAN}0000001</OrgnlEndToEndId><TxSts>ACSC</TxSts></TxInfAndSts>
<TxInfAndSts><OrgnlEndToEndId>{PLAN}0000002</OrgnlEndToEndId><TxSts>RJCT</TxSts>
<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn></StsRsnInf></TxInfAndSts>
</OrgnlPmtInfAndSts></CstmrPmtStsRpt></Document>
"""


def turkish_iban(number: int) -> str:
    bban = f"00061{number:017d}"
    return f"TR{98 - int(f'{bban}292700') % 97:02d}{bban}"


CASES = {
    "cards": Case(
        CardFiles("CVA-BASIC-TR", "TRY", 2),
        ORDER,
        lambda number: f"VC-{number:08d}",
        tuple(
            Document(name, (GOLDEN / "cards" / name).read_bytes())
            for name in ("result.txt", "answer.txt", "settlement.txt", "reject.txt")
        ),
    ),
    "iso20022": Case(
        Iso20022(),
        replace(ORDER, operation=Operation.CREDIT_TRANSFER, debtor_account=turkish_iban(999)),
        turkish_iban,
        (Document("report.xml", PAIN002.encode()),),
    ),
}


@pytest.fixture(params=CASES, name="case")
def one_of_the_cases(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def rendered(case: Case, order: Order, lines: Iterator[Instruction]) -> tuple[Control, bytes]:
    out = io.BytesIO()
    return case.format.render(order, lines, out), out.getvalue()


def readings(case: Case, document: Document) -> list[Reading]:
    return list(case.format.read(document))


# --- what is sent ---------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 6, 1_000])
def test_control_describes_the_bytes_that_were_written(case: Case, count: int) -> None:
    lines = case.lines(count)
    order = case.order_of(lines)
    control, content = rendered(case, order, iter(lines))
    digest = hashlib.sha256(content).hexdigest()
    assert control == Control(count, order.control_sum_minor, len(content), digest)


def test_every_line_is_in_the_file_once(case: Case) -> None:
    lines = case.lines()
    _, content = rendered(case, case.order_of(lines), iter(lines))
    text = content.decode()
    for line in lines:
        assert text.count(line.destination) == 1
        assert line.ref in text


def test_equal_orders_give_equal_bytes(case: Case) -> None:
    lines = case.lines()
    order = case.order_of(lines)
    assert rendered(case, order, iter(lines)) == rendered(case, order, iter(lines))


@pytest.mark.parametrize("change", ["count", "sum", "line left out", "line added"])
def test_lines_that_are_not_the_orders_are_refused(case: Case, change: str) -> None:
    lines = case.lines()
    order = case.order_of(lines)
    given_order, given_lines = {
        "count": (replace(order, control_count=order.control_count + 1), lines),
        "sum": (replace(order, control_sum_minor=order.control_sum_minor - 1), lines),
        "line left out": (order, lines[1:]),
        "line added": (order, case.lines(7)),
    }[change]
    with pytest.raises(Refusal):
        rendered(case, given_order, iter(given_lines))


@pytest.mark.parametrize("amount_minor", [0, -100_001])
def test_amount_that_is_no_payment_is_refused(case: Case, amount_minor: int) -> None:
    lines = case.lines()
    lines[2] = replace(lines[2], amount_minor=amount_minor)
    with pytest.raises(Refusal):
        rendered(case, case.order_of(lines), iter(lines))


@pytest.mark.parametrize("ref", ["", "a1", "A 1", "A" * 36, "A|1", "<A>"])
def test_reference_that_would_not_come_back_is_refused(case: Case, ref: str) -> None:
    lines = case.lines()
    lines[2] = replace(lines[2], ref=ref)
    with pytest.raises(Refusal):
        rendered(case, case.order_of(lines), iter(lines))


def test_order_of_another_operation_is_refused(case: Case) -> None:
    lines = case.lines()
    (other,) = {Operation.LOAD, Operation.CREDIT_TRANSFER} - {case.order.operation}
    with pytest.raises(Refusal):
        rendered(case, replace(case.order_of(lines), operation=other), iter(lines))


def test_refusal_shows_nobodys_destination_or_name(case: Case) -> None:
    lines = [replace(line, ref="a b", destination=f"{line.destination}|x") for line in case.lines()]
    with pytest.raises(Refusal) as refused:
        rendered(case, case.order_of(lines), iter(lines))
    shown = f"{refused.value} {refused.value.findings!r}" + "".join(
        map(str, refused.value.findings)
    )
    assert refused.value.findings
    assert [text for line in lines for text in (line.destination, "Amal") if text in shown] == []


def test_inquiry_describes_its_bytes_or_writes_none(case: Case) -> None:
    lines = case.lines()
    out = io.BytesIO()
    control = case.format.inquiry(case.order_of(lines), (line.ref for line in lines), out)
    content = out.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    assert (control is None and content == b"") or (
        control == Control(len(lines), 0, len(content), digest)
        and all(line.ref in content.decode() for line in lines)
    )


# --- what is read ---------------------------------------------------------------------------


def test_reading_again_says_the_same(case: Case) -> None:
    for document in case.documents:
        assert readings(case, document) == readings(case, document)


def test_whole_documents_speak_of_our_lines_in_whole_minor_units(case: Case) -> None:
    everything = [item for document in case.documents for item in readings(case, document)]
    observations = [item for item in everything if isinstance(item, Observation)]
    assert not [item for item in everything if isinstance(item, Finding)]
    refs = {line.ref for line in case.lines()}
    outcomes = {item.outcome for item in observations if item.ref in refs}
    assert outcomes & {Outcome.ACCEPTED, Outcome.EXECUTED}
    assert Outcome.REJECTED in outcomes
    assert all(item.ref or item.message_id for item in observations)
    assert {type(item.evidence) for item in observations} == {Evidence}
    amounts = [
        item.amount_minor
        for item in everything
        if isinstance(item, Observation | StatementLine) and item.amount_minor is not None
    ]
    assert [amount for amount in amounts if type(amount) is not int] == []


def test_document_cut_anywhere_is_a_finding_and_says_nothing_new(case: Case) -> None:
    for document in case.documents:
        whole = readings(case, document)
        content = document.content.rstrip()
        for size in range(0, len(content), 7):
            cut = readings(case, replace(document, content=content[:size]))
            assert any(isinstance(item, Finding) for item in cut), size
            said = [item for item in cut if isinstance(item, Observation)]
            assert [item for item in said if item not in whole] == [], size


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_document_damaged_anywhere_is_read_without_an_error(name: str, data: st.DataObject) -> None:
    case = CASES[name]
    document = data.draw(st.sampled_from(case.documents))
    content = bytearray(document.content)
    position = data.draw(st.integers(0, len(content) - 1))
    content[position : position + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    for item in readings(case, replace(document, content=bytes(content))):
        assert str(item)


@pytest.mark.parametrize("name", CASES)
@given(content=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_anything_else_is_a_finding_and_no_observation(name: str, content: bytes) -> None:
    found = readings(CASES[name], Document("anything", content))
    assert found
    assert [item for item in found if not isinstance(item, Finding)] == []
