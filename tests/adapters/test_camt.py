"""Statements of a bank: real files, and every rule about entries, details and balances."""

from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.iso20022 import Iso20022
from adapters.port import (
    Document,
    Evidence,
    Observation,
    Outcome,
    Reading,
    StatementBalance,
    StatementLine,
)
from ledgers.problems import Finding

REF = "01KJN9Y5V0PLAN0000000000AA0000001"
OTHER = "01KJN9Y5V0PLAN0000000000AA0000002"
MESSAGES = {
    "053": ("BkToCstmrStmt", "Stmt"),
    "052": ("BkToCstmrAcctRpt", "Rpt"),
    "054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
}


def read(content: str | bytes, name: str = "statement.xml") -> list[Reading]:
    raw = content.encode() if isinstance(content, str) else content
    return list(Iso20022().read(Document(name, raw)))


def of(kind: type, readings: list[Reading]) -> list:
    return [reading for reading in readings if isinstance(reading, kind)]


def codes(readings: list[Reading]) -> list[str]:
    return [finding.problem.code for finding in of(Finding, readings)]


def observed(readings: list[Reading]) -> list[tuple[Outcome, str, int | None, str]]:
    return [(o.outcome, o.ref, o.amount_minor, o.reason_code) for o in of(Observation, readings)]


def moved(readings: list[Reading]) -> list[tuple[int, str, str]]:
    return [(line.amount_minor, line.kind, line.ref) for line in of(StatementLine, readings)]


def detail(ref: str = "", amount: str = "", *, extra: str = "", side: str = "") -> str:
    named = f"<EndToEndId>{ref}</EndToEndId>" if ref else ""
    stated = f'<Amt Ccy="TRY">{amount}</Amt>' if amount else ""
    directed = f"<CdtDbtInd>{side}</CdtDbtInd>" if side else ""
    return f"<TxDtls><Refs>{named}</Refs>{stated}{directed}{extra}</TxDtls>"


def code(family: str, sub_family: str) -> str:
    return (
        f"<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>{family}</Cd><SubFmlyCd>{sub_family}</SubFmlyCd>"
        "</Fmly></Domn></BkTxCd>"
    )


RETURNED = "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"


def entry(
    amount: str,
    side: str,
    details: str = "",
    *,
    status: str = "<Sts><Cd>BOOK</Cd></Sts>",
    extra: str = "",
    dates: str = "<BookgDt><Dt>2026-03-02</Dt></BookgDt>",
    codes: str = "",
) -> str:
    return (
        f'<Ntry><Amt Ccy="TRY">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>{extra}{status}{dates}'
        f"<AcctSvcrRef>BANK-1</AcctSvcrRef>{codes}<NtryDtls>{details}</NtryDtls></Ntry>"
    )


def balance(kind: str, amount: str, currency: str = "TRY", side: str = "CRDT") -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp>"
        f'<Amt Ccy="{currency}">{amount}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
        "<Dt><Dt>2026-03-02</Dt></Dt></Bal>"
    )


def statement(*content: str, message: str = "053", page: str = "") -> str:
    outer, inner = MESSAGES[message]
    return (
        f"<Document><{outer}><GrpHdr><MsgId>MSG1</MsgId>{page}</GrpHdr><{inner}><Id>STMT1</Id>"
        "<CreDtTm>2026-03-02T18:00:00Z</CreDtTm>"
        "<Acct><Id><IBAN>TR330006100519786457841326</IBAN></Id><Ccy>TRY</Ccy></Acct>"
        f"{''.join(content)}</{inner}></{outer}></Document>"
    )


