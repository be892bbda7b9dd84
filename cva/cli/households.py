"""`cva household`: registrations in, what was found in them, and one of them to look at."""

from pathlib import Path

import typer

from adapters.mapping import load_mapping
from cva.cli.output import Part, Shape, say, show, show_parts
from cva.cli.session import open_session
from cva.registry.importing import import_file
from cva.registry.looking import Registration, look

app = typer.Typer(help="Households: import registrations, list findings.", no_args_is_help=True)


@app.command("import")
def import_households(
    file: Path,
    mapping: Path | None = typer.Option(None, help="Mapping file of a form that is not ours."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Import a Kobo export (XLSX or JSON) or a flat CSV; good rows are kept, findings listed.

    The same file again changes nothing: repeated is yes, and the figures are the first import's.
    """
    session = open_session()
    form_mapping = load_mapping(mapping) if mapping else None
    with session.working("import", file.name, "records") as progress:
        summary = import_file(
            session.engine, session.vault, session.clock, session.person_id, file, form_mapping,
            progress,
        )  # fmt: skip
    parts = [
        Part(
            "import",
            ["import", "records", "added", "revised", "unchanged", "refused", "named", "declared",
             "repeated"],
            [(summary.import_id, summary.records, summary.added, summary.revised,
              summary.unchanged, summary.refused, summary.members, summary.declared_people,
              summary.repeated)],
        ),
        Part("findings", ["finding", "rows"], sorted(summary.findings.items())),
    ]  # fmt: skip
    if summary.repeated and shape is Shape.TABLE:
        say(f"{summary} What it did the first time:\n")
    show_parts(parts, shape)


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
            "SELECT sheet, row_no, field, code, weight, shown, household_id FROM registry.finding"
            " WHERE import_id = %s AND (%s = '' OR code = %s) ORDER BY finding_no",
            (import_id, code, code),
        ).fetchall()
    show(["sheet", "row", "field", "finding", "weight", "value", "household"], rows, shape)


@app.command("show")
def show_households(
    households: list[str] = typer.Argument(help="One household, or several to compare."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Show registrations side by side, names and numbers too; it is recorded that you looked."""
    session = open_session()
    with session.transaction() as conn:
        columns = [
            _told(look(conn, session.vault, household, person_id=session.person_id,
                       at=session.clock.now()))
            for household in households
        ]  # fmt: skip
    fields = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, *(column.get(name, "") for column in columns)) for name in fields]
    show(["field", *households], rows, shape)


def _told(registration: Registration) -> dict[str, str]:
    """Return everything of a registration by field; members as `member 1 given_name`."""
    told = {**registration.facts, **registration.personal.fields}
    together = zip(registration.members, registration.personal.members, strict=True)
    for number, (clear, personal) in enumerate(together, start=1):
        whole = {**personal, **clear}
        told |= {f"member {number} {name}": v for name, v in whole.items() if name != "member_no"}
    return {name: str(value) for name, value in told.items() if value not in (None, "")}


@app.command()
def form(file: Path) -> None:
    """Write the registration form (XLSForm) to deploy on KoboToolbox."""
    from adapters.forms import write_xlsform

    write_xlsform(file)
    say(f"{file} is ready to be uploaded.")
