"""What the cost depends on: a tornado and Sobol indices of the need in dollars."""

from collections.abc import Mapping

import numpy as np

from ledgers.problems import Refusal
from simulations.distributions import Distribution
from simulations.projection.drawing import EXCHANGE, assumptions, cost_of, uncertain
from simulations.projection.running import Projection, indexation_of
from simulations.randomness import Floats, Randomness
from simulations.report.model import Column, Kind, Sentence, table
from simulations.report.parts import Part, part, saying
from simulations.sensitivity import SENSITIVITY_FLAT, Uncertain, sobol_indices, tornado

POINTS = 1024
CENTS_IN_MILLION = 100_000_000
DIGITS = 3


class Chance:
    """The exchange-rate path as an assumption: its value is the chance that picks the path."""

    def quantile(self, chances: Floats) -> Floats:
        """Return the chances themselves."""
        return chances


def sensitivity_part(projection: Projection) -> Part | None:
    """Return the part, or None where everything is known or nothing of it moves the cost.

    Where places or a budget are full throughout, what is uncertain may not change the cost.
    """
    names = uncertain(projection.draws)
    if not names:
        return None
    known: Mapping[str, Distribution] = assumptions(projection.scenario)
    asked: dict[str, Uncertain] = {
        name: Chance() if name == EXCHANGE else known[name] for name in names
    }
    indexation = indexation_of(projection.scenario, "base")

    def model(values: Mapping[str, Floats]) -> Floats:
        return cost_of(projection.draws, projection.base.loads, indexation, values)

    found = tornado(asked, model)
    try:
        shares = sobol_indices(asked, model, Randomness(projection.scenario.seed), POINTS)
    except Refusal as refusal:
        if refusal.problem is not SENSITIVITY_FLAT:
            raise
        return None
    indices = {index.name: index for index in shares}
    rows = {
        "assumption": ["exchange_path" if bar.name == EXCHANGE else bar.name for bar in found.bars],
        "low_minor": [_cents(bar.low_result) for bar in found.bars],
        "high_minor": [_cents(bar.high_result) for bar in found.bars],
        "middle_minor": [_cents(found.middle)] * len(found.bars),
        "first_order": [round(indices[bar.name].first, DIGITS) for bar in found.bars],
        "first_error": [round(indices[bar.name].first_error, DIGITS) for bar in found.bars],
        "total_order": [round(indices[bar.name].total, DIGITS) for bar in found.bars],
        "total_error": [round(indices[bar.name].total_error, DIGITS) for bar in found.bars],
    }
    columns = [
        Column("assumption", Kind.WORD), Column("low_minor", Kind.AMOUNT, "USD"),
        Column("high_minor", Kind.AMOUNT, "USD"), Column("middle_minor", Kind.AMOUNT, "USD"),
        Column("first_order", Kind.SHARE), Column("first_error", Kind.SHARE),
        Column("total_order", Kind.SHARE), Column("total_error", Kind.SHARE),
    ]  # fmt: skip
    made = part(
        "sensitivity", table("sensitivity", columns, rows), "spans", name="assumption",
        low="low_minor", high="high_minor", middle="middle_minor", unit="USD",
    )  # fmt: skip
    return saying(made, Sentence("sensitivity_says"))


def _cents(millions: float) -> int:
    return int(np.rint(millions * CENTS_IN_MILLION))
