"""The answer in short: what stands at the top of a report, before any chart.

One sentence for a question of cost, a frontier or a backtest; one for each variant or stress path
where several are compared. Every figure of it stands again, with its table, in a section below.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from simulations.projection.running import Projection
from simulations.rates import MILLION
from simulations.report.model import Section, Sentence, Table, amount, count, month, share
from simulations.report.parts import cause_of, ends, in_currency, runway, shortfall
from simulations.report.wording import NOTHING


class Told(NamedTuple):
    """What the report's sections say: their sentences, and their tables by key."""

    sections: tuple[Section, ...]
    tables: Mapping[str, Table]

    def of(self, key: str, variant: str) -> Mapping[str, object]:
        """Return the facts of the sentence `key` about a variant."""
        name = Sentence("a_name", {"code": variant})
        return next(
            sentence.facts
            for section in self.sections
            for sentence in section.sentences
            if sentence.key == key and sentence.facts["variant"] == name
        )


def short_answer(
    projection: Projection, sections: tuple[Section, ...], tables: Mapping[str, Table]
) -> tuple[Sentence, ...]:
    """Return the answer in short to what the sections and their tables say at length."""
    return tuple(SHORT[projection.scenario.question](projection, Told(sections, tables)))


def _cost(projection: Projection, told: Told) -> Iterator[Sentence]:
    del told
    base, drawn = projection.base.base, projection.base.draws
    need = in_currency(base.need, projection.draws.base_prices, "USD").sum()
    low, high = ends(in_currency(drawn.need, projection.draws.prices, "USD").sum(axis=1))
    months = base.need.shape[1]
    facts = {
        "need": amount(need, "USD"), "low": amount(low, "USD"), "high": amount(high, "USD"),
        "months": count(months),
        "chance": share(int(np.rint((drawn.shortfall < months).mean() * MILLION))),
        "unfunded": amount(base.unfunded.sum(), "TRY"), "dry": runway(projection).value,
        "short": shortfall(projection).value, "cause": cause_of(base),
    }  # fmt: skip
    yield Sentence("short_cost" if base.shortfall[0] < months else "short_cost_lasts", facts)


def _differences(projection: Projection, told: Told) -> Iterator[Sentence]:
    base, prices = projection.base, projection.draws.base_prices
    drawn = projection.draws.prices
    for variant in projection.scenario.variants:
        other = projection.outcomes[variant.code]
        path = (in_currency(other.base.need, prices, "USD").sum()
                - in_currency(base.base.need, prices, "USD").sum())  # fmt: skip
        paired = (in_currency(other.draws.need, drawn, "USD")
                  - in_currency(base.draws.need, drawn, "USD"))  # fmt: skip
        sign = 1 if path > 0 else -1
        low, high = sorted(sign * end for end in ends(paired.sum(axis=1)))
        facts = {
            **told.of("who_says", variant.code), "amount": amount(abs(path), "USD"),
            "low": amount(low, "USD"), "high": amount(high, "USD"),
            "months": count(base.base.need.shape[1]),
        }  # fmt: skip
        yield Sentence("short_costs" if path > 0 else "short_saves", facts)


def _frontier(projection: Projection, told: Told) -> Iterator[Sentence]:
    del projection
    [section] = [section for section in told.sections if section.table == "frontier"]
    yield Sentence("short_frontier", section.sentences[0].facts)


def _shock(projection: Projection, told: Told) -> Iterator[Sentence]:
    paths = {row["path"]: row for row in told.tables["stress"].frame.to_dict("records")}
    still = paths["unchanged"]
    for stress in projection.scenario.prices.stress:
        own = paths[stress.code]
        facts = {
            "path": Sentence("a_name", {"code": stress.code}),
            **{name: amount(row[f"need_{money.lower()}_minor"], money)
               for name, row, money in (
                   ("lira_before", still, "TRY"), ("lira", own, "TRY"),
                   ("before", still, "USD"), ("dollars", own, "USD"))},
            "short": _month(own["short_month"]), "short_before": _month(still["short_month"]),
        }  # fmt: skip
        yield Sentence("short_shock", facts)


def _month(day: object) -> Sentence:
    return month(day[:7]) if isinstance(day, str) else Sentence("not_within")


def _targeting(projection: Projection, told: Told) -> Iterator[Sentence]:
    frame = told.tables["measures"].frame
    days = frame["month"].unique()
    first, last = (frame[frame["month"] == day].set_index("measure") for day in days[[0, -1]])
    for course in projection.outcomes:
        name = "base_rules" if course == "base" else course
        facts = {
            key: _share_or_nothing(months[name][measure])
            for key, months, measure in (
                ("exclusion", first, "exclusion_overall"),
                ("inclusion", first, "inclusion_overall"), ("gap", first, "gap_closed"),
                ("before", first, "fgt0_before"), ("after", first, "fgt0_after"),
                ("gap_last", last, "gap_closed"), ("after_last", last, "fgt0_after"),
            )
        }  # fmt: skip
        named = {"first": month(days[0][:7]), "last": month(days[-1][:7]),
                 "course": Sentence("a_name", {"code": name})}  # fmt: skip
        yield Sentence("short_targeting", {**facts, **named})


def _share_or_nothing(value: float) -> Sentence | str:
    """Return a share; where it is one of nobody (nobody is paid, say) there is none."""
    return NOTHING if np.isnan(value) else share(int(np.rint(value * MILLION)))


def _backtest(projection: Projection, told: Told) -> Iterator[Sentence]:
    known = projection.draws.market.known.months[-1]
    frame = told.tables["backtest_usd"].frame
    drawn = in_currency(projection.base.draws.need, projection.draws.prices, "USD").sum(axis=1)
    low, high = ends(drawn)
    facts = {
        "known": month(known), "households": count(projection.base.base.paid[0, 0]),
        "lira": amount(projection.base.base.need.sum(), "TRY"),
        "told": amount(int(frame["base_minor"].sum()), "USD"), "low": amount(low, "USD"),
        "high": amount(high, "USD"), "came": amount(int(frame["actual_minor"].sum()), "USD"),
    }  # fmt: skip
    yield Sentence("short_backtest", facts)


SHORT: Mapping[str, Callable[[Projection, Told], Iterator[Sentence]]] = {
    "cost": _cost,
    "rule_change": _differences,
    "frontier": _frontier,
    "shock": _shock,
    "expansion": _differences,
    "comparison": _differences,
    "targeting": _targeting,
    "backtest": _backtest,
}
