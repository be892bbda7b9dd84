"""`cva init`, `restore-key`, `backup`, `restore`, `demo`, `doctor`, `help`: the installation."""

from pathlib import Path

import typer

from cva import backup as backups
from cva import errors_page, providers, staff, vault
from cva.cli.output import Shape, say, show, warn
from cva.cli.session import typed
from cva.clock import clock_of
from cva.database import migrations
from cva.database.cluster import Cluster
from cva.database.connect import Role, engine_of, transaction
from cva.jobs import Work, running
from cva.progress import shown
from cva.settings import settings_of

HOW_TO = Path(errors_page.__file__).parent / "docs" / "how-to"


def add_to(app: typer.Typer) -> None:
    """Add the commands that stand beside the groups."""
    app.command()(init)
    app.command("restore-key")(restore_key)
    app.command()(backup)
    app.command()(restore)
    app.command()(demo)
    app.command()(doctor)
    app.command()(upgrade)
    app.command()(stop)
    app.command("help")(help_on)


def init(
    login: str = typer.Option(..., prompt=True, help="Login of the first administrator."),
    name: str = typer.Option(..., prompt=True, help="Their name."),
    new_passphrase: str = typer.Option(
        ..., envvar="CVA_NEW_PASSPHRASE", prompt=True, hide_input=True, confirmation_prompt=True,
        help="Their passphrase.",
    ),
) -> None:  # fmt: skip
    """Make the database, the master key and the first administrator; print the recovery sheet."""
    settings = settings_of()
    clock = clock_of(settings)
    migrations.upgrade(engine_of(settings, Role.OWNER))
    made_now = not settings.key_file.exists()
    key = (vault.create_key_file if made_now else vault.open_key_file)(settings.key_file)
    with transaction(engine_of(settings)) as conn:
        vault.bind(conn, key, clock.now())
        staff.add_first_administrator(conn, login, name, new_passphrase, clock.now())
    say(f"Ready. {login} is the first administrator.")
    if made_now:
        warn(f"\nPrint this recovery sheet and keep it in a safe; then clear the screen.\n"
             f"\n{key.recovery_sheet()}\n")  # fmt: skip


def upgrade() -> None:
    """Bring an existing database to the revision that this program needs."""
    migrations.upgrade(engine_of(settings_of(), Role.OWNER))
    say(f"The database is at revision {migrations.newest()}.")


def stop() -> None:
    """Stop the embedded database; the next command starts it again."""
    settings = settings_of()
    if settings.database_url is not None:
        say("DATABASE_URL names a server; nothing of ours runs.")
        return
    Cluster(settings.home).stop()
    say("The embedded database is stopped.")


def restore_key(
    sheet: Path = typer.Argument(help="A file with the four lines of the recovery sheet."),
) -> None:
    """Write the master key again from its recovery sheet; a wrong line is named."""
    settings = settings_of()
    vault.write_key_file(settings.key_file, vault.key_of_sheet(sheet.read_text(encoding="utf-8")))
    say(f"The master key is in {settings.key_file} again; check it with `cva doctor`.")


def backup(
    file: Path = typer.Argument(help="The file to write; it must not be there yet."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Copy the whole database into one sealed file; the master key is not in it."""
    settings = settings_of()
    key = vault.open_key_file(settings.key_file)
    work = Work("backup", file.name, "bytes", typed(), settings.user, may_be_cut=False)
    engine, clock = engine_of(settings, Role.OWNER), clock_of(settings)
    with shown("bytes", settings) as told, running(engine, work, clock, told) as progress:
        made = backups.make(settings, key, file, clock.now(), progress)
    _show_manifest(made, shape)


def restore(
    file: Path = typer.Argument(help="A file that `cva backup` wrote."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Restore a backup into an empty database, verified, or nothing of it."""
    settings = settings_of()
    key = vault.open_key_file(settings.key_file)
    with shown("bytes", settings) as progress:
        restored = backups.restore(settings, key, file, progress)
    _show_manifest(restored, shape)


def _show_manifest(manifest: backups.Manifest, shape: Shape) -> None:
    content = manifest.content
    show(
        ["what", "value"],
        [
            ("made at", manifest.made_at.isoformat()),
            ("program", manifest.program),
            ("revision", content.revision),
            ("PostgreSQL", manifest.postgresql),
            ("tables", str(len(content.rows))),
            ("rows", str(sum(content.rows.values()))),
            ("trial balance", content.trial_balance),
            ("dump bytes", str(manifest.dump_bytes)),
            ("dump SHA-256", manifest.dump_sha256),
        ],
        shape,
    )
    for check, wrong in content.wrong.items():
        warn(f"The books of this backup are not sound: {wrong} break the rule: {check}.")


def demo(
    folder: Path = typer.Option(Path("demo-out"), help="Where the report and the files go."),
    seed: int = typer.Option(2026, help="Another seed gives other people."),
    shape: Path | None = typer.Option(None, help="Another population shape file."),
    programmes: Path | None = typer.Option(None, help="A folder of other programme files."),
) -> None:
    """Run a whole cycle of three programmes on a throw-away database, with a report to open."""
    from cva.demo.running import run as run_demo

    run_demo(folder, seed=seed, shape=shape, programmes=programmes, say=say)


def doctor() -> None:
    """Check that database, master key and providers file can be used."""
    settings = settings_of()
    with transaction(engine_of(settings)) as conn:
        row = conn.execute("SHOW server_version").fetchone()
        say(f"database: PostgreSQL {row[0] if row else '?'}")
        vault.check_bound(conn, vault.open_key_file(settings.key_file))
    say(f"master key: {settings.key_file}, the database's own")
    known = ", ".join(providers.read(settings.home / "providers.yaml")) or "none yet"
    say(f"providers: {known}")
    say(f"data folder: {settings.home}")


def help_on(
    topic: str = typer.Argument(
        "", help="A page (programme, mapping, finance, auditor, administrator) or an error code."
    ),
) -> None:
    """Show a how-to page, or explain an error code; without either, list all codes."""
    pages = {path.stem: path for path in HOW_TO.glob("*.md")}
    if topic in pages:
        say(pages[topic].read_text(encoding="utf-8"))
        return
    show(["code", "says", "what to do"], errors_page.rows(topic), Shape.TABLE)
