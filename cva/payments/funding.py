"""Money by hand: budgets, grants' cash, floats, fees, refunds, claims, as the event journal says.

What an event debits and credits stands in `ledgers/journal.yaml`, and nowhere else: here only the
facts are put together, the amounts among them are read, and what is planned is recorded. Recorded
by hand is every event but those that plans, reports and settlements record themselves: holds and
what becomes of them, what is reserved of a budget, what expires.

Of a mass event (a claim on a wallet, a load that was found) one line is recorded at a time. Facts
that only make the journal's own key (a bank reference, an agreement) may be left out: the key that
the person gives makes a repetition safe. The contract of a provider is that of its newest
programme.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from psycopg import Connection

from cva import acts, staff
from cva.identifiers import new_id
from cva.payments.accounts import day_of
from cva.programmes.model import contract_of
from ledgers.chart import chart
from ledgers.contracts import Contract
from ledgers.entries import Recorded
from ledgers.events import Event, How, choices, events, qualified
from ledgers.journal import EXPRESSIONS, JOURNAL_FACT_MISSING, JOURNAL_FACT_UNFIT, plan
from ledgers.money import parse_amount, with_amounts
from ledgers.periods import day_taken
from ledgers.plans import PlannedEntry
from ledgers.problems import Answer, Problem, Refusal
from ledgers.recording import Occasion, record_planned
from ledgers.wallets import wallet_balances

EVENT_UNKNOWN = Problem(
    "event_unknown",
    "There is no event {event}; there are: {known}.",
    "Name one of these events.",
)
AMOUNT_NOT_ABOVE_ZERO = Problem(
    "funding_not_above_zero",
    "The event {event} moves {amount}, which is not above 0.",
    "Give the amount that moved; what was recorded wrongly is reversed.",
)
PROVIDER_NEEDED = Problem(
    "provider_needed",
    "The event {event} needs the provider whose account it moves.",
    "Name the provider.",
)
FACT_UNREADABLE = Problem(
    "fact_unreadable",
    "{given} is not a fact: it has no name, no value, or stands there twice.",
    "Write each fact once as name=value, such as fee=12.50.",
    Answer.USAGE,
)

# Facts that name something and are never made up.
_NAMED = frozenset({"grant", "to_grant", "provider"})
_BOOLEANS = {"yes": True, "true": True, "no": False, "false": False}
# What an event says that does not say otherwise: as it was before there was a choice.
_USUAL: Mapping[str, object] = {"receivable": False}
# Events that a step of a plan or a report records, and nobody by hand: what a plan has reserved of
# a budget is freed by what becomes of the plan.
_OF_PLANS = frozenset(
    {"commitment", "commitment_released", "commitment_liquidated", "balance_expired"}
)

_CONTRACT = """
    SELECT p.document->'provider'->>'code', p.document->>'currency',
           p.document->'provider'->'contract'
    FROM programme.programme p
    WHERE p.document->'provider'->>'code' = %s AND p.document->>'currency' = %s
    ORDER BY p.at DESC, p.programme_id DESC LIMIT 1
"""

_UNBOOKED_FEES = """
    SELECT s.provider, s.account, s.statement_id, s.line_id, -s.amount_minor, s.currency,
           s.booked_on
    FROM payments.statement_line s
    WHERE s.provider = %s AND s.kind = 'fee' AND s.amount_minor < 0
      AND NOT EXISTS (SELECT FROM books.entry e
                      WHERE e.key = concat_ws('/', 'fee', s.provider, s.account, s.statement_id,
                                              s.line_id))
    ORDER BY s.booked_on, s.account, s.statement_id, s.line_id
