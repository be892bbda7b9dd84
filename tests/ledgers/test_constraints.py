"""Every constraint of the schema refuses what it is there to refuse, by itself.

`ROWS` has a sound row for each table. A check or a unique key is tried with triggers off, so that
nothing else can refuse first; a foreign key with our own triggers off.
"""

import json

import psycopg
import pytest
from psycopg import errors

from cva.database.cluster import Role
from ledgers.refusals import refusal_of
from tests.databases import Database

MOMENT, DAY, HASH = "2026-03-02T09:00:00Z", "2026-03-02", "\\x" + "ab" * 32
ROWS: dict[str, dict[str, object]] = {
    "account": {
        "account_id": 1, "code": "1010.TRY", "chart_code": "1010", "name": "Bank",
        "class": "asset", "normal_side": "debit", "currency": "TRY", "never_below_zero": False,
        "is_control": False, "stripes": 1, "needs": [], "opened_on": DAY,
    },
    "account_closing": {
        "account_id": 1, "closed_on": DAY, "recorded_at": MOMENT, "recorded_by": "Omar",
        "reason": "unused",
    },
    "wallet": {"wallet_id": 1, "wallet_ref": "w_1", "provider": "HALK", "opened_on": DAY},
    "entry": {
        "entry_id": 1, "entry_ref": "je_" + "1" * 26, "key": "k", "body_hash": HASH, "event": "e",
        "effective_on": DAY, "recorded_on": DAY, "recorded_at": MOMENT, "recorded_by": "Deniz",
        "reason": "said", "adjustment": False, "reverses": 7, "recorded_in": "1",
    },
    "leg": {
        "entry_id": 1, "leg_no": 1, "layer": "A", "account_id": 1, "amount_minor": 5,
        "currency": "TRY", "grant_code": "G",
    },
    "transfer": {
        "entry_id": 1, "line_no": 1, "amount_minor": 5, "debit_account_id": 1,
        "credit_account_id": 2, "phase": "single", "currency": "TRY", "grant_code": "G",
        "instruction_ref": "I1", "item_key": "i1",
    },
    "period_state": {
        "ends_on": DAY, "state": "closed", "recorded_on": "2026-03-03", "recorded_at": MOMENT,
        "recorded_by": "Omar", "reason": "over",
    },
    "balance": {
        "account_id": 1, "stripe": 0, "posted_debit": 0, "posted_credit": 0, "pending_debit": 0,
        "pending_credit": 0, "lent": 0, "version": 0,
    },
    "wallet_balance": {
        "account_id": 1, "wallet_id": 1, "posted_debit": 0, "posted_credit": 0,
        "pending_debit": 0, "pending_credit": 0,
    },
    "day_total": {
        "account_id": 1, "effective_on": DAY, "stripe": 0, "posted_debit": 0, "posted_credit": 0,
    },
    "item_batch": {
        "batch_key": "b", "body_hash": HASH, "entry_id": 1, "items": 2, "recorded": 1,
        "amount_minor": 5, "recorded_by": "Deniz", "recorded_at": MOMENT,
    },
    "item_refusal": {
        "batch_key": "b", "item_no": 1, "item_key": "i", "code": "account_limit", "fact": "",
    },
    "unsealed": {"entry_id": 1},
    "tree": {"tree_size": 2, "root": HASH, "frontier": [HASH], "sealed_at": MOMENT},
    "sealed_entry": {"entry_id": 1, "first_position": 0, "leaves": 2, "tree_size": 2},
    "tree_node": {"level": 8, "index": 0, "hash": HASH},
    "checkpoint": {
        "tree_size": 2, "origin": "agency.example/books", "root": HASH, "vkey": "v",
        "signature": HASH + "ab" * 32, "signed_at": MOMENT,
    },
    "cosignature": {
        "tree_size": 2, "vkey": "v", "signature": HASH + "ab" * 40, "received_at": MOMENT,
    },
    "rate": {
        "rate_id": 1, "source": "TCMB", "base": "USD", "quote": "TRY", "valid_on": DAY,
        "revision": 1, "rate": 41.5, "recorded_at": MOMENT, "recorded_by": "Deniz",
    },
}  # fmt: skip

