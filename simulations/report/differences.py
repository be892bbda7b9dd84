"""Two courses compared: household by household where they differ, and month by month in money.

The households are compared on the first day on which the two courses select differently; a row that
has a weight counts as the households it stands for. The same chances drive both courses, so the
difference of a draw is the difference of the rules in it: its range is much narrower than those of
the two apart.
"""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from simulations.projection.courses import RuleRun
from simulations.projection.running import Projection
from simulations.report.model import Column, Kind, Sentence, amount, count, table
from simulations.report.parts import (
    FOREIGN,
    MONTH,
    Part,
    band_columns,
    bands,
    days_of,
    ends,
    in_currency,
    part,
    saying,
)

SIZE_MOST = 8
DIFFERING = "households_that_differ.parquet"
_STANDING = """
    CREATE OR REPLACE VIEW compared AS
    SELECT b.household_id, 'all' AS everybody, {weight} AS weight, h.province,
           least(b.people, {size_most}) AS size, b.people,
           b.selected AS base_selected, v.selected AS variant_selected,
           CASE WHEN b.selected THEN b.amount_minor ELSE 0 END AS base_minor,
           CASE WHEN v.selected THEN v.amount_minor ELSE 0 END AS variant_minor,
           b.pass_bits AS base_bits, v.pass_bits AS variant_bits,
           b.reason AS base_reason, v.reason AS variant_reason,
           CASE WHEN b.selected AND v.selected AND b.amount_minor = v.amount_minor THEN 'same'
                WHEN b.selected AND v.selected THEN 'other_amount'
                WHEN b.selected THEN 'lost' WHEN v.selected THEN 'gained'
                ELSE 'neither' END AS standing
    FROM read_parquet('{base}') b JOIN read_parquet('{variant}') v USING (household_id)
    JOIN read_parquet('{households}') h USING (household_id)
"""
STANDINGS = ("same", "other_amount", "lost", "gained")


class Comparison:
    """The decisions of the base and one variant on the day they differ first."""

    def __init__(self, projection: Projection, variant: str) -> None:
        self.projection = projection
        self.variant = variant
        self.scale = projection.people.scale[0]
        self.base_run, self.variant_run = self._runs()
        self.connection = duckdb.connect(":memory:")
        self.connection.execute("SET enable_progress_bar = false")
        self.connection.execute(self._standing(self.base_run, self.variant_run))

    def _runs(self) -> tuple[RuleRun, RuleRun]:
        base = self.projection.base.loads.runs
        other = self.projection.outcomes[self.variant].loads.runs
        for pair in zip(base, other, strict=True):
            if self._differ(*pair):
                return pair
        return base[0], other[0]

    def _differ(self, base: RuleRun, other: RuleRun) -> bool:
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET enable_progress_bar = false")
            connection.execute(self._standing(base, other))
            [(count,)] = connection.execute(
                "SELECT count(*) FROM compared WHERE standing NOT IN ('same', 'neither')"
            ).fetchall()
        return bool(count)

    def _standing(self, base: RuleRun, other: RuleRun) -> str:
        return _STANDING.format(
            size_most=SIZE_MOST, base=_quoted(base.decisions), variant=_quoted(other.decisions),
            households=_quoted(self.projection.people.households),
            weight=self.projection.people.weight,
        )  # fmt: skip

    def write(self, folder: Path) -> int:
        """Write the households that differ, with why; return how many rows that are."""
        path = folder / f"{self.variant}-{DIFFERING}"
        hidden = "everybody" if self.projection.people.is_weighted else "everybody, weight"
        self.connection.execute(
            f"COPY (SELECT * EXCLUDE ({hidden}) FROM compared"
            " WHERE standing NOT IN ('same', 'neither')"
            f" ORDER BY household_id) TO '{_quoted(path)}' (FORMAT parquet, COMPRESSION zstd)"
        )
        [(rows,)] = self.connection.execute(
            f"SELECT count(*) FROM read_parquet('{_quoted(path)}')"
        ).fetchall()
        return int(rows)

    def by(self, column: str) -> pd.DataFrame:
        """Return households and monthly amounts by a column: one row for each value of it."""
        columns = ", ".join(
            f"coalesce(sum(weight) FILTER (standing = '{standing}'), 0) AS {standing}"
            for standing in STANDINGS
        )
        frame = self.connection.execute(
            f"SELECT {column}, {columns},"
            " coalesce(sum(people * weight) FILTER (standing = 'lost'), 0) AS people_lost,"
            " coalesce(sum(people * weight) FILTER (standing = 'gained'), 0) AS people_gained,"
            " coalesce(sum((variant_minor - base_minor) * weight), 0) AS month_difference_minor"
            f" FROM compared WHERE standing <> 'neither' GROUP BY {column} ORDER BY {column}"
        ).df()
        for name in frame.columns.drop(column):
            frame[name] = np.rint(frame[name].to_numpy(np.float64) * self.scale).astype(np.int64)
        return frame

    def by_criterion(self) -> pd.DataFrame:
        """Return, for each criterion of the base, how many of the lost met it and do no longer."""
        pack = self.projection.base.loads.course.pack
        rows = []
        for at, criterion in enumerate(pack.criteria):
            [(met, no_longer)] = self.connection.execute(
                "SELECT coalesce(sum(weight) FILTER (base_bits & $bit <> 0), 0)::DOUBLE,"
                " coalesce(sum(weight) FILTER (base_bits & $bit <> 0"
                " AND variant_bits & $bit = 0), 0)::DOUBLE"
                " FROM compared WHERE standing = 'lost'",
                {"bit": 1 << at},
            ).fetchall()
            scaled = [int(np.rint(number * self.scale)) for number in (met, no_longer)]
            rows.append((f"criterion:{criterion.id}", *scaled))
        return pd.DataFrame(rows, columns=["criterion", "met_before", "no_longer"])