# What must come out of the sample files: sums of lines, kinds, balances, observations, findings.
SAMPLES = {
    "genkgo__camt052.v2.xml": ({}, {}, 0, [], []),
    "genkgo__camt053.v2.all-balance-types.xml": (
        {"EUR": 885}, {"other": 1}, 2, [], ["camt_balances_differ"],
    ),
    "genkgo__camt053.v2.minimal.xml": (
        {"EUR": 885}, {"other": 1}, 2, [], ["camt_balances_differ", "camt_balances_differ"],
    ),
    "genkgo__camt053.v2.multi.statement.xml": (
        {"EUR": 185}, {"other": 1, "payment": 1}, 4,
        [(Outcome.EXECUTED, "000000002", 700, "")], [],
    ),
    "genkgo__camt053.v3.xml": (
        {"EUR": 885}, {"funding": 1}, 2, [],
        ["camt_details_differ", "camt_balances_differ", "camt_balances_differ"],
    ),
    "genkgo__camt054.v2.xml": ({}, {}, 0, [], ["camt_details_differ"]),
    "postfinance__200519_camt.054-Credit_P_CH2909000000250094239_1110092691_0_2019042421291293.xml":
        ({}, {}, 0, [], []),
    "viafintech__054_valid_example.xml": ({}, {}, 0, [], []),
    "viafintech__valid_example_v4.xml": (
        {"CHF": 53761}, {"fee": 6, "funding": 2, "return": 1, "other": 4}, 2,
        [(Outcome.RETURNED, "TEST002A11096JRG", 2000, "NARR")], [],
    ),
    "viafintech__valid_example_with_batch.xml": (
        {"EUR": 293426}, {"payment": 1, "funding": 2}, 2, [],
        ["camt_count_differs", "camt_balances_differ", "iso20022_schema_invalid"],
    ),
}  # fmt: skip


@pytest.mark.samples
def test_every_sample_is_in_the_table(samples: Path) -> None:
    assert {path.name for path in (samples / "statements").glob("*.xml")} == set(SAMPLES)


@pytest.mark.samples
@pytest.mark.parametrize("name", SAMPLES)
def test_a_real_file_reads(samples: Path, name: str) -> None:
    readings = read((samples / "statements" / name).read_bytes(), name)

    sums: Counter[str] = Counter()
    for line in of(StatementLine, readings):
        sums[line.currency] += line.amount_minor
    assert (
        dict(sums),
        dict(Counter(line.kind for line in of(StatementLine, readings))),
        len(of(StatementBalance, readings)),
        observed(readings),
        codes(readings),
    ) == SAMPLES[name]


@pytest.mark.samples
def test_the_lines_of_a_real_day_make_its_closing_balance(samples: Path) -> None:
    path = samples / "statements" / "viafintech__valid_example_v4.xml"
    readings = read(path.read_bytes())

    opening, closing = of(StatementBalance, readings)
    total = sum(line.amount_minor for line in of(StatementLine, readings))

    assert (opening.kind, closing.kind) == ("opening", "closing")
    assert opening.amount_minor + total == closing.amount_minor


def test_a_booked_debit_is_a_line_and_an_execution() -> None:
    content = statement(
        balance("OPBD", "5000.00"),
        balance("CLBD", "3999.99"),
        entry("1000.01", "DBIT", detail(REF, "1000.01", side="DBIT"), codes=code("ICDT", "ESCT")),
    )

    line, said, opening, closing = read(content)

    assert line == StatementLine(
        account="TR330006100519786457841326",
        statement_id="STMT1",
        line_id="001-000001-BANK-1",
        amount_minor=-100_001,
        currency="TRY",
        booked_on=date(2026, 3, 2),
        kind="payment",
        ref=REF,
        place=line.place,
    )
    assert said == Observation(
        outcome=Outcome.EXECUTED,
        evidence=Evidence.STATEMENT,
        ref=REF,
        amount_minor=100_001,
        currency="TRY",
        provider_ref="BANK-1",
        observed_at=datetime(2026, 3, 2, 18, tzinfo=UTC),
        moved_on=date(2026, 3, 2),
        place=said.place,
    )
    assert (opening.amount_minor, closing.amount_minor) == (500_000, 399_999)
    assert str(line.place) == "statement.xml, STMT1, row 1, Ntry"