"""


@dataclass(frozen=True, slots=True)
class Funding:
    """One event recorded by hand: `bank` and `provider` are codes of the providers file.

    `amount_minor` is the event's amount, None where it has others; `facts` are all further facts as
    a person writes them: amounts such as 1250.50, yes or no, account codes of a choice. A period
    that is being adjusted takes an `adjustment`; `corrects` is the entry that this one sets right.
    """

    event: str
    grant_code: str
    currency: str
    amount_minor: int | None
    on: date
    reason: str
    bank: str = ""
    provider: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    adjustment: bool = False
    corrects: str = ""


def known_events() -> dict[str, Event]:
    """Return the events that may be recorded by hand, by code, in the order of the journal."""
    bound = {How.HOLD, How.POST, How.VOID}
    return {
        code: event
        for code, event in events().items()
        if event.postings
        and code not in _OF_PLANS
        and not bound & {posting.how for posting in event.postings}
    }


def facts_of(event: Event) -> tuple[str, ...]:
    """Return the names of the facts that the event takes, besides those every event takes."""
    sides = [side for rule in event.postings for side in (rule.debit, rule.credit)]
    kinds = [chart()[code] for side in sides for code in choices().get(side, (side,))]
    names = [
        *(name for name in event.key if name != "grant"),
        *event.options,
        *(side for side in sides if side in choices()),
        *(name for rule in event.postings for name in _amounts_of(rule.amount)),
        *(name for rule in event.postings for name in (rule.currency, rule.grant)
          if name not in {"currency", "grant"}),
        *("wallet" for kind in kinds if kind.is_control),
        *(rule.debit_wallet for rule in event.postings if rule.debit_wallet != "wallet"),
        *(name for kind in kinds for name in kind.lines),
    ]  # fmt: skip
    return tuple(dict.fromkeys(names))


def parse_facts(given: Iterable[str]) -> dict[str, str]:
    """Return facts written as name=value. Raises `fact_unreadable`."""
    facts: dict[str, str] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value) or name in facts:
            raise FACT_UNREADABLE.refusal(given=text)
        facts[name] = value
    return facts


def fund(conn: Connection, funding: Funding, *, person_id: str, at: datetime, key: str) -> Recorded:
    """Record the event under `key`; the same key again records nothing.

    An event of several entries is recorded whole; the answer is the first of them. Raises
    `event_unknown`, `funding_not_above_zero`, `provider_needed`, `amount_unreadable`, what
    `journal.plan` raises of missing and unfit facts, `account_limit`, `wallet_unknown`,
    `key_used_differently`, `entry_unknown` (of what it corrects), `role_missing`; the database
    refuses with `period_closed` and `period_adjusting`.
    """
    staff.require(conn, person_id, "finance")
    if funding.event not in known_events():
        raise EVENT_UNKNOWN.refusal(event=funding.event, known=", ".join(known_events()))
    if funding.amount_minor is not None and funding.amount_minor <= 0:
        amount = {"amount_minor": funding.amount_minor, "currency": funding.currency}
        raise AMOUNT_NOT_ABOVE_ZERO.refusal(event=funding.event, **with_amounts(amount))
    facts = _facts(funding, key)
    if "available" in facts_of(events()[funding.event]) and "available" not in facts:
        # What is there changes with the first recording: the request is what is repeated.
        earlier = acts.already(conn, f"fund:{key}", _body(funding))
        if earlier is not None:
            return Recorded(str(earlier["entry"]), already=True)
        facts["available"] = _available(conn, facts.get("wallet"))
    planned = _planned(funding, facts, _contract(conn, funding))
    return _record(conn, planned, funding, (person_id, at), key)


def book_fees(
    conn: Connection, provider_code: str, provider_kind: str, grant_code: str, *, person_id: str,
    at: datetime,
) -> int:  # fmt: skip
    """Book every fee of the provider's statements that the books do not have; returns how many.

    A fee of a day that the books no longer take is booked today, and its reason names the day.
    Raises `role_missing`, `account_limit`.
    """
    staff.require(conn, person_id, "finance")
    from_float = {"fee_account": "5110", "fee_source": "1110"}
    from_bank = {"fee_account": "5140", "fee_source": "1010"}
    rows = conn.execute(_UNBOOKED_FEES, (provider_code,)).fetchall()
    for provider, account, statement_id, line_id, amount_minor, currency, booked_on in rows:
        on = day_taken(conn, booked_on, day_of(at))
        late = "" if on == booked_on else f", charged on {booked_on}"
        fee = Funding(
            "fee_charged", grant_code, currency, amount_minor, on,
            f"fee on statement {statement_id}{late}", bank=provider, provider=provider,
            facts=from_float if provider_kind == "card_processor" else from_bank,
        )  # fmt: skip
        key = f"fee/{provider}/{account}/{statement_id}/{line_id}"
        _write(conn, plan(fee.event, _facts(fee, key)), fee, (person_id, at), key)
    if rows:
        acts.record(
            conn, key=f"fees:{new_id('act', at)}", verb="book_fees", object_id=provider_code,
            body={"grant": grant_code}, person_id=person_id, at=at, answer={"fees": len(rows)},
        )  # fmt: skip
    return len(rows)


def _facts(funding: Funding, key: str) -> dict[str, object]:
    """Return the facts as the journal takes them: amounts in minor units, yes and no, the line."""
    event = events()[funding.event]
    facts: dict[str, object] = {
        name: key for name in event.key if name not in _NAMED | funding.facts.keys()
    }
    facts |= {name: value for name, value in _USUAL.items() if name in event.options}
    facts |= {"grant": funding.grant_code, "currency": funding.currency}
    facts |= {"bank": funding.bank, "provider": funding.provider}
    facts |= funding.facts
    facts |= {name: _option(event, name, facts[name]) for name in event.options if name in facts}
    facts |= _amounts(event, facts)
    if funding.amount_minor is not None:
        facts["amount"] = funding.amount_minor
    mass = any(rule.each or rule.amount == "total" for rule in event.postings)
    return {**facts, "lines": [{}]} if mass else facts


def _amounts(event: Event, facts: Mapping[str, object]) -> dict[str, int]:
    """Return the amounts among the facts that a person wrote, in minor units of their currency."""
    read = {}
    for rule in event.postings:
        currency = str(facts.get(rule.currency) or facts["currency"])
        for name in _amounts_of(rule.amount):
            if isinstance(facts.get(name), str):
                read[name] = parse_amount(str(facts[name]), currency)
    return read


def _amounts_of(amount: str) -> Sequence[str]:
    """Return the facts that an amount of the journal is made of."""
    if amount == "total":
        return ("amount",)
    return tuple(EXPRESSIONS[amount][0]) if amount in EXPRESSIONS else (amount,)


def _option(event: Event, name: str, given: object) -> object:
    """Return yes or no as the journal takes them, anything else as it is."""
    value = _BOOLEANS.get(str(given).lower(), given)
    if value not in event.options[name]:
        known = ", ".join("yes" if one is True else "no" for one in event.options[name])
        raise JOURNAL_FACT_UNFIT.refusal(event=event.code, fact=name, given=given, known=known)
    return value


def _contract(conn: Connection, funding: Funding) -> Contract | None:
    """Return the contract of the provider's newest programme; None where there is no programme."""
    row = conn.execute(_CONTRACT, (funding.provider, funding.currency)).fetchone()
    return contract_of(*row) if row else None