# A check: what makes the sound row break it.
CHECKS: dict[str, tuple[str, dict[str, object]]] = {
    "account_chart_code_check": ("account", {"chart_code": "101", "code": "101.TRY"}),
    "account_check": ("account", {"code": "1020.TRY"}),
    "account_class_check": ("account", {"class": "other"}),
    "account_code_check": ("account", {"code": "1010.try"}),
    "account_currency_check": ("account", {"currency": "TL1"}),
    "account_name_check": ("account", {"name": ""}),
    "account_needs_check": ("account", {"needs": ["household"]}),
    "account_normal_side_check": ("account", {"normal_side": "left"}),
    "account_stripes_check": ("account", {"stripes": 0}),
    "account_closing_reason_check": ("account_closing", {"reason": ""}),
    "account_closing_recorded_by_check": ("account_closing", {"recorded_by": ""}),
    "wallet_provider_check": ("wallet", {"provider": ""}),
    "wallet_wallet_ref_check": ("wallet", {"wallet_ref": ""}),
    "entry_body_hash_check": ("entry", {"body_hash": "\\xab"}),
    "entry_entry_ref_check": ("entry", {"entry_ref": "je_1"}),
    "entry_event_check": ("entry", {"event": ""}),
    "entry_key_check": ("entry", {"key": ""}),
    "entry_reason_check": ("entry", {"reason": ""}),
    "entry_recorded_by_check": ("entry", {"recorded_by": ""}),
    "leg_amount_minor_check": ("leg", {"amount_minor": 0}),
    "leg_layer_check": ("leg", {"layer": "B"}),
    "leg_leg_no_check": ("leg", {"leg_no": 0}),
    "transfer_amount_minor_check": ("transfer", {"amount_minor": 0}),
    "transfer_check": ("transfer", {"credit_account_id": 1}),
    "transfer_check1": ("transfer", {"phase": "posted"}),
    "transfer_check2": ("transfer", {"held_minor": 5}),
    "transfer_check3": ("transfer", {"phase": "pending", "instruction_ref": None}),
    "transfer_check4": ("transfer", {"expires_on": DAY}),
    "transfer_entry_id_check": ("transfer", {"entry_id": 1 << 39}),
    "transfer_item_key_check": ("transfer", {"item_key": ""}),
    "transfer_line_no_check": ("transfer", {"line_no": 0}),
    "transfer_phase_check": ("transfer", {"phase": "sent"}),
    "period_state_reason_check": ("period_state", {"reason": ""}),
    "period_state_recorded_by_check": ("period_state", {"recorded_by": ""}),
    "period_state_state_check": ("period_state", {"state": "open"}),
    "balance_posted_credit_check": ("balance", {"posted_credit": -1}),
    "balance_posted_debit_check": ("balance", {"posted_debit": -1}),
    "balance_stripe_check": ("balance", {"stripe": -1}),
    "wallet_balance_posted_credit_check": ("wallet_balance", {"posted_credit": -1}),
    "wallet_balance_posted_debit_check": ("wallet_balance", {"posted_debit": -1}),
    "day_total_posted_credit_check": ("day_total", {"posted_credit": -1}),
    "day_total_posted_debit_check": ("day_total", {"posted_debit": -1}),
    "item_batch_amount_minor_check": ("item_batch", {"amount_minor": -1}),
    "item_batch_batch_key_check": ("item_batch", {"batch_key": ""}),
    "item_batch_body_hash_check": ("item_batch", {"body_hash": "\\xab"}),
    "item_batch_check": ("item_batch", {"recorded": 3}),
    "item_batch_check1": ("item_batch", {"recorded": 0}),
    "item_batch_items_check": ("item_batch", {"items": 0, "recorded": 0, "entry_id": None}),
    "item_batch_recorded_by_check": ("item_batch", {"recorded_by": ""}),
    "item_refusal_code_check": ("item_refusal", {"code": ""}),
    "tree_root_check": ("tree", {"root": "\\xab"}),
    "tree_tree_size_check": ("tree", {"tree_size": 0}),
    "sealed_entry_check": ("sealed_entry", {"leaves": 3}),
    "sealed_entry_first_position_check": ("sealed_entry", {"first_position": -1}),
    "sealed_entry_leaves_check": ("sealed_entry", {"leaves": 0}),
    "tree_node_hash_check": ("tree_node", {"hash": "\\xab"}),
    "tree_node_index_check": ("tree_node", {"index": -1}),
    "tree_node_level_check": ("tree_node", {"level": 7}),
    "checkpoint_origin_check": ("checkpoint", {"origin": "two words"}),
    "checkpoint_signature_check": ("checkpoint", {"signature": "\\xab"}),
    "cosignature_signature_check": ("cosignature", {"signature": "\\xab"}),
    "rate_base_check": ("rate", {"base": "usd"}),
    "rate_check": ("rate", {"quote": "USD"}),
    "rate_rate_check": ("rate", {"rate": "NaN"}),
    "rate_recorded_by_check": ("rate", {"recorded_by": ""}),
    "rate_revision_check": ("rate", {"revision": 0}),
    "rate_source_check": ("rate", {"source": ""}),
}

