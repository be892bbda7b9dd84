"""Why two may be one, as a page to look at together: the steps of each score, and their table.

No value that was compared is on it: facts, how they agree, and how much that says.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from cva.registry.questions import Why
from cva.reports import charts

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Why a pair</title>
<style>body{{font:15px sans-serif;margin:2rem;max-width:50rem}}
table{{border-collapse:collapse}}td,th{{padding:.2rem .8rem;text-align:left}}
td:last-child,th:last-child{{text-align:right}}</style>
<h1>Why a pair</h1>
{pairs}
</html>
"""


def draw(found: Sequence[Why], path: Path) -> None:
    """Write the pairs of people in `found` to the HTML file at `path`."""
    pairs = [_pair(one) for one in found if one.unit == "person"]
    path.write_text(_PAGE.format(pairs="\n".join(pairs)), encoding="utf-8")


def _pair(one: Why) -> str:
    rows = "".join(
        f"<tr><td>{escape(fact)}<td>{escape(level)}<td>{escape(group)}<td>{_bits(millibits)}"
        for fact, group, level, millibits in one.pieces
    )
    total = _bits(one.score_millibits or 0)
    return (
        f"<h2>{escape(one.left_key)} and {escape(one.right_key)}: {escape(one.band)}</h2>\n"
        f"{charts.score(one.pieces)}\n<table><tr><th>fact<th>agreement<th>evidence<th>bits"
        f"{rows}<tr><th>score<td><td><th>{total}</table>"
    )


def _bits(millibits: int) -> str:
    return f"{millibits / 1000:+.3f}"
