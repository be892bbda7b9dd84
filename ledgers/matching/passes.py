"""The passes: each rule as set-based SQL over what is open, in tables that live for one run.

* `recon_open`: all open lines of the comparison; the first pass groups it once.
* `recon_group`: those lines by reference, currency and amount; pairs of one and one are matches.
* `recon_rest`: what the first pass left, usually few; `place` is the order of ties.
* `recon_found`: the lines of the matches and suggestions of all later passes.

A pass reads `recon_rest` and writes `recon_found`; lines it confirms leave `recon_rest`. Nothing is
recorded here: `running` writes the run from these tables. Order of input has no influence: every
choice is by value date, then by statement, line and source id, in the order of their bytes.
"""

from dataclasses import asdict

from psycopg import Connection

from ledgers.matching.rules import Bounds, Rule

_TABLES = ("recon_open", "recon_group", "recon_rest", "recon_found")

_OPEN = """
    CREATE TEMPORARY TABLE recon_open ON COMMIT DROP AS
    SELECT o.line_no, o.side = 'ours' AS ours, o.ref, o.currency, o.open_minor, o.steps, o.value_on
    FROM recon.open_line o WHERE o.comparison = %(comparison)s
"""

# One pass over everything: a pair of one and one is a match, what stands alone goes on.
_GROUP = """
    CREATE TEMPORARY TABLE recon_group ON COMMIT DROP AS
    SELECT min(line_no) FILTER (WHERE ours) AS ours_no,
           min(line_no) FILTER (WHERE NOT ours) AS theirs_no,
           count(*) AS lines, ref, currency, open_minor,
           max(steps) FILTER (WHERE ours) AS ours_steps,
           max(steps) FILTER (WHERE NOT ours) AS theirs_steps,
           min(value_on) FILTER (WHERE ours) AS ours_on,
           min(value_on) FILTER (WHERE NOT ours) AS theirs_on
    FROM recon_open WHERE ref <> ''
    GROUP BY ref, currency, open_minor
"""

_REST = """
    CREATE TEMPORARY TABLE recon_rest ON COMMIT DROP AS
    WITH left_over AS (
        SELECT coalesce(ours_no, theirs_no) AS line_no, open_minor,
               coalesce(ours_steps, theirs_steps) AS steps
        FROM recon_group WHERE lines = 1
        UNION ALL
        SELECT o.line_no, o.open_minor, o.steps FROM recon_open o JOIN recon_group g
          USING (ref, currency, open_minor)
        WHERE g.lines > 2 OR g.lines = 2 AND (g.ours_no IS NULL OR g.theirs_no IS NULL)
        UNION ALL
        SELECT line_no, open_minor, steps FROM recon_open WHERE ref = ''
    )
    SELECT o.line_no, s.side = 'ours' AS ours, l.ref, l.currency, o.open_minor, o.steps,
           l.amount_minor <> o.open_minor AS begun, recon.workday(l.value_on) AS day,
           l.counterparty, l.group_keys, l.kind, l.words,
           row_number() OVER (ORDER BY l.value_on, l.statement_id COLLATE "C",
               l.line_id COLLATE "C", s.code COLLATE "C") AS place,
           false AS known, false AS same_way, false AS twin
    FROM left_over o JOIN recon.line l USING (line_no) JOIN recon.source s USING (source_id)
"""

_FOUND = """
    CREATE TEMPORARY TABLE recon_found (
        rule text, confirmed boolean, group_no bigint, line_no bigint, applied_minor bigint,
        name text) ON COMMIT DROP
"""

# Is the reference known across, with the same sign, with this very amount: also among the lines
# that are matched already.
_KNOWN = """
    UPDATE recon_rest r SET known = true, same_way = a.same_way, twin = a.twin
    FROM (
        SELECT r.line_no, bool_or((l.amount_minor > 0) = (r.open_minor > 0)) AS same_way,
               bool_or(l.amount_minor = r.open_minor) AS twin
        FROM recon_rest r
        JOIN recon.line l ON l.ref = r.ref AND l.currency = r.currency
        JOIN recon.source s ON s.source_id = l.source_id AND s.comparison = %(comparison)s
             AND (s.side = 'ours') <> r.ours
        WHERE r.ref <> '' GROUP BY r.line_no
    ) a WHERE a.line_no = r.line_no
"""

