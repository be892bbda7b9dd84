"""How fans of the exchange rate did on the record, said under every fan that the rate moves.

A nominal share is what a method says of itself. What its ranges would have covered is tried on the
record as it was known to the scenario (`simulations.coverage`): a backtest is told what could be
known then and not what came after. It is said in full under the fans of the rate itself and of
amounts in euros, whose rate is another; under the others it is said where to look.
"""

from functools import cache

import numpy as np

from simulations.coverage import HORIZONS, Coverage, Method, Trial, coverage
from simulations.projection.running import Projection
from simulations.randomness import Randomness
from simulations.rates import MILLION, ecb_record
from simulations.report.model import Section, Sentence, share
from simulations.report.parts import Part, saying
from simulations.scenario.model import NEVER

METHODS = {"bootstrap": Method.BOOTSTRAP, "lognormal": Method.NORMAL}
COVERAGE_DRAWS = 500
FANS = ("fan", "curve")
KEPT = "backtest_keep"  # lira that follow the dollar
IN_FULL = {"rate": "USD", "EUR": "EUR"}


def covered(projection: Projection, one: Part) -> Part:
    """Return the part; where exchange rates move its fan or band, with how such ranges did."""
    chart = one.section.chart
    if chart is None or chart.form not in FANS or not _drawn(projection):
        return one
    unit = chart.options["unit"]
    if unit in IN_FULL:
        said = list(coverage_says(projection, IN_FULL[unit]))
    elif _moved(projection, one.section, unit):
        said = [Sentence("coverage_elsewhere")]
    else:
        return one
    return saying(one, *one.section.sentences, *said)


def coverage_says(projection: Projection, currency: str) -> tuple[Sentence, ...]:
    """Return how ranges like the scenario's did on the record that it knows."""
    exchange, known = projection.scenario.prices.exchange, projection.draws.market.known
    tried = _tried(
        METHODS[exchange.kind], known.months[-1], currency, exchange.window_months,
        exchange.block_months, projection.scenario.seed,
    )  # fmt: skip
    told: dict[str, object] = {
        name: "–" if one is None else _share(one.covered)
        for name, one in zip(("six", "twelve", "twentyfour"), tried, strict=True)
    }
    longest = [one for one in tried if one is not None]
    if not longest:
        return (Sentence("coverage_untried", {"first": known.months[0], "last": known.months[-1]}),)
    told |= {
        "currency": currency, "first": known.months[0], "last": known.months[-1],
        "nominal": _share(longest[-1].nominal), "above": _share(longest[-1].above),
        "below": _share(longest[-1].below), "horizon": str(longest[-1].horizon),
    }  # fmt: skip
    jumps = (Sentence("coverage_without_jumps"),) if exchange.jumps is not None else ()
    return (Sentence("coverage_says", told), *jumps)


@cache
def _tried(
    method: Method, known_until: str, currency: str, window: int, block: int, seed: int
) -> tuple[Coverage | None, ...]:
    """Return how each horizon did on the record until a month; None where that is too short."""
    record, randomness = ecb_record().until(known_until), Randomness(seed)
    changes = len(record.months) - 1
    return tuple(
        coverage(
            record, Trial(method, horizon, window, block, COVERAGE_DRAWS), randomness, currency
        )
        if window + horizon <= changes
        else None
        for horizon in HORIZONS
    )


def _drawn(projection: Projection) -> bool:
    """Say whether the scenario draws its rates by a method that can be tried on the record."""
    return projection.scenario.prices.exchange.kind in METHODS


def _moved(projection: Projection, section: Section, unit: str) -> bool:
    """Say whether exchange rates move what a fan shows in this unit."""
    scenario = projection.scenario
    if unit == "count":
        return any(grant.currency != "TRY" for grant in scenario.grants)
    if unit != "TRY" or section.key == KEPT:
        return True
    indexed = [scenario.indexation, *(variant.indexation for variant in scenario.variants)]
    passed_on = scenario.prices.inflation.passed_on != NEVER
    return any(one.follows != "prices" or passed_on for one in indexed if one is not None)


def _share(part: float) -> Sentence:
    return share(int(np.rint(part * MILLION)))
