"""The event journal: from what happened to what is to be recorded.

`journal.yaml` says, as data an accountant can read, which accounts every event debits and credits,
under which contract and on which facts. `plan` applies it: an event and its facts in, the entries
to record out, or everything that is wrong with the facts at once. It is pure: nothing is looked up,
no balance is asked; `recording` writes what it plans.

An *event* has one or more *parts*, each one entry of the books: legs that balance for every layer,
currency and grant, or the lines of a mass event (hold, transfer, post, void), one for each
instruction. Facts are named as in the journal; amounts are minor units above zero. A mass event has
its lines under `lines`, each a mapping of the facts that differ from line to line.

Source: the journal of cash and voucher assistance in our research on ledgers, events 1 to 22, and
the direct bank transfer (23).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType

from ledgers.chart import chart
from ledgers.contracts import Contract
from ledgers.events import Event, How, PostingRule, choices, events, qualified
from ledgers.money import AMOUNT_MAX, CURRENCY_UNKNOWN, exponent
from ledgers.plans import AccountName, PlannedEntry, PlannedLine, Template
from ledgers.problems import Finding, Place, Problem, Refusal

JOURNAL_EVENT_UNKNOWN = Problem(
    "journal_event_unknown",
    "The journal has no event {event}.",
    "Name an event of the journal.",
)
JOURNAL_FACT_MISSING = Problem(
    "journal_fact_missing",
    "The event {event} does not say its {fact}.",
    "Give the {fact}.",
)
JOURNAL_FACT_UNFIT = Problem(
    "journal_fact_unfit",
    "The event {event} does not take {given} as its {fact}; it takes: {known}.",
    "Give one of these.",
)
JOURNAL_AMOUNT_UNFIT = Problem(
    "journal_amount_unfit",
    "The {fact} of the event {event} is not a whole number of minor units above zero.",
    "Give an amount above zero; what was recorded wrongly is reversed.",
)
JOURNAL_CURRENCY_UNFIT = Problem(
    "journal_currency_unfit",
    "The event {event} is in {currency}, and the contract with {provider} is in {contract}.",
    "Give the amount in the currency of the wallet.",
)
JOURNAL_CONTRACT_MISSING = Problem(
    "journal_contract_missing",
    "The event {event} is booked as the provider's contract says, and there is none.",
    "Give the contract.",
)
JOURNAL_NOT_POSSIBLE = Problem(
    "journal_not_possible",
    "The event {event} cannot happen under the contract with {provider}: its {term} is {given}.",
    "Look at the contract; a balance that is the recipient's neither expires nor is taken back.",
)
JOURNAL_NOTHING = Problem(
    "journal_nothing",
    "The event {event} says no amount at all.",
    "Give one of: {known}.",
)

Facts = Mapping[str, object]
_TERMS = ("ownership", "recognition", "breakage")
_DIMENSIONS = ("programme", "cycle", "provider", "location")


@dataclass(slots=True)
class _Reading:
    """The facts of one event, and what was found wrong with them, each thing once."""

    event: Event
    facts: Facts
    contract: Contract | None
    findings: dict[tuple[str, str, int | None], Finding] = field(default_factory=dict)

    def find(self, problem: Problem, fact: str, row: int | None = None, **facts: object) -> None:
        if fact in self.facts:
            row = None  # said once for all lines
        facts = {"event": self.event.code, "fact": fact, **facts}
        finding = Finding(problem, Place(row=row, field=fact), facts=facts)
        self.findings.setdefault((problem.code, fact, row), finding)

    def refuse(self) -> None:
        """Raise the first problem with all of them, if there is any."""
        if self.findings:
            found = list(self.findings.values())
            raise found[0].problem.refusal(**found[0].facts).with_findings(found)


def plan(event: str, facts: Facts, contract: Contract | None = None) -> tuple[PlannedEntry, ...]:
    """Return the entries that the event is recorded with, in order; none where it moves nothing.

    Arguments: `facts` as the journal names them, with `currency`, `grant` and the dimensions;
    amounts in minor units; accounts of a choice by chart code; `contract` of the provider.
    Raises the first of all problems, each of which is a finding: `journal_event_unknown`,
    `journal_fact_missing`, `journal_fact_unfit`, `journal_amount_unfit`, `journal_currency_unfit`,
    `journal_contract_missing`, `journal_not_possible`, `journal_nothing`, `currency_unknown`,
    `account_code_unfit`.
    """
    reading = _reading(event, facts, contract)
    planned = [entry for entry in _entries(reading) if entry.lines]
    if reading.event.postings and not planned and not reading.findings:
        known = sorted({rule.amount for rule in reading.event.postings})
        reading.find(JOURNAL_NOTHING, "amount", known=", ".join(known))
    reading.refuse()
    return tuple(planned)


def templates(event: str, facts: Facts, contract: Contract | None = None) -> tuple[Template, ...]:
    """Return the postings of the event without their amounts, for whoever moves a set of lines.

    Arguments and refusals are those of `plan`, without lines and amounts.
    """
    reading = _reading(event, facts, contract)
    made = []
    for key, rules in _parts(reading):
        for rule in rules:
            grant = _text(reading, facts, rule.grant)
            currency = _currency(reading, rule.currency, facts, None)
            if not grant or not currency:
                continue
            named = {**facts, "grant": grant}
            debit = _account(reading, rule.debit, currency, named, None)
            credit = _account(reading, rule.credit, currency, named, None)
            if debit and credit:
                _check_currency(reading, rule, (debit, credit), None)
                made.append(Template(key, rule.how, rule.layer, debit, credit, rule.amount))
    reading.refuse()
    return tuple(made)


def _reading(event: str, facts: Facts, contract: Contract | None) -> _Reading:
    if event not in events():
        raise JOURNAL_EVENT_UNKNOWN.refusal(event=event)
    reading = _Reading(events()[event], facts, contract)
    _check_terms(reading, reading.event.only)
    for name in (*reading.event.key, "grant"):
        _text(reading, facts, name)
    return reading


# --- what applies ------------------------------------------------------------------------------


def _entries(reading: _Reading) -> Iterator[PlannedEntry]:
    for key, rules in _parts(reading):
        lines = tuple(line for rule in rules for line in _lines(reading, rule))
        yield PlannedEntry(reading.event.code, key, rules[0].how, lines)


def _parts(reading: _Reading) -> Iterator[tuple[str, list[PostingRule]]]:
    """Yield the key and postings of each entry: a mass posting is one, all legs are one."""
    rules = reading.event.postings
    applying = [number for number, rule in enumerate(rules) if _applies(reading, rule)]
    mass = [[number] for number in applying if rules[number].how is not How.ENTRY]
    legs = [number for number in applying if rules[number].how is How.ENTRY]
    key = "/".join([reading.event.code, *(str(reading.facts.get(n)) for n in reading.event.key)])
    for numbers in [*mass, *([legs] if legs else [])]:
        part = f"{key}#{numbers[0] + 1}" if numbers[0] else key
        yield part, [rules[number] for number in numbers]


def _applies(reading: _Reading, rule: PostingRule) -> bool:
    for name, wanted in rule.when.items():
        if name in _TERMS:
            if reading.contract is None:
                reading.find(JOURNAL_CONTRACT_MISSING, "contract")
                return False
            given: object = getattr(reading.contract, name)
        else:
            known = reading.event.options[name]
            given = reading.facts.get(name)
            if given is None:
                reading.find(JOURNAL_FACT_MISSING, name)
            elif given not in known:
                _find_unfit(reading, name, given, known)
        if given != wanted:
            return False
    return True


def _check_terms(reading: _Reading, only: Mapping[str, object]) -> None:
    if only and reading.contract is None:
        reading.find(JOURNAL_CONTRACT_MISSING, "contract")
        return
    for name, wanted in only.items():
        given = getattr(reading.contract, name)
        if given != wanted:
            provider = reading.contract.provider if reading.contract else ""
            reading.find(
                JOURNAL_NOT_POSSIBLE,
                name,
                provider=provider,
                term=name,
                given=given or "not stated",
            )


# --- lines -------------------------------------------------------------------------------------


def _lines(reading: _Reading, rule: PostingRule) -> Iterator[PlannedLine]:
    if not rule.each:
        yield from _line(reading, rule, reading.facts, None)
        return
    for row, facts in _given_lines(reading):
        yield from _line(reading, rule, facts, row)


def _given_lines(reading: _Reading) -> Iterator[tuple[int, Facts]]:
    lines = reading.facts.get("lines")
    if not isinstance(lines, Sequence) or not lines:
        reading.find(JOURNAL_FACT_MISSING, "lines")
        return
    for row, line in enumerate(lines, start=1):
        yield row, {**reading.facts, **line}


def _line(
    reading: _Reading, rule: PostingRule, facts: Facts, row: int | None
) -> Iterator[PlannedLine]:
    amount = _amount(reading, rule, facts, row)
    grant = _text(reading, facts, rule.grant, row)
    currency = _currency(reading, rule.currency, facts, row)
    if amount == 0 or not grant or not currency:
        return
    facts = {**facts, "grant": grant}
    sides = [_account(reading, name, currency, facts, row) for name in (rule.debit, rule.credit)]
    debit, credit = sides
    if debit is None or credit is None:
        return
    _check_currency(reading, rule, (debit, credit), row)
    wallets = [
        _text(reading, facts, fact, row) if chart()[account.chart_code].is_control else None
        for account, fact in ((debit, rule.debit_wallet), (credit, "wallet"))
    ]
    if rule.how in {How.HOLD, How.POST, How.VOID}:
        _text(reading, facts, "instruction", row)
    for account in (debit, credit):
        for name in chart()[account.chart_code].lines:
            _text(reading, facts, name, row)
    if amount:
        named = {name: _given(facts, name) for name in (*_DIMENSIONS, "instruction")}
        yield PlannedLine(
            debit, credit, amount, rule.layer, grant, **named, debit_wallet=wallets[0],
            credit_wallet=wallets[1], expires_on=_day(facts),
        )  # fmt: skip


def _amount(reading: _Reading, rule: PostingRule, facts: Facts, row: int | None) -> int | None:
    """Return the amount, 0 where the posting is to be left out, None where it is wrong."""
    if rule.amount == "total":
        sums = [_line_amount(reading, line, number) for number, line in _given_lines(reading)]
        return sum(filter(None, sums))
    if rule.amount in EXPRESSIONS:
        return _evaluated(reading, rule.amount, facts, row)
    if rule.optional and not facts.get(rule.amount):
        return 0
    return _minor(reading, facts, rule.amount, row)


def _line_amount(reading: _Reading, line: Facts, row: int) -> int | None:
    name = "amount" if "amount" in line else "requested_or_available"
    if name in EXPRESSIONS and "requested" in line:
        return _evaluated(reading, name, line, row)
    return _minor(reading, line, "amount", row)


def _evaluated(reading: _Reading, name: str, facts: Facts, row: int | None) -> int | None:
    needed, expression = EXPRESSIONS[name]
    given = [_minor(reading, facts, fact, row, least=least) for fact, least in needed.items()]
    amounts = [amount for amount in given if amount is not None]
    return expression(*amounts) if len(amounts) == len(given) else None


def _minor(
    reading: _Reading, facts: Facts, name: str, row: int | None, least: int = 1
) -> int | None:
    value = facts.get(name)
    if value is None:
        reading.find(JOURNAL_FACT_MISSING, name, row)
    elif isinstance(value, bool) or not isinstance(value, int) or not least <= value <= AMOUNT_MAX:
        reading.find(JOURNAL_AMOUNT_UNFIT, name, row)
    else:
        return value
    return None


def _currency(reading: _Reading, name: str, facts: Facts, row: int | None) -> str | None:
    currency = _text(reading, facts, name, row)
    if currency is not None:
        try:
            exponent(currency)
        except Refusal:
            reading.find(CURRENCY_UNKNOWN, name, row, currency=currency)
            return None
    return currency


def _check_currency(
    reading: _Reading, rule: PostingRule, accounts: Sequence[AccountName], row: int | None
) -> None:
    """Find a float or a wallet that has not the currency of its contract."""
    contract = reading.contract
    for account in accounts:
        kept = "provider" in chart()[account.chart_code].needs
        if contract is not None and kept and account.currency != contract.currency:
            reading.find(
                JOURNAL_CURRENCY_UNFIT, rule.currency, row, currency=account.currency,
                provider=contract.provider, contract=contract.currency,
            )  # fmt: skip


def _account(
    reading: _Reading, side: str, currency: str, facts: Facts, row: int | None
) -> AccountName | None:
    known = choices().get(side, (side,))
    code = str(facts.get(side, known[0]))
    if code not in known:
        _find_unfit(reading, side, code, known, row)
        return None
    by = {name for name, codes in qualified().items() if code in codes}
    provider = _text(reading, facts, "provider", row) if "provider" in by else None
    named = AccountName(
        code,
        currency,
        grant=_given(facts, "grant") if "grant" in by else None,
        provider=_given(facts, "bank") if "bank" in by else provider,
    )
    try:
        _ = named.code
    except Refusal as refusal:
        reading.find(refusal.problem, side, row, **refusal.facts)
        return None
    return named


def _find_unfit(
    reading: _Reading, fact: str, value: object, known: Sequence[object], row: int | None = None
) -> None:
    listed = ", ".join(map(str, known))
    reading.find(JOURNAL_FACT_UNFIT, fact, row, given=value, known=listed)


def _text(reading: _Reading, facts: Facts, name: str, row: int | None = None) -> str | None:
    """Return the fact as text, and find it where it is missing."""
    given = _given(facts, name)
    if given is None:
        reading.find(JOURNAL_FACT_MISSING, name, row)
    return given


def _given(facts: Facts, name: str) -> str | None:
    value = facts.get(name)
    return None if value is None or value == "" else str(value)


def _day(facts: Facts) -> date | None:
    value = facts.get("expires_on")
    return value if isinstance(value, date) else None


def _above(limit: int, amount: int) -> int:
    return max(amount - limit, 0)


def _below(limit: int, amount: int) -> int:
    return max(limit - amount, 0)


# Name → the facts it is made of, each with the least it may be, and how. Nothing is 0, not missing.
EXPRESSIONS: Mapping[str, tuple[Mapping[str, int], Callable[[int, int], int]]] = MappingProxyType(
    {
        "book_or_less": ({"book": 1, "actual": 1}, min),
        "above_book": ({"book": 1, "actual": 1}, _above),
        "below_book": ({"book": 1, "actual": 1}, _below),
        "up_to_hold": ({"held": 1, "amount": 1}, min),
        "above_hold": ({"held": 1, "amount": 1}, _above),
        "requested_or_available": ({"requested": 1, "available": 0}, min),
    }
)