_REPEATED = """
    WITH ranked AS (
        SELECT *, row_number() OVER (PARTITION BY ours, ref, currency, open_minor
                                     ORDER BY place) AS nth
        FROM recon_rest WHERE ref <> '' AND same_way
    ), pair AS (
        SELECT min(place) AS place, min(line_no) FILTER (WHERE ours) AS o,
               min(line_no) FILTER (WHERE NOT ours) AS t, open_minor,
               min(day) FILTER (WHERE NOT ours) - min(day) FILTER (WHERE ours) AS days
        FROM ranked GROUP BY ref, currency, open_minor, nth HAVING count(*) = 2
    )
    INSERT INTO recon_found
    SELECT %(rule)s, true, place, p.line_no, open_minor,
           CASE WHEN days > %(days_after)s THEN 'late' END
    FROM pair CROSS JOIN LATERAL (VALUES (o), (t)) AS p (line_no)
"""

_OTHER_AMOUNT = """
    WITH block AS (
        SELECT ref, currency FROM recon_rest WHERE ref <> '' AND same_way
        GROUP BY ref, currency
        HAVING count(*) FILTER (WHERE ours) * count(*) FILTER (WHERE NOT ours) <= %(pairs_max)s
    ), ranked AS (
        SELECT o.line_no AS o, t.line_no AS t, o.place, o.open_minor AS o_minor,
               t.open_minor AS t_minor,
               row_number() OVER (PARTITION BY o.line_no ORDER BY
                   abs(o.open_minor - t.open_minor), abs(o.day - t.day), t.place) AS of_o,
               row_number() OVER (PARTITION BY t.line_no ORDER BY
                   abs(o.open_minor - t.open_minor), abs(o.day - t.day), o.place) AS of_t
        FROM block JOIN recon_rest o USING (ref, currency) JOIN recon_rest t USING (ref, currency)
        WHERE o.ours AND NOT t.ours AND (o.open_minor > 0) = (t.open_minor > 0)
    )
    INSERT INTO recon_found
    SELECT %(rule)s, false, place, p.line_no,
           sign(o_minor) * least(abs(o_minor), abs(t_minor)),
           CASE WHEN abs(t_minor) < abs(o_minor) THEN 'short' ELSE 'over' END
    FROM ranked CROSS JOIN LATERAL (VALUES (o), (t)) AS p (line_no)
    WHERE of_o = 1 AND of_t = 1
"""

_DAY = """
    WITH block AS (
        SELECT currency, counterparty, open_minor FROM recon_rest WHERE counterparty <> ''
        GROUP BY currency, counterparty, open_minor
        HAVING count(*) FILTER (WHERE ours) * count(*) FILTER (WHERE NOT ours)
               BETWEEN 1 AND %(pairs_max)s
    ), pair AS (
        SELECT o.line_no AS o, t.line_no AS t, o.place, t.place AS t_place, o.open_minor,
               abs(t.day - o.day) AS days, o.known OR t.known AS doubtful
        FROM block JOIN recon_rest o USING (currency, counterparty, open_minor)
        JOIN recon_rest t USING (currency, counterparty, open_minor)
        WHERE o.ours AND NOT t.ours AND (o.ref = '' OR t.ref = '')
          AND t.day - o.day BETWEEN -%(days_before)s AND %(days_after)s
    ), ranked AS (
        SELECT *, count(*) OVER (PARTITION BY o) = 1 AND count(*) OVER (PARTITION BY t) = 1
                      AND NOT doubtful AS sole,
               row_number() OVER (PARTITION BY o ORDER BY days, t_place) AS of_o,
               row_number() OVER (PARTITION BY t ORDER BY days, place) AS of_t
        FROM pair
    )
    INSERT INTO recon_found
    SELECT %(rule)s, sole, place, p.line_no, open_minor
    FROM ranked CROSS JOIN LATERAL (VALUES (o), (t)) AS p (line_no)
    WHERE of_o = 1 AND of_t = 1
"""