# A key: how the sound row differs from a second one that has the same key.
KEYS: dict[str, tuple[str, dict[str, object]]] = {
    "account_code_key": ("account", {"account_id": 2}),
    "account_pkey": ("account", {"code": "1010.USD"}),
    "account_closing_pkey": ("account_closing", {}),
    "wallet_pkey": ("wallet", {"wallet_ref": "w_2"}),
    "wallet_wallet_ref_key": ("wallet", {"wallet_id": 2}),
    "entry_pkey": ("entry", {"entry_ref": "je_" + "2" * 26, "key": "l", "reverses": 8}),
    "entry_entry_ref_key": ("entry", {"entry_id": 2, "key": "l", "reverses": 8}),
    "entry_key_key": ("entry", {"entry_id": 2, "entry_ref": "je_" + "2" * 26, "reverses": 8}),
    "entry_reverses_key": ("entry", {"entry_id": 2, "entry_ref": "je_" + "2" * 26, "key": "l"}),
    "leg_pkey": ("leg", {}),
    "transfer_pkey": ("transfer", {"item_key": "i2"}),
    "transfer_one_item": ("transfer", {"line_no": 2}),
    "transfer_one_hold": ("transfer", {"line_no": 2, "item_key": "i2", "phase": "pending"}),
    "transfer_one_resolution": (
        "transfer",
        {"line_no": 2, "item_key": "i2", "phase": "posted", "pending_id": 9, "held_minor": 5},
    ),
    "period_state_pkey": ("period_state", {}),
    "balance_pkey": ("balance", {}),
    "wallet_balance_pkey": ("wallet_balance", {}),
    "day_total_pkey": ("day_total", {}),
    "item_batch_pkey": ("item_batch", {"entry_id": 2}),
    "item_batch_entry_id_key": ("item_batch", {"batch_key": "c"}),
    "item_refusal_pkey": ("item_refusal", {}),
    "unsealed_pkey": ("unsealed", {}),
    "tree_pkey": ("tree", {"sealed_at": "2026-03-02T10:00:00Z"}),
    "tree_sealed_at_key": ("tree", {"tree_size": 3}),
    "sealed_entry_pkey": ("sealed_entry", {"first_position": 5, "tree_size": 9}),
    "sealed_entry_first_position_key": ("sealed_entry", {"entry_id": 2}),
    "tree_node_pkey": ("tree_node", {}),
    "checkpoint_pkey": ("checkpoint", {}),
    "cosignature_pkey": ("cosignature", {}),
    "rate_pkey": ("rate", {"source": "ECB"}),
    "rate_source_base_quote_valid_on_revision_key": ("rate", {"rate_id": 2}),
}

# A foreign key: its table.
FOREIGN = {
    "account_closing_account_id_fkey": "account_closing",
    "entry_corrects_fkey": "entry",
    "entry_reverses_fkey": "entry",
    "leg_account_id_fkey": "leg",
    "leg_entry_id_fkey": "leg",
    "balance_account_id_fkey": "balance",
    "day_total_account_id_fkey": "day_total",
    "item_batch_entry_id_fkey": "item_batch",
    "item_refusal_batch_key_fkey": "item_refusal",
    "unsealed_entry_id_fkey": "unsealed",
    "sealed_entry_entry_id_fkey": "sealed_entry",
    "sealed_entry_tree_size_fkey": "sealed_entry",
    "checkpoint_tree_size_fkey": "checkpoint",
    "cosignature_tree_size_fkey": "cosignature",
}


def put(conn: psycopg.Connection, table: str, other: dict[str, object] | None = None) -> None:
    """Put the sound row into its table, differing in `other`."""
    row = ROWS[table] | (other or {})
    columns = ", ".join(row)
    conn.execute(
        f"INSERT INTO books.{table} ({columns}) OVERRIDING SYSTEM VALUE"
        f" SELECT {columns} FROM jsonb_populate_record(NULL::books.{table}, %s)",
        [json.dumps(row)],
    )


@pytest.fixture
def bare_rows(database: Database) -> psycopg.Connection:
    """A connection for which no trigger fires and no foreign key is looked up."""
    conn = database.connect(Role.SUPERUSER)
    conn.execute("SET session_replication_role = replica")
    return conn


