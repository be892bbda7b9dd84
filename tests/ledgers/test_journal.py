"""The journal plans what an event is recorded with, or says everything that is wrong with it."""

import pytest

from ledgers.chart import chart
from ledgers.contracts import Contract, Ownership, Recognition
from ledgers.events import How, choices, events, qualified
from ledgers.journal import EXPRESSIONS, plan, templates
from ledgers.plans import AccountName, PlannedEntry, PlannedLine, Template
from ledgers.problems import Refusal

GRANT = {"grant": "ECHO", "currency": "TRY"}
THEIRS = Contract("HALK", "TRY", Ownership.RECIPIENT, Recognition.LOAD)
OURS = Contract("HALK", "TRY", Ownership.AGENCY, Recognition.REDEMPTION)
PLACE = {
    "programme": "pgm_1", "cycle": "cyc_1", "provider": "HALK", "location": "TR-63",
}  # fmt: skip


def found(event: str, facts: dict, contract: Contract | None = None) -> list[tuple[str, str]]:
    """The problems of the event's facts, each with its place."""
    with pytest.raises(Refusal) as caught:
        plan(event, facts, contract)
    return [(finding.problem.code, str(finding.place)) for finding in caught.value.findings]


def test_every_posting_names_accounts_of_the_chart() -> None:
    for event in events().values():
        for rule in event.postings:
            for side in (rule.debit, rule.credit):
                codes = choices().get(side, (side,))
                assert set(codes) <= chart().keys(), (event.code, side)
                layers = {"M" if code[0] == "9" else "A" for code in codes}
                assert layers == {rule.layer}, event.code


def test_every_name_of_the_journal_is_used() -> None:
    sides = {side for event in events().values() for rule in event.postings
             for side in (rule.debit, rule.credit)}  # fmt: skip
    amounts = {rule.amount for event in events().values() for rule in event.postings}
    assert choices().keys() <= sides | {"unidentified_debit"}
    assert EXPRESSIONS.keys() <= amounts
    for codes in [*choices().values(), *qualified().values()]:
        assert set(codes) <= chart().keys()


def test_event_names_the_accounts_of_iom() -> None:
    assert events()["load_settled"].iom_gl == ("307410", "307420")
    assert events()["fee_charged"].iom_gl == ("307430",)
    assert events()["grant_signed"].iom_gl == ()


def test_legs_of_an_event_are_one_entry() -> None:
    planned = plan(
        "grant_received",
        {**GRANT, "bank_reference": "ZB-1", "receivable": True, "amount": 2990, "fee": 10},
    )
    bank, owed = AccountName("1010", "TRY"), AccountName("1340", "TRY", grant="ECHO")
    lines = (
        PlannedLine(bank, owed, 2990, "A", "ECHO"),
        PlannedLine(AccountName("5140", "TRY"), owed, 10, "A", "ECHO"),
    )
    assert planned == (PlannedEntry("grant_received", "grant_received/ZB-1", How.ENTRY, lines),)


def test_lines_of_a_mass_event_are_an_entry_of_their_own() -> None:
    lines = [{"instruction": "I-1", "wallet": "W-1", "amount": 300}]
    facts = {**GRANT, **PLACE, "settlement": "st_1", "lines": lines}
    planned = plan("load_settled", facts, THEIRS)
    assert [(entry.key, entry.how) for entry in planned] == [
        ("load_settled/st_1", How.POST),
        ("load_settled/st_1#2", How.TRANSFER),
        ("load_settled/st_1#3", How.ENTRY),
    ]
    assert [line.amount_minor for entry in planned for line in entry.lines] == [300, 300, 300]


def test_event_that_moves_nothing_plans_nothing() -> None:
    assert plan("load_unanswered", {**GRANT, "plan": "plan_1", "inquiry": 1}) == ()


def test_unknown_event_is_refused() -> None:
    with pytest.raises(Refusal, match="journal_event_unknown"):
        plan("money_lost", GRANT)


def test_all_problems_of_the_facts_are_told_at_once() -> None:
    facts = {
        "grant": "ECHO", "provider": "HALK", "location": "", "currency": "TRY", "cycle": "cyc_1",
        "lines": [
            {"instruction": "I-1", "wallet": "W-1", "amount": 0},
            {"wallet": "W-2", "amount": True},
            {"instruction": "I-3", "amount": 10**20},
        ],
    }  # fmt: skip
    assert found("purchase_authorised", facts, OURS) == [
        ("journal_fact_missing", "batch"),
        ("journal_amount_unfit", "row 1, amount"),
        ("journal_fact_missing", "row 1, programme"),
        ("journal_fact_missing", "location"),
        ("journal_amount_unfit", "row 2, amount"),
        ("journal_fact_missing", "row 2, instruction"),
        ("journal_fact_missing", "row 2, programme"),
        ("journal_amount_unfit", "row 3, amount"),
        ("journal_fact_missing", "row 3, wallet"),
        ("journal_fact_missing", "row 3, programme"),
    ]


