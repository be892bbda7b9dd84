"""Assistance given twice: our lines against the lists of other agencies, by the overlap policy.

What overlaps in person, need and period is found when a plan is prepared and looked for again when
it is released; nothing else is touched. The policy (`eligibility.duplicates.overlap`) judges whole
lists in one pass: our candidates, what we give their households elsewhere, and the records of those
people of other agencies that were matched with ours. Ids go in, no names.

What the verdict does to a line of ours, where theirs comes first:

* *stop*, and *hold* of people who are the same for certain: `other_agency`, which escalates;
* *hold* of people who may be the same: `possible_overlap`, which lapses;
* *cap*: the line pays what is left below the ceiling;
* *report*, *flag*, *clear*: nothing.

A verdict is kept with its evidence. It is written again only when something it rests on, or what
people did about it, has changed; where the two no longer meet, it is cleared.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import pyarrow as pa
from psycopg import Connection

from cva.clock import ZONE
from cva.registry import policies
from eligibility.duplicates.overlap.policy import Policy
from eligibility.duplicates.overlap.records import (
    ACTS,
    ASSISTANCE,
    HOUSEHOLD_LINKS,
    PERSON_LINKS,
    ROSTER,
    Lists,
    Overlap,
    overlaps_of,
)
from ledgers.problems import Problem

PLAN_OVERLAPS = Problem(
    "plan_overlaps",
    "{lines:line|lines} of the plan {plan} would give what another agency gives the same people.",
    "Cancel the plan and prepare it again: these lines stop, or pay what is left.",
)
LISTS_NOT_MATCHED = Problem(
    "lists_not_matched",
    "{households:household of the plan was|households of the plan were} not compared"
    " with the lists of other agencies.",
    "Run `cva overlap match`, then prepare again.",
)

_EMPTY = """
    CREATE TEMPORARY TABLE overlapping (
      household_id text, kind text, cause text, since timestamptz, due_at timestamptz,
      payable_minor bigint) ON COMMIT DROP
"""
_UNMATCHED = """
    SELECT count(*) FROM candidate c, (
      SELECT last_version_id, last_list_id FROM duplicates.run WHERE scope = 'lists'
      ORDER BY at DESC, run_id DESC LIMIT 1) r
    WHERE c.version_id > r.last_version_id
       OR r.last_list_id < (SELECT max(list_id COLLATE "C") FROM duplicates.list) COLLATE "C"
"""
# People of other agencies who are, or may be, people of the candidates.
_LINKS = """
    CREATE TEMPORARY TABLE link ON COMMIT DROP AS
    SELECT p.unit, p.left_key, p.right_key, duplicates.household_of(p.left_key) AS household_id,
           duplicates.household_of(p.right_key) AS other_id, p.likeness,
           -- Asking around makes nothing less certain.
           CASE WHEN c.verdict = 'same' OR p.band = 'automatic'
                THEN 'confirmed' ELSE 'possible' END AS strength
    FROM duplicates.current p LEFT JOIN duplicates.covered c USING (pair_id)
    WHERE p.right_key LIKE 'oa:%%' AND c.verdict IS DISTINCT FROM 'different'
      AND duplicates.household_of(p.left_key) IN (SELECT household_id FROM candidate)
      AND NOT EXISTS (
        SELECT FROM duplicates.standing d WHERE d.verdict = 'different'
          AND d.left_key = duplicates.household_of(p.left_key)
          AND d.right_key = duplicates.household_of(p.right_key))
