"""Which cycles of other programmes of ours can give what a cycle gives: needs and days that meet.

Lines are many and cycles few: what the policy says of two cycles spares looking at the lines of all
but those that matter. One programme's own cycles are never compared: a household is paid once in
each of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from psycopg import Connection
from psycopg.rows import class_row

from eligibility.duplicates.overlap.policy import Policy
from eligibility.duplicates.overlap.records import Relation

# Cycles of programmes that say what they are for.
_CYCLES = """
    SELECT y.cycle_id, g.code, g.document->>'need' AS need, lower(y.period) AS first_day,
           upper(y.period) AS ends, coalesce(g.document->>'cycles' = 'one_off', false) AS one_off
    FROM programme.cycle y JOIN programme.programme g USING (programme_id)
    WHERE g.document ? 'need'
"""


@dataclass(frozen=True, slots=True)
class _Cycle:
    """A cycle of ours: its programme's code and need, its days (`ends` is the day after)."""

    cycle_id: str
    code: str
    need: str
    first_day: date
    ends: date
    one_off: bool

    def until(self, policy: Policy) -> date:
        """Return the first day on which it does not count any more."""
        if self.one_off:
            return self.first_day + timedelta(days=policy.window_days(self.need))
        return self.ends


def cycles_beside(conn: Connection, cycle_id: str, policy: Policy) -> Sequence[str]:
    """Return the cycles of other programmes of ours that can overlap with this one."""
    with conn.cursor(row_factory=class_row(_Cycle)) as cursor:
        cycles = cursor.execute(_CYCLES).fetchall()
    mine = next(cycle for cycle in cycles if cycle.cycle_id == cycle_id)
    known = [c for c in cycles if c.need in policy.needs] if mine.need in policy.needs else []
    return [c.cycle_id for c in known if c.code != mine.code and _can_meet(mine, c, policy)]


def _can_meet(one: _Cycle, other: _Cycle, policy: Policy) -> bool:
    """Say whether two cycles overlap in need and days, and nobody agreed that they go together."""
    if one.first_day >= other.until(policy) or other.first_day >= one.until(policy):
        return False
    programmes, needs = {one.code, other.code}, {one.need, other.need}
    if any(programmes <= set(e.programmes) for e in policy.exclusive):
        return True
    if policy.relation(one.need, other.need) is Relation.COMPLEMENTARY:
        return False
    day = max(one.first_day, other.first_day)
    return not any(
        programmes <= set(agreed.programmes)
        and (not agreed.needs or needs <= set(agreed.needs))
        and agreed.first_day <= day <= (agreed.last_day or date.max)
        for agreed in policy.complements
    )
