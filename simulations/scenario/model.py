"""What a scenario file holds: one question, and everything that is assumed to answer it.

Shares and rates are numbers from 0 to 1 a month unless their name says a year; amounts are
decimals of their currency; days are the first day they hold on. An assumption that is not known is
written as a distribution (`simulations.distributions`), a known one as a plain number. The
canonical form is hashed with SHA-256: a report names the hash, so that its figures can be computed
again.

Vocabulary: the *base pack* is the rule pack that runs today; an *overlay* changes dated parameters
of it; a *variant* is another way of doing things, compared with the base under the same chances; a
*stress path* is a fixed exchange-rate path shown beside the fan; a *grant*'s *lead* is how many
months before payment its money is drawn and exchanged.
"""

import json
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from eligibility.entitlements import Amount, Entitlement
from eligibility.rules.pack import STRICT, Code, Id, Label, Words
from eligibility.selection import Selection
from simulations.distributions import Constant, Distribution, Number
from simulations.months import month_after
from simulations.scenario.canonical import plain

MONTHS_MAX = 120
DRAWS_MAX = 20_000
SYNTHETIC_MAX = 1_000_000

Question = Literal[
    "cost", "rule_change", "frontier", "shock", "expansion", "comparison", "targeting", "backtest"
]
Foreign = Literal["USD", "EUR"]
Currency = Literal["TRY", "USD", "EUR"]
Rate = Annotated[Number, Field(gt=0, le=1_000_000)]
Province = Annotated[str, Field(pattern=r"^TR-[0-9]{2}$")]
Months = Annotated[int, Field(ge=1, le=MONTHS_MAX)]
NEVER = Constant(value=Decimal(0))
ALWAYS = Constant(value=Decimal(1))


def _written(value: object) -> object:
    """Take a plain number for what it is: an assumption that is known."""
    known = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return {"kind": "constant", "value": value} if known else value


Assumption = Annotated[Distribution, BeforeValidator(_written)]


class Synthetic(BaseModel):
    """Households that do not exist: how many are made, how many they stand for, in how many tries.

    Every try has a seed of its own; the spread between them is the structural uncertainty.
    """

    model_config = STRICT

    households: Annotated[int, Field(ge=100, le=SYNTHETIC_MAX)]
    represents: Annotated[int, Field(ge=100, le=100_000_000)] | None = None
    tries: Annotated[int, Field(ge=1, le=20)] = 1


class Population(BaseModel):
    """Who there is, where no snapshot is handed over."""

    model_config = STRICT

    synthetic: Synthetic


class Change(BaseModel):
    """One value of a dated parameter, in force from a day until the parameter's next."""

    model_config = STRICT

    parameter: Id
    first_day: date = Field(alias="from")
    value: object
    source: Words


class Indexation(BaseModel):
    """When the transfer value is looked at again, and when it then follows prices.

    A value that a parameter gives from a later day is in the prices of that day.
    """

    model_config = STRICT

    follows: Literal["prices", "USD", "EUR"]
    every_months: Months
    trigger_percent: Annotated[Number, Field(ge=0, le=1000)] = Decimal(0)
    round_to: Amount = Decimal("0.01")


class RuleBook(BaseModel):
    """Which rules run, and what is changed of them.

    `pack` is a file beside the scenario or the name of a pack that comes with the program,
    `programme` the code of a programme that does.
    """

    model_config = STRICT

    pack: Words | None = None
    programme: Code | None = None
    overlay: tuple[Change, ...] = ()
    selection: Selection | None = None
    entitlement: Entitlement | None = None
    every_months: Months = 6

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.pack is None) == (self.programme is None):
            message = "give either pack (a file) or programme (the code of a shipped programme)"
            raise ValueError(message)
        return self