"""
_OURS = """
    SELECT 'our:' || %(cycle)s || ':' || c.household_id || ':' || c.kind,
           g.document->>'agency', g.code, c.household_id, 'household', g.document->>'need',
           g.document->>'modality', lower(y.period), upper(y.period) - 1,
           coalesce(g.document->>'cycles' = 'one_off', false), %(status)s::text,
           %(committed)s::timestamptz, g.document->>'currency', c.amount_minor, c.people,
           NULL, NULL, NULL::date
    FROM candidate c, programme.cycle y JOIN programme.programme g USING (programme_id)
    WHERE y.cycle_id = %(cycle)s AND c.household_id IN (SELECT household_id FROM link)
    UNION ALL
    -- What else they have of us counts towards a ceiling.
    SELECT 'our:' || l.cycle_id || ':' || l.household_id || ':' || l.plan_id || '.' || l.line_no,
           g.document->>'agency', g.code, l.household_id, 'household', g.document->>'need',
           g.document->>'modality', lower(y.period), upper(y.period) - 1,
           coalesce(g.document->>'cycles' = 'one_off', false),
           CASE l.state WHEN 'loaded' THEN 'paid' ELSE 'committed' END, p.locked_at,
           p.currency::text, l.amount_minor, l.people, NULL, NULL, NULL
    FROM payments.line_state l JOIN payments.plan p USING (plan_id)
    JOIN programme.cycle y ON y.cycle_id = l.cycle_id
    JOIN programme.programme g USING (programme_id)
    WHERE l.household_id IN (SELECT household_id FROM link) AND l.cycle_id <> %(cycle)s
      AND l.state IN ('loaded', 'pending', 'unknown') AND g.document ? 'need'
    UNION ALL
    SELECT a.record_key, a.agency, a.programme, a.recipient_key, a.unit, a.need, a.modality,
           a.first_day, a.last_day, a.one_off, a.status, a.committed_at, a.currency::text,
           a.amount_minor, a.people, a.replaces, a.referred_by, a.referred_on
    FROM duplicates.assisted a
    WHERE duplicates.household_of(a.recipient_key) IN (SELECT other_id FROM link)
"""
_ROSTERS = """
    SELECT DISTINCT c.household_id, c.household_id || '/' || m.member_no,
           coalesce(m.relationship = 'head', false), NULL::date, NULL::date
    FROM candidate c JOIN registry.member m USING (version_id)
    WHERE c.household_id IN (SELECT household_id FROM link)
    UNION ALL
    SELECT duplicates.household_of(o.person_key), o.person_key, bool_or(o.is_head), NULL, NULL
    FROM duplicates.other_person o
    WHERE duplicates.household_of(o.person_key) IN (SELECT other_id FROM link)
    GROUP BY o.person_key
"""
_PERSON_LINKS = "SELECT left_key, right_key, strength FROM link WHERE unit = 'person'"
_HOUSEHOLD_LINKS = """
    SELECT k.left_key, k.right_key,
           CASE WHEN k.likeness = 'instrument' THEN 'instrument' ELSE 'confirmed' END
    FROM link k LEFT JOIN duplicates.standing d
      ON (d.left_key, d.right_key, d.verdict) = (k.left_key, k.right_key, 'same')
    WHERE k.unit = 'household' AND (k.likeness = 'instrument' OR d.decision_id IS NOT NULL)
"""
_ACTS = """
    SELECT CASE WHEN o.ours_first THEN r.ours ELSE o.record_key END,
           CASE WHEN o.ours_first THEN o.record_key ELSE r.ours END,
           o.evidence, a.action, a.person_id, a.reason, (a.at AT TIME ZONE 'Europe/Istanbul')::date
    FROM duplicates.overlap_act a JOIN duplicates.overlap o USING (overlap_id)
    CROSS JOIN LATERAL (
      SELECT 'our:' || o.cycle_id || ':' || o.household_id || ':' || o.kind) r (ours)
    WHERE o.cycle_id = %(cycle)s AND o.household_id IN (SELECT household_id FROM candidate)
"""
_FOUND = """
    CREATE TEMPORARY TABLE found (
      household_id text, kind text, record_key text, ours_first boolean, basis text, strength text,
      verdict text, reason text, first_day date, last_day date, payable_minor bigint,
      lapses boolean, evidence text) ON COMMIT DROP
