"""The bytes of a leaf: the same in Python as in the database, for every value a row can hold."""

from datetime import UTC, date, datetime

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledgers.transparency import leaves, tree
from ledgers.transparency.encoding import (
    ENTRY,
    LEG,
    TRANSFER,
    Kind,
    Shape,
    decode,
    decode_legs,
    encode,
    encode_legs,
)
from tests.ledgers.conftest import BANK, CASH, FLOAT, GRANT

TYPES = {
    Kind.BOOL: "boolean", Kind.BYTES: "bytea", Kind.INT8: "bigint", Kind.INT4: "integer",
    Kind.TEXT: "text", Kind.DATE: "date", Kind.MOMENT: "timestamptz",
}  # fmt: skip
WORDS = ["", "أمل", "İstanbul ığüşöç", "🧕🏽👨‍👩‍👧", "a|b\n\t'\"\\", "\x01", "𝄞", "x" * 300]
TEXT = st.one_of(
    st.sampled_from(WORDS),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)
VALUES = {
    Kind.BOOL: st.booleans(),
    Kind.BYTES: st.binary(max_size=40),
    Kind.INT8: st.one_of(
        st.sampled_from([-(2**63), 2**63 - 1, 0, -1]), st.integers(-(2**63), 2**63 - 1)
    ),
    Kind.INT4: st.integers(-(2**31), 2**31 - 1),
    Kind.TEXT: TEXT,
    Kind.DATE: st.dates(),
    Kind.MOMENT: st.datetimes(
        datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)  # noqa: DTZ001 - its zone is given beside it
    ),
}  # fmt: skip


def rows_of(shape: Shape) -> st.SearchStrategy[dict]:
    return st.fixed_dictionaries(
        {name: st.one_of(st.none(), VALUES[kind]) for name, kind in shape.fields.items()}
    )


@pytest.mark.parametrize("shape", [ENTRY, LEG, TRANSFER], ids=lambda shape: shape.name)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_bytes_are_those_of_the_database(
    app: psycopg.Connection, shape: Shape, data: st.DataObject
) -> None:
    row = data.draw(rows_of(shape))
    marks = ", ".join(f"%s::{TYPES[kind]}" for kind in (Kind.TEXT, *shape.fields.values()))
    sent = app.execute(
        f"SELECT record_send(ROW({marks}))", [shape.name, *(row[name] for name in shape.fields)]
    ).fetchone()
    assert sent is not None
    assert sent[0] == encode(shape, row)
    assert decode(sent[0]) == (shape, row)


@given(st.lists(rows_of(LEG), max_size=4))
def test_legs_come_back(legs: list[dict]) -> None:
    assert decode_legs(encode_legs(legs)) == legs


@given(rows_of(TRANSFER), st.data())
def test_every_field_is_in_the_bytes(row: dict, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(row)))
    other = data.draw(
        st.one_of(st.none(), VALUES[TRANSFER.fields[name]]).filter(lambda value: value != row[name])
    )
    assert encode(TRANSFER, row) != encode(TRANSFER, {**row, name: other})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: raw[:0],
        lambda raw: raw[:2],
        lambda raw: bytes(4) + raw[:0],
        lambda raw: raw.replace(b"cva.leg.v1", b"cva.leg.v9"),
        lambda raw: raw.replace((20).to_bytes(4), (23).to_bytes(4)),
        lambda raw: raw.replace((10).to_bytes(4), (999).to_bytes(4)),
    ],
)
def test_what_is_no_leaf_is_refused(spoil) -> None:  # noqa: ANN001 - a lambda
    leg = dict.fromkeys(LEG.fields, None) | {"amount_minor": 7}
    with pytest.raises(ValueError, match=r"leaf|unpack|Kind|buffer"):
        decode(spoil(encode(LEG, leg)))


def test_legs_are_legs() -> None:
    raw = encode(TRANSFER, dict.fromkeys(TRANSFER.fields, None))
    with pytest.raises(ValueError, match="something else"):
        decode_legs(len(raw).to_bytes(4) + raw)


