"""Status reports of a bank: which verdict becomes which observation."""

from datetime import datetime, timedelta, timezone

import pytest

from adapters.iso20022 import Iso20022
from adapters.port import Document, Evidence, Observation, Outcome, Reading
from ledgers.problems import Finding

VERSION_10 = "urn:iso:std:iso:20022:tech:xsd:pain.002.001.10"
AT = datetime(2026, 3, 2, 9, 30, tzinfo=timezone(timedelta(hours=3)))


def report(group: str = "", body: str = "", *, namespace: str = VERSION_10) -> Document:
    declared = f' xmlns="{namespace}"' if namespace else ""
    content = (
        f"<Document{declared}><CstmrPmtStsRpt>"
        "<GrpHdr><MsgId>MB-1</MsgId><CreDtTm>2026-03-02T09:30:00+03:00</CreDtTm></GrpHdr>"
        f"<OrgnlGrpInfAndSts><OrgnlMsgId>FILE1</OrgnlMsgId>"
        f"<OrgnlMsgNmId>pain.001.001.09</OrgnlMsgNmId>{group}</OrgnlGrpInfAndSts>"
        f"{body}</CstmrPmtStsRpt></Document>"
    )
    return Document("status.xml", content.encode())


def reason(code: str) -> str:
    return f"<StsRsnInf><Rsn><Cd>{code}</Cd></Rsn></StsRsnInf>"


def transaction(ref: str, status: str, code: str = "") -> str:
    return (
        f"<TxInfAndSts><OrgnlEndToEndId>{ref}</OrgnlEndToEndId><TxSts>{status}</TxSts>"
        f"{reason(code) if code else ''}</TxInfAndSts>"
    )


def batch(batch_id: str, status: str = "", code: str = "", transactions: str = "") -> str:
    return (
        f"<OrgnlPmtInfAndSts><OrgnlPmtInfId>{batch_id}</OrgnlPmtInfId>"
        f"{f'<PmtInfSts>{status}</PmtInfSts>' if status else ''}"
        f"{reason(code) if code else ''}{transactions}</OrgnlPmtInfAndSts>"
    )


def read(document: Document) -> list[Reading]:
    return list(Iso20022().read(document))


def verdicts(document: Document) -> list[tuple[str, Outcome, str]]:
    return [
        (said.ref or f"file {said.message_id}", said.outcome, said.reason_code)
        for said in read(document)
        if isinstance(said, Observation)
    ]


def codes(document: Document) -> list[str]:
    return [said.problem.code for said in read(document) if isinstance(said, Finding)]


def test_a_rejected_payment_keeps_reason_time_and_place() -> None:
    document = report(body=batch("B1", transactions=transaction("HH1", "RJCT", "AC04")))

    (said,) = read(document)

    assert said == Observation(
        outcome=Outcome.REJECTED,
        evidence=Evidence.STATUS_REPORT,
        ref="HH1",
        message_id="FILE1",
        reason_code="AC04",
        observed_at=AT,
        place=said.place,
    )
    assert str(said.place) == "status.xml, row 1, TxInfAndSts"


@pytest.mark.parametrize("status", ["ACCP", "ACSC", "ACSP", "ACTC", "ACWC", "ACCC", "PDNG", "RCVD"])
def test_no_status_proves_that_a_household_was_paid(status: str) -> None:
    document = report(
        f"<GrpSts>{status}</GrpSts>", batch("B1", transactions=transaction("HH1", status))
    )
    assert verdicts(document) == [
        ("file FILE1", Outcome.ACCEPTED, status),
        ("HH1", Outcome.ACCEPTED, status),
    ]


@pytest.mark.parametrize(
    ("status", "code", "outcome", "kept"),
    [
        ("RJCT", "AC04", Outcome.REJECTED, "AC04"),
        ("RJCT", "", Outcome.REJECTED, "RJCT"),
        ("CANC", "CUST", Outcome.CANCELLED, "CUST"),
        ("RVNM", "", Outcome.UNKNOWN, "RVNM"),
        ("ACFC", "", Outcome.UNKNOWN, "ACFC"),
        ("PART", "", Outcome.UNKNOWN, "PART"),
        ("", "", Outcome.UNKNOWN, ""),
        ("RJCT", "AM05", Outcome.UNKNOWN, "AM05"),
    ],
)
def test_verdicts_on_one_payment(status: str, code: str, outcome: Outcome, kept: str) -> None:
    document = report(body=batch("B1", transactions=transaction("HH1", status, code)))
    assert verdicts(document) == [("HH1", outcome, kept)]


def test_a_file_taken_in_part_was_taken_and_its_rejections_are_named() -> None:
    document = report(
        "<GrpSts>PART</GrpSts>",
        batch("B1", "PART", "", transaction("HH1", "ACCP") + transaction("HH2", "RJCT", "RC01")),
    )
    assert verdicts(document) == [
        ("file FILE1", Outcome.ACCEPTED, "PART"),
        ("HH1", Outcome.ACCEPTED, "ACCP"),
        ("HH2", Outcome.REJECTED, "RC01"),
    ]


def test_a_file_refused_as_a_whole_is_rejected() -> None:
    document = report(f"<GrpSts>RJCT</GrpSts>{reason('FF01')}")
    assert verdicts(document) == [("file FILE1", Outcome.REJECTED, "FF01")]