@pytest.mark.parametrize("message", ["052", "054"])
def test_only_the_days_statement_posts(message: str) -> None:
    content = statement(
        balance("OPBD", "1.00"), entry("10.00", "DBIT", detail(REF, "10.00")), message=message
    )
    readings = read(content)
    assert observed(readings) == [(Outcome.EXECUTED, REF, 1000, "")]
    assert len(readings) == 1


@pytest.mark.parametrize(
    "returned",
    [
        entry("9.00", "CRDT", detail(REF, "9.00", extra=RETURNED)),
        entry("9.00", "CRDT", detail(REF, extra=RETURNED), codes=code("ICDT", "RRTN")),
    ],
)
def test_a_return_says_what_came_back_and_why(returned: str) -> None:
    readings = read(statement(returned))
    assert moved(readings) == [(900, "return", REF)]
    assert observed(readings) == [(Outcome.RETURNED, REF, 900, "AC04")]


def test_a_return_without_a_reason_is_known_by_its_code() -> None:
    readings = read(statement(entry("9.00", "CRDT", detail(REF), codes=code("ICDT", "RRTN"))))
    assert observed(readings) == [(Outcome.RETURNED, REF, 900, "")]


def test_a_reversed_debit_came_back() -> None:
    content = statement(entry("9.00", "CRDT", detail(REF), extra="<RvslInd>true</RvslInd>"))
    assert moved(read(content)) == [(900, "return", REF)]
    assert observed(read(content)) == [(Outcome.RETURNED, REF, 900, "")]


def test_a_reversed_credit_pays_nobody_and_is_looked_at() -> None:
    readings = read(statement(entry("9.00", "DBIT", detail(REF), extra="<RvslInd>true</RvslInd>")))
    assert moved(readings) == [(-900, "other", REF)]
    assert observed(readings) == []
    assert codes(readings) == ["camt_credit_undone"]


@pytest.mark.parametrize(
    ("side", "codes_given", "kind"),
    [
        ("DBIT", code("ICDT", "CHRG"), "fee"),
        ("DBIT", code("ICDT", "ESCT"), "payment"),
        ("DBIT", code("RDDT", "ESDD"), "other"),
        ("CRDT", code("RCDT", "ESCT"), "funding"),
        ("CRDT", code("ICDT", "RRTN"), "return"),
        ("CRDT", "", "other"),
        ("DBIT", "", "other"),
    ],
)
def test_a_movement_has_a_kind(side: str, codes_given: str, kind: str) -> None:
    readings = read(statement(entry("1.00", side, codes=codes_given)))
    assert [line.kind for line in of(StatementLine, readings)] == [kind]


@pytest.mark.parametrize("status", ["<Sts>PDNG</Sts>", "<Sts><Cd>INFO</Cd></Sts>", ""])
def test_what_is_not_booked_never_posts(status: str) -> None:
    readings = read(
        statement(entry("9.00", "DBIT", detail(REF), status=status), entry("1.00", "CRDT"))
    )
    assert moved(readings) == [(100, "other", "")]
    assert observed(readings) == []
    assert codes(readings) == ["camt_not_booked"]


def test_details_of_a_batch_are_executed_one_by_one() -> None:
    readings = read(
        statement(entry("30.00", "DBIT", detail(REF, "10.00") + detail(OTHER, "20.00")))
    )
    assert moved(readings) == [(-3000, "payment", "")]
    assert observed(readings) == [
        (Outcome.EXECUTED, REF, 1000, ""),
        (Outcome.EXECUTED, OTHER, 2000, ""),
    ]


@pytest.mark.parametrize(
    "details",
    [
        detail(REF, "10.00") + detail(OTHER, "19.99"),
        detail(REF, "10.00") + detail(OTHER),
        detail(REF, "10.00") + detail(OTHER, "20.00", side="CRDT"),
    ],
)
def test_details_that_do_not_add_up_move_money_and_prove_nothing(details: str) -> None:
    readings = read(statement(entry("30.00", "DBIT", details)))
    assert moved(readings) == [(-3000, "payment", "")]
    assert observed(readings) == []
    assert codes(readings) == ["camt_details_differ"]


