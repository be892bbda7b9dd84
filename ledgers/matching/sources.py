"""Sources: lists of lines, each on one side of one comparison.

The float with a provider is compared with that provider's statements: the account in the books is
the source on our side, the statements are the source on theirs. A list that takes part in two
comparisons (the books against the processor's report and against the bank) is two sources, because
its lines are cleared once in each.
"""

from dataclasses import dataclass
from enum import StrEnum

from psycopg import Connection

from ledgers.problems import Answer, Problem

SOURCE_DIFFERS = Problem(
    "source_differs",
    "The source {source} stands in another comparison, on another side or is of another kind.",
    "Open a source of another code.",
)
COMPARISON_UNKNOWN = Problem(
    "comparison_unknown",
    "There is no comparison {comparison}.",
    "Import the lines of both its sides first.",
    Answer.NOT_FOUND,
)


class Side(StrEnum):
    """Whose list it is."""

    OURS = "ours"
    THEIRS = "theirs"


class Kind(StrEnum):
    """What a list is."""

    LEDGER = "ledger"  # an extract of the books
    STATEMENT = "statement"  # a bank's statements
    PROCESSOR = "processor"  # a processor's reports


@dataclass(frozen=True, slots=True)
class Source:
    """A list of lines; `code` is its name, unique for ever."""

    code: str
    comparison: str
    side: Side
    kind: Kind


def open_source(conn: Connection, source: Source) -> int:
    """Return the number of the source, opened if need be. Raises `source_differs`."""
    conn.execute(
        "INSERT INTO recon.source (code, comparison, side, kind) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (code) DO NOTHING",
        (source.code, source.comparison, source.side, source.kind),
    )
    row = conn.execute(
        "SELECT source_id, comparison, side, kind FROM recon.source WHERE code = %s",
        (source.code,),
    ).fetchone()
    if row is None or row[1:] != (source.comparison, source.side, source.kind):
        raise SOURCE_DIFFERS.refusal(source=source.code)
    return int(row[0])


def sources(conn: Connection, comparison: str | None = None) -> list[Source]:
    """Return the sources of one comparison, or of all, by code."""
    rows = conn.execute(
        "SELECT code, comparison, side, kind FROM recon.source"
        " WHERE %(comparison)s::text IS NULL OR comparison = %(comparison)s ORDER BY code",
        {"comparison": comparison},
    ).fetchall()
    return [Source(code, name, Side(side), Kind(kind)) for code, name, side, kind in rows]


def require_comparison(conn: Connection, comparison: str) -> None:
    """Raise `comparison_unknown` where no source stands in the comparison."""
    row = conn.execute(
        "SELECT FROM recon.source WHERE comparison = %s LIMIT 1", (comparison,)
    ).fetchone()
    if row is None:
        raise COMPARISON_UNKNOWN.refusal(comparison=comparison)
