"""`cva simulate`: populations to try things on, and what would happen."""

from datetime import datetime
from pathlib import Path

import typer

from cva.cli.cycles import DATE
from cva.cli.output import Cell, Money, Shape, say, show
from cva.clock import clock_of
from cva.progress import in_turn, shown
from cva.settings import settings_of
from simulations.exploring import Tried
from simulations.population import (
    ExportFormat,
    read_shape,
    write_population,
)
from simulations.population import (
    Shape as PopulationShape,
)
from simulations.report.model import Figure, Report
from simulations.report.wording import Language, Wording

app = typer.Typer(
    help="What would happen: scenarios, and populations to try things on.", no_args_is_help=True
)
STEPS = ("households under rules", "months of draws")
HOUSEHOLDS = typer.Option(None, help="A snapshot's households.parquet, instead of synthetic ones.")
MEMBERS = typer.Option(None, help="Its members.parquet.")
LOTS = typer.Option("simulation", help="The seed of the draw of lots; a cycle's id foretells it.")
BOOKS = typer.Option(True, "--books/--no-books", help="Post the base path to simulated books.")
LANGUAGE = typer.Option(Language.EN, help="Of the workbook and of what is printed.")
OUT = typer.Option(..., "--out", help="The folder of the report.")
FORMAT = typer.Option(Shape.TABLE, "--format")


@app.callback()
def simulate() -> None:
    """Nothing here changes the registry or the books."""


