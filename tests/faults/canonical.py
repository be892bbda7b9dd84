"""Two databases row for row, without what chance and the clock put into them.

Every table of the schemas below is compared, every column but those of LEFT_OUT. Identifiers are
random: each is replaced by what a person would call it (a household by form and record key, a line
by its plan and number, an entry by its key). Numbers that a sequence gave have gaps where something
was killed: each is replaced by its rank, or by the name of what it numbers.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import psycopg
from psycopg.rows import dict_row

SCHEMAS = ["registry", "duplicates", "assessment", "payments", "books", "programme", "ops"]
Row = Mapping[str, object]
Rows = Sequence[Row]
Canonical = dict[str, Counter[tuple[object, ...]]]

# Column, or table and column → why it is not compared.
LEFT_OUT = {
    "at": "a moment",
    "locked_at": "a moment",
    "created_at": "a moment",
    "rendered_at": "a moment",
    "begun_at": "a moment",
    "answered_at": "a moment",
    "received_at": "a moment",
    "recorded_at": "a moment",
    "since": "a moment",
    "due_at": "counted from a moment",
    "recorded_in": "the number of a transaction",
    "sealed": "encrypted under a random nonce",
    "wrapped": "encrypted under a random nonce",
    "payments.plan.digest": "over the identifiers of plan and lines; the database recomputes it",
    "ops.act.body_hash": "over identifiers",
    "ops.act.act_id": "given by a sequence",
    "registry.finding.finding_no": "counts what households share in the order of their identifiers",
    "payments.handover.attempt": "a file is handed over again until its answer is known",
    "payments.handover_answer.attempt": "as in payments.handover",
    "payments.handover_answer.detail": "says whether the file was handed over before",
}
# As often as it was tried: compared as a set.
TRIED = {"payments.handover", "payments.handover_answer"}
# One for each time that a step was begun, however it ended: not compared.
JOBS = {"ops.job", "ops.job_end", "ops.job_cancel", "ops.job_progress"}
# In which order entries were sealed, and when: every order is sound, and `verify` recomputes it.
LOG = {"books.sealed_entry", "books.tree", "books.tree_node", "books.unsealed"}
# Kept in stripes, one for each connection: compared as sums.
SUMMED = {
    "books.balance": "SELECT account_id, posted_debit, posted_credit, pending_debit,"
    " pending_credit FROM books.account_balance",
    "books.day_total": "SELECT account_id, effective_on, sum(posted_debit) AS posted_debit,"
    " sum(posted_credit) AS posted_credit FROM books.day_total GROUP BY account_id, effective_on",
}
EVIDENCE = re.compile(r"; evidence [0-9a-f]{64}")  # a digest over identifiers
ULID = re.compile(r"[0-9a-z]{26}", re.IGNORECASE)
# An act of its own, named after nothing.
ANONYMOUS = re.compile(r"act_[0-9a-z]{26}")
# A hand-over that was answered is named after the attempt.
BY_ATTEMPT = re.compile(r"^(send:.*):\d+$")
# A settlement is named after the newest observation it took in.
BY_OBSERVATION = re.compile(r"^((?:settle|liquidate|return|unspend):.*:)(\d+)$")

# Table → the column of its identifier, and what a row of it is called. In this order: names of
# later ones hold names of earlier ones.
NAMED: dict[str, tuple[str, Callable[[Row, int], str]]] = {
    "staff.person": ("person_id", lambda r, _: f"{r['login']}"),
    "programme.programme": ("programme_id", lambda r, _: f"{r['code']} v{r['version']}"),
    "programme.cycle": ("cycle_id", lambda r, _: f"cycle {r['name']}"),
    "registry.import": ("import_id", lambda r, _: f"import of {r['file_name']}"),
    "registry.household": ("household_id", lambda r, _: f"{r['form']}/{r['record_key']}"),
    "assessment.run": ("run_id", lambda _, n: f"run {n}"),
    "payments.plan": ("plan_id", lambda _, n: f"plan {n}"),
    "payments.file": ("file_id", lambda r, _: f"file {r['part']}.{r['generation']}"),
    "payments.document": ("document_id", lambda r, _: f"document {r['name']}"),
    "payments.reconciliation": ("reconciliation_id", lambda _, n: f"reconciliation {n}"),
    "books.entry": ("entry_ref", lambda r, _: f"entry {r['event']} {r['key']}"),
}
BORN = {"assessment.run": "at", "payments.plan": "locked_at", "payments.reconciliation": "at"}
# Columns of numbers a sequence gave → the table and column they come from.
NUMBERED = {
    "version_id": "registry.version.version_id",
    "observation_id": "payments.observation.observation_id",
    "entry_id": "books.entry.entry_id",
    "reverses": "books.entry.entry_id",
    "transfer_id": "books.transfer.transfer_id",
    "pending_id": "books.transfer.transfer_id",
    "last_transfer_id": "books.transfer.transfer_id",
    "account_id": "books.account.account_id",
    "debit_account_id": "books.account.account_id",
    "credit_account_id": "books.account.account_id",
}
# In which order they are counted, where the order of the numbers says nothing.
COUNTED = {
    "books.transfer.transfer_id": ("phase", "instruction_ref"),
    "books.account.account_id": ("code",),
}


def canonical(conn: psycopg.Connection) -> Canonical:
    """Return every table's rows with how often each is there."""
    tables = _tables(conn)
    names = _names(tables)
    ranks = _ranks(tables)
    return {
        table: Counter(
            dict.fromkeys(rows, 1) if table in TRIED else rows
        )
        for table, content in tables.items()
        if table.partition(".")[0] in SCHEMAS and table not in JOBS | LOG
        for rows in [[_row(table, row, names, ranks) for row in content]]
    }  # fmt: skip


