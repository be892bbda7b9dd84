"""Two lists of lines, the books' and a bank's, in one comparison called HALK."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import psycopg
import pytest

from ledgers.matching import lines as taking
from ledgers.matching import running
from ledgers.matching.lines import Delivery, Taken
from ledgers.matching.rules import DEFAULT_BOUNDS, Bounds, Name
from ledgers.matching.running import Act, Found
from ledgers.matching.sources import Kind, Side, Source
from tests.ledgers.matching.oracle import OURS, THEIRS, Line, Result

COMPARISON = "HALK"
BOOKS = Source("books of HALK", COMPARISON, Side.OURS, Kind.LEDGER)
BANK = Source("statements of HALK", COMPARISON, Side.THEIRS, Kind.STATEMENT)
SOURCES = {OURS: BOOKS, THEIRS: BANK}
TODAY = date(2026, 3, 16)
OWNERS = {name: "programme" if name is Name.SHORT else "finance" for name in Name}


def act(reason: str = "daily matching", by: str = "Deniz", on: date = TODAY) -> Act:
    return Act(on, by, reason)


@dataclass
class Table:
    """What is compared, as the application sees it."""

    conn: psycopg.Connection

    def take(self, lines: Iterable[Line], source: Source | None = None) -> list[Taken]:
        """Take lines in, each into the list of its side."""
        listed = list(lines)
        taken = []
        for side in (OURS, THEIRS):
            rows = [line for line in listed if line.side == side]
            if not rows:
                continue
            with taking.staged(self.conn) as copy:
                for x in rows:
                    copy.write_row((
                        "S", x.line_id, x.amount, x.currency, x.on, x.on, x.kind, x.ref, x.token,
                        list(x.keys), x.words,
                    ))  # fmt: skip
            delivery = Delivery("march.csv", TODAY, "Deniz", "finance")
            taken.append(taking.take(self.conn, source or SOURCES[side], taking.STAGED, delivery))
        return taken

    def run(self, bounds: Bounds = DEFAULT_BOUNDS) -> Found:
        return running.run_rules(self.conn, COMPARISON, act(), OWNERS, bounds)

    def matches(self) -> set:
        """Every standing match of the rules as the oracle writes it."""
        rows = self.conn.execute(
            "SELECT m.rule, array_agg(s.side || '/' || l.line_id), array_agg(c.applied_minor)"
            " FROM recon.match m JOIN recon.clearing c USING (run_id, match_no)"
            " JOIN recon.line l USING (line_no) JOIN recon.source s USING (source_id)"
            " WHERE m.rule NOT IN ('manual', 'unmatch', 'write_off')"
            " GROUP BY m.run_id, m.match_no, m.rule"
        ).fetchall()
        return {(rule, items(ids, minors)) for rule, ids, minors in rows}

    def result(self) -> Result:
        late = self.conn.execute(
            "SELECT m.rule, array_agg(s.side || '/' || l.line_id), array_agg(c.applied_minor)"
            " FROM recon.match m JOIN recon.clearing c USING (run_id, match_no)"
            " JOIN recon.line l USING (line_no) JOIN recon.source s USING (source_id)"
            " WHERE m.name = 'late' GROUP BY m.run_id, m.match_no, m.rule"
        ).fetchall()
        suggested = self.conn.execute(
            "SELECT g.rule, array_agg(s.side || '/' || l.line_id), array_agg(g.applied_minor)"
            " FROM recon.open_suggestion g JOIN recon.line l USING (line_no)"
            " JOIN recon.source s USING (source_id) GROUP BY g.suggestion_id, g.rule"
        ).fetchall()
        return Result(
            self.matches(),
            {(rule, items(ids, minors)) for rule, ids, minors in late},
            {(rule, items(ids, minors)) for rule, ids, minors in suggested},
            self.names(),
        )

    def names(self) -> dict:
        rows = self.conn.execute("SELECT side, line_id, name FROM recon.open_exception").fetchall()
        return {(side, line_id): name for side, line_id, name in rows}

    def number(self, side: str, line_id: str) -> int:
        row = self.conn.execute(
            "SELECT line_no FROM recon.line l JOIN recon.source s USING (source_id)"
            " WHERE s.side = %s AND l.line_id = %s",
            (side, line_id),
        ).fetchone()
        assert row is not None
        return row[0]

    def open(self) -> dict:
        """What is open, by side and line."""
        rows = self.conn.execute("SELECT side, line_id, open_minor FROM recon.open_line").fetchall()
        return {(side, line_id): minor for side, line_id, minor in rows}

    def counts(self) -> dict[str, int]:
        """How many rows every table of the engine has."""
        tables = self.conn.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'recon'"
        ).fetchall()
        return {
            name: self.conn.execute(f"SELECT count(*) FROM recon.{name}").fetchone()[0]
            for (name,) in tables
        }


def items(ids: list[str], minors: list[int]) -> frozenset:
    pairs = zip(ids, minors, strict=True)
    return frozenset((tuple(line_id.split("/", 1)), minor) for line_id, minor in pairs)


@pytest.fixture
def table(app: psycopg.Connection) -> Table:
    return Table(app)