@app.command()
def population(
    out: Path,
    households: int = typer.Option(1000, min=1, help="How many households."),
    population_shape: Path | None = typer.Option(
        None, "--shape", help="A shape file instead of a number of households."
    ),
    seed: int = typer.Option(
        2026, help="The same seed gives the same people and record ids, another seed others."
    ),
    on: datetime | None = typer.Option(None, formats=DATE, help="Ages are as of this day."),
    file_format: ExportFormat = typer.Option(ExportFormat.XLSX, "--as"),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Write a Kobo-shaped export of people who do not exist, and the truth about it."""
    source: PopulationShape | int = read_shape(population_shape) if population_shape else households
    settings = settings_of()
    day = on.date() if on else clock_of(settings).today()
    with shown("households", settings) as progress:
        truth = write_population(out, source, seed, day, file_format, progress)
    show(
        ["submissions", "members", "registered twice", "folder"],
        [(truth.submissions, truth.members, len(truth.pairs), str(out))],
        shape,
    )


@app.command()
def snapshot(
    out: Path,
    programme: str = typer.Option(..., help="Whose facts: a programme that comes with it."),
    shape: Shape = FORMAT,
) -> None:
    """Write the registry's facts, without personal fields, for scenarios to run on."""
    from cva.cli.session import open_session
    from cva.simulating import export_snapshot

    session = open_session()
    written = export_snapshot(session.engine, session.person_id, programme, out)
    row = (written.household_rows, written.member_rows, written.sha256[:12], str(out))
    show(["households", "members", "digest", "folder"], [row], shape)


@app.command("list")
def list_scenarios(
    language: Language = LANGUAGE, shape: Shape = typer.Option(Shape.TABLE, "--format")
) -> None:
    """List the scenarios that come with the program."""
    from cva.scenario_sources import shipped

    rows = [
        (name, scenario.question, getattr(scenario.title, language.value))
        for name, scenario in shipped()
    ]
    show(["scenario", "question", "title"], rows, shape)


@app.command()
def run(
    scenario: str = typer.Argument(help="A file, a shipped scenario's name, or a manifest.json."),
    out: Path = OUT,
    households: Path | None = HOUSEHOLDS,
    members: Path | None = MEMBERS,
    lots: str = LOTS,
    books: bool = BOOKS,
    language: Language = LANGUAGE,
    shape: Shape = FORMAT,
) -> None:
    """Run a scenario and write its report; a manifest runs again and must come out the same."""
    from cva.scenario_sources import snapshot_of
    from cva.simulating import Asked, simulate, work_folder

    settings = settings_of()
    asked = Asked(scenario, out, snapshot_of(households, members), lots, books, language)
    with work_folder(settings.home) as work, in_turn(STEPS, settings) as progress:
        report = simulate(asked, work, progress)
    _tell(report, out, language, shape)


@app.command()
def compare(
    first: str = typer.Argument(help="The scenario that is the base."),
    second: str = typer.Argument(help="Another scenario; what its rules and values are."),
    out: Path = OUT,
    households: Path | None = HOUSEHOLDS,
    members: Path | None = MEMBERS,
    lots: str = LOTS,
    books: bool = BOOKS,
    language: Language = LANGUAGE,
    shape: Shape = FORMAT,
) -> None:
    """Compare two scenarios, household by household where they differ, under the same chances."""
    from cva.scenario_sources import snapshot_of
    from cva.simulating import Asked, simulate_both, work_folder

    settings = settings_of()
    asked = Asked(first, out, snapshot_of(households, members), lots, books, language)
    with work_folder(settings.home) as work, in_turn(STEPS, settings) as progress:
        report = simulate_both(asked, second, work, progress)
    _tell(report, out, language, shape)


@app.command()
def frontier(
    scenario: str = typer.Argument("frontier", help="A scenario with grants."),
    out: Path = OUT,
    values: str = typer.Option("", help="Values a person and month, such as 500,750,1000."),
    households: Path | None = HOUSEHOLDS,
    members: Path | None = MEMBERS,
    language: Language = LANGUAGE,
    shape: Shape = FORMAT,
) -> None:
    """Say what each transfer value reaches under the scenario's grants."""
    from cva.scenario_sources import snapshot_of
    from cva.simulating import Asked, simulate_frontier, work_folder

    settings = settings_of()
    asked = Asked(scenario, out, snapshot_of(households, members), books=False, language=language)
    with work_folder(settings.home) as work, in_turn(STEPS, settings) as progress:
        report = simulate_frontier(asked, values, work, progress)
    _tell(report, out, language, shape)


@app.command()
def explore(
    parameter: str = typer.Argument(help="A parameter of the scenario's rules."),
    values: str = typer.Argument(help="Values with commas between them, such as 1.5,2.0."),
    scenario: str = typer.Option("rule-change", help="Whose rules and households are tried."),
    households: Path | None = HOUSEHOLDS,
    members: Path | None = MEMBERS,
    shape: Shape = FORMAT,
) -> None:
    """Try many values of one parameter at once: one cycle, on the scenario's first day."""
    from cva.scenario_sources import snapshot_of
    from cva.simulating import Asked, work_folder
    from cva.simulating import explore as explored

    asked = Asked(scenario, Path(), snapshot_of(households, members))
    tried_values = [value.strip() for value in values.split(",")]
    with work_folder(settings_of().home) as work:
        found = explored(asked, parameter, tried_values, work)
    currency = found[0].currency
    columns = [parameter, "qualify", "enter", "leave", "review", "paid", "people", "a cycle"]
    rows = [_tried(one, currency) for one in found[0].tried]
    if len(found) > 1:
        columns += ["lowest", "highest"]
        costs = zip(*([one.amount_minor for one in each.tried] for each in found), strict=True)
        rows = [
            (*row, Money(min(cost), currency), Money(max(cost), currency))
            for row, cost in zip(rows, costs, strict=True)
        ]
    show(columns, rows, shape, below=("review", "people"))


def _tried(tried: Tried, currency: str) -> tuple[Cell, ...]:
    return (
        tried.value or "as it stands",
        tried.qualify,
        tried.enter,
        tried.leave,
        tried.review,
        tried.paid,
        tried.people_paid,
        Money(tried.amount_minor, currency),
    )


@app.command()
def weigh(
    households: Path = typer.Option(..., help="The survey's households (Parquet or CSV)."),
    members: Path = typer.Option(..., help="Its members (Parquet or CSV)."),
    margins: Path = typer.Option(..., help="A YAML file of margins."),
    out: Path = typer.Option(..., "--out", help="The folder of the weighed snapshot."),
    on: datetime | None = typer.Option(None, formats=DATE, help="Ages are as of this day."),
    shape: Shape = FORMAT,
) -> None:
    """Give a survey whole weights that meet margins: a snapshot to run scenarios on."""
    from simulations.survey import weigh as weighed

    day = on.date() if on else clock_of(settings_of()).today()
    found = weighed(households, members, margins, day, out)
    show(
        ["sample", "represents", "people", "people_off", "folder"],
        [(found.sample, found.represents, found.people, found.people_off, str(out))],
        shape,
    )


@app.command()
def essn(
    people: int = typer.Option(5, min=1, help="Who count in the payment."),
    disabled: int = typer.Option(0, min=0, help="How many of them draw the allowance."),
    first: datetime = typer.Option("2016-11", "--from", formats=["%Y-%m"]),
    last: datetime = typer.Option("2023-11", "--to", formats=["%Y-%m"]),
    shape: Shape = FORMAT,
) -> None:
    """Tell what a household of this shape got from the ESSN each month, as it was published."""
    from simulations.essn import CURRENCY, transfer
    from simulations.months import months_from

    count = (last.year - first.year) * 12 + last.month - first.month + 1
    rows: list[tuple[Cell, ...]] = []
    for month in months_from(first.date(), max(count, 0)):
        said = transfer(month, people, disabled)
        amount = said.amount_minor
        told = said.parts if amount is not None else said.missing
        rows.append(
            (
                f"{month:%Y-%m}",
                "not published" if amount is None else Money(amount, CURRENCY),
                Money(said.stated_minor, CURRENCY) if said.stated_minor else "",
                "; ".join(f"{part.name.value}: {part.why}" for part in told),
                " ".join(dict.fromkeys(part.source for part in told)),
            )
        )
    show(
        ["month", "transfer", "published of it", "why", "source"], rows, shape,
        below=("why", "source"),
    )  # fmt: skip


@app.command()
def backtest(
    scenario: str = typer.Argument("backtest", help="A scenario; the shipped one is ESSN's 2022."),
    out: Path = OUT,
    known: str = typer.Option("", help="The last month that was known (YYYY-MM)."),
    language: Language = LANGUAGE,
    shape: Shape = FORMAT,
) -> None:
    """Tell a budget with what was known then, beside what the exchange rate did."""
    from cva.simulating import Asked, simulate_backtest, work_folder

    settings = settings_of()
    asked = Asked(scenario, out, books=False, language=language)
    with work_folder(settings.home) as work, in_turn(STEPS, settings) as progress:
        told = simulate_backtest(asked, known, work, progress)
    _tell(told, out, language, shape)


@app.command()
def report(
    folder: Path,
    language: Language = LANGUAGE,
    out: Path = typer.Option(..., "--out", help="A file that ends in .html or .xlsx."),
) -> None:
    """Write a finished report again, in another language or shape, without computing anything."""
    from cva.simulating import write_again

    write_again(folder, out, language)


def _tell(report: Report, out: Path, language: Language, shape: Shape) -> None:
    """Print the answer in short, the key figures and where the pages are."""
    wording = Wording(language, report.names)
    page = str(out / f"report.{language.value}.html")
    if shape is not Shape.TABLE:
        rows = [
            (wording.word(one.key), *map(wording.says, (one.value, one.low, one.high)))
            for one in report.figures
        ]
        rows.append((wording.word("page"), page, "", ""))
        show(["figure", "base path", "5 %", "95 %"], rows, shape)
        return
    for sentence in report.answer:
        say(wording.says(sentence))
    told = [
        (wording.word(one.key), wording.says(one.value), _range(one, wording))
        for one in report.figures
    ]
    heads = [wording.word(key) for key in ("key_figures", "key_line", "spread")]
    show(heads, told, shape, below=heads[2:])
    say(page)


def _range(figure: Figure, wording: Wording) -> str:
    if figure.low is None or figure.high is None:
        return ""
    low, high = wording.says(figure.low), wording.says(figure.high)
    return wording.word("from_to").format(low=low, high=high) if low != high else ""
