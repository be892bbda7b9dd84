"""What a provider's contract says about the money on cards, vouchers and wallets.

Two questions decide how every event on a wallet is booked. *Ownership*: is the balance on a wallet
still the agency's money, or the recipient's from the load on? *Recognition*: is the expense booked
when value is used, or when it is loaded? A balance that is the recipient's is spent at the load,
can neither expire to the agency nor be taken back, and has no breakage.

Sources: IPSAS 48 and INPAS on transfer expenses; card products differ in who owns the balance, so
ownership, term and breakage belong to the contract, not to the programme.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ledgers.money import exponent
from ledgers.problems import Finding, Place, Problem

CONTRACT_RECOGNISES_LATE = Problem(
    "contract_recognises_late",
    "The contract with {provider} says that balances are the recipient's, and books the expense at"
    " redemption.",
    "Book the expense at the load: what is the recipient's is spent.",
)
CONTRACT_EXPIRY_UNFIT = Problem(
    "contract_expiry_unfit",
    "The contract with {provider} says that balances are the recipient's, and that they expire.",
    "Leave the term out: what is the recipient's does not come back to the agency.",
)
CONTRACT_TERM_UNFIT = Problem(
    "contract_term_unfit",
    "The contract with {provider} states a term of {days:day|days}.",
    "State a term of one day or more, or none.",
)
CONTRACT_BREAKAGE_UNFIT = Problem(
    "contract_breakage_unfit",
    "The contract with {provider} does not fit its term: breakage is {breakage}.",
    "Say who keeps expired value where there is a term, and only there.",
)


class Ownership(StrEnum):
    """Whose the balance on a wallet is."""

    AGENCY = "agency"  # until it is used
    RECIPIENT = "recipient"  # from the load on


class Recognition(StrEnum):
    """When the expense is booked."""

    REDEMPTION = "redemption"  # when value is used
    LOAD = "load"  # when value is loaded; the wallets are kept in memo accounts


class Breakage(StrEnum):
    """Who keeps what expires unused."""

    AGENCY = "agency"  # the provider gives it back
    ISSUER = "issuer"  # the issuer keeps it: a loss, disclosed to the donor


@dataclass(frozen=True, slots=True)
class Contract:
    """The terms on which a provider keeps money for recipients, in one currency.

    `expires_after_days` is the term of unused value, counted from the load, or None; `breakage`
    says who keeps what expires, and is None where nothing does. Raises the first of
    `contract_recognises_late`, `contract_expiry_unfit`, `contract_term_unfit`,
    `contract_breakage_unfit` with all of them as findings; `currency_unknown`.
    """

    provider: str
    currency: str
    ownership: Ownership
    recognition: Recognition
    expires_after_days: int | None = None
    breakage: Breakage | None = None

    def __post_init__(self) -> None:
        exponent(self.currency)
        findings = list(_findings(self))
        if findings:
            first = findings[0]
            raise first.problem.refusal(**first.facts).with_findings(findings)

    @property
    def may_be_clawed_back(self) -> bool:
        """Whether a decision can take value back: only what is still the agency's."""
        return self.ownership is Ownership.AGENCY


def _findings(contract: Contract) -> Iterator[Finding]:
    provider, days = contract.provider, contract.expires_after_days
    if contract.ownership is Ownership.RECIPIENT:
        if contract.recognition is not Recognition.LOAD:
            yield CONTRACT_RECOGNISES_LATE.finding(Place(field="recognition"), provider=provider)
        if days is not None:
            yield CONTRACT_EXPIRY_UNFIT.finding(
                Place(field="expires_after_days"), provider=provider
            )
    if days is not None and days < 1:
        yield CONTRACT_TERM_UNFIT.finding(
            Place(field="expires_after_days"), provider=provider, days=days
        )
    if (days is None) != (contract.breakage is None):
        yield CONTRACT_BREAKAGE_UNFIT.finding(
            Place(field="breakage"), provider=provider, breakage=contract.breakage or "not stated"
        )
