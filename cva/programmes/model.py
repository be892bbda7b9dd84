"""A programme as its file says it: money, mechanism, hands, and the rules it decides by.

The file is YAML that a programme officer can read and change; `loading` reads it strictly and
shows every problem in its place. What is published is the canonical form and its SHA-256: layout
and comments change nothing, every word that means something changes the hash.

Vocabulary: *restriction* says whether the value can be used anywhere or at certain shops only;
*conditionality* whether something must be done before it is received; the *delivery mechanism* is
how it reaches people, and the *destination* the field of the registration that it goes to.
"""

import json
from datetime import date
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, Field, field_serializer, model_validator

from eligibility.entitlements import Amount
from eligibility.rules.pack import STRICT, Code, Label, RulePack, Words, canonical
from ledgers.contracts import Breakage, Contract, Ownership, Recognition
from ledgers.money import parse_amount

CYCLE_START = "cycle_start"
APPROVERS_MAX = 5

CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Approvers = Annotated[int, Field(ge=1, le=APPROVERS_MAX)]
Need = Literal["basic-needs", "food", "shelter", "winter", "education", "health", "livelihood"]


class Mechanism(StrEnum):
    """How value reaches people."""

    PREPAID_CARD = "prepaid_card"  # an e-voucher card, for certain shops
    DEBIT_CARD = "debit_card"  # a card that also pays out cash
    BANK_TRANSFER = "bank_transfer"  # to the household's own account


class Destination(StrEnum):
    """The field of the registration that a payment goes to."""

    VOUCHER_CARD = "voucher_card_ref"
    DEBIT_CARD = "debit_card_ref"
    IBAN = "iban"


class Grant(BaseModel):
    """A donor's money: its budget and the days it can be used on, both included."""

    model_config = STRICT

    code: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9-]{1,30}$")]
    donor: Words
    currency: CurrencyCode
    budget: Amount
    first_day: date = Field(alias="from")
    last_day: date = Field(alias="to")

    @property
    def budget_minor(self) -> int:
        """The budget in minor units."""
        return parse_amount(str(self.budget), self.currency)


class Threshold(BaseModel):
    """Plans whose total is above an amount need more approvers."""

    model_config = STRICT

    above: Amount
    approvers: Approvers


class Approvals(BaseModel):
    """How many different people approve a plan before a further one releases it."""

    model_config = STRICT

    approvers: Approvers
    thresholds: tuple[Threshold, ...] = ()


class ProviderContract(BaseModel):
    """Whose the value on cards is, and when it is an expense; see `ledgers.contracts`."""

    model_config = STRICT

    ownership: Annotated[Ownership, Field(strict=False)]
    recognition: Annotated[Recognition, Field(strict=False)]
    expires_after_days: int | None = None
    breakage: Annotated[Breakage | None, Field(strict=False)] = None

    def of(self, provider: str, currency: str) -> Contract:
        """Return the contract with this provider. Raises what `Contract` raises."""
        return Contract(
            provider, currency, self.ownership, self.recognition, self.expires_after_days,
            self.breakage,
        )  # fmt: skip


# What a programme says that states no contract: what is loaded is the recipient's, and spent.
SPENT_AT_THE_LOAD = ProviderContract(ownership=Ownership.RECIPIENT, recognition=Recognition.LOAD)


def contract_of(provider: str, currency: str, stated: object) -> Contract:
    """Return the contract that a stored document states, or the one that stands without a word."""
    terms = ProviderContract.model_validate(stated, strict=False) if stated else SPENT_AT_THE_LOAD
    return terms.of(provider, currency)


class ProgrammeProvider(BaseModel):
    """Who pays out. Accounts, addresses and passwords stand with the installation, not here."""

    model_config = STRICT

    code: Annotated[str, Field(pattern=r"^[A-Z0-9-]{2,20}$")]
    kind: Literal["bank", "card_processor"]
    contract: ProviderContract | None = None


class NamedPack(BaseModel):
    """The pack whose rules a programme took over, and its hash; `version` where published here."""

    model_config = STRICT

    code: Code
    version: Annotated[int, Field(ge=1)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Programme(BaseModel):
    """One programme; see the files beside this module."""

    model_config = STRICT

    code: Code
    name: Label
    agency: Words
    description: Words
    grant: Grant
    modality: Literal["cash", "voucher"]
    restriction: Literal["restricted", "unrestricted"]
    restricted_to: tuple[Words, ...] = ()
    conditionality: Literal["conditional", "unconditional"]
    delivery_mechanism: Annotated[Mechanism, Field(strict=False)]
    destination: Annotated[Destination, Field(strict=False)]
    currency: CurrencyCode
    need: Need
    sector: Words
    population_group: Words
    reference_date: Literal["cycle_start"] | date
    cycles: Literal["one_off", "monthly"]
    provider: ProgrammeProvider
    approvals: Approvals
    pack: NamedPack | None = None
    emergency: Literal[True] | None = None  # what is only possible stops a line for hours, not days
    rules: RulePack

    @model_validator(mode="before")
    @classmethod
    def _name_the_rules(cls, content: object) -> object:
        """Give the rules the programme's code and currency where they state none of their own."""
        if not isinstance(content, dict) or not isinstance(content.get("rules"), dict):
            return content
        own = {name: content[name] for name in ("code", "currency") if name in content}
        return {**content, "rules": {**own, **content["rules"]}}

    @field_serializer("reference_date")
    def _day(self, reference_date: str | date) -> str:
        return str(reference_date)

    def reference_date_of(self, starts_on: date) -> date:
        """Return the day at which ages are computed in a cycle that starts on `starts_on`."""
        return self.reference_date if isinstance(self.reference_date, date) else starts_on

    @property
    def thresholds(self) -> tuple[tuple[int, int], ...]:
        """Totals in minor units, with how many approvers a plan above each of them needs."""
        return tuple(
            (parse_amount(str(threshold.above), self.currency), threshold.approvers)
            for threshold in self.approvals.thresholds
        )

    @property
    def contract(self) -> Contract:
        """The terms on which the provider keeps money for recipients."""
        stated = self.provider.contract or SPENT_AT_THE_LOAD
        return stated.of(self.provider.code, self.currency)

    def document(self) -> dict[str, object]:
        """Return the canonical form as JSON values; `from_document` reads it back."""
        content: dict[str, object] = json.loads(canonical(self))
        return content

    def sha256(self) -> str:
        """Return the SHA-256 of the canonical form, in hexadecimal."""
        return sha256(canonical(self)).hexdigest()

    @classmethod
    def from_document(cls, document: object) -> "Programme":
        """Return the programme of a canonical form that was stored when it was published."""
        return cls.model_validate(document, strict=False)
