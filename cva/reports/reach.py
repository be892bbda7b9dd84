"""The reach report: how many households and people were helped, where, when, with how much.

One row for each programme, province, quarter of delivery, population group and sector:

* *households*, *people*: those whose payment arrived (loaded and not returned) in the quarter;
  people are the members of the roster, or the declared size where the form has no roster, and both
  are counted apart (`people_declared`);
* *entitled*, *loaded*, *returned*, *outstanding* (released and neither loaded nor voided).

A household paid in two quarters stands in both rows, so rows do not add up to a total of people:
*unique* people are the registered persons behind confirmed duplicates (households, and people on
two rosters), counted once over all programmes and quarters asked for. IOM's quarterly report says
about 40 % are not unique: both figures are shown, never one for the other.

Sources: 4W practice (count delivered, not sent; once per period); CALP tracking requirements.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from psycopg.rows import class_row

_LINES = """
    WITH line AS (
        SELECT p.code AS programme, p.document->>'sector' AS sector,
               s.province, s.population_group, s.household_id, s.people, s.people_from,
               s.cycle_id, s.amount_minor, s.loaded_minor, s.returned_minor, s.state, s.kind,
               s.currency,
               coalesce(s.delivered_on, s.execute_on) AS on_date,
               s.loaded_minor > s.returned_minor AS delivered, r.at AS decided_at
        FROM (SELECT l.*, n.execute_on, n.currency, n.run_id FROM payments.line_state l
              JOIN payments.plan n USING (plan_id)) s
        JOIN assessment.run r USING (run_id)
        JOIN programme.cycle c ON c.cycle_id = s.cycle_id
        JOIN programme.programme p USING (programme_id)
        WHERE s.state IN ('pending', 'unknown', 'loaded', 'returned', 'voided'))
"""

_ROWS = (
    _LINES
    + """
    , household AS (
        SELECT programme, sector, coalesce(province, '?') AS province,
               to_char(on_date, 'YYYY"-Q"Q') AS quarter,
               coalesce(population_group, '?') AS population_group, currency, household_id,
               cycle_id, bool_or(delivered) AS delivered, max(people) AS people,
               max(people_from) AS people_from,
               -- A second attempt, or what a short load left open, is the same entitlement.
               max(amount_minor) FILTER (WHERE kind = 'regular') AS entitled_minor,
               sum(loaded_minor) AS loaded_minor, sum(returned_minor) AS returned_minor,
               sum(amount_minor) FILTER (WHERE state IN ('pending', 'unknown')) AS outstanding_minor
        FROM line WHERE on_date BETWEEN %(first)s AND %(last)s
        GROUP BY programme, sector, 3, 4, 5, currency, household_id, cycle_id)
    , counted AS (
        -- A household helped in two cycles of one quarter is one household there.
        SELECT *, row_number() OVER (PARTITION BY programme, sector, province, quarter,
          population_group, currency, household_id ORDER BY delivered DESC, cycle_id) = 1 AS once
        FROM household)
    SELECT programme, province, quarter, population_group, sector, currency,
           count(DISTINCT household_id) FILTER (WHERE delivered)::integer AS households,
           coalesce(sum(people) FILTER (WHERE delivered AND once), 0)::integer AS people,
           coalesce(sum(people) FILTER (WHERE delivered AND once AND people_from = 'declared'),
             0)::integer AS people_declared,
           coalesce(sum(entitled_minor), 0)::bigint AS entitled_minor,
           coalesce(sum(loaded_minor), 0)::bigint AS loaded_minor,
           coalesce(sum(returned_minor), 0)::bigint AS returned_minor,
           coalesce(sum(outstanding_minor), 0)::bigint AS outstanding_minor
    FROM counted
    GROUP BY programme, province, quarter, population_group, sector, currency
    ORDER BY programme, quarter, province, population_group, sector, currency
"""
)

# The household that stays after confirmed duplicates stands for all its registrations.
_TOTALS = (
    _LINES
    + """
    , reached AS (
        SELECT programme, household_id, max(people) AS people, min(decided_at) AS decided_at
        FROM line WHERE delivered AND on_date BETWEEN %(first)s AND %(last)s
        GROUP BY programme, household_id),
    one AS (
        SELECT coalesce(w.kept_id, r.household_id) AS household_id, max(r.people) AS people,
               min(r.decided_at) AS decided_at
        FROM reached r LEFT JOIN registry.withdrawn w USING (household_id) GROUP BY 1),
    -- A person on two rosters, confirmed to be one, counts once where both were reached. What was
    -- decided after the merge does not count who is gone to begin with.
    listed AS (
        SELECT g.gone_key AS key, g.kept_key AS person, m.at AS counted_until
        FROM duplicates.gone g JOIN duplicates.merged USING (gone_key)
        JOIN duplicates.merge m USING (merge_id)
        UNION SELECT kept_key, kept_key, 'infinity' FROM duplicates.gone),
    placed AS (
        SELECT l.person, coalesce(w.kept_id, duplicates.household_of(l.key)) AS household_id,
               max(l.counted_until) AS counted_until
        FROM listed l LEFT JOIN registry.withdrawn w
          ON w.household_id = duplicates.household_of(l.key)
        WHERE position('/' IN l.key) > 0 GROUP BY 1, 2),
    again AS (
        SELECT count(*) - count(DISTINCT person) AS people
        FROM placed JOIN one USING (household_id) WHERE decided_at < counted_until)
    SELECT (SELECT count(*) FROM reached)::integer AS households,
           (SELECT coalesce(sum(people), 0) FROM reached)::integer AS people,
           count(*)::integer AS unique_households,
           (coalesce(sum(people), 0) - (SELECT people FROM again))::integer AS unique_people
    FROM one
"""
)


@dataclass(frozen=True, slots=True)
class Row:
    """Reach of one programme, province, quarter, population group and sector."""

    programme: str
    province: str
    quarter: str
    population_group: str
    sector: str
    currency: str
    households: int
    people: int
    people_declared: int
    entitled_minor: int
    loaded_minor: int
    returned_minor: int
    outstanding_minor: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Over all programmes: with repetition, and each registered person once."""

    households: int
    people: int
    unique_households: int
    unique_people: int

    @property
    def not_unique_permille(self) -> int:
        """Of the people counted per programme, how many of a thousand were counted before."""
        return (self.people - self.unique_people) * 1000 // self.people if self.people else 0


@dataclass(frozen=True, slots=True)
class Reach:
    """The whole report for deliveries from `first` to `last`, both included."""

    first: date
    last: date
    rows: Sequence[Row]
    totals: Totals


def reach(conn: Connection, first: date, last: date) -> Reach:
    """Count what was reached by deliveries between two days, both included."""
    period = {"first": first, "last": last}
    with conn.cursor(row_factory=class_row(Row)) as cursor:
        rows = cursor.execute(_ROWS, period).fetchall()
    with conn.cursor(row_factory=class_row(Totals)) as cursor:
        totals = cursor.execute(_TOTALS, period).fetchone()
    return Reach(first, last, rows, totals or Totals(0, 0, 0, 0))
