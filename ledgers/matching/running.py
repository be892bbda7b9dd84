"""One run: all passes over what is open, and what they found recorded.

A run is one transaction's work: it waits for any other run of the comparison, takes only what is
open, and where it finds nothing new it records nothing, so that it can be repeated at will. No
money moves: matches, suggestions and exceptions are statements about lines.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from psycopg import Connection
from psycopg.types.json import Jsonb

from ledgers.matching import passes
from ledgers.matching.rules import DEFAULT_BOUNDS, VERSIONS, Bounds, Name, Rule
from ledgers.matching.sources import require_comparison
from ledgers.problems import Problem
from ledgers.refusals import refusals

RUN_CLOSED = Problem(
    "run_closed",
    "Matches were to be added to a run that is over, or not all at once.",
    "Record a new run with all its matches.",
)
RUN_WITHOUT_MATCHES = Problem(
    "run_without_matches",
    "A run says it has other matches than it has.",
    "Give every match of a run its lines.",
)


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something to matches, on which day of theirs, and why."""

    on: date
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """What one run recorded: counts of matches and suggestions by rule, of exceptions by name.

    `run_id` is None where nothing was to be matched or suggested; `late` counts matches whose line
    of theirs came later than the bounds allow.
    """

    run_id: int | None
    matched: Mapping[Rule, int]
    suggested: Mapping[Rule, int]
    raised: Mapping[Name, int]
    late: int


_PAIRS = """
    CREATE TEMPORARY TABLE recon_pair ON COMMIT DROP AS
    SELECT row_number() OVER () AS match_no, p.*
    FROM (SELECT ours_no, theirs_no, ours_steps, theirs_steps, open_minor,
                 recon.workday(theirs_on) - recon.workday(ours_on) > %(days_after)s AS late
          FROM recon_group
          WHERE lines = 2 AND ours_no IS NOT NULL AND theirs_no IS NOT NULL ORDER BY ours_no) p
"""

_NUMBERED = """
    CREATE TEMPORARY TABLE recon_numbered ON COMMIT DROP AS
    SELECT (SELECT count(*) FROM recon_pair)
             + dense_rank() OVER (ORDER BY f.rule, f.group_no) AS match_no,
           f.rule, f.name, f.line_no, f.applied_minor, o.steps, o.open_minor
    FROM recon_found f JOIN recon_open o USING (line_no)
    WHERE f.confirmed
"""

_COUNTS = """
    SELECT rule, count(*), count(*) FILTER (WHERE name = 'late') FROM (
        SELECT DISTINCT match_no, rule, name FROM recon_numbered) m GROUP BY rule
    UNION ALL
    SELECT %(reference)s, count(*), count(*) FILTER (WHERE late) FROM recon_pair
"""

_FINGERPRINTS = """
    CREATE TEMPORARY TABLE recon_suggested ON COMMIT DROP AS
    SELECT f.rule, f.lines, f.minors, f.fingerprint
    FROM (SELECT rule, group_no, array_agg(line_no ORDER BY line_no) AS lines,
                 array_agg(applied_minor ORDER BY line_no) AS minors,
                 sha256(record_send(ROW('recon.suggestion.v1'::text, rule, %(versions)s ->> rule,
                     array_agg(line_no ORDER BY line_no),
                     array_agg(applied_minor ORDER BY line_no)))) AS fingerprint
          FROM recon_found WHERE NOT confirmed GROUP BY rule, group_no) f
    WHERE NOT EXISTS (SELECT FROM recon.suggestion g WHERE g.fingerprint = f.fingerprint)
"""

_RUN = """
    INSERT INTO recon.run (comparison, act, matches, recorded_on, recorded_by, reason)
    VALUES (%(comparison)s, 'rules', %(matches)s, %(on)s, %(by)s, %(reason)s) RETURNING run_id
"""

_MATCHES = """
    INSERT INTO recon.match (run_id, match_no, rule, rule_version, name)
    SELECT %(run)s, match_no, %(reference)s, (%(versions)s ->> %(reference)s)::smallint,
           CASE WHEN late THEN 'late' END
    FROM recon_pair
    UNION ALL
    SELECT DISTINCT %(run)s, match_no, rule, (%(versions)s ->> rule)::smallint, name
    FROM recon_numbered
"""

_CLEARING = """
    INSERT INTO recon.clearing (line_no, step, run_id, match_no, before_minor, applied_minor)
    SELECT s.line_no, s.steps + 1, %(run)s, p.match_no, p.open_minor, p.open_minor
    FROM recon_pair p
    CROSS JOIN LATERAL (VALUES (ours_no, ours_steps), (theirs_no, theirs_steps))
        AS s (line_no, steps)
    UNION ALL
    SELECT line_no, steps + 1, %(run)s, match_no, open_minor, applied_minor FROM recon_numbered
"""

