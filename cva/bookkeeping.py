"""What finance does to the books by hand: reverse, close periods and years, open them, add rates.

Each verb asks for the role, records its act and lets `ledgers` do the booking; the database refuses
what does not fit. The same key, or the same request where it has no key, changes nothing again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from psycopg import Connection

from cva import acts, staff
from cva.clock import ZONE
from cva.identifiers import new_id
from ledgers import closing, entries, opening, periods, rates
from ledgers.entries import EntryHead, Recorded
from ledgers.periods import PeriodState
from ledgers.problems import Answer, Problem
from ledgers.rates import Rate
from ledgers.recording import Occasion

FILE_UNREADABLE = Problem(
    "opening_file_unreadable",
    "The file {file} cannot be read as text in UTF-8.",
    "Save it as CSV in UTF-8 and name it again.",
    Answer.USAGE,
)
COMMITMENT_NOT_REVERSED = Problem(
    "commitment_not_reversed",
    "The entry {entry} moved what plans have reserved of a budget; it is not reversed by hand.",
    "Cancel the plan, or settle it: its budget is freed with it.",
)


@dataclass(frozen=True, slots=True)
class Bookkeeper:
    """Who speaks, and when."""

    person_id: str
    at: datetime

    @property
    def today(self) -> date:
        """The day it is where the programme runs."""
        return self.at.astimezone(ZONE).date()

    def head(self, key: str, event: str, on: date, reason: str) -> EntryHead:
        """Return the head of an entry that this person records now."""
        return EntryHead(
            new_id("je", self.at), key, event, on, self.person_id, reason, recorded_on=self.today
        )

    def new_ref(self) -> Callable[[], str]:
        """Return what gives each new entry its reference."""
        return lambda: new_id("je", self.at)


def reverse(
    conn: Connection, who: Bookkeeper, entry_ref: str, *, on: date, reason: str,
    adjustment: bool = False,
) -> Recorded:  # fmt: skip
    """Record the mirror of an entry, at most once.

    Raises `role_missing`, `entry_unknown`, `already_reversed`, `reversal_too_early`,
    `transfers_not_reversed`, `commitment_not_reversed`, `reason_missing`; the database refuses
    with `period_closed` and `period_adjusting` (unless it is an `adjustment`).
    """
    staff.require(conn, who.person_id, staff.Role.FINANCE)
    head = replace(who.head(f"reverse:{entry_ref}", "reversal", on, reason), adjustment=adjustment)
    done = entries.reverse(conn, entry_ref, head)
    if not done.already:
        _act(conn, who, f"reverse:{entry_ref}", "reverse", entry_ref, {"entry": done.entry_ref})
    return done


def change_period(
    conn: Connection, who: Bookkeeper, ends_on: date, state: PeriodState, reason: str
) -> bool:
    """Let the period that ends on `ends_on` take adjustments only, or nothing; False: it does.

    Raises `role_missing`, `period_out_of_order`, `period_not_over`, `reason_missing`.
    """
    staff.require(conn, who.person_id, staff.Role.FINANCE)
    changed = periods.change(
        conn, ends_on, state, recorded_on=who.today, recorded_by=who.person_id, reason=reason
    )
    if changed:
        key = f"period:{ends_on}:{state}"
        _act(conn, who, key, "close_period", str(ends_on), {"state": str(state)})
    return changed


def close_year(conn: Connection, who: Bookkeeper, ends_on: date, reason: str) -> list[Recorded]:
    """Carry the year's revenue and expenses of each grant to its fund balance.

    Raises `role_missing`, `period_closed`, `reason_missing`.
    """
    staff.require(conn, who.person_id, staff.Role.FINANCE)
    occasion = Occasion(ends_on, who.today, who.person_id, reason, adjustment=True)
    done = closing.close_year(conn, ends_on, occasion, who.new_ref())
    if done:
        key = f"close_year:{ends_on}:{new_id('act', who.at)}"
        _act(conn, who, key, "close_year", str(ends_on), {"entries": len(done)})
    return done


def lines_of(file: Path) -> list[str]:
    """Return the lines of a text file that a person gave. Raises `opening_file_unreadable`."""
    try:
        return file.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, UnicodeDecodeError) as error:
        raise FILE_UNREADABLE.refusal(file=file.name) from error


def import_opening(
    conn: Connection, who: Bookkeeper, file: Path, *, on: date, reason: str
) -> Recorded:
    """Record the balances of a CSV file, all of them or none; the same file again records nothing.

    Another file, or a corrected one after a reversal, is another opening.

    Raises `role_missing`, `opening_file_unreadable` and what `ledgers.opening` raises.
    """
    staff.require(conn, who.person_id, staff.Role.FINANCE)
    lines = lines_of(file)
    key = opening.opening_key(conn, lines)
    head = who.head(key, "opening_balance", on, reason)
    done = opening.import_opening(conn, lines, file.name, head)
    if not done.already:
        _act(conn, who, key, "import_opening", done.entry_ref, {"rows": len(lines) - 1})
    return done


def add_rate(conn: Connection, who: Bookkeeper, rate: Rate, *, revises: bool) -> Rate | None:
    """Record a rate of exchange; None: the books have it already.

    Raises `role_missing`, `rate_unfit`, `rate_differs`, `currency_unknown`.
    """
    staff.require(conn, who.person_id, staff.Role.FINANCE)
    kept = rates.record_rate(conn, rate, recorded_by=who.person_id, revises=revises)
    if kept is not None:
        name = f"{kept.source}:{kept.base}:{kept.quote}:{kept.valid_on}"
        key = f"rate:{name}:{kept.revision}"
        _act(conn, who, key, "add_rate", name, {"revision": kept.revision})
    return kept


def _act(
    conn: Connection,
    who: Bookkeeper,
    key: str,
    verb: str,
    object_id: str,
    answer: dict[str, str | int],
) -> None:
    acts.record(
        conn, key=key, verb=verb, object_id=object_id, body={"key": key},
        person_id=who.person_id, at=who.at, answer=answer,
    )  # fmt: skip