def test_a_single_detail_with_another_amount_names_its_payment_and_is_looked_at() -> None:
    readings = read(statement(entry("30.00", "DBIT", detail(REF, "29.99"))))
    assert observed(readings) == [(Outcome.EXECUTED, REF, 3000, "")]
    assert codes(readings) == ["camt_details_differ"]


def test_an_entry_without_details_moves_money() -> None:
    readings = read(statement(entry("30.00", "DBIT", codes=code("ICDT", "ESCT"))))
    assert moved(readings) == [(-3000, "payment", "")]
    assert observed(readings) == []


@pytest.mark.parametrize("foreign", ["NOTPROVIDED", "MUELL/FINP/RA12345", "inv-7"])
def test_references_of_others_are_not_ours(foreign: str) -> None:
    readings = read(statement(entry("30.00", "DBIT", detail(foreign, "30.00"))))
    assert [line.ref for line in of(StatementLine, readings)] == [""]
    assert observed(readings) == []


def test_the_instruction_id_is_taken_where_the_end_to_end_id_says_nothing() -> None:
    references = f"<Refs><InstrId>{REF}</InstrId><EndToEndId>NOTPROVIDED</EndToEndId></Refs>"
    readings = read(statement(entry("30.00", "DBIT", f"<TxDtls>{references}</TxDtls>")))
    assert observed(readings) == [(Outcome.EXECUTED, REF, 3000, "")]


@pytest.mark.parametrize(
    "dates",
    [
        "<BookgDt><DtTm>2026-03-02T23:30:00-05:00</DtTm></BookgDt>",
        "<BookgDt><Dt>2026-03-02+03:00</Dt></BookgDt>",
        "<ValDt><Dt>2026-03-02</Dt></ValDt>",
    ],
)
def test_a_date_is_the_one_the_bank_wrote(dates: str) -> None:
    (line,) = read(statement(entry("1.00", "CRDT", dates=dates)))
    assert line.booked_on == date(2026, 3, 2)


@pytest.mark.parametrize(
    ("faulty", "field"),
    [
        (entry("1.001", "CRDT"), "amount"),
        (entry("1,00", "CRDT"), "amount"),
        (entry("1.00", "CRDT").replace("TRY", "QQQ"), "amount"),
        (entry("1.00", "BOTH"), "direction"),
        (entry("1.00", "CRDT", dates=""), "date"),
    ],
)
def test_an_unreadable_entry_is_named_and_unties_the_statement(faulty: str, field: str) -> None:
    content = statement(
        balance("OPBD", "0.00"), balance("CLBD", "3.00"), entry("2.00", "CRDT"), faulty
    )
    readings = read(content)
    assert moved(readings) == [(200, "other", "")]
    assert codes(readings) == ["camt_entry_unreadable", "camt_balances_differ"]
    assert of(Finding, readings)[0].facts["field"] == field


def test_an_entry_of_zero_is_noted_and_moves_nothing() -> None:
    readings = read(statement(entry("0.00", "DBIT", detail(REF))))
    assert codes(readings) == ["camt_entry_of_zero"]
    assert len(readings) == 1


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        (balance("OPBD", "1.005"), "amount"),
        (balance("OPBD", "1.00", side=""), "direction"),
        (balance("OPBD", "1.00").replace("2026-03-02", "soon"), "date"),
    ],
)
def test_an_unreadable_balance_is_named(stated: str, field: str) -> None:
    (finding,) = read(statement(stated))
    assert (finding.problem.code, finding.facts["field"]) == ("camt_balance_unreadable", field)


