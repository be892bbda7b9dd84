"""What people are asked about pairs: the queue by money at stake, why a pair is one, what became.

The *money at stake* is what both sides of a pair are waiting for: their stopped lines, and what the
newest assessment of an open cycle gives them and no plan pays yet. It is shown in the currency in
which most of it is due; pairs without any come last, the oldest first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row

from ledgers.problems import Answer, Finding, Place, Problem, Weight

PAIR_NOT_FOUND = Problem(
    "pair_not_found",
    "Linkage found no pair of {left} and {right}.",
    "List the pairs with `cva duplicates review`, or link again with `cva duplicates find`.",
    Answer.NOT_FOUND,
)
NUMBERS_OF_MANY = Problem(
    "numbers_of_many",
    "{numbers:number is|numbers are} held by more people than one number can be, by"
    " {people:person|people} in all; nobody is stopped for it.",
    "List them with `cva duplicates review --numbers` and correct them at the source: they are"
    " fillers, or belong to somebody who registered others.",
    weight=Weight.NOTE,
)

_CROWDS = """
    SELECT kind, holders AS people, households, first_id AS household_id
    FROM registry.crowded_number ORDER BY holders DESC, token
"""
_QUEUE = """
    WITH exact AS MATERIALIZED (SELECT left_id, right_id, shared FROM registry.open_pair),
    asked AS (
      SELECT left_id AS left_key, right_id AS right_key, 'exact' AS found, shared,
             NULL::bigint AS pair_id
      FROM exact
      UNION ALL
      SELECT p.left_key, p.right_key,
             CASE p.band WHEN 'automatic' THEN 'exact' ELSE p.likeness END, p.shared, p.pair_id
      FROM duplicates.possible p
      WHERE NOT EXISTS (SELECT FROM exact x
                        WHERE (x.left_id, x.right_id) = (p.left_key, p.right_key))
      UNION ALL
      SELECT p.left_key, p.right_key, 'other_agency', 1, p.pair_id
      FROM duplicates.current p
      WHERE p.unit = 'person' AND p.right_key LIKE 'oa:%%' AND p.band = 'review'
        AND NOT EXISTS (SELECT FROM duplicates.covered c
                        WHERE c.pair_id = p.pair_id AND c.verdict <> 'ask')),
    households AS (
      SELECT duplicates.household_of(left_key) AS household_id FROM asked
      UNION SELECT duplicates.household_of(right_key) FROM asked),
    closed AS (SELECT cycle_id FROM programme.cycle_close),
    due AS MATERIALIZED (
      SELECT household_id, currency, sum(amount_minor)::bigint AS minor FROM (
        SELECT l.household_id, p.currency::text AS currency, l.amount_minor
        FROM households h JOIN payments.line l USING (household_id)
        JOIN payments.plan p USING (plan_id)
        WHERE l.stopped IS NOT NULL AND l.cycle_id NOT IN (SELECT cycle_id FROM closed)
          AND NOT EXISTS (SELECT FROM payments.line n
            WHERE (n.cycle_id, n.household_id, n.kind) = (l.cycle_id, l.household_id, l.kind)
              AND n.attempt > l.attempt)
        UNION ALL
        SELECT d.household_id, d.currency::text, d.amount_minor
        FROM (SELECT DISTINCT ON (cycle_id) run_id, cycle_id FROM assessment.run
              ORDER BY cycle_id, at DESC, run_id DESC) r
        JOIN assessment.decision d USING (run_id) JOIN households h USING (household_id)
        WHERE d.selected AND r.cycle_id NOT IN (SELECT cycle_id FROM closed)
          AND NOT EXISTS (SELECT FROM payments.line l
            WHERE (l.cycle_id, l.household_id) = (r.cycle_id, d.household_id))) waiting
      GROUP BY household_id, currency)
    SELECT q.left_key, q.right_key, q.found, q.shared, coalesce(s.minor, 0) AS stake_minor,
           coalesce(s.currency, '') AS currency,
           CASE d.verdict WHEN 'same' THEN 'second person' WHEN 'ask' THEN 'asked' ELSE 'open' END
             AS state,
           r.at AS since, c.due_at
    FROM asked q
    LEFT JOIN duplicates.pair p USING (pair_id) LEFT JOIN duplicates.run r USING (run_id)
    LEFT JOIN duplicates.clock c USING (pair_id)
    LEFT JOIN duplicates.standing d ON (d.left_key, d.right_key) = (q.left_key, q.right_key)
    LEFT JOIN LATERAL (
      SELECT currency, sum(minor)::bigint AS minor FROM due
      WHERE household_id IN (duplicates.household_of(q.left_key),
                             duplicates.household_of(q.right_key))
      GROUP BY currency ORDER BY sum(minor) DESC, currency LIMIT 1) s ON true
    ORDER BY stake_minor DESC, r.at NULLS FIRST, q.left_key, q.right_key
