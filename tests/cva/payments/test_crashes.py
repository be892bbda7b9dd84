"""kill -9 at any point: the same commands again come to the same end, and nobody is paid twice."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from cva.database.cluster import Cluster, Role
from cva.payments.planning import Plan
from tests.cva.payments.agency import Agency, agency_with
from tests.cva.payments.conftest import HOUSES
from tests.cva.payments.killed import POINTS
from tests.databases import ROOT, Database, fresh_database

State = dict[str, object]


def play(agency: Agency, plan: Plan) -> None:
    """What people type until nothing is unknown any more; typed again it changes nothing."""
    with agency.processor() as far:
        agency.release(plan)
        agency.send(plan)
        far.run_once()
        agency.collect()
        agency.settle(plan)
        agency.inquire(plan)
        far.run_once()
        agency.collect()
        agency.settle(plan)


def state_of(agency: Agency) -> State:
    """Everything that counts, by names instead of identifiers and without moments."""
    said = agency.rows(
        "SELECT l.household_id, o.outcome, o.evidence, o.amount_minor, o.reason_code"
        " FROM payments.observation o JOIN payments.line l USING (plan_id, line_no)"
        " WHERE o.document_id IS NOT NULL"
    )
    with sqlite3.connect(agency.folder / "cards.sqlite") as far:
        loads = far.execute(
            "SELECT card_ref, asked_minor, loaded_minor, code FROM loads"
        ).fetchall()
    far.close()
    return {
        "lines": agency.lines(),
        "outcomes": agency.rows(
            "SELECT line_no, step, kind, amount_minor, delivered_on FROM payments.outcome"
            " ORDER BY line_no, step"
        ),
        "trial balance": agency.trial_balance(),
        "transfers": agency.rows(
            "SELECT phase, amount_minor, right(instruction_ref, 7) FROM books.transfer"
            " ORDER BY 1, 3"
        ),
        "files": agency.rows(
            "SELECT part, generation, right(message_id, 5), control_count FROM payments.file"
        ),
        "said": Counter((agency.names[household_id], *rest) for household_id, *rest in set(said)),
        "loads at the processor": sorted(loads),
        "spool": list(agency.spool.iterdir()),
    }


@pytest.fixture(scope="module")
def undisturbed(
    cluster: Cluster, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[State]:
    for database in fresh_database(cluster, template):
        agency = agency_with(database, tmp_path_factory.mktemp("calm"), "card_processor", HOUSES)
        play(agency, agency.approved(agency.prepare()))
        yield state_of(agency)


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_ends_as_if_nothing_had_happened(
    undisturbed: State, database: Database, tmp_path: Path, point: str
) -> None:
    agency = agency_with(database, tmp_path, "card_processor", HOUSES)
    plan = agency.approved(agency.prepare())

    kill_at(point, agency, plan)

    agency.clock.moment = agency.clock.now().replace(hour=9)  # somebody comes back to it later
    play(agency, plan)
    assert state_of(agency) == undisturbed
    agency.check_money()


def test_between_hand_over_and_answer_the_lines_are_unknown(
    database: Database, tmp_path: Path
) -> None:
    agency = agency_with(database, tmp_path, "card_processor", HOUSES)
    plan = agency.approved(agency.prepare())

    kill_at("after the hand-over", agency, plan)

    assert set(agency.states().values()) == {"unknown", "stopped"}
    assert list(agency.spool.iterdir()) != []  # what was rendered lies there, closed to others
    assert agency.inquire(plan) == 0  # the file may be on its way: it is sent again, not asked for
    (sent,) = agency.send(plan)
    assert (sent.outcome, sent.detail) == ("accepted", "already handed over")
    assert set(agency.states().values()) == {"pending", "stopped"}
    assert list(agency.spool.iterdir()) == []


def kill_at(point: str, agency: Agency, plan: Plan) -> None:
    arguments = [agency.database.address(Role.APP), str(agency.folder), plan.plan_id, point]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.cva.payments.killed", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "here\n"
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
