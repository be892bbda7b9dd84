"""The report as one HTML page in one language: it opens offline and holds everything in itself.

Key figures first, then each section with its sentences, its chart and, below it, the table that the
chart shows; long tables scroll on the screen and are whole on paper.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
from markupsafe import Markup

from simulations.report.charts import drawn
from simulations.report.model import Column, Figure, Kind, Report, Section
from simulations.report.wording import Language, Wording

ROWS_MAX = 150
HASH_SHOWN = 12
NUMBERS = frozenset({Kind.COUNT, Kind.AMOUNT, Kind.SHARE, Kind.RATE, Kind.NUMBER})


@dataclass(frozen=True, slots=True)
class Heading:
    """A column as the page shows it."""

    heading: str
    is_number: bool
    is_prose: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A section as the page shows it."""

    anchor: str
    heading: str
    sentences: list[str]
    chart: Markup = field(default_factory=Markup)
    columns: list[Heading] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    summary: str = ""
    more: str = ""
    has_bands: bool = False


def write_page(report: Report, path: Path, language: Language) -> None:
    """Write the report as HTML in one language."""
    path.write_text(page_of(report, language), encoding="utf-8")


def page_of(report: Report, language: Language) -> str:
    """Return the report as HTML in one language."""
    wording = Wording(language, report.names)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("simulations.report", "templates"), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("report.html").render(
        language=language.value,
        direction=language.direction,
        words=wording,
        title=wording.label(report.title),
        about=wording.label(report.about),
        answer=[wording.says(sentence) for sentence in report.answer],
        figures=[_figure(figure, wording) for figure in report.figures],
        population=_population(report, wording),
        sections=list(_sections(report, wording)),
        rerun=_rerun(report, wording),
    )


def _figure(figure: Figure, wording: Wording) -> Mapping[str, str]:
    spread = ""
    if figure.low is not None and figure.high is not None:
        low, high = wording.says(figure.low), wording.says(figure.high)
        spread = wording.word("range").format(low=low, high=high) if low != high else ""
    return {
        "what": wording.word(figure.key), "value": wording.says(figure.value), "range": spread,
    }  # fmt: skip


def _sections(report: Report, wording: Wording) -> Iterator[Shown]:
    for section in report.sections:
        sentences = [wording.says(sentence) for sentence in section.sentences]
        heading = wording.word(section.key)
        if not section.table:
            yield Shown(section.key, heading, sentences)
            continue
        yield _with_table(report, section, wording, (heading, sentences))


def _with_table(
    report: Report, section: Section, wording: Wording, said: tuple[str, list[str]]
) -> Shown:
    table = report.tables[section.table]
    chart = drawn(section.chart, table, wording) if section.chart else ""
    frame = table.frame.head(ROWS_MAX)
    more = ""
    if len(table.frame) > ROWS_MAX:
        rows = wording.count(len(table.frame))
        more = wording.word("rows_more").format(shown=ROWS_MAX, rows=rows)
    return Shown(
        section.table,
        *said,
        Markup(chart),  # noqa: S704 - drawn by ourselves; texts in it are escaped by the renderer
        [_heading(column, wording) for column in table.columns],
        [
            [wording.cell(value, _column(column, row)) for value, column in
             zip(row.values(), table.columns, strict=True)]
            for row in frame.to_dict("records")
        ],
        wording.word("table_of" if chart else "table_alone"),
        more,
        section.chart is not None and section.chart.form == "fan",
    )  # fmt: skip


def _column(column: Column, row: Mapping[object, object]) -> Column:
    """Return the column; amounts without a currency of their own have that of their row."""
    if column.kind is Kind.AMOUNT and not column.currency and "currency" in row:
        return Column(column.name, column.kind, str(row["currency"]))
    return column


def _heading(column: Column, wording: Wording) -> Heading:
    return Heading(wording.header(column), column.kind in NUMBERS, column.kind is Kind.TEXT)


def _population(report: Report, wording: Wording) -> str:
    population = report.manifest["population"]
    facts = dict(population) if isinstance(population, Mapping) else {}
    counts = {
        name: wording.count(int(str(facts[name])))
        for name in ("rows", "represents")
        if name in facts
    }
    return wording.word(f"{facts['source']}_note").format(**counts)


def _rerun(report: Report, wording: Wording) -> str:
    names = ("scenario", "rules", "population")
    hashes = report.manifest["sha256"]
    shown = dict(hashes) if isinstance(hashes, Mapping) else {}
    facts = {name: str(shown[name])[:HASH_SHOWN] for name in names}
    return wording.word("rerun_note").format(**facts, seed=report.manifest["seed"])
