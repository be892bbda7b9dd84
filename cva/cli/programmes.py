"""`cva programme`: check, publish, list, show."""

import json
from pathlib import Path

import typer

from cva.cli import selection
from cva.cli.output import Shape, say, show
from cva.cli.session import open_session
from cva.programmes import packs, publishing
from cva.programmes.loading import load
from cva.programmes.model import SPENT_AT_THE_LOAD
from eligibility.rules.pack import RulePack

app = typer.Typer(help="Programme files: check, publish, list, show.", no_args_is_help=True)
selection.add_to_programmes(app)


@app.command()
def check(file: Path) -> None:
    """Check a programme file; every problem at once, with its line and what to do."""
    programme = load(file, _published)
    say(f"{programme.code}: nothing to correct ({programme.sha256()[:16]}).")


@app.command()
def publish(file: Path) -> None:
    """Publish a programme file; a published version never changes."""
    session = open_session()
    programme = load(file, _published)
    with session.transaction() as conn:
        published = publishing.publish(
            conn, programme, person_id=session.person_id, at=session.clock.now()
        )
    say(f"{published.code} version {published.version} is published ({published.programme_id}).")


@app.command("list")
def list_programmes(shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List the published programmes, newest versions."""
    session = open_session()
    with session.reading() as conn:
        rows = conn.execute(
            "SELECT DISTINCT ON (code) code, version, document->'name'->>'en',"
            " document->'provider'->>'code', at::date FROM programme.programme"
            " ORDER BY code, version DESC"
        ).fetchall()
    show(["code", "version", "name", "provider", "published"], rows, shape)


@app.command("show")
def show_programme(code: str) -> None:
    """Show the newest published version of a programme, with the contract that it is paid under."""
    session = open_session()
    with session.reading() as conn:
        row = conn.execute(
            "SELECT document FROM programme.programme WHERE code = %s"
            " ORDER BY version DESC LIMIT 1",
            (code,),
        ).fetchone()
    if row is None:
        raise publishing.PROGRAMME_NOT_FOUND.refusal(programme=code)
    document = row[0]
    document["provider"].setdefault(
        "contract", SPENT_AT_THE_LOAD.model_dump(mode="json", exclude_none=True)
    )
    say(json.dumps(document, ensure_ascii=False, indent=1))


def _published(code: str, version: int) -> RulePack:
    with open_session().reading() as conn:
        return packs.published_pack(conn, code, version)
