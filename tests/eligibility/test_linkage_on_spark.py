"""A linkage has the same match weights on Splink's Spark backend as on DuckDB.

`make proof-spark` installs Spark and sets `CVA_SPARK=required`: then its absence is a failure.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eligibility.duplicates.blocking import block
from eligibility.duplicates.engine import engine
from eligibility.duplicates.fields import registry_fields
from eligibility.duplicates.frequencies import count_shares
from eligibility.duplicates.preparing import prepare
from eligibility.duplicates.training import train
from tests.benchmarks.duplicates.registry import generate

PEOPLE = 2_000
LEAST = -8.0  # bits; more pairs than anybody reviews
SAME = 1e-6  # bits


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


@pytest.mark.filterwarnings("ignore:::pyspark", "ignore:::splink")
def test_match_weights_are_the_same_in_spark(spark: Any, tmp_path: Path) -> None:
    from splink import DuckDBAPI, Linker, SettingsCreator
    from splink.internals.spark.database_api import SparkAPI

    path = tmp_path / "people.parquet"
    with engine(1_000, 2) as conn:
        people = generate(PEOPLE).people
        blocked = block(conn, prepare(conn, "person", people, registry_fields()))
        model = train(conn, blocked)
        count_shares(conn, blocked.prepared, model, "shares", compared=2)
        keys = ", ".join(f"{key.column}::VARCHAR AS {key.column}" for key in blocked.keys)
        conn.execute(
            f"CREATE TABLE whole AS SELECT * EXCLUDE (household) REPLACE ({keys})"
            f" FROM person JOIN {blocked.keyed} USING (n) JOIN shares USING (n)"
        )
        conn.execute(f"COPY whole TO '{path}' (FORMAT parquet)")

        def predicted(api: Any, persons: Any, dialect: str) -> str:
            settings = SettingsCreator.from_path_or_dict(model.settings(blocked.rules, dialect))
            linker = Linker(api.register(persons), settings)
            return linker.inference.predict(threshold_match_weight=LEAST).physical_name

        query = "SELECT n_l, n_r, match_weight FROM "
        table = predicted(DuckDBAPI(conn), "whole", "duckdb")
        here = {(left, right): bits for left, right, bits in conn.execute(query + table).fetchall()}
    table = predicted(SparkAPI(spark_session=spark), spark.read.parquet(str(path)), "spark")
    there = {(left, right): bits for left, right, bits in spark.sql(query + table).collect()}
    assert len(here) > PEOPLE // 20
    assert set(here) == set(there)
    assert max(abs(here[pair] - there[pair]) for pair in here) < SAME
