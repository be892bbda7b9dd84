"""Drawing a sample of lines by a seed: random, stratified, money-unit.

* *random*: lines are ordered by the SHA-256 of the seed and their place in the log; the first ones
  are taken. So a larger sample by the same seed contains the smaller one, and can be extended.
* *stratified*: random within each stratum. Every stratum gets one line; the rest goes to the
  strata in proportion to their lines or their money, by the divisors 1, 3, 5, … (Sainte-Laguë): a
  larger sample then takes no line away from any stratum.
* *money-unit*: every minor unit is as likely as any other. The interval is the money divided by the
  size, rounded down; the units start, start + interval, … are *hits*, counted through the lines in
  the order of the log. A line that is not smaller than the interval is always taken, and may be hit
  several times; so a sample has at least as many hits as were asked for, and maybe fewer lines.

All of it is done by the database in two passes over the lines, three for money-unit; only what was
drawn comes out. The order in which the database keeps its rows does not matter.

Sources: AICPA Audit Guide, Audit Sampling (2014), on selection, stratification and monetary unit
sampling; ISA 530, appendices 1 (stratification, value-weighted selection) and 4 (methods).
"""

import hashlib
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from psycopg import Connection, sql

from ledgers.problems import Answer, Problem

SAMPLE_OF_NOTHING = Problem(
    "sample_of_nothing",
    "No posted line is in the population.",
    "Widen the days, or leave out the account, the programme or the place.",
)
SAMPLE_SIZE_UNFIT = Problem(
    "sample_size_unfit",
    "A sample of {size:line|lines} is too small for {strata} strata.",
    "Ask for one line of each stratum at least, or stratify by less.",
    Answer.USAGE,
)

LARGE, CHANCE = "interval and above", "below the interval"


class Method(StrEnum):
    """How lines are drawn."""

    RANDOM = "random"  # every line as likely as any other
    STRATIFIED = "stratified"  # random within each stratum
    MONEY_UNIT = "money-unit"  # every minor unit as likely as any other


class By(StrEnum):
    """What makes a stratum."""

    ACCOUNT = "account"  # the account named, else the one debited
    PROVINCE = "province"  # where the recipient lives
    PROGRAMME = "programme"  # by its id
    CYCLE = "cycle"  # by its id
    PROVIDER = "provider"  # by its code
    GRANT = "grant"  # whose money
    EVENT = "event"  # what happened
    BAND = "band"  # between two amounts


class Share(StrEnum):
    """In proportion to what the strata share the sample."""

    LINES = "lines"  # how many lines each has
    MONEY = "money"  # how much money each has


@dataclass(frozen=True, slots=True)
class Drawing:
    """What to draw: `size` lines (or hits), by `seed`; the rest is for strata only.

    `bands` are the amounts, in minor units, at which a band begins.
    """

    method: Method
    size: int
    seed: str
    by: tuple[By, ...] = ()
    bands: tuple[int, ...] = ()
    share: Share = Share.LINES


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the population and what was drawn of it, in lines and minor units."""

    name: str
    count: int
    sum_minor: int
    drawn: int
    drawn_minor: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A line that was drawn: its place in the log, its leg (a transfer: 0), its hits."""

    place: int
    part: int
    minor: int
    stratum: str
    hits: int


@dataclass(frozen=True, slots=True)
class Draw:
    """What was drawn and from how much; interval and start are money-unit's, else None."""

    count: int
    sum_minor: int
    interval_minor: int | None
    start_minor: int | None
    strata: tuple[Stratum, ...]
    lines: tuple[Drawn, ...]


