"""Charts of a report as SVG: they need no script and no network, print, and travel by e-mail.

A fan shows the base path as a line, half of the draws as a dark band and ninety of a hundred as a
light one; stress paths are broken lines. Every chart shows a table that stands below it; colour is
never the only signal. In Arabic the value axis stands on the right; time still runs to the right,
as in Arabic newspapers.
"""

import json
from collections.abc import Callable, Mapping
from typing import Literal

import altair as alt
import pandas as pd
import vl_convert

from ledgers.money import exponent
from simulations.report.bridges import bridge, flows
from simulations.report.marks import (
    BAND,
    COLOURS,
    DASHES,
    HEIGHT,
    INK,
    LINE,
    PARTS,
    ROW,
    ROWS_MAX,
    WIDTH,
    Shown,
    format_of,
    scaled,
    specified,
    time_axis,
)
from simulations.report.model import Chart, Kind, Table
from simulations.report.wording import Language, Wording

TURKISH: dict[str, object] = {
    "decimal": ",", "thousands": ".", "grouping": [3], "currency": ["", ""],
}  # fmt: skip


def drawn(chart: Chart, table: Table, wording: Wording) -> str:
    """Return the chart of a table as SVG in the language of the words."""
    made = FORMS[chart.form](table, chart.options, wording)
    right = wording.language is Language.AR
    specification = {**made, "config": _config(right=right)}
    locale = TURKISH if wording.language is Language.TR else None
    return str(vl_convert.vegalite_to_svg(json.dumps(specification), format_locale=locale))


def _config(*, right: bool) -> dict[str, object]:
    axis = {
        "labelFontSize": 12, "titleFontSize": 12, "grid": True, "gridColor": "#e4e8ec",
        "domainColor": "#9aa5b1", "tickColor": "#9aa5b1", "labelColor": "#33404d",
        "titleColor": "#33404d", "labelLimit": 260, "titleFontWeight": "normal",
    }  # fmt: skip
    return {
        "font": "'Noto Sans', 'Noto Naskh Arabic', 'Segoe UI', sans-serif",
        "background": None,
        "padding": {"left": 24, "right": 24, "top": 6, "bottom": 6},
        "view": {"stroke": None},
        "title": {"anchor": "end" if right else "start", "color": "#33404d"},
        "axis": axis,
        "axisYQuantitative": {"orient": "right" if right else "left"},
        "legend": {
            "labelFontSize": 12, "orient": "top", "labelLimit": 300, "symbolStrokeWidth": 3,
            "labelColor": "#33404d",
        },
    }  # fmt: skip


def fan(table: Table, options: Mapping[str, str], wording: Wording) -> Shown:
    """Return bands, the line of the base path, and stress paths where the table has some."""
    line = options["line"]
    columns = {column.name: column for column in table.columns}
    suffix = "_minor" if line.endswith("_minor") else ""
    low, quarter, upper, high = (f"p{band}{suffix}" for band in (5, 25, 75, 95))
    extra = [name for name in columns if name in wording.names]
    extra += options["beside"].split() if "beside" in options else []
    bands = [low, quarter, upper, high]
    frame, title = scaled(table, options["unit"], wording, [line, *bands, *extra])
    value = alt.Axis(format=format_of(columns[line]), title=title or None)
    base = alt.Chart(frame, width=WIDTH, height=HEIGHT).encode(x=time_axis())
    inside = alt.Scale(zero=columns[line].kind is not Kind.RATE, nice=True)
    y = alt.Y(f"{low}:Q", axis=value, scale=inside)
    outer = base.mark_area(opacity=0.28, color=BAND).encode(y=y, y2=f"{high}:Q")
    inner = base.mark_area(opacity=0.5, color=BAND).encode(y=f"{quarter}:Q", y2=f"{upper}:Q")
    lines = [line, *extra]
    labels = [wording.word("base"), *(wording.name(name.removesuffix("_minor")) for name in extra)]
    long = frame.melt("month", lines, "name", "value")
    long["name"] = long["name"].map(dict(zip(lines, labels, strict=True)))
    legend = alt.Legend(title=None) if extra else None
    paths = (
        alt.Chart(long)
        .mark_line(strokeWidth=2.4)
        .encode(
            x=time_axis(),
            y=alt.Y("value:Q", axis=value, scale=inside),
            color=alt.Color(
                "name:N", sort=labels, legend=legend,
                scale=alt.Scale(domain=labels, range=[INK, *COLOURS[1 : len(labels)]]),
            ),
            strokeDash=alt.StrokeDash(
                "name:N", sort=labels, legend=legend,
                scale=alt.Scale(domain=labels, range=[[1, 0], *DASHES[: len(extra)]]),
            ),
        )
    )  # fmt: skip
    return specified(alt.layer(outer, inner, paths))


