"""Reconciliation: planned ↔ books ↔ provider's report ↔ statement, with amounts and names.

Per instruction the net amount of the books (posted less returned) must equal the net amount the
statement shows. Where they agree and differ from the plan, the difference is *explained*: it is
short, returned, missing (known not to be paid) and so on. Where they disagree it is *unexplained*,
by exactly the amount of the disagreement, unless a recorded entry covers the statement line. A
statement line without an instruction is a fee, or unexpected. What the provider merely reports
decides nothing that books and statement already say; it matters where it alone says "paid".

Names: missing (planned, not paid) · unexpected (paid, not planned) · short · over · duplicate (more
than one booked line, together above the plan) · late · fee · returned · pending (on hold still).

Everything is set-based and independent of the order of its inputs. Sources: USDA 7 CFR 274 and FNS
reconciliation guidance (2007), FCA CASS 15; the "fails closed" rule on unnamed money is ours.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from psycopg import Connection, sql

NO_PARAMS: Mapping[str, object] = {}


class Name(StrEnum):
    """What a difference is called."""

    MISSING = "missing"  # planned, and nothing was paid
    UNEXPECTED = "unexpected"  # paid or charged, and nobody planned it
    SHORT = "short"  # less than planned, or less than the books say
    OVER = "over"  # more than planned, or more than the books say
    DUPLICATE = "duplicate"  # booked more than once, together above the plan
    LATE = "late"  # booked after the day agreed
    FEE = "fee"  # charged by the provider
    RETURNED = "returned"  # was paid and came back
    PENDING = "pending"  # still on hold


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One named difference; `line_id` is set where it is about a statement line."""

    instruction_ref: str
    line_id: str
    name: Name
    amount_minor: int
    explained: bool


@dataclass(frozen=True, slots=True)
class Total:
    """How often a name occurs, and for how much."""

    count: int
    explained_minor: int
    unexplained_minor: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result: net sums of the four sources, differences in the order of their references.

    `unexplained_minor` is the sum of the unexplained differences: 0 means that books and statement
    agree on every instruction and every line.
    """

    planned_minor: int
    ledger_minor: int
    reported_minor: int
    booked_minor: int
    unexplained_minor: int
    totals: Mapping[Name, Total]
    differences: Sequence[Difference]


# The books' net per instruction: a single transfer back over the hold's accounts is a return, one
# in the hold's direction is a further payment; without a hold, money coming to an asset came back.
_FACTS = sql.SQL("""
    WITH expected AS (
        SELECT instruction_ref, sum(amount_minor)::bigint AS planned
        FROM ({expected}) AS e (instruction_ref, amount_minor) GROUP BY instruction_ref
    ), reported AS (
        SELECT instruction_ref, sum(amount_minor)::bigint AS reported,
               bool_and(outcome IN ('executed', 'delivered')) AS said_paid
        FROM ({reported}) AS r (instruction_ref, amount_minor, outcome)
        WHERE instruction_ref <> '' GROUP BY instruction_ref
    ), covered AS MATERIALIZED (
        SELECT line_id, sum(amount_minor)::bigint AS amount_minor
        FROM ({covered}) AS c (line_id, amount_minor) GROUP BY line_id
    ), line AS MATERIALIZED (
        SELECT b.line_id, coalesce(b.instruction_ref, '') AS instruction_ref, b.amount_minor,
               b.kind, b.booked_on, coalesce(c.amount_minor, 0) AS covered,
               coalesce(b.instruction_ref, '') <> '' AND b.kind IN ('payment', 'return') AS named
        FROM ({booked}) AS b (line_id, instruction_ref, amount_minor, kind, booked_on)
        LEFT JOIN covered c USING (line_id)
    ), booked AS (
        SELECT instruction_ref,
               coalesce(-sum(amount_minor) FILTER (WHERE kind = 'payment'), 0)::bigint AS paid,
               coalesce(sum(amount_minor) FILTER (WHERE kind = 'return'), 0)::bigint AS returned,
               sum(covered)::bigint AS covered,
               count(*) FILTER (WHERE kind = 'payment') AS payments,
               max(booked_on) FILTER (WHERE kind = 'payment') AS last_on
        FROM line WHERE named GROUP BY instruction_ref
    ), known AS MATERIALIZED (
        SELECT instruction_ref FROM expected UNION SELECT instruction_ref FROM reported
        UNION SELECT instruction_ref FROM booked
    ), held AS MATERIALIZED (
        SELECT known.instruction_ref, p.debit_account_id,
               r.transfer_id IS NULL AS open,
               CASE r.phase WHEN 'posted' THEN r.amount_minor ELSE 0 END AS posted
        FROM known JOIN books.transfer p USING (instruction_ref)
        LEFT JOIN books.transfer r ON r.pending_id = p.transfer_id
        WHERE p.phase = 'pending'
    ), single AS (
        SELECT instruction_ref,
               coalesce(sum(s.amount_minor) FILTER (WHERE back), 0)::bigint AS returned,
               coalesce(sum(s.amount_minor) FILTER (WHERE NOT back), 0)::bigint AS paid
        FROM known JOIN books.transfer s USING (instruction_ref)
        JOIN books.account a ON a.account_id = s.debit_account_id
        LEFT JOIN held h USING (instruction_ref)
        CROSS JOIN LATERAL (SELECT CASE
            WHEN s.credit_account_id = h.debit_account_id THEN true
            WHEN s.debit_account_id = h.debit_account_id THEN false
            ELSE a.class = 'asset' END AS back) way
        WHERE s.phase = 'single' GROUP BY instruction_ref
    ), fact AS MATERIALIZED (
        SELECT instruction_ref AS ref, e.planned, r.reported,
               coalesce(r.said_paid, false) AS said_paid,
               h.instruction_ref IS NOT NULL AS held, coalesce(h.open, false) AS open,
               coalesce(h.posted, 0) + coalesce(s.paid, 0) AS posted,
               coalesce(s.returned, 0) AS taken_back,
               coalesce(b.paid, 0) AS paid, coalesce(b.returned, 0) AS came_back,
               coalesce(b.payments, 0) AS payments, b.last_on,
               coalesce(o.amount_minor, 0) AS taken_off,
               coalesce(b.paid, 0) - coalesce(b.returned, 0) + coalesce(b.covered, 0)
                   + coalesce(o.amount_minor, 0)
                   - (coalesce(h.posted, 0) + coalesce(s.paid, 0) - coalesce(s.returned, 0)) AS gap
        FROM known LEFT JOIN expected e USING (instruction_ref)
        LEFT JOIN reported r USING (instruction_ref) LEFT JOIN booked b USING (instruction_ref)
        LEFT JOIN held h USING (instruction_ref) LEFT JOIN single s USING (instruction_ref)
        LEFT JOIN covered o ON o.line_id = known.instruction_ref
    )
