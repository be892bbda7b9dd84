"""Errors that the database raises on purpose become the refusals they name."""

from decimal import Decimal

import psycopg
import pytest

from ledgers.entries import ACCOUNT_LIMIT
from ledgers.problems import Problem, Refusal
from ledgers.refusals import refusal_of, refusals
from tests.databases import Database

LIMIT = Problem("test_limit", "{account} is limited to {limit}.", "Ask for less.")
RAISE = "DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{}', MESSAGE = '{}', DETAIL = '{}'; END $$"


@pytest.fixture
def connection(bare: Database) -> psycopg.Connection:
    return bare.connect()


def test_a_refusal_of_the_database_carries_its_facts(connection: psycopg.Connection) -> None:
    with pytest.raises(Refusal) as refused, refusals():
        connection.execute(
            RAISE.format("CV001", "test_limit", '{"account": "cash", "limit": 1.10}')
        )
    assert refused.value.problem == LIMIT
    assert refused.value.facts == {"account": "cash", "limit": Decimal("1.10")}


@pytest.mark.parametrize(("state", "code"), [("CV001", "not_designed"), ("CV002", "test_limit")])
def test_any_other_error_stays_what_it_is(
    connection: psycopg.Connection, state: str, code: str
) -> None:
    with pytest.raises(psycopg.DatabaseError) as raised, refusals():
        connection.execute(RAISE.format(state, code, "{}"))
    assert raised.value.sqlstate == state
    assert refusal_of(raised.value) is None
    assert refusal_of(ValueError("something else")) is None


def test_an_amount_is_said_as_money_and_stays_a_fact(connection: psycopg.Connection) -> None:
    facts = '{"account": "1110.HALK.TRY", "short_minor": 990450000, "currency": "TRY"}'
    with pytest.raises(Refusal) as refused, refusals():
        connection.execute(RAISE.format("CV001", "account_limit", facts))
    assert refused.value.problem is ACCOUNT_LIMIT
    assert refused.value.sentence == (
        "The account 1110.HALK.TRY would be 9,904,500.00 TRY below zero."
    )
    assert refused.value.facts["short_minor"] == 990450000