def difference_parts(projection: Projection, variant: str) -> Iterator[Part]:
    """Yield who is treated otherwise under the variant, and what that costs or saves."""
    comparison = Comparison(projection, variant)
    everybody = comparison.by("everybody").iloc[0]
    facts = {
        "variant": Sentence("a_name", {"code": variant}),
        "on": comparison.base_run.on.isoformat(),
        **{name: count(everybody[name]) for name in (*STANDINGS, "people_lost", "people_gained")},
        "amount": amount(abs(everybody["month_difference_minor"]), "TRY"),
        "direction": Sentence("more" if everybody["month_difference_minor"] > 0 else "less"),
    }
    provinces = _counts(comparison, variant, "province", Kind.NAME)
    yield saying(provinces, Sentence("who_says", facts))
    own = Sentence("variant_is", {"variant": Sentence("a_name", {"code": variant})})
    yield saying(_counts(comparison, variant, "size", Kind.COUNT), own)
    if comparison.projection.base.loads.course.pack.code == _pack_code(projection, variant):
        frame = comparison.by_criterion()
        if frame["no_longer"].any():
            yield saying(_criteria_part(frame, variant), own)
    for currency in ("TRY", *FOREIGN):
        yield _saving(projection, variant, currency)


def _criteria_part(frame: pd.DataFrame, variant: str) -> Part:
    columns = [
        Column("criterion", Kind.NAME), Column("met_before", Kind.COUNT),
        Column("no_longer", Kind.COUNT),
    ]  # fmt: skip
    made = table(f"by_criterion_{variant}", columns, _columns(frame))
    return part("by_criterion", made, "bars", name="criterion", value="no_longer", unit="count")


def _pack_code(projection: Projection, variant: str) -> str:
    return projection.outcomes[variant].loads.course.pack.code


def _counts(comparison: Comparison, variant: str, by: str, kind: Kind) -> Part:
    frame = comparison.by(by)
    columns = [Column(by, kind)]
    columns += [Column(name, Kind.COUNT) for name in (*STANDINGS, "people_lost", "people_gained")]
    columns.append(Column("month_difference_minor", Kind.AMOUNT, "TRY"))
    made = table(f"who_by_{by}_{variant}", columns, _columns(frame))
    return part(
        f"who_by_{by}", made, "stacked", name=by, values="lost gained other_amount", unit="count"
    )


def _saving(projection: Projection, variant: str, currency: str) -> Part:
    """Return the difference of the need, month by month: variant less base, draw by draw."""
    base, other = projection.base, projection.outcomes[variant]
    prices, drawn = projection.draws.base_prices, projection.draws.prices
    path = in_currency(other.base.need, prices, currency) - in_currency(
        base.base.need, prices, currency
    )
    paired = in_currency(other.draws.need, drawn, currency) - in_currency(
        base.draws.need, drawn, currency
    )
    rows = {
        "month": days_of(projection),
        "base_households": base.base.paid[0], "variant_households": other.base.paid[0],
        "difference_minor": path[0], **bands(paired, "_minor"),
    }  # fmt: skip
    columns = [
        MONTH, Column("base_households", Kind.COUNT), Column("variant_households", Kind.COUNT),
        Column("difference_minor", Kind.AMOUNT, currency), *band_columns(Kind.AMOUNT, currency),
    ]  # fmt: skip
    key = f"difference_{currency.lower()}"
    made = part(
        key, table(f"{key}_{variant}", columns, rows), "fan", line="difference_minor", unit=currency
    )
    low, high = ends(paired.sum(axis=1))
    facts = {
        "variant": Sentence("a_name", {"code": variant}),
        "total": amount(path.sum(), currency),
        "low": amount(low, currency),
        "high": amount(high, currency),
        "months": count(path.shape[1]),
    }
    return saying(made, Sentence("difference_says", facts))


def _columns(frame: pd.DataFrame) -> dict[str, object]:
    return {str(name): values for name, values in frame.items()}


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
