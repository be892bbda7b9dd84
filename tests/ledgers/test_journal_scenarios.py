"""Every event of the journal, as an accountant would write it down, on a real database."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from cva.database.cluster import Cluster
from ledgers.events import events
from ledgers.journal import plan
from ledgers.recording import Occasion, record_planned
from tests.databases import fresh_database
from tests.ledgers.stories import DAY, FOLDER, Row, Stage, facts_of, read

FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.fixture(scope="module")
def connection(cluster: Cluster, template: str) -> Iterator[psycopg.Connection]:
    for database in fresh_database(cluster, template):
        yield database.connect()


@pytest.fixture
def stage(connection: psycopg.Connection) -> Iterator[Stage]:
    yield Stage(connection)
    connection.rollback()


def in_order(rows: list[Row]) -> list[tuple[str, ...]]:
    return sorted(tuple(row.values()) for row in rows)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_event_is_booked_as_the_accountant_says(path: Path, stage: Stage) -> None:
    story = read(path)
    stage.give(story.given, story.wallets)
    for earlier in story.before:
        stage.play(earlier["event"], earlier["facts"], story.contract)
    newest = stage.newest()
    stage.play(story.event, story.facts, story.contract)
    booked = stage.postings_since(newest)
    assert in_order(booked) == in_order(story.postings)
    touched = sorted({row["account"] for row in booked})
    codes = [row["account"] for row in story.balances]
    assert set(touched) <= set(codes)
    assert stage.balances_of(codes) == story.balances
    stage.conn.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_event_told_twice_is_booked_once(path: Path, stage: Stage) -> None:
    story = read(path)
    stage.give(story.given, story.wallets)
    for earlier in story.before:
        stage.play(earlier["event"], earlier["facts"], story.contract)
    planned = plan(story.event, facts_of(story.facts), story.contract)
    occasion = Occasion(DAY, DAY, "Deniz", "as told")
    record_planned(stage.conn, planned, occasion, stage.new_ref)
    newest = stage.newest()
    again = record_planned(stage.conn, planned, occasion, stage.new_ref)
    assert [written.already for written in again] == [True] * len(planned)
    assert stage.newest() == newest


def test_every_event_and_every_number_has_a_scenario() -> None:
    stories = [read(path) for path in FILES]
    assert {story.event for story in stories} == set(events())
    numbers = {number for event in events().values() for number in event.numbers}
    assert {story.number for story in stories} == numbers
    for story in stories:
        assert story.number in events()[story.event].numbers, story.title
