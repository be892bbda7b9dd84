"""`cva audit sample`: lines of the books drawn by a seed, with the evidence of each payment."""

import shlex
from datetime import datetime
from pathlib import Path

import typer

from cva.cli.cycles import DATE
from cva.cli.output import Money, Shape, say, show
from cva.cli.session import open_session, typed
from cva.database.connect import Role
from cva.evidence_pack import Pack, figures_of, write_pack
from cva.programmes.publishing import versions_of
from ledgers.drawing import By, Drawing, Method, Share
from ledgers.money import parse_amount
from ledgers.problems import counted
from ledgers.sampling import Scope


def add_to(app: typer.Typer) -> None:
    """Add the command to `cva audit`."""
    app.command("sample")(sample)


def sample(
    method: Method = typer.Option(Method.RANDOM, help="How lines are drawn."),
    size: int = typer.Option(..., min=1, help="How many lines, or hits of money-unit."),
    seed: str = typer.Option(..., help="Any text; choose it after the checkpoint was signed."),
    first: datetime | None = typer.Option(None, "--from", formats=DATE, help="First day."),
    last: datetime | None = typer.Option(None, "--to", formats=DATE, help="Last day."),
    account: str | None = typer.Option(None, help="Only lines on this account."),
    programme: str | None = typer.Option(None, help="Only this programme, by its code."),
    grant: str | None = typer.Option(None, help="Only this grant's money."),
    province: str | None = typer.Option(None, help="Only this province, such as TR-63."),
    currency: str | None = typer.Option(None, help="Only this currency."),
    by: list[By] = typer.Option([], help="What makes the strata; repeat to combine."),
    band: list[str] = typer.Option([], help="With --by band: an amount at which one begins."),
    share: Share = typer.Option(Share.LINES, help="What the strata share the sample by."),
    log_size: int | None = typer.Option(None, help="An older checkpoint; default the newest."),
    out: Path = typer.Option(..., help="A new folder for sample and evidence."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Draw posted lines, and write them with the evidence of each payment for checking offline."""
    session = open_session(Role.AUDITOR)
    if band and currency is None:
        raise typer.BadParameter("name the currency of the bands with --currency")
    bands = tuple(parse_amount(amount, currency or "") for amount in band)
    drawing = Drawing(method, size, seed, tuple(by), bands, share)
    with session.reading() as conn:
        scope = Scope(
            first.date() if first else None, last.date() if last else None, account,
            versions_of(conn, programme) if programme else (), grant, province, currency,
        )  # fmt: skip
        pack = write_pack(conn, scope, drawing, out, command=typed(), log_size=log_size)
    _show(pack, out, shape)


def _show(pack: Pack, out: Path, shape: Shape) -> None:
    found = pack.sample
    if shape is Shape.TABLE:
        for name, said in figures_of(found):
            say(f"{name:<11} {said}")
    show(
        ["stratum", "lines", "amount", "drawn", "drawn amount"],
        [(part.name or "all", part.count, Money(part.sum_minor, found.currency), part.drawn,
          Money(part.drawn_minor, found.currency)) for part in found.draw.strata],
        shape,
    )  # fmt: skip
    if shape is Shape.TABLE:
        say(
            f"{counted(len(found.lines), 'line', 'lines')} and the bundles of"
            f" {counted(pack.bundles, 'payment', 'payments')} are in {shlex.quote(str(out))}."
        )
