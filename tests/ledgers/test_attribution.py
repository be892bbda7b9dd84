"""Spending is attributed to the grants that loaded a wallet, and nothing is lost or made."""

from collections import Counter

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.attribution import (
    Attribution,
    Load,
    Share,
    attribute,
    attribute_all,
    by_grant,
    loads_of,
)
from ledgers.money import format_amount
from ledgers.problems import Refusal
from tests.ledgers.stories import Stage, contract_of

LOADS = [Load("l1", "ECHO", 300), Load("l2", "UNHCR", 100), Load("l3", "ECHO", 200)]
TERMS = {
    "provider": "HALK", "currency": "TRY", "ownership": "agency", "recognition": "redemption",
}  # fmt: skip


def test_oldest_load_is_spent_first() -> None:
    assert attribute(LOADS, 350) == [Share("l1", "ECHO", 300), Share("l2", "UNHCR", 50)]


def test_proportional_spending_is_taken_from_all() -> None:
    shares = attribute(LOADS, 61, Attribution.PROPORTIONAL)
    assert shares == [Share("l1", "ECHO", 31), Share("l2", "UNHCR", 10), Share("l3", "ECHO", 20)]
    assert by_grant(shares) == {"ECHO": 51, "UNHCR": 10}


@pytest.mark.parametrize(
    ("amount", "code"), [(601, "spending_above_loads"), (0, "spending_not_above_zero")]
)
def test_impossible_spending_is_refused(amount: int, code: str) -> None:
    with pytest.raises(Refusal, match=code):
        attribute(LOADS, amount)


@given(
    left=st.lists(st.integers(0, 10**12), min_size=1, max_size=8),
    parts=st.lists(st.integers(1, 10**12), max_size=8),
    by=st.sampled_from(Attribution),
)
def test_attribution_conserves(left: list[int], parts: list[int], by: Attribution) -> None:
    loads = [Load(f"l{number}", f"g{number % 3}", minor) for number, minor in enumerate(left)]
    spendings: list[int] = []
    for part in parts:
        if sum(spendings) + part <= sum(left):
            spendings.append(part)
    taken: Counter[str] = Counter()
    for spending, shares in zip(spendings, attribute_all(loads, spendings, by), strict=True):
        assert sum(share.amount_minor for share in shares) == spending
        assert sum(by_grant(shares).values()) == spending
        assert all(share.amount_minor > 0 for share in shares)
        taken.update({share.ref: share.amount_minor for share in shares})
    for load in loads:
        assert taken[load.ref] <= load.left_minor


def test_wallet_knows_what_is_left_of_its_loads(app: psycopg.Connection) -> None:
    stage = Stage(app)
    rows = [
        {"account": "1110.HALK.TRY", "debit": "9.00", "credit": "-", "grant": grant,
         "provider": "HALK"}
        for grant in ("ECHO", "UNHCR")
    ] + [
        {"account": "3020.TRY", "debit": "-", "credit": "9.00", "grant": grant}
        for grant in ("ECHO", "UNHCR")
    ]  # fmt: skip
    stage.give(rows, ["W-1"])
    place = {
        "programme": "pgm_1", "cycle": "cyc_1", "provider": "HALK", "location": "TR-63",
        "currency": "TRY",
    }  # fmt: skip
    for number, (grant, amount) in enumerate([("ECHO", "3.00"), ("UNHCR", "1.00")]):
        line = {"wallet": "W-1", "amount": amount}
        facts = {**place, "grant": grant, "report": str(number), "wallet_known": "true"}
        stage.play("load_found", {**facts, "lines": [line]}, contract_of(TERMS))
    loads = loads_of(app, "W-1", "1210.HALK.TRY")
    assert [(load.grant, load.left_minor) for load in loads] == [("ECHO", 300), ("UNHCR", 100)]
    for grant, minor in by_grant(attribute(loads, 350)).items():
        line = {"wallet": "W-1", "amount": format_amount(minor, "TRY")}
        facts = {**place, "grant": grant, "batch": "B-1" + grant, "lines": [line]}
        stage.play("cash_withdrawn", facts, contract_of(TERMS))
    left = loads_of(app, "W-1", "1210.HALK.TRY")
    assert [(load.grant, load.left_minor) for load in left] == [("UNHCR", 50)]
    by_posting = app.execute(
        "SELECT p.grant_code, sum(debit_minor)::bigint FROM books.posting p"
        " JOIN books.account a USING (account_id) WHERE a.chart_code = '5010' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert by_posting == [("ECHO", 300), ("UNHCR", 50)]