def _body(funding: Funding) -> dict[str, object]:
    return {
        "event": funding.event, "amount_minor": funding.amount_minor,
        "facts": dict(funding.facts),
        **({"adjustment": True} if funding.adjustment else {}),
        **({"corrects": funding.corrects} if funding.corrects else {}),
    }  # fmt: skip


def _available(conn: Connection, wallet: object) -> int:
    """Return what is there of a wallet, in minor units."""
    return sum(one.available_minor for one in wallet_balances(conn, str(wallet))) if wallet else 0


def _planned(
    funding: Funding, facts: Mapping[str, object], contract: Contract | None
) -> Sequence[PlannedEntry]:
    """Plan the event; a bank's or a provider's account must say whose it is."""
    try:
        planned = plan(funding.event, facts, contract)
    except Refusal as refusal:
        if (refusal.problem, refusal.facts.get("fact")) == (JOURNAL_FACT_MISSING, "provider"):
            raise PROVIDER_NEEDED.refusal(event=funding.event) from None
        raise
    banks = qualified()["bank"]
    accounts = {
        account
        for entry in planned
        for line in entry.lines
        for account in (line.debit, line.credit)
    }
    if any(account.chart_code in banks and not account.provider for account in accounts):
        raise PROVIDER_NEEDED.refusal(event=funding.event)
    return planned


def _record(
    conn: Connection,
    planned: Sequence[PlannedEntry],
    funding: Funding,
    by: tuple[str, datetime],
    key: str,
) -> Recorded:
    recorded = _write(conn, planned, funding, by, key)
    if not recorded.already:
        person_id, at = by
        acts.record(
            conn, key=f"fund:{key}", verb="fund", object_id=recorded.entry_ref,
            body=_body(funding),
            person_id=person_id, at=at, answer={"entry": recorded.entry_ref},
        )  # fmt: skip
    return recorded


def _write(
    conn: Connection,
    planned: Sequence[PlannedEntry],
    funding: Funding,
    by: tuple[str, datetime],
    key: str,
) -> Recorded:
    """Record what is planned under the person's key instead of the journal's own."""
    person_id, at = by
    keyed = [
        replace(entry, key=f"{key}#{number}" if number else key)
        for number, entry in enumerate(planned)
    ]
    occasion = Occasion(
        funding.on, day_of(at), person_id, funding.reason, funding.adjustment,
        funding.corrects or None,
    )  # fmt: skip
    written = record_planned(conn, keyed, occasion, lambda: new_id("je", at))
    row = conn.execute("SELECT entry_ref FROM books.entry WHERE key = %s", (key,)).fetchone()
    return Recorded(str(row[0]) if row else "", written[0].already)
