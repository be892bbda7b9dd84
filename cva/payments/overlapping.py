"""Assistance given twice, by us or by another agency: our lines judged by the overlap policy.

What overlaps in person, need and period is found when a plan is prepared and looked for again when
it is released; nothing else is touched. The policy (`eligibility.duplicates.overlap`) judges whole
lists in one pass: our candidates, what other programmes of ours give their households, and the
records of those people of other agencies that were matched with ours. Ids go in, no names.

Of two programmes of ours the one that was released stands; where neither was, at preparation the
plan that was locked before, at release the one that leaves first. Only cycles whose needs and days
can meet under the policy are looked at, and one programme's own cycles never are.

What the verdict does to a line of ours, where theirs comes first:

* *stop*, and *hold* of people who are the same for certain: `other_agency`, which escalates;
* *hold* of people who may be the same: `possible_overlap`, which lapses;
* *cap*: the line pays what is left below the ceiling;
* *report*, *flag*, *clear*: nothing.

A verdict is kept with its evidence. It is written again only when something it rests on, or what
people did about it, has changed; where the two no longer meet, it is cleared.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice

import pyarrow as pa
from psycopg import Connection

from cva.clock import ZONE
from cva.payments.beside import cycles_beside
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
    "{lines:line|lines} of the plan {plan} would give what another agency, or another programme of"
    " ours, gives the same people.",
    "Cancel the plan and prepare it again: these lines stop, or pay what is left.",
    keeps=True,  # what was found, for people to override, tell and hear about
)
LISTS_NOT_MATCHED = Problem(
    "lists_not_matched",
    "{households:household of the plan was|households of the plan were} not compared"
    " with the lists of other agencies.",
    "Run `cva overlap match`, then prepare or release again.",
)

MEMORY_MB = 2500
THREADS = 2
BATCH = 50_000

_EMPTY = """
    CREATE TEMPORARY TABLE overlapping (
      household_id text, kind text, cause text, since timestamptz, due_at timestamptz,
      payable_minor bigint) ON COMMIT DROP
"""
_UNMATCHED = """
    SELECT count(*) FROM candidate c LEFT JOIN (
      SELECT last_version_id, last_list_id, at FROM duplicates.run WHERE scope = 'lists'
      ORDER BY at DESC, run_id DESC LIMIT 1) r ON true
    LEFT JOIN duplicates.restored b ON b.household_id = c.household_id AND b.at >= r.at
    WHERE EXISTS (SELECT FROM duplicates.list)
      AND (b.at IS NOT NULL OR (c.version_id <= r.last_version_id AND r.last_list_id COLLATE "C"
           >= (SELECT max(list_id COLLATE "C") FROM duplicates.list)) IS NOT TRUE)
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
# What other programmes of ours give the candidates, or registrations merged into theirs.
_ELSEWHERE = """
    CREATE TEMPORARY TABLE elsewhere (
      household_id text, line_id text, cycle_id text, kind text, plan_id text, state text,
      amount_minor bigint, people integer) ON COMMIT DROP
"""
_GIVEN = """
    INSERT INTO elsewhere
    SELECT DISTINCT ON (l.cycle_id, l.household_id, l.kind)
           w.household_id, l.household_id, l.cycle_id, l.kind, l.plan_id, l.state, l.amount_minor,
           l.people
    FROM payments.line_state l JOIN (
      SELECT household_id, household_id AS line_id FROM candidate
      UNION SELECT kept_id, household_id FROM registry.withdrawn
      WHERE kept_id IN (SELECT household_id FROM candidate)) w ON w.line_id = l.household_id
    WHERE l.cycle_id = ANY (%(beside)s) AND l.state IN ('planned', 'pending', 'unknown', 'loaded')
    ORDER BY l.cycle_id, l.household_id, l.kind, l.attempt DESC
"""
_CONCERNED = """
    CREATE TEMPORARY TABLE concerned ON COMMIT DROP AS
    SELECT household_id FROM link UNION SELECT household_id FROM elsewhere
"""
_OURS = """
    SELECT 'our:' || %(cycle)s || ':' || c.household_id || ':' || c.kind,
           g.document->>'agency', g.code, c.household_id, 'household', g.document->>'need',
           g.document->>'modality', lower(y.period), upper(y.period) - 1,
           coalesce(g.document->>'cycles' = 'one_off', false), %(status)s::text,
           %(committed)s::timestamptz, g.document->>'currency', c.amount_minor, c.people,
           NULL, NULL, NULL::date
    FROM candidate c, programme.cycle y JOIN programme.programme g USING (programme_id)
    WHERE y.cycle_id = %(cycle)s AND c.household_id IN (SELECT household_id FROM concerned)
    UNION ALL
    -- What has left is not called back: it stands before everything that has not.
    SELECT 'our:' || e.cycle_id || ':' || e.line_id || ':' || e.kind,
           g.document->>'agency', g.code, e.household_id, 'household', g.document->>'need',
           g.document->>'modality', lower(y.period), upper(y.period) - 1,
           coalesce(g.document->>'cycles' = 'one_off', false),
           CASE e.state WHEN 'planned' THEN %(locked)s::text ELSE 'paid' END,
           p.locked_at, p.currency::text, e.amount_minor, e.people, NULL, NULL, NULL
    FROM elsewhere e JOIN payments.plan p USING (plan_id)
    JOIN programme.cycle y ON y.cycle_id = e.cycle_id
    JOIN programme.programme g USING (programme_id)
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
    WHERE c.household_id IN (SELECT household_id FROM concerned)
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
    if not _has_need(conn, cycle_id):
        return
    _require_matched(conn)
    values = {
        "cycle": cycle_id, "at": at, "due": due, "status": "planned", "committed": None,
        "locked": "committed",
    }  # fmt: skip
    _judge(conn, values)
    conn.execute(_STOPPING, values)


def look_again(conn: Connection, plan_id: str, cycle_id: str, at: datetime) -> None:
    """Judge the lines of a plan that is about to leave, as committed when they were approved.

    What is found is recorded and kept, also where the release then refuses a plan that overlaps.
    Raises `lists_not_matched`.
    """
    if not _has_need(conn, cycle_id):
        return
    # Of two plans that leave at once the second sees the first.
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('payments.overlap', 0))")
    approved = conn.execute(
        "SELECT max(at) FROM payments.signature WHERE plan_id = %s AND act = 'approved'",
        (plan_id,),
    ).fetchone()
    conn.execute(_LINES_OF_PLAN, {"plan": plan_id})
    _require_matched(conn)
    policy = policies.in_force(conn)
    values = {
        "cycle": cycle_id, "at": at, "due": policy.hold.until(at.astimezone(ZONE)),
        "status": "committed", "committed": approved[0] if approved else None, "locked": "planned",
    }  # fmt: skip
    _judge(conn, values)
    conn.execute("DROP TABLE candidate")


def _has_need(conn: Connection, cycle_id: str) -> bool:
    """Say whether the cycle's programme says which need it is for; if not, nobody compares it."""
    row = conn.execute(
        "SELECT g.document ? 'need' FROM programme.cycle y JOIN programme.programme g"
        " USING (programme_id) WHERE y.cycle_id = %s",
        (cycle_id,),
    ).fetchone()
    return bool(row and row[0])


