"""Samples of posted lines for auditors, each by a seed; how lines are drawn: `ledgers.drawing`.

A *line* is a transfer that moved money or a leg of an entry. The population is what a size of the
log holds, so a sample is the same for ever, whoever draws it: the same size of the log, scope,
method and seed give the same lines. Without an account each movement stands in it once, by its
debit, and memo legs are left out; with an account it is every line on that account, debit or
credit, and its sums are those of the register.

Choose the seed after the checkpoint was signed: who knows it before could record what it misses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from psycopg import Connection, sql
from psycopg.rows import class_row

from ledgers.chart import account_number
from ledgers.drawing import SAMPLE_OF_NOTHING, By, Draw, Drawing, Drawn, Method, draw
from ledgers.money import format_amount
from ledgers.problems import Answer, Problem
from ledgers.transparency.proofs import LOG_SIZE_UNKNOWN

SAMPLE_CURRENCIES = Problem(
    "sample_currencies",
    "The population is in several currencies: {currencies}.",
    "Draw a sample of each: name the currency, or one account.",
    Answer.USAGE,
)
SAMPLE_STRATA_UNFIT = Problem(
    "sample_strata_unfit",
    "A {method} sample cannot be drawn with these strata.",
    "Name strata for a stratified sample and for no other; amounts go with amount bands only.",
    Answer.USAGE,
)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which posted lines: None and () do not restrict. Days are effective days, both in it."""

    starts_on: date | None = None
    ends_on: date | None = None
    account: str | None = None
    programmes: tuple[str, ...] = ()
    grant: str | None = None
    province: str | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A drawn line as the books say it; a leg has one account only, and no instruction.

    `amount_minor` is above 0 on either side; `phase` is that of a transfer, or `leg`.
    """

    position: int
    leg_no: int
    stratum: str
    hits: int
    entry_ref: str
    event: str
    effective_on: date
    phase: str
    debit_account: str | None
    credit_account: str | None
    amount_minor: int
    currency: str
    grant_code: str
    programme_id: str | None
    cycle_id: str | None
    provider: str | None
    location: str | None
    instruction_ref: str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of a size of the log with its root, and all that is needed to draw it again.

    The population's debits and credits are what a register shows of these lines; without an
    account all of it is debits.
    """

    drawing: Drawing
    scope: Scope
    log_size: int
    root: bytes
    currency: str
    debits_minor: int
    credits_minor: int
    draw: Draw
    lines: tuple[Line, ...]


_POPULATION = sql.SQL("""
    SELECT x.place, x.part, x.minor, {stratum} AS stratum, x.currency, x.debit
    FROM (
        SELECT t.entry_id, s.first_position + t.line_no AS place, 0 AS part,
               t.amount_minor AS minor, %(account)s::integer IS NULL
                   OR t.debit_account_id = %(account)s AS debit,
               coalesce(%(account)s, t.debit_account_id) AS account_id, t.currency, t.grant_code,
               t.programme_id, t.cycle_id, t.provider, t.location
        FROM books.transfer t JOIN books.sealed_entry s USING (entry_id)
        WHERE s.tree_size <= %(log_size)s AND t.phase IN ('single', 'posted')
          AND (%(account)s::integer IS NULL
               OR %(account)s IN (t.debit_account_id, t.credit_account_id))
        UNION ALL
        SELECT l.entry_id, s.first_position, l.leg_no, abs(l.amount_minor), l.amount_minor > 0,
               l.account_id, l.currency, l.grant_code, l.programme_id, l.cycle_id, l.provider,
               l.location
        FROM books.leg l JOIN books.sealed_entry s USING (entry_id)
        WHERE s.tree_size <= %(log_size)s
          AND CASE WHEN %(account)s::integer IS NULL THEN l.layer = 'A' AND l.amount_minor > 0
                   ELSE l.account_id = %(account)s END
    ) x JOIN books.entry e USING (entry_id) JOIN books.account a USING (account_id)
    WHERE (%(starts_on)s::date IS NULL OR e.effective_on >= %(starts_on)s)
      AND (%(ends_on)s::date IS NULL OR e.effective_on <= %(ends_on)s)
      AND (cardinality(%(programmes)s::text[]) = 0 OR x.programme_id = ANY (%(programmes)s))
      AND (%(grant)s::text IS NULL OR x.grant_code = %(grant)s)
      AND (%(province)s::text IS NULL OR x.location = %(province)s)
      AND (%(currency)s::text IS NULL OR x.currency = %(currency)s)
""")
_STRATUM = {
    By.ACCOUNT: "a.code",
    By.PROVINCE: "coalesce(x.location, '-')",
    By.PROGRAMME: "coalesce(x.programme_id, '-')",
    By.CYCLE: "coalesce(x.cycle_id, '-')",
    By.PROVIDER: "coalesce(x.provider, '-')",
    By.GRANT: "x.grant_code",
    By.EVENT: "e.event",
    By.BAND: "(%(band_names)s::text[])[width_bucket(x.minor, %(bands)s::bigint[]) + 1]",
}
_TOTALS = sql.SQL("""
    SELECT currency, coalesce(sum(minor) FILTER (WHERE debit), 0)::bigint,
           coalesce(sum(minor) FILTER (WHERE NOT debit), 0)::bigint
    FROM ({population}) p GROUP BY currency ORDER BY currency
""")
_LINES = """
    SELECT d.place AS position, d.part AS leg_no, d.stratum, d.hits, e.entry_ref, e.event,
           e.effective_on, coalesce(t.phase, 'leg') AS phase, debit.code AS debit_account,
           credit.code AS credit_account, d.minor AS amount_minor,
           coalesce(t.currency, l.currency) AS currency,
           coalesce(t.grant_code, l.grant_code) AS grant_code,
           coalesce(t.programme_id, l.programme_id) AS programme_id,
           coalesce(t.cycle_id, l.cycle_id) AS cycle_id,
           coalesce(t.provider, l.provider) AS provider,
           coalesce(t.location, l.location) AS location, t.instruction_ref
    FROM unnest(%s::bigint[], %s::integer[], %s::bigint[], %s::text[], %s::bigint[])
        AS d (place, part, minor, stratum, hits)
    CROSS JOIN LATERAL (SELECT * FROM books.sealed_entry WHERE first_position <= d.place
                        ORDER BY first_position DESC LIMIT 1) s
    JOIN books.entry e USING (entry_id)
    LEFT JOIN books.transfer t ON d.part = 0
         AND t.transfer_id = (e.entry_id << 24) | (d.place - s.first_position)
    LEFT JOIN books.leg l ON d.part > 0 AND (l.entry_id, l.leg_no) = (e.entry_id, d.part)
    LEFT JOIN books.account debit ON debit.account_id
         = coalesce(t.debit_account_id, CASE WHEN l.amount_minor > 0 THEN l.account_id END)
    LEFT JOIN books.account credit ON credit.account_id
         = coalesce(t.credit_account_id, CASE WHEN l.amount_minor < 0 THEN l.account_id END)
    ORDER BY d.place, d.part
"""


