"""Jobs: seen while they run, cancelled by who may, never the reason that work is lost."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import psycopg
import pytest

from adapters.port import Channel, Document, Receipt
from cva import jobs
from cva.cli import jobs as commands
from cva.cli.output import Shape
from cva.database.cluster import Role
from cva.database.connect import transaction
from cva.jobs import Work, running
from cva.payments import releasing, sending
from cva.progress import Progress
from ledgers.problems import Refusal
from tests.cva.payments.agency import VAULT, Agency, agency_with, many
from tests.databases import Database

SETTLE = Work("settle", "plan_1", "lines", "cva payments settle plan_1", "deniz")
UNCUT = replace(SETTLE, may_be_cut=False)


@pytest.fixture
def agency(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agency:
    monkeypatch.setattr(jobs, "SECONDS_BETWEEN", 0.2)  # psycopg hears every 0.1 s
    return agency_with(database, tmp_path, "card_processor", many(3))


def others(agency: Agency) -> Agency:
    """The same agency at another desk: with connections of its own."""
    return Agency(agency.database, agency.folder, agency.kind)


def states(agency: Agency) -> list[tuple]:
    return others(agency).rows(
        "SELECT j.verb, j.object_id, p.login, j.state, j.done, j.total FROM ops.job_state j"
        " LEFT JOIN staff.person p USING (person_id) ORDER BY job_id"
    )


def seen(agency: Agency, expected: list[tuple]) -> bool:
    """Wait until others see that; the counts are told once in a while."""
    return any(states(agency) == expected for _ in range(1_000))


def cancel(agency: Agency, by: str = "deniz") -> None:
    desk = others(agency)
    job = desk.one("SELECT max(job_id) FROM ops.job")
    with transaction(desk.engine) as conn:
        jobs.cancel(conn, str(job), person_id=agency.id_of(by), at=agency.clock.now())


def test_others_see_how_far_a_job_is_while_its_own_work_is_not_committed(agency: Agency) -> None:
    with running(agency.engine, SETTLE, agency.clock) as progress:
        assert seen(agency, [("settle", "plan_1", "deniz", "running", 0, None)])
        with transaction(agency.engine) as conn:
            conn.execute("CREATE TEMPORARY TABLE half_done ()")
            progress(7, 20)
            assert seen(agency, [("settle", "plan_1", "deniz", "running", 7, 20)])
    assert states(agency) == [("settle", "plan_1", "deniz", "done", 7, 20)]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (sending.PLAN_NOT_RELEASED.refusal(plan="plan_1"), "refused"),
        (KeyboardInterrupt(), "interrupted"),
        (ZeroDivisionError(), "failed"),
    ],
)
def test_a_job_ends_as_its_work_ends(agency: Agency, error: BaseException, outcome: str) -> None:
    def work(progress: Progress) -> None:
        progress(3, None)
        raise error

    with (
        pytest.raises(type(error)),
        running(agency.engine, SETTLE, agency.clock) as progress,
    ):
        work(progress)
    assert states(agency) == [("settle", "plan_1", "deniz", outcome, 3, None)]


def test_whoever_shows_the_counts_is_told_them_too(agency: Agency) -> None:
    told: list[tuple[int, int | None]] = []
    with running(
        agency.engine, SETTLE, agency.clock, lambda *counts: told.append(counts)
    ) as progress:
        progress(1, 2)
        progress(2, 2)
    assert told == [(1, 2), (2, 2)]


def sleeping(agency: Agency) -> None:
    with running(agency.engine, SETTLE, agency.clock), transaction(agency.engine) as conn:
        conn.execute("CREATE TABLE pg_temp.half_done ()")
        cancel(agency, "kerem")
        conn.execute("SELECT pg_sleep(600)")


def test_a_job_is_cancelled_in_the_middle_of_a_statement(agency: Agency) -> None:
    usual = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(
        Refusal, match=r"cancelled by kerem at 2026-03-02 09:\d\d; nothing was chan"
    ):
        sleeping(agency)
    assert states(agency) == [("settle", "plan_1", "deniz", "cancelled", 0, None)]
    assert signal.getsignal(signal.SIGUSR1) is usual
    assert others(agency).rows(
        "SELECT a.verb, p.login FROM ops.act a JOIN staff.person p USING (person_id)"
        " WHERE object_id LIKE 'job_%%'"
    ) == [("cancel_job", "kerem")]


def asked_to_stop(agency: Agency, *logins: str) -> None:
    with running(agency.engine, UNCUT, agency.clock) as progress:
        for login in logins:
            cancel(agency, login)
        while progress.asked is None:
            pass
        progress(1, 2)


def test_a_job_that_may_not_be_cut_stops_where_it_tells_its_counts(agency: Agency) -> None:
    with pytest.raises(Refusal, match="job_cancelled"):
        asked_to_stop(agency, "deniz")
    assert states(agency) == [("settle", "plan_1", "deniz", "cancelled", 1, 2)]


def test_a_cancellation_that_comes_after_the_commit_comes_too_late(agency: Agency) -> None:
    with running(agency.engine, SETTLE, agency.clock) as progress:
        agency.grant("sam", "finance")
        cancel(agency)
        while progress.asked is None:
            pass
    assert states(agency) == [("settle", "plan_1", "deniz", "done", 0, None)]


@dataclass
class CancelledOnTheWay:
    """A channel on which somebody cancels while the first file is on its way."""

    channel: Channel
    agency: Agency
    progress: Progress
    names: list[str] = field(default_factory=list)

    def hand_over(self, name: str, path: Path, sha256: str) -> Receipt:
        if not self.names:
            cancel(self.agency)
            while self.progress.asked is None:
                pass
        self.names.append(name)
        return self.channel.hand_over(name, path, sha256)

    def collect(self) -> Iterator[Document]:
        return self.channel.collect()


def cancelled_send(agency: Agency, plan_id: str) -> None:
    work = replace(UNCUT, verb="send", object_id=plan_id)
    with running(agency.engine, work, agency.clock) as progress:
        far = CancelledOnTheWay(agency.provider.channel, agency, progress)
        sending.send(
            agency.engine, VAULT, replace(agency.provider, channel=far), plan_id,
            person_id=agency.id_of("deniz"), clock=agency.clock, spool=agency.spool,
            progress=progress,
        )  # fmt: skip


def test_a_cancelled_send_keeps_what_it_handed_over(
    agency: Agency, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "LINES_PER_FILE", 2)
    plan = agency.released(agency.prepare())
    with pytest.raises(Refusal, match="what it had finished is kept"):
        cancelled_send(agency, plan.plan_id)
    assert len(list((agency.folder / "to-cards").iterdir())) == 1
    assert agency.rows("SELECT outcome FROM payments.handover_answer") == [("accepted",)]
    assert list(agency.spool.iterdir()) == []

    (other,) = agency.send(plan)
    assert (other.control_count, other.outcome) == (1, "accepted")
    agency.check_money()


@pytest.mark.parametrize("login", ["omar", "amal", "ines", "sam"])
def test_a_job_is_not_cancelled_by_others(agency: Agency, login: str) -> None:
    with (
        running(agency.engine, SETTLE, agency.clock),
        pytest.raises(Refusal, match="role_missing"),
    ):
        cancel(agency, login)
    assert states(agency) == [("settle", "plan_1", "deniz", "done", 0, None)]


def test_a_job_is_cancelled_by_who_runs_it_or_an_administrator_once(agency: Agency) -> None:
    with pytest.raises(Refusal, match="cancelled by kerem"):
        asked_to_stop(agency, "kerem", "deniz", "kerem")
    assert others(agency).one("SELECT count(*) FROM ops.act WHERE verb = 'cancel_job'") == 1


def test_what_does_not_run_is_not_cancelled(agency: Agency) -> None:
    with transaction(agency.engine) as conn, pytest.raises(Refusal, match="job_not_found"):
        jobs.cancel(conn, "job_", person_id=agency.id_of("deniz"), at=agency.clock.now())
    with running(agency.engine, SETTLE, agency.clock):
        pass
    with pytest.raises(Refusal, match=r"job_has_ended: .* it is done"):
        cancel(agency)


def test_a_job_whose_process_went_is_gone_and_leaves_the_command(
    agency: Agency, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises(Refusal, match="database_gone"):
        killed(agency)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    commands.list_jobs(every=False, shape=Shape.JSON)
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["state"], listed["done"], listed["left"], listed["again"]) == (
        "gone", 5, "", "cva payments settle plan_1",
    )  # fmt: skip

    with pytest.raises(Refusal, match=r"job_has_ended: .* it is gone"):
        cancel(agency)
    with running(agency.engine, SETTLE, agency.clock):
        pass
    commands.list_jobs(every=False, shape=Shape.IDS)
    assert capsys.readouterr().out == ""
    commands.list_jobs(every=True, shape=Shape.IDS)
    assert len(capsys.readouterr().out.splitlines()) == 2


def killed(agency: Agency) -> None:
    """A job whose connections the server loses, as it does those of a process that is killed."""
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with running(agency.engine, SETTLE, agency.clock) as progress:
        progress(5, 20)
        assert seen(agency, [("settle", "plan_1", "deniz", "running", 5, 20)])
        with transaction(agency.engine) as conn:
            with psycopg.connect(
                agency.database.address(Role.SUPERUSER), autocommit=True
            ) as server:
                server.execute(others)
            conn.execute("SELECT")


def test_a_database_that_knows_no_jobs_lets_work_run_unseen(bare: Database, agency: Agency) -> None:
    with running(bare.engine(), SETTLE, agency.clock) as progress:
        progress(1, 2)


def test_the_application_rewrites_no_job(agency: Agency) -> None:
    with running(agency.engine, SETTLE, agency.clock):
        pass
    for statement in (
        "UPDATE ops.job SET command = ''",
        "UPDATE ops.job_progress SET job_id = ''",
        "DELETE FROM ops.job_end",
        "DELETE FROM ops.job_progress",
    ):
        with pytest.raises(Refusal, match="database_not_permitted"):
            agency.raw(statement)
