"""What the engine's tables promise against somebody who types SQL as the application."""

import re
import threading
from dataclasses import replace
from importlib import resources

import psycopg
import pytest
from psycopg import errors

from cva.database.cluster import Role
from ledgers.matching import exceptions, matches
from ledgers.matching.matches import Applied, Match
from ledgers.problems import PROBLEMS
from ledgers.refusals import refusal_of
from tests.databases import Database
from tests.ledgers.matching.conftest import BANK, COMPARISON, Table, act
from tests.ledgers.matching.oracle import OURS, THEIRS, Line

TABLES = {
    "source", "import", "line", "write_off", "write_off_approval", "run", "match", "unmatch",
    "clearing", "cleared_run", "suggestion", "suggestion_item", "exception", "assignment", "answer",
}  # fmt: skip
RUN = (
    "INSERT INTO recon.run (comparison, act, matches, recorded_on, recorded_by, reason)"
    " VALUES (%s, %s, %s, '2026-03-16', 'Sam', 'raw') RETURNING run_id"
)
MATCH = "INSERT INTO recon.match (run_id, match_no, rule, rule_version) VALUES (%s, 1, 'raw', 1)"
CLEARING = (
    "INSERT INTO recon.clearing (line_no, step, run_id, match_no, before_minor, applied_minor)"
    " SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[], %s::int[], %s::bigint[],"
    " %s::bigint[])"
)
Step = tuple[int, int, int, int]


@pytest.fixture
def pair(table: Table) -> Table:
    table.take([
        Line(OURS, "A", -500), Line(OURS, "B", -500), Line(THEIRS, "X", -500),
        Line(THEIRS, "Y", 500),
    ])  # fmt: skip
    table.conn.commit()
    return table


def raw(conn: psycopg.Connection, *steps: Step, kind: str = "manual", matched: int = 1) -> int:
    """Type a run with one match of these steps: line, step, before, applied."""
    row = conn.execute(RUN, (COMPARISON, kind, matched)).fetchone()
    assert row is not None
    conn.execute(MATCH, (row[0],))
    add(conn, row[0], *steps)
    return row[0]


def add(conn: psycopg.Connection, run_id: int, *steps: Step, match_no: int = 1) -> None:
    lines, numbers, before, applied = map(list, zip(*steps, strict=True))
    run_ids, match_nos = [run_id] * len(steps), [match_no] * len(steps)
    conn.execute(CLEARING, (lines, numbers, run_ids, match_nos, before, applied))


def code_of(raised: pytest.ExceptionInfo[psycopg.Error]) -> str:
    refusal = refusal_of(raised.value)
    assert refusal is not None
    return refusal.problem.code


def test_every_code_of_the_tables_is_a_problem() -> None:
    text = resources.files("ledgers").joinpath("matching.sql").read_text(encoding="utf-8")
    codes = set(re.findall(r"(?:refuse\(|THEN |ELSE )'(\w+_\w+)'", text)) - {"write_off"}
    assert {"match_unbalanced", "run_closed", "write_off_by_one_person"} <= codes
    assert exceptions.EXCEPTION_NOT_ANSWERABLE.code in codes
    assert codes - PROBLEMS.keys() == set()


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE recon.{name} SET {column} = {column}",
        "DELETE FROM recon.{name}",
        "TRUNCATE recon.{name} CASCADE",
        "MERGE INTO recon.{name} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
        "ALTER TABLE recon.{name} DISABLE TRIGGER ALL",
    ],
)
def test_application_cannot_change_what_is_recorded(pair: Table, attack: str) -> None:
    columns = pair.conn.execute(
        "SELECT c.relname, min(a.attname) FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid"
        " WHERE relnamespace = 'recon'::regnamespace AND relkind = 'r' AND attnum > 0"
        " AND attidentity = '' AND attgenerated = '' GROUP BY c.relname"
    ).fetchall()
    assert {name for name, _ in columns} == TABLES
    for name, column in columns:
        with pytest.raises(errors.InsufficientPrivilege), pair.conn.transaction():
            pair.conn.execute(attack.format(name=name, column=column))


@pytest.mark.parametrize("attack", ["DELETE FROM recon.{}", "TRUNCATE recon.{} CASCADE"])
def test_owner_is_refused_by_trigger(pair: Table, owner: psycopg.Connection, attack: str) -> None:
    numbers = [pair.number(*line) for line in ((OURS, "A"), (THEIRS, "X"))]
    matches.match(pair.conn, [Applied(number) for number in numbers], act())
    pair.conn.commit()
    for name in ("line", "run", "match", "clearing"):
        with pytest.raises(psycopg.Error) as raised, owner.transaction():
            owner.execute(attack.format(name))
        assert code_of(raised) == "books_append_only"


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ([("A", 1, -500, -500)], "match_unbalanced"),  # one line alone
        ([("A", 1, -500, -500), ("X", 1, -500, -400)], "match_unbalanced"),
        ([("A", 1, -500, -500), ("B", 1, -500, -500)], "match_unbalanced"),
        ([("A", 1, -600, -600), ("X", 1, -600, -600)], "clearing_out_of_step"),
        ([("A", 2, -500, -500), ("X", 1, -500, -500)], "clearing_out_of_step"),
        ([("A", 1, -500, 100), ("X", 1, -500, 100)], "match_unbalanced"),
        ([("A", 1, -500, -500), (0, 1, -500, -500)], "clearing_unfit"),
    ],
)
def test_match_that_does_not_add_up_is_refused(pair: Table, steps: list, code: str) -> None:
    sides = {"A": OURS, "B": OURS, "X": THEIRS, "Y": THEIRS}
    numbered = [(name and pair.number(sides[name], name), *rest) for name, *rest in steps]
    with pytest.raises(psycopg.Error) as raised:
        raw(pair.conn, *numbered)
    assert code_of(raised) == code


