"""What the charts of a report have in common: sizes, colours, axes, figures for people."""

import altair as alt
import pandas as pd

from ledgers.money import exponent
from simulations.rates import MILLION
from simulations.report.model import Column, Kind, Table
from simulations.report.wording import Wording

WIDTH, HEIGHT, ROW = 840, 270, 24
ROWS_MAX = 25
INK, BAND, LINE = "#0b3954", "#5fa8d3", "#0b5c8a"
COLOURS = ["#0b5c8a", "#c7703a", "#4f7d3a", "#7a5195", "#8a6d1f", "#555555"]
PARTS = ["#c7703a", "#4f7d3a", "#b9a44c"]
FLOW_COLOURS = [
    "#0b5c8a", "#4f7d3a", "#7fb2a5", "#c7703a", "#7a5195", "#b9a44c", "#8c4a4a",
]  # fmt: skip
DASHES = [[6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3]]
MILLIONS_FROM = 2_000_000
Shown = dict[str, object]


def scaled(table: Table, unit: str, wording: Wording, names: list[str]) -> tuple[pd.DataFrame, str]:
    """Return the frame with the named columns as people read them, and the title of their axis."""
    frame = table.frame.copy()
    by_name = {column.name: column for column in table.columns}
    largest = max(pd.to_numeric(frame[name]).abs().max() for name in names)
    kind = by_name[names[0]].kind
    if kind is Kind.AMOUNT:
        whole = 10 ** exponent(unit)
        large = largest >= MILLIONS_FROM * whole
        divisor = whole * (1_000_000 if large else 1000)
        title = wording.word("millions" if large else "thousands").format(unit=unit)
    elif kind is Kind.RATE:
        divisor, title = MILLION, wording.word("rate_axis")
    else:
        divisor, title = 1, ""
    for name in names:
        frame[name] = pd.to_numeric(frame[name]) / divisor
    return frame, title


def specified(chart: alt.TopLevelMixin) -> Shown:
    """Return the specification of a chart."""
    # Every form is drawn by the tests, and a chart that is not one is refused when it is drawn.
    specification: Shown = chart.to_dict(validate=False)
    return specification


def time_axis() -> alt.X:
    """Return the axis of months; time runs to the right in every language."""
    axis = alt.Axis(format="%Y-%m", tickCount=12, labelAngle=0, labelOverlap="greedy", grid=False)
    return alt.X("month:T", title=None, axis=axis)


def format_of(column: Column) -> str:
    """Return how the figures of a column stand on an axis."""
    return {Kind.COUNT: ",d", Kind.SHARE: ".0%", Kind.RATE: ",.0f"}.get(column.kind, ",.4~g")