""")

# A gap is one row, named by the first cause that fits; without a gap every departure from the plan
# is a row of its own. The sums stand beside every difference, and alone where there is none: the
# facts are gathered once.
_COMPARED = sql.SQL("""
    , difference AS (
    SELECT f.ref AS instruction_ref, '' AS line_id, d.name, d.amount_minor::bigint, d.explained
    FROM fact f CROSS JOIN LATERAL (
        SELECT CASE
                 WHEN f.planned IS NULL THEN 'unexpected'
                 WHEN f.open THEN 'pending'
                 WHEN f.gap > 0 AND f.payments > 1 AND f.paid > f.planned THEN 'duplicate'
                 WHEN f.gap > 0 AND f.taken_back > f.came_back THEN 'returned'
                 WHEN f.gap > 0 THEN 'over'
                 WHEN f.came_back > f.taken_back THEN 'returned'
                 WHEN f.paid = 0 THEN 'missing'
                 ELSE 'short' END AS name,
               abs(f.gap) AS amount_minor, false AS explained
        WHERE f.gap <> 0
        UNION ALL
        SELECT 'unexpected', greatest(f.paid, f.posted, f.reported), f.paid > 0 OR f.posted > 0
        WHERE f.gap = 0 AND f.planned IS NULL AND greatest(f.paid, f.posted, f.reported) > 0
        UNION ALL
        SELECT 'pending', f.planned, true WHERE f.gap = 0 AND f.open AND f.planned IS NOT NULL
        UNION ALL
        SELECT 'missing', f.planned, f.held AND NOT (f.said_paid AND f.reported > 0)
        WHERE f.gap = 0 AND NOT f.open AND greatest(f.posted, f.paid) = 0 AND f.planned > 0
        UNION ALL
        SELECT CASE WHEN f.paid = 0 THEN 'missing' ELSE 'short' END, f.taken_off, true
        WHERE f.gap = 0 AND f.taken_off > 0
        UNION ALL
        SELECT 'returned', greatest(f.taken_back, f.came_back), true
        WHERE f.gap = 0 AND greatest(f.taken_back, f.came_back) > 0
        UNION ALL
        SELECT CASE WHEN f.payments > 1 THEN 'duplicate' ELSE 'over' END,
               greatest(f.paid, f.posted) - f.planned, true
        WHERE f.gap = 0 AND NOT f.open AND greatest(f.paid, f.posted) > f.planned
        UNION ALL
        SELECT 'short', f.planned - greatest(f.posted, f.paid), true
        WHERE f.gap = 0 AND NOT f.open AND greatest(f.posted, f.paid) BETWEEN 1 AND f.planned - 1
        UNION ALL
        SELECT 'late', f.paid, true WHERE f.last_on > %(late_after)s::date AND f.paid > 0
    ) d
    UNION ALL
    SELECT l.instruction_ref, l.line_id, CASE l.kind WHEN 'fee' THEN 'fee' ELSE 'unexpected' END,
           CASE WHEN l.covered = l.amount_minor THEN abs(l.amount_minor)
                ELSE abs(l.amount_minor - l.covered) END,
           l.covered = l.amount_minor
    FROM line l
    WHERE NOT l.named AND (l.kind = 'fee' OR l.covered <> l.amount_minor)
    ), total AS (
    SELECT coalesce(sum(f.planned), 0)::bigint AS planned,
           coalesce(sum(f.posted - f.taken_back), 0)::bigint AS ledger,
           coalesce(sum(f.reported), 0)::bigint AS reported,
           (SELECT coalesce(-sum(amount_minor) FILTER (WHERE kind IN ('payment', 'return')), 0)
            FROM line)::bigint AS booked
    FROM fact f
    )
    SELECT t.planned, t.ledger, t.reported, t.booked,
           d.instruction_ref, d.line_id, d.name, d.amount_minor, d.explained
    FROM total t LEFT JOIN difference d ON true
