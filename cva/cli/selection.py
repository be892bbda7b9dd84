"""`cva cycle` and `cva programme`: places, attendance, awards and the discretionary list.

What people decide beside the rules, as they type it. Nothing here is personal: a household is its
id, a member its number on the roster.
"""

from datetime import datetime
from pathlib import Path

import typer
from psycopg import Connection

from cva.cli.output import Money, Part, Shape, say, show, show_parts, warn
from cva.cli.session import open_session
from cva.programmes.publishing import load_cycle, programme_of
from cva.selection import attendance, cases, discretion, places
from ledgers.money import parse_amount

KEY = typer.Option("", help="Idempotency key; by default made of what is asked for.")
SHAPE = typer.Option(Shape.TABLE, "--format")
_COVERAGE = """
    SELECT c.stratum, c.places, c.eligible, c.selected, c.waiting, c.people_selected,
           c.amount_minor, t.budget_minor
    FROM assessment.coverage c JOIN assessment.run_terms t USING (run_id)
    JOIN assessment.latest_run r USING (run_id) WHERE r.cycle_id = %s ORDER BY c.stratum
"""


def add_to_cycles(app: typer.Typer) -> None:
    """Add the commands to `cva cycle`."""
    for name, command in (
        ("coverage", coverage), ("waiting", waiting), ("leave", leave), ("promote", promote),
        ("attend", attend), ("attendance", show_attendance), ("award", award), ("awards", awards),
    ):  # fmt: skip
        app.command(name)(command)


def add_to_programmes(app: typer.Typer) -> None:
    """Add the commands to `cva programme`."""
    app.command("enlist")(enlist)
    app.command("unlist")(unlist)
    app.command("listed")(listed)


# --- places ----------------------------------------------------------------------------------


def coverage(cycle: str, shape: Shape = SHAPE) -> None:
    """Show whom the latest run reached, of how many who qualify, and what it costs."""
    session = open_session()
    with session.reading() as conn:
        currency = _currency(conn, cycle)
        rows = conn.execute(_COVERAGE, (cycle,)).fetchall()
    show(
        ["stratum", "places", "eligible", "selected", "waiting", "people", "amount", "budget"],
        [(stratum or "all", "-" if count is None else count, *counts, Money(minor, currency),
          "-" if budget is None else Money(budget, currency))
         for stratum, count, *counts, minor, budget in rows],
        shape,
    )  # fmt: skip


def waiting(cycle: str, shape: Shape = SHAPE) -> None:
    """List who waits for a place, in order, stratum by stratum."""
    session = open_session()
    with session.reading() as conn:
        currency = _currency(conn, cycle)
        found = places.waiting(conn, cycle)
    show(
        ["stratum", "position", "household", "score", "amount"],
        [(one.stratum or "all", one.waitlist_position, one.household_id, one.score,
          Money(one.amount_minor, currency)) for one in found],
        shape,
    )  # fmt: skip


def leave(
    cycle: str,
    household: str,
    reason: str = typer.Option(..., help="Why the household leaves."),
    key: str = KEY,
) -> None:
    """Take a household out of the cycle before lock; the first who waits takes its place."""
    session = open_session()
    with session.transaction() as conn:
        moved = places.leave(
            conn, cycle, household, reason=reason, person_id=session.person_id,
            at=session.clock.now(), key=key or f"leave:{cycle}:{household}",
        )  # fmt: skip
    _tell(moved)


def promote(cycle: str, key: str = KEY) -> None:
    """Fill what is free from the waiting list, as far as the money goes, before lock."""
    session = open_session()
    now = session.clock.now()
    with session.transaction() as conn:
        moved = places.promote(
            conn, cycle, person_id=session.person_id, at=now,
            key=key or f"promote:{cycle}:{now.isoformat()}",
        )  # fmt: skip
    _tell(moved)


def _tell(moved: places.Moved) -> None:
    for household in moved.promoted:
        say(household)
    warn(f"Promoted from the waiting list: {len(moved.promoted)}.")
    if moved.next_household_id is not None:
        warn(f"Next is {moved.next_household_id}, when a place and its money are free.")


# --- what amounts rest on --------------------------------------------------------------------


def attend(cycle: str, file: Path, key: str = KEY, shape: Shape = SHAPE) -> None:
    """Record an attendance list (CSV); what differs from what is on file corrects it."""
    session = open_session()
    with session.transaction() as conn:
        taken = attendance.take_list(
            conn, cycle, file, person_id=session.person_id, at=session.clock.now(), key=key
        )
    for finding in taken.findings:
        warn(str(finding))
    show(
        ["rows", "added", "corrected", "unchanged", "refused"],
        [(taken.rows, taken.added, taken.corrected, taken.unchanged, taken.refused)],
        shape,
    )


