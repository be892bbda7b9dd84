"""`cva overlap`: other agencies' lists in and ours out, and what is given twice.

`import`, `match` and `export` take no key: a list is known by its agency and its bytes, a match
only looks, and an export never writes over a file.
"""

from datetime import datetime
from pathlib import Path

import typer

from adapters.assistance import ListMapping, load_list_mapping
from cva.cli.cycles import DATE
from cva.cli.duplicates import KEY, show_run
from cva.cli.output import Part, Shape, say, show, show_parts
from cva.cli.session import open_session
from cva.registry import exporting, overlaps, policies
from cva.registry.lists import import_list
from cva.registry.overlaps import Action
from ledgers.problems import counted

app = typer.Typer(
    help="Overlap: assistance that other agencies give the same people.", no_args_is_help=True
)


@app.command("import")
def import_assistance(
    file: Path,
    agency: str = typer.Option("", help="Whose list it is, where no mapping file says so."),
    mapping: Path | None = typer.Option(None, help="Mapping file of a list in another shape."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Import another agency's list; records that cannot be read are refused and listed."""
    session = open_session()
    if mapping is None and not agency:
        message = "say whose list it is: --agency or --mapping"
        raise typer.BadParameter(message)
    given = load_list_mapping(mapping) if mapping else ListMapping(agency=agency)
    with session.working("import-list", file.name, "rows") as progress:
        done = import_list(
            session.engine, session.vault, session.clock, session.person_id, file, given, progress
        )
    parts = [
        Part("list", ["list", "agency", "records", "people", "refused", "repeated"],
             [(done.list_id, done.agency, done.records, done.people, done.refused,
               done.repeated)]),
        Part("findings", ["finding", "rows"], sorted(done.findings.items())),
    ]  # fmt: skip
    show_parts(parts, shape)


@app.command()
def match(shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Match the people of all lists with the registry's, as ours are matched with each other."""
    from cva.registry.linking import Scope

    show_run(Scope.LISTS, shape)


@app.command()
def review(cycle: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List what a cycle and other agencies give the same people, with the policy's verdict."""
    session = open_session()
    with session.reading() as conn:
        rows = [
            (f.overlap_id, f.household_id, f.agency, f.need, f.verdict, f.reason, f.strength,
             "ours" if f.ours_first else "theirs", f.due_at, f.acts)
            for f in overlaps.findings(conn, cycle)
        ]  # fmt: skip
    show(
        ["overlap", "household", "agency", "need", "verdict", "reason", "match", "first",
         "deadline", "acts"],
        rows, shape, below=("acts", "deadline", "first", "match", "need", "agency"),
    )  # fmt: skip


@app.command()
def act(
    overlap: int,
    action: Action,
    reason: str = typer.Option(..., help="Why; to override, one of the policy's reasons."),
    key: str = KEY,
) -> None:
    """Override a finding (two people), or record that a household was told, or objects."""
    session = open_session()
    with session.transaction() as conn:
        overlaps.act(
            conn, overlap, action, reason, person_id=session.person_id, at=session.clock.now(),
            key=key,
        )  # fmt: skip
    say("Recorded; it counts when the plan is worked on next.")


@app.command()
def export(
    file: Path,
    since: datetime = typer.Option(..., formats=DATE, help="Cycles that end then or later."),
) -> None:
    """Write our assistance as a list for other agencies, names and numbers in clear."""
    session = open_session()
    with session.transaction() as conn:
        rows = exporting.export_list(
            conn, session.vault, file, since.date(), person_id=session.person_id,
            at=session.clock.now(),
        )  # fmt: skip
    written = counted(rows, "row", "rows")
    say(f"{written} in {file}; it names people: send it sealed, then delete it.")


@app.command()
def policy(
    file: Path | None = typer.Argument(None, help="The policy to put into force."),
    key: str = KEY,
) -> None:
    """Show the overlap policy in force, or put another one into force."""
    session = open_session()
    if file is None:
        with session.reading() as conn:
            found = policies.in_force(conn)
    else:
        with session.transaction() as conn:
            found = policies.publish(
                conn, file, person_id=session.person_id, at=session.clock.now(), key=key
            )
    say(f"{found.policy} ({found.policy_hash[:16]}): {found.title.en}")
