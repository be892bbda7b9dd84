"""Linking people in plain files, without a database: so that others can check us.

`find` reads one file of people, or two, with a fields file that says what the columns mean, and
writes the pairs as Parquet: `id_l`, `id_r`, `score` and `band` first, then how each fact agrees and
what it adds. The model stands in the metadata of that file, so a pair can be explained later from
the file alone, and can be used again.

With two files, pairs are of a person `against` (left) and one of the records (right); without a
model one is learned from both together.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from cva.registry.questions import Why
from eligibility.duplicates.blocking import Blocked, block, block_like
from eligibility.duplicates.engine import engine
from eligibility.duplicates.explanation import explain
from eligibility.duplicates.fields import Fields, read_fields
from eligibility.duplicates.linkage import Links, Register
from eligibility.duplicates.model import Model
from eligibility.duplicates.preparing import Prepared, prepare
from eligibility.duplicates.shapes import Band
from eligibility.duplicates.training import train
from ledgers.problems import Answer, Finding, Problem

FIELDS_REFUSED = Problem(
    "link_fields_refused",
    "The fields file has {problems:problem|problems}; nothing was compared.",
    "Correct the fields file; `fields: 1`, `record` and `columns` are needed.",
    Answer.USAGE,
)
FILE_UNREADABLE = Problem(
    "link_file_unreadable",
    "The file {file} cannot be read as a table.",
    "Give a CSV file in UTF-8 with a line of column names, or a Parquet file.",
    Answer.USAGE,
)
PAIR_NOT_IN_FILE = Problem(
    "link_pair_missing",
    "The file has no pair of {left} and {right}.",
    "Take two record ids of one row; pairs below the review line are not written.",
    Answer.NOT_FOUND,
)

MODEL_KEY = b"cva.linkage.model"
THOUSAND = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in files: people compared, pairs by band, the model, and what was left out."""

    people: int
    automatic: int
    review: int
    model: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Resources:
    """What a linkage may use: megabytes, threads, and a closed folder for what does not fit."""

    memory_mb: int = 2500
    threads: int = 2
    spill: Path | None = None


def find(
    records: Path,
    against: Path | None,
    fields_file: Path,
    out: Path,
    model: Model | None = None,
    resources: Resources | None = None,
) -> Found:
    """Link the people in the file `records`, or with those in `against`; write the pairs to `out`.

    Raises `link_fields_refused`, `link_file_unreadable`, `disk_full` and what `prepare` raises.
    """
    fields = _fields(fields_file)
    given = resources or Resources()
    with engine(given.memory_mb, given.threads, given.spill) as conn:
        if against is None:
            held = block(conn, _prepared(conn, "held", records, fields))
            model = model or train(conn, held)
            links = Register(conn, held, model).within()
            people, findings = held.prepared.people, [*held.prepared.findings, *held.findings]
        else:
            held, new, learned = _two(conn, against, records, fields, model)
            model = learned
            links = Register(conn, held, model).with_new(new)
            people = held.prepared.people + new.prepared.people
            findings = [*held.prepared.findings, *new.prepared.findings, *held.findings]
        return _written(conn, links, out, people, tuple(findings))


def explained(pairs: Path, left: str, right: str) -> Why:
    """Return why two records are a pair in the file `pairs`.

    Raises `link_file_unreadable`, `link_pair_missing`, `link_model_unreadable`.
    """
    try:
        table = pq.read_table(
            pairs, filters=[("id_l", "in", [left, right]), ("id_r", "in", [left, right])]
        )
    except (pa.ArrowInvalid, OSError):
        raise FILE_UNREADABLE.refusal(file=pairs.name) from None
    if not table.num_rows:
        raise PAIR_NOT_IN_FILE.refusal(left=left, right=right)
    told = explain(table.slice(0, 1).to_pylist()[0], model_in(pairs))
    pieces = [
        (piece.fact, piece.group.value, piece.level, round(piece.bits * THOUSAND))
        for piece in told.pieces
    ]
    score = sum(millibits for *_, millibits in pieces)
    return Why(
        told.id_l, told.id_r, "person", told.band.value, None, score, pieces, told.model, pairs.name
    )


def model_in(pairs: Path) -> Model:
    """Return the model that the file `pairs` was made with.

    Raises `link_file_unreadable`, `link_model_unreadable`.
    """
    try:
        metadata = pq.read_schema(pairs).metadata or {}
    except (pa.ArrowInvalid, OSError):
        raise FILE_UNREADABLE.refusal(file=pairs.name) from None
    return Model.from_json(metadata.get(MODEL_KEY, b"").decode("utf-8", "replace"))


def _fields(path: Path) -> Fields:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise FILE_UNREADABLE.refusal(file=path.name) from None
    fields, findings = read_fields(text, path.name)
    if fields is None:
        raise FIELDS_REFUSED.refusal(problems=len(findings)).with_findings(findings)
    return fields


def _prepared(
    conn: duckdb.DuckDBPyConnection, name: str, source: Path | pa.Table, fields: Fields
) -> Prepared:
    try:
        return prepare(conn, name, source, fields)
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.BinderException):
        file = source.name if isinstance(source, Path) else name
        raise FILE_UNREADABLE.refusal(file=file) from None


def _two(
    conn: duckdb.DuckDBPyConnection,
    against: Path,
    records: Path,
    fields: Fields,
    model: Model | None,
) -> tuple[Blocked, Blocked, Model]:
    """Return both files ready to be compared, and the model: given, or learned from both."""
    held = _prepared(conn, "held", against, fields)
    new = _prepared(conn, "arriving", records, fields)
    if model is not None:
        blocked = block(conn, held)
        return blocked, block_like(conn, new, blocked), model
    both = _together(conn, held, new)
    learned = block(conn, both)
    model = train(conn, learned)
    conn.execute(f"DROP TABLE {learned.keyed}; DROP TABLE {both.table}; DROP VIEW {both.numbers}")
    return block_like(conn, held, learned), block_like(conn, new, learned), model


def _together(conn: duckdb.DuckDBPyConnection, held: Prepared, new: Prepared) -> Prepared:
    """Return both as one table, to learn from: its records are numbered on."""
    conn.execute(
        f"CREATE TABLE both_files AS SELECT * FROM {held.table} UNION ALL BY NAME"
        f" SELECT * REPLACE (n + {held.people} AS n) FROM {new.table}"
    )
    conn.execute(
        f"CREATE VIEW both_numbers AS SELECT * FROM {held.numbers} UNION ALL BY NAME"
        f" SELECT * REPLACE (n + {held.people} AS n) FROM {new.numbers}"
    )
    people = held.people + new.people
    return Prepared("both_files", "both_numbers", held.fields, people, held.facts, ())


def _written(
    conn: duckdb.DuckDBPyConnection,
    links: Links,
    out: Path,
    people: int,
    findings: tuple[Finding, ...],
) -> Found:
    pairs = links.pairs(conn)
    metadata = {MODEL_KEY: links.model.to_json().encode()}
    pq.write_table(pairs.replace_schema_metadata(metadata), out, compression="zstd")
    automatic = pairs["band"].to_pylist().count(Band.AUTOMATIC.value)
    return Found(people, automatic, pairs.num_rows - automatic, links.model.digest, findings)