TRANSFER_ROW = st.fixed_dictionaries(
    {
        "amount_minor": st.integers(1, 2**63 - 1),
        "currency": st.sampled_from(["TRY", "USD"]),
        "grant_code": TEXT,
        **{
            name: st.one_of(st.none(), TEXT)
            for name in ("programme_id", "cycle_id", "provider", "location")
        },
        "wallet": st.sampled_from([None, "wal_ا", "wal_2"]),
    }
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.usefixtures("books")
@given(rows=st.lists(TRANSFER_ROW, min_size=1, max_size=6), day=st.dates(), words=TEXT)
def test_sealed_leaves_are_the_rows(
    owner: psycopg.Connection, rows: list[dict], day: date, words: str
) -> None:
    owner.rollback()
    numbers = dict(owner.execute("SELECT code, account_id FROM books.account").fetchall())
    for table in ("entry", "leg", "transfer"):  # whatever a row can hold, sensible or not
        owner.execute(f"ALTER TABLE books.{table} DISABLE TRIGGER USER")
    wallets = {
        reference: owner.execute(
            "INSERT INTO books.wallet (wallet_ref, provider, opened_on) VALUES (%s, 'HALK', %s)"
            " RETURNING wallet_id", [reference, day],
        ).fetchone()[0]
        for reference in ("wal_ا", "wal_2")
    }  # fmt: skip
    entry_id, recorded_at = owner.execute(
        "INSERT INTO books.entry (entry_ref, key, body_hash, event, effective_on, recorded_on,"
        " recorded_by, reason, corrects) SELECT 'je_' || repeat('7', 26), %s, sha256(''), %s, %s,"
        " %s, 'Deniz', %s, min(entry_id) FROM books.entry RETURNING entry_id, recorded_at",
        ["k" + words, "e" + words, day, day, "r" + words],
    ).fetchone()
    owner.execute("INSERT INTO books.unsealed VALUES (%s)", [entry_id])
    owner.execute(
        "INSERT INTO books.leg (entry_id, leg_no, account_id, amount_minor, currency, grant_code,"
        " wallet_id) VALUES (%s, 1, %s, 5, 'TRY', %s, %s)",
        [entry_id, numbers[BANK], GRANT, wallets["wal_2"]],
    )
    for number, row in enumerate(rows, 1):
        owner.execute(
            "INSERT INTO books.transfer (entry_id, line_no, phase, debit_account_id,"
            " credit_account_id, wallet_id, amount_minor, currency, grant_code,"
            " programme_id, cycle_id, provider, location) VALUES (%s, %s, 'single', %s, %s, %s, %s,"
            " %s, %s, %s, %s, %s, %s)",
            [entry_id, number, numbers[CASH], numbers[FLOAT], wallets.get(row["wallet"]),
             *(row[name] for name in ("amount_minor", "currency", "grant_code", "programme_id",
                                      "cycle_id", "provider", "location"))],
        )  # fmt: skip
    first = owner.execute("SELECT entry_ref FROM books.entry ORDER BY entry_id").fetchone()[0]
    leg = dict.fromkeys(LEG.fields, None) | {
        "leg_no": 1, "layer": "A", "account": BANK, "wallet": "wal_2", "amount_minor": 5,
        "currency": "TRY", "grant_code": GRANT,
    }  # fmt: skip
    head = {
        "entry_ref": "je_" + "7" * 26, "key": "k" + words,
        "body_hash": tree.EMPTY_ROOT, "event": "e" + words, "effective_on": day,
        "recorded_on": day, "recorded_at": recorded_at, "recorded_by": "Deniz",
        "reason": "r" + words, "adjustment": False, "reverses": None, "corrects": first,
        "leg_count": 1, "transfer_count": len(rows), "legs": encode_legs([leg]),
    }  # fmt: skip
    expected = [encode(ENTRY, head)]
    for number, row in enumerate(rows, 1):
        values = dict.fromkeys(TRANSFER.fields, None) | row | {
            "entry_ref": head["entry_ref"], "line_no": number, "phase": "single",
            "debit_account": CASH, "credit_account": FLOAT,
        }  # fmt: skip
        expected.append(encode(TRANSFER, values))
    owner.execute("SET client_encoding = 'LATIN1'")  # a leaf is UTF-8 whatever the client speaks
    assert owner.execute("SELECT books.seal(ARRAY[%s]::bigint[])", [entry_id]).fetchone() == (
        len(expected),
    )
    owner.execute("SET client_encoding = 'UTF8'")
    assert leaves.encodings(owner, 0, len(expected)) == expected
    root = tree.root_of(tree.leaf_hash(raw) for raw in expected)
    assert owner.execute("SELECT root FROM books.tree").fetchone() == (root,)
    owner.rollback()
