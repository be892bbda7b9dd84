"""Currency in the books: exchanges that gained or lost, a month's valuing, what of it is realised.

All three come from the rates that the books keep, of one source, so that nobody types a gain: an
entry names the rates it was made with. The sums are in the grants' own currency.

Source: IPSAS 4 (IAS 21); how it is computed stands in `ledgers.exchange`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from psycopg import Connection

from cva import acts, staff
from cva.bookkeeping import Bookkeeper
from cva.identifiers import new_id
from ledgers.exchange import Difference
from ledgers.problems import Answer, Problem
from ledgers.rates import rates_into
from ledgers.recording import Occasion
from ledgers.revaluation import Policy, realise, realise_left, revalue

GRANT_NOT_IN_BOOKS = Problem(
    "grant_not_in_books",
    "No line of the books is about the grant {grant}.",
    "Write the code as the books have it; capitals and small letters differ.",
    Answer.NOT_FOUND,
)
VALUING_DAY_AHEAD = Problem(
    "valuing_day_ahead",
    "Currency cannot be valued on {on}, which has not come yet.",
    "Value it on that day or later, with the day's rate.",
)
_KNOWN = """
    SELECT g FROM unnest(%s::text[]) AS g
    WHERE EXISTS (SELECT FROM books.posting p WHERE p.grant_code = g)
"""


@dataclass(frozen=True, slots=True)
class Valuing:
    """What is valued: grants whose own currency is `currency`, on a day, at a source's rates.

    An `adjustment` is taken by a period that is being closed.
    """

    grants: Sequence[str]
    source: str
    currency: str
    on: date
    reason: str
    policy: Policy = Policy.CUMULATIVE
    adjustment: bool = False


@dataclass(frozen=True, slots=True)
class Valued:
    """What is held and owed in other currencies, and the entries that were recorded, by kind."""

    differences: Sequence[Difference]
    realised: Sequence[str]
    revalued: Sequence[str]
    left: Sequence[str]


def value(conn: Connection, who: Bookkeeper, asked: Valuing) -> Valued:
    """Record what is not booked yet; asked again for the same day, only what came in since.

    Raises `role_missing`, `grant_not_in_books`, `valuing_day_ahead`, `rate_unknown`,
    `period_closed`, `period_adjusting`, `reason_missing`.
    """
    staff.require(conn, who.person_id, staff.Role.FINANCE)
    if asked.on > who.today:
        raise VALUING_DAY_AHEAD.refusal(on=asked.on)
    grants = list(asked.grants)
    known = {row[0] for row in conn.execute(_KNOWN, [grants])}
    for grant in grants:
        if grant not in known:
            raise GRANT_NOT_IN_BOOKS.refusal(grant=grant)
    rates = rates_into(conn, asked.source, asked.currency, asked.on)
    occasion = Occasion(
        asked.on, who.today, who.person_id, asked.reason, adjustment=asked.adjustment
    )
    realised = realise(conn, grants, rates, occasion, who.new_ref())
    month = revalue(conn, grants, rates, occasion, who.new_ref(), asked.policy)
    left = realise_left(conn, grants, rates, occasion, who.new_ref())
    done = Valued(month.differences, realised, month.recorded, left)
    entries = [*done.realised, *done.revalued, *done.left]
    if entries:
        key = f"value:{new_id('act', who.at)}"
        acts.record(
            conn, key=key, verb="value_currency", object_id=str(asked.on), body={"key": key},
            person_id=who.person_id, at=who.at, answer={"entries": len(entries)},
        )  # fmt: skip
    return done
