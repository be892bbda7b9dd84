"""Exchange differences into the books: realised ones, the month's valuing, what left since.

`exchange` computes what was gained or lost; here it is recorded through the journal, one entry for
each grant, in the grant's own currency. The reason names the rates, with source and day, that the
amounts come from. Two policies, fixed for an agency:

* *cumulative*: each month books the change since the last;
* *reversing*: each month books the whole, and its mirror is dated the first day of the next month.
  A mirror of a day that has not come yet is recorded by the same call once it has.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from psycopg import Connection

from ledgers.entries import EntryHead, Recorded, reverse
from ledgers.exchange import (
    REVALUATION_REVERSED,
    REVALUED,
    Difference,
    booked_minor,
    differences,
    flows,
    left_minor,
    realised_minor,
    to_book_minor,
)
from ledgers.journal import plan
from ledgers.origins import ORIGIN
from ledgers.rates import Rates
from ledgers.recording import Occasion, record_planned

REALISED = "exchange_realised"
LEFT = "difference_realised"
_NAMED_BY = {REVALUED: "month", REALISED: "conversion", LEFT: "disposal"}

_MOVED = f"""
    SELECT l.grant_code, -sum(l.amount_minor)::bigint
    FROM books.entry e JOIN books.leg l USING (entry_id) JOIN books.account a USING (account_id)
    WHERE ({ORIGIN}) = '{LEFT}' AND e.effective_on <= %(on)s AND l.grant_code = ANY (%(grants)s)
      AND a.chart_code IN ('4040', '5310') AND a.currency = %(currency)s
    GROUP BY l.grant_code
"""


class Policy(StrEnum):
    """What becomes of a month's valuing in the next month."""

    CUMULATIVE = "cumulative"  # it stays; the next month books the change
    REVERSING = "reversing"  # it is taken back on the first day


@dataclass(frozen=True, slots=True)
class Valued:
    """What a month's valuing found, and the entries it recorded."""

    differences: tuple[Difference, ...]
    recorded: tuple[str, ...]


def revalue(
    conn: Connection,
    grants: Sequence[str],
    rates: Rates,
    occasion: Occasion,
    new_ref: Callable[[], str],
    policy: Policy = Policy.CUMULATIVE,
) -> Valued:
    """Value what the grants hold and owe in other currencies on the occasion's day.

    Arguments: `grants` whose own currency is the rates' `quote`; the occasion's reason is completed
    with the rates. Again for the same day it records what has come in since. Raises `rate_unknown`
    and what `recording.record_planned` raises.
    """
    on = occasion.effective_on
    moved = flows(conn, grants, on)
    found = differences(moved, rates, on)
    references = ", ".join(sorted({difference.rate.reference for difference in found}))
    due = to_book_minor(found, booked_minor(moved, rates.quote))
    recorded = _book(conn, REVALUED, due, rates.quote, _because(occasion, references), new_ref)
    if policy is Policy.REVERSING and on + timedelta(days=1) <= occasion.recorded_on:
        entries = [ref for refs in _of_day(conn, REVALUED, grants, on).values() for ref in refs]
        recorded += _take_back(conn, entries, occasion, new_ref)
    return Valued(tuple(found), tuple(recorded))


def realise(
    conn: Connection,
    grants: Sequence[str],
    rates: Rates,
    occasion: Occasion,
    new_ref: Callable[[], str],
) -> tuple[str, ...]:
    """Record what the grants' exchanges until the day have gained or lost and is not booked yet.

    Raises `rate_unknown` and what `recording.record_planned` raises.
    """
    due = realised_minor(flows(conn, grants, occasion.effective_on), rates)
    because = _because(occasion, f"{rates.source} {rates.quote}, rates of the days")
    return tuple(_book(conn, REALISED, due, rates.quote, because, new_ref))


def realise_left(
    conn: Connection,
    grants: Sequence[str],
    rates: Rates,
    occasion: Occasion,
    new_ref: Callable[[], str],
) -> tuple[str, ...]:
    """Record as realised what was gained or lost on currency that has left the grants by the day.

    It moves between the accounts of unrealised and of realised differences, once. Raises
    `rate_unknown` and what `recording.record_planned` raises.
    """
    due = left_minor(flows(conn, grants, occasion.effective_on), rates)
    values = {"on": occasion.effective_on, "grants": list(grants), "currency": rates.quote}
    for grant, moved in conn.execute(_MOVED, values).fetchall():
        due[grant] = due.get(grant, 0) - moved
    because = _because(occasion, f"{rates.source} {rates.quote}, at average cost")
    return tuple(_book(conn, LEFT, due, rates.quote, because, new_ref))


def _book(
    conn: Connection,
    event: str,
    due: dict[str, int],
    currency: str,
    occasion: Occasion,
    new_ref: Callable[[], str],
) -> list[str]:
    name = _NAMED_BY[event]
    on = occasion.effective_on
    earlier = _of_day(conn, event, list(due), on)
    recorded: list[str] = []
    for grant, minor in sorted(due.items()):
        if not minor:
            continue
        again = f"#{len(earlier[grant]) + 1}" if grant in earlier else ""
        facts = {
            "grant": grant, "currency": currency, name: f"{on}{again}",
            "gain" if minor > 0 else "loss": abs(minor),
        }  # fmt: skip
        written = record_planned(conn, plan(event, facts), occasion, new_ref)
        recorded += [entry.entry_ref for entry in written if isinstance(entry, Recorded)]
    return recorded


def _take_back(
    conn: Connection, entries: Iterable[str], occasion: Occasion, new_ref: Callable[[], str]
) -> list[str]:
    first = occasion.effective_on + timedelta(days=1)
    standing = conn.execute(
        "SELECT e.entry_ref FROM books.entry e WHERE e.entry_ref = ANY (%s)"
        " AND NOT EXISTS (SELECT FROM books.entry r WHERE r.reverses = e.entry_id)"
        " ORDER BY e.entry_ref",
        [list(entries)],
    )
    recorded = []
    for (entry,) in standing.fetchall():
        head = EntryHead(
            new_ref(), f"{REVALUATION_REVERSED}/{entry}", REVALUATION_REVERSED, first,
            occasion.recorded_by, occasion.reason, recorded_on=occasion.recorded_on,
        )  # fmt: skip
        written = reverse(conn, entry, head)
        if not written.already:
            recorded.append(written.entry_ref)
    return recorded


def _of_day(conn: Connection, event: str, grants: Sequence[str], on: date) -> dict[str, list[str]]:
    """Return the entries of the event that the day has already, by grant."""
    rows = conn.execute(
        "SELECT DISTINCT l.grant_code, e.entry_ref"
        " FROM books.entry e JOIN books.leg l USING (entry_id)"
        " WHERE e.event = %s AND e.effective_on = %s AND l.grant_code = ANY (%s)"
        " ORDER BY l.grant_code, e.entry_ref",
        [event, on, list(grants)],
    )
    found: dict[str, list[str]] = {}
    for grant, entry_ref in rows:
        found.setdefault(grant, []).append(entry_ref)
    return found


def _because(occasion: Occasion, references: str) -> Occasion:
    return Occasion(
        occasion.effective_on, occasion.recorded_on, occasion.recorded_by,
        f"{occasion.reason}: {references}", occasion.adjustment, occasion.corrects,
    )  # fmt: skip
