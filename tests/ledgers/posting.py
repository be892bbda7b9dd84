"""A writer that can be killed: it posts a list of entries and says, line by line, what it was told.

What it posts depends on nothing but its number of rounds, so that it can be started again after it
was killed, or its server was, and has to end as if nothing had happened.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg

from ledgers.entries import EntryHead, Leg, record
from ledgers.expiry import expire
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.transfers import hold, settle, transfer
from tests.ledgers.conftest import BANK, FLOAT, MARCH, Books, leg, values

ROUNDS = 12
GONE = "gone"


def posts(conn: psycopg.Connection) -> Iterator[tuple[str, object]]:
    """The entries: a key and what records it. Every fifth is above what the float has."""
    books = Books(conn)
    for turn in range(ROUNDS):
        refs = [f"T{turn}-{n}" for n in range(20)]
        yield (
            f"hold {turn}",
            lambda head, r=refs: hold(conn, head, books.lines(dict.fromkeys(r, 700), until=MARCH)),
        )
        paid = [(ref, 0 if n % 5 == 0 else 700 - n) for n, ref in enumerate(refs[:15])]
        yield f"settle {turn}", lambda head, p=paid: settle(conn, head, values(p, "text bigint"))
        yield f"above {turn}", lambda head, t=turn: hold(conn, head, books.lines({f"A{t}": 10**9}))
        yield f"fund {turn}", lambda head: record(conn, head, _funding())
        yield (
            f"single {turn}",
            lambda head, t=turn: transfer(conn, head, books.lines({f"S{t}": 300 + t})),
        )
    yield "expire", lambda head: expire(conn, head)


def _funding() -> list[Leg]:
    return [leg(FLOAT, 1_000), leg(BANK, -1_000)]


def head_of(number: int, key: str) -> EntryHead:
    # Entries after the terms of the holds: only the last one is.
    on = MARCH.replace(day=MARCH.day + 1) if key == "expire" else MARCH
    return EntryHead(f"je_{number:026d}", key, "event", on, "Deniz", "said", recorded_on=on)


def post_all(address: str, answers: Path, first: int) -> None:
    """Post every entry in a transaction of its own; write down each answer once it is one."""
    out = os.open(answers, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        with psycopg.connect(address) as conn:
            for number, (key, act) in enumerate(posts(conn), start=first):
                os.write(out, f"{key}: {_answer(conn, act, head_of(number, key))}\n".encode())
    except psycopg.OperationalError:
        os.write(out, f"-: {GONE}\n".encode())


def _answer(conn: psycopg.Connection, act: object, head: EntryHead) -> str:
    assert callable(act)
    try:
        with refusals():
            act(head)
    except Refusal as refusal:
        conn.rollback()
        return refusal.problem.code
    conn.commit()
    return "done"
