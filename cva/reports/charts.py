"""Charts of the reach report and of a pair's score, as SVG that needs no script and no network.

Every chart shows the numbers of a table that stands beside it; colour is never the only signal.
"""

import json
from collections.abc import Sequence

import altair as alt
import pandas as pd
import vl_convert

from cva.registry.places import province_name
from cva.reports.reach import Reach

WIDTH = 560
_CONFIG = {
    "font": "sans-serif",
    "background": None,
    # The renderer measures letters with another font than the reader's: leave room for wider ones.
    "padding": {"left": 28, "right": 28, "top": 5, "bottom": 5},
    "view": {"stroke": None},
    "axis": {
        "labelLimit": 240,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "grid": True,
        "gridColor": "#e7e5e0",
    },
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "orient": "top"},
    "title": {"fontSize": 14, "anchor": "start"},
}
_COLOURS = ["#0b5c8a", "#c7703a", "#4f7d3a", "#7a5195", "#8a8a8a"]


def people_by_province(reach: Reach) -> str:
    """Return a bar chart of people reached by province, one colour for each programme."""
    frame = pd.DataFrame(
        [(province_name(row.province), row.programme, row.people) for row in reach.rows],
        columns=["province", "programme", "people"],
    )
    frame = frame.groupby(["province", "programme"])[["people"]].sum().reset_index()
    chart = (
        alt.Chart(frame, width=WIDTH)
        .mark_bar()
        .encode(
            y=alt.Y("province:N", title=None, sort="-x"),
            x=alt.X("people:Q", title="people reached"),
            color=alt.Color("programme:N", title=None, scale=alt.Scale(range=_COLOURS)),
            order=alt.Order("programme:N"),
        )
    )
    return _svg(chart)


def money_by_programme(reach: Reach) -> str:
    """Return a bar chart of entitled, loaded, returned and outstanding money by programme."""
    kinds = ("entitled", "loaded", "returned", "outstanding")
    rows = [
        (row.programme, kind, getattr(row, f"{kind}_minor") // 100_000)
        for row in reach.rows
        for kind in kinds
    ]
    frame = pd.DataFrame(rows, columns=["programme", "kind", "thousands"])
    frame = frame.groupby(["programme", "kind"])[["thousands"]].sum().reset_index()
    chart = (
        alt.Chart(frame, width=WIDTH)
        .mark_bar()
        .encode(
            y=alt.Y("programme:N", title=None),
            yOffset=alt.YOffset("kind:N", sort=list(kinds)),
            x=alt.X("thousands:Q", title="thousand TRY"),
            color=alt.Color(
                "kind:N", title=None, sort=list(kinds), scale=alt.Scale(range=_COLOURS)
            ),
        )
    )
    return _svg(chart)


def unique_people(reach: Reach) -> str:
    """Return two bars: people counted by programme, and people counted once."""
    totals = reach.totals
    frame = pd.DataFrame(
        [("counted by programme", totals.people), ("each person once", totals.unique_people)],
        columns=["how", "people"],
    )
    base = alt.Chart(frame, width=WIDTH, height=90).encode(
        y=alt.Y("how:N", title=None, sort=None), x=alt.X("people:Q", title="people")
    )
    bars = base.mark_bar(color=_COLOURS[0])
    labels = base.mark_text(align="left", dx=4).encode(text=alt.Text("people:Q", format=","))
    return _svg(bars + labels)


def score(pieces: Sequence[tuple[str, str, str, int]]) -> str:
    """Return the pieces of a score as steps from 0 to it: bits for and against, and the cap.

    `pieces` are (fact, group, how it agrees, thousandths of a bit), in the order they are added.
    """
    rows, before = [], 0
    for fact, group, level, millibits in pieces:
        after = before + millibits
        rows.append((fact, group, level, before / 1000, after / 1000))
        before = after
    rows.append(("score", "score", "", 0, before / 1000))
    frame = pd.DataFrame(rows, columns=["fact", "evidence", "agreement", "from", "to"])
    chart = (
        alt.Chart(frame, width=WIDTH)
        .mark_bar()
        .encode(
            y=alt.Y("fact:N", title=None, sort=None),
            x=alt.X("from:Q", title="bits"),
            x2="to:Q",
            color=alt.Color("evidence:N", title=None, scale=alt.Scale(range=_COLOURS)),
        )
    )
    return _svg(chart)


def _svg(chart: alt.Chart | alt.LayerChart) -> str:
    specification = {**chart.to_dict(), "config": _CONFIG}
    return str(vl_convert.vegalite_to_svg(json.dumps(specification)))