@pytest.mark.parametrize("applied", [-501, 1])
def test_line_is_never_over_applied(pair: Table, applied: int) -> None:
    a, x = pair.number(OURS, "A"), pair.number(THEIRS, "X")
    raw(pair.conn, (a, 1, -500, -500), (x, 1, -500, -500))
    with pytest.raises(psycopg.Error):
        raw(pair.conn, (a, 2, 0, applied), (x, 2, 0, applied))


def test_second_match_of_a_cleared_line_is_refused(pair: Table) -> None:
    a, b, x = pair.number(OURS, "A"), pair.number(OURS, "B"), pair.number(THEIRS, "X")
    raw(pair.conn, (a, 1, -500, -500), (x, 1, -500, -500))
    pair.conn.commit()
    with pytest.raises(errors.UniqueViolation):
        raw(pair.conn, (b, 1, -500, -500), (x, 1, -500, -500))
    pair.conn.rollback()
    with pytest.raises(psycopg.Error) as raised:
        raw(pair.conn, (b, 1, -500, -500), (x, 2, -500, -500))
    assert code_of(raised) == "clearing_out_of_step"
    pair.conn.rollback()
    with pytest.raises(errors.CheckViolation, match="never_over_applied"):
        raw(pair.conn, (b, 1, -500, -500), (x, 2, 0, -500), (pair.number(THEIRS, "Y"), 1, 500, 600))


def test_two_lines_of_theirs_never_take_one_of_ours(pair: Table, database: Database) -> None:
    """Two people at once, typing SQL: the second waits for the first, then fails."""
    pair.take([Line(THEIRS, "Z", -500)])
    pair.conn.commit()
    a, x, z = pair.number(OURS, "A"), pair.number(THEIRS, "X"), pair.number(THEIRS, "Z")
    raw(pair.conn, (a, 1, -500, -500), (x, 1, -500, -500))
    other = database.connect(Role.APP)
    failed: list[Exception] = []

    def second() -> None:
        try:
            raw(other, (z, 1, -500, -500), (a, 1, -500, -500))
            other.commit()
        except psycopg.Error as error:
            failed.append(error)
            other.rollback()

    thread = threading.Thread(target=second)
    thread.start()
    pair.conn.commit()
    thread.join()
    assert [type(error) for error in failed] == [errors.UniqueViolation]
    assert pair.open() == {(OURS, "B"): -500, (THEIRS, "Y"): 500, (THEIRS, "Z"): -500}


def test_match_is_whole_in_one_statement_and_one_transaction(pair: Table) -> None:
    a, b, x, y = (
        pair.number(side, name)
        for side, name in ((OURS, "A"), (OURS, "B"), (THEIRS, "X"), (THEIRS, "Y"))
    )
    run_id = raw(pair.conn, (a, 1, -500, -500), (x, 1, -500, -500))
    for statement in (MATCH.replace(" 1,", " 2,"),):
        with pytest.raises(psycopg.Error) as raised, pair.conn.transaction():
            pair.conn.execute(statement, (run_id,))
        assert code_of(raised) == "run_closed"
    for later in (False, True):
        if later:
            pair.conn.commit()
        with pytest.raises(psycopg.Error) as raised, pair.conn.transaction():
            add(pair.conn, run_id, (b, 1, -500, -500), (y, 1, 500, 500))
        assert code_of(raised) == "run_closed"


def test_run_of_an_earlier_transaction_takes_no_matches(pair: Table) -> None:
    row = pair.conn.execute(RUN, (COMPARISON, "rules", 0)).fetchone()
    assert row is not None
    pair.conn.commit()
    with pytest.raises(psycopg.Error) as raised:
        pair.conn.execute(MATCH, row)
    assert code_of(raised) == "run_closed"


def test_lines_of_another_comparison_or_currency_are_no_match(pair: Table) -> None:
    pair.take([Line(THEIRS, "Z", -500)], replace(BANK, code="another", comparison="ZIRAAT"))
    pair.take([Line(THEIRS, "D", -500, currency="USD")])
    a = pair.number(OURS, "A")
    for line_id, code in (("Z", "clearing_unfit"), ("D", "match_unbalanced")):
        other = pair.number(THEIRS, line_id)
        with pytest.raises(psycopg.Error) as raised, pair.conn.transaction():
            raw(pair.conn, (a, 1, -500, -500), (other, 1, -500, -500))
        assert code_of(raised) == code