def lines(table: Table, options: Mapping[str, str], wording: Wording) -> Shown:
    """Return a line for each series."""
    value, series = options["value"], options["series"]
    columns = {column.name: column for column in table.columns}
    frame, title = scaled(table, options["unit"], wording, [value])
    frame[series] = [wording.cell(one, columns[series]) for one in frame[series]]
    names = list(dict.fromkeys(frame[series]))
    axis = alt.Axis(format=format_of(columns[value]), title=title or None)
    made = (
        alt.Chart(frame, width=WIDTH, height=HEIGHT)
        .mark_line(strokeWidth=2.6)
        .encode(
            x=time_axis(),
            y=alt.Y(f"{value}:Q", axis=axis, scale=alt.Scale(zero=True)),
            color=alt.Color(
                f"{series}:N", sort=names, legend=alt.Legend(title=None),
                scale=alt.Scale(domain=names, range=COLOURS[: len(names)]),
            ),
            strokeDash=alt.StrokeDash(
                f"{series}:N", sort=names, legend=alt.Legend(title=None),
                scale=alt.Scale(domain=names, range=[[1, 0], *DASHES][: len(names)]),
            ),
        )
    )  # fmt: skip
    return specified(made)


def steps(table: Table, options: Mapping[str, str], wording: Wording) -> Shown:
    """Return one series that rises in steps."""
    value = options["value"]
    columns = {column.name: column for column in table.columns}
    heading = alt.TitleParams(wording.header(columns[value]), fontSize=12, fontWeight="normal")
    axis = alt.Axis(format=format_of(columns[value]), title=None)
    top = 1 if columns[value].kind is Kind.SHARE else None
    scale = alt.Scale(domain=[0, top]) if top else alt.Undefined
    made = (
        alt.Chart(table.frame, width=WIDTH, height=HEIGHT - 60, title=heading)
        .mark_area(interpolate="step-after", color=COLOURS[1], opacity=0.55, line=True)
        .encode(x=time_axis(), y=alt.Y(f"{value}:Q", axis=axis, scale=scale))
    )
    return specified(made)


def bars(table: Table, options: Mapping[str, str], wording: Wording) -> Shown:
    """Return a bar with its figure for each row, the first of them where there are many."""
    name, value = options["name"], options["value"]
    columns = {column.name: column for column in table.columns}
    frame, title = scaled(table, options["unit"], wording, [value])
    frame["figure"] = [wording.cell(one, columns[value]) for one in table.frame[value]]
    frame["label"] = [wording.cell(one, columns[name]) for one in frame[name]]
    order = options.get("order", "size")
    if order == "size":
        frame = frame.sort_values(value, ascending=False, kind="stable")
    frame = frame.head(ROWS_MAX)
    base = alt.Chart(frame, width=WIDTH, height=alt.Step(ROW)).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(grid=False)),
        x=alt.X(
            f"{value}:Q",
            axis=alt.Axis(format=format_of(columns[value]), title=title or None, tickCount=6),
        ),
    )
    marks = base.mark_bar(color=LINE, height=ROW - 8)
    texts = base.mark_text(align="left", dx=5, fontSize=11.5, color="#33404d").encode(
        text="figure:N"
    )
    return specified(marks + texts)


def spans(table: Table, options: Mapping[str, str], wording: Wording) -> Shown:
    """Return a tornado: for each row a bar from its low to its high, the widest on top."""
    name, low, high = options["name"], options["low"], options["high"]
    columns = {column.name: column for column in table.columns}
    frame, title = scaled(table, options["unit"], wording, [low, high])
    frame["label"] = [wording.cell(one, columns[name]) for one in frame[name]]
    middle = pd.to_numeric(frame[options["middle"]]).iloc[0]
    middle = middle / (pd.to_numeric(table.frame[high]).iloc[0] / frame[high].iloc[0])
    sides: list[Literal["low", "high"]] = ["low", "high"]
    long = frame.melt("label", [low, high], "side", "value")
    long["side"] = long["side"].map({low: wording.word("low"), high: wording.word("high")})
    long["middle"] = middle
    domain = [wording.word(side) for side in sides]
    base = alt.Chart(long, width=WIDTH, height=alt.Step(ROW + 4)).encode(
        y=alt.Y("label:N", sort=frame["label"].tolist(), title=None, axis=alt.Axis(grid=False)),
    )
    axis = alt.Axis(format=",.4~g", title=title or None, tickCount=7)
    marks = base.mark_bar(height=ROW - 8).encode(
        x=alt.X("value:Q", axis=axis, scale=alt.Scale(zero=False)),
        x2="middle:Q",
        color=alt.Color(
            "side:N", legend=alt.Legend(title=None),
            scale=alt.Scale(domain=domain, range=[COLOURS[2], COLOURS[1]]),
        ),
    )  # fmt: skip
    rule = alt.Chart(long).mark_rule(color=INK).encode(x="mean(middle):Q")
    return specified(marks + rule)


