"""Programmes that exclude each other, decided in a stated order from one application.

One snapshot, several packs, one after another. A household that qualifies under a pack is *taken*
by it, whether it is served now or waits there, or because a person listed it; the packs that come
later say so and leave it alone. Where an earlier pack cannot decide yet, people look first: the
household is *open* there, and no later pack serves it meanwhile. So nobody is served twice, and
nobody who might belong to the earlier programme slips into the later one, or is left out unseen.

A pack says itself with `after` which packs are decided before it; another order is refused.

Source: the assignment of households to C-ESSN and ESSN from one application (Kızılay, 2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from glob import escape
from pathlib import Path

import duckdb

from eligibility.assessment import assess
from eligibility.decisions import AssessmentTotals
from eligibility.rules.pack import RulePack
from eligibility.snapshot import engine
from ledgers.problems import Problem

ORDER_CONTRADICTED = Problem(
    "order_contradicted",
    "The pack {pack} is decided after {earlier}, which does not stand before it here.",
    "Assess these packs together, in the order that they state.",
)
ORDER_PACK_TWICE = Problem(
    "order_pack_twice", "The pack {pack} stands twice in the order.", "Name each pack once."
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One pack of an order: its reference date, its seed, its grant, and where its file goes."""

    pack: RulePack
    on: date
    seed: str
    out: Path
    grant_minor: int | None = None


def check_order(packs: Sequence[RulePack]) -> None:
    """Refuse an order that the packs themselves contradict.

    Raises `order_contradicted`, `order_pack_twice`.
    """
    before: set[str] = set()
    for pack in packs:
        if pack.code in before:
            raise ORDER_PACK_TWICE.refusal(pack=pack.code)
        for earlier in pack.after or ():
            if earlier not in before:
                raise ORDER_CONTRADICTED.refusal(pack=pack.code, earlier=earlier)
        before.add(pack.code)


def assess_in_order(
    households: Path, members: Path, turns: Sequence[Turn], *, spill: Path
) -> tuple[AssessmentTotals, ...]:
    """Decide every household of the snapshot under each pack in turn; one file of decisions each.

    A pack leaves alone whom the packs that it names in `after` have taken. `spill` is a folder for
    what does not fit in memory and for the lists between two turns. Raises what `assess` raises,
    `order_contradicted`, `order_pack_twice`.
    """
    check_order([turn.pack for turn in turns])
    done: list[AssessmentTotals] = []
    for at, turn in enumerate(turns):
        earlier = None
        if turn.pack.after:
            named = [past for past in turns[:at] if past.pack.code in turn.pack.after]
            earlier = spill / f"earlier-{at}.parquet"
            _claimed(named, earlier, spill)
        done.append(
            assess(
                households, members, turn.pack, turn.on, turn.out, seed=turn.seed, spill=spill,
                earlier=earlier, grant_minor=turn.grant_minor,
            )
        )  # fmt: skip
    return tuple(done)


def _claimed(turns: Sequence[Turn], out: Path, spill: Path) -> None:
    """Write whom the packs of `turns` claim; where several do, the one that takes, then the first.

    What was taken or is open for an earlier pack still is one of its decisions there, and not
    claimed a second time.
    """
    with engine(spill, 256, 1) as connection:
        connection.execute(
            "CREATE TABLE claimed"
            " (household_id VARCHAR, standing VARCHAR, pack VARCHAR, turn INTEGER)"
        )
        for at, turn in enumerate(turns):
            connection.execute(
                """
                INSERT INTO claimed
                SELECT household_id, CASE status WHEN 'review' THEN 'open' ELSE 'taken' END, $pack,
                       $turn
                FROM read_parquet($file)
                WHERE (status IN ('eligible', 'review') OR selected) AND reason NOT LIKE 'open:%'
                """,
                {"pack": turn.pack.code, "turn": at, "file": escape(str(turn.out))},
            )
        _write(connection, out)


def _write(connection: duckdb.DuckDBPyConnection, out: Path) -> None:
    file = str(out).replace("'", "''")
    connection.execute(
        f"""
        COPY (
          SELECT household_id, standing, pack FROM claimed
          QUALIFY row_number() OVER (
            PARTITION BY household_id ORDER BY standing = 'open', turn) = 1)
        TO '{file}' (FORMAT parquet)
        """
    )
