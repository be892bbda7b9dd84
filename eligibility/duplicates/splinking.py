"""Splink, behind two verbs: learn shares, and weigh pairs.

Keeps Splink's tables, caches and messages in one place. Splink's own candidates, thresholds, charts
and clusters are not used; what it gives here are the shares it learns and the SQL of its match
weights. That SQL is run on pairs of ours, part by part, so that memory holds one part; a test holds
it against Splink's own `predict`.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import duckdb
from splink import DuckDBAPI, Linker, SettingsCreator
from splink.internals.dialects import SplinkDialect
from splink.internals.predict import predict_from_comparison_vectors_sqls

from eligibility.duplicates.model import Model

Learned = dict[str, list[tuple[float | None, float | None]]]
_ANY = ["l.n = r.n"]  # a linker wants a rule, though it is never asked for pairs


@dataclass(frozen=True, slots=True)
class Pairs:
    """How many pairs to learn from: taken blindly, and at most of each block."""

    blind: int
    block: int
    seed: int


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


def learn(
    conn: duckdb.DuckDBPyConnection,
    persons: str,
    model: Model,
    blocks: Sequence[str],
    pairs: Pairs,
) -> Learned:
    """Return (m, u) of each level, learned from the table `persons`; None where none was met.

    u comes from pairs taken blindly, m from pairs of the `blocks` (SQL).
    """
    api = DuckDBAPI(connection=conn)
    conn.execute("SET enable_progress_bar = false")  # Splink switches it on
    with _quiet():
        settings = SettingsCreator.from_path_or_dict(model.settings(_ANY, shares=False))
        linker = Linker(api.register(persons), settings)
    with _quiet():  # a linker that is made switches its messages on
        training = linker.training
        training.estimate_u_using_random_sampling(max_pairs=pairs.blind, seed=pairs.seed)
        for rule in blocks:
            # A level that only strangers show underflows in Splink: that block teaches nothing.
            with suppress(ValueError):
                training.estimate_parameters_using_expectation_maximisation(
                    rule, estimate_without_term_frequencies=True, max_pairs=pairs.block,
                    record_sample_proportion=0.2,
                )  # fmt: skip
        saved = linker.misc.save_model_to_json()
    _drop_tables(conn)
    # A session that fails takes the comparisons of its block with it.
    learned: Learned = {fact.name: [(None, None)] * len(fact.levels) for fact in model.facts}
    return learned | {
        comparison["output_column_name"]: [
            (_share(level.get("m_probability")), _share(level.get("u_probability")))
            for level in comparison["comparison_levels"]
            if not level.get("is_null_level")
        ]
        for comparison in saved["comparisons"]
    }


class Weights:
    """The match weights of `model`, as SQL of DuckDB."""

    def __init__(self, model: Model) -> None:
        with _quiet():
            creator = SettingsCreator.from_path_or_dict(model.settings(_ANY))
            settings = creator.get_settings("duckdb")
        self._joined = settings._columns_to_select_for_blocking  # noqa: SLF001 - its SQL, our joins
        self._compared = settings._columns_to_select_for_comparison_vector_values  # noqa: SLF001
        self._steps = predict_from_comparison_vectors_sqls(
            unique_id_input_columns=settings.column_info_settings.unique_id_input_columns,
            core_model_settings=settings.core_model_settings,
            sql_dialect=SplinkDialect.from_string("duckdb"),
            retain_intermediate_calculation_columns=True,
            training_mode=True,  # the levels come with it, and no names
        )

    def of(self, pairs: str, left: str, right: str) -> str:
        """Return the query of the match weights of `pairs`, a query of (n_l, n_r, match_key).

        `left` and `right` are queries of persons with the shares of their values. The columns are
        n_l, n_r, match_weight, match_key as it was and, of each fact, gamma_, mw_ and mw_tf_adj_
        where it has a share. Joins as they are written hold the pairs and those on the right.
        """
        parts = {
            "both_sides": f"SELECT {', '.join(self._joined)}, b.match_key FROM ({left}) AS l"
            f" JOIN ({pairs}) AS b ON l.n = b.n_l JOIN ({right}) AS r ON r.n = b.n_r",
            "__splink__df_comparison_vectors": f"SELECT {', '.join(self._compared)}"
            " FROM both_sides",
        }
        parts |= {step["output_table_name"]: step["sql"] for step in self._steps}
        ctes = ", ".join(f"{name} AS NOT MATERIALIZED ({sql})" for name, sql in parts.items())
        return f"WITH {ctes} SELECT * FROM {self._steps[-1]['output_table_name']}"


def _drop_tables(conn: duckdb.DuckDBPyConnection) -> None:
    """Drop what Splink made to learn: memory is needed for the pairs."""
    made = "SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, '__splink')"
    for (name,) in conn.execute(made).fetchall():
        conn.execute(f'DROP TABLE "{name}"')


def _share(value: object) -> float | None:
    return value if isinstance(value, int | float) else None