class Variant(BaseModel):
    """Another way of doing things: what it changes of the base; the rest stays.

    `is_indexed: false` keeps its transfer value as it is, whatever the scenario's follows.
    """

    model_config = STRICT

    code: Code
    name: Label
    pack: Words | None = None
    overlay: tuple[Change, ...] = ()
    selection: Selection | None = None
    entitlement: Entitlement | None = None
    indexation: Indexation | None = None
    is_indexed: bool = True

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.indexation is not None and not self.is_indexed:
            message = "a variant that is not indexed has no indexation"
            raise ValueError(message)
        return self


class Caseload(BaseModel):
    """How the number of households moves; rates are of a month.

    `arrivals` are new registrations as a share of those registered at the start, of the same
    composition; `exits` the share that leaves; `take_up` the share of those entitled who are paid;
    `recertification` loses a share of the paid every so many months, who do not return.
    """

    model_config = STRICT

    arrivals: Assumption = NEVER
    exits: Assumption = NEVER
    take_up: Assumption = ALWAYS
    recertification_months: Months | None = None
    recertification_loss: Assumption = NEVER

    @model_validator(mode="after")
    def _together(self) -> Self:
        if (self.recertification_months is None) != (self.recertification_loss == NEVER):
            message = "recertification_months and recertification_loss go together"
            raise ValueError(message)
        return self


class Jumps(BaseModel):
    """Sudden losses of value on top of the path: how often a year, by what share (0.27 is 27 %)."""

    model_config = STRICT

    per_year: Assumption
    share: Assumption


class Exchange(BaseModel):
    """The exchange-rate path: TRY for one unit of another currency.

    `fixed` keeps `rates` (a budget rate), `given` follows monthly rates written under `path`;
    `bootstrap` draws blocks of recorded months; `lognormal` draws months with the mean, spread and
    correlation of the record. Both begin at the rates known last: those of `known_until` (YYYY-MM),
    or of the record's last month before the start.
    """

    model_config = STRICT

    kind: Literal["fixed", "given", "bootstrap", "lognormal"]
    rates: dict[Foreign, Rate] = Field(default_factory=dict)
    path: dict[Foreign, tuple[Rate, ...]] = Field(default_factory=dict)
    known_until: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}$")] | None = None
    window_months: Annotated[int, Field(ge=12, le=600)] = 60
    block_months: Annotated[int, Field(ge=1, le=60)] = 6
    jumps: Jumps | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.kind == "fixed") != bool(self.rates) or (self.kind == "given") != bool(self.path):
            message = "rates go with fixed, path with given, and neither with the others"
            raise ValueError(message)
        return self


class Stress(BaseModel):
    """A fixed path beside the fan: one jump, or months of the record played again.

    `frozen_months` of no change come before it.
    """

    model_config = STRICT

    code: Code
    name: Label
    jump_share: Annotated[Number, Field(gt=-1, le=100)] | None = None
    replay_from: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}$")] | None = None
    replay_months: Months | None = None
    frozen_months: Annotated[int, Field(ge=0, le=MONTHS_MAX)] = 0

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.jump_share is None) == (self.replay_from is None):
            message = "give either jump_share or replay_from (a month of the record)"
            raise ValueError(message)
        return self


class Inflation(BaseModel):
    """Consumer prices: their own rise in a year, and the share of a move of the dollar passed on.

    `monthly` writes the months down instead: 0.02 is 2 %, and no month takes all of a price away.
    """

    model_config = STRICT

    annual: Assumption | None = None
    passed_on: Assumption = NEVER
    monthly: tuple[Annotated[Number, Field(gt=-1, le=10)], ...] = ()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.annual is None) == (not self.monthly):
            message = "give either annual or monthly"
            raise ValueError(message)
        return self


class Basket(BaseModel):
    """The minimum expenditure basket of one person in a month, in prices of the start."""

    model_config = STRICT

    per_person: Amount
    source: Words


