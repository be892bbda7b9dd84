"""How fast people are linked, beside plain Splink on the same records and the same blocks.

*Plain* is Splink as its documentation runs it: shares learned from ten million blind pairs and two
rounds of expectation maximisation, prediction, connected components; or `predict_between` of the
same records with term frequencies ready. It is given the same comparable columns, which are made
in both runs and counted in both.

Every piece runs in a process of its own, the memory is the highest of that process. The limit of
the tokens is the bare loop: `hmac.new(key, text, sha256).digest()` for as many texts, bytes ready.
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
from eligibility.duplicates.composites import hmac_sha256, people_of, tokens
from eligibility.duplicates.engine import engine
from eligibility.duplicates.fields import registry_fields
from eligibility.duplicates.model import Model, shipped
from eligibility.duplicates.preparing import prepare

MEMORY_MB = 2_500  # for the engine; what Python holds comes on top
THREADS = 2
BLIND = 10_000_000
NEW = 10_000
REPEATED = 5
MEGABYTE_KB = 1024
KEY = bytes(range(32))
BATCH = 20_000
TEXT_BYTES = 60  # of a composite with its domain
_TOLD = (
    "record_id", "given_name", "family_name", "father_name", "mother_name", "birth_date",
    "birth_date_precision", "id_type", "id_number", "registration_number", "phone",
)  # fmt: skip
TRAINED_ON = (
    "l.birth = r.birth AND NOT l.birth_coarse AND NOT r.birth_coarse",
    "l.given_skeleton = r.given_skeleton AND l.family_skeleton = r.family_skeleton",
)


T = TypeVar("T")


@dataclass
class Piece:
    """What a piece took: seconds of each stage, the memory of its process, what it found."""

    stages: dict[str, float] = field(default_factory=dict)
    cpu: float = 0.0
    peak_mb: int = 0
    found: int = 0

    @property
    def seconds(self) -> float:
        """All stages together."""
        return sum(self.stages.values())


class Watch:
    """Notes how long each stage took."""

    def __init__(self) -> None:
        self.piece = Piece()
        self._since, self._cpu = time.perf_counter(), time.process_time()

    def stage(self, name: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.piece.stages[name] = now - self._since
        self._since = now

    def ended(self, found: int) -> Piece:
        """End the piece."""
        self.piece.cpu = time.process_time() - self._cpu
        self.piece.peak_mb = _peak_mb()
        self.piece.found = found
        return self.piece


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


def link_plain(people: Path) -> Piece:
    """Link all people with plain Splink on the same blocks."""
    watch = Watch()
    with engine(MEMORY_MB, THREADS) as conn:
        blocked = _blocked(conn, "person", people, watch)
        prepared = blocked.prepared
        model = shipped(prepared.fields, prepared.facts, prepared.people)
        linker, _ = _linker(conn, blocked, model)
        linker.training.estimate_u_using_random_sampling(max_pairs=BLIND, seed=1)
        for rule in TRAINED_ON:
            linker.training.estimate_parameters_using_expectation_maximisation(
                rule, estimate_without_term_frequencies=True
            )
        watch.stage("learn")
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
    with engine(MEMORY_MB, THREADS) as conn:
        blocked = blocking.block(conn, prepare(conn, "held", held, registry_fields()))
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
            right = table.db_api.register(fresh.prepared.table)
            pairs = linker.inference.predict_between(
                table, right, threshold_match_weight=model.review
            )
            found = conn.sql(f"SELECT count(*) FROM {pairs.physical_name}").fetchall()[0][0]
            watch.stage("link")
            plain.append(watch.ended(found))
    return _median(ours[1:]), _median(plain[1:])


def _median(pieces: list[Piece]) -> Piece:
    """Return the piece of the median seconds."""
    middle = median(piece.seconds for piece in pieces)
    return min(pieces, key=lambda piece: abs(piece.seconds - middle))


def _blocked(conn: duckdb.DuckDBPyConnection, name: str, people: Path, watch: Watch) -> Blocked:
    prepared = prepare(conn, name, people, registry_fields())
    watch.stage("prepare")
    blocked = blocking.block(conn, prepared)
    watch.stage("block")
    return blocked


def _like(conn: duckdb.DuckDBPyConnection, name: str, some: pa.Table, held: Blocked) -> Blocked:
    return blocking.block_like(conn, prepare(conn, name, some, registry_fields()), held)


def _linker(
    conn: duckdb.DuckDBPyConnection, blocked: Blocked, model: Model
) -> tuple[Linker, SplinkDataFrame]:
    logging.getLogger("splink").setLevel(logging.ERROR)
    api = DuckDBAPI(connection=conn)
    conn.execute("SET enable_progress_bar = false")
    table = api.register(blocked.prepared.table)
    settings = SettingsCreator.from_path_or_dict(model.settings(blocked.rules))
    linker = Linker(table, settings)
    for fact in model.facts:
        for level in fact.levels:
            if level.frequency:
                linker.table_management.compute_tf_table(level.frequency)
    return linker, table


def make_tokens(people: Path) -> tuple[Piece, Piece]:
    """Make all tokens of all people, and hash as many texts of the same lengths and nothing more.

    Batch by batch, one beside the other; from columns of text to tokens is ours.
    """
    keyed = hmac_sha256(KEY)
    ours, bare = Piece({"tokens": 0.0}), Piece({"hash": 0.0})
    for batch in pq.ParquetFile(people).iter_batches(BATCH, columns=list(_TOLD)):
        since, cpu = time.perf_counter(), time.process_time()
        found = sum(len(made) for _, made in tokens(people_of([batch]), keyed, "2026-03"))
        ours.stages["tokens"] += time.perf_counter() - since
        ours.cpu += time.process_time() - cpu
        ours.found += found
        texts = [os.urandom(TEXT_BYTES) for _ in range(found)]
        since, cpu = time.perf_counter(), time.process_time()
        for text in texts:
            hmac.new(KEY, text, sha256).digest()
        bare.stages["hash"] += time.perf_counter() - since
        bare.cpu += time.process_time() - cpu
        bare.found += found
    ours.peak_mb = bare.peak_mb = _peak_mb()
    return ours, bare


def _peak_mb() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // MEGABYTE_KB
    return 0
