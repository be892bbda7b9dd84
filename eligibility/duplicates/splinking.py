"""Splink, behind three verbs: learn, predict within, predict between.

Keeps Splink's tables, caches and messages in one place. Splink's own charts, thresholds and
clusters are not used; what it computes here are match weights.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from splink import DuckDBAPI, Linker, SettingsCreator
from splink.internals.blocking import BlockingRule
from splink.internals.blocking_rule_creator import BlockingRuleCreator
from splink.internals.splink_dataframe import SplinkDataFrame

from eligibility.duplicates.blocking import Blocked
from eligibility.duplicates.model import Model

Rule = BlockingRuleCreator | BlockingRule | str | dict[str, object]
PAIRS_AT_ONCE = 3_000_000  # more are compared in parts: memory stays bounded
Learned = dict[str, list[tuple[float | None, float | None]]]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Splink's progress and advice off the terminal: commands tell their own."""
    log = logging.getLogger("splink")
    before = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            log.setLevel(before)


class Splinking:
    """A Splink linker over `blocked` persons with the shares of `model`."""

    def __init__(self, conn: duckdb.DuckDBPyConnection, blocked: Blocked, model: Model) -> None:
        self.model = model
        self.pairs = blocked.pairs
        self.conn = conn
        self.api = DuckDBAPI(connection=conn)
        conn.execute("SET enable_progress_bar = false")  # Splink switches it on
        with _quiet():
            self.table = self.api.register(blocked.prepared.table)
            settings = SettingsCreator.from_path_or_dict(model.settings(blocked.rules))
            self.linker = Linker(self.table, settings)

    def learned(self, blocks: list[str], blind: int, most: int, seed: int) -> Learned:
        """Return (m, u) of each level after training; None where a level was not met.

        `blind` pairs are taken for u, at most `most` from each of the `blocks` for m.
        """
        with _quiet():
            training = self.linker.training
            training.estimate_u_using_random_sampling(max_pairs=blind, seed=seed)
            for rule in blocks:
                training.estimate_parameters_using_expectation_maximisation(
                    rule, estimate_without_term_frequencies=True, max_pairs=most,
                    record_sample_proportion=0.2,
                )  # fmt: skip
            saved = self.linker.misc.save_model_to_json()
        return {
            comparison["output_column_name"]: [
                (_share(level.get("m_probability")), _share(level.get("u_probability")))
                for level in comparison["comparison_levels"]
                if not level.get("is_null_level")
            ]
            for comparison in saved["comparisons"]
        }

    def within(self) -> str:
        """Return the table of pairs of the persons, scored; those below review are left out."""
        with _quiet():
            found = self.linker.inference.predict(
                threshold_match_weight=self.model.review, warning_mode="never",
                num_chunks_left=1 + self.pairs // PAIRS_AT_ONCE,
            )  # fmt: skip
        return str(found.physical_name)

    def between(self, new: Blocked) -> str:
        """Return the table of pairs of a person held (left) and one of `new` (right), scored."""
        return self._predicted(
            self.table, self.api.register(new.prepared.table), self.model.review, None
        )

    def given_pairs(self, left: str, right: str, pairs: str) -> str:
        """Return the table of the `pairs` (pair, n_l, n_r) of the two tables, all scored."""
        name = f"{pairs}_scored"
        for side, table in (("l", left), ("r", right)):
            self.conn.execute(
                f"CREATE OR REPLACE TABLE {pairs}_{side} AS SELECT t.* REPLACE (CAST(p.pair AS"
                f" INTEGER) AS n) FROM {pairs} p JOIN {table} t ON t.n = p.n_{side}"
            )
        found = self._predicted(
            self.api.register(f"{pairs}_l"), self.api.register(f"{pairs}_r"), None, ["l.n = r.n"]
        )
        self.conn.execute(
            f"CREATE OR REPLACE TABLE {name} AS SELECT f.* REPLACE (p.n_l AS n_l, p.n_r AS n_r)"
            f" FROM {found} f JOIN {pairs} p ON p.pair = f.n_l"
        )
        for rest in (found, f"{pairs}_l", f"{pairs}_r"):
            self.conn.execute(f"DROP TABLE {rest}")
        return name

    def _predicted(
        self,
        left: SplinkDataFrame,
        right: SplinkDataFrame,
        threshold: float | None,
        rules: list[Rule] | None,
    ) -> str:
        with _quiet():
            for column in self._frequencies():
                self.linker.table_management.compute_tf_table(column)
            found = self.linker.inference.predict_between(
                left, right, threshold_match_weight=threshold,
                blocking_rules_to_generate_predictions=rules, warning_mode="never",
            )  # fmt: skip
        return str(found.physical_name)

    def _frequencies(self) -> list[str]:
        if not self.model.rarity:
            return []
        columns = [level.frequency for fact in self.model.facts for level in fact.levels]
        return list(dict.fromkeys(column for column in columns if column))


def _share(value: object) -> float | None:
    return value if isinstance(value, int | float) else None