def _has_lists(conn: Connection) -> bool:
    return conn.execute("SELECT FROM duplicates.list LIMIT 1").fetchone() is not None


def _require_matched(conn: Connection) -> None:
    unmatched = conn.execute(_UNMATCHED).fetchone()
    if unmatched is None or unmatched[0]:
        raise LISTS_NOT_MATCHED.refusal(households=unmatched[0] if unmatched else "all")


def _judge(conn: Connection, values: Mapping[str, object]) -> None:
    policy = policies.in_force(conn)
    conn.execute(_LINKS if _has_lists(conn) else f"{_LINKS} WITH NO DATA")
    conn.execute(_ELSEWHERE)
    beside = cycles_beside(conn, str(values["cycle"]), policy)
    if beside:
        conn.execute(_GIVEN, {"beside": beside})
    conn.execute(_CONCERNED)
    lists = Lists(
        assistance=_table(conn, ASSISTANCE, _OURS, values),
        roster=_table(conn, ROSTER, _ROSTERS, values),
        person_links=_table(conn, PERSON_LINKS, _PERSON_LINKS, values),
        household_links=_table(conn, HOUSEHOLD_LINKS, _HOUSEHOLD_LINKS, values),
        acts=_table(conn, ACTS, _ACTS, values),
    )
    conn.execute(_FOUND)
    if lists.assistance.num_rows:
        policies.keep(conn, policy)
        _copy(conn, _ours(_judged(lists, policy), str(values["cycle"])))
    kept = {**values, "policy": bytes.fromhex(policy.policy_hash)}
    conn.execute(_KEPT, kept)
    conn.execute(_CLEARED, kept)
    conn.execute("DROP TABLE link, elsewhere, concerned, found")


def _judged(lists: Lists, policy: Policy) -> Iterator[Overlap]:
    from eligibility.duplicates.engine import engine
    from eligibility.duplicates.overlap.sets import judged

    with engine(MEMORY_MB, THREADS) as connection:
        found = judged(connection, lists, policy)
    for batch in found.to_batches(max_chunksize=BATCH):
        yield from overlaps_of(pa.Table.from_batches([batch]))


def _table(
    conn: Connection, schema: pa.Schema, query: str, values: Mapping[str, object]
) -> pa.Table:
    """Return the rows of a query as a table; rows are in memory a batch at a time."""
    batches = []
    with conn.cursor() as cursor:
        rows = iter(cursor.stream(query, values))
        while some := list(islice(rows, BATCH)):
            columns = zip(*some, strict=True)
            arrays = [
                pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
            ]
            batches.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema=schema)


def _ours(found: Iterable[Overlap], cycle_id: str) -> Iterable[tuple[object, ...]]:
    """Yield the findings between a candidate and what another programme or agency gives."""
    candidate = f"our:{cycle_id}:"
    for overlap in found:
        ends = (overlap.first_id, overlap.second_id)
        ours = next((end for end in ends if end.startswith(candidate)), None)
        theirs = next((end for end in ends if not end.startswith(candidate)), None)
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
