"""How fast people are linked, beside plain Splink on the same records and the same blocks.

*Plain* is Splink as its documentation runs it: `predict` and connected components, or
`predict_between` of the same records with term frequencies ready. Both are given the same
comparable columns, the same keys to block by and the same model, learned once by ours: what is
compared is blocking, weighing and deciding. Plain may take as much memory as it wants.

Linking runs in a process of its own for each, the memory is the highest of that process. The limit
of the tokens is the bare loop: `hmac.new(key, text, sha256).digest()` for as many texts, bytes
ready.
"""

import hmac
import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from splink import DuckDBAPI, Linker, SettingsCreator
from splink.internals.splink_dataframe import SplinkDataFrame

from eligibility.duplicates import blocking, linkage, training
from eligibility.duplicates.blocking import Blocked
from eligibility.duplicates.composites import hmac_sha256, tokens
from eligibility.duplicates.engine import engine
from eligibility.duplicates.fields import registry_fields
from eligibility.duplicates.frequencies import frequency_columns
from eligibility.duplicates.model import Model
from eligibility.duplicates.preparing import prepare
from eligibility.duplicates.shapes import PERSON

MEMORY_MB = 2_300  # for the engine; what Python holds comes on top
PLAIN_MEMORY_MB = 14_000
THREADS = 2
NEW = 10_000
REPEATED = 7
MEGABYTE_KB = 1024
KEY = bytes(range(32))
BATCH = 20_000
TEXT_BYTES = 60  # of a composite with its domain
BLOCKED = "person_blocked"  # persons with their keys, as plain Splink takes them

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock, and of the processors."""

    seconds: float = 0.0
    cpu: float = 0.0

    def __add__(self, more: "Took") -> "Took":
        return Took(self.seconds + more.seconds, self.cpu + more.cpu)


@dataclass
class Piece:
    """What a piece took: each stage, the memory of its process in the end, what it found."""

    stages: dict[str, Took] = field(default_factory=dict)
    peak_mb: int = 0
    found: int = 0

    def took(self, *stages: str) -> Took:
        """These stages together; all where none is named."""
        return sum((self.stages[name] for name in stages or self.stages), Took())


class Watch:
    """Notes how long each stage took."""

    def __init__(self) -> None:
        self.piece = Piece()
        self._since = _now()

    def stage(self, name: str) -> None:
        """End a stage."""
        now = _now()
        took = Took(now.seconds - self._since.seconds, now.cpu - self._since.cpu)
        self.piece.stages[name] = self.piece.stages.get(name, Took()) + took
        self._since = now

    def skip(self) -> None:
        """Count nothing of what was done since the last stage."""
        self._since = _now()

    def ended(self, found: int) -> Piece:
        """End the piece."""
        self.piece.peak_mb = _peak_mb()
        self.piece.found = found
        return self.piece


def _now() -> Took:
    return Took(time.perf_counter(), time.process_time())


def apart(work: Callable[..., T], *arguments: object) -> T:
    """Do `work(*arguments)` in a process of its own and return what it returns."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def link_ours(people: Path, kept: Path) -> Piece:
    """Link all people as the product does; write the model to `kept`."""
    watch = Watch()
    with engine(MEMORY_MB, THREADS) as conn:
        blocked = _blocked(conn, "person", people, watch)
        model = training.train(conn, blocked)
        watch.stage("learn")
        kept.write_text(model.to_json(), encoding="utf-8")
        links = linkage.link(conn, blocked, model)
        found = conn.sql(f"SELECT count(*) FROM {links.table}").fetchall()[0][0]
        watch.stage("link")
        return watch.ended(found)


def link_plain(people: Path, kept: Path) -> Piece:
    """Link all people with plain Splink by the model in `kept`, on the same blocks."""
    watch = Watch()
    with engine(PLAIN_MEMORY_MB, THREADS) as conn:
        blocked = _blocked(conn, "person", people, watch)
        linker, _ = _linker(conn, blocked, Model.from_json(kept.read_text(encoding="utf-8")))
        watch.stage("give keys")
        pairs = linker.inference.predict(threshold_match_probability=0.5)
        found = conn.sql(f"SELECT count(*) FROM {pairs.physical_name}").fetchall()[0][0]
        linker.clustering.cluster_pairwise_predictions_at_threshold(
            pairs, threshold_match_probability=0.95
        )
        watch.stage("link")
        return watch.ended(found)


