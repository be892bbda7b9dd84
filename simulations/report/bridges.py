"""Charts of a caseload that moves: the waterfall over the horizon, and the flows of each month."""

from collections.abc import Mapping

import altair as alt

from simulations.report.marks import (
    FLOW_COLOURS,
    HEIGHT,
    LINE,
    PARTS,
    ROW,
    WIDTH,
    Shown,
    specified,
)
from simulations.report.model import Table
from simulations.report.wording import Wording


def bridge(table: Table, options: Mapping[str, str], wording: Wording) -> Shown:
    """Return a waterfall: whole bars for levels, and between them what comes and what goes."""
    columns = {column.name: column for column in table.columns}
    name, value, upto, kind = (options[one] for one in ("name", "value", "upto", "kind"))
    frame = table.frame[[name, value, upto, kind]].copy()
    level = frame[kind] == "level"
    frame["begins"] = (frame[upto] - frame[value]).where(~level, 0)
    frame["label"] = [wording.cell(one, columns[name]) for one in frame[name]]
    shown = [wording.cell(abs(one), columns[value]) for one in frame[value]]
    signs = {"level": "", "comes": "+", "goes": "−"}
    frame["figure"] = [signs[one] + text for one, text in zip(frame[kind], shown, strict=True)]
    frame["end"] = frame[["begins", upto]].max(axis=1)
    kinds = [one for one in ("level", "comes", "goes") if one in set(frame[kind])]
    frame["part"] = [wording.word(one) for one in frame[kind]]
    colours = {"level": LINE, "comes": PARTS[1], "goes": PARTS[0]}
    base = alt.Chart(frame, width=WIDTH - 40, height=alt.Step(ROW + 2)).encode(
        y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(grid=False))
    )
    axis = alt.Axis(format=",d", title=None, tickCount=6)
    marks = base.mark_bar(height=ROW - 8).encode(
        x=alt.X("begins:Q", axis=axis), x2=f"{upto}:Q",
        color=alt.Color(
            "part:N", legend=alt.Legend(title=None),
            scale=alt.Scale(
                domain=[wording.word(one) for one in kinds], range=[colours[one] for one in kinds]
            ),
        ),
    )  # fmt: skip
    texts = base.mark_text(align="left", dx=5, fontSize=11.5, color="#33404d").encode(
        x="end:Q", text="figure:N"
    )
    return specified(marks + texts)


def flows(table: Table, options: Mapping[str, str], wording: Wording) -> Shown:
    """Return, month by month, what comes above the line and what goes below it."""
    columns = {column.name: column for column in table.columns}
    frame = table.frame.iloc[1:].copy()
    come, go = options["come"].split(), options["go"].split()
    names = [name for name in (*come, *go) if frame[name].any()]
    for name in go:
        frame[name] = -frame[name]
    headings = {name: wording.header(columns[name]) for name in names}
    long = frame.melt("month", names, "part", "value")
    long["part"] = long["part"].map(headings)
    long["month"] = [wording.cell(one, columns["month"]) for one in long["month"]]
    axis = alt.Axis(labelAngle=0, labelOverlap="greedy", grid=False)
    made = (
        alt.Chart(long, width=WIDTH, height=HEIGHT)
        .mark_bar()
        .encode(
            x=alt.X("month:O", title=None, axis=axis),
            y=alt.Y("value:Q", title=None, axis=alt.Axis(format=",d", tickCount=6)),
            color=alt.Color(
                "part:N", sort=list(headings.values()), legend=alt.Legend(title=None, columns=3),
                scale=alt.Scale(
                    domain=list(headings.values()), range=FLOW_COLOURS[: len(headings)]
                ),
            ),
        )
    )  # fmt: skip
    return specified(made)