class Prices(BaseModel):
    """Exchange rates, consumer prices, the basket."""

    model_config = STRICT

    exchange: Exchange
    inflation: Inflation
    basket: Basket | None = None
    stress: tuple[Stress, ...] = ()


class Costs(BaseModel):
    """What paying costs beside the transfers, and what does not arrive.

    `fee_share` is of the amount delivered, `fee_each` of every instruction, `fixed_month` of every
    month (all in the pack's currency). `failed` is the share of payments that are not delivered in
    a month, `returned` the share of delivered money that comes back in the next.
    """

    model_config = STRICT

    fee_share: Assumption = NEVER
    fee_each: Amount = Decimal(0)
    fixed_month: Amount = Decimal(0)
    failed: Assumption = NEVER
    returned: Assumption = NEVER


class Grant(BaseModel):
    """A donor's money: currency, amount, window, earmarks, what may be drawn in a month, lead."""

    model_config = STRICT

    code: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9-]{1,30}$")]
    donor: Words
    currency: Currency
    amount: Amount
    first_day: date = Field(alias="from")
    last_day: date = Field(alias="to")
    provinces: tuple[Province, ...] = ()
    ceiling_month: Amount | None = None
    lead_months: Annotated[int, Field(ge=0, le=12)] = 0

    def pays_in(self, month: date) -> bool:
        """Say whether the grant can pay in a month: drawn and paid within its window.

        What is paid on the first day of a month was drawn on the first day `lead_months` before.
        """
        return self.first_day <= month_after(month, -self.lead_months) and month <= self.last_day


class Frontier(BaseModel):
    """Transfer values to try: what each person gets in a month, in the pack's currency."""

    model_config = STRICT

    values: Annotated[tuple[Amount, ...], Field(min_length=2, max_length=200)]
    months: Months


class Expenditure(BaseModel):
    """What a person spends in a month: a stated lognormal distribution, or a column of a survey.

    `effects` move the logarithm of the median by so much for each unit of a fact of the base pack,
    so that poverty has to do with what rules can see.
    """

    model_config = STRICT

    column: Id | None = None
    median: Amount | None = None
    sigma: Number | None = None
    effects: dict[Id, Number] = Field(default_factory=dict)
    source: Words

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        stated = self.median is not None and self.sigma is not None
        if (self.column is None) != stated or (self.column is not None and self.effects):
            message = "give either column (of a survey), or median and sigma"
            raise ValueError(message)
        if self.sigma is not None and self.sigma <= 0:
            message = "sigma is above zero"
            raise ValueError(message)
        return self


class Targeting(BaseModel):
    """Whom the transfers are for: those who spend less than the line a person and month."""

    model_config = STRICT

    line: Amount
    line_source: Words
    expenditure: Expenditure


class Scenario(BaseModel):
    """One question with its assumptions."""

    model_config = STRICT

    code: Code
    question: Question
    title: Label
    about: Label
    start: date
    months: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    draws: Annotated[int, Field(ge=100, le=DRAWS_MAX)] = 2000
    population: Population
    rules: RuleBook
    variants: Annotated[tuple[Variant, ...], Field(max_length=6)] = ()
    caseload: Caseload = Caseload()
    indexation: Indexation | None = None
    prices: Prices
    costs: Costs = Costs()
    grants: tuple[Grant, ...] = ()
    frontier: Frontier | None = None
    targeting: Targeting | None = None

    def document(self) -> dict[str, object]:
        """Return the canonical form as JSON values; `from_document` reads it back."""
        content = self.model_dump(by_alias=True, exclude_none=True)
        return {name: plain(value) for name, value in content.items()}

    def sha256(self) -> str:
        """Return the SHA-256 of the canonical form, in hexadecimal."""
        text = json.dumps(
            self.document(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return sha256(text.encode()).hexdigest()

    @classmethod
    def from_document(cls, document: object) -> "Scenario":
        """Return the scenario of a canonical form that stands in a manifest."""
        return cls.model_validate(document, strict=False)