"""
# The same evidence keeps its deadline; a verdict that changed by what people did is a new row.
_KEPT = """
    INSERT INTO duplicates.overlap (cycle_id, household_id, kind, record_key, ours_first, basis,
      strength, verdict, reason, first_day, last_day, payable_minor, lapses, evidence,
      policy_sha256, found_at, due_at)
    SELECT %(cycle)s, f.*, %(policy)s, coalesce(b.found_at, %(at)s), coalesce(b.due_at, %(due)s)
    FROM found f
    LEFT JOIN duplicates.overlap_now n ON (n.cycle_id, n.household_id, n.kind, n.record_key)
      = (%(cycle)s, f.household_id, f.kind, f.record_key)
    LEFT JOIN LATERAL (
      SELECT min(o.found_at) AS found_at, min(o.due_at) AS due_at FROM duplicates.overlap o
      WHERE (o.cycle_id, o.household_id, o.kind, o.record_key, o.evidence)
        = (%(cycle)s, f.household_id, f.kind, f.record_key, f.evidence)) b ON true
    WHERE (n.evidence, n.verdict, n.reason) IS DISTINCT FROM (f.evidence, f.verdict, f.reason)
    ORDER BY f.household_id, f.kind, f.record_key
"""
_CLEARED = """
    INSERT INTO duplicates.overlap (cycle_id, household_id, kind, record_key, ours_first, basis,
      strength, verdict, reason, first_day, last_day, payable_minor, lapses, evidence,
      policy_sha256, found_at, due_at)
    SELECT n.cycle_id, n.household_id, n.kind, n.record_key, n.ours_first, n.basis, n.strength,
           'clear', 'no_longer', n.first_day, n.last_day, NULL, false, n.evidence, n.policy_sha256,
           n.found_at, n.due_at
    FROM duplicates.overlap_now n JOIN candidate c USING (household_id, kind)
    WHERE n.cycle_id = %(cycle)s AND n.verdict <> 'clear' AND NOT EXISTS (
      SELECT FROM found f WHERE (f.household_id, f.kind, f.record_key)
        = (n.household_id, n.kind, n.record_key))
"""
_STOPPING = """
    INSERT INTO overlapping
    SELECT household_id, kind,
           CASE WHEN bool_or(certain) THEN 'other_agency'
                WHEN bool_or(waits) THEN 'possible_overlap' END,
           coalesce(min(found_at) FILTER (WHERE certain), min(found_at) FILTER (WHERE waits)),
           coalesce(min(due_at) FILTER (WHERE certain), max(due_at) FILTER (WHERE waits)),
           min(payable_minor)
    FROM (SELECT o.*, o.verdict = 'stop' OR o.verdict = 'hold' AND NOT o.lapses
                      OR o.verdict = 'cap' AND o.payable_minor = 0 AS certain,
                 o.verdict = 'hold' AND o.lapses AND o.due_at > %(at)s AS waits
          FROM duplicates.overlap_now o JOIN candidate c USING (household_id, kind)
          WHERE o.cycle_id = %(cycle)s AND NOT o.ours_first) o
    WHERE certain OR waits OR verdict = 'cap'
    GROUP BY household_id, kind
"""
_LINES_OF_PLAN = """
    CREATE TEMPORARY TABLE candidate ON COMMIT DROP AS
    SELECT household_id, version_id, kind, amount_minor, people FROM payments.line
    WHERE plan_id = %(plan)s AND stopped IS NULL
