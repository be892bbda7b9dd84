"""Which households may be one: people first, then their rosters.

Decides what the links of people mean for the households they are listed in. Most members in
common, or the head and another: one household, registered twice. Several, and too few for that: it
was split. One: somebody moved, or is listed twice; a person decides. An alternate collector of two
households is a case of its own. A phone, an account or a card in common, with nobody in common, is
no identity at all: it says that the money of two households goes one way.
"""

import duckdb
import pyarrow as pa

from eligibility.duplicates.fields import Role
from eligibility.duplicates.linkage import Links
from eligibility.duplicates.preparing import Prepared
from eligibility.duplicates.shapes import HOUSEHOLD_PAIR, Band, Likeness

OVERLAP_MIN = 0.6  # of the smaller roster, to be one household
SHARED_MIN = 2
HEAD, ALTERNATE = "head", "alternate"


def household_pairs(conn: duckdb.DuckDBPyConnection, links: Links) -> pa.Table:
    """Return the pairs of households with people or instruments in common.

    The columns are those of `shapes.HOUSEHOLD_PAIR`, in the order of the households' ids; for
    `Register.with_new` the household held is on the left.
    """
    within = links.left.table == links.right.table
    conn.execute(f"CREATE OR REPLACE TEMP TABLE same_instruments AS {_instruments(links, within)}")
    columns = ", ".join(
        f"CAST({name} AS {_SQL_TYPES.get(name, 'VARCHAR')}) AS {name}"
        for name in HOUSEHOLD_PAIR.names
    )
    found = conn.sql(
        f"SELECT {columns} FROM ({_pairs(links, within)}) ORDER BY household_l, household_r"
    ).to_arrow_table()
    conn.execute("DROP TABLE same_instruments")
    return pa.table(found).cast(HOUSEHOLD_PAIR)


_SQL_TYPES = {"shared": "INTEGER", "overlap": "DOUBLE"}


def _pairs(links: Links, within: bool) -> str:  # noqa: FBT001 - one register or two
    """Return the query of pairs of rosters, by the people in common and by instruments."""
    turned = "roster_l > roster_r" if within else "false"
    return f"""
    WITH sides AS (
        SELECT CASE WHEN {turned} THEN roster_r ELSE roster_l END AS household_l,
            CASE WHEN {turned} THEN roster_l ELSE roster_r END AS household_r,
            CASE WHEN {turned} THEN n_r ELSE n_l END AS a,
            CASE WHEN {turned} THEN n_l ELSE n_r END AS b,
            band, l.relationship = '{HEAD}' AND r.relationship = '{HEAD}' AS heads,
            l.relationship = '{ALTERNATE}' AND r.relationship = '{ALTERNATE}' AS alternates
        FROM {links.table} p
        JOIN {links.left.table} l ON l.n = p.n_l JOIN {links.right.table} r ON r.n = p.n_r
        WHERE roster_l IS NOT NULL AND roster_r IS NOT NULL
    ), people AS (
        SELECT household_l, household_r, least(count(DISTINCT a), count(DISTINCT b)) AS shared,
            bool_or(coalesce(heads, false)) AS heads,
            bool_or(coalesce(alternates, false)) AS alternates,
            bool_and(band = '{Band.AUTOMATIC}') AS sure
        FROM sides GROUP BY household_l, household_r
    ), sized AS (
        SELECT p.*, p.shared / least(l.size, r.size) AS overlap, least(l.size, r.size) AS smaller,
            greatest(l.size, r.size) AS larger
        FROM people p
        JOIN ({_sizes(links.left)}) l ON l.roster = p.household_l
        JOIN ({_sizes(links.right)}) r ON r.roster = p.household_r
    ), together AS (
        SELECT coalesce(s.household_l, i.household_l) AS household_l,
            coalesce(s.household_r, i.household_r) AS household_r,
            coalesce(s.shared, 0) AS shared, coalesce(s.overlap, 0.0) AS overlap,
            CASE WHEN s.sure THEN '{Band.AUTOMATIC}' ELSE '{Band.REVIEW}' END AS band,
            i.instruments,
            CASE
                WHEN s.shared IS NULL THEN '{Likeness.INSTRUMENT}'
                WHEN alternates AND shared = 1 THEN '{Likeness.COLLECTOR_TWICE}'
                WHEN shared >= {SHARED_MIN} AND (overlap >= {OVERLAP_MIN} OR heads)
                    THEN '{Likeness.SAME}'
                WHEN larger = 1 THEN '{Likeness.SAME}'
                WHEN shared >= {SHARED_MIN} THEN '{Likeness.SPLIT}'
                ELSE '{Likeness.SHARED_MEMBER}'
            END AS likeness
        FROM sized s FULL JOIN same_instruments i
            ON i.household_l = s.household_l AND i.household_r = s.household_r
    )
    SELECT * FROM together
    """


def _sizes(prepared: Prepared) -> str:
    return (
        f"SELECT roster, count(*) AS size FROM {prepared.table} WHERE roster IS NOT NULL"
        " GROUP BY roster"
    )


def _instruments(links: Links, within: bool) -> str:  # noqa: FBT001 - one register or two
    """Return the query of rosters that have a phone, an account or a card in common."""
    order = "l.roster < r.roster" if within else "true"
    joined = (
        f"SELECT DISTINCT l.roster AS household_l, r.roster AS household_r, l.kind"
        f" FROM ({_contacts(links.left)}) l JOIN ({_contacts(links.right)}) r"
        f" ON l.kind = r.kind AND l.value = r.value AND l.roster <> r.roster AND {order}"
    )
    return (
        "SELECT household_l, household_r, string_agg(kind, ',' ORDER BY kind) AS instruments"
        f" FROM ({joined}) GROUP BY household_l, household_r"
    )


def _contacts(prepared: Prepared) -> str:
    """Return the query of the phones and accounts of each roster."""
    columns = {f"account_{i}": n for i, n in enumerate(prepared.fields.of(Role.ACCOUNT), start=1)}
    if prepared.fields.of(Role.PHONE):
        columns["phone"] = "phone"
    selects = [
        f"SELECT roster, '{kind}' AS kind, {column} AS value FROM {prepared.table}"
        f" WHERE {column} IS NOT NULL AND roster IS NOT NULL"
        for column, kind in columns.items()
    ]
    nothing = "SELECT '' AS roster, '' AS kind, '' AS value WHERE false"
    return " UNION ".join(selects) or nothing
