"""What every projection has to say: caseload, cost, grants, runway, exchange rates, assumptions.

Figures are of the base path; ranges are of the draws: the values below which 5, 25, 50, 75 and 95
of a hundred draws lie, each of them a value that was drawn.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import numpy as np

from eligibility.rules.pack import Label
from simulations.fans import LINES, fan, quantiles
from simulations.months import named
from simulations.projection.drawing import stress_outcome
from simulations.projection.grants import Cause
from simulations.projection.ledger import Ledger, drawdowns
from simulations.projection.prices import Prices
from simulations.projection.running import (
    Projection,
    adequacy_by_month,
    base_values,
    indexation_of,
)
from simulations.randomness import Ints
from simulations.rates import MILLION, foreign_minor
from simulations.report.model import (
    Chart,
    Column,
    Figure,
    Kind,
    Section,
    Sentence,
    Table,
    amount,
    count,
    month,
    share,
    table,
)
from simulations.scenario.model import Stress

BANDS = LINES
FOREIGN = ("USD", "EUR")
MONTH = Column("month", Kind.MONTH)
UNCHANGED = Stress(
    code="unchanged", name=Label(en="-", tr="-", ar="-"), jump_share=Decimal(0), frozen_months=0
)


class Part(NamedTuple):
    """A section with the table it shows."""

    section: Section
    table: Table


def part(key: str, content: Table, form: str = "", **options: str) -> Part:
    """Return a section of one table, with a chart of that form; sentences are added by `saying`."""
    chart = Chart(form, options) if form else None
    return Part(Section(key, (), chart, content.key), content)


def saying(one: Part, *sentences: Sentence) -> Part:
    """Return the part with sentences before its chart."""
    section = Section(one.section.key, sentences, one.section.chart, one.section.table)
    return Part(section, one.table)


def bands(draws: Ints, suffix: str = "") -> dict[str, Ints]:
    """Return the bands of a fan over the first axis, as columns `p5` to `p95`."""
    made = fan(draws)
    return {f"p{band}{suffix}": np.array(made.line(band)) for band in BANDS}


def ends(draws: Ints) -> tuple[int, int]:
    """Return the ends between which ninety of a hundred draws lie."""
    low, high = quantiles(draws, (BANDS[0], BANDS[-1])).tolist()
    return low, high


def band_columns(kind: Kind, currency: str = "") -> list[Column]:
    """Return the columns of a fan."""
    suffix = "_minor" if kind is Kind.AMOUNT else ""
    return [Column(f"p{band}{suffix}", kind, currency) for band in BANDS]


def in_currency(amounts: Ints, prices: Prices, currency: str) -> Ints:
    """Return amounts in kuruş (draws × months) in minor units of a currency, month by month."""
    return amounts if currency == "TRY" else foreign_minor(amounts, prices.of(currency))


def days_of(projection: Projection) -> list[str]:
    """Return the months of the projection as first days."""
    return [day.isoformat() for day in projection.draws.terms.months]


# --- figures -----------------------------------------------------------------------------------


def figures(projection: Projection) -> Iterator[Figure]:
    """Yield the key figures of the base course."""
    base, draws = projection.base.base, projection.base.draws
    prices, drawn = projection.draws.base_prices, projection.draws.prices
    for currency in ("TRY", *FOREIGN):
        spread = in_currency(draws.need, drawn, currency).sum(axis=1)
        total = in_currency(base.need, prices, currency).sum()
        yield ranged("need_total", total, spread, partial(amount, currency=currency))
    yield ranged("households_month", base.paid[0].max(), draws.paid.max(axis=1), count)
    yield Figure("people_month", count(base.people[0].max()))
    if projection.scenario.grants:
        yield shortfall(projection)
        yield runway(projection)
        unfunded = base.unfunded.sum(), draws.unfunded.sum(axis=1)
        yield ranged("unfunded_total", *unfunded, partial(amount, currency="TRY"))
    transfers, spent = int(base.transfers.sum()), int(base.spent.sum())
    if transfers:
        yield Figure("alpha", share(transfers * MILLION // spent))
        yield Figure("cost_per_household", amount(spent // max(int(base.paid.sum()), 1), "TRY"))


def ranged(key: str, value: int, draws: Ints, shown: Callable[[int], Sentence]) -> Figure:
    """Return a figure with the 5 and the 95 % of the draws."""
    low, high = ends(draws)
    return Figure(key, shown(value), shown(low), shown(high))


def shortfall(projection: Projection) -> Figure:
    """Return the first month that is not fully funded."""
    base, draws = projection.base.base.shortfall, projection.base.draws.shortfall
    return _month_figure(projection, "short_month", base[0], draws)


def runway(projection: Projection) -> Figure:
    """Return the month in which the grants are used up or have ended."""
    return _month_figure(
        projection, "dry_month", projection.base.base.dry[0], projection.base.draws.dry
    )


def cause_of(ledger: Ledger) -> Sentence:
    """Return why the first month that is not fully funded on the base path is not."""
    months = ledger.cause.shape[1]
    at = int(ledger.shortfall[0])
    cause = Cause(int(ledger.cause[0, at])) if at < months else Cause.NONE
    return Sentence(f"cause_{cause.name.lower()}")


def _month_figure(projection: Projection, key: str, base: int, draws: Ints) -> Figure:
    months = projection.draws.terms.months

    def shown(at: int) -> Sentence:
        return month(named(months[at])) if at < len(months) else Sentence("not_within")

    return ranged(key, base, draws, shown)


# --- sections ----------------------------------------------------------------------------------


def caseload_part(projection: Projection) -> Part:
    """Return who is paid month by month."""
    base, draws = projection.base.base, projection.base.draws
    columns = [
        MONTH, Column("due", Kind.COUNT), Column("paid", Kind.COUNT), Column("failed", Kind.COUNT),
        Column("people", Kind.COUNT), *band_columns(Kind.COUNT),
    ]  # fmt: skip
    rows = {
        "month": days_of(projection), "due": base.due[0], "paid": base.paid[0],
        "failed": base.failed[0], "people": base.people[0], **bands(draws.paid),
    }  # fmt: skip
    adequate = adequacy_by_month(projection)
    if adequate is not None:
        rows["adequacy"] = adequate
        columns.insert(5, Column("adequacy", Kind.SHARE))
    made = part("caseload", table("caseload", columns, rows), "fan", line="paid", unit="count")
    first, last = base.paid[0, 0], base.paid[0, -1]
    facts = {"first": count(first), "last": count(last), "people": count(base.people[0, 0])}
    said = [Sentence("caseload_says", facts)]
    if adequate is not None and np.isfinite(adequate[[0, -1]]).all():
        begin, end = (share(int(np.rint(at * MILLION))) for at in adequate[[0, -1]])
        said.append(Sentence("adequacy_says", {"first": begin, "last": end}))
    return saying(made, *said)


def cost_part(projection: Projection, currency: str) -> Part:
    """Return what has to be paid month by month in one currency."""
    base, draws = projection.base.base, projection.base.draws
    prices = projection.draws.base_prices
    names = ("transfers", "fees", "fixed", "spent", "unfunded", "need")
    rows: dict[str, object] = {"month": days_of(projection)}
    for name in names:
        rows[f"{name}_minor"] = in_currency(getattr(base, name), prices, currency)[0]
    rows |= bands(in_currency(draws.need, projection.draws.prices, currency), "_minor")
    columns = [MONTH, *(Column(f"{name}_minor", Kind.AMOUNT, currency) for name in names)]
    columns += band_columns(Kind.AMOUNT, currency)
    key = f"cost_{currency.lower()}"
    made = part(key, table(key, columns, rows), "fan", line="need_minor", unit=currency)
    total = in_currency(base.need, prices, currency).sum()
    spread = in_currency(draws.need, projection.draws.prices, currency).sum(axis=1)
    low, high = ends(spread)
    facts = {
        "total": amount(total, currency),
        "low": amount(low, currency),
        "high": amount(high, currency),
        "months": count(len(base.need[0])),
    }
    return saying(made, Sentence("cost_says", facts))


def grants_part(projection: Projection) -> Part:
    """Return what is drawn of each grant, in the months in which it is drawn."""
    terms = projection.draws.terms
    base, funds = drawdowns(terms, projection.base.base), terms.funds
    days = [day.isoformat() for day in base.months]
    rows = {
        "month": days * len(funds),
        "grant": [fund.code for fund in funds for _ in days],
        "currency": [fund.currency for fund in funds for _ in days],
        "drawn_minor": base.drawn[0].T.ravel(),
        "remaining_minor": base.remaining[0].T.ravel(),
        "remaining_share": np.concatenate([
            base.remaining[0, :, at] * 1000 // max(fund.amount_minor, 1)
            for at, fund in enumerate(funds)
        ]) / 1000,
    }  # fmt: skip
    columns = [
        MONTH, Column("grant", Kind.TEXT), Column("currency", Kind.TEXT),
        Column("drawn_minor", Kind.AMOUNT), Column("remaining_minor", Kind.AMOUNT),
        Column("remaining_share", Kind.SHARE),
    ]  # fmt: skip
    made = part(
        "grants", table("grants", columns, rows), "lines", value="remaining_share",
        series="grant", unit="share",
    )  # fmt: skip
    return saying(made, *(_grant_says(projection, at) for at in range(len(funds))))


def _grant_says(projection: Projection, at: int) -> Sentence:
    base, draws = projection.base.base, projection.base.draws
    fund = projection.draws.terms.funds[at]
    low, high = ends(draws.remaining[:, -1, at])
    facts = {
        "grant": fund.code,
        "amount": amount(fund.amount_minor, fund.currency),
        "drawn": amount(base.drawn[0, :, at].sum(), fund.currency),
        "left": amount(base.remaining[0, -1, at], fund.currency),
        "low": amount(low, fund.currency),
        "high": amount(high, fund.currency),
    }
    return Sentence("grant_says", facts)


def runway_part(projection: Projection) -> Part:
    """Return how likely it is, by each month, that one was short, and that money has run dry."""
    draws = projection.base.draws
    months = range(len(projection.draws.terms.months))
    chance = [(draws.dry <= at).mean() for at in months]
    short_chance = [(draws.shortfall <= at).mean() for at in months]
    rows = {"month": days_of(projection), "dry_share": chance, "short_share": short_chance}
    columns = [MONTH, Column("dry_share", Kind.SHARE), Column("short_share", Kind.SHARE)]
    made = part("runway", table("runway", columns, rows), "steps", value="dry_share", unit="share")
    figure = runway(projection)
    short = quantiles(draws.unfunded.sum(axis=1), (50, 95)).tolist()
    facts = {
        "base": figure.value, "low": figure.low or "", "high": figure.high or "",
        "chance": share(int(np.rint(chance[-1] * MILLION))),
        "short": shortfall(projection).value, "cause": cause_of(projection.base.base),
        "short_chance": share(int(np.rint(short_chance[-1] * MILLION))),
        "unfunded": amount(projection.base.base.unfunded.sum(), "TRY"),
        "median": amount(short[0], "TRY"), "most": amount(short[1], "TRY"),
    }  # fmt: skip
    return saying(made, Sentence("runway_says", facts))


def exchange_part(projection: Projection) -> Part:
    """Return where the dollar may go: the fan, and the stress paths beside it."""
    prices, base = projection.draws.prices, projection.draws.base_prices
    dollar = np.broadcast_to(prices.of("USD"), (projection.scenario.draws, base.rates.shape[1]))
    rows: dict[str, object] = {"month": days_of(projection), "base": base.of("USD")[0]}
    rows |= bands(dollar)
    columns = [MONTH, Column("base", Kind.RATE), *band_columns(Kind.RATE)]
    for stress in projection.scenario.prices.stress:
        path, _ = stress_outcome(projection.draws, projection.base.loads, None, stress)
        rows[stress.code] = path.of("USD")[0]
        columns.append(Column(stress.code, Kind.RATE))
    made = part("exchange", table("exchange", columns, rows), "fan", line="base", unit="rate")
    known = projection.draws.market.known
    before = int(known.rates[-1, known.currencies.index("USD")])
    facts = {
        "month": month(known.months[-1]), "before": f"{before // 10_000 / 100:.2f}",
        "last": f"{base.of('USD')[0, -1].item() // 10_000 / 100:.2f}",
    }  # fmt: skip
    return saying(made, Sentence("exchange_says", facts))


def stress_part(projection: Projection) -> Part:
    """Return what each stress path costs, beside the base path and rates that stay as they are."""
    paths = [("base", projection.draws.base_prices, projection.base.base)]
    paths += [(code, *outcome) for code, outcome in stress_outcomes(projection)]
    rows = [_stress_row(projection, *path) for path in paths]
    columns = [
        Column("path", Kind.NAME), Column("rate_last", Kind.RATE),
        Column("need_try_minor", Kind.AMOUNT, "TRY"), Column("need_usd_minor", Kind.AMOUNT, "USD"),
        Column("need_eur_minor", Kind.AMOUNT, "EUR"),
        Column("unfunded_minor", Kind.AMOUNT, "TRY"), Column("short_month", Kind.MONTH),
        Column("dry_month", Kind.MONTH),
    ]  # fmt: skip
    by_name = {column.name: [row[column.name] for row in rows] for column in columns}
    made = part(
        "stress", table("stress", columns, by_name), "bars", name="path", value="need_usd_minor",
        unit="USD",
    )  # fmt: skip
    return saying(made, Sentence("stress_says"))


def stress_outcomes(projection: Projection) -> Iterator[tuple[str, tuple[Prices, Ledger]]]:
    """Yield the prices and the ledger of every stress path by its code.

    First those of rates that stay as they are: a stress path stands still but for its shock, so
    that is what it is held against. The base path's lira falls as it has done on the record.
    """
    indexation = indexation_of(projection.scenario, "base")
    for stress in (UNCHANGED, *projection.scenario.prices.stress):
        loads = projection.base.loads
        yield stress.code, stress_outcome(projection.draws, loads, indexation, stress)


def _stress_row(
    projection: Projection, code: str, prices: Prices, ledger: Ledger
) -> dict[str, object]:
    days = days_of(projection)
    short, dry = int(ledger.shortfall[0]), int(ledger.dry[0])
    return {
        "path": code,
        "rate_last": int(prices.of("USD")[0, -1]),
        "need_try_minor": int(ledger.need.sum()),
        "need_usd_minor": int(in_currency(ledger.need, prices, "USD").sum()),
        "need_eur_minor": int(in_currency(ledger.need, prices, "EUR").sum()),
        "unfunded_minor": int(ledger.unfunded.sum()),
        "short_month": days[short] if short < len(days) else None,
        "dry_month": days[dry] if dry < len(days) else None,
    }


def provinces_part(projection: Projection) -> Part:
    """Return the base path by province: first and last month, transfers of all months."""
    outcome = projection.base
    provinces = np.array(outcome.loads.strata.province)
    known = sorted(set(outcome.loads.strata.province))
    values = base_values(projection)
    paid = outcome.base.paid_by_group[0]
    rows = []
    for province in known:
        own = provinces == province
        people = np.rint(paid[0, own] * outcome.loads.strata.people[own]).sum()
        rows.append({
            "province": province, "first": int(paid[0, own].sum()),
            "last": int(paid[-1, own].sum()), "people": int(people),
            "transfers_minor": int((paid[:, own] * values[:, own]).sum()),
        })  # fmt: skip
    columns = [
        Column("province", Kind.NAME), Column("first", Kind.COUNT), Column("last", Kind.COUNT),
        Column("people", Kind.COUNT), Column("transfers_minor", Kind.AMOUNT, "TRY"),
    ]  # fmt: skip
    by_name = {column.name: [row[column.name] for row in rows] for column in columns}
    return part(
        "provinces", table("provinces", columns, by_name), "bars", name="province", value="first",
        unit="count",
    )  # fmt: skip


def together(parts: Sequence[Part]) -> tuple[tuple[Section, ...], dict[str, Table]]:
    """Return the sections in order and their tables by key."""
    return tuple(one.section for one in parts), {one.table.key: one.table for one in parts}