def test_steps_belong_to_the_matches_of_their_run(pair: Table) -> None:
    steps = [
        (pair.number(side, name), 1, -500, -500) for side, name in ((OURS, "A"), (THEIRS, "X"))
    ]
    for matches_said, match_no, code in (
        (1, 2, "clearing_unfit"), (2, 1, "run_without_matches"),
    ):  # fmt: skip
        row = pair.conn.execute(RUN, (COMPARISON, "rules", matches_said)).fetchone()
        assert row is not None
        for number in range(1, matches_said + 1):
            pair.conn.execute(MATCH.replace(" 1,", f" {number},", 1), row)
        with pytest.raises(psycopg.Error) as raised:
            add(pair.conn, row[0], *steps, match_no=match_no)
        assert code_of(raised) == code
        pair.conn.rollback()


def test_run_has_the_matches_it_says(pair: Table) -> None:
    pair.conn.execute(RUN, (COMPARISON, "rules", 3))
    with pytest.raises(psycopg.Error) as raised:
        pair.conn.commit()
    assert code_of(raised) == "run_without_matches"


def test_unmatching_is_the_mirror_of_its_match(pair: Table) -> None:
    a, x = pair.number(OURS, "A"), pair.number(THEIRS, "X")
    run_id = raw(pair.conn, (a, 1, -500, -500), (x, 1, -500, -500))
    pair.conn.commit()

    def back(*steps: Step) -> None:
        row = pair.conn.execute(RUN, (COMPARISON, "unmatch", 1)).fetchone()
        assert row is not None
        pair.conn.execute(MATCH, (row[0],))
        pair.conn.execute(
            "INSERT INTO recon.unmatch (run_id, undoes_run, undoes_match) VALUES (%s, %s, 1)",
            (row[0], run_id),
        )
        add(pair.conn, row[0], *steps)

    for steps in ([(a, 2, 0, 500)], [(a, 2, 0, 400), (x, 2, 0, 400)]):
        with pytest.raises(psycopg.Error) as raised, pair.conn.transaction():
            back(*steps)
        assert code_of(raised) == "unmatch_not_mirror"
    matches.unmatch(pair.conn, Match(run_id, 1), act())
    with pytest.raises(errors.UniqueViolation):
        back((a, 3, -500, 500), (x, 3, -500, 500))


WRITTEN_OFF = (
    "INSERT INTO recon.run (comparison, act, matches, write_off_id, recorded_on, recorded_by,"
    " reason) VALUES (%s, 'write_off', 1, %s, '2026-03-16', 'Sam', 'raw') RETURNING run_id"
)


def test_write_off_without_approval_clears_nothing(pair: Table) -> None:
    proposed = matches.propose_write_off(pair.conn, pair.number(OURS, "A"), act())
    with pytest.raises(errors.ForeignKeyViolation):
        pair.conn.execute(WRITTEN_OFF, (COMPARISON, proposed.write_off_id))


def test_write_off_clears_what_was_approved(pair: Table, books: object) -> None:
    from tests.ledgers.matching.test_by_hand import entry_of_write_off

    a, b = pair.number(OURS, "A"), pair.number(OURS, "B")
    proposed = matches.propose_write_off(pair.conn, a, act())
    ref = entry_of_write_off(books, 500)
    pair.conn.execute(
        "INSERT INTO recon.write_off_approval (write_off_id, entry_id, approved_by)"
        " SELECT %s, entry_id, 'Omar' FROM books.entry WHERE entry_ref = %s",
        (proposed.write_off_id, ref),
    )
    row = pair.conn.execute(WRITTEN_OFF, (COMPARISON, proposed.write_off_id)).fetchone()
    assert row is not None
    pair.conn.execute(MATCH, row)
    for step in ((b, 1, -500, -500), (a, 1, -500, -400)):
        with pytest.raises(psycopg.Error) as raised, pair.conn.transaction():
            add(pair.conn, row[0], step)
        assert code_of(raised) == "write_off_differs"
    add(pair.conn, row[0], (a, 1, -500, -500))
    pair.conn.commit()
    assert (OURS, "A") not in pair.open()


def test_lines_come_with_their_import(pair: Table) -> None:
    with pytest.raises(psycopg.Error) as raised:
        pair.conn.execute(
            "INSERT INTO recon.line (import_id, source_id, statement_id, line_id, body_hash,"
            " amount_minor, currency, value_on, booked_on, kind, ref, counterparty, group_keys,"
            " words) SELECT import_id, source_id, statement_id, 'new', body_hash, 1, currency,"
            " value_on, booked_on, kind, ref, counterparty, group_keys, words"
            " FROM recon.line LIMIT 1"
        )
    assert code_of(raised) == "lines_without_import"


def test_auditor_reads_and_writes_nothing(pair: Table, auditor: psycopg.Connection) -> None:
    row = auditor.execute("SELECT count(*) FROM recon.open_line").fetchone()
    assert row == (len(pair.open()),) == (4,)
    with pytest.raises(errors.InsufficientPrivilege):
        auditor.execute(RUN, (COMPARISON, "manual", 1))
