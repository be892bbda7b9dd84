"""The rules' own selection where a row of the population stands for several households.

A cycle's selection (`eligibility.selection`) takes every household as one. Where the population is
a sample, each row has a weight, and places, quotas and budgets are filled by weight: in the order
of the rules, whoever still fits wholly is in, and the first who does not fit ends its stratum. What
moves between strata, what a budget cuts off, who was listed by a person: all as in a cycle.

Weights are whole millionths of a household, cut, so that the order of adding them does not matter.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from glob import escape
from pathlib import Path
from typing import NamedTuple

import duckdb

from eligibility.rules.checked import parameters_on, rules_of
from eligibility.rules.pack import RulePack
from eligibility.selection import ALL, PLACES_MAX, Selection, stratum_of
from eligibility.serving import SELECTION_BUDGET_SHORT, budget_of

MILLION = 1_000_000
LISTED = "discretionary%"  # the reason of those who were listed by a person


def quoted(path: Path) -> str:
    """Return a path as it stands between quotes in SQL, as itself and not as a pattern."""
    return escape(str(path)).replace("'", "''")


def places_of(selection: Selection) -> dict[str, int]:
    """Return the places of each stratum; where only money is short, as many as there can be."""
    if selection.quota is not None:
        return dict(selection.quota.households)
    return {ALL: PLACES_MAX if selection.places is None else selection.places}


def falling(selection: Selection) -> str:
    """Return the direction of scores in the order of the rules, as SQL."""
    return "DESC" if selection.order == "highest_score_first" else "ASC"


def budget_on(pack: RulePack, on: date, grant_minor: int | None) -> int | None:
    """Return the budget of a cycle on a day in minor units, None where there is none.

    Raises `selection_budget_unstated`.
    """
    return budget_of(rules_of(pack), parameters_on(pack, on), grant_minor)


class Chosen(NamedTuple):
    """Rows that are selected and that wait, and the people and minor units of the selected rows."""

    selected: int
    waiting: int
    people_selected: int
    amount_minor: int


class WeightedWalk:
    """One walk down the order: places and money are handed out by weight, row after row."""

    def __init__(self, selection: Selection, budget_minor: int | None) -> None:
        self.room = {stratum: count * MILLION for stratum, count in places_of(selection).items()}
        self.left = None if budget_minor is None else budget_minor * MILLION
        self.moves = selection.quota is not None and selection.quota.unused == "move"
        self.served: Counter[str] = Counter(dict.fromkeys(self.room, 0))  # rows of each stratum
        self.full: set[str] = set()
        self.short: set[str] = set()

    def go(self, ordered: Iterable[tuple[str, int, int]]) -> Mapping[str, int]:
        """Return how many rows are served in each stratum: always its first ones.

        `ordered` gives stratum, amount in minor units and weight of each row, the first first.
        """
        rows = list(ordered)
        for stratum, amount_minor, weight in rows:
            if stratum not in self.room or stratum in self.full:
                continue
            if weight > self.room[stratum]:
                self.full.add(stratum)
            elif self.pays(stratum, amount_minor * weight):
                self.room[stratum] -= weight
        if self.moves:
            self.go_on(rows)
        return self.served

    def go_on(self, rows: Iterable[tuple[str, int, int]]) -> None:
        """Hand out the places that strata left unused to those who wait in the others."""
        ended = self.short | self.full
        spare = sum(left for stratum, left in self.room.items() if stratum not in ended)
        had, seen = Counter(self.served), Counter[str]()
        for stratum, amount_minor, weight in rows:
            seen[stratum] += 1
            if stratum not in self.room or seen[stratum] <= had[stratum]:
                continue
            if weight > spare:
                return
            spare -= weight * self.pays(stratum, amount_minor * weight)

    def pays(self, stratum: str, cost: int) -> bool:
        """Serve the next row of a stratum if there is money for it, else end the stratum."""
        if stratum in self.short:
            return False
        if self.left is not None:
            if cost > self.left:
                self.short.add(stratum)
                return False
            self.left -= cost
        self.served[stratum] += 1
        return True


def select_by_weight(
    decisions: Path,
    households: Path,
    pack: RulePack,
    *,
    weight: str,
    scale: float,
    budget_minor: int | None,
    threads: int,
) -> Chosen:
    """Fill places and budget by weight and write the decisions again; return what they come to.

    Arguments: `weight` is the weight of a row of `households` (called `h`) as SQL, `scale` what it
    is multiplied by. Raises `selection_budget_short`.
    """
    stratum = stratum_of(pack.selection)
    by = f"'{ALL}'" if stratum is None else f"coalesce(h.{stratum}, '')"
    read = (
        f"(SELECT d.*, {by} AS quota, floor({weight} * {scale!r} * {MILLION})::BIGINT AS weight"
        f" FROM read_parquet('{quoted(decisions)}') d"
        f" JOIN read_parquet('{quoted(households)}') h USING (household_id))"
    )
    with duckdb.connect(":memory:", config={"threads": threads}) as connection:
        connection.execute("SET enable_progress_bar = false")
        left = budget_minor
        if left is not None:
            [(listed,)] = connection.execute(
                "SELECT coalesce(sum(amount_minor::HUGEINT * weight), 0)"
                f" FROM {read} WHERE reason LIKE '{LISTED}'"
            ).fetchall()
            left -= -(-int(listed) // MILLION)
            if left < 0:
                raise SELECTION_BUDGET_SHORT.refusal()
        rows = connection.execute(
            f"SELECT quota, amount_minor, weight FROM {read} WHERE rank IS NOT NULL"
            f" ORDER BY score {falling(pack.selection)}, tie_key, household_id"
        ).fetchall()
        served = WeightedWalk(pack.selection, left).go(rows)
        _write_again(connection, read, served, decisions)
        [counted] = connection.execute(
            "SELECT count(*) FILTER (selected), count(waitlist_position),"
            " coalesce(sum(people) FILTER (selected), 0),"
            " coalesce(sum(amount_minor) FILTER (selected), 0)"
            f" FROM read_parquet('{quoted(decisions)}')"
        ).fetchall()
        return Chosen(*map(int, counted))


def _write_again(
    connection: duckdb.DuckDBPyConnection, read: str, served: Mapping[str, int], decisions: Path
) -> None:
    values = ", ".join(f"('{name}', {count})" for name, count in sorted(served.items()))
    fresh = decisions.with_suffix(".fresh")
    connection.execute(
        "COPY (SELECT d.* EXCLUDE (quota, weight, served) REPLACE ("
        f"coalesce(rank <= served, reason LIKE '{LISTED}') AS selected,"
        " CASE WHEN rank > served THEN (rank - served)::INTEGER END AS waitlist_position,"
        " CASE WHEN rank IS NULL THEN reason WHEN rank <= served THEN 'selected'"
        " ELSE 'waiting' END AS reason)"
        f" FROM (SELECT r.*, coalesce(v.served, 0) AS served FROM {read} r"
        f" LEFT JOIN (VALUES {values}) v (quota, served) USING (quota)) d"
        f" ORDER BY household_id) TO '{quoted(fresh)}' (FORMAT parquet, COMPRESSION zstd)"
    )
    fresh.replace(decisions)
