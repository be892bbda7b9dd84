"""`cva simulate`: populations to try things on."""

from datetime import datetime
from pathlib import Path

import typer

from cva.cli.cycles import DATE
from cva.cli.output import Shape, show
from cva.clock import clock_of
from cva.progress import shown
from cva.settings import settings_of
from simulations.population import (
    ExportFormat,
    read_shape,
    write_population,
)
from simulations.population import (
    Shape as PopulationShape,
)

app = typer.Typer(help="Populations to try things on.", no_args_is_help=True)


@app.callback()
def simulate() -> None:
    """Nothing here touches the registry or the books."""


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
