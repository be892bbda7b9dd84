"""Acts: the same request gets the same answer, one at a time, and is recorded once."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from cva import acts
from cva.database.cluster import Role
from cva.database.connect import transaction
from ledgers.problems import Refusal
from ledgers.refusals import refusal_of
from tests.databases import Database

AT = datetime(2026, 3, 5, 9, tzinfo=UTC)
AMAL = "per_01kjykkbm00000000000000000"
BODY = {"cycle": "2026-03", "lines": [1, 2], "parent": None}


def prepare(conn: psycopg.Connection, key: str, body: dict[str, object], plan: str) -> str:
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return str(earlier["plan"])
    acts.record(
        conn, key=key, verb="prepare", object_id=plan, body=body, person_id=AMAL, at=AT,
        answer={"plan": plan},
    )  # fmt: skip
    return plan


def test_same_key_and_body_gets_the_same_answer(app: psycopg.Connection) -> None:
    assert prepare(app, "k1", BODY, "plan_1") == "plan_1"
    reordered = dict(reversed(BODY.items()))
    assert prepare(app, "k1", reordered, "plan_2") == "plan_1"
    rows = app.execute("SELECT key, verb, object_id, answer, person_id, at FROM ops.act").fetchall()
    assert rows == [("k1", "prepare", "plan_1", {"plan": "plan_1"}, AMAL, AT)]


def test_same_key_with_another_body_is_refused(app: psycopg.Connection) -> None:
    prepare(app, "k1", BODY, "plan_1")
    with pytest.raises(Refusal, match="act_key_used_differently"):
        prepare(app, "k1", {**BODY, "lines": [1]}, "plan_2")


def test_rolled_back_act_was_not_done(app: psycopg.Connection) -> None:
    prepare(app, "k1", BODY, "plan_1")
    app.rollback()
    assert prepare(app, "k1", BODY, "plan_2") == "plan_2"


def test_body_with_a_float_is_a_bug() -> None:
    with pytest.raises(TypeError):
        acts.body_hash({"amounts": [{"minor": 0.1}]})


def test_two_callers_with_one_key_get_one_answer(app: psycopg.Connection, database: Any) -> None:
    second = database.connect()
    answers: list[str] = []

    def call() -> None:
        answers.append(prepare(second, "k1", BODY, "plan_2"))
        second.commit()

    assert prepare(app, "k1", BODY, "plan_1") == "plan_1"
    waiting = threading.Thread(target=call)
    waiting.start()
    watcher = database.connect()
    watcher.autocommit = True
    while not watcher.execute(
        "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'",
        (second.info.backend_pid,),
    ).rowcount:
        assert waiting.is_alive()
    app.commit()
    waiting.join()
    assert answers == ["plan_1"]


def act_at(conn: psycopg.Connection, at: datetime) -> None:
    acts.record(
        conn, key=f"at {at}", verb="look", object_id="hh", body={}, person_id=AMAL, at=at, answer={}
    )


def test_an_act_before_the_newest_one_is_refused(database: Database) -> None:
    engine = database.engine()
    with transaction(engine) as conn:
        act_at(conn, AT)
    with transaction(engine) as conn:
        act_at(conn, AT - timedelta(minutes=4))
    with (
        pytest.raises(Refusal, match=r"clock_set_back: The clock says 2026-03-05 08:54 UTC, and"
                      r" something was done at 2026-03-05 09:00 UTC already"),
        transaction(engine) as conn,
    ):  # fmt: skip
        act_at(conn, AT - timedelta(minutes=6))
    with transaction(engine) as conn:
        act_at(conn, AT + timedelta(minutes=1))


def test_a_long_transaction_is_no_clock_set_back(database: Database) -> None:
    superuser, long = database.connect(Role.SUPERUSER), database.engine()
    with transaction(long) as conn:
        conn.execute("SELECT")
        # The server's own clock is all that can be asked how long a transaction has been running.
        row = conn.execute("SELECT clock_timestamp() - transaction_timestamp()").fetchone()
        assert row is not None
        act_at(superuser, AT + timedelta(minutes=5) + row[0] / 2)
        superuser.commit()
        act_at(conn, AT)


def test_acts_are_permanent(app: psycopg.Connection, owner: psycopg.Connection) -> None:
    prepare(app, "k1", BODY, "plan_1")
    app.commit()
    with pytest.raises(psycopg.Error, match="append_only"):
        owner.execute("DELETE FROM ops.act")


def test_clock_set_back_is_refused_by_the_database(app: psycopg.Connection) -> None:
    prepare(app, "k1", BODY, "plan_1")
    app.commit()
    with pytest.raises(psycopg.Error) as refused:
        acts.record(
            app, key="k2", verb="prepare", object_id="plan_2", body=BODY, person_id=AMAL,
            at=AT - timedelta(hours=1), answer={},
        )  # fmt: skip
    app.rollback()
    refusal = refusal_of(refused.value)
    assert refusal is not None
    assert refusal.problem.code == "clock_set_back"
    acts.record(
        app, key="k2", verb="prepare", object_id="plan_2", body=BODY, person_id=AMAL,
        at=AT - timedelta(minutes=4), answer={},
    )  # fmt: skip
