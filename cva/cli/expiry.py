"""`cva provider expire`: value that was loaded and not used in its term comes back."""

from datetime import datetime
from pathlib import Path

import typer

from cva.bookkeeping import lines_of
from cva.cli.cycles import DATE
from cva.cli.output import Money, Part, Shape, show_parts
from cva.cli.session import open_session
from cva.payments import expiring
from cva.payments.expired_list import read_expired


def add_to(app: typer.Typer) -> None:
    """Add the command to `cva provider`."""
    app.command("expire")(expire)


def expire(
    code: str,
    file: Path | None = typer.Argument(
        None, help="CSV: instruction, amount; where only the provider knows what is left."
    ),
    report: str = typer.Option("", help="The provider's name of its list; else the file's."),
    on: datetime | None = typer.Option(None, formats=DATE, help="The day; today if left out."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Claim what is left of loads whose term is over; once, however often it is asked."""
    session = open_session()
    day = on.date() if on else session.today
    who, at = session.person_id, session.clock.now()
    with session.transaction() as conn:
        if file is None:
            currency = expiring.left_currency(conn, code)
            done = expiring.expire(conn, code, on=day, person_id=who, at=at)
        else:
            currency = expiring.stated_currency(conn, code)
            stated = read_expired(lines_of(file), file.name, currency)
            done = expiring.expire_stated(
                conn, code, report or file.stem, stated, on=day, person_id=who, at=at
            )
    show_parts(
        [
            Part("expired", ["loads", "claimed", "refused"],
                 [(done.count, Money(done.amount_minor, currency), len(done.answers))]),
            Part("refused", ["line", "instruction", "answer", "about"],
                 [(answer.item_no, answer.item_key, answer.code, answer.fact)
                  for answer in done.answers]),
        ],
        shape,
    )  # fmt: skip