def differences(found: Canonical, expected: Canonical) -> dict[str, dict[str, list[object]]]:
    """Return what is too much and what is missing, by table; nothing where all is the same."""
    return {
        table: {
            "too much": list((found.get(table, Counter()) - rows).elements()),
            "missing": list((rows - found.get(table, Counter())).elements()),
        }
        for table, rows in expected.items()
        if found.get(table) != rows
    }


def _tables(conn: psycopg.Connection) -> dict[str, Rows]:
    listed = conn.execute(
        "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind = 'r' AND n.nspname = ANY (%s) ORDER BY 1",
        ([*SCHEMAS, "staff"],),
    ).fetchall()
    with conn.cursor(row_factory=dict_row) as cursor:
        return {
            name: cursor.execute(SUMMED.get(name, f"SELECT * FROM {name}")).fetchall()
            for (name,) in listed
        }


def _names(tables: Mapping[str, Rows]) -> dict[str, str]:
    names: dict[str, str] = {}
    for table, (column, called) in NAMED.items():
        rows = tables[table]
        if table in BORN:
            rows = sorted(rows, key=lambda row, by=BORN[table]: (row[by], row[column]))
        for number, row in enumerate(rows, start=1):
            names[str(row[column])[-26:]] = _without_chance(called(row, number), names)
    return names


def _ranks(tables: Mapping[str, Rows]) -> dict[str, dict[object, int]]:
    ranks = {}
    for source in dict.fromkeys(NUMBERED.values()):
        table, _, column = source.rpartition(".")
        by = COUNTED.get(source, (column,))
        rows = sorted(tables[table], key=lambda row, by=by: tuple(row[name] for name in by))
        ranks[source] = {row[column]: number for number, row in enumerate(rows, start=1)}
    return ranks


def _row(
    table: str, row: Row, names: Mapping[str, str], ranks: Mapping[str, Mapping[object, int]]
) -> tuple[object, ...]:
    cells: list[object] = []
    for column, value in row.items():
        if column in LEFT_OUT or f"{table}.{column}" in LEFT_OUT:
            continue
        if column in NUMBERED and value is not None:
            cells.append(ranks[NUMBERED[column]].get(value, value))
        elif isinstance(value, str | dict | list):
            text = EVIDENCE.sub("", _without_chance(str(value), names))
            settled = BY_OBSERVATION.match(text)
            if settled is not None:
                seen = ranks["payments.observation.observation_id"][int(settled[2])]
                text = f"{settled[1]}{seen}"
            cells.append(BY_ATTEMPT.sub(r"\1", text))
        else:
            cells.append(value)
    return tuple(cells)


def _without_chance(text: str, names: Mapping[str, str]) -> str:
    named = ULID.sub(lambda found: names.get(found[0].lower(), found[0]), text)
    return ANONYMOUS.sub("act", named)
