"""What people recorded in a cycle, as inputs of its snapshot.

So a run decides from the snapshot alone, and decides the same again: who stands on the
discretionary list, what was awarded, who was enrolled and how much they attended. An input that
bears one of these names is answered here; every other one is an answer of the form. What was
recorded by an earlier moment can be asked for again, as a replay of a stored run does.

* household: `discretionary` (true or false), `awarded_ITEM` (minor units, 0 where nothing was);
* member: `enrolled` (true where a record plans any units), `planned_units`, `attended_units` (null
  where somebody is enrolled and nobody has reported yet).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from psycopg import sql

from eligibility.amounts import ATTENDED, ENROLLED, PLANNED
from eligibility.selection import DISCRETIONARY

Recorded = tuple[Mapping[str, sql.Composable], Mapping[str, sql.Composable]]

_AWARDED = "awarded_"
_LISTED = sql.SQL("""EXISTS (
    SELECT FROM assessment.discretionary x JOIN programme.programme p USING (programme_id)
    JOIN programme.programme q USING (code)
    JOIN programme.cycle c ON c.programme_id = q.programme_id
    WHERE c.cycle_id = {cycle} AND x.expires_on >= lower(c.period) AND x.at <= {known}
      AND x.household_id = v.household_id
      AND NOT EXISTS (SELECT FROM assessment.discretionary_end e
                      WHERE e.listing_id = x.listing_id AND e.at <= {known}))""")
_SUM = sql.SQL("""(SELECT coalesce(sum(x.amount_minor), 0)::bigint FROM assessment.award x
    WHERE x.cycle_id = {cycle} AND x.household_id = v.household_id AND x.item = {item}
      AND x.at <= {known} AND NOT EXISTS (SELECT FROM assessment.award n
        WHERE n.corrects = x.award_id AND n.at <= {known}))""")
_OF_MEMBER = sql.SQL("""(SELECT x.{column} FROM assessment.attendance x
    WHERE x.cycle_id = {cycle} AND x.household_id = v.household_id AND x.member_no = m.member_no
      AND x.at <= {known} AND NOT EXISTS (SELECT FROM assessment.attendance n
        WHERE n.corrects = x.record_id AND n.at <= {known}))""")


def recorded(
    cycle_id: str,
    household: Iterable[str],
    member: Iterable[str],
    known_at: datetime | None = None,
) -> Recorded:
    """Return an expression for each household and each member input that is recorded here.

    They stand on the registration `v` and on `registry.member m`; `known_at` is the moment by which
    it was recorded, by default now.
    """
    known = sql.SQL("'infinity'") if known_at is None else sql.Literal(known_at)
    said = {"cycle": sql.Literal(cycle_id), "known": known}
    found: dict[str, sql.Composable] = {}
    for name in household:
        if name == DISCRETIONARY:
            found[name] = _LISTED.format(**said)
        elif name.startswith(_AWARDED):
            item = sql.Literal(name.removeprefix(_AWARDED))
            found[name] = _SUM.format(item=item, **said)
    planned = _OF_MEMBER.format(column=sql.Identifier(PLANNED), **said)
    of_members: dict[str, sql.Composable] = {
        ENROLLED: sql.SQL("coalesce({} > 0, false)").format(planned),
        PLANNED: planned,
        ATTENDED: _OF_MEMBER.format(column=sql.Identifier(ATTENDED), **said),
    }
    return found, {name: of_members[name] for name in member if name in of_members}