def curve(table: Table, options: Mapping[str, str], wording: Wording) -> Shown:
    """Return a line over numbers, with its band where the table has one."""
    x, y = options["x"], options["y"]
    columns = {column.name: column for column in table.columns}
    frame, _ = scaled(table, options["unit"], wording, [y])
    frame[x] = pd.to_numeric(table.frame[x]) / 10 ** exponent(options["x_unit"])
    base = alt.Chart(frame, width=WIDTH, height=HEIGHT).encode(
        x=alt.X(f"{x}:Q", title=wording.header(columns[x]), scale=alt.Scale(zero=False, nice=True))
    )
    axis = alt.Axis(format=format_of(columns[y]), title=wording.header(columns[y]))
    layers: list[alt.Chart] = []
    if "low" in options:
        band = base.mark_area(opacity=0.28, color=BAND)
        layers.append(
            band.encode(y=alt.Y(f"{options['low']}:Q", axis=axis), y2=f"{options['high']}:Q")
        )
    points = alt.OverlayMarkDef(color=INK, size=36)
    layers.append(
        base.mark_line(color=INK, strokeWidth=2.4, point=points).encode(
            y=alt.Y(f"{y}:Q", axis=axis)
        )
    )
    return specified(alt.layer(*layers))


def stacked(table: Table, options: Mapping[str, str], wording: Wording) -> Shown:
    """Return a bar for each row, in parts of the columns named."""
    return _parted(table, options["name"], options["values"].split(), wording)


def _parted(table: Table, name: str, values: list[str], wording: Wording) -> Shown:
    columns = {column.name: column for column in table.columns}
    frame, _ = scaled(table, "count", wording, values)
    frame["label"] = [wording.cell(one, columns[name]) for one in frame[name]]
    frame["sum"] = frame[values].sum(axis=1)
    frame = frame[frame["sum"] > 0]
    if columns[name].kind is Kind.NAME:
        frame = frame.sort_values("sum", ascending=False, kind="stable").head(ROWS_MAX)
    headings = [wording.header(columns[value]) for value in values]
    long = frame.melt("label", values, "part", "value")
    long["part"] = long["part"].map(dict(zip(values, headings, strict=True)))
    made = (
        alt.Chart(long, width=WIDTH, height=alt.Step(ROW))
        .mark_bar(height=ROW - 8)
        .encode(
            y=alt.Y("label:N", sort=frame["label"].tolist(), title=None, axis=alt.Axis(grid=False)),
            x=alt.X("value:Q", axis=alt.Axis(format=",d", title=None, tickCount=6)),
            color=alt.Color(
                "part:N", sort=headings, legend=alt.Legend(title=None),
                scale=alt.Scale(domain=headings, range=PARTS[: len(headings)]),
            ),
        )
    )  # fmt: skip
    return specified(made)


def paired(table: Table, options: Mapping[str, str], wording: Wording) -> Shown:
    """Return, for each measure, a bar of each group beside the other."""
    group, name, values = options["group"], options["name"], options["values"].split()
    columns = {column.name: column for column in table.columns}
    long = table.frame.melt([group, name], values, "value_name", "value")
    long["group"] = [wording.name(one) for one in long[group]]
    said = {value: wording.header(columns[value]) for value in values}
    long["label"] = [
        f"{said[str(value)]}, {wording.name(str(kind))}"
        for value, kind in zip(long["value_name"], long[name], strict=True)
    ]
    groups = list(dict.fromkeys(long["group"]))
    long["figure"] = [wording.cell(one, columns[values[0]]) for one in long["value"]]
    base = alt.Chart(
        long, width=WIDTH - 60, height=alt.Step(ROW + 16, **{"for": "position"})
    ).encode(
        y=alt.Y(
            "label:N",
            sort=list(dict.fromkeys(long["label"])),
            title=None,
            axis=alt.Axis(grid=False),
        ),
        yOffset=alt.YOffset("group:N", sort=groups),
        x=alt.X("value:Q", axis=alt.Axis(format=".0%", title=None, tickCount=6)),
    )
    marks = base.mark_bar().encode(
        color=alt.Color(
            "group:N", sort=groups, legend=alt.Legend(title=None),
            scale=alt.Scale(domain=groups, range=COLOURS[: len(groups)]),
        )
    )  # fmt: skip
    texts = base.mark_text(align="left", dx=4, fontSize=11, color="#33404d").encode(text="figure:N")
    return specified(marks + texts)


FORMS: Mapping[str, Callable[[Table, Mapping[str, str], Wording], Shown]] = {
    "fan": fan,
    "lines": lines,
    "steps": steps,
    "bars": bars,
    "spans": spans,
    "curve": curve,
    "stacked": stacked,
    "paired": paired,
    "bridge": bridge,
    "flows": flows,
}
