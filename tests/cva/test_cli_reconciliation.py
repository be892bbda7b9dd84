"""`cva ledger import|match|unmatch|write-off|exceptions` as people type them."""

import re
from pathlib import Path

import pytest

from tests.cva.typed import Typed

HEAD = "statement_id,line_id,amount,currency,value_on,kind,ref,counterparty\n"


@pytest.fixture
def typed(environment: dict[str, str]) -> Typed:
    cli = Typed(environment)
    cli("init", "--login", "kerem", "--name", "Kerem", by="kerem")
    for login in ("deniz", "omar"):
        cli("user", "add", login, "--name", login.title(), "--role", "finance", by="kerem")
    return cli


def test_lines_are_matched_unmatched_and_written_off(typed: Typed, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    ours.write_text(HEAD + "J1,1,-250.50,TRY,2026-03-02,payment,R1,\n", encoding="utf-8")
    theirs.write_text(
        HEAD + "S1,1,-250.00,TRY,2026-03-02,payment,R1,\nS1,2,-0.50,TRY,2026-02-02,fee,,\n"
        "S1,3,x,TRY,2026-02-02,fee,,\n",
        encoding="utf-8",
    )
    typed("ledger", "import", "HALK", "--file", str(ours), "--side", "ours")
    said = typed("ledger", "import", "HALK", "--file", str(theirs))
    assert "recon_line_unreadable" in said
    assert typed.rows("ledger", "match", "HALK") == [
        {"what": "suggested", "by": "reference_other_amount", "count": 1},
        {"what": "exception", "by": "fee", "count": 1},
        {"what": "exception", "by": "short", "count": 1},
    ]
    table = typed("ledger", "exceptions", "HALK")
    assert max(map(len, table.splitlines())) <= 80
    found = typed.rows("ledger", "exceptions", "HALK")
    assert [(e["difference"], e["age"], e["owner"], e["told"]) for e in found] == [
        ("fee", "31-60", "finance", "administrator"), ("short", "0-3", "programme", "owner"),
    ]  # fmt: skip

    (suggestion,) = typed.rows("ledger", "exceptions", "HALK", "--suggestions")
    number = str(suggestion["suggestion"])
    assert "match_without_reason" in typed("ledger", "match", "--suggestion", number, ends=2)
    typed("ledger", "match", "--suggestion", number, "--reason", "half a lira was taken off")
    typed("ledger", "match", "HALK")
    lines = {e["difference"]: str(e["line"]) for e in typed.rows("ledger", "exceptions", "HALK")}
    assert set(lines) == {"fee", "short"}
    both = ["--line", f"{lines['short']}=-0.50", "--line", lines["fee"]]
    made = typed("ledger", "match", *both, "--reason", "this is the half lira")
    assert typed.rows("ledger", "exceptions", "HALK") == []

    match = re.search(r"Matched: (\d+-\d+)\.", made)
    assert match is not None
    typed("ledger", "unmatch", match[1], "--reason", "it was another one")
    assert "match_unreadable" in typed("ledger", "unmatch", "17", "--reason", "x", ends=2)
    steps = typed.rows("ledger", "exceptions", "--line", lines["short"])
    assert [step["rule"] for step in steps] == ["manual", "manual", "unmatch"]

    said = typed("ledger", "write-off", lines["fee"], "--reason", "the bank is silent")
    assert "of -0.50 TRY waits for a second person" in said
    assert "write_off_of_what" in typed("ledger", "write-off", "--reason", "x", ends=2)
    table = typed("ledger", "write-offs", by="omar")
    assert max(map(len, table.splitlines())) <= 80
    assert "the bank is silent" in table
    assert typed.rows("ledger", "write-offs", "HALK") == [
        {"write-off": 1, "comparison": "HALK", "side": "theirs", "line": int(lines["fee"]),
         "amount": "-0.50", "since": "2026-02-02", "proposed by": "deniz", "statement": "S1/2",
         "reason": "the bank is silent"},
    ]  # fmt: skip
    approval = ["--approve", "1", "--grant", "GR-1", "--reason", "agreed"]
    unseen = ["ledger", "write-off", *approval]
    assert "write_off_of_what" in typed(*unseen, ends=2, by="omar")
    assert "write_off_not_seen" in typed(*unseen, "--amount", "0.50", ends=1, by="omar")
    assert "comparison_without_account" in typed(*unseen, "--amount", "-0.50", ends=1)


def test_differences_get_another_owner_and_changed_lines_an_answer(
    typed: Typed, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs.csv"
    for amount in ("-250.00", "-240.00"):
        theirs.write_text(HEAD + f"S1,1,{amount},TRY,2026-03-02,payment,R1,\n", encoding="utf-8")
        typed("ledger", "import", "HALK", "--file", str(theirs))
    (found,) = typed.rows("ledger", "exceptions", "HALK")
    assert (found["difference"], found["amount"], found["owner"]) == (
        "line_changed", "10.00", "finance",
    )  # fmt: skip
    number, why = str(found["exception"]), ("--reason", "the bank sends the right one")
    assert "is with omar" in typed("ledger", "assign", number, "--to", "omar", *why)
    assert typed.rows("ledger", "exceptions", "HALK")[0]["owner"] == "omar"
    assert "person_unknown" in typed("ledger", "assign", number, "--to", "bank", *why, ends=4)
    assert "exception_unknown" in typed("ledger", "answer", "99", *why, ends=4)
    assert "is answered" in typed("ledger", "answer", number, *why, by="omar")
    assert "was already answered" in typed("ledger", "answer", number, *why)
    assert typed.rows("ledger", "exceptions", "HALK") == []
