"""A provider's contract says whose a balance is; what cannot be is refused."""

import pytest

from ledgers.contracts import Breakage, Contract, Ownership, Recognition
from ledgers.problems import Refusal


def test_recipients_balance_cannot_be_clawed_back() -> None:
    theirs = Contract("HALK", "TRY", Ownership.RECIPIENT, Recognition.LOAD)
    ours = Contract(
        "HALK", "TRY", Ownership.AGENCY, Recognition.REDEMPTION, 180, Breakage.AGENCY
    )  # fmt: skip
    assert (theirs.may_be_clawed_back, ours.may_be_clawed_back) == (False, True)


@pytest.mark.parametrize(
    ("terms", "codes"),
    [
        ((Ownership.RECIPIENT, Recognition.REDEMPTION, None, None), ["contract_recognises_late"]),
        ((Ownership.RECIPIENT, Recognition.LOAD, 90, Breakage.AGENCY), ["contract_expiry_unfit"]),
        ((Ownership.AGENCY, Recognition.LOAD, 0, Breakage.ISSUER), ["contract_term_unfit"]),
        ((Ownership.AGENCY, Recognition.LOAD, 90, None), ["contract_breakage_unfit"]),
        ((Ownership.AGENCY, Recognition.LOAD, None, Breakage.ISSUER), ["contract_breakage_unfit"]),
        (
            (Ownership.RECIPIENT, Recognition.REDEMPTION, -1, None),
            ["contract_recognises_late", "contract_expiry_unfit", "contract_term_unfit",
             "contract_breakage_unfit"],
        ),
    ],
)  # fmt: skip
def test_impossible_contract_is_refused_with_everything_that_is_wrong(
    terms: tuple, codes: list[str]
) -> None:
    with pytest.raises(Refusal) as caught:
        Contract("HALK", "TRY", *terms)
    assert [finding.problem.code for finding in caught.value.findings] == codes
    assert caught.value.problem.code == codes[0]


def test_contract_has_a_currency() -> None:
    with pytest.raises(Refusal, match="currency_unknown"):
        Contract("HALK", "ZZZ", Ownership.AGENCY, Recognition.LOAD)