def sample(
    conn: Connection, scope: Scope, drawing: Drawing, *, log_size: int | None = None
) -> Sample:
    """Draw a sample of the posted lines that the log of `log_size` leaves holds (the newest).

    Raises `sample_of_nothing`, `sample_currencies`, `sample_size_unfit`, `sample_strata_unfit`,
    `account_unknown`, `log_size_unknown`.
    """
    size, root = _tree(conn, log_size)
    stratified, banded = drawing.method is Method.STRATIFIED, By.BAND in drawing.by
    if stratified != bool(drawing.by) or banded != bool(drawing.bands):
        raise SAMPLE_STRATA_UNFIT.refusal(method=drawing.method)
    params = _params(conn, scope, size)
    everything = _POPULATION.format(stratum=sql.SQL("''"))
    totals = conn.execute(_TOTALS.format(population=everything), params).fetchall()
    if not totals:
        raise SAMPLE_OF_NOTHING.refusal()
    if len(totals) > 1:
        raise SAMPLE_CURRENCIES.refusal(currencies=", ".join(row[0] for row in totals))
    ((currency, debits, credits_),) = totals
    bands = sorted(drawing.bands)
    params |= {"bands": bands, "band_names": _band_names(bands, currency)}
    parts = [_STRATUM[by] for by in drawing.by] or ["''"]
    stratum = sql.SQL(" || ' / ' || ").join(map(sql.SQL, parts))
    drawn = draw(conn, _POPULATION.format(stratum=stratum), drawing, params)
    lines = _lines(conn, drawn.lines)
    return Sample(drawing, scope, size, root, currency, debits, credits_, drawn, lines)


def _tree(conn: Connection, log_size: int | None) -> tuple[int, bytes]:
    row = conn.execute(
        "SELECT tree_size, root FROM books.tree WHERE %(size)s::bigint IS NULL"
        " OR tree_size = %(size)s ORDER BY tree_size DESC LIMIT 1",
        {"size": log_size},
    ).fetchone()
    if row is None:
        raise LOG_SIZE_UNKNOWN.refusal(size=log_size or 0)
    return row[0], bytes(row[1])


def _params(conn: Connection, scope: Scope, size: int) -> dict[str, object]:
    return {
        "log_size": size, "starts_on": scope.starts_on, "ends_on": scope.ends_on,
        "account": account_number(conn, scope.account) if scope.account else None,
        "programmes": list(scope.programmes), "grant": scope.grant, "province": scope.province,
        "currency": scope.currency,
    }  # fmt: skip


def _band_names(bands: Sequence[int], currency: str) -> list[str]:
    edges = [format_amount(minor, currency) for minor in bands]
    if not edges:
        return []
    between = [f"{low} to below {high}" for low, high in pairwise(edges)]
    return [f"below {edges[0]}", *between, f"{edges[-1]} and above"]


def _lines(conn: Connection, drawn: Sequence[Drawn]) -> tuple[Line, ...]:
    columns = [
        [line.place for line in drawn], [line.part for line in drawn],
        [line.minor for line in drawn], [line.stratum for line in drawn],
        [line.hits for line in drawn],
    ]  # fmt: skip
    return tuple(conn.cursor(row_factory=class_row(Line)).execute(_LINES, columns))