def show_attendance(cycle: str, shape: Shape = SHAPE) -> None:
    """List what is on file of who attended how much in the cycle."""
    session = open_session()
    with session.reading() as conn:
        load_cycle(conn, cycle)
        found = attendance.attended(conn, cycle)
    show(
        ["record", "household", "member", "planned", "attended", "evidence", "by"],
        [(one.record_id, one.household_id, one.member_no, one.planned_units,
          "-" if one.attended_units is None else one.attended_units, one.evidence_ref, one.login)
         for one in found],
        shape,
    )  # fmt: skip


def award(
    cycle: str,
    household: str,
    item: str = typer.Option(..., help="One of the items that the programme awards."),
    amount: str = typer.Option(..., help="In the programme's currency, such as 350.50."),
    evidence: str = typer.Option(..., help="Where it is written down: the case file, a receipt."),
    reason: str = typer.Option(..., help="Why the household needs it."),
    corrects: int | None = typer.Option(None, help="The award that this one replaces."),
    key: str = KEY,
) -> None:
    """Award an item to a household, within its limits; an amount of 0 takes an award back."""
    session = open_session()
    with session.transaction() as conn:
        asked = cases.Award(
            household, item, parse_amount(amount, _currency(conn, cycle)), evidence, reason,
            corrects,
        )  # fmt: skip
        default = f"award:{cycle}:{household}:{item}:{evidence}:{asked.amount_minor}:{corrects}"
        number = cases.award(
            conn, cycle, asked, person_id=session.person_id, at=session.clock.now(),
            key=key or default,
        )  # fmt: skip
    say(str(number))


def awards(cycle: str, shape: Shape = SHAPE) -> None:
    """List the awards of the cycle that stand, and what each item comes to."""
    session = open_session()
    with session.reading() as conn:
        currency = _currency(conn, cycle)
        found = cases.awards_of(conn, cycle)
    sums: dict[str, int] = {}
    for one in found:
        sums[one.item] = sums.get(one.item, 0) + one.amount_minor
    parts = [
        Part("awards", ["award", "household", "item", "amount", "evidence", "reason", "by"],
             [(one.award_id, one.household_id, one.item, Money(one.amount_minor, currency),
               one.evidence_ref, one.reason, one.login) for one in found]),
        Part("items", ["item", "amount"],
             [(item, Money(minor, currency)) for item, minor in sorted(sums.items())]),
    ]  # fmt: skip
    show_parts(parts, shape)


def _currency(conn: Connection, cycle: str) -> str:
    return programme_of(conn, load_cycle(conn, cycle).programme_id).currency


# --- the discretionary list ------------------------------------------------------------------


def enlist(
    programme: str,
    household: str,
    until: datetime = typer.Option(..., formats=["%Y-%m-%d"], help="The listing's last day."),
    reason: str = typer.Option(..., help="Why the household is served beside the rules."),
    key: str = KEY,
) -> None:
    """Put a household on the programme's discretionary list, within its cap."""
    session = open_session()
    with session.transaction() as conn:
        listing = discretion.list_household(
            conn, programme, household, reason=reason, expires_on=until.date(),
            person_id=session.person_id, at=session.clock.now(),
            key=key or f"enlist:{programme}:{household}:{until.date()}",
        )  # fmt: skip
    say(str(listing))


def unlist(
    listing: int, reason: str = typer.Option(..., help="Why it ends."), key: str = KEY
) -> None:
    """End a listing of the discretionary list before it expires."""
    session = open_session()
    with session.transaction() as conn:
        discretion.end_listing(
            conn, listing, reason=reason, person_id=session.person_id, at=session.clock.now(),
            key=key or f"unlist:{listing}",
        )  # fmt: skip
    say(f"The listing {listing} has ended.")


def listed(programme: str, shape: Shape = SHAPE) -> None:
    """List who stands on the programme's discretionary list today, by whom and why."""
    session = open_session()
    with session.reading() as conn:
        found = discretion.listings(conn, programme, session.today)
    show(
        ["listing", "household", "from", "until", "by", "reason"],
        [(one.listing_id, one.household_id, one.listed_on, one.expires_on, one.login, one.reason)
         for one in found],
        shape,
    )  # fmt: skip
