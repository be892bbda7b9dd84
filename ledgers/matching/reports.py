"""The nine reconciliations by name: R1 issuance to R9 grants, all of one shape (R7: `bank`).

Every report says what it compared (`parts`), the sum of each side, and names for all of what lies
between them; each difference is *explained* or has an age. `unnamed_minor` is what is left: 0,
unless lines were taken in that no run has looked at yet.

Sides that the books and the matching tables know are read from there; what only the caller knows (a
provider's balance file, a donor's report, an approved list) comes as a select of keys and amounts.
Asset accounts have debits above 0, as lines have. Sums are of one currency: where accounts are
read, the caller names it, unless there is only one.

Sources: USDA 7 CFR 274 and FNS reconciliation guidance of 29 March 2007 (R1 to R5); FCA CASS 15
(R2, R5, R6: money where it should be by the end of the next working day); fund reporting under
IPSAS/INPAS (R9).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from psycopg import Connection, sql

from ledgers.origins import ORIGIN

NO_PARAMS: Mapping[str, object] = {}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that was compared: how many rows, and their sum in minor units."""

    name: str
    count: int
    sum_minor: int


@dataclass(frozen=True, slots=True)
class Difference:
    """What lies between the sides under one name: ours less theirs, in minor units.

    `days` is the age of the oldest, None where nothing has a day; an explained one needs nobody.
    """

    name: str
    count: int
    difference_minor: int
    explained: bool
    days: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """One reconciliation; `code` is R1 to R9."""

    code: str
    title: str
    ours_minor: int
    theirs_minor: int
    parts: Sequence[Part]
    differences: Sequence[Difference]

    @property
    def unnamed_minor(self) -> int:
        """What no name explains: ours less theirs less every difference."""
        named = sum(difference.difference_minor for difference in self.differences)
        return self.ours_minor - self.theirs_minor - named

    @property
    def open(self) -> bool:
        """Whether anybody has anything left to do."""
        return self.unnamed_minor != 0 or any(not d.explained for d in self.differences)


# Two lists of (key, amount): a key may stand in a list several times.
_KEYED = sql.SQL("""
    WITH o AS (SELECT key, sum(minor)::bigint AS minor FROM ({ours}) AS o (key, minor) GROUP BY 1),
    t AS (SELECT key, sum(minor)::bigint AS minor FROM ({theirs}) AS t (key, minor) GROUP BY 1),
    b AS (
        SELECT o.minor AS o, t.minor AS t,
               CASE WHEN t.key IS NULL THEN 'missing' WHEN o.key IS NULL THEN 'unknown'
                    WHEN o.minor = t.minor THEN 'equal'
                    WHEN abs(t.minor) < abs(o.minor) THEN 'short' ELSE 'over' END AS name
        FROM o FULL JOIN t USING (key)
    )
    SELECT name, count(*), coalesce(sum(o), 0)::bigint, coalesce(sum(t), 0)::bigint
    FROM b GROUP BY name ORDER BY name
""")

# As of a day: holds and what became of them count by the day of their entry.
_ISSUED = sql.SQL("""
    WITH approved AS (SELECT * FROM ({approved}) AS a (instruction_ref, minor)),
    state AS (
        SELECT h.amount_minor AS held, r.phase,
               CASE WHEN r.phase = 'posted' THEN r.amount_minor ELSE 0 END AS posted
        FROM approved a JOIN books.transfer h USING (instruction_ref)
        JOIN books.entry m ON m.entry_id = h.entry_id
        LEFT JOIN (books.transfer r JOIN books.entry n ON n.entry_id = r.entry_id
                   AND n.effective_on <= coalesce(%(on)s::date, 'infinity'))
            ON r.pending_id = h.transfer_id
        WHERE h.phase = 'pending' AND m.effective_on <= coalesce(%(on)s::date, 'infinity')
    )
    SELECT 'approved', count(*), coalesce(sum(minor), 0)::bigint FROM approved
    UNION ALL SELECT 'instructed', count(*), coalesce(sum(held), 0)::bigint FROM state
    UNION ALL SELECT 'posted', count(*) FILTER (WHERE phase = 'posted'),
        coalesce(sum(posted), 0)::bigint FROM state
    UNION ALL SELECT 'failed', count(*) FILTER (WHERE phase <> 'posted'),
        coalesce(sum(held - posted) FILTER (WHERE phase IS NOT NULL), 0)::bigint FROM state
    UNION ALL SELECT 'pending', count(*) FILTER (WHERE phase IS NULL),
        coalesce(sum(held) FILTER (WHERE phase IS NULL), 0)::bigint FROM state
""")

_INSTRUCTED = sql.SQL("""
    SELECT t.instruction_ref, t.amount_minor
    FROM books.transfer t JOIN books.entry e USING (entry_id)
    WHERE t.phase = 'pending' AND e.effective_on <= coalesce(%(on)s::date, 'infinity')
      AND t.instruction_ref IN (SELECT a.ref FROM ({approved}) AS a (ref, minor))
""")

