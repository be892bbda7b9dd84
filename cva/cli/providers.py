"""`cva provider`: banks and card processors, and what they say."""

from pathlib import Path

import typer

from adapters.port import Document
from cva import providers
from cva.cli.output import Shape, say, show
from cva.cli.session import open_session
from cva.payments import observing, sending

app = typer.Typer(help="Banks and card processors: list, collect, read.", no_args_is_help=True)


@app.command("list")
def list_providers(shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List the providers of this installation."""
    session = open_session()
    entries = providers.read(session.providers_file)
    show(
        ["code", "kind", "pays as"],
        [(e.code, e.kind, e.debtor_name) for e in entries.values()],
        shape,
    )


@app.command()
def collect(code: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Fetch and keep everything the provider has for us."""
    session = open_session()
    done = observing.collect(
        session.engine, session.vault, session.provider(code), person_id=session.person_id,
        clock=session.clock,
    )  # fmt: skip
    show(
        ["documents", "known before", "observations", "statement lines", "findings", "unknown"],
        [(done.documents, done.known_before, done.observations, done.statement_lines,
          done.findings, done.unknown_lines)],
        shape,
    )  # fmt: skip


@app.command("read")
def read_file(code: str, file: Path) -> None:
    """Keep one file that the provider sent by another way."""
    session = open_session()
    document = Document(file.name, file.read_bytes())
    with session.transaction() as conn:
        kept = observing.keep(
            conn, session.vault, session.provider(code), document, person_id=session.person_id,
            at=session.clock.now(),
        )  # fmt: skip
        observing.mark_silent_lines(conn, code, session.clock.now())
    if kept:
        say(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in kept.items()))
    else:
        say("This file was read before; nothing changed.")


@app.command()
def findings(code: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List what could not be believed in the provider's documents."""
    session = open_session()
    with session.reading() as conn:
        rows = conn.execute(
            "SELECT d.name, f.place, f.code, f.sentence FROM payments.document_finding f"
            " JOIN payments.document d USING (document_id) WHERE d.provider = %s"
            " ORDER BY d.received_at, d.document_id, f.finding_no",
            (code,),
        ).fetchall()
    show(["document", "place", "finding", "says"], rows, shape)


@app.command("not-taken")
def not_taken(
    file: str,
    evidence: str = typer.Option(..., help="The provider's written word, and where it is kept."),
) -> None:
    """Record that a file was not taken, so that a new one may be sent."""
    session = open_session()
    with session.transaction() as conn:
        sending.record_not_taken(
            conn, file, evidence=evidence, person_id=session.person_id, at=session.clock.now()
        )
    say(f"Recorded. The next send makes a new file in place of {file}.")
