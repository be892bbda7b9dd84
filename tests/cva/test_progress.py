"""Progress: what a person sees while a long command runs, and what a program never sees."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import date
from io import StringIO
from pathlib import Path

import psycopg
import pytest

from cva.clock import FixedClock
from cva.database.connect import transaction
from cva.payments import planning, sending
from cva.progress import counted, in_turn, last_line, line, parts, shown, stages
from cva.registry import importing
from cva.registry.importing import BATCH_RECORDS, Origin, import_file, take
from cva.settings import Settings
from simulations.population import ExportFormat, write_population
from tests.cva.payments.agency import VAULT as AGENCY_VAULT
from tests.cva.payments.agency import agency_with, many
from tests.cva.registration import AT, LAYLA, TYPES, VAULT, open_office, record
from tests.databases import Database

ON = date(2026, 3, 1)
QUIET = Settings(Path("/srv/cva"), Path("/etc/cva/master.key"))
ALWAYS = Settings(Path("/srv/cva"), Path("/etc/cva/master.key"), progress_always=True)


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class Told(list[tuple[int, int | None]]):
    """A progress that keeps what it was told."""

    def __call__(self, done: int, total: int | None) -> None:
        self.append((done, total))


def steps(out: StringIO, settings: Settings, moments: list[float], total: int | None) -> None:
    """Count to 100, 200, … at the moments given, all but the first and the last of them."""
    stopwatch: Iterator[float] = iter(moments)
    with shown("records", settings, out, lambda: next(stopwatch)) as progress:
        assert progress is not None
        for number in range(1, len(moments) - 1):
            progress(100 * number, total)


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "expected"),
    [
        (0, None, 2, "records: 0, 0.0 a second"),
        (7, None, 2, "records: 7, 3.5 a second"),
        (12_000, None, 8, "records: 12,000, 1,500 a second"),
        (0, 50, 2, "records: 0 of 50 (0 %), 0.0 a second"),
        (19, 20, 1.9, "records: 19 of 20 (95 %), 10 a second, 0 s left"),
        (999, 1000, 10, "records: 999 of 1,000 (99 %), 100 a second, 0 s left"),
        (1000, 1000, 10, "records: 1,000 of 1,000 (100 %), 100 a second, 0 s left"),
        (100, 1000, 5, "records: 100 of 1,000 (10 %), 20 a second, 45 s left"),
        (100, 1000, 7, "records: 100 of 1,000 (10 %), 14 a second, 1 min 03 s left"),
        (1, 1001, 4, "records: 1 of 1,001 (0 %), 0.2 a second, 1 h 06 min left"),
    ],
)
def test_line_says_count_rate_and_time_left(
    done: int, total: int | None, elapsed: float, expected: str
) -> None:
    assert line("records", done, total, elapsed) == expected


def test_last_line_says_count_seconds_and_rate() -> None:
    assert last_line("lines", 200_000, 80) == "lines: 200,000 in 1 min 20 s, 2,500 a second"


def test_log_gets_a_line_a_second_at_most_and_the_total() -> None:
    out = StringIO()
    steps(out, ALWAYS, [50, 50.5, 51, 51.5, 51.9, 52, 54], total=1000)
    assert out.getvalue().splitlines() == [
        "records: 200 of 1,000 (20 %), 200 a second, 4 s left",
        "records: 500 of 1,000 (50 %), 250 a second, 2 s left",
        "records: 500 in 4 s, 125 a second",
    ]


def test_terminal_keeps_one_line() -> None:
    out = Terminal()
    steps(out, QUIET, [0, 2, 4, 5], total=None)
    assert out.getvalue() == (
        "\r\x1b[Krecords: 100, 50 a second"
        "\r\x1b[Krecords: 200, 50 a second"
        "\r\x1b[Krecords: 200 in 5 s, 40 a second\n"
    )


def test_step_under_a_second_shows_nothing() -> None:
    out = Terminal()
    steps(out, QUIET, [0, 0.4, 0.9, 0.99], total=None)
    assert out.getvalue() == ""


def test_step_with_nothing_to_count_shows_nothing() -> None:
    out = Terminal()
    steps(out, QUIET, [0, 30], total=None)
    assert out.getvalue() == ""


def test_steps_in_turn_have_their_own_pace_and_last_line() -> None:
    out = StringIO()
    # Rules from 0 to 12, told at 4 and 10; draws from 14 on, told when they begin, at 18 and at 22.
    stopwatch = iter([0.0, 4.0, 10.0, 12.0, 14.0, 14.0, 18.0, 22.0, 24.0])
    steps_of = ("households under rules", "months of draws")
    with in_turn(steps_of, ALWAYS, out, lambda: next(stopwatch)) as (rules, draws):
        assert rules is not None
        assert draws is not None
        rules(400, 1000)
        rules(1000, 1000)
        draws(0, 2400)
        draws(800, 2400)
        draws(2400, 2400)
    assert out.getvalue().splitlines() == [
        "households under rules: 400 of 1,000 (40 %), 100 a second, 6 s left",
        "households under rules: 1,000 of 1,000 (100 %), 100 a second, 0 s left",
        "households under rules: 1,000 in 12 s, 83 a second",
        "months of draws: 800 of 2,400 (33 %), 200 a second, 8 s left",
        "months of draws: 2,400 of 2,400 (100 %), 300 a second, 0 s left",
        "months of draws: 2,400 in 10 s, 240 a second",
    ]


def test_steps_in_turn_are_not_counted_where_nobody_looks() -> None:
    out = StringIO()
    with in_turn(("rules", "draws"), QUIET, out) as steps_shown:
        assert steps_shown == [None, None]
    assert out.getvalue() == ""


def test_nothing_is_counted_where_nobody_looks() -> None:
    out = StringIO()
    with shown("records", QUIET, out) as progress:
        assert progress is None
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        (Terminal(), "\r\x1b[Krecords: 100, 50 a second\n"),
        (StringIO(), "records: 100, 50 a second\n"),
    ],
)
def test_what_is_said_after_an_interruption_begins_its_own_line(
    out: StringIO, expected: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupted(out, iter([0, 2]))
    assert out.getvalue() == expected


def interrupted(out: StringIO, stopwatch: Iterator[float]) -> None:
    with shown("records", ALWAYS, out, lambda: next(stopwatch)) as progress:
        assert progress is not None
        progress(100, None)
        raise KeyboardInterrupt


def test_progress_goes_to_standard_error_alone(capsys: pytest.CaptureFixture[str]) -> None:
    stopwatch = iter([0, 2])
    with shown("records", ALWAYS, now=lambda: next(stopwatch, 4)) as progress:
        assert progress is not None
        progress(100, None)
    assert capsys.readouterr() == (
        "",
        "records: 100, 50 a second\nrecords: 100 in 4 s, 25 a second\n",
    )


def test_parts_tell_how_far_the_whole_is() -> None:
    told = Told()
    for progress, size in zip(parts(told, [2, 1]), [2, 1], strict=True):
        assert list(counted("ab"[:size], progress, size)) == list("ab"[:size])
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert parts(None, [2, 1]) == [None, None]


def test_a_step_in_sets_tells_its_rows_after_each_stage() -> None:
    told = Told()
    through = stages(told, 3, 20)
    for stage in (1, 2):
        next(through)
        assert told[-1] == (20 * stage, 60)
    next(stages(None, 3, 20))
    next(stages(told, 3, 0))
    assert told == [(20, 60), (40, 60)]


def test_import_tells_the_records_of_each_batch(app: psycopg.Connection) -> None:
    office, told = open_office(app), Told()
    records = (record(str(number), members=[LAYLA]) for number in range(BATCH_RECORDS + 3))
    origin = Origin("cva_registration", "march.json", bytes(32), TYPES)
    take(app, VAULT, origin, records, (office.amal, AT), told)
    assert told == [(BATCH_RECORDS, None), (BATCH_RECORDS + 3, None)]


def test_file_is_made_and_imported_with_its_counts(
    database: Database, app: psycopg.Connection, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    made, told, again = Told(), Told(), Told()
    truth = write_population(tmp_path, 40, 7, ON, ExportFormat.JSON_LINES, made)
    assert (len(made), made[0], made[-1]) == (truth.submissions, (1, 40), (40, 40))

    monkeypatch.setattr(importing, "BATCH_RECORDS", 30)
    office = open_office(app)
    path = tmp_path / "registrations.jsonl"
    engine, clock = database.engine(), FixedClock(AT)
    summary = import_file(engine, VAULT, clock, office.amal, path, progress=told)
    assert told == [(30, summary.records), (summary.records, summary.records)]

    assert import_file(engine, VAULT, clock, office.amal, path, progress=again).repeated
    assert again == []
    assert capsys.readouterr() == ("", "")


def test_sending_tells_the_lines_of_its_files(database: Database, tmp_path: Path) -> None:
    agency = agency_with(database, tmp_path, "card_processor", many(3))
    plan = agency.released(agency.prepare())
    told, rendered = Told(), Told()
    with transaction(agency.engine) as conn:
        (file,) = sending._open_files(conn, plan.plan_id)
        loaded = planning.load(conn, plan.plan_id)
        path = tmp_path / "rendered"
        sending.render(conn, AGENCY_VAULT, agency.provider, loaded, file, path, rendered)
    sending.send(
        agency.engine, AGENCY_VAULT, agency.provider, plan.plan_id,
        person_id=agency.id_of("deniz"), clock=agency.clock, spool=agency.spool, progress=told,
    )  # fmt: skip
    assert rendered == told == [(1, 3), (2, 3), (3, 3)]


def test_answer_on_standard_output_stays_whole(environment: dict[str, str], tmp_path: Path) -> None:
    def said(**more: str) -> tuple[bytes, Iterable[bytes]]:
        done = subprocess.run(
            [Path(sys.executable).parent / "cva", "simulate", "population", tmp_path / "people",
             "--households", "300", "--on", "2026-03-01", "--format", "json"],
            env={**environment, **more}, check=True, capture_output=True,
        )  # fmt: skip
        return done.stdout, done.stderr.splitlines()

    quiet, nothing = said()
    answer, lines = said(CVA_PROGRESS="always")
    assert nothing == []
    assert answer == quiet
    assert all(one.startswith(b"households: ") for one in lines)
