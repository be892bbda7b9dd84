"""What the demo tells: one line for each stage of each programme, from what is in the database."""

from collections.abc import Iterator

from psycopg import Connection

from cva.demo.playing import Act
from ledgers.money import grouped
from ledgers.problems import counted

_DELIVERED = """
    SELECT count(*), coalesce(sum(people), 0), count(DISTINCT province) FROM (
        SELECT household_id, max(people) AS people, max(province) AS province
        FROM payments.line_state WHERE cycle_id = %s
        GROUP BY household_id
        HAVING sum(loaded_minor - returned_minor)
             = max(amount_minor) FILTER (WHERE kind = 'regular')) whole
"""

HOUSEHOLDS = ("household", "households")
LINES = ("line", "lines")
_STOPPED = """
    SELECT stopped, count(*) FROM payments.line WHERE plan_id = %s AND stopped IS NOT NULL
    GROUP BY stopped ORDER BY stopped
"""


def told(conn: Connection, act: Act) -> Iterator[tuple[str, str]]:
    """Yield (stage, what happened) for one programme."""
    plan, run, first = act.plan, act.run, act.settlements[0]
    yield "registered", counted(run.registered, *HOUSEHOLDS)
    yield (
        "eligible",
        (
            f"{counted(run.eligible, *HOUSEHOLDS)};"
            f" {counted(run.review, 'waits', 'wait')} for a person's review"
        ),
    )
    yield "selected", counted(run.selected, *HOUSEHOLDS)
    stops = ", ".join(
        f"{count} {reason}" for reason, count in conn.execute(_STOPPED, (plan.plan_id,)).fetchall()
    )
    yield "stopped", f"{counted(plan.stopped_lines, *LINES)}{f': {stops}' if stops else ''}"
    planned = counted(plan.lines - plan.stopped_lines, *LINES)
    yield "planned", f"{planned}, {_money(act, plan.total_minor)}"
    loaded = sum(s.loaded for s in act.settlements)
    amount = sum(s.loaded_minor for s in act.settlements)
    voided = sum(s.voided for s in act.settlements)
    short = sum(s.short for s in act.settlements)
    returned = sum(s.returned for s in act.settlements)
    yield (
        "loaded",
        (
            f"{counted(loaded, *LINES)}, {_money(act, amount)}; {first.loaded:,} at once,"
            f" {short} short, {voided} rejected, {returned} returned"
        ),
    )
    yield "UNKNOWN", f"{counted(act.unknown, *LINES)}, {act.resolved} resolved later"
    follow = act.follow_up
    yield (
        "follow-up",
        (
            f"{counted(follow.lines - follow.stopped_lines, *LINES)},"
            f" {_money(act, follow.total_minor)}"
            if follow
            else "none"
        ),
    )
    row = conn.execute(_DELIVERED, (act.cycle.cycle_id,)).fetchone() or (0, 0, 0)
    households, people, provinces = row
    yield (
        "delivered",
        (
            f"{counted(households, *HOUSEHOLDS)}, {counted(people, 'person', 'people')}"
            f" in {counted(provinces, 'province', 'provinces')}, after follow-up"
        ),
    )


def _money(act: Act, minor: int) -> str:
    return f"{grouped(minor, act.programme.currency)} {act.programme.currency}"
