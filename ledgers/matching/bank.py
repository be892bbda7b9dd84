"""R7: an account against its statements on a day, with what is outstanding both ways.

A statement of a day holds what was booked by it: lines count by the day of their booking. A match
with a line of a later day was not there yet; what it cleared was outstanding on the day, and is
explained by what came since. A write-off counts from the day it was recorded.
"""

from datetime import date

from psycopg import Connection

from ledgers.matching.reports import Difference, Part, Report

_BANK = """
    WITH line AS MATERIALIZED (
        SELECT l.line_no, s.side, l.amount_minor, l.value_on
        FROM recon.line l JOIN recon.source s USING (source_id)
        WHERE s.comparison = %(comparison)s AND l.booked_on <= %(on)s
    ), later AS MATERIALIZED (
        SELECT DISTINCT c.run_id, c.match_no FROM recon.clearing c
        JOIN recon.line l USING (line_no) JOIN recon.source s USING (source_id)
        WHERE s.comparison = %(comparison)s AND l.booked_on > %(on)s
    ), step AS MATERIALIZED (
        SELECT l.line_no, l.side, c.applied_minor,
               CASE r.act WHEN 'write_off' THEN 'written off' ELSE 'matched' END AS name,
               CASE r.act WHEN 'write_off' THEN r.recorded_on > %(on)s
                          ELSE t.run_id IS NOT NULL END AS is_later
        FROM line l JOIN recon.clearing c USING (line_no) JOIN recon.run r USING (run_id)
        LEFT JOIN later t USING (run_id, match_no)
    )
"""

_LINES = f"{_BANK} SELECT side, count(*), sum(amount_minor)::bigint FROM line GROUP BY side"

_CLEARED = f"""{_BANK}
    SELECT name || CASE WHEN is_later THEN ' later, ' ELSE ', ' END || side,
           count(DISTINCT line_no), sum(applied_minor)::bigint,
           sum(CASE WHEN name = 'matched' AND NOT is_later THEN 0
                    WHEN side = 'ours' THEN applied_minor ELSE -applied_minor END)::bigint
    FROM step GROUP BY name, is_later, side ORDER BY 1
"""

# Every line that is open stands under one name: its own, or that of the pair it belongs to.
_OPEN = f"""{_BANK}, open AS (
        SELECT l.line_no, l.side, l.value_on, l.amount_minor - coalesce(c.minor, 0) AS minor
        FROM line l LEFT JOIN (SELECT line_no, sum(applied_minor)::bigint AS minor FROM step
                               GROUP BY line_no) c USING (line_no)
        WHERE l.amount_minor <> coalesce(c.minor, 0)
    ), named AS (
        SELECT DISTINCT ON (n.line_no) n.line_no, e.exception_id, e.name
        FROM recon.open_exception e CROSS JOIN LATERAL
            (VALUES (e.line_no, true), (e.other_line_no, false)) AS n (line_no, is_own)
        WHERE e.comparison = %(comparison)s AND e.name <> 'line_changed'
        ORDER BY n.line_no, n.is_own DESC, e.exception_id DESC
    )
    SELECT n.name, count(DISTINCT n.exception_id),
           sum(CASE o.side WHEN 'ours' THEN o.minor ELSE -o.minor END)::bigint,
           max(greatest(%(on)s::date - o.value_on, 0))
    FROM open o JOIN named n USING (line_no) GROUP BY n.name ORDER BY n.name
"""


def reconciled(conn: Connection, comparison: str, on: date) -> Report:
    """R7: an account in the books against its statements, with what is outstanding both ways.

    Lines count that were booked by the day `on`, and write-offs that were recorded by then.
    """
    values = {"comparison": comparison, "on": on}
    sides = {side: (count, minor) for side, count, minor in conn.execute(_LINES, values).fetchall()}
    cleared = conn.execute(_CLEARED, values).fetchall()
    parts = [Part(side, *sides.get(side, (0, 0))) for side in ("ours", "theirs")]
    parts += [Part(name, count, minor) for name, count, minor, _ in cleared]
    differences = [
        Difference(name, count, minor, explained=False, days=days)
        for name, count, minor, days in conn.execute(_OPEN, values).fetchall()
    ]
    differences += [
        Difference(name, count, minor, explained=True, days=None)
        for name, count, _, minor in cleared
        if name.startswith("written off") or (" later, " in name and minor)
    ]
    ours, theirs = (sides.get(side, (0, 0))[1] for side in ("ours", "theirs"))
    return Report("R7", "bank", ours, theirs, parts, differences)