# Groups with the same lines count once; groups that share a line with another one are ambiguous.
_SUMMED = """
    WITH keyed AS (
        SELECT DISTINCT k.key, currency, ours, line_no, place, open_minor
        FROM recon_rest CROSS JOIN LATERAL unnest(group_keys) AS k (key) WHERE k.key <> ''
    ), exact AS (
        SELECT array_agg(line_no ORDER BY place) AS lines, min(place) AS place
        FROM keyed GROUP BY key, currency
        HAVING least(count(*) FILTER (WHERE ours), count(*) FILTER (WHERE NOT ours)) = 1
           AND sum(CASE WHEN ours THEN open_minor ELSE -open_minor END) = 0
    ), member AS (
        SELECT e.lines, l.line_no FROM (SELECT DISTINCT lines FROM exact) e
        CROSS JOIN LATERAL unnest(e.lines) AS l (line_no)
    ), shared AS (
        SELECT *, count(*) OVER (PARTITION BY line_no) AS uses FROM member
    ), numbered AS (
        SELECT lines, line_no, max(uses) OVER (PARTITION BY lines) = 1 AS sole,
               dense_rank() OVER (ORDER BY lines) AS group_no
        FROM shared
    )
    INSERT INTO recon_found
    SELECT %(rule)s, n.sole, n.group_no, n.line_no, r.open_minor
    FROM numbered n JOIN recon_rest r USING (line_no)
"""

_SPLIT = """
    WITH RECURSIVE block AS (
        SELECT currency, counterparty FROM recon_rest WHERE counterparty <> '' AND NOT known
        GROUP BY currency, counterparty
        HAVING count(*) FILTER (WHERE ours) * count(*) FILTER (WHERE NOT ours)
               BETWEEN 1 AND %(pairs_max)s
    ), near AS (
        SELECT s.line_no AS one, s.place, s.open_minor AS whole, c.line_no, c.open_minor AS part,
               row_number() OVER (PARTITION BY s.line_no ORDER BY c.place) AS n,
               count(*) OVER (PARTITION BY s.line_no) AS rivals
        FROM block JOIN recon_rest s USING (currency, counterparty)
        JOIN recon_rest c USING (currency, counterparty)
        WHERE s.ours <> c.ours AND NOT s.known AND NOT c.known
          AND (s.open_minor > 0) = (c.open_minor > 0) AND abs(c.open_minor) < abs(s.open_minor)
          AND CASE WHEN s.ours THEN c.day - s.day ELSE s.day - c.day END
              BETWEEN -%(days_before)s AND %(days_after)s
    ), candidate AS (
        SELECT * FROM near WHERE rivals BETWEEN 2 AND %(split_candidates_max)s
    ), sums AS (
        SELECT one, place, whole, ARRAY[line_no] AS lines, part AS total, n FROM candidate
        UNION ALL
        SELECT s.one, s.place, s.whole, s.lines || c.line_no, s.total + c.part, c.n
        FROM sums s JOIN candidate c ON c.one = s.one AND c.n > s.n
        WHERE cardinality(s.lines) < %(split_lines_max)s
          AND abs(s.total + c.part) <= abs(s.whole)
    ), exact AS (
        SELECT *, count(*) OVER (PARTITION BY one) AS ways FROM sums WHERE total = whole
    )
    INSERT INTO recon_found
    SELECT %(rule)s, false, e.place, p.line_no, r.open_minor
    FROM exact e CROSS JOIN LATERAL unnest(e.lines || e.one) AS p (line_no)
    JOIN recon_rest r ON r.line_no = p.line_no
    WHERE e.ways = 1
"""

_CANCELLING = """
    WITH alike AS (
        SELECT min(line_no) FILTER (WHERE open_minor > 0) AS plus,
               min(line_no) FILTER (WHERE open_minor < 0) AS minus, min(place) AS place,
               max(abs(open_minor)) AS minor
        FROM recon_rest WHERE (ref <> '' OR counterparty <> '')
        GROUP BY ours, currency, abs(open_minor), ref, CASE ref WHEN '' THEN counterparty END
        HAVING count(*) = 2 AND count(*) FILTER (WHERE open_minor > 0) = 1
           AND (ref <> '' OR max(day) - min(day) <= %(days_after)s)
    )
    INSERT INTO recon_found
    SELECT %(rule)s, true, place, p.line_no, p.minor
    FROM alike CROSS JOIN LATERAL (VALUES (plus, minor), (minus, -minor)) AS p (line_no, minor)
"""