_SUGGEST = """
    WITH added AS (
        INSERT INTO recon.suggestion (run_id, rule, rule_version, fingerprint)
        SELECT %(run)s, rule, (%(versions)s ->> rule)::smallint, fingerprint FROM recon_suggested
        GROUP BY rule, fingerprint
        RETURNING suggestion_id, rule, fingerprint
    ), items AS (
        INSERT INTO recon.suggestion_item (suggestion_id, line_no, applied_minor)
        SELECT DISTINCT a.suggestion_id, i.line_no, i.minor
        FROM added a JOIN recon_suggested s USING (fingerprint)
        CROSS JOIN LATERAL unnest(s.lines, s.minors) AS i (line_no, minor)
    )
    SELECT rule, count(*) FROM added GROUP BY rule
"""

# The name of what is left. A pair of one reference and two amounts is one difference.
_RAISE = """
    WITH pair AS (
        SELECT max(r.line_no) FILTER (WHERE r.ours) AS o,
               max(r.line_no) FILTER (WHERE NOT r.ours) AS t, min(f.name) AS name
        FROM recon_found f JOIN recon_rest r USING (line_no)
        WHERE NOT f.confirmed AND f.rule = %(other_amount)s GROUP BY f.group_no
    ), named AS (
        SELECT r.line_no, p.o AS other_line_no,
               r.open_minor - coalesce(x.open_minor, 0) AS amount_minor,
               CASE WHEN p.t IS NOT NULL THEN p.name
                    WHEN r.begun THEN CASE WHEN r.ours THEN 'short' ELSE 'over' END
                    WHEN r.kind = 'fee' THEN 'fee'
                    WHEN r.kind = 'return' OR r.known AND NOT r.same_way THEN 'returned'
                    WHEN r.twin THEN 'duplicate'
                    WHEN r.ours THEN 'missing'
                    WHEN r.known THEN 'over'
                    ELSE 'unknown' END AS name
        FROM recon_rest r LEFT JOIN pair p ON p.t = r.line_no
        LEFT JOIN recon_rest x ON x.line_no = p.o
        WHERE NOT EXISTS (SELECT FROM pair q WHERE q.o = r.line_no)
    ), newest AS (
        SELECT DISTINCT ON (e.line_no) e.line_no, e.other_line_no, e.name, e.amount_minor
        FROM recon.exception e WHERE e.name <> 'line_changed'
        ORDER BY e.line_no, e.exception_id DESC
    ), added AS (
        INSERT INTO recon.exception (line_no, other_line_no, name, amount_minor, owner, recorded_on)
        SELECT n.line_no, n.other_line_no, n.name, n.amount_minor, %(owners)s ->> n.name, %(on)s
        FROM named n LEFT JOIN newest e USING (line_no)
        WHERE (n.other_line_no, n.name, n.amount_minor)
              IS DISTINCT FROM (e.other_line_no, e.name, e.amount_minor)
        ORDER BY n.line_no
        RETURNING name
    )
    SELECT name, count(*) FROM added GROUP BY name ORDER BY name
"""


def run_rules(
    conn: Connection,
    comparison: str,
    act: Act,
    owners: Mapping[Name, str],
    bounds: Bounds = DEFAULT_BOUNDS,
) -> Found:
    """Match what is open in the comparison by the rules, in the caller's transaction.

    `owners` says who works on a difference of each name. Raises `comparison_unknown`.
    """
    require_comparison(conn, comparison)
    wait_for_turn(conn, comparison)
    passes.find(conn, comparison, bounds)
    values: dict[str, object] = {
        "comparison": comparison, "on": act.on, "by": act.by, "reason": act.reason,
        "reference": Rule.REFERENCE, "other_amount": Rule.OTHER_AMOUNT,
        "versions": Jsonb(VERSIONS), "days_after": bounds.days_after,
        "owners": Jsonb({name.value: owner for name, owner in owners.items()}),
    }  # fmt: skip
    for statement in (_PAIRS, _NUMBERED, _FINGERPRINTS):
        conn.execute(statement, values)
    counts = conn.execute(_COUNTS, values).fetchall()
    matched = {Rule(rule): count for rule, count, _ in counts if count}
    run_id, suggested = _record(conn, values, sum(matched.values()))
    raised = {Name(name): count for name, count in conn.execute(_RAISE, values).fetchall()}
    conn.execute("DROP TABLE recon_pair, recon_numbered, recon_suggested")
    passes.clear(conn)
    return Found(run_id, matched, suggested, raised, sum(late for _, _, late in counts))


def wait_for_turn(conn: Connection, comparison: str) -> None:
    """Wait until no other run of the comparison is under way, until the transaction ends."""
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('recon:' || %s, 4))", (comparison,))


def _record(
    conn: Connection, values: dict[str, object], matches: int
) -> tuple[int | None, dict[Rule, int]]:
    fresh = conn.execute("SELECT count(*) FROM recon_suggested").fetchone()
    if not matches and not (fresh and fresh[0]):
        return None, {}
    row = conn.execute(_RUN, {**values, "matches": matches}).fetchone()
    run_id = int(row[0]) if row else 0
    values["run"] = run_id
    with refusals():
        if matches:
            conn.execute(_MATCHES, values)
            conn.execute(_CLEARING, values)
        suggested = conn.execute(_SUGGEST, values).fetchall()
    return run_id, {Rule(rule): count for rule, count in suggested}
