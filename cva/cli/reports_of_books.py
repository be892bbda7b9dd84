"""`cva ledger reconciliations`: R1 to R9, all at a glance or one with its parts and differences."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import typer

from cva.cli.cycles import DATE
from cva.cli.output import Cell, Money, Part, Shape, show, show_parts
from cva.cli.session import open_session
from cva.reports.reconciliations import NEEDS, TITLES, Asked, Code, Told, make, overview
from ledgers.matching.reports import Difference, Report
from ledgers.problems import counted

_COLUMNS = ("report", "of", "ours", "theirs", "named", "unnamed", "state")
_BELOW = ("named", "unnamed", "of")


def add_to(app: typer.Typer) -> None:
    """Add the command to `cva ledger`."""
    app.command("reconciliations")(reconciliations)


def reconciliations(
    report: Code | None = typer.Argument(None, help="R1 to R9; without it, all at a glance."),
    on: datetime | None = typer.Option(
        None, formats=DATE, help="The last day that counts; default today."
    ),
    comparison: str = typer.Option("", help="R3, R4, R7: which lines, as in import and match."),
    provider: str = typer.Option("", help="R2, R5: the provider's code."),
    plan: str = typer.Option("", help="R1: only this plan."),
    file: Path | None = typer.Option(
        None, exists=True, dir_okay=False, help="R2, R5, R9: their figures; CSV: key, amount."
    ),
    currency: str = typer.Option("TRY", help="The currency of the sums."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Hold the books against plans, wallets, statements, files; every difference has a name."""
    session = open_session()
    day = on.date() if on else session.today
    asked = Asked(day, currency, comparison, provider, plan, file, session.today)
    with session.reading() as conn:
        if report is None:
            rows = [row for code, told in overview(conn, asked) for row in _glance(code, told)]
            show(_COLUMNS, rows, shape, below=_BELOW)
            return
        told = make(conn, report, asked)
    show_parts(
        [Part("report", _COLUMNS, list(_glance(report, told)), _BELOW), *_details(told)], shape
    )


def _glance(code: Code, told: Told | None) -> Iterator[tuple[Cell, ...]]:
    title = f"{code} {TITLES[code]}"
    if told is None:
        needs = "needs " + " ".join(f"--{n}" for n in NEEDS[code])
        yield title, "", None, None, None, None, needs if NEEDS[code] else "of today only"
        return
    found, currency = told.report, told.currency
    named = found.ours_minor - found.theirs_minor - found.unnamed_minor
    amounts = (found.ours_minor, found.theirs_minor, named, found.unnamed_minor)
    yield title, told.of, *(Money(minor, currency) for minor in amounts), _state(found)


def _state(found: Report) -> str:
    if found.open:
        return "open"
    return "explained" if found.differences else "agrees"


def _details(told: Told) -> list[Part]:
    found, currency = told.report, told.currency
    return [
        Part("compared", ("what", "count", "sum"),
             [(part.name, part.count, Money(part.sum_minor, currency)) for part in found.parts]),
        Part("differences", ("difference", "count", "ours less theirs", "state"),
             [(each.name, each.count, Money(each.difference_minor, currency), _age(each))
              for each in found.differences]),
    ]  # fmt: skip


def _age(each: Difference) -> str:
    if each.explained:
        return "explained"
    return "open" if each.days is None else f"open, {counted(each.days, 'day', 'days')}"
