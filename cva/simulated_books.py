"""Books for a simulation: a server of its own for a minute, with the real schema and nothing else.

The schema of the books is the one that real money is kept in, down to its triggers; it stands in a
database that is made in the command's work folder and removed when the base path is posted. The
registry's own server is never asked.
"""

from pathlib import Path

from cva.database import migrations
from cva.database.cluster import Cluster, Role
from cva.database.configuration import Tuning
from cva.database.connect import engine_at, transaction
from simulations.posting import SimulatedBooks, post
from simulations.projection.running import Projection
from simulations.report.model import Column, Kind, Sentence, count, table
from simulations.report.parts import Part, part, saying

RECORDED_BY = "simulation"
TUNING = Tuning(shared_buffers="64MB", durable=False)


def simulated_books(projection: Projection, folder: Path) -> Part:
    """Post the base path and return what the books say at the end.

    Raises `simulated_books_differ`, `simulated_books_wrong`, and what starting a server raises.
    """
    return books_part(posted(projection, folder))


def posted(projection: Projection, folder: Path) -> SimulatedBooks:
    """Post the base path of a projection on a server made in `folder`, which is removed again."""
    cluster = Cluster(folder / "books", TUNING)
    try:
        cluster.ensure_running()
        owner = engine_at(cluster.url(Role.OWNER))
        migrations.upgrade(owner)
        owner.dispose()
        engine = engine_at(cluster.url(Role.APP))
        try:
            with transaction(engine) as conn:
                return post(conn, projection, RECORDED_BY)
        finally:
            engine.dispose()
    finally:
        cluster.destroy()


def books_part(books: SimulatedBooks) -> Part:
    """Return the trial balance, and what was checked."""
    accounts = [
        account
        for account in books.accounts
        if account.posted_debit_minor or account.posted_credit_minor
    ]
    rows = {
        "account": [f"{account.code} {account.name}" for account in accounts],
        "currency": [account.currency for account in accounts],
        "debit_minor": [account.posted_debit_minor for account in accounts],
        "credit_minor": [account.posted_credit_minor for account in accounts],
    }
    columns = [
        Column("account", Kind.TEXT), Column("currency", Kind.TEXT),
        Column("debit_minor", Kind.AMOUNT), Column("credit_minor", Kind.AMOUNT),
    ]  # fmt: skip
    facts = {"entries": count(books.entries), "checks": count(len(books.checks))}
    return saying(part("books", table("books", columns, rows)), Sentence("books_says", facts))