"""
_PIECES = """
    SELECT p.left_key, p.right_key, p.unit, p.band, p.likeness, p.score_millibits, p.pieces,
           encode(r.model_sha256, 'hex') AS model, r.run_id
    FROM duplicates.current p JOIN duplicates.run r USING (run_id)
    WHERE (p.left_key, p.right_key) = (%(left)s, %(right)s)
       OR p.unit = 'person'
          AND (duplicates.household_of(p.left_key), duplicates.household_of(p.right_key))
            = (%(left)s, %(right)s)
    ORDER BY p.unit, p.score_millibits DESC, p.left_key, p.right_key
"""
# While two are one, what became of the one that is gone is also the history of the one that stays.
_HISTORY = """
    WITH RECURSIVE mine AS (
      SELECT %(key)s::text AS key
      UNION
      SELECT g.gone_key FROM mine m JOIN duplicates.merged g ON g.kept_key = m.key)
    SELECT at, event, key, detail, login FROM (
      SELECT i.at, 'registered' AS event, m.key, i.file_name AS detail, i.person_id, v.version_id
      FROM mine m JOIN registry.version v ON v.household_id = duplicates.household_of(m.key)
      JOIN registry.import i USING (import_id)
      UNION ALL
      SELECT d.at, 'decided', m.key, d.verdict || ': ' || CASE m.key WHEN d.left_key
               THEN d.right_key ELSE d.left_key END, d.person_id, d.decision_id
      FROM mine m JOIN duplicates.decision d ON m.key IN (d.left_key, d.right_key)
      UNION ALL
      SELECT g.at, 'merged', m.key, g.gone_key || ' into ' || g.kept_key, g.person_id, g.merge_id
      FROM mine m JOIN duplicates.merge g ON m.key IN (g.kept_key, g.gone_key)
      UNION ALL
      SELECT u.at, 'unmerged', m.key, g.gone_key || ' from ' || g.kept_key, u.person_id, g.merge_id
      FROM mine m JOIN duplicates.merge g ON m.key IN (g.kept_key, g.gone_key)
      JOIN duplicates.unmerge u USING (merge_id)
      UNION ALL
      SELECT p.locked_at, 'planned', m.key, l.plan_id || ' line ' || l.line_no
               || coalesce(', stopped: ' || l.stopped, ''), p.prepared_by, l.line_no
      FROM mine m JOIN payments.line l ON l.household_id = duplicates.household_of(m.key)
      JOIN payments.plan p USING (plan_id)) told (at, event, key, detail, person_id, place)
    JOIN staff.person USING (person_id)
    ORDER BY at, event, key, place
"""


@dataclass(frozen=True, slots=True)
class Question:
    """A pair that waits for people.

    `found` is `exact` (a valid strong identifier shared), the likeness of two households, or
    `other_agency`; `state` is open, asked (somebody is to find out) or second person (decided to be
    the same, not merged); `due_at` is set where its deadline is running.
    """

    left_key: str
    right_key: str
    found: str
    shared: int
    stake_minor: int
    currency: str
    state: str
    since: datetime | None
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Crowd:
    """A valid number that too many hold to say anything of one; `household_id` is one of theirs."""

    kind: str
    people: int
    households: int
    household_id: str


@dataclass(frozen=True, slots=True)
class Why:
    """Why linkage made a pair of people, or of households.

    `pieces` of people are the addends of the score (fact, group, how it agrees, thousandths of a
    bit); of households there is one note: what they share besides people.
    """

    left_key: str
    right_key: str
    unit: str
    band: str
    likeness: str | None
    score_millibits: int | None
    pieces: Sequence[tuple[str, str, str, int]]
    model: str
    run_id: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that became of a household or a person."""

    at: datetime
    event: str
    key: str
    detail: str
    login: str


def queue(conn: Connection) -> Iterator[Question]:
    """Yield the pairs that wait, those with the most money at stake first."""
    with conn.cursor(row_factory=class_row(Question)) as cursor:
        cursor.execute(_QUEUE, {})
        yield from cursor


def crowds(conn: Connection) -> Iterator[Crowd]:
    """Yield the numbers that more people hold than one number can belong to, the most held first.

    They make nobody a duplicate: people look at them, and correct them where they were written.
    """
    with conn.cursor(row_factory=class_row(Crowd)) as cursor:
        cursor.execute(_CROWDS)
        yield from cursor


def crowds_found(found: Sequence[Crowd]) -> Finding | None:
    """Return what is to be said about such numbers, None where there are none."""
    if not found:
        return None
    people = sum(crowd.people for crowd in found)
    return NUMBERS_OF_MANY.finding(Place("registry"), numbers=len(found), people=people)


def why(conn: Connection, left_key: str, right_key: str) -> list[Why]:
    """Return why two keys are a pair; of two households, all pairs of their people.

    Raises `pair_not_found`.
    """
    left, right = sorted((left_key, right_key))
    with conn.cursor(row_factory=class_row(Why)) as cursor:
        found = cursor.execute(_PIECES, {"left": left, "right": right}).fetchall()
    if not found:
        raise PAIR_NOT_FOUND.refusal(left=left, right=right)
    return found


def history(conn: Connection, key: str) -> list[Event]:
    """Return what became of a household or a person, and of those merged into it, in order."""
    with conn.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(_HISTORY, {"key": key}).fetchall()
