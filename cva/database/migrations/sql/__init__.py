"""The SQL of the revisions, executed as it stands."""

from pathlib import Path

from alembic import op

from cva.database.connect import driver_of


def execute(name: str) -> None:
    """Send the file `name` of this folder to the database, as one text of many statements.

    It goes past SQLAlchemy and psycopg's parameters: `:` and `%` in it are only themselves.
    """
    statements = (Path(__file__).parent / name).read_text(encoding="utf-8")
    driver_of(op.get_bind().connection.driver_connection).execute(statements)