_WORDS = """
    WITH word AS (
        SELECT DISTINCT r.line_no, w.word
        FROM recon_rest r
        CROSS JOIN LATERAL regexp_split_to_table(upper(r.words), '[^[:alnum:]]+') AS w (word)
        WHERE r.words <> '' AND length(w.word) > 2
    ), counted AS (
        SELECT line_no, count(*) AS words FROM word GROUP BY line_no
    ), block AS (
        SELECT currency, open_minor FROM recon_rest JOIN counted USING (line_no)
        GROUP BY currency, open_minor
        HAVING count(*) FILTER (WHERE ours) * count(*) FILTER (WHERE NOT ours)
               BETWEEN 1 AND %(pairs_max)s
    ), shared AS (
        SELECT o.line_no AS o, t.line_no AS t, o.place, t.place AS t_place, o.open_minor,
               count(*) AS words
        FROM block JOIN recon_rest o USING (currency, open_minor)
        JOIN recon_rest t USING (currency, open_minor)
        JOIN word a ON a.line_no = o.line_no JOIN word b ON b.line_no = t.line_no
        WHERE o.ours AND NOT t.ours AND a.word = b.word
          AND t.day - o.day BETWEEN -%(days_before)s AND %(days_after)s
        GROUP BY 1, 2, 3, 4, 5
    ), alike AS (
        SELECT s.*, 100 * s.words / (a.words + b.words - s.words) AS percent
        FROM shared s JOIN counted a ON a.line_no = s.o JOIN counted b ON b.line_no = s.t
    ), ranked AS (
        SELECT *, row_number() OVER (PARTITION BY o ORDER BY percent DESC, t_place) AS of_o,
               row_number() OVER (PARTITION BY t ORDER BY percent DESC, place) AS of_t
        FROM alike WHERE percent >= %(words_percent)s
    )
    INSERT INTO recon_found
    SELECT %(rule)s, false, place, p.line_no, open_minor
    FROM ranked CROSS JOIN LATERAL (VALUES (o), (t)) AS p (line_no)
    WHERE of_o = 1 AND of_t = 1
"""

# The passes after the first, in their order.
_PASSES = (
    (Rule.REPEATED, _REPEATED),
    (Rule.OTHER_AMOUNT, _OTHER_AMOUNT),
    (Rule.DAY, _DAY),
    (Rule.GROUP, _SUMMED),
    (Rule.SPLIT, _SPLIT),
    (Rule.CANCELLING, _CANCELLING),
    (Rule.WORDS, _WORDS),
)

_CONFIRMED_LEAVE = """
    DELETE FROM recon_rest r USING recon_found f
    WHERE f.line_no = r.line_no AND f.confirmed AND f.rule = %(rule)s
"""

# A suggestion stands while all its lines are open; the same lines are suggested by the first rule.
_SUGGESTIONS_STAND = """
    DELETE FROM recon_found f USING (
        SELECT DISTINCT f.rule, f.group_no FROM recon_found f
        WHERE NOT f.confirmed
          AND NOT EXISTS (SELECT FROM recon_rest r WHERE r.line_no = f.line_no)
    ) gone
    WHERE NOT f.confirmed AND (f.rule, f.group_no) = (gone.rule, gone.group_no)
"""


def find(conn: Connection, comparison: str, bounds: Bounds) -> None:
    """Run all passes over what is open in the comparison; leaves the tables for `running`.

    Gives sorts and hashes of this transaction 128 MB each. Lines are never looked up one by one for
    each other: on sets the planner knows nothing about, that costs the square.
    """
    clear(conn)
    conn.execute("SET LOCAL work_mem = '128MB'")
    conn.execute("SET LOCAL enable_nestloop = off")
    values: dict[str, object] = {**asdict(bounds), "comparison": comparison}
    for statement in (_OPEN, "ANALYZE recon_open", _GROUP, _REST, "ANALYZE recon_rest", _FOUND):
        conn.execute(statement, values)
    conn.execute(_KNOWN, values)
    for rule, statement in _PASSES:
        values["rule"] = rule
        conn.execute(statement, values)
        conn.execute(_CONFIRMED_LEAVE, values)
    conn.execute(_SUGGESTIONS_STAND)
    conn.execute("SET LOCAL enable_nestloop TO DEFAULT")


def clear(conn: Connection) -> None:
    """Drop the tables of a run."""
    for table in _TABLES:
        conn.execute(f"DROP TABLE IF EXISTS pg_temp.{table}")