@pytest.mark.parametrize(
    ("event", "facts", "contract", "expected"),
    [
        ("commitment", {**GRANT, "plan": "p"}, None, [("journal_fact_missing", "amount")]),
        ("commitment", {**GRANT, "plan": "p", "amount": -5}, None,
         [("journal_amount_unfit", "amount")]),
        ("commitment", {**GRANT, "plan": "p", "amount": 5, "currency": "XYZ"}, None,
         [("currency_unknown", "currency")]),
        ("commitment", {"grant": "É 1", "currency": "TRY", "plan": "p", "amount": 5}, None,
         [("account_code_unfit", "9020"), ("account_code_unfit", "9010")]),
        ("grant_signed", {**GRANT, "agreement": "a", "amount": 5, "obligations": "perhaps"}, None,
         [("journal_fact_unfit", "obligations")]),
        ("bank_charged", {**GRANT, "bank_reference": "b", "amount": 5, "bank_account": "2010"},
         None, [("journal_fact_unfit", "bank_account")]),
        ("exchange_realised", {**GRANT, "conversion": "c"}, None, [("journal_nothing", "amount")]),
        ("load_settled", {**GRANT, "settlement": "s", "lines": []}, None,
         [("journal_contract_missing", "contract"), ("journal_fact_missing", "lines")]),
        ("fee_charged", {"grant": "ECHO", "currency": "USD", "provider": "HALK", "amount": 5,
                         "provider_reference": "r"}, OURS,
         [("journal_currency_unfit", "currency")]),
        ("value_clawed_back", {**GRANT, "provider": "HALK", "decision": "d",
                               "lines": [{"requested": 5, "available": 3}]}, THEIRS,
         [("journal_not_possible", "ownership")]),
    ],
)  # fmt: skip
def test_wrong_fact_is_found(
    event: str, facts: dict, contract: Contract | None, expected: list[tuple[str, str]]
) -> None:
    told = found(event, facts, contract)
    assert set(expected) <= set(told)
    assert {code for code, _ in told} - {code for code, _ in expected} <= {"journal_fact_missing"}


def test_clawing_back_takes_what_is_there_and_no_more() -> None:
    lines = [
        {"wallet": "W-1", "requested": 500, "available": 120},
        {"wallet": "W-2", "requested": 500, "available": 0},
        {"wallet": "W-3", "requested": 500, "available": 900},
    ]
    facts = {**GRANT, **PLACE, "decision": "D-1", "lines": lines}
    back, _ = plan("value_clawed_back", facts, OURS)
    assert [(line.credit_wallet, line.amount_minor) for line in back.lines] == [
        ("W-1", 120), ("W-3", 500),
    ]  # fmt: skip


def test_set_of_lines_finds_its_accounts_in_the_journal() -> None:
    facts = {**GRANT, "provider": "HALK", "plan": "plan_1"}
    float_, cards = (
        AccountName("1110", "TRY", None, "HALK"),
        AccountName("1210", "TRY", None, "HALK"),
    )
    assert templates("load_instructed", facts, OURS) == (
        Template("load_instructed/plan_1", How.HOLD, "A", cards, float_, "amount"),
    )
    settled = templates("load_settled", {**facts, "settlement": "s1", "transfers": "5020"}, THEIRS)
    assert [(made.key, made.how, made.debit.code, made.credit.code) for made in settled] == [
        ("load_settled/s1", How.POST, "1210.HALK.TRY", "1110.HALK.TRY"),
        ("load_settled/s1#2", How.TRANSFER, "5020.TRY", "1210.HALK.TRY"),
        ("load_settled/s1#3", How.ENTRY, "9110.ECHO.TRY", "9120.ECHO.TRY"),
    ]
    with pytest.raises(Refusal) as caught:
        templates("load_instructed", {"grant": "ECHO", "currency": "ABC", "provider": "HALK"})
    assert [finding.problem.code for finding in caught.value.findings] == [
        "journal_fact_missing", "currency_unknown",
    ]  # fmt: skip