def test_the_previous_closing_stands_in_for_a_missing_opening() -> None:
    content = statement(balance("PRCD", "1.00"), balance("CLBD", "3.00"), entry("2.00", "CRDT"))
    readings = read(content)
    assert [(b.kind, b.amount_minor) for b in of(StatementBalance, readings)] == [
        ("opening", 100),
        ("closing", 300),
    ]
    assert codes(readings) == []


def test_an_overdrawn_balance_is_negative() -> None:
    content = statement(
        balance("OPBD", "1.00"), balance("CLBD", "2.00", side="DBIT"), entry("3.00", "DBIT")
    )
    assert [b.amount_minor for b in of(StatementBalance, read(content))] == [100, -200]
    assert codes(read(content)) == []


def test_a_wrong_count_of_entries_is_a_finding() -> None:
    summary = "<TxsSummry><TtlNtries><NbOfNtries>3</NbOfNtries></TtlNtries></TxsSummry>"
    readings = read(statement(summary, entry("1.00", "CRDT")))
    assert codes(readings) == ["camt_count_differs"]


def test_pages_of_one_statement_have_different_lines_and_tie_nowhere_alone() -> None:
    def page(number: int, last: str) -> list[Reading]:
        head = f"<MsgPgntn><PgNb>{number}</PgNb><LastPgInd>{last}</LastPgInd></MsgPgntn>"
        stated = balance("OPBD", "1.00") if number == 1 else balance("CLBD", "3.00")
        return read(statement(stated, entry("1.00", "CRDT"), page=head))

    first, second = page(1, "false"), page(2, "true")

    lines = of(StatementLine, first) + of(StatementLine, second)
    assert [(line.statement_id, line.line_id) for line in lines] == [
        ("STMT1", "001-000001-BANK-1"),
        ("STMT1", "002-000001-BANK-1"),
    ]
    assert codes(first + second) == []


def test_two_entries_with_one_bank_reference_are_two_lines() -> None:
    lines = of(StatementLine, read(statement(entry("1.00", "DBIT"), entry("1.00", "DBIT"))))
    assert len({line.line_id for line in lines}) == 2


def test_the_first_version_of_the_message_reads() -> None:
    content = statement(entry("1.00", "DBIT", detail(REF))).replace(
        "BkToCstmrStmt", "BkToCstmrStmtV01"
    )
    assert observed(read(content)) == [(Outcome.EXECUTED, REF, 100, "")]


def test_a_truncated_statement_keeps_its_whole_entries() -> None:
    content = statement(entry("1.00", "DBIT", detail(REF)), entry("2.00", "DBIT", detail(OTHER)))
    readings = read(content[: content.index(OTHER)])
    assert observed(readings) == [(Outcome.EXECUTED, REF, 100, "")]
    assert codes(readings) == ["iso20022_not_xml"]


def test_the_text_of_a_line_is_kept_and_not_shown() -> None:
    told = detail(REF, extra="<RmtInf><Ustrd>Ayşe Öztürk</Ustrd></RmtInf>")
    line, said = read(statement(entry("1.00", "DBIT", told)))
    assert line.text == "Ayşe Öztürk"
    assert "Ayşe" not in repr(line) + repr(said)


@given(
    st.integers(-(10**12), 10**12),
    st.lists(st.integers(-(10**9), 10**9).filter(bool), max_size=30),
)
def test_what_was_booked_is_what_is_read(opening: int, amounts: list[int]) -> None:
    def text(minor: int) -> str:
        return f"{abs(minor) // 100}.{abs(minor) % 100:02d}"

    def side(minor: int) -> str:
        return "DBIT" if minor < 0 else "CRDT"

    closing = opening + sum(amounts)
    content = statement(
        balance("OPBD", text(opening), side=side(opening)),
        balance("CLBD", text(closing), side=side(closing)),
        *(entry(text(amount), side(amount)) for amount in amounts),
    )

    readings = read(content)

    assert [line.amount_minor for line in of(StatementLine, readings)] == amounts
    assert [b.amount_minor for b in of(StatementBalance, readings)] == [opening, closing]
    assert codes(readings) == []
    assert read(content) == readings