"""


def judge(conn: Connection, cycle_id: str, at: datetime, *, due: datetime) -> None:
    """Judge the table `candidate` of a plan that is being prepared; fill `overlapping`.

    `due` is the deadline of what is found now. Raises `lists_not_matched`.
    """
    conn.execute(_EMPTY)
    if not _is_concerned(conn, cycle_id):
        return
    unmatched = conn.execute(_UNMATCHED).fetchone()
    if unmatched is None or unmatched[0]:
        raise LISTS_NOT_MATCHED.refusal(households=unmatched[0] if unmatched else "all")
    values = {
        "cycle": cycle_id, "at": at, "due": due, "status": "planned", "committed": None,
    }  # fmt: skip
    _judge(conn, values)
    conn.execute(_STOPPING, values)


def look_again(conn: Connection, plan_id: str, cycle_id: str, at: datetime) -> None:
    """Judge the lines of a plan that is about to leave, as committed when they were approved.

    What is found is recorded; the release then refuses a plan that overlaps.
    """
    if not _is_concerned(conn, cycle_id):
        return
    approved = conn.execute(
        "SELECT max(at) FROM payments.signature WHERE plan_id = %s AND act = 'approved'",
        (plan_id,),
    ).fetchone()
    conn.execute(_LINES_OF_PLAN, {"plan": plan_id})
    policy = policies.in_force(conn)
    values = {
        "cycle": cycle_id, "at": at, "due": policy.hold.until(at.astimezone(ZONE)),
        "status": "committed", "committed": approved[0] if approved else None,
    }  # fmt: skip
    _judge(conn, values)
    conn.execute("DROP TABLE candidate")


def _is_concerned(conn: Connection, cycle_id: str) -> bool:
    """Say whether there are lists, and the cycle's programme says which need it is for."""
    row = conn.execute(
        "SELECT g.document ? 'need' FROM programme.cycle y JOIN programme.programme g"
        " USING (programme_id) WHERE y.cycle_id = %s AND EXISTS (SELECT FROM duplicates.list)",
        (cycle_id,),
    ).fetchone()
    return bool(row and row[0])


def _judge(conn: Connection, values: Mapping[str, object]) -> None:
    conn.execute(_LINKS)
    policy = policies.in_force(conn)
    lists = Lists(
        assistance=_table(conn, ASSISTANCE, _OURS, values),
        roster=_table(conn, ROSTER, _ROSTERS, values),
        person_links=_table(conn, PERSON_LINKS, _PERSON_LINKS, values),
        household_links=_table(conn, HOUSEHOLD_LINKS, _HOUSEHOLD_LINKS, values),
        acts=_table(conn, ACTS, _ACTS, values),
    )
    conn.execute(_FOUND)
    if lists.assistance.num_rows:
        _copy(conn, _ours(_judged(lists, policy), str(values["cycle"])))
    kept = {**values, "policy": bytes.fromhex(policy.policy_hash)}
    conn.execute(_KEPT, kept)
    conn.execute(_CLEARED, kept)
    conn.execute("DROP TABLE link, found")


def _judged(lists: Lists, policy: Policy) -> Sequence[Overlap]:
    import duckdb

    from eligibility.duplicates.overlap.sets import judged

    connection = duckdb.connect()
    try:
        return overlaps_of(judged(connection, lists, policy))
    finally:
        connection.close()


def _table(
    conn: Connection, schema: pa.Schema, query: str, values: Mapping[str, object]
) -> pa.Table:
    columns = list(zip(*conn.execute(query, values), strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _ours(found: Iterable[Overlap], cycle_id: str) -> Iterable[tuple[object, ...]]:
    """Yield the findings between a candidate and a record of another agency."""
    candidate = f"our:{cycle_id}:"
    for overlap in found:
        ends = (overlap.first_id, overlap.second_id)
        ours = next((end for end in ends if end.startswith(candidate)), None)
        theirs = next((end for end in ends if end.startswith("oa:")), None)
        if ours is None or theirs is None:
            continue
        _, _, household_id, kind = ours.split(":")
        yield (
            household_id, kind, theirs, overlap.first_id == ours, overlap.basis.value,
            overlap.strength.value, overlap.verdict.value, overlap.reason.value, overlap.first_day,
            overlap.last_day, overlap.payable_minor, overlap.lapses, overlap.evidence,
        )  # fmt: skip


def _copy(conn: Connection, rows: Iterable[tuple[object, ...]]) -> None:
    with conn.cursor() as cursor, cursor.copy("COPY found FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
