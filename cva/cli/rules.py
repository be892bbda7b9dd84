"""`cva rules`: check rule packs, and run them on plain files."""

from datetime import datetime
from pathlib import Path

import typer

from adapters.mapping import load_mapping
from cva import rules_on_files
from cva.cli import rules_published
from cva.cli.cycles import DATE
from cva.cli.output import Money, Shape, say, show, warn

app = typer.Typer(help="Rule packs: check them, run them on plain files.", no_args_is_help=True)


@app.command()
def check(
    paths: list[Path],
    form: Path | None = typer.Option(
        None, help="Mapping file of the form whose registrations the rules will judge."
    ),
) -> None:
    """Check pack and programme files, or folders of them; every problem, in place."""
    checked = rules_on_files.check_paths(paths, load_mapping(form) if form else None)
    refusal = rules_on_files.refusal_of(checked)
    for one in checked:
        if not one.findings:
            say(f"{one.file.name}: nothing to correct.")
    if refusal is not None:
        raise refusal


@app.command()
def run(
    file: Path,
    households: Path = typer.Option(..., help="CSV: household_id and the household inputs."),
    members: Path = typer.Option(..., help="CSV: household_id, member_id, member inputs."),
    on: datetime = typer.Option(..., formats=DATE, help="Ages and parameters are as of this day."),
    out: Path = typer.Option(..., help="Where the decisions go, as Parquet."),
    seed: str | None = typer.Option(
        None, help="Published seed of the draw among equals; by default the pack's code."
    ),
    budget_minor: int | None = typer.Option(
        None, min=0, help="What can be spent, where the pack selects within a grant."
    ),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Decide the households of two CSV files; needs no database and no settings."""
    ran = rules_on_files.run_on_files(
        file, households, members, on.date(), out, seed=seed, grant_minor=budget_minor
    )
    if ran.left_out:
        warn(f"Not read by any rule: {', '.join(ran.left_out)}.")
    if ran.after:
        warn(f"Decided alone: whom {' and '.join(ran.after)} would take first is not left out.")
    totals = ran.totals
    show(
        ["households", "people", "eligible", "ineligible", "review", "selected", "waiting",
         "amount", "pack", "decisions"],
        [(totals.registered, totals.people, totals.eligible, totals.ineligible, totals.review,
          totals.selected, totals.waiting, Money(totals.amount_minor, totals.currency),
          totals.pack_hash[:16], str(out))],
        shape,
        below=("decisions", "pack", "waiting", "people"),
    )  # fmt: skip


rules_published.add_to(app)