@pytest.mark.parametrize("table", ROWS)
def test_sound_row_is_taken(bare_rows: psycopg.Connection, table: str) -> None:
    put(bare_rows, table)


@pytest.mark.parametrize("name", CHECKS)
def test_check_refuses(bare_rows: psycopg.Connection, name: str) -> None:
    table, other = CHECKS[name]
    with pytest.raises(errors.CheckViolation) as refused:
        put(bare_rows, table, other)
    assert refused.value.diag.constraint_name == name


@pytest.mark.parametrize("name", KEYS)
def test_key_is_used_once(bare_rows: psycopg.Connection, name: str) -> None:
    table, other = KEYS[name]
    first = {k: v for k, v in other.items() if k in {"phase", "pending_id", "held_minor"}}
    put(bare_rows, table, first)
    with pytest.raises(errors.UniqueViolation) as refused:
        put(bare_rows, table, other)
    assert refused.value.diag.constraint_name == name


@pytest.mark.parametrize("name", FOREIGN)
def test_reference_has_to_be_there(owner: psycopg.Connection, name: str) -> None:
    table = FOREIGN[name]
    other: dict[str, object] = {"reverses": None} if table == "entry" else {}
    if name == "entry_corrects_fkey":
        other["corrects"] = 10**6
    if name == "entry_reverses_fkey":
        other["reverses"] = 10**6
    owner.execute(f"ALTER TABLE books.{table} DISABLE TRIGGER USER")
    others = [key for key, of in FOREIGN.items() if of == table and key != name]
    for key in others:
        owner.execute(f"ALTER TABLE books.{table} DROP CONSTRAINT IF EXISTS {key}")
    with pytest.raises(errors.ForeignKeyViolation) as refused:
        put(owner, table, other)
    assert refused.value.diag.constraint_name == name


PERMANENT = [
    table for table in ROWS if table not in {"balance", "wallet_balance", "day_total", "unsealed"}
]


@pytest.mark.parametrize("table", [*PERMANENT, "unsealed"])
def test_row_is_permanent_for_its_owner_too(
    bare_rows: psycopg.Connection, owner: psycopg.Connection, table: str
) -> None:
    put(bare_rows, table)
    bare_rows.commit()
    numbers = {"account_id", "wallet_id", "rate_id"}
    numbers |= {"entry_id"} if table == "entry" else set()
    column = next(name for name in ROWS[table] if name not in numbers)
    for attack in (
        f"UPDATE books.{table} SET {column} = {column}",
        f"DELETE FROM books.{table}",
        f"MERGE INTO books.{table} t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    ):
        with pytest.raises(psycopg.Error) as raised:
            owner.execute(attack)
        owner.rollback()
        refusal = refusal_of(raised.value)
        assert refusal is not None, raised.value
        assert (refusal.problem.code, refusal.facts["table"]) == (
            "books_append_only", f"books.{table}",
        )  # fmt: skip


@pytest.mark.parametrize("table", [*PERMANENT, "unsealed"])
def test_table_is_never_emptied(owner: psycopg.Connection, table: str) -> None:
    with pytest.raises(psycopg.Error) as raised:
        owner.execute(f"TRUNCATE books.{table} CASCADE")
    refusal = refusal_of(raised.value)
    assert refusal is not None
    assert refusal.facts == {"table": f"books.{table}", "operation": "TRUNCATE"}


def test_checkpoint_signs_a_size_the_log_had(
    bare_rows: psycopg.Connection, owner: psycopg.Connection
) -> None:
    put(bare_rows, "tree")
    bare_rows.commit()
    for other in ({"tree_size": 3}, {"root": "\\x" + "cd" * 32}):
        with pytest.raises(psycopg.Error) as raised:
            put(owner, "checkpoint", other)
        owner.rollback()
        assert raised.value.diag.message_primary == "log_size_unknown"
    put(owner, "checkpoint")


def test_every_constraint_of_the_schema_is_tried(owner: psycopg.Connection) -> None:
    rows = owner.execute(
        "SELECT conname FROM pg_constraint WHERE connamespace = 'books'::regnamespace"
        " AND contype IN ('c', 'u', 'p', 'f') UNION"
        " SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
        " WHERE relnamespace = 'books'::regnamespace AND indisunique"
    )
    assert {row[0] for row in rows} == CHECKS.keys() | KEYS.keys() | FOREIGN.keys()
