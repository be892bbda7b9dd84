"""What each question asks for, and after it what every projection has to say.

* cost: the runway and the grants come first;
* rule change, expansion, comparison: who is treated otherwise, and what it costs or saves;
* frontier: how many people each transfer value reaches under the grants there are;
* shock: the stress paths first;
* targeting: whom rules reach and miss, by an expenditure that is known or stated;
* backtest: what would have been told then, beside what came.
"""

from collections.abc import Callable, Iterator, Mapping

from simulations.projection.running import Projection
from simulations.report.backtesting import backtest_parts
from simulations.report.differences import difference_parts
from simulations.report.frontiers import frontier_part
from simulations.report.parts import (
    FOREIGN,
    Part,
    caseload_part,
    cost_part,
    exchange_part,
    grants_part,
    provinces_part,
    runway_part,
    stress_part,
)
from simulations.report.reaching import targeting_parts
from simulations.report.sensitivity import sensitivity_part
from simulations.report.waterfall import waterfall_parts


def answer_parts(projection: Projection) -> Iterator[Part]:
    """Yield what the scenario's question asks for."""
    yield from ANSWERS[projection.scenario.question](projection)


def _cost(projection: Projection) -> Iterator[Part]:
    yield runway_part(projection)
    yield grants_part(projection)
    yield from _sensitive(projection)


def _sensitive(projection: Projection) -> Iterator[Part]:
    found = sensitivity_part(projection)
    if found is not None:
        yield found


def _differences(projection: Projection) -> Iterator[Part]:
    for variant in projection.scenario.variants:
        yield from difference_parts(projection, variant.code)


def _frontier(projection: Projection) -> Iterator[Part]:
    yield frontier_part(projection)


def _shock(projection: Projection) -> Iterator[Part]:
    yield stress_part(projection)
    yield exchange_part(projection)
    yield runway_part(projection)


def _targeting(projection: Projection) -> Iterator[Part]:
    yield from targeting_parts(projection)
    yield from _differences(projection)


ANSWERS: Mapping[str, Callable[[Projection], Iterator[Part]]] = {
    "cost": _cost,
    "rule_change": _differences,
    "frontier": _frontier,
    "shock": _shock,
    "expansion": _differences,
    "comparison": _differences,
    "targeting": _targeting,
    "backtest": backtest_parts,
}


def common_parts(projection: Projection) -> Iterator[Part]:
    """Yield what every projection has to say, after what its question asks for."""
    yield caseload_part(projection)
    yield from waterfall_parts(projection)
    for currency in ("TRY", *FOREIGN):
        yield cost_part(projection, currency)
    if projection.scenario.grants:
        yield grants_part(projection)
        yield runway_part(projection)
    yield exchange_part(projection)
    if projection.scenario.prices.stress:
        yield stress_part(projection)
    yield provinces_part(projection)
