"""`cva household`: registrations in, and what was found in them."""

from pathlib import Path

import typer

from adapters.mapping import load_mapping
from cva.cli.output import Shape, say, show
from cva.cli.session import open_session
from cva.registry.importing import import_file

app = typer.Typer(help="Households: import registrations, list findings.", no_args_is_help=True)


@app.command("import")
def import_households(
    file: Path,
    mapping: Path | None = typer.Option(None, help="Mapping file of a form that is not ours."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Import a Kobo export (XLSX or JSON) or a flat CSV; good rows are kept, findings listed."""
    session = open_session()
    summary = import_file(
        session.engine, session.vault, session.clock, session.person_id, file,
        load_mapping(mapping) if mapping else None,
    )  # fmt: skip
    show(
        ["import", "records", "added", "revised", "unchanged", "refused", "named", "declared"],
        [(summary.import_id, summary.records, summary.added, summary.revised, summary.unchanged,
          summary.refused, summary.members, summary.declared_people)],
        shape,
    )  # fmt: skip
    show(["finding", "rows"], sorted(summary.findings.items()), shape, "Findings")


@app.command()
def findings(
    import_id: str,
    code: str = typer.Option("", help="Only findings of this code."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """List the findings of an import with their places; personal values are masked."""
    session = open_session()
    with session.reading() as conn:
        rows = conn.execute(
            "SELECT sheet, row_no, field, code, weight, shown FROM registry.finding"
            " WHERE import_id = %s AND (%s = '' OR code = %s) ORDER BY finding_no",
            (import_id, code, code),
        ).fetchall()
    show(["sheet", "row", "field", "finding", "weight", "value"], rows, shape)


@app.command()
def form(file: Path) -> None:
    """Write the registration form (XLSForm) to deploy on KoboToolbox."""
    from adapters.forms import write_xlsform

    write_xlsform(file)
    say(f"{file} is ready to be uploaded.")
