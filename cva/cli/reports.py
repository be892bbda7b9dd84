"""`cva report`: reach."""

from datetime import date, datetime
from pathlib import Path

import typer

from cva.cli.cycles import DATE
from cva.cli.output import Money, Shape, say, show
from cva.cli.session import open_session
from cva.reports.reach import reach as reach_of
from cva.reports.writing import write_report
from ledgers.problems import counted

app = typer.Typer(help="Reports: reach.", no_args_is_help=True)


@app.callback()
def report() -> None:
    """Count what was delivered, never what was only sent."""


@app.command()
def reach(
    first: datetime | None = typer.Option(None, "--from", formats=DATE, help="First delivery day."),
    last: datetime | None = typer.Option(None, "--to", formats=DATE, help="Last delivery day."),
    out: Path | None = typer.Option(None, help="A .html, .xlsx or .csv file to write."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Households, people and unique people reached, and the money, by programme and place."""
    session = open_session()
    since = first.date() if first else date(session.today.year, 1, 1)
    until = last.date() if last else session.today
    with session.reading() as conn:
        found = reach_of(conn, since, until)
    if out:
        write_report(found, out)
        say(f"Written to {out}.")
        return
    show(
        ["programme", "province", "quarter", "group", "sector", "households", "people", "entitled",
         "loaded", "returned", "outstanding"],
        [(r.programme, r.province, r.quarter, r.population_group, r.sector, r.households, r.people,
          Money(r.entitled_minor, r.currency), Money(r.loaded_minor, r.currency),
          Money(r.returned_minor, r.currency), Money(r.outstanding_minor, r.currency))
         for r in found.rows],
        shape,
    )  # fmt: skip
    if shape is Shape.TABLE:
        totals = found.totals
        say(
            f"{counted(totals.households, 'household', 'households')} and"
            f" {counted(totals.people, 'person', 'people')} counted by programme;"
            f" {totals.unique_households:,} and {totals.unique_people:,} are unique"
            f" ({totals.not_unique_permille / 10:.1f} % of the people are counted more than once)."
        )