_STRATA = sql.SQL("""
    SELECT stratum, count(*), sum(minor)::bigint FROM ({population}) p
    GROUP BY stratum ORDER BY stratum COLLATE "C"
""")
_ORDERED = sql.SQL("""
    SELECT place, part, minor, stratum, 1::bigint AS hits FROM (
        SELECT p.*, row_number() OVER (PARTITION BY stratum ORDER BY
            sha256(convert_to(%(seed)s || '/' || place || '/' || part, 'UTF8')), place, part)
            AS turn
        FROM ({population}) p
    ) o JOIN unnest(%(strata)s::text[], %(quotas)s::bigint[]) AS q (stratum, quota) USING (stratum)
    WHERE o.turn <= q.quota ORDER BY place, part
""")
_HIT = sql.SQL("""
    SELECT place, part, minor, stratum, hits FROM (
        SELECT place, part, minor,
               CASE WHEN minor >= %(interval)s THEN %(large)s ELSE %(chance)s END AS stratum,
               (upto - %(start)s + %(interval)s) / %(interval)s
                 - (upto - minor - %(start)s + %(interval)s) / %(interval)s AS hits
        FROM (SELECT place, part, minor, (sum(minor) OVER (ORDER BY place, part))::bigint AS upto
              FROM ({population}) p) counted
    ) h WHERE hits > 0 ORDER BY place, part
""")
_BY_INTERVAL = sql.SQL("""
    SELECT place, part, minor,
           CASE WHEN minor >= %(interval)s THEN %(large)s ELSE %(chance)s END AS stratum
    FROM ({population}) p
""")


def draw(
    conn: Connection,
    population: sql.Composable,
    drawing: Drawing,
    params: Mapping[str, object] | None = None,
) -> Draw:
    """Draw from any select of (place, part, minor above 0, stratum); place and part are unique.

    The order of its rows does not matter. Raises `sample_of_nothing`, `sample_size_unfit`.
    """
    values = {**(params or {}), "seed": drawing.seed}
    strata = _strata(conn, population, values)
    if not strata:
        raise SAMPLE_OF_NOTHING.refusal()
    total = sum(minor for _, minor in strata.values())
    if drawing.size < len(strata):
        raise SAMPLE_SIZE_UNFIT.refusal(size=drawing.size, strata=len(strata))
    interval = start = None
    if drawing.method is Method.MONEY_UNIT:
        interval = max(total // drawing.size, 1)
        start = start_of(drawing.seed, interval)
        values |= {"interval": interval, "start": start, "large": LARGE, "chance": CHANCE}
        strata = _strata(conn, _BY_INTERVAL.format(population=population), values)
    else:
        quotas = quotas_of(strata, drawing.size, drawing.share)
        values |= {"strata": list(quotas), "quotas": list(quotas.values())}
    query = _ORDERED if interval is None else _HIT
    rows = conn.execute(query.format(population=population), values).fetchall()
    lines = tuple(Drawn(*row) for row in rows)
    told = tuple(_told(name, *figures, lines) for name, figures in strata.items())
    return Draw(
        sum(count for count, _ in strata.values()), total, interval, start, told, lines
    )  # fmt: skip


def start_of(seed: str, interval_minor: int) -> int:
    """Return the first unit that a money-unit sample hits: 1 to the interval, given by the seed."""
    hashed = hashlib.sha256(f"{seed}/start".encode()).digest()
    return 1 + int.from_bytes(hashed) % interval_minor


def quotas_of(strata: Mapping[str, tuple[int, int]], size: int, share: Share) -> dict[str, int]:
    """Return how many lines each stratum gives; `strata` has the lines and the money of each.

    One each, then by Sainte-Laguë, never more than a stratum has; ties go to the name first in
    order.
    """
    quotas = dict.fromkeys(strata, 1)

    def next_of(name: str) -> tuple[Fraction, str]:
        weight = strata[name][0 if share is Share.LINES else 1]
        return Fraction(2 * quotas[name] + 1, weight), name

    waiting = [next_of(name) for name, (count, _) in strata.items() if count > 1]
    heapq.heapify(waiting)
    for _ in range(size - len(strata)):
        if not waiting:
            break
        _, name = heapq.heappop(waiting)
        quotas[name] += 1
        if quotas[name] < strata[name][0]:
            heapq.heappush(waiting, next_of(name))
    return quotas


def _strata(
    conn: Connection, population: sql.Composable, params: Mapping[str, object]
) -> dict[str, tuple[int, int]]:
    rows = conn.execute(_STRATA.format(population=population), params).fetchall()
    return {name: (count, minor) for name, count, minor in rows}


def _told(name: str, count: int, minor: int, lines: Sequence[Drawn]) -> Stratum:
    mine = [line.minor for line in lines if line.stratum == name]
    return Stratum(name, count, minor, len(mine), sum(mine))