def compare_new(people: Path, kept: Path, new: int) -> tuple[Piece, Piece]:
    """Compare `new` people with all others, as the product does and with plain `predict_between`.

    The people held are ready in both; what is counted is the new ones, comparable first.
    """
    model = Model.from_json(kept.read_text(encoding="utf-8"))
    everybody = pq.read_table(people)
    held, some = everybody.slice(new), everybody.slice(0, new)
    with engine(PLAIN_MEMORY_MB, THREADS) as conn:
        blocked = blocking.block(conn, prepare(conn, "person", held, registry_fields()))
        register = linkage.Register(conn, blocked, model)
        linker, table = _linker(conn, blocked, model)
        ours, plain = [], []
        for at in range(REPEATED + 1):
            watch = Watch()
            fresh = _like(conn, f"ours{at}", some, blocked)
            watch.stage("prepare")
            links = register.with_new(fresh)
            found = conn.sql(f"SELECT count(*) FROM {links.table}").fetchall()[0][0]
            watch.stage("link")
            ours.append(watch.ended(found))
            watch = Watch()
            fresh = _like(conn, f"plain{at}", some, blocked)
            watch.stage("prepare")
            _with_keys(conn, fresh, f"plain{at}_blocked")
            watch.skip()
            pairs = linker.inference.predict_between(
                table, table.db_api.register(f"plain{at}_blocked"),
                threshold_match_weight=model.review,
            )  # fmt: skip
            found = conn.sql(f"SELECT count(*) FROM {pairs.physical_name}").fetchall()[0][0]
            watch.stage("link")
            plain.append(watch.ended(found))
    return _median(ours[1:]), _median(plain[1:])


def _median(pieces: list[Piece]) -> Piece:
    """Return the piece of the median seconds of the processors."""
    middle = median(piece.took().cpu for piece in pieces)
    return min(pieces, key=lambda piece: abs(piece.took().cpu - middle))


def _blocked(conn: duckdb.DuckDBPyConnection, name: str, people: Path, watch: Watch) -> Blocked:
    prepared = prepare(conn, name, people, registry_fields())
    watch.stage("prepare")
    blocked = blocking.block(conn, prepared)
    watch.stage("block")
    return blocked


def _like(conn: duckdb.DuckDBPyConnection, name: str, some: pa.Table, held: Blocked) -> Blocked:
    return blocking.block_like(conn, prepare(conn, name, some, registry_fields()), held)


def _with_keys(conn: duckdb.DuckDBPyConnection, blocked: Blocked, table: str) -> None:
    """Make `table` of the persons with their keys in it, which plain Splink needs."""
    conn.execute(
        f"CREATE TABLE {table} AS SELECT * FROM {blocked.prepared.table} JOIN {blocked.keyed}"
        " USING (n)"
    )


def _linker(
    conn: duckdb.DuckDBPyConnection, blocked: Blocked, model: Model
) -> tuple[Linker, SplinkDataFrame]:
    logging.getLogger("splink").setLevel(logging.ERROR)
    _with_keys(conn, blocked, BLOCKED)
    api = DuckDBAPI(connection=conn)
    conn.execute("SET enable_progress_bar = false")
    table = api.register(BLOCKED)
    linker = Linker(table, SettingsCreator.from_path_or_dict(model.settings(blocked.rules)))
    for column in frequency_columns(model):
        linker.table_management.compute_tf_table(column)
    return linker, table


def make_tokens(people: Path) -> tuple[Piece, Piece]:
    """Make all tokens of all people, and hash as many texts of the same lengths and nothing more.

    Batch by batch, one beside the other; from columns of text to columns of tokens is ours.
    """
    keyed = hmac_sha256(KEY)
    ours, bare = Watch(), Watch()
    count = 0
    for batch in pq.ParquetFile(people).iter_batches(BATCH, columns=PERSON.names):
        ours.skip()
        found = sum(made.num_rows for made in tokens([batch], keyed, "2026-03"))
        ours.stage("tokens")
        texts = [os.urandom(TEXT_BYTES) for _ in range(found)]
        bare.skip()
        for text in texts:
            hmac.new(KEY, text, sha256).digest()
        bare.stage("hash")
        count += found
    return ours.ended(count), bare.ended(count)


def _peak_mb() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // MEGABYTE_KB
    return 0