@pytest.mark.parametrize("code", ["DUPL", "AM05", "DU01"])
def test_a_duplicate_file_is_one_that_was_received_never_one_that_failed(code: str) -> None:
    document = report(
        f"<GrpSts>RJCT</GrpSts>{reason(code)}",
        batch("FILE1", "RJCT", code, transaction("HH1", "RJCT", code)),
    )

    (said,) = read(document)

    assert (said.message_id, said.ref, said.outcome, said.reason_code) == (
        "FILE1", "", Outcome.ACCEPTED, code,
    )  # fmt: skip
    # It speaks of the second copy: a report on the first one stands above it.
    assert said.evidence < Evidence.STATUS_REPORT


def test_a_verdict_on_the_only_block_is_a_verdict_on_the_file() -> None:
    assert verdicts(report(body=batch("FILE1", "RJCT", "AC01"))) == [
        ("file FILE1", Outcome.REJECTED, "AC01")
    ]


def test_a_verdict_on_one_of_several_blocks_rejects_nobody() -> None:
    document = report(body=batch("HH10001", "RJCT", "AC01"))
    assert verdicts(document) == []
    assert codes(document) == ["pain002_batch_only"]


def test_a_verdict_without_a_reference_of_ours_is_a_finding() -> None:
    document = report(
        body="<OrgnlPmtInfAndSts><TxInfAndSts><OrgnlEndToEndId>NOTPROVIDED</OrgnlEndToEndId>"
        "<TxSts>RJCT</TxSts></TxInfAndSts></OrgnlPmtInfAndSts>"
    )
    assert verdicts(document) == []
    assert codes(document) == ["pain002_without_reference"]


def test_the_instruction_id_stands_in_for_a_missing_end_to_end_id() -> None:
    document = report(
        body="<OrgnlPmtInfAndSts><TxInfAndSts><OrgnlInstrId>HH1</OrgnlInstrId>"
        "<OrgnlEndToEndId>NOTPROVIDED</OrgnlEndToEndId><TxSts>ACCP</TxSts></TxInfAndSts>"
        "</OrgnlPmtInfAndSts>"
    )
    assert verdicts(document) == [("HH1", Outcome.ACCEPTED, "ACCP")]


@pytest.mark.parametrize("namespace", ["", "urn:example:bank", "urn:swift:xsd:pain.002.001.03"])
def test_namespaces_do_not_matter(namespace: str) -> None:
    document = report("<GrpSts>ACCP</GrpSts>", namespace=namespace)
    assert verdicts(document) == [("file FILE1", Outcome.ACCEPTED, "ACCP")]


def test_a_report_inside_a_business_envelope_is_read() -> None:
    inner = report("<GrpSts>ACCP</GrpSts>").content
    document = Document("e.xml", b"<Envelope><AppHdr><To/></AppHdr>" + inner + b"</Envelope>")
    assert verdicts(document) == [("file FILE1", Outcome.ACCEPTED, "ACCP")]


def test_times_without_an_offset_are_the_banks() -> None:
    content = report("<GrpSts>ACCP</GrpSts>").content.replace(b"+03:00", b"")
    (said,) = read(Document("status.xml", content))
    assert said.observed_at == AT


def test_invalidity_is_recorded_and_stops_nothing() -> None:
    document = report(
        "<GrpSts>ACCP</GrpSts>", namespace="urn:iso:std:iso:20022:tech:xsd:pain.002.001.03"
    )
    content = document.content.replace(b"<MsgId>MB-1</MsgId>", b"<MsgId>" + b"M" * 36 + b"</MsgId>")
    document = Document("status.xml", content)

    assert verdicts(document) == [("file FILE1", Outcome.ACCEPTED, "ACCP")]
    (finding,) = (said for said in read(document) if isinstance(said, Finding))
    assert finding.problem.code == "iso20022_schema_invalid"
    assert finding.facts == {
        "schema": "pain.002.001.03",
        "element": "MsgId",
        "rule": "SCHEMAV_CVC_MAXLENGTH_VALID",
        "count": 1,
    }
    assert "MMMM" not in str(finding)


def test_a_file_that_breaks_off_keeps_what_stood_before() -> None:
    body = batch("B1", transactions=transaction("HH1", "ACCP") + transaction("HH2", "RJCT"))
    content = report(body=body).content
    document = Document("status.xml", content[: content.index(b"HH2")])
    assert verdicts(document) == [("HH1", Outcome.ACCEPTED, "ACCP")]
    assert codes(document) == ["iso20022_not_xml"]


@pytest.mark.parametrize(
    "declared",
    [
        '<!DOCTYPE Document [<!ENTITY a "HH1"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE Document [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE Document SYSTEM "http://127.0.0.1:9/status.dtd">',
    ],
)
def test_entities_and_document_types_are_refused_unread(declared: str) -> None:
    body = batch("B1", transactions=transaction("HH1", "RJCT") + transaction("&b;", "RJCT"))
    content = declared.encode() + report("<GrpSts>RJCT</GrpSts>", body).content
    (finding,) = read(Document("status.xml", content))
    assert finding.problem.code == "iso20022_document_type"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "iso20022_not_xml"),
        (b":20:STARTUMS\r\n:25:10020030/1234567", "iso20022_not_xml"),
        (b"<html><body>Log in</body></html>", "iso20022_unknown_message"),
        (b"<Document><CstmrCdtTrfInitn/></Document>", "iso20022_unknown_message"),
        (b"<Document><PmtRtr><GrpHdr/></PmtRtr></Document>", "iso20022_return_message"),
    ],
)
def test_other_files_are_named_and_not_believed(content: bytes, code: str) -> None:
    (finding,) = read(Document("mail.bin", content))
    assert finding.problem.code == code