_BY_GROUP = """
    SELECT k.key, l.amount_minor FROM recon.line l
    JOIN recon.source s ON s.source_id = l.source_id AND s.comparison = %(comparison)s
         AND s.side = '{side}'
    CROSS JOIN LATERAL unnest(l.group_keys) AS k (key)
    WHERE starts_with(k.key, %(prefix)s)
      AND l.booked_on <= coalesce(%(on)s::date, 'infinity')
"""

_ON_ACCOUNTS = """
    SELECT a.code, p.debit_minor - p.credit_minor AS minor, e.event, a.chart_code, a.class,
           p.grant_code, e.effective_on, a.provider
    FROM books.posting p JOIN books.entry e USING (entry_id) JOIN books.account a USING (account_id)
    WHERE p.stage = 'posted' AND e.effective_on <= %(on)s
      AND (%(currency)s::text IS NULL OR a.currency = %(currency)s)
"""

# Money in transit is consumed in the order it was sent: what was sent up to the working day before
# and not arrived yet.
_IN_TRANSIT = f"""
    SELECT code, sum(minor)::bigint,
           greatest(sum(minor) FILTER (WHERE minor < 0
               OR recon.workday(effective_on) < recon.workday(%(on)s) - 1), 0)::bigint,
           %(on)s::date - min(effective_on) FILTER (WHERE minor > 0)
    FROM ({_ON_ACCOUNTS}) p WHERE chart_code = '1030' GROUP BY code
    HAVING sum(minor) <> 0 ORDER BY code
"""

# What a grant's books say, under the names a donor's report uses. Received is what the donor paid:
# no pledge, but with what the bank kept of it. Closing a year does not take back what was spent.
_GRANTS = f"""
    SELECT grant_code || '/' || what,
           CASE WHEN what = 'received' AND chart_code IN ('1340', '2010') THEN -minor ELSE minor END
    FROM (
        SELECT grant_code, chart_code, minor, CASE
            WHEN event = 'grant_received' AND chart_code IN ('1340', '2010') THEN 'received'
            WHEN event = 'receivable_settled' AND chart_code IN ('1010', '1020')
                AND EXISTS (SELECT FROM books.leg l JOIN books.account c USING (account_id)
                            WHERE l.entry_id = p.entry_id AND c.chart_code = '1340') THEN 'received'
            WHEN class = 'expense' AND event <> 'period_closed' THEN 'spent'
            WHEN chart_code = '9020' THEN 'committed'
            WHEN chart_code = '9010' THEN 'available' END AS what
        FROM (
            SELECT p.entry_id, p.grant_code, a.chart_code, a.class, {ORIGIN} AS event,
                   p.debit_minor - p.credit_minor AS minor
            FROM books.posting p JOIN books.entry e USING (entry_id)
            JOIN books.account a USING (account_id)
            WHERE p.stage = 'posted' AND e.effective_on <= %(on)s
              AND (%(currency)s::text IS NULL OR a.currency = %(currency)s)
        ) p
    ) g WHERE what IS NOT NULL
"""


def issuance(
    conn: Connection, approved: sql.Composable, params: Mapping[str, object] = NO_PARAMS,
    on: date | None = None,
) -> Report:  # fmt: skip
    """R1: the approved list (instruction_ref, amount) against what was instructed and its ends.

    The list is the caller's as of the day `on`; None: as of now.
    """
    params = {**params, "on": on}
    rows = conn.execute(_ISSUED.format(approved=approved), params).fetchall()
    instructed = _INSTRUCTED.format(approved=approved)
    report = _keyed(conn, "R1", "issuance", approved, instructed, params)
    return _with(report, [Part(*row) for row in rows])


def wallets(
    conn: Connection,
    movements: sql.Composable,
    stated: sql.Composable,
    params: Mapping[str, object] = NO_PARAMS,
) -> Report:
    """R2: every wallet's roll-forward against the provider's balance file.

    `movements` is (wallet, movement, amount) with the opening balance as a movement, loads and
    reversals above 0, redemptions, fees and expiries below; `stated` is (wallet, closing balance).
    """
    parts = conn.execute(
        sql.SQL(
            "SELECT movement, count(*), sum(minor)::bigint"
            " FROM ({}) AS m (wallet, movement, minor) GROUP BY movement ORDER BY movement"
        ).format(movements),
        params,
    ).fetchall()
    ours = sql.SQL("SELECT wallet, minor FROM ({}) AS m (wallet, movement, minor)").format(
        movements
    )
    report = _keyed(conn, "R2", "wallets", ours, stated, params)
    return _with(report, [Part(*row) for row in parts])


def merchants(
    conn: Connection, comparison: str, prefix: str = "MERCHANT/", on: date | None = None
) -> Report:
    """R3: redemptions by merchant, terminal and day against the merchants' statements.

    Compares the lines of a comparison, booked by `on`, by group keys that begin with `prefix`.
    """
    return _by_group(conn, ("R3", "merchants"), comparison, prefix, on)


