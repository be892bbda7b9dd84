"""A linkage has the same match weights on Splink's Spark backend as on DuckDB.

`make proof-spark` installs Spark and sets `CVA_SPARK=required`: then its absence is a failure.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from eligibility.duplicates.blocking import Blocked, block
from eligibility.duplicates.engine import engine
from eligibility.duplicates.fields import registry_fields
from eligibility.duplicates.frequencies import count_shares, frequency_columns
from eligibility.duplicates.model import Model
from eligibility.duplicates.preparing import prepare
from eligibility.duplicates.training import train
from tests.benchmarks.duplicates.registry import generate

PEOPLE = 2_000
LEAST = -8.0  # bits; more pairs than anybody reviews
SAME = 1e-6  # bits
PAIRS = "SELECT n_l, n_r, match_weight FROM "


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if os.environ.get("CVA_SPARK") != "required":
        pytest.importorskip("pyspark", reason="Spark is not installed: make proof-spark")
    from pyspark.sql import SparkSession
    from splink.internals.spark.jar_location import similarity_jar_location

    folder = tmp_path_factory.mktemp("spark")
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", similarity_jar_location())
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.default.parallelism", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.warehouse.dir", str(folder))
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setCheckpointDir(str(folder))
    yield session
    session.stop()


@pytest.mark.filterwarnings("ignore:::pyspark", "ignore:::splink", "ignore::ResourceWarning")
def test_match_weights_are_the_same_in_spark(spark: Any, tmp_path: Path) -> None:
    from splink import DuckDBAPI
    from splink.internals.spark.database_api import SparkAPI

    with engine(1_000, 2) as conn:
        people = generate(PEOPLE).people
        blocked = block(conn, prepare(conn, "person", people, registry_fields()))
        model = train(conn, blocked)
        count_shares(conn, blocked.prepared, model, "shares", compared=2)
        keys = ", ".join(f"{key.column}::VARCHAR AS {key.column}" for key in blocked.keys)
        tables = {"whole": f"SELECT * REPLACE ({keys}) FROM person JOIN {blocked.keyed} USING (n)"}
        for column in frequency_columns(model):
            of = "person JOIN shares USING (n)"
            tables[column] = f"SELECT DISTINCT {column}, tf_{column} FROM {of}"
        for name, query in tables.items():
            conn.execute(f"CREATE TABLE of_{name} AS {query}")
            conn.execute(f"COPY of_{name} TO '{tmp_path / name}.parquet' (FORMAT parquet)")
        table = predicted(DuckDBAPI(conn), model, blocked, {n: f"of_{n}" for n in tables}, "duckdb")
        here = {(left, right): bits for left, right, bits in conn.execute(PAIRS + table).fetchall()}
    read = {name: spark.read.parquet(str(tmp_path / f"{name}.parquet")) for name in tables}
    table = predicted(SparkAPI(spark_session=spark), model, blocked, read, "spark")
    there = {(left, right): bits for left, right, bits in spark.sql(PAIRS + table).collect()}
    assert len(here) > PEOPLE // 20
    assert set(here) == set(there)
    assert max(abs(here[pair] - there[pair]) for pair in here) < SAME


def predicted(
    api: Any, model: Model, blocked: Blocked, tables: Mapping[str, Any], dialect: str
) -> str:
    """The table of the pairs that Splink predicts on one of its backends."""
    from splink import Linker, SettingsCreator

    settings = SettingsCreator.from_path_or_dict(model.settings(blocked.rules, dialect))
    linker = Linker(api.register(tables["whole"]), settings)
    for column in frequency_columns(model):
        shares = api.register(tables[column])
        linker.table_management.register_term_frequency_lookup(shares, column)
    return linker.inference.predict(threshold_match_weight=LEAST).physical_name