""")

_NOTHING_COVERED = sql.SQL("SELECT NULL::text, NULL::bigint WHERE false")


def compare(
    conn: Connection,
    *,
    expected: sql.Composable,
    reported: sql.Composable,
    booked: sql.Composable,
    covered: sql.Composable = _NOTHING_COVERED,
    params: Mapping[str, object] = NO_PARAMS,
    late_after: date | None = None,
) -> Comparison:
    """Compare what was planned with the books, the reports and the statement.

    Each source is a select whose columns stand in this order:
    `expected` (instruction_ref, amount_minor) what was planned; `reported` (instruction_ref,
    amount_minor, outcome) what the provider says was executed, net of returns; `booked` (line_id,
    instruction_ref or '', amount_minor signed with payments below 0, kind payment | return | fee |
    funding | other, booked_on) the statement; `covered` (line_id, amount_minor signed as the line)
    what entries recorded outside instructions say of statement lines, and (instruction_ref,
    amount_minor) what two people have taken off the books' net of an instruction that no statement
    shows; a line's id is no instruction's. `params` are the named parameters of all four
    (`late_after` is taken). Payments booked after `late_after` are late. The books are read from
    `books.transfer`.
    """
    facts = _FACTS.format(expected=expected, reported=reported, booked=booked, covered=covered)
    values = {**params, "late_after": late_after}
    rows = conn.execute(facts + _COMPARED, values).fetchall()
    planned, ledger, said, paid, *_ = rows[0]
    differences = sorted(
        Difference(ref, line_id, Name(name), amount, explained)
        for *_, ref, line_id, name, amount, explained in rows
        if name is not None
    )
    totals = _totals(differences)
    unexplained = sum(total.unexplained_minor for total in totals.values())
    return Comparison(planned, ledger, said, paid, unexplained, totals, differences)


def _totals(differences: Sequence[Difference]) -> dict[Name, Total]:
    counts: Counter[Name] = Counter()
    minor: Counter[tuple[Name, bool]] = Counter()
    for difference in differences:
        counts[difference.name] += 1
        minor[difference.name, difference.explained] += difference.amount_minor
    return {
        name: Total(counts[name], minor[name, True], minor[name, False])
        for name in Name
        if counts[name]
    }