def settlements(
    conn: Connection, comparison: str, prefix: str = "SETTLEMENT/", on: date | None = None
) -> Report:
    """R4: redemptions by settlement against the settlements paid, by group key as in R3."""
    return _by_group(conn, ("R4", "settlements"), comparison, prefix, on)


def funds(
    conn: Connection,
    provider: str,
    on: date,
    stated: sql.Composable,
    params: Mapping[str, object] = NO_PARAMS,
    *,
    currency: str | None = None,
) -> Report:
    """R5: float and wallets with a provider at the end of a day against the funds it says it holds.

    `stated` is (account code, balance); `parts` are the float's movements by event.
    """
    accounts = (
        f"SELECT * FROM ({_ON_ACCOUNTS}) p"
        " WHERE chart_code IN ('1110', '1210') AND provider = %(provider)s"
    )
    values = {**params, "on": on, "provider": provider, "currency": currency}
    ours = sql.SQL(f"SELECT code, minor FROM ({accounts}) p")
    rows = conn.execute(
        f"SELECT event, count(*), sum(minor)::bigint FROM ({accounts}) p"
        " GROUP BY event ORDER BY event",
        values,
    ).fetchall()
    return _with(_keyed(conn, "R5", "funds", ours, stated, values), [Part(*row) for row in rows])


def in_transit(conn: Connection, on: date, *, currency: str | None = None) -> Report:
    """R6: money sent to providers and not arrived by the end of the next working day."""
    rows = conn.execute(_IN_TRANSIT, {"on": on, "currency": currency}).fetchall()
    differences = []
    for _, minor, late_minor, days in rows:
        late = min(minor, late_minor) if minor > 0 else minor
        if late:
            differences.append(Difference("late", 1, late, explained=False, days=days))
        if minor - late:
            differences.append(Difference("in transit", 1, minor - late, explained=True, days=None))
    parts = [Part(code, 1, minor) for code, minor, *_ in rows]
    ours = sum(part.sum_minor for part in parts)
    return Report("R6", "in transit", ours, 0, parts, differences)


def control(
    conn: Connection,
    on: date,
    parts_of: sql.Composable,
    params: Mapping[str, object] = NO_PARAMS,
) -> Report:
    """R8: control accounts against what they stand for.

    `parts_of` is (account code, amount): the wallets of a control account, or the approved and
    unreleased plans behind a grant's commitments. Only the accounts it names are compared.
    """
    ours = sql.SQL(
        "SELECT code, minor FROM ({}) p WHERE code IN (SELECT s.code FROM ({}) AS s (code, minor))"
    ).format(sql.SQL(_ON_ACCOUNTS), parts_of)
    values = {"currency": None, **params, "on": on}
    return _keyed(conn, "R8", "control accounts", ours, parts_of, values)


def grants(
    conn: Connection,
    on: date,
    stated: sql.Composable,
    params: Mapping[str, object] = NO_PARAMS,
    *,
    currency: str | None = None,
) -> Report:
    """R9: what the books say of each grant against a donor's report.

    `stated` is (key, amount), the key being the grant's code, a slash and received, spent,
    committed or available. Received is what the donor has paid by the day, fees of banks in
    it, reversals taken off; spent is all expense, of closed years too. Only the figures that are
    stated are compared.
    """
    ours = sql.SQL(
        "SELECT key, minor FROM ({}) AS g (key, minor)"
        " WHERE key IN (SELECT s.key FROM ({}) AS s (key, minor))"
    ).format(sql.SQL(_GRANTS), stated)
    values = {**params, "on": on, "currency": currency}
    return _keyed(conn, "R9", "grants", ours, stated, values)


def _by_group(
    conn: Connection, name: tuple[str, str], comparison: str, prefix: str, on: date | None
) -> Report:
    ours, theirs = (sql.SQL(_BY_GROUP.replace("{side}", side)) for side in ("ours", "theirs"))
    values = {"comparison": comparison, "prefix": prefix, "on": on}
    return _keyed(conn, *name, ours, theirs, values)


def _keyed(
    conn: Connection,
    code: str,
    title: str,
    ours: sql.Composable,
    theirs: sql.Composable,
    params: Mapping[str, object],
) -> Report:
    rows = conn.execute(_KEYED.format(ours=ours, theirs=theirs), params).fetchall()
    differences = [
        Difference(name, count, o - t, explained=False, days=None)
        for name, count, o, t in rows
        if name != "equal"
    ]
    parts = [Part(name, count, o or t) for name, count, o, t in rows]
    total_ours, total_theirs = sum(row[2] for row in rows), sum(row[3] for row in rows)
    return Report(code, title, total_ours, total_theirs, parts, differences)


def _with(report: Report, parts: Sequence[Part]) -> Report:
    return Report(
        report.code, report.title, report.ours_minor, report.theirs_minor,
        [*parts, *report.parts], report.differences,
    )  # fmt: skip
