"""A long step cancelled by somebody else, or killed: what is said of it, and that it goes on.

Each step is held up in the middle of one statement, by a lock on a table that it writes or reads.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.canonical import Canonical, differences
from tests.faults.path import SPEAKERS, Played, Site, Step, moment_of

# The table at which a step is held up.
HELD_AT = {
    Step.IMPORT: "registry.import",
    Step.ASSESS: "registry.member",
    Step.PREPARE: "payments.line",
    Step.RELEASE: "payments.file",
    Step.SETTLE: "payments.outcome",
    Step.RECONCILE: "payments.difference",
}


@contextmanager
def held_up(site: Site, table: str) -> Iterator[None]:
    with site.connected() as conn, conn.transaction():
        conn.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield


def wait_until_held_up(site: Site, table: str) -> None:
    waiting = f"SELECT FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted"
    with site.connected() as conn:
        while not conn.execute(waiting).rowcount:
            pass


def listed(site: Site, step: Step, *words: str) -> list[dict[str, object]]:
    out = site.typed(
        SPEAKERS[step], "jobs", "list", *words, "--format", "json", at=moment_of(step, 1)
    )
    return json.loads(out)


def without_acts(state: Canonical) -> Canonical:
    return {table: rows for table, rows in state.items() if table != "ops.act"}


@pytest.mark.parametrize("step", HELD_AT)
def test_a_cancelled_step_keeps_nothing_and_goes_on(played: Played, step: Step) -> None:
    with played.before(step) as site:
        before = site.state()
        with held_up(site, HELD_AT[step]), site.begun(step) as command:
            wait_until_held_up(site, HELD_AT[step])
            (job,) = listed(site, step)
            assert (job["step"], job["by"], job["state"]) == (step, SPEAKERS[step], "running")
            site.typed(SPEAKERS[step], "jobs", "cancel", str(job["job"]), at=moment_of(step, 1))
            ended = command.ended()

        assert (ended.code, ended.refused_with) == (1, "job_cancelled")
        assert f"was cancelled by {SPEAKERS[step]} at 2026-03-05" in ended.err
        assert "nothing was changed" in ended.err
        assert differences(without_acts(site.state()), without_acts(before)) == {}
        assert site.left_over() == []
        assert listed(site, step) == []
        assert [one["state"] for one in listed(site, step, "--all")][-1] == "cancelled"
        assert site.again(step).code == 0
        expected = without_acts(played.ends[step])
        assert differences(without_acts(site.state()), expected) == {}


def test_a_killed_step_is_gone_with_the_command_that_goes_on(played: Played) -> None:
    step = Step.SETTLE
    with played.before(step) as site:
        with held_up(site, HELD_AT[step]), site.begun(step) as command:
            wait_until_held_up(site, HELD_AT[step])
            command.killed_after(0)
        site.let_go()

        (job,) = listed(site, step)
        assert (job["state"], job["again"]) == ("gone", " ".join(["cva", *site.words(step)]))
        assert site.again(step).code == 0
        assert listed(site, step) == []


def test_what_a_killed_command_left_is_removed_by_the_next_one(played: Played) -> None:
    with played.before(Step.SETTLE) as site:
        left = site.work / "tmp4yx1q0oa"
        left.mkdir(mode=0o700)
        (left / "01KJYKKBM00000000000000000.txt").write_text("H|CVA-CARD-1|", encoding="utf-8")

        site.typed("deniz", "payments", "list", site.cycle_id, at=moment_of(Step.SETTLE))

        assert site.left_over() == []


def test_every_long_step_tells_what_it_counted(played: Played) -> None:
    with played.before(Step.CLOSE) as site:
        jobs = site.rows(
            "SELECT verb, counted, done, total, state FROM ops.job_state ORDER BY begun_at, verb"
        )
        ((records, households),) = site.rows(
            "SELECT added + revised + unchanged + refused, (SELECT registered FROM assessment.run)"
            " FROM registry.import"
        )
        ((lines, stopped),) = site.rows("SELECT lines, stopped_lines FROM payments.plan")
        paid = lines - stopped

    assert jobs == [
        ("import", "records", records, records, "done"),
        ("assess", "stages of households", 3 * households, 3 * households, "done"),
        ("prepare", "stages of lines", 5 * lines, 5 * lines, "done"),
        ("release", "stages of lines", 2 * paid, 2 * paid, "done"),
        ("send", "lines", paid, paid, "done"),
        ("collect", "documents", 2, None, "done"),
        ("settle", "stages of lines", 4 * paid, 4 * paid, "done"),
        ("collect", "documents", 2, None, "done"),
        ("settle", "stages of lines", 4 * paid, 4 * paid, "done"),
        ("reconcile", "stages of lines", 2 * lines, 2 * lines, "done"),
    ]
